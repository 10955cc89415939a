#!/usr/bin/env python3
"""What the disk costs, beside redis-server: `disk.py opening|stalls|turns|sync [--keys N] [--rounds N]`.

    opening  keys brought back a second of CPU: a snapshot here, an RDB file there, the same data
    stalls   delays of a client that reads 1,000 times a second, while a snapshot is taken and without
    turns    the server's own turns (make build/turns.so) while keys are written and a snapshot is taken, everysec
    sync     writes with everysec and always: throughput and CPU, 50 clients, depth 1 and 16

Prints Markdown rows for docs/performance.md.
"""
import argparse
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench  # noqa: E402
from bench import cluster  # noqa: E402

PORT = int(os.environ.get("BENCH_PORT", "17101"))
VALUE = "x" * 64


class Redis:
    name = "redis-server"

    def __init__(self, *flags):
        self.dir = tempfile.mkdtemp(prefix="bench-redis-")
        self.port, self.flags = PORT, flags
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--save", "", "--dir", self.dir, "--bind", "127.0.0.1",
                                         *self.flags], stdout=subprocess.DEVNULL)

    def pid(self):
        return self.process.pid

    def save(self):
        return cluster.command(self.port, "SAVE")

    def crash(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.crash()
        shutil.rmtree(self.dir, ignore_errors=True)


class Meridian:
    name = "meridian"

    def __init__(self, **config):
        self.port = PORT + 1
        self.node = cluster.Node("bench.local", PORT + 2, PORT + 3, 1)
        self.node.bootstrap()
        self.node.create_db("bench", self.port, **config)

    def start(self):  # the manager does, when a data plane has ended
        pass

    def pid(self):
        try:
            return int(pathlib.Path(self.node.dir, "plane.pid").read_text(encoding="ascii") or 0)
        except (FileNotFoundError, ValueError):
            return 0

    def save(self):
        return cluster.command(self.port, "SAVE")

    def crash(self):
        old = self.pid()
        os.kill(old, signal.SIGKILL)
        while self.pid() in (0, old):
            time.sleep(0.005)

    def stop(self):
        self.node.stop()


def encoded(*args):
    return cluster.Client.encode(args)


def data(kind, keys):
    """Commands that make the data, and how many keys they make."""
    if kind == "strings":
        return keys, (encoded("SET", f"key:{i:012}", VALUE) for i in range(keys))

    def mix():
        for i in range(keys):
            name = f"key:{i:012}"
            members = [f"member:{i * 7919 % 1000003 + m}" for m in range(10)]
            yield encoded(*((("SET", name, VALUE), ("HSET", name, *(w for m in members for w in (m, "value"))), ("SADD", name, *members),
                             ("ZADD", name, *(w for s, m in enumerate(members) for w in (s, m))), ("RPUSH", name, *members))[i % 5]))
    return keys, mix()


def fill(port, commands):
    with subprocess.Popen(["redis-cli", "-p", str(port), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        batch = []
        for c in commands:
            batch.append(c)
            if len(batch) == 1000:
                p.stdin.write(b"".join(batch))
                batch.clear()
        p.stdin.write(b"".join(batch))
        out = p.communicate(timeout=300)[0].decode()
    if "errors: 0" not in out:
        raise RuntimeError(out)


def until_open(server, keys):
    """Seconds of CPU and of time until a server that has just been started answers."""
    began = time.monotonic()
    while True:
        try:
            if cluster.command(server.port, "DBSIZE") == keys:
                return bench.cpu_seconds([server.pid()]), time.monotonic() - began
        except OSError:
            pass
        if time.monotonic() > began + 120:
            raise TimeoutError(f"{server.name} does not open")
        time.sleep(0.005)


def opened(server, keys, rounds):
    """[(CPU, time)] of that many openings."""
    out = []
    for _ in range(rounds):
        server.crash()
        server.start()
        out.append(until_open(server, keys))
    return out


def section_opening(keys, rounds):
    print(f"\n## Opening: keys a second of CPU ({keys:,} keys, one core, {rounds} rounds, medians)\n")
    print("| data | redis-server, its RDB | meridian, its snapshot | ratio | time redis-server / meridian |\n|---|---|---|---|---|")
    for kind in ("strings", "mix"):
        row = {}
        for make in (Redis, lambda: Meridian(data_persistence="aof")):
            server = make()
            try:
                cluster.wait_port(server.port)
                n, commands = data(kind, keys if kind == "strings" else keys // 4)
                fill(server.port, commands)
                assert server.save() == b"OK"
                runs = opened(server, n, rounds)
                empty = 0.02 if server.name == "redis-server" else 0.05  # what a start without data takes
                row[server.name] = (n / (statistics.median(c for c, _ in runs) - empty), statistics.median(t for _, t in runs))
            finally:
                server.stop()
        (r, rt), (m, mt) = row["redis-server"], row["meridian"]
        print(f"| {kind} | {r:,.0f} | {m:,.0f} | {m / r:.2f} | {rt:.2f} s / {mt:.2f} s |", flush=True)


class Probe(threading.Thread):
    """Reads a thousand times a second and remembers how long each took."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client, self.stopping, self.took = cluster.Client(port), False, []

    def run(self):
        due = time.monotonic()
        while not self.stopping:
            began = time.monotonic()
            self.client.command("GET", "key:000000000001")
            self.took.append(time.monotonic() - began)
            due += 0.001
            time.sleep(max(0, due - time.monotonic()))

    def end(self):
        self.stopping = True
        self.join()
        took = sorted(self.took)
        return [took[int(len(took) * q)] * 1e3 for q in (0.5, 0.99, 0.999)] + [took[-1] * 1e3, len(took)]


def section_stalls(keys, rounds):
    print(f"\n## Delays of a reader (GET, 1,000 a second) while a snapshot of {keys:,} keys is taken; ms\n")
    print("| server | | p50 | p99 | p99.9 | most | reads |\n|---|---|---|---|---|---|---|")
    for make in (Redis, lambda: Meridian(data_persistence="aof")):
        server = make()
        try:
            cluster.wait_port(server.port)
            fill(server.port, data("strings", keys)[1])
            time.sleep(2)
            for what in ("quiet", "BGSAVE"):
                for _ in range(rounds):
                    probe = Probe(server.port)
                    probe.start()
                    began = time.monotonic()
                    if what == "BGSAVE":
                        time.sleep(0.2)
                        cluster.command(server.port, "BGSAVE")
                        while cluster.info(server.port, "persistence")["rdb_bgsave_in_progress"]:
                            time.sleep(0.02)
                    else:
                        time.sleep(3)
                    p = probe.end()
                    print(f"| {server.name} | {what} ({time.monotonic() - began:.1f} s) | " + " | ".join(f"{v:.2f}" for v in p[:4]) + f" | {p[4]} |", flush=True)
        finally:
            server.stop()


TURNS_MS = 2
LOADS = (("SET", "key:__rand_int__", VALUE), ("ZADD", "big", "__rand_int__", "m:__rand_int__"), ("LPUSH", "list:__rand_int__", "one", "two"),
         ("BGSAVE",), ("GET", "key:__rand_int__"), ("DEL", "big"), ("FLUSHALL",))


def section_turns(keys):
    """Each load in turn on the same data: turns of more than 2 ms of processor time, and the longest."""
    print(f"\n## Turns over {TURNS_MS} ms of CPU: their number / the longest, ms; everysec, {keys:,} requests a load, depth 16, 20 clients\n")
    print("| server | " + " | ".join(load[0] for load in LOADS) + " |\n|---|" + "---|" * len(LOADS))
    for make in (lambda: Redis("--appendonly", "yes"), lambda: Meridian(data_persistence="aof")):
        with tempfile.TemporaryDirectory() as folder:
            os.environ.update(LD_PRELOAD=str(bench.cluster.ROOT / "build/turns.so"), TURNS=f"{folder}/turns", TURNS_MS=str(TURNS_MS))
            try:
                server = make()
            finally:
                del os.environ["LD_PRELOAD"]
            try:
                cluster.wait_port(server.port)
                seen = pathlib.Path(folder, f"turns.{server.pid()}")
                cells, before = [], 0
                for load in LOADS:
                    if len(load) > 2 or load[0] == "GET":
                        subprocess.run(["redis-benchmark", "-p", str(server.port), "-P", "16", "-c", "20", "-n", str(keys), "-r", str(keys), "-q", *load],
                                       stdout=subprocess.DEVNULL, check=True)
                    else:
                        cluster.command(server.port, *load)
                    time.sleep(0 if load[0] == "BGSAVE" else 2)
                    lines = seen.read_text(encoding="ascii").splitlines() if seen.exists() else []
                    took = [float(line.split()[0]) for line in lines[before:]]
                    cells.append(f"{len(took)} / {max(took, default=0):.1f}")
                    before = len(lines)
                print(f"| {server.name} | " + " | ".join(cells) + " |", flush=True)
            finally:
                server.stop()


def section_sync(rounds, policies):
    print(f"\n## Writes that go to disk: SET, 50 clients, 64-byte values ({rounds} rounds, medians)\n")
    print("| policy | depth | redis-server/s | meridian/s | ratio | CPU us redis-server | CPU us meridian | ratio | p99 ms redis-server / meridian |")
    print("|---|---|---|---|---|---|---|---|---|")
    for policy in policies:
        config = {"none": {}, "everysec": {"data_persistence": "aof"},
                  "always": {"data_persistence": "aof", "aof_policy": "appendfsync-always"}}[policy]
        flags = () if policy == "none" else ("--appendonly", "yes", "--appendfsync", policy)
        servers = [Redis(*flags), Meridian(**config)]
        servers[0].pids = lambda s=servers[0]: [s.pid()]
        servers[1].pids = lambda s=servers[1]: [s.pid()]
        try:
            for s in servers:
                cluster.wait_port(s.port)
            for depth in (1, 16):
                requests = {1: 60_000, 16: 600_000}[depth] // (3 if policy == "always" else 1)
                rows = {s.name: [] for s in servers}
                for _ in range(rounds):
                    for s in servers:
                        before = bench.cpu_seconds(s.pids())
                        row = bench.end_load(bench.start_load(s.port, "set", depth, requests))
                        row["cpu_us"] = (bench.cpu_seconds(s.pids()) - before) / requests * 1e6
                        rows[s.name].append(row)
                r, m = ({k: bench.median(rows[s.name], k) for k in ("rps", "cpu_us", "p99_latency_ms")} for s in servers)
                print(f"| {policy} | {depth} | {r['rps']:,.0f} | {m['rps']:,.0f} | {m['rps'] / r['rps']:.2f} | {r['cpu_us']:.2f} | {m['cpu_us']:.2f} | "
                      f"{m['cpu_us'] / r['cpu_us']:.2f} | {r['p99_latency_ms']:.1f} / {m['p99_latency_ms']:.1f} |", flush=True)
        finally:
            for s in servers:
                s.stop()


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("section", choices=("opening", "stalls", "turns", "sync"))
    ap.add_argument("--keys", type=int, default=1_000_000)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--policies", nargs="*", choices=("none", "everysec", "always"), default=("none", "everysec", "always"))
    args = ap.parse_args()
    if args.section == "opening":
        section_opening(args.keys, args.rounds)
    elif args.section == "stalls":
        section_stalls(args.keys, 1 if args.keys > 2_000_000 else args.rounds)
    elif args.section == "turns":
        section_turns(args.keys)
    else:
        section_sync(args.rounds, args.policies)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
