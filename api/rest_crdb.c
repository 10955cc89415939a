/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>

/* ------------------------------------------------------------ what it looks like */

static void strip_passwords(json_t *config)
{
    if (json_object_get(config, "authentication_redis_pass") != NULL)
        json_object_set_new(config, "authentication_redis_pass", json_string("***"));
}

static json_t *instance_json(const struct instance *in)
{
    json_t *config = db_config_write(&in->db_config);
    strip_passwords(config);
    return json_pack("{s:i, s:{s:s, s:s, s:s}, s:i, s:o, s:{s:s, s:i}}", "id", (int)in->id,
                     "cluster", "name", in->cluster, "url", in->url, "replication_endpoint",
                     in->replication_endpoint, "compression", (int)in->compression, "db_config",
                     config, "endpoint", "host", in->host, "port", (int)in->port);
}

static json_t *crdb_json(const struct crdb *r)
{
    const struct crdb_config *k = &r->config;
    json_t *list = json_array(), *config = db_config_write(&k->default_db_config);
    char uid[16];
    strip_passwords(config);
    for (uint32_t i = 0; i < k->instances_count; i++) {
        json_t *in = instance_json(&k->instances[i]);
        snprintf(uid, sizeof uid, "%u", r->bdb_uid);
        if (k->instances[i].id == r->instance_id)
            json_object_set_new(in, "db_uid", json_string(uid));
        json_array_append_new(list, in);
    }
    return json_pack("{s:s, s:s, s:b, s:b, s:i, s:i, s:I, s:o, s:o, s:[{s:i, s:i}]}", "guid",
                     k->guid, "name", k->name, "encryption", (int)k->encryption,
                     "causal_consistency", 1, "protocol_version", 1, "featureset_version", 1,
                     "config_version", (json_int_t)k->version, "default_db_config", config,
                     "instances", list, "local_databases", "id", (int)r->instance_id, "bdb_uid",
                     (int)r->bdb_uid);
}

void rest_crdbs(struct call *c)
{
    const struct cluster *cl = manager_cluster(c->m);
    json_t *list = json_array();
    for (uint32_t i = 0; i < cl->crdbs_count; i++)
        if (cl->crdbs[i]->status >= CRDB_COMMITTED)
            json_array_append_new(list, crdb_json(cl->crdbs[i]));
    call_json(c, 200, list);
}

void rest_crdb(struct call *c)
{
    const struct crdb *r = call_crdb(c, 0);
    if (r != NULL)
        call_json(c, 200, crdb_json(r));
}

/* ------------------------------------------------------------ instances as users write them */

struct instance_body {
    struct instance in;
    uint32_t db_uid;
    json_t *cluster, *db_config, *credentials;
};
static const struct field instance_fields[] = {
    FIELD_AS(instance_body, "id", in.id, FIELD_U32, 0, INSTANCES_MAX),
    FIELD_AS(instance_body, "compression", in.compression, FIELD_U32, 0, 6),
    FIELD_AS(instance_body, "db_uid", db_uid, FIELD_U32, 0, UINT32_MAX),
    FIELD(instance_body, cluster, FIELD_JSON, 0, 0),
    FIELD(instance_body, db_config, FIELD_JSON, 0, 0),
    FIELD_END,
};
static const struct field cluster_fields[] = {
    FIELD_AS(instance_body, "name", in.cluster, FIELD_STRING, 1, 64),
    FIELD_AS(instance_body, "url", in.url, FIELD_STRING, 1, 255),
    FIELD_AS(instance_body, "replication_endpoint", in.replication_endpoint, FIELD_STRING, 0, 279),
    FIELD(instance_body, credentials, FIELD_JSON, 0, 0),
    FIELD_END,
};
static const struct field credential_fields[] = {
    FIELD_AS(instance_body, "username", in.username, FIELD_STRING, 1, 127),
    FIELD_AS(instance_body, "password", in.password, FIELD_STRING, 1, 199),
    FIELD_END,
};

static bool endpoint_valid(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    return !text[0] || (colon != NULL && colon != text && colon - text < 256 &&
                        num_parse_i64(bytes_str(colon + 1), &port) && port > 0 && port < 65536);
}

/* `whole`: name, URL and credentials must be there. */
static bool read_instance(const json_t *o, const char *what, bool whole, struct instance_body *out,
                          struct refusal *why)
{
    char deeper[96];
    if (!fields_read(o, instance_fields, out, NULL, what, why))
        return false;
    snprintf(deeper, sizeof deeper, "%s.cluster", what);
    if ((whole || out->cluster != NULL) &&
        !fields_read(out->cluster, cluster_fields, out, NULL, deeper, why))
        return false;
    if (!endpoint_valid(out->in.replication_endpoint))
        return refuse(why, 400, "invalid_schema", "%s.replication_endpoint: host:port is expected",
                      deeper);
    if (whole && (!out->in.cluster[0] || !out->in.url[0]))
        return refuse(why, 400, "invalid_schema", "%s: name and url are expected", deeper);
    snprintf(deeper, sizeof deeper, "%s.cluster.credentials", what);
    if ((whole || out->credentials != NULL) &&
        !fields_read(out->credentials, credential_fields, out, NULL, deeper, why))
        return false;
    if (whole && (!out->in.username[0] || !out->in.password[0]))
        return refuse(why, 400, "invalid_schema", "%s: username and password are expected", deeper);
    snprintf(deeper, sizeof deeper, "%s.db_config", what);
    return out->db_config == NULL ||
           db_config_read(out->db_config, &out->in.db_config, deeper, why);
}

/* A list of whole instances. *db_uid gets the one that names an existing database of this cluster.
 */
static bool read_instances(const struct call *c, const json_t *list, const char *name,
                           struct crdb_config *out, uint32_t *db_uid, struct refusal *why)
{
    char what[64];
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > INSTANCES_MAX)
        return refuse(why, 400, "invalid_schema", "%s: an array of 1 to %u instances is expected",
                      name, INSTANCES_MAX);
    out->instances = mem_zalloc(n * sizeof *out->instances);
    for (size_t i = 0; i < n; i++) {
        struct instance_body body = {0};
        snprintf(what, sizeof what, "%s[%zu]", name, i);
        if (!read_instance(json_array_get(list, i), what, true, &body, why))
            return false;
        if (body.in.id != 0)
            return refuse(why, 406, "not_supported",
                          "%s.id: numbers are given by the database: leave it out", what);
        if (body.db_uid != 0 &&
            (db_uid == NULL || strcmp(body.in.cluster, manager_cluster(c->m)->name) != 0))
            return refuse(why, 406, "invalid_instance",
                          "%s.db_uid: only the first instance, in the cluster that is asked, can "
                          "be a database that is there already",
                          what);
        if (body.db_uid != 0)
            *db_uid = body.db_uid;
        out->instances[out->instances_count++] = body.in;
    }
    return true;
}

/* ------------------------------------------------------------ create */

struct create_body {
    struct crdb_config config;
    json_t *instances, *default_db_config;
    uint32_t compression;
};
static const struct field create_fields[] = {
    FIELD_AS(create_body, "name", config.name, FIELD_STRING, 1, 63),
    FIELD_AS(create_body, "encryption", config.encryption, FIELD_BOOL, 0, 0),
    FIELD_AS(create_body, "causal_consistency", config.causal_consistency, FIELD_BOOL, 0, 0),
    FIELD(create_body, instances, FIELD_JSON, 0, 0),
    FIELD(create_body, default_db_config, FIELD_JSON, 0, 0),
    FIELD(create_body, compression, FIELD_U32, 0, 6),
    FIELD_ONLY("protocol_version", "1"),
    FIELD_ONLY("featureset_version", "1"),
    FIELD_ONLY("modules", "[]"),
    FIELD_END,
};

/* The settings for all instances may carry the name once more, as other tools send it. */
static bool read_defaults(json_t *o, struct crdb_config *out, struct refusal *why)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    if (o == NULL)
        return true;
    if (name != NULL && out->name[0] && strcmp(name, out->name) != 0)
        return refuse(why, 400, "invalid_schema",
                      "default_db_config.name: differs from the database's name");
    json_object_del(o, "name");
    return db_config_read(o, &out->default_db_config, "default_db_config", why);
}

void rest_crdb_create(struct call *c)
{
    struct create_body body = {0};
    struct refusal why = {0};
    struct task *t = NULL;
    uint32_t db_uid = 0;
    struct task_opts opts = call_task_opts(c);
    if (!call_needs_body(c))
        return;
    if (fields_read(c->body, create_fields, &body, NULL, "", &why) &&
        read_defaults(body.default_db_config, &body.config, &why) &&
        read_instances(c, body.instances, "instances", &body.config, &db_uid, &why)) {
        for (uint32_t i = 0; body.compression && i < body.config.instances_count; i++)
            if (body.config.instances[i].compression == 0)
                body.config.instances[i].compression = body.compression;
        t = task_create(c->m, &body.config, db_uid, &opts, &why);
    }
    crdb_config_deinit(&body.config);
    call_task(c, t, &why);
}

/* ------------------------------------------------------------ change */

static bool read_overrides(const json_t *list, struct crdb_change *out, struct refusal *why)
{
    char what[64];
    if (list == NULL)
        return true;
    if (!json_is_array(list) || json_array_size(list) > INSTANCES_MAX)
        return refuse(why, 400, "invalid_schema", "instances: an array is expected");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct instance_body body = {0};
        snprintf(what, sizeof what, "instances[%zu]", i);
        if (!read_instance(json_array_get(list, i), what, false, &body, why))
            return false;
        if (body.in.id == 0)
            return refuse(why, 400, "invalid_schema", "%s.id: an instance's number is expected",
                          what);
        out->instances[out->instances_count].id = body.in.id;
        out->instances[out->instances_count].db_config = body.in.db_config;
        memcpy(out->instances[out->instances_count].url, body.in.url, sizeof body.in.url);
        memcpy(out->instances[out->instances_count].username, body.in.username,
               sizeof body.in.username);
        memcpy(out->instances[out->instances_count].password, body.in.password,
               sizeof body.in.password);
        out->instances_count++;
    }
    return true;
}

struct patch_body {
    json_t *default_db_config, *instances;
    bool causal_consistency;
};
static const struct field patch_fields[] = {
    FIELD(patch_body, default_db_config, FIELD_JSON, 0, 0),
    FIELD(patch_body, instances, FIELD_JSON, 0, 0),
    FIELD(patch_body, causal_consistency, FIELD_BOOL, 0, 0),
    FIELD_END,
};

static bool read_patch(const json_t *o, struct crdb_change *out, const char *what,
                       struct refusal *why)
{
    struct patch_body body = {0};
    return fields_read(o, patch_fields, &body, NULL, what, why) &&
           (body.default_db_config == NULL ||
            db_config_read(body.default_db_config, &out->default_db_config, "default_db_config",
                           why)) &&
           read_overrides(body.instances, out, why);
}

void rest_crdb_patch(struct call *c)
{
    struct refusal why = {0};
    struct task *t = NULL;
    struct task_opts opts = call_task_opts(c);
    if (call_crdb(c, 0) == NULL || !call_needs_body(c))
        return;
    struct crdb_change *change = mem_zalloc(sizeof *change);
    if (read_patch(c->body, change, "", &why))
        t = task_update(c->m, c->guid, change, &opts, &why);
    mem_free(change);
    call_task(c, t, &why);
}

struct updates_body {
    json_t *add_instances, *remove_instances, *crdb;
    bool force_remove, force, force_update;
};
static const struct field updates_fields[] = {
    FIELD(updates_body, add_instances, FIELD_JSON, 0, 0),
    FIELD(updates_body, remove_instances, FIELD_JSON, 0, 0),
    FIELD(updates_body, crdb, FIELD_JSON, 0, 0),
    FIELD(updates_body, force_remove, FIELD_BOOL, 0, 0),
    FIELD(updates_body, force, FIELD_BOOL, 0, 0),
    FIELD(updates_body, force_update, FIELD_BOOL, 0, 0),
    FIELD_END,
};

/* [2, 3], or {"instances": [2], "force_remove": true}. */
static bool read_removals(json_t *list, struct crdb_change *out, struct refusal *why)
{
    if (json_is_object(list)) {
        out->force |= json_is_true(json_object_get(list, "force_remove"));
        list = json_object_get(list, "instances");
    }
    if (!json_is_array(list) || json_array_size(list) > INSTANCES_MAX)
        return refuse(why, 400, "invalid_schema",
                      "remove_instances: an array of instance numbers is expected");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_int_t id = json_integer_value(json_array_get(list, i));
        if (id < 1 || id > (json_int_t)INSTANCES_MAX)
            return refuse(why, 400, "invalid_schema",
                          "remove_instances[%zu]: an instance's number is expected", i);
        out->remove[out->remove_count++] = (uint32_t)id;
    }
    return true;
}

void rest_crdb_updates(struct call *c)
{
    struct updates_body body = {0};
    struct crdb_config added = {0};
    struct refusal why = {0};
    struct task *t = NULL;
    struct task_opts opts = call_task_opts(c);
    if (call_crdb(c, 0) == NULL || !call_needs_body(c))
        return;
    struct crdb_change *change = mem_zalloc(sizeof *change);
    if (fields_read(c->body, updates_fields, &body, NULL, "", &why)) {
        change->force = body.force_remove || body.force;
        if ((body.crdb == NULL || read_patch(body.crdb, change, "crdb", &why)) &&
            (body.remove_instances == NULL || read_removals(body.remove_instances, change, &why)) &&
            (body.add_instances == NULL || json_array_size(body.add_instances) == 0 ||
             read_instances(c, body.add_instances, "add_instances", &added, NULL, &why))) {
            change->add = added.instances;
            change->add_count = added.instances_count;
            t = task_update(c->m, c->guid, change, &opts, &why);
        }
    }
    crdb_config_deinit(&added);
    mem_free(change);
    call_task(c, t, &why);
}

/* ------------------------------------------------------------ the rest */

void rest_crdb_delete(struct call *c)
{
    struct refusal why = {0};
    struct task_opts opts = call_task_opts(c);
    if (call_crdb(c, 0) != NULL)
        call_task(c, task_delete(c->m, c->guid, &opts, &why), &why);
}

void rest_crdb_flush(struct call *c)
{
    struct refusal why = {0};
    struct task_opts opts = call_task_opts(c);
    if (call_crdb(c, 0) != NULL)
        call_task(c, task_flush(c->m, c->guid, &opts, &why), &why);
}

struct purge_body {
    json_t *instances;
};
static const struct field purge_fields[] = {
    FIELD(purge_body, instances, FIELD_JSON, 0, 0),
    FIELD_END,
};

/* Drops the local instance of a database that the other regions have removed by force. */
void rest_crdb_purge(struct call *c)
{
    struct purge_body body = {0};
    struct refusal why = {0};
    struct task_opts opts = call_task_opts(c);
    struct crdb *r = call_crdb(c, 0);
    if (r == NULL || !call_needs_body(c))
        return;
    if (!fields_read(c->body, purge_fields, &body, NULL, "", &why)) {
        call_refuse(c, &why);
        return;
    }
    if (json_array_size(body.instances) != 1 ||
        json_integer_value(json_array_get(body.instances, 0)) != (json_int_t)r->instance_id)
        call_fail(c, 406, "invalid_instance", "instances: [%u] is expected, the one that is here",
                  r->instance_id);
    else
        call_task(c, task_purge(c->m, c->guid, &opts, &why), &why);
}

struct links_body {
    uint32_t instance_id;
    bool paused;
};
static const struct field links_fields[] = {
    FIELD(links_body, instance_id, FIELD_U32, 1, INSTANCES_MAX),
    FIELD(links_body, paused, FIELD_BOOL, 0, 0),
    FIELD_END,
};

void rest_crdb_links(struct call *c)
{
    struct links_body body = {0};
    struct refusal why = {0};
    uint64_t set;
    struct crdb *r = call_crdb(c, 0);
    if (r == NULL || !call_needs_body(c))
        return;
    if (!fields_read(c->body, links_fields, &body, &set, "", &why))
        call_refuse(c, &why);
    else if (set != 3)
        call_fail(c, 400, "invalid_schema", "instance_id and paused are expected");
    else if (crdb_config_instance(&r->config, body.instance_id) == NULL)
        call_fail(c, 406, "invalid_instance", "instance_id: there is no instance %u",
                  body.instance_id);
    else
        bdb_pause(c->m, r->bdb_uid, body.instance_id, body.paused, call_done(c));
}

/* What other clusters' coordinators ask of this one (crdb.h). */
static void participated(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    char host[256] = "";
    uint16_t port = 0;
    if (why != NULL) {
        call_refuse(c, why);
        return;
    }
    crdb_endpoint(c->m, c->guid, host, &port);
    call_json(c, 200,
              json_pack("{s:s, s:i, s:i}", "host", host, "port", (int)port, "db_uid", (int)uid));
}

void rest_crdb_instances(struct call *c)
{
    struct refusal why = {0};
    if (!call_needs_body(c))
        return;
    struct crdb_message *msg = mem_zalloc(sizeof *msg);
    if (crdb_message_read(c->body, msg, &why)) {
        snprintf(c->guid, sizeof c->guid, "%s", msg->guid);
        crdb_participate(c->m, msg, (struct done){.fn = participated, .arg = c});
        crdb_config_deinit(&msg->config);
    } else {
        call_refuse(c, &why);
    }
    mem_free(msg);
}
