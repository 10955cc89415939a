/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/durable.h"

#include "base/mem.h"
#include "proxy/session.h"

#define WAIT_US UINT64_C(10000000) /* a session that has waited for longer is closed */

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
}

void durable_deinit(struct front *f)
{
    mem_free(f->durable.known);
    mem_free(f->durable.promised);
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
        struct bytes arg = bytes_of(&turn, sizeof turn);
        struct job job = {
            .kind = JOB_DURABLE, .db_uid = f->db_uid, .worker = self, .argc = 1, .argv = &arg};
        courier_send(f->courier, port, i, &job, NULL, 0);
        if (d->promised[i] <= turn)
            d->promised[i] = 0;
    }
    release_ready(f, port, now);
}

void durable_job(struct front *f, struct port *port, const struct job *job, struct moment now)
{
    uint64_t turn;
    memcpy(&turn, job->argv[0].p, sizeof turn);
    if (turn <= f->durable.known[job->worker])
        return;
    f->durable.known[job->worker] = turn;
    release_ready(f, port, now);
}

void durable_set(struct front *f, struct port *port, bool on, struct moment now)
{
    struct durable *d = &f->durable;
    if (on == d->on)
        return;
    d->on = on;
    if (on) {
        (void)has_logged(f);
        return;
    }
    d->logged = false;
    while (d->first != NULL)
        group_release(f, port, d->first, now);
}

void durable_tick(struct front *f, struct port *port, struct moment now)
{
    struct durable *d = &f->durable;
    while (d->first != NULL && now.mono_us - d->first->since_us > WAIT_US) {
        struct durable_group *g = d->first;
        uint64_t n = 0;
        bool last = false;
        for (; !last; n++) { /* the last one's end frees the group */
            last = g->sessions->waits_next == NULL;
            session_close(g->sessions, port, false, now);
        }
        port_log(port, 'W', "%llu clients closed: for %u s what they wrote has not become durable",
                 (unsigned long long)n, (unsigned)(WAIT_US / 1000000));
    }
}
