/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/heap.h"

#include "base/mem.h"

/* Ties in `when` are broken by the other two, so that equal histories pop in equal order. */
static bool before(const struct heap_entry *a, const struct heap_entry *b)
{
    if (a->when != b->when)
        return a->when < b->when;
    if (a->what != b->what)
        return a->what < b->what;
    return a->which < b->which;
}

static void sift_up(struct heap *h, size_t i)
{
    struct heap_entry e = *heap_at(h, i);
    while (i > 0) {
        size_t up = (i - 1) / 2;
        if (!before(&e, heap_at(h, up)))
            break;
        *heap_at(h, i) = *heap_at(h, up);
        i = up;
    }
    *heap_at(h, i) = e;
}

static void sift_down(struct heap *h, size_t i)
{
    struct heap_entry e = *heap_at(h, i);
    for (;;) {
        size_t down = 2 * i + 1;
        if (down >= h->n)
            break;
        if (down + 1 < h->n && before(heap_at(h, down + 1), heap_at(h, down)))
            down++;
        if (!before(heap_at(h, down), &e))
            break;
        *heap_at(h, i) = *heap_at(h, down);
        i = down;
    }
    *heap_at(h, i) = e;
}

/* ------------------------------------------------------------ room */

/* How many chunks `cap` entries are. */
static size_t chunks_of(size_t cap) { return (cap + HEAP_CHUNK - 1) >> HEAP_CHUNK_BITS; }

static void first_resize(struct heap *h, size_t cap)
{
    if (h->chunks_cap == 0) {
        h->chunks_cap = 1;
        h->chunks = mem_zalloc(sizeof *h->chunks);
    }
    h->chunks[0] = mem_realloc(h->chunks[0], cap * sizeof **h->chunks);
    h->cap = cap;
}

static void grow(struct heap *h)
{
    if (h->cap < HEAP_CHUNK) {
        size_t cap = h->cap == 0 ? 8 : 2 * h->cap;
        first_resize(h, cap < HEAP_CHUNK ? cap : HEAP_CHUNK);
        return;
    }
    size_t n = chunks_of(h->cap);
    if (n == h->chunks_cap) {
        h->chunks_cap *= 2;
        h->chunks = mem_realloc(h->chunks, h->chunks_cap * sizeof *h->chunks);
    }
    h->chunks[n] = mem_alloc(HEAP_CHUNK * sizeof **h->chunks);
    h->cap += HEAP_CHUNK;
}

/* Memory comes back once a chunk and a half is unused, or three quarters of a small heap: far
 * enough from growth not to swing. */
static void shrink(struct heap *h)
{
    if (h->n == 0) {
        heap_deinit(h);
    } else if (h->cap > HEAP_CHUNK && h->n + HEAP_CHUNK + HEAP_CHUNK / 2 < h->cap) {
        mem_free(h->chunks[chunks_of(h->cap) - 1]);
        h->cap -= HEAP_CHUNK;
    } else if (h->cap <= HEAP_CHUNK && h->cap > 16 && h->n < h->cap / 4) {
        first_resize(h, h->cap / 2);
    }
}

void heap_deinit(struct heap *h)
{
    for (size_t i = 0; i < chunks_of(h->cap); i++)
        mem_free(h->chunks[i]);
    mem_free(h->chunks);
    *h = (struct heap){0};
}

size_t heap_memory(const struct heap *h)
{
    return h->cap * sizeof(struct heap_entry) + h->chunks_cap * sizeof *h->chunks;
}

/* ------------------------------------------------------------ entries */

void heap_push(struct heap *h, struct heap_entry e)
{
    if (h->n == h->cap)
        grow(h);
    *heap_at(h, h->n++) = e;
    sift_up(h, h->n - 1);
}

bool heap_pop(struct heap *h, struct heap_entry *out)
{
    if (h->n == 0)
        return false;
    *out = *heap_at(h, 0);
    *heap_at(h, 0) = *heap_at(h, --h->n);
    if (h->n > 0)
        sift_down(h, 0);
    shrink(h);
    return true;
}

bool heap_take_last(struct heap *h, struct heap_entry *out)
{
    if (h->n == 0)
        return false;
    *out = *heap_at(h, --h->n);
    shrink(h);
    return true;
}

void heap_filter(struct heap *h, bool (*keep)(const struct heap_entry *e, void *arg), void *arg)
{
    size_t n = 0, cap;
    for (size_t i = 0; i < h->n; i++)
        if (keep(heap_at(h, i), arg))
            *heap_at(h, n++) = *heap_at(h, i);
    h->n = n;
    for (size_t i = n / 2; i-- > 0;)
        sift_down(h, i);
    do {
        cap = h->cap;
        shrink(h);
    } while (h->cap != cap);
}
