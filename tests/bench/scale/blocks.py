"""What a put, a get and a stored block cost as more and more blocks are stored.

Two clusters stand side by side: into one the blocks are put, the other stays (nearly) empty. Their runs alternate, so that whatever else
the machine does falls on both, and the figure is the ratio of their medians.
"""
import json
import os
import pathlib
import statistics
import subprocess
import time

import cluster as coffer_cluster

TICK = os.sysconf("SC_CLK_TCK")
# Reads of the empty cluster go to so many, more than any run reads twice at once and next to nothing for a store.
FEW = 10_000


def node_cpu(cluster):
    """Processor seconds of all members."""
    total = 0
    for member in cluster.members.values():
        fields = pathlib.Path(f"/proc/{member.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def memory(cluster):
    """Bytes of memory of all nodes that are their own, files in the machine's page cache not counted."""
    total = 0
    for node in cluster.nodes:
        lines = pathlib.Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024
    return total


def disk(cluster):
    return sum(f.stat().st_blocks * 512 for n in cluster.nodes for f in n.data.rglob("*") if f.is_file())


class Subject:
    """A cluster under measurement. Its router keeps no chunks: every read is a node's."""

    def __init__(self):
        self.cluster = coffer_cluster.Cluster(3)
        self.cluster["router"].settings["cache_bytes"] = "0B"
        self.cluster.start()
        self.stored, self.zone, self.seed, self.keys = 0, "", 0, 0

    def bench(self, seconds, *options, patience=300):
        """What `coffer bench` found, with the processor time of all for one operation, preparing included."""
        before = node_cpu(self.cluster)
        found = json.loads(self.cluster.cli("-o", "json", "bench", "--warm-up", "0", "--duration", f"{seconds:g}s", "--size", "100", "--keep",
                                            *options, seconds=seconds + patience).out)
        if found["all"]["errors"] or found["wrong"]:
            raise SystemExit(f"scale: {found['errors']} {found['wrong']} wrong answers")
        found["cpu_us"] = (node_cpu(self.cluster) - before + found["client_cpu_seconds"]) / max(1, found["all"]["finished"]) * 1e6
        found["rate"] = found["all"]["per_second"]
        return found

    def fill(self, blocks, patience):
        """Puts so many; they are what `get` reads from now on."""
        found = self.bench(0.1, "--mix", "get", "--key-count", str(blocks), patience=patience)
        self.zone, self.seed, self.keys = found["zone"], found["seed"], blocks
        self.stored += blocks

    def put(self, seconds):
        found = self.bench(seconds, "--mix", "put")
        self.stored += found["all"]["finished"]
        return found

    def get(self, seconds):
        return self.bench(seconds, "--mix", "get", "--reuse", self.zone, "--seed", str(self.seed), "--key-count", str(self.keys))

    def settle(self, most=120):
        """Waits until the nodes have done what the last writes left for later."""
        end = time.monotonic() + most
        while time.monotonic() < end:
            before = node_cpu(self.cluster)
            time.sleep(2)  # The span that is measured.
            if node_cpu(self.cluster) - before < 0.4:
                return


def compare(empty, full, rounds, seconds):
    """Alternating runs: {"put" or "get": {"rate", "cpu_us": (empty, full)}}, medians."""
    found = {}
    for _ in range(rounds):
        for work in ("put", "get"):
            for place, subject in enumerate((empty, full)):
                figure = getattr(subject, work)(seconds)
                for key in ("rate", "cpu_us"):
                    found.setdefault(work, {}).setdefault(key, ([], []))[place].append(figure[key])
    return {work: {key: tuple(map(statistics.median, both)) for key, both in keys.items()} for work, keys in found.items()}


def measure(steps, rounds, seconds, fill_seconds, say):
    """One row for each number of blocks: {"stored", "fill_seconds", "disk_bytes", "memory_bytes" (growth for each copy of a block), "put",
    "get"}. Filling may take `fill_seconds` altogether."""
    subjects, rows = [], []
    try:
        for _ in range(2):
            subjects.append(Subject())
        empty, full = subjects
        empty.fill(FEW, 300)
        full.fill(FEW, 300)
        full.settle()
        at_start, began_with = memory(full.cluster), full.stored
        left = fill_seconds
        for step in steps:
            say(f"filling up to {step} blocks")
            began = time.monotonic()
            try:
                full.fill(step - full.stored, left)
            except subprocess.TimeoutExpired:
                say(f"given up: not {step} blocks stored in {fill_seconds:.0f} s")
                return rows
            took = time.monotonic() - began
            left -= took
            full.settle()
            grown = (memory(full.cluster) - at_start) / (2 * (full.stored - began_with))
            row = {"stored": full.stored, "fill_seconds": took, "disk_bytes": disk(full.cluster), "memory_bytes": grown,
                   **compare(empty, full, rounds, seconds)}
            say(json.dumps(row))
            rows.append(row)
        return rows
    finally:
        for subject in subjects:
            subject.cluster.close()


def grouped(number):
    return f"{number:,.0f}".replace(",", " ")


def table(rows):
    lines = ["| blocks stored | filled in, s | on disk | memory for each copy of a block | put: rate; processor us, empty and now | get | put, now against empty: rate; processor | get |",
             "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = []
        for work in ("put", "get"):
            f = row[work]
            cells.append(f"{grouped(f['rate'][0])}/s, {grouped(f['rate'][1])}/s; {f['cpu_us'][0]:.0f}, {f['cpu_us'][1]:.0f}")
        for work in ("put", "get"):
            f = row[work]
            cells.append(f"{f['rate'][1] / f['rate'][0]:.2f} x; {f['cpu_us'][1] / f['cpu_us'][0]:.2f} x")
        lines.append(f"| {grouped(row['stored'])} | {row['fill_seconds']:.0f} | {row['disk_bytes'] / 1e9:.2f} GB | {row['memory_bytes']:.0f} bytes | " +
                     " | ".join(cells) + " |")
    return lines


def series(rows):
    """For the plots."""
    def ratio(work, key):
        return [(row["stored"], row[work][key][1] / row[work][key][0]) for row in rows]
    return [("put: processor time against an empty store", ratio("put", "cpu_us")),
            ("get: processor time against an empty store", ratio("get", "cpu_us")),
            ("puts per second against an empty store", ratio("put", "rate")),
            ("gets per second against an empty store", ratio("get", "rate")),
            ("bytes of memory for each copy of a block", [(row["stored"], max(1, row["memory_bytes"])) for row in rows])]
