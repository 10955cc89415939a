/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/zset_range.h"

#include <math.h>
#include <stdlib.h>

/* The end of a score range may be any text that strtod takes whole, even an empty one (0): Redis is
 * as lax here. */
static bool parse_score(struct bytes s, double *score, bool *open)
{
    char room[NUM_TEXT_MAX + 1];
    char *end;
    *open = s.n > 0 && s.p[0] == '(';
    if (*open)
        s = bytes_of(s.p + 1, s.n - 1);
    if (s.n > NUM_TEXT_MAX)
        return false;
    if (s.n > 0)
        memcpy(room, s.p, s.n);
    room[s.n] = 0;
    *score = strtod(room, &end);
    return *end == 0 && !isnan(*score);
}

static bool parse_lex(struct bytes s, struct lex_bound *out)
{
    *out = (struct lex_bound){0};
    if (s.n == 1 && (s.p[0] == '-' || s.p[0] == '+')) {
        out->end = s.p[0] == '-' ? -1 : 1;
        return true;
    }
    if (s.n == 0 || (s.p[0] != '(' && s.p[0] != '['))
        return false;
    out->open = s.p[0] == '(';
    out->member = bytes_of(s.p + 1, s.n - 1);
    return true;
}

bool zset_range_parse(struct call *c, enum zset_by by, struct bytes min, struct bytes max,
                      struct zset_range *out)
{
    *out = (struct zset_range){.by = by};
    switch (by) {
    case BY_RANK:
        return arg_i64(c, min, &out->start) && arg_i64(c, max, &out->stop);
    case BY_SCORE:
        if (parse_score(min, &out->min, &out->min_open) &&
            parse_score(max, &out->max, &out->max_open))
            return true;
        reply_error(c->reply, "ERR min or max is not a float");
        return false;
    case BY_LEX:
        if (parse_lex(min, &out->lex_min) && parse_lex(max, &out->lex_max))
            return true;
        reply_error(c->reply, "ERR min or max not valid string range item");
        return false;
    }
    return false;
}

/* How many members lie below the bound; `after`: below and at it. */
static size_t lex_rank(const struct cell *key, const struct lex_bound *b, bool after)
{
    if (b->end != 0)
        return b->end < 0 ? 0 : coll_len(key, TYPE_ZSET);
    return zset_rank_lex(key, b->member, after);
}

struct span zset_range_span(const struct zset_range *r, const struct cell *key, bool reverse)
{
    size_t len = coll_len(key, TYPE_ZSET), from = 0, to = 0;
    if (len == 0)
        return (struct span){0, 0};
    switch (r->by) {
    case BY_RANK: {
        struct span s = span_of(r->start, r->stop, len);
        if (reverse)
            s.first = len - s.first - s.count;
        return s;
    }
    case BY_SCORE:
        from = zset_rank_score(key, r->min, r->min_open);
        to = zset_rank_score(key, r->max, !r->max_open);
        break;
    case BY_LEX:
        from = lex_rank(key, &r->lex_min, r->lex_min.open);
        to = lex_rank(key, &r->lex_max, !r->lex_max.open);
        break;
    }
    return (struct span){from, to > from ? to - from : 0};
}
