/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/conflict.h"
#include "shard/keys.h"

/* CRDT.INSPECT: a key as it is kept, with what concurrent writes and compaction have left of it.
 * The only command that looks below what a key shows, and it changes nothing. The other commands
 * of CRDT.* have their rows here; the proxy runs them. */

#define ELEMENTS_MAX 64u /* of a collection, when none is named */
#define VALUE_MAX 128u   /* bytes of a value that are shown */

static void put_dot(struct reply *r, stamp_t dot)
{
    reply_bulk_str(r, "region");
    reply_int(r, actor_region(stamp_actor(dot)));
    reply_bulk_str(r, "stamp");
    reply_bulk_i64(r, (int64_t)dot); /* beyond what doubles hold */
    reply_bulk_str(r, "time-ms");
    reply_int(r, stamp_is_zero(dot) ? 0 : stamp_wall_ms(dot));
}

static void put_value(struct reply *r, enum type type, struct bytes val)
{
    if (type == TYPE_ZSET) {
        reply_double(r, score_load(val));
        return;
    }
    reply_bulk(r, bytes_of(val.p, val.n < VALUE_MAX ? val.n : VALUE_MAX));
}

static void put_siblings(struct reply *r, const struct reg *reg, enum type type)
{
    reply_bulk_str(r, "siblings");
    reply_array(r, reg->nsib);
    for (uint32_t i = reg->nsib; i-- > 0;) { /* what shows comes first */
        const struct sibling *s = &reg->sib[i];
        reply_map(r, type == TYPE_SET ? 3 : 5);
        put_dot(r, s->dot);
        if (type == TYPE_SET)
            continue;
        reply_bulk_str(r, "length");
        reply_int(r, (int64_t)s->val.n);
        reply_bulk_str(r, "value");
        put_value(r, type, s->val);
    }
}

static void put_segments(struct reply *r, const struct reg *reg)
{
    char text[NUM_TEXT_MAX];
    reply_bulk_str(r, "increments");
    reply_array(r, reg->nseg);
    for (uint32_t i = 0; i < reg->nseg; i++) {
        const struct segment *s = &reg->seg[i];
        reply_map(r, 5);
        put_dot(r, s->to);
        reply_bulk_str(r, "since-stamp");
        reply_bulk_i64(r, (int64_t)s->from);
        reply_bulk_str(r, "amount");
        if (s->kind == AMOUNT_RANKS)
            reply_bulk_str(r, "registers");
        else if (s->kind == AMOUNT_REAL)
            reply_bulk(r, bytes_of(text, num_format_ld(text, s->real)));
        else
            reply_bulk_i64(r, clamp_i64(s->num));
    }
}

/* Two entries of a map. */
static void put_register(struct reply *r, const struct cell *cell, enum type type, stamp_t base)
{
    struct reg reg;
    reg_open(&reg, (uint8_t)type, cell, base);
    put_siblings(r, &reg, type);
    put_segments(r, &reg);
    reg_close(&reg);
}

static void put_element(struct reply *r, const struct cell *e, const struct coll *c)
{
    enum type type = (enum type)c->type;
    struct shown shown;
    reply_map(r, 4);
    reply_bulk_str(r, "element");
    if (type == TYPE_LIST) { /* its name is a position; what it shows says more */
        cell_show(e, &shown);
        reply_bulk(r, shown.text);
    } else {
        reply_bulk(r, cell_name(e));
    }
    reply_bulk_str(r, "bytes");
    reply_int(r, (int64_t)cell_size(e));
    put_register(r, e, type, c->is_large ? 0 : c->base);
}

static void put_elements(struct call *c, const struct cell *key, enum type type)
{
    const struct coll *coll = key_coll(key, type);
    size_t len = coll_len(key, type), n = len < ELEMENTS_MAX ? len : ELEMENTS_MAX;
    reply_bulk_str(c->reply, "elements");
    if (c->argc > 2) {
        const struct cell *e = type == TYPE_LIST ? NULL : coll_find(key, type, c->argv[2]);
        reply_array(c->reply, e != NULL);
        if (e != NULL)
            put_element(c->reply, e, coll);
        return;
    }
    if (type == TYPE_STREAM) /* its entries and groups: XINFO tells them */
        n = 0;
    struct coll_iter it;
    coll_iter(&it, key, type);
    reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++)
        put_element(c->reply, coll_next(&it), coll);
}

static bool holds(const struct cell *key, enum type type)
{
    return type_is_register(type) ? key_register(key, type) != NULL : key_coll(key, type) != NULL;
}

static void put_types(struct call *c, const struct cell *key, stamp_t *newest)
{
    unsigned n = 0;
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++)
        n += holds(key, t);
    reply_bulk_str(c->reply, "types");
    reply_array(c->reply, n);
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        if (!holds(key, t))
            continue;
        stamp_t dot = newest_dot(key_register(key, t), key_coll(key, t), t);
        *newest = dot > *newest ? dot : *newest;
        reply_map(c->reply, 3);
        reply_bulk_str(c->reply, "type");
        reply_bulk_str(c->reply, t == TYPE_HLL ? "hyperloglog" : type_name(t));
        if (type_is_register(t)) {
            put_register(c->reply, key_register(key, t), t, 0);
            continue;
        }
        reply_bulk_str(c->reply, "length");
        reply_int(c->reply, (int64_t)coll_len(key, t));
        put_elements(c, key, t);
    }
}

static void put_deadlines(struct reply *r, const struct cell *key, stamp_t *newest)
{
    const struct multi *m = key_multi(key);
    struct deadline one;
    const struct deadline *all = m != NULL ? m->deadlines : &one;
    uint32_t n = m != NULL ? m->ndeadlines : cell_has_deadline(key);
    if (m == NULL && n > 0)
        one = deadline_load(cell_view(key).deadline);
    reply_bulk_str(r, "deadlines");
    reply_array(r, n);
    for (uint32_t i = 0; i < n; i++) {
        *newest = all[i].dot > *newest ? all[i].dot : *newest;
        reply_map(r, 5);
        put_dot(r, all[i].dot);
        reply_bulk_str(r, "at-ms");
        if (all[i].ms == DEADLINE_NEVER)
            reply_nil(r);
        else
            reply_int(r, all[i].ms);
        reply_bulk_str(r, "shown");
        reply_bool(r, all[i].dot == value_deadline_dot(key));
    }
}

/* The regions that are not known to have seen the key's newest write. */
static void put_lacking(struct call *c, uint32_t partition, stamp_t newest)
{
    uint64_t lacking = newest != 0 ? call_lacking(c, partition, newest) : 0;
    reply_bulk_str(c->reply, "waits-for-regions");
    reply_array(c->reply, (size_t)__builtin_popcountll(lacking));
    for (uint32_t region = 1; region <= REGION_MAX; region++)
        if (lacking >> region & 1)
            reply_int(c->reply, region);
}

static void crdt_inspect(struct call *c)
{
    struct key k;
    stamp_t newest = 0;
    if (c->argc > 3) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    key_read(c, c->argv[1], &k);
    const struct cell *key = k.held; /* also when it is past its deadline, or only that is left */
    if (key == NULL) {
        reply_nil_array(c->reply);
        return;
    }
    struct reply *r = c->reply;
    reply_map(r, 9);
    reply_bulk_str(r, "key");
    reply_bulk(r, k.name);
    reply_bulk_str(r, "slot");
    reply_int(r, hash_slot(k.name));
    reply_bulk_str(r, "partition");
    reply_int(r, k.partition);
    reply_bulk_str(r, "type");
    reply_bulk_str(r, k.cell != NULL ? type_name(value_type(key)) : "none");
    reply_bulk_str(r, "bytes");
    reply_int(r, (int64_t)value_memory(key));
    put_types(c, key, &newest);
    put_deadlines(r, key, &newest);
    reply_bulk_str(r, "settled");
    reply_bool(r, value_is_settled(key));
    put_lacking(c, k.partition, newest);
}

const struct command cmd_crdt_table[] = {
    {"crdt.after", 3, CMD_BLOCKING | CMD_NO_MULTI | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION,
     MERGE_NONE, NULL, NULL, "generic", "1.0.0", "O(P) with P the number of the token's partitions",
     "Waits until this region has seen all that a token tells", "token timeout"},
    {"crdt.conflicts", -1, CMD_READONLY | CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0,
     AT_SESSION, MERGE_NONE, NULL, NULL, "generic", "1.0.0",
     "O(N) with N the number of conflicts kept",
     "Lists pairs of concurrent writes of which one lost",
     "[SINCE id] [PREFIX prefix] [COUNT count]"},
    {"crdt.context", -1, CMD_READONLY | CMD_NOSCRIPT | CMD_LOADING, 1, 1, 1, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions",
     "Tells the newest stamp seen of every actor, by partition", "[key]"},
    {"crdt.digest", -1, CMD_READONLY | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions",
     "Returns digests of what the partitions show, equal in all regions whose contexts are",
     "[partition]"},
    {"crdt.inspect", -2, CMD_READONLY | CMD_NOSCRIPT | CMD_LOADING, 1, 1, 1, AT_SHARD, MERGE_NONE,
     crdt_inspect, NULL, "generic", "1.0.0",
     "O(N) with N the number of dots shown, at most those of 64 elements",
     "Shows how a key is kept: siblings, increments, deadlines, what compaction waits for",
     "key [element]"},
    {"crdt.token", -1, CMD_READONLY | CMD_NOSCRIPT | CMD_LOADING, 1, -1, 1, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions",
     "Returns what this region has seen, for CRDT.AFTER in another", "[key [key ...]]"},
    {"crdt.verify", -1, CMD_READONLY | CMD_NO_MULTI | CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0",
     "O(P) with P the number of partitions, and O(N) of the keys where they differ",
     "Compares what this region shows with what others show, and names keys that differ",
     "[region] [COUNT count]"},
    {"crdt.wait", -3, CMD_BLOCKING | CMD_NO_MULTI | CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions written to",
     "Waits until other regions have this session's writes", "regions timeout [DURABLE]"},
    {.name = NULL},
};
