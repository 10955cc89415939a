/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/joining.h"

#include "base/hashes.h"
#include "base/mem.h"

static struct bytes known_name(const void *item)
{
    const struct known *k = item;
    return bytes_of(k->name, k->n);
}

const struct table_type known_type = {.name_of = known_name};

static void drop_known(void *item, void *arg)
{
    struct known *k = item;
    (void)arg;
    context_deinit(&k->of.oldest);
    mem_free(k);
}

static void drop_cell(void *item, void *arg)
{
    (void)arg;
    value_free(item);
}

void joining_drop_tables(struct table *states, struct table *known)
{
    table_deinit(states, drop_cell, NULL);
    table_deinit(known, drop_known, NULL);
}

/*
 * A partition that has joined another state, whose keys follow one by one: those that are held in
 * the order of their hashes, then those that are new. The partition's context says from the
 * beginning that all has been seen, so nobody may find a key before its turn (deferred.h).
 */
#define KEYS_A_SLICE 256u
#define ELEMENTS_A_SLICE 1024u

struct joining {
    struct shard *shard;
    struct part *part;
    struct context mine, theirs; /* mine: before */
    struct context vv;           /* ... and after: what is written meanwhile comes later */
    struct table states;         /* what is still to be joined */
    struct table known;
    uint64_t cursor; /* of the held keys: those below it are joined */
    bool scanned;
    struct hashes done;       /* of those that were joined before their turn, or came later */
    struct buf name;          /* of the key at hand: it outlives its cell */
    struct cell *theirs_long; /* joined in steps with the held key of that hash; mostly NULL */
    uint64_t hash;
    struct join_steps steps;
    struct event_before before; /* what that key was */
    bool changed;
};

/* A large key that is not here stays as it came. */
static bool take_known(struct joining *j, uint64_t hash, struct cell *theirs, struct applied *out)
{
    struct known *k = j->known.count > 0 ? table_get(&j->known, hash, cell_name(theirs)) : NULL;
    return k != NULL && value_take_gathered(theirs, &k->of, &j->mine, &j->shard->around, out);
}

/* A key has been joined: it is `now`. */
static void tell(struct joining *j, uint64_t hash, const struct event_before *before,
                 struct cell *now, bool changed)
{
    struct shard *s = j->shard;
    struct bytes name = buf_bytes(&j->name);
    bool shown = changed && !part_is_hidden(s, j->part);
    if (s->watches != NULL && shown)
        watches_changed(s, hash, name);
    if (s->blocked != NULL)
        blocked_changed(s, hash, name, now);
    if (s->tracked && shown)
        shard_tell_changed(s, name, 0);
    if (s->wants.events != 0 && shown)
        events_of_join(s, name, before, now);
}

static void set_name(struct joining *j, const struct cell *key)
{
    buf_clear(&j->name);
    buf_put_bytes(&j->name, cell_name(key));
}

static void join_one(struct joining *j, struct cell *held, struct cell *theirs)
{
    struct shard *s = j->shard;
    struct change change;
    struct applied applied;
    struct event_before before = event_before(held);
    if (held == NULL && theirs == NULL)
        return;
    set_name(j, held != NULL ? held : theirs);
    uint64_t hash = table_hash(&j->part->keys, buf_bytes(&j->name));
    change_begin(s, &change, j->part, hash, held);
    struct cell *now =
        held == NULL && take_known(j, hash, theirs, &applied)
            ? theirs
            : value_join(held, &j->mine, theirs, &j->theirs, &j->vv, &s->around, &applied);
    change_end(s, &change, now);
    tell(j, hash, &before, now, applied.changed);
}

/* ------------------------------------------------------------ a large collection */

static size_t elements_a_slice(const struct joining *j)
{
    return j->shard->slice_bytes < SLICE_BYTES_DEFAULT ? 16 : ELEMENTS_A_SLICE;
}

/* The key's turn has come, and it takes many: others' go on meanwhile. False: it takes one. */
static bool begin_long(struct joining *j, struct cell *held, struct cell *theirs, uint64_t hash)
{
    if (j->theirs_long != NULL || !value_joins_in_steps(held, theirs, 2 * elements_a_slice(j)))
        return false;
    j->theirs_long = theirs;
    j->hash = hash;
    j->steps = (struct join_steps){.cursor = 0};
    j->before = event_before(held);
    j->changed = false;
    return true;
}

/* Nobody has changed the key since the step before: whoever looks it up ends this first. */
static void step_long(struct joining *j, size_t elements)
{
    struct shard *s = j->shard;
    struct change change;
    struct applied applied;
    struct cell *held = table_get(&j->part->keys, j->hash, cell_name(j->theirs_long));
    set_name(j, held);
    change_begin(s, &change, j->part, j->hash, held);
    struct cell *now = value_join_step(held, &j->mine, j->theirs_long, &j->theirs, &j->vv,
                                       &s->around, &j->steps, elements, &applied);
    change_end(s, &change, now);
    j->changed |= applied.changed;
    if (!j->steps.done)
        return;
    j->theirs_long = NULL;
    tell(j, j->hash, &j->before, now, j->changed);
}

static void end_long(struct joining *j)
{
    while (j->theirs_long != NULL)
        step_long(j, SIZE_MAX);
}

/* ------------------------------------------------------------ key by key */

void join_key(struct part *p, uint64_t hash)
{
    struct joining *j = p->joining;
#ifdef MUTANT_key_not_joined_first
    return; /* the planted bug */
#endif
#ifndef MUTANT_half_joined
    if (j != NULL && j->theirs_long != NULL && j->hash == hash)
        end_long(j);
#endif
    if (j == NULL || !hashes_add(&j->done, hash))
        return;
    struct cell *theirs = table_get_hash(&j->states, hash), *held = NULL;
    if (theirs != NULL || (!j->scanned && hash >> 16 >= j->cursor))
        held = table_get_hash(&p->keys, hash);
    if (theirs != NULL)
        table_remove(&j->states, hash, theirs);
    join_one(j, held, theirs);
}

static void collect(void *item, void *arg)
{
    struct buf *items = arg;
    buf_put(items, &item, sizeof item);
}

static struct cell *item_at(const struct buf *items, size_t at)
{
    struct cell *cell;
    memcpy(&cell, items->p + at, sizeof cell);
    return cell;
}

/* A bucket of held keys or more. */
static void join_held(struct joining *j, struct buf *items)
{
    uint64_t next = table_scan(&j->part->keys, j->cursor, 1, collect, items);
    for (size_t at = 0; at < buf_len(items); at += sizeof(void *)) {
        struct cell *held = item_at(items, at);
        struct bytes name = cell_name(held);
        uint64_t hash = table_hash(&j->states, name);
        if (hash >> 16 < j->cursor || hashes_has(&j->done, hash))
            continue;
        struct cell *theirs = table_take(&j->states, hash, name);
        if (!begin_long(j, held, theirs, hash))
            join_one(j, held, theirs);
    }
    j->cursor = next;
    j->scanned = next == 0;
}

static void join_new(struct joining *j, struct buf *items)
{
    j->cursor = table_scan(&j->states, j->cursor, 1, collect, items);
    for (size_t at = 0; at < buf_len(items); at += sizeof(void *)) {
        struct cell *theirs = item_at(items, at);
        uint64_t hash = table_hash(&j->states, cell_name(theirs));
        table_remove(&j->states, hash, theirs);
        join_one(j, NULL, theirs);
    }
}

static bool is_left(const struct joining *j)
{
    return j->theirs_long != NULL || !j->scanned || j->states.count > 0;
}

/* About so many keys, or some elements of a large one; false when all are joined, and the joining
 * has ended. */
static bool join_step(struct joining *j, size_t keys)
{
    struct buf items = {0};
    size_t n = 0;
    if (j->theirs_long != NULL) {
        step_long(j, elements_a_slice(j));
        return is_left(j);
    }
    while (n < keys && (!j->scanned || j->states.count > 0) && j->theirs_long == NULL) {
        buf_clear(&items);
        if (!j->scanned)
            join_held(j, &items);
        else
            join_new(j, &items);
        n += buf_len(&items) / sizeof(void *);
    }
    buf_deinit(&items);
    return is_left(j);
}

/* The partition has seen what they have. */
static void raise_context(struct shard *s, struct part *p, const struct context *theirs)
{
    struct context raised = {0}; /* the actors whose entry grows */
    for (unsigned i = 0; i < theirs->n; i++) {
        if (!context_covers(&p->vv, theirs->at[i]))
            context_raise(&raised, theirs->at[i]);
        clock_seen(&s->clock, theirs->at[i]);
    }
    context_join(&p->vv, theirs);
    p->own = context_get(&p->vv, s->clock.actor);
    if (p->own == 0)
        p->own = stamp_make(0, 0, s->clock.actor);
    p->closed = p->own;
    log_cut(s->log, p->number, &raised);
    context_deinit(&raised);
}

void joining_begin(struct shard *s, struct part *p, struct table *states, struct table *known,
                   const struct context *theirs)
{
    struct joining *j = p->joining = mem_zalloc(sizeof *j);
    s->deferred++;
    j->shard = s;
    j->part = p;
    j->name.charged = true;
    j->states = *states;
    table_init(states, &keyspace_type, s->hash_key);
    j->known = *known;
    table_init(known, &known_type, s->hash_key);
    context_copy(&j->mine, &p->vv);
    context_copy(&j->theirs, theirs);
    raise_context(s, p, theirs);
    context_copy(&j->vv, &p->vv);
}

void join_drop(struct part *p)
{
    struct joining *j = p->joining;
    if (j == NULL)
        return;
    p->joining = NULL;
    j->shard->deferred--;
    joining_drop_tables(&j->states, &j->known);
    if (j->theirs_long != NULL)
        value_free(j->theirs_long);
    context_deinit(&j->mine);
    context_deinit(&j->theirs);
    context_deinit(&j->vv);
    hashes_deinit(&j->done);
    buf_deinit(&j->name);
    mem_free(j);
}

void join_end_part(struct part *p)
{
    if (p->joining == NULL)
        return;
    do
        end_long(p->joining);
    while (join_step(p->joining, SIZE_MAX));
    join_drop(p);
}

bool join_some(struct shard *s)
{
    size_t keys = s->slice_bytes < SLICE_BYTES_DEFAULT ? 1 : KEYS_A_SLICE;
    bool joins = false;
    for (uint32_t i = 0; s->deferred > 0 && i < s->count && !joins; i++) {
        struct part *p = &s->parts[i];
        if (p->joining == NULL)
            continue;
        if (!join_step(p->joining, keys))
            join_drop(p);
        joins = true; /* one after the other */
    }
    return joins;
}

bool shard_is_joining(const struct shard *s, uint32_t partition)
{
    return shard_part(s, partition)->joining != NULL;
}
