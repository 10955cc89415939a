#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Runs units of Redis' test suite against a node of ours and counts. See redis-tcl.sh, which finds the suite."""
import argparse
import collections
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import cluster  # noqa: E402

UNITS = """type/string type/incr type/list type/list-2 type/list-3 type/hash type/set type/zset type/stream
    type/stream-cgroups expire scan keyspace sort bitops bitfield hyperloglog geo multi pubsub pubsubshard scripting functions
    protocol tracking introspection introspection-2 slowlog dump acl acl-v2 auth info info-command latency-monitor other querybuf
    limits client-eviction lazyfree pause quit networking maxmemory""".split()
# Tests marked so need what an external server of another make cannot have: a replica of Redis' protocol, snapshot files.
TAGS = ["-needs:repl", "-needs:save", "-large-memory"]
UNIT_SECONDS = 600
# Blocks of tests whose server needs a setting that cannot be set here, "overrides NAME VALUE" in the list: as the suite would end
# the whole unit, a line is put into its run_external_server_test.
OVERRIDES = "overrides "
BLOCKS_BEFORE = "proc run_external_server_test {code overrides} {\n"
BLOCKS_SKIP = """    foreach {param val} $overrides {
        if {"$param $val" in [split $::env(LEFT_OUT_OVERRIDES) "\\n"]} {
            send_data_packet $::test_server_fd ignore "a block of tests: $param $val"
            return
        }
    }
"""
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
LINE = re.compile(r"^\[(ok|err|skip|ignore|exception|timeout)\]: (.*)$")


def skip_list():
    """Name and reason of each test that is left out: divided by a tab."""
    out = []
    for number, line in enumerate((ROOT / "tests/compat/redis-tcl-skip.txt").read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip() or line.startswith("# "):
            continue
        name, tab, reason = line.partition("\t")
        if not tab or not reason.strip():
            sys.exit(f"redis-tcl-skip.txt:{number}: a test's name, a tab, the reason")
        out.append((name, reason.strip()))
    return out


def teach_blocks(source):
    """Lets the suite leave out blocks of tests (BLOCKS_SKIP); once for each copy of it."""
    path = source / "tests/support/server.tcl"
    text = path.read_text(encoding="utf-8")
    if BLOCKS_SKIP in text:
        return
    if BLOCKS_BEFORE not in text:
        sys.exit(f"redis-tcl: {path} has no procedure run_external_server_test: is it the suite of Redis 7.0?")
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(text.replace(BLOCKS_BEFORE, BLOCKS_BEFORE + BLOCKS_SKIP), encoding="utf-8")
    new.replace(path)


# The tests of the limit need nothing of their server but settings, which are set here as they are there.
LIMIT_BEFORE = 'start_server {tags {"maxmemory external:skip"}} {\n    test "Without maxmemory small integers are shared"'


def teach_limit(source):
    path = source / "tests/unit/maxmemory.tcl"
    text = path.read_text(encoding="utf-8")
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(text.replace(LIMIT_BEFORE, LIMIT_BEFORE.replace(" external:skip", "")), encoding="utf-8")
    new.replace(path)


def alive(host, port):
    try:
        with socket.create_connection((host, port), timeout=5) as s:
            s.settimeout(5)
            s.sendall(b"PING\r\n")
            return s.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def run_unit(args, unit, host, port, skip):
    """Returns the counts and the failed tests' names; the suite's output goes to a log."""
    log = args.logs / (unit.replace("/", "-") + ".log")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as names:
        names.write("\n".join(name for name, _ in skip if not name.startswith(OVERRIDES)) + "\n")
        names.flush()
        blocks = "\n".join(name.removeprefix(OVERRIDES) for name, _ in skip if name.startswith(OVERRIDES))
        command = ["tclsh", "tests/test_helper.tcl", "--host", host, "--port", str(port), "--singledb", "--durable", "--clients", "1",
                   "--baseport", str(args.base_port), "--portcount", "20", "--timeout", str(UNIT_SECONDS), "--single", "unit/" + unit,
                   "--skipfile", names.name, "--tags", " ".join(TAGS + args.tags)]
        with open(log, "wb") as out:
            process = subprocess.Popen(command, cwd=args.source, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       start_new_session=True, env=os.environ | {"LEFT_OUT_OVERRIDES": blocks})
            try:
                process.wait(UNIT_SECONDS + 60)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    counts, failures = collections.Counter(), []
    ended = False
    for line in log.read_text(encoding="utf-8", errors="replace").split("\n"):
        line = ESCAPES.sub("", line)
        ended |= "All tests passed without errors!" in line or line.startswith("!!! WARNING The following tests failed")
        if line.startswith("!!! WARNING"):
            break
        m = LINE.match(line)
        if m:
            kind = "err" if m[1] in ("exception", "timeout") else m[1]
            counts[kind] += 1
            if kind == "err":
                failures.append(m[2])
    if not ended:
        counts["err"] += 1
        failures.append("the unit did not end: see " + str(log))
    return counts, failures


class Server:
    """The node under test, started anew when a test has stopped it."""

    def __init__(self, port):
        self.port, self.node = port, None

    def start(self):
        self.node = cluster.Node("tcl.test", rest_port=self.port + 1, discovery_port=self.port + 2)
        self.node.bootstrap()
        self.node.create_db("tcl", self.port)

    def stop(self):
        if self.node:
            self.node.stop()
        self.node = None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("units", nargs="*")
    parser.add_argument("--port", type=int, default=17960)
    parser.add_argument("--server", help="an address to test instead of a node of ours")
    parser.add_argument("--base-port", type=int, default=17970, help="20 ports for the suite's own use")
    parser.add_argument("--tags", action="append", default=[])
    parser.add_argument("--skip-nothing", action="store_true", help="also run what redis-tcl-skip.txt leaves out")
    parser.add_argument("--logs", type=pathlib.Path, default=ROOT / "build" / "redis-tcl")
    args = parser.parse_intermixed_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the node, too
    args.logs.mkdir(parents=True, exist_ok=True)
    teach_blocks(args.source)
    teach_limit(args.source)
    skip = [] if args.skip_nothing else skip_list()
    host, port = ("127.0.0.1", args.port)
    if args.server:
        host, _, text = args.server.rpartition(":")
        port = int(text)
    server = None if args.server else Server(args.port)
    total = collections.Counter()
    print(f"{'unit':<20} {'passed':>7} {'failed':>7} {'left out':>9} {'not for an external server':>27} {'seconds':>8}")
    try:
        for unit in [u.removeprefix("unit/") for u in args.units] or UNITS:
            if server:
                server.start()
            began = time.monotonic()
            counts, failures = run_unit(args, unit, host, port, skip)
            if not alive(host, port):
                counts["err"] += 1
                failures.append("the server does not answer any more")
            total += counts
            print(f"{unit:<20} {counts['ok']:>7} {counts['err']:>7} {counts['skip']:>9} {counts['ignore']:>27} "
                  f"{time.monotonic() - began:>8.1f}", flush=True)
            for failure in failures:
                print("    " + failure, flush=True)
            if server:
                server.stop()
    finally:
        if server:
            server.stop()
    share = 100 * total["ok"] / max(1, total["ok"] + total["err"])
    print(f"{share:.1f} % of what applies; {total['skip']} left out by redis-tcl-skip.txt, {total['ignore']} not for an external server")
    print(f"{total['ok']} passed, {total['err']} failed")
    return total["err"] > 0


if __name__ == "__main__":
    sys.exit(main())
