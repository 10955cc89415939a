/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/tracking.h"
#include "tests/unit/talk.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct client *modern(struct serve *s)
{
    struct client *c = client_new(s);
    client_ask(c, "hello 3\r\n");
    return c;
}

static unsigned id_of(struct client *c)
{
    unsigned id = 0;
    cr_assert_eq(sscanf(client_ask(c, "client id\r\n"), ":%u", &id), 1);
    return id;
}

/* Each with sessions and shards on one worker, and spread over several. */
static const struct {
    unsigned workers, shards;
} shapes[] = {{1, 1}, {2, 1}, {3, 4}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

Test(tracking, keys_read_are_invalidated_once)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = talk_serve(shapes[i].workers, shapes[i].shards);
        struct client *c = modern(s), *w = client_new(s);
        talk_expect(c, "client tracking on", "+OK ");
        talk_expect(c, "get k", "_ ");
        talk_expect(c, "mget a b k", "*3 _ _ _ ");
        talk_expect(w, "set other 1", "+OK ");
        talk_hears(c, "");
        talk_expect(w, "set k 1\r\nset k 2", "+OK +OK ");
        talk_hears(c, ">2 $10 invalidate *1 $1 k ");
        talk_expect(w, "set k 3", "+OK ");
        talk_hears(c, "");
        talk_expect(c, "multi\r\nget k\r\nexec", "+OK +QUEUED *1 $1 3 ");
        talk_expect(w, "del k", ":1 ");
        talk_hears(c, ">2 $10 invalidate *1 $1 k ");
        talk_expect(c, "set b 1", "+OK >2 $10 invalidate *1 $1 b ");
        talk_expect(c, "client tracking off", "+OK ");
        talk_expect(w, "set a 1", "+OK ");
        talk_hears(c, "");
        serve_free(s);
    }
}

Test(tracking, the_reply_comes_before_the_invalidation)
{
    struct serve *s = talk_serve(1, 1);
    struct client *c = modern(s);
    talk_expect(c, "client tracking on\r\nhset h f 1 g 2\r\nhget h f\r\nhdel h f\r\nhget h g",
                "+OK :2 $1 1 :1 $1 2 >2 $10 invalidate *1 $1 h ");
    serve_free(s);
}

Test(tracking, expiry_and_flush_invalidate)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = talk_serve(shapes[i].workers, shapes[i].shards);
        struct client *c = modern(s), *w = client_new(s);
        talk_expect(c, "client tracking on", "+OK ");
        talk_expect(w, "set k 1 px 200", "+OK ");
        talk_expect(c, "get k", "$1 1 ");
        serve_run(s, 1000);
        talk_hears(c, ">2 $10 invalidate *1 $1 k ");
        talk_expect(w, "flushall", "+OK ");
        const char *got = client_take(c);
        cr_expect_eq(strncmp(got, ">2\r\n$10\r\ninvalidate\r\n_\r\n", 23), 0, "%s", got);
        serve_free(s);
    }
}

Test(tracking, prefixes_are_told_of_all_keys_of_a_turn)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = talk_serve(shapes[i].workers, shapes[i].shards);
        struct client *c = modern(s), *all = modern(s), *w = client_new(s);
        talk_expect(c, "client tracking on bcast prefix {u}a prefix {u}b", "+OK ");
        talk_expect(all, "client tracking on bcast noloop", "+OK ");
        talk_expect(w, "mset {u}a1 1 {u}a2 2 {u}c 3", "+OK ");
        talk_hears(c, ">2 $10 invalidate *2 $5 {u}a1 $5 {u}a2 ");
        talk_hears(all, ">2 $10 invalidate *3 $5 {u}a1 $5 {u}a2 $4 {u}c ");
        talk_expect(all, "set {u}b 1", "+OK ");
        talk_hears(all, "");
        talk_hears(c, ">2 $10 invalidate *1 $4 {u}b ");
        talk_expect(c, "client trackinginfo",
                    "%3 $5 flags ~2 $2 on $5 bcast $8 redirect :0 $8 prefixes *2 $4 {u}a $4 {u}b ");
        talk_expect(
            c, "client tracking on bcast prefix {u}ab",
            "-ERR Prefix '{u}ab' overlaps with an existing prefix '{u}a'. Prefixes for a single "
            "client must not overlap. ");
        talk_expect(
            c, "client tracking on bcast prefix x prefix xy",
            "-ERR Prefix 'x' overlaps with another provided prefix 'xy'. Prefixes for a single "
            "client must not overlap. ");
        client_close(c);
        serve_run(s, 200);
        talk_expect(w, "set {u}a1 1", "+OK ");
        talk_hears(all, ">2 $10 invalidate *1 $5 {u}a1 ");
        serve_free(s);
    }
}

Test(tracking, redirected_to_a_subscriber)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = talk_serve(shapes[i].workers, shapes[i].shards);
        struct client *c = client_new(s), *to = client_new(s), *w = client_new(s);
        char ask[64];
        snprintf(ask, sizeof ask, "client tracking on redirect %u", id_of(to));
        talk_expect(to, "subscribe __redis__:invalidate",
                    "*3 $9 subscribe $20 __redis__:invalidate :1 ");
        talk_expect(c, "client tracking on redirect 4711",
                    "-ERR The client ID you want redirect to does not exist ");
        talk_expect(c, "client getredir", ":-1 ");
        talk_expect(c, ask, "+OK ");
        talk_expect(c, "get k", "$-1 ");
        talk_expect(w, "set k 1", "+OK ");
        talk_hears(to, "*3 $7 message $20 __redis__:invalidate *1 $1 k ");
        talk_hears(c, "");
        talk_expect(w, "flushall", "+OK ");
        const char *got = client_take(to), *want = "*3\r\n$7\r\nmessage\r\n"
                                                   "$20\r\n__redis__:invalidate\r\n$-1\r\n";
        cr_expect_eq(strncmp(got, want, strlen(want)), 0, "%s", got);
        serve_free(s);
    }
}

Test(tracking, a_broken_redirection_is_told)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = talk_serve(shapes[i].workers, shapes[i].shards);
        struct client *c = modern(s), *to = modern(s), *w = client_new(s);
        char ask[64], want[64];
        unsigned id = id_of(to);
        snprintf(ask, sizeof ask, "client tracking on redirect %u", id);
        snprintf(want, sizeof want, ">2 $21 tracking-redir-broken :%u ", id);
        talk_expect(c, ask, "+OK ");
        talk_expect(c, "get k", "_ ");
        talk_expect(w, "set k 1", "+OK ");
        talk_hears(to, ">2 $10 invalidate *1 $1 k ");
        talk_expect(c, "get k", "$1 1 ");
        client_close(to);
        serve_run(s, 100);
        talk_expect(w, "set k 2", "+OK ");
        talk_hears(c, want);
        const char *info = client_ask(c, "client trackinginfo\r\n");
        cr_expect_not_null(strstr(info, "broken_redirect"));
        serve_free(s);
    }
}

Test(tracking, optin_optout_and_noloop)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = talk_serve(shapes[i].workers, shapes[i].shards);
        struct client *c = modern(s), *w = client_new(s);
        talk_expect(
            c, "client caching yes",
            "-ERR CLIENT CACHING can be called only when the client is in tracking mode with "
            "OPTIN or OPTOUT mode enabled ");
        talk_expect(c, "client tracking on optin noloop", "+OK ");
        talk_expect(
            c, "client caching no",
            "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode. ");
        talk_expect(c, "get {u}k", "_ ");
        talk_expect(c, "client caching yes\r\nget {u}j\r\nget {u}l", "+OK _ _ ");
        talk_expect(w, "set {u}k 1\r\nset {u}j 1\r\nset {u}l 1", "+OK +OK +OK ");
        talk_hears(c, ">2 $10 invalidate *1 $4 {u}j ");
        talk_expect(c, "client caching yes\r\nmulti\r\nget {u}j\r\nget {u}k\r\nexec",
                    "+OK +OK +QUEUED +QUEUED *2 $1 1 $1 1 ");
        talk_expect(c, "set {u}j 2", "+OK ");
        talk_expect(w, "set {u}k 1", "+OK ");
        talk_hears(c, ">2 $10 invalidate *1 $4 {u}k ");
        talk_expect(
            c, "client tracking on optout",
            "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
            "and then re-enabling it with a different mode. ");
        talk_expect(
            c, "client tracking on bcast",
            "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
            "and then re-enabling it with a different mode. ");
        talk_expect(c, "client tracking off\r\nclient tracking on optout", "+OK +OK ");
        talk_expect(c, "client caching no\r\nget {u}k\r\nget {u}l", "+OK $1 1 $1 1 ");
        talk_expect(w, "set {u}k 1\r\nset {u}l 1", "+OK +OK ");
        talk_hears(c, ">2 $10 invalidate *1 $4 {u}l ");
        serve_free(s);
    }
}

Test(tracking, the_table_is_bounded)
{
    struct serve *s = talk_serve(1, 1);
    struct client *c = modern(s);
    talk_expect(c, "config set tracking-table-max-keys 10", "+OK ");
    talk_expect(c, "client tracking on", "+OK ");
    for (unsigned i = 0; i < 30; i++) {
        char ask[32];
        snprintf(ask, sizeof ask, "get key%u\r\n", i);
        (void)client_ask(c, ask);
    }
    const char *info = client_ask(c, "info stats\r\n");
    cr_expect_not_null(strstr(info, "tracking_total_keys:10\r\n"), "%s", info);
    cr_expect_not_null(strstr(info, "tracking_total_items:10\r\n"));
    serve_free(s);
}
