/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_HLL_H
#define MERIDIAN_SHARD_CMD_HLL_H

#include "shard/hll_text.h"
#include "shard/keys.h"

/* What the HyperLogLog commands share; those for testing have a file of their own. */
struct hll {
    uint8_t ranks[HLL_REGISTERS];
    bool is_dense; /* in Redis' form for it */
};

/* What the key holds as a HyperLogLog, or as a string with Redis' text of one; nothing for an
 * absent key. Replies Redis' error and returns false when it holds something else. */
bool hll_of_key(struct call *c, const struct key *k, struct hll *out);
/* The key, which holds `h`, shows the dense form from now on. */
void hll_make_dense(struct call *c, struct key *k, struct hll *h);

void pfdebug(struct call *c);
void pfselftest(struct call *c);

#endif
