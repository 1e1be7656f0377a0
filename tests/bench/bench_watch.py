"""Follows the status stream in a thread and keeps what it said, with the time at which it arrived."""
import threading
import time


class Watch:
    def __init__(self, api):
        self.seen = []
        self.changed = threading.Condition()
        self.call = api.method("Cluster/WatchStatus", stream=True)(api.make("WatchStatusRequest"))
        self.thread = threading.Thread(target=self.follow, daemon=True)

    def follow(self):
        try:
            for answer in self.call:
                with self.changed:
                    self.seen.append((time.monotonic(), answer.status))
                    self.changed.notify_all()
        except Exception:  # Cancelled by us, or the router ended; either way nothing more comes, and `first` times out.
            pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.call.cancel()
        self.thread.join()

    def first(self, condition, seconds):
        """(time, status) of the first status for which `condition(status)` is true; None if none came in time."""
        end = time.monotonic() + seconds
        next_index = 0
        with self.changed:
            while True:
                for at, status in self.seen[next_index:]:
                    if condition(status):
                        return at, status
                next_index = len(self.seen)
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)


def resync_figures(seen):
    """What one resync moved, from the statuses of its time: bytes done and sent, seconds from the first that ran to the end."""
    running = [(at, s.resync) for at, s in seen if s.HasField("resync") and s.resync.state == 2]
    if not running:
        return None
    ended = next((at for at, s in seen if at > running[-1][0]), running[-1][0])
    # Several plans may follow one another (a node that joins brings several); the totals of each count.
    plans, current = [], None
    for _, resync in running:
        if current is not None and resync.bytes_done < current.bytes_done:
            plans.append(current)
        current = resync
    plans.append(current)
    seconds = max(ended - running[0][0], 0.001)
    total = {key: sum(getattr(p, key) for p in plans) for key in ("bytes_done", "bytes_sent", "bytes_total", "blocks_sent", "partitions_total")}
    return {"seconds": seconds, "plans": len(plans), **total}
