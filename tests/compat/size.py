#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Commands on structures of many elements: how long each takes, and how long others wait meanwhile.

    tests/compat/size.py REFERENCE OURS [--elements N] [--bytes N] [--types list,hash,set,zset,string] [--factor F]

REFERENCE (redis-server) and OURS are host:port or the path of a unix socket; both are flushed. Nothing is started here. Each
structure is made on both, then each command runs several times on each; what is compared is the best of them. Meanwhile a second
connection pings: its longest wait is the stall. Commands that read all of a structure are not sent. A command fails when it takes
more than F times what redis-server takes (50 by default) and more than 20 ms (a constant, whatever N), or when others waited for
more than 200 ms longer than there. EXPIRE, PERSIST and RENAME may move the bytes of a string once, half a millisecond a megabyte. Ends with "N passed, N failed"; exit status 1 if any failed.
"""
import argparse
import multiprocessing
import sys
import time

from differential import Server, encode

BATCH = 10000
SLACK_MS, STALL_MS, MOVE_MS_PER_MB = 20, 200, 0.5
MOVING = {"EXPIRE", "PEXPIRE", "PERSIST", "RENAME"}


def element(i):
    return b"%07d" % i


def fill(kind, n, size):
    """Requests that make the key k, whole batches at a time."""
    if kind == "string":
        yield encode(["SETRANGE", "k", str(size - 1), "x"])
        piece = b"x" * min(size, 8 << 20)
        for at in range(0, size - len(piece) + 1, len(piece)):
            yield encode(["SETRANGE", "k", str(at), piece])
        return
    name, per = {"list": (b"RPUSH", 1), "set": (b"SADD", 1), "hash": (b"HSET", 2), "zset": (b"ZADD", 2)}[kind]
    for first in range(0, n, BATCH):
        last = min(n, first + BATCH)
        parts = []
        for i in range(first, last):
            e = b"$7\r\n%07d\r\n" % i
            if kind == "hash":
                e += b"$3\r\nval\r\n"
            elif kind == "zset":
                e = e + e  # the score is the number itself
            parts.append(e)
        yield b"*%d\r\n$%d\r\n%s\r\n$1\r\nk\r\n" % (2 + per * (last - first), len(name), name) + b"".join(parts)


def commands(kind, n, size):
    mid = element(n // 2).decode()
    always = [["TYPE", "k"], ["EXISTS", "k"], ["OBJECT", "ENCODING", "k"], ["EXPIRE", "k", "100000"], ["PERSIST", "k"]]
    if kind == "list":
        return always + [
            ["LLEN", "k"], ["LPUSH", "k", "a"], ["RPUSH", "k", "b"], ["LINDEX", "k", str(n // 2)], ["LSET", "k", str(n // 2), "c"],
            ["LRANGE", "k", str(n // 2), str(n // 2 + 10)], ["LINSERT", "k", "BEFORE", element(5).decode(), "d"], ["LREM", "k", "1", "d"],
            ["LPOP", "k"], ["RPOP", "k"], ["LPOP", "k", "100"], ["LMOVE", "k", "k", "LEFT", "RIGHT"], ["LTRIM", "k", "2", "-2"],
            ["LPOS", "k", element(500).decode()]]
    if kind == "hash":
        return always + [
            ["HLEN", "k"], ["HSET", "k", "new", "v"], ["HSET", "k", mid, "w"], ["HGET", "k", mid], ["HEXISTS", "k", mid],
            ["HINCRBY", "k", "count", "1"], ["HDEL", "k", "new"], ["HSTRLEN", "k", mid], ["HRANDFIELD", "k"],
            ["HRANDFIELD", "k", "10"], ["HSCAN", "k", "0", "COUNT", "10"], ["HSETNX", "k", mid, "x"], ["HMGET", "k", mid, "none"]]
    if kind == "set":
        return always + [
            ["SCARD", "k"], ["SADD", "k", "new"], ["SISMEMBER", "k", mid], ["SREM", "k", "new"], ["SRANDMEMBER", "k"],
            ["SRANDMEMBER", "k", "10"], ["SRANDMEMBER", "k", "-10"], ["SPOP", "k"], ["SPOP", "k", "1000"], ["SMOVE", "k", "k2", mid],
            ["SSCAN", "k", "0", "COUNT", "10"], ["SINTERCARD", "2", "k", "k2", "LIMIT", "1"], ["SINTER", "k", "k2"],
            ["SDIFFSTORE", "k3", "k2", "k"]]
    if kind == "zset":
        half = str(n // 2)
        return always + [
            ["ZCARD", "k"], ["ZADD", "k", "0.5", "new"], ["ZINCRBY", "k", "1", mid], ["ZSCORE", "k", mid], ["ZRANK", "k", mid],
            ["ZRANGE", "k", half, str(n // 2 + 10)], ["ZRANGE", "k", half, "+inf", "BYSCORE", "LIMIT", "0", "10"],
            ["ZREVRANGE", "k", half, str(n // 2 + 10)], ["ZCOUNT", "k", "10", half], ["ZREM", "k", "new"], ["ZPOPMIN", "k"],
            ["ZPOPMAX", "k", "100"], ["ZRANDMEMBER", "k"], ["ZRANDMEMBER", "k", "10"], ["ZREMRANGEBYRANK", "k", "0", "10"],
            ["ZREMRANGEBYSCORE", "k", half, str(n // 2 + 5)], ["ZSCAN", "k", "0", "COUNT", "10"], ["ZLEXCOUNT", "k", "[a", "[b"],
            ["ZRANGESTORE", "k2", "k", "0", "10"]]
    return always + [
        ["STRLEN", "k"], ["GETRANGE", "k", str(size // 2), str(size // 2 + 10)], ["SETRANGE", "k", str(size // 2), "abc"],
        ["SETBIT", "k", str(size * 4), "1"], ["GETBIT", "k", str(size * 4)], ["BITCOUNT", "k", "0", "100"], ["BITPOS", "k", "0", "0", "10"],
        ["BITFIELD", "k", "INCRBY", "u8", "1000", "1"]]


# Each ends the key k; it is made anew before. The wait of others counts until the memory is given back, too.
def endings(kind):
    yield ["DEL", "k"]
    yield ["UNLINK", "k"]
    yield ["FLUSHALL"]
    yield ["PEXPIRE", "k", "1"]
    yield ["SET", "k", "x"]
    yield ["RENAME", "k", "k4"]
    if kind == "set":
        yield ["SPOP", "k", "1000000000"]


def pinging(address, stop, most):
    s = Server(address)
    while not stop.is_set():
        start = time.perf_counter()
        s.send([["PING"]])
        s.read()
        took = time.perf_counter() - start
        most.value = max(most.value, took)
        time.sleep(0.0005)


class Side:
    def __init__(self, address):
        self.server = Server(address)
        self.server.sock.settimeout(600)
        self.address = address
        self.stop = multiprocessing.Event()
        self.most = multiprocessing.Value("d", 0.0)
        self.watcher = multiprocessing.Process(target=pinging, args=(address, self.stop, self.most), daemon=True)
        self.watcher.start()

    def make(self, kind, o):
        self.ask(["FLUSHALL"])
        for request in fill(kind, o.elements, o.bytes):
            self.server.sock.sendall(request)
            self.server.read()

    def ask(self, command):
        start = time.perf_counter()
        self.server.send([command])
        reply = self.server.read()
        return (time.perf_counter() - start) * 1000, reply

    def timed(self, command, times, settle):
        self.most.value = 0
        best, last = 1e9, None
        for _ in range(times):
            took, last = self.ask(command)
            best = min(best, took)
        time.sleep(settle)
        return best, self.most.value * 1000, last


class Run:
    def __init__(self, o):
        self.o = o
        self.sides = [Side(o.reference), Side(o.ours)]
        self.passed = self.failed = 0

    def compare(self, kind, command, times, settle):
        (redis, redis_stall, a), (ours, stall, b) = [s.timed(command, times, settle) for s in self.sides]
        slack = SLACK_MS
        if kind == "string" and command[0] in MOVING:
            slack += MOVE_MS_PER_MB * self.o.bytes / (1 << 20)
        slow = ours > slack and ours > self.o.factor * redis
        stalls = stall > redis_stall + STALL_MS
        wrong = a[0] != b[0]
        self.failed += slow or stalls or wrong
        self.passed += not (slow or stalls or wrong)
        if slow or stalls or wrong or self.o.all:
            print(f"{kind:7} {' '.join(command)[:50]:50} redis {redis:9.2f} ms, stall {redis_stall:8.1f}; "
                  f"ours {ours:9.2f} ms, stall {stall:8.1f}{' SLOW' if slow else ''}{' STALLS' if stalls else ''}"
                  f"{f' {a} and {b}' if wrong else ''}", flush=True)

    def run(self):
        for kind in self.o.types.split(","):
            for s in self.sides:
                s.make(kind, self.o)
            for command in commands(kind, self.o.elements, self.o.bytes):
                self.compare(kind, command, 5, 0)
            first = True
            for command in endings(kind):
                for s in self.sides:
                    if not first:
                        s.make(kind, self.o)
                first = False
                self.compare(kind, command, 1, self.o.settle)
        for s in self.sides:
            s.ask(["FLUSHALL"])
            s.stop.set()
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed > 0


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("reference")
    p.add_argument("ours")
    p.add_argument("--elements", type=int, default=1_000_000)
    p.add_argument("--bytes", type=int, default=512 << 20)
    p.add_argument("--types", default="list,hash,set,zset,string")
    p.add_argument("--factor", type=float, default=50)
    p.add_argument("--settle", type=float, default=1.0, help="seconds to watch after a key has gone (default 1)")
    p.add_argument("--all", action="store_true", help="print every command, not only those that fail")
    sys.exit(Run(p.parse_args()).run())


if __name__ == "__main__":
    main()
