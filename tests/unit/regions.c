/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/regions.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

#define PORT 7000
#define TICK_US 100000u

static uint32_t shard_index(const struct region *r, uint32_t partition)
{
    uint32_t i = 0;
    while (i + 1 < r->shards_n && (i + 1) * r->all->partitions / r->shards_n <= partition)
        i++;
    return i;
}

/* ------------------------------------------------------------ the machine */

/* A connection that has not said yet what it wants. */
struct door {
    struct conn_owner owner;
    struct region *region;
    struct buf in;
};

static void door_step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct door *d = (struct door *)(void *)self;
    struct region *r = d->region;
    struct handshake h;
    if (ev->kind == EV_DATA)
        buf_put_bytes(&d->in, ev->data);
    enum handshake_result result =
        ev->kind == EV_DATA ? syncer_handshake(buf_bytes(&d->in), &h) : HANDSHAKE_BAD;
    if (ev->kind == EV_DATA && result == HANDSHAKE_MORE)
        return;
    uint32_t shard = result == HANDSHAKE_OK && h.first_partition <= r->config.partitions
                         ? shard_index(r, h.first_partition)
                         : 0;
    if (ev->kind == EV_DATA && r->syncers[shard] == NULL)
        port->ops->close(port, ev->conn, false);
    else if (ev->kind == EV_DATA)
        syncer_accept(r->syncers[shard], port, ev->conn, buf_bytes(&d->in), ev->now);
    buf_deinit(&d->in);
    mem_free(d);
}

/* ------------------------------------------------------------ the disk */

static struct archive *archive_of(void *arg)
{
    const struct shelf *f = arg;
    return storage_archive(f->region->storages[f->i]);
}

static bool archive_is_ready(void *arg) { return archive_ready(archive_of(arg)); }

static uint64_t archive_finds(void *arg, uint32_t partition,
                              bool (*reaches)(void *, uint32_t, const struct context *),
                              void *reader)
{
    return archive_find(archive_of(arg), partition, reaches, reader);
}

static enum syncer_asked archive_reads(void *arg, struct port *port, uint64_t ticket,
                                       struct syncer_place from, size_t bytes)
{
    struct archive_place place = {.segment = from.segment, .offset = from.offset};
    switch (archive_read(archive_of(arg), port, ticket, place, bytes)) {
    case ARCHIVE_ASKED:
        return SYNCER_ASKED;
    case ARCHIVE_END:
        return SYNCER_END;
    case ARCHIVE_GONE:
        break;
    }
    return SYNCER_GONE;
}

static uint64_t archive_has_left(void *arg, struct syncer_place from)
{
    return archive_left(archive_of(arg),
                        (struct archive_place){.segment = from.segment, .offset = from.offset});
}

static bool archive_takes(void *arg, struct port *port, uint64_t ticket, unsigned frames,
                          struct moment now)
{
    return archive_take(archive_of(arg), port, ticket, frames, now);
}

static void archive_keeps(void *arg, uint64_t ticket, uint64_t segment)
{
    archive_keep(archive_of(arg), ticket, segment);
}

static void archive_frame(void *arg, struct port *port, uint64_t ticket, const struct frame *f)
{
    const struct shelf *shelf = arg;
    syncer_archive_frame(shelf->region->syncers[shelf->i], port, ticket, f);
}

static void archive_done(void *arg, struct port *port, uint64_t ticket, struct archive_place next,
                         bool good, struct moment now)
{
    const struct shelf *shelf = arg;
    struct syncer_place place = {.segment = next.segment, .offset = next.offset};
    syncer_archive_done(shelf->region->syncers[shelf->i], port, ticket, place, good, now);
}

static bool archive_lacks(void *arg, uint32_t partition, const struct context *seen)
{
    const struct shelf *shelf = arg;
    return syncer_lacks(shelf->region->syncers[shelf->i], partition, seen);
}

static const struct context *lasting(void *arg, uint32_t partition)
{
    const struct shelf *shelf = arg;
    return storage_context(shelf->region->storages[shelf->i], partition);
}

static void make_syncer(struct region *r, uint32_t i)
{
    const struct shard_opts *o = &r->shard_opts[i];
    struct shelf *shelf = &r->shelves[i];
    struct syncer_config config = r->config;
    if (r->storages[i] != NULL)
        config.kept = storage_kept(r->storages[i]);
    r->syncers[i] =
        syncer_new(r->shards[i], o->first_partition, o->count, &config, r->config.region * 100 + i);
    if (r->storages[i] == NULL)
        return;
    syncer_set_lasting(r->syncers[i], lasting, shelf);
    syncer_set_archive(r->syncers[i], &(struct syncer_archive){.arg = shelf,
                                                               .ready = archive_is_ready,
                                                               .find = archive_finds,
                                                               .read = archive_reads,
                                                               .take = archive_takes,
                                                               .left = archive_has_left,
                                                               .keep = archive_keeps});
    archive_set_readers(
        storage_archive(r->storages[i]),
        &(struct archive_readers){
            .arg = shelf, .frame = archive_frame, .done = archive_done, .lacks = archive_lacks});
}

static void file_answered(struct region *r, struct port *port, struct file_req *taken,
                          struct moment now)
{
    uint32_t i = 0;
    while (r->storages[i] != taken->owner)
        i++;
    storage_answer(r->storages[i], port, taken, now);
    if (storage_state(r->storages[i]) == STORAGE_RUNS && r->syncers[i] == NULL)
        make_syncer(r, i);
    else if (r->syncers[i] != NULL)
        syncer_durable(r->syncers[i], now);
}

static bool is_open(const struct region *r)
{
    for (uint32_t i = 0; i < r->shards_n; i++)
        if (r->syncers[i] == NULL)
            return false;
    return true;
}

static void region_tick(struct region *r, struct port *port, struct moment now)
{
    for (uint32_t i = 0; i < r->shards_n && is_open(r); i++) {
        if (now.mono_us >= r->tick_us)
            shard_tick(r->shards[i], now);
        syncer_tick(r->syncers[i], port, now);
    }
    if (now.mono_us >= r->tick_us)
        r->tick_us = now.mono_us + TICK_US;
}

static void region_step(void *self, struct port *port, const struct event *ev)
{
    struct region *r = self;
    if (ev->owner != NULL) {
        ev->owner->step(ev->owner, port, ev);
        return;
    }
    switch (ev->kind) {
    case EV_START:
        for (uint32_t i = 0; i < r->shards_n && r->storages[i] != NULL; i++)
            storage_start(r->storages[i], port, ev->now);
        port->ops->listen(port, &(struct listen_opts){.host = "0.0.0.0", .port = PORT});
        break;
    case EV_OPEN: {
        struct door *d = mem_zalloc(sizeof *d);
        d->owner.step = door_step;
        d->region = r;
        port->ops->own(port, ev->conn, &d->owner);
        break;
    }
    case EV_TIMER:
        region_tick(r, port, ev->now);
        break;
    case EV_FILE:
        file_answered(r, port, ev->file, ev->now);
        break;
    case EV_TURN:
        for (uint32_t i = 0; i < r->shards_n && is_open(r); i++) {
            syncer_turn(r->syncers[i], port, ev->now);
            if (r->storages[i] != NULL)
                storage_step(r->storages[i], port, ev->now);
        }
        break;
    default:
        break;
    }
}

static uint64_t region_deadline(void *self)
{
    struct region *r = self;
    uint64_t at = r->tick_us;
    for (uint32_t i = 0; i < r->shards_n && is_open(r); i++) {
        if (syncer_deadline(r->syncers[i]) < at)
            at = syncer_deadline(r->syncers[i]);
        if (r->storages[i] != NULL && storage_deadline(r->storages[i]) < at)
            at = storage_deadline(r->storages[i]);
    }
    return at;
}

static void region_drop(void *self, struct port *port)
{
    struct region *r = self;
    for (uint32_t i = 0; i < r->shards_n; i++) {
        syncer_free(r->syncers[i], port);
        storage_free(r->storages[i]);
        shard_free(r->shards[i]);
        r->syncers[i] = NULL;
        r->storages[i] = NULL;
    }
    r->alive = false;
}

/* ------------------------------------------------------------ making */

static void keep_log(void *arg, const char *host, char level, const char *line)
{
    struct regions *g = arg;
    buf_putf(&g->log, "%s %c %s\n", host, level, line);
}

static void make_storage(struct region *r, uint32_t i)
{
    const struct shard_opts *o = &r->shard_opts[i];
    char folder[32];
    snprintf(folder, sizeof folder, "/data%u/shard%u", r->wiped, i);
    struct file_header id = {.db_uid = 1,
                             .shard = i,
                             .partitions = r->all->partitions,
                             .first = o->first_partition,
                             .count = o->count};
    r->storages[i] = storage_new(&(struct storage_opts){.shard = r->shards[i],
                                                        .folder = folder,
                                                        .id = id,
                                                        .policy = SYNC_ALWAYS,
                                                        .segment_bytes = 16 << 10,
                                                        .snapshot_bytes = 64 << 10,
                                                        .log_retention = r->retention});
}

void regions_start(struct regions *g, uint32_t number, bool reborn)
{
    struct region *r = &g->at[number];
    if (reborn)
        r->config.incarnation++;
    r->config.reborn = reborn;
    r->config.actor = actor_make(number, r->config.incarnation);
    r->tick_us = 0;
    r->alive = true;
    for (uint32_t i = 0; i < r->shards_n; i++) {
        struct shard_opts o = r->opts;
        o.actor = r->config.actor;
        o.first_partition = i * g->partitions / r->shards_n;
        o.count = (i + 1) * g->partitions / r->shards_n - o.first_partition;
        o.count += i + 1 == r->shards_n; /* the hidden partition */
        r->shards[i] = shard_new(&o);
        r->shard_opts[i] = o;
        r->shelves[i] = (struct shelf){.region = r, .i = i};
        if (r->on_disk)
            make_storage(r, i);
        else
            make_syncer(r, i);
    }
    r->port = world_machine(g->world, r->host, 1, (struct machine){r, region_step, region_deadline},
                            region_drop);
}

struct regions *regions_new(const struct regions_opts *o)
{
    struct regions *g = mem_zalloc(sizeof *g);
    g->n = o->n;
    g->partitions = o->partitions ? o->partitions : 8;
    g->world = world_new(&(struct world_opts){.seed = o->seed,
                                              .spin_us = 100,
                                              .latency_us = 500,
                                              .jitter_us = 200,
                                              .split = true,
                                              .log = keep_log,
                                              .arg = g});
    for (uint32_t i = 1; i <= o->n; i++) {
        struct region *r = &g->at[i];
        r->all = g;
        char name[8];
        snprintf(name, sizeof name, "r%u", i);
        r->host = world_host(g->world, name);
        r->shards_n = o->shards[i] ? o->shards[i] : 1;
        r->config = (struct syncer_config){.guid = "guid-1",
                                           .secret = "secret",
                                           .version = 1,
                                           .region = i,
                                           .partitions = g->partitions,
                                           .send_max = o->send_max,
                                           .wait_max = o->wait_max,
                                           .elide_max = o->elide_max,
                                           .compression = o->compression};
        for (uint32_t j = 1; j <= o->n; j++) {
            struct syncer_region *other = &r->config.regions[j];
            other->id = j;
            other->port = PORT;
            snprintf(other->name, sizeof other->name, "region-%u", j);
            snprintf(other->host, sizeof other->host, "r%u", j);
        }
        r->opts = (struct shard_opts){.id = i,
                                      .region = i,
                                      .partitions = g->partitions,
                                      .hash_key = {i, 77},
                                      .seed = i,
                                      .geo = true,
                                      .log_bytes_max = o->log_bytes ? o->log_bytes : 1u << 20,
                                      .pour_min = 3};
        r->on_disk = o->disks >> i & 1;
        r->retention = o->retention;
        if (r->on_disk)
            world_disk(g->world, r->host, (struct world_disk){0});
        if (!(o->off >> i & 1))
            regions_start(g, i, false);
    }
    return g;
}

void regions_free(struct regions *g)
{
    world_free(g->world);
    assert(mem_drift() == 0); /* every account ended at zero */
    buf_deinit(&g->log);
    mem_free(g);
}

/* ------------------------------------------------------------ acting */

static struct moment now_at(const struct regions *g, uint32_t r)
{
    return (struct moment){.wall_ms = world_wall_ms(g->world, g->at[r].host),
                           .mono_us = world_now_us(g->world)};
}

void regions_kill(struct regions *g, uint32_t r) { world_kill(g->world, g->at[r].host, false); }

void regions_wipe(struct regions *g, uint32_t r) { g->at[r].wiped++; }

void regions_configure(struct regions *g, uint32_t r)
{
    struct region *region = &g->at[r];
    for (uint32_t i = 0; i < region->shards_n; i++) {
        syncer_configure(region->syncers[i], region->port, &region->config, now_at(g, r));
        syncer_turn(region->syncers[i], region->port, now_at(g, r));
    }
    world_flush(g->world);
}

void regions_pause(struct regions *g, uint32_t r, uint32_t from, bool paused)
{
    uint64_t bit = UINT64_C(1) << from;
    uint64_t *mask = &g->at[r].config.paused;
    *mask = paused ? *mask | bit : *mask & ~bit;
    regions_configure(g, r);
}

void regions_cut(struct regions *g, uint32_t a, uint32_t b, bool cut)
{
    struct world_link link = {.cut = cut, .latency_us = 500};
    world_link(g->world, g->at[a].host, g->at[b].host, link);
    world_link(g->world, g->at[b].host, g->at[a].host, link);
}

void regions_run(struct regions *g, uint64_t ms)
{
    world_run(g->world, world_now_us(g->world) + ms * 1000);
}

const char *regions_do(struct regions *g, uint32_t number, const char *words)
{
    static char text[4096];
    struct region *r = &g->at[number];
    struct bytes argv[16];
    uint32_t argc = 0;
    for (const char *p = words; *p != 0 && argc < 16; argc++) {
        size_t n = strcspn(p, " ");
        argv[argc] = bytes_of(p, n);
        p += n + (p[n] == ' ');
    }
    const struct command *cmd = command_find(argv[0]);
    assert(cmd != NULL);
    uint32_t partition = argc > 1 ? slot_partition(hash_slot(argv[1]), g->partitions) : 0;
    uint32_t i = shard_index(r, partition);
    for (unsigned ms = 0; !is_open(r) && ms < 1000; ms++)
        regions_run(g, 1);
    struct buf out = {0};
    struct reply reply = {.out = &out, .resp = 2};
    struct call call = {.shard = r->shards[i],
                        .command = cmd,
                        .argc = argc,
                        .argv = argv,
                        .reply = &reply,
                        .now = now_at(g, number)};
    shard_execute(r->shards[i], &call);
    syncer_turn(r->syncers[i], r->port, now_at(g, number));
    if (r->storages[i] != NULL)
        storage_step(r->storages[i], r->port, now_at(g, number));
    world_flush(g->world);
    snprintf(text, sizeof text, "%.*s", (int)buf_len(&out), (const char *)out.p);
    buf_deinit(&out);
    return text;
}

/* ------------------------------------------------------------ looking */

static struct shard *shard_of(const struct region *r, uint32_t partition)
{
    return r->shards[shard_index(r, partition)];
}

bool regions_equal(const struct regions *g)
{
    const struct region *first = NULL;
    for (uint32_t i = 1; i <= g->n; i++) {
        const struct region *r = &g->at[i];
        if (!r->alive)
            continue;
        if (!is_open(r))
            return false;
        if (first == NULL)
            first = r;
        for (uint32_t p = 0; p <= g->partitions; p++) /* with the hidden one */
            if (!context_eq(shard_context(shard_of(first, p), p),
                            shard_context(shard_of(r, p), p)) ||
                !hash128_eq(shard_digest(shard_of(first, p), p), shard_digest(shard_of(r, p), p)))
                return false;
    }
    return true;
}

static bool all_quiet(const struct regions *g)
{
    for (uint32_t i = 1; i <= g->n; i++)
        for (uint32_t j = 0; g->at[i].alive && j < g->at[i].shards_n; j++)
            if (!is_open(&g->at[i]) || !syncer_quiet(g->at[i].syncers[j]))
                return false;
    return true;
}

bool regions_agree(struct regions *g, uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t += 5) {
        if (all_quiet(g) && regions_equal(g))
            return true;
        regions_run(g, 5);
    }
    return false;
}

static void describe_links(const struct regions *g, uint32_t number, uint32_t i, struct buf *out)
{
    struct link_stats stats[REGION_MAX];
    const struct syncer *s = g->at[number].syncers[i];
    unsigned n = syncer_stats(s, stats, REGION_MAX, now_at(g, number));
    for (unsigned j = 0; j < n; j++)
        buf_putf(out, "    from %u: %s%s, waiting %zu, %s\n", stats[j].region,
                 link_state_name(stats[j].state), stats[j].feeding ? ", feeding" : "",
                 stats[j].waiting_bytes, stats[j].error);
}

static void describe_shard(const struct regions *g, uint32_t number, uint32_t i, struct buf *out)
{
    const struct region *r = &g->at[number];
    buf_putf(out, "  shard %u: %s, %s, %zu unsettled\n", i,
             syncer_caught_up(r->syncers[i]) ? "caught up" : "stale",
             syncer_quiet(r->syncers[i]) ? "quiet" : "busy", shard_unsettled(r->shards[i]));
    describe_links(g, number, i, out);
    for (uint32_t p = 0; p < g->partitions; p++) {
        if (shard_index(r, p) != i)
            continue;
        const struct context *c = shard_context(r->shards[i], p);
        buf_putf(out, "    %u: %016llx", p, (unsigned long long)shard_digest(r->shards[i], p).lo);
        for (unsigned k = 0; k < c->n; k++)
            buf_putf(out, " %u:%llx", stamp_actor(c->at[k]), (unsigned long long)c->at[k] >> 10);
        buf_putf(out, "\n");
    }
}

const char *regions_describe(const struct regions *g)
{
    static char text[32768];
    struct buf out = {0};
    for (uint32_t i = 1; i <= g->n; i++) {
        buf_putf(&out, "region %u%s\n", i, g->at[i].alive ? "" : " is dead");
        for (uint32_t j = 0; g->at[i].alive && j < g->at[i].shards_n; j++)
            describe_shard(g, i, j, &out);
    }
    snprintf(text, sizeof text, "%.*s", (int)buf_len(&out), (const char *)out.p);
    buf_deinit(&out);
    return text;
}

struct link_stats regions_stats(const struct regions *g, uint32_t r, uint32_t peer)
{
    struct link_stats stats[REGION_MAX], sum = {0};
    unsigned n = syncer_stats(g->at[r].syncers[0], stats, REGION_MAX, now_at(g, r));
    for (unsigned i = 0; i < n; i++)
        if (stats[i].region == peer)
            sum = stats[i];
    return sum;
}

bool regions_logged(const struct regions *g, const char *text)
{
    return buf_len(&g->log) > 0 &&
           memmem(g->log.p + g->log.head, buf_len(&g->log), text, strlen(text)) != NULL;
}
