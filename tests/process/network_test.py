"""Networks that part, lose and crawl, between real processes in namespaces. Faults 1, 3, 4, 5, 21; the rows "one node isolated, two-way
split, bridge, ring, one-way cut" and "loss, delay" of the fault matrix."""
import hashlib
import os
import threading
import time

import cluster
import namespaces
from api import Api, Refused, consistency_pb2
from cluster import ClusterTest
from namespaces import NetworkedCluster
from workers import Workers

ROUNDS = int(os.environ.get("COFFER_FAULT_ROUNDS", "1"))
# Of one partition while a fault lasts, by the fault matrix and L5.5: one takes away who is out of reach, one adds another. Its end
# costs as many. Partitions differ in who leads them and in when their copies are filled, so there are more layouts than that.
MOST_CHANGES = 2


class NetworkTest(ClusterTest):
    @classmethod
    def setUpClass(cls):
        namespaces.skip_unless_inside()

    def networked(self, **kw):
        c = NetworkedCluster(**kw)
        self.addCleanup(c.close)
        c.start()
        return c

    def work(self, c, **kw):
        workers = Workers(c, **kw)
        self.addCleanup(workers.close)
        return workers

    def wait_writable(self, c):
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "every partition writable")

    def last_for(self, seconds):
        began = time.monotonic()
        cluster.wait_until(lambda: time.monotonic() - began > seconds, "the fault's time")

    def write_everywhere(self, c, chunks=300):
        """Each of so many new chunks is put, whichever partition it belongs to: of three nodes' groups none is missed."""
        api = Api(c.router_address)
        self.addCleanup(api.close)
        for _ in range(chunks):
            content = os.urandom(32)
            self.put_until_taken(api, hashlib.sha256(content).digest(), content)

    def put_until_taken(self, api, id, content):
        said = []

        def taken():
            try:
                api.call("Chunks/Put", timeout=4, zone="default", id=id, data=content)
                return True
            except Refused as e:
                said.append(str(e))
                return False
        cluster.wait_until(taken, lambda: f"a chunk is put while two nodes do not see each other; {said[-1:]}")

    def watch_terms(self, c):
        watch = Terms(c)
        self.addCleanup(watch.close)
        return watch

    def check_changes(self, terms, most, when):
        terms.look()
        print(f"{terms.layouts()} layouts {when}, {terms.most_changes()} of one partition", flush=True)
        self.assertLessEqual(terms.most_changes(), most)


class Terms:
    """Looks on while the layout changes, from a moment on in which it was at rest: the terms that each of some hundred partitions has
    had, and the epochs. A term is the epoch that changed the partition's group (L7), so there is one for each change."""

    def __init__(self, c, ids=200):
        self.api = Api(c.router_address)
        self.ids = [os.urandom(32) for _ in range(ids)]
        cluster.wait_until(self.at_rest, "every copy is where its goal is")
        self.seen, self.epochs = {}, set()  # partition -> terms
        self.look()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def where(self, id):
        return self.api.call("Cluster/Where", zone="default", id=id)

    def at_rest(self):
        return all(found.primary == found.goal[0] and set(found.in_sync) == set(found.goal) for found in map(self.where, self.ids))

    def look(self):
        for found in [self.where(id) for id in self.ids]:  # all or, when one is refused, none
            self.seen.setdefault(found.partition, set()).add(found.term)
            self.epochs.add(found.epoch)

    def run(self):
        while not self.stopped.wait(0.02):
            try:
                if self.where(self.ids[0]).epoch not in self.epochs:
                    self.look()
            except Refused:
                pass  # asked again

    def close(self):
        self.stopped.set()
        self.thread.join()
        self.api.close()

    def most_changes(self):
        """Of any partition."""
        return max(len(terms) - 1 for terms in list(self.seen.values()))

    def layouts(self):
        return max(self.epochs) - min(self.epochs)


class Partitions(NetworkTest):
    def test_one_node_isolated(self):
        """Cut off both ways: the majority goes on, the minority acknowledges nothing, and all agree when it is healed."""
        c = self.networked()
        workers = self.work(c)
        with workers:
            for name in ["node-1", "node-2", "node-3"] * ROUNDS:
                workers.wait_progress(50)
                terms = self.watch_terms(c)
                c.isolate(name)
                c.wait_state(name, "DOWN")
                self.wait_writable(c)
                workers.wait_progress(50)
                c.wait_two_copies()
                self.check_changes(terms, MOST_CHANGES, "while it lasted")
                c.heal()
                c.wait_healthy()
                self.check_changes(terms, 2 * MOST_CHANGES, "with its end")
                terms.close()
        workers.verify(self)

    def test_one_way_cuts(self):
        """A node that hears nobody, then one that nobody hears: it looks alive from one side only."""
        c = self.networked()
        workers = self.work(c)
        others = ["node-1", "node-3", "router"]
        with workers:
            for cuts in [[("node-2", other) for other in others], [(other, "node-2") for other in others]] * ROUNDS:
                workers.wait_progress(50)
                terms = self.watch_terms(c)
                for one, other in cuts:
                    c.deaf(one, to=other)
                workers.wait_progress(50)
                c.heal()
                c.wait_healthy()
                self.check_changes(terms, 2 * MOST_CHANGES, "with its end")
                terms.close()
        workers.verify(self)

    def test_two_that_do_not_see_each_other(self):
        """A partial partition: node-3 sees both, so nobody is given up. What the two held together is written on with node-3 while it
        lasts, and gets its second copy there; the layout does not flap."""
        c = self.networked()
        workers = self.work(c)
        with workers:
            workers.wait_progress(50)
            terms = self.watch_terms(c)
            c.cut("node-1", "node-2")
            self.write_everywhere(c)
            # Neither is where its goal is until the cut is mended, so the resync stays due.
            c.wait_status(lambda s: int(s["copies"]["one"]) == int(s["copies"]["none"]) == 0, "two copies of everything")
            self.write_everywhere(c)
            self.check_changes(terms, MOST_CHANGES, "while it lasted")
            # Of each of the two that lead: a removal, and additions, which may come in two parts where copies are filled slowly.
            self.assertLessEqual(terms.layouts(), 6)
            c.heal()
            c.wait_healthy()
            workers.wait_progress(50)
            self.check_changes(terms, 2 * MOST_CHANGES, "with its end")
        workers.verify(self)

    def test_split_down_the_middle(self):
        """Four nodes, two and two: neither side has a majority of the voters alone unless it holds two of three of them."""
        c = self.networked(nodes=4)
        workers = self.work(c)
        with workers:
            workers.wait_progress(50)
            terms = self.watch_terms(c)
            for one in ["node-1", "node-2", "router"]:
                for other in ["node-3", "node-4"]:
                    c.cut(one, other)
            self.last_for(6)
            # The two of the other side are given up one after the other.
            self.check_changes(terms, MOST_CHANGES + 1, "while it lasted")
            c.heal()
            c.wait_healthy()
            workers.wait_progress(50)
            # Two members come back, to either of which a copy may return, in two steps each.
            self.check_changes(terms, 3 * MOST_CHANGES, "with its end")
        workers.verify(self)

    def test_ring(self):
        """Four nodes that see only their neighbours: node-1 and node-3 are cut, and node-2 and node-4."""
        c = self.networked(nodes=4)
        workers = self.work(c)
        with workers:
            workers.wait_progress(50)
            terms = self.watch_terms(c)
            c.cut("node-1", "node-3")
            c.cut("node-2", "node-4")
            self.last_for(8)
            c.heal()
            c.wait_healthy()
            workers.wait_progress(50)
            self.check_changes(terms, 2 * MOST_CHANGES, "with its end")
        workers.verify(self)

    def test_router_between(self):
        """The router sees nodes that do not see each other, and a node that it does not see serves through nobody."""
        c = self.networked()
        workers = self.work(c)
        with workers:
            workers.wait_progress(50)
            c.cut("router", "node-1")
            # Reads of chunks go on from the other copy; writes to node-1's partitions have no way.
            self.last_for(5)
            c.heal()
            c.wait_healthy()
            workers.wait_progress(50)
        workers.verify(self)


class OldLayout(NetworkTest):
    def bodies(self, api, chain, **how):
        answers = api.stream("Chains/Read", timeout=2, zone="default", queries=[{"chain": chain, "range": {}}], **how)
        self.assertEqual([a.status.code for a in answers], [0] * len(answers))
        return [e.body for a in answers for e in a.entries]

    def test_deposed_primary_is_asked(self):
        """A primary that is cut off and deposed, and does not know, is asked by a router that does not know either (R5.1). It has one
        entry of two, as a local read shows; any other read has no answer from it, and both entries when the cut is mended."""
        c = self.networked()
        address = f"{c.address('late')}:7700"
        c.add_member("late", role="router", public_listen=address, join=c.seeds()).start()
        c.wait_members(5)
        api, late = Api(c.router_address), Api(address)
        self.addCleanup(api.close)
        self.addCleanup(late.close)
        chain = b"d" * 32

        def where(router):
            return router.call("Cluster/Where", zone="default", id=chain)

        def append(position, body, predecessor=b""):
            return api.call("Chains/Append", timeout=30, zone="default", chain=chain, position=position, predecessor=predecessor,
                            entries=[{"body": body}]).head
        first = append(0, b"one")
        self.assertEqual(self.bodies(late, chain), [b"one"])
        old = where(late)
        for name in (old.primary, "late"):
            for other in c.members.keys() - {old.primary, "late"}:
                c.cut(name, other)
        cluster.wait_until(lambda: where(api).primary != old.primary, "another is primary")
        append(1, b"two", first.hash)
        self.assertEqual(where(late), old)
        self.assertEqual(self.bodies(late, chain, consistency=consistency_pb2.CONSISTENCY_LOCAL), [b"one"])
        for _ in range(5):
            with self.assertRaises(Refused):
                self.bodies(late, chain)
        c.heal()

        def answered():
            try:
                return self.bodies(late, chain)
            except Refused:
                return None
        self.assertEqual(cluster.wait_until(answered, "the late router hears again"), [b"one", b"two"])
        c.wait_healthy()


class Links(NetworkTest):
    def test_lossy(self):
        c = self.networked()
        workers = self.work(c)
        with workers:
            workers.wait_progress(50)
            for name in c.members:
                c.lossy(name, 0.05)
            workers.wait_progress(50 * ROUNDS, seconds=120)
            c.heal()
            # A third of everything: no progress is asked for, only that nothing is wrong afterwards.
            for name in c.members:
                c.lossy(name, 0.3)
            self.last_for(8)
            c.heal()
            c.wait_healthy()
            workers.wait_progress(50)
        workers.verify(self)

    def test_slow(self):
        """One node's link carries 2 Mbit/s; large values queue there while small ones of others go on."""
        c = self.networked()
        workers = self.work(c, large=True, patience=8)
        with workers:
            workers.wait_progress(50)
            c.slow("node-2", "2mbit")
            workers.wait_progress(50 * ROUNDS, seconds=120)
            c.heal()
            c.wait_healthy()
            workers.wait_progress(50)
        workers.verify(self)


if __name__ == "__main__":
    namespaces.enter()
    cluster.main()
