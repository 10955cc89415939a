#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Sends the same random commands to redis-server and to Meridian and compares the replies.

    tests/compat/differential.py REFERENCE OURS [--seed N] [--count N] [--groups a,b] [--resp 2|3] [--show N]

REFERENCE and OURS are host:port or the path of a unix socket. Both databases are flushed. Nothing is started here.
Commands are random in their arguments too: right and wrong types, counts, options, numbers at the edges, arguments
missing or too many. Replies must be equal to the byte, with these exceptions:

  - where Redis promises no order (SMEMBERS, HGETALL, KEYS, SINTER, SCAN ...) elements are compared sorted;
  - where it chooses at random (SPOP, SRANDMEMBER, RANDOMKEY ...) only the shape is compared;
  - of members that are equally far, GEOSEARCH with COUNT may choose others;
  - remaining times may differ by two seconds; DBSIZE by keys whose time has just come;
  - of streams, times and the number of Redis' own nodes are not compared;
  - scores and sums of floats are compared by value, to 12 digits: Redis adds up in doubles or prints all digits of a long
    double, Meridian adds up increments in long doubles and shows the shortest text (docs/decisions.md, 9);
  - encodings are compared of streams only: Redis' go by a key's history, Meridian's by its content (22); of HyperLogLogs
    whether the text is sparse or dense does so too;
  - SORT refuses numbers in redis-server 7.0 after an overflow elsewhere (it looks at an old errno): not counted.

After a difference the keys of that command are deleted on both sides, so that one cause is not counted many times.
HyperLogLogs are strings to Redis and a type of their own to Meridian: of the string commands they get those that show
them whole (but for the cached cardinality, which Meridian does not keep) and those that replace them.
Ends with "N passed, N failed"; exit status 1 if any failed.
"""
import argparse
import collections
import random
import re
import socket
import sys

# ------------------------------------------------------------------ commands
#
# One line a command. %k:h is a key (usually one that holds a hash), %f a field, %m a member or element, %v a value,
# %i an index or count, %n a positive count, %s a score, %w as many weights as keys were given, %w:t a key by which
# others are sorted, %q:x~y the text x->y, %t seconds, %T Unix
# seconds, %p a pattern; #k:z is "numkeys key [key ...]". [..] may be left out, <a|b> is one of them, (..)+ repeats.
GROUPS = {
    "hash": """
        HSET %k:h (%f %v)+
        HSET %k:h (%f %N)+
        HMSET %k:h (%f %v)+
        HSETNX %k:h %f %v
        HGET %k:h %f
        HMGET %k:h (%f)+
        HGETALL %k:h
        HKEYS %k:h
        HVALS %k:h
        HLEN %k:h
        HSTRLEN %k:h %f
        HEXISTS %k:h %f
        HDEL %k:h (%f)+
        HINCRBY %k:h %f %i
        HINCRBYFLOAT %k:h %f %x
        HRANDFIELD %k:h [%i [WITHVALUES]]
        HSCAN %k:h %c [MATCH %p] [COUNT %n]
    """,
    "set": """
        SADD %k:s (%m)+
        SADD %k:s (%N)+
        SREM %k:s (%m)+
        SMEMBERS %k:s
        SISMEMBER %k:s %m
        SMISMEMBER %k:s (%m)+
        SCARD %k:s
        SPOP %k:s [%i]
        SRANDMEMBER %k:s [%i]
        SMOVE %k:s %k:s %m
        SINTER (%k:s)+
        SINTERCARD #k:s [LIMIT %i]
        SINTERSTORE %k:s (%k:s)+
        SUNION (%k:s)+
        SUNIONSTORE %k:s (%k:s)+
        SDIFF (%k:s)+
        SDIFFSTORE %k:s (%k:s)+
        SSCAN %k:s %c [MATCH %p] [COUNT %n]
    """,
    "zset": """
        ZADD %k:z (%s %m)+
        ZADD %k:z 0 %m 0 %m 0 %m
        ZADD %k:z -0 %m
        ZADD %k:z [<NX|XX>] [<GT|LT>] [CH] (%s %m)+
        ZADD %k:z [<NX|XX>] [<GT|LT>] [CH] INCR %s %m
        ZREM %k:z (%m)+
        ZINCRBY %k:z %s %m
        ZSCORE %k:z %m
        ZMSCORE %k:z (%m)+
        ZCARD %k:z
        ZCOUNT %k:z %b %b
        ZLEXCOUNT %k:0 %l %l
        ZRANK %k:z %m
        ZREVRANK %k:z %m
        ZRANGE %k:z %i %i [REV] [WITHSCORES]
        ZRANGE %k:z %b %b BYSCORE [REV] [LIMIT %i %i] [WITHSCORES]
        ZRANGE %k:0 %l %l BYLEX [REV] [LIMIT %i %i]
        ZRANGE %k:z %i %i [BYSCORE] [BYLEX] [REV] [LIMIT %i %i] [WITHSCORES]
        ZRANGEBYSCORE %k:z %b %b [WITHSCORES] [LIMIT %i %i]
        ZREVRANGEBYSCORE %k:z %b %b [WITHSCORES] [LIMIT %i %i]
        ZRANGEBYLEX %k:0 %l %l [LIMIT %i %i]
        ZREVRANGEBYLEX %k:0 %l %l [LIMIT %i %i]
        ZREVRANGE %k:z %i %i [WITHSCORES]
        ZRANGESTORE %k:z %k:z %i %i [REV]
        ZRANGESTORE %k:z %k:z %b %b BYSCORE [REV] [LIMIT %i %i]
        ZRANGESTORE %k:0 %k:0 %l %l BYLEX [REV] [LIMIT %i %i]
        ZREMRANGEBYRANK %k:z %i %i
        ZREMRANGEBYSCORE %k:z %b %b
        ZREMRANGEBYLEX %k:0 %l %l
        ZADD %k:0 (0 %m)+
        ZPOPMIN %k:z [%i]
        ZPOPMAX %k:z [%i]
        ZMPOP #k:z <MIN|MAX> [COUNT %i]
        ZUNION #k:z [WEIGHTS %w] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]
        ZINTER #k:z [WEIGHTS %w] [AGGREGATE <SUM|MIN|MAX>] [WITHSCORES]
        ZDIFF #k:z [WITHSCORES]
        ZUNIONSTORE %k:z #k:z [WEIGHTS %w] [AGGREGATE <SUM|MIN|MAX>]
        ZINTERSTORE %k:z #k:z [WEIGHTS %w] [AGGREGATE <SUM|MIN|MAX>]
        ZDIFFSTORE %k:z #k:z
        ZINTERCARD #k:z [LIMIT %i]
        ZUNION 2 %k:z %k:s [WITHSCORES]
        ZINTERSTORE %k:z 2 %k:s %k:z
        ZRANDMEMBER %k:z [%i [WITHSCORES]]
        ZSCAN %k:z %c [MATCH %p] [COUNT %n]
    """,
    "list": """
        LPUSH %k:l (%m)+
        RPUSH %k:l (%m)+
        LPUSHX %k:l (%m)+
        RPUSHX %k:l (%m)+
        LPOP %k:l [%i]
        RPOP %k:l [%i]
        LLEN %k:l
        LRANGE %k:l %i %i
        LRANGE %k:l 0 -1
        LINDEX %k:l %i
        LSET %k:l %i %m
        LINSERT %k:l <BEFORE|AFTER> %m %m
        LREM %k:l %i %m
        LTRIM %k:l %i %i
        LTRIM %k:l 0 %n
        LPOS %k:l %m [RANK %i] [COUNT %i] [MAXLEN %i]
        LMOVE %k:l %k:l <LEFT|RIGHT> <LEFT|RIGHT>
        RPOPLPUSH %k:l %k:l
        LMPOP #k:l <LEFT|RIGHT> [COUNT %i]
    """,
    "geo": """
        GEOADD %k:g %o %a %m
        GEOADD %k:g (%o %a %m)+
        GEOADD %k:g [<NX|XX>] [CH] (%o %a %m)+
        GEOADD %k:g 200 %a %m
        GEOPOS %k:g (%m)+
        GEOHASH %k:g (%m)+
        GEODIST %k:g %m %m [%u]
        ZADD %k:g %s %m
        ZREM %k:g %m
        ZRANGE %k:g 0 -1 WITHSCORES
        GEOSEARCH %k:g <FROMMEMBER %m|FROMLONLAT %o %a> <BYRADIUS %d %u|BYBOX %d %d %u> [<ASC|DESC>] [WITHCOORD] [WITHDIST] [WITHHASH]
        GEOSEARCH %k:g <FROMMEMBER %m|FROMLONLAT %o %a> <BYRADIUS %d %u|BYBOX %d %d %u> [<ASC|DESC>] [COUNT %n [ANY]] WITHDIST
        GEOSEARCHSTORE %k:g %k:g <FROMMEMBER %m|FROMLONLAT %o %a> <BYRADIUS %d %u|BYBOX %d %d %u> [COUNT %n ANY] [STOREDIST] [<ASC|DESC>]
        GEORADIUS %k:g %o %a %d %u WITHDIST [WITHCOORD] [WITHHASH] [COUNT %n [ANY]] [<ASC|DESC>]
        GEORADIUS_RO %k:g %o %a %d %u [WITHDIST] [<ASC|DESC>] [STORE %k:g]
        GEORADIUSBYMEMBER %k:g %m %d %u WITHDIST [COUNT %n [ANY]] [<ASC|DESC>]
        GEORADIUSBYMEMBER_RO %k:g %m %d %u [WITHCOORD] [<ASC|DESC>]
        GEORADIUSBYMEMBER %k:g %m %d %u [<ASC|DESC>] [<STORE %k:g|STOREDIST %k:g>] [WITHHASH]
    """,
    "sort": """
        RPUSH %k:l (%N)+
        SADD %k:s (%N)+
        ZADD %k:z (%N %N)+
        SET %w:t %N
        SET %w:t %v
        HSET %w:h fld %N fld2 %v
        SORT %k:l [ALPHA] [<ASC|DESC>] [LIMIT %i %i]
        SORT %k:s [ALPHA] [<ASC|DESC>] [LIMIT %i %i]
        SORT %k:z [ALPHA] [<ASC|DESC>] [LIMIT %i %i]
        SORT_RO %k:l BY wt* [GET #] [GET wt*] [GET %q:wh*~fld2] [<ASC|DESC>] [LIMIT %i %i]
        SORT_RO %k:l BY wt* ALPHA [GET #] [GET %q:wh*~fld2] [<ASC|DESC>]
        SORT_RO %k:s BY %q:wh*~fld [GET #] [GET %q:wh*~fld2] [GET %q:w*~] [<ASC|DESC>]
        SORT %k:l BY nosort [<ASC|DESC>] [LIMIT %i %i] [GET wt*]
        SORT %k:z BY nosort [<ASC|DESC>] [LIMIT %i %i] [GET %m]
        SORT %k:l [BY wt*] [GET #] [GET %q:wh*~fld2] STORE %k:l
        SORT %k:s [BY nosort] [ALPHA] STORE %k:l
        SORT %k:h ALPHA
        LRANGE %k:l 0 -1
    """,
    "hyperloglog": """
        PFADD %k:p (%m)+
        PFADD %k:p
        PFCOUNT (%k:p)+
        PFMERGE %k:p (%k:p)+
        PFMERGE %k:p
        PFCOUNT %k:p %k:h
        PFCOUNT %k:t
        PFMERGE %k:p %k:p %k:s
    """,
    "string": """
        SET %k:t %v [<NX|XX>] [GET] [<EX %t|PX %t000|EXAT %T|PXAT %T000|KEEPTTL>]
        SET %k:t %N
        GET %k:t
        GETSET %k:t %v
        SETNX %k:t %v
        SETEX %k:t %t %v
        PSETEX %k:t %t000 %v
        GETEX %k:t [<EX %t|PX %t000|EXAT %T|PXAT %T000|PERSIST>]
        GETDEL %k:t
        MSET (%k:t %v)+
        MSETNX (%k:t %v)+
        MGET (%k:t)+
        INCR %k:t
        DECR %k:t
        INCRBY %k:t %i
        DECRBY %k:t %i
        INCRBYFLOAT %k:t %x
        APPEND %k:t %v
        STRLEN %k:t
        GETRANGE %k:t %i %i
        SETRANGE %k:t %i %v
        SUBSTR %k:t %i %i
    """,
    "bits": """
        SETBIT %k:t %q <0|1>
        SETBIT %k:t %q %i
        GETBIT %k:t %q
        BITCOUNT %k:t [%i %i [<BYTE|BIT|bit>]]
        BITCOUNT %k:t %i
        BITPOS %k:t <0|1> [%i [%i [<BYTE|BIT>]]]
        BITOP <AND|OR|XOR|NOT|and> %k:t (%k:t)+
        BITOP NOT %k:t %k:t
        BITFIELD %k:t (<GET %e %O|SET %e %O %B|INCRBY %e %O %B|OVERFLOW %g>)+
        BITFIELD %k:t
        BITFIELD_RO %k:t (GET %e %O)+
        BITFIELD_RO %k:t (<GET %e %O|SET %e %O %B|OVERFLOW SAT>)+
        SET %k:t %B
        SET %k:t %v
        APPEND %k:t %v
        SETRANGE %k:t %n %v
        GET %k:t
        STRLEN %k:t
    """,
    "hlltext": """
        PFADD %k:p (%m)+
        PFADD %k:p (%i)+
        PFADD %k:p
        PFCOUNT (%k:p)+
        PFMERGE %k:p (%k:p)+
        GET %k:p
        STRLEN %k:p
        MGET %k:p %k:t
        TYPE %k:p
        GETSET %k:p %v
        SET %k:p %v GET
        INCR %k:p
        SETRANGE %k:p 0 0123
        SETRANGE %k:p 4 x
        PFDEBUG <ENCODING|DECODE|TODENSE|X> %k:p
        DEL %k:p
    """,
    "generic": """
        DEL (%k:?)+
        UNLINK (%k:?)+
        EXISTS (%k:?)+
        TOUCH (%k:?)+
        TYPE %k:?
        RENAME %k:h %k:h
        RENAME %k:s %k:s
        RENAME %k:z %k:z
        RENAME %k:l %k:l
        RENAME %k:t %k:t
        RENAMENX %k:s %k:s
        RENAMENX %k:l %k:l
        RENAMENX %k:t %k:t
        COPY %k:h %k:h [REPLACE]
        COPY %k:s %k:s [REPLACE]
        COPY %k:z %k:z [REPLACE]
        COPY %k:l %k:l [REPLACE]
        COPY %k:t %k:t [REPLACE]
        COPY %k:p %k:p [REPLACE]
        COPY %k:t %k:t [DB 0] [REPLACE]
        RESTORE %k:t %i garbage [REPLACE] [ABSTTL] [IDLETIME %i] [FREQ %i]
        DUMP none
        OBJECT REFCOUNT none
        KEYS %p
        RANDOMKEY
        DBSIZE
        SCAN 0 [MATCH %p] [COUNT 1000] [TYPE <string|hash|set|zset|list|none>]
    """,
    "stream": """
        XADD %k:x %I (%f %v)+
        XADD %k:x %I %f %v
        XADD %k:x %I %f %v %m %v
        XADD %k:x [NOMKSTREAM] %I (%f %v)+
        XADD %k:x [NOMKSTREAM] MAXLEN [=] %i %I %f %v
        XADD %k:x MINID [=] %I %I %f %v
        XADD %k:x <MAXLEN|MINID> %i LIMIT %i %I %f %v
        XLEN %k:x
        XRANGE %k:x %J %J [COUNT %i]
        XREVRANGE %k:x %J %J [COUNT %i]
        XDEL %k:x (%I)+
        XTRIM %k:x MAXLEN [=] %i [LIMIT %i]
        XTRIM %k:x MINID [=] %I [LIMIT %i]
        XSETID %k:x %I [ENTRIESADDED %E] [MAXDELETEDID %I]
        XREAD [COUNT %i] STREAMS %k:x %I
        XREAD [COUNT %i] STREAMS %k:x %k:x %I %I
        XREAD STREAMS %k:x $
        XREADGROUP GROUP %G %K [COUNT %i] [NOACK] STREAMS %k:x %Z
        XREADGROUP GROUP %G %K [COUNT %i] STREAMS %k:x %Z
        XREADGROUP GROUP %G %K COUNT 1 STREAMS %k:x %Z
        XREADGROUP GROUP %G %K STREAMS %k:x %k:x %Z %Z
        XACK %k:x %G (%I)+
        XPENDING %k:x %G
        XPENDING %k:x %G [IDLE <0|100000000>] %J %J %i [%K]
        XCLAIM %k:x %G %K <0|100000000> (%I)+ [FORCE] [JUSTID] [RETRYCOUNT %i] [LASTID %I]
        XAUTOCLAIM %k:x %G %K <0|100000000> %J [COUNT %i] [JUSTID]
        XGROUP CREATE %k:x %G %Y [MKSTREAM] [ENTRIESREAD %E]
        XGROUP CREATE %k:x %G 0
        XGROUP SETID %k:x %G %Y [ENTRIESREAD %E]
        XGROUP DESTROY %k:x %G
        XGROUP CREATECONSUMER %k:x %G %K
        XGROUP DELCONSUMER %k:x %G %K
        XINFO STREAM %k:x [FULL [COUNT %i]]
        XINFO GROUPS %k:x
        XINFO CONSUMERS %k:x %G
        DEL %k:x
        TYPE %k:x
        OBJECT ENCODING %k:x
        COPY %k:x %k:x REPLACE
        RENAME %k:x %k:x
    """,
    "blocking": """
        BLPOP (%k:l)+ %W
        BRPOP (%k:l)+ %W
        BLMOVE %k:l %k:l <LEFT|RIGHT> <LEFT|RIGHT> %W
        BRPOPLPUSH %k:l %k:l %W
        BLMPOP %W #k:l <LEFT|RIGHT> [COUNT %i]
        BZPOPMIN (%k:z)+ %W
        BZPOPMAX (%k:z)+ %W
        BZMPOP %W #k:z <MIN|MAX> [COUNT %i]
        RPUSH %k:l (%m)+
        ZADD %k:z (%s %m)+
        RENAME %k:l %k:l
    """,
    "session": """
        PING [%v]
        ECHO %v
        SELECT <0|x|-1|>
        PUBLISH %v %v
        SPUBLISH %v %v
        PUBSUB <CHANNELS|NUMPAT|NUMSUB|SHARDCHANNELS|SHARDNUMSUB|x> [%p]
        COMMAND GETKEYS SET %k:t %v
        COMMAND GETKEYS <MSET|ZUNION|EVAL|SORT|XREAD|GET|PING|BLMPOP> (%k:t)+
        COMMAND GETKEYSANDFLAGS <SMOVE|COPY|LMOVE|GETEX|SET> (%k:t)+
        COMMAND INFO <get|mget|zadd|nosuch>
        CLIENT <GETNAME|NO-EVICT|GETREDIR|TRACKINGINFO|CACHING|x> [<ON|OFF|x>]
        CLIENT SETNAME <a|b|%v>
        CLIENT GETNAME
        CONFIG GET <hash-max-listpack-entries|zset-max-listpack-value|proto-max-bulk-len|list-max-listpack-size|nosuch*>
        CONFIG <x|SET> [%v]
        WAIT 0 0
        WAIT x %i
        EVAL %L 1 %k:t %v
        EVAL %L 1 %k:t %i
        EVAL_RO %L 1 %k:t %v
        EVAL %L %i %k:t
        EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
        SCRIPT EXISTS (ffffffffffffffffffffffffffffffffffffffff)+
        FCALL nosuch 0
        FCALL nosuch %i %k:t
        FUNCTION <LIST|DELETE|x> [<x|LIBRARYNAME|WITHCODE>]
        OBJECT x
        DISCARD
        UNWATCH
        SLOWLOG x
        ACL <WHOAMI|x|DRYRUN default get %k:t>
        ACL CAT nosuch
        MEMORY x
        HELLO <2 x|4|3 AUTH>
        XGROUP x
        SUBSTR %k:t %i %i
        NOSUCHCOMMAND %v
    """,
    "expire": """
        EXPIRE %k:? %t [<NX|XX|GT|LT>]
        PEXPIRE %k:? %t000 [<NX|XX|GT|LT>]
        EXPIREAT %k:? %T [<NX|XX|GT|LT>]
        PEXPIREAT %k:? %T000 [<NX|XX|GT|LT>]
        EXPIRE %k:? %i [<NX|XX|GT|LT>] [<NX|XX|GT|LT>]
        TTL %k:?
        PTTL %k:?
        EXPIRETIME %k:?
        PEXPIRETIME %k:?
        PERSIST %k:?
    """,
}

# Sent more often than the others, so that there is something to look at.
FILL = ("XADD", "XGROUP", "XREADGROUP", "HSET", "SADD", "ZADD", "GEOADD", "RPUSH", "LPUSH", "PFADD", "SET")

UNORDERED = {"SMEMBERS", "SINTER", "SUNION", "SDIFF", "HKEYS", "HVALS", "KEYS"}
PAIRED = {"HGETALL"}
RANDOM = {"SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER", "RANDOMKEY"}
STALE_ERRNO = b"One or more scores can't be converted into double"
MORE = {"SELECT"}  # Meridian's error says what to do instead
SCANS = {"SCAN", "HSCAN", "SSCAN", "ZSCAN"}
NEAR = {"DBSIZE": 4, "TTL": 2, "PTTL": 2000, "EXPIRETIME": 2, "PEXPIRETIME": 2000}
TYPES = "hszltpgx"  # hash, set, sorted set, list, text, HyperLogLog, positions, stream; 0 is a sorted set whose scores are all zero
NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")
LUA = ("return 1", "return ARGV[1]", "return redis.call('get',KEYS[1])", "return redis.pcall('incrby',KEYS[1],ARGV[1])",
       "return {KEYS[1],ARGV[1],1.5,false,true}", "return redis.call('set',KEYS[1],ARGV[1])", "return redis.call('type',KEYS[1])",
       "return redis.call('append',KEYS[1],ARGV[1]) + 1", "return #ARGV[1]", "return redis.error_reply('MY no')", "return nosuch",
       "return redis.call('nosuch')", "syntax error", "return redis.sha1hex(ARGV[1])", "return tostring(tonumber(ARGV[1]))")
TIMEOUTS = ("0.001", "0.002", "-1", "x", "1e-3", "nan", "")  # nothing that waits for long
NOW = 4102444800  # Unix seconds of 2100: far enough that nothing expires while we look


class Grammar:
    """Expands one line of GROUPS into arguments."""

    def __init__(self, rng):
        self.rng, self.keys = rng, 0

    def name(self, kind):
        r = self.rng
        if kind == "?":
            kind = r.choice(TYPES)
        elif kind in "hszlgx" and r.random() < 0.06:
            kind = r.choice("hszlt")  # probably of the wrong type
        elif kind == "t" and r.random() < 0.06:
            kind = r.choice("hszl")
        return f"{kind}{r.randrange(3 if r.random() < 0.95 else 6)}"

    def member(self, spread=40):
        r = self.rng
        x = r.random()
        if x < 0.6:
            return r.choice("abcdefgh")
        if x < 0.9:
            return f"m{r.randrange(spread)}"
        return r.choice(["", "0", "1", "-1", "1.5", "\x00\xff", "a b", "long " * 30, "\r\n", "é"])

    def integer(self):
        r = self.rng
        x = r.random()
        if x < 0.75:
            return str(r.randrange(-4, 8))
        if x < 0.9:
            return str(r.randrange(-600, 600))
        return r.choice(["9223372036854775807", "-9223372036854775808", "-9223372036854775807", "9223372036854775808",
                         "4611686018427387904", "1.5", "x", "", " 1", "+1", "01", "-0", "1e3", "2147483648"])

    def count(self):
        """A count that no server has to be afraid of."""
        r = self.rng
        return str(r.randrange(-6, 12)) if r.random() < 0.9 else r.choice(["x", "1.5", "9223372036854775808", "600"])

    def score(self):
        r = self.rng
        x = r.random()
        if x < 0.6:
            return str(r.randrange(-5, 6))
        if x < 0.85:
            return str(r.randrange(-40, 40) / 8)
        return r.choice(["inf", "-inf", "+inf", "nan", "1e3", "1e300", "-1e-7", "3e17", "0x10", "", "x", " 1", "1 ",
                         "123456789012345678", "infinity", "1e400", "0.1"])

    def timeout(self):
        return self.rng.choice(TIMEOUTS)

    def bound(self):
        r = self.rng
        x = r.random()
        if x < 0.3:
            return r.choice(["-inf", "+inf"])
        return ("(" if r.random() < 0.25 else "") + self.score()

    def lex(self):
        r = self.rng
        x = r.random()
        if x < 0.3:
            return r.choice("-+")
        if x < 0.05:
            return r.choice(["", "a", "(", "[", "-x", "++"])
        return r.choice("[(") + self.member()

    def value(self):
        r = self.rng
        x = r.random()
        if x < 0.4:
            return self.member()
        if x < 0.7:
            return str(r.randrange(-100, 100))
        if x < 0.8:
            return str(r.randrange(-40, 40) / 4)
        return r.choice(["9223372036854775807", "-9223372036854775808", "9223372036854775806", "12345678901234567890", "1e3",
                         "inf", "nan", "0.1", " 1", "1 ", "007", "-0", "0.0", "x" * 200, "y" * 5000])

    def number(self):
        return str(self.rng.randrange(-20, 20))

    def real(self):
        r = self.rng
        return r.choice(["1", "-1", "0.5", "-0.25", "2.125", "1e2", "3.0", "100", "-0", "x", "inf", "nan", "", " 1"])

    def seconds(self):
        r = self.rng
        return str(r.randrange(100, 100000)) if r.random() < 0.9 else r.choice(["0", "-1", "x", "", "9223372036854775807", "1.5"])

    def moment(self):
        r = self.rng
        return str(NOW + r.randrange(100000)) if r.random() < 0.9 else r.choice(["0", "1", "-1", "x", "9223372036854775807"])

    def pattern(self):
        r = self.rng
        return r.choice(["*", "?", "a*", "m?", "[a-c]", "[^a]*", "[hs]0", "m[0-9]", "*1", "\\*", "", "[", "[a", "a[", "[z-x]*",
                         "?*?", "é", "h*[02]", "[^]", "\\", "*\xff"])

    def stream_id(self):
        r = self.rng
        x = r.random()
        if x < 0.5:
            return f"{r.randrange(1, 60)}-{r.randrange(3)}"
        if x < 0.7:
            return str(r.randrange(60))
        if x < 0.9:
            return f"{r.randrange(1, 60)}-*" if x < 0.75 else f"{r.randrange(60, 400)}-1"
        return r.choice(["0", "0-0", "0-1", "0-*", "-", "+", "", "x", "1-", "-1", "1-1-1", "1-x", "*-1", "+5", "05-01", "1--1",
                         "18446744073709551615-18446744073709551615", "18446744073709551615", "18446744073709551616"])

    def stream_bound(self):
        r = self.rng
        x = r.random()
        return r.choice("-+") if x < 0.4 else ("(" if x < 0.6 else "") + self.stream_id()

    def angle(self, most):
        r = self.rng
        x = r.random()
        if x < 0.4:  # a neighbourhood
            return f"{most / 12 + r.random():.6f}"
        if x < 0.9:
            return f"{r.uniform(-most, most):.4f}"
        return r.choice(["0", "-0", "180", "-180", "85.05112878", "-85.05112878", "86", "200", "x", "", "inf", "nan", "1e1"])

    def distance(self):
        r = self.rng
        return str(r.choice([0, 1, 10, 100, 1000, 20000, 500000, 1e7, 3e7])) if r.random() < 0.9 else \
            r.choice(["-1", "x", "inf", "nan", "0.5", "1e300"])

    def item(self, token):
        kind = token[1:]
        if kind.startswith("k:"):
            self.keys = 1
            return [self.name(kind[2:])]
        if kind.startswith("w:"):
            return [f"w{kind[2:]}{self.rng.randrange(-20, 20)}"]
        if kind.startswith("q:"):
            return [kind[2:].replace("~", "->")]
        rest = ""
        if len(kind) > 1:
            kind, rest = kind[0], kind[1:]
        makers = {"L": lambda: self.rng.choice(LUA), "W": self.timeout, "f": self.member, "m": self.member, "v": self.value, "N": self.number, "s": self.score, "b": self.bound,
                  "l": self.lex, "x": self.real, "t": self.seconds, "T": self.moment, "p": self.pattern,
                  "I": self.stream_id, "J": self.stream_bound, "G": lambda: self.rng.choice(["g", "g", "h", "g h", ""]),
                  "K": lambda: self.rng.choice(["one", "two", "two", "\x00c"]),
                  "E": lambda: str(self.rng.randrange(-2, 12)),
                  "Z": lambda: ">" if self.rng.random() < 0.7 else self.stream_id(),
                  "Y": lambda: "$" if self.rng.random() < 0.4 else self.stream_id(),
                  "o": lambda: self.angle(180), "a": lambda: self.angle(85), "d": self.distance,
                  "u": lambda: self.rng.choice(["m", "km", "ft", "mi", "KM", "M", "x"] if self.rng.random() < 0.2 else ["m", "km"])}
        if kind == "i":
            return [self.integer()]
        if kind == "q":  # a bit's offset, mostly near
            return [str(self.rng.randrange(-2, 300)) if self.rng.random() < 0.9 else
                    self.rng.choice(["40000", "4294967296", "4294967295999", "9223372036854775807", "x", "", "1.5"])]
        if kind == "e":
            return [self.encoding()]
        if kind == "O":
            return [self.rng.choice(["", "", "#"]) + self.item("%q")[0]]
        if kind == "g":
            return [self.rng.choice(["WRAP", "SAT", "FAIL", "fail", "x"])]
        if kind == "B":
            return [self.big()]
        if kind == "n":
            return [str(self.rng.choice([1000, 1000, 1000, 1, 0, 5]))]
        if kind == "c":
            return [self.rng.choice(["0"] * 12 + ["x", "", "-1", "1e3", "18446744073709551616"])]
        if kind == "w":
            return [self.score() for _ in range(self.keys)]
        return [makers[kind]() + rest]

    def encoding(self):
        r = self.rng
        if r.random() < 0.05:
            return r.choice(["u64", "i65", "i0", "u0", "x8", "8", "", "i", "u-1", "i 8"])
        return r.choice("iu") + str(r.choice([1, 2, 3, 5, 8, 13, 16, 31, 32, 33, 62, 63, r.randrange(1, 64)]))

    def big(self):
        """A number whose size varies over all 64 bits."""
        r = self.rng
        return self.integer() if r.random() < 0.3 else str(r.randrange(-(1 << 63), 1 << 63) >> r.randrange(64))

    def numkeys(self, kind):
        n = self.rng.choice([1, 1, 2, 2, 2, 3, 4])
        self.keys = n
        said = str(n) if self.rng.random() < 0.95 else self.rng.choice([str(n + 1), str(n - 1), "0", "-1", "x", "9999999999"])
        return [said] + [self.name(kind) for _ in range(n)]

    def repeats(self):
        x = self.rng.random()
        if x < 0.015:
            return self.rng.randrange(100, 700)
        return self.rng.choice([1, 1, 1, 2, 2, 3, 4])

    def sequence(self, tokens):
        out = []
        i = 0
        while i < len(tokens):
            t = tokens[i]
            if t in ("[", "(", "<"):
                end = closing(tokens, i)
                inner = tokens[i + 1:end]
                if t == "[":
                    if self.rng.random() < 0.45:
                        out += self.sequence(inner)
                elif t == "<":
                    out += self.sequence(self.rng.choice(alternatives(inner)))
                else:
                    n = self.repeats()
                    for _ in range(n):
                        out += self.wide(inner) if n > 50 else self.sequence(inner)
                i = end + 1
                continue
            if t.startswith("%"):
                out += self.item(t)
            elif t.startswith("#k:"):
                out += self.numkeys(t[3:])
            else:
                out.append(t)
            i += 1
        return out

    def wide(self, inner):
        """Names from a wider range, for large collections; scores and values that are always good."""
        good = {"%m": lambda: f"m{self.rng.randrange(900)}", "%f": lambda: f"m{self.rng.randrange(900)}", "%v": self.number,
                "%s": self.number, "%o": lambda: f"{self.rng.uniform(-180, 180):.3f}",
                "%a": lambda: f"{self.rng.uniform(-85, 85):.3f}"}
        return [good[t]() if t in good else self.item(t)[0] if t[0] == "%" else t for t in inner]

    def mutate(self, args):
        """Something that nobody should send."""
        r = self.rng
        args = list(args)
        what = r.randrange(5)
        at = r.randrange(1, len(args)) if len(args) > 1 else 0
        if what == 0 and at:
            del args[at]
        elif what == 1:
            args.insert(at + 1, r.choice(["x", "NX", "COUNT", "LIMIT", "WITHSCORES", "1", "", "REV"]))
        elif what == 2 and at:
            args[at] = r.choice(["", "x", "-1", "nan", "99999999999999999999"])
        elif what == 3:
            args = args[:max(1, at)]
        else:
            args = [a.swapcase() if a.isalpha() and len(a) > 1 else a for a in args]
        return args


def closing(tokens, i):
    pairs = {"[": "]", "(": ")+", "<": ">"}
    depth = 0
    for j in range(i, len(tokens)):
        if tokens[j] == tokens[i]:
            depth += 1
        elif tokens[j] == pairs[tokens[i]]:
            depth -= 1
            if depth == 0:
                return j
    raise ValueError(tokens)


def alternatives(tokens):
    out = [[]]
    for t in tokens:
        if t == "|":
            out.append([])
        else:
            out[-1].append(t)
    return out


def tokenize(line):
    for mark in ("[", "]", "<", ">", "|"):
        line = line.replace(mark, f" {mark} ")
    line = line.replace(")+", " )+ ")
    return line.replace("(", " ( ").split()


# ------------------------------------------------------------------ connections


class Server:
    def __init__(self, address):
        self.address = address
        if "/" in address or ":" not in address:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(address)
        else:
            host, port = address.rsplit(":", 1)
            self.sock = socket.create_connection((host, int(port)))
        self.sock.settimeout(20)
        self.file = self.sock.makefile("rb")

    def send(self, commands):
        self.sock.sendall(b"".join(encode(c) for c in commands))

    def read(self):
        """(type, payload): payload is bytes, a list, or None for the nulls of RESP2."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"{self.address} closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind in b"$=!":
            n = int(rest)
            return (kind, None) if n < 0 else (kind, self.file.read(n + 2)[:-2])
        if kind in b"*~>":
            n = int(rest)
            return (kind, None) if n < 0 else (kind, [self.read() for _ in range(n)])
        if kind == b"%":
            return (kind, [self.read() for _ in range(2 * int(rest))])
        if kind in b"+-:_,#(":
            return (kind, rest)
        raise ConnectionError(f"{self.address}: not RESP: {line!r}")


def encode(command):
    parts = [a.encode("utf-8", "surrogateescape") if isinstance(a, str) else a for a in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


# ------------------------------------------------------------------ comparing


def shape(reply):
    kind, payload = reply
    if isinstance(payload, list):
        return (kind, [shape(p) for p in payload])
    if kind == b"-":
        return reply
    return (kind, payload is None)


def pairs_of(items):
    return [items[i:i + 2] for i in range(0, len(items), 2)]


def scanned(args, reply):
    kind, payload = reply
    if kind != b"*" or payload is None or len(payload) != 2:
        return reply
    cursor, items = payload
    sure = args[2 if args[0].upper() != "SCAN" else 1] == "0" and not partial(args)
    if not sure:
        return (kind, [cursor[0], items[0]])
    elements = items[1]
    if args[0].upper() in ("HSCAN", "ZSCAN"):
        elements = pairs_of(elements)
    return (kind, [cursor, (items[0], sorted(elements, key=repr))])


def partial(args):
    """A COUNT that need not reach the end."""
    for i, a in enumerate(args[:-1]):
        if a.upper() == "COUNT":
            return args[i + 1] != "1000"
    return True


def comparable(args, reply):
    name = args[0].upper()
    kind, payload = reply
    if kind == b"-":
        return reply
    if name in RANDOM:
        return shape(reply)
    if name in UNORDERED and isinstance(payload, list):
        return (kind, sorted(payload, key=repr))
    if name in ("SORT", "SORT_RO") and isinstance(payload, list) and any((p[1] or b"")[:1] == b"\0" for p in payload if p[0] == b"$"):
        return (kind, sorted(payload, key=repr))  # ALPHA: to Redis' strcoll a text ends with its first zero byte
    if name in PAIRED and isinstance(payload, list):
        return (kind, sorted(pairs_of(payload), key=repr))
    if name in SCANS:
        return scanned(args, reply)
    return reply


def near(args, a, b):
    limit = NEAR.get(args[0].upper())
    if limit is None or a[0] != b":" or b[0] != b":":
        return False
    x, y = int(a[1]), int(b[1])
    return x >= 0 and y >= 0 and abs(x - y) <= limit


def by_value(reply):
    """Numbers as numbers: Redis 7.0 shows scores with 17 digits, Meridian, like 7.2, as short as they can be; minus zero is
    shown or not by the encoding that Redis chose."""
    kind, payload = reply
    if isinstance(payload, list):
        return (kind, [by_value(p) for p in payload])
    if kind in b"$," and payload is not None and NUMBER.fullmatch(payload):
        return (kind, float(f"{float(payload):.12g}") + 0.0)
    return reply


def as_far(args, a, b):
    """The same distances: which members are the nearest is open where several are equally far."""
    if "COUNT" not in args or "WITHDIST" not in args or not isinstance(a[1], list) or not isinstance(b[1], list):
        return False
    return [m[1][1] for m in a[1]] == [m[1][1] for m in b[1]]


def uncached(reply):
    """Without the cardinality that Redis caches in a HyperLogLog's head."""
    kind, payload = reply
    if isinstance(payload, list):
        return kind, [uncached(p) for p in payload]
    if isinstance(payload, bytes) and payload[:4] in (b"HYLL", b"0123"):
        return kind, payload[:8] + payload[16:]
    return reply


def timeless(v, name=b""):
    """A stream's reply without moments and idle times, and without the shape of Redis' tree."""
    if v[0] == b":" and (int(v[1]) > 10**11 or name in (b"idle", b"seen-time", b"radix-tree-keys", b"radix-tree-nodes")):
        return (b":", b"some")
    if v[0] not in (b"*", b"%", b"~") or v[1] is None:
        return v
    out, last = [], b""
    for x in v[1]:
        out.append(timeless(x, last))
        last = x[1] if x[0] == b"$" else b""
    if len(out) == 4 and [x[0] for x in out] == [b"$", b"$", b":", b":"]:  # XPENDING's
        out[2] = (b":", b"some")
    return (v[0], out)


def encoding(args, a, b):
    """Both name an encoding, of something else than a stream."""
    if [w.upper() for w in args[:2]] != ["OBJECT", "ENCODING"] or a[0] != b"$" or b[0] != b"$":
        return False
    return b"stream" not in (a[1], b[1]) and a[1] is not None and b[1] is not None


def sketches(a, b):
    """The same HyperLogLog may be written sparse or dense: what it counts is compared by PFCOUNT."""
    return all(x[0] == b"$" and isinstance(x[1], bytes) and x[1][:4] == b"HYLL" for x in (a, b)) and a[1][4:5] != b[1][4:5]


def equal(args, a, b):
    if encoding(args, a, b) or sketches(a, b):
        return True
    if args[0].upper() in MORE and a[0] == b[0] == b"-" and b[1].startswith(a[1]):
        return True
    if args[0].upper().startswith("GEO") and as_far(args, a, b):
        return True
    if len(args) > 1 and any(k[:1] == "p" for k in args[1:3]):
        a, b = uncached(a), uncached(b)
    if args[0].upper().startswith(("Z", "BZ")) or args[0].upper() in ("INCRBYFLOAT", "HINCRBYFLOAT"):
        a, b = by_value(a), by_value(b)
    if args[0].upper() in ("XPENDING", "XINFO"):
        a, b = timeless(a), timeless(b)
    return a == b or near(args, a, b) or comparable(args, a) == comparable(args, b)


def text(reply, room=300):
    kind, payload = reply
    if isinstance(payload, list):
        out = f"{kind.decode()}{len(payload)} [" + ", ".join(text(p, 80) for p in payload[:40]) + "]"
    elif payload is None:
        out = f"{kind.decode()}-1"
    else:
        out = kind.decode() + repr(payload)[1:]
    return out if len(out) <= room else out[:room] + "..."


def line_of(args):
    out = " ".join(repr(a) if not a or not a.isprintable() or " " in a else a for a in args)
    return out if len(out) < 400 else out[:400] + "..."


# ------------------------------------------------------------------ the run


class Run:
    def __init__(self, options):
        self.o = options
        self.rng = random.Random(options.seed)
        self.grammar = Grammar(self.rng)
        self.sides = [Server(options.reference), Server(options.ours)]
        lines = [(g, l.strip()) for g in options.groups for l in GROUPS[g].splitlines() if l.strip()]
        self.lines = [(g, tokenize(l)) for g, l in lines]
        self.fill = [l for l in self.lines if l[1][0] in FILL] or self.lines
        self.mixed = len(options.groups) > 1  # COPY, RENAME and wrong types: letters no longer tell types
        self.passed = self.failed = self.shown = 0
        self.by_command = collections.Counter()
        self.history = collections.defaultdict(lambda: collections.deque(maxlen=options.history))

    def both(self, commands):
        for s in self.sides:
            s.send(commands)
        return [[s.read() for _ in commands] for s in self.sides]

    def command(self):
        r = self.rng
        while True:
            group, tokens = r.choice(self.lines if r.random() < 0.65 else self.fill)
            args = self.grammar.sequence(tokens)
            if args[0].upper() in ("SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER") and len(args) > 2:
                args[2] = self.grammar.count()
            if r.random() < 0.05:
                args = self.grammar.mutate(args)
            if self.fair(group, args):
                return args

    def fair(self, group, args):
        """No string command on a HyperLogLog; only zeros in a set for ranges by member, which else mean nothing; nothing that
        makes strings huge or replies endless."""
        if args[0].upper() in ("SETBIT", "BITFIELD", "BITFIELD_RO") and any("4294967295" in a[-11:] for a in args[2:]):
            return False
        if group in ("string", "bits") and any(len(a) == 2 and a[0] == "p" for a in args[1:]):
            return False
        if args[0].upper() == "LPOS" and "-9223372036854775808" in args:  # overflows in Redis 7.0
            return False
        if args[0].upper() == "COPY" and any(a.upper() == "DB" and b != "0" for a, b in zip(args[3:], args[4:])):
            return False  # there is one database only
        if args[0].upper() == "SELECT" and args[1:2] not in (["0"], ["x"], ["-1"], [""], []):
            return False  # redis-server has other databases
        if [w.upper() for w in args[:2]] == ["OBJECT", "REFCOUNT"] and args[2:] != ["none"]:
            return False  # nothing is shared here
        if args[0].upper() == "DUMP" and len(args) == 2 and args[1] != "none":
            return False  # dump.py compares dumps
        if group == "blocking" and args[0][:1].upper() == "B":
            return args[1 if args[0].upper() in ("BLMPOP", "BZMPOP") and len(args) > 1 else -1] in TIMEOUTS
        if group == "session" and (len(args) < 3 or args[1].upper() == "HELP") and args[0].upper() in ("COMMAND", "ACL"):
            return False  # lists of all commands: ours are more
        if group == "session" and args[0].upper() in ("HELLO", "EXEC", "MULTI") and len(args) < 3 and args[1:2] != ["4"]:
            return False  # the run says HELLO itself
        if group == "sort" and args[0].upper() in ("RPUSH", "SADD", "ZADD"):
            return args[1:2] and args[1][:1] == {"R": "l", "S": "s", "Z": "z"}[args[0][0].upper()]
        if args[0].upper() == "SORT" and "STORE" in [a.upper() for a in args[2:-1]] and args[-1][:1] != "l":
            return False  # names tell types: what is sorted below must be a list
        if args[0].upper() in ("SORT", "SORT_RO"):
            words = [a.upper() for a in args[2:]]
            if "BY" in words and "ALPHA" in words and ("LIMIT" in words or args[1][:1] != "l"):
                return False  # Redis leaves open how elements of equal weight are ordered
            if args[1:2] and args[1][:1] == "s" and any(a == "BY" and "*" not in b for a, b in zip(words, words[1:])):
                return "STORE" in words
            if self.mixed and "BY" in words:
                return False
        if args[0].upper() == "SETRANGE" and len(args) > 2 and len(args[2]) > 4:
            return False
        if args[0].upper() in ("COPY", "RENAME", "RENAMENX") and args[1:2] and args[1][:1] == "p":
            return len(args) > 2 and args[2][:1] == "p"
        if args[0].upper() == "BITFIELD" and len(args) > 300:
            return False
        if args[0].upper() in ("PFADD", "PFMERGE") and len(args) > 1 and args[1][:1] != "p":
            return False
        if args[0].upper() == "ZADD" and args[1:2] and args[1][:1] == "0":
            return all(score == "0" for score in args[2::2])
        return not (args[0].upper() in ("SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER") and len(args) > 2
                    and args[2].startswith("-") and len(args[2]) > 5)

    def keys_of(self, args):
        return [a for a in args[1:] if len(a) == 2 and a[0] in TYPES + "0" and a[1].isdigit()]

    def batch(self):
        out = []
        while len(out) < 40:
            args = self.command()
            out.append(args)
            if args[0].upper() == "SPOP":  # each side chose for itself: away with what is left
                out += [["DEL", k] for k in args[1:2]]
        return out

    def check(self, args, a, b, resp):
        if equal(args, a, b):
            self.passed += 1
            for k in set(self.keys_of(args)):
                self.history[k].append(args)
            return True
        self.failed += 1
        self.by_command[args[0].upper()] += 1
        if self.shown < self.o.show:
            self.shown += 1
            print(f"\n{line_of(args)}    (RESP{resp}, after {self.passed} that were equal)")
            print(f"  reference: {text(a)}\n  ours:      {text(b)}")
            for k in sorted(set(self.keys_of(args))):
                for h in self.history[k]:
                    print(f"    before ({k}): {line_of(h)}")
        return False

    def compare_batch(self, commands, resp):
        a, b = self.both(commands)
        wrong = set()
        for args, x, y in zip(commands, a, b):
            keys = set(self.keys_of(args))
            if keys & wrong:
                continue  # follows from what was already reported
            if STALE_ERRNO in (x[1] if x[0] == b"-" else b"") and y[0] != b"-":
                wrong |= keys  # redis-server was wrong: away with what STORE has made different
                continue
            if not self.check(args, x, y, resp):
                wrong |= keys
        return wrong

    def transaction(self, resp):
        commands = [self.command() for _ in range(self.rng.randrange(1, 6))]
        commands = [c for c in commands if c[0].upper() not in RANDOM]
        a, b = self.both([["MULTI"]] + commands + [["EXEC"]])
        good = True
        for args, x, y in zip([["MULTI"]] + commands, a, b):
            good = self.check([args[0] + " (queued)"] + args[1:], x, y, resp) and good
        x, y = a[-1], b[-1]
        if x[0] == b"*" and y[0] == b"*" and len(x[1]) == len(y[1]) == len(commands):
            for args, p, q in zip(commands, x[1], y[1]):
                good = self.check(args, p, q, resp) and good
        else:
            good = self.check(["EXEC"], x, y, resp) and good
        return set() if good else {k for c in commands for k in self.keys_of(c)}

    def contents(self, resp):
        """All that both hold must be equal, whatever single replies said."""
        names = [f"{t}{i}" for t in TYPES + "0" for i in range(6)]
        look = {b"hash": ["HGETALL"], b"set": ["SMEMBERS"], b"zset": ["ZRANGE", "0", "-1", "WITHSCORES"],
                b"list": ["LRANGE", "0", "-1"], b"string": ["GET"], b"stream": ["XRANGE", "-", "+"]}
        kinds = self.both([["TYPE", n] for n in names])[0]
        commands = []
        for name, (_, kind) in zip(names, kinds):
            how = look.get(kind)
            if how is not None and name[0] == "p":
                how = ["PFCOUNT"]
            if how is not None:
                commands.append([how[0], name] + how[1:])
            if kind == b"stream":
                commands.append(["XINFO", "STREAM", name, "FULL", "COUNT", "0"])
            commands += [["TYPE", name], ["TTL", name]]
        return self.compare_batch(commands, resp)

    def run(self):
        done = step = 0
        self.both([["FLUSHALL"]])
        while done < self.o.count:
            resp = self.o.resp or 2 + step // 25 % 2
            if step % 25 == 0:
                for s in self.sides:
                    s.send([["HELLO", str(resp)]])
                    s.read()
            if step % 200 == 199:
                self.both([["FLUSHALL"]])
            if step % 10 == 9:
                wrong = self.contents(resp)
            elif self.o.transactions and step % 10 == 4:
                wrong = self.transaction(resp)
            else:
                wrong = self.compare_batch(self.batch(), resp)
            if wrong:
                self.both([["DEL", k] for k in sorted(wrong)])
                for k in wrong:
                    self.history[k].clear()
            step += 1
            done = self.passed + self.failed
        if self.by_command:
            print("\ndifferences by command: " + ", ".join(f"{n} {c}" for n, c in self.by_command.most_common()))
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("reference", help="redis-server: host:port or path of a unix socket")
    p.add_argument("ours", help="Meridian: host:port or path of a unix socket")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=10000, help="how many replies to compare (default 10000)")
    p.add_argument("--groups", default=",".join(GROUPS), help="default: all, " + ",".join(GROUPS))
    p.add_argument("--resp", type=int, choices=(2, 3), default=0, help="default: both in turn")
    p.add_argument("--show", type=int, default=30, help="how many differences to print (default 30)")
    p.add_argument("--history", type=int, default=4, help="earlier commands on the same keys to print (default 4)")
    p.add_argument("--no-transactions", dest="transactions", action="store_false")
    o = p.parse_args()
    o.groups = o.groups.split(",")
    unknown = [g for g in o.groups if g not in GROUPS]
    if unknown:
        p.error(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    try:
        return Run(o).run()
    except (OSError, ConnectionError) as e:
        print(f"differential: {e}: are both servers running?", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
