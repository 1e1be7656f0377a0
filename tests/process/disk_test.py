"""Disks that fail, hang, fill up or come back damaged under clients at work. Faults 11, 12, 13, 22, 23; the rows "EIO on write,
fsync", "disk slow, fsync hung", "ENOSPC" and "bit flips" of the fault matrix."""
import errno
import os
import random
import subprocess
import sys
import time
import unittest

import cluster
from cluster import BIN, ClusterTest, wait_until
from workers import Workers

INSIDE = "COFFER_TEST_MOUNTS"
DAMAGES = int(os.environ.get("COFFER_FAULT_ROUNDS", "1"))
MOVED_WITHIN = 15  # seconds until the partitions of a node whose disk hangs are written elsewhere, by the fault matrix
SEED = int(os.environ.get("COFFER_SEED", "1"))


def enter():
    """Runs the calling program anew where it may mount without anybody else seeing it."""
    if os.environ.get(INSIDE):
        return
    own = ["unshare", "--mount", "--propagation", "private"]
    tried = subprocess.run([*own, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, text=True)
    os.environ[INSIDE] = "inside" if tried.returncode == 0 else "not permitted: " + tried.stderr.strip()
    if tried.returncode == 0:
        os.execvp(own[0], [*own, sys.executable, "-B", *sys.argv])


class DiskTest(ClusterTest):
    def work(self, c, **kw):
        workers = Workers(c, **kw)
        self.addCleanup(workers.close)
        return workers

    def wait_writable(self, c):
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "every partition writable")


class Failing(DiskTest):
    def with_bad_disk(self, c, name):
        control = c.folder / f"{name}.disk"
        c[name].environment = {"LD_PRELOAD": str(BIN / "bad_disk.so"), "COFFER_BAD_DISK": str(control)}
        return control

    def fails(self, how):
        """The process ends and says why; the others go on; it comes back under a new id and is filled again."""
        c = self.cluster()
        control = self.with_bad_disk(c, "node-2")
        c.start()
        old = c.member_status("node-2")["id"]
        workers = self.work(c)
        with workers:
            workers.wait_progress(100)
            control.write_text(how)
            self.assertNotEqual(c["node-2"].exit_code(60), 0)
            self.wait_writable(c)
            workers.wait_progress(50)
            control.unlink()
            c["node-2"].start()
            c.wait_status(lambda s: any(m["name"] == "node-2" and m["id"] != old and m["state"] == "MEMBER_STATE_UP" for m in s["members"]),
                          "node-2 is back under a new id")
            c.wait_two_copies()
            workers.wait_progress(50)
        workers.verify(self)

    def test_sync_fails(self):
        self.fails("sync")

    def test_write_fails(self):
        self.fails("write")

    def test_read_fails(self):
        """Nothing can be read of one disk: all is read from the other copies, and the node writes it anew or ends."""
        c = self.cluster(cache_bytes="0B")
        control = self.with_bad_disk(c, "node-2")
        c.start()
        contents = {c.put(content): content for content in (os.urandom(40 << 10) for _ in range(12))}
        node = c["node-2"]

        def noticed():
            for id, content in contents.items():
                self.assertTrue(c.get(id) == content, "a wrong byte was read")
            return not node.running or int(c.member_status("node-2").get("bad_blocks", 0)) > 0
        control.write_text("read")
        wait_until(noticed, "node-2 notices that it can't read")
        control.unlink()
        if not node.running:
            node.start()
        c.wait_healthy()
        c["node-1"].kill()
        self.wait_writable(c)
        for id, content in contents.items():
            wait_until(lambda: c.get(id) == content, "what node-2 could not read is there")

    def test_a_hundred_times_slower(self):
        """Every sync takes a second more: others lead what the node led, what needs this disk is slow, and nothing is
        wrong. When the disk is well again it leads as much as before: two layouts in all."""
        c = self.cluster()
        control = self.with_bad_disk(c, "node-2")
        c["node-2"].settings["slow_disk"] = "400ms"  # so that a busy machine's disk is none
        before = c.start()
        leads = lambda s: int(c.member_status("node-2", s).get("primaries", 0))
        self.assertGreater(leads(before), 0)
        workers = self.work(c, patience=8)
        with workers:
            workers.wait_progress(100)
            control.write_text("slow 1000")
            began = time.monotonic()
            moved = c.wait_status(lambda s: leads(s) == 0 and s["partitions_writable"] == s["partitions"], "node-2 leads nothing", MOVED_WITHIN)
            took = time.monotonic() - began
            print(f"its partitions moved within {took:.1f} s", flush=True)
            self.assertLess(took, MOVED_WITHIN * cluster.SLOWNESS)
            self.assertEqual(moved["code"], "DISK_SLOW", moved["reason"])
            self.assertTrue(c.member_status("node-2", moved)["disk_slow"])
            self.assertIn("slow disk", c.cli("status", code=None).out)
            workers.wait_progress(100, seconds=120)
            still = c.status()
            self.assertEqual(leads(still), 0)
            self.assertEqual(still["epoch"], moved["epoch"])
            control.unlink()
            began = time.monotonic()
            after = c.wait_status(lambda s: leads(s) == leads(before), "node-2 leads again what it led", 180)
            print(f"and came back {time.monotonic() - began:.1f} s after the disk was well", flush=True)
            self.assertLessEqual(int(after["epoch"]) - int(before["epoch"]), 2)
            c.wait_healthy()
            workers.wait_progress(50)
        workers.verify(self)
        self.assertTrue(c["node-2"].running, c["node-2"].tail())

    def test_sync_hangs(self):
        """The network lives, the disk does not answer: its partitions move, and it catches up when the disk is back."""
        c = self.cluster()
        control = self.with_bad_disk(c, "node-2")
        c.start()
        workers = self.work(c)
        with workers:
            workers.wait_progress(100)
            control.write_text("hang")
            began = time.monotonic()
            c.wait_state("node-2", "DOWN")
            self.wait_writable(c)
            took = time.monotonic() - began
            print(f"its partitions moved within {took:.1f} s", flush=True)
            self.assertLess(took, MOVED_WITHIN * cluster.SLOWNESS)
            workers.wait_progress(50)
            control.unlink()
            if not c["node-2"].running:
                c["node-2"].start()
            c.wait_healthy()
            workers.wait_progress(50)
        workers.verify(self)


class Full(DiskTest):
    def on_small_disk(self, node, megabytes):
        if os.environ.get(INSIDE) != "inside":
            raise unittest.SkipTest(os.environ.get(INSIDE, "not entered"))
        node.data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", node.data], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", node.data])

    def test_every_disk_to_the_last_byte(self):
        """Another program takes all room of all nodes at once, the reserve too. Whoever ends says why; what was acknowledged is
        there when there is room again, and writes go on."""
        c = self.cluster(disk_reserve="32MiB")
        for node in c.nodes:
            self.on_small_disk(node, 160)
        c.start()
        kept = {c.put(b"kept %d" % i): b"kept %d" % i for i in range(10)}
        workers = self.work(c, large=True)
        fillers = [node.data / "filler" for node in c.nodes]
        with workers:
            workers.wait_progress(100)
            for filler in fillers:
                self.fill(filler)
            wait_until(lambda: any("DISK_FULL" in o.why for o in workers.history.taken()[-500:]), "a write is refused with the reason")
            for node in c.nodes:
                self.assertTrue(node.running, node.tail())
            for id, content in kept.items():
                self.assertEqual(c.get(id), content)
            for filler in fillers:
                filler.unlink()
            c.wait_healthy()
            workers.wait_progress(100)
        workers.verify(self)
        for node in c.nodes:
            self.assertTrue(node.running, node.tail())

    def fill(self, path):
        """Until not one byte more is taken."""
        with open(path, "ab", buffering=0) as f:
            for piece in (1 << 20, 4096, 1):
                try:
                    while f.write(bytes(piece)):
                        pass
                except OSError as e:
                    self.assertEqual(e.errno, errno.ENOSPC)

    def test_small_disk_fills_and_is_freed(self):
        c = self.cluster(disk_reserve="48MiB")
        node = c["node-2"]
        self.on_small_disk(node, 256)
        c.start()
        ids = [c.put(b"deleted while it is full %d" % i) for i in range(20)]
        workers = self.work(c, large=True)
        filler = node.data / "filler"
        with workers:
            workers.wait_progress(100)
            # Another program takes the room, down into the reserve.
            left = os.statvfs(node.data)
            with open(filler, "wb") as f:
                os.posix_fallocate(f.fileno(), 0, left.f_bavail * left.f_frsize - (30 << 20))
            c.wait_status(lambda s: c.member_status("node-2", s)["read_only"], "node-2 refuses writes")
            wait_until(lambda: any("DISK_FULL" in o.why for o in workers.history.taken()[-500:]), "a write is refused with the reason")
            for id in ids:
                c.cli("--timeout", "20s", "rm", id, "--yes")
            self.assertTrue(node.running, node.tail())
            filler.unlink()
            c.wait_healthy()
            workers.wait_progress(100)
        workers.verify(self)
        self.assertTrue(node.running, node.tail())


class DamagedFiles(DiskTest):
    def kinds(self, node):
        """Every kind of file a node keeps, with those that exist."""
        store = node.data / "store"
        found = {"log": store.glob("*.log"), "synced": store.glob("SYNCED"), "table": store.glob("*.ldb"), "manifest": store.glob("MANIFEST-*"), "current": store.glob("CURRENT"),
                 "votes": node.data.glob("agreement-*"), "values": node.data.glob("store/values/*"),
                 "others": (p for p in node.data.iterdir() if p.is_file() and p.name not in ("lock", "secret") and not p.name.startswith("agreement-"))}
        return {kind: sorted(p for p in paths if p.is_file() and p.stat().st_size) for kind, paths in found.items()}

    def damage(self, rng, path, how):
        size = path.stat().st_size
        with open(path, "r+b") as f:
            if how == "cut":
                f.truncate(rng.randrange(size))
                return
            at = rng.randrange(size)
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << rng.randrange(8)]))

    def test_each_kind_of_file(self):
        """One file of one node, cut or with a flipped bit, while it is down: it starts, or says why and starts after its folder is
        emptied; in either case nothing wrong is read and both copies exist in the end."""
        with self.subTest(COFFER_SEED=SEED):
            self.damage_each_kind(random.Random(SEED))

    def damage_each_kind(self, rng):
        c = self.started()
        workers = self.work(c)
        with workers:
            workers.wait_progress(200)
            node = c["node-2"]
            for kind in list(self.kinds(node)) * DAMAGES:
                how = rng.choice(["cut", "flip"])
                node.kill()
                paths = self.kinds(node)[kind]
                if paths:
                    path = rng.choice(paths)
                    self.damage(rng, path, how)
                    print(f"{how}: {path.relative_to(node.data)}", flush=True)
                node.start()
                wait_until(lambda: not node.running or c.member_status("node-2")["state"] == "MEMBER_STATE_UP", "it serves or ends", 60)
                if not node.running:
                    said = node.tail(3)
                    self.assertRegex(said.lower(), "damaged|corrupt|empty|start it again|checksum", said)
                    print(said.splitlines()[-1][-200:], flush=True)
                    node.start()
                    wait_until(lambda: not node.running or c.member_status("node-2")["state"] == "MEMBER_STATE_UP", "it serves or ends", 60)
                    if not node.running:
                        subprocess.run(["rm", "-rf", node.data], check=True)
                        node.start()
                c.wait_two_copies()
                workers.wait_progress(50)
        workers.verify(self)


if __name__ == "__main__":
    enter()
    cluster.main()
