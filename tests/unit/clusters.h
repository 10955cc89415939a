/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_UNIT_CLUSTERS_H
#define MERIDIAN_TESTS_UNIT_CLUSTERS_H

#include "api/api.h"
#include "sim/driver.h"
#include "worker/worker.h"

#include <jansson.h>

/*
 * Whole clusters in the virtual world: each a host with a manager ("alpha"), which serves its REST
 * API on port 9443 without TLS and discovery on 8001, and one with a data plane ("alpha-db").
 * Somebody outside sends requests.
 */
#define CLUSTERS_MAX 4u
extern const char *const cluster_names[CLUSTERS_MAX]; /* hosts; the cluster is "alpha.test" */

struct cluster_host {
    struct manager *manager;
    struct worker *worker;
    uint32_t host, plane_host;
    bool no_manager, no_plane; /* dead */
    bool disk;                 /* the plane has a folder */
};

struct clusters {
    struct world *world;
    struct driver *driver;
    unsigned n;
    struct cluster_host at[CLUSTERS_MAX];
    unsigned next_connection;
    char log[8192]; /* the last lines the machines logged */
};

/* n clusters, running; with `names` also bootstrapped as alpha.test, ..., user "admin", password
 * "secret-N". */
void clusters_new(struct clusters *c, unsigned n, bool bootstrapped);
void clusters_free(struct clusters *c);
void clusters_run(struct clusters *c, unsigned ms);
/* Kills and starts again. */
void clusters_kill_manager(struct clusters *c, unsigned i);
void clusters_start_manager(struct clusters *c, unsigned i);
void clusters_kill_plane(struct clusters *c, unsigned i);
void clusters_start_plane(struct clusters *c, unsigned i);

/* One request with good credentials; its status, 0 when no answer came within 30 s. *answer (may be
 * NULL) gets the body, to be freed by json_decref. `body` may be NULL; single quotes in it stand
 * for double ones. */
int clusters_call(struct clusters *c, unsigned i, const char *method, const char *path,
                  const char *body, json_t **answer);
/* The same with bytes as they are sent; what came back until the other side was silent or closed.
 */
void clusters_raw(struct clusters *c, const char *host, uint16_t port, const char *bytes,
                  struct buf *out);
/* A geo-distributed database "geo" over the first n clusters; its task's end. Frees nothing:
 * json_decref the task. */
json_t *clusters_crdb(struct clusters *c, unsigned n, const char *extra);
/* Polls a task to its end. `task` is taken. */
json_t *clusters_follow(struct clusters *c, unsigned i, json_t *task);
/* The reply of one Redis command (inline) to a database of cluster i, as text; static until the
 * next call. */
const char *clusters_redis(struct clusters *c, unsigned i, uint16_t port, const char *command);
unsigned clusters_count(struct clusters *c, unsigned i, const char *path); /* members of a list */

#endif
