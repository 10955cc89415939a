/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "rdb/crc64.h"
#include "rdb/lzf.h"
#include "rdb/rdb.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

/* ------------------------------------------------------------ checksum, compression */

Test(rdb, checksum_is_that_of_redis)
{
    cr_expect(crc64(0, bytes_str("123456789")) == UINT64_C(0xe9c6d914c4b8d9ca));
    static uint8_t long_text[50001];
    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = (uint8_t)(i * 7 ^ i >> 5);
    uint64_t whole = crc64(0, bytes_of(long_text, sizeof long_text)), parts = 0;
    for (size_t i = 0; i < sizeof long_text; i += 100) {
        size_t n = sizeof long_text - i < 100 ? sizeof long_text - i : 100;
        parts = crc64(parts, bytes_of(long_text + i, n));
    }
    cr_expect(whole == parts);
}

static void same_again(struct bytes in)
{
    uint8_t *packed = mem_alloc(in.n + in.n / 16 + 64), *back = mem_alloc(in.n + 1);
    size_t n = lzf_compress(in, packed, in.n + in.n / 16 + 64);
    if (in.n >= 4) {
        cr_assert(n > 0);
        cr_assert(in.n <= lzf_expanded_max(n));
        cr_assert(lzf_expand(bytes_of(packed, n), back, in.n));
        cr_assert(memcmp(back, in.p, in.n) == 0);
        cr_assert(!lzf_expand(bytes_of(packed, n), back, in.n - 1));
        cr_assert(!lzf_expand(bytes_of(packed, n - 1), back, in.n));
        cr_assert(lzf_compress(in, packed, n - 1) == 0);
    }
    mem_free(packed);
    mem_free(back);
}

Test(rdb, compression_gives_the_same_again)
{
    struct rng rng;
    static uint8_t text[40000];
    rng_init(&rng, 3);
    for (unsigned round = 0; round < 300; round++) {
        size_t n = rng_below(&rng, round < 250 ? 300 : sizeof text);
        unsigned letters = 1 + (unsigned)rng_below(&rng, round % 3 == 0 ? 2 : 200);
        for (size_t i = 0; i < n; i++)
            text[i] = i > 30 && rng_below(&rng, 4) > 0 ? text[i - 1 - rng_below(&rng, 30)]
                                                       : (uint8_t)rng_below(&rng, letters);
        same_again(bytes_of(text, n));
    }
    memset(text, 'x', sizeof text);
    same_again(bytes_of(text, sizeof text));
}

Test(rdb, malformed_compression_is_refused)
{
    uint8_t out[64];
    cr_expect(!lzf_expand(bytes_of("\x20\x00", 2), out, 3)); /* from before the start */
    cr_expect(!lzf_expand(bytes_of("\x00"
                                   "a\xe0",
                                   3),
                          out, 10)); /* cut off */
    cr_expect(!lzf_expand(bytes_of("\x05"
                                   "abc",
                                   4),
                          out, 6));
    cr_expect(!lzf_expand(bytes_of("\x00"
                                   "a\xe0\xff\x00",
                                   5),
                          out, 64)); /* more than said */
    cr_expect(lzf_expand(bytes_of("\x00"
                                  "a\x40\x00",
                                  4),
                         out, 5));
    cr_expect(memcmp(out, "aaaaa", 5) == 0);
}

/* ------------------------------------------------------------ values */

static void put_item(struct buf *out, const struct rdb_item *it)
{
    switch (it->kind) {
    case RDB_ITEM_VALUE:
        buf_put_bytes(out, it->name);
        break;
    case RDB_ITEM_ELEMENT:
        buf_putf(out, " [%.*s]", (int)it->name.n, (const char *)it->name.p);
        break;
    case RDB_ITEM_MEMBER:
        buf_putf(out, " %.*s:%.17g", (int)it->name.n, (const char *)it->name.p, it->score);
        break;
    case RDB_ITEM_FIELD:
        buf_putf(out, " %.*s=%.*s", (int)it->name.n, (const char *)it->name.p, (int)it->value.n,
                 (const char *)it->value.p);
        break;
    case RDB_ITEM_ENTRY:
        buf_putf(out, " %llu-%llu{", (unsigned long long)it->id.ms, (unsigned long long)it->id.seq);
        for (size_t i = 0; i < it->npairs; i++)
            buf_putf(out, "%s%.*s=%.*s", i ? " " : "", (int)it->pairs[2 * i].n,
                     (const char *)it->pairs[2 * i].p, (int)it->pairs[2 * i + 1].n,
                     (const char *)it->pairs[2 * i + 1].p);
        buf_put_str(out, "}");
        break;
    case RDB_ITEM_STREAM:
        buf_putf(out, " last %llu-%llu first %llu-%llu deleted %llu-%llu added %llu",
                 (unsigned long long)it->id.ms, (unsigned long long)it->id.seq,
                 (unsigned long long)it->first.ms, (unsigned long long)it->first.seq,
                 (unsigned long long)it->deleted.ms, (unsigned long long)it->deleted.seq,
                 (unsigned long long)it->added);
        break;
    case RDB_ITEM_GROUP:
        buf_putf(out, " group %.*s at %llu-%llu read %lld", (int)it->name.n,
                 (const char *)it->name.p, (unsigned long long)it->id.ms,
                 (unsigned long long)it->id.seq, (long long)it->read);
        break;
    case RDB_ITEM_CONSUMER:
        buf_putf(out, " consumer %.*s", (int)it->name.n, (const char *)it->name.p);
        break;
    case RDB_ITEM_PENDING:
        buf_putf(out, " pending %llu-%llu x%llu", (unsigned long long)it->id.ms,
                 (unsigned long long)it->id.seq, (unsigned long long)it->count);
        break;
    }
}

struct shown {
    struct buf text;
    uint64_t items;
};

static void show(void *arg, const struct rdb_item *it)
{
    struct shown *s = arg;
    put_item(&s->text, it);
    s->items++;
}

static void write_on(void *arg, const struct rdb_item *it) { rdb_write_item(arg, it); }

/* What a payload says, as text; NULL: it was refused. */
static const char *said(struct bytes payload, struct shown *s)
{
    struct bytes body;
    enum rdb_type type;
    buf_clear(&s->text);
    s->items = 0;
    if (!rdb_payload_open(payload, &body))
        return NULL;
    struct rdb_in in = rdb_in(bytes_of(body.p + 1, body.n - 1));
    if (rdb_read(&in, body.p[0], &type, show, s) != RDB_OK || in.p != in.end)
        return NULL;
    buf_put_u8(&s->text, 0);
    const char *text = (const char *)s->text.p;
    return text[0] == ' ' ? text + 1 : text;
}

static void write_again(struct bytes payload, uint64_t items, struct buf *out)
{
    struct bytes body;
    enum rdb_type type;
    struct rdb_writer w;
    cr_assert(rdb_payload_open(payload, &body));
    struct rdb_in in = rdb_in(bytes_of(body.p + 1, body.n - 1)), again = in;
    cr_assert(rdb_read(&in, body.p[0], &type, NULL, NULL) == RDB_OK);
    buf_put_u8(out, 0);
    rdb_write_begin(&w, out, type, items, &RDB_LIMITS_DEFAULT);
    rdb_read(&again, body.p[0], &type, write_on, &w);
    uint8_t code = rdb_write_end(&w);
    out->p[0] = code;
    rdb_payload_close(out, 0);
}

/* Dumped by redis-server 7.0.15; and encodings that it only reads, which it has taken. */
static const struct {
    const char *name;
    size_t n;
    const char *payload, *text;
    bool current; /* it is written the same way */
} golden[] = {
    {"string", 17, "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a", "hello",
     true},
    {"number", 16, "\x00\xc2\x90\xee\xfe\xff\x0a\x00\x28\x75\xde\x7b\x13\xeb\x28\x00", "-70000",
     true},
    {"packed", 23,
     "\x00\xc3\x09\x28\x01\x61\x61\xe0\x1b\x00\x01\x61\x61\x0a\x00\xcf\x09\x2f\xaa\xae\x25\x83\x1d",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
    {"list", 44,
     "\x12\x01\x02\xc3\x1b\x40\x5b\x13\x5b\x00\x00\x00\x04\x00\x81\x61\x02\xdf\xff\x02\xf2\x87\xd6"
     "\x12\x04\xe0\x46\x78\xe0\x3c\x00\x01\x48\xff\x0a\x00\x32\x80\x87\x46\x27\x99\x4f\x39",
     "[a] [-1] [1234567] [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]",
     true},
    {"set", 16, "\x02\x02\x01\x61\xc0\x01\x0a\x00\xce\x38\x7e\x02\x9c\xe1\x3e\x72", "[a] [1]",
     true},
    {"intset", 32,
     "\x0b\x14\x04\x00\x00\x00\x03\x00\x00\x00\xfe\xff\xff\xff\x01\x00\x00\x00\x70\x11\x01\x00\x0a"
     "\x00\x30\x52\x7d\xf8\xcc\x31\x1f\x3b",
     "[-2] [1] [70000]", true},
    {"hash", 30,
     "\x10\x12\x12\x00\x00\x00\x04\x00\x81\x66\x02\x81\x76\x02\x81\x67\x02\x0c\x01\xff\x0a\x00\xde"
     "\x13\x39\x93\xf7\x83\x81\x7e",
     "f=v g=12", true},
    {"hashtable", 27,
     "\x04\x01\x01\x66\xc3\x09\x40\x41\x01\x79\x79\xe0\x34\x00\x01\x79\x79\x0a\x00\x21\xef\x8f\x59"
     "\x90\xcf\x4f\xd0",
     "f=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", true},
    {"zset", 41,
     "\x11\x1d\x1d\x00\x00\x00\x06\x00\x81\x63\x02\x84\x2d\x69\x6e\x66\x05\x81\x61\x02\x01\x01\x81"
     "\x62\x02\x83\x31\x2e\x35\x04\xff\x0a\x00\x2f\xa2\x34\xbe\xca\xf9\xc9\x9a",
     "c:-inf a:1 b:1.5", true},
    {"skiplist", 33,
     "\x05\x01\xc3\x09\x40\x41\x01\x79\x79\xe0\x34\x00\x01\x79\x79\x00\x00\x00\x00\x00\x00\x04\x40"
     "\x0a\x00\x75\x30\xe2\xbb\xeb\x31\xc3\x09",
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy:2.5", true},
    {"stream", 165,
     "\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01\xc3\x37\x3c\x12"
     "\x3c\x00\x00\x00\x19\x00\x02\x01\x01\x01\x02\x01\x81\x61\x02\x81\x62\x02\x00\x20\x09\x00\x00"
     "\x20\x01\x40\x11\x02\x05\x01\x03\x20\x07\x00\x00\x20\x05\x00\x04\x20\x0b\x80\x19\x09\x01\x01"
     "\x81\x63\x02\x05\x01\x06\x01\xff\x02\x07\x01\x05\x01\x06\x01\x03\x01\x01\x67\x05\x01\x81\xff"
     "\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00"
     "\x01\x73\xc7\x6a\x04\xa2\x01\x00\x00\x01\x01\x03\x6a\x6f\x65\x73\xc7\x6a\x04\xa2\x01\x00\x00"
     "\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01\x0a\x00\x74\xfd\x6f\xba"
     "\x7c\x59\x0c\xd2",
     "5-1{a=1 b=2} 7-1{c=5} last 7-1 first 5-1 deleted 6-1 added 3 group g at 5-1 read -1 consumer "
     "joe pending 5-1 x1",
     true},
    {"ziplist list", 124,
     "\x0a\x40\x6f\x6f\x00\x00\x00\x64\x00\x00\x00\x07\x00\x00\x01\x61\x03\xfe\xff\x03\xf0\x87\xd6"
     "\x12\x05\x40\x46\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a"
     "\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a"
     "\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a\x7a"
     "\x7a\x7a\x7a\x7a\x7a\x49\xf6\x02\xc0\x2c\x01\x04\xe0\x00\xb0\x29\x23\xfe\xff\xff\xff\xff\x09"
     "\x00\xc3\xf2\xf9\xcd\x19\x43\x5f\xb9",
     "[a] [-1] [1234567] [zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz] "
     "[5] [300] [-8000000000]",
     false},
    {"zipmap", 23,
     "\x09\x0b\x02\x01\x66\x01\x00\x76\x01\x67\x00\x00\xff\x09\x00\x45\x39\x0f\x41\x02\x8d\xe3\xd8",
     "f=v g=", false},
    {"zset text", 21,
     "\x03\x02\x01\x61\x03\x31\x2e\x35\x01\x62\xfe\x09\x00\xd5\x1f\x56\xa3\xb0\x53\x6b\x5b",
     "a:1.5 b:inf", false},
    {"ziplist zset", 36,
     "\x0c\x18\x18\x00\x00\x00\x12\x00\x00\x00\x04\x00\x00\x01\x61\x03\xf2\x02\x01\x62\x03\x03\x32"
     "\x2e\x35\xff\x09\x00\x8c\xa5\x4c\x51\xc0\xe9\xcd\x06",
     "a:1 b:2.5", false},
    {"quicklist1", 44,
     "\x0e\x02\x0e\x0e\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x01\x61\xff\x10\x10\x00\x00\x00\x0d"
     "\x00\x00\x00\x02\x00\x00\x01\x62\x03\xf3\xff\x09\x00\xa7\x8d\xea\x3d\x6e\xf6\x20\x89",
     "[a] [b] [2]", false},
};

#define GOLDEN (sizeof golden / sizeof golden[0])

Test(rdb, values_of_redis_are_read)
{
    struct shown s = {0};
    for (size_t i = 0; i < GOLDEN; i++) {
        const char *text = said(bytes_of(golden[i].payload, golden[i].n), &s);
        cr_expect(text != NULL && strcmp(text, golden[i].text) == 0, "%s: %s", golden[i].name,
                  text ? text : "refused");
    }
    buf_deinit(&s.text);
}

Test(rdb, what_is_written_reads_the_same)
{
    struct shown s = {0};
    for (size_t i = 0; i < GOLDEN; i++) {
        struct bytes payload = bytes_of(golden[i].payload, golden[i].n);
        struct buf again = {0};
        cr_assert(said(payload, &s) != NULL);
        write_again(payload, s.items, &again);
        const char *text = said(buf_bytes(&again), &s);
        cr_expect(text != NULL && strcmp(text, golden[i].text) == 0, "%s: %s", golden[i].name,
                  text ? text : "refused");
        cr_expect(!golden[i].current || again.p[0] == payload.p[0], "%s", golden[i].name);
        bool packed = memchr(payload.p, 0xc3, payload.n) != NULL; /* there are several ways */
        cr_expect(!golden[i].current || packed || bytes_eq(buf_bytes(&again), payload), "%s",
                  golden[i].name);
        buf_deinit(&again);
    }
    buf_deinit(&s.text);
}

/* Any byte changed: the checksum tells. With the checksum made right: refused, or read to the end,
 * but never beyond it. */
Test(rdb, broken_values_are_refused)
{
    struct shown s = {0};
    for (size_t i = 0; i < GOLDEN; i++) {
        for (size_t at = 0; at + 10 < golden[i].n; at++) {
            struct buf broken = {0};
            buf_put(&broken, golden[i].payload, golden[i].n);
            broken.p[at] ^= 0x41;
            cr_expect(said(buf_bytes(&broken), &s) == NULL);
            broken.tail -= 10;
            rdb_payload_close(&broken, 0);
            said(buf_bytes(&broken), &s);
            broken.tail = broken.head + at; /* and cut off */
            if (at > 0) {
                rdb_payload_close(&broken, 0);
                cr_expect(said(buf_bytes(&broken), &s) == NULL, "%s cut at %zu", golden[i].name,
                          at);
            }
            buf_deinit(&broken);
        }
    }
    buf_deinit(&s.text);
}

static enum rdb_result result_of(uint8_t code, const char *bytes, size_t n)
{
    enum rdb_type type;
    struct rdb_in in = rdb_in(bytes_of(bytes, n));
    return rdb_read(&in, code, &type, NULL, NULL);
}

Test(rdb, what_is_wrong_is_told)
{
    cr_expect(result_of(RDB_CODE_MODULE_2, "", 0) == RDB_MODULE);
    cr_expect(result_of(99, "", 0) == RDB_UNKNOWN);
    cr_expect(result_of(RDB_CODE_STRING,
                        "\x05"
                        "abc",
                        4) == RDB_SHORT);
    cr_expect(result_of(RDB_CODE_LIST, "\x00", 1) == RDB_BAD, "an empty list");
    cr_expect(result_of(RDB_CODE_LIST,
                        "\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                        "a",
                        11) == RDB_SHORT);
    /* 4 GiB expanded from 3 bytes: not even tried */
    cr_expect(result_of(RDB_CODE_STRING,
                        "\xc3\x03\x80\xff\xff\xff\xff"
                        "abc",
                        10) == RDB_BAD);
    cr_expect(result_of(RDB_CODE_ZSET_2,
                        "\x01\x01"
                        "a\0\0\0\0\0\0\xf8\x7f",
                        11) == RDB_BAD,
              "not a number");
    /* an intset out of order */
    cr_expect(result_of(RDB_CODE_SET_INTSET, "\x0c\2\0\0\0\2\0\0\0\2\0\1\0", 13) == RDB_BAD);
}

/* ------------------------------------------------------------ texts and packs */

Test(rdb, texts_come_back)
{
    static const char *const texts[] = {"",
                                        "0",
                                        "-1",
                                        "127",
                                        "128",
                                        "-32769",
                                        "2147483647",
                                        "-2147483648",
                                        "2147483648",
                                        "007",
                                        "+1",
                                        "-0",
                                        "twenty one bytes long",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf out = {0};
        struct rdb_text t;
        rdb_put_text(&out, bytes_str(texts[i]));
        struct rdb_in in = rdb_in(buf_bytes(&out));
        cr_assert(rdb_read_text(&in, &t) && in.p == in.end);
        cr_expect(bytes_is(t.text, texts[i]), "%s", texts[i]);
        rdb_text_free(&t);
        buf_deinit(&out);
    }
    static const uint64_t lengths[] = {
        0, 63, 64, 16383, 16384, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct buf out = {0};
        rdb_put_length(&out, lengths[i]);
        struct rdb_in in = rdb_in(buf_bytes(&out));
        cr_expect(rdb_read_length(&in) == lengths[i] && in.fault == RDB_OK && in.p == in.end);
        buf_deinit(&out);
    }
}

Test(rdb, listpacks_hold_every_kind_of_entry)
{
    static const int64_t numbers[] = {
        0,      127,   128,     4095,     4096,    -1,        -4096,     -4097,     32767,
        -32768, 32768, 8388607, -8388608, 8388608, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    static const size_t sizes[] = {0, 63, 64, 126, 127, 128, 4095, 4096, 16380, 70000};
    const size_t n = sizeof numbers / sizeof numbers[0], m = sizeof sizes / sizeof sizes[0];
    static char text[70000];
    struct listpack l = {0};
    struct buf out = {0};
    struct pack p;
    struct pack_item item;
    size_t count;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < n; i++)
        listpack_add_number(&l, numbers[i]);
    for (size_t i = 0; i < m; i++)
        listpack_add(&l, bytes_of(text, sizes[i]));
    listpack_finish(&l, &out);
    cr_assert(pack_open(&p, PACK_LISTPACK, buf_bytes(&out), &count) && count == n + m);
    for (size_t i = 0; i < n; i++)
        cr_expect(pack_next(&p, &item) && item.is_number && item.number == numbers[i], "%lld",
                  (long long)numbers[i]);
    for (size_t i = 0; i < m; i++)
        cr_expect(pack_next(&p, &item) && !item.is_number && item.text.n == sizes[i]);
    cr_expect(!pack_next(&p, &item));
    listpack_deinit(&l);
    buf_deinit(&out);
}
