/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/pour.h"

#include "base/mem.h"

/* State transfer in: a whole partition of another region is joined with ours. */

static void drop_cell(void *item, void *arg)
{
    (void)arg;
    value_free(item);
}

/* A key, or a part of one of which there are parts already. */
static bool read_key(const struct shard *s, const struct part *p, struct bytes record,
                     struct table *out)
{
    struct bytes name;
    if (!value_record_name(record, &name) ||
        (!part_is_hidden(s, p) && slot_partition(hash_slot(name), s->partitions) != p->number))
        return false;
    uint64_t hash = table_hash(out, name);
    struct cell *held = table_get(out, hash, name), *key = held;
    bool good = value_gather(&key, record, s->hash_key);
    if (held == NULL && key != NULL)
        table_put(out, hash, key);
    else if (key != held)
        table_replace(out, hash, held, key);
    return good && (!part_is_hidden(s, p) || catalog_key_ok(key));
}

/* Reads what transfer_next wrote into a table of its own; false when malformed (what was read is
 * still in it). What was kept for patches is only looked at. */
static bool read_states(const struct shard *s, const struct part *p, struct bytes state,
                        struct table *out)
{
    struct bytes record;
    while (state.n > 0) {
        if (!value_record_next(&state, &record))
            return false;
        if (shelf_is_record(record)) {
            if (!shelf_record_valid(record))
                return false;
            continue;
        }
        if (!read_key(s, p, record, out))
            return false;
    }
    return true;
}

static void merge_kept(struct shard *s, struct part *p, struct bytes state)
{
    struct bytes record;
    while (s->geo && state.n > 0 && value_record_next(&state, &record))
        if (shelf_is_record(record))
            shelf_merge(&p->shelf, record, &p->stable);
}

struct joining {
    struct shard *shard;
    struct part *part;
    struct context mine, raised; /* before; the actors whose entry grows */
    const struct context *theirs;
    struct table states;
};

static void join_key(struct joining *j, struct cell *held, struct cell *theirs)
{
    struct shard *s = j->shard;
    struct bytes name = cell_name(held != NULL ? held : theirs);
    struct change change;
    struct applied applied;
    struct event_before before = event_before(held);
    buf_clear(&s->name);
    buf_put_bytes(&s->name, name);
    name = buf_bytes(&s->name);
    uint64_t hash = table_hash(&j->part->keys, name);
    change_begin(s, &change, j->part, hash, held);
    struct cell *now =
        value_join(held, &j->mine, theirs, j->theirs, &j->part->vv, &s->around, &applied);
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

static void collect(void *item, void *arg)
{
    struct buf *items = arg;
    buf_put(items, &item, sizeof item);
}

static void collect_all(const struct table *t, struct buf *items)
{
    for (uint64_t cursor = 0; (cursor = table_scan(t, cursor, SIZE_MAX, collect, items));)
        continue;
}

static struct cell *item_at(const struct buf *items, size_t at)
{
    struct cell *cell;
    memcpy(&cell, items->p + at, sizeof cell);
    return cell;
}

static void join_all(struct joining *j)
{
    struct buf items = {0};
    collect_all(&j->part->keys, &items);
    for (size_t at = 0; at < buf_len(&items); at += sizeof(void *)) {
        struct cell *held = item_at(&items, at);
        struct bytes name = cell_name(held);
        uint64_t hash = table_hash(&j->states, name);
        join_key(j, held, table_take(&j->states, hash, name));
    }
    buf_clear(&items);
    collect_all(&j->states, &items);
    for (size_t at = 0; at < buf_len(&items); at += sizeof(void *))
        join_key(j, NULL, item_at(&items, at));
    buf_deinit(&items);
}

static bool join(struct shard *s, uint32_t partition, struct bytes state,
                 const struct context *theirs, struct moment now)
{
    struct joining j = {.shard = s, .theirs = theirs};
    struct names entries[CATALOG_KINDS] = {{{0}, 0}};
    shard_note_time(s, now);
    if (partition < s->first || partition - s->first >= s->count)
        return false;
    struct part *p = j.part = shard_part(s, partition);
    pour_end_part(s, p);
    table_init(&j.states, &keyspace_type, s->hash_key);
    if (!read_states(s, p, state, &j.states)) {
        table_deinit(&j.states, drop_cell, NULL);
        return false;
    }
    if (part_is_hidden(s, p))
        catalog_names(s, entries);
    frame_close(s, p, now.wall_ms);
    context_copy(&j.mine, &p->vv);
    for (unsigned i = 0; i < theirs->n; i++) {
        if (!context_covers(&p->vv, theirs->at[i]))
            context_raise(&j.raised, theirs->at[i]);
        clock_seen(&s->clock, theirs->at[i]);
    }
    context_join(&p->vv, theirs);
    p->own = context_get(&p->vv, s->clock.actor);
    if (p->own == 0)
        p->own = stamp_make(0, 0, s->clock.actor);
    p->closed = p->own;
    join_all(&j);
    merge_kept(s, p, state);
    log_cut(s->log, partition, &j.raised);
    if (s->durable)
        log_append_state(s->log, partition, theirs, state);
    table_deinit(&j.states, NULL, NULL); /* its cells were taken */
    context_deinit(&j.mine);
    context_deinit(&j.raised);
    if (part_is_hidden(s, p))
        catalog_joined(s, entries);
    s->stats.joins++;
    if (s->woken)
        blocked_serve(s, now);
    return true;
}

bool shard_join(struct shard *s, uint32_t partition, struct bytes state,
                const struct context *theirs, struct moment now)
{
    struct mem_account *outer = shard_enter(s);
    bool joined = join(s, partition, state, theirs, now);
    mem_account_leave(outer);
    return joined;
}
