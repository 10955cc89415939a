# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Two regions with a limit of memory and three times as many writes on both, under each policy of eviction: nobody dies, nobody
refuses what can be evicted for, and both hold the same. MEMORY_LIMIT_MB and MEMORY_POLICIES make it longer:
MEMORY_LIMIT_MB=100 MEMORY_POLICIES=all E2E=memory_limits tests/e2e/run.sh
And a region that is away while it is full, and while the other one writes more than it may hold (away_and_full).
"""
import os
import threading
import time

import cluster
from catching import hold
from cluster import Client, command, info
from e2e import Regions, eventually, geo

LIMIT = int(os.environ.get("MEMORY_LIMIT_MB", "6")) << 20
ALL = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "noeviction"]
CHOSEN = os.environ.get("MEMORY_POLICIES", "allkeys-lru volatile-ttl noeviction")
POLICIES = ALL if CHOSEN == "all" else CHOSEN.split()
VALUE = 600
DEPTH = 200


class Writer(threading.Thread):
    """Writes LIMIT * 1.5 bytes: half of it strings, the rest fields of hashes; counts what is refused."""

    def __init__(self, port, region):
        super().__init__()
        self.port, self.region = port, region
        self.refused, self.other, self.written = 0, [], 0

    def run(self):
        with Client(self.port, timeout=120) as c:
            n = LIMIT * 3 // 2 // VALUE
            for first in range(0, n, DEPTH):
                batch = []
                for i in range(first, min(first + DEPTH, n)):
                    value = (f"{self.region}:{i}:" * 100)[:VALUE]
                    if i % 2:
                        batch.append(("SET", f"{self.region}:{i}", value, "EX", 600 + i % 100))
                    else:
                        batch.append(("HSET", f"{self.region}:h:{i // 40}", f"f{i}", value))
                        batch.append(("EXPIRE", f"{self.region}:h:{i // 40}", 1000))
                c.sock.sendall(b"".join(c.encode(args) for args in batch))
                for _ in batch:
                    reply = c.read()
                    self.written += 1
                    if isinstance(reply, Exception):
                        if str(reply).startswith("OOM"):
                            self.refused += 1
                        else:
                            self.other.append(str(reply))


def same_size(ports):
    """DBSIZE of both. A region close to its limit may evict one more key between the two questions."""
    end = time.monotonic() + 10
    while True:
        sizes = [command(p, "DBSIZE") for p in ports]
        if sizes[0] == sizes[1] or time.monotonic() > end:
            return sizes
        time.sleep(0.05)


def is_refused_when_full(port):
    """What peers have taken leaves the log, so that there may be room again behind a refusal: a tenth of the limit at most."""
    with Client(port, timeout=60) as c:
        for i in range(LIMIT // 10 // VALUE):
            reply = c.command("SET", f"more:{i}", "v" * VALUE)
            if isinstance(reply, Exception):
                return str(reply).startswith("OOM")
    return False


def one_policy(policy, ports):
    for p in ports:
        command(p, "FLUSHALL")
    cluster.wait_equal(ports)
    for p in ports:
        assert command(p, "CONFIG", "SET", "maxmemory", LIMIT, "maxmemory-policy", policy) == b"OK"
        assert info(p, "memory")["maxmemory_policy"] == policy
    before = [info(p, "stats")["evicted_keys"] for p in ports]
    writers = [Writer(p, f"r{i}") for i, p in enumerate(ports)]
    for w in writers:
        w.start()
    peak = 0
    while any(w.is_alive() for w in writers):
        peak = max([peak] + [info(p, "memory")["used_memory"] for p in ports])
        time.sleep(0.2)
    cluster.wait_equal(ports, 60)
    evicted = [info(p, "stats")["evicted_keys"] - b for p, b in zip(ports, before)]
    used = [info(p, "memory")["used_memory"] for p in ports]
    refused = [w.refused for w in writers]
    print(f"    {policy}: peak {peak / LIMIT:.2f}, then {[round(u / LIMIT, 2) for u in used]} of the limit; evicted {evicted}, "
          f"refused {refused} of {[w.written for w in writers]}", flush=True)
    assert not any(w.other for w in writers), [w.other[:3] for w in writers]
    sizes = same_size(ports)
    assert sizes[0] == sizes[1], sizes
    doctor = command(ports[0], "MEMORY", "DOCTOR").decode()
    assert ("nothing is evicted" if policy == "noeviction" else "have been evicted") in doctor, doctor
    assert command(ports[0], "MEMORY", "PURGE") == b"OK"
    if policy == "noeviction":
        assert sum(evicted) == 0 and min(refused) > 0, (evicted, refused)
        for p in ports:
            assert is_refused_when_full(p)
            assert isinstance(command(p, "DEL", "r0:h:0"), int), "what frees memory is never refused"
    else:
        assert sum(refused) == 0, refused
        assert min(evicted) > 0, evicted
        assert max(used) < LIMIT * 0.96, used
        assert peak < LIMIT * 1.12, peak


def test_memory_limits():
    with Regions(2, workers=2) as (a, b):
        ports = [a.db, b.db]
        geo([a, b], shards_count=2, sharding=True)
        for policy in POLICIES:
            one_policy(policy, ports)


def write_strings(port, region, n):
    """Pipelined SETs. Returns the numbers of the acknowledged ones, and the errors."""
    kept, errors = [], []
    with Client(port, timeout=120) as c:
        for first in range(0, n, DEPTH):
            batch = range(first, min(first + DEPTH, n))
            c.sock.sendall(b"".join(c.encode(("SET", f"{region}:{i}", (f"{region}:{i}:" * 100)[:VALUE])) for i in batch))
            for i in batch:
                reply = c.read()
                if isinstance(reply, Exception):
                    errors.append(str(reply))
                else:
                    kept.append(i)
    return kept, errors


def lost(port, region, numbers):
    """Those that the region does not hold as they were written."""
    out = []
    with Client(port, timeout=120) as c:
        for first in range(0, len(numbers), DEPTH):
            batch = numbers[first:first + DEPTH]
            c.sock.sendall(b"".join(c.encode(("GET", f"{region}:{i}")) for i in batch))
            out += [i for i in batch if c.read() != (f"{region}:{i}:" * 100)[:VALUE].encode()]
    return out


def away_and_full(policy, near, away, guid):
    """One region without a limit writes three times what the other one may hold, which is away and filled by its own clients."""
    ports = [near.db, away.db]
    for p in ports:
        assert command(p, "CONFIG", "SET", "maxmemory", 0) == b"OK"
        command(p, "FLUSHALL")
    cluster.wait_equal(ports)
    assert command(away.db, "CONFIG", "SET", "maxmemory", LIMIT, "maxmemory-policy", policy) == b"OK"
    for one, other in ((near, away), (away, near)):
        hold(one, other, guid, True)
    evicted = info(away.db, "stats")["evicted_keys"]
    wrote = {"near": write_strings(near.db, "near", LIMIT * 3 // VALUE), "away": write_strings(away.db, "away", LIMIT * 3 // 2 // VALUE)}
    assert wrote["near"][1] == [], wrote["near"][1][:3]
    assert all(e.startswith("OOM") for e in wrote["away"][1]), wrote["away"][1][:3]
    assert command(near.db, "GET", "away:0") is None and command(away.db, "GET", "near:0") is None, "they are apart"
    began = time.monotonic()
    for one, other in ((near, away), (away, near)):
        hold(one, other, guid, False)
    cluster.wait_equal(ports, 120)
    seconds = time.monotonic() - began
    evicted = info(away.db, "stats")["evicted_keys"] - evicted
    used = info(away.db, "memory")["used_memory"]
    print(f"    {policy}: away, then as one after {seconds:.1f} s with {used / LIMIT:.2f} of the limit; acknowledged "
          f"{ {k: len(v[0]) for k, v in wrote.items()} }, refused {len(wrote['away'][1])}, evicted {evicted}", flush=True)
    if policy == "noeviction":
        assert wrote["away"][1] and evicted == 0, evicted
        for p in ports:
            for region, (kept, _) in wrote.items():
                assert not lost(p, region, kept), (p, region, lost(p, region, kept)[:5])
        assert used > LIMIT * 2, "what peers wrote is taken although the region is full"
        reply = command(away.db, "SET", "more", "v")
        assert isinstance(reply, Exception) and str(reply).startswith("OOM"), reply
        assert command(near.db, "SET", "more", "v") == b"OK"
        assert command(away.db, "DEL", "near:0") == 1, "what frees memory is never refused"
    else:
        assert not wrote["away"][1] and evicted > 0, (wrote["away"][1][:3], evicted)
        eventually("the region that was away is below its limit", lambda: info(away.db, "memory")["used_memory"] < LIMIT)
    cluster.wait_equal(ports)
    sizes = same_size(ports)
    assert sizes[0] == sizes[1] > 0, sizes


def test_away_and_full():
    with Regions(2, workers=2) as (a, b):
        guid = geo([a, b], shards_count=2, sharding=True)
        for policy in ("noeviction", "allkeys-lru"):
            away_and_full(policy, a, b, guid)
