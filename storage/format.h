/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_FORMAT_H
#define MERIDIAN_STORAGE_FORMAT_H

#include "shard/log.h"

/*
 * The bytes of log segments and snapshots, version 3. Numbers are little-endian; a checksum is
 * XXH3. Older versions are read, too: 2 knew no states of keys in parts (crdt/state.c), 1 also had
 * no BEGIN records.
 *
 * A shard's folder holds
 *   log-<number, 16 hex digits>        segments of the log, in order of their numbers
 *   snapshot-<number, 16 hex digits>   a snapshot; its number is that of the first segment it needs
 *   *.new                              a snapshot being written: without meaning
 *
 * Either begins with a header of 80 bytes:
 *   0  "MERIDIAN"
 *   8  u32 kind: 1 segment, 2 snapshot
 *  12  u32 version: 3
 *  16  u32 uid of the database, u32 shard
 *  24  u32 partitions of the database, u32 first one held, u32 how many are held
 *  36  u32 what was promised when it was begun: enum sync_policy
 *  40  u64 number of the file
 *  48  u64 snapshot: offset in segment `number` from which the log goes on; segment: number of the
 *      segment before it, 0 none (numbers may be left out; a segment must not be missing)
 *  56  u64 segment: where the one before it ended, so that one that has become shorter is noticed;
 *      snapshot: 0
 *  64  u64 0
 *  72  u64 checksum of the 72 bytes before
 * Version 1 has 64 bytes: behind the first 56 the checksum of them. It is read, never written.
 *
 * Behind it records, one after the other:
 *   0  u56 length of the payload, u8 kind
 *   8  u64 checksum of kind, length and payload, keyed with the file's number and the record's
 *      offset, so that an old record in a place that is written again is none
 *  16  payload
 *
 * Records of a segment: BEGIN (always the first: what the log before this segment covers, partition
 * by partition, so that a reader knows where to start), FRAME, STATE (a partition joined with
 * another region's), SYNCED (everything before this offset was durable when this was written),
 * POLICY (from here on another one), CLOSED (orderly end: nothing follows). Records of a snapshot:
 * for each partition PARTITION and any number of KEYS, at last WHOLE. A KEYS record holds whole
 * states of keys, or a piece of one: the next KEYS records have the rest of it.
 */
#define FORMAT_VERSION 3u
#define FORMAT_HEADER 80u
#define FORMAT_END_UNKNOWN UINT64_MAX
#define RECORD_HEAD 16u
#define RECORD_MAX (UINT64_C(1) << 40)

enum file_kind { FILE_KIND_SEGMENT = 1, FILE_KIND_SNAPSHOT = 2 };

/* When bytes become durable. */
enum sync_policy {
    SYNC_ALWAYS, /* every append is synced; replies wait for it */
    SYNC_SECOND, /* once a second */
    SYNC_NONE,   /* when the system likes: nothing is promised */
};

/* Whose request: file_req.tag. */
enum { STORAGE_OPENING = 1, STORAGE_JOURNAL, STORAGE_SNAPSHOT, STORAGE_TRIM, STORAGE_ARCHIVE };
#define STORAGE_TAG_BITS 8u /* above them: the archive's number of a request */

struct file_header {
    enum file_kind kind;
    uint32_t db_uid, shard, partitions, first, count;
    enum sync_policy policy;
    uint64_t number;
    uint64_t from;       /* of a snapshot */
    uint64_t before;     /* of a segment */
    uint64_t before_end; /* of a segment; FORMAT_END_UNKNOWN: version 1 did not say */
    uint32_t version;    /* answer of header_read */
    size_t size;         /* answer: of the header */
};

enum record_kind {
    RECORD_FRAME = 1,
    RECORD_STATE,     /* u32 partition, context, then states as transfer_next writes them */
    RECORD_SYNCED,    /* u64 offset */
    RECORD_CLOSED,    /* no payload */
    RECORD_PARTITION, /* u32 partition, context */
    RECORD_KEYS,      /* states as transfer_next writes them */
    RECORD_WHOLE,     /* u64 how many records came before */
    RECORD_POLICY,    /* u8 enum sync_policy */
    RECORD_BEGIN,     /* (u32 partition, context)... of all that are held */
    RECORD_KIND_MAX
};

struct record {
    enum record_kind kind;
    struct bytes payload;
    size_t size; /* with its head */
};

void header_put(struct buf *out, const struct file_header *h);
enum header_result {
    HEADER_OK,
    HEADER_BAD,     /* not one of ours, not whole, or damaged */
    HEADER_VERSION, /* a version that is not known here: the file may be as it should be */
};
/* `in`: the file's first FORMAT_HEADER bytes, fewer when it has fewer. Not OK: *why gets a
 * sentence. */
enum header_result header_read(struct bytes in, struct file_header *out, const char **why);

/* Begins a record in `out`; its payload is appended behind and record_end called with what this
 * returned. `number` is the file's, `offset` the record's in the file. */
size_t record_begin(struct buf *out, enum record_kind kind);
void record_end(struct buf *out, size_t at, uint64_t number, uint64_t offset);

/* The same for a record whose payload comes in pieces: its head, and the checksum of all pieces,
 * which goes into the head. */
#define RECORD_SUM_AT 8u
void record_head(uint8_t head[RECORD_HEAD], enum record_kind kind, uint64_t n);
struct hash_stream *record_sum_new(const uint8_t head[RECORD_HEAD], uint64_t number,
                                   uint64_t offset);

enum record_result {
    RECORD_OK,
    RECORD_MORE, /* what is there may be the beginning of one: `need` bytes are wanted in all */
    RECORD_BAD
};
enum record_result record_read(struct bytes in, uint64_t number, uint64_t offset,
                               struct record *out, uint64_t *need);

void frame_put(struct buf *out, const struct frame *f);
/* Borrows the payload for the operations and `room`, which is replaced, for the context of the
 * other actors. False: malformed. */
bool frame_read(struct bytes payload, struct context *room, struct frame *out);
void context_put(struct buf *out, uint32_t partition, const struct context *c);
/* Reads what context_put wrote; *rest gets what is behind. `out` is replaced. */
bool context_read(struct bytes payload, uint32_t *partition, struct context *out,
                  struct bytes *rest);

/* "log-00000000000000a3" and back. */
#define FILE_NAME_MAX 32u
void file_name(char out[FILE_NAME_MAX], enum file_kind kind, uint64_t number);
/* False: a file of another name. */
bool file_name_read(const char *name, enum file_kind *kind, uint64_t *number);

#endif
