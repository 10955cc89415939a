/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * What is wrong just now, by Redis Enterprise's names where it has them. Nothing is remembered: an
 * alert is raised as long as its cause is there.
 */
#define SIZE_PERCENT 80u

__attribute__((format(printf, 5, 6))) static void
put_alert(json_t *list, const char *name, bool raised, const char *severity, const char *fmt, ...)
{
    char text[600] = "";
    va_list ap;
    va_start(ap, fmt);
    if (raised)
        vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_plain(text);
    json_object_set_new(list, name,
                        json_pack("{s:b, s:b, s:s, s:s}", "enabled", 1, "state", (int)raised,
                                  "severity", severity, "description", text));
}

static void put_files(const struct call *c, const struct bdb *b, json_t *list)
{
    struct keep_summary k;
    bdb_keep(c->m, b, &k);
    put_alert(list, "bdb_shard_broken", k.broken > 0, "CRITICAL",
              "%u of %u shards could not be brought back from disk: %s", k.broken, k.shards,
              k.error);
    put_alert(list, "bdb_disk_failing", k.fails > 0, "CRITICAL",
              "writes of %u of %u shards do not get to disk: %s", k.fails, k.shards, k.error);
    put_alert(list, "bdb_loading", k.opens > 0, "WARNING",
              "%u of %u shards are being brought back from disk: %u %%", k.opens, k.shards,
              k.percent);
    put_alert(
        list, "bdb_snapshot_failed", k.snapshots_failed > 0, "WARNING",
        "the last snapshot of %u of %u shards failed, it is tried again%s%s. See room and rights "
        "of the data folder",
        k.snapshots_failed, k.shards, k.error[0] != 0 ? ": " : "", k.error);
}

static void put_links(const struct call *c, const struct bdb *b, json_t *list)
{
    const struct crdb *r = b->guid[0] ? cluster_crdb(manager_cluster(c->m), b->guid) : NULL;
    int64_t tolerance = manager_cluster(c->m)->availability_lag_tolerance_ms, worst = 0;
    const char *behind = "";
    struct buf down = {0};
    for (uint32_t i = 0; r != NULL && i < r->config.instances_count; i++) {
        const struct instance *in = &r->config.instances[i];
        struct link_summary l;
        if (in->id == b->region)
            continue;
        bool known = bdb_link(c->m, b, in->id, &l);
        if (!known || strcmp(l.state, "up") != 0)
            buf_putf(&down, "%s from region %u (%s): %s%s%.60s",
                     buf_len(&down) > 0 ? ", link" : "link", in->id, in->cluster,
                     known ? l.state : "no statistics", l.error[0] ? ": " : "", l.error);
        else if (l.behind_ms > worst) {
            worst = l.behind_ms;
            behind = in->cluster;
        }
    }
    put_alert(list, "bdb_crdt_src_syncer_connection_error", buf_len(&down) > 0, "CRITICAL", "%.*s",
              (int)buf_len(&down), (const char *)buf_bytes(&down).p);
    buf_deinit(&down);
    uint32_t stale = bdb_stale_shards(c->m, b);
    put_alert(list, "bdb_shard_stale", stale > 0, "CRITICAL",
              "%u of %u shards answer writes with -STALE: they are new or have lost something, "
              "and catch up with another region. When that does not end, see the links",
              stale, b->config.shards_count);
    put_alert(list, "bdb_crdt_src_high_syncer_lag", worst > tolerance, "WARNING",
              "%lld ms behind the region %s, more than %lld ms", (long long)worst, behind,
              (long long)tolerance);
}

static json_t *bdb_alerts(const struct call *c, const struct bdb *b)
{
    json_t *list = json_object();
    const struct plane_db_stats *s = bdb_stats(c->m, b->uid);
    uint64_t used = s != NULL ? s->used_memory : 0;
    uint64_t limit = s != NULL ? s->memory_max : b->config.memory_size;
    bool differs =
        s != NULL && (limit != b->config.memory_size || s->eviction != b->config.eviction_policy);
    put_files(c, b, list);
    put_links(c, b, list);
    put_alert(list, "bdb_size", limit > 0 && used >= limit / 100 * SIZE_PERCENT, "WARNING",
              "%llu of %llu bytes of memory are used", (unsigned long long)used,
              (unsigned long long)limit);
    put_alert(
        list, "bdb_limit_not_kept", differs, "WARNING",
        "CONFIG SET has set maxmemory %llu, maxmemory-policy %s; memory_size %llu, "
        "eviction_policy %s come back when the data plane restarts: set what you want here (or, "
        "to have these back now, by CONFIG SET)",
        (unsigned long long)limit, differs ? eviction_name(s->eviction) : "",
        (unsigned long long)b->config.memory_size, eviction_name(b->config.eviction_policy));
    return list;
}

static void all_alerts(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    const struct cluster *cl = manager_cluster(c->m);
    json_t *all = json_object();
    (void)why; /* then by the last statistics, or none */
    (void)uid;
    for (uint32_t i = 0; i < cl->bdbs_count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%u", cl->bdbs[i]->uid);
        json_object_set_new(all, number, bdb_alerts(c, cl->bdbs[i]));
    }
    call_json(c, 200, all);
}

static void one_alerts(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    const struct bdb *b = call_bdb(c, 0);
    (void)why;
    (void)uid;
    if (b != NULL)
        call_json(c, 200, bdb_alerts(c, b));
}

void rest_bdbs_alerts(struct call *c)
{
    plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = all_alerts, .arg = c});
}

void rest_bdb_alerts(struct call *c)
{
    if (call_bdb(c, 0) != NULL)
        plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = one_alerts, .arg = c});
}

void rest_nodes_alerts(struct call *c)
{
    const struct strays *s = manager_strays(c->m);
    json_t *list = json_object();
    put_alert(list, "node_data_plane_down", !plane_is_ready(manager_plane(c->m)), "CRITICAL",
              "the data plane does not answer or is being started");
    put_alert(list, "node_unknown_database_files", s->count > 0, "WARNING",
              "%u folders hold files of databases that this cluster does not know, as %s/db%u: "
              "remove them when nobody needs them",
              s->count, manager_options(c->m)->db_dir, s->uids[0]);
    call_json(c, 200, json_pack("{s:o}", "1", list));
}
