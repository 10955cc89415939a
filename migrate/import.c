/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/import.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define CHUNK_BYTES (1u << 20)
#define EVERY_US UINT64_C(1000000)

struct migrate_import {
    struct migrate_import_opts opts;
    enum import_phase phase;
    struct migrate_sink *sink;
    struct migrate_load *load;
    struct migrate_load_stats checked;
    uint64_t offset;   /* of the next chunk */
    bool dry;          /* CHECKING, or failed there */
    bool reading;      /* a request is under way */
    bool wants, ended; /* the load wants bytes; has had all */
    uint64_t tell_us;
    char why[700];
};

struct migrate_import *migrate_import_new(const struct migrate_import_opts *o)
{
    struct migrate_import *i = mem_zalloc(sizeof *i);
    i->opts = *o;
    if (i->opts.every_us == 0)
        i->opts.every_us = EVERY_US;
    i->sink = migrate_sink_new(&o->sink);
    return i;
}

void migrate_import_free(struct migrate_import *i, struct port *port)
{
    if (i == NULL)
        return;
    migrate_sink_free(i->sink, port);
    migrate_load_free(i->load);
    mem_free(i);
}

enum import_phase migrate_import_phase(const struct migrate_import *i) { return i->phase; }
bool migrate_import_is_checking(const struct migrate_import *i) { return i->dry; }
const char *migrate_import_why(const struct migrate_import *i) { return i->why; }
const struct migrate_sink *migrate_import_sink(const struct migrate_import *i) { return i->sink; }

uint64_t migrate_import_offset(const struct migrate_import *i)
{
    return i->load == NULL ? 0 : migrate_load_offset(i->load);
}

const struct migrate_load_stats *migrate_import_stats(const struct migrate_import *i)
{
    return migrate_load_stats(i->load);
}

const struct migrate_load_stats *migrate_import_checked(const struct migrate_import *i)
{
    return &i->checked;
}

/* ------------------------------------------------------------ ends */

static void end(struct migrate_import *i, struct port *port, struct moment now,
                enum import_phase phase)
{
    i->phase = phase;
    if (i->opts.progress != NULL)
        i->opts.progress(i->opts.arg, i, now);
    port->ops->stop(port);
}

static void fail(struct migrate_import *i, struct port *port, struct moment now, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));

static void fail(struct migrate_import *i, struct port *port, struct moment now, const char *fmt,
                 ...)
{
    va_list ap;
    if (i->phase >= IMPORT_DONE)
        return;
    va_start(ap, fmt);
    vsnprintf(i->why, sizeof i->why, fmt, ap);
    va_end(ap);
    end(i, port, now, IMPORT_FAILED);
}

/* ------------------------------------------------------------ phases */

static void begin(struct migrate_import *i, enum import_phase phase)
{
    struct migrate_load_opts o = i->opts.load;
    o.dry = i->dry = phase == IMPORT_CHECKING;
    migrate_load_free(i->load);
    i->load = migrate_load_new(&o);
    i->phase = phase;
    i->offset = 0;
    i->wants = true;
    i->ended = false;
}

static void want_chunk(struct migrate_import *i, struct port *port)
{
    if (!i->wants || i->reading || i->phase >= IMPORT_DONE)
        return;
    struct file_req *r = file_req_new(FILE_READ_AT, i->opts.path);
    r->offset = i->offset;
    r->size_max = CHUNK_BYTES;
    r->owner = i;
    i->reading = true;
    port->ops->file(port, r);
}

static void at_end(struct migrate_import *i, struct port *port, struct moment now)
{
    if (i->phase == IMPORT_WRITING) {
        i->ended = true;
    } else if (migrate_load_rest(i->load).n > 0) {
        fail(i, port, now,
             "%s: there is more behind the snapshot's end at byte %llu: an append-only file? "
             "Let the server write a snapshot (BGSAVE) and import that",
             i->opts.path, (unsigned long long)migrate_load_offset(i->load));
    } else {
        i->checked = *migrate_load_stats(i->load);
        begin(i, IMPORT_WRITING);
    }
}

/* Goes on with the bytes that are there. */
static void run(struct migrate_import *i, struct port *port, struct moment now)
{
    if (i->phase >= IMPORT_DONE || i->ended)
        return;
    i->wants = false;
    switch (migrate_load_run(i->load, i->sink, port, now)) {
    case LOAD_MORE:
        i->wants = true;
        break;
    case LOAD_FULL:
        break;
    case LOAD_END:
        at_end(i, port, now);
        break;
    case LOAD_BAD:
        fail(i, port, now, "%s: %s", i->opts.path, migrate_load_why(i->load));
        break;
    }
}

static void got_chunk(struct migrate_import *i, struct port *port, const struct event *ev)
{
    struct file_req *r = ev->file;
    struct bytes data = buf_bytes(&r->data);
    i->reading = false;
    if (i->phase < IMPORT_DONE && r->err != ERR_OK) {
        fail(i, port, ev->now, "%s: %s", i->opts.path, err_text(r->err));
    } else if (i->phase < IMPORT_DONE && data.n == 0) {
        fail(i, port, ev->now, "%s: %s", i->opts.path, migrate_load_cut(i->load));
    } else if (i->phase < IMPORT_DONE) {
        i->offset += data.n;
        migrate_load_push(i->load, data);
        run(i, port, ev->now);
    }
    file_req_free(r);
}

static void turn(struct migrate_import *i, struct port *port, struct moment now)
{
    migrate_sink_tick(i->sink, port, now);
    const char *fatal = migrate_sink_fatal(i->sink);
    if (fatal != NULL)
        fail(i, port, now, "%s", fatal);
    if (i->phase == IMPORT_WRITING && !i->wants && migrate_sink_has_room(i->sink))
        run(i, port, now);
    want_chunk(i, port);
    if (i->phase == IMPORT_WRITING && i->ended && migrate_sink_is_idle(i->sink))
        end(i, port, now, IMPORT_DONE);
    if (i->phase < IMPORT_DONE && now.mono_us >= i->tell_us) {
        i->tell_us = now.mono_us + i->opts.every_us;
        if (i->opts.progress != NULL)
            i->opts.progress(i->opts.arg, i, now);
    }
}

/* ------------------------------------------------------------ the machine */

static void step(void *self, struct port *port, const struct event *ev)
{
    struct migrate_import *i = self;
    if (ev->owner != NULL) {
        ev->owner->step(ev->owner, port, ev);
        return;
    }
    switch (ev->kind) {
    case EV_START:
        begin(i, i->opts.no_check ? IMPORT_WRITING : IMPORT_CHECKING);
        migrate_sink_start(i->sink, port, ev->now);
        i->tell_us = ev->now.mono_us + i->opts.every_us;
        break;
    case EV_FILE:
        got_chunk(i, port, ev);
        break;
    case EV_SIGNAL:
        fail(i, port, ev->now,
             "stopped by a signal: what was written stays, and importing again does no harm");
        break;
    case EV_TURN:
    case EV_TIMER:
        turn(i, port, ev->now);
        break;
    default:
        break;
    }
}

static uint64_t deadline(void *self)
{
    const struct migrate_import *i = self;
    uint64_t at = migrate_sink_deadline(i->sink);
    return at < i->tell_us ? at : i->tell_us;
}

struct machine migrate_import_machine(struct migrate_import *i)
{
    return (struct machine){.self = i, .step = step, .deadline = deadline};
}
