/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_RDB_H
#define MERIDIAN_RDB_RDB_H

#include "base/buf.h"
#include "rdb/item.h"
#include "rdb/pack.h"

/*
 * Values in the format of Redis' snapshots (RDB), which DUMP and RESTORE use, too. Read: all
 * encodings of Redis 2.6 to 8.0 (versions up to 12) and Valkey 9 (80) but those of modules.
 * Written: what Redis 7.0 writes (version 10). https://rdb.fnordig.de/file_format.html
 *
 *   length    00nnnnnn | 01nnnnnn n | 80 n:32 | 81 n:64              high byte first
 *   text      length bytes | c0 n:8 | c1 n:16 | c2 n:32 (a number's text, little-endian)
 *             | c3 length(packed) length(whole) bytes (lzf.h)
 *   value     by its code, below
 *   payload   code value version:16 crc64                            DUMP; little-endian
 */
enum rdb_code {
    RDB_CODE_STRING = 0,
    RDB_CODE_LIST = 1,
    RDB_CODE_SET = 2,
    RDB_CODE_ZSET = 3, /* scores as texts */
    RDB_CODE_HASH = 4,
    RDB_CODE_ZSET_2 = 5, /* scores as doubles */
    RDB_CODE_MODULE = 6,
    RDB_CODE_MODULE_2 = 7,
    RDB_CODE_HASH_ZIPMAP = 9,
    RDB_CODE_LIST_ZIPLIST = 10,
    RDB_CODE_SET_INTSET = 11,
    RDB_CODE_ZSET_ZIPLIST = 12,
    RDB_CODE_HASH_ZIPLIST = 13,
    RDB_CODE_LIST_QUICKLIST = 14, /* ziplists */
    RDB_CODE_STREAM = 15,
    RDB_CODE_HASH_LISTPACK = 16,
    RDB_CODE_ZSET_LISTPACK = 17,
    RDB_CODE_LIST_QUICKLIST_2 = 18, /* listpacks, or single elements */
    RDB_CODE_STREAM_2 = 19,         /* with first and deleted IDs, entries added and read */
    RDB_CODE_SET_LISTPACK = 20,
    RDB_CODE_STREAM_3 = 21, /* with consumers' last activity */
    /* Hashes whose fields expire: not read as they stand (expiring.h). */
    RDB_CODE_HASH_EXPIRING_VALKEY = 22, /* Valkey 9, in files of its version 80 */
    RDB_CODE_HASH_EXPIRING = 24,
    RDB_CODE_HASH_EXPIRING_LISTPACK = 25,
};

#define RDB_VERSION 10u /* written */
/* Read, too; what later versions have that 11 had not has codes of its own. */
#define RDB_VERSION_MAX 12u
#define RDB_VALKEY_VERSION 80u
#define RDB_TEXT_MAX (1u << 30) /* of a text, expanded */

/* ------------------------------------------------------------ reading (read.c) */

enum rdb_result {
    RDB_OK,
    RDB_SHORT,   /* it goes on behind the bytes that are there */
    RDB_BAD,     /* malformed, or empty, which no value is */
    RDB_MODULE,  /* a module's value */
    RDB_UNKNOWN, /* a code that is not known */
};

struct rdb_in {
    const uint8_t *p, *end;
    enum rdb_result fault; /* sticks */
};

static inline struct rdb_in rdb_in(struct bytes s)
{
    return (struct rdb_in){.p = s.p, .end = s.n > 0 ? s.p + s.n : s.p};
}

/* Gives the items of the value at `in`, whose code was read already, and moves behind it. `item`
 * NULL: only checks all of it. Where something is wrong the items before it have been given:
 * whoever must not change anything for a malformed value reads it twice. *type is set before the
 * first. */
typedef void rdb_take(void *arg, const struct rdb_item *item);
enum rdb_result rdb_read(struct rdb_in *in, uint8_t code, enum rdb_type *type, rdb_take *item,
                         void *arg);

/* The type of a code; false: unknown, or a module's. */
bool rdb_code_type(uint8_t code, enum rdb_type *out);

/* The parts of which values and whole files are made. After a fault all give zeros. */
struct rdb_text {
    struct bytes text; /* in the input, in `room`, or `owned` */
    uint8_t *owned;
    char room[24];
};
bool rdb_read_text(struct rdb_in *in, struct rdb_text *out); /* true: free it */
void rdb_text_free(struct rdb_text *t);
uint64_t rdb_read_length(struct rdb_in *in);                /* codes of texts (c0 ..) are a fault */
const uint8_t *rdb_read_bytes(struct rdb_in *in, size_t n); /* NULL: not there */
uint64_t rdb_read_fixed(struct rdb_in *in, unsigned bytes); /* little-endian */
double rdb_read_double(struct rdb_in *in);
static inline bool rdb_bad(struct rdb_in *in, enum rdb_result fault)
{
    if (in->fault == RDB_OK)
        in->fault = fault;
    in->p = in->end;
    return false;
}

/* A DUMP's payload: checks version and checksum and returns code and value. */
bool rdb_payload_open(struct bytes payload, struct bytes *out);

/* ------------------------------------------------------------ writing (write.c) */

/* Up to which sizes values are packed; as in Redis' settings of these names. */
struct rdb_limits {
    size_t hash_max_listpack_entries, hash_max_listpack_value;
    size_t zset_max_listpack_entries, zset_max_listpack_value;
    size_t set_max_intset_entries;
};
#define RDB_LIMITS_DEFAULT ((struct rdb_limits){512, 64, 128, 64, 512})

/* One value: begin, its items in order, end. */
struct rdb_writer {
    struct buf *out; /* kept */
    enum rdb_type type;
    struct rdb_limits limits;
    uint64_t count, given; /* items */
    bool packed;           /* still: in `pack` */
    uint8_t code;
    struct listpack pack;
    struct buf numbers;        /* of a set that may be an intset: int64 */
    struct buf nodes;          /* list, stream: finished ones */
    uint64_t nnodes;           /* likewise */
    struct rdb_stream *stream; /* owned; while a stream is written */
};
/* `count`: of items to come; of a stream: of its entries. */
void rdb_write_begin(struct rdb_writer *w, struct buf *out, enum rdb_type type, uint64_t count,
                     const struct rdb_limits *limits);
void rdb_write_item(struct rdb_writer *w, const struct rdb_item *item);
/* Returns the value's code, which stands before it: only now it is known. */
uint8_t rdb_write_end(struct rdb_writer *w);

void rdb_put_length(struct buf *out, uint64_t n);
void rdb_put_text(struct buf *out, struct bytes text); /* as short as it gets */
void rdb_put_fixed(struct buf *out, uint64_t v, unsigned bytes);
void rdb_put_double(struct buf *out, double v);

/* Ends a DUMP's payload that begins at `from` of out->p with code and value. */
void rdb_payload_close(struct buf *out, size_t from);

/* ------------------------------------------------------------ inside */

void rdb_read_stream(struct rdb_in *in, uint8_t code, rdb_take *item,
                     void *arg);             /* read_stream.c */
void rdb_stream_begin(struct rdb_writer *w); /* write_stream.c */
void rdb_stream_item(struct rdb_writer *w, const struct rdb_item *item);
void rdb_stream_end(struct rdb_writer *w);

#endif
