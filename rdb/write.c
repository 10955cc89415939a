/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/rdb.h"

#include "base/mem.h"
#include "rdb/crc64.h"
#include "rdb/lzf.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* ------------------------------------------------------------ parts */

void rdb_put_fixed(struct buf *out, uint64_t v, unsigned bytes)
{
    uint8_t *p = buf_reserve(out, bytes);
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    buf_added(out, bytes);
}

void rdb_put_double(struct buf *out, double v)
{
    uint64_t bits;
    store_double(&bits, v);
    rdb_put_fixed(out, bits, 8);
}

void rdb_put_length(struct buf *out, uint64_t n)
{
    unsigned more = n < 1u << 6 ? 0 : n < 1u << 14 ? 1 : n <= UINT32_MAX ? 4 : 8;
    uint8_t head = (uint8_t)(more == 0   ? n
                             : more == 1 ? 0x40u | n >> 8
                             : more == 4 ? 0x80u
                                         : 0x81u);
    buf_put_u8(out, head);
    while (more-- > 0)
        buf_put_u8(out, (uint8_t)(n >> (8 * more)));
}

#define NUMBER_TEXT_MAX 11u /* -2147483648 */
#define PACK_MIN 21u        /* shorter texts are not worth compressing, says Redis */

static bool put_number(struct buf *out, struct bytes text)
{
    int64_t v;
    if (text.n > NUMBER_TEXT_MAX || !num_parse_i64(text, &v) || v < INT32_MIN || v > INT32_MAX)
        return false;
    unsigned code = v >= INT8_MIN && v <= INT8_MAX ? 0 : v >= INT16_MIN && v <= INT16_MAX ? 1 : 2;
    buf_put_u8(out, (uint8_t)(0xc0u | code));
    rdb_put_fixed(out, (uint64_t)v, 1u << code);
    return true;
}

static bool put_packed(struct buf *out, struct bytes text)
{
    if (text.n < PACK_MIN)
        return false;
    size_t room = text.n - 4; /* what the longer head takes must be saved at least */
    uint8_t *packed = mem_alloc(room);
    size_t n = lzf_compress(text, packed, room);
    if (n > 0) {
        buf_put_u8(out, 0xc3);
        rdb_put_length(out, n);
        rdb_put_length(out, text.n);
        buf_put(out, packed, n);
    }
    mem_free(packed);
    return n > 0;
}

void rdb_put_text(struct buf *out, struct bytes text)
{
    if (put_number(out, text) || put_packed(out, text))
        return;
    rdb_put_length(out, text.n);
    buf_put_bytes(out, text);
}

/* ------------------------------------------------------------ values */

/* As quicklists have it by default: nodes of 8 KiB, a larger element in a node of its own. */
#define NODE_BYTES 8192u
#define NODE_PLAIN 1u
#define NODE_PACKED 2u
#define ELEMENT_PACKED_MAX (1u << 30)

static bool may_pack(const struct rdb_writer *w)
{
    switch (w->type) {
    case RDB_SET:
        return w->count <= w->limits.set_max_intset_entries;
    case RDB_ZSET:
        return w->count <= w->limits.zset_max_listpack_entries;
    case RDB_HASH:
        return w->count <= w->limits.hash_max_listpack_entries;
    case RDB_LIST:
        return true;
    case RDB_STRING:
    case RDB_STREAM:
        break;
    }
    return false;
}

static uint8_t plain_code(enum rdb_type type)
{
    switch (type) {
    case RDB_LIST:
        return RDB_CODE_LIST_QUICKLIST_2;
    case RDB_SET:
        return RDB_CODE_SET;
    case RDB_ZSET:
        return RDB_CODE_ZSET_2;
    case RDB_HASH:
        return RDB_CODE_HASH;
    case RDB_STREAM:
        return RDB_CODE_STREAM_2;
    case RDB_STRING:
        break;
    }
    return RDB_CODE_STRING;
}

void rdb_write_begin(struct rdb_writer *w, struct buf *out, enum rdb_type type, uint64_t count,
                     const struct rdb_limits *limits)
{
    *w = (struct rdb_writer){
        .out = out, .type = type, .limits = *limits, .count = count, .code = plain_code(type)};
    w->packed = may_pack(w);
    if (type == RDB_STREAM)
        rdb_stream_begin(w);
    else if (!w->packed && type != RDB_STRING)
        rdb_put_length(out, count);
}

static void put_plain(struct rdb_writer *w, const struct rdb_item *item)
{
    rdb_put_text(w->out, item->name);
    if (w->type == RDB_HASH)
        rdb_put_text(w->out, item->value);
    else if (w->type == RDB_ZSET)
        rdb_put_double(w->out, item->score);
}

/* What was packed so far goes out as it is written otherwise. */
static void spill_numbers(struct rdb_writer *w)
{
    struct bytes all = buf_bytes(&w->numbers);
    char text[NUM_TEXT_MAX];
    for (size_t i = 0; i < all.n; i += sizeof(int64_t)) {
        int64_t v = (int64_t)load_u64(all.p + i);
        rdb_put_text(w->out, bytes_of(text, num_format_i64(text, v)));
    }
    buf_clear(&w->numbers);
}

static void spill_pairs(struct rdb_writer *w)
{
    struct buf whole = {0};
    struct pack p;
    struct pack_item a, b;
    size_t n;
    listpack_finish(&w->pack, &whole);
    bool ok = pack_open(&p, PACK_LISTPACK, buf_bytes(&whole), &n);
    assert(ok && n % 2 == 0);
    while (pack_next(&p, &a) && pack_next(&p, &b)) {
        struct rdb_item item = {.name = a.text, .value = b.text};
        if (b.is_number)
            item.score = (double)b.number;
        else if (w->type == RDB_ZSET)
            num_parse_double(b.text, &item.score);
        put_plain(w, &item);
    }
    buf_deinit(&whole);
}

static void spill(struct rdb_writer *w)
{
    w->packed = false;
    rdb_put_length(w->out, w->count);
    if (w->type == RDB_SET)
        spill_numbers(w);
    else
        spill_pairs(w);
}

/* A number as Redis packs it: an integer where it is one, else its shortest text. Minus zero is
 * none. */
static void pack_score(struct listpack *l, double score)
{
    char text[NUM_TEXT_MAX];
    if (score > -9007199254740992.0 && score < 9007199254740992.0 &&
        score == (double)(int64_t)score && !(score == 0 && signbit(score)))
        listpack_add_number(l, (int64_t)score);
    else
        listpack_add(l, bytes_of(text, num_format_double(text, score)));
}

/* False: it does not fit what is packed. */
static bool put_into_pack(struct rdb_writer *w, const struct rdb_item *item)
{
    int64_t v;
    switch (w->type) {
    case RDB_SET:
        if (!num_parse_i64(item->name, &v))
            return false;
        buf_put(&w->numbers, &v, sizeof v);
        return true;
    case RDB_HASH:
        if (item->name.n > w->limits.hash_max_listpack_value ||
            item->value.n > w->limits.hash_max_listpack_value)
            return false;
        listpack_add(&w->pack, item->name);
        listpack_add(&w->pack, item->value);
        return true;
    case RDB_ZSET:
        if (item->name.n > w->limits.zset_max_listpack_value)
            return false;
        listpack_add(&w->pack, item->name);
        pack_score(&w->pack, item->score);
        return true;
    case RDB_LIST:
    case RDB_STRING:
    case RDB_STREAM:
        break;
    }
    return false;
}

/* ------------------------------------------------------------ lists */

static void end_node(struct rdb_writer *w)
{
    struct buf whole = {0};
    if (w->pack.count == 0)
        return;
    listpack_finish(&w->pack, &whole);
    rdb_put_length(&w->nodes, NODE_PACKED);
    rdb_put_text(&w->nodes, buf_bytes(&whole));
    w->nnodes++;
    buf_deinit(&whole);
}

static void put_list(struct rdb_writer *w, struct bytes text)
{
    if (w->pack.count > 0 && listpack_size(&w->pack) + text.n + 10 > NODE_BYTES)
        end_node(w);
    if (text.n >= ELEMENT_PACKED_MAX) {
        rdb_put_length(&w->nodes, NODE_PLAIN);
        rdb_put_length(&w->nodes, text.n);
        buf_put_bytes(&w->nodes, text);
        w->nnodes++;
        return;
    }
    listpack_add(&w->pack, text);
}

static void end_list(struct rdb_writer *w)
{
    end_node(w);
    rdb_put_length(w->out, w->nnodes);
    buf_put_bytes(w->out, buf_bytes(&w->nodes));
}

/* ------------------------------------------------------------ ends */

static int number_cmp(const void *a, const void *b)
{
    int64_t x = (int64_t)load_u64(a), y = (int64_t)load_u64(b);
    return x < y ? -1 : x > y;
}

static void end_intset(struct rdb_writer *w)
{
    struct buf whole = {0};
    struct bytes all = buf_bytes(&w->numbers);
    size_t n = all.n / sizeof(int64_t);
    qsort(w->numbers.p, n, sizeof(int64_t), number_cmp);
    size_t kept = 1; /* what was read from elsewhere may hold one twice */
    for (size_t i = 1; i < n; i++)
        if (load_u64(all.p + 8 * i) != load_u64(all.p + 8 * (kept - 1)))
            store_u64(w->numbers.p + 8 * kept++, load_u64(all.p + 8 * i));
    n = kept;
    int64_t least = (int64_t)load_u64(all.p), most = (int64_t)load_u64(all.p + 8 * (n - 1));
    unsigned width = least >= INT16_MIN && most <= INT16_MAX   ? 2
                     : least >= INT32_MIN && most <= INT32_MAX ? 4
                                                               : 8;
    rdb_put_fixed(&whole, width, 4);
    rdb_put_fixed(&whole, n, 4);
    for (size_t i = 0; i < n; i++)
        rdb_put_fixed(&whole, load_u64(all.p + 8 * i), width);
    rdb_put_text(w->out, buf_bytes(&whole));
    w->code = RDB_CODE_SET_INTSET;
    buf_deinit(&whole);
}

static void end_pairs(struct rdb_writer *w)
{
    struct buf whole = {0};
    listpack_finish(&w->pack, &whole);
    rdb_put_text(w->out, buf_bytes(&whole));
    w->code = w->type == RDB_HASH ? RDB_CODE_HASH_LISTPACK : RDB_CODE_ZSET_LISTPACK;
    buf_deinit(&whole);
}

void rdb_write_item(struct rdb_writer *w, const struct rdb_item *item)
{
    w->given++;
    if (w->type == RDB_STREAM) {
        rdb_stream_item(w, item);
        return;
    }
    if (w->type == RDB_LIST) {
        put_list(w, item->name);
        return;
    }
    if (w->packed && put_into_pack(w, item))
        return;
    if (w->packed)
        spill(w);
    put_plain(w, item);
}

uint8_t rdb_write_end(struct rdb_writer *w)
{
    if (w->type == RDB_STREAM) {
        rdb_stream_end(w);
    } else {
        assert(w->given == (w->type == RDB_STRING ? 1 : w->count) && w->given > 0);
        if (w->type == RDB_LIST)
            end_list(w);
        else if (w->packed && w->type == RDB_SET)
            end_intset(w);
        else if (w->packed)
            end_pairs(w);
    }
    listpack_deinit(&w->pack);
    buf_deinit(&w->numbers);
    buf_deinit(&w->nodes);
    return w->code;
}

/* ------------------------------------------------------------ payloads */

void rdb_payload_close(struct buf *out, size_t from)
{
    rdb_put_fixed(out, RDB_VERSION, 2);
    uint64_t crc = crc64(0, bytes_of(out->p + from, out->tail - from));
    rdb_put_fixed(out, crc, 8);
}
