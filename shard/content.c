/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/content.h"

#include "crdt/stream.h"
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

static uint64_t id_bits(struct stream_id id) { return id.ms * 0x9e3779b97f4a7c15u + id.seq; }

/* A group with who has what; when consumers were seen does not count. */
static struct hash128 group(const struct cell *key, const struct stream_group *g)
{
    struct hash128 sum = term(TYPE_STREAM, g->name, bytes_str("group"), id_bits(g->last));
    struct stream_walk walk;
    struct stream_consumer c;
    struct stream_pending p;
    struct buf prefix = {0};
    stream_group_prefix(&prefix, g->name);
    stream_consumers(&walk, key, buf_bytes(&prefix));
    while (stream_consumer_next(&walk, &c))
        sum = hash128_add(sum, term(TYPE_STREAM, g->name, c.name, 1));
    stream_pendings(&walk, key, buf_bytes(&prefix), (struct stream_id){0});
    while (stream_pending_next(&walk, &p))
        sum = hash128_add(sum, term(TYPE_STREAM, g->name, p.consumer, id_bits(p.id) + p.count));
    buf_deinit(&prefix);
    return sum;
}

static struct hash128 stream(const struct cell *key)
{
    struct stream_info info;
    struct stream_iter it;
    struct stream_entry e;
    struct stream_group g;
    struct bytes none = bytes_of(NULL, 0);
    size_t rank = 0;
    stream_info(key, &info);
    struct hash128 sum = term(TYPE_STREAM, none, none, id_bits(info.last));
    stream_range(&it, key, (struct stream_id){0}, STREAM_ID_MAX, false);
    while (stream_next(&it, &e))
        sum = hash128_add(sum, term(TYPE_STREAM, e.fields, none, id_bits(e.id)));
    while (stream_group_next(key, &rank, &g))
        sum = hash128_add(sum, group(key, &g));
    return sum;
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
    if (type == TYPE_STREAM)
        return stream(k->cell);
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
