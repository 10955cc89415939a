/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_zset.h"

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

void zmpop(struct call *c)
{
    int64_t numkeys, count = 1;
    if (!arg_range(c, c->argv[1], 1, INT64_MAX, "ERR numkeys should be greater than 0", &numkeys))
        return;
    bool fits = numkeys <= (int64_t)c->argc - 3;
    bool max = fits && bytes_is_nocase(c->argv[numkeys + 2], "max");
    if (!fits || (!max && !bytes_is_nocase(c->argv[numkeys + 2], "min"))) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (!arg_pop_count(c, (uint32_t)numkeys + 3, &count))
        return;
    for (uint32_t i = 2; i < (uint32_t)numkeys + 2; i++) {
        struct key k;
        key_write(c, c->argv[i], &k);
        if (!key_is(c, &k, TYPE_ZSET))
            return;
        if (k.cell == NULL)
            continue;
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[i]);
        pop(c, &k, max, count, true);
        return;
    }
    reply_nil_array(c->reply);
}
