"""Join tokens: a node joins with nothing but a token, once (J1 to J7)."""
import json
import os
import pathlib
import re
import stat

import cluster
from cluster import SECRET, ClusterTest, wait_until


class Tokens(ClusterTest):
    def create(self, c, *options, member="node-1", **kw):
        """A token in a file of its own."""
        path = c.folder / f"token-{len(list(c.folder.glob('token-*')))}"
        self.token(c, "create", member, "--out", path, *options, **kw)
        return path

    def token(self, c, verb, member, *arguments, **kw):
        return c.cli("-o", "json", "join-token", verb, c[member].settings["listen"], "--secret-file", c.secret, *arguments, **kw)

    def listed(self, c, member="node-1"):
        return [json.loads(line) for line in self.token(c, "list", member).out.splitlines()]

    def joiner(self, c, name, token, join=None, **settings):
        return c.add_node(name, join=join or c.seeds(), secret_file=None, join_token_file=str(token), **settings)

    def assert_kept(self, c, *tokens):
        """Neither a token nor the secret is in any log (I17)."""
        words = [SECRET]
        for token in tokens:
            digits = token.read_text().strip().removeprefix("coffer-join-1-")
            words += [digits[at:at + 64] for at in (32, 96)]
        for member in c.members.values():
            for word in words:
                self.assertNotIn(word, member.said(), f"the log of {member.name}")

    def test_joins_with_a_token_and_only_once(self):
        c = self.started(nodes=1)
        token = self.create(c)
        self.assertEqual(stat.S_IMODE(token.stat().st_mode), 0o600)
        new = self.joiner(c, "node-2", token).start()
        c.wait_members(3)
        kept = new.data / "secret"
        self.assertEqual(kept.read_text().strip(), SECRET)
        self.assertEqual(stat.S_IMODE(kept.stat().st_mode), 0o600)
        self.assert_says(c["node-1"], "node-2", "used it")
        self.assertEqual([(t["state"], t["used_by"]) for t in self.listed(c)], [("used", "node-2")])
        proc = pathlib.Path(f"/proc/{new.process.pid}")
        arguments = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
        self.assertNotIn(SECRET.encode(), arguments)
        # It starts again as it was started.
        new.terminate()
        new.start()
        c.wait_members(3)
        # The token is of no use to anybody else.
        thief = self.joiner(c, "thief", token).start()
        self.assert_refused_start(thief, "used already, by node-2")
        self.assertFalse((thief.data / "secret").exists())
        self.assertNotIn("thief", [m["name"] for m in c.status()["members"]])
        self.assert_kept(c, token)

    def test_a_lost_answer_is_asked_for_again(self):
        """The token was used up, and the joiner does not have the secret: it asks again, as nobody else can (J7)."""
        c = self.started(nodes=3)  # a majority of the voters stays when the newcomer is off
        token = self.create(c)
        attempt = "0123456789abcdef" * 2
        new = self.joiner(c, "node-4", token)
        kept, drawn = new.data / "secret", new.data / "secret.join"
        new.data.mkdir()
        drawn.write_text(attempt)
        new.start()
        c.wait_members(5)
        self.assertFalse(drawn.exists())
        new.terminate()
        # As if the answer had never come.
        kept.unlink()
        drawn.write_text(attempt)
        new.start()
        c.wait_members(5)
        c.wait_state("node-4", "UP")
        self.assertEqual(kept.read_text().strip(), SECRET)
        self.assertFalse(drawn.exists())
        self.assertEqual([(t["state"], t["used_by"]) for t in self.listed(c)], [("used", "node-4")])
        # Under another attempt it is used.
        new.terminate()
        kept.unlink()
        drawn.write_text(attempt[::-1])
        new.start()
        self.assert_refused_start(new, "used already, by node-4")
        self.assertNotIn(attempt, new.said() + c["node-1"].said())

    def test_of_two_that_race_one_wins(self):
        c = self.started(nodes=3)
        token = self.create(c)
        # Each asks another member, and none of these made the token.
        racers = [self.joiner(c, f"racer-{n}", token, join=c[f"node-{n}"].settings["listen"]) for n in (2, 3)]
        for racer in racers:
            racer.start()
        won = "the join token was used: the cluster's secret is here"
        for racer in racers:
            wait_until(lambda: won in racer.said() or not racer.running, f"{racer.name} has an answer", 60)
        winners = [r for r in racers if won in r.said()]
        self.assertEqual(len(winners), 1, "\n".join(r.tail() for r in racers))
        loser = next(r for r in racers if r not in winners)
        self.assert_refused_start(loser, f"used already, by {winners[0].name}")
        c.wait_state(winners[0].name, "UP")
        self.assert_kept(c, token)

    def test_guesses_and_foreign_tokens(self):
        c = self.started(nodes=1)
        token = self.create(c)
        # The right form, and nothing else: every digit of the random part and of the key is another one.
        forged = c.folder / "forged"
        text = token.read_text()
        forged.write_text(text[:46] + re.sub("[0-9a-f]", lambda d: "1" if d.group() == "0" else "0", text[46:]))
        os.chmod(forged, 0o600)
        guesser = self.joiner(c, "guesser", forged).start()
        self.assert_refused_start(guesser, "no join token of this cluster")
        self.assert_says(c["node-1"], "a wrong join token was shown")
        garbage = c.folder / "garbage"
        garbage.write_text("hunter2hunter2hunter2\n")
        guesser.start(join_token_file=str(garbage))
        self.assert_refused_start(guesser, "holds no join token")
        self.assertNotIn("hunter2", guesser.said())
        # The token is as good as before.
        self.joiner(c, "node-2", token).start()
        c.wait_members(3)

    def test_expiry_and_revocation(self):
        c = self.started(nodes=1)
        self.assertIn("1s to 1h", self.token(c, "create", "node-1", "--ttl", "2h", code=cluster.USAGE).err)
        short = self.create(c, "--ttl", "1s")
        revoked = self.create(c)
        self.assertFalse([t for t in self.listed(c) if t["state"] == "used"])
        wait_until(lambda: len(self.listed(c)) == 1, "the short token has ended")
        late = self.joiner(c, "late", short).start()
        self.assert_refused_start(late, "expired")
        [listed] = self.listed(c)
        self.token(c, "revoke", "node-1", listed["id"])
        self.assertEqual(self.listed(c), [])
        self.token(c, "revoke", "node-1", listed["id"], code=cluster.FAILURE)
        late.start(join_token_file=str(revoked))
        self.assert_refused_start(late, "no such join token")
        self.assert_kept(c, short, revoked)

    def test_prepared_by_the_command(self):
        c = self.started(nodes=1)
        token = self.create(c)
        data = c.folder / "prepared"
        done = c.cli("join", c["node-1"].settings["listen"], "--token-file", token, "--data", data, "--name", "node-2")
        self.assertIn("cofferd --config", done.out)
        self.assertEqual((data / "secret").read_text().strip(), SECRET)
        # A secret of another cluster makes none.
        wrong = c.folder / "wrong"
        wrong.write_text("f" * 32)
        c.cli("join-token", "create", c["node-1"].settings["listen"], "--secret-file", wrong, code=cluster.FAILURE)
        again = c.cli("join", c["node-1"].settings["listen"], "--token-file", token, "--data", c.folder / "again", code=cluster.FAILURE)
        self.assertIn("JOIN_TOKEN_USED", again.err)
        self.assertFalse((c.folder / "again" / "secret").exists())

    def test_pins_the_authority(self):
        c = self.cluster(nodes=1)
        folder, other = c.folder / "tls", c.folder / "other-tls"
        names = ("node-1", "router", "node-2")
        for made in (folder, other):
            c.cli("certs", made, *[x for name in names for x in ("--member", f"{name}=127.0.0.1")])

        def files(name, authority):
            return {"tls_cert": str(authority / f"{name}.pem"), "tls_key": str(authority / f"{name}.key"), "tls_ca": str(authority / "ca.pem")}
        for name in ("node-1", "router"):
            c[name].settings.update(files(name, folder))
        c.start()
        shown = files("node-1", folder)
        c.cli_options = ["--tls-cert", shown["tls_cert"], "--tls-key", shown["tls_key"], "--tls-ca", shown["tls_ca"]]
        token = c.folder / "token"
        c.cli("join-token", "create", c["node-1"].settings["listen"], "--secret-file", c.secret, "--out", token)
        c.cli_options = []
        new = self.joiner(c, "node-2", token, **files("node-2", other)).start()
        self.assert_refused_start(new, "another authority", "not used")
        new.start(tls_cert=None, tls_key=None, tls_ca=None)
        self.assert_refused_start(new, "a cluster with TLS", "not used")
        new.start(**files("node-2", folder))
        c.wait_members(3)
        self.assert_kept(c, token)


if __name__ == "__main__":
    cluster.main()
