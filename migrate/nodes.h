/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_NODES_H
#define MERIDIAN_MIGRATE_NODES_H

#include "base/resp_reply.h"

/* The masters of a Redis Cluster, as CLUSTER SLOTS tells them. */
#define NODES_MAX 128u
#define NODES_SLOTS 16384u

struct nodes {
    unsigned count;
    struct node {
        char host[256];
        uint16_t port;
        uint32_t first; /* its first slot; they stand in this order */
    } at[NODES_MAX];
    uint64_t layout; /* of which slots are together: the same after a failover, another after slots
                        have moved */
};

/* `host` stands for a node that does not know its own address. False: *why tells. */
bool nodes_read(const struct resp_reply *slots, const char *host, struct nodes *out,
                const char **why);
/* The same masters at the same addresses? */
bool nodes_same(const struct nodes *a, const struct nodes *b);

#endif
