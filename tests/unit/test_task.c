/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/clusters.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct clusters c;

static void start(void) { clusters_new(&c, 2, true); }
static void end(void) { clusters_free(&c); }

TestSuite(task, .init = start, .fini = end);

#define INSTANCE(name, n)                                                                          \
    "{'cluster': {'name': '" name ".test', 'url': 'http://" name                                   \
    ":9443', 'credentials': {'username': 'admin', 'password': 'secret-" n "'}}}"

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

static void refused(const char *path, const char *body, int status, const char *code)
{
    json_t *answer;
    int got = clusters_call(&c, 0, "POST", path, body, &answer);
    cr_expect_eq(got, status, "%s: %d %s", body, got, member(answer, "message"));
    cr_expect_str_eq(member(answer, "error_code"), code, "%s: %s", body, member(answer, "message"));
    json_decref(answer);
}

Test(task, is_queued_then_finished_and_kept_for_a_while)
{
    json_t *task;
    char path[128];
    cr_assert_eq(clusters_call(&c, 0, "POST", "/v1/crdbs",
                               "{'name': 'geo', 'instances': [" INSTANCE("alpha", "1") "]}", &task),
                 200);
    cr_expect_str_eq(member(task, "status"), "queued");
    cr_expect_str_eq(member(task, "operation"), "create_crdb");
    task = clusters_follow(&c, 0, task);
    cr_expect_str_eq(member(task, "status"), "finished");
    cr_expect_eq(clusters_count(&c, 0, "/v1/crdb_tasks"), 1);
    snprintf(path, sizeof path, "/v1/crdb_tasks/%s", member(task, "id"));
    json_decref(task);
    clusters_run(&c, 502000);
    cr_expect_eq(clusters_call(&c, 0, "GET", path, NULL, &task), 404);
    json_decref(task);
}

Test(task, takes_its_id_and_life_from_the_client)
{
    struct buf out;
    static const char body[] = "{\"name\": \"geo\", \"instances\": [{\"cluster\": {\"name\": "
                               "\"alpha.test\", \"url\": \"http://alpha:9443\", \"credentials\": "
                               "{\"username\": \"admin\", \"password\": \"secret-1\"}}}]}";
    char text[800];
    snprintf(text, sizeof text,
             "POST /v1/crdbs HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
             "YWRtaW46c2VjcmV0LTE=\r\nX-Task-ID: 01234567-89ab-cdef\r\nX-Result-TTL: "
             "2\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    clusters_raw(&c, "alpha", 9443, text, &out);
    cr_expect(strstr((const char *)out.p, "\"id\":\"01234567-89ab-cdef\""), "%s",
              (const char *)out.p);
    buf_deinit(&out);
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/crdb_tasks/01234567-89ab-cdef", NULL, NULL), 200);
    clusters_raw(&c, "alpha", 9443, text, &out);
    cr_expect(strstr((const char *)out.p, "409 Conflict"), "%s", (const char *)out.p);
    buf_deinit(&out);
    clusters_run(&c, 5000);
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/crdb_tasks/01234567-89ab-cdef", NULL, NULL), 404);
}

Test(task, a_dry_run_only_checks)
{
    json_t *answer;
    cr_expect_eq(clusters_call(&c, 0, "POST", "/v1/crdbs?dry_run=true",
                               "{'name': 'geo', 'instances': [" INSTANCE("alpha", "1") "]}",
                               &answer),
                 200);
    cr_expect_eq(json_object_size(answer), 0);
    json_decref(answer);
    refused("/v1/crdbs?dry_run=true", "{'name': 'geo', 'instances': [" INSTANCE("beta", "2") "]}",
            406, "local_instance_missing");
    clusters_run(&c, 1000);
    cr_expect_eq(clusters_count(&c, 0, "/v1/crdb_tasks"), 0);
    cr_expect_eq(clusters_count(&c, 0, "/v1/bdbs"), 0);
}

Test(task, is_refused_with_the_field_that_is_wrong)
{
    refused("/v1/crdbs", "{'name': 'geo'}", 400, "invalid_schema");
    refused("/v1/crdbs", "{'name': 'geo', 'instances': []}", 400, "invalid_schema");
    refused("/v1/crdbs", "{'name': 'geo', 'instances': [1]}", 400, "invalid_schema");
    refused("/v1/crdbs", "{'name': 'geo', 'instances': [{}]}", 400, "invalid_schema");
    refused("/v1/crdbs", "{'name': 'geo', 'sharks': 1, 'instances': []}", 400, "unknown_field");
    refused("/v1/crdbs",
            "{'name': 'geo', 'instances': [{'cluster': {'name': 'alpha.test', 'url': 'alpha', "
            "'credentials': {'username': 'a', 'password': 'b'}}}]}",
            400, "invalid_schema");
    refused("/v1/crdbs",
            "{'name': 'geo', 'instances': [{'cluster': {'name': 'alpha.test', 'url': "
            "'http://alpha:9443'}}]}",
            400, "invalid_schema");
    refused("/v1/crdbs", "{'name': 'g e o', 'instances': [" INSTANCE("alpha", "1") "]}", 400,
            "invalid_name");
    refused("/v1/crdbs", "{'instances': [" INSTANCE("alpha", "1") "]}", 400, "invalid_name");
    refused("/v1/crdbs",
            "{'name': 'geo', 'default_db_config': {'memory_size': true}, 'instances': [" INSTANCE(
                "alpha", "1") "]}",
            400, "invalid_schema");
    refused("/v1/crdbs",
            "{'name': 'geo', 'default_db_config': {'shards_count': 65}, 'instances': [" INSTANCE(
                "alpha", "1") "]}",
            400, "invalid_schema");
    refused("/v1/crdbs",
            "{'name': 'geo', 'default_db_config': {'tls_mode': 'enabled'}, 'instances': [" INSTANCE(
                "alpha", "1") "]}",
            406, "invalid_encryption");
    refused("/v1/crdbs", "{'name': 'geo', 'protocol_version': 2, 'instances': []}", 406,
            "not_supported");
    refused("/v1/crdbs/00000000-0000-4000-8000-000000000000/updates", "{}", 404, "crdb_not_found");
    refused("/v1/crdbs/instances", "{'phase': 'dance'}", 400, "invalid_schema");
    refused("/v1/crdbs/instances",
            "{'phase': 'commit', 'guid': '00000000-0000-4000-8000-000000000000', 'version': 1, "
            "'cluster': 'alpha.test', 'instance_id': 1}",
            400, "invalid_schema");
}

Test(task, one_change_of_a_database_at_a_time)
{
    json_t *task = clusters_crdb(&c, 2, NULL), *first;
    char path[128];
    snprintf(path, sizeof path, "/v1/crdbs/%s", member(task, "crdb_guid"));
    json_decref(task);
    world_link(c.world, c.at[0].host, c.at[1].host, (struct world_link){.latency_us = 3000000});
    const char *body = "{'default_db_config': {'memory_size': 5000000}}";
    cr_assert_eq(clusters_call(&c, 0, "PATCH", path, body, &first), 200);
    cr_expect_eq(clusters_call(&c, 0, "PATCH", path, body, &task), 409);
    cr_expect_str_eq(member(task, "error_code"), "busy");
    json_decref(task);
    first = clusters_follow(&c, 0, first);
    cr_expect_str_eq(member(first, "status"), "finished");
    json_decref(first);
    /* The other region has it too. */
    json_t *db;
    clusters_call(&c, 1, "GET", "/v1/bdbs/1", NULL, &db);
    cr_expect_eq(json_integer_value(json_object_get(db, "memory_size")), 5000000);
    json_decref(db);
}

Test(task, of_two_clusters_only_one_changes_a_database)
{
    json_t *task = clusters_crdb(&c, 2, NULL), *tasks[2];
    char path[128];
    snprintf(path, sizeof path, "/v1/crdbs/%s", member(task, "crdb_guid"));
    json_decref(task);
    world_link(c.world, c.at[0].host, c.at[1].host, (struct world_link){.latency_us = 500000});
    world_link(c.world, c.at[1].host, c.at[0].host, (struct world_link){.latency_us = 500000});
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(clusters_call(&c, i, "PATCH", path,
                                   i ? "{'default_db_config': {'memory_size': 2000000}}"
                                     : "{'default_db_config': {'memory_size': 1000000}}",
                                   &tasks[i]),
                     200);
    for (unsigned i = 0; i < 2; i++) {
        tasks[i] = clusters_follow(&c, i, tasks[i]);
        json_decref(tasks[i]);
    }
    clusters_run(&c, 2000);
    json_int_t sizes[2], versions[2];
    for (unsigned i = 0; i < 2; i++) {
        json_t *r;
        clusters_call(&c, i, "GET", path, NULL, &r);
        sizes[i] = json_integer_value(
            json_object_get(json_object_get(r, "default_db_config"), "memory_size"));
        versions[i] = json_integer_value(json_object_get(r, "config_version"));
        json_decref(r);
    }
    cr_expect_eq(sizes[0], sizes[1]);
    cr_expect_eq(versions[0], versions[1]);
}
