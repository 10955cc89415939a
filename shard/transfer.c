/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

#include "base/hashes.h"
#include "base/mem.h"
#include "crdt/slicer.h"
#include "crdt/state.h"

/*
 * A copy of a partition as of one context, taken in slices while the partition changes. The table
 * is read in the order of hashes: below `cursor` everything has been copied. A key at or beyond it
 * that is about to change is copied first, into `early`, and its hash is remembered in `sent`, so
 * that neither the changed key nor one that was not there at the beginning is copied when the
 * cursor comes by. A large key is opened rather than copied (crdt/slicer.h) and goes on as the
 * same, element by element; of a long string pieces are copied, and what is left of it once it is
 * about to change. When the partition is flushed, the transfer goes on with the old table,
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
    struct opened *cut; /* a long string of which a piece was written: nothing may come between */
    struct buf *out;    /* of the slice being written */
};

/* A large key, or a long string: what is left of its record is `bytes` and, unless it was copied
 * there, the key's value from `at` on. The key may be moved, so it is found by its name. */
struct opened {
    struct opened *next;
    struct slicer *slicer; /* NULL: a long string */
    uint64_t hash;
    struct buf name, bytes;
    size_t at;
    bool copied;
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

/* One long string may be copied whatever its size: where it changes all the time, to begin again
 * would not help. */
size_t transfer_buffered(const struct transfer *t)
{
    size_t sum = buf_len(&t->early), most = 0;
    for (const struct opened *o = t->opened; o != NULL; o = o->next) {
        size_t n = buf_len(&o->bytes);
        sum += n;
        most = n > most ? n : most;
    }
    return sum - most;
}

/* ------------------------------------------------------------ copying */

static struct opened *open_key(struct transfer *t)
{
    struct opened *o = mem_zalloc(sizeof *o);
    o->name.charged = o->bytes.charged = true;
    o->next = t->opened;
    t->opened = o;
    return o;
}

static void close_key(struct opened *o)
{
    if (o->slicer != NULL)
        slicer_free(o->slicer);
    buf_deinit(&o->name);
    buf_deinit(&o->bytes);
    mem_free(o);
}

static void open_long(struct transfer *t, uint64_t hash, const struct cell *key)
{
    struct opened *o = open_key(t);
    o->hash = hash;
    buf_put_bytes(&o->name, cell_name(key));
    value_encode_long(&o->bytes, key);
}

/* What of the value was neither written nor copied. */
static struct bytes long_left(const struct transfer *t, const struct opened *o)
{
    const struct table *keys = t->part != NULL ? &t->part->keys : &t->garbage->keys;
    const struct cell *key = table_get(keys, o->hash, buf_bytes(&o->name));
    assert(key != NULL);
    struct bytes text = value_long_text(key);
    return bytes_of(text.p + o->at, text.n - o->at);
}

static void copy_long(const struct transfer *t, struct opened *o)
{
    struct bytes left = long_left(t, o);
    buf_reserve(&o->bytes, left.n + 1);
    buf_put_bytes(&o->bytes, left);
    buf_put_u8(&o->bytes, VALUE_LONG_END);
    o->copied = true;
}

/* Long strings are borrowed while they are written. */
static void before_opened(const struct transfer *t, uint64_t hash)
{
#ifdef MUTANT_long_string_not_copied
    return; /* the planted bug */
#endif
    if (t->cut != NULL && t->cut->hash == hash && !t->cut->copied)
        copy_long(t, t->cut);
    for (struct opened *o = t->opened; o != NULL; o = o->next)
        if (o->slicer == NULL && o->hash == hash && !o->copied)
            copy_long(t, o);
}

/* A large one goes on in slices, from here on also when it changes. */
static void put_state(struct transfer *t, struct buf *out, uint64_t hash, const struct cell *key)
{
    if (value_is_big(key, t->shard->slice_bytes)) {
        open_key(t)->slicer = slicer_new(key, t->shard->hash_key, &t->early);
        return;
    }
    if (value_is_long(key, t->shard->slice_bytes)) {
        open_long(t, hash, key);
        return;
    }
    size_t at = value_record_begin(out);
    value_encode(out, key);
    value_record_end(out, at);
}

void transfers_before(struct shard *s, struct part *p, uint64_t hash, const struct cell *key)
{
    for (struct transfer *t = s->transfers; t != NULL; t = t->next) {
        if (t->part != p)
            continue;
        bool is_sent = t->scanned || hash >> 16 < t->cursor || !hashes_add(&t->sent, hash);
        if (!is_sent && key != NULL)
            put_state(t, &t->early, hash, key);
        if (t->opened != NULL || t->cut != NULL)
            before_opened(t, hash);
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
        put_state(t, t->out, hash, item);
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

/* Before other keys are, since they may be waiting to be freed; up to a long string. */
static void take_opened(struct transfer *t, struct buf *out, size_t end)
{
    while (t->opened != NULL && t->opened->slicer != NULL && buf_len(out) < end) {
        struct opened *o = t->opened;
        if (slicer_next(o->slicer, out, end))
            continue;
        t->opened = o->next;
        close_key(o);
    }
}

static void take_some(struct buf *out, struct bytes from, size_t end, size_t *used)
{
    size_t room = end - buf_len(out);
    *used = from.n < room ? from.n : room;
    buf_put(out, from.p, *used);
}

/* The next piece of the string that is cut. */
static void take_piece(struct transfer *t, struct buf *out, size_t end)
{
    struct opened *o = t->cut;
    size_t used;
    take_some(out, buf_bytes(&o->bytes), end, &used);
    buf_consume(&o->bytes, used);
    if (!o->copied && buf_len(&o->bytes) == 0) {
        take_some(out, long_left(t, o), end, &used);
        o->at += used;
        if (buf_len(out) < end)
            copy_long(t, o); /* of the value nothing is left */
    }
    if (o->copied && buf_len(&o->bytes) > 0 && buf_len(out) < end) {
        take_some(out, buf_bytes(&o->bytes), end, &used);
        buf_consume(&o->bytes, used);
    }
    if (!o->copied || buf_len(&o->bytes) > 0)
        return;
    t->cut = NULL;
    close_key(o);
}

/* A long string begins a slice: so each holds whole records, or a piece of one. */
static void cut_long(struct transfer *t)
{
    t->cut = t->opened;
    t->opened = t->cut->next;
    t->cut->next = NULL;
}

/* Whole records. */
static void fill(struct transfer *t, size_t end)
{
    const struct table *keys = t->part != NULL ? &t->part->keys : &t->garbage->keys;
    bool more = true;
    while (more && buf_len(t->out) < end) {
        take_records(&t->kept, t->out, end);
        take_records(&t->early, t->out, end); /* a key's head before what follows it */
        if (buf_len(&t->early) == 0)
            take_opened(t, t->out, end);
        if (!t->scanned && t->opened == NULL && buf_len(t->out) < end) {
            t->cursor = table_scan(keys, t->cursor, 1, copy_key, t);
            t->scanned = t->cursor == 0;
        }
        bool waits = t->opened != NULL && t->opened->slicer == NULL && buf_len(&t->early) == 0;
        more = !waits && (!t->scanned || t->opened != NULL || buf_len(&t->early) > 0 ||
                          buf_len(&t->kept) > 0);
    }
}

static bool has_more(const struct transfer *t)
{
    return !t->scanned || t->cut != NULL || t->opened != NULL || buf_len(&t->early) > 0 ||
           buf_len(&t->kept) > 0;
}

bool transfer_next(struct transfer *t, struct buf *out, size_t bytes)
{
    size_t begin = buf_len(out), end = bytes > SIZE_MAX - begin ? SIZE_MAX : begin + bytes;
    struct mem_account *outer = shard_enter(t->shard);
    t->out = out;
    if (t->cut == NULL)
        fill(t, end);
    if (t->cut == NULL && t->opened != NULL && buf_len(out) == begin)
        cut_long(t); /* it alone kept the slice from being filled */
    if (t->cut != NULL)
        take_piece(t, out, end);
    bool more = has_more(t);
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
        close_key(o);
    }
    if (t->cut != NULL)
        close_key(t->cut);
    hashes_deinit(&t->sent);
    mem_free(t);
    mem_account_leave(outer);
}
