/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"

#include <stdio.h>

/*
 * GET /metrics: the databases' figures as Prometheus reads them (text format 0.0.4). Names are
 * those of Redis Enterprise's first metrics where they mean the same, else begin with meridian_.
 */
typedef unsigned long long ull;

/* One family of metrics: a value for each database. */
struct metric {
    const char *name, *type, *help;
    double (*value)(const struct call *c, const struct bdb *b, const struct plane_db_stats *s,
                    const struct keep_summary *k);
};

#define METRIC(name_, expression)                                                                  \
    static double name_(const struct call *c, const struct bdb *b, const struct plane_db_stats *s, \
                        const struct keep_summary *k)                                              \
    {                                                                                              \
        (void)c;                                                                                   \
        (void)b;                                                                                   \
        (void)s;                                                                                   \
        (void)k;                                                                                   \
        return (double)(expression);                                                               \
    }

METRIC(up, bdb_health(c->m, b, (struct lag_check){.tolerance_ms = -1}, NULL) == BDB_HEALTHY)
METRIC(limit, b->config.memory_size)
METRIC(in_force, s->memory_max)
METRIC(used, s->used_memory)
METRIC(keys, s->keys)
METRIC(expires, s->expires)
METRIC(connections, s->connections)
METRIC(requests, s->commands)
METRIC(writes, s->writes)
METRIC(hits, s->hits)
METRIC(misses, s->misses)
METRIC(expired, s->expired)
METRIC(evicted, s->evicted)
METRIC(conflicts, s->conflicts)
METRIC(broken, k->broken)
METRIC(failing, k->fails)
METRIC(loading, k->opens)
METRIC(behind, k->behind)
METRIC(log_bytes, k->kept_bytes)
METRIC(since, k->log_bytes)
METRIC(snapshot_time, (double)k->snapshot_ms / 1000)
METRIC(snapshot_failures, k->snapshot_failures)
METRIC(write_failures, k->write_failures)
METRIC(torn, k->cut)

static const struct metric metrics[] = {
    {"bdb_up", "gauge", "1: listening, and all shards serve", up},
    {"bdb_memory_limit", "gauge", "memory_size, bytes; 0: none", limit},
    {"meridian_memory_limit_in_force", "gauge", "as CONFIG SET maxmemory may have changed it",
     in_force},
    {"bdb_used_memory", "gauge", "bytes", used},
    {"bdb_no_of_keys", "gauge", "keys", keys},
    {"bdb_no_of_expires", "gauge", "keys with a deadline", expires},
    {"bdb_conns", "gauge", "clients' connections", connections},
    {"bdb_total_req", "counter", "commands", requests},
    {"bdb_write_req", "counter", "commands that wrote", writes},
    {"bdb_read_hits", "counter", "keys read that were there", hits},
    {"bdb_read_misses", "counter", "keys read that were not", misses},
    {"bdb_expired_objects", "counter", "keys that expired", expired},
    {"bdb_evicted_objects", "counter", "keys that were evicted", evicted},
    {"meridian_conflicts", "counter", "concurrent writes of which one was dropped", conflicts},
    {"meridian_shards_broken", "gauge", "could not be brought back from disk", broken},
    {"meridian_shards_disk_failing", "gauge", "whose writes do not get to disk", failing},
    {"meridian_shards_loading", "gauge", "being brought back from disk", loading},
    {"meridian_log_behind_bytes", "gauge", "of log that are not durable yet", behind},
    {"meridian_log_disk_bytes", "gauge", "of log on disk", log_bytes},
    {"meridian_log_since_snapshot_bytes", "gauge", "of log since the last snapshots", since},
    {"meridian_snapshot_time_seconds", "gauge", "Unix time of the oldest shard's last snapshot",
     snapshot_time},
    {"meridian_snapshot_failures", "counter", "snapshots that failed", snapshot_failures},
    {"meridian_log_write_failures", "counter", "writes and syncs that failed", write_failures},
    {"meridian_log_torn_bytes", "gauge", "cut off at the end of the log when it was read", torn},
};

static void put_labels(struct buf *out, const struct bdb *b)
{
    buf_putf(out, "{bdb=\"%u\",bdb_name=\"%s\"", b->uid, b->name); /* names have no quotes */
}

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_putf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_metric(const struct call *c, const struct metric *m)
{
    struct buf *out = &c->x->reply;
    const struct cluster *cl = manager_cluster(c->m);
    put_head(out, m->name, m->type, m->help);
    for (uint32_t i = 0; i < cl->bdbs_count; i++) {
        const struct bdb *b = cl->bdbs[i];
        const struct plane_db_stats none = {0}, *s = bdb_stats(c->m, b->uid);
        struct keep_summary k;
        bdb_keep(c->m, b, &k);
        buf_put_str(out, m->name);
        put_labels(out, b);
        buf_putf(out, "} %.17g\n", m->value(c, b, s != NULL ? s : &none, &k));
    }
}

static void put_memory(const struct call *c)
{
    struct buf *out = &c->x->reply;
    const struct cluster *cl = manager_cluster(c->m);
    put_head(out, "meridian_memory_bytes", "gauge",
             "where memory goes; metadata is a part of the others");
    for (uint32_t i = 0; i < cl->bdbs_count; i++) {
        const struct plane_db_stats *s = bdb_stats(c->m, cl->bdbs[i]->uid);
        const struct plane_memory none = {0}, *m = s != NULL ? &s->memory : &none;
        const struct {
            const char *kind;
            uint64_t bytes;
        } kinds[] = {
            {"values", m->values},     {"unsettled", m->unsettled}, {"deadlines", m->deadlines},
            {"log", m->log},           {"patch_bases", m->kept},    {"catalog", m->catalog},
            {"contexts", m->contexts}, {"clients", m->clients},     {"metadata", m->metadata}};
        for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
            buf_put_str(out, "meridian_memory_bytes");
            put_labels(out, cl->bdbs[i]);
            buf_putf(out, ",kind=\"%s\"} %llu\n", kinds[j].kind, (ull)kinds[j].bytes);
        }
    }
}

/* What of a link each family shows. */
enum of_link {
    LINK_STATUS,
    LINK_LAG,
    LINK_INGRESS,
    LINK_EGRESS,
    LINK_LAG_OPS,
    LINK_DISK_LEFT,
    LINK_PARTS_STATE
};

static double link_value(const struct link_summary *l, bool known, enum of_link what)
{
    bool up = known && strcmp(l->state, "up") == 0;
    switch (what) {
    case LINK_STATUS:
        return up ? 0 : known && strcmp(l->state, "transfer") == 0 ? 1 : 2;
    case LINK_LAG:
        return (double)l->behind_ms;
    case LINK_INGRESS:
        return (double)l->bytes_in;
    case LINK_EGRESS:
        return (double)l->bytes_out;
    case LINK_DISK_LEFT:
        return (double)l->disk_left;
    case LINK_PARTS_STATE:
        return (double)l->parts_state;
    case LINK_LAG_OPS:
        break;
    }
    return (double)l->lag_ops;
}

static void put_links(const struct call *c, const char *name, const char *type, const char *help,
                      enum of_link what)
{
    struct buf *out = &c->x->reply;
    const struct cluster *cl = manager_cluster(c->m);
    put_head(out, name, type, help);
    for (uint32_t i = 0; i < cl->bdbs_count; i++) {
        const struct bdb *b = cl->bdbs[i];
        const struct crdb *r = b->guid[0] ? cluster_crdb(cl, b->guid) : NULL;
        for (uint32_t j = 0; r != NULL && j < r->config.instances_count; j++) {
            const struct instance *in = &r->config.instances[j];
            struct link_summary l;
            if (in->id == b->region)
                continue;
            bool known = bdb_link(c->m, b, in->id, &l);
            buf_put_str(out, name);
            put_labels(out, b);
            buf_putf(out, ",replica_id=\"%u\"} %.17g\n", in->id, link_value(&l, known, what));
        }
    }
}

static void show(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    (void)why; /* bdb_up tells */
    (void)uid;
    put_head(&c->x->reply, "node_up", "gauge", "1: the data plane is there");
    buf_putf(&c->x->reply, "node_up %d\n", plane_is_ready(manager_plane(c->m)));
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        put_metric(c, &metrics[i]);
    put_memory(c);
    put_links(c, "bdb_crdt_syncer_status", "gauge", "0: in sync, 1: syncing, 2: out of sync",
              LINK_STATUS);
    put_links(c, "bdb_crdt_syncer_local_ingress_lag_time", "gauge", "ms behind that region",
              LINK_LAG);
    put_links(c, "bdb_crdt_syncer_ingress_bytes", "counter", "from that region", LINK_INGRESS);
    put_links(c, "bdb_crdt_syncer_egress_bytes", "counter", "to that region", LINK_EGRESS);
    put_links(c, "meridian_link_lag_ops", "gauge", "operations of ours it has not acknowledged",
              LINK_LAG_OPS);
    put_links(c, "meridian_link_log_bytes_left", "gauge",
              "of log on disk still to be read for it, which was away", LINK_DISK_LEFT);
    put_links(c, "meridian_link_partitions_by_state", "gauge",
              "partitions whose state it is sent, since the log does not reach back",
              LINK_PARTS_STATE);
    c->x->content_type = "text/plain; version=0.0.4";
    call_json(c, 200, NULL);
}

void rest_metrics(struct call *c)
{
    plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = show, .arg = c});
}
