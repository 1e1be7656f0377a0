"""Writers that note what was acknowledged, and the check that nothing of it is lost."""
import threading
import time

from cluster import OK, wait_until


class Load:
    """Each writer puts chunks and appends to a chain of its own; each reader reads back what was acknowledged."""

    def __init__(self, cluster, writers=2, readers=1):
        self.cluster = cluster
        self.stop_now = threading.Event()
        self.lock = threading.Lock()
        self.chunks = {}       # id -> bytes, acknowledged
        self.entries = {}      # chain -> [bodies], acknowledged, in order
        self.unknown = {}      # chain -> {bodies} without an answer
        self.failures = []     # what did not succeed, in words
        self.wrong = []        # reads that returned something else: never allowed
        self.reads = 0
        self.slowest = 0.0
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(writers)]
        self.threads += [threading.Thread(target=self.read, args=(n,)) for n in range(readers)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stop_now.set()
        for thread in self.threads:
            thread.join()

    def timed(self, call):
        began = time.monotonic()
        done = call()
        with self.lock:
            self.slowest = max(self.slowest, time.monotonic() - began)
            if done.returncode != OK:
                self.failures.append(done.err.strip())
        return done

    def write(self, writer):
        chain = f"load-{writer}"
        self.entries[chain], self.unknown[chain] = [], set()
        number = 0
        while not self.stop_now.is_set():
            number += 1
            content = f"writer {writer} chunk {number}".encode()
            path = self.cluster.folder / f"load-{writer}"
            path.write_bytes(content)
            done = self.timed(lambda: self.cluster.cli("--timeout", "20s", "put", path, code=None))
            if done.returncode == OK:
                with self.lock:
                    self.chunks[done.out.strip()] = content
            body = f"writer {writer} entry {number}"
            done = self.timed(lambda: self.cluster.cli("--timeout", "20s", "chain", "append", chain, body, code=None))
            with self.lock:
                if done.returncode == OK:
                    self.entries[chain].append(body)
                else:
                    self.unknown[chain].add(body)

    def read(self, reader):
        step = 0
        while not self.stop_now.is_set():
            with self.lock:
                known = list(self.chunks.items())
            if not known:
                self.stop_now.wait(0.02)
                continue
            step += 1
            id, content = known[(step * 7919 + reader) % len(known)]
            done = self.timed(lambda: self.cluster.cli("--timeout", "20s", "get", id, "--raw", code=None))
            if done.returncode == OK:
                with self.lock:
                    self.reads += 1
                    if done.stdout != content:
                        self.wrong.append(id)

    def written(self):
        with self.lock:
            return len(self.chunks) + sum(map(len, self.entries.values()))

    def wait_progress(self, more=20, seconds=60):
        goal = self.written() + more
        wait_until(lambda: self.written() >= goal, f"{more} more acknowledged writes (failures: {self.failures[-3:]})", seconds)

    def verify(self, test):
        """Everything acknowledged is there, once, in order; nothing was ever read wrongly."""
        test.assertEqual(self.wrong, [])
        for id, content in self.chunks.items():
            test.assertEqual(self.cluster.get(id), content)
        for chain, bodies in self.entries.items():
            if not bodies:
                continue
            found = self.cluster.cli("chain", "read", chain, "--raw").out.splitlines()
            test.assertEqual(len(found), len(set(found)), f"{chain} has an entry twice")
            test.assertEqual([b for b in found if b not in self.unknown[chain]], bodies, f"{chain} is not what was acknowledged")
