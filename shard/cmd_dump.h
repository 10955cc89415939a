/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_DUMP_H
#define MERIDIAN_SHARD_CMD_DUMP_H

#include "shard/keys.h"

/* Appends a key's value in Redis' format, behind its code (rdb/rdb.h). The key is there. */
void dump_value(struct call *c, const struct key *k, struct buf *out);

#endif
