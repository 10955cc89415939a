/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

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
    expect(c, "client setname me\r\nclient getname\r\nselect 0\r\necho hi\r\n",
           "+OK\r\n$2\r\nme\r\n+OK\r\n$2\r\nhi\r\n");
    static const char *const refused[] = {"set k v",        "mget a b",       "dbsize",
                                          "flushall",       "exec",           "time",
                                          "watch k",        "eval 'x' 0",     "publish a b",
                                          "subscribe a",    "acl list",       "config get *",
                                          "client list",    "slowlog get",    "monitor",
                                          "memory doctor",  "script flush",   "lastsave",
                                          "bgsave",         "crdt.digest",    "client kill id 1",
                                          "config set a b", "debug object k", "scan 0"};
    struct buf asked = {0}, told = {0};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        buf_putf(&asked, "%s\r\n", refused[i]);
        buf_put_str(&told, "-LOADING Meridian is loading the dataset in memory\r\n");
    }
    buf_put_u8(&asked, 0);
    buf_put_u8(&told, 0);
    expect(c, (const char *)asked.p, (const char *)told.p);
    buf_deinit(&asked);
    buf_deinit(&told);
    serve_run(s, 4000);
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

/* ------------------------------------------------------------ replies that promise durability */

static const char *ask_for(struct client *c, const char *text, unsigned ms)
{
    client_send(c, bytes_str(text));
    serve_run(client_serve(c), ms);
    return client_now(c);
}

Test(disk, always_answers_a_write_when_the_disk_has_it)
{
    struct serve *s = begin(PERSIST_ALWAYS, 1, 2);
    serve_run(s, 500);
    struct client *a = client_new(s), *b = client_new(s);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 200000});
    cr_expect_str_eq(ask_for(a, "get k\r\nset k v\r\nget k\r\n", 100), "", "answered too early");
    cr_expect_str_eq(ask_for(b, "get k\r\n", 20), "$1\r\nv\r\n", "a read of another was held");
    serve_run(s, 200);
    cr_expect_str_eq(client_now(a), "$-1\r\n+OK\r\n$1\r\nv\r\n");
    cr_expect_str_eq(ask_for(a, "get k\r\n", 20), "$1\r\nv\r\n", "a read was held");
    serve_free(s);
}

Test(disk, always_holds_transactions_scripts_and_what_is_woken)
{
    static const char *const writes[][2] = {
        {"multi\r\nset {k}1 a\r\nset {k}2 b\r\nexec\r\n",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n"},
        {"eval \"return redis.call('set', KEYS[1], 'x')\" 1 s\r\n", "+OK\r\n"},
        {"mset a 1 b 2 c 3 d 4 e 5\r\n", "+OK\r\n"},
        {"acl setuser bob on nopass\r\n", "+OK\r\n"},
        {"set q 1\r\nquit\r\n", "+OK\r\n+OK\r\n"},
    };
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        struct serve *s = begin(PERSIST_ALWAYS, workers, 3);
        serve_run(s, 500);
        for (unsigned i = 0; i < sizeof writes / sizeof writes[0]; i++) {
            struct client *c = client_new(s);
            world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 200000});
            const char *got = ask_for(c, writes[i][0], 100);
            cr_expect(strchr(got, '*') == NULL && (strstr(got, "OK") == NULL || i == 0),
                      "%u workers, %s: %s", workers, writes[i][0], got);
            cr_expect(i == 0 || got[0] == 0, "%u workers, %s: %s", workers, writes[i][0], got);
            struct buf all = {0};
            buf_put_str(&all, got);
            serve_run(s, 700);
            buf_put_str(&all, client_now(c));
            buf_put_u8(&all, 0);
            cr_expect_str_eq((const char *)all.p, writes[i][1], "%u workers, %s: %s", workers,
                             writes[i][0], (const char *)all.p);
            buf_deinit(&all);
        }
        struct client *c = client_new(s), *d = client_new(s);
        world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
        ask_for(c, "blpop list 0\r\n", 50);
        world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 200000});
        cr_expect_str_eq(ask_for(d, "rpush list x\r\n", 100), "");
        cr_expect_str_eq(client_now(c), "", "%u workers", workers);
        serve_run(s, 700);
        cr_expect_str_eq(client_now(c), "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n");
        cr_expect_str_eq(client_now(d), ":1\r\n");
        serve_free(s);
    }
}

Test(disk, always_keeps_what_it_has_answered_when_the_power_fails)
{
    for (unsigned seed = 0; seed < 12; seed++) {
        struct serve *s = begin(PERSIST_ALWAYS, 1 + seed % 3, 3);
        serve_run(s, 500);
        struct client *c[8];
        unsigned sent[8] = {0}, got[8] = {0};
        for (unsigned i = 0; i < 8; i++)
            c[i] = client_new(s);
        for (unsigned round = 0; round < 40 + seed; round++) {
            for (unsigned i = 0; i < 8; i++) {
                char text[64];
                snprintf(text, sizeof text, "set c%u:%u v\r\nincr n%u\r\n", i, sent[i], i);
                if (sent[i] == got[i]) {
                    client_send(c[i], bytes_str(text));
                    sent[i]++;
                }
            }
            serve_run(s, 1);
            for (unsigned i = 0; i < 8; i++)
                for (const char *p = client_now(c[i]); (p = strstr(p, "+OK\r\n:")) != NULL; p++)
                    got[i]++;
        }
        serve_kill(s, true);
        serve_start(s);
        serve_run(s, 500);
        struct client *d = client_new(s);
        unsigned acked = 0;
        for (unsigned i = 0; i < 8; i++) {
            acked += got[i];
            for (unsigned k = 0; k < got[i]; k++) {
                char text[64];
                snprintf(text, sizeof text, "get c%u:%u\r\n", i, k);
                expect(d, text, "$1\r\nv\r\n");
            }
        }
        cr_expect_gt(acked, 20);
        serve_free(s);
    }
}

Test(disk, always_closes_who_has_waited_for_too_long)
{
    for (unsigned hangs = 0; hangs < 2; hangs++) {
        struct serve *s = begin(PERSIST_ALWAYS, 2, 2);
        serve_run(s, 500);
        struct client *c = client_new(s);
        struct world_disk disk = {.fail_sync_per_64k = hangs ? 0 : 65536,
                                  .sync_us = hangs ? 15000000 : 0};
        world_disk(serve_world(s), serve_host(s), disk);
        cr_expect_str_eq(ask_for(c, "set k v\r\n", hangs ? 9500 : 700), "");
        cr_expect_not(client_closed(c));
        serve_run(s, hangs ? 1500 : 600);
        cr_expect(client_closed(c));
        cr_expect_str_eq(client_now(c), "");
        world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
        serve_run(s, 6000);
        expect(client_new(s), "set k2 v\r\nget k\r\n", "+OK\r\n$1\r\nv\r\n");
        serve_free(s);
    }
}

/* ------------------------------------------------------------ ends */

static bool has_log(struct serve *s, unsigned shard)
{
    char path[64];
    struct bytes at;
    snprintf(path, sizeof path, "data/db7/shard%u/log-0000000000000001", shard);
    return world_file(serve_world(s), serve_host(s), path, &at);
}

Test(disk, an_orderly_end_leaves_nothing_behind)
{
    struct serve *s = begin(PERSIST_SNAPSHOT, 3, 4); /* which syncs nothing for its own sake */
    serve_run(s, 500);
    write_keys(s, 0, 200);
    client_send(client_new(s), bytes_str("set last 1\r\n"));
    serve_run(s, 1);
    serve_stop(s);
    serve_kill(s, true);
    serve_start(s);
    serve_run(s, 500);
    expect(client_new(s), "dbsize\r\nget last\r\n", ":201\r\n$1\r\n1\r\n");
    serve_free(s);
}

Test(disk, an_orderly_end_answers_who_waits_for_the_disk)
{
    struct serve *s = begin(PERSIST_ALWAYS, 3, 4);
    serve_run(s, 500);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 300000});
    struct client *c[6];
    for (unsigned i = 0; i < 6; i++) {
        char text[32];
        c[i] = client_new(s);
        snprintf(text, sizeof text, "set key%u v\r\n", i);
        cr_expect_str_eq(ask_for(c[i], text, 10), "");
    }
    serve_stop(s);
    for (unsigned i = 0; i < 6; i++)
        cr_expect_str_eq(client_now(c[i]), "+OK\r\n", "client %u", i);
    serve_kill(s, true);
    serve_start(s);
    serve_run(s, 3000);
    expect(client_new(s), "dbsize\r\n", ":6\r\n");
    serve_free(s);
}

/* Whoever ends the process waits: two seconds for a disk that says that it fails, longer for one
 * that says nothing. */
Test(disk, an_end_does_not_wait_for_ever_for_a_broken_disk)
{
    for (int slow = 0; slow < 2; slow++) {
        struct serve *s = begin(PERSIST_SECOND, 2, 2);
        struct world_disk failing = {.fail_append_per_64k = 65536},
                          stuck = {.latency_us = 20000000};
        serve_run(s, 500);
        world_disk(serve_world(s), serve_host(s), slow ? stuck : failing);
        expect(client_new(s), "mset a 1 b 2 c 3 d 4\r\n", "+OK\r\n");
        serve_run(s, 200);
        (void)serve_control(s, CONTROL_STOP, bytes_of(NULL, 0));
        serve_run(s, 1500);
        cr_expect_not(world_stopped(serve_world(s), serve_host(s)));
        serve_run(s, 1500);
        cr_expect_eq(world_stopped(serve_world(s), serve_host(s)), !slow);
        if (slow)
            serve_run(s, 30000);
        cr_expect(world_stopped(serve_world(s), serve_host(s)));
        cr_expect_not_null(strstr(serve_log(s), "stopped without an orderly end"), "%s",
                           serve_log(s));
        serve_free(s);
    }
}

static bool drop(struct serve *s)
{
    struct buf body = {0};
    control_uid_encode(&body, 7);
    bool ok = serve_control(s, CONTROL_DB_DROP, buf_bytes(&body));
    buf_deinit(&body);
    return ok;
}

Test(disk, a_deleted_database_leaves_no_files)
{
    struct serve *s = begin(PERSIST_SECOND, 2, 3);
    serve_run(s, 500);
    write_keys(s, 0, 100);
    cr_expect(has_log(s, 0) && has_log(s, 1) && has_log(s, 2));
    write_keys(s, 100, 200); /* requests are under way */
    cr_expect(drop(s), "%s", serve_error(s));
    struct plane_db *db = mem_zalloc(sizeof *db);
    serve_db(s, db);
    cr_expect(serve_set(s, db)); /* at once again, empty */
    mem_free(db);
    serve_run(s, 500);
    expect(client_new(s), "dbsize\r\n", ":0\r\n");
    cr_expect(drop(s));
    serve_run(s, 500);
    cr_expect_not(has_log(s, 0) || has_log(s, 1) || has_log(s, 2));
    serve_free(s);
}

Test(disk, what_could_not_be_started_keeps_its_files)
{
    struct serve *s = begin(PERSIST_SECOND, 2, 2);
    serve_run(s, 500);
    write_keys(s, 0, 100);
    serve_run(s, 1500);
    serve_kill(s, false);
    serve_start_empty(s);
    struct plane_db *db = mem_zalloc(sizeof *db);
    serve_db(s, db);
    db->port = 9000; /* in use */
    cr_expect_not(serve_set(s, db));
    serve_db(s, db);
    serve_run(s, 500);
    cr_expect(serve_set(s, db), "%s", serve_error(s));
    mem_free(db);
    serve_run(s, 500);
    expect(client_new(s), "dbsize\r\n", ":100\r\n");
    serve_free(s);
}

/* ------------------------------------------------------------ disks that fail */

static bool refused(const char *got) { return strncmp(got, "-MISCONF ", 9) == 0; }

static void fill_disk(struct serve *s, bool full)
{
    /* one byte: whatever there is already is more */
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.bytes_max = full ? 1 : 0});
}

Test(disk, a_full_one_refuses_writes_until_there_is_room)
{
    static const enum persistence all[] = {PERSIST_SNAPSHOT, PERSIST_SECOND, PERSIST_ALWAYS};
    for (unsigned i = 0; i < 3; i++) {
        struct serve *s = begin(all[i], 2, 2);
        serve_run(s, 500);
        struct client *c = client_new(s), *held = client_new(s);
        expect(c, "mset a 1 b 2 c 3 d 4\r\n", "+OK\r\n");
        fill_disk(s, true);
        client_send(held, bytes_str("mset a 2 b 3 c 4 d 5 e 6\r\n"));
        serve_run(s, 1000);
        for (const char *const *w =
                 (const char *const[]){
                     "set a 7\r\n", "incr n\r\n", "mset {x}1 1 {x}2 2\r\n", "set b 3 px 5000\r\n",
                     "eval \"return redis.call('set', KEYS[1], 'x')\" 1 s\r\n", "lpop l\r\n",
                     "acl setuser ann on\r\n", "flushall\r\n", NULL};
             *w != NULL; w++)
            cr_expect(refused(client_ask(c, *w)), "policy %u, %s", i, *w);
        expect(c, "dbsize\r\nping\r\n", ":5\r\n+PONG\r\n");
        struct buf uid = {0};
        control_uid_encode(&uid, 7);
        cr_expect_not(serve_control(s, CONTROL_DB_FLUSH, buf_bytes(&uid)));
        cr_expect_eq(strncmp(serve_error(s), "MISCONF ", 8), 0, "%s", serve_error(s));
        buf_deinit(&uid);
        serve_run(s, 1000);
        cr_expect_eq(client_closed(held), all[i] == PERSIST_ALWAYS, "policy %u", i);
        fill_disk(s, false);
        serve_run(s, 1000);
        c = client_new(s);
        expect(c, "set a 8\r\nget b\r\nget e\r\n", "+OK\r\n$1\r\n3\r\n$1\r\n6\r\n");
        serve_run(s, 1500);
        serve_kill(s, true);
        serve_start(s);
        serve_run(s, 1000);
        if (all[i] != PERSIST_SNAPSHOT)
            expect(client_new(s), "get a\r\nget e\r\n", "$1\r\n8\r\n$1\r\n6\r\n");
        serve_free(s);
    }
}

/* As Redis 7.0 does it: what is queued is refused at once, what was queued before is refused as a
 * whole by EXEC, scripts are queued and fail where they write. */
Test(disk, a_full_one_refuses_transactions)
{
    struct serve *s = begin(PERSIST_SECOND, 3, 5);
    const char *dirty = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    serve_run(s, 500);
    struct client *before = client_new(s), *during = client_new(s), *reads = client_new(s),
                  *script = client_new(s);
    expect(before, "set {k}a 1\r\nmulti\r\nset {k}a 2\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
    fill_disk(s, true);
    for (int i = 0; i < 50; i++) { /* every shard's disk has been met */
        char text[40];
        snprintf(text, sizeof text, "set %d x\r\n", i);
        (void)client_ask(during, text);
    }
    serve_run(s, 1000);
    expect(during, "multi\r\n", "+OK\r\n");
    cr_expect(refused(client_ask(during, "set {k}a 5\r\n")));
    expect(during, "get {k}a\r\n", "+QUEUED\r\n");
    expect(during, "exec\r\n", dirty);
    const char *got = client_ask(before, "exec\r\n");
    cr_expect_not_null(strstr(got, "-EXECABORT Transaction discarded because of: MISCONF "), "%s",
                       got);
    expect(reads, "multi\r\nget {k}a\r\nping\r\nexec\r\n",
           "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n+PONG\r\n");
    expect(script, "multi\r\neval \"return redis.call('set', KEYS[1], 'x')\" 1 {k}a\r\n",
           "+OK\r\n+QUEUED\r\n");
    got = client_ask(script, "exec\r\n");
    cr_expect_not_null(strstr(got, "*1\r\n-MISCONF "), "%s", got);
    got = client_ask(script, "eval \"#!lua\\nreturn redis.call('get', KEYS[1])\" 1 {k}a\r\n");
    cr_expect(refused(got) && strstr(got, "flags=no-writes") != NULL, "%s", got);
    expect(script, "eval \"#!lua flags=no-writes\\nreturn redis.call('get', KEYS[1])\" 1 {k}a\r\n",
           "$1\r\n1\r\n");
    expect(before, "multi\r\n", "+OK\r\n");
    cr_expect(refused(client_ask(before, "set {k}a 9\r\n")));
    fill_disk(s, false);
    serve_run(s, 2000);
    expect(before, "exec\r\n", dirty); /* also when all is well again */
    expect(before, "multi\r\nset {k}a 3\r\nexec\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    serve_free(s);
}

Test(disk, one_that_does_not_answer_refuses_writes)
{
    struct serve *s = begin(PERSIST_SECOND, 1, 1);
    serve_run(s, 500);
    struct client *c = client_new(s);
    expect(c, "set a 1\r\n", "+OK\r\n");
    serve_run(s, 1500);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.latency_us = 8000000});
    expect(c, "set a 2\r\n", "+OK\r\n");
    serve_run(s, 3500);
    cr_expect(refused(client_ask(c, "set a 3\r\n")));
    expect(c, "get a\r\n", "$1\r\n2\r\n");
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    serve_run(s, 6000);
    expect(c, "set a 4\r\n", "+OK\r\n");
    serve_free(s);
}

Test(disk, a_slow_one_slows_writers_down)
{
    struct serve *s = begin(PERSIST_SECOND, 1, 1);
    serve_run(s, 500);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.latency_us = 1000000});
    struct client *c[20];
    struct buf big = {0};
    buf_put_str(&big, "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1000000\r\n");
    for (unsigned i = 0; i < 1000000; i++)
        buf_put_u8(&big, 'x');
    buf_put_str(&big, "\r\n");
    for (unsigned i = 0; i < 20; i++)
        c[i] = client_new(s);
    unsigned done = 0, before = 0;
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < 20; i++)
            client_send(c[i], buf_bytes(&big));
        serve_run(s, 300);
        before = done;
        for (unsigned i = 0; i < 20; i++)
            for (const char *p = client_now(c[i]); (p = strstr(p, "+OK")) != NULL; p++)
                done++;
    }
    cr_expect_lt(done, 130, "%u writes of 1 MB in 3.6 s, to a disk that takes 1 MB/s", done);
    cr_expect_gt(done, 30);
    (void)before;
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    serve_run(s, 5000);
    for (unsigned i = 0; i < 20; i++)
        for (const char *p = client_now(c[i]); (p = strstr(p, "+OK")) != NULL; p++)
            done++;
    cr_expect_eq(done, 240);
    buf_deinit(&big);
    serve_free(s);
}

/* ------------------------------------------------------------ changing what is kept */

static void set_persistence(struct serve *s, enum persistence p, uint64_t version)
{
    struct plane_db *db = mem_zalloc(sizeof *db);
    serve_keep(s, p);
    serve_db(s, db);
    db->version = version;
    cr_assert(serve_set(s, db), "%s", serve_error(s));
    mem_free(db);
}

Test(disk, what_was_in_memory_only_can_be_put_on_disk)
{
    for (unsigned always = 0; always < 2; always++) {
        struct serve *s = begin(PERSIST_OFF, 3, 4);
        struct client *c = client_new(s);
        write_keys(s, 0, 300);
        set_persistence(s, always ? PERSIST_ALWAYS : PERSIST_SECOND, 2);
        for (int i = 300; i < 400; i++) { /* while the first snapshot is taken */
            char text[40];
            snprintf(text, sizeof text, "set key:%d %d\r\n", i, i);
            client_send(c, bytes_str(text));
            serve_run(s, 1);
        }
        client_take(c);
        serve_run(s, 3000);
        expect(c, "set last 1\r\nincr n\r\n", "+OK\r\n:1\r\n");
        serve_run(s, always ? 0 : 1500);
        serve_kill(s, true);
        serve_start(s);
        serve_run(s, 500);
        c = client_new(s);
        expect(c, "dbsize\r\nget key:5\r\nget key:399\r\nget last\r\n",
               ":402\r\n$1\r\n5\r\n$3\r\n399\r\n$1\r\n1\r\n");
        expect(c, "incr n\r\n", ":2\r\n");
        serve_kill(s, false);
        serve_start(s);
        serve_run(s, 500);
        cr_expect_eq(strncmp(client_ask(client_new(s), "dbsize\r\n"), ":402", 4), 0);
        serve_free(s);
    }
}

Test(disk, an_end_while_files_begin_writes_what_is_there)
{
    for (unsigned ms = 0; ms < 60; ms += 5) {
        struct serve *s = begin(PERSIST_OFF, 2, 3);
        write_keys(s, 0, 100);
        world_disk(serve_world(s), serve_host(s), (struct world_disk){.latency_us = 3000});
        set_persistence(s, PERSIST_SECOND, 2);
        serve_run(s, ms);
        serve_stop(s);
        serve_start(s);
        serve_run(s, 500);
        const char *got = client_ask(client_new(s), "dbsize\r\n");
        cr_expect_str_eq(got, ":100\r\n", "ended after %u ms", ms);
        serve_free(s);
    }
}

Test(disk, a_death_before_the_first_snapshot_leaves_an_empty_database)
{
    for (unsigned ms = 1; ms < 40; ms += 3) {
        struct serve *s = begin(PERSIST_OFF, 2, 3);
        struct client *c = client_new(s);
        write_keys(s, 0, 100);
        world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 5000});
        set_persistence(s, PERSIST_SECOND, 2);
        client_send(c, bytes_str("set late 1\r\n"));
        serve_run(s, ms);
        serve_kill(s, true);
        serve_start(s);
        serve_run(s, 1000);
        const char *got = client_ask(client_new(s), "dbsize\r\nset a 1\r\n");
        cr_expect(got[0] == ':' && strstr(got, "+OK") != NULL, "after %u ms: %s", ms, got);
        serve_free(s);
    }
}

Test(disk, what_is_no_longer_kept_does_not_come_back)
{
    struct serve *s = begin(PERSIST_ALWAYS, 3, 4);
    struct client *c = client_new(s);
    write_keys(s, 0, 300);
    cr_expect(has_log(s, 0) && has_log(s, 3));
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 500000});
    client_send(c, bytes_str("set held 1\r\n"));
    serve_run(s, 50);
    set_persistence(s, PERSIST_OFF, 2);
    cr_expect_str_eq(client_take(c), "+OK\r\n");
    expect(c, "dbsize\r\nset x 1\r\n", ":301\r\n+OK\r\n");
    serve_run(s, 2000);
    cr_expect_not(has_log(s, 0) || has_log(s, 1) || has_log(s, 2) || has_log(s, 3));
    set_persistence(s, PERSIST_ALWAYS, 3);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    serve_run(s, 3000);
    expect(c, "del x\r\n", ":1\r\n");
    serve_kill(s, true);
    serve_start(s);
    serve_run(s, 500);
    expect(client_new(s), "dbsize\r\n", ":301\r\n");
    serve_free(s);
}

/* A worker may miss that persistence was switched off and on again: it had refused the one, or the
 * manager had taken the other back. Its folder must be the one that is opened the next time. */
Test(disk, files_move_to_the_folder_of_a_founding_that_was_missed)
{
    for (unsigned always = 0; always < 2; always++) {
        enum persistence p = always ? PERSIST_ALWAYS : PERSIST_SECOND;
        struct serve *s = begin(p, 2, 3);
        write_keys(s, 0, 100);
        serve_keep(s, PERSIST_OFF); /* nobody tells the workers */
        set_persistence(s, p, 2);
        serve_run(s, 2000);
        struct client *c = client_new(s);
        expect(c, "set after 1\r\n", "+OK\r\n");
        serve_run(s, 2000);
        serve_kill(s, true);
        serve_start(s);
        serve_run(s, 500);
        expect(client_new(s), "dbsize\r\nget key:5\r\n", ":101\r\n$1\r\n5\r\n");
        serve_free(s);
    }
}

static void count_file(void *arg, const char *path, struct bytes content)
{
    (void)content;
    *(unsigned *)arg += strncmp(path, "data/db7/shard0/", 16) == 0;
}

/* What is left of files that were being removed is neither read nor in the way. */
Test(disk, a_death_while_files_are_removed_does_no_harm)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned left = 0;
        struct serve *s = begin(PERSIST_SECOND, 2, 2);
        for (int k = 0; k < 4; k++) { /* each life begins a segment */
            write_keys(s, 100 * k, 100 * k + 100);
            serve_run(s, 1200);
            serve_kill(s, false);
            serve_start(s);
            serve_run(s, 500);
        }
        set_persistence(s, PERSIST_OFF, 2);
        world_run(serve_world(s), world_now_us(serve_world(s)) + 60 * i);
        serve_kill(s, false);
        serve_keep(s, PERSIST_SECOND);
        serve_start(s);
        serve_run(s, 500);
        expect(client_new(s), "dbsize\r\nset k 1\r\n", ":0\r\n+OK\r\n");
        world_files(serve_world(s), serve_host(s), count_file, &left);
        cr_expect_eq(left, 0, "%u files of what was switched off are still there", left);
        serve_run(s, 1500);
        serve_kill(s, true);
        serve_start(s);
        serve_run(s, 500);
        expect(client_new(s), "dbsize\r\n", ":1\r\n");
        serve_free(s);
    }
}

Test(disk, files_that_could_not_be_begun_are_tried_again)
{
    struct serve *s = begin(PERSIST_OFF, 2, 2);
    struct client *c = client_new(s);
    write_keys(s, 0, 100);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.fail_read_per_64k = 65536});
    set_persistence(s, PERSIST_SECOND, 2);
    for (int i = 0; i < 20; i++) {
        serve_run(s, 100);
        cr_expect_eq(strncmp(client_ask(c, "set k 1\r\n"), "-MISCONF", 8), 0, "%s", client_now(c));
    }
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    serve_run(s, 1000);
    expect(c, "set k 1\r\n", "+OK\r\n");
    serve_run(s, 1500);
    serve_kill(s, true);
    serve_start(s);
    serve_run(s, 500);
    expect(client_new(s), "dbsize\r\n", ":101\r\n");
    serve_free(s);
}

Test(disk, the_policy_changes_at_once)
{
    struct serve *s = begin(PERSIST_SECOND, 2, 2);
    serve_run(s, 500);
    struct client *c = client_new(s);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 200000});
    cr_expect_str_eq(ask_for(c, "set k 1\r\n", 50), "+OK\r\n");
    set_persistence(s, PERSIST_ALWAYS, 2);
    serve_run(s, 2000);
    cr_expect_str_eq(ask_for(c, "set k 2\r\n", 100), "");
    set_persistence(s, PERSIST_SECOND, 3);
    cr_expect_str_eq(client_now(c), "+OK\r\n");
    serve_run(s, 2000);
    set_persistence(s, PERSIST_SNAPSHOT, 4);
    serve_run(s, 2000);
    set_persistence(s, PERSIST_ALWAYS, 5);
    serve_run(s, 2000);
    cr_expect_str_eq(ask_for(c, "set k 3\r\n", 1000), "+OK\r\n");
    serve_kill(s, true);
    serve_start(s);
    serve_run(s, 3000);
    expect(client_new(s), "get k\r\n", "$1\r\n3\r\n");
    serve_free(s);
}

Test(disk, a_damaged_one_is_said_and_left_as_it_is)
{
    struct serve *s = begin(PERSIST_SECOND, 2, 2);
    serve_run(s, 500);
    write_keys(s, 0, 300);
    serve_stop(s);
    serve_start(s);
    serve_run(s, 500);
    write_keys(s, 300, 400);
    serve_kill(s, false);
    cr_assert(world_disk_rot(serve_world(s), serve_host(s), "shard1/log-0000000000000001", 400));
    struct bytes before, after;
    cr_assert(
        world_file(serve_world(s), serve_host(s), "data/db7/shard1/log-0000000000000001", &before));
    size_t n = before.n;
    serve_start(s);
    serve_run(s, 1000);
    for (unsigned i = 0; i < 4; i++) { /* at either worker */
        const char *got = client_ask(client_new(s), "get key:1\r\n");
        cr_expect(strncmp(got, "-LOADING the database cannot be opened: ", 40) == 0 &&
                      strstr(got, "shard1/log-0000000000000001 is damaged at offset") != NULL,
                  "%s", got);
    }
    cr_assert(
        world_file(serve_world(s), serve_host(s), "data/db7/shard1/log-0000000000000001", &after));
    cr_expect_eq(after.n, n);
    serve_stop(s);
    serve_free(s);
}

Test(disk, a_client_that_goes_while_it_waits_does_no_harm)
{
    struct serve *s = begin(PERSIST_ALWAYS, 2, 2);
    serve_run(s, 500);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.sync_us = 300000});
    for (unsigned i = 0; i < 6; i++) {
        struct client *c = client_new(s);
        char text[40];
        snprintf(text, sizeof text, "set key%u v\r\nget key%u\r\n", i, i);
        client_send(c, bytes_str(text));
        serve_run(s, 5);
        client_close(c);
    }
    struct client *c = client_new(s), *killer = client_new(s);
    client_send(c, bytes_str("set last v\r\n"));
    serve_run(s, 5);
    cr_expect_str_eq(ask_for(killer, "client kill type normal\r\n", 20), ":1\r\n");
    serve_run(s, 3000);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    expect(client_new(s), "dbsize\r\n", ":7\r\n");
    serve_free(s);
}

/* A script that has stopped in the middle is in a snapshot as a whole or not at all, and what
 * follows in the log is not taken twice. */
Test(disk, a_snapshot_in_the_middle_of_a_script)
{
    struct serve *s = begin(PERSIST_ALWAYS, 1, 1);
    struct client *slow = client_new(s), *c = client_new(s);
    static const char script[] =
        "redis.call('INCR', 'n') redis.call('RPUSH', 'l', 'a') local x = 0 for i = 1, 2e6 do x = x "
        "+ i end redis.call('INCR', 'n') redis.call('RPUSH', 'l', 'b') return x";
    char text[400];
    expect(c, "config set busy-reply-threshold 1\r\nincr n\r\n", "+OK\r\n:1\r\n");
    snprintf(text, sizeof text, "*3\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n0\r\n", strlen(script),
             script);
    client_send(slow, bytes_str(text));
    serve_run(s, 2);
    struct buf uid = {0};
    control_uid_encode(&uid, 7);
    cr_expect(serve_control(s, CONTROL_DB_SNAPSHOT, buf_bytes(&uid)), "%s", serve_error(s));
    buf_deinit(&uid);
    const char *early = client_now(slow);
    cr_expect_str_eq(early, "", "%s", early);
    serve_run(s, 3000);
    expect(c, "get n\r\nlrange l 0 -1\r\n", "$1\r\n3\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    cr_expect(strstr(client_ask(c, "info persistence\r\n"), "rdb_saves:1\r\n"), "%s",
              client_now(c));
    serve_kill(s, true);
    serve_start(s);
    serve_run(s, 500);
    expect(client_new(s), "get n\r\nlrange l 0 -1\r\n", "$1\r\n3\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    serve_free(s);
}
