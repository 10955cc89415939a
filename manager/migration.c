/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/migration.h"

#include "base/mem.h"
#include "manager/manager.h"

#include <signal.h>
#include <stdio.h>

#define STATUS_MAX (1u << 20)
#define ARGS_MAX 20u
#define STOPPED_TEXT "stopped: what was written stays"

struct migrations {
    struct manager *m;
    struct migration *first;
    uint32_t next_tag;
};

struct migrations *migrations_new(struct manager *m)
{
    struct migrations *l = mem_zalloc(sizeof *l);
    l->m = m;
    l->next_tag = MIGRATION_TAG_FIRST;
    return l;
}

static void migration_free(struct migration *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        mem_free(g->paths[i]);
    mem_free(g->status_path);
    mem_free(g->password_path);
    json_decref(g->report);
    mem_free(g);
}

void migrations_free(struct migrations *l)
{
    for (struct migration *g = l->first, *next; g != NULL; g = next) {
        next = g->next;
        migration_free(g);
    }
    mem_free(l);
}

static struct migration *find(const struct migrations *l, uint32_t uid, enum migration_kind kind)
{
    struct migration *g = l->first;
    while (g != NULL && (g->uid != uid || g->kind != kind))
        g = g->next;
    return g;
}

const struct migration *migration_find(const struct migrations *l, uint32_t uid,
                                       enum migration_kind kind)
{
    return find(l, uid, kind);
}

const struct migration *migration_first(const struct migrations *l) { return l->first; }

bool migration_is_over(const struct migration *g) { return g->state >= MIGRATION_SUCCEEDED; }

int migration_progress(const struct migration *g)
{
    const json_t *p = g->report != NULL ? json_object_get(g->report, "progress") : NULL;
    int part = json_is_integer(p) ? (int)json_integer_value(p) : 0;
    if (g->state == MIGRATION_SUCCEEDED)
        return 100;
    return (int)((100 * g->at + (uint32_t)part) / g->count);
}

/* ------------------------------------------------------------ files */

static char *path_of(const struct migrations *l, const struct migration *g, const char *end)
{
    char text[4200];
    snprintf(text, sizeof text, "%s/%s-%u.%s", manager_options(l->m)->data_dir,
             g->kind == MIGRATION_IMPORT ? "import" : "export", g->uid, end);
    return mem_strdup(text);
}

static void ask_file(struct migrations *l, struct migration *g, enum file_op op, const char *path,
                     const char *text)
{
    struct port *port = manager_port(l->m);
    struct file_req *r = file_req_new(op, path);
    r->owner = l;
    r->tag = g->tag;
    r->size_max = STATUS_MAX;
    r->mode = 0600;
    if (text != NULL)
        buf_put_str(&r->data, text);
    port->ops->file(port, r);
}

static void read_status(struct migrations *l, struct migration *g)
{
    if (g->reading)
        return;
    g->reading = true;
    ask_file(l, g, FILE_READ, g->status_path, NULL);
}

/* ------------------------------------------------------------ ends */

static void end(struct migrations *l, struct migration *g, const char *error)
{
    g->state = error == NULL ? MIGRATION_SUCCEEDED : MIGRATION_FAILED;
    g->ended_s = manager_now(l->m).wall_ms / 1000;
    snprintf(g->error, sizeof g->error, "%s", error != NULL ? error : "");
    text_plain(g->error);
    ask_file(l, g, FILE_REMOVE, g->password_path, NULL);
    ask_file(l, g, FILE_REMOVE, g->status_path, NULL);
    port_log(manager_port(l->m), error == NULL ? 'I' : 'W', "database %u: %s %s%s%s", g->uid,
             g->kind == MIGRATION_IMPORT ? "import" : "export",
             error == NULL ? "has succeeded" : "has failed", error == NULL ? "" : ": ", g->error);
}

/* ------------------------------------------------------------ the child */

static const char *db_host(const struct manager_opts *o)
{
    return strcmp(o->db_host, "0.0.0.0") == 0 ? "127.0.0.1"
           : strcmp(o->db_host, "::") == 0    ? "[::1]"
                                              : o->db_host;
}

static void spawn(struct migrations *l, struct migration *g)
{
    const struct bdb *b = cluster_bdb(manager_cluster(l->m), g->uid);
    const struct manager_opts *o = manager_options(l->m);
    struct port *port = manager_port(l->m);
    bool import = g->kind == MIGRATION_IMPORT;
    const char *argv[ARGS_MAX];
    char address[300];
    unsigned n = 0;
    if (b == NULL) {
        end(l, g, "the database has been deleted");
        return;
    }
    if (g->stopped) { /* before the first file, or between two */
        end(l, g, STOPPED_TEXT);
        return;
    }
    snprintf(address, sizeof address, "%s:%u", db_host(o), b->config.port);
    argv[n++] = o->plane_argv[0];
    argv[n++] = import ? "import" : "export";
    argv[n++] = g->paths[g->at];
    argv[n++] = import ? "--to" : "--from";
    argv[n++] = address;
    argv[n++] = "--status-file";
    argv[n++] = g->status_path;
    argv[n++] = "--quiet";
    if (b->config.authentication_redis_pass[0]) {
        argv[n++] = "--password-file";
        argv[n++] = g->password_path;
    }
    if (strcmp(b->config.tls_mode, "enabled") == 0) {
        argv[n++] = "--tls";
        argv[n++] = "--insecure"; /* this node's own listener */
    }
    if (import && g->drop_field_ttl)
        argv[n++] = "--drop-field-ttl";
    if (import && g->from_db[0]) {
        argv[n++] = "--from-db";
        argv[n++] = g->from_db;
    }
    argv[n] = NULL;
    g->pid = port->ops->spawn(port, argv, g->tag);
    g->state = MIGRATION_RUNNING;
    if (g->pid <= 0)
        end(l, g, "its process could not be started: see the node's log");
}

/* What the child says went wrong; what it refused counts as well. */
static bool went_wrong(const struct migration *g, char *text, size_t size)
{
    const json_t *error = json_object_get(g->report, "error");
    const json_t *failed = json_object_get(g->report, "failed");
    const json_t *first = json_array_get(json_object_get(g->report, "errors"), 0);
    if (g->exit_status == 0)
        return false;
    if (g->stopped)
        snprintf(text, size, STOPPED_TEXT);
    else if (json_is_string(error))
        snprintf(text, size, "%s", json_string_value(error));
    else if (json_integer_value(failed) > 0 && first != NULL)
        snprintf(text, size, "%lld keys were refused; the first, %s: %s",
                 (long long)json_integer_value(failed),
                 json_string_value(json_object_get(first, "key")),
                 json_string_value(json_object_get(first, "error")));
    else if (json_integer_value(failed) > 0)
        snprintf(text, size, "%lld keys were refused", (long long)json_integer_value(failed));
    else
        snprintf(text, size, "its process ended with status %d: see the node's log",
                 g->exit_status);
    return true;
}

/* The child has ended and its last words are read. */
static void conclude(struct migrations *l, struct migration *g)
{
    char text[512];
    if (went_wrong(g, text, sizeof text)) {
        end(l, g, text);
        return;
    }
    g->keys += (uint64_t)json_integer_value(json_object_get(g->report, "keys"));
    if (g->at + 1 == g->count) {
        end(l, g, NULL);
        return;
    }
    g->at++;
    json_decref(g->report);
    g->report = NULL;
    g->ended = false;
    spawn(l, g);
}

void migrations_child(struct migrations *l, uint32_t tag, int status)
{
    for (struct migration *g = l->first; g != NULL; g = g->next)
        if (g->tag == tag && g->state == MIGRATION_RUNNING) {
            g->ended = true;
            g->exit_status = status;
            g->pid = 0;
            g->state = MIGRATION_READING;
            read_status(l, g);
        }
}

static void got_status(struct migrations *l, struct migration *g, struct file_req *r)
{
    struct bytes text = buf_bytes(&r->data);
    json_t *o = r->err == ERR_OK ? json_loadb((const char *)text.p, text.n, 0, NULL) : NULL;
    g->reading = false;
    if (migration_is_over(g)) {
        json_decref(o);
        return;
    }
    if (json_is_object(o)) {
        json_decref(g->report);
        g->report = o;
    } else {
        json_decref(o);
    }
    if (g->state != MIGRATION_READING)
        return;
    if (g->ended) { /* this one may have been asked for before the child's last words */
        g->ended = false;
        read_status(l, g);
    } else {
        conclude(l, g);
    }
}

void migrations_file(struct migrations *l, struct file_req *r)
{
    struct migration *g = l->first;
    while (g != NULL && g->tag != r->tag)
        g = g->next;
    if (g == NULL || r->op == FILE_REMOVE)
        return;
    if (r->op == FILE_READ)
        got_status(l, g, r);
    else if (g->state == MIGRATION_WAITING && r->err != ERR_OK)
        end(l, g, err_text(r->err));
    else if (g->state == MIGRATION_WAITING)
        spawn(l, g);
}

/* ------------------------------------------------------------ asked for */

static void unlink_one(struct migrations *l, struct migration *g)
{
    for (struct migration **at = &l->first; *at != NULL; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            return;
        }
}

bool migration_start(struct migrations *l, uint32_t uid, const struct migration_spec *spec,
                     struct refusal *why)
{
    const struct bdb *b = cluster_bdb(manager_cluster(l->m), uid);
    struct migration *old = find(l, uid, spec->kind), *g;
    const char *name = spec->kind == MIGRATION_IMPORT ? "import" : "export";
    if (b == NULL || b->status != BDB_ACTIVE)
        return refuse(why, 409, "db_not_active", "database %u is not active", uid);
    if (old != NULL && !migration_is_over(old))
        return refuse(why, 409, "busy", "an %s of database %u is running: wait for it, or stop it",
                      name, uid);
    if (manager_options(l->m)->plane_argv == NULL)
        return refuse(why, 503, "no_program", "this node does not start processes");
    if (old != NULL) {
        unlink_one(l, old);
        migration_free(old);
    }
    g = mem_zalloc(sizeof *g);
    g->uid = uid;
    g->kind = spec->kind;
    g->begun_s = manager_now(l->m).wall_ms / 1000;
    g->count = spec->count;
    for (uint32_t i = 0; i < spec->count; i++)
        g->paths[i] = mem_strdup(spec->paths[i]);
    g->status_path = path_of(l, g, "json");
    g->password_path = path_of(l, g, "password");
    g->drop_field_ttl = spec->drop_field_ttl;
    if (spec->from_db >= 0)
        snprintf(g->from_db, sizeof g->from_db, "%lld", (long long)spec->from_db);
    g->tag = l->next_tag++;
    manager_uuid(l->m, g->action_uid);
    g->next = l->first;
    l->first = g;
    ask_file(l, g, FILE_REMOVE, g->status_path, NULL); /* of a manager that was killed */
    ask_file(l, g, FILE_WRITE, g->password_path, b->config.authentication_redis_pass);
    port_log(manager_port(l->m), 'I', "database %u: %s %s", uid, name, g->paths[0]);
    return true;
}

static void kill_child(struct migrations *l, struct migration *g)
{
    struct port *port = manager_port(l->m);
    g->stopped = true; /* no further child is started */
    if (g->state == MIGRATION_RUNNING && g->pid > 0)
        port->ops->kill(port, g->pid, SIGTERM);
}

void migration_stop(struct migrations *l, uint32_t uid, enum migration_kind kind)
{
    struct migration *g = find(l, uid, kind);
    if (g != NULL && !migration_is_over(g))
        kill_child(l, g);
}

void migration_forget(struct migrations *l, uint32_t uid, enum migration_kind kind)
{
    struct migration *g = find(l, uid, kind);
    if (g == NULL || !migration_is_over(g))
        return;
    unlink_one(l, g);
    migration_free(g);
}

void migrations_tick(struct migrations *l)
{
    for (struct migration *g = l->first; g != NULL; g = g->next)
        if (g->state == MIGRATION_RUNNING)
            read_status(l, g);
}

void migrations_stop(struct migrations *l)
{
    for (struct migration *g = l->first; g != NULL; g = g->next)
        kill_child(l, g);
}
