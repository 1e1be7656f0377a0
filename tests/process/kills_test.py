"""Deaths and pauses of every role while clients work, judged by the histories of those clients. Faults 1, 2, 3, 7, 8, 16, 17, 18;
the rows "SIGKILL", "all killed at once" and "pause" of the fault matrix."""
import itertools
import os
import shutil
import time

import cluster
from api import Api
from cluster import ClusterTest, wait_until
from ports import free_port
from workers import Workers

# Rounds of each loop; the soak makes more.
ROUNDS = int(os.environ.get("COFFER_FAULT_ROUNDS", "1"))
MINUTES_PAUSED = float(os.environ.get("COFFER_PAUSE_MINUTES", "1"))
HEALTHY_WITHIN = 15  # seconds after the start of the last of all, by the fault matrix


class HistoryTest(ClusterTest):
    def work(self, c, **kw):
        workers = Workers(c, **kw)
        self.addCleanup(workers.close)
        return workers

    def until_done(self, c, *command):
        """A change of the layout, repeated while there is no majority to decide it."""
        wait_until(lambda: c.cli(*command, code=None).returncode == cluster.OK, f"coffer {' '.join(command)} succeeds", 90)

    def wait_writable(self, c):
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "every partition writable")


class Kills(HistoryTest):
    def test_each_role_in_a_loop(self):
        """SIGKILL of whichever is the primary of a busy chain, of a replica and of the router, without waiting for calm in between."""
        c = self.started(nodes=4)
        workers = self.work(c)
        with workers:
            workers.wait_progress(200)
            for victim in itertools.chain.from_iterable([["node-1", "router", "node-2", "node-3", "router", "node-4"]] * ROUNDS):
                c[victim].kill()
                if victim != "router":
                    workers.wait_progress(50)
                    c.wait_state(victim, "DOWN")
                c[victim].start()
                workers.wait_progress(50)
                # The next one dies once this one's loss would not be a second one.
                c.wait_two_copies()
            c.wait_healthy()
        workers.verify(self)

    def test_killed_while_it_returns(self):
        """The same node again and again, while it activates or catches up."""
        c = self.started()
        workers = self.work(c)
        with workers:
            for moment in [0.05, 0.3, 0.6, 1.2, 2.0] * ROUNDS:
                began = time.monotonic()
                c["node-2"].kill()
                c["node-2"].start()
                workers.wait_progress(20)
                cluster.wait_until(lambda: time.monotonic() - began > moment, "a moment of its start")
            c.wait_healthy()
        workers.verify(self)

    def test_all_at_once_with_other_ports(self):
        c = self.started()
        workers = self.work(c)
        with workers:
            for _ in range(ROUNDS):
                workers.wait_progress(200)
                for member in c.members.values():
                    member.kill()
                for member in c.members.values():
                    member.settings["listen"] = f"127.0.0.1:{free_port()}"
                c.agree_on_seeds()
                for member in c.members.values():
                    member.start()
                began = time.monotonic()
                c.wait_healthy()  # every partition writable, with both copies
                took = time.monotonic() - began
                print(f"healthy {took:.1f} s after the last start", flush=True)
                self.assertLess(took, HEALTHY_WITHIN)
                workers.wait_progress(50)
        workers.verify(self)


class Pauses(HistoryTest):
    def test_primary_paused_past_its_deposition(self):
        """It wakes up in the belief that it is the primary, with requests in its socket buffers that came before it was deposed."""
        c = self.started()
        workers = self.work(c)
        with workers:
            for name in ["node-1", "node-2", "node-3"] * ROUNDS:
                workers.wait_progress(100)
                c[name].pause()
                c.wait_state(name, "DOWN")
                self.wait_writable(c)
                workers.wait_progress(100)
                c[name].resume()
                workers.wait_progress(100)
                c.wait_healthy()
        workers.verify(self)

    def test_short_pauses_that_depose_nobody(self):
        c = self.started()
        workers = self.work(c)
        with workers:
            for name in ["node-1", "node-2", "node-3", "router"] * 2 * ROUNDS:
                c[name].pause()
                began = time.monotonic()
                cluster.wait_until(lambda: time.monotonic() - began > 0.4, "a short pause")
                c[name].resume()
                workers.wait_progress(30)
            c.wait_healthy()
        workers.verify(self)

    def test_everybody_paused(self):
        """A machine put to sleep: all time-outs have passed when it wakes up, and nothing is lost."""
        c = self.started()
        workers = self.work(c)
        with workers:
            workers.wait_progress(100)
            for member in c.members.values():
                member.pause()
            began = time.monotonic()
            cluster.wait_until(lambda: time.monotonic() - began > 6, "a sleep")
            for member in c.members.values():
                member.resume()
            c.wait_healthy()
            workers.wait_progress(100)
        workers.verify(self)


class LongPauses(HistoryTest):
    """Not among the tests of a change: `tests/soak --only LongPauses`."""

    def test_minutes(self):
        """A node stands still for minutes, as a virtual machine that is moved, while the others have long given its copies to each
        other; then all but one do."""
        c = self.started()
        workers = self.work(c)
        with workers:
            for names in (["node-1"], ["node-2", "node-3", "router"]):
                workers.wait_progress(100)
                for name in names:
                    c[name].pause()
                began = time.monotonic()
                if len(names) == 1:
                    workers.wait_progress(100)
                workers.pace = 0.5  # or the history grows beyond what can be kept and checked
                wait_until(lambda: time.monotonic() - began > MINUTES_PAUSED * 60, "the pause is over", MINUTES_PAUSED * 60 + 30)
                workers.pace = 0.0
                for name in names:
                    c[name].resume()
                workers.wait_progress(100)
                c.wait_healthy()
        workers.verify(self)


class Losses(HistoryTest):
    """Of the soak, for it takes long: `tests/soak --only Losses`."""

    def test_another_node_lost_while_the_first_is_replaced(self):
        """Of four nodes one dies, and while its copies are made anew a second one. What both held waits: nobody is promoted who may
        lack something. When the second one is back, all that was acknowledged is there."""
        c = self.started(nodes=4)
        api = Api(c.router_address)
        self.addCleanup(api.close)
        for number in range(160):
            api.call("Chunks/Put", timeout=60, zone="default", id=number.to_bytes(32, "big"), data=os.urandom(50 << 10))
        workers = self.work(c)
        with workers:
            workers.wait_progress(100)
            # So slow that it is under way for long.
            self.until_done(c, "resync", "pause")
            self.until_done(c, "resync", "limit", "64KiB")
            c["node-1"].kill()
            c.wait_status(lambda s: s.get("resync") and int(s["copies"]["one"]) > 0, "the copies of node-1 are to be made anew")
            self.until_done(c, "resync", "resume")
            c["node-2"].kill()
            c.wait_state("node-2", "DOWN")
            c.wait_status(lambda s: s["partitions_writable"] < s["partitions"], "what both held waits")
            c["node-2"].start()
            self.until_done(c, "resync", "limit", "256MiB")
            c.wait_two_copies(240)
            workers.wait_progress(100)
            c["node-1"].start()
            c.wait_healthy(240)
        workers.verify(self)


class Members(HistoryTest):
    """Of the soak, for it takes long: `tests/soak --only Members`."""

    def test_added_drained_and_replaced_while_others_die(self):
        """Members come, go and are replaced under clients at work, each while another one, or the router, is killed and started."""
        c = self.started(nodes=4)
        workers = self.work(c)
        with workers:
            workers.wait_progress(50)
            c.add_node("node-5", join=c.seeds()).start()
            c["node-1"].kill()
            c["node-1"].start()
            c.wait_state("node-5", "UP", 120)
            c.wait_healthy(240)
            workers.wait_progress(50)
            # The command waits for the end: what it began goes on without it.
            wait_until(lambda: c.cli("--timeout", "2s", "drain", "node-2", code=None) and "DRAIN" in c.member_status("node-2")["state"],
                       "node-2 is to be drained")
            c["node-3"].kill()
            c["node-3"].start()
            c.wait_state("node-2", "DRAINED", 240)
            c["node-2"].kill()
            self.until_done(c, "forget", "node-2", "--yes")
            workers.wait_progress(50)
            # Its disk is lost: all it holds has to be elsewhere, too.
            c.wait_two_copies(240)
            old = c.member_status("node-4")["id"]
            c["node-4"].kill()
            shutil.rmtree(c["node-4"].data)
            c["node-4"].start()
            c["router"].kill()
            c["router"].start()
            c.wait_status(lambda s: any(m["name"] == "node-4" and m["id"] != old and m["state"] == "MEMBER_STATE_UP" for m in s["members"]),
                          "node-4 is back under a new id", 120)
            c.wait_two_copies(240)
            workers.wait_progress(50)
        workers.verify(self)
        self.assertNotIn("node-2", [m["name"] for m in c.status()["members"]])


class Witness(HistoryTest):
    def test_two_nodes_and_a_witness(self):
        """With a witness two nodes outlive the death of either: what is written goes on once a decided layout says one copy, if that
        was chosen; what is read goes on by the majority of three voters."""
        c = self.cluster(nodes=2, min_copies=1)
        c.add_member("witness", role="witness", public_listen="none")
        c.agree_on_seeds()
        c.start()
        workers = self.work(c)
        with workers:
            for name in ["node-1", "node-2"]:
                workers.wait_progress(100)
                c[name].kill()
                c.wait_state(name, "DOWN")
                self.wait_writable(c)
                workers.wait_progress(100)
                c[name].start()
                c.wait_healthy()
            c["witness"].kill()
            c.wait_state("witness", "DOWN")
            workers.wait_progress(100)
            c["witness"].start()
            c.wait_healthy()
        workers.verify(self)


    def test_number_of_copies_changed_while_a_node_is_off(self):
        """The operator's way out when one of two nodes is gone, and the way back: each counts from the decision on, not from the next
        change of the partitions; nothing is acknowledged with one copy but where the layout says so (I12)."""
        c = self.cluster(nodes=2, resync_delay="2m")  # so long it counts as one that comes back
        c.add_member("witness", role="witness", public_listen="none")
        c.agree_on_seeds()
        c.start()

        def append():
            return c.cli("--timeout", "3s", "chain", "append", "log", "x", code=None).returncode
        self.assertEqual(append(), cluster.OK)
        c["node-2"].kill()
        c.wait_state("node-2", "DOWN")
        wait_until(lambda: c.cli("zone", "list", code=None).returncode == cluster.OK, "node-1 is primary of all", 60)
        self.assertNotEqual(append(), cluster.OK, "a write was acknowledged with one copy")
        c.cli("apply", "min-copies", "1", "--yes")
        wait_until(lambda: append() == cluster.OK, "writes go on with one copy", 60)
        c.cli("apply", "min-copies", "2", "--yes")
        wait_until(lambda: append() != cluster.OK, "writes wait for a second copy", 60)
        self.assertNotEqual(append(), cluster.OK, "a write was acknowledged with one copy")
        c["node-2"].start()
        c.wait_healthy()
        self.assertEqual(append(), cluster.OK)


class OldLayout(HistoryTest):
    def test_router_that_missed_everything(self):
        """A router is paused while the layout changes twice; what it says with its old layout is refused by the fence, then right."""
        c = self.started(nodes=4)
        port = free_port()
        c.add_member("late", role="router", public_listen=f"127.0.0.1:{port}", join=c.seeds()).start()
        c.wait_members(6)
        workers = self.work(c, routers=[c.router_address, f"127.0.0.1:{port}"])
        with workers:
            workers.wait_progress(100)
            c["late"].pause()
            c["node-1"].kill()
            c.wait_state("node-1", "DOWN")
            self.wait_writable(c)
            c["node-1"].start()
            c.wait_state("node-1", "UP")
            c["late"].resume()
            workers.wait_progress(200)
            c.wait_healthy()
        workers.verify(self)


if __name__ == "__main__":
    cluster.main()
