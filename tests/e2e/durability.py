"""Proofs that nothing is lost: processes killed under load, disks that are full, read-only or gone, damaged files.
Run by e2e.py, which shares its Region and ports. KILL_ROUNDS=200 is the long form of killing."""
import collections
import ctypes
import json
import os
import pathlib
import random
import signal
import shutil
import subprocess
import tempfile
import threading
import time

import cluster
from cluster import BINARY, Client, RestError, command
from e2e import Region, Regions, eventually, geo

ALWAYS = {"data_persistence": "aof", "aof_policy": "appendfsync-always"}
SECOND = {"data_persistence": "aof"}


# ---------------------------------------------------------------- writers that remember

class Writer(threading.Thread):
    """Writes to one region and remembers what was attempted and what was acknowledged. Nothing is ever tried twice."""

    def __init__(self, name, db_port, seed):
        super().__init__(daemon=True)
        self.name, self.port, self.rng = name, db_port, random.Random(seed)
        self.stopping = threading.Event()
        self.n = self.errors = self.breaks = 0
        self.acked = {kind: set() for kind in ("string", "set", "hash", "zset", "list")}
        self.entries = {}                                # of the stream: ID -> value
        self.counted, self.counted_max = 0, 0            # INCRs: acknowledged, attempted
        self.why = {}

    def batch(self):
        """A pipeline: [(kind, value, command)]"""
        out = []
        for _ in range(self.rng.choice((1, 1, 4, 16))):
            self.n += 1
            v = f"{self.name}-{self.n}"
            out.append(self.rng.choice((
                ("string", v, ("SET", f"k:{v}", v)),
                ("set", v, ("SADD", "{all}set", v)),
                ("hash", v, ("HSET", "{all}hash", v, v)),
                ("zset", v, ("ZADD", "{all}zset", self.n, v)),
                ("list", v, ("RPUSH", "{all}list", v)),
                ("stream", v, ("XADD", "{all}stream", "*", "v", v)),
                ("counter", 1, ("INCRBY", f"n:{self.n % 5}", 1)))))
        return out

    def take(self, kind, value, reply):
        if isinstance(reply, Exception):
            self.errors += 1
            self.why[str(reply)[:60]] = self.why.get(str(reply)[:60], 0) + 1
            return
        if kind == "counter":
            self.counted += 1
        elif kind == "stream":
            self.entries[reply.decode()] = value
        else:
            self.acked[kind].add(value)

    def run(self):
        client = None
        while not self.stopping.is_set():
            try:
                client = client or Client(self.port, timeout=20)
                batch = self.batch()
                self.counted_max += sum(kind == "counter" for kind, _, _ in batch)
                client.sock.sendall(b"".join(Client.encode(c) for _, _, c in batch))
                failed = False
                for kind, value, _ in batch:
                    reply = client.read()
                    self.take(kind, value, reply)
                    failed |= isinstance(reply, Exception)
                if failed:
                    time.sleep(0.02)
            except OSError:
                self.breaks += 1
                if client is not None:
                    client.close()
                client = None
                time.sleep(0.02)
        if client is not None:
            client.close()

    def total(self):
        return sum(map(len, self.acked.values())) + len(self.entries) + self.counted


def begin_writing(*regions):
    """Two writers for each of them, which have begun."""
    writers = [Writer(f"{r.node.name[:2]}{t}", r.db, t) for r in regions for t in range(2)]
    for w in writers:
        w.start()
    eventually("writes are made", lambda: all(w.total() > 100 for w in writers))
    return writers


def end_writing(writers):
    for w in writers:
        w.stopping.set()
    for w in writers:
        w.join()


def all_of(port, *args):
    with Client(port, timeout=120) as c:
        reply = c.command(*args)
    assert not isinstance(reply, Exception), (args, reply)
    return reply


def check_writes(port, writers):
    """Everything that was acknowledged is there."""
    wanted = {kind: set().union(*(w.acked[kind] for w in writers)) for kind in writers[0].acked}
    have = {"set": {m.decode() for m in all_of(port, "SMEMBERS", "{all}set")},
            "hash": {m.decode() for m in all_of(port, "HKEYS", "{all}hash")},
            "zset": {m.decode() for m in all_of(port, "ZRANGE", "{all}zset", 0, -1)},
            "list": {m.decode() for m in all_of(port, "LRANGE", "{all}list", 0, -1)}}
    names = sorted(wanted["string"])
    have["string"] = set()
    with Client(port, timeout=60) as c:
        for at in range(0, len(names), 500):
            part = names[at:at + 500]
            c.sock.sendall(b"".join(Client.encode(("GET", f"k:{v}")) for v in part))
            have["string"] |= {v for v in part if c.read() == v.encode()}
    for kind, values in wanted.items():
        lost = values - have[kind]
        assert not lost, f"{kind}: {len(lost)} of {len(values)} acknowledged writes are lost in the region on port {port}: {sorted(lost)[:5]}"
    n = len(all_of(port, "LRANGE", "{all}list", 0, -1))
    assert n == len(have["list"]), f"an element was pushed twice: {n} elements, {len(have['list'])} different ones"
    entries = {i.decode(): fields[1].decode() for i, fields in all_of(port, "XRANGE", "{all}stream", "-", "+")}
    for w in writers:
        for i, v in w.entries.items():
            assert entries.get(i) == v, f"stream entry {i} ({v}) is lost in the region on port {port}: {entries.get(i)}"
    count = sum(int(all_of(port, "GET", f"n:{i}") or 0) for i in range(5))
    least, most = sum(w.counted for w in writers), sum(w.counted_max for w in writers)
    assert least <= count <= most, f"counters: {least} acknowledged, {most} attempted, {count} there"


# ---------------------------------------------------------------- kill -9

def plane_pid(node):
    try:
        return int(pathlib.Path(node.dir, "plane.pid").read_text(encoding="ascii").strip() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def kill(pid):
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def stop_all(node):
    """Also a data plane whose manager was killed."""
    pid = plane_pid(node)
    node.stop()
    kill(pid)


class Striker:
    """Kills something in one region or in all of them; managers are started again, which look after their data planes. Each region has
    its turn before any has a second one: a seed that leaves one alone would leave its numbers of actors alone, too."""

    def __init__(self, rng, rs):
        self.rng, self.rs, self.turns = rng, rs, []
        self.struck = collections.Counter()  # (what, how many regions)
        self.deaths = collections.Counter()  # region -> data planes that were killed

    def victims(self):
        if self.rng.random() < 0.1:
            return self.rs
        if not self.turns:
            self.turns = self.rng.sample(self.rs, len(self.rs))
        return [self.turns.pop()]

    def strike(self):
        victims, what = self.victims(), self.rng.choice(("plane", "plane", "manager", "both", "both"))
        for r in victims:
            if what != "manager":
                pid = self.alive(r)
                kill(pid)
                self.deaths[r.node.name] += 1
            if what != "plane":
                r.node.process.kill()
                r.node.process.wait()
        time.sleep(self.rng.choice((0, 0, 0.3)))
        for r in victims:
            if r.node.process.poll() is not None:
                r.node.start()
        self.struck[what, len(victims)] += 1

    @staticmethod
    def alive(r):
        """The data plane; a manager that was just started may not have it yet, nor a new one if it has just been killed."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            pid = plane_pid(r.node)
            if pid and runs(pid):
                return pid
            time.sleep(0.01)
        raise AssertionError(f"{r.node.name} has no data plane")


def runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def progress(writers, n, seconds):
    """Waits for so many more writes."""
    end, before = time.monotonic() + seconds, sum(w.total() for w in writers)
    while sum(w.total() for w in writers) < before + n and time.monotonic() < end:
        time.sleep(0.02)


def test_kill_9():
    """Random processes of three regions are killed under load; with `appendfsync-always` no acknowledged write is lost."""
    rounds = int(os.environ.get("KILL_ROUNDS", "6"))
    seed = int(os.environ.get("KILL_SEED", str(random.SystemRandom().randrange(1 << 30))))
    print(f"     KILL_SEED={seed} KILL_ROUNDS={rounds}", flush=True)
    rng = random.Random(seed)
    with Regions(3, workers=2) as rs:
        try:
            geo(rs, shards_count=2, sharding=True, **ALWAYS)
            writers = [Writer(f"{i}{t}", r.db, rng.random()) for i, r in enumerate(rs) for t in range(2)]
            for w in writers:
                w.start()
            time.sleep(1)
            striker = Striker(rng, rs)
            for n in range(rounds):
                striker.strike()
                progress(writers, 200, 8)  # else processes that have just been killed would be killed, and no write be at stake
                time.sleep(rng.uniform(0, 1))
                if rounds > 20 and n % 20 == 19:
                    print(f"     {n + 1} rounds, {sum(w.total() for w in writers)} writes acknowledged", flush=True)
            for r in rs:
                eventually(f"{r.node.name} takes writes again", lambda r=r: command(r.db, "SET", "probe", "1") == b"OK", 60)
            end_writing(writers)
            cluster.wait_equal([r.db for r in rs], 120)
            for r in rs:
                check_writes(r.db, writers)
            print(f"     {sum(w.total() for w in writers)} acknowledged, {sum(w.errors for w in writers)} errors, "
                  f"{sum(w.breaks for w in writers)} connections lost; struck: {dict(striker.struck)}; data planes killed: {dict(striker.deaths)}", flush=True)
            stale = sum(n for w in writers for why, n in w.why.items() if why.startswith("STALE"))
            assert stale == 0, f"{stale} writes were refused with -STALE although every disk had kept everything"
            deaths = [striker.deaths[r.node.name] for r in rs]
            assert rounds < 20 or max(deaths) < 2 * min(deaths), f"not struck evenly: {deaths}"
            if rounds > 20:
                print(f"     {sum((collections.Counter(w.why) for w in writers), collections.Counter())}", flush=True)
        except BaseException:
            keep(rs)
            raise
        finally:
            for r in rs:
                kill(plane_pid(r.node)) if r.node.process.poll() is not None else None


def keep(rs):
    """The folders of a test that failed stay, for whoever looks for the reason."""
    for r in rs:
        to = pathlib.Path(os.environ.get("E2E_KEEP", "/tmp/meridian-failed"), f"{r.node.name}-{os.getpid()}")
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(r.node.dir, to, ignore=shutil.ignore_patterns("*.sock"))
        print(f"     kept: {to}", flush=True)


# ---------------------------------------------------------------- disks that are full, read-only or gone

class SmallDisk:
    """A tmpfs of so many MB in which a node lives. The mount is in a namespace of this process and its children alone."""

    def __init__(self, mb):
        self.dir = tempfile.mkdtemp(prefix="meridian-disk-")
        mount("-t", "tmpfs", "-o", f"size={mb}m", "tmpfs", self.dir)

    def fill(self):
        with open(os.path.join(self.dir, "ballast"), "ab", buffering=0) as f:
            size = 1 << 20
            while size >= 4096:  # others write meanwhile
                try:
                    f.write(b"x" * size)
                except OSError:
                    size //= 2

    def release(self):
        os.unlink(os.path.join(self.dir, "ballast"))

    def end(self):
        subprocess.run(["umount", "-l", self.dir], check=True)
        os.rmdir(self.dir)


def mount(*args):
    subprocess.run(["mount", *args], check=True, capture_output=True)


def own_mounts():
    """From here on what is mounted is seen by this process and its children only."""
    libc = ctypes.CDLL(None, use_errno=True)
    CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
    if libc.unshare(CLONE_NEWNS) != 0:
        raise PermissionError("small disks need root (a mount namespace): run the tests as root, as CI does")
    if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "mounts cannot be made private")


def refused_within(port, seconds, *args):
    """Writes until one is refused; the error's text. A write that waits for the disk when it fails ends with its connection: whether
    it will last is not known."""
    end = time.monotonic() + seconds
    n = 0
    client = None
    while time.monotonic() < end:
        n += 1
        try:
            client = client or Client(port)
            reply = client.command(*(str(a).replace("#", str(n)) for a in args))
        except ConnectionError:
            client = None
            continue
        if isinstance(reply, Exception):
            client.close()
            return str(reply)
    raise AssertionError(f"{n} writes were taken in {seconds} s although the disk takes nothing")


def quick(c, *args):
    """A reply, within a second."""
    began = time.monotonic()
    reply = c.command(*args)
    took = time.monotonic() - began
    assert took < 1, f"{args[0]} took {took:.1f} s"
    return reply


def in_trouble(a, b, begin, end, policy):
    """Writes are refused with a clear error while the disk takes nothing; reads and links go on; then all goes on by itself."""
    writers = begin_writing(a, b)
    with Client(a.db) as reader, Client(b.db) as other:
        assert reader.command("SET", "{t}before", "1") == b"OK"
        begin()
        began = time.monotonic()
        # of one shard: another's last page may have room yet
        why = refused_within(a.db, 3, "SET", "{t}x#", "y" * 1000)
        took = time.monotonic() - began
        assert why.startswith("MISCONF"), why
        assert took < 2, f"the error came after {took:.1f} s"
        for _ in range(20):
            assert quick(reader, "GET", "{t}before") == b"1"
            reply = quick(reader, "SET", "{t}before", "2")
            assert str(reply).startswith("MISCONF"), reply
            time.sleep(0.02)
        assert quick(other, "SET", "from-b", policy) == b"OK"
        eventually("links go on", lambda: quick(reader, "GET", "from-b") == policy.encode())
        text = all_of(a.db, "INFO", "persistence").decode()
        assert "aof_last_write_status:err" in text, text
        end()
        eventually("it takes writes again", lambda: quick(reader, "SET", "{t}after", "1") == b"OK", 5)
    # the other shard tries again in its own time, twice a second
    eventually("nothing is wrong any more", lambda: "aof_last_write_status:ok" in all_of(a.db, "INFO", "persistence").decode(), 5)
    before = [w.total() for w in writers]
    eventually("so do all", lambda: all(w.total() > n + 50 for w, n in zip(writers, before)))
    if policy == "second":
        time.sleep(2.5)  # so long may what is acknowledged be in memory only
    end_writing(writers)
    if policy == "second":
        time.sleep(2.5)
    kill(plane_pid(a.node))
    eventually("it is back", lambda: command(a.db, "GET", "{t}after") == b"1")
    cluster.wait_equal([a.db, b.db])
    for r in (a, b):
        check_writes(r.db, writers)


def on_a_small_disk(policy, begin=lambda disk: disk.fill(), end=lambda disk: disk.release()):
    try:
        own_mounts()
    except PermissionError as why:
        print(f"     left out: {why}", flush=True)
        return
    disk = SmallDisk(160)
    a = b = None
    try:
        a, b = Region("small.e2e.test", 2, inside=disk.dir), Region("large.e2e.test", 2)
        geo([a, b], shards_count=2, sharding=True, **(ALWAYS if policy == "always" else SECOND))
        in_trouble(a, b, lambda: begin(disk), lambda: end(disk), policy)
    finally:
        for r in (a, b):
            if r is not None:
                r.node.stop()
        disk.end()


def test_full_disk_always():
    on_a_small_disk("always")


def test_full_disk_second():
    on_a_small_disk("second")


def test_read_only_disk():
    def begin(disk):
        db = str(next(pathlib.Path(disk.dir).glob("*/db")))
        mount("--bind", db, db)
        mount("-o", "remount,bind,ro", db)

    def end(disk):
        subprocess.run(["umount", str(next(pathlib.Path(disk.dir).glob("*/db")))], check=True)
    on_a_small_disk("always", begin, end)


def failing_disk_is_told(a, b):
    """What REST, ctl and /metrics of both regions say while the disk of `a` is full."""
    uid = a.bdbs()[0]["uid"]
    try:
        a.node.rest("GET", f"/v1/bdbs/{uid}/availability")
        raise AssertionError("a region that takes no writes is not available")
    except RestError as e:
        assert e.status == 503 and "bdb_unavailable_disk_failing" in e.body and "no space left" in e.body, e
    assert b.node.rest("GET", f"/v1/bdbs/{b.bdbs()[0]['uid']}/availability")["status"] == "available"
    for r in (a, b):
        reports = r.node.rest("GET", f"/v1/crdbs/{r.crdbs()[0]['guid']}/health_report")
        said = {i["cluster_name"]: (i["availability"], i["reason"]) for i in reports}
        # the other one may be behind a write that waits for that disk; it is not the one that is down
        assert said[a.node.name][0] == "down" and "no space left" in said[a.node.name][1], said
        assert said[b.node.name][0] in ("up", "lagging"), said


def test_geo_on_a_full_disk():
    """One region's disk is full: nothing half-made is left of a database that is created; one that is there is told of everywhere."""
    try:
        own_mounts()
    except PermissionError as why:
        print(f"     left out: {why}", flush=True)
        return
    disk = SmallDisk(60)
    a = b = None
    try:
        a, b = Region("small.e2e.test", inside=disk.dir), Region("large.e2e.test")
        disk.fill()
        for there, here in ((a, b), (b, a)):
            try:
                geo([here, there], **ALWAYS)
                raise AssertionError("it was made on a full disk")
            except RuntimeError as why:
                assert "nothing was made here" in str(why) and "no space left" in str(why), why
            eventually("nothing is left", lambda: [(r.crdbs(), r.bdbs()) for r in (a, b)] == [([], [])] * 2)
        disk.release()
        eventually("it can be made", lambda: geo([a, b], **ALWAYS))
        assert command(b.db, "SET", "k", "v") == b"OK"
        cluster.wait_equal([a.db, b.db])
        disk.fill()
        refused_within(a.db, 3, "SET", "k", "v")
        eventually("it is told", lambda: a.node.rest("GET", f"/v1/bdbs/alerts/{a.bdbs()[0]['uid']}")["bdb_disk_failing"]["state"])
        failing_disk_is_told(a, b)
        disk.release()
        eventually("it is well", lambda: a.node.rest("GET", f"/v1/bdbs/{a.bdbs()[0]['uid']}/availability")["status"] == "available")
    finally:
        for r in (a, b):
            if r is not None:
                r.node.stop()
        disk.end()


class DyingDevice:
    """An ext4 file system on a loop device whose backing file can get no more room: then its writes and syncs end with EIO, and the
    system makes it read-only. `heal` is what an operator does: room, umount, fsck, mount."""

    def __init__(self):
        self.under = SmallDisk(64)
        self.image, self.dir = os.path.join(self.under.dir, "image"), os.path.join(self.under.dir, "mnt")
        os.mkdir(self.dir)
        with open(self.image, "wb") as f:
            f.truncate(400 << 20)
        run = dict(check=True, capture_output=True, text=True)
        subprocess.run(["mkfs.ext4", "-q", "-E", "nodiscard", "-J", "size=4", self.image], **run)
        self.device = subprocess.run(["losetup", "-f", "--show", self.image], **run).stdout.strip()
        mount(self.device, self.dir)

    def heal(self):
        self.under.release()
        subprocess.run(["umount", self.dir], check=True)
        assert subprocess.run(["e2fsck", "-fy", self.device], capture_output=True, check=False).returncode < 4
        mount(self.device, self.dir)

    def end(self):
        subprocess.run(["umount", "-l", self.dir], check=False)
        subprocess.run(["losetup", "-d", self.device], check=False)
        self.under.end()


def test_io_errors():
    """A device that answers with I/O errors under load: a clear error, reads go on, the process ends quickly when it is told to, and
    after the repair everything is there that had been acknowledged."""
    try:
        own_mounts()
        device = DyingDevice()
    except (PermissionError, FileNotFoundError, subprocess.CalledProcessError) as why:
        print(f"     left out, no loop device or no ext4 here: {why}", flush=True)
        return
    region = None
    try:
        region = Region("dying.e2e.test", 2, inside=device.dir)
        region.node.create_db("shop", region.db, shards=2, **ALWAYS)
        writers = [Writer(f"w{i}", region.db, i) for i in range(2)]
        for w in writers:
            w.start()
        eventually("writes are made", lambda: all(w.total() > 300 for w in writers))
        device.under.fill()
        why = refused_within(region.db, 10, "SET", "{t}x#", "y" * 30000)
        # EIO, or what the loop device passes on from below
        assert why.startswith("MISCONF") and any(w in why for w in ("input/output error", "read-only", "no space left")), why
        with Client(region.db) as c:
            assert isinstance(quick(c, "DBSIZE"), int)
            assert "aof_last_write_status:err" in c.command("INFO", "persistence").decode()
        end_writing(writers)
        began = time.monotonic()
        region.node.process.terminate()
        region.node.process.wait(20)
        assert time.monotonic() - began < 10, "a device that only fails is not waited for"
        region.node.log.close()
        device.heal()
        region.node.log = open(os.path.join(region.node.dir, "node.log"), "ab")
        region.node.start()
        eventually("it takes writes again", lambda: command(region.db, "SET", "probe", "1") == b"OK")
        check_writes(region.db, writers)
    finally:
        if region is not None:
            region.node.stop()
        device.end()
