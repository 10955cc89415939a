/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Commands that wait, with real workers and clients: order of replies, time, ends. Each claim holds
 * on one worker, and where the shard is another's. */

struct place {
    unsigned workers, shards;
};
static const struct place places[] = {{1, 1}, {2, 4}, {3, 3}};
#define each_place(s)                                                                              \
    for (unsigned at_ = 0; at_ < sizeof places / sizeof places[0]; at_++)                          \
        for (struct serve *s = serve_new(&(struct serve_opts){.workers = places[at_].workers,      \
                                                  .shards = places[at_].shards});                  \
             s != NULL; serve_free(s), s = NULL)

static void expect(struct client *c, const char *ask, const char *want)
{
    const char *got = client_ask(c, ask);
    cr_expect_str_eq(got, want, "%s: got %s", ask, got);
}

static void expect_had(struct client *c, const char *want)
{
    const char *got = client_take(c);
    cr_expect_str_eq(got, want, "got %s, not %s", got, want);
}

static void expect_waiting(struct client *c, unsigned n)
{
    char want[32];
    snprintf(want, sizeof want, "blocked_clients:%u\r\n", n);
    cr_expect_not_null(strstr(client_ask(c, "info clients\r\n"), want), "not %s", want);
}

Test(blocked_sessions, are_served_in_order_of_arrival)
{
    each_place(s)
    {
        struct client *c[6], *d = client_new(s);
        for (int i = 0; i < 6; i++) {
            c[i] = client_new(s);
            expect(c[i], "blpop k 0\r\n", "");
        }
        expect_waiting(d, 6);
        expect(d, "rpush k 0 1 2 3 4 5 6\r\n", ":7\r\n");
        for (int i = 0; i < 6; i++) {
            char want[64];
            snprintf(want, sizeof want, "*2\r\n$1\r\nk\r\n$1\r\n%d\r\n", i);
            expect_had(c[i], want);
        }
        expect(d, "lrange k 0 -1\r\n", "*1\r\n$1\r\n6\r\n");
        expect_waiting(d, 0);
    }
}

Test(blocked_sessions, run_nothing_meanwhile)
{
    each_place(s)
    {
        struct client *c = client_new(s), *d = client_new(s);
        expect(c, "set a 1\r\nblpop k 0\r\nset b 1\r\nblpop l 0\r\nget b\r\n", "+OK\r\n");
        expect(d, "exists b\r\n", ":0\r\n");
        expect(d, "rpush k x\r\n", ":1\r\n");
        expect_had(c, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n+OK\r\n");
        expect(c, "incr n\r\n", "");
        expect(d, "rpush l y\r\n", ":1\r\n");
        expect_had(c, "*2\r\n$1\r\nl\r\n$1\r\ny\r\n$1\r\n1\r\n:1\r\n");
    }
}

Test(blocked_sessions, time_out_to_the_millisecond)
{
    each_place(s)
    {
        struct client *c = client_new(s), *d = client_new(s);
        client_send(c, bytes_str("blpop k 0.123\r\nping\r\n"));
        serve_run(s, 70);
        expect_had(c, ""); /* 120 ms */
        expect_had(c, "*-1\r\n+PONG\r\n");
        cr_expect_not_null(strstr(client_ask(c, "hello 3\r\n"), "proto\r\n:3"));
        client_send(c, bytes_str("bzpopmin z 0.01\r\nblmove {k}1 {k}2 left right 0.01\r\n"));
        expect_had(c, "_\r\n_\r\n");
        expect(d, "rpush k x\r\n", ":1\r\n"); /* nobody waits any more */
        expect(d, "llen k\r\n", ":1\r\n");
        expect_waiting(d, 0);
    }
}

Test(blocked_sessions, many_limits_pass_in_order)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 1, .shards = 1});
    struct client *c = client_new(s), *d = client_new(s);
    for (int i = 0; i < 500; i++) { /* leaves stale deadlines behind */
        expect(c, "blpop k 100\r\n", "");
        expect(d, "rpush k x\r\n", ":1\r\n");
        expect_had(c, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    }
    client_send(c, bytes_str("blpop k 0.2\r\n"));
    client_send(d, bytes_str("blpop k 0.1\r\n"));
    serve_run(s, 80);
    expect_had(d, "*-1\r\n"); /* 130 ms */
    expect_had(c, "");
    expect_had(c, "*-1\r\n");
    serve_free(s);
}

Test(blocked_sessions, end_by_client_unblock)
{
    each_place(s)
    {
        struct client *c = client_new(s), *d = client_new(s);
        int id = 0;
        cr_assert_eq(sscanf(client_ask(c, "client id\r\n"), ":%d", &id), 1);
        char ask[64];
        snprintf(ask, sizeof ask, "client unblock %d\r\n", id);
        expect(d, ask, ":0\r\n");
        expect(c, "blpop k 0\r\n", "");
        cr_expect_not_null(strstr(client_ask(d, "client list\r\n"), " flags=b "));
        expect(d, ask, ":1\r\n");
        expect_had(c, "*-1\r\n");
        expect(c, "blpop k 0\r\n", "");
        snprintf(ask, sizeof ask, "client unblock %d error\r\n", id);
        expect(d, ask, ":1\r\n");
        expect_had(c, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
        expect(d, ask, ":0\r\n");
        expect(d, "client unblock x\r\n", "-ERR value is not an integer or out of range\r\n");
        expect(d, "client unblock 1 now\r\n",
               "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n");
    }
}

Test(blocked_sessions, that_go_take_nothing)
{
    each_place(s)
    {
        struct client *c = client_new(s), *d = client_new(s), *e = client_new(s);
        int id = 0;
        cr_assert_eq(sscanf(client_ask(d, "client id\r\n"), ":%d", &id), 1);
        expect(c, "blpop k 0\r\n", "");
        expect(d, "blpop k 0\r\n", "");
        client_close(c);
        serve_run(s, 50);
        expect_waiting(e, 1);
        char ask[64];
        snprintf(ask, sizeof ask, "client kill id %d\r\n", id);
        expect(e, ask, ":1\r\n");
        expect(e, "rpush k x\r\n", ":1\r\n");
        expect(e, "llen k\r\n", ":1\r\n");
        expect_waiting(e, 0);
    }
}

Test(blocked_sessions, never_wait_in_a_transaction)
{
    each_place(s)
    {
        struct client *c = client_new(s), *d = client_new(s);
        expect(c, "multi\r\nblpop k 0\r\nblmove k k left right 0\r\nexec\r\n",
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*-1\r\n$-1\r\n");
        expect(c, "blpop k 0\r\n", "");
        expect(d, "multi\r\nrpush k 1\r\nrpush k 2\r\nlpop k\r\nexec\r\n",
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n:2\r\n$1\r\n1\r\n");
        expect_had(c, "*2\r\n$1\r\nk\r\n$1\r\n2\r\n");
    }
}

Test(blocked_sessions, keep_their_watches)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 1, .shards = 1});
    struct client *c = client_new(s), *d = client_new(s);
    expect(c, "watch k\r\nblpop l 0\r\n", "+OK\r\n");
    expect(d, "set k 1\r\nrpush l x\r\n", "+OK\r\n:1\r\n");
    expect_had(c, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    expect(c, "multi\r\nping\r\nexec\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
    expect(c, "watch l\r\nmulti\r\nping\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
    expect(d, "blpop l 0\r\n", "");
    struct client *e = client_new(s);
    expect(e, "rpush l y\r\n", ":1\r\n"); /* pushed and popped is changed twice */
    expect_had(d, "*2\r\n$1\r\nl\r\n$1\r\ny\r\n");
    expect(c, "exec\r\n", "*-1\r\n");
    serve_free(s);
}

Test(blocked_sessions, do_not_reply_when_told_so)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 1, .shards = 1});
    struct client *c = client_new(s), *d = client_new(s);
    expect(c, "client reply skip\r\nblpop k 0\r\nping\r\n", "");
    expect(d, "rpush k 1\r\n", ":1\r\n");
    expect_had(c, "+PONG\r\n");
    serve_free(s);
}

Test(blocked_sessions, refuse_keys_of_several_shards)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 2, .shards = 4});
    struct client *c = client_new(s);
    expect(c, "blpop a b c d 0\r\n", "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    expect(c, "blpop {a}1 {a}2 0.01\r\n", "*-1\r\n");
    serve_free(s);
}

Test(blocked_sessions, hold_what_is_sent_meanwhile)
{
    each_place(s)
    {
        struct client *c = client_new(s), *d = client_new(s);
        struct buf many = {0};
        buf_put_str(&many, "blpop k 0\r\n");
        for (int i = 0; i < 100000; i++)
            buf_put_str(&many, "incr n\r\n");
        buf_put_str(&many, "ping\r\n");
        client_send(c, buf_bytes(&many));
        serve_run(s, 500);
        expect_had(c, "");
        expect(d, "rpush k x\r\n", ":1\r\n");
        serve_run(s, 3000);
        const char *got = client_take(c);
        cr_expect_not_null(strstr(got, ":100000\r\n+PONG\r\n"));
        buf_deinit(&many);
    }
}

Test(blocked_sessions, wait_for_replicas_that_there_are_not)
{
    each_place(s)
    {
        struct client *c = client_new(s), *d = client_new(s);
        expect(c, "wait 0 0\r\nwait -1 0\r\n", ":0\r\n:0\r\n");
        expect(c, "wait 1 x\r\n", "-ERR timeout is not an integer or out of range\r\n");
        expect(c, "wait 1 -1\r\n", "-ERR timeout is negative\r\n");
        expect(c, "multi\r\nwait 1 0\r\nexec\r\n", "+OK\r\n+QUEUED\r\n*1\r\n:0\r\n");
        expect(c, "wait 1 60\r\nping\r\n", "");
        expect_waiting(d, 1);
        expect_had(c, ":0\r\n+PONG\r\n");
        client_send(c, bytes_str("wait 1 0\r\n"));
        client_close(c);
        expect_waiting(d, 0);
    }
}

Test(blocked_sessions, wait_for_regions_that_there_are_not)
{
    each_place(s)
    {
        struct client *c = client_new(s);
        char token[128] = "", ask[256];
        expect(c, "set k v\r\ncrdt.wait 0 0\r\ncrdt.wait 1 60\r\n", "+OK\r\n:0\r\n");
        expect_had(c, ":0\r\n");
        cr_assert_eq(sscanf(client_ask(c, "crdt.token k\r\n"), "$%*d\r\n%127s", token), 1);
        snprintf(ask, sizeof ask, "crdt.after %s 0\r\nping\r\n", token);
        expect(c, ask, ":1\r\n+PONG\r\n");
        cr_assert_eq(sscanf(client_ask(c, "crdt.token\r\n"), "$%*d\r\n%127s", token), 1);
        snprintf(ask, sizeof ask, "crdt.after %s 0\r\n", token);
        expect(c, ask, ":1\r\n");
        expect(c, "crdt.after m1 0\r\n", "-ERR not a token: pass what CRDT.TOKEN returned\r\n");
        expect(c, "crdt.wait 1 0 now\r\n", "-ERR syntax error\r\n");
    }
}
