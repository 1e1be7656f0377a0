"""Clients of several routers, which die, stand still and return: another one is used, and what it says is right. The rows "SIGKILL" and
"pause" of the fault matrix, of routers; faults 16, 17."""
import os
import time

import cluster
from api import Api, Refused, Roaming
from cluster import ClusterTest, wait_until
from library import Library
from ports import free_port
from workers import Workers

ROUNDS = int(os.environ.get("COFFER_FAULT_ROUNDS", "1"))


class Routers(ClusterTest):
    def in_turn(self, stop, go_on, least):
        """`stop`s one router after the other, each when all serve, until every client has had `least` more answers from the one that is
        left. The clients: two of our library, which never say that they could not do it, and two that repeat nothing."""
        c = self.started()
        second = f"127.0.0.1:{free_port()}"
        c.add_member("other", role="router", public_listen=second, join=c.seeds()).start()
        c.wait_members(5)
        routers = [c.router_address, second]
        libraries = [Library(order) for order in (routers, routers[::-1])]
        clients = [*libraries, *(Roaming(order) for order in (routers, routers[::-1]))]
        # One worker each for those that repeat nothing, and as many calls at once as that for the library's.
        workers = Workers(c, count=len(clients), apis=clients, patience=20)
        self.addCleanup(workers.close)
        longest = 0
        with workers:
            self.wait_answers(clients, least)
            for name in ["router", "other"] * 2 * ROUNDS:
                began = time.monotonic()
                stop(c[name])
                self.wait_answers(clients, least)
                longest = max(longest, time.monotonic() - began)
                go_on(c[name])
                self.wait_serves(c[name])
            c.wait_healthy()
        workers.verify(self)
        for library in libraries:
            self.assertEqual(library.given_up, [])
        print(f"{least} answers for each of {len(clients)} clients within {longest:.1f} s while a router is away", flush=True)

    def wait_answers(self, clients, more):
        goals = [client.answered + more for client in clients]
        wait_until(lambda: all(client.answered >= goal for client, goal in zip(clients, goals)),
                   lambda: f"{more} more answers for each client; missing: {[g - c.answered for c, g in zip(clients, goals)]}", 30)

    def wait_serves(self, router):
        api = Api(router.settings["public_listen"])

        def serves():
            try:
                return api.call("Chunks/Has", timeout=2, zone="default", ids=[bytes(32)])
            except Refused as e:
                raise AssertionError(str(e)) from None
        wait_until(serves, f"{router.name} serves again", 60)
        api.close()

    def test_killed_in_turn(self):
        self.in_turn(lambda member: member.kill(), lambda member: member.start(), least=100)

    def test_paused_in_turn(self):
        self.in_turn(lambda member: member.pause(), lambda member: member.resume(), least=100)


if __name__ == "__main__":
    cluster.main()
