/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian ctl cluster ...` and `meridian ctl db ...` */
#include "cli/ctl/ctl.h"

#include "migrate/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------ cluster */

int ctl_cluster_create(int argc, char **argv)
{
    struct ctl c;
    const char *name = NULL;
    const struct arg flags[] = {
        {"name", "FQDN", "the cluster's name, as cluster.example (required)", ARG_TEXT, &name, 0,
         64},
    };
    int status = ctl_begin(&c,
                           &(struct verb){.command = "cluster create",
                                          .usage = "--name FQDN --user NAME --password TEXT",
                                          .about = "Makes the node a cluster of its own. The user "
                                                   "is its first administrator.",
                                          .flags = flags,
                                          .flags_n = 1},
                           argc, argv);
    if (status >= 0)
        return status;
    if (name == NULL || !c.target.user[0] || !c.target.password[0]) {
        fputs("--name, --user and --password are needed\n", stderr);
        return 2;
    }
    json_t *answer = ctl_call(&c, "POST", "/v1/bootstrap/create_cluster",
                              json_pack("{s:s, s:{s:s}, s:{s:s, s:s}}", "action", "create_cluster",
                                        "cluster", "name", name, "credentials", "username",
                                        c.target.user, "password", c.target.password));
    if (answer == NULL)
        return 1;
    if (!ctl_shown(&c, answer))
        printf("Cluster %s created\n", name);
    json_decref(answer);
    return 0;
}

static void show_members(const json_t *o)
{
    const char *key;
    json_t *v;
    union { /* jansson iterates const objects only through a cast */
        const json_t *in;
        json_t *out;
    } u = {.in = o};
    for (void *it = json_object_iter(u.out); it != NULL; it = json_object_iter_next(u.out, it)) {
        key = json_object_iter_key(it);
        v = json_object_iter_value(it);
        char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        printf("%-30s %s\n", key, json_is_string(v) ? json_string_value(v) : text);
        free(text);
    }
}

int ctl_cluster_show(int argc, char **argv)
{
    struct ctl c;
    int status = ctl_begin(&c,
                           &(struct verb){.command = "cluster show",
                                          .usage = "[flags]",
                                          .about = "Shows the cluster and its node."},
                           argc, argv);
    if (status >= 0)
        return status;
    json_t *cluster = ctl_call(&c, "GET", "/v1/cluster", NULL);
    json_t *nodes = cluster != NULL ? ctl_call(&c, "GET", "/v1/nodes", NULL) : NULL;
    if (nodes != NULL) {
        json_object_set(cluster, "nodes", nodes);
        if (!ctl_shown(&c, cluster)) {
            const json_t *node = json_array_get(nodes, 0);
            json_object_del(cluster, "nodes");
            show_members(cluster);
            printf("%-30s %s, %s, version %s, %lld shards\n", "node 1", str_of(node, "addr"),
                   str_of(node, "status"), str_of(node, "software_version"),
                   (long long)int_of(node, "shard_count"));
        }
    }
    bool ok = nodes != NULL;
    json_decref(cluster);
    json_decref(nodes);
    return ok ? 0 : 1;
}

int ctl_cluster_set(int argc, char **argv)
{
    struct ctl c;
    uint64_t tolerance = 0;
    const struct arg flags[] = {
        {"availability-lag-tolerance-ms", "MS",
         "how far behind a region may be and still count as available", ARG_UINT, &tolerance, 1,
         3600000},
    };
    int status = ctl_begin(&c,
                           &(struct verb){.command = "cluster set",
                                          .usage = "--availability-lag-tolerance-ms MS",
                                          .about = "Changes the cluster's settings.",
                                          .flags = flags,
                                          .flags_n = 1},
                           argc, argv);
    if (status >= 0)
        return status;
    if (tolerance == 0) {
        fputs("nothing to set: meridian ctl cluster set --help\n", stderr);
        return 2;
    }
    json_t *answer =
        ctl_call(&c, "PUT", "/v1/cluster",
                 json_pack("{s:I}", "availability_lag_tolerance_ms", (json_int_t)tolerance));
    if (answer != NULL && !ctl_shown(&c, answer))
        show_members(answer);
    json_decref(answer);
    return answer != NULL ? 0 : 1;
}

/* Those that are raised, each a row. */
static void alert_rows(struct text_table *t, const char *kind, json_t *all)
{
    for (void *it = json_object_iter(all); it != NULL; it = json_object_iter_next(all, it)) {
        char where[64];
        json_t *list = json_object_iter_value(it);
        snprintf(where, sizeof where, "%s:%.40s", kind, json_object_iter_key(it));
        for (void *at = json_object_iter(list); at != NULL; at = json_object_iter_next(list, at)) {
            const json_t *a = json_object_iter_value(at);
            const char *row[] = {where, json_object_iter_key(at), str_of(a, "severity"),
                                 str_of(a, "description")};
            if (json_is_true(json_object_get(a, "state")))
                text_table_row(t, row, 4);
        }
    }
}

int ctl_cluster_alerts(int argc, char **argv)
{
    struct ctl c;
    int status = ctl_begin(&c,
                           &(struct verb){.command = "cluster alerts",
                                          .usage = "[flags]",
                                          .about = "Shows what is wrong just now, of the node and "
                                                   "of its databases."},
                           argc, argv);
    if (status >= 0)
        return status;
    json_t *nodes = ctl_call(&c, "GET", "/v1/nodes/alerts", NULL);
    json_t *dbs = nodes != NULL ? ctl_call(&c, "GET", "/v1/bdbs/alerts", NULL) : NULL;
    json_t *both = json_object();
    if (dbs != NULL) {
        json_object_set(both, "nodes", nodes);
        json_object_set(both, "bdbs", dbs);
        if (!ctl_shown(&c, both)) {
            static const char *const head[] = {"WHERE", "ALERT", "SEVERITY", "DESCRIPTION"};
            struct text_table t = {0};
            text_table_row(&t, head, 4);
            alert_rows(&t, "node", nodes);
            alert_rows(&t, "db", dbs);
            bool quiet = t.n == 4;
            text_table_print(&t);
            if (quiet)
                printf("Nothing is wrong\n");
        }
    }
    bool ok = dbs != NULL;
    json_decref(both);
    json_decref(nodes);
    json_decref(dbs);
    return ok ? 0 : 1;
}

/* ------------------------------------------------------------ databases */

static void show_endpoint(const json_t *db)
{
    const json_t *e = json_array_get(json_object_get(db, "endpoints"), 0);
    printf("Endpoint: %s:%lld   redis-cli -h %s -p %lld\n", str_of(e, "dns_name"),
           (long long)int_of(e, "port"), str_of(e, "dns_name"), (long long)int_of(e, "port"));
}

struct db_flags {
    const char *name, *memory, *password, *tls, *backlog, *replica_of, *replica_sync;
    bool replica_flush;
    uint64_t port, shards, connections;
    struct keep_flags keep;
};

static json_t *sources_json(const char *list)
{
    json_t *sources = json_array();
    char uri[8192];
    while (gather_next_uri(&list, uri, sizeof uri))
        json_array_append_new(sources, json_pack("{s:s}", "uri", uri));
    return sources;
}

/* Replica Of; whoever names a source wants it followed. */
static void put_replica(const struct db_flags *f, json_t *o)
{
    const char *sync = f->replica_sync != NULL ? f->replica_sync : "enabled";
    if (f->replica_of != NULL)
        json_object_set_new(o, "replica_sources", sources_json(f->replica_of));
    if (f->replica_of != NULL || f->replica_sync != NULL)
        json_object_set_new(o, "replica_sync", json_string(sync));
    if (f->replica_flush)
        json_object_set_new(o, "replica_flush", json_true());
}

/* The settings that were given; NULL: a bad one, reported. */
static json_t *db_body(const struct db_flags *f)
{
    json_t *o = json_object();
    json_int_t bytes;
    if (f->name != NULL)
        json_object_set_new(o, "name", json_string(f->name));
    if (f->memory != NULL) {
        if (!size_parse(f->memory, &bytes)) {
            fprintf(stderr, "--memory-size: a size like 100mb is expected, not '%s'\n", f->memory);
            json_decref(o);
            return NULL;
        }
        json_object_set_new(o, "memory_size", json_integer(bytes));
    }
    if (f->backlog != NULL) {
        if (!size_parse(f->backlog, &bytes)) {
            fprintf(stderr, "--backlog: a size like 64mb is expected, not '%s'\n", f->backlog);
            json_decref(o);
            return NULL;
        }
        json_object_set_new(o, "crdt_repl_backlog_size", json_integer(bytes));
    }
    if (f->password != NULL)
        json_object_set_new(o, "authentication_redis_pass", json_string(f->password));
    if (f->tls != NULL)
        json_object_set_new(o, "tls_mode", json_string(f->tls));
    if (f->port != 0)
        json_object_set_new(o, "port", json_integer((json_int_t)f->port));
    if (f->shards != 0)
        json_object_set_new(o, "shards_count", json_integer((json_int_t)f->shards));
    if (f->connections != UINT64_MAX)
        json_object_set_new(o, "max_connections", json_integer((json_int_t)f->connections));
    put_replica(f, o);
    if (!keep_body(&f->keep, o)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* What is given once, when it is made. */
#define DB_MADE_FLAGS(f)                                                                           \
    {"name", "NAME", "letters, digits, hyphens (required)", ARG_TEXT, &(f)->name, 0, 63},          \
        {"port", "PORT", "default: the first free one", ARG_UINT, &(f)->port, 1, 65535},           \
        {"shards-count", "N", "default: 1", ARG_UINT, &(f)->shards, 1, 64},                        \
    {                                                                                              \
        "tls-mode", "MODE", "enabled or disabled: TLS for clients", ARG_TEXT, &(f)->tls, 0, 15     \
    }

#define DB_FLAGS(f, required)                                                                      \
    {"memory-size",                                                                                \
     "SIZE",                                                                                       \
     "limit, as 100mb or 2gb; 0 none" required,                                                    \
     ARG_TEXT,                                                                                     \
     &(f)->memory,                                                                                 \
     0,                                                                                            \
     0},                                                                                           \
        {"db-password",                                                                            \
         "TEXT",                                                                                   \
         "what Redis clients must AUTH with",                                                      \
         ARG_TEXT,                                                                                 \
         &(f)->password,                                                                           \
         0,                                                                                        \
         199},                                                                                     \
        {"backlog", "SIZE", "log kept for other regions; 0 auto", ARG_TEXT, &(f)->backlog, 0, 0},  \
        {"max-connections", "N", "clients at a time", ARG_UINT, &(f)->connections, 0, 1000000},    \
        {"replica-of",                                                                             \
         "URI",                                                                                    \
         "follow a live Redis: redis://user:password@host:port/db (several: URI,URI)",             \
         ARG_TEXT,                                                                                 \
         &(f)->replica_of,                                                                         \
         0,                                                                                        \
         8191},                                                                                    \
        {"replica-sync",                                                                           \
         "STATE",                                                                                  \
         "enabled, paused or disabled (for good)",                                                 \
         ARG_TEXT,                                                                                 \
         &(f)->replica_sync,                                                                       \
         0,                                                                                        \
         0},                                                                                       \
        {"replica-flush",                                                                          \
         NULL,                                                                                     \
         "what the database holds may go for it",                                                  \
         ARG_FLAG,                                                                                 \
         &(f)->replica_flush,                                                                      \
         0,                                                                                        \
         0},                                                                                       \
        KEEP_FLAGS(&(f)->keep)

int ctl_db_create(int argc, char **argv)
{
    struct ctl c;
    struct db_flags f = {.connections = UINT64_MAX, .keep = KEEP_NOTHING};
    const struct arg flags[] = {DB_MADE_FLAGS(&f), DB_FLAGS(&f, " (required)")};
    int status = ctl_begin(&c,
                           &(struct verb){.command = "db create",
                                          .usage = "--name NAME --memory-size SIZE [flags]",
                                          .about = "Makes a database in this cluster.",
                                          .flags = flags,
                                          .flags_n = sizeof flags / sizeof flags[0]},
                           argc, argv);
    if (status >= 0)
        return status;
    if (f.name == NULL || f.memory == NULL) {
        fputs("--name and --memory-size are needed\n", stderr);
        return 2;
    }
    json_t *body = db_body(&f);
    if (body == NULL)
        return 2;
    json_t *db = ctl_call(&c, "POST", "/v1/bdbs", body);
    if (db != NULL && !ctl_shown(&c, db)) {
        printf("Database %lld (%s) created\n", (long long)int_of(db, "uid"), str_of(db, "name"));
        show_endpoint(db);
    }
    json_decref(db);
    return db != NULL ? 0 : 1;
}

int ctl_db_list(int argc, char **argv)
{
    struct ctl c;
    int status = ctl_begin(&c,
                           &(struct verb){.command = "db list",
                                          .usage = "[flags]",
                                          .about = "Lists the cluster's databases."},
                           argc, argv);
    if (status >= 0)
        return status;
    json_t *list = ctl_call(&c, "GET", "/v1/bdbs", NULL);
    if (list == NULL)
        return 1;
    if (!ctl_shown(&c, list)) {
        static const char *const head[] = {"UID",  "NAME",   "STATUS", "ENDPOINT",
                                           "KEYS", "MEMORY", "SHARDS", "CRDB-GUID"};
        struct text_table t = {0};
        text_table_row(&t, head, 8);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *db = json_array_get(list, i);
            const json_t *e = json_array_get(json_object_get(db, "endpoints"), 0);
            char uid[24], endpoint[300], keys[24], memory[64], used[24], limit[24], shards[24];
            snprintf(uid, sizeof uid, "%lld", (long long)int_of(db, "uid"));
            snprintf(endpoint, sizeof endpoint, "%s:%lld", str_of(e, "dns_name"),
                     (long long)int_of(e, "port"));
            snprintf(keys, sizeof keys, "%lld", (long long)int_of(db, "no_of_keys"));
            size_text(int_of(db, "used_memory"), used, sizeof used);
            size_text(int_of(db, "memory_size"), limit, sizeof limit);
            snprintf(memory, sizeof memory, "%s of %s", used,
                     int_of(db, "memory_size") ? limit : "any");
            snprintf(shards, sizeof shards, "%lld", (long long)int_of(db, "shards_count"));
            const char *row[] = {
                uid,    str_of(db, "name"),     str_of(db, "status"), endpoint, keys, memory,
                shards, str_of(db, "crdt_guid")};
            text_table_row(&t, row, 8);
        }
        text_table_print(&t);
    }
    json_decref(list);
    return 0;
}

json_int_t db_resolve(const struct ctl *c, const char *name)
{
    json_int_t uid = 0;
    json_t *list = ctl_call(c, "GET", "/v1/bdbs?fields=uid,name", NULL);
    if (list == NULL)
        return 0;
    for (size_t i = 0; i < json_array_size(list) && uid == 0; i++) {
        char text[24];
        const json_t *db = json_array_get(list, i);
        snprintf(text, sizeof text, "%lld", (long long)int_of(db, "uid"));
        if (strcmp(name, text) == 0 || strcmp(name, str_of(db, "name")) == 0)
            uid = int_of(db, "uid");
    }
    json_decref(list);
    if (uid == 0)
        ctl_error("this cluster has no database '%s': see meridian ctl db list", name);
    return uid;
}

/* The verbs about one database: DB is its name or number. */
static int one_db(struct ctl *c, const struct verb *v, int argc, char **argv, char path[64])
{
    int status = ctl_begin(c, v, argc, argv);
    if (status >= 0)
        return status;
    json_int_t uid = db_resolve(c, c->rest[0]);
    snprintf(path, 64, "/v1/bdbs/%lld", (long long)uid);
    return uid == 0 ? 1 : -1;
}

int ctl_db_show(int argc, char **argv)
{
    struct ctl c;
    char path[64];
    int status = one_db(&c,
                        &(struct verb){.command = "db show",
                                       .usage = "DB",
                                       .about = "Shows a database, by name or number.",
                                       .rest_min = 1,
                                       .rest_max = 1},
                        argc, argv, path);
    if (status >= 0)
        return status;
    json_t *db = ctl_call(&c, "GET", path, NULL);
    if (db != NULL && !ctl_shown(&c, db))
        show_members(db);
    json_decref(db);
    return db != NULL ? 0 : 1;
}

int ctl_db_update(int argc, char **argv)
{
    struct ctl c;
    char path[64];
    struct db_flags f = {.connections = UINT64_MAX, .keep = KEEP_NOTHING};
    const struct arg flags[] = {DB_FLAGS(&f, "")};
    int status = one_db(&c,
                        &(struct verb){.command = "db update",
                                       .usage = "DB [flags]",
                                       .about = "Changes a database's settings.",
                                       .flags = flags,
                                       .flags_n = sizeof flags / sizeof flags[0],
                                       .rest_min = 1,
                                       .rest_max = 1},
                        argc, argv, path);
    if (status >= 0)
        return status;
    json_t *body = db_body(&f);
    if (body == NULL)
        return 2;
    json_t *db = ctl_call(&c, "PUT", path, body);
    if (db != NULL && !ctl_shown(&c, db))
        printf("Database %s changed\n", str_of(db, "name"));
    json_decref(db);
    return db != NULL ? 0 : 1;
}

static int plain(const struct verb *v, int argc, char **argv, const char *method, const char *tail,
                 const char *done)
{
    struct ctl c;
    char path[64];
    int status = one_db(&c, v, argc, argv, path);
    if (status >= 0)
        return status;
    strcat(path, tail);
    json_t *answer = ctl_call(&c, method, path, NULL);
    if (answer != NULL && !ctl_shown(&c, answer))
        printf("Database %s %s\n", c.rest[0], done);
    json_decref(answer);
    return answer != NULL ? 0 : 1;
}

int ctl_db_delete(int argc, char **argv)
{
    return plain(&(struct verb){.command = "db delete",
                                .usage = "DB",
                                .about = "Drops a database and its data.",
                                .rest_min = 1,
                                .rest_max = 1},
                 argc, argv, "DELETE", "", "deleted");
}

int ctl_db_flush(int argc, char **argv)
{
    return plain(&(struct verb){.command = "db flush",
                                .usage = "DB",
                                .about = "Removes all keys of a database.",
                                .rest_min = 1,
                                .rest_max = 1},
                 argc, argv, "PUT", "/flush", "flushed");
}

int ctl_db_snapshot(int argc, char **argv)
{
    return plain(&(struct verb){.command = "db snapshot",
                                .usage = "DB",
                                .about = "Begins snapshots of a database's shards on disk, as "
                                         "BGSAVE; `ctl db show` tells how far they are.",
                                .rest_min = 1,
                                .rest_max = 1},
                 argc, argv, "POST", "/actions/snapshot", "takes snapshots");
}
