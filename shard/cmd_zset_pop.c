/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_zset.h"

#include "shard/blocked.h"
#include "shard/events.h"

/* Sorted-set commands that take from an end: ZPOPMIN, ZPOPMAX, ZMPOP. */

/* Replies up to `count` members from the end on, then removes them. `nested`: each is a pair of its
 * own. */
static void pop(struct call *c, struct key *k, bool max, int64_t count, bool nested)
{
    size_t len = coll_len(k->cell, TYPE_ZSET);
    size_t n = (uint64_t)count < len ? (size_t)count : len;
    struct order_iter it;
    reply_array(c->reply, nested ? n : n * 2);
    if (n == 0)
        return;
    order_iter(&it, k->cell, TYPE_ZSET, max ? len - 1 : 0);
    for (size_t i = 0; i < n; i++) {
        const struct cell *e = max ? order_prev(&it) : order_next(&it);
        if (nested)
            reply_array(c->reply, 2);
        reply_bulk(c->reply, cell_name(e));
        reply_double(c->reply, cell_score(e));
    }
    zset_remove(c, k, (struct span){max ? len - n : 0, n});
    key_event_left(c, EVENT_ZSET, max ? "zpopmax" : "zpopmin", k);
}

static void pop_one_key(struct call *c, bool max)
{
    struct key k;
    int64_t count = 1;
    if (c->argc > 3) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (c->argc == 3 && !arg_positive(c, c->argv[2], NULL, &count))
        return;
    if (zset_write(c, &k))
        pop(c, &k, max, count, c->argc == 3 && c->reply->resp > 2);
}

void zpopmin(struct call *c) { pop_one_key(c, false); }

void zpopmax(struct call *c) { pop_one_key(c, true); }

bool zset_pop_first(struct call *c, const struct bytes *keys, uint32_t count, bool max)
{
    for (uint32_t i = 0; i < count; i++) {
        struct key k;
        if (!call_considers(c, keys[i]))
            continue;
        key_write(c, keys[i], &k);
        if (!key_is(c, &k, TYPE_ZSET))
            return true;
        if (k.cell == NULL)
            continue;
        size_t last = coll_len(k.cell, TYPE_ZSET) - 1;
        const struct cell *e = coll_at(k.cell, TYPE_ZSET, max ? last : 0);
        reply_array(c->reply, 3);
        reply_bulk(c->reply, keys[i]);
        reply_bulk(c->reply, cell_name(e));
        reply_double(c->reply, cell_score(e));
        zset_remove(c, &k, (struct span){max ? last : 0, 1});
        key_event_left(c, EVENT_ZSET, max ? "zpopmax" : "zpopmin", &k);
        return true;
    }
    return false;
}

bool zset_mpop_args(struct call *c, uint32_t at, struct zset_mpop *out)
{
    int64_t numkeys;
    *out = (struct zset_mpop){.keys = c->argv + at + 1, .limit = 1};
    if (!arg_range(c, c->argv[at], 1, INT64_MAX, "ERR numkeys should be greater than 0", &numkeys))
        return false;
    bool fits = numkeys <= (int64_t)(c->argc - at) - 2;
    out->max = fits && bytes_is_nocase(out->keys[numkeys], "max");
    if (!fits || (!out->max && !bytes_is_nocase(out->keys[numkeys], "min"))) {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    out->count = (uint32_t)numkeys;
    return arg_pop_count(c, at + out->count + 2, &out->limit);
}

bool zset_mpop(struct call *c, const struct zset_mpop *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct key k;
        if (!call_considers(c, from->keys[i]))
            continue;
        key_write(c, from->keys[i], &k);
        if (!key_is(c, &k, TYPE_ZSET))
            return true;
        if (k.cell == NULL)
            continue;
        reply_array(c->reply, 2);
        reply_bulk(c->reply, from->keys[i]);
        pop(c, &k, from->max, from->limit, true);
        return true;
    }
    return false;
}

void zmpop(struct call *c)
{
    struct zset_mpop from;
    if (zset_mpop_args(c, 1, &from) && !zset_mpop(c, &from))
        reply_nil_array(c->reply);
}
