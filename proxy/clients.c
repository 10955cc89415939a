/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/clients.h"

#include "base/num.h"
#include "proxy/multi.h"
#include "proxy/tracking.h"

#include <stdio.h>

/* ------------------------------------------------------------ describing */

/* Redis' letters; N stands for none. */
static void put_flags(const struct session *s, char out[16])
{
    size_t n = 0;
    if (session_subscribed(s))
        out[n++] = 'P';
    if (s->multi != NULL)
        out[n++] = 'x';
    if (s->blocked != NULL)
        out[n++] = 'b';
    if (s->multi != NULL && s->multi->dirty)
        out[n++] = 'd';
    if (s->closing)
        out[n++] = 'c';
    if (s->tracker != NULL) {
        out[n++] = 't';
        if (s->tracker->broken)
            out[n++] = 'R';
        if (s->tracker->bcast)
            out[n++] = 'B';
    }
    if (s->no_evict)
        out[n++] = 'e';
    if (s->no_touch)
        out[n++] = 'T';
    if (n == 0)
        out[n++] = 'N';
    out[n] = 0;
}

void session_describe(struct session *s, struct port *port, struct buf *out, struct moment now)
{
    char addr[64] = "", laddr[64] = "", flags[16];
    port->ops->peer_name(port, s->conn, addr, sizeof addr);
    port->ops->local_name(port, s->conn, laddr, sizeof laddr);
    put_flags(s, flags);
    bool running = s->front->running == s; /* what is being run counts as input, not as an answer */
    size_t queued = s->multi != NULL ? buf_len(&s->multi->queue) : 0;
    size_t query = buf_len(&s->in) + (running ? s->querying : 0);
    size_t pending = running ? 0 : port->ops->pending(port, s->conn);
    size_t memory = sizeof *s + s->in.cap + queued + pending + s->owed;
    buf_putf(out, "id=%llu addr=%s laddr=%s fd=%llu name=%s age=%llu idle=%llu flags=%s db=0 ",
             (unsigned long long)s->id, addr, laddr, (unsigned long long)(s->conn & UINT32_MAX),
             s->name ? s->name : "", (unsigned long long)((now.mono_us - s->born_us) / 1000000),
             (unsigned long long)((now.mono_us - s->active_us) / 1000000), flags);
    buf_putf(out,
             "sub=%u psub=%u ssub=%u multi=%d qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=%zu ",
             session_listens(s, TOPIC_CHANNEL), session_listens(s, TOPIC_PATTERN),
             session_listens(s, TOPIC_SHARD), s->multi ? (int)s->multi->count : -1, query,
             s->in.cap - buf_len(&s->in), running ? s->querying : 0, queued);
    buf_putf(out, "rbs=0 rbp=0 obl=%zu oll=%u omem=%zu tot-mem=%zu events=%s cmd=%s ", pending,
             running ? 0 : s->answers, pending + (running ? 0 : s->owed), memory,
             pending > 0 ? "rw" : "r", s->last_command ? s->last_command->name : "NULL");
    buf_putf(out, "user=%.*s redir=%lld resp=%u lib-name=%s lib-ver=%s\n", (int)s->user->name.n,
             (const char *)s->user->name.p, s->tracker ? (long long)s->tracker->redirect : -1,
             s->resp, s->lib_name ? s->lib_name : "", s->lib_version ? s->lib_version : "");
}

/* ------------------------------------------------------------ choosing */

static bool refuse(struct client_filter *f, const char *why)
{
    snprintf(f->why, sizeof f->why, "%s", why);
    return false;
}

static bool refuse_value(struct client_filter *f, const char *what, struct bytes value)
{
    snprintf(f->why, sizeof f->why, "ERR %s '%.*s'", what, (int)(value.n < 128 ? value.n : 128),
             (const char *)value.p);
    return false;
}

static bool read_type(struct client_filter *f, struct bytes type)
{
    f->type = bytes_is_nocase(type, "normal")   ? CLIENT_NORMAL
              : bytes_is_nocase(type, "pubsub") ? CLIENT_PUBSUB
                                                : CLIENT_OTHER;
    if (f->type == CLIENT_OTHER && !bytes_is_nocase(type, "master") &&
        !bytes_is_nocase(type, "replica") && !bytes_is_nocase(type, "slave"))
        return refuse_value(f, "Unknown client type", type);
    return true;
}

static bool read_pair(struct client_filter *f, const struct bytes *pair)
{
    int64_t number = 0;
    struct bytes name = pair[0], value = pair[1];
    if (bytes_is_nocase(name, "id")) {
        f->ids = &pair[1];
        f->ids_count = 1;
        return (num_parse_i64(value, &number) && number > 0) ||
               refuse(f, "ERR client-id should be greater than 0");
    }
    if (bytes_is_nocase(name, "type"))
        return read_type(f, value);
    if (bytes_is_nocase(name, "addr")) {
        f->addr = value;
    } else if (bytes_is_nocase(name, "laddr")) {
        f->laddr = value;
    } else if (bytes_is_nocase(name, "user")) {
        f->user = value;
    } else if (bytes_is_nocase(name, "maxage")) {
        return (num_parse_i64(value, &f->age_min) && f->age_min > 0) ||
               refuse(f, "ERR maxage should be a positive integer");
    } else if (bytes_is_nocase(name, "skipme")) {
        f->skip_me = bytes_is_nocase(value, "yes");
        return f->skip_me || bytes_is_nocase(value, "no") || refuse(f, ERR_SYNTAX);
    } else {
        return refuse(f, ERR_SYNTAX);
    }
    return true;
}

bool client_filter_kill(struct client_filter *f, uint32_t argc, const struct bytes *argv)
{
    for (uint32_t i = 0; i < argc; i += 2) {
        if (i + 1 == argc)
            return refuse(f, ERR_SYNTAX);
        if (!read_pair(f, &argv[i]))
            return false;
    }
    return true;
}

bool client_filter_list(struct client_filter *f, uint32_t argc, const struct bytes *argv)
{
    if (argc == 0)
        return true;
    if (argc == 2 && bytes_is_nocase(argv[0], "type"))
        return read_type(f, argv[1]);
    if (argc < 2 || !bytes_is_nocase(argv[0], "id"))
        return refuse(f, ERR_SYNTAX);
    for (uint32_t i = 1; i < argc; i++) {
        int64_t id = 0;
        if (!num_parse_i64(argv[i], &id))
            return refuse(f, "ERR Invalid client ID");
    }
    f->ids = argv + 1;
    f->ids_count = argc - 1;
    return true;
}

static bool filter_has(const struct client_filter *f, struct session *s, struct port *port,
                       struct moment now)
{
    char name[64] = "";
    if (s->dead || (f->user.p != NULL && !bytes_eq(f->user, s->user->name)))
        return false;
    if (f->type != CLIENT_ANY && f->type != (session_subscribed(s) ? CLIENT_PUBSUB : CLIENT_NORMAL))
        return false;
    if (f->age_min > 0 && (now.mono_us - s->born_us) / 1000000 < (uint64_t)f->age_min)
        return false;
    if (f->addr.p != NULL) {
        port->ops->peer_name(port, s->conn, name, sizeof name);
        if (!bytes_is(f->addr, name))
            return false;
    }
    if (f->laddr.p != NULL) {
        port->ops->local_name(port, s->conn, name, sizeof name);
        if (!bytes_is(f->laddr, name))
            return false;
    }
    bool found = f->ids_count == 0;
    for (uint32_t i = 0; i < f->ids_count && !found; i++) {
        int64_t id = 0;
        found = num_parse_i64(f->ids[i], &id) && (uint64_t)id == s->id;
    }
    return found;
}

void session_lines(struct front *f, struct port *port, uint32_t argc, const struct bytes *argv,
                   struct buf *out, struct moment now)
{
    struct client_filter filter = {0};
    if (!client_filter_list(&filter, argc, argv))
        return;
    struct session *s = f->first; /* the newest; the oldest is shown first */
    while (s != NULL && s->next != NULL)
        s = s->next;
    for (; s != NULL; s = s->prev)
        if (filter_has(&filter, s, port, now))
            session_describe(s, port, out, now);
}

int64_t session_kill(struct front *f, struct port *port, uint32_t argc, const struct bytes *argv,
                     uint64_t asker, struct moment now)
{
    struct client_filter filter = {.skip_me = true};
    int64_t n = 0;
    if (!client_filter_kill(&filter, argc, argv))
        return 0;
    for (struct session *s = f->first; s != NULL; s = s->next) {
        if ((s->id == asker && filter.skip_me) || !filter_has(&filter, s, port, now))
            continue;
        n++;
        s->closing = true;
        if (s->id == asker)
            continue;            /* it gets its reply first */
        blocked_forget(s, port); /* nothing must be popped for it any more */
        s->dead = true;
        f->dead++;
        port->ops->close(port, s->conn, false);
    }
    return n;
}
