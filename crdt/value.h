/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_VALUE_H
#define MERIDIAN_CRDT_VALUE_H

#include "base/rng.h"
#include "base/table.h"
#include "base/tree.h"
#include "crdt/cell.h"

/*
 * A key with everything under its name: the cell of the keyspace, and its reading. Writing goes
 * through value_apply() and value_join() only (crdt/apply.h).
 *
 * Types in the order of precedence: shown is the first that is not empty.
 */
enum type {
    TYPE_NONE,
    TYPE_STREAM,
    TYPE_HASH,
    TYPE_ZSET,
    TYPE_SET,
    TYPE_LIST,
    TYPE_HLL,
    TYPE_STRING,
    TYPE_COUNT
};
const char *type_name(enum type t); /* "hash" ...; HLL says "string", as Redis */

/* `key` may be NULL everywhere below: the absent key. A deadline that has passed is the shard's
 * business, not ours. */
static inline enum type value_type(const struct cell *key);   /* NONE also when only a deadline is
                                                                 left */
static inline int64_t value_deadline(const struct cell *key); /* Unix ms, DEADLINE_NEVER */
stamp_t value_deadline_dot(const struct cell *key);           /* of the visible deadline; 0 none */
size_t value_memory(const struct cell *key); /* bytes held, by MEMORY USAGE's idea */
const char *value_encoding(
    const struct cell *key); /* Redis' names: int embstr raw listpack hashtable skiplist ... */
/* One type under the name, with one deadline at most. */
bool value_is_simple(const struct cell *key);
/* Every dot of the key is settled and in its compact form. */
bool value_is_settled(const struct cell *key);

/* The first byte says it of nearly every key; what it cannot say is found by these. */
enum type value_type_of_several(const struct cell *key);
int64_t value_deadline_held(const struct cell *key);
static inline enum type value_type(const struct cell *key)
{
    if (key == NULL)
        return TYPE_NONE;
    return cell_form(key) == CELL_MULTI ? value_type_of_several(key) : (enum type)cell_low(key);
}
static inline int64_t value_deadline(const struct cell *key)
{
    if (key == NULL || (cell_form(key) != CELL_MULTI && !cell_has_deadline(key)))
        return DEADLINE_NEVER;
    return value_deadline_held(key);
}

/* ---- string: the register of the shown string; false when the shown type is not string */
bool string_show(const struct cell *key, struct shown *out);
enum number_kind string_number(const struct cell *key, int64_t *i, long double *r);

/* ---- collections: hash (field), set (member), zset (member), list (position). `type` says which
 * one is meant. */
size_t coll_len(const struct cell *key, enum type type);
const struct cell *coll_find(const struct cell *key, enum type type, struct bytes name);
/* Three steps that bring an element's memory near before it is looked for, each to be called for a
 * whole pipeline before the next: the collection, where it would have the element, the element.
 * NULL: there is nothing to bring. Nothing may change meanwhile. */
const struct coll *coll_ahead(const struct cell *key);
uint64_t coll_ahead_bucket(const struct coll *c, struct bytes name);
void coll_ahead_item(const struct coll *c, uint64_t hash);
/* In no useful order, but the same for equal histories on one machine: order of the table, or
 * insertion; zset and list: their order. The collection must not change meanwhile. */
struct block_iter { /* of a large list: crdt/blocks.h */
    struct tree_iter tree;
    const struct block *block; /* NULL: at the end */
    unsigned slot;
};
struct coll_iter {
    const struct cell *at, *end; /* packed */
    struct table_iter table;
    struct tree_iter tree;
    struct block_iter blocks;
    uint8_t kind;
};
void coll_iter(struct coll_iter *it, const struct cell *key, enum type type);
const struct cell *coll_next(struct coll_iter *it); /* NULL at the end */
const struct cell *coll_random(const struct cell *key, enum type type, struct rng *rng);
/* As table_scan; a packed collection is visited whole and returns 0. */
uint64_t coll_scan(const struct cell *key, enum type type, uint64_t cursor, size_t want,
                   void (*visit)(const struct cell *elem, void *arg), void *arg);

/* ---- ordered collections (zset: by score then member; list: by position), by rank from 0 */
const struct cell *coll_at(const struct cell *key, enum type type, size_t rank);
/* Stands on a place: next returns what is there and steps forward, prev returns it and steps back;
 * NULL past either end. Start with a rank below the length. */
#ifndef COLL_PACKED_MAX
#define COLL_PACKED_MAX 128
#endif
struct order_iter {
    const struct cell *cells[COLL_PACKED_MAX]; /* packed */
    int i, n;
    struct tree_iter tree;
    struct block_iter blocks;
    enum { ORDER_PACKED, ORDER_TREE, ORDER_BLOCKS } kind;
};
void order_iter(struct order_iter *it, const struct cell *key, enum type type, size_t rank);
const struct cell *order_next(struct order_iter *it);
const struct cell *order_prev(struct order_iter *it);

size_t zset_rank(const struct cell *key, struct bytes member); /* SIZE_MAX when absent */
size_t zset_rank_score(const struct cell *key, double score,
                       bool after); /* members below score (after: up to and with it) */
size_t zset_rank_lex(const struct cell *key, struct bytes member,
                     bool after); /* likewise, by member: all scores equal */

/* ---- HyperLogLog: the union of all contributions as 16384 ranks; false when the shown type is not
 * HLL */
#define HLL_REGISTERS 16384u
bool hll_show(const struct cell *key, uint8_t ranks[HLL_REGISTERS]);
/* A contribution is stored dense: for showing the form that Redis would have. */
bool hll_is_dense(const struct cell *key);
/* That PFCOUNT was asked since it last changed, which shows in the string that Redis has for it. Of
 * this region only, and of no other consequence; the key shows a HyperLogLog. */
bool hll_is_counted(const struct cell *key);
void hll_set_counted(struct cell *key);

#endif
