/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_FILE_H
#define MERIDIAN_RDB_FILE_H

#include "rdb/rdb.h"

/*
 * A whole snapshot file (dump.rdb), or the same bytes as a server sends them to its replicas
 * (PSYNC): pushed in any pieces, read record by record. Versions 1 to 12, and Valkey's 80. Values
 * are not decoded but only measured: a record gives their bytes as they stand, ready for a DUMP's
 * payload (rdb_record_payload) or rdb_read.
 *
 *   file      REDIS version: 4 digits | VALKEY version: 3 digits, record.., ff [crc64: 8]
 *   record    fa text text                  AUX: name and value
 *             fe length                     SELECTDB
 *             fb length length              RESIZEDB: keys, and those of them with an expiry
 *             f4 length length length       SLOT_INFO
 *             f5 text                       FUNCTION2: a library's code
 *             f6 text text length [text] text      FUNCTION, as the candidates of 7.0 wrote it:
 *                                           name, engine, 1 and its description or 0, code
 *             f7 length module-value        MODULE_AUX: the module's id
 *             [fd s:4 | fc ms:8] [f8 length] [f9 byte] code key:text value       a key
 *                expiry                 idle s     frequency
 *   module-value    (1 length | 2 length | 3 float:4 | 4 double:8 | 5 text).., 0
 *
 * The checksum is there from version 5 on and covers all before it; 0: none was made. What follows
 * it belongs to whoever pushed it (rdb_file_rest).
 *
 * Memory: a value is held whole, but large ones (more than part_bytes) of many elements come in
 * parts, each a value of its own; one text is never longer than text_max.
 */
#define RDB_FILE_VERSION_MAX 12u
#define RDB_PART_BYTES (8u << 20)
#define RDB_STREAM_BYTES (256u << 20)
#define RDB_VALUE_MAX (512u << 20)

struct rdb_file_limits {
    size_t part_bytes; /* 0: RDB_PART_BYTES */
    size_t
        stream_bytes; /* the same of streams, which are worse off in parts; 0: RDB_STREAM_BYTES */
    size_t value_max; /* of what cannot come in parts; 0: RDB_VALUE_MAX and what stands around it */
};

enum rdb_record_kind {
    RDB_RECORD_AUX,        /* name, body: its value */
    RDB_RECORD_DB,         /* n: what follows is in this database */
    RDB_RECORD_SIZE,       /* n keys, more: keys that expire. A hint, not to be trusted */
    RDB_RECORD_KEY,        /* name; code and value, whole or a part of it; deadline, idle, freq */
    RDB_RECORD_MODULE_KEY, /* name; module: whose value it is; not given, as only the module knows
                            */
    RDB_RECORD_FUNCTION,   /* body: a library's code */
    RDB_RECORD_MODULE_AUX, /* module: whose data was skipped */
};

/* All bytes are borrowed until the next call. */
struct rdb_record {
    enum rdb_record_kind kind;
    uint64_t at; /* where its first byte stands */
    struct bytes name;
    /* The value is head and body, one behind the other: a part has its own count before it. */
    struct bytes head, body;
    uint8_t code;     /* enum rdb_code */
    bool first, last; /* of its key's parts; both: the value is whole */
    uint64_t items;   /* of a part: elements in it (quicklists: nodes) */
    uint64_t live;    /* of a stream's last part: entries in all of it */
    int64_t deadline; /* Unix ms; -1: none */
    int64_t idle;     /* seconds; -1: not kept */
    int freq;         /* -1: not kept */
    uint64_t n, more; /* as told above */
    uint64_t db;      /* the key's */
    char module[12];
};

enum rdb_file_result {
    RDB_FILE_MORE,   /* push more bytes; at the end of the file: it is cut off */
    RDB_FILE_RECORD, /* in *out */
    RDB_FILE_END,    /* all is read and the checksum is right */
    RDB_FILE_BAD,    /* rdb_file_why tells; sticks */
};

#define RDB_SCAN_DEPTH 3u

struct rdb_file {
    struct rdb_file_limits limits;
    struct buf in; /* owned: from `at` on */
    uint64_t at;   /* offset of in's first byte in the file */
    size_t used;   /* bytes of `in` that are done with */
    uint64_t crc;  /* of all before `at` */
    unsigned version;
    bool begun, ended;
    uint64_t db;
    /* The key under way; reading = its value is being measured. */
    bool reading, parted, trailer;
    uint8_t code;
    uint64_t key_at;
    int64_t deadline, idle;
    int freq;
    struct buf key; /* owned */
    char module[12];
    size_t value;     /* offset in `in` where the value, or its present part, begins */
    size_t scanned;   /* offset in `in` up to which it is measured */
    const char *step; /* what comes next (file_scan.c) */
    struct {
        const char *step; /* first of what repeats */
        uint64_t left, n;
    } loops[RDB_SCAN_DEPTH];
    unsigned depth;
    bool looped;       /* the first loop is over */
    uint64_t cut_left; /* of the first loop's rounds, when the present part began */
    uint64_t live;
    struct buf head;             /* owned: a part's count */
    struct rdb_text text, other; /* of the record given last */
    struct buf joined;           /* owned: a library's code, put together */
    char why[256];
};

/* `limits` NULL: the usual ones. */
void rdb_file_init(struct rdb_file *f, const struct rdb_file_limits *limits);
void rdb_file_deinit(struct rdb_file *f);
/* Appends the next bytes (copied). Call it when rdb_file_next wants more, so that the memory held
 * stays bounded. */
void rdb_file_push(struct rdb_file *f, struct bytes data);
/* The next record. */
enum rdb_file_result rdb_file_next(struct rdb_file *f, struct rdb_record *out);
/* After RDB_FILE_BAD: what is wrong, at which byte, and what to do. */
const char *rdb_file_why(const struct rdb_file *f);
/* After RDB_FILE_MORE, when there are no more bytes: the same for a file that is cut off. */
const char *rdb_file_cut(struct rdb_file *f);
/* After RDB_FILE_END: what was pushed behind it; borrowed. */
struct bytes rdb_file_rest(const struct rdb_file *f);
/* How many bytes of the file are read. */
static inline uint64_t rdb_file_offset(const struct rdb_file *f) { return f->at + f->used; }

/* Appends a DUMP's payload of a record of kind RDB_RECORD_KEY: of a whole value, or of a part that
 * makes a value by itself (any but a stream's). It names the oldest version that knows the value's
 * code, 6 at least. */
void rdb_record_payload(const struct rdb_record *r, struct buf *out);

/* ------------------------------------------------------------ inside (file_scan.c) */

enum rdb_scan {
    RDB_SCAN_MORE,
    RDB_SCAN_PART, /* the measured bytes are a part; more come */
    RDB_SCAN_LAST, /* the value is measured to its end */
    RDB_SCAN_BAD,
};
/* Begins to measure a value of f->code at f->value. False: no such code. */
bool rdb_scan_begin(struct rdb_file *f);
enum rdb_scan rdb_scan_on(struct rdb_file *f);
bool rdb_file_bad(struct rdb_file *f, size_t offset, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Skips a module's value (after its id) from *at on. */
enum rdb_scan rdb_scan_module(struct rdb_file *f, size_t *at);

#endif
