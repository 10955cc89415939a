/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_STREAM_H
#define MERIDIAN_SHARD_CMD_STREAM_H

#include "shard/stream_args.h"

/* The functions behind the table of stream commands (cmd_stream_table.c), by file. */

/* cmd_stream.c */
void xadd(struct call *c);
void xlen(struct call *c);
void xrange(struct call *c);
void xrevrange(struct call *c);
void xdel(struct call *c);
void xtrim(struct call *c);
void xsetid(struct call *c);

/* cmd_stream_read.c */
void xread(struct call *c);
void xreadgroup(struct call *c);

/* cmd_stream_group.c */
void xgroup_create(struct call *c);
void xgroup_setid(struct call *c);
void xgroup_destroy(struct call *c);
void xgroup_createconsumer(struct call *c);
void xgroup_delconsumer(struct call *c);
void xgroup_help(struct call *c);
void xack(struct call *c);

/* cmd_stream_pending.c */
void xpending(struct call *c);
void xclaim(struct call *c);
void xautoclaim(struct call *c);

/* cmd_stream_info.c */
void xinfo_stream(struct call *c);
void xinfo_groups(struct call *c);
void xinfo_consumers(struct call *c);
void xinfo_help(struct call *c);

#endif
