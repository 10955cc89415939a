/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/signals.h"

#include "base/mem.h"
#include "io/log.h"

#include <signal.h>
#include <unistd.h>

enum { TERM, INT, HUP, SIGNALS };

struct signals {
    struct loop *loop;
    bool asked, ignore_hup;
    uv_signal_t handle[SIGNALS];
    unsigned open;
};

static void on_signal(uv_signal_t *h, int number)
{
    struct signals *s = h->data;
    if (number == SIGHUP) {
        log_reopen(s->loop->log);
        if (s->ignore_hup)
            return;
    } else if (s->asked) {
        log_line(s->loop->log, 'W', s->loop->who, "second signal: exiting at once");
        log_flush(s->loop->log);
        _exit(128 + number);
    }
    s->asked = s->asked || number != SIGHUP;
    struct event ev = {.kind = EV_SIGNAL, .status = number};
    loop_step(s->loop, &ev);
}

struct signals *signals_start(struct loop *l, bool ignore_hup)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    struct signals *s = mem_zalloc(sizeof *s);
    s->loop = l;
    s->ignore_hup = ignore_hup;
    for (unsigned i = 0; i < SIGNALS; i++) {
        uv_signal_init(&l->uv, &s->handle[i]);
        s->handle[i].data = s;
        uv_signal_start(&s->handle[i], on_signal, numbers[i]);
        s->open++;
    }
    return s;
}

static void on_closed(uv_handle_t *h)
{
    struct signals *s = h->data;
    if (--s->open == 0)
        mem_free(s);
}

void signals_stop(struct signals *s)
{
    for (unsigned i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&s->handle[i], on_closed);
}
