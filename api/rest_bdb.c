/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"
#include "manager/replica.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------ what a database looks like */

static bool is_address(const char *host)
{
    return host[strspn(host, "0123456789.")] == 0 || strchr(host, ':') != NULL;
}

static json_t *endpoints_json(const struct call *c, const struct bdb *b)
{
    const char *host = manager_advertise(c->m);
    char uid[32];
    snprintf(uid, sizeof uid, "%u:1", b->uid);
    json_t *addr = json_array();
    if (is_address(host))
        json_array_append_new(addr, json_string(host));
    return json_pack("[{s:s, s:s, s:i, s:o, s:s, s:s}]", "uid", uid, "dns_name", host, "port",
                     (int)b->config.port, "addr", addr, "addr_type", "external", "proxy_policy",
                     "single");
}

/* in-sync, syncing or out-of-sync: what Redis Enterprise calls a source's state. */
static const char *source_status(const struct link_summary *l, uint32_t tolerance_ms)
{
    if (strcmp(l->state, "up") == 0)
        return l->behind_ms <= (int64_t)tolerance_ms ? "in-sync" : "syncing";
    return strcmp(l->state, "transfer") == 0 ? "syncing" : "out-of-sync";
}

json_t *link_json(const struct link_summary *l, const char *cluster)
{
    json_t *feeds = json_pack("{s:I, s:I, s:I}", "partitions_from_log", (json_int_t)l->parts_disk,
                              "log_bytes_left", (json_int_t)l->disk_left, "partitions_by_state",
                              (json_int_t)l->parts_state);
    return json_pack(
        "{s:i, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:s}",
        "instance_id", (int)l->region, "cluster", cluster, "state", l->state, "feeding",
        (int)l->feeding, "bytes_in", (json_int_t)l->bytes_in, "bytes_out", (json_int_t)l->bytes_out,
        "ops_in", (json_int_t)l->ops_in, "ops_out", (json_int_t)l->ops_out, "lag_ops",
        (json_int_t)l->lag_ops, "lag_ms", (json_int_t)l->lag_ms, "behind_ms",
        (json_int_t)l->behind_ms, "reconnects", (json_int_t)l->reconnects, "transfers_in",
        (json_int_t)l->transfers_in, "transfers_out", (json_int_t)l->transfers_out, "catching_up",
        feeds, "last_error", l->error);
}

static json_t *sources_json(const struct call *c, const struct bdb *b, const struct crdb *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->config.instances_count; i++) {
        const struct instance *in = &r->config.instances[i];
        struct link_summary l;
        char uri[300];
        if (in->id == b->region)
            continue;
        bool known = bdb_link(c->m, b, in->id, &l);
        if (!known)
            snprintf(l.state, sizeof l.state, "down");
        snprintf(uri, sizeof uri, "%s:%u", in->host, in->port);
        json_t *o = link_json(&l, in->cluster);
        json_object_set_new(o, "uid", json_integer(in->id));
        json_object_set_new(o, "uri", json_string(uri));
        json_object_set_new(
            o, "status",
            json_string(source_status(&l, manager_cluster(c->m)->availability_lag_tolerance_ms)));
        json_object_set_new(o, "lag", json_integer(l.behind_ms));
        json_object_set_new(o, "encryption", json_boolean(r->config.encryption));
        json_object_set_new(o, "compression", json_integer(in->compression));
        json_array_append_new(list, o);
    }
    return list;
}

static const char *status_name(enum bdb_status s)
{
    static const char *const names[] = {"pending", "active", "active-change-pending",
                                        "delete-pending"};
    return names[s];
}

/* What cannot be forgotten yet, and for whom. */
static json_t *compaction_json(const struct crdb *r, const struct plane_db_stats *s)
{
    json_t *o = json_object();
    const struct instance *in = NULL;
    for (uint32_t i = 0; i < r->config.instances_count; i++)
        if (r->config.instances[i].id == s->laggard)
            in = &r->config.instances[i];
    if (s->laggard != 0) {
        json_object_set_new(o, "waits_for_replica", json_integer(s->laggard));
        json_object_set_new(o, "waits_for", json_string(in != NULL ? in->cluster : ""));
    }
    json_object_set_new(o, "partitions", json_integer(s->laggard_partitions));
    json_object_set_new(o, "entries", json_integer((json_int_t)s->unsettled));
    json_object_set_new(o, "bytes",
                        json_integer((json_int_t)(s->memory.unsettled + s->memory.kept)));
    return o;
}

static void put_crdt(const struct call *c, const struct bdb *b, json_t *o)
{
    const struct crdb *r = b->guid[0] ? cluster_crdb(manager_cluster(c->m), b->guid) : NULL;
    bool geo = r != NULL && (r->status >= CRDB_COMMITTED || !r->converted);
    json_object_set_new(o, "crdt", json_boolean(geo));
    if (!geo)
        return;
    json_object_set_new(o, "crdt_guid", json_string(r->config.guid));
    json_object_set_new(o, "crdt_replica_id", json_integer(b->region));
    json_object_set_new(o, "crdt_config_version", json_integer((json_int_t)r->config.version));
    json_object_set_new(o, "crdt_causal_consistency", json_true());
    json_object_set_new(o, "crdt_sync", json_string("enabled"));
    json_object_set_new(o, "crdt_incarnation", json_integer(b->incarnation));
    json_object_set_new(o, "crdt_sources", sources_json(c, b, r));
    const struct plane_db_stats *s = bdb_stats(c->m, b->uid);
    if (s != NULL)
        json_object_set_new(o, "crdt_compaction", compaction_json(r, s));
}

static void put_stats(const struct call *c, const struct bdb *b, json_t *o)
{
    const struct plane_db_stats *s = bdb_stats(c->m, b->uid);
    if (s == NULL)
        return;
    json_object_set_new(o, "used_memory", json_integer((json_int_t)s->used_memory));
    json_object_set_new(o, "no_of_keys", json_integer((json_int_t)s->keys));
    json_object_set_new(o, "conns_now", json_integer((json_int_t)s->connections));
    json_object_set_new(o, "total_req", json_integer((json_int_t)s->commands));
    json_object_set_new(o, "no_of_expires", json_integer((json_int_t)s->expires));
    json_object_set_new(o, "expired_objects", json_integer((json_int_t)s->expired));
    json_object_set_new(o, "evicted_objects", json_integer((json_int_t)s->evicted));
    json_object_set_new(
        o, "memory",
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "values",
                  (json_int_t)s->memory.values, "unsettled", (json_int_t)s->memory.unsettled,
                  "deadlines", (json_int_t)s->memory.deadlines, "log", (json_int_t)s->memory.log,
                  "patch_bases", (json_int_t)s->memory.kept, "catalog",
                  (json_int_t)s->memory.catalog, "contexts", (json_int_t)s->memory.contexts,
                  "clients", (json_int_t)s->memory.clients, "metadata",
                  (json_int_t)s->memory.metadata));
}

/* What is on disk. */
static json_t *keep_json(const struct call *c, const struct bdb *b)
{
    struct keep_summary k;
    char snapshot[32] = "";
    bdb_keep(c->m, b, &k);
    if (k.snapshot_ms != 0)
        time_text(k.snapshot_ms / 1000, snapshot);
    json_t *o = json_pack("{s:s, s:s, s:s}", "status", keep_status(&k), "error", k.error,
                          "policy_in_force", keep_policy(k.in_force));
    if (k.shards == 0)
        return o;
    if (k.opens > 0)
        json_object_set_new(o, "loading_progress", json_integer(k.percent));
    json_t *more = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:i, s:s, s:s, s:I, s:I}", "log_bytes",
        (json_int_t)k.log_bytes, "disk_log_bytes", (json_int_t)k.kept_bytes, "behind_bytes",
        (json_int_t)k.behind, "sync_usec_max", (json_int_t)k.sync_us_max, "write_failures",
        (json_int_t)k.write_failures, "changes_since_snapshot", (json_int_t)k.changes,
        "snapshot_in_progress", k.snapshots_run > 0, "snapshot_progress", (int)k.snapshot_percent,
        "last_snapshot_status", k.snapshots_failed > 0 ? "failed" : "ok", "last_snapshot_time",
        snapshot, "snapshot_failures", (json_int_t)k.snapshot_failures, "torn_bytes_cut",
        (json_int_t)k.cut);
    json_object_update(o, more);
    json_decref(more);
    return o;
}

static json_t *bdb_json(const struct call *c, const struct bdb *b)
{
    char created[32], changed[32];
    json_t *o = json_object(), *shards = json_array();
    time_text(b->created_s, created);
    time_text(b->changed_s, changed);
    for (uint32_t i = 0; i < b->config.shards_count; i++)
        json_array_append_new(shards,
                              json_integer((json_int_t)b->uid * SHARDS_MAX + (json_int_t)i + 1));
    json_object_set_new(o, "uid", json_integer(b->uid));
    json_object_set_new(o, "name", json_string(b->name));
    json_object_set_new(o, "type", json_string("redis"));
    json_object_set_new(o, "status", json_string(status_name(b->status)));
    json_t *config = db_config_write(&b->config);
    json_object_update(o, config);
    json_decref(config);
    json_object_del(o, "authentication_redis_pass");
    json_object_set_new(o, "authentication_required",
                        json_boolean(b->config.authentication_redis_pass[0] != 0));
    if (b->config.xadd_id_uniqueness[0] == 0) /* what the default means here */
        json_object_set_new(o, "xadd_id_uniqueness",
                            json_string(b->guid[0] ? "strict" : "liberal"));
    json_object_set_new(o, "sharding", json_boolean(b->config.shards_count > 1));
    json_object_set_new(o, "shard_list", shards);
    json_object_set_new(o, "endpoints", endpoints_json(c, b));
    json_object_set_new(o, "replication", json_false());
    json_object_set_new(o, "oss_cluster", json_false());
    json_object_set_new(o, "proxy_policy", json_string("single"));
    json_object_set_new(o, "version", json_string("7.0"));
    json_object_set_new(o, "created_time", json_string(created));
    json_object_set_new(o, "last_changed_time", json_string(changed));
    json_object_set_new(o, "persistence", keep_json(c, b));
    put_stats(c, b, o);
    put_crdt(c, b, o);
    rest_put_migrations(c, b->uid, o);
    rest_put_replica(c, b, o);
    return o;
}

/* ?fields=uid,name keeps only those. */
static json_t *only_fields(const struct call *c, json_t *o)
{
    char fields[1024], *save = NULL;
    if (!query_get(c->query, "fields", fields, sizeof fields) || !fields[0])
        return o;
    json_t *kept = json_object();
    for (char *f = strtok_r(fields, ",", &save); f != NULL; f = strtok_r(NULL, ",", &save)) {
        json_t *v = json_object_get(o, f);
        if (v != NULL)
            json_object_set(kept, f, v);
    }
    json_decref(o);
    return kept;
}

void rest_bdbs(struct call *c)
{
    const struct cluster *cl = manager_cluster(c->m);
    json_t *list = json_array();
    for (uint32_t i = 0; i < cl->bdbs_count; i++)
        json_array_append_new(list, only_fields(c, bdb_json(c, cl->bdbs[i])));
    call_json(c, 200, list);
}

static void show_fresh(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    const struct bdb *b = call_bdb(c, 0);
    (void)why; /* then without figures */
    (void)uid;
    if (b != NULL)
        call_json(c, 200, only_fields(c, bdb_json(c, b)));
}

void rest_bdb(struct call *c)
{
    if (call_bdb(c, 0) != NULL)
        plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = show_fresh, .arg = c});
}

/* ------------------------------------------------------------ changes */

static void answer_bdb(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    const struct bdb *b = cluster_bdb(manager_cluster(c->m), uid);
    if (why != NULL)
        call_refuse(c, why);
    else if (b == NULL)
        call_fail(c, 404, "db_not_found", "database %u has been deleted meanwhile", uid);
    else
        call_json(c, 200, bdb_json(c, b));
}

/* Takes `name` and `uid` out of the body: what is left are settings. */
static bool take_identity(struct call *c, char *name, size_t size, json_int_t *uid,
                          struct refusal *why)
{
    json_t *n = json_object_get(c->body, "name"), *u = json_object_get(c->body, "uid");
    if (n != NULL && (!json_is_string(n) || json_string_length(n) >= size))
        return refuse(why, 400, "invalid_name", "name: a string of up to %zu bytes is expected",
                      size - 1);
    if (u != NULL && !json_is_integer(u) && !json_is_string(u))
        return refuse(why, 400, "invalid_schema", "uid: an integer is expected");
    snprintf(name, size, "%s", n != NULL ? json_string_value(n) : "");
    *uid = u == NULL ? 0 : json_is_integer(u) ? json_integer_value(u) : atoll(json_string_value(u));
    json_object_del(c->body, "name");
    json_object_del(c->body, "uid");
    return true;
}

static void answer_saved(void *arg, const struct refusal *why, uint32_t uid)
{
    (void)uid; /* of what was saved: nothing has one */
    answer_bdb(arg, why, ((struct call *)arg)->uid);
}

/* The settings are in force: now what says which source is followed. */
static void answer_changed(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    struct bdb *b = cluster_bdb(manager_cluster(c->m), uid);
    struct replica_change replica;
    struct refusal bad = {0};
    bool found = false;
    if (why == NULL && b != NULL && rest_take_replica(c, &replica, &found, &bad) && found) {
        c->uid = uid;
        replica_apply(manager_replicas(c->m), b, &replica);
        manager_save(c->m, (struct done){.fn = answer_saved, .arg = c});
        return;
    }
    answer_bdb(arg, why, uid);
}

/* The settings without what says which source is followed, which stays in the body. */
static bool read_settings(struct call *c, const struct bdb *b, struct db_config *out,
                          struct refusal *why)
{
    struct replica_change replica;
    bool found;
    json_t *whole = json_copy(c->body); /* not deep: the members are the same */
    bool ok = rest_take_replica(c, &replica, &found, why) && replica_check(b, &replica, why) &&
              db_config_read(c->body, out, "", why);
    json_object_update(c->body, whole);
    json_decref(whole);
    return ok;
}

void rest_bdb_create(struct call *c)
{
    struct bdb_spec spec = {0};
    struct refusal why = {0};
    json_int_t uid;
    if (!call_needs_body(c))
        return;
    if (!take_identity(c, spec.name, sizeof spec.name, &uid, &why) ||
        !read_settings(c, NULL, &spec.config, &why)) {
        call_refuse(c, &why);
        return;
    }
    if (uid != 0)
        call_fail(c, 406, "not_supported", "uid: numbers are given by the cluster: leave it out");
    else if (!(spec.config.set & fields_bit(db_config_fields, "memory_size")))
        call_fail(c, 400, "missing_memory_size",
                  "memory_size: bytes the database may use are expected, 0 for no limit");
    else if (!spec.name[0])
        call_fail(c, 400, "missing_db_name", "name: a database needs a name");
    else
        bdb_create(c->m, &spec, (struct done){.fn = answer_changed, .arg = c});
}

void rest_bdb_update(struct call *c)
{
    struct bdb *b = call_bdb(c, 0);
    struct db_config change = {0};
    struct refusal why = {0};
    char name[64];
    json_int_t uid;
    if (b == NULL || !call_needs_body(c))
        return;
    if (!take_identity(c, name, sizeof name, &uid, &why) || !read_settings(c, b, &change, &why)) {
        call_refuse(c, &why);
        return;
    }
    if ((name[0] && strcmp(name, b->name) != 0) || (uid != 0 && uid != (json_int_t)b->uid)) {
        call_fail(c, 406, "name_violation", "name and uid of a database cannot be changed");
        return;
    }
    if (call_query_true(c, "dry_run")) {
        call_json(c, 200, bdb_json(c, b));
        return;
    }
    bdb_update(c->m, b->uid, &change, (struct done){.fn = answer_changed, .arg = c});
}

void rest_bdb_delete(struct call *c)
{
    const struct bdb *b = call_bdb(c, 0);
    if (b == NULL)
        return;
    if (b->guid[0])
        call_fail(c, 406, "not_supported_action_on_crdt",
                  "database %u is an instance of %s: DELETE /v1/crdbs/%s", b->uid, b->guid,
                  b->guid);
    else
        bdb_delete(c->m, b->uid, call_done(c));
}

void rest_bdb_snapshot(struct call *c)
{
    const struct bdb *b = call_bdb(c, 0);
    if (b != NULL)
        bdb_snapshot(c->m, b->uid, call_done(c));
}

void rest_bdb_flush(struct call *c)
{
    const struct bdb *b = call_bdb(c, 0);
    if (b == NULL)
        return;
    if (b->guid[0])
        call_fail(c, 406, "not_supported_action_on_crdt",
                  "database %u is an instance of %s: PUT /v1/crdbs/%s/flush", b->uid, b->guid,
                  b->guid);
    else
        bdb_flush(c->m, b->uid, call_done(c));
}
