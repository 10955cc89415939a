/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/clusters.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct clusters c;

static void start(void) { clusters_new(&c, 4, true); }
static void end(void) { clusters_free(&c); }

TestSuite(crdb, .init = start, .fini = end);

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

/* The first error of a task, "" none. */
static const char *error_of(const json_t *task)
{
    return member(json_array_get(json_object_get(task, "errors"), 0), "description");
}

static void make(unsigned n, char guid[64])
{
    json_t *task = clusters_crdb(&c, n, NULL);
    cr_assert_str_eq(member(task, "status"), "finished", "%s\n%s", error_of(task), c.log);
    snprintf(guid, 64, "%s", member(task, "crdb_guid"));
    json_decref(task);
}

/* POST /updates or another change, to its end. */
static json_t *change(unsigned i, const char *method, const char *guid, const char *tail,
                      const char *body)
{
    char path[128];
    json_t *task;
    snprintf(path, sizeof path, "/v1/crdbs/%s%s", guid, tail);
    int status = clusters_call(&c, i, method, path, body, &task);
    cr_assert_eq(status, 200, "%d %s", status, member(task, "message"));
    return clusters_follow(&c, i, task);
}

static void nothing_left(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        cr_expect_eq(clusters_count(&c, i, "/v1/bdbs"), 0, "cluster %u", i);
        cr_expect_eq(clusters_count(&c, i, "/v1/crdbs"), 0, "cluster %u", i);
        cr_expect_str_eq(clusters_redis(&c, i, 12000, "PING"), "");
    }
}

Test(crdb, replicates_between_all_regions)
{
    char guid[64];
    make(3, guid);
    for (unsigned i = 0; i < 3; i++) {
        char command[32];
        snprintf(command, sizeof command, "INCRBY n %u", i + 1);
        cr_expect_eq(clusters_redis(&c, i, 12000, command)[0], ':');
    }
    clusters_run(&c, 2000);
    for (unsigned i = 0; i < 3; i++)
        cr_expect_str_eq(clusters_redis(&c, i, 12000, "GET n"), "$1\r\n6\r\n", "region %u", i + 1);
}

Test(crdb, shows_the_same_configuration_everywhere)
{
    char guid[64], path[128];
    make(2, guid);
    for (unsigned i = 0; i < 2; i++) {
        json_t *r;
        snprintf(path, sizeof path, "/v1/crdbs/%s", guid);
        cr_assert_eq(clusters_call(&c, i, "GET", path, NULL, &r), 200);
        const json_t *list = json_object_get(r, "instances");
        cr_assert_eq(json_array_size(list), 2);
        for (unsigned k = 0; k < 2; k++) {
            const json_t *in = json_array_get(list, k), *e = json_object_get(in, "endpoint");
            cr_expect_eq(json_integer_value(json_object_get(in, "id")), k + 1);
            cr_expect_eq(json_integer_value(json_object_get(e, "port")), 12000);
            cr_expect_null(json_object_get(json_object_get(in, "cluster"), "credentials"));
        }
        json_decref(r);
    }
}

Test(crdb, is_not_made_when_a_password_is_wrong)
{
    json_t *task;
    int status = clusters_call(
        &c, 0, "POST", "/v1/crdbs",
        "{'name': 'geo', 'instances': [{'cluster': {'name': 'alpha.test', 'url': "
        "'http://alpha:9443', 'credentials': {'username': 'admin', 'password': 'secret-1'}}}, "
        "{'cluster': {'name': 'beta.test', 'url': 'http://beta:9443', 'credentials': "
        "{'username': 'admin', 'password': 'wrong'}}}]}",
        &task);
    cr_assert_eq(status, 200);
    task = clusters_follow(&c, 0, task);
    cr_expect_str_eq(member(task, "status"), "failed");
    cr_expect(strstr(error_of(task), "beta.test") && strstr(error_of(task), "password"), "%s",
              error_of(task));
    json_decref(task);
    nothing_left(2);
}

Test(crdb, is_not_made_when_a_cluster_is_out_of_reach)
{
    clusters_kill_manager(&c, 2);
    json_t *task = clusters_crdb(&c, 3, NULL);
    cr_expect_str_eq(member(task, "status"), "failed");
    cr_expect(strstr(error_of(task), "gamma.test") && strstr(error_of(task), "out of reach"), "%s",
              error_of(task));
    json_decref(task);
    nothing_left(2);
}

Test(crdb, is_not_made_when_the_network_swallows_requests)
{
    world_link(c.world, c.at[0].host, c.at[1].host, (struct world_link){.cut = true});
    json_t *task = clusters_crdb(&c, 3, NULL);
    cr_expect_str_eq(member(task, "status"), "failed");
    cr_expect(strstr(error_of(task), "beta.test") && strstr(error_of(task), "timed out"), "%s",
              error_of(task));
    json_decref(task);
    world_link(c.world, c.at[0].host, c.at[1].host, (struct world_link){.latency_us = 500});
    clusters_run(&c, 70000);
    nothing_left(3);
}

Test(crdb, is_not_made_when_a_name_or_port_is_taken)
{
    clusters_call(&c, 1, "POST", "/v1/bdbs", "{'name': 'geo', 'memory_size': 0}", NULL);
    json_t *task = clusters_crdb(&c, 2, NULL);
    cr_expect_str_eq(member(task, "status"), "failed");
    cr_expect(strstr(error_of(task), "beta.test") && strstr(error_of(task), "named geo"), "%s",
              error_of(task));
    json_decref(task);
    nothing_left(1);
    clusters_call(&c, 1, "DELETE", "/v1/bdbs/1", NULL, NULL);
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'x', 'memory_size': 0, 'port': 12003}",
                  NULL);
    task = clusters_crdb(&c, 2, ", 'db_config': {'port': 12003}");
    cr_expect_str_eq(member(task, "status"), "failed");
    cr_expect(strstr(error_of(task), "alpha.test") && strstr(error_of(task), "12003"), "%s",
              error_of(task));
    json_decref(task);
    cr_expect_eq(clusters_count(&c, 1, "/v1/bdbs"), 0);
}

Test(crdb, is_not_made_when_a_cluster_has_another_name)
{
    json_t *task, *answer;
    int status = clusters_call(
        &c, 0, "POST", "/v1/crdbs",
        "{'name': 'geo', 'instances': [{'cluster': {'name': 'alpha.test', 'url': "
        "'http://alpha:9443', 'credentials': {'username': 'admin', 'password': 'secret-1'}}}, "
        "{'cluster': {'name': 'omega.test', 'url': 'http://beta:9443', 'credentials': "
        "{'username': 'admin', 'password': 'secret-2'}}}]}",
        &task);
    cr_assert_eq(status, 200);
    task = clusters_follow(&c, 0, task);
    cr_expect(strstr(error_of(task), "this is cluster beta.test"), "%s", error_of(task));
    json_decref(task);
    nothing_left(2);
    status = clusters_call(
        &c, 0, "POST", "/v1/crdbs",
        "{'name': 'geo', 'instances': [{'cluster': {'name': 'alpha.test', 'url': "
        "'http://alpha:9443', 'credentials': {'username': 'admin', 'password': 'secret-1'}}}, "
        "{'cluster': {'name': 'alpha.test', 'url': 'http://beta:9443', 'credentials': "
        "{'username': 'admin', 'password': 'secret-2'}}}]}",
        &answer);
    cr_expect_eq(status, 400);
    cr_expect_str_eq(member(answer, "error_code"), "duplicate_cluster");
    json_decref(answer);
}

Test(crdb, forgets_what_a_dead_coordinator_had_prepared)
{
    json_t *task = NULL;
    /* gamma never answers, so alpha is still waiting when it dies. */
    world_link(c.world, c.at[0].host, c.at[2].host, (struct world_link){.cut = true});
    clusters_call(
        &c, 0, "POST", "/v1/crdbs",
        "{'name': 'geo', 'instances': [{'cluster': {'name': 'alpha.test', 'url': "
        "'http://alpha:9443', 'credentials': {'username': 'admin', 'password': 'secret-1'}}}, "
        "{'cluster': {'name': 'beta.test', 'url': 'http://beta:9443', 'credentials': "
        "{'username': 'admin', 'password': 'secret-2'}}}, "
        "{'cluster': {'name': 'gamma.test', 'url': 'http://gamma:9443', 'credentials': "
        "{'username': 'admin', 'password': 'secret-3'}}}]}",
        &task);
    clusters_run(&c, 1000);
    cr_expect_eq(clusters_count(&c, 1, "/v1/bdbs"), 1);
    clusters_kill_manager(&c, 0);
    clusters_run(&c, 500);
    clusters_start_manager(&c, 0);
    clusters_run(&c, 63000);
    nothing_left(2);
    json_decref(task);
}

/* The description of an alert of region 1's database; "" it is not raised. */
static void alert(const char *name, char out[600])
{
    json_t *list;
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/alerts/1", NULL, &list), 200);
    const json_t *a = json_object_get(list, name);
    cr_assert_not_null(a, "%s", name);
    cr_expect_eq(json_is_true(json_object_get(a, "state")), member(a, "description")[0] != 0);
    snprintf(out, 600, "%s", member(a, "description"));
    json_decref(list);
}

Test(crdb, alerts_name_the_region_that_is_far_behind_and_every_link_that_is_down)
{
    char guid[64], text[600];
    make(3, guid);
    clusters_run(&c, 2000);
    alert("bdb_crdt_src_high_syncer_lag", text);
    cr_expect_str_eq(text, "");
    alert("bdb_crdt_src_syncer_connection_error", text);
    cr_expect_str_eq(text, "");
    uint32_t here = c.at[0].plane_host;
    world_link(c.world, c.at[2].plane_host, here,
               (struct world_link){.latency_us = 500, .bytes_per_s = 100});
    snprintf(text, sizeof text, "SET k ");
    for (unsigned i = 6; i < 506; i++) /* hardly to be compressed */
        snprintf(text + i, 2, "%c", 'A' + (int)(i * i * 7919 / 31 % 50));
    cr_assert_str_eq(clusters_redis(&c, 2, 12000, text), "+OK\r\n");
    clusters_run(&c, 3000);
    alert("bdb_crdt_src_high_syncer_lag", text);
    cr_expect(strstr(text, "ms behind the region gamma.test, more than 100 ms"), "%s", text);
    alert("bdb_crdt_src_syncer_connection_error", text);
    cr_expect_str_eq(text, "");
    for (unsigned i = 1; i <= 2; i++) {
        world_link(c.world, c.at[i].plane_host, here, (struct world_link){.cut = true});
        world_link(c.world, here, c.at[i].plane_host, (struct world_link){.cut = true});
    }
    clusters_run(&c, 30000);
    alert("bdb_crdt_src_syncer_connection_error", text);
    cr_expect(strncmp(text, "link from region 2 (beta.test): ", 32) == 0, "%s", text);
    cr_expect(strstr(text, ", link from region 3 (gamma.test): "), "%s", text);
    alert("bdb_crdt_src_high_syncer_lag", text);
    cr_expect_str_eq(text, "");
    alert("bdb_shard_stale", text);
    cr_expect_str_eq(text, "");
    clusters_kill_plane(&c, 0); /* and its memory with it, while nobody can be asked */
    clusters_start_plane(&c, 0);
    clusters_run(&c, 10000);
    alert("bdb_shard_stale", text);
    cr_expect(strstr(text, " answer writes with -STALE: "), "%s", text);
}

Test(crdb, takes_in_a_region_that_then_has_all_data)
{
    char guid[64];
    make(2, guid);
    clusters_redis(&c, 0, 12000, "SET k v");
    json_t *task =
        change(1, "POST", guid, "/updates",
               "{'add_instances': [{'cluster': {'name': 'gamma.test', 'url': 'http://gamma:9443', "
               "'credentials': {'username': 'admin', 'password': 'secret-3'}}}]}");
    cr_assert_str_eq(member(task, "status"), "finished", "%s\n%s", error_of(task), c.log);
    json_decref(task);
    clusters_run(&c, 3000);
    cr_expect_str_eq(clusters_redis(&c, 2, 12000, "GET k"), "$1\r\nv\r\n");
    cr_expect_str_eq(clusters_redis(&c, 2, 12000, "SET k w"), "+OK\r\n");
    clusters_run(&c, 1000);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$1\r\nw\r\n");
}

Test(crdb, lets_a_region_go_with_all_it_had_written)
{
    char guid[64], path[128];
    make(3, guid);
    clusters_redis(&c, 2, 12000, "SET k last");
    json_t *task = change(0, "POST", guid, "/updates", "{'remove_instances': [3]}");
    cr_assert_str_eq(member(task, "status"), "finished", "%s\n%s", error_of(task), c.log);
    json_decref(task);
    cr_expect_eq(clusters_count(&c, 2, "/v1/bdbs"), 0);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$4\r\nlast\r\n");
    /* The next one gets a number that was never used. */
    task = change(0, "POST", guid, "/updates",
                  "{'add_instances': [{'cluster': {'name': 'delta.test', 'url': "
                  "'http://delta:9443', 'credentials': {'username': 'admin', 'password': "
                  "'secret-4'}}}]}");
    cr_assert_str_eq(member(task, "status"), "finished", "%s\n%s", error_of(task), c.log);
    json_decref(task);
    json_t *r;
    snprintf(path, sizeof path, "/v1/crdbs/%s", guid);
    clusters_call(&c, 3, "GET", path, NULL, &r);
    const json_t *local = json_array_get(json_object_get(r, "local_databases"), 0);
    cr_expect_eq(json_integer_value(json_object_get(local, "id")), 4);
    json_decref(r);
}

Test(crdb, goes_on_without_a_region_that_is_lost)
{
    char guid[64];
    make(3, guid);
    clusters_kill_manager(&c, 2);
    clusters_kill_plane(&c, 2);
    json_t *task = change(0, "POST", guid, "/updates", "{'remove_instances': [3]}");
    cr_expect_str_eq(member(task, "status"), "failed");
    json_decref(task);
    task = change(0, "POST", guid, "/updates", "{'remove_instances': [3], 'force_remove': true}");
    cr_expect_str_eq(member(task, "status"), "finished", "%s", error_of(task));
    json_decref(task);
    clusters_start_plane(&c, 2);
    clusters_start_manager(&c, 2);
    clusters_run(&c, 3000);
    cr_expect_eq(clusters_count(&c, 2, "/v1/crdbs"), 1);
    task = change(2, "PUT", guid, "/purge", "{'instances': [3]}");
    cr_expect_str_eq(member(task, "status"), "finished", "%s", error_of(task));
    json_decref(task);
    cr_expect_eq(clusters_count(&c, 2, "/v1/bdbs"), 0);
}

Test(crdb, comes_of_a_database_that_was_there)
{
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'geo', 'memory_size': 0}", NULL);
    clusters_redis(&c, 0, 12000, "SET k v");
    json_t *task = clusters_crdb(&c, 2, ", 'db_uid': 1");
    cr_assert_str_eq(member(task, "status"), "finished", "%s\n%s", error_of(task), c.log);
    json_decref(task);
    clusters_run(&c, 3000);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$1\r\nv\r\n");
    cr_expect_str_eq(clusters_redis(&c, 1, 12000, "GET k"), "$1\r\nv\r\n");
}

Test(crdb, is_left_as_it_was_when_converting_fails)
{
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'geo', 'memory_size': 0}", NULL);
    clusters_redis(&c, 0, 12000, "SET k v");
    clusters_kill_manager(&c, 1);
    json_t *task = clusters_crdb(&c, 2, ", 'db_uid': 1");
    cr_expect_str_eq(member(task, "status"), "failed");
    json_decref(task);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$1\r\nv\r\n");
    cr_expect_eq(clusters_call(&c, 0, "DELETE", "/v1/bdbs/1", NULL, NULL), 200);
    nothing_left(1);
}

Test(crdb, is_deleted_everywhere_or_nowhere)
{
    char guid[64];
    make(2, guid);
    clusters_kill_manager(&c, 1);
    json_t *task = change(0, "DELETE", guid, "", NULL);
    cr_expect_str_eq(member(task, "status"), "failed");
    cr_expect(strstr(error_of(task), "beta.test"), "%s", error_of(task));
    json_decref(task);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "PING"), "+PONG\r\n");
    clusters_start_manager(&c, 1);
    clusters_run(&c, 1000);
    task = change(0, "DELETE", guid, "", NULL);
    cr_expect_str_eq(member(task, "status"), "finished", "%s", error_of(task));
    json_decref(task);
    nothing_left(2);
}

Test(crdb, is_flushed_everywhere)
{
    char guid[64];
    make(2, guid);
    clusters_redis(&c, 0, 12000, "SET k v");
    clusters_run(&c, 500);
    json_t *task = change(1, "PUT", guid, "/flush", NULL);
    cr_expect_str_eq(member(task, "status"), "finished", "%s", error_of(task));
    json_decref(task);
    clusters_run(&c, 1000);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$-1\r\n");
}

Test(crdb, changes_settings_in_all_regions)
{
    char guid[64];
    make(2, guid);
    json_t *task =
        change(0, "PATCH", guid, "", "{'default_db_config': {'authentication_redis_pass': 'pw'}}");
    cr_assert_str_eq(member(task, "status"), "finished", "%s", error_of(task));
    json_decref(task);
    for (unsigned i = 0; i < 2; i++)
        cr_expect(strstr(clusters_redis(&c, i, 12000, "PING"), "NOAUTH"), "region %u", i + 1);
}

Test(crdb, changes_what_is_kept_in_all_regions_but_where_a_region_says_otherwise)
{
    char guid[64];
    json_t *db;
    make(2, guid);
    json_t *task = change(0, "PATCH", guid, "",
                          "{'instances': [{'id': 2, 'db_config': {'eviction_policy': "
                          "'volatile-lru'}}], 'default_db_config': {'eviction_policy': "
                          "'allkeys-lfu', 'replication_oom_threshold_percent': 10}}");
    cr_assert_str_eq(member(task, "status"), "finished", "%s", error_of(task));
    json_decref(task);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(clusters_call(&c, i, "GET", "/v1/bdbs/1", NULL, &db), 200);
        cr_expect_str_eq(member(db, "eviction_policy"), i ? "volatile-lru" : "allkeys-lfu");
        cr_expect_eq(json_integer_value(json_object_get(db, "replication_oom_threshold_percent")),
                     10);
        json_decref(db);
    }
    /* No folder here: nobody prepares, nothing changes anywhere. */
    task = change(0, "PATCH", guid, "",
                  "{'default_db_config': {'data_persistence': 'aof', 'eviction_policy': "
                  "'allkeys-random'}}");
    cr_assert_str_eq(member(task, "status"), "failed");
    cr_expect(strstr(error_of(task), "data_persistence"), "%s", error_of(task));
    json_decref(task);
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
    cr_expect_str_eq(member(db, "eviction_policy"), "allkeys-lfu");
    json_decref(db);
}

Test(crdb, holds_and_releases_a_link)
{
    char guid[64], path[128];
    make(2, guid);
    clusters_run(&c, 1500);
    cr_expect_eq(
        clusters_call(&c, 1, "GET", "/v1/bdbs/1/availability?extend_check=lag", NULL, NULL), 200,
        "%s", c.log);
    snprintf(path, sizeof path, "/v1/crdbs/%s/links", guid);
    cr_assert_eq(clusters_call(&c, 1, "PUT", path, "{'instance_id': 1, 'paused': true}", NULL),
                 200);
    clusters_redis(&c, 0, 12000, "SET k v");
    clusters_run(&c, 2000);
    cr_expect_str_eq(clusters_redis(&c, 1, 12000, "GET k"), "$-1\r\n");
    cr_expect_eq(
        clusters_call(&c, 1, "GET", "/v1/bdbs/1/availability?extend_check=lag", NULL, NULL), 503);
    cr_expect_eq(clusters_call(&c, 1, "GET", "/v1/bdbs/1/availability", NULL, NULL), 200);
    /* The one that it is behind is no less available for that. */
    cr_expect_eq(
        clusters_call(&c, 0, "GET", "/v1/bdbs/1/availability?extend_check=lag", NULL, NULL), 200,
        "%s", c.log);
    cr_assert_eq(clusters_call(&c, 1, "PUT", path, "{'instance_id': 1, 'paused': false}", NULL),
                 200);
    clusters_run(&c, 2000);
    cr_expect_str_eq(clusters_redis(&c, 1, 12000, "GET k"), "$1\r\nv\r\n");
    cr_expect_eq(
        clusters_call(&c, 1, "GET", "/v1/bdbs/1/availability?extend_check=lag", NULL, NULL), 200,
        "%s", c.log);
}

Test(crdb, begins_a_new_incarnation_when_the_plane_lost_its_memory)
{
    char guid[64];
    json_t *db;
    make(2, guid);
    clusters_redis(&c, 0, 12000, "INCRBY n 5");
    clusters_run(&c, 1000);
    clusters_kill_plane(&c, 0);
    clusters_run(&c, 500);
    clusters_start_plane(&c, 0);
    clusters_run(&c, 5000);
    clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db);
    cr_expect_eq(json_integer_value(json_object_get(db, "crdt_incarnation")), 1);
    json_decref(db);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET n"), "$1\r\n5\r\n", "%s", c.log);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "INCRBY n 1"), ":6\r\n");
    clusters_run(&c, 1000);
    cr_expect_str_eq(clusters_redis(&c, 1, 12000, "GET n"), "$1\r\n6\r\n");
    /* A manager that restarts keeps it. */
    clusters_kill_manager(&c, 0);
    clusters_start_manager(&c, 0);
    clusters_run(&c, 2000);
    clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db);
    cr_expect_eq(json_integer_value(json_object_get(db, "crdt_incarnation")), 1);
    json_decref(db);
}

Test(crdb, reports_health_as_each_region_sees_it)
{
    char guid[64], path[128];
    json_t *reports;
    make(2, guid);
    clusters_run(&c, 1500);
    snprintf(path, sizeof path, "/v1/crdbs/%s/health_report", guid);
    cr_assert_eq(clusters_call(&c, 0, "GET", path, NULL, &reports), 200);
    cr_assert_eq(json_array_size(reports), 2);
    for (unsigned i = 0; i < 2; i++) {
        const json_t *r = json_array_get(reports, i);
        const json_t *v = json_array_get(json_object_get(r, "configurations"), 0);
        const json_t *k = json_array_get(json_object_get(r, "connections"), 0);
        cr_expect_str_eq(member(v, "status"), "commit-completed");
        cr_expect_str_eq(member(k, "status"), "ok");
    }
    json_decref(reports);
    clusters_kill_manager(&c, 1);
    cr_assert_eq(clusters_call(&c, 0, "GET", path, NULL, &reports), 200);
    cr_expect(member(json_array_get(reports, 1), "connection_error")[0]);
    json_decref(reports);
}
