"""Clients that work on a few shared chunks and chains at once, through one or several routers, and write down a History."""
import hashlib
import os
import random
import threading

import grpc

from api import Api, Refused
from cluster import SLOWNESS, wait_until
from history import FAILED, OK, UNKNOWN, History, mistakes

# Refusals that come before anything is written (docs/codes.md).
NOTHING_HAPPENED = {"NOT_SENT", "TOO_FEW_COPIES", "PARTITION_ACTIVATING", "STOPPING", "NO_LAYOUT", "QUEUE_FULL", "REPAIRING"}
DEFINITE = {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
CHAIN_LENGTH = 150  # then the next one is begun, so that whole chains can be read all the time


def digest(*words):
    return hashlib.sha256(" ".join(map(str, words)).encode()).digest()


class Workers:
    """Begin and end with `with`. Its requests have deadlines of `patience` seconds and are never repeated: what had no answer is
    noted as unknown, and the checkers know what may follow. `apis`: what they ask instead of an Api for each of the `routers`."""

    def __init__(self, cluster, count=6, seed=int(os.environ.get("COFFER_SEED", "1")), patience=4, zone="default", routers=None, large=False,
                 apis=None):
        self.history = History()
        self.zone, self.patience, self.seed, self.large = zone, patience * SLOWNESS, seed, large
        self.apis = apis or [Api(address) for address in routers or [cluster.router_address]]
        self.stop_now = threading.Event()
        self.lock = threading.Lock()
        self.chunks = []          # ids that were put
        self.generation = [0, 0, 0]
        self.pace = 0.0           # seconds that each worker lets pass after an operation
        self.broken = []          # exceptions of the workers themselves: none
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop_now.set()
        for thread in self.threads:
            thread.join()

    def work(self, number):
        try:
            rng = random.Random(f"{self.seed} {number}")
            api = self.apis[number % len(self.apis)]
            step = 0
            while not self.stop_now.is_set():
                step += 1
                act = rng.choices([self.put, self.get, self.has, self.delete, self.append, self.read, self.remove],
                                  [30, 20, 5, 3, 28, 14, 0.3])[0]
                unknown = act(api, rng, f"{number}.{step}") == UNKNOWN
                self.stop_now.wait(max(self.pace, 0.05 if unknown else 0))  # a router that is away answers at once
        except BaseException as e:  # noqa: BLE001  shown by verify
            self.broken.append(repr(e))

    def attempt(self, api, operation, method, **fields):
        """Carries a call out and notes how it ended. Returns the response or None."""
        try:
            response = api.call(method, timeout=self.patience, zone=self.zone, **fields)
        except Refused as e:
            definite = e.code in DEFINITE or e.reason in NOTHING_HAPPENED if e.unknown is None else not e.unknown
            self.history.end(operation, FAILED if definite else UNKNOWN, why=str(e))
            return None
        self.history.end(operation, OK)
        return response

    # ---- chunks: every id is shared by two names, so that two workers put different bytes under one
    def put(self, api, rng, name):
        with self.lock:
            if self.chunks and rng.random() < 0.2:
                id = rng.choice(self.chunks[-50:])
            else:
                id = digest("chunk", self.seed, name)
                self.chunks.append(id)
        value = f"chunk {name} ".encode() * (rng.choice([1, 1, 1, 400, 12_000]) if self.large else 1)
        operation = self.history.begin("put", id, value)
        self.attempt(api, operation, "Chunks/Put", id=id, data=value)
        return operation.outcome

    def one_of_the_chunks(self, rng):
        with self.lock:
            return rng.choice(self.chunks) if self.chunks else digest("no chunk yet")

    def get(self, api, rng, name):
        return self.get_one(api, self.one_of_the_chunks(rng))

    def get_one(self, api, id):
        operation = self.history.begin("get", id)
        try:
            response = api.call("Chunks/Get", timeout=self.patience, zone=self.zone, id=id)
            self.history.end(operation, OK, result=response.data)
        except Refused as e:
            absent = e.reason in ("CHUNK_NOT_FOUND", "CHUNK_DELETED")
            self.history.end(operation, OK if absent else FAILED, why=str(e))
        return operation.outcome

    def has(self, api, rng, name):
        return self.has_one(api, self.one_of_the_chunks(rng))

    def has_one(self, api, id):
        operation = self.history.begin("has", id)
        try:
            response = api.call("Chunks/Has", timeout=self.patience, zone=self.zone, ids=[id])
            self.history.end(operation, OK, result=response.present[0] or None)
        except Refused as e:
            self.history.end(operation, FAILED, why=str(e))
        return operation.outcome

    def delete(self, api, rng, name):
        id = self.one_of_the_chunks(rng)
        operation = self.history.begin("delete", id)
        self.attempt(api, operation, "Chunks/Delete", id=id)
        return operation.outcome

    # ---- chains
    def chain(self, rng):
        number = rng.randrange(len(self.generation))
        return number, digest("chain", self.seed, number, self.generation[number])

    def append(self, api, rng, name):
        number, chain = self.chain(rng)
        try:
            head = api.call("Chains/Head", timeout=self.patience, zone=self.zone, chains=[chain]).heads[0]
        except Refused:
            return UNKNOWN
        if head.length >= CHAIN_LENGTH:
            self.next_chain(number, chain)
            return FAILED
        body = f"entry {name}".encode()
        operation = self.history.begin("append", chain, (head.length, body))
        self.attempt(api, operation, "Chains/Append", chain=chain, position=head.length, predecessor=head.hash or bytes(32),
                     entries=[{"body": body}])
        return operation.outcome

    def next_chain(self, number, chain):
        with self.lock:
            if digest("chain", self.seed, number, self.generation[number]) == chain:
                self.generation[number] += 1

    def read(self, api, rng, name):
        return self.read_one(api, self.chain(rng)[1])

    def read_one(self, api, chain):
        operation = self.history.begin("read", chain)
        try:
            responses = api.stream("Chains/Read", timeout=self.patience, zone=self.zone, queries=[{"chain": chain, "range": {}}])
        except Refused as e:
            self.history.end(operation, FAILED, why=str(e))
            return FAILED
        status = next((r.status for r in responses if r.status.code), None)
        if status is not None:
            absent = status.code == grpc.StatusCode.NOT_FOUND.value[0]
            self.history.end(operation, OK if absent else FAILED, why=status.message)
        elif not responses or not responses[-1].complete:
            self.history.end(operation, FAILED, why="cut short")
        else:
            entries = [(e.position, e.body, e.hash, e.predecessor) for r in responses for e in r.entries]
            self.history.end(operation, OK, result=entries)
        return operation.outcome

    def remove(self, api, rng, name):
        number, chain = self.chain(rng)
        operation = self.history.begin("remove", chain)
        if self.attempt(api, operation, "Chains/Delete", chain=chain) is not None:
            self.next_chain(number, chain)
        return operation.outcome

    # ---- for the tests
    def wait_progress(self, more=100, seconds=90):
        goal = self.history.count() + more
        wait_until(lambda: self.history.count() >= goal, lambda: f"{more} more acknowledged writes; {self.troubles()}", seconds)

    def troubles(self, last=3):
        return [f"{o.kind} {o.outcome}: {o.why[:300]}" for o in self.history.taken()[-300:] if o.why and o.outcome != OK][-last:]

    def verify(self, test, seconds=60):
        """Reads everything once more, when all is well again and the workers have ended, and checks the whole history. A chunk is also
        asked for where the answer is confirmed: a get alone may show what was just deleted."""
        test.assertEqual(self.broken, [])
        taken = self.history.taken()
        chunks = {o.target for o in taken if o.kind == "put"}
        chains = {o.target for o in taken if o.kind == "append"}
        for read, targets in ((self.get_one, chunks), (self.has_one, chunks), (self.read_one, chains)):
            for target in targets:
                wait_until(lambda: read(self.apis[0], target) == OK, lambda: f"{target.hex()[:12]} is read; {self.troubles()}", seconds)
        taken = self.history.taken()
        test.assertEqual(mistakes(taken), [])
        by_outcome = {outcome: sum(o.outcome == outcome for o in taken) for outcome in (OK, FAILED, UNKNOWN)}
        print(f"{len(taken)} operations on {len(chunks)} chunks and {len(chains)} chains: {by_outcome}", flush=True)

    def close(self):
        for api in self.apis:
            api.close()
