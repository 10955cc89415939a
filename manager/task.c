/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/task.h"

#include "base/mem.h"
#include "manager/core.h"
#include "manager/task_run.h"

#include <stdio.h>

static const char *const ops[] = {"create_crdb", "update_crdb", "delete_crdb", "flush_crdb",
                                  "purge_instance"};
static const char *const statuses[] = {"queued", "started", "finished", "failed"};

const char *task_op_name(enum task_op op) { return ops[op]; }

const char *task_status_name(enum task_status status) { return statuses[status]; }

struct tasks {
    struct manager *m;
    struct task *first; /* newest first */
    uint32_t count;
};

struct tasks *tasks_new(struct manager *m)
{
    struct tasks *t = mem_zalloc(sizeof *t);
    t->m = m;
    return t;
}

static void task_free(struct task *t)
{
    crdb_config_deinit(&t->config);
    mem_free(t);
}

void tasks_free(struct tasks *t)
{
    if (t == NULL)
        return;
    while (t->first != NULL) {
        struct task *next = t->first->next;
        task_free(t->first);
        t->first = next;
    }
    mem_free(t);
}

struct task *task_find(const struct manager *m, const char *id)
{
    for (struct task *t = m->tasks->first; t != NULL; t = t->next)
        if (strcmp(t->id, id) == 0)
            return t;
    return NULL;
}

struct task *task_first(const struct manager *m) { return m->tasks->first; }

static bool ended(const struct task *t)
{
    return t->status == TASK_FINISHED || t->status == TASK_FAILED;
}

/* Drops results that are too old; with `room`, the oldest ended one whatever its age. */
static void forget_old(struct tasks *tasks, bool room)
{
    int64_t now_s = tasks->m->now.wall_ms / 1000;
    struct task **oldest = NULL;
    for (struct task **at = &tasks->first; *at != NULL;) {
        struct task *t = *at;
        if (ended(t) && now_s - t->ended_s > (int64_t)t->ttl_s) {
            *at = t->next;
            tasks->count--;
            task_free(t);
            continue;
        }
        if (ended(t))
            oldest = at;
        at = &t->next;
    }
    if (room && oldest != NULL && tasks->count >= TASKS_MAX) {
        struct task *t = *oldest;
        *oldest = t->next;
        tasks->count--;
        task_free(t);
    }
}

void tasks_turn(struct tasks *tasks)
{
    for (struct task *t = tasks->first; t != NULL; t = t->next)
        if (t->status == TASK_QUEUED)
            task_start(tasks->m, t);
}

void tasks_tick(struct tasks *tasks)
{
    for (struct task *t = tasks->first; t != NULL; t = t->next)
        if (t->status == TASK_STARTED)
            task_advance(tasks->m, t);
    forget_old(tasks, false);
}

/* ------------------------------------------------------------ new tasks */

static struct task *task_new(struct manager *m, enum task_op op, const char *guid,
                             const struct task_opts *o, struct refusal *why)
{
    forget_old(m->tasks, true);
    if (o->id != NULL && o->id[0] && task_find(m, o->id) != NULL) {
        refuse(why, 409, "task_exists", "X-Task-ID: there is a task %s already", o->id);
        return NULL;
    }
    for (struct task *t = m->tasks->first; t != NULL; t = t->next)
        if (!ended(t) && strcmp(t->guid, guid) == 0) {
            refuse(why, 409, "busy", "task %s is changing this database: wait for its end", t->id);
            return NULL;
        }
    if (m->tasks->count >= TASKS_MAX) {
        refuse(why, 503, "busy", "%u tasks are under way: try again later", TASKS_MAX);
        return NULL;
    }
    if (o->dry_run)
        return NULL;
    struct task *t = mem_zalloc(sizeof *t);
    t->op = op;
    t->ttl_s = o->ttl_s ? o->ttl_s : TASK_TTL_S;
    t->started_s = m->now.wall_ms / 1000;
    if (o->id != NULL && o->id[0])
        snprintf(t->id, sizeof t->id, "%s", o->id);
    else
        manager_uuid(m, t->id);
    snprintf(t->guid, sizeof t->guid, "%s", guid);
    t->next = m->tasks->first;
    m->tasks->first = t;
    m->tasks->count++;
    return t;
}

static void add_member(struct manager *m, struct task *t, const struct instance *in, bool leaves,
                       bool skipped)
{
    struct task_member *member = &t->members[t->members_count++];
    *member = (struct task_member){.instance = *in, .leaves = leaves, .skipped = skipped};
    member->local = strcmp(in->cluster, m->cluster.name) == 0;
}

/* Instances as a user wrote them: named, addressed, each cluster once. */
static bool instances_valid(const struct crdb_config *c, struct refusal *why)
{
    struct peer_url url;
    for (uint32_t i = 0; i < c->instances_count; i++) {
        const struct instance *in = &c->instances[i];
        if (!in->cluster[0])
            return refuse(why, 400, "invalid_schema",
                          "instances[%u].cluster.name: a cluster's name is expected", i);
        if (!peer_url_parse(in->url, &url))
            return refuse(why, 400, "invalid_schema",
                          "instances[%u].cluster.url: https://host:9443 is expected", i);
        if (crdb_config_at(c, in->cluster) != in)
            return refuse(why, 400, "duplicate_cluster",
                          "instances[%u].cluster.name: cluster %s is there twice: a region takes "
                          "part once",
                          i, in->cluster);
        if (in->db_config.shards_count > c->partitions ||
            c->default_db_config.shards_count > c->partitions)
            return refuse(why, 406, "invalid_sharding", "shards_count: at most %u", c->partitions);
    }
    return true;
}

/* Region numbers: in the order given, but a database that is there already keeps the one it has
 * written with. */
static void number_instances(struct crdb_config *c, const struct instance *kept, uint32_t kept_id)
{
    uint32_t next = 1;
    for (uint32_t i = 0; i < c->instances_count; i++) {
        if (&c->instances[i] == kept) {
            c->instances[i].id = kept_id;
            continue;
        }
        if (kept != NULL && next == kept_id)
            next++;
        c->instances[i].id = next++;
    }
    c->next_instance_id = next > kept_id ? next : kept_id + 1;
}

/*
 * A database has one listener, and TLS is on it for clients and links alike or for none
 * (worker/README.md): a link that does not speak what the listener speaks would never come up.
 */
static bool tls_valid(const struct crdb_config *c, const struct bdb *there, struct refusal *why)
{
    bool is_on = there != NULL && strcmp(there->config.tls_mode, "enabled") == 0;
    if (there != NULL && is_on != c->encryption)
        return refuse(why, 406, "invalid_encryption",
                      "encryption: %s is expected, since the database that is there has TLS %s",
                      is_on ? "true" : "false", is_on ? "enabled" : "disabled");
    for (uint32_t i = 0; i < c->instances_count && !c->encryption; i++) {
        struct db_config all = c->default_db_config;
        db_config_merge(&all, &c->instances[i].db_config);
        if (strcmp(all.tls_mode, "enabled") == 0)
            return refuse(why, 406, "invalid_encryption",
                          "tls_mode: enabled needs \"encryption\": true, since clients and links "
                          "share a port");
    }
    return true;
}

static bool create_valid(struct manager *m, const struct crdb_config *c, uint32_t db_uid,
                         struct refusal *why)
{
    const struct bdb *b = db_uid ? cluster_bdb(&m->cluster, db_uid) : NULL;
    if (!name_valid(c->name))
        return refuse(why, 400, "invalid_name",
                      "name: up to 63 letters, digits and hyphens, no hyphen at either end");
    if (c->instances_count == 0 || c->instances_count > INSTANCES_MAX)
        return refuse(why, 400, "invalid_schema", "instances: 1 to %u are expected", INSTANCES_MAX);
    if (!instances_valid(c, why) || !tls_valid(c, b, why))
        return false;
    if (crdb_config_at(c, m->cluster.name) == NULL)
        return refuse(why, 406, "local_instance_missing",
                      "instances: none is in this cluster (%s): ask one that takes part",
                      m->cluster.name);
    if (db_uid != 0 && b == NULL)
        return refuse(why, 404, "db_not_found", "db_uid: no database %u", db_uid);
    if (b != NULL && (b->guid[0] || b->status != BDB_ACTIVE))
        return refuse(why, 409, "busy", "db_uid: database %u is geo-distributed or being changed",
                      db_uid);
    if (b != NULL && strcmp(b->name, c->name) != 0)
        return refuse(why, 406, "name_violation",
                      "name: %s is expected, the name of the database that is there", b->name);
    if (b == NULL && cluster_bdb_named(&m->cluster, c->name) != NULL)
        return refuse(why, 409, "name_already_exists",
                      "name: this cluster has a database named %s: choose another name, or give "
                      "its db_uid to make it geo-distributed",
                      c->name);
    return true;
}

struct task *task_create(struct manager *m, const struct crdb_config *wanted, uint32_t db_uid,
                         const struct task_opts *o, struct refusal *why)
{
    char guid[40];
    struct crdb_config c = {0};
    const struct bdb *b = db_uid ? cluster_bdb(&m->cluster, db_uid) : NULL;
    struct task *t = NULL;
    crdb_config_copy(&c, wanted);
    c.partitions = b != NULL ? b->partitions : BDB_PARTITIONS;
    c.version = 1;
    c.causal_consistency = true;
    manager_uuid(m, guid);
    if (create_valid(m, &c, db_uid, why))
        t = task_new(m, TASK_CREATE, guid, o, why);
    if (t != NULL) {
        number_instances(&c, b ? crdb_config_at(&c, m->cluster.name) : NULL, b ? b->region : 0);
        snprintf(c.guid, sizeof c.guid, "%s", guid);
        manager_secret(m, c.secret);
        crdb_config_copy(&t->config, &c);
        t->db_uid = db_uid;
        for (uint32_t i = 0; i < c.instances_count; i++)
            add_member(m, t, &c.instances[i], false, false);
    }
    crdb_config_deinit(&c);
    return t;
}

/* ------------------------------------------------------------ changes of what is there */

static const struct crdb *settled(struct manager *m, const char *guid, struct refusal *why)
{
    const struct crdb *r = cluster_crdb(&m->cluster, guid);
    if (r == NULL || r->status < CRDB_COMMITTED) {
        refuse(why, 404, "crdb_not_found", "no geo-distributed database %s", guid);
        return NULL;
    }
    if (r->has_next) {
        refuse(why, 409, "busy", "another change of this database is under way");
        return NULL;
    }
    return r;
}

static bool removed_by(const struct crdb_change *change, uint32_t id)
{
    for (uint32_t i = 0; i < change->remove_count; i++)
        if (change->remove[i] == id)
            return true;
    return false;
}

static bool apply_remove(struct manager *m, struct crdb_config *c, const struct crdb_change *change,
                         struct refusal *why)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < change->remove_count; i++) {
        const struct instance *in = crdb_config_instance(c, change->remove[i]);
        if (in == NULL)
            return refuse(why, 406, "invalid_instance", "remove_instances: there is no instance %u",
                          change->remove[i]);
        if (change->force && strcmp(in->cluster, m->cluster.name) == 0)
            return refuse(why, 406, "invalid_instance",
                          "remove_instances: %u is in this cluster: remove it by force from "
                          "another one, then purge it here",
                          change->remove[i]);
    }
    for (uint32_t i = 0; i < c->instances_count; i++)
        if (!removed_by(change, c->instances[i].id))
            c->instances[kept++] = c->instances[i];
    c->instances_count = kept;
    if (kept == 0)
        return refuse(why, 406, "invalid_instance",
                      "remove_instances: none would be left: delete the database instead");
    return true;
}

static bool apply_add(struct crdb_config *c, const struct crdb_change *change, struct refusal *why)
{
    if (change->add_count == 0)
        return true;
    if (c->next_instance_id + change->add_count > INSTANCES_MAX + 1)
        return refuse(why, 406, "insufficient_resources",
                      "add_instances: region numbers go to %u and are never used again",
                      INSTANCES_MAX);
    uint32_t n = c->instances_count;
    c->instances = mem_realloc(c->instances, (n + change->add_count) * sizeof *c->instances);
    for (uint32_t i = 0; i < change->add_count; i++) {
        c->instances[n + i] = change->add[i];
        c->instances[n + i].id = c->next_instance_id++;
    }
    c->instances_count += change->add_count;
    return instances_valid(c, why) && tls_valid(c, NULL, why);
}

static bool apply_overrides(struct crdb_config *c, const struct crdb_change *change,
                            struct refusal *why)
{
    uint64_t fixed =
        fields_bit(db_config_fields, "shards_count") | fields_bit(db_config_fields, "tls_mode");
    struct peer_url url;
    for (uint32_t i = 0; i < change->instances_count; i++) {
        struct instance *in = crdb_config_instance(c, change->instances[i].id);
        if (in == NULL)
            return refuse(why, 406, "invalid_instance", "instances: there is no instance %u",
                          change->instances[i].id);
        if (change->instances[i].db_config.set & (fixed | fields_bit(db_config_fields, "port")))
            return refuse(why, 406, "not_supported",
                          "port, shards_count and tls_mode cannot be changed in this release");
        db_config_merge(&in->db_config, &change->instances[i].db_config);
        if (change->instances[i].username[0]) {
            memcpy(in->username, change->instances[i].username, sizeof in->username);
            memcpy(in->password, change->instances[i].password, sizeof in->password);
        }
        if (change->instances[i].url[0]) {
            memcpy(in->url, change->instances[i].url, sizeof in->url);
            if (!peer_url_parse(in->url, &url))
                return refuse(why, 400, "invalid_schema", "url: https://host:9443 is expected");
        }
    }
    if (change->default_db_config.set & fixed)
        return refuse(why, 406, "not_supported",
                      "shards_count and tls_mode cannot be changed in this release");
    db_config_merge(&c->default_db_config, &change->default_db_config);
    return true;
}

struct task *task_update(struct manager *m, const char *guid, const struct crdb_change *change,
                         const struct task_opts *o, struct refusal *why)
{
    const struct crdb *r = settled(m, guid, why);
    struct crdb_config c = {0};
    struct task *t = NULL;
    if (r == NULL)
        return NULL;
    crdb_config_copy(&c, &r->config);
    c.version++;
    if (apply_remove(m, &c, change, why) && apply_overrides(&c, change, why) &&
        apply_add(&c, change, why))
        t = task_new(m, TASK_UPDATE, guid, o, why);
    if (t != NULL) {
        crdb_config_copy(&t->config, &c);
        for (uint32_t i = 0; i < c.instances_count; i++)
            add_member(m, t, &c.instances[i], false, false);
        for (uint32_t i = 0; i < r->config.instances_count; i++)
            if (removed_by(change, r->config.instances[i].id))
                add_member(m, t, &r->config.instances[i], true, change->force);
    }
    crdb_config_deinit(&c);
    return t;
}

static struct task *simple(struct manager *m, enum task_op op, const char *guid,
                           const struct task_opts *o, struct refusal *why)
{
    const struct crdb *r = settled(m, guid, why);
    struct task *t = r != NULL ? task_new(m, op, guid, o, why) : NULL;
    for (uint32_t i = 0; t != NULL && i < r->config.instances_count; i++)
        add_member(m, t, &r->config.instances[i], false, false);
    if (t != NULL)
        crdb_config_copy(&t->config, &r->config);
    return t;
}

struct task *task_delete(struct manager *m, const char *guid, const struct task_opts *o,
                         struct refusal *why)
{
    return simple(m, TASK_DELETE, guid, o, why);
}

struct task *task_flush(struct manager *m, const char *guid, const struct task_opts *o,
                        struct refusal *why)
{
    return simple(m, TASK_FLUSH, guid, o, why);
}

struct task *task_purge(struct manager *m, const char *guid, const struct task_opts *o,
                        struct refusal *why)
{
    return simple(m, TASK_PURGE, guid, o, why);
}
