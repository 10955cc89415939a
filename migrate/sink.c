/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/sink.h"

#include "base/mem.h"
#include "base/resp_reply.h"
#include "migrate/sink_conn.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#define CONNECTIONS 4u
#define REPLY_MAX (64u << 20)
#define PATIENCE_US UINT64_C(60000000)

struct migrate_sink *migrate_sink_new(const struct migrate_sink_opts *o)
{
    struct migrate_sink *s = mem_zalloc(sizeof *s);
    s->opts = *o;
    s->n = o->connections == 0 ? CONNECTIONS : o->connections;
    assert(s->n <= MIGRATE_CONNECTIONS_MAX);
    if (s->opts.window_bytes == 0)
        s->opts.window_bytes = MIGRATE_WINDOW_BYTES;
    if (s->opts.reply_max == 0)
        s->opts.reply_max = REPLY_MAX;
    if (s->opts.patience_us == 0)
        s->opts.patience_us = PATIENCE_US;
    if (s->opts.client_name == NULL)
        s->opts.client_name = "meridian-migrate";
    s->conns = mem_zalloc(s->n * sizeof *s->conns);
    for (unsigned i = 0; i < s->n; i++)
        s->conns[i].sink = s;
    return s;
}

void migrate_sink_free(struct migrate_sink *s, struct port *port)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n; i++)
        sink_conn_deinit(&s->conns[i], port);
    mem_free(s->conns);
    mem_free(s->errors);
    mem_free(s);
}

void migrate_sink_start(struct migrate_sink *s, struct port *port, struct moment now)
{
    s->now = now;
    s->good_us = now.mono_us;
    for (unsigned i = 0; i < s->n; i++)
        sink_conn_dial(&s->conns[i], port);
}

/* ------------------------------------------------------------ commands */

bool migrate_sink_has_room(const struct migrate_sink *s)
{
    if (s->fatal[0] != 0)
        return false;
    for (unsigned i = 0; i < s->n; i++)
        if (buf_len(&s->conns[i].sent) >= s->opts.window_bytes ||
            sink_conn_count(&s->conns[i]) >= MIGRATE_WINDOW_COMMANDS)
            return false;
    return true;
}

static size_t put_number(uint8_t *p, char type, size_t n)
{
    return (size_t)sprintf((char *)p, "%c%zu\r\n", type, n);
}

/* Appends the request to c->sent; where its key lies goes into *w. */
static void put_request(struct sink_conn *c, const struct migrate_command *m, struct waiting *w)
{
    size_t room = 32, from;
    for (size_t i = 0; i < m->argc; i++)
        room += m->argv[i].n + 32;
    if (c->sent.cap < 2 * c->sink->opts.window_bytes) /* so that it is not moved all the time */
        buf_reserve(&c->sent, 2 * c->sink->opts.window_bytes);
    uint8_t *begin = buf_reserve(&c->sent, room), *p = begin;
    from = buf_len(&c->sent);
    p += put_number(p, '*', m->argc);
    for (size_t i = 0; i < m->argc; i++) {
        p += put_number(p, '$', m->argv[i].n);
        if (m->argv[i].p == m->key.p && m->key.n > 0)
            w->key_at = (size_t)(p - begin);
        if (m->argv[i].n > 0)
            memcpy(p, m->argv[i].p, m->argv[i].n);
        p += m->argv[i].n;
        memcpy(p, "\r\n", 2);
        p += 2;
    }
    buf_added(&c->sent, (size_t)(p - begin));
    w->bytes = buf_len(&c->sent) - from;
}

void migrate_sink_put(struct migrate_sink *s, struct port *port, const struct migrate_command *m)
{
    if (s->fatal[0] != 0)
        return;
    uint64_t chosen = s->n == 1 ? 0 : XXH3_64bits(m->key.p, m->key.n) % s->n;
    struct sink_conn *c = &s->conns[chosen];
    struct waiting w = {.key_n = m->key.n,
                        .length = m->length,
                        .items = m->argc > 2 ? m->argc - 2 : 0,
                        .tag = m->tag,
                        .again = (uint8_t)m->again,
                        .kind = m->kind};
    assert(m->kind < MIGRATE_KINDS);
    put_request(c, m, &w);
    s->stats.put++;
    s->stats.bytes += w.bytes;
    struct bytes all = buf_bytes(&c->sent);
    sink_conn_put(c, port, &w, bytes_of(all.p + all.n - w.bytes, w.bytes));
}

bool migrate_sink_is_idle(const struct migrate_sink *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (buf_len(&s->conns[i].waiting) > 0)
            return false;
    return true;
}

/* ------------------------------------------------------------ failures */

const char *migrate_sink_fatal(const struct migrate_sink *s)
{
    return s->fatal[0] != 0 ? s->fatal : NULL;
}

void sink_die(struct migrate_sink *s, struct port *port, const char *fmt, ...)
{
    va_list ap;
    if (s->fatal[0] != 0)
        return;
    va_start(ap, fmt);
    vsnprintf(s->fatal, sizeof s->fatal, fmt, ap);
    va_end(ap);
    for (unsigned i = 0; i < s->n; i++) {
        if (s->conns[i].id != 0)
            port->ops->close(port, s->conns[i].id, false);
        s->conns[i].id = 0;
        s->conns[i].state = SINK_DOWN;
        s->conns[i].again_us = UINT64_MAX;
    }
    s->stats.connected = 0;
}

static void printable(char *out, size_t size, struct bytes s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool plain = s.p[i] >= 32 && s.p[i] < 127;
        if (n + (plain ? 1 : 4) + 4 > size) {
            n += (size_t)snprintf(out + n, size - n, "...");
            break;
        }
        n += (size_t)snprintf(out + n, size - n, plain ? "%c" : "\\x%02x", s.p[i]);
    }
    out[n] = 0;
}

void migrate_sink_note(struct migrate_sink *s, uint8_t kind, struct bytes key, const char *fmt, ...)
{
    s->stats.failed++;
    s->stats.failed_of[kind]++;
    if (s->nerrors == MIGRATE_ERRORS_MAX)
        return;
    if (s->errors == NULL)
        s->errors = mem_zalloc(MIGRATE_ERRORS_MAX * sizeof *s->errors);
    struct migrate_error *e = &s->errors[s->nerrors++];
    va_list ap;
    printable(e->key, sizeof e->key, key);
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
}

const struct migrate_error *migrate_sink_errors(const struct migrate_sink *s, size_t *n)
{
    *n = s->nerrors;
    return s->errors;
}

const struct migrate_sink_stats *migrate_sink_stats(const struct migrate_sink *s)
{
    return &s->stats;
}

/* ------------------------------------------------------------ time */

static uint64_t patience_ends(const struct migrate_sink *s)
{
    bool waits = s->stats.connected == 0 || !migrate_sink_is_idle(s);
    if (s->fatal[0] != 0 || !waits || s->opts.patience_us == UINT64_MAX)
        return UINT64_MAX;
    return s->good_us + s->opts.patience_us;
}

void migrate_sink_tick(struct migrate_sink *s, struct port *port, struct moment now)
{
    s->now = now;
    if (s->fatal[0] != 0)
        return;
    if (s->stats.connected > 0 && migrate_sink_is_idle(s))
        s->good_us = now.mono_us;
    if (now.mono_us >= patience_ends(s)) {
        unsigned waited_s = (unsigned)(s->opts.patience_us / 1000000);
        if (s->held_up)
            sink_die(s, port,
                     "%s:%u has taken no writes for %u seconds and says '%s': when it takes them "
                     "again, begin again, which does no harm",
                     s->opts.host, s->opts.port, waited_s, s->last);
        else
            sink_die(s, port, "%s:%u has not answered for %u seconds%s%s: see whether it runs",
                     s->opts.host, s->opts.port, waited_s, s->last[0] != 0 ? "; last " : "",
                     s->last);
        return;
    }
    for (unsigned i = 0; i < s->n && s->fatal[0] == 0; i++)
        if (s->conns[i].state == SINK_DOWN && s->conns[i].again_us <= now.mono_us)
            sink_conn_dial(&s->conns[i], port);
}

uint64_t migrate_sink_deadline(const struct migrate_sink *s)
{
    uint64_t at = patience_ends(s);
    for (unsigned i = 0; i < s->n; i++)
        if (s->conns[i].state == SINK_DOWN && s->conns[i].again_us < at)
            at = s->conns[i].again_us;
    return at;
}
