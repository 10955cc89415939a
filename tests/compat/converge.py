#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Writes several regions of one database at once with differential.py's random commands, and waits for them to be equal.

    tests/compat/converge.py ADDRESS ADDRESS ... [--seed N] [--rounds N] [--groups a,b] [--patience SECONDS]

Addresses as in differential.py. In each round every region gets commands of its own, some in transactions, while the
others' effects arrive; then all keys must show the same everywhere. Ends with "N passed, N failed" (rounds); stops at the
first that fails.
"""
import argparse
import sys
import time

import differential

NAMES = [f"{t}{i}" for t in differential.TYPES + "0" for i in range(6)]
LOOK = {b"hash": ["HGETALL"], b"set": ["SMEMBERS"], b"zset": ["ZRANGE", "0", "-1", "WITHSCORES"], b"list": ["LRANGE", "0", "-1"],
        b"string": ["GET"]}


def ask(server, commands):
    server.send(commands)
    return [server.read() for _ in commands]


def contents(server):
    """Of each key its type, value and deadline; a HyperLogLog's value is its count."""
    out = {}
    for name, (_, kind) in zip(NAMES, ask(server, [["TYPE", n] for n in NAMES])):
        if kind == b"none":
            continue
        how = LOOK[kind]
        value, deadline = ask(server, [[how[0], name] + how[1:], ["PEXPIRETIME", name]])
        if value[0] == b"-":
            value = ask(server, [["PFCOUNT", name]])[0]
        out[name] = (kind, differential.comparable([how[0], name], value), deadline)
    return out


def write(run, server):
    commands = run.batch()
    if run.rng.random() < 0.3:
        commands = [["MULTI"]] + commands[:5] + [["EXEC"]]
    if run.rng.random() < 0.01:
        commands.append(["FLUSHALL"])
    ask(server, commands)


def equal_within(servers, patience):
    end = time.monotonic() + patience
    while True:
        all_contents = [contents(s) for s in servers]
        if all(c == all_contents[0] for c in all_contents):
            return True
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    for name in NAMES:
        shown = [str(c.get(name))[:300] for c in all_contents]
        if len(set(shown)) > 1:
            print(name + "".join(f"\n  {s.address}: {v}" for s, v in zip(servers, shown)))
    return False


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("regions", nargs="+", help="host:port or path of a unix socket, two or more")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rounds", type=int, default=100)
    p.add_argument("--groups", default=",".join(differential.GROUPS))
    p.add_argument("--patience", type=float, default=10, help="seconds to wait for equality (default 10)")
    o = p.parse_args()
    o.groups = o.groups.split(",")
    o.reference, o.ours, o.history = o.regions[0], o.regions[-1], 1
    run = differential.Run(o)
    servers = [differential.Server(a) for a in o.regions]
    for done in range(o.rounds):
        for _ in range(run.rng.randrange(1, 12)):
            for server in servers:
                write(run, server)
        if not equal_within(servers, o.patience):
            print(f"seed {o.seed}, round {done}: the regions differ")
            print(f"{done} passed, 1 failed")
            return 1
    print(f"{o.rounds} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
