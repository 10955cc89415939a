/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

#include "base/mem.h"

/*
 * A large frame, applied a few operations at a time, and yet as a whole for whoever looks.
 *
 *   reading    its operations are decoded and indexed by key; nothing has happened yet
 *   applying   it has happened: it is in the log, the partition's context has it. What a key gets
 * of it is applied at the latest when somebody looks at that key (pour_key); the other keys follow
 * in their order. What looks at the partition as a whole waits for all of it (pour_end): digests,
 * scans, copies, flushes, joins, further frames.
 *
 * Operations on different keys do not know of each other but by the context, so each is applied
 * with the context that it would have found.
 */
struct drop {
    stamp_t base;  /* the stamp before */
    uint64_t hash; /* of its key */
    uint32_t at;   /* in frame.ops */
    uint32_t next; /* the next one of the key, + 1; 0 none */
    bool applied;
};

/* The first and the last of a key, + 1; 0: free. */
struct pour_line {
    uint32_t first, last;
};

struct pour {
    struct frame frame; /* deps lie behind the struct */
    struct buf bytes;   /* its operations */
    struct part *part;
    bool applying;
    stamp_t had;        /* of the writer, before */
    struct context vv;  /* after the operation at hand */
    struct drop *drops; /* owned */
    uint32_t n, done;   /* read; applied, of those in order */
    struct mp read;
    stamp_t base;
    struct pour_line *lines; /* owned; open addressing */
    uint32_t mask;
};

#define SLICES_MIN 16u  /* of the smallest frame: some ten microseconds each */
#define OP_BYTES_MIN 3u /* [stamp, head, ...] */

bool shard_pours(const struct shard *s) { return s->pour != NULL; }

static void drop(struct shard *s)
{
    struct pour *r = s->pour;
    s->pour = NULL;
    if (r == NULL)
        return;
    s->deferred -= r->applying;
    context_deinit(&r->vv);
    buf_deinit(&r->bytes);
    mem_free(r->drops);
    mem_free(r->lines);
    mem_free(r);
}

void pour_free(struct shard *s) { drop(s); }

void shard_pour_drop(struct shard *s)
{
    struct mem_account *outer = shard_enter(s);
    if (s->pour != NULL && !s->pour->applying)
        drop(s);
    mem_account_leave(outer);
}

/* ------------------------------------------------------------ reading */

static struct pour_line *line_of(const struct pour *r, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & r->mask;
    while (r->lines[i].first != 0 && r->drops[r->lines[i].first - 1].hash != hash)
        i = (i + 1) & r->mask;
    return &r->lines[i];
}

static void begin(struct shard *s, const struct frame *f, struct buf *bytes)
{
    struct pour *r = mem_zalloc(sizeof *r + f->deps_count * sizeof *f->deps);
    stamp_t *deps = (stamp_t *)(void *)(r + 1);
    if (f->deps_count > 0)
        memcpy(deps, f->deps, f->deps_count * sizeof *deps);
    if (bytes != NULL) {
        r->bytes = *bytes;
        *bytes = (struct buf){0};
    } else {
        buf_put_bytes(&r->bytes, f->ops);
    }
    r->frame = *f;
    r->frame.deps = deps;
    r->frame.ops = buf_bytes(&r->bytes);
    r->part = shard_part(s, f->partition);
    r->read = mp_read(r->frame.ops);
    r->base = f->first - 1;
    r->drops = mem_alloc(f->ops_count * sizeof *r->drops);
    for (r->mask = 64; r->mask < 2 * f->ops_count;)
        r->mask *= 2;
    r->lines = mem_zalloc(r->mask * sizeof *r->lines);
    r->mask--;
    s->pour = r;
}

/* Reads the next operation. False: it is malformed, or of a kind that is not for here (a flush, a
 * patch): shard_take knows what to do with it. */
static bool read_one(const struct shard *s, struct pour *r)
{
    struct op op;
    struct drop *d = &r->drops[r->n];
    if (r->n == r->frame.ops_count)
        return false;
    *d = (struct drop){.base = r->base, .at = (uint32_t)(r->read.p - r->frame.ops.p)};
    if (!op_decode(&r->read, &op, r->base) ||
        stamp_actor(op.stamp) != stamp_actor(r->frame.first) || op.kind == OP_FLUSH ||
        op.kind == OP_PATCH ||
        slot_partition(hash_slot(op.key), s->partitions) != r->frame.partition)
        return false;
    r->base = op.stamp;
    d->hash = shard_hash(s, op.key);
    struct pour_line *line = line_of(r, d->hash);
    r->n++;
    if (line->first == 0)
        line->first = r->n;
    else
        r->drops[line->last - 1].next = r->n;
    line->last = r->n;
    return true;
}

static bool is_whole(const struct pour *r)
{
    return mp_done(&r->read) && r->n == r->frame.ops_count && r->base == r->frame.last;
}

/* ------------------------------------------------------------ applying */

static void apply(struct shard *s, struct pour *r, struct drop *d)
{
    struct mp m = mp_read(r->frame.ops);
    struct op op;
    m.p += d->at;
    d->applied = true;
    if (!op_decode(&m, &op, d->base) || op.stamp <= r->had)
        return; /* it has been read before; it came with a frame cut differently by another log */
    struct context deps = frame_deps(&r->frame);
    struct seen seen = {.deps = &deps, .prev = stamp_before(op.stamp)};
    s->around.frame_actor = stamp_actor(op.stamp);
    s->around.frame_prev = r->frame.prev;
    context_drop(&r->vv, stamp_actor(op.stamp));
    context_raise(&r->vv, op.stamp);
    join_key(r->part, d->hash);
    frame_apply(s, r->part, &op, d->hash, &seen, &r->vv);
}

static void apply_line(struct shard *s, struct pour *r, uint32_t first)
{
    for (uint32_t i = first; i != 0; i = r->drops[i - 1].next)
        if (!r->drops[i - 1].applied)
            apply(s, r, &r->drops[i - 1]);
}

void pour_key(struct shard *s, const struct part *p, uint64_t hash)
{
#ifdef MUTANT_pour_untouched
    return;
#endif
    struct pour *r = s->pour;
    if (r != NULL && r->applying && r->part == p)
        apply_line(s, r, line_of(r, hash)->first);
}

/* From here on it is a part of the history. */
static enum take commit(struct shard *s, struct pour *r, struct moment now)
{
    struct part *p = r->part;
    const struct frame *f = &r->frame;
    enum take may = frame_may(p, f);
    if (may != TAKE_DONE)
        return may;
    frame_close(s, p, now.wall_ms);
    r->had = context_get(&p->vv, stamp_actor(f->last));
    context_raise(&p->vv, f->last);
    context_copy(&r->vv, &p->vv);
    r->applying = true;
    s->deferred++;
    frame_taken(s, p, f);
    for (uint32_t i = 0; s->watches != NULL && i < r->n;
         i++) /* a transaction asks before it reads */
        if (watches_any(s, r->drops[i].hash))
            apply_line(s, r, i + 1);
    return TAKE_POURS;
}

static void fetch(const struct pour *r, uint32_t n)
{
    for (uint32_t i = r->done; i < n; i++)
        table_prefetch(&r->part->keys, r->drops[i].hash);
    for (uint32_t i = r->done; i < n; i++)
        table_prefetch_item(&r->part->keys, r->drops[i].hash);
}

static void apply_some(struct shard *s, struct pour *r, unsigned ops)
{
    uint32_t end = r->n - r->done < ops ? r->n : r->done + ops;
    while (r->done < end) {
        uint32_t next = end - r->done < FETCH_KEYS ? end : r->done + FETCH_KEYS;
        fetch(r, next);
        for (; r->done < next; r->done++)
            if (!r->drops[r->done].applied)
                apply(s, r, &r->drops[r->done]);
    }
}

void pour_end(struct shard *s)
{
    struct pour *r = s->pour;
    if (r == NULL || !r->applying)
        return;
    apply_some(s, r, UINT32_MAX);
    drop(s);
}

void pour_end_part(struct shard *s, const struct part *p)
{
    if (s->pour != NULL && s->pour->part == p)
        pour_end(s);
}

void shard_pour_end(struct shard *s)
{
    struct mem_account *outer = shard_enter(s);
    pour_end(s);
    mem_account_leave(outer);
}

/* ------------------------------------------------------------ in slices */

enum take shard_pour(struct shard *s, const struct frame *f, struct buf *ops, struct moment now)
{
    assert(s->busy == NULL && s->pour == NULL);
    if (f->ops_count < s->pour_min || f->ops.n / OP_BYTES_MIN < f->ops_count ||
        !frame_sound(s, f) || f->partition == s->partitions)
        return shard_take(s, f, now);
    struct mem_account *outer = shard_enter(s);
    enum take may = frame_may(shard_part(s, f->partition), f);
    if (may == TAKE_DONE)
        begin(s, f, ops);
    mem_account_leave(outer);
    return may == TAKE_DONE ? TAKE_POURS : may;
}

/* Reads on; when all is read it happens. */
static enum take read_on(struct shard *s, struct pour *r, unsigned ops, struct moment now)
{
    for (; ops > 0 && r->n < r->frame.ops_count; ops--) {
        if (read_one(s, r))
            continue;
        s->pour = NULL; /* in one piece, or not at all */
        enum take took = frame_take(s, &r->frame, now);
        s->pour = r;
        drop(s);
        return took;
    }
    if (r->n < r->frame.ops_count)
        return TAKE_POURS;
    enum take took = is_whole(r) ? commit(s, r, now) : TAKE_BAD;
    if (took != TAKE_POURS)
        drop(s);
    return took;
}

enum take shard_pour_on(struct shard *s, struct moment now)
{
    unsigned ops = s->pour_min / SLICES_MIN + 1;
    struct pour *r = s->pour;
    if (r == NULL)
        return TAKE_DONE;
    assert(s->busy == NULL);
    struct mem_account *outer = shard_enter(s);
    enum take took = TAKE_POURS;
    shard_note_time(s, now);
    if (!r->applying) {
        took = read_on(s, r, ops, now);
    } else {
        apply_some(s, r, ops);
        if (r->done == r->n) {
            size_t n = r->n;
            drop(s);
            evict_taken(s, n, now.wall_ms);
            took = TAKE_DONE;
        }
    }
    if (s->woken)
        blocked_serve(s, now);
    mem_account_leave(outer);
    return took;
}

bool shard_pours_into(const struct shard *s, uint32_t *partition, stamp_t *last)
{
    *partition = s->pour->frame.partition;
    *last = s->pour->frame.last;
    return s->pour->applying;
}
