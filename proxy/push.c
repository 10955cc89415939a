/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/push.h"

#define AFTER_KEPT_MAX 4096u

struct buf *push_begin(struct session *s, struct port *port)
{
    if (s->dead || s->closing)
        return NULL;
    if (s == s->front->running)
        return &s->front->after;
    /* Only a blocking command waits, perhaps for ever: pushes need not. */
    if (s->blocked != NULL && s->head == s->tail && s->head != NULL && s->head->missing > 0)
        return port->ops->out(port, s->conn);
    return session_out(s, port);
}

size_t session_unsent(const struct session *s, struct port *port)
{
    size_t n = port->ops->pending(port, s->conn) + s->owed;
    if (s->tail != NULL)
        n += buf_len(&s->tail->out);
    if (s == s->front->running)
        n += buf_len(&s->front->after);
    return n;
}

uint64_t session_unsent_max(const struct session *s)
{
    const struct front_settings *set = &s->front->settings;
    return !session_subscribed(s) ? set->out_max : set->push_max > 0 ? set->push_max : UINT64_MAX;
}

/* The running session is left to settle(): its command has not ended. */
static void cut_off(struct session *s, struct port *port)
{
    struct front *f = s->front;
    if (s == f->running)
        return;
    f->cut_output++;
    port_log(port, 'W', "client %llu does not read what is sent to it: closed at the output limit",
             (unsigned long long)s->id);
    s->closing = s->dead = true;
    f->dead++;
    port->ops->close(port, s->conn, false);
}

static void set_late(struct session *s, bool late)
{
    if ((s->late_us != 0) == late)
        return;
    s->front->late += late ? 1u : UINT32_MAX;
    s->late_us = late ? s->front->tick_us + 1 : 0;
}

void push_end(struct session *s, struct port *port)
{
    const struct front_settings *set = &s->front->settings;
    size_t n = session_unsent(s, port);
    if (n > session_unsent_max(s)) {
        cut_off(s, port);
        return;
    }
    set_late(s, session_subscribed(s) && set->push_soft > 0 && n > set->push_soft);
}

void push_text(struct session *s, struct port *port, struct bytes text)
{
    struct buf *out = push_begin(s, port);
    if (out == NULL)
        return;
    size_t at = buf_len(out);
    buf_put_bytes(out, text);
    if (s->resp > 2)
        out->p[out->head + at] = '>';
    push_end(s, port);
}

void push_after(struct session *s, struct port *port)
{
    struct buf *after = &s->front->after;
    buf_put_bytes(session_out(s, port), buf_bytes(after));
    buf_reuse(after, AFTER_KEPT_MAX);
}

void push_tick(struct front *f, struct port *port, struct moment now)
{
    f->tick_us = now.mono_us;
    for (struct session *s = f->first; s != NULL && f->late > 0; s = s->next) {
        if (s->late_us == 0 || s->dead)
            continue;
        push_end(s, port);
        if (s->late_us != 0 &&
            now.mono_us - s->late_us > (uint64_t)f->settings.push_soft_s * 1000000u)
            cut_off(s, port);
    }
}
