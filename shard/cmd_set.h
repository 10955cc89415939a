/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_SET_H
#define MERIDIAN_SHARD_CMD_SET_H

struct call;

/* shard/cmd_set_ops.c: several sets at once; their rows stand in cmd_set.c. */
void sinter(struct call *c);
void sintercard(struct call *c);
void sinterstore(struct call *c);
void sunion(struct call *c);
void sunionstore(struct call *c);
void sdiff(struct call *c);
void sdiffstore(struct call *c);

#endif
