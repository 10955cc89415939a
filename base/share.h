/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_SHARE_H
#define MERIDIAN_BASE_SHARE_H

#include "base/port.h"

/*
 * How much of a worker's time goes to what no client waits for: bringing peers up to date, taking
 * in what they send in bulk. One for each worker, who tells it of each turn; whoever has such work
 * does a slice of it a turn, until share_left says no, and asks for another turn.
 *
 *   clients were served in this turn   nothing: what arrived meanwhile goes first
 *   clients were served lately         as long as the turns took that served them, at least a tenth
 *                                      of a millisecond: so a request waits little longer than for
 *                                      others' requests, and clients that keep the worker busy
 *                                      leave it half
 *   nobody is there                    a millisecond
 *
 * Work that falls behind although it gets this presses, and gets up to eight times as much: who
 * writes faster than a peer can follow is slowed down in the end. Time is all that is looked at:
 * where it stands still (sim/), whoever has work must have a bound of its own as well.
 */
struct share {
    uint64_t slice_us;             /* for all background work of this turn */
    uint64_t clients_us;           /* what a turn took that served clients, smoothed */
    uint64_t served_us;            /* when clients were last served, 0 never */
    uint64_t pressed_us, eased_us; /* the last time somebody pressed; the weight was changed */
    unsigned weight;               /* 0, 1: nobody presses */
    unsigned users, users_before;  /* in this turn, and in the last one with any */
};

/* A slice of the turn; a NULL share has no end. */
struct share_slice {
    struct share *of;
    uint64_t until_us;
};

/* The end of a turn; before any slice is taken. `served`: clients' commands ran in it. */
void share_turn(struct share *s, struct port *port, bool served, struct moment now);
struct share_slice share_begin(struct share *s, struct port *port);
/* Is there time left? False from the beginning when clients come first. */
bool share_left(const struct share_slice *slice, struct port *port);
/* This work does not get done: it wants more. Once a second is enough. */
void share_press(struct share *s, struct moment now);

#endif
