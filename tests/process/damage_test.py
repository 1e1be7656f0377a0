"""Disks that lie, forget or fill up. R8, R10, R11, S8, S9, I13, I14; faults 9, 10, 13, 14."""
import base64
import os
import shutil
import signal
import time

import cluster
from cluster import ClusterTest, wait_until


def flip_at(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def places_of(path, content):
    """Where `content` begins in a file."""
    data, at, places = path.read_bytes(), -1, []
    while (at := data.find(content, at + 1)) >= 0:
        places.append(at)
    return places


def flip(member, content):
    """Flips a bit of `content` wherever it lies in the tables and segments of a member that is down. Returns how often."""
    assert not member.running, f"{member.name} runs: what it has in memory would hide the flip, and a compaction move its place"
    store = member.data / "store"
    found = [(path, at) for path in [*store.glob("*.ldb"), *store.glob("values/*.values")] for at in places_of(path, content)]
    for path, at in found:
        flip_at(path, at + len(content) // 2)
    return len(found)


class Identity(ClusterTest):
    def test_empty_disk_under_an_old_name(self):
        c = self.started()
        id = c.put(b"survives")
        old = c.member_status("node-2")["id"]
        c["node-2"].kill()
        c.wait_state("node-2", "DOWN")
        shutil.rmtree(c["node-2"].data)
        c["node-2"].start()
        c.wait_status(lambda s: any(m["name"] == "node-2" and m["id"] != old and m["state"] == "MEMBER_STATE_UP" for m in s["members"]),
                      "node-2 is back under a new id")
        # The identity it had is dropped once another has its name.
        c.wait_status(lambda s: old not in [m["id"] for m in s["members"]], "the old identity is gone")
        c.wait_healthy()
        self.assertEqual(c.get(id), b"survives")

    def test_folder_restored_from_yesterday(self):
        c = self.started()
        c.put(b"old")
        node = c["node-3"]
        self.assertEqual(node.terminate(), 0)
        yesterday = c.folder / "yesterday"
        shutil.copytree(node.data, yesterday)
        node.start()
        c.wait_healthy()
        c.cli("chain", "append", "later", "x")
        id = c.put(b"written after the copy was made")
        self.assertEqual(node.terminate(), 0)
        shutil.rmtree(node.data)
        shutil.copytree(yesterday, node.data)
        c.wait_state("node-3", "DOWN")
        old = c.member_status("node-3")["id"]
        self.refused_and_new(c, "node-3", old)
        self.assertEqual(c.get(id), b"written after the copy was made")
        self.assertEqual(c.cli("chain", "read", "later", "--raw").out, "x\n")

    def refused_and_new(self, c, name, old, others=()):
        """Starts a member on an old folder (and `others` with it): it is refused, and comes back under a new id."""
        c[name].start()
        for other in others:
            other.start()
        self.assertNotEqual(c[name].exit_code(60), 0, c[name].tail())
        self.assert_says(c[name], "old copy", "new id")
        c[name].start()
        c.wait_status(lambda s: any(m["name"] == name and m["id"] != old and m["state"] == "MEMBER_STATE_UP" for m in s["members"]),
                      f"{name} is back under a new id", 90)
        self.assertIn("is retired", c[name].said())
        c.wait_healthy()

    def restored(self, starts):
        """All are killed, one gets an older folder, all start: what was acknowledged since is there."""
        c = self.started()
        c.put(b"old")
        node = c["node-3"]
        old = c.member_status("node-3")["id"]
        self.assertEqual(node.terminate(), 0)
        yesterday = c.folder / "yesterday"
        shutil.copytree(node.data, yesterday)
        node.start()
        c.wait_healthy()
        ids = {c.put(f"new {i}".encode()): f"new {i}".encode() for i in range(20)}
        for member in c.nodes:
            member.kill()
        shutil.rmtree(node.data)
        shutil.copytree(yesterday, node.data)
        for _ in range(starts):
            node.start()
            self.wait_said(node, "the node is up")
            node.kill()
            node.log.unlink()
        self.refused_and_new(c, "node-3", old, [m for m in c.nodes if m is not node])
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)

    def test_folder_restored_and_all_restarted(self):
        """Its boot counter becomes as high as the one its peers remember."""
        self.restored(0)

    def test_folder_restored_and_started_often(self):
        """Its boot counter becomes higher than the one its peers remember."""
        self.restored(3)

    def test_folder_copied_from_a_running_node(self):
        c = self.started()
        node = c["node-3"]
        old = c.member_status("node-3")["id"]
        node.process.send_signal(signal.SIGSTOP)
        copy = c.folder / "snapshot"
        shutil.copytree(node.data, copy)
        node.process.send_signal(signal.SIGCONT)
        c.wait_healthy()
        end = time.monotonic() + 25  # promises are made for more than the time from step to step
        ids = {}
        while time.monotonic() < end:
            content = os.urandom(100)
            ids[c.put(content)] = content
        for member in c.nodes:
            member.kill()
        shutil.rmtree(node.data)
        shutil.copytree(copy, node.data)
        self.refused_and_new(c, "node-3", old, [m for m in c.nodes if m is not node])
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)

    def test_folders_swapped(self):
        """Two ids at other addresses, nothing but that. The name goes with the id."""
        c = self.started()
        ids = {c.put(f"kept {i}".encode()): f"kept {i}".encode() for i in range(10)}
        before = {m["name"]: m for m in c.status()["members"]}
        one, two = c["node-1"], c["node-2"]
        for node in (one, two):
            self.assertEqual(node.terminate(), 0)
        aside = c.folder / "aside"
        one.data.rename(aside)
        two.data.rename(one.data)
        aside.rename(two.data)
        for node in (one, two):
            node.start()
        c.wait_healthy()
        for name, other in (("node-1", "node-2"), ("node-2", "node-1")):
            self.assertEqual(c.member_status(name)["id"], before[name]["id"])
            self.assertEqual(c.member_status(name)["address"], before[other]["address"])
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)
        new = c.put(b"and writes go on")
        self.assertEqual(c.get(new), b"and writes go on")

    def test_long_absent_node_brings_nothing_back(self):
        """What was deleted while a node was away stays deleted, and what was written is given to it (R8, R10.4, S6)."""
        c = self.started()
        gone = [c.put(f"deleted later {i}".encode()) for i in range(20)]
        c["node-1"].kill()
        c.wait_two_copies()
        c.wait_state("node-1", "DOWN")
        for id in gone:
            c.cli("rm", id, "--yes")
        new = c.put(b"written meanwhile")
        c["node-1"].start()
        c.wait_healthy()
        c["node-2"].kill()
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "fail-over")
        for id in gone:
            c.cli("--timeout", "30s", "get", id, code=cluster.NOT_FOUND)
        self.assertEqual(c.get(new), b"written meanwhile")


class Damage(ClusterTest):
    def killed(self, c):
        """All at once: nobody is left to decide another layout. The router too: it would remember a healthy cluster."""
        for member in c.members.values():
            member.kill()

    def start_again(self, c):
        for member in c.members.values():
            member.start()
        c.wait_members(4)
        c.wait_healthy()

    def in_tables(self, c):
        """After a second start all that was written lies in tables, not in LevelDB's log."""
        self.killed(c)
        self.start_again(c)

    def test_manifest_lost_while_down(self):
        c = self.started()
        ids = {c.put(f"kept {i}".encode()): f"kept {i}".encode() for i in range(30)}
        self.in_tables(c)
        node = c["node-2"]
        old = c.member_status("node-2")["id"]
        self.assertEqual(node.terminate(), 0)
        for manifest in (node.data / "store").glob("MANIFEST-*"):
            manifest.write_bytes(os.urandom(manifest.stat().st_size))
        node.start()
        self.wait_said(node, "damaged")
        c.wait_status(lambda s: any(m["name"] == "node-2" and m["id"] != old and m["state"] == "MEMBER_STATE_UP" for m in s["members"]),
                      "node-2 is back under a new id")
        c.wait_two_copies()
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)

    def put_several(self, c):
        """Large values, which lie in the log of values. Returns them by id."""
        contents = [os.urandom(24 << 10) for _ in range(24)]
        return {c.put(content): content for content in contents}

    def flip_all(self, node, contents):
        flipped = [flip(node, content) for content in contents.values()]
        self.assertGreater(sum(flipped), 0, f"{node.name} has none of the contents")

    def test_bad_value_on_one_copy_is_repaired(self):
        c = self.started(cache_bytes="0B")  # every read goes to a node
        contents = self.put_several(c)
        node = c["node-2"]
        self.killed(c)
        self.flip_all(node, contents)
        self.start_again(c)

        def read_and_repaired():
            for id, content in contents.items():
                self.assertTrue(c.get(id) == content, "a wrong byte was read")
            return int(c.member_status("node-2")["repaired_blocks"]) >= 1
        wait_until(read_and_repaired, "node-2 finds and repairs a bad copy", 60)
        self.assertGreaterEqual(int(c.member_status("node-2")["bad_blocks"]), 1)

    def test_scrub_repairs_what_nobody_reads(self):
        c = self.started(cache_bytes="0B", scrub_interval="0s", scrub_rate="0B")
        contents = self.put_several(c)
        node = c["node-2"]
        self.killed(c)
        self.flip_all(node, contents)
        self.start_again(c)

        def scrub_of(name):
            return c.member_status(name).get("scrub", {})

        def passes():
            return {n.name: int(scrub_of(n.name).get("last_pass_ms", 0)) for n in c.nodes}
        c.cli("scrub", "start")
        wait_until(lambda: all(passes().values()), "every node has read all it stores", 120)
        wait_until(lambda: int(c.member_status("node-2")["repaired_blocks"]) >= 1, "a bad block is repaired that nobody has read", 60)
        # Once all of them are repaired a pass finds nothing, on any node.

        def clean_pass():
            before = passes()
            c.cli("scrub", "start")
            wait_until(lambda: all(passes()[name] > at for name, at in before.items()), "another pass", 120)
            return all(int(scrub_of(n.name).get("bad_blocks", 0)) == 0 for n in c.nodes)
        wait_until(clean_pass, "a pass that finds nothing", 120)
        for id, content in contents.items():
            self.assertTrue(c.get(id) == content, "a wrong byte was read")
        c.cli("scrub", "pause")
        node.kill()
        node.start()
        c.wait_healthy()
        wait_until(lambda: scrub_of("node-2").get("state") == "SCRUB_STATE_PAUSED", "node-2 knows of the pause after its restart", 60)
        self.assertIn("paused", c.cli("scrub", "status").out)

    def test_bad_value_on_both_copies_is_named(self):
        """And mended by the same bytes, put again (R6.5)."""
        c = self.started(cache_bytes="0B")  # every read goes to a node
        contents = self.put_several(c)
        self.killed(c)
        for node in c.nodes:
            self.flip_all(node, contents)
        self.start_again(c)
        done = c.cli("--timeout", "20s", "get", next(iter(contents)), "--raw", code=cluster.FAILURE)
        self.assertIn("DATA_LOSS", done.err)
        self.assertEqual(len(done.stdout), 0, "no wrong byte is shown")
        c.cli("chain", "append", "others", "are not touched")
        c.wait_status(lambda s: s.get("code") == "BLOCKS_LOST" and int(s["copies"]["none"]) >= 1, "the status says that a block is lost")

        # The same bytes, put again, are the cure.
        for id in contents:
            c.cli("--timeout", "20s", "get", id, "--raw", code=cluster.FAILURE)
        for id, content in contents.items():
            self.assertEqual(c.put(content), id)
        for id, content in contents.items():
            self.assertTrue(c.get(id) == content, "a wrong byte was read")
        c.wait_healthy()
        c["node-1"].kill()
        for id, content in contents.items():
            wait_until(lambda: c.get(id) == content, "the other copies were written again, too")

    def test_bad_block_found_at_the_start(self):
        """A table that does not verify when it is opened: no wrong byte, and two good copies in the end."""
        c = self.started(cache_bytes="0B")
        content = os.urandom(3 << 10)
        id = c.put(content)
        self.in_tables(c)
        name = c.where(id)["primary"]
        c[name].kill()
        self.assertGreater(flip(c[name], content), 0, "the content is not in the tables")
        c[name].start()
        c.wait_healthy()
        self.assertTrue(c.get(id) == content, "a wrong byte was read")
        c[c.where(id)["primary"]].kill()
        wait_until(lambda: c.get(id) == content, "the other copy is read after the fail-over")

    def test_votes_destroyed_while_down(self):
        """Without its votes a member may not act under its id again."""
        c = self.started()
        node = c["node-1"]
        old = c.member_status("node-1")["id"]
        self.assertEqual(node.terminate(), 0)
        for path in node.data.glob("agreement-*"):
            path.write_bytes(os.urandom(path.stat().st_size))
        node.start()
        c.wait_status(lambda s: any(m["name"] == "node-1" and m["id"] != old and m["state"] == "MEMBER_STATE_UP" for m in s["members"]),
                      "node-1 is back under a new id")
        self.assertIn(base64.b64decode(old).hex(), (node.data / "retired-ids").read_text())
        c.wait_two_copies()

    def test_full_disk_refuses_writes_and_reads_on(self):
        c = self.started()
        id = c.put(b"before")
        # The reserve is more than the disk has: full from the first moment.
        node = c["node-1"]
        self.assertEqual(node.terminate(), 0)
        node.start(disk_reserve="1000TiB")
        c.wait_status(lambda s: c.member_status("node-1", s)["read_only"], "node-1 refuses writes")
        self.assertEqual(c.get(id), b"before")
        self.assertEqual(node.terminate(), 0)
        node.start(disk_reserve="64MiB")
        c.wait_healthy()
        c.cli("chain", "append", "room again", "x")


class Repair(ClusterTest):
    def test_resync_sends_only_the_difference(self):
        """S4: digests of runs first, then lists of those that differ, then the records."""
        c = self.started()
        for i in range(60):
            c.put(os.urandom(50 << 10))
        node = c["node-3"]
        self.assertEqual(node.terminate(), 0)
        c.wait_two_copies()
        new = [c.put(os.urandom(50 << 10)) for _ in range(3)]
        sent, total = [0], [0]

        def seen(status):
            resync = status.get("resync") or {}
            sent.append(int(resync.get("bytes_sent", 0)))
            total.append(int(resync.get("bytes_total", 0)))
            return resync

        def healthy(status):
            seen(status)
            return status["verdict"] == "VERDICT_HEALTHY" and cluster.all_copies(status)
        # Paused, the whole plan stands still to be seen; then slow enough for what travels to be seen.
        c.cli("resync", "pause")
        c.cli("resync", "limit", "64KiB")
        node.start()
        c.wait_status(lambda s: seen(s) and max(total) > 0, "a plan for node-3 is there")
        c.cli("resync", "resume")
        c.wait_status(healthy, "healthy")
        back = c.member_status("node-3")
        self.assertGreater(int(back["primaries"]) + int(back["replicas"]), 0, "node-3 holds copies again")
        self.assertLess(max(sent), max(total) // 2, "more was sent than the difference")
        for id in new:
            self.assertEqual(len(c.get(id)), 50 << 10)

    def test_pause_and_resume(self):
        c = self.started()
        for i in range(20):
            c.put(os.urandom(20 << 10))
        c.cli("resync", "pause")
        c["node-2"].kill()
        c.wait_status(lambda s: s["code"] in ("RESYNC_PAUSED", "NODE_DOWN") and s["partitions_writable"] == s["partitions"], "paused")
        c.cli("chain", "append", "while paused", "x")
        self.assertGreater(int(c.wait_state("node-2", "DOWN")["copies"]["one"]), 0)
        c.cli("resync", "resume")
        c.wait_two_copies()
        c["node-2"].start()
        c.wait_healthy()


if __name__ == "__main__":
    cluster.main()
