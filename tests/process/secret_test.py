"""The cluster's secret is changed while the cluster runs: installed, used, removed, member by member."""
import os
import signal
import threading

import cluster
from cluster import SECRET, ClusterTest, wait_until

NEWER = "fedcba9876543210fedcba9876543210"


class Writer(threading.Thread):
    """Stores one chunk after the other until told to stop; a put that fails is kept."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.over, self.ids, self.failure = c, threading.Event(), [], None

    def run(self):
        try:
            while not self.over.is_set():
                self.ids.append(self.c.put(f"chunk {len(self.ids)}".encode()))
        except Exception as e:  # told by stop()
            self.failure = e

    def stop(self):
        self.over.set()
        self.join()
        if self.failure:
            raise self.failure


class Rotation(ClusterTest):
    def reload(self, member, *secrets):
        """Writes the member's secrets as an operator would, and has them read again."""
        told = member.said().count("read again")
        path = member.settings["secret_file"]
        with open(path + ".new", "w") as file:
            file.write("".join(secret + "\n" for secret in secrets))
        os.replace(path + ".new", path)
        member.process.send_signal(signal.SIGHUP)
        wait_until(lambda: member.said().count("read again") > told, f"{member.name} has read its secrets again")

    def test_rotated_without_an_outage(self):
        c = self.cluster()
        for member in c.members.values():
            own = c.folder / f"{member.name}-secret"
            own.write_text(SECRET + "\n")
            member.settings["secret_file"] = str(own)
        c.start()
        writer = Writer(c)
        writer.start()
        for step in ((SECRET, NEWER), (NEWER, SECRET), (NEWER,)):
            for member in c.members.values():
                self.reload(member, *step)
                seen = len(writer.ids)
                wait_until(lambda: len(writer.ids) > seen or writer.failure, f"a put after {member.name} reloaded")
        writer.stop()
        for number, id in enumerate(writer.ids):
            if number % 10 == 0:
                self.assertEqual(c.get(id), f"chunk {number}".encode())

        # The old secret opens nothing any more, the new one does.
        older, newer = c.folder / "older", c.folder / "newer"
        older.write_text(SECRET)
        newer.write_text(NEWER)
        done = c.cli("join", c["node-1"].settings["listen"], "--secret-file", older, "--data", c.folder / "none", code=cluster.FAILURE)
        self.assertIn("WRONG_SECRET", done.err)
        late = c.add_node("late", join=c.seeds(), secret_file=str(older)).start()
        self.wait_said(late, "secret")
        self.assertNotIn("late", [m["name"] for m in c.status()["members"]])
        late.kill()
        late.start(secret_file=str(newer))
        c.wait_state("late", "UP")
        # All of them find each other by it.
        for member in c.nodes:
            member.kill()
        for member in c.nodes:
            member.start()
        c.wait_healthy()
        for member in c.members.values():
            self.assertNotIn(SECRET, member.said())
            self.assertNotIn(NEWER, member.said())

    def test_a_file_that_can_not_be_read_changes_nothing(self):
        c = self.cluster(nodes=1)
        own = c.folder / "own"
        own.write_text(SECRET)
        c["node-1"].settings["secret_file"] = str(own)
        c.start()
        own.write_text("hunter2\n")
        c["node-1"].process.send_signal(signal.SIGHUP)
        self.wait_said(c["node-1"], "nothing was changed")
        self.assertNotIn("hunter2", c["node-1"].said())
        c["router"].terminate()
        c["router"].start()
        c.wait_members(2)
        self.assertEqual(c.get(c.put(b"still here")), b"still here")


if __name__ == "__main__":
    cluster.main()
