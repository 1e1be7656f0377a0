"""Members in network namespaces of their own, on one bridge, and the faults of the links between them.

The whole test runs in a namespace of its own, inside which these are made: nothing of it is seen outside, no address or rule of the
machine is touched, and all is gone with the process. Needs the right to make namespaces; `enter()` says why where it is missing.
"""
import os
import subprocess
import sys
import unittest

from cluster import Cluster

INSIDE = "COFFER_TEST_NAMESPACE"  # set once the process is in its own


def enter():
    """Runs the calling program anew in a namespace of its own. Where that is not permitted, every test of it is skipped."""
    if os.environ.get(INSIDE):
        return
    own = ["unshare", "--net", "--mount", "--propagation", "private"]
    needed = ["sh", "-c", "mount -t tmpfs none /run && ip link add probe0 type bridge && iptables -L -n && tc qdisc show"]
    tried = subprocess.run(own + needed, capture_output=True, text=True)
    if tried.returncode != 0:
        os.environ[INSIDE] = "not permitted: " + (tried.stderr.strip().splitlines() or ["no message"])[-1]
        return
    os.environ[INSIDE] = "inside"
    # Names of namespaces live in /run/netns; this /run is ours alone.
    script = 'mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && exec "$@"'
    os.execvp(own[0], [*own, "sh", "-c", script, "sh", sys.executable, "-B", *sys.argv])


def skip_unless_inside():
    if os.environ.get(INSIDE) != "inside":
        raise unittest.SkipTest(os.environ.get(INSIDE, "enter() was not called"))


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class NetworkedCluster(Cluster):
    """Each member at 10.77.0.K in a namespace of its name; the test itself at 10.77.0.254."""

    PORT = 7701
    bridged = False
    members_made = 0  # of all clusters: the kernel takes its time to forget a namespace's links

    def __init__(self, *args, **kw):
        if not NetworkedCluster.bridged:
            run("ip", "link", "add", "bridge0", "type", "bridge")
            run("ip", "addr", "add", "10.77.0.254/24", "dev", "bridge0")
            run("ip", "link", "set", "bridge0", "up")
            NetworkedCluster.bridged = True
        self.addresses = {}
        super().__init__(*args, **kw)

    @property
    def router_address(self):
        return f"{self.address('router')}:7700"

    def address(self, name):
        """The member's address; its namespace is made when it is first asked for."""
        if name not in self.addresses:
            NetworkedCluster.members_made += 1
            number = NetworkedCluster.members_made
            run("ip", "netns", "add", name)
            self.addresses[name] = f"10.77.0.{number}"
            run("ip", "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"port{number}", "master", "bridge0", "up")
            for words in (["addr", "add", f"10.77.0.{number}/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
                run("ip", "-n", name, *words)
        return self.addresses[name]

    def add_member(self, name, **settings):
        member = super().add_member(name, **{**settings, "listen": f"{self.address(name)}:{self.PORT}"})
        member.prefix = ["ip", "netns", "exec", name]
        return member

    def inside(self, name, *command):
        run("ip", "netns", "exec", name, *command)

    # ---- faults; `heal` ends them all
    def deaf(self, name, to):
        """`name` gets nothing of what `to` sends: a cut in one direction."""
        self.inside(name, "iptables", "-A", "INPUT", "-s", self.address(to), "-j", "DROP")

    def cut(self, one, other):
        """Nothing passes between the two, either way."""
        self.deaf(one, other)
        self.deaf(other, one)

    def isolate(self, name, from_clients=True):
        for other in self.addresses:
            if other != name:
                self.cut(name, other)
        if from_clients:
            self.inside(name, "iptables", "-A", "INPUT", "-s", "10.77.0.254", "-j", "DROP")

    def lossy(self, name, probability):
        """Loses this share of the packets that reach `name`."""
        self.inside(name, "iptables", "-A", "INPUT", "-i", "eth0", "-m", "statistic", "--mode", "random", "--probability", probability,
                    "-j", "DROP")

    def slow(self, name, rate):
        """What `name` sends leaves at this rate, through a queue of 200 ms."""
        self.inside(name, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "16kbit", "latency", "200ms")

    def heal(self):
        for name in self.addresses:
            self.inside(name, "iptables", "-F")
            subprocess.run(["ip", "netns", "exec", name, "tc", "qdisc", "del", "dev", "eth0", "root"], capture_output=True)

    def close(self):
        super().close()
        for name in self.addresses:
            run("ip", "netns", "del", name)
