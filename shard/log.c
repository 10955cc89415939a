/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/log.h"

#include "base/mem.h"

/*
 * The ring is a row of chunks, oldest first. A frame lies whole in one chunk, so readers borrow it
 * where it is; the oldest chunk goes as a whole when the ring is full. Positions run on from chunk
 * to chunk without gaps.
 *
 *   entry: struct entry | deps (8 bytes each) | ops | padding to 8
 *
 * A state that is not small has a chunk to itself: in place of its bytes the chunk holds the rope
 * that they came in. The position runs over them as if they stood there.
 */
#define CHUNK_MAX (256u << 10)
#define CHUNK_MIN 1024u
#define ENTRY_STATE 0x100u /* in entry.flags */
#define INLINE_SHARE 4u    /* of a chunk: a state of so many bytes is copied in with others */
_Static_assert(CHUNK_MAX / INLINE_SHARE <= ROPE_PIECE, "it lies in one piece");
#define FREE_BYTES ((size_t)4 << 20)
#define RING_CHUNKS                                                                                \
    16u /* a small ring is cut at least so often, so that a full one forgets little at a time */

struct chunk {
    uint64_t begin; /* position of its first byte */
    size_t used, cap;
    struct rope state; /* of the only entry */
    uint64_t bytes[];
};

struct entry {
    uint32_t partition, ops_count, deps_count, flags;
    uint64_t ops_n;
    stamp_t prev, first, last;
    int64_t wall_ms;
};

struct log {
    uint32_t first, count;
    size_t bytes_max, chunk_bytes, bytes;
    struct chunk **chunks; /* owned; [from, from + n) */
    size_t from, n, cap;
    struct chunk *spare; /* kept from the last one that went */
    struct chunk **gone; /* owned: their states are still to be freed */
    size_t gone_n;
    uint64_t hold; /* entries from here on stay */
    struct context *floor;
};

struct log *log_new(uint32_t first_partition, uint32_t partitions, size_t bytes_max)
{
    struct log *l = mem_zalloc(sizeof *l);
    l->hold = UINT64_MAX;
    l->first = first_partition;
    l->count = partitions;
    l->floor = mem_zalloc(partitions * sizeof *l->floor);
    log_set_max(l, bytes_max);
    return l;
}

void log_set_max(struct log *l, size_t bytes_max)
{
    size_t chunk = bytes_max / RING_CHUNKS;
    chunk = chunk < CHUNK_MIN ? CHUNK_MIN : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
    chunk = (chunk - sizeof(struct chunk)) & ~(size_t)7; /* whole: a size the allocator has */
    if (chunk != l->chunk_bytes) {
        mem_free(l->spare);
        l->spare = NULL;
    }
    l->bytes_max = bytes_max;
    l->chunk_bytes = chunk;
}

/* A large state goes in slices (log_free_step). */
static void free_chunk(struct log *l, struct chunk *c)
{
    if (c->state.bytes == 0) {
        mem_free(c);
        return;
    }
    l->gone = mem_realloc(l->gone, (l->gone_n + 1) * sizeof(struct chunk *));
    l->gone[l->gone_n++] = c;
}

bool log_free_step(struct log *l)
{
    if (l->gone_n == 0)
        return false;
    struct chunk *c = l->gone[l->gone_n - 1];
    if (rope_free_step(&c->state, FREE_BYTES))
        return true;
    mem_free(c);
    if (--l->gone_n > 0)
        return true;
    mem_free(l->gone);
    l->gone = NULL;
    return false;
}

void log_free(struct log *l)
{
    for (size_t i = 0; i < l->n; i++)
        free_chunk(l, l->chunks[l->from + i]);
    for (uint32_t i = 0; i < l->count; i++)
        context_deinit(&l->floor[i]);
    while (log_free_step(l))
        ;
    mem_free(l->spare);
    mem_free(l->chunks);
    mem_free(l->floor);
    mem_free(l);
}

static size_t entry_size(const struct entry *e)
{
    return (sizeof *e + e->deps_count * sizeof(stamp_t) + e->ops_n + 7) & ~(size_t)7;
}

static const struct entry *entry_at(const struct chunk *c, size_t offset)
{
    return (const struct entry *)(const void *)(c->bytes + offset / 8);
}

#define FETCH_BYTES 4096u
#define FETCH_LINE 64u

/* What goes was written long ago and has left the cache; where an entry begins is known only when
 * the one before is here. So all lines are asked for well ahead, and are near when the chunk is
 * written anew. */
static void drop_oldest(struct log *l)
{
    struct chunk *c = l->chunks[l->from];
    const uint8_t *bytes = (const uint8_t *)c->bytes;
    size_t fetched = 0, end = c->state.bytes > 0 ? 0 : c->used;
    for (size_t at = 0; at < end;) {
        for (; fetched < end && fetched < at + FETCH_BYTES; fetched += FETCH_LINE)
            prefetch(bytes + fetched);
        const struct entry *e = entry_at(c, at);
        if (!(e->flags & ENTRY_STATE))
            context_raise(&l->floor[e->partition - l->first], e->last);
        at += entry_size(e);
    }
    l->from++;
    l->n--;
    l->bytes -= c->cap;
    if (l->spare == NULL && c->cap == l->chunk_bytes && c->state.bytes == 0)
        l->spare = c;
    else
        free_chunk(l, c);
}

static bool held(const struct log *l, const struct chunk *c)
{
    return l->hold != UINT64_MAX && c->begin + c->used > l->hold;
}

/* Appends an empty chunk for `cap` bytes, of which `here` stand in its block. */
static struct chunk *add_chunk(struct log *l, size_t cap, size_t here)
{
    uint64_t begin = log_end(l);
    while (l->n > 0 && l->bytes + cap > l->bytes_max && !held(l, l->chunks[l->from]))
        drop_oldest(l);
    if (l->from + l->n == l->cap) {
        if (l->from > l->cap / 2) {
            memmove(l->chunks, l->chunks + l->from, l->n * sizeof(struct chunk *));
            l->from = 0;
        } else {
            l->cap = l->cap ? l->cap * 2 : 16;
            l->chunks = mem_realloc(l->chunks, l->cap * sizeof(struct chunk *));
        }
    }
    struct chunk *c = l->spare;
    if (c != NULL && here == l->chunk_bytes)
        l->spare = NULL;
    else
        c = mem_alloc(sizeof *c + here);
    *c = (struct chunk){.begin = begin, .cap = cap};
    l->bytes += cap;
    l->chunks[l->from + l->n++] = c;
    return c;
}

/* Room for an entry, its head in place; what stands behind the head is to be filled in. */
static uint8_t *add_entry(struct log *l, const struct entry *e)
{
    size_t size = entry_size(e);
    struct chunk *c = l->n ? l->chunks[l->from + l->n - 1] : NULL;
    if (c == NULL || c->cap - c->used < size) {
        size_t cap = size > l->chunk_bytes ? size : l->chunk_bytes;
        c = add_chunk(l, cap, cap);
    }
    uint8_t *at = (uint8_t *)c->bytes + c->used;
    memcpy(at, e, sizeof *e);
    c->used += size;
    return at + sizeof *e;
}

static void fill_entry(uint8_t *at, const stamp_t *deps, uint32_t n, struct bytes ops)
{
    if (n > 0)
        memcpy(at, deps, n * sizeof *deps);
    if (ops.n > 0)
        memcpy(at + n * sizeof *deps, ops.p, ops.n);
}

void log_append(struct log *l, const struct frame *f)
{
    struct entry e = {.partition = f->partition,
                      .ops_count = f->ops_count,
                      .deps_count = f->deps_count,
                      .flags = f->flags,
                      .ops_n = f->ops.n,
                      .prev = f->prev,
                      .first = f->first,
                      .last = f->last,
                      .wall_ms = f->wall_ms};
    fill_entry(add_entry(l, &e), f->deps, f->deps_count, f->ops);
}

void log_append_state(struct log *l, uint32_t partition, const struct context *theirs,
                      struct rope *state)
{
    struct entry e = {.partition = partition,
                      .deps_count = theirs->n,
                      .flags = ENTRY_STATE,
                      .ops_n = state->bytes};
    if (state->bytes <= l->chunk_bytes / INLINE_SHARE) {
        struct bytes all = state->bytes > 0 ? rope_at(state, 0) : bytes_of(NULL, 0);
        fill_entry(add_entry(l, &e), theirs->at, theirs->n, all);
        rope_deinit(state);
        return;
    }
    size_t deps = theirs->n * sizeof(stamp_t);
    struct chunk *c = add_chunk(l, entry_size(&e), sizeof e + deps);
    memcpy(c->bytes, &e, sizeof e);
    fill_entry((uint8_t *)c->bytes + sizeof e, theirs->at, theirs->n, bytes_of(NULL, 0));
    c->used = c->cap;
    c->state = *state;
    *state = (struct rope){.pieces = 0};
}

/* What is let go goes now: nothing may ever be appended again. */
void log_hold(struct log *l, uint64_t pos)
{
    l->hold = pos;
    while (l->n > 1 && l->bytes > l->bytes_max && !held(l, l->chunks[l->from]))
        drop_oldest(l);
}

size_t log_overdue(const struct log *l)
{
    bool any = l->n > 0 && held(l, l->chunks[l->from]);
    return any && l->bytes > l->bytes_max ? l->bytes - l->bytes_max : 0;
}

uint64_t log_begin(const struct log *l) { return l->n ? l->chunks[l->from]->begin : 0; }

uint64_t log_end(const struct log *l)
{
    if (l->n == 0)
        return 0;
    const struct chunk *c = l->chunks[l->from + l->n - 1];
    return c->begin + c->used;
}

/* The chunk that holds position pos, begin <= pos < end: most readers are in the newest. */
static const struct chunk *chunk_of(const struct log *l, uint64_t pos)
{
    struct chunk **at = l->chunks + l->from;
    size_t low = 0, high = l->n - 1;
    if (pos >= at[high]->begin)
        return at[high];
    while (low < high) {
        size_t mid = (low + high + 1) / 2;
        if (at[mid]->begin <= pos)
            low = mid;
        else
            high = mid - 1;
    }
    return at[low];
}

bool log_read_entry(const struct log *l, uint64_t *pos, struct log_entry *out)
{
    if (*pos < log_begin(l) || *pos >= log_end(l))
        return false;
    const struct chunk *c = chunk_of(l, *pos);
    const struct entry *e = entry_at(c, (size_t)(*pos - c->begin));
    const stamp_t *deps = (const stamp_t *)(const void *)(e + 1);
    bool apart = c->state.bytes > 0;
    out->state = apart ? &c->state : NULL;
    out->is_state = (e->flags & ENTRY_STATE) != 0;
    out->frame =
        (struct frame){.partition = e->partition,
                       .ops_count = e->ops_count,
                       .flags = (uint8_t)e->flags,
                       .prev = e->prev,
                       .first = e->first,
                       .last = e->last,
                       .wall_ms = e->wall_ms,
                       .deps = deps,
                       .deps_count = e->deps_count,
                       .ops = bytes_of(deps + e->deps_count, apart ? 0 : (size_t)e->ops_n)};
    *pos += entry_size(e);
    return true;
}

bool log_read(const struct log *l, uint64_t *pos, struct frame *out)
{
    struct log_entry e;
    if (*pos < log_begin(l))
        *pos = log_begin(l);
    do {
        if (!log_read_entry(l, pos, &e))
            return false;
    } while (e.is_state);
    *out = e.frame;
    return true;
}

const struct context *log_floor(const struct log *l, uint32_t partition)
{
    return &l->floor[partition - l->first];
}

void log_cut(struct log *l, uint32_t partition, const struct context *vv)
{
    context_join(&l->floor[partition - l->first], vv);
}

size_t log_bytes(const struct log *l) { return l->bytes; }

static size_t chunk_memory(const struct chunk *c)
{
    return mem_block_size(c) + rope_memory(&c->state);
}

size_t log_memory(const struct log *l)
{
    size_t sum = l->spare != NULL ? mem_block_size(l->spare) : 0;
    for (size_t i = 0; i < l->n; i++)
        sum += chunk_memory(l->chunks[l->from + i]);
    for (size_t i = 0; i < l->gone_n; i++)
        sum += chunk_memory(l->gone[i]);
    for (uint32_t i = 0; i < l->count; i++)
        sum += l->floor[i].cap * sizeof(stamp_t);
    return sum + l->cap * sizeof l->chunks[0] + l->count * sizeof l->floor[0];
}
