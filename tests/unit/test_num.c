/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/num.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What is expected here was read off redis-server 7.0.15. */

Test(num, integers_are_strict)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "-0",
                                      "00",
                                      "01",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x1",
                                      "1e3",
                                      "--1",
                                      "a",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999",
                                      "-01"};
    int64_t v = 7;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!num_parse_i64(bytes_str(bad[i]), &v), "%s", bad[i]);
    cr_assert(!num_parse_i64(bytes_of("1\0", 2), &v));
    cr_assert(num_parse_i64(bytes_str("0"), &v) && v == 0);
    cr_assert(num_parse_i64(bytes_str("9223372036854775807"), &v) && v == INT64_MAX);
    cr_assert(num_parse_i64(bytes_str("-9223372036854775808"), &v) && v == INT64_MIN);
}

static void check_i64(int64_t v)
{
    char mine[32], theirs[32];
    size_t n = num_format_i64(mine, v);
    cr_assert_eq(n, (size_t)snprintf(theirs, sizeof theirs, "%" PRId64, v));
    cr_assert_arr_eq(mine, theirs, n);
    int64_t back;
    cr_assert(num_parse_i64(bytes_of(mine, n), &back) && back == v);
    n = num_format_u64(mine, (uint64_t)v);
    cr_assert_eq(n, (size_t)snprintf(theirs, sizeof theirs, "%" PRIu64, (uint64_t)v));
    cr_assert_arr_eq(mine, theirs, n);
}

Test(num, integers_go_there_and_back)
{
    struct rng rng;
    rng_init(&rng, 1);
    check_i64(INT64_MIN);
    check_i64(INT64_MAX);
    for (int64_t p = 1; p <= INT64_MAX / 10; p *= 10) {
        for (int64_t d = -1; d <= 1; d++) {
            check_i64(p + d);
            check_i64(-p + d);
        }
    }
    for (unsigned i = 0; i < 10000; i++)
        check_i64((int64_t)(rng_next(&rng) >> rng_below(&rng, 64)));
}

static void check_double(const char *text, const char *shown)
{
    double v;
    char out[NUM_TEXT_MAX];
    bool ok = num_parse_double(bytes_str(text), &v);
    cr_assert_eq(ok, shown != NULL, "%s", text);
    if (!ok)
        return;
    size_t n = num_format_double(out, v);
    cr_assert(bytes_is(bytes_of(out, n), shown), "%s: %.*s", text, (int)n, out);
}

Test(num, doubles_are_read_and_shown_as_redis_does)
{
    static const char *const cases[][2] = {
        {"3", "3"},
        {"3.0", "3"},
        {"3.1", "3.1"},
        {"-0", "-0"},
        {"+5", "5"},
        {".5", "0.5"},
        {"5.", "5"},
        {"-.5e1", "-5"},
        {"0x1p3", "8"},
        {"inf", "inf"},
        {"+inf", "inf"},
        {"-INF", "-inf"},
        {"infinity", "inf"},
        {"1e300", "1e+300"},
        {"3e17", "300000000000000000"},
        {"5e18", "5e+18"},
        {"-3e17", "-300000000000000000"},
        {"1e-320", "1e-320"},
        {"0.1", "0.1"},
        {"123456.789", "123456.789"},
        {"1.5e-7", "1.5e-7"},
        {"0.00001", "0.00001"},
        {"0.3000000000000000444", "0.30000000000000004"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"2251799813685249.5", "2251799813685249.5"},
    };
    static const char *const bad[] = {"",       " 1",     "1 ",  "nan",   "-nan", "1e400",
                                      "-1e400", "1e-400", "1_0", "1.2.3", "-",    ".",
                                      "1,5",    "\t1",    "e5",  "12a"};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        check_double(cases[i][0], cases[i][1]);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        check_double(bad[i], NULL);
    double v;
    cr_assert(!num_parse_double(bytes_of("1\0002", 3), &v));
    char zeros[6001] = {0};
    memset(zeros, '0', 6000);
    cr_assert(num_parse_double(bytes_of(zeros, 6000), &v) && v == 0);
}

Test(num, plain_decimals_are_rounded_as_strtod_does)
{
    struct rng rng;
    rng_init(&rng, 2);
    for (unsigned i = 0; i < 50000; i++) {
        char text[40];
        uint64_t whole = rng_below(&rng, 1000000);
        uint64_t fraction = rng_next(&rng) >> (64 - rng_below(&rng, 28) - 1);
        int n = snprintf(text, sizeof text, "%s%" PRIu64 ".%" PRIu64, i % 2 ? "-" : "", whole,
                         fraction);
        double v;
        cr_assert(num_parse_double(bytes_of(text, (size_t)n), &v));
        cr_assert(v == strtod(text, NULL), "%s", text);
    }
}

static void check_ld(const char *text, const char *shown)
{
    long double v;
    char out[NUM_TEXT_MAX];
    bool ok = num_parse_ld(bytes_str(text), &v);
    cr_assert_eq(ok, shown != NULL, "%s", text);
    if (!ok)
        return;
    size_t n = num_format_ld(out, v);
    cr_assert(bytes_is(bytes_of(out, n), shown), "%s: %.*s", text, (int)n, out);
}

Test(num, what_has_no_digits_is_named)
{
    char out[NUM_TEXT_MAX]; /* a script's reply may be any double */
    cr_assert(bytes_is(bytes_of(out, num_format_double(out, NAN)), "nan"));
    cr_assert(bytes_is(bytes_of(out, num_format_shortest(out, NAN)), "nan"));
    cr_assert(bytes_is(bytes_of(out, num_format_shortest(out, -INFINITY)), "-inf"));
    cr_assert(bytes_is(bytes_of(out, num_format_ld(out, (long double)NAN)), "nan"));
}

Test(num, long_doubles_are_shown_for_humans)
{
    check_ld("10.6", "10.6");
    check_ld("-0", "0");
    check_ld("-1e-30", "0");
    check_ld("1e-17", "0.00000000000000001");
    check_ld("3.0e20", "300000000000000000000");
    check_ld("0x10", "16");
    check_ld("5.0e3", "5000");
    check_ld("100", "100");
    check_ld("inf", "inf");
    check_ld("-inf", "-inf");
    check_ld("nan", NULL);
    check_ld("", NULL);
    check_ld(" 1", NULL);
    check_ld("1e5000", NULL);
    check_ld("1e-5000", NULL);
    check_ld("1x", NULL);
    char out[NUM_TEXT_MAX];
    size_t n = num_format_ld(out, -9.9e349L);
    cr_assert_eq(n, 351);
    /* Redis writes thousands of digits; ours is shorter and the same number */
    static const long double large[] = {-1e350L, 1e4000L, 1.18973149535723176502e+4932L};
    for (unsigned i = 0; i < 3; i++) {
        long double back;
        n = num_format_ld(out, large[i]);
        cr_assert_lt(n, 40);
        cr_assert(num_parse_ld(bytes_of(out, n), &back) && back == large[i]);
    }
}
