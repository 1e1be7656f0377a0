"""More load than the cluster can carry, and what is left of it afterwards. Fault 24; the rows "load 10 x, retry storm, hot key, deletion of
a huge zone" and "memory pressure" of the fault matrix."""
import json
import signal
import subprocess
import threading
import time

import cluster
from api import Api, Refused
from cluster import ClusterTest, wait_until
from memory_group import MemoryGroup
from workers import Workers

BACK_WITHIN = 60  # seconds until the time of an answer is again what it was, by the fault matrix


class Load(ClusterTest):
    """Not among the tests of a change, for they measure: `tests/soak --only overload`."""

    def worked_on(self):
        c = self.started()
        self.workers = Workers(c, count=4)
        self.addCleanup(self.workers.close)
        return c

    def bench(self, c, *options, code=cluster.OK, duration="5s", keys=200):
        done = c.cli("-o", "json", "--timeout", "5s", "bench", "--warm-up", "0", "--duration", duration, "--key-count", keys, *options,
                     code=code, seconds=180)
        self.assertTrue(done.out, done.err)
        return json.loads(done.out)

    def light(self, c, rate):
        """The time in which 99 % of the operations of a light load are answered, without errors."""
        figures = self.bench(c, "--rate", rate)
        self.assertEqual(figures["errors"], {})
        return figures["all"]["p99_seconds"]

    def well_again(self, c, before, rate):
        """Answers come as fast as before, or nearly: within 5 times that, or a quarter of a second."""
        def quick():
            last.append(self.light(c, rate))
            return last[-1] <= max(5 * before, 0.25)
        last = []
        began = time.monotonic()
        wait_until(quick, lambda: f"p99 {before:.3f} s again, now {last}", BACK_WITHIN)
        print(f"p99 {before * 1000:.0f} ms before, {last[-1] * 1000:.0f} ms {time.monotonic() - began:.0f} s after", flush=True)
        c.wait_healthy(180)

    def around(self, c, strain):
        """Clients whose history is checked work before, during and after `strain(rate)`, with the most that was carried a second."""
        with self.workers:
            most = self.bench(c, "--in-flight", 64)["all"]["per_second"]
            before = self.light(c, most / 8)
            strain(most)
            self.well_again(c, before, most / 8)
            self.workers.wait_progress(50, seconds=180)
        self.workers.verify(self)
        for member in c.members.values():
            self.assertTrue(member.running, member.tail())

    def test_ten_times_the_load(self):
        c = self.worked_on()

        def strain(most):
            # The generator shares two processors with the cluster: what it can't send is due all the same.
            figures = self.bench(c, "--rate", 10 * most, "--in-flight", 16384, "--clients", 4, code=None, duration="15s")
            self.assertEqual(figures["wrong"], 0)
            self.assertIn("TOO_MANY_CALLS", figures["errors"])  # RESOURCE_EXHAUSTED
            print(f"{most:.0f}/s carried; of {10 * most:.0f}/s due {figures['all']['per_second']:.0f}/s, errors {figures['errors']}", flush=True)
        self.around(c, strain)

    def test_one_hot_key(self):
        c = self.worked_on()
        c["router"].terminate()
        c["router"].start(cache_bytes="0B")  # so that it is hot at a node, too
        c.wait_healthy(180)
        self.around(c, lambda most: self.bench(c, "--mix", "get", "--rate", 4 * most, "--in-flight", 8192, "--clients", 2, keys=1,
                                               code=None, duration="15s"))

    def test_storm_of_repetitions(self):
        """Callers that give up after a twentieth of a second and ask again at once, while a node dies and returns."""
        c = self.worked_on()

        def strain(most):
            stop = threading.Event()
            callers = [threading.Thread(target=self.insist, args=(c.router_address, stop, n)) for n in range(48)]
            for caller in callers:
                caller.start()
            try:
                c["node-2"].kill()
                self.workers.wait_progress(20, seconds=120)
                c["node-2"].start()
                # The storm goes on: what it began must not keep itself alive.
                c.wait_two_copies(180)
            finally:
                stop.set()
                for caller in callers:
                    caller.join()
        self.around(c, strain)

    def insist(self, address, stop, number):
        api = Api(address)
        asked = 0
        while not stop.is_set():
            asked += 1
            try:
                api.call("Chunks/Put", timeout=0.05, zone="default", id=number.to_bytes(4, "big") + asked.to_bytes(28, "big"), data=b"storm")
            except Refused:
                pass
        api.close()

    def test_deletion_of_a_large_zone(self):
        c = self.worked_on()
        c.cli("zone", "create", "large")
        self.bench(c, "--mix", "put", "--in-flight", 256, "--keep", duration="20s")
        kept = [line.split()[0] for line in c.cli("zone", "list").out.splitlines() if line.startswith("bench")]
        self.assertEqual(len(kept), 1)

        def strain(most):
            c.cli("zone", "rm", kept[0], "--yes")
        self.around(c, strain)
        wait_until(lambda: kept[0] not in c.cli("zone", "list").out, "all of it is gone", 180)


class Memory(ClusterTest):
    def test_no_more_memory(self):
        """A node that is refused memory under load ends, or goes on: it does not hang about half dead. Nothing is lost."""
        c = self.cluster()
        c.start()
        node = c["node-2"]
        workers = Workers(c, large=True)
        self.addCleanup(workers.close)
        with workers:
            workers.wait_progress(100)
            with open(f"/proc/{node.process.pid}/status") as status:
                now = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))
            subprocess.run(["prlimit", "--pid", str(node.process.pid), f"--as={now}:{now}"], check=True)
            workers.wait_progress(200, seconds=120)
            c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "every partition writable")
            if node.running:
                node.kill()
            node.start()
            c.wait_healthy(180)
            workers.wait_progress(50, seconds=180)
        workers.verify(self)

    def test_killed_for_want_of_memory(self):
        """The kernel ends a node that needs more than its group of processes may have, as in a container: the others go on without it, it
        starts again with room enough, and nothing is lost."""
        group = MemoryGroup()
        self.addCleanup(group.close)
        c = self.cluster()
        node = c["node-2"]
        node.prefix = group.prefix()
        c.start()
        workers = Workers(c, large=True)
        self.addCleanup(workers.close)
        with workers:
            workers.wait_progress(100)

            def ended():
                # What it needs rises and falls with the load: the bound follows it down until it is in the way.
                group.limit(group.unreclaimable() + (1 << 20))
                return not node.running
            wait_until(ended, "the kernel ends the node", 120)
            self.assertEqual(node.exit_code(), -signal.SIGKILL, node.tail())
            self.assertGreater(group.killed(), 0)
            workers.wait_progress(100, seconds=120)
            c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "every partition writable")
            self.assertTrue(group.limit(1 << 30))
            node.start()
            c.wait_healthy(180)
            workers.wait_progress(50, seconds=180)
        workers.verify(self)


if __name__ == "__main__":
    cluster.main()
