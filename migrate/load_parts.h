/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_LOAD_PARTS_H
#define MERIDIAN_MIGRATE_LOAD_PARTS_H

#include "migrate/load.h"

/* The inside of a load: a value by the commands of its type, for what is too large for one
 * RESTORE. */
struct load_parts {
    struct migrate_sink *sink; /* kept for a call, as the port is */
    struct port *port;
    const struct rdb_record *record;
    enum rdb_type type;
    uint64_t pushed; /* elements of a list that are with the sink */
    /* The command being filled. */
    struct buf argv; /* struct bytes */
    struct buf text; /* what they point to, by offset until it is sent */
    struct buf group, consumer;
    uint64_t items;
    size_t key; /* which of its words is the key */
};

void load_parts_deinit(struct load_parts *p);
/* A part, or a whole value, whose predecessors were given before. False: malformed. */
bool load_parts_give(struct load_parts *p, const struct rdb_record *r);
/* The first part of a collection went as RESTORE: how much was in it. */
void load_parts_begin(struct load_parts *p, uint64_t items);
/* A command whose word `key` is the record's key. */
void load_parts_put(struct load_parts *p, const struct migrate_command *m, size_t key);
/* How many items the value, or part, holds; 0: malformed. */
uint64_t load_parts_count(const struct rdb_record *r, struct buf *room);

#endif
