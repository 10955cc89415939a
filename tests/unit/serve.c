/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TOKEN "0123456789abcdef"
#define WORKERS_MAX 4u

struct serve {
    struct world *world;
    struct driver *driver;
    struct serve_opts opts;
    uint32_t host;
    unsigned lives, founding;
    struct vconn *control;
    bool answered, ok;
    uint64_t id;
    char error[256];
    struct buf body, log;
    struct client *clients;
};

struct client {
    struct client *next;
    struct serve *serve;
    struct vconn *conn; /* NULL: closed */
    struct buf got, text;
};

static void drop_worker(void *self, struct port *port) { worker_free(self, port); }

static void on_control(struct vconn *c, enum vconn_event what, struct buf *in, void *arg)
{
    struct serve *s = arg;
    uint64_t id;
    enum control_kind kind;
    struct bytes body, rest = {0};
    size_t used;
    (void)c;
    if (what == VCONN_CLOSED) {
        s->control = NULL;
        return;
    }
    while (what == VCONN_DATA &&
           control_get(buf_bytes(in), &id, &kind, &body, &used) == CONTROL_OK) {
        s->answered = control_answer_decode(body, &s->ok, s->error, sizeof s->error, &rest);
        buf_clear(&s->body);
        buf_put_bytes(&s->body, rest);
        buf_consume(in, used);
    }
}

bool serve_control(struct serve *s, enum control_kind kind, struct bytes body)
{
    struct buf out = {0};
    if (s->control == NULL)
        s->control = driver_dial(s->driver, "server", 9000, on_control, s);
    s->answered = s->ok = false;
    control_put(&out, ++s->id, kind, body);
    vconn_send(s->control, buf_bytes(&out));
    buf_deinit(&out);
    for (unsigned i = 0; i < 100 && !s->answered; i++)
        serve_run(s, 10);
    return s->answered && s->ok;
}

bool serve_set(struct serve *s, const struct plane_db *db)
{
    struct buf body = {0};
    plane_db_encode(&body, db);
    bool ok = serve_control(s, CONTROL_DB_SET, buf_bytes(&body));
    buf_deinit(&body);
    return ok;
}

void serve_db(const struct serve *s, struct plane_db *db)
{
    *db = (struct plane_db){.uid = 7,
                            .name = "unit",
                            .host = "0.0.0.0",
                            .port = 6379,
                            .partitions = 16,
                            .shards = s->opts.shards,
                            .hash_k0 = 1,
                            .hash_k1 = 2,
                            .seed = 3,
                            .region = 1,
                            .version = 1,
                            .incarnation = s->lives,
                            .persistence = (uint32_t)s->opts.persistence,
                            .founding = s->founding,
                            .clients_max = s->opts.clients_max};
    snprintf(db->password, sizeof db->password, "%s", s->opts.password ? s->opts.password : "");
}

void serve_start_empty(struct serve *s)
{
    for (unsigned i = 0; i < s->opts.workers; i++) {
        struct worker_opts w = {.index = i,
                                .count = s->opts.workers,
                                .control = i == 0 ? "0.0.0.0:9000" : NULL,
                                .control_token = TOKEN,
                                .data = "data",
                                .seed = 11 + i,
                                .reply_bytes_max = s->opts.reply_bytes_max,
                                .pid = 4711};
        world_machine(s->world, s->host, s->opts.workers, worker_machine(worker_new(&w)),
                      drop_worker);
    }
    serve_run(s, 1);
    struct buf body = {0};
    control_hello_encode(&body,
                         &(struct control_hello){.protocol = CONTROL_PROTOCOL, .token = TOKEN});
    (void)serve_control(s, CONTROL_HELLO, buf_bytes(&body));
    buf_deinit(&body);
}

void serve_start(struct serve *s)
{
    serve_start_empty(s);
    bool ok = s->ok;
    struct plane_db *db = mem_zalloc(sizeof *db);
    serve_db(s, db);
    if (!ok || !serve_set(s, db))
        fprintf(stderr, "serve_start: %s\n", s->error);
    mem_free(db);
}

void serve_keep(struct serve *s, enum persistence p)
{
    s->founding += s->opts.persistence == PERSIST_OFF && p != PERSIST_OFF;
    s->opts.persistence = p;
}

static void on_log(void *arg, const char *host, char level, const char *line)
{
    struct serve *s = arg;
    (void)host;
    if (buf_len(&s->log) > 0)
        s->log.tail--;
    buf_putf(&s->log, "%c %s\n", level, line);
    buf_put_u8(&s->log, 0);
}

const char *serve_log(const struct serve *s)
{
    return buf_len(&s->log) > 0 ? (const char *)s->log.p + s->log.head : "";
}

struct serve *serve_new(const struct serve_opts *o)
{
    struct serve *s = mem_zalloc(sizeof *s);
    s->opts = *o;
    s->world = world_new(&(struct world_opts){
        .seed = 5, .latency_us = 50, .jitter_us = 20, .split = o->split, .log = on_log, .arg = s});
    s->host = world_host(s->world, "server");
    s->driver = driver_new(s->world, "outside");
    serve_start(s);
    return s;
}

void serve_kill(struct serve *s, bool power)
{
    if (s->control != NULL)
        vconn_close(s->control);
    s->control = NULL;
    if (power)
        world_power_loss(s->world, s->host);
    else
        world_kill(s->world, s->host, false);
    s->lives++;
    serve_run(s, 5);
}

void serve_stop(struct serve *s)
{
    (void)serve_control(s, CONTROL_STOP, bytes_of(NULL, 0));
    serve_run(s, 2000);
    serve_kill(s, false);
}

uint32_t serve_host(const struct serve *s) { return s->host; }

void serve_free(struct serve *s)
{
    if (s->control != NULL)
        vconn_close(s->control);
    while (s->clients != NULL)
        client_close(s->clients);
    world_free(s->world);
    assert(mem_drift() == 0); /* every account ended at zero */
    buf_deinit(&s->body);
    buf_deinit(&s->log);
    mem_free(s);
}

const char *serve_error(const struct serve *s) { return s->error; }

struct bytes serve_body(const struct serve *s) { return buf_bytes(&s->body); }

void serve_run(struct serve *s, unsigned ms)
{
    world_flush(s->world);
    world_run(s->world, world_now_us(s->world) + ms * 1000u);
}

struct world *serve_world(struct serve *s) { return s->world; }

/* ------------------------------------------------------------ clients */

static void on_client(struct vconn *v, enum vconn_event what, struct buf *in, void *arg)
{
    struct client *c = arg;
    (void)v;
    if (in != NULL && buf_len(in) > 0) {
        buf_put_bytes(&c->got, buf_bytes(in));
        buf_consume(in, buf_len(in));
    }
    if (what == VCONN_CLOSED)
        c->conn = NULL;
}

struct client *client_new(struct serve *s)
{
    struct client *c = mem_zalloc(sizeof *c);
    c->serve = s;
    c->next = s->clients;
    s->clients = c;
    c->conn = driver_dial(s->driver, "server", 6379, on_client, c);
    serve_run(s, 5);
    return c;
}

void client_send(struct client *c, struct bytes s)
{
    if (c->conn != NULL)
        vconn_send(c->conn, s);
}

struct serve *client_serve(const struct client *c) { return c->serve; }

const char *client_take(struct client *c)
{
    serve_run(c->serve, 50);
    return client_now(c);
}

const char *client_now(struct client *c)
{
    buf_clear(&c->text);
    buf_put_bytes(&c->text, buf_bytes(&c->got));
    buf_put_u8(&c->text, 0);
    buf_clear(&c->got);
    return (const char *)c->text.p;
}

const char *client_ask(struct client *c, const char *text)
{
    client_send(c, bytes_str(text));
    return client_take(c);
}

const char *client_command(struct client *c, const char *words)
{
    struct buf out = {0}, args = {0};
    unsigned n = 0;
    for (const char *p = words; *p != 0;) {
        size_t len = strcspn(p, " ");
        buf_putf(&args, "$%zu\r\n%.*s\r\n", len, (int)len, p);
        n++;
        p += len + (p[len] == ' ');
    }
    buf_putf(&out, "*%u\r\n", n);
    buf_put_bytes(&out, buf_bytes(&args));
    client_send(c, buf_bytes(&out));
    buf_deinit(&out);
    buf_deinit(&args);
    return client_take(c);
}

void client_stall(struct client *c, bool stalled)
{
    if (c->conn != NULL)
        vconn_pause(c->conn, stalled);
}

bool client_closed(const struct client *c) { return c->conn == NULL; }

void client_close(struct client *c)
{
    struct client **at = &c->serve->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (c->conn != NULL)
        vconn_close(c->conn);
    buf_deinit(&c->got);
    buf_deinit(&c->text);
    mem_free(c);
}
