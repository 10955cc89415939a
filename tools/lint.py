#!/usr/bin/env python3
"""Checks that the layout shows the architecture. Prints one line a finding; exit status 1 if there is any."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Who may include whom (docs/architecture.md). A value with a dot is one header only.
ABOVE_ALL = {"cli", "tests", "tools"}
MAY = {
    "base": set(),
    "crdt": {"base"},
    "rdb": {"base"},
    "migrate": {"base", "rdb"},
    "shard": {"base", "crdt", "rdb"},
    "script": {"base", "crdt", "shard/shard.h", "shard/command.h", "shard/reply.h", "shard/debug_reply.h"},
    "storage": {"base", "crdt", "shard/shard.h", "shard/log.h"},
    "syncer": {"base", "crdt", "shard/shard.h", "shard/log.h"},
    "proxy": {"base", "crdt", "rdb", "shard/shard.h", "shard/command.h", "shard/command_facts.h", "shard/reply.h", "shard/debug_reply.h", "shard/glob.h", "shard/events.h",
              "shard/catalog.h", "script/engine.h", "script/scripts.h"},
    "worker": {"base", "crdt", "shard", "proxy", "storage", "syncer", "manager/control_wire.h"},
    "manager": {"base", "migrate/follow.h", "migrate/gather.h", "migrate/uri.h"},
    "api": {"base", "manager", "migrate/follow.h", "migrate/gather.h", "migrate/uri.h"},
    "io": {"base"},
    "sim": {"base", "crdt", "shard/shard.h", "storage", "syncer/syncer.h", "worker", "manager/control_wire.h"},
}
PURE = ["base", "crdt", "rdb", "migrate", "shard", "script", "storage", "syncer", "proxy", "worker", "manager", "api", "sim"]
# The allocator's door counts what is held; OpenSSL-free exceptions stand here with their reason.
MAY_HAVE_GLOBALS = {"base/mem.o"}
FORBIDDEN = re.compile(
    r"^(time|clock|clock_gettime|gettimeofday|localtime|gmtime|rand|srand|random|drand48|getenv|setlocale|socket|connect|"
    r"bind|listen|accept|send|recv|open|openat|fopen|read|write|close|unlink|rename|pthread_create|uv_.*|usleep|nanosleep|"
    r"getrandom|RAND_bytes|fork|execve?|system|popen)$")
# Texts for the end of the process, and formatting into memory, are no I/O that decides anything.
MAY_CALL = {"base/mem.o": {"fprintf", "abort"}}
LICENCE = "SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors."
FILE_MAX, FUNCTION_MAX = 1000, 70

findings = []


def finding(text):
    findings.append(text)


def sources():
    listed = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / p for p in listed.stdout.split()]


def check_includes(path, rel, text):
    folder = rel.parts[0]
    if folder in ABOVE_ALL:
        return
    for inc in re.findall(r'^#include "([^"]+)"', text, re.M):
        target = inc.split("/")[0]
        if "/" not in inc:
            continue  # generated beside the objects
        if target != folder and target not in MAY.get(folder, set()) and inc not in MAY.get(folder, set()):
            finding(f"{rel}: may not include {inc}: see the folder table in docs/architecture.md")


def check_size(rel, text):
    lines = text.split("\n")
    if len(lines) > FILE_MAX + 1:
        finding(f"{rel}: {len(lines)} lines: split it by noun (at most {FILE_MAX})")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{" and number > 1 and not lines[number - 2].startswith(("struct", "enum", "union", "static const")):
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_MAX:
                finding(f"{rel}:{start}: a function of {number - start - 1} lines (at most {FUNCTION_MAX})")
            start = None


def check_text(rel, text):
    if LICENCE not in text.split("\n", 1)[0]:
        finding(f"{rel}: the first line must be the licence line")
    if re.search(r"\b(TODO|FIXME|XXX)\b", text):
        finding(f"{rel}: TODO without an issue: do it or file it")


def check_objects():
    for folder in PURE:
        for obj in sorted((ROOT / "build/obj" / folder).rglob("*.o")):
            name = str(obj.relative_to(ROOT / "build/obj"))
            if not (ROOT / name).with_suffix(".c").exists():
                continue  # left over from a file that is gone
            out = subprocess.run(["nm", str(obj)], capture_output=True, text=True, check=True).stdout
            for line in out.split("\n"):
                kind, symbol = (line.split() + ["", ""])[-2:]
                if kind in "bBdDC" and kind and name not in MAY_HAVE_GLOBALS:
                    if not re.match(r"^(\.|__|completed)", symbol):
                        finding(f"{name}: writable global {symbol}: everything hangs off a struct that main owns")
                if kind == "U" and FORBIDDEN.match(symbol) and symbol not in MAY_CALL.get(name, set()):
                    finding(f"{name}: calls {symbol}: pure code has no clock, randomness, threads or I/O")


def main():
    for path in sources():
        rel = path.relative_to(ROOT)
        text = path.read_text(encoding="utf-8")
        check_includes(path, rel, text)
        check_size(rel, text)
        check_text(rel, text)
    check_objects()
    for folder in sorted(MAY) + sorted(ABOVE_ALL):
        if not (ROOT / folder / "README.md").exists():
            finding(f"{folder}/README.md is missing")
    for line in findings:
        print(line)
    print(f"lint: {len(findings)} findings")
    return 1 if findings else 0


sys.exit(main())
