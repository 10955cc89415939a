/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_WARM_H
#define MERIDIAN_IO_WARM_H

#include <stddef.h>

/*
 * Memory that is touched before it is needed. The first touch of a page is the kernel's work (and a
 * hypervisor's): up to 5 ms for a huge page of 2 MB, in the middle of a turn. So a thread of its
 * own keeps a few megabytes ahead of each arena's frontier touched.
 *
 * Without jemalloc (sanitizers), or where addresses cannot be reserved (a limit of virtual memory,
 * vm.overcommit_memory = 2), nothing happens: threads then touch pages when they use them.
 */
struct warm;

/* Starts the thread. NULL: not possible here; the other calls take that. */
struct warm *warm_start(void);
/* From now on what this thread allocates comes from an arena of its own, kept warm until warm_stop.
 * Once a thread. */
void warm_here(struct warm *w);
/* How far the i-th arena is touched beyond what has been used of it, bytes; 0 if there is none. */
size_t warm_ahead(struct warm *w, unsigned i);
/* Ends the thread and frees w. The arenas stay, as what was allocated from them does. */
void warm_stop(struct warm *w);

#endif
