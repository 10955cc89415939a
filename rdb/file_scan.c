/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/file.h"

#include "rdb/expiring.h"

/*
 * How long a value is, without decoding it and however its bytes arrive. Each code has a line of
 * steps; one that finds too few bytes is done again from its own beginning:
 *
 *   t text   l length   d 8 bytes   i 16 bytes (a stream's ID)   s a score's text
 *   ( n rounds of what follows, n a length   ) the round's end
 *
 * A value whose line begins with ( can come in parts: whole rounds of that first loop, and what
 * follows the loop with the last one (streams: on its own).
 */
static const char *steps_of(uint8_t code)
{
    switch (code) {
    case RDB_CODE_STRING:
    case RDB_CODE_HASH_ZIPMAP:
    case RDB_CODE_LIST_ZIPLIST:
    case RDB_CODE_SET_INTSET:
    case RDB_CODE_ZSET_ZIPLIST:
    case RDB_CODE_HASH_ZIPLIST:
    case RDB_CODE_HASH_LISTPACK:
    case RDB_CODE_ZSET_LISTPACK:
    case RDB_CODE_SET_LISTPACK:
        return "t";
    case RDB_CODE_LIST:
    case RDB_CODE_SET:
    case RDB_CODE_LIST_QUICKLIST:
        return "(t)";
    case RDB_CODE_LIST_QUICKLIST_2:
        return "(lt)";
    case RDB_CODE_ZSET:
        return "(ts)";
    case RDB_CODE_ZSET_2:
        return "(td)";
    case RDB_CODE_HASH:
        return "(tt)";
    case RDB_CODE_STREAM:
        return "(tt)lll(tll(idl)(td(i)))";
    case RDB_CODE_STREAM_2:
        return "(tt)llllllll(tlll(idl)(td(i)))";
    case RDB_CODE_STREAM_3:
        return "(tt)llllllll(tlll(idl)(tdd(i)))";
    case RDB_CODE_HASH_EXPIRING_VALKEY:
        return "(ttd)";
    case RDB_CODE_HASH_EXPIRING: /* the nearest expiry, then ttl, field, value */
        return "d(ltt)";
    case RDB_CODE_HASH_EXPIRING_LISTPACK:
        return "dt";
    default:
        return NULL;
    }
}

static bool is_stream(uint8_t code)
{
    return code == RDB_CODE_STREAM || code == RDB_CODE_STREAM_2 || code == RDB_CODE_STREAM_3;
}

bool rdb_scan_begin(struct rdb_file *f)
{
    /* The same number was another thing in Redis 7.4 before it was out. */
    bool other = f->code == RDB_CODE_HASH_EXPIRING_VALKEY && f->version < RDB_VALKEY_VERSION;
    f->step = other ? NULL : steps_of(f->code);
    f->scanned = f->value;
    f->depth = 0;
    f->parted = f->trailer = f->looped = false;
    f->live = 0;
    return f->step != NULL;
}

/* ------------------------------------------------------------ primitives */

static struct rdb_in rest(const struct rdb_file *f, size_t at)
{
    return rdb_in(bytes_of(f->in.p + f->in.head + at, buf_len(&f->in) - at));
}

/* The bytes of a text without making it: true with `in` behind it. */
static bool skip_text(struct rdb_file *f, struct rdb_in *in)
{
    const uint8_t *p = in->p;
    if (p < in->end && *p >= 0xc0) {
        if (*p <= 0xc2)
            return rdb_read_bytes(in, 1u + (1u << (*p & 3u))) != NULL;
        if (*p != 0xc3)
            return rdb_bad(in, RDB_BAD);
        in->p++;
        uint64_t packed = rdb_read_length(in), whole = rdb_read_length(in);
        if (packed > f->limits.value_max || whole > f->limits.value_max)
            return rdb_bad(in, RDB_UNKNOWN);
        return in->fault == RDB_OK && rdb_read_bytes(in, packed) != NULL;
    }
    uint64_t n = rdb_read_length(in);
    if (n > f->limits.value_max)
        return rdb_bad(in, RDB_UNKNOWN); /* said as: too long */
    return in->fault == RDB_OK && rdb_read_bytes(in, n) != NULL;
}

static void skip_score(struct rdb_in *in)
{
    const uint8_t *n = rdb_read_bytes(in, 1);
    if (n != NULL && *n < 253)
        rdb_read_bytes(in, *n);
}

static enum rdb_scan fault(struct rdb_file *f, const struct rdb_in *in, size_t at)
{
    if (in->fault == RDB_SHORT)
        return RDB_SCAN_MORE;
    if (in->fault == RDB_UNKNOWN)
        rdb_file_bad(f, at,
                     "a text there is longer than %llu MiB: raise the limit of values, or "
                     "shorten it at the source",
                     (unsigned long long)(f->limits.value_max >> 20));
    else
        rdb_file_bad(f, at,
                     "no length or text begins there: the file is damaged; copy it again, "
                     "or let the source write a new one");
    return RDB_SCAN_BAD;
}

enum rdb_scan rdb_scan_module(struct rdb_file *f, size_t *at)
{
    struct rdb_in in = rest(f, *at);
    const uint8_t *begin = in.p;
    while (in.fault == RDB_OK) {
        *at += (size_t)(in.p - begin);
        begin = in.p;
        uint64_t op = rdb_read_length(&in);
        if (in.fault != RDB_OK)
            break;
        if (op == 0) {
            *at += (size_t)(in.p - begin);
            return RDB_SCAN_LAST;
        }
        if (op == 1 || op == 2)
            rdb_read_length(&in);
        else if (op == 3 || op == 4)
            rdb_read_bytes(&in, op == 3 ? 4 : 8);
        else if (op == 5)
            skip_text(f, &in);
        else
            rdb_bad(&in, RDB_BAD);
    }
    return fault(f, &in, *at);
}

/* ------------------------------------------------------------ loops */

/* Behind the loop that begins at `step`. */
static const char *loop_end(const char *step)
{
    for (unsigned depth = 0;; step++) {
        if (*step == '(')
            depth++;
        else if (*step == ')' && --depth == 0)
            return step + 1;
    }
}

static void loop_begin(struct rdb_file *f, uint64_t n)
{
    if (n == 0) {
        f->step = loop_end(f->step);
        f->looped = true;
        return;
    }
    f->step++;
    f->loops[f->depth].step = f->step;
    f->loops[f->depth].left = f->loops[f->depth].n = n;
    if (f->depth++ == 0 && !f->looped)
        f->cut_left = n;
}

/* A round of the first loop is over and all before `scanned` makes a part. */
static bool part_is_full(const struct rdb_file *f)
{
    size_t most = is_stream(f->code) ? f->limits.stream_bytes : f->limits.part_bytes;
    return f->depth == 1 && !f->looped && f->loops[0].left > 0 && f->scanned - f->value >= most &&
           !rdb_code_is_expiring(f->code);
}

static enum rdb_scan loop_round(struct rdb_file *f)
{
    f->loops[f->depth - 1].left--;
    bool over = f->loops[f->depth - 1].left == 0;
    if (!over)
        f->step = f->loops[f->depth - 1].step;
    if (part_is_full(f))
        return RDB_SCAN_PART;
    if (!over)
        return RDB_SCAN_MORE;
    f->step++;
    f->depth--;
    if (f->depth > 0 || f->looped)
        return RDB_SCAN_MORE;
    f->looped = true;
    return f->parted && is_stream(f->code) ? RDB_SCAN_PART : RDB_SCAN_MORE;
}

/* One primitive; `in` stands before it. */
static void step_over(struct rdb_file *f, struct rdb_in *in)
{
    switch (*f->step) {
    case 't':
        skip_text(f, in);
        break;
    case 'l': {
        uint64_t n = rdb_read_length(in);
        if (f->looped && f->depth == 0 && f->live == 0)
            f->live = n; /* the first behind a stream's nodes */
        break;
    }
    case 'd':
        rdb_read_bytes(in, 8);
        break;
    case 'i':
        rdb_read_bytes(in, 16);
        break;
    default:
        skip_score(in);
        break;
    }
}

static enum rdb_scan too_large(struct rdb_file *f)
{
    rdb_file_bad(f, f->value, "a value there is larger than %llu MiB: raise the limit of values",
                 (unsigned long long)(f->limits.value_max >> 20));
    return RDB_SCAN_BAD;
}

enum rdb_scan rdb_scan_on(struct rdb_file *f)
{
    struct rdb_in in = rest(f, f->scanned);
    while (*f->step != 0) {
        if (*f->step == ')') {
            enum rdb_scan r = loop_round(f);
            if (r != RDB_SCAN_MORE)
                return r;
            continue;
        }
        const uint8_t *begin = in.p;
        bool loop = *f->step == '(';
        uint64_t n = loop ? rdb_read_length(&in) : 0;
        if (!loop)
            step_over(f, &in);
        if (in.fault != RDB_OK)
            return fault(f, &in, f->scanned);
        f->scanned += (size_t)(in.p - begin);
        if (f->scanned - f->value > f->limits.value_max + RDB_PART_BYTES)
            return too_large(f);
        if (loop)
            loop_begin(f, n);
        else
            f->step++;
    }
    return RDB_SCAN_LAST;
}
