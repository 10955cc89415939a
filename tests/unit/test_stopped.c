/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>

/*
 * Keys k0, k1, ... lie on shards of both workers: whatever worker a client came to, some of its
 * commands run on the other one.
 */
#define KEYS 8
#define BIG (400u << 10)

static struct serve *two(size_t reply_bytes_max)
{
    return serve_new(
        &(struct serve_opts){.workers = 2, .shards = 4, .reply_bytes_max = reply_bytes_max});
}

static void put_big(struct client *c)
{
    struct buf out = {0};
    for (unsigned k = 0; k < KEYS; k++) {
        buf_putf(&out, "*3\r\n$3\r\nSET\r\n$2\r\nk%u\r\n$%u\r\n", k, BIG);
        memset(buf_reserve(&out, BIG), (int)('a' + k), BIG);
        buf_added(&out, BIG);
        buf_put_str(&out, "\r\n");
    }
    client_send(c, buf_bytes(&out));
    buf_deinit(&out);
    serve_run(client_serve(c), 500);
    (void)client_take(c);
}

/* Of `keys` keys in turn, from k<first> on. */
static void ask_keys(struct client *c, unsigned n, unsigned first, unsigned keys)
{
    struct buf out = {0};
    for (unsigned i = 0; i < n; i++)
        buf_putf(&out, "get k%u\r\n", first + i % keys);
    client_send(c, buf_bytes(&out));
    buf_deinit(&out);
}

static void ask_big(struct client *c, unsigned n) { ask_keys(c, n, 0, KEYS); }

/* What it does not read yet takes little memory; then all of it comes. */
static void bounded(struct client *c, unsigned n, unsigned first, unsigned keys)
{
    struct serve *s = client_serve(c);
    client_stall(c, true);
    size_t before = mem_used();
    ask_keys(c, n, first, keys);
    serve_run(s, 1000);
    cr_expect_lt(mem_used() - before, 8u << 20, "%u keys from k%u on: %zu bytes", keys, first,
                 mem_used() - before);
    client_stall(c, false);
    serve_run(s, 3000);
    const char *got = client_take(c);
    for (unsigned i = 0; i < n; i++) {
        cr_assert_eq(strncmp(got, "$409600\r\n", 9), 0, "reply %u: %.20s", i, got);
        got += 9;
        cr_assert_eq(got[0], 'a' + (int)(first + i % keys), "reply %u", i);
        cr_assert_eq(strspn(got, (char[]){got[0], 0}), BIG);
        got += BIG + 2;
    }
    cr_expect_eq(*got, 0);
}

Test(stopped, a_pipeline_of_large_replies_from_another_worker_is_bounded)
{
    struct serve *s = two(0);
    struct client *c = client_new(s);
    put_big(c);
    bounded(c, 200, 0, KEYS); /* 80 MB */
    serve_free(s);
}

/* Where nothing of it is on the session's own worker, its own output holds nothing back. */
Test(stopped, so_it_is_where_all_of_them_come_from_there)
{
    struct serve *s = two(0);
    struct client *c = client_new(s);
    put_big(c);
    for (unsigned k = 0; k < KEYS; k++) /* of one of both workers each */
        bounded(c, 50, k, 1);
    serve_free(s);
}

/* What the model says of the commands below, as one worker would answer them. */
static const char mixed[] =
    "set {a}n 1\r\nget k0\r\nincr {a}n\r\nget k1\r\nget k2\r\nget k3\r\n"
    "watch {a}n\r\nmulti\r\nincr {a}n\r\nget {a}n\r\nexec\r\n"
    "mget k4 {a}n k5\r\nrpush {b}l x y\r\nblpop {b}l 0\r\n"
    "unwatch\r\nwatch {a}n\r\nunwatch\r\nincr {a}n\r\n"
    "multi\r\nincr {a}n\r\nexec\r\neval \"return redis.call('get',KEYS[1])\" "
    "1 {a}n\r\ncrdt.wait 0 100\r\nlpop {b}l\r\nkeys {a}*\r\n"
    "get k6\r\nget k7\r\ndel {a}n\r\nexists {a}n k0\r\nget k0\r\n";

/* Every limit stops elsewhere: the replies are the same, in the same order, and all come. */
Test(stopped, replies_come_in_order_wherever_a_session_is_stopped)
{
    static const char text[] = "the reply of a key that is longer than some limits";
    char *want = NULL;
    for (unsigned limit = 1000; limit > 0; limit = limit > 100 ? 100 : limit / 3) {
        struct serve *s = two(limit);
        struct client *c = client_new(s);
        for (unsigned k = 0; k < KEYS; k++) {
            char set[128];
            snprintf(set, sizeof set, "*3\r\n$3\r\nSET\r\n$2\r\nk%u\r\n$%zu\r\n%s\r\n", k,
                     sizeof text - 1, text);
            client_send(c, bytes_str(set));
        }
        serve_run(s, 200);
        (void)client_take(c);
        for (unsigned i = 0; i < 20; i++)
            client_send(c, bytes_str(mixed));
        serve_run(s, 8000);
        const char *got = client_take(c);
        if (want == NULL)
            want = mem_dup(got, strlen(got) + 1);
        cr_expect_str_eq(got, want, "limit %u", limit);
        cr_expect_eq(strncmp(got, "+OK\r\n", 5), 0);
        serve_free(s);
    }
    mem_free(want);
}

/* A client that goes while it is stopped leaves nothing behind, and what it had sent beyond is not
 * run, as if it had not been read. */
Test(stopped, a_session_that_goes_is_forgotten)
{
    struct serve *s = two(1);
    struct client *other = client_new(s);
    put_big(other);
    for (unsigned i = 0; i < KEYS; i++) {
        char text[64];
        struct client *c = client_new(s);
        client_stall(c, true);
        ask_big(c, 20);
        snprintf(text, sizeof text, "watch w%u\r\nunwatch\r\nset gone%u 1\r\n", i, i);
        client_send(c, bytes_str(text));
        serve_run(s, i * 3);
        client_close(c);
    }
    serve_run(s, 1000);
    cr_expect_str_eq(client_ask(other, "keys gone*\r\n"), "*0\r\n");
    cr_expect_str_eq(client_ask(other, "client kill type normal skipme yes\r\n"), ":0\r\n");
    serve_free(s); /* with nothing left, or the sanitizers say so */
}

/* While one that is stopped does not read, others are served by both workers. */
Test(stopped, others_are_served)
{
    struct serve *s = two(0);
    struct client *c = client_new(s), *other = client_new(s);
    put_big(c);
    client_stall(c, true);
    ask_big(c, 200);
    serve_run(s, 500);
    for (unsigned k = 0; k < KEYS; k++) {
        char text[32];
        snprintf(text, sizeof text, "strlen k%u\r\n", k);
        cr_expect_str_eq(client_ask(other, text), ":409600\r\n");
    }
    serve_free(s);
}
