/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/export.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/resp_reply.h"
#include "migrate/seen.h"
#include "rdb/file_write.h"

#include <stdarg.h>
#include <stdio.h>

#define EVERY_US UINT64_C(1000000)
#define CHUNK_BYTES (1u << 20)   /* written at once, at least */
#define BEHIND_BYTES (16u << 20) /* of the file not yet written: nothing more is asked for */
#define SLOTS 4096u              /* keys that are being read */
#define SLOTS_FIRST 16u
#define REPLIES_BYTES (16u << 20) /* about as much is under way, going by the average value */
#define SCAN_COUNT "1000"
#define REPLY_MAX (1u << 30)
#define TRIES_MAX 100u /* of a key that changes its expiry all the time */

/* A key under way: PEXPIRETIME, DUMP, PEXPIRETIME. If both agree, the expiry is the value's. */
struct slot {
    struct buf name, value;
    int64_t deadline;
    unsigned step, tries;
    bool lost; /* gone, or refused: what is still to come does not count */
    uint32_t next_free;
};

enum { TAG_SIZE = SLOTS * 4, TAG_INFO, TAG_FUNCTIONS, TAG_SCAN };

struct migrate_export {
    struct migrate_export_opts opts;
    struct migrate_export_stats stats;
    enum export_phase phase;
    struct migrate_sink *source;
    struct port *port; /* of the step under way */
    struct rdb_file_writer writer;
    struct seen seen;
    struct slot *slots; /* owned; SLOTS */
    uint32_t free, busy;
    unsigned asked;   /* answers that ASKING still waits for */
    struct buf names; /* found, not yet asked for: uint32_t length, bytes */
    char cursor[24];
    bool scanning, scanned;
    uint64_t value_bytes, values; /* for the average */
    char *partial;                /* owned */
    bool writing, written, made;  /* the file: a request is under way; all is in it; exists */
    uint64_t tell_us;
    char why[700];
};

static void answered(void *arg, uint64_t tag, const char *error, struct bytes reply);

struct migrate_export *migrate_export_new(const struct migrate_export_opts *o)
{
    struct migrate_export *e = mem_zalloc(sizeof *e);
    size_t n = strlen(o->path);
    e->opts = *o;
    if (e->opts.every_us == 0)
        e->opts.every_us = EVERY_US;
    e->opts.source.answered = answered;
    e->opts.source.arg = e;
    e->opts.source.reply_max = REPLY_MAX;
    e->source = migrate_sink_new(&e->opts.source);
    e->slots = mem_zalloc(SLOTS * sizeof *e->slots);
    for (uint32_t i = 0; i < SLOTS; i++)
        e->slots[i].next_free = i + 1;
    e->seen.seed = o->seed;
    e->partial = mem_alloc(n + 9);
    memcpy(e->partial, o->path, n);
    memcpy(e->partial + n, ".partial", 9);
    snprintf(e->cursor, sizeof e->cursor, "0");
    return e;
}

void migrate_export_free(struct migrate_export *e, struct port *port)
{
    if (e == NULL)
        return;
    migrate_sink_free(e->source, port);
    rdb_file_writer_deinit(&e->writer);
    seen_deinit(&e->seen);
    for (uint32_t i = 0; i < SLOTS; i++) {
        buf_deinit(&e->slots[i].name);
        buf_deinit(&e->slots[i].value);
    }
    mem_free(e->slots);
    buf_deinit(&e->names);
    mem_free(e->partial);
    mem_free(e);
}

enum export_phase migrate_export_phase(const struct migrate_export *e) { return e->phase; }
const char *migrate_export_why(const struct migrate_export *e) { return e->why; }
const struct migrate_sink *migrate_export_source(const struct migrate_export *e)
{
    return e->source;
}
const struct migrate_export_stats *migrate_export_stats(const struct migrate_export *e)
{
    return &e->stats;
}

/* ------------------------------------------------------------ ends */

static void stop(struct migrate_export *e, struct moment now)
{
    if (e->opts.progress != NULL)
        e->opts.progress(e->opts.arg, e, now);
    e->port->ops->stop(e->port);
}

static void fail(struct migrate_export *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The partial file goes first; then the machine stops (turn). */
static void fail(struct migrate_export *e, const char *fmt, ...)
{
    va_list ap;
    if (e->phase >= EXPORT_DONE)
        return;
    va_start(ap, fmt);
    vsnprintf(e->why, sizeof e->why, fmt, ap);
    va_end(ap);
    e->phase = EXPORT_FAILED;
}

/* ------------------------------------------------------------ the file */

static void put_file(struct migrate_export *e, struct file_req *r)
{
    r->owner = e;
    e->writing = true;
    e->port->ops->file(e->port, r);
}

static void write_chunk(struct migrate_export *e)
{
    size_t n = buf_len(&e->writer.out);
    bool last = e->phase == EXPORT_CLOSING;
    if (e->writing || e->written || n == 0 || (n < CHUNK_BYTES && !last))
        return;
    struct file_req *r = file_req_new(FILE_APPEND, e->partial);
    rdb_file_move(&e->writer, &r->data);
    r->offset = e->stats.bytes;
    r->sync = last;
    r->mode = 0600;
    e->stats.bytes += n;
    e->written = last;
    e->made = true;
    put_file(e, r);
}

static void rename_file(struct migrate_export *e)
{
    struct file_req *r = file_req_new(FILE_RENAME, e->partial);
    r->to = mem_strdup(e->opts.path);
    put_file(e, r);
}

static void file_done(struct migrate_export *e, const struct event *ev)
{
    struct file_req *r = ev->file;
    e->writing = false;
    if (r->op == FILE_REMOVE)
        e->made = false;
    else if (r->err != ERR_OK)
        fail(e, "%s: %s", r->path,
             r->err == ERR_NO_SPACE ? "no space left there: free some, or export to another place"
                                    : err_text(r->err));
    else if (r->op == FILE_RENAME)
        e->phase = EXPORT_DONE;
    else if (e->written && e->phase == EXPORT_CLOSING)
        rename_file(e);
    file_req_free(r);
}

/* ------------------------------------------------------------ what is asked first */

static void ask(struct migrate_export *e, uint64_t tag, size_t argc, const struct bytes *argv,
                struct bytes key)
{
    migrate_sink_put(e->source, e->port,
                     &(struct migrate_command){.argc = argc, .argv = argv, .key = key, .tag = tag});
}

static void ask_words(struct migrate_export *e, uint64_t tag, const char *one, const char *two)
{
    struct bytes argv[] = {bytes_str(one), bytes_str(two)};
    ask(e, tag, two[0] != 0 ? 2 : 1, argv, bytes_of(NULL, 0));
}

static void start(struct migrate_export *e, struct moment now)
{
    migrate_sink_start(e->source, e->port, now);
    rdb_file_begin(&e->writer);
    ask_words(e, TAG_INFO, "INFO", "server");
    ask_words(e, TAG_FUNCTIONS, "FUNCTION", "DUMP");
    ask_words(e, TAG_SIZE, "DBSIZE", "");
    e->asked = 3;
    e->tell_us = now.mono_us + e->opts.every_us;
}

/* A bulk string's bytes; p NULL for nil and anything else. */
static struct bytes bulk(struct bytes reply)
{
    const uint8_t *end = reply.n > 0 && reply.p[0] == '$' ? memchr(reply.p, '\n', reply.n) : NULL;
    if (end == NULL || reply.p[1] == '-')
        return bytes_of(NULL, 0);
    size_t head = (size_t)(end + 1 - reply.p);
    return bytes_of(end + 1, reply.n - head - 2);
}

static bool integer(struct bytes reply, int64_t *out)
{
    return reply.n > 3 && reply.p[0] == ':' &&
           num_parse_i64(bytes_of(reply.p + 1, reply.n - 3), out);
}

/* The version that the database says it is compatible with. */
static void got_info(struct migrate_export *e, struct bytes text)
{
    static const char name[] = "redis_version:";
    const uint8_t *at = text.n == 0 ? NULL : memmem(text.p, text.n, name, sizeof name - 1);
    if (at == NULL)
        return;
    at += sizeof name - 1;
    size_t n = 0, left = (size_t)(text.p + text.n - at);
    while (n < left && n < 30 && at[n] > ' ')
        n++;
    rdb_file_aux(&e->writer, "redis-ver", bytes_of(at, n));
    rdb_file_aux(&e->writer, "redis-bits", bytes_str("64"));
}

static void got_functions(struct migrate_export *e, struct bytes payload)
{
    struct bytes body;
    if (payload.n <= 10) /* an empty payload is its end only */
        return;
    if (!rdb_payload_open(payload, &body)) {
        fail(e, "FUNCTION DUMP's answer is damaged, or of a newer version");
        return;
    }
    struct rdb_in in = rdb_in(body);
    struct rdb_text code;
    while (in.p < in.end && *in.p == 245) {
        in.p++;
        if (!rdb_read_text(&in, &code))
            break;
        rdb_file_function(&e->writer, code.text);
        rdb_text_free(&code);
        e->stats.functions++;
    }
}

static void got_first(struct migrate_export *e, uint64_t tag, struct bytes reply)
{
    int64_t n;
    if (tag == TAG_INFO) {
        got_info(e, bulk(reply));
    } else if (tag == TAG_FUNCTIONS) {
        got_functions(e, bulk(reply));
    } else if (integer(reply, &n) && n >= 0) {
        e->stats.expected = (uint64_t)n;
    }
    if (--e->asked > 0 || e->phase != EXPORT_ASKING)
        return;
    rdb_file_db(&e->writer, 0, e->stats.expected, 0);
    e->phase = EXPORT_READING;
}

/* ------------------------------------------------------------ keys */

static void ask_key(struct migrate_export *e, uint32_t i)
{
    struct slot *s = &e->slots[i];
    struct bytes name = buf_bytes(&s->name);
    struct bytes expire[] = {bytes_str("PEXPIRETIME"), name}, dump[] = {bytes_str("DUMP"), name};
    s->step = 0;
    s->lost = false;
    for (uint64_t step = 0; step < 3; step++)
        ask(e, i * UINT64_C(4) + step, 2, step == 1 ? dump : expire, name);
}

static void take_slot(struct migrate_export *e, struct bytes name)
{
    uint32_t i = e->free;
    struct slot *s = &e->slots[i];
    e->free = s->next_free;
    e->busy++;
    s->tries = 0;
    buf_clear(&s->name);
    buf_put_bytes(&s->name, name);
    ask_key(e, i);
}

static void release(struct migrate_export *e, struct slot *s)
{
    s->next_free = e->free;
    e->free = (uint32_t)(s - e->slots);
    e->busy--;
    buf_reuse(&s->value, 4096);
    buf_reuse(&s->name, 4096);
}

static void write_key(struct migrate_export *e, struct slot *s)
{
    struct bytes name = buf_bytes(&s->name), value;
    bool ok = rdb_payload_open(buf_bytes(&s->value), &value);
    if (ok && rdb_file_key(&e->writer, name, value, s->deadline)) {
        e->stats.keys++;
        return;
    }
    e->stats.refused++;
    migrate_sink_note(e->source, 0, name,
                      ok ? "its encoding is newer than Redis 7.0 can load"
                         : "DUMP's answer is damaged, or of a newer version");
}

/* The last of a key's three answers. */
static void key_done(struct migrate_export *e, struct slot *s, int64_t deadline)
{
    bool same = deadline == s->deadline;
    if (!s->lost && !same && deadline != -2 && ++s->tries < TRIES_MAX) {
        ask_key(e, (uint32_t)(s - e->slots));
        return;
    }
    if (!s->lost && deadline != -2)
        write_key(e, s);
    else if (!s->lost)
        e->stats.vanished++;
    release(e, s);
}

static void got_key(struct migrate_export *e, uint64_t tag, struct bytes reply, bool refused)
{
    struct slot *s = &e->slots[tag / 4];
    int64_t deadline = -2;
    struct bytes value = bulk(reply);
    if (refused && !s->lost) {
        s->lost = true;
        e->stats.refused++;
    }
    s->step++;
    if (s->step == 2) {
        buf_clear(&s->value);
        buf_put_bytes(&s->value, value);
        e->value_bytes += value.n;
        e->values++;
        if (value.p == NULL && !s->lost) {
            s->lost = true;
            e->stats.vanished++;
        }
        return;
    }
    integer(reply, &deadline);
    if (s->step == 1)
        s->deadline = deadline;
    else
        key_done(e, s, deadline);
}

/* ------------------------------------------------------------ finding keys */

static void ask_scan(struct migrate_export *e)
{
    struct bytes argv[] = {bytes_str("SCAN"), bytes_str(e->cursor), bytes_str("COUNT"),
                           bytes_str(SCAN_COUNT)};
    e->scanning = true;
    ask(e, TAG_SCAN, 4, argv, bytes_of(NULL, 0));
}

static void got_scan(struct migrate_export *e, struct bytes reply)
{
    struct resp_reply r;
    size_t used;
    e->scanning = false;
    if (resp_reply_read(reply, &r, &used) != RESP_REPLY_OK)
        return;
    if (r.type == '*' && r.n == 2 && r.items[0].text.n < sizeof e->cursor) {
        snprintf(e->cursor, sizeof e->cursor, "%.*s", (int)r.items[0].text.n,
                 (const char *)r.items[0].text.p);
        e->scanned = strcmp(e->cursor, "0") == 0;
        for (size_t i = 0; i < r.items[1].n; i++) {
            struct bytes name = r.items[1].items[i].text;
            uint32_t n = (uint32_t)name.n;
            if (!seen_add(&e->seen, name))
                continue;
            buf_put(&e->names, &n, sizeof n);
            buf_put_bytes(&e->names, name);
        }
    } else {
        fail(e, "SCAN's answer is not understood");
    }
    resp_reply_deinit(&r);
}

/* ------------------------------------------------------------ going on */

static void answered(void *arg, uint64_t tag, const char *error, struct bytes reply)
{
    struct migrate_export *e = arg;
    if (e->phase >= EXPORT_DONE)
        return;
    if (tag < TAG_SIZE)
        got_key(e, tag, reply, error != NULL);
    else if (error != NULL)
        fail(e, "the source says '%s': is it Redis 7.0 or newer, and may the user do that?", error);
    else if (tag == TAG_SCAN)
        got_scan(e, reply);
    else
        got_first(e, tag, reply);
}

static uint32_t slots_wanted(const struct migrate_export *e)
{
    uint64_t average =
        e->values == 0 ? REPLIES_BYTES / SLOTS_FIRST : e->value_bytes / e->values + 1;
    uint64_t n = REPLIES_BYTES / average;
    return n < SLOTS_FIRST ? SLOTS_FIRST : n > SLOTS ? SLOTS : (uint32_t)n;
}

static void read_on(struct migrate_export *e)
{
    uint32_t wanted = slots_wanted(e), n;
    while (buf_len(&e->names) > 0 && e->busy < wanted && migrate_sink_has_room(e->source) &&
           buf_len(&e->writer.out) < BEHIND_BYTES) {
        struct bytes all = buf_bytes(&e->names);
        memcpy(&n, all.p, sizeof n);
        take_slot(e, bytes_of(all.p + sizeof n, n));
        buf_consume(&e->names, sizeof n + n);
    }
    if (!e->scanning && !e->scanned && buf_len(&e->names) < CHUNK_BYTES / 16)
        ask_scan(e);
    if (e->scanned && !e->scanning && buf_len(&e->names) == 0 && e->busy == 0) {
        rdb_file_end(&e->writer);
        e->phase = EXPORT_CLOSING;
    }
}

static void clean_up(struct migrate_export *e)
{
    struct file_req *r = file_req_new(FILE_REMOVE, e->partial);
    put_file(e, r);
}

static void turn(struct migrate_export *e, struct moment now)
{
    migrate_sink_tick(e->source, e->port, now);
    const char *fatal = migrate_sink_fatal(e->source);
    if (fatal != NULL && e->phase < EXPORT_CLOSING)
        fail(e, "%s", fatal);
    if (e->phase == EXPORT_READING)
        read_on(e);
    if (e->phase < EXPORT_DONE)
        write_chunk(e);
    if (e->phase == EXPORT_FAILED && e->made && !e->writing)
        clean_up(e);
    if (e->phase == EXPORT_DONE || (e->phase == EXPORT_FAILED && !e->made && !e->writing)) {
        stop(e, now);
    } else if (now.mono_us >= e->tell_us) {
        e->tell_us = now.mono_us + e->opts.every_us;
        if (e->opts.progress != NULL && e->phase < EXPORT_DONE)
            e->opts.progress(e->opts.arg, e, now);
    }
}

/* ------------------------------------------------------------ the machine */

static void step(void *self, struct port *port, const struct event *ev)
{
    struct migrate_export *e = self;
    e->port = port;
    if (ev->owner != NULL)
        ev->owner->step(ev->owner, port, ev);
    else if (ev->kind == EV_START)
        start(e, ev->now);
    else if (ev->kind == EV_FILE)
        file_done(e, ev);
    else if (ev->kind == EV_SIGNAL)
        fail(e, "stopped by a signal");
    else if (ev->kind == EV_TURN || ev->kind == EV_TIMER)
        turn(e, ev->now);
}

static uint64_t deadline(void *self)
{
    const struct migrate_export *e = self;
    uint64_t at = migrate_sink_deadline(e->source);
    return at < e->tell_us ? at : e->tell_us;
}

struct machine migrate_export_machine(struct migrate_export *e)
{
    return (struct machine){.self = e, .step = step, .deadline = deadline};
}
