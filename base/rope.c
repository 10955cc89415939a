/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/rope.h"

#include "base/mem.h"

#include <assert.h>

#define PIECE_FIRST ((size_t)256) /* the last piece doubles from here on: most ropes are short */

static size_t in_last(const struct rope *r)
{
    return r->pieces == 0 ? ROPE_PIECE : r->bytes - (r->pieces - 1) * ROPE_PIECE;
}

/* What a piece of `n` bytes has room for. */
static size_t piece_room(size_t n)
{
    size_t room = PIECE_FIRST;
    while (room < n)
        room *= 2;
    return room;
}

static void add_piece(struct rope *r)
{
    if (r->pieces == r->room) {
        r->room = r->room > 0 ? 2 * r->room : 4;
        r->at = mem_realloc(r->at, r->room * sizeof *r->at);
    }
    r->at[r->pieces++] = NULL;
}

void rope_put(struct rope *r, struct bytes s)
{
    while (s.n > 0) {
        size_t used = in_last(r);
        if (used == ROPE_PIECE) {
            add_piece(r);
            used = 0;
        }
        uint8_t **last = &r->at[r->pieces - 1];
        size_t n = s.n < ROPE_PIECE - used ? s.n : ROPE_PIECE - used;
        if (used == 0 || piece_room(used + n) != piece_room(used))
            *last = mem_realloc(*last, piece_room(used + n));
        memcpy(*last + used, s.p, n);
        r->bytes += n;
        s = bytes_of(s.p + n, s.n - n);
    }
}

struct bytes rope_at(const struct rope *r, size_t offset)
{
    assert(offset < r->bytes);
    size_t piece = offset / ROPE_PIECE, from = offset % ROPE_PIECE;
    size_t end = piece + 1 < r->pieces ? ROPE_PIECE : in_last(r);
    return bytes_of(r->at[piece] + from, end - from);
}

bool rope_free_step(struct rope *r, size_t bytes)
{
    for (size_t freed = 0; r->pieces > 0 && freed < bytes; freed += ROPE_PIECE)
        mem_free(r->at[--r->pieces]);
    if (r->pieces > 0) {
        r->bytes = r->pieces * ROPE_PIECE;
        return true;
    }
    mem_free(r->at);
    *r = (struct rope){.pieces = 0};
    return false;
}

void rope_deinit(struct rope *r) { (void)rope_free_step(r, SIZE_MAX); }

size_t rope_memory(const struct rope *r)
{
    size_t sum = r->at != NULL ? mem_block_size(r->at) : 0;
    for (size_t i = 0; i < r->pieces; i++)
        sum += mem_block_size(r->at[i]);
    return sum;
}
