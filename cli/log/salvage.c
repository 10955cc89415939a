/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/log/log.h"

#include "base/mem.h"
#include "crdt/apply.h"
#include "shard/shard.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * What is left of a shard whose snapshot is damaged: its whole records and the log behind it, put
 * into a shard of this process, of which a new snapshot is written. Records are found again behind
 * the damage by their checksums.
 *
 * A partition's context says what the region has seen, and what it has seen and does not hold was
 * deleted: so the context of a partition that has lost keys must not meet other regions, where they
 * would be deleted as well. SALVAGE_OTHERS therefore leaves such partitions empty, with no context:
 * others give them back whole. SALVAGE_ALONE keeps what can be read of them, for where nobody else
 * has the data.
 */
#define NAMES_MAX 1000u /* of keys that are listed; the rest is counted */
#define SLICE (1u << 20)

enum fate {
    FATE_LOST, /* that it begins was not found */
    FATE_WHOLE,
    FATE_HURT,
};

struct salvage {
    const struct log_folder *f;
    const struct log_file *base;
    enum log_salvage how;
    bool tells;
    struct file_header head;
    struct shard *shard;
    struct moment now;
    uint8_t *fates;      /* owned; enum fate, by partition held */
    struct buf states;   /* of the partition that is being read */
    size_t whole;        /* of them; behind it one that goes on in the next record */
    struct context seen; /* its context */
    uint32_t partition;
    bool in_partition, hurt, ended;
    uint64_t keys_lost, keys_kept, ops_lost, named;
};

/* ------------------------------------------------------------ telling */

static void name_key(struct salvage *s, struct bytes key, const char *why)
{
    s->named++;
    if (!s->tells || s->named > NAMES_MAX)
        return;
    printf("    %s: ", why);
    for (size_t i = 0; i < key.n && i < 200; i++)
        if (key.p[i] > ' ' && key.p[i] < 127)
            putchar(key.p[i]);
        else
            printf("\\x%02x", key.p[i]);
    puts("");
}

static void lost_key(void *arg, const struct cell *key)
{
    struct salvage *s = arg;
    s->keys_lost++;
    name_key(s, cell_name(key), "key");
}

static void kept_key(void *arg, const struct cell *key)
{
    struct salvage *s = arg;
    (void)key;
    s->keys_kept++;
}

/* ------------------------------------------------------------ the snapshot */

static uint8_t *fate_of(const struct salvage *s, uint32_t partition)
{
    uint32_t i = partition - s->head.first;
    return partition >= s->head.first && i < s->head.count ? &s->fates[i] : NULL;
}

/* The partition that was read last is at its end. */
static void end_partition(struct salvage *s)
{
    if (!s->in_partition)
        return;
    s->in_partition = false;
    struct bytes states = buf_bytes(&s->states);
    bool kept = (!s->hurt || s->how == SALVAGE_ALONE) &&
                shard_join(s->shard, s->partition, states, &s->seen, s->now);
    *fate_of(s, s->partition) = kept && !s->hurt ? FATE_WHOLE : FATE_HURT;
    (void)inspect_keys(states, kept ? kept_key : lost_key, s);
    buf_clear(&s->states);
    s->whole = 0;
}

static void begin_partition(struct salvage *s, struct bytes payload)
{
    struct bytes rest;
    end_partition(s);
    s->hurt = false;
    s->in_partition = context_read(payload, &s->partition, &s->seen, &rest) && rest.n == 0 &&
                      fate_of(s, s->partition) != NULL;
}

static void unreadable(struct salvage *s, const struct log_file *file, uint64_t from, uint64_t to)
{
    if (to > from && s->tells)
        printf("    %s: %" PRIu64 " bytes at offset %" PRIu64 " cannot be read\n", file->name,
               to - from, from);
}

static bool is_cut(const struct salvage *s) { return s->whole < buf_len(&s->states); }

static void keep(struct salvage *s, struct bytes states)
{
    buf_put_bytes(&s->states, states);
    struct bytes all = buf_bytes(&s->states);
    s->whole += inspect_whole(bytes_of(all.p + s->whole, all.n - s->whole)).n;
}

/* The partition of the first key; false: there is none. */
static bool find_owner(const struct salvage *s, struct bytes states, uint32_t *partition)
{
    struct bytes name;
    if (states.n < 4 || !value_record_name(bytes_of(states.p + 4, states.n - 4), &name))
        return false;
    *partition = slot_partition(hash_slot(name), s->head.partitions);
    return true;
}

/* Behind damage keys may be another partition's, whose beginning was in it, or a piece of a string
 * that is lost (shard/transfer.c: a record holds such a piece and nothing else, or its beginning).
 */
static bool is_owned(const struct salvage *s, struct bytes states)
{
    uint32_t partition;
    if (!s->in_partition)
        return false;
    if (!s->hurt || is_cut(s))
        return true;
    struct bytes whole = inspect_whole(states);
    if (whole.n > 0 && (whole.n < states.n || !inspect_keys(states, NULL, NULL)))
        return false;
    return s->partition == s->head.partitions || /* the hidden one is the last */
           (find_owner(s, states, &partition) && partition == s->partition);
}

/* Of what was read before damage whole states are kept. */
static void hurt(struct salvage *s)
{
    struct bytes all = buf_bytes(&s->states), name;
    struct bytes cut = bytes_of(all.p + s->whole, all.n - s->whole);
    s->hurt = true;
    if (cut.n > 4 && value_record_name(bytes_of(cut.p + 4, cut.n - 4), &name)) {
        s->keys_lost++;
        name_key(s, name, "key");
    }
    s->states.tail -= cut.n;
}

static void take_snapshot(struct salvage *s, const struct record *r)
{
    if (r->kind == RECORD_PARTITION) {
        begin_partition(s, r->payload);
    } else if (r->kind == RECORD_WHOLE) {
        s->ended = true;
    } else if (r->kind == RECORD_KEYS && is_owned(s, r->payload)) {
        keep(s, r->payload);
    } else if (r->kind == RECORD_KEYS) {
        s->hurt = true; /* what was read before was not all of it, either */
        (void)inspect_keys(r->payload, lost_key, s);
    }
}

/* Where a good record stands again; the file's end when there is none. */
static uint64_t next_good(const struct log_file *file, uint64_t at, struct record *r)
{
    uint64_t need;
    for (; at + RECORD_HEAD <= file->content.n; at++) {
        uint8_t kind = file->content.p[at + 7];
        if (kind > 0 && kind < RECORD_KIND_MAX &&
            record_read(bytes_of(file->content.p + at, file->content.n - at), file->number, at, r,
                        &need) == RECORD_OK)
            return at;
    }
    return file->content.n;
}

static void read_snapshot(struct salvage *s, bool headed)
{
    const struct log_file *file = s->base;
    uint64_t at = headed ? s->head.size : 0;
    while (at < file->content.n) {
        struct record r;
        uint64_t from = at;
        at = next_good(file, at, &r);
        if (at > from) {
            hurt(s);
            unreadable(s, file, from, at);
        }
        if (at == file->content.n)
            break;
        take_snapshot(s, &r);
        at += r.size;
    }
    s->hurt |= !s->ended;
    end_partition(s);
}

/* ------------------------------------------------------------ the log */

/* Lost partitions begin as the first segment says that they were when it began. */
static void take_begin(struct salvage *s, struct bytes payload)
{
    uint32_t partition;
    struct context seen = {0};
    while (payload.n > 0 && context_read(payload, &partition, &seen, &payload)) {
        const uint8_t *fate = fate_of(s, partition);
        if (fate != NULL && *fate == FATE_LOST && s->how == SALVAGE_ALONE)
            (void)shard_join(s->shard, partition, bytes_of(NULL, 0), &seen, s->now);
    }
    context_deinit(&seen);
}

static void lost_op(void *arg, const struct op *op)
{
    struct salvage *s = arg;
    s->ops_lost++;
    name_key(s, op->key, "a write to key");
}

/* A part of a string was written, and the string is lost: one operation after the other, and in
 * place of that one another that changes nothing, so that the next ones have their causes. */
static void take_one_by_one(struct salvage *s, const struct frame *f)
{
    struct mp m = mp_read(f->ops);
    struct frame one = *f;
    struct op op;
    struct buf bytes = {0};
    one.ops_count = 1;
    for (stamp_t base = f->first - 1; m.p < m.end && op_decode(&m, &op, base); base = op.stamp) {
        one.first = one.last = op.stamp;
        buf_clear(&bytes);
        op_encode(&bytes, &op, op.stamp - 1);
        one.ops = buf_bytes(&bytes);
        if (shard_take(s->shard, &one, s->now) == TAKE_BASELESS) {
            lost_op(s, &op);
            struct op none = {.kind = OP_SREM, .stamp = op.stamp, .key = op.key, .elem = op.elem};
            buf_clear(&bytes);
            op_encode(&bytes, &none, op.stamp - 1);
            one.ops = buf_bytes(&bytes);
            (void)shard_take(s->shard, &one, s->now);
        }
        one.prev = op.stamp;
    }
    buf_deinit(&bytes);
}

static void take_frame(struct salvage *s, struct bytes payload)
{
    struct frame f;
    struct context deps = {0};
    if (frame_read(payload, &deps, &f)) {
        enum take took = shard_take(s->shard, &f, s->now);
        if (took == TAKE_BASELESS && s->how == SALVAGE_ALONE)
            take_one_by_one(s, &f);
        else if (took != TAKE_DONE && took != TAKE_COVERED)
            (void)inspect_ops(&f, lost_op, s);
    }
    context_deinit(&deps);
}

static void take_log(struct salvage *s, const struct record *r)
{
    uint32_t partition;
    struct bytes rest;
    struct context theirs = {0};
    if (r->kind == RECORD_FRAME)
        take_frame(s, r->payload);
    else if (r->kind == RECORD_STATE && context_read(r->payload, &partition, &theirs, &rest))
        (void)shard_join(s->shard, partition, rest, &theirs, s->now);
    context_deinit(&theirs);
}

/* Behind damage it goes on: what rests on what is lost has not its causes, and is left out. */
static void read_segment(struct salvage *s, const struct log_file *file, bool first)
{
    struct file_header h;
    struct record r;
    const char *why;
    uint64_t at = header_read(file->content, &h, &why) == HEADER_OK ? h.size : 0;
    while (at < file->content.n) {
        uint64_t from = at;
        at = next_good(file, at, &r);
        unreadable(s, file, from, at);
        if (at == file->content.n)
            break;
        if (r.kind == RECORD_BEGIN && first)
            take_begin(s, r.payload);
        take_log(s, &r);
        at += r.size;
    }
}

static void read_log(struct salvage *s)
{
    bool first = true;
    for (size_t i = 0; i < s->f->n; i++) {
        const struct log_file *file = &s->f->files[i];
        if (file->kind != FILE_KIND_SEGMENT || file->number < s->base->number)
            continue;
        read_segment(s, file, first);
        first = false;
    }
}

/* ------------------------------------------------------------ the new snapshot */

struct writer {
    struct salvage *s;
    struct file_header head;
    struct buf out;
    uint64_t at, records;
    int fd;
    bool ok;
};

static void flush(struct writer *w)
{
    struct bytes left = buf_bytes(&w->out);
    w->at += left.n;
    while (w->ok && left.n > 0) {
        ssize_t n = write(w->fd, left.p, left.n);
        w->ok = n > 0;
        left = w->ok ? bytes_of(left.p + n, left.n - (size_t)n) : left;
    }
    buf_clear(&w->out);
}

static void close_record(struct writer *w, size_t at)
{
    record_end(&w->out, at, w->head.number, w->at + at);
    w->records++;
    if (buf_len(&w->out) >= SLICE)
        flush(w);
}

static void write_partition(struct writer *w, uint32_t partition)
{
    struct transfer *t = transfer_begin(w->s->shard, partition, w->s->now);
    size_t at = record_begin(&w->out, RECORD_PARTITION);
    context_put(&w->out, partition, transfer_context(t));
    close_record(w, at);
    for (bool more = true; more;) {
        at = record_begin(&w->out, RECORD_KEYS);
        size_t empty = buf_len(&w->out);
        more = transfer_next(t, &w->out, SLICE / 4);
        if (buf_len(&w->out) == empty)
            w->out.tail -= empty - at;
        else
            close_record(w, at);
    }
    transfer_end(t);
}

static void write_all(struct writer *w)
{
    header_put(&w->out, &w->head);
    for (uint32_t i = 0; i < w->head.count && w->ok; i++)
        write_partition(w, w->head.first + i);
    uint64_t records = w->records;
    size_t at = record_begin(&w->out, RECORD_WHOLE);
    buf_put(&w->out, &records, sizeof records);
    close_record(w, at);
    flush(w);
}

static bool write_snapshot(struct salvage *s)
{
    char name[FILE_NAME_MAX], path[PATH_MAX], beside[PATH_MAX + 8];
    struct writer w = {.s = s, .head = s->head, .ok = true};
    w.head.kind = FILE_KIND_SNAPSHOT;
    w.head.policy = SYNC_NONE;
    w.head.from = 0;
    for (size_t i = 0; i < s->f->n; i++)
        if (s->f->files[i].number >= w.head.number)
            w.head.number = s->f->files[i].number + 1;
    file_name(name, FILE_KIND_SNAPSHOT, w.head.number);
    log_path(s->f, name, "", path);
    snprintf(beside, sizeof beside, "%s.new", path);
    w.fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    w.ok = w.fd >= 0;
    if (w.ok)
        write_all(&w);
    w.ok = w.ok && fsync(w.fd) == 0;
    w.ok = (w.fd < 0 || close(w.fd) == 0) && w.ok && rename(beside, path) == 0;
    buf_deinit(&w.out);
    return w.ok ? log_sync(s->f) : log_say(beside);
}

/* ------------------------------------------------------------ all of it */

/* Of the snapshot, or where its header is damaged of the segment that it goes on in. */
static bool find_header(struct salvage *s, bool *headed)
{
    const char *why;
    *headed = header_read(s->base->content, &s->head, &why) == HEADER_OK;
    for (size_t i = 0; !*headed && i < s->f->n; i++) {
        const struct log_file *file = &s->f->files[i];
        if (file->kind == FILE_KIND_SEGMENT && file->number >= s->base->number)
            return header_read(file->content, &s->head, &why) == HEADER_OK;
    }
    return *headed;
}

static void count_fates(const struct salvage *s, uint32_t *hurt)
{
    *hurt = 0;
    for (uint32_t i = 0; i < s->head.count; i++)
        *hurt += s->fates[i] != FATE_WHOLE;
}

static void summary(const struct salvage *s)
{
    uint32_t hurt;
    count_fates(s, &hurt);
    if (s->tells && s->named > NAMES_MAX)
        printf("    ... and %" PRIu64 " more\n", s->named - NAMES_MAX);
    printf("  %s: %" PRIu64 " keys of the snapshot are kept; %" PRIu32 " of %" PRIu32
           " partitions %s; lost with what cannot be read: %" PRIu64 " keys, %" PRIu64
           " writes of the log\n",
           s->how == SALVAGE_ALONE ? "--alone" : "--others", s->keys_kept, hurt, s->head.count,
           s->how == SALVAGE_ALONE ? "are not whole" : "come from others", s->keys_lost,
           s->ops_lost);
}

bool log_salvage(const struct log_folder *f, const struct log_file *bad, enum log_salvage how,
                 bool tells, bool yes)
{
    struct salvage s = {.f = f, .base = bad, .how = how, .tells = tells};
    bool headed, ok = false;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    s.now = (struct moment){.wall_ms = t.tv_sec * 1000 + t.tv_nsec / 1000000, .mono_us = 1};
    if (!find_header(&s, &headed)) {
        puts("  neither the snapshot's header nor the next segment's can be read");
        return false;
    }
    s.fates = mem_zalloc(s.head.count);
    s.shard = shard_new(&(struct shard_opts){.region = REGION_MAX,
                                             .actor = actor_make(REGION_MAX, 0),
                                             .partitions = s.head.partitions,
                                             .first_partition = s.head.first,
                                             .count = s.head.count,
                                             .hash_key = {.k0 = 1, .k1 = 2},
                                             .seed = 1,
                                             .geo = true,
                                             .xadd_ids = XADD_IDS_LIBERAL,
                                             .log_bytes_max = 64 << 10});
    shard_hold_kept(s.shard, true);
    read_snapshot(&s, headed);
    read_log(&s);
    summary(&s);
    ok = !yes || write_snapshot(&s);
    shard_hold_kept(s.shard, false);
    shard_free(s.shard);
    context_deinit(&s.seen);
    buf_deinit(&s.states);
    mem_free(s.fates);
    return ok;
}
