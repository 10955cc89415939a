/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_FILE_WRITE_H
#define MERIDIAN_RDB_FILE_WRITE_H

#include "rdb/rdb.h"

/*
 * A whole snapshot file, written: version 10, which Redis 7.0 and newer load (format: file.h). Call
 * in this order: begin, aux.., function.., db, key.., end; move whenever enough has gathered.
 */
struct rdb_file_writer {
    struct buf out; /* owned */
    size_t summed;  /* bytes of `out` that are in the checksum */
    uint64_t crc;
};

void rdb_file_begin(struct rdb_file_writer *w);
void rdb_file_aux(struct rdb_file_writer *w, const char *name, struct bytes value);
/* A library's code. */
void rdb_file_function(struct rdb_file_writer *w, struct bytes code);
/* What follows is in this database; how many keys there will be is a hint for the reader. */
void rdb_file_db(struct rdb_file_writer *w, uint64_t db, uint64_t keys, uint64_t expiring);
/* `value`: its code and bytes, as in a DUMP's payload without its end (rdb_payload_open). deadline:
 * Unix ms, -1 none. False: version 10 does not know the code; nothing is written. */
bool rdb_file_key(struct rdb_file_writer *w, struct bytes name, struct bytes value,
                  int64_t deadline);
void rdb_file_end(struct rdb_file_writer *w);
/* Hands over what is written so far: *to, which is empty, gets the buffer. */
void rdb_file_move(struct rdb_file_writer *w, struct buf *to);
void rdb_file_writer_deinit(struct rdb_file_writer *w);

#endif
