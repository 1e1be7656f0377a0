"""Bad input and strangers: each is refused with a message that says what to do, and disturbs nobody. R8.8."""
import os
import shutil
import socket
import subprocess

import cluster
from api import Api, Refused
from cluster import BIN, ClusterTest, environment, wait_until


def run(*arguments, env=None):
    return subprocess.run([str(BIN / "cofferd"), *arguments], capture_output=True, text=True, timeout=20, env={**environment(), **(env or {})})


class Settings(ClusterTest):
    def test_unknown_key_names_the_nearest(self):
        c = self.cluster(nodes=0)
        done = run("--advertize", "x:1")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--advertise", done.stderr)
        file = c.folder / "cofferd.toml"
        file.write_text('resync_dealy = "5s"\n')
        done = run("--config", str(file))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("resync_delay", done.stderr)
        self.assertIn("cofferd.toml", done.stderr)
        done = run(env={"COFFER_METRIC_LISTEN": "127.0.0.1:1"})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("COFFER_METRICS_LISTEN", done.stderr)

    def test_value_out_of_range_says_what_is_allowed(self):
        done = run("--weight", "0")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("1 to 1000", done.stderr)

    def test_secret_is_never_taken_from_the_environment(self):
        done = run(env={"COFFER_SECRET": "hunter2hunter2hunter2"})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("COFFER_SECRET_FILE", done.stderr)
        self.assertNotIn("hunter2", done.stderr)

    def test_version_and_help(self):
        self.assertIn("cofferd", run("--version").stdout)
        self.assertIn("--data", run("--help").stdout)

    def test_port_in_use(self):
        c = self.started(nodes=1)
        taken = c["node-1"].settings["listen"]
        other = c.add_node("other", listen=taken, form="true").start()
        self.assert_refused_start(other, taken.split(":")[1])
        self.assertNotIn("CompletionQueue", other.said())
        public = c.add_member("other-router", role="router", public_listen=f"127.0.0.1:{c.router_port}", join=taken).start()
        self.assert_refused_start(public, str(c.router_port))

    def test_a_taken_port_is_noticed_before_anything_is_written(self):
        c = self.cluster(nodes=1)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            for setting in ("public_listen", "metrics_listen"):
                settings = {"role": "node,router", "public_listen": "127.0.0.1:0", setting: address}
                node = c.add_member("taken-" + setting.split("_")[0], **settings).start()
                self.assert_refused_start(node, f"can't listen on {address}: the port is in use")
                self.assertNotIn("formed a new cluster", node.said())

    def test_data_folder_in_use(self):
        c = self.started(nodes=1)
        other = c.add_node("other", data=c["node-1"].settings["data"]).start()
        self.assert_refused_start(other, "another")

    def test_folder_of_something_else(self):
        c = self.cluster(nodes=1)
        c["node-1"].data.mkdir()
        (c["node-1"].data / "letter.txt").write_text("dear diary")
        self.assert_refused_start(c["node-1"].start())
        self.assertEqual((c["node-1"].data / "letter.txt").read_text(), "dear diary")
        self.assertEqual(os.listdir(c["node-1"].data), ["letter.txt"])

    def test_read_only_data_folder(self):
        c = self.cluster(nodes=1)
        node = c["node-1"]
        node.data.mkdir()
        if os.getuid() == 0:
            # Root may write everywhere but on a read-only mount, made in a namespace of the process's own.
            script = f'mount --bind {node.data} {node.data} && mount -o remount,ro,bind {node.data} && exec "$@"'
            wrapped = ["unshare", "--mount", "sh", "-c", script, "sh"]
            if subprocess.run(wrapped + ["true"], capture_output=True).returncode != 0:
                self.skipTest("as root, without the right to mount: no folder is read-only here")
        else:
            node.data.chmod(0o500)
            wrapped = []
        done = subprocess.run(wrapped + [str(BIN / "cofferd"), "--data", str(node.data), "--listen", node.settings["listen"], "--public-listen",
                                         "none", "--role", "node", "--metrics-listen", "none"],
                              capture_output=True, text=True, timeout=20, env=environment())
        node.data.chmod(0o700)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr.lower(), "read-only|permission")

    def test_a_folder_that_may_not_be_entered(self):
        node = self.cluster(nodes=1)["node-1"]
        node.data.mkdir(mode=0o000)
        self.addCleanup(node.data.chmod, 0o700)
        # Root enters every folder by two of its rights.
        wrapped = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"] * (os.getuid() == 0)
        done = subprocess.run(wrapped + [str(BIN / "cofferd"), "--data", str(node.data), "--listen", node.settings["listen"], "--public-listen",
                                         "none", "--role", "node", "--metrics-listen", "none"],
                              capture_output=True, text=True, timeout=20, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"can't look for the cluster's secret in {node.data}/secret: Permission denied. Nothing was changed.", done.stderr)


class Strangers(ClusterTest):
    def test_wrong_secret(self):
        c = self.started()
        wrong = c.folder / "wrong"
        wrong.write_text("f" * 32)
        stranger = c.add_node("stranger", join=c.seeds(), secret_file=str(wrong)).start()
        self.wait_said(stranger, "secret")
        self.assertNotIn("stranger", [m["name"] for m in c.status()["members"]])
        c.wait_status(lambda s: s["verdict"] == "VERDICT_HEALTHY", "healthy still")

    def test_foreign_cluster(self):
        c = self.started()
        other = self.started(nodes=1)
        node = other["node-1"]
        node.kill()
        node.start(name="foreigner", join=c.seeds())
        self.wait_said(node, "cluster")
        other.wait_status(lambda s: True, "it serves its own cluster")
        self.assertNotIn("foreigner", [m["name"] for m in c.status()["members"]])
        c.wait_status(lambda s: s["verdict"] == "VERDICT_HEALTHY", "healthy still")

    def test_copied_data_folder(self):
        """Two processes with one identity: the later one is refused and stops, the first goes on."""
        c = self.started()
        id = c.put(b"one of me")
        # A copy of the files as they lie there, as a careless backup makes it.
        copy = c.folder / "copy"
        shutil.copytree(c["node-2"].data, copy)
        twin = c.add_node("twin", data=str(copy), join=c.seeds()).start()
        self.assert_refused_start(twin, "a data folder was copied")
        self.assertTrue(c["node-2"].running)
        c.wait_healthy()
        # One that does not know where the first one is hears it from the others; the first is none the worse for it later.
        others = ",".join(c[n].settings["listen"] for n in ("node-1", "node-3"))
        twin.start(join=others)
        self.assert_refused_start(twin, "a data folder was copied")
        c["node-2"].kill()
        c["node-2"].start()
        c.wait_healthy()
        self.assertNotIn("old copy", c["node-2"].said())
        self.assertEqual(c.get(id), b"one of me")


class Tls(ClusterTest):
    def certificates(self, c):
        folder = c.folder / "tls"
        members = [x for m in c.members for x in ("--member", f"{m}=127.0.0.1")]
        c.cli("certs", folder, *members, "--client", "ops")
        return folder

    def secure(self, c, folder):
        for name, member in c.members.items():
            for key, ending in [("tls_cert", f"{name}.pem"), ("tls_key", f"{name}.key"), ("tls_ca", "ca.pem")]:
                member.settings[key] = str(folder / ending)
        c["router"].settings.update(public_tls_cert=str(folder / "router.pem"), public_tls_key=str(folder / "router.key"),
                                    public_tls_ca=str(folder / "ca.pem"), public_tls_required="true")
        c.cli_options = ["--tls-cert", str(folder / "ops.pem"), "--tls-key", str(folder / "ops.key"), "--tls-ca", str(folder / "ca.pem")]

    def test_mutual_tls(self):
        c = self.cluster()
        folder = self.certificates(c)
        self.secure(c, folder)
        c.start()
        id = c.put(b"over TLS")
        self.assertEqual(c.get(id), b"over TLS")

        # Clients: without a certificate, with one of another authority.
        with_certificate, c.cli_options = c.cli_options, ["--tls-ca", str(folder / "ca.pem")]
        c.cli("get", id, code=(cluster.FAILURE, cluster.UNAVAILABLE))
        c.cli_options = []
        c.cli("get", id, code=(cluster.FAILURE, cluster.UNAVAILABLE))
        other = c.folder / "other-ca"
        c.cli("certs", other, "--client", "ops", "--member", "stranger=127.0.0.1")
        c.cli_options = ["--tls-cert", str(other / "ops.pem"), "--tls-key", str(other / "ops.key"), "--tls-ca", str(folder / "ca.pem")]
        c.cli("get", id, code=(cluster.FAILURE, cluster.UNAVAILABLE))
        c.cli_options = with_certificate

        # Members: without TLS, and with a certificate of another authority, though both know the secret.
        plain = c.add_node("plain", join=c.seeds()).start()
        self.wait_said(plain, "no link")
        forged = c.add_node("stranger", join=c.seeds(), tls_cert=str(other / "stranger.pem"), tls_key=str(other / "stranger.key"),
                            tls_ca=str(other / "ca.pem")).start()
        self.wait_said(forged, "certificate")
        names = [m["name"] for m in c.status()["members"]]
        self.assertNotIn("plain", names)
        self.assertNotIn("stranger", names)
        self.assertEqual(c.get(id), b"over TLS")

    def test_routers_that_nobody_dials(self):
        """A router without a peer port, the router within a node's process, and a public port without an authority of clients."""
        c = self.cluster()
        both = c.add_member("node-4", role="node,router", public_listen="127.0.0.1:0", form="false")
        c.agree_on_seeds()
        folder = self.certificates(c)
        self.secure(c, folder)
        router = c["router"]
        del router.settings["listen"]
        del router.settings["public_tls_ca"]
        router.settings["public_tls_required"] = "false"
        c.cli_options = ["--tls-ca", str(folder / "ca.pem")]
        for member in c.members.values():
            member.start()
        c.wait_members(len(c.members) + 1)
        c.wait_healthy()
        c.make_zone()
        id = c.put(b"over TLS")
        self.assertEqual(c.get(id), b"over TLS")

        # With the certificate of another member it does not even start.
        self.assertEqual(both.terminate(), 0)
        both.start(tls_cert=str(folder / "node-1.pem"), tls_key=str(folder / "node-1.key"))
        self.assert_refused_start(both, "was not made for this member")

        # What is wrong is said by whoever refuses and by whoever is refused.
        c.cli_options = ["--tls-ca", str(c.folder / "other-ca" / "ca.pem")]
        c.cli("certs", c.folder / "other-ca")
        self.assertIn("not signed by the authority", c.cli("get", id, code=cluster.UNAVAILABLE).err)
        c.cli_options = ["--tls-ca", str(folder / "ca.pem")]
        wrong_secret = c.folder / "wrong"
        wrong_secret.write_text("f" * 64)
        wrong_secret.chmod(0o600)
        stranger = c.add_node("stranger", join=c.seeds(), secret_file=str(wrong_secret), tls_cert=str(folder / "node-4.pem"),
                              tls_key=str(folder / "node-4.key"), tls_ca=str(folder / "ca.pem"))
        stranger.settings["name"] = "node-4"
        stranger.start()
        self.wait_said(stranger, "no link")
        wait_until(lambda: any("refused" in node.said() and "secret" in node.said() for node in c.nodes), "a member says that it refused", 60)

    def test_missing_and_partial_tls_files(self):
        c = self.cluster(nodes=1)
        node = c["node-1"]
        node.start(tls_cert="/nowhere/cert.pem", tls_key="/nowhere/key.pem", tls_ca="/nowhere/ca.pem")
        self.assert_refused_start(node, "/nowhere/")
        node.start(tls_key=None)
        self.assert_refused_start(node, "tls_key")


class Requests(ClusterTest):
    def test_requests_that_break_a_rule(self):
        c = self.started(nodes=1, chunk_limit="64KiB")
        good = c.put(b"x")
        # An id of a wrong length.
        self.assertIn("64 hexadecimal digits", c.cli("get", "abcd", code=cluster.USAGE).err)
        self.assertIn("64 hexadecimal digits", c.cli("put", "--id", good + "00", "/dev/null", code=cluster.USAGE).err)
        # An unknown zone, also for what exists elsewhere.
        self.assertIn("coffer zone create", c.cli("get", good, zone="nowhere", code=cluster.NOT_FOUND).err)
        # Over the limit in one chunk: the limit is in the error. A longer file is stored in pieces.
        large = c.folder / "large"
        large.write_bytes(os.urandom(200 << 10))
        id = c.cli("put", large).out.strip()
        self.assertEqual(c.cli("get", id).stdout, large.read_bytes())
        done = c.cli("chain", "append", "big", "x" * (70 << 10), code=cluster.FAILURE)
        self.assertIn("65536", done.err.replace(" ", "").replace(",", ""))
        # Empty values are values.
        empty = c.put(b"")
        self.assertEqual(c.get(empty), b"")
        # What was never put, and what was put under an id that is taken.
        self.assertIn("CHUNK_NOT_FOUND", c.cli("get", "0" * 64, code=cluster.NOT_FOUND).err)
        c.put(b"first", "--id", "1" * 64)
        c.put(b"first", "--id", "1" * 64)
        second = c.folder / "second"
        second.write_bytes(b"second")
        self.assertIn("CHUNK_EXISTS", c.cli("put", "--id", "1" * 64, second, code=cluster.FAILURE).err)
        # A conflicting append names the length.
        c.cli("chain", "append", "short", "one")
        self.assertIn("nothing was appended", c.cli("chain", "append", "short", "--position", "0", "other", code=cluster.FAILURE).err)

    def test_maximal_values(self):
        limit = 64 << 10
        c = self.started(nodes=1, chunk_limit="64KiB")
        api = Api(c.router_address)
        self.addCleanup(api.close)
        zone = "z" * 63
        c.cli("zone", "create", zone)
        self.assertIn("63", c.cli("zone", "create", zone + "z", code=(cluster.FAILURE, cluster.USAGE)).err)

        def refused(text, method, **fields):
            with self.assertRaises(Refused) as caught:
                api.call(method, zone=zone, **fields)
            self.assertEqual(caught.exception.code.name, "INVALID_ARGUMENT")
            self.assertIn(text, caught.exception.text)
        id = bytes(32)
        largest = os.urandom(limit)
        refused(str(limit), "Chunks/Put", id=id, data=largest + b"x")
        api.call("Chunks/Put", zone=zone, id=id, data=largest)
        self.assertEqual(api.call("Chunks/Get", zone=zone, id=id).data, largest)
        ids = [number.to_bytes(32, "big") for number in range(1001)]
        refused("1000", "Chunks/Has", ids=ids)
        self.assertEqual(list(api.call("Chunks/Has", zone=zone, ids=ids[:1000]).present), [True] + [False] * 999)
        # The bodies of one append together may be as large as a chunk, the entries a thousand, a signature 128 bytes.
        refused("1000", "Chains/Append", chain=id, entries=[{}] * 1001)
        refused(str(limit), "Chains/Append", chain=id, entries=[{"body": largest}, {"body": b"x"}])
        refused("128", "Chains/Append", chain=id, entries=[{"signature": bytes(129)}])
        api.call("Chains/Append", zone=zone, chain=id, entries=[{"signature": bytes(range(128))}] * 999 + [{"body": largest}])
        entries = [e for part in api.stream("Chains/Read", zone=zone, queries=[{"chain": id, "last": 2}]) for e in part.entries]
        self.assertEqual([(e.body, e.signature) for e in entries], [(b"", bytes(range(128))), (largest, b"")])

    def test_zones_are_apart(self):
        c = self.started(nodes=1)
        c.cli("zone", "create", "a")
        c.cli("zone", "create", "b")
        self.assertIn("ZONE_EXISTS", c.cli("zone", "create", "a", code=cluster.FAILURE).err)
        id = c.put(b"in a", zone="a")
        c.cli("get", id, zone="b", code=cluster.NOT_FOUND)
        self.assertEqual(c.get(id, zone="a"), b"in a")
        c.cli("zone", "rm", "a", "--yes")
        c.cli("get", id, zone="a", code=cluster.NOT_FOUND)
        # The name is free once all that was in it is gone.
        cluster.wait_until(lambda: c.cli("zone", "create", "a", code=(0, cluster.FAILURE)).returncode == 0, "the name is free again", 30)
        c.cli("get", id, zone="a", code=cluster.NOT_FOUND)


if __name__ == "__main__":
    cluster.main()
