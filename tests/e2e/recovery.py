"""Plays docs/recovery.md: every command line of the page is run against real nodes, and what the page says of it is checked. Run by
e2e.py, which shares its Region and ports."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import cluster
from cluster import BINARY, PASSWORD, USER, Client, command, info
from durability import ALWAYS, SECOND, all_of, kill, plane_pid
from e2e import Region, Regions, eventually, geo

PAGE = (cluster.ROOT / "docs" / "recovery.md").read_text(encoding="utf-8")
COMMANDS = {line[2:] for line in PAGE.split("\n") if line.startswith("$ ")}
played = set()


class Page:
    """Runs commands of the page for a region."""

    def __init__(self, region):
        self.region = region
        self.tmp = tempfile.mkdtemp(prefix="meridian-page-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.tmp, ignore_errors=True)

    def run(self, line, status=0, **put):
        assert line in COMMANDS, f"docs/recovery.md does not say: {line}"
        played.add(line)
        node = self.region.node
        text = line
        for a, b in {"/var/lib/meridian": node.dir, "/var/tmp": self.tmp, "12000": str(self.region.db), **put}.items():
            text = text.replace(a, b)
        if text.startswith("meridian "):
            text = BINARY + text[8:]
        if " ctl " in text:
            text += f" --url https://127.0.0.1:{node.rest_port}"
        out = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60,
                             env=dict(os.environ, MERIDIAN_USER=USER, MERIDIAN_PASSWORD=PASSWORD))
        assert out.returncode == status, (text, out.returncode, out.stdout, out.stderr)
        return out.stdout + out.stderr


def stop(region, status=0):
    region.node.process.terminate()
    assert region.node.process.wait(20) == status, region.node.process.returncode


def shop(regions):
    return cluster.create_crdb("shop", [(r.node, r.db) for r in regions], **ALWAYS)


def fill(region, name, n):
    cluster.pipeline(region.db, (("SET", f"{name}{i}", f"value-{i}") for i in range(n)))


def damage(region, uid=1):
    """One bit in the middle of the log."""
    file = sorted(pathlib.Path(region.node.dir, "db", f"db{uid}", "shard0").glob("log-*"))[0]
    with open(file, "r+b") as f:
        f.seek(file.stat().st_size // 2)
        b = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([b[0] ^ 0x10]))
    return file


def writes(region):
    eventually(f"{region.node.name} takes writes", lambda: command(region.db, "SET", "probe", "1") == b"OK", 30)


def test_all_have_lost_their_memory_and_one_is_gone():
    with Regions(3) as (a, b, c), Page(a) as page:
        cluster.create_crdb("shop", [(r.node, r.db) for r in (a, b, c)], data_persistence="disabled")
        assert command(a.db, "SET", "k", "v") == b"OK"
        for r in (a, b, c):
            for pid in r.node.pids():
                os.kill(pid, signal.SIGKILL)
            r.node.process.wait()
        for r in (a, b):
            r.node.start()
            cluster.wait_port(r.db)
        for r in (a, b):
            eventually(f"{r.node.name} is stale", lambda r=r: info(r.db, "crdt")["crdt_stale"] != "0")
        time.sleep(3)
        for r in (a, b):
            for request in (("SET", "k", "w"), ("GET", "k")):
                answer = str(command(r.db, *request))
                assert answer.startswith("STALE"), (request, answer)
        assert "bdb_shard_stale" in page.run("meridian ctl cluster alerts --insecure")
        page.run("meridian ctl crdb remove shop 2 --force --insecure", **{" 2 ": " 3 "})
        for r in (a, b):
            writes(r)
        assert "bdb_shard_stale" not in page.run("meridian ctl cluster alerts --insecure")


def test_damage_where_others_have_the_data():
    with Regions(2) as (a, b), Page(b) as page:
        shop([a, b])
        from e2e import port
        other = port()
        b.node.create_db("other", other, data_persistence="aof")
        command(other, "SET", "k", "v")
        fill(a, "k", 2000)
        cluster.wait_equal([a.db, b.db])
        assert "DAMAGED" not in page.run("meridian log check /var/lib/meridian")
        assert "loading:0" in page.run("redis-cli -p 12000 INFO persistence")
        page.run("meridian ctl crdb status shop --insecure")
        page.run("df -h /var/lib/meridian")
        page.run("meridian ctl db update shop --log-retention 64mb --insecure")
        stop(b)
        file = damage(b)
        assert f"{file.name} is wrong at offset" in page.run("meridian log check /var/lib/meridian", 1)
        b.node.start()
        eventually("the database says why", lambda: "is damaged at offset" in str(command(b.db, "GET", "k1")))
        why = str(command(b.db, "GET", "k1"))
        assert why.startswith("LOADING the database cannot be opened") and file.name in why, why
        eventually("other databases serve", lambda: command(other, "GET", "k") == b"v")
        assert "is damaged at offset" in page.run("redis-cli -p 12000 INFO persistence")
        assert "CRITICAL" in page.run("meridian ctl cluster alerts --insecure")
        stop(b)
        page.run("mv /var/lib/meridian/db/db1/shard0 /var/tmp/shard0.damaged")
        b.node.start()
        writes(b)
        cluster.wait_equal([a.db, b.db])
        assert command(b.db, "GET", "k1999") == b"value-1999"
        # the region is lost for good: the other one goes on, and it is added again as new
        ids = {i["cluster"]["name"]: i["id"] for i in a.node.rest("GET", "/v1/crdbs")[0]["instances"]}
        b.node.stop()
        with Page(a) as there:
            there.run("meridian ctl crdb remove shop 2 --force --insecure", **{" 2 ": f" {ids[b.node.name]} "})
            new = Region("east.example.com")
            try:
                there.run("meridian ctl crdb add shop fqdn=east.example.com,url=https://east.example.com:9443,"
                          "username=admin@example.com,password=secret --insecure",
                          **{"https://east.example.com:9443": f"https://127.0.0.1:{new.node.rest_port}",
                             "admin@example.com": USER, "secret": PASSWORD, ",password": f",port={new.db},password"})
                eventually("it has everything", lambda: command(new.db, "GET", "k1999") == b"value-1999")
                writes(new)
            finally:
                new.node.stop()


def test_damage_where_nobody_else_has_the_data():
    region = Region("alone.e2e.test")
    try:
        with Page(region) as page:
            region.node.create_db("shop", region.db, **ALWAYS)
            for i in range(200):
                command(region.db, "SET", f"k{i}", i)
            stop(region)
            file = damage(region)
            out = page.run("meridian log repair /var/lib/meridian", 1)
            assert "nothing was changed yet" in out and file.name in out, out
            assert "done" in page.run("meridian log repair --yes /var/lib/meridian")
            assert list(pathlib.Path(region.node.dir).rglob("*.damaged"))
            region.node.start()
            writes(region)
            have = command(region.db, "DBSIZE")
            assert 50 < have < 201, have
            assert command(region.db, "GET", "k0") == b"0"
    finally:
        region.node.stop()


def spoil(file, first, last, step):
    with open(file, "r+b") as f:
        for at in range(first, last, step):
            f.seek(at)
            b = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([b[0] ^ 0x10]))


def test_a_damaged_snapshot_where_nobody_else_has_the_data():
    region = Region("alone.e2e.test")
    try:
        with Page(region) as page:
            uid = region.node.create_db("shop", region.db)
            fill(region, "old", 5000)
            region.node.rest("PUT", f"/v1/bdbs/{uid}", ALWAYS)  # all that was in memory goes into a snapshot
            db = pathlib.Path(region.node.dir, "db", f"db{uid}")  # the folder's name counts how often it was switched on
            eventually("it is on disk", lambda: [f for f in db.glob("shard0*/snapshot-*") if f.suffix != ".new"])
            folder = next(db.glob("shard0*"))
            eventually("and promised", lambda: region.node.rest("GET", f"/v1/bdbs/{uid}")["persistence"]["status"] == "ok")
            fill(region, "new", 500)
            command(region.db, "APPEND", "old1", "+")
            stop(region)
            snapshot = next(folder.glob("snapshot-*"))
            size = snapshot.stat().st_size
            spoil(snapshot, size // 2, size // 2 + 1000, 100)
            assert f"{snapshot.name} is wrong at offset" in page.run("meridian log check /var/lib/meridian", 1)
            out = page.run("meridian log repair /var/lib/meridian", 1)
            assert "--others" in out and "--alone" in out, out
            out = page.run("meridian log repair --alone --yes /var/lib/meridian")
            assert "cannot be read" in out and "done" in out, out
            assert "DAMAGED" not in page.run("meridian log check /var/lib/meridian")
            region.node.start()
            writes(region)
            with Client(region.db) as c:
                assert all(c.command("GET", f"new{i}") == f"value-{i}".encode() for i in range(500))
                old = sum(c.command("GET", f"old{i}") is not None for i in range(5000))
            assert 4500 < old < 5000, old
            assert list(folder.glob("*.damaged"))
    finally:
        region.node.stop()


def test_a_damaged_snapshot_where_others_have_the_data():
    with Regions(2) as (a, b), Page(b) as page:
        shop([a, b])
        fill(a, "a", 3000)
        fill(b, "b", 3000)
        cluster.wait_equal([a.db, b.db])
        assert command(b.db, "SAVE") == b"OK"
        fill(a, "later", 500)
        command(b.db, "DEL", "a1", "b1")
        cluster.wait_equal([a.db, b.db])
        stop(b)
        folder = pathlib.Path(b.node.dir, "db", "db1", "shard0")
        snapshot = next(folder.glob("snapshot-*"))
        spoil(snapshot, snapshot.stat().st_size // 2, snapshot.stat().st_size // 2 + 10, 100)
        spoil(next(folder.glob("log-*1")), 200, 100000, 1000)  # else the log alone would do
        fill(a, "away", 500)
        out = page.run("meridian log repair --others --yes /var/lib/meridian")
        assert "come from others" in out and "done" in out, out
        b.node.start()
        writes(b)
        cluster.wait_equal([a.db, b.db])
        for r in (a, b):
            with Client(r.db) as c:
                assert c.command("DBSIZE") == 3000 + 3000 - 2 + 500 + 500 + 1
                for name, n in (("a", 3000), ("b", 3000), ("later", 500), ("away", 500)):
                    assert all(c.command("GET", f"{name}{i}") == f"value-{i}".encode() for i in range(2, n, 7))


def put_back(a, b, page, marked, deaths):
    """A copy of b's files; since it was made b has died and gone on so often."""
    fill(a, "a", 300)
    fill(b, "b", 300)
    command(b.db, "INCRBY", "n", 5)
    cluster.wait_equal([a.db, b.db])
    stop(b)
    copy = os.path.join(page.tmp, "copy")
    shutil.copytree(b.node.dir, copy, ignore=shutil.ignore_patterns("*.sock"))
    b.node.start()
    writes(b)
    for _ in range(deaths):
        time.sleep(2.2)  # what was acknowledged is on disk by then
        kill(plane_pid(b.node))
        writes(b)
    # after the copy: both write, delete, overwrite; what is stable is forgotten
    for region, name in ((a, "a"), (b, "b")):
        with Client(region.db) as c:
            for i in range(100):
                c.command("DEL", f"{'b' if name == 'a' else 'a'}{i}")
                c.command("SET", f"{name}{200 + i}", "changed")
                c.command("INCR", "n")
                c.command("SADD", "late", f"{name}{i}")
    cluster.wait_equal([a.db, b.db])
    eventually("deletions are forgotten", lambda: cluster.crdt(a.db)["crdt_unsettled"] == 0)
    kill(plane_pid(b.node))
    b.node.process.kill()
    b.node.process.wait()
    kill(plane_pid(b.node))
    for name in os.listdir(b.node.dir):
        if name != "node.log":
            path = os.path.join(b.node.dir, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    shutil.copytree(copy, b.node.dir, dirs_exist_ok=True)
    if marked:
        assert "yes" in page.run("meridian log restored /var/lib/meridian", 1)
        page.run("meridian log restored --yes /var/lib/meridian")
    b.node.start()
    writes(b)  # from the first moment on: it listens to its peers before it takes any
    if not marked:
        assert "older copy" in pathlib.Path(b.node.dir, "node.log").read_text(encoding="utf-8")
    command(b.db, "INCR", "n")
    cluster.wait_equal([a.db, b.db], 30)
    for region in (a, b):
        assert command(region.db, "GET", "n") == b"206"
        assert command(region.db, "SCARD", "late") == 200
        assert [command(region.db, "EXISTS", k) for k in ("a0", "b0", "a99", "b99")] == [0, 0, 0, 0]
        assert command(region.db, "GET", "b299") == b"changed" and command(region.db, "GET", "a299") == b"changed"


def test_an_old_copy_is_put_back():
    """Marked as restored, and forgotten to be marked: no write of anybody is lost, nothing diverges, no stamp is given twice. With everysec
    the region has been other lives since."""
    for policy, deaths in ((ALWAYS, 0), (SECOND, 3)):
        for marked in (True, False):
            with Regions(2) as (a, b), Page(b) as page:
                cluster.create_crdb("shop", [(r.node, r.db) for r in (a, b)], **policy)
                put_back(a, b, page, marked, deaths)


def test_an_old_copy_that_wrote_alone():
    """Each side keeps what it has, says what is wrong, and nothing is lost when the page is followed."""
    with Regions(2) as (a, b), Page(b) as page:
        shop([a, b])
        writes(b)
        fill(b, "k", 300)
        cluster.wait_equal([a.db, b.db])
        stop(b)
        copy = os.path.join(page.tmp, "old")
        shutil.copytree(b.node.dir, copy, ignore=shutil.ignore_patterns("*.sock"))
        b.node.start()
        writes(b)
        cluster.pipeline(b.db, (("SET", f"k{i}", "late") for i in range(200)))
        cluster.wait_equal([a.db, b.db])
        stop(b)
        stop(a)
        shutil.move(b.node.dir, os.path.join(page.tmp, "new"))
        shutil.copytree(copy, b.node.dir)
        b.node.start()
        writes(b)
        cluster.pipeline(b.db, (("SET", f"k{i}", "copy") for i in range(100, 300)))
        a.node.start()
        eventually("the copy stops", lambda: "older copy" in str(command(b.db, "SET", "probe", "x")), 30)
        assert str(command(b.db, "SET", "probe", "x")).startswith(
            "MISCONF This region was started from an older copy of its files and wrote"), command(b.db, "SET", "probe", "x")
        for life in (1, 2):
            assert command(a.db, "INCR", "goes on") == life
            assert [command(b.db, "GET", f"k{i}") for i in (0, 199, 299)] == [b"value-0", b"copy", b"copy"]
            assert [command(a.db, "GET", f"k{i}") for i in (0, 199, 299)] == [b"late", b"late", b"value-299"]
            stop(b)
            b.node.start()
            eventually("it still says so", lambda: "older copy" in str(command(b.db, "SET", "probe", "x")), 30)
        assert "an older copy of the files was started, and has written" in page.run("redis-cli -p 12000 INFO persistence")
        page.run("meridian export /var/tmp/copy.rdb --from 127.0.0.1:12000")
        stop(b)
        page.run("mv /var/lib/meridian/db/db1 /var/tmp/db1.copy")
        b.node.start()
        writes(b)
        cluster.wait_equal([a.db, b.db], 30)
        for region in (a, b):
            assert [command(region.db, "GET", f"k{i}") for i in (0, 199, 299)] == [b"late", b"late", b"value-299"]
        newest = sorted(pathlib.Path(page.tmp, "db1.copy", "shard0").glob("log-*"))
        dumped = "".join(subprocess.run([BINARY, "log", "dump", str(f)], capture_output=True, text=True).stdout for f in newest)
        assert "k299" in dumped and "copy" in dumped


def test_the_folder_moves():
    region = Region("moved.e2e.test")
    try:
        with Page(region) as page:
            region.node.create_db("shop", region.db, **ALWAYS)
            fill(region, "k", 1000)
            stop(region)
            page.run("cp -a /var/lib/meridian /var/tmp/meridian-moved")
            assert "opens; the last life ended in order" in page.run("meridian log check /var/tmp/meridian-moved")
            shutil.rmtree(region.node.dir)
            shutil.move(os.path.join(page.tmp, "meridian-moved"), region.node.dir)
            region.node.start()
            writes(region)
            assert command(region.db, "GET", "k999") == b"value-999"
    finally:
        region.node.stop()


def test_the_folder_is_deleted_beneath_the_node():
    region = Region("deleted.e2e.test")
    try:
        with Page(region) as page:
            region.node.create_db("shop", region.db, data_persistence="aof")
            fill(region, "k", 1000)
            shutil.rmtree(os.path.join(region.node.dir, "db"))
            eventually("writes are refused", lambda: str(command(region.db, "SET", "x", "y")).startswith("MISCONF"))
            assert "no such file" in page.run("redis-cli -p 12000 INFO persistence")
            assert command(region.db, "GET", "k999") == b"value-999"
            page.run("meridian export /var/tmp/rescue.rdb --from 127.0.0.1:12000")
            began = time.monotonic()
            stop(region, 1)
            assert time.monotonic() - began < 8, "a disk that only fails is not waited for as one that is slow"
            assert "stopped without an orderly end" in pathlib.Path(region.node.dir, "node.log").read_text(encoding="utf-8")
            region.node.start()
            writes(region)
            page.run("meridian import /var/tmp/rescue.rdb --to 127.0.0.1:12000")
            assert command(region.db, "GET", "k999") == b"value-999" and command(region.db, "DBSIZE") >= 1001
            assert "aof_last_write_status:ok" in all_of(region.db, "INFO", "persistence").decode()
    finally:
        region.node.stop()


def test_zz_all_of_the_page_was_played():
    """After the others, in the order of this file; alone it has nothing to say."""
    assert not played or played == COMMANDS, f"docs/recovery.md: not played: {sorted(COMMANDS - played)}"
