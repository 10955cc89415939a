/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/format.h"

#include "base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define FRAME_HEAD 56u

static void put_u32(struct buf *out, uint32_t v) { buf_put(out, &v, sizeof v); }

static void put_u64(struct buf *out, uint64_t v) { buf_put(out, &v, sizeof v); }

static uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* ------------------------------------------------------------ headers and names */

#define HEADER_1 64u /* of version 1 */

void header_put(struct buf *out, const struct file_header *h)
{
    size_t at = buf_len(out);
    buf_put_str(out, "MERIDIAN");
    put_u32(out, (uint32_t)h->kind);
    put_u32(out, FORMAT_VERSION);
    put_u32(out, h->db_uid);
    put_u32(out, h->shard);
    put_u32(out, h->partitions);
    put_u32(out, h->first);
    put_u32(out, h->count);
    put_u32(out, (uint32_t)h->policy);
    put_u64(out, h->number);
    put_u64(out, h->kind == FILE_KIND_SNAPSHOT ? h->from : h->before);
    put_u64(out, h->kind == FILE_KIND_SNAPSHOT ? 0 : h->before_end);
    put_u64(out, 0);
    put_u64(out, hash_64(bytes_of(out->p + out->head + at, FORMAT_HEADER - 8), 0));
}

static void header_fields(const uint8_t *p, struct file_header *out)
{
    *out = (struct file_header){.kind = (enum file_kind)get_u32(p + 8),
                                .version = get_u32(p + 12),
                                .db_uid = get_u32(p + 16),
                                .shard = get_u32(p + 20),
                                .partitions = get_u32(p + 24),
                                .first = get_u32(p + 28),
                                .count = get_u32(p + 32),
                                .policy = (enum sync_policy)get_u32(p + 36),
                                .number = get_u64(p + 40),
                                .before_end = FORMAT_END_UNKNOWN};
    if (out->kind == FILE_KIND_SNAPSHOT)
        out->from = get_u64(p + 48);
    else
        out->before = get_u64(p + 48);
}

enum header_result header_read(struct bytes in, struct file_header *out, const char **why)
{
    if (in.n < 16 || memcmp(in.p, "MERIDIAN", 8) != 0) {
        *why = "not a file of Meridian's, or its beginning is missing";
        return HEADER_BAD;
    }
    uint32_t kind = get_u32(in.p + 8), version = get_u32(in.p + 12);
    if (version == 0 || version > FORMAT_VERSION) {
        *why = "written by another version: start that version of Meridian, or a newer one";
        return HEADER_VERSION;
    }
    size_t size = version == 1 ? HEADER_1 : FORMAT_HEADER;
    if (in.n < size || get_u32(in.p + 36) > SYNC_NONE ||
        get_u64(in.p + size - 8) != hash_64(bytes_of(in.p, size - 8), 0) ||
        (kind != FILE_KIND_SEGMENT && kind != FILE_KIND_SNAPSHOT)) {
        *why = "its header is damaged";
        return HEADER_BAD;
    }
    header_fields(in.p, out);
    out->size = size;
    if (version > 1 && kind == FILE_KIND_SEGMENT)
        out->before_end = get_u64(in.p + 56);
    return HEADER_OK;
}

static const char *const prefixes[] = {
    [FILE_KIND_SEGMENT] = "log-", [FILE_KIND_SNAPSHOT] = "snapshot-"};

void file_name(char out[FILE_NAME_MAX], enum file_kind kind, uint64_t number)
{
    snprintf(out, FILE_NAME_MAX, "%s%016" PRIx64, prefixes[kind], number);
}

bool file_name_read(const char *name, enum file_kind *kind, uint64_t *number)
{
    for (enum file_kind k = FILE_KIND_SEGMENT; k <= FILE_KIND_SNAPSHOT; k++) {
        size_t n = strlen(prefixes[k]);
        if (strncmp(name, prefixes[k], n) != 0 || strlen(name) != n + 16)
            continue;
        *number = 0;
        for (const char *c = name + n; *c != 0; c++) {
            const char *digits = "0123456789abcdef", *at = strchr(digits, *c);
            if (at == NULL)
                return false;
            *number = *number << 4 | (uint64_t)(at - digits);
        }
        *kind = k;
        return true;
    }
    return false;
}

/* ------------------------------------------------------------ records */

size_t record_begin(struct buf *out, enum record_kind kind)
{
    size_t at = buf_len(out);
    put_u64(out, (uint64_t)kind << 56);
    put_u64(out, 0);
    return at;
}

/* Of the head's first word and the payload; the file and the place make the key. */
static uint64_t checksum_key(const uint8_t *head, uint64_t number, uint64_t offset)
{
    uint64_t key[3] = {number, offset, get_u64(head)};
    return hash_64(bytes_of(key, sizeof key), 0);
}

static uint64_t checksum(const uint8_t *head, size_t n, uint64_t number, uint64_t offset)
{
    return hash_64(bytes_of(head + RECORD_HEAD, n), checksum_key(head, number, offset));
}

void record_head(uint8_t head[RECORD_HEAD], enum record_kind kind, uint64_t n)
{
    uint64_t word = (uint64_t)kind << 56 | n;
    assert(n < RECORD_MAX);
    memset(head, 0, RECORD_HEAD);
    memcpy(head, &word, sizeof word);
}

struct hash_stream *record_sum_new(const uint8_t head[RECORD_HEAD], uint64_t number,
                                   uint64_t offset)
{
    return hash_stream_new(checksum_key(head, number, offset));
}

void record_end(struct buf *out, size_t at, uint64_t number, uint64_t offset)
{
    uint8_t *head = out->p + out->head + at;
    size_t n = buf_len(out) - at - RECORD_HEAD;
    uint64_t word = get_u64(head) | n, sum;
    assert(n < RECORD_MAX);
    memcpy(head, &word, sizeof word);
    sum = checksum(head, n, number, offset);
    memcpy(head + 8, &sum, sizeof sum);
}

enum record_result record_read(struct bytes in, uint64_t number, uint64_t offset,
                               struct record *out, uint64_t *need)
{
    *need = RECORD_HEAD;
    if (in.n < RECORD_HEAD)
        return RECORD_MORE;
    uint64_t word = get_u64(in.p), n = word & (UINT64_MAX >> 8), kind = word >> 56;
    if (n >= RECORD_MAX || kind == 0 || kind >= RECORD_KIND_MAX)
        return RECORD_BAD;
    *need = RECORD_HEAD + n;
    if (in.n < *need)
        return RECORD_MORE;
    if (get_u64(in.p + 8) != checksum(in.p, (size_t)n, number, offset))
        return RECORD_BAD;
    *out = (struct record){.kind = (enum record_kind)kind,
                           .payload = bytes_of(in.p + RECORD_HEAD, (size_t)n),
                           .size = RECORD_HEAD + (size_t)n};
    return RECORD_OK;
}

/* ------------------------------------------------------------ payloads */

void frame_put(struct buf *out, const struct frame *f)
{
    put_u32(out, f->partition);
    put_u32(out, f->flags);
    put_u64(out, f->prev);
    put_u64(out, f->first);
    put_u64(out, f->last);
    put_u64(out, (uint64_t)f->wall_ms);
    put_u32(out, f->ops_count);
    put_u32(out, f->deps_count);
    put_u64(out, f->ops.n);
    buf_put(out, f->deps, f->deps_count * sizeof(stamp_t));
    buf_put_bytes(out, f->ops);
}

/* n stamps in order of their actors. */
static bool stamps_read(const uint8_t *p, uint32_t n, struct context *out)
{
    stamp_t last = 0;
    context_clear(out);
    for (uint32_t i = 0; i < n; i++) {
        stamp_t s = get_u64(p + i * sizeof s);
        if (stamp_is_zero(s) || (i > 0 && stamp_actor(s) <= stamp_actor(last)))
            return false;
        context_raise(out, s);
        last = s;
    }
    return true;
}

bool frame_read(struct bytes payload, struct context *room, struct frame *out)
{
    if (payload.n < FRAME_HEAD)
        return false;
    const uint8_t *p = payload.p;
    uint32_t deps = get_u32(p + 44);
    uint64_t ops = get_u64(p + 48);
    if (deps > STAMP_ACTOR_MAX + 1 || ops > payload.n ||
        payload.n != FRAME_HEAD + deps * sizeof(stamp_t) + ops ||
        !stamps_read(p + FRAME_HEAD, deps, room))
        return false;
    *out = (struct frame){.partition = get_u32(p),
                          .flags = (uint8_t)get_u32(p + 4),
                          .prev = get_u64(p + 8),
                          .first = get_u64(p + 16),
                          .last = get_u64(p + 24),
                          .wall_ms = (int64_t)get_u64(p + 32),
                          .ops_count = get_u32(p + 40),
                          .deps = room->at,
                          .deps_count = deps};
    out->ops = bytes_of(p + FRAME_HEAD + deps * sizeof(stamp_t), (size_t)ops);
    return true;
}

void context_put(struct buf *out, uint32_t partition, const struct context *c)
{
    put_u32(out, partition);
    put_u32(out, c->n);
    buf_put(out, c->at, c->n * sizeof(stamp_t));
}

bool context_read(struct bytes payload, uint32_t *partition, struct context *out,
                  struct bytes *rest)
{
    if (payload.n < 8)
        return false;
    *partition = get_u32(payload.p);
    uint32_t n = get_u32(payload.p + 4);
    if (n > STAMP_ACTOR_MAX + 1 || payload.n - 8 < n * sizeof(stamp_t))
        return false;
    if (!stamps_read(payload.p + 8, n, out))
        return false;
    *rest = bytes_of(payload.p + 8 + n * sizeof(stamp_t), payload.n - 8 - n * sizeof(stamp_t));
    return true;
}
