#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Several live sources are followed into one database: servers of their own, and a Redis Cluster; under load, with kills.

    tests/compat/gather.py [--port N] [--seconds N] [--seed N]

Starts redis-servers (three alone, three as a cluster) and a node of its own; ports N .. N+12 and N+10003 .. N+10005 (the cluster's bus).
Counters must be exact after followers were killed with SIGKILL and links were cut, the cluster's slots moved, and over REST.
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
from cluster import BINARY, Client, Node, wait_port  # noqa: E402

MARK = b"meridian:replica-of"


def start_redis(folder, port, *more):
    os.makedirs(f"{folder}/{port}")
    p = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", f"{folder}/{port}",
                          "--repl-diskless-sync-delay", "0", *more], stdout=open(f"{folder}/{port}/log", "wb"))
    wait_port(port)
    return p


class Load(threading.Thread):
    """Increments of its source's own counters, and a transaction now and then; what it has done is in `want`."""

    def __init__(self, port, tag, seed):
        super().__init__(daemon=True)
        self.port, self.tag, self.rng, self.going, self.error, self.done = port, tag, random.Random(seed), True, None, 0

    def run(self):
        try:
            with Client(self.port) as c:
                while self.going:
                    out = []
                    for _ in range(20):
                        key = f"{self.tag}:{self.rng.randrange(50)}"
                        out += [["INCR", key]] if self.rng.random() < 0.7 else [
                            ["MULTI"], ["INCR", key], ["LPUSH", f"{{{key}}}:list", self.done], ["LTRIM", f"{{{key}}}:list", 0, 20], ["EXEC"]]
                    c.sock.sendall(b"".join(Client.encode(a) for a in out))
                    for _ in out:
                        r = c.read()
                        self.done += not isinstance(r, Exception)
                    time.sleep(0.002)
        except Exception as e:  # shown by main
            self.error = e


def contents(port):
    with Client(port) as c:
        out = {}
        for k in c.command("KEYS", "*"):
            kind = c.command("TYPE", k)
            out[k] = c.command("LRANGE", k, 0, -1) if kind == b"list" else c.command("GET", k) if kind == b"string" else kind
        return out


class Run:
    def __init__(self, o):
        self.o, self.rng = o, random.Random(o.seed)
        self.dir = tempfile.mkdtemp(prefix="meridian-gather-")
        self.passed = self.failed = 0
        self.redis, self.node, self.follower = [], None, None
        self.log = f"{self.dir}/follower.log"
        self.alone = [o.port + 6 + i for i in range(3)]
        self.masters = [o.port + 3 + i for i in range(3)]

    def check(self, good, what, *more):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(what, *[repr(m)[:600] for m in more], flush=True)

    def start(self):
        for port in self.alone:
            self.redis.append(start_redis(self.dir, port))
        for port in self.masters:
            self.redis.append(start_redis(self.dir, port, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"))
        r = subprocess.run(["redis-cli", "--cluster", "create", *[f"127.0.0.1:{p}" for p in self.masters], "--cluster-yes"], capture_output=True, text=True)
        self.check(r.returncode == 0, "the cluster", r.stdout[-500:])
        end = time.monotonic() + 20
        for port in self.masters:
            with Client(port) as c:
                while b"cluster_state:ok" not in c.command("CLUSTER", "INFO") and time.monotonic() < end:
                    time.sleep(0.1)
        self.node = Node("gather.test", rest_port=self.o.port + 1, discovery_port=self.o.port + 2)
        self.node.bootstrap()
        self.uid = self.node.create_db("gather", self.o.port)

    def follow(self, uris, *more):
        self.follower = subprocess.Popen([BINARY, "import", "--replica-of", ",".join(uris), "--to", f"127.0.0.1:{self.o.port}", *more],
                                         stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)

    def settle(self, ports):
        """Each source's WAIT says that what it has is here."""
        for port in ports:
            with Client(port) as c:
                key = b"last:%d" % port
                if port in self.masters:  # one that lies there
                    key = next(k for k in (b"last:%d:%d" % (port, i) for i in range(1000)) if not isinstance(c.command("SET", k, "x"), Exception))
                c.command("SET", key, "write")
                end, n = time.monotonic() + 40, 0
                while n < 1 and time.monotonic() < end and (self.follower is None or self.follower.poll() is None):
                    n = c.command("WAIT", "1", "500")
                self.check(n >= 1, f"what {port} has did not arrive")

    def same(self, ports, what):
        want = {}
        for port in ports:
            want.update(contents(port))
        have = contents(self.o.port)
        self.check(MARK not in have, f"{what}: the positions are still there")
        wrong = [k for k in sorted(set(want) | set(have)) if want.get(k) != have.get(k)]
        self.check(not wrong, f"{what}: {len(wrong)} of {len(want)} keys differ", [(k, want.get(k), have.get(k)) for k in wrong[:3]])
        return len(want)

    def under_load(self, uris, ports, what):
        with Client(self.o.port) as c:
            c.command("FLUSHALL")
        loads = [Load(p, f"{what}{p}", self.o.seed + p) for p in ports if p in self.alone]
        if ports[0] in self.masters:  # errors (MOVED) are not counted as done; each does its own keys
            loads = [Load(p, f"{what}{p}", self.o.seed + p) for p in ports]
        for load in loads:
            load.start()
        time.sleep(0.5)
        self.follow(uris)
        for i in range(4):
            time.sleep(self.o.seconds / 5)
            if i % 2:
                self.follower.kill()
                self.follower.wait()
                self.follow(uris)
            else:
                with Client(ports[i % len(ports)]) as c:
                    c.command("CLIENT", "KILL", "TYPE", "replica")
        time.sleep(self.o.seconds / 5)
        for load in loads:
            load.going = False
        for load in loads:
            load.join()
            self.check(load.error is None and load.done > 0, "a writer failed", load.error)
        self.settle(ports)
        self.end(0)
        print(f"{what}: {self.same(ports, what)} keys of {len(ports)} servers, {sum(x.done for x in loads)} replies", flush=True)

    def end(self, want):
        self.follower.send_signal(signal.SIGINT)
        self.check(self.follower.wait(20) == want, "the follower did not end in order", self.words())
        self.follower = None

    def words(self):
        return pathlib.Path(self.log).read_text(encoding="utf-8", errors="replace")[-900:]

    def wait_text(self, text, seconds=30):
        end = time.monotonic() + seconds
        while text not in self.words() and time.monotonic() < end and self.follower.poll() is None:
            time.sleep(0.1)
        return text in self.words()

    def emptied(self):
        """FLUSHALL at one source takes its own keys only; another database of the same server is a source as well."""
        one, two = self.alone[:2]
        with Client(one) as a, Client(two) as b:
            a.command("FLUSHALL"), b.command("FLUSHALL")
            a.command("SET", "a", "1"), b.command("SET", "b", "1")
            a.command("SELECT", "3"), a.command("SET", "third", "3"), a.command("SELECT", "0")
        self.follow([f"redis://127.0.0.1:{one}/0", f"redis://127.0.0.1:{two}", f"redis://127.0.0.1:{one}/3"])
        self.check(self.follower.wait(20) == 1 and "--flush" in self.words(), "a target that holds something", self.words())
        self.follow([f"redis://127.0.0.1:{one}/0", f"redis://127.0.0.1:{two}", f"redis://127.0.0.1:{one}/3"], "--flush")
        self.check(self.wait_text("in sync"), "in sync", self.words())
        with Client(one) as a, Client(self.o.port) as t:
            self.check(t.command("MGET", "a", "b", "third") == [b"1", b"1", b"3"], "three sources", t.command("KEYS", "*"))
            a.command("FLUSHALL"), a.command("SET", "c", "1")
            end = time.monotonic() + 30
            while t.command("MGET", "a", "b", "c", "third") != [None, b"1", b"1", None] and time.monotonic() < end:
                time.sleep(0.1)
            self.check(t.command("MGET", "a", "b", "c", "third") == [None, b"1", b"1", None], "FLUSHALL of one", t.command("KEYS", "*"), self.words())
        self.end(0)

    def slots_move(self):
        uri = f"redis://127.0.0.1:{self.masters[1]}"
        with Client(self.o.port) as c:
            c.command("FLUSHALL")
        self.follow([uri])
        self.check(self.wait_text("in sync"), "the cluster is in sync", self.words())
        nodes = []
        for port in self.masters[:2]:
            with Client(port) as c:
                nodes.append(c.command("CLUSTER", "MYID").decode())
        subprocess.run(["redis-cli", "--cluster", "reshard", f"127.0.0.1:{self.masters[0]}", "--cluster-from", nodes[0], "--cluster-to", nodes[1],
                        "--cluster-slots", "50", "--cluster-yes"], capture_output=True, check=True)
        self.check(self.wait_text("moved", 20), "moved slots are seen", self.words())
        time.sleep(2)
        self.settle(self.masters)
        self.end(0)
        self.same(self.masters, "after slots moved")

    def over_rest(self):
        with Client(self.o.port) as c:
            c.command("FLUSHALL")
        sources = [{"uri": f"redis://127.0.0.1:{p}"} for p in self.alone]
        self.node.rest("PUT", f"/v1/bdbs/{self.uid}", {"replica_sources": sources, "replica_sync": "enabled"})
        end = time.monotonic() + 30
        while True:
            b = self.node.rest("GET", f"/v1/bdbs/{self.uid}")
            if [s["status"] for s in b["replica_sources"]] == ["in-sync"] * 3 or time.monotonic() > end:
                break
            time.sleep(0.1)
        self.check([s["status"] for s in b["replica_sources"]] == ["in-sync"] * 3, "three sources over REST", b["replica_sources"])
        self.node.process.kill()
        self.node.process.wait()
        with Client(self.alone[2]) as c:
            c.command("INCR", "meanwhile")
        self.node.start()
        time.sleep(2)
        self.settle(self.alone)
        fulls = [s["full_syncs"] for s in self.node.rest("GET", f"/v1/bdbs/{self.uid}")["replica_sources"]]
        self.check(fulls == [0, 0, 0], "a manager that begins anew goes on where it was", fulls)
        self.node.rest("PUT", f"/v1/bdbs/{self.uid}", {"replica_sync": "disabled"})
        time.sleep(1.5)
        self.same(self.alone, "over REST")

    def run(self):
        self.start()
        self.under_load([f"redis://127.0.0.1:{p}" for p in self.alone], self.alone, "alone")
        self.emptied()
        self.under_load([f"redis://127.0.0.1:{self.masters[0]}"], self.masters, "cluster")
        self.slots_move()
        self.over_rest()

    def stop(self):
        if self.follower and self.follower.poll() is None:
            self.follower.kill()
            self.follower.wait()
        if self.failed and os.path.exists(self.log):
            print(pathlib.Path(self.log).read_text(encoding="utf-8", errors="replace")[-3000:])
        for p in self.redis:
            p.kill()
            p.wait()
        if self.node:
            plane = pathlib.Path(self.node.dir, "plane.pid")
            dead = self.node.process.poll() is not None and plane.exists()  # and what it started lives on
            if dead:
                os.kill(int(plane.read_text(encoding="ascii")), signal.SIGKILL)
            self.node.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, default=17980)
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--seed", type=int, default=1)
    run = Run(p.parse_args())
    try:
        run.run()
    finally:
        run.stop()
    print(f"{run.passed} passed, {run.failed} failed")
    sys.exit(run.failed > 0)


if __name__ == "__main__":
    main()
