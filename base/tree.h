/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_TREE_H
#define MERIDIAN_BASE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A counted B+ tree of pointers: items in the order of `cmp`, each also reachable by its rank in
 * O(log n). Sorted sets (score, member), lists (position) and streams (ID) stand on it. It owns no
 * item. Leaves hold up to 61 items, inner nodes up to 42 children. Both ends are at hand: reading
 * there takes no descent, adding and taking out there compares once or twice and leaves full leaves
 * behind.
 *
 * Inner nodes hold, for each child, how many items and which first item it has. They never point to
 * an item that is no longer in the tree.
 *
 * Items may weigh more than one: a list's items are blocks of several elements each. Ranks and
 * counts are then in elements, and whoever changes an item's weight says so (tree_reweigh).
 */
typedef int tree_cmp(const void *a, const void *b, void *arg);
typedef size_t tree_weight(const void *item);

struct tree {
    tree_cmp *cmp;
    void *arg;
    tree_weight *weight; /* NULL: each item weighs one */
    void *root;          /* NULL while the tree is empty */
    void *head, *tail;   /* the first and the last leaf, likewise */
    unsigned height;
    size_t count; /* the sum of all weights */
    size_t memory;
};

void tree_init(struct tree *t, tree_cmp *cmp, void *arg);
void tree_init_weighted(struct tree *t, tree_cmp *cmp, void *arg, tree_weight *weight);
void tree_deinit(struct tree *t, void (*drop)(void *item, void *arg), void *arg);
/* The same without `drop`, in slices: frees at most *budget nodes, and takes them off it. True when
 * all is freed; until then only this may be called. */
bool tree_deinit_step(struct tree *t, size_t *budget);
/* Adds; nothing that compares equal may be present. */
void tree_put(struct tree *t, void *item);
/* The same for an item that is known to be above, or below, all others: nothing is compared,
 * mostly.
 */
void tree_put_last(struct tree *t, void *item);
void tree_put_first(struct tree *t, void *item);
/* Takes out what compares equal to `key`; NULL when absent. */
void *tree_take(struct tree *t, const void *key);
/* What compares equal to `item` is now there (same order, moved by a realloc). `old`, which must be
 * in the tree, is compared as an address; it may be freed already. */
void tree_replace(struct tree *t, const void *old, void *item);
void *tree_at(const struct tree *t, size_t rank); /* NULL when rank >= count */
/* Rank of the first item for which below(item, arg) is false; `below` must be true for a prefix of
 * the order. */
size_t tree_partition(const struct tree *t, bool (*below)(const void *item, const void *arg),
                      const void *arg);

/* Walking from a rank, either way; the tree must not change meanwhile. A rank outside is the end
 * (both ways). */
struct tree_iter {
    void *leaf;
    unsigned i;
};
void tree_iter(struct tree_iter *it, const struct tree *t, size_t rank);
void *tree_next(
    struct tree_iter *it); /* returns the item at the place and steps forward; NULL at the end */
void *tree_prev(
    struct tree_iter *it); /* returns the item at the place and steps back; NULL before the start */
size_t tree_memory(const struct tree *t);

/* ---- of a weighted tree. The item's weight has changed by `by`; it is in the tree and still
 * weighs something. */
void tree_reweigh(struct tree *t, const void *item, ptrdiff_t by);
/* Stands on the item that holds the rank; *offset gets how far into it the rank is. tree_next
 * returns that item. A rank outside is the end. */
void tree_iter_into(struct tree_iter *it, const struct tree *t, size_t rank, size_t *offset);
void *tree_item(const struct tree_iter *it); /* where it stands; NULL at the end */
void *tree_first(const struct tree *t);      /* NULL: the tree is empty */
void *tree_last(const struct tree *t);
/* The neighbours of an item of the tree; NULL: it is the first, or the last. */
void tree_beside(const struct tree *t, const void *item, void **before, void **after);
/* The last item for which below(item, arg) is true, *rank gets the weight of all before it; NULL:
 * there is none. `below` as above. */
void *tree_floor(const struct tree *t, bool (*below)(const void *item, const void *arg),
                 const void *arg, size_t *rank);

#endif
