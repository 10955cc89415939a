/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "io/cert.h"
#include "io/io.h"
#include "io/log.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Each test is a small machine, stepped by a real loop, that talks to itself over loopback sockets.
 * `step` is the test's; the rest is what most of them need.
 */
struct test {
    void (*step)(struct test *t, struct port *p, const struct event *ev);
    conn_id server, client;
    uint16_t port;
    uint32_t tls_server, tls_client;
    size_t want, got;
    uint64_t deadline;
    enum err err;
    unsigned count, turns, drained;
    bool done;
    char text[256];
    struct buf cert, key, seen;
};

static void test_step(void *self, struct port *p, const struct event *ev)
{
    struct test *t = self;
    t->step(t, p, ev);
}

static uint64_t test_deadline(void *self)
{
    struct test *t = self;
    return t->deadline;
}

static void run_logged(struct test *tests, uint32_t n, struct log *log)
{
    struct machine machines[4];
    io_process_init();
    struct io *io = io_new(&(struct io_opts){.count = n, .log = log});
    for (uint32_t i = 0; i < n; i++) {
        if (tests[i].deadline == 0)
            tests[i].deadline = UINT64_MAX;
        machines[i] =
            (struct machine){.self = &tests[i], .step = test_step, .deadline = test_deadline};
    }
    io_run(io, machines);
    io_free(io);
    for (uint32_t i = 0; i < n; i++) {
        buf_deinit(&tests[i].cert);
        buf_deinit(&tests[i].key);
    }
}

static void run(struct test *tests, uint32_t n)
{
    struct log log;
    log_open(&log, NULL, 'E');
    run_logged(tests, n, &log);
    log_close(&log);
}

static void use_tls(struct test *t, struct port *p)
{
    static const char *const names[] = {"127.0.0.1", NULL};
    char why[160] = "";
    cr_assert_eq(cert_self_signed("test", names, &t->cert, &t->key), 0);
    t->tls_server = p->ops->tls(
        p, &(struct tls_opts){.cert_pem = buf_bytes(&t->cert), .key_pem = buf_bytes(&t->key)}, why,
        sizeof why);
    t->tls_client = p->ops->tls(
        p, &(struct tls_opts){.ca_pem = buf_bytes(&t->cert), .verify_peer = true}, why, sizeof why);
    cr_assert(t->tls_server && t->tls_client, "%s", why);
}

static void listen_here(struct test *t, struct port *p)
{
    p->ops->listen(p, &(struct listen_opts){.host = "127.0.0.1", .tls = t->tls_server});
}

static void dial_it(struct test *t, struct port *p, const struct event *ev)
{
    cr_assert_eq(ev->err, ERR_OK, "%s", ev->detail);
    t->port = (uint16_t)ev->status;
    t->client = p->ops->dial(
        p, &(struct dial_opts){.host = "127.0.0.1", .port = t->port, .tls = t->tls_client});
}

static void put_pattern(struct buf *b, size_t from, size_t n)
{
    uint8_t *at = buf_reserve(b, n);
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)((from + i) * 167 >> 3);
    buf_added(b, n);
}

/* Is what came the continuation of put_pattern? */
static void check_pattern(struct test *t, struct bytes data)
{
    for (size_t i = 0; i < data.n; i++, t->got++)
        cr_assert_eq(data.p[i], (uint8_t)(t->got * 167 >> 3));
}

/* ---- echo ---- */

static void echo_data(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->conn != t->client) {
        buf_put_bytes(p->ops->out(p, ev->conn), ev->data);
        return;
    }
    check_pattern(t, ev->data);
    if (t->got == t->want)
        p->ops->stop(p);
}

static void echo(struct test *t, struct port *p, const struct event *ev)
{
    switch (ev->kind) {
    case EV_START:
        if (t->count == 1)
            use_tls(t, p);
        listen_here(t, p);
        break;
    case EV_LISTEN:
        dial_it(t, p, ev);
        break;
    case EV_OPEN:
        if (ev->conn == t->client)
            put_pattern(p->ops->out(p, ev->conn), 0, t->want);
        break;
    case EV_DATA:
        echo_data(t, p, ev);
        break;
    case EV_CLOSED:
        cr_assert_fail("%s %s", err_text(ev->err), ev->detail);
        break;
    default:
        break;
    }
}

Test(loop, carries_bytes_both_ways, .timeout = 20)
{
    struct test t = {.step = echo, .want = 10};
    run(&t, 1);
    cr_assert_eq(t.got, 10);
    struct test large = {.step = echo, .want = 20000000};
    run(&large, 1);
    cr_assert_eq(large.got, 20000000);
}

Test(loop, carries_bytes_both_ways_through_tls, .timeout = 20)
{
    struct test t = {.step = echo, .want = 5000000, .count = 1};
    run(&t, 1);
    cr_assert_eq(t.got, 5000000);
}

static void echo_local(struct test *t, struct port *p, const struct event *ev)
{
    char host[64];
    snprintf(host, sizeof host, "unix:/tmp/meridian-test-%d.sock", (int)getpid());
    if (ev->kind == EV_START)
        p->ops->listen(p, &(struct listen_opts){.host = host});
    else if (ev->kind == EV_LISTEN)
        t->client = p->ops->dial(p, &(struct dial_opts){.host = host});
    else
        echo(t, p, ev);
}

Test(loop, carries_bytes_over_unix_sockets, .timeout = 20)
{
    struct test t = {.step = echo_local, .want = 300000};
    run(&t, 1);
    cr_assert_eq(t.got, 300000);
    char path[64];
    snprintf(path, sizeof path, "/tmp/meridian-test-%d.sock", (int)getpid());
    cr_assert_neq(access(path, F_OK), 0);
}

/* ---- failures ---- */

static void dial_fails(struct test *t, struct port *p, const struct event *ev)
{
    static const struct dial_opts cases[] = {
        {.host = "127.0.0.1", .port = 1, .tag = ERR_REFUSED},
        {.host = "unix:/nonexistent/x.sock", .tag = ERR_NOT_FOUND},
        {.host = "", .port = 1, .tag = ERR_ADDRESS},
        {.host = "no such host", .port = 1, .tag = ERR_ADDRESS},
        {.host = "127.0.0.1", .port = 1, .tls = 4711, .tag = ERR_TLS},
    };
    if (ev->kind == EV_START)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            p->ops->dial(p, &cases[i]);
    if (ev->kind != EV_CLOSED)
        return;
    cr_assert_eq(ev->err, ev->tag, "%s instead of %s (%s)", err_name(ev->err), err_name(ev->tag),
                 ev->detail);
    cr_assert_not_null(ev->detail);
    cr_assert_null(p->ops->out(p, ev->conn));
    if (++t->count == sizeof cases / sizeof cases[0])
        p->ops->stop(p);
}

Test(loop, tells_why_a_dial_failed, .timeout = 20)
{
    struct test t = {.step = dial_fails};
    run(&t, 1);
    cr_assert_eq(t.count, 5);
}

/* Somebody who accepts and says nothing: the handshake runs into the time-out. */
static void handshake_hangs(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        use_tls(t, p);
        t->tls_server = 0;
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        p->ops->dial(p, &(struct dial_opts){.host = "127.0.0.1",
                                            .port = (uint16_t)ev->status,
                                            .tls = t->tls_client,
                                            .timeout_ms = 100});
    } else if (ev->kind == EV_CLOSED && ev->listener == 0) {
        t->err = ev->err;
        snprintf(t->text, sizeof t->text, "%s", ev->detail);
        p->ops->stop(p);
    }
}

Test(loop, the_dial_timeout_covers_the_handshake, .timeout = 20)
{
    struct test t = {.step = handshake_hangs};
    run(&t, 1);
    cr_assert_eq(t.err, ERR_TIMEOUT);
    cr_assert_str_eq(t.text, "TLS handshake");
}

/* Clear text to a TLS port, and TLS with a certificate that is not trusted. */
static void tls_refused(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        use_tls(t, p);
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        uint16_t port = (uint16_t)ev->status;
        t->client = p->ops->dial(p, &(struct dial_opts){.host = "127.0.0.1", .port = port});
        buf_put_str(p->ops->out(p, t->client), "PING\r\n");
        p->ops->dial(p, &(struct dial_opts){.host = "127.0.0.1",
                                            .port = port,
                                            .tls = t->tls_client,
                                            .server_name = "other.example"});
    } else if (ev->kind == EV_OPEN) {
        cr_assert_eq(ev->conn, t->client);
    } else if (ev->kind == EV_CLOSED) {
        if (ev->conn != t->client) {
            cr_assert_eq(ev->err, ERR_TLS);
            cr_assert(strstr(ev->detail, "certificate"), "%s", ev->detail);
        }
        if (++t->count == 2)
            p->ops->stop(p);
    }
}

Test(loop, refuses_strangers_on_tls, .timeout = 20)
{
    struct test t = {.step = tls_refused};
    run(&t, 1);
    cr_assert_eq(t.count, 2);
}

static void listen_fails(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START)
        listen_here(t, p);
    if (ev->kind != EV_LISTEN)
        return;
    if (t->count++ == 0) {
        uint16_t port = (uint16_t)ev->status;
        p->ops->listen(p,
                       &(struct listen_opts){.host = "127.0.0.1", .port = port, .tag = ERR_IN_USE});
        p->ops->listen(p,
                       &(struct listen_opts){
                           .host = "127.0.0.1", .port = port, .shared = true, .tag = ERR_IN_USE});
        p->ops->listen(
            p, &(struct listen_opts){.host = "192.0.2.1", .port = port, .tag = ERR_ADDRESS});
        p->ops->listen(p, &(struct listen_opts){.host = "what", .port = port, .tag = ERR_ADDRESS});
        p->ops->listen(
            p, &(struct listen_opts){.host = "unix:/nonexistent/sock", .tag = ERR_NOT_FOUND});
        return;
    }
    cr_assert_eq(ev->err, ev->tag, "%s (%s)", err_name(ev->err), ev->detail);
    cr_assert(ev->detail);
    if (t->count == 6)
        p->ops->stop(p);
}

Test(loop, tells_why_it_cannot_listen, .timeout = 20)
{
    struct test t = {.step = listen_fails};
    run(&t, 1);
    cr_assert_eq(t.count, 6);
}

static void listen_shared(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START)
        p->ops->listen(p,
                       &(struct listen_opts){.host = "127.0.0.1", .port = t->port, .shared = true});
    if (ev->kind != EV_LISTEN)
        return;
    t->err = ev->err;
    p->ops->stop(p);
}

/* Two workers of a process share a port; a second process of the same user would be let in by
 * SO_REUSEPORT as well. */
Test(loop, shares_a_port_with_neighbours_only, .timeout = 20)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, n), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    struct test stranger = {.step = listen_shared, .port = ntohs(a.sin_port)};
    run(&stranger, 1);
    cr_assert_eq(stranger.err, ERR_IN_USE);
    close(fd);
    struct test t[2] = {{.step = listen_shared, .port = ntohs(a.sin_port)},
                        {.step = listen_shared, .port = ntohs(a.sin_port)}};
    run(t, 2);
    cr_assert_eq(t[0].err, ERR_OK);
    cr_assert_eq(t[1].err, ERR_OK);
}

/* ---- ends ---- */

/* The server writes a lot and closes at once; everything must come. */
static void close_flushes(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        if (t->count == 1)
            use_tls(t, p);
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        dial_it(t, p, ev);
    } else if (ev->kind == EV_OPEN && ev->conn == t->client) {
        buf_put_str(p->ops->out(p, ev->conn), "input that nobody reads");
    } else if (ev->kind == EV_OPEN) {
        put_pattern(p->ops->out(p, ev->conn), 0, t->want);
        p->ops->close(p, ev->conn, true);
        cr_assert_null(p->ops->out(p, ev->conn));
    } else if (ev->kind == EV_DATA) {
        cr_assert_eq(ev->conn, t->client);
        check_pattern(t, ev->data);
    } else if (ev->kind == EV_CLOSED) {
        cr_assert_eq(ev->conn, t->client);
        t->err = ev->err;
        p->ops->stop(p);
    }
}

Test(loop, close_sends_what_is_pending_first, .timeout = 20)
{
    for (unsigned tls = 0; tls < 2; tls++) {
        struct test t = {.step = close_flushes, .want = 8000000, .count = tls};
        run(&t, 1);
        cr_assert_eq(t.got, 8000000);
        cr_assert_eq(t.err, ERR_CLOSED);
    }
}

/* A client that sends a request and shuts its side, as `printf | nc` does, still gets the answer.
 */
static void half_close(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        dial_it(t, p, ev);
    } else if (ev->kind == EV_OPEN && ev->conn == t->client) {
        buf_put_str(p->ops->out(p, ev->conn), "request");
        p->ops->close(p, ev->conn, true);
    } else if (ev->kind == EV_DATA) {
        put_pattern(p->ops->out(p, ev->conn), 0, 3000000);
    } else if (ev->kind == EV_CLOSED) {
        cr_assert_neq(ev->conn, t->client);
        t->err = ev->err;
        cr_assert_eq(p->ops->pending(p, ev->conn), 0);
        p->ops->stop(p);
    }
}

Test(loop, half_a_close_is_an_end_with_the_answer_sent, .timeout = 20)
{
    struct test t = {.step = half_close};
    run(&t, 1);
    cr_assert_eq(t.err, ERR_CLOSED);
}

/* ---- back-pressure ---- */

static void drains(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        dial_it(t, p, ev);
    } else if (ev->kind == EV_OPEN && ev->conn == t->client) {
        p->ops->pause(p, ev->conn, true);
    } else if (ev->kind == EV_OPEN) {
        t->server = ev->conn;
        put_pattern(p->ops->out(p, ev->conn), 0, t->want);
        t->deadline = ev->now.mono_us + 50000;
    } else if (ev->kind == EV_TIMER) {
        cr_assert_geq(ev->now.mono_us, t->deadline);
        cr_assert_eq(t->got, 0);
        cr_assert_gt(p->ops->pending(p, t->server), PORT_HIGH);
        t->deadline = UINT64_MAX;
        p->ops->pause(p, t->client, false);
    } else if (ev->kind == EV_DRAINED) {
        cr_assert_eq(ev->conn, t->server);
        cr_assert_lt(p->ops->pending(p, t->server), PORT_LOW);
        t->drained++;
    } else if (ev->kind == EV_DATA) {
        check_pattern(t, ev->data);
    }
    if (t->got == t->want && t->drained > 0)
        p->ops->stop(p);
}

Test(loop, a_paused_reader_fills_and_a_resumed_one_drains, .timeout = 20)
{
    struct test t = {.step = drains, .want = 16000000};
    run(&t, 1);
    cr_assert_eq(t.drained, 1);
    cr_assert_eq(t.got, 16000000);
}

/* The reader pauses after each piece; what TLS had decrypted or was lent already must not be lost.
 */
static void stutters(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        use_tls(t, p);
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        dial_it(t, p, ev);
    } else if (ev->kind == EV_OPEN && ev->conn != t->client) {
        put_pattern(p->ops->out(p, ev->conn), 0, t->want);
    } else if (ev->kind == EV_DATA) {
        cr_assert(!t->done, "data on a paused connection");
        check_pattern(t, ev->data);
        t->done = true;
        p->ops->pause(p, t->client, true);
        t->deadline = ev->now.mono_us + 300;
    } else if (ev->kind == EV_TIMER) {
        t->deadline = UINT64_MAX;
        t->done = false;
        p->ops->pause(p, t->client, false);
    }
    if (t->got == t->want)
        p->ops->stop(p);
}

Test(loop, pausing_tls_loses_nothing, .timeout = 20)
{
    struct test t = {.step = stutters, .want = 3000000};
    run(&t, 1);
    cr_assert_eq(t.got, 3000000);
}

/* An echo that holds the connection after each piece: nothing comes in and nothing goes out until
 * it lets go, and then nothing is missing. */
static void holds(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        dial_it(t, p, ev);
    } else if (ev->kind == EV_OPEN && ev->conn == t->client) {
        put_pattern(p->ops->out(p, ev->conn), 0, t->want);
    } else if (ev->kind == EV_DATA && ev->conn == t->client) {
        check_pattern(t, ev->data);
        cr_assert_leq(t->got, t->count, "output of a held connection");
    } else if (ev->kind == EV_DATA) {
        cr_assert(!t->done, "data on a held connection");
        t->server = ev->conn;
        buf_put_bytes(p->ops->out(p, ev->conn), ev->data);
        buf_put_bytes(&t->seen, ev->data);
        t->done = true;
        p->ops->hold(p, ev->conn, true);
        t->deadline = ev->now.mono_us + 300;
    } else if (ev->kind == EV_TIMER) {
        t->deadline = UINT64_MAX;
        t->done = false;
        t->count = (unsigned)buf_len(&t->seen);
        p->ops->hold(p, t->server, false);
    }
    if (t->got == t->want)
        p->ops->stop(p);
}

Test(loop, a_held_connection_stands_still_and_loses_nothing, .timeout = 20)
{
    struct test t = {.step = holds, .want = 3000000};
    run(&t, 1);
    cr_assert_eq(t.got, 3000000);
    buf_deinit(&t.seen);
}

/* ---- turns, files, children ---- */

struct note {
    struct msg msg;
    uint64_t number;
};

static void turns(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_TURN) {
        cr_assert_gt(t->count, t->turns, "a turn without an event");
        t->turns = t->count;
        return;
    }
    t->count++;
    if (ev->kind == EV_START)
        t->deadline = ev->now.mono_us + 1000;
    cr_assert_geq(p->ops->clock_us(p), ev->now.mono_us);
    if (ev->kind == EV_TIMER) {
        cr_assert_geq(ev->now.mono_us, t->deadline);
        t->deadline += 1500;
    }
    if (t->count == 20)
        p->ops->stop(p);
}

Test(loop, every_turn_follows_an_event, .timeout = 20)
{
    struct test t = {.step = turns};
    run(&t, 1);
    cr_assert_eq(t.count, 20);
    cr_assert_eq(t.turns, 20);
}

static void ask_file(struct test *t, struct port *p, enum file_op op, const char *content)
{
    struct file_req *r = file_req_new(op, t->text);
    r->size_max = 10;
    buf_put_str(&r->data, content);
    p->ops->file(p, r);
}

static void files(struct test *t, struct port *p, const struct event *ev)
{
    static const struct {
        enum file_op op;
        const char *content;
        enum err err;
    } asks[] = {
        {FILE_READ, "", ERR_NOT_FOUND},       {FILE_WRITE, "first", ERR_OK},
        {FILE_WRITE, "0123456789", ERR_OK},   {FILE_READ, "", ERR_OK},
        {FILE_WRITE, "one too many", ERR_OK}, {FILE_READ, "", ERR_TOO_BIG},
        {FILE_MKDIR, "", ERR_EXISTS},         {FILE_REMOVE, "", ERR_OK},
        {FILE_REMOVE, "", ERR_NOT_FOUND},
    };
    if (ev->kind == EV_FILE) {
        cr_assert_eq(ev->err, asks[t->count].err, "%u: %s", t->count, err_text(ev->err));
        cr_assert_eq(ev->file->err, ev->err);
        if (t->count == 3)
            cr_assert(bytes_is(buf_bytes(&ev->file->data), "0123456789"));
        file_req_free(ev->file);
        t->count++;
    } else if (ev->kind != EV_START) {
        return;
    }
    if (t->count == sizeof asks / sizeof asks[0])
        p->ops->stop(p);
    else
        ask_file(t, p, asks[t->count].op, asks[t->count].content);
}

Test(loop, reads_and_replaces_files, .timeout = 20)
{
    struct test t = {.step = files};
    snprintf(t.text, sizeof t.text, "/tmp/meridian-test-%d.txt", (int)getpid());
    run(&t, 1);
    cr_assert_eq(t.count, 9);
    cr_assert_neq(access(t.text, F_OK), 0);
}

static void children(struct test *t, struct port *p, const struct event *ev)
{
    static const char *const ends[] = {"/bin/sh", "-c", "exit 3", NULL};
    static const char *const waits[] = {"/bin/sleep", "100", NULL};
    static const char *const absent[] = {"/nonexistent/program", NULL};
    if (ev->kind == EV_START) {
        cr_assert_eq(p->ops->spawn(p, absent, 0), -1);
        cr_assert_gt(p->ops->spawn(p, ends, 7), 0);
        p->ops->kill(p, p->ops->spawn(p, waits, 8), 15);
    } else if (ev->kind == EV_CHILD) {
        cr_assert_eq(ev->status, ev->tag == 7 ? 3 : 128 + 15);
        if (++t->count == 2)
            p->ops->stop(p);
    }
}

Test(loop, starts_children_and_hears_of_their_end, .timeout = 20)
{
    struct test t = {.step = children};
    struct log log;
    log_open(&log, "/dev/null", 'E'); /* one of them cannot be started, and that is said */
    run_logged(&t, 1, &log);
    cr_assert_eq(t.count, 2);
    log_close(&log);
}

/* ---- neighbours ---- */

#define NOTES 20000u

static void post_note(struct port *p, uint32_t to, uint64_t number)
{
    struct note *n = mem_zalloc(sizeof *n);
    n->number = number;
    p->ops->post(p, to, &n->msg);
}

/* Machine 0 sends to 1, 1 to 2, 2 to 0; some at once, the next ones one by one. */
static void notes(struct test *t, struct port *p, const struct event *ev)
{
    uint32_t next = (p->self + 1) % p->neighbours;
    if (ev->kind == EV_START && p->self == 0)
        for (uint64_t i = 0; i < 100; i++)
            post_note(p, next, i);
    if (ev->kind != EV_MESSAGE)
        return;
    struct note *n = (struct note *)ev->msg;
    cr_assert_eq(n->msg.from, (p->self + p->neighbours - 1) % p->neighbours);
    cr_assert_eq(n->number, t->got++, "order");
    if (p->self != 0)
        post_note(p, next, n->number);
    else if (n->number + 100 < NOTES)
        post_note(p, next, n->number + 100);
    if (p->self == 0 && t->got == NOTES)
        p->ops->stop(p);
    msg_free(&n->msg);
}

Test(neighbours, messages_come_once_and_in_order, .timeout = 30)
{
    struct test t[3] = {{.step = notes}, {.step = notes}, {.step = notes}};
    run(t, 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(t[i].got, NOTES);
}

/* Machine 0 accepts and hands over, in the middle of the input, with some of it decrypted; machine
 * 1 answers. */
static void giver(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_START) {
        if (t->count == 1)
            use_tls(t, p);
        listen_here(t, p);
    } else if (ev->kind == EV_LISTEN) {
        dial_it(t, p, ev);
    } else if (ev->kind == EV_OPEN && ev->conn == t->client) {
        put_pattern(p->ops->out(p, ev->conn), 0, t->want);
    } else if (ev->kind == EV_DATA && ev->conn != t->client) {
        struct note *n = mem_zalloc(sizeof *n + ev->data.n);
        n->number = ev->data.n;
        memcpy(n + 1, ev->data.p, ev->data.n);
        buf_put_str(p->ops->out(p, ev->conn), "moving");
        p->ops->move(p, ev->conn, 1, &n->msg);
        cr_assert_null(p->ops->out(p, ev->conn));
    } else if (ev->kind == EV_DATA) {
        buf_put_bytes(&t->seen, ev->data);
        if (buf_len(&t->seen) == 10)
            p->ops->stop(p);
    } else if (ev->kind == EV_CLOSED) {
        cr_assert_fail("%s", err_text(ev->err));
    }
}

static void taker(struct test *t, struct port *p, const struct event *ev)
{
    if (ev->kind == EV_MOVED) {
        struct note *n = (struct note *)ev->msg;
        check_pattern(t, bytes_of(n + 1, n->number));
        t->server = ev->conn;
        msg_free(&n->msg);
    } else if (ev->kind == EV_DATA) {
        cr_assert_eq(ev->conn, t->server);
        check_pattern(t, ev->data);
    } else {
        return;
    }
    if (t->got == t->want)
        buf_put_str(p->ops->out(p, t->server), "DONE");
}

Test(neighbours, a_moved_connection_loses_nothing, .timeout = 20)
{
    for (unsigned tls = 0; tls < 2; tls++) {
        struct test t[2] = {{.step = giver, .want = 2000000, .count = tls},
                            {.step = taker, .want = 2000000}};
        run(t, 2);
        cr_assert_eq(t[1].got, 2000000);
        cr_assert(bytes_is(buf_bytes(&t[0].seen), "movingDONE"));
        buf_deinit(&t[0].seen);
    }
}
