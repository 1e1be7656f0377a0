"""Writes to every partition, and the moment from which each one is acknowledged again."""
import collections
import os
import queue
import time

from bench_calls import partition_of

BATCH = 40      # Partitions per PutMany; each has an outcome of its own.
WINDOW = 4      # Calls in flight. All partitions at once would be more than the deadline allows, and load the cluster that is measured.
VARIANTS = 16   # Ids per partition and sweep, in rotation: what is tried again is a new write.


class Sweep:
    """Writes to every partition. `prepare` makes and serialises them, so that this takes no measured time; each run needs its own, as an
    id of an earlier run would only be found present."""

    def __init__(self, api, zone, zone_id, partitions):
        self.api, self.zone, self.zone_id, self.partitions = api, zone, zone_id, partitions
        self.batches = [range(first, min(first + BATCH, partitions)) for first in range(0, partitions, BATCH)]

    def prepare(self):
        partitions = self.partitions
        ids = [[] for _ in range(partitions)]
        missing = partitions
        while missing:
            id = os.urandom(32)
            found = ids[partition_of(self.zone_id, id, partitions)]
            found.append(id)
            missing -= len(found) == VARIANTS
        self.requests = [[self.api.make("PutManyRequest", zone=self.zone, chunks=[{"id": ids[p][v], "data": b"written to be acknowledged"} for p in batch])
                          .SerializeToString() for v in range(VARIANTS)] for batch in self.batches]
        self.turn = [0] * len(self.batches)
        return self

    def run(self, deadline, give_up=60):
        """Writes to every partition, again where it fails, until each has acknowledged a write sent after now.

        A call that fails goes to the end of the line, so that all partitions are tried in turn.
        Returns (monotonic time of the last partition's first acknowledgement, or None; why calls failed, counted)."""
        put = self.api.method("Chunks/PutMany", raw=True)
        answers = queue.Queue()
        waiting = collections.deque(range(len(self.batches)))
        acknowledged = [set() for _ in self.batches]
        failures = collections.Counter()
        flying = 0
        last = 0.0
        end = time.monotonic() + give_up

        def send(index):
            request = self.requests[index][self.turn[index] % VARIANTS]
            self.turn[index] += 1
            future = put.future(request, timeout=deadline)
            future.add_done_callback(lambda f: answers.put((time.monotonic(), index, f)))

        while waiting or flying:
            while waiting and flying < WINDOW:
                send(waiting.popleft())
                flying += 1
            at, index, future = answers.get()
            flying -= 1
            error = future.exception()
            if error is not None:
                failures[error.code().name] += 1
            else:
                outcomes = list(zip(self.batches[index], future.result().outcomes))
                acknowledged[index].update(p for p, o in outcomes if o.status.code == 0)
                failures.update({o.status.message for _, o in outcomes if o.status.code})
            if len(acknowledged[index]) == len(self.batches[index]):
                last = max(last, at)
                continue
            if at > end:
                return None, failures
            waiting.append(index)
        return last, failures
