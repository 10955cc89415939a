/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/inside.h"

#include <stdio.h>

/*
 * Which lives of a shard are over for good. Actors' numbers come round after INCARNATIONS lives
 * (crdt/stamp.h). A life that takes one again may write at once only if nobody can have anything of
 * the old life that is not here; what is written then would pass for having seen it. Only peers can
 * tell, so a life that has learnt it from them (syncer_settled) notes it in the shard's folder, in
 * a file that says: lives before this one are over. A life whose number is not known to be free
 * catches up with its peers before it writes, as if the disk had kept nothing.
 *
 *   0  "MERLIVES"   8  u64 the life's incarnation   16  u64 XXH3 of the 16 bytes before
 */
#define LIFE_BYTES 24u
#define LOOK_US UINT64_C(1000000)

static void path_of(const struct worker *w, const struct disk *k, char *out, size_t size)
{
    char folder[DISK_PATH_MAX];
    disk_folder(w, k, folder);
    snprintf(out, size, "%s/lives", folder);
}

void settle_read(struct worker *w, struct port *port, struct disk *k)
{
    char path[DISK_PATH_MAX + 8];
    path_of(w, k, path, sizeof path);
    disk_ask(port, k, FILE_READ, path, SETTLE_READ);
}

static void put(struct buf *out, uint64_t incarnation)
{
    buf_put(out, "MERLIVES", 8);
    buf_put(out, &incarnation, sizeof incarnation);
    uint64_t sum = hash_64(buf_bytes(out), 0);
    buf_put(out, &sum, sizeof sum);
}

void settle_answer(struct member *m, const struct file_req *r)
{
    uint64_t incarnation, sum;
    struct bytes in = buf_bytes(&r->data);
    if (r->op == FILE_WRITE) {
        m->disk->writes = false;
        m->told = r->err == ERR_OK; /* else once more */
        return;
    }
    if (r->err != ERR_OK || in.n != LIFE_BYTES || memcmp(in.p, "MERLIVES", 8) != 0)
        return; /* no life has got so far, or not known */
    memcpy(&incarnation, in.p + 8, sizeof incarnation);
    memcpy(&sum, in.p + 16, sizeof sum);
    if (sum == hash_64(bytes_of(in.p, 16), 0))
        m->settled = incarnation;
}

bool settle_is_free(const struct member *m)
{
    uint64_t incarnation = m->database->config.incarnation;
    return incarnation < INCARNATIONS || incarnation - INCARNATIONS < m->settled;
}

void settle_turn(struct database *d, struct port *port, struct moment now)
{
    char path[DISK_PATH_MAX + 8];
    if (now.mono_us < d->settle_us)
        return;
    d->settle_us = now.mono_us + LOOK_US;
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage == NULL || m->syncer == NULL || m->told || m->disk->writes ||
            !syncer_settled(m->syncer))
            continue;
        path_of(d->worker, m->disk, path, sizeof path);
        struct file_req *r = file_req_new(FILE_WRITE, path);
        put(&r->data, d->config.incarnation);
        r->owner = m->disk;
        r->tag = SETTLE_WRITE;
        m->disk->writes = true;
        port->ops->file(port, r);
    }
}
