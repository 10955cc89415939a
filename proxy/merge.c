/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/hash.h"
#include "base/num.h"
#include "proxy/route.h"

#include <stdio.h>

/* How the replies of several shards become one. The first error among them is the reply. */

static bool merge_error(struct answer *a, struct reply *r)
{
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (part.n > 0 && part.p[0] == '-') {
            buf_put_bytes(r->out, part);
            return true;
        }
    }
    return false;
}

int64_t answer_sum(const struct answer *a)
{
    int64_t sum = 0, v = 0;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (part.n > 3 && num_parse_i64(bytes_of(part.p + 1, part.n - 3), &v))
            sum += v;
    }
    return sum;
}

static void merge_sum(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    if (!merge_error(a, r))
        reply_int(r, answer_sum(a));
}

static void merge_ok(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    if (!merge_error(a, r))
        reply_ok(r);
}

static void merge_concat(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    if (merge_error(a, r))
        return;
    uint8_t type = '*';
    size_t used = 0, n = 0;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        int64_t one = resp_header(buf_bytes(&a->parts[i]), &type, &used);
        n += one > 0 ? (size_t)one : 0;
    }
    buf_putf(r->out, "%c%zu\r\n", type, n);
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (resp_header(part, &type, &used) > 0 && reply_fits(r, part.n - used))
            buf_put(r->out, part.p + used, part.n - used);
    }
}

/* MGET: each key's element is the next one of its shard's reply. */
static void merge_by_key(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    if (merge_error(a, r))
        return;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        uint8_t type = 0;
        size_t used = 0;
        if (resp_header(buf_bytes(&a->parts[i]), &type, &used) >= 0)
            buf_consume(&a->parts[i], used);
    }
    reply_array(r, a->order_count);
    for (uint32_t k = 0; k < a->order_count; k++) {
        struct buf *part = &a->parts[a->order[k]];
        size_t n = resp_value_len(buf_bytes(part));
        if (reply_fits(r, n))
            buf_put(r->out, part->p + part->head, n);
        buf_consume(part, n);
    }
}

static bool is_nil(struct bytes s)
{
    return s.n == 0 || s.p[0] == '_' || (s.n > 1 && s.p[0] == '$' && s.p[1] == '-');
}

/* RANDOMKEY: of those who have one, beginning anywhere. */
static void merge_any(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    if (merge_error(a, r))
        return;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[(a->aux + i) % a->parts_count]);
        if (!is_nil(part)) {
            buf_put_bytes(r->out, part);
            return;
        }
    }
    reply_nil(r);
}

#define DIGEST_HEX 32u /* of "+", these digits, and eight more that follow from them */

/* DEBUG DIGEST: sums, so that it does not matter how many shards there are. */
static void merge_digest(struct front *f, struct answer *a, struct reply *r)
{
    struct hash128 sum = {0};
    char text[64];
    (void)f;
    if (merge_error(a, r))
        return;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        struct hash128 one = {0};
        for (size_t k = 1; k <= DIGEST_HEX && k < part.n; k++) {
            uint64_t digit = part.p[k] <= '9' ? part.p[k] - '0' : part.p[k] - 'a' + 10;
            one.hi = one.hi << 4 | one.lo >> 60;
            one.lo = one.lo << 4 | digit;
        }
        sum = hash128_add(sum, one);
    }
    snprintf(text, sizeof text, "%016llx%016llx%08x", (unsigned long long)sum.hi,
             (unsigned long long)sum.lo, (unsigned)(sum.lo >> 32 ^ sum.hi));
    reply_simple(r, text);
}

/* One shard's [cursor, keys]: where it is done, go on with the next shard. */
static void merge_scan(struct front *f, struct answer *a, struct reply *r)
{
    static const char done[] = "*2\r\n$1\r\n0\r\n";
    struct bytes part = buf_bytes(&a->out);
    size_t n = sizeof done - 1;
    if (a->shard + 1 == f->shards_count || part.n < n || memcmp(part.p, done, n) != 0) {
        buf_put_bytes(r->out, part);
        return;
    }
    uint64_t next = (uint64_t)f->shards[a->shard + 1].first_partition << SCAN_PARTITION_SHIFT;
    reply_array(r, 2);
    reply_bulk_i64(r, (int64_t)next);
    buf_put(r->out, part.p + n, part.n - n);
}

answer_finish *merge_of(enum command_merge merge)
{
    switch (merge) {
    case MERGE_SUM:
        return merge_sum;
    case MERGE_CONCAT:
        return merge_concat;
    case MERGE_BY_KEY:
        return merge_by_key;
    case MERGE_SCAN:
        return merge_scan;
    case MERGE_DIGEST:
        return merge_digest;
    case MERGE_ANY:
    case MERGE_NONE:
        return merge_any;
    case MERGE_OK:
        break;
    }
    return merge_ok;
}
