"""The checkers notice: each promise, broken by hand in a small history, is named; the same history kept is passed."""
import unittest

from history import FAILED, NEVER, OK, UNKNOWN, Operation, entry_hash, mistakes, simulator_mistakes

ID = b"i" * 32


def done(kind, began, ended, value=None, result=None, outcome=OK):
    return Operation(kind, ID, began, NEVER if outcome == UNKNOWN else ended, outcome, value, result)


def chain(*bodies):
    entries, predecessor = [], bytes(32)
    for position, body in enumerate(bodies):
        hash = entry_hash(ID, position, predecessor, body)
        entries.append((position, body, hash, predecessor))
        predecessor = hash
    return entries


class Checkers(unittest.TestCase):
    def passes(self, *history):
        self.assertEqual(mistakes(history), [])

    def notices(self, words, *history):
        self.assertTrue(any(words in m for m in mistakes(history)), mistakes(history))

    def test_chunks(self):
        put = done("put", 1, 2, b"x")
        self.passes(put, done("get", 3, 4, result=b"x"))
        self.passes(done("get", 0, 3, result=None), put)
        self.passes(put, done("delete", 3, 0, outcome=UNKNOWN), done("get", 9, 10, result=None))
        self.passes(done("put", 1, 0, b"x", outcome=UNKNOWN), done("get", 9, 10, result=b"x"), done("get", 11, 12, result=None))
        self.notices("NOT_FOUND", put, done("get", 3, 4, result=None))
        self.notices("no put can have left", put, done("get", 3, 4, result=b"y"))
        self.notices("no put can have left", done("put", 1, 2, b"x", outcome=FAILED), done("get", 3, 4, result=b"x"))
        self.notices("two different contents were acknowledged", put, done("put", 3, 4, b"y"))
        self.notices("after the chunk was deleted", put, done("delete", 3, 4), done("put", 5, 6, b"x"))
        # A get may show what was just deleted; what is confirmed never does, nor is it undone.
        self.passes(put, done("delete", 3, 4), done("get", 5, 6, result=b"x"), done("has", 7, 8))
        self.passes(put, done("delete", 3, 9, outcome=UNKNOWN), done("has", 5, 6, result=True), done("has", 7, 8))
        self.passes(put, done("has", 3.5, 6, result=True), done("delete", 3, 4), done("has", 0, 1))
        self.notices("a deleted chunk is there again", put, done("delete", 3, 4), done("has", 5, 6, result=True))
        self.notices("a deleted chunk is there again", put, done("delete", 3, 4), done("has", 5, 6), done("has", 7, 8, result=True))
        self.notices("is there that no put", done("put", 1, 2, b"x", outcome=FAILED), done("has", 3, 4, result=True))
        self.notices("NOT_FOUND", put, done("has", 3, 4))
        self.notices("NOT_FOUND", done("put", 1, 0, b"x", outcome=UNKNOWN), done("has", 3, 4, result=True), done("get", 5, 6))
        # Two contents under one id: the one that lost may have been seen, and is not what stays.
        lost, won = done("put", 1, 9, b"x", outcome=FAILED), done("put", 4, 5, b"y")
        self.passes(lost, done("get", 2, 3, result=b"x"), won, done("get", 10, 11, result=b"y"))
        self.notices("other bytes", lost, won, done("get", 10, 11, result=b"y"), done("get", 12, 13, result=b"x"))
        self.notices("no put can have left", lost, won, done("get", 0, 0.5, result=b"x"))

    def test_chains(self):
        a, b = done("append", 1, 2, (0, b"a")), done("append", 3, 4, (1, b"b"))
        self.passes(a, b, done("read", 5, 6, result=chain(b"a", b"b")))
        self.passes(a, done("read", 2.5, 3.5, result=chain(b"a", b"b")), b)
        self.passes(a, done("append", 3, 0, (1, b"b"), outcome=UNKNOWN), done("read", 5, 6, result=chain(b"a")),
                    done("read", 7, 8, result=chain(b"a", b"b")))
        self.notices("stale", a, b, done("read", 5, 6, result=chain(b"a")))
        self.notices("stale", done("append", 3, 0, (0, b"a"), outcome=UNKNOWN), done("read", 5, 6, result=chain(b"a")),
                     done("read", 7, 8, result=chain()))
        self.notices("a fork", a, done("append", 3, 4, (0, b"b")))
        self.notices("a fork", a, b, done("read", 5, 6, result=chain(b"a", b"c")))
        self.notices("never asked for", a, done("read", 5, 6, result=chain(b"a", b"b")))
        self.notices("reported as failed", a, done("append", 3, 4, (1, b"b"), outcome=FAILED), done("read", 5, 6, result=chain(b"a", b"b")))
        self.notices("before it was asked for", done("read", 0, 0.5, result=chain(b"a")), a)
        self.notices("a gap", a, b, done("read", 5, 6, result=chain(b"a", b"b")[1:]))
        self.notices("does not continue", a, b, done("read", 5, 6, result=[chain(b"a")[0], chain(b"z", b"b")[1]]))
        self.notices("given out after", done("read", 1, 2, result=chain(b"a", b"b")), done("append", 0, 0, (0, b"a"), outcome=UNKNOWN),
                     done("append", 0, 0, (1, b"b"), outcome=UNKNOWN), done("append", 3, 4, (1, b"b")))
        self.notices("NOT_FOUND", a, done("read", 5, 6, result=None))
        self.notices("a deleted chain was read", a, done("remove", 3, 4), done("read", 5, 6, result=chain(b"a")))
        self.notices("after the chain was deleted", a, done("remove", 3, 4), done("append", 5, 6, (1, b"b")))

    def test_those_of_the_simulator(self):
        def notices(words, *history):
            self.assertTrue(any(words in m for m in simulator_mistakes(history)), simulator_mistakes(history))

        put, a, b = done("put", 1, 2, b"x"), done("append", 1, 2, (0, b"a")), done("append", 3, 4, (1, b"b"))
        self.assertEqual(simulator_mistakes([put, done("get", 3, 4, result=b"x"), done("delete", 5, 6), done("get", 7, 8)]), [])
        notices("is NOT_FOUND", put, done("get", 3, 4))
        notices("bytes that nobody put", put, done("get", 3, 4, result=b"y"))
        notices("two acknowledged values", put, done("put", 3, 4, b"y"))
        notices("put again after its delete", put, done("delete", 3, 4), done("put", 5, 6, b"x"))
        self.assertEqual(simulator_mistakes([a, b, done("read", 5, 6, result=chain(b"a", b"b")), done("remove", 7, 8), done("read", 9, 10)]), [])
        notices("were seen before", a, b, done("read", 5, 6, result=chain(b"a")))
        notices("forks", a, done("append", 3, 0, (0, b"b"), outcome=UNKNOWN), done("read", 5, 6, result=chain(b"b")))
        notices("nobody appended", a, done("read", 5, 6, result=chain(b"a", b"b")))
        notices("refused for good", a, done("append", 3, 4, (1, b"b"), outcome=FAILED), done("read", 5, 6, result=chain(b"a", b"b")))
        notices("a gap", a, b, done("read", 5, 6, result=chain(b"a", b"b")[1:]))
        notices("does not continue", a, b, done("read", 5, 6, result=[chain(b"a")[0], chain(b"z", b"b")[1]]))
        notices("is NOT_FOUND", a, done("read", 5, 6))
        notices("after its delete", a, done("remove", 3, 4), done("append", 5, 6, (1, b"b")))


if __name__ == "__main__":
    unittest.main()
