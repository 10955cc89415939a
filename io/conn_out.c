/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* The output side of a connection: buffers, flushing, what the socket does not take at once. */
#include "io/conn.h"

#include "base/mem.h"
#include "io/tls.h"

#include <limits.h>
#include <sys/socket.h>

/* What the socket did not take: the buffer belongs to the request until it is through. */
struct sending {
    uv_write_t req;
    struct conn *conn;
    struct buf data;
    size_t slice;
};

/* Buffers go back to the loop when they are empty: idle connections hold none, and busy ones share
 * hot memory. */
static void spare_take(struct loop *l, struct buf *b)
{
    if (b->p != NULL)
        return;
    if (l->spares_n > 0)
        *b = l->spares[--l->spares_n];
    else
        buf_grow(b, LOOP_SPARE_BYTES);
}

static void spare_give(struct loop *l, struct buf *b)
{
    if (b->p == NULL || buf_len(b) > 0)
        return;
    if (b->cap > LOOP_SPARE_BYTES_MAX || l->spares_n == LOOP_SPARES) {
        buf_deinit(b);
        return;
    }
    buf_clear(b);
    l->spares[l->spares_n++] = *b;
    *b = (struct buf){0};
}

struct buf *conn_out(struct conn *c)
{
    struct buf *b = c->tls != NULL ? &c->tls->plain : &c->out;
    spare_take(c->loop, b);
    conn_set_add(c->loop, SET_DIRTY, c);
    return b;
}

size_t conn_pending(const struct conn *c)
{
    size_t n = buf_len(&c->out);
    if (c->tls != NULL)
        n += buf_len(&c->tls->plain);
    if (c->sending != NULL)
        n += buf_len(&c->sending->data) - c->sending->slice +
             uv_stream_get_write_queue_size(&c->u.stream);
    return n;
}

static void on_sent(uv_write_t *req, int status);

static void sending_free(struct sending *s)
{
    buf_deinit(&s->data);
    mem_free(s);
}

/* Hands the next slice to libuv. */
static void send_slice(struct sending *s)
{
    size_t n = buf_len(&s->data);
    s->slice = n < CONN_SLICE_BYTES ? n : CONN_SLICE_BYTES;
    uv_buf_t b = {.base = (char *)s->data.p + s->data.head, .len = s->slice};
    int rc = uv_write(&s->req, &s->conn->u.stream, &b, 1, on_sent);
    if (rc < 0) {
        s->conn->sending = NULL;
        conn_break(s->conn, rc);
        sending_free(s);
    }
}

/* Nothing waits to be sent any more: goes on with what was put off until then. */
static void all_sent(struct conn *c)
{
    if (c->state == CONN_MOVING) {
        move_go(c);
    } else if (c->state == CONN_FLUSHING) {
        uv_os_fd_t fd;
        if (c->ended || c->loop->dead || uv_fileno(&c->u.handle, &fd) != 0 ||
            shutdown(fd, SHUT_WR) != 0) {
            conn_shut(c);
            return;
        }
        c->state = CONN_LINGERING;
        conn_reading(c);
    }
}

static void on_sent(uv_write_t *req, int status)
{
    struct sending *s = req->data;
    struct conn *c = s->conn;
    if (status == 0) {
        buf_consume(&s->data, s->slice);
        s->slice = 0;
    }
    if (status == 0 && buf_len(&s->data) > 0 && c->state != CONN_GONE) {
        send_slice(s);
    } else {
        c->sending = NULL;
        sending_free(s);
        if (c->state == CONN_GONE)
            return;
        if (status != 0) {
            conn_break(c, status);
            return;
        }
        conn_flush(c);
    }
    if (c->high && c->state == CONN_OPEN && conn_pending(c) < PORT_LOW) {
        c->high = false;
        struct event ev = {.kind = EV_DRAINED,
                           .conn = c->id,
                           .listener = c->listener,
                           .tag = c->tag,
                           .owner = c->owner};
        loop_step(c->loop, &ev);
    }
}

static void send_rest(struct conn *c)
{
    struct sending *s = mem_zalloc(sizeof *s);
    s->req.data = s;
    s->conn = c;
    s->data = c->out;
    c->out = (struct buf){0};
    c->sending = s;
    send_slice(s);
}

static void send_out(struct conn *c)
{
    size_t n = buf_len(&c->out);
    if (c->owner != NULL && c->owner->sent != NULL)
        *c->owner->sent += n;
    uv_buf_t b = {.base = (char *)c->out.p + c->out.head, .len = n < INT_MAX ? n : INT_MAX};
    int sent = uv_try_write(&c->u.stream, &b, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0) {
        buf_clear(&c->out);
        conn_break(c, sent);
        return;
    }
    buf_consume(&c->out, (size_t)sent);
    if (buf_len(&c->out) > 0)
        send_rest(c);
}

void conn_flush(struct conn *c)
{
    if (c->state < CONN_HANDSHAKE || c->state > CONN_MOVING || c->broken || c->held)
        return;
    if (c->tls != NULL && c->tls->ready && buf_len(&c->tls->plain) > 0) {
        spare_take(c->loop, &c->out);
        if (!tls_write(c->tls)) {
            conn_break(c, UV_EPROTO);
            return;
        }
    }
    if (c->tls != NULL)
        spare_give(c->loop, &c->tls->plain);
    if (c->sending == NULL && buf_len(&c->out) > 0)
        send_out(c);
    spare_give(c->loop, &c->out);
    if (!c->high && c->state == CONN_OPEN && conn_pending(c) > PORT_HIGH)
        c->high = true;
    if (c->sending == NULL && buf_len(&c->out) == 0 && !c->broken)
        all_sent(c);
}

void conns_flush(struct loop *l)
{
    struct conn_set *s = &l->sets[SET_DIRTY];
    while (s->n > 0) {
        struct conn *c = s->at[s->n - 1];
        conn_set_remove(l, SET_DIRTY, c);
        conn_flush(c);
    }
}
