"""Bytes that no honest client or member sends, to the ports of real processes: refused, forgotten, and nobody else notices."""
import gzip
import os
import socket
import ssl
import struct

import cluster
from api import Api, Refused
from cluster import ClusterTest, wait_until

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = frame(4, 0, 0, b"")


def literal(name, value):
    """A header field without indexing or compression (RFC 7541, 6.2.2)."""
    def string(text):
        length = len(text)
        if length < 127:
            return bytes([length]) + text
        out, length = bytes([127]), length - 127
        while length >= 128:
            out, length = out + bytes([length % 128 + 128]), length // 128
        return out + bytes([length]) + text
    return b"\0" + string(name) + string(value)


def request_headers(path, *more):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"), (b"te", b"trailers"),
              (b"content-type", b"application/grpc"), *more]
    return b"".join(literal(*field) for field in fields)


class Strangers(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.c = cluster.Cluster()
        cls.addClassCleanup(cls.c.close)
        cls.c.start()
        cls.id = cls.c.put(b"untouched")

    def ports(self):
        return [self.c["node-1"].settings["listen"], self.c.router_address]

    def send(self, address, data, seconds=10):
        """Sends the bytes and returns what came back until the other side closes or stays silent for a moment."""
        host, port = address.split(":")
        back = b""
        with socket.create_connection((host, int(port)), timeout=seconds) as s:
            try:
                s.sendall(data)
                s.settimeout(2)
                while chunk := s.recv(65536):
                    back += chunk
            except (TimeoutError, ConnectionError):
                pass
        return back

    def memory(self, name):
        with open(f"/proc/{self.c[name].process.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))

    def tearDown(self):
        # The process lives, others are served, nobody was admitted.
        for member in self.c.members.values():
            self.assertTrue(member.running, member.tail())
        self.assertEqual(self.c.get(self.id), b"untouched")
        status = self.c.wait_status(lambda s: s["verdict"] == "VERDICT_HEALTHY", "healthy still")
        self.assertEqual(len(status["members"]), 4)

    def test_noise(self):
        for address in self.ports():
            for noise in [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096), HELLO, HELLO + os.urandom(4096), b"\x16\x03\x01" + os.urandom(512),
                          HELLO + SETTINGS + frame(1, 4, 1, os.urandom(200)), HELLO + frame(0, 0, 1, bytes(100)),
                          HELLO + SETTINGS + struct.pack(">I", 0xFFFFFF)[1:] + b"\0\0" + struct.pack(">I", 1) + bytes(1 << 20)]:
                self.send(address, noise)

    def test_tls_to_a_plain_port(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for address in self.ports():
            host, port = address.split(":")
            with socket.create_connection((host, int(port)), timeout=10) as s, self.assertRaises((ssl.SSLError, OSError)):
                context.wrap_socket(s)

    def test_malformed_messages(self):
        """Well-formed HTTP/2 and gRPC around bytes that are no message, on every method and on the members' link."""
        paths = [b"/coffer.v1.Chunks/Put", b"/coffer.v1.Chains/Append", b"/coffer.v1.Stream/Open", b"/coffer.v1.Nothing/Here",
                 b"/coffer.internal.v1.PeerService/Link", b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
        for address in self.ports():
            for path in paths:
                for body in [os.urandom(300), b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f"]:
                    message = b"\0" + struct.pack(">I", len(body)) + body
                    self.send(address, HELLO + SETTINGS + frame(1, 4, 1, request_headers(path)) + frame(0, 1, 1, message))

    def test_oversized_envelope(self):
        """A message that announces 2 GiB, and one that is 64 MiB: refused by its length, never held twice."""
        before = self.memory("router")
        for path in [b"/coffer.v1.Chunks/Put", b"/coffer.internal.v1.PeerService/Link"]:
            for address in self.ports():
                start = HELLO + SETTINGS + frame(1, 4, 1, request_headers(path))
                self.send(address, start + frame(0, 0, 1, b"\0" + struct.pack(">I", 0x7FFFFFFF) + bytes(1000)))
        api = Api(self.c.router_address, options=[("grpc.max_send_message_length", -1)])
        self.addCleanup(api.close)
        with self.assertRaises(Refused) as caught:
            api.call("Chunks/Put", zone="default", id=b"o" * 32, data=bytes(64 << 20))
        self.assertIn(caught.exception.code.name, ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "UNAVAILABLE"))
        # Most of it has arrived when it is refused, and the memory for that is not given back at once.
        self.assertLess(self.memory("router") - before, 96 << 20)

    def test_gzip_bomb(self):
        before = self.memory("router")
        bomb = gzip.compress(bytes(64 << 20))
        message = b"\1" + struct.pack(">I", len(bomb)) + bomb
        headers = request_headers(b"/coffer.v1.Chunks/Put", (b"grpc-encoding", b"gzip"))
        data = b"".join(frame(0, 0, 1, message[i:i + 16000]) for i in range(0, len(message), 16000))
        for address in self.ports():
            self.send(address, HELLO + SETTINGS + frame(1, 4, 1, headers) + data + frame(0, 1, 1, b""))
        self.assertLess(self.memory("router") - before, 32 << 20, "the bomb was inflated")

    def test_header_flood(self):
        """Half a megabyte of header on one request is refused; it costs neither memory nor more than a moment."""
        before = self.memory("router")
        fields = request_headers(b"/coffer.v1.Chunks/Put") + b"".join(literal(b"x-%d" % i, b"y" * 1000) for i in range(500))
        pieces = [fields[i:i + 16000] for i in range(0, len(fields), 16000)]
        flood = frame(1, 0, 1, pieces[0]) + b"".join(frame(9, 4 if p is pieces[-1] else 0, 1, p) for p in pieces[1:])
        for address in self.ports():
            self.send(address, HELLO + SETTINGS + flood)
        self.assertLess(self.memory("router") - before, 32 << 20)

    def test_slow_and_silent_connections(self):
        """Two hundred connections that say nothing keep nobody out."""
        host, port = self.c.router_address.split(":")
        idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(200)]
        try:
            for s in idle[:100]:
                s.sendall(HELLO[:10])
            self.assertEqual(self.c.get(self.id), b"untouched")
        finally:
            for s in idle:
                s.close()


class Descriptors(ClusterTest):
    def test_router_without_descriptors_lives_or_ends_with_a_reason(self):
        """gRPC never accepts again after one EMFILE: the process notices that nobody gets in any more and ends, to be started again."""
        c = self.cluster()
        c["router"].prefix = ["prlimit", "--nofile=64:64"]
        c.start()
        self.exhaust(c, c["router"], c.router_address)

    def test_node_without_descriptors_lives_or_ends_with_a_reason(self):
        c = self.cluster()
        c["node-2"].prefix = ["prlimit", "--nofile=96:96"]
        c.start()
        self.exhaust(c, c["node-2"], c["node-2"].settings["listen"])
        c.wait_healthy()

    def exhaust(self, c, member, address):
        id = c.put(b"here")
        host, port = address.split(":")
        held = []
        try:
            for _ in range(300):
                s = socket.socket()
                s.settimeout(1)
                s.connect((host, int(port)))
                held.append(s)
        except OSError:
            pass
        finally:
            # Held until its descriptors have run out; then there is room again, and the question is whether it accepts.
            cluster.wait_until(lambda: not member.running or len(os.listdir(f"/proc/{member.process.pid}/fd")) > 50, "they are used up")
            for s in held:
                s.close()

        def served_or_ended():
            return not member.running or self.accepts(host, int(port))
        wait_until(served_or_ended, f"{member.name} accepts or ends; its log ends:\n{member.tail()}", 60)
        if not member.running:
            self.assertNotEqual(member.process.returncode, 0)
            self.assert_says(member, "descriptors")
            member.prefix = []
            member.start()
        wait_until(lambda: c.get(id) == b"here", "it is served", 60)

    def accepts(self, host, port):
        with socket.create_connection((host, port), timeout=2) as s:
            s.sendall(HELLO + SETTINGS)
            s.settimeout(2)
            try:
                return len(s.recv(9)) > 0
            except (TimeoutError, ConnectionError):
                return False


if __name__ == "__main__":
    cluster.main()
