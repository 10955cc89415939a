/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_set.h"

#include "shard/args.h"
#include "shard/collscan.h"
#include "shard/events.h"
#include "shard/names.h"
#include "shard/sample.h"

/* Redis commands of the group "set": https://redis.io/docs/latest/commands/?group=set */

static bool read_set(struct call *c, struct key *k)
{
    key_read(c, c->argv[1], k);
    return key_is(c, k, TYPE_SET);
}

static bool write_set(struct call *c, struct key *k)
{
    key_write(c, c->argv[1], k);
    return key_is(c, k, TYPE_SET);
}

static bool has(const struct key *k, struct bytes member)
{
    return coll_find(k->cell, TYPE_SET, member) != NULL;
}

/* A member that is there already is added again all the same: the add then survives a removal made
 * elsewhere meanwhile. */
static void sadd(struct call *c)
{
    struct key k;
    if (!write_set(c, &k))
        return;
    int64_t added = 0;
    for (uint32_t i = 2; i < c->argc; i++) {
        key_elem(c, &k, OP_SADD, c->argv[i], bytes_of(NULL, 0));
        added += k.elem_new;
    }
    if (added > 0)
        key_event(c, EVENT_SET, "sadd", k.name);
    reply_int(c->reply, added);
}

static void srem(struct call *c)
{
    struct key k;
    if (!write_set(c, &k))
        return;
    int64_t removed = 0;
    for (uint32_t i = 2; i < c->argc; i++) {
        if (!has(&k, c->argv[i]))
            continue;
        key_elem(c, &k, OP_SREM, c->argv[i], bytes_of(NULL, 0));
        removed++;
    }
    if (removed > 0)
        key_event_left(c, EVENT_SET, "srem", &k);
    reply_int(c->reply, removed);
}

static void smembers(struct call *c)
{
    struct key k;
    struct coll_iter it;
    if (!read_set(c, &k))
        return;
    reply_set(c->reply, coll_len(k.cell, TYPE_SET));
    coll_iter(&it, k.cell, TYPE_SET);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;)
        reply_bulk(c->reply, cell_name(e));
}

static void sismember(struct call *c)
{
    struct key k;
    if (read_set(c, &k))
        reply_int(c->reply, has(&k, c->argv[2]));
}

static void smismember(struct call *c)
{
    struct key k;
    if (!read_set(c, &k))
        return;
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++)
        reply_int(c->reply, has(&k, c->argv[i]));
}

static void scard(struct call *c)
{
    struct key k;
    if (read_set(c, &k))
        reply_int(c->reply, (int64_t)coll_len(k.cell, TYPE_SET));
}

static void smove(struct call *c)
{
    struct key from, to;
    struct bytes member = c->argv[3];
    key_write(c, c->argv[1], &from);
    key_write(c, c->argv[2], &to);
    if (from.cell == NULL) {
        reply_int(c->reply, 0);
        return;
    }
    if (!key_is(c, &from, TYPE_SET) || !key_is(c, &to, TYPE_SET))
        return;
    bool found = has(&from, member);
    if (found && !bytes_eq(from.name, to.name)) {
        key_elem(c, &from, OP_SREM, member, bytes_of(NULL, 0));
        key_event_left(c, EVENT_SET, "srem", &from);
        key_elem(c, &to, OP_SADD, member, bytes_of(NULL, 0));
        if (to.elem_new)
            key_event(c, EVENT_SET, "sadd", to.name);
    }
    reply_int(c->reply, found);
}

/* ------------------------------------------------------------ random members, scanning */

static void spop_one(struct call *c)
{
    struct key k;
    if (!write_set(c, &k))
        return;
    if (k.cell == NULL) {
        reply_nil(c->reply);
        return;
    }
    struct names picked = {0};
    struct bytes member;
    names_add(&picked, cell_name(coll_random(k.cell, TYPE_SET, call_rng(c))));
    while (names_take(&picked, &member)) {
        key_elem(c, &k, OP_SREM, member, bytes_of(NULL, 0));
        reply_bulk(c->reply, member);
    }
    key_event_left(c, EVENT_SET, "spop", &k);
    names_deinit(&picked);
}

static void spop(struct call *c)
{
    struct key k;
    int64_t count;
    if (c->argc == 2) {
        spop_one(c);
        return;
    }
    if (c->argc > 3) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (!arg_positive(c, c->argv[2], NULL, &count) || !write_set(c, &k))
        return;
    struct buf cells = {0};
    struct names picked = {0};
    struct bytes member;
    sample(c, k.cell, TYPE_SET, count, &cells);
    for (size_t i = 0; i < sample_count(&cells); i++)
        names_add(&picked, cell_name(sample_at(&cells, i)));
    reply_set(c->reply, picked.n);
    bool some = picked.n > 0;
    while (names_take(&picked, &member)) {
        key_elem(c, &k, OP_SREM, member, bytes_of(NULL, 0));
        reply_bulk(c->reply, member);
    }
    if (some)
        key_event_left(c, EVENT_SET, "spop", &k);
    names_deinit(&picked);
    buf_deinit(&cells);
}

static void srandmember(struct call *c)
{
    struct key k;
    int64_t count = 1;
    if (c->argc > 3) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (c->argc == 3 && !arg_random_count(c, c->argv[2], false, &count))
        return;
    if (!read_set(c, &k))
        return;
    if (c->argc == 2) {
        if (k.cell == NULL)
            reply_nil(c->reply);
        else
            reply_bulk(c->reply, cell_name(coll_random(k.cell, TYPE_SET, call_rng(c))));
        return;
    }
    struct buf cells = {0};
    if (sample(c, k.cell, TYPE_SET, count, &cells)) {
        reply_array(c->reply, sample_count(&cells));
        for (size_t i = 0; i < sample_count(&cells); i++)
            reply_bulk(c->reply, cell_name(sample_at(&cells, i)));
    }
    buf_deinit(&cells);
}

static void sscan(struct call *c) { collscan(c, TYPE_SET); }

/* name, arity, flags, first, last and step of keys, where, merge, run, keys,
 * group, since, complexity, summary, arguments */
const struct command cmd_set_table[] = {
    {"sadd", -3, CMD_WRITE | CMD_DENYOOM | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE,
     sadd, NULL, "set", "1.0.0", "O(1) for each member", "Adds members to a set",
     "key member [member ...]"},
    {"srem", -3, CMD_WRITE | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE, srem, NULL,
     "set", "1.0.0", "O(N) with N the number of members to be removed",
     "Removes members from a set", "key member [member ...]"},
    {"smembers", 2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, smembers, NULL, "set", "1.0.0",
     "O(N) with N the size of the set", "Returns all members of a set", "key"},
    {"sismember", 3, CMD_READONLY | CMD_FAST | CMD_ELEMENT, 1, 1, 1, AT_SHARD, MERGE_NONE,
     sismember, NULL, "set", "1.0.0", "O(1)", "Tells whether a member is in a set", "key member"},
    {"smismember", -3, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, smismember, NULL,
     "set", "6.2.0", "O(N) with N the number of members asked for",
     "Tells which members are in a set", "key member [member ...]"},
    {"scard", 2, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, scard, NULL, "set",
     "1.0.0", "O(1)", "Returns the number of members", "key"},
    {"spop", -2, CMD_WRITE | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, spop, NULL, "set", "1.0.0",
     "O(1), with a count O(N) with N the count", "Removes and returns random members",
     "key [count]"},
    {"srandmember", -2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, srandmember, NULL, "set",
     "1.0.0", "O(1), with a count O(N) with N the count", "Returns random members", "key [count]"},
    {"smove", 4, CMD_WRITE | CMD_FAST, 1, 2, 1, AT_SHARD, MERGE_NONE, smove, NULL, "set", "1.0.0",
     "O(1)", "Moves a member to another set", "source destination member"},
    {"sinter", -2, CMD_READONLY, 1, -1, 1, AT_SHARD, MERGE_NONE, sinter, NULL, "set", "1.0.0",
     "O(N*M) worst case with N the smallest set's size and M the number of sets", "Intersects sets",
     "key [key ...]"},
    {"sintercard", -3, CMD_READONLY, 0, 0, 0, AT_SHARD, MERGE_NONE, sintercard, args_numkeys, "set",
     "7.0.0", "O(N*M) worst case with N the smallest set's size and M the number of sets",
     "Counts the members of an intersection", "numkeys key [key ...] [LIMIT limit]"},
    {"sinterstore", -3, CMD_WRITE | CMD_DENYOOM, 1, -1, 1, AT_SHARD, MERGE_NONE, sinterstore, NULL,
     "set", "1.0.0", "O(N*M) worst case with N the smallest set's size and M the number of sets",
     "Stores an intersection of sets", "destination key [key ...]"},
    {"sunion", -2, CMD_READONLY, 1, -1, 1, AT_SHARD, MERGE_NONE, sunion, NULL, "set", "1.0.0",
     "O(N) with N the number of members in all sets", "Unites sets", "key [key ...]"},
    {"sunionstore", -3, CMD_WRITE | CMD_DENYOOM, 1, -1, 1, AT_SHARD, MERGE_NONE, sunionstore, NULL,
     "set", "1.0.0", "O(N) with N the number of members in all sets", "Stores a union of sets",
     "destination key [key ...]"},
    {"sdiff", -2, CMD_READONLY, 1, -1, 1, AT_SHARD, MERGE_NONE, sdiff, NULL, "set", "1.0.0",
     "O(N) with N the number of members in all sets",
     "Returns the first set without the members of the others", "key [key ...]"},
    {"sdiffstore", -3, CMD_WRITE | CMD_DENYOOM, 1, -1, 1, AT_SHARD, MERGE_NONE, sdiffstore, NULL,
     "set", "1.0.0", "O(N) with N the number of members in all sets",
     "Stores the first set without the members of the others", "destination key [key ...]"},
    {"sscan", -3, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, sscan, NULL, "set", "2.8.0",
     "O(1) a call, O(N) for a whole iteration", "Iterates over the members of a set",
     "key cursor [MATCH pattern] [COUNT count]"},
    {.name = NULL},
};
