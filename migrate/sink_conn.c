/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/sink_conn.h"

#include "base/num.h"
#include "base/resp.h"
#include "base/resp_reply.h"
#include "migrate/asker.h"

#include <stdio.h>

#define AGAIN_FIRST_US UINT64_C(100000)
#define AGAIN_MOST_US UINT64_C(2000000)

static void step(struct conn_owner *self, struct port *port, const struct event *ev);

void sink_conn_dial(struct sink_conn *c, struct port *port)
{
    const struct migrate_sink_opts *o = &c->sink->opts;
    c->owner.step = step;
    c->state = SINK_DIALLING;
    c->id = port->ops->dial(port, &(struct dial_opts){.host = o->host,
                                                      .port = o->port,
                                                      .tls = o->tls,
                                                      .server_name = o->server_name,
                                                      .owner = &c->owner});
}

static struct waiting first(const struct sink_conn *c)
{
    struct waiting w;
    memcpy(&w, c->waiting.p + c->waiting.head, sizeof w);
    return w;
}

/* ------------------------------------------------------------ a connection breaks */

/* Commands that must not run twice leave the queue, the others are marked. */
static void sort_out(struct sink_conn *c)
{
    struct migrate_sink *s = c->sink;
    struct buf sent = {0}, waiting = {0};
    size_t n = sink_conn_count(c), at = 0;
    for (size_t i = 0; i < n; i++) {
        struct waiting w;
        memcpy(&w, c->waiting.p + c->waiting.head + i * sizeof w, sizeof w);
        if (w.under_way && w.again == MIGRATE_ONCE) {
            s->stats.unsure++;
            if (s->opts.answered != NULL)
                s->opts.answered(s->opts.arg, w.tag, NULL, bytes_of(NULL, 0));
        } else {
            w.twice |= w.under_way;
            w.under_way = false;
            buf_put(&waiting, &w, sizeof w);
            buf_put(&sent, c->sent.p + c->sent.head + at, w.bytes);
        }
        at += w.bytes;
    }
    buf_deinit(&c->sent);
    buf_deinit(&c->waiting);
    c->sent = sent;
    c->waiting = waiting;
}

static void broken(struct sink_conn *c, struct port *port, const char *why)
{
    struct migrate_sink *s = c->sink;
    uint64_t pause = AGAIN_FIRST_US << (c->tries < 5 ? c->tries : 5);
    if (c->state == SINK_READY) {
        s->stats.connected--;
        s->stats.reconnects++;
    }
    if (c->id != 0)
        port->ops->close(port, c->id, false);
    c->id = 0;
    c->state = SINK_DOWN;
    c->tries++;
    c->again_us = s->now.mono_us + (pause < AGAIN_MOST_US ? pause : AGAIN_MOST_US);
    buf_deinit(&c->in);
    snprintf(s->last, sizeof s->last, "%s", why);
    if (!s->reached && !s->opts.patient_first)
        sink_die(s, port, "%s:%u cannot be used: %s", s->opts.host, s->opts.port, s->last);
    else
        sort_out(c);
}

void sink_conn_deinit(struct sink_conn *c, struct port *port)
{
    if (c->id != 0)
        port->ops->close(port, c->id, true);
    buf_deinit(&c->in);
    buf_deinit(&c->sent);
    buf_deinit(&c->waiting);
}

/* ------------------------------------------------------------ greeting */

static void greet(struct sink_conn *c, enum greeting what, struct buf *out, size_t argc,
                  const struct bytes *argv)
{
    c->greetings[c->greetings_n++] = what;
    resp_request_put(out, argc, argv);
}

/* Was the first list that waits being filled when the connection broke? Then its length tells
 * which pushes were done. Later lists begin with a command that empties them. */
static void ask_length(struct sink_conn *c, struct buf *out)
{
    if (sink_conn_count(c) == 0)
        return;
    struct waiting w = first(c);
    if (w.again != MIGRATE_PUSH || !w.twice)
        return;
    struct bytes argv[] = {bytes_str("LLEN"),
                           bytes_of(c->sent.p + c->sent.head + w.key_at, w.key_n)};
    greet(c, GREET_LENGTH, out, 2, argv);
}

static void all_out(struct sink_conn *c, struct buf *out)
{
    size_t n = sink_conn_count(c);
    for (size_t i = 0; i < n; i++) {
        struct waiting w;
        uint8_t *at = c->waiting.p + c->waiting.head + i * sizeof w;
        memcpy(&w, at, sizeof w);
        w.under_way = true;
        memcpy(at, &w, sizeof w);
    }
    buf_put_bytes(out, buf_bytes(&c->sent));
}

static void ready(struct sink_conn *c, struct port *port)
{
    struct migrate_sink *s = c->sink;
    struct buf *out = port->ops->out(port, c->id);
    c->state = SINK_READY;
    s->stats.connected++;
    s->reached = true;
    if (!s->held_up) /* else being let in says nothing */
        s->good_us = s->now.mono_us;
    if (out != NULL)
        all_out(c, out);
}

static void opened(struct sink_conn *c, struct port *port)
{
    const struct migrate_sink_opts *o = &c->sink->opts;
    struct buf *out = port->ops->out(port, c->id);
    if (out == NULL)
        return;
    struct bytes auth[] = {bytes_str("AUTH"), o->user, o->password};
    struct bytes name[] = {bytes_str("CLIENT"), bytes_str("SETNAME"), bytes_str(o->client_name)};
    struct bytes info[] = {bytes_str("INFO"), bytes_str("server")};
    c->state = SINK_GREETING;
    c->greetings_n = c->greeted = 0;
    if (o->user.n == 0)
        auth[1] = o->password;
    if (o->password.n > 0)
        greet(c, GREET_AUTH, out, o->user.n == 0 ? 2 : 3, auth);
    greet(c, GREET_NAME, out, 3, name);
    if (c->sink->opts.same_run)
        greet(c, GREET_RUN, out, 2, info);
    ask_length(c, out);
}

/* ------------------------------------------------------------ answers */

/* Takes the first command off the queue. */
static void pop(struct sink_conn *c, const struct waiting *w)
{
    buf_consume(&c->sent, w->bytes);
    buf_consume(&c->waiting, sizeof *w);
}

static void good(struct sink_conn *c, const struct waiting *w, struct bytes reply)
{
    struct migrate_sink *s = c->sink;
    s->stats.answered++;
    s->stats.done[w->kind]++;
    pop(c, w);
    if (s->opts.answered != NULL)
        s->opts.answered(s->opts.arg, w->tag, NULL, reply);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

#define NEVER_OPENS "LOADING the database cannot be opened"

static bool says_later(const char *text)
{
    return (begins(text, "LOADING") && !begins(text, NEVER_OPENS)) || begins(text, "STALE ") ||
           begins(text, "BUSY ") || begins(text, "TRYAGAIN") || begins(text, "CLUSTERDOWN") ||
           begins(text, "MASTERDOWN") || begins(text, "MISCONF");
}

/* What makes every further command fail as well, and what to do about it; NULL: goes on. */
static const char *remedy(const char *text)
{
    static const struct {
        const char *begins, *remedy;
    } table[] = {
        {"OOM", "the target is full: raise its memory limit or choose an eviction policy"},
        {"NOAUTH", "it wants credentials: give a user and a password"},
        {"WRONGPASS", "check user and password"},
        {"NOPERM", "give the user the right to write all keys (RESTORE and the types' commands)"},
        {"READONLY", "it is a replica: give its master's address"},
        {NEVER_OPENS, "see docs/recovery.md, a file is damaged; then import again"},
        {"MOVED", "it is a member of a cluster: give the address of a database's endpoint"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (begins(text, table[i].begins))
            return table[i].remedy;
    return NULL;
}

/* Done by the connection that broke. */
static bool was_done(const struct waiting *w, const char *text)
{
    return w->twice && w->again == MIGRATE_AGAIN &&
           (begins(text, "BUSYGROUP") || begins(text, "ERR The ID specified in XADD"));
}

static void refused(struct sink_conn *c, struct port *port, struct bytes reply)
{
    struct migrate_sink *s = c->sink;
    struct waiting w = first(c);
    char text[256];
    int n = (int)(reply.n - 3 < sizeof text ? reply.n - 3 : sizeof text - 1);
    snprintf(text, sizeof text, "%.*s", n, (const char *)reply.p + 1);
    if (says_later(text) && w.again != MIGRATE_ONCE) {
        s->held_up = !begins(text, "LOADING"); /* loading ends by itself */
        broken(c, port, text);
        return;
    }
    if (was_done(&w, text)) {
        good(c, &w, bytes_of(NULL, 0));
        return;
    }
    const char *help = remedy(text);
    if (help != NULL) {
        sink_die(s, port, "%s:%u says '%s': %s", s->opts.host, s->opts.port, text, help);
        return;
    }
    s->stats.answered++;
    migrate_sink_note(s, w.kind, bytes_of(c->sent.p + c->sent.head + w.key_at, w.key_n), "%s",
                      text);
    pop(c, &w);
    if (s->opts.answered != NULL)
        s->opts.answered(s->opts.arg, w.tag, text, reply);
}

/* The pushes that the broken connection had done are over. */
static bool skip_done(struct sink_conn *c, struct port *port, struct bytes reply)
{
    struct migrate_sink *s = c->sink;
    int64_t n;
    struct waiting w = first(c);
    if (reply.p[0] != ':' || !num_parse_i64(bytes_of(reply.p + 1, reply.n - 3), &n))
        return false;
    while (sink_conn_count(c) > 0 && w.again == MIGRATE_PUSH && w.twice &&
           w.length + w.items <= (uint64_t)n) {
        good(c, &w, bytes_of(NULL, 0));
        if (sink_conn_count(c) > 0)
            w = first(c);
    }
    if (sink_conn_count(c) == 0 || w.again != MIGRATE_PUSH || !w.twice || w.length == (uint64_t)n)
        return true;
    sink_die(s, port,
             "the list '%.*s' was changed by somebody else while it was written: stop other "
             "writers and begin again",
             (int)(w.key_n < 80 ? w.key_n : 80), (char *)c->sent.p + c->sent.head + w.key_at);
    return false;
}

/* Whoever may not ask is not told. */
static void compare_run(struct sink_conn *c, struct port *port, struct bytes info)
{
    struct migrate_sink *s = c->sink;
    char run[sizeof s->run] = "", id[41], process[21] = "";
    if (!asker_info(info, "run_id", id, sizeof id))
        return;
    (void)asker_info(info, "process_id", process, sizeof process);
    snprintf(run, sizeof run, "%.40s %.20s", id, process);
    if (s->run[0] == 0)
        memcpy(s->run, run, sizeof run);
    else if (strcmp(s->run, run) != 0 && s->stats.answered > 0)
        sink_die(s, port,
                 "%s:%u was restarted while it was written to, and what it had answered may be "
                 "lost: begin again, which does no harm",
                 s->opts.host, s->opts.port);
}

static void greeted(struct sink_conn *c, struct port *port, struct bytes reply)
{
    struct migrate_sink *s = c->sink;
    enum greeting what = c->greetings[c->greeted++];
    char text[200];
    snprintf(text, sizeof text, "%.*s", (int)(reply.n - 3), (const char *)reply.p + 1);
    if (what == GREET_LENGTH && !skip_done(c, port, reply) && s->fatal[0] == 0) {
        broken(c, port, text);
        return;
    }
    if (what == GREET_RUN && reply.p[0] == '$')
        compare_run(c, port, reply);
    if (s->fatal[0] != 0)
        return;
    const char *help = reply.p[0] == '-' && what != GREET_RUN ? remedy(text) : NULL;
    if (what == GREET_AUTH && reply.p[0] == '-' && help == NULL)
        help = "give the right user and password, or none if it wants none";
    if (reply.p[0] == '-' && says_later(text) && what != GREET_NAME)
        broken(c, port, text);
    else if (help != NULL)
        sink_die(s, port, "%s:%u says '%s': %s", s->opts.host, s->opts.port, text, help);
    else if (s->fatal[0] == 0 && c->greeted == c->greetings_n)
        ready(c, port);
}

/* A list that somebody else writes, too, gets longer than it should be. */
static bool is_right(const struct waiting *w, struct bytes reply)
{
    int64_t n;
    return w->again != MIGRATE_PUSH || (num_parse_i64(bytes_of(reply.p + 1, reply.n - 3), &n) &&
                                        (uint64_t)n == w->length + w->items);
}

/* One reply. */
static void answer(struct sink_conn *c, struct port *port, struct bytes reply)
{
    struct migrate_sink *s = c->sink;
    if (c->state == SINK_GREETING) {
        greeted(c, port, reply);
        return;
    }
    if (sink_conn_count(c) == 0) {
        broken(c, port, "it answers more than it was asked: is it a Redis-compatible server?");
        return;
    }
    if (reply.p[0] == '-') {
        refused(c, port, reply);
        return;
    }
    struct waiting w = first(c);
    c->tries = 0;
    s->held_up = false;
    s->good_us = s->now.mono_us;
    if (!is_right(&w, reply))
        migrate_sink_note(s, w.kind, bytes_of(c->sent.p + c->sent.head + w.key_at, w.key_n),
                          "the list was changed by somebody else while it was written");
    good(c, &w, reply);
}

static bool looks_like_a_reply(struct bytes in)
{
    return in.n == 0 || memchr("+-:$*_,#(=~%>!", in.p[0], 14) != NULL;
}

/* 0: not whole, or no reply. */
static size_t reply_size(struct bytes in)
{
    if (in.n >= 5 && memcmp(in.p, "+OK\r\n", 5) == 0)
        return 5;
    size_t n = looks_like_a_reply(in) ? resp_value_len(in) : 0;
    return n >= 3 && in.p[n - 2] == '\r' ? n : 0;
}

/* The whole replies at the front of `in`; how many bytes that were. */
static size_t answers(struct sink_conn *c, struct port *port, struct bytes in)
{
    size_t used = 0, n;
    conn_id id = c->id;
    while (c->id == id && (n = reply_size(bytes_of(in.p + used, in.n - used))) > 0) {
        answer(c, port, bytes_of(in.p + used, n));
        used += n;
    }
    return used;
}

static void received(struct sink_conn *c, struct port *port, struct bytes data)
{
    conn_id id = c->id;
    if (buf_len(&c->in) == 0) {
        size_t used = answers(c, port, data);
        data = bytes_of(data.p + used, data.n - used);
        if (c->id == id)
            buf_put_bytes(&c->in, data);
    } else {
        buf_put_bytes(&c->in, data);
        struct buf in = c->in; /* not freed by broken() while it is read */
        c->in = (struct buf){0};
        buf_consume(&in, answers(c, port, buf_bytes(&in)));
        if (c->id == id)
            c->in = in;
        else
            buf_deinit(&in);
    }
    if (c->id == id &&
        (buf_len(&c->in) > c->sink->opts.reply_max || !looks_like_a_reply(buf_bytes(&c->in))))
        broken(c, port,
               "its answer is not in Redis' protocol: is it a Redis-compatible server, "
               "and are both sides with or without TLS?");
}

static void closed(struct sink_conn *c, struct port *port, const struct event *ev)
{
    char text[256];
    c->id = 0;
    const char *what = err_text(ev->err), *more = ev->detail != NULL ? ev->detail : "";
    if (begins(what, more)) /* the same in other words */
        more = "";
    snprintf(text, sizeof text, more[0] != 0 ? "%s (%s)" : "%s%s", what, more);
    broken(c, port, text);
}

static void step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct sink_conn *c = (struct sink_conn *)self;
    c->sink->now = ev->now;
    if (ev->conn != c->id)
        return;
    if (ev->kind == EV_OPEN)
        opened(c, port);
    else if (ev->kind == EV_DATA)
        received(c, port, ev->data);
    else if (ev->kind == EV_CLOSED)
        closed(c, port, ev);
}

void sink_conn_put(struct sink_conn *c, struct port *port, const struct waiting *w,
                   struct bytes request)
{
    struct buf *out = c->state == SINK_READY ? port->ops->out(port, c->id) : NULL;
    struct waiting kept = *w;
    kept.under_way = out != NULL;
    buf_put(&c->waiting, &kept, sizeof kept);
    if (out != NULL)
        buf_put_bytes(out, request);
}
