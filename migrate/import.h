/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_IMPORT_H
#define MERIDIAN_MIGRATE_IMPORT_H

#include "migrate/load.h"

/*
 * An RDB file into a database: a machine of its own, which ends when that is done or has failed.
 *
 *   CHECKING   reads the file to its end: damage, a wrong version, keys in several databases are
 *              known before anything is written. Meanwhile the target is connected
 *   WRITING    reads it again and writes
 *   DONE       everything has been answered (some keys may have been refused: errors)
 *   FAILED     migrate_import_why; what was written stays, and beginning again does no harm
 */
enum import_phase { IMPORT_CHECKING, IMPORT_WRITING, IMPORT_DONE, IMPORT_FAILED };

struct migrate_import;

struct migrate_import_opts {
    const char *path; /* kept */
    struct migrate_load_opts load;
    struct migrate_sink_opts sink;
    bool no_check;
    uint64_t every_us; /* how often to tell how far it is; 0: a second */
    /* From time to time, and once when it has ended; may be NULL. */
    void (*progress)(void *arg, const struct migrate_import *i, struct moment now);
    void *arg;
};

struct migrate_import *migrate_import_new(const struct migrate_import_opts *o);
void migrate_import_free(struct migrate_import *i, struct port *port);
struct machine migrate_import_machine(struct migrate_import *i);
enum import_phase migrate_import_phase(const struct migrate_import *i);
/* It is, or has failed while it was: nothing was written. */
bool migrate_import_is_checking(const struct migrate_import *i);
const char *migrate_import_why(const struct migrate_import *i);
uint64_t migrate_import_offset(const struct migrate_import *i); /* in the file, of this phase */
const struct migrate_load_stats *migrate_import_stats(const struct migrate_import *i);
const struct migrate_load_stats *migrate_import_checked(const struct migrate_import *i);
const struct migrate_sink *migrate_import_sink(const struct migrate_import *i);

#endif
