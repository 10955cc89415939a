#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""DUMP there and RESTORE here, and back: random values of all types and encodings.

    tests/compat/dump.py REFERENCE OURS [--seed N] [--count N] [--types string,list,...]

REFERENCE and OURS are host:port or the path of a unix socket. Nothing is started here. Each value is made in redis-server,
dumped there, restored here and compared; then dumped here, restored in redis-server and compared, with its encoding. Encodings
that Redis 7.0 only reads (ziplists, zipmaps, scores as texts ...) are made here and restored in both. Broken payloads with a
right checksum must be refused or taken, and everything must go on working.
Ends with "N passed, N failed"; exit status 1 if any failed.
"""
import argparse
import random
import struct
import sys

from differential import Server


def crc_table():
    table = []
    for i in range(256):
        c = i
        for _ in range(8):
            c = c >> 1 ^ (0x95AC9329AC4BC9B5 if c & 1 else 0)
        table.append(c)
    return table


CRC = crc_table()


def payload(code, body, version=9):
    data = bytes([code]) + body + struct.pack("<H", version)
    crc = 0
    for b in data:
        crc = CRC[(crc ^ b) & 255] ^ crc >> 8
    return data + struct.pack("<Q", crc)


# ------------------------------------------------------------------ encodings of older versions


def length(n):
    return bytes([n]) if n < 64 else bytes([0x40 | n >> 8, n & 255]) if n < 1 << 14 else b"\x80" + struct.pack(">I", n)


def text(s):
    return length(len(s)) + s


def number_of(s):
    try:
        v = int(s)
    except ValueError:
        return None
    return v if str(v).encode() == s and -2**63 <= v < 2**63 else None


def ziplist(items):
    out, before = b"", 0
    last = 10
    for s in items:
        v = number_of(s)
        if v is None:
            n = len(s)
            head = bytes([n]) if n < 64 else bytes([0x40 | n >> 8, n & 255]) if n < 1 << 14 else b"\x80" + struct.pack(">I", n)
            body = head + s
        elif 0 <= v <= 12:
            body = bytes([0xF1 + v])
        elif -128 <= v < 128:
            body = b"\xfe" + struct.pack("<b", v)
        elif -2**15 <= v < 2**15:
            body = b"\xc0" + struct.pack("<h", v)
        elif -2**23 <= v < 2**23:
            body = b"\xf0" + struct.pack("<i", v)[:3]
        elif -2**31 <= v < 2**31:
            body = b"\xd0" + struct.pack("<i", v)
        else:
            body = b"\xe0" + struct.pack("<q", v)
        entry = (bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)) + body
        last, before = 10 + len(out), len(entry)
        out += entry
    return struct.pack("<IIH", 11 + len(out), last, len(items)) + out + b"\xff"


def zipmap(pairs):
    def size(s):
        return bytes([len(s)]) if len(s) < 254 else b"\xfe" + struct.pack("<I", len(s))
    return bytes([min(len(pairs), 254)]) + b"".join(size(f) + f + size(v) + b"\0" + v for f, v in pairs) + b"\xff"


def intset(numbers):
    width = 2 if all(-2**15 <= n < 2**15 for n in numbers) else 4 if all(-2**31 <= n < 2**31 for n in numbers) else 8
    return struct.pack("<II", width, len(numbers)) + b"".join(struct.pack("<" + {2: "h", 4: "i", 8: "q"}[width], n) for n in sorted(numbers))


class Values:
    def __init__(self, rng):
        self.rng = rng

    def text(self):
        r = self.rng
        return r.choice([
            lambda: str(r.randrange(-130, 130)),
            lambda: str(r.randrange(-40000, 40000)),
            lambda: str(r.randrange(-2**62, 2**62) >> r.randrange(62)),
            lambda: "abcdefgh"[r.randrange(8)] * r.randrange(1, 60),
            lambda: "".join(chr(r.randrange(97, 123)) for _ in range(r.randrange(1, 30))),
            lambda: "x" * r.randrange(60, 70),
            lambda: "",
            lambda: "".join(chr(r.randrange(256)) for _ in range(r.randrange(5))),
            lambda: r.choice(["-0", "007", "+1", "1.5", " 1", "9223372036854775807", "-9223372036854775808", "9223372036854775808"]),
            lambda: ("lorem ipsum " * r.randrange(1, 400))[:r.randrange(3000)] if r.random() < 0.1 else "short",
            lambda: "z" * r.choice([4095, 4096, 9000, 20000, 70000]) if r.random() < 0.05 else "zz",
        ])().encode("latin-1")

    def count(self):
        r = self.rng
        return r.choice([1, 2, 3, 5, 10, 10, 50, 100, 127, 128, 129, 300, 511, 512, 513, 700])

    def texts(self):
        return [self.text() for _ in range(self.count())]

    def distinct(self):
        return list(dict.fromkeys(self.texts()))

    def numbers(self):
        r = self.rng
        most = r.choice([100, 2**15 - 1, 2**31 - 1, 2**63 - 1])
        return list({r.randrange(-most - 1, most + 1) for _ in range(self.count())})

    def score(self):
        r = self.rng
        return r.choice([str(r.randrange(-20, 20)), str(r.randrange(-40, 40) / 8), repr(r.uniform(-1e6, 1e6)), "inf", "-inf", "0",
                         str(r.randrange(-2**53, 2**53)), "1e300", "-0", "1.1"]).encode()

    def old(self):
        """A payload of an encoding that Redis 7.0 reads and does not write."""
        r = self.rng
        texts, names = self.texts(), self.distinct()
        pairs = [(n, self.text()) for n in names]
        scored = sorted(((n, self.score()) for n in names), key=lambda p: (float(p[1]), p[0]))
        special = {b"inf": b"\xfe", b"-inf": b"\xff"}
        return r.choice([
            lambda: payload(1, length(len(texts)) + b"".join(map(text, texts))),
            lambda: payload(2, length(len(names)) + b"".join(map(text, names))),
            lambda: payload(3, length(len(names)) + b"".join(text(n) + (special.get(s) or text(s)) for n, s in scored)),
            lambda: payload(4, length(len(pairs)) + b"".join(text(f) + text(v) for f, v in pairs)),
            lambda: payload(5, length(len(names)) + b"".join(text(n) + struct.pack("<d", float(s)) for n, s in scored)),
            lambda: payload(9, text(zipmap(pairs))),
            lambda: payload(10, text(ziplist(texts))),
            lambda: payload(11, text(intset(self.numbers()))),
            lambda: payload(12, text(ziplist([x for p in scored for x in p]))),
            lambda: payload(13, text(ziplist([x for p in pairs for x in p]))),
            lambda: payload(14, length(2) + text(ziplist(texts)) + text(ziplist(names))),
        ])()


# ------------------------------------------------------------------ the run


class Run:
    def __init__(self, o):
        self.rng = random.Random(o.seed)
        self.values = Values(self.rng)
        self.redis, self.ours = Server(o.reference), Server(o.ours)
        self.types = o.types.split(",")
        self.count = o.count
        self.passed = self.failed = 0

    def ask(self, side, *args):
        side.send([list(args)])
        return side.read()

    def make(self):
        """Commands that make the key k."""
        v, r = self.values, self.rng
        kind = r.choice(self.types)
        if kind == "string":
            return [["SET", "k", v.text()]]
        if kind == "list":
            return [["RPUSH", "k"] + v.texts()]
        if kind == "set":
            return [["SADD", "k"] + ([str(n) for n in v.numbers()] if r.random() < 0.4 else v.texts())]
        if kind == "zset":
            return [["ZADD", "k"] + [x for m in v.texts() for x in (v.score(), m)]]
        if kind == "hash":
            return [["HSET", "k"] + [x for m in v.distinct() for x in (m, v.text())]]
        if kind == "hyperloglog":
            return [["PFADD", "k"] + v.texts() for _ in range(r.choice([1, 1, 5]))]
        return self.stream()

    def stream(self):
        v, r = self.values, self.rng
        out, ids, ms = [], [], 1000
        fields = [v.text() for _ in range(r.randrange(1, 4))]
        for _ in range(r.choice([1, 3, 50, 100, 101, 250])):
            ms += r.choice([0, 1, 1, 70000])
            ids.append(f"{ms}-{len(ids) + 1}")
            names = fields if r.random() < 0.8 else [v.text() for _ in range(r.randrange(1, 4))]
            out.append(["XADD", "k", ids[-1]] + [x for n in names for x in (n, v.text())])
        for _ in range(r.choice([0, 0, 1, 5])):
            out.append(["XDEL", "k", r.choice(ids)])
        for g in range(r.choice([0, 1, 2])):
            out.append(["XGROUP", "CREATE", "k", f"g{g}", r.choice(["0", "$", ids[0]])])
            for c in range(r.randrange(3)):
                out.append(["XREADGROUP", "GROUP", f"g{g}", f"c{c}", "COUNT", "7", "STREAMS", "k", ">"])
            out.append(["XACK", "k", f"g{g}", r.choice(ids)])
            out.append(["XGROUP", "CREATECONSUMER", "k", f"g{g}", "idle"])
        return out

    def contents(self, side):
        kind = self.ask(side, "TYPE", "k")[1]
        if kind == b"string":
            return kind, self.ask(side, "GET", "k")
        if kind == b"list":
            return kind, self.ask(side, "LRANGE", "k", "0", "-1")
        if kind == b"set":
            return kind, sorted(p for _, p in self.ask(side, "SMEMBERS", "k")[1])
        if kind == b"zset":
            items = [p for _, p in self.ask(side, "ZRANGE", "k", "0", "-1", "WITHSCORES")[1]]
            return kind, items[::2], [float(s) for s in items[1::2]]
        if kind == b"hash":
            items = [p for _, p in self.ask(side, "HGETALL", "k")[1]]
            return kind, sorted(zip(items[::2], items[1::2]))
        if kind == b"stream":
            return (kind, self.ask(side, "XRANGE", "k", "-", "+"), self.groups(side))
        return kind

    def groups(self, side):
        found = []
        for _, g in self.ask(side, "XINFO", "GROUPS", "k")[1]:
            info = {g[i][1]: g[i + 1][1] for i in range(0, len(g), 2)}
            pending = self.ask(side, "XPENDING", "k", info[b"name"], "-", "+", "1000")[1]
            who = [(p[1][0][1], p[1][1][1], p[1][3][1]) for p in pending]
            consumers = sorted(c[1][1] for _, c in self.ask(side, "XINFO", "CONSUMERS", "k", info[b"name"])[1])
            found.append((info[b"name"], info[b"last-delivered-id"], who, consumers))
        return sorted(found)

    def check(self, good, what, *more):
        self.passed += good
        self.failed += not good
        if not good and self.failed <= 10:
            print(f"\n{what}")
            for m in more:
                print("   ", repr(m)[:600])

    def transplant(self, source, target, what):
        data = self.ask(source, "DUMP", "k")[1]
        answer = self.ask(target, "RESTORE", "k", "0", data, "REPLACE")
        self.check(answer == (b"+", b"OK"), f"{what}: RESTORE says {answer}", data)
        a, b = self.contents(source), self.contents(target)
        self.check(a == b, f"{what}: contents differ", data, a, b)
        return data

    def there_and_back(self):
        for command in self.make():
            self.ask(self.redis, *command)
        encoding = self.ask(self.redis, "OBJECT", "ENCODING", "k")
        data = self.transplant(self.redis, self.ours, "from Redis")
        self.ask(self.redis, "DEL", "k")
        back = self.transplant(self.ours, self.redis, "to Redis")
        again = self.ask(self.redis, "OBJECT", "ENCODING", "k")
        if data[0] == 0 and b"HYLL" in data:
            again = encoding  # PFADD leaves strings "raw" that RESTORE makes "embstr"
        self.check(encoding == again, f"encoding was {encoding}, is {again}", data, back)
        self.ask(self.redis, "DEL", "k")
        return data

    def from_old(self):
        data = self.values.old()
        for side in (self.redis, self.ours):
            answer = self.ask(side, "RESTORE", "k", "0", data, "REPLACE")
            self.check(answer == (b"+", b"OK"), f"old encoding {data[0]} at {side.address}: RESTORE says {answer}", data)
        a, b = self.contents(self.redis), self.contents(self.ours)
        self.check(a == b, f"old encoding {data[0]}: contents differ", data, a, b)
        self.ask(self.redis, "DEL", "k")
        return data

    def broken(self, data):
        body = bytearray(data[1:-10])
        for _ in range(self.rng.randrange(1, 4)):
            if not body:
                return
            at = self.rng.randrange(len(body))
            what = self.rng.randrange(3)
            if what == 0:
                body[at] = self.rng.randrange(256)
            elif what == 1:
                del body[at:at + self.rng.randrange(1, 9)]
            else:
                body[at:at] = bytes([self.rng.choice([0, 1, 0x7F, 0x80, 0xC3, 0xFF])])
        answer = self.ask(self.ours, "RESTORE", "k", "0", payload(data[0], bytes(body)), "REPLACE")
        good = answer[0] == b"+" or answer[1].startswith(b"ERR Bad data format")
        self.check(good, f"broken payload: RESTORE says {answer}", bytes(body))
        self.contents(self.ours)
        self.ask(self.ours, "DEL", "k")

    def run(self):
        for side in (self.redis, self.ours):
            self.ask(side, "FLUSHALL")
        for _ in range(self.count):
            data = self.from_old() if self.rng.random() < 0.3 else self.there_and_back()
            if len(data) < 4000:
                self.broken(data)
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed > 0


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("reference")
    p.add_argument("ours")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=300, help="how many values (default 300)")
    p.add_argument("--types", default="string,list,set,zset,hash,hyperloglog,stream")
    sys.exit(Run(p.parse_args()).run())


if __name__ == "__main__":
    main()
