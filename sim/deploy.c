/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "sim/deploy.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define CONTROL_PORT 9000u
#define TOKEN "0123456789abcdef0123456789abcdef"
#define SHARDS_MAX 64u

struct region {
    struct deploy *deploy;
    uint32_t host;
    bool running, greeted;
    bool stopping; /* it may close the control channel */
    uint32_t incarnation;
    bool reborn;
    uint32_t founding;
    uint64_t paused;
    struct worker *workers[DEPLOY_WORKERS_MAX];
    struct vconn *control;
    uint64_t next_id, open_requests;
    enum deploy_wish wish;
    uint32_t wished;  /* enum persistence */
    uint64_t wish_id; /* of the request that asks for it */
    char refusal[256];
};

struct deploy {
    struct world *world;
    struct driver *driver;
    struct deploy_opts opts;
    uint64_t members, version;
    struct region regions[DEPLOY_REGIONS_MAX + 1];
    char error[256];
};

struct deploy *deploy_new(struct world *w, struct driver *drv, const struct deploy_opts *o)
{
    struct deploy *d = mem_zalloc(sizeof *d);
    *d = (struct deploy){.world = w, .driver = drv, .opts = *o, .version = 1};
    d->members = o->members ? o->members : ((UINT64_C(1) << o->regions) - 1) << 1;
    for (unsigned r = 1; r <= o->regions; r++)
        d->regions[r] = (struct region){.deploy = d,
                                        .host = world_host(w, o->names[r]),
                                        .paused = o->paused & ~(UINT64_C(1) << r)};
    return d;
}

void deploy_free(struct deploy *d)
{
    if (d == NULL)
        return;
    for (unsigned r = 1; r <= d->opts.regions; r++)
        if (d->regions[r].control != NULL)
            vconn_close(d->regions[r].control);
    mem_free(d);
}

/* ---------------------------------------------------------------- the control channel */

static void request(struct region *g, enum control_kind kind, struct bytes body)
{
    struct buf out = {0};
    control_put(&out, ++g->next_id, kind, body);
    g->open_requests++;
    vconn_send(g->control, buf_bytes(&out));
    buf_deinit(&out);
}

static void describe(const struct deploy *d, unsigned r, struct plane_db *db)
{
    const struct region *g = &d->regions[r];
    *db = (struct plane_db){.uid = 1,
                            .name = "sim",
                            .guid = "00000000-0000-4000-8000-000000000001",
                            .secret = "between the regions",
                            .host = "0.0.0.0",
                            .port = DEPLOY_PORT,
                            .partitions = d->opts.partitions,
                            .shards = d->opts.shards[r],
                            .hash_k0 = d->opts.seed ^ r,
                            .hash_k1 = d->opts.seed * 3 + r,
                            .seed = d->opts.seed + 1000 * r + g->incarnation,
                            .region = r,
                            .incarnation = g->incarnation,
                            .reborn = g->reborn,
                            .version = d->version,
                            .paused = g->paused,
                            .backlog_bytes = d->opts.backlog_bytes,
                            .memory_max = d->opts.memory_max[r],
                            .eviction = d->opts.eviction,
                            .oom_percent = d->opts.oom_percent,
                            .xadd_ids = d->opts.xadd_ids,
                            .persistence = d->opts.persistence[r],
                            .founding = g->founding,
                            .snapshot_bytes = d->opts.snapshot_bytes,
                            .clock_drift_max_ms = d->opts.clock_drift_max_ms};
    for (unsigned i = 1; i <= d->opts.regions; i++) {
        if (!(d->members >> i & 1))
            continue;
        struct plane_region *pr = &db->regions[db->regions_count++];
        pr->id = i;
        pr->port = DEPLOY_PORT;
        snprintf(pr->name, sizeof pr->name, "%s", d->opts.names[i]);
        snprintf(pr->host, sizeof pr->host, "%s", d->opts.names[i]);
    }
}

static void send_config(struct deploy *d, unsigned r)
{
    struct plane_db *db = mem_zalloc(sizeof *db);
    struct buf body = {0};
    describe(d, r, db);
    plane_db_encode(&body, db);
    request(&d->regions[r], CONTROL_DB_SET, buf_bytes(&body));
    buf_deinit(&body);
    mem_free(db);
}

static void take_answer(struct region *g, uint64_t id, struct bytes body)
{
    struct deploy *d = g->deploy;
    bool ok = false;
    char text[200] = "malformed answer";
    struct bytes rest;
    bool read = control_answer_decode(body, &ok, text, sizeof text, &rest);
    if (read && id == g->wish_id && g->wish == DEPLOY_ASKED) {
        g->wish = ok ? DEPLOY_AGREED : DEPLOY_REFUSED;
        snprintf(g->refusal, sizeof g->refusal, "%s", text);
        ok = true;
    }
    if ((!read || !ok) && !g->stopping)
        snprintf(d->error, sizeof d->error, "region %s: %s", d->opts.names[g - d->regions], text);
    g->open_requests--;
}

static void control_event(struct vconn *c, enum vconn_event what, struct buf *in, void *arg)
{
    struct region *g = arg;
    struct deploy *d = g->deploy;
    if (what == VCONN_OPEN) {
        struct buf body = {0};
        control_hello_encode(&body,
                             &(struct control_hello){.protocol = CONTROL_PROTOCOL, .token = TOKEN});
        request(g, CONTROL_HELLO, buf_bytes(&body));
        buf_deinit(&body);
        g->greeted = true;
        if (d->members >> (g - d->regions) & 1)
            send_config(d, (unsigned)(g - d->regions));
    } else if (what == VCONN_CLOSED) {
        g->control = NULL;
        g->greeted = false;
        if (g->running && !g->stopping)
            snprintf(d->error, sizeof d->error, "region %s: control channel closed",
                     d->opts.names[g - d->regions]);
    }
    uint64_t id;
    enum control_kind kind;
    struct bytes body;
    size_t used;
    while (what == VCONN_DATA &&
           control_get(buf_bytes(in), &id, &kind, &body, &used) == CONTROL_OK) {
        take_answer(g, id, body);
        buf_consume(in, used);
    }
    (void)c;
}

/* ---------------------------------------------------------------- lives and deaths */

static void drop_worker(void *self, struct port *p) { worker_free(self, p); }

void deploy_start(struct deploy *d, unsigned r)
{
    struct region *g = &d->regions[r];
    unsigned n = d->opts.workers[r];
    g->running = true;
    for (unsigned i = 0; i < n; i++) {
        struct worker_opts o = {.index = i,
                                .count = n,
                                .data = "data",
                                .seed = d->opts.seed * 31 + r * 7 + i + 1000 * g->incarnation,
                                .patch_min = d->opts.patch_min,
                                .kept_bytes_max = d->opts.kept_bytes_max,
                                .segment_bytes = d->opts.segment_bytes,
                                .defrag_slices = d->opts.defrag_slices,
                                .slice_bytes = d->opts.slice_bytes,
                                .reply_bytes_max = d->opts.reply_bytes_max,
                                .pour_min = d->opts.pour_min};
        if (i == 0) {
            o.control = "0.0.0.0:9000";
            snprintf(o.control_token, sizeof o.control_token, "%s", TOKEN);
        }
        g->workers[i] = worker_new(&o);
        world_machine(d->world, g->host, n, worker_machine(g->workers[i]), drop_worker);
    }
    /* the workers start to listen first */
    world_run(d->world, world_now_us(d->world) + 100);
    g->open_requests = 0;
    g->control = driver_dial(d->driver, d->opts.names[r], CONTROL_PORT, control_event, g);
}

static void end(struct deploy *d, unsigned r)
{
    struct region *g = &d->regions[r];
    g->running = g->stopping = false;
    if (g->control != NULL)
        vconn_close(g->control);
    g->control = NULL;
    g->greeted = false;
    g->wish = DEPLOY_NO_WISH;
    memset(g->workers, 0, sizeof g->workers);
    g->incarnation++;
    g->reborn = true;
}

void deploy_crash(struct deploy *d, unsigned r, bool silent)
{
    end(d, r);
    world_kill(d->world, d->regions[r].host, silent);
}

void deploy_power_loss(struct deploy *d, unsigned r)
{
    end(d, r);
    world_power_loss(d->world, d->regions[r].host);
}

void deploy_stop(struct deploy *d, unsigned r)
{
    if (!d->regions[r].greeted)
        return;
    d->regions[r].stopping = true;
    request(&d->regions[r], CONTROL_STOP, bytes_of(NULL, 0));
}

uint32_t deploy_incarnation(const struct deploy *d, unsigned r)
{
    return d->regions[r].incarnation;
}

void deploy_put_back(struct deploy *d, unsigned r, uint32_t incarnation)
{
    d->regions[r].incarnation = incarnation;
}

bool deploy_running(const struct deploy *d, unsigned r) { return d->regions[r].running; }

bool deploy_open(const struct deploy *d, unsigned r)
{
    struct worker_shard s[SHARDS_MAX];
    unsigned n = deploy_shards(d, r, s, SHARDS_MAX);
    bool open = d->regions[r].running && n == d->opts.shards[r];
    for (unsigned i = 0; i < n; i++)
        open &= s[i].open;
    return open;
}

bool deploy_stopped(const struct deploy *d, unsigned r)
{
    return d->regions[r].stopping && world_stopped(d->world, d->regions[r].host);
}

void deploy_pause(struct deploy *d, unsigned r, unsigned from, bool paused)
{
    struct region *g = &d->regions[r];
    uint64_t bit = UINT64_C(1) << from;
    g->paused = paused ? g->paused | bit : g->paused & ~bit;
    if (!g->greeted || !(d->members >> r & 1))
        return;
    struct buf body = {0};
    control_link_encode(&body, &(struct control_link){.uid = 1, .region = from, .paused = paused});
    request(g, CONTROL_LINK, buf_bytes(&body));
    buf_deinit(&body);
}

void deploy_members(struct deploy *d, uint64_t members)
{
    uint64_t before = d->members, gone = before & ~members;
    d->members = members;
    d->version++;
    for (unsigned r = 1; r <= d->opts.regions; r++) {
        struct region *g = &d->regions[r];
        if (!g->greeted)
            continue;
        if (members >> r & 1) {
            g->reborn |= !(before >> r & 1); /* it must catch up before it takes writes */
            send_config(d, r);
        } else if (gone >> r & 1) {
            struct buf body = {0};
            control_uid_encode(&body, 1);
            request(g, CONTROL_DB_DROP, buf_bytes(&body));
            buf_deinit(&body);
        }
    }
}

void deploy_persist(struct deploy *d, unsigned r, uint32_t persistence)
{
#ifndef MUTANT_files_again /* the planted bug: files of an earlier time are opened */
    d->regions[r].founding += d->opts.persistence[r] == PERSIST_OFF && persistence != PERSIST_OFF;
#endif
    d->opts.persistence[r] = persistence;
    d->version++;
    if (d->regions[r].greeted && (d->members >> r & 1))
        send_config(d, r);
}

void deploy_ask(struct deploy *d, unsigned r, uint32_t persistence)
{
    struct region *g = &d->regions[r];
    struct plane_db *db = mem_zalloc(sizeof *db);
    struct buf body = {0};
    describe(d, r, db);
    db->founding += db->persistence == PERSIST_OFF && persistence != PERSIST_OFF;
    db->persistence = persistence;
    plane_db_encode(&body, db);
    g->wish = DEPLOY_ASKED;
    g->wished = persistence;
    g->wish_id = g->next_id + 1;
    request(g, CONTROL_DB_CHECK, buf_bytes(&body));
    buf_deinit(&body);
    mem_free(db);
}

enum deploy_wish deploy_wish(const struct deploy *d, unsigned r, uint32_t *persistence)
{
    *persistence = d->regions[r].wished;
    return d->regions[r].wish;
}

const char *deploy_refusal(const struct deploy *d, unsigned r) { return d->regions[r].refusal; }

void deploy_forget(struct deploy *d, unsigned r) { d->regions[r].wish = DEPLOY_NO_WISH; }

uint32_t deploy_persistence(const struct deploy *d, unsigned r) { return d->opts.persistence[r]; }

void deploy_folder(const struct deploy *d, unsigned r, unsigned i, char *out, size_t size)
{
    int n = snprintf(out, size, "data/db1/shard%u", i);
    if (d->regions[r].founding > 0 && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, "-%u", d->regions[r].founding);
}

uint64_t deploy_members_now(const struct deploy *d) { return d->members; }

/* ---------------------------------------------------------------- looking inside */

bool deploy_heard(const struct deploy *d, unsigned r)
{
    return d->regions[r].greeted && d->regions[r].open_requests == 0;
}

bool deploy_settled(const struct deploy *d)
{
    for (unsigned r = 1; r <= d->opts.regions; r++) {
        const struct region *g = &d->regions[r];
        if (g->running && !g->stopping && (!g->greeted || g->open_requests > 0))
            return false;
    }
    return true;
}

const char *deploy_error(const struct deploy *d) { return d->error; }

const struct deploy_opts *deploy_options(const struct deploy *d) { return &d->opts; }

uint32_t deploy_host(const struct deploy *d, unsigned r) { return d->regions[r].host; }

uint32_t deploy_partitions(const struct deploy *d) { return d->opts.partitions; }

uint32_t deploy_partitions_all(const struct deploy *d) { return d->opts.partitions + 1; }

unsigned deploy_shards(const struct deploy *d, unsigned r, struct worker_shard *out, unsigned max)
{
    const struct region *g = &d->regions[r];
    unsigned n = 0;
    for (unsigned i = 0; g->running && i < d->opts.workers[r]; i++)
        n += worker_shards(g->workers[i], out + n, max - n);
    return n;
}

struct shard *deploy_shard(const struct deploy *d, unsigned r, uint32_t partition)
{
    struct worker_shard s[SHARDS_MAX];
    unsigned n = deploy_shards(d, r, s, SHARDS_MAX);
    for (unsigned i = 0; i < n; i++)
        if (partition >= s[i].first_partition && partition < s[i].first_partition + s[i].count)
            return s[i].shard;
    return NULL;
}

bool deploy_converged(const struct deploy *d)
{
    unsigned first = 0;
    for (unsigned r = 1; r <= d->opts.regions; r++) {
        if (!(d->members >> r & 1) || !d->regions[r].running)
            continue;
        struct worker_shard s[SHARDS_MAX];
        unsigned n = deploy_shards(d, r, s, SHARDS_MAX);
        if (n == 0)
            return false;
        for (unsigned i = 0; i < n; i++)
            if (!s[i].open || (s[i].syncer != NULL && !syncer_quiet(s[i].syncer)))
                return false;
        if (first == 0)
            first = r;
        for (uint32_t p = 0; p < deploy_partitions_all(d); p++) {
            struct shard *a = deploy_shard(d, first, p), *b = deploy_shard(d, r, p);
            if (a == NULL || b == NULL || !context_eq(shard_context(a, p), shard_context(b, p)))
                return false;
        }
    }
    return true;
}
