/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_MIGRATION_H
#define MERIDIAN_MANAGER_MIGRATION_H

#include "manager/cluster.h"

#include <jansson.h>

/*
 * Imports and exports of databases' keys, asked for over REST: each is a child process (`meridian
 * import`, `meridian export`), so that the control plane never waits for it. The child says how far
 * it is in a file, which is read once a second.
 *
 *   WAITING --password written--> RUNNING --child ended--> READING --its last words--> SUCCEEDED
 *                                    |                                                  or FAILED
 *                                    +-- next file of several
 *
 * The newest import and the newest export of each database are remembered until the manager ends.
 */
enum migration_kind { MIGRATION_IMPORT, MIGRATION_EXPORT };
enum migration_state {
    MIGRATION_WAITING,
    MIGRATION_RUNNING,
    MIGRATION_READING,
    MIGRATION_SUCCEEDED,
    MIGRATION_FAILED,
};
#define MIGRATION_PATHS_MAX 64u
#define MIGRATION_TAG_FIRST 1000u /* of child processes */

struct migration_spec {
    enum migration_kind kind;
    const char *const *paths; /* RDB files to read, one after the other; export: one to write */
    uint32_t count;
    bool drop_field_ttl; /* import: hashes whose fields expire, without those deadlines */
    int64_t from_db;     /* import: the database of the file; -1: the only one */
};

struct migration {
    struct migration *next;
    uint32_t uid; /* the database */
    enum migration_kind kind;
    enum migration_state state;
    char action_uid[37];
    int64_t begun_s, ended_s;
    uint32_t at, count; /* which of the files */
    uint64_t keys;      /* of files before that one */
    json_t *report;     /* the child's newest, or NULL; owned */
    char error[512];    /* FAILED */
    /* inside */
    char *paths[MIGRATION_PATHS_MAX];  /* owned */
    char *status_path, *password_path; /* owned */
    bool drop_field_ttl;
    char from_db[24];
    uint32_t tag;
    int pid;
    int exit_status;
    bool reading, ended, stopped;
};

struct manager;
struct migrations;
struct file_req;
struct migrations *migrations_new(struct manager *m);
void migrations_free(struct migrations *l);
/* Begins one. False: *why (404, 409 one of that kind is running, 406, 503). */
bool migration_start(struct migrations *l, uint32_t uid, const struct migration_spec *spec,
                     struct refusal *why);
/* NULL: none since the manager began. */
const struct migration *migration_find(const struct migrations *l, uint32_t uid,
                                       enum migration_kind kind);
const struct migration *migration_first(const struct migrations *l);
bool migration_is_over(const struct migration *g);
/* 0 to 100, over all its files. */
int migration_progress(const struct migration *g);
/* Stops the child; what it has written stays. */
void migration_stop(struct migrations *l, uint32_t uid, enum migration_kind kind);
/* Forgets one that is over. */
void migration_forget(struct migrations *l, uint32_t uid, enum migration_kind kind);

/* ---- the manager's events */
void migrations_file(struct migrations *l, struct file_req *r); /* those whose owner is `l` */
void migrations_child(struct migrations *l, uint32_t tag, int status);
void migrations_tick(struct migrations *l);
void migrations_stop(struct migrations *l); /* ends all children */

#endif
