#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""A live redis-server is followed (meridian import --replica-of) while clients write to it; nothing may be missing.

    tests/compat/follow.py [--rest] [--crash] [--source] [--regions N] [--port N] [--seconds N] [--kills N] [--keys N] [--shards N] [--seed N]

Starts redis-server and a node of its own. Fills the source with values of all types, begins to follow it, writes
on with redis-benchmark and with a mix of counters, transactions, expiries, streams, scripts and functions; meanwhile
cuts the link at the source, kills the follower with SIGKILL and begins again. Then the writers stop, WAIT at the source
tells that everything has been applied, and all keys are compared. --rest: followed by the node's manager (replica_sources), which
is killed in the follower's place; --crash: the target's data plane is, which keeps its data on disk; --source: follower, plane (with
--crash) and source die in turn, the source keeps an append-only file; --regions: the target is geo-distributed over so many nodes, and each must have all of it. The
ports used are N to N + 9.
Ends with "N passed, N failed"; exit status 1 if any failed.
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from cluster import BINARY, Client, Node, create_crdb, wait_equal, wait_port  # noqa: E402
from dump import Values  # noqa: E402

MARK = b"meridian:replica-of"
LIBRARY = """#!lua name=mix%d
redis.register_function('mix_add%d', function(keys, args)
  redis.call('HINCRBY', keys[1], args[1], 1)
  return redis.call('RPUSH', keys[2], args[1])
end)"""
SCRIPT = """
redis.call('INCRBY', KEYS[1], ARGV[1])
for i = 1, 3 do redis.call('SADD', KEYS[2], ARGV[1] .. ':' .. i) end
return redis.call('SPOP', KEYS[2])"""


def stream(v, key):
    """Commands that make a stream with holes, groups, consumers and pending entries."""
    n = v.rng.choice([1, 50, 101, 250])
    out = [["XADD", key, f"{1000 + i // 3}-{i}", "f", v.text(), v.text() or b"g", v.text()] for i in range(1, n + 1)]
    out += [["XDEL", key, f"{1000 + i // 3}-{i}"] for i in range(1, n, 7)]
    for g in range(v.rng.randrange(3)):
        out.append(["XGROUP", "CREATE", key, f"g{g}", v.rng.choice(["0", "$"])])
        out += [["XREADGROUP", "GROUP", f"g{g}", f"c{c}", "COUNT", "7", "STREAMS", key, ">"] for c in range(v.rng.randrange(3))]
        out.append(["XGROUP", "CREATECONSUMER", key, f"g{g}", "idle"])
    return out


def fill(port, count, rng):
    """Values of all types, as dump.py makes them."""
    values = Values(rng)
    with Client(port) as c:
        for i in range(count):
            v, key = values, f"fill:{i}"
            kind = i % 7
            if kind == 0:
                c.command("SET", key, v.text())
            elif kind == 1:
                c.command("RPUSH", key, *v.texts())
            elif kind == 2:
                c.command("SADD", key, *v.texts())
            elif kind == 3:
                c.command("ZADD", key, *[x for m in v.texts() for x in (v.score(), m)])
            elif kind == 4:
                c.command("HSET", key, *[x for m in v.distinct() for x in (m, v.text())])
            elif kind == 5:
                c.command("PFADD", key, *v.texts())
            else:
                for k in stream(v, key):
                    c.command(*k)
            if i % 5 == 0:
                c.command("PEXPIRE", key, rng.choice([3000, 20000, 10**8]))


class Mix(threading.Thread):
    """Writes of every kind; what they do must not be lost and not be done twice. `one_slot`: each writer's keys lie together, as those of
    one command have to where the target has several shards. `patient`: the source dies now and then, which is waited for."""

    def __init__(self, port, seed, one_slot, patient):
        super().__init__(daemon=True)
        self.patient = patient
        self.port, self.rng, self.going, self.done, self.slowest, self.error = port, random.Random(seed), True, 0, 0.0, None
        self.tag = f"{{m{seed}}}" if one_slot else f"m{seed}"

    def run(self):
        while self.going and self.error is None:
            try:
                self.life()
            except OSError as e:
                self.error = None if self.patient else e
                time.sleep(0.1)
            except Exception as e:  # shown by main
                self.error = e

    def life(self):
        """Until the end, or the source's."""
        with Client(self.port) as c:
            c.command("XGROUP", "CREATE", f"{self.tag}:stream", "g", "0", "MKSTREAM")
            while self.going:
                began = time.monotonic()
                self.batch(c)
                self.slowest = max(self.slowest, time.monotonic() - began)

    def batch(self, c):
        out = []
        for _ in range(30):
            out += self.some()
        c.sock.sendall(b"".join(Client.encode(a) for a in out))
        for _ in out:
            c.read()
        self.done += len(out)

    def key(self, kind, most=40):
        return f"{self.tag}:{kind}:{self.rng.randrange(most)}"

    def some(self):
        r, k = self.rng, self.key
        n = r.randrange(1000)
        return r.choice([
            lambda: [["INCR", k("count")]],
            lambda: [["INCR", k("count")]],
            lambda: [["INCRBYFLOAT", k("float"), "0.5"]],
            lambda: [["MULTI"], ["INCR", k("count")], ["LPUSH", k("list"), n], ["HINCRBY", k("hash"), n % 7, 2], ["EXEC"]],
            lambda: [["SET", k("short", 200), n, "PX", r.choice([50, 400, 1500])]],
            # A key that is always prolonged in time must not go, however late that reaches the target.
            lambda: [["INCR", k("session", 10)], ["PEXPIRE", k("session", 10), 1200]],
            lambda: [["SET", k("token", 20), n, "EX", 3600, "NX"], ["EXPIRE", k("token", 20), 3600]],
            lambda: [["GETEX", k("short", 200), "PERSIST"]],
            lambda: [["XADD", f"{self.tag}:stream", "MAXLEN", "500", "*", "n", n]],
            lambda: [["XREADGROUP", "GROUP", "g", f"c{n % 3}", "COUNT", "3", "STREAMS", f"{self.tag}:stream", ">"]],
            lambda: [["XAUTOCLAIM", f"{self.tag}:stream", "g", "c0", "0", "0", "COUNT", "2"]],
            lambda: [["EVAL", SCRIPT, "2", k("count"), k("set"), n]],
            lambda: [["FUNCTION", "LOAD", "REPLACE", LIBRARY % (n % 3, n % 3)]] if n < 50 else
                    [["FCALL", f"mix_add{n % 3}", "2", k("hash"), k("list"), n]],
            lambda: [["SADD", k("set"), n, n + 1, n + 2], ["SPOP", k("set"), 2]],
            lambda: [["RPOPLPUSH", k("list"), k("list")]],
            lambda: [["LTRIM", k("list"), "0", "200"]],
            lambda: [["RENAME", k("list"), k("list")]],
            lambda: [["COPY", k("hash"), k("hash"), "REPLACE"]],
            lambda: [["SINTERSTORE", k("set"), k("set"), k("set")]],
            lambda: [["ZINCRBY", k("zset"), "1.5", f"m{n % 30}"], ["ZPOPMIN", k("zset")]],
            lambda: [["GETDEL", k("short", 200)]],
            lambda: [["APPEND", k("text"), "x"], ["SETRANGE", k("text"), n % 50, "yz"]],
            lambda: [["BITFIELD", k("bits"), "INCRBY", "u8", n % 40, 1]],
            lambda: [["PFADD", k("hll"), n]],
            lambda: [["DEL", k("hash"), k("list")]] if n < 100 else [["UNLINK", k("float")]] if n < 200 else [["PING"]],
            lambda: [["GEOADD", k("geo"), n / 100, n / 20 - 20, f"p{n % 9}"]],
            lambda: [["SELECT", "3"], ["INCR", "elsewhere"], ["SELECT", "0"]],
            lambda: [["PUBLISH", "news", n]],
        ])()


class Follower:
    def __init__(self, source, target, folder):
        self.args = [BINARY, "import", "--replica-of", f"redis://127.0.0.1:{source}/0", "--to", f"127.0.0.1:{target}", "--status-file",
                     f"{folder}/status.json"]
        self.log = open(f"{folder}/follower.log", "ab")
        self.process = None

    def start(self, *more):
        self.process = subprocess.Popen(self.args + list(more), stdout=self.log, stderr=self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ended(self):
        return self.process.poll() is not None

    def last_words(self):
        return open(self.log.name).read().strip().split("\n")[-1]

    def end(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=15)


class RestFollower:
    """The same over REST: the follower lives in the manager."""

    def __init__(self, source, node):
        self.source, self.node = source, node

    def put(self, **fields):
        return self.node.rest("PUT", "/v1/bdbs/1", fields)

    def start(self):
        if not self.node.rest("GET", "/v1/bdbs/1")["replica_sources"]:
            self.put(replica_sources=[{"uri": f"redis://127.0.0.1:{self.source}/0"}], replica_sync="enabled")

    def kill(self):
        self.node.process.kill()
        self.node.process.wait()
        self.node.start()

    def ended(self):
        return self.node.rest("GET", "/v1/bdbs/1")["replica_sync"] == "stopped"

    def end(self):
        """Disabled: what was heard is applied, and nothing of it is left."""
        source = self.node.rest("GET", "/v1/bdbs/1")["replica_sources"][0]
        assert source["status"] == "in-sync", source
        self.put(replica_sync="disabled")
        time.sleep(1)
        return 0 if self.node.rest("GET", "/v1/bdbs/1")["replica_sync"] == "disabled" else 1

    def last_words(self):
        return self.node.rest("GET", "/v1/bdbs/1")["replica_sources"]


def contents(c, keys):
    """Everything about each key, in two pipelines."""
    def ask(commands):
        c.sock.sendall(b"".join(Client.encode(a) for a in commands))
        return [c.read() for _ in commands]
    kinds = ask([["TYPE", k] for k in keys])
    reads = {b"string": ["GET"], b"list": ["LRANGE", 0, -1], b"set": ["SMEMBERS"], b"zset": ["ZRANGE", 0, -1, "WITHSCORES"],
             b"hash": ["HGETALL"], b"stream": ["XRANGE", "-", "+"], b"none": ["EXISTS"]}
    values = ask([[reads[t][0], k, *reads[t][1:]] for k, t in zip(keys, kinds)])
    times = ask([["PEXPIRETIME", k] for k in keys])
    out = {}
    for k, t, v, at in zip(keys, kinds, values, times):
        if t == b"set":
            v = sorted(v)
        elif t == b"hash":
            v = sorted(zip(v[::2], v[1::2]))
        elif t == b"zset":
            v = sorted((m, float(s)) for m, s in zip(v[::2], v[1::2]))
        elif t == b"stream":
            v = (v, [groups(c, k)])
        out[k] = (t, v, at)
    return out


def groups(c, key):
    found = []
    known = c.command("XINFO", "GROUPS", key)
    if isinstance(known, Exception):  # it has expired since it was asked for
        return found
    for g in known:
        g = dict(zip(g[::2], g[1::2]))
        pending = [(p[0], p[1], p[3]) for p in c.command("XPENDING", key, g[b"name"], "-", "+", "100000")]
        who = sorted(w[1] for w in c.command("XINFO", "CONSUMERS", key, g[b"name"]))
        found.append((g[b"name"], g[b"last-delivered-id"], pending, who))
    return sorted(found)


class Run:
    def __init__(self, o):
        self.o, self.rng = o, random.Random(o.seed)
        self.dir = tempfile.mkdtemp(prefix="meridian-follow-")
        self.source = o.port + 3
        self.passed = self.failed = 0
        self.redis = self.follower = self.bench = None
        self.nodes, self.ports = [], []

    def check(self, good, what, *more):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(what, *[repr(m)[:400] for m in more], flush=True)

    def start_source(self):
        self.redis = subprocess.Popen(["redis-server", "--port", str(self.source), "--save", "", "--dir", self.dir, "--repl-diskless-sync-delay",
                                       "0", "--repl-diskless-sync", self.rng.choice(["yes", "no"]), "--repl-backlog-size", self.rng.choice(["2mb", "100mb"]),
                                       "--hz", "50", "--appendonly", "yes" if self.o.source else "no"], stdout=open(f"{self.dir}/redis.log", "ab"))

    def start(self):
        self.start_source()
        at = self.o.port
        for i in range(self.o.regions):
            port = at if i == 0 else at + 4 + 3 * (i - 1)
            rest = at + 1 if i == 0 else port + 1
            self.nodes.append(Node(f"follow{i}.test", rest_port=rest, discovery_port=rest + 1))
            self.nodes[i].bootstrap()
            self.ports.append(port)
        if self.o.regions == 1:
            self.nodes[0].create_db("follow", at, shards=self.o.shards, data_persistence="aof")
        else:
            create_crdb("follow", list(zip(self.nodes, self.ports)))
        wait_port(self.source)
        self.follower = RestFollower(self.source, self.nodes[0]) if self.o.rest else Follower(self.source, at, self.dir)

    def stop(self):
        if isinstance(self.follower, Follower) and self.follower.process and not self.follower.ended():
            self.follower.kill()
        if self.redis:
            self.redis.kill()
            self.redis.wait()
        if self.failed and isinstance(self.follower, Follower):
            print(open(f"{self.dir}/follower.log").read()[-3000:])
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def benchmark(self):
        return subprocess.Popen(["redis-benchmark", "-p", str(self.source), "-q", "-c", "8", "-P", "8", "-r", "2000", "-n",
                                 str(int(20000 * self.o.seconds)), "-t", "incr,lpush,sadd,hset,zadd"], stdout=subprocess.DEVNULL)

    def kill_plane(self):
        plane = pathlib.Path(self.nodes[0].dir, "plane.pid").read_text(encoding="ascii")
        os.kill(int(plane), signal.SIGKILL)

    def kill_follower(self):
        self.follower.kill()
        time.sleep(self.rng.choice([0, 0.3]))
        self.follower.start()

    def kill_source(self):
        """What it had answered is in its file; to its replicas it is another source."""
        self.bench.kill()  # it may wait for ever for answers of a source that is no more
        self.redis.kill()
        for p in (self.bench, self.redis):
            p.wait()
        time.sleep(self.rng.choice([0, 0.5]))
        self.start_source()
        wait_port(self.source)
        with Client(self.source) as c:
            while isinstance(c.command("DBSIZE"), Exception):  # it reads its file
                time.sleep(0.05)
        self.bench = self.benchmark()

    def cut_link(self):
        with Client(self.source) as c:
            c.command("CLIENT", "KILL", "TYPE", "replica")

    def ways(self):
        """What is killed, in turn."""
        if self.o.source:
            return [self.kill_follower, *[self.kill_plane] * self.o.crash, self.kill_source, self.cut_link]
        return [self.kill_plane if self.o.crash else self.kill_follower, self.cut_link]

    def load(self):
        """Writers at the source; meanwhile links and followers die."""
        mixes = [Mix(self.source, i, self.o.shards > 1, self.o.source) for i in range(2)]
        for m in mixes:
            m.start()
        self.bench = self.benchmark()
        end = time.monotonic() + self.o.seconds
        ways = self.ways()
        for i in range(self.o.kills):
            time.sleep(self.o.seconds / (self.o.kills + 1))
            ways[i % len(ways)]()
        time.sleep(max(0, end - time.monotonic()))
        self.bench.wait()
        for m in mixes:
            m.going = False
        for m in mixes:
            m.join()
            self.check(m.error is None and m.done > 0, "a writer failed", m.error)
        return sum(m.done for m in mixes), max(m.slowest for m in mixes)

    def settle(self):
        """WAIT counts replicas that have acknowledged: ours does only what its target holds."""
        with Client(self.source) as c:
            self.check(c.command("SET", "last", "write") == b"OK", "the source took no last write")
            began, synced = time.monotonic(), 0
            while synced != 1 and time.monotonic() - began < 60 and not self.follower.ended():
                synced = c.command("WAIT", "1", "1000")
        self.check(synced == 1, "the target never got what the source has")
        with Client(self.o.port) as c:
            self.check(c.command("GET", "last") == b"write", "WAIT at the source said yes, but the write is not at the target")
        return time.monotonic() - began

    def compare(self, port):
        with Client(self.source) as a, Client(port) as b:
            keys = sorted(set(a.command("KEYS", "*")) | set(b.command("KEYS", "*")))
            self.check(MARK not in keys, "the position is still there")
            self.check(len(keys) > self.o.keys / 2, "too few keys to compare", len(keys))
            wrong = 0
            for i in range(0, len(keys), 500):
                part = keys[i:i + 500]
                one, other = contents(a, part), contents(b, part)
                now = time.time() * 1000
                for k in part:
                    # A key that expires while it is being looked at says nothing.
                    if one[k] == other[k] or any(0 < v[2] < now + 50 or (v[2] == -2 and v[0] != b"none") for v in (one[k], other[k])):
                        continue
                    wrong += 1
                    if wrong <= 5:
                        print("differs:", k, repr(one[k])[:300], repr(other[k])[:300])
            self.check(wrong == 0, f"{wrong} of {len(keys)} keys differ")
            libraries = [sorted(dict(zip(x[::2], x[1::2]))[b"library_name"] for x in c.command("FUNCTION", "LIST")) for c in (a, b)]
            self.check(libraries[0] == libraries[1], "functions differ", libraries)
        return len(keys)

    def run(self):
        self.start()
        fill(self.source, self.o.keys, self.rng)
        self.follower.start()
        writes, slowest = self.load()
        settled = self.settle()
        words = self.follower.last_words()
        self.check(self.follower.end() == 0, "the follower did not end in order", words)
        if len(self.ports) > 1:
            wait_equal(self.ports)
        for port in self.ports:
            keys = self.compare(port)
        print(f"{writes} mixed writes and the benchmark's; slowest batch of 30 at the source {slowest * 1000:.0f} ms; settled after {settled:.2f} s; "
              f"{keys} keys compared")
        print(words if self.o.rest else self.follower.last_words(), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, default=17950)
    p.add_argument("--seconds", type=float, default=8)
    p.add_argument("--kills", type=int, default=5)
    p.add_argument("--keys", type=int, default=400)
    p.add_argument("--shards", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--crash", action="store_true", help="kill the target's data plane instead of the follower")
    p.add_argument("--source", action="store_true", help="kill the source, too: it keeps an append-only file")
    p.add_argument("--rest", action="store_true")
    p.add_argument("--regions", type=int, default=1)
    run = Run(p.parse_args())
    try:
        run.run()
    finally:
        run.stop()
    print(f"{run.passed} passed, {run.failed} failed")
    sys.exit(run.failed > 0)


if __name__ == "__main__":
    main()
