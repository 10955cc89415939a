/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/slicer.h"

#include "base/mem.h"
#include "crdt/multi.h"
#include "crdt/reading.h"
#include "crdt/state.h"

struct slicer {
    struct buf name;
    struct buf *early; /* kept */
    unsigned n, at;    /* readings; the one at hand */
    struct reading readings[TYPE_COUNT];
};

#define PART_BYTES 65536u /* a part that has reached this is ended */

static bool is_big(const struct coll *c, size_t bytes)
{
    return c != NULL && c->is_large && coll_large(c)->held > bytes;
}

bool value_is_big(const struct cell *key, size_t bytes)
{
    if (key == NULL || (cell_form(key) != CELL_COLL && cell_form(key) != CELL_MULTI))
        return false;
    bool big = false;
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++)
        big |= is_big(key_coll(key, t), bytes);
    return big;
}

bool value_is_read(const struct cell *key)
{
    bool read = false;
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++)
        read |= coll_is_read(key_coll(key, t));
    return read;
}

static void tell_early(void *arg, enum type type, const struct cell *elem)
{
    struct slicer *l = arg;
    struct part_writer w;
    part_begin(&w, l->early, buf_bytes(&l->name), type);
    part_add(&w, elem);
    part_end(&w);
}

struct slicer *slicer_new(const struct cell *key, struct hash_key hash_key, struct buf *early)
{
    struct slicer *l = mem_zalloc(sizeof *l);
    l->early = early;
    l->name.charged = true;
    buf_put_bytes(&l->name, cell_name(key));
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        union {
            const struct coll *in;
            struct coll *out;
        } u = {.in = key_coll(key, t)};
        if (u.in != NULL && u.in->is_large)
            reading_open(&l->readings[l->n++], u.out, hash_key, tell_early, l);
    }
    size_t at = value_record_begin(early);
    value_encode_head(early, key, &l->readings[0]);
    value_record_end(early, at);
    return l;
}

struct part_slice {
    struct part_writer w;
    size_t end;
};

static bool visit(void *arg, const struct cell *elem)
{
    struct part_slice *s = arg;
    part_add(&s->w, elem);
    return buf_len(s->w.out) < s->end;
}

/* One part of the reading at hand; false when it is through. */
static bool put_part(struct slicer *l, struct buf *out, size_t end)
{
    struct reading *r = &l->readings[l->at];
    if (r->coll == NULL)
        return false;
    struct part_slice s = {.end = end};
    if (end > buf_len(out) + PART_BYTES)
        s.end = buf_len(out) + PART_BYTES;
    part_begin(&s.w, out, buf_bytes(&l->name), (enum type)r->coll->head.type);
    bool more = reading_next(r, visit, &s);
    part_end(&s.w);
    return more;
}

bool slicer_next(struct slicer *l, struct buf *out, size_t end)
{
    while (l->at < l->n && buf_len(out) < end)
        l->at += !put_part(l, out, end);
    return l->at < l->n;
}

void slicer_free(struct slicer *l)
{
    for (unsigned i = 0; i < l->n; i++)
        reading_close(&l->readings[i]);
    buf_deinit(&l->name);
    mem_free(l);
}
