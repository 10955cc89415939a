/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/tree.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define LEAF_MAX 61u  /* 512 bytes */
#define INNER_MAX 42u /* 1 KiB */

/* A node of height 0. All leaves are linked in order. */
struct leaf {
    struct leaf *prev, *next;
    uint64_t n;
    void *item[LEAF_MAX];
};

/* A node of height 1 and more. */
struct inner {
    uint64_t n;
    void *child[INNER_MAX];
    void *first[INNER_MAX];  /* item of the child's subtree */
    size_t count[INNER_MAX]; /* items in it */
};

static void *node_first(const void *node, unsigned height)
{
    return height == 0 ? ((const struct leaf *)node)->item[0]
                       : ((const struct inner *)node)->first[0];
}

static size_t weigh(const struct tree *t, const void *item)
{
    return t->weight != NULL ? t->weight(item) : 1;
}

static size_t leaf_count(const struct tree *t, const struct leaf *leaf)
{
    if (t->weight == NULL)
        return leaf->n;
    size_t sum = 0;
    for (unsigned i = 0; i < leaf->n; i++)
        sum += t->weight(leaf->item[i]);
    return sum;
}

static size_t node_count(const struct tree *t, const void *node, unsigned height)
{
    if (height == 0)
        return leaf_count(t, node);
    const struct inner *in = node;
    size_t sum = 0;
    for (unsigned i = 0; i < in->n; i++)
        sum += in->count[i];
    return sum;
}

static void *node_new(struct tree *t, size_t size)
{
    t->memory += size;
    return mem_alloc(size);
}

static void node_free(struct tree *t, void *node, size_t size)
{
    t->memory -= size;
    mem_free(node);
}

void tree_init(struct tree *t, tree_cmp *cmp, void *arg)
{
    *t = (struct tree){.cmp = cmp, .arg = arg};
}

void tree_init_weighted(struct tree *t, tree_cmp *cmp, void *arg, tree_weight *weight)
{
    *t = (struct tree){.cmp = cmp, .arg = arg, .weight = weight};
}

/* ------------------------------------------------------------ searching */

/* How a search compares: `old` counts as equal without being looked at. */
struct search {
    const struct tree *t;
    const void *key;
    const void *old;
};

static int search_cmp(const struct search *s, const void *item)
{
    return item == s->old ? 0 : s->t->cmp(s->key, item, s->t->arg);
}

#define NEAR_COUNT 8192u /* the items of a smaller tree are in the caches */
#define AHEAD_LEAST 7u

static void item_ahead(const void *item)
{
    prefetch(item);
    prefetch((const uint8_t *)item + 40); /* what is compared may begin a line further */
}

/* Brings near what the next three comparisons may look at, of at least AHEAD_LEAST items: searching
 * a large tree is waiting for one item after the other. */
static void items_ahead(void *const *items, unsigned low, unsigned n)
{
    unsigned mid = (low + n) / 2, left = (low + mid) / 2, right = (mid + 1 + n) / 2;
    item_ahead(items[mid]);
    item_ahead(items[left]);
    item_ahead(items[right]);
    item_ahead(items[(low + left) / 2]);
    item_ahead(items[(left + 1 + mid) / 2]);
    item_ahead(items[(mid + 1 + right) / 2]);
    item_ahead(items[(right + 1 + n) / 2]);
}

/* The first of the n items that is above the key. */
static unsigned upper_bound(const struct search *s, void *const *items, unsigned n)
{
    unsigned low = 0;
    bool far = s->t->count > NEAR_COUNT;
    for (unsigned step = 0; low < n; step++) {
        unsigned mid = (low + n) / 2;
        if (far && step % 3 == 0 && n - low >= AHEAD_LEAST)
            items_ahead(items, low, n);
        if (search_cmp(s, items[mid]) < 0)
            n = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* The child whose range the key is in. *left and *right tell that the node is the outermost of its
 * height on that side (and then whether the child is): there the end is tried first, since most
 * insertions are there. */
static unsigned child_of(const struct search *s, const struct inner *in, bool *left, bool *right)
{
    unsigned last = (unsigned)in->n - 1, i;
    if (*right && search_cmp(s, in->first[last]) >= 0)
        i = last;
    else if (*left && search_cmp(s, in->first[1 < last ? 1 : last]) < 0)
        i = 0;
    else
        i = upper_bound(s, in->first + 1, last); /* below first[0] is the first child's, too */
    *left = *left && i == 0;
    *right = *right && i == last;
    return i;
}

static unsigned leaf_bound(const struct search *s, const struct leaf *leaf)
{
    if (leaf->next == NULL && search_cmp(s, leaf->item[leaf->n - 1]) > 0)
        return (unsigned)leaf->n;
    if (leaf->prev == NULL && search_cmp(s, leaf->item[0]) < 0)
        return 0;
    return upper_bound(s, leaf->item, (unsigned)leaf->n);
}

/* ------------------------------------------------------------ adding */

static void leaf_insert(struct leaf *leaf, unsigned at, void *item)
{
    memmove(leaf->item + at + 1, leaf->item + at, (leaf->n - at) * sizeof *leaf->item);
    leaf->item[at] = item;
    leaf->n++;
}

/* Splits a full leaf for an insertion at `at`; returns the new right one. In the middle into
 * halves, at either end of the tree so that the full leaf stays full. */
static struct leaf *leaf_split(struct tree *t, struct leaf *leaf, unsigned at)
{
    struct leaf *right = node_new(t, sizeof *right);
    unsigned keep = LEAF_MAX / 2;
    if (at == LEAF_MAX && leaf->next == NULL)
        keep = LEAF_MAX;
    else if (at == 0 && leaf->prev == NULL)
        keep = 0;
    right->n = LEAF_MAX - keep;
    memcpy(right->item, leaf->item + keep, right->n * sizeof *leaf->item);
    leaf->n = keep;
    right->prev = leaf;
    right->next = leaf->next;
    if (right->next != NULL)
        right->next->prev = right;
    else
        t->tail = right;
    leaf->next = right;
    return right;
}

static struct leaf *leaf_put(struct tree *t, struct leaf *leaf, const struct search *s, void *item)
{
    unsigned at = leaf_bound(s, leaf);
    struct leaf *right = NULL;
    if (leaf->n == LEAF_MAX) {
        right = leaf_split(t, leaf, at);
        if (at > leaf->n || right->n == 0) {
            at -= (unsigned)leaf->n;
            leaf = right;
        }
    }
    leaf_insert(leaf, at, item);
    return right;
}

static void inner_insert(const struct tree *t, struct inner *in, unsigned at, void *child,
                         unsigned child_height)
{
    size_t n = in->n - at;
    memmove(in->child + at + 1, in->child + at, n * sizeof *in->child);
    memmove(in->first + at + 1, in->first + at, n * sizeof *in->first);
    memmove(in->count + at + 1, in->count + at, n * sizeof *in->count);
    in->child[at] = child;
    in->first[at] = node_first(child, child_height);
    in->count[at] = node_count(t, child, child_height);
    in->n++;
}

/* Moves the children from `from` on to the end of `to`. */
static void inner_move(struct inner *to, struct inner *in, unsigned from)
{
    size_t n = in->n - from;
    memcpy(to->child + to->n, in->child + from, n * sizeof *in->child);
    memcpy(to->first + to->n, in->first + from, n * sizeof *in->first);
    memcpy(to->count + to->n, in->count + from, n * sizeof *in->count);
    to->n += n;
    in->n = from;
}

/* Adds to the subtree; returns the node's new right neighbour when it had to be split. */
static void *node_put(struct tree *t, void *node, unsigned height, const struct search *s,
                      void *item, bool left, bool right)
{
    if (height == 0)
        return leaf_put(t, node, s, item);
    struct inner *in = node, *fresh = NULL;
    unsigned i = child_of(s, in, &left, &right);
    void *child = in->child[i], *split = node_put(t, child, height - 1, s, item, left, right);
    in->first[i] = node_first(child, height - 1);
    if (split == NULL) {
        in->count[i] += weigh(t, item);
        return NULL;
    }
    in->count[i] = node_count(t, child, height - 1);
    if (in->n == INNER_MAX) {
        fresh = node_new(t, sizeof *fresh);
        fresh->n = 0;
        inner_move(fresh, in, INNER_MAX / 2);
        if (i >= in->n) {
            i -= (unsigned)in->n;
            in = fresh;
        }
    }
    inner_insert(t, in, i + 1, split, height - 1);
    return fresh;
}

/* The nodes above the last leaf, or the first, count. */
static void weigh_tail(struct tree *t, ptrdiff_t by)
{
    void *node = t->root;
    for (unsigned h = t->height; h > 0; h--) {
        struct inner *in = node;
        in->count[in->n - 1] += (size_t)by;
        node = in->child[in->n - 1];
    }
}

static void weigh_head(struct tree *t, ptrdiff_t by)
{
    void *node = t->root;
    for (unsigned h = t->height; h > 0; h--) {
        struct inner *in = node;
        in->first[0] = ((struct leaf *)t->head)->item[0];
        in->count[0] += (size_t)by;
        node = in->child[0];
    }
}

/* Behind the last item, where the leaf has room: the nodes above only count. */
static bool append(struct tree *t, void *item)
{
    struct leaf *leaf = t->tail;
    if (leaf->n == LEAF_MAX)
        return false;
    leaf->item[leaf->n++] = item;
    weigh_tail(t, (ptrdiff_t)weigh(t, item));
    return true;
}

/* Likewise before the first. */
static bool prepend(struct tree *t, void *item)
{
    struct leaf *leaf = t->head;
    if (leaf->n == LEAF_MAX)
        return false;
    leaf_insert(leaf, 0, item);
    weigh_head(t, (ptrdiff_t)weigh(t, item));
    return true;
}

static bool put_at_end(struct tree *t, void *item)
{
    const struct leaf *head = t->head, *tail = t->tail;
    if (t->cmp(item, tail->item[tail->n - 1], t->arg) > 0)
        return append(t, item);
    return t->cmp(item, head->item[0], t->arg) < 0 && prepend(t, item);
}

void tree_put_last(struct tree *t, void *item)
{
    if (t->root != NULL && append(t, item))
        t->count += weigh(t, item);
    else
        tree_put(t, item);
}

void tree_put_first(struct tree *t, void *item)
{
    if (t->root != NULL && prepend(t, item))
        t->count += weigh(t, item);
    else
        tree_put(t, item);
}

void tree_put(struct tree *t, void *item)
{
    struct search s = {.t = t, .key = item};
    t->count += weigh(t, item);
    if (t->root != NULL && put_at_end(t, item))
        return;
    if (t->root == NULL) {
        struct leaf *leaf = node_new(t, sizeof *leaf);
        leaf->prev = leaf->next = NULL;
        leaf->n = 1;
        leaf->item[0] = item;
        t->root = t->head = t->tail = leaf;
        t->height = 0;
        return;
    }
    void *split = node_put(t, t->root, t->height, &s, item, true, true);
    if (split == NULL)
        return;
    struct inner *root = node_new(t, sizeof *root);
    root->n = 0;
    inner_insert(t, root, 0, t->root, t->height);
    inner_insert(t, root, 1, split, t->height);
    t->root = root;
    t->height++;
}

/* ------------------------------------------------------------ taking out */

static size_t node_size(unsigned height)
{
    return height == 0 ? sizeof(struct leaf) : sizeof(struct inner);
}

static void leaf_unlink(struct tree *t, struct leaf *leaf)
{
    if (leaf->prev != NULL)
        leaf->prev->next = leaf->next;
    else
        t->head = leaf->next;
    if (leaf->next != NULL)
        leaf->next->prev = leaf->prev;
    else
        t->tail = leaf->prev;
}

/* Frees child i, whose content has gone elsewhere. */
static void child_free(struct tree *t, struct inner *in, unsigned i, unsigned height)
{
    if (height == 0)
        leaf_unlink(t, in->child[i]);
    node_free(t, in->child[i], node_size(height));
    size_t n = in->n - i - 1;
    memmove(in->child + i, in->child + i + 1, n * sizeof *in->child);
    memmove(in->first + i, in->first + i + 1, n * sizeof *in->first);
    memmove(in->count + i, in->count + i + 1, n * sizeof *in->count);
    in->n--;
}

static void leaf_remove(struct leaf *leaf, unsigned at)
{
    leaf->n--;
    memmove(leaf->item + at, leaf->item + at + 1, (leaf->n - at) * sizeof *leaf->item);
}

static uint64_t node_width(const void *node, unsigned height)
{
    return height == 0 ? ((const struct leaf *)node)->n : ((const struct inner *)node)->n;
}

/* Merges child i + 1 into child i if both fit into one node. */
static bool merge_children(struct tree *t, struct inner *in, unsigned i, unsigned height)
{
    if (i + 1 >= in->n)
        return false;
    void *a = in->child[i], *b = in->child[i + 1];
    uint64_t width = node_width(a, height) + node_width(b, height);
    if (width > (height == 0 ? LEAF_MAX : INNER_MAX))
        return false;
    if (height == 0) {
        struct leaf *to = a, *from = b;
        memcpy(to->item + to->n, from->item, from->n * sizeof *to->item);
        to->n += from->n;
    } else {
        inner_move(a, b, 0);
    }
    in->count[i] += in->count[i + 1];
    child_free(t, in, i + 1, height);
    return true;
}

/* Nodes less than a third full are merged with a neighbour as soon as both fit into one; nothing is
 * borrowed. So on average nodes are about half full or more. An empty node goes at once. */
static void after_take(struct tree *t, struct inner *in, unsigned i, unsigned height, size_t weight)
{
    in->count[i] -= weight;
    uint64_t width = node_width(in->child[i], height);
    if (width == 0) {
        child_free(t, in, i, height);
        return;
    }
    in->first[i] = node_first(in->child[i], height);
    if (width < (height == 0 ? LEAF_MAX : INNER_MAX) / 3 && !merge_children(t, in, i, height) &&
        i > 0)
        merge_children(t, in, i - 1, height);
}

static void *node_take(struct tree *t, void *node, unsigned height, const struct search *s)
{
    if (height == 0) {
        struct leaf *leaf = node;
        unsigned at = upper_bound(s, leaf->item, (unsigned)leaf->n);
        if (at == 0 || search_cmp(s, leaf->item[at - 1]) != 0)
            return NULL;
        void *item = leaf->item[at - 1];
        leaf_remove(leaf, at - 1);
        return item;
    }
    struct inner *in = node;
    bool left = false, right = false;
    unsigned i = child_of(s, in, &left, &right);
    void *item = node_take(t, in->child[i], height - 1, s);
    if (item != NULL)
        after_take(t, in, i, height - 1, weigh(t, item));
    return item;
}

/* Takes out the last or the first item if it is meant and not alone in its leaf. The outermost
 * leaves are not merged on the way: a queue empties them anyway. */
static void *take_at_end(struct tree *t, const void *key)
{
    struct leaf *leaf = t->head;
    void *item = leaf->item[0];
    if (leaf->n > 1 && (item == key || t->cmp(key, item, t->arg) == 0)) {
        leaf_remove(leaf, 0);
        weigh_head(t, -(ptrdiff_t)weigh(t, item));
        return item;
    }
    leaf = t->tail;
    item = leaf->item[leaf->n - 1];
    if (leaf->n == 1 || (item != key && t->cmp(key, item, t->arg) != 0))
        return NULL;
    leaf->n--;
    weigh_tail(t, -(ptrdiff_t)weigh(t, item));
    return item;
}

void *tree_take(struct tree *t, const void *key)
{
    struct search s = {.t = t, .key = key};
    if (t->root == NULL)
        return NULL;
    void *item = take_at_end(t, key);
    if (item != NULL) {
        t->count -= weigh(t, item);
        return item;
    }
    item = node_take(t, t->root, t->height, &s);
    if (item == NULL)
        return NULL;
    t->count -= weigh(t, item);
    while (t->height > 0 && ((struct inner *)t->root)->n == 1) {
        struct inner *root = t->root;
        t->root = root->child[0];
        t->height--;
        node_free(t, root, sizeof *root);
    }
    if (t->count == 0) {
        node_free(t, t->root, node_size(t->height));
        t->root = t->head = t->tail = NULL;
    }
    return item;
}

static void node_drop(struct tree *t, void *node, unsigned height,
                      void (*drop)(void *item, void *arg), void *arg)
{
    if (height == 0) {
        struct leaf *leaf = node;
        for (unsigned i = 0; drop != NULL && i < leaf->n; i++)
            drop(leaf->item[i], arg);
        node_free(t, leaf, sizeof *leaf);
        return;
    }
    struct inner *in = node;
    for (unsigned i = 0; i < in->n; i++)
        node_drop(t, in->child[i], height - 1, drop, arg);
    node_free(t, in, sizeof *in);
}

void tree_deinit(struct tree *t, void (*drop)(void *item, void *arg), void *arg)
{
    if (t->root != NULL)
        node_drop(t, t->root, t->height, drop, arg);
    tree_init_weighted(t, t->cmp, t->arg, t->weight);
}

/* From the right to the left, so that a node always says what is left of it. */
static bool node_drop_step(struct tree *t, void *node, unsigned height, size_t *budget)
{
    struct inner *in = node;
    for (; height > 0 && in->n > 0; in->n--)
        if (!node_drop_step(t, in->child[in->n - 1], height - 1, budget))
            return false;
    if (*budget == 0)
        return false;
    --*budget;
    node_free(t, node, node_size(height));
    return true;
}

bool tree_deinit_step(struct tree *t, size_t *budget)
{
    if (t->root != NULL && !node_drop_step(t, t->root, t->height, budget))
        return false;
    tree_init_weighted(t, t->cmp, t->arg, t->weight);
    return true;
}

/* ------------------------------------------------------------ the rest */

void tree_replace(struct tree *t, const void *old, void *item)
{
    struct search s = {.t = t, .key = item, .old = old};
    void *node = t->root;
    assert(node != NULL);
    for (unsigned h = t->height; h > 0; h--) {
        struct inner *in = node;
        bool left = false, right = false;
        unsigned i = child_of(&s, in, &left, &right);
        if (in->first[i] == old)
            in->first[i] = item;
        node = in->child[i];
    }
    struct leaf *leaf = node;
    unsigned at = upper_bound(&s, leaf->item, (unsigned)leaf->n);
    assert(at > 0 && leaf->item[at - 1] == old);
    leaf->item[at - 1] = item;
}

/* The leaf that holds a rank below the count; *rank is then counted from the leaf's beginning. */
static struct leaf *leaf_of(const struct tree *t, size_t *rank)
{
    void *node = t->root;
    for (unsigned h = t->height; h > 0; h--) {
        const struct inner *in = node;
        unsigned i = 0;
        while (*rank >= in->count[i])
            *rank -= in->count[i++];
        node = in->child[i];
    }
    return node;
}

void tree_iter(struct tree_iter *it, const struct tree *t, size_t rank)
{
    *it = (struct tree_iter){0};
    if (rank >= t->count)
        return;
    const struct leaf *head = t->head, *tail = t->tail;
    if (rank < head->n || rank >= t->count - tail->n) {
        it->leaf = rank < head->n ? t->head : t->tail;
        it->i = (unsigned)(rank < head->n ? rank : rank - (t->count - tail->n));
        return;
    }
    it->leaf = leaf_of(t, &rank);
    it->i = (unsigned)rank;
}

void *tree_at(const struct tree *t, size_t rank)
{
    struct tree_iter it;
    tree_iter(&it, t, rank);
    return it.leaf ? ((struct leaf *)it.leaf)->item[it.i] : NULL;
}

void *tree_next(struct tree_iter *it)
{
    struct leaf *leaf = it->leaf;
    if (leaf == NULL)
        return NULL;
    void *item = leaf->item[it->i++];
    if (it->i == leaf->n) {
        it->leaf = leaf->next;
        it->i = 0;
    }
    return item;
}

void *tree_prev(struct tree_iter *it)
{
    struct leaf *leaf = it->leaf;
    if (leaf == NULL)
        return NULL;
    void *item = leaf->item[it->i];
    if (it->i-- == 0) {
        it->leaf = leaf->prev;
        it->i = leaf->prev ? (unsigned)leaf->prev->n - 1 : 0;
    }
    return item;
}

/* How many of the n items, a prefix of them, are below. */
static unsigned prefix(void *const *items, unsigned n,
                       bool (*below)(const void *item, const void *arg), const void *arg)
{
    unsigned low = 0;
    while (low < n) {
        unsigned mid = (low + n) / 2;
        if (below(items[mid], arg))
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}

size_t tree_partition(const struct tree *t, bool (*below)(const void *item, const void *arg),
                      const void *arg)
{
    size_t rank = 0;
    const void *node = t->root;
    if (node == NULL)
        return 0;
    for (unsigned h = t->height; h > 0; h--) {
        const struct inner *in = node;
        unsigned n = prefix(in->first, (unsigned)in->n, below, arg);
        if (n == 0)
            return rank;
        for (unsigned i = 0; i < n - 1; i++)
            rank += in->count[i];
        node = in->child[n - 1];
    }
    const struct leaf *leaf = node;
    return rank + prefix(leaf->item, (unsigned)leaf->n, below, arg);
}

size_t tree_memory(const struct tree *t) { return t->memory; }

/* ------------------------------------------------------------ weights */

void tree_reweigh(struct tree *t, const void *item, ptrdiff_t by)
{
    const struct leaf *head = t->head, *tail = t->tail;
    t->count += (size_t)by;
    if (tail->item[tail->n - 1] == item) {
        weigh_tail(t, by);
        return;
    }
    if (head->item[0] == item) {
        weigh_head(t, by);
        return;
    }
    struct search s = {.t = t, .key = item, .old = item};
    void *node = t->root;
    for (unsigned h = t->height; h > 0; h--) {
        struct inner *in = node;
        bool left = false, right = false;
        unsigned i = child_of(&s, in, &left, &right);
        in->count[i] += (size_t)by;
        node = in->child[i];
    }
}

void tree_iter_into(struct tree_iter *it, const struct tree *t, size_t rank, size_t *offset)
{
    *it = (struct tree_iter){0};
    *offset = 0;
    if (rank >= t->count)
        return;
    const struct leaf *tail = t->tail;
    size_t last = t->count - weigh(t, tail->item[tail->n - 1]);
    if (rank >= last) {
        *it = (struct tree_iter){.leaf = t->tail, .i = (unsigned)tail->n - 1};
        *offset = rank - last;
        return;
    }
    if (rank < weigh(t, tree_first(t))) {
        it->leaf = t->head;
        *offset = rank;
        return;
    }
    struct leaf *leaf = leaf_of(t, &rank);
    for (size_t w; rank >= (w = weigh(t, leaf->item[it->i])); it->i++)
        rank -= w;
    it->leaf = leaf;
    *offset = rank;
}

void *tree_floor(const struct tree *t, bool (*below)(const void *item, const void *arg),
                 const void *arg, size_t *rank)
{
    const void *node = t->root;
    *rank = 0;
    if (node == NULL)
        return NULL;
    for (unsigned h = t->height; h > 0; h--) {
        const struct inner *in = node;
        unsigned n = prefix(in->first, (unsigned)in->n, below, arg);
        if (n == 0)
            return NULL;
        for (unsigned i = 0; i < n - 1; i++)
            *rank += in->count[i];
        node = in->child[n - 1];
    }
    const struct leaf *leaf = node;
    unsigned n = prefix(leaf->item, (unsigned)leaf->n, below, arg);
    for (unsigned i = 0; i + 1 < n; i++)
        *rank += weigh(t, leaf->item[i]);
    return n > 0 ? leaf->item[n - 1] : NULL;
}

void *tree_item(const struct tree_iter *it)
{
    return it->leaf != NULL ? ((struct leaf *)it->leaf)->item[it->i] : NULL;
}

void *tree_first(const struct tree *t)
{
    return t->head != NULL ? ((struct leaf *)t->head)->item[0] : NULL;
}

void *tree_last(const struct tree *t)
{
    const struct leaf *leaf = t->tail;
    return leaf != NULL ? leaf->item[leaf->n - 1] : NULL;
}

void tree_beside(const struct tree *t, const void *item, void **before, void **after)
{
    struct search s = {.t = t, .key = item, .old = item};
    void *node = t->root;
    for (unsigned h = t->height; h > 0; h--) {
        struct inner *in = node;
        bool left = false, right = false;
        node = in->child[child_of(&s, in, &left, &right)];
    }
    const struct leaf *leaf = node;
    unsigned at = upper_bound(&s, leaf->item, (unsigned)leaf->n);
    *before = at > 1 ? leaf->item[at - 2] : leaf->prev ? leaf->prev->item[leaf->prev->n - 1] : NULL;
    *after = at < leaf->n ? leaf->item[at] : leaf->next ? leaf->next->item[0] : NULL;
}
