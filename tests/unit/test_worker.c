/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include "base/mem.h"
#include "syncer/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void expect(struct client *c, const char *ask, const char *want)
{
    const char *got = client_ask(c, ask);
    cr_expect_str_eq(got, want, "%s: got %s", ask, got);
}

static struct serve *many(void)
{
    return serve_new(&(struct serve_opts){.workers = 3, .shards = 5});
}

Test(worker, routes_keys_to_shards_of_all_workers)
{
    struct serve *s = many();
    struct client *c = client_new(s);
    struct buf out = {0}, want = {0};
    for (int i = 0; i < 300; i++) {
        buf_putf(&out, "set key:%d %d\r\nget key:%d\r\n", i, i, i);
        buf_putf(&want, "+OK\r\n$%d\r\n%d\r\n", i < 10 ? 1 : i < 100 ? 2 : 3, i);
    }
    buf_put_u8(&want, 0);
    client_send(c, buf_bytes(&out));
    cr_expect_str_eq(client_take(c), (char *)want.p);
    expect(c, "dbsize\r\n", ":300\r\n");
    /* another client, most likely at another worker, sees the same */
    for (int i = 0; i < 6; i++)
        expect(client_new(s), "get key:77\r\ndbsize\r\n", "$2\r\n77\r\n:300\r\n");
    buf_deinit(&out);
    buf_deinit(&want);
    serve_free(s);
}

Test(worker, splits_and_merges_commands_over_shards)
{
    struct serve *s = many();
    struct client *c = client_new(s);
    expect(c, "mset a 1 b 2 c 3 d 4 e 5 f 6\r\n", "+OK\r\n");
    expect(c, "mget f nope e d c b a\r\n",
           "*7\r\n$1\r\n6\r\n$-1\r\n$1\r\n5\r\n$1\r\n4\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n");
    expect(c, "exists a b c d e f g a\r\n", ":7\r\n");
    expect(c, "touch a b x\r\nunlink a b x\r\ndel c d e y\r\ndbsize\r\n",
           ":2\r\n:2\r\n:3\r\n:1\r\n");
    expect(c, "mset a 1 b\r\n", "-ERR wrong number of arguments for 'mset' command\r\n");
    expect(c, "keys *\r\n", "*1\r\n$1\r\nf\r\n");
    expect(c, "randomkey\r\n", "$1\r\nf\r\n");
    expect(c, "sadd s1 x\r\nsadd s2 x\r\nsadd s3 x\r\nsadd s4 x\r\n", ":1\r\n:1\r\n:1\r\n:1\r\n");
    expect(c, "sinter s1 s2 s3 s4\r\n",
           "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    expect(c, "sadd {s}1 x y\r\nsadd {s}2 y z\r\nsinter {s}1 {s}2\r\n",
           ":2\r\n:2\r\n*1\r\n$1\r\ny\r\n");
    expect(c, "flushall\r\ndbsize\r\n", "+OK\r\n:0\r\n");
    serve_free(s);
}

Test(worker, scans_every_shard)
{
    struct serve *s = many();
    struct client *c = client_new(s);
    bool seen[300] = {0};
    for (int i = 0; i < 300; i++) {
        char text[40];
        snprintf(text, sizeof text, "set k%d v\r\n", i);
        client_send(c, bytes_str(text));
    }
    client_take(c);
    char cursor[32] = "0";
    unsigned rounds = 0;
    do {
        char text[64];
        snprintf(text, sizeof text, "scan %s count 7\r\n", cursor);
        const char *got = client_ask(c, text);
        int len = 0;
        cr_assert_eq(sscanf(got, "*2\r\n$%d\r\n%31[0-9]", &len, cursor), 2, "%s", got);
        for (const char *p = strstr(got, "\r\nk"); p != NULL; p = strstr(p + 1, "\r\nk")) {
            int key = -1;
            cr_assert_eq(sscanf(p, "\r\nk%d", &key), 1);
            seen[key] = true;
        }
    } while (strcmp(cursor, "0") != 0 && ++rounds < 1000);
    for (int i = 0; i < 300; i++)
        cr_expect(seen[i], "k%d", i);
    serve_free(s);
}

Test(worker, runs_transactions_on_another_workers_shard)
{
    struct serve *s = many();
    struct client *d = client_new(s);
    /* one of these keys lives on each worker, whichever the clients are connected to */
    for (int i = 0; i < 12; i++) {
        struct client *c = client_new(s);
        char text[200], want[200];
        snprintf(text, sizeof text,
                 "set k%d 1\r\nwatch k%d\r\nmulti\r\nincr k%d\r\nping\r\nexec\r\n", i, i, i);
        expect(c, text, "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n+PONG\r\n");
        snprintf(text, sizeof text, "watch k%d\r\nmulti\r\nincr k%d\r\n", i, i);
        expect(c, text, "+OK\r\n+OK\r\n+QUEUED\r\n");
        snprintf(text, sizeof text, "incr k%d\r\n", i);
        expect(d, text, ":3\r\n");
        expect(c, "exec\r\n", "*-1\r\n");
        snprintf(text, sizeof text, "get k%d\r\n", i);
        snprintf(want, sizeof want, "$1\r\n3\r\n");
        expect(c, text, want);
    }
    expect(d, "multi\r\nset k0 1\r\nset k1 1\r\nexec\r\n",
           "+OK\r\n+QUEUED\r\n-CROSSSLOT Keys in request don't hash to the same slot\r\n"
           "-EXECABORT Transaction discarded because of previous errors.\r\n");
    serve_free(s);
}

Test(worker, refuses_a_manager_without_the_token)
{
    struct serve *s = many();
    struct buf body = {0};
    control_hello_encode(&body,
                         &(struct control_hello){.protocol = CONTROL_PROTOCOL, .token = "guess"});
    cr_expect_not(serve_control(s, CONTROL_HELLO, buf_bytes(&body)));
    cr_expect_not_null(strstr(serve_error(s), "wrong token"));
    cr_expect_not(serve_control(s, CONTROL_STATS, bytes_of(NULL, 0)));
    cr_expect_not_null(strstr(serve_error(s), "say hello"), "%s", serve_error(s));
    buf_deinit(&body);
    serve_free(s);
}

Test(worker, undoes_a_database_it_cannot_listen_for)
{
    struct serve *s = many();
    struct plane_db *db = mem_zalloc(sizeof *db);
    serve_db(s, db);
    db->uid = 8; /* another database on the same port */
    cr_expect_not(serve_set(s, db));
    cr_expect_not_null(strstr(serve_error(s), "cannot listen on 0.0.0.0:6379"), "%s",
                       serve_error(s));
    db->port = 6380;
    cr_expect(serve_set(s, db), "%s", serve_error(s));
    db->client_tls = true; /* without a certificate */
    db->uid = 9;
    cr_expect_not(serve_set(s, db));
    cr_expect_not_null(strstr(serve_error(s), "without a certificate"), "%s", serve_error(s));
    struct client *c = client_new(s);
    expect(c, "ping\r\n", "+PONG\r\n");
    mem_free(db);
    serve_free(s);
}

Test(worker, changes_a_database_in_place)
{
    struct serve *s = many();
    struct client *c = client_new(s);
    expect(c, "mset a 1 b 2 c 3 d 4\r\n", "+OK\r\n");
    struct plane_db *db = mem_zalloc(sizeof *db);
    serve_db(s, db);
    db->version = 2;
    snprintf(db->password, sizeof db->password, "new");
    snprintf(db->guid, sizeof db->guid, "00000000-0000-4000-8000-000000000007");
    db->regions_count = 1;
    db->regions[0] = (struct plane_region){.id = 1, .name = "here", .host = "server", .port = 6379};
    cr_expect(serve_set(s, db), "%s", serve_error(s));
    expect(c, "mget a b c d\r\n", "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n");
    cr_expect_not_null(strstr(client_ask(c, "info crdt\r\n"), "crdt_config_version:2\r\n"));
    expect(client_new(s), "get a\r\n", "-NOAUTH Authentication required.\r\n");
    db->port = 7000;
    cr_expect_not(serve_set(s, db));
    cr_expect_not_null(strstr(serve_error(s), "cannot change"));
    mem_free(db);
    serve_free(s);
}

Test(worker, gives_statistics_and_stops)
{
    struct serve *s = many();
    struct client *c = client_new(s);
    expect(c, "mset a 1 b 2 c 3 d 4 e 5\r\n", "+OK\r\n");
    cr_assert(serve_control(s, CONTROL_STATS, bytes_of(NULL, 0)), "%s", serve_error(s));
    struct plane_stats stats;
    cr_assert(plane_stats_decode(serve_body(s), &stats));
    cr_assert_eq(stats.dbs_count, 1);
    cr_expect_eq(stats.dbs[0].uid, 7);
    cr_expect(stats.dbs[0].listening);
    cr_expect_eq(stats.dbs[0].keys, 5);
    cr_expect_eq(stats.dbs[0].connections, 1);
    cr_assert_eq(stats.shards_count, 5);
    uint32_t partitions = 0;
    for (uint32_t i = 0; i < 5; i++)
        partitions += stats.shards[i].count;
    cr_expect_eq(partitions, 16);
    plane_stats_deinit(&stats);
    struct buf uid = {0};
    control_uid_encode(&uid, 7);
    cr_expect(serve_control(s, CONTROL_DB_FLUSH, buf_bytes(&uid)));
    expect(c, "dbsize\r\n", ":0\r\n");
    cr_expect(serve_control(s, CONTROL_DB_DROP, buf_bytes(&uid)));
    serve_run(s, 10);
    cr_expect(client_closed(c));
    cr_expect_not(serve_control(s, CONTROL_DB_FLUSH, buf_bytes(&uid)));
    cr_expect(serve_control(s, CONTROL_STOP, bytes_of(NULL, 0)), "%s", serve_error(s));
    buf_deinit(&uid);
    serve_free(s);
}

Test(worker, refuses_garbage_on_a_link)
{
    struct serve *s = many();
    struct client *c = client_new(s);
    /* the magic, then an absurd length */
    client_send(c, bytes_of("\x9bMERIDIAN\xff\xff\xff\xff", 13));
    client_take(c);
    cr_expect(client_closed(c));
    struct client *d = client_new(s);
    client_send(d, bytes_of("\x9bMERI", 5));
    client_take(d);
    cr_expect_not(client_closed(d));
    serve_run(s, 11000);
    cr_expect(client_closed(d), "a handshake that never ends is given up");
    serve_free(s);
}

/* What both sides log and `ctl crdb status` shows says which of them to upgrade. */
Test(worker, links_of_another_release_are_told_who_is_older)
{
    static const struct {
        uint32_t protocol;
        const char *what;
    } cases[] = {{SYNCER_PROTOCOL - 1, "upgrade the dialling, which is older"},
                 {SYNCER_PROTOCOL + 1, "upgrade the dialled, which is older"}};
    struct serve *s = serve_new(&(struct serve_opts){.workers = 1, .shards = 1});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client *c = client_new(s);
        struct buf hello = {0};
        wire_put_hello(&hello, &(struct wire_hello){.protocol = cases[i].protocol,
                                                    .guid = "some-guid",
                                                    .region = 2,
                                                    .actor = actor_make(2, 1),
                                                    .incarnation = 1,
                                                    .count = 1});
        client_send(c, buf_bytes(&hello));
        serve_run(s, 50);
        cr_expect_not_null(strstr(serve_log(s), cases[i].what), "%s", serve_log(s));
        cr_expect(client_closed(c));
        buf_deinit(&hello);
    }
    cr_expect_not_null(strstr(serve_log(s), "both take writes meanwhile\n"));
    serve_free(s);
}
