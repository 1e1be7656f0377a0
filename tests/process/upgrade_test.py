"""Rolling upgrade and downgrade under clients at work. The row "rolling upgrade and downgrade, mixed versions" of the fault matrix.

There is one version so far. `cofferd_next` is the same program with the next number of the link's protocol and of the release, as
the next release will have: what is tried is that members of both work together and that each goes back to the other.
"""
import os

import cluster
from cluster import ClusterTest
from workers import Workers

ROUNDS = int(os.environ.get("COFFER_FAULT_ROUNDS", "1"))


class Upgrade(ClusterTest):
    def versions(self, c):
        return {m["name"]: m["version"] for m in c.status()["members"] if m["state"] == "MEMBER_STATE_UP"}

    def restart_with(self, c, name, program):
        self.assertEqual(c[name].terminate(), 0, c[name].tail())
        c[name].program = program
        c[name].start()
        c.wait_healthy(180)

    def test_rolling_upgrade_and_downgrade(self):
        c = self.started()
        old = self.versions(c)["node-1"]
        workers = Workers(c)
        self.addCleanup(workers.close)
        with workers:
            for _ in range(ROUNDS):
                for name in list(c.members):
                    workers.wait_progress(50, seconds=180)
                    self.restart_with(c, name, "cofferd_next")
                    if name == "node-1":
                        self.assertEqual(len(set(self.versions(c).values())), 2)
                        self.assertIn("differ", c.cli("doctor", code=None).out)
                self.assertNotIn(old, self.versions(c).values())
                # The way back, one node: the others stay.
                workers.wait_progress(50, seconds=180)
                self.restart_with(c, "node-2", "cofferd")
                self.assertEqual(self.versions(c)["node-2"], old)
            workers.wait_progress(50, seconds=180)
        workers.verify(self)


if __name__ == "__main__":
    cluster.main()
