/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/*
 * The cluster as JSON:
 *
 *   {"format": 1, "cluster": {...}, "users": [...], "bdbs": [{..., "config": {...}}],
 *    "crdbs": [{"status": .., "config": {..., "default_db_config": {..}, "instances": [{..,
 * "db_config": {..}}]}}]}
 *
 * Tables (fields.h) tie each object to its struct, for reading and for writing alike. The file
 * holds password hashes, database passwords and the shared secrets of geo-distributed databases: it
 * is written with mode 0600.
 */
#include "manager/cluster.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------ geo-distributed databases */

/* A table's struct with room for the nested objects. */
struct instance_row {
    struct instance i;
    json_t *db_config;
};
static const struct field instance_fields[] = {
    FIELD_AS(instance_row, "id", i.id, FIELD_U32, 1, INSTANCES_MAX),
    FIELD_AS(instance_row, "cluster", i.cluster, FIELD_STRING, 1, 64),
    FIELD_AS(instance_row, "url", i.url, FIELD_STRING, 1, 255),
    FIELD_AS(instance_row, "username", i.username, FIELD_STRING, 0, 127),
    FIELD_AS(instance_row, "password", i.password, FIELD_STRING, 0, 199),
    FIELD_AS(instance_row, "replication_endpoint", i.replication_endpoint, FIELD_STRING, 0, 279),
    FIELD_AS(instance_row, "host", i.host, FIELD_STRING, 0, 255),
    FIELD_AS(instance_row, "port", i.port, FIELD_U16, 0, 65535),
    FIELD_AS(instance_row, "compression", i.compression, FIELD_U32, 0, 6),
    FIELD_AS(instance_row, "db_config", db_config, FIELD_JSON, 0, 0),
    FIELD_END,
};

struct config_row {
    struct crdb_config c;
    json_t *default_db_config, *instances;
};
static const struct field config_fields[] = {
    FIELD_AS(config_row, "guid", c.guid, FIELD_STRING, 36, 36),
    FIELD_AS(config_row, "name", c.name, FIELD_STRING, 1, 63),
    FIELD_AS(config_row, "version", c.version, FIELD_U64, 1, INT64_MAX),
    FIELD_AS(config_row, "encryption", c.encryption, FIELD_BOOL, 0, 0),
    FIELD_AS(config_row, "causal_consistency", c.causal_consistency, FIELD_BOOL, 0, 0),
    FIELD_AS(config_row, "partitions", c.partitions, FIELD_U32, 1, SLOTS_PARTITIONS_MAX),
    FIELD_AS(config_row, "next_instance_id", c.next_instance_id, FIELD_U32, 1, INSTANCES_MAX + 1),
    FIELD_AS(config_row, "secret", c.secret, FIELD_STRING, 64, 64),
    FIELD_AS(config_row, "default_db_config", default_db_config, FIELD_JSON, 0, 0),
    FIELD_AS(config_row, "instances", instances, FIELD_JSON, 0, 0),
    FIELD_END,
};
#define CONFIG_REQUIRED 0x3ffu /* all ten */

json_t *crdb_config_write(const struct crdb_config *c)
{
    json_t *o = json_object(), *list = json_array();
    fields_write(o, config_fields, &(struct config_row){.c = *c});
    json_object_set_new(o, "default_db_config", db_config_write(&c->default_db_config));
    for (uint32_t i = 0; i < c->instances_count; i++) {
        json_t *one = json_object();
        fields_write(one, instance_fields, &(struct instance_row){.i = c->instances[i]});
        json_object_set_new(one, "db_config", db_config_write(&c->instances[i].db_config));
        json_array_append_new(list, one);
    }
    json_object_set_new(o, "instances", list);
    return o;
}

static bool instances_read(const json_t *list, struct crdb_config *out, struct refusal *why)
{
    char what[64];
    size_t n = json_array_size(list);
    if (n == 0 || n > INSTANCES_MAX)
        return refuse(why, 400, "invalid_schema", "instances: an array of 1 to %u is expected",
                      INSTANCES_MAX);
    out->instances = mem_zalloc(n * sizeof *out->instances);
    for (size_t i = 0; i < n; i++) {
        struct instance_row row = {0};
        snprintf(what, sizeof what, "instances[%zu]", i);
        if (!fields_read(json_array_get(list, i), instance_fields, &row, NULL, what, why))
            return false;
        if (row.i.id == 0 || !row.i.cluster[0] || crdb_config_instance(out, row.i.id) != NULL ||
            crdb_config_at(out, row.i.cluster) != NULL)
            return refuse(why, 400, "invalid_schema",
                          "%s: a number and a cluster of its own are expected", what);
        if (row.db_config != NULL && !db_config_read(row.db_config, &row.i.db_config, what, why))
            return false;
        out->instances[out->instances_count++] = row.i;
    }
    return true;
}

bool crdb_config_read(const json_t *object, struct crdb_config *out, struct refusal *why)
{
    struct config_row row = {0};
    uint64_t set;
    *out = (struct crdb_config){0};
    if (!fields_read(object, config_fields, &row, &set, "crdb", why))
        return false;
    if (set != CONFIG_REQUIRED)
        return refuse(why, 400, "invalid_schema", "crdb: members are missing");
    *out = row.c;
    if (db_config_read(row.default_db_config, &out->default_db_config, "default_db_config", why) &&
        instances_read(row.instances, out, why))
        return true;
    crdb_config_deinit(out);
    return false;
}

/* ------------------------------------------------------------ the state file */

static const struct field cluster_fields[] = {
    FIELD_TEXT(cluster, name, 1),
    FIELD(cluster, created_s, FIELD_I64, 0, 0),
    FIELD(cluster, availability_lag_tolerance_ms, FIELD_U32, 1, 3600000),
    FIELD(cluster, next_uid, FIELD_U32, 1, UINT32_MAX),
    FIELD(cluster, state_id, FIELD_U64, 0, INT64_MAX),
    FIELD_END,
};

static const struct field user_fields[] = {
    FIELD_TEXT(user, name, 1),
    FIELD_TEXT(user, salt, 32),
    FIELD_TEXT(user, hash, 64),
    FIELD(user, rounds, FIELD_U32, 1, 10000000),
    FIELD_END,
};

struct bdb_row {
    struct bdb b;
    json_t *config;
};
static const struct field bdb_fields[] = {
    FIELD_AS(bdb_row, "uid", b.uid, FIELD_U32, 1, UINT32_MAX),
    FIELD_AS(bdb_row, "name", b.name, FIELD_STRING, 1, 63),
    FIELD_AS(bdb_row, "guid", b.guid, FIELD_STRING, 0, 36),
    FIELD_AS(bdb_row, "partitions", b.partitions, FIELD_U32, 1, SLOTS_PARTITIONS_MAX),
    FIELD_AS(bdb_row, "hash_k0", b.hash_k0, FIELD_BITS, 0, 0),
    FIELD_AS(bdb_row, "hash_k1", b.hash_k1, FIELD_BITS, 0, 0),
    FIELD_AS(bdb_row, "seed", b.seed, FIELD_BITS, 0, 0),
    FIELD_AS(bdb_row, "region", b.region, FIELD_U32, 1, INSTANCES_MAX),
    FIELD_AS(bdb_row, "incarnation", b.incarnation, FIELD_U32, 0, UINT32_MAX),
    FIELD_AS(bdb_row, "founding", b.founding, FIELD_U32, 0, UINT32_MAX),
    FIELD_AS(bdb_row, "reborn", b.reborn, FIELD_BOOL, 0, 0),
    FIELD_AS(bdb_row, "paused", b.paused, FIELD_BITS, 0, 0),
    FIELD_AS(bdb_row, "replica_uri", b.replica_uri, FIELD_STRING, 0, REPLICA_URI_MAX - 1),
    FIELD_AS(bdb_row, "replica", b.replica, FIELD_U32, 0, REPLICA_PAUSED),
    FIELD_AS(bdb_row, "created_s", b.created_s, FIELD_I64, 0, 0),
    FIELD_AS(bdb_row, "changed_s", b.changed_s, FIELD_I64, 0, 0),
    FIELD_AS(bdb_row, "config", config, FIELD_JSON, 0, 0),
    FIELD_END,
};

struct crdb_row {
    struct crdb r;
    uint32_t status;
    json_t *config;
};
static const struct field crdb_fields[] = {
    FIELD_AS(crdb_row, "status", status, FIELD_U32, CRDB_READY, CRDB_COMPLETED),
    FIELD_AS(crdb_row, "instance_id", r.instance_id, FIELD_U32, 1, INSTANCES_MAX),
    FIELD_AS(crdb_row, "bdb_uid", r.bdb_uid, FIELD_U32, 1, UINT32_MAX),
    FIELD_AS(crdb_row, "converted", r.converted, FIELD_BOOL, 0, 0),
    FIELD_AS(crdb_row, "created_s", r.created_s, FIELD_I64, 0, 0),
    FIELD_AS(crdb_row, "config", config, FIELD_JSON, 0, 0),
    FIELD_END,
};

struct state_row {
    uint32_t format;
    json_t *cluster, *users, *bdbs, *crdbs;
};
static const struct field state_fields[] = {
    FIELD(state_row, format, FIELD_U32, STATE_FORMAT, STATE_FORMAT),
    FIELD(state_row, cluster, FIELD_JSON, 0, 0),
    FIELD(state_row, users, FIELD_JSON, 0, 0),
    FIELD(state_row, bdbs, FIELD_JSON, 0, 0),
    FIELD(state_row, crdbs, FIELD_JSON, 0, 0),
    FIELD_END,
};

static json_t *bdb_row_write(const struct bdb *b)
{
    json_t *o = json_object();
    struct bdb_row row = {.b = *b};
    fields_write(o, bdb_fields, &row);
    json_object_set_new(o, "config", db_config_write(&b->config));
    return o;
}

static json_t *crdb_row_write(const struct crdb *r)
{
    json_t *o = json_object();
    struct crdb_row row = {.r = *r, .status = (uint32_t)r->status};
    fields_write(o, crdb_fields, &row);
    json_object_set_new(o, "config", crdb_config_write(&r->config));
    return o;
}

void cluster_dump(const struct cluster *c, struct buf *out)
{
    json_t *root = json_object(), *cluster = json_object(), *users = json_array();
    json_t *bdbs = json_array(), *crdbs = json_array();
    json_object_set_new(root, "format", json_integer(STATE_FORMAT));
    json_object_set_new(root, "cluster", cluster);
    json_object_set_new(root, "users", users);
    json_object_set_new(root, "bdbs", bdbs);
    json_object_set_new(root, "crdbs", crdbs);
    fields_write(cluster, cluster_fields, c);
    for (uint32_t i = 0; i < c->users_count; i++) {
        json_t *o = json_object();
        fields_write(o, user_fields, &c->users[i]);
        json_array_append_new(users, o);
    }
    for (uint32_t i = 0; i < c->bdbs_count; i++)
        if (c->bdbs[i]->status != BDB_PENDING)
            json_array_append_new(bdbs, bdb_row_write(c->bdbs[i]));
    for (uint32_t i = 0; i < c->crdbs_count; i++)
        if (c->crdbs[i]->status != CRDB_POSTED)
            json_array_append_new(crdbs, crdb_row_write(c->crdbs[i]));
    char *text = json_dumps(root, JSON_INDENT(1));
    buf_put_str(out, text);
    buf_put_str(out, "\n");
    free(text);
    json_decref(root);
}

static bool users_load(struct cluster *c, const json_t *list, struct refusal *why)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > CLUSTER_USERS_MAX)
        return refuse(why, 400, "invalid_state", "users: 1 to %u are expected", CLUSTER_USERS_MAX);
    for (size_t i = 0; i < n; i++)
        if (!fields_read(json_array_get(list, i), user_fields, &c->users[c->users_count++], NULL,
                         "users", why))
            return false;
    return true;
}

static bool bdbs_load(struct cluster *c, const json_t *list, struct refusal *why)
{
    if (!json_is_array(list) || json_array_size(list) > CLUSTER_BDBS_MAX)
        return refuse(why, 400, "invalid_state", "bdbs: up to %u are expected", CLUSTER_BDBS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        /* What files of earlier releases do not say. */
        struct bdb_row row = {.b.config = db_config_defaults()};
        if (!fields_read(json_array_get(list, i), bdb_fields, &row, NULL, "bdbs", why) ||
            !db_config_read(row.config, &row.b.config, "bdbs.config", why))
            return false;
        if (row.b.uid >= c->next_uid || cluster_bdb(c, row.b.uid) != NULL ||
            !name_valid(row.b.name) || row.b.region == 0 || row.b.config.shards_count == 0 ||
            row.b.partitions < row.b.config.shards_count)
            return refuse(why, 400, "invalid_state", "bdbs[%zu]: inconsistent", i);
        row.b.status = BDB_ACTIVE;
        row.b.config.set = UINT64_MAX;
        c->bdbs[c->bdbs_count++] = mem_dup(&row.b, sizeof row.b);
    }
    return true;
}

static bool crdbs_load(struct cluster *c, const json_t *list, struct refusal *why)
{
    if (!json_is_array(list) || json_array_size(list) > CLUSTER_CRDBS_MAX)
        return refuse(why, 400, "invalid_state", "crdbs: up to %u are expected", CLUSTER_CRDBS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct crdb_row row = {0};
        if (!fields_read(json_array_get(list, i), crdb_fields, &row, NULL, "crdbs", why) ||
            !crdb_config_read(row.config, &row.r.config, why))
            return false;
        row.r.status = (enum crdb_status)row.status;
        bool sound = cluster_bdb(c, row.r.bdb_uid) != NULL &&
                     crdb_config_instance(&row.r.config, row.r.instance_id) != NULL &&
                     cluster_crdb(c, row.r.config.guid) == NULL;
        c->crdbs[c->crdbs_count++] = mem_dup(&row.r, sizeof row.r);
        if (!sound)
            return refuse(why, 400, "invalid_state", "crdbs[%zu]: inconsistent", i);
    }
    return true;
}

bool cluster_load(struct cluster *c, struct bytes text, struct refusal *why)
{
    json_error_t at;
    struct state_row row = {0};
    bool ok = false;
    json_t *root = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &at);
    if (root == NULL)
        return refuse(why, 400, "invalid_state", "line %d: %s", at.line, at.text);
    if (!fields_read(root, state_fields, &row, NULL, "", why))
        goto out;
    if (row.format != STATE_FORMAT)
        refuse(why, 400, "invalid_state", "format: %u is expected", STATE_FORMAT);
    else
        ok = fields_read(row.cluster, cluster_fields, c, NULL, "cluster", why) &&
             users_load(c, row.users, why) && bdbs_load(c, row.bdbs, why) &&
             crdbs_load(c, row.crdbs, why);
    c->bootstrapped = ok;
out:
    json_decref(root);
    return ok;
}
