/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian ctl crdb ...` but status, which is in ctl_task.c. */
#include "cli/ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCE_HELP                                                                              \
    "\nAn INSTANCE is fqdn=NAME,url=https://HOST:9443,username=USER,password=TEXT\n"               \
    "  [,port=N][,replication_endpoint=HOST:PORT][,db_uid=N]\n"                                    \
    "where fqdn is the cluster's own name; without url it is https://FQDN:9443, without user "     \
    "and\n"                                                                                        \
    "password those of --user and --password. db_uid makes an existing database of the cluster\n"  \
    "that is asked (--url) the instance there."

/* "fqdn=a,url=b" as an instance's object; NULL: reported. */
static json_t *instance_parse(const struct ctl *c, const char *text)
{
    char copy[1024], url[300] = "", *save = NULL;
    const char *user = c->target.user, *password = c->target.password;
    json_t *o = json_object(), *cluster = json_object(), *config = json_object();
    snprintf(copy, sizeof copy, "%s", text);
    json_object_set_new(o, "cluster", cluster);
    for (char *part = strtok_r(copy, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save)) {
        char *value = strchr(part, '=');
        if (value != NULL)
            *value++ = 0;
        if (value == NULL) {
            fprintf(stderr, "--instance: '%s' is not name=value\n", part);
            goto bad;
        } else if (strcmp(part, "fqdn") == 0) {
            json_object_set_new(cluster, "name", json_string(value));
        } else if (strcmp(part, "url") == 0) {
            snprintf(url, sizeof url, "%s", value);
        } else if (strcmp(part, "username") == 0) {
            user = value;
        } else if (strcmp(part, "password") == 0) {
            password = value;
        } else if (strcmp(part, "replication_endpoint") == 0) {
            json_object_set_new(cluster, "replication_endpoint", json_string(value));
        } else if (strcmp(part, "port") == 0) {
            json_object_set_new(config, "port", json_integer(atoll(value)));
        } else if (strcmp(part, "db_uid") == 0) {
            json_object_set_new(o, "db_uid", json_integer(atoll(value)));
        } else {
            fprintf(stderr, "--instance: unknown '%s'\n", part);
            goto bad;
        }
    }
    if (str_of(cluster, "name")[0] == 0) {
        fprintf(stderr, "--instance: fqdn=NAME is missing in '%s'\n", text);
        goto bad;
    }
    if (!url[0])
        snprintf(url, sizeof url, "https://%.200s:9443", str_of(cluster, "name"));
    json_object_set_new(cluster, "url", json_string(url));
    json_object_set_new(cluster, "credentials",
                        json_pack("{s:s, s:s}", "username", user, "password", password));
    json_object_set_new(o, "db_config", config);
    return o;
bad:
    json_decref(o);
    json_decref(config);
    return NULL;
}

static json_t *instances_parse(const struct ctl *c, unsigned from)
{
    json_t *list = json_array();
    for (unsigned i = from; i < c->rest_n; i++) {
        json_t *one = instance_parse(c, c->rest[i]);
        if (one == NULL) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, one);
    }
    return list;
}

/* crdb-cli's "--instance TEXT", which may come often, becomes a plain argument. Returns the new
 * argc. */
static int drop_instance_flags(int argc, char **argv)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--instance") == 0)
            continue;
        argv[n++] = strncmp(argv[i], "--instance=", 11) == 0 ? argv[i] + 11 : argv[i];
    }
    return n;
}

struct crdb_flags {
    const char *name, *memory, *password, *config, *backlog;
    uint64_t port, shards, compression;
    bool encryption, no_wait, dry_run;
    struct keep_flags keep;
};

/* default_db_config from its flags; NULL: reported. */
static json_t *config_body(const struct crdb_flags *f)
{
    json_error_t at;
    json_int_t bytes;
    json_t *o = f->config != NULL ? json_loads(f->config, 0, &at) : json_object();
    if (o == NULL) {
        fprintf(stderr, "--default-db-config: column %d: %s\n", at.column, at.text);
        return NULL;
    }
    if (f->memory != NULL && !size_parse(f->memory, &bytes)) {
        fprintf(stderr, "--memory-size: a size like 100mb is expected, not '%s'\n", f->memory);
        json_decref(o);
        return NULL;
    }
    if (f->memory != NULL)
        json_object_set_new(o, "memory_size", json_integer(bytes));
    if (f->backlog != NULL && !size_parse(f->backlog, &bytes)) {
        fprintf(stderr, "--backlog: a size like 64mb is expected, not '%s'\n", f->backlog);
        json_decref(o);
        return NULL;
    }
    if (f->backlog != NULL)
        json_object_set_new(o, "crdt_repl_backlog_size", json_integer(bytes));
    if (f->password != NULL)
        json_object_set_new(o, "authentication_redis_pass", json_string(f->password));
    if (f->port != 0)
        json_object_set_new(o, "port", json_integer((json_int_t)f->port));
    if (f->shards != 0)
        json_object_set_new(o, "shards_count", json_integer((json_int_t)f->shards));
    if (!keep_body(&f->keep, o)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

int ctl_crdb_create(int argc, char **argv)
{
    struct ctl c;
    struct crdb_flags f = {.compression = UINT64_MAX, .keep = KEEP_NOTHING};
    const struct arg flags[] = {
        {"name", "NAME", "letters, digits, hyphens (required)", ARG_TEXT, &f.name, 0, 63},
        {"memory-size", "SIZE", "limit in each region, as 100mb (required)", ARG_TEXT, &f.memory, 0,
         0},
        {"port", "PORT", "in each region; default: the first free one", ARG_UINT, &f.port, 1,
         65535},
        {"shards-count", "N", "in each region; default: 1", ARG_UINT, &f.shards, 1, 64},
        {"db-password", "TEXT", "what Redis clients must AUTH with", ARG_TEXT, &f.password, 0, 199},
        KEEP_FLAGS(&f.keep),
        {"default-db-config", "JSON", "further settings for each region", ARG_TEXT, &f.config, 0,
         0},
        {"compression", "LEVEL", "of what is sent between regions, 0 to 6", ARG_UINT,
         &f.compression, 0, 6},
        {"encryption", NULL, "TLS between the regions", ARG_FLAG, &f.encryption, 0, 0},
        {"dry-run", NULL, "only check", ARG_FLAG, &f.dry_run, 0, 0},
        {"no-wait", NULL, "do not wait for the task's end", ARG_FLAG, &f.no_wait, 0, 0},
    };
    argc = drop_instance_flags(argc, argv);
    int status = ctl_begin(
        &c,
        &(struct verb){
            .command = "crdb create",
            .usage = "--name NAME --memory-size SIZE --instance INSTANCE...",
            .about = "Makes a geo-distributed database, one instance a cluster." INSTANCE_HELP,
            .flags = flags,
            .flags_n = sizeof flags / sizeof flags[0],
            .rest_min = 1,
            .rest_max = 63},
        argc, argv);
    if (status >= 0)
        return status;
    if (f.name == NULL || f.memory == NULL) {
        fputs("--name and --memory-size are needed\n", stderr);
        return 2;
    }
    json_t *config = config_body(&f), *list = instances_parse(&c, 0);
    if (config == NULL || list == NULL) {
        json_decref(config);
        json_decref(list);
        return 2;
    }
    json_t *body = json_pack("{s:s, s:b, s:o, s:o}", "name", f.name, "encryption", f.encryption,
                             "default_db_config", config, "instances", list);
    if (f.compression != UINT64_MAX)
        json_object_set_new(body, "compression", json_integer((json_int_t)f.compression));
    json_t *task = ctl_call(&c, "POST", f.dry_run ? "/v1/crdbs?dry_run=true" : "/v1/crdbs", body);
    return task_follow(&c, task, !f.no_wait);
}

/* ------------------------------------------------------------ showing */

int ctl_crdb_list(int argc, char **argv)
{
    struct ctl c;
    int status = ctl_begin(&c,
                           &(struct verb){.command = "crdb list",
                                          .usage = "[flags]",
                                          .about = "Lists geo-distributed databases, a line for "
                                                   "each instance."},
                           argc, argv);
    if (status >= 0)
        return status;
    json_t *list = ctl_call(&c, "GET", "/v1/crdbs", NULL);
    if (list == NULL)
        return 1;
    if (!ctl_shown(&c, list)) {
        static const char *const head[] = {"CRDB-GUID", "NAME", "REPL-ID", "CLUSTER-FQDN",
                                           "ENDPOINT"};
        struct text_table t = {0};
        text_table_row(&t, head, 5);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *r = json_array_get(list, i), *in = json_object_get(r, "instances");
            for (size_t k = 0; k < json_array_size(in); k++) {
                const json_t *one = json_array_get(in, k), *e = json_object_get(one, "endpoint");
                char id[24], endpoint[300];
                snprintf(id, sizeof id, "%lld", (long long)int_of(one, "id"));
                snprintf(endpoint, sizeof endpoint, "%s:%lld", str_of(e, "host"),
                         (long long)int_of(e, "port"));
                const char *row[] = {str_of(r, "guid"), str_of(r, "name"), id,
                                     str_of(json_object_get(one, "cluster"), "name"), endpoint};
                text_table_row(&t, row, 5);
            }
        }
        text_table_print(&t);
    }
    json_decref(list);
    return 0;
}

json_t *crdb_resolve(const struct ctl *c, const char *name)
{
    json_t *found = NULL, *list = ctl_call(c, "GET", "/v1/crdbs", NULL);
    if (list == NULL)
        return NULL;
    if (strncmp(name, "crdb:", 5) == 0)
        name += 5;
    for (size_t i = 0; i < json_array_size(list) && found == NULL; i++) {
        json_t *r = json_array_get(list, i);
        if (strcmp(name, str_of(r, "guid")) == 0 || strcmp(name, str_of(r, "name")) == 0)
            found = json_incref(r);
    }
    json_decref(list);
    if (found == NULL)
        ctl_error("this cluster has no geo-distributed database '%s': see meridian ctl crdb list",
                  name);
    return found;
}

/* The verbs about one: CRDB is its name or guid. The object goes to *out unless that is NULL. */
static int one_crdb(struct ctl *c, const struct verb *v, int argc, char **argv, char path[128],
                    json_t **out)
{
    int status = ctl_begin(c, v, argc, argv);
    if (status >= 0)
        return status;
    json_t *r = crdb_resolve(c, c->rest[0]);
    if (r == NULL)
        return 1;
    snprintf(path, 128, "/v1/crdbs/%s", str_of(r, "guid"));
    if (out != NULL)
        *out = r;
    else
        json_decref(r);
    return -1;
}

static const char *or_none(const char *s) { return s[0] ? s : "<Default>"; }

static void show_config(const json_t *config, const char *indent)
{
    union {
        const json_t *in;
        json_t *out;
    } o = {.in = config};
    for (void *it = json_object_iter(o.out); it != NULL; it = json_object_iter_next(o.out, it)) {
        char *text = json_dumps(json_object_iter_value(it), JSON_COMPACT | JSON_ENCODE_ANY);
        printf("%s%s: %s\n", indent, json_object_iter_key(it), text);
        free(text);
    }
}

int ctl_crdb_show(int argc, char **argv)
{
    struct ctl c;
    char path[128];
    json_t *r;
    int status = one_crdb(&c,
                          &(struct verb){.command = "crdb show",
                                         .usage = "CRDB",
                                         .about = "Shows a geo-distributed database, by name or "
                                                  "guid.",
                                         .rest_min = 1,
                                         .rest_max = 1},
                          argc, argv, path, &r);
    if (status >= 0)
        return status;
    if (!ctl_shown(&c, r)) {
        printf("CRDB-GUID: %s\nName: %s\nEncryption: %s\nCausal consistency: true\n"
               "Protocol version: %lld\nConfig version: %lld\nDefault-DB-Config:\n",
               str_of(r, "guid"), str_of(r, "name"),
               json_is_true(json_object_get(r, "encryption")) ? "true" : "false",
               (long long)int_of(r, "protocol_version"), (long long)int_of(r, "config_version"));
        show_config(json_object_get(r, "default_db_config"), "  ");
        const json_t *list = json_object_get(r, "instances");
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *in = json_array_get(list, i), *cl = json_object_get(in, "cluster");
            const json_t *e = json_object_get(in, "endpoint");
            printf("Instance:\n  Id: %lld\n  Cluster:\n    FQDN: %s\n    URL: %s\n"
                   "    Replication-Endpoint: %s\n  Endpoint: %s:%lld\n  Compression: %lld\n"
                   "  DB-Config:\n",
                   (long long)int_of(in, "id"), str_of(cl, "name"), str_of(cl, "url"),
                   or_none(str_of(cl, "replication_endpoint")), str_of(e, "host"),
                   (long long)int_of(e, "port"), (long long)int_of(in, "compression"));
            show_config(json_object_get(in, "db_config"), "    ");
        }
    }
    json_decref(r);
    return 0;
}

/* ------------------------------------------------------------ changing */

int ctl_crdb_add(int argc, char **argv)
{
    struct ctl c;
    char path[128];
    bool no_wait = false;
    const struct arg flags[] = {
        {"no-wait", NULL, "do not wait for the task's end", ARG_FLAG, &no_wait, 0, 0}};
    argc = drop_instance_flags(argc, argv);
    int status = one_crdb(&c,
                          &(struct verb){.command = "crdb add",
                                         .usage = "CRDB INSTANCE...",
                                         .about = "Adds regions to a geo-distributed database; "
                                                  "they fetch its data." INSTANCE_HELP,
                                         .flags = flags,
                                         .flags_n = 1,
                                         .rest_min = 2,
                                         .rest_max = 63},
                          argc, argv, path, NULL);
    if (status >= 0)
        return status;
    json_t *list = instances_parse(&c, 1);
    if (list == NULL)
        return 2;
    strcat(path, "/updates");
    return task_follow(&c, ctl_call(&c, "POST", path, json_pack("{s:o}", "add_instances", list)),
                       !no_wait);
}

int ctl_crdb_remove(int argc, char **argv)
{
    struct ctl c;
    char path[128];
    bool no_wait = false, force = false;
    const struct arg flags[] = {
        {"force", NULL, "do not speak to the removed region: it is lost", ARG_FLAG, &force, 0, 0},
        {"no-wait", NULL, "do not wait for the task's end", ARG_FLAG, &no_wait, 0, 0}};
    int status = one_crdb(&c,
                          &(struct verb){.command = "crdb remove",
                                         .usage = "CRDB REPL-ID... [--force]",
                                         .about = "Removes regions. They first send what they "
                                                  "have, then drop their instance.\nA region "
                                                  "removed by force keeps its instance until "
                                                  "`ctl crdb purge` is run there.",
                                         .flags = flags,
                                         .flags_n = 2,
                                         .rest_min = 2,
                                         .rest_max = 63},
                          argc, argv, path, NULL);
    if (status >= 0)
        return status;
    json_t *list = json_array();
    for (unsigned i = 1; i < c.rest_n; i++)
        json_array_append_new(list, json_integer(atoll(c.rest[i])));
    strcat(path, "/updates");
    return task_follow(
        &c,
        ctl_call(&c, "POST", path,
                 json_pack("{s:o, s:b}", "remove_instances", list, "force_remove", force)),
        !no_wait);
}

int ctl_crdb_update(int argc, char **argv)
{
    struct ctl c;
    char path[128];
    struct crdb_flags f = {.keep = KEEP_NOTHING};
    const struct arg flags[] = {
        {"memory-size", "SIZE", "limit in each region, as 100mb", ARG_TEXT, &f.memory, 0, 0},
        {"db-password", "TEXT", "what Redis clients must AUTH with", ARG_TEXT, &f.password, 0, 199},
        {"backlog", "SIZE", "log kept for other regions; 0 auto", ARG_TEXT, &f.backlog, 0, 0},
        KEEP_FLAGS(&f.keep),
        {"default-db-config", "JSON", "further settings for each region", ARG_TEXT, &f.config, 0,
         0},
        {"no-wait", NULL, "do not wait for the task's end", ARG_FLAG, &f.no_wait, 0, 0},
    };
    int status = one_crdb(&c,
                          &(struct verb){.command = "crdb update",
                                         .usage = "CRDB [flags]",
                                         .about = "Changes settings in all regions.",
                                         .flags = flags,
                                         .flags_n = sizeof flags / sizeof flags[0],
                                         .rest_min = 1,
                                         .rest_max = 1},
                          argc, argv, path, NULL);
    if (status >= 0)
        return status;
    json_t *config = config_body(&f);
    if (config == NULL)
        return 2;
    return task_follow(&c,
                       ctl_call(&c, "PATCH", path, json_pack("{s:o}", "default_db_config", config)),
                       !f.no_wait);
}

static int simple(const struct verb *v, int argc, char **argv, const char *method, const char *tail)
{
    struct ctl c;
    char path[128];
    int status = one_crdb(&c, v, argc, argv, path, NULL);
    if (status >= 0)
        return status;
    strcat(path, tail);
    return task_follow(&c, ctl_call(&c, method, path, NULL), true);
}

int ctl_crdb_delete(int argc, char **argv)
{
    return simple(&(struct verb){.command = "crdb delete",
                                 .usage = "CRDB",
                                 .about = "Drops the database in all regions.",
                                 .rest_min = 1,
                                 .rest_max = 1},
                  argc, argv, "DELETE", "");
}

int ctl_crdb_flush(int argc, char **argv)
{
    return simple(&(struct verb){.command = "crdb flush",
                                 .usage = "CRDB",
                                 .about = "Removes all keys, in all regions.",
                                 .rest_min = 1,
                                 .rest_max = 1},
                  argc, argv, "PUT", "/flush");
}

int ctl_crdb_purge(int argc, char **argv)
{
    struct ctl c;
    char path[128];
    json_t *r;
    int status = one_crdb(&c,
                          &(struct verb){.command = "crdb purge",
                                         .usage = "CRDB",
                                         .about = "Drops the instance of this cluster (--url), "
                                                  "which the others have removed by force.",
                                         .rest_min = 1,
                                         .rest_max = 1},
                          argc, argv, path, &r);
    if (status >= 0)
        return status;
    const json_t *local = json_array_get(json_object_get(r, "local_databases"), 0);
    json_t *body = json_pack("{s:[I]}", "instances", int_of(local, "id"));
    json_decref(r);
    strcat(path, "/purge");
    return task_follow(&c, ctl_call(&c, "PUT", path, body), true);
}

static int hold(const char *verb, const char *about, bool paused, int argc, char **argv)
{
    struct ctl c;
    char path[128], command[32];
    snprintf(command, sizeof command, "crdb %s", verb);
    int status = one_crdb(&c,
                          &(struct verb){.command = command,
                                         .usage = "CRDB REPL-ID",
                                         .about = about,
                                         .rest_min = 2,
                                         .rest_max = 2},
                          argc, argv, path, NULL);
    if (status >= 0)
        return status;
    strcat(path, "/links");
    json_t *answer = ctl_call(
        &c, "PUT", path,
        json_pack("{s:I, s:b}", "instance_id", (json_int_t)atoll(c.rest[1]), "paused", paused));
    if (answer != NULL && !ctl_shown(&c, answer))
        printf("Link from region %s %s\n", c.rest[1], paused ? "paused" : "resumed");
    json_decref(answer);
    return answer != NULL ? 0 : 1;
}

int ctl_crdb_pause(int argc, char **argv)
{
    return hold("pause", "Holds what comes from a region to this cluster (--url).", true, argc,
                argv);
}

int ctl_crdb_resume(int argc, char **argv)
{
    return hold("resume", "Lets what a region has come to this cluster (--url) again.", false, argc,
                argv);
}
