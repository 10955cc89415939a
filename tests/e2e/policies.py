"""Persistence that is switched and changed while a small disk fills up, is emptied, and processes are killed: a change is made whole
or not at all, and nothing that was acknowledged under `always` is lost while it was on. Run by e2e.py; SWITCH_ROUNDS=20 is the long form."""
import os
import random
import threading
import time

from cluster import RestError, command, info
from durability import SmallDisk, Writer, check_writes, end_writing, keep, kill, own_mounts, plane_pid
from e2e import Region, eventually

ON = {"data_persistence": "aof"}
OFF = {"data_persistence": "disabled"}
ALWAYS, SECOND = "appendfsync-always", "appendfsync-every-sec"


class Switched:
    """A database of two shards, its writers, and what became of it."""

    def __init__(self, disk, rng):
        self.disk, self.rng = disk, rng
        self.region = Region("switch.e2e.test", 2, inside=disk.dir)
        self.uid = self.region.node.create_db("kept", self.region.db, 2, aof_policy=ALWAYS, **ON)
        self.lives = 0
        self.seen = {}
        self.begin_anew()

    def begin_anew(self):
        """Nothing that was written so far is asked for any more."""
        self.lives += 1
        self.writers = [Writer(f"w{self.lives}-{i}", self.region.db, 100 * self.lives + i) for i in range(2)]
        self.paused = False
        for w in self.writers:
            w.start()

    def end(self):
        end_writing(self.writers)
        for w in self.writers:
            for text, n in w.why.items():
                self.seen[text] = self.seen.get(text, 0) + n

    def bdb(self):
        return self.region.node.rest("GET", f"/v1/bdbs/{self.uid}")

    def put(self, change):
        """None, or the refusal's text; after a refusal all is as it was. (What does not switch is done on a full disk, too, and
        noted when there is room: the answer says so.)"""
        before = self.bdb()
        try:
            self.region.node.rest("PUT", f"/v1/bdbs/{self.uid}", change)
            return None
        except RestError as e:
            assert e.status in (409, 500), e
            if "done, but" in str(e):
                return None
            after = self.bdb()
            for name in change:
                assert after[name] == before[name], (change, after[name], before[name], str(e))
            return str(e)

    def changes(self, change):
        eventually(f"{change} is taken", lambda: self.put(change) is None, 5)

    def in_force(self, policy, seconds=15):
        eventually(f"{policy} is in force", lambda: self.bdb()["persistence"].get("policy_in_force") == policy, seconds)

    def writes(self):
        before = [w.total() for w in self.writers]
        eventually("writes are made", lambda: all(w.total() > n + 50 for w, n in zip(self.writers, before)), 15)

    def kill(self, node):
        """The data plane dies, or the whole node."""
        kill(plane_pid(self.region.node))
        if node:
            self.region.node.process.kill()
            self.region.node.process.wait()
            self.region.node.start()

    def comes_back(self, whole):
        eventually("it is back", lambda: command(self.region.db, "PING") == b"PONG", 30)
        end_writing(self.writers)
        if whole:
            check_writes(self.region.db, self.writers)
        ended = self.writers
        self.begin_anew()
        if whole:  # what these have written is asked for again, with what follows
            for new, old in zip(self.writers, ended):
                for kind, values in old.acked.items():
                    new.acked[kind] |= values
                new.entries.update(old.entries)
                new.counted += old.counted
                new.counted_max += old.counted_max


def full(s):
    """The disk fills up: writes are refused with a word about it, a switch that cannot be made is refused and is none, and all goes on when
    there is room."""
    s.disk.fill()
    eventually("writes are refused", lambda: "MISCONF" in str(command(s.region.db, "SET", "{t}x", "y" * 100000)), 5)
    refused = s.put(s.rng.choice([OFF, {"aof_policy": ALWAYS}, {"aof_policy": SECOND}]))
    after = s.bdb()
    if s.rng.random() < 0.5 and after["data_persistence"] == "aof" and after["aof_policy"] == ALWAYS:
        s.kill(node=False)  # with the disk full
        time.sleep(0.5)
        s.disk.release()
        if plane_is_stuck(s):
            s.kill(node=False)
        s.comes_back(whole=always_so_far(s, refused))
    else:
        s.disk.release()
    if after["data_persistence"] == "disabled":
        assert s.put(ON) is None
    s.changes({"aof_policy": ALWAYS})  # refused until the log has been written again, which is tried twice a second
    s.in_force(ALWAYS)
    s.writes()


def plane_is_stuck(s):
    """A database that could not be opened on a full disk waits for a restart."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            if command(s.region.db, "PING") == b"PONG":
                return False
            if "cannot be opened" in str(command(s.region.db, "PING")):
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return True


def always_so_far(s, refused):
    """Had it gone to everysec in between, what was acknowledged then may have been in memory only, the disk being full."""
    return refused is not None or s.bdb()["aof_policy"] == ALWAYS


def off_and_on(s):
    assert s.put(OFF) is None
    s.in_force("disabled")
    s.writes()
    if s.rng.random() < 0.5:  # on a full disk it cannot begin: refused, or it begins when there is room
        s.disk.fill()
        why = s.put(ON)
        if why is not None:
            assert "Nothing was changed" in why or "was not changed" in why, why
        s.disk.release()
        if why is not None:
            s.writes()
            s.changes(ON)
    else:
        assert s.put(ON) is None
    s.in_force(ALWAYS)
    s.writes()


def killed_in_a_switch(s):
    """Off was noted, and then nothing is there, or it was not, and then all is; or it came when the plane was back, with all of it."""
    answers = []
    assert command(s.region.db, "SET", "canary", str(s.lives)) == b"OK"

    def switch():
        try:
            s.region.node.rest("PUT", f"/v1/bdbs/{s.uid}", OFF)
            answers.append(True)
        except (RestError, OSError):
            answers.append(False)
    t = threading.Thread(target=switch)
    t.start()
    time.sleep(s.rng.random() * 0.02)
    s.kill(node=s.rng.random() < 0.5)
    t.join()
    on = eventually("REST is back", lambda: [s.bdb()["data_persistence"]], 30) == ["aof"]
    assert not (on and answers == [True]), "off was answered, and is not so"
    eventually("it is back", lambda: command(s.region.db, "PING") == b"PONG", 30)
    s.comes_back(whole=on or command(s.region.db, "GET", "canary") == str(s.lives).encode())
    if not on:
        assert s.put(ON) is None
    s.in_force(ALWAYS)
    s.writes()


def everysec(s):
    assert s.put({"aof_policy": SECOND}) is None
    s.writes()
    assert s.put({"aof_policy": ALWAYS}) is None
    s.in_force(ALWAYS)


def test_switches_on_a_small_disk():
    rounds = int(os.environ.get("SWITCH_ROUNDS", "4"))
    seed = int(os.environ.get("SWITCH_SEED", str(int(time.time()))))
    try:
        own_mounts()
    except PermissionError as why:
        print(f"     left out: {why}", flush=True)
        return
    print(f"     SWITCH_SEED={seed}", flush=True)
    disk, s = SmallDisk(160), None
    acts = [full, off_and_on, killed_in_a_switch, everysec]
    try:
        s = Switched(disk, random.Random(seed))
        s.writes()
        for i in range(rounds):
            act = acts[i % len(acts)] if i < len(acts) else s.rng.choice(acts)
            began = time.monotonic()
            act(s)
            s.kill(node=s.rng.random() < 0.3)
            s.comes_back(whole=True)
            s.writes()
            if rounds > len(acts):
                print(f"     {i + 1} {act.__name__}: {sum(w.total() for w in s.writers)} writes, {time.monotonic() - began:.1f} s", flush=True)
            p = info(s.region.db, "persistence")
            assert p["storage_policy_in_force"] == "always" and p["aof_last_write_status"] == "ok", p
        s.end()
        check_writes(s.region.db, s.writers)
        for text in s.seen:
            assert text.startswith(("MISCONF", "LOADING")), s.seen
    except BaseException:
        if s is not None:
            keep([s.region])
        raise
    finally:
        if s is not None:
            for w in s.writers:
                w.stopping.set()
            s.region.node.stop()
        disk.end()
