/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/multi.h"

#include "base/mem.h"
#include "proxy/measure.h"
#include "proxy/monitor.h"
#include "proxy/route.h"

#include <assert.h>

#define ABORTED "EXECABORT Transaction discarded because of: "

/* ------------------------------------------------------------ the queue's bytes */

static void put_entry(struct buf *b, const struct command *c, uint32_t argc,
                      const struct bytes *argv)
{
    buf_put(b, &c, sizeof c);
    buf_put(b, &argc, sizeof argc);
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t n = (uint32_t)argv[i].n;
        buf_put(b, &n, sizeof n);
        buf_put_bytes(b, argv[i]);
    }
}

/* Reads the entry at the front of `queue` and moves behind it; its arguments go to args. */
static const struct command *next_entry(struct bytes *queue, struct resp_args *args, uint32_t *argc)
{
    const struct command *c;
    const uint8_t *p = queue->p;
    memcpy(&c, p, sizeof c);
    memcpy(argc, p + sizeof c, sizeof *argc);
    p += sizeof c + sizeof *argc;
    if (args->cap < *argc) {
        args->cap = *argc;
        args->at = mem_realloc(args->at, args->cap * sizeof args->at[0]);
    }
    for (uint32_t i = 0; i < *argc; i++) {
        uint32_t n;
        memcpy(&n, p, sizeof n);
        args->at[i] = bytes_of(p + sizeof n, n);
        p += sizeof n + n;
    }
    queue->n -= (size_t)(p - queue->p);
    queue->p = p;
    return c;
}

/* How many there are; their commands' flags go to *flags. */
static uint32_t count_entries(struct bytes queue, struct resp_args *args, uint32_t *flags)
{
    uint32_t n = 0, argc;
    for (; queue.n > 0; n++) {
        const struct command *c = next_entry(&queue, args, &argc);
        *flags |= c != NULL ? c->flags : 0;
    }
    return n;
}

/* ------------------------------------------------------------ queueing */

void multi_dirty(struct session *s)
{
    if (s->multi != NULL)
        s->multi->dirty = true;
}

void multi_discard(struct session *s)
{
    if (s->multi == NULL)
        return;
    buf_deinit(&s->multi->queue);
    mem_free(s->multi);
    s->multi = NULL;
}

static void refuse(struct ask *a, struct bytes why)
{
    reply_errorf(&a->reply, "%.*s", (int)why.n, (const char *)why.p);
    multi_dirty(a->session);
    a->use->rejected++;
    measure_errors(a->front, &a->reply);
}

/* All keys of a transaction live on one shard. False: refused. */
static bool same_shard(struct ask *a)
{
    struct multi *m = a->session->multi;
    uint32_t shard = 0;
    if (a->command->where == AT_SESSION)
        return true;
    if (a->front->shards_count > 1 && a->command->where != AT_EACH &&
        command_keys(a->command, a->argc, a->argv, front_indexes(a->front, a->argc), a->argc) == 0)
        return true;
    if (route_find(a->front, a->command, a->argc, a->argv, &shard) == ROUTE_ONE &&
        (m->shard < 0 || m->shard == (int32_t)shard)) {
        m->shard = (int32_t)shard;
        return true;
    }
    refuse(a, bytes_str(CROSSSLOT));
    return false;
}

/* A write that would be refused now is not queued. Scripts are: they may only read. */
static bool refuses_writes(struct ask *a)
{
    if (!(a->command->flags & CMD_WRITE))
        return false;
    bool own = a->command->where == AT_SESSION;
    struct bytes why = refusals_find(a->front, own ? -1 : a->session->multi->shard);
    if (why.n == 0)
        return false;
    refuse(a, why);
    return true;
}

static size_t entry_bytes(const struct ask *a)
{
    size_t n = 16;
    for (uint32_t i = 0; i < a->argc; i++)
        n += 4 + a->argv[i].n;
    return n;
}

void multi_queue(struct ask *a)
{
    struct multi *m = a->session->multi;
    const struct session_command *c =
        a->command->where == AT_SESSION ? session_command_find(a->command->name) : NULL;
    if ((a->command->flags & CMD_NO_MULTI) ||
        (c != NULL && (c->flags & SESSION_ALONE) && courier_workers(a->front->courier) > 1)) {
        refuse(a, bytes_str("ERR Command not allowed inside a transaction"));
        return;
    }
    if (memory_is_full(a->front)) { /* whatever it is: the queue itself needs memory */
        refuse(a, bytes_str(OOM_TEXT));
        return;
    }
    if (!same_shard(a) || refuses_writes(a))
        return;
    if (m->count >= MULTI_COMMANDS_MAX || buf_len(&m->queue) + entry_bytes(a) > MULTI_BYTES_MAX) {
        refuse(a, bytes_str("ERR transaction too large: split it"));
        return;
    }
    route_note_writes(a);
    put_entry(&m->queue, a->command, a->argc, a->argv);
    m->count++;
    m->flags |= a->command->flags & (CMD_WRITE | CMD_DENYOOM);
    m->writes |= session_may_write(a->front, a->command, a->argv);
    reply_simple(&a->reply, "QUEUED");
}

/* ------------------------------------------------------------ watches */

void multi_unwatch(struct session *s, struct port *port, struct moment now)
{
    struct front *f = s->front;
    if (s->watching < 0)
        return;
    const struct front_shard *at = &f->shards[s->watching];
    if (at->local != NULL) {
        (void)shard_unwatch(at->local, s->id, now);
    } else {
        struct job job = {.kind = JOB_UNWATCH,
                          .db_uid = f->db_uid,
                          .shard = (uint32_t)s->watching,
                          .session = s->id};
        courier_send(f->courier, port, at->worker, &job, NULL, 0);
    }
    s->watching = -1;
}

void multi_watch(struct shard *shard, uint64_t session, uint32_t argc, const struct bytes *argv,
                 struct reply *r, struct moment now)
{
    for (uint32_t i = 0; i < argc; i++)
        shard_watch(shard, session, argv[i], now);
    reply_ok(r);
}

static void watch(struct ask *a)
{
    struct session *s = a->session;
    struct front *f = a->front;
    if (s->multi != NULL) {
        reply_error(&a->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    int32_t shard = s->watching;
    for (uint32_t i = 1; i < a->argc; i++) {
        int32_t at = f->shards_count == 1 ? 0 : (int32_t)front_shard_of(f, hash_slot(a->argv[i]));
        if (shard >= 0 && at != shard) {
            reply_error(&a->reply, CROSSSLOT);
            return;
        }
        shard = at;
    }
    s->watching = shard;
    route_shard(a, JOB_WATCH, (uint32_t)shard, a->argc - 1, a->argv + 1);
}

static void unwatch(struct ask *a)
{
    multi_unwatch(a->session, a->port, a->now);
    reply_ok(&a->reply);
}

/* ------------------------------------------------------------ running */

bool multi_has_scripts(struct bytes queue)
{
    struct resp_args args = {0};
    bool has = false;
    while (queue.n > 0 && !has) {
        uint32_t argc;
        const struct command *c = next_entry(&queue, &args, &argc);
        has = c != NULL && (c->flags & CMD_SCRIPT);
    }
    mem_free(args.at);
    return has;
}

void multi_run(struct front *f, struct shard *shard, const struct multi_exec *exec, struct reply *r,
               struct moment now)
{
    struct resp_args args = {0};
    struct bytes queue = exec->queue;
    uint64_t session = exec->session;
    uint32_t flags = 0, count = count_entries(queue, &args, &flags);
    /* Also forgets the watches: they last until EXEC. */
    bool touched = shard_unwatch(shard, session, now);
    const char *why = shard_refusal(shard, flags);
    if (why != NULL || touched) {
        if (why != NULL)
            reply_errorf(r, ABORTED "%s", why);
        else
            reply_nil_array(r);
        mem_free(args.at);
        return;
    }
    reply_array(r, count);
    shard_atomic_begin(shard, now);
    uint64_t since_us = measure_now(f);
    while (queue.n > 0) {
        struct call c = {.shard = shard,
                         .reply = r,
                         .now = now,
                         .session = session,
                         .track = exec->track,
                         .user = exec->user,
                         .in_exec = true,
                         .may_later = true};
        c.command = next_entry(&queue, &args, &c.argc);
        c.argv = args.at;
        if (c.command == NULL) {
            buf_put_bytes(r->out, args.at[0]);
            continue;
        }
        struct command_use *u = stats_use(&f->stats, c.command);
        const struct measured m = {
            .command = c.command, .session = session, .argc = c.argc, .argv = c.argv};
        u->calls++;
        shard_execute(shard, &c);
        since_us = measure_one(f, u, &m, since_us, now);
        measure_failed(f, u, r);
    }
    shard_atomic_end(shard);
    mem_free(args.at);
}

/* Answers the session's own commands of the queue, and those that its user may no longer run: they
 * become finished replies. */
static void answer_own(struct ask *a, const struct buf *queue, struct buf *out)
{
    struct resp_args args = {0};
    struct bytes left = buf_bytes(queue);
    struct buf text = {0};
    while (left.n > 0) {
        struct ask one = *a;
        one.command = next_entry(&left, &args, &one.argc);
        one.use = stats_use(&a->front->stats, one.command);
        one.argv = args.at;
        buf_clear(&text);
        one.in_exec = true;
        size_t have = buf_len(out);
        one.reply = (struct reply){.out = &text,
                                   .resp = a->session->resp,
                                   .max = have < MULTI_BYTES_MAX ? MULTI_BYTES_MAX - have : 1};
        bool may = acl_may_exec(&one);
        if (may && a->front->monitored)
            monitor_command(a, one.command, one.argc, one.argv);
        if (may && one.command->where != AT_SESSION) {
            put_entry(out, one.command, one.argc, args.at);
            continue;
        }
        if (may)
            session_run(&one);
        (void)reply_limit(&one.reply, 0);
        struct bytes reply = buf_bytes(&text);
        put_entry(out, NULL, 1, &reply);
    }
    buf_deinit(&text);
    mem_free(args.at);
}

/* It cannot run as a whole: true, the error has been replied. In Redis' order. */
static bool aborted(struct ask *a)
{
    const struct session *s = a->session;
    const struct multi *m = s->multi;
    struct bytes why = {0};
    if (m->flags & CMD_WRITE)
        why = refusals_find(s->front, m->shard);
    if ((m->flags & CMD_DENYOOM) && memory_is_full(s->front))
        reply_error(&a->reply, ABORTED OOM_TEXT);
    else if (why.n > 0)
        reply_errorf(&a->reply, ABORTED "%.*s", (int)why.n, (const char *)why.p);
    else if (m->dirty)
        reply_error(&a->reply, "EXECABORT Transaction discarded because of previous errors.");
    else if (m->shard >= 0 && s->watching >= 0 && m->shard != s->watching)
        reply_error(&a->reply, CROSSSLOT);
    else
        return false;
    return true;
}

static void exec(struct ask *a)
{
    struct session *s = a->session;
    struct multi *m = s->multi;
    if (m == NULL) {
        reply_error(&a->reply, "ERR EXEC without MULTI");
        return;
    }
    if (aborted(a)) {
        multi_discard(s);
        multi_unwatch(s, a->port, a->now);
        return;
    }
    uint32_t shard = 0;
    if (m->shard >= 0)
        shard = (uint32_t)m->shard;
    else if (s->watching >= 0)
        shard = (uint32_t)s->watching;
    struct multi taken = *m;
    mem_free(m);
    s->multi = NULL; /* first: the commands below run outside of it */
    struct buf queue = {0};
    answer_own(a, &taken.queue, &queue);
    buf_deinit(&taken.queue);
    struct bytes arg = buf_bytes(&queue);
    s->watching = -1;
    a->reply.resp = s->resp;
    route_shard(a, JOB_EXEC, shard, 1, &arg);
    buf_deinit(&queue);
}

static void multi(struct ask *a)
{
    struct session *s = a->session;
    if (s->multi != NULL) {
        reply_error(&a->reply, "ERR MULTI calls can not be nested");
        return;
    }
    s->multi = mem_zalloc(sizeof *s->multi);
    s->multi->shard = -1;
    reply_ok(&a->reply);
}

static void discard(struct ask *a)
{
    if (a->session->multi == NULL) {
        reply_error(&a->reply, "ERR DISCARD without MULTI");
        return;
    }
    multi_discard(a->session);
    multi_unwatch(a->session, a->port, a->now);
    reply_ok(&a->reply);
}

const struct session_command cmd_multi_commands[] = {
    {"multi", multi, SESSION_AT_ONCE},
    {"exec", exec, SESSION_AT_ONCE},
    {"discard", discard, SESSION_AT_ONCE},
    {"watch", watch, SESSION_AT_ONCE},
    {"unwatch", unwatch, 0},
    {NULL, NULL, 0},
};
