/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/events.h"
#include "shard/lcs.h"
#include "shard/text.h"
#include "shard/ttl.h"

#include <math.h>

/* Redis commands of the group "string": https://redis.io/docs/latest/commands/?group=string */

static void reply_string(struct call *c, const struct key *k)
{
    struct shown s;
    if (text_show(c, k, &s))
        reply_bulk(c->reply, s.text);
    else
        reply_nil(c->reply);
}

/* Writing commands that also read: what they do not find counts as missed. */
static void note_miss(struct call *c, const struct key *k)
{
    if (k->cell == NULL)
        key_event(c, EVENT_KEY_MISS, "keymiss", k->name);
}

/* ------------------------------------------------------------ SET and its kin */

struct set_options {
    bool nx, xx, get, keep_ttl, persist;
    enum ttl_unit unit;
    struct bytes time;
};

/* Options from argument `i` on; SET's and GETEX's, which have the times in common. */
static bool parse_options(struct call *c, uint32_t i, bool is_getex, struct set_options *o)
{
    *o = (struct set_options){0};
    for (; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        enum ttl_unit unit = ttl_option(word);
        bool timed = (o->unit != TTL_NONE && o->unit != unit) || o->keep_ttl || o->persist;
        bool ok = false;
        if (unit != TTL_NONE && !timed && i + 1 < c->argc) {
            o->unit = unit;
            o->time = c->argv[++i];
            ok = true;
        } else if (is_getex) {
            ok = o->persist = bytes_is_nocase(word, "persist") && o->unit == TTL_NONE;
        } else if (bytes_is_nocase(word, "nx")) {
            ok = o->nx = !o->xx;
        } else if (bytes_is_nocase(word, "xx")) {
            ok = o->xx = !o->nx;
        } else if (bytes_is_nocase(word, "get")) {
            ok = o->get = true;
        } else if (bytes_is_nocase(word, "keepttl")) {
            ok = o->keep_ttl = o->unit == TTL_NONE;
        }
        if (!ok) {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void set(struct call *c)
{
    struct set_options o;
    struct key k;
    int64_t at_ms = 0;
    if (!parse_options(c, 3, false, &o) ||
        (o.unit != TTL_NONE && !ttl_deadline(c, o.time, o.unit, true, &at_ms)))
        return;
    key_write(c, c->argv[1], &k);
    if (o.get) {
        if (value_type(k.cell) != TYPE_HLL && !key_is(c, &k, TYPE_STRING))
            return;
        reply_string(c, &k);
        note_miss(c, &k);
    }
    if ((o.nx && k.cell != NULL) || (o.xx && k.cell == NULL)) {
        if (!o.get)
            reply_nil(c->reply);
        return;
    }
    key_set(c, &k, c->argv[2], o.keep_ttl);
    key_event(c, EVENT_STRING, "set", k.name);
    if (o.unit != TTL_NONE) {
        key_expire(c, &k, at_ms);
        key_event(c, EVENT_GENERIC, "expire", k.name);
    }
    if (!o.get)
        reply_ok(c->reply);
}

static void setnx(struct call *c)
{
    struct key k;
    key_write(c, c->argv[1], &k);
    bool absent = k.cell == NULL;
    if (absent) {
        key_set(c, &k, c->argv[2], false);
        key_event(c, EVENT_STRING, "set", k.name);
    }
    reply_int(c->reply, absent);
}

static void set_expiring(struct call *c, enum ttl_unit unit)
{
    struct key k;
    int64_t at_ms;
    if (!ttl_deadline(c, c->argv[2], unit, true, &at_ms))
        return;
    key_write(c, c->argv[1], &k);
    key_set(c, &k, c->argv[3], false);
    key_event(c, EVENT_STRING, "set", k.name);
    key_expire(c, &k, at_ms);
    key_event(c, EVENT_GENERIC, "expire", k.name);
    reply_ok(c->reply);
}

static void setex(struct call *c) { set_expiring(c, TTL_EX); }

static void psetex(struct call *c) { set_expiring(c, TTL_PX); }

static bool pairs_ok(struct call *c)
{
    if (c->argc % 2 == 1)
        return true;
    reply_errorf(c->reply, "ERR wrong number of arguments for '%s' command", c->command->name);
    return false;
}

static void set_pairs(struct call *c)
{
    for (uint32_t i = 1; i < c->argc; i += 2) {
        struct key k;
        key_write(c, c->argv[i], &k);
        key_set(c, &k, c->argv[i + 1], false);
        key_event(c, EVENT_STRING, "set", k.name);
    }
}

static void mset(struct call *c)
{
    if (!pairs_ok(c))
        return;
    set_pairs(c);
    reply_ok(c->reply);
}

static void msetnx(struct call *c)
{
    if (!pairs_ok(c))
        return;
    for (uint32_t i = 1; i < c->argc; i += 2) {
        struct key k;
        key_write(c, c->argv[i], &k);
        if (k.cell != NULL) {
            reply_int(c->reply, 0);
            return;
        }
    }
    set_pairs(c);
    reply_int(c->reply, 1);
}

/* ------------------------------------------------------------ GET and its kin */

static void get(struct call *c)
{
    struct key k;
    if (text_read(c, c->argv[1], &k))
        reply_string(c, &k);
}

static void getset(struct call *c)
{
    struct key k;
    if (!text_write(c, c->argv[1], &k))
        return;
    reply_string(c, &k);
    note_miss(c, &k);
    key_set(c, &k, c->argv[2], false);
    key_event(c, EVENT_STRING, "set", k.name);
}

static void getdel(struct call *c)
{
    struct key k;
    if (!text_write(c, c->argv[1], &k))
        return;
    reply_string(c, &k);
    note_miss(c, &k);
    if (k.cell == NULL)
        return;
    key_del(c, &k);
    key_event(c, EVENT_GENERIC, "del", k.name);
}

static void getex(struct call *c)
{
    struct set_options o;
    struct key k;
    int64_t at_ms = 0;
    if (!parse_options(c, 2, true, &o) || !text_write(c, c->argv[1], &k))
        return;
    if (k.cell == NULL) {
        note_miss(c, &k);
        reply_nil(c->reply);
        return;
    }
    if (o.unit != TTL_NONE && !ttl_deadline(c, o.time, o.unit, true, &at_ms))
        return;
    reply_string(c, &k);
    if (o.unit != TTL_NONE && call_is_past(c, at_ms)) {
        key_del(c, &k);
        key_event(c, EVENT_GENERIC, "del", k.name);
    } else if (o.unit != TTL_NONE) {
        key_expire(c, &k, at_ms);
        key_event(c, EVENT_GENERIC, "expire", k.name);
    } else if (o.persist && value_deadline(k.cell) != DEADLINE_NEVER) {
        key_expire(c, &k, DEADLINE_NEVER);
        key_event(c, EVENT_GENERIC, "persist", k.name);
    }
}

static void mget(struct call *c)
{
    reply_array(c->reply, c->argc - 1);
    for (uint32_t i = 1; i < c->argc; i++) {
        struct key k;
        key_read(c, c->argv[i], &k);
        reply_string(c, &k);
    }
}

static void string_length(struct call *c)
{
    struct key k;
    if (text_read(c, c->argv[1], &k))
        reply_int(c->reply, (int64_t)text_len(c, &k));
}

/* ------------------------------------------------------------ parts of strings */

static void getrange(struct call *c)
{
    struct key k;
    struct shown s;
    int64_t start, end;
    if (!arg_i64(c, c->argv[2], &start) || !arg_i64(c, c->argv[3], &end) ||
        !text_read(c, c->argv[1], &k))
        return;
    int64_t n = text_show(c, &k, &s) ? (int64_t)s.text.n : 0;
    bool crossed = start < 0 && end < 0 && start > end;
    start = start < 0 && (start += n) < 0 ? 0 : start;
    end = end < 0 && (end += n) < 0 ? 0 : end;
    end = end >= n ? n - 1 : end;
    if (crossed || start > end || n == 0)
        reply_bulk_str(c->reply, "");
    else
        reply_bulk(c->reply, bytes_of(s.text.p + start, (size_t)(end - start + 1)));
}

static void setrange(struct call *c)
{
    struct key k;
    int64_t offset;
    struct bytes part = c->argv[3];
    if (!arg_i64(c, c->argv[2], &offset))
        return;
    if (offset < 0) {
        reply_error(c->reply, "ERR offset is out of range");
        return;
    }
    if (!text_write(c, c->argv[1], &k))
        return;
    size_t n = text_len(c, &k), end = (size_t)offset + part.n;
    if (part.n == 0) {
        reply_int(c->reply, (int64_t)n);
    } else if ((uint64_t)offset > STRING_MAX || end > STRING_MAX) {
        reply_error(c->reply, ERR_TOO_LONG);
    } else {
        text_patch(c, &k, (size_t)offset, part);
        key_event(c, EVENT_STRING, "setrange", k.name);
        reply_int(c->reply, (int64_t)(end > n ? end : n));
    }
}

static void append(struct call *c)
{
    struct key k;
    struct bytes part = c->argv[2];
    if (!text_write(c, c->argv[1], &k))
        return;
    size_t n = text_len(c, &k);
    if (n + part.n > STRING_MAX) {
        reply_error(c->reply, ERR_TOO_LONG);
        return;
    }
    if (k.cell == NULL)
        key_set(c, &k, part, false);
    else if (part.n > 0)
        text_patch(c, &k, n, part);
    key_event(c, EVENT_STRING, "append", k.name);
    reply_int(c->reply, (int64_t)(n + part.n));
}

/* ------------------------------------------------------------ numbers */

/* The shown string as an integer, 0 for an absent key; a real number counts when its text is one.
 */
static bool string_int(struct call *c, const struct key *k, int64_t *out)
{
    long double real;
    struct shown s;
    *out = 0;
    if (k->cell == NULL)
        return true;
    switch (string_number(k->cell, out, &real)) {
    case NUMBER_INT:
        return true;
    case NUMBER_REAL:
        return text_show(c, k, &s) && num_parse_i64(s.text, out);
    case NUMBER_NONE:
        break;
    }
    return false;
}

static void add(struct call *c, int64_t by)
{
    struct key k;
    int64_t now, sum;
    if (!text_write(c, c->argv[1], &k))
        return;
    if (!string_int(c, &k, &now)) {
        reply_error(c->reply, ERR_NOT_INT);
        return;
    }
    if (__builtin_add_overflow(now, by, &sum)) {
        reply_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    key_op(c, &k, &(struct op){.kind = OP_INCR, .num = by});
    key_event(c, EVENT_STRING, "incrby", k.name);
    reply_int(c->reply, sum);
}

static void incr(struct call *c) { add(c, 1); }

static void decr(struct call *c) { add(c, -1); }

static void incrby(struct call *c)
{
    int64_t by;
    if (arg_i64(c, c->argv[2], &by))
        add(c, by);
}

static void decrby(struct call *c)
{
    int64_t by;
    if (!arg_i64(c, c->argv[2], &by))
        return;
    if (by == INT64_MIN)
        reply_error(c->reply, "ERR decrement would overflow");
    else
        add(c, -by);
}

static bool string_real(struct call *c, const struct key *k, long double *out)
{
    int64_t i;
    struct shown s;
    *out = 0;
    if (k->cell == NULL)
        return true;
    switch (string_number(k->cell, &i, out)) {
    case NUMBER_INT:
        *out = (long double)i;
        return true;
    case NUMBER_REAL:
        return true;
    case NUMBER_NONE:
        break;
    }
    text_show(c, k, &s); /* infinity is a float, though no sum can be */
    return num_parse_ld(s.text, out);
}

static void incrbyfloat(struct call *c)
{
    struct key k;
    long double now, by;
    if (!text_write(c, c->argv[1], &k))
        return;
    if (!string_real(c, &k, &now) || !num_parse_ld(c->argv[2], &by)) {
        reply_error(c->reply, ERR_NOT_FLOAT);
        return;
    }
    if (!isfinite(now + by)) {
        reply_error(c->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    key_op(c, &k, &(struct op){.kind = OP_INCRF, .real = by});
    key_event(c, EVENT_STRING, "incrbyfloat", k.name);
    reply_string(c, &k);
}

#define WRITE (CMD_WRITE | CMD_DENYOOM)
#define SET_TIMES "EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|"

const struct command cmd_string_table[] = {
    {"append", 3, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, append, NULL, "string", "2.0.0",
     "O(N) with N the length of the result", "Appends to a string", "key value"},
    {"decr", 2, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, decr, NULL, "string", "1.0.0",
     "O(1)", "Subtracts one from a counter; concurrent changes all count", "key"},
    {"decrby", 3, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, decrby, NULL, "string", "1.0.0",
     "O(1)", "Subtracts from a counter; concurrent changes all count", "key decrement"},
    {"get", 2, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, get, NULL, "string", "1.0.0",
     "O(1)", "Returns the string at a key", "key"},
    {"getdel", 2, CMD_WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, getdel, NULL, "string",
     "6.2.0", "O(1)", "Returns the string at a key and deletes the key", "key"},
    {"getex", -2, CMD_WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, getex, NULL, "string",
     "6.2.0", "O(1)", "Returns the string at a key and changes when it expires",
     "key [" SET_TIMES "PERSIST]"},
    {"getrange", 4, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, getrange, NULL, "string", "2.4.0",
     "O(N) with N the length of the part", "Returns a part of a string", "key start end"},
    {"getset", 3, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, getset, NULL, "string", "1.0.0",
     "O(1)", "Assigns a string and returns the one before", "key value"},
    {"incr", 2, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, incr, NULL, "string", "1.0.0",
     "O(1)", "Adds one to a counter; concurrent changes all count", "key"},
    {"incrby", 3, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, incrby, NULL, "string", "1.0.0",
     "O(1)", "Adds to a counter; concurrent changes all count", "key increment"},
    {"incrbyfloat", 3, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, incrbyfloat, NULL, "string",
     "2.6.0", "O(1)", "Adds to a number; concurrent changes all count", "key increment"},
    {"lcs", -3, CMD_READONLY, 1, 2, 1, AT_SHARD, MERGE_NONE, lcs, NULL, "string", "7.0.0",
     "O(N*M) with N and M the lengths of the strings",
     "Finds the longest common subsequence of two strings",
     "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]"},
    {"mget", -2, CMD_READONLY | CMD_FAST, 1, -1, 1, AT_SPLIT, MERGE_BY_KEY, mget, NULL, "string",
     "1.0.0", "O(N) with N the number of keys", "Returns the strings at several keys",
     "key [key ...]"},
    {"mset", -3, WRITE, 1, -1, 2, AT_SPLIT, MERGE_OK, mset, NULL, "string", "1.0.1",
     "O(N) with N the number of keys", "Assigns several strings", "key value [key value ...]"},
    {"msetnx", -3, WRITE, 1, -1, 2, AT_SHARD, MERGE_NONE, msetnx, NULL, "string", "1.0.1",
     "O(N) with N the number of keys",
     "Assigns several strings unless one of the keys exists in this region",
     "key value [key value ...]"},
    {"psetex", 4, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, psetex, NULL, "string", "2.6.0", "O(1)",
     "Assigns a string that expires", "key milliseconds value"},
    {"set", -3, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, set, NULL, "string", "1.0.0", "O(1)",
     "Assigns a string, whatever the key held", "key value [NX|XX] [GET] [" SET_TIMES "KEEPTTL]"},
    {"setex", 4, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, setex, NULL, "string", "2.0.0", "O(1)",
     "Assigns a string that expires", "key seconds value"},
    {"setnx", 3, WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, setnx, NULL, "string", "1.0.0",
     "O(1)", "Assigns a string unless the key exists in this region", "key value"},
    {"setrange", 4, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, setrange, NULL, "string", "2.2.0",
     "O(N) with N the length of the result", "Overwrites a part of a string", "key offset value"},
    {"strlen", 2, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, string_length, NULL,
     "string", "2.2.0", "O(1)", "Returns the length of a string", "key"},
    {"substr", 4, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, getrange, NULL, "string", "1.0.0",
     "O(N) with N the length of the part", "Returns a part of a string", "key start end"},
    {.name = NULL},
};
