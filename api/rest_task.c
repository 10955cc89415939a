/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/rest.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>

#define FRESH_US 50000u
#define REPORT_TIMEOUT_MS 3000u

/* ------------------------------------------------------------ tasks */

static json_t *task_json(const struct task *t)
{
    char started[32], ended[32];
    json_t *errors = json_array(), *clusters = json_array(), *o;
    time_text(t->started_s, started);
    time_text(t->ended_s, ended);
    for (uint32_t i = 0; i < t->errors_count; i++)
        json_array_append_new(
            errors, json_pack("{s:s, s:s, s:s}", "cluster_name", t->errors[i].cluster, "error_code",
                              t->errors[i].code, "description", t->errors[i].description));
    for (uint32_t i = 0; i < t->members_count; i++)
        json_array_append_new(clusters,
                              json_pack("{s:s, s:s}", "name", t->members[i].instance.cluster,
                                        "progress", crdb_phase_name((enum crdb_phase)t->phase)));
    o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:o}, s:o}", "id", t->id, "crdb_guid", t->guid,
                  "operation", task_op_name(t->op), "status", task_status_name(t->status),
                  "started", started, "worker_name", "crdb_worker:1:0", "progress", "clusters",
                  clusters, "errors", errors);
    if (t->ended_s != 0)
        json_object_set_new(o, "ended", json_string(ended));
    return o;
}

static void copy_text(const struct buf *b, char *out, size_t size)
{
    size_t n = buf_len(b) < size - 1 ? buf_len(b) : size - 1;
    if (n > 0)
        memcpy(out, b->p + b->head, n);
    out[n] = 0;
}

struct task_opts call_task_opts(struct call *c)
{
    struct task_opts o = {.dry_run = call_query_true(c, "dry_run")};
    int64_t ttl;
    char text[40];
    copy_text(&c->x->task_id, text, sizeof text);
    /* A task's number goes into URLs and logs: only what a UUID is made of is taken over. */
    if (text[0] && text[strspn(text, "0123456789abcdefABCDEF-")] == 0) {
        snprintf(c->guid_task, sizeof c->guid_task, "%s", text);
        o.id = c->guid_task;
    }
    copy_text(&c->x->result_ttl, text, sizeof text);
    if (num_parse_i64(bytes_str(text), &ttl) && ttl > 0 && ttl <= 86400)
        o.ttl_s = (uint32_t)ttl;
    return o;
}

void call_task(struct call *c, const struct task *t, const struct refusal *why)
{
    if (why->status != 0)
        call_refuse(c, why);
    else if (t == NULL)
        call_empty(c); /* dry run: it could be done */
    else
        call_json(c, 200, task_json(t));
}

void rest_tasks(struct call *c)
{
    json_t *list = json_array();
    for (const struct task *t = task_first(c->m); t != NULL; t = t->next)
        json_array_append_new(list, task_json(t));
    call_json(c, 200, list);
}

void rest_task(struct call *c)
{
    const struct task *t = task_find(c->m, c->match.params[0]);
    if (t == NULL)
        call_fail(c, 404, "task_not_found",
                  "no task %s: results are forgotten after a while (X-Result-TTL)",
                  c->match.params[0]);
    else
        call_json(c, 200, task_json(t));
}

/* ------------------------------------------------------------ health report */

static const char *config_status(enum crdb_status s)
{
    static const char *const names[] = {"posted", "ready", "committed", "commit-completed"};
    return names[s];
}

static json_t *configuration_json(const struct crdb_config *k, const char *status)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < k->instances_count; i++)
        json_array_append_new(list, json_pack("{s:i, s:{s:s, s:s}}", "id", (int)k->instances[i].id,
                                              "cluster", "name", k->instances[i].cluster, "url",
                                              k->instances[i].url));
    return json_pack("{s:I, s:s, s:s, s:b, s:b, s:i, s:i, s:o}", "version", (json_int_t)k->version,
                     "status", status, "name", k->name, "encryption", (int)k->encryption,
                     "causal_consistency", 1, "featureset_version", 1, "protocol_version", 1,
                     "instances", list);
}

static json_t *connection_json(const struct call *c, const struct bdb *b, const struct instance *in)
{
    struct link_summary l;
    char uid[32];
    bool known = bdb_link(c->m, b, in->id, &l);
    bool up = known && strcmp(l.state, "up") == 0 && l.feeding;
    if (!known)
        snprintf(l.state, sizeof l.state, "down");
    snprintf(uid, sizeof uid, "%u:%u", b->uid, in->id);
    json_t *link = link_json(&l, in->cluster);
    json_object_set_new(link, "link_uid", json_string(uid));
    json_object_set_new(link, "status", json_string(up ? "up" : "down"));
    return json_pack("{s:s, s:i, s:s, s:[o]}", "name", in->cluster, "instance_id", (int)in->id,
                     "status", up ? "ok" : l.state, "replication_links", link);
}

static json_t *local_report(const struct call *c, const struct crdb *r)
{
    const struct bdb *b = cluster_bdb(manager_cluster(c->m), r->bdb_uid);
    json_t *connections = json_array();
    json_t *versions = json_pack("[o]", configuration_json(&r->config, config_status(r->status)));
    struct health_found h = {
        .health = BDB_NO_PLANE,
        .check = {.tolerance_ms = manager_cluster(c->m)->availability_lag_tolerance_ms,
                  .peers_too = true},
    };
    char reason[400] = "its database is not there yet";
    if (b != NULL) {
        h.health = bdb_health(c->m, b, h.check, &h.lag_ms);
        rest_health_text(c, b, &h, reason, sizeof reason);
    }
    const char *available = h.health == BDB_HEALTHY   ? "up"
                            : h.health == BDB_LAGGING ? "lagging" /* serves its clients */
                                                      : "down";
    if (r->has_next)
        json_array_append_new(versions, configuration_json(&r->next, "posted"));
    for (uint32_t i = 0; b != NULL && i < r->config.instances_count; i++)
        if (r->config.instances[i].id != r->instance_id)
            json_array_append_new(connections, connection_json(c, b, &r->config.instances[i]));
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:s, s:s, s:I, s:o, s:o, s:n}", "name",
                     r->config.name, "guid", r->config.guid, "cluster_name",
                     manager_cluster(c->m)->name, "instance_id", (int)r->instance_id, "db_uid",
                     (int)r->bdb_uid, "active_config_version", (json_int_t)r->config.version,
                     "availability", available, "reason", reason, "lag_ms", (json_int_t)h.lag_ms,
                     "configurations", versions, "connections", connections, "connection_error");
}

/* One other cluster's report being asked for. */
struct report {
    struct call *c;
    uint32_t id;
    size_t place; /* in the list */
    char cluster[65];
};

static void report_ready(struct call *c)
{
    if (--c->waiting > 0)
        return;
    json_t *list = c->result;
    c->result = NULL;
    call_json(c, 200, list);
}

static void report_came(void *arg, int status, json_t *body, const char *error)
{
    struct report *p = arg;
    json_t *theirs = json_array_get(body, 0);
    char text[128];
    if (status == 200 && json_is_object(theirs)) {
        json_array_set(p->c->result, p->place, theirs);
    } else {
        snprintf(text, sizeof text, "it answered with HTTP status %d", status);
        json_array_set_new(p->c->result, p->place,
                           json_pack("{s:s, s:s, s:i, s:s}", "guid", p->c->guid, "cluster_name",
                                     p->cluster, "instance_id", (int)p->id, "connection_error",
                                     status == 0 ? error : text));
    }
    report_ready(p->c);
    mem_free(p);
}

static void ask_report(struct call *c, const struct instance *in)
{
    char path[160];
    struct peer_call call = {.method = "GET",
                             .path = path,
                             .username = in->username,
                             .password = in->password,
                             .timeout_ms = REPORT_TIMEOUT_MS};
    struct report *p = mem_zalloc(sizeof *p);
    *p = (struct report){.c = c, .id = in->id, .place = json_array_size(c->result)};
    json_array_append_new(c->result, json_null());
    snprintf(p->cluster, sizeof p->cluster, "%s", in->cluster);
    snprintf(path, sizeof path, "/v1/crdbs/%s/health_report?instance_id=%u", c->guid, in->id);
    if (peer_url_parse(in->url, &call.url))
        peer_client_call(manager_peer_client(c->m), &call, report_came, p);
    else
        report_came(p, 0, NULL, "its URL is malformed");
}

static void reports(void *arg, const struct refusal *why, uint32_t uid)
{
    struct call *c = arg;
    const struct crdb *r = cluster_crdb(manager_cluster(c->m), c->guid);
    char text[16];
    int64_t only = 0;
    (void)why; /* without statistics the links are reported as down */
    (void)uid;
    if (r == NULL) {
        call_fail(c, 404, "crdb_not_found", "no geo-distributed database %s", c->guid);
        return;
    }
    if (query_get(c->query, "instance_id", text, sizeof text) &&
        (!num_parse_i64(bytes_str(text), &only) || only < 1 ||
         crdb_config_instance(&r->config, (uint32_t)only) == NULL))
        only = 0; /* unknown means all */
    c->result = json_array();
    c->waiting = 1;
    for (uint32_t i = 0; i < r->config.instances_count; i++) {
        const struct instance *in = &r->config.instances[i];
        if (only != 0 && only != (int64_t)in->id)
            continue;
        if (in->id == r->instance_id) {
            json_array_append_new(c->result, local_report(c, r));
            continue;
        }
        c->waiting++;
        ask_report(c, in);
    }
    report_ready(c);
}

void rest_health_report(struct call *c)
{
    if (call_crdb(c, 0) != NULL)
        plane_refresh(manager_plane(c->m), FRESH_US, (struct done){.fn = reports, .arg = c});
}
