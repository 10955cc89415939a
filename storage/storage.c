/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/storage.h"

#include "base/mem.h"

#include <stdio.h>

#define SNAPSHOT_BYTES (UINT64_C(256) << 20)
#define SNAPSHOT_RETRY_US UINT64_C(30000000)
#define CAUGHT_UP_BYTES (512u << 10)    /* of log: less than one append takes */
#define FOUND_RETRY_US UINT64_C(500000) /* of the first, as of what is appended */
#define RETENTION_BYTES (UINT64_C(1) << 30)
#define TRIM_US UINT64_C(1000000)

struct storage {
    struct storage_opts opts;
    char *folder; /* owned; opts.folder points to it */
    enum storage_state state;
    struct opening *opening;
    struct journal *journal;
    struct snapshot *snapshot;
    struct opening_result opened;
    uint64_t snapshot_from; /* bytes of log there were, of this life and read of others, when the
                               last snapshot began */
    uint64_t snapshot_next_from;
    uint64_t snapshot_at; /* mono_us: not before */
    struct archive *archive;
    uint64_t newest;        /* snapshot, whole; 0 none */
    uint64_t trim_at;       /* mono_us: when to look again for segments that nobody needs */
    bool unfounded;         /* the first snapshot is not there */
    bool ends;              /* to be closed once it runs */
    char refused[1300];     /* STORAGE_BROKEN without an opening: why */
    uint64_t founded_pos;   /* of the log, when it was founded */
    char snapshot_why[256]; /* why the last one failed, "" it has not */
    struct buf trim;        /* names to remove, each with its 0 byte */
    bool trims;             /* a request is under way */
    struct storage_stats stats;
};

struct storage *storage_new(const struct storage_opts *o)
{
    struct storage *s = mem_zalloc(sizeof *s);
    s->opts = *o;
    s->folder = mem_strdup(o->folder);
    s->opts.folder = s->folder;
    if (s->opts.owner == NULL)
        s->opts.owner = s;
    if (s->opts.snapshot_bytes == 0)
        s->opts.snapshot_bytes = SNAPSHOT_BYTES;
    storage_set_retention(s, o->log_retention);
    return s;
}

void storage_free(struct storage *s)
{
    if (s == NULL)
        return;
    opening_free(s->opening);
    snapshot_free(s->snapshot);
    journal_free(s->journal);
    archive_free(s->archive);
    buf_deinit(&s->trim);
    mem_free(s->folder);
    mem_free(s);
}

unsigned storage_requests(const struct storage *s)
{
    return (unsigned)(s->state == STORAGE_OPENS && s->opening != NULL) +
           (s->journal != NULL && journal_busy(s->journal)) +
           (s->snapshot != NULL && snapshot_waits(s->snapshot)) + s->trims +
           (s->archive != NULL ? archive_requests(s->archive) : 0);
}

void storage_start(struct storage *s, struct port *port, struct moment now)
{
    s->opening = opening_new(&(struct opening_opts){
        .shard = s->opts.shard, .folder = s->folder, .id = s->opts.id, .owner = s->opts.owner});
    opening_start(s->opening, port, now);
}

void storage_refuse(struct storage *s, struct port *port, const char *why)
{
    port_log(port, 'E', "%s", why);
    snprintf(s->refused, sizeof s->refused, "%s", why);
    s->state = STORAGE_BROKEN;
}

static void journal_began(void *arg, uint64_t number, uint64_t before_end,
                          const struct context *begin)
{
    struct storage *s = arg;
    archive_begin(s->archive, number, before_end, begin);
}

static void opened(struct storage *s, struct port *port)
{
    opening_result(s->opening, &s->opened);
    if (opening_state(s->opening) == OPENING_FAILED)
        s->state = STORAGE_BROKEN;
    if (opening_state(s->opening) != OPENING_DONE)
        return;
    struct journal_opts o = {.shard = s->opts.shard,
                             .folder = s->folder,
                             .id = s->opts.id,
                             .owner = s->opts.owner,
                             .policy = s->opts.filled ? SYNC_NONE : s->opts.policy,
                             .unpromised = s->opts.filled,
                             .segment_bytes = s->opts.segment_bytes,
                             .began = journal_began,
                             .arg = s};
    o.id.number = s->opened.next;
    o.id.before = s->opened.last;
    o.id.before_end = s->opened.last_end;
    s->archive = archive_new(
        &(struct archive_opts){.folder = s->folder, .id = s->opts.id, .owner = s->opts.owner});
    archive_start(s->archive, port, s->opened.last);
    s->newest = s->opened.snapshot;
    s->journal = journal_new(&o, log_end(shard_log(s->opts.shard)));
    shard_set_durable(s->opts.shard, true);
    s->state = STORAGE_RUNS;
#ifndef MUTANT_not_founded /* the planted bug: what was in memory before is taken for written */
    s->unfounded = s->opts.filled;
#endif
    journal_pause(s->journal, s->unfounded);
    opening_free(s->opening);
    s->opening = NULL;
}

/* ------------------------------------------------------------ removing files */

static void trim_ask(struct storage *s, struct port *port, enum file_op op, const char *name)
{
    char path[1280];
    snprintf(path, sizeof path, name != NULL ? "%s/%s" : "%s", s->folder, name);
    struct file_req *r = file_req_new(op, path);
    r->owner = s->opts.owner;
    r->tag = STORAGE_TRIM;
    s->trims = true;
    port->ops->file(port, r);
}

static void trim_next(struct storage *s, struct port *port)
{
    if (buf_len(&s->trim) == 0)
        return;
    const char *name = (const char *)s->trim.p + s->trim.head;
    trim_ask(s, port, FILE_REMOVE, name);
    buf_consume(&s->trim, strlen(name) + 1);
}

/* The first segment that stays. */
static uint64_t trim_floor(const struct storage *s)
{
#ifdef MUTANT_trim_what_is_read
    return s->newest; /* the planted bug: readers are not asked */
#else
    return archive_floor(s->archive, s->newest, s->opts.log_retention);
#endif
}

/* What a listing names that is older than the newest snapshot and that nobody needs. */
static void trim_choose(struct storage *s, struct bytes list)
{
    uint64_t floor = trim_floor(s);
    while (list.n > sizeof(uint64_t)) {
        const char *name = (const char *)list.p + sizeof(uint64_t);
        size_t used = sizeof(uint64_t) + strlen(name) + 1;
        enum file_kind kind;
        uint64_t number;
#ifdef MUTANT_rotation_deletes_needed
        /* the planted bug: the segment that the snapshot goes on in goes as well */
        if (file_name_read(name, &kind, &number) && kind == FILE_KIND_SEGMENT &&
            number == s->newest)
            buf_put(&s->trim, name, strlen(name) + 1);
#endif
        if (file_name_read(name, &kind, &number) &&
            number < (kind == FILE_KIND_SNAPSHOT ? s->newest : floor))
            buf_put(&s->trim, name, strlen(name) + 1);
        list = bytes_of(list.p + used, list.n - used);
    }
    archive_forget(s->archive, floor);
}

/* Is there a segment that nobody needs any more? */
static void trim_look(struct storage *s, struct port *port, struct moment now)
{
    struct archive_stats stats;
    if (now.mono_us < s->trim_at || s->trims || buf_len(&s->trim) > 0 || s->newest == 0)
        return;
    s->trim_at = now.mono_us + TRIM_US;
    archive_stats(s->archive, &stats);
    if (archive_ready(s->archive) && stats.oldest != 0 && stats.oldest < s->newest &&
        stats.oldest < trim_floor(s))
        trim_ask(s, port, FILE_LIST, NULL);
}

/* A file that cannot be removed only takes room: the next snapshot tries again. */
static void trim_answer(struct storage *s, struct port *port, struct file_req *taken)
{
    s->trims = false;
    if (taken->op == FILE_LIST && taken->err == ERR_OK)
        trim_choose(s, buf_bytes(&taken->data));
    else if (taken->err != ERR_OK && taken->err != ERR_NOT_FOUND)
        port_log(port, 'W', "%s: %s", taken->path, err_text(taken->err));
    file_req_free(taken);
    trim_next(s, port);
}

/* ------------------------------------------------------------ snapshots */

bool storage_snapshot(struct storage *s, struct port *port, struct moment now)
{
    struct snapshot_opts o = {.shard = s->opts.shard,
                              .folder = s->folder,
                              .id = s->opts.id,
                              .owner = s->opts.owner,
                              .slice_bytes = s->opts.slice_bytes};
    struct journal_stats written;
    if (s->state != STORAGE_RUNS || s->snapshot != NULL)
        return false;
    o.id.policy = s->unfounded ? SYNC_NONE : s->opts.policy;
    journal_place(s->journal, &o.id.number, &o.id.from);
    journal_stats(s->journal, &written);
    s->snapshot_next_from = s->opened.log + written.bytes_written;
    s->snapshot = snapshot_new(&o);
    snapshot_step(s->snapshot, port, now);
    return true;
}

static void snapshot_ended(struct storage *s, struct port *port, struct moment now)
{
    bool done = snapshot_state(s->snapshot) == SNAPSHOT_DONE;
    if (!done && snapshot_state(s->snapshot) != SNAPSHOT_FAILED)
        return;
    if (done) {
        s->stats.snapshots++;
        s->stats.snapshot_wall_ms = now.wall_ms;
        s->snapshot_from = s->snapshot_next_from;
        s->newest = snapshot_number(s->snapshot);
        if (!s->trims && buf_len(&s->trim) == 0)
            trim_ask(s, port, FILE_LIST, NULL);
    } else {
        s->stats.snapshot_failures++;
        s->snapshot_at = now.mono_us + (s->unfounded ? FOUND_RETRY_US : SNAPSHOT_RETRY_US);
    }
    snprintf(s->snapshot_why, sizeof s->snapshot_why, "%s",
             done ? "" : snapshot_error(s->snapshot));
    snapshot_free(s->snapshot);
    s->snapshot = NULL;
    if (!s->unfounded)
        return;
    s->unfounded = !done;
    s->founded_pos = log_end(shard_log(s->opts.shard));
    journal_pause(s->journal, s->unfounded);
    if (s->state == STORAGE_CLOSES && done)
        journal_close(s->journal, port, now);
    else if (s->state == STORAGE_CLOSES)
        s->state = STORAGE_CLOSED;
}

static uint64_t log_since(const struct storage *s)
{
    struct journal_stats written;
    journal_stats(s->journal, &written);
    return s->opened.log + written.bytes_written - s->snapshot_from;
}

/* ------------------------------------------------------------ steps */

/* Readers get to where the log's memory may begin: it holds what is not durable. */
static void tell_limit(struct storage *s)
{
    uint64_t number, offset;
    journal_place(s->journal, &number, &offset);
    archive_limit(s->archive, number, offset);
}

void storage_answer(struct storage *s, struct port *port, struct file_req *taken, struct moment now)
{
    switch (taken->tag & ((1u << STORAGE_TAG_BITS) - 1)) {
    case STORAGE_OPENING:
        opening_answer(s->opening, port, taken, now);
        opened(s, port);
        if (s->ends)
            storage_close(s, port, now);
        break;
    case STORAGE_JOURNAL:
        journal_answer(s->journal, port, taken, now);
        tell_limit(s);
        break;
    case STORAGE_SNAPSHOT:
        snapshot_answer(s->snapshot, port, taken, now);
        snapshot_ended(s, port, now);
        break;
    case STORAGE_ARCHIVE:
        archive_answer(s->archive, port, taken);
        break;
    default:
        trim_answer(s, port, taken);
        break;
    }
    if (s->state == STORAGE_CLOSES && journal_closed(s->journal))
        s->state = STORAGE_CLOSED;
}

/* While nothing was promised, claims were made of what is in memory: all of that is to be in the
 * file before it says that something is promised, so the record goes with the last of it. */
static void set_policy(struct storage *s)
{
    struct journal_stats stats;
    journal_stats(s->journal, &stats);
    if (s->unfounded || (stats.policy == SYNC_NONE && stats.behind > CAUGHT_UP_BYTES))
        return;
    journal_set_policy(s->journal, s->opts.policy);
}

void storage_step(struct storage *s, struct port *port, struct moment now)
{
    if (s->state != STORAGE_RUNS && s->state != STORAGE_CLOSES)
        return;
    set_policy(s);
    journal_step(s->journal, port, now);
    tell_limit(s);
    trim_look(s, port, now);
    if (s->snapshot != NULL) /* a script may have held it */
        snapshot_step(s->snapshot, port, now);
    if (s->state == STORAGE_RUNS && s->snapshot == NULL && now.mono_us >= s->snapshot_at &&
        (s->unfounded || log_since(s) >= s->opts.snapshot_bytes))
        storage_snapshot(s, port, now);
}

uint64_t storage_deadline(const struct storage *s)
{
    return s->journal != NULL ? journal_deadline(s->journal) : UINT64_MAX;
}

void storage_close(struct storage *s, struct port *port, struct moment now)
{
    s->ends = s->state == STORAGE_OPENS && s->opts.filled; /* there is something to be written */
    if (s->ends)
        return;
    if (s->state != STORAGE_RUNS) {
        s->state = s->state == STORAGE_CLOSES ? STORAGE_CLOSES : STORAGE_CLOSED;
        return;
    }
    if (s->unfounded && s->snapshot == NULL && !storage_snapshot(s, port, now)) {
        s->state = STORAGE_CLOSED;
        return;
    }
    s->state = STORAGE_CLOSES;
    if (!s->unfounded)
        journal_close(s->journal, port, now);
}

bool storage_kept(const struct storage *s) { return s->opened.found && s->opened.kept; }

bool storage_orderly(const struct storage *s) { return storage_kept(s) && s->opened.orderly; }

bool storage_busy(const struct storage *s)
{
    return s->state == STORAGE_OPENS || s->state == STORAGE_CLOSES || s->trims ||
           s->snapshot != NULL || (s->archive != NULL && archive_requests(s->archive) > 0) ||
           (s->journal != NULL && journal_busy(s->journal));
}

/* ------------------------------------------------------------ state */

enum storage_state storage_state(const struct storage *s) { return s->state; }

const char *storage_error(const struct storage *s)
{
    if (s->state == STORAGE_BROKEN)
        return s->opening != NULL ? opening_error(s->opening) : s->refused;
    if (s->unfounded && s->snapshot_why[0] != 0)
        return s->snapshot_why;
    return s->journal != NULL ? journal_error(s->journal) : "";
}

const char *storage_snapshot_error(const struct storage *s) { return s->snapshot_why; }

enum sync_policy storage_policy(const struct storage *s) { return s->opts.policy; }

void storage_set_policy(struct storage *s, enum sync_policy policy) { s->opts.policy = policy; }

void storage_set_snapshot_bytes(struct storage *s, uint64_t bytes)
{
    s->opts.snapshot_bytes = bytes ? bytes : SNAPSHOT_BYTES;
}

bool storage_founded(const struct storage *s)
{
    return s->state != STORAGE_OPENS && s->state != STORAGE_BROKEN && !s->unfounded;
}

bool storage_in_force(const struct storage *s)
{
    struct journal_stats stats;
    if (!storage_founded(s) || s->journal == NULL)
        return false;
    journal_stats(s->journal, &stats);
    return (s->opts.policy == SYNC_NONE || stats.promised <= s->opts.policy) &&
           journal_durable(s->journal) >= s->founded_pos;
}

bool storage_promises(const struct storage *s, enum sync_policy *out)
{
    struct journal_stats stats;
    if (!storage_founded(s) || s->journal == NULL || journal_durable(s->journal) < s->founded_pos)
        return false;
    journal_stats(s->journal, &stats);
    *out = stats.promised > s->opts.policy ? stats.promised : s->opts.policy; /* the weaker one */
    return true;
}

uint64_t storage_durable(const struct storage *s)
{
    return s->journal != NULL ? journal_durable(s->journal) : 0;
}

uint64_t storage_synced(const struct storage *s)
{
    return s->journal != NULL ? journal_synced(s->journal) : 0;
}

const struct context *storage_context(const struct storage *s, uint32_t partition)
{
    return s->journal != NULL ? journal_context(s->journal, partition) : NULL;
}

struct archive *storage_archive(const struct storage *s) { return s->archive; }

void storage_set_retention(struct storage *s, uint64_t log_retention)
{
    s->opts.log_retention = log_retention ? log_retention : RETENTION_BYTES;
}

void storage_stats(const struct storage *s, struct storage_stats *out)
{
    *out = s->stats;
    out->opening = s->opened;
    if (s->opening != NULL)
        opening_result(s->opening, &out->opening);
    if (s->journal != NULL) {
        journal_stats(s->journal, &out->journal);
        out->log_bytes = log_since(s);
    }
    if (s->archive != NULL)
        archive_stats(s->archive, &out->archive);
    out->snapshot_runs = s->snapshot != NULL;
    out->snapshot_progress = s->snapshot != NULL ? snapshot_progress(s->snapshot) : 0;
}
