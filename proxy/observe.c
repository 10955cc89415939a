/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/observe.h"

#include "base/mem.h"
#include "proxy/session.h"

#define ALL UINT64_MAX

/* ------------------------------------------------------------ on each worker */

struct observer {
    struct observer *next;
    uint64_t session, mask, learnt;
    enum observe what;
    struct token_entry *entries; /* owned; of partitions that are here */
    size_t n, at;                /* HERE: up to `at` they are covered */
};

struct said {
    uint64_t mask;
    uint32_t worker;
};

static struct shard *local_shard(const struct front *f, uint32_t partition)
{
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (partition - f->shards[i].first_partition < f->shards[i].count)
            return f->shards[i].local;
    return NULL;
}

bool groups_have(uint64_t groups, uint32_t partition, uint32_t partitions)
{
    uint32_t slots = SLOTS / partitions;
    uint32_t first = partition * slots >> SLOT_GROUP_BITS;
    uint32_t last = ((partition + 1) * slots - 1) >> SLOT_GROUP_BITS;
    for (uint32_t g = first; g <= last; g++)
        if (groups >> g & 1)
            return true;
    return false;
}

static void add_entry(struct observer *o, stamp_t stamp, uint32_t partition)
{
    o->entries = mem_realloc(o->entries, (o->n + 1) * sizeof o->entries[0]);
    o->entries[o->n++] = (struct token_entry){.stamp = stamp, .partition = partition};
}

/* What this region had written when the wait began, of all its lives. */
static void add_own(const struct front *f, struct observer *o, uint64_t groups)
{
    struct figures_db db = {.region = 0};
    f->host.describe(f->host.arg, f, &db);
    for (uint32_t p = 0; p < f->partitions; p++) {
        struct shard *shard = groups_have(groups, p, f->partitions) ? local_shard(f, p) : NULL;
        if (shard == NULL)
            continue;
        const struct context *c = shard_context(shard, p);
        for (unsigned i = 0; i < c->n; i++)
            if (actor_region(stamp_actor(c->at[i])) == db.region)
                add_entry(o, c->at[i], p);
    }
}

static uint64_t look(const struct front *f, struct observer *o)
{
    uint64_t mask = ALL;
    if (o->what == OBSERVE_HERE) {
        for (; o->at < o->n; o->at++) {
            const struct token_entry *e = &o->entries[o->at];
            if (!context_covers(shard_context(local_shard(f, e->partition), e->partition),
                                e->stamp))
                return 0;
        }
        return ALL;
    }
    for (size_t i = 0; i < o->n && mask != 0; i++)
        mask &= f->host.have(f->host.arg, f, o->entries[i].partition, o->entries[i].stamp,
                             o->what == OBSERVE_DURABLE);
    return mask;
}

static void tell(struct front *f, struct port *port, const struct observer *o)
{
    struct said said = {.mask = o->mask, .worker = courier_self(f->courier)};
    struct bytes arg = bytes_of(&said, sizeof said);
    uint32_t worker = (uint32_t)((o->session - 1) % courier_workers(f->courier));
    struct job job = {
        .kind = JOB_OBSERVED, .db_uid = f->db_uid, .session = o->session, .argc = 1, .argv = &arg};
    if (worker == said.worker)
        observe_heard(f, port, o->session, arg);
    else
        courier_send(f->courier, port, worker, &job, NULL, 0);
}

void observe_begin(struct front *f, struct port *port, const struct job *job)
{
    struct observer *o = mem_zalloc(sizeof *o);
    uint32_t what;
    uint64_t groups;
    memcpy(&what, job->argv[0].p, sizeof what);
    memcpy(&groups, job->argv[1].p, sizeof groups);
    o->session = job->session;
    o->what = (enum observe)what;
    o->learnt = f->host.learnt(f->host.arg, f);
    if (o->what != OBSERVE_HERE)
        add_own(f, o, groups);
    for (size_t i = 0; i < job->argv[2].n; i += sizeof(struct token_entry)) {
        struct token_entry e;
        memcpy(&e, job->argv[2].p + i, sizeof e);
        if (local_shard(f, e.partition) != NULL)
            add_entry(o, e.stamp, e.partition);
    }
    o->next = f->observers.first;
    f->observers.first = o;
    o->mask = look(f, o);
    tell(f, port, o);
}

static void observer_free(struct observer *o)
{
    mem_free(o->entries);
    mem_free(o);
}

void observe_end(struct front *f, uint64_t session)
{
    for (struct observer **at = &f->observers.first; *at != NULL; at = &(*at)->next) {
        struct observer *o = *at;
        if (o->session != session)
            continue;
        *at = o->next;
        observer_free(o);
        return;
    }
}

void observers_deinit(struct observers *all)
{
    while (all->first != NULL) {
        struct observer *o = all->first;
        all->first = o->next;
        observer_free(o);
    }
}

void observe_turn(struct front *f, struct port *port)
{
    if (f->observers.first == NULL)
        return;
    uint64_t learnt = f->host.learnt(f->host.arg, f);
    for (struct observer *o = f->observers.first, *next; o != NULL; o = next) {
        next = o->next; /* telling a session of this worker may end the wait */
        if (o->what != OBSERVE_HERE && o->learnt == learnt)
            continue;
        o->learnt = learnt;
        uint64_t mask = look(f, o);
        if (mask == o->mask)
            continue;
        o->mask = mask;
        tell(f, port, o);
    }
}

/* ------------------------------------------------------------ on the session's worker */

struct watching {
    int64_t wanted;
    uint64_t peers;
    enum observe what;
    uint32_t workers;
    uint64_t masks[]; /* by worker: what it said last */
};

static uint64_t shared_mask(const struct watching *w)
{
    uint64_t mask = w->what == OBSERVE_HERE ? ALL : w->peers;
    for (uint32_t i = 0; i < w->workers; i++)
        mask &= w->masks[i];
    return mask;
}

static bool is_enough(const struct watching *w)
{
    uint64_t mask = shared_mask(w);
    return w->what == OBSERVE_HERE ? mask != 0 : __builtin_popcountll(mask) >= w->wanted;
}

static void end(struct front *f, struct port *port, uint64_t session, void *state, struct reply *r)
{
    struct watching *w = state;
    struct job job = {.kind = JOB_UNOBSERVE, .db_uid = f->db_uid, .session = session};
    for (uint32_t i = 0; i < w->workers; i++) {
        if (i != courier_self(f->courier))
            courier_send(f->courier, port, i, &job, NULL, 0);
        else
            observe_end(f, session);
    }
    if (r != NULL && w->what == OBSERVE_HERE)
        reply_int(r, shared_mask(w) != 0);
    else if (r != NULL)
        reply_int(r, __builtin_popcountll(shared_mask(w)));
    mem_free(w);
}

static const struct wait_kind kind = {.end = end};

void observe_heard(struct front *f, struct port *port, uint64_t session, struct bytes arg)
{
    struct said said;
    struct watching *w = blocked_state(f, session, &kind);
    memcpy(&said, arg.p, sizeof said);
    if (w == NULL)
        return; /* it has ended meanwhile */
    w->masks[said.worker] = said.mask;
    if (is_enough(w))
        blocked_over(f, port, session);
}

void observe_wait(struct ask *a, enum observe what, int64_t wanted, int64_t timeout_ms,
                  struct bytes entries)
{
    struct front *f = a->front;
    uint32_t workers = courier_workers(f->courier), code = what;
    struct watching *w = mem_zalloc(sizeof *w + workers * sizeof w->masks[0]);
    w->wanted = wanted;
    w->what = what;
    w->workers = workers;
    w->peers = f->host.peers(f->host.arg, f);
    blocked_wait(a, timeout_ms, &kind, w);
    struct bytes argv[3] = {bytes_of(&code, sizeof code),
                            bytes_of(&a->session->wrote, sizeof a->session->wrote), entries};
    struct job job = {.kind = JOB_OBSERVE,
                      .db_uid = f->db_uid,
                      .session = a->session->id,
                      .argc = 3,
                      .argv = argv};
    for (uint32_t i = 0; i < workers; i++)
        if (i != courier_self(f->courier))
            courier_send(f->courier, a->port, i, &job, NULL, 0);
    observe_begin(f, a->port, &job); /* last: it may be over at once */
}
