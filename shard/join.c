/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

#include "base/hashes.h"
#include "base/mem.h"
#include "crdt/long.h"

/* State transfer in: a whole partition of another region is joined with ours. */

static void drop_cell(void *item, void *arg)
{
    (void)arg;
    value_free(item);
}

/* ------------------------------------------------------------ what comes */

#define RECORD_BYTES_MAX ((size_t)600 << 20) /* with room for the longest string there is */

/* What is known of a large key, found by its name. */
struct known {
    struct gathered of;
    size_t n;
    uint8_t name[];
};

static struct bytes known_name(const void *item)
{
    const struct known *k = item;
    return bytes_of(k->name, k->n);
}

static const struct table_type known_type = {.name_of = known_name};

static void drop_known(void *item, void *arg)
{
    struct known *k = item;
    (void)arg;
    context_deinit(&k->of.oldest);
    mem_free(k);
}

/* A state that is being received: keys are read as they come. */
struct joiner {
    struct shard *shard;
    struct part *part;
    struct table states;
    struct table known;       /* of them */
    struct rope bytes;        /* all of it, for the log */
    size_t read;              /* how much that is */
    bool unlogged;            /* the log does not want it */
    struct buf kept;          /* what is kept for patches: records */
    struct buf rest;          /* the beginning of a record */
    struct long_reader *text; /* a long string that goes on: nothing is in `rest` */
    bool bad;
};

struct joiner *joiner_new(struct shard *s, uint32_t partition)
{
    if (partition < s->first || partition - s->first >= s->count)
        return NULL;
    struct mem_account *outer = shard_enter(s);
    struct joiner *j = mem_zalloc(sizeof *j);
    j->shard = s;
    j->part = shard_part(s, partition);
    j->kept.charged = j->rest.charged = true;
    table_init(&j->states, &keyspace_type, s->hash_key);
    table_init(&j->known, &known_type, s->hash_key);
    mem_account_leave(outer);
    return j;
}

void joiner_free(struct joiner *j)
{
    if (j == NULL)
        return;
    struct mem_account *outer = shard_enter(j->shard);
    table_deinit(&j->states, drop_cell, NULL);
    table_deinit(&j->known, drop_known, NULL);
    rope_deinit(&j->bytes);
    buf_deinit(&j->kept);
    buf_deinit(&j->rest);
    long_reader_free(j->text);
    mem_free(j);
    mem_account_leave(outer);
}

size_t joiner_bytes(const struct joiner *j) { return j->read; }

/* May a key of this name come? */
static bool belongs(const struct joiner *j, struct bytes name)
{
    const struct shard *s = j->shard;
    return part_is_hidden(s, j->part) ||
           slot_partition(hash_slot(name), s->partitions) == j->part->number;
}

static void note_known(struct joiner *j, uint64_t hash, struct bytes name,
                       const struct gathered *of)
{
    struct known *k = mem_alloc(sizeof *k + name.n);
    *k = (struct known){.of = *of, .n = name.n};
    if (name.n > 0)
        memcpy(k->name, name.p, name.n);
    table_put(&j->known, hash, k);
}

/* A key, or a part of one of which there are parts already. */
static bool read_key(struct joiner *j, struct bytes record)
{
    struct bytes name;
    if (!value_record_name(record, &name) || !belongs(j, name))
        return false;
    uint64_t hash = table_hash(&j->states, name);
    struct cell *held = table_get(&j->states, hash, name), *key = held;
    struct known *known = held != NULL ? table_get(&j->known, hash, name) : NULL;
    struct gathered first = {.any = false}, *of = held == NULL ? &first : NULL;
    bool good = value_gather(&key, record, j->shard->hash_key, known != NULL ? &known->of : of);
    if (first.any)
        note_known(j, hash, name, &first);
    if (held == NULL && key != NULL)
        table_put(&j->states, hash, key);
    else if (key != held)
        table_replace(&j->states, hash, held, key);
    return good && (!part_is_hidden(j->shard, j->part) || catalog_key_ok(key));
}

/* What is kept for patches is only looked at. */
static bool read_record(struct joiner *j, struct bytes record)
{
    if (!shelf_is_record(record))
        return read_key(j, record);
    size_t at = value_record_begin(&j->kept);
    buf_put_bytes(&j->kept, record);
    value_record_end(&j->kept, at);
    return shelf_record_valid(record);
}

/* A long string that has come as a whole. */
static bool end_text(struct joiner *j)
{
    struct gathered of = {.any = false};
    struct cell *key = long_reader_end(j->text, &of);
    j->text = NULL;
    if (key == NULL)
        return false;
    struct bytes name = cell_name(key);
    uint64_t hash = table_hash(&j->states, name);
    bool good = belongs(j, name) && table_get(&j->states, hash, name) == NULL &&
                (!part_is_hidden(j->shard, j->part) || catalog_key_ok(key));
    if (good) {
        note_known(j, hash, name, &of);
        table_put(&j->states, hash, key);
    } else {
        context_deinit(&of.oldest);
        value_free(key);
    }
    return good;
}

/* `rest` becomes a long string, if it is the beginning of one; else there will be room for all of
 * the record: to grow with each piece would copy what is here again and again. */
static void look_at_rest(struct joiner *j)
{
    struct bytes rest = buf_bytes(&j->rest);
    size_t used;
    j->text = long_reader_new(rest, RECORD_BYTES_MAX, &used);
    if (j->text != NULL) {
        (void)long_reader_add(j->text, bytes_of(rest.p + used, rest.n - used));
        buf_deinit(&j->rest);
    } else if (rest.n >= 4) {
        size_t whole = value_record_size(rest.p);
        if (whole > rest.n && whole <= RECORD_BYTES_MAX)
            buf_reserve(&j->rest, whole - rest.n);
    }
}

/* Whole records off *bytes. False: one is malformed. */
static bool read_records(struct joiner *j, struct bytes *bytes)
{
    struct bytes record;
    bool good = true;
    while (good && value_record_next(bytes, &record))
        good = read_record(j, record);
    return good;
}

static bool take_slice(struct joiner *j, struct bytes slice)
{
    if (j->text != NULL) {
        size_t n = long_reader_add(j->text, slice);
        slice = bytes_of(slice.p + n, slice.n - n);
        if (long_reader_is_whole(j->text) && !end_text(j))
            return false;
    }
    if (slice.n == 0)
        return true;
    if (buf_len(&j->rest) == 0) {
        if (!read_records(j, &slice))
            return false;
        buf_put_bytes(&j->rest, slice);
    } else {
        buf_put_bytes(&j->rest, slice);
        struct bytes left = buf_bytes(&j->rest);
        if (!read_records(j, &left))
            return false;
        buf_consume(&j->rest, buf_len(&j->rest) - left.n);
    }
    if (buf_len(&j->rest) > 0)
        look_at_rest(j);
    else
        buf_reuse(&j->rest, 0);
    return true;
}

bool joiner_add(struct joiner *j, struct bytes slice)
{
    if (slice.n == 0)
        return !j->bad; /* an empty partition's state */
    struct mem_account *outer = shard_enter(j->shard);
    j->read += slice.n;
    if (!j->unlogged)
        rope_put(&j->bytes, slice);
    j->bad = j->bad || !take_slice(j, slice);
    mem_account_leave(outer);
    return !j->bad;
}

/* ------------------------------------------------------------ joining */

/*
 * A partition that has joined another state, whose keys follow one by one: those that are held in
 * the order of their hashes, then those that are new. The partition's context says from the
 * beginning that all has been seen, so nobody may find a key before its turn (deferred.h).
 */
#define KEYS_A_SLICE 256u

struct joining {
    struct shard *shard;
    struct part *part;
    struct context mine, theirs; /* mine: before */
    struct context vv;           /* ... and after: what is written meanwhile comes later */
    struct table states;         /* what is still to be joined */
    struct table known;
    uint64_t cursor; /* of the held keys: those below it are joined */
    bool scanned;
    struct hashes done; /* of those that were joined before their turn, or came later */
    struct buf name;    /* of the key at hand: it outlives its cell */
};

/* A large key that is not here stays as it came. */
static bool take_known(struct joining *j, uint64_t hash, struct cell *theirs, struct applied *out)
{
    struct known *k = j->known.count > 0 ? table_get(&j->known, hash, cell_name(theirs)) : NULL;
    return k != NULL && value_take_gathered(theirs, &k->of, &j->mine, &j->shard->around, out);
}

static void join_one(struct joining *j, struct cell *held, struct cell *theirs)
{
    struct shard *s = j->shard;
    struct change change;
    struct applied applied;
    struct event_before before = event_before(held);
    if (held == NULL && theirs == NULL)
        return;
    buf_clear(&j->name);
    buf_put_bytes(&j->name, cell_name(held != NULL ? held : theirs));
    struct bytes name = buf_bytes(&j->name);
    uint64_t hash = table_hash(&j->part->keys, name);
    change_begin(s, &change, j->part, hash, held);
    struct cell *now =
        held == NULL && take_known(j, hash, theirs, &applied)
            ? theirs
            : value_join(held, &j->mine, theirs, &j->theirs, &j->vv, &s->around, &applied);
    change_end(s, &change, now);
    if (s->watches != NULL && applied.changed && !part_is_hidden(s, j->part))
        watches_changed(s, hash, name);
    if (s->blocked != NULL)
        blocked_changed(s, hash, name, now);
    if (s->tracked && applied.changed && !part_is_hidden(s, j->part))
        shard_tell_changed(s, name, 0);
    if (s->wants.events != 0 && applied.changed && !part_is_hidden(s, j->part))
        events_of_join(s, name, &before, now);
}

void join_key(struct part *p, uint64_t hash)
{
    struct joining *j = p->joining;
#ifdef MUTANT_key_not_joined_first
    return; /* the planted bug */
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
        if (hash >> 16 >= j->cursor && !hashes_has(&j->done, hash))
            join_one(j, held, table_take(&j->states, hash, name));
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

/* About so many keys; false when all are joined, and the joining has ended. */
static bool join_step(struct joining *j, size_t keys)
{
    struct buf items = {0};
    size_t n = 0;
    while (n < keys && (!j->scanned || j->states.count > 0)) {
        buf_clear(&items);
        if (!j->scanned)
            join_held(j, &items);
        else
            join_new(j, &items);
        n += buf_len(&items) / sizeof(void *);
    }
    buf_deinit(&items);
    return !j->scanned || j->states.count > 0;
}

void join_drop(struct part *p)
{
    struct joining *j = p->joining;
    if (j == NULL)
        return;
    p->joining = NULL;
    j->shard->deferred--;
    table_deinit(&j->states, drop_cell, NULL);
    table_deinit(&j->known, drop_known, NULL);
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
    (void)join_step(p->joining, SIZE_MAX);
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

/* ------------------------------------------------------------ beginning */

static void merge_kept(struct shard *s, struct part *p, struct bytes state)
{
    struct bytes record;
    while (s->geo && state.n > 0 && value_record_next(&state, &record))
        shelf_merge(&p->shelf, record, &p->stable);
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

static void begin(struct joiner *from, const struct context *theirs, struct moment now)
{
    struct shard *s = from->shard;
    struct part *p = from->part;
    deferred_end_part(s, p);
    frame_close(s, p, now.wall_ms);
    struct joining *j = p->joining = mem_zalloc(sizeof *j);
    s->deferred++;
    j->shard = s;
    j->part = p;
    j->name.charged = true;
    j->states = from->states;
    table_init(&from->states, &keyspace_type, s->hash_key);
    j->known = from->known;
    table_init(&from->known, &known_type, s->hash_key);
    context_copy(&j->mine, &p->vv);
    context_copy(&j->theirs, theirs);
    raise_context(s, p, theirs);
    context_copy(&j->vv, &p->vv);
    merge_kept(s, p, buf_bytes(&from->kept));
    if (s->durable)
        log_append_state(s->log, p->number, theirs, &from->bytes);
    if (s->watches != NULL)
        watches_touch(s, p);
    s->stats.joins++;
}

bool joiner_join(struct joiner *j, const struct context *theirs, struct moment now)
{
    struct names entries[CATALOG_KINDS] = {{{0}, 0}};
    struct shard *s = j->shard;
    struct part *p = j->part;
    struct mem_account *outer = shard_enter(s);
    bool good = !j->bad && j->text == NULL && buf_len(&j->rest) == 0, hidden = part_is_hidden(s, p);
    shard_note_time(s, now);
    if (good && hidden)
        catalog_names(s, entries);
    if (good)
        begin(j, theirs, now);
    if (good && hidden) {
        join_end_part(p);
        catalog_joined(s, entries);
    }
    joiner_free(j);
    if (s->woken)
        blocked_serve(s, now);
    mem_account_leave(outer);
    return good;
}

bool shard_join(struct shard *s, uint32_t partition, struct bytes state,
                const struct context *theirs, struct moment now)
{
    struct joiner *j = joiner_new(s, partition);
    if (j == NULL)
        return false;
    j->unlogged = !s->durable;
    joiner_add(j, state);
    if (!joiner_join(j, theirs, now))
        return false;
    struct mem_account *outer = shard_enter(s);
    join_end_part(shard_part(s, partition));
    if (s->woken)
        blocked_serve(s, now);
    mem_account_leave(outer);
    return true;
}
