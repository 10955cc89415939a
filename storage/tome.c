/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/tome.h"

#include "base/hash.h"
#include "base/mem.h"

struct tome {
    struct buf head; /* of the record, and what of the payload stands before the state */
    struct hash_stream *sum;
    size_t summed;  /* of the state */
    size_t written; /* of the record */
};

static void put_context(struct buf *out, const struct frame *f)
{
    union {
        const stamp_t *in;
        stamp_t *out;
    } borrowed = {.in = f->deps};
    struct context theirs = {.at = borrowed.out, .n = (uint16_t)f->deps_count};
    context_put(out, f->partition, &theirs);
}

struct tome *tome_new(const struct log_entry *state, uint64_t number, uint64_t offset)
{
    uint8_t head[RECORD_HEAD] = {0};
    struct tome *t = mem_zalloc(sizeof *t);
    buf_put(&t->head, head, sizeof head);
    put_context(&t->head, &state->frame);
    record_head(t->head.p, RECORD_STATE, buf_len(&t->head) - RECORD_HEAD + state->state->bytes);
    t->sum = record_sum_new(t->head.p, number, offset);
    hash_stream_add(t->sum, bytes_of(t->head.p + RECORD_HEAD, buf_len(&t->head) - RECORD_HEAD));
    return t;
}

void tome_free(struct tome *t)
{
    if (t == NULL)
        return;
    buf_deinit(&t->head);
    hash_stream_free(t->sum);
    mem_free(t);
}

bool tome_sum(struct tome *t, const struct log_entry *state, size_t bytes)
{
    size_t n = 0;
    while (t->summed < state->state->bytes && n < bytes) {
        struct bytes piece = rope_at(state->state, t->summed);
        hash_stream_add(t->sum, piece);
        t->summed += piece.n;
        n += piece.n;
    }
    if (t->summed < state->state->bytes)
        return false;
    uint64_t sum = hash_stream_64(t->sum);
    memcpy(t->head.p + RECORD_SUM_AT, &sum, sizeof sum);
    return true;
}

bool tome_put(const struct tome *t, const struct log_entry *state, struct buf *out, size_t bytes)
{
    size_t head = buf_len(&t->head), at = t->written, end = at + bytes;
    size_t all = head + state->state->bytes;
    if (end > all)
        end = all;
    buf_reserve(out, end - at);
    while (at < end) {
        struct bytes piece =
            at < head ? bytes_of(t->head.p + at, head - at) : rope_at(state->state, at - head);
        size_t n = piece.n < end - at ? piece.n : end - at;
        buf_put(out, piece.p, n);
        at += n;
    }
    return at == all;
}

void tome_written(struct tome *t, size_t bytes) { t->written += bytes; }

bool tome_is_cut(const struct tome *t) { return t != NULL && t->written > 0; }
