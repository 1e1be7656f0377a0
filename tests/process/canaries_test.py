"""Canaries of keys and passwords never appear on a server's disk, wire or log, nor in what it answers (I17).

What servers are trusted with: the cluster's secret, join tokens, what a joiner draws for its attempt, and the keys of their
certificates. Besides, what a caller may send as a password by mistake: an Authorization header, which Coffer does not know.

What an application stored is no such canary: whether it is encrypted is the application's business, and servers keep on their disks, and
send to each other, what they were given. But the values have no business in a log, in the metrics or in a status, nor on a wire with TLS.
"""
import base64
import http.client
import os
import resource
import secrets
import signal
import socket

import cluster
from api import Api, Refused
from canaries import PIECE, Canaries, forms, pieces
from cluster import ClusterTest, environment, wait_until
from ports import free_port
from proxy import ProxiedCluster, Proxy


def key_of(file):
    """The number that is the private key of a PEM file for the curve P-256, as `coffer certs` makes them: 32 bytes behind their length."""
    der = base64.b64decode("".join(line for line in file.read_text().splitlines() if not line.startswith("-")))
    at = der.index(b"\x04\x20") + 2
    return der[at:at + 32]


class Searching(ClusterTest):
    def test_every_form_is_found(self):
        c = self.cluster(nodes=0)
        secret = secrets.token_bytes(40)
        for text in (secret, secret.hex().encode()):
            for part in (text, *pieces(text)):
                for form, written in forms(part):
                    canaries = Canaries(secret=text)
                    file = c.folder / "file"
                    file.write_bytes(b"before " + written + b" after")
                    canaries.search_folder(c.folder, but=[c.secret])
                    self.assertTrue(canaries.found, f"{form} of {part}")
                    canaries = Canaries(secret=text)
                    canaries.search_folder(c.folder, but=[c.secret, file])
                    self.assertEqual(canaries.found, [])
        canaries = Canaries(secret=environment()["PATH"].ljust(2 * PIECE, "/"))
        canaries.search_process(os.getpid())
        self.assertTrue(canaries.found)


class Secrets(ClusterTest):
    def test_without_tls(self):
        self.begin()
        self.drive()
        self.disturb()
        self.search()
        # The values are where they belong: so what was searched is the disk and the wire.
        for search in (lambda: self.values.search_folder(self.c["node-1"].data), lambda: self.values.search("the wire", self.members_wire())):
            self.values.found.clear()
            search()
            self.assertTrue(self.values.found)

    def test_with_tls(self):
        self.begin(tls=True)
        self.drive()
        self.search()
        self.values.search("the wire of members", self.members_wire())
        self.values.search("the wire of clients", self.wire_of(self.public))
        self.assert_nothing_found()

    # ---- a cluster of one node, which grows by a join token, behind proxies that write down all that passes
    def begin(self, tls=False):
        self.answers = []  # (where, text)
        secret, self.newer, self.wrong, self.attempt = (secrets.token_hex(size) for size in (32, 32, 32, 16))
        self.password, self.value, self.body = (secrets.token_hex(24) for _ in range(3))
        self.keys = Canaries(secret=secret, newer_secret=self.newer, wrong_secret=self.wrong, attempt=self.attempt)
        self.passwords = Canaries(password=self.password)
        self.values = Canaries(value=self.value, body=self.body)
        c = self.c = ProxiedCluster(nodes=1, record=True, log_level="debug")
        self.addCleanup(c.close)
        self.public = Proxy(c.router_address, seed="public", record=True)
        self.addCleanup(self.public.close)
        c.router_port = int(self.public.address.split(":")[1])
        self.tls = c.folder / "tls" if tls else None
        if tls:
            names = ("node-1", "node-2", "wrong", "late", "router")
            c.cli("certs", self.tls, *[x for name in names for x in ("--member", f"{name}=127.0.0.1")], "--client", "ops")
            for name in (*names, "ops", "ca"):
                self.keys.add(f"key of {name}", key_of(self.tls / f"{name}.key"))
            c.cli_options = ["--tls-cert", self.tls / "ops.pem", "--tls-key", self.tls / "ops.key", "--tls-ca", self.tls / "ca.pem"]
            c["router"].settings.update(public_tls_cert=self.tls / "router.pem", public_tls_key=self.tls / "router.key",
                                        public_tls_ca=self.tls / "ca.pem", public_tls_required="true")
        for member in c.members.values():
            self.equip(member)
        c.secret.write_text(secret)
        self.kept = [c.secret]  # files whose business it is to hold a secret
        c.start()
        self.token = c.folder / "token"
        self.errand("join-token", "create", self.seed(), "--secret-file", c.secret, "--out", self.token)
        digits = self.token.read_text().strip().removeprefix("coffer-join-1-")
        for name, at in (("random part of the token", 32), ("key of the token", 96)):
            self.keys.add(name, digits[at:at + 64])
        new = self.newcomer("node-2", join_token_file=self.token)
        new.data.mkdir()
        (new.data / "secret.join").write_text(self.attempt)
        new.start()
        c.wait_members(3)
        self.kept += [self.token, new.data / "secret"]

    def equip(self, member):
        member.settings["metrics_listen"] = f"127.0.0.1:{free_port()}"
        # So that a crash would leave a core in the test's folder, were it allowed.
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        most = "unlimited" if hard == resource.RLIM_INFINITY else hard
        member.prefix = ["env", f"--chdir={self.c.folder}", "prlimit", f"--core={most}:{most}"]
        if self.tls:
            member.settings.update(tls_cert=self.tls / f"{member.name}.pem", tls_key=self.tls / f"{member.name}.key", tls_ca=self.tls / "ca.pem")

    def seed(self):
        return self.c.proxies["node-1"].address

    def newcomer(self, name, **settings):
        member = self.c.add_node(name, join=self.seed(), secret_file=None, **settings)
        self.equip(member)
        return member

    def told(self, *command, **kw):
        done = self.c.cli(*command, **kw)
        self.answers.append((f"coffer {' '.join(map(str, command))}", done.stdout + done.stderr))
        return done

    def errand(self, *command, **kw):
        """A command for a member's port, where a member's certificate is asked for."""
        clients = self.c.cli_options
        if self.tls:
            self.c.cli_options = ["--tls-cert", self.tls / "node-1.pem", "--tls-key", self.tls / "node-1.key", "--tls-ca", self.tls / "ca.pem"]
        done = self.told(*command, **kw)
        self.c.cli_options = clients
        return done

    def drive(self):
        """Values, everything that can be asked, wrong secrets, a change of the secret, restarts."""
        c = self.c
        id = c.put(self.value.encode())
        c.put(self.value.encode() * 400)
        c.cli("chain", "append", "log", self.body)
        c.cli("chain", "append", "log", self.body, "--position", "7", code=cluster.FAILURE)
        self.assertEqual(c.get(id), self.value.encode())
        for command in (["status"], ["nodes"], ["doctor"], ["zone", "list"], ["plan"], ["where", id], ["layout", "losses"], ["resync", "status"],
                        ["scrub", "start"], ["scrub", "status"], ["cache", "status"], ["get", "0" * 64], ["apply", "reweight", "nobody", "7"]):
            self.told("-o", "json", *command, code=None)
        self.errand("-o", "json", "join-token", "list", self.seed(), "--secret-file", c.secret)
        wrong = c.folder / "wrong"
        wrong.write_text(self.wrong)
        self.kept.append(wrong)
        stranger = self.newcomer("wrong").start(secret_file=str(wrong))
        self.wait_said(stranger, "secret")
        self.assertIn("WRONG_SECRET", self.errand("join", self.seed(), "--secret-file", wrong, "--data", c.folder / "none", code=cluster.FAILURE).err)
        stranger.terminate()
        late = self.newcomer("late", join_token_file=self.token).start()
        self.assert_refused_start(late, "used already, by node-2")
        # A file that holds something else, and settings that are a secret instead of naming its file.
        late.start(join_token_file=str(wrong))
        self.assert_refused_start(late, "holds no join token")
        late.start(join_token_file=None, secret_file=str(self.token))
        wait_until(lambda: "secret" in late.said().split("cofferd starts")[-1], lambda: late.tail(), 30)
        late.terminate()
        late.environment = {"COFFER_SECRET": self.wrong}
        self.assert_refused_start(late.start(secret_file=None), "COFFER_SECRET_FILE")
        late.environment = {}
        mistaken = c.folder / "mistaken.toml"
        mistaken.write_text(f'secret = "{self.wrong}"\njoin_token = "{self.token.read_text().strip()}"\n')
        self.kept.append(mistaken)
        self.assert_refused_start(late.start(config=str(mistaken)), "secret_file")
        # The secret changes while all run.
        for path in (c.secret, c["node-2"].data / "secret"):
            path.write_text(f"{path.read_text().strip()}\n{self.newer}\n")
        for member in (*c.nodes[:2], c["router"]):
            member.process.send_signal(signal.SIGHUP)
            self.wait_said(member, "read again")
        for name in ("node-1", "node-2", "router"):
            c[name].kill()
            c[name].start()
            c.wait_healthy()
        for member in (*c.nodes[:2], c["router"]):
            for ask in (self.http, self.search_process):
                ask(member)

    def search_process(self, member):
        for canaries in (self.keys, self.passwords, self.values):
            canaries.search_process(member.process.pid)

    def http(self, member):
        for method, path in [("GET", "/metrics"), ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/nothing"), ("POST", "/metrics")]:
            asked = http.client.HTTPConnection(member.settings["metrics_listen"], timeout=10)
            asked.request(method, path, headers={"Authorization": f"Bearer {self.password}"})
            answer = asked.getresponse()
            self.answers.append((f"{path} of {member.name}", str(answer.headers).encode() + answer.read()))
            asked.close()

    def disturb(self):
        """Calls that break a rule or bring a password, and a crash."""
        c = self.c
        api = Api(c.router_address)
        self.addCleanup(api.close)
        metadata = [("authorization", f"Bearer {self.password}")]
        value, id = self.value.encode(), os.urandom(32)

        def call(method, code=None, **fields):
            try:
                api.call(method, metadata=metadata, zone="default", **fields)
                self.assertIsNone(code, f"{method} was answered")
            except Refused as e:
                self.answers.append((method, str(e)))
                self.assertEqual(e.code.name, code, str(e))
        call("Chunks/Put", id=id, data=value)
        call("Chunks/Put", id=id, data=value + b"!", code="ALREADY_EXISTS")
        call("Chunks/Put", id=id, data=value * 200_000, code="INVALID_ARGUMENT")
        call("Chunks/Put", id=value, data=value, code="INVALID_ARGUMENT")
        append = {"chain": id, "predecessor": bytes(32), "entries": [{"body": self.body.encode(), "signature": value}]}
        call("Chains/Append", position=0, **append)
        call("Chains/Append", position=5, **append, code="ABORTED")
        for address in (c.router_address, c["node-1"].settings["listen"]):  # not through the proxy, whose record would have it
            for noise in (f"GET /{self.password} HTTP/1.1\r\nAuthorization: Bearer {self.password}\r\n\r\n", self.password):
                self.send(address, noise.encode())
        node = c["node-2"]
        node.process.send_signal(signal.SIGABRT)
        self.assertEqual(node.exit_code(), -signal.SIGABRT)
        self.assertEqual([p.name for p in c.folder.iterdir() if "core" in p.name], [])
        node.start()
        c.wait_healthy()

    def send(self, address, noise):
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as s:
            s.sendall(noise)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass

    # ---- where they must not be
    def wire_of(self, *proxies):
        return b"\n".join(bytes(kept) for proxy in proxies for kept in proxy.recorded)

    def members_wire(self):
        return self.wire_of(*self.c.proxies.values())

    def search(self):
        c = self.c
        for canaries in (self.keys, self.passwords, self.values):
            for member in c.members.values():
                canaries.search(f"the log of {member.name}", member.said())
            for where, text in self.answers:
                canaries.search(where, text)
        wire = self.members_wire()
        self.assertIn(b"PRI * HTTP/2.0" if not self.tls else b"\x16\x03", wire)
        for canaries in (self.keys, self.passwords):
            canaries.search("the wire of members", wire)
            # The folders of all members, what commands left, the logs, and a core if there is one.
            canaries.search_folder(c.folder, but=[*self.kept, *(self.tls.glob("*.key") if self.tls else [])])
        self.keys.search("the wire of clients", self.wire_of(self.public))
        for file in c.folder.glob("*/secret"):
            self.assertEqual(file.stat().st_mode & 0o077, 0, f"{file} is for its owner only")
        self.assert_nothing_found()
        print(f"{self.keys.searched >> 20} MiB searched for {len(self.keys.patterns)} forms of keys", flush=True)

    def assert_nothing_found(self):
        for canaries in (self.keys, self.passwords, self.values):
            self.assertEqual(canaries.found, [])


if __name__ == "__main__":
    cluster.main()
