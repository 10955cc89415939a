/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/pubsub.h"
#include "shard/events.h"
#include "tests/unit/talk.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(pubsub, messages_reach_subscribers_of_all_workers)
{
    struct serve *s = talk_serve(3, 2);
    struct client *subs[6], *p = client_new(s);
    for (unsigned i = 0; i < 6; i++) {
        subs[i] = client_new(s);
        talk_expect(subs[i], "subscribe ch other",
                    "*3 $9 subscribe $2 ch :1 *3 $9 subscribe $5 other :2 ");
    }
    talk_expect(subs[0], "psubscribe c?", "*3 $10 psubscribe $2 c? :3 ");
    for (unsigned i = 0; i < 6; i++) {
        struct client *from = client_new(s);
        talk_expect(from, "publish ch hi", ":7 ");
        talk_hears(subs[0], "*3 $7 message $2 ch $2 hi *4 $8 pmessage $2 c? $2 ch $2 hi ");
        for (unsigned k = 1; k < 6; k++)
            talk_hears(subs[k], "*3 $7 message $2 ch $2 hi ");
    }
    talk_expect(p, "pubsub numsub ch none other", "*6 $2 ch :6 $4 none :0 $5 other :6 ");
    talk_expect(p, "pubsub channels", "*2 $2 ch $5 other ");
    talk_expect(p, "pubsub channels o*", "*1 $5 other ");
    talk_expect(p, "pubsub numpat", ":1 ");
    for (unsigned i = 0; i < 6; i++)
        talk_expect(subs[i], "unsubscribe ch",
                    i == 0 ? "*3 $11 unsubscribe $2 ch :2 " : "*3 $11 unsubscribe $2 ch :1 ");
    talk_expect(p, "publish ch hi", ":1 ");
    talk_hears(subs[0], "*4 $8 pmessage $2 c? $2 ch $2 hi ");
    for (unsigned i = 0; i < 6; i++)
        client_close(subs[i]);
    serve_run(s, 200);
    talk_expect(p, "publish other hi", ":0 ");
    talk_expect(p, "pubsub channels", "*0 ");
    serve_free(s);
}

Test(pubsub, replies_are_those_of_redis)
{
    struct serve *s = talk_serve(1, 1);
    struct client *c = client_new(s), *p = client_new(s);
    talk_expect(c, "subscribe", "-ERR wrong number of arguments for 'subscribe' command ");
    talk_expect(c, "unsubscribe", "*3 $11 unsubscribe $-1 :0 ");
    talk_expect(c, "unsubscribe a b", "*3 $11 unsubscribe $1 a :0 *3 $11 unsubscribe $1 b :0 ");
    talk_expect(c, "subscribe a a", "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 a :1 ");
    talk_expect(c, "ping", "*2 $4 pong $0  ");
    talk_expect(c, "ping x", "*2 $4 pong $1 x ");
    talk_expect(
        c, "get k",
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context ");
    talk_expect(c, "ssubscribe s", "*3 $10 ssubscribe $1 s :1 ");
    talk_expect(c, "psubscribe p*", "*3 $10 psubscribe $2 p* :2 ");
    talk_expect(p, "publish s x", ":0 ");
    talk_expect(p, "spublish s x", ":1 ");
    talk_hears(c, "*3 $8 smessage $1 s $1 x ");
    talk_expect(p, "pubsub shardchannels", "*1 $1 s ");
    talk_expect(p, "pubsub shardnumsub s t", "*4 $1 s :1 $1 t :0 ");
    talk_expect(p, "pubsub nonsense", "-ERR unknown subcommand 'nonsense'. Try PUBSUB HELP. ");
    talk_expect(c, "unsubscribe", "*3 $11 unsubscribe $1 a :1 ");
    talk_expect(c, "punsubscribe", "*3 $12 punsubscribe $2 p* :0 ");
    talk_expect(
        c, "get k",
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context ");
    talk_expect(c, "sunsubscribe", "*3 $12 sunsubscribe $1 s :0 ");
    talk_expect(c, "get k", "$-1 ");
    talk_expect(c, "subscribe a", "*3 $9 subscribe $1 a :1 ");
    talk_expect(c, "reset", "+RESET ");
    talk_expect(p, "publish a x", ":0 ");
    serve_free(s);
}

Test(pubsub, resp3_pushes_between_replies)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct serve *s = talk_serve(workers, workers);
        struct client *c = client_new(s);
        client_ask(c, "hello 3\r\n");
        talk_expect(c, "subscribe a\r\nset k v\r\npublish a 1\r\nget k",
                    ">3 $9 subscribe $1 a :1 +OK :1 >3 $7 message $1 a $1 1 $1 v ");
        talk_expect(
            c, "multi\r\npublish a 2\r\npublish a 3\r\nping\r\nexec",
            "+OK +QUEUED +QUEUED +QUEUED *3 :1 :1 +PONG >3 $7 message $1 a $1 2 >3 $7 message "
            "$1 a $1 3 ");
        talk_expect(c, "multi\r\nunsubscribe a\r\nexec",
                    "+OK +QUEUED *1 >3 $11 unsubscribe $1 a :0 ");
        serve_free(s);
    }
}

Test(pubsub, reply_off_silences_no_message)
{
    struct serve *s = talk_serve(2, 1);
    struct client *c = client_new(s), *p = client_new(s);
    client_ask(c, "client reply off\r\n");
    talk_expect(c, "subscribe a", "*3 $9 subscribe $1 a :1 ");
    talk_expect(p, "publish a 1", ":1 ");
    talk_hears(c, "*3 $7 message $1 a $1 1 ");
    serve_free(s);
}

Test(pubsub, who_does_not_read_is_cut_off)
{
    struct serve *s = talk_serve(2, 1);
    struct client *c = client_new(s), *p = client_new(s);
    talk_expect(p, "config set client-output-buffer-limit \"pubsub 1mb 0 0\"", "+OK ");
    talk_expect(c, "subscribe a", "*3 $9 subscribe $1 a :1 ");
    client_stall(c, true);
    struct buf big = {0};
    buf_putf(&big, "*3\r\n$7\r\npublish\r\n$1\r\na\r\n$100000\r\n");
    memset(buf_reserve(&big, 100000), 'x', 100000);
    buf_added(&big, 100000);
    buf_putf(&big, "\r\n");
    for (unsigned i = 0; i < 40; i++) {
        client_send(p, buf_bytes(&big));
        serve_run(s, 20);
    }
    client_take(p);
    serve_run(s, 300);
    talk_expect(p, "publish a x", ":0 ");
    cr_expect(client_closed(c));
    buf_deinit(&big);
    serve_free(s);
}

/* ------------------------------------------------------------ events of keys */

Test(pubsub, events_setting_reads_and_shows_letters)
{
    static const struct {
        const char *in, *out;
    } all[] = {{"", ""},       {"gKE", "gKE"},  {"$lshzxeKE", "$lshzxeKE"},
               {"KA", "AK"},   {"EA", "AE"},    {"KEAm", "AKEm"},
               {"KEn", "nKE"}, {"KEAn", "AKE"}, {"mxK", "xKm"},
               {"tdK", "tdK"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        uint32_t classes = 1;
        char text[EVENTS_TEXT_MAX];
        cr_assert(events_parse(bytes_str(all[i].in), &classes));
        events_text(classes, text);
        cr_expect_str_eq(text, all[i].out);
    }
    uint32_t classes = 77;
    cr_expect_not(events_parse(bytes_str("KEy"), &classes));
    cr_expect_eq(classes, 77);
}
