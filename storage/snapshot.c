/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/snapshot.h"

#include "base/mem.h"

#include <stdio.h>

#define SLICE_BYTES (256u << 10)

enum stage {
    STAGE_WRITE,
    STAGE_SYNC,
    STAGE_RENAME,
    STAGE_END,
    STAGE_REMOVE, /* what was written before it failed: the log needs the room */
};

struct snapshot {
    struct shard *shard;
    char *folder; /* owned */
    struct file_header id;
    void *owner;
    size_t slice_bytes;
    enum stage stage;
    enum snapshot_state state;
    bool waits;
    uint32_t next;             /* partition to begin */
    struct transfer *transfer; /* of the one before; NULL: none is under way */
    uint64_t end, records;
    char error[256];
};

struct snapshot *snapshot_new(const struct snapshot_opts *o)
{
    struct snapshot *s = mem_zalloc(sizeof *s);
    s->shard = o->shard;
    s->folder = mem_strdup(o->folder);
    s->id = o->id;
    s->id.kind = FILE_KIND_SNAPSHOT;
    s->owner = o->owner;
    s->slice_bytes = o->slice_bytes ? o->slice_bytes : SLICE_BYTES;
    return s;
}

void snapshot_free(struct snapshot *s)
{
    if (s == NULL)
        return;
    if (s->transfer != NULL)
        transfer_end(s->transfer);
    mem_free(s->folder);
    mem_free(s);
}

static void final_path(const struct snapshot *s, char *out, size_t size)
{
    char name[FILE_NAME_MAX];
    file_name(name, FILE_KIND_SNAPSHOT, s->id.number);
    snprintf(out, size, "%s/%s", s->folder, name);
}

static struct file_req *request(struct snapshot *s, enum file_op op)
{
    char path[1024], beside[1040];
    final_path(s, path, sizeof path);
    snprintf(beside, sizeof beside, "%s.new", path);
    struct file_req *r = file_req_new(op, beside);
    if (op == FILE_RENAME)
        r->to = mem_strdup(path);
    r->owner = s->owner;
    r->tag = STORAGE_SNAPSHOT;
    return r;
}

static void close_record(struct snapshot *s, struct buf *out, size_t at)
{
    record_end(out, at, s->id.number, s->end + at);
    s->records++;
}

static void begin_partition(struct snapshot *s, struct buf *out, struct moment now)
{
    s->transfer = transfer_begin(s->shard, s->id.first + s->next, now);
    size_t at = record_begin(out, RECORD_PARTITION);
#ifdef MUTANT_snapshot_without_context
    struct context none = {0}; /* the planted bug: what the state has seen is not said */
    context_put(out, s->id.first + s->next, &none);
#else
    context_put(out, s->id.first + s->next, transfer_context(s->transfer));
#endif
    close_record(s, out, at);
    s->next++;
}

static void put_keys(struct snapshot *s, struct buf *out)
{
    size_t at = record_begin(out, RECORD_KEYS), empty = buf_len(out);
    bool more = transfer_next(s->transfer, out, s->slice_bytes);
    if (buf_len(out) == empty)
        out->tail -= empty - at;
    else
        close_record(s, out, at);
    if (more)
        return;
    transfer_end(s->transfer);
    s->transfer = NULL;
}

static void fill(struct snapshot *s, struct buf *out, struct moment now)
{
    if (s->end == 0)
        header_put(out, &s->id);
    while (buf_len(out) < s->slice_bytes && (s->transfer != NULL || s->next < s->id.count)) {
        if (s->transfer == NULL)
            begin_partition(s, out, now);
        else
            put_keys(s, out);
    }
    if (s->transfer != NULL || s->next < s->id.count)
        return;
    size_t at = record_begin(out, RECORD_WHOLE);
    buf_put(out, &s->records, sizeof s->records);
    close_record(s, out, at);
    s->stage = STAGE_SYNC;
}

void snapshot_step(struct snapshot *s, struct port *port, struct moment now)
{
    /* A script that has stopped in the middle is in it as a whole or not at all: its frame can't be
     * closed, and what it has not done yet would come twice. */
    if (s->waits || s->state != SNAPSHOT_RUNS || shard_busy(s->shard) != NULL)
        return;
    struct file_req *r;
    if (s->stage == STAGE_WRITE) {
        r = request(s, FILE_APPEND);
        r->offset = s->end;
        fill(s, &r->data, now);
        s->end += buf_len(&r->data);
    } else {
        r = request(s, s->stage == STAGE_SYNC ? FILE_SYNC : FILE_RENAME);
        s->stage++;
    }
    s->waits = true;
    port->ops->file(port, r);
}

static void failed(struct snapshot *s, struct port *port, enum err err)
{
    snprintf(s->error, sizeof s->error, "writing a snapshot in %s: %s", s->folder, err_text(err));
    port_log(port, 'E', "%s", s->error);
    if (s->transfer != NULL)
        transfer_end(s->transfer);
    s->transfer = NULL;
    s->stage = STAGE_REMOVE;
    s->waits = true;
    port->ops->file(port, request(s, FILE_REMOVE));
}

void snapshot_answer(struct snapshot *s, struct port *port, struct file_req *taken,
                     struct moment now)
{
    enum err err = taken->err;
    file_req_free(taken);
    s->waits = false;
    if (s->stage == STAGE_REMOVE) /* or it can't be: it may not even have been made */
        s->state = SNAPSHOT_FAILED;
    else if (err != ERR_OK)
        failed(s, port, err);
    else if (s->stage == STAGE_END)
        s->state = SNAPSHOT_DONE;
    else
        snapshot_step(s, port, now);
}

enum snapshot_state snapshot_state(const struct snapshot *s) { return s->state; }

bool snapshot_waits(const struct snapshot *s) { return s->waits; }

const char *snapshot_error(const struct snapshot *s) { return s->error; }

uint64_t snapshot_number(const struct snapshot *s) { return s->id.number; }

uint64_t snapshot_bytes(const struct snapshot *s) { return s->end; }

double snapshot_progress(const struct snapshot *s)
{
    uint32_t whole = s->next - (s->transfer != NULL);
    return s->state == SNAPSHOT_DONE ? 1 : (double)whole / (double)(s->id.count + 1);
}
