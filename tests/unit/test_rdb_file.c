/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "rdb/crc64.h"
#include "rdb/file.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ------------------------------------------------------------ files by hand */

static void put(struct buf *b, const char *s) { rdb_put_text(b, bytes_str(s)); }

static void code_key(struct buf *b, uint8_t code, const char *name)
{
    buf_put_u8(b, code);
    put(b, name);
}

static void finish(struct buf *b)
{
    buf_put_u8(b, 255);
    rdb_put_fixed(b, crc64(0, buf_bytes(b)), 8);
}

static void member(struct buf *b, unsigned i)
{
    char text[32];
    int n = snprintf(text, sizeof text, "member:%06u", i);
    rdb_put_text(b, bytes_of(text, (size_t)n));
}

static void put_hash(struct buf *b, const char *name, unsigned n)
{
    code_key(b, RDB_CODE_HASH, name);
    rdb_put_length(b, n);
    for (unsigned i = 0; i < 2 * n; i++)
        member(b, i);
}

static void raw_id(struct buf *b, uint64_t ms, uint64_t seq)
{
    for (int i = 7; i >= 0; i--)
        buf_put_u8(b, (uint8_t)(ms >> (8 * i)));
    for (int i = 7; i >= 0; i--)
        buf_put_u8(b, (uint8_t)(seq >> (8 * i)));
}

/* A node of two entries with one field. */
static void put_node(struct buf *b, uint64_t ms)
{
    struct listpack l = {0};
    struct buf pack = {0}, id = {0};
    listpack_add_number(&l, 2);
    listpack_add_number(&l, 0);
    listpack_add_number(&l, 1);
    listpack_add(&l, bytes_str("field"));
    listpack_add_number(&l, 0);
    for (int i = 0; i < 2; i++) {
        listpack_add_number(&l, 2);
        listpack_add_number(&l, i);
        listpack_add_number(&l, 0);
        listpack_add(&l, bytes_str("a value of some length, so that it is long"));
        listpack_add_number(&l, 4);
    }
    listpack_finish(&l, &pack);
    raw_id(&id, ms, 0);
    rdb_put_text(b, buf_bytes(&id));
    rdb_put_length(b, buf_len(&pack));
    buf_put_bytes(b, buf_bytes(&pack));
    listpack_deinit(&l);
    buf_deinit(&pack);
    buf_deinit(&id);
}

/* `nodes` nodes, a group with a consumer that has one entry pending. */
static void put_stream(struct buf *b, const char *name, unsigned nodes)
{
    code_key(b, RDB_CODE_STREAM_2, name);
    rdb_put_length(b, nodes);
    for (unsigned i = 0; i < nodes; i++)
        put_node(b, 1000 + 10 * i);
    uint64_t last = 1001 + 10 * (nodes - 1);
    const uint64_t ends[] = {2 * nodes, last, 0, 1000, 0, 0, 0, 2 * nodes};
    for (unsigned i = 0; i < 8; i++)
        rdb_put_length(b, ends[i]);
    rdb_put_length(b, 1);
    put(b, "group");
    rdb_put_length(b, 1000);
    rdb_put_length(b, 0);
    rdb_put_length(b, 1);
    rdb_put_length(b, 1);
    raw_id(b, 1000, 0);
    rdb_put_fixed(b, 1700000000000, 8);
    rdb_put_length(b, 3);
    rdb_put_length(b, 1);
    put(b, "consumer");
    rdb_put_fixed(b, 1700000000001, 8);
    rdb_put_length(b, 1);
    raw_id(b, 1000, 0);
}

/* One of everything that is no key, and keys with all that may stand before them. */
static void put_all(struct buf *b)
{
    buf_put_str(b, "REDIS0011");
    buf_put_u8(b, 250);
    put(b, "redis-ver");
    put(b, "7.0.15");
    buf_put_u8(b, 245);
    put(b, "#!lua name=lib\nredis.register_function('f', function() return 1 end)");
    buf_put_u8(b, 254);
    rdb_put_length(b, 3);
    buf_put_u8(b, 251);
    rdb_put_length(b, 5);
    rdb_put_length(b, 2);
    buf_put_u8(b, 252);
    rdb_put_fixed(b, 1700000000123, 8);
    buf_put_u8(b, 248);
    rdb_put_length(b, 70000);
    code_key(b, RDB_CODE_STRING, "string");
    put(b, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"); /* compressed */
    buf_put_u8(b, 253);
    rdb_put_fixed(b, 1700000001, 4);
    buf_put_u8(b, 249);
    buf_put_u8(b, 200);
    code_key(b, RDB_CODE_STRING, "12345");
    put(b, "-77");
    put_hash(b, "hash", 40);
    put_stream(b, "stream", 20);
    code_key(b, RDB_CODE_MODULE_2, "json");
    rdb_put_length(b, UINT64_C(0x26427c7c2a2a2a2a));
    buf_put_u8(b, 2), rdb_put_length(b, 300);
    buf_put_u8(b, 3), rdb_put_fixed(b, 0, 4);
    buf_put_u8(b, 4), rdb_put_fixed(b, 0, 8);
    buf_put_u8(b, 5), put(b, "text");
    buf_put_u8(b, 0);
    buf_put_u8(b, 247);
    rdb_put_length(b, 1);
    buf_put_u8(b, 2), rdb_put_length(b, 2), buf_put_u8(b, 0);
    finish(b);
}

/* ------------------------------------------------------------ what was read */

static void show(struct buf *out, const struct rdb_record *r)
{
    buf_putf(out, "%u %.*s at %llu n %llu %llu db %llu %s", r->kind, (int)r->name.n,
             r->name.n ? (const char *)r->name.p : "", (unsigned long long)r->at,
             (unsigned long long)r->n, (unsigned long long)r->more, (unsigned long long)r->db,
             r->module);
    if (r->kind == RDB_RECORD_KEY)
        buf_putf(out, " code %u %d%d items %llu deadline %lld idle %lld freq %d", r->code, r->first,
                 r->last, (unsigned long long)r->items, (long long)r->deadline, (long long)r->idle,
                 r->freq);
    buf_putf(out, " value %016llx\n", (unsigned long long)crc64(crc64(0, r->head), r->body));
}

/* Reads `file`, pushed in pieces of what `size` gives. */
static enum rdb_file_result read_file(struct bytes file, const struct rdb_file_limits *limits,
                                      size_t piece, struct rng *rng, struct buf *out)
{
    struct rdb_file f;
    struct rdb_record r;
    enum rdb_file_result result;
    rdb_file_init(&f, limits);
    for (;;) {
        result = rdb_file_next(&f, &r);
        if (result == RDB_FILE_RECORD)
            show(out, &r);
        else if (result != RDB_FILE_MORE || file.n == 0)
            break;
        if (result == RDB_FILE_MORE) {
            size_t n = rng != NULL ? 1 + (size_t)rng_below(rng, piece) : piece;
            n = n < file.n ? n : file.n;
            rdb_file_push(&f, bytes_of(file.p, n));
            file = bytes_of(file.p + n, file.n - n);
        }
    }
    buf_putf(out, "%s\n", result == RDB_FILE_MORE ? "cut" : rdb_file_why(&f));
    rdb_file_deinit(&f);
    return result;
}

Test(rdb_file, tells_what_is_there)
{
    struct buf file = {0}, out = {0};
    put_all(&file);
    cr_assert(read_file(buf_bytes(&file), NULL, file.tail, NULL, &out) == RDB_FILE_END);
    buf_put_u8(&out, 0);
    const char *text = (const char *)out.p;
    cr_expect(strstr(text, "0 redis-ver at 9 ") != NULL);
    cr_expect(strstr(text, "1  at ") != NULL && strstr(text, " n 3 0 ") != NULL);
    cr_expect(strstr(text, " n 5 2 ") != NULL);
    cr_expect(strstr(text, "3 string ") != NULL);
    cr_expect(strstr(text, "db 3  code 0 11 items 0 deadline 1700000000123 idle 70000 freq -1"));
    cr_expect(strstr(text, "3 12345 ") != NULL);
    cr_expect(strstr(text, "code 0 11 items 0 deadline 1700000001000 idle -1 freq 200"));
    cr_expect(strstr(text, "3 hash ") != NULL && strstr(text, "code 4 11 items 0 deadline -1"));
    cr_expect(strstr(text, "3 stream ") != NULL && strstr(text, "code 19 11 "));
    cr_expect(strstr(text, "4 json ") != NULL && strstr(text, "JkJ8fCoqK"));
    cr_expect(strstr(text, "6  at ") != NULL && strstr(text, "AAAAAAAAA"));
    buf_deinit(&file);
    buf_deinit(&out);
}

Test(rdb_file, however_it_is_pushed)
{
    struct buf file = {0};
    struct rng rng;
    const struct rdb_file_limits limits[] = {{0}, {.part_bytes = 100, .stream_bytes = 100}};
    put_all(&file);
    rng_init(&rng, 5);
    for (unsigned k = 0; k < 2; k++) {
        struct buf whole = {0};
        cr_assert(read_file(buf_bytes(&file), &limits[k], file.tail, NULL, &whole) == RDB_FILE_END);
        for (unsigned round = 0; round < 200; round++) {
            struct buf pieces = {0};
            size_t piece = round < 30 ? 1 + round : 1 + (size_t)rng_below(&rng, file.tail);
            enum rdb_file_result r =
                read_file(buf_bytes(&file), &limits[k], piece, round < 30 ? NULL : &rng, &pieces);
            cr_assert(r == RDB_FILE_END);
            cr_assert(bytes_eq(buf_bytes(&pieces), buf_bytes(&whole)));
            buf_deinit(&pieces);
        }
        buf_deinit(&whole);
    }
    buf_deinit(&file);
}

/* Each place where the stream may be split in two. */
Test(rdb_file, whichever_byte_is_the_last)
{
    struct buf file = {0}, whole = {0};
    const struct rdb_file_limits limits = {.part_bytes = 150, .stream_bytes = 150};
    put_all(&file);
    cr_assert(read_file(buf_bytes(&file), &limits, file.tail, NULL, &whole) == RDB_FILE_END);
    for (size_t at = 0; at <= file.tail; at++) {
        struct buf out = {0};
        struct rdb_file f;
        struct rdb_record r;
        enum rdb_file_result result;
        rdb_file_init(&f, &limits);
        rdb_file_push(&f, bytes_of(file.p, at));
        while ((result = rdb_file_next(&f, &r)) == RDB_FILE_RECORD)
            show(&out, &r);
        cr_assert(result == (at < file.tail ? RDB_FILE_MORE : RDB_FILE_END));
        rdb_file_push(&f, bytes_of(file.p + at, file.tail - at));
        rdb_file_push(&f, bytes_str("+more"));
        while ((result = rdb_file_next(&f, &r)) == RDB_FILE_RECORD)
            show(&out, &r);
        cr_assert(result == RDB_FILE_END);
        cr_assert(bytes_is(rdb_file_rest(&f), "+more"));
        cr_assert(rdb_file_offset(&f) == file.tail);
        buf_putf(&out, "\n");
        cr_assert(bytes_eq(buf_bytes(&out), buf_bytes(&whole)));
        rdb_file_deinit(&f);
        buf_deinit(&out);
    }
    buf_deinit(&file);
    buf_deinit(&whole);
}

/* ------------------------------------------------------------ parts */

static void count_member(void *arg, const struct rdb_item *item)
{
    uint64_t *n = arg;
    *n += item->kind == RDB_ITEM_FIELD || item->kind == RDB_ITEM_ENTRY;
}

/* Reads a key's parts as values; a stream's end where only its trailer is missing. */
static uint64_t read_parts(struct bytes file, unsigned *parts)
{
    struct rdb_file f;
    struct rdb_record r;
    uint64_t n = 0;
    bool last = false;
    rdb_file_init(&f, &(struct rdb_file_limits){.part_bytes = 1000, .stream_bytes = 1000});
    rdb_file_push(&f, file);
    *parts = 0;
    while (rdb_file_next(&f, &r) == RDB_FILE_RECORD) {
        struct buf value = {0};
        enum rdb_type type;
        buf_put_bytes(&value, r.head);
        buf_put_bytes(&value, r.body);
        struct rdb_in in = rdb_in(buf_bytes(&value));
        cr_expect(r.first == (*parts == 0));
        enum rdb_result result = rdb_read(&in, r.code, &type, count_member, &n);
        cr_expect(result == (type == RDB_STREAM && !r.last ? RDB_SHORT : RDB_OK));
        cr_expect(in.p == in.end);
        cr_expect(r.body.n < 2000 && !last);
        last = r.last;
        buf_deinit(&value);
        ++*parts;
    }
    cr_expect(last);
    rdb_file_deinit(&f);
    return n;
}

Test(rdb_file, large_collections_come_in_parts)
{
    struct buf file = {0};
    unsigned parts;
    buf_put_str(&file, "REDIS0009");
    put_hash(&file, "large", 1000);
    finish(&file);
    cr_expect(read_parts(buf_bytes(&file), &parts) == 1000);
    cr_expect(parts > 20);
    buf_clear(&file);
    buf_put_str(&file, "REDIS0009");
    put_stream(&file, "stream", 300);
    finish(&file);
    cr_expect(read_parts(buf_bytes(&file), &parts) == 600);
    cr_expect(parts > 20);
    buf_deinit(&file);
}

Test(rdb_file, a_part_makes_a_payload)
{
    struct buf file = {0}, payload = {0};
    struct rdb_file f;
    struct rdb_record r;
    struct bytes body;
    buf_put_str(&file, "REDIS0006");
    put_hash(&file, "large", 1000);
    finish(&file);
    rdb_file_init(&f, &(struct rdb_file_limits){.part_bytes = 5000, .stream_bytes = 5000});
    rdb_file_push(&f, buf_bytes(&file));
    while (rdb_file_next(&f, &r) == RDB_FILE_RECORD) {
        buf_clear(&payload);
        rdb_record_payload(&r, &payload);
        cr_assert(rdb_payload_open(buf_bytes(&payload), &body));
        cr_expect(body.n == 1 + r.head.n + r.body.n && body.p[0] == RDB_CODE_HASH);
    }
    rdb_file_deinit(&f);
    buf_deinit(&file);
    buf_deinit(&payload);
}

/* ------------------------------------------------------------ bad files */

static void expect_bad(const struct buf *file, const char *says)
{
    struct buf out = {0};
    cr_expect(read_file(buf_bytes(file), NULL, 100, NULL, &out) == RDB_FILE_BAD);
    buf_put_u8(&out, 0);
    cr_expect(strstr((const char *)out.p, says) != NULL, "%s", (const char *)out.p);
    buf_deinit(&out);
}

Test(rdb_file, says_what_is_wrong)
{
    struct buf b = {0};
    buf_put_str(&b, "*1\r\n$4\r\nPING\r\n");
    expect_bad(&b, "no RDB file");
    buf_clear(&b);
    buf_put_str(&b, "REDIS0099");
    expect_bad(&b, "version is 99");
    buf_clear(&b);
    put_all(&b);
    b.p[60] ^= 1;
    expect_bad(&b, "checksum");
    buf_clear(&b);
    buf_put_str(&b, "REDIS0010");
    code_key(&b, 99, "k");
    expect_bad(&b, "type 99");
    buf_clear(&b);
    buf_put_str(&b, "REDIS0010");
    code_key(&b, RDB_CODE_MODULE, "k");
    rdb_put_length(&b, 5);
    expect_bad(&b, "module AAAAAAAAA");
    buf_clear(&b);
    buf_put_str(&b, "REDIS0010");
    code_key(&b, RDB_CODE_STRING, "k");
    rdb_put_length(&b, UINT64_C(1) << 40);
    expect_bad(&b, "longer than 512 MiB");
    buf_clear(&b);
    buf_put_str(&b, "REDIS0010");
    code_key(&b, RDB_CODE_LIST_QUICKLIST, "k");
    rdb_put_length(&b, 1);
    buf_put_u8(&b, 0xff);
    expect_bad(&b, "at byte 13");
    buf_deinit(&b);
}

Test(rdb_file, a_checksum_of_zero_is_none)
{
    struct buf b = {0}, out = {0};
    buf_put_str(&b, "REDIS0010");
    buf_put_u8(&b, 255);
    rdb_put_fixed(&b, 0, 8);
    cr_expect(read_file(buf_bytes(&b), NULL, 3, NULL, &out) == RDB_FILE_END);
    buf_clear(&b);
    buf_put_str(&b, "REDIS0004\xff"); /* before there were any */
    cr_expect(read_file(buf_bytes(&b), NULL, 3, NULL, &out) == RDB_FILE_END);
    buf_deinit(&b);
    buf_deinit(&out);
}

/* Any damage is found, or reads as something else; nothing breaks. */
Test(rdb_file, damage_does_no_harm)
{
    struct buf file = {0};
    struct rng rng;
    put_all(&file);
    rng_init(&rng, 9);
    unsigned bad = 0;
    for (unsigned round = 0; round < 3000; round++) {
        struct buf copy = {0}, out = {0};
        buf_put_bytes(&copy, buf_bytes(&file));
        for (unsigned k = 0; k < 1 + round % 3; k++)
            copy.p[rng_below(&rng, copy.tail)] ^= (uint8_t)(1 + rng_below(&rng, 255));
        struct rdb_file_limits limits = {
            .part_bytes = 200, .stream_bytes = 200, .value_max = 1 << 20};
        bad += read_file(buf_bytes(&copy), &limits, 64, NULL, &out) != RDB_FILE_END;
        buf_deinit(&copy);
        buf_deinit(&out);
    }
    cr_expect(bad > 2900);
    buf_deinit(&file);
}
