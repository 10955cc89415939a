/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------ availability */

/* The tolerance to check with; -1: links are not looked at. False: it has been answered. */
static bool tolerance_of(struct call *c, int64_t *out)
{
    char text[32];
    *out = -1;
    if (query_get(c->query, "extend_check", text, sizeof text)) {
        if (strcmp(text, "lag") != 0) {
            call_fail(c, 400, "invalid_schema", "extend_check: lag is expected");
            return false;
        }
        *out = manager_cluster(c->m)->availability_lag_tolerance_ms;
    }
    if (query_get(c->query, "availability_lag_tolerance_ms", text, sizeof text) &&
        (!num_parse_i64(bytes_str(text), out) || *out < 0 || *out > 3600000)) {
        call_fail(c, 400, "invalid_schema",
                  "availability_lag_tolerance_ms: milliseconds from 0 to 3600000 are expected");
        return false;
    }
    return true;
}

/* The link that lags most, or one that is not up: by region, for the cause may be over there. */
static void lag_text(const struct call *c, const struct bdb *b, const struct health_found *h,
                     char *text, size_t size)
{
    const struct crdb *r = cluster_crdb(manager_cluster(c->m), b->guid);
    int64_t worst = -1;
    snprintf(text, size, "a link to another region is not up");
    for (uint32_t i = 0; r != NULL && i < r->config.instances_count; i++) {
        const struct instance *in = &r->config.instances[i];
        struct link_summary l;
        if (in->id == b->region)
            continue;
        bool up = bdb_link(c->m, b, in->id, &l) && strcmp(l.state, "up") == 0 && l.feeding;
        int64_t lag = h->check.peers_too && l.lag_ms > l.behind_ms ? l.lag_ms : l.behind_ms;
        if (h->lag_ms < 0 && !up)
            snprintf(text, size, "the link with region %u (%s) is not up", in->id, in->cluster);
        if (h->lag_ms < 0 || lag <= worst)
            continue;
        worst = lag;
        snprintf(text, size,
                 "the link with region %u (%s) lags %lld ms, more than %lld ms: see that "
                 "region's reason, too",
                 in->id, in->cluster, (long long)lag, (long long)h->check.tolerance_ms);
    }
}

void rest_health_text(const struct call *c, const struct bdb *b, const struct health_found *h,
                      char *text, size_t size)
{
    struct keep_summary keep;
    bdb_keep(c->m, b, &keep);
    bool shard = h->health & BDB_SHARD_UNREACHABLE, port = h->health & BDB_PORT_UNBOUND;
    text[0] = 0;
    if (h->health & BDB_BROKEN)
        snprintf(text, size, "%u of %u shards could not be brought back from disk: %s", keep.broken,
                 keep.shards, keep.error);
    else if (h->health & BDB_LOADING)
        snprintf(text, size, "%u of %u shards are being brought back from disk: %u %%", keep.opens,
                 keep.shards, keep.percent);
    else if (h->health & BDB_DISK_FAILS)
        snprintf(text, size, "the disk fails: %s", keep.error);
    else if (h->health == BDB_NO_PLANE)
        snprintf(text, size, "the data plane does not answer or is being started");
    else if (h->health == BDB_LAGGING)
        lag_text(c, b, h, text, size);
    else if (h->health != BDB_HEALTHY)
        snprintf(text, size, "endpoint error status:%s%s%s",
                 shard ? " shard unreachable or catching up" : "", shard && port ? "," : "",
                 port ? " port unbound" : "");
    text_plain(text);
}

static void unavailable(struct call *c, const struct bdb *b, const struct health_found *h)
{
    char code[64], text[400];
    snprintf(code, sizeof code, "bdb_unavailable%s%s%s%s",
             h->health & BDB_SHARD_UNREACHABLE ? "_shard_unreachable" : "",
             h->health & BDB_PORT_UNBOUND ? "_port_unbound" : "",
             h->health == BDB_LAGGING ? "_lag" : "",
             h->health & BDB_DISK_FAILS ? "_disk_failing" : "");
    rest_health_text(c, b, h, text, sizeof text);
    call_fail(c, 503, code, "%s", text);
}

static void check(struct call *c)
{
    const struct bdb *b = cluster_bdb(manager_cluster(c->m), c->uid);
    struct health_found h;
    if (b == NULL) {
        call_fail(c, 404, "db_not_found", "no database %u", c->uid);
        return;
    }
    if (!tolerance_of(c, &h.check.tolerance_ms))
        return;
    h.check.peers_too = false;
    h.health = bdb_health(c->m, b, h.check, &h.lag_ms);
    if (h.health != BDB_HEALTHY)
        unavailable(c, b, &h);
    else
        call_json(c, 200,
                  json_pack("{s:s, s:I}", "status", "available", "lag_ms", (json_int_t)h.lag_ms));
}

static void fresh(void *arg, const struct refusal *why, uint32_t uid)
{
    (void)why; /* no statistics: the check tells */
    (void)uid;
    check(arg);
}

void rest_availability(struct call *c)
{
    int64_t tolerance;
    if (call_bdb(c, 0) == NULL || !tolerance_of(c, &tolerance))
        return;
    plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = fresh, .arg = c});
}

void rest_local_availability(struct call *c) { rest_availability(c); }

/* ------------------------------------------------------------ shards */

static const char *detailed_status(const struct plane_shard *s)
{
    return s->keep.state == KEEP_BROKEN              ? "down"
           : s->keep.state == KEEP_OPENS || s->stale ? "loading"
           : s->keep.state == KEEP_FAILS             ? "disk-failing"
                                                     : "ok";
}

/* A shard's files. */
static json_t *shard_keep_json(const struct plane_keep *k)
{
    static const char *const states[KEEP_STATES] = {"disabled", "loading", "initializing",
                                                    "ok",       "failing", "broken"};
    char snapshot[32] = "", error[256];
    snprintf(error, sizeof error, "%s", k->error);
    text_plain(error);
    if (k->snapshot_ms != 0)
        time_text(k->snapshot_ms / 1000, snapshot);
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:i, s:s, s:I, s:I, "
        "s:I}",
        "status", states[k->state], "policy_in_force", keep_policy(k->in_force), "error", error,
        "log_bytes", (json_int_t)k->log_bytes, "disk_log_bytes", (json_int_t)k->kept_bytes,
        "behind_bytes", (json_int_t)k->behind, "sync_usec_max", (json_int_t)k->sync_us_max,
        "write_failures", (json_int_t)k->write_failures, "changes_since_snapshot",
        (json_int_t)k->changes, "torn_bytes_cut", (json_int_t)k->cut, "snapshot_in_progress",
        (int)k->snapshot_runs, "snapshot_progress", (int)k->snapshot_percent, "last_snapshot_time",
        snapshot, "snapshots", (json_int_t)k->snapshots, "snapshot_failures",
        (json_int_t)k->snapshot_failures, "syncs", (json_int_t)k->syncs);
}

static json_t *shard_json(const struct call *c, const struct plane_shard *s)
{
    const struct bdb *b = cluster_bdb(manager_cluster(c->m), s->db_uid);
    char uid[32], slots[32], digest[40];
    uint32_t per = b != NULL && b->partitions ? 16384 / b->partitions : 0;
    snprintf(uid, sizeof uid, "%u", s->db_uid * SHARDS_MAX + s->shard + 1);
    snprintf(slots, sizeof slots, "%u-%u", s->first_partition * per,
             (s->first_partition + s->count) * per - 1);
    snprintf(digest, sizeof digest, "%016llx%016llx", (unsigned long long)s->digest_hi,
             (unsigned long long)s->digest_lo);
    const char *status = detailed_status(s);
    bool loads = strcmp(status, "loading") == 0;
    double progress = s->keep.total > 0 ? (double)s->keep.read * 100 / (double)s->keep.total : 0;
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:f}, s:{s:I, s:I, s:I}, s:o, s:s, s:i}",
        "uid", uid, "bdb_uid", (int)s->db_uid, "node_uid", "1", "role", "master", "assigned_slots",
        slots, "status", s->keep.state == KEEP_BROKEN ? "inactive" : "active", "detailed_status",
        status, "loading", "status", loads ? "in_progress" : "idle", "progress",
        loads ? progress : 0.0, "redis_info", "used_memory", (json_int_t)s->used_memory, "keys",
        (json_int_t)s->keys, "total_commands_processed", (json_int_t)s->commands, "persistence",
        shard_keep_json(&s->keep), "digest", digest, "worker", (int)s->worker);
}

static void list_shards(struct call *c)
{
    const struct plane_stats *s = plane_stats(manager_plane(c->m), NULL);
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->shards_count; i++)
        if (c->uid == 0 || s->shards[i].db_uid == c->uid)
            json_array_append_new(list, shard_json(c, &s->shards[i]));
    call_json(c, 200, list);
}

static void shards_fresh(void *arg, const struct refusal *why, uint32_t uid)
{
    (void)uid;
    if (why != NULL)
        call_refuse(arg, why);
    else
        list_shards(arg);
}

void rest_shards(struct call *c)
{
    plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = shards_fresh, .arg = c});
}

void rest_bdb_shards(struct call *c)
{
    if (call_bdb(c, 0) != NULL)
        rest_shards(c);
}

void rest_shard(struct call *c)
{
    const struct plane_stats *s = plane_stats(manager_plane(c->m), NULL);
    for (uint32_t i = 0; i < s->shards_count; i++) {
        char uid[32];
        snprintf(uid, sizeof uid, "%u", s->shards[i].db_uid * SHARDS_MAX + s->shards[i].shard + 1);
        if (strcmp(uid, c->match.params[0]) == 0) {
            call_json(c, 200, shard_json(c, &s->shards[i]));
            return;
        }
    }
    call_fail(c, 404, "shard_not_exist", "no shard %s", c->match.params[0]);
}

/* ------------------------------------------------------------ links */

static void peer_stats(struct call *c)
{
    const struct bdb *b = cluster_bdb(manager_cluster(c->m), c->uid);
    const struct crdb *r =
        b != NULL && b->guid[0] ? cluster_crdb(manager_cluster(c->m), b->guid) : NULL;
    json_t *list = json_array();
    for (uint32_t i = 0; r != NULL && i < r->config.instances_count; i++) {
        const struct instance *in = &r->config.instances[i];
        struct link_summary l;
        if (in->id != b->region && bdb_link(c->m, b, in->id, &l))
            json_array_append_new(list, link_json(&l, in->cluster));
    }
    call_json(c, 200, json_pack("{s:i, s:o}", "uid", (int)c->uid, "peer_stats", list));
}

static void peers_fresh(void *arg, const struct refusal *why, uint32_t uid)
{
    (void)uid;
    if (why != NULL)
        call_refuse(arg, why);
    else
        peer_stats(arg);
}

void rest_peer_stats(struct call *c)
{
    if (call_bdb(c, 0) != NULL)
        plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = peers_fresh, .arg = c});
}
