/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_COLL_H
#define MERIDIAN_CRDT_COLL_H

#include "crdt/form.h"
#include "crdt/stream_name.h"

/*
 * A collection: elements as cells, for crdt/ only.
 *
 * Packed: this header and behind it the cells, one after the other, in one allocation; hash and set
 * in order of insertion, zset by (score, member), list by position. Large: struct large. Of hash,
 * set and zset each cell is an allocation of its own, found through a table, and of a zset ordered
 * by a tree; a list is a tree of blocks of cells (blocks.h). A collection never becomes packed
 * again; one that is empty is freed.
 */
struct coll {
    uint8_t type; /* enum type */
    bool is_large;
    uint16_t count; /* packed */
    uint32_t bytes; /* packed: of the cells */
    stamp_t base;   /* packed: what short dots are relative to */
};

struct large {
    struct coll head;
    struct table table;
    struct tree tree;
    struct hash128 sum;    /* of its elements' digest terms, so that dropping it whole costs O(1) */
    struct context newest; /* covers every dot inside: whoever has seen this has seen all */
    size_t held;           /* bytes of the cells, or of the blocks */
    uint64_t freed;        /* how far freeing in steps has got: of the table; FREED_ALL */
    struct reading *readings; /* under way: crdt/reading.h */
};

#define COLL_ELEM_MAX 64u         /* an element beyond this makes a hash, set or zset large */
#define COLL_LIST_BYTES_MAX 8192u /* more makes a list large */

static inline struct large *coll_large(const struct coll *c)
{
    union {
        const struct coll *in;
        struct large *out;
    } u = {.in = c};
    return u.out;
}

static inline bool coll_has_table(enum type t) { return t != TYPE_LIST && t != TYPE_STREAM; }

static inline bool coll_has_tree(enum type t)
{
    return t == TYPE_ZSET || t == TYPE_LIST || t == TYPE_STREAM;
}

/* What reg_open is told of an element. */
static inline uint8_t coll_reg_type(enum type t, struct bytes name)
{
    return (uint8_t)(t | (t == TYPE_STREAM && stream_name_is_max(name) ? REG_MAX : 0u));
}

static inline const struct cell *coll_begin(const struct coll *c)
{
    return (const struct cell *)(c + 1);
}

static inline const struct cell *coll_end(const struct coll *c)
{
    return (const struct cell *)((const uint8_t *)(c + 1) + c->bytes);
}

size_t coll_count(const struct coll *c);
size_t coll_memory(const struct coll *c);
int coll_order(enum type type, const struct cell *a, const struct cell *b);

/* Where an element is, or would be. */
struct place {
    struct cell *cell;                                   /* NULL: absent */
    enum { PLACE_UNKNOWN, PLACE_FIRST, PLACE_LAST } end; /* absent, of a large list: outside all */
    uint64_t hash;                                       /* large, with a table */
    void *block;   /* large, without a table: the block (blocks.h) ... */
    unsigned slot; /* ... and where in it */
};
void coll_seek(const struct coll *c, struct bytes name, struct place *out);

/* Adds the element or replaces it; c NULL: makes the collection. Returns where the collection is
 * now. */
struct coll *coll_put(struct coll *c, enum type type, struct place *at, struct bytes name,
                      const struct image *im, struct hash_key key);
/*
 * Puts a collection together from elements that are read one after the other, without looking for
 * each one's place and without moving the block for each: zeroed to begin with.
 */
struct coll_builder {
    struct coll *coll;  /* may be changed by nobody else meanwhile */
    uint32_t cap, last; /* packed: bytes there is room for; where the last cell begins */
    uint64_t names[8];  /* packed: a bit for each name, at a place that follows from it */
};
/* To go on with one that has been built before; c NULL: as zeroed. */
struct coll_builder coll_build_on(struct coll *c);
/* False: there is such an element already. */
bool coll_build(struct coll_builder *b, enum type type, struct bytes name, const struct image *im,
                struct hash_key key);
struct coll *coll_built(struct coll_builder *b); /* NULL: no elements; taken */

/* Takes an element out; returns NULL, the collection freed, when it was the last. */
struct coll *coll_cut(struct coll *c, const struct place *at);

/* Takes out the `n` elements (at least one) from `rank` on; only of lists and streams. Likewise. */
struct coll *coll_cut_run(struct coll *c, size_t rank, size_t n);

/* Passes over all elements: the callback says what becomes of each. It may see an element of a
 * large list or stream twice. */
enum fate { FATE_KEEP, FATE_DROP, FATE_REPLACE };
typedef enum fate coll_change(const struct cell *c, stamp_t base, struct reg *reg, void *arg);
/* `change` may open the register into *reg for FATE_REPLACE; it is closed here. Returns the
 * collection now. */
struct coll *coll_pass(struct coll *c, struct hash_key key, coll_change *change, void *arg);
/* About the next `n` elements of a large collection, from *cursor on, which begins and ends as 0.
 * A collection with a table may change between two calls. */
struct coll *coll_pass_some(struct coll *c, struct hash_key key, uint64_t *cursor, size_t n,
                            coll_change *change, void *arg);
/* Likewise, only to look at them. */
void coll_visit_some(const struct coll *c, uint64_t *cursor, size_t n,
                     void (*visit)(const struct cell *e, void *arg), void *arg);

/* The few elements that stay of a large collection with a table, as a collection of their own, when
 * all others go: *out (NULL: none). `change` says FATE_DROP or FATE_REPLACE; `c` stays as it is.
 * False, and nothing made, when more than `most` stay. */
bool coll_rest(const struct coll *c, struct hash_key key, size_t most, coll_change *change,
               void *arg, struct coll **out);

void coll_free(struct coll *c);
/* Frees up to *budget elements and lowers it; false when all is freed, the collection too. */
bool coll_free_step(struct coll *c, size_t *budget);

/* ---- readings under way (reading.h). Whatever changes an element of a large collection says so
 * first: `e` is the element, NULL one that is new. */
static inline bool coll_is_read(const struct coll *c)
{
    return c != NULL && c->is_large && coll_large(c)->readings != NULL;
}
void readings_before(struct large *l, struct bytes name, const struct cell *e);
void readings_end(struct large *l);   /* nothing is left of it */
void readings_moved(struct large *l); /* it lies here now, as it was */
static inline void large_changes(struct large *l, struct bytes name, const struct cell *e)
{
    if (__builtin_expect(l->readings != NULL, 0))
        readings_before(l, name, e);
}

/* ---- reading, shared with value.c */
void coll_walk(struct coll_iter *it, const struct coll *c);
/* From a rank on: cheap where there is an order. */
void coll_walk_from(struct coll_iter *it, const struct coll *c, size_t rank);
const struct cell *coll_by_rank(const struct coll *c, size_t rank);
/* Rank of the first element for which below() is false; it must be true for a prefix of the order.
 * Only where there is an order; c NULL: 0. */
size_t coll_partition(const struct coll *c, bool (*below)(const void *item, const void *arg),
                      const void *arg);

#endif
