/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_TRACKING_H
#define MERIDIAN_PROXY_TRACKING_H

#include "proxy/push.h"

/*
 * CLIENT TRACKING: tells clients which of the keys that they have cached have changed.
 * https://redis.io/docs/latest/develop/reference/client-side-caching/
 *
 * The worker of a key's shard remembers which sessions have read it (by default), and which keys
 * have changed in this turn (for prefixes, BCAST). At the end of the turn the sessions' workers are
 * told, and those where messages are redirected to. So an invalidation always follows the reply
 * that was read, and whatever changes a key invalidates: commands, other regions' operations and
 * states, expiry.
 *
 *   shard --read--> tracking_read: key -> session ids
 *   shard --changed--> tracking_changed: keys of this turn, and who is to hear of them
 *   tracking_turn --JOB_TRACKING--> the session's worker --JOB_TRACKING--> its redirection's worker
 */
void tracking_init(struct front *f);
void tracking_deinit(struct front *f); /* no session is left */
/* Whether there are sessions that track has changed: the shards report, or not. */
void tracking_heed(struct front *f);

/* Does the session want to hear of changes to what its next command reads? */
bool session_tracks(const struct session *s);
/* After each of its commands: CLIENT CACHING has been used up. */
void tracking_after(struct session *s, const struct command *c);
void tracking_off(struct session *s, struct port *port);
/* The session ends: also where others redirect to. */
void tracking_forget(struct session *s, struct port *port);

/* ---- what shards of this worker report */
void tracking_read(struct front *f, const struct call *c);
/* session: whose command it was, 0 nobody's. key.p NULL: all keys. */
void tracking_changed(struct front *f, struct bytes key, uint64_t session);
/* The end of a turn: everybody is told. */
void tracking_turn(struct front *f, struct port *port);
/* JOB_TRACKING: its reply is only wanted by REACH (cmd_tracking.c). */
void tracking_job(struct front *f, struct port *port, const struct job *job, struct reply *r);

/* JOB_TRACKING's first argument. */
enum tracking_what {
    TRACK_KEY,      /* argv[1] changed: tell session `id` */
    TRACK_PREFIX,   /* argv[1]: prefix, argv[2]: who changed the keys that follow, uint64_t each */
    TRACK_FLUSH,    /* tell all */
    TRACK_REDIRECT, /* argv[1]: keys as RESP, for session `id` instead of session `by` */
    TRACK_BROKEN,   /* session `id`: there is no session `by` any more */
    TRACK_REACH,    /* is there a session `id`? An integer */
};
struct tracking_word {
    uint32_t what;
    uint64_t id, by;
};
/* A session of this worker that others may be redirected to from now on. */
bool tracking_reach(struct front *f, uint64_t id);
uint32_t session_worker(const struct front *f, uint64_t id);

#endif
