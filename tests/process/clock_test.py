"""Wall clocks that jump an hour while the processes run. Fault 7; the row "clock jumps" of the fault matrix: nothing may stop."""
import os
import time

import cluster
from cluster import ClusterTest
from workers import Workers

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


class Clock(ClusterTest):
    def jump(self, c, name, offset):
        """libfaketime reads the offset anew; the monotonic clock stays as it is, as on a real machine whose time is set."""
        control = c.folder / f"{name}.time"
        fresh = control.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.rename(control)

    def with_own_clocks(self):
        if not os.path.exists(FAKETIME):
            self.skipTest("libfaketime is not installed")
        c = self.cluster()
        for name, member in c.members.items():
            self.jump(c, name, "+0")
            member.environment = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(c.folder / f"{name}.time"),
                                  "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        c.start()
        return c

    def test_drift(self):
        """One clock runs half as fast again as it should, another at half speed."""
        c = self.with_own_clocks()
        workers = Workers(c)
        self.addCleanup(workers.close)
        with workers:
            for name, rate in [("node-1", "x1.5"), ("node-2", "x0.5"), ("router", "x1.5")]:
                self.jump(c, name, f"+0 {rate}")
            workers.wait_progress(300)
        workers.verify(self)
        c.wait_healthy()

    def test_jumps_of_an_hour(self):
        """No clock decides who serves (R5.3), or what is deleted (R10.1)."""
        c = self.with_own_clocks()
        epoch = c.status()["epoch"]
        workers = Workers(c)
        self.addCleanup(workers.close)
        with workers:
            for name, offset in [("node-1", "+3600"), ("node-2", "-3600"), ("router", "+3600"), ("node-3", "-3600"), ("node-1", "-3600"),
                                 ("router", "-3600"), ("node-2", "+0"), ("node-2", "+3600")]:
                self.jump(c, name, offset)
                workers.wait_progress(60)
            began = time.monotonic()
            cluster.wait_until(lambda: time.monotonic() - began > 3, "time-outs that a jump could have ended")
        workers.verify(self)
        self.assertTrue(all("T" in line for line in c["node-1"].said().splitlines()[:1]))
        self.assertEqual(c.status()["epoch"], epoch, "a clock that jumped changed the layout")
        c.wait_healthy()


if __name__ == "__main__":
    cluster.main()
