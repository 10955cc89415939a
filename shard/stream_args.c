/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/stream_args.h"

#include "shard/args.h"
#include "shard/events.h"

/* ------------------------------------------------------------ IDs */

#define ID_TEXT_MAX 127u

/* What Redis takes as a part of an ID: what strtoull takes whole, but for a minus. */
static bool number(struct bytes s, uint64_t *out)
{
    size_t i = 0;
    uint64_t v = 0;
    while (i < s.n && (s.p[i] == ' ' || (s.p[i] >= '\t' && s.p[i] <= '\r')))
        i++;
    i += i < s.n && s.p[i] == '+';
    if (i == s.n)
        return false;
    for (; i < s.n; i++) {
        uint8_t digit = (uint8_t)(s.p[i] - '0');
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static bool read_id(struct bytes arg, uint64_t seq, bool *seq_given, struct stream_id *out)
{
    const uint8_t *dash = arg.n ? memchr(arg.p, '-', arg.n) : NULL;
    if (arg.n > ID_TEXT_MAX)
        return false;
    out->seq = seq;
    if (dash == NULL)
        return number(arg, &out->ms);
    struct bytes ms = bytes_of(arg.p, (size_t)(dash - arg.p));
    struct bytes rest = bytes_of(dash + 1, arg.n - ms.n - 1);
    if (!number(ms, &out->ms))
        return false;
    if (seq_given == NULL || !bytes_is(rest, "*"))
        return number(rest, &out->seq);
    *seq_given = false;
    out->seq = 0;
    return true;
}

bool stream_id_read(struct bytes arg, uint64_t seq, bool any, struct stream_id *out)
{
    if (any && (bytes_is(arg, "-") || bytes_is(arg, "+"))) {
        *out = arg.p[0] == '-' ? (struct stream_id){0} : STREAM_ID_MAX;
        return true;
    }
    return read_id(arg, seq, NULL, out);
}

static bool or_invalid(struct call *c, bool ok)
{
    if (!ok)
        reply_error(c->reply, ERR_STREAM_ID);
    return ok;
}

bool arg_stream_id(struct call *c, struct bytes arg, struct stream_id *out)
{
    return or_invalid(c, stream_id_read(arg, 0, false, out));
}

bool arg_stream_new_id(struct call *c, struct bytes arg, struct stream_id *out, bool *seq_given)
{
    *seq_given = true;
    return or_invalid(c, read_id(arg, 0, seq_given, out));
}

static bool excludes(struct bytes *arg)
{
    if (arg->n < 2 || arg->p[0] != '(')
        return false;
    *arg = bytes_of(arg->p + 1, arg->n - 1);
    return true;
}

bool arg_stream_from(struct call *c, struct bytes arg, struct stream_id *out)
{
    bool open = excludes(&arg);
    if (!or_invalid(c, stream_id_read(arg, 0, !open, out)))
        return false;
    if (!open || stream_id_next(out))
        return true;
    reply_error(c->reply, "ERR invalid start ID for the interval");
    return false;
}

bool arg_stream_to(struct call *c, struct bytes arg, struct stream_id *out)
{
    bool open = excludes(&arg);
    if (!or_invalid(c, stream_id_read(arg, UINT64_MAX, !open, out)))
        return false;
    if (!open || stream_id_prev(out))
        return true;
    reply_error(c->reply, "ERR invalid end ID for the interval");
    return false;
}

/* ------------------------------------------------------------ XADD, XTRIM */

/* MAXLEN or MINID with its threshold; *i stands at the word and is left at the threshold. */
static bool read_trim(struct call *c, uint32_t *i, struct stream_trim *t)
{
    bool maxlen = bytes_is_nocase(c->argv[*i], "maxlen");
    if (t->by != TRIM_NONE) {
        reply_error(c->reply, "ERR syntax error, MAXLEN and MINID options at the same time are not "
                              "compatible");
        return false;
    }
    t->by = maxlen ? TRIM_MAXLEN : TRIM_MINID;
    struct bytes next = c->argv[++*i];
    if (*i + 1 < c->argc && (bytes_is(next, "~") || bytes_is(next, "="))) {
        t->approx = next.p[0] == '~';
        ++*i;
    }
    if (!maxlen)
        return arg_stream_id(c, c->argv[*i], &t->minid);
    if (!arg_i64(c, c->argv[*i], &t->maxlen))
        return false;
    if (t->maxlen < 0)
        reply_error(c->reply, "ERR The MAXLEN argument must be >= 0.");
    return t->maxlen >= 0;
}

static bool read_limit(struct call *c, struct bytes arg, int64_t *limit)
{
    if (!arg_i64(c, arg, limit))
        return false;
    if (*limit < 0)
        reply_error(c->reply, "ERR The LIMIT argument must be >= 0.");
    return *limit >= 0;
}

/* 100 nodes: trimming must not take too long. */
static int64_t default_limit(const struct call *c)
{
    size_t n = call_stream_node(c);
    return n > 10000 ? 1000000 : 100 * (int64_t)n;
}

static bool check_trim(struct call *c, bool xadd, bool limit_given, struct stream_trim *t)
{
    const char *error = NULL;
    if (limit_given && t->limit != 0 && t->by == TRIM_NONE)
        error = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    else if (!xadd && t->by == TRIM_NONE)
        error = "ERR syntax error, XTRIM must be called with a trimming strategy";
    else if (limit_given && !t->approx)
        error = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    if (error != NULL) {
        reply_error(c->reply, error);
        return false;
    }
    if (!limit_given)
        t->limit = t->approx ? default_limit(c) : 0;
    return true;
}

bool arg_stream_new(struct call *c, bool xadd, struct stream_new *out)
{
    bool limit_given = false;
    uint32_t i = 2;
    *out = (struct stream_new){0};
    for (; i < c->argc; i++) {
        struct bytes arg = c->argv[i];
        bool more = i + 1 < c->argc;
        if (xadd && bytes_is(arg, "*"))
            break;
        if (more && (bytes_is_nocase(arg, "maxlen") || bytes_is_nocase(arg, "minid"))) {
            if (!read_trim(c, &i, &out->trim))
                return false;
        } else if (more && bytes_is_nocase(arg, "limit")) {
            if (!read_limit(c, c->argv[++i], &out->trim.limit))
                return false;
            limit_given = true;
        } else if (xadd && bytes_is_nocase(arg, "nomkstream")) {
            out->no_mkstream = true;
        } else if (xadd) {
            if (!arg_stream_new_id(c, arg, &out->id, &out->seq_given))
                return false;
            out->id_given = true;
            break;
        } else {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
    }
    out->at = i;
    return check_trim(c, xadd, limit_given, &out->trim);
}

/* How many entries stand before the threshold. */
static size_t excess(const struct key *k, const struct stream_trim *t, size_t len)
{
    struct stream_id last = t->minid;
    if (t->by == TRIM_MAXLEN)
        return len > (uint64_t)t->maxlen ? len - (size_t)t->maxlen : 0;
    if (!stream_id_prev(&last))
        return 0;
    struct stream_iter it;
    stream_range(&it, k->cell, (struct stream_id){0}, last, false);
    return it.left;
}

/* Redis trims approximately by freeing whole nodes of its tree. Here there are none of them, but
 * as many entries go: a node would hold those that were added as the n-th to 2n-th, and so on. */
static size_t whole_nodes(const struct call *c, const struct key *k, size_t len, size_t n)
{
    struct stream_info info;
    stream_info(k->cell, &info);
    size_t node = call_stream_node(c), gone = info.added > len ? (size_t)info.added - len : 0;
    size_t end = (gone + n) / node * node;
    return end > gone ? end - gone : 0;
}

size_t stream_trim_by(struct call *c, struct key *k, const struct stream_trim *t)
{
    if (t->by == TRIM_NONE)
        return 0;
    size_t len = stream_len(k->cell), n = excess(k, t, len);
    size_t limit = t->limit > 0 ? (size_t)t->limit : SIZE_MAX;
    if (t->approx && (n < len || n > limit))
        n = whole_nodes(c, k, len, n < limit ? n : limit);
    if (n > 0)
        stream_trim(c, k, n);
    return n;
}

/* ------------------------------------------------------------ replies */

void reply_stream_id(struct reply *r, struct stream_id id)
{
    char text[48]; /* two numbers of at most 20 digits */
    size_t n = num_format_u64(text, id.ms);
    text[n++] = '-';
    n += num_format_u64(text + n, id.seq);
    reply_bulk(r, bytes_of(text, n));
}

static void reply_fields(struct reply *r, struct bytes fields)
{
    size_t n = 2 * stream_fields(&fields);
    reply_array(r, n);
    for (size_t i = 0; i < n; i++)
        reply_bulk(r, stream_field_take(&fields));
}

void reply_stream_entry(struct reply *r, const struct stream_entry *e)
{
    reply_array(r, 2);
    reply_stream_id(r, e->id);
    reply_fields(r, e->fields);
}

unsigned reply_stream_entries_of(struct reply *r, const struct cell *key, struct stream_id id)
{
    struct stream_iter it;
    struct stream_entry e;
    unsigned n = 0;
    stream_range(&it, key, id, id, false);
    for (; stream_next(&it, &e); n++)
        reply_stream_entry(r, &e);
    return n;
}

/* ------------------------------------------------------------ groups */

static bool find(struct call *c, struct bytes group, struct stream_at *out)
{
    out->name = group;
    out->prefix = (struct buf){0};
    out->found = false;
    if (!key_is(c, &out->k, TYPE_STREAM))
        return false;
    stream_group_prefix(&out->prefix, group);
    out->found = stream_group(out->k.cell, group, &out->group);
    return true;
}

bool stream_at_read(struct call *c, struct bytes key, struct bytes group, struct stream_at *out)
{
    key_read(c, key, &out->k);
    return find(c, group, out);
}

bool stream_at_write(struct call *c, struct bytes key, struct bytes group, struct stream_at *out)
{
    key_write(c, key, &out->k);
    return find(c, group, out);
}

void stream_at_deinit(struct stream_at *at) { buf_deinit(&at->prefix); }

void stream_seen(struct call *c, struct stream_at *at, struct bytes consumer)
{
    struct stream_consumer was;
    struct bytes prefix = buf_bytes(&at->prefix);
    bool found = stream_consumer_find(at->k.cell, prefix, consumer, &was);
    if (found && was.seen_ms >= c->now.wall_ms)
        return;
    stream_put_consumer(c, &at->k, prefix, consumer, c->now.wall_ms);
    if (!found)
        key_event(c, EVENT_STREAM, "xgroup-createconsumer", at->k.name);
}
