"""A disk that hangs: it answers nothing, neither well nor with an error, until it goes on. Run by e2e.py."""
import subprocess
import time

import cluster
from cluster import Client, RestError, command
from durability import ALWAYS, DyingDevice, all_of, begin_writing, check_writes, end_writing, keep, kill, own_mounts, plane_pid, quick
from e2e import Region, eventually, geo

HANGS_S = 3  # so long without an answer, and the disk counts as failing (docs/durability.md)


class HangingDevice(DyingDevice):
    """... whose file system is frozen for a while: whoever writes to it waits, in the system."""

    def __init__(self):
        super().__init__()
        try:
            self.freeze()  # can it be?
            self.thaw()
        except (FileNotFoundError, subprocess.CalledProcessError):
            super().end()
            raise

    def freeze(self):
        subprocess.run(["fsfreeze", "-f", self.dir], check=True, capture_output=True)

    def thaw(self):
        subprocess.run(["fsfreeze", "-u", self.dir], check=False, capture_output=True)

    def end(self):
        self.thaw()
        super().end()


def told(a, b):
    """What REST of both regions says of the one whose disk hangs."""
    try:
        a.node.rest("GET", f"/v1/bdbs/{a.bdbs()[0]['uid']}/availability")
        return False
    except RestError as e:
        assert e.status == 503 and "bdb_unavailable_disk_failing" in e.body, e
    reports = b.node.rest("GET", f"/v1/crdbs/{b.crdbs()[0]['guid']}/health_report")
    said = {i["cluster_name"]: i["availability"] for i in reports}
    assert said[b.node.name] in ("up", "lagging"), said
    return said[a.node.name] == "down"


def while_it_hangs(a, b, reader, other):
    """Reads and the other region go on all the time; new writes are refused as soon as the disk counts as failing."""
    end = time.monotonic() + HANGS_S + 1.5
    n = 0
    while time.monotonic() < end:
        n += 1
        assert quick(reader, "GET", "{t}before") == b"1"
        assert quick(other, "SET", "from-b", n) == b"OK"
        time.sleep(0.02)
    eventually("what the other one writes is read", lambda: int(quick(reader, "GET", "from-b")) == n, 2)
    reply = quick(reader, "SET", "{t}new", "1")
    assert str(reply).startswith("MISCONF"), reply
    assert "aof_last_write_status:err" in all_of(a.db, "INFO", "persistence").decode()
    eventually("it is told", lambda: told(a, b), 5)


def through_a_hang(device, a, b):
    geo([a, b], shards_count=2, sharding=True, **ALWAYS)
    writers = begin_writing(a, b)
    with Client(a.db) as reader, Client(b.db) as other:
        assert reader.command("SET", "{t}before", "1") == b"OK"
        device.freeze()
        try:
            while_it_hangs(a, b, reader, other)
        finally:
            device.thaw()
        eventually("it takes writes again", lambda: quick(reader, "SET", "{t}after", "1") == b"OK", 5)
    before = [w.total() for w in writers]
    eventually("so do all", lambda: all(w.total() > n + 50 for w, n in zip(writers, before)))
    end_writing(writers)
    # a write that waits for the disk when it counts as failing ends with its connection; the other region knows nothing of that
    assert all(w.breaks == 0 for w in writers if w.port == b.db), [(w.name, w.breaks) for w in writers]
    kill(plane_pid(a.node))
    eventually("it is back", lambda: command(a.db, "GET", "{t}after") == b"1")
    cluster.wait_equal([a.db, b.db])
    for r in (a, b):
        check_writes(r.db, writers)


def test_hanging_disk():
    """One region's disk hangs under load: its reads, its links and the other region go on, new writes are refused and REST says why; then
    all goes on by itself, and nothing that was acknowledged is missing."""
    try:
        own_mounts()
        device = HangingDevice()
    except (PermissionError, FileNotFoundError, subprocess.CalledProcessError) as why:
        print(f"     left out, no loop device, no ext4 or no fsfreeze here: {why}", flush=True)
        return
    a = b = None
    try:
        a, b = Region("hanging.e2e.test", 2, inside=device.dir), Region("well.e2e.test", 2)
        through_a_hang(device, a, b)
    except BaseException:
        device.thaw()
        keep([r for r in (a, b) if r is not None])
        raise
    finally:
        device.thaw()
        for r in (a, b):
            if r is not None:
                r.node.stop()
        device.end()
