/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/clusters.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const char *const cluster_names[CLUSTERS_MAX] = {"alpha", "beta", "gamma", "delta"};

static void log_line(void *arg, const char *host, char level, const char *line)
{
    struct clusters *c = arg;
    size_t n = strlen(c->log);
    if (n > sizeof c->log / 2) {
        memmove(c->log, c->log + n / 2, n - n / 2 + 1);
        n = strlen(c->log);
    }
    snprintf(c->log + n, sizeof c->log - n, "%s %c %s\n", host, level, line);
}

/* A manager with what serves it, as one machine that the world can drop. */
struct both {
    struct manager *manager;
    struct api *api;
    struct machine inner;
};

static void both_step(void *self, struct port *port, const struct event *ev)
{
    struct both *b = self;
    b->inner.step(b->inner.self, port, ev);
}

static uint64_t both_deadline(void *self)
{
    struct both *b = self;
    return b->inner.deadline(b->inner.self);
}

static void both_drop(void *self, struct port *port)
{
    struct both *b = self;
    api_free(b->api);
    manager_free(b->manager, port);
    mem_free(b);
}

static void worker_drop(void *self, struct port *port) { worker_free(self, port); }

void clusters_start_manager(struct clusters *c, unsigned i)
{
    char host[32], control[64];
    struct both *b = mem_zalloc(sizeof *b);
    struct machine m = {.self = b, .step = both_step, .deadline = both_deadline};
    snprintf(host, sizeof host, "%s-db", cluster_names[i]);
    snprintf(control, sizeof control, "%s-db:9000", cluster_names[i]);
    b->manager = manager_new(&(struct manager_opts){.data_dir = "/data",
                                                    .db_dir = "/data/db",
                                                    .advertise = host,
                                                    .rest_host = "0.0.0.0",
                                                    .rest_port = 9443,
                                                    .discovery_host = "0.0.0.0",
                                                    .discovery_port = 8001,
                                                    .db_host = host,
                                                    .port_first = 12000,
                                                    .port_last = 12010,
                                                    .control = control,
                                                    .control_token = TOKEN,
                                                    .password_rounds = 1});
    b->api = api_new(b->manager);
    b->inner = manager_machine(b->manager);
    world_machine(c->world, c->at[i].host, 1, m, both_drop);
    c->at[i].manager = b->manager;
}

void clusters_start_plane(struct clusters *c, unsigned i)
{
    struct worker_opts o = {.count = 1,
                            .control = "0.0.0.0:9000",
                            .data = c->at[i].disk ? "data" : NULL,
                            .seed = 7 + i};
    snprintf(o.control_token, sizeof o.control_token, "%s", TOKEN);
    c->at[i].worker = worker_new(&o);
    world_machine(c->world, c->at[i].plane_host, 1, worker_machine(c->at[i].worker), worker_drop);
}

void clusters_kill_manager(struct clusters *c, unsigned i)
{
    world_kill(c->world, c->at[i].host, false);
}

void clusters_kill_plane(struct clusters *c, unsigned i)
{
    world_kill(c->world, c->at[i].plane_host, false);
}

void clusters_run(struct clusters *c, unsigned ms)
{
    world_run(c->world, world_now_us(c->world) + (uint64_t)ms * 1000);
}

void clusters_new(struct clusters *c, unsigned n, bool bootstrapped)
{
    char body[200];
    *c = (struct clusters){.n = n};
    c->world = world_new(&(struct world_opts){
        .seed = 42, .latency_us = 500, .split = true, .log = log_line, .arg = c});
    for (unsigned i = 0; i < n; i++) {
        char host[32];
        snprintf(host, sizeof host, "%s-db", cluster_names[i]);
        c->at[i].host = world_host(c->world, cluster_names[i]);
        c->at[i].plane_host = world_host(c->world, host);
        clusters_start_manager(c, i);
        clusters_start_plane(c, i);
    }
    c->driver = driver_new(c->world, "outside");
    clusters_run(c, 2000);
    for (unsigned i = 0; bootstrapped && i < n; i++) {
        snprintf(body, sizeof body,
                 "{'cluster': {'name': '%s.test'}, 'credentials': {'username': 'admin', "
                 "'password': 'secret-%u'}}",
                 cluster_names[i], i + 1);
        cr_assert_eq(clusters_call(c, i, "POST", "/v1/bootstrap/create_cluster", body, NULL), 200,
                     "%s", c->log);
    }
}

void clusters_free(struct clusters *c) { world_free(c->world); }

/* ------------------------------------------------------------ requests */

struct talk {
    struct buf in;
    bool closed;
    uint64_t heard_us;
    struct world *world;
};

static void heard(struct vconn *v, enum vconn_event what, struct buf *in, void *arg)
{
    struct talk *t = arg;
    (void)v;
    if (what == VCONN_CLOSED)
        t->closed = true;
    if (what == VCONN_DATA) {
        buf_put_bytes(&t->in, buf_bytes(in));
        buf_consume(in, buf_len(in));
        t->heard_us = world_now_us(t->world);
    }
}

void clusters_raw(struct clusters *c, const char *host, uint16_t port, const char *bytes,
                  struct buf *out)
{
    struct talk t = {.world = c->world, .heard_us = world_now_us(c->world)};
    struct vconn *v = driver_dial(c->driver, host, port, heard, &t);
    vconn_send(v, bytes_str(bytes));
    world_flush(c->world);
    while (!t.closed && world_now_us(c->world) - t.heard_us < 300000)
        clusters_run(c, 10);
    if (!t.closed)
        vconn_close(v);
    world_flush(c->world);
    *out = t.in;
    buf_put_u8(out, 0);
}

/* admin:secret-N */
static const char *const basic[CLUSTERS_MAX] = {
    "YWRtaW46c2VjcmV0LTE=", "YWRtaW46c2VjcmV0LTI=", "YWRtaW46c2VjcmV0LTM=", "YWRtaW46c2VjcmV0LTQ="};

static bool whole(struct buf *in, int *status, json_t **answer)
{
    buf_put_u8(in, 0);
    in->tail--;
    const char *text = (const char *)in->p + in->head, *end = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    size_t n = length != NULL ? (size_t)atol(length + 16) : 0;
    if (end == NULL || buf_len(in) < (size_t)(end - text) + 4 + n)
        return false;
    *status = atoi(text + 9);
    if (answer != NULL)
        *answer = json_loadb(end + 4, n, JSON_DECODE_ANY, NULL);
    return true;
}

int clusters_call(struct clusters *c, unsigned i, const char *method, const char *path,
                  const char *body, json_t **answer)
{
    struct talk t = {.world = c->world};
    struct buf request = {0}, text = {0};
    int status = 0;
    if (answer != NULL)
        *answer = NULL;
    buf_put_str(&text, body != NULL ? body : "");
    for (size_t k = 0; k < buf_len(&text); k++)
        if (text.p[k] == '\'')
            text.p[k] = '"';
    buf_putf(&request,
             "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: %zu\r\n\r\n",
             method, path, basic[i], buf_len(&text));
    buf_put_bytes(&request, buf_bytes(&text));
    struct vconn *v = driver_dial(c->driver, cluster_names[i], 9443, heard, &t);
    vconn_send(v, buf_bytes(&request));
    world_flush(c->world);
    for (unsigned k = 0; k < 3000 && !t.closed && !whole(&t.in, &status, answer); k++)
        clusters_run(c, 10);
    if (!t.closed)
        vconn_close(v);
    world_flush(c->world);
    buf_deinit(&request);
    buf_deinit(&text);
    buf_deinit(&t.in);
    return status;
}

json_t *clusters_follow(struct clusters *c, unsigned i, json_t *task)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/crdb_tasks/%s",
             json_string_value(json_object_get(task, "id")));
    for (unsigned k = 0; k < 1000; k++) {
        const char *status = json_string_value(json_object_get(task, "status"));
        if (strcmp(status, "finished") == 0 || strcmp(status, "failed") == 0)
            return task;
        json_decref(task);
        clusters_run(c, 100);
        cr_assert_eq(clusters_call(c, i, "GET", path, NULL, &task), 200);
    }
    cr_assert_fail("the task has no end: %s", c->log);
    return task;
}

json_t *clusters_crdb(struct clusters *c, unsigned n, const char *extra)
{
    struct buf body = {0};
    json_t *task = NULL;
    buf_putf(&body, "{'name': 'geo', 'default_db_config': {'memory_size': 0}, 'instances': [");
    for (unsigned i = 0; i < n; i++)
        buf_putf(&body,
                 "%s{'cluster': {'name': '%s.test', 'url': 'http://%s:9443', 'credentials': "
                 "{'username': 'admin', 'password': 'secret-%u'}}%s}",
                 i ? ", " : "", cluster_names[i], cluster_names[i], i + 1,
                 i == 0 && extra != NULL ? extra : "");
    buf_put_str(&body, "]}");
    buf_put_u8(&body, 0);
    int status = clusters_call(c, 0, "POST", "/v1/crdbs", (const char *)body.p, &task);
    buf_deinit(&body);
    cr_assert_eq(status, 200, "%d %s", status, c->log);
    return clusters_follow(c, 0, task);
}

const char *clusters_redis(struct clusters *c, unsigned i, uint16_t port, const char *command)
{
    static char text[512];
    char host[32];
    struct buf out = {0}, line = {0};
    snprintf(host, sizeof host, "%s-db", cluster_names[i]);
    buf_putf(&line, "%s\r\n", command);
    buf_put_u8(&line, 0);
    clusters_raw(c, host, port, (const char *)line.p, &out);
    snprintf(text, sizeof text, "%s", (const char *)out.p);
    buf_deinit(&out);
    buf_deinit(&line);
    return text;
}

unsigned clusters_count(struct clusters *c, unsigned i, const char *path)
{
    json_t *list = NULL;
    cr_assert_eq(clusters_call(c, i, "GET", path, NULL, &list), 200);
    unsigned n = (unsigned)json_array_size(list);
    json_decref(list);
    return n;
}
