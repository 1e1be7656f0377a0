"""The part of a router's cache that is on disk, with real processes: what left memory is read from there, and no node is asked."""
import hashlib
import random

import cluster
from api import Api, Refused
from cluster import ClusterTest, metrics, wait_until
from ports import free_port

CHUNKS = 100
SIZE = 40_000  # all of them are four times what memory holds


class DiskCache(ClusterTest):
    def begin(self, **settings):
        """A cluster whose router has a little memory and a disk, and the chunks."""
        c = self.cluster()
        self.disk = c.folder / "router-disk"
        self.member = c["router"]
        # "lru" keeps what was read last, so the second read of a chunk finds it in memory.
        self.member.settings.update(cache_bytes="1MiB", cache_policy="lru", cache_age="1h", cache_disk_path=str(self.disk),
                                    cache_disk_bytes="64MiB", metrics_listen=f"127.0.0.1:{free_port()}", **settings)
        return c

    def fill(self, c):
        self.api = Api(c.router_address)
        self.addCleanup(self.api.close)
        source = random.Random(1)
        self.chunks = {hashlib.sha256(data).digest(): data for data in (source.randbytes(SIZE) for _ in range(CHUNKS))}
        for id, data in self.chunks.items():
            self.api.call("Chunks/Put", timeout=60, zone="default", id=id, data=data)
        for id in self.chunks:
            self.read(id)
            self.read(id)

    def read(self, id):
        self.assertEqual(self.api.call("Chunks/Get", timeout=60, zone="default", id=id).data, self.chunks[id])

    def settled(self):
        """The metrics once nothing waits to be written."""
        def quiet():
            now = metrics(self.member)
            return now["coffer_cache_disk_queue"] == 0 and now
        return wait_until(quiet, "everything is written")

    def pass_without_nodes(self):
        """Reads every chunk; whether all came from the router."""
        before = self.settled()
        for id in self.chunks:
            self.read(id)
        wait_until(lambda: metrics(self.member)["coffer_cache_hits_total"] + metrics(self.member)["coffer_cache_disk_hits_total"] +
                   metrics(self.member)["coffer_cache_disk_misses_total"] >= before["coffer_cache_hits_total"] +
                   before["coffer_cache_disk_hits_total"] + before["coffer_cache_disk_misses_total"] + CHUNKS, "all reads are counted")
        after = self.settled()
        grown = {name: after[name] - before[name] for name in after if name in before}
        self.passed = grown
        return grown["coffer_cache_disk_misses_total"] == 0

    def test_what_left_memory_is_read_from_the_disk_and_no_node_is_asked(self):
        c = self.begin()
        second = c.add_member("router-2", role="router", public_listen=f"127.0.0.1:{free_port()}")
        second.settings["join"] = c.seeds()
        c.start()
        self.fill(c)
        # A chunk whose record is just being written is read from a node, so that not every pass is without nodes.
        wait_until(self.pass_without_nodes, lambda: f"a pass without nodes; the last: {self.passed}", 180)
        self.assertGreater(self.passed["coffer_cache_disk_hits_total"], CHUNKS // 2)
        # The zone's name is looked up once in a while.
        self.assertLess(self.passed["coffer_router_operations_total"], CHUNKS // 2)
        self.assertEqual(metrics(self.member)["coffer_cache_disk_bad_records_total"], 0)
        shown = c.cli("cache", "status").out
        self.assertIn(f"in {self.disk}", shown)
        self.assertIn("ON DISK", shown)

        # A delete reaches memory and disk, also one through another router.
        first = next(iter(self.chunks))
        self.api.call("Chunks/Delete", zone="default", id=first)
        self.assert_gone(first)
        through = Api(second.settings["public_listen"])
        self.addCleanup(through.close)
        del self.chunks[first]
        self.assertTrue(any(self.told_of_delete(through, id) for id in list(self.chunks)[:5]), "no delete was seen")

        # Forgotten on command, and at a start.
        self.settled()
        c.cli("cache", "clear")
        wait_until(lambda: metrics(self.member)["coffer_cache_disk_chunks"] == 0, "the disk is empty")
        for id in self.chunks:
            self.read(id)
            self.read(id)
        wait_until(lambda: metrics(self.member)["coffer_cache_disk_chunks"] > 0, "the disk is used again")
        self.settled()
        self.member.kill()
        self.assertGreater((self.disk / "chunks.cache").stat().st_size, SIZE)
        self.member.start()
        wait_until(lambda: metrics(self.member).get("coffer_cache_disk_chunks") == 0, "the router is back, with an empty disk")
        self.assertLess((self.disk / "chunks.cache").stat().st_size, SIZE)
        wait_until(lambda: c.cli("zone", "list", code=None).returncode == cluster.OK, "it answers")
        self.api = Api(c.router_address)  # the other one's connection broke with the router
        self.addCleanup(self.api.close)
        self.read(next(iter(self.chunks)))

    def test_a_full_disk_is_switched_off_and_no_client_notices(self):
        c = self.begin()
        # No file of this process may grow beyond 1 MiB; the signal that would end it is ignored, so that writes fail as on a full disk.
        self.member.prefix = ["bash", "-c", 'trap "" XFSZ; ulimit -f 1024; exec "$0" "$@"']
        c.start()
        self.fill(c)
        wait_until(lambda: metrics(self.member)["coffer_cache_disk_up"] == 0, "the disk is switched off")
        for id in self.chunks:
            self.read(id)
        self.wait_said(self.member, "the cache's disk is off until the next start")
        self.assertIn("off until the router's next start: writing", c.cli("cache", "status").out)

    def told_of_delete(self, through, id):
        """Deletes a chunk through another router. What this one is told is a hint, which is lost if its link breaks just then."""
        through.call("Chunks/Delete", timeout=60, zone="default", id=id)
        del self.chunks[id]
        try:
            return wait_until(lambda: self.gone(id), "the delete is seen", 15)
        except AssertionError:
            return False

    def gone(self, id):
        try:
            self.api.call("Chunks/Get", zone="default", id=id)
        except Refused as e:
            return e.code.name == "NOT_FOUND"
        return False

    def assert_gone(self, id):
        self.assertTrue(self.gone(id))


if __name__ == "__main__":
    cluster.main()
