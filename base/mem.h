/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_MEM_H
#define MERIDIAN_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The allocator's one door. mem_alloc never returns NULL: every queue, frame, key and value has a
 * limit that is checked before allocating, so running out here is the end of the process (it says
 * so on stderr and aborts).
 *
 * mem_used() counts what the allocator really holds for this thread's live blocks (size class, not
 * the request), summed over all threads. The counters are per thread and relaxed: exact when the
 * threads are quiet.
 *
 * An account counts what is allocated and freed while it is the thread's current one: what one
 * shard holds. Nobody frees in an account what was allocated in another; what belongs to no
 * account in particular (a buffer that a reply grows) is allocated and freed in none. An account
 * that ends must hold nothing: mem_drift() tells of those that did not.
 */
struct mem_account {
    int64_t held; /* bytes, as mem_used counts them */
};
extern _Thread_local struct mem_account *mem_account_now; /* NULL: none */
/* Makes it the thread's current one (kept until it is left); give what it returns to
 * mem_account_leave. */
static inline struct mem_account *mem_account_enter(struct mem_account *a)
{
    struct mem_account *was = mem_account_now;
    mem_account_now = a;
    return was;
}
static inline void mem_account_leave(struct mem_account *was) { mem_account_now = was; }
void mem_account_end(const struct mem_account *a);
uint64_t mem_drift(void); /* bytes that accounts held, or lacked, at their end */

void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_lines(size_t n); /* n cache lines of 64 bytes, zeroed, on a boundary of 64 */
void *mem_realloc(void *p, size_t n);
void mem_free(void *p);               /* NULL is allowed */
size_t mem_block_size(const void *p); /* bytes the allocator holds for this block */
size_t
mem_class_size(size_t n); /* what mem_alloc(n) would hold; where that cannot be computed, n */
size_t mem_used(void);    /* bytes held by all live blocks of the process */
void mem_purge(void);     /* gives what the allocator keeps for later back to the system */
char *mem_strdup(const char *s);
void *mem_dup(const void *p, size_t n); /* NULL for n == 0 */

/*
 * Defragmentation: what little is left of a page keeps all of it. A block in a slab (a run of pages
 * of equal blocks) that is emptier than others of its class is copied to where there is room
 * elsewhere, until the slab can be given back. Stock jemalloc tells by
 * experimental.utilization.query how full a block's slab is (5.3, src/inspect.c).
 */
struct mem_heap {
    size_t allocated; /* by the program, of all threads */
    size_t active;    /* pages that hold any of it */
    size_t resident;  /* likewise with the allocator's own, and what it has not given back yet */
};
bool mem_heap(struct mem_heap *out); /* false: this allocator does not tell */
struct mem_probe {
    size_t path[3], n;
};
bool mem_probe_init(struct mem_probe *p); /* false: this allocator does not tell */
/* Would it help if this block were elsewhere? */
bool mem_is_sparse(const struct mem_probe *p, void *block);
/* Copies the block to another place and frees it; returns where it is now. What it holds for its
 * account stays the same. */
void *mem_move(void *block);

/* A stack for base/fiber: whole pages, taken as they are touched and not counted; the one below
 * faults. n: a multiple of 64 KiB. */
void *mem_stack(size_t n);
void mem_stack_free(void *p, size_t n);

#endif
