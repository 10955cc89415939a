/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const struct route rest_routes[] = {
    {METHOD_GET, "/v1/bootstrap", rest_bootstrap_get, ROUTE_BOOTSTRAP},
    {METHOD_POST, "/v1/bootstrap/create_cluster", rest_bootstrap_create, ROUTE_BOOTSTRAP},
    {METHOD_GET, "/v1/cluster", rest_cluster_get, 0},
    {METHOD_PUT, "/v1/cluster", rest_cluster_put, 0},
    {METHOD_GET, "/v1/nodes", rest_nodes, 0},
    {METHOD_GET, "/v1/nodes/alerts", rest_nodes_alerts, 0},
    {METHOD_GET, "/v1/nodes/{uid}", rest_node, 0},
    {METHOD_GET, "/metrics", rest_metrics, 0},
    {METHOD_GET, "/v1/users", rest_users, 0},
    {METHOD_PUT, "/v1/users/password", rest_password, 0},
    {METHOD_GET, "/v1/bdbs", rest_bdbs, 0},
    {METHOD_POST, "/v1/bdbs", rest_bdb_create, 0},
    {METHOD_GET, "/v1/bdbs/alerts", rest_bdbs_alerts, 0},
    {METHOD_GET, "/v1/bdbs/alerts/{uid}", rest_bdb_alerts, 0},
    {METHOD_GET, "/v1/bdbs/{uid}", rest_bdb, 0},
    {METHOD_PUT, "/v1/bdbs/{uid}", rest_bdb_update, 0},
    {METHOD_DELETE, "/v1/bdbs/{uid}", rest_bdb_delete, 0},
    {METHOD_PUT, "/v1/bdbs/{uid}/flush", rest_bdb_flush, 0},
    {METHOD_POST, "/v1/bdbs/{uid}/actions/snapshot", rest_bdb_snapshot, 0},
    {METHOD_POST, "/v1/bdbs/{uid}/actions/import", rest_bdb_import, 0},
    {METHOD_POST, "/v1/bdbs/{uid}/actions/export", rest_bdb_export, 0},
    {METHOD_POST, "/v1/bdbs/{uid}/actions/import_stop", rest_import_stop, 0},
    {METHOD_POST, "/v1/bdbs/{uid}/actions/export_stop", rest_export_stop, 0},
    {METHOD_PUT, "/v1/bdbs/{uid}/actions/import_reset_status", rest_import_reset, 0},
    {METHOD_PUT, "/v1/bdbs/{uid}/actions/export_reset_status", rest_export_reset, 0},
    {METHOD_GET, "/v2/actions", rest_actions, 0},
    {METHOD_GET, "/v2/actions/{uid}", rest_action, 0},
    {METHOD_GET, "/v1/bdbs/{uid}/availability", rest_availability, 0},
    {METHOD_GET, "/v1/bdbs/{uid}/shards", rest_bdb_shards, 0},
    {METHOD_GET, "/v1/bdbs/{uid}/peer_stats", rest_peer_stats, 0},
    {METHOD_GET, "/v1/local/bdbs/{uid}/endpoint/availability", rest_local_availability, 0},
    {METHOD_GET, "/v1/shards", rest_shards, 0},
    {METHOD_GET, "/v1/shards/{uid}", rest_shard, 0},
    {METHOD_GET, "/v1/crdbs", rest_crdbs, 0},
    {METHOD_POST, "/v1/crdbs", rest_crdb_create, 0},
    {METHOD_POST, "/v1/crdbs/instances", rest_crdb_instances, 0},
    {METHOD_GET, "/v1/crdbs/{guid}", rest_crdb, 0},
    {METHOD_PATCH, "/v1/crdbs/{guid}", rest_crdb_patch, 0},
    {METHOD_DELETE, "/v1/crdbs/{guid}", rest_crdb_delete, 0},
    {METHOD_POST, "/v1/crdbs/{guid}/updates", rest_crdb_updates, 0},
    {METHOD_PUT, "/v1/crdbs/{guid}/flush", rest_crdb_flush, 0},
    {METHOD_PUT, "/v1/crdbs/{guid}/purge", rest_crdb_purge, 0},
    {METHOD_PUT, "/v1/crdbs/{guid}/links", rest_crdb_links, 0},
    {METHOD_GET, "/v1/crdbs/{guid}/health_report", rest_health_report, 0},
    {METHOD_GET, "/v1/crdb_tasks", rest_tasks, 0},
    {METHOD_GET, "/v1/crdb_tasks/{id}", rest_task, 0},
    {METHOD_OTHER, NULL, NULL, 0},
};

/* ------------------------------------------------------------ answers */

static void finish(struct call *c)
{
    struct exchange *x = c->x;
    json_decref(c->body);
    json_decref(c->result);
    mem_free(c);
    exchange_answer(x);
}

void call_json(struct call *c, int status, json_t *taken)
{
    c->x->status = status;
    c->x->state_id = manager_cluster(c->m)->state_id;
    if (taken != NULL) {
        char *text = json_dumps(taken, JSON_COMPACT | JSON_ENCODE_ANY);
        buf_put_str(&c->x->reply, text != NULL ? text : "null");
        buf_put_str(&c->x->reply, "\n");
        free(text);
        json_decref(taken);
    }
    finish(c);
}

void call_empty(struct call *c) { call_json(c, 200, json_object()); }

void call_refuse(struct call *c, const struct refusal *why)
{
    call_json(c, why->status,
              json_pack("{s:s, s:s, s:s}", "error_code", why->code, "message", why->message,
                        "description", why->message));
}

void call_fail(struct call *c, int status, const char *code, const char *fmt, ...)
{
    struct refusal why = {.status = status};
    va_list ap;
    snprintf(why.code, sizeof why.code, "%s", code);
    va_start(ap, fmt);
    vsnprintf(why.message, sizeof why.message, fmt, ap);
    va_end(ap);
    text_plain(why.message);
    call_refuse(c, &why);
}

static void done_plain(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    (void)uid;
    if (why != NULL)
        call_refuse(c, why);
    else
        call_empty(c);
}

struct done call_done(struct call *c) { return (struct done){.fn = done_plain, .arg = c}; }

/* ------------------------------------------------------------ parameters */

struct bdb *call_bdb(struct call *c, unsigned n)
{
    int64_t uid;
    const char *text = c->match.params[n];
    struct bdb *b = NULL;
    if (!num_parse_i64(bytes_str(text), &uid) || uid < 1 || uid > UINT32_MAX) {
        call_fail(c, 404, "db_not_found", "%s is not the number of a database", text);
        return NULL;
    }
    b = cluster_bdb(manager_cluster(c->m), (uint32_t)uid);
    if (b == NULL || b->status == BDB_PENDING) {
        call_fail(c, 404, "db_not_found", "no database %s", text);
        return NULL;
    }
    c->uid = b->uid;
    return b;
}

struct crdb *call_crdb(struct call *c, unsigned n)
{
    const char *text = c->match.params[n];
    if (strncmp(text, "crdb:", 5) == 0)
        text += 5;
    struct crdb *r = cluster_crdb(manager_cluster(c->m), text);
    if (r == NULL || r->status < CRDB_COMMITTED) {
        call_fail(c, 404, "crdb_not_found", "no geo-distributed database %s", text);
        return NULL;
    }
    snprintf(c->guid, sizeof c->guid, "%s", r->config.guid);
    c->uid = r->bdb_uid;
    return r;
}

bool call_needs_body(struct call *c)
{
    if (c->body != NULL)
        return true;
    call_fail(c, 400, "invalid_schema", "a JSON body is expected");
    return false;
}

bool call_query_true(const struct call *c, const char *name)
{
    char text[16];
    return query_get(c->query, name, text, sizeof text) &&
           (strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || text[0] == 0);
}

/* Civil date from days since 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms". */
void time_text(int64_t unix_s, char out[32])
{
    int64_t days = unix_s / 86400, rest = unix_s % 86400;
    if (rest < 0)
        rest += 86400, days--;
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    int year = (int)(yoe + era * 400 + (month <= 2));
    snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month,
             (int)(doy - (153 * mp + 2) / 5 + 1), (int)(rest / 3600), (int)(rest / 60 % 60),
             (int)(rest % 60));
}
