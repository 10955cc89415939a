/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_LOAD_H
#define MERIDIAN_MIGRATE_LOAD_H

#include "migrate/sink.h"
#include "rdb/file.h"

/*
 * The bytes of an RDB file, wherever they come from, as commands for a sink. Values go as RESTORE
 * with the bytes that the file has; large collections in parts: the first as RESTORE or into an
 * emptied key, the rest by the type's own commands (load_parts.c). Functions go as FUNCTION LOAD
 * REPLACE.
 */
#define MIGRATE_DB_ANY UINT64_MAX

/* Counters of the sink: types as enum rdb_type has them, and these. Commands that do not count are
 * of kind LOAD_STEP. */
enum { LOAD_FUNCTION = RDB_STREAM + 1, LOAD_MODULE, LOAD_STEP };

struct migrate_load_opts {
    uint64_t db;      /* the one whose keys are taken; MIGRATE_DB_ANY: the only one that has any */
    bool keep_others; /* keys of other databases: skipped and counted, not an error */
    bool no_functions;
    bool drop_field_ttl; /* hashes whose fields expire: without their deadlines, not refused */
    bool dry;            /* only read and count: no sink is needed */
    struct rdb_file_limits limits;
};

struct migrate_load_stats {
    uint64_t keys; /* seen, of the database that is taken */
    uint64_t expired, other_dbs, modules, functions;
    uint64_t fields, fields_of;    /* that lost their deadline; hashes that have such */
    uint64_t types[MIGRATE_KINDS]; /* keys by type */
    uint64_t expected;             /* what the file says there is; 0: not said */
    uint64_t db;                   /* the one taken; MIGRATE_DB_ANY: none yet */
};

enum load_result {
    LOAD_MORE, /* push more bytes */
    LOAD_FULL, /* the sink has no room: call again later */
    LOAD_END,  /* all commands are with the sink */
    LOAD_BAD,  /* migrate_load_why tells */
};

struct migrate_load;
struct migrate_load *migrate_load_new(const struct migrate_load_opts *o);
void migrate_load_free(struct migrate_load *l);
/* Copies the bytes; call it when migrate_load_run wants more. */
void migrate_load_push(struct migrate_load *l, struct bytes data);
/* Goes on as far as bytes and room allow. Keys whose deadline is before `now` are skipped. */
enum load_result migrate_load_run(struct migrate_load *l, struct migrate_sink *s, struct port *port,
                                  struct moment now);
const char *migrate_load_why(const struct migrate_load *l);
/* When the bytes have ended but run wants more: LOAD_BAD's text for that. */
const char *migrate_load_cut(struct migrate_load *l);
/* After LOAD_END: bytes that were pushed behind the file's end; borrowed. */
struct bytes migrate_load_rest(const struct migrate_load *l);
uint64_t migrate_load_offset(const struct migrate_load *l); /* bytes of the file that are read */
const struct migrate_load_stats *migrate_load_stats(const struct migrate_load *l);
const char *migrate_kind_name(unsigned kind); /* "string" ... "function" */

#endif
