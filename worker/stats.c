/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "worker/inside.h"

#include <stdio.h>

/* ------------------------------------------------------------ for INFO */

/* Of several links to one region the worst is shown: up, transferring, on the way, paused, down,
 * refused. */
static uint32_t link_rank(enum link_state s)
{
    switch (s) {
    case LINK_UP:
        return 1;
    case LINK_TRANSFER:
        return 2;
    case LINK_HANDSHAKE:
        return 3;
    case LINK_CONNECTING:
        return 4;
    case LINK_PAUSED:
        return 5;
    case LINK_DOWN:
        return 6;
    case LINK_QUARANTINED:
        return 7;
    case LINK_REFUSED:
        return 8;
    }
    return 0;
}

static const char *region_name(const struct plane_db *db, uint32_t region)
{
    for (uint32_t i = 0; i < db->regions_count; i++)
        if (db->regions[i].id == region)
            return db->regions[i].name;
    return "?";
}

static void add_links(struct figures *out, const struct database *d, const struct syncer *s,
                      struct moment now)
{
    struct link_stats *links = mem_alloc((REGION_MAX + 1) * sizeof links[0]);
    unsigned n = syncer_stats(s, links, REGION_MAX + 1, now);
    for (unsigned i = 0; i < n; i++) {
        const struct link_stats *l = &links[i];
        struct figures_link one = {.state = link_state_name(l->state),
                                   .rank = link_rank(l->state),
                                   .feeding = l->feeding,
                                   .bytes_in = l->bytes_in,
                                   .bytes_out = l->bytes_out,
                                   .ops_in = l->ops_in,
                                   .ops_out = l->ops_out,
                                   .lag_ops = l->lag_ops,
                                   .reconnects = l->reconnects,
                                   .transfers_in = l->transfers_in,
                                   .transfers_out = l->transfers_out,
                                   .relays = l->relays,
                                   .parts_disk = l->parts_disk,
                                   .disk_left = l->disk_left,
                                   .parts_state = l->parts_state,
                                   .ops_disk = l->ops_disk,
                                   .ops_elided = l->ops_elided,
                                   .messages_in = l->messages_in,
                                   .messages_out = l->messages_out,
                                   .messages_dropped = l->messages_dropped,
                                   .lag_ms = l->lag_ms,
                                   .behind_ms = l->behind_ms};
        snprintf(one.name, sizeof one.name, "%s", region_name(&d->config, l->region));
        out->links_bytes += l->waiting_bytes;
        figures_link_add(&out->links[l->region], &one);
    }
    mem_free(links);
}

/* Equal in all regions when all contexts are, however the partitions are spread over shards. */
static uint64_t member_context_hash(const struct member *m)
{
    uint64_t sum = 0;
    for (uint32_t p = m->first; p < m->first + m->count; p++) {
        const struct context *c = shard_context(m->shard, p);
        sum += hash_64(bytes_of(c->at, c->n * sizeof *c->at), p + 1);
    }
    return sum;
}

/* Who asks again and again, as managers and monitors do, gets what is in by now: to take in the
 * rest at once for that would make clients wait. */
static struct hash128 member_digest(const struct member *m, bool exact)
{
    struct hash128 sum = {0};
    for (uint32_t p = m->first; p < m->first + m->count; p++)
        sum =
            hash128_add(sum, exact ? shard_digest(m->shard, p) : shard_digest_so_far(m->shard, p));
    return sum;
}

static stamp_t member_stamp(const struct member *m)
{
    stamp_t newest = 0;
    for (uint32_t p = m->first; p < m->first + m->count; p++) {
        const struct context *c = shard_context(m->shard, p);
        for (unsigned i = 0; i < c->n; i++)
            newest = c->at[i] > newest ? c->at[i] : newest;
    }
    return newest;
}

/* A life that has noted that those before it are over knows it before any peer has told. */
static void add_earlier(struct figures *out, const struct member *m)
{
    struct syncer_earlier e;
    syncer_earlier(m->syncer, &e);
    out->earlier_seen += e.seen;
    if (m->storage != NULL && m->settled == m->incarnation)
        return;
    out->earlier_open += e.open;
    for (unsigned r = 0; r <= REGION_MAX; r++)
        out->earlier_waits[r] += e.waits[r];
}

void stats_figures(void *worker, struct front *f, struct figures *out, struct moment now)
{
    struct database *d = database_find(worker, f->db_uid);
    for (uint32_t i = 0; d != NULL && i < d->members_count; i++) {
        const struct member *m = &d->members[i];
        struct shard_stats one;
        const uint64_t life[] = {m->id, m->incarnation};
        out->shards++;
        out->lives += hash_64(bytes_of(life, sizeof life), 0);
        if (!m->open)
            continue;
        shard_stats(m->shard, &one);
        figures_shard_add(&out->shard, &one);
        struct memory_use memory;
        shard_memory(m->shard, &memory);
        memory_use_add(&out->memory, &memory);
        out->stale += shard_is_stale(m->shard);
        out->log_bytes += one.log_bytes;
        stamp_t newest = member_stamp(m);
        if (newest > out->stamp_max)
            out->stamp_max = newest;
        struct hash128 digest = hash128_add((struct hash128){out->digest_lo, out->digest_hi},
                                            member_digest(m, out->exact));
        out->digest_lo = digest.lo;
        out->digest_hi = digest.hi;
        out->context_hash += member_context_hash(m);
        if (m->syncer == NULL)
            continue;
        add_links(out, d, m->syncer, now);
        add_earlier(out, m);
        syncer_lagging(m->syncer, out->lagging);
    }
}

void stats_describe(void *worker, const struct front *f, struct figures_db *out)
{
    const struct database *d = database_find(worker, f->db_uid);
    if (d == NULL)
        return;
    const struct plane_db *db = &d->config;
    snprintf(out->guid, sizeof out->guid, "%s", db->guid);
    out->version = db->version;
    out->region = db->region;
    out->incarnation = d->members_count > 0 ? d->members[0].incarnation : db->incarnation;
    out->actor = actor_make(db->region, out->incarnation);
    out->partitions = db->partitions;
}

uint64_t stats_have(void *worker, const struct front *f, uint32_t partition, stamp_t stamp,
                    bool durable)
{
    struct database *d = database_find(worker, f->db_uid);
    const struct member *m = d != NULL ? database_member(d, partition) : NULL;
    return m != NULL && m->syncer != NULL ? syncer_have(m->syncer, partition, stamp, durable) : 0;
}

uint64_t stats_learnt(void *worker, const struct front *f)
{
    const struct database *d = database_find(worker, f->db_uid);
    uint64_t sum = 0;
    for (uint32_t i = 0; d != NULL && i < d->members_count; i++)
        sum += d->members[i].syncer != NULL ? syncer_learnt(d->members[i].syncer) : 0;
    return sum;
}

/* The other regions as the configuration names them; what a worker without shards knows, too. */
uint64_t stats_peers(void *worker, const struct front *f)
{
    const struct database *d = database_find(worker, f->db_uid);
    uint64_t peers = 0;
    for (uint32_t i = 0; d != NULL && i < d->config.regions_count; i++)
        if (d->config.regions[i].id != d->config.region)
            peers |= UINT64_C(1) << d->config.regions[i].id;
    return peers;
}

void stats_compare(void *worker, const struct front *f, struct port *port, uint64_t session,
                   uint32_t region, uint32_t keys_max)
{
    struct database *d = database_find(worker, f->db_uid);
    for (uint32_t i = 0; d != NULL && i < d->members_count; i++)
        if (d->members[i].syncer != NULL)
            syncer_verify(d->members[i].syncer, port, region, session, keys_max);
}

/* ------------------------------------------------------------ for the manager */

static void plane_link_of(struct plane_link *to, const struct link_stats *from)
{
    *to = (struct plane_link){.region = from->region,
                              .feeding = from->feeding,
                              .bytes_in = from->bytes_in,
                              .bytes_out = from->bytes_out,
                              .ops_in = from->ops_in,
                              .ops_out = from->ops_out,
                              .lag_ops = from->lag_ops,
                              .reconnects = from->reconnects,
                              .transfers_in = from->transfers_in,
                              .transfers_out = from->transfers_out,
                              .relays = from->relays,
                              .lag_ms = from->lag_ms,
                              .behind_ms = from->behind_ms,
                              .parts_disk = from->parts_disk,
                              .disk_left = from->disk_left,
                              .parts_state = from->parts_state};
    snprintf(to->state, sizeof to->state, "%s", link_state_name(from->state));
    snprintf(to->error, sizeof to->error, "%s", from->error);
}

static void plane_shard_of(struct plane_shard *to, const struct database *d, const struct member *m,
                           struct moment now)
{
    struct shard_stats s = {0};
    struct hash128 digest = {0};
    if (m->open) {
        shard_stats(m->shard, &s);
        digest = member_digest(m, false);
    }
    *to = (struct plane_shard){.db_uid = d->config.uid,
                               .shard = m->id,
                               .worker = d->worker->opts.index,
                               .first_partition = m->first,
                               .count = m->count - shard_has_catalog(m->shard),
                               .keys = s.keys,
                               .used_memory = shard_held(m->shard),
                               .commands = s.commands,
                               .stale = m->open && shard_is_stale(m->shard),
                               .digest_lo = digest.lo,
                               .digest_hi = digest.hi};
    keep_plane(m, &to->keep);
    if (m->syncer == NULL)
        return;
    struct link_stats *links = mem_alloc(PLANE_REGIONS_MAX * sizeof links[0]);
    to->links_count = syncer_stats(m->syncer, links, PLANE_REGIONS_MAX, now);
    for (uint32_t i = 0; i < to->links_count; i++)
        plane_link_of(&to->links[i], &links[i]);
    mem_free(links);
}

/* Looking into where memory goes takes a shard a good part of a millisecond, so not each time. */
#define USE_US 5000000u

static void look_laggard(struct member *m)
{
    uint32_t lagging[REGION_MAX + 1] = {0};
    m->laggard = m->laggard_partitions = 0;
    if (m->syncer == NULL)
        return;
    syncer_lagging(m->syncer, lagging);
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if (lagging[r] > m->laggard_partitions) {
            m->laggard = r;
            m->laggard_partitions = lagging[r];
        }
}

/* Shards that wait for the same region add up; of different ones the one with more partitions. */
static void add_laggard(struct plane_db_stats *to, uint32_t region, uint32_t partitions)
{
    if (to->laggard == region) {
        to->laggard_partitions += partitions;
    } else if (partitions > to->laggard_partitions) {
        to->laggard = region;
        to->laggard_partitions = partitions;
    }
}

static void add_memory(struct plane_memory *to, struct member *m, struct moment now)
{
    if (now.mono_us >= m->use_us) {
        shard_memory(m->shard, &m->use);
        look_laggard(m);
        m->use_us = now.mono_us + USE_US;
    }
    to->values += m->use.values;
    to->unsettled += m->use.unsettled;
    to->deadlines += m->use.deadlines;
    to->log += m->use.log;
    to->kept += m->use.kept;
    to->catalog += m->use.catalog;
    to->contexts += m->use.contexts;
    to->metadata += m->use.metadata;
}

static void plane_db_stats_of(struct plane_db_stats *to, const struct database *d,
                              struct moment now)
{
    *to = (struct plane_db_stats){
        .uid = d->config.uid,
        .listening = d->listening,
        .connections = d->front->sessions,
        .memory_max = d->front->settings.memory_max,
        .eviction = database_eviction(d),
    };
    to->memory.clients = d->front->memory.buffers;
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct shard_stats s;
        if (!d->members[i].open)
            continue;
        shard_stats(d->members[i].shard, &s);
        to->keys += s.keys;
        to->used_memory += shard_held(d->members[i].shard);
        to->commands += s.commands;
        to->unsettled += s.unsettled;
        to->expires += s.expires;
        to->writes += s.writes;
        to->hits += s.hits;
        to->misses += s.misses;
        to->expired += s.expired;
        to->evicted += s.evicted;
        add_memory(&to->memory, &d->members[i], now);
        add_laggard(to, d->members[i].laggard, d->members[i].laggard_partitions);
        to->conflicts +=
            s.conflicts.register_lost + s.conflicts.type_hidden + s.conflicts.deadline_lost;
    }
}

void stats_plane(struct worker *w, struct plane_stats *out, struct moment now)
{
    uint32_t dbs = 0, shards = 0;
    for (const struct database *d = w->databases; d != NULL; d = d->next) {
        dbs++;
        shards += d->members_count;
    }
    *out = (struct plane_stats){0};
    out->dbs = mem_zalloc((dbs + 1) * sizeof out->dbs[0]);
    out->shards = mem_zalloc((shards + 1) * sizeof out->shards[0]);
    for (const struct database *d = w->databases; d != NULL; d = d->next) {
        plane_db_stats_of(&out->dbs[out->dbs_count++], d, now);
        for (uint32_t i = 0; i < d->members_count; i++)
            plane_shard_of(&out->shards[out->shards_count++], d, &d->members[i], now);
    }
}

static void add_db(struct plane_stats *sum, const struct plane_db_stats *one)
{
    uint32_t i = 0;
    while (i < sum->dbs_count && sum->dbs[i].uid != one->uid)
        i++;
    if (i == sum->dbs_count) {
        sum->dbs = mem_realloc(sum->dbs, (i + 1) * sizeof sum->dbs[0]);
        sum->dbs[i] = *one;
        sum->dbs_count++;
        return;
    }
    struct plane_db_stats *to = &sum->dbs[i];
    to->listening = to->listening && one->listening;
    to->keys += one->keys;
    to->used_memory += one->used_memory;
    to->commands += one->commands;
    to->connections += one->connections;
    to->unsettled += one->unsettled;
    to->conflicts += one->conflicts;
    to->expires += one->expires;
    to->writes += one->writes;
    to->hits += one->hits;
    to->misses += one->misses;
    to->expired += one->expired;
    to->evicted += one->evicted;
    add_laggard(to, one->laggard, one->laggard_partitions);
    to->memory.values += one->memory.values;
    to->memory.unsettled += one->memory.unsettled;
    to->memory.deadlines += one->memory.deadlines;
    to->memory.log += one->memory.log;
    to->memory.kept += one->memory.kept;
    to->memory.catalog += one->memory.catalog;
    to->memory.contexts += one->memory.contexts;
    to->memory.clients += one->memory.clients;
    to->memory.metadata += one->memory.metadata;
}

void stats_plane_add(struct plane_stats *sum, const struct plane_stats *part)
{
    for (uint32_t i = 0; i < part->dbs_count; i++)
        add_db(sum, &part->dbs[i]);
    if (part->shards_count == 0)
        return;
    sum->shards =
        mem_realloc(sum->shards, (sum->shards_count + part->shards_count) * sizeof sum->shards[0]);
    memcpy(sum->shards + sum->shards_count, part->shards,
           part->shards_count * sizeof part->shards[0]);
    sum->shards_count += part->shards_count;
}
