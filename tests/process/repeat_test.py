"""Repetitions of requests whose answer was lost, as a client makes them: the same request again has the same end. Fault 17; R6."""
import cluster
from api import Api, Refused
from cluster import ClusterTest, wait_until


class Repeat(ClusterTest):
    def refused(self, reason, api, method, **fields):
        with self.assertRaises(Refused) as caught:
            api.call(method, **fields)
        self.assertEqual(caught.exception.reason, reason)

    def test_zones(self):
        """R6.3, I16: creating or deleting the same zone again succeeds, and nothing is done twice."""
        c = self.started()
        api = Api(f"127.0.0.1:{c.router_port}")
        self.addCleanup(api.close)
        mine, other = b"m" * 16, b"o" * 16
        first = api.call("Zones/Create", name="shop", id=mine)
        self.assertEqual(api.call("Zones/Create", name="shop", id=mine), first)
        self.refused("ZONE_EXISTS", api, "Zones/Create", name="shop", id=other)
        self.refused("ZONE_EXISTS", api, "Zones/Create", name="shop")
        self.assertEqual([z.id for z in api.call("Zones/List", name="shop").zones], [mine])
        self.refused("ZONE_UNKNOWN", api, "Zones/Delete", name="shop", id=other)
        id = c.put(b"x", zone="shop")
        # Deleted at once twice, and again when the name is free.
        api.call("Zones/Delete", name="shop", id=mine)
        api.call("Zones/Delete", name="shop", id=mine)
        self.refused("ZONE_DELETED", api, "Zones/Create", name="shop", id=mine)
        wait_until(lambda: not api.call("Zones/List", name="shop").zones, "the name is free")
        self.refused("ZONE_DELETED", api, "Zones/Create", name="shop", id=mine)
        api.call("Zones/Create", name="shop", id=other)
        api.call("Zones/Delete", name="shop", id=mine)
        self.assertEqual([z.id for z in api.call("Zones/List", name="shop").zones], [other])
        # What was meant for the zone that is gone does nothing in the later one.
        self.refused("ZONE_DELETED", api, "Chunks/Put", zone="shop", id=b"l" * 32, data=b"late", zone_id=mine)
        self.refused("ZONE_DELETED", api, "Chains/Append", zone="shop", chain=b"l" * 32, entries=[{"body": b"late"}], zone_id=mine)
        self.assertEqual(api.call("Zones/Resolve", zone="shop").id, other)
        self.assertFalse(api.call("Chunks/Put", zone="shop", id=b"l" * 32, data=b"in time", zone_id=other).already_existed)
        c.cli("get", id, zone="shop", code=cluster.NOT_FOUND)

    def test_blocks(self):
        """R6.1, R6.2, I16: the same write again succeeds and acts once; another one under its name is refused."""
        c = self.started(nodes=1)
        api = Api(f"127.0.0.1:{c.router_port}")
        self.addCleanup(api.close)
        here = {"zone": "default"}
        chunk, chain = b"c" * 32, b"h" * 32
        self.assertFalse(api.call("Chunks/Put", id=chunk, data=b"x", **here).already_existed)
        self.assertTrue(api.call("Chunks/Put", id=chunk, data=b"x", **here).already_existed)
        self.refused("CHUNK_EXISTS", api, "Chunks/Put", id=chunk, data=b"y", **here)
        for _ in range(2):
            api.call("Chunks/Delete", id=chunk, **here)
        self.refused("CHUNK_DELETED", api, "Chunks/Put", id=chunk, data=b"x", **here)
        entries = [{"body": b"one"}, {"body": b"two"}]
        head = api.call("Chains/Append", chain=chain, position=0, entries=entries, **here)
        again = api.call("Chains/Append", chain=chain, position=0, entries=entries, **here)
        self.assertEqual((again.head, again.already_existed), (head.head, True))
        self.refused("APPEND_CONFLICT", api, "Chains/Append", chain=chain, position=0, entries=[{"body": b"one"}, {"body": b"2"}], **here)
        self.refused("APPEND_CONFLICT", api, "Chains/Append", chain=chain, position=3, predecessor=b"p" * 32, entries=entries, **here)
        for _ in range(2):
            api.call("Chains/Delete", chain=chain, **here)
        self.refused("CHAIN_DELETED", api, "Chains/Append", chain=chain, position=0, entries=entries, **here)


if __name__ == "__main__":
    cluster.main()
