/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/clusters.h"
#include "tests/unit/fake_source.h"

#include <criterion/criterion.h>

/* Replica Of over REST: a database follows a source that plays Redis. */
static struct clusters c;
static struct fake_source source;

static void start(void)
{
    clusters_new(&c, 1, true);
    fake_source_init(&source);
    source.password = "secret";
    fake_source_key(&source, "a", "1", 0);
    fake_source_start(&source, c.world, world_host(c.world, "source"));
}

static void end(void)
{
    clusters_free(&c);
    fake_source_deinit(&source);
}

TestSuite(replica, .init = start, .fini = end);

#define SOURCE "'replica_sources': [{'uri': 'redis://:secret@source:6379'}]"

static void asked(const char *method, const char *path, const char *body, int want)
{
    json_t *answer = NULL;
    int got = clusters_call(&c, 0, method, path, body, &answer);
    char *text = json_dumps(answer, JSON_COMPACT);
    cr_assert_eq(got, want, "%s: %d %s", body, got, text);
    free(text);
    json_decref(answer);
}

static const char *text_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

/* What the database says of its source, until it says so; `field` of the source, "" of the
 * database.
 */
static void becomes(const char *field, const char *want)
{
    char got[400] = "";
    for (unsigned i = 0; i < 100 && strstr(got, want) == NULL; i++) {
        json_t *db = NULL;
        clusters_run(&c, 200);
        cr_assert_eq(clusters_call(&c, 0, "GET", "/v1/bdbs/1", NULL, &db), 200);
        const json_t *one = json_array_get(json_object_get(db, "replica_sources"), 0);
        snprintf(got, sizeof got, "%s",
                 field[0] ? text_of(one, field) : text_of(db, "replica_sync"));
        json_decref(db);
    }
    cr_assert_not_null(strstr(got, want), "%s: %s, not %s; %s", field, got, want, c.log);
}

static const char *ask(const char *command) { return clusters_redis(&c, 0, 12000, command); }

Test(replica, a_database_follows_until_it_is_disabled)
{
    asked("POST", "/v1/bdbs",
          "{'name': 'db1', 'memory_size': 0, " SOURCE ", 'replica_sync': 'enabled'}", 200);
    becomes("status", "in-sync");
    becomes("", "enabled");
    becomes("uri", "redis://source:6379/0");
    cr_expect_str_eq(ask("GET a"), "$1\r\n1\r\n");
    fake_source_write(&source, "SELECT 0");
    fake_source_write(&source, "INCR a");
    world_flush(c.world);
    clusters_run(&c, 2000);
    cr_expect_str_eq(ask("GET a"), "$1\r\n2\r\n");
    asked("PUT", "/v1/bdbs/1", "{'replica_sync': 'disabled'}", 200);
    clusters_run(&c, 2000);
    becomes("", "disabled");
    cr_expect_str_eq(ask("EXISTS meridian:replica-of"), ":0\r\n");
    cr_expect_str_eq(ask("CONFIG GET import-mode"), "*2\r\n$11\r\nimport-mode\r\n$2\r\nno\r\n");
    /* Now it has data of its own. */
    asked("PUT", "/v1/bdbs/1", "{'replica_sync': 'enabled'}", 200);
    becomes("", "stopped");
    becomes("text", "the target holds 1 keys");
    asked("PUT", "/v1/bdbs/1", "{'replica_sync': 'enabled', 'replica_flush': true}", 200);
    becomes("status", "in-sync");
    asked("PUT", "/v1/bdbs/1", "{'replica_sources': []}", 200);
    becomes("", "disabled");
    asked("DELETE", "/v1/bdbs/1", NULL, 200);
}

Test(replica, goes_on_after_a_pause_and_another_manager)
{
    asked("POST", "/v1/bdbs",
          "{'name': 'db1', 'memory_size': 0, 'authentication_redis_pass': 'own', " SOURCE
          ", 'replica_sync': 'enabled'}",
          200);
    becomes("status", "in-sync");
    asked("PUT", "/v1/bdbs/1", "{'replica_sync': 'paused'}", 200);
    becomes("", "paused");
    clusters_run(&c, 2000);
    fake_source_write(&source, "SELECT 0");
    fake_source_write(&source, "INCR a");
    world_flush(c.world);
    clusters_run(&c, 1000);
    asked("PUT", "/v1/bdbs/1", "{'replica_sync': 'enabled', 'authentication_redis_pass': ''}", 200);
    becomes("status", "in-sync");
    clusters_kill_manager(&c, 0);
    fake_source_write(&source, "INCR a");
    world_flush(c.world);
    clusters_run(&c, 1000);
    clusters_start_manager(&c, 0);
    clusters_run(&c, 3000);
    becomes("status", "in-sync");
    cr_expect_str_eq(ask("GET a"), "$1\r\n3\r\n");
    cr_expect_eq(source.fulls, 1u);
    cr_expect_geq(source.partials, 2u);
}

Test(replica, says_what_is_wrong)
{
    asked("POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 0}", 200);
    asked("PUT", "/v1/bdbs/1", "{'replica_sync': 'enabled'}", 406);
    asked("PUT", "/v1/bdbs/1", "{'replica_sync': 'stopped'}", 400);
    asked("PUT", "/v1/bdbs/1", "{'replica_sources': [{'uri': 'http://x'}]}", 400);
    asked("PUT", "/v1/bdbs/1", "{'replica_sources': [{'uri': 'a:1'}, {'uri': ''}]}", 400);
    asked("PUT", "/v1/bdbs/1", "{'replica_sources': [{'uri': 'a:1'}, {'uri': 'b:0'}]}", 400);
    asked("PUT", "/v1/bdbs/1", "{'replica_sources': 'a:1'}", 400);
    asked("PUT", "/v1/bdbs/1", "{'replica_flush': 1}", 400);
    asked("PUT", "/v1/bdbs/1",
          "{'replica_sources': [{'uri': 'redis://:guess@source'}], 'replica_sync': 'enabled'}",
          200);
    becomes("", "stopped");
    becomes("text", "does not take user and password");
    asked("PUT", "/v1/bdbs/1", "{" SOURCE ", 'replica_sync': 'enabled'}", 200);
    becomes("status", "in-sync");
}
