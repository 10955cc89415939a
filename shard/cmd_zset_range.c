/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_zset.h"

#include "shard/combine.h"
#include "shard/events.h"
#include "shard/zset_range.h"

/* Sorted-set commands on ranges: ZCOUNT, ZLEXCOUNT, ZRANGE and its kin, ZRANGESTORE, ZREMRANGEBY*.
 */

static void count_range(struct call *c, enum zset_by by)
{
    struct zset_range range;
    struct key k;
    if (zset_range_parse(c, by, c->argv[2], c->argv[3], &range) && zset_read(c, &k))
        reply_int(c->reply, (int64_t)zset_range_span(&range, k.cell, false).count);
}

void zcount(struct call *c) { count_range(c, BY_SCORE); }

void zlexcount(struct call *c) { count_range(c, BY_LEX); }

static void remove_range(struct call *c, enum zset_by by)
{
    struct zset_range range;
    struct key k;
    if (!zset_range_parse(c, by, c->argv[2], c->argv[3], &range) || !zset_write(c, &k))
        return;
    struct span span = zset_range_span(&range, k.cell, false);
    zset_remove(c, &k, span);
    if (span.count > 0)
        key_event_left(c, EVENT_ZSET, c->command->name, &k);
    reply_int(c->reply, (int64_t)span.count);
}

void zremrangebyrank(struct call *c) { remove_range(c, BY_RANK); }

void zremrangebyscore(struct call *c) { remove_range(c, BY_SCORE); }

void zremrangebylex(struct call *c) { remove_range(c, BY_LEX); }

/* ------------------------------------------------------------ ZRANGE and its kin */

struct query {
    uint32_t key;      /* argument of the source */
    bool store;        /* into argv[1] */
    bool by_is_fixed;  /* the command's name says by what */
    bool way_is_fixed; /* ... and in which direction */
    enum zset_by by;
    bool reverse, scores;
    int64_t offset, limit; /* limit < 0: none */
};

/* Reads the option at *i, moving *i to its last argument; false when an error was replied. */
static bool query_option(struct call *c, struct query *q, uint32_t *i)
{
    struct bytes arg = c->argv[*i];
    if (!q->store && bytes_is_nocase(arg, "withscores")) {
        q->scores = true;
    } else if (bytes_is_nocase(arg, "limit") && *i + 2 < c->argc) {
        if (!arg_i64(c, c->argv[*i + 1], &q->offset) || !arg_i64(c, c->argv[*i + 2], &q->limit))
            return false;
        *i += 2;
    } else if (!q->way_is_fixed && bytes_is_nocase(arg, "rev")) {
        q->reverse = q->way_is_fixed = true;
    } else if (!q->by_is_fixed && bytes_is_nocase(arg, "bylex")) {
        q->by = BY_LEX;
        q->by_is_fixed = true;
    } else if (!q->by_is_fixed && bytes_is_nocase(arg, "byscore")) {
        q->by = BY_SCORE;
        q->by_is_fixed = true;
    } else {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    return true;
}

static bool query_options(struct call *c, struct query *q)
{
    for (uint32_t i = q->key + 3; i < c->argc; i++)
        if (!query_option(c, q, &i))
            return false;
    const char *fault = NULL;
    if (q->limit != -1 && q->by == BY_RANK)
        fault = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or "
                "BYLEX";
    else if (q->scores && q->by == BY_LEX)
        fault = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    if (fault != NULL)
        reply_error(c->reply, fault);
    return fault == NULL;
}

/* Applies LIMIT, in the direction asked for. */
static struct span query_limit(const struct query *q, struct span s)
{
    if (q->by == BY_RANK)
        return s;
    if (q->offset < 0 || (uint64_t)q->offset >= s.count)
        return (struct span){s.first, 0};
    size_t n = s.count - (size_t)q->offset;
    if (q->limit >= 0 && (uint64_t)q->limit < n)
        n = (size_t)q->limit;
    size_t first =
        q->reverse ? s.first + s.count - (size_t)q->offset - n : s.first + (size_t)q->offset;
    return (struct span){first, n};
}

static void query_reply(struct call *c, const struct query *q, const struct key *k, struct span s)
{
    struct order_iter it;
    zset_reply_head(c->reply, s.count, q->scores);
    if (s.count == 0)
        return;
    order_iter(&it, k->cell, TYPE_ZSET, q->reverse ? s.first + s.count - 1 : s.first);
    for (size_t i = 0; i < s.count; i++) {
        const struct cell *e = q->reverse ? order_prev(&it) : order_next(&it);
        zset_reply_member(c->reply, cell_name(e), q->scores ? cell_score(e) : 0, q->scores);
    }
}

static void query_store(struct call *c, const struct key *k, struct span s)
{
    struct order_iter it;
    struct tally rows;
    tally_init(&rows, NULL);
    if (s.count > 0)
        order_iter(&it, k->cell, TYPE_ZSET, s.first);
    for (size_t i = 0; i < s.count; i++) {
        const struct cell *e = order_next(&it);
        tally_push(&rows, cell_name(e))->score = cell_score(e);
    }
    combine_store(c, c->argv[1], TYPE_ZSET, c->command->name, &rows);
    tally_deinit(&rows);
}

static void query_run(struct call *c, struct query *q)
{
    struct zset_range range;
    struct key k;
    q->limit = -1;
    if (!query_options(c, q))
        return;
    /* Backwards, the upper end comes first; indexes are given from the far end instead. */
    bool swap = q->reverse && q->by != BY_RANK;
    struct bytes one = c->argv[q->key + 1], two = c->argv[q->key + 2];
    if (!zset_range_parse(c, q->by, swap ? two : one, swap ? one : two, &range))
        return;
    key_read(c, c->argv[q->key], &k);
    if (!key_is(c, &k, TYPE_ZSET))
        return;
    struct span span = query_limit(q, zset_range_span(&range, k.cell, q->reverse));
    if (q->store)
        query_store(c, &k, span);
    else
        query_reply(c, q, &k, span);
}

void zrange(struct call *c)
{
    struct query q = {.key = 1};
    query_run(c, &q);
}

void zrangestore(struct call *c)
{
    struct query q = {.key = 2, .store = true};
    query_run(c, &q);
}

void zrevrange(struct call *c)
{
    struct query q = {.key = 1, .by_is_fixed = true, .way_is_fixed = true, .reverse = true};
    query_run(c, &q);
}

void zrangebyscore(struct call *c)
{
    struct query q = {.key = 1, .by_is_fixed = true, .way_is_fixed = true, .by = BY_SCORE};
    query_run(c, &q);
}

void zrevrangebyscore(struct call *c)
{
    struct query q = {
        .key = 1, .by_is_fixed = true, .way_is_fixed = true, .by = BY_SCORE, .reverse = true};
    query_run(c, &q);
}

void zrangebylex(struct call *c)
{
    struct query q = {.key = 1, .by_is_fixed = true, .way_is_fixed = true, .by = BY_LEX};
    query_run(c, &q);
}

void zrevrangebylex(struct call *c)
{
    struct query q = {
        .key = 1, .by_is_fixed = true, .way_is_fixed = true, .by = BY_LEX, .reverse = true};
    query_run(c, &q);
}
