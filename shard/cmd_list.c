/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_list.h"

#include "crdt/position.h"
#include "shard/args.h"
#include "shard/events.h"
#include "shard/names.h"

/* Redis commands of the group "list": https://redis.io/docs/latest/commands/?group=list. This file:
 * pushes and indexes. */

bool list_end_arg(struct bytes arg, enum list_end *out)
{
    *out = bytes_is_nocase(arg, "left") ? LIST_HEAD : LIST_TAIL;
    return *out == LIST_HEAD || bytes_is_nocase(arg, "right");
}

bool list_read(struct call *c, struct key *k)
{
    key_read(c, c->argv[1], k);
    return key_is(c, k, TYPE_LIST);
}

bool list_write(struct call *c, struct key *k)
{
    key_write(c, c->argv[1], k);
    return key_is(c, k, TYPE_LIST);
}

void list_reply(struct reply *r, const struct cell *elem)
{
    if (elem == NULL) {
        reply_nil(r);
        return;
    }
    struct shown s;
    cell_show(elem, &s);
    reply_bulk(r, s.text);
}

static struct bytes position_at(const struct key *k, size_t rank)
{
    const struct cell *elem = coll_at(k->cell, TYPE_LIST, rank);
    return elem == NULL ? bytes_of(NULL, 0) : cell_name(elem);
}

/* A position takes at most one step more than its neighbours: short ones need no memory of their
 * own. */
#define POSITION_ROOM (8 * POSITION_STEP)

static bool insert_between(struct call *c, struct key *k, struct bytes left, struct bytes right,
                           struct bytes value)
{
    uint8_t room[POSITION_ROOM];
    bool is_short = left.n + right.n + POSITION_STEP <= sizeof room;
    struct buf position = {0};
    if (is_short)
        position = (struct buf){.p = room, .cap = sizeof room};
    bool ok = key_position(c, k, left, right, &position);
    if (ok)
        key_elem(c, k, OP_LINS, buf_bytes(&position), value);
    else
        reply_error(c->reply, "ERR too many inserts at one place of the list: rewrite the list");
    if (!is_short)
        buf_deinit(&position);
    return ok;
}

bool list_insert(struct call *c, struct key *k, size_t rank, struct bytes value)
{
    struct bytes left = rank == 0 ? bytes_of(NULL, 0) : position_at(k, rank - 1);
    return insert_between(c, k, left, position_at(k, rank), value);
}

bool list_push(struct call *c, struct key *k, enum list_end end, struct bytes value)
{
    struct bytes none = bytes_of(NULL, 0);
    if (end == LIST_HEAD)
        return insert_between(c, k, none, position_at(k, 0), value);
    size_t len = coll_len(k->cell, TYPE_LIST);
    return insert_between(c, k, len > 0 ? position_at(k, len - 1) : none, none, value);
}

void list_pop(struct call *c, struct key *k, enum list_end end)
{
    size_t rank = end == LIST_HEAD ? 0 : coll_len(k->cell, TYPE_LIST) - 1;
    list_reply(c->reply, coll_at(k->cell, TYPE_LIST, rank));
    list_remove(c, k, rank, 1);
    key_event_left(c, EVENT_LIST, list_pop_event(end), k);
}

void list_remove(struct call *c, struct key *k, size_t first, size_t count)
{
    struct names positions = {0};
    struct bytes position;
    struct order_iter it;
    if (count == 0)
        return;
    order_iter(&it, k->cell, TYPE_LIST, first);
    for (size_t i = 0; i < count; i++)
        names_add(&positions, cell_name(order_next(&it)));
    while (names_take(&positions, &position))
        key_elem(c, k, OP_LREM, position, bytes_of(NULL, 0));
    names_deinit(&positions);
}

/* The rank that an index means; false when there is none. */
static bool rank_of(int64_t index, size_t len, size_t *out)
{
    if (index < 0)
        index += (int64_t)len;
    *out = (size_t)index;
    return index >= 0 && (uint64_t)index < len;
}

static void push(struct call *c, enum list_end end, bool must_exist)
{
    struct key k;
    if (!list_write(c, &k))
        return;
    bool pushed = k.cell != NULL || !must_exist;
    for (uint32_t i = 2; pushed && i < c->argc; i++)
        if (!list_push(c, &k, end, c->argv[i]))
            return;
    if (pushed)
        key_event(c, EVENT_LIST, list_push_event(end), k.name);
    reply_int(c->reply, (int64_t)coll_len(k.cell, TYPE_LIST));
}

static void lpush(struct call *c) { push(c, LIST_HEAD, false); }

static void rpush(struct call *c) { push(c, LIST_TAIL, false); }

static void lpushx(struct call *c) { push(c, LIST_HEAD, true); }

static void rpushx(struct call *c) { push(c, LIST_TAIL, true); }

static void llen(struct call *c)
{
    struct key k;
    if (list_read(c, &k))
        reply_int(c->reply, (int64_t)coll_len(k.cell, TYPE_LIST));
}

static void lrange(struct call *c)
{
    struct key k;
    int64_t start, stop;
    if (!arg_i64(c, c->argv[2], &start) || !arg_i64(c, c->argv[3], &stop) || !list_read(c, &k))
        return;
    struct span range = span_of(start, stop, coll_len(k.cell, TYPE_LIST));
    reply_array(c->reply, range.count);
    if (range.count == 0)
        return;
    struct order_iter it;
    order_iter(&it, k.cell, TYPE_LIST, range.first);
    for (size_t i = 0; i < range.count; i++)
        list_reply(c->reply, order_next(&it));
}

static void lindex(struct call *c)
{
    struct key k;
    int64_t index;
    size_t rank;
    if (!list_read(c, &k))
        return;
    if (k.cell == NULL) {
        reply_nil(c->reply);
        return;
    }
    if (!arg_i64(c, c->argv[2], &index))
        return;
    bool found = rank_of(index, coll_len(k.cell, TYPE_LIST), &rank);
    list_reply(c->reply, found ? coll_at(k.cell, TYPE_LIST, rank) : NULL);
}

/* A new value at the same position: the element keeps its place whatever is inserted around it
 * meanwhile. */
static void lset(struct call *c)
{
    struct key k;
    int64_t index;
    size_t rank;
    if (!list_write(c, &k))
        return;
    if (k.cell == NULL) {
        reply_error(c->reply, ERR_NO_KEY);
        return;
    }
    if (!arg_i64(c, c->argv[2], &index))
        return;
    if (!rank_of(index, coll_len(k.cell, TYPE_LIST), &rank)) {
        reply_error(c->reply, "ERR index out of range");
        return;
    }
    struct buf position = {0};
    buf_put_bytes(&position, position_at(&k, rank));
    key_elem(c, &k, OP_LINS, buf_bytes(&position), c->argv[3]);
    key_event(c, EVENT_LIST, "lset", k.name);
    buf_deinit(&position);
    reply_ok(c->reply);
}

static void ltrim(struct call *c)
{
    struct key k;
    int64_t start, stop;
    if (!arg_i64(c, c->argv[2], &start) || !arg_i64(c, c->argv[3], &stop) || !list_write(c, &k))
        return;
    size_t len = coll_len(k.cell, TYPE_LIST);
    struct span keep = span_of(start, stop, len);
    size_t behind = keep.first + keep.count;
    bool was_there = k.cell != NULL;
    list_remove(c, &k, behind, len - behind);
    list_remove(c, &k, 0, keep.first);
    if (was_there)
        key_event_left(c, EVENT_LIST, "ltrim", &k);
    reply_ok(c->reply);
}

/* name, arity, flags, first, last and step of keys, where, merge, run, keys,
 * group, since, complexity, summary, arguments */
const struct command cmd_list_table[] = {
    {"lpush", -3, CMD_WRITE | CMD_DENYOOM | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, lpush, NULL,
     "list", "1.0.0", "O(log(N)) for each element", "Adds elements before the first",
     "key element [element ...]"},
    {"rpush", -3, CMD_WRITE | CMD_DENYOOM | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, rpush, NULL,
     "list", "1.0.0", "O(log(N)) for each element", "Adds elements behind the last",
     "key element [element ...]"},
    {"lpushx", -3, CMD_WRITE | CMD_DENYOOM | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, lpushx, NULL,
     "list", "2.2.0", "O(log(N)) for each element",
     "Adds elements before the first, if the list exists", "key element [element ...]"},
    {"rpushx", -3, CMD_WRITE | CMD_DENYOOM | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, rpushx, NULL,
     "list", "2.2.0", "O(log(N)) for each element",
     "Adds elements behind the last, if the list exists", "key element [element ...]"},
    {"lpop", -2, CMD_WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, lpop, NULL, "list", "1.0.0",
     "O(M*log(N)) with M the number of elements popped", "Removes and returns the first elements",
     "key [count]"},
    {"rpop", -2, CMD_WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, rpop, NULL, "list", "1.0.0",
     "O(M*log(N)) with M the number of elements popped", "Removes and returns the last elements",
     "key [count]"},
    {"llen", 2, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, llen, NULL, "list", "1.0.0",
     "O(1)", "Returns the number of elements", "key"},
    {"lrange", 4, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, lrange, NULL, "list", "1.0.0",
     "O(log(N)+M) with M the number of elements returned", "Returns a range of elements",
     "key start stop"},
    {"lindex", 3, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, lindex, NULL, "list", "1.0.0",
     "O(log(N))", "Returns the element at an index", "key index"},
    {"lset", 4, CMD_WRITE | CMD_DENYOOM, 1, 1, 1, AT_SHARD, MERGE_NONE, lset, NULL, "list", "1.0.0",
     "O(log(N))", "Replaces the element at an index", "key index element"},
    {"linsert", 5, CMD_WRITE | CMD_DENYOOM, 1, 1, 1, AT_SHARD, MERGE_NONE, linsert, NULL, "list",
     "2.2.0", "O(N) with N the number of elements before the pivot",
     "Inserts an element next to another", "key <BEFORE|AFTER> pivot element"},
    {"lrem", 4, CMD_WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, lrem, NULL, "list", "1.0.0",
     "O(N+M*log(N)) with M the number of elements removed", "Removes elements that equal a value",
     "key count element"},
    {"ltrim", 4, CMD_WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, ltrim, NULL, "list", "1.0.0",
     "O(M*log(N)) with M the number of elements removed", "Keeps only a range of elements",
     "key start stop"},
    {"lpos", -3, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, lpos, NULL, "list", "6.0.6",
     "O(N) with N the number of elements", "Returns the indexes of elements that equal a value",
     "key element [RANK rank] [COUNT num-matches] [MAXLEN len]"},
    {"lmove", 5, CMD_WRITE | CMD_DENYOOM, 1, 2, 1, AT_SHARD, MERGE_NONE, lmove, NULL, "list",
     "6.2.0", "O(log(N))", "Moves an element from one end of a list to an end of another",
     "source destination <LEFT|RIGHT> <LEFT|RIGHT>"},
    {"rpoplpush", 3, CMD_WRITE | CMD_DENYOOM, 1, 2, 1, AT_SHARD, MERGE_NONE, rpoplpush, NULL,
     "list", "1.2.0", "O(log(N))", "Moves the last element of a list before the first of another",
     "source destination"},
    {"lmpop", -4, CMD_WRITE, 0, 0, 0, AT_SHARD, MERGE_NONE, lmpop, args_numkeys, "list", "7.0.0",
     "O(K+M*log(N)) with K the number of keys and M the number of elements popped",
     "Pops elements of the first list that is not empty",
     "numkeys key [key ...] <LEFT|RIGHT> [COUNT count]"},
    {.name = NULL},
};
