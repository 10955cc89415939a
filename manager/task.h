/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_TASK_H
#define MERIDIAN_MANAGER_TASK_H

#include "manager/cluster.h"

/*
 * Tasks: changes of geo-distributed databases that this cluster coordinates. A change goes through
 * phases (crdb.h), each a message to all who take part; it is in force everywhere or, when anybody
 * refuses to prepare or is out of reach, nowhere:
 *
 *   create, update:  PREPARE --all agree--> COMMIT --> COMPLETE --> finished
 *                       \--anybody fails--> ABORT --> failed
 *   delete:          PROBE --all there--> REMOVE --> finished
 *   flush, purge:    here alone
 *
 * A commit is repeated until it is heard or TASK_COMMIT_TRIES are over; then a creation is undone
 * and an update says who is behind.
 */
#define TASKS_MAX 256u
#define TASK_TTL_S 500u
#define TASK_COMMIT_TRIES 15u

enum task_op { TASK_CREATE, TASK_UPDATE, TASK_DELETE, TASK_FLUSH, TASK_PURGE };
enum task_status { TASK_QUEUED, TASK_STARTED, TASK_FINISHED, TASK_FAILED };
const char *task_op_name(enum task_op op);             /* "create_crdb" ... */
const char *task_status_name(enum task_status status); /* "queued" ... */

struct task_error {
    char cluster[65]; /* "" this one's own */
    char code[64];
    char description[640];
};

/* One who takes part. */
struct task_member {
    struct instance instance;
    bool local;
    bool leaves;  /* it is not in the next configuration */
    bool skipped; /* removed by force: not spoken to */
    enum { MEMBER_IDLE, MEMBER_ASKED, MEMBER_OK, MEMBER_FAILED } state;
    bool unsure; /* its last answer never came: it may have done what was asked */
    uint32_t tries;
    uint64_t again_us;
};

struct task {
    struct task *next;
    char id[40];
    char guid[40];
    enum task_op op;
    enum task_status status;
    int64_t started_s, ended_s;
    uint32_t ttl_s;
    uint32_t errors_count;
    struct task_error errors[INSTANCES_MAX + 1];
    /* under way */
    unsigned phase;            /* enum crdb_phase */
    bool advancing;            /* inside task_advance */
    uint32_t db_uid;           /* create: the local database that is converted */
    struct crdb_config config; /* as it shall be */
    uint32_t members_count;
    struct task_member members[INSTANCES_MAX + 1];
};

struct manager;
struct tasks;
struct tasks *tasks_new(struct manager *m);
void tasks_free(struct tasks *t);
void tasks_turn(struct tasks *t); /* starts what is queued */
void tasks_tick(struct tasks *t); /* repeats commits, forgets old results */

struct task_opts {
    const char *id; /* "" or NULL: a new one */
    uint32_t ttl_s; /* 0: TASK_TTL_S */
    bool dry_run;   /* check only: NULL is returned and why->status stays 0 */
};

/* What shall change. Instances carry cluster, url, credentials, db_config; their ids are given
 * here. */
struct crdb_change {
    const struct instance *add;
    uint32_t add_count;
    uint32_t remove[INSTANCES_MAX];
    uint32_t remove_count;
    bool force; /* those removed are not spoken to */
    struct db_config default_db_config;
    struct {
        uint32_t id;
        struct db_config db_config;
        char url[256], username[128], password[200]; /* "" unchanged */
    } instances[INSTANCES_MAX];                      /* overrides and credentials of members */
    uint32_t instances_count;
};

/* Each returns the new task, or NULL and why. `wanted` has name, settings and instances; the rest
 * is given here. */
struct task *task_create(struct manager *m, const struct crdb_config *wanted, uint32_t db_uid,
                         const struct task_opts *o, struct refusal *why);
struct task *task_update(struct manager *m, const char *guid, const struct crdb_change *change,
                         const struct task_opts *o, struct refusal *why);
struct task *task_delete(struct manager *m, const char *guid, const struct task_opts *o,
                         struct refusal *why);
struct task *task_flush(struct manager *m, const char *guid, const struct task_opts *o,
                        struct refusal *why);
struct task *task_purge(struct manager *m, const char *guid, const struct task_opts *o,
                        struct refusal *why);
struct task *task_find(const struct manager *m, const char *id);
struct task *task_first(const struct manager *m); /* newest first; then ->next */

#endif
