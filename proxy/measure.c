/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/measure.h"

#include "base/mem.h"
#include "base/num.h"
#include "proxy/session.h"

#include <stdio.h>

#define ALONE_US 1000 /* a slow log that asks for less wants every command measured by itself */

uint64_t measure_shared(struct front *f, const struct request *batch, unsigned n, uint64_t since_us)
{
    if (n == 0)
        return since_us;
    uint64_t now_us = measure_now(f), ns = (now_us - since_us) * 1000 / n;
    for (unsigned i = 0, run; i < n; i += run) { /* a pipeline often repeats one command */
        for (run = 1; i + run < n && batch[i + run].use == batch[i].use; run++)
            continue;
        stats_took(&f->stats, batch[i].use, ns * run, run);
    }
    return now_us;
}

/* ------------------------------------------------------------ the slow log */

/* A call on its way to the worker of the client that made it. */
struct slow_note {
    uint64_t session, took_us;
    int64_t time_s;
};

static void log_slow(struct front *f, const struct slow_note *note, uint32_t argc,
                     const struct bytes *argv)
{
    char client[64] = "";
    const struct session *s = f->first;
    while (s != NULL && s->id != note->session)
        s = s->next;
    if (s != NULL)
        f->port->ops->peer_name(f->port, s->conn, client, sizeof client);
    uint32_t workers = courier_workers(f->courier);
    const struct slow_call call = {
        .number = f->slowlog.given++ * workers + courier_self(f->courier),
        .time_s = note->time_s,
        .took_us = note->took_us,
        .argc = argc,
        .argv = argv,
        .client = bytes_str(client),
        .name = bytes_str(s != NULL && s->name != NULL ? s->name : ""),
    };
    slowlog_add(&f->slowlog, &call, (uint64_t)f->kept.number[CONFIG_SLOWLOG_MAX_LEN]);
}

/* Arguments that hold a password are not written down, as in Redis. From which on; 0: none. */
static uint32_t secret_from(const struct measured *m)
{
    const char *name = m->command->name;
    if (strcmp(name, "auth") == 0 || strcmp(name, "acl|setuser") == 0)
        return strcmp(name, "auth") == 0 ? 1 : 3;
    if (strcmp(name, "hello") == 0 || strcmp(name, "config|set") == 0)
        for (uint32_t i = 2; i < m->argc; i++)
            if (bytes_is_nocase(m->argv[i], "auth") || bytes_is_nocase(m->argv[i], "requirepass"))
                return i + 1;
    return 0;
}

/* Only the arguments that the log keeps; the text of the others' number is made there. */
static void note_slow(struct front *f, const struct measured *m, uint64_t took_us,
                      struct moment now)
{
    const struct slow_note note = {
        .session = m->session, .took_us = took_us, .time_s = now.wall_ms / 1000};
    uint32_t secret = secret_from(m), workers = courier_workers(f->courier);
    uint32_t home = m->session > 0 ? (uint32_t)((m->session - 1) % workers) : 0;
    struct bytes *argv = mem_alloc((m->argc + 1) * sizeof argv[0]);
    for (uint32_t i = 0; i < m->argc; i++)
        argv[i + 1] = secret > 0 && i >= secret ? bytes_str("(redacted)") : m->argv[i];
    if (m->session == 0 || home == courier_self(f->courier)) {
        log_slow(f, &note, m->argc, argv + 1);
    } else {
        argv[0] = bytes_of(&note, sizeof note);
        struct job job = {.kind = JOB_SLOW, .db_uid = f->db_uid, .argc = m->argc + 1, .argv = argv};
        courier_send(f->courier, f->port, home, &job, NULL, 0);
    }
    mem_free(argv);
}

uint64_t measure_one(struct front *f, struct command_use *u, const struct measured *m,
                     uint64_t since_us, struct moment now)
{
    uint64_t now_us = measure_now(f), took_us = now_us - since_us;
    stats_took(&f->stats, u, took_us * 1000, 1);
    int64_t slow = f->kept.number[CONFIG_SLOWLOG_LOG_SLOWER_THAN];
    int64_t late_ms = f->kept.number[CONFIG_LATENCY_MONITOR_THRESHOLD];
    if (slow >= 0 && took_us >= (uint64_t)slow && !u->unlogged)
        note_slow(f, m, took_us, now);
    if (late_ms > 0 && took_us / 1000 >= (uint64_t)late_ms)
        latency_add(&f->latency,
                    m->command->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND,
                    now.wall_ms / 1000, (uint32_t)(took_us / 1000));
    return now_us;
}

void measure_errors(struct front *f, struct reply *r)
{
    if (r->errors == 0)
        return;
    struct bytes all = buf_bytes(r->out);
    if (r->error_at + 1 < all.n)
        stats_error(&f->stats, bytes_of(all.p + r->error_at + 1, all.n - r->error_at - 1));
    r->errors = 0;
}

void measure_late(struct front *f, const struct command *command, struct bytes reply)
{
    stats_use(&f->stats, command)->failed++;
    stats_error(&f->stats, bytes_of(reply.p + 1, reply.n - 1));
}

void measure_script(struct front *f, const struct call *c)
{
    struct command_use *u = stats_use(&f->stats, c->command);
    u->calls++;
    measure_failed(f, u, c->reply);
}

void measure_configure(struct front *f)
{
    int64_t slow = f->kept.number[CONFIG_SLOWLOG_LOG_SLOWER_THAN];
    f->stats.precise = slow >= 0 && slow < ALONE_US;
    f->stats.tracking = f->kept.number[CONFIG_LATENCY_TRACKING] != 0;
    slowlog_trim(&f->slowlog, (uint64_t)f->kept.number[CONFIG_SLOWLOG_MAX_LEN]);
}

/* ------------------------------------------------------------ for other workers */

static int64_t reset_latency(struct front *f, uint32_t argc, const struct bytes *argv)
{
    int64_t n = 0;
    for (enum latency_kind kind = 0; argc == 0 && kind < LATENCY_KINDS; kind++)
        n += latency_reset(&f->latency, kind);
    for (uint32_t i = 0; i < argc; i++) {
        enum latency_kind kind = latency_find(argv[i]);
        n += kind < LATENCY_KINDS && latency_reset(&f->latency, kind);
    }
    return n;
}

void measure_job(struct front *f, const struct job *job, struct reply *r, struct moment now)
{
    uint64_t max = (uint64_t)f->kept.number[CONFIG_SLOWLOG_MAX_LEN];
    switch (job->kind) {
    case JOB_INFO: {
        struct figures figures = {.exact = job->argc > 0};
        front_figures(f, &figures, now);
        buf_put(r->out, &figures, sizeof figures);
        stats_put(&f->stats, 0, NULL, r->out);
        break;
    }
    case JOB_STATS:
        stats_put(&f->stats, job->argc, job->argv, r->out);
        break;
    case JOB_SLOW: {
        struct slow_note note;
        memcpy(&note, job->argv[0].p, sizeof note);
        log_slow(f, &note, job->argc - 1, job->argv + 1);
        break;
    }
    case JOB_SLOWLOG:
        if (bytes_is(job->argv[0], "get"))
            slowlog_put(&f->slowlog, max, r->out);
        else if (bytes_is(job->argv[0], "len"))
            reply_int(r, f->slowlog.n);
        else
            slowlog_clear(&f->slowlog);
        break;
    case JOB_LATENCY:
        if (bytes_is(job->argv[0], "reset"))
            reply_int(r, reset_latency(f, job->argc - 1, job->argv + 1));
        else
            latency_put(&f->latency, r->out);
        break;
    default:
        break;
    }
}
