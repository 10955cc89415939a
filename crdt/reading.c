/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/reading.h"

#include "base/mem.h"

void reading_open(struct reading *r, struct coll *c, struct hash_key key,
                  void (*early)(void *arg, enum type type, const struct cell *elem), void *arg)
{
    *r = (struct reading){.coll = coll_large(c), .key = key, .early = early, .arg = arg};
    r->name.charged = true;
    r->next = r->coll->readings;
    r->coll->readings = r;
}

static void let_go(struct reading *r)
{
    if (r->coll == NULL)
        return;
    struct reading **at = &r->coll->readings;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->coll = NULL;
}

void reading_close(struct reading *r)
{
    let_go(r);
    buf_deinit(&r->name);
    hashes_deinit(&r->changed);
}

void readings_end(struct large *l)
{
    while (l->readings != NULL)
        let_go(l->readings);
}

void readings_moved(struct large *l)
{
    for (struct reading *r = l->readings; r != NULL; r = r->next)
        r->coll = l;
}

static enum type type_of(const struct reading *r) { return (enum type)r->coll->head.type; }

/* Hash and set. */
static bool by_hash(const struct reading *r)
{
    return coll_has_table(type_of(r)) && !coll_has_tree(type_of(r));
}

static uint64_t hash_of(const struct reading *r, struct bytes name)
{
    return hash_sip(name, coll_has_table(type_of(r)) ? r->coll->table.key : r->key);
}

/* ------------------------------------------------------------ the cursor in an order */

static void stand_at(struct reading *r, const struct cell *e)
{
    r->score = type_of(r) == TYPE_ZSET ? cell_score(e) : 0;
    buf_clear(&r->name);
    buf_put_bytes(&r->name, cell_name(e));
}

static bool is_before(const void *item, const void *arg)
{
    const struct reading *r = arg;
    const struct cell *e = item;
    if (r->coll->head.type == TYPE_ZSET) {
        double score = cell_score(e);
        if (score != r->score)
            return score < r->score;
    }
    return bytes_cmp(cell_name(e), buf_bytes(&r->name)) < 0;
}

static bool was_read(const struct reading *r, uint64_t hash, const struct cell *e)
{
    return by_hash(r) ? hash >> 16 < r->cursor : r->begun && is_before(e, r);
}

/* ------------------------------------------------------------ changes */

void readings_before(struct large *l, struct bytes name, const struct cell *e)
{
    for (struct reading *r = l->readings; r != NULL; r = r->next) {
        uint64_t hash = hash_of(r, name);
        bool has_place = e != NULL || by_hash(r);
        bool past = has_place && was_read(r, hash, e);
        if (past && l->head.type != TYPE_ZSET)
            continue; /* its place does not change */
        if (!past && e != NULL && !hashes_has(&r->changed, hash))
            r->early(r->arg, type_of(r), e);
        hashes_add(&r->changed, hash);
    }
}

/* ------------------------------------------------------------ reading */

struct slice {
    const struct reading *r;
    bool (*visit)(void *arg, const struct cell *elem);
    void *arg;
    bool enough;
};

static void visit_item(void *item, void *arg)
{
    struct slice *s = arg;
    uint64_t hash = hash_of(s->r, cell_name(item));
    /* buckets merge: one may hold elements again that lie before the cursor */
    if (hash >> 16 >= s->r->cursor && !hashes_has(&s->r->changed, hash))
        s->enough |= !s->visit(s->arg, item);
}

static bool next_of_table(struct reading *r, struct slice *s)
{
    do
        r->cursor = table_scan(&r->coll->table, r->cursor, 1, visit_item, s);
    while (r->cursor != 0 && !s->enough);
    return r->cursor != 0;
}

static bool next_in_order(struct reading *r, struct slice *s)
{
    struct coll *c = &r->coll->head;
    struct coll_iter it;
    const struct cell *e;
    size_t rank = r->begun ? coll_partition(c, is_before, r) : 0;
    r->begun = true;
    coll_walk_from(&it, c, rank);
    while ((e = coll_next(&it)) != NULL) {
        if (s->enough) {
            stand_at(r, e);
            return true;
        }
        if (r->changed.n == 0 || !hashes_has(&r->changed, hash_of(r, cell_name(e))))
            s->enough = !s->visit(s->arg, e);
    }
    return false;
}

bool reading_next(struct reading *r, bool (*visit)(void *arg, const struct cell *elem), void *arg)
{
    struct slice s = {.r = r, .visit = visit, .arg = arg};
    if (r->coll == NULL)
        return false;
    bool more = by_hash(r) ? next_of_table(r, &s) : next_in_order(r, &s);
    if (!more)
        let_go(r);
    return more;
}
