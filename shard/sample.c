/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/sample.h"

#include "shard/tally.h"

/* Below this size, one walk over all is cheaper than drawing one by one and remembering what was
 * drawn. */
#define SAMPLE_WALK 512u

/* Knuth's selection sampling (TAOCP 3.4.2, algorithm S): each element is taken with probability
 * needed / left. */
static void sample_walk(struct call *c, const struct cell *key, enum type type, size_t count,
                        struct buf *cells)
{
    struct rng *rng = call_rng(c);
    size_t left = coll_len(key, type);
    struct coll_iter it;
    coll_iter(&it, key, type);
    for (const struct cell *e; count > 0 && (e = coll_next(&it)) != NULL; left--) {
        if (count < left && rng_below(rng, left) >= count)
            continue;
        buf_put(cells, &e, sizeof e);
        count--;
    }
}

/* Draws until enough different ones are found: count is at most a third of all, so that few draws
 * are in vain. */
static void sample_draw(struct call *c, const struct cell *key, enum type type, size_t count,
                        struct buf *cells)
{
    struct tally seen;
    tally_init(&seen, call_rng(c));
    while (seen.n < count) {
        const struct cell *e = coll_random(key, type, call_rng(c));
        size_t before = seen.n;
        tally_find_or_add(&seen, cell_name(e));
        if (seen.n > before)
            buf_put(cells, &e, sizeof e);
    }
    tally_deinit(&seen);
}

static bool sample_repeat(struct call *c, const struct cell *key, enum type type, uint64_t count,
                          struct buf *cells)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct cell *e = coll_random(key, type, call_rng(c));
        bytes += 16 + cell_name(e).n + (type == TYPE_HASH ? cell_show_len(e) : 0);
        if (bytes > SAMPLE_BYTES_MAX) {
            reply_error(c->reply,
                        "ERR value is out of range: the reply would be larger than 512 MB");
            return false;
        }
        buf_put(cells, &e, sizeof e);
    }
    return true;
}

bool sample(struct call *c, const struct cell *key, enum type type, int64_t count,
            struct buf *cells)
{
    size_t len = coll_len(key, type);
    if (len == 0)
        return true;
    if (count < 0)
        return sample_repeat(c, key, type, 0 - (uint64_t)count, cells);
    size_t want = (uint64_t)count < len ? (size_t)count : len;
    if (len <= SAMPLE_WALK || want > len / 3)
        sample_walk(c, key, type, want, cells);
    else
        sample_draw(c, key, type, want, cells);
    return true;
}
