/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_DUMP_H
#define MERIDIAN_SHARD_CMD_DUMP_H

#include "rdb/rdb.h"
#include "shard/keys.h"

/* Appends a key's value in Redis' format, behind its code (rdb/rdb.h). The key is there. */
void dump_value(struct call *c, const struct key *k, struct buf *out);

/* ---- streams (cmd_dump_stream.c) */
void dump_stream(const struct cell *key, struct rdb_writer *w);

/* A stream being restored: what is known of the whole is written before the entries, though it
 * stands behind them. Groups, consumers and pending entries come in the order of rdb/item.h. */
struct restore_stream {
    struct rdb_item info;        /* RDB_ITEM_STREAM */
    struct buf prefix, consumer; /* owned: the last group's and consumer's */
};
void restore_stream_begin(struct restore_stream *r, struct call *c, struct key *k);
void restore_stream_item(struct restore_stream *r, struct call *c, struct key *k,
                         const struct rdb_item *item);
void restore_stream_end(struct restore_stream *r);

#endif
