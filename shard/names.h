/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_NAMES_H
#define MERIDIAN_SHARD_NAMES_H

#include "base/buf.h"

/*
 * Copies of names, one after the other. A command that changes a collection first collects what it
 * will change: the cells it read move with the first operation.
 */
struct names {
    struct buf bytes;
    size_t n;
};

static inline void names_deinit(struct names *s) { buf_deinit(&s->bytes); }

static inline void names_add(struct names *s, struct bytes name)
{
    buf_put(&s->bytes, &name.n, sizeof name.n);
    buf_put_bytes(&s->bytes, name);
    s->n++;
}

/* Takes the first name out; false when none is left. The name is valid until the next names_add. */
static inline bool names_take(struct names *s, struct bytes *out)
{
    if (s->n == 0)
        return false;
    size_t n;
    memcpy(&n, s->bytes.p + s->bytes.head, sizeof n);
    *out = bytes_of(s->bytes.p + s->bytes.head + sizeof n, n);
    buf_consume(&s->bytes, sizeof n + n);
    s->n--;
    return true;
}

#endif
