"""`coffer layout force`: what is left serves again, by an operator's word. L9."""
import os
import shutil

import cluster
from cluster import ClusterTest

SENTENCE = "I am sure that node-2 is off and will never return"


class Force(ClusterTest):
    def test_two_nodes_one_destroyed(self):
        c = self.started(nodes=2)
        c.wait_status(lambda s: s["min_copies"] == 2, "two copies are demanded")
        ids = {c.put(f"kept {i}".encode()): f"kept {i}".encode() for i in range(30)}
        force = ["layout", "force", "--missing", "node-2", "--statement"]
        self.assertIn("nothing has to be forced", c.cli(*force, SENTENCE, code=cluster.FAILURE).err)
        c["node-2"].kill()
        c.wait_state("node-2", "DOWN")
        c.cli("--timeout", "1s", "put", c.secret, code=(cluster.FAILURE, cluster.UNAVAILABLE, cluster.TIMEOUT))
        c.cli(*force, "yes", code=cluster.FAILURE)
        c.cli(*force, SENTENCE)
        c.wait_status(lambda s: s["partitions_writable"] == s["partitions"], "what is left serves everything", 60)
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)
        ids[c.put(b"written alone")] = b"written alone"
        self.assertEqual(c.status()["min_copies"], 1)

        # Its machine is replaced: an empty folder is another node, which takes the name.
        shutil.rmtree(c["node-2"].data)
        c["node-2"].start(form=None)
        c.wait_status(lambda s: s["min_copies"] == 2, "two copies are demanded again", 90)
        c.wait_healthy()
        for id, content in ids.items():
            self.assertEqual(c.get(id), content)


if __name__ == "__main__":
    cluster.main()
