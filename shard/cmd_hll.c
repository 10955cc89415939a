/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_hll.h"

#include "shard/events.h"
#include "shard/hll_estimate.h"

#include <stdlib.h>

/* Redis commands of the group "hyperloglog":
 * https://redis.io/docs/latest/commands/?group=hyperloglog */

/* What OP_PFADD carries: register index (big endian) and rank. */
#define PAIR 3u

bool hll_of_key(struct call *c, const struct key *k, struct hll *out)
{
    struct shown s;
    enum type type = value_type(k->cell);
    out->is_dense = false;
    if (type == TYPE_HLL) {
        out->is_dense = hll_is_dense(k->cell);
        return hll_show(k->cell, out->ranks);
    }
    if (!key_is(c, k, TYPE_STRING))
        return false;
    memset(out->ranks, 0, sizeof out->ranks);
    if (!string_show(k->cell, &s))
        return true;
    switch (hll_text_read(s.text, out->ranks)) {
    case HLL_READ:
        out->is_dense = hll_text_is_dense(s.text);
        return true;
    case HLL_NO_TEXT:
        reply_error(c->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
        break;
    case HLL_CORRUPT:
        reply_error(c->reply, "INVALIDOBJ Corrupted HLL object detected");
        break;
    }
    return false;
}

static void put_pair(struct buf *b, uint16_t index, uint8_t rank)
{
    uint8_t *p = buf_reserve(b, PAIR);
    p[0] = (uint8_t)(index >> 8);
    p[1] = (uint8_t)index;
    p[2] = rank;
    buf_added(b, PAIR);
}

static int pair_cmp(const void *a, const void *b) { return memcmp(a, b, PAIR); }

/* Sorts by index and keeps each index once, with its greatest rank, which sorts last. */
static void unite_pairs(struct buf *b)
{
    size_t n = buf_len(b) / PAIR, kept = 0;
    uint8_t *p = b->p + b->head;
    if (n > 1)
        qsort(p, n, PAIR, pair_cmp);
    for (size_t i = 0; i < n; i++) {
        bool again = i + 1 < n && memcmp(p + i * PAIR, p + (i + 1) * PAIR, 2) == 0;
        if (!again)
            memmove(p + kept++ * PAIR, p + i * PAIR, PAIR);
    }
    b->tail = b->head + kept * PAIR;
}

static bool raises(const uint8_t ranks[HLL_REGISTERS], struct bytes pairs)
{
    for (size_t i = 0; i < pairs.n; i += PAIR)
        if (pairs.p[i + 2] > ranks[(size_t)pairs.p[i] << 8 | pairs.p[i + 1]])
            return true;
    return false;
}

/* Appends all that is above 0: as pairs, or dense where Redis would have made it so and the length
 * does not tell. */
static void put_ranks(struct buf *b, const struct hll *h)
{
    if (h->is_dense) {
        buf_put(b, h->ranks, HLL_REGISTERS);
        return;
    }
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        if (h->ranks[i] > 0)
            put_pair(b, (uint16_t)i, h->ranks[i]);
}

static void add_ranks(struct call *c, struct key *k, const struct hll *h)
{
    struct buf b = {0};
    put_ranks(&b, h);
    key_elem(c, k, OP_PFADD, bytes_of(NULL, 0), buf_bytes(&b));
    buf_deinit(&b);
}

/* A string that holds a HyperLogLog, `h`, becomes one. */
static void take_over(struct call *c, struct key *k, const struct hll *h)
{
    if (value_type(k->cell) != TYPE_STRING)
        return;
    int64_t deadline = value_deadline(k->cell);
    key_del(c, k);
    add_ranks(c, k, h);
    if (deadline != DEADLINE_NEVER)
        key_expire(c, k, deadline);
}

void hll_make_dense(struct call *c, struct key *k, struct hll *h)
{
    h->is_dense = true;
    if (value_type(k->cell) == TYPE_STRING)
        take_over(c, k, h);
    else
        add_ranks(c, k, h);
}

/* As with SADD, what changes nothing here is sent all the same: it survives a removal made
 * elsewhere meanwhile. Where there is no elsewhere it is spared, since rewriting 16384 registers is
 * dear. */
static void pfadd(struct call *c)
{
    struct key k;
    struct hll h;
    key_write(c, c->argv[1], &k);
    if (!hll_of_key(c, &k, &h))
        return;
    take_over(c, &k, &h);
    struct buf pairs = {0};
    for (uint32_t i = 2; i < c->argc; i++) {
        uint16_t index;
        uint8_t rank;
        hll_place(c->argv[i], &index, &rank);
        put_pair(&pairs, index, rank);
    }
    unite_pairs(&pairs);
    bool changed = k.cell == NULL || raises(h.ranks, buf_bytes(&pairs));
    if (changed || (call_is_shared(c) && buf_len(&pairs) > 0))
        key_elem(c, &k, OP_PFADD, bytes_of(NULL, 0), buf_bytes(&pairs));
    if (changed)
        key_event(c, EVENT_STRING, "pfadd", k.name);
    buf_deinit(&pairs);
    reply_int(c->reply, changed);
}

/* Written so that compilers use vectors: a fixed count, no aliases, no branch. */
static void raise_to(uint8_t *restrict ranks, const uint8_t *restrict more)
{
    for (size_t i = 0; i < HLL_REGISTERS; i++)
        ranks[i] = more[i] > ranks[i] ? more[i] : ranks[i];
}

/* Raises `all` to what the key holds; false when an error was replied. */
static bool join(struct call *c, const struct key *k, struct hll *all)
{
    struct hll h;
    if (!hll_of_key(c, k, &h))
        return false;
    if (k->cell == NULL)
        return true;
    all->is_dense |= h.is_dense;
    raise_to(all->ranks, h.ranks);
    return true;
}

static void pfcount(struct call *c)
{
    struct key k;
    struct hll all = {.is_dense = false};
    for (uint32_t i = 1; i < c->argc; i++) {
        key_read(c, c->argv[i], &k);
        if (!join(c, &k, &all))
            return;
    }
    if (c->argc == 2 && value_type(k.cell) == TYPE_HLL)
        hll_set_counted(k.cell);
    reply_int(c->reply, (int64_t)hll_estimate(all.ranks));
}

static void pfmerge(struct call *c)
{
    struct key to, k;
    struct hll own, all;
    key_write(c, c->argv[1], &to);
    if (!hll_of_key(c, &to, &own))
        return;
    if (to.cell == NULL)
        key_event(c, EVENT_KEY_MISS, "keymiss", to.name);
    all = own;
    for (uint32_t i = 2; i < c->argc; i++) {
        key_read(c, c->argv[i], &k);
        if (!join(c, &k, &all))
            return;
    }
    take_over(c, &to, &own);
    add_ranks(c, &to, &all);
    key_event(c, EVENT_STRING, "pfadd", to.name);
    reply_ok(c->reply);
}

/* name, arity, flags, first, last and step of keys, where, merge, run, keys,
 * group, since, complexity, summary, arguments */
const struct command cmd_hll_table[] = {
    {"pfadd", -2, CMD_WRITE | CMD_DENYOOM | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, pfadd, NULL,
     "hyperloglog", "2.8.9", "O(1) for each element", "Adds elements to a HyperLogLog",
     "key [element [element ...]]"},
    {"pfcount", -2, CMD_READONLY, 1, -1, 1, AT_SHARD, MERGE_NONE, pfcount, NULL, "hyperloglog",
     "2.8.9", "O(1) for one key, O(N) for several",
     "Estimates how many different elements were added", "key [key ...]"},
    {"pfmerge", -2, CMD_WRITE | CMD_DENYOOM, 1, -1, 1, AT_SHARD, MERGE_NONE, pfmerge, NULL,
     "hyperloglog", "2.8.9", "O(N) with N the number of HyperLogLogs",
     "Unites HyperLogLogs into one", "destination [source [source ...]]"},
    {"pfdebug", 3, CMD_WRITE | CMD_DENYOOM | CMD_ADMIN, 2, 2, 1, AT_SHARD, MERGE_NONE, pfdebug,
     NULL, "hyperloglog", "2.8.9", "O(N) with N the number of registers",
     "Shows or changes how a HyperLogLog is held, for tests",
     "<DECODE|ENCODING|GETREG|TODENSE> key"},
    {"pfselftest", 1, CMD_ADMIN, 0, 0, 0, AT_SHARD, MERGE_NONE, pfselftest, NULL, "hyperloglog",
     "2.8.9", "O(N) with N the number of elements tried", "Tests HyperLogLogs", ""},
    {.name = NULL},
};
