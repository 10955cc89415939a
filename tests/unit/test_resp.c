/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/resp.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct resp_limits limits = {
    .bulk_max = 512u << 20, .args_max = 1024 * 1024, .query_max = 1u << 30};

/* Parses all commands of the text and writes them as [a|b][c], an error as !text. */
static void all(const char *text, char *out, size_t size)
{
    struct resp_args args = {0};
    struct bytes in = bytes_str(text);
    size_t n = 0;
    out[0] = 0;
    while (in.n > 0) {
        struct resp r = {0};
        enum resp_result result = resp_parse(&r, in, &limits, &args);
        if (result == RESP_MORE) {
            n += (size_t)snprintf(out + n, size - n, "...");
            break;
        }
        if (result == RESP_BAD) {
            n += (size_t)snprintf(out + n, size - n, "!%s", r.why);
            break;
        }
        n += (size_t)snprintf(out + n, size - n, "[");
        for (uint32_t i = 0; i < r.argc; i++)
            n +=
                (size_t)snprintf(out + n, size - n, "%s%.*s", i ? "|" : "",
                                 (int)args.at[r.first + i].n, (const char *)args.at[r.first + i].p);
        n += (size_t)snprintf(out + n, size - n, "]");
        in = bytes_of(in.p + r.used, in.n - r.used);
    }
    resp_args_deinit(&args);
}

static void expect(const char *text, const char *want)
{
    char got[512];
    all(text, got, sizeof got);
    cr_expect_str_eq(got, want, "%s: got %s, want %s", text, got, want);
}

Test(resp, reads_arrays_and_inline_commands)
{
    expect("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "[GET|k]");
    expect("*1\r\n$4\r\nPING\r\nPING\r\n*0\r\n\r\nping a\n", "[PING][PING][][][ping|a]");
    expect("*2\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n", "[|\r\n\r\n]");
    expect("*-1\r\n", "[]");
}

Test(resp, reads_quotes_in_inline_commands)
{
    expect("set 'a b' \"c\\x41\\n\\\"\"\r\n", "[set|a b|cA\n\"]");
    expect("set 'it\\'s' x\"y\"\r\n", "[set|it's|xy]");
    expect("set \"\" ''\r\n", "[set||]");
    expect("set \"a\r\n", "!Protocol error: unbalanced quotes in request");
    expect("set \"a\"b\r\n", "!Protocol error: unbalanced quotes in request");
    expect("set 'a\r\n", "!Protocol error: unbalanced quotes in request");
}

Test(resp, refuses_with_redis_texts)
{
    expect("*a\r\n", "!Protocol error: invalid multibulk length");
    expect("*1048577\r\n", "!Protocol error: invalid multibulk length");
    expect("*99999999999999999999\r\n", "!Protocol error: invalid multibulk length");
    expect("*1\r\nGET\r\n", "!Protocol error: expected '$', got 'G'");
    expect("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$x\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$01\r\n", "!Protocol error: invalid bulk length");
}

Test(resp, limits_strangers)
{
    struct resp_limits l = limits;
    struct resp_args args = {0};
    l.unauthenticated = true;
    struct resp r = {0};
    cr_assert_eq(resp_parse(&r, bytes_str("*11\r\n"), &l, &args), RESP_BAD);
    cr_expect_str_eq(r.why, "Protocol error: unauthenticated multibulk length");
    r = (struct resp){0};
    cr_assert_eq(resp_parse(&r, bytes_str("*1\r\n$16385\r\n"), &l, &args), RESP_BAD);
    cr_expect_str_eq(r.why, "Protocol error: unauthenticated bulk length");
    r = (struct resp){0};
    cr_assert_eq(resp_parse(&r, bytes_str("*10\r\n$16384\r\n"), &l, &args), RESP_MORE);
    resp_args_deinit(&args);
}

Test(resp, limits_inline_commands)
{
    char *line = mem_alloc(RESP_INLINE_MAX + 10);
    memset(line, 'x', RESP_INLINE_MAX + 10);
    struct resp_args args = {0};
    struct resp r = {0};
    cr_assert_eq(resp_parse(&r, bytes_of(line, RESP_INLINE_MAX), &limits, &args), RESP_MORE);
    cr_assert_eq(resp_parse(&r, bytes_of(line, RESP_INLINE_MAX + 10), &limits, &args), RESP_BAD);
    cr_expect_str_eq(r.why, "Protocol error: too big inline request");
    resp_args_deinit(&args);
    mem_free(line);
}

/* A command that arrives byte by byte, at another address each time, parses as if it had come at
 * once. */
Test(resp, resumes_anywhere_and_follows_moved_input)
{
    const char text[] = "*3\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n$5\r\nvalue\r\n";
    size_t n = sizeof text - 1;
    struct resp_args args = {0};
    struct resp r = {0};
    char *kept = NULL;
    for (size_t len = 1; len <= n; len++) {
        char *copy = mem_dup(text, len);
        enum resp_result result = resp_parse(&r, bytes_of(copy, len), &limits, &args);
        mem_free(kept);
        kept = copy;
        cr_assert_eq(result, len == n ? RESP_DONE : RESP_MORE, "at %zu", len);
    }
    cr_assert_eq(r.argc, 3);
    cr_assert_eq(r.used, n);
    cr_expect(bytes_is(args.at[0], "SET"));
    cr_expect(bytes_is(args.at[1], "0123456789"));
    cr_expect(bytes_is(args.at[2], "value"));
    mem_free(kept);
    resp_args_deinit(&args);
}

Test(resp, measures_replies)
{
    cr_expect_eq(resp_value_len(bytes_str("+OK\r\nrest")), 5);
    cr_expect_eq(resp_value_len(bytes_str("$3\r\nabc\r\n$")), 9);
    cr_expect_eq(resp_value_len(bytes_str("$-1\r\n*")), 5);
    cr_expect_eq(resp_value_len(bytes_str("*2\r\n:1\r\n*1\r\n$1\r\na\r\n:9")), 19);
    cr_expect_eq(resp_value_len(bytes_str("%1\r\n+a\r\n_\r\n")), 11);
    cr_expect_eq(resp_value_len(bytes_str("$3\r\nab")), 0);
    cr_expect_eq(resp_value_len(bytes_str("*2\r\n:1\r\n")), 0);
}
