/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/durable.h"

#include "base/mem.h"
#include "proxy/session.h"

/* A session that has waited for longer is closed. */
#define WAIT_US UINT64_C(10000000)
#define WAIT_FAILED_US UINT64_C(1000000) /* where the disk fails */

/* Sessions that wait for the same turns. */
struct durable_group {
    struct durable_group *prev, *next;
    struct session *sessions; /* none: it is freed */
    uint64_t since_us;
    uint64_t need[]; /* by worker; 0: nothing */
};

static uint32_t workers(const struct front *f) { return courier_workers(f->courier); }

void durable_init(struct front *f)
{
    f->durable.turn = 1;
    f->durable.known = mem_zalloc(workers(f) * sizeof f->durable.known[0]);
    f->durable.promised = mem_zalloc(workers(f) * sizeof f->durable.promised[0]);
    f->durable.failed = mem_zalloc(workers(f) * sizeof f->durable.failed[0]);
}

void durable_deinit(struct front *f)
{
    mem_free(f->durable.known);
    mem_free(f->durable.promised);
    mem_free(f->durable.failed);
}

/* ------------------------------------------------------------ groups */

static struct durable_group *group_open(struct front *f, struct moment now)
{
    struct durable *d = &f->durable;
    if (d->open != NULL)
        return d->open;
    struct durable_group *g = mem_zalloc(sizeof *g + workers(f) * sizeof g->need[0]);
    g->since_us = now.mono_us;
    g->prev = d->last;
    if (g->prev != NULL)
        g->prev->next = g;
    else
        d->first = g;
    d->last = d->open = g;
    return g;
}

static void group_free(struct front *f, struct durable_group *g)
{
    struct durable *d = &f->durable;
    if (g->prev != NULL)
        g->prev->next = g->next;
    else
        d->first = g->next;
    if (g->next != NULL)
        g->next->prev = g->prev;
    else
        d->last = g->prev;
    if (d->open == g)
        d->open = NULL;
    mem_free(g);
}

static void leave(struct session *s)
{
    struct durable_group *g = s->waits_in;
    if (s->waits_prev != NULL)
        s->waits_prev->waits_next = s->waits_next;
    else
        g->sessions = s->waits_next;
    if (s->waits_next != NULL)
        s->waits_next->waits_prev = s->waits_prev;
    s->waits_prev = s->waits_next = NULL;
    s->waits_in = NULL;
}

void durable_forget(struct session *s)
{
    struct durable_group *g = s->waits_in;
    if (g == NULL)
        return;
    leave(s);
    if (g->sessions == NULL)
        group_free(s->front, g);
}

/* Who waits already goes on waiting for that, too. */
static void move(struct session *s, struct durable_group *to)
{
    struct durable_group *from = s->waits_in;
    if (from == to)
        return;
    if (from != NULL) {
        for (uint32_t i = 0; i < workers(s->front); i++)
            to->need[i] = from->need[i] > to->need[i] ? from->need[i] : to->need[i];
        to->since_us = from->since_us < to->since_us ? from->since_us : to->since_us;
        durable_forget(s);
    }
    s->waits_in = to;
    s->waits_next = to->sessions;
    if (s->waits_next != NULL)
        s->waits_next->waits_prev = s;
    to->sessions = s;
}

void durable_join(struct session *s, struct port *port, uint32_t worker, uint64_t turn,
                  struct moment now)
{
    struct front *f = s->front;
#ifdef MUTANT_reply_before_sync
    return;
#endif
    if (!f->durable.on || f->durable.known[worker] >= turn || s->dead)
        return;
    struct durable_group *g = group_open(f, now);
    if (s->waits_in == NULL)
        port->ops->hold(port, s->conn, true);
    move(s, g);
    if (g->need[worker] < turn)
        g->need[worker] = turn;
}

static bool is_ready(const struct front *f, const struct durable_group *g)
{
    for (uint32_t i = 0; i < workers(f); i++)
        if (g->need[i] > f->durable.known[i])
            return false;
    return true;
}

/* Its sessions go on; they may write again, and wait in another group. */
static void group_release(struct front *f, struct port *port, struct durable_group *g,
                          struct moment now)
{
    if (f->durable.open == g)
        f->durable.open = NULL;
    while (g->sessions != NULL) {
        struct session *s = g->sessions;
        leave(s);
        if (s->dead)
            continue;
        port->ops->hold(port, s->conn, false);
        session_resume(s, port, now);
    }
    group_free(f, g);
}

static void release_ready(struct front *f, struct port *port, struct moment now)
{
    struct durable_group *last = f->durable.last;
    for (struct durable_group *g = f->durable.first, *next; g != NULL; g = next) {
        next = g == last ? NULL : g->next; /* those begun meanwhile are not ready */
        if (is_ready(f, g))
            group_release(f, port, g, now);
    }
}

/* ------------------------------------------------------------ what is logged */

static bool has_logged(struct front *f)
{
    uint64_t ops = 0;
    for (uint32_t i = 0; i < f->shards_count; i++)
        ops += f->shards[i].local != NULL ? shard_written(f->shards[i].local) : 0;
    bool more = ops != f->durable.counted;
    f->durable.counted = ops;
    f->durable.logged |= more;
    return more;
}

void durable_note(struct session *s, struct port *port, struct moment now)
{
    struct front *f = s->front;
    if (has_logged(f))
        durable_join(s, port, courier_self(f->courier), f->durable.turn, now);
}

uint64_t durable_mark(struct front *f, uint32_t worker)
{
    if (!has_logged(f))
        return 0;
    f->durable.promised[worker] = f->durable.turn;
    return f->durable.turn;
}

uint64_t durable_promise(struct front *f, uint32_t worker)
{
    if (!f->durable.on)
        return 0;
    f->durable.logged = true;
    f->durable.promised[worker] = f->durable.turn;
    return f->durable.turn;
}

void durable_woken(struct session *s, struct port *port, uint32_t worker, uint64_t turn,
                   struct moment now)
{
    struct front *f = s->front;
    bool now_here = worker == courier_self(f->courier) && turn == f->durable.turn;
    if (f->durable.on && turn != 0 && (!now_here || has_logged(f) || f->durable.logged))
        durable_join(s, port, worker, turn, now);
}

uint64_t durable_turn(struct front *f)
{
    struct durable *d = &f->durable;
    (void)has_logged(f); /* of itself, for nobody: not to be taken for a session's */
    d->open = NULL;
    if (!d->logged)
        return 0;
    d->logged = false;
    return d->turn++;
}

/* ------------------------------------------------------------ what is durable */

/* What a worker tells another. */
struct word {
    uint64_t turn; /* durable up to this one */
    bool failing;
};

static void tell(struct front *f, struct port *port, uint32_t worker)
{
    const struct durable *d = &f->durable;
    uint32_t self = courier_self(f->courier);
    struct word word = {.turn = d->known[self], .failing = d->failed[self]};
    struct bytes arg = bytes_of(&word, sizeof word);
    struct job job = {
        .kind = JOB_DURABLE, .db_uid = f->db_uid, .worker = self, .argc = 1, .argv = &arg};
    courier_send(f->courier, port, worker, &job, NULL, 0);
}

static void set_failed(struct front *f, uint32_t worker, bool failing)
{
    struct durable *d = &f->durable;
    d->failed[worker] = failing;
    d->failing = false;
    for (uint32_t i = 0; i < workers(f); i++)
        d->failing |= d->failed[i];
}

void durable_fails(struct front *f, struct port *port, bool failing)
{
    uint32_t self = courier_self(f->courier);
    if (f->durable.failed[self] == failing)
        return;
    set_failed(f, self, failing);
    for (uint32_t i = 0; i < workers(f); i++)
        if (i != self)
            tell(f, port, i);
}

void durable_reached(struct front *f, struct port *port, uint64_t turn, struct moment now)
{
    struct durable *d = &f->durable;
    uint32_t self = courier_self(f->courier);
    if (turn <= d->known[self])
        return;
    d->known[self] = turn;
    for (uint32_t i = 0; i < workers(f); i++) {
        if (i == self || d->promised[i] == 0)
            continue;
        tell(f, port, i);
        if (d->promised[i] <= turn)
            d->promised[i] = 0;
    }
    release_ready(f, port, now);
}

void durable_job(struct front *f, struct port *port, const struct job *job, struct moment now)
{
    struct word word;
    memcpy(&word, job->argv[0].p, sizeof word);
    set_failed(f, job->worker, word.failing);
    if (word.turn <= f->durable.known[job->worker])
        return;
    f->durable.known[job->worker] = word.turn;
    release_ready(f, port, now);
}

static void release_all(struct front *f, struct port *port, struct moment now)
{
    struct durable_group *last = f->durable.last;
    for (struct durable_group *g = f->durable.first, *next; g != NULL; g = next) {
        next = g == last ? NULL : g->next; /* those begun meanwhile are of who goes on */
        group_release(f, port, g, now);
    }
}

void durable_set(struct front *f, struct port *port, bool always, bool slowed, struct moment now)
{
    struct durable *d = &f->durable;
    bool on = always || slowed;
    d->always = always;
    if (on == d->on)
        return;
    d->on = on;
    if (on) {
        (void)has_logged(f);
        d->logged = false;
    } else {
        release_all(f, port, now);
    }
}

static void close_group(struct durable_group *g, struct port *port, struct moment now)
{
    uint64_t n = 0;
    bool last = false;
    for (; !last; n++) { /* the last one's end frees the group */
        last = g->sessions->waits_next == NULL;
        session_close(g->sessions, port, false, now);
    }
    port_log(port, 'W', "%llu clients closed: what they wrote has not become durable for too long",
             (unsigned long long)n);
}

void durable_tick(struct front *f, struct port *port, struct moment now)
{
    struct durable *d = &f->durable;
    uint64_t limit = d->failing ? WAIT_FAILED_US : WAIT_US;
    while (d->first != NULL && now.mono_us - d->first->since_us > limit) {
        if (d->always)
            close_group(d->first, port, now);
        else
            group_release(f, port, d->first, now);
    }
}
