/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_EXPORT_H
#define MERIDIAN_MIGRATE_EXPORT_H

#include "migrate/sink.h"

/*
 * A database into an RDB file that Redis 7.0 loads: a machine of its own. Keys are found by SCAN
 * and read by DUMP while the database goes on working, so the file is not one instant: each key is
 * as it was at some moment of the export, whole and with the expiry that belonged to that value;
 * keys that are there all the time are in it, each once.
 *
 *   ASKING     how many keys, which functions, what version
 *   READING    keys, into <path>.partial
 *   CLOSING    the last bytes, synced, renamed
 *   DONE, FAILED (the partial file is removed)
 */
enum export_phase { EXPORT_ASKING, EXPORT_READING, EXPORT_CLOSING, EXPORT_DONE, EXPORT_FAILED };

struct migrate_export;

struct migrate_export_stats {
    uint64_t keys, functions, bytes; /* written */
    uint64_t vanished;               /* found by SCAN and gone when they were read */
    uint64_t refused;  /* could not be read or not be written: see the source's errors */
    uint64_t expected; /* what DBSIZE said */
};

struct migrate_export_opts {
    const char *path;                /* kept */
    struct migrate_sink_opts source; /* `answered` and `arg` are the export's own */
    uint64_t seed;                   /* random */
    uint64_t every_us;               /* how often to tell how far it is; 0: a second */
    void (*progress)(void *arg, const struct migrate_export *e, struct moment now);
    void *arg;
};

struct migrate_export *migrate_export_new(const struct migrate_export_opts *o);
void migrate_export_free(struct migrate_export *e, struct port *port);
struct machine migrate_export_machine(struct migrate_export *e);
enum export_phase migrate_export_phase(const struct migrate_export *e);
const char *migrate_export_why(const struct migrate_export *e);
const struct migrate_export_stats *migrate_export_stats(const struct migrate_export *e);
const struct migrate_sink *migrate_export_source(const struct migrate_export *e);

#endif
