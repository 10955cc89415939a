/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_IO_H
#define MERIDIAN_IO_IO_H

#include "base/port.h"

/*
 * The world behind base/port.h, carried by libuv: one loop and one thread for each machine; the
 * machines of one struct io are each other's neighbours. Machine 0 runs in the calling thread and
 * gets the process's signals.
 *
 * A process has one struct io. Not in here: what the machines do.
 */
struct io;
struct log;

struct io_opts {
    uint32_t count;   /* machines, 1..IO_MACHINES_MAX */
    struct log *log;  /* kept until io_free */
    const char *name; /* stands before each log line, with the machine's index if there are several;
                         NULL: nothing */
    bool signals; /* SIGTERM, SIGINT and SIGHUP become EV_SIGNAL of machine 0; a second SIGTERM or
                     SIGINT exits */
    bool ignore_hup; /* SIGHUP only reopens the log */
    bool warm; /* memory is touched before machines need it (io/warm.h): for those that grow */
};

#define IO_MACHINES_MAX 256u

struct io *io_new(const struct io_opts *o);
/* The port of machine i: for making machines before io_run and freeing them after it (every call
 * but tls_free is then without effect). */
struct port *io_port(struct io *io, uint32_t i);
/* Runs machines[0..count), each until it calls stop; when machine 0 has stopped the others are
 * stopped as well. Returns when all threads have ended. All connections are closed then, what was
 * written is flushed (for 1 s at most). */
void io_run(struct io *io, const struct machine *machines);
void io_free(struct io *io);

/* At the start of the process: SIGPIPE ignored, as many open files as the hard limit allows. */
void io_process_init(void);

#endif
