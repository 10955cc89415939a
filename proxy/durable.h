/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_DURABLE_H
#define MERIDIAN_PROXY_DURABLE_H

#include "base/port.h"

/*
 * Replies that promise durability (a database with aof_policy always): a session whose commands
 * wrote stands still, its output held by the port, until the disk has what they wrote. What was
 * written is counted in turns of the loop: each worker numbers those in which its shards logged
 * something, and says when a turn has become durable. Sessions that wait for the same turns form a
 * group, which goes on as one when all of them are durable: so a sync serves all who wrote before
 * it, the loop never waits, and who only reads is not held.
 *
 *   session -> durable_note (its shards here have logged something) -> group of this turn, hold
 *   job of another worker -> durable_mark -> its reply names the turn -> durable_join there
 *   worker -> durable_turn: the number of the turn -> ... disk ... -> durable_reached -> sessions
 * go on, other workers that wait are told (JOB_DURABLE)
 */
struct front;
struct session;
struct job;
struct durable_group;

struct durable {
    bool on;            /* always, or slowed */
    bool always;        /* policy always; else sessions wait only so that the disk can follow */
    bool failing;       /* a disk of some worker takes nothing */
    bool *failed;       /* owned; by worker */
    bool logged;        /* in this turn, for somebody who waits for the reply */
    uint64_t turn;      /* the number of this turn */
    uint64_t counted;   /* operations of the shards here, as of the last look */
    uint64_t *known;    /* owned; by worker: durable up to this turn */
    uint64_t *promised; /* owned; by worker: the last turn of ours that a reply to it named */
    struct durable_group *first, *last, *open; /* open: of this turn; the last or NULL */
};

void durable_init(struct front *f);
void durable_deinit(struct front *f);
/* With policy always, or `slowed`, since the disk does not keep up with what is written; with
 * neither whoever waits goes on at once. */
void durable_set(struct front *f, struct port *port, bool always, bool slowed, struct moment now);
/* The disk of this worker takes nothing, or does again. */
void durable_fails(struct front *f, struct port *port, bool failing);

/* Only while `on`: */
/* The session has run commands: if anything was logged here since the last look, it waits. */
void durable_note(struct session *s, struct port *port, struct moment now);
/* Has anything been logged here since the last look? Then the number of the turn that a reply to
 * `worker` names; 0: no. */
uint64_t durable_mark(struct front *f, uint32_t worker);
/* Likewise without looking: something that another worker's session waits for has come about in
 * this turn. */
uint64_t durable_promise(struct front *f, uint32_t worker);
/* Its command, which had waited, ended in that turn of the worker. */
void durable_woken(struct session *s, struct port *port, uint32_t worker, uint64_t turn,
                   struct moment now);
/* The session's reply needs turn `turn` of `worker`. */
void durable_join(struct session *s, struct port *port, uint32_t worker, uint64_t turn,
                  struct moment now);
/* The end of a turn: its number if something was logged in it for which somebody waits, else 0. */
uint64_t durable_turn(struct front *f);
/* All that was logged here up to that turn is durable. */
void durable_reached(struct front *f, struct port *port, uint64_t turn, struct moment now);
/* JOB_DURABLE */
void durable_job(struct front *f, struct port *port, const struct job *job, struct moment now);
/* Closes those that have waited for longer than the limit, which is shorter when the disk is known
 * to fail: they must be told neither that what they wrote is done, nor that it is not. */
void durable_tick(struct front *f, struct port *port, struct moment now);
void durable_forget(struct session *s); /* it is being freed */

#endif
