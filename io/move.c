/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* Handing a connection over to a neighbour: its socket, its TLS state with what it has not
 * decrypted, unsent bytes. */
#include "io/conn.h"

#include "base/mem.h"
#include "io/neighbours.h"
#include "io/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct move {
    struct msg msg; /* first */
    int fd;
    bool local, accepted;
    uint32_t tag;
    struct tls *tls;  /* owned */
    struct msg *load; /* owned: the machine's message */
};

/* Also how a travelling connection is told from the machines' messages. */
static void move_drop(struct msg *m)
{
    struct move *mv = (struct move *)m;
    if (mv->fd >= 0)
        close(mv->fd);
    tls_free(mv->tls);
    msg_free(mv->load);
    mem_free(mv);
}

bool move_is(const struct msg *m) { return m->drop == move_drop; }

void move_start(struct conn *c, uint32_t neighbour, struct msg *taken)
{
    if (c->state != CONN_OPEN || c->broken || neighbour >= c->loop->port.neighbours) {
        /* Cannot be moved any more: it ends here, as if the peer had hung up in between. */
        msg_free(taken);
        conn_shut(c);
        return;
    }
    c->state = CONN_MOVING;
    conn_reading(c);
    conn_forget(c);
    c->move_to = neighbour;
    c->move_msg = taken;
    conn_deadline(c, CONN_CLOSE_US);
    conn_flush(c);
}

void move_go(struct conn *c)
{
    struct loop *l = c->loop;
    uv_os_fd_t fd;
    int copy = uv_fileno(&c->u.handle, &fd) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (copy < 0) {
        loop_log(l, 'W', "a connection could not change its worker: %s", strerror(errno));
        conn_shut(c);
        return;
    }
    struct move *mv = mem_zalloc(sizeof *mv);
    mv->msg.drop = move_drop;
    mv->fd = copy;
    mv->local = c->local;
    mv->accepted = c->accepted;
    mv->tag = c->tag;
    mv->load = c->move_msg;
    mv->tls = c->tls;
    if (mv->tls != NULL)
        tls_keep(mv->tls);
    c->move_msg = NULL;
    c->tls = NULL;
    uint32_t to = c->move_to;
    conn_shut(c);
    neighbours_post(l, to, &mv->msg);
}

void move_arrived(struct loop *l, struct msg *m)
{
    struct move *mv = (struct move *)m;
    struct conn *c = conn_new(l, mv->local);
    int rc = conn_adopt(c, mv->fd);
    mv->fd = -1;
    if (rc != 0) {
        loop_log(l, 'W', "a connection from another worker was lost: %s", uv_strerror(rc));
        conn_shut(c);
        msg_free(m);
        return;
    }
    c->state = CONN_OPEN;
    c->accepted = mv->accepted;
    c->tag = mv->tag;
    c->tls = mv->tls;
    if (c->tls != NULL)
        c->tls->sink = &c->out;
    struct event ev = {.kind = EV_MOVED, .conn = c->id, .tag = c->tag, .msg = mv->load};
    if (ev.msg != NULL)
        ev.msg->from = m->from;
    mv->tls = NULL;
    mv->load = NULL;
    msg_free(m);
    loop_step(l, &ev);
    if (c->state != CONN_OPEN)
        return;
    conn_reading(c);
    if (!c->paused && c->tls != NULL && tls_has_input(c->tls))
        conn_tls_input(c, bytes_of(NULL, 0));
}
