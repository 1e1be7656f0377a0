"""Death of processes under load: nothing acknowledged is lost, and service goes on. R2, R4, R6, I4, I8."""
import contextlib
import http.client
import signal
import threading
import time
import urllib.request
from collections import Counter

import cluster
from cluster import ClusterTest
from load import Load
from ports import free_port
from workers import Workers


class Failover(ClusterTest):
    def test_primary_killed_under_load(self):
        c = self.started()
        victim = c.where("load-0", chain=True)["primary"]
        with Load(c) as load:
            load.wait_progress(20)
            c[victim].kill()
            load.wait_progress(30)
            c.wait_state(victim, "DOWN")
            c.wait_two_copies()
            load.wait_progress(10)
            c[victim].start()
            c.wait_healthy()
            load.wait_progress(10)
        self.assertEqual(load.failures, [])
        load.verify(self)
        print(f"{load.written()} writes, {load.reads} reads, slowest {load.slowest:.1f} s", flush=True)

    def test_paused_primary_serves_nothing_stale(self):
        """Through a router that knows of the fail-over. One that does not know asks the old primary: OldLayout of network_test.py."""
        c = self.started()
        c.cli("chain", "append", "paused", "one")
        old = c.where("paused", chain=True)["primary"]
        c[old].process.send_signal(signal.SIGSTOP)
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "fail-over")
        c.cli("--timeout", "30s", "chain", "append", "paused", "two")
        c[old].process.send_signal(signal.SIGCONT)
        # From now on it may answer; what it says must contain the second entry.
        for _ in range(20):
            self.assertEqual(c.cli("chain", "read", "paused", "--raw").out, "one\ntwo\n")
        c.wait_healthy()
        self.assertEqual(c.cli("chain", "read", "paused", "--raw").out, "one\ntwo\n")

    def test_router_killed_and_started_again(self):
        c = self.started()
        id = c.put(b"through one router")
        c["router"].kill()
        self.assertIn("coffer", c.cli("get", id, code=cluster.UNAVAILABLE).err)
        c["router"].start()
        self.assertEqual(c.get(id), b"through one router")

    def test_two_dead_of_three_waits_and_recovers(self):
        c = self.started()
        id = c.put(b"waits")
        c["node-1"].kill()
        c["node-2"].kill()
        c.wait_status(lambda s: s["code"] == "NO_QUORUM", "NO_QUORUM")
        # A write is not acknowledged by one copy.
        c.cli("--timeout", "3s", "chain", "append", "alone", "x", code=(cluster.UNAVAILABLE, cluster.TIMEOUT))
        c["node-1"].start()
        c["node-2"].start()
        c.wait_healthy()
        self.assertEqual(c.get(id), b"waits")
        c.cli("chain", "append", "alone", "y")


class AllAtOnce(ClusterTest):
    def test_one_new_address_is_enough(self):
        """Members are found by what is remembered and by gossip: only node-1 keeps its address, and nobody but it is named."""
        c = self.started()
        id = c.put(b"moved")
        for member in c.members.values():
            member.kill()
        for member in c.members.values():
            if member.name != "node-1":
                member.settings["listen"] = f"127.0.0.1:{free_port()}"
            member.settings["join"] = c["node-1"].settings["listen"]
        for member in c.members.values():
            member.start()
        c.wait_members(4)
        c.wait_healthy()
        self.assertEqual(c.get(id), b"moved")


class Stopping(ClusterTest):
    def test_sigterm_ends_each_with_0(self):
        c = self.started()
        c.put(b"x")
        for name in ["router", "node-3", "node-2", "node-1"]:
            self.assertEqual(c[name].terminate(), 0, c[name].tail())

    def test_sigterm_to_all_at_once_waits_for_nobody(self):
        """Nobody is left to take over: each ends as soon as it has heard that the others go."""
        c = self.started()
        id = c.put(b"x")
        nodes = c.nodes
        began = time.monotonic()
        for node, following in zip(nodes, nodes[1:] + [None]):
            node.process.terminate()
            if following:
                self.wait_said(following, f"{node.name} left")
        for node in nodes:
            self.assertEqual(node.exit_code(), 0, node.tail())
        self.assertLess(time.monotonic() - began, 12, "drain_timeout is 20 s")
        for node in nodes:
            node.start()
        c.wait_healthy()
        self.assertEqual(c.get(id), b"x")

    def test_restarted_in_turn_while_everybody_asks(self):
        """SIGTERM under load, with all that watches a member at work beside: metrics, probes, the status, secrets read again."""
        c = self.cluster()
        for member in c.members.values():
            member.settings["metrics_listen"] = f"127.0.0.1:{free_port()}"
        c.start()
        workers = Workers(c)
        self.addCleanup(workers.close)
        over = threading.Event()
        asked = Counter()

        def ask(member):
            while not over.wait(0.05):
                for page in ("metrics", "livez", "readyz"):
                    # A member that starts or stops answers nothing, or that it is not ready.
                    with contextlib.suppress(OSError, http.client.HTTPException), urllib.request.urlopen(f"http://{member.settings['metrics_listen']}/{page}", timeout=10) as answer:
                        answer.read()
                        asked[member.name, page] += 1

        watchers = [threading.Thread(target=ask, args=(member,)) for member in c.members.values()]
        for watcher in watchers:
            watcher.start()
        try:
            with workers:
                for member in c.members.values():
                    workers.wait_progress(50)
                    for other in c.members.values():
                        told = other.said().count("read again")
                        other.process.send_signal(signal.SIGHUP)
                        cluster.wait_until(lambda: other.said().count("read again") > told, f"{other.name} has read its secret again")
                    self.assertEqual(member.terminate(), 0, member.tail())
                    member.start()
                    c.wait_healthy()
                workers.wait_progress(50)
        finally:
            over.set()
            for watcher in watchers:
                watcher.join()
        workers.verify(self)
        for member in c.members.values():
            for page in ("metrics", "livez", "readyz"):
                self.assertGreater(asked[member.name, page], 0, f"{page} of {member.name}")


if __name__ == "__main__":
    cluster.main()
