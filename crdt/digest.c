/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/digest.h"

#include "base/mem.h"
#include "crdt/hll.h"
#include "crdt/multi.h"

#define DEADLINE_SEED 15u /* beside the types' numbers */

uint64_t digest_seed(struct bytes key, enum type type) { return hash_64(key, (uint64_t)type); }

static struct hash128 term(uint64_t seed, struct bytes name, struct bytes text)
{
    return hash_128(text, hash_64(name, seed));
}

static struct hash128 score_term(uint64_t seed, struct bytes name, double score)
{
    return term(seed, name, bytes_of(&score, sizeof score));
}

struct hash128 digest_element(uint64_t seed, enum type type, const struct cell *c)
{
    if (type == TYPE_SET)
        return hash_128(cell_name(c), seed);
    if (type == TYPE_ZSET)
        return score_term(seed, cell_name(c), cell_score(c));
    struct shown s;
    cell_show(c, &s);
    return term(seed, cell_name(c), s.text);
}

struct hash128 digest_open(uint64_t seed, struct bytes name, const struct reg *r)
{
    if (r->type == TYPE_SET)
        return hash_128(name, seed);
    if (r->type == TYPE_ZSET)
        return score_term(seed, name, reg_score(r));
    struct shown s;
    reg_show(r, &s);
    return term(seed, name, s.text);
}

struct hash128 digest_single(uint64_t seed, enum type type, struct bytes name, struct bytes value)
{
    if (type == TYPE_SET)
        return hash_128(name, seed);
    if (type == TYPE_ZSET)
        return score_term(seed, name, score_load(value));
    return term(seed, name, value);
}

static struct hash128 ranks_term(struct bytes key, const struct cell *c)
{
    uint8_t *ranks = mem_zalloc(RANKS_DENSE);
    struct reg r;
    reg_open(&r, TYPE_HLL, c, 0);
    for (uint32_t i = 0; i < r.nseg; i++)
        ranks_raise(ranks, r.seg[i].ranks);
    reg_close(&r);
    struct hash128 h = hash_128(bytes_of(ranks, RANKS_DENSE), digest_seed(key, TYPE_HLL));
    mem_free(ranks);
    return h;
}

#define CHUNK_STEP UINT64_C(0x9e3779b97f4a7c15) /* seeds of neighbours lie far apart */

struct hash128 digest_text_part(uint64_t seed, struct bytes text, size_t from, size_t to)
{
    struct hash128 sum = {0};
    for (size_t at = from / DIGEST_CHUNK * DIGEST_CHUNK; at < to && (at < text.n || at == 0);
         at += DIGEST_CHUNK) {
        size_t n = text.n - at < DIGEST_CHUNK ? text.n - at : DIGEST_CHUNK;
        struct bytes chunk = bytes_of(text.n > 0 ? text.p + at : NULL, n);
        sum = hash128_add(sum, hash_128(chunk, seed + at / DIGEST_CHUNK * CHUNK_STEP));
    }
    return sum;
}

struct hash128 digest_text(uint64_t seed, struct bytes text)
{
    return text.n <= DIGEST_CHUNK ? hash_128(text, seed) : digest_text_part(seed, text, 0, text.n);
}

struct hash128 digest_register(struct bytes key, enum type type, const struct cell *c)
{
    if (c == NULL)
        return (struct hash128){0};
    if (type == TYPE_HLL)
        return ranks_term(key, c);
    struct shown s;
    cell_show(c, &s);
    return digest_text(digest_seed(key, type), s.text);
}

struct hash128 digest_deadline(struct bytes key, int64_t ms)
{
    if (ms == DEADLINE_NEVER)
        return (struct hash128){0};
    return hash_128(bytes_of(&ms, sizeof ms), hash_64(key, DEADLINE_SEED));
}

struct hash128 digest_walk(struct bytes key, const struct coll *c)
{
    struct hash128 sum = {0};
    if (c == NULL)
        return sum;
    uint64_t seed = digest_seed(key, c->type);
    struct coll_iter it;
    const struct cell *e;
    coll_walk(&it, c);
    while ((e = coll_next(&it)) != NULL)
        sum = hash128_add(sum, digest_element(seed, c->type, e));
    return sum;
}

static struct hash128 whole(const struct cell *key, bool keep)
{
    struct hash128 sum = {0};
    enum type shown = value_type(key);
    if (shown == TYPE_NONE)
        return sum;
    struct bytes name = cell_name(key);
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        const struct coll *c = type_is_register(t) ? NULL : key_coll(key, t);
        struct hash128 part = type_is_register(t) ? digest_register(name, t, key_register(key, t))
                                                  : digest_walk(name, c);
        if (keep && c && c->is_large)
            coll_large(c)->sum = part;
        sum = hash128_add(sum, part);
    }
    return hash128_add(sum, digest_deadline(name, value_deadline(key)));
}

struct hash128 value_digest(const struct cell *key) { return whole(key, false); }

struct hash128 value_redigest(struct cell *key) { return whole(key, true); }
