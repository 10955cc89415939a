/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/bdb.h"

#include "base/mem.h"
#include "manager/core.h"

#include <stdio.h>

#define OPEN_US 5000000u
_Static_assert(BDB_PARTITIONS >= SHARDS_MAX, "each shard owns at least one partition");

/* One change under way; the database is found by uid when an answer comes. */
struct change {
    struct manager *m;
    uint32_t uid;
    bool any_port;
    uint64_t until_us; /* a new database's shards are waited for */
    struct db_config before, next;
    struct refusal why; /* of a change that is taken back */
    struct done done;
};

static struct change *change_new(struct manager *m, uint32_t uid, struct done done)
{
    struct change *c = mem_zalloc(sizeof *c);
    *c = (struct change){.m = m, .uid = uid, .done = done};
    return c;
}

static void change_end(struct change *c, const struct refusal *why)
{
    struct done done = c->done;
    uint32_t uid = c->uid;
    mem_free(c);
    done_call(done, why, uid);
}

static void saved(void *arg, const struct refusal *why, uint32_t uid)
{
    (void)uid;
    change_end(arg, why);
}

static void save_change(struct change *c)
{
    manager_save(c->m, (struct done){.fn = saved, .arg = c});
}

/* ------------------------------------------------------------ what the plane is told */

/* What of it is on disk, and what becomes of it when it is full. */
static void describe_keeping(const struct bdb *b, bool geo, struct plane_db *out)
{
    const struct db_config *c = &b->config;
    out->persistence = db_config_persistence(c);
    out->snapshot_rules_count = db_config_rules(c, out->snapshot_rules);
    out->snapshot_bytes = c->max_aof_file_size;
    out->log_retention = c->log_retention;
    out->eviction = c->eviction_policy;
    /* Nobody else's writes come to a database of one region: it is full when it is full. */
    out->oom_percent = geo ? 100 - c->replication_oom_threshold_percent : 100;
}

static void put_region(struct plane_db *out, uint32_t id, const char *name, const char *host,
                       uint16_t port)
{
    struct plane_region *r = &out->regions[out->regions_count++];
    *r = (struct plane_region){.id = id, .port = port};
    snprintf(r->name, sizeof r->name, "%.63s", name);
    snprintf(r->host, sizeof r->host, "%s", host);
}

static void describe_regions(const struct manager *m, const struct bdb *b, const struct crdb *r,
                             struct plane_db *out)
{
    snprintf(out->guid, sizeof out->guid, "%s", r->config.guid);
    snprintf(out->secret, sizeof out->secret, "%s", r->config.secret);
    out->version = r->config.version;
    out->link_tls = r->config.encryption;
    if (r->status < CRDB_COMMITTED) { /* the others' endpoints are not known yet */
        put_region(out, b->region, m->cluster.name, m->opts.advertise, b->config.port);
        return;
    }
    for (uint32_t i = 0; i < r->config.instances_count; i++) {
        const struct instance *in = &r->config.instances[i];
        put_region(out, in->id, in->cluster, in->host, in->port);
        if (in->id == b->region)
            out->compression = in->compression;
    }
}

void bdb_describe(const struct manager *m, const struct bdb *b, struct plane_db *out)
{
    *out = (struct plane_db){
        .uid = b->uid,
        .port = b->config.port,
        .partitions = b->partitions,
        .shards = b->config.shards_count,
        .hash_k0 = b->hash_k0,
        .hash_k1 = b->hash_k1,
        .seed = b->seed,
        .region = b->region,
        .incarnation = b->incarnation,
        .founding = b->founding,
        .reborn = b->reborn,
        .paused = b->paused,
        .client_tls = strcmp(b->config.tls_mode, "enabled") == 0,
        .memory_max = b->config.memory_size,
        .backlog_bytes = b->config.crdt_repl_backlog_size,
        .clients_max = b->config.max_connections,
        .messages_stay = !b->config.publish_across_regions,
        .xadd_ids = (uint32_t)db_config_xadd_ids(&b->config),
        .version = 1,
    };
    snprintf(out->name, sizeof out->name, "%s", b->name);
    snprintf(out->host, sizeof out->host, "%.63s", m->opts.db_host);
    snprintf(out->password, sizeof out->password, "%s", b->config.authentication_redis_pass);
    const struct crdb *r = b->guid[0] ? cluster_crdb(&m->cluster, b->guid) : NULL;
    bool geo = r != NULL && (!r->converted || r->status >= CRDB_COMMITTED);
    describe_keeping(b, geo, out);
    if (geo)
        describe_regions(m, b, r, out);
    out->leaving = r != NULL && r->has_next && crdb_config_instance(&r->next, b->region) == NULL;
}

static void send_as(struct manager *m, const struct bdb *b, enum control_kind kind,
                    plane_reply_fn *fn, void *arg)
{
    struct plane_db *d = mem_zalloc(sizeof *d);
    struct buf body = {0};
    bdb_describe(m, b, d);
    plane_db_encode(&body, d);
    plane_ask(m->plane, kind, buf_bytes(&body), fn, arg);
    buf_deinit(&body);
    mem_free(d);
}

static void send_set(struct manager *m, const struct bdb *b, plane_reply_fn *fn, void *arg)
{
    send_as(m, b, CONTROL_DB_SET, fn, arg);
}

static void sent(void *arg, const struct refusal *why, struct bytes body)
{
    (void)body;
    change_end(arg, why);
}

void bdb_send(struct manager *m, const struct bdb *b, struct done done)
{
    send_set(m, b, sent, change_new(m, b->uid, done));
}

/* ------------------------------------------------------------ making one */

static bool port_taken(const struct manager *m, uint16_t port)
{
    return cluster_bdb_at(&m->cluster, port) != NULL || port == m->opts.rest_port ||
           port == m->opts.discovery_port;
}

/* The first free port of the range from `from` on; 0: none. */
static uint16_t free_port(const struct manager *m, uint32_t from)
{
    for (uint32_t p = from; p <= m->opts.port_last; p++)
        if (p != 0 && !port_taken(m, (uint16_t)p))
            return (uint16_t)p;
    return 0;
}

bool bdb_can_keep(const struct manager *m, const struct db_config *c, struct refusal *why)
{
    if (c->data_persistence == DATA_DISABLED || plane_keeps(m->plane))
        return true;
    return refuse(
        why, 406, "invalid_data_persistence",
        "data_persistence: only \"disabled\" is possible, since this node's data plane was "
        "started without a folder (meridian plane --data)");
}

static bool spec_valid(struct manager *m, const struct bdb_spec *s, struct refusal *why)
{
    if (!s->name[0])
        return refuse(why, 400, "missing_db_name", "name: a database needs a name");
    if (!name_valid(s->name))
        return refuse(why, 400, "invalid_name",
                      "name: up to 63 letters, digits and hyphens, no hyphen at either end");
    if (cluster_bdb_named(&m->cluster, s->name) != NULL)
        return refuse(why, 409, "name_already_exists",
                      "name: this cluster has a database named %s: choose another name", s->name);
    if (s->config.port != 0 && port_taken(m, s->config.port))
        return refuse(why, 409, "port_unavailable", "port: %u is taken: choose another or none",
                      s->config.port);
    if (s->config.port == 0 && free_port(m, m->opts.port_first) == 0)
        return refuse(why, 409, "port_unavailable", "no port is free from %u to %u",
                      m->opts.port_first, m->opts.port_last);
    uint32_t partitions = s->partitions ? s->partitions : BDB_PARTITIONS;
    if (s->config.shards_count > partitions)
        return refuse(why, 406, "invalid_sharding",
                      "shards_count: at most %u, one for each partition", partitions);
    if (!bdb_can_keep(m, &s->config, why))
        return false;
    if (m->cluster.bdbs_count == CLUSTER_BDBS_MAX)
        return refuse(why, 406, "insufficient_resources", "a cluster has at most %u databases",
                      CLUSTER_BDBS_MAX);
    return true;
}

static void undone(void *arg, const struct refusal *why, struct bytes body)
{
    (void)arg;
    (void)why;
    (void)body;
}

/* It cannot be kept: a folder that is not ours, or a disk that is full. */
static void undo(struct change *c, const struct keep_summary *k)
{
    struct refusal why = {0};
    struct buf body = {0};
    refuse(&why, 500, "storage_failed",
           "%.300s. See that the node's data folder can be written and has room, then try again",
           k->error);
    control_uid_encode(&body, c->uid);
    plane_ask(c->m->plane, CONTROL_DB_DROP, buf_bytes(&body), undone, NULL);
    buf_deinit(&body);
    cluster_drop_bdb(&c->m->cluster, c->uid);
    change_end(c, &why);
}

/* A new database is there when its shards' folders are. */
static void look_again(void *arg, const struct refusal *why, uint32_t uid)
{
    struct change *c = arg;
    struct bdb *b = cluster_bdb(&c->m->cluster, c->uid);
    struct keep_summary k;
    (void)uid;
    if (b == NULL) { /* cannot be: nothing drops a pending database but this */
        change_end(c, why);
        return;
    }
    bdb_keep(c->m, b, &k);
    if (why == NULL && k.broken > 0) {
        undo(c, &k);
    } else if (why == NULL && k.opens > 0 && c->m->now.mono_us < c->until_us) {
        plane_look(c->m->plane, (struct done){.fn = look_again, .arg = c});
    } else {
        b->status = BDB_ACTIVE;
        save_change(c);
    }
}

static void created(void *arg, const struct refusal *why, struct bytes body)
{
    struct change *c = arg;
    struct manager *m = c->m;
    struct bdb *b = cluster_bdb(&m->cluster, c->uid);
    struct refusal mine;
    uint16_t next;
    (void)body;
    if (b == NULL) { /* cannot be: nothing drops a pending database but this */
        change_end(c, why);
        return;
    }
    if (why == NULL) {
        c->until_us = m->now.mono_us + OPEN_US;
        if (b->config.data_persistence != DATA_DISABLED)
            plane_look(m->plane, (struct done){.fn = look_again, .arg = c});
        else
            look_again(c, NULL, c->uid);
        return;
    }
    mine = *why;
    if (why->status == 409 && c->any_port && (next = free_port(m, b->config.port + 1u)) != 0) {
        b->config.port = next; /* somebody else on this machine has it */
        send_set(m, b, created, c);
        return;
    }
    if (why->status == 409)
        refuse(&mine, 409, "port_unavailable", "port %u: %.300s", b->config.port, why->message);
    cluster_drop_bdb(&m->cluster, c->uid);
    change_end(c, &mine);
}

void bdb_create(struct manager *m, const struct bdb_spec *spec, struct done done)
{
    struct refusal why = {0};
    if (!spec_valid(m, spec, &why)) {
        done_call(done, &why, 0);
        return;
    }
    if (m->cluster.next_uid <= m->strays.number) /* it would find another database's files */
        m->cluster.next_uid = m->strays.number + 1;
    struct bdb *b = cluster_add_bdb(&m->cluster);
    struct db_config all = db_config_defaults();
    db_config_merge(&all, &spec->config);
    all.set = UINT64_MAX;
    struct change *c = change_new(m, b->uid, done);
    c->any_port = all.port == 0;
    if (all.port == 0)
        all.port = free_port(m, m->opts.port_first);
    b->config = all;
    b->status = BDB_PENDING;
    b->partitions = spec->partitions ? spec->partitions : BDB_PARTITIONS;
    b->reborn = spec->reborn;
    b->region = spec->region ? spec->region : 1;
    b->created_s = b->changed_s = m->now.wall_ms / 1000;
    snprintf(b->name, sizeof b->name, "%s", spec->name);
    snprintf(b->guid, sizeof b->guid, "%s", spec->guid);
    m->port->ops->random(m->port, &b->hash_k0, sizeof b->hash_k0);
    m->port->ops->random(m->port, &b->hash_k1, sizeof b->hash_k1);
    m->port->ops->random(m->port, &b->seed, sizeof b->seed);
    send_set(m, b, created, c);
}

/* ------------------------------------------------------------ changing it */

/* The database, when it can be changed now. */
static struct bdb *settled(struct manager *m, uint32_t uid, struct refusal *why)
{
    struct bdb *b = cluster_bdb(&m->cluster, uid);
    if (b == NULL)
        refuse(why, 404, "db_not_found", "no database %u", uid);
    else if (b->status != BDB_ACTIVE)
        refuse(why, 409, "busy", "database %u is being changed: try again in a moment", uid);
    return b != NULL && b->status == BDB_ACTIVE ? b : NULL;
}

void bdb_configure(struct bdb *b, const struct db_config *next)
{
    b->founding +=
        b->config.data_persistence == DATA_DISABLED && next->data_persistence != DATA_DISABLED;
    b->config = *next;
    b->config.set = UINT64_MAX;
}

/*
 * A change is made in steps, so that all workers make it or none, and so that a death in between
 * finds files that fit to what the state file says:
 *
 *   check   would all workers take it, and their disks? Nothing has changed when one refuses.
 *   save    where it switches persistence on or off: before files go, or count
 *   set     the workers carry it out; they have no reason left to refuse
 *   save    where it was not: what a full disk needs to become emptier must be possible on it
 */
static bool switches(const struct change *c)
{
    return (c->before.data_persistence == DATA_DISABLED) !=
           (c->next.data_persistence == DATA_DISABLED);
}

static void update_end(struct change *c, const struct refusal *why)
{
    struct bdb *b = cluster_bdb(&c->m->cluster, c->uid);
    if (b != NULL)
        b->status = BDB_ACTIVE;
    change_end(c, why);
}

static void update_saved(void *arg, const struct refusal *why, uint32_t uid)
{
    (void)uid;
    update_end(arg, why);
}

static void update_undone(void *arg, const struct refusal *why, uint32_t uid)
{
    struct change *c = arg;
    struct refusal first = c->why;
    (void)why;
    (void)uid;
    update_end(c, &first);
}

/* Back to what it was, for those too who have carried it out. */
static void update_undo(struct change *c, struct bdb *b, const struct refusal *why)
{
    b->config = c->before; /* a founding that came to nothing is skipped */
    c->why = *why;
    send_set(c->m, b, undone, NULL);
    manager_save(c->m, (struct done){.fn = update_undone, .arg = c});
}

static void update_set(void *arg, const struct refusal *why, struct bytes body)
{
    struct change *c = arg;
    struct bdb *b = cluster_bdb(&c->m->cluster, c->uid);
    (void)body;
    if (b == NULL)
        update_end(c, why);
    else if (why != NULL && why->status == 503 && switches(c))
        update_end(c,
                   NULL); /* the state file has it; a plane that is away gets it when it is back */
    else if (why != NULL)
        update_undo(c, b, why);
    else if (switches(c))
        update_end(c, NULL);
    else
        manager_save(c->m, (struct done){.fn = update_saved, .arg = c});
}

static void update_noted(void *arg, const struct refusal *why, uint32_t uid)
{
    struct change *c = arg;
    struct bdb *b = cluster_bdb(&c->m->cluster, c->uid);
    struct refusal mine = {0};
    (void)uid;
    if (why == NULL && b != NULL) {
        send_set(c->m, b, update_set, c);
        return;
    }
    if (b != NULL)
        b->config = c->before; /* which is written over what may have been, every second */
    refuse(&mine, why != NULL ? why->status : 404, "storage_failed",
           "persistence was not changed, since the node's state file could not be written: see "
           "that its folder can be written and has room, then try again");
    update_end(c, &mine);
}

static void update_checked(void *arg, const struct refusal *why, struct bytes body)
{
    struct change *c = arg;
    struct bdb *b = cluster_bdb(&c->m->cluster, c->uid);
    (void)body;
    if (why != NULL || b == NULL) {
        update_end(c, why);
        return;
    }
    bdb_configure(b, &c->next);
    if (switches(c))
        manager_save(c->m, (struct done){.fn = update_noted, .arg = c});
    else
        send_set(c->m, b, update_set, c);
}

void bdb_update(struct manager *m, uint32_t uid, const struct db_config *change, struct done done)
{
    struct refusal why = {0};
    struct bdb *b = settled(m, uid, &why);
    struct db_config next = b != NULL ? b->config : (struct db_config){0};
    db_config_merge(&next, change);
    if (b != NULL && next.port != b->config.port)
        b = NULL, refuse(&why, 406, "port_immutable", "port: cannot be changed once created");
    if (b != NULL && next.shards_count != b->config.shards_count)
        b = NULL,
        refuse(&why, 406, "invalid_sharding", "shards_count: cannot be changed in this release");
    if (b != NULL && strcmp(next.tls_mode, b->config.tls_mode) != 0)
        b = NULL, refuse(&why, 406, "not_supported", "tls_mode: cannot be changed once created");
    if (b == NULL || !bdb_can_keep(m, &next, &why)) {
        done_call(done, &why, 0);
        return;
    }
    struct change *c = change_new(m, uid, done);
    c->before = b->config;
    c->next = next;
    b->status = BDB_CHANGING;
    b->changed_s = m->now.wall_ms / 1000;
    struct bdb *as = mem_dup(b, sizeof *b);
    bdb_configure(as, &next);
    send_as(m, as, CONTROL_DB_CHECK, update_checked, c);
    mem_free(as);
}

static void deleted(void *arg, const struct refusal *why, struct bytes body)
{
    struct change *c = arg;
    (void)body;
    /* A plane that is not there is told to drop what is unknown as soon as it is (see manager.c).
     */
    if (why != NULL && why->status != 503)
        port_log(c->m->port, 'W', "dropping database %u: %s", c->uid, why->message);
    cluster_drop_bdb(&c->m->cluster, c->uid);
    save_change(c);
}

void bdb_delete(struct manager *m, uint32_t uid, struct done done)
{
    struct refusal why = {0};
    struct bdb *b = settled(m, uid, &why);
    if (b == NULL) {
        done_call(done, &why, 0);
        return;
    }
    struct buf body = {0};
    b->status = BDB_DELETING;
    control_uid_encode(&body, uid);
    plane_ask(m->plane, CONTROL_DB_DROP, buf_bytes(&body), deleted, change_new(m, uid, done));
    buf_deinit(&body);
}

void bdb_flush(struct manager *m, uint32_t uid, struct done done)
{
    struct refusal why = {0};
    struct buf body = {0};
    if (settled(m, uid, &why) == NULL) {
        done_call(done, &why, 0);
        return;
    }
    control_uid_encode(&body, uid);
    plane_ask(m->plane, CONTROL_DB_FLUSH, buf_bytes(&body), sent, change_new(m, uid, done));
    buf_deinit(&body);
}

void bdb_snapshot(struct manager *m, uint32_t uid, struct done done)
{
    struct refusal why = {0};
    struct buf body = {0};
    const struct bdb *b = settled(m, uid, &why);
    if (b != NULL && b->config.data_persistence == DATA_DISABLED)
        b = NULL, refuse(&why, 406, "not_supported",
                         "database %u is not on disk: set data_persistence first", uid);
    if (b == NULL) {
        done_call(done, &why, 0);
        return;
    }
    control_uid_encode(&body, uid);
    plane_ask(m->plane, CONTROL_DB_SNAPSHOT, buf_bytes(&body), sent, change_new(m, uid, done));
    buf_deinit(&body);
}

static void paused(void *arg, const struct refusal *why, struct bytes body)
{
    (void)body;
    if (why != NULL)
        change_end(arg, why);
    else
        save_change(arg);
}

void bdb_pause(struct manager *m, uint32_t uid, uint32_t region, bool hold, struct done done)
{
    struct refusal why = {0};
    struct buf body = {0};
    struct bdb *b = settled(m, uid, &why);
    if (b != NULL && (region == 0 || region > INSTANCES_MAX || region == b->region))
        b = NULL, refuse(&why, 406, "invalid_instance",
                         "instance_id: %u is not another region's number", region);
    if (b == NULL) {
        done_call(done, &why, 0);
        return;
    }
    uint64_t bit = (uint64_t)1 << region;
    b->paused = hold ? b->paused | bit : b->paused & ~bit;
    control_link_encode(&body,
                        &(struct control_link){.uid = uid, .region = region, .paused = hold});
    plane_ask(m->plane, CONTROL_LINK, buf_bytes(&body), paused, change_new(m, uid, done));
    buf_deinit(&body);
}
