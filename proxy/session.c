/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/session.h"

#include "base/mem.h"
#include "proxy/measure.h"
#include "proxy/monitor.h"
#include "proxy/multi.h"
#include "proxy/push.h"
#include "proxy/route.h"
#include "proxy/stopped.h"
#include "proxy/tracking.h"
#include "proxy/unsupported.h"
#include "script/scripts.h"

#include <stdio.h>

#define LINK_MAGIC 0x9bu /* the first byte of a peer's link: never RESP, never a command */
#define SHARED_MAX 64u   /* replies that share an answer */
#define RESUME_MIN 2048u /* shorter unfinished commands are read again from their start */

/* A long command under way, with the arguments read so far. */
struct partial {
    struct resp resp;
    struct resp_args args;
};

static void session_step(struct conn_owner *owner, struct port *port, const struct event *ev);
static void held_unlink(struct session *s);

struct session *session_new(struct front *f, conn_id conn, struct moment now)
{
    struct session *s = mem_zalloc(sizeof *s);
    s->owner.step = session_step;
    s->owner.sent = &f->net_out;
    s->front = f;
    s->conn = conn;
    s->id = f->ids++ * courier_workers(f->courier) + courier_self(f->courier) + 1;
    s->born_us = s->active_us = now.mono_us;
    s->resp = 2;
    s->watching = -1;
    acl_begin(s);
    s->next = f->first;
    if (f->first != NULL)
        f->first->prev = s;
    f->first = s;
    f->sessions++;
    return s;
}

static void partial_free(struct session *s)
{
    if (s->partial == NULL)
        return;
    resp_args_deinit(&s->partial->args);
    mem_free(s->partial);
    s->partial = NULL;
}

void session_free(struct session *s, struct port *port, struct moment now)
{
    struct front *f = s->front;
    stopped_forget(s, port); /* before what ends here has to be told there */
    blocked_forget(s, port);
    durable_forget(s);
    multi_discard(s);
    multi_unwatch(s, port, now);
    tracking_forget(s, port);
    topic_leave_all(f, port, s);
    f->late -= s->late_us != 0;
    while (s->head != NULL) {
        struct answer *a = s->head;
        s->head = a->next;
        answer_abandon(f->courier, a);
    }
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        f->first = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    f->sessions--;
    f->strangers -= s->stranger;
    f->dead -= s->dead;
    if (s->held)
        held_unlink(s);
    partial_free(s);
    buf_deinit(&s->in);
    mem_free(s->name);
    mem_free(s->lib_name);
    mem_free(s->lib_version);
    mem_free(s);
}

void session_close(struct session *s, struct port *port, bool flush, struct moment now)
{
    if (!s->dead)
        port->ops->close(port, s->conn, flush);
    session_free(s, port, now);
}

void session_refuse(struct session *s, struct port *port, struct moment now)
{
    struct buf *out = port->ops->out(port, s->conn);
    if (out != NULL)
        buf_put_str(out, CROWDED_TEXT);
    s->front->refused++;
    session_close(s, port, true, now);
}

/* ------------------------------------------------------------ replies in order */

static void push(struct session *s, struct answer *a)
{
    a->session = s;
    a->round = s->rounds;
    if (s->tail != NULL)
        s->tail->next = a;
    else
        s->head = a;
    s->tail = a;
    s->answers++;
}

struct buf *session_out(struct session *s, struct port *port)
{
    struct front *f = s->front;
    if (s->tail == NULL) {
        struct buf *out = port->ops->out(port, s->conn);
        if (out != NULL)
            return out;
        buf_clear(&f->sink);
        return &f->sink;
    }
    if (s->tail->parts_count > 0)
        push(s, answer_new(f->courier, 0));
    return &s->tail->out;
}

void session_wait(struct session *s, struct answer *a)
{
    if (s->tail != NULL && s->tail->parts_count == 0)
        session_part(s, s->tail, buf_len(&s->tail->out));
    a->mute = s->reply_mode == REPLY_OFF || s->reply_mode == REPLY_SKIP;
    a->resp = s->resp;
    s->awaited += a->awaited;
    push(s, a);
}

struct answer *session_shared(struct session *s, uint32_t worker)
{
    struct answer *a = s->tail;
    bool mute = s->reply_mode == REPLY_OFF || s->reply_mode == REPLY_SKIP;
    if (a == NULL || a->worker != worker || a->missing == 0 || a->missing >= SHARED_MAX ||
        a->mute != mute)
        return NULL;
    a->missing++;
    return a;
}

void session_part(struct session *s, struct answer *a, size_t bytes)
{
    a->owed += bytes;
    s->owed += bytes;
}

bool session_pass(struct session *s, struct port *port, struct answer *a)
{
    if (s->head != a || a->at == ANSWER_NOBODY || a->finish != NULL)
        return false;
    size_t n = buf_len(&a->out);
    struct buf *out = port->ops->out(port, s->conn);
    if (out != NULL && !a->mute)
        buf_put_bytes(out, buf_bytes(&a->out));
    buf_clear(&a->out);
    a->owed -= n;
    s->owed -= n;
    return true;
}

void session_answers(struct session *s, struct port *port)
{
    struct front *f = s->front;
    while (s->head != NULL && s->head->missing == 0) {
        struct answer *a = s->head;
        s->head = a->next;
        if (s->head == NULL)
            s->tail = NULL;
        s->answers--;
        s->awaited -= a->awaited;
        s->owed -= a->owed;
        struct buf *out = port->ops->out(port, s->conn);
        if (out != NULL && !a->mute) {
            size_t at = buf_len(out);
            struct reply r = {.out = out, .resp = a->resp, .max = at + f->settings.out_max};
            if (a->finish != NULL)
                a->finish(f, a, &r);
            else
                buf_put_bytes(out, buf_bytes(&a->out));
            (void)reply_limit(&r, at);
            measure_errors(f, &r);
        }
        answer_free(f->courier, a);
    }
}

/* ------------------------------------------------------------ running commands */

static void reply_unknown(struct ask *a)
{
    char args[160];
    const char *hint = unsupported_hint(a->argv[0]);
    if (hint != NULL) {
        reply_errorf(&a->reply, "ERR command '%.*s' is not supported: %s", (int)a->argv[0].n,
                     (const char *)a->argv[0].p, hint);
        return;
    }
    size_t n = 0;
    for (uint32_t i = 1; i < a->argc && n < 128; i++) {
        size_t len = a->argv[i].n < 128 - n ? a->argv[i].n : 128 - n;
        n += (size_t)snprintf(args + n, sizeof args - n, "'%.*s' ", (int)len,
                              (const char *)a->argv[i].p);
    }
    args[n] = 0;
    reply_errorf(&a->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                 (int)(a->argv[0].n < 128 ? a->argv[0].n : 128), (const char *)a->argv[0].p, args);
}

/* In RESP2 a subscriber cannot tell replies from messages: it may run what has to do with them. */
static bool is_confined(const struct session *s, const struct command *command)
{
    if (s->resp > 2 || !session_subscribed(s))
        return false;
    const struct session_command *c = session_command_find(command->name);
    return c == NULL || !(c->flags & SESSION_SUBSCRIBED);
}

/* All shards are busy with scripts that take too long: few commands are answered. */
static bool refuse_busy(struct ask *a)
{
    const char *why = scripting_refusal(a->front, a->command);
    if (why == NULL)
        return false;
    if (strcmp(a->command->name, "exec") != 0) {
        reply_error(&a->reply, why);
        return true;
    }
    multi_discard(a->session);
    multi_unwatch(a->session, a->port, a->now);
    reply_errorf(&a->reply, "EXECABORT Transaction discarded because of: %s", why);
    return true;
}

/* True when the command may run; else the error is replied and a transaction made dirty. */
static bool may_run(struct ask *a)
{
    struct session *s = a->session;
    bool may = false;
    if (a->command == NULL &&
        (bytes_is_nocase(a->argv[0], "post") || bytes_is_nocase(a->argv[0], "host:"))) {
        /* A browser tricked into talking to us (cross-protocol scripting): hang up, as Redis does.
         */
        port_log(a->port, 'W', "a client sent HTTP to the database port: closed");
        s->closing = true;
        return false;
    }
    if (a->command == NULL)
        reply_unknown(a);
    else if ((a->command->flags & CMD_CONTAINER) && a->argc > 1)
        reply_unknown_subcommand(a);
    else if (!command_arity_ok(a->command, a->argc))
        reply_wrong_arguments(a, a->command->name);
    else if (!s->authenticated && !(a->command->flags & CMD_NO_AUTH))
        reply_error(&a->reply, "NOAUTH Authentication required.");
    else if (s->special && is_confined(s, a->command))
        reply_errorf(&a->reply,
                     "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT "
                     "/ RESET are allowed in this context",
                     a->command->name);
    else if (a->front->dataset.missing > 0 && dataset_refuses(a))
        may = false;
    else if (a->front->scripting.busy_count == 0 || !refuse_busy(a))
        may = s->unrestricted || acl_may_run(a);
    if (!may)
        multi_dirty(s);
    return may;
}

void session_run(struct ask *a)
{
    struct front *f = a->front;
    struct command_use *u = a->use;
    const struct measured m = {
        .command = a->command, .session = a->session->id, .argc = a->argc, .argv = a->argv};
    uint64_t began_us = measure_now(f);
    session_command_find(a->command->name)->run(a);
    u->calls++;
    measure_one(f, u, &m, began_us, a->now);
    measure_failed(f, u, &a->reply);
}

/* A cheap command's time is part of its pipeline's. */
static void run_own(struct ask *a, const struct session_command *c)
{
    if (a->use->timed || a->front->stats.precise) {
        session_run(a);
        return;
    }
    c->run(a);
    a->use->calls++;
    measure_failed(a->front, a->use, &a->reply);
    a->shares_time = true;
}

static void dispatch_own(struct ask *a)
{
    struct session *s = a->session;
    const struct session_command *c = session_command_find(a->command->name);
    if (c == NULL) {
        reply_errorf(&a->reply, "ERR command '%s' is not supported", a->command->name);
        multi_dirty(s);
    } else if (s->multi != NULL && !(c->flags & SESSION_AT_ONCE)) {
        multi_queue(a);
    } else {
        run_own(a, c);
        if (s->front->monitored) /* EXEC is shown behind its commands */
            monitor_command(a, a->command, a->argc, a->argv);
    }
}

void session_dispatch(struct ask *a)
{
    struct session *s = a->session;
    if (!may_run(a)) {
        if (a->command != NULL)
            a->use->rejected++;
        measure_errors(s->front, &a->reply);
        return;
    }
    s->last_command = a->command;
    if (a->command->where == AT_SESSION) {
        dispatch_own(a);
    } else if (s->multi != NULL) {
        multi_queue(a);
    } else {
        a->use->calls++;
        if (s->front->monitored)
            monitor_command(a, a->command, a->argc, a->argv);
        route_run(a);
        measure_failed(s->front, a->use, &a->reply);
    }
}

/* The general way of a command. True: its time has not been taken, and is the pipeline's. */
static bool run_slowly(struct session *s, struct port *port, const struct request *q,
                       struct moment now)
{
    struct ask a = {.front = s->front,
                    .session = s,
                    .port = port,
                    .now = now,
                    .command = q->command,
                    .use = q->use,
                    .argc = q->argc,
                    .argv = q->argv,
                    .reply = {.out = session_out(s, port), .resp = s->resp}};
    struct buf *out = a.reply.out;
    size_t before = buf_len(out);
    a.reply.max = before + s->front->settings.out_max;
    if (s->reply_mode == REPLY_SKIP_NEXT)
        s->reply_mode = REPLY_SKIP;
    s->front->running = s;
    session_dispatch(&a);
    s->front->running = NULL;
    if (a.reply.out == out && reply_limit(&a.reply, before))
        measure_errors(s->front, &a.reply);
    if (s->reply_mode == REPLY_OFF || s->reply_mode == REPLY_SKIP)
        out->tail = out->head + before;
    if (s->reply_mode == REPLY_SKIP)
        s->reply_mode = REPLY_ON;
    if (s->tracker != NULL)
        tracking_after(s, q->command);
    if (buf_len(&s->front->after) > 0)
        push_after(s, port);
    return a.shares_time;
}

/* A command with one key here, nothing special about the session: straight to the shard. `c` serves
 * the whole batch: no command changes it. */
static void run_quickly(struct session *s, const struct request *q, struct call *c)
{
    c->command = q->command;
    c->argc = q->argc;
    c->argv = q->argv;
    c->key_slot = q->slot;
    c->key_hash = q->hash;
    s->last_command = q->command;
    s->wrote |= (uint64_t)(q->command->flags & CMD_WRITE) << (q->slot >> SLOT_GROUP_BITS);
    q->use->calls++;
    shard_execute(q->shard, c);
    measure_failed(s->front, q->use, c->reply);
}

static bool is_plain(const struct session *s)
{
    return s->unrestricted && s->multi == NULL && s->reply_mode == REPLY_ON && !s->special &&
           !s->front->monitored;
}

/* Elements of collections lie one pointer further than keys: the collections, the elements'
 * buckets, the elements. A pipeline often stays at one key. */
static void prepare_elements(struct request *batch, unsigned n)
{
    const struct request *last = NULL;
    for (unsigned i = 0; i < n; i++) {
        struct request *q = &batch[i];
        q->coll = NULL;
        if (q->shard == NULL || command_element(q->command) == 0 ||
            command_element(q->command) >= q->argc)
            continue;
        bool same = last != NULL && last->hash == q->hash && last->shard == q->shard;
        q->coll =
            same ? last->coll
                 : shard_prefetch_coll(q->shard, q->slot, q->hash, q->argv[q->command->first_key]);
        last = q;
    }
    for (unsigned i = 0; i < n; i++)
        if (batch[i].coll != NULL)
            batch[i].elem_hash =
                coll_ahead_bucket(batch[i].coll, batch[i].argv[command_element(batch[i].command)]);
    for (unsigned i = 0; i < n; i++)
        if (batch[i].coll != NULL)
            coll_ahead_item(batch[i].coll, batch[i].elem_hash);
}

/* Looks the commands up and starts fetching the memory that they will touch: first all buckets,
 * then all items, then elements. */
static bool prepare(struct front *f, struct request *batch, unsigned n)
{
    bool elsewhere = false, elements = false;
    for (unsigned i = 0; i < n; i++) {
        struct request *q = &batch[i];
        q->command = front_resolve(f, q->argc, q->argv, &q->use);
        q->shard = NULL;
        if (q->command != NULL && command_arity_ok(q->command, q->argc))
            q->shard = front_locate(f, q->command, q->argc, q->argv, &q->slot, &q->hash);
        elements |= q->shard != NULL && command_element(q->command) != 0;
        elsewhere |= q->shard == NULL && q->command != NULL && q->command->where != AT_SESSION;
    }
    if (n == 1)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (batch[i].shard != NULL)
            shard_prefetch(batch[i].shard, batch[i].slot, batch[i].hash);
    for (unsigned i = 0; i < n; i++)
        if (batch[i].shard != NULL)
            shard_prefetch_item(batch[i].shard, batch[i].slot, batch[i].hash);
    if (elements)
        prepare_elements(batch, n);
    return elsewhere;
}

bool session_may_write(const struct front *f, const struct command *c, const struct bytes *argv)
{
    if (c->flags & CMD_WRITE || strcmp(c->name, "publish") == 0 || strcmp(c->name, "spublish") == 0)
        return true;
    return (c->flags & CMD_SCRIPT) && !(c->flags & CMD_READONLY) &&
           (f->scripting.scripts == NULL ||
            !scripts_only_reads(f->scripting.scripts, c->name, argv[1]));
}

/* CLIENT PAUSE: has this command to wait? CLIENT itself has not, so that UNPAUSE works; nor what is
 * refused in any case. */
static bool is_paused(const struct session *s, const struct request *q, struct moment now)
{
    const struct front *f = s->front;
    const struct command *c = q->command;
    if (f->pause_until_ms == 0 || now.wall_ms >= f->pause_until_ms || c == NULL)
        return false;
    if (strncmp(c->name, "client", 6) == 0 || !command_arity_ok(c, q->argc))
        return false;
    if (f->pause_all)
        return true;
    if (strcmp(c->name, "exec") == 0)
        return s->multi != NULL && s->multi->writes;
    return session_may_write(f, c, q->argv);
}

/* Those commands just before the next one whose time has not been taken. */
struct lap {
    unsigned n;
    uint64_t since_us; /* 0: not looked at */
};

/* Those before `next` get their time: the next lap begins. */
static void lap_close(struct front *f, struct lap *lap, const struct request *next)
{
    lap->since_us = measure_shared(f, next - lap->n, lap->n, lap->since_us);
    lap->n = 0;
}

/* A command that is measured by itself has run, alone in its lap. */
static void take_time(struct session *s, const struct request *q, struct lap *lap,
                      struct moment now)
{
    const struct measured m = {
        .command = q->command, .session = s->id, .argc = q->argc, .argv = q->argv};
    lap->since_us = measure_one(s->front, q->use, &m, lap->since_us, now);
    lap->n = 0;
}

/* Likewise, and what comes next is measured elsewhere. */
static void lap_end(struct front *f, struct lap *lap, const struct request *next)
{
    lap_close(f, lap, next);
    lap->since_us = 0;
}

static bool is_cheap(const struct front *f, const struct request *q)
{
    return !q->use->timed && !f->stats.precise;
}

static void run_in_lap(struct session *s, struct port *port, const struct request *q,
                       struct lap *lap, struct moment now)
{
    struct front *f = s->front;
    if (q->command == NULL || q->command->where != AT_SESSION || !is_cheap(f, q))
        lap_end(f, lap, q);
    else if (lap->since_us == 0)
        lap->since_us = measure_now(f);
    if (run_slowly(s, port, q, now))
        lap->n++;
    else
        lap_end(f, lap, q);
}

/* Runs the batch in order; returns how many ran before the session closed or had to wait: also when
 * their replies have become long, since the next ones' may be as long. */
static unsigned run_batch(struct session *s, struct port *port, struct request *batch, unsigned n,
                          struct moment now)
{
    struct front *f = s->front;
    /* Replies before one that has to wait wait with it: one write instead of two. */
    if (prepare(f, batch, n) && s->tail == NULL && courier_workers(f->courier) > 1)
        push(s, answer_new(f->courier, 0));
    struct reply r = {.out = session_out(s, port), .resp = s->resp};
    struct call quick = {.reply = &r, .now = now, .session = s->id, .hashed = true};
    bool plain = is_plain(s);
    struct request *q = batch, *end = batch + n;
    struct lap lap = {0};
    for (; q < end; q++) {
        if (f->pause_until_ms != 0 && is_paused(s, q, now))
            break;
        if (plain && q->shard != NULL) {
            if (lap.since_us == 0)
                lap.since_us = measure_now(f);
            bool cheap = is_cheap(f, q);
            if (!cheap)
                lap_close(f, &lap, q);
            size_t at = buf_len(r.out);
            r.max = at + f->settings.out_max;
            run_quickly(s, q, &quick);
            lap.n++;
            if (!cheap)
                take_time(s, q, &lap, now);
            if (__builtin_expect(!r.over && buf_len(r.out) <= PORT_HIGH, 1))
                continue;
            if (reply_limit(&r, at))
                measure_errors(f, &r);
            q++;
            break;
        }
        run_in_lap(s, port, q, &lap, now);
        bool stops = s->closing || s->awaited > 0 || s->blocked != NULL;
        if (!stops)
            r = (struct reply){.out = session_out(s, port), .resp = s->resp};
        if (stops || buf_len(r.out) > PORT_HIGH || s->owed > PORT_HIGH) {
            q++;
            break;
        }
        plain = is_plain(s);
    }
    lap_end(f, &lap, q);
    return (unsigned)(q - batch);
}

/* ------------------------------------------------------------ input */

bool session_must_wait(const struct session *s, struct port *port)
{
    return (s->parked && s->front->pause_until_ms != 0) || s->blocked != NULL ||
           s->answers >= ANSWERS_MAX || s->awaited > 0 || s->stopped != NULL ||
           (s->head != NULL && s->rounds - s->head->round >= ROUNDS_MAX) ||
           (!s->front->catalog.complete && s->front->dataset.missing == 0) || s->owed > PORT_HIGH ||
           (s->tail != NULL && buf_len(&s->tail->out) > PORT_HIGH) ||
           port->ops->pending(port, s->conn) > PORT_HIGH;
}

static void held_unlink(struct session *s)
{
    if (s->held_prev != NULL)
        s->held_prev->held_next = s->held_next;
    else
        s->front->held = s->held_next;
    if (s->held_next != NULL)
        s->held_next->held_prev = s->held_prev;
    s->held_prev = s->held_next = NULL;
}

void session_hold(struct session *s, struct port *port, bool held)
{
    if (s->held == held)
        return;
    s->held = held;
    port->ops->pause(port, s->conn, held);
    if (!held) {
        s->parked = false;
        held_unlink(s);
        return;
    }
    s->held_next = s->front->held;
    if (s->held_next != NULL)
        s->held_next->held_prev = s;
    s->front->held = s;
}

/* One that waits in a command reads on, since only so does it see its client go. */
static bool is_to_be_held(const struct session *s, struct port *port)
{
    if (s->blocked != NULL && s->stopped == NULL)
        return buf_len(&s->in) > PORT_HIGH;
    return session_must_wait(s, port);
}

bool session_ready(const struct session *s, struct port *port)
{
    return !s->dead && (!is_to_be_held(s, port) || stopped_ends(s, port));
}

static void protocol_error(struct session *s, struct port *port, const char *why)
{
    struct reply r = {.out = session_out(s, port), .resp = s->resp};
    reply_errorf(&r, "ERR %s", why);
    s->closing = true;
}

/* Goes on with a long command. Returns the bytes used: all of the command when it ran. */
static size_t continue_partial(struct session *s, struct port *port, struct bytes in,
                               const struct resp_limits *limits, struct moment now)
{
    struct partial *p = s->partial;
    switch (resp_parse(&p->resp, in, limits, &p->args)) {
    case RESP_MORE:
        return 0;
    case RESP_BAD:
        protocol_error(s, port, p->resp.why);
        return 0;
    case RESP_DONE:
        break;
    }
    struct request q = {.argv = p->args.at, .argc = p->resp.argc};
    size_t used = p->resp.used;
    if (run_batch(s, port, &q, 1, now) == 0) {
        s->parked = true;
        session_hold(s, port, true);
        used = 0;
    }
    partial_free(s);
    return used;
}

static void keep_partial(struct session *s, struct resp *r, struct resp_args *args)
{
    if (r->used < RESUME_MIN)
        return;
    struct partial *p = mem_zalloc(sizeof *p);
    p->args.n = p->args.cap = args->n - r->first;
    p->args.at = mem_dup(args->at + r->first, p->args.n * sizeof args->at[0]);
    p->resp = *r;
    p->resp.first = 0;
    s->partial = p;
}

/* Reads and runs up to BATCH_MAX commands. Returns the bytes used; 0: nothing more can be done with
 * this input. */
static size_t run_input(struct session *s, struct port *port, struct bytes in, struct moment now)
{
    struct front *f = s->front;
    struct resp_limits limits = f->limits;
    limits.unauthenticated = !s->authenticated;
    if (s->partial != NULL)
        return continue_partial(s, port, in, &limits, now);
    size_t ends[BATCH_MAX], at = 0;
    unsigned n = 0, max = s->authenticated ? BATCH_MAX : 1;
    enum resp_result result = RESP_DONE;
    struct resp r = {0};
    resp_args_clear(&f->args);
    while (n < max && at < in.n) {
        resp_next(&r);
        result = resp_parse(&r, bytes_of(in.p + at, in.n - at), &limits, &f->args);
        if (result != RESP_DONE)
            break;
        at += r.used;
        if (r.argc == 0)
            continue;
        f->batch[n].first = r.first;
        f->batch[n].argc = r.argc;
        ends[n++] = at;
    }
    if (n == 0 && result == RESP_MORE)
        keep_partial(s, &r, &f->args);
    for (unsigned i = 0; i < n; i++)
        f->batch[i].argv = f->args.at + f->batch[i].first;
    s->querying = at;
    unsigned ran = n > 0 ? run_batch(s, port, f->batch, n, now) : 0;
    if (ran < n && s->blocked == NULL) {
        s->parked = !s->closing && s->awaited == 0 && f->pause_until_ms != 0;
        session_hold(s, port, !s->closing);
    }
    if (ran < n)
        return ran > 0 ? ends[ran - 1] : 0;
    if (result == RESP_BAD && !s->closing && s->blocked == NULL)
        protocol_error(s, port, r.why);
    return at;
}

/* All answers are whole: parts of SCAN and others may have run here. */
static bool nothing_waits(const struct session *s)
{
    const struct answer *a = s->head;
    while (a != NULL && a->missing == 0)
        a = a->next;
    return a == NULL;
}

/* Runs what the input holds. Returns the bytes used. */
static size_t run_all(struct session *s, struct port *port, struct bytes in, struct moment now)
{
    size_t used = 0;
    while (used < in.n && !s->closing && !s->held && s->blocked == NULL) {
        size_t n = run_input(s, port, bytes_of(in.p + used, in.n - used), now);
        if (n == 0)
            break;
        used += n;
        if (s->head != NULL && (s->blocked != NULL || nothing_waits(s)))
            session_answers(s, port);
        if (s->blocked == NULL && session_must_wait(s, port))
            session_hold(s, port, true);
    }
    if (s->front->durable.on)
        durable_note(s, port, now);
    return used;
}

/* What has to happen after commands ran: close, or keep within the limits. May free the session. */
static void settle(struct session *s, struct port *port, struct moment now)
{
    if (port->ops->pending(port, s->conn) > session_unsent_max(s)) {
        s->front->cut_output++;
        port_log(port, 'W', "client %llu does not read its replies: closed at the output limit",
                 (unsigned long long)s->id);
        session_close(s, port, false, now);
    } else if (s->closing && s->head == NULL && s->waits_in == NULL) {
        session_close(s, port, true, now);
    }
}

static void drop_used(struct session *s, size_t used)
{
    buf_consume(&s->in, used);
    if (buf_len(&s->in) == 0)
        buf_deinit(&s->in);
}

static bool may_run_on(const struct session *s)
{
    return !s->held && s->blocked == NULL && s->waits_in == NULL;
}

void session_resume(struct session *s, struct port *port, struct moment now)
{
    if (s->dead)
        return;
    session_answers(s, port);
    stopped_go_on(s, port);
    if (s->held && !is_to_be_held(s, port))
        session_hold(s, port, false);
    if (may_run_on(s) && !s->closing && buf_len(&s->in) > 0)
        drop_used(s, run_all(s, port, buf_bytes(&s->in), now));
    settle(s, port, now);
}

static void take_data(struct session *s, struct port *port, struct bytes data, struct moment now)
{
    struct front *f = s->front;
    f->net_in += data.n;
    s->active_us = now.mono_us;
    if (s->closing || data.n == 0)
        return;
    if (!s->spoken && data.p[0] == LINK_MAGIC) {
        conn_id conn = s->conn;
        session_free(s, port, now);
        f->host.link(f->host.arg, f, port, conn, data, now);
        return;
    }
    if (s->stranger) {
        session_refuse(s, port, now);
        return;
    }
    s->spoken = true;
    if (!may_run_on(s) || buf_len(&s->in) > 0) {
        buf_put_bytes(&s->in, data);
        if (s->blocked != NULL && buf_len(&s->in) > PORT_HIGH)
            session_hold(s, port,
                         true); /* up to then it reads on: only so does it see its client go */
        if (may_run_on(s))
            drop_used(s, run_all(s, port, buf_bytes(&s->in), now));
    } else {
        size_t used = run_all(s, port, data, now);
        if (used < data.n && !s->closing)
            buf_put(&s->in, data.p + used, data.n - used);
    }
    settle(s, port, now);
}

static void session_step(struct conn_owner *owner, struct port *port, const struct event *ev)
{
    struct session *s = (struct session *)owner;
    switch (ev->kind) {
    case EV_DATA:
        take_data(s, port, ev->data, ev->now);
        break;
    case EV_DRAINED:
        session_resume(s, port, ev->now);
        break;
    case EV_CLOSED:
        session_free(s, port, ev->now);
        break;
    default:
        break;
    }
}
