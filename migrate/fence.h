/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_FENCE_H
#define MERIDIAN_MIGRATE_FENCE_H

#include "migrate/asker.h"

/*
 * Bytes outlive who sent them. A follower that is killed, or gives a connection up, may have sent
 * commands that the target reads only after the next one has read the mark: they would be done
 * twice, or land on an emptied target. So each connection that writes has a name (CLIENT SETNAME),
 * and before a mark is read all others of that name are closed at the target (CLIENT KILL): what
 * they had sent is done, or never will be.
 */
#define FENCE_PREFIX "meridian-replica:"

struct fence {
    char name[280]; /* for CLIENT SETNAME */
    bool all;       /* whatever they follow: nobody else follows into this target */
    bool killing;
    int64_t own;       /* this connection's number at the target */
    struct buf kills;  /* owned: requests */
    unsigned n;        /* of them */
    char refused[160]; /* what the target says when it does not let us; "" it does */
};

/* `what` is followed: a part of the name. */
void fence_init(struct fence *f, const char *what, bool all);
void fence_deinit(struct fence *f);
/* The asker is idle: asks who is there. Its replies go to fence_reply. */
void fence_begin(struct fence *f, struct asker *a, struct port *port);
/* True: the others are gone, or cannot be made to (`refused`); the asker is idle. */
bool fence_reply(struct fence *f, struct asker *a, struct port *port, unsigned i,
                 const struct resp_reply *r);

#endif
