/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Databases that are kept on disk, through their clients. */

static void expect(struct client *c, const char *ask, const char *want)
{
    const char *got = client_ask(c, ask);
    cr_expect_str_eq(got, want, "%s: got %s", ask, got);
}

static struct serve *begin(enum persistence p, unsigned workers, unsigned shards)
{
    return serve_new(&(struct serve_opts){.workers = workers, .shards = shards, .persistence = p});
}

static void write_keys(struct serve *s, int from, int to)
{
    struct client *c = client_new(s);
    struct buf out = {0};
    for (int i = from; i < to; i++)
        buf_putf(&out, "set key:%d %d\r\n", i, i);
    client_send(c, buf_bytes(&out));
    serve_run(s, 100);
    client_take(c);
    buf_deinit(&out);
    client_close(c);
}

Test(disk, comes_back_after_the_process_was_killed)
{
    struct serve *s = begin(PERSIST_SECOND, 3, 5);
    write_keys(s, 0, 300);
    for (int life = 0; life < 3; life++) {
        serve_kill(s, false);
        serve_start(s);
        serve_run(s, 300);
        struct client *c = client_new(s);
        expect(c, "dbsize\r\nget key:77\r\n",
               life == 0   ? ":300\r\n$2\r\n77\r\n"
               : life == 1 ? ":310\r\n$2\r\n77\r\n"
                           : ":320\r\n$2\r\n77\r\n");
        write_keys(s, 300 + 10 * life, 310 + 10 * life);
    }
    serve_free(s);
}

Test(disk, a_database_without_persistence_begins_empty)
{
    struct serve *s = begin(PERSIST_OFF, 2, 2);
    write_keys(s, 0, 10);
    serve_kill(s, false);
    serve_start(s);
    expect(client_new(s), "dbsize\r\n", ":0\r\n");
    serve_free(s);
}

Test(disk, clients_are_told_that_it_loads)
{
    struct serve *s = begin(PERSIST_SECOND, 3, 3);
    write_keys(s, 0, 300);
    serve_run(s, 1500);
    serve_kill(s, false);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.latency_us = 200000});
    serve_start(s);
    struct client *c = client_new(s);
    expect(c, "get key:1\r\nping\r\nmulti\r\n",
           "-LOADING Meridian is loading the dataset in memory\r\n"
           "-LOADING Meridian is loading the dataset in memory\r\n"
           "-LOADING Meridian is loading the dataset in memory\r\n");
    cr_expect_eq(client_ask(c, "info server\r\n")[0], '$');
    serve_run(s, 4000);
    expect(c, "get key:1\r\ndbsize\r\n", "$1\r\n1\r\n:300\r\n");
    serve_free(s);
}

Test(disk, users_are_read_before_anybody_is_let_in)
{
    struct serve *s = begin(PERSIST_SECOND, 3, 3);
    struct client *c = client_new(s);
    expect(c,
           "acl setuser ann on >secret ~* +@all\r\nacl setuser default >hidden resetpass "
           ">hidden\r\nset k v\r\n",
           "+OK\r\n+OK\r\n+OK\r\n");
    serve_run(s, 1500);
    serve_kill(s, false);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.latency_us = 200000});
    serve_start(s);
    c = client_new(s);
    expect(c, "get k\r\nauth ann secret\r\n",
           "-LOADING Meridian is loading the dataset in memory\r\n"
           "-LOADING Meridian is loading the dataset in memory\r\n");
    serve_run(s, 4000);
    expect(c, "get k\r\n", "-NOAUTH Authentication required.\r\n");
    expect(c, "auth ann secret\r\nget k\r\n", "+OK\r\n$1\r\nv\r\n");
    serve_free(s);
}
