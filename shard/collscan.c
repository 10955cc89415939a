/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/collscan.h"

#include "shard/args.h"

/* Asked for more, a slice would hold up everybody else; a scan may always return fewer than were
 * asked for. */
#define COLLSCAN_WANT_MAX 100000

struct slice {
    struct buf cells; /* pointers to the elements that match: nothing changes while they are held */
    struct bytes pattern;
    bool match;
};

static void visit(const struct cell *elem, void *arg)
{
    struct slice *s = arg;
    if (!s->match || glob_match(s->pattern, cell_name(elem)))
        buf_put(&s->cells, &elem, sizeof elem);
}

static bool parse_options(struct call *c, struct slice *s, int64_t *want)
{
    for (uint32_t i = 3; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;
        if (more && bytes_is_nocase(c->argv[i], "count")) {
            if (!arg_i64(c, c->argv[i + 1], want))
                return false;
            if (*want < 1) {
                reply_error(c->reply, ERR_SYNTAX);
                return false;
            }
        } else if (more && bytes_is_nocase(c->argv[i], "match")) {
            s->pattern = c->argv[i + 1];
            s->match = !bytes_is(s->pattern, "*");
        } else {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void reply_value(struct reply *r, const struct cell *elem, enum type type)
{
    if (type == TYPE_HASH) {
        struct shown s;
        cell_show(elem, &s);
        reply_bulk(r, s.text);
    } else if (type == TYPE_ZSET) {
        char room[NUM_TEXT_MAX]; /* a bulk string in RESP3 too, as Redis has it */
        reply_bulk(r, bytes_of(room, num_format_double(room, cell_score(elem))));
    }
}

static void reply_slice(struct call *c, uint64_t cursor, const struct slice *s, enum type type)
{
    struct bytes left = buf_bytes(&s->cells);
    size_t n = left.n / sizeof(struct cell *);
    struct reply *r = c->reply;
    reply_array(r, 2);
    cursor_reply(c, cursor);
    reply_array(r, type == TYPE_SET ? n : n * 2);
    for (size_t i = 0; i < n; i++) {
        const struct cell *elem;
        memcpy(&elem, left.p + i * sizeof elem, sizeof elem);
        reply_bulk(r, cell_name(elem));
        reply_value(r, elem, type);
    }
}

void collscan(struct call *c, enum type type)
{
    struct slice s = {0};
    struct key k;
    uint64_t cursor;
    int64_t want = 10;
    if (!cursor_arg(c, c->argv[2], &cursor))
        return;
    key_read(c, c->argv[1], &k);
    if (!key_is(c, &k, type))
        return;
    if (k.cell == NULL) {
        reply_slice(c, 0, &s, type);
        return;
    }
    if (!parse_options(c, &s, &want))
        return;
    if (want > COLLSCAN_WANT_MAX)
        want = COLLSCAN_WANT_MAX;
    cursor = coll_scan(k.cell, type, cursor, (size_t)want, visit, &s);
    reply_slice(c, cursor, &s, type);
    buf_deinit(&s.cells);
}
