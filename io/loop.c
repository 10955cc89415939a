/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/loop.h"

#include "base/mem.h"
#include "io/child.h"
#include "io/conn.h"
#include "io/listener.h"
#include "io/log.h"
#include "io/neighbours.h"
#include "io/ops.h"
#include "io/tls.h"
#include "io/warm.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define END_WAIT_MS 1000u

/* ---- time ---- */

struct moment loop_now(struct loop *l)
{
    if (!l->now_fresh) {
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        l->now = (struct moment){.wall_ms = wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
                                 .mono_us = uv_hrtime() / 1000};
        l->now_fresh = true;
    }
    return l->now;
}

static void on_timer(uv_timer_t *t);

/* The timer is only ever moved forward: one that goes off too early is set again. */
static void arm(struct loop *l)
{
    uint64_t at = l->machine.deadline(l->machine.self);
    if (at >= l->armed_us)
        return;
    uint64_t now = loop_now(l).mono_us;
    l->armed_us = at;
    uv_timer_start(&l->timer, on_timer, at > now ? (at - now + 999) / 1000 : 0, 0);
}

static void on_timer(uv_timer_t *t)
{
    struct loop *l = t->data;
    l->armed_us = UINT64_MAX;
    if (l->dead)
        return;
    if (l->machine.deadline(l->machine.self) > loop_now(l).mono_us) {
        arm(l);
        return;
    }
    struct event ev = {.kind = EV_TIMER};
    loop_step(l, &ev);
}

/* ---- steps and turns ---- */

void loop_step(struct loop *l, struct event *ev)
{
    if (l->dead)
        return;
    ev->now = loop_now(l);
    l->delivered = true;
    l->machine.step(l->machine.self, &l->port, ev);
}

static void turn(struct loop *l)
{
    if (l->delivered) {
        struct event ev = {.kind = EV_TURN};
        loop_step(l, &ev);
        l->delivered = false;
        conns_flush(l);
        neighbours_flush(l);
        arm(l);
    }
    l->now_fresh = false;
    if (l->stopping || atomic_load_explicit(&l->halt, memory_order_relaxed))
        uv_stop(&l->uv);
}

/* Its running is all it is for: see struct loop. */
static void on_idle(uv_idle_t *i) { (void)i; }

struct later *loop_later(struct loop *l, enum later_kind kind)
{
    if (l->dead)
        return NULL;
    if (l->later_n == l->later_cap) {
        l->later_cap = l->later_cap ? l->later_cap * 2 : 16;
        l->later = mem_realloc(l->later, l->later_cap * sizeof *l->later);
    }
    uv_idle_start(&l->idle, on_idle);
    struct later *a = &l->later[l->later_n++];
    *a = (struct later){.kind = kind};
    return a;
}

static void later_answer(struct loop *l, const struct later *a)
{
    if (a->kind == LATER_LISTEN) {
        struct event ev = {.kind = EV_LISTEN,
                           .listener = a->listener,
                           .tag = a->tag,
                           .err = a->err,
                           .status = a->status,
                           .detail = a->detail[0] ? a->detail : NULL};
        loop_step(l, &ev);
        return;
    }
    struct conn *c = conn_get(l, a->conn);
    if (c == NULL)
        return;
    if (a->kind == LATER_LOST)
        conn_lost(c, a->err, a->detail[0] ? a->detail : NULL);
    else if (c->state == CONN_OPEN && !c->paused && !c->held)
        conn_tls_input(c, bytes_of(NULL, 0));
}

static void later_deliver(struct loop *l)
{
    struct later *list = l->later;
    uint32_t n = l->later_n;
    if (n == 0)
        return;
    l->later = NULL;
    l->later_n = l->later_cap = 0;
    for (uint32_t i = 0; i < n; i++)
        later_answer(l, &list[i]);
    mem_free(list);
}

static void on_prepare(uv_prepare_t *p)
{
    struct loop *l = p->data;
    later_deliver(l);
    turn(l);
    if (!neighbours_sleep(l))
        uv_idle_start(&l->idle, on_idle);
    else if (l->later_n == 0)
        uv_idle_stop(&l->idle);
}

static void on_check(uv_check_t *c)
{
    struct loop *l = c->data;
    neighbours_awake(l);
    neighbours_drain(l);
    turn(l);
}

/* Waking is enough: messages are taken after every poll. */
static void on_wake(uv_poll_t *w, int status, int events)
{
    struct loop *l = w->data;
    (void)status;
    (void)events;
    neighbours_woken(l);
}

void loop_log(struct loop *l, char level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    log_line(l->log, level, l->who, line);
}

struct tls_context *loop_tls(const struct loop *l, uint32_t id)
{
    uint32_t i = id % LOOP_TLS_MAX;
    return id != 0 && i < l->tls_n && l->tls[i].generation == id / LOOP_TLS_MAX ? l->tls[i].ctx
                                                                                : NULL;
}

/* ---- life ---- */

void loop_init(struct loop *l)
{
    l->port.ops = &io_ops;
    l->armed_us = UINT64_MAX;
    l->read_buf = mem_alloc(LOOP_READ_BYTES);
    l->plain_buf = mem_alloc(LOOP_READ_BYTES);
    l->outboxes = mem_zalloc(l->port.neighbours * sizeof *l->outboxes);
    uv_loop_init(&l->uv);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_idle_init(&l->uv, &l->idle);
    uv_timer_init(&l->uv, &l->timer);
    uv_timer_init(&l->uv, &l->sweep);
    neighbours_wake_init(l);
    uv_poll_init(&l->uv, &l->wake, l->wake_fd);
    l->wake.data = l;
    uv_poll_start(&l->wake, UV_READABLE, on_wake);
    l->prepare.data = l->check.data = l->timer.data = l->sweep.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
}

/* Runs what is under way until `done` or the time is over. */
static void run_until(struct loop *l, bool (*done)(struct loop *l))
{
    for (uint64_t end = uv_hrtime() / 1000000 + END_WAIT_MS;
         !done(l) && uv_hrtime() / 1000000 < end;) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        if (!done(l))
            usleep(500);
    }
}

static bool no_conns(struct loop *l) { return l->sets[SET_ALL].n == 0; }

static bool no_handles(struct loop *l) { return !uv_loop_alive(&l->uv); }

static void loop_end(struct loop *l)
{
    l->dead = true;
    neighbours_awake(l);
    uv_prepare_stop(&l->prepare);
    uv_check_stop(&l->check);
    for (uint32_t i = 1; i <= l->listeners_n; i++)
        listener_close(l, i);
    struct conn_set *all = &l->sets[SET_ALL];
    for (uint32_t i = all->n; i-- > 0;)
        conn_close(all->at[i], true);
    run_until(l, no_conns);
    for (uint32_t i = all->n; i-- > 0;)
        conn_shut(all->at[i]);
    run_until(l, no_conns);
}

void loop_run(struct loop *l)
{
    warm_here(l->warm);
    struct event ev = {.kind = EV_START};
    loop_step(l, &ev);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    loop_end(l);
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (uv_is_closing(h))
        return;
    if (h->type == UV_PROCESS)
        child_forget((uv_process_t *)h);
    else
        uv_close(h, NULL);
}

void loop_deinit(struct loop *l)
{
    neighbours_drop(l);
    uv_walk(&l->uv, close_handle, NULL);
    run_until(l, no_handles);
    if (uv_loop_close(&l->uv) != 0)
        loop_log(l, 'D', "a host name is still being looked up; not waiting for it");
    close(l->wake_fd);
    for (unsigned i = 0; i < l->spares_n; i++)
        buf_deinit(&l->spares[i]);
    for (unsigned i = 0; i < SET_COUNT; i++)
        mem_free(l->sets[i].at);
    for (uint32_t i = 0; i < l->tls_n; i++)
        tls_context_free(l->tls[i].ctx);
    mem_free(l->tls);
    mem_free(l->listeners);
    mem_free(l->later);
    mem_free(l->slots);
    mem_free(l->outboxes);
    mem_free(l->read_buf);
    mem_free(l->plain_buf);
}
