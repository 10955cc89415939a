/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/hll_estimate.h"
#include "tests/unit/run.h"

#include <stdio.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_hll, .init = start, .fini = stop);

Test(cmd_hll, hash_is_murmur_64a)
{
    /* computed with another implementation */
    cr_expect(hll_hash(bytes_str("")) == UINT64_C(0xd8dfea6585bc9732));
    cr_expect(hll_hash(bytes_str("a")) == UINT64_C(0x53d2470a9b43b1a7));
    cr_expect(hll_hash(bytes_str("hello")) == UINT64_C(0xf656f01eecfe400));
    cr_expect(hll_hash(bytes_str("12345678")) == UINT64_C(0x95ebb86389132953));
    cr_expect(hll_hash(bytes_str("123456789")) == UINT64_C(0x217532cb09f2a44d));
    cr_expect(hll_hash(bytes_str("the quick brown fox")) == UINT64_C(0xa9b9ed93197d7db3));
}

Test(cmd_hll, places_come_from_the_hash)
{
    uint16_t index;
    uint8_t rank;
    hll_place(bytes_str("a"), &index, &rank); /* ...0111 1011 0001 1010 0111 */
    cr_expect(index == 0x31a7, "%x", index);
    cr_expect(rank == 2, "%u", rank);
    for (unsigned i = 0; i < 10000; i++) {
        hll_place(bytes_of(&i, sizeof i), &index, &rank);
        cr_assert(index < HLL_REGISTERS && rank >= 1 && rank <= HLL_RANK_MAX);
    }
}

/* What redis-server 7.0.15 counts after PFADD e0 ... e<n-1>. */
Test(cmd_hll, estimates_equal_redis)
{
    static uint8_t ranks[HLL_REGISTERS];
    char text[16];
    cr_expect(hll_estimate(ranks) == 0);
    for (unsigned i = 0; i < 50000; i++) {
        uint16_t index;
        uint8_t rank;
        size_t n = (size_t)snprintf(text, sizeof text, "e%u", i);
        hll_place(bytes_of(text, n), &index, &rank);
        if (rank > ranks[index])
            ranks[index] = rank;
        if (i == 0)
            cr_expect(hll_estimate(ranks) == 1);
        if (i == 999)
            cr_expect(hll_estimate(ranks) == 1008);
    }
    cr_expect(hll_estimate(ranks) == 49978);
}

Test(cmd_hll, full_registers_do_not_break_the_estimate)
{
    static uint8_t ranks[HLL_REGISTERS];
    memset(ranks, HLL_RANK_MAX - 1, sizeof ranks);
    cr_expect(hll_estimate(ranks) > UINT64_C(1) << 60);
}

Test(cmd_hll, adding_and_counting)
{
    expect(&r, "PFCOUNT none", "0");
    expect(&r, "PFADD h a b c", "1");
    expect(&r, "PFADD h a b c a", "0");
    expect(&r, "PFCOUNT h", "3");
    expect(&r, "PFADD h d", "1");
    expect(&r, "PFADD other c d e", "1");
    expect(&r, "PFCOUNT h other none", "5");
    expect(&r, "TYPE h", "string");
    expect(&r, "PFADD empty", "1");
    expect(&r, "PFADD empty", "0");
    expect(&r, "EXISTS empty", "1");
    expect(&r, "PFCOUNT empty", "0");
    expect(&r, "DEL h empty", "2");
    expect(&r, "PFCOUNT h", "0");
}

Test(cmd_hll, merging)
{
    expect(&r, "PFADD a x y", "1");
    expect(&r, "PFADD b y z", "1");
    expect(&r, "PFMERGE b a", "OK");
    expect(&r, "PFCOUNT b", "3");
    expect(&r, "PFMERGE c a b none", "OK");
    expect(&r, "PFCOUNT c", "3");
    expect(&r, "PFMERGE d", "OK");
    expect(&r, "EXISTS d", "1");
}

Test(cmd_hll, wrong_types)
{
    const char *text = "error WRONGTYPE Key is not a valid HyperLogLog string value.";
    const char *other = "error WRONGTYPE Operation against a key holding the wrong kind of value";
    expect(&r, "SET s x", "OK");
    expect(&r, "SADD set x", "1");
    expect(&r, "PFADD s a", text);
    expect(&r, "PFCOUNT s", text);
    expect(&r, "PFCOUNT none s", text);
    expect(&r, "PFMERGE s none", text);
    expect(&r, "PFMERGE none s", text);
    expect(&r, "EXISTS none", "0");
    expect(&r, "PFADD set a", other);
    expect(&r, "PFMERGE none set", other);
}

Test(cmd_hll, adds_are_united_and_survive_a_concurrent_delete)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "PFADD h x", "1");
    expect(&other, "PFADD h y", "1");
    run_sync(both, 2);
    expect(&r, "PFCOUNT h", "2");
    expect(&other, "PFCOUNT h", "2");
    expect(&r, "DEL h", "1");
    expect(&other, "PFADD h x", "0");
    run_sync(both, 2);
    expect(&r, "PFCOUNT h", "1");
    expect(&other, "PFCOUNT h", "1");
    run_stop(&other);
}

/* Without it every frame would leave a segment for as long as a peer is out of reach. */
Test(cmd_hll, many_additions_are_absorbed_into_one)
{
    struct run other, *both[] = {&r, &other};
    char line[64];
    run_start(&other, 2, true);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "PFADD h e%u", i);
        run(&r, line);
        shard_close_frames(r.shard, r.now);
    }
    expect(&r, "PFCOUNT h", "1008");
    run_sync(both, 2);
    expect(&other, "PFCOUNT h", "1008");
    expect(&other, "DEL h", "1");
    expect(&r, "PFADD h e1", "0");
    run_sync(both, 2);
    expect(&r, "PFCOUNT h", "1");
    run_stop(&other);
}

/* ------------------------------------------------------------ as strings */

#define NO_HLL "error WRONGTYPE Key is not a valid HyperLogLog string value."

Test(cmd_hll, shows_as_the_string_that_redis_holds)
{
    expect(&r, "PFADD p", "1");
    expect(&r, "GET p",
           "\"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x7f\\xff\"");
    expect(&r, "PFADD p a", "1");
    expect(&r, "PFDEBUG DECODE p", "\"Z:12711 v:2,1 Z:3672\"");
    expect(&r, "STRLEN p", "21");
    expect(&r, "TYPE p", "string");
    expect(&r, "PFDEBUG ENCODING p", "sparse");
    expect(&r, "PFDEBUG TODENSE p", "1");
    expect(&r, "PFDEBUG TODENSE p", "0");
    expect(&r, "STRLEN p", "12304");
    expect(&r, "PFDEBUG DECODE p", "error ERR HLL encoding is not sparse");
    expect(&r, "PFADD p b", "1");
    expect(&r, "PFDEBUG ENCODING p", "dense");
    expect(&r, "PFCOUNT p", "2");
    expect(&r, "INCR p", "error ERR value is not an integer or out of range");
    expect(&r, "PFDEBUG x p", "error ERR Unknown PFDEBUG subcommand 'x'");
    expect(&r, "PFDEBUG GETREG none", "error ERR The specified key does not exist");
    expect(&r, "PFSELFTEST", "OK");
}

Test(cmd_hll, the_cached_cardinality_is_that_of_the_last_count)
{
    struct run one;
    run_start(&one, 1, false);
    run(&one, "PFADD p a b c");
    expect(&one, "GETRANGE p 15 15", "\"\\x80\"");
    expect(&one, "PFCOUNT p", "3");
    expect(&one, "GETRANGE p 8 15", "\"\\x03\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"");
    run(&one, "PFADD p a b");
    expect(&one, "GETRANGE p 15 15", "\"\\x00\"");
    run(&one, "PFADD p d");
    expect(&one, "GETRANGE p 15 15", "\"\\x80\"");
    run_stop(&one);
}

Test(cmd_hll, many_elements_make_it_dense)
{
    char line[64];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(line, sizeof line, "PFADD p e%u", i);
        run(&r, line);
        if (i == 900)
            expect(&r, "PFDEBUG ENCODING p", "sparse");
    }
    expect(&r, "PFDEBUG ENCODING p", "dense");
    expect(&r, "PFMERGE q p", "OK");
    expect(&r, "PFDEBUG ENCODING q", "dense");
}

Test(cmd_hll, a_writing_string_command_makes_it_a_string)
{
    run(&r, "PFADD p a b c");
    run(&r, "EXPIRE p 100");
    expect(&r, "APPEND p hello", "32");
    expect(&r, "TTL p", "100");
    expect(&r, "PFCOUNT p", "error INVALIDOBJ Corrupted HLL object detected");
    expect(&r, "PFADD p x", "error INVALIDOBJ Corrupted HLL object detected");
    run(&r, "PFADD q a b c");
    expect(&r, "SETRANGE q 4 x", "27");
    expect(&r, "PFCOUNT q", NO_HLL);
    run(&r, "DEL q");
    run(&r, "PFADD q a b c");
    expect(&r, "SETRANGE q 4 \"\\x00\"", "27"); /* dense, but not as long as that is */
    expect(&r, "PFMERGE m q", NO_HLL);
}

Test(cmd_hll, a_string_that_holds_one_is_taken_over)
{
    const char *text = "\"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80q\\xa6"
                       "\\x84NW\""; /* a: register 12711, rank 2 */
    char line[128];
    snprintf(line, sizeof line, "SET s %s EX 100", text);
    expect(&r, line, "OK");
    expect(&r, "PFCOUNT s", "1");
    expect(&r, "PFADD s a", "0");
    expect(&r, "PFADD s b", "1");
    expect(&r, "PFCOUNT s", "2");
    expect(&r, "TTL s", "100");
    expect(&r, "PFDEBUG ENCODING s", "sparse");
    expect(&r, "SET t foo", "OK");
    expect(&r, "PFADD t a", NO_HLL);
    expect(&r, "GETRANGE s 0 3", "HYLL");
    run(&r, "GETSET s x");
    expect(&r, "GET s", "x");
}
