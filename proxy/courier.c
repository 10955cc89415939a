/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/courier.h"

#include "base/mem.h"
#include "proxy/session.h"
#include "proxy/stopped.h"

#include <assert.h>

#define BATCH_BYTES (64u << 10) /* a batch that has grown to this is posted at once */
#define SPARES_MAX 64u          /* batches kept for reuse */
#define SPARE_ANSWERS_MAX 1024u /* likewise answers, with small buffers */
#define SPARE_ANSWER_BYTES 1024u
#define SPARE_BYTES (128u << 10)
#define PASS_BYTES (64u << 10) /* a reply that goes from here straight into the output */
#define NO_TICKET UINT32_MAX

enum { BATCH_ASKS = COURIER_MESSAGE_FIRST, BATCH_REPLIES = COURIER_MESSAGE_LAST };

/* What one worker asks another within a turn; it comes back with the replies. */
struct batch {
    struct msg msg; /* first */
    struct batch *next;
    struct buf jobs; /* records */
    struct buf replies;
};

/* A job in a batch: this, argc struct bytes (their p counts from the record's start while it
 * travels), the texts. */
struct record {
    uint32_t size; /* of the whole record, a multiple of 16 */
    uint32_t ticket;
    size_t reply_at, reply_len;
    struct shard *local;
    struct job job;
};

/* Who waits for a reply. Free tickets form a list through `part`. */
struct ticket {
    struct answer *answer;
    uint32_t part;
    uint32_t worker; /* who was asked */
};

struct courier {
    struct courier_opts opts;
    struct batch **open; /* by worker; NULL nothing collected */
    struct ticket *tickets;
    uint32_t tickets_cap, tickets_free;
    struct batch *spare;
    uint32_t spares;
    struct answer *spare_answers;
    uint32_t spare_answers_count;
    struct stopped stopped; /* other workers' sessions */
    uint64_t round;
    bool urgent; /* something collected has to arrive before any reply */
};

struct courier *courier_new(const struct courier_opts *o)
{
    struct courier *c = mem_zalloc(sizeof *c);
    c->opts = *o;
    if (c->opts.reply_bytes_max == 0)
        c->opts.reply_bytes_max = PORT_HIGH;
    stopped_init(&c->stopped);
    c->open = mem_zalloc(o->workers * sizeof(struct batch *));
    c->tickets_free = NO_TICKET;
    return c;
}

static void batch_free(struct batch *b)
{
    buf_deinit(&b->jobs);
    buf_deinit(&b->replies);
    mem_free(b);
}

static void batch_drop(struct msg *m) { batch_free((struct batch *)m); }

void courier_free(struct courier *c)
{
    for (uint32_t i = 0; i < c->tickets_cap; i++) {
        struct answer *a = c->tickets[i].answer;
        if (a != NULL && --a->missing == 0)
            answer_free(c, a);
    }
    for (uint32_t i = 0; i < c->opts.workers; i++)
        if (c->open[i] != NULL)
            batch_free(c->open[i]);
    for (struct batch *b = c->spare, *next; b != NULL; b = next) {
        next = b->next;
        batch_free(b);
    }
    for (struct answer *a = c->spare_answers, *next; a != NULL; a = next) {
        next = a->next;
        buf_deinit(&a->out);
        mem_free(a);
    }
    stopped_deinit(&c->stopped);
    mem_free(c->open);
    mem_free(c->tickets);
    mem_free(c);
}

uint32_t courier_self(const struct courier *c) { return c->opts.self; }

uint32_t courier_workers(const struct courier *c) { return c->opts.workers; }

/* ------------------------------------------------------------ answers */

struct answer *answer_new(struct courier *c, uint32_t parts)
{
    struct answer *a = c->spare_answers;
    if (a != NULL) {
        c->spare_answers = a->next;
        c->spare_answers_count--;
        a->next = NULL;
    } else {
        a = mem_zalloc(sizeof *a);
    }
    a->missing = parts;
    a->parts_count = parts;
    a->worker = a->at = ANSWER_NOBODY;
    if (parts > 1)
        a->parts = mem_zalloc(parts * sizeof a->parts[0]);
    return a;
}

void answer_free(struct courier *c, struct answer *a)
{
    for (uint32_t i = 0; a->parts != NULL && i < a->parts_count; i++)
        buf_deinit(&a->parts[i]);
    mem_free(a->parts);
    mem_free(a->order);
    mem_free(a->owes);
    struct buf out = a->out;
    bool keep = c->spare_answers_count < SPARE_ANSWERS_MAX;
    if (keep && out.cap <= SPARE_ANSWER_BYTES)
        buf_clear(&out);
    else
        buf_deinit(&out);
    if (!keep) {
        mem_free(a);
        return;
    }
    *a = (struct answer){.next = c->spare_answers, .out = out};
    c->spare_answers = a;
    c->spare_answers_count++;
}

void answer_abandon(struct courier *c, struct answer *a)
{
    a->session = NULL;
    if (a->missing == 0)
        answer_free(c, a);
}

static uint32_t ticket_take(struct courier *c, struct answer *a, uint32_t part, uint32_t worker)
{
    if (a == NULL)
        return NO_TICKET;
    if (c->tickets_free == NO_TICKET) {
        uint32_t old = c->tickets_cap;
        c->tickets_cap = old ? old * 2 : 64;
        c->tickets = mem_realloc(c->tickets, c->tickets_cap * sizeof c->tickets[0]);
        for (uint32_t i = c->tickets_cap; i-- > old;) {
            c->tickets[i] = (struct ticket){.part = c->tickets_free};
            c->tickets_free = i;
        }
    }
    uint32_t t = c->tickets_free;
    c->tickets_free = c->tickets[t].part;
    c->tickets[t] = (struct ticket){.answer = a, .part = part, .worker = worker};
    return t;
}

static struct ticket ticket_give_back(struct courier *c, uint32_t ticket)
{
    struct ticket t = c->tickets[ticket];
    c->tickets[ticket] = (struct ticket){.part = c->tickets_free};
    c->tickets_free = ticket;
    return t;
}

static void put_reply(struct port *port, struct answer *a, uint32_t part, struct bytes reply)
{
    if (reply.n >= PASS_BYTES && session_pass(a->session, port, a)) {
        struct buf *out = a->mute ? NULL : port->ops->out(port, a->session->conn);
        if (out != NULL)
            buf_put_bytes(out, reply);
        return;
    }
    buf_put_bytes(a->parts != NULL ? &a->parts[part] : &a->out, reply);
    session_part(a->session, a, reply.n);
}

/* A part has arrived. The session goes on when its oldest answer is whole. */
static void arrive(struct courier *c, struct port *port, const struct ticket *t, struct bytes reply,
                   struct moment now)
{
    struct answer *a = t->answer;
    a->missing--;
    if (a->owes != NULL)
        a->owes[t->worker]--;
    if (a->session == NULL) {
        if (a->missing == 0)
            answer_free(c, a);
        return;
    }
    put_reply(port, a, t->part, reply);
    if (a->missing == 0 && (a->session->head == a || a->session->head->missing == 0))
        session_resume(a->session, port, now);
}

void courier_complete(struct courier *c, struct port *port, struct answer *a, struct bytes reply,
                      struct moment now)
{
    arrive(c, port, &(struct ticket){.answer = a}, reply, now);
}

/* A worker says that it keeps the jobs of the session whose answer this is. */
static void hear_stopped(struct courier *c, struct port *port, const struct job *job,
                         struct answer *a, uint32_t worker)
{
    if (a->session != NULL) {
        stopped_at(a->session, port, worker);
        return;
    }
    struct job forget = {.kind = JOB_FORGET, .db_uid = job->db_uid, .session = job->session};
    courier_send(c, port, worker, &forget, NULL, 0);
}

/* The reply of a record whose batch has come back. */
static void deliver(struct courier *c, struct port *port, const struct record *r,
                    struct bytes reply, struct moment now)
{
    struct answer *a = c->tickets[r->ticket].answer;
    if (r->job.stopped)
        hear_stopped(c, port, &r->job, a, c->tickets[r->ticket].worker);
    if (r->job.later) { /* the ticket is kept for JOB_LATE */
        if (a->session != NULL && !a->awaited) {
            a->awaited = true;
            a->session->awaited++;
            session_hold(a->session, port, true);
        }
        return;
    }
    if (r->job.durable != 0 && a->session != NULL)
        durable_join(a->session, port, r->job.worker, r->job.durable, now);
    struct ticket t = ticket_give_back(c, r->ticket);
    if (r->job.kind == JOB_BLOCK && a->session != NULL) {
        buf_put_bytes(&a->out, reply);
        session_part(a->session, a, reply.n);
        blocked_returned(a->session, a, r->job.waits_ms, now);
        return;
    }
    arrive(c, port, &t, reply, now);
}

/* JOB_LATE: what was promised. */
static void deliver_late(struct courier *c, struct port *port, const struct job *job,
                         struct moment now)
{
    uint32_t ticket;
    memcpy(&ticket, job->argv[0].p, sizeof ticket);
    assert(ticket < c->tickets_cap && c->tickets[ticket].answer != NULL);
    struct ticket t = ticket_give_back(c, ticket);
    if (job->durable != 0 && t.answer->session != NULL)
        durable_join(t.answer->session, port, job->worker, job->durable, now);
    arrive(c, port, &t, job->argv[1], now);
}

/* ------------------------------------------------------------ batches */

static struct batch *batch_open(struct courier *c, uint32_t worker)
{
    struct batch *b = c->open[worker];
    if (b != NULL)
        return b;
    b = c->spare;
    if (b != NULL) {
        c->spare = b->next;
        c->spares--;
    } else {
        b = mem_zalloc(sizeof *b);
    }
    b->next = NULL;
    b->msg = (struct msg){.kind = BATCH_ASKS, .drop = batch_drop};
    c->open[worker] = b;
    return b;
}

static void batch_done(struct courier *c, struct batch *b)
{
    if (c->spares >= SPARES_MAX || b->jobs.cap + b->replies.cap > SPARE_BYTES) {
        batch_free(b);
        return;
    }
    buf_clear(&b->jobs);
    buf_clear(&b->replies);
    b->next = c->spare;
    c->spare = b;
    c->spares++;
}

/* Appends a record of the job, as it travels. Returns its size. */
static size_t record_put(struct buf *to, const struct job *job, uint32_t ticket)
{
    size_t head = sizeof(struct record) + job->argc * sizeof(struct bytes), size = head;
    for (uint32_t i = 0; i < job->argc; i++)
        size += job->argv[i].n;
    size += job->user.n;
    size = (size + 15) & ~(size_t)15;
    assert(size <= UINT32_MAX);
    uint8_t *p = buf_reserve(to, size);
    struct record *r = (struct record *)(void *)p;
    struct bytes *argv = (struct bytes *)(void *)(p + sizeof *r);
    *r = (struct record){.size = (uint32_t)size, .ticket = ticket, .job = *job};
    size_t at = head;
    for (uint32_t i = 0; i < job->argc; i++) {
        argv[i] = (struct bytes){.p = (const uint8_t *)(uintptr_t)at, .n = job->argv[i].n};
        if (job->argv[i].n > 0)
            memcpy(p + at, job->argv[i].p, job->argv[i].n);
        at += job->argv[i].n;
    }
    r->job.user.p = (const uint8_t *)(uintptr_t)at;
    if (job->user.n > 0)
        memcpy(p + at, job->user.p, job->user.n);
    buf_added(to, size);
    return size;
}

static void batch_post(struct courier *c, struct port *port, uint32_t worker)
{
    struct msg *m = &c->open[worker]->msg;
    c->open[worker] = NULL;
    c->round++;
    port->ops->post(port, worker, m);
}

/* The answer waits for that worker. */
static void note_asked(const struct courier *c, struct answer *a, uint32_t worker)
{
    struct session *s = a->session;
    if (a->parts == NULL) {
        a->at = worker;
    } else {
        if (a->owes == NULL)
            a->owes = mem_zalloc(c->opts.workers * sizeof a->owes[0]);
        a->owes[worker]++;
    }
    if (s == NULL || s->round == c->round)
        return;
    s->round = c->round;
    s->rounds++;
}

size_t courier_send(struct courier *c, struct port *port, uint32_t worker, const struct job *job,
                    struct answer *a, uint32_t part)
{
    struct batch *b = batch_open(c, worker);
    if (a != NULL)
        note_asked(c, a, worker);
    size_t size = record_put(&b->jobs, job, ticket_take(c, a, part, worker));
    if (buf_len(&b->jobs) >= BATCH_BYTES)
        batch_post(c, port, worker);
    return size;
}

void courier_urgent(struct courier *c) { c->urgent = true; }

void courier_flush(struct courier *c, struct port *port)
{
    c->urgent = false;
    for (uint32_t i = 0; i < c->opts.workers; i++)
        if (c->open[i] != NULL)
            batch_post(c, port, i);
}

static struct record *record_at(struct batch *b, size_t at)
{
    return (struct record *)(void *)(b->jobs.p + at);
}

/* Gives the arguments their addresses and asks for their keys' cache lines. */
static void batch_prepare(struct courier *c, struct batch *b)
{
    for (size_t at = 0; at < b->jobs.tail; at += record_at(b, at)->size) {
        struct record *r = record_at(b, at);
        struct bytes *argv = (struct bytes *)(void *)(b->jobs.p + at + sizeof *r);
        for (uint32_t i = 0; i < r->job.argc; i++)
            argv[i].p = b->jobs.p + at + (uintptr_t)argv[i].p;
        r->job.argv = argv;
        r->job.user.p = b->jobs.p + at + (uintptr_t)r->job.user.p;
        struct front *f = c->opts.front(c->opts.arg, r->job.db_uid);
        if (f != NULL && r->job.kind == JOB_COMMAND)
            r->local =
                front_locate(f, r->job.command, r->job.argc, argv, &r->job.slot, &r->job.hash);
        r->job.hashed = r->local != NULL;
    }
    for (size_t at = 0; at < b->jobs.tail; at += record_at(b, at)->size) {
        struct record *r = record_at(b, at);
        if (r->local != NULL)
            shard_prefetch(r->local, r->job.slot, r->job.hash);
    }
    for (size_t at = 0; at < b->jobs.tail; at += record_at(b, at)->size) {
        struct record *r = record_at(b, at);
        if (r->local != NULL)
            shard_prefetch_item(r->local, r->job.slot, r->job.hash);
    }
}

static void batch_run(struct courier *c, struct port *port, struct batch *b, struct moment now);

/* JOB_GO_ON: what was kept runs as if it came now. */
static void go_on(struct courier *c, struct port *port, const struct job *job, uint32_t from,
                  struct moment now)
{
    struct buf jobs = stopped_take(&c->stopped, job->db_uid, job->session);
    if (buf_len(&jobs) == 0) {
        buf_deinit(&jobs);
        return;
    }
    struct batch *b = mem_zalloc(sizeof *b);
    b->msg = (struct msg){.kind = BATCH_ASKS, .from = from, .drop = batch_drop};
    b->jobs = jobs;
    batch_run(c, port, b, now);
}

static void run(const struct courier *c, struct front *f, struct port *port, struct batch *b,
                struct record *r, struct moment now)
{
    front_run(f, port, &r->job, &b->replies, now);
    if (!f->durable.on || r->ticket == NO_TICKET)
        return;
    r->job.worker = c->opts.self;
    r->job.durable = durable_mark(f, b->msg.from);
}

/* JOB_FORGET: tickets go back; what nobody waits for is told all the same (the end of a WATCH). */
static void forget(struct courier *c, struct port *port, const struct job *job, uint32_t from,
                   struct moment now)
{
    struct buf jobs = stopped_take(&c->stopped, job->db_uid, job->session);
    struct front *f = c->opts.front(c->opts.arg, job->db_uid);
    struct batch *b = mem_zalloc(sizeof *b);
    b->msg = (struct msg){.kind = BATCH_REPLIES, .drop = batch_drop};
    b->jobs = jobs;
    batch_prepare(c, b);
    for (size_t at = 0; at < b->jobs.tail; at += record_at(b, at)->size) {
        struct record *r = record_at(b, at);
        if (r->ticket == NO_TICKET && f != NULL && !f->ending)
            front_run(f, port, &r->job, &b->replies, now);
    }
    port->ops->post(port, from, &b->msg);
}

/* Runs a job of a client's session, or tells why not. */
static void run_record(struct courier *c, struct port *port, struct batch *b, struct record *r,
                       struct moment now)
{
    struct front *f = c->opts.front(c->opts.arg, r->job.db_uid);
    switch (r->job.kind) {
    case JOB_LATE:
        deliver_late(c, port, &r->job, now);
        return;
    case JOB_GO_ON:
        go_on(c, port, &r->job, b->msg.from, now);
        return;
    case JOB_FORGET:
        forget(c, port, &r->job, b->msg.from, now);
        return;
    default:
        break;
    }
    if (f != NULL && !(f->ending && r->ticket != NO_TICKET))
        run(c, f, port, b, r, now);
    else
        buf_put_str(&b->replies, "-ERR the database has been deleted\r\n");
    if (r->job.later)
        scripting_wait_for(f, r->job.shard, b->msg.from, r->ticket);
}

/* Is the session stopped here? Then the job waits with it. */
static bool keep_record(struct courier *c, struct record *r)
{
    if (r->job.session == 0 || r->job.kind == JOB_GO_ON || r->job.kind == JOB_FORGET)
        return false;
    struct stopped_session *s = stopped_find(&c->stopped, r->job.db_uid, r->job.session);
    if (s == NULL)
        return false;
    record_put(&s->jobs, &r->job, r->ticket);
    r->ticket = NO_TICKET;
    return true;
}

static void batch_run(struct courier *c, struct port *port, struct batch *b, struct moment now)
{
    batch_prepare(c, b);
    uint64_t session = 0;
    uint32_t db_uid = 0;
    size_t answered = 0; /* to that session, since it was heard of there */
    for (size_t at = 0; at < b->jobs.tail; at += record_at(b, at)->size) {
        struct record *r = record_at(b, at);
        r->reply_at = buf_len(&b->replies);
        if (keep_record(c, r))
            continue;
        if (r->job.session != session || r->job.db_uid != db_uid)
            answered = 0;
        session = r->job.session;
        db_uid = r->job.db_uid;
        r->job.answered = answered;
        run_record(c, port, b, r, now);
        r->reply_len = buf_len(&b->replies) - r->reply_at;
        answered += r->reply_len;
#ifdef MUTANT_replies_unbounded
        continue; /* the planted bug */
#endif
        if (answered <= c->opts.reply_bytes_max || session == 0 || r->ticket == NO_TICKET)
            continue;
        stopped_add(&c->stopped, db_uid, session);
        r->job.stopped = true;
    }
    if (c->urgent)
        courier_flush(c, port);
    uint32_t to = b->msg.from;
    b->msg = (struct msg){.kind = BATCH_REPLIES, .drop = batch_drop};
    port->ops->post(port, to, &b->msg);
}

void courier_message(struct courier *c, struct port *port, struct msg *msg, struct moment now)
{
    struct batch *b = (struct batch *)msg;
    if (msg->kind == BATCH_ASKS) {
        batch_run(c, port, b, now);
        return;
    }
    for (size_t at = 0; at < b->jobs.tail; at += record_at(b, at)->size) {
        const struct record *r = record_at(b, at);
        if (r->ticket != NO_TICKET)
            deliver(c, port, r, bytes_of(b->replies.p + r->reply_at, r->reply_len), now);
    }
    batch_done(c, b);
}
