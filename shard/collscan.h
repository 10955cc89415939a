/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_COLLSCAN_H
#define MERIDIAN_SHARD_COLLSCAN_H

#include "shard/keys.h"

/* HSCAN, SSCAN, ZSCAN: key cursor [MATCH pattern] [COUNT count]. The type says which, and how an
 * element is shown. */
void collscan(struct call *c, enum type type);

#endif
