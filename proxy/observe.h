/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_OBSERVE_H
#define MERIDIAN_PROXY_OBSERVE_H

#include "proxy/blocked.h"
#include "proxy/token.h"

/*
 * Waiting until contexts have grown: here, up to a token (CRDT.AFTER), or in other regions, up to
 * this session's writes (CRDT.WAIT). Each worker looks at its own shards at the end of every turn
 * and tells the session's worker a mask when it has changed; what all masks share is the answer.
 *
 *   OBSERVE_HERE     all bits once the partitions' contexts cover the entries, else none
 *   OBSERVE_THERE    the regions that are known to have this region's newest stamp, as of when the
 *                    wait began, of every partition in `groups`
 *   OBSERVE_DURABLE  likewise, by their claims
 */
enum observe { OBSERVE_HERE, OBSERVE_THERE, OBSERVE_DURABLE };

struct observer; /* opaque: one wait, on one worker */

struct observers {
    struct observer *first; /* owned */
};

/* Slots of a session's writes are remembered in 64 groups: bit i is slots i*256 to i*256+255. */
#define SLOT_GROUP_BITS 8u
/* Does the partition hold slots of any of these groups? */
bool groups_have(uint64_t groups, uint32_t partition, uint32_t partitions);

/* The command waits, `wanted` regions for THERE and DURABLE; `entries` are struct token_entry, for
 * HERE. Replies the number of regions, or 1 and 0. */
void observe_wait(struct ask *a, enum observe what, int64_t wanted, int64_t timeout_ms,
                  struct bytes entries);
/* JOB_OBSERVE, JOB_UNOBSERVE, JOB_OBSERVED */
void observe_begin(struct front *f, struct port *port, const struct job *job);
void observe_end(struct front *f, uint64_t session);
void observe_heard(struct front *f, struct port *port, uint64_t session, struct bytes arg);
/* At the end of each turn. */
void observe_turn(struct front *f, struct port *port);
void observers_deinit(struct observers *o);

#endif
