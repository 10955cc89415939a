#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""RDB files that servers of other versions wrote (tests/fixtures/rdb), imported and read back.

    tests/compat/rdb_fixtures.py [--port N]              imports each of them; all values as that server had them
    tests/compat/rdb_fixtures.py --make NAME --from PORT fills a running, empty server, has it save, and writes NAME.rdb and NAME.txt

NAME.txt: a key, its type, its expiry (Unix ms; -1 none), the first half of the SHA-256 of what the server said about its
value, with tabs between. Ends with "N passed, N failed"; exit status 1 if any failed.
"""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from cluster import BINARY, Client, Node  # noqa: E402

FOLDER = ROOT / "tests" / "fixtures" / "rdb"
FAR = 4102444800  # in 2100
LIBRARY = "#!lua name=lib\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)"


def words(n, size=10):
    """Always the same n texts."""
    return [hashlib.md5(b"%d" % i).hexdigest()[:1 + i * 7 % size] + str(i) for i in range(n)]


def strings():
    yield "SET", "s:empty", ""
    yield "SET", "s:short", "hello"
    yield "SET", "s:bytes", bytes(range(256))
    yield "SET", "s:raw", "".join(words(60))
    yield "SET", "s:packed", "the same again, " * 400
    for n in (0, 7, -1, 127, -128, 128, 32767, -32768, 32768, 2147483647, -2147483648, 2147483648, 2**62, -2**63):
        yield "SET", f"s:{n}", n
    yield "SET", "s:00012", "00012"
    yield "SET", "s:3.25", "3.25"
    yield "SETBIT", "s:bits", 5000, 1
    yield "SET", "s:expires", "later"
    yield "EXPIREAT", "s:expires", FAR
    yield "PEXPIREAT", "s:7", FAR * 1000 + 123


def lists():
    yield "RPUSH", "l:small", "a", "", -5, 4000000000, 2**60, "word", 0, 100000, -300
    yield "RPUSH", "l:long", *words(150, 60)
    yield "RPUSH", "l:large", "x", "y" * 9000, "z" * 70, "".join(words(900)), 17
    yield "RPUSH", "l:numbers", *range(-300, 300)
    yield "EXPIREAT", "l:small", FAR


def sets():
    yield "SADD", "t:int16", 1, 2, 3, -5, 32767
    yield "SADD", "t:int32", 1, 70000, -70000
    yield "SADD", "t:int64", 1, 2**40, -2**50
    yield "SADD", "t:many", *range(700)
    yield "SADD", "t:small", "a", "b", 5, "four", ""
    yield "SADD", "t:words", *words(150, 30)
    yield "EXPIREAT", "t:words", FAR


def hashes():
    yield "HMSET", "h:small", "f", "v", "n", -5, "", "empty", "big", 2**60, "long", "y" * 60
    yield "HMSET", "h:value", "f", "v" * 70, "g", "w" * 300
    yield "HMSET", "h:many", *[x for w in words(520, 6) for x in (w, w[::-1])]
    yield "HMSET", "h:names", *[x for w in words(12, 60) for x in ("name " * 14 + w, 1)]
    yield "EXPIREAT", "h:small", FAR


def zsets():
    yield "ZADD", "z:small", 1, "one", 2.5, "two and a half", -3, "minus", "inf", "infinite", "-inf", "least", 1e300, "huge", 0.1, "tenth", 7, 7
    yield "ZADD", "z:many", *[x for i, w in enumerate(words(200, 30)) for x in (i * 1.1 - 50, w)]
    yield "ZADD", "z:large", 5, "m" * 70, -1e-300, "n"
    yield "EXPIREAT", "z:many", FAR


def streams():
    for i in range(1, 261):
        yield "XADD", "x:long", f"{1000 + i // 3}-{i}", "field", f"value {i}", *(["other", "y" * (i % 90)] if i % 4 == 0 else [])
    for i in range(3, 250, 9):
        yield "XDEL", "x:long", f"{1000 + i // 3}-{i}"
    yield "XGROUP", "CREATE", "x:long", "first", 0
    yield "XREADGROUP", "GROUP", "first", "alice", "COUNT", 30, "STREAMS", "x:long", ">"
    yield "XREADGROUP", "GROUP", "first", "bob", "COUNT", 5, "STREAMS", "x:long", ">"
    yield "XACK", "x:long", "first", "1000-1", "1000-2"
    yield "XGROUP", "CREATE", "x:long", "second", "1010-30"
    yield "XGROUP", "CREATE", "x:empty", "waits", "$", "MKSTREAM"
    yield "XADD", "x:gone", "5-1", "a", "b"
    yield "XADD", "x:gone", "5-2", "a", "b"
    yield "XDEL", "x:gone", "5-1", "5-2"
    yield "EXPIREAT", "x:long", FAR


def more():
    """What the oldest do not know: an error is fine."""
    yield "PFADD", "p:sparse", *words(50)
    yield "PFADD", "p:dense", *words(3000)
    yield "GEOADD", "g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"
    yield "FUNCTION", "LOAD", LIBRARY
    yield "HSET", "f:ttl", "keeps", "1", "loses", "2"
    yield "HPEXPIREAT", "f:ttl", FAR * 1000, "FIELDS", 1, "loses"
    yield "HSET", "f:many", *[x for w in words(520, 6) for x in (w, w[::-1])]
    yield "HPEXPIREAT", "f:many", FAR * 1000, "FIELDS", 2, *words(2, 6)


def value(c, key, kind):
    """What a server says about a value, in an order of its own."""
    if kind == b"string":
        return c.command("GET", key)
    if kind == b"list":
        return c.command("LRANGE", key, 0, -1)
    if kind == b"set":
        return sorted(c.command("SMEMBERS", key))
    if kind == b"hash":
        all_of = c.command("HGETALL", key)
        return sorted(zip(all_of[::2], all_of[1::2]))
    if kind == b"zset":
        all_of = c.command("ZRANGE", key, 0, -1, "WITHSCORES")
        return [(m, float(s)) for m, s in zip(all_of[::2], all_of[1::2])]
    groups = []
    for g in c.command("XINFO", "GROUPS", key):
        g = dict(zip(g[::2], g[1::2]))
        pending = [(p[0], p[1], p[3]) for p in c.command("XPENDING", key, g[b"name"], "-", "+", "100000")]
        groups.append((g[b"name"], g[b"last-delivered-id"], pending, sorted(w[1] for w in c.command("XINFO", "CONSUMERS", key, g[b"name"]))))
    info = c.command("XINFO", "STREAM", key)
    return c.command("XRANGE", key, "-", "+"), dict(zip(info[::2], info[1::2]))[b"last-generated-id"], sorted(groups)


def expiry(c, key):
    """Servers before 7.0 tell only the time that is left."""
    at = c.command("PEXPIRETIME", key)
    return at if isinstance(at, int) else "?" if c.command("PTTL", key) > 0 else -1


def facts(c):
    lines = []
    for key in sorted(c.command("KEYS", "*")):
        kind = c.command("TYPE", key)
        digest = hashlib.sha256(repr(value(c, key, kind)).encode()).hexdigest()[:32]
        lines.append(f"{key.decode()}\t{kind.decode()}\t{expiry(c, key)}\t{digest}")
    return lines


def make(name, port):
    with Client(port) as c:
        assert c.command("DBSIZE") == 0, "the server is not empty"
        refused, times = 0, {}
        for part in (strings, lists, sets, hashes, zsets, streams, more):
            for args in part():
                r = c.command(*args)
                refused += isinstance(r, Exception)
                if args[0].endswith("EXPIREAT") and r == 1:
                    times[args[1]] = args[2] * (1 if args[0][0] == "P" else 1000)
        lines = []
        for line in facts(c):
            key, kind, at, digest = line.split("\t")
            lines.append("\t".join((key, kind, str(times[key]) if at == "?" else at, digest)))
        assert c.command("SAVE") == b"OK"
        where = pathlib.Path(c.command("CONFIG", "GET", "dir")[1].decode(), c.command("CONFIG", "GET", "dbfilename")[1].decode())
        shutil.copy(where, FOLDER / f"{name}.rdb")
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
        print(f"{name}: {len(lines)} keys, {where.stat().st_size} bytes, begins with {where.read_bytes()[:9]}; {refused} commands not known")


def check(path, port):
    """How many lines are right and wrong."""
    with Client(port) as c:
        c.command("FLUSHALL")
        c.command("FUNCTION", "FLUSH")
        r = subprocess.run([BINARY, "import", str(path), "--to", f"127.0.0.1:{port}", "--drop-field-ttl"], capture_output=True, text=True)
        if r.returncode != 0:
            print(f"{path.name}: exit status {r.returncode}: {r.stderr}")
            return 0, 1
        want = path.with_suffix(".txt").read_text(encoding="ascii").splitlines()
        have = facts(c)
        wrong = sorted(set(want) ^ set(have))
        for line in wrong[:6]:
            print(f"{path.name}: {'expected' if line in want else 'found   '} {line}")
        if path.read_bytes()[:9] == b"REDIS0012" and "lost their expiry" not in r.stderr:
            wrong.append("not told that fields lost their expiry")
            print(wrong[-1])
        return len(want) - len(wrong), len(wrong)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, default=int(os.environ.get("MIGRATE_PORT", "17930")))
    p.add_argument("--make", metavar="NAME")
    p.add_argument("--from", dest="source", type=int)
    o = p.parse_args()
    if o.make:
        make(o.make, o.source)
        return
    node = Node("fixtures.test", rest_port=o.port + 8, discovery_port=o.port + 9)
    passed = failed = 0
    try:
        node.bootstrap()
        node.create_db("fixtures", o.port)
        for path in sorted(FOLDER.glob("*.rdb")):
            good, bad = check(path, o.port)
            passed, failed = passed + max(good, 0), failed + bad
    finally:
        node.stop()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
