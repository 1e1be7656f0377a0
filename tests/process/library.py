"""Our client library in the place of an Api: it knows several routers, repeats what fails for passing reasons and changes the router by
itself, all in one process that lives as long as the test (library_client.cc)."""
import json
import queue
import subprocess
import threading
from types import SimpleNamespace

import grpc

from api import Refused
from cluster import BIN, environment

OPERATIONS = {"Chunks/Put": "put", "Chunks/Get": "get", "Chunks/Has": "has", "Chunks/Delete": "delete",
              "Chains/Head": "head", "Chains/Append": "append", "Chains/Read": "read", "Chains/Delete": "remove"}
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Ended(Refused):
    """An operation of the library that did not succeed; `unknown`: it may have happened all the same."""

    def __init__(self, answer):
        Exception.__init__(self, f"{answer['code']} {answer['reason']}: {answer['message']}")
        self.code, self.reason, self.text, self.unknown = CODES[answer["code"]], answer["reason"], answer["message"], answer["unknown"]


class Library:
    """One client of these routers, in the zone `default`; as an Api to those who use it. Thread-safe."""

    def __init__(self, routers):
        self.process = subprocess.Popen([str(BIN / "library_client"), *routers], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment())
        self.lock = threading.Lock()
        self.asked, self.answered, self.waiting = 0, 0, {}
        self.given_up = []  # operations that nobody answered, in words
        self.reader = threading.Thread(target=self.take_answers)
        self.reader.start()

    def take_answers(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.lock:
                self.waiting.pop(answer["number"]).put(answer)

    def ask(self, method, id, timeout, **more):
        answered = queue.Queue()
        with self.lock:
            self.asked += 1
            self.waiting[self.asked] = answered
            asked = {"number": self.asked, "do": OPERATIONS[method], "id": id.hex(), "timeout": timeout, **more}
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
        # Every operation ends by its deadline: the library's promise, with some room for a loaded machine.
        answer = answered.get(timeout=timeout + 60)
        if answer["code"]:
            ended = Ended(answer)
            if ended.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self.given_up.append(f"{method}: {ended}")
            raise ended
        with self.lock:
            self.answered += 1
        return answer

    def call(self, method, timeout=10, zone="default", id=None, data=None, ids=None, chains=None, chain=None, position=None,
             predecessor=None, entries=None):
        target = id or chain or (ids or chains)[0]
        more = {}
        if method == "Chunks/Put":
            more["data"] = data.hex()
        if method == "Chains/Append":
            more = {"data": entries[0]["body"].hex(), "position": position, "predecessor": predecessor.hex()}
        answer = self.ask(method, target, timeout, **more)
        if method == "Chunks/Get":
            return SimpleNamespace(data=bytes.fromhex(answer["data"]))
        if method == "Chunks/Has":
            return SimpleNamespace(present=[answer["present"]])
        if method == "Chains/Head":
            return SimpleNamespace(heads=[SimpleNamespace(length=answer["length"], hash=bytes.fromhex(answer["hash"]))])
        return SimpleNamespace()

    def stream(self, method, timeout=10, zone="default", queries=()):
        status = SimpleNamespace(code=0, message="")
        try:
            answer = self.ask(method, queries[0]["chain"], timeout)
        except Ended as e:
            return [SimpleNamespace(status=SimpleNamespace(code=e.code.value[0], message=str(e)), entries=[], complete=False)]
        entries = [SimpleNamespace(position=p, body=bytes.fromhex(b), hash=bytes.fromhex(h), predecessor=bytes.fromhex(n))
                   for p, b, h, n in answer["entries"]]
        return [SimpleNamespace(status=status, entries=entries, complete=True)]

    def close(self):
        self.process.stdin.close()
        self.reader.join(60)
        self.process.stdout.close()
        if self.process.wait(timeout=60) != 0:
            raise AssertionError(f"library_client ended with {self.process.returncode}")
