/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/args.h"
#include "shard/hll_estimate.h"

#include <stdlib.h>

/* Redis commands of the group "hyperloglog":
 * https://redis.io/docs/latest/commands/?group=hyperloglog */

/* What OP_PFADD carries: register index (big endian) and rank. */
#define PAIR 3u

/* In Redis a HyperLogLog is a string with a certain head, so that another string gets an error of
 * its own. */
static bool is_hll(struct call *c, const struct key *k)
{
    if (value_type(k->cell) != TYPE_STRING)
        return key_is(c, k, TYPE_HLL);
    reply_error(c->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

static void show(const struct key *k, uint8_t ranks[HLL_REGISTERS])
{
    if (!hll_show(k->cell, ranks))
        memset(ranks, 0, HLL_REGISTERS);
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

/* As with SADD, what changes nothing here is sent all the same: it survives a removal made
 * elsewhere meanwhile. Where there is no elsewhere it is spared, since rewriting 16384 registers is
 * dear. */
static void pfadd(struct call *c)
{
    struct key k;
    uint8_t ranks[HLL_REGISTERS];
    key_write(c, c->argv[1], &k);
    if (!is_hll(c, &k))
        return;
    struct buf pairs = {0};
    for (uint32_t i = 2; i < c->argc; i++) {
        uint16_t index;
        uint8_t rank;
        hll_place(c->argv[i], &index, &rank);
        put_pair(&pairs, index, rank);
    }
    unite_pairs(&pairs);
    bool changed = k.cell == NULL;
    if (!changed && buf_len(&pairs) > 0) {
        show(&k, ranks);
        changed = raises(ranks, buf_bytes(&pairs));
    }
    if (changed || (call_is_shared(c) && buf_len(&pairs) > 0))
        key_elem(c, &k, OP_PFADD, bytes_of(NULL, 0), buf_bytes(&pairs));
    buf_deinit(&pairs);
    reply_int(c->reply, changed);
}

/* Written so that compilers use vectors: a fixed count, no aliases, no branch. */
static void raise_to(uint8_t *restrict ranks, const uint8_t *restrict more)
{
    for (size_t i = 0; i < HLL_REGISTERS; i++)
        ranks[i] = more[i] > ranks[i] ? more[i] : ranks[i];
}

/* Raises `ranks` to what the key holds; false when an error was replied. */
static bool join(struct call *c, const struct key *k, uint8_t ranks[HLL_REGISTERS])
{
    uint8_t more[HLL_REGISTERS];
    if (!is_hll(c, k))
        return false;
    if (k->cell == NULL || !hll_show(k->cell, more))
        return true;
    raise_to(ranks, more);
    return true;
}

static void pfcount(struct call *c)
{
    struct key k;
    uint8_t ranks[HLL_REGISTERS] = {0};
    for (uint32_t i = 1; i < c->argc; i++) {
        key_read(c, c->argv[i], &k);
        if (!join(c, &k, ranks))
            return;
    }
    reply_int(c->reply, (int64_t)hll_estimate(ranks));
}

static void pfmerge(struct call *c)
{
    struct key to, k;
    uint8_t ranks[HLL_REGISTERS] = {0};
    key_write(c, c->argv[1], &to);
    if (!join(c, &to, ranks))
        return;
    for (uint32_t i = 2; i < c->argc; i++) {
        key_read(c, c->argv[i], &k);
        if (!join(c, &k, ranks))
            return;
    }
    struct buf pairs = {0};
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        if (ranks[i] > 0)
            put_pair(&pairs, (uint16_t)i, ranks[i]);
    key_elem(c, &to, OP_PFADD, bytes_of(NULL, 0), buf_bytes(&pairs));
    buf_deinit(&pairs);
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
    {.name = NULL},
};
