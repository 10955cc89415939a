/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_CRDB_H
#define MERIDIAN_MANAGER_CRDB_H

#include "manager/cluster.h"

struct manager;

/*
 * One cluster's part in a geo-distributed database: it does what a coordinator (task.h, here or in
 * another cluster) asks, one message a phase. The states are those of enum crdb_status. What was
 * prepared and is not committed within CRDB_PREPARED_US is forgotten, so a coordinator that dies
 * leaves nothing behind.
 */
#define CRDB_PREPARED_US 60000000u
#define CRDB_DRAIN_US 8000000u

enum crdb_phase {
    CRDB_PREPARE,  /* make the database (first version), or keep the next version beside the present
                      one */
    CRDB_COMMIT,   /* the version with all endpoints is in force; who is no longer in it removes
                      itself */
    CRDB_COMPLETE, /* everybody has committed */
    CRDB_ABORT,    /* forget what was prepared */
    CRDB_REMOVE,   /* drop the database */
    CRDB_PROBE,    /* nothing: are you there, and who? */
};
const char *crdb_phase_name(enum crdb_phase p);

struct crdb_message {
    enum crdb_phase phase;
    char guid[40];
    uint64_t version;
    char cluster[65]; /* who is meant: anybody else refuses */
    uint32_t instance_id;
    uint32_t db_uid; /* prepare: the database that is there already; 0: make one */
    bool joining; /* prepare: others have data already, so it catches up before it takes writes */
    struct crdb_config config; /* prepare, commit */
};
json_t *crdb_message_write(const struct crdb_message *msg);
/* False: *why tells, nothing is owned. Afterwards crdb_config_deinit(&out->config). */
bool crdb_message_read(const json_t *body, struct crdb_message *out, struct refusal *why);

/* Does what the message says; done's uid is the local database's. */
void crdb_participate(struct manager *m, const struct crdb_message *msg, struct done done);
/* Where peers reach the local instance. */
bool crdb_endpoint(const struct manager *m, const char *guid, char host[256], uint16_t *port);
/* The manager goes: regions that wait to leave are told so. */
void crdb_cut(struct manager *m);
/* Expiry of what was prepared; draining. Once a second. */
void crdb_tick(struct manager *m);

#endif
