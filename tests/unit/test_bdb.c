/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/clusters.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct clusters c;

static void start(void) { clusters_new(&c, 1, true); }
static void end(void) { clusters_free(&c); }

TestSuite(bdb, .init = start, .fini = end);

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

static void refused(const char *method, const char *path, const char *body, int status,
                    const char *code, const char *words)
{
    json_t *answer;
    int got = clusters_call(&c, 0, method, path, body, &answer);
    cr_assert_eq(got, status, "%s: %d %s %s", body, got, member(answer, "error_code"),
                 member(answer, "message"));
    cr_expect_str_eq(member(answer, "error_code"), code);
    cr_expect(strstr(member(answer, "message"), words), "%s", member(answer, "message"));
    json_decref(answer);
}

Test(bdb, is_created_served_and_deleted)
{
    json_t *db;
    int status = clusters_call(&c, 0, "POST", "/v1/bdbs",
                               "{'name': 'db1', 'memory_size': 1000000, 'type': 'redis'}", &db);
    cr_assert_eq(status, 200, "%d %s", status, c.log);
    cr_expect_eq(json_integer_value(json_object_get(db, "uid")), 1);
    cr_expect_str_eq(member(db, "status"), "active");
    cr_expect_eq(json_integer_value(json_object_get(db, "port")), 12000);
    cr_expect_null(json_object_get(db, "authentication_redis_pass"));
    json_decref(db);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "SET k v"), "+OK\r\n");
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$1\r\nv\r\n");
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1/availability", NULL, NULL), 200);
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/local/bdbs/1/endpoint/availability", NULL, NULL),
                 200);
    cr_expect_eq(clusters_call(&c, 0, "PUT", "/v1/bdbs/1/flush", NULL, NULL), 200);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$-1\r\n");
    cr_expect_eq(clusters_call(&c, 0, "DELETE", "/v1/bdbs/1", NULL, NULL), 200);
    cr_expect_eq(clusters_count(&c, 0, "/v1/bdbs"), 0);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "PING"), "");
}

Test(bdb, shows_what_it_keeps_and_changes_it)
{
    json_t *db;
    cr_assert_eq(clusters_call(&c, 0, "POST", "/v1/bdbs",
                               "{'name': 'db1', 'memory_size': 0, 'eviction_policy': "
                               "'allkeys-lru', 'aof_policy': 'appendfsync-always'}",
                               &db),
                 200);
    cr_expect_str_eq(member(db, "data_persistence"), "disabled");
    cr_expect_str_eq(member(db, "aof_policy"), "appendfsync-always");
    cr_expect_str_eq(member(db, "eviction_policy"), "allkeys-lru");
    cr_expect_eq(json_integer_value(json_object_get(db, "replication_oom_threshold_percent")), 5);
    cr_expect_eq(json_array_size(json_object_get(db, "snapshot_policy")), 0);
    json_decref(db);
    cr_assert_eq(clusters_call(&c, 0, "PUT", "/v1/bdbs/1",
                               "{'eviction_policy': 'volatile-ttl', 'snapshot_policy': [{'secs': "
                               "60, 'writes': 5}], 'log_retention': 1000000}",
                               &db),
                 200);
    json_decref(db);
    clusters_kill_manager(&c, 0);
    clusters_start_manager(&c, 0);
    clusters_run(&c, 2000);
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
    cr_expect_str_eq(member(db, "eviction_policy"), "volatile-ttl");
    cr_expect_eq(json_integer_value(json_object_get(db, "log_retention")), 1000000);
    cr_expect_eq(json_array_size(json_object_get(db, "snapshot_policy")), 1);
    json_decref(db);
}

Test(bdb, is_not_on_disk_where_the_plane_has_no_folder)
{
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0, 'data_persistence': 'aof'}", 406,
            "invalid_data_persistence", "without a folder");
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 0}", NULL);
    refused("PUT", "/v1/bdbs/1", "{'data_persistence': 'snapshot'}", 406,
            "invalid_data_persistence", "--data");
}

static bool raised(const json_t *alerts, const char *name)
{
    const json_t *a = json_object_get(alerts, name);
    cr_assert_not_null(a, "%s", name);
    return json_is_true(json_object_get(a, "state"));
}

/* A member of the database's `persistence`. */
static json_t *kept(const char *name)
{
    json_t *db = NULL;
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
    json_t *v = json_deep_copy(json_object_get(json_object_get(db, "persistence"), name));
    json_decref(db);
    return v;
}

static void kept_is(const char *name, const char *value)
{
    json_t *v = kept(name);
    char *text = json_dumps(v, JSON_ENCODE_ANY);
    cr_expect_str_eq(text, value, "%s is %s, not %s", name, text, value);
    free(text);
    json_decref(v);
}

static void give_disk(void)
{
    clusters_kill_plane(&c, 0);
    c.at[0].disk = true;
    clusters_start_plane(&c, 0);
    clusters_run(&c, 2000);
}

Test(bdb, is_kept_on_disk_and_tells_how_it_is)
{
    give_disk();
    cr_assert_eq(clusters_call(&c, 0, "POST", "/v1/bdbs",
                               "{'name': 'db1', 'memory_size': 0, 'data_persistence': 'aof', "
                               "'shards_count': 2}",
                               NULL),
                 200);
    /* It can be used once it has been answered. */
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "SET k v"), "+OK\r\n");
    kept_is("status", "\"ok\"");
    kept_is("changes_since_snapshot", "1");
    kept_is("last_snapshot_time", "\"\"");
    cr_expect_eq(clusters_call(&c, 0, "POST", "/v1/bdbs/1/actions/snapshot", NULL, NULL), 200);
    clusters_run(&c, 1000);
    kept_is("changes_since_snapshot", "0");
    kept_is("last_snapshot_status", "\"ok\"");
    kept_is("snapshot_in_progress", "false");
    clusters_kill_plane(&c, 0);
    clusters_start_plane(&c, 0);
    clusters_run(&c, 3000);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$1\r\nv\r\n");
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1/availability", NULL, NULL), 200);
    json_t *alerts;
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/alerts/1", NULL, &alerts), 200);
    cr_expect(!raised(alerts, "bdb_shard_broken") && !raised(alerts, "bdb_loading"));
    json_decref(alerts);
}

Test(bdb, tells_where_memory_goes_and_what_prometheus_wants)
{
    struct buf out = {0};
    json_t *db;
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 1000000}", NULL);
    clusters_redis(&c, 0, 12000, "SET k v");
    clusters_redis(&c, 0, 12000, "SET gone v PX 1");
    clusters_redis(&c, 0, 12000, "GET gone");
    clusters_run(&c, 6000);
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
    const json_t *memory = json_object_get(db, "memory");
    cr_expect_gt(json_integer_value(json_object_get(memory, "values")), 0);
    cr_expect_leq(json_integer_value(json_object_get(memory, "values")),
                  json_integer_value(json_object_get(db, "used_memory")));
    cr_expect_eq(json_integer_value(json_object_get(db, "expired_objects")), 1);
    json_decref(db);
    clusters_raw(&c, "alpha", 9443,
                 "GET /metrics HTTP/1.1\r\nHost: x\r\n"
                 "Authorization: Basic YWRtaW46c2VjcmV0LTE=\r\nConnection: close\r\n\r\n",
                 &out);
    const char *text = (const char *)out.p + out.head;
    static const char *const lines[] = {
        "Content-Type: text/plain; version=0.0.4\r\n",
        "\nbdb_up{bdb=\"1\",bdb_name=\"db1\"} 1\n",
        "\n# TYPE bdb_total_req counter\n",
        "\nbdb_memory_limit{bdb=\"1\",bdb_name=\"db1\"} 1000000\n",
        "\nbdb_expired_objects{bdb=\"1\",bdb_name=\"db1\"} 1\n",
        "\nmeridian_memory_bytes{bdb=\"1\",bdb_name=\"db1\",kind=\"values\"} ",
    };
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect(strstr(text, lines[i]), "%s not in %s", lines[i], text);
    buf_deinit(&out);
}

Test(bdb, counts_what_was_evicted)
{
    json_t *db;
    clusters_call(&c, 0, "POST", "/v1/bdbs",
                  "{'name': 'db1', 'memory_size': 4000000, 'eviction_policy': 'allkeys-lru'}",
                  NULL);
    char command[4200] = "SET ";
    for (int i = 0; i < 1500; i++) {
        int n = snprintf(command + 4, 20, "key%d ", i);
        memset(command + 4 + n, 'x', 4000);
        command[4 + n + 4000] = 0;
        cr_assert_str_eq(clusters_redis(&c, 0, 12000, command), "+OK\r\n");
    }
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
    json_int_t evicted = json_integer_value(json_object_get(db, "evicted_objects"));
    json_int_t keys = json_integer_value(json_object_get(db, "no_of_keys"));
    cr_expect(evicted > 0 && evicted + keys == 1500, "%d of %d", (int)evicted, (int)keys);
    cr_expect_leq(json_integer_value(json_object_get(db, "used_memory")), 4400000);
    json_decref(db);
}

Test(bdb, takes_no_snapshot_of_what_is_not_on_disk)
{
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 0}", NULL);
    refused("POST", "/v1/bdbs/1/actions/snapshot", NULL, 406, "not_supported", "data_persistence");
    kept_is("status", "\"disabled\"");
}

/* What was on the disk rots while the plane is away: the shard is not served, and that is told. */
Test(bdb, tells_of_a_shard_that_cannot_be_brought_back)
{
    json_t *answer;
    give_disk();
    clusters_call(&c, 0, "POST", "/v1/bdbs",
                  "{'name': 'db1', 'memory_size': 0, 'data_persistence': 'aof'}", NULL);
    clusters_redis(&c, 0, 12000, "SET k v");
    clusters_call(&c, 0, "POST", "/v1/bdbs/1/actions/snapshot", NULL, NULL);
    clusters_run(&c, 1000);
    clusters_kill_plane(&c, 0);
    cr_assert(world_disk_rot(c.world, c.at[0].plane_host, "shard0/snapshot-0000000000000001", 200));
    clusters_start_plane(&c, 0);
    clusters_run(&c, 3000);
    kept_is("status", "\"broken\"");
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1/availability", NULL, &answer), 503);
    cr_expect(strstr(member(answer, "message"), "shard0/snapshot-"), "%s",
              member(answer, "message"));
    json_decref(answer);
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/alerts", NULL, &answer), 200);
    cr_expect(raised(json_object_get(answer, "1"), "bdb_shard_broken"));
    json_decref(answer);
    cr_expect(
        strstr(clusters_redis(&c, 0, 12000, "GET k"), "-LOADING the database cannot be opened"));
}

/* Files of somebody else stand where its own have to be. */
Test(bdb, is_not_made_when_its_files_cannot_be)
{
    give_disk();
    world_file_put(c.world, c.at[0].plane_host, "data/db1/shard0/snapshot-0000000000000001",
                   bytes_str("in the way"));
    refused("POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 0, 'data_persistence': 'aof'}", 500,
            "storage_failed", "data/db1/shard0/snapshot-0000000000000001");
    cr_expect_eq(clusters_count(&c, 0, "/v1/bdbs"), 0);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "PING"), "");
}

Test(bdb, files_of_unknown_databases_are_told_of_and_never_opened_by_another)
{
    json_t *db, *node;
    world_file_put(c.world, c.at[0].host, "/data/db/db7/shard0/log-0000000000000001",
                   bytes_str("old"));
    world_file_put(c.world, c.at[0].host, "/data/db/other/x", bytes_str("not ours"));
    clusters_kill_manager(&c, 0);
    clusters_start_manager(&c, 0);
    clusters_run(&c, 2000);
    cr_expect(strstr(c.log, "/data/db/db7: files of a database that this cluster does not know"),
              "%s", c.log);
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/nodes/1", NULL, &node), 200);
    const json_t *list = json_object_get(node, "unknown_database_files");
    cr_assert_eq(json_array_size(list), 1);
    cr_expect_str_eq(json_string_value(json_array_get(list, 0)), "/data/db/db7");
    json_decref(node);
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/nodes/alerts", NULL, &node), 200);
    cr_expect(raised(json_object_get(node, "1"), "node_unknown_database_files"));
    cr_expect(!raised(json_object_get(node, "1"), "node_data_plane_down"));
    json_decref(node);
    cr_assert_eq(clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0}", &db),
                 200);
    cr_expect_eq(json_integer_value(json_object_get(db, "uid")), 8);
    json_decref(db);
}

Test(bdb, lists_only_the_fields_asked_for)
{
    json_t *list;
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 0}", NULL);
    cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs?fields=uid,endpoints", NULL, &list), 200);
    cr_assert_eq(json_array_size(list), 1);
    const json_t *db = json_array_get(list, 0);
    cr_expect_eq(json_object_size(db), 2);
    const json_t *e = json_array_get(json_object_get(db, "endpoints"), 0);
    cr_expect_str_eq(member(e, "dns_name"), "alpha-db");
    cr_expect_eq(json_integer_value(json_object_get(e, "port")), 12000);
    json_decref(list);
}

Test(bdb, refuses_what_is_wrong_by_name)
{
    refused("POST", "/v1/bdbs", NULL, 400, "invalid_schema", "body");
    refused("POST", "/v1/bdbs", "[1]", 400, "invalid_schema", "object");
    refused("POST", "/v1/bdbs", "{'name': ", 400, "invalid_json", "line 1");
    refused("POST", "/v1/bdbs", "{'name': 'a', 'name': 'b'}", 400, "invalid_json", "duplicate");
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0, 'colour': 1}", 400,
            "unknown_field", "colour");
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 'big'}", 400, "invalid_schema",
            "memory_size: an integer");
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': -1}", 400, "invalid_schema",
            "memory_size");
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0, 'port': 70000}", 400,
            "invalid_schema", "65535");
    refused("POST", "/v1/bdbs", "{'name': 1, 'memory_size': 0}", 400, "invalid_name", "name");
    refused("POST", "/v1/bdbs", "{'name': '-a', 'memory_size': 0}", 400, "invalid_name", "hyphen");
    refused("POST", "/v1/bdbs", "{'memory_size': 0}", 400, "missing_db_name", "name");
    refused("POST", "/v1/bdbs", "{'name': 'a'}", 400, "missing_memory_size", "memory_size");
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0, 'replication': true}", 406,
            "not_supported", "replication: only false");
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0, 'shards_count': 65}", 400,
            "invalid_schema", "shards_count");
    refused("GET", "/v1/bdbs/7", NULL, 404, "db_not_found", "7");
    refused("GET", "/v1/bdbs/x", NULL, 404, "db_not_found", "x");
    refused("PUT", "/v1/bdbs/7", "{}", 404, "db_not_found", "7");
    refused("GET", "/v1/bdbs/7/availability", NULL, 404, "db_not_found", "7");
    cr_expect_eq(clusters_count(&c, 0, "/v1/bdbs"), 0);
}

Test(bdb, refuses_names_and_ports_that_are_taken)
{
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0, 'port': 12001}",
                  NULL);
    refused("POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0}", 409, "name_already_exists", "a");
    refused("POST", "/v1/bdbs", "{'name': 'b', 'memory_size': 0, 'port': 12001}", 409,
            "port_unavailable", "12001");
    refused("POST", "/v1/bdbs", "{'name': 'b', 'memory_size': 0, 'port': 9443}", 409,
            "port_unavailable", "9443");
    json_t *db;
    for (unsigned i = 0; i < 2; i++) { /* the taken one is passed over */
        clusters_call(&c, 0, "POST", "/v1/bdbs",
                      i ? "{'name': 'c', 'memory_size': 0}" : "{'name': 'b', 'memory_size': 0}",
                      &db);
        cr_expect_eq(json_integer_value(json_object_get(db, "port")), i ? 12002 : 12000);
        json_decref(db);
    }
}

Test(bdb, changes_its_password_in_place)
{
    json_t *db;
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0}", NULL);
    clusters_redis(&c, 0, 12000, "SET k v");
    cr_assert_eq(
        clusters_call(&c, 0, "PUT", "/v1/bdbs/1", "{'authentication_redis_pass': 'pw'}", &db), 200,
        "%s", c.log);
    cr_expect(json_is_true(json_object_get(db, "authentication_required")));
    json_decref(db);
    cr_expect(strstr(clusters_redis(&c, 0, 12000, "GET k"), "NOAUTH"));
    cr_expect(strstr(clusters_redis(&c, 0, 12000, "AUTH pw\r\nGET k"), "$1\r\nv\r\n"));
    refused("PUT", "/v1/bdbs/1", "{'port': 12005}", 406, "port_immutable", "port");
    refused("PUT", "/v1/bdbs/1", "{'name': 'z'}", 406, "name_violation", "name");
}

Test(bdb, is_found_again_by_a_restarted_manager_without_loss)
{
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0}", NULL);
    clusters_redis(&c, 0, 12000, "SET k v");
    clusters_kill_manager(&c, 0);
    clusters_run(&c, 100);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$1\r\nv\r\n");
    clusters_start_manager(&c, 0);
    clusters_run(&c, 1000);
    cr_expect_eq(clusters_count(&c, 0, "/v1/bdbs"), 1, "%s", c.log);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "GET k"), "$1\r\nv\r\n");
    cr_expect_eq(clusters_call(&c, 0, "DELETE", "/v1/bdbs/1", NULL, NULL), 200);
}

Test(bdb, comes_back_with_a_restarted_plane)
{
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'a', 'memory_size': 0}", NULL);
    clusters_kill_plane(&c, 0);
    clusters_run(&c, 200);
    refused("GET", "/v1/bdbs/1/availability", NULL, 503, "bdb_unavailable", "data plane");
    clusters_start_plane(&c, 0);
    clusters_run(&c, 3000);
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1/availability", NULL, NULL), 200, "%s",
                 c.log);
    cr_expect_str_eq(clusters_redis(&c, 0, 12000, "PING"), "+PONG\r\n");
}
