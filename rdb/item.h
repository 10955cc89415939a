/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_ITEM_H
#define MERIDIAN_RDB_ITEM_H

#include "base/bytes.h"

/*
 * What values are made of, whatever their encoding: the reader gives items, the writer takes them.
 * All texts are borrowed for the call.
 */
enum rdb_type { RDB_STRING, RDB_LIST, RDB_SET, RDB_ZSET, RDB_HASH, RDB_STREAM };

struct rdb_id {
    uint64_t ms, seq;
};

enum rdb_item_kind {
    RDB_ITEM_VALUE,    /* name: the string itself */
    RDB_ITEM_ELEMENT,  /* name: of a list, in its order, or of a set */
    RDB_ITEM_MEMBER,   /* name, score: of a sorted set; written in ascending order */
    RDB_ITEM_FIELD,    /* name, value: of a hash */
    RDB_ITEM_ENTRY,    /* id, pairs: of a stream, ascending */
    RDB_ITEM_STREAM,   /* behind the entries: id (the last one given out), first, deleted, added */
    RDB_ITEM_GROUP,    /* name, id (last delivered), read */
    RDB_ITEM_CONSUMER, /* of the group before: name, time (last seen), active */
    RDB_ITEM_PENDING,  /* of the consumer before: id, time (of delivery), count (deliveries) */
};

struct rdb_item {
    enum rdb_item_kind kind;
    struct bytes name, value;
    double score;
    struct rdb_id id;
    const struct bytes *pairs; /* field, value, field, value .. */
    size_t npairs;
    struct rdb_id first, deleted; /* first entry; greatest ID ever deleted. Old formats: 0-0 */
    uint64_t added;               /* entries ever added. Old formats: as many as there are */
    int64_t read;                 /* entries delivered to the group; -1: not known */
    int64_t time, active;         /* Unix ms; active -1: never, or not known */
    uint64_t count;
};

#endif
