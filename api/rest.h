/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_API_REST_H
#define MERIDIAN_API_REST_H

#include "api/router.h"
#include "manager/auth.h"
#include "manager/bdb.h"
#include "manager/crdb.h"
#include "manager/manager.h"
#include "manager/peer_client.h"
#include "manager/plane.h"
#include "manager/strays.h"
#include "manager/task.h"

/*
 * One REST request being handled. A handler ends it with exactly one of the call_* answers, at once
 * or later; the call is gone afterwards. The client may leave meanwhile: nobody needs to care, the
 * answer is thrown away.
 */
struct call {
    struct manager *m;
    struct exchange *x;
    struct route_match match;
    struct bytes query;
    json_t *body; /* NULL: none was sent */
    const struct user *user;
    /* For handlers that wait: what they are about. */
    uint32_t uid;
    char guid[40];
    char guid_task[40]; /* X-Task-ID */
    unsigned waiting;
    json_t *result; /* owned */
};

void call_json(struct call *c, int status, json_t *taken);
void call_empty(struct call *c); /* 200 and {} */
void call_refuse(struct call *c, const struct refusal *why);
void call_fail(struct call *c, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A done that answers {} or the refusal. */
struct done call_done(struct call *c);
/* The n-th parameter as a database: NULL when it has been answered that there is none. */
struct bdb *call_bdb(struct call *c, unsigned n);
/* The n-th parameter as a geo-distributed database that is in force here; likewise. */
struct crdb *call_crdb(struct call *c, unsigned n);
/* The body as an object; false when it has been answered that one is needed. */
bool call_needs_body(struct call *c);
bool call_query_true(const struct call *c, const char *name);
/* "2026-01-31T12:00:00Z" */
void time_text(int64_t unix_s, char out[32]);

extern const struct route rest_routes[];

#define FRESH_US 50000u /* statistics that somebody asks to see are no older */

/* rest_cluster.c */
void rest_bootstrap_get(struct call *c);
void rest_bootstrap_create(struct call *c);
void rest_cluster_get(struct call *c);
void rest_cluster_put(struct call *c);
void rest_nodes(struct call *c);
void rest_node(struct call *c);
void rest_users(struct call *c);
void rest_password(struct call *c);
/* rest_bdb.c */
void rest_bdbs(struct call *c);
void rest_bdb(struct call *c);
void rest_bdb_create(struct call *c);
void rest_bdb_update(struct call *c);
void rest_bdb_delete(struct call *c);
void rest_bdb_flush(struct call *c);
void rest_bdb_snapshot(struct call *c);
/* rest_migrate.c */
void rest_bdb_import(struct call *c);
void rest_bdb_export(struct call *c);
void rest_import_stop(struct call *c);
void rest_export_stop(struct call *c);
void rest_import_reset(struct call *c);
void rest_export_reset(struct call *c);
void rest_actions(struct call *c);
void rest_action(struct call *c);
/* Adds import_status .. and export_status .. to a database's JSON. */
void rest_put_migrations(const struct call *c, uint32_t uid, json_t *o);
/* rest_metrics.c */
void rest_metrics(struct call *c);
/* rest_alerts.c */
void rest_bdbs_alerts(struct call *c);
void rest_bdb_alerts(struct call *c);
void rest_nodes_alerts(struct call *c);
/* rest_replica.c */
struct replica_change;
/* Takes replica_sources, replica_sync and replica_flush out of a body: what is left are settings.
 * *found: there was one. */
bool rest_take_replica(struct call *c, struct replica_change *out, bool *found,
                       struct refusal *why);
void rest_put_replica(const struct call *c, const struct bdb *b, json_t *o);
/* rest_health.c */
struct health_found {
    unsigned health; /* bdb_health */
    int64_t lag_ms;
    struct lag_check check;
};
/* Why it is not available, as a sentence; "" it is. */
void rest_health_text(const struct call *c, const struct bdb *b, const struct health_found *h,
                      char *text, size_t size);
void rest_availability(struct call *c);
void rest_local_availability(struct call *c);
void rest_shards(struct call *c);
void rest_shard(struct call *c);
void rest_bdb_shards(struct call *c);
void rest_peer_stats(struct call *c);
json_t *link_json(const struct link_summary *l, const char *cluster);
/* rest_crdb.c */
void rest_crdbs(struct call *c);
void rest_crdb(struct call *c);
void rest_crdb_create(struct call *c);
void rest_crdb_patch(struct call *c);
void rest_crdb_delete(struct call *c);
void rest_crdb_updates(struct call *c);
void rest_crdb_flush(struct call *c);
void rest_crdb_purge(struct call *c);
void rest_crdb_links(struct call *c);
void rest_crdb_instances(struct call *c);
/* rest_task.c */
void rest_tasks(struct call *c);
void rest_task(struct call *c);
void rest_health_report(struct call *c);
/* Answers with the task, or why there is none. */
void call_task(struct call *c, const struct task *t, const struct refusal *why);
struct task_opts call_task_opts(struct call *c);

#endif
