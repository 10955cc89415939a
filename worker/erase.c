/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/inside.h"

#include <stdio.h>

/*
 * Removes the folder of a shard whose database was deleted or is no longer on disk, once nothing is
 * under way in it any more: what is there is listed, removed one by one, then the folder, then the
 * database's if this was the last in it. What cannot be removed stays and is reported: it only
 * takes room.
 */

static bool same_folder(const struct disk *x, const struct disk *y)
{
    return x->uid == y->uid && x->shard == y->shard && x->founding == y->founding;
}

void erase_finish(struct worker *w, struct port *port, struct disk *k)
{
    const struct disk was = {.uid = k->uid, .shard = k->shard, .founding = k->founding};
    disk_free(w, k);
    for (struct disk *next = w->disks; next != NULL; next = next->next)
        if (same_folder(next, &was) && next->waits)
            disk_begin(w, port, next);
}

void erase_begin(struct worker *w, struct port *port, struct disk *k)
{
    char folder[DISK_PATH_MAX];
    if (!k->erase) {
        erase_finish(w, port, k);
        return;
    }
    disk_folder(w, k, folder);
    disk_ask(port, k, FILE_LIST, folder, ERASE_LIST);
}

bool erase_runs(const struct worker *w, const struct disk *where)
{
    for (const struct disk *k = w->disks; k != NULL; k = k->next)
        if (k->member == NULL && k != where && same_folder(k, where))
            return true;
    return false;
}

bool erase_any(const struct worker *w)
{
    for (const struct disk *k = w->disks; k != NULL; k = k->next)
        if (k->member == NULL && k->erase)
            return true;
    return false;
}

/* The next file, at last the folder. */
static void erase_next(struct worker *w, struct port *port, struct disk *k)
{
    char folder[DISK_PATH_MAX], path[DISK_PATH_MAX + 256];
    disk_folder(w, k, folder);
    if (buf_len(&k->names) == 0 && k->files_only) {
        erase_finish(w, port, k);
        return;
    }
    if (buf_len(&k->names) == 0) {
        disk_ask(port, k, FILE_REMOVE, folder, ERASE_FOLDER);
        return;
    }
    uint64_t size;
    const char *name = (const char *)k->names.p + k->names.head + sizeof size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_consume(&k->names, sizeof size + strlen(name) + 1);
    disk_ask(port, k, FILE_REMOVE, path, ERASE_FILE);
}

void erase_answer(struct worker *w, struct port *port, struct file_req *taken)
{
    struct disk *k = taken->owner; /* may be gone after erase_next */
    char parent[DISK_PATH_MAX];
    if (taken->err != ERR_OK && taken->err != ERR_NOT_FOUND && taken->tag != ERASE_PARENT)
        port_log(port, 'W', "removing the files of database %u: %s: %s", k->uid, taken->path,
                 err_text(taken->err));
    switch (taken->tag) {
    case ERASE_LIST:
        buf_put_bytes(&k->names, buf_bytes(&taken->data));
        erase_next(w, port, k);
        break;
    case ERASE_FILE:
        erase_next(w, port, k);
        break;
    case ERASE_FOLDER:
        if (k->parent_stays) {
            erase_finish(w, port, k);
            break;
        }
        snprintf(parent, sizeof parent, "%s/db%u", w->opts.data, k->uid);
        disk_ask(port, k, FILE_REMOVE, parent, ERASE_PARENT);
        break;
    default: /* other shards' folders may still be in it */
        erase_finish(w, port, k);
        break;
    }
    file_req_free(taken);
}
