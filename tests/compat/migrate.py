#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Keys of all types and encodings from redis-server into Meridian by `meridian import`, and back by `meridian export`.

    tests/compat/migrate.py [--port N] [--keys N] [--seed N]

Starts redis-server and a node of its own (ports N .. N+13). Every key is then read in both (type, value, expiry, groups of streams,
functions) and compared. Encodings of versions that are not installed (6 to 9: ziplists, zipmaps, quicklists of ziplists,
scores as texts) are written here, byte by byte, into files that both sides load. Then three regions, of which one is away; large values in parts, with
connections that break meanwhile; damaged files; several databases; REST.
Ends with "N passed, N failed"; exit status 1 if any failed. MIGRATE_KEYS: how many keys (50,000).
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import cluster  # noqa: E402
import dump  # noqa: E402
from differential import Server  # noqa: E402

BATCH = 500
OLD_KEYS = 120
FUNCTION = "#!lua name=lib\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)"


class Conn:
    """A pipelining client: batches of commands, replies parsed."""

    def __init__(self, address):
        self.server = Server(address)

    def many(self, commands):
        out = []
        for i in range(0, len(commands), BATCH):
            part = commands[i:i + BATCH]
            self.server.send(part)
            out += [self.server.read() for _ in part]
        return out

    def raw(self, commands):
        """The bytes of the replies."""
        end = b"that is all"
        self.server.send(commands + [["ECHO", end]])
        end, out = b"$%d\r\n%s\r\n" % (len(end), end), []
        while True:
            out.append(self.server.file.read1(1 << 20))
            if not out[-1]:
                raise ConnectionError("connection closed")
            if (out[-1] if len(out[-1]) > len(end) else b"".join(out[-100:])).endswith(end):
                return b"".join(out)

    def one(self, *args):
        return self.many([list(args)])[0]

    def keys(self):
        found, cursor = set(), b"0"
        while True:
            _, reply = self.one("SCAN", cursor, "COUNT", "5000")
            cursor = reply[0][1]
            found.update(k for _, k in reply[1][1])
            if cursor == b"0":
                return found


def plain(reply):
    kind, value = reply
    return [plain(v) for v in value] if isinstance(value, list) else (value if kind != b"-" else reply)


# ------------------------------------------------------------------ what there is


def generate(conn, rng, count):
    """Keys of each type and encoding; the more the count, the more of the small ones."""
    values = dump.Values(rng)
    commands = []
    add = commands.append
    for i in range(max(60, count // 2000)):  # the odd ones: see dump.py's Values
        add(["SET", f"odd:s:{i}", values.text()])
        add(["RPUSH", f"odd:l:{i}", *values.texts()])
        add(["SADD", f"odd:t:{i}", *values.texts()])
        add(["SADD", f"odd:i:{i}", *map(str, values.numbers())])
        add(["ZADD", f"odd:z:{i}", *[x for m in values.texts() for x in (values.score(), m)]])
        add(["HSET", f"odd:h:{i}", *[x for m in values.distinct() for x in (m, values.text())]])
        add(["PFADD", f"odd:p:{i}", *values.texts()])
        streams(add, f"odd:x:{i}", values, rng)
    large(add, rng)
    for i in range(count - 9 * max(60, count // 2000)):
        kind = i % 10
        word = f"{i * 2654435761 % 2**32:08x}"
        if kind < 5:
            add(["SET", f"s:{i}", word if kind else str(i)])
        elif kind == 5:
            add(["HSET", f"h:{i}", "name", word, "count", str(i)])
        elif kind == 6:
            add(["RPUSH", f"l:{i}", word, str(i)])
        elif kind == 7:
            add(["SADD", f"t:{i}", word, str(i)])
        elif kind == 8:
            add(["ZADD", f"z:{i}", str(i), word, str(i / 8), "b"])
        else:
            add(["SET", f"e:{i}", word, "PX", str(3600000 + i)])
    conn.many(commands)
    names = sorted(conn.keys())
    conn.many([["PEXPIRE", n, str(7000000 + i)] for i, n in enumerate(names) if n.startswith(b"odd") and i % 3 == 0])
    conn.one("FUNCTION", "LOAD", "REPLACE", FUNCTION)


def streams(add, key, values, rng):
    ids, ms = [], 1000
    for i in range(rng.choice([1, 5, 120, 300])):
        ms += rng.choice([0, 1, 70000])
        ids.append(f"{ms}-{i + 1}")
        add(["XADD", key, ids[-1], "field", values.text(), *(["more", values.text()] if rng.random() < 0.2 else [])])
    for group in range(rng.choice([0, 1, 3])):
        add(["XGROUP", "CREATE", key, f"group{group}", rng.choice(["0", ids[0], "$"])])
        for consumer in range(rng.randrange(3)):
            add(["XREADGROUP", "GROUP", f"group{group}", f"consumer{consumer}", "COUNT", str(rng.choice([1, 7, 90])), "STREAMS", key, ">"])
        add(["XGROUP", "CREATECONSUMER", key, f"group{group}", "idle"])
        add(["XACK", key, f"group{group}", rng.choice(ids)])
    if len(ids) > 1 and rng.random() < 0.5:
        add(["XDEL", key, rng.choice(ids)])
    if rng.random() < 0.2:
        add(["XTRIM", key, "MAXLEN", "3"])


def large(add, rng):
    text = "".join(chr(rng.randrange(33, 126)) for _ in range(3000))
    for k in range(60):
        part = [f"{k}:{i}:{text[i:i + 40]}" for i in range(500)]
        add(["RPUSH", "large:l", *part])
        add(["SADD", "large:t", *part])
        add(["HSET", "large:h", *[x for p in part for x in (p, p[::-1])]])
        add(["ZADD", "large:z", *[x for i, p in enumerate(part) for x in (str(k + i / 1000), p)]])
        for i in range(30):
            add(["XADD", "large:x", f"{k + 1}-{i + 1}", "field", part[i], "value", text[:i * 30]])
    add(["XGROUP", "CREATE", "large:x", "group", "5-1"])
    add(["XREADGROUP", "GROUP", "group", "one", "COUNT", "700", "STREAMS", "large:x", ">"])
    add(["XREADGROUP", "GROUP", "group", "two", "COUNT", "3", "STREAMS", "large:x", ">"])
    add(["XDEL", "large:x", "1-1", "60-30"])
    add(["SET", "large:s", text * 1000])
    add(["SET", "large:c", "x" * 5000000])
    add(["DEBUG", "QUICKLIST-PACKED-THRESHOLD", "200b"])
    add(["RPUSH", "large:q", *[text[:n] for n in (1, 250, 3, 300, 2999, 199)] * 30])
    add(["DEBUG", "QUICKLIST-PACKED-THRESHOLD", "0"])


# ------------------------------------------------------------------ the same on both sides

READ = {
    b"string": [["GET"]], b"list": [["LRANGE", None, "0", "-1"]], b"set": [["SMEMBERS"]], b"hash": [["HGETALL"]],
    b"zset": [["ZRANGE", None, "0", "-1", "WITHSCORES"]], b"stream": [["XRANGE", None, "-", "+"], ["XINFO", "STREAM", None, "FULL", "COUNT", "0"]],
}


def command(template, key):
    out = [key if word is None else word for word in template]
    return out if None in template else [template[0], key]


def normal(kind, replies, alive):
    first = plain(replies[0])
    if kind == b"set":
        return sorted(first)
    if kind == b"hash":
        return sorted(zip(first[::2], first[1::2]))
    if kind == b"zset":
        return list(zip(first[::2], map(float, first[1::2])))
    if kind == b"stream":
        return first, normal_stream(plain(replies[1]), {entry[0] for entry in first} if alive else None)
    return first


def normal_stream(info, ids):
    """Without what is Redis' own (nodes) or the moment's (times are those of deliveries, which stay). `ids`: only what is
    pending of these entries."""
    def pending(p):
        return sorted(str(x) for x in p if ids is None or x[0] in ids)
    fields = dict(zip(info[::2], info[1::2]))
    groups = []
    for g in fields[b"groups"]:
        g = dict(zip(g[::2], g[1::2]))
        consumers = sorted((c[c.index(b"name") + 1], pending(c[c.index(b"pending") + 1])) for c in g[b"consumers"])
        groups.append((g[b"name"], g[b"last-delivered-id"], g[b"entries-read"], pending(g[b"pending"]), consumers))
    return [fields[f] for f in (b"length", b"last-generated-id", b"max-deleted-entry-id", b"entries-added")], sorted(groups)


def read_all(conn, names, alive=False):
    kinds = [plain(k) for k in conn.many([["TYPE", n] for n in names])]
    expiries = [plain(e) for e in conn.many([["PEXPIRETIME", n] for n in names])]
    commands, spans = [], []
    for name, kind in zip(names, kinds):
        wanted = [command(t, name) for t in READ.get(kind, [])]
        spans.append((len(commands), len(wanted)))
        commands += wanted
    replies = conn.many(commands)
    return [(kind, expiry, normal(kind, replies[at:at + n], alive) if n else None)
            for kind, expiry, (at, n) in zip(kinds, expiries, spans)]


def equal_bytes(a, b, names):
    """The quick way, where both sides reply the same bytes: strings and lists."""
    ask = [[c, n] for n in names for c in ("TYPE", "PEXPIRETIME")]
    kinds = a.raw(ask)
    if kinds != b.raw(ask):
        return False
    kind = kinds[:kinds.index(b"\r")]
    if kind not in (b"+string", b"+list") or kinds.count(kind + b"\r\n") != len(names):
        return False
    ask = [["GET", n] if kind == b"+string" else ["LRANGE", n, "0", "-1"] for n in names]
    return a.raw(ask) == b.raw(ask)


def parts_that_differ(x, y):
    if isinstance(x, (list, tuple)) and isinstance(y, (list, tuple)) and len(x) == len(y):
        return next(parts_that_differ(a, b) for a, b in zip(x, y) if a != b)
    return x, y


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, what, *more):
        self.passed += bool(good)
        self.failed += not good
        if not good and self.failed <= 20:
            print(f"FAILED: {what}")
            for m in more:
                print("   ", repr(m)[:400])
        return good

    def same(self, a, b, what, alive=False):
        names_a, names_b = a.keys(), b.keys()
        self.check(names_a == names_b, f"{what}: keys differ", sorted(names_a - names_b)[:5], sorted(names_b - names_a)[:5])
        names, differ = sorted(names_a & names_b), 0
        for i in range(0, len(names), BATCH):
            part = names[i:i + BATCH]
            if equal_bytes(a, b, part):
                continue
            for name, x, y in zip(part, read_all(a, part, alive), read_all(b, part, alive)):
                if x != y:
                    differ += 1
                    if differ < 4:
                        self.check(False, f"{what}: {name} differs", *parts_that_differ(x, y))
        self.check(differ == 0, f"{what}: {differ} of {len(names)} keys differ")
        return len(names)


# ------------------------------------------------------------------ files of old versions


def old_file(version, rng):
    """A file with all encodings that Redis 7.0 does not write any more."""
    values = dump.Values(rng)
    out = b"REDIS%04d" % version + (b"\xfa" + dump.text(b"redis-ver") + dump.text(b"3.2.0") if version >= 7 else b"") + b"\xfe\x00"
    for i in range(OLD_KEYS):
        while True:
            payload = values.old()
            if version >= 8 or payload[0] != 5:  # scores as doubles came with 8, quicklists with 7
                if version >= 7 or payload[0] != 14:
                    break
        if i % 5 == 0:
            out += b"\xfd" + struct.pack("<i", 2000000000 + i)
        elif i % 5 == 1:
            out += b"\xfc" + struct.pack("<q", 2000000000000 + i)
        if version >= 9 and i % 7 == 0:
            out += b"\xf8" + dump.length(i)
        out += payload[:1] + dump.text(b"old:%d" % i) + payload[1:-10]
    out += b"\xfc" + struct.pack("<q", 1000) + b"\x00" + dump.text(b"expired") + dump.text(b"x") + b"\xff"
    crc = 0
    for b in out:
        crc = dump.CRC[(crc ^ b) & 255] ^ crc >> 8
    return out + struct.pack("<Q", crc)


# ------------------------------------------------------------------ the run


class Redis:
    def __init__(self, folder, name, file="dump.rdb"):
        self.socket = f"{folder}/{name}.sock"
        self.log = f"{folder}/{name}.log"
        self.process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", folder,
                                         "--dbfilename", file, "--enable-debug-command", "yes", "--logfile", self.log])
        end = time.monotonic() + 120
        while True:
            try:
                self.conn = Conn(self.socket)
                if self.conn.one("PING")[0] == b"+":
                    return
            except (OSError, ConnectionError):
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise TimeoutError(f"redis-server: {pathlib.Path(self.log).read_text()[-1000:]}")
            time.sleep(0.05)

    def load_seconds(self):
        text = pathlib.Path(self.log).read_text()
        return float(text.split("DB loaded from disk: ")[1].split()[0])

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def meridian(*args, env=None):
    began = time.monotonic()
    r = subprocess.run([cluster.BINARY, *args], capture_output=True, text=True, env={**os.environ, **(env or {})})
    return r.returncode, r.stderr, time.monotonic() - began


class Run(Checks):
    def __init__(self, o):
        super().__init__()
        self.o, self.rng = o, random.Random(o.seed)
        self.folder = tempfile.mkdtemp(prefix="meridian-migrate-")
        self.to = f"127.0.0.1:{o.port}"
        self.node = cluster.Node("migrate.test", rest_port=o.port + 8, discovery_port=o.port + 9, workers=2)

    def setup(self):
        self.node.bootstrap()
        for i, fields in enumerate(({}, {}, {"authentication_redis_pass": "secret"})):
            self.node.create_db(f"db{i}", self.o.port + i, shards=i + 1, **fields)
        self.ours = Conn(self.to)

    def path(self, name):
        return f"{self.folder}/{name}"

    def there_and_back(self):
        redis = Redis(self.folder, "source")
        generate(redis.conn, self.rng, self.o.keys)
        redis.conn.one("SET", "expired", "x", "PX", "50")
        began = time.monotonic()
        self.check(redis.conn.one("SAVE")[0] == b"+", "SAVE")
        saved = time.monotonic() - began
        time.sleep(0.1)
        code, text, seconds = meridian("import", self.path("dump.rdb"), "--to", self.to)
        n = len(redis.conn.keys())
        self.check(code == 0, "import", text)
        self.check("expired" in text, "the expired key is told of", text)
        print(f"{n} keys, {os.path.getsize(self.path('dump.rdb'))} bytes; redis-server: SAVE {saved:.2f} s; import {seconds:.2f} s = {n / seconds:.0f} keys/s")
        self.same(redis.conn, self.ours, "import")
        self.check(self.ours.one("FCALL", "twice", "0", "21") == (b":", b"42"), "the function works")
        code, text, seconds = meridian("export", self.path("back.rdb"), "--from", self.to)
        self.check(code == 0, "export", text)
        print(f"export {seconds:.2f} s = {n / seconds:.0f} keys/s")
        back = Redis(self.folder, "back", "back.rdb")
        print(f"redis-server loads what was exported in {back.load_seconds():.2f} s")
        self.same(self.ours, back.conn, "export")
        self.check(back.conn.one("FCALL", "twice", "0", "21") == (b":", b"42"), "the function works there")
        back.stop()
        self.source = redis

    def in_parts(self):
        """Large values in many parts, and all connections break several times."""
        stop = threading.Event()

        def breaker():
            c = Conn(f"127.0.0.1:{self.o.port + 1}")
            while not stop.wait(0.15):
                c.one("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        thread = threading.Thread(target=breaker)
        thread.start()
        code, text, _ = meridian("import", self.path("dump.rdb"), "--to", f"127.0.0.1:{self.o.port + 1}", "--part-max", "4", "--connections", "3")
        stop.set()
        thread.join()
        self.check(code == 0, "import in parts, with broken connections", text)
        print(next((line for line in text.splitlines() if "broke" in line), "no connection broke"))
        # No command makes a delivery pending whose entry is deleted: docs/migration.md.
        self.same(self.source.conn, Conn(f"127.0.0.1:{self.o.port + 1}"), "import in parts", alive=True)

    def over_rest(self):
        port = self.o.port + 2
        secret = {"MERIDIAN_DB_PASSWORD": "secret"}
        uid = next(b["uid"] for b in self.node.rest("GET", "/v1/bdbs") if b["name"] == "db2")
        code, text, _ = meridian("import", self.path("dump.rdb"), "--to", f"127.0.0.1:{port}")
        self.check(code == 1 and "credentials" in text, "import without a password", text)
        place = {"type": "mount_point", "path": self.path("dump.rdb")}
        self.node.rest("POST", f"/v1/bdbs/{uid}/actions/import", {"dataset_import_sources": [place]})
        self.check(self.wait(uid, "import") == "succeeded", "REST import", self.node.rest("GET", f"/v1/bdbs/{uid}"))
        self.node.rest("POST", f"/v1/bdbs/{uid}/actions/export", {"export_location": {"type": "mount_point", "path": self.path("rest.rdb")}})
        self.check(self.wait(uid, "export") == "succeeded", "REST export", self.node.rest("GET", f"/v1/bdbs/{uid}"))
        redis = Redis(self.folder, "rest", "rest.rdb")
        self.same(self.source.conn, redis.conn, "over REST there and back")
        redis.stop()
        place["path"] = self.path("nothing.rdb")
        self.node.rest("POST", f"/v1/bdbs/{uid}/actions/import", {"dataset_import_sources": [place]})
        self.check(self.wait(uid, "import") == "failed", "REST import of a file that is not there")
        why = self.node.rest("GET", f"/v1/bdbs/{uid}")["import_failure_reason"]
        self.check("nothing.rdb" in why, "and why", why)
        place["path"] = self.path("small.rdb")
        pathlib.Path(place["path"]).write_bytes(old_file(9, self.rng))
        for pause in (0.02, 0.1):  # many children end well meanwhile: the stop may fall between two
            self.node.rest("POST", f"/v1/bdbs/{uid}/actions/import", {"dataset_import_sources": [place] * 64})
            time.sleep(pause)
            self.node.rest("POST", f"/v1/bdbs/{uid}/actions/import_stop")
            status = self.wait(uid, "import")
            why = self.node.rest("GET", f"/v1/bdbs/{uid}")["import_failure_reason"]
            self.check(status == "failed" and "stopped" in why, "REST import that is stopped", (status, why))
        code, text, _ = meridian("export", self.path("x.rdb"), "--from", f"127.0.0.1:{port}", env=secret)
        self.check(code == 0, "export with the password in the environment", text)

    def wait(self, uid, what, node=None):
        end = time.monotonic() + 300
        while time.monotonic() < end:
            status = (node or self.node).rest("GET", f"/v1/bdbs/{uid}")[f"{what}_status"]
            if status in ("succeeded", "failed"):
                return status
            time.sleep(0.1)
        return "no end"

    def old_versions(self):
        for version in (6, 7, 8, 9):
            name = f"old{version}.rdb"
            pathlib.Path(self.path(name)).write_bytes(old_file(version, self.rng))
            redis = Redis(self.folder, f"old{version}", name)
            self.ours.one("FLUSHALL")
            code, text, _ = meridian("import", self.path(name), "--to", self.to)
            self.check(code == 0, f"import of version {version}", text)
            self.check(self.same(redis.conn, self.ours, f"version {version}") == OLD_KEYS, "all are there")
            redis.stop()

    def geo(self):
        """Into one of three regions while one is away; each operation is sent once; the export of another region is the same."""
        nodes = [self.node] + [cluster.Node(f"geo{i}.test", rest_port=self.o.port + 10 + 2 * i, discovery_port=self.o.port + 11 + 2 * i)
                               for i in range(2)]
        ports = [self.o.port + 3 + i for i in range(3)]
        try:
            for node in nodes[1:]:
                node.bootstrap()
            cluster.create_crdb("geo", list(zip(nodes, ports)))
            away = int(pathlib.Path(nodes[2].dir, "plane.pid").read_text(encoding="ascii"))
            os.kill(away, signal.SIGSTOP)
            code, text, _ = meridian("import", self.path("dump.rdb"), "--to", f"127.0.0.1:{ports[0]}")
            self.check(code == 0, "import into a region while another is away", text)
            cluster.wait_equal(ports[:2])
            once = cluster.link_bytes(ports[1])
            os.kill(away, signal.SIGCONT)
            cluster.wait_equal(ports)
            uid = next(b["uid"] for b in nodes[1].rest("GET", "/v1/bdbs") if b["name"] == "geo")
            place = {"type": "mount_point", "path": self.path("dump.rdb")}
            nodes[1].rest("POST", f"/v1/bdbs/{uid}/actions/import", {"dataset_import_sources": [place]})
            self.check(self.wait(uid, "import", nodes[1]) == "succeeded", "REST import into an instance", nodes[1].rest("GET", f"/v1/bdbs/{uid}"))
            cluster.wait_equal(ports)
            whole = os.path.getsize(self.path("dump.rdb"))
            print(f"geo: {once} bytes to a region for a file of {whole}, {cluster.info(ports[0], 'crdt')['crdt_backlog_bytes']} in the log")
            # The file's texts are compressed, the link's are not.
            self.check(once < 3 * whole + 30_000_000, "what was imported went over the link more than once", once, whole)
            self.same(self.source.conn, Conn(f"127.0.0.1:{ports[2]}"), "the region that was away")
            nodes[1].rest("POST", f"/v1/bdbs/{uid}/actions/export", {"export_location": {"type": "mount_point", "path": self.path("geo.rdb")}})
            self.check(self.wait(uid, "export", nodes[1]) == "succeeded", "REST export of an instance")
            redis = Redis(self.folder, "geo", "geo.rdb")
            self.same(self.source.conn, redis.conn, "out of a region")
            redis.stop()
        finally:
            for node in nodes[1:]:
                node.stop()

    def refuses(self):
        self.ours.one("FLUSHALL")
        good = pathlib.Path(self.path("old9.rdb")).read_bytes()
        broken = bytearray(good)
        broken[len(good) // 2] ^= 4
        for what, data, says in (("cut off", good[:-100], "cut off"), ("damaged", bytes(broken), ""), ("no RDB file", b"hello, world", "no RDB file"),
                                 ("newer", b"REDIS0099" + good[9:], "version"), ("with more behind it", good + b"*1\r\n$4\r\nPING\r\n", "append-only")):
            pathlib.Path(self.path("bad.rdb")).write_bytes(data)
            code, text, _ = meridian("import", self.path("bad.rdb"), "--to", self.to)
            self.check(code == 1 and "bad.rdb" in text and says in text, f"a file that is {what}", text)
            self.check(self.ours.one("DBSIZE") == (b":", b"0"), f"a file that is {what}: nothing was written")
        self.source.conn.many([["FLUSHALL"], ["SET", "a", "0"], ["SELECT", "3"], ["SET", "b", "3"], ["SAVE"], ["SELECT", "0"]])
        code, text, _ = meridian("import", self.path("dump.rdb"), "--to", self.to)
        self.check(code == 1 and "--from-db" in text, "several databases", text)
        code, text, _ = meridian("import", self.path("dump.rdb"), "--to", self.to, "--from-db", "3")
        self.check(code == 0 and plain(self.ours.one("MGET", "a", "b")) == [None, b"3"], "one of several databases", text)
        code, text, _ = meridian("import", self.path("dump.rdb"), "--to", self.to, "--from-db", "5")
        self.check(code == 1 and "no keys in database 5 (and 2 in others" in text, "a database that the file does not have", text)
        code, text, _ = meridian("import", self.path("nothing.rdb"), "--to", self.to)
        self.check(code == 1 and "nothing.rdb" in text, "no file", text)
        code, text, _ = meridian("export", self.path("no/folder.rdb"), "--from", self.to)
        self.check(code == 1 and "folder.rdb" in text, "no folder", text)

    def run(self):
        try:
            self.setup()
            for step in (self.there_and_back, self.in_parts, self.over_rest, self.geo, self.old_versions, self.refuses):
                began = time.monotonic()
                step()
                print(f"{step.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        finally:
            if hasattr(self, "source"):
                self.source.stop()
            self.node.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed > 0


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, default=int(os.environ.get("MIGRATE_PORT", "17930")))
    p.add_argument("--keys", type=int, default=int(os.environ.get("MIGRATE_KEYS", "50000")))
    p.add_argument("--seed", type=int, default=1)
    sys.exit(Run(p.parse_args()).run())


if __name__ == "__main__":
    main()
