/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/joining.h"

#include "base/mem.h"
#include "crdt/long.h"

/* State transfer in: what comes of a whole partition of another region, to be joined with ours
 * (joining.c). */

/* ------------------------------------------------------------ what comes */

#define RECORD_BYTES_MAX ((size_t)600 << 20) /* with room for the longest string there is */

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
    joining_drop_tables(&j->states, &j->known);
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

/* ------------------------------------------------------------ beginning */

static void merge_kept(struct shard *s, struct part *p, struct bytes state)
{
    struct bytes record;
    while (s->geo && state.n > 0 && value_record_next(&state, &record))
        shelf_merge(&p->shelf, record, &p->stable);
}

static void begin(struct joiner *from, const struct context *theirs, struct moment now)
{
    struct shard *s = from->shard;
    struct part *p = from->part;
    deferred_end_part(s, p);
    frame_close(s, p, now.wall_ms);
    joining_begin(s, p, &from->states, &from->known, theirs);
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
