/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/* Commands on what makes a database geo-distributed; the proxy runs those without a function. */

const struct command cmd_crdt_table[] = {
    {"crdt.after", 3, CMD_BLOCKING | CMD_NO_MULTI | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION,
     MERGE_NONE, NULL, NULL, "generic", "1.0.0", "O(P) with P the number of the token's partitions",
     "Waits until this region has seen all that a token tells", "token timeout"},
    {"crdt.context", -1, CMD_READONLY | CMD_NOSCRIPT | CMD_LOADING, 1, 1, 1, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions",
     "Tells the newest stamp seen of every actor, by partition", "[key]"},
    {"crdt.digest", -1, CMD_READONLY | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions",
     "Returns digests of what the partitions show, equal in all regions whose contexts are",
     "[partition]"},
    {"crdt.token", -1, CMD_READONLY | CMD_NOSCRIPT | CMD_LOADING, 1, -1, 1, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions",
     "Returns what this region has seen, for CRDT.AFTER in another", "[key [key ...]]"},
    {"crdt.wait", -3, CMD_BLOCKING | CMD_NO_MULTI | CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "generic", "1.0.0", "O(P) with P the number of partitions written to",
     "Waits until other regions have this session's writes", "regions timeout [DURABLE]"},
    {.name = NULL},
};
