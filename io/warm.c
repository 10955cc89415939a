/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/warm.h"

#ifdef MERIDIAN_JEMALLOC

#include "base/mem.h"
#include "io/io.h"

#include <assert.h>
#include <jemalloc/jemalloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#define PAGE_BYTES ((size_t)4096)     /* the smallest there is: touching more often does no harm */
#define CHUNK_BYTES ((size_t)2 << 20) /* a huge page: touched as one */
#define AHEAD_BYTES_MIN                                                                            \
    ((size_t)4 << 20) /* what a burst from a pause on takes, while one is made */
#define AHEAD_BYTES_MAX ((size_t)32 << 20)
#define AHEAD_SHARE 4 /* of what is used, between these two: small databases stay small */

/*
 * An arena's addresses, reserved at once and handed out from the lowest on; it stands at their
 * beginning itself. All of it is zero until it is used, and jemalloc is told that nothing of it is
 * committed: so it says (commit) when it begins to use some, which moves the frontier.
 *
 *   base ... in use, with holes ... base + used ... touched ... base + touched ... base + bytes
 */
struct arena {
    extent_hooks_t hooks; /* first: what jemalloc gives back to the hooks */
    struct warm *_Atomic warm;
    size_t bytes;
    _Atomic size_t given, used;
    _Atomic size_t touched; /* written by the warming thread only */
};

struct warm {
    uv_sem_t wanted; /* once for each chunk that a frontier moved into */
    uv_thread_t thread;
    _Atomic bool stopping;
    struct arena *_Atomic arenas[IO_MACHINES_MAX];
    _Atomic unsigned arenas_n;
};

static char *base_of(struct arena *a) { return (char *)a; }

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* ---- jemalloc's hooks ---- */

static struct arena *arena_of(extent_hooks_t *h) { return (struct arena *)(void *)h; }

static void used_to(struct arena *a, size_t end)
{
    size_t used = atomic_load(&a->used);
    do {
        if (end <= used)
            return;
    } while (!atomic_compare_exchange_weak(&a->used, &used, end));
    struct warm *w = atomic_load(&a->warm);
    if (w != NULL && used / CHUNK_BYTES != end / CHUNK_BYTES)
        uv_sem_post(&w->wanted);
}

/* Where the reserved addresses are used up. */
static void *map_apart(size_t size, size_t alignment)
{
    size_t all = size + alignment;
    char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t lead = round_up((uintptr_t)p, alignment) - (uintptr_t)p;
    if (lead > 0)
        munmap(p, lead);
    if (all - lead > size)
        munmap(p + lead + size, all - lead - size);
    return p + lead;
}

static void *on_alloc(extent_hooks_t *h, void *at, size_t size, size_t alignment, bool *zero,
                      bool *commit, unsigned ind)
{
    struct arena *a = arena_of(h);
    (void)ind;
    if (at != NULL)
        return NULL; /* growing in place is tried first, and not needed */
    *zero = true;
    size_t given = atomic_load(&a->given), start;
    do {
        start = round_up((uintptr_t)base_of(a) + given, alignment) - (uintptr_t)base_of(a);
        if (start > a->bytes || size > a->bytes - start) {
            *commit = true;
            return map_apart(size, alignment);
        }
    } while (!atomic_compare_exchange_weak(&a->given, &given, start + size));
    if (*commit)
        used_to(a, start + size);
    return base_of(a) + start;
}

static bool on_commit(extent_hooks_t *h, void *at, size_t size, size_t offset, size_t length,
                      unsigned ind)
{
    struct arena *a = arena_of(h);
    (void)size;
    (void)ind;
    used_to(a, (size_t)((char *)at + offset + length - base_of(a)));
    return false;
}

static bool on_purge(extent_hooks_t *h, void *at, size_t size, size_t offset, size_t length,
                     unsigned ind)
{
    (void)h;
    (void)size;
    (void)ind;
    return madvise((char *)at + offset, length, MADV_DONTNEED) != 0;
}

static bool on_split(extent_hooks_t *h, void *at, size_t size, size_t a, size_t b, bool committed,
                     unsigned ind)
{
    (void)h, (void)at, (void)size, (void)a, (void)b, (void)committed, (void)ind;
    return false;
}

static bool on_merge(extent_hooks_t *h, void *a, size_t a_size, void *b, size_t b_size,
                     bool committed, unsigned ind)
{
    (void)h, (void)a, (void)a_size, (void)b, (void)b_size, (void)committed, (void)ind;
    return false;
}

/* ---- the thread ---- */

/* One chunk, unless enough of the arena is warm. Adding nothing atomically changes nothing for
 * whoever uses the page already. */
static bool touch_more(struct arena *a)
{
    size_t used = atomic_load(&a->used), touched = atomic_load(&a->touched);
    size_t ahead = used / AHEAD_SHARE;
    if (ahead < AHEAD_BYTES_MIN)
        ahead = AHEAD_BYTES_MIN;
    if (ahead > AHEAD_BYTES_MAX)
        ahead = AHEAD_BYTES_MAX;
    if (touched < used)
        touched = round_up(used, CHUNK_BYTES);
    if (touched >= used + ahead || touched + CHUNK_BYTES > a->bytes)
        return false;
    for (size_t i = 0; i < CHUNK_BYTES; i += PAGE_BYTES)
        __atomic_fetch_add(base_of(a) + touched + i, 0, __ATOMIC_RELAXED);
    atomic_store(&a->touched, touched + CHUNK_BYTES);
    return true;
}

static void thread_main(void *arg)
{
    struct warm *w = arg;
    while (!atomic_load(&w->stopping)) {
        bool any = false;
        for (unsigned i = 0; i < atomic_load(&w->arenas_n); i++) {
            struct arena *a = atomic_load(&w->arenas[i]);
            any = (a != NULL && touch_more(a)) || any;
        }
        if (!any)
            uv_sem_wait(&w->wanted);
    }
}

/* ---- life ---- */

/* More than any arena can come to use: only addresses, which cost nothing. */
static size_t reserve_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    size_t all = pages > 0 && size > 0 ? (size_t)pages * (size_t)size : (size_t)1 << 33;
    return round_up(all * 4, (size_t)1 << 30);
}

static struct arena *reserve(void)
{
    size_t bytes = reserve_bytes();
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t lead = round_up((uintptr_t)p, CHUNK_BYTES) - (uintptr_t)p;
    const char *thp = NULL;
    size_t n = sizeof thp;
    if (mallctl("opt.thp", &thp, &n, NULL, 0) == 0 && strcmp(thp, "always") == 0)
        (void)madvise(p, bytes, MADV_HUGEPAGE); /* a kernel without them: small pages then */
    struct arena *a = (struct arena *)(void *)(p + lead);
    a->hooks = (extent_hooks_t){.alloc = on_alloc,
                                .commit = on_commit,
                                .purge_forced = on_purge,
                                .split = on_split,
                                .merge = on_merge};
    a->bytes = bytes - lead;
    atomic_store(&a->given, PAGE_BYTES);
    atomic_store(&a->used, PAGE_BYTES);
    return a;
}

struct warm *warm_start(void)
{
    struct warm *w = mem_zalloc(sizeof *w);
    if (uv_sem_init(&w->wanted, 0) != 0) {
        mem_free(w);
        return NULL;
    }
    if (uv_thread_create(&w->thread, thread_main, w) != 0) {
        uv_sem_destroy(&w->wanted);
        mem_free(w);
        return NULL;
    }
    return w;
}

void warm_here(struct warm *w)
{
    struct arena *a = w != NULL ? reserve() : NULL;
    if (a == NULL)
        return;
    extent_hooks_t *hooks = &a->hooks;
    unsigned ind, i = atomic_fetch_add(&w->arenas_n, 1);
    size_t n = sizeof ind;
    atomic_store(&a->warm, w);
    /* From here on jemalloc may keep something in the arena: it is never given back. */
    assert(i < IO_MACHINES_MAX);
    if (mallctl("arenas.create", &ind, &n, &hooks, sizeof hooks) == 0 &&
        mallctl("thread.arena", NULL, NULL, &ind, sizeof ind) == 0) {
        atomic_store(&w->arenas[i], a);
        uv_sem_post(&w->wanted);
    }
}

size_t warm_ahead(struct warm *w, unsigned i)
{
    struct arena *a = w != NULL && i < IO_MACHINES_MAX ? atomic_load(&w->arenas[i]) : NULL;
    if (a == NULL)
        return 0;
    size_t used = atomic_load(&a->used), touched = atomic_load(&a->touched);
    return touched > used ? touched - used : 0;
}

void warm_stop(struct warm *w)
{
    if (w == NULL)
        return;
    atomic_store(&w->stopping, true);
    uv_sem_post(&w->wanted);
    uv_thread_join(&w->thread);
    for (unsigned i = 0; i < IO_MACHINES_MAX; i++) {
        struct arena *a = atomic_load(&w->arenas[i]);
        if (a != NULL)
            atomic_store(&a->warm, NULL);
    }
    uv_sem_destroy(&w->wanted);
    mem_free(w);
}

#else

struct warm *warm_start(void) { return NULL; }

void warm_here(struct warm *w) { (void)w; }

size_t warm_ahead(struct warm *w, unsigned i)
{
    (void)w, (void)i;
    return 0;
}

void warm_stop(struct warm *w) { (void)w; }

#endif
