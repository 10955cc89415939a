/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_BLOCKED_H
#define MERIDIAN_SHARD_BLOCKED_H

#include "shard/keys.h"

/*
 * Commands that wait for a key (BLPOP, BZPOPMIN, XREAD BLOCK ...): what their functions use, and
 * what the shard does for them.
 *
 * Such a command tries. When there is nothing for it and call_may_block says so, it does not reply
 * but calls call_block; the shard keeps a copy of it and runs it again when one of its keys was
 * changed, by a command, a frame or a join, once that is over as a whole. Who waits longest for a
 * key is served first, and a waiter of several keys by the one that changed first: then the command
 * is run for that key only (call_considers). What it does when it is served are ordinary
 * operations, which may wake others in turn. Time limits and clients are the proxy's business.
 */

/* May the call wait? Not in a transaction, not in a script. */
static inline bool call_may_block(const struct call *c) { return c->block != NULL; }

/* Should the call look at that key? Always at first; when it is run again, only at the key that
 * changed. */
static inline bool call_considers(const struct call *c, struct bytes key)
{
    return c->block == NULL || c->block->ready.p == NULL || bytes_eq(c->block->ready, key);
}

struct block_on {
    const struct bytes *keys; /* that it waits for; borrowed */
    uint32_t count;
    enum type type;           /* run it again when a key shows this type ... */
    bool any_change;          /* ... and also when one goes away or shows another type */
    int64_t timeout_ms;       /* 0: for ever */
    const struct bytes *argv; /* what to run again, as many as argv; NULL: argv itself. (XREAD: `$`
                                 replaced by what it meant) */
};
/* The call waits: it must not reply, and call_may_block. Run again without success it keeps its
 * place. Replies an error instead when waiting commands take too much memory. */
void call_block(struct call *c, const struct block_on *on);

/* Reads a time limit, in seconds with a fraction or in whole milliseconds; false: Redis' error was
 * replied. */
bool arg_timeout_seconds(struct call *c, struct bytes arg, int64_t *ms);
bool arg_timeout_ms(struct call *c, struct bytes arg, int64_t *ms);

#endif
