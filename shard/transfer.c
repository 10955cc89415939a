/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/inside.h"

#include "base/mem.h"

/*
 * A copy of a partition as of one context, taken in slices while the partition changes. The table
 * is read in the order of hashes: below `cursor` everything has been copied. A key at or beyond it
 * that is about to change is copied first, into `early`, and its hash is remembered in `sent`, so
 * that neither the changed key nor one that was not there at the beginning is copied when the
 * cursor comes by. When the partition is flushed, the transfer goes on with the old table, which
 * then changes no more.
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
    uint64_t *sent; /* open addressing, 0 is free */
    size_t sent_n, sent_cap;
    struct buf *out; /* of the slice being written */
};

static void end_record(struct buf *out, size_t at)
{
    uint32_t n = (uint32_t)(buf_len(out) - at - 4);
    uint8_t *head = out->p + out->head + at;
    for (int i = 0; i < 4; i++)
        head[i] = (uint8_t)(n >> (24 - 8 * i));
}

static void put_kept(void *arg, struct bytes record)
{
    struct buf *out = arg;
    size_t at = buf_len(out);
    buf_put(out, (const uint8_t[4]){0}, 4);
    buf_put_bytes(out, record);
    end_record(out, at);
}

struct transfer *transfer_begin(struct shard *s, uint32_t partition, struct moment now)
{
    struct part *p = shard_part(s, partition);
    struct mem_account *outer = shard_enter(s);
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

/* ------------------------------------------------------------ the set of hashes */

static size_t sent_slot(const struct transfer *t, uint64_t hash)
{
    size_t i = hash & (t->sent_cap - 1);
    while (t->sent[i] != 0 && t->sent[i] != hash)
        i = (i + 1) & (t->sent_cap - 1);
    return i;
}

static uint64_t sent_name(uint64_t hash) { return hash ? hash : 1; }

static bool sent_has(const struct transfer *t, uint64_t hash)
{
    return t->sent_cap > 0 && t->sent[sent_slot(t, sent_name(hash))] != 0;
}

static void sent_add(struct transfer *t, uint64_t hash)
{
    if (2 * (t->sent_n + 1) > t->sent_cap) {
        uint64_t *old = t->sent;
        size_t cap = t->sent_cap;
        t->sent_cap = cap ? cap * 2 : 64;
        t->sent = mem_zalloc(t->sent_cap * sizeof *t->sent);
        for (size_t i = 0; i < cap; i++)
            if (old[i] != 0)
                t->sent[sent_slot(t, old[i])] = old[i];
        mem_free(old);
    }
    t->sent[sent_slot(t, sent_name(hash))] = sent_name(hash);
    t->sent_n++;
}

/* ------------------------------------------------------------ copying */

/* A state: its length in 4 bytes, big endian, then value_encode's bytes. */
static void put_state(struct buf *out, const struct cell *key)
{
    size_t at = buf_len(out);
    buf_put(out, (const uint8_t[4]){0}, 4);
    value_encode(out, key);
    end_record(out, at);
}

void transfers_before(struct shard *s, struct part *p, uint64_t hash, const struct cell *key)
{
    for (struct transfer *t = s->transfers; t != NULL; t = t->next) {
        if (t->part != p || t->scanned || hash >> 16 < t->cursor || sent_has(t, hash))
            continue;
        if (key != NULL)
            put_state(&t->early, key);
        sent_add(t, hash);
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
    if (hash >> 16 >= t->cursor && !sent_has(t, hash))
        put_state(t->out, item);
}

/* Record by record: they may be large. */
static void take_kept(struct transfer *t, struct buf *out, size_t end)
{
    while (buf_len(&t->kept) > 0 && buf_len(out) < end) {
        const uint8_t *p = t->kept.p + t->kept.head;
        size_t n = 4 + ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
        buf_put(out, p, n);
        buf_consume(&t->kept, n);
    }
    if (buf_len(&t->kept) == 0)
        buf_deinit(&t->kept);
}

bool transfer_next(struct transfer *t, struct buf *out, size_t bytes)
{
    size_t end = buf_len(out) + bytes;
    struct mem_account *outer = shard_enter(t->shard);
    take_kept(t, out, end);
    if (buf_len(&t->early) > 0) {
        buf_put_bytes(out, buf_bytes(&t->early));
        buf_clear(&t->early);
    }
    const struct table *keys = t->part != NULL ? &t->part->keys : &t->garbage->keys;
    t->out = out;
    while (!t->scanned && buf_len(out) < end) {
        t->cursor = table_scan(keys, t->cursor, 1, copy_key, t);
        t->scanned = t->cursor == 0;
    }
    mem_account_leave(outer);
    return !t->scanned || buf_len(&t->early) > 0 || buf_len(&t->kept) > 0;
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
    mem_free(t->sent);
    mem_free(t);
    mem_account_leave(outer);
}
