/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_MULTI_H
#define MERIDIAN_PROXY_MULTI_H

#include "proxy/session.h"

/*
 * MULTI: commands are copied and wait in the session; EXEC runs them on one shard in one go. What
 * the session itself answers (PING, SELECT ...) is answered when EXEC starts and travels as a
 * finished reply.
 *
 * The queue is a run of entries: command pointer (8 bytes), argc (4), then for each argument its
 * length (4) and bytes. A NULL pointer marks a finished reply as the only argument. Never leaves
 * the process.
 */
#define MULTI_BYTES_MAX (256u << 20)
#define MULTI_COMMANDS_MAX (1u << 20)

struct multi {
    struct buf queue;
    uint32_t count;
    int32_t shard;  /* where all keys live; -1 no key yet */
    bool dirty;     /* a command was refused: EXEC answers EXECABORT */
    bool writes;    /* some command may write: CLIENT PAUSE WRITE holds EXEC back */
    uint32_t flags; /* CMD_WRITE, CMD_DENYOOM of all commands: what refuses them refuses EXEC */
};

/* Queues the command; its errors make the transaction dirty. */
void multi_queue(struct ask *a);
void multi_dirty(struct session *s);
void multi_discard(struct session *s);
/* Forgets the session's watches. */
void multi_unwatch(struct session *s, struct port *port, struct moment now);
bool multi_has_scripts(struct bytes queue);
struct multi_exec {
    struct bytes user; /* call.user; borrowed */
    struct bytes queue;
    uint64_t session;
    bool track; /* it tracks what it reads */
};
/* Runs the queue on a local shard (NULL: no command needs one): the reply of EXEC. */
void multi_run(struct front *f, struct shard *shard, const struct multi_exec *exec, struct reply *r,
               struct moment now);
void multi_watch(struct shard *shard, uint64_t session, uint32_t argc, const struct bytes *argv,
                 struct reply *r, struct moment now);

#endif
