/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/scripting.h"

#include "base/mem.h"
#include "proxy/acl.h"
#include "proxy/multi.h"
#include "proxy/route.h"
#include "shard/command_facts.h"

#include <assert.h>

#define SLICE_EVERY_US 1000u

/* ------------------------------------------------------------ life */

static uint64_t clock_us(void *arg)
{
    const struct front *f = arg;
    struct port *port = f->scripting.port;
    return port != NULL ? port->ops->clock_us(port) : 0;
}

static void log_line(void *arg, char level, const char *line)
{
    const struct front *f = arg;
    if (f->scripting.port != NULL)
        port_log(f->scripting.port, level, "database %u: %s", f->db_uid, line);
}

/* What a script may not do because the user that runs it may not: the reason. */
static const char *refuse(void *arg, const struct call *c, bool test)
{
    static const char *const why[] = {
        [ACL_DENIED_COMMAND] = "The user executing the script can't run this command or subcommand",
        [ACL_DENIED_KEY] = "The user executing the script can't access at least one of the keys "
                           "mentioned in the command arguments",
        [ACL_DENIED_CHANNEL] = "The user executing the script can't publish to the channel "
                               "mentioned in the command"};
    struct front *f = arg;
    if (c->user.n == 0)
        return NULL;
    const struct acl_user *u = acl_find(f, c->user);
    struct acl_verdict v = {.denial = ACL_DENIED_COMMAND};
    if (u != NULL)
        v = acl_check(u, c->command, c->argc, c->argv);
    if (v.denial == ACL_ALLOWED) {
        const char *option = acl_check_options(u, c->command, c->argc, c->argv);
        return option != NULL && !test ? option + strlen("ERR ") : NULL;
    }
    if (!test)
        acl_note_script(f, &(struct acl_note){.verdict = v,
                                              .command = c->command,
                                              .argv = c->argv,
                                              .user = c->user,
                                              .now = c->now});
    return why[v.denial];
}

void scripting_init(struct front *f, uint64_t seed)
{
    struct scripting *g = &f->scripting;
    g->scripts = scripts_new(
        &(struct scripts_opts){.seed = seed,
                               .busy_ms = (uint64_t)f->kept.number[CONFIG_BUSY_REPLY_THRESHOLD],
                               .arg = f,
                               .clock_us = clock_us,
                               .log = log_line});
    g->shards = mem_zalloc(f->shards_count * sizeof g->shards[0]);
    g->busy = mem_zalloc(f->shards_count);
    for (uint32_t i = 0; i < f->shards_count; i++) {
        g->shards[i].ticket = NO_LATE_TICKET;
        if (f->shards[i].local != NULL)
            g->shards[i].engine = engine_new(&(struct engine_opts){.shard = f->shards[i].local,
                                                                   .scripts = g->scripts,
                                                                   .seed = seed + i,
                                                                   .arg = f,
                                                                   .refuse = refuse});
    }
}

/* ------------------------------------------------------------ transactions with scripts */

/* A transaction on the engine's stack: what it needs must outlast the step. */
struct late_exec {
    struct front *front;
    struct shard *shard;
    struct buf queue, user, out;
    uint64_t session;
    bool track;
    struct moment now;
    uint8_t resp;
};

static void late_exec_free(struct late_exec *x)
{
    buf_deinit(&x->queue);
    buf_deinit(&x->user);
    buf_deinit(&x->out);
    mem_free(x);
}

static void run_late_exec(void *arg)
{
    struct late_exec *x = arg;
    struct reply r = {.out = &x->out, .resp = x->resp, .max = x->front->settings.out_max};
    multi_run(x->front, x->shard,
              &(struct multi_exec){.queue = buf_bytes(&x->queue),
                                   .session = x->session,
                                   .user = buf_bytes(&x->user),
                                   .track = x->track},
              &r, x->now);
    (void)reply_limit(&r, 0);
}

void scripting_exec(struct front *f, struct job *job, struct reply *r, struct moment now)
{
    struct scripting_shard *at = &f->scripting.shards[job->shard];
    struct shard *shard = f->shards[job->shard].local;
    if (shard_busy(shard) != NULL) {
        reply_errorf(r, "EXECABORT Transaction discarded because of: %s", shard_busy(shard));
        (void)shard_unwatch(shard, job->session, now);
        return;
    }
    if (!multi_has_scripts(job->argv[0])) {
        multi_run(f, shard,
                  &(struct multi_exec){.queue = job->argv[0],
                                       .session = job->session,
                                       .user = job->user,
                                       .track = job->track},
                  r, now);
        return;
    }
    struct late_exec *x = mem_zalloc(sizeof *x);
    *x = (struct late_exec){.front = f,
                            .shard = shard,
                            .session = job->session,
                            .track = job->track,
                            .now = now,
                            .resp = r->resp};
    buf_put_bytes(&x->queue, job->argv[0]);
    buf_put_bytes(&x->user, job->user);
    if (engine_on_stack(at->engine, run_late_exec, x)) {
        buf_put_bytes(r->out, buf_bytes(&x->out));
        late_exec_free(x);
        return;
    }
    at->exec = x;
    job->later = true;
}

/* ------------------------------------------------------------ what has stopped */

static void set_busy(struct front *f, uint32_t shard, uint8_t kind)
{
    struct scripting *g = &f->scripting;
    g->busy_count += (uint32_t)(kind != BUSY_NOT) - (uint32_t)(g->busy[shard] != BUSY_NOT);
    g->busy[shard] = kind;
}

static void tell_busy(struct front *f, struct port *port, uint32_t shard, uint8_t kind)
{
    struct bytes argv[2] = {bytes_of(&shard, sizeof shard), bytes_of(&kind, 1)};
    struct job job = {.kind = JOB_BUSY, .db_uid = f->db_uid, .argc = 2, .argv = argv};
    set_busy(f, shard, kind);
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            courier_send(f->courier, port, i, &job, NULL, 0);
}

/* The engine of that shard has stopped in the middle. */
static void stopped(struct front *f, uint32_t shard)
{
    struct scripting *g = &f->scripting;
    struct engine_running running;
    bool function = engine_running(g->shards[shard].engine, &running) && running.function;
    g->stopped++;
    tell_busy(f, g->port, shard, function ? BUSY_FUNCTION : BUSY_SCRIPT);
}

void scripting_wait(struct ask *a, uint32_t shard)
{
    struct front *f = a->front;
    struct answer *answer = answer_new(f->courier, 1);
    answer->awaited = true;
    session_wait(a->session, answer);
    f->scripting.shards[shard].answer = answer;
    stopped(f, shard);
}

void scripting_wait_for(struct front *f, uint32_t shard, uint32_t worker, uint32_t ticket)
{
    f->scripting.shards[shard].worker = worker;
    f->scripting.shards[shard].ticket = ticket;
    stopped(f, shard);
}

static void hand_over(struct front *f, struct port *port, struct scripting_shard *at,
                      struct bytes reply, struct moment now)
{
    struct answer *answer = at->answer;
    uint32_t ticket = at->ticket, self = courier_self(f->courier);
    at->answer = NULL;
    at->ticket = NO_LATE_TICKET;
    if (answer != NULL) {
        if (answer->session != NULL)
            durable_woken(answer->session, port, self, f->durable.turn, now);
        courier_complete(f->courier, port, answer, reply, now);
    } else if (ticket != NO_LATE_TICKET) {
        struct bytes argv[2] = {bytes_of(&ticket, sizeof ticket), reply};
        struct job job = {.kind = JOB_LATE,
                          .db_uid = f->db_uid,
                          .worker = self,
                          .durable = durable_promise(f, at->worker),
                          .argc = 2,
                          .argv = argv};
        courier_send(f->courier, port, at->worker, &job, NULL, 0);
    }
}

static void resume(struct front *f, struct port *port, uint32_t shard, struct moment now)
{
    struct scripting_shard *at = &f->scripting.shards[shard];
    if (!engine_resume(at->engine))
        return;
    struct late_exec *x = at->exec;
    struct buf reply = {0};
    at->exec = NULL;
    buf_put_bytes(&reply, x != NULL ? buf_bytes(&x->out) : engine_reply(at->engine));
    if (x != NULL)
        late_exec_free(x);
    f->scripting.stopped--;
    tell_busy(f, port, shard, BUSY_NOT);
    hand_over(f, port, at, buf_bytes(&reply), now);
    buf_deinit(&reply);
}

void scripting_run(struct front *f, struct port *port, struct moment now)
{
    struct scripting *g = &f->scripting;
    g->port = port;
    /* A slice takes longer than that, so that the next follows at once: but where the clock stands
     * still within a step, time has to pass between two. */
    g->resume_us = now.mono_us + SLICE_EVERY_US;
    for (uint32_t i = 0; i < f->shards_count && g->stopped > 0; i++)
        if (g->shards[i].engine != NULL && engine_is_stopped(g->shards[i].engine))
            resume(f, port, i, now);
}

void scripting_deinit(struct front *f, struct port *port)
{
    static const char gone[] = "-ERR the database has been deleted\r\n";
    struct scripting *g = &f->scripting;
    for (uint32_t i = 0; i < f->shards_count; i++) {
        struct scripting_shard *at = &g->shards[i];
        engine_free(at->engine);
        if (at->exec != NULL)
            late_exec_free(at->exec);
        hand_over(f, port, at, bytes_of(gone, sizeof gone - 1), f->born);
    }
    scripts_free(g->scripts);
    mem_free(g->shards);
    mem_free(g->busy);
    *g = (struct scripting){0};
}

const char *scripting_refusal(const struct front *f, const struct command *command)
{
    if (f->scripting.busy_count < f->shards_count)
        return NULL;
    if (command_facts(command).flags & INFO_ALLOW_BUSY)
        return NULL;
    return f->scripting.busy[0] == BUSY_FUNCTION ? BUSY_FUNCTION_TEXT : BUSY_SCRIPT_TEXT;
}

/* ------------------------------------------------------------ the catalog's listeners */

void scripting_library(struct front *f, struct port *port, struct bytes name,
                       const struct bytes *value)
{
    f->scripting.port = port;
    if (value != NULL)
        scripts_put_library(f->scripting.scripts, name, *value);
    else
        scripts_del_library(f->scripting.scripts, name);
}

void scripting_body(struct front *f, struct port *port, struct bytes name,
                    const struct bytes *value)
{
    f->scripting.port = port;
    if (name.n != SHA1_HEX)
        return;
    char sha[SHA1_HEX + 1] = {0};
    memcpy(sha, name.p, SHA1_HEX);
    if (value != NULL)
        (void)scripts_remember(f->scripting.scripts, sha, *value, true);
    else
        scripts_drop(f->scripting.scripts, sha);
}

/* ------------------------------------------------------------ jobs */

/* What engine_kill says is a byte of the reply; the best of all shards here. */
static uint8_t kill_all(struct front *f, bool function)
{
    uint8_t best = KILL_NOTHING;
    for (uint32_t i = 0; i < f->shards_count; i++) {
        struct engine *e = f->scripting.shards[i].engine;
        uint8_t one = e != NULL ? (uint8_t)engine_kill(e, function) : KILL_NOTHING;
        if (one == KILL_DONE || best == KILL_NOTHING)
            best = one;
    }
    return best;
}

/* Is there a shard here, and does its worker know the script? '-', 0, 1 for each. */
static void exist(struct front *f, const struct job *job, struct buf *out)
{
    bool any = false;
    for (uint32_t i = 0; i < f->shards_count; i++)
        any |= f->shards[i].local != NULL;
    for (uint32_t i = 1; i < job->argc; i++) {
        char sha[SHA1_HEX + 1];
        bool known = script_sha(job->argv[i], sha) && scripts_body(f->scripting.scripts, sha);
        buf_put_u8(out, !any ? '-' : known ? 1 : 0);
    }
}

/* The function that runs here, if one does: its name, arguments and time as elements of a reply. */
static void running(struct front *f, struct reply *r)
{
    for (uint32_t i = 0; i < f->shards_count; i++) {
        struct engine_running now;
        struct engine *e = f->scripting.shards[i].engine;
        if (e == NULL || !engine_is_stopped(e) || !engine_running(e, &now))
            continue;
        if (!now.function) {
            reply_error(r, BUSY_SCRIPT_TEXT);
            return;
        }
        reply_map(r, 3);
        reply_bulk_str(r, "name");
        reply_bulk_str(r, now.name);
        reply_bulk_str(r, "command");
        buf_put_bytes(r->out, now.argv);
        reply_bulk_str(r, "duration_ms");
        reply_int(r, (int64_t)now.duration_ms);
        return;
    }
}

void scripting_job(struct front *f, struct port *port, const struct job *job, struct reply *r)
{
    f->scripting.port = port;
    if (job->kind == JOB_BUSY) {
        uint32_t shard;
        memcpy(&shard, job->argv[0].p, sizeof shard);
        set_busy(f, shard, job->argv[1].p[0]);
    } else if (bytes_is(job->argv[0], "kill script")) {
        buf_put_u8(r->out, kill_all(f, false));
    } else if (bytes_is(job->argv[0], "kill function")) {
        buf_put_u8(r->out, kill_all(f, true));
    } else if (bytes_is(job->argv[0], "exists")) {
        exist(f, job, r->out);
    } else if (bytes_is(job->argv[0], "running")) {
        running(f, r);
    } else if (bytes_is(job->argv[0], "forget")) {
        scripts_forget(f->scripting.scripts);
    }
}

void scripting_figures(const struct front *f, struct scripting_figures *out)
{
    const struct scripting *g = &f->scripting;
    *out = (struct scripting_figures){.scripts = scripts_count(g->scripts),
                                      .scripts_bytes = scripts_bytes(g->scripts),
                                      .functions = scripts_functions_count(g->scripts),
                                      .libraries = scripts_libraries_count(g->scripts)};
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (g->shards[i].engine != NULL)
            out->engine_bytes += engine_memory(g->shards[i].engine);
}
