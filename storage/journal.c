/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/journal.h"

#include "base/mem.h"
#include "storage/tome.h"

#include <inttypes.h>
#include <stdio.h>

#define APPEND_BYTES (1u << 20) /* an append takes no further frame beyond */
#define PIECE_MIN 16384u
#define SUM_PIECES 2u /* of a long state, in one turn */
#define SEGMENT_BYTES (UINT64_C(64) << 20)
#define SYNC_US UINT64_C(1000000)
#define WRITE_US UINT64_C(5000)  /* unless a reply waits for it, an append waits so long ... */
#define WRITE_BYTES (128u << 10) /* ... or until there is so much: a request costs a few writes */
#define UNSYNCED_BYTES (UINT64_C(8) << 20) /* also without a promise: so much is held in memory */
#define RETRY_US UINT64_C(500000)

/* A dot that becomes durable with the log's position `pos`. */
struct raise {
    uint64_t pos;
    uint32_t partition;
    stamp_t dot;
};

enum doing {
    DOING_NOTHING,
    DOING_APPEND, /* of `asked_end` bytes and up to `asked_pos` */
    DOING_SYNC,
    DOING_CUT, /* after a failed sync: the segment ends where it was durable */
};

struct journal {
    struct shard *shard;
    char *folder; /* owned */
    struct file_header id;
    void *owner;
    enum sync_policy policy;
    uint64_t segment_bytes;
    size_t piece_bytes; /* a state that is longer is written in pieces */
    void (*began)(void *arg, uint64_t number, uint64_t before_end, const struct context *begin);
    void *arg;

    enum doing doing;
    uint64_t asked_pos, asked_end;
    bool asked_sync;
    uint64_t asked_us;

    uint64_t written_pos, durable_pos; /* in the log */
    uint64_t number, end, durable_end; /* of the segment: where it ends, where it is durable */
    struct tome *tome; /* the state at written_pos, at `end` - what is written of it */
    bool summing;      /* it wants another turn */
    bool bare; /* the segment has only its beginning: one that is too long would be so again */
    uint64_t told_end; /* the last SYNCED record says so */
    enum sync_policy told, asked_told,
        promised;               /* policy: in the file, in what is asked, durably */
    struct buf raises;          /* struct raise; not yet durable, oldest first */
    struct context *durable;    /* by partition */
    uint64_t sync_at, retry_at; /* mono_us; UINT64_MAX none */
    uint64_t fresh_us;          /* since when something is new in the log; UINT64_MAX nothing */
    uint64_t asked_fresh_us;    /* ... of what is being appended, or has to be again */
    bool begun; /* its first segment is on the disk: whoever opens it knows that this life was */
    bool paused;
    bool must_cut;
    bool closing, closed; /* closed: the last record is in the file, durably */
    char error[256];
    struct journal_stats stats;
};

struct journal *journal_new(const struct journal_opts *o, uint64_t pos)
{
    struct journal *j = mem_zalloc(sizeof *j);
    j->shard = o->shard;
    j->folder = mem_strdup(o->folder);
    j->id = o->id;
    j->id.kind = FILE_KIND_SEGMENT;
    j->owner = o->owner;
    j->policy = o->policy;
    j->segment_bytes = o->segment_bytes ? o->segment_bytes : SEGMENT_BYTES;
    j->piece_bytes = j->segment_bytes > APPEND_BYTES ? APPEND_BYTES
                     : j->segment_bytes > PIECE_MIN  ? (size_t)j->segment_bytes
                                                     : PIECE_MIN;
    j->began = o->began;
    j->arg = o->arg;
    j->number = o->id.number;
    j->written_pos = j->durable_pos = pos;
    j->told = j->asked_told = j->promised =
        o->policy == SYNC_NONE && !o->unpromised ? SYNC_SECOND : o->policy;
    j->durable = mem_zalloc(o->id.count * sizeof *j->durable);
    for (uint32_t i = 0; i < o->id.count; i++)
        context_copy(&j->durable[i], shard_context(o->shard, o->id.first + i));
    j->sync_at = j->retry_at = j->fresh_us = j->asked_fresh_us = UINT64_MAX;
    shard_hold_log(j->shard, pos);
    return j;
}

void journal_free(struct journal *j)
{
    if (j == NULL)
        return;
    shard_hold_log(j->shard, UINT64_MAX);
    for (uint32_t i = 0; i < j->id.count; i++)
        context_deinit(&j->durable[i]);
    buf_deinit(&j->raises);
    tome_free(j->tome);
    mem_free(j->durable);
    mem_free(j->folder);
    mem_free(j);
}

void journal_pause(struct journal *j, bool paused) { j->paused = paused; }

void journal_set_policy(struct journal *j, enum sync_policy policy) { j->policy = policy; }

/* ------------------------------------------------------------ requests */

static struct file_req *request(const struct journal *j, enum file_op op)
{
    char name[FILE_NAME_MAX], path[1024];
    file_name(name, FILE_KIND_SEGMENT, j->number);
    snprintf(path, sizeof path, "%s/%s", j->folder, name);
    struct file_req *r = file_req_new(op, path);
    r->owner = j->owner;
    r->tag = STORAGE_JOURNAL;
    return r;
}

static void ask(struct journal *j, struct port *port, struct file_req *r, enum doing doing,
                struct moment now)
{
    j->doing = doing;
    j->asked_sync = r->sync || doing == DOING_SYNC;
    j->asked_us = now.mono_us;
    port->ops->file(port, r);
}

static void note_raise(struct journal *j, uint32_t partition, stamp_t dot)
{
    struct raise r = {.pos = j->asked_pos, .partition = partition, .dot = dot};
    buf_put(&j->raises, &r, sizeof r);
}

static void note_state(struct journal *j, const struct frame *f)
{
    for (uint32_t i = 0; i < f->deps_count; i++)
        note_raise(j, f->partition, f->deps[i]);
}

static void put_entry(struct journal *j, struct buf *out, const struct log_entry *e)
{
    const struct frame *f = &e->frame;
    size_t at = record_begin(out, e->is_state ? RECORD_STATE : RECORD_FRAME);
    if (!e->is_state) {
        frame_put(out, f);
        note_raise(j, f->partition, f->last);
    } else {
        struct context theirs = {.n = (uint16_t)f->deps_count};
        union {
            const stamp_t *in;
            stamp_t *out;
        } borrowed = {.in = f->deps};
        theirs.at = borrowed.out;
        context_put(out, f->partition, &theirs);
        for (size_t n = 0; e->state != NULL && n < e->state->bytes;) {
            struct bytes piece = rope_at(e->state, n);
            buf_put_bytes(out, piece);
            n += piece.n;
        }
        buf_put_bytes(out, f->ops);
        note_state(j, f);
    }
    record_end(out, at, j->number, j->end + at);
}

/* Everything before what is written next is durable: whoever opens the file knows that damage there
 * is damage, and behind it may be the end. */
static void put_synced(struct journal *j, struct buf *out)
{
    if (j->durable_end <= j->told_end)
        return;
    size_t at = record_begin(out, RECORD_SYNCED);
    buf_put(out, &j->durable_end, sizeof j->durable_end);
    record_end(out, at, j->number, j->end + at);
    j->told_end = j->durable_end;
}

static void put_policy(struct journal *j, struct buf *out)
{
    size_t at = record_begin(out, RECORD_POLICY);
    buf_put_u8(out, (uint8_t)j->policy);
    record_end(out, at, j->number, j->end + at);
}

/* Nothing of the segment is durable yet, so what is durable is what came before it. */
static void put_begin(struct journal *j, struct buf *out)
{
    j->id.number = j->number;
    j->id.policy = j->policy;
    header_put(out, &j->id);
    size_t at = record_begin(out, RECORD_BEGIN);
    for (uint32_t i = 0; i < j->id.count; i++)
        context_put(out, j->id.first + i, &j->durable[i]);
    record_end(out, at, j->number, at);
    if (j->began != NULL)
        j->began(j->arg, j->number, j->id.before_end, j->durable);
}

/* The next entry of the log, if it is a state that goes in pieces; *pos gets what is behind it. */
static bool at_tome(const struct journal *j, uint64_t *pos, struct log_entry *e)
{
    return log_read_entry(shard_log(j->shard), pos, e) && e->state != NULL &&
           e->state->bytes > j->piece_bytes;
}

/* One that goes whole; *asked_pos moves behind it. */
static bool next_entry(struct journal *j, struct log_entry *e)
{
    uint64_t pos = j->asked_pos, behind = pos;
    if (at_tome(j, &pos, e) || pos == behind)
        return false;
    j->asked_pos = pos;
    return true;
}

static void ask_append(struct journal *j, struct port *port, struct file_req *r, struct moment now)
{
    j->asked_end = j->end + buf_len(&r->data);
    j->asked_fresh_us = j->fresh_us < j->asked_fresh_us ? j->fresh_us : j->asked_fresh_us;
    j->fresh_us = UINT64_MAX;
    ask(j, port, r, DOING_APPEND, now);
}

/* The next piece of a long state. Nothing else may come before its end, nor is the file synced
 * there: what is durable ends with a record. False: there is none, or a file has to be begun, or a
 * policy told of, first. */
static bool append_tome(struct journal *j, struct port *port, struct moment now)
{
    struct log_entry e;
    uint64_t behind = j->written_pos;
    j->summing = false;
    if (j->tome == NULL && (j->end == 0 || j->policy != j->told))
        return false;
    if (!at_tome(j, &behind, &e))
        return false;
    if (j->tome == NULL)
        j->tome = tome_new(&e, j->number, j->end);
    j->bare = false;
    j->summing = !tome_sum(j->tome, &e, SUM_PIECES * j->piece_bytes);
    if (j->summing)
        return true;
    struct file_req *r = request(j, FILE_APPEND);
    r->offset = j->end;
    j->asked_told = j->told;
    j->asked_pos = j->written_pos;
    if (tome_put(j->tome, &e, &r->data, j->piece_bytes)) {
        j->asked_pos = behind;
        note_state(j, &e.frame);
        r->sync = (j->policy == SYNC_ALWAYS || j->closing) && j->durable_end > 0;
    }
    ask_append(j, port, r, now);
    return true;
}

static void append(struct journal *j, struct port *port, struct moment now)
{
    struct log_entry e;
    if (append_tome(j, port, now))
        return;
    struct file_req *r = request(j, FILE_APPEND);
    struct log *log = shard_log(j->shard);
    r->offset = j->end;
    /* A file that was made without a sync has no name yet that lasts: it takes a FILE_SYNC, which
     * follows at once where one is wanted here. */
    r->sync = (j->policy == SYNC_ALWAYS || j->closing || j->policy != j->told ||
               (!j->begun && j->policy != SYNC_NONE)) &&
              (j->end == 0 || j->durable_end > 0);
    j->asked_pos = j->written_pos;
    /* That it is the end says that all before it is durable: nothing may be on its way. */
    bool last = j->closing && j->durable_end == j->end && j->written_pos == log_end(log);
    if (j->end == 0) {
        j->bare = true;
        put_begin(j, &r->data);
    } else if (j->policy != j->told) {
        put_policy(j, &r->data);
    }
    j->asked_told = j->policy;
    put_synced(j, &r->data);
    while (buf_len(&r->data) < APPEND_BYTES && next_entry(j, &e)) {
        put_entry(j, &r->data, &e);
        j->bare = false;
    }
    if (last) {
        size_t at = record_begin(&r->data, RECORD_CLOSED);
        record_end(&r->data, at, j->number, j->end + at);
        j->closed = true; /* once the answer is good */
    }
    ask_append(j, port, r, now);
}

/* A full segment is durable before the next begins: so only the last one may end torn. */
static void turn_over(struct journal *j)
{
    if (j->tome != NULL || j->bare || j->end < j->segment_bytes || j->durable_end < j->end)
        return;
    j->id.before = j->number++;
    j->id.before_end = j->end;
    j->end = j->durable_end = j->told_end = 0;
}

static bool wants_sync(const struct journal *j, struct moment now)
{
#ifndef MUTANT_sync_within_a_state
    if (tome_is_cut(j->tome))
        return false;
#endif
    return j->durable_end < j->end &&
           (j->sync_at <= now.mono_us || j->end >= j->segment_bytes || j->closing ||
            j->policy == SYNC_ALWAYS || j->end - j->durable_end >= UNSYNCED_BYTES);
}

/* What is new in the log counts from the turn it came in, whatever the disk is doing. */
static void note_fresh(struct journal *j, struct moment now)
{
    uint64_t taken = j->doing == DOING_APPEND ? j->asked_pos : j->written_pos;
    if (j->fresh_us == UINT64_MAX && log_end(shard_log(j->shard)) > taken)
        j->fresh_us = now.mono_us;
}

/* Is there something to append, and has it waited for more long enough? */
static bool wants_append(const struct journal *j, struct moment now)
{
    uint64_t fresh = log_end(shard_log(j->shard)) - j->written_pos;
    if (j->closing || j->policy != j->told || !j->begun || j->tome != NULL)
        return true;
    if (fresh == 0)
        return false;
    if (j->policy == SYNC_ALWAYS || j->end == 0 || fresh >= WRITE_BYTES)
        return true;
    return j->fresh_us + WRITE_US <= now.mono_us;
}

void journal_step(struct journal *j, struct port *port, struct moment now)
{
    note_fresh(j, now);
    if (j->doing != DOING_NOTHING || j->closed || j->paused)
        return;
    if (j->retry_at != UINT64_MAX && j->retry_at > now.mono_us)
        return;
    j->retry_at = UINT64_MAX;
    if (j->must_cut) {
        struct file_req *r = request(j, FILE_CUT);
        r->offset = j->durable_end;
        ask(j, port, r, DOING_CUT, now);
    } else if (wants_sync(j, now)) {
        ask(j, port, request(j, FILE_SYNC), DOING_SYNC, now);
    } else if (wants_append(j, now)) {
        turn_over(j);
        append(j, port, now);
    }
}

uint64_t journal_deadline(const struct journal *j)
{
    if (j->doing != DOING_NOTHING || j->closed || j->paused)
        return UINT64_MAX;
    if (j->retry_at != UINT64_MAX)
        return j->retry_at;
    if (j->summing)
        return 0;
    if (j->fresh_us != UINT64_MAX && j->fresh_us + WRITE_US < j->sync_at)
        return j->fresh_us + WRITE_US;
    return j->sync_at;
}

/* ------------------------------------------------------------ answers */

static void raise_durable(struct journal *j)
{
    struct raise r;
    while (buf_len(&j->raises) > 0) {
        memcpy(&r, j->raises.p + j->raises.head, sizeof r);
        if (r.pos > j->durable_pos)
            break;
        context_raise(&j->durable[r.partition - j->id.first], r.dot);
        buf_consume(&j->raises, sizeof r);
    }
}

static void is_durable(struct journal *j)
{
    j->durable_pos = j->written_pos;
    j->durable_end = j->end;
    j->promised = j->told;
    j->sync_at = UINT64_MAX;
    raise_durable(j);
}

/* What is written again is noted again. */
static void forget_raises(struct journal *j)
{
    struct raise r;
    while (buf_len(&j->raises) > 0) {
        memcpy(&r, j->raises.p + j->raises.tail - sizeof r, sizeof r);
        if (r.pos <= j->written_pos)
            break;
        j->raises.tail -= sizeof r;
    }
}

static void end_tome(struct journal *j)
{
    tome_free(j->tome);
    j->tome = NULL;
    j->summing = false;
}

/* After a failed sync the system may have dropped what it could not write and calls the file clean:
 * all that was not durable is written anew. A failed append begins again where it began. */
static void failed(struct journal *j, struct port *port, enum err err, struct moment now)
{
    static const char *const deeds[] = {"", "appending to", "syncing", "cutting"};
    if (j->error[0] == 0) {
        snprintf(j->error, sizeof j->error, "%s log segment %016" PRIx64 " in %s: %s",
                 deeds[j->doing], j->number, j->folder, err_text(err));
        port_log(port, 'E', "%s; trying again twice a second", j->error);
    }
    if (j->asked_sync && j->durable_end < j->end)
        j->must_cut = true;
    if (j->must_cut) {
        j->end = j->durable_end;
        j->written_pos = j->durable_pos;
        end_tome(j);
    }
    forget_raises(j);
    j->told_end = 0;
    j->told = j->promised;
    j->closed = false;
    j->retry_at = now.mono_us + RETRY_US;
    j->stats.failures++;
}

static void recovered(struct journal *j, struct port *port)
{
    if (j->error[0] == 0)
        return;
    port_log(port, 'I', "the log in %s is written again", j->folder);
    j->error[0] = 0;
}

static void appended(struct journal *j, struct moment now)
{
#ifdef MUTANT_sync_late
    uint64_t first = now.mono_us + SYNC_US; /* the planted bug */
#else
    uint64_t first = j->asked_fresh_us < now.mono_us ? j->asked_fresh_us : now.mono_us;
#endif
    j->asked_fresh_us = UINT64_MAX;
    j->stats.appends++;
    j->stats.bytes_written += j->asked_end - j->end;
    if (j->tome != NULL)
        tome_written(j->tome, (size_t)(j->asked_end - j->end));
    if (j->asked_pos > j->written_pos)
        end_tome(j);
    j->written_pos = j->asked_pos;
    j->end = j->asked_end;
    j->told = j->asked_told;
    j->begun = true;
    if (j->asked_sync)
        is_durable(j);
    else if (j->policy == SYNC_SECOND && j->sync_at == UINT64_MAX)
        j->sync_at = first + SYNC_US;
}

void journal_answer(struct journal *j, struct port *port, struct file_req *taken, struct moment now)
{
    enum err err = taken->err;
    bool none_to_cut = j->doing == DOING_CUT && err == ERR_NOT_FOUND && j->durable_end == 0;
    file_req_free(taken);
    if (j->asked_sync && now.mono_us - j->asked_us > j->stats.sync_us_max)
        j->stats.sync_us_max = now.mono_us - j->asked_us;
    if (err != ERR_OK && !none_to_cut) {
        failed(j, port, err, now);
    } else {
        j->stats.syncs += j->asked_sync;
        if (j->doing == DOING_APPEND)
            appended(j, now);
        else if (j->doing == DOING_SYNC)
            is_durable(j);
        else
            j->must_cut = false;
        if (!j->must_cut && j->doing != DOING_CUT)
            recovered(j, port);
    }
    j->doing = DOING_NOTHING;
    shard_hold_log(j->shard, j->durable_pos); /* it is written again from there */
    journal_step(j, port, now);
}

/* ------------------------------------------------------------ state */

uint64_t journal_durable(const struct journal *j)
{
    return j->policy == SYNC_NONE ? j->written_pos : j->durable_pos;
}

uint64_t journal_synced(const struct journal *j) { return j->durable_pos; }

const struct context *journal_context(const struct journal *j, uint32_t partition)
{
    if (j->policy == SYNC_NONE && j->promised == SYNC_NONE)
        return NULL;
    return &j->durable[partition - j->id.first];
}

void journal_place(const struct journal *j, uint64_t *number, uint64_t *offset)
{
    *number = j->number;
    *offset = j->durable_end; /* what stands behind may be written anew, at other offsets */
}

const char *journal_error(const struct journal *j) { return j->error; }

void journal_close(struct journal *j, struct port *port, struct moment now)
{
    j->closing = true;
    journal_step(j, port, now);
}

bool journal_closed(const struct journal *j) { return j->closed && j->doing == DOING_NOTHING; }

bool journal_busy(const struct journal *j) { return j->doing != DOING_NOTHING; }

void journal_stats(const struct journal *j, struct journal_stats *out)
{
    *out = j->stats;
    out->segment = j->number;
    out->policy = j->policy;
    out->promised = j->promised;
    out->state_cut = tome_is_cut(j->tome);
    out->waits_us = j->doing != DOING_NOTHING ? j->asked_us : UINT64_MAX;
    out->behind = log_end(shard_log(j->shard)) - journal_durable(j);
}
