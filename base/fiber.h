/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_FIBER_H
#define MERIDIAN_BASE_FIBER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A function on a stack of its own, which may stop in the middle (fiber_yield) and go on later
 * (fiber_resume), whatever C functions lie between: a Lua script within sort, pcall and gsub. No
 * thread, no clock, no signal: it only moves when told to.
 */
struct fiber; /* opaque */

/* The stack's pages are taken as they are touched; below it lies one that must not be. */
struct fiber *fiber_new(size_t stack_bytes);
/* One that has stopped in the middle is abandoned: what its functions hold is its owner's to free.
 * Not from inside. */
void fiber_free(struct fiber *f);
/* Runs fn(arg) until it returns (true) or yields (false). Not while one has stopped in the middle,
 * not from inside. */
bool fiber_start(struct fiber *f, void (*fn)(void *arg), void *arg);
/* Goes on behind fiber_yield, likewise. */
bool fiber_resume(struct fiber *f);
/* From inside: back to whoever started or resumed it. */
void fiber_yield(struct fiber *f);
bool fiber_is_inside(const struct fiber *f);  /* does the caller run on it? */
bool fiber_is_stopped(const struct fiber *f); /* has it stopped in the middle? */

#endif
