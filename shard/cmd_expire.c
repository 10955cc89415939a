/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/events.h"
#include "shard/ttl.h"

/* The commands around a key's deadline: https://redis.io/docs/latest/commands/expire/ */

struct conditions {
    bool nx, xx, gt, lt;
};

static bool parse_conditions(struct call *c, struct conditions *o)
{
    *o = (struct conditions){0};
    for (uint32_t i = 3; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        if (bytes_is_nocase(word, "nx")) {
            o->nx = true;
        } else if (bytes_is_nocase(word, "xx")) {
            o->xx = true;
        } else if (bytes_is_nocase(word, "gt")) {
            o->gt = true;
        } else if (bytes_is_nocase(word, "lt")) {
            o->lt = true;
        } else {
            int n = word.n < 128 ? (int)word.n : 128;
            reply_errorf(c->reply, "ERR Unsupported option %.*s", n, (const char *)word.p);
            return false;
        }
    }
    if (o->nx && (o->xx || o->gt || o->lt)) {
        reply_error(c->reply,
                    "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (o->gt && o->lt) {
        reply_error(c->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

static bool conditions_hold(const struct conditions *o, int64_t now, int64_t at_ms)
{
    bool none = now == DEADLINE_NEVER;
    return !((o->nx && !none) || (o->xx && none) || (o->gt && (none || at_ms <= now)) ||
             (o->lt && !none && at_ms >= now));
}

static void expire_generic(struct call *c, enum ttl_unit unit)
{
    struct conditions o;
    struct key k;
    int64_t at_ms;
    if (!parse_conditions(c, &o) || !ttl_deadline(c, c->argv[2], unit, false, &at_ms))
        return;
    key_write(c, c->argv[1], &k);
    if (k.cell == NULL || !conditions_hold(&o, value_deadline(k.cell), at_ms)) {
        reply_int(c->reply, 0);
        return;
    }
    bool past = call_is_past(c, at_ms);
    if (past)
        key_del(c, &k);
    else
        key_expire(c, &k, at_ms);
    key_event(c, EVENT_GENERIC, past ? "del" : "expire", k.name);
    reply_int(c->reply, 1);
}

static void expire(struct call *c) { expire_generic(c, TTL_EX); }

static void pexpire(struct call *c) { expire_generic(c, TTL_PX); }

static void expireat(struct call *c) { expire_generic(c, TTL_EXAT); }

static void pexpireat(struct call *c) { expire_generic(c, TTL_PXAT); }

/* Replies the deadline less `from`, in seconds or milliseconds; -1: never, -2: no such key. */
static void reply_deadline(struct call *c, int64_t from, bool seconds)
{
    struct key k;
    key_peek(c, c->argv[1], &k);
    int64_t left = k.cell != NULL ? value_deadline(k.cell) : 0;
    if (k.cell == NULL)
        left = -2;
    else if (left == DEADLINE_NEVER)
        left = -1;
    else if ((left -= from) < 0)
        left = 0;
    else if (seconds)
        left = left / 1000 + (left % 1000 >= 500);
    reply_int(c->reply, left);
}

static void ttl(struct call *c) { reply_deadline(c, c->now.wall_ms, true); }

static void pttl(struct call *c) { reply_deadline(c, c->now.wall_ms, false); }

static void expiretime(struct call *c) { reply_deadline(c, 0, true); }

static void pexpiretime(struct call *c) { reply_deadline(c, 0, false); }

static void persist(struct call *c)
{
    struct key k;
    key_write(c, c->argv[1], &k);
    bool had = k.cell != NULL && value_deadline(k.cell) != DEADLINE_NEVER;
    if (had) {
        key_expire(c, &k, DEADLINE_NEVER);
        key_event(c, EVENT_GENERIC, "persist", k.name);
    }
    reply_int(c->reply, had);
}

#define WRITE (CMD_WRITE | CMD_FAST)
#define READ (CMD_READONLY | CMD_FAST)

const struct command cmd_expire_table[] = {
    {"expire", -3, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, expire, NULL, "generic", "1.0.0", "O(1)",
     "Sets when a key expires, in seconds from now; of concurrent settings the latest wins",
     "key seconds [NX|XX|GT|LT]"},
    {"expireat", -3, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, expireat, NULL, "generic", "1.2.0",
     "O(1)", "Sets when a key expires, in Unix time", "key unix-time-seconds [NX|XX|GT|LT]"},
    {"expiretime", 2, READ, 1, 1, 1, AT_SHARD, MERGE_NONE, expiretime, NULL, "generic", "7.0.0",
     "O(1)", "Returns when a key expires, in Unix time", "key"},
    {"persist", 2, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, persist, NULL, "generic", "2.2.0", "O(1)",
     "Makes a key stay; wins over concurrent settings", "key"},
    {"pexpire", -3, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, pexpire, NULL, "generic", "2.6.0", "O(1)",
     "Sets when a key expires, in milliseconds from now", "key milliseconds [NX|XX|GT|LT]"},
    {"pexpireat", -3, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, pexpireat, NULL, "generic", "2.6.0",
     "O(1)", "Sets when a key expires, in Unix milliseconds",
     "key unix-time-milliseconds [NX|XX|GT|LT]"},
    {"pexpiretime", 2, READ, 1, 1, 1, AT_SHARD, MERGE_NONE, pexpiretime, NULL, "generic", "7.0.0",
     "O(1)", "Returns when a key expires, in Unix milliseconds", "key"},
    {"pttl", 2, READ, 1, 1, 1, AT_SHARD, MERGE_NONE, pttl, NULL, "generic", "2.6.0", "O(1)",
     "Returns the milliseconds a key has left", "key"},
    {"ttl", 2, READ, 1, 1, 1, AT_SHARD, MERGE_NONE, ttl, NULL, "generic", "1.0.0", "O(1)",
     "Returns the seconds a key has left", "key"},
    {.name = NULL},
};
