#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Sends the same lines about users and what they may do to redis-server and to a node of ours and compares the replies, in
RESP2 and RESP3.

    tests/compat/acl.py REDIS NODE      each HOST:PORT or the path of a Unix socket

Beside fixed lines it draws users by random rules and asks ACL DRYRUN about random commands. The rules of commands are shown
as they were given, while 7.0 shows the shortest list of categories and commands that comes to the same: that field is left
out, and what it means is what DRYRUN compares.
"""
import random
import re
import shlex
import socket
import sys

# A number in front of a line says on which connection it goes; 0 is the administrator's.
LINES = r"""
ACL SETUSER u
ACL LIST
ACL GETUSER u
ACL SETUSER u +foo
ACL SETUSER u +@foo
ACL SETUSER u -foo
ACL SETUSER u foo
ACL SETUSER u ''
ACL SETUSER u +config|foo
ACL SETUSER u -config|foo
ACL SETUSER u +config|get|x
ACL SETUSER u -config|get|x
ACL SETUSER u +get|
ACL SETUSER u +config|
ACL SETUSER u +get|key|key2
ACL SETUSER u -get|key
ACL SETUSER u +get|key
ACL DRYRUN u get key
ACL DRYRUN u get KEY
ACL DRYRUN u get other
ACL SETUSER u +get
ACL SETUSER u #abc
ACL SETUSER u <nope
ACL SETUSER u !nope
ACL SETUSER u !34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6
ACL SETUSER u %X~foo
ACL SETUSER u %~foo
ACL SETUSER u %RR~foo
ACL SETUSER u %R~foo %WR~bar %rw~baz
ACL GETUSER u
ACL SETUSER u %W~foo
ACL GETUSER u
ACL SETUSER u ~*
ACL SETUSER u ~a
ACL SETUSER u allkeys
ACL SETUSER u %R~*
ACL SETUSER u resetkeys %R~* ~b
ACL GETUSER u
ACL SETUSER u resetkeys %R~* %W~*
ACL GETUSER u
ACL SETUSER u &a
ACL SETUSER u &a &b &a
ACL GETUSER u
ACL SETUSER u allchannels
ACL SETUSER u &a
ACL SETUSER u resetchannels
ACL GETUSER u
ACL SETUSER 'a b'
ACL SETUSER u (
ACL SETUSER u )
ACL SETUSER u ()
ACL SETUSER u ' () '
ACL SETUSER u (+get ~a) ( +set ~b )
ACL GETUSER u
ACL SETUSER u (on)
ACL SETUSER u (>foo)
ACL SETUSER u (nopass)
ACL SETUSER u (reset)
ACL SETUSER u (+foo)
ACL SETUSER u '(+get' '~a'
ACL SETUSER u (+get (+set))
ACL SETUSER u clearselectors
ACL GETUSER u
ACL SETUSER u ON NoPass ALLKEYS AllChannels ALLCOMMANDS
ACL LIST
ACL SETUSER u NOCOMMANDS ResetKeys
ACL LIST
ACL SETUSER u SANITIZE-PAYLOAD
ACL LIST
ACL SETUSER u skip-sanitize-payload
ACL LIST
ACL SETUSER u nopass >foo
ACL LIST
ACL SETUSER u nopass
ACL SETUSER u resetpass
ACL LIST
ACL SETUSER u >a >a >b <a
ACL GETUSER u
ACL SETUSER u reset
ACL LIST
ACL SETUSER u +@all
ACL SETUSER u '+@all '
ACL SETUSER u +
ACL SETUSER u -
ACL SETUSER u +@
ACL SETUSER u reset '~a b'
ACL SETUSER u '&a b'
ACL USERS
ACL DELUSER u
ACL DELUSER u default
ACL DELUSER a b
ACL DELUSER
ACL SETUSER
ACL GETUSER
ACL GETUSER nope
ACL WHOAMI
ACL WHOAMI x
ACL CAT
ACL CAT nope
ACL CAT a b
ACL GENPASS 0
ACL GENPASS -1
ACL GENPASS 4097
ACL GENPASS x
ACL GENPASS 1 2
ACL LOG x
ACL LOG 1 2
ACL LOG RESET
ACL LOG
ACL LOAD x
ACL FOO
ACL
ACL HELP x
ACL DRYRUN
ACL DRYRUN default
ACL DRYRUN default get
ACL DRYRUN default get a
ACL DRYRUN default get a b
ACL DRYRUN nope get a
ACL DRYRUN default nope a
ACL DRYRUN default config
ACL DRYRUN default config get
ACL DRYRUN default config nope
ACL SETUSER bob on >pw ~a* %R~r* +@read +set +publish +multi +exec +discard +client|id &news.*
1 AUTH bob nope
1 AUTH nope nope
1 AUTH a b c
1 AUTH foo
1 HELLO 2 AUTH bob nope
1 HELLO 2 AUTH bob pw
1 ACL WHOAMI
1 SET a1 x
1 SET r1 x
1 SET x x
1 GET a1
1 GET r1
1 GET x
1 MGET a1 r1 x
1 DEL a1
1 PUBLISH news.x hi
1 PUBLISH other hi
1 SUBSCRIBE other
1 CLIENT ID x
1 CLIENT KILL ID 1
1 CONFIG GET maxmemory
1 CONFIG NOPE
1 NOPE
1 MULTI
1 GET x
1 EXEC
1 MULTI
1 SET a1 y
1 GET a1
0 ACL SETUSER bob -set
1 EXEC
1 MULTI
0 ACL SETUSER bob -exec
1 EXEC
1 EXEC
0 ACL SETUSER bob +exec
1 EXEC
1 MULTI
1 SET a1 z
1 EXEC
0 ACL LOG
0 ACL LOG 2
0 ACL SETUSER bob (+set ~b*) resetchannels
1 SET b1 x
1 SET a1 x
1 GET b1
1 PUBLISH news.x hi
0 ACL SETUSER bob off
1 GET a1
2 AUTH bob pw
0 ACL SETUSER bob on nopass
2 AUTH bob anything
0 CLIENT KILL USER nope
0 ACL DELUSER bob
2 AUTH bob pw
0 ACL LOG 1
0 ACL SETUSER default off
3 PING
3 HELLO 3
3 AUTH default x
3 AUTH x
0 ACL SETUSER default on >secret
3 AUTH x
3 AUTH secret
3 PING
0 ACL SETUSER default nopass
0 ACL SETUSER default resetpass
4 PING
0 ACL SETUSER default nopass
4 PING
"""


def connect(address):
    if "/" in address:
        s = socket.socket(socket.AF_UNIX)
        s.connect(address)
    else:
        host, port = address.rsplit(":", 1)
        s = socket.create_connection((host, int(port)))
    s.settimeout(10)
    return s


class Server:
    def __init__(self, address, resp):
        self.address, self.resp, self.conns = address, resp, {}

    def ask(self, number, words):
        if number not in self.conns:
            self.conns[number] = [connect(self.address), b""]
            if self.resp == 3 and number not in (3, 4):
                self.ask(number, ["HELLO", "3"])
        conn = self.conns[number]
        try:
            conn[0].sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words))
            return self.read(conn)
        except (EOFError, ConnectionError):  # to write tells it sooner, at times
            del self.conns[number]
            return "closed"

    def line(self, conn):
        while b"\r\n" not in conn[1]:
            more = conn[0].recv(1 << 16)
            if not more:
                raise EOFError
            conn[1] += more
        line, conn[1] = conn[1].split(b"\r\n", 1)
        return line.decode("latin1")

    def read(self, conn):
        line = self.line(conn)
        kind = line[0]
        if kind in "$=":
            n = int(line[1:])
            if n < 0:
                return line
            while len(conn[1]) < n + 2:
                conn[1] += conn[0].recv(1 << 16)
            text, conn[1] = conn[1][:n].decode("latin1"), conn[1][n + 2:]
            return [kind, text]
        if kind in "*~>%":
            n = int(line[1:])
            return line if n < 0 else [line] + [self.read(conn) for _ in range(n * (2 if kind == "%" else 1))]
        return line


def plain(reply):
    """Without what cannot be the same: how rules of commands are put, ages, clients, numbers, orders."""
    if isinstance(reply, str):
        return reply
    if reply[0] in ("$", "="):
        return [reply[0], re.sub(r"[-+]@all\b[^)]*", "COMMANDS", re.sub(r"sanitize-payload ", "", reply[1]))]
    out = [reply[0]]
    skip = False
    for i, item in enumerate(reply[1:]):
        name = reply[i] if i > 0 else None
        skip = isinstance(name, list) and name[0] == "$" and name[1] in ("age-seconds", "client-info", "commands", "id")
        out.append("..." if skip else plain(item))
    return out


def categories(redis, node):
    """Of each command that both know: the same categories."""
    failed = 0
    names = [c[1] for c in redis.ask(0, ["ACL", "CAT"])[1:]]
    known = {c[1] for name in names for c in node.ask(0, ["ACL", "CAT", name])[1:]}
    for name in names:
        x = {c[1] for c in redis.ask(0, ["ACL", "CAT", name])[1:]} & known
        y = {c[1] for c in node.ask(0, ["ACL", "CAT", name])[1:]}
        redis_all = x | {c for c in y if redis.ask(0, ["COMMAND", "INFO", c.split("|")[0]])[1:] != ["$-1", "*-1", "_"]}
        lacks, has = x - y, {c for c in y - x if c in redis_all and redis_knows(redis, c)}
        if lacks or has:
            failed += 1
            print(f"category {name}: lacks {sorted(lacks)}, has {sorted(has)}")
    return len(names) - failed, failed


def redis_knows(redis, command):
    return isinstance(redis.ask(0, ["COMMAND", "INFO", command])[1], list)


CALLS = """GET a|SET a v|SET a v GET|GETSET a v|GETDEL a|COPY a b|RENAME a b|SMOVE a b m|LMOVE a b LEFT LEFT|RPOPLPUSH a b
SUNIONSTORE a b c|SINTERCARD 2 a b|ZUNIONSTORE a 2 b c|ZRANGESTORE a b 0 -1|SORT a STORE b|SORT a|SORT_RO a|MGET a b c
MSET a 1 b 2|MSETNX a 1 b 2|DEL a b|UNLINK a b|EXISTS a b|TOUCH a|TYPE a|TTL a|EXPIRE a 1|PERSIST a|OBJECT ENCODING a
LPUSH a v|LPOP a|LLEN a|LRANGE a 0 -1|LINSERT a BEFORE v w|LSET a 0 v|LREM a 0 v|LTRIM a 0 1|BLPOP a b 0|LMPOP 2 a b LEFT
HSET a f v|HGET a f|HGETALL a|HDEL a f|HINCRBY a f 1|HEXISTS a f|HLEN a|HSTRLEN a f|HRANDFIELD a|HSCAN a 0|HSETNX a f v
SADD a m|SREM a m|SMEMBERS a|SISMEMBER a m|SPOP a|SRANDMEMBER a|SCARD a|SDIFF a b|ZADD a 1 m|ZINCRBY a 1 m|ZREM a m
ZRANGE a 0 -1|ZSCORE a m|ZCARD a|ZPOPMIN a|ZMPOP 1 a MIN|ZDIFF 2 a b|BZPOPMIN a 0|ZREMRANGEBYRANK a 0 1|ZCOUNT a 0 1
PFADD a m|PFCOUNT a b|PFMERGE a b|SETBIT a 0 1|GETBIT a 0|BITCOUNT a|BITOP AND a b c|BITFIELD a GET u8 0
BITFIELD a SET u8 0 1|BITFIELD_RO a GET u8 0|GEOADD a 1 1 m|GEOPOS a m|GEOSEARCHSTORE a b FROMMEMBER m BYRADIUS 1 m
GEORADIUS a 1 1 1 m STORE b|XADD a * f v|XREAD STREAMS a 0|XREADGROUP GROUP g c STREAMS a >|XLEN a|XDEL a 1-1|XACK a g 1-1
XGROUP CREATE a g 0|XINFO STREAM a|XTRIM a MAXLEN 1|APPEND a v|STRLEN a|INCR a|INCRBYFLOAT a 1|GETRANGE a 0 1|SETRANGE a 0 v
DUMP a|RESTORE a 0 v|EVAL x 1 a|EVAL x 0|EVAL_RO x 2 a b|EVALSHA x 1 b|FCALL f 1 a|SCRIPT LOAD x|FUNCTION LIST|PUBLISH a m
SPUBLISH b m|SUBSCRIBE a b|PSUBSCRIBE a b*|SSUBSCRIBE c|UNSUBSCRIBE a|PUBSUB CHANNELS|CONFIG GET x|CONFIG SET x y|CONFIG RESETSTAT
CLIENT LIST|CLIENT ID|CLIENT KILL x|ACL LIST|ACL WHOAMI|ACL SETUSER x|FLUSHALL|FLUSHDB|KEYS *|SCAN 0|DBSIZE|RANDOMKEY|INFO
COMMAND|COMMAND COUNT|MULTI|EXEC|WATCH a b|DISCARD|PING|ECHO x|SELECT 0|SELECT 1|AUTH x|HELLO|QUIT|RESET|TIME|ROLE
MEMORY USAGE a|SLOWLOG GET|LATENCY RESET|LCS a b|EXPIRETIME a|MOVE a 1|SWAPDB 0 0|WAIT 0 0|MONITOR"""


def draw_rules(r, cats):
    rules = []
    for _ in range(r.randrange(1, 9)):
        kind = r.randrange(12)
        sign = r.choice("+-")
        if kind < 4:
            rules.append(sign + "@" + r.choice(cats))
        elif kind < 7:
            rules.append(sign + r.choice(["get", "set", "config", "config|get", "client|id", "acl|list", "sort", "eval", "xgroup", "client"]))
        elif kind == 7:
            rules.append(r.choice(["+select|0", "+@all", "-@all", "allcommands", "resetkeys", "resetchannels", "nocommands"]))
        elif kind < 10:
            rules.append(r.choice(["~a", "~b*", "%R~a", "%W~a", "%R~b", "%W~b*", "%RW~c", "~*", "resetkeys", "~[ab]"]))
        elif kind == 10:
            rules.append(r.choice(["&a", "&b*", "resetchannels", "allchannels", "&c"]))
        else:
            rules.append("(" + " ".join(x for x in draw_rules(r, cats) if x[0] != "(") + ")")
    return rules


def main():
    passed = failed = 0
    for resp in (2, 3):
        redis, node = (Server(a, resp) for a in sys.argv[1:3])
        for line in LINES.strip().split("\n"):
            number, _, rest = line.partition(" ") if line[0].isdigit() else ("0", "", line)
            words = shlex.split(rest)
            x, y = (plain(s.ask(int(number), words)) for s in (redis, node))
            if x == y:
                passed += 1
            else:
                failed += 1
                print(f"{line}\n  redis {x}\n  node  {y}")
    p, f = categories(redis, node)
    passed, failed = passed + p, failed + f
    r = random.Random(1)
    cats = [c[1] for c in redis.ask(0, ["ACL", "CAT"])[1:]]
    calls = [shlex.split(c) for c in CALLS.replace("\n", "|").split("|")]
    for _ in range(150):
        rules = draw_rules(r, cats)
        for s in (redis, node):
            s.ask(0, ["ACL", "DELUSER", "drawn"])
        x, y = (s.ask(0, ["ACL", "SETUSER", "drawn"] + rules) for s in (redis, node))
        for call in [None] + r.sample(calls, 25):
            if call is not None:
                x, y = (s.ask(0, ["ACL", "DRYRUN", "drawn"] + call) for s in (redis, node))
            if x == y:
                passed += 1
            else:
                failed += 1
                print(f"{' '.join(rules)}: {call}\n  redis {x}\n  node  {y}")
    for s in (redis, node):
        s.ask(0, ["ACL", "DELUSER", "drawn"])
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
