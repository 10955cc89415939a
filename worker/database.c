/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "worker/inside.h"

#include <stdio.h>

/* The databases of a worker. Shard i of n lives on worker i mod workers; every worker listens and
 * has a front. */

bool database_is_geo(const struct plane_db *db) { return db->guid[0] != 0; }

struct database *database_find(struct worker *w, uint32_t uid)
{
    if (w->last != NULL && w->last->config.uid == uid)
        return w->last;
    for (struct database *d = w->databases; d != NULL; d = d->next)
        if (d->config.uid == uid)
            return w->last = d;
    return NULL;
}

struct member *database_member(struct database *d, uint32_t partition)
{
    for (uint32_t i = 0; i < d->members_count; i++)
        if (partition - d->members[i].first < d->members[i].count)
            return &d->members[i];
    return NULL;
}

static uint32_t first_of(const struct plane_db *db, uint32_t shard)
{
    return (uint32_t)((uint64_t)shard * db->partitions / db->shards);
}

uint32_t database_shard_worker(const struct worker *w, const struct plane_db *db,
                               uint32_t partition)
{
    uint32_t shard = 0;
    while (shard + 1 < db->shards && first_of(db, shard + 1) <= partition)
        shard++;
    return shard % w->opts.count;
}

/* ------------------------------------------------------------ configuration */

uint32_t database_incarnation(const struct plane_db *db)
{
#ifdef MUTANT_stamp_reuse
    (void)db;
    return 0;
#elif defined MUTANT_actor_reused
    return db->persistence != PERSIST_OFF ? 0 : db->incarnation; /* the planted bug */
#else
    return db->incarnation;
#endif
}

static uint32_t actor_of(const struct plane_db *db)
{
    return actor_make(db->region, database_incarnation(db));
}

static bool is_reborn(const struct plane_db *db)
{
#ifdef MUTANT_stamp_reuse
    (void)db;
    return false;
#else
    return db->reborn;
#endif
}

/* The regions' endpoints and what else a syncer must know; the caller frees. */
static struct syncer_config *syncer_config_new(const struct worker *w, const struct plane_db *db)
{
    struct syncer_config *c = mem_zalloc(sizeof *c);
    snprintf(c->guid, sizeof c->guid, "%s", db->guid);
    snprintf(c->secret, sizeof c->secret, "%s", db->secret);
    c->version = db->version;
    c->region = db->region;
    c->reborn = is_reborn(db);
    c->partitions = db->partitions;
    c->tls = db->link_tls || db->client_tls ? w->tls_client : 0;
    c->paused = db->paused;
    c->clock_drift_max_ms = db->clock_drift_max_ms;
    c->compression = db->compression;
    c->elide_max = archive_room(db);
    c->slice_bytes = w->opts.slice_bytes;
    for (uint32_t i = 0; i < db->regions_count; i++) {
        const struct plane_region *from = &db->regions[i];
        struct syncer_region *to = &c->regions[from->id];
        to->id = from->id;
        to->port = from->port;
        snprintf(to->name, sizeof to->name, "%s", from->name);
        snprintf(to->host, sizeof to->host, "%s", from->host);
    }
    return c;
}

static bool publishes_across(const struct plane_db *db)
{
    return database_is_geo(db) && !db->messages_stay;
}

static const char *const policies[EVICTION_KINDS] = {
    [EVICT_NOTHING] = "noeviction",
    [EVICT_ALL_LRU] = "allkeys-lru",
    [EVICT_ALL_LFU] = "allkeys-lfu",
    [EVICT_ALL_RANDOM] = "allkeys-random",
    [EVICT_VOLATILE_LRU] = "volatile-lru",
    [EVICT_VOLATILE_LFU] = "volatile-lfu",
    [EVICT_VOLATILE_RANDOM] = "volatile-random",
    [EVICT_VOLATILE_TTL] = "volatile-ttl",
};

uint32_t database_eviction(const struct database *d)
{
    uint32_t kind = 0;
    while (kind + 1 < EVICTION_KINDS &&
           (uint32_t)setting_place(CONFIG_MAXMEMORY_POLICY, policies[kind]) !=
               d->front->settings.eviction)
        kind++;
    return kind;
}

/* What CONFIG shows of how the database is kept, in Redis' words. */
static void settings_of_keeping(const struct plane_db *db, struct front_settings *s)
{
    static const char *const fsync[PERSIST_KINDS] = {"everysec", "no", "everysec", "always"};
    size_t at = 0;
    s->on_disk = database_on_disk(db);
    /* Without rules it is a log that nobody syncs, not snapshots. */
    s->logged =
        s->on_disk && (db->persistence != PERSIST_SNAPSHOT || db->snapshot_rules_count == 0);
    s->fsync = (uint32_t)setting_place(CONFIG_APPENDFSYNC, fsync[db->persistence]);
    s->eviction = (uint32_t)setting_place(CONFIG_MAXMEMORY_POLICY, policies[db->eviction]);
    s->oom_percent = db->oom_percent;
    s->save[0] = 0;
    for (uint32_t i = 0; i < db->snapshot_rules_count && at < sizeof s->save; i++)
        at += (size_t)snprintf(s->save + at, sizeof s->save - at, "%s%u %llu", i > 0 ? " " : "",
                               db->snapshot_rules[i].seconds,
                               (unsigned long long)db->snapshot_rules[i].writes);
}

static struct front_settings settings_of(const struct plane_db *db)
{
    struct front_settings s = {
        .clients_max = db->clients_max, .memory_max = db->memory_max, .port = db->port};
    s.across = publishes_across(db);
    settings_of_keeping(db, &s);
    snprintf(s.password, sizeof s.password, "%s", db->password);
    return s;
}

static bool check(const struct worker *w, const struct plane_db *db, char *error, size_t size)
{
    error[0] = 0;
    if (db->partitions == 0 || db->partitions > SLOTS ||
        (db->partitions & (db->partitions - 1)) != 0)
        snprintf(error, size, "partitions must be a power of two up to %u, not %u", SLOTS,
                 db->partitions);
    else if (db->shards == 0 || db->shards > db->partitions)
        snprintf(error, size, "shards must be between 1 and the %u partitions, not %u",
                 db->partitions, db->shards);
    else if (db->region == 0 || db->region > REGION_MAX)
        snprintf(error, size, "the region's number must be between 1 and %u", REGION_MAX);
    else if ((db->client_tls || db->link_tls) && w->tls_server == 0)
        snprintf(error, size,
                 "TLS is wanted, but the data plane was started without a certificate");
    else if (database_on_disk(db) && w->opts.data == NULL)
        snprintf(error, size,
                 "persistence is wanted, but the data plane was started without a folder: give it "
                 "--data");
    for (uint32_t i = 0; i < db->regions_count; i++)
        if (db->regions[i].id == 0 || db->regions[i].id > REGION_MAX)
            snprintf(error, size, "a region's number must be between 1 and %u", REGION_MAX);
    return error[0] == 0;
}

/* ------------------------------------------------------------ creating */

/* The catalog lies in a shard here: all fronts are to know. */
static void catalog_changed(void *arg, enum catalog_kind kind, struct bytes name,
                            const struct bytes *value)
{
    struct database *d = arg;
    if (d->front == NULL || d->closed_members > 0)
        return; /* it is being made, or brought back: then all of it is spread */
    if (kind == CATALOG_KINDS)
        catalog_recheck(d->front, d->worker->port);
    else
        catalog_spread(d->front, d->worker->port, kind, name, value);
}

static const struct context *member_lasting(void *arg, uint32_t partition)
{
    const struct member *m = arg;
    /* None: it has just been switched off, and this syncer is about to go. */
    return m->storage != NULL ? storage_context(m->storage, partition) : NULL;
}

/* What is the member's own of it; the caller frees. */
static struct syncer_config *member_config(const struct syncer_config *config,
                                           const struct member *m, bool kept)
{
    struct syncer_config *own = mem_dup(config, sizeof *config);
    own->incarnation = m->incarnation;
    own->actor = actor_make(own->region, m->incarnation);
    own->kept = kept;
    own->sure = m->sure;
    own->sole = m->sole;
    own->was = m->was;
    return own;
}

/* `kept`: nothing is missing that this region has ever claimed to have. */
static void member_link(struct database *d, struct member *m, const struct syncer_config *config,
                        bool kept, struct moment now)
{
    shard_set_geo(m->shard, true);
    if (m->split)
        return;
    struct syncer_config *own = member_config(config, m, kept);
    m->syncer = syncer_new(m->shard, m->first, m->count, own,
                           d->config.seed * 2654435761u + m->id + (uint64_t)now.wall_ms);
    syncer_hear(m->syncer, member_heard, m);
    syncer_hear_verified(m->syncer, member_verified, m);
    if (m->storage != NULL)
        syncer_set_lasting(m->syncer, member_lasting, m);
    syncer_set_limit(m->syncer, settle_limit, m);
    syncer_set_share(m->syncer, &d->worker->share);
    archive_link(m);
    mem_free(own);
}

static bool disk_kept(const struct member *m)
{
    return m->storage != NULL && storage_kept(m->storage) && !m->before.lacks && m->free;
}

void database_relink(struct database *d, struct port *port, struct member *m, struct moment now)
{
    if (m->syncer == NULL)
        return;
    bool caught_up = syncer_caught_up(m->syncer);
    m->sure = syncer_settled(m->syncer);
    struct syncer_config *config = syncer_config_new(d->worker, &d->config);
    syncer_free(m->syncer, port);
    member_link(d, m, config, caught_up, now);
    mem_free(config);
}

void database_rename(struct database *d, struct port *port, struct member *m, struct moment now)
{
    struct syncer_config *config = syncer_config_new(d->worker, &d->config);
    syncer_free(m->syncer, port);
    m->syncer = NULL;
    shard_rename(m->shard, actor_make(d->config.region, m->incarnation));
    member_link(d, m, config, false, now);
    mem_free(config);
}

void database_split(struct member *m, struct port *port)
{
    shard_set_stale(m->shard, true); /* until the next turn says why */
    syncer_free(m->syncer, port);
    m->syncer = NULL;
}

static void members_create(struct database *d, struct moment now)
{
    const struct plane_db *db = &d->config;
    const struct worker *w = d->worker;
    d->members = mem_zalloc((db->shards / w->opts.count + 1) * sizeof d->members[0]);
    struct syncer_config *config = database_is_geo(db) ? syncer_config_new(w, db) : NULL;
    for (uint32_t i = w->opts.index; i < db->shards; i += w->opts.count) {
        struct member *m = &d->members[d->members_count++];
        *m = (struct member){.id = i,
                             .first = first_of(db, i),
                             .database = d,
                             .incarnation = database_incarnation(db)};
        m->open = !database_on_disk(db);
        m->count = first_of(db, i + 1) - m->first;
        if (i + 1 == db->shards)
            m->count++; /* the hidden partition: shard/catalog.h */
        m->shard = shard_new(&(struct shard_opts){
            .id = i,
            .region = db->region,
            .actor = actor_of(db),
            .partitions = db->partitions,
            .first_partition = m->first,
            .count = m->count,
            .hash_key = {.k0 = db->hash_k0, .k1 = db->hash_k1},
            .seed = db->seed + i,
            .geo = config != NULL,
            .xadd_ids = (enum xadd_ids)db->xadd_ids,
            .pour_min = w->opts.pour_min,
            .log_bytes_max = (size_t)(db->backlog_bytes / db->shards),
            .memory_max = (size_t)db->memory_max,
            .patch_min = w->opts.patch_min,
            .kept_bytes_max = w->opts.kept_bytes_max,
            .slice_bytes = w->opts.slice_bytes,
            .catalog = catalog_changed,
            .catalog_arg = d,
            .event = member_event,
            .publish = member_publish,
            .unblocked = member_unblocked,
            .lacking = member_lacking,
            .read = member_read,
            .changed = member_changed,
            .show = member_show,
            .arg = m,
        });
        if (config != NULL && m->open)
            member_link(d, m, config, disk_kept(m), now);
    }
    mem_free(config);
}

void database_opened(struct database *d, struct port *port, struct member *m, struct moment now)
{
    m->open = true;
    m->keeping.look_us = 0; /* changes count from here on */
    shard_set_actor(m->shard, actor_make(d->config.region, m->incarnation));
    if (m->split)
        shard_set_stale(m->shard, true); /* until the next turn says why */
    if (database_is_geo(&d->config) && storage_kept(m->storage) && !m->before.lacks && !m->free)
        port_log(port, 'W',
                 "database %u shard %u: this life's number was that of an earlier one, of which "
                 "peers may have more than is here: writes wait until it has caught up",
                 d->config.uid, m->id);
    if (database_is_geo(&d->config)) {
        struct syncer_config *config = syncer_config_new(d->worker, &d->config);
        member_link(d, m, config, disk_kept(m), now);
        mem_free(config);
    }
    greet_begin(m, now);
    if (m->greet_us == 0)
        database_ready(d, port);
}

void database_ready(struct database *d, struct port *port)
{
    if (--d->closed_members > 0)
        return;
    catalog_start(d->front, port);
    dataset_opened(d->front, port);
}

static void front_create(struct database *d, struct moment now)
{
    const struct plane_db *db = &d->config;
    struct worker *w = d->worker;
    struct front_shard *shards = mem_zalloc(db->shards * sizeof shards[0]);
    for (uint32_t i = 0; i < db->shards; i++) {
        shards[i].worker = i % w->opts.count;
        shards[i].first_partition = first_of(db, i);
        shards[i].count = first_of(db, i + 1) - first_of(db, i);
        if (shards[i].worker == w->opts.index)
            shards[i].local = d->members[i / w->opts.count].shard;
    }
    d->front = front_new(&(struct front_opts){
        .db_uid = db->uid,
        .partitions = db->partitions,
        .seed = db->seed ^ w->opts.seed,
        .courier = w->courier,
        .host = {.arg = w,
                 .link = link_open,
                 .figures = stats_figures,
                 .describe = stats_describe,
                 .publish = publish_across,

                 .have = stats_have,
                 .learnt = stats_learnt,
                 .peers = stats_peers,
                 .compare = stats_compare,
                 .keep = keep_figures,
                 .snapshot = keep_ask},
        .settings = settings_of(db),
        .shards = shards,
        .shards_count = db->shards,
        .now = now,
    });
    mem_free(shards);
}

bool database_add(struct worker *w, struct port *port, const struct plane_db *db, uint32_t ticket,
                  struct moment now, char *error, size_t size)
{
    if (!check(w, db, error, size))
        return false;
    struct database *d = mem_zalloc(sizeof *d);
    d->worker = w;
    d->config = *db;
    d->ticket = ticket;
    d->joining = database_is_geo(db) && is_reborn(db) && db->regions_count <= 1;
    members_create(d, now);
    front_create(d, now);
    if (d->members_count == 0 || !database_on_disk(db))
        catalog_start(d->front, port);
    struct database **at = &w->databases;
    while (*at != NULL)
        at = &(*at)->next;
    *at = d;
    front_start(d->front, port);
    if (database_on_disk(db)) {
        dataset_begin(d->front, port);
        disk_open(d, port, now);
    }
    d->listener = port->ops->listen(
        port, &(struct listen_opts){.host = d->config.host,
                                    .port = db->port,
                                    .tls = db->client_tls || db->link_tls ? w->tls_server : 0,
                                    .tls_optional = !db->client_tls,
                                    .tag = db->uid,
                                    .shared = w->opts.count > 1});
    return true;
}

/* ------------------------------------------------------------ changing */

static void member_configure(struct database *d, struct port *port, struct member *m,
                             const struct syncer_config *config, bool joins, struct moment now)
{
    if (!m->open)
        return; /* its syncer will be made by what is valid then */
    if (config == NULL) {
        if (m->syncer == NULL)
            return;
        syncer_free(m->syncer, port);
        m->syncer = NULL;
        shard_set_stale(m->shard, false);
        shard_set_geo(m->shard, false);
    } else if (m->syncer == NULL) {
        member_link(d, m, config, disk_kept(m), now);
    } else if (joins) {
        /* Alone it had caught up with everybody; now there are peers that know more. */
        syncer_free(m->syncer, port);
        member_link(d, m, config, disk_kept(m), now);
    } else {
        struct syncer_config *own = member_config(config, m, false);
        syncer_configure(m->syncer, port, own, now);
        mem_free(own);
    }
}

static void members_configure(struct database *d, struct port *port, struct moment now)
{
    struct syncer_config *config =
        database_is_geo(&d->config) ? syncer_config_new(d->worker, &d->config) : NULL;
    bool joins = d->joining && d->config.regions_count > 1;
    for (uint32_t i = 0; i < d->members_count; i++)
        member_configure(d, port, &d->members[i], config, joins, now);
    d->joining = d->joining && !joins;
    mem_free(config);
}

bool database_busy(const struct database *d) { return d->front->scripting.stopped > 0; }

static bool can_be(const struct database *d, const struct plane_db *db, char *error, size_t size)
{
    const struct plane_db *old = &d->config;
    if (!check(d->worker, db, error, size))
        return false;
    if (db->partitions != old->partitions || db->shards != old->shards ||
        db->region != old->region || db->port != old->port || strcmp(db->host, old->host) != 0 ||
        (db->client_tls || db->link_tls) != (old->client_tls || old->link_tls)) {
        snprintf(error, size,
                 "partitions, shards, region, address, port and TLS of a running database cannot "
                 "change: create another and move the data");
        return false;
    }
    if ((database_on_disk(db) != database_on_disk(old) || db->founding != old->founding) &&
        d->closed_members > 0) {
        snprintf(error, size,
                 "persistence cannot be switched while the database is loaded from disk: try again "
                 "when it has been; one that cannot be loaded may be deleted");
        return false;
    }
    return true;
}

static void configure_front(struct database *d, const struct plane_db *db)
{
    const struct plane_db *old = &d->config;
    struct front_settings s = d->front->settings; /* keeps what CONFIG SET has changed */
    if (db->clients_max != old->clients_max)
        s.clients_max = db->clients_max;
    if (db->memory_max != old->memory_max)
        s.memory_max = db->memory_max;
    s.across = publishes_across(db);
    uint32_t eviction = s.eviction;
    settings_of_keeping(db, &s);
    if (db->eviction == old->eviction)
        s.eviction = eviction;
    snprintf(s.password, sizeof s.password, "%s", db->password);
    front_configure(d->front, &s);
}

static void configure(struct database *d, struct port *port, const struct plane_db *db,
                      struct moment now)
{
    const struct plane_db *old = &d->config;
    bool renamed = actor_of(db) != actor_of(old), was_on_disk = database_on_disk(old);
    /* The manager counts how often persistence was switched on. One that it has counted and that
     * was not heard of here is that of a manager that knows more; the next process will open the
     * folder of that count and remove the others. */
    bool anew = db->founding != old->founding;
    configure_front(d, db);
    d->config = *db;
    for (uint32_t i = 0; i < d->members_count; i++) {
        shard_set_xadd_ids(d->members[i].shard, (enum xadd_ids)db->xadd_ids);
        shard_set_leaving(d->members[i].shard, db->leaving);
        if (renamed) {
            d->members[i].incarnation = database_incarnation(db);
            shard_set_actor(d->members[i].shard, actor_of(db));
        }
    }
    members_configure(d, port, now);
    disk_configure(d, port, was_on_disk, anew, now);
}

bool database_check(struct database *d, struct port *port, const struct plane_db *db,
                    uint32_t ticket, struct moment now, char *error, size_t size)
{
    if (!can_be(d, db, error, size))
        return true;
    if (database_busy(d)) {
        snprintf(error, size, "%s", BUSY_ERROR);
        return true;
    }
#ifdef MUTANT_half_a_change /* the planted bug: who can changes, whatever the others say */
    if (!probe_refuses(d, db, error, size))
        configure(d, port, db, now);
    return true;
#endif
    return !probe_begin(d, port, db, ticket, now, error, size);
}

bool database_configure(struct database *d, struct port *port, const struct plane_db *db,
                        struct moment now, char *error, size_t size)
{
    if (!can_be(d, db, error, size))
        return false;
    if (db->version < d->config.version)
        return true; /* overtaken by a newer one */
    mem_free(d->later);
    d->later = database_busy(d) ? mem_dup(db, sizeof *db) : NULL;
    if (d->later == NULL)
        configure(d, port, db, now);
    return true;
}

void database_turn(struct database *d, struct port *port, struct moment now)
{
    struct plane_db *db = d->later;
    settle_number(d, port, now);
    greet_turn(d, port, now);
    if (db == NULL || database_busy(d))
        return;
    d->later = NULL;
    configure(d, port, db, now);
    mem_free(db);
}

void database_pause(struct database *d, struct port *port, uint32_t region, bool paused,
                    struct moment now)
{
    uint64_t bit = UINT64_C(1) << region;
    d->config.paused = paused ? d->config.paused | bit : d->config.paused & ~bit;
    members_configure(d, port, now);
}

void database_flush(struct database *d, struct moment now, char *error, size_t size)
{
    struct bytes argv[1] = {bytes_str("flushall")};
    struct buf sink = {0};
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct reply r = {.out = &sink, .resp = 2};
        struct call c = {.shard = d->members[i].shard,
                         .command = command_find(argv[0]),
                         .argc = 1,
                         .argv = argv,
                         .reply = &r,
                         .now = now};
        buf_clear(&sink);
        shard_execute(d->members[i].shard, &c);
        struct bytes got = buf_bytes(&sink);
        if (got.n > 3 && got.p[0] == '-') /* stale, leaving, or its disk fails */
            snprintf(error, size, "%.*s", (int)(got.n - 3), (const char *)got.p + 1);
    }
    buf_deinit(&sink);
}

static void end_links(struct database *d, struct port *port)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        syncer_free(d->members[i].syncer, port);
        d->members[i].syncer = NULL;
    }
}

void database_end(struct database *d, struct port *port, struct moment now)
{
    if (d->listener != 0)
        port->ops->unlisten(port, d->listener);
    d->listener = 0;
    front_end(d->front, port, now);
    end_links(d, port);
    disk_close(d, port, now);
}

void database_drop(struct database *d, struct port *port, bool deleted)
{
    struct worker *w = d->worker;
    if (d->listener != 0)
        port->ops->unlisten(port, d->listener);
    front_free(d->front, port);
    d->front = NULL;
    end_links(d, port);
    for (uint32_t i = 0; i < d->members_count; i++) {
        disk_leave(&d->members[i], port, deleted);
        shard_free(d->members[i].shard);
    }
    struct database **at = &w->databases;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    w->last = NULL;
    buf_deinit(&d->syncs);
    mem_free(d->later);
    mem_free(d->members);
    mem_free(d);
}
