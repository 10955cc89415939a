/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_STOPPED_H
#define MERIDIAN_PROXY_STOPPED_H

#include "base/table.h"
#include "proxy/courier.h"

/*
 * What the commands of one session may reply on other workers before the session has passed it on.
 *
 *   the session's worker                     the other one
 *   jobs ----------------------------------> runs them until their replies are longer than the
 *                                            limit; from then on it keeps the session's jobs
 *   replies, the last of them `stopped` <--- in their order
 *   runs no further command; when its
 *   output is below PORT_HIGH and its
 *   oldest answer comes from there:
 *   JOB_GO_ON -----------------------------> runs what it kept, up to the limit again
 *   when the session goes: JOB_FORGET -----> drops what it kept, which is as if it had not been
 * sent
 *
 * A pipeline of any length so holds, for each worker, a megabyte and one reply, as it does where
 * its keys are on the session's own worker. Only that worker goes on which owes the oldest answer:
 * what the others could add would have to wait behind it. And none is waited for that need not: a
 * worker keeps nothing that an older answer needs, since jobs are kept in the order they were sent.
 *
 * Replies that are on their way are not counted: hence a session asks in no more than ROUNDS_MAX
 * messages before its oldest answer is whole, each of which is held to the limit by itself.
 */
#define ROUNDS_MAX 16u

/* ---- where the session is not: what is kept of it */
struct stopped_session {
    uint64_t key[2]; /* session, database */
    struct buf jobs; /* the courier's records */
};

struct stopped {
    struct table sessions;
};
void stopped_init(struct stopped *t);
void stopped_deinit(struct stopped *t);
/* NULL: it is not stopped here. */
struct stopped_session *stopped_find(const struct stopped *t, uint32_t db_uid, uint64_t session);
struct stopped_session *stopped_add(struct stopped *t, uint32_t db_uid, uint64_t session);
/* Takes it out; its jobs are the caller's (empty when it was not there). */
struct buf stopped_take(struct stopped *t, uint32_t db_uid, uint64_t session);

/* ---- where the session is */
/* That worker has said so. */
void stopped_at(struct session *s, struct port *port, uint32_t worker);
/* Might it go on somewhere? */
bool stopped_ends(const struct session *s, struct port *port);
/* Passes on what is there of the oldest answer, and lets workers go on whose turn it is. */
void stopped_go_on(struct session *s, struct port *port);
/* The session goes. */
void stopped_forget(struct session *s, struct port *port);

#endif
