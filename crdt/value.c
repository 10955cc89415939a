/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/value.h"

#include "base/mem.h"
#include "crdt/blocks.h"
#include "crdt/hll.h"
#include "crdt/multi.h"

const char *type_name(enum type t)
{
    static const char *const names[TYPE_COUNT] = {
        [TYPE_NONE] = "none",  [TYPE_STREAM] = "stream", [TYPE_HASH] = "hash",
        [TYPE_ZSET] = "zset",  [TYPE_SET] = "set",       [TYPE_LIST] = "list",
        [TYPE_HLL] = "string", [TYPE_STRING] = "string",
    };
    return names[t < TYPE_COUNT ? t : TYPE_NONE];
}

enum type value_type_of_several(const struct cell *key) { return multi_type(key_multi(key)); }

static struct deadline shown_deadline(const struct cell *key)
{
    struct deadline none = {.ms = DEADLINE_NEVER};
    if (key == NULL)
        return none;
    const struct multi *m = key_multi(key);
    if (m) {
        const struct deadline *d = deadlines_shown(m);
        return d ? *d : none;
    }
    if (!cell_has_deadline(key))
        return none;
    struct view v = cell_view(key);
    return deadline_load(v.deadline);
}

int64_t value_deadline_held(const struct cell *key) { return shown_deadline(key).ms; }

stamp_t value_deadline_dot(const struct cell *key) { return shown_deadline(key).dot; }

size_t value_memory(const struct cell *key)
{
    if (key == NULL)
        return 0;
    size_t n = mem_block_size(key);
    const struct multi *m = key_multi(key);
    if (m)
        n += mem_block_size(m) + m->ndeadlines * sizeof *m->deadlines +
             m->bare_since.cap * sizeof(stamp_t);
    for (enum type t = TYPE_STREAM; t < TYPE_COUNT; t++) {
        const struct coll *c = type_is_register(t) ? NULL : key_coll(key, t);
        n += c ? coll_memory(c) : 0;
        n += m && m->part[t].reg ? mem_block_size(m->part[t].reg) : 0;
    }
    return n;
}

static const char *string_encoding(const struct cell *c)
{
    struct shown s;
    int64_t i;
    cell_show(c, &s);
    if (s.text.n <= 20 && num_parse_i64(s.text, &i))
        return "int";
    return s.text.n <= 44 ? "embstr" : "raw";
}

static bool all_ints(const struct cell *key)
{
    struct coll_iter it;
    const struct cell *e;
    int64_t i;
    coll_iter(&it, key, TYPE_SET);
    while ((e = coll_next(&it)) != NULL)
        if (!num_parse_i64(cell_name(e), &i))
            return false;
    return true;
}

const char *value_encoding(const struct cell *key)
{
    enum type t = value_type(key);
    if (t == TYPE_STRING)
        return string_encoding(key_register(key, t));
    if (t == TYPE_NONE || t == TYPE_HLL)
        return t == TYPE_HLL ? "raw" : "none";
    bool large = key_coll(key, t)->is_large;
    switch (t) {
    case TYPE_SET:
        if (coll_len(key, t) <= 512 && all_ints(key))
            return "intset";
        return "hashtable";
    case TYPE_HASH:
        return large ? "hashtable" : "listpack";
    case TYPE_ZSET:
        return large ? "skiplist" : "listpack";
    case TYPE_LIST:
        return large ? "quicklist" : "listpack";
    default:
        return "stream";
    }
}

static bool cell_is_settled(const struct cell *c)
{
    if (c == NULL || cell_form(c) != CELL_WIDE)
        return true;
    struct reg r;
    reg_open(&r, TYPE_NONE, c, 0);
    bool settled = reg_settled(&r);
    reg_close(&r);
    return settled;
}

bool value_is_simple(const struct cell *key) { return key_multi(key) == NULL; }

bool value_is_settled(const struct cell *key)
{
    const struct multi *m = key_multi(key);
    if (m && (m->bare || m->ndeadlines > 1))
        return false;
    if (!cell_is_settled(key_register(key, TYPE_STRING)) ||
        !cell_is_settled(key_register(key, TYPE_HLL)))
        return false;
    for (enum type t = TYPE_STREAM; t < TYPE_HLL; t++) {
        struct coll_iter it;
        const struct cell *e;
        coll_iter(&it, key, t);
        while ((e = coll_next(&it)) != NULL)
            if (!cell_is_settled(e))
                return false;
    }
    return true;
}

struct cell *value_rename(struct cell *key, struct bytes name) { return cell_rename(key, name); }

/* ------------------------------------------------------------ string */

bool string_show(const struct cell *key, struct shown *out)
{
    if (value_type(key) != TYPE_STRING)
        return false;
    cell_show(key_register(key, TYPE_STRING), out);
    return true;
}

enum number_kind string_number(const struct cell *key, int64_t *i, long double *r)
{
    if (value_type(key) != TYPE_STRING)
        return NUMBER_NONE;
    return cell_number(key_register(key, TYPE_STRING), i, r);
}

/* ------------------------------------------------------------ collections */

size_t coll_len(const struct cell *key, enum type type)
{
    const struct coll *c = key_coll(key, type);
    return c ? coll_count(c) : 0;
}

const struct cell *coll_find(const struct cell *key, enum type type, struct bytes name)
{
    struct place at;
    coll_seek(key_coll(key, type), name, &at);
    return at.cell;
}

const struct coll *coll_ahead(const struct cell *key)
{
    if (key == NULL || cell_form(key) != CELL_COLL)
        return NULL;
    struct view v = cell_view(key);
    const uint8_t *c = view_pointer(&v);
    prefetch(c);
    prefetch(c + 64);
    return view_pointer(&v);
}

uint64_t coll_ahead_bucket(const struct coll *c, struct bytes name)
{
    if (!c->is_large || !coll_has_table(c->type))
        return 0;
    const struct table *t = &coll_large(c)->table;
    uint64_t hash = table_hash(t, name);
    table_prefetch(t, hash);
    return hash;
}

void coll_ahead_item(const struct coll *c, uint64_t hash)
{
    if (c->is_large && coll_has_table(c->type))
        table_prefetch_item(&coll_large(c)->table, hash);
}

void coll_iter(struct coll_iter *it, const struct cell *key, enum type type)
{
    coll_walk(it, key_coll(key, type));
}

const struct cell *coll_random(const struct cell *key, enum type type, struct rng *rng)
{
    const struct coll *c = key_coll(key, type);
    if (c == NULL)
        return NULL;
    if (c->is_large && coll_has_table(type))
        return table_random(&coll_large(c)->table, rng_next(rng));
    return coll_by_rank(c, (size_t)rng_below(rng, coll_count(c)));
}

struct visitor {
    void (*visit)(const struct cell *elem, void *arg);
    void *arg;
};

static void visit_item(void *item, void *arg)
{
    const struct visitor *v = arg;
    v->visit(item, v->arg);
}

uint64_t coll_scan(const struct cell *key, enum type type, uint64_t cursor, size_t want,
                   void (*visit)(const struct cell *elem, void *arg), void *arg)
{
    const struct coll *c = key_coll(key, type);
    struct visitor v = {.visit = visit, .arg = arg};
    if (c && c->is_large && coll_has_table(type))
        return table_scan(&coll_large(c)->table, cursor, want, visit_item, &v);
    struct coll_iter it;
    const struct cell *e;
    coll_walk(&it, c);
    while ((e = coll_next(&it)) != NULL)
        visit(e, arg);
    return 0;
}

const struct cell *coll_at(const struct cell *key, enum type type, size_t rank)
{
    const struct coll *c = key_coll(key, type);
    return c ? coll_by_rank(c, rank) : NULL;
}

/* ------------------------------------------------------------ order */

void order_iter(struct order_iter *it, const struct cell *key, enum type type, size_t rank)
{
    const struct coll *c = key_coll(key, type);
    it->kind = c == NULL || !c->is_large ? ORDER_PACKED
               : coll_has_table(c->type) ? ORDER_TREE
                                         : ORDER_BLOCKS;
    if (it->kind == ORDER_TREE) {
        tree_iter(&it->tree, &coll_large(c)->tree, rank);
        return;
    }
    if (it->kind == ORDER_BLOCKS) {
        blocks_iter(&it->blocks, coll_large(c), rank);
        return;
    }
    struct coll_iter walk;
    const struct cell *e;
    it->n = 0;
    it->i = (int)(rank < COLL_PACKED_MAX ? rank : COLL_PACKED_MAX);
    coll_walk(&walk, c);
    while ((e = coll_next(&walk)) != NULL)
        it->cells[it->n++] = e;
}

const struct cell *order_next(struct order_iter *it)
{
    if (it->kind == ORDER_BLOCKS)
        return blocks_next(&it->blocks);
    if (it->kind == ORDER_TREE)
        return tree_next(&it->tree);
    return it->i >= 0 && it->i < it->n ? it->cells[it->i++] : NULL;
}

const struct cell *order_prev(struct order_iter *it)
{
    if (it->kind == ORDER_BLOCKS)
        return blocks_prev(&it->blocks);
    if (it->kind == ORDER_TREE)
        return tree_prev(&it->tree);
    return it->i >= 0 && it->i < it->n ? it->cells[it->i--] : NULL;
}

size_t coll_partition(const struct coll *c, bool (*below)(const void *item, const void *arg),
                      const void *arg)
{
    if (c == NULL)
        return 0;
    if (c->is_large && !coll_has_table(c->type))
        return blocks_partition(coll_large(c), below, arg);
    if (c->is_large)
        return tree_partition(&coll_large(c)->tree, below, arg);
    struct coll_iter it;
    const struct cell *e;
    size_t rank = 0;
    coll_walk(&it, c);
    while ((e = coll_next(&it)) != NULL && below(e, arg))
        rank++;
    return rank;
}

static bool below_cell(const void *item, const void *arg)
{
    return coll_order(TYPE_ZSET, item, arg) < 0;
}

size_t zset_rank(const struct cell *key, struct bytes member)
{
    const struct coll *c = key_coll(key, TYPE_ZSET);
    struct place at;
    coll_seek(c, member, &at);
    return at.cell ? coll_partition(c, below_cell, at.cell) : SIZE_MAX;
}

struct score_bound {
    double score;
    bool after;
};

static bool below_score(const void *item, const void *arg)
{
    const struct score_bound *b = arg;
    double score = cell_score(item);
    return b->after ? score <= b->score : score < b->score;
}

size_t zset_rank_score(const struct cell *key, double score, bool after)
{
    return coll_partition(key_coll(key, TYPE_ZSET), below_score,
                          &(struct score_bound){.score = score, .after = after});
}

struct lex_bound {
    struct bytes member;
    bool after;
};

static bool below_lex(const void *item, const void *arg)
{
    const struct lex_bound *b = arg;
    int order = bytes_cmp(cell_name(item), b->member);
    return b->after ? order <= 0 : order < 0;
}

size_t zset_rank_lex(const struct cell *key, struct bytes member, bool after)
{
    return coll_partition(key_coll(key, TYPE_ZSET), below_lex,
                          &(struct lex_bound){.member = member, .after = after});
}

/* ------------------------------------------------------------ HyperLogLog */

bool hll_show(const struct cell *key, uint8_t ranks[HLL_REGISTERS])
{
    if (value_type(key) != TYPE_HLL)
        return false;
    struct reg r;
    memset(ranks, 0, HLL_REGISTERS);
    reg_open(&r, TYPE_HLL, key_register(key, TYPE_HLL), 0);
    for (uint32_t i = 0; i < r.nseg; i++)
        ranks_raise(ranks, r.seg[i].ranks);
    reg_close(&r);
    return true;
}

bool hll_is_dense(const struct cell *key)
{
    struct reg r;
    bool dense = false;
    reg_open(&r, TYPE_HLL, key_register(key, TYPE_HLL), 0);
    for (uint32_t i = 0; i < r.nseg; i++)
        dense |= r.seg[i].ranks.n == RANKS_DENSE;
    reg_close(&r);
    return dense;
}

bool hll_is_counted(const struct cell *key)
{
    struct view v = cell_view(key_register(key, TYPE_HLL));
    return v.form == CELL_WIDE && (*v.payload.p & WIDE_COUNTED) != 0;
}

void hll_set_counted(struct cell *key)
{
    struct view k = cell_view(key);
    if (k.form == CELL_MULTI) {
        const struct multi *m = view_pointer(&k);
        key = m->part[TYPE_HLL].reg;
        k = cell_view(key);
    }
    if (k.form == CELL_WIDE)
        (&key->b0)[k.payload.p - &key->b0] |= WIDE_COUNTED;
}
