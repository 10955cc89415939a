/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/blocked.h"

#include "base/mem.h"
#include "base/num.h"
#include "proxy/route.h"

#include <assert.h>

#define STALE_MAX 64u /* deadlines of commands that have ended, before they are swept */

struct blocked_session {
    uint64_t id;             /* the session's */
    struct session *session; /* NULL: it has gone, `woken` frees this */
    struct answer *answer;   /* the reply goes to its `out` */
    struct blocked_session *next_woken;
    uint64_t serial;
    uint32_t shard;
    const struct wait_kind *kind; /* NULL: for keys, at that shard */
    void *state;                  /* of the kind */
    bool asking;                  /* JOB_BLOCK is under way: its ticket holds the answer */
    bool served;                  /* the reply is there */
    bool ending;                  /* JOB_UNBLOCK is under way */
    uint32_t worker;              /* served: where ... */
    uint64_t turn;                /* ... and in which turn (durable.h) */
};

static struct bytes id_name(const void *item)
{
    const struct blocked_session *b = item;
    return bytes_of(&b->id, sizeof b->id);
}

static const struct table_type sessions_type = {.name_of = id_name};

void blocked_init(struct blocked_sessions *b, uint64_t seed)
{
    *b = (struct blocked_sessions){0};
    table_init(&b->sessions, &sessions_type, (struct hash_key){.k0 = seed, .k1 = ~seed});
}

void blocked_deinit(struct blocked_sessions *b)
{
    while (b->woken != NULL) {
        struct blocked_session *next = b->woken->next_woken;
        mem_free(b->woken);
        b->woken = next;
    }
    assert(b->sessions.count == 0);
    table_deinit(&b->sessions, NULL, NULL);
    heap_deinit(&b->deadlines);
}

size_t blocked_count(const struct blocked_sessions *b) { return b->sessions.count; }

static struct blocked_session *find(const struct front *f, uint64_t id)
{
    struct bytes name = bytes_of(&id, sizeof id);
    return table_get(&f->blocked.sessions, table_hash(&f->blocked.sessions, name), name);
}

static void leave(struct front *f, struct blocked_session *b)
{
    table_remove(&f->blocked.sessions, table_hash(&f->blocked.sessions, id_name(b)), b);
}

/* ------------------------------------------------------------ beginning */

static struct blocked_session *begin(struct session *s, struct answer *a, uint32_t shard)
{
    struct blocked_sessions *all = &s->front->blocked;
    struct blocked_session *b = mem_zalloc(sizeof *b);
    b->id = s->id;
    b->session = s;
    b->answer = a;
    b->serial = ++all->serials;
    b->shard = shard;
    assert(s->blocked == NULL);
    s->blocked = b;
    table_put(&all->sessions, table_hash(&all->sessions, id_name(b)), b);
    return b;
}

static bool is_waiting(const struct heap_entry *e, void *arg)
{
    const struct blocked_session *b = find(arg, e->what);
    return b != NULL && b->serial == e->which;
}

static void set_deadline(struct front *f, const struct blocked_session *b, int64_t timeout_ms,
                         struct moment now)
{
    struct heap *h = &f->blocked.deadlines;
    if (timeout_ms == 0 || timeout_ms > (INT64_MAX - (int64_t)now.mono_us) / 1000)
        return; /* for ever, or as good as */
    if (h->n > 2 * f->blocked.sessions.count + STALE_MAX)
        heap_filter(h, is_waiting, f);
    heap_push(h, (struct heap_entry){.when = (int64_t)now.mono_us + timeout_ms * 1000,
                                     .what = b->id,
                                     .which = b->serial});
}

static void run_here(struct ask *a, struct job *job)
{
    struct session *s = a->session;
    front_run(a->front, a->port, job, a->reply.out, a->now);
    if (job->waits_ms < 0)
        return;
    struct answer *answer = answer_new(a->front->courier, 1);
    session_wait(s, answer);
    set_deadline(a->front, begin(s, answer, job->shard), job->waits_ms, a->now);
}

void blocked_run(struct ask *a, struct job *job)
{
    struct front *f = a->front;
    const struct front_shard *at = &f->shards[job->shard];
    job->kind = JOB_BLOCK;
    if (at->local != NULL) {
        run_here(a, job);
        return;
    }
    struct answer *answer = answer_new(f->courier, 1);
    session_wait(a->session, answer);
    begin(a->session, answer, job->shard)->asking = true;
    session_part(a->session, answer, courier_send(f->courier, a->port, at->worker, job, answer, 0));
}

/* ------------------------------------------------------------ ending */

/* The answer is whole: the session goes on at the end of the turn. */
static void finish(struct front *f, struct blocked_session *b)
{
    struct blocked_sessions *all = &f->blocked;
    leave(f, b);
    b->answer->missing = 0;
    b->answer = NULL;
    if (all->woken == NULL)
        all->woken = b;
    else
        all->woken_last->next_woken = b;
    all->woken_last = b;
}

void blocked_returned(struct session *s, struct answer *a, int64_t waits_ms, struct moment now)
{
    struct blocked_session *b = s->blocked;
    assert(b != NULL && b->answer == a);
    b->asking = false;
    if (waits_ms < 0 || b->served)
        finish(s->front, b);
    else
        set_deadline(s->front, b, waits_ms, now);
}

void blocked_served(struct front *f, const struct job *job)
{
    struct blocked_session *b = find(f, job->session);
    struct bytes reply = job->argv[0];
    if (b == NULL)
        return; /* it has gone meanwhile */
    b->worker = job->worker;
    b->turn = job->durable;
    buf_put_bytes(&b->answer->out, reply);
    session_part(b->session, b->answer, reply.n);
    b->served = true;
    if (!b->asking) /* else the job's ticket comes back first */
        finish(f, b);
}

void front_unblocked(struct front *f, struct port *port, uint64_t session, struct bytes reply)
{
    uint32_t worker = (uint32_t)((session - 1) % courier_workers(f->courier));
    uint32_t self = courier_self(f->courier);
    struct job job = {.kind = JOB_UNBLOCKED,
                      .db_uid = f->db_uid,
                      .session = session,
                      .worker = self,
                      .durable = worker == self ? f->durable.turn : durable_promise(f, worker),
                      .argc = 1,
                      .argv = &reply};
    if (worker == self)
        blocked_served(f, &job);
    else
        courier_send(f->courier, port, worker, &job, NULL, 0);
}

static struct bytes why_text(enum unblock why)
{
    return bytes_str(why == UNBLOCK_TIMEOUT ? "timeout" : why == UNBLOCK_ERROR ? "error" : "gone");
}

static enum unblock why_of(struct bytes text)
{
    return bytes_is_nocase(text, "timeout") ? UNBLOCK_TIMEOUT
           : bytes_is_nocase(text, "error") ? UNBLOCK_ERROR
                                            : UNBLOCK_GONE;
}

void blocked_end_job(struct front *f, struct port *port, struct shard *shard, const struct job *job)
{
    struct buf reply = {0};
    enum unblock why = why_of(job->argv[0]);
    if (shard_unblock(shard, job->session, why, &reply) && why != UNBLOCK_GONE)
        front_unblocked(f, port, job->session, buf_bytes(&reply));
    buf_deinit(&reply);
}

/* Nothing but this worker decides when it ends. */
static void end_kind(struct front *f, struct port *port, struct blocked_session *b,
                     enum unblock why)
{
    struct buf unwanted = {0};
    struct reply r = {.out = why == UNBLOCK_ERROR ? &unwanted : &b->answer->out,
                      .resp = b->answer->resp};
    void *state = b->state;
    b->state = NULL;
    b->kind->end(f, port, b->id, state, why == UNBLOCK_GONE ? NULL : &r);
    buf_deinit(&unwanted);
    if (why == UNBLOCK_GONE)
        return;
    r.out = &b->answer->out;
    if (why == UNBLOCK_ERROR)
        reply_error(&r, UNBLOCKED_BY_CLIENT);
    b->served = true;
    finish(f, b);
}

static void end(struct front *f, struct port *port, struct blocked_session *b, enum unblock why)
{
    if (b->kind != NULL) {
        end_kind(f, port, b, why);
        return;
    }
    const struct front_shard *at = &f->shards[b->shard];
    struct bytes arg = why_text(why);
    struct job job = {.kind = JOB_UNBLOCK,
                      .db_uid = f->db_uid,
                      .shard = b->shard,
                      .session = b->id,
                      .argc = 1,
                      .argv = &arg};
    if (at->local != NULL) {
        blocked_end_job(f, port, at->local, &job);
    } else if (!b->ending || why == UNBLOCK_GONE) {
        b->ending = true;
        courier_send(f->courier, port, at->worker, &job, NULL, 0);
    }
}

void blocked_forget(struct session *s, struct port *port)
{
    struct front *f = s->front;
    struct blocked_session *b = s->blocked;
    if (b == NULL)
        return;
    s->blocked = NULL;
    b->session = NULL;
    if (b->answer == NULL)
        return; /* served: blocked_wake frees it */
    end(f, port, b, UNBLOCK_GONE);
    leave(f, b);
    if (!b->asking)
        b->answer->missing = 0; /* nobody else holds it */
    mem_free(b);
}

void blocked_wait(struct ask *a, int64_t timeout_ms, const struct wait_kind *kind, void *state)
{
    struct answer *answer = answer_new(a->front->courier, 1);
    session_wait(a->session, answer);
    struct blocked_session *b = begin(a->session, answer, 0);
    b->kind = kind;
    b->state = state;
    set_deadline(a->front, b, timeout_ms, a->now);
}

void *blocked_state(const struct front *f, uint64_t session, const struct wait_kind *kind)
{
    const struct blocked_session *b = find(f, session);
    return b != NULL && b->kind == kind && !b->served ? b->state : NULL;
}

void blocked_over(struct front *f, struct port *port, uint64_t session)
{
    struct blocked_session *b = find(f, session);
    assert(b != NULL && b->kind != NULL && !b->served);
    end(f, port, b, UNBLOCK_TIMEOUT);
}

bool blocked_unblock(struct front *f, struct port *port, const struct bytes *argv)
{
    int64_t id = 0;
    (void)num_parse_i64(argv[0], &id);
    struct blocked_session *b = find(f, (uint64_t)id);
    if (b == NULL || b->served || b->ending)
        return false;
    end(f, port, b, why_of(argv[1]));
    return true;
}

/* ------------------------------------------------------------ time */

uint64_t blocked_deadline(const struct front *f)
{
    const struct heap_entry *e = heap_min(&f->blocked.deadlines);
    if (f->blocked.woken != NULL)
        return 0;
    return e != NULL ? (uint64_t)e->when : UINT64_MAX;
}

void blocked_expire(struct front *f, struct port *port, struct moment now)
{
    struct heap *h = &f->blocked.deadlines;
    struct heap_entry e;
    while (heap_min(h) != NULL && (uint64_t)heap_min(h)->when <= now.mono_us) {
        heap_pop(h, &e);
        struct blocked_session *b = find(f, e.what);
        if (b != NULL && b->serial == e.which && !b->served)
            end(f, port, b, UNBLOCK_TIMEOUT);
    }
}

void blocked_wake(struct front *f, struct port *port, struct moment now)
{
    struct blocked_sessions *all = &f->blocked;
    struct blocked_session *b = all->woken;
    all->woken = all->woken_last = NULL; /* who is woken meanwhile goes on in the next turn */
    while (b != NULL) {
        struct blocked_session *next = b->next_woken;
        struct session *s = b->session;
        uint32_t worker = b->worker;
        uint64_t turn = b->turn;
        mem_free(b);
        if (s != NULL) {
            s->blocked = NULL;
            if (f->durable.on)
                durable_woken(s, port, worker, turn, now);
            session_resume(s, port, now);
        }
        b = next;
    }
}
