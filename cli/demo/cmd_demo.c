/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/demo/nodes.h"
#include "cli/pause.h"
#include "cli/resp_client.h"

#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The demo: three regions on this machine, a geo-distributed database made with one REST call, a
 * conflict that resolves. Every REST call is shown as the curl line that would make it.
 */
struct demo {
    struct demo_node nodes[DEMO_REGIONS];
    struct resp_client clients[DEMO_REGIONS];
    char guid[64];
};

#define SHOWN_MAX 200 /* bytes of an answer; the rest is left out */

static volatile sig_atomic_t interrupted; /* the one thing a signal handler may touch */

static void on_signal(int sig) { interrupted = sig; }

/* ---------------------------------------------------------------- REST */

static bool call(const struct demo_node *n, const char *method, const char *path, const char *body,
                 bool show, json_t **answer)
{
    struct https_answer a;
    if (show) {
        printf("$ curl -k -u %s:%s -X %s https://127.0.0.1:%u%s", DEMO_USER, DEMO_PASSWORD, method,
               n->rest_port, path);
        if (body != NULL)
            printf(" \\\n    -H 'content-type: application/json' -d '%s'", body);
        printf("\n");
    }
    bool ok = https_call(&n->rest, method, path, body, &a);
    if (!ok)
        fprintf(stderr, "meridian demo: %s\n", a.error);
    else if (a.status >= 300) {
        ok = false;
        fprintf(stderr, "meridian demo: %s %s answered %d: %.*s\n", method, path, a.status,
                (int)buf_len(&a.body), (const char *)buf_bytes(&a.body).p);
    } else if (show) {
        bool whole = buf_len(&a.body) <= SHOWN_MAX;
        printf("HTTP %d %.*s%s\n\n", a.status, (int)(whole ? buf_len(&a.body) : SHOWN_MAX),
               (const char *)buf_bytes(&a.body).p, whole ? "" : " ...");
    }
    if (ok && answer != NULL) {
        *answer = json_loadb((const char *)buf_bytes(&a.body).p, buf_len(&a.body), 0, NULL);
        ok = *answer != NULL;
    }
    https_answer_deinit(&a);
    return ok;
}

static bool bootstrap(const struct demo_node *n)
{
    char body[400];
    snprintf(body, sizeof body,
             "{\"action\": \"create_cluster\", \"cluster\": {\"name\": \"%s\"}, \"credentials\": "
             "{\"username\": \"%s\", \"password\": \"%s\"}}",
             n->name, DEMO_USER, DEMO_PASSWORD);
    if (!call(n, "POST", "/v1/bootstrap/create_cluster", body, true, NULL))
        return false;
    for (unsigned i = 0; i < 100; i++) {
        json_t *j = NULL;
        if (!call(n, "GET", "/v1/bootstrap", NULL, false, &j))
            return false;
        const char *state =
            json_string_value(json_object_get(json_object_get(j, "bootstrap_status"), "state"));
        bool done = state != NULL && strcmp(state, "completed") == 0;
        json_decref(j);
        if (done)
            return true;
        pause_ms(50);
    }
    fprintf(stderr, "meridian demo: %s is not ready after 5 s\n", n->name);
    return false;
}

static void put_create(struct buf *b, const struct demo *d)
{
    buf_put_str(b, "{\"name\": \"demo\", \"default_db_config\": {\"memory_size\": 268435456}, "
                   "\"instances\": [");
    for (unsigned i = 0; i < DEMO_REGIONS; i++) {
        const struct demo_node *n = &d->nodes[i];
        buf_putf(b,
                 "%s{\"cluster\": {\"name\": \"%s\", \"url\": \"https://127.0.0.1:%u\", "
                 "\"credentials\": {\"username\": \"%s\", \"password\": \"%s\"}}, \"db_config\": "
                 "{\"port\": %u}}",
                 i ? ", " : "", n->name, n->rest_port, DEMO_USER, DEMO_PASSWORD, n->db_port);
    }
    buf_put_str(b, "]}");
    buf_put_u8(b, 0);
}

/* Polls the task until it ends; keeps the database's GUID. */
static bool wait_task(struct demo *d, const char *id)
{
    char path[160];
    snprintf(path, sizeof path, "/v1/crdb_tasks/%s", id);
    for (unsigned i = 0; i < 600; i++) {
        json_t *j = NULL;
        if (!call(&d->nodes[0], "GET", path, NULL, i == 0, &j))
            return false;
        const char *status = json_string_value(json_object_get(j, "status"));
        const char *guid = json_string_value(json_object_get(j, "crdb_guid"));
        bool finished = status && strcmp(status, "finished") == 0,
             failed = status && strcmp(status, "failed") == 0;
        if (guid != NULL)
            snprintf(d->guid, sizeof d->guid, "%s", guid);
        if (failed) {
            char *text = json_dumps(j, JSON_COMPACT);
            fprintf(stderr, "meridian demo: the task failed: %s\n", text ? text : "");
            free(text);
        }
        json_decref(j);
        if (finished)
            printf("The task has finished.\n\n");
        if (finished || failed)
            return finished && d->guid[0] != 0;
        pause_ms(50);
    }
    fprintf(stderr, "meridian demo: the task did not end within 30 s\n");
    return false;
}

static bool create(struct demo *d)
{
    struct buf body = {0};
    json_t *j = NULL;
    put_create(&body, d);
    bool ok = call(&d->nodes[0], "POST", "/v1/crdbs", (const char *)buf_bytes(&body).p, true, &j);
    buf_deinit(&body);
    const char *id = ok ? json_string_value(json_object_get(j, "id")) : NULL;
    ok = id != NULL && wait_task(d, id);
    json_decref(j);
    return ok;
}

/* ---------------------------------------------------------------- the conflict */

static bool line(struct demo *d, unsigned region, const char *command)
{
    struct buf text = {0};
    bool ok = resp_client_line(&d->clients[region], command, &text);
    printf("region %u> %-34s %s\n", region + 1, command,
           ok ? (const char *)buf_bytes(&text).p : "(no answer)");
    buf_deinit(&text);
    return ok;
}

static bool hold_links(struct demo *d, bool paused)
{
    char path[128], body[96];
    snprintf(path, sizeof path, "/v1/crdbs/%s/links", d->guid);
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        for (unsigned from = 1; from <= DEMO_REGIONS; from++) {
            snprintf(body, sizeof body, "{\"instance_id\": %u, \"paused\": %s}", from,
                     paused ? "true" : "false");
            if (from != i + 1 && !call(&d->nodes[i], "PUT", path, body, false, NULL))
                return false;
        }
    return true;
}

/* Do all regions show the same, and what concurrent writes must give? */
static bool same_everywhere(struct demo *d)
{
    static const char *const reads[] = {"GET greeting", "GET visits",
                                        "SMISMEMBER cart apples pears", "HGET user name",
                                        "HGET user city"};
    bool same = true;
    for (size_t k = 0; k < sizeof reads / sizeof *reads; k++) {
        struct buf first = {0}, other = {0};
        same &= resp_client_line(&d->clients[0], reads[k], &first);
        for (unsigned i = 1; i < DEMO_REGIONS; i++)
            same &= resp_client_line(&d->clients[i], reads[k], &other) &&
                    bytes_eq(buf_bytes(&first), buf_bytes(&other));
        if (k == 1)
            same &= bytes_eq(buf_bytes(&first), bytes_of("15", 3));
        if (k == 2)
            same &= bytes_eq(buf_bytes(&first), bytes_of("[1 1]", 6));
        buf_deinit(&first);
        buf_deinit(&other);
    }
    return same;
}

static bool show_conflict(struct demo *d)
{
    printf("--- The links between the regions are held back, and two regions write the same "
           "keys:\n\n");
    bool ok = hold_links(d, true) && line(d, 0, "SET greeting hello") &&
              line(d, 1, "SET greeting bonjour") && line(d, 0, "INCRBY visits 10") &&
              line(d, 1, "INCRBY visits 5") && line(d, 0, "SADD cart apples") &&
              line(d, 1, "SADD cart pears") && line(d, 0, "HSET user name Ada") &&
              line(d, 1, "HSET user city Paris");
    printf("\n--- Each region shows its own:\n\n");
    for (unsigned i = 0; ok && i < 2; i++)
        ok = line(d, i, "GET greeting") && line(d, i, "GET visits") &&
             line(d, i, "SMEMBERS cart") && line(d, i, "HGETALL user");
    printf("\n--- The links are released, and all three converge:\n\n");
    ok = ok && hold_links(d, false);
    bool same = false;
    for (unsigned i = 0; ok && i < 200 && !(same = same_everywhere(d)); i++)
        pause_ms(50);
    for (unsigned i = 0; ok && i < DEMO_REGIONS; i++)
        ok = line(d, i, "GET greeting") && line(d, i, "GET visits") &&
             line(d, i, "SMEMBERS cart") && line(d, i, "HGETALL user");
    printf("\n%s\n\n", same ? "The regions show the same: the later SET won, both INCRBY count, "
                              "both members and both fields are there."
                            : "The regions did NOT converge within 10 seconds.");
    return ok && same;
}

static void show_endpoints(const struct demo *d)
{
    printf("Three regions are running. Write to any of them:\n\n");
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        printf("  region %u   redis-cli -p %u      REST https://127.0.0.1:%u      discovery "
               "127.0.0.1:%u\n",
               i + 1, d->nodes[i].db_port, d->nodes[i].rest_port, d->nodes[i].discovery_port);
    printf("\nREST user %s, password %s. Database GUID %s. The links and their lag:\n\n"
           "  build/meridian ctl crdb status demo --insecure --url https://127.0.0.1:%u --user %s "
           "--password %s\n\n",
           DEMO_USER, DEMO_PASSWORD, d->guid, d->nodes[0].rest_port, DEMO_USER, DEMO_PASSWORD);
}

/* ---------------------------------------------------------------- the whole */

static bool run(struct demo *d)
{
    printf("--- Starting three regions, each a cluster of one node\n\n");
    if (!demo_nodes_start(d->nodes))
        return false;
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        if (!bootstrap(&d->nodes[i]))
            return false;
    printf("--- One REST call creates a geo-distributed database in all three\n\n");
    if (!create(d))
        return false;
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        if (!resp_client_open(&d->clients[i], "127.0.0.1", d->nodes[i].db_port)) {
            fprintf(stderr, "meridian demo: region %u does not accept clients on port %u\n", i + 1,
                    d->nodes[i].db_port);
            return false;
        }
    return show_conflict(d);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void wait_for_interrupt(struct demo *d)
{
    printf("Ctrl-C ends the demo and removes its data.\n");
    fflush(stdout);
    while (!interrupted && !demo_nodes_lost(d->nodes))
        pause_ms(200);
    if (!interrupted)
        fprintf(stderr, "meridian demo: a node ended by itself\n");
    printf("\nStopping.\n");
}

int cmd_demo(int argc, char **argv)
{
    bool no_wait = false;
    uint64_t base_port = 0;
    const struct arg flags[] = {
        {.name = "no-wait",
         .help = "stop at the end; exit status 0 only if the regions converged",
         .kind = ARG_FLAG,
         .out = &no_wait},
        {.name = "base-port",
         .value = "N",
         .help = "databases at N.., REST at N+10.., discovery at N+20.. (else 12000, 9443, 8001)",
         .kind = ARG_UINT,
         .out = &base_port,
         .min = 1024,
         .max = 65500},
    };
    struct args a = {.command = "demo",
                     .usage = "[flags]",
                     .about = "Starts three regions on this machine, creates a geo-distributed "
                              "database over REST, shows a conflict\n"
                              "resolve, and leaves it running until Ctrl-C.",
                     .at = flags,
                     .n = sizeof flags / sizeof *flags};
    int status = args_main(&a, argc, argv);
    if (status >= 0)
        return status;
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    char dir[] = "/tmp/meridian-demo-XXXXXX";
    if (mkdtemp(dir) == NULL) {
        fprintf(stderr, "meridian demo: can't make a folder in /tmp: %s\n", strerror(errno));
        return 1;
    }
    struct demo d = {.clients = {{.fd = -1}, {.fd = -1}, {.fd = -1}}};
    demo_nodes_describe(d.nodes, dir, (uint16_t)base_port);
    bool ok = run(&d);
    if (ok) {
        show_endpoints(&d);
        if (!no_wait && !interrupted)
            wait_for_interrupt(&d);
    }
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        resp_client_close(&d.clients[i]);
    demo_nodes_stop(d.nodes);
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return ok ? 0 : 1;
}
