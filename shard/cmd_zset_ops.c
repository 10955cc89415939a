/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_zset.h"

#include "shard/combine.h"

/* Redis commands on several sorted sets (or sets) at once: ZUNION, ZINTER, ZDIFF, their STORE
 * forms, ZINTERCARD. */

struct algebra {
    enum combine_how how;
    uint32_t numkeys; /* argument that says how many keys follow */
    bool card;        /* reply only how many there are */
    bool scores;
    struct combine cb;
};

static bool store_form(const struct algebra *a) { return a->numkeys == 2; }

static bool weights(struct call *c, struct algebra *a, uint32_t i)
{
    for (uint32_t k = 0; k < a->cb.n; k++) {
        if (!num_parse_double(c->argv[i + 1 + k], &a->cb.at[k].weight)) {
            reply_error(c->reply, "ERR weight value is not a float");
            return false;
        }
    }
    return true;
}

static bool aggregate(struct call *c, struct algebra *a, struct bytes how)
{
    if (bytes_is_nocase(how, "sum"))
        a->cb.score = SCORE_SUM;
    else if (bytes_is_nocase(how, "min"))
        a->cb.score = SCORE_MIN;
    else if (bytes_is_nocase(how, "max"))
        a->cb.score = SCORE_MAX;
    else {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    return true;
}

static bool limit(struct call *c, struct algebra *a, struct bytes arg)
{
    int64_t n;
    if (!arg_positive(c, arg, "ERR LIMIT can't be negative", &n))
        return false;
    a->cb.limit = (size_t)n;
    return true;
}

/* Reads the option at *i and moves *i behind it; false when an error was replied. */
static bool option(struct call *c, struct algebra *a, uint32_t *i)
{
    struct bytes name = c->argv[*i];
    uint32_t at = *i, rest = c->argc - at;
    bool scored = a->how != COMBINE_DIFF && !a->card;
    if (scored && rest > a->cb.n && bytes_is_nocase(name, "weights")) {
        *i += 1 + a->cb.n;
        return weights(c, a, at);
    }
    if (scored && rest > 1 && bytes_is_nocase(name, "aggregate")) {
        *i += 2;
        return aggregate(c, a, c->argv[at + 1]);
    }
    if (a->card && rest > 1 && bytes_is_nocase(name, "limit")) {
        *i += 2;
        return limit(c, a, c->argv[at + 1]);
    }
    if (!store_form(a) && !a->card && bytes_is_nocase(name, "withscores")) {
        *i += 1;
        a->scores = true;
        return true;
    }
    reply_error(c->reply, ERR_SYNTAX);
    return false;
}

static bool options(struct call *c, struct algebra *a)
{
    for (uint32_t i = a->numkeys + 1 + a->cb.n; i < c->argc;)
        if (!option(c, a, &i))
            return false;
    return true;
}

static void answer(struct call *c, struct algebra *a, struct tally *rows)
{
    if (store_form(a)) {
        combine_store(c, c->argv[1], TYPE_ZSET, c->command->name, rows);
        return;
    }
    if (a->card) {
        reply_int(c->reply, (int64_t)rows->n);
        return;
    }
    tally_sort(rows);
    zset_reply_head(c->reply, rows->n, a->scores);
    for (size_t i = 0; i < rows->n; i++)
        zset_reply_member(c->reply, rows->at[i].name, rows->at[i].score, a->scores);
}

static void algebra_run(struct call *c, struct algebra a)
{
    int64_t n;
    struct tally rows;
    if (!arg_i64(c, c->argv[a.numkeys], &n))
        return;
    if (n < 1) {
        reply_errorf(c->reply, "ERR at least 1 input key is needed for '%s' command",
                     c->command->name);
        return;
    }
    if (n > (int64_t)(c->argc - a.numkeys - 1)) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (!combine_read(c, a.numkeys + 1, (uint32_t)n, true, &a.cb))
        return;
    if (options(c, &a)) {
        combine_run(c, &a.cb, a.how, &rows);
        answer(c, &a, &rows);
        tally_deinit(&rows);
    }
    combine_deinit(&a.cb);
}

void zunion(struct call *c)
{
    algebra_run(c, (struct algebra){.how = COMBINE_UNION, .numkeys = 1});
}

void zinter(struct call *c)
{
    algebra_run(c, (struct algebra){.how = COMBINE_INTER, .numkeys = 1});
}

void zdiff(struct call *c) { algebra_run(c, (struct algebra){.how = COMBINE_DIFF, .numkeys = 1}); }

void zunionstore(struct call *c)
{
    algebra_run(c, (struct algebra){.how = COMBINE_UNION, .numkeys = 2});
}

void zinterstore(struct call *c)
{
    algebra_run(c, (struct algebra){.how = COMBINE_INTER, .numkeys = 2});
}

void zdiffstore(struct call *c)
{
    algebra_run(c, (struct algebra){.how = COMBINE_DIFF, .numkeys = 2});
}

void zintercard(struct call *c)
{
    algebra_run(c, (struct algebra){.how = COMBINE_INTER, .numkeys = 1, .card = true});
}
