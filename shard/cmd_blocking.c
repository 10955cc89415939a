/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/args.h"
#include "shard/blocked.h"
#include "shard/cmd_list.h"
#include "shard/cmd_zset.h"

/* The commands that wait for an element of a list or of a sorted set:
 * https://redis.io/docs/latest/commands/blpop/ and its kin. (XREAD and XREADGROUP stand with the
 * streams.) */

/* Nothing is there: waits; where that may not be, answers as when the time is up. */
static void wait_for(struct call *c, enum type type, const struct bytes *keys, uint32_t count,
                     int64_t timeout_ms)
{
    struct block_on on = {.keys = keys, .count = count, .type = type, .timeout_ms = timeout_ms};
    if (call_may_block(c))
        call_block(c, &on);
    else
        reply_nil_array(c->reply);
}

/* BLPOP, BRPOP: key [key ...] timeout */
static void pop_element(struct call *c, enum list_end end)
{
    uint32_t count = c->argc - 2;
    int64_t timeout_ms;
    if (!arg_timeout_seconds(c, c->argv[c->argc - 1], &timeout_ms))
        return;
    for (uint32_t i = 1; i <= count; i++) {
        struct key k;
        if (!call_considers(c, c->argv[i]))
            continue;
        key_write(c, c->argv[i], &k);
        if (!key_is(c, &k, TYPE_LIST))
            return;
        if (k.cell == NULL)
            continue;
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[i]);
        list_pop(c, &k, end);
        return;
    }
    wait_for(c, TYPE_LIST, c->argv + 1, count, timeout_ms);
}

static void blpop(struct call *c) { pop_element(c, LIST_HEAD); }

static void brpop(struct call *c) { pop_element(c, LIST_TAIL); }

/* Only the source is waited for. In a transaction the reply is that of LMOVE. */
static void move_element(struct call *c, enum list_end from, enum list_end to, struct bytes timeout)
{
    int64_t timeout_ms;
    if (!arg_timeout_seconds(c, timeout, &timeout_ms) || list_move(c, from, to))
        return;
    if (call_may_block(c))
        wait_for(c, TYPE_LIST, c->argv + 1, 1, timeout_ms);
    else
        reply_nil(c->reply);
}

static void blmove(struct call *c)
{
    enum list_end from, to;
    if (list_end_arg(c->argv[3], &from) && list_end_arg(c->argv[4], &to))
        move_element(c, from, to, c->argv[5]);
    else
        reply_error(c->reply, ERR_SYNTAX);
}

static void brpoplpush(struct call *c) { move_element(c, LIST_TAIL, LIST_HEAD, c->argv[3]); }

static void blmpop(struct call *c)
{
    struct list_mpop from;
    int64_t timeout_ms;
    if (!list_mpop_args(c, 2, &from) || !arg_timeout_seconds(c, c->argv[1], &timeout_ms))
        return;
    if (!list_mpop(c, &from))
        wait_for(c, TYPE_LIST, from.keys, from.count, timeout_ms);
}

/* BZPOPMIN, BZPOPMAX: key [key ...] timeout */
static void pop_member(struct call *c, bool max)
{
    uint32_t count = c->argc - 2;
    int64_t timeout_ms;
    if (!arg_timeout_seconds(c, c->argv[c->argc - 1], &timeout_ms))
        return;
    if (!zset_pop_first(c, c->argv + 1, count, max))
        wait_for(c, TYPE_ZSET, c->argv + 1, count, timeout_ms);
}

static void bzpopmin(struct call *c) { pop_member(c, false); }

static void bzpopmax(struct call *c) { pop_member(c, true); }

static void bzmpop(struct call *c)
{
    struct zset_mpop from;
    int64_t timeout_ms;
    if (!zset_mpop_args(c, 2, &from) || !arg_timeout_seconds(c, c->argv[1], &timeout_ms))
        return;
    if (!zset_mpop(c, &from))
        wait_for(c, TYPE_ZSET, from.keys, from.count, timeout_ms);
}

#define MANY (CMD_WRITE | CMD_BLOCKING)
#define POPS (MANY | CMD_NOSCRIPT)
#define POPS_FAST (POPS | CMD_FAST)
#define MOVES (POPS | CMD_DENYOOM)

/* name, arity, flags, first, last and step of keys, where, merge, run, keys,
 * group, since, complexity, summary, arguments */
const struct command cmd_blocking_table[] = {
    {"blpop", -3, POPS, 1, -2, 1, AT_SHARD, MERGE_NONE, blpop, NULL, "list", "2.0.0",
     "O(N) with N the number of keys",
     "Removes and returns the first element of a list; waits until there is one",
     "key [key ...] timeout"},
    {"brpop", -3, POPS, 1, -2, 1, AT_SHARD, MERGE_NONE, brpop, NULL, "list", "2.0.0",
     "O(N) with N the number of keys",
     "Removes and returns the last element of a list; waits until there is one",
     "key [key ...] timeout"},
    {"blmove", 6, MOVES, 1, 2, 1, AT_SHARD, MERGE_NONE, blmove, NULL, "list", "6.2.0", "O(log(N))",
     "Moves an element from one end of a list to an end of another; waits until there is one",
     "source destination <LEFT|RIGHT> <LEFT|RIGHT> timeout"},
    {"brpoplpush", 4, MOVES, 1, 2, 1, AT_SHARD, MERGE_NONE, brpoplpush, NULL, "list", "2.2.0",
     "O(log(N))",
     "Moves the last element of a list before the first of another; waits until there is one",
     "source destination timeout"},
    {"blmpop", -5, MANY, 0, 0, 0, AT_SHARD, MERGE_NONE, blmpop, args_numkeys_second, "list",
     "7.0.0", "O(K+M*log(N)) with K the number of keys and M the number of elements popped",
     "Pops elements of the first list that is not empty; waits until there is one",
     "timeout numkeys key [key ...] <LEFT|RIGHT> [COUNT count]"},
    {"bzpopmin", -3, POPS_FAST, 1, -2, 1, AT_SHARD, MERGE_NONE, bzpopmin, NULL, "sorted-set",
     "5.0.0", "O(log(N))",
     "Removes and returns the member with the lowest score; waits until there is one",
     "key [key ...] timeout"},
    {"bzpopmax", -3, POPS_FAST, 1, -2, 1, AT_SHARD, MERGE_NONE, bzpopmax, NULL, "sorted-set",
     "5.0.0", "O(log(N))",
     "Removes and returns the member with the highest score; waits until there is one",
     "key [key ...] timeout"},
    {"bzmpop", -5, MANY, 0, 0, 0, AT_SHARD, MERGE_NONE, bzmpop, args_numkeys_second, "sorted-set",
     "7.0.0", "O(K)+O(M*log(N)) with K the number of keys and M the number of members popped",
     "Pops members of the first sorted set that is there; waits until there is one",
     "timeout numkeys key [key ...] <MIN|MAX> [COUNT count]"},
    {.name = NULL},
};
