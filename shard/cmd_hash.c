/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/args.h"
#include "shard/collscan.h"
#include "shard/events.h"
#include "shard/names.h"
#include "shard/sample.h"

#include <math.h>

/* Redis commands of the group "hash": https://redis.io/docs/latest/commands/?group=hash */

static bool read_hash(struct call *c, struct key *k)
{
    key_read(c, c->argv[1], k);
    return key_is(c, k, TYPE_HASH);
}

static bool write_hash(struct call *c, struct key *k)
{
    key_write(c, c->argv[1], k);
    return key_is(c, k, TYPE_HASH);
}

static const struct cell *field_of(const struct key *k, struct bytes field)
{
    return coll_find(k->cell, TYPE_HASH, field);
}

static void reply_field(struct reply *r, const struct cell *field)
{
    if (field == NULL) {
        reply_nil(r);
        return;
    }
    struct shown s;
    cell_show(field, &s);
    reply_bulk(r, s.text);
}

/* Sets all pairs of the command; returns how many fields are new, -1 when an error was replied. */
static int64_t set_pairs(struct call *c)
{
    if (c->argc % 2 != 0) {
        reply_errorf(c->reply, "ERR wrong number of arguments for '%s' command", c->command->name);
        return -1;
    }
    struct key k;
    if (!write_hash(c, &k))
        return -1;
    int64_t added = 0;
    for (uint32_t i = 2; i < c->argc; i += 2) {
        key_elem(c, &k, OP_HSET, c->argv[i], c->argv[i + 1]);
        added += k.elem_new;
    }
    key_event(c, EVENT_HASH, "hset", k.name);
    return added;
}

static void hset(struct call *c)
{
    int64_t added = set_pairs(c);
    if (added >= 0)
        reply_int(c->reply, added);
}

static void hmset(struct call *c)
{
    if (set_pairs(c) >= 0)
        reply_ok(c->reply);
}

static void hsetnx(struct call *c)
{
    struct key k;
    if (!write_hash(c, &k))
        return;
    bool present = field_of(&k, c->argv[2]) != NULL;
    if (!present) {
        key_elem(c, &k, OP_HSET, c->argv[2], c->argv[3]);
        key_event(c, EVENT_HASH, "hset", k.name);
    }
    reply_int(c->reply, !present);
}

static void hget(struct call *c)
{
    struct key k;
    if (read_hash(c, &k))
        reply_field(c->reply, field_of(&k, c->argv[2]));
}

static void hmget(struct call *c)
{
    struct key k;
    if (!read_hash(c, &k))
        return;
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++)
        reply_field(c->reply, field_of(&k, c->argv[i]));
}

static void reply_all(struct call *c, const struct key *k, bool names, bool values)
{
    struct coll_iter it;
    coll_iter(&it, k->cell, TYPE_HASH);
    for (const struct cell *f; (f = coll_next(&it)) != NULL;) {
        if (names)
            reply_bulk(c->reply, cell_name(f));
        if (values)
            reply_field(c->reply, f);
    }
}

static void hgetall(struct call *c)
{
    struct key k;
    if (!read_hash(c, &k))
        return;
    reply_map(c->reply, coll_len(k.cell, TYPE_HASH));
    reply_all(c, &k, true, true);
}

static void hkeys(struct call *c)
{
    struct key k;
    if (!read_hash(c, &k))
        return;
    reply_array(c->reply, coll_len(k.cell, TYPE_HASH));
    reply_all(c, &k, true, false);
}

static void hvals(struct call *c)
{
    struct key k;
    if (!read_hash(c, &k))
        return;
    reply_array(c->reply, coll_len(k.cell, TYPE_HASH));
    reply_all(c, &k, false, true);
}

static void hlen(struct call *c)
{
    struct key k;
    if (read_hash(c, &k))
        reply_int(c->reply, (int64_t)coll_len(k.cell, TYPE_HASH));
}

static void hstrlen(struct call *c)
{
    struct key k;
    if (!read_hash(c, &k))
        return;
    const struct cell *f = field_of(&k, c->argv[2]);
    reply_int(c->reply, f == NULL ? 0 : (int64_t)cell_show_len(f));
}

static void hexists(struct call *c)
{
    struct key k;
    if (read_hash(c, &k))
        reply_int(c->reply, field_of(&k, c->argv[2]) != NULL);
}

static void hdel(struct call *c)
{
    struct key k;
    if (!write_hash(c, &k))
        return;
    int64_t removed = 0;
    for (uint32_t i = 2; i < c->argc; i++) {
        if (field_of(&k, c->argv[i]) == NULL)
            continue;
        key_elem(c, &k, OP_HDEL, c->argv[i], bytes_of(NULL, 0));
        removed++;
    }
    if (removed > 0)
        key_event_left(c, EVENT_HASH, "hdel", &k);
    reply_int(c->reply, removed);
}

/* ------------------------------------------------------------ counters */

/* The field's integer, 0 when absent. A sum of floats that comes out whole reads as an integer, as
 * its text would. */
static bool field_i64(const struct cell *field, int64_t *out)
{
    long double real;
    *out = 0;
    if (field == NULL)
        return true;
    switch (cell_number(field, out, &real)) {
    case NUMBER_INT:
        return true;
    case NUMBER_REAL: {
        struct shown s;
        cell_show(field, &s);
        return num_parse_i64(s.text, out);
    }
    case NUMBER_NONE:
        break;
    }
    return false;
}

static void hincrby(struct call *c)
{
    struct key k;
    int64_t by, value, sum;
    if (!arg_i64(c, c->argv[3], &by) || !write_hash(c, &k))
        return;
    if (!field_i64(field_of(&k, c->argv[2]), &value)) {
        reply_error(c->reply, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, by, &sum)) {
        reply_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    struct op op = {.kind = OP_HINCR, .elem = c->argv[2], .num = by};
    key_op(c, &k, &op);
    key_event(c, EVENT_HASH, "hincrby", k.name);
    reply_int(c->reply, sum);
}

static bool field_real(const struct cell *field, long double *out)
{
    int64_t i;
    struct shown s;
    *out = 0;
    if (field == NULL)
        return true;
    switch (cell_number(field, &i, out)) {
    case NUMBER_INT:
        *out = (long double)i;
        return true;
    case NUMBER_REAL:
        return true;
    case NUMBER_NONE:
        break;
    }
    cell_show(field, &s); /* infinity is a float, though no sum can be */
    return num_parse_ld(s.text, out);
}

static void hincrbyfloat(struct call *c)
{
    struct key k;
    long double by, value;
    if (!num_parse_ld(c->argv[3], &by)) {
        reply_error(c->reply, ERR_NOT_FLOAT);
        return;
    }
    if (!isfinite(by)) {
        reply_error(c->reply, "ERR value is NaN or Infinity");
        return;
    }
    if (!write_hash(c, &k))
        return;
    if (!field_real(field_of(&k, c->argv[2]), &value)) {
        reply_error(c->reply, "ERR hash value is not a float");
        return;
    }
    if (!isfinite(value + by)) {
        reply_error(c->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    key_elem_real(c, &k, OP_HINCRF, c->argv[2], by);
    key_event(c, EVENT_HASH, "hincrbyfloat", k.name);
    reply_field(c->reply, field_of(&k, c->argv[2]));
}

/* ------------------------------------------------------------ random fields, scanning */

static void reply_sample(struct call *c, const struct buf *cells, bool values)
{
    size_t n = sample_count(cells);
    bool nested = values && c->reply->resp > 2;
    reply_array(c->reply, values && !nested ? n * 2 : n);
    for (size_t i = 0; i < n; i++) {
        const struct cell *f = sample_at(cells, i);
        if (nested)
            reply_array(c->reply, 2);
        reply_bulk(c->reply, cell_name(f));
        if (values)
            reply_field(c->reply, f);
    }
}

static void hrandfield(struct call *c)
{
    struct key k;
    int64_t count = 1;
    bool values = c->argc == 4;
    if (c->argc > 2) {
        if (!arg_random_count(c, c->argv[2], false, &count))
            return;
        if (c->argc > 4 || (values && !bytes_is_nocase(c->argv[3], "withvalues"))) {
            reply_error(c->reply, ERR_SYNTAX);
            return;
        }
        if (values && !arg_random_count(c, c->argv[2], true, &count))
            return;
    }
    if (!read_hash(c, &k))
        return;
    if (c->argc == 2) {
        const struct cell *f = k.cell != NULL ? coll_random(k.cell, TYPE_HASH, call_rng(c)) : NULL;
        if (f == NULL)
            reply_nil(c->reply);
        else
            reply_bulk(c->reply, cell_name(f));
        return;
    }
    struct buf cells = {0};
    if (sample(c, k.cell, TYPE_HASH, count, &cells))
        reply_sample(c, &cells, values);
    buf_deinit(&cells);
}

static void hscan(struct call *c) { collscan(c, TYPE_HASH); }

/* name, arity, flags, first, last and step of keys, where, merge, run, keys,
 * group, since, complexity, summary, arguments */
const struct command cmd_hash_table[] = {
    {"hset", -4, CMD_WRITE | CMD_DENYOOM | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE,
     hset, NULL, "hash", "2.0.0", "O(1) for each field",
     "Sets fields of a hash, creating what is not there", "key field value [field value ...]"},
    {"hmset", -4, CMD_WRITE | CMD_DENYOOM | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE,
     hmset, NULL, "hash", "2.0.0", "O(N) with N the number of fields", "Sets fields of a hash",
     "key field value [field value ...]"},
    {"hsetnx", 4, CMD_WRITE | CMD_DENYOOM | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE,
     hsetnx, NULL, "hash", "2.0.0", "O(1)", "Sets a field of a hash unless it is there",
     "key field value"},
    {"hget", 3, CMD_READONLY | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE, hget, NULL,
     "hash", "2.0.0", "O(1)", "Returns the value of a field", "key field"},
    {"hmget", -3, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, hmget, NULL, "hash",
     "2.0.0", "O(N) with N the number of fields asked for", "Returns the values of several fields",
     "key field [field ...]"},
    {"hgetall", 2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, hgetall, NULL, "hash", "2.0.0",
     "O(N) with N the size of the hash", "Returns all fields and their values", "key"},
    {"hkeys", 2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, hkeys, NULL, "hash", "2.0.0",
     "O(N) with N the size of the hash", "Returns all fields", "key"},
    {"hvals", 2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, hvals, NULL, "hash", "2.0.0",
     "O(N) with N the size of the hash", "Returns all values", "key"},
    {"hlen", 2, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, hlen, NULL, "hash", "2.0.0",
     "O(1)", "Returns the number of fields", "key"},
    {"hstrlen", 3, CMD_READONLY | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE, hstrlen,
     NULL, "hash", "3.2.0", "O(1)", "Returns the length of a field's value", "key field"},
    {"hexists", 3, CMD_READONLY | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE, hexists,
     NULL, "hash", "2.0.0", "O(1)", "Tells whether a field is there", "key field"},
    {"hdel", -3, CMD_WRITE | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE, hdel, NULL,
     "hash", "2.0.0", "O(N) with N the number of fields to be removed", "Removes fields of a hash",
     "key field [field ...]"},
    {"hincrby", 4, CMD_WRITE | CMD_DENYOOM | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE,
     hincrby, NULL, "hash", "2.0.0", "O(1)",
     "Adds to the integer in a field; concurrent additions all count", "key field increment"},
    {"hincrbyfloat", 4, CMD_WRITE | CMD_DENYOOM | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD,
     MERGE_NONE, hincrbyfloat, NULL, "hash", "2.6.0", "O(1)",
     "Adds to the number in a field; concurrent additions all count", "key field increment"},
    {"hrandfield", -2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, hrandfield, NULL, "hash",
     "6.2.0", "O(N) with N the number of fields returned", "Returns random fields of a hash",
     "key [count [WITHVALUES]]"},
    {"hscan", -3, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, hscan, NULL, "hash", "2.8.0",
     "O(1) a call, O(N) for a whole iteration", "Iterates over the fields of a hash",
     "key cursor [MATCH pattern] [COUNT count]"},
    {.name = NULL},
};
