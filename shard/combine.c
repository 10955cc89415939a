/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/combine.h"

#include "base/mem.h"
#include "shard/events.h"

#include <math.h>
#include <stdlib.h>

bool combine_read(struct call *c, uint32_t first, uint32_t n, bool sorted, struct combine *out)
{
    *out = (struct combine){.at = mem_zalloc(n * sizeof *out->at), .n = n};
    for (uint32_t i = 0; i < n; i++) {
        struct combine_input *in = &out->at[i];
        struct key k;
        key_read(c, c->argv[first + i], &k);
        in->cell = k.cell;
        in->weight = 1;
        in->order = i;
        in->type = sorted && value_type(k.cell) == TYPE_ZSET ? TYPE_ZSET : TYPE_SET;
        if (!key_is(c, &k, in->type)) {
            combine_deinit(out);
            return false;
        }
        in->len = coll_len(k.cell, in->type);
    }
    return true;
}

void combine_deinit(struct combine *cb)
{
    mem_free(cb->at);
    *cb = (struct combine){0};
}

static int input_cmp(const void *a, const void *b)
{
    const struct combine_input *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static const struct cell *input_find(const struct combine_input *in, struct bytes name)
{
    return in->len == 0 ? NULL : coll_find(in->cell, in->type, name);
}

static double weighted(const struct combine_input *in, const struct cell *elem)
{
    return (in->type == TYPE_ZSET ? cell_score(elem) : 1) * in->weight;
}

/* Infinity times zero counts as zero, as Redis has it. */
static double input_score(const struct combine_input *in, const struct cell *elem)
{
    double score = weighted(in, elem);
    return isnan(score) ? 0 : score;
}

/* A sum that is no number counts as zero, as Redis has it. */
static double score_add(enum combine_score how, double a, double b)
{
    switch (how) {
    case SCORE_MIN:
        return b < a ? b : a;
    case SCORE_MAX:
        return b > a ? b : a;
    case SCORE_SUM:
        break;
    }
    return isnan(a + b) ? 0 : a + b;
}

static void combine_union(const struct combine *cb, struct tally *out)
{
    for (uint32_t i = 0; i < cb->n; i++) {
        const struct combine_input *in = &cb->at[i];
        struct coll_iter it;
        if (in->len == 0)
            continue;
        coll_iter(&it, in->cell, in->type);
        for (const struct cell *e; (e = coll_next(&it)) != NULL;) {
            size_t before = out->n;
            struct tally_row *row = tally_find_or_add(out, cell_name(e));
            double score = input_score(in, e);
            row->score = out->n > before ? score : score_add(cb->score, row->score, score);
        }
    }
}

/* True when all inputs but the first have the element; *score is then the aggregate. */
static bool inter_score(const struct combine *cb, const struct cell *elem, double *score)
{
    *score = input_score(&cb->at[0], elem);
    for (uint32_t i = 1; i < cb->n; i++) {
        const struct cell *other = input_find(&cb->at[i], cell_name(elem));
        if (other == NULL)
            return false;
        /* Not input_score: only the first of an intersection is put right before it is added up. */
        *score = score_add(cb->score, *score, weighted(&cb->at[i], other));
    }
    return true;
}

static void combine_inter(const struct combine *cb, struct tally *out)
{
    struct coll_iter it;
    if (cb->at[0].len == 0)
        return;
    coll_iter(&it, cb->at[0].cell, cb->at[0].type);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;) {
        double score;
        if (!inter_score(cb, e, &score))
            continue;
        tally_push(out, cell_name(e))->score = score;
        if (out->n == cb->limit)
            break;
    }
}

static bool in_others(const struct combine *cb, struct bytes name)
{
    for (uint32_t i = 1; i < cb->n; i++)
        if (input_find(&cb->at[i], name) != NULL)
            return true;
    return false;
}

/* Looks each member of the first up in the others. */
static void diff_probe(const struct combine *cb, struct tally *out)
{
    struct coll_iter it;
    coll_iter(&it, cb->at[0].cell, cb->at[0].type);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;)
        if (!in_others(cb, cell_name(e)))
            tally_push(out, cell_name(e))->score = input_score(&cb->at[0], e);
}

/* Crosses out what the others have. */
static void diff_cross(const struct combine *cb, struct tally *out)
{
    struct coll_iter it;
    coll_iter(&it, cb->at[0].cell, cb->at[0].type);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;)
        tally_find_or_add(out, cell_name(e))->score = input_score(&cb->at[0], e);
    for (uint32_t i = 1; i < cb->n; i++) {
        if (cb->at[i].len == 0)
            continue;
        coll_iter(&it, cb->at[i].cell, cb->at[i].type);
        for (const struct cell *e; (e = coll_next(&it)) != NULL;) {
            struct tally_row *row = tally_find(out, cell_name(e));
            if (row != NULL)
                row->dropped = true;
        }
    }
    tally_sweep(out);
}

/* Either way costs what it reads: choose the cheaper, so that neither a large first nor a large
 * other set hurts. */
static void combine_diff(const struct combine *cb, struct tally *out)
{
    size_t total = 0;
    if (cb->at[0].len == 0)
        return;
    for (uint32_t i = 0; i < cb->n; i++)
        total += cb->at[i].len;
    if (cb->at[0].len <= total / cb->n)
        diff_probe(cb, out);
    else
        diff_cross(cb, out);
}

void combine_run(struct call *c, struct combine *cb, enum combine_how how, struct tally *out)
{
    tally_init(out, call_rng(c));
    /* Smallest first: the cheapest intersection, and the order in which Redis adds floats up. */
    if (how != COMBINE_DIFF)
        qsort(cb->at, cb->n, sizeof *cb->at, input_cmp);
    switch (how) {
    case COMBINE_UNION:
        combine_union(cb, out);
        break;
    case COMBINE_INTER:
        combine_inter(cb, out);
        break;
    case COMBINE_DIFF:
        combine_diff(cb, out);
        break;
    }
}

void combine_store(struct call *c, struct bytes name, enum type type, const char *event,
                   struct tally *rows)
{
    struct key k;
    tally_keep(rows); /* the destination may be one of the sources */
    key_write(c, name, &k);
    bool was_there = k.cell != NULL;
    if (was_there)
        key_del(c, &k);
    for (size_t i = 0; i < rows->n; i++) {
        if (type == TYPE_ZSET)
            key_elem_real(c, &k, OP_ZADD, rows->at[i].name, (long double)rows->at[i].score);
        else
            key_elem(c, &k, OP_SADD, rows->at[i].name, bytes_of(NULL, 0));
    }
    if (rows->n > 0)
        key_event(c, type == TYPE_ZSET ? EVENT_ZSET : EVENT_SET, event, name);
    else if (was_there)
        key_event(c, EVENT_GENERIC, "del", name);
    reply_int(c->reply, (int64_t)rows->n);
}
