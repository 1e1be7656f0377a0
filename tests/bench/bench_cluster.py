"""The measured cluster: real programs on loopback with the default settings, their data in a folder that is removed at the end."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

FIRST_PORT = 19000
BIN = pathlib.Path(os.environ.get("COFFER_BUILD", "build")).resolve() / "bin"


class Failed(Exception):
    """What was waited for did not come."""


def wait_for(condition, what, seconds=120, every=0.05):
    """Returns the first true value of `condition`."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except Exception as e:  # A router that does not answer yet is a reason to ask again.
            last = e
        time.sleep(every)
    raise Failed(f"not within {seconds} s: {what} (last: {str(last)[:500]})")


class Member:
    """One cofferd."""

    def __init__(self, folder, name, settings):
        self.name, self.folder, self.settings = name, folder, settings
        self.process = None

    def start(self):
        arguments = [str(BIN / "cofferd"), "--name", self.name, "--data", str(self.folder / self.name)]
        for key, value in self.settings.items():
            arguments += ["--" + key.replace("_", "-"), value]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COFFER_")}
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def kill(self):
        """SIGKILL; returns when the signal was sent, before the process is reaped."""
        at = time.monotonic()
        self.process.kill()
        return at

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def memory(self):
        """Resident bytes."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    def __init__(self, nodes, common):
        """`common` are settings of every member beside the defaults."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="coffer-bench-"))
        (self.folder / "secret").write_text("0123456789abcdef0123456789abcdef")
        (self.folder / "secret").chmod(0o600)
        self.common = common
        self.next_port = FIRST_PORT
        self.members = {}
        listens = [self.port() for _ in range(nodes)]
        self.seeds = ",".join(listens)
        for number, listen in enumerate(listens, 1):
            self.add(f"node-{number}", "node", listen, form="true")
        self.router_address = self.port()
        self.add("router", "router", self.port(), public_listen=self.router_address)

    def port(self):
        while True:
            self.next_port += 1
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", self.next_port))
                    return f"127.0.0.1:{self.next_port}"
                except OSError:
                    continue

    def add(self, name, role, listen=None, **settings):
        # Default settings but for the reserve of free disk, which a machine that runs a benchmark may not have.
        self.members[name] = Member(self.folder, name, {
            "role": role, "listen": listen or self.port(), "join": self.seeds, "secret_file": str(self.folder / "secret"),
            "metrics_listen": "none", "disk_reserve": "64MiB", "public_listen": "none", **self.common, **settings})
        return self.members[name]

    def start(self):
        for member in self.members.values():
            member.start()

    def close(self, keep=False):
        for member in self.members.values():
            member.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def healthy(status):
    copies = status.copies
    return status if status.verdict == 1 and not status.HasField("resync") and copies.one == copies.none == 0 else None
