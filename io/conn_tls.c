/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* The glue between a connection and its TLS filter. */
#include "io/conn.h"

#include "io/tls.h"

/* False when there is nothing more to do with the input for now. */
static bool handshake(struct conn *c)
{
    enum tls_result r = tls_handshake(c->tls);
    if (r == TLS_BAD) {
        conn_lost(c, ERR_TLS, c->tls->detail);
        return false;
    }
    conn_flush(c);
    if (r == TLS_MORE || c->broken)
        return false;
    conn_opened(c);
    return true;
}

static bool decrypt(struct conn *c)
{
    uint8_t *plain = c->loop->plain_buf;
    ssize_t n = tls_read(c->tls, plain, LOOP_READ_BYTES);
    if (n > 0)
        conn_deliver(c, bytes_of(plain, (size_t)n));
    else if (n == -1)
        conn_lost(c, ERR_CLOSED, NULL);
    else if (n < -1)
        conn_lost(c, ERR_TLS, c->tls->detail);
    return n > 0;
}

void conn_tls_input(struct conn *c, struct bytes cipher)
{
    /* The filter writes here without asking: handshakes, key updates, alerts. */
    c->tls->sink = &c->out;
    tls_lend(c->tls, cipher);
    bool more = true;
    while (more && (c->state == CONN_HANDSHAKE ||
                    (c->state == CONN_OPEN && !c->paused && !c->held && !c->broken)))
        more = c->state == CONN_HANDSHAKE ? handshake(c) : decrypt(c);
    /* A connection that moved away has taken its filter with it. */
    if (c->tls == NULL)
        return;
    tls_keep(c->tls);
    if (c->state == CONN_OPEN && buf_len(&c->out) > 0)
        conn_flush(c);
}
