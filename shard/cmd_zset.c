/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_zset.h"

#include "shard/collscan.h"
#include "shard/events.h"
#include "shard/names.h"
#include "shard/sample.h"

#include <math.h>

/* Redis commands of the group "sorted-set": https://redis.io/docs/latest/commands/?group=sorted-set
 * This file: those on single members. */

bool zset_read(struct call *c, struct key *k)
{
    key_read(c, c->argv[1], k);
    return key_is(c, k, TYPE_ZSET);
}

bool zset_write(struct call *c, struct key *k)
{
    key_write(c, c->argv[1], k);
    return key_is(c, k, TYPE_ZSET);
}

void zset_reply_member(struct reply *r, struct bytes member, double score, bool with_score)
{
    if (with_score && r->resp > 2)
        reply_array(r, 2);
    reply_bulk(r, member);
    if (with_score)
        reply_double(r, score);
}

void zset_reply_head(struct reply *r, size_t n, bool with_scores)
{
    reply_array(r, with_scores && r->resp == 2 ? n * 2 : n);
}

static const struct cell *member_of(const struct key *k, struct bytes member)
{
    return coll_find(k->cell, TYPE_ZSET, member);
}

static void reply_score(struct reply *r, const struct cell *member)
{
    if (member == NULL)
        reply_nil(r);
    else
        reply_double(r, cell_score(member));
}

/* ------------------------------------------------------------ ZADD */

struct zadd {
    bool nx, xx, gt, lt, ch, incr;
    uint32_t first;         /* argument of the first score */
    int64_t added, updated; /* so far */
    bool skipped;           /* the last member was left as it was */
};

static bool zadd_option(struct bytes arg, struct zadd *z)
{
    if (bytes_is_nocase(arg, "nx"))
        z->nx = true;
    else if (bytes_is_nocase(arg, "xx"))
        z->xx = true;
    else if (bytes_is_nocase(arg, "gt"))
        z->gt = true;
    else if (bytes_is_nocase(arg, "lt"))
        z->lt = true;
    else if (bytes_is_nocase(arg, "ch"))
        z->ch = true;
    else if (bytes_is_nocase(arg, "incr"))
        z->incr = true;
    else
        return false;
    return true;
}

/* What is wrong with the options and the number of pairs; NULL: nothing. */
static const char *zadd_fault(const struct zadd *z, uint32_t rest)
{
    if (rest == 0 || rest % 2 != 0)
        return ERR_SYNTAX;
    if (z->nx && z->xx)
        return "ERR XX and NX options at the same time are not compatible";
    if ((z->gt && z->nx) || (z->lt && z->nx) || (z->gt && z->lt))
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    if (z->incr && rest > 2)
        return "ERR INCR option supports a single increment-element pair";
    return NULL;
}

/*
 * One pair. A score that stays the same is written again all the same: it then survives a removal
 * made elsewhere meanwhile. An increment is sent as such, so that concurrent ones add up. False:
 * the sum is no number.
 */
static bool zadd_one(struct call *c, struct key *k, struct zadd *z, double score,
                     struct bytes member)
{
    const struct cell *old = member_of(k, member);
    double before = old == NULL ? 0 : cell_score(old);
    double after = z->incr ? before + score : score;
    z->skipped = old == NULL ? z->xx : z->nx;
    if (z->skipped)
        return true;
    if (isnan(after)) {
        reply_error(c->reply, "ERR resulting score is not a number (NaN)");
        return false;
    }
    if (old != NULL && ((z->gt && after <= before) || (z->lt && after >= before))) {
        z->skipped = true;
        return true;
    }
    key_elem_real(c, k, z->incr ? OP_ZINCR : OP_ZADD, member, (long double)score);
    z->added += old == NULL;
    z->updated += old != NULL && after != before;
    return true;
}

static void zadd_reply(struct call *c, const struct key *k, const struct zadd *z)
{
    if (!z->incr)
        reply_int(c->reply, z->ch ? z->added + z->updated : z->added);
    else
        reply_score(c->reply, z->skipped ? NULL : member_of(k, c->argv[z->first + 1]));
}

/* Options and first score are parsed. All scores are checked before anything is changed. */
static void zadd_run(struct call *c, struct zadd *z)
{
    struct key k;
    double score;
    const char *fault = zadd_fault(z, c->argc - z->first);
    if (fault != NULL) {
        reply_error(c->reply, fault);
        return;
    }
    for (uint32_t i = z->first; i < c->argc; i += 2)
        if (!arg_double(c, c->argv[i], &score))
            return;
    if (!zset_write(c, &k))
        return;
    for (uint32_t i = z->first; i < c->argc; i += 2) {
        num_parse_double(c->argv[i], &score);
        if (!zadd_one(c, &k, z, score, c->argv[i + 1]))
            return;
    }
    if (z->added + z->updated > 0)
        key_event(c, EVENT_ZSET, z->incr ? "zincr" : "zadd", k.name);
    zadd_reply(c, &k, z);
}

void zadd(struct call *c)
{
    struct zadd z = {.first = 2};
    while (z.first < c->argc && zadd_option(c->argv[z.first], &z))
        z.first++;
    zadd_run(c, &z);
}

void zincrby(struct call *c)
{
    struct zadd z = {.first = 2, .incr = true};
    zadd_run(c, &z);
}

/* ------------------------------------------------------------ single members */

void zrem(struct call *c)
{
    struct key k;
    if (!zset_write(c, &k))
        return;
    int64_t removed = 0;
    for (uint32_t i = 2; i < c->argc; i++) {
        if (member_of(&k, c->argv[i]) == NULL)
            continue;
        key_elem(c, &k, OP_ZREM, c->argv[i], bytes_of(NULL, 0));
        removed++;
    }
    if (removed > 0)
        key_event_left(c, EVENT_ZSET, "zrem", &k);
    reply_int(c->reply, removed);
}

void zscore(struct call *c)
{
    struct key k;
    if (zset_read(c, &k))
        reply_score(c->reply, member_of(&k, c->argv[2]));
}

void zmscore(struct call *c)
{
    struct key k;
    if (!zset_read(c, &k))
        return;
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++)
        reply_score(c->reply, member_of(&k, c->argv[i]));
}

void zcard(struct call *c)
{
    struct key k;
    if (zset_read(c, &k))
        reply_int(c->reply, (int64_t)coll_len(k.cell, TYPE_ZSET));
}

static void reply_rank(struct call *c, bool reverse)
{
    struct key k;
    if (!zset_read(c, &k))
        return;
    size_t rank = k.cell == NULL ? SIZE_MAX : zset_rank(k.cell, c->argv[2]);
    if (rank == SIZE_MAX)
        reply_nil(c->reply);
    else
        reply_int(c->reply, (int64_t)(reverse ? coll_len(k.cell, TYPE_ZSET) - 1 - rank : rank));
}

void zrank(struct call *c) { reply_rank(c, false); }

void zrevrank(struct call *c) { reply_rank(c, true); }

void zset_remove(struct call *c, struct key *k, struct span span)
{
    struct names members = {0};
    struct bytes member;
    struct order_iter it;
    if (span.count == 0)
        return;
    order_iter(&it, k->cell, TYPE_ZSET, span.first);
    for (size_t i = 0; i < span.count; i++)
        names_add(&members, cell_name(order_next(&it)));
    while (names_take(&members, &member))
        key_elem(c, k, OP_ZREM, member, bytes_of(NULL, 0));
    names_deinit(&members);
}

/* ------------------------------------------------------------ random members, scanning */

static void reply_sample(struct call *c, const struct buf *cells, bool scores)
{
    size_t n = sample_count(cells);
    zset_reply_head(c->reply, n, scores);
    for (size_t i = 0; i < n; i++) {
        const struct cell *e = sample_at(cells, i);
        zset_reply_member(c->reply, cell_name(e), cell_score(e), scores);
    }
}

void zrandmember(struct call *c)
{
    struct key k;
    int64_t count = 1;
    bool scores = c->argc == 4;
    if (c->argc > 2) {
        if (!arg_random_count(c, c->argv[2], false, &count))
            return;
        if (c->argc > 4 || (scores && !bytes_is_nocase(c->argv[3], "withscores"))) {
            reply_error(c->reply, ERR_SYNTAX);
            return;
        }
        if (scores && !arg_random_count(c, c->argv[2], true, &count))
            return;
    }
    if (!zset_read(c, &k))
        return;
    if (c->argc == 2) {
        if (k.cell == NULL)
            reply_nil(c->reply);
        else
            reply_bulk(c->reply, cell_name(coll_random(k.cell, TYPE_ZSET, call_rng(c))));
        return;
    }
    struct buf cells = {0};
    if (sample(c, k.cell, TYPE_ZSET, count, &cells))
        reply_sample(c, &cells, scores);
    buf_deinit(&cells);
}

void zscan(struct call *c) { collscan(c, TYPE_ZSET); }
