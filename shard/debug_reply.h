/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_DEBUG_REPLY_H
#define MERIDIAN_SHARD_DEBUG_REPLY_H

#include "shard/reply.h"

/* DEBUG PROTOCOL: replies a value of that type, the same as Redis, whose tests compare them. False:
 * there is no such type (a push is for sessions only). */
bool debug_reply(struct reply *r, struct bytes type);

#endif
