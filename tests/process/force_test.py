"""`coffer layout force`: what is left serves again, by an operator's word. L9, L10, R8.9."""
import shutil

import cluster
from cluster import ClusterTest, wait_until


def sentence(*names):
    return f"I am sure that {', '.join(names)} is off and will never return"


class Force(ClusterTest):
    def ask(self, c, *names, code=None):
        return c.cli("layout", "force", "--missing", ",".join(names), "--statement", sentence(*names), code=code)

    def force(self, c, *names):
        """Until it is done: the node that carries it out may notice later than the router that somebody is off."""
        def done():
            self.ask(c, *names)
            return set(names) <= set(c.status().get("force", {}).get("given_up", []))
        wait_until(done, "the layout is forced")

    def id_of(self, c, name):
        return c.member_status(name)["id"]

    def test_two_nodes_one_destroyed(self):
        c = self.started(nodes=2)
        c.wait_status(lambda s: s["min_copies"] == 2, "two copies are demanded")
        ids = {c.put(f"kept {i}".encode()): f"kept {i}".encode() for i in range(30)}
        self.assertIn("nothing has to be forced", self.ask(c, "node-2", code=cluster.FAILURE).err)
        c["node-2"].kill()
        c.wait_state("node-2", "DOWN")
        c.cli("--timeout", "1s", "put", c.secret, code=(cluster.FAILURE, cluster.UNAVAILABLE, cluster.TIMEOUT))
        c.cli("layout", "force", "--missing", "node-2", "--statement", "yes", code=cluster.FAILURE)
        self.assertIn("node-1 answers", self.ask(c, "node-1", "node-2", code=cluster.FAILURE).err)
        plan = c.cli("plan", "force", "--missing", "node-2").out
        self.assertIn("have an up-to-date copy on a node that answers", plan)
        self.force(c, "node-2")
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "what is left serves everything", 60)
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)
        ids[c.put(b"written alone")] = b"written alone"
        self.assertEqual(c.status()["min_copies"], 1)
        losses = c.cli("layout", "losses").out
        self.assertIn("Given up for good: node-2", losses)
        self.assertIn("nothing acknowledged under that was lost", losses)

        # Its machine is replaced: an empty folder is another node, which takes the name.
        shutil.rmtree(c["node-2"].data)
        c["node-2"].start(form=None)
        c.wait_status(lambda s: s["min_copies"] == 2, "two copies are demanded again", 90)
        c.wait_healthy()
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)

    def test_who_was_given_up_comes_back_as_somebody_else(self):
        c = self.started(nodes=2)
        c.wait_status(lambda s: s["min_copies"] == 2, "two copies are demanded")
        ids = {c.put(f"kept {i}".encode()): f"kept {i}".encode() for i in range(10)}
        old = self.id_of(c, "node-2")
        c["node-2"].kill()
        c.wait_state("node-2", "DOWN")
        self.force(c, "node-2")
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "what is left serves everything", 60)
        ids[c.put(b"written alone")] = b"written alone"

        # The dead one returns with its folder: it is refused, says why, and ends.
        c["node-2"].start(form=None)
        c["node-2"].exit_code(60)
        self.assertIn("`layout force` gave this node up", c["node-2"].said())
        self.assertIn("comes back under a new id", c["node-2"].said())
        c.wait_status(lambda s: all(m["id"] != old for m in s["members"]), "the old id is no member")

        # Its next start sets the data aside and is a new node, which is filled from the other.
        c["node-2"].start(form=None)
        c.wait_status(lambda s: s["min_copies"] == 2, "two copies are demanded again", 90)
        c.wait_healthy()
        self.assertNotEqual(self.id_of(c, "node-2"), old)
        self.assertTrue((c["node-2"].data / "retired-1").is_dir())
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)


if __name__ == "__main__":
    cluster.main()
