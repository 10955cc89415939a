/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_BUF_H
#define MERIDIAN_BASE_BUF_H

#include "base/bytes.h"

/*
 * A growing run of bytes with a read end: bytes are appended at the tail and consumed from the
 * head. Zero-initialised is a valid empty buffer. Appending never fails; callers check their limits
 * before. Whoever happens to grow a buffer is not charged for it (base/mem.h), but where `charged`
 * says that it belongs to the one who uses it.
 */
struct buf {
    uint8_t *p;  /* owned */
    size_t head; /* first unread byte */
    size_t tail; /* one past the last byte */
    size_t cap;
    bool charged; /* kept by buf_deinit */
};

void buf_deinit(struct buf *b);            /* frees; leaves a valid empty buffer */
void buf_grow(struct buf *b, size_t room); /* makes room for at least that many more bytes */
void buf_consume(struct buf *b, size_t n); /* n <= buf_len */
/* For buffers that are used again and again: empties, and gives back what is larger than `keep`. */
void buf_reuse(struct buf *b, size_t keep);
void buf_putf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline size_t buf_len(const struct buf *b) { return b->tail - b->head; }

static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->p ? b->p + b->head : NULL, b->tail - b->head); /* NULL + 0 is undefined */
}

/* Returns where the next bytes go; at least `room` of them fit. Follow with buf_added(). */
static inline uint8_t *buf_reserve(struct buf *b, size_t room)
{
    if (b->cap - b->tail < room)
        buf_grow(b, room);
    return b->p + b->tail;
}

static inline void buf_added(struct buf *b, size_t n) { b->tail += n; }

static inline void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), p, n);
    b->tail += n;
}

static inline void buf_put_bytes(struct buf *b, struct bytes s) { buf_put(b, s.p, s.n); }

static inline void buf_put_str(struct buf *b, const char *s) { buf_put(b, s, strlen(s)); }

static inline void buf_put_u8(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = v;
    b->tail++;
}

static inline void buf_clear(struct buf *b) { b->head = b->tail = 0; }

#endif
