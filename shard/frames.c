/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

#include "base/mem.h"
#include "crdt/patch.h"

#define OPEN_KEPT_MAX 4096u /* larger buffers of closed frames are given back */
#define OPS_KEPT_MAX 4096u

/* ------------------------------------------------------------ own frames */

static void frame_open(struct shard *s, struct part *p, stamp_t first, stamp_t prev)
{
    struct open_frame *f = &p->open;
    if (f->deps_cap < p->vv.n) {
        f->deps_cap = p->vv.n;
        f->deps = mem_realloc(f->deps, f->deps_cap * sizeof *f->deps);
    }
    f->deps_count = 0;
    for (unsigned i = 0; i < p->vv.n; i++)
        if (stamp_actor(p->vv.at[i]) != s->clock.actor)
            f->deps[f->deps_count++] = p->vv.at[i];
    f->prev = prev;
    f->first = first;
    f->last = first - 1;
    if (p->began == 0) {
        p->began = first;
        p->began_prev = prev;
    }
    p->open_at = s->open_count;
    s->open[s->open_count++] = p->number - s->first;
}

void frame_write(struct shard *s, struct part *p, const struct op *op, stamp_t prev)
{
    struct open_frame *f = &p->open;
    if (f->count == 0)
        frame_open(s, p, op->stamp, prev);
    op_encode(&f->ops, op, f->last);
    f->last = op->stamp;
    f->count++;
    if (buf_len(&f->ops) > FRAME_OPS_MAX)
        s->open_big = true;
}

void frame_close(struct shard *s, struct part *p, int64_t wall_ms)
{
    struct open_frame *f = &p->open;
    if (f->count == 0)
        return;
    assert(!s->atomic);
    struct frame frame = {.partition = p->number,
                          .ops_count = f->count,
                          .flags = s->closing_atomic ? FRAME_ATOMIC : 0,
                          .prev = f->prev,
                          .first = f->first,
                          .last = f->last,
                          .wall_ms = wall_ms,
                          .deps = f->deps,
                          .deps_count = f->deps_count,
                          .ops = buf_bytes(&f->ops)};
    log_append(s->log, &frame);
    if (s->geo) /* else nobody but the disk reads it, in this order: segments may go on growing */
        p->closed = f->last;
    f->count = 0;
    buf_reuse(&f->ops, OPEN_KEPT_MAX);
    uint32_t moved = s->open[--s->open_count];
    s->open[p->open_at] = moved;
    s->parts[moved].open_at = p->open_at;
    s->stats.frames_own++;
}

void frame_close_big(struct shard *s, int64_t wall_ms)
{
    for (uint32_t i = s->open_count; i-- > 0;)
        if (buf_len(&s->parts[s->open[i]].open.ops) > FRAME_OPS_MAX)
            frame_close(s, &s->parts[s->open[i]], wall_ms);
    s->open_big = false;
}

void shard_close_frames(struct shard *s, struct moment now)
{
    if (s->busy != NULL && s->atomic)
        return; /* the script's frames: it has stopped in the middle */
    struct mem_account *outer = shard_enter(s);
    while (s->open_count > 0)
        frame_close(s, &s->parts[s->open[s->open_count - 1]], now.wall_ms);
    s->open_big = false;
    mem_account_leave(outer);
}

void shard_atomic_begin(struct shard *s, struct moment now)
{
    shard_close_frames(s, now);
    s->atomic = true;
}

void shard_atomic_end(struct shard *s)
{
    s->atomic = false;
    s->closing_atomic = true;
    struct moment now = {.wall_ms = s->wall_ms, .mono_us = s->mono_us};
    shard_close_frames(s, now);
    s->closing_atomic = false;
    struct mem_account *outer = shard_enter(s);
    if (s->woken)
        blocked_serve(s, now);
    mem_account_leave(outer);
}

/* ------------------------------------------------------------ foreign frames */

bool frame_sound(const struct shard *s, const struct frame *f)
{
    uint32_t actor = stamp_actor(f->last);
    if (f->partition < s->first || f->partition - s->first >= s->count || f->ops_count == 0 ||
        stamp_actor(f->first) != actor || stamp_actor(f->prev) != actor || f->prev >= f->first ||
        f->first > f->last || f->deps_count > STAMP_ACTOR_MAX + 1)
        return false;
    for (uint32_t i = 0; i < f->deps_count; i++)
        if (stamp_actor(f->deps[i]) == actor ||
            (i > 0 && stamp_actor(f->deps[i - 1]) >= stamp_actor(f->deps[i])))
            return false;
    return true;
}

/* Reads all operations into s->ops, so that nothing is changed when one of them is malformed. */
static bool read_ops(struct shard *s, const struct frame *f, size_t *count)
{
    struct mp m = mp_read(f->ops);
    stamp_t base = f->first - 1;
    size_t n = 0;
    for (; m.p < m.end; n++) {
        if (n == s->ops_cap) {
            s->ops_cap = s->ops_cap ? s->ops_cap * 2 : 64;
            s->ops = mem_realloc(s->ops, s->ops_cap * sizeof *s->ops);
            s->hashes = mem_realloc(s->hashes, s->ops_cap * sizeof *s->hashes);
        }
        struct op *op = &s->ops[n];
        if (!op_decode(&m, op, base) || stamp_actor(op->stamp) != stamp_actor(f->first))
            return false;
        if (f->partition == s->partitions
                ? !catalog_op_ok(op)
                : op->kind != OP_FLUSH &&
                      slot_partition(hash_slot(op->key), s->partitions) != f->partition)
            return false;
        s->hashes[n] = shard_hash(s, op->key);
        base = op->stamp;
    }
    *count = n;
    return mp_done(&m) && n == f->ops_count && s->ops[0].stamp == f->first && base == f->last;
}

static void collect(void *item, void *arg)
{
    struct buf *items = arg;
    buf_put(items, &item, sizeof item);
}

/* OP_FLUSH from elsewhere: what it had not seen stays. */
static void take_flush(struct shard *s, struct part *p, const struct seen *seen)
{
    if (s->tracked && !part_is_hidden(s, p))
        shard_tell_changed(s, bytes_of(NULL, 0), 0);
    bool all = true;
    for (unsigned i = 0; i < p->vv.n && all; i++)
        all = stamp_actor(p->vv.at[i]) == stamp_actor(seen->prev) || seen_covers(seen, p->vv.at[i]);
    if (all) {
        change_clear(s, p);
        return;
    }
    struct buf items = {0};
    for (uint64_t cursor = 0; (cursor = table_scan(&p->keys, cursor, SIZE_MAX, collect, &items));)
        continue;
    for (size_t at = 0; at < buf_len(&items); at += sizeof(void *)) {
        struct cell *held;
        memcpy(&held, items.p + at, sizeof held);
        uint64_t hash = table_hash(&p->keys, cell_name(held));
        struct change change;
        struct applied applied;
        if (s->watches != NULL)
            watches_changed(s, hash, cell_name(held));
        if (s->blocked != NULL)
            blocked_changed(s, hash, cell_name(held), NULL);
        change_begin(s, &change, p, hash, held);
        struct cell *now = value_remove(held, seen, &p->vv, &s->around, &applied);
        change_end(s, &change, now);
        if (s->blocked != NULL && now != NULL)
            blocked_changed(s, hash, cell_name(now), now);
    }
    buf_deinit(&items);
}

void frame_apply(struct shard *s, struct part *p, const struct op *op, uint64_t hash,
                 const struct seen *seen, const struct context *vv_after)
{
    if (op->kind == OP_FLUSH) {
        take_flush(s, p, seen);
        return;
    }
    struct change change;
    struct applied applied;
    struct event_before before = {0};
    change_begin(s, &change, p, hash, table_get(&p->keys, hash, op->key));
    if (s->wants.events != 0)
        before = event_before(change.held);
    struct cell *now = value_apply(change.held, op, seen, vv_after, &s->around, &applied);
    change_end(s, &change, now);
    if (s->watches != NULL && applied.changed && !part_is_hidden(s, p))
        watches_changed(s, hash, op->key);
    if (s->blocked != NULL)
        blocked_changed(s, hash, op->key, now);
    if (s->tracked && applied.changed && !part_is_hidden(s, p))
        shard_tell_changed(s, op->key, 0);
    if (s->wants.events != 0 && applied.changed && !part_is_hidden(s, p))
        events_of_op(s, op, &before, now, &applied);
}

/* An operation of the frame that is still to be applied assigns the base of s->ops[at]. */
static bool base_comes_with_it(const struct shard *s, const struct part *p, size_t at)
{
    stamp_t base = patch_get(s->ops[at].elem).base;
    for (size_t i = at; i-- > 0 && s->ops[i].stamp >= base;)
        if (s->ops[i].stamp == base)
            return (s->ops[i].kind == OP_SET || s->ops[i].kind == OP_PATCH) &&
                   bytes_eq(s->ops[i].key, s->ops[at].key) && !context_covers(&p->vv, base);
    return false;
}

/* Every patch has its base here. */
static bool has_bases(const struct shard *s, const struct part *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct op *op = &s->ops[i];
        if (op->kind == OP_PATCH && !context_covers(&p->vv, op->stamp) &&
            !base_comes_with_it(s, p, i) &&
            !patch_possible(table_get(&p->keys, s->hashes[i], op->key), &p->shelf, op))
            return false;
    }
    return true;
}

/* What is deferred of the keys at hand comes before the frame. */
static void touch_keys(struct shard *s, struct part *p, size_t n)
{
    for (size_t i = 0; i < n && s->deferred != 0; i++)
        if (s->ops[i].kind == OP_FLUSH)
            deferred_end_part(s, p);
        else
            deferred_touch(s, p, s->hashes[i]);
}

static void fetch_keys(const struct part *p, const uint64_t *hashes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        table_prefetch(&p->keys, hashes[i]);
    for (size_t i = 0; i < n; i++)
        table_prefetch_item(&p->keys, hashes[i]);
}

/* As the proxy does for a pipeline; a frame often stays at one key. */
static void fetch_elements(const struct part *p, const struct op *ops, const uint64_t *hashes,
                           size_t n)
{
    const struct coll *coll[FETCH_KEYS];
    uint64_t at[FETCH_KEYS];
    for (size_t i = 0; i < n; i++) {
        bool same = i > 0 && coll[i - 1] != NULL && hashes[i] == hashes[i - 1];
        coll[i] = ops[i].elem.n == 0 ? NULL
                  : same             ? coll[i - 1]
                                     : coll_ahead(table_get(&p->keys, hashes[i], ops[i].key));
    }
    for (size_t i = 0; i < n; i++)
        if (coll[i] != NULL)
            at[i] = coll_ahead_bucket(coll[i], ops[i].elem);
    for (size_t i = 0; i < n; i++)
        if (coll[i] != NULL)
            coll_ahead_item(coll[i], at[i]);
}

static void fetch_next(const struct shard *s, const struct part *p, size_t at, size_t n)
{
    size_t some = n - at < FETCH_KEYS ? n - at : FETCH_KEYS;
    fetch_keys(p, s->hashes + at, some);
    fetch_elements(p, s->ops + at, s->hashes + at, some);
}

struct context frame_deps(const struct frame *f)
{
    union {
        const stamp_t *in;
        stamp_t *out;
    } borrowed = {.in = f->deps};
    return (struct context){.n = (uint16_t)f->deps_count, .at = borrowed.out};
}

enum take frame_may(const struct part *p, const struct frame *f)
{
    if (context_covers(&p->vv, f->last))
        return TAKE_COVERED;
#ifndef MUTANT_apply_before_causes
    struct context deps = frame_deps(f);
    if (!context_covers(&p->vv, f->prev) || !context_le(&deps, &p->vv))
        return TAKE_WAITS;
#endif
    return TAKE_DONE;
}

void frame_taken(struct shard *s, struct part *p, const struct frame *f)
{
    if (stamp_actor(f->last) == s->clock.actor)
        p->own = p->closed = f->last; /* our own from before a restart */
    clock_seen(&s->clock, f->last);
    log_append(s->log, f);
    s->stats.frames_foreign++;
    s->stats.ops_foreign += f->ops_count;
}

enum take frame_take(struct shard *s, const struct frame *f, struct moment now)
{
    size_t n;
    shard_note_time(s, now);
    if (!frame_sound(s, f))
        return TAKE_BAD;
    struct part *p = shard_part(s, f->partition);
    struct context deps = frame_deps(f);
    enum take may = frame_may(p, f);
    if (may != TAKE_DONE)
        return may;
    pour_end_part(s, p);
    if (!read_ops(s, f, &n))
        return TAKE_BAD;
    touch_keys(s, p, n);
    if (!has_bases(s, p, n)) {
        s->stats.baseless++;
        return TAKE_BASELESS;
    }
    frame_close(s, p, now.wall_ms);
    shelf_hold(&s->kept);
    s->around.frame_actor = stamp_actor(f->last);
    s->around.frame_prev = f->prev;
    struct seen seen = {.deps = &deps, .prev = f->prev};
    for (size_t i = 0; i < n; i++) {
        if (i % FETCH_KEYS == 0 && n > 1)
            fetch_next(s, p, i, n);
        /* All that its writer had written before, also what was left out of the frame: it may be
         * here, by a state. */
        seen.prev = stamp_before(s->ops[i].stamp);
        if (context_covers(&p->vv, s->ops[i].stamp))
            continue; /* a frame cut differently by another log */
        context_raise(&p->vv, s->ops[i].stamp);
        frame_apply(s, p, &s->ops[i], s->hashes[i], &seen, &p->vv);
    }
    shelf_unhold(&s->kept);
    frame_taken(s, p, f);
    for (size_t i = 0; i < n && part_is_hidden(s, p); i++)
        catalog_tell(s, s->ops[i].key, s->ops[i].elem);
    if (s->ops_cap > OPS_KEPT_MAX) {
        mem_free(s->ops);
        mem_free(s->hashes);
        s->ops = NULL;
        s->hashes = NULL;
        s->ops_cap = 0;
    }
    if (s->woken)
        blocked_serve(s, now);
    evict_taken(s, n, now.wall_ms);
    return TAKE_DONE;
}

enum take shard_take(struct shard *s, const struct frame *f, struct moment now)
{
    assert(s->busy == NULL);
    struct mem_account *outer = shard_enter(s);
    enum take took = frame_take(s, f, now);
    mem_account_leave(outer);
    return took;
}
