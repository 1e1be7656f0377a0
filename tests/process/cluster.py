"""Real processes on loopback: members of a cluster, the command line, and conditions to wait for.

Each test has a folder of its own under /tmp and ports of its own (ports.py). Nothing sleeps for a fixed time: everything waits for
a condition, and fails with the last thing seen when it does not come true.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

from ports import free_port

BIN = pathlib.Path(os.environ.get("COFFER_BIN", "build/bin")).resolve()
SECRET = "0123456789abcdef0123456789abcdef"
# How many times as long things take in these programs as in a plain build: tests/sanitize says so.
SLOWNESS = int(os.environ.get("COFFER_SLOWNESS", "1"))

# Exit codes of `coffer`.
OK, FAILURE, USAGE, NOT_FOUND, DEGRADED, UNAVAILABLE, TIMEOUT = 0, 1, 2, 3, 4, 5, 124


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith("COFFER_")}


def patience():
    """Settings for slow programs: nobody is given up for being slow, and there is less to do."""
    if SLOWNESS == 1:
        return {}
    return {"probe_interval": f"{200 * SLOWNESS}ms", "probe_timeout": f"{150 * SLOWNESS}ms", "suspicion_min": f"{SLOWNESS}s",
            "suspicion_max": f"{4 * SLOWNESS}s", "cut_off_after": f"{3 * SLOWNESS}s", "partitions": "480"}


def wait_until(condition, what, seconds=60):
    """Waits for `condition()` to return something true, and returns it. An AssertionError counts as not yet. `what`: words, or a
    function that returns them when they are wanted."""
    seconds *= SLOWNESS
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as e:
            last = e
        if time.monotonic() > end:
            what = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {str(last)[:2000]}")
        time.sleep(0.05)


class Member:
    """One cofferd. Its settings are kept between starts; `start(**changes)` changes them for good. `program` is its file in BIN,
    `prefix` is put before the command, `environment` is added to the process's; all are read at each start."""

    def __init__(self, folder, name, **settings):
        self.name = name
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self.process = None
        self.program = "cofferd"
        self.prefix = []
        self.environment = {}
        self.settings = {"name": name, "data": str(self.data), "metrics_listen": "none", **settings}

    def start(self, **changes):
        assert not self.running, f"{self.name} runs already"
        self.settings.update(changes)
        arguments = [*self.prefix, str(BIN / self.program)]
        for key, value in self.settings.items():
            if value is not None:
                arguments += ["--" + key.replace("_", "-"), str(value)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**environment(), **self.environment})
        return self

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def terminate(self, seconds=40):
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=seconds * SLOWNESS)

    def exit_code(self, seconds=30):
        """Waits until it ends by itself."""
        try:
            return self.process.wait(timeout=seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {seconds} s; its log ends:\n{self.tail()}")

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines=15):
        return "\n".join(self.said().splitlines()[-lines:])


def metrics(member):
    """The metrics without labels, by name."""
    try:
        with urllib.request.urlopen(f"http://{member.settings['metrics_listen']}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
    except OSError as e:
        raise AssertionError(f"no metrics: {e}") from None
    return {name: float(value) for name, value in (line.split(" ", 1) for line in lines if line and line[0] != "#" and "{" not in line)}


class Cluster:
    def __init__(self, nodes=3, resync_delay="1s", **common):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="coffer-process-"))
        self.secret = self.folder / "secret"
        self.secret.write_text(SECRET)
        # How long a busy machine's disk takes decides no test but those that make it slow.
        self.common = {"secret_file": str(self.secret), "resync_delay": resync_delay, "disk_reserve": "64MiB", "slow_disk": "0s",
                       **patience(), **common}
        self.members = {}
        self.cli_options = []
        for number in range(1, nodes + 1):
            self.add_node(f"node-{number}", form="true")
        self.router_port = free_port()
        if nodes:
            self.add_member("router", role="router", public_listen=self.router_address)
            self.agree_on_seeds()

    def __getitem__(self, name):
        return self.members[name]

    @property
    def router_address(self):
        return f"127.0.0.1:{self.router_port}"

    @property
    def nodes(self):
        return [m for m in self.members.values() if m.settings["role"] == "node"]

    def add_member(self, name, **settings):
        listen = f"127.0.0.1:{free_port()}"
        member = Member(self.folder, name, **{**self.common, "listen": listen, **settings})
        self.members[name] = member
        return member

    def add_node(self, name, **settings):
        return self.add_member(name, **{"role": "node", "public_listen": "none", **settings})

    def seeds(self):
        return ",".join(m.settings["listen"] for m in self.nodes)

    def agree_on_seeds(self):
        for member in self.members.values():
            member.settings["join"] = self.seeds()

    def start(self):
        for member in self.members.values():
            member.start()
        self.wait_members(len(self.members))
        status = self.wait_healthy()
        self.make_zone()
        return status

    def make_zone(self):
        # It is made by the registry's primary, a moment after it can be written.
        wait_until(lambda: "default" in [line.split()[0] for line in self.cli("zone", "list").out.splitlines()],
                   "the zone default is there", 120)

    def close(self):
        for member in self.members.values():
            if member.running:
                # A stopped process takes SIGKILL too.
                member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the command line ----
    def cli(self, *arguments, code=OK, input=None, seconds=60, zone=None):
        """Runs `coffer`; fails unless it ends with `code` (a number, a tuple, or None for any)."""
        command = [str(BIN / "coffer"), "--router", self.router_address, *self.cli_options]
        if zone:
            command += ["--zone", zone]
        done = subprocess.run(command + [str(a) for a in arguments], input=input, capture_output=True, timeout=seconds * SLOWNESS,
                              env=environment())
        done.out = done.stdout.decode(errors="replace")
        done.err = done.stderr.decode(errors="replace")
        allowed = (code,) if isinstance(code, int) else code
        if allowed is not None and done.returncode not in allowed:
            raise AssertionError(f"coffer {' '.join(map(str, arguments))} ended with {done.returncode}, not {allowed}\n{done.err}\n{done.out[-2000:] if done.out.isprintable() else len(done.out)}")
        return done

    def put(self, content, *options, **kw):
        """Stores bytes as a file; returns the id."""
        path = self.folder / f"put-{time.monotonic_ns()}"
        path.write_bytes(content)
        try:
            return self.cli("put", path, *options, **kw).out.strip()
        finally:
            path.unlink()

    def get(self, id, **kw):
        return self.cli("get", id, "--raw", **kw).stdout

    def status(self):
        done = self.cli("-o", "json", "--timeout", f"{5 * SLOWNESS}s", "status", code=(OK, DEGRADED, UNAVAILABLE), seconds=20)
        if not done.out.strip():
            raise AssertionError(done.err)
        return json.loads(done.out)

    def member_status(self, name, status=None):
        found = [m for m in (status or self.status())["members"] if m["name"] == name]
        if not found:
            raise AssertionError(f"the status has no member {name}")
        return found[0]

    def where(self, id, chain=False):
        return json.loads(self.cli("-o", "json", "where", *(["--chain"] if chain else []), id).out)

    # ---- conditions ----
    def wait_status(self, condition, what, seconds=60):
        seen = {}

        def asked():
            seen["status"] = self.status()
            return condition(seen["status"])
        try:
            wait_until(asked, what, seconds)
        except AssertionError as e:
            logs = "\n".join(f"--- {m.name}\n{m.tail(8)}" for m in self.members.values())
            raise AssertionError(f"{e}\n{brief(seen.get('status'))}\n{logs}") from None
        return seen["status"]

    def wait_members(self, count, seconds=60):
        return self.wait_status(lambda s: sum(m["state"] == "MEMBER_STATE_UP" for m in s["members"]) >= count, f"{count} members up", seconds)

    def wait_healthy(self, seconds=90):
        return self.wait_status(lambda s: s["verdict"] == "VERDICT_HEALTHY" and all_copies(s), "healthy", seconds)

    def wait_two_copies(self, seconds=90):
        """Both copies of everything, though a member may be down."""
        return self.wait_status(lambda s: all_copies(s) and s["partitions_writable"] == s["partitions"], "two copies of everything", seconds)

    def wait_state(self, name, state, seconds=60):
        return self.wait_status(lambda s: self.member_status(name, s)["state"] == f"MEMBER_STATE_{state}", f"{name} {state}", seconds)


def all_copies(status):
    copies = status["copies"]
    return int(copies["one"]) == 0 and int(copies["none"]) == 0 and not status.get("resync")


def brief(status):
    """What one wants to see of a status in a failure."""
    if not status:
        return "no status"
    members = ", ".join(f"{m['name']} {m['state'][13:]} p{m['primaries']} r{m['replicas']} l{m['learners']} e{m['epoch']} {m['last_error']}" for m in status["members"])
    return (f"{status['verdict']} {status['code']}: {status['reason']}\nepoch {status['epoch']} writable {status['partitions_writable']} "
            f"copies {status['copies']} resync {status.get('resync')}\n{members}")


class ClusterTest(unittest.TestCase):
    """A test whose clusters end with it; prints the logs' ends when it fails."""
    maxDiff = 2000

    def cluster(self, *args, **kw):
        cluster = Cluster(*args, **kw)
        self.addCleanup(cluster.close)
        return cluster

    def started(self, *args, **kw):
        cluster = self.cluster(*args, **kw)
        cluster.start()
        return cluster

    def wait_said(self, member, text, seconds=30):
        wait_until(lambda: text.lower() in member.said().lower(), f"{member.name} says \"{text}\"; its log ends:\n{member.tail()}", seconds)

    def assert_says(self, member, *words):
        said = member.said().lower()
        for word in words:
            self.assertIn(word.lower(), said, f"{member.name} does not say \"{word}\"")

    def assert_refused_start(self, member, *words, seconds=30):
        self.assertNotEqual(member.exit_code(seconds), 0, member.tail())
        self.assert_says(member, *words)


def main():
    # The systems' default: a broken pipe or a hung child shall not hang the suite.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    unittest.main(verbosity=2, failfast=False)
