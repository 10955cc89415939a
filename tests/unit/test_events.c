/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/events.h"
#include "tests/unit/run.h"

#include <string.h>

/* Events of keys: the names and the order are those that redis-server 7.0.15 showed for the same
 * commands with notify-keyspace-events EAmn. */

#define ALL (EVENT_ALL | EVENT_KEY_MISS | EVENT_NEW)

static void note(void *arg, uint32_t class, const char *name, struct bytes key)
{
    struct buf *heard = arg;
    cr_expect_neq(class, 0);
    buf_putf(heard, "%s%s %.*s", buf_len(heard) > 0 ? ", " : "", name, (int)key.n,
             (const char *)key.p);
}

static void start(struct run *r, uint32_t region, bool geo, struct buf *heard)
{
    run_start_with(r,
                   &(struct shard_opts){.region = region, .geo = geo, .event = note, .arg = heard});
    shard_set_events(r->shard, ALL);
}

static void heard_are(struct buf *heard, const char *what, const char *wanted)
{
    buf_put_u8(heard, 0);
    cr_expect(strcmp((char *)heard->p, wanted) == 0, "%s\n  tells   %s\n  instead %s", what,
              (char *)heard->p, wanted);
    buf_clear(heard);
}

/* Command lines, with | between them, and the events of all. */
static const struct {
    const char *lines, *events;
} commands[] = {
    {"set k v", "new k, set k"},
    {"set k v ex 100", "new k, set k, expire k"},
    {"set k v get", "keymiss k, new k, set k"},
    {"set k v xx", ""},
    {"set k v nx", "new k, set k"},
    {"set k v|set k w keepttl", "new k, set k, set k"},
    {"set k v|set k w get", "new k, set k, set k"},
    {"set k v pxat 1", "new k, set k, expire k"},
    {"setnx k v", "new k, set k"},
    {"setex k 10 v", "new k, set k, expire k"},
    {"psetex k 10000 v", "new k, set k, expire k"},
    {"mset a 1 b 2", "new a, set a, new b, set b"},
    {"msetnx a 1 b 2", "new a, set a, new b, set b"},
    {"get k", "keymiss k"},
    {"getset k v", "keymiss k, new k, set k"},
    {"getdel k", "keymiss k"},
    {"set k v|getdel k", "new k, set k, del k"},
    {"getex k", "keymiss k"},
    {"set k v|getex k ex 10", "new k, set k, expire k"},
    {"set k v|getex k exat 1", "new k, set k, del k"},
    {"set k v|getex k ex 10|getex k persist", "new k, set k, expire k, persist k"},
    {"setrange k 3 abc", "new k, setrange k"},
    {"setrange k 0 \"\"", ""},
    {"append k abc", "new k, append k"},
    {"incr k", "new k, incrby k"},
    {"decr k", "new k, incrby k"},
    {"incrby k 3", "new k, incrby k"},
    {"decrby k 3", "new k, incrby k"},
    {"incrbyfloat k 1.5", "new k, incrbyfloat k"},
    {"setbit k 3 1", "new k, setbit k"},
    {"getbit k 3", "keymiss k"},
    {"set a abc|bitop not b a", "new a, set a, new b, set b"},
    {"bitfield k set u8 0 1", "new k, setbit k"},
    {"mget a b", "keymiss a, keymiss b"},
    {"strlen k", "keymiss k"},
    {"getrange k 0 1", "keymiss k"},
    {"set a 1|set b 2|del a b c", "new a, set a, new b, set b, del a, del b"},
    {"set a 1|set b 2|unlink a b c", "new a, set a, new b, set b, del a, del b"},
    {"exists a", "keymiss a"},
    {"touch a", "keymiss a"},
    {"type a", "keymiss a"},
    {"ttl a", "keymiss a"},
    {"set a 1|rename a b", "new a, set a, new b, rename_from a, rename_to b"},
    {"set a 1|set b 2|rename a b", "new a, set a, new b, set b, new b, rename_from a, rename_to b"},
    {"set a 1|renamenx a b", "new a, set a, new b, rename_from a, rename_to b"},
    {"set a 1|rename a a", "new a, set a"},
    {"rename a b", ""},
    {"set a 1|copy a b", "new a, set a, new b, copy_to b"},
    {"set a 1|set b 1|copy a b replace", "new a, set a, new b, set b, new b, copy_to b"},
    {"copy a b", "keymiss a"},
    {"set a 1|expire a 10", "new a, set a, expire a"},
    {"set a 1|expire a -1", "new a, set a, del a"},
    {"set a 1|pexpireat a 1", "new a, set a, del a"},
    {"set a 1|expire a 10|persist a", "new a, set a, expire a, persist a"},
    {"persist a", ""},
    {"hset h a 1 b 2", "new h, hset h"},
    {"hset h a 1|hset h a 2", "new h, hset h, hset h"},
    {"hmset h a 1", "new h, hset h"},
    {"hsetnx h a 1|hsetnx h a 2", "new h, hset h"},
    {"hincrby h a 1", "new h, hincrby h"},
    {"hincrbyfloat h a 1.5", "new h, hincrbyfloat h"},
    {"hset h a 1 b 2|hdel h a x", "new h, hset h, hdel h"},
    {"hset h a 1|hdel h a", "new h, hset h, hdel h, del h"},
    {"hdel h a", ""},
    {"hget h a", "keymiss h"},
    {"hgetall h", "keymiss h"},
    {"lpush l a b", "new l, lpush l"},
    {"rpush l a b", "new l, rpush l"},
    {"lpushx l a", ""},
    {"rpush l a|rpushx l b", "new l, rpush l, rpush l"},
    {"rpush l a b c|lpop l", "new l, rpush l, lpop l"},
    {"rpush l a b c|rpop l 2", "new l, rpush l, rpop l"},
    {"rpush l a|lpop l", "new l, rpush l, lpop l, del l"},
    {"rpush l a|lpop l 0", "new l, rpush l"},
    {"lpop l", ""},
    {"rpush l a b c|lset l 1 x", "new l, rpush l, lset l"},
    {"rpush l a b c|linsert l before b x", "new l, rpush l, linsert l"},
    {"rpush l a b c|linsert l before z x", "new l, rpush l"},
    {"rpush l a b c|ltrim l 1 1", "new l, rpush l, ltrim l"},
    {"rpush l a b c|ltrim l 5 6", "new l, rpush l, ltrim l, del l"},
    {"ltrim l 0 1", ""},
    {"rpush l a b a|lrem l 0 a", "new l, rpush l, lrem l"},
    {"rpush l a|lrem l 0 a", "new l, rpush l, lrem l, del l"},
    {"rpush l a|lrem l 0 z", "new l, rpush l"},
    {"rpush l a b|lmove l m left right", "new l, rpush l, new m, rpush m, lpop l"},
    {"rpush l a|lmove l m right left", "new l, rpush l, new m, lpush m, rpop l, del l"},
    {"rpush l a b|rpoplpush l l", "new l, rpush l, lpush l, rpop l"},
    {"rpush l a b|lmpop 2 m l left count 2", "new l, rpush l, lpop l, del l"},
    {"lmpop 1 l left", ""},
    {"rpush l a|blpop l 1", "new l, rpush l, lpop l, del l"},
    {"rpush l a|brpop l 1", "new l, rpush l, rpop l, del l"},
    {"rpush l a|blmove l m left right 1", "new l, rpush l, new m, rpush m, lpop l, del l"},
    {"rpush l a|brpoplpush l m 1", "new l, rpush l, new m, lpush m, rpop l, del l"},
    {"rpush l a|blmpop 1 1 l right", "new l, rpush l, rpop l, del l"},
    {"lrange l 0 -1", "keymiss l"},
    {"llen l", "keymiss l"},
    {"sadd s a b", "new s, sadd s"},
    {"sadd s a|sadd s a", "new s, sadd s"},
    {"sadd s a b|srem s a z", "new s, sadd s, srem s"},
    {"sadd s a|srem s a", "new s, sadd s, srem s, del s"},
    {"srem s a", ""},
    {"sadd s a|smove s t a", "new s, sadd s, srem s, del s, new t, sadd t"},
    {"sadd s a|sadd t a|smove s t a", "new s, sadd s, new t, sadd t, srem s, del s"},
    {"sadd s a b|smove s t z", "new s, sadd s"},
    {"sadd s a|spop s", "new s, sadd s, spop s, del s"},
    {"sadd s a|spop s 5", "new s, sadd s, spop s, del s"},
    {"sadd s a|spop s 0", "new s, sadd s"},
    {"spop s", ""},
    {"sadd s a b|sadd t b|sinterstore d s t", "new s, sadd s, new t, sadd t, new d, sinterstore d"},
    {"sadd s a b|sadd t b|sunionstore d s t", "new s, sadd s, new t, sadd t, new d, sunionstore d"},
    {"sadd s a b|sadd t b|sdiffstore d s t", "new s, sadd s, new t, sadd t, new d, sdiffstore d"},
    {"sadd d x|sinterstore d s t", "new d, sadd d, keymiss s, keymiss t, del d"},
    {"sinterstore d s t", "keymiss s, keymiss t"},
    {"smembers s", "keymiss s"},
    {"sinter s t", "keymiss s, keymiss t"},
    {"sunion s t", "keymiss s, keymiss t"},
    {"zadd z 1 a 2 b", "new z, zadd z"},
    {"zadd z 1 a|zadd z 1 a", "new z, zadd z"},
    {"zadd z 1 a|zadd z 2 a", "new z, zadd z, zadd z"},
    {"zadd z xx 1 a", ""},
    {"zadd z incr 1 a", "new z, zincr z"},
    {"zincrby z 1 a", "new z, zincr z"},
    {"zadd z 1 a 2 b|zrem z a", "new z, zadd z, zrem z"},
    {"zadd z 1 a|zrem z a", "new z, zadd z, zrem z, del z"},
    {"zrem z a", ""},
    {"zadd z 1 a 2 b|zpopmin z", "new z, zadd z, zpopmin z"},
    {"zadd z 1 a 2 b|zpopmax z 5", "new z, zadd z, zpopmax z, del z"},
    {"zpopmin z", ""},
    {"zadd z 1 a|bzpopmin z 1", "new z, zadd z, zpopmin z, del z"},
    {"zadd z 1 a|bzpopmax z 1", "new z, zadd z, zpopmax z, del z"},
    {"zadd z 1 a|zmpop 1 z min", "new z, zadd z, zpopmin z, del z"},
    {"zadd z 1 a|bzmpop 1 1 z max", "new z, zadd z, zpopmax z, del z"},
    {"zadd z 1 a 2 b|zremrangebyrank z 0 0", "new z, zadd z, zremrangebyrank z"},
    {"zadd z 1 a 2 b|zremrangebyscore z 1 2", "new z, zadd z, zremrangebyscore z, del z"},
    {"zadd z 1 a 2 b|zremrangebylex z - +", "new z, zadd z, zremrangebylex z, del z"},
    {"zremrangebyrank z 0 0", ""},
    {"zadd z 1 a 2 b|zrangestore d z 0 -1", "new z, zadd z, new d, zrangestore d"},
    {"zadd d 1 a|zrangestore d z 0 -1", "new d, zadd d, keymiss z, del d"},
    {"zadd z 1 a 2 b|zunionstore d 1 z", "new z, zadd z, new d, zunionstore d"},
    {"zadd z 1 a 2 b|zinterstore d 1 z", "new z, zadd z, new d, zinterstore d"},
    {"zadd z 1 a 2 b|zdiffstore d 1 z", "new z, zadd z, new d, zdiffstore d"},
    {"zadd d 1 a|zunionstore d 1 nope", "new d, zadd d, keymiss nope, del d"},
    {"zrange z 0 -1", "keymiss z"},
    {"zscore z a", "keymiss z"},
    {"pfadd p a b", "new p, pfadd p"},
    {"pfadd p a|pfadd p a", "new p, pfadd p"},
    {"pfadd p a|pfcount p", "new p, pfadd p"},
    {"pfadd p a|pfmerge q p", "new p, pfadd p, keymiss q, new q, pfadd q"},
    {"pfcount p", "keymiss p"},
    {"geoadd g 1 1 a", "new g, zadd g"},
    {"geoadd g 1 1 a|georadius g 1 1 100 km store h", "new g, zadd g, new h, georadiusstore h"},
    {"geoadd g 1 1 a|geosearchstore h g frommember a byradius 100 km",
     "new g, zadd g, new h, geosearchstore h"},
    {"rpush l 3 1 2|sort l store m", "new l, rpush l, new m, sortstore m"},
    {"rpush m 1|sort nope store m", "new m, rpush m, keymiss nope, del m"},
    {"flushall", ""},
    {"set k v|dump k", "new k, set k"},
};

static void run_lines(struct run *r, const char *lines)
{
    char line[256];
    while (*lines != 0) {
        size_t n = strcspn(lines, "|");
        cr_assert_lt(n, sizeof line);
        memcpy(line, lines, n);
        line[n] = 0;
        (void)run(r, line);
        lines += n + (lines[n] == '|');
    }
}

Test(events, commands_tell_what_redis_tells)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct run r;
        struct buf heard = {0};
        start(&r, 1, false, &heard);
        run_lines(&r, commands[i].lines);
        heard_are(&heard, commands[i].lines, commands[i].events);
        run_stop(&r);
        buf_deinit(&heard);
    }
}

Test(events, nobody_asked_nobody_is_told)
{
    struct run r;
    struct buf heard = {0};
    start(&r, 1, false, &heard);
    shard_set_events(r.shard, 0);
    run_lines(&r, "set k v|get nope|del k");
    heard_are(&heard, "events off", "");
    shard_set_events(r.shard, EVENT_GENERIC);
    run_lines(&r, "set k v|get nope|del k");
    heard_are(&heard, "generic events", "del k");
    run_stop(&r);
    buf_deinit(&heard);
}

Test(events, expiry_tells_when_a_key_is_removed)
{
    struct run r;
    struct buf heard = {0};
    start(&r, 1, false, &heard);
    run_lines(&r, "set a 1 px 20|set b 1 px 20");
    buf_clear(&heard);
    run_wait(&r, 100);
    heard_are(&heard, "the deadline passed", "expired a, expired b");
    run_stop(&r);
    buf_deinit(&heard);
}

/* What another region did, as it is told where it arrives. */
static const struct {
    const char *before, *lines, *events;
} remote[] = {
    {"", "set k v", "new k, set k"},
    {"set k v", "set k w", "set k"},
    {"set k v", "del k", "del k"},
    {"set k v", "expire k 100", "expire k"},
    {"set k v ex 100", "persist k", "persist k"},
    {"", "incr k", "new k, incrby k"},
    {"", "incrbyfloat k 1.5", "new k, incrbyfloat k"},
    {"", "hset h f 1", "new h, hset h"},
    {"hset h f 1", "hincrby h f 1", "hincrby h"},
    {"hset h f 1 g 1", "hdel h f", "hdel h"},
    {"hset h f 1", "hdel h f", "hdel h, del h"},
    {"", "sadd s a", "new s, sadd s"},
    {"sadd s a", "sadd s a", "sadd s"},
    {"sadd s a", "spop s", "srem s, del s"},
    {"", "zadd z 1 a", "new z, zadd z"},
    {"zadd z 1 a", "zincrby z 1 a", "zincr z"},
    {"zadd z 1 a 2 b", "zpopmin z", "zrem z"},
    {"", "lpush l a", "new l, rpush l"},
    {"rpush l a", "lset l 0 b", "lset l"},
    {"rpush l a", "lpop l", "lrem l, del l"},
    {"", "pfadd p a", "new p, pfadd p"},
    {"set {t}a 1", "rename {t}a {t}b", "new {t}b, set {t}b, del {t}a"},
    {"", "xadd x * f v", "new x, xadd x"},
    {"xadd x * f v|xadd x * f v", "xtrim x maxlen 1", "xtrim x"},
    {"xadd x * f v", "xgroup create x g 0", "xgroup-create x"},
    {"xadd x * f v|xgroup create x g 0", "xgroup setid x g $", "xgroup-setid x"},
    {"xadd x * f v|xgroup create x g 0", "xgroup createconsumer x g c", "xgroup-createconsumer x"},
    {"set a 1", "flushall", ""},
};

Test(events, operations_of_other_regions_tell_their_kind)
{
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        struct run here, there;
        struct buf heard = {0}, other = {0};
        start(&here, 1, true, &heard);
        start(&there, 2, true, &other);
        run_lines(&there, remote[i].before);
        cr_assert(run_ship(&there, &here));
        buf_clear(&heard);
        run_lines(&there, remote[i].lines);
        cr_assert(run_ship(&there, &here));
        heard_are(&heard, remote[i].lines, remote[i].events);
        run_stop(&here);
        run_stop(&there);
        buf_deinit(&heard);
        buf_deinit(&other);
    }
}

Test(events, an_expiry_elsewhere_is_an_expiry_here)
{
    struct run here, there;
    struct buf heard = {0}, other = {0};
    start(&here, 1, true, &heard);
    start(&there, 2, true, &other);
    run_lines(&there, "set k v px 20");
    cr_assert(run_ship(&there, &here));
    buf_clear(&heard);
    run_wait(&there, 200);
    cr_assert(run_ship(&there, &here));
    heard_are(&heard, "expired elsewhere", "expired k");
    run_stop(&here);
    run_stop(&there);
    buf_deinit(&heard);
    buf_deinit(&other);
}

/* ------------------------------------------------------------ what CLIENT TRACKING hears of */

static void note_changed(void *arg, struct bytes key, uint64_t session)
{
    buf_putf(arg, "%.*s by %llu;", (int)key.n, (const char *)key.p, (unsigned long long)session);
}

static void track(struct run *r, uint32_t region, struct buf *changed)
{
    run_start_with(r, &(struct shard_opts){
                          .region = region, .geo = true, .changed = note_changed, .arg = changed});
    shard_set_tracked(r->shard, true);
}

Test(events, whatever_changes_a_key_is_heard_of)
{
    struct run here, there;
    struct buf mine = {0}, theirs = {0};
    track(&here, 1, &mine);
    track(&there, 2, &theirs);
    run_lines(&there, "set k v px 50|get k");
    heard_are(&theirs, "a command, of session 1", "k by 1;k by 1;");
    cr_assert(run_ship(&there, &here));
    heard_are(&mine, "another region's command", "k by 0;k by 0;");
    run_wait(&there, 200);
    heard_are(&theirs, "expiry", "k by 0;");
    cr_assert(run_ship(&there, &here));
    heard_are(&mine, "expiry elsewhere", "k by 0;");
    run_lines(&there, "set k v|flushall");
    buf_clear(&theirs);
    cr_assert(run_ship(&there, &here));
    cr_expect_neq(buf_len(&mine), 0);
    buf_clear(&mine);
    shard_set_tracked(here.shard, false);
    run_lines(&here, "set k v");
    heard_are(&mine, "nobody tracks", "");
    run_stop(&here);
    run_stop(&there);
    buf_deinit(&mine);
    buf_deinit(&theirs);
}
