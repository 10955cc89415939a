/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_list.h"

#include "shard/args.h"
#include "shard/blocked.h"
#include "shard/events.h"
#include "shard/names.h"

/* List commands that take from an end: LPOP, RPOP, LMPOP, LMOVE, RPOPLPUSH. */

/* Replies the elements that go, in the order in which they go, then removes them. */
static void pop_many(struct call *c, struct key *k, enum list_end end, int64_t count)
{
    size_t len = coll_len(k->cell, TYPE_LIST);
    size_t n = (uint64_t)count < len ? (size_t)count : len;
    struct order_iter it;
    reply_array(c->reply, n);
    if (n == 0)
        return;
    order_iter(&it, k->cell, TYPE_LIST, end == LIST_HEAD ? 0 : len - 1);
    for (size_t i = 0; i < n; i++)
        list_reply(c->reply, end == LIST_HEAD ? order_next(&it) : order_prev(&it));
    list_remove(c, k, end == LIST_HEAD ? 0 : len - n, n);
    key_event_left(c, EVENT_LIST, list_pop_event(end), k);
}

static void pop(struct call *c, enum list_end end)
{
    struct key k;
    int64_t count = 1;
    if (c->argc > 3) {
        reply_errorf(c->reply, "ERR wrong number of arguments for '%s' command", c->command->name);
        return;
    }
    if (c->argc == 3 && !arg_positive(c, c->argv[2], NULL, &count))
        return;
    if (!list_write(c, &k))
        return;
    if (k.cell == NULL) {
        if (c->argc == 3)
            reply_nil_array(c->reply);
        else
            reply_nil(c->reply);
        return;
    }
    if (c->argc == 3)
        pop_many(c, &k, end, count);
    else
        list_pop(c, &k, end);
}

void lpop(struct call *c) { pop(c, LIST_HEAD); }

void rpop(struct call *c) { pop(c, LIST_TAIL); }

bool list_mpop_args(struct call *c, uint32_t at, struct list_mpop *out)
{
    int64_t numkeys;
    *out = (struct list_mpop){.keys = c->argv + at + 1, .max = 1};
    if (!arg_range(c, c->argv[at], 1, INT64_MAX, "ERR numkeys should be greater than 0", &numkeys))
        return false;
    if (numkeys > (int64_t)(c->argc - at) - 2 || !list_end_arg(out->keys[numkeys], &out->end)) {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    out->count = (uint32_t)numkeys;
    return arg_pop_count(c, at + out->count + 2, &out->max);
}

bool list_mpop(struct call *c, const struct list_mpop *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct key k;
        if (!call_considers(c, from->keys[i]))
            continue;
        key_write(c, from->keys[i], &k);
        if (!key_is(c, &k, TYPE_LIST))
            return true;
        if (k.cell == NULL)
            continue;
        reply_array(c->reply, 2);
        reply_bulk(c->reply, from->keys[i]);
        pop_many(c, &k, from->end, from->max);
        return true;
    }
    return false;
}

void lmpop(struct call *c)
{
    struct list_mpop from;
    if (list_mpop_args(c, 1, &from) && !list_mpop(c, &from))
        reply_nil_array(c->reply);
}

/*
 * The element is first added, then removed: a list of one element that is rotated is never empty,
 * and so keeps its deadline. The value is copied, since its cell moves with the insertion.
 */
bool list_move(struct call *c, enum list_end from_end, enum list_end to_end)
{
    struct key from, to;
    key_write(c, c->argv[1], &from);
    key_write(c, c->argv[2], &to);
    if (from.cell == NULL)
        return false;
    if (!key_is(c, &from, TYPE_LIST) || !key_is(c, &to, TYPE_LIST))
        return true;
    size_t last = coll_len(from.cell, TYPE_LIST) - 1;
    const struct cell *elem = coll_at(from.cell, TYPE_LIST, from_end == LIST_HEAD ? 0 : last);
    struct key *target = bytes_eq(from.name, to.name) ? &from : &to;
    struct names copies = {0};
    struct bytes value, position;
    struct shown s;
    cell_show(elem, &s);
    names_add(&copies, s.text);
    names_add(&copies, cell_name(elem));
    names_take(&copies, &value);
    names_take(&copies, &position);
    if (list_push(c, target, to_end, value)) {
        reply_bulk(c->reply, value);
        key_elem(c, &from, OP_LREM, position, bytes_of(NULL, 0));
        key_event(c, EVENT_LIST, list_push_event(to_end), to.name);
        key_event_left(c, EVENT_LIST, list_pop_event(from_end), &from);
    }
    names_deinit(&copies);
    return true;
}

void lmove(struct call *c)
{
    enum list_end from, to;
    if (!list_end_arg(c->argv[3], &from) || !list_end_arg(c->argv[4], &to)) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (!list_move(c, from, to))
        reply_nil(c->reply);
}

void rpoplpush(struct call *c)
{
    if (!list_move(c, LIST_TAIL, LIST_HEAD))
        reply_nil(c->reply);
}
