/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_NEIGHBOURS_H
#define MERIDIAN_IO_NEIGHBOURS_H

#include "io/loop.h"

/*
 * Messages between the loops of a process. What a turn sends is collected for each neighbour and
 * handed over at its end: one compare-and-swap, and one wake-up if that neighbour sleeps in its
 * poll. Order is kept between any two neighbours.
 */
void neighbours_post(struct loop *l, uint32_t neighbour, struct msg *taken);
void neighbours_flush(struct loop *l);
/* Steps the machine with all messages that are there. */
void neighbours_drain(struct loop *l);
/* Before a poll: false when there are messages, so that it must not block. */
bool neighbours_sleep(struct loop *l);
void neighbours_awake(struct loop *l);
/* Ends the poll of a loop, from any thread. */
void neighbours_wake(struct loop *l);
void neighbours_woken(struct loop *l);
void neighbours_wake_init(struct loop *l);
void neighbours_drop(struct loop *l); /* what will never be delivered */

#endif
