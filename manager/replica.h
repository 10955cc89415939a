/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_REPLICA_H
#define MERIDIAN_MANAGER_REPLICA_H

#include "manager/cluster.h"
#include "migrate/gather.h"

/*
 * Replica Of: databases that follow a live source outside (migrate/follow.h), each by a follower
 * that runs within the manager and writes to the database as a client. What shall be followed is in
 * the cluster's state; a manager that begins anew goes on where the one before was, since the
 * position is in the database.
 */
struct manager;
struct replicas;

struct replica_change {
    bool set_uri, set_sync;
    char uri[REPLICA_URI_MAX]; /* "": none any more; several: a blank between, each with its scheme
                                */
    enum replica_sync sync;
    bool flush; /* what the database holds may go */
};

struct replicas *replicas_new(struct manager *m);
void replicas_free(struct replicas *l, struct port *port);
/* False: *why (400 a bad URI, 406 nothing to follow). */
bool replica_check(const struct bdb *b, const struct replica_change *c, struct refusal *why);
/* Changes the database's settings and what runs; the caller saves the state. Setting `enabled`
 * again starts one that has stopped. */
void replica_apply(struct replicas *l, struct bdb *b, const struct replica_change *c);
/* False: nothing runs. */
bool replica_status(const struct replicas *l, uint32_t uid, struct follow_status *out);
/* The same of one of its sources, counted from 0. */
bool replica_source_status(const struct replicas *l, uint32_t uid, unsigned source,
                           struct follow_status *out);
const char *replica_sync_name(enum replica_sync s); /* "enabled" */
bool replica_sync_parse(const char *name, enum replica_sync *out);

/* ---- the manager's events */
void replicas_tick(struct replicas *l); /* at EV_TURN and EV_TIMER */
uint64_t replicas_deadline(const struct replicas *l);
void replicas_stop(struct replicas *l); /* the manager ends: none runs any more */

#endif
