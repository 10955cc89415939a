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
    struct heap_entry e = h->at[i];
    while (i > 0) {
        size_t up = (i - 1) / 2;
        if (!before(&e, &h->at[up]))
            break;
        h->at[i] = h->at[up];
        i = up;
    }
    h->at[i] = e;
}

static void sift_down(struct heap *h, size_t i)
{
    struct heap_entry e = h->at[i];
    for (;;) {
        size_t down = 2 * i + 1;
        if (down >= h->n)
            break;
        if (down + 1 < h->n && before(&h->at[down + 1], &h->at[down]))
            down++;
        if (!before(&h->at[down], &e))
            break;
        h->at[i] = h->at[down];
        i = down;
    }
    h->at[i] = e;
}

static void resize(struct heap *h, size_t cap)
{
    h->at = mem_realloc(h->at, cap * sizeof *h->at);
    h->cap = cap;
}

/* A large heap grows by less, lest one entry more takes a good part of a database's memory. */
#define DOUBLED_MAX 1024u

/* Memory comes back once three quarters are unused: far enough from growth not to swing. */
static void shrink(struct heap *h)
{
    if (h->n == 0) {
        heap_deinit(h);
    } else if (h->cap > 16 && h->n < h->cap / 4) {
        resize(h, h->cap / 2);
    }
}

void heap_deinit(struct heap *h)
{
    mem_free(h->at);
    *h = (struct heap){0};
}

void heap_push(struct heap *h, struct heap_entry e)
{
    if (h->n == h->cap)
        resize(h, h->cap < DOUBLED_MAX ? 2 * h->cap + 8 : h->cap + h->cap / 8);
    h->at[h->n++] = e;
    sift_up(h, h->n - 1);
}

bool heap_pop(struct heap *h, struct heap_entry *out)
{
    if (h->n == 0)
        return false;
    *out = h->at[0];
    h->at[0] = h->at[--h->n];
    if (h->n > 0)
        sift_down(h, 0);
    shrink(h);
    return true;
}

void heap_filter(struct heap *h, bool (*keep)(const struct heap_entry *e, void *arg), void *arg)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++)
        if (keep(&h->at[i], arg))
            h->at[n++] = h->at[i];
    h->n = n;
    for (size_t i = n / 2; i-- > 0;)
        sift_down(h, i);
    while (h->n < h->cap / 4 && h->cap > 16)
        resize(h, h->cap / 2);
    shrink(h);
}
