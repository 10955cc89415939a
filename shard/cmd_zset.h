/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_ZSET_H
#define MERIDIAN_SHARD_CMD_ZSET_H

#include "shard/args.h"

/* The functions of the sorted-set commands (their rows stand in cmd_zset_table.c) and what these
 * share. */

bool zset_read(struct call *c, struct key *k);  /* argv[1]; false: WRONGTYPE was replied */
bool zset_write(struct call *c, struct key *k); /* likewise */
/* Removes the members of a span of ranks. */
void zset_remove(struct call *c, struct key *k, struct span span);
/* A member, with its score when asked for: as a pair of its own in RESP3. */
void zset_reply_member(struct reply *r, struct bytes member, double score, bool with_score);
/* The head of an array of n such members. */
void zset_reply_head(struct reply *r, size_t n, bool with_scores);
/* BZPOPMIN's and BZPOPMAX's pop: from the first sorted set that is there; `max`: the last member.
 * False: there is none, nothing was replied. */
bool zset_pop_first(struct call *c, const struct bytes *keys, uint32_t count, bool max);
/* ZMPOP's and BZMPOP's arguments from numkeys on. */
struct zset_mpop {
    const struct bytes *keys;
    uint32_t count;
    bool max;
    int64_t limit; /* members */
};
/* Reads them from argv[at] on; false: an error was replied. */
bool zset_mpop_args(struct call *c, uint32_t at, struct zset_mpop *out);
/* Pops from the first sorted set that is there. False: there is none, nothing was replied. */
bool zset_mpop(struct call *c, const struct zset_mpop *from);

/* cmd_zset.c */
void zadd(struct call *c);
void zincrby(struct call *c);
void zrem(struct call *c);
void zscore(struct call *c);
void zmscore(struct call *c);
void zcard(struct call *c);
void zrank(struct call *c);
void zrevrank(struct call *c);
void zrandmember(struct call *c);
void zscan(struct call *c);
/* cmd_zset_pop.c */
void zpopmin(struct call *c);
void zpopmax(struct call *c);
void zmpop(struct call *c);
/* cmd_zset_range.c */
void zcount(struct call *c);
void zlexcount(struct call *c);
void zrange(struct call *c);
void zrangebyscore(struct call *c);
void zrevrangebyscore(struct call *c);
void zrangebylex(struct call *c);
void zrevrangebylex(struct call *c);
void zrevrange(struct call *c);
void zrangestore(struct call *c);
void zremrangebyrank(struct call *c);
void zremrangebyscore(struct call *c);
void zremrangebylex(struct call *c);
/* cmd_zset_ops.c */
void zunion(struct call *c);
void zinter(struct call *c);
void zdiff(struct call *c);
void zunionstore(struct call *c);
void zinterstore(struct call *c);
void zdiffstore(struct call *c);
void zintercard(struct call *c);

#endif
