/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/hll_text.h"

#include "shard/hll_estimate.h"

#define HEAD_BYTES 16u
#define ENCODING_AT 4u
#define CACHE_AT 8u
#define OUT_OF_DATE (UINT64_C(1) << 63)
#define RANK_BITS 6u
#define DENSE_BYTES (HLL_REGISTERS * RANK_BITS / 8)
#define SPARSE_RANK_MAX 32u
#define SPARSE_RUN_MAX 4u
#define SHORT_ZEROS_MAX 64u

static void put_head(struct buf *out, bool dense, const uint8_t *counted)
{
    uint8_t head[HEAD_BYTES] = "HYLL";
    head[ENCODING_AT] = dense ? 0 : 1;
    uint64_t n = counted ? hll_estimate(counted) : OUT_OF_DATE;
    for (unsigned i = 0; i < 8; i++)
        head[CACHE_AT + i] = (uint8_t)(n >> 8 * i);
    buf_put(out, head, sizeof head);
}

static void put_dense(struct buf *out, const uint8_t ranks[HLL_REGISTERS])
{
    uint8_t *p = buf_reserve(out, DENSE_BYTES);
    for (unsigned i = 0; i < HLL_REGISTERS; i += 4, p += 3) { /* four ranks in three bytes */
        uint32_t four = (uint32_t)(ranks[i] & 63u) | (ranks[i + 1] & 63u) << 6 |
                        (ranks[i + 2] & 63u) << 12 | (ranks[i + 3] & 63u) << 18;
        p[0] = (uint8_t)four;
        p[1] = (uint8_t)(four >> 8);
        p[2] = (uint8_t)(four >> 16);
    }
    buf_added(out, DENSE_BYTES);
}

static unsigned run_at(const uint8_t ranks[HLL_REGISTERS], unsigned i, unsigned max)
{
    unsigned n = 1;
    while (n < max && i + n < HLL_REGISTERS && ranks[i + n] == ranks[i])
        n++;
    return n;
}

/* False where a rank does not fit, or it gets too long. */
static bool put_sparse(struct buf *out, const uint8_t ranks[HLL_REGISTERS])
{
    uint8_t *start = buf_reserve(out, HLL_SPARSE_MAX + 2), *p = start;
    for (unsigned i = 0, n; i < HLL_REGISTERS; i += n) {
        if (p - start + HEAD_BYTES > HLL_SPARSE_MAX || ranks[i] > SPARSE_RANK_MAX)
            return false;
        n = run_at(ranks, i, ranks[i] == 0 ? HLL_REGISTERS : SPARSE_RUN_MAX);
        if (ranks[i] > 0) {
            *p++ = (uint8_t)(0x80u | (ranks[i] - 1u) << 2 | (n - 1));
        } else if (n <= SHORT_ZEROS_MAX) {
            *p++ = (uint8_t)(n - 1);
        } else {
            *p++ = (uint8_t)(0x40u | (n - 1) >> 8);
            *p++ = (uint8_t)(n - 1);
        }
    }
    buf_added(out, (size_t)(p - start));
    return buf_len(out) <= HLL_SPARSE_MAX;
}

void hll_text_put(struct buf *out, const uint8_t ranks[HLL_REGISTERS], bool dense, bool counted)
{
    struct buf sparse = {0};
    dense = dense || !put_sparse(&sparse, ranks);
    put_head(out, dense, counted ? ranks : NULL);
    if (dense)
        put_dense(out, ranks);
    else
        buf_put_bytes(out, buf_bytes(&sparse));
    buf_deinit(&sparse);
}

/* ------------------------------------------------------------ reading */

/* One run of a sparse text. */
struct run {
    unsigned bytes, rank, n;
    char name; /* as PFDEBUG DECODE calls it */
};

static struct run read_run(struct bytes s)
{
    if (s.p[0] & 0x80u)
        return (struct run){
            .bytes = 1, .rank = (s.p[0] >> 2 & 31u) + 1, .n = (s.p[0] & 3u) + 1, .name = 'v'};
    if (!(s.p[0] & 0x40u))
        return (struct run){.bytes = 1, .n = s.p[0] + 1u, .name = 'z'};
    unsigned low = s.n > 1 ? s.p[1] : 0;
    return (struct run){.bytes = 2, .n = ((s.p[0] & 63u) << 8 | low) + 1, .name = 'Z'};
}

static struct bytes behind(struct bytes s, size_t n) { return bytes_of(s.p + n, s.n - n); }

static bool read_sparse(struct bytes s, uint8_t ranks[HLL_REGISTERS])
{
    unsigned at = 0;
    while (s.n > 0) {
        struct run r = read_run(s);
        if (r.bytes > s.n || r.n > HLL_REGISTERS - at)
            return false;
        memset(ranks + at, (int)r.rank, r.n);
        at += r.n;
        s = behind(s, r.bytes);
    }
    return at == HLL_REGISTERS;
}

static void read_dense(const uint8_t *p, uint8_t ranks[HLL_REGISTERS])
{
    for (unsigned i = 0; i < HLL_REGISTERS; i += 4, p += 3) {
        uint32_t four = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
        for (unsigned j = 0; j < 4; j++)
            ranks[i + j] = four >> RANK_BITS * j & 63u;
    }
}

bool hll_text_is_dense(struct bytes text) { return text.p[ENCODING_AT] == 0; }

enum hll_read hll_text_read(struct bytes text, uint8_t ranks[HLL_REGISTERS])
{
    if (text.n < HEAD_BYTES || memcmp(text.p, "HYLL", 4) != 0 || text.p[ENCODING_AT] > 1)
        return HLL_NO_TEXT;
    struct bytes body = behind(text, HEAD_BYTES);
    if (!hll_text_is_dense(text))
        return read_sparse(body, ranks) ? HLL_READ : HLL_CORRUPT;
    if (body.n != DENSE_BYTES)
        return HLL_NO_TEXT;
    read_dense(body.p, ranks);
    return HLL_READ;
}

void hll_text_decode(struct buf *out, struct bytes text)
{
    for (struct bytes s = behind(text, HEAD_BYTES); s.n > 0;) {
        struct run r = read_run(s);
        const char *blank = s.n < text.n - HEAD_BYTES ? " " : "";
        if (r.rank > 0)
            buf_putf(out, "%s%c:%u,%u", blank, r.name, r.rank, r.n);
        else
            buf_putf(out, "%s%c:%u", blank, r.name, r.n);
        s = behind(s, r.bytes);
    }
}
