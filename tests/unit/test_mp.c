/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/mp.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <msgpack.h>

/* Both write into these; after each value they must hold the same bytes. */
struct pair {
    struct buf mine;
    msgpack_sbuffer theirs;
    msgpack_packer pk;
};

static void pair_init(struct pair *p)
{
    p->mine = (struct buf){0};
    msgpack_sbuffer_init(&p->theirs);
    msgpack_packer_init(&p->pk, &p->theirs, msgpack_sbuffer_write);
}

static void pair_deinit(struct pair *p)
{
    buf_deinit(&p->mine);
    msgpack_sbuffer_destroy(&p->theirs);
}

static void same(const struct pair *p, const char *what)
{
    cr_assert(bytes_eq(buf_bytes(&p->mine), bytes_of(p->theirs.data, p->theirs.size)), "%s", what);
}

/* Numbers around every limit between forms. */
static const uint64_t edges[] = {
    0,          1,          0x1f,       0x20,        0x7f,      0x80,
    0xff,       0x100,      0x7fff,     0x8000,      0xffff,    0x10000,
    0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, INT64_MAX, (uint64_t)INT64_MAX + 1,
    UINT64_MAX};
#define EDGES (sizeof edges / sizeof *edges)

Test(mp, numbers_are_written_as_msgpack_c_does)
{
    struct pair p;
    pair_init(&p);
    for (unsigned i = 0; i < EDGES; i++) {
        for (int d = -1; d <= 1; d++) {
            uint64_t v = edges[i] + (uint64_t)d;
            mp_put_uint(&p.mine, v);
            msgpack_pack_uint64(&p.pk, v);
            same(&p, "uint");
            mp_put_int(&p.mine, (int64_t)v);
            msgpack_pack_int64(&p.pk, (int64_t)v);
            mp_put_int(&p.mine, -(int64_t)(v >> 1));
            msgpack_pack_int64(&p.pk, -(int64_t)(v >> 1));
            same(&p, "int");
        }
    }
    mp_put_double(&p.mine, 1.5e300);
    msgpack_pack_double(&p.pk, 1.5e300);
    mp_put_nil(&p.mine);
    msgpack_pack_nil(&p.pk);
    mp_put_bool(&p.mine, true);
    msgpack_pack_true(&p.pk);
    mp_put_bool(&p.mine, false);
    msgpack_pack_false(&p.pk);
    same(&p, "the rest");
    pair_deinit(&p);
}

Test(mp, containers_and_bins_are_written_as_msgpack_c_does)
{
    static const uint32_t sizes[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};
    uint8_t *zeros = mem_zalloc(70000);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pair p;
        pair_init(&p);
        uint32_t n = sizes[i];
        mp_put_array(&p.mine, n);
        msgpack_pack_array(&p.pk, n);
        same(&p, "array");
        mp_put_map(&p.mine, n);
        msgpack_pack_map(&p.pk, n);
        same(&p, "map");
        mp_put_bin(&p.mine, bytes_of(zeros, n));
        msgpack_pack_bin(&p.pk, n);
        msgpack_pack_bin_body(&p.pk, zeros, n);
        same(&p, "bin");
        pair_deinit(&p);
    }
    mem_free(zeros);
}

Test(mp, reads_back_what_it_wrote)
{
    struct buf b = {0};
    for (unsigned i = 0; i < EDGES; i++) {
        mp_put_uint(&b, edges[i]);
        mp_put_int(&b, (int64_t)edges[i]);
        mp_put_int(&b, -(int64_t)(edges[i] >> 1));
        mp_put_double(&b, (double)edges[i]);
        mp_put_int(&b, -(int64_t)(edges[i] >> 1)); /* to be read as a double */
        mp_put_bin(&b, bytes_of("abc", i % 4));
        mp_put_bool(&b, i % 2);
    }
    struct mp m = mp_read(buf_bytes(&b));
    for (unsigned i = 0; i < EDGES; i++) {
        cr_assert_eq(mp_uint(&m), edges[i]);
        cr_assert_eq(mp_int(&m), (int64_t)edges[i]);
        cr_assert_eq(mp_int(&m), -(int64_t)(edges[i] >> 1));
        cr_assert(mp_double(&m) == (double)edges[i]);
        cr_assert(mp_double(&m) == -(double)(edges[i] >> 1));
        cr_assert(bytes_eq(mp_bin(&m), bytes_of("abc", i % 4)));
        cr_assert_eq(mp_bool(&m), i % 2);
    }
    cr_assert(mp_done(&m));
    buf_deinit(&b);
}

Test(mp, reads_what_others_write)
{
    msgpack_sbuffer s;
    msgpack_packer pk;
    msgpack_sbuffer_init(&s);
    msgpack_packer_init(&pk, &s, msgpack_sbuffer_write);
    uint8_t *text = mem_zalloc(70000);
    static const uint32_t sizes[] = {0, 31, 32, 255, 256, 65535, 65536};
    for (unsigned i = 0; i < 7; i++) {
        msgpack_pack_str(&pk, sizes[i]);
        msgpack_pack_str_body(&pk, text, sizes[i]);
    }
    msgpack_pack_fix_int64(&pk, 5); /* longer than need be, signed */
    msgpack_pack_fix_uint32(&pk, 6);
    msgpack_pack_float(&pk, 0.5f);
    msgpack_pack_nil(&pk);
    struct mp m = mp_read(bytes_of(s.data, s.size));
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(mp_bin(&m).n, sizes[i]);
    cr_assert_eq(mp_uint(&m), 5);
    cr_assert_eq(mp_int(&m), 6);
    cr_assert(!mp_is_nil(&m));
    cr_assert(mp_double(&m) == 0.5);
    cr_assert(mp_is_nil(&m));
    cr_assert(mp_done(&m));
    cr_assert(!mp_is_nil(&m));
    msgpack_sbuffer_destroy(&s);
    mem_free(text);
}

static bool uint_is_bad(const char *bytes, size_t n)
{
    struct mp m = mp_read(bytes_of(bytes, n));
    cr_assert_eq(mp_uint(&m), 0);
    return m.bad && m.p == m.end;
}

Test(mp, the_first_error_sticks)
{
    cr_assert(uint_is_bad("", 0));
    cr_assert(uint_is_bad("\xff", 1));     /* -1 */
    cr_assert(uint_is_bad("\xcd\x01", 2)); /* cut short */
    cr_assert(uint_is_bad("\xa1x", 2));    /* a string */
    cr_assert(uint_is_bad("\xd0\x80", 2)); /* -128 */
    cr_assert(uint_is_bad("\xc1", 1));     /* no value at all */
    struct mp m = mp_read(bytes_of("\xc0\x05\xc4\x02xy", 6));
    cr_assert_eq(mp_int(&m), 0);
    cr_assert(m.bad);
    cr_assert_eq(mp_uint(&m), 0);
    cr_assert_eq(mp_bin(&m).n, 0);
    cr_assert_eq(mp_array(&m), 0);
    cr_assert_eq(mp_map(&m), 0);
    cr_assert(!mp_bool(&m));
    cr_assert(mp_double(&m) == 0);
    mp_skip(&m);
    cr_assert(!mp_done(&m));
    m = mp_read(bytes_of("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9));
    cr_assert_eq(mp_int(&m), 0);
    cr_assert(m.bad, "2^64 - 1 is no int64");
}

Test(mp, counts_beyond_the_bytes_left_are_bad)
{
    struct mp m = mp_read(bytes_of("\xdd\xff\xff\xff\xff\x01\x02", 7));
    cr_assert_eq(mp_array(&m), 0);
    cr_assert(m.bad);
    m = mp_read(bytes_of("\x93\x01\x02", 3));
    mp_array(&m);
    cr_assert(m.bad);
    m = mp_read(bytes_of("\x82\x01\x02\x03", 4));
    mp_map(&m);
    cr_assert(m.bad, "two pairs need four bytes");
    m = mp_read(bytes_of("\xc6\xff\xff\xff\xff\x01", 6));
    cr_assert_eq(mp_bin(&m).n, 0);
    cr_assert(m.bad);
}

Test(mp, skip_steps_over_one_value_of_any_kind)
{
    msgpack_sbuffer s;
    msgpack_packer pk;
    msgpack_sbuffer_init(&s);
    msgpack_packer_init(&pk, &s, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 14);
    msgpack_pack_map(&pk, 2);
    msgpack_pack_int(&pk, -1);
    msgpack_pack_array(&pk, 0);
    msgpack_pack_int64(&pk, INT64_MIN);
    msgpack_pack_double(&pk, 2);
    msgpack_pack_float(&pk, 2);
    msgpack_pack_nil(&pk);
    msgpack_pack_true(&pk);
    msgpack_pack_uint64(&pk, UINT64_MAX);
    static const size_t exts[] = {1, 2, 4, 8, 16, 3, 300, 70000};
    uint8_t *zeros = mem_zalloc(70000);
    for (unsigned i = 0; i < 8; i++) {
        msgpack_pack_ext(&pk, exts[i], 5);
        msgpack_pack_ext_body(&pk, zeros, exts[i]);
    }
    msgpack_pack_str(&pk, 40);
    msgpack_pack_str_body(&pk, zeros, 40);
    size_t whole = s.size;
    msgpack_pack_int(&pk, 77);
    struct mp m = mp_read(bytes_of(s.data, s.size));
    mp_skip(&m);
    cr_assert_eq(mp_uint(&m), 77);
    cr_assert(mp_done(&m));
    for (size_t n = 0; n < whole; n += n < 100 ? 1 : 997) {
        m = mp_read(bytes_of(s.data, n));
        mp_skip(&m);
        cr_assert(m.bad, "cut at %zu", n);
    }
    msgpack_sbuffer_destroy(&s);
    mem_free(zeros);
}

Test(mp, skip_refuses_what_is_too_deep)
{
    uint8_t deep[100];
    memset(deep, 0x91, sizeof deep); /* arrays of one in arrays of one */
    deep[MP_DEPTH_MAX - 1] = 0x05;
    struct mp m = mp_read(bytes_of(deep, MP_DEPTH_MAX));
    mp_skip(&m);
    cr_assert(mp_done(&m));
    deep[MP_DEPTH_MAX - 1] = 0x91;
    deep[MP_DEPTH_MAX] = 0x05;
    m = mp_read(bytes_of(deep, MP_DEPTH_MAX + 1));
    mp_skip(&m);
    cr_assert(m.bad);
}

Test(mp, random_bytes_never_lead_outside)
{
    struct rng rng;
    rng_init(&rng, 9);
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t junk[24];
        size_t n = rng_below(&rng, sizeof junk);
        for (size_t i = 0; i < n; i++)
            junk[i] = (uint8_t)(rng_below(&rng, 3) ? rng_next(&rng) : 0x80 + rng_below(&rng, 32));
        uint8_t *exact = mem_dup(junk, n); /* the sanitizer watches its ends */
        struct mp m = mp_read(bytes_of(exact, n));
        while (m.p < m.end)
            mp_skip(&m);
        m = mp_read(bytes_of(exact, n));
        struct bytes b = mp_bin(&m);
        cr_assert(m.bad || b.p + b.n == m.p);
        mem_free(exact);
    }
}
