/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_list.h"

#include "shard/args.h"
#include "shard/events.h"
#include "shard/names.h"

/* List commands that look for elements by value: LINSERT, LREM, LPOS. */

/* A walk from either end over the elements. */
struct walk {
    struct order_iter it;
    bool back;
};

static void walk_start(struct walk *w, const struct key *k, bool back)
{
    w->back = back;
    order_iter(&w->it, k->cell, TYPE_LIST, back ? coll_len(k->cell, TYPE_LIST) - 1 : 0);
}

static const struct cell *walk_next(struct walk *w)
{
    return w->back ? order_prev(&w->it) : order_next(&w->it);
}

static bool shows(const struct cell *elem, struct bytes value)
{
    struct shown s;
    cell_show(elem, &s);
    return bytes_eq(s.text, value);
}

void linsert(struct call *c)
{
    struct key k;
    struct walk w;
    bool after = bytes_is_nocase(c->argv[2], "after");
    if (!after && !bytes_is_nocase(c->argv[2], "before")) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (!list_write(c, &k))
        return;
    if (k.cell == NULL) {
        reply_int(c->reply, 0);
        return;
    }
    size_t rank = 0;
    walk_start(&w, &k, false);
    for (const struct cell *e; (e = walk_next(&w)) != NULL; rank++) {
        if (!shows(e, c->argv[3]))
            continue;
        if (list_insert(c, &k, after ? rank + 1 : rank, c->argv[4])) {
            key_event(c, EVENT_LIST, "linsert", k.name);
            reply_int(c->reply, (int64_t)coll_len(k.cell, TYPE_LIST));
        }
        return;
    }
    reply_int(c->reply, -1);
}

void lrem(struct call *c)
{
    struct key k;
    struct walk w;
    int64_t count;
    if (!arg_i64(c, c->argv[2], &count) || !list_write(c, &k))
        return;
    if (k.cell == NULL) {
        reply_int(c->reply, 0);
        return;
    }
    struct names positions = {0};
    struct bytes position;
    uint64_t most = count == 0 ? UINT64_MAX : count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
    walk_start(&w, &k, count < 0);
    for (const struct cell *e; positions.n < most && (e = walk_next(&w)) != NULL;)
        if (shows(e, c->argv[3]))
            names_add(&positions, cell_name(e));
    bool removed = positions.n > 0;
    reply_int(c->reply, (int64_t)positions.n);
    while (names_take(&positions, &position))
        key_elem(c, &k, OP_LREM, position, bytes_of(NULL, 0));
    if (removed)
        key_event_left(c, EVENT_LIST, "lrem", &k);
    names_deinit(&positions);
}

/* ------------------------------------------------------------ LPOS */

struct lpos {
    int64_t rank;  /* the how manieth match is the first to reply */
    int64_t count; /* how many to reply; 0: all, -1: one, and not as an array */
    int64_t most;  /* how many elements to compare; 0: all */
    bool back;
};

static bool lpos_option(struct call *c, uint32_t i, struct lpos *o)
{
    struct bytes name = c->argv[i], value = c->argv[i + 1];
    if (bytes_is_nocase(name, "count"))
        return arg_positive(c, value, "ERR COUNT can't be negative", &o->count);
    if (bytes_is_nocase(name, "maxlen"))
        return arg_positive(c, value, "ERR MAXLEN can't be negative", &o->most);
    if (!bytes_is_nocase(name, "rank")) {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    if (!arg_range(c, value, -INT64_MAX, INT64_MAX, NULL, &o->rank))
        return false;
    if (o->rank == 0) {
        reply_error(c->reply, "ERR RANK can't be zero: use 1 to start from the first match, 2 from "
                              "the second ... or use negative to start from the end of the list");
        return false;
    }
    return true;
}

static bool lpos_options(struct call *c, struct lpos *o)
{
    *o = (struct lpos){.rank = 1, .count = -1};
    for (uint32_t i = 3; i < c->argc; i += 2) {
        if (i + 1 == c->argc) {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
        if (!lpos_option(c, i, o))
            return false;
    }
    o->back = o->rank < 0;
    if (o->back)
        o->rank = -o->rank;
    return true;
}

/* Collects the ranks that match into `ranks`. */
static void lpos_find(const struct key *k, struct bytes value, const struct lpos *o,
                      struct buf *ranks)
{
    struct walk w;
    size_t len = coll_len(k->cell, TYPE_LIST);
    size_t most = o->most == 0 || (uint64_t)o->most > len ? len : (size_t)o->most;
    int64_t matches = 0, wanted = o->count < 0 ? 1 : o->count, found = 0;
    walk_start(&w, k, o->back);
    for (size_t i = 0; i < most; i++) {
        if (!shows(walk_next(&w), value) || ++matches < o->rank)
            continue;
        int64_t rank = (int64_t)(o->back ? len - 1 - i : i);
        buf_put(ranks, &rank, sizeof rank);
        if (++found == wanted)
            return;
    }
}

void lpos(struct call *c)
{
    struct key k;
    struct lpos o;
    struct buf ranks = {0};
    if (!lpos_options(c, &o) || !list_read(c, &k))
        return;
    if (k.cell != NULL)
        lpos_find(&k, c->argv[2], &o, &ranks);
    size_t n = buf_len(&ranks) / sizeof(int64_t);
    if (o.count >= 0)
        reply_array(c->reply, n);
    else if (n == 0)
        reply_nil(c->reply);
    for (size_t i = 0; i < n; i++)
        reply_int(c->reply, (int64_t)load_u64(ranks.p + ranks.head + i * sizeof(int64_t)));
    buf_deinit(&ranks);
}
