#!/usr/bin/env python3
"""End-to-end tests: real nodes, real clients, loopback only. `e2e.py [NAME ...]`; ends with `N passed, N failed`."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cluster  # noqa: E402
from cluster import BINARY, Client, Node, PASSWORD, USER, RestError, command  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
BASE = int(os.environ.get("E2E_BASE_PORT", "18000"))
next_port = BASE


def port():
    global next_port
    next_port += 1
    return next_port


class Region:
    """A node with a bootstrapped cluster and a database port to use."""

    def __init__(self, name, workers=1, inside=None):
        self.db = port()
        self.discovery = port()
        self.node = Node(name, port(), self.discovery, workers, inside=inside)
        self.node.bootstrap()

    def crdbs(self):
        return self.node.rest("GET", "/v1/crdbs")

    def bdbs(self):
        return self.node.rest("GET", "/v1/bdbs")

    def member(self):
        return {"cluster": {"name": self.node.name, "url": f"https://127.0.0.1:{self.node.rest_port}",
                            "credentials": {"username": USER, "password": PASSWORD}}, "db_config": {"port": self.db}}


class Regions:
    def __init__(self, n, workers=1):
        self.all = [Region(f"c{i + 1}.e2e.test", workers) for i in range(n)]

    def __enter__(self):
        return self.all

    def __exit__(self, *_):
        for r in self.all:
            r.node.stop()


def geo(regions, **config):
    return cluster.create_crdb("geo", [(r.node, r.db) for r in regions], **config)


def eventually(what, check, seconds=20):
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except (OSError, RestError, ConnectionError) as e:
            last = e
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s; last: {last!r}")


def refused(status, call, *words):
    try:
        answer = call()
    except RestError as e:
        assert e.status == status, f"expected HTTP {status}, got {e}"
        for word in words:
            assert word in e.body, f"'{word}' is not in the answer: {e.body}"
        return
    raise AssertionError(f"expected HTTP {status}, got {answer}")


# ---------------------------------------------------------------- tests

def test_three_regions_converge():
    with Regions(3, workers=2) as rs:
        geo(rs, shards_count=2, sharding=True)
        for i, r in enumerate(rs):
            with Client(r.db) as c:
                for k in range(50):
                    c.command("INCR", "hits")
                    c.command("SADD", "{s}all", f"{i}-{k}")
                    c.command("RPUSH", "list", f"{i}-{k}")
                    c.command("HSET", "hash", f"f{i}", k)
                    c.command("ZADD", "zset", k, f"m{i}-{k}")
                    c.command("PFADD", "hll", f"{i}-{k}")
                    c.command("SET", f"key:{i}:{k}", "v", "EX", 1000)
        cluster.wait_equal([r.db for r in rs])
        for r in rs:
            assert command(r.db, "GET", "hits") == b"150"
            assert command(r.db, "SCARD", "{s}all") == 150
            assert command(r.db, "LLEN", "list") == 150
            assert command(r.db, "ZCARD", "zset") == 150
            assert command(r.db, "HGET", "hash", "f2") == b"49"
            assert command(r.db, "DBSIZE") == 156
            assert command(r.db, "PFCOUNT", "hll") == command(rs[0].db, "PFCOUNT", "hll")
        command(rs[0].db, "FLUSHALL")
        cluster.wait_equal([r.db for r in rs])
        assert [command(r.db, "DBSIZE") for r in rs] == [0, 0, 0]


def test_waiting_for_other_regions():
    with Regions(3, workers=2) as (a, b, c):
        geo([a, b, c], shards_count=2)
        with Client(a.db) as one, Client(b.db) as two, Client(c.db) as three:
            # a pop that waits is served by a push of another region
            one.send("BLPOP", "q", 20)
            three.send("BLMOVE", "{p}1", "{p}2", "LEFT", "RIGHT", 20)
            eventually("the pop waits", lambda: cluster.info(a.db, "clients")["blocked_clients"] == 1)
            eventually("the move waits", lambda: cluster.info(c.db, "clients")["blocked_clients"] == 1)
            assert two.command("RPUSH", "q", "x") == 1
            assert two.command("RPUSH", "{p}1", "y") == 1
            assert one.read() == [b"q", b"x"]
            assert three.read() == b"y"
            # read your own writes elsewhere, and writes that have arrived
            for i in range(20):
                assert one.command("SET", f"k{i}", i) == b"OK"
                token = one.command("CRDT.TOKEN")
                assert two.command("CRDT.AFTER", token, 10000) == 1
                assert two.command("GET", f"k{i}") == str(i).encode()
                assert one.command("CRDT.WAIT", 2, 10000) == 2
                assert three.command("GET", f"k{i}") == str(i).encode()
            assert one.command("CRDT.WAIT", 2, 10000, "DURABLE") == 2
            assert one.command("CRDT.WAIT", 3, 50) == 2
            # all show the same
            cluster.wait_equal([a.db, b.db, c.db])

            def compared():
                reply = one.command("CRDT.VERIFY")
                return [(r[1], r[3] > 1, r[5:]) for r in reply] == [
                    (region, True, [[], b"not-comparable", [], b"no-link", [], b"no-answer", []]) for region in (2, 3)]
            eventually("all partitions are equal", compared)


def test_creation_is_all_or_nothing():
    with Regions(2) as (a, b):
        def create(*members):
            task = a.node.rest("POST", "/v1/crdbs", {"name": "geo", "default_db_config": {"memory_size": 0}, "instances": list(members)})
            return cluster.wait_task(a.node, task)

        bad = b.member()
        bad["cluster"]["credentials"]["password"] = "wrong"
        task = create(a.member(), bad)
        assert task["status"] == "failed" and b.node.name in json.dumps(task["errors"]), task
        gone = b.member()
        gone["cluster"]["url"] = f"https://127.0.0.1:{port()}"
        task = create(a.member(), gone)
        assert task["status"] == "failed" and b.node.name in json.dumps(task["errors"]), task
        taken = socket.socket()
        taken.bind(("127.0.0.1", b.db))
        taken.listen()
        task = create(a.member(), b.member())
        taken.close()
        assert task["status"] == "failed" and b.node.name in json.dumps(task["errors"]), task
        for r in (a, b):
            eventually("nothing is left behind", lambda r=r: r.crdbs() == [] and r.bdbs() == [])
        refused(400, lambda: a.node.rest("POST", "/v1/crdbs", {"name": "x", "instances": [a.member(), a.member()]}), a.node.name)
        geo([a, b])
        refused(400, lambda: a.node.rest("POST", "/v1/bdbs", {"name": "y", "memory_size": 0, "colour": "red"}), "colour")
        refused(401, lambda: a.node.rest("GET", "/v1/bdbs", password="wrong"))
        refused(404, lambda: a.node.rest("GET", "/v1/bdbs/4711"))


def test_one_region_becomes_two():
    with Regions(2) as (a, b):
        uid = a.node.create_db("geo", a.db)
        with Client(a.db) as c:
            for k in range(1000):
                c.command("SET", f"k{k}", k)
        member = a.member()
        member["db_uid"] = str(uid)
        del member["db_config"]
        task = a.node.rest("POST", "/v1/crdbs", {"name": "geo", "default_db_config": {"memory_size": 0}, "instances": [member, b.member()]})
        task = cluster.wait_task(a.node, task)
        assert task["status"] == "finished", task
        eventually("the new region has everything", lambda: command(b.db, "DBSIZE") == 1000)
        eventually("it takes writes", lambda: command(b.db, "SET", "from-b", "1") == b"OK")
        eventually("and they arrive", lambda: command(a.db, "GET", "from-b") == b"1")


def test_regions_are_added_and_removed():
    with Regions(3) as (a, b, c):
        guid = geo([a, b])
        command(a.db, "SET", "k", "v")
        task = cluster.wait_task(a.node, a.node.rest("POST", f"/v1/crdbs/{guid}/updates", {"add_instances": [c.member()]}))
        assert task["status"] == "finished", task
        eventually("the third region has it", lambda: command(c.db, "GET", "k") == b"v")
        eventually("it takes writes", lambda: command(c.db, "INCR", "n") == 1)
        eventually("and they arrive", lambda: command(b.db, "GET", "n") == b"1")
        ids = {i["cluster"]["name"]: i["id"] for i in a.node.rest("GET", f"/v1/crdbs/{guid}")["instances"]}
        acked = []

        def write():
            with Client(c.db) as client:
                try:
                    while not isinstance(client.command("INCR", "last-words"), Exception):
                        acked.append(1)
                except OSError:
                    pass
        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.3)
        task = cluster.wait_task(a.node, a.node.rest("POST", f"/v1/crdbs/{guid}/updates", {"remove_instances": [ids[c.node.name]]}))
        writer.join()
        assert task["status"] == "finished", task
        assert acked and command(a.db, "GET", "last-words") == str(len(acked)).encode(), "a write of the leaving region was lost"
        eventually("it is gone there", lambda: c.crdbs() == [])
        assert len(a.node.rest("GET", f"/v1/crdbs/{guid}")["instances"]) == 2
        command(a.db, "SET", "after", "1")
        eventually("the others go on", lambda: command(b.db, "GET", "after") == b"1")
        cluster.wait_task(a.node, a.node.rest("DELETE", f"/v1/crdbs/{guid}"))
        eventually("deleted everywhere", lambda: a.crdbs() == [] and b.crdbs() == [] and a.bdbs() == [] and b.bdbs() == [])


def test_a_dead_data_plane_comes_back_with_everything():
    with Regions(2) as (a, b):
        geo([a, b])
        for k in range(200):
            command(a.db, "SET", f"k{k}", k)
        command(a.db, "INCRBY", "n", 5)
        cluster.wait_equal([a.db, b.db])
        plane = [p for p in a.node.pids() if p != a.node.process.pid]
        os.kill(plane[0], signal.SIGKILL)
        eventually("the plane was started again", lambda: [p for p in a.node.pids() if p != a.node.process.pid] not in ([], plane))
        eventually("it has everything", lambda: command(a.db, "DBSIZE") == 201)
        eventually("it takes writes", lambda: command(a.db, "INCR", "n") == 6)
        eventually("and they arrive", lambda: command(b.db, "GET", "n") == b"6")


def test_a_restarted_manager_adopts_the_data_plane():
    with Regions(1) as (a,):
        uid = a.node.create_db("single", a.db)
        command(a.db, "SET", "k", "v")
        plane = [p for p in a.node.pids() if p != a.node.process.pid]
        a.node.process.kill()
        a.node.process.wait()
        assert command(a.db, "GET", "k") == b"v", "the data plane serves without its manager"
        a.node.start()
        eventually("REST again", lambda: a.node.rest("GET", f"/v1/bdbs/{uid}")["status"] == "active")
        assert [p for p in a.node.pids() if p != a.node.process.pid] == plane
        assert command(a.db, "GET", "k") == b"v"


def test_availability_and_health():
    with Regions(2) as (a, b):
        guid = geo([a, b])
        uid = a.bdbs()[0]["uid"]
        eventually("available", lambda: a.node.rest("GET", f"/v1/bdbs/{uid}/availability") is not False)
        eventually("in sync", lambda: a.node.rest("GET", f"/v1/bdbs/{uid}/availability?extend_check=lag&availability_lag_tolerance_ms=2000") is not False)
        a.node.rest("GET", f"/v1/local/bdbs/{uid}/endpoint/availability")
        report = a.node.rest("GET", f"/v1/crdbs/{guid}/health_report")
        assert {r["cluster_name"] for r in report} == {a.node.name, b.node.name}, report
        assert a.node.rest("GET", "/v1/shards") and a.node.rest("GET", "/v1/nodes") and a.node.rest("GET", "/v1/cluster")
        b.node.stop()
        refused_eventually = lambda: _status(a, f"/v1/bdbs/{uid}/availability?extend_check=lag") == 503
        eventually("a lagging region is told", refused_eventually)
        refused(404, lambda: a.node.rest("GET", "/v1/bdbs/99/availability"))


def _status(region, path):
    try:
        region.node.rest("GET", path)
        return 200
    except RestError as e:
        return e.status


def test_discovery():
    with Regions(1) as (a,):
        a.node.create_db("shop", a.db)
        with Client(a.discovery) as c:
            assert c.command("PING") == b"PONG"
            assert c.command("SENTINEL", "get-master-addr-by-name", "shop") == [b"127.0.0.1", str(a.db).encode()]
            assert c.command("SENTINEL", "get-master-addr-by-name", "nobody") is None
            assert any(b"shop" in m for m in c.command("SENTINEL", "masters"))
            assert b"shop" in c.command("SENTINEL", "master", "shop")
            assert c.command("SENTINEL", "replicas", "shop") == []
            assert c.command("SENTINEL", "sentinels", "shop") == []
            assert c.command("SENTINEL", "ckquorum", "shop").startswith(b"OK")
        import redis
        s = redis.sentinel.Sentinel([("127.0.0.1", a.discovery)], socket_timeout=5)
        assert s.discover_master("shop") == ("127.0.0.1", a.db)
        assert s.master_for("shop").set("k", "v")
        assert s.master_for("shop").get("k") == b"v"


def test_python_redis():
    import redis
    with Regions(1, workers=2) as (a,):
        a.node.create_db("py", a.db, shards=2, authentication_redis_pass="secret")
        try:
            redis.Redis(port=a.db).ping()
            raise AssertionError("no password was asked for")
        except redis.AuthenticationError:
            pass
        for protocol in ({}, {}):
            r = redis.Redis(port=a.db, password="secret", decode_responses=True, **protocol)
            r.flushall()
            assert r.set("k", "v", ex=100) and r.get("k") == "v" and 0 < r.ttl("k") <= 100
            r.mset({"a": 1, "b": 2, "c": 3})
            assert r.mget("a", "b", "c") == ["1", "2", "3"] and r.exists("a", "b", "nope") == 2
            r.hset("h", mapping={"x": 1, "y": 2})
            assert r.hgetall("h") == {"x": "1", "y": "2"}
            r.zadd("z", {"one": 1, "two": 2})
            assert r.zrange("z", 0, -1, withscores=True) == [("one", 1.0), ("two", 2.0)]
            with r.pipeline(transaction=True) as p:
                p.watch("{t}n")
                p.multi()
                p.incr("{t}n").incr("{t}n").sadd("{t}s", "m")
                assert p.execute() == [1, 2, 1]
            for i in range(500):
                r.set(f"scan:{i}", i)
            assert len(set(r.scan_iter("scan:*", count=20))) == 500
            assert r.delete("a", "b", "c") == 3
            assert "redis_version" in r.info() and r.client_id() > 0 and r.config_get("maxclients")


def test_redis_cli_and_benchmark():
    with Regions(1) as (a,):
        a.node.create_db("cli", a.db)
        def cli(*args):
            return subprocess.run(["redis-cli", "-p", str(a.db), *args], capture_output=True, text=True, timeout=30, check=True).stdout.strip()
        assert cli("SET", "k", "v") == "OK" and cli("GET", "k") == "v"
        assert cli("-3", "HELLO") and "proto" in cli("-3", "HELLO")
        assert "Protocol error" not in cli("COMMAND", "DOCS", "get")
        assert int(cli("COMMAND", "COUNT")) > 150
        out = subprocess.run(["redis-benchmark", "-p", str(a.db), "-q", "-n", "3000", "-c", "20", "-P", "8", "-t",
                              "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,lrange_300,lrange_500,lrange_600"],
                             capture_output=True, text=True, timeout=120, check=True)
        assert out.stdout.count("requests per second") >= 18, out.stdout
        assert "Error" not in out.stdout + out.stderr, out.stdout


def test_node_clients():
    with Regions(1, workers=2) as (a,):
        a.node.create_db("shop", a.db, shards=2)
        folder = HERE / "node"
        env = dict(os.environ, DB_PORT=str(a.db), DISCOVERY_PORT=str(a.discovery))
        if not (folder / "node_modules").exists():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=300)
        out = subprocess.run(["node", "clients.mjs"], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
        assert out.returncode == 0 and "all well" in out.stdout, out.stdout + out.stderr


def test_curl_http_1_and_2():
    with Regions(1) as (a,):
        for version in ("--http1.1", "--http2"):
            out = subprocess.run(["curl", "-sk", version, "-w", "\n%{http_version} %{http_code}", "-u", f"{USER}:{PASSWORD}",
                                  f"https://127.0.0.1:{a.node.rest_port}/v1/cluster"], capture_output=True, text=True, timeout=30, check=True).stdout
            body, last = out.rsplit("\n", 1)
            assert json.loads(body)["name"] == a.node.name
            assert last == ("1.1 200" if version == "--http1.1" else "2 200"), last
        out = subprocess.run(["curl", "-sk", "-u", f"{USER}:{PASSWORD}", "-H", "content-type: application/json", "-d", "{not json",
                              f"https://127.0.0.1:{a.node.rest_port}/v1/bdbs", "-w", "\n%{http_code}"], capture_output=True, text=True, timeout=30).stdout
        assert out.endswith("400"), out


def test_encrypted_links():
    with Regions(2) as (a, b):
        task = cluster.wait_task(a.node, a.node.rest("POST", "/v1/crdbs", {
            "name": "geo", "encryption": True, "default_db_config": {"memory_size": 0}, "instances": [a.member(), b.member()]}))
        assert task["status"] == "finished", task

        def cli(r, *args):
            return subprocess.run(["redis-cli", "--tls", "--insecure", "-p", str(r.db), *args], capture_output=True, text=True, timeout=30).stdout.strip()
        assert cli(a, "SET", "k", "v") == "OK", "clients may use TLS"
        eventually("it arrives over TLS", lambda: command(b.db, "GET", "k") == b"v", 10)  # and need not
        a.node.create_db("private", port(), tls_mode="enabled")
        only = a.bdbs()[-1]["port"]
        got, _ = raw(only, b"PING\r\n", 1)
        assert b"PONG" not in got, "tls_mode enabled: no clear text"


def test_lab_against_running_regions():
    shared = pathlib.Path(os.environ.get("SHARED", cluster.ROOT.parent / "shared")) / "scenarios"
    with Regions(3) as rs:
        guid = geo(rs)
        files = [str(shared / f"{n}.scn") for n in ("sets", "hashes", "strings", "lists", "sorted_sets", "keys", "hyperloglogs", "topology", "streams")]
        with tempfile.NamedTemporaryFile("w") as slow:
            later = (cluster.ROOT / "tests/scenarios/later.txt").read_text()
            slow.write(later + "\ntopology.scn both sides of a long partition keep their writes\n")  # an hour of real time
            slow.flush()
            out = subprocess.run([BINARY, "lab", "run", "--live", guid, "--url", f"https://127.0.0.1:{rs[0].node.rest_port}", "--user", USER,
                                  "--password", PASSWORD, "--except", slow.name, *files], capture_output=True, text=True, timeout=200)
        assert out.returncode == 0, out.stdout + out.stderr
        assert int(out.stdout.strip().split("\n")[-1].split()[0]) >= 40, out.stdout


def raw(to, data, wait=2):
    with socket.create_connection(("127.0.0.1", to), timeout=wait) as s:
        s.sendall(data)
        s.settimeout(wait)
        got = b""
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    return got, True
                got += piece
        except (TimeoutError, socket.timeout):
            return got, False
        except ConnectionResetError:
            return got, True


def test_bad_input_is_answered_and_survived():
    with Regions(2) as (a, b):
        geo([a, b])
        for data in (b"*1\r\n$-5\r\n", b"*99999999999\r\n", b"*2\r\n$3\r\nGET\r\n$999999999999\r\n", b"*1\r\n:5\r\n"):
            got, closed = raw(a.db, data)
            assert got.startswith(b"-ERR Protocol error") and closed, (data, got)
        for data in (b"\x9bMERIDIAN" + b"\xff" * 200, b"\x9bMERIDIAN\x00\x00\x00\x05\x01\x02\x03\x04\x05", b"\x9bWHATEVER" + b"x" * 100):
            raw(a.db, data, 1)
        got, _ = raw(a.db, b"\x00\x01\x02garbage\r\n" * 100)
        assert got.startswith(b"-ERR"), got[:100]
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\x00" * 300):
            raw(a.node.rest_port, data, 1)
            raw(a.discovery, data, 1)
        assert command(a.db, "SET", "still", "alive") == b"OK"
        eventually("the link lives", lambda: command(b.db, "GET", "still") == b"alive")
        assert a.node.rest("GET", "/v1/cluster")["name"] == a.node.name


def test_bad_starts_say_why():
    def start(*flags):
        return subprocess.run([BINARY, "node", *flags], capture_output=True, text=True, timeout=30)
    out = start("--no-such-flag")
    assert out.returncode == 2 and "no-such-flag" in out.stderr, out
    out = start("--rest-port", "70000")
    assert out.returncode == 2 and "rest-port" in out.stderr, out
    with tempfile.TemporaryDirectory() as d:
        conf = pathlib.Path(d, "m.conf")
        conf.write_text("rest-port 1234\ncolour red\n")
        out = start("--config", str(conf))
        assert out.returncode == 2 and f"{conf}:2" in out.stderr, out
        pathlib.Path(d, "data").mkdir()
        pathlib.Path(d, "data", "state.json").write_text("{ torn")
        out = start("--data", str(pathlib.Path(d, "data")), "--rest-port", str(port()), "--discovery-port", str(port()))
        assert out.returncode == 1 and "state.json" in out.stderr, out
        assert pathlib.Path(d, "data", "state.json").read_text() == "{ torn", "a damaged state file is left as it was"
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            out = start("--data", str(pathlib.Path(d, "fresh")), "--bind", "127.0.0.1", "--rest-port", str(taken.getsockname()[1]),
                        "--discovery-port", str(port()))
            assert out.returncode == 1 and "address already in use" in out.stderr, out
            assert "not all is on disk" not in out.stderr, out.stderr
        small = pathlib.Path(d, "small")
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], capture_output=True).returncode == 0:
            try:
                with open(small / "fill", "wb") as f:
                    try:
                        f.write(b"x" * 65536)
                    except OSError:
                        pass
                out = start("--data", str(small / "data"), "--rest-port", str(port()), "--discovery-port", str(port()))
                assert out.returncode == 1 and "space" in out.stderr, out
            finally:
                subprocess.run(["umount", str(small)], check=True)


def test_link_cut_under_load():
    """Both regions write at full load, the links are held in the middle, then released: nothing is lost, nothing diverges."""
    seconds = float(os.environ.get("E2E_CUT_SECONDS", "6"))
    with Regions(2) as (a, b):
        guid = geo([a, b])
        acked, stop = [0, 0], threading.Event()

        def write(i, r):
            with Client(r.db) as c:
                while not stop.is_set():
                    for k in range(64):
                        c.send("INCR", "shared")
                        c.send("SET", f"k{k * 7 % 1000}", f"{i}-{k}")
                    for _ in range(64):
                        assert isinstance(c.read(), int)
                        assert c.read() == b"OK"
                    acked[i] += 64

        def hold(paused):
            for r, other in ((a, b), (b, a)):
                ids = {i["cluster"]["name"]: i["id"] for i in r.node.rest("GET", f"/v1/crdbs/{guid}")["instances"]}
                r.node.rest("PUT", f"/v1/crdbs/{guid}/links", {"instance_id": ids[other.node.name], "paused": paused})

        threads = [threading.Thread(target=write, args=(i, r)) for i, r in enumerate((a, b))]
        for t in threads:
            t.start()
        time.sleep(seconds / 3)
        before = cluster.info(a.db)["used_memory"]
        hold(True)
        time.sleep(seconds)
        hold(False)
        time.sleep(seconds / 3)
        stop.set()
        for t in threads:
            t.join()
        cluster.wait_equal([a.db, b.db])
        assert command(a.db, "GET", "shared") == str(sum(acked)).encode() == command(b.db, "GET", "shared")
        eventually("compaction is done", lambda: cluster.crdt(a.db)["crdt_unsettled"] == 0 and cluster.crdt(b.db)["crdt_unsettled"] == 0)
        # the log's ring may fill up to its limit; nothing else may stay
        after = cluster.info(a.db)["used_memory"]
        assert after < before + 80 * 2 ** 20, (before, after)


def test_demo():
    out = subprocess.run([BINARY, "demo", "--no-wait", "--base-port", str(port() + 500)], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stdout + out.stderr
    assert "redis-cli -p" in out.stdout and "curl -k" in out.stdout


def test_ctl():
    with Regions(2) as (a, b):
        guid = geo([a, b])
        def ctl(*args, ok=True):
            out = subprocess.run([BINARY, "ctl", *args, "--url", f"https://127.0.0.1:{a.node.rest_port}", "--user", USER,
                                  "--password", PASSWORD, "--insecure"], capture_output=True, text=True, timeout=60)
            assert (out.returncode == 0) == ok, out
            return out.stdout
        assert guid in ctl("crdb", "list")
        assert json.loads(ctl("crdb", "list", "--json"))[0]["guid"] == guid
        assert b.node.name in ctl("crdb", "show", guid)
        assert "up" in ctl("crdb", "status", guid).lower()
        assert "geo" in ctl("db", "list")
        ctl("crdb", "show", "no-such-guid", ok=False)
        ctl("crdb", "delete", guid)
        eventually("deleted", lambda: a.crdbs() == [] and b.crdbs() == [])


def main():
    sys.modules["e2e"] = sys.modules["__main__"]  # what the other files of tests share is here
    import catching
    import durability
    import hanging
    import keeping
    import memory
    import policies
    import recovery
    parts = (globals(), vars(catching), vars(durability), vars(hanging), vars(keeping), vars(memory), vars(policies), vars(recovery))
    tests = {n[5:]: f for part in parts for n, f in part.items() if n.startswith("test_") and callable(f)}
    wanted = sys.argv[1:] or list(tests)
    unknown = [name for name in wanted if name not in tests]
    if unknown:
        sys.exit(f"no such test: {' '.join(unknown)}. There are: {' '.join(tests)}")
    passed = failed = 0
    for name in wanted:
        began = time.monotonic()
        try:
            tests[name]()
            passed += 1
            print(f"ok   {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:  # noqa: BLE001 - a test may fail in any way
            failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    shutil.which("redis-cli") or sys.exit("redis-tools is missing: run tools/install-deps.sh")
    sys.exit(main())
