/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "shard/bitmap.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, false); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_bits, .init = start, .fini = stop);

#define BAD_OFFSET "error ERR bit offset is not an integer or out of range"

Test(cmd_bits, setbit_grows_the_string_and_returns_the_bit_before)
{
    expect(&r, "SETBIT k 7 1", "0");
    expect(&r, "SETBIT k 7 0", "1");
    expect(&r, "SETBIT k 1 1", "0");
    expect(&r, "GET k", "@");
    expect(&r, "SETBIT k 40 0", "0");
    expect(&r, "STRLEN k", "6");
    expect(&r, "GETBIT k 1", "1");
    expect(&r, "GETBIT k 41", "0");
    expect(&r, "GETBIT none 0", "0");
}

Test(cmd_bits, setbit_keeps_the_deadline)
{
    run(&r, "SET k a EX 100");
    expect(&r, "SETBIT k 6 1", "0");
    expect(&r, "GET k", "c");
    expect(&r, "TTL k", "100");
}

Test(cmd_bits, offsets_end_with_the_longest_string)
{
    expect(&r, "SETBIT k 4294967296 1", BAD_OFFSET);
    expect(&r, "SETBIT k -1 1", BAD_OFFSET);
    expect(&r, "GETBIT k x", BAD_OFFSET);
    expect(&r, "BITFIELD k GET u8 #536870912", BAD_OFFSET);
    expect(&r, "BITFIELD k GET i64 #9223372036854775807", BAD_OFFSET);
    expect(&r, "SETBIT k 1 2", "error ERR bit is not an integer or out of range");
}

Test(cmd_bits, bitcount_of_ranges)
{
    run(&r, "SET k foobar");
    expect(&r, "BITCOUNT k", "26");
    expect(&r, "BITCOUNT k 0 0", "4");
    expect(&r, "BITCOUNT k 1 1", "6");
    expect(&r, "BITCOUNT k 5 30 BIT", "17");
    expect(&r, "BITCOUNT k 5 5 bit", "1");
    expect(&r, "BITCOUNT k -2 -1 BYTE", "7");
    expect(&r, "BITCOUNT k 4 1", "0");
    expect(&r, "BITCOUNT k 0", "error ERR syntax error");
    expect(&r, "BITCOUNT k 0 1 bits", "error ERR syntax error");
    expect(&r, "BITCOUNT none 0 1 bits", "0");
}

Test(cmd_bits, bitpos_counts_zeros_behind_the_end_only_without_an_end)
{
    run(&r, "SET k \"\\xff\\xf0\\x00\"");
    expect(&r, "BITPOS k 0", "12");
    expect(&r, "BITPOS k 1 1", "8");
    expect(&r, "BITPOS k 1 2", "-1");
    expect(&r, "BITPOS k 0 9 11 BIT", "-1");
    run(&r, "SET k \"\\xff\\xff\"");
    expect(&r, "BITPOS k 0", "16");
    expect(&r, "BITPOS k 0 0 -1", "-1");
    expect(&r, "BITPOS k 0 5", "-1");
    expect(&r, "BITPOS none 0", "0");
    expect(&r, "BITPOS none 1", "-1");
    expect(&r, "BITPOS k 2", "error ERR The bit argument must be 1 or 0.");
}

Test(cmd_bits, bitop_pads_with_zeros)
{
    run(&r, "SET a abc");
    run(&r, "SET b \"\\xff\"");
    expect(&r, "BITOP AND d a b", "3");
    expect(&r, "GET d", "\"a\\x00\\x00\"");
    expect(&r, "BITOP or d a b none", "3");
    expect(&r, "GET d", "\"\\xffbc\"");
    expect(&r, "BITOP XOR d d d", "3");
    expect(&r, "GET d", "\"\\x00\\x00\\x00\"");
    expect(&r, "BITOP NOT d b", "1");
    expect(&r, "GET d", "\"\\x00\"");
    expect(&r, "BITOP NOT d a b", "error ERR BITOP NOT must be called with a single source key.");
    expect(&r, "BITOP AND d none", "0");
    expect(&r, "EXISTS d", "0");
}

Test(cmd_bits, bitfield_overflows_as_told)
{
    expect(&r, "BITFIELD k SET u8 #0 255 INCRBY u8 #0 10 GET u8 #0", "[0 9 9]");
    expect(&r, "BITFIELD k OVERFLOW SAT INCRBY u8 #0 300 INCRBY u8 #0 -500", "[255 0]");
    expect(&r, "BITFIELD k OVERFLOW FAIL INCRBY i8 #0 127 INCRBY i8 #0 1", "[127 nil]");
    expect(&r, "BITFIELD k INCRBY i8 #0 1", "[-128]");
    expect(&r, "BITFIELD k OVERFLOW SAT SET u4 1 -1 GET u4 1", "[0 15]");
    expect(&r, "BITFIELD k SET i64 4 -2 GET i64 4", "[-9223372036854775808 -2]");
    expect(&r, "BITFIELD k OVERFLOW FAIL INCRBY u63 0 9223372036854775807", "[nil]");
    expect(&r, "BITFIELD k GET u64 0",
           "error ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
           "supported but i64 is.");
    expect(&r, "BITFIELD k OVERFLOW x", "error ERR Invalid OVERFLOW type specified");
    expect(&r, "BITFIELD k SET u8 0", "error ERR syntax error");
    expect(&r, "BITFIELD_RO k SET u8 0 1",
           "error ERR BITFIELD_RO only supports the GET subcommand");
    expect(&r, "BITFIELD k", "[]");
}

Test(cmd_bits, bitfield_on_a_long_string_equals_one_on_a_short_string)
{
    expect(&r, "SETBIT long 400000 0", "0");
    for (unsigned i = 0; i < 60; i++) {
        char line[128], short_reply[128];
        snprintf(line, sizeof line, "BITFIELD short SET i%u %u %u INCRBY u%u %u %d", 1 + i, 3 * i,
                 77777 * i, 63 - i, 2 * i, (int)i - 30);
        snprintf(short_reply, sizeof short_reply, "%s", run(&r, line));
        memcpy(strstr(line, "short"), "long ", 5);
        expect(&r, line, short_reply);
    }
    char *prefix = mem_strdup(run(&r, "GET short"));
    char line[64];
    snprintf(line, sizeof line, "GETRANGE long 0 %d", atoi(run(&r, "STRLEN short")) - 1);
    expect(&r, line, prefix);
    mem_free(prefix);
}

Test(cmd_bits, other_types_are_refused)
{
    run(&r, "LPUSH l a");
    static const char *const lines[] = {"SETBIT l 0 1",      "GETBIT l 0",           "BITCOUNT l",
                                        "BITPOS l 1",        "BITFIELD l",           "BITOP OR d l",
                                        "BITOP OR d none l", "BITFIELD l SET u8 0 1"};
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect(&r, lines[i],
               "error WRONGTYPE Operation against a key holding the wrong kind of value");
}

/* ------------------------------------------------------------ the arithmetic, against the obvious
 */

Test(bitmap, agrees_with_one_bit_at_a_time)
{
    struct rng rng;
    uint8_t bytes[700];
    rng_init(&rng, 7);
    for (unsigned round = 0; round < 2000; round++) {
        size_t n = 1 + (size_t)rng_below(&rng, sizeof bytes);
        unsigned kind = (unsigned)rng_below(&rng, 3);
        for (size_t i = 0; i < n; i++)
            bytes[i] = kind == 0 ? (uint8_t)rng_next(&rng) : kind == 1 ? 0 : 0xff;
        struct bytes s = bytes_of(bytes, n);
        uint64_t first = rng_below(&rng, n * 8), last = first + rng_below(&rng, n * 8 - first);
        bytes[rng_below(&rng, n)] ^= (uint8_t)(1u << rng_below(&rng, 8));
        uint64_t set = 0;
        int64_t at[2] = {-1, -1};
        for (uint64_t i = last + 1; i-- > first;) {
            set += bitmap_get(s, i);
            at[bitmap_get(s, i)] = (int64_t)i;
        }
        cr_assert_eq(bitmap_count_bits(s, first, last), set);
        cr_assert_eq(bitmap_find(s, false, first, last), at[0]);
        cr_assert_eq(bitmap_find(s, true, first, last), at[1]);
    }
}

Test(bitmap, numbers_are_read_as_they_were_written)
{
    struct rng rng;
    uint8_t bytes[40] = {0}, was[40];
    rng_init(&rng, 8);
    for (unsigned round = 0; round < 5000; round++) {
        unsigned width = 1 + (unsigned)rng_below(&rng, 64);
        uint64_t at = rng_below(&rng, sizeof bytes * 8 - width + 1);
        uint64_t v = rng_next(&rng) >> (64 - width);
        memcpy(was, bytes, sizeof bytes);
        bitmap_store(bytes, at, width, v);
        cr_assert_eq(bitmap_load(bytes_of(bytes, sizeof bytes), at, width), v);
        for (uint64_t i = 0; i < sizeof bytes * 8; i++)
            if (i < at || i >= at + width)
                cr_assert_eq(bitmap_get(bytes_of(bytes, sizeof bytes), i),
                             bitmap_get(bytes_of(was, sizeof was), i));
    }
    cr_expect_eq(bitmap_load(bytes_of(bytes, 0), 100, 64), 0);
}
