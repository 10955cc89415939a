/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/file.h"

#include "rdb/crc64.h"

#include <stdarg.h>
#include <stdio.h>

#define MAGIC_BYTES 9u
#define CHECKED_FROM 5u /* the version that brought checksums */

enum opcode {
    OP_SLOT = 244,
    OP_FUNCTION_2 = 245,
    OP_FUNCTION = 246,
    OP_MODULE_AUX = 247,
    OP_IDLE = 248,
    OP_FREQ = 249,
    OP_AUX = 250,
    OP_SIZE = 251,
    OP_EXPIRE_MS = 252,
    OP_EXPIRE = 253,
    OP_DB = 254,
    OP_END = 255,
};

void rdb_file_init(struct rdb_file *f, const struct rdb_file_limits *limits)
{
    *f = (struct rdb_file){.deadline = -1, .idle = -1, .freq = -1};
    if (limits != NULL)
        f->limits = *limits;
    if (f->limits.part_bytes == 0)
        f->limits.part_bytes = RDB_PART_BYTES;
    if (f->limits.stream_bytes == 0)
        f->limits.stream_bytes = RDB_STREAM_BYTES;
    if (f->limits.value_max == 0)
        f->limits.value_max = RDB_VALUE_MAX;
}

static void texts_free(struct rdb_file *f)
{
    rdb_text_free(&f->text);
    rdb_text_free(&f->other);
}

void rdb_file_deinit(struct rdb_file *f)
{
    texts_free(f);
    buf_deinit(&f->in);
    buf_deinit(&f->key);
    buf_deinit(&f->head);
    buf_deinit(&f->joined);
}

/* What is done with goes into the checksum and out of the buffer. */
static void settle(struct rdb_file *f)
{
    f->crc = crc64(f->crc, bytes_of(f->in.p + f->in.head, f->used));
    f->at += f->used;
    buf_consume(&f->in, f->used);
    f->value -= f->reading ? f->used : f->value;
    f->scanned -= f->reading ? f->used : f->scanned;
    f->used = 0;
}

void rdb_file_push(struct rdb_file *f, struct bytes data)
{
    if (f->used > 0 && !f->ended)
        settle(f);
    buf_put_bytes(&f->in, data);
}

const char *rdb_file_why(const struct rdb_file *f) { return f->why; }

bool rdb_file_bad(struct rdb_file *f, size_t offset, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(f->why, sizeof f->why, "at byte %llu: ", (unsigned long long)(f->at + offset));
    va_start(ap, fmt);
    vsnprintf(f->why + n, sizeof f->why - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

const char *rdb_file_cut(struct rdb_file *f)
{
    rdb_file_bad(f, buf_len(&f->in),
                 "the file ends before its end mark: it was cut off; copy it again, or let the "
                 "source write a new one");
    return f->why;
}

struct bytes rdb_file_rest(const struct rdb_file *f)
{
    struct bytes all = buf_bytes(&f->in);
    return all.n == 0 ? all : bytes_of(all.p + f->used, all.n - f->used);
}

/* ------------------------------------------------------------ parts */

/* One record is read by these from f->used on; nothing is taken while bytes are missing. */
struct cursor {
    struct rdb_file *f;
    struct rdb_in in;
    const uint8_t *begin;
};

static size_t offset_of(const struct cursor *c)
{
    return c->f->used + (size_t)(c->in.p - c->begin);
}

static struct cursor cursor(struct rdb_file *f)
{
    struct bytes rest = rdb_file_rest(f);
    return (struct cursor){.f = f, .in = rdb_in(rest), .begin = rest.p};
}

static enum rdb_file_result faulty(struct rdb_file *f, const struct rdb_in *in)
{
    if (in->fault == RDB_SHORT)
        return RDB_FILE_MORE;
    rdb_file_bad(f, f->used,
                 "a record there is malformed: the file is damaged; copy it again, or "
                 "let the source write a new one");
    return RDB_FILE_BAD;
}

static void module_name(uint64_t id, char out[12])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned i = 0; i < 9; i++)
        out[i] = letters[id >> (10 + 6 * (8 - i)) & 63];
    out[9] = 0;
}

/* ------------------------------------------------------------ records that are no keys */

/* The next record may be a key, which begins with what stands before its code. */
static void key_begin(struct rdb_file *f)
{
    f->deadline = f->idle = f->freq = -1;
    f->key_at = f->at + f->used;
}

static enum rdb_file_result taken(struct cursor *c, struct rdb_record *out)
{
    if (c->in.fault != RDB_OK)
        return faulty(c->f, &c->in);
    out->at = c->f->at + c->f->used;
    c->f->used = offset_of(c);
    key_begin(c->f);
    return RDB_FILE_RECORD;
}

static enum rdb_file_result take_aux(struct cursor *c, struct rdb_record *out)
{
    struct rdb_file *f = c->f;
    out->kind = RDB_RECORD_AUX;
    if (rdb_read_text(&c->in, &f->text) && rdb_read_text(&c->in, &f->other)) {
        out->name = f->text.text;
        out->body = f->other.text;
    }
    return taken(c, out);
}

static enum rdb_file_result take_function(struct cursor *c, struct rdb_record *out)
{
    out->kind = RDB_RECORD_FUNCTION;
    if (rdb_read_text(&c->in, &c->f->text))
        out->body = c->f->text.text;
    return taken(c, out);
}

/* Before 7.0 was out: the name stood beside the code, not in its first line. */
static enum rdb_file_result take_old_function(struct cursor *c, struct rdb_record *out)
{
    struct rdb_file *f = c->f;
    struct rdb_text engine, code;
    out->kind = RDB_RECORD_FUNCTION;
    if (!rdb_read_text(&c->in, &f->text) || !rdb_read_text(&c->in, &engine))
        return taken(c, out);
    rdb_text_free(&engine);
    if (rdb_read_length(&c->in) != 0 && rdb_read_text(&c->in, &f->other))
        rdb_text_free(&f->other);
    if (rdb_read_text(&c->in, &code)) {
        buf_clear(&f->joined);
        buf_putf(&f->joined, "#!lua name=%.*s\n", (int)f->text.text.n,
                 (const char *)f->text.text.p);
        buf_put_bytes(&f->joined, code.text);
        rdb_text_free(&code);
        out->body = buf_bytes(&f->joined);
    }
    return taken(c, out);
}

static enum rdb_file_result take_module_aux(struct cursor *c, struct rdb_record *out)
{
    out->kind = RDB_RECORD_MODULE_AUX;
    module_name(rdb_read_length(&c->in), out->module);
    if (c->in.fault != RDB_OK)
        return faulty(c->f, &c->in);
    size_t at = offset_of(c);
    enum rdb_scan r = rdb_scan_module(c->f, &at);
    if (r != RDB_SCAN_LAST)
        return r == RDB_SCAN_MORE ? RDB_FILE_MORE : RDB_FILE_BAD;
    out->at = c->f->at + c->f->used;
    c->f->used = at;
    key_begin(c->f);
    return RDB_FILE_RECORD;
}

static enum rdb_file_result take_numbers(struct cursor *c, uint8_t op, struct rdb_record *out)
{
    out->kind = op == OP_DB ? RDB_RECORD_DB : RDB_RECORD_SIZE;
    if (op == OP_SLOT)
        rdb_read_length(&c->in);
    out->n = rdb_read_length(&c->in);
    out->more = op == OP_DB ? 0 : rdb_read_length(&c->in);
    enum rdb_file_result r = taken(c, out);
    if (r == RDB_FILE_RECORD && op == OP_DB)
        c->f->db = out->n;
    return r;
}

/* The checksum covers all up to the end mark itself. */
static enum rdb_file_result take_end(struct cursor *c)
{
    struct rdb_file *f = c->f;
    size_t mark = offset_of(c);
    bool checked = f->version >= CHECKED_FROM;
    uint64_t said = checked ? rdb_read_fixed(&c->in, 8) : 0;
    if (c->in.fault != RDB_OK)
        return faulty(f, &c->in);
    f->used = mark;
    settle(f);
    if (said != 0 && said != f->crc) {
        rdb_file_bad(f, 0,
                     "the checksum is %016llx, that of the bytes before it %016llx: the file is "
                     "damaged; copy it again, or let the source write a new one",
                     (unsigned long long)said, (unsigned long long)f->crc);
        return RDB_FILE_BAD;
    }
    f->used = checked ? 8 : 0;
    f->ended = true;
    return RDB_FILE_END;
}

/* ------------------------------------------------------------ keys */

/* What stands before a key's code. */
static void take_expiry(struct rdb_file *f, struct cursor *c, uint8_t op)
{
    struct rdb_in *in = &c->in;
    if (op == OP_EXPIRE)
        f->deadline = (int64_t)(int32_t)rdb_read_fixed(in, 4) * 1000;
    else if (op == OP_EXPIRE_MS)
        f->deadline = (int64_t)rdb_read_fixed(in, 8);
    else if (op == OP_IDLE)
        f->idle = (int64_t)(rdb_read_length(in) & INT64_MAX);
    else
        f->freq = (int)rdb_read_fixed(in, 1);
}

static void put_record(const struct rdb_file *f, struct rdb_record *out)
{
    out->kind = RDB_RECORD_KEY;
    out->at = f->key_at;
    out->name = buf_bytes(&f->key);
    out->code = f->code;
    out->deadline = f->deadline;
    out->idle = f->idle;
    out->freq = f->freq;
    out->db = f->db;
}

/* A stream's last part: no nodes, no entries that live, then what stood behind the real count. */
static void put_trailer(struct rdb_file *f, struct rdb_record *out)
{
    struct rdb_in in = rdb_in(out->body);
    rdb_read_length(&in);
    out->body = bytes_of(in.p, (size_t)(in.end - in.p));
    rdb_put_length(&f->head, 0);
    rdb_put_length(&f->head, 0);
    out->head = buf_bytes(&f->head);
    out->live = f->live;
}

/* The measured bytes, from f->value to f->scanned. */
static enum rdb_file_result give_value(struct rdb_file *f, struct rdb_record *out, bool last)
{
    put_record(f, out);
    out->first = !f->parted;
    out->last = last;
    out->body = bytes_of(f->in.p + f->in.head + f->value, f->scanned - f->value);
    buf_clear(&f->head);
    if (f->trailer) {
        put_trailer(f, out);
    } else if (f->parted || !last) {
        out->items = f->cut_left - (last ? 0 : f->loops[0].left);
        if (!f->parted) { /* the count of all stands before it */
            struct rdb_in in = rdb_in(out->body);
            rdb_read_length(&in);
            out->body = bytes_of(in.p, (size_t)(in.end - in.p));
        }
        rdb_put_length(&f->head, out->items);
        out->head = buf_bytes(&f->head);
    }
    f->trailer = f->looped;
    f->parted = true;
    f->cut_left = f->loops[0].left;
    f->used = f->value = f->scanned;
    f->reading = !last;
    if (last)
        key_begin(f);
    return RDB_FILE_RECORD;
}

static enum rdb_file_result give_module_key(struct rdb_file *f, struct rdb_record *out)
{
    size_t at = f->value;
    enum rdb_scan r = rdb_scan_module(f, &at);
    if (r != RDB_SCAN_LAST)
        return r == RDB_SCAN_MORE ? RDB_FILE_MORE : RDB_FILE_BAD;
    put_record(f, out);
    out->kind = RDB_RECORD_MODULE_KEY;
    memcpy(out->module, f->module, sizeof out->module);
    f->used = at;
    f->reading = false;
    key_begin(f);
    return RDB_FILE_RECORD;
}

static enum rdb_file_result read_on(struct rdb_file *f, struct rdb_record *out)
{
    if (f->code == RDB_CODE_MODULE_2)
        return give_module_key(f, out);
    switch (rdb_scan_on(f)) {
    case RDB_SCAN_MORE:
        return RDB_FILE_MORE;
    case RDB_SCAN_PART:
        return give_value(f, out, false);
    case RDB_SCAN_LAST:
        return give_value(f, out, true);
    case RDB_SCAN_BAD:
        break;
    }
    return RDB_FILE_BAD;
}

static enum rdb_file_result unknown_code(struct rdb_file *f, uint8_t code)
{
    if (code == RDB_CODE_MODULE)
        rdb_file_bad(f, f->used,
                     "key '%.*s' is of module %s, whose length cannot be told: remove such keys at "
                     "the source",
                     (int)(buf_len(&f->key) < 60 ? buf_len(&f->key) : 60), (char *)f->key.p,
                     f->module);
    else
        rdb_file_bad(f, f->used,
                     "type %u is not known: the file is damaged, or of a newer server than can be "
                     "read (Redis 8, Valkey 9); write it with an older one",
                     code);
    return RDB_FILE_BAD;
}

static enum rdb_file_result take_key(struct cursor *c, uint8_t code, struct rdb_record *out)
{
    struct rdb_file *f = c->f;
    if (!rdb_read_text(&c->in, &f->text))
        return faulty(f, &c->in);
    uint64_t id =
        code == RDB_CODE_MODULE || code == RDB_CODE_MODULE_2 ? rdb_read_length(&c->in) : 0;
    if (c->in.fault != RDB_OK)
        return faulty(f, &c->in);
    buf_clear(&f->key);
    buf_put_bytes(&f->key, f->text.text);
    module_name(id, f->module);
    f->code = code;
    f->value = offset_of(c);
    if (!rdb_scan_begin(f) && code != RDB_CODE_MODULE_2)
        return unknown_code(f, code);
    f->used = f->value;
    f->reading = true;
    return read_on(f, out);
}

/* ------------------------------------------------------------ all */

static enum rdb_file_result take_magic(struct rdb_file *f)
{
    struct bytes in = rdb_file_rest(f);
    unsigned at = 0, n = 0;
    if (in.n >= 5 && memcmp(in.p, "REDIS", 5) == 0)
        at = 5;
    else if (in.n >= 6 && memcmp(in.p, "VALKEY", 6) == 0)
        at = 6;
    if (in.n < MAGIC_BYTES)
        return RDB_FILE_MORE;
    for (unsigned i = at; at > 0 && i < MAGIC_BYTES; i++) {
        if (in.p[i] < '0' || in.p[i] > '9')
            at = 0;
        n = n * 10 + in.p[i] - '0';
    }
    if (at == 0)
        rdb_file_bad(f, 0, "this is no RDB file: it does not begin with REDIS and a version");
    else if (at == 6 ? n != RDB_VALKEY_VERSION : n < 1 || n > RDB_FILE_VERSION_MAX)
        rdb_file_bad(f, 0,
                     "the file's version is %u, the newest known is %u: let an older server write "
                     "it, or import from the live server",
                     n, RDB_FILE_VERSION_MAX);
    else
        f->begun = true;
    f->version = n;
    f->used = MAGIC_BYTES;
    key_begin(f);
    return f->begun ? RDB_FILE_RECORD : RDB_FILE_BAD;
}

static enum rdb_file_result take_record(struct rdb_file *f, struct rdb_record *out)
{
    struct cursor c = cursor(f);
    uint8_t op = (uint8_t)rdb_read_fixed(&c.in, 1);
    if (c.in.fault != RDB_OK)
        return RDB_FILE_MORE;
    switch (op) {
    case OP_AUX:
        return take_aux(&c, out);
    case OP_FUNCTION_2:
        return take_function(&c, out);
    case OP_FUNCTION:
        return take_old_function(&c, out);
    case OP_MODULE_AUX:
        return take_module_aux(&c, out);
    case OP_SLOT:
    case OP_SIZE:
    case OP_DB:
        return take_numbers(&c, op, out);
    case OP_END:
        return take_end(&c);
    default:
        return take_key(&c, op, out);
    }
}

/* What stands before a key is taken piece by piece: RDB_FILE_RECORD when the record itself comes.
 */
static enum rdb_file_result take_prefixes(struct rdb_file *f)
{
    for (;;) {
        struct cursor c = cursor(f);
        uint8_t op = (uint8_t)rdb_read_fixed(&c.in, 1);
        if (op != OP_EXPIRE && op != OP_EXPIRE_MS && op != OP_IDLE && op != OP_FREQ)
            return c.in.fault == RDB_OK ? RDB_FILE_RECORD : RDB_FILE_MORE;
        take_expiry(f, &c, op);
        if (c.in.fault != RDB_OK)
            return faulty(f, &c.in);
        f->used = offset_of(&c);
    }
}

enum rdb_file_result rdb_file_next(struct rdb_file *f, struct rdb_record *out)
{
    *out = (struct rdb_record){.deadline = -1, .idle = -1, .freq = -1};
    texts_free(f);
    if (f->why[0] != 0)
        return RDB_FILE_BAD;
    if (f->ended)
        return RDB_FILE_END;
    enum rdb_file_result r = f->begun ? RDB_FILE_RECORD : take_magic(f);
    if (r != RDB_FILE_RECORD)
        return r;
    if (f->reading)
        return read_on(f, out);
    r = take_prefixes(f);
    return r == RDB_FILE_RECORD ? take_record(f, out) : r;
}

/* ------------------------------------------------------------ payloads */

void rdb_record_payload(const struct rdb_record *r, struct buf *out)
{
    size_t from = out->tail;
    unsigned version = r->code >= RDB_CODE_SET_LISTPACK    ? 11
                       : r->code >= RDB_CODE_HASH_LISTPACK ? 10
                       : r->code >= RDB_CODE_STREAM        ? 9
                                                           : 6;
    buf_put_u8(out, r->code);
    buf_put_bytes(out, r->head);
    buf_put_bytes(out, r->body);
    rdb_put_fixed(out, version, 2);
    rdb_put_fixed(out, crc64(0, bytes_of(out->p + from, out->tail - from)), 8);
}
