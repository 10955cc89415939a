/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_STREAM_ARGS_H
#define MERIDIAN_SHARD_STREAM_ARGS_H

#include "shard/stream_write.h"

/*
 * What the commands of streams share: arguments, the key with its group, replies. Each arg_
 * function replies Redis' error and returns false when the argument does not fit.
 */
#define ERR_STREAM_ID "ERR Invalid stream ID specified as stream command argument"

/* <ms>, <ms>-<seq>; without a sequence it is `seq`. `any`: also - and +, the least and the
 * greatest. The second form also takes <ms>-*, which says *seq_given = false, and sequence 0. */
bool stream_id_read(struct bytes arg, uint64_t seq, bool any, struct stream_id *out);
bool arg_stream_id(struct call *c, struct bytes arg, struct stream_id *out); /* no - and + */
bool arg_stream_new_id(struct call *c, struct bytes arg, struct stream_id *out, bool *seq_given);
/* The ends of a range: ( excludes. */
bool arg_stream_from(struct call *c, struct bytes arg, struct stream_id *out);
bool arg_stream_to(struct call *c, struct bytes arg, struct stream_id *out);

struct stream_trim {
    enum { TRIM_NONE, TRIM_MAXLEN, TRIM_MINID } by;
    bool approx;
    int64_t limit; /* 0: none */
    int64_t maxlen;
    struct stream_id minid;
};
struct stream_new {
    struct stream_trim trim;
    bool no_mkstream, id_given, seq_given;
    struct stream_id id;
    uint32_t at; /* where the ID stands */
};
/* The arguments of XADD and XTRIM from the third on. */
bool arg_stream_new(struct call *c, bool xadd, struct stream_new *out);

/* Trims; returns how many entries went. */
size_t stream_trim_by(struct call *c, struct key *k, const struct stream_trim *t);

void reply_stream_id(struct reply *r, struct stream_id id);
void reply_stream_entry(struct reply *r, const struct stream_entry *e);
/* All the entries with that ID; returns how many. */
unsigned reply_stream_entries_of(struct reply *r, const struct cell *key, struct stream_id id);

/* A key with the group that a command names. */
struct stream_at {
    struct key k;
    struct bytes name;
    struct buf prefix; /* of the group */
    struct stream_group group;
    bool found;
};
/* Finds both. False: WRONGTYPE was replied. In any case follow with stream_at_deinit. */
bool stream_at_read(struct call *c, struct bytes key, struct bytes group, struct stream_at *out);
bool stream_at_write(struct call *c, struct bytes key, struct bytes group, struct stream_at *out);
void stream_at_deinit(struct stream_at *at);
/* Makes the consumer if need be, and notes that it was seen now. */
void stream_seen(struct call *c, struct stream_at *at, struct bytes consumer);

#endif
