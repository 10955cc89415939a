/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/lcs.h"

#include "base/mem.h"
#include "shard/text.h"

/*
 * LCS key1 key2 (https://redis.io/docs/latest/commands/lcs/). The usual table: length(i, j) is that
 * of the first i bytes of `a` and the first j of `b`. Reading it backwards gives the subsequence,
 * and its matches from the last to the first.
 */
#define TABLE_MAX (512u << 20) /* Redis' limit, proto-max-bulk-len */

struct lcs {
    struct bytes a, b;
    bool idx, len, with_match_len;
    int64_t min_match_len;
    uint32_t *table; /* owned; (a.n + 1) rows of b.n + 1 */
};

struct match {
    size_t a, b, n; /* where it begins in both, and its length */
};

static bool parse(struct call *c, struct lcs *l)
{
    for (uint32_t i = 3; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        if (bytes_is_nocase(word, "idx")) {
            l->idx = true;
        } else if (bytes_is_nocase(word, "len")) {
            l->len = true;
        } else if (bytes_is_nocase(word, "withmatchlen")) {
            l->with_match_len = true;
        } else if (bytes_is_nocase(word, "minmatchlen") && i + 1 < c->argc) {
            if (!arg_i64(c, c->argv[++i], &l->min_match_len))
                return false;
        } else {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
    }
    if (l->idx && l->len)
        reply_error(c->reply, "ERR If you want both the length and indexes, please just use IDX.");
    return !(l->idx && l->len);
}

static uint32_t *length(const struct lcs *l, size_t i, size_t j)
{
    return &l->table[i * (l->b.n + 1) + j];
}

static void fill(struct lcs *l)
{
    l->table = mem_alloc((l->a.n + 1) * (l->b.n + 1) * sizeof *l->table);
    memset(l->table, 0, (l->b.n + 1) * sizeof *l->table);
    for (size_t i = 1; i <= l->a.n; i++) {
        const uint32_t *above = length(l, i - 1, 0);
        uint32_t *row = length(l, i, 0);
        row[0] = 0;
        for (size_t j = 1; j <= l->b.n; j++)
            row[j] = l->a.p[i - 1] == l->b.p[j - 1] ? above[j - 1] + 1
                     : above[j] > row[j - 1]        ? above[j]
                                                    : row[j - 1];
    }
}

/* The match that ends last before (*i, *j), which move to its beginning; false when there is none.
 */
static bool previous_match(const struct lcs *l, size_t *i, size_t *j, struct match *out)
{
    while (*i > 0 && *j > 0 && l->a.p[*i - 1] != l->b.p[*j - 1]) {
        if (*length(l, *i - 1, *j) > *length(l, *i, *j - 1))
            --*i;
        else
            --*j;
    }
    size_t n = 0;
    for (; *i > 0 && *j > 0 && l->a.p[*i - 1] == l->b.p[*j - 1]; n++) {
        --*i;
        --*j;
    }
    *out = (struct match){.a = *i, .b = *j, .n = n};
    return n > 0;
}

static void reply_range(struct reply *r, size_t from, size_t n)
{
    reply_array(r, 2);
    reply_int(r, (int64_t)from);
    reply_int(r, (int64_t)(from + n - 1));
}

static void reply_matches(struct call *c, const struct lcs *l)
{
    struct buf room = {0};
    struct reply r = {.out = &room, .resp = c->reply->resp};
    struct match m;
    size_t i = l->a.n, j = l->b.n, n = 0;
    while (previous_match(l, &i, &j, &m)) {
        if ((int64_t)m.n < l->min_match_len)
            continue;
        reply_array(&r, l->with_match_len ? 3 : 2);
        reply_range(&r, m.a, m.n);
        reply_range(&r, m.b, m.n);
        if (l->with_match_len)
            reply_int(&r, (int64_t)m.n);
        n++;
    }
    reply_map(c->reply, 2);
    reply_bulk_str(c->reply, "matches");
    reply_array(c->reply, n);
    buf_put_bytes(c->reply->out, buf_bytes(&room));
    reply_bulk_str(c->reply, "len");
    reply_int(c->reply, *length(l, l->a.n, l->b.n));
    buf_deinit(&room);
}

static void reply_text(struct call *c, const struct lcs *l)
{
    size_t i = l->a.n, j = l->b.n, n = *length(l, i, j);
    uint8_t *text = mem_alloc(n);
    struct match m;
    for (size_t left = n; previous_match(l, &i, &j, &m);) {
        left -= m.n;
        memcpy(text + left, l->a.p + m.a, m.n);
    }
    reply_bulk(c->reply, bytes_of(text, n));
    mem_free(text);
}

static void reply_lcs(struct call *c, struct lcs *l)
{
    if ((uint64_t)(l->a.n + 1) * (l->b.n + 1) > TABLE_MAX / sizeof *l->table) {
        reply_error(c->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
                              "proto-max-bulk-len");
        return;
    }
    fill(l);
    if (l->idx)
        reply_matches(c, l);
    else if (l->len)
        reply_int(c->reply, *length(l, l->a.n, l->b.n));
    else
        reply_text(c, l);
    mem_free(l->table);
}

void lcs(struct call *c)
{
    struct lcs l = {0};
    struct key keys[2];
    struct shown shown[2];
    struct buf first = {0};
    for (unsigned i = 0; i < 2; i++) {
        key_read(c, c->argv[1 + i], &keys[i]);
        enum type type = value_type(keys[i].cell);
        if (type != TYPE_NONE && type != TYPE_STRING && type != TYPE_HLL) {
            reply_error(c->reply, "ERR The specified keys must contain string values");
            return;
        }
    }
    if (value_type(keys[0].cell) == TYPE_HLL) { /* two of them would share a scratch buffer */
        text_copy(c, &keys[0], &first);
        shown[0].text = buf_bytes(&first);
    } else {
        text_show(c, &keys[0], &shown[0]);
    }
    text_show(c, &keys[1], &shown[1]);
    l.a = shown[0].text;
    l.b = shown[1].text;
    if (parse(c, &l))
        reply_lcs(c, &l);
    buf_deinit(&first);
}
