/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/inside.h"

/*
 * Between a shard's links and its files: a feed whose peer was away for longer than the log's
 * memory reaches reads the log on disk. Neither side knows the other.
 */

#define ROOM_MIN ((size_t)16 << 20)
#define ROOM_UNLIMITED ((size_t)256 << 20) /* of a database without a memory limit */
#define RETENTION_MIN (UINT64_C(1) << 30)  /* of a database, unless its user says otherwise */

uint64_t archive_retention(const struct plane_db *db)
{
    uint64_t bytes = db->log_retention;
    if (bytes == 0)
        bytes = db->memory_max / 10 > RETENTION_MIN ? db->memory_max / 10 : RETENTION_MIN;
    return bytes / db->shards > 0 ? bytes / db->shards : 1;
}

size_t archive_room(const struct plane_db *db)
{
    uint64_t bytes = db->memory_max > 0 ? db->memory_max / 16 : ROOM_UNLIMITED;
    bytes /= db->shards;
    return bytes > ROOM_MIN ? (size_t)bytes : ROOM_MIN;
}

/* ------------------------------------------------------------ what feeds ask */

/* NULL: the files have gone, or are only being made. A feed may still ask, while its link ends. */
static struct archive *archive_of(const struct member *m)
{
    return m->storage != NULL ? storage_archive(m->storage) : NULL;
}

static bool is_ready(void *arg)
{
    const struct archive *a = archive_of(arg);
    return a != NULL && archive_ready(a);
}

static uint64_t find(void *arg, uint32_t partition,
                     bool (*reaches)(void *, uint32_t, const struct context *), void *reader)
{
    const struct archive *a = archive_of(arg);
    return a != NULL ? archive_find(a, partition, reaches, reader) : 0;
}

static enum syncer_asked read_from(void *arg, struct port *port, uint64_t ticket,
                                   struct syncer_place from, size_t bytes)
{
    static const enum syncer_asked answers[] = {
        [ARCHIVE_ASKED] = SYNCER_ASKED, [ARCHIVE_END] = SYNCER_END, [ARCHIVE_GONE] = SYNCER_GONE};
    struct archive *a = archive_of(arg);
    struct archive_place place = {.segment = from.segment, .offset = from.offset};
    return a != NULL ? answers[archive_read(a, port, ticket, place, bytes)] : SYNCER_GONE;
}

static bool take(void *arg, struct port *port, uint64_t ticket, unsigned frames, struct moment now)
{
    struct archive *a = archive_of(arg);
    return a != NULL && archive_take(a, port, ticket, frames, now);
}

static uint64_t left(void *arg, struct syncer_place from)
{
    const struct archive *a = archive_of(arg);
    struct archive_place place = {.segment = from.segment, .offset = from.offset};
    return a != NULL ? archive_left(a, place) : 0;
}

static void keep(void *arg, uint64_t ticket, uint64_t segment)
{
    struct archive *a = archive_of(arg);
    if (a != NULL)
        archive_keep(a, ticket, segment);
}

/* ------------------------------------------------------------ what files answer */

static void have_frame(void *arg, struct port *port, uint64_t ticket, const struct frame *f)
{
    const struct member *m = arg;
    if (m->syncer != NULL)
        syncer_archive_frame(m->syncer, port, ticket, f);
}

static void have_all(void *arg, struct port *port, uint64_t ticket, struct archive_place next,
                     bool good, struct moment now)
{
    const struct member *m = arg;
    struct syncer_place place = {.segment = next.segment, .offset = next.offset};
    if (m->syncer != NULL)
        syncer_archive_done(m->syncer, port, ticket, place, good, now);
}

static bool somebody_lacks(void *arg, uint32_t partition, const struct context *seen)
{
    const struct member *m = arg;
    return m->syncer != NULL && syncer_lacks(m->syncer, partition, seen);
}

void archive_link(struct member *m)
{
    struct syncer_archive archive = {.arg = m,
                                     .ready = is_ready,
                                     .find = find,
                                     .read = read_from,
                                     .take = take,
                                     .left = left,
                                     .keep = keep};
    struct archive_readers readers = {
        .arg = m, .frame = have_frame, .done = have_all, .lacks = somebody_lacks};
    if (archive_of(m) == NULL)
        return;
    syncer_set_archive(m->syncer, &archive);
    archive_set_readers(archive_of(m), &readers);
}
