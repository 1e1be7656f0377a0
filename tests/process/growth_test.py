"""From one process to several, and back: no re-import, and nothing is stopped before it is safe. S11, R7, R12."""
import os
import subprocess

import cluster
from cluster import ClusterTest
from ports import free_port


class Growth(ClusterTest):
    def single(self):
        """`cofferd` with a data folder, on ports of its own: it is node and router and makes its secret itself."""
        c = self.cluster(nodes=0)
        c.common.pop("secret_file")
        c.add_member("node-1", role="node,router", public_listen=f"127.0.0.1:{c.router_port}").start()
        c.wait_status(lambda s: s["verdict"] == "VERDICT_HEALTHY", "one process healthy")
        c.make_zone()
        return c

    def test_one_process_says_that_it_has_one_copy(self):
        c = self.single()
        id = c.put(b"alone")
        self.assertEqual(c.get(id), b"alone")
        status = c.status()
        self.assertEqual((status["verdict"], status["code"], status["min_copies"]), ("VERDICT_HEALTHY", "SINGLE_NODE", 1))
        self.assertEqual(oct((c["node-1"].data / "secret").stat().st_mode & 0o777), "0o600")
        c["node-1"].kill()
        c["node-1"].start()
        c.wait_status(lambda s: s["verdict"] == "VERDICT_HEALTHY", "healthy again")
        self.assertEqual(c.get(id), b"alone")

    def test_two_more_nodes_take_second_copies_of_everything(self):
        c = self.single()
        tree = c.folder / "tree"
        tree.mkdir()
        for number in range(200):
            (tree / f"f{number}").write_bytes(os.urandom(1 + number * 100))
        (tree / "large").write_bytes(os.urandom(9 << 20))
        root = c.cli("put", tree).out.strip()
        c.cli("chain", "append", "grown", *[f"entry {i}" for i in range(50)])
        c.common["secret_file"] = str(c["node-1"].data / "secret")
        for name in ["node-2", "node-3"]:
            c.add_node(name, join=c["node-1"].settings["listen"]).start()
        c.wait_members(3)
        c.wait_status(lambda s: s["min_copies"] == 2, "two copies are demanded")
        status = c.wait_healthy()
        for name in ["node-1", "node-2", "node-3"]:
            self.assertGreater(c.member_status(name, status)["primaries"], 0.29 * status["partitions"])
        # The first one dies: all is still there, through a router of its own.
        router = free_port()
        c.add_member("router", role="router", public_listen=f"127.0.0.1:{router}", join=c["node-2"].settings["listen"]).start()
        c.router_port = router
        c.wait_members(4)
        c["node-1"].kill()
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "fail-over")
        c.cli("--timeout", "60s", "get", root, "-O", c.folder / "back")
        subprocess.run(["diff", "-r", str(tree), str(c.folder / "back")], check=True)
        self.assertEqual(c.cli("chain", "read", "grown", "--raw").out.splitlines(), [f"entry {i}" for i in range(50)])

    def test_join_command_prepares_a_node(self):
        c = self.started()
        folder = c.folder / "node-4"
        seed = c["node-1"].settings["listen"]
        done = c.cli("join", seed, "--secret-file", c.secret, "--data", folder, "--name", "node-4")
        self.assertIn(str(folder / "cofferd.toml"), done.out)
        member = c.add_node("node-4")
        member.settings = {"config": str(folder / "cofferd.toml"), "role": "node", "public_listen": "none", "metrics_listen": "none",
                           "listen": f"127.0.0.1:{free_port()}"}
        member.start()
        c.wait_members(5)
        c.wait_healthy()
        # It leads its share one layout after it holds its copies.
        c.wait_status(lambda s: c.member_status("node-4", s)["primaries"] > 0.23 * s["partitions"], "node-4 leads its share")

    def test_join_command_refuses_a_wrong_secret(self):
        c = self.started(nodes=1)
        wrong = c.folder / "wrong"
        wrong.write_text("f" * 32)
        done = c.cli("join", c["node-1"].settings["listen"], "--secret-file", wrong, "--data", c.folder / "new", code=cluster.FAILURE)
        self.assertIn("WRONG_SECRET", done.err)
        self.assertFalse((c.folder / "new").exists())


class Drain(ClusterTest):
    def test_drain_returns_when_safe_and_forget_ends_it(self):
        c = self.started(nodes=4)
        ids = {c.put(f"drained {i}".encode()): f"drained {i}".encode() for i in range(40)}
        done = c.cli("--timeout", "2m", "drain", "node-2", seconds=130)
        self.assertIn("safe to stop", done.out)
        status = c.status()
        self.assertEqual(c.member_status("node-2", status)["state"], "MEMBER_STATE_DRAINED")
        self.assertEqual((int(status["copies"]["one"]), int(status["copies"]["none"])), (0, 0))
        c["node-2"].kill()
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)
        c.cli("forget", "node-2", "--yes")
        c.wait_status(lambda s: "node-2" not in [m["name"] for m in s["members"]], "node-2 is forgotten")
        c.wait_healthy()

    def test_drain_goes_on_without_its_command_and_can_be_undone(self):
        c = self.started(nodes=4)
        c.cli("resync", "pause")
        c.cli("--timeout", "1s", "drain", "node-4", code=cluster.TIMEOUT)
        self.assertIn(c.member_status("node-4")["state"], ("MEMBER_STATE_DRAINING", "MEMBER_STATE_DRAINED"))
        c.cli("apply", "undrain", "node-4", "--yes")
        c.cli("resync", "resume")
        c.wait_healthy()
        self.assertEqual(c.member_status("node-4")["state"], "MEMBER_STATE_UP")

    def test_fresh_layout_is_plain_modulo(self):
        c = self.started()
        status = c.status()
        self.assertEqual(sorted(m["primaries"] for m in status["members"] if m["role"] == "MEMBER_ROLE_STORAGE"),
                         [status["partitions"] // 3] * 3)


if __name__ == "__main__":
    cluster.main()
