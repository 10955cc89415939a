/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/plane.h"

#include "base/mem.h"
#include "base/num.h"
#include "manager/manager.h"

#include <signal.h>
#include <stdio.h>

#define TAG_PLANE 1u
#define WAIT_FIRST_US 50000u
#define WAIT_MAX_US 500000u
#define CRASH_FIRST_US 100000u
#define CRASH_MAX_US 5000000u
#define SOUND_US 10000000u  /* a plane that lived so long did not crash for how it was started */
#define ANSWER_US 20000000u /* a plane that is silent for so long is given up */
#define STOP_US 35000000u   /* the plane itself gives its disks 30 s */
#define STATS_EVERY_US 1000000u
#define STATS_WAIT_US 1500000u /* who waits for statistics waits no longer */
#define ASKS_MAX 1024u

struct ask {
    struct ask *next;
    uint64_t id, since_us;
    plane_reply_fn *fn;
    void *arg;
};

struct waiter {
    struct waiter *next;
    struct done done;
};

struct plane {
    struct conn_owner owner; /* first: the port hands the channel's events to it */
    struct manager *m;
    struct plane_hooks hooks;
    char *host;
    uint16_t port;
    char token[CONTROL_TOKEN_MAX + 1];
    const char *const *argv; /* kept by whoever made the manager */
    enum plane_state state;
    conn_id conn;
    struct buf in;
    struct ask *asks;
    uint32_t asks_count;
    uint64_t last_id;
    int pid;                              /* of our child; 0 none */
    bool keeps;                           /* READY: it has a folder */
    uint64_t wait_us, again_us;           /* DOWN: dial again then */
    uint64_t crash_us, spawn_us, born_us; /* wait after a crash; spawn not before; when spawned */
    struct plane_stats stats;
    uint64_t taken_us, asked_us;
    bool asking;
    struct waiter *waiters;
    bool stopping;
    bool served; /* the present process has been ready */
    uint64_t stop_us;
};

static void step(struct conn_owner *self, struct port *port, const struct event *ev);
static void forget_channel(struct plane *p, const char *reason);

static uint64_t now_us(const struct plane *p) { return manager_now(p->m).mono_us; }

struct plane *plane_new(struct manager *m, const char *control, const char *token,
                        const char *const *argv, struct plane_hooks hooks)
{
    struct plane *p = mem_zalloc(sizeof *p);
    *p = (struct plane){
        .owner = {.step = step}, .m = m, .hooks = hooks, .argv = argv, .wait_us = WAIT_FIRST_US};
    snprintf(p->token, sizeof p->token, "%s", token);
    p->host = mem_strdup(control);
    char *colon = strrchr(p->host, ':');
    int64_t number = 0;
    if (strncmp(p->host, "unix:", 5) != 0 && colon != NULL &&
        num_parse_i64(bytes_str(colon + 1), &number) && number > 0 && number < 65536) {
        *colon = 0;
        p->port = (uint16_t)number;
    }
    return p;
}

void plane_cut(struct plane *p) { forget_channel(p, "the manager stops"); }

void plane_free(struct plane *p)
{
    if (p == NULL)
        return;
    plane_stats_deinit(&p->stats);
    buf_deinit(&p->in);
    mem_free(p->host);
    mem_free(p);
}

bool plane_is_ready(const struct plane *p) { return p->state == PLANE_READY; }

bool plane_keeps(const struct plane *p) { return p->state != PLANE_READY || p->keeps; }

/* ------------------------------------------------------------ requests */

static void send_ask(struct plane *p, enum control_kind kind, struct bytes body, plane_reply_fn *fn,
                     void *arg)
{
    struct port *port = manager_port(p->m);
    struct buf *out = p->conn != 0 ? port->ops->out(port, p->conn) : NULL;
    struct refusal why = {0};
    if (out == NULL || p->asks_count >= ASKS_MAX) {
        refuse(&why, 503, "plane_unavailable",
               "the data plane is not there: it is being started, try again in a moment");
        fn(arg, &why, bytes_of(NULL, 0));
        return;
    }
    struct ask *a = mem_zalloc(sizeof *a);
    *a = (struct ask){
        .id = ++p->last_id, .since_us = now_us(p), .fn = fn, .arg = arg, .next = p->asks};
    p->asks = a;
    p->asks_count++;
    control_put(out, a->id, kind, body);
}

void plane_ask(struct plane *p, enum control_kind kind, struct bytes body, plane_reply_fn *fn,
               void *arg)
{
    struct refusal why = {0};
    if (p->state == PLANE_READY) {
        send_ask(p, kind, body, fn, arg);
        return;
    }
    refuse(&why, 503, "plane_unavailable",
           "the data plane is not there: it is being started, try again in a moment");
    fn(arg, &why, bytes_of(NULL, 0));
}

static struct ask *take_ask(struct plane *p, uint64_t id)
{
    for (struct ask **at = &p->asks; *at != NULL; at = &(*at)->next)
        if ((*at)->id == id) {
            struct ask *a = *at;
            *at = a->next;
            p->asks_count--;
            return a;
        }
    return NULL;
}

/* ------------------------------------------------------------ statistics */

static void release_waiters(struct plane *p, const struct refusal *why)
{
    struct waiter *list = p->waiters;
    p->waiters = NULL;
    while (list != NULL) {
        struct waiter *w = list;
        list = w->next;
        done_call(w->done, why, 0);
        mem_free(w);
    }
}

static void stats_came(void *arg, const struct refusal *why, struct bytes body)
{
    struct plane *p = arg;
    struct plane_stats fresh = {0};
    struct refusal bad = {0};
    p->asking = false;
    if (why == NULL && plane_stats_decode(body, &fresh)) {
        plane_stats_deinit(&p->stats);
        p->stats = fresh;
        p->taken_us = now_us(p);
    } else if (why == NULL) {
        refuse(&bad, 500, "internal_error", "the data plane's statistics are malformed");
        why = &bad;
    }
    release_waiters(p, why);
}

static void ask_stats(struct plane *p)
{
    if (p->asking || p->state != PLANE_READY)
        return;
    p->asking = true;
    p->asked_us = now_us(p);
    send_ask(p, CONTROL_STATS, bytes_of(NULL, 0), stats_came, p);
}

const struct plane_stats *plane_stats(const struct plane *p, uint64_t *taken_us)
{
    if (taken_us != NULL)
        *taken_us = p->taken_us;
    return &p->stats;
}

void plane_look(struct plane *p, struct done done)
{
    struct refusal why = {0};
    if (p->state != PLANE_READY) {
        refuse(&why, 503, "plane_unavailable", "the data plane is not there");
        done_call(done, &why, 0);
        return;
    }
    struct waiter *w = mem_zalloc(sizeof *w);
    *w = (struct waiter){.done = done, .next = p->waiters};
    p->waiters = w;
    ask_stats(p);
}

void plane_refresh(struct plane *p, uint64_t age_us, struct done done)
{
    if (p->state == PLANE_READY && p->taken_us != 0 && now_us(p) - p->taken_us <= age_us)
        done_call(done, NULL, 0);
    else
        plane_look(p, done);
}

/* ------------------------------------------------------------ the channel's life */

/* Every request under way gets its answer: that there will be none. */
static void forget_channel(struct plane *p, const char *reason)
{
    struct refusal why = {0};
    struct ask *list = p->asks;
    refuse(&why, 503, "plane_unavailable", "the data plane did not answer: %s", reason);
    p->state = PLANE_DOWN;
    p->conn = 0;
    p->asks = NULL;
    p->asks_count = 0;
    p->taken_us = 0;
    plane_stats_deinit(&p->stats);
    p->stats = (struct plane_stats){0};
    buf_deinit(&p->in);
    p->again_us = now_us(p) + p->wait_us;
    p->wait_us = p->wait_us * 2 > WAIT_MAX_US ? WAIT_MAX_US : p->wait_us * 2;
    while (list != NULL) {
        struct ask *a = list;
        list = a->next;
        a->fn(a->arg, &why, bytes_of(NULL, 0));
        mem_free(a);
    }
    release_waiters(p, &why);
}

static void drop_channel(struct plane *p, const char *reason)
{
    struct port *port = manager_port(p->m);
    port_log(port, 'W', "data plane: %s", reason);
    if (p->conn != 0)
        port->ops->close(port, p->conn, false);
    forget_channel(p, reason);
}

static void dial(struct plane *p)
{
    struct port *port = manager_port(p->m);
    p->state = PLANE_DIALLING;
    p->conn = port->ops->dial(
        port, &(struct dial_opts){
                  .host = p->host, .port = p->port, .owner = &p->owner, .timeout_ms = 2000});
}

/* Nobody listens there: start one, unless a child of ours is still on its way. */
static void spawn(struct plane *p)
{
    struct port *port = manager_port(p->m);
    uint64_t now = now_us(p);
    if (p->argv == NULL || p->pid != 0 || p->stopping || now < p->spawn_us)
        return;
    p->born_us = now;
    p->served = false;
    p->pid = port->ops->spawn(port, p->argv, TAG_PLANE);
    if (p->pid <= 0) {
        port_log(port, 'E', "cannot start the data plane (%s): check the program's path",
                 p->argv[0]);
        p->pid = 0;
        return;
    }
    port_log(port, 'I', "data plane started, pid %d", p->pid);
    p->wait_us = WAIT_FIRST_US;
    p->again_us = now + WAIT_FIRST_US;
}

static void welcomed(void *arg, const struct refusal *why, struct bytes body)
{
    struct plane *p = arg;
    struct control_welcome w;
    if (p->state != PLANE_GREETING)
        return;
    if (why != NULL || !control_welcome_decode(body, &w)) {
        drop_channel(p, why != NULL ? why->message : "its greeting is malformed");
        return;
    }
    if (w.protocol != CONTROL_PROTOCOL) {
        drop_channel(p, "it speaks another control protocol: stop it, so that this release's is "
                        "started");
    } else {
        port_log(manager_port(p->m), 'I', "data plane ready: pid %u, %u workers, %u databases",
                 w.pid, w.workers, w.uids_count);
        p->state = PLANE_READY;
        p->served = true;
        p->keeps = w.keeps;
        p->wait_us = WAIT_FIRST_US;
        p->hooks.ready(p->m, w.uids, w.uids_count);
        ask_stats(p);
    }
    mem_free(w.uids);
}

static void greet(struct plane *p)
{
    struct control_hello h = {.protocol = CONTROL_PROTOCOL};
    struct buf body = {0};
    snprintf(h.token, sizeof h.token, "%s", p->token);
    control_hello_encode(&body, &h);
    p->state = PLANE_GREETING;
    send_ask(p, CONTROL_HELLO, buf_bytes(&body), welcomed, p);
    buf_deinit(&body);
}

/* One whole message at the head of what came; false: wait, or the channel is gone. */
static bool take_message(struct plane *p)
{
    uint64_t id;
    enum control_kind kind;
    struct bytes body, inner;
    size_t used;
    bool ok;
    struct refusal why = {0};
    enum control_result r = control_get(buf_bytes(&p->in), &id, &kind, &body, &used);
    if (r == CONTROL_MORE)
        return false;
    if (r == CONTROL_BAD || kind != CONTROL_ANSWER ||
        !control_answer_decode(body, &ok, why.message, sizeof why.message, &inner)) {
        drop_channel(p, "it sent what is no answer");
        return false;
    }
    struct ask *a = take_ask(p, id);
    if (a != NULL) {
        conn_id conn = p->conn;
        why.status = 409;
        text_plain(why.message);
        snprintf(why.code, sizeof why.code, "refused_by_plane");
        a->fn(a->arg, ok ? NULL : &why, inner);
        mem_free(a);
        if (p->conn != conn)
            return false; /* the answer ended the channel, and with it the bytes */
    }
    buf_consume(&p->in, used);
    return true;
}

static void step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct plane *p = (struct plane *)self;
    (void)port;
    switch (ev->kind) {
    case EV_OPEN:
        greet(p);
        break;
    case EV_DATA:
        buf_put_bytes(&p->in, ev->data);
        while (p->conn != 0 && take_message(p))
            ;
        break;
    case EV_CLOSED:
        if (p->state == PLANE_DIALLING) {
            forget_channel(p, "nobody listens");
            spawn(p);
        } else {
            port_log(port, p->stopping ? 'I' : 'W', "data plane: channel lost: %s",
                     err_text(ev->err));
            p->wait_us = WAIT_FIRST_US;
            forget_channel(p, err_text(ev->err));
        }
        break;
    default:
        break;
    }
}

void plane_start(struct plane *p) { dial(p); }

void plane_child_ended(struct plane *p, int status)
{
    struct port *port = manager_port(p->m);
    p->pid = 0;
    if (p->stopping && status != 0 && p->served) {
        port_log(port, 'E',
                 "the data plane ended with status %d: not all is on disk that was to be. It says "
                 "what it lost in the lines before",
                 status);
        manager_ends_badly(p->m);
    }
    if (p->stopping)
        return;
    if (now_us(p) - p->born_us >= SOUND_US || p->crash_us == 0)
        p->crash_us = CRASH_FIRST_US;
    else
        p->crash_us = p->crash_us * 2 > CRASH_MAX_US ? CRASH_MAX_US : p->crash_us * 2;
    p->spawn_us = now_us(p) + p->crash_us;
    port_log(port, 'E', "the data plane ended (status %d): starting it again in %u ms", status,
             (unsigned)(p->crash_us / 1000));
    if (p->conn != 0 && p->state == PLANE_READY)
        drop_channel(p, "its process ended");
}

void plane_tick(struct plane *p)
{
    uint64_t now = now_us(p);
    if (p->stopping)
        return;
    if (p->state == PLANE_DOWN && now >= p->again_us)
        dial(p);
    for (const struct ask *a = p->asks; a != NULL; a = a->next)
        if (now - a->since_us > ANSWER_US) {
            drop_channel(p, "it does not answer");
            return;
        }
    if (p->asking && p->waiters != NULL && now - p->asked_us > STATS_WAIT_US) {
        struct refusal why = {0};
        refuse(&why, 503, "plane_unavailable", "the data plane does not answer");
        release_waiters(p, &why);
    }
    if (p->state == PLANE_READY && now - p->asked_us >= STATS_EVERY_US)
        ask_stats(p);
}

uint64_t plane_deadline(const struct plane *p)
{
    if (p->stopping)
        return p->stop_us;
    return p->state == PLANE_DOWN ? p->again_us : UINT64_MAX;
}

static void stop_answered(void *arg, const struct refusal *why, struct bytes body)
{
    (void)arg;
    (void)why;
    (void)body;
}

void plane_stop(struct plane *p)
{
    p->stopping = true;
    p->stop_us = now_us(p) + STOP_US;
    if (p->state == PLANE_READY)
        send_ask(p, CONTROL_STOP, bytes_of(NULL, 0), stop_answered, NULL);
    else if (p->pid != 0)
        manager_port(p->m)->ops->kill(manager_port(p->m), p->pid, SIGTERM);
}

bool plane_is_gone(struct plane *p)
{
    if (p->pid == 0 && p->conn == 0)
        return true;
    if (!p->stopping || now_us(p) < p->stop_us)
        return false;
    port_log(
        manager_port(p->m), 'E',
        "the data plane has not ended within %u s: what it has not written to disk may be lost",
        STOP_US / 1000000);
    manager_ends_badly(p->m);
    return true;
}
