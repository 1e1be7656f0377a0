"""Faults of the links between members without any right to change the network: every member is reached through a proxy of its own.

A member listens on a port that nobody is told and advertises the proxy's, so whatever others dial to it passes here, both ways.
What it dials itself passes the other member's proxy.
"""
import random
import socket
import threading
import time

from cluster import Cluster

PIECE = 32 << 10
PREFACE = 24  # bytes that the dialling side of HTTP/2 begins with
FRAME_HEAD = 9
DATA = 0  # the type of the frames that carry messages


class Frames:
    """Takes one direction of an HTTP/2 connection apart: bytes in, whole frames out (the preface counts as one)."""

    def __init__(self, preface):
        self.rest, self.preface = b"", preface

    def take(self, data):
        self.rest += data
        frames = []
        while True:
            size = PREFACE if self.preface else FRAME_HEAD + int.from_bytes(self.rest[:3], "big")
            if len(self.rest) < max(size, FRAME_HEAD):
                return frames
            self.preface = False
            frames.append(self.rest[:size])
            self.rest = self.rest[size:]


class Proxy:
    """Passes connections on to `target` ("host:port"). Its faults may be set at any time and count for what comes from then on:
    `delay` seconds before each piece of up to 32 KiB, `rate` bytes per second of each connection and direction (None: no limit),
    `flip` the share of pieces of which one bit is flipped, `stalled`: nothing is passed on, and nothing is closed.

    With `http2` the connections are HTTP/2 without TLS and can be made deaf; not together with `flip`. With `record` what came is kept:
    in `recorded`, one text of bytes for each direction of a connection."""

    def __init__(self, target, seed, http2=False, record=False):
        self.target = target
        self.record, self.recorded = record, []
        self.http2, self.deaf, self.frozen = http2, set(), set()
        self.delay, self.rate, self.flip, self.stalled = 0.0, None, 0.0, False
        self.flipped = 0
        self.rng = random.Random(seed)
        self.lock = threading.Lock()
        self.open = set()
        self.closed = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.connect, args=(near,), daemon=True).start()

    def connect(self, near):
        host, port = self.target.split(":")
        try:
            far = socket.create_connection((host, int(port)), timeout=5)
            far.settimeout(None)
        except OSError:
            near.close()
            return
        with self.lock:
            self.open |= {near, far}
        threading.Thread(target=self.carry, args=(near, far, Frames(preface=True)), daemon=True).start()
        self.carry(far, near, Frames(preface=False))

    def carry(self, source, sink, frames):
        kept = bytearray()
        if self.record:
            self.recorded.append(kept)
        try:
            while data := source.recv(PIECE):
                if self.record:
                    kept += data
                if self.http2:
                    data = b"".join(f for f in frames.take(data) if source not in self.deaf or f[3] != DATA)
                while (self.stalled or source in self.frozen) and not self.closed:
                    time.sleep(0.02)
                time.sleep(self.delay + (len(data) / self.rate if self.rate else 0))
                sink.sendall(self.damaged(data), socket.MSG_NOSIGNAL)
        except OSError:
            pass
        # The end of one direction is the end of both: an HTTP/2 connection knows no half.
        for s in (source, sink):
            self.end(s)

    def damaged(self, data):
        with self.lock:
            if self.rng.random() >= self.flip:
                return data
            self.flipped += 1
            at = self.rng.randrange(len(data) * 8)
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        return bytes(damaged)

    def end(self, s):
        with self.lock:
            self.open.discard(s)
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other direction was faster
        s.close()

    def deafen(self):
        """The connections that stand now go on living, but no message gets through them any more, either way."""
        with self.lock:
            self.deaf |= self.open

    def freeze(self):
        """The connections that stand now stay, and carry nothing any more, as if the other host had lost its power."""
        with self.lock:
            self.frozen |= self.open

    def cut(self):
        """Ends every connection; new ones are made as before."""
        with self.lock:
            ended = list(self.open)
        for s in ended:
            self.end(s)

    def heal(self):
        self.delay, self.rate, self.flip, self.stalled = 0.0, None, 0.0, False
        self.deaf, self.frozen = set(), set()

    def close(self):
        self.closed = True
        self.listener.close()
        self.cut()


class ProxiedCluster(Cluster):
    """Each member behind a proxy, found in `proxies` by its name."""

    def __init__(self, *args, http2=False, record=False, **kw):
        self.proxies, self.kinds = {}, {"http2": http2, "record": record}
        super().__init__(*args, **kw)

    def add_member(self, name, **settings):
        member = super().add_member(name, **settings)
        self.proxies[name] = Proxy(member.settings["listen"], seed=name, **self.kinds)
        member.settings["advertise"] = self.proxies[name].address
        return member

    def seeds(self):
        return ",".join(self.proxies[m.name].address for m in self.nodes)

    def heal(self):
        for proxy in self.proxies.values():
            proxy.heal()

    def close(self):
        super().close()
        for proxy in self.proxies.values():
            proxy.close()
