#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Speaks to a data plane as the manager does, so that one can be tried without a manager. Standard library only.

A plane by itself (the token file is any word of 16 to 64 characters):

    echo 0123456789abcdef0123456789abcdef > /tmp/p/token
    build/meridian plane --socket /tmp/p/plane.sock --token-file /tmp/p/token --workers 1 &

A database in it, and one that two regions share (each plane is told of both):

    tests/e2e/plane_ctl.py /tmp/p set --port 16500 --shards 2
    tests/e2e/plane_ctl.py /tmp/p set --port 16501 --guid g1 --region 1 --peer 1:127.0.0.1:16501 --peer 2:127.0.0.1:16502
    tests/e2e/plane_ctl.py /tmp/q set --port 16502 --guid g1 --region 2 --peer 1:127.0.0.1:16501 --peer 2:127.0.0.1:16502

The first argument is the folder with `plane.sock` and `token` (or `plane.token`, a node's data folder). Messages are
described in manager/control_wire.h.
"""
import argparse
import json
import os
import socket
import struct
import sys

HELLO, DB_SET, DB_DROP, DB_FLUSH, LINK, STATS, STOP = range(1, 8)
PROTOCOL = 1


def pack(v):
    """MessagePack, the few types that the channel uses; numbers in their smallest form."""
    if v is None:
        return b"\xc0"
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        if v < 0:
            return struct.pack(">Bq", 0xD3, v)
        for head, fmt, top in ((None, "B", 127), (0xCC, "B", 255), (0xCD, "H", 65535), (0xCE, "I", 2**32 - 1), (0xCF, "Q", 2**64 - 1)):
            if v <= top:
                return (b"" if head is None else bytes([head])) + struct.pack(">" + fmt, v)
        raise ValueError(v)
    if isinstance(v, str):
        v = v.encode()
    if isinstance(v, bytes):
        n = len(v)
        head = struct.pack(">BB", 0xC4, n) if n < 256 else struct.pack(">BH", 0xC5, n) if n < 65536 else struct.pack(">BI", 0xC6, n)
        return head + v
    if isinstance(v, (list, tuple)):
        n = len(v)
        head = bytes([0x90 | n]) if n < 16 else struct.pack(">BH", 0xDC, n)
        return head + b"".join(pack(x) for x in v)
    raise TypeError(type(v))


def unpack(b, at=0):
    """One value and where it ends. A string of bytes that is UTF-8 comes as str."""
    def take(fmt):
        size = struct.calcsize(fmt)
        return struct.unpack_from(">" + fmt, b, at + 1)[0], at + 1 + size

    def text(n, start):
        s = b[start:start + n]
        try:
            return s.decode(), start + n
        except UnicodeDecodeError:
            return s, start + n

    def array(n, start):
        out = []
        for _ in range(n):
            v, start = unpack(b, start)
            out.append(v)
        return out, start

    h = b[at]
    if h < 0x80:
        return h, at + 1
    if h >= 0xE0:
        return h - 256, at + 1
    if 0x90 <= h < 0xA0:
        return array(h & 15, at + 1)
    if 0xA0 <= h < 0xC0:
        return text(h & 31, at + 1)
    if h in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[h], at + 1
    numbers = {0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
    if h in numbers:
        return take(numbers[h])
    if h in (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB):
        n, start = take({0xC4: "B", 0xC5: "H", 0xC6: "I", 0xD9: "B", 0xDA: "H", 0xDB: "I"}[h])
        return text(n, start)
    if h in (0xDC, 0xDD):
        n, start = take("H" if h == 0xDC else "I")
        return array(n, start)
    raise ValueError("MessagePack type 0x%02x" % h)


class Plane:
    def __init__(self, folder):
        self.id = 0
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(os.path.join(folder, "plane.sock"))
        token = next(p for p in ("plane.token", "token") if os.path.exists(os.path.join(folder, p)))
        with open(os.path.join(folder, token)) as f:
            self.welcome = self.ask(HELLO, [PROTOCOL, f.read().split()[0]])

    def receive(self, n):
        out = b""
        while len(out) < n:
            piece = self.sock.recv(n - len(out))
            if not piece:
                sys.exit("the plane closed the connection")
            out += piece
        return out

    def ask(self, kind, body=None):
        self.id += 1
        message = pack([self.id, kind] if body is None else [self.id, kind, body])
        self.sock.sendall(struct.pack(">I", len(message)) + message)
        answer, _ = unpack(self.receive(struct.unpack(">I", self.receive(4))[0]))
        ok, text = answer[2][0], answer[2][1]
        if not ok:
            sys.exit("the plane refused: %s" % text)
        return answer[2][2] if len(answer[2]) > 2 else None


def database(a):
    """struct plane_db, field by field."""
    regions = []
    for p in a.peer:
        number, host, port = p.split(":")
        regions.append([int(number), "region%s" % number, host, int(port)])
    return [a.uid or a.port, a.name or "db%d" % a.port, a.guid, a.secret if a.guid else "", a.host, a.port, a.password,
            a.partitions, a.shards, 0x0706050403020100, 0x0F0E0D0C0B0A0908, 42, a.region, a.incarnation, a.reborn, False, a.version, 0,
            a.link_tls, a.client_tls, a.compression, a.memory, a.backlog, a.clients, 60000, False, regions]


def named(stats):
    """The answer to STATS with the fields' names of struct plane_stats."""
    db = ("uid listening keys commands connections used_memory unsettled conflicts").split()
    shard = ("db_uid shard worker first_partition count keys used_memory commands stale digest_lo digest_hi links").split()
    link = ("region state feeding bytes_in bytes_out ops_in ops_out lag_ops reconnects transfers_in transfers_out relays "
            "lag_ms behind_ms error").split()
    shards = [dict(zip(shard, s)) for s in stats[1]]
    for s in shards:
        s["links"] = [dict(zip(link, x)) for x in s["links"]]
    return {"dbs": [dict(zip(db, d)) for d in stats[0]], "shards": shards}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    sub = p.add_subparsers(dest="what", required=True)
    s = sub.add_parser("set", help="makes or changes a database")
    s.add_argument("--port", type=int, required=True)
    s.add_argument("--uid", type=int, default=0)
    s.add_argument("--name", default="")
    s.add_argument("--host", default="127.0.0.1")
    s.add_argument("--shards", type=int, default=1)
    s.add_argument("--partitions", type=int, default=1024)
    s.add_argument("--password", default="")
    s.add_argument("--guid", default="")
    s.add_argument("--secret", default="a secret for trying out")
    s.add_argument("--region", type=int, default=1)
    s.add_argument("--incarnation", type=int, default=0)
    s.add_argument("--reborn", action="store_true")
    s.add_argument("--link-tls", action="store_true")
    s.add_argument("--client-tls", action="store_true")
    s.add_argument("--version", type=int, default=1)
    s.add_argument("--compression", type=int, default=0)
    s.add_argument("--memory", type=int, default=0)
    s.add_argument("--backlog", type=int, default=64 << 20)
    s.add_argument("--clients", type=int, default=10000)
    s.add_argument("--peer", action="append", default=[], metavar="REGION:HOST:PORT", help="every region, this one included")
    for what in ("drop", "flush"):
        sub.add_parser(what).add_argument("uid", type=int)
    l = sub.add_parser("link", help="pauses or resumes what is pulled from a region")
    l.add_argument("uid", type=int)
    l.add_argument("region", type=int)
    l.add_argument("state", choices=("pause", "resume"))
    sub.add_parser("stats")
    sub.add_parser("stop")
    a = p.parse_args()
    plane = Plane(a.folder)
    if a.what == "set":
        plane.ask(DB_SET, database(a))
    elif a.what == "drop":
        plane.ask(DB_DROP, a.uid)
    elif a.what == "flush":
        plane.ask(DB_FLUSH, a.uid)
    elif a.what == "link":
        plane.ask(LINK, [a.uid, a.region, a.state == "pause"])
    elif a.what == "stats":
        print(json.dumps(named(plane.ask(STATS)), indent=2))
    else:
        plane.ask(STOP)
    print("pid %s, %s workers, databases %s" % tuple(plane.welcome[1:4]), file=sys.stderr)


if __name__ == "__main__":
    main()
