"""Regions that were away catch up: by what they missed, read from the other's log on disk, or by states when they have
lost all. Run by e2e.py. E2E_CATCHUP_KEYS, _WRITES and _VALUE (bytes) make it long: 7000000, 10000000 and 250, say."""
import math
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import cluster
from cluster import Client, command
from e2e import Regions, eventually, geo

KEYS = int(os.environ.get("E2E_CATCHUP_KEYS", "40000"))
WRITES = int(os.environ.get("E2E_CATCHUP_WRITES", "400000"))
VALUE = int(os.environ.get("E2E_CATCHUP_VALUE", "100"))
# All partitions, and a single one, which sends at most 32 MiB as one: not with a long one's size.
NAMES = ["key:__rand_int__", "{a}k:__rand_int__"][:1 + (KEYS <= 100000)]
NAME = 16  # bytes, of which redis-benchmark makes 12
P99_MAX = 0.25  # seconds: of a client in Python, on a machine that does other things


def write(port, n, keys, name=NAMES[0]):
    subprocess.run(["redis-benchmark", "-p", str(port), "-n", str(n), "-r", str(keys), "-P", "64", "-c", "8", "-q", "SET", name, "x" * VALUE],
                   check=True, stdout=subprocess.DEVNULL)


def link(region, other):
    """How `region` sees the other one: INFO crdt's line of it."""
    line = next(v for k, v in cluster.crdt(region.db).items() if k.startswith("crdt_replica_") and f"name={other.node.name}," in v)
    return {k: int(v) if v.isdigit() else v for k, _, v in (f.partition("=") for f in line.split(","))}


class Latency(threading.Thread):
    """A client that writes now and then, and how long that takes."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.took, self.ended = port, [], threading.Event()

    def run(self):
        with Client(self.port) as c:
            while not self.ended.is_set():
                began = time.perf_counter()
                assert c.command("SET", f"ping-{self.port}", "x") == b"OK"
                self.took.append(time.perf_counter() - began)
                time.sleep(0.001)

    def shown(self):
        took, self.took = sorted(self.took), []
        self.p99 = took[int(len(took) * .99)] if took else 0
        return f"p50 {took[len(took) // 2] * 1e3:.1f}, p99 {self.p99 * 1e3:.1f} ms" if took else "nothing"


def hold(region, other, guid, paused):
    ids = {i["cluster"]["name"]: i["id"] for i in region.node.rest("GET", f"/v1/crdbs/{guid}")["instances"]}
    region.node.rest("PUT", f"/v1/crdbs/{guid}/links", {"instance_id": ids[other.node.name], "paused": paused})


def test_a_region_that_was_away_gets_what_it_missed():
    with Regions(2) as (a, b):
        guid = geo([a, b], data_persistence="aof", crdt_repl_backlog_size=4 << 20, log_retention=16 << 30)
        write(a.db, KEYS, KEYS)
        cluster.wait_equal([a.db, b.db])
        hold(b, a, guid, True)
        before = link(b, a)
        for name in NAMES:
            write(a.db, WRITES // len(NAMES), KEYS // len(NAMES), name)
        pings = [Latency(r.db) for r in (a, b)]
        for p in pings:
            p.start()
        time.sleep(1)
        quiet = [p.shown() for p in pings]
        began = time.monotonic()
        hold(b, a, guid, False)
        eventually("nothing is left", lambda: link(a, b)["lag_ops"] < 1000 and link(a, b)["ops_from_disk"] >= WRITES * 0.9,
                   60 + WRITES / 20000)
        took = time.monotonic() - began
        busy = [p.shown() for p in pings]
        for p in pings:
            p.ended.set()
            p.join()
        cluster.wait_equal([a.db, b.db])
        after, fed = link(b, a), link(a, b)
        changed = KEYS * (1 - math.exp(-WRITES / KEYS)) * (NAME + VALUE)
        got = after["bytes_in"] - before["bytes_in"]
        print(f"     {WRITES} writes of {changed / 1e6:.1f} MB: {got / 1e6:.1f} MB in {took:.1f} s, {got / changed:.2f} times what "
              f"changed; {fed['ops_left_out']} operations left out", flush=True)
        for name, q, during in zip("ab", quiet, busy):
            print(f"     clients of {name}: {q} before, {during} meanwhile", flush=True)
        assert after["transfers_in"] == before["transfers_in"] and fed["partitions_from_disk"] == 0, (before, after, fed)
        assert got < 1.3 * changed, (got, changed)
        assert all(p.p99 < P99_MAX for p in pings), [p.p99 for p in pings]


def test_a_region_that_lost_its_disk_gets_states():
    with Regions(2) as (a, b):
        geo([a, b], data_persistence="aof", crdt_repl_backlog_size=1 << 20)
        write(a.db, 2 * KEYS, KEYS)
        cluster.wait_equal([a.db, b.db])
        command(a.db, "SET", f"ping-{a.db}", "x")
        keys = command(a.db, "DBSIZE")
        plane = [p for p in b.node.pids() if p != b.node.process.pid]
        folders = [f for f in pathlib.Path(b.node.dir).rglob("db*/shard*") if f.is_dir()]
        assert folders
        os.kill(plane[0], signal.SIGSTOP)  # so that it writes nothing more
        for f in folders:
            shutil.rmtree(f)
        pings = Latency(a.db)
        pings.start()
        time.sleep(0.5)
        quiet, began = pings.shown(), time.monotonic()
        os.kill(plane[0], signal.SIGKILL)
        eventually("all is there", lambda: command(b.db, "DBSIZE") == keys, 60 + KEYS / 5000)
        took, busy = time.monotonic() - began, pings.shown()
        pings.ended.set()
        pings.join()
        eventually("it takes writes", lambda: command(b.db, "SET", "again", "1") == b"OK")
        cluster.wait_equal([a.db, b.db])
        got = link(b, a)
        print(f"     {keys} keys, {got['bytes_in'] / 1e6:.1f} MB in {took:.1f} s with the start; clients of a: {quiet} before, "
              f"{busy} meanwhile", flush=True)
        assert got["transfers_in"] > 0, got
        assert pings.p99 < P99_MAX, pings.p99


class Waiting(threading.Thread):
    """A reader that takes any answer, and how long it waited at most once there was one."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.longest, self.answers, self.ended = port, 0, 0, threading.Event()

    def run(self):
        while not self.ended.is_set():
            try:
                with Client(self.port) as c:
                    while not self.ended.is_set():
                        self.ask(c)
            except OSError:
                time.sleep(0.001)  # it begins

    def ask(self, c):
        began = time.perf_counter()
        c.command("GET", "small")  # or -LOADING, -STALE
        took = time.perf_counter() - began
        self.longest = max(self.longest, took if self.answers else 0)
        self.answers += 1
        time.sleep(0.0005)


def test_large_values_in_a_state_hold_nobody_up():
    with Regions(2) as (a, b):
        geo([a, b], data_persistence="aof", crdt_repl_backlog_size=1 << 20)
        command(a.db, "SET", "small", "x")
        command(a.db, "SET", "string", os.urandom(1 << 20) * 100)
        with Client(a.db) as c:
            for i in range(2000):
                c.command("HSET", "hash", *(text for k in range(100) for text in (f"field-{i}-{k}", f"value-{k}")))
        cluster.wait_equal([a.db, b.db], 60)
        plane = [p for p in b.node.pids() if p != b.node.process.pid]
        os.kill(plane[0], signal.SIGSTOP)  # so that it writes nothing more
        for f in [f for f in pathlib.Path(b.node.dir).rglob("db*/shard*") if f.is_dir()]:
            shutil.rmtree(f)
        os.kill(plane[0], signal.SIGKILL)
        reader = Waiting(b.db)
        reader.start()
        eventually("it takes writes", lambda: command(b.db, "SET", "again", "1") == b"OK", 60)
        cluster.wait_equal([a.db, b.db], 60)
        time.sleep(1)  # the disk gets it, too
        reader.ended.set()
        reader.join()
        assert link(b, a)["transfers_in"] > 0
        assert command(b.db, "STRLEN", "string") == 100 << 20 and command(b.db, "HLEN", "hash") == 200000
        print(f"     a string of 100 MB and a hash of 200,000 fields came: of {reader.answers} answers the longest took "
              f"{reader.longest * 1e3:.0f} ms", flush=True)
        assert reader.answers > 100 and reader.longest < 0.3, reader.longest
