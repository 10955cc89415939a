/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_CTL_CTL_H
#define MERIDIAN_CLI_CTL_CTL_H

#include "cli/args.h"
#include "cli/https.h"

#include <jansson.h>

/* `meridian ctl`: the REST API at the command line. What its verbs share. */
struct ctl {
    struct https_target target;
    const char *url, *user, *password, *ca_file;
    bool insecure, json;
    const char *rest[64];
    unsigned rest_n;
};

/* What a verb is: "db create", its flags beside the common ones, what follows them. */
struct verb {
    const char *command, *usage, *about;
    const struct arg *flags;
    unsigned flags_n;
    unsigned rest_min, rest_max;
};

/* Parses flags and where to connect. -1: go on; else the exit status. */
int ctl_begin(struct ctl *c, const struct verb *v, int argc, char **argv);
/* One request. NULL: it failed and has been reported on stderr. `body` is taken; may be NULL. */
json_t *ctl_call(const struct ctl *c, const char *method, const char *path, json_t *body);
/* With --json prints the value and answers true. */
bool ctl_shown(const struct ctl *c, const json_t *value);
/* Prints to stderr and returns 1. */
int ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "100mb", "1g", "1024": bytes. False: not a size. */
bool size_parse(const char *text, json_int_t *out);
/* "12.3 MB" */
void size_text(json_int_t bytes, char *out, size_t size);

/* A table with columns as wide as what is in them. */
#define TABLE_COLUMNS 12u
struct text_table {
    unsigned columns;
    char *cells[1024]; /* owned */
    unsigned n;
};
void text_table_row(struct text_table *t, const char *const *cells, unsigned n);
void text_table_print(struct text_table *t); /* and frees */

const char *str_of(const json_t *o, const char *name); /* "" when absent */
json_int_t int_of(const json_t *o, const char *name);  /* digits in a string count too */

/* Waits for a task, telling of its progress as crdb-cli does. Returns the exit status. `task` is
 * taken. */
int task_follow(const struct ctl *c, json_t *task, bool wait);
/* A database's number from its number or name; 0: reported. */
json_int_t db_resolve(const struct ctl *c, const char *name);
/* A geo-distributed database's object from its guid or name; NULL: reported. */
json_t *crdb_resolve(const struct ctl *c, const char *name);

/* What is on disk and what is forgotten when memory is full: flags of `db` and `crdb` alike
 * (ctl_keep.c). */
struct keep_flags {
    const char *persistence, *policy, *rules, *log_size, *retention, *eviction;
    uint64_t oom;
};
#define KEEP_NOTHING                                                                               \
    {                                                                                              \
        .oom = UINT64_MAX                                                                          \
    }
/* clang-format off */
#define KEEP_FLAGS(f)                                                                              \
    {"data-persistence", "KIND", "disabled (default), aof or snapshot",                            \
     ARG_TEXT, &(f)->persistence, 0, 31},                                                          \
    {"aof-policy", "WHEN", "log to disk: appendfsync-every-sec (default), -always or -no",         \
     ARG_TEXT, &(f)->policy, 0, 31},                                                               \
    {"snapshot-policy", "RULES", "SECS:WRITES,... as 3600:1,60:10000: snapshots so often",         \
     ARG_TEXT, &(f)->rules, 0, 255},                                                               \
    {"max-aof-file-size", "SIZE", "a shard's log that makes it take a snapshot; or auto",          \
     ARG_TEXT, &(f)->log_size, 0, 31},                                                             \
    {"log-retention", "SIZE", "log kept on disk for regions that are away; or auto",               \
     ARG_TEXT, &(f)->retention, 0, 31},                                                            \
    {"eviction-policy", "POLICY", "noeviction (default), allkeys-lru, volatile-ttl, ...",          \
     ARG_TEXT, &(f)->eviction, 0, 31},                                                             \
    {"oom-threshold", "PERCENT", "of memory that only other regions' writes may fill: 0-20",       \
     ARG_UINT, &(f)->oom, 0, 20}
/* clang-format on */
/* Adds what was given to the settings. False: a bad one, reported. */
bool keep_body(const struct keep_flags *f, json_t *o);

typedef int verb_fn(int argc, char **argv);
verb_fn ctl_cluster_create, ctl_cluster_show, ctl_cluster_set, ctl_cluster_alerts;
verb_fn ctl_db_create, ctl_db_list, ctl_db_show, ctl_db_update, ctl_db_delete, ctl_db_flush,
    ctl_db_snapshot, ctl_db_import, ctl_db_export;
verb_fn ctl_crdb_create, ctl_crdb_list, ctl_crdb_show, ctl_crdb_add, ctl_crdb_remove,
    ctl_crdb_delete, ctl_crdb_flush, ctl_crdb_purge, ctl_crdb_update, ctl_crdb_status,
    ctl_crdb_pause, ctl_crdb_resume;
verb_fn ctl_task_list, ctl_task_show;

#endif
