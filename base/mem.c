/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef MERIDIAN_JEMALLOC
#include <jemalloc/jemalloc.h>
#else
#include <malloc.h>
#endif

#include <stdatomic.h>

/*
 * Accounting: each thread adds to a stripe of its own, so that counting costs no shared cache line.
 * A block may be freed by another thread than the one that allocated it: stripes go negative, the
 * sum stays right.
 */
#define STRIPES 64
static struct {
    _Atomic int64_t held;
    char pad[56];
} stripes[STRIPES];
static _Atomic unsigned next_stripe;
static _Thread_local unsigned my_stripe = STRIPES;
_Thread_local struct mem_account *mem_account_now;
static _Atomic uint64_t drift;

static void account(int64_t delta)
{
    if (my_stripe == STRIPES)
        my_stripe = atomic_fetch_add_explicit(&next_stripe, 1, memory_order_relaxed) % STRIPES;
    _Atomic int64_t *held = &stripes[my_stripe].held;
    atomic_store_explicit(held, atomic_load_explicit(held, memory_order_relaxed) + delta,
                          memory_order_relaxed);
    if (mem_account_now != NULL)
        mem_account_now->held += delta;
}

void mem_account_end(const struct mem_account *a)
{
    if (a->held != 0)
        atomic_fetch_add(&drift, (uint64_t)(a->held < 0 ? -a->held : a->held));
}

uint64_t mem_drift(void) { return atomic_load(&drift); }

static void *checked(void *p, size_t n)
{
    if (p == NULL) {
        fprintf(stderr, "meridian: out of memory allocating %zu bytes\n", n);
        abort();
    }
    return p;
}

size_t mem_block_size(const void *p)
{
    /* A fresh block is not initialised, and only its address matters here: hide the block from the
     * compiler's check. */
    __asm__("" : "+r"(p));
#ifdef MERIDIAN_JEMALLOC
    return sallocx(p, 0);
#else
    union {
        const void *in;
        void *out;
    } u = {.in = p};
    return malloc_usable_size(u.out);
#endif
}

size_t mem_class_size(size_t n)
{
#ifdef MERIDIAN_JEMALLOC
    return nallocx(n ? n : 1, 0);
#else
    return n; /* sanitizers hold a block to exactly this */
#endif
}

/* What a block just made for n bytes holds: computed where that spares reading the allocator's
 * books, which are seldom in the cache. */
static size_t fresh_size(const void *p, size_t n)
{
#ifdef MERIDIAN_JEMALLOC
    (void)p;
    return mem_class_size(n);
#else
    (void)n;
    return mem_block_size(p);
#endif
}

void *mem_alloc(size_t n)
{
    void *p = checked(malloc(n ? n : 1), n);
    account((int64_t)fresh_size(p, n));
    return p;
}

void *mem_zalloc(size_t n)
{
    void *p = checked(calloc(1, n ? n : 1), n);
    account((int64_t)mem_block_size(p));
    return p;
}

void *mem_lines(size_t n)
{
    void *p = checked(aligned_alloc(64, n * 64), n * 64);
    account((int64_t)mem_block_size(p));
    return memset(p, 0, n * 64);
}

void *mem_realloc(void *p, size_t n)
{
    int64_t before = p ? (int64_t)mem_block_size(p) : 0;
    void *q = checked(realloc(p, n ? n : 1), n);
    account((int64_t)mem_block_size(q) - before);
    return q;
}

void mem_free(void *p)
{
    if (p == NULL)
        return;
    account(-(int64_t)mem_block_size(p));
    free(p);
}

size_t mem_used(void)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < STRIPES; i++)
        sum += atomic_load_explicit(&stripes[i].held, memory_order_relaxed);
    return sum < 0 ? 0 : (size_t)sum;
}

void mem_purge(void)
{
#ifdef MERIDIAN_JEMALLOC
    char name[64];
    (void)mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    snprintf(name, sizeof name, "arena.%u.purge", (unsigned)MALLCTL_ARENAS_ALL);
    (void)mallctl(name, NULL, NULL, NULL, 0); /* what cannot be given back stays */
#endif
}

char *mem_strdup(const char *s) { return mem_dup(s, strlen(s) + 1); }

void *mem_dup(const void *p, size_t n)
{
    if (n == 0)
        return NULL;
    return memcpy(mem_alloc(n), p, n);
}

/* ------------------------------------------------------------ defragmentation */

#ifdef MERIDIAN_JEMALLOC

bool mem_heap(struct mem_heap *out)
{
    uint64_t epoch = 1;
    size_t n = sizeof epoch, size = sizeof out->allocated;
    return mallctl("epoch", &epoch, &n, &epoch, n) == 0 && /* the figures of now */
           mallctl("stats.allocated", &out->allocated, &size, NULL, 0) == 0 &&
           mallctl("stats.active", &out->active, &size, NULL, 0) == 0 &&
           mallctl("stats.resident", &out->resident, &size, NULL, 0) == 0;
}

bool mem_probe_init(struct mem_probe *p)
{
    p->n = sizeof p->path / sizeof p->path[0];
    return mallctlnametomib("experimental.utilization.query", p->path, &p->n) == 0;
}

bool mem_is_sparse(const struct mem_probe *p, void *block)
{
    struct {
        void *current; /* the slab that new blocks are taken from first */
        size_t free, regions, bytes, bin_free, bin_regions;
    } u;
    size_t n = sizeof u;
    if (mallctlbymib(p->path, p->n, &u, &n, &block, sizeof block) != 0 || u.free == 0 ||
        u.regions <= 1)
        return false;
    uintptr_t at = (uintptr_t)block, current = (uintptr_t)u.current;
    if (at >= current && at - current < u.bytes)
        return false;
    /* No fuller than the class is on average, and an eighth: where all are alike some have to
     * move. */
    return (u.regions - u.free) * u.bin_regions * 8 <= (u.bin_regions - u.bin_free) * u.regions * 9;
}

void *mem_move(void *block)
{
    /* Past the thread's cache, which would hand out what was just freed. */
    size_t n = sallocx(block, 0);
    void *to = checked(mallocx(n, MALLOCX_TCACHE_NONE), n);
    memcpy(to, block, n);
    sdallocx(block, n, MALLOCX_TCACHE_NONE);
    return to;
}

#else

bool mem_heap(struct mem_heap *out)
{
    (void)out;
    return false;
}

bool mem_probe_init(struct mem_probe *p)
{
    (void)p;
    return false;
}

bool mem_is_sparse(const struct mem_probe *p, void *block)
{
    (void)p;
    (void)block;
    return false;
}

void *mem_move(void *block)
{
    size_t n = mem_block_size(block);
    void *to = mem_dup(block, n);
    mem_free(block);
    return to;
}

#endif

#define GUARD (64u << 10)

void *mem_stack(size_t n)
{
    void *p = mmap(NULL, n + GUARD, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED || mprotect(p, GUARD, PROT_NONE) != 0)
        p = checked(NULL, n);
    return (char *)p + GUARD;
}

void mem_stack_free(void *p, size_t n) { munmap((char *)p - GUARD, n + GUARD); }
