/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/source.h"

#include "base/num.h"
#include "rdb/file_write.h"

#include <stdio.h>
#include <stdlib.h>

#define EOF_MARK "0123456789012345678901234567890123456789"
#define NAME_MAX_BYTES 32u

static enum source_kind kind_of(unsigned i) { return (enum source_kind)(i % SOURCE_KINDS); }

static void put_name(const struct source *s, unsigned i, char out[NAME_MAX_BYTES])
{
    static const char letters[] = "ctlsh";
    snprintf(out, NAME_MAX_BYTES, "s%u:%c%u", s->number, letters[kind_of(i)], i);
}

static void new_id(struct source *s)
{
    snprintf(s->now.id, sizeof s->now.id, "%08x%08x%016llx00000000", s->number, ++s->ids,
             (unsigned long long)rng_next(&s->rng));
}

static void answer(void *arg, struct respond_conn *link, uint32_t argc, const struct bytes *argv);

static void drop(struct respond_conn *c) { buf_deinit(&((struct source_conn *)c)->held); }

void source_init(struct source *s, struct world *w, unsigned number, uint64_t seed)
{
    char name[16];
    *s = (struct source){.world = w, .number = number, .selected = -1};
    s->respond = (struct respond){.conns = s->conns,
                                  .count = SOURCE_CONNS,
                                  .size = sizeof s->conns[0],
                                  .arg = s,
                                  .answer = answer,
                                  .drop = drop};
    rng_init(&s->rng, seed);
    snprintf(name, sizeof name, "s%u", number);
    s->host = world_host(w, name);
    s->backlog_bytes = (size_t)200 << rng_below(&s->rng, 10);
    s->marked = rng_below(&s->rng, 2);
    s->snapshot_us = 1000u << rng_below(&s->rng, 10);
    s->now.offset = rng_below(&s->rng, 1000);
    new_id(s);
    source_save(s);
}

void source_deinit(struct source *s)
{
    respond_forget(&s->respond);
    buf_deinit(&s->log);
}

/* ------------------------------------------------------------ what it has */

static bool is_there(const struct source_key *k, unsigned i)
{
    return kind_of(i) <= SOURCE_STRING ? k->there : k->n > 0;
}

unsigned source_keys_now(const struct source *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SOURCE_KEYS; i++)
        n += is_there(&s->now.keys[i], i);
    return n;
}

static void put_number(struct buf *out, int64_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)n);
    rdb_put_text(out, bytes_str(text));
}

static void put_value(const struct source_key *k, unsigned i, struct buf *out)
{
    static const uint8_t codes[] = {RDB_CODE_STRING, RDB_CODE_STRING, RDB_CODE_LIST, RDB_CODE_SET,
                                    RDB_CODE_HASH};
    enum source_kind kind = kind_of(i);
    buf_put_u8(out, codes[kind]);
    if (kind == SOURCE_COUNTER) {
        put_number(out, k->number);
        return;
    }
    if (kind == SOURCE_STRING) {
        rdb_put_text(out, bytes_str(k->text));
        return;
    }
    rdb_put_length(out, k->n);
    for (unsigned n = 0; n < k->n; n++) {
        put_number(out, k->items[n]);
        if (kind == SOURCE_HASH)
            put_number(out, k->values[n]);
    }
}

static void put_snapshot(const struct source *s, struct buf *out)
{
    struct rdb_file_writer w;
    struct buf file = {0}, value = {0};
    char name[NAME_MAX_BYTES];
    rdb_file_begin(&w);
    rdb_file_aux(&w, "redis-ver", bytes_str("7.0.15"));
    rdb_file_db(&w, 0, source_keys_now(s), 0);
    for (unsigned i = 0; i < SOURCE_KEYS; i++) {
        if (!is_there(&s->now.keys[i], i))
            continue;
        buf_clear(&value);
        put_value(&s->now.keys[i], i, &value);
        put_name(s, i, name);
        (void)rdb_file_key(&w, bytes_str(name), buf_bytes(&value), -1);
    }
    rdb_file_db(&w, 1, 1, 0);
    (void)rdb_file_key(&w, bytes_str("elsewhere"), bytes_of("\0\1x", 3), -1);
    rdb_file_end(&w);
    rdb_file_move(&w, &file);
    if (s->marked)
        buf_put_str(out, "$EOF:" EOF_MARK "\r\n");
    else
        buf_putf(out, "$%zu\r\n", buf_len(&file));
    buf_put_bytes(out, buf_bytes(&file));
    if (s->marked)
        buf_put_str(out, EOF_MARK);
    buf_deinit(&file);
    buf_deinit(&value);
    rdb_file_writer_deinit(&w);
}

/* ------------------------------------------------------------ its stream */

static void put_out(struct source *s, struct source_conn *c, struct bytes text)
{
    struct buf *out = c->link.id != 0 ? s->port->ops->out(s->port, c->link.id) : NULL;
    if (c->ready_us > 0 || c->waits)
        buf_put_bytes(&c->held, text);
    else if (out != NULL)
        buf_put_bytes(out, text);
}

static void feed(struct source *s, struct bytes text)
{
    buf_put_bytes(&s->log, text);
    s->now.offset += text.n;
    if (buf_len(&s->log) > s->backlog_bytes)
        buf_consume(&s->log, buf_len(&s->log) - s->backlog_bytes);
    for (unsigned i = 0; i < SOURCE_CONNS; i++)
        if (s->conns[i].replica)
            put_out(s, &s->conns[i], text);
}

static void say(struct buf *out, size_t argc, const char *const *words)
{
    struct bytes argv[5];
    for (size_t i = 0; i < argc; i++)
        argv[i] = bytes_str(words[i]);
    resp_request_put(out, argc, argv);
}

#define SAY(out, ...)                                                                              \
    say(out, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *),                    \
        (const char *const[]){__VA_ARGS__})

static void select_db(struct source *s, int64_t db, struct buf *out)
{
    if (s->selected == db)
        return;
    SAY(out, "SELECT", db == 0 ? "0" : "1");
    s->selected = db;
}

static unsigned find(const struct source_key *k, int32_t item)
{
    unsigned n = 0;
    while (n < k->n && k->items[n] != item)
        n++;
    return n;
}

static void take_out(struct source_key *k, unsigned at)
{
    for (unsigned n = at; n + 1 < k->n; n++) {
        k->items[n] = k->items[n + 1];
        k->values[n] = k->values[n + 1];
    }
    k->n--;
}

static void change_list(struct source *s, struct source_key *k, const char *name, struct buf *out)
{
    char item[16];
    unsigned what = (unsigned)rng_below(&s->rng, 5);
    if (k->n == SOURCE_ITEMS || (what < 2 && k->n > 0)) {
        bool left = what != 0;
        SAY(out, left ? "LPOP" : "RPOP", name);
        take_out(k, left ? 0 : k->n - 1);
        return;
    }
    int32_t n = (int32_t)rng_below(&s->rng, 1000);
    snprintf(item, sizeof item, "%d", (int)n);
    bool left = what == 4;
    SAY(out, left ? "LPUSH" : "RPUSH", name, item);
    if (left)
        memmove(k->items + 1, k->items, k->n * sizeof k->items[0]);
    k->items[left ? 0 : k->n] = n;
    k->n++;
}

static void change_items(struct source *s, struct source_key *k, bool hash, const char *name,
                         struct buf *out)
{
    char item[16], by[16];
    int32_t n = (int32_t)rng_below(&s->rng, SOURCE_ITEMS), add = (int32_t)rng_below(&s->rng, 90);
    unsigned at = find(k, n);
    snprintf(item, sizeof item, "%d", (int)n);
    snprintf(by, sizeof by, "%d", (int)add);
    if (at < k->n && rng_below(&s->rng, 4) == 0) {
        SAY(out, hash ? "HDEL" : "SREM", name, item);
        take_out(k, at);
        return;
    }
    if (hash)
        SAY(out, "HINCRBY", name, item, by);
    else
        SAY(out, "SADD", name, item);
    if (at == k->n) {
        k->items[k->n] = n;
        k->values[k->n++] = 0;
    }
    k->values[at] += hash ? add : 0;
}

static void change_text(struct source *s, struct source_key *k, const char *name, struct buf *out)
{
    char part[8];
    snprintf(part, sizeof part, "%u,", (unsigned)rng_below(&s->rng, 1000));
    size_t n = k->there ? strlen(k->text) : 0;
    bool whole = n + strlen(part) > SOURCE_TEXT;
    SAY(out, whole ? "SET" : "APPEND", name, part);
    snprintf(k->text + (whole ? 0 : n), sizeof k->text - (whole ? 0 : n), "%s", part);
    k->there = true;
}

static void change(struct source *s, struct buf *out)
{
    unsigned i = (unsigned)rng_below(&s->rng, SOURCE_KEYS);
    struct source_key *k = &s->now.keys[i];
    char name[NAME_MAX_BYTES], by[16];
    put_name(s, i, name);
    if (is_there(k, i) && rng_below(&s->rng, 30) == 0) {
        SAY(out, "DEL", name);
        *k = (struct source_key){0};
        return;
    }
    switch (kind_of(i)) {
    case SOURCE_COUNTER: {
        int add = (int)rng_below(&s->rng, 100) - 20;
        snprintf(by, sizeof by, "%d", add);
        SAY(out, "INCRBY", name, by);
        k->number += add;
        k->there = true;
        break;
    }
    case SOURCE_STRING:
        change_text(s, k, name, out);
        break;
    case SOURCE_LIST:
        change_list(s, k, name, out);
        break;
    default:
        change_items(s, k, kind_of(i) == SOURCE_HASH, name, out);
        break;
    }
}

void source_write(struct source *s)
{
    struct buf out = {0};
    unsigned what = (unsigned)rng_below(&s->rng, 40), n = 1;
    if (what == 0) { /* what happens in another database */
        select_db(s, 1, &out);
        SAY(&out, "SET", "elsewhere", "y");
    } else if (what == 1) {
        SAY(&out, "PING");
    } else if (what == 2) {
        SAY(&out, "REPLCONF", "GETACK", "*");
    } else if (what == 3 && rng_below(&s->rng, 10) == 0) {
        select_db(s, 0, &out);
        SAY(&out, "FLUSHALL");
        memset(s->now.keys, 0, sizeof s->now.keys);
    } else {
        bool multi = what < 12;
        n = multi ? 1 + (unsigned)rng_below(&s->rng, 5) : 1;
        select_db(s, 0, &out);
        if (multi)
            SAY(&out, "MULTI");
        while (n-- > 0)
            change(s, &out);
        if (multi)
            SAY(&out, "EXEC");
    }
    feed(s, buf_bytes(&out));
    buf_deinit(&out);
    world_flush(s->world);
}

/* ------------------------------------------------------------ what it is asked */

static void psync(struct source *s, struct source_conn *c, struct bytes id, struct bytes offset,
                  struct buf *out)
{
    int64_t at = -1;
    uint64_t from = s->now.offset - buf_len(&s->log);
    bool known = num_parse_i64(offset, &at) && at > 0;
    known = known && (bytes_is(id, s->now.id) || (s->before[0] != 0 && bytes_is(id, s->before) &&
                                                  (uint64_t)at - 1 <= s->before_until));
    c->replica = true;
    if (known && (uint64_t)at - 1 >= from && (uint64_t)at - 1 <= s->now.offset) {
        size_t skip = (size_t)((uint64_t)at - 1 - from);
        s->partials++;
        buf_putf(out, "+CONTINUE %s\r\n", s->now.id);
        buf_put(out, buf_bytes(&s->log).p + skip, buf_len(&s->log) - skip);
        return;
    }
    s->fulls++;
    s->selected = -1; /* as Redis does: the new one knows of no SELECT */
    buf_putf(out, "+FULLRESYNC %s %llu\r\n", s->now.id, (unsigned long long)s->now.offset);
    put_snapshot(s, &c->held);
    c->ready_us = world_now_us(s->world) + 1 + rng_below(&s->rng, s->snapshot_us);
}

static void replconf(struct source *s, struct source_conn *c, uint32_t argc,
                     const struct bytes *argv, struct buf *out)
{
    if (argc < 3 || !bytes_is_nocase(argv[1], "ack")) {
        buf_put_str(out, "+OK\r\n");
        return;
    }
    if (c->waits && c->ready_us == 0) {
        c->waits = false;
        put_out(s, c, buf_bytes(&c->held));
        buf_deinit(&c->held);
    }
}

static void answer(void *arg, struct respond_conn *link, uint32_t argc, const struct bytes *argv)
{
    struct source *s = arg;
    struct source_conn *c = (struct source_conn *)link;
    struct buf *out = s->port->ops->out(s->port, link->id);
    char text[200];
    if (out == NULL || argc == 0)
        return;
    if (bytes_is_nocase(argv[0], "info")) {
        int n = snprintf(text, sizeof text,
                         "# Server\r\nredis_mode:%s\r\nloading:0\r\nmaster_repl_offset:%llu\r\n",
                         s->cluster != NULL ? "cluster" : "standalone",
                         (unsigned long long)s->now.offset);
        buf_putf(out, "$%d\r\n%s\r\n", n, text);
    } else if (bytes_is_nocase(argv[0], "replconf")) {
        replconf(s, c, argc, argv, out);
    } else if (bytes_is_nocase(argv[0], "psync") && argc == 3) {
        psync(s, c, argv[1], argv[2], out);
    } else if (bytes_is_nocase(argv[0], "cluster") && s->cluster != NULL) {
        buf_put_bytes(out, buf_bytes(s->cluster));
    } else {
        buf_put_str(out, "-ERR unknown command\r\n");
    }
}

static void snapshots_due(struct source *s)
{
    for (unsigned i = 0; i < SOURCE_CONNS; i++) {
        struct source_conn *c = &s->conns[i];
        if (c->ready_us == 0 || world_now_us(s->world) < c->ready_us)
            continue;
        struct buf held = c->held;
        c->held = (struct buf){0};
        c->ready_us = 0;
        put_out(s, c, buf_bytes(&held));
        buf_deinit(&held);
    }
}

static void step(void *self, struct port *port, const struct event *ev)
{
    struct source *s = self;
    if (ev->kind == EV_START) {
        port->ops->listen(port, &(struct listen_opts){.host = "0.0.0.0", .port = SOURCE_PORT});
        port->ops->listen(port, &(struct listen_opts){.host = "0.0.0.0", .port = SOURCE_PORT + 1});
    } else if (ev->kind == EV_OPEN || ev->kind == EV_DATA || ev->kind == EV_CLOSED) {
        respond_event(&s->respond, port, ev);
    } else {
        snapshots_due(s);
    }
}

static uint64_t deadline(void *self)
{
    const struct source *s = self;
    uint64_t at = UINT64_MAX;
    for (unsigned i = 0; i < SOURCE_CONNS; i++)
        if (s->conns[i].ready_us > 0 && s->conns[i].ready_us < at)
            at = s->conns[i].ready_us;
    return at;
}

void source_start(struct source *s)
{
    respond_forget(&s->respond);
    s->port = world_machine(s->world, s->host, 1,
                            (struct machine){.self = s, .step = step, .deadline = deadline}, NULL);
}

/* ------------------------------------------------------------ lives */

void source_save(struct source *s) { s->saved = s->now; }

void source_restart(struct source *s, enum source_end how)
{
    size_t lost = 0;
    world_kill(s->world, s->host, false);
    s->selected = -1;
    if (how == SOURCE_TAKEN_OVER && strcmp(s->saved.id, s->now.id) == 0)
        lost = (size_t)(s->now.offset - s->saved.offset);
    if (how == SOURCE_TAKEN_OVER && lost <= buf_len(&s->log)) {
        memcpy(s->before, s->now.id, sizeof s->before);
        if (strcmp(s->saved.id, s->now.id) == 0) {
            s->now = s->saved;
            s->log.tail -= lost;
        }
        s->before_until = s->now.offset;
        new_id(s);
    } else {
        if (how == SOURCE_LOST)
            s->now = s->saved;
        s->before[0] = 0;
        buf_clear(&s->log);
        if (how != SOURCE_SAME)
            new_id(s);
    }
    source_save(s);
    source_start(s);
}

/* ------------------------------------------------------------ questions */

void source_question(const struct source *s, unsigned i, struct buf *out)
{
    char name[NAME_MAX_BYTES];
    put_name(s, i, name);
    if (kind_of(i) == SOURCE_LIST)
        SAY(out, "LRANGE", name, "0", "-1");
    else if (kind_of(i) == SOURCE_SET)
        SAY(out, "SMEMBERS", name);
    else
        SAY(out, kind_of(i) == SOURCE_HASH ? "HGETALL" : "GET", name);
}

struct pair {
    long item, value;
};

static int compare(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return (x->item > y->item) - (x->item < y->item);
}

static void put_pairs(unsigned i, struct pair *p, size_t n, struct buf *out)
{
    if (kind_of(i) != SOURCE_LIST)
        qsort(p, n, sizeof *p, compare);
    for (size_t k = 0; k < n; k++)
        buf_putf(out, "%s%ld:%ld", k > 0 ? " " : "", p[k].item, p[k].value);
}

void source_expected(const struct source *s, unsigned i, struct buf *out)
{
    const struct source_key *k = &s->now.keys[i];
    struct pair p[SOURCE_ITEMS];
    char name[NAME_MAX_BYTES];
    put_name(s, i, name);
    if (kind_of(i) <= SOURCE_STRING) {
        if (!k->there)
            buf_put_str(out, "nil");
        else if (kind_of(i) == SOURCE_COUNTER)
            buf_putf(out, "%lld", (long long)k->number);
        else
            buf_put_str(out, k->text);
        return;
    }
    for (unsigned n = 0; n < k->n; n++)
        p[n] = (struct pair){k->items[n], kind_of(i) == SOURCE_HASH ? k->values[n] : 0};
    put_pairs(i, p, k->n, out);
}

static long number_of(const struct resp_reply *r)
{
    int64_t n = -1;
    (void)num_parse_i64(r->text, &n);
    return (long)n;
}

void source_answer(unsigned i, const struct resp_reply *r, struct buf *out)
{
    struct pair p[64];
    size_t each = kind_of(i) == SOURCE_HASH ? 2 : 1, n = r->n / each;
    if (r->type != '*' || n > 64) {
        resp_reply_print(out, r);
        return;
    }
    for (size_t k = 0; k < n; k++)
        p[k] = (struct pair){number_of(&r->items[k * each]),
                             each == 2 ? number_of(&r->items[k * 2 + 1]) : 0};
    put_pairs(i, p, n, out);
}
