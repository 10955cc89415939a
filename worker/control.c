/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "worker/inside.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The manager's channel, on worker 0. Requests are taken one at a time, over all connections: a
 * change that is on its way through the workers is answered before the next one is read.
 */
#define CONTROL_TAG UINT32_MAX
#define INPUT_MAX (2 * (size_t)CONTROL_MESSAGE_MAX)

struct control {
    struct conn_owner owner; /* first */
    struct worker *worker;
    struct control *prev, *next;
    conn_id conn;
    bool greeted; /* has shown the token */
    struct buf in;
};

bool control_listen(struct worker *w, struct port *port)
{
    char host[256];
    snprintf(host, sizeof host, "%s", w->control_address);
    struct listen_opts o = {.host = host, .tag = CONTROL_TAG};
    if (strncmp(host, "unix:", 5) != 0) {
        char *colon = strrchr(host, ':');
        char *end = NULL;
        unsigned long number = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
        if (colon == NULL || *end != 0 || number == 0 || number > UINT16_MAX)
            return false;
        *colon = 0;
        o.port = (uint16_t)number;
    }
    w->control_listener = port->ops->listen(port, &o);
    return true;
}

static void control_free(struct control *c)
{
    struct worker *w = c->worker;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        w->controls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (w->asker == c)
        w->asker = NULL;
    buf_deinit(&c->in);
    mem_free(c);
}

static void answer(struct control *c, struct port *port, uint64_t id, const char *error,
                   struct bytes body)
{
    struct buf *out = port->ops->out(port, c->conn);
    struct buf text = {0};
    if (out == NULL)
        return;
    control_answer_encode(&text, error[0] == 0, error, body);
    control_put(out, id, CONTROL_ANSWER, buf_bytes(&text));
    buf_deinit(&text);
}

static void answer_only(struct control *c, struct port *port, uint64_t id, const char *error)
{
    struct buf nothing = {0};
    mp_put_nil(&nothing);
    answer(c, port, id, error, buf_bytes(&nothing));
    buf_deinit(&nothing);
}

/* ------------------------------------------------------------ requests */

static bool token_is(const char *ours, const char *theirs)
{
    size_t n = strlen(ours), m = strlen(theirs);
    unsigned differ = n != m;
    for (size_t i = 0; i < m; i++)
        differ |= (unsigned)(theirs[i] ^ ours[i < n ? i : n]);
    return differ == 0;
}

/* False: refused, the connection is to be closed. */
static bool greet(struct control *c, struct port *port, uint64_t id, struct bytes body)
{
    struct worker *w = c->worker;
    struct control_hello hello;
    if (!control_hello_decode(body, &hello) || !token_is(w->opts.control_token, hello.token)) {
        answer_only(c, port, id,
                    "wrong token: give the manager the token that the data plane was started with");
        return false;
    }
    if (hello.protocol != CONTROL_PROTOCOL) {
        answer_only(
            c, port, id,
            "another version of the control protocol: end the data plane (SIGTERM to the pid in "
            "the data folder's plane.pid), and the node starts the one of its own release");
        return false;
    }
    uint32_t n = 0;
    for (struct database *d = w->databases; d != NULL; d = d->next)
        n++;
    struct control_welcome welcome = {.protocol = CONTROL_PROTOCOL,
                                      .pid = w->opts.pid,
                                      .workers = w->opts.count,
                                      .keeps = w->opts.data != NULL,
                                      .uids_count = n};
    welcome.uids = mem_alloc((n + 1) * sizeof welcome.uids[0]);
    n = 0;
    for (struct database *d = w->databases; d != NULL; d = d->next)
        welcome.uids[n++] = d->config.uid;
    struct buf text = {0};
    control_welcome_encode(&text, &welcome);
    answer(c, port, id, "", buf_bytes(&text));
    buf_deinit(&text);
    mem_free(welcome.uids);
    c->greeted = true;
    return true;
}

/* Reads a request that changes something; false: malformed. */
static bool read_change(enum control_kind kind, struct bytes body, struct change_msg *m)
{
    struct control_link link;
    switch (kind) {
    case CONTROL_DB_SET:
    case CONTROL_DB_CHECK:
        m->kind = kind == CONTROL_DB_SET ? CHANGE_DB_SET : CHANGE_DB_CHECK;
        m->db = mem_zalloc(sizeof *m->db);
        if (plane_db_decode(body, m->db))
            return true;
        mem_free(m->db);
        return false;
    case CONTROL_DB_DROP:
    case CONTROL_DB_FLUSH:
    case CONTROL_DB_SNAPSHOT:
        m->kind = kind == CONTROL_DB_DROP    ? CHANGE_DB_DROP
                  : kind == CONTROL_DB_FLUSH ? CHANGE_DB_FLUSH
                                             : CHANGE_DB_SNAPSHOT;
        return control_uid_decode(body, &m->uid);
    case CONTROL_LINK:
        m->kind = CHANGE_LINK;
        if (!control_link_decode(body, &link) || link.region == 0 || link.region > REGION_MAX)
            return false;
        m->uid = link.uid;
        m->region = link.region;
        m->paused = link.paused;
        return true;
    case CONTROL_STATS:
        m->kind = CHANGE_STATS;
        return true;
    default:
        return false;
    }
}

/* False: the connection is to be closed. */
static bool take_request(struct control *c, struct port *port, uint64_t id, enum control_kind kind,
                         struct bytes body, struct moment now)
{
    struct worker *w = c->worker;
    struct change_msg m = {0};
    if (kind == CONTROL_HELLO)
        return greet(c, port, id, body);
    if (!c->greeted) {
        answer_only(c, port, id, "say hello with the token first");
        return false;
    }
    if (kind == CONTROL_STOP) {
        answer_only(c, port, id, "");
        w->stopping = true;
        return true;
    }
    if (!read_change(kind, body, &m)) {
        answer_only(c, port, id,
                    "unknown or malformed request: run manager and plane of one release");
        return true;
    }
    if (m.db != NULL && m.db->persistence != PERSIST_OFF && w->opts.data == NULL) {
        mem_free(m.db);
        answer_only(c, port, id,
                    "this data plane has no folder to keep databases in: start it with --data, or "
                    "set data_persistence to disabled");
        return true;
    }
    w->asker = c;
    w->asker_id = id;
    change_start(w, port, &m, now);
    return true;
}

/* Takes requests until one has to wait. May free the connection. */
static void run(struct control *c, struct port *port, struct moment now)
{
    struct worker *w = c->worker;
    while (w->change.ticket == 0 && !w->stopping) {
        uint64_t id;
        enum control_kind kind;
        struct bytes body;
        size_t used = 0;
        enum control_result r = control_get(buf_bytes(&c->in), &id, &kind, &body, &used);
        if (r == CONTROL_MORE)
            return;
        if (r == CONTROL_OK && take_request(c, port, id, kind, body, now)) {
            buf_consume(&c->in, used);
            continue;
        }
        if (r == CONTROL_BAD)
            port_log(port, 'E', "control channel: malformed message, closed");
        port->ops->close(port, c->conn, true);
        control_free(c);
        return;
    }
}

void control_changed(struct worker *w, struct port *port, const char *error,
                     const struct plane_stats *stats, struct moment now)
{
    struct control *c = w->asker;
    w->asker = NULL;
    if (c != NULL && stats != NULL && w->change.stats_wanted && error[0] == 0) {
        struct buf body = {0};
        plane_stats_encode(&body, stats);
        answer(c, port, w->asker_id, "", buf_bytes(&body));
        buf_deinit(&body);
    } else if (c != NULL) {
        answer_only(c, port, w->asker_id, error);
    }
    for (struct control *next, *at = w->controls; at != NULL; at = next) {
        next = at->next;
        run(at, port, now);
    }
}

/* ------------------------------------------------------------ connections */

static void control_step(struct conn_owner *owner, struct port *port, const struct event *ev)
{
    struct control *c = (struct control *)owner;
    if (ev->kind == EV_CLOSED) {
        control_free(c);
        return;
    }
    if (ev->kind != EV_DATA)
        return;
    buf_put_bytes(&c->in, ev->data);
    if (buf_len(&c->in) > INPUT_MAX) {
        port_log(port, 'E', "control channel: more requests than can wait, closed");
        port->ops->close(port, c->conn, false);
        control_free(c);
        return;
    }
    run(c, port, ev->now);
}

void control_open(struct worker *w, struct port *port, conn_id conn)
{
    struct control *c = mem_zalloc(sizeof *c);
    c->owner.step = control_step;
    c->worker = w;
    c->conn = conn;
    c->next = w->controls;
    if (c->next != NULL)
        c->next->prev = c;
    w->controls = c;
    port->ops->own(port, conn, &c->owner);
}

void control_free_all(struct worker *w, struct port *port)
{
    while (w->controls != NULL) {
        port->ops->close(port, w->controls->conn, true);
        control_free(w->controls);
    }
}
