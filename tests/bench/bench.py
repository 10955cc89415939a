#!/usr/bin/env python3
"""Benchmark: Meridian beside redis-server, in one run, alternating, medians, quoted as ratios.

    bench.py short|full [--only SECTION ...] [--rounds N]

Sections: commands (CPU per operation and latency), workers, memory, geo (two regions: cost of a write where it is made and
where it arrives, bytes on the wire, lag). The first figure is the CPU time (user + system) that the server's processes
spent in a round, divided by its operations: the load generator's share of the machine does not disturb it.
Prints Markdown; raw figures go to build/bench/<mode>.json.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import cluster  # noqa: E402  (tests/e2e/cluster.py: starts nodes, speaks REST and RESP)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEYS = 1_000_000
VALUE = 64
CLIENTS = 50
TICK = os.sysconf("SC_CLK_TCK")
TESTS = ["set", "get", "mixed", "incr", "lpush", "hset", "sadd", "zadd"]
REQUESTS = {1: 100_000, 16: 1_000_000, 100: 2_000_000}
TARGET = {1: 0.90, 16: 0.58, 100: 0.40}
REDIS_PORT, DB_PORT, REST_PORT = 17001, 17011, 17021


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


class Redis:
    name = "redis-server"

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="bench-redis-")
        self.port = REDIS_PORT
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", self.dir, "--bind", "127.0.0.1"],
            stdout=subprocess.DEVNULL)
        cluster.wait_port(self.port)

    def pids(self):
        return [self.process.pid]

    def used_memory(self):
        return cluster.info(self.port)["used_memory"]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Meridian:
    """A node with one database. workers and shards as given."""

    def __init__(self, name="meridian", workers=1, shards=1, offset=0):
        self.name = name
        self.port = DB_PORT + offset
        self.node = cluster.Node(f"bench{offset}.local", rest_port=REST_PORT + offset, discovery_port=REST_PORT + 50 + offset, workers=workers)
        self.node.bootstrap()
        self.shards = shards

    def create(self):
        self.node.create_db("bench", self.port, self.shards)
        return self

    def pids(self):
        return self.node.pids()

    def used_memory(self):
        return cluster.info(self.port)["used_memory"]

    def stop(self):
        self.node.stop()


def start_load(port, test, depth, requests, clients=CLIENTS, keys=KEYS):
    return subprocess.Popen(
        ["redis-benchmark", "-p", str(port), "-t", test, "-n", str(requests), "-r", str(keys), "-d", str(VALUE), "-c", str(clients),
         "-P", str(depth)], stdout=subprocess.PIPE, text=True)


def end_load(process):
    """Waits; the run's throughput and latencies (ms)."""
    out = process.communicate(timeout=300)[0].replace("\r", "\n")
    if process.returncode != 0:
        raise RuntimeError(f"redis-benchmark failed: {out[-500:]}")
    tail = [float(ms) for percent, ms in re.findall(r"([0-9.]+)% <= ([0-9.]+) milliseconds \(cum", out) if float(percent) >= 99.9]
    numbers = out.split("latency summary (msec):", 1)[1].split("\n")[2].split()
    return {"rps": float(re.search(r"throughput summary: ([0-9.]+)", out).group(1)), "p50_latency_ms": float(numbers[2]),
            "p99_latency_ms": float(numbers[4]), "p999_latency_ms": tail[0] if tail else float(numbers[5])}


def load(port, test, depth, requests):
    """One redis-benchmark run; `mixed` is one SET to ten GETs, by two generators at a time."""
    if test != "mixed":
        return end_load(start_load(port, test, depth, requests))
    sets, gets = start_load(port, "set", depth, requests // 11, CLIENTS // 10), start_load(port, "get", depth, requests * 10 // 11, CLIENTS * 9 // 10)
    end_load(sets)
    return end_load(gets)


def measured(server, test, depth, requests):
    before = cpu_seconds(server.pids())
    row = load(server.port, test, depth, requests)
    row["cpu_us"] = (cpu_seconds(server.pids()) - before) / requests * 1e6
    return row


def median(rows, key):
    return statistics.median(r[key] for r in rows)


def flush(port):
    cluster.command(port, "FLUSHALL")
    time.sleep(0.3)


def section_commands(rounds, raw, depths, tests):
    servers = [Redis(), Meridian().create()]
    try:
        print("\n### Commands: one worker, one shard, 50 connections, 64-byte values, 1,000,000 keys\n")
        print("CPU of the server per operation, ratio to redis-server (and its own figure), p50, p99 and p99.9 latency in ms, both sides; MIXED is one SET to ten GETs\n")
        print("| command | depth | CPU ratio | target | redis-server us | p50 | p50 redis | p99 | p99 redis | p99.9 | p99.9 redis | throughput ratio |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|")
        for test in tests:
            for server in servers:
                flush(server.port)
                load(server.port, "set" if test in ("get", "mixed") else test, 16, KEYS)  # warm-up, and keys to find
            for depth in depths:
                rows = {s.name: [] for s in servers}
                for i in range(rounds):
                    for server in servers if i % 2 == 0 else reversed(servers):
                        rows[server.name].append(measured(server, test, depth, REQUESTS[depth]))
                raw.append({"section": "commands", "test": test, "depth": depth, "rows": rows})
                ours, theirs = rows["meridian"], rows["redis-server"]
                ratio = statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in zip(ours, theirs))
                print(f"| {test.upper()} | {depth} | {ratio:.2f} | {TARGET[depth]:.2f} | {median(theirs, 'cpu_us'):.2f} "
                      f"| {median(ours, 'p50_latency_ms'):.2f} | {median(theirs, 'p50_latency_ms'):.2f} "
                      f"| {median(ours, 'p99_latency_ms'):.2f} | {median(theirs, 'p99_latency_ms'):.2f} "
                      f"| {median(ours, 'p999_latency_ms'):.2f} | {median(theirs, 'p999_latency_ms'):.2f} "
                      f"| {median(ours, 'rps') / median(theirs, 'rps'):.2f} |", flush=True)
    finally:
        for server in servers:
            server.stop()


def section_workers(rounds, raw):
    one, two = Meridian("one", 1, 1).create(), Meridian("two", 2, 2, offset=1).create()
    try:
        rows = {"one": [], "two": []}
        for server in (one, two):
            load(server.port, "set", 16, KEYS)
        for i in range(rounds):
            for server in (one, two) if i % 2 == 0 else (two, one):
                rows[server.name].append(measured(server, "set", 16, REQUESTS[16]))
        raw.append({"section": "workers", "rows": rows})
        cpu = statistics.median(b["cpu_us"] / a["cpu_us"] for a, b in zip(rows["one"], rows["two"]))
        rps = statistics.median(b["rps"] / a["rps"] for a, b in zip(rows["one"], rows["two"]))
        print("\n### Two workers, two shards, against one (SET, depth 16)\n")
        print("| CPU per operation ratio | target | throughput ratio (the generator shares the two cores) |\n|---|---|---|")
        print(f"| {cpu:.2f} | 1.25 | {rps:.2f} |", flush=True)
    finally:
        one.stop()
        two.stop()


def fill(port, kind, count):
    """`count` keys of 16 bytes; small elements."""
    def requests():
        for i in range(count):
            key = b"key:%012d" % i
            if kind == "string":
                yield [b"SET", key, b"v" * VALUE]
            elif kind == "counter":
                yield [b"INCR", key]
            elif kind == "hash":
                yield [b"HSET", key] + [x for j in range(10) for x in (b"field%d" % j, b"val%d" % j)]
            elif kind == "set":
                yield [b"SADD", key] + [b"member:%d" % j for j in range(10)]
            else:
                yield [b"ZADD", key] + [x for j in range(10) for x in (b"%d" % j, b"member:%d" % j)]
    cluster.pipeline(port, requests())


def section_memory(raw, count):
    servers = [Redis(), Meridian().create()]
    targets = {"string": 128, "counter": 64, "hash": 260, "set": 200, "zset": 230}
    print(f"\n### Memory: bytes the allocator holds for a key of 16 bytes ({count} keys)\n")
    print("| value | meridian | target | redis-server | after deleting all, meridian |\n|---|---|---|---|---|")
    try:
        for kind, target in targets.items():
            row = {"section": "memory", "kind": kind}
            for server in servers:
                flush(server.port)
                time.sleep(1)
                before = server.used_memory()
                fill(server.port, kind, count)
                row[server.name] = (server.used_memory() - before) / count
                flush(server.port)
                time.sleep(2)
                row[server.name + " after"] = (server.used_memory() - before) / count
            raw.append(row)
            print(f"| {kind} | {row['meridian']:.0f} | {target} | {row['redis-server']:.0f} | {row['meridian after']:+.1f} |", flush=True)
    finally:
        for server in servers:
            server.stop()


def lag_of(ports, seconds, writes_per_s):
    """Time from the reply of a write in one region until another region shows it, in ms, seen by a client."""
    with cluster.Client(ports[0]) as a, cluster.Client(ports[1]) as b:
        lags, i, end = [], 0, time.monotonic() + seconds
        while time.monotonic() < end:
            i += 1
            a.command("SET", "lag", str(i))
            began = time.monotonic()
            while b.command("GET", "lag") != str(i).encode():
                pass
            lags.append((time.monotonic() - began) * 1e3)
            time.sleep(1 / writes_per_s)
    lags.sort()
    return lags[len(lags) // 2], lags[int(len(lags) * 0.99)]


def section_geo(rounds, raw):
    redis, alone = Redis(), Meridian("alone").create()
    a, b = Meridian("a", offset=2), Meridian("b", offset=3)
    try:
        cluster.create_crdb("geo", [(a.node, a.port), (b.node, b.port)])
        figures = {k: [] for k in ("redis", "alone", "made", "arrives", "bytes")}
        for server in (redis, alone, a):
            load(server.port, "set", 16, KEYS)
        cluster.wait_equal([a.port, b.port])
        n = REQUESTS[16]
        for _ in range(rounds):
            figures["redis"].append(measured(redis, "set", 16, n)["cpu_us"])
            figures["alone"].append(measured(alone, "set", 16, n)["cpu_us"])
            wire = cluster.link_bytes(b.port)
            before = cpu_seconds(a.pids()), cpu_seconds(b.pids())
            load(a.port, "set", 16, n)
            began = time.monotonic()
            cluster.wait_equal([a.port, b.port])
            figures.setdefault("quiet_ms", []).append((time.monotonic() - began) * 1e3)
            figures["made"].append((cpu_seconds(a.pids()) - before[0]) / n * 1e6)
            figures["arrives"].append((cpu_seconds(b.pids()) - before[1]) / n * 1e6)
            figures["bytes"].append((cluster.link_bytes(b.port) - wire) / n)
        p50, p99 = lag_of([a.port, b.port], 5, 200)
        raw.append({"section": "geo", "figures": figures, "lag_ms": [p50, p99]})
        m = {k: statistics.median(v) for k, v in figures.items()}
        print("\n### Two regions on this machine: SET, depth 16, 1,000,000 keys\n")
        print("| figure | value | target |\n|---|---|---|")
        print(f"| CPU of a write where it is made / the same in a one-region database | {m['made'] / m['alone']:.2f} | 1.15 |")
        print(f"| CPU of a write at the peer that receives it / redis-server executing it | {m['arrives'] / m['redis']:.2f} | 0.35 |")
        print(f"| CPU of a one-region write / redis-server | {m['alone'] / m['redis']:.2f} | 0.58 |")
        print(f"| bytes on the wire a write (key 16 + value {VALUE}; whatever the link elides is saved) | {m['bytes']:.1f} | {1.25 * (16 + VALUE):.0f} |")
        print(f"| lag idle, seen by a client incl. its own round trip, p50 / p99 ms | {p50:.2f} / {p99:.2f} | 0.1 / 1 |")
        print(f"| full load, then quiet: equal after (ms, incl. polling) | {m['quiet_ms']:.0f} | 20 |", flush=True)
    finally:
        for server in (redis, alone, a, b):
            server.stop()


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("mode", choices=("short", "full"))
    ap.add_argument("--only", nargs="*", choices=("commands", "workers", "memory", "geo"))
    ap.add_argument("--rounds", type=int)
    ap.add_argument("--tests", nargs="*", choices=TESTS, default=TESTS, help="of the commands section")
    args = ap.parse_args()
    rounds = args.rounds or (5 if args.mode == "short" else 9)
    sections = args.only or ["commands", "workers", "memory", "geo"]
    raw = []
    print(f"## Benchmark ({args.mode}, {rounds} rounds, alternating, medians; {os.cpu_count()} cores)")
    if "commands" in sections:
        section_commands(rounds, raw, [1, 16, 100] if args.mode == "full" or args.only else [16, 1], args.tests)
    if "workers" in sections:
        section_workers(rounds, raw)
    if "memory" in sections:
        section_memory(raw, 1_000_000 if args.mode == "full" else 200_000)
    if "geo" in sections:
        section_geo(rounds, raw)
    out = ROOT / "build" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{args.mode}.json").write_text(json.dumps(raw, indent=1))
    print(f"\nraw figures: build/bench/{args.mode}.json")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
