/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_LCS_H
#define MERIDIAN_SHARD_LCS_H

#include "shard/keys.h"

/* LCS: the longest common subsequence of two strings. */
void lcs(struct call *c);

#endif
