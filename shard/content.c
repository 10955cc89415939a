/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/content.h"

#include "shard/text.h"

#include <stdio.h>

/* One element: texts count by their hashes, so that nothing long is copied. */
static struct hash128 term(enum type type, struct bytes a, struct bytes b, uint64_t n)
{
    struct hash128 x = hash_128(a, 1), y = hash_128(b, 2);
    uint64_t words[] = {(uint64_t)type, x.lo, x.hi, y.lo, y.hi, n};
    return hash_128(bytes_of(words, sizeof words), 0);
}

static struct hash128 element(enum type type, const struct cell *e, uint64_t rank)
{
    struct bytes none = bytes_of(NULL, 0);
    struct shown s;
    switch (type) {
    case TYPE_LIST:
        cell_show(e, &s);
        return term(type, s.text, none, rank);
    case TYPE_HASH:
        cell_show(e, &s);
        return term(type, cell_name(e), s.text, 0);
    case TYPE_ZSET: {
        double score = cell_score(e) + 0.0; /* minus zero is zero */
        uint64_t bits;
        store_double(&bits, score);
        return term(type, cell_name(e), none, bits);
    }
    default:
        return term(type, cell_name(e), none, 0);
    }
}

struct hash128 content_hash(struct call *c, const struct key *k)
{
    struct hash128 sum = {0};
    struct coll_iter it;
    struct shown s;
    enum type type = value_type(k->cell);
    uint64_t rank = 0;
    if (type == TYPE_NONE)
        return sum;
    if (type == TYPE_STRING || type == TYPE_HLL) {
        text_show(c, k, &s);
        return term(TYPE_STRING, s.text, bytes_of(NULL, 0), 0);
    }
    coll_iter(&it, k->cell, type);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;)
        sum = hash128_add(sum, element(type, e, rank++));
    return sum;
}

void content_text(struct hash128 h, char out[CONTENT_TEXT + 1])
{
    unsigned folded = (unsigned)(h.lo >> 32 ^ h.hi);
    snprintf(out, CONTENT_TEXT + 1, "%016llx%016llx%08x", (unsigned long long)h.hi,
             (unsigned long long)h.lo, folded);
}
