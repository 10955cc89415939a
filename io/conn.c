/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/conn.h"

#include "base/mem.h"
#include "io/tls.h"
#include "io/uverr.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- ids and sets ---- */

void conn_set_add(struct loop *l, enum conn_set_kind kind, struct conn *c)
{
    struct conn_set *s = &l->sets[kind];
    if (c->place[kind] != 0)
        return;
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->at = mem_realloc(s->at, s->cap * sizeof *s->at);
    }
    s->at[s->n++] = c;
    c->place[kind] = s->n;
}

void conn_set_remove(struct loop *l, enum conn_set_kind kind, struct conn *c)
{
    struct conn_set *s = &l->sets[kind];
    uint32_t at = c->place[kind];
    if (at == 0)
        return;
    struct conn *last = s->at[--s->n];
    s->at[at - 1] = last;
    last->place[kind] = at;
    c->place[kind] = 0;
}

static void id_take(struct loop *l, struct conn *c)
{
    uint32_t i;
    if (l->slots_free != 0) {
        i = l->slots_free - 1;
        l->slots_free = l->slots[i].next_free;
    } else {
        if (l->slots_n == l->slots_cap) {
            l->slots_cap = l->slots_cap ? l->slots_cap * 2 : 64;
            l->slots = mem_realloc(l->slots, l->slots_cap * sizeof *l->slots);
        }
        i = l->slots_n++;
        l->slots[i] = (struct slot){.generation = 1};
    }
    l->slots[i].conn = c;
    c->id = (uint64_t)l->slots[i].generation << 32 | i;
}

static void id_release(struct conn *c)
{
    if (c->id == 0)
        return;
    struct loop *l = c->loop;
    struct slot *s = &l->slots[(uint32_t)c->id];
    s->conn = NULL;
    s->generation++;
    /* A generation never comes twice: the slot is left unused then. */
    if (s->generation != 0) {
        s->next_free = l->slots_free;
        l->slots_free = (uint32_t)c->id + 1;
    }
    c->id = 0;
}

struct conn *conn_get(const struct loop *l, conn_id id)
{
    uint32_t i = (uint32_t)id;
    if (i >= l->slots_n || l->slots[i].generation != (uint32_t)(id >> 32))
        return NULL;
    return l->slots[i].conn;
}

/* ---- life ---- */

struct conn *conn_new(struct loop *l, bool local)
{
    struct conn *c = mem_zalloc(sizeof *c);
    c->loop = l;
    c->local = local;
    id_take(l, c);
    conn_set_add(l, SET_ALL, c);
    return c;
}

static void conn_free(struct conn *c)
{
    conn_set_remove(c->loop, SET_ALL, c);
    buf_deinit(&c->out);
    tls_free(c->tls);
    dial_free(c->dialing);
    mem_free(c);
}

int conn_handle_init(struct conn *c)
{
    int rc =
        c->local ? uv_pipe_init(&c->loop->uv, &c->u.pipe, 0) : uv_tcp_init(&c->loop->uv, &c->u.tcp);
    c->handle = rc == 0;
    c->u.handle.data = c;
    return rc;
}

int conn_adopt(struct conn *c, int fd)
{
    int rc = conn_handle_init(c);
    if (rc == 0)
        rc = c->local ? uv_pipe_open(&c->u.pipe, fd) : uv_tcp_open(&c->u.tcp, fd);
    if (rc != 0)
        close(fd);
    return rc;
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    c->handle = false;
    if (c->state != CONN_CONNECTING || !dial_again(c))
        conn_free(c);
}

void conn_shut(struct conn *c)
{
    if (c->state == CONN_GONE)
        return;
    c->state = CONN_GONE;
    id_release(c);
    conn_set_remove(c->loop, SET_DIRTY, c);
    conn_set_remove(c->loop, SET_TIMED, c);
    msg_free(c->move_msg);
    c->move_msg = NULL;
    if (!c->handle)
        conn_free(c);
    else if (!uv_is_closing(&c->u.handle))
        uv_close(&c->u.handle, on_closed);
}

void conn_handle_close(struct conn *c) { uv_close(&c->u.handle, on_closed); }

void conn_forget(struct conn *c)
{
    id_release(c);
    c->owner = NULL;
}

void conn_close(struct conn *c, bool flush)
{
    bool open = c->state == CONN_OPEN || c->state == CONN_HANDSHAKE;
    if (!open || !flush || c->broken || c->held) {
        conn_shut(c);
        return;
    }
    conn_forget(c);
    c->state = CONN_FLUSHING;
    conn_reading(c);
    conn_deadline(c, CONN_CLOSE_US);
    if (c->tls != NULL && c->tls->ready && tls_write(c->tls))
        tls_close(c->tls);
    conn_flush(c);
}

void conn_lost(struct conn *c, enum err err, const char *detail)
{
    struct loop *l = c->loop;
    if (c->id == 0) {
        conn_shut(c);
        return;
    }
    bool told = !(c->accepted && c->state == CONN_HANDSHAKE);
    struct event ev = {.kind = EV_CLOSED,
                       .conn = c->id,
                       .listener = c->listener,
                       .tag = c->tag,
                       .owner = c->owner,
                       .err = err,
                       .detail = detail};
    /* The peer may still read what was written before: replies after half a close, a TLS alert. */
    conn_close(c, err == ERR_CLOSED || err == ERR_TLS);
    if (told)
        loop_step(l, &ev);
    else
        loop_log(l, 'D', "incoming connection dropped: %s%s%s", err_text(err), detail ? "; " : "",
                 detail ? detail : "");
}

void conn_break(struct conn *c, int uv_err)
{
    if (c->broken)
        return;
    c->broken = true;
    if (c->id == 0) {
        conn_shut(c);
        return;
    }
    struct later *a = loop_later(c->loop, LATER_LOST);
    if (a == NULL)
        return;
    a->conn = c->id;
    a->err = uverr(uv_err);
    snprintf(a->detail, sizeof a->detail, "%s", uv_strerror(uv_err));
}

/* ---- deadlines: few connections have one at a time, so they are looked through ---- */

#define SWEEP_MS 50u

void conn_deadline(struct conn *c, uint64_t after_us)
{
    struct loop *l = c->loop;
    if (after_us == 0) {
        conn_set_remove(l, SET_TIMED, c);
        return;
    }
    c->deadline_us = loop_now(l).mono_us + after_us;
    conn_set_add(l, SET_TIMED, c);
    if (!uv_is_active((uv_handle_t *)&l->sweep))
        uv_timer_start(&l->sweep, conns_sweep, SWEEP_MS, SWEEP_MS);
}

static void expired(struct conn *c)
{
    if (c->state == CONN_RESOLVING || c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKE)
        conn_lost(c, ERR_TIMEOUT,
                  c->state == CONN_RESOLVING    ? "looking the host name up"
                  : c->state == CONN_CONNECTING ? "connecting"
                                                : "TLS handshake");
    else
        conn_shut(c);
}

void conns_sweep(uv_timer_t *t)
{
    struct loop *l = t->data;
    uint64_t now = loop_now(l).mono_us;
    /* From the end: whoever leaves is replaced by one that has been looked at. */
    for (uint32_t i = l->sets[SET_TIMED].n; i-- > 0;) {
        if (i >= l->sets[SET_TIMED].n)
            continue;
        struct conn *c = l->sets[SET_TIMED].at[i];
        if (c->deadline_us <= now)
            expired(c);
    }
    if (l->sets[SET_TIMED].n == 0)
        uv_timer_stop(t);
}

/* ---- input ---- */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
    (void)hint;
    struct conn *c = h->data;
    bool wait = c->held && c->state != CONN_LINGERING; /* on_read stops reading then */
    *b = uv_buf_init((char *)c->loop->read_buf, wait ? 0 : LOOP_READ_BYTES);
}

/* The first byte of a connection that may be TLS or not. False: the connection is no more. */
static bool decide(struct conn *c, uint8_t first)
{
    struct tls_context *ctx = loop_tls(c->loop, c->sniff);
    c->sniff = 0;
    if (first != TLS_FIRST_BYTE) {
        conn_opened(c);
    } else if (ctx != NULL) {
        c->tls = tls_new(ctx, true, NULL);
        conn_deadline(c, CONN_DIAL_MS * 1000u);
    } else {
        conn_shut(c); /* its TLS settings are gone: never in clear text instead */
    }
    return c->id != 0 && (c->state == CONN_OPEN || c->state == CONN_HANDSHAKE);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = s->data;
    if (n == 0)
        return;
    if (n == UV_ENOBUFS) {
        c->reading = false;
        uv_read_stop(s);
        return;
    }
    if (n < 0) {
        c->ended = n == UV_EOF;
        conn_lost(c, uverr((int)n), n == UV_EOF ? NULL : uv_strerror((int)n));
        return;
    }
    if (c->state != CONN_OPEN && c->state != CONN_HANDSHAKE)
        return;
    struct bytes data = bytes_of(b->base, (size_t)n);
    if (c->sniff != 0 && !decide(c, data.p[0]))
        return;
    if (c->tls != NULL)
        conn_tls_input(c, data);
    else
        conn_deliver(c, data);
}

/* Flushes only this connection: what else the step wrote to goes out, batched, at the end of the
 * turn. */
static void flush_own(struct conn *c)
{
    if (c->place[SET_DIRTY] == 0)
        return;
    conn_set_remove(c->loop, SET_DIRTY, c);
    conn_flush(c);
}

void conn_deliver(struct conn *c, struct bytes data)
{
    struct event ev = {.kind = EV_DATA,
                       .conn = c->id,
                       .listener = c->listener,
                       .tag = c->tag,
                       .owner = c->owner,
                       .data = data};
    loop_step(c->loop, &ev);
    flush_own(c);
}

/* A held connection stops when there is something to read, and not before: most clients wait for
 * their replies, and stopping and starting again costs two calls of the kernel each time. */
void conn_reading(struct conn *c)
{
    bool want = !c->paused && !c->broken && (c->state == CONN_OPEN || c->state == CONN_HANDSHAKE);
    want = (want && (!c->held || c->reading)) || c->state == CONN_LINGERING;
    if (want == c->reading || uv_is_closing(&c->u.handle))
        return;
    c->reading = want;
    if (want)
        uv_read_start(&c->u.stream, on_alloc, on_read);
    else
        uv_read_stop(&c->u.stream);
}

/* Reads, or not, as it may now; what TLS has read ahead comes as an event of its own. */
static void go_on(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    conn_reading(c);
    if (!c->paused && !c->held && c->tls != NULL && tls_has_input(c->tls)) {
        struct later *a = loop_later(c->loop, LATER_RESUME);
        if (a != NULL)
            a->conn = c->id;
    }
}

void conn_pause(struct conn *c, bool paused)
{
    if (c->paused == paused)
        return;
    c->paused = paused;
    go_on(c);
}

void conn_hold(struct conn *c, bool held)
{
    if (c->held == held)
        return;
    c->held = held;
    go_on(c);
    if (!held)
        conn_set_add(c->loop, SET_DIRTY, c);
}

void conn_connected(struct conn *c)
{
    if (!c->local) {
        uv_tcp_nodelay(&c->u.tcp, 1);
        uv_tcp_keepalive(&c->u.tcp, 1, 60);
    }
    if (c->tls == NULL && c->sniff == 0) {
        conn_opened(c);
        return;
    }
    c->state = CONN_HANDSHAKE;
    conn_reading(c);
    if (c->sniff != 0)
        return; /* the first byte decides */
    conn_tls_input(c, bytes_of(NULL, 0));
}

void conn_opened(struct conn *c)
{
    c->state = CONN_OPEN;
    conn_deadline(c, 0);
    struct event ev = {.kind = EV_OPEN,
                       .conn = c->id,
                       .listener = c->listener,
                       .tag = c->tag,
                       .owner = c->owner,
                       .status = c->scarce};
    loop_step(c->loop, &ev);
    if (c->state != CONN_OPEN)
        return;
    conn_reading(c);
    conn_set_remove(c->loop, SET_DIRTY, c);
    conn_flush(c);
}
