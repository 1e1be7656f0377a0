"""The systems that are measured side by side: how each is started, stopped and loaded. All on loopback, each in a folder of its own,
all with the same promise: an acknowledged write is synced, and a second process has it too (Redis: in its memory).
"""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("COFFER_BUILD", HERE.parents[2] / "build")).resolve()
os.environ.setdefault("COFFER_BIN", str(BUILD / "bin"))
sys.path.insert(0, str(HERE.parents[1] / "process"))
import cluster as coffer_cluster  # noqa: E402
from ports import free_port  # noqa: E402

KIB = 1024
PEER_LOAD = BUILD / "bin" / "peer_load"


class Failed(Exception):
    """A system could not be started or loaded; the others go on."""


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (OSError, Failed):
            pass
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def run_json(command, seconds, env=None):
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, timeout=seconds + 90, env=env)
    except subprocess.TimeoutExpired:
        raise Failed(f"{pathlib.Path(command[0]).name} did not end") from None
    if done.returncode != 0:
        raise Failed(done.stderr.decode(errors="replace").strip()[-400:] or f"ended with {done.returncode}")
    return json.loads(done.stdout)


class System:
    """Started by `with`; `measure(work)` returns {"per_second", "p50", "p99"} in seconds. WORKS: name -> how."""
    name = ""
    WORKS = {}

    def __init__(self, seconds, warm_up):
        self.seconds, self.warm_up = seconds, warm_up
        self.processes = []

    @classmethod
    def missing(cls):
        """What is not installed; empty: all is there."""
        return ""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"coffer-peers-{self.name}-"))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        pass

    def spawn(self, *command, **kw):
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, **{"stdin": subprocess.DEVNULL, **kw})
        self.processes.append(process)
        return process

    def peer_load(self, kind, addresses, *options, seconds=None):
        seconds = self.seconds if seconds is None else seconds
        command = [PEER_LOAD, kind, "--seconds", seconds, "--warm-up", self.warm_up if seconds >= 1 else 0]
        for address in addresses:
            command += ["--address", address]
        found = run_json(command + [str(o) for o in options], seconds)
        if found["errors"]:
            raise Failed(f"{found['errors']} errors, the first: {found['first_error']}")
        return {"per_second": found["per_second"], "p50": found["p50_seconds"], "p99": found["p99_seconds"]}


class Redis(System):
    name = "redis"
    WORKS = {
        "put 1 KiB, 1": ("put", KIB, 1), "put 1 KiB, 16": ("put", KIB, 16), "put 1 KiB, 64": ("put", KIB, 64),
        "put 64 KiB, 16": ("put", 64 * KIB, 16), "put 1 MiB, 16": ("put", 1024 * KIB, 16),
        "get 1 KiB, 64": ("get", KIB, 64), "get 64 KiB, 16": ("get", 64 * KIB, 16), "last 20, 64": ("last", KIB, 64),
    }

    @classmethod
    def missing(cls):
        return "" if shutil.which("redis-server") else "redis-server"

    def start(self):
        self.ports = [free_port(), free_port()]
        for n, port in enumerate(self.ports):
            data = self.folder / str(n)
            data.mkdir()
            replica = ["--replicaof", f"127.0.0.1 {self.ports[0]}"] if n else []
            self.spawn("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", data, "--appendonly", "yes",
                       "--appendfsync", "always", "--save", "", *replica)
        wait_until(lambda: b"master_link_status:up" in self.info(self.ports[1]), "the replica of Redis is in step")

    @staticmethod
    def info(port):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.sendall(b"INFO replication\r\n")
            time.sleep(0.05)
            return s.recv(65536)

    def measure(self, work):
        kind, size, in_flight = self.WORKS[work]
        keys = 1000 if size == KIB else 500
        return self.peer_load("redis", [f"127.0.0.1:{self.ports[0]}"], "--work", kind, "--bytes", size, "--in-flight", in_flight,
                              "--keys", keys)


class Etcd(System):
    name = "etcd"
    WORKS = {"put 1 KiB, 1": ("etcd-put", 1), "put 1 KiB, 16": ("etcd-put", 16), "put 1 KiB, 64": ("etcd-put", 64),
             "get 1 KiB, 64": ("etcd-get", 64)}

    @classmethod
    def missing(cls):
        return "" if shutil.which("etcd") else "etcd-server"

    def start(self):
        ports = [(free_port(), free_port()) for _ in range(3)]
        initial = ",".join(f"m{n}=http://127.0.0.1:{peer}" for n, (_, peer) in enumerate(ports))
        for n, (client, peer) in enumerate(ports):
            self.spawn("etcd", "--name", f"m{n}", "--data-dir", self.folder / str(n), "--log-level", "error",
                       "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
                       "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                       "--initial-cluster", initial, "--initial-cluster-state", "new",
                       env={k: v for k, v in os.environ.items() if not k.startswith("ETCD_")})
        self.addresses = [f"127.0.0.1:{client}" for client, _ in ports]
        wait_until(lambda: self.peer_load("grpc", self.addresses, "--work", "etcd-put", seconds=0.2)["per_second"] > 0,
                   "etcd takes writes")

    def measure(self, work):
        kind, in_flight = self.WORKS[work]
        return self.peer_load("grpc", self.addresses, "--work", kind, "--bytes", KIB, "--in-flight", in_flight)


class Ceph(System):
    name = "ceph"
    WORKS = {"put 1 KiB, 1": ("write", KIB, 1), "put 1 KiB, 16": ("write", KIB, 16), "put 1 KiB, 64": ("write", KIB, 64),
             "put 64 KiB, 16": ("write", 64 * KIB, 16), "get 64 KiB, 16": ("rand", 64 * KIB, 16),
             "put 1 MiB, 16": ("write", 1024 * KIB, 16), "get 1 MiB, 16": ("rand", 1024 * KIB, 16)}

    @classmethod
    def missing(cls):
        needed = {"ceph-mon": "ceph-mon", "ceph-osd": "ceph-osd", "ceph-mgr": "ceph-mgr", "rados": "ceph-common"}
        return " ".join(package for program, package in needed.items() if not shutil.which(program))

    def ceph_cluster(self, what):
        with open(self.folder / "log", "ab") as log:
            done = subprocess.run([HERE / "ceph-cluster", what, self.folder / "data"], stdout=log, stderr=log, timeout=180,
                                  env={**os.environ, "CEPH_MON_PORT": str(self.port)})
        if what == "up" and done.returncode != 0:
            raise Failed("ceph-cluster up failed: " + (self.folder / "log").read_text(errors="replace")[-400:])

    def start(self):
        self.port = free_port()
        self.ceph_cluster("up")

    def stop(self):
        self.ceph_cluster("down")

    def measure(self, work):
        kind, size, in_flight = self.WORKS[work]
        command = ["rados", "-c", self.folder / "data" / "ceph.conf", "-p", "bench", "bench", max(2, round(self.seconds)), kind, "-t", in_flight]
        if kind == "write":
            command += ["-b", size, "--no-cleanup"]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=self.seconds + 120)
        if done.returncode != 0:
            raise Failed(done.stderr[-400:])
        figure = {k: float(v) for k, v in re.findall(r"^(Average IOPS|Average Latency\(s\)):\s+([\d.]+)", done.stdout, re.M)}
        # rados says averages only.
        return {"per_second": figure["Average IOPS"], "p50": figure["Average Latency(s)"], "p99": None}


class Echo(System):
    """gRPC itself: a unary echo behind one forwarding hop."""
    name = "echo"
    WORKS = {"unary through one hop, 1": 1, "unary through one hop, 64": 64}

    def start(self):
        ports = [free_port(), free_port()]
        self.spawn(PEER_LOAD, "serve-echo", "--listen", f"127.0.0.1:{ports[0]}", stdin=subprocess.PIPE)
        self.spawn(PEER_LOAD, "serve-echo", "--listen", f"127.0.0.1:{ports[1]}", "--forward", f"127.0.0.1:{ports[0]}", stdin=subprocess.PIPE)
        self.address = f"127.0.0.1:{ports[1]}"
        wait_until(lambda: self.peer_load("grpc", [self.address], "--work", "echo", seconds=0.2)["per_second"] > 0, "the echo answers")

    def measure(self, work):
        return self.peer_load("grpc", [self.address], "--work", "echo", "--bytes", KIB, "--in-flight", self.WORKS[work])


class Coffer(System):
    """Three nodes, two copies, two routers: one with its cache, one without."""
    name = "coffer"
    WORKS = {
        "put 1 KiB, 1": "--mix put --in-flight 1", "put 1 KiB, 16": "--mix put --in-flight 16", "put 1 KiB, 64": "--mix put --in-flight 64",
        "put 64 KiB, 16": "--mix put --size 64KiB --in-flight 16", "put 1 MiB, 16": "--mix put --size 1MiB --in-flight 16",
        "get 1 KiB, 64, cached": "--mix get --key-count 1000 --in-flight 64",
        "get 1 KiB, 64, node": "--mix get --key-count 1000 --in-flight 64",
        "get 64 KiB, 16, cached": "--mix get --size 64KiB --key-count 500 --in-flight 16",
        "get 64 KiB, 16, node": "--mix get --size 64KiB --key-count 500 --in-flight 16",
        "get 1 MiB, 16, node": "--mix get --size 1MiB --key-count 64 --in-flight 16",
        "append 1 KiB, 64 on 64 chains": "--mix append --chains 64 --in-flight 64",
        "append 1 KiB, 64 on one chain": "--mix append --chains 1 --in-flight 64",
        "last 20, 64": "--mix last --last 20 --chains 64 --in-flight 64",
        "unary put 1 KiB, 64": ("coffer-put", 64), "unary get 1 KiB, 64, cached": ("coffer-get", 64),
    }

    def start(self):
        try:
            self.cluster = coffer_cluster.Cluster(3)
            port = free_port()
            self.cluster.add_member("router-uncached", role="router", public_listen=f"127.0.0.1:{port}", cache_bytes="0B")
            self.cluster.agree_on_seeds()
            self.cluster.start()
        except AssertionError as e:
            raise Failed(str(e)[-800:]) from None
        self.cached, self.uncached = f"127.0.0.1:{self.cluster.router_port}", f"127.0.0.1:{port}"

    def stop(self):
        if hasattr(self, "cluster"):
            self.cluster.close()

    def measure(self, work):
        how = self.WORKS[work]
        if isinstance(how, tuple):
            return self.peer_load("grpc", [self.cached], "--work", how[0], "--bytes", KIB, "--in-flight", how[1])
        router = self.uncached if work.endswith("node") else self.cached
        found = run_json([BUILD / "bin" / "coffer", "--router", router, "-o", "json", "bench", *how.split(), "--duration", f"{self.seconds}s",
                          "--warm-up", f"{self.warm_up}s"], self.seconds, coffer_cluster.environment())
        if found["all"]["errors"] or found["wrong"]:
            raise Failed(f"{found['all']['errors']} errors: {found['errors']}, {found['wrong']} wrong answers")
        return {"per_second": found["all"]["per_second"], "p50": found["all"]["p50_seconds"], "p99": found["all"]["p99_seconds"]}


ALL = [Echo, Redis, Etcd, Ceph, Coffer]
