"""A history of what clients did and were told, and what may be concluded from it.

An operation is recorded when it is called and when it ends: as success, as a failure that changed nothing, or as unknown. The
checkers look at nothing but these records; `mistakes(history)` returns sentences, none for a history that keeps the promises of
docs/guarantees.md. They are small enough to be wrong in few ways, and history_test.py shows that each of them notices.
"""
import dataclasses
import hashlib
import json
import os
import subprocess
import threading
import time
from collections import defaultdict

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
NEVER = float("inf")


@dataclasses.dataclass
class Operation:
    """`target` is a chunk's or a chain's id. What `value` and `result` hold depends on `kind`:
    put: value bytes · get: result bytes, or None for NOT_FOUND · has: result True, or None · delete: nothing
    append: value (position, body) · read: result [(position, body, hash, predecessor)] of the whole chain, or None for NOT_FOUND
    remove (a chain's deletion): nothing"""
    kind: str
    target: bytes
    began: float
    ended: float = NEVER
    outcome: str = UNKNOWN
    value: object = None
    result: object = None
    why: str = ""


class History:
    """Records of all workers. Thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.operations = []

    def begin(self, kind, target, value=None):
        operation = Operation(kind, target, time.monotonic(), value=value)
        with self.lock:
            self.operations.append(operation)
        return operation

    def end(self, operation, outcome, result=None, why=""):
        with self.lock:
            operation.outcome, operation.result, operation.why = outcome, result, why
            # An unknown write may take effect at any later time.
            operation.ended = NEVER if outcome == UNKNOWN else time.monotonic()

    def count(self, outcome=OK, kinds=("put", "append")):
        with self.lock:
            return sum(o.outcome == outcome and o.kind in kinds for o in self.operations)

    def taken(self):
        """The operations so far; those still under way are unknown."""
        with self.lock:
            return [dataclasses.replace(o) for o in self.operations]


def entry_hash(chain, position, predecessor, body):
    """As chains.proto defines it, for an entry without a signature."""
    return hashlib.sha256(b"coffer.entry.v1" + chain + position.to_bytes(8, "big") + predecessor + bytes(4) + body).digest()


def mistakes(history):
    """Everything in the history that breaks a promise, as sentences: what the checkers of this file find, and those of the simulator."""
    return own_mistakes(history) + simulator_mistakes(history)


def simulator_mistakes(history):
    """What the simulator's checkers say of it (tests/sim/check_history.cc), which know no `has`."""
    lines = "".join(json.dumps(recorded(operation)) + "\n" for operation in history if operation.kind != "has")
    checked = subprocess.run([os.path.join(os.environ.get("COFFER_BIN", "build/bin"), "check_history")], input=lines, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if checked.returncode not in (0, 1):
        raise RuntimeError(f"check_history ended with {checked.returncode}: {checked.stderr[:500]}")
    return checked.stdout.splitlines()


def recorded(operation):
    """An operation as check_history reads it. Values of chunks are only compared, so their digests do."""
    record = {"kind": operation.kind, "target": operation.target.hex(), "began": operation.began, "outcome": operation.outcome,
              "ended": None if operation.ended == NEVER else operation.ended}
    if operation.kind == "put":
        record["value"] = hashlib.sha256(operation.value).hexdigest()
    if operation.kind == "append":
        record["position"], record["body"] = operation.value[0], operation.value[1].hex()
    if operation.kind == "get":
        record["result"] = None if operation.result is None else hashlib.sha256(operation.result).hexdigest()
    if operation.kind == "read":
        record["result"] = None if operation.result is None else [
            {"position": position, "body": body.hex(), "hash": hash.hex(), "predecessor": predecessor.hex() or bytes(32).hex()}
            for position, body, hash, predecessor in operation.result]
    return record


def own_mistakes(history):
    by_target = defaultdict(list)
    for operation in history:
        by_target[operation.target].append(operation)
    found = []
    for target, operations in by_target.items():
        kinds = {o.kind for o in operations}
        check = chain_mistakes if kinds & {"append", "read", "remove"} else chunk_mistakes
        found += [f"{target.hex()[:12]}: {text}" for text in check(target, operations)]
    return found


def chunk_mistakes(id, operations):
    """Put-if-absent, get, has and delete of one id. To a get any holder, or a router's cache, may say *found* of what is not
    acknowledged yet or was just deleted (R13.1); NOT_FOUND is exact (R13.2). A has is confirmed either way (R5.1): what was deleted
    before it began is never there again (I10), and what it found stays (I9). Where two contents were put under one id, a get may show
    the one which lost as soon as a node has it, and then never again. Where all puts have one content, as ids that are hashes make
    sure, no read shows anything else, nor what was reported as failed."""
    puts = [o for o in operations if o.kind == "put"]
    deletes = [o for o in operations if o.kind == "delete" and o.outcome != FAILED]
    acknowledged = [o for o in puts if o.outcome == OK]
    contested = len({o.value for o in puts}) > 1
    if len({o.value for o in acknowledged}) > 1:
        yield "two different contents were acknowledged"
    first_acknowledged = min((o.ended for o in acknowledged), default=NEVER)
    first_deleted = min((o.ended for o in deletes if o.outcome == OK), default=NEVER)
    for put in acknowledged:
        if put.began > first_deleted:
            yield "a put was acknowledged after the chunk was deleted"
    found = [o for o in operations if o.kind == "has" and o.outcome == OK and o.result]
    for has in found:
        if has.began > first_deleted:
            yield "a deleted chunk is there again"
        if not any(p.began < has.ended and p.outcome != FAILED for p in puts):
            yield "a chunk is there that no put can have left"
    first_known = min([first_acknowledged, *(o.ended for o in found)])
    for get in operations:
        if get.kind not in ("get", "has") or get.outcome != OK:
            continue
        if get.result is None:
            begun_deletes = any(d.began < get.ended for d in deletes)
            if first_known < get.began and not begun_deletes:
                yield "NOT_FOUND for what was acknowledged or found by a confirmed read, and never deleted"
            continue
        if get.kind == "has":
            continue
        if not any(p.value == get.result and p.began < get.ended and (p.outcome != FAILED or contested) for p in puts):
            told = [f"{p.outcome} ({p.why})" for p in puts if p.value == get.result]
            yield f"bytes were read that no put can have left: {get.result[:40]!r}, put: {told or 'never'}"
    # What the last read found, when all was well again, is what was acknowledged.
    last = max((o for o in operations if o.kind == "get" and o.outcome == OK), key=lambda o: o.began, default=None)
    if acknowledged and last and last.result is not None and last.began > first_acknowledged and last.result != acknowledged[0].value:
        yield "other bytes were read than those acknowledged"


def chain_mistakes(chain, operations):
    """Linearizable: every operation can be given a length of the chain at which it happened, in an order that real time allows.
    Positions are unique, so the entries name that order themselves; what is left to see is that all agree."""
    appends = [o for o in operations if o.kind == "append"]
    reads = [o for o in operations if o.kind == "read" and o.outcome == OK]
    removals = [o for o in operations if o.kind == "remove" and o.outcome != FAILED]
    removed = min((o.ended for o in removals if o.outcome == OK), default=NEVER)

    # What stands where, as anybody saw it. Nobody may see anything else there.
    entries = {}
    for read in reads:
        if read.result is None:
            continue
        predecessor = bytes(32)
        for index, (position, body, hash, named) in enumerate(read.result):
            if position != index:
                yield f"a gap: entry {position} follows {index - 1}"
                break
            if named != predecessor or hash != entry_hash(chain, position, predecessor, body):
                yield f"entry {position} does not continue the one before it"
            predecessor = hash
            if entries.setdefault(position, body) != body:
                yield f"a fork: position {position} was read as {entries[position]!r} and as {body!r}"
    for append in appends:
        position, body = append.value
        if append.outcome == OK and entries.setdefault(position, body) != body:
            yield f"a fork: {body!r} was acknowledged at {position}, where {entries[position]!r} stands"

    # Who may have written what stands there, and since when.
    begun = defaultdict(lambda: NEVER)
    failed = defaultdict(list)
    for append in appends:
        if append.outcome == FAILED:
            failed[append.value].append(append)
        else:
            begun[append.value] = min(begun[append.value], append.began)
    for position, body in entries.items():
        if begun[position, body] == NEVER:
            kind = "reported as failed" if failed[position, body] else "never asked for"
            yield f"entry {position}, {body!r}, was {kind} and is there"

    # Real time: who is told a length begins no earlier chain later on.
    told = []  # (when it was known, length)
    for append in appends:
        if append.outcome == OK:
            told.append((append.ended, append.value[0] + 1))
    for read in reads:
        if read.result is not None:
            told.append((read.ended, len(read.result)))
            for position, body, *_ in read.result:
                if begun[position, body] > read.ended:
                    yield f"entry {position} was read before it was asked for"
    told.sort()
    asked = sorted([(o.began, o) for o in [*reads, *(a for a in appends if a.outcome == OK)]], key=lambda pair: pair[0])
    known, at = 0, 0
    for began, operation in asked:
        while at < len(told) and told[at][0] < began:
            known = max(known, told[at][1])
            at += 1
        if operation.kind == "append":
            if operation.value[0] < known:
                yield f"position {operation.value[0]} was given out after length {known} was known"
            if operation.began > removed:
                yield "an append was acknowledged after the chain was deleted"
        elif operation.result is None:
            if known and not any(r.began < operation.ended for r in removals):
                yield f"NOT_FOUND for a chain of at least {known} entries that was never deleted"
        elif operation.began > removed:
            yield "a deleted chain was read"
        elif len(operation.result) < known:
            yield f"stale: {len(operation.result)} entries were read after length {known} was known"
