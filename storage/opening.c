/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/opening.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define READ_BYTES (1u << 20)
#define SYNCED_SIZE (RECORD_HEAD + 8u)

enum stage {
    STAGE_FOLDER,
    STAGE_LIST,
    STAGE_TIDY,   /* removing what was being written */
    STAGE_READ,   /* files[at] */
    STAGE_BEHIND, /* behind a bad record: is it the end? */
    STAGE_CUT,
    STAGE_SYNC, /* what was read is durable, also when only a process had died */
    STAGE_END,
};

struct found {
    enum file_kind kind;
    uint64_t number, size;
};

struct opening {
    struct shard *shard;
    char *folder; /* owned */
    struct file_header id;
    void *owner;
    size_t read_bytes;
    enum stage stage;
    enum opening_state state;

    struct buf tidy;  /* names to remove, each with its 0 byte */
    struct buf files; /* struct found: a snapshot perhaps, then segments in order */
    size_t at;        /* the file that is read */
    struct buf in;    /* its bytes from `offset` on */
    uint64_t offset;
    bool headed;           /* its header was read */
    bool seen_end;         /* nothing comes behind `in` */
    uint64_t from;         /* of the snapshot: where the first segment goes on */
    uint64_t synced;       /* this file is durable up to here */
    uint64_t bad;          /* STAGE_BEHIND: where the bad record is */
    struct buf state_in;   /* the partition being read from a snapshot */
    struct context theirs; /* its context */
    uint32_t partition;
    bool in_partition, whole;
    struct opening_result result;
    char error[512];
};

struct opening *opening_new(const struct opening_opts *opts)
{
    struct opening *o = mem_zalloc(sizeof *o);
    o->shard = opts->shard;
    o->folder = mem_strdup(opts->folder);
    o->id = opts->id;
    o->owner = opts->owner;
    o->read_bytes = opts->read_bytes ? opts->read_bytes : READ_BYTES;
    o->result.next = 1;
    return o;
}

void opening_free(struct opening *o)
{
    if (o == NULL)
        return;
    buf_deinit(&o->tidy);
    buf_deinit(&o->files);
    buf_deinit(&o->in);
    buf_deinit(&o->state_in);
    context_deinit(&o->theirs);
    mem_free(o->folder);
    mem_free(o);
}

static size_t files_count(const struct opening *o)
{
    return buf_len(&o->files) / sizeof(struct found);
}

static struct found *file_at(const struct opening *o, size_t i)
{
    return (struct found *)(void *)(o->files.p + o->files.head) + i;
}

static bool is_last(const struct opening *o) { return o->at + 1 == files_count(o); }

static void path_of(const struct opening *o, const struct found *f, char *out, size_t size)
{
    char name[FILE_NAME_MAX];
    file_name(name, f->kind, f->number);
    snprintf(out, size, "%s/%s", o->folder, name);
}

static void fail(struct opening *o, struct port *port, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct opening *o, struct port *port, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(o->error, sizeof o->error, fmt, ap);
    va_end(ap);
    shard_hold_kept(o->shard, false);
    o->state = OPENING_FAILED;
    port_log(port, 'E', "%s", o->error);
}

/* Damage: of the file being read, at an offset. */
static void damaged(struct opening *o, struct port *port, uint64_t offset, const char *what)
{
    char path[1024];
    path_of(o, file_at(o, o->at), path, sizeof path);
    fail(o, port,
         "%s is damaged at offset %" PRIu64 ": %s. Nothing was changed. Look with `meridian log "
         "check %s`; a region that is connected to others may also start empty and catch up: move "
         "the folder away",
         path, offset, what, o->folder);
}

static struct file_req *request(const struct opening *o, enum file_op op, const char *path)
{
    struct file_req *r = file_req_new(op, path);
    r->owner = o->owner;
    r->tag = STORAGE_OPENING;
    return r;
}

static void ask(struct opening *o, struct port *port, enum file_op op, const char *path,
                uint64_t offset, size_t size)
{
    struct file_req *r = request(o, op, path);
    r->offset = offset;
    r->size_max = size;
    port->ops->file(port, r);
}

/* ------------------------------------------------------------ which files */

static int by_number(const struct found *a, const struct found *b)
{
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Keeps the newest snapshot and the segments from its number on, in order. */
static void choose(struct opening *o, const struct found *all, size_t n)
{
    struct found snapshot = {.number = 0};
    for (size_t i = 0; i < n; i++)
        if (all[i].kind == FILE_KIND_SNAPSHOT && all[i].number >= snapshot.number)
            snapshot = all[i];
    if (snapshot.kind == FILE_KIND_SNAPSHOT) {
        buf_put(&o->files, &snapshot, sizeof snapshot);
        o->result.snapshot = snapshot.number;
        o->result.next = snapshot.number + 1;
    }
    size_t first = files_count(o);
    for (size_t i = 0; i < n; i++) {
        if (all[i].kind != FILE_KIND_SEGMENT || all[i].number < snapshot.number)
            continue;
        buf_put(&o->files, &all[i], sizeof all[i]);
        for (size_t k = files_count(o) - 1;
             k > first && by_number(file_at(o, k - 1), file_at(o, k)) > 0; k--) {
            struct found swap = *file_at(o, k);
            *file_at(o, k) = *file_at(o, k - 1);
            *file_at(o, k - 1) = swap;
        }
    }
    for (size_t i = 0; i < files_count(o); i++) {
        o->result.total += file_at(o, i)->size;
        if (file_at(o, i)->number >= o->result.next)
            o->result.next = file_at(o, i)->number + 1;
    }
    o->result.found = files_count(o) > 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static void listed(struct opening *o, struct bytes list)
{
    struct buf all = {0};
    while (list.n > sizeof(uint64_t)) {
        struct found f;
        memcpy(&f.size, list.p, sizeof f.size);
        const char *name = (const char *)list.p + sizeof f.size;
        size_t used = sizeof f.size + strlen(name) + 1;
        if (file_name_read(name, &f.kind, &f.number))
            buf_put(&all, &f, sizeof f);
        else if (ends_with(name, ".new"))
            buf_put(&o->tidy, name, strlen(name) + 1);
        list = bytes_of(list.p + used, list.n - used);
    }
    choose(o, (const struct found *)(const void *)all.p, buf_len(&all) / sizeof(struct found));
    buf_deinit(&all);
}

/* ------------------------------------------------------------ applying */

static bool join_partition(struct opening *o, struct port *port, struct moment now)
{
    if (!o->in_partition)
        return true;
    o->in_partition = false;
    if (!shard_join(o->shard, o->partition, buf_bytes(&o->state_in), &o->theirs, now)) {
        damaged(o, port, o->offset, "the partition before is malformed");
        return false;
    }
    buf_reuse(&o->state_in, 4u << 20);
    return true;
}

static bool apply_frame(struct opening *o, struct port *port, struct bytes payload,
                        struct moment now)
{
    struct frame f;
    struct context deps = {0};
    if (!frame_read(payload, &deps, &f)) {
        damaged(o, port, o->offset, "a frame is malformed");
        context_deinit(&deps);
        return false;
    }
    enum take took = shard_take(o->shard, &f, now);
    context_deinit(&deps);
    if (took == TAKE_DONE || took == TAKE_COVERED)
        return true;
    damaged(o, port, o->offset,
            took == TAKE_WAITS      ? "a frame's causes are missing"
            : took == TAKE_BASELESS ? "the string that a frame patches is missing"
                                    : "a frame is unsound");
    return false;
}

static bool apply_state(struct opening *o, struct port *port, struct bytes payload,
                        struct moment now)
{
    uint32_t partition;
    struct bytes rest;
    if (context_read(payload, &partition, &o->theirs, &rest) &&
        shard_join(o->shard, partition, rest, &o->theirs, now))
        return true;
    damaged(o, port, o->offset, "a partition's state is malformed");
    return false;
}

static bool apply_snapshot(struct opening *o, struct port *port, const struct record *r,
                           struct moment now)
{
    struct bytes rest;
    uint64_t before;
    bool belongs = !o->whole; /* which is said last */
    switch (r->kind) {
    case RECORD_PARTITION:
        if (!join_partition(o, port, now))
            return false;
        o->in_partition = context_read(r->payload, &o->partition, &o->theirs, &rest) && rest.n == 0;
        break;
    case RECORD_KEYS:
        buf_put_bytes(&o->state_in, r->payload);
        break;
    case RECORD_WHOLE:
        if (!join_partition(o, port, now))
            return false;
        memcpy(&before, r->payload.p, r->payload.n == sizeof before ? sizeof before : 0);
        o->whole = r->payload.n == sizeof before && before == o->result.records;
        if (o->whole)
            return true;
        damaged(o, port, o->offset, "it does not have as many records as it should");
        return false;
    default:
        belongs = false;
        break;
    }
    if (belongs && o->in_partition)
        return true;
    damaged(o, port, o->offset, "a record stands where it does not belong");
    return false;
}

static bool apply(struct opening *o, struct port *port, const struct record *r, struct moment now)
{
    bool ok = true;
    o->result.orderly = false;
    if (file_at(o, o->at)->kind == FILE_KIND_SNAPSHOT) {
        ok = apply_snapshot(o, port, r, now);
    } else if (r->kind == RECORD_FRAME) {
        ok = apply_frame(o, port, r->payload, now);
    } else if (r->kind == RECORD_STATE) {
        ok = apply_state(o, port, r->payload, now);
    } else if (r->kind == RECORD_SYNCED && r->payload.n == sizeof o->synced) {
        memcpy(&o->synced, r->payload.p, sizeof o->synced);
    } else if (r->kind == RECORD_POLICY && r->payload.n == 1 && r->payload.p[0] <= SYNC_NONE) {
        o->result.kept = r->payload.p[0] != SYNC_NONE;
    } else if (r->kind == RECORD_CLOSED) {
        o->result.orderly = o->result.kept = true;
    } else if (r->kind == RECORD_BEGIN && o->result.records == 0) {
        ok = true; /* for readers that begin here */
    } else {
        damaged(o, port, o->offset, "a record stands where it does not belong");
        ok = false;
    }
    o->result.records++;
    return ok;
}

/* ------------------------------------------------------------ reading a file */

static void read_more(struct opening *o, struct port *port, uint64_t need)
{
    char path[1024];
    uint64_t size = need > o->read_bytes ? need : o->read_bytes;
    path_of(o, file_at(o, o->at), path, sizeof path);
    ask(o, port, FILE_READ_AT, path, o->offset + buf_len(&o->in), (size_t)size);
}

/* What was read is durable before anybody relies on it. Whoever wrote it may have died after a sync
 * that failed: then it is in memory only, and a sync would not tell. So what is not known to be
 * durable is written again. */
static void sync_last(struct opening *o, struct port *port)
{
    char path[1024];
    struct found last = {.kind = FILE_KIND_SEGMENT, .number = o->result.last};
    bool was_read = file_at(o, files_count(o) - 1)->number == last.number; /* else it was removed */
    o->stage = STAGE_SYNC;
    path_of(o, &last, path, sizeof path);
    struct file_req *r = request(o, FILE_SYNC, path);
    r->offset = was_read ? o->synced : o->result.last_end;
    r->again = true;
    port->ops->file(port, r);
}

static void finish(struct opening *o, struct port *port)
{
    if (o->stage != STAGE_SYNC && o->result.last != 0) {
        sync_last(o, port);
        return;
    }
    o->stage = STAGE_END;
    shard_hold_kept(o->shard, false);
    o->state = OPENING_DONE;
    if (o->result.cut > 0)
        port_log(port, 'W',
                 "%s: cut %" PRIu64 " bytes off the end of the log that had not been synced",
                 o->folder, o->result.cut);
}

static void begin_file(struct opening *o, struct port *port)
{
    if (o->at == files_count(o)) {
        finish(o, port);
        return;
    }
    o->stage = STAGE_READ;
    o->headed = o->seen_end = false;
    o->offset = o->synced = 0;
    buf_reuse(&o->in, 4u << 20);
    read_more(o, port, FORMAT_HEADER);
}

/* The file is read to its end. */
static void end_file(struct opening *o, struct port *port)
{
    const struct found *f = file_at(o, o->at);
    if (f->kind == FILE_KIND_SNAPSHOT && !o->whole) {
        damaged(o, port, o->offset, "the snapshot is not whole");
        return;
    }
    o->at++;
    o->result.records = 0;
    if (f->kind == FILE_KIND_SEGMENT)
        o->result.last_end = o->offset;
    begin_file(o, port);
}

/* A record that is none. In the last segment that may be the torn end of what was not synced,
 * unless something behind it says that it was. */
static void bad_record(struct opening *o, struct port *port)
{
    if (file_at(o, o->at)->kind != FILE_KIND_SEGMENT || !is_last(o) || o->offset < o->synced) {
        damaged(o, port, o->offset,
                o->headed ? "a record's checksum is wrong" : "its header is wrong");
        return;
    }
    o->stage = STAGE_BEHIND;
    o->bad = o->offset;
}

/* The segment before this one has become shorter (or longer) since this one was begun. */
static void cut_short(struct opening *o, struct port *port, uint64_t end)
{
    o->at--;
    o->offset = o->result.last_end;
    char what[128];
    snprintf(what, sizeof what, "it should end at offset %" PRIu64 ", the next segment says", end);
    damaged(o, port, o->offset, what);
}

/* Segments follow each other without a gap; the first one needs nothing that the snapshot lacks. */
static bool follows(struct opening *o, struct port *port, const struct file_header *h)
{
    bool first = o->result.last == 0;
    if (first ? h->before < o->result.snapshot || h->before == 0 : h->before == o->result.last) {
        if (!first && h->before_end != FORMAT_END_UNKNOWN && h->before_end != o->result.last_end) {
            cut_short(o, port, h->before_end);
            return false;
        }
        o->result.last = h->number;
        o->result.last_end = h->size;
        return true;
    }
    fail(o, port,
         "%s: log segment %016" PRIx64 " is missing (%016" PRIx64
         " follows it). Bring it back from "
         "where it was moved to, or start the region empty",
         o->folder, h->before, h->number);
    return false;
}

static bool read_header(struct opening *o, struct port *port)
{
    struct file_header h;
    const struct found *f = file_at(o, o->at);
    const char *why = "";
    enum header_result got = header_read(buf_bytes(&o->in), &h, &why);
    if (got == HEADER_VERSION) {
        char path[1024];
        path_of(o, f, path, sizeof path);
        fail(o, port, "%s cannot be read at offset 0: %s. Nothing was changed", path, why);
        return false;
    }
    if (got != HEADER_OK) {
        if (f->kind == FILE_KIND_SEGMENT && is_last(o))
            bad_record(o, port);
        else
            damaged(o, port, 0, why);
        return false;
    }
    if (h.kind != f->kind || h.number != f->number || h.db_uid != o->id.db_uid ||
        h.shard != o->id.shard || h.partitions != o->id.partitions || h.first != o->id.first ||
        h.count != o->id.count) {
        damaged(o, port, 0, "it belongs to another database or shard, or was renamed");
        return false;
    }
    if (h.kind == FILE_KIND_SEGMENT && !follows(o, port, &h))
        return false;
    o->headed = true;
    o->offset = h.size;
    buf_consume(&o->in, h.size);
    if (f->kind == FILE_KIND_SNAPSHOT)
        o->from = h.from;
    o->result.kept = h.policy != SYNC_NONE;
    o->result.orderly = false; /* a life has begun, even if nothing that it wrote is left */
    return true;
}

/* Of the first segment behind a snapshot only what the snapshot does not hold is needed. */
static void skip(struct opening *o)
{
    const struct found *f = file_at(o, o->at);
    if (f->kind != FILE_KIND_SEGMENT || f->number != o->result.snapshot || o->from <= o->offset)
        return;
    uint64_t to = o->from < f->size ? o->from : f->size;
    uint64_t n = to - o->offset;
    o->synced = to;
    o->offset = to;
    if (n < buf_len(&o->in))
        buf_consume(&o->in, (size_t)n);
    else
        buf_clear(&o->in);
}

static void read_records(struct opening *o, struct port *port, struct moment now)
{
    const struct found *f = file_at(o, o->at);
    uint64_t need = FORMAT_HEADER;
    if (!o->headed) {
        if (buf_len(&o->in) < FORMAT_HEADER && !o->seen_end) {
            read_more(o, port, need);
            return;
        }
        if (!read_header(o, port))
            return;
        skip(o);
    }
    for (;;) {
        struct record r;
        /* What was read may have ended with the file, and so not have shown that it does. */
        if (buf_len(&o->in) == 0 && (o->seen_end || o->offset == f->size)) {
            end_file(o, port);
            return;
        }
        enum record_result got = record_read(buf_bytes(&o->in), f->number, o->offset, &r, &need);
        if (got == RECORD_MORE && !o->seen_end) {
            /* a length that the file cannot hold is no length */
            if (need > f->size - o->offset)
                break;
            read_more(o, port, need - buf_len(&o->in));
            return;
        }
        if (got != RECORD_OK)
            break;
        if (!apply(o, port, &r, now))
            return;
        o->offset += r.size;
        o->result.read += r.size;
        o->result.log += f->kind == FILE_KIND_SNAPSHOT ? 0 : r.size;
        buf_consume(&o->in, r.size);
    }
    bad_record(o, port);
}

/* ------------------------------------------------------------ behind a bad record */

/* A valid record that says that the bad one had been durable. Its place is part of its checksum, so
 * nothing passes for one by chance. */
static bool says_durable(const struct opening *o, struct bytes in, uint64_t offset)
{
    struct record r;
    uint64_t need, synced;
    if (record_read(in, file_at(o, o->at)->number, offset, &r, &need) != RECORD_OK)
        return false;
    if (r.kind == RECORD_CLOSED)
        return true;
    if (r.kind != RECORD_SYNCED || r.payload.n != sizeof synced)
        return false;
    memcpy(&synced, r.payload.p, sizeof synced);
    return synced > o->bad;
}

static void look_behind(struct opening *o, struct port *port)
{
    while (buf_len(&o->in) >= RECORD_HEAD && (buf_len(&o->in) >= SYNCED_SIZE || o->seen_end)) {
        const uint8_t *p = o->in.p + o->in.head;
        if ((p[7] == RECORD_SYNCED || p[7] == RECORD_CLOSED) &&
            says_durable(o, buf_bytes(&o->in), o->offset)) {
            damaged(o, port, o->bad,
                    "a record's checksum is wrong, and what follows had been synced");
            return;
        }
        buf_consume(&o->in, 1);
        o->offset++;
    }
    if (!o->seen_end) {
        read_more(o, port, o->read_bytes);
        return;
    }
    char path[1024];
    const struct found *f = file_at(o, o->at);
    path_of(o, f, path, sizeof path);
    o->result.cut = f->size - o->bad;
    o->stage = STAGE_CUT;
    if (o->bad == 0) {
        /* Nothing of it is left: the number is used again, unless the snapshot goes on in it, at an
         * offset that would mean nothing in another file. */
        o->result.next = f->number > o->result.snapshot ? f->number : f->number + 1;
        ask(o, port, FILE_REMOVE, path, 0, 0);
    } else {
        o->result.last_end = o->bad;
        ask(o, port, FILE_CUT, path, o->bad, 0);
    }
}

/* ------------------------------------------------------------ steps */

static void tidy(struct opening *o, struct port *port)
{
    char path[1280];
    if (buf_len(&o->tidy) == 0) {
        begin_file(o, port);
        return;
    }
    const char *name = (const char *)o->tidy.p + o->tidy.head;
    o->stage = STAGE_TIDY;
    snprintf(path, sizeof path, "%s/%s", o->folder, name);
    ask(o, port, FILE_REMOVE, path, 0, 0);
    buf_consume(&o->tidy, strlen(name) + 1);
}

void opening_start(struct opening *o, struct port *port, struct moment now)
{
    (void)now;
    shard_hold_kept(o->shard, true); /* what was stable when the log was written is not known */
    o->stage = STAGE_FOLDER;
    ask(o, port, FILE_MKDIR, o->folder, 0, 0);
}

static bool answered_well(struct opening *o, struct port *port, const struct file_req *r)
{
    static const char *const deeds[] = {"making the folder", "listing",    "removing a file in",
                                        "reading in",        "reading in", "cutting the log in",
                                        "syncing the log in"};
    if (r->err == ERR_OK || (o->stage == STAGE_FOLDER && r->err == ERR_EXISTS) ||
        (o->stage == STAGE_TIDY && r->err == ERR_NOT_FOUND))
        return true;
    fail(o, port, "%s %s: %s", deeds[o->stage], o->folder, err_text(r->err));
    return false;
}

static void take_bytes(struct opening *o, const struct file_req *r)
{
    buf_put_bytes(&o->in, buf_bytes(&r->data));
    o->seen_end = buf_len(&r->data) < r->size_max;
}

void opening_answer(struct opening *o, struct port *port, struct file_req *taken, struct moment now)
{
    if (answered_well(o, port, taken)) {
        switch (o->stage) {
        case STAGE_FOLDER:
            o->stage = STAGE_LIST;
            ask(o, port, FILE_LIST, o->folder, 0, 0);
            break;
        case STAGE_LIST:
            listed(o, buf_bytes(&taken->data));
            tidy(o, port);
            break;
        case STAGE_TIDY:
            tidy(o, port);
            break;
        case STAGE_READ:
            take_bytes(o, taken);
            read_records(o, port, now);
            if (o->stage == STAGE_BEHIND && o->state == OPENING_RUNS)
                look_behind(o, port);
            break;
        case STAGE_BEHIND:
            take_bytes(o, taken);
            look_behind(o, port);
            break;
        case STAGE_CUT:
            o->at++;
            begin_file(o, port);
            break;
        case STAGE_SYNC:
            finish(o, port);
            break;
        case STAGE_END:
            break;
        }
    }
    file_req_free(taken);
}

enum opening_state opening_state(const struct opening *o) { return o->state; }

const char *opening_error(const struct opening *o) { return o->error; }

void opening_result(const struct opening *o, struct opening_result *out) { *out = o->result; }
