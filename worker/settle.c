/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/inside.h"

#include <stdio.h>

/*
 * Which life a shard goes on as after a restart, and what is known of the lives before. Its folder
 * has a file that says so, since the log can't: whether an operation has left the process before it
 * was durable is not seen in it. Its bytes are in lives.h.
 *
 * The same life. With policy always peers get only what is synced (settle_limit), so a process that
 * is killed leaves nothing anywhere that its log lacks, and the next one goes on as the same life:
 * with its number, at once. So it is after an orderly end, whatever the policy. The file says so
 * only once all that has left before is durable, and before peers get more than that again it says
 * so no longer; a write of it that failed may have happened, and is repeated. A folder that was not
 * there when the process before was started (an older copy, or one that another process took) is
 * known by that process' incarnation, and begins a new life.
 *
 * A new life. It has a number that others may have had (crdt/stamp.h), and may write at once only
 * if nobody can have anything of these that is not here; what is written then would pass for having
 * seen it. Only peers can tell, so a life that has learnt it from them (syncer_settled) notes it. A
 * life whose number is not known to be free catches up with its peers before it writes, as if the
 * disk had kept nothing.
 *
 * A file that says nothing. It may be absent by right: the folder is new, or its database has just
 * become one of several regions, and nobody had been promised anything. One that is there and
 * damaged, or of a later release, may have said that the life before had not caught up: so has the
 * next one to, and it is a new one. One that the disk does not give must not be written over: the
 * folder is not opened.
 *
 * An older copy. The syncer finds it out from what peers have, or know of later lives
 * (syncer/copies.c). If nothing overlaps yet the shard goes on as a life later than all of these,
 * which catches up first: the file says so before the new life is told to anybody. If it has
 * written since, there is no way back to one history: it keeps what it has, says so to whoever
 * writes, and has no links any more, in later processes neither.
 */
#define LOOK_US UINT64_C(200000)
#define RETRY_US UINT64_C(500000)

static void path_of(const struct worker *w, const struct disk *k, char *out, size_t size)
{
    char folder[DISK_PATH_MAX];
    disk_folder(w, k, folder);
    snprintf(out, size, "%s/lives", folder);
}

static uint32_t process_of(const struct member *m)
{
    return database_incarnation(&m->database->config);
}

/* ------------------------------------------------------------ the file */

void settle_read(struct worker *w, struct port *port, struct disk *k)
{
    char path[DISK_PATH_MAX + 8];
    path_of(w, k, path, sizeof path);
    disk_ask(port, k, FILE_READ, path, SETTLE_READ);
}

static void note(struct member *m, struct port *port, struct life_note n)
{
    char path[DISK_PATH_MAX + 8];
    path_of(m->database->worker, m->disk, path, sizeof path);
    struct file_req *r = file_req_new(FILE_WRITE, path);
    life_note_put(&r->data, &n);
    r->owner = m->disk;
    r->tag = SETTLE_WRITE;
    m->noting = n;
    m->disk->writes = true;
    port->ops->file(port, r);
}

bool settle_failed(const struct member *m, const struct file_req *r)
{
    return r->op == FILE_READ && r->err != ERR_OK && r->err != ERR_NOT_FOUND &&
           r->err != ERR_TOO_BIG && database_is_geo(&m->database->config);
}

/* There is a file, and it cannot be made out. */
static void unreadable(const struct member *m, struct port *port, const struct file_req *r,
                       struct life_note *found)
{
    *found = (struct life_note){.lacks = true};
#ifdef MUTANT_lives_unread
    found->lacks = false; /* the planted bug: what it may have said is not so */
#endif
    if (database_is_geo(&m->database->config))
        port_log(
            port, 'W',
            "%s is damaged, or of a later release: it does not say what this shard had missed, "
            "so its writes wait until it has caught up with another region",
            r->path);
}

/* Nobody had its number, or whoever had is over for good. Between the life that is noted and the
 * last process that went on as it, none began; since then, any of the processes may have. */
static bool is_free(const struct life_note *found, uint32_t life)
{
    while (life >= INCARNATIONS) {
        life -= INCARNATIONS;
        if (life < found->settled)
            return true;
        if (life <= found->life || life >= found->process)
            return false;
    }
    return true;
}

/* As which life it would go on that is not the one before: as that of its process, unless one that
 * was an older copy is ahead of that. */
static void prepare_new(struct member *m, const struct life_note *found, bool read)
{
    uint32_t process = process_of(m);
    m->fresh = read && found->life >= process ? found->life + 1 : process;
    m->free = is_free(found, m->fresh);
    m->was = read ? actor_make(m->database->config.region, found->life) : 0;
}

bool settle_answer(struct member *m, struct port *port, const struct file_req *r, struct moment now)
{
    uint32_t process = process_of(m);
    m->disk->writes = false;
    if (r->op == FILE_WRITE) {
        if (r->err == ERR_OK)
            m->noted = m->noting;
        m->note_us = r->err == ERR_OK ? 0 : now.mono_us + RETRY_US;
        m->doubtful = r->err != ERR_OK;
        return true;
    }
    struct life_note found = {0};
    bool read = r->err == ERR_OK && life_note_get(buf_bytes(&r->data), process, &found);
    if (!read && r->err != ERR_NOT_FOUND)
        unreadable(m, port, r, &found);
    bool next = read && process > 0 && found.process == process - 1;
    if (!m->open)
        prepare_new(m, &found, read);
    if (!next) { /* there may have been a life for each of the processes between */
        found.complete = false;
        if (process > found.life)
            found.life = process - 1;
    }
    m->before = m->noted = found;
    m->doubtful = false;
    m->follows = next;
    m->split = found.split;
    if (m->open || !database_is_geo(&m->database->config))
        return true;
    found.process = process; /* known as this one's from here on, whatever becomes of it */
    note(m, port, found);
    return false;
}

/* ------------------------------------------------------------ which life */

static uint32_t own_actor(const struct member *m)
{
    return actor_make(m->database->config.region, m->incarnation);
}

void settle_choose(struct member *m)
{
    bool kept = storage_kept(m->storage) && !m->before.lacks;
    bool always = m->database->config.persistence == PERSIST_ALWAYS;
    m->incarnation = m->fresh;
    if (!kept || m->was == own_actor(m))
        m->was = 0; /* not all that was written as that one is here, or it is one again */
    m->gated = always;
    m->gate_pos = 0;
    m->whole_pos = UINT64_MAX;
    m->settled = m->before.settled;
    m->sure = kept && m->before.settled == m->before.life;
    m->free = m->sole = kept && m->free;
    if (!kept || !m->follows || (!m->before.complete && !storage_orderly(m->storage)))
        return;
    m->incarnation = m->before.life;
    m->was = 0;
    m->free = m->sole = true;
    m->gated |= m->before.complete;
}

bool settle_chosen(struct member *m, struct port *port)
{
    struct life_note n = {.process = process_of(m),
                          .life = m->incarnation,
                          .settled = m->settled,
                          .complete = m->gated,
                          .split = m->split,
                          .lacks = !storage_kept(m->storage) || m->before.lacks};
    if (!database_is_geo(&m->database->config) || life_note_eq(&n, &m->noted))
        return true;
    note(m, port, n);
    return false;
}

uint64_t settle_limit(void *arg)
{
    const struct member *m = arg;
#ifdef MUTANT_ships_unsynced
    return UINT64_MAX; /* the planted bug: peers get what the disk has not */
#endif
    return m->storage != NULL && m->gated ? storage_synced(m->storage) : UINT64_MAX;
}

/* ------------------------------------------------------------ while it lives */

static void look_settled(struct member *m, struct moment now)
{
    if (now.mono_us < m->settle_us || m->settled == m->incarnation)
        return;
    m->settle_us = now.mono_us + LOOK_US;
    if (syncer_settled(m->syncer))
        m->settled = m->incarnation;
}

/* Peers get no more than what is synced from now on, or more: once the file says that it is so. */
static void look_gated(struct member *m)
{
    bool wanted = m->database->config.persistence == PERSIST_ALWAYS && storage_founded(m->storage);
    if (wanted && !m->gated) {
        m->gated = true;
        m->gate_pos = log_end(shard_log(m->shard));
    } else if (!wanted && m->gated && !m->noted.complete && !m->doubtful && !m->disk->writes) {
        m->gated = false;
    }
}

/* As a life that peers have not heard of, with another actor. */
static void begin_anew(struct member *m)
{
    uint32_t newest = syncer_newest(m->syncer), life = process_of(m);
    if (newest >= life)
        life = newest + 1;
    if (life == m->incarnation)
        return;
    life += (life - m->incarnation) % INCARNATIONS == 0;
    if (m->was == 0 || shard_written(m->shard) > 0)
        m->was = own_actor(m);
    m->incarnation = life;
    m->free = m->sole = m->sure = false;
}

/* The links have found out that the files were an older copy. */
static void look_copy(struct member *m, struct port *port, struct moment now)
{
    enum syncer_copy copy = m->syncer != NULL ? syncer_copy(m->syncer) : COPY_NONE;
    if (copy == COPY_SPLIT) {
        m->split = true;
        database_split(m, port);
    } else if (copy == COPY_OLD && syncer_actor(m->syncer) == own_actor(m)) {
        begin_anew(m);
    }
    if (m->syncer != NULL && !m->disk->writes && m->noted.life == m->incarnation &&
        m->noted.lacks && syncer_actor(m->syncer) != own_actor(m))
        database_rename(m->database, port, m, now);
}

/* Would the next process lack something of what this region has claimed? So it is until what this
 * one has caught up with is durable. */
static bool lacks(struct member *m)
{
    if (m->syncer == NULL || !syncer_caught_up(m->syncer)) {
        m->whole_pos = UINT64_MAX;
        return true;
    }
    if (m->whole_pos == UINT64_MAX)
        m->whole_pos = log_end(shard_log(m->shard));
#ifdef MUTANT_caught_up_in_memory
    return false; /* the planted bug */
#endif
    return m->noted.lacks && storage_durable(m->storage) < m->whole_pos;
}

static void look(struct member *m, struct port *port, struct moment now)
{
    if (m->syncer != NULL && syncer_actor(m->syncer) == own_actor(m))
        look_settled(m, now);
    look_gated(m);
    look_copy(m, port, now);
    bool always = m->database->config.persistence == PERSIST_ALWAYS;
    struct life_note n = {.process = process_of(m),
                          .life = m->incarnation,
                          .settled = m->settled,
                          .complete =
                              always && m->gated && storage_synced(m->storage) >= m->gate_pos,
                          .split = m->split,
                          .lacks = lacks(m)};
    if (!m->disk->writes && now.mono_us >= m->note_us &&
        (m->doubtful || !life_note_eq(&n, &m->noted)))
        note(m, port, n);
}

void settle_turn(struct database *d, struct port *port, struct moment now)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage != NULL && (m->syncer != NULL || m->split) && m->open &&
            storage_state(m->storage) == STORAGE_RUNS)
            look(m, port, now);
    }
}

void settle_number(struct database *d, struct port *port, struct moment now)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (m->storage != NULL || m->syncer == NULL || syncer_copy(m->syncer) != COPY_OLD)
            continue;
        begin_anew(m);
        if (syncer_actor(m->syncer) != own_actor(m))
            database_rename(d, port, m, now);
    }
}
