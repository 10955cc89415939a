/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_LOG_LOG_H
#define MERIDIAN_CLI_LOG_LOG_H

#include "storage/inspect.h"

#include <stdio.h>

/*
 * `meridian log`: what the operator does with the files of shards while no node runs on them
 * (looking is allowed always). Calls block and print.
 */
struct log_file {
    enum file_kind kind;
    uint64_t number;
    char name[FILE_NAME_MAX];
    struct bytes content;   /* mapped */
    bool needed;            /* the next opening reads it */
    struct inspection seen; /* of what is needed, once it was checked */
};

/* A shard's folder, or with `only` one file of it. */
struct log_folder {
    char *path; /* owned */
    struct log_file *files;
    size_t n; /* in the order in which they are read: snapshots, then segments, by number */
};

/* Prints why to stderr when false. */
bool log_folder_load(struct log_folder *f, const char *path);
void log_folder_unload(struct log_folder *f);

/* Every folder at or below `path` that has such files, in order of their names. Returns how many
 * failed, or -1: there is none (it is said). */
int log_folders_each(const char *path, bool (*visit)(void *arg, const char *folder), void *arg);
/* The locks of the node whose data folder `path` is in: -1 in all of them: none runs. False: one
 * runs; it is said. */
#define LOG_LOCKS 16u
struct log_locks {
    int at[LOG_LOCKS];
    unsigned n;
};
bool log_lock(struct log_locks *l, const char *path);
void log_unlock(struct log_locks *l);

/* What the next opening will make of a folder. */
struct log_verdict {
    bool opens;
    const struct log_file *bad; /* where it stops, or NULL: something is missing */
    uint64_t bad_at;
    char what[256];              /* not opens: what is wrong, or missing */
    const struct log_file *last; /* segment, that is good; NULL none */
    uint64_t last_end;           /* where its good records end */
    uint64_t torn;               /* bytes that will be cut off behind it */
    const struct log_file *base; /* snapshot; NULL none */
};
/* Checks what is needed and fills in the files' `seen`. */
void log_judge(struct log_folder *f, struct log_verdict *out);
void log_print_file(const struct log_folder *f, const struct log_file *file);

/* Each takes a path and returns the exit status. */
int log_check(const char *path);
/* What becomes of a damaged snapshot (salvage.c). */
enum log_salvage {
    SALVAGE_ASK,    /* nothing: the operator has to say */
    SALVAGE_OTHERS, /* damaged partitions are left to the other regions */
    SALVAGE_ALONE,  /* all that can be read is kept */
};
int log_repair(const char *path, bool yes, enum log_salvage salvage);
int log_restored(const char *path, bool yes);

/* Puts what is left of the snapshot and the log behind it into a new snapshot; with `tells` lists
 * what is not. Without `yes` nothing is written. */
bool log_salvage(const struct log_folder *f, const struct log_file *bad, enum log_salvage how,
                 bool tells, bool yes);
/* What changing files needs: the path of a name in the folder with `end` (PATH_MAX bytes), the
 * folder's names made durable, errno said (false). */
void log_path(const struct log_folder *f, const char *name, const char *end, char *out);
bool log_sync(const struct log_folder *f);
bool log_say(const char *path);

struct log_filter {
    const char *key;        /* NULL: all */
    int64_t from_ms, to_ms; /* of the stamps' times; INT64_MIN, INT64_MAX: all */
    uint64_t partition;     /* UINT64_MAX: all */
};
int log_dump(const char *path, const struct log_filter *filter);

/* "2026-11-22T20:45:01.123Z" */
#define LOG_TIME_MAX 32u
const char *log_time(char out[LOG_TIME_MAX], int64_t ms);
/* Such a text, also shortened from behind, or milliseconds since 1970. */
bool log_time_read(const char *text, int64_t *ms);

#endif
