/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_GLOB_H
#define MERIDIAN_SHARD_GLOB_H

#include "base/bytes.h"

/* Whether `s` matches a pattern of KEYS (shard/glob.c): * ? [a-z] [^x] \\c. Time at most |pattern|
 * * |s|. */
bool glob_match(struct bytes pattern, struct bytes s);
/* Small and capital letters are the same. */
bool glob_match_nocase(struct bytes pattern, struct bytes s);

#endif
