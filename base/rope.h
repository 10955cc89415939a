/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_ROPE_H
#define MERIDIAN_BASE_ROPE_H

#include "base/bytes.h"

/*
 * A run of bytes in pieces, for what may be hundreds of megabytes long: growing moves at most one
 * piece, and it can be freed piece by piece. Zero-initialised is a valid empty one. Its memory
 * belongs to the account of whoever calls (base/mem.h).
 */
#define ROPE_PIECE ((size_t)64 << 10)

struct rope {
    uint8_t **at; /* owned, as the pieces are; all but the last one are full */
    size_t pieces, room, bytes;
};

void rope_put(struct rope *r, struct bytes s);
/* What stands at `offset` < r->bytes, up to the end of its piece: borrowed until the rope changes.
 */
struct bytes rope_at(const struct rope *r, size_t offset);
void rope_deinit(struct rope *r); /* leaves a valid empty one */
/* Frees about so many bytes, from the end on; false when none are left. Nobody may read it any
 * more. */
bool rope_free_step(struct rope *r, size_t bytes);
/* Bytes the allocator holds for it. */
size_t rope_memory(const struct rope *r);

#endif
