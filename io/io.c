/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/io.h"

#include "base/mem.h"
#include "io/listener.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/neighbours.h"
#include "io/signals.h"
#include "io/warm.h"

#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

struct io {
    uint32_t count;
    struct loop **loops;
    struct listen_claims *claims;
    struct warm *warm;
    bool signals, ignore_hup;
};

void io_process_init(void)
{
    signal(SIGPIPE, SIG_IGN);
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static struct loop *make_loop(struct io *io, const struct io_opts *o, uint32_t i)
{
    struct loop *l = mem_zalloc(sizeof *l);
    l->port.self = i;
    l->port.neighbours = o->count;
    l->neighbours = io->loops;
    l->claims = io->claims;
    l->warm = io->warm;
    l->log = o->log;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < INT_MAX)
        l->files_max = (int)files.rlim_cur;
    if (o->name != NULL) {
        if (o->count > 1)
            snprintf(l->who_text, sizeof l->who_text, "%s/%u", o->name, i);
        else
            snprintf(l->who_text, sizeof l->who_text, "%s", o->name);
        l->who = l->who_text;
    }
    loop_init(l);
    return l;
}

struct io *io_new(const struct io_opts *o)
{
    assert(o->count >= 1 && o->count <= IO_MACHINES_MAX);
    struct io *io = mem_zalloc(sizeof *io);
    io->count = o->count;
    io->signals = o->signals;
    io->ignore_hup = o->ignore_hup;
    io->claims = listen_claims_new();
    io->warm = o->warm ? warm_start() : NULL;
    io->loops = mem_zalloc(o->count * sizeof(struct loop *));
    for (uint32_t i = 0; i < o->count; i++)
        io->loops[i] = make_loop(io, o, i);
    return io;
}

struct port *io_port(struct io *io, uint32_t i) { return &io->loops[i]->port; }

static void thread_main(void *arg) { loop_run(arg); }

void io_run(struct io *io, const struct machine *machines)
{
    uv_thread_t threads[IO_MACHINES_MAX];
    for (uint32_t i = 0; i < io->count; i++)
        io->loops[i]->machine = machines[i];
    /* Before the threads: signals are taken over from the first moment. */
    struct signals *s = io->signals ? signals_start(io->loops[0], io->ignore_hup) : NULL;
    for (uint32_t i = 1; i < io->count; i++)
        if (uv_thread_create(&threads[i], thread_main, io->loops[i]) != 0) {
            log_line(io->loops[i]->log, 'E', io->loops[i]->who,
                     "cannot start a thread: raise the limit of processes");
            log_flush(io->loops[i]->log);
            abort();
        }
    loop_run(io->loops[0]);
    for (uint32_t i = 1; i < io->count; i++) {
        atomic_store(&io->loops[i]->halt, true);
        neighbours_wake(io->loops[i]);
    }
    for (uint32_t i = 1; i < io->count; i++)
        uv_thread_join(&threads[i]);
    if (s != NULL)
        signals_stop(s);
}

void io_free(struct io *io)
{
    if (io == NULL)
        return;
    for (uint32_t i = 0; i < io->count; i++)
        loop_deinit(io->loops[i]);
    for (uint32_t i = 0; i < io->count; i++)
        mem_free(io->loops[i]);
    mem_free(io->loops);
    listen_claims_free(io->claims);
    warm_stop(io->warm);
    mem_free(io);
}
