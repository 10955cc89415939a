/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

#include "base/hashes.h"
#include "base/mem.h"
#include "crdt/slicer.h"

/*
 * A copy of a partition as of one context, taken in slices while the partition changes. The table
 * is read in the order of hashes: below `cursor` everything has been copied. A key at or beyond it
 * that is about to change is copied first, into `early`, and its hash is remembered in `sent`, so
 * that neither the changed key nor one that was not there at the beginning is copied when the
 * cursor comes by. A large key is opened rather than copied (crdt/slicer.h) and goes on as the
 * same, element by element. When the partition is flushed, the transfer goes on with the old table,
 * which then changes no more.
 */
struct transfer {
    struct transfer *next;
    struct shard *shard;
    struct part *part;       /* whose changes it must hear of; NULL once flushed */
    struct garbage *garbage; /* holds the flushed table */
    struct context context;
    uint64_t cursor; /* of the table scan: the upper 48 bits of a hash */
    bool scanned;
    struct buf kept; /* what the shelf held: records like the keys' */
    struct buf early;
    struct hashes sent;
    struct opened *opened; /* large keys under way, the newest first */
    struct buf *out;       /* of the slice being written */
};

struct opened {
    struct opened *next;
    struct slicer *slicer;
};

static void put_kept(void *arg, struct bytes record)
{
    struct buf *out = arg;
    size_t at = value_record_begin(out);
    buf_put_bytes(out, record);
    value_record_end(out, at);
}

struct transfer *transfer_begin(struct shard *s, uint32_t partition, struct moment now)
{
    struct part *p = shard_part(s, partition);
    struct mem_account *outer = shard_enter(s);
    deferred_end_part(s, p);
    struct transfer *t = mem_zalloc(sizeof *t);
    t->kept.charged = t->early.charged = true;
    frame_close(s, p, now.wall_ms);
    t->shard = s;
    t->part = p;
    context_copy(&t->context, &p->vv);
    shelf_encode(&p->shelf, put_kept, &t->kept);
    t->next = s->transfers;
    s->transfers = t;
    p->transfers++;
    mem_account_leave(outer);
    return t;
}

const struct context *transfer_context(const struct transfer *t) { return &t->context; }

size_t transfer_buffered(const struct transfer *t) { return buf_len(&t->early); }

/* ------------------------------------------------------------ copying */

/* A large one goes on in slices, from here on also when it changes. */
static void put_state(struct transfer *t, struct buf *out, const struct cell *key)
{
    if (value_is_big(key, t->shard->slice_bytes)) {
        struct opened *o = mem_zalloc(sizeof *o);
        o->slicer = slicer_new(key, t->shard->hash_key, &t->early);
        o->next = t->opened;
        t->opened = o;
        return;
    }
    size_t at = value_record_begin(out);
    value_encode(out, key);
    value_record_end(out, at);
}

void transfers_before(struct shard *s, struct part *p, uint64_t hash, const struct cell *key)
{
    for (struct transfer *t = s->transfers; t != NULL; t = t->next) {
        if (t->part != p || t->scanned || hash >> 16 < t->cursor || !hashes_add(&t->sent, hash))
            continue;
        if (key != NULL)
            put_state(t, &t->early, key);
    }
}

unsigned transfers_move(struct shard *s, const struct part *p, struct garbage *g)
{
    unsigned n = 0;
    for (struct transfer *t = s->transfers; t != NULL; t = t->next) {
        if (t->part != p)
            continue;
        t->part = NULL;
        t->garbage = g;
        n++;
    }
    return n;
}

static void copy_key(void *item, void *arg)
{
    struct transfer *t = arg;
    uint64_t hash = shard_hash(t->shard, cell_name(item));
    /* buckets merge: one may hold keys again that lie before the cursor */
    if (hash >> 16 >= t->cursor && !hashes_has(&t->sent, hash))
        put_state(t, t->out, item);
}

/* Record by record: they may be large. */
static void take_records(struct buf *in, struct buf *out, size_t end)
{
    struct bytes left = buf_bytes(in), record;
    while (buf_len(in) > 0 && buf_len(out) < end && value_record_next(&left, &record)) {
        size_t n = record.n + 4; /* with its length */
        buf_put(out, in->p + in->head, n);
        buf_consume(in, n);
    }
    if (buf_len(in) == 0)
        buf_reuse(in, 0);
}

/* What has been opened first: it may be waiting to be freed. */
static void take_opened(struct transfer *t, struct buf *out, size_t end)
{
    while (t->opened != NULL && buf_len(out) < end) {
        struct opened *o = t->opened;
        if (slicer_next(o->slicer, out, end))
            continue;
        t->opened = o->next;
        slicer_free(o->slicer);
        mem_free(o);
    }
}

bool transfer_next(struct transfer *t, struct buf *out, size_t bytes)
{
    size_t end = buf_len(out) + bytes;
    struct mem_account *outer = shard_enter(t->shard);
    const struct table *keys = t->part != NULL ? &t->part->keys : &t->garbage->keys;
    t->out = out;
    bool more = true;
    while (more && buf_len(out) < end) {
        take_records(&t->kept, out, end);
        take_records(&t->early, out, end); /* a key's head before what follows it */
        if (buf_len(&t->early) == 0)
            take_opened(t, out, end);
        if (!t->scanned && t->opened == NULL && buf_len(out) < end) {
            t->cursor = table_scan(keys, t->cursor, 1, copy_key, t);
            t->scanned = t->cursor == 0;
        }
        more = !t->scanned || t->opened != NULL || buf_len(&t->early) > 0 || buf_len(&t->kept) > 0;
    }
    mem_account_leave(outer);
    return more;
}

void transfer_end(struct transfer *t)
{
    struct mem_account *outer = shard_enter(t->shard);
    struct transfer **at = &t->shard->transfers;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (t->part != NULL)
        t->part->transfers--;
    if (t->garbage != NULL)
        t->garbage->holds--;
    context_deinit(&t->context);
    buf_deinit(&t->kept);
    buf_deinit(&t->early);
    while (t->opened != NULL) {
        struct opened *o = t->opened;
        t->opened = o->next;
        slicer_free(o->slicer);
        mem_free(o);
    }
    hashes_deinit(&t->sent);
    mem_free(t);
    mem_account_leave(outer);
}
