"""Links that damage, delay and lose their connections, without namespaces. Faults 14, 21; the row "loss, delay, corrupt bytes" of the
fault matrix."""
import subprocess

import cluster
from cluster import BIN, ClusterTest, environment, metrics, wait_until
from ports import free_port
from proxy import ProxiedCluster, Proxy
from workers import Workers


class ProxyTest(ClusterTest):
    def proxied(self, **kw):
        c = ProxiedCluster(**kw)
        self.addCleanup(c.close)
        c.start()
        return c

    def work(self, c, **kw):
        workers = Workers(c, **kw)
        self.addCleanup(workers.close)
        return workers


class Proxied(ProxyTest):
    def test_slow_cut_and_stalled(self):
        c = self.proxied()
        workers = self.work(c)
        with workers:
            workers.wait_progress(50, seconds=180)
            slow = c.proxies["node-2"]
            slow.delay, slow.rate = 0.02, 1 << 20
            workers.wait_progress(50, seconds=120)
            for proxy in c.proxies.values():
                proxy.cut()
                workers.wait_progress(20, seconds=180)
            c.heal()
            c.wait_healthy(180)
            # Connections that stand and carry nothing are noticed by their silence.
            c.proxies["node-3"].stalled = True
            workers.wait_progress(50, seconds=120)
            c.heal()
            c.wait_healthy(180)
            workers.wait_progress(50, seconds=180)
        workers.verify(self)


class Deaf(ProxyTest):
    def test_streams_that_stand_still(self):
        """Connections that live and carry no message any more: whoever is linked by one notices, and links anew (K2, K4)."""
        c = self.proxied(http2=True)
        workers = self.work(c)
        with workers:
            workers.wait_progress(50, seconds=180)
            c.proxies["node-2"].deafen()
            wait_until(lambda: any("whose connection lives" in m.said() for m in c.members.values()), "a deaf link is noticed", 180)
            c.wait_healthy(180)
            workers.wait_progress(50, seconds=180)
            c.proxies["router"].deafen()
            workers.wait_progress(50, seconds=180)
            c.wait_healthy(180)
        workers.verify(self)


class Frozen(ClusterTest):
    """Not among the tests of a change, for it waits for two minutes: `tests/soak --only Frozen`."""

    def test_bulk_calls_alone(self):
        """A client that sends nothing but large values notices that its connection carries nothing any more, and makes another. That
        they are not answered for long proves nothing: they may be on their way."""
        c = self.cluster()
        c["router"].settings["metrics_listen"] = f"127.0.0.1:{free_port()}"
        c.start()
        proxy = Proxy(c.router_address, 1)
        self.addCleanup(proxy.close)
        command = [BIN / "coffer", "--router", proxy.address, "bench", "--mix", "put", "--size", "256KiB", "--in-flight", "2", "--duration", "10m"]
        with open(c.folder / "bench.log", "wb") as log:
            bench = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment())
        self.addCleanup(bench.wait)
        self.addCleanup(bench.kill)

        def puts():
            return metrics(c["router"])["coffer_router_operations_total"]

        wait_until(lambda: puts() > 100, "the load runs")
        proxy.freeze()
        # What had passed the proxy is carried out still: two puts, and a little of what else the client asks.
        frozen = puts()
        wait_until(lambda: puts() > frozen + 20, "the load goes on", 240)


class Flipped(ProxyTest):
    def test_flipped_bits(self):
        """A bit of one piece in fifty is flipped on its way, whatever is in it: links end for it, and no wrong byte is stored or
        read. That TCP finds such bits itself is true of most only."""
        c = self.proxied()
        workers = self.work(c, large=True)
        with workers:
            workers.wait_progress(50, seconds=180)
            for proxy in c.proxies.values():
                proxy.flip = 0.02
            wait_until(lambda: any("checksum does not verify" in m.said() for m in c.members.values()), "a damaged message is noticed", 180)
            wait_until(lambda: sum(proxy.flipped for proxy in c.proxies.values()) >= 50, "fifty bits are flipped", 180)
            c.heal()
            c.wait_healthy(180)
            workers.wait_progress(50, seconds=180)
        workers.verify(self)
        print(f"{sum(proxy.flipped for proxy in c.proxies.values())} bits flipped", flush=True)
        for member in c.members.values():
            self.assertTrue(member.running, member.tail())


if __name__ == "__main__":
    cluster.main()
