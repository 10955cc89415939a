/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/keep.h"
#include "proxy/route.h"

#include <stdio.h>

/*
 * BGSAVE, BGREWRITEAOF, SAVE and LASTSAVE: snapshots of all shards on all workers.
 * https://redis.io/docs/latest/commands/bgsave/
 *
 * There is one kind of snapshot: it makes both what Redis' RDB file is and what a rewritten AOF is,
 * so BGREWRITEAOF asks for the same. SAVE waits until all are done, and blocks nobody but its
 * client: each worker looks ten times a second whether its shards are, and tells.
 */
#define OFF_TEXT                                                                                   \
    "ERR this database is not on disk: set data_persistence with the REST API "                    \
    "(PUT /v1/bdbs/<uid>) or with meridian ctl db update"
#define BUSY_TEXT "ERR Background save already in progress"

/* Answer of one worker to JOB_KEEP. */
struct keep_answer {
    struct figures_keep keep;
    uint32_t begun; /* shards that take a snapshot now, or when the one under way is done */
    bool busy;      /* one that was asked for before is not done */
};

/* ------------------------------------------------------------ on each worker */

struct keep_wait {
    struct keep_wait *next;
    uint64_t session, serial;
    uint64_t failures; /* of snapshots, before it began */
};

/* What a worker tells the session's: JOB_SAVED's argument. */
struct saved {
    uint64_t serial;
    bool busy;   /* a snapshot was under way already: none was begun */
    bool failed; /* at least one shard's */
    char error[256];
};

static struct figures_keep look(const struct front *f)
{
    struct figures_keep k = FIGURES_KEEP_NONE;
    f->host.keep(f->host.arg, f, &k);
    return k;
}

static struct keep_answer begin(struct front *f, struct port *port, struct moment now)
{
    struct keep_answer a = {.keep = look(f)};
    a.busy = a.keep.asked > 0;
    if (!a.busy)
        a.begun = f->host.snapshot(f->host.arg, f, port, now);
    return a;
}

static void hear_saved(struct front *f, struct port *port, uint64_t session, struct bytes arg);

static void tell(struct front *f, struct port *port, uint64_t session, const struct saved *said)
{
    struct bytes arg = bytes_of(said, sizeof *said);
    uint32_t worker = (uint32_t)((session - 1) % courier_workers(f->courier));
    struct job job = {
        .kind = JOB_SAVED, .db_uid = f->db_uid, .session = session, .argc = 1, .argv = &arg};
    if (worker == courier_self(f->courier))
        hear_saved(f, port, session, arg);
    else
        courier_send(f->courier, port, worker, &job, NULL, 0);
}

/* JOB_SAVE: begins, and tells when all is done. */
static void save_here(struct front *f, struct port *port, const struct job *job, struct moment now)
{
    uint64_t serial;
    memcpy(&serial, job->argv[0].p, sizeof serial);
    struct keep_answer a = begin(f, port, now);
    if (a.busy || a.begun < a.keep.shards) {
        struct saved said = {.serial = serial, .busy = a.busy, .failed = !a.busy};
        snprintf(said.error, sizeof said.error, "%.255s", a.keep.error);
        tell(f, port, job->session, &said);
        return;
    }
    struct keep_wait *w = mem_zalloc(sizeof *w);
    *w = (struct keep_wait){.next = f->keep.first,
                            .session = job->session,
                            .serial = serial,
                            .failures = a.keep.snapshot_failures};
    f->keep.first = w;
}

void keep_turn(struct front *f, struct port *port)
{
    if (f->keep.first == NULL)
        return;
    struct figures_keep k = look(f);
    if (k.asked > 0)
        return;
    struct keep_wait *list = f->keep.first;
    f->keep.first = NULL;
    while (list != NULL) {
        struct keep_wait *w = list;
        list = w->next;
        bool failed = !f->settings.on_disk || k.snapshot_failures > w->failures;
        struct saved said = {.serial = w->serial, .failed = failed};
        snprintf(said.error, sizeof said.error, "%.255s", k.error);
        tell(f, port, w->session, &said);
        mem_free(w);
    }
}

void keep_deinit(struct keep_waits *all)
{
    while (all->first != NULL) {
        struct keep_wait *w = all->first;
        all->first = w->next;
        mem_free(w);
    }
}

void keep_job(struct front *f, struct port *port, const struct job *job, struct reply *r,
              struct moment now)
{
    struct keep_answer a;
    switch (job->kind) {
    case JOB_SAVE:
        save_here(f, port, job, now);
        break;
    case JOB_SAVED:
        hear_saved(f, port, job->session, job->argv[0]);
        break;
    default: /* JOB_KEEP */
        if (bytes_is(job->argv[0], "begin"))
            a = begin(f, port, now);
        else
            a = (struct keep_answer){.keep = look(f)};
        buf_put(r->out, &a, sizeof a);
        break;
    }
}

/* ------------------------------------------------------------ BGSAVE, BGREWRITEAOF, LASTSAVE */

static struct keep_answer sum_of(const struct answer *a)
{
    struct keep_answer sum = {.keep = FIGURES_KEEP_NONE}, one;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (part.n != sizeof one)
            continue; /* that worker no longer has the database */
        memcpy(&one, part.p, sizeof one);
        figures_keep_add(&sum.keep, &one.keep);
        sum.begun += one.begun;
        sum.busy |= one.busy;
    }
    return sum;
}

static void reply_failed(const struct front *f, struct reply *r, const struct figures_keep *k)
{
    if (!f->settings.on_disk) /* not any more */
        reply_error(r, OFF_TEXT);
    else
        reply_errorf(r, "ERR no snapshot can be taken now: %s",
                     k->error[0] ? k->error : "the database is being brought back from disk");
}

static void finish_begun(const struct front *f, struct answer *a, struct reply *r,
                         const char *begun, const char *busy)
{
    struct keep_answer sum = sum_of(a);
    if (sum.begun > 0)
        reply_simple(r, begun);
    else if (sum.busy)
        reply_error(r, busy);
    else
        reply_failed(f, r, &sum.keep);
}

static void finish_bgsave(struct front *f, struct answer *a, struct reply *r)
{
    finish_begun(f, a, r, "Background saving started", BUSY_TEXT);
}

static void finish_rewrite(struct front *f, struct answer *a, struct reply *r)
{
    finish_begun(f, a, r, "Background append only file rewriting started",
                 "ERR Background append only file rewriting already in progress");
}

static void begin_everywhere(struct ask *a, answer_finish *finish)
{
    struct bytes what = bytes_str("begin");
    if (!a->front->settings.on_disk)
        reply_error(&a->reply, OFF_TEXT);
    else
        route_workers(a, JOB_KEEP, 1, &what, finish, 0);
}

/* SCHEDULE asks Redis to wait for a rewrite of the AOF; here nothing stands in a snapshot's way but
 * another. */
static void bgsave(struct ask *a)
{
    if (a->argc > 2 || (a->argc == 2 && !bytes_is_nocase(a->argv[1], "schedule")))
        reply_error(&a->reply, ERR_SYNTAX);
    else
        begin_everywhere(a, finish_bgsave);
}

static void bgrewriteaof(struct ask *a) { begin_everywhere(a, finish_rewrite); }

static void finish_lastsave(struct front *f, struct answer *a, struct reply *r)
{
    struct keep_answer sum = sum_of(a);
    int64_t ms = sum.keep.saved_ms ? sum.keep.saved_ms : f->born.wall_ms;
    reply_int(r, ms / 1000);
}

static void lastsave(struct ask *a)
{
    struct bytes what = bytes_str("look");
    route_workers(a, JOB_KEEP, 1, &what, finish_lastsave, 0);
}

/* ------------------------------------------------------------ SAVE */

struct saving {
    uint64_t serial;
    uint32_t missing; /* workers that have not told */
    bool busy, failed;
    char error[256]; /* of one that failed */
};

static void end(struct front *f, struct port *port, uint64_t session, void *state, struct reply *r)
{
    struct saving *s = state;
    struct figures_keep k = look(f);
    if (s->error[0] != 0)
        snprintf(k.error, sizeof k.error, "%s", s->error);
    (void)port;
    (void)session;
    if (r != NULL && s->busy)
        reply_error(r, BUSY_TEXT);
    else if (r != NULL && (s->failed || s->missing > 0))
        reply_failed(f, r, &k);
    else if (r != NULL)
        reply_ok(r);
    mem_free(s);
}

static const struct wait_kind kind = {.end = end};

static void hear_saved(struct front *f, struct port *port, uint64_t session, struct bytes arg)
{
    struct saved said;
    struct saving *s = blocked_state(f, session, &kind);
    memcpy(&said, arg.p, sizeof said);
    if (s == NULL || s->serial != said.serial)
        return; /* it has ended meanwhile */
    s->busy |= said.busy;
    s->failed |= said.failed;
    if (said.failed && said.error[0] != 0)
        memcpy(s->error, said.error, sizeof s->error);
    if (--s->missing == 0)
        blocked_over(f, port, session);
}

static void save(struct ask *a)
{
    struct front *f = a->front;
    uint32_t workers = courier_workers(f->courier);
    if (!f->settings.on_disk) {
        reply_error(&a->reply, OFF_TEXT);
        return;
    }
    struct saving *s = mem_zalloc(sizeof *s);
    uint64_t serial = ++f->keep.serials;
    *s = (struct saving){.serial = serial, .missing = workers};
    blocked_wait(a, 0, &kind, s);
    struct bytes arg = bytes_of(&serial, sizeof serial);
    struct job job = {
        .kind = JOB_SAVE, .db_uid = f->db_uid, .session = a->session->id, .argc = 1, .argv = &arg};
    for (uint32_t i = 0; i < workers; i++)
        if (i != courier_self(f->courier))
            courier_send(f->courier, a->port, i, &job, NULL, 0);
    save_here(f, a->port, &job, a->now); /* last: it may be over at once */
}

const struct session_command cmd_save_commands[] = {
    {"bgrewriteaof", bgrewriteaof, SESSION_ALONE},
    {"bgsave", bgsave, SESSION_ALONE},
    {"lastsave", lastsave, SESSION_ALONE},
    {"save", save, SESSION_ALONE},
    {NULL, NULL, 0},
};
