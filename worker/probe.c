/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/inside.h"

#include <stdio.h>

/*
 * The check before a change of what is on disk. Workers that begin, or promise more, find out
 * whether their disks would take it: a small file is written and synced where the files are to be,
 * and removed again. So a change that one of them refuses leaves nothing to be undone, on it or on
 * others. What promises less, or nothing, is not checked: it is a way out when a disk fails.
 */
#define WAIT_US UINT64_C(5000000)
#define PROBE_BYTES 16384u /* more than what a first, empty snapshot and a segment take */

static void path_of(const struct worker *w, const struct disk *k, uint32_t tag, char *out,
                    size_t size)
{
    char folder[DISK_PATH_MAX];
    disk_folder(w, k, folder);
    if (tag == PROBE_PARENT)
        snprintf(out, size, "%s/db%u", w->opts.data, k->uid);
    else /* whoever opens the folder removes what ends so */
        snprintf(out, size, "%s%s", folder,
                 tag == PROBE_FILE || tag == PROBE_GONE ? "/probe.new" : "");
}

static void ask(struct worker *w, struct port *port, struct disk *k, uint32_t tag)
{
    static const enum file_op ops[] = {FILE_MKDIR, FILE_MKDIR, FILE_APPEND, FILE_REMOVE,
                                       FILE_REMOVE};
    char path[DISK_PATH_MAX + 16];
    path_of(w, k, tag, path, sizeof path);
    struct file_req *r = file_req_new(ops[tag - PROBE_PARENT], path);
    r->owner = k;
    r->tag = tag;
    if (tag == PROBE_FILE) {
        r->sync = true;
        memset(buf_reserve(&r->data, PROBE_BYTES), 0, PROBE_BYTES);
        buf_added(&r->data, PROBE_BYTES);
    }
    port->ops->file(port, r);
}

static void reply(struct database *d, struct port *port, struct moment now)
{
    uint32_t ticket = d->probe.ticket;
    d->probe.ticket = 0;
    change_reply(d->worker, port, ticket, d->probe.error, now);
}

static void note_failure(struct worker *w, const struct disk *k, const struct file_req *r)
{
    struct database *d = database_find(w, k->uid);
    if (d == NULL || d->probe.ticket != k->probe || d->probe.error[0] != 0)
        return;
    snprintf(d->probe.error, sizeof d->probe.error,
             "%.140s: %s. Nothing was changed: make room or repair the disk, then try again",
             r->path, err_text(r->err));
}

static void finish(struct worker *w, struct port *port, struct disk *k, struct moment now)
{
    struct database *d = database_find(w, k->uid);
    uint32_t ticket = k->probe;
    erase_finish(w, port, k);
    if (d != NULL && d->probe.ticket == ticket && --d->probe.missing == 0)
        reply(d, port, now);
}

void probe_answer(struct worker *w, struct port *port, struct file_req *taken, struct moment now)
{
    struct disk *k = taken->owner;
    uint32_t tag = taken->tag;
    bool folder = tag == PROBE_PARENT || tag == PROBE_FOLDER;
    bool good = taken->err == ERR_OK || (folder && taken->err == ERR_EXISTS);
    if (tag == PROBE_FOLDER)
        k->made = taken->err == ERR_OK;
    if (!good && tag <= PROBE_FILE) /* what can't be removed goes when the folder is opened */
        note_failure(w, k, taken);
    if (tag == PROBE_LEFT || (folder && !good) || (tag == PROBE_GONE && !k->made))
        finish(w, port, k, now);
    else
        ask(w, port, k, tag + 1);
    file_req_free(taken);
}

static bool wants_more(const struct plane_db *old, const struct plane_db *db)
{
    return database_on_disk(db) &&
           (db->persistence > old->persistence || db->founding != old->founding);
}

bool probe_refuses(const struct database *d, const struct plane_db *db, char *error, size_t size)
{
    for (uint32_t i = 0; wants_more(&d->config, db) && i < d->members_count; i++) {
        const struct storage *s = d->members[i].storage;
        if (s == NULL || storage_error(s)[0] == 0)
            continue;
        snprintf(error, size,
                 "%.140s. Nothing was changed: make room or repair the disk, then try again",
                 storage_error(s));
        return true;
    }
    return false;
}

bool probe_begin(struct database *d, struct port *port, const struct plane_db *db, uint32_t ticket,
                 struct moment now, char *error, size_t size)
{
    if (!wants_more(&d->config, db) || d->members_count == 0 || probe_refuses(d, db, error, size))
        return false;
    d->probe = (struct probe){
        .ticket = ticket, .missing = d->members_count, .until_us = now.mono_us + WAIT_US};
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct disk *k = disk_new(d->worker, &d->members[i]);
        k->member = NULL;
        k->probe = ticket;
        k->founding = db->founding;
        ask(d->worker, port, k, PROBE_PARENT);
    }
    return true;
}

void probe_tick(struct database *d, struct port *port, struct moment now)
{
    if (d->probe.ticket == 0 || now.mono_us < d->probe.until_us)
        return;
    if (d->probe.error[0] == 0)
        snprintf(d->probe.error, sizeof d->probe.error,
                 "the disk has not answered for %u s. Nothing was changed: look at the disk, then "
                 "try again",
                 (unsigned)(WAIT_US / 1000000));
    reply(d, port, now);
}
