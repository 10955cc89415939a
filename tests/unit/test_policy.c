/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/clusters.h"
#include "tests/unit/serve.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* How a database is kept on disk is changed by all workers or by none, and fits to what the state
 * file says at every moment. */

#define FAILS ((struct world_disk){.fail_append_per_64k = 65536})
#define SLOW_LOOP "*4\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n1\r\n$3\r\nfoo\r\n"

static void expect(struct client *c, const char *ask, const char *want)
{
    const char *got = client_ask(c, ask);
    cr_expect_str_eq(got, want, "%s: got %s", ask, got);
}

static struct serve *begin(enum persistence p)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 2, .shards = 3, .persistence = p});
    serve_run(s, 500);
    for (int i = 0; i < 50; i++) {
        char text[40];
        snprintf(text, sizeof text, "set key:%d %d\r\n", i, i);
        client_send(client_new(s), bytes_str(text));
    }
    serve_run(s, 1500);
    return s;
}

/* As a manager asks before it changes anything. */
static bool check(struct serve *s, enum persistence p)
{
    struct plane_db *db = mem_zalloc(sizeof *db);
    struct buf body = {0};
    serve_db(s, db);
    db->founding += db->persistence == PERSIST_OFF && p != PERSIST_OFF;
    db->persistence = p;
    db->version = 2;
    plane_db_encode(&body, db);
    bool ok = serve_control(s, CONTROL_DB_CHECK, buf_bytes(&body));
    buf_deinit(&body);
    mem_free(db);
    return ok;
}

struct counts {
    unsigned files, probes;
};

static void count_file(void *arg, const char *path, struct bytes content)
{
    struct counts *n = arg;
    (void)content;
    n->files += strstr(path, "data/db7/") != NULL;
    n->probes += strstr(path, "probe") != NULL;
}

static unsigned files_of(struct serve *s)
{
    struct counts n = {0};
    world_files(serve_world(s), serve_host(s), count_file, &n);
    cr_expect_eq(n.probes, 0, "what was tried has to be removed");
    return n.files;
}

static void is_refused(struct serve *s, enum persistence p, const char *words)
{
    cr_assert_not(check(s, p));
    cr_expect(strstr(serve_error(s), words) && strstr(serve_error(s), "Nothing was changed"), "%s",
              serve_error(s));
}

Test(policy, a_disk_that_fails_refuses_to_promise_more)
{
    struct serve *s = begin(PERSIST_SECOND);
    unsigned files = files_of(s);
    world_disk(serve_world(s), serve_host(s), FAILS);
    is_refused(s, PERSIST_ALWAYS, "probe.new");
    cr_expect(check(s, PERSIST_SNAPSHOT) && check(s, PERSIST_OFF), "%s", serve_error(s));
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    cr_expect(check(s, PERSIST_ALWAYS), "%s", serve_error(s));
    serve_run(s, 100);
    cr_expect(
        strstr(client_ask(client_new(s), "info persistence\r\n"), "policy_in_force:everysec\r"));
    cr_expect_eq(files_of(s), files);
    serve_kill(s, true);
    serve_start(s);
    serve_run(s, 500);
    expect(client_new(s), "dbsize\r\n", ":50\r\n");
    serve_free(s);
}

Test(policy, one_that_fails_refuses_to_begin_files)
{
    struct serve *s = begin(PERSIST_OFF);
    world_disk(serve_world(s), serve_host(s), FAILS);
    is_refused(s, PERSIST_SECOND, "data/db7/shard");
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    cr_expect(check(s, PERSIST_SECOND), "%s", serve_error(s));
    expect(client_new(s), "set k 1\r\n", "+OK\r\n");
    serve_run(s, 100);
    cr_expect_eq(files_of(s), 0);
    serve_free(s);
}

/* Of several shards some may be able to: what they tried is gone, too. */
Test(policy, one_shard_that_refuses_is_enough)
{
    unsigned refused = 0;
    struct serve *s = begin(PERSIST_OFF);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.fail_sync_per_64k = 20000});
    for (unsigned i = 0; i < 24; i++) {
        refused += !check(s, PERSIST_ALWAYS);
        expect(client_new(s), "set k 1\r\n", "+OK\r\n");
        serve_run(s, 100);
        cr_expect_eq(files_of(s), 0);
    }
    cr_expect(refused > 6 && refused < 24, "%u of 24 were refused", refused);
    serve_free(s);
}

Test(policy, one_that_does_not_answer_is_not_waited_for)
{
    struct serve *s = begin(PERSIST_OFF);
    world_disk(serve_world(s), serve_host(s), (struct world_disk){.latency_us = 9000000});
    cr_expect_not(check(s, PERSIST_ALWAYS));
    serve_run(s, 5000);
    cr_expect(strstr(serve_error(s), "has not answered for 5 s"), "%s", serve_error(s));
    cr_expect(serve_control(s, CONTROL_STATS, bytes_of(NULL, 0)), "%s", serve_error(s));
    world_disk(serve_world(s), serve_host(s), (struct world_disk){0});
    cr_expect(check(s, PERSIST_ALWAYS), "%s", serve_error(s));
    serve_run(s, 20000); /* the late answers */
    expect(client_new(s), "set k 1\r\n", "+OK\r\n");
    cr_expect_eq(files_of(s), 0);
    serve_free(s);
}

/* A worker whose script has stopped in the middle refuses; once it has agreed it does it, later. */
Test(policy, a_script_in_the_middle_of_it)
{
    struct serve *s =
        serve_new(&(struct serve_opts){.workers = 2, .shards = 2, .persistence = PERSIST_SECOND});
    struct client *slow = client_new(s), *c = client_new(s);
    expect(c, "config set busy-reply-threshold 1\r\nmset a 1 b 2 c 3 d 4\r\n", "+OK\r\n+OK\r\n");
    client_send(slow, bytes_str(SLOW_LOOP));
    serve_run(s, 2); /* the loop turns in real time */
    cr_expect_not(check(s, PERSIST_OFF));
    cr_expect(strstr(serve_error(s), "a script has been running"), "%s", serve_error(s));
    struct plane_db *db = mem_zalloc(sizeof *db);
    serve_db(s, db);
    db->version = 2;
    db->persistence = PERSIST_OFF;
    cr_expect(serve_set(s, db), "%s", serve_error(s));
    mem_free(db);
    cr_expect_gt(files_of(s), 0);
    client_send(c, bytes_str("script kill\r\n"));
    serve_run(s, 2);
    cr_expect_str_eq(client_take(c), "+OK\r\n");
    serve_run(s, 1000);
    cr_expect_eq(files_of(s), 0);
    expect(c, "dbsize\r\n", ":4\r\n");
    serve_free(s);
}

/* ------------------------------------------------------------ with a manager */

static struct clusters m;

static void start(const char *persistence)
{
    char body[200];
    clusters_new(&m, 1, true);
    clusters_kill_plane(&m, 0);
    m.at[0].disk = true;
    clusters_start_plane(&m, 0);
    clusters_run(&m, 2000);
    snprintf(body, sizeof body,
             "{'name': 'a', 'memory_size': 0, 'shards_count': 2, 'data_persistence': '%s', "
             "'aof_policy': 'appendfsync-always'}",
             persistence);
    cr_assert_eq(clusters_call(&m, 0, "POST", "/v1/bdbs", body, NULL), 200);
    cr_assert_str_eq(clusters_redis(&m, 0, 12000, "MSET a 1 b 2 c 3 d 4"), "+OK\r\n");
}

static void is_kept_as(const char *want)
{
    json_t *db = NULL;
    cr_assert_eq(clusters_call(&m, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
    const char *is = json_string_value(json_object_get(db, "data_persistence"));
    cr_expect(strcmp(is, want) == 0, "%s, not %s", is, want);
    json_decref(db);
}

static void is_in_force(const char *want)
{
    json_t *db = NULL;
    cr_assert_eq(clusters_call(&m, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
    const char *is =
        json_string_value(json_object_get(json_object_get(db, "persistence"), "policy_in_force"));
    cr_expect(strcmp(is != NULL ? is : "disabled", want) == 0, "%s, not %s", is, want);
    json_decref(db);
}

static void put(const char *persistence, int status, const char *code)
{
    char body[64];
    json_t *answer = NULL;
    snprintf(body, sizeof body, "{'data_persistence': '%s'}", persistence);
    int got = clusters_call(&m, 0, "PUT", "/v1/bdbs/1", body, &answer);
    const char *is = json_string_value(json_object_get(answer, "error_code"));
    cr_expect(got == status && strcmp(is != NULL ? is : "", code) == 0, "%s: %d %s", body, got,
              json_string_value(json_object_get(answer, "message")));
    json_decref(answer);
}

Test(policy, a_change_that_the_disk_refuses_is_told_and_is_none)
{
    start("disabled");
    world_disk(m.world, m.at[0].plane_host, FAILS);
    put("aof", 409, "refused_by_plane");
    is_kept_as("disabled");
    cr_expect_str_eq(clusters_redis(&m, 0, 12000, "SET k v"), "+OK\r\n");
    world_disk(m.world, m.at[0].plane_host, (struct world_disk){0});
    is_in_force("disabled");
    put("aof", 200, "");
    is_kept_as("aof");
    clusters_run(&m, 2000);
    is_in_force("appendfsync-always");
    clusters_kill_plane(&m, 0);
    clusters_start_plane(&m, 0);
    clusters_run(&m, 3000);
    cr_expect_str_eq(clusters_redis(&m, 0, 12000, "MGET a d k"),
                     "*3\r\n$1\r\n1\r\n$1\r\n4\r\n$1\r\nv\r\n");
    clusters_free(&m);
}

/* What the state file cannot say is not done: its files would not fit to it. */
Test(policy, a_switch_that_cannot_be_noted_is_none)
{
    start("aof");
    world_disk(m.world, m.at[0].host, (struct world_disk){.bytes_max = 1});
    put("disabled", 500, "storage_failed");
    is_kept_as("aof");
    world_disk(m.world, m.at[0].host, (struct world_disk){0});
    clusters_run(&m, 1500);
    clusters_kill_plane(&m, 0);
    clusters_start_plane(&m, 0);
    clusters_run(&m, 3000);
    cr_expect_str_eq(clusters_redis(&m, 0, 12000, "MGET a d"), "*2\r\n$1\r\n1\r\n$1\r\n4\r\n");
    put("disabled", 200, "");
    clusters_free(&m);
}

static void ignored(struct vconn *v, enum vconn_event what, struct buf *in, void *arg)
{
    (void)v;
    if (in != NULL)
        buf_consume(in, buf_len(in));
    if (what == VCONN_CLOSED)
        *(bool *)arg = true;
}

/* The node dies so many microseconds after somebody has sent a switch. */
static void die_in_a_switch(const char *to, unsigned us)
{
    static const char head[] = "PUT /v1/bdbs/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
                               "YWRtaW46c2VjcmV0LTE=\r\n";
    struct buf text = {0};
    bool closed = false;
    int n = (int)strlen(to) + 24;
    buf_putf(&text, "%sContent-Length: %d\r\n\r\n{\"data_persistence\": \"%s\"}", head, n, to);
    struct vconn *v = driver_dial(m.driver, cluster_names[0], 9443, ignored, &closed);
    vconn_send(v, buf_bytes(&text));
    buf_deinit(&text);
    world_flush(m.world);
    world_run(m.world, world_now_us(m.world) + us);
    if (!closed)
        vconn_close(v);
    world_power_loss(m.world, m.at[0].host);
    world_power_loss(m.world, m.at[0].plane_host);
    clusters_start_manager(&m, 0);
    clusters_start_plane(&m, 0);
    clusters_run(&m, 4000);
}

Test(policy, a_death_in_the_midst_of_switching_off_leaves_all_or_nothing)
{
    unsigned on = 0, off = 0;
    for (unsigned us = 400; us < 8000; us += 150) {
        start("aof");
        die_in_a_switch("disabled", us);
        json_t *db = NULL;
        cr_assert_eq(clusters_call(&m, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
        bool is_on = strcmp(json_string_value(json_object_get(db, "data_persistence")), "aof") == 0;
        json_decref(db);
        on += is_on;
        off += !is_on;
        const char *got = clusters_redis(&m, 0, 12000, "MGET a b c d");
        cr_expect_str_eq(got,
                         is_on ? "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n"
                               : "*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n",
                         "%u us: %s", us, got);
        clusters_free(&m);
    }
    cr_expect(on > 2 && off > 2, "%u on, %u off", on, off);
}

Test(policy, a_death_in_the_midst_of_switching_on_leaves_a_database_that_works)
{
    for (unsigned us = 500; us < 12000; us += 500) {
        start("disabled");
        die_in_a_switch("aof", us);
        cr_expect_str_eq(clusters_redis(&m, 0, 12000, "SET k v"), "+OK\r\n", "%u us", us);
        put("disabled", 200, "");
        put("aof", 200, "");
        clusters_run(&m, 2000);
        clusters_kill_plane(&m, 0);
        clusters_start_plane(&m, 0);
        clusters_run(&m, 3000);
        cr_expect_str_eq(clusters_redis(&m, 0, 12000, "GET k"), "$1\r\nv\r\n", "%u us", us);
        clusters_free(&m);
    }
}
