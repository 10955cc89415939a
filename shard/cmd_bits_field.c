/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "shard/bitmap.h"
#include "shard/cmd_bits.h"
#include "shard/events.h"

/* BITFIELD and BITFIELD_RO: https://redis.io/docs/latest/commands/bitfield/ */

enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCR };

struct field {
    uint8_t verb, overflow, width;
    bool is_signed;
    uint64_t at; /* first bit */
    int64_t arg; /* value or increment */
};

/* ------------------------------------------------------------ arguments */

static bool parse_encoding(struct call *c, struct bytes arg, struct field *f)
{
    int64_t width;
    f->is_signed = arg.n > 0 && arg.p[0] == 'i';
    bool ok = arg.n > 0 && (f->is_signed || arg.p[0] == 'u') &&
              num_parse_i64(bytes_of(arg.p + 1, arg.n - 1), &width) && width >= 1 &&
              width <= (f->is_signed ? 64 : 63);
    if (ok)
        f->width = (uint8_t)width;
    else
        reply_error(c->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 "
                              "is not supported but i64 is.");
    return ok;
}

static bool parse_overflow(struct call *c, struct bytes arg, uint8_t *out)
{
    static const char *const words[] = {
        [OVERFLOW_WRAP] = "wrap", [OVERFLOW_SAT] = "sat", [OVERFLOW_FAIL] = "fail"};
    for (uint8_t o = OVERFLOW_WRAP; o <= OVERFLOW_FAIL; o++) {
        if (bytes_is_nocase(arg, words[o])) {
            *out = o;
            return true;
        }
    }
    reply_error(c->reply, "ERR Invalid OVERFLOW type specified");
    return false;
}

/* One of GET, SET and INCRBY at argument *i, which moves behind it. */
static bool parse_field(struct call *c, uint32_t *i, struct field *f)
{
    struct bytes word = c->argv[*i];
    uint32_t rest = c->argc - *i - 1;
    if (bytes_is_nocase(word, "get") && rest >= 2) {
        f->verb = FIELD_GET;
    } else if (bytes_is_nocase(word, "set") && rest >= 3) {
        f->verb = FIELD_SET;
    } else if (bytes_is_nocase(word, "incrby") && rest >= 3) {
        f->verb = FIELD_INCR;
    } else {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    if (!parse_encoding(c, c->argv[*i + 1], f) ||
        !arg_bit_offset(c, c->argv[*i + 2], f->width, &f->at))
        return false;
    if (f->verb != FIELD_GET && !arg_i64(c, c->argv[*i + 3], &f->arg))
        return false;
    *i += f->verb == FIELD_GET ? 3 : 4;
    return true;
}

/* *need gets how many bytes the string must have for the writes: 0 without any. */
static bool parse(struct call *c, struct field *fields, size_t *n, size_t *need)
{
    uint8_t overflow = OVERFLOW_WRAP;
    *n = *need = 0;
    for (uint32_t i = 2; i < c->argc;) {
        if (bytes_is_nocase(c->argv[i], "overflow") && i + 1 < c->argc) {
            if (!parse_overflow(c, c->argv[i + 1], &overflow))
                return false;
            i += 2;
            continue;
        }
        struct field *f = &fields[*n];
        *f = (struct field){.overflow = overflow};
        if (!parse_field(c, &i, f))
            return false;
        size_t end = (size_t)((f->at + f->width - 1) / 8) + 1;
        if (f->verb != FIELD_GET && end > *need)
            *need = end;
        ++*n;
    }
    return true;
}

/* ------------------------------------------------------------ numbers */

static __int128 as_number(const struct field *f, uint64_t bits)
{
    if (!f->is_signed)
        return (__int128)bits;
    unsigned shift = 64u - f->width;
    return (__int128)((int64_t)(bits << shift) >> shift);
}

/* What the field holds then; false: it does not fit, and is left alone. */
static bool compute(const struct field *f, uint64_t old, uint64_t *out)
{
    __int128 one = 1, min = f->is_signed ? -(one << (f->width - 1)) : 0;
    __int128 max = (one << (f->is_signed ? f->width - 1 : f->width)) - 1, v;
    if (f->verb == FIELD_SET)
        v = f->is_signed ? (__int128)f->arg : (__int128)(uint64_t)f->arg;
    else
        v = as_number(f, old) + f->arg;
    if (v < min || v > max) {
        if (f->overflow == OVERFLOW_FAIL)
            return false;
        if (f->overflow == OVERFLOW_SAT)
            v = v < min ? min : max;
    }
    *out = (uint64_t)v & (UINT64_MAX >> (64u - f->width));
    return true;
}

static void reply_number(struct call *c, const struct field *f, uint64_t bits)
{
    reply_int(c->reply, (int64_t)as_number(f, bits));
}

/* ------------------------------------------------------------ executing */

/* The string being changed: short ones as a copy that is written back once, long ones in place,
 * patch by patch. */
#define SHORT_MAX 512u
struct target {
    struct call *c;
    struct key *k;
    bool is_short, grown, changed, touched;
    size_t n;
    uint8_t copy[SHORT_MAX];
};

static void target_open(struct target *t, struct call *c, struct key *k, size_t need)
{
    struct shown s;
    text_show(c, k, &s);
    t->c = c;
    t->k = k;
    t->grown = need > s.text.n;
    t->changed = t->touched = false;
    t->n = t->grown ? need : s.text.n;
    t->is_short = t->n <= SHORT_MAX;
    if (t->is_short) {
        memset(t->copy, 0, t->n);
        if (s.text.n > 0)
            memcpy(t->copy, s.text.p, s.text.n);
    } else if (t->grown) {
        text_patch(c, k, need - 1, bytes_of((const uint8_t[1]){0}, 1));
    }
}

static struct bytes target_text(const struct target *t)
{
    struct shown s;
    if (t->is_short)
        return bytes_of(t->copy, t->n);
    text_show(t->c, t->k, &s); /* long: never in s.room */
    return s.text;
}

static void target_store(struct target *t, const struct field *f, uint64_t v)
{
    if (t->is_short) {
        bitmap_store(t->copy, f->at, f->width, v);
        return;
    }
    uint8_t piece[9];
    size_t first = (size_t)(f->at / 8), n = (size_t)((f->at + f->width - 1) / 8) + 1 - first;
    memcpy(piece, target_text(t).p + first, n);
    bitmap_store(piece, f->at % 8, f->width, v);
    text_patch(t->c, t->k, first, bytes_of(piece, n));
}

/* Sent also when it changes nothing, where there are other regions: see setbit. */
static void target_close(struct target *t)
{
    struct call *c = t->c;
    if (t->is_short && (t->grown || t->changed || (t->touched && call_is_shared(c))))
        key_set(c, t->k, bytes_of(t->copy, t->n), true);
    if (t->changed)
        key_event(c, EVENT_STRING, "setbit", t->k->name);
}

static void write_field(struct target *t, const struct field *f)
{
    uint64_t old = bitmap_load(target_text(t), f->at, f->width), now;
    if (f->verb == FIELD_GET) {
        reply_number(t->c, f, old);
        return;
    }
    if (!compute(f, old, &now)) {
        reply_nil(t->c->reply);
        return;
    }
    if (now != old || call_is_shared(t->c))
        target_store(t, f, now);
    t->changed |= t->grown || now != old;
    t->touched = true;
    reply_number(t->c, f, f->verb == FIELD_SET ? old : now);
}

static void read_fields(struct call *c, const struct field *fields, size_t n)
{
    struct key k;
    struct shown s;
    if (!text_read(c, c->argv[1], &k))
        return;
    text_show(c, &k, &s);
    reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++)
        reply_number(c, &fields[i], bitmap_load(s.text, fields[i].at, fields[i].width));
}

static void write_fields(struct call *c, const struct field *fields, size_t n, size_t need)
{
    struct key k;
    struct target t;
    if (!text_write(c, c->argv[1], &k))
        return;
    target_open(&t, c, &k, need);
    reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++)
        write_field(&t, &fields[i]);
    target_close(&t);
}

static void run(struct call *c, bool read_only)
{
    struct field *fields = mem_alloc(c->argc * sizeof *fields);
    size_t n, need;
    bool ok = parse(c, fields, &n, &need);
    if (ok && need > 0 && read_only)
        reply_error(c->reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else if (ok && need == 0)
        read_fields(c, fields, n);
    else if (ok)
        write_fields(c, fields, n, need);
    mem_free(fields);
}

void bitfield(struct call *c) { run(c, false); }

void bitfield_ro(struct call *c) { run(c, true); }
