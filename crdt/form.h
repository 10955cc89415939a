/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_FORM_H
#define MERIDIAN_CRDT_FORM_H

#include "crdt/reg.h"

/*
 * The bytes of a cell, for crdt/ only: reading them (view), and writing them from an image of the
 * payload.
 */
#define CELL_SHORT_BIT 0x08u
#define DEADLINE_BYTES 16u

struct view {
    uint8_t form, low;
    const uint8_t *deadline; /* NULL none */
    struct bytes name, payload;
};

/*
 * Behind the run of a key's cell (not of an element's, nor of a register's within CELL_MULTI) its
 * block has three bytes more, for whoever keeps the keyspace: when the key was last used. They are
 * not part of the run: whoever writes a cell anew leaves them undefined (crdt/access.h).
 */
#define ACCESS_BYTES 3u
static inline bool cell_is_key(const struct cell *c)
{
    return cell_form(c) == CELL_MULTI || (cell_low(c) != 0 && !(c->b0 & CELL_SHORT_BIT));
}

/* Bytes of a stored dot. */
static inline size_t cell_dot_size(const struct cell *c)
{
    return c->b0 & CELL_SHORT_BIT ? c->b0 & 7u : 8u;
}

static inline const uint8_t *varint_read(const uint8_t *p, size_t *out)
{
    size_t v = *p & 127u;
    for (unsigned shift = 7; *p++ & 128u; shift += 7)
        v |= (size_t)(*p & 127u) << shift;
    *out = v;
    return p;
}

static inline uint8_t *varint_write(uint8_t *p, size_t v)
{
    while (v > 127) {
        *p++ = (uint8_t)(v | 128u);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline size_t varint_size(size_t v)
{
    size_t n = 1;
    while (v > 127) {
        v >>= 7;
        n++;
    }
    return n;
}

static inline struct view cell_view(const struct cell *c)
{
    struct view v = {.form = cell_form(c), .low = cell_low(c)};
    const uint8_t *p = varint_read(&c->b0 + 1, &v.name.n);
    p = varint_read(p, &v.payload.n);
    if (cell_has_deadline(c)) {
        v.deadline = p;
        p += DEADLINE_BYTES;
    }
    v.name.p = p;
    v.payload.p = p + v.name.n;
    return v;
}

static inline const struct cell *cell_after(const struct cell *c)
{
    struct view v = cell_view(c);
    return (const struct cell *)(v.payload.p + v.payload.n);
}

/* The dot of the inline register forms. `base` is the packed collection's, of no matter elsewhere.
 */
static inline stamp_t view_dot(const struct cell *c, const struct view *v, stamp_t base)
{
    size_t n = cell_dot_size(c);
    uint64_t d = 0;
    memcpy(&d, v->payload.p, n); /* little-endian machines only, asserted in cell.c */
    return n == 8 ? d : base + d;
}

/* What stands behind the dot: value, score, or (to, amount). */
static inline struct bytes view_rest(const struct cell *c, const struct view *v)
{
    size_t n = cell_dot_size(c);
    return bytes_of(v->payload.p + n, v->payload.n - n);
}

static inline void *view_pointer(const struct view *v)
{
    void *p;
    memcpy(&p, v->payload.p, sizeof p);
    return p;
}

/* A payload to be written. Inline register forms: dot and rest. WIDE: reg. COLL, MULTI: pointer. */
struct image {
    uint8_t form;
    bool borrows; /* rest or reg point into the cell that this is to replace */
    stamp_t dot;
    struct bytes rest;
    const struct reg *reg;
    void *pointer;
    uint8_t room[16]; /* for rest of a CELL_COUNT */
};

/* How a cell is to be headed. */
struct heading {
    struct bytes name;
    uint8_t low;             /* type of a key, 0 of an element */
    const uint8_t *deadline; /* NULL none; 16 bytes */
    stamp_t base;            /* not 0: store the dot short where it can be */
};

size_t cell_need(const struct heading *h, const struct image *im);
/* What stands behind its run. */
static inline size_t cell_slack(const struct heading *h, const struct image *im)
{
    return h->low != 0 || im->form == CELL_MULTI ? ACCESS_BYTES : 0;
}
uint8_t *cell_put(uint8_t *p, const struct heading *h, const struct image *im);
struct cell *cell_new(const struct heading *h, const struct image *im); /* own allocation */
/* A key with one string of n bytes, CELL_ONE, whose value is still to be written: to *text. */
struct cell *cell_new_long(const struct heading *h, stamp_t dot, size_t n, uint8_t **text);
/* Replaces the cell (NULL: there is none) by one of the same name and with or without a deadline as
 * before: in its block where it has the right size. */
struct cell *cell_renew(struct cell *c, const struct heading *h, const struct image *im);
/* A copy under another heading. Not for short dots. */
struct cell *cell_copy(const struct heading *h, const struct cell *c);
/* A key's, under another name, which must not lie within it; the cell may move. Not for short dots.
 */
struct cell *cell_rename(struct cell *c, struct bytes name);

/* Adds to the newest segment of the stamp's actor in place. False when that cannot be done; nothing
 * changed then. */
bool cell_extend(struct cell *c, stamp_t stamp, int64_t amount, stamp_t base);

/* The image of a register's contents: the smallest form that can hold it. reg_empty must be false.
 */
void image_of_reg(struct image *im, const struct reg *r);
/* Raises `ctx` by every dot of the image. */
void image_raise(struct context *ctx, const struct image *im);

static inline void image_one(struct image *im, uint8_t form, stamp_t dot, struct bytes rest)
{
    im->form = form;
    im->borrows = false;
    im->dot = dot;
    im->rest = rest;
    im->reg = NULL;
}

#endif
