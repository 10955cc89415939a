/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

#include "base/mem.h"

static struct bytes name_of(const void *item) { return cell_name(item); }

const struct table_type keyspace_type = {.name_of = name_of};

static inline __attribute__((always_inline)) void note_shown(const struct cell *key, bool *shown,
                                                             stamp_t *deadline)
{
    *shown = key != NULL && value_type(key) != TYPE_NONE;
    *deadline = *shown && value_deadline(key) != DEADLINE_NEVER ? value_deadline_dot(key) : 0;
}

void change_begin(struct shard *s, struct change *c, struct part *p, uint64_t hash,
                  struct cell *held)
{
    c->part = p;
    c->hash = hash;
    c->held = held;
    c->access = __builtin_expect(s->evict.lfu, 0) ? evict_used(s, held) : s->evict.seconds;
    note_shown(held, &c->was_shown, &c->deadline);
    if (p->transfers > 0)
        transfers_before(s, p, hash, held);
    s->at = p;
    s->at_hash = hash;
    s->around.digest = &p->digest;
    if (s->geo)
        s->around.shelf = &p->shelf;
}

void change_end(struct shard *s, struct change *c, struct cell *now)
{
    struct part *p = c->part;
    bool shown;
    stamp_t deadline;
    if (now != NULL)
        access_set(now, c->access);
    if (now != c->held) {
        if (c->held == NULL)
            table_put(&p->keys, c->hash, now);
        else if (now == NULL)
            table_remove(&p->keys, c->hash, c->held);
        else
            table_replace(&p->keys, c->hash, c->held, now);
    }
    note_shown(now, &shown, &deadline);
    p->bare += (size_t)(now != NULL && !shown) - (size_t)(c->held != NULL && !c->was_shown);
    if (deadline != c->deadline) {
        size_t grown = (size_t)(deadline != 0) - (size_t)(c->deadline != 0);
        p->expires += grown;
        s->expiry.live += grown;
        if (deadline != 0)
            expiry_note(s, p, c->hash, now);
    }
}

void change_clear(struct shard *s, struct part *p)
{
    if (s->watches != NULL)
        watches_cleared(s, p);
    if (s->blocked != NULL)
        blocked_cleared(s, p);
    struct garbage *g = mem_zalloc(sizeof *g);
    g->keys = p->keys;
    table_init(&p->keys, &keyspace_type, s->hash_key);
    g->holds = p->transfers > 0 ? transfers_move(s, p, g) : 0;
    g->next = s->garbage;
    s->garbage = g;
    s->garbage_keys += g->keys.count;
    p->transfers = 0;
    s->expiry.live -= p->expires;
    p->expires = 0;
    p->bare = 0;
    p->digest = (struct hash128){0};
    settle_deinit(&p->unsettled);
}

/* Whether to extend, absorb or add a segment (crdt/apply.h). Sums that would leave 64 bits are not
 * absorbed. */
static void choose_segment(struct shard *s, const struct part *p, const struct cell *key,
                           struct op *op)
{
    int64_t sum_i = 0;
    long double sum_r = 0;
    enum type type = op->kind == OP_INCR || op->kind == OP_INCRF     ? TYPE_STRING
                     : op->kind == OP_HINCR || op->kind == OP_HINCRF ? TYPE_HASH
                     : op->kind == OP_ZINCR                          ? TYPE_ZSET
                                                                     : TYPE_HLL;
    uint8_t flags =
        value_increment_flags(key, type, op->elem, s->clock.actor, p->closed, &sum_i, &sum_r);
    if ((flags & OPF_ABSORB) && type == TYPE_HLL) {
        buf_clear(&s->ranks);
        value_own_ranks(key, s->clock.actor, op->val, &s->ranks);
        op->val = buf_bytes(&s->ranks);
    } else if (flags & OPF_ABSORB) {
        bool is_int = op->kind == OP_INCR || op->kind == OP_HINCR;
        if (is_int && __builtin_add_overflow(op->num, sum_i, &op->num))
            return;
        if (!is_int)
            op->real += sum_r;
    }
    op->flags |= flags;
}

static bool is_increment(uint8_t kind)
{
    return kind == OP_INCR || kind == OP_INCRF || kind == OP_HINCR || kind == OP_HINCRF ||
           kind == OP_ZINCR || kind == OP_PFADD;
}

/* Whoever watches, waits for or tracks the key. */
static void tell_changed(struct shard *s, struct part *p, uint64_t hash, struct bytes name,
                         struct cell *now)
{
    if (s->watches != NULL && !part_is_hidden(s, p))
        watches_changed(s, hash, name);
    if (s->blocked != NULL)
        blocked_changed(s, hash, name, now);
    if (s->tracked && !part_is_hidden(s, p))
        shard_tell_changed(s, name, s->caller);
}

static __attribute__((noinline)) void tell_local(struct shard *s, const struct change *c,
                                                 struct bytes name, struct cell *now)
{
    tell_changed(s, c->part, c->hash, name, now);
    if (!c->was_shown && s->wants.events != 0 && value_type(now) != TYPE_NONE &&
        !part_is_hidden(s, c->part))
        events_created(s, name);
}

struct cell *local_op(struct shard *s, struct part *p, uint64_t hash, struct cell *held,
                      struct op *op, int64_t wall_ms, struct applied *out)
{
    struct change change;
    struct seen seen = {.prev = p->own};
    change_begin(s, &change, p, hash, held);
    if (s->geo) { /* nobody else asks */
        s->around.frame_actor = s->clock.actor;
        s->around.frame_prev = p->closed;
    }
    op->stamp = clock_tick(&s->clock, wall_ms);
    if (!change.was_shown)
        op->flags |= OPF_FRESH;
    if (held != NULL && is_increment(op->kind))
        choose_segment(s, p, held, op);
    p->own = op->stamp;
    context_raise(&p->vv, op->stamp);
    struct cell *now = value_apply(held, op, &seen, &p->vv, &s->around, out);
    if (out->is_empty) {
        op->flags |= OPF_FRESH;
        if (now != NULL)
            now = value_drop_deadline(now, &s->around);
    }
    if (s->logged)
        frame_write(s, p, op, seen.prev);
    change_end(s, &change, now);
    s->stats.ops_own++;
    if (s->heard)
        tell_local(s, &change, op->key, now);
    return now;
}

struct cell *local_move(struct shard *s, struct key_at from, struct cell *held, struct key_at to)
{
    struct change change;
    assert(!s->logged);
    change_begin(s, &change, from.part, from.hash, held);
    change_end(s, &change, NULL);
    struct cell *now = value_rename(held, to.name);
    context_join(&to.part->vv, &from.part->vv);
    to.part->own = stamp_make(0, 0, s->clock.actor);
    if (context_get(&to.part->vv, s->clock.actor) != 0)
        to.part->own = context_get(&to.part->vv, s->clock.actor);
    change_begin(s, &change, to.part, to.hash, NULL);
    change_end(s, &change, now);
    tell_changed(s, from.part, from.hash, from.name, NULL);
    tell_changed(s, to.part, to.hash, to.name, now);
    if (s->wants.events != 0)
        events_created(s, to.name);
    return now;
}

void local_flush(struct shard *s, struct part *p, int64_t wall_ms)
{
    if (s->tracked &&
        !part_is_hidden(s, p)) /* also when nothing is there: absence is cached, too */
        shard_tell_changed(s, bytes_of(NULL, 0), s->caller);
    deferred_end_part(s, p);
    if (p->keys.count == 0)
        return;
    struct op op = {.stamp = clock_tick(&s->clock, wall_ms), .kind = OP_FLUSH};
    stamp_t prev = p->own;
    p->own = op.stamp;
    context_raise(&p->vv, op.stamp);
    change_clear(s, p);
    if (s->logged)
        frame_write(s, p, &op, prev);
    s->stats.ops_own++;
}
