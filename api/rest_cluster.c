/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"
#include "base/version.h"

#include <stdio.h>

/* ------------------------------------------------------------ bootstrap */

static json_t *bootstrap_json(const struct call *c)
{
    struct cluster *cl = manager_cluster(c->m);
    char created[32];
    time_text(cl->created_s, created);
    json_t *status = json_pack("{s:s}", "state", cl->bootstrapped ? "completed" : "idle");
    if (cl->bootstrapped) {
        json_object_set_new(status, "start_time", json_string(created));
        json_object_set_new(status, "end_time", json_string(created));
    }
    return json_pack("{s:o, s:{s:s, s:s, s:[{s:s}]}}", "bootstrap_status", status,
                     "local_node_info", "uid", "1", "software_version", MERIDIAN_VERSION,
                     "available_addrs", "address", manager_advertise(c->m));
}

void rest_bootstrap_get(struct call *c) { call_json(c, 200, bootstrap_json(c)); }

struct bootstrap_body {
    char action[32];
    json_t *cluster, *credentials;
};
static const struct field body_fields[] = {
    FIELD_TEXT(bootstrap_body, action, 0),
    FIELD(bootstrap_body, cluster, FIELD_JSON, 0, 0),
    FIELD(bootstrap_body, credentials, FIELD_JSON, 0, 0),
    FIELD_SKIP("node"),
    FIELD_SKIP("license"),
    FIELD_SKIP("dns_suffixes"),
    FIELD_SKIP("policy"),
    FIELD_SKIP("retry_time"),
    FIELD_SKIP("max_retries"),
    FIELD_END,
};
static const struct field name_fields[] = {
    FIELD_TEXT(bootstrap, name, 1),
    FIELD_SKIP("nodes"),
    FIELD_SKIP("wait_command"),
    FIELD_END,
};
static const struct field credential_fields[] = {
    FIELD_TEXT(bootstrap, username, 1),
    FIELD_TEXT(bootstrap, password, 1),
    FIELD_END,
};

/* A host name (RFC 1123) of at most 64 bytes. */
static bool fqdn_valid(const char *s)
{
    size_t n = strlen(s), label = 0;
    for (size_t i = 0; i < n; i++) {
        char ch = s[i];
        bool word =
            (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (ch == '.' ? label == 0 || s[i - 1] == '-' : !word && !(ch == '-' && label > 0))
            return false;
        label = ch == '.' ? 0 : label + 1;
    }
    return n > 0 && n <= 64 && label > 0 && s[n - 1] != '-';
}

static void bootstrapped(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    (void)uid;
    if (why != NULL)
        call_refuse(c, why);
    else
        call_json(c, 200, bootstrap_json(c));
}

void rest_bootstrap_create(struct call *c)
{
    struct bootstrap_body body = {0};
    struct bootstrap b = {0};
    struct refusal why = {0};
    if (manager_cluster(c->m)->bootstrapped) {
        call_fail(c, 409, "already_bootstrapped", "this node is in cluster %s already",
                  manager_cluster(c->m)->name);
        return;
    }
    if (!call_needs_body(c))
        return;
    if (!fields_read(c->body, body_fields, &body, NULL, "", &why) ||
        !fields_read(body.cluster, name_fields, &b, NULL, "cluster", &why) ||
        !fields_read(body.credentials, credential_fields, &b, NULL, "credentials", &why)) {
        call_refuse(c, &why);
        return;
    }
    if (body.action[0] && strcmp(body.action, "create_cluster") != 0) {
        call_fail(c, 400, "invalid_schema", "action: create_cluster is expected");
    } else if (!fqdn_valid(b.name)) {
        call_fail(c, 400, "config_error",
                  "cluster.name: a host name of up to 64 letters, digits, hyphens and dots is "
                  "expected");
    } else if (!b.username[0] || !b.password[0] || strchr(b.username, ':') != NULL) {
        call_fail(c, 400, "config_error",
                  "credentials: username (without a colon) and password are expected");
    } else {
        manager_bootstrap(c->m, &b, (struct done){.fn = bootstrapped, .arg = c});
    }
}

/* ------------------------------------------------------------ cluster */

static json_t *cluster_json(const struct call *c)
{
    const struct cluster *cl = manager_cluster(c->m);
    const struct manager_opts *o = manager_options(c->m);
    char created[32];
    time_text(cl->created_s, created);
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:b, s:b, s:b, s:[i], s:i}", "name", cl->name,
                     "created_time", created, "availability_lag_tolerance_ms",
                     (int)cl->availability_lag_tolerance_ms, "cnm_https_port", (int)o->rest_port,
                     "sentinel_port", (int)o->discovery_port, "rack_aware", 0, "http_support",
                     o->cert_pem.n == 0, "control_plane_basic_authentication", 1,
                     "crdt_supported_protocol_versions", 1, "password_min_length", 1);
}

void rest_cluster_get(struct call *c) { call_json(c, 200, cluster_json(c)); }

struct cluster_change {
    char name[65];
    uint32_t availability_lag_tolerance_ms;
};
static const struct field change_fields[] = {
    FIELD_TEXT(cluster_change, name, 0),
    FIELD(cluster_change, availability_lag_tolerance_ms, FIELD_U32, 1, 3600000),
    FIELD_ONLY("rack_aware", "false"),
    FIELD_ONLY("control_plane_basic_authentication", "true"),
    FIELD_END,
};

static void cluster_saved(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    (void)uid;
    if (why != NULL)
        call_refuse(c, why);
    else
        call_json(c, 200, cluster_json(c));
}

void rest_cluster_put(struct call *c)
{
    struct cluster *cl = manager_cluster(c->m);
    struct cluster_change change = {0};
    struct refusal why = {0};
    if (!call_needs_body(c))
        return;
    if (!fields_read(c->body, change_fields, &change, NULL, "", &why)) {
        call_refuse(c, &why);
        return;
    }
    if (change.name[0] && strcmp(change.name, cl->name) != 0) {
        call_fail(c, 406, "name_immutable", "name: a cluster's name cannot be changed");
        return;
    }
    if (change.availability_lag_tolerance_ms != 0)
        cl->availability_lag_tolerance_ms = change.availability_lag_tolerance_ms;
    if (call_query_true(c, "dry_run"))
        call_json(c, 200, cluster_json(c));
    else
        manager_save(c->m, (struct done){.fn = cluster_saved, .arg = c});
}

/* ------------------------------------------------------------ nodes */

static json_t *node_json(const struct call *c)
{
    const struct cluster *cl = manager_cluster(c->m);
    const struct plane_stats *s = plane_stats(manager_plane(c->m), NULL);
    char now[32];
    const struct strays *strays = manager_strays(c->m);
    json_t *shards = json_array(), *unknown = json_array();
    time_text(manager_now(c->m).wall_ms / 1000, now);
    for (uint32_t i = 0; i < strays->count; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%.4000s/db%u", manager_options(c->m)->db_dir, strays->uids[i]);
        json_array_append_new(unknown, json_string(path));
    }
    for (uint32_t i = 0; i < s->shards_count; i++)
        json_array_append_new(shards, json_integer((json_int_t)s->shards[i].db_uid * SHARDS_MAX +
                                                   s->shards[i].shard + 1));
    return json_pack("{s:i, s:s, s:s, s:s, s:b, s:i, s:o, s:i, s:o, s:s, s:s, s:s}", "uid", 1,
                     "addr", manager_advertise(c->m), "status",
                     plane_is_ready(manager_plane(c->m)) ? "active" : "down", "software_version",
                     MERIDIAN_VERSION, "accept_servers", 1, "shard_count", (int)s->shards_count,
                     "shard_list", shards, "database_count", (int)cl->bdbs_count,
                     "unknown_database_files", unknown, "persistent_storage_path",
                     manager_options(c->m)->db_dir, "system_time", now, "cluster", cl->name);
}

void rest_nodes(struct call *c) { call_json(c, 200, json_pack("[o]", node_json(c))); }

void rest_node(struct call *c)
{
    if (strcmp(c->match.params[0], "1") != 0)
        call_fail(c, 404, "node_not_found", "no node %s", c->match.params[0]);
    else
        call_json(c, 200, node_json(c));
}

/* ------------------------------------------------------------ users */

void rest_users(struct call *c)
{
    const struct cluster *cl = manager_cluster(c->m);
    json_t *list = json_array();
    for (uint32_t i = 0; i < cl->users_count; i++)
        json_array_append_new(list,
                              json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "uid", (int)i + 1, "name",
                                        cl->users[i].name, "email", cl->users[i].name, "role",
                                        "admin", "auth_method", "regular", "status", "active"));
    call_json(c, 200, list);
}

struct password_change {
    char username[128], new_password[200];
};
static const struct field password_fields[] = {
    FIELD_TEXT(password_change, username, 1),
    FIELD_TEXT(password_change, new_password, 1),
    FIELD_END,
};

void rest_password(struct call *c)
{
    struct cluster *cl = manager_cluster(c->m);
    struct password_change change = {0};
    struct refusal why = {0};
    uint8_t salt[16];
    struct port *port = manager_port(c->m);
    if (!call_needs_body(c))
        return;
    if (!fields_read(c->body, password_fields, &change, NULL, "", &why)) {
        call_refuse(c, &why);
        return;
    }
    struct user *u = cluster_user(cl, change.username[0] ? change.username : c->user->name);
    if (u == NULL || !change.new_password[0]) {
        call_fail(c, u == NULL ? 404 : 400, u == NULL ? "user_not_exist" : "invalid_schema",
                  "username of a user and new_password are expected");
        return;
    }
    port->ops->random(port, salt, sizeof salt);
    user_set_password(u, change.new_password, salt, manager_options(c->m)->password_rounds);
    auth_forget(manager_auth(c->m));
    manager_save(c->m, call_done(c));
}
