/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_BLOCKED_H
#define MERIDIAN_PROXY_BLOCKED_H

#include "base/heap.h"
#include "base/table.h"
#include "proxy/courier.h"

/*
 * Sessions that wait in a blocking command. The shard keeps the command and serves it
 * (shard/blocked.h); here are the client's side: its time limit, its end, the answer, and that the
 * session runs nothing else meanwhile.
 *
 *   blocked_run -> shard here: reply at once, or `blocked` until front_unblocked
 *               -> elsewhere:  JOB_BLOCK; its reply is the command's, or says that it waits
 *
 * What ends a wait is decided where the shard is, so that each command has one end: for a shard of
 * another worker a time limit or CLIENT UNBLOCK is only asked for (JOB_UNBLOCK), and the answer is
 * whatever came first there. Sessions that were served go on at the end of the turn (blocked_wake):
 * the callback comes in the middle of another session's command.
 */
struct session;
struct ask;
struct front;
struct blocked_session; /* opaque */

/* What the front keeps. Zero is empty but for `sessions`, see blocked_init. */
struct blocked_sessions {
    struct table sessions; /* of struct blocked_session, by session id */
    struct heap deadlines; /* (mono_us, session id, serial); may be stale */
    struct blocked_session *woken, *woken_last;
    uint64_t serials;
};
void blocked_init(struct blocked_sessions *b, uint64_t seed);
void blocked_deinit(struct blocked_sessions *b); /* no session is left */
size_t blocked_count(const struct blocked_sessions *b);

/* Runs a CMD_BLOCKING command, job->shard says where: it may make the session wait. */
void blocked_run(struct ask *a, struct job *job);
/* JOB_BLOCK came back. waits_ms -1: with the command's reply, which is in the answer; else there is
 * none yet, and it waits for so long at most (0: for ever). */
void blocked_returned(struct session *s, struct answer *a, int64_t waits_ms, struct moment now);
/* A local shard's command has ended (shard_opts.unblocked). */
void front_unblocked(struct front *f, struct port *port, uint64_t session, struct bytes reply);
/* The same, of a session of this worker. */
void blocked_served(struct front *f, const struct job *job);
/* JOB_UNBLOCK, where the shard is. */
void blocked_end_job(struct front *f, struct port *port, struct shard *shard,
                     const struct job *job);
/* The session ends: its command, too. */
void blocked_forget(struct session *s, struct port *port);

/* When blocked_expire wants to be called (mono_us), UINT64_MAX: never. */
uint64_t blocked_deadline(const struct front *f);
/* Ends those whose time is up. */
void blocked_expire(struct front *f, struct port *port, struct moment now);
/* Those who were served go on. */
void blocked_wake(struct front *f, struct port *port, struct moment now);

/*
 * Waiting for something else than keys (WAIT, CRDT.AFTER ...): `state` is its own; `end` answers
 * with what has come of it by now, when it is over, when the time is up or by CLIENT UNBLOCK. With
 * `r` NULL nobody wants an answer any more. It frees the state either way.
 */
struct wait_kind {
    void (*end)(struct front *f, struct port *port, uint64_t session, void *state, struct reply *r);
};
/* The command waits, for so long at most (0: for ever). `state` is taken. */
void blocked_wait(struct ask *a, int64_t timeout_ms, const struct wait_kind *kind, void *state);
/* The state of a session that still waits so; NULL: it does not. */
void *blocked_state(const struct front *f, uint64_t session, const struct wait_kind *kind);
/* What such a session waited for has come. */
void blocked_over(struct front *f, struct port *port, uint64_t session);

/* CLIENT UNBLOCK on this worker: true when such a session waits here. argv: id, "timeout" or
 * "error". */
bool blocked_unblock(struct front *f, struct port *port, const struct bytes *argv);

#endif
