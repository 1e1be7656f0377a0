"""A group of processes with a bound on their memory (cgroups, version 1 or 2), below the one this test is in. Where the test may not make
one, it is skipped."""
import pathlib
import tempfile
import unittest


def own_group():
    """The folder of the group we are in, and the names of its files: of the bound, and of the one that counts kills."""
    groups = dict(line.split(":", 2)[1:] for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines())
    if "memory" in groups:
        return pathlib.Path("/sys/fs/cgroup/memory" + groups["memory"]), "memory.limit_in_bytes", "memory.oom_control"
    return pathlib.Path("/sys/fs/cgroup" + groups.get("", "/")), "memory.max", "memory.events"


class MemoryGroup:
    def __init__(self):
        own, self.bound, self.kills = own_group()
        try:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="coffer-test-", dir=own))
        except OSError as e:
            raise unittest.SkipTest(f"no group with a bound on memory may be made: {e}") from None
        if not (self.folder / self.bound).exists():
            self.close()
            raise unittest.SkipTest(f"a group below {own} has no bound on memory: its controller is not handed on")
        # Else it would be swapped out instead.
        for name in ("memory.swap.max", "memory.swappiness"):
            if (self.folder / name).exists():
                (self.folder / name).write_text("0")

    def prefix(self):
        """Begins a command that is to run in the group."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]

    def unreclaimable(self):
        """Bytes in use that can't be had back by forgetting pages of files."""
        stat = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return int(stat["rss"] if "rss" in stat else stat["anon"])

    def limit(self, bytes):
        """False: the kernel can't get the group below that now."""
        try:
            (self.folder / self.bound).write_text(str(bytes))
        except OSError:
            return False
        return True

    def killed(self):
        """How many processes the kernel has ended for want of memory."""
        return next(int(line.split()[1]) for line in (self.folder / self.kills).read_text().splitlines() if line.startswith("oom_kill "))

    def close(self):
        self.folder.rmdir()
