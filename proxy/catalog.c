/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/catalog.h"

#include "base/mem.h"
#include "proxy/session.h"

#include <assert.h>

/* Who is told of changes, by kind: after the copy has changed. `value` NULL: removed. */
typedef void catalog_listener(struct front *f, struct port *port, struct bytes name,
                              const struct bytes *value);
static catalog_listener *const listeners[CATALOG_KINDS] = {
    [CATALOG_USERS] = acl_heard,
    [CATALOG_LIBRARIES] = scripting_library,
    [CATALOG_SCRIPTS] = scripting_body,
};

/* ------------------------------------------------------------ the copy */

/* Where the name is, or would be. */
static size_t place_of(const struct catalog_list *l, struct bytes name, bool *found)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = bytes_cmp(l->at[mid].name, name);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *found = false;
    return low;
}

const struct catalog_entry *catalog_find(const struct front *f, enum catalog_kind kind,
                                         struct bytes name)
{
    bool found;
    const struct catalog_list *l = &f->catalog.kinds[kind];
    size_t at = place_of(l, name, &found);
    return found ? &l->at[at] : NULL;
}

static void entry_free(struct catalog_entry *e)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } u = {.in = e->name.p};
    mem_free(u.out);
}

static struct catalog_entry entry_new(struct bytes name, struct bytes value)
{
    uint8_t *p = mem_alloc(name.n + value.n + 1);
    if (name.n > 0)
        memcpy(p, name.p, name.n);
    if (value.n > 0)
        memcpy(p + name.n, value.p, value.n);
    return (struct catalog_entry){.name = bytes_of(p, name.n),
                                  .value = bytes_of(p + name.n, value.n)};
}

/* False: it was so already. */
static bool copy_change(struct catalog_list *l, struct bytes name, const struct bytes *value)
{
    bool found;
    size_t at = place_of(l, name, &found);
    if (found ? value != NULL && bytes_eq(l->at[at].value, *value) : value == NULL)
        return false;
    if (found)
        entry_free(&l->at[at]);
    if (value == NULL) {
        memmove(&l->at[at], &l->at[at + 1], (--l->n - at) * sizeof l->at[0]);
        return true;
    }
    if (!found) {
        if (l->n == l->cap) {
            l->cap = l->cap ? l->cap * 2 : 8;
            l->at = mem_realloc(l->at, l->cap * sizeof l->at[0]);
        }
        memmove(&l->at[at + 1], &l->at[at], (l->n++ - at) * sizeof l->at[0]);
    }
    l->at[at] = entry_new(name, *value);
    return true;
}

static void hear(struct front *f, struct port *port, enum catalog_kind kind, struct bytes name,
                 const struct bytes *value)
{
    if (copy_change(&f->catalog.kinds[kind], name, value) && listeners[kind] != NULL)
        listeners[kind](f, port, name, value);
}

void catalog_deinit(struct front *f)
{
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++) {
        struct catalog_list *l = &f->catalog.kinds[kind];
        for (size_t i = 0; i < l->n; i++)
            entry_free(&l->at[i]);
        mem_free(l->at);
    }
}

/* ------------------------------------------------------------ between workers */

static const struct front_shard *owner_of(const struct front *f)
{
    return &f->shards[f->shards_count - 1];
}

/* The shard with the original; NULL: on another worker. */
static struct shard *original(const struct front *f) { return owner_of(f)->local; }

uint32_t catalog_owner(const struct front *f) { return owner_of(f)->worker; }

bool catalog_is_owner(const struct front *f) { return original(f) != NULL; }

static void set_known(struct front *f, bool known)
{
    f->catalog.known = known;
    acl_known(f);
}

static void send(struct front *f, struct port *port, uint32_t worker, enum job_kind kind,
                 uint32_t argc, const struct bytes *argv)
{
    struct job job = {.kind = kind, .db_uid = f->db_uid, .argc = argc, .argv = argv};
    courier_send(f->courier, port, worker, &job, NULL, 0);
    courier_urgent(f->courier);
}

static void send_heard(struct front *f, struct port *port, uint32_t worker, enum catalog_kind kind,
                       struct bytes name, const struct bytes *value)
{
    uint8_t head = (uint8_t)kind;
    struct bytes argv[3] = {bytes_of(&head, 1), name};
    if (value != NULL)
        argv[2] = *value;
    send(f, port, worker, JOB_CATALOG_HEARD, value != NULL ? 3 : 2, argv);
}

static void send_done(struct front *f, struct port *port, uint32_t worker)
{
    uint8_t known = f->catalog.known;
    struct bytes arg = bytes_of(&known, 1);
    send(f, port, worker, JOB_CATALOG_DONE, 1, &arg);
}

static void send_all(struct front *f, struct port *port, uint32_t worker)
{
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++) {
        const struct catalog_list *l = &f->catalog.kinds[kind];
        for (size_t i = 0; i < l->n; i++)
            send_heard(f, port, worker, kind, l->at[i].name, &l->at[i].value);
    }
    send_done(f, port, worker);
}

/* To every worker but this one. */
static void tell_done(struct front *f, struct port *port)
{
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            send_done(f, port, i);
}

/* What the shard has already: it was read from disk. */
struct start {
    struct front *front;
    struct port *port;
    enum catalog_kind kind;
};

static void hear_entry(void *arg, struct bytes name, struct bytes value)
{
    const struct start *s = arg;
    hear(s->front, s->port, s->kind, name, &value);
}

/* Whichever front comes later asks or tells: a message to one that does not exist yet is lost. */
void catalog_start(struct front *f, struct port *port)
{
    struct catalog *c = &f->catalog;
    if (original(f) == NULL) {
        uint32_t self = courier_self(f->courier);
        struct bytes arg = bytes_of(&self, sizeof self);
        send(f, port, owner_of(f)->worker, JOB_CATALOG_JOIN, 1, &arg);
        return;
    }
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++) {
        struct start start = {f, port, kind};
        shard_catalog_each(original(f), kind, hear_entry, &start);
    }
    c->complete = true;
    set_known(f, !shard_is_stale(original(f)));
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            send_all(f, port, i);
}

void catalog_recheck(struct front *f, struct port *port)
{
    const struct shard *shard = original(f);
    if (shard == NULL || f->catalog.known == !shard_is_stale(shard))
        return;
    set_known(f, !shard_is_stale(shard));
    tell_done(f, port);
}

void catalog_spread(struct front *f, struct port *port, enum catalog_kind kind, struct bytes name,
                    const struct bytes *value)
{
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            send_heard(f, port, i, kind, name, value);
    hear(f, port, kind, name, value);
}

/* ------------------------------------------------------------ changing */

void catalog_ask(struct ask *a, catalog_decide *decide, uint32_t argc, const struct bytes *argv)
{
    struct front *f = a->front;
    struct job job = {.kind = JOB_CATALOG,
                      .db_uid = f->db_uid,
                      .shard = f->shards_count - 1,
                      .resp = a->session->resp,
                      .session = a->session->id,
                      .decide = decide,
                      .argc = argc,
                      .argv = argv};
    if (original(f) != NULL) {
        catalog_run(f, a->port, &job, &a->reply, a->now);
        return;
    }
    struct answer *answer = answer_new(f->courier, 1);
    answer->awaited = true;
    session_wait(a->session, answer);
    session_part(a->session, answer,
                 courier_send(f->courier, a->port, owner_of(f)->worker, &job, answer, 0));
}

bool catalog_commit(struct catalog_job *j, const struct catalog_change *changes, size_t n)
{
    const char *why = shard_catalog_write(j->shard, changes, n, j->now);
    if (why != NULL)
        reply_error(j->reply, why);
    return why == NULL;
}

/* argv: the reply, then for each change its head (kind, whether it is removed), name and value. */
static void decide_write(struct catalog_job *j)
{
    size_t n = (j->argc - 1) / 3;
    struct catalog_change *changes = mem_zalloc((n + 1) * sizeof changes[0]);
    for (size_t i = 0; i < n; i++) {
        const struct bytes *argv = &j->argv[1 + 3 * i];
        changes[i] = (struct catalog_change){.kind = (enum catalog_kind)argv[0].p[0],
                                             .removed = argv[0].p[1],
                                             .name = argv[1],
                                             .value = argv[2]};
    }
    if (catalog_commit(j, changes, n))
        buf_put_bytes(j->reply->out, j->argv[0]);
    mem_free(changes);
}

void catalog_write(struct ask *a, const struct catalog_change *changes, size_t n,
                   struct bytes reply)
{
    struct bytes *argv = mem_zalloc((1 + 3 * n) * sizeof argv[0]);
    uint8_t(*heads)[2] = mem_zalloc((n + 1) * sizeof heads[0]);
    argv[0] = reply;
    for (size_t i = 0; i < n; i++) {
        heads[i][0] = (uint8_t)changes[i].kind;
        heads[i][1] = changes[i].removed;
        argv[1 + 3 * i] = bytes_of(heads[i], 2);
        argv[2 + 3 * i] = changes[i].name;
        argv[3 + 3 * i] = changes[i].removed ? bytes_of(NULL, 0) : changes[i].value;
    }
    catalog_ask(a, decide_write, (uint32_t)(1 + 3 * n), argv);
    mem_free(heads);
    mem_free(argv);
}

static void run_decide(struct front *f, struct port *port, const struct job *job, struct reply *r,
                       struct moment now)
{
    struct catalog_job j = {.front = f,
                            .port = port,
                            .shard = original(f),
                            .argc = job->argc,
                            .argv = job->argv,
                            .reply = r,
                            .session = job->session,
                            .now = now};
    assert(j.shard != NULL);
    job->decide(&j);
}

void catalog_run(struct front *f, struct port *port, const struct job *job, struct reply *r,
                 struct moment now)
{
    uint32_t worker;
    switch (job->kind) {
    case JOB_CATALOG:
        run_decide(f, port, job, r, now);
        break;
    case JOB_CATALOG_HEARD:
        hear(f, port, (enum catalog_kind)job->argv[0].p[0], job->argv[1],
             job->argc > 2 ? &job->argv[2] : NULL);
        break;
    case JOB_CATALOG_JOIN:
        memcpy(&worker, job->argv[0].p, sizeof worker);
        if (original(f) != NULL && f->catalog.complete)
            send_all(f, port, worker);
        break;
    default: /* JOB_CATALOG_DONE: clients that wait for it go on at the end of this turn */
        f->catalog.complete = true;
        set_known(f, job->argv[0].p[0]);
        break;
    }
}
