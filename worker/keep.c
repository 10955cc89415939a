/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/inside.h"

#include <stdio.h>

/*
 * Snapshots on request and on schedule, and the figures of members' files. A snapshot begins where
 * frames are closed, at the end of a turn; so who asks only leaves word.
 */
#define LOOK_US 100000u
#define RETRY_US 5000000u /* after one that failed: as Redis */

static uint64_t changes_of(const struct member *m)
{
    struct shard_stats s;
    shard_stats(m->shard, &s);
    return s.writes + s.ops_foreign;
}

static void tell_opened(const struct member *m, const struct storage_stats *s, struct port *port,
                        struct moment now)
{
    const struct opening_result *o = &s->opening;
    struct shard_stats keys;
    shard_stats(m->shard, &keys);
    int64_t ms = m->keeping.opens_ms ? now.wall_ms - m->keeping.opens_ms : 0;
    if (o->found)
        port_log(port, 'I',
                 "database %u, shard %u: %llu keys brought back from disk, %llu bytes in %lld ms, "
                 "snapshot %llu and %llu bytes of log behind it%s",
                 m->database->config.uid, m->id, (unsigned long long)keys.keys,
                 (unsigned long long)o->read, (long long)ms, (unsigned long long)o->snapshot,
                 (unsigned long long)o->log, o->orderly ? ", after an orderly end" : "");
    if (o->cut > 0)
        port_log(
            port, 'W',
            "database %u, shard %u: the log ended in %llu bytes that were never synced whole; they "
            "have been cut off",
            m->database->config.uid, m->id, (unsigned long long)o->cut);
}

/* What has happened to the member's snapshots since the last look. */
static void note(struct member *m, const struct storage_stats *now_is, struct port *port,
                 struct moment now)
{
    struct keeping *k = &m->keeping;
    bool done = now_is->snapshots != k->snapshots,
         failed = now_is->snapshot_failures != k->failures;
    if (k->saved_ms == 0) { /* it has just been brought back, or made: nothing is unsaved */
        k->saved_ms = now.wall_ms;
        k->changes_saved = changes_of(m);
        tell_opened(m, now_is, port, now);
    }
    if ((done || failed) && !k->runs) { /* begun and ended between two looks */
        k->begun_ms = now.wall_ms;
        k->changes_begun = changes_of(m);
    }
    if (done || failed) {
        k->asked = k->wanted;
        k->failed = failed;
        k->took_ms = now.wall_ms - k->begun_ms;
        k->retry_us = failed ? now.mono_us + RETRY_US : 0;
    }
    if (done) {
        k->saved_ms = now_is->snapshot_wall_ms;
        k->changes_saved = k->changes_begun;
    }
    if (now_is->snapshot_runs && (!k->runs || done || failed)) {
        k->begun_ms = now.wall_ms;
        k->changes_begun = changes_of(m);
    }
    k->runs = now_is->snapshot_runs;
    k->snapshots = now_is->snapshots;
    k->failures = now_is->snapshot_failures;
}

static bool rule_says(const struct plane_db *db, const struct member *m, struct moment now)
{
    const struct keeping *k = &m->keeping;
    uint64_t changes = changes_of(m) - k->changes_saved;
    for (uint32_t i = 0; i < db->snapshot_rules_count; i++) {
        const struct snapshot_rule *r = &db->snapshot_rules[i];
        if (changes >= r->writes && now.wall_ms - k->saved_ms >= (int64_t)r->seconds * 1000)
            return true;
    }
    return false;
}

static void turn(struct member *m, struct port *port, struct moment now)
{
    struct keeping *k = &m->keeping;
    struct storage_stats stats;
    k->look_us = now.mono_us + LOOK_US;
    if (storage_state(m->storage) == STORAGE_OPENS && k->opens_ms == 0)
        k->opens_ms = now.wall_ms;
    if (!m->open || storage_state(m->storage) != STORAGE_RUNS)
        return;
    storage_stats(m->storage, &stats);
    note(m, &stats, port, now);
    bool due = k->wanted ||
               (!k->runs && now.mono_us >= k->retry_us && rule_says(&m->database->config, m, now));
    if (!due || !storage_snapshot(m->storage, port, now))
        return;
    k->wanted = false;
    storage_stats(m->storage, &stats);
    note(m, &stats, port, now);
}

void keep_members(struct database *d, struct port *port, struct moment now)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage != NULL && (m->keeping.wanted || now.mono_us >= m->keeping.look_us))
            turn(m, port, now);
    }
}

uint32_t keep_snapshot(struct database *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage == NULL || !m->open || storage_state(m->storage) != STORAGE_RUNS)
            continue;
        m->keeping.wanted = m->keeping.asked = true;
        n++;
    }
    return n;
}

uint32_t keep_ask(void *worker, struct front *f, struct port *port, struct moment now)
{
    struct database *d = database_find(worker, f->db_uid);
    (void)port;
    (void)now;
    return d != NULL ? keep_snapshot(d) : 0;
}

/* ------------------------------------------------------------ figures */

/* enum persistence: what is promised of all that was ever answered. */
static uint32_t in_force(const struct member *m)
{
    static const uint32_t as[] = {[SYNC_ALWAYS] = PERSIST_ALWAYS,
                                  [SYNC_SECOND] = PERSIST_SECOND,
                                  [SYNC_NONE] = PERSIST_SNAPSHOT};
    enum sync_policy p;
    return m->open && storage_promises(m->storage, &p) ? as[p] : PERSIST_OFF;
}

static void member_figures(const struct member *m, struct figures_keep *out)
{
    const struct keeping *k = &m->keeping;
    enum storage_state state = storage_state(m->storage);
    const char *error = storage_error(m->storage);
    struct storage_stats s;
    storage_stats(m->storage, &s);
    *out = (struct figures_keep){
        .shards = 1,
        .opens = (!m->open && state == STORAGE_OPENS) || m->greet_us != 0,
        .broken = state == STORAGE_BROKEN,
        .failing = state != STORAGE_BROKEN && (error[0] != 0 || m->split || m->refusal[0] != 0),
        .taking = s.snapshot_runs,
        .asked = k->asked,
        .failed = k->failed,
        .log_bytes = s.log_bytes,
        .kept_bytes = s.archive.bytes,
        .behind = s.journal.behind,
        .written = s.journal.bytes_written,
        .syncs = s.journal.syncs,
        .write_failures = s.journal.failures,
        .sync_us_max = s.journal.sync_us_max,
        .in_force = in_force(m),
        .snapshots = s.snapshots,
        .snapshot_failures = s.snapshot_failures,
        .saved_ms = k->saved_ms,
        .took_ms = k->snapshots + k->failures > 0 ? k->took_ms : -1,
        .begun_ms = s.snapshot_runs ? k->begun_ms : 0,
    };
    out->total = s.opening.total; /* also of one that is open: others of the database may not be */
    out->read = out->opens ? s.opening.read : s.opening.total;
    if (out->opens)
        out->opens_ms = k->opens_ms;
    if (m->open)
        out->changes = changes_of(m) - k->changes_saved;
    snprintf(out->error, sizeof out->error, "%s",
             error[0] != 0        ? error
             : m->split           ? "an older copy of the files was started, and has written"
             : m->refusal[0] != 0 ? "no answer from the disk for more than 3 s: look at it"
                                  : storage_snapshot_error(m->storage));
}

void keep_figures(void *worker, const struct front *f, struct figures_keep *out)
{
    const struct database *d = database_find(worker, f->db_uid);
    for (uint32_t i = 0; d != NULL && i < d->members_count; i++) {
        struct figures_keep one;
        if (d->members[i].storage == NULL)
            continue;
        member_figures(&d->members[i], &one);
        figures_keep_add(out, &one);
    }
}

void keep_plane(const struct member *m, struct plane_keep *out)
{
    struct figures_keep f;
    struct storage_stats s;
    *out = (struct plane_keep){.state = KEEP_OFF};
    if (m->storage == NULL)
        return;
    member_figures(m, &f);
    storage_stats(m->storage, &s);
    *out = (struct plane_keep){
        .state = f.broken                        ? KEEP_BROKEN
                 : !m->open || m->greet_us != 0  ? KEEP_OPENS
                 : f.failing                     ? KEEP_FAILS
                 : !storage_in_force(m->storage) ? KEEP_BEGINS
                                                 : KEEP_RUNS,
        .read = f.read,
        .total = f.total,
        .cut = s.opening.cut,
        .log_bytes = f.log_bytes,
        .kept_bytes = f.kept_bytes,
        .behind = f.behind,
        .written = f.written,
        .syncs = f.syncs,
        .sync_us_max = f.sync_us_max,
        .in_force = f.in_force,
        .write_failures = f.write_failures,
        .changes = f.changes,
        .snapshots = f.snapshots,
        .snapshot_failures = f.snapshot_failures,
        .snapshot_runs = f.taking > 0,
        .snapshot_percent = (uint32_t)(s.snapshot_progress * 100),
        .snapshot_failed = f.failed > 0,
        .snapshot_ms = s.snapshot_wall_ms,
    };
    snprintf(out->error, sizeof out->error, "%s", f.error);
}
