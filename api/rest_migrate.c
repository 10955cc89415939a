/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* Import and export of a database's keys; the fields of REST that show how far they are. */
#include "api/rest.h"
#include "manager/migration.h"

#include <stdio.h>

/* ------------------------------------------------------------ what is asked for */

/* {"type": "mount_point", "path": "/absolute"}: the only kind of place there is. */
static const char *place_path(const json_t *place, const char *what, struct refusal *why)
{
    const char *type = json_string_value(json_object_get(place, "type"));
    const char *path = json_string_value(json_object_get(place, "path"));
    if (type == NULL || strcmp(type, "mount_point") != 0)
        refuse(why, 406, "not_supported",
               "%s: only {\"type\": \"mount_point\", \"path\": ...}, a path of this node, is "
               "supported: copy the file there",
               what);
    else if (path == NULL || path[0] != '/')
        refuse(why, 400, "invalid_schema", "%s: path: an absolute path is expected", what);
    else if (strlen(path) > 3500)
        refuse(why, 400, "invalid_schema", "%s: path: is too long", what);
    return why->status == 0 ? path : NULL;
}

static void answer_started(struct call *c, enum migration_kind kind)
{
    const struct migration *g = migration_find(manager_migrations(c->m), c->uid, kind);
    call_json(c, 200, json_pack("{s:s}", "action_uid", g->action_uid));
}

static bool import_spec(const json_t *body, struct migration_spec *spec, const char **paths,
                        struct refusal *why)
{
    const json_t *list = json_object_get(body, "dataset_import_sources");
    const json_t *db = json_object_get(body, "from_db");
    const json_t *drop = json_object_get(body, "drop_field_ttl");
    size_t n = json_array_size(list);
    if (n == 0 || n > MIGRATION_PATHS_MAX)
        return refuse(why, 400, "invalid_schema",
                      "dataset_import_sources: a list of 1 to %u places is expected",
                      MIGRATION_PATHS_MAX);
    if (db != NULL && (!json_is_integer(db) || json_integer_value(db) < 0))
        return refuse(why, 400, "invalid_schema", "from_db: a database's number is expected");
    if (drop != NULL && !json_is_boolean(drop))
        return refuse(why, 400, "invalid_schema", "drop_field_ttl: true or false is expected");
    for (size_t i = 0; i < n; i++)
        if ((paths[i] = place_path(json_array_get(list, i), "dataset_import_sources", why)) == NULL)
            return false;
    *spec = (struct migration_spec){.kind = MIGRATION_IMPORT,
                                    .paths = paths,
                                    .count = (uint32_t)n,
                                    .drop_field_ttl = json_is_true(drop),
                                    .from_db = db != NULL ? json_integer_value(db) : -1};
    return true;
}

void rest_bdb_import(struct call *c)
{
    const char *paths[MIGRATION_PATHS_MAX];
    struct migration_spec spec;
    struct refusal why = {0};
    if (call_bdb(c, 0) == NULL || !call_needs_body(c))
        return;
    if (!import_spec(c->body, &spec, paths, &why) ||
        !migration_start(manager_migrations(c->m), c->uid, &spec, &why))
        call_refuse(c, &why);
    else
        answer_started(c, MIGRATION_IMPORT);
}

/* A path that ends in .rdb is the file, any other the folder for one named after the database and
 * the time. */
static bool export_path(const struct call *c, const struct bdb *b, const char *path, char *out,
                        size_t size, struct refusal *why)
{
    size_t n = strlen(path);
    char when[32];
    if (n > 4 && strcmp(path + n - 4, ".rdb") == 0) {
        snprintf(out, size, "%s", path);
        return true;
    }
    if (n > 3 && strcmp(path + n - 3, ".gz") == 0)
        return refuse(why, 406, "not_supported",
                      "export_location: path: compressed files are not written: let it end in "
                      ".rdb, or give a folder");
    time_text(manager_now(c->m).wall_ms / 1000, when);
    for (char *p = when; (p = strchr(p, ':')) != NULL;) /* not in names of files */
        *p = '.';
    snprintf(out, size, "%s%s%s-%u-%s.rdb", path, path[n - 1] == '/' ? "" : "/", b->name, b->uid,
             when);
    return true;
}

void rest_bdb_export(struct call *c)
{
    const struct bdb *b = call_bdb(c, 0);
    struct refusal why = {0};
    char file[4096];
    const char *paths[1] = {file}, *path;
    struct migration_spec spec = {
        .kind = MIGRATION_EXPORT, .paths = paths, .count = 1, .from_db = -1};
    if (b == NULL || !call_needs_body(c))
        return;
    path = place_path(json_object_get(c->body, "export_location"), "export_location", &why);
    if (path == NULL || !export_path(c, b, path, file, sizeof file, &why) ||
        !migration_start(manager_migrations(c->m), c->uid, &spec, &why))
        call_refuse(c, &why);
    else
        answer_started(c, MIGRATION_EXPORT);
}

/* Forgets how the last one ended. */
static void reset(struct call *c, enum migration_kind kind)
{
    if (call_bdb(c, 0) == NULL)
        return;
    const struct migration *g = migration_find(manager_migrations(c->m), c->uid, kind);
    if (g != NULL && !migration_is_over(g)) {
        call_fail(c, 409, "busy", "it is running: stop it first, or wait");
        return;
    }
    migration_forget(manager_migrations(c->m), c->uid, kind);
    call_empty(c);
}

void rest_import_reset(struct call *c) { reset(c, MIGRATION_IMPORT); }
void rest_export_reset(struct call *c) { reset(c, MIGRATION_EXPORT); }

static void stop(struct call *c, enum migration_kind kind)
{
    if (call_bdb(c, 0) == NULL)
        return;
    migration_stop(manager_migrations(c->m), c->uid, kind);
    call_empty(c);
}

void rest_import_stop(struct call *c) { stop(c, MIGRATION_IMPORT); }
void rest_export_stop(struct call *c) { stop(c, MIGRATION_EXPORT); }

/* ------------------------------------------------------------ how far they are */

static const char *import_status(const struct migration *g)
{
    switch (g->state) {
    case MIGRATION_WAITING:
        return "initializing";
    case MIGRATION_RUNNING:
    case MIGRATION_READING:
        break;
    case MIGRATION_SUCCEEDED:
        return "succeeded";
    case MIGRATION_FAILED:
        return "failed";
    }
    return g->kind == MIGRATION_IMPORT ? "importing" : "exporting";
}

static void put(json_t *o, const char *what, const char *name, json_t *taken)
{
    char key[64];
    snprintf(key, sizeof key, "%s_%s", what, name);
    json_object_set_new(o, key, taken);
}

void rest_put_migrations(const struct call *c, uint32_t uid, json_t *o)
{
    static const char *const names[] = {"import", "export"};
    for (unsigned kind = MIGRATION_IMPORT; kind <= MIGRATION_EXPORT; kind++) {
        const struct migration *g =
            migration_find(manager_migrations(c->m), uid, (enum migration_kind)kind);
        put(o, names[kind], "status", json_string(g != NULL ? import_status(g) : "idle"));
        if (g == NULL)
            continue;
        put(o, names[kind], "progress", json_integer(migration_progress(g)));
        put(o, names[kind], "failure_reason", json_string(g->error));
        if (g->report != NULL)
            put(o, names[kind], "report", json_incref(g->report));
    }
}

static json_t *action_json(const struct migration *g)
{
    static const char *const states[] = {"queued", "running", "running", "completed", "failed"};
    char begun[32], object[32];
    time_text(g->begun_s, begun);
    snprintf(object, sizeof object, "bdb:%u", g->uid);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "action_uid", g->action_uid, "action_type",
                  "task", "name", g->kind == MIGRATION_IMPORT ? "import_bdb" : "export_bdb",
                  "status", states[g->state], "progress", migration_progress(g), "creation_time",
                  begun, "object_name", object);
    json_t *info =
        json_pack("{s:s, s:i, s:s, s:i, s:i}", "object_type", "bdb", "object_uid", (int)g->uid,
                  "error", g->error, "file", (int)g->at + 1, "files", (int)g->count);
    if (g->report != NULL)
        json_object_set(info, "report", g->report);
    json_object_set_new(o, "additional_info", info);
    return o;
}

void rest_actions(struct call *c)
{
    json_t *list = json_array();
    for (const struct migration *g = migration_first(manager_migrations(c->m)); g; g = g->next)
        json_array_append_new(list, action_json(g));
    call_json(c, 200, list);
}

void rest_action(struct call *c)
{
    for (const struct migration *g = migration_first(manager_migrations(c->m)); g; g = g->next)
        if (strcmp(g->action_uid, c->match.params[0]) == 0) {
            call_json(c, 200, action_json(g));
            return;
        }
    call_fail(c, 404, "action_not_found", "no action %s", c->match.params[0]);
}
