/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "worker/inside.h"

#include <stdio.h>

/*
 * The members' files: storage/ for each shard of a database that is kept on disk. A request may be
 * answered when its member has gone, so what it has for owner is a struct disk, which stays until
 * all answers are here.
 */
struct disk *disk_new(struct worker *w, struct member *m)
{
    struct disk *k = mem_zalloc(sizeof *k);
    k->member = m;
    k->uid = m->database->config.uid;
    k->shard = m->id;
    k->founding = m->database->config.founding;
    k->next = w->disks;
    if (k->next != NULL)
        k->next->prev = k;
    w->disks = k;
    return k;
}

void disk_free(struct worker *w, struct disk *k)
{
    if (k->prev != NULL)
        k->prev->next = k->next;
    else
        w->disks = k->next;
    if (k->next != NULL)
        k->next->prev = k->prev;
    buf_deinit(&k->names);
    mem_free(k);
}

void disk_free_all(struct worker *w)
{
    while (w->disks != NULL)
        disk_free(w, w->disks);
}

void disk_folder(const struct worker *w, const struct disk *k, char out[DISK_PATH_MAX])
{
    int n = snprintf(out, DISK_PATH_MAX, "%s/db%u/shard%u", w->opts.data, k->uid, k->shard);
    if (k->founding > 0)
        snprintf(out + n, DISK_PATH_MAX - (size_t)n, "-%u", k->founding);
}

/* "shard3-2": the second founding of shard 3. */
static bool read_folder(const char *name, uint32_t shard, uint32_t *founding)
{
    char own[24];
    int64_t n = 0;
    size_t used = (size_t)snprintf(own, sizeof own, "shard%u", shard);
    if (strncmp(name, own, used) != 0)
        return false;
    bool first = name[used] == 0;
    if (!first && (name[used] != '-' || !num_parse_i64(bytes_str(name + used + 1), &n) || n <= 0 ||
                   n > UINT32_MAX))
        return false;
    *founding = (uint32_t)n;
    return true;
}

void disk_ask(struct port *port, struct disk *k, enum file_op op, const char *path, uint32_t tag)
{
    struct file_req *r = file_req_new(op, path);
    r->owner = k;
    r->tag = tag;
    port->ops->file(port, r);
}

static enum sync_policy policy_of(const struct plane_db *db)
{
    return db->persistence == PERSIST_ALWAYS   ? SYNC_ALWAYS
           : db->persistence == PERSIST_SECOND ? SYNC_SECOND
                                               : SYNC_NONE;
}

/* ------------------------------------------------------------ opening */

/* `filled`: what the shard holds is not in its folder. */
static void make_storage(struct database *d, struct member *m, bool filled)
{
    struct worker *w = d->worker;
    char folder[DISK_PATH_MAX];
    m->keeping = (struct keeping){0}; /* counts what this one does */
    m->disk = disk_new(w, m);
    disk_folder(w, m->disk, folder);
    m->storage = storage_new(&(struct storage_opts){.shard = m->shard,
                                                    .folder = folder,
                                                    .id = {.db_uid = d->config.uid,
                                                           .shard = m->id,
                                                           .partitions = d->config.partitions,
                                                           .first = m->first,
                                                           .count = m->count},
                                                    .policy = policy_of(&d->config),
                                                    .segment_bytes = w->opts.segment_bytes,
                                                    .slice_bytes = w->opts.slice_bytes,
                                                    .snapshot_bytes = d->config.snapshot_bytes,
                                                    .log_retention = archive_retention(&d->config),
                                                    .filled = filled,
                                                    .owner = m->disk});
}

void disk_begin(struct worker *w, struct port *port, struct disk *k)
{
    char folder[DISK_PATH_MAX];
    k->waits = erase_runs(w, k);
    if (k->waits)
        return;
    snprintf(folder, sizeof folder, "%s/db%u", w->opts.data, k->uid);
    k->parent = true;
    disk_ask(port, k, FILE_MKDIR, folder, DISK_PARENT);
}

void disk_open(struct database *d, struct port *port, struct moment now)
{
    d->closed_members = d->members_count;
    durable_set(d->front, port, d->config.persistence == PERSIST_ALWAYS, false, now);
    for (uint32_t i = 0; i < d->members_count; i++) {
        make_storage(d, &d->members[i], false);
        disk_begin(d->worker, port, d->members[i].disk);
    }
}

/* ------------------------------------------------------------ changing */

/* What an earlier attempt left goes first. */
static void begin_member(struct database *d, struct port *port, struct member *m)
{
    struct disk *old = disk_new(d->worker, m);
    old->member = NULL;
    old->erase = old->files_only = true;
    m->again_us = 0;
    erase_begin(d->worker, port, old);
    make_storage(d, m, true);
    disk_begin(d->worker, port, m->disk);
}

/* From now on there are files: of what is in memory, too. */
static void begin_files(struct database *d, struct port *port)
{
    for (uint32_t i = 0; i < d->members_count; i++)
        begin_member(d, port, &d->members[i]);
}

/* Foundings before this one that were not removed to the end. */
static void erase_old(struct worker *w, struct port *port, const struct disk *k, struct bytes list)
{
    for (size_t at = 0; at < list.n; at += strlen((const char *)list.p + at) + 1) {
        uint32_t founding;
        if (!read_folder((const char *)list.p + at, k->shard, &founding) || founding >= k->founding)
            continue;
        struct disk *old = disk_new(w, k->member);
        old->member = NULL;
        old->founding = founding;
        old->erase = old->parent_stays = true;
        if (!erase_runs(w, old))
            erase_begin(w, port, old);
        else
            disk_free(w, old);
    }
}

/* From now on there are none: whoever wants it so does not want to see them again. */
static void end_files(struct database *d, struct port *port, struct moment now)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        disk_leave(m, port, true);
        shard_set_durable(m->shard, false);
        shard_set_refusal(m->shard, NULL);
        m->refusal[0] = 0;
        m->again_us = 0;
        m->slow = false;
        database_relink(d, port, m, now);
    }
    buf_deinit(&d->syncs);
    durable_set(d->front, port, false, false, now);
    durable_fails(d->front, port, false);
}

void disk_configure(struct database *d, struct port *port, bool was_on_disk, bool anew,
                    struct moment now)
{
    bool on_disk = database_on_disk(&d->config);
    bool ends = was_on_disk && (!on_disk || anew), begins = on_disk && (!was_on_disk || anew);
    if (ends)
        end_files(d, port, now);
    if (begins)
        begin_files(d, port);
    for (uint32_t i = 0; on_disk && !begins && i < d->members_count; i++) {
        struct storage *s = d->members[i].storage;
        storage_set_policy(s, policy_of(&d->config));
        storage_set_retention(s, archive_retention(&d->config));
        storage_set_snapshot_bytes(s, d->config.snapshot_bytes);
    }
}

/* ------------------------------------------------------------ durable turns */

/* A turn in which somebody wrote who waits for the disk: where the logs of the members ended. */
struct sync_mark {
    uint64_t turn;
    uint64_t ends[]; /* by member */
};

static size_t mark_size(const struct database *d)
{
    return sizeof(struct sync_mark) + d->members_count * sizeof(uint64_t);
}

static bool is_durable(const struct database *d, const struct sync_mark *k)
{
    for (uint32_t i = 0; i < d->members_count; i++)
        if (d->members[i].storage != NULL && storage_durable(d->members[i].storage) < k->ends[i])
            return false;
    return true;
}

static void look_durable(struct database *d, struct port *port, struct moment now)
{
    uint64_t turn = 0;
    while (buf_len(&d->syncs) > 0) {
        const struct sync_mark *k = (const void *)(d->syncs.p + d->syncs.head);
        if (!is_durable(d, k))
            break;
        turn = k->turn;
        buf_consume(&d->syncs, mark_size(d));
    }
    if (turn != 0)
        durable_reached(d->front, port, turn, now);
}

static void mark_turn(struct database *d, struct port *port, struct moment now)
{
    uint64_t turn = durable_turn(d->front);
    if (turn == 0)
        return;
    struct sync_mark *k = (struct sync_mark *)(void *)buf_reserve(&d->syncs, mark_size(d));
    k->turn = turn;
    for (uint32_t i = 0; i < d->members_count; i++)
        k->ends[i] = log_end(shard_log(d->members[i].shard));
    buf_added(&d->syncs, mark_size(d));
    look_durable(d, port, now); /* what was written may have been nothing */
}

/* ------------------------------------------------------------ answers */

/* The disk has got further: peers may hear of it. */
static void tell_durable(struct member *m, struct moment now)
{
    if (m->syncer != NULL)
        syncer_durable(m->syncer, now);
}

/* It was brought back: the folder is told as which life it goes on, then it is open. */
static void choose_life(struct member *m, struct port *port, struct moment now)
{
    settle_choose(m);
    if (settle_chosen(m, port))
        database_opened(m->database, port, m, now);
    else
        m->disk->chosen = true;
}

static void storage_answered(struct member *m, struct port *port, struct file_req *taken,
                             struct moment now)
{
    struct database *d = m->database;
    struct storage *s = m->storage;
    bool opened = storage_state(s) == STORAGE_OPENS;
    uint64_t durable = storage_durable(s);
    storage_answer(s, port, taken, now);
    if (storage_durable(s) != durable && !opened) {
        tell_durable(m, now);
        look_durable(d, port, now);
    }
    opened = opened && storage_state(s) == STORAGE_RUNS;
    if (opened && m->open) /* files for what was in memory only */
        database_relink(d, port, m, now);
    else if (opened)
        choose_life(m, port, now);
    else if (!m->open && storage_state(s) == STORAGE_BROKEN)
        dataset_failed(d->front, port, storage_error(s));
}

/* Before it is opened; nothing was changed. */
static void refuse(struct member *m, struct port *port, const char *why)
{
    m->disk->parent = false;
    storage_refuse(m->storage, port, why);
    if (!m->open)
        dataset_failed(m->database->front, port, why);
}

static void settle_answered(struct member *m, struct port *port, struct file_req *taken,
                            struct moment now)
{
    struct disk *k = m->disk;
    char why[DISK_PATH_MAX + 200];
    if (settle_failed(m, taken)) {
        snprintf(why, sizeof why,
                 "reading %s: %s. Nothing was changed: repair the disk, then start again",
                 taken->path, err_text(taken->err));
        file_req_free(taken);
        refuse(m, port, why);
        return;
    }
    bool chosen = k->chosen;
    bool done = settle_answer(m, port, taken, now);
    file_req_free(taken);
    if (!done)
        return;
    if (k->parent)
        storage_start(m->storage, port, now);
    k->parent = k->chosen = false;
    if (chosen)
        database_opened(m->database, port, m, now);
}

static void parent_made(struct worker *w, struct port *port, struct disk *k,
                        const struct file_req *taken)
{
    char why[DISK_PATH_MAX + 200], folder[DISK_PATH_MAX];
    if (taken->err == ERR_OK || taken->err == ERR_EXISTS) {
        snprintf(folder, sizeof folder, "%s/db%u", w->opts.data, k->uid);
        disk_ask(port, k, FILE_FOLDERS, folder, DISK_OLD);
        return;
    }
    snprintf(why, sizeof why, "making the folder %s: %s", taken->path, err_text(taken->err));
    refuse(k->member, port, why);
}

void disk_answer(struct worker *w, struct port *port, struct file_req *taken, struct moment now)
{
    struct disk *k = taken->owner;
    if (k == NULL) {
        file_req_free(taken);
    } else if (k->probe != 0) {
        probe_answer(w, port, taken, now);
    } else if (k->member == NULL && k->missing == 0) {
        erase_answer(w, port, taken);
    } else if (k->member == NULL) {
        file_req_free(taken);
        if (--k->missing == 0)
            erase_begin(w, port, k);
    } else if (taken->tag == DISK_PARENT) {
        parent_made(w, port, k, taken);
        file_req_free(taken);
    } else if (taken->tag == DISK_OLD) {
        erase_old(w, port, k, buf_bytes(&taken->data));
        file_req_free(taken);
        settle_read(w, port, k);
    } else if (taken->tag == SETTLE_READ || taken->tag == SETTLE_WRITE) {
        settle_answered(k->member, port, taken, now);
    } else {
        storage_answered(k->member, port, taken, now);
    }
    if (w->stopped)
        worker_try_end(w, port, now);
}

void disk_leave(struct member *m, struct port *port, bool erase)
{
    struct disk *k = m->disk;
    if (k == NULL)
        return;
    k->member = NULL;
    k->waits = false;
    k->missing = storage_requests(m->storage) + (k->parent || k->writes);
    k->erase = erase;
    storage_free(m->storage);
    m->storage = NULL;
    m->disk = NULL;
    m->gated = false;
    m->noted = m->before = (struct life_note){0};
    if (k->missing == 0)
        erase_begin(m->database->worker, port, k);
}

void disk_close(struct database *d, struct port *port, struct moment now)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage == NULL || !m->open)
            continue;
        shard_close_frames(m->shard, now);
        storage_close(m->storage, port, now);
    }
}

static bool is_closed(const struct member *m)
{
    return m->storage == NULL || !m->open || storage_state(m->storage) == STORAGE_CLOSED;
}

bool disk_closed(const struct database *d)
{
    for (uint32_t i = 0; i < d->members_count; i++)
        if (!is_closed(&d->members[i]))
            return false;
    return true;
}

void disk_count_open(const struct database *d, struct disk_open *out)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        const struct member *m = &d->members[i];
        if (is_closed(m))
            continue;
        bool failing = storage_error(m->storage)[0] != 0;
        out->failing += failing;
        out->waiting += !failing;
    }
}

bool disk_log_open(const struct database *d, struct port *port)
{
    bool lost = false;
    for (uint32_t i = 0; i < d->members_count; i++) {
        const struct member *m = &d->members[i];
        struct storage_stats stats;
        if (is_closed(m))
            continue;
        const char *error = storage_error(m->storage);
        storage_stats(m->storage, &stats);
        lost |= stats.journal.behind > 0 || storage_state(m->storage) == STORAGE_BROKEN ||
                !storage_founded(m->storage);
        port_log(port, 'E',
                 "database %u (%s): stopped without an orderly end, %llu bytes of its log were in "
                 "memory only: %s",
                 d->config.uid, d->config.name, (unsigned long long)stats.journal.behind,
                 error[0] != 0 ? error : "the disk has not answered");
    }
    return lost;
}

/* ------------------------------------------------------------ turns */

#define STUCK_US UINT64_C(3000000) /* a request that has no answer for longer */
#define SLOW_BYTES (32u << 20)     /* of the log, beyond its ring: writers wait for the disk ... */
#define FULL_BYTES (64u << 20)     /* ... and nothing more is taken from peers */
#define AGAIN_US UINT64_C(500000)

#define SPLIT_TEXT                                                                                 \
    "MISCONF This region was started from an older copy of its files and wrote, while what it "    \
    "had "                                                                                         \
    "written since then is in other regions under the same numbers. Writes are refused and its "   \
    "links are closed, reads go on, nothing was lost: see 'An older copy is put back' in "         \
    "docs/recovery.md"

/* What clients that write are told; false: the disk is well. */
static bool find_fault(const struct member *m, struct moment now, char *out, size_t size)
{
    struct storage_stats stats;
    const char *error = storage_error(m->storage);
    storage_stats(m->storage, &stats);
    uint64_t since = stats.journal.waits_us;
    bool stuck = since < now.mono_us && now.mono_us - since > STUCK_US;
    if (m->split)
        snprintf(out, size, SPLIT_TEXT);
    else if (error[0] != 0)
        snprintf(out, size,
                 "MISCONF Errors writing to the log on disk: %s. Writes are refused until that "
                 "works again, reads go on: make room or repair the disk, no restart is needed",
                 error);
    else if (stuck)
        snprintf(out, size,
                 "MISCONF Errors writing to the log on disk: it has not answered for %u s. Writes "
                 "are refused until it does, reads go on: look at the disk, no restart is needed",
                 (unsigned)((now.mono_us - since) / 1000000));
    return m->split || error[0] != 0 || stuck;
}

/* Files that could not be begun, of a shard that has been running without: once more. */
static void try_again(struct database *d, struct port *port, struct member *m, struct moment now)
{
    if (storage_state(m->storage) != STORAGE_BROKEN)
        return;
    if (m->again_us == 0)
        m->again_us = now.mono_us + AGAIN_US;
    if (now.mono_us < m->again_us)
        return;
    disk_leave(m, port, false);
    begin_member(d, port, m);
}

/* A disk that fails refuses writes, one that is slow slows writers and peers down. */
static void look_after(struct member *m, struct port *port, struct moment now)
{
    char fault[sizeof m->refusal];
    bool failing = find_fault(m, now, fault, sizeof fault);
    if (storage_state(m->storage) == STORAGE_OPENS)
        return; /* files that are tried again: what was wrong is so until they are there */
    if (failing != (m->refusal[0] != 0)) {
        if (storage_error(m->storage)[0] == 0 && !m->split) /* the journal tells of errors itself */
            port_log(port, failing ? 'E' : 'I', "database %u (%s), shard %u: %s",
                     m->database->config.uid, m->database->config.name, m->id,
                     failing ? fault : "its log on disk is written again");
        snprintf(m->refusal, sizeof m->refusal, "%s", failing ? fault : "");
        shard_set_refusal(m->shard, failing ? m->refusal : NULL);
    }
    if (m->split) {
        shard_set_stale(m->shard, false);
    }
    size_t overdue = log_overdue(shard_log(m->shard));
    m->slow = overdue > SLOW_BYTES || (m->slow && overdue > 0);
    if (m->syncer != NULL && (overdue > FULL_BYTES || !m->slow))
        syncer_hold(m->syncer, port, overdue > FULL_BYTES, now);
}

static void look_after_all(struct database *d, struct port *port, struct moment now)
{
    bool slow = false, failing = false, always = d->config.persistence == PERSIST_ALWAYS;
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage == NULL || !m->open)
            continue;
        try_again(d, port, m, now);
        look_after(m, port, now);
        always &= storage_founded(m->storage);
        slow |= m->slow;
        failing |= storage_error(m->storage)[0] != 0; /* one that only stalls may go on */
    }
    durable_set(d->front, port, always, slow, now);
    durable_fails(d->front, port, failing);
}

void disk_turn(struct database *d, struct port *port, struct moment now)
{
    look_after_all(d, port, now);
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage == NULL || !m->open)
            continue;
        shard_close_frames(m->shard, now);
        storage_step(m->storage, port, now);
    }
    settle_turn(d, port, now);
    if (d->front->durable.on)
        mark_turn(d, port, now);
}

uint64_t disk_deadline(const struct database *d)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < d->members_count; i++) {
        const struct member *m = &d->members[i];
        uint64_t then = m->storage != NULL && m->open ? storage_deadline(m->storage) : UINT64_MAX;
        at = then < at ? then : at;
        at = m->again_us != 0 && m->again_us < at ? m->again_us : at;
    }
    return at;
}
