/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/ops.h"

#include "base/mem.h"
#include "io/child.h"
#include "io/conn.h"
#include "io/file.h"
#include "io/listener.h"
#include "io/log.h"
#include "io/neighbours.h"
#include "io/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>

static struct loop *of(struct port *p) { return (struct loop *)p; }

static uint32_t op_listen(struct port *p, const struct listen_opts *o)
{
    return of(p)->dead ? 0 : listener_open(of(p), o);
}

static void op_unlisten(struct port *p, uint32_t listener) { listener_close(of(p), listener); }

static conn_id op_dial(struct port *p, const struct dial_opts *o)
{
    return of(p)->dead ? 0 : dial_start(of(p), o);
}

static struct buf *op_out(struct port *p, conn_id id)
{
    struct conn *c = conn_get(of(p), id);
    return c != NULL && !c->broken ? conn_out(c) : NULL;
}

static size_t op_pending(struct port *p, conn_id id)
{
    const struct conn *c = conn_get(of(p), id);
    return c != NULL ? conn_pending(c) : 0;
}

static void op_own(struct port *p, conn_id id, struct conn_owner *kept)
{
    struct conn *c = conn_get(of(p), id);
    if (c != NULL)
        c->owner = kept;
}

static void op_pause(struct port *p, conn_id id, bool paused)
{
    struct conn *c = conn_get(of(p), id);
    if (c != NULL)
        conn_pause(c, paused);
}

static void op_hold(struct port *p, conn_id id, bool held)
{
    struct conn *c = conn_get(of(p), id);
    if (c != NULL)
        conn_hold(c, held);
}

static void op_close(struct port *p, conn_id id, bool flush)
{
    struct conn *c = conn_get(of(p), id);
    if (c != NULL)
        conn_close(c, flush);
}

static void op_move(struct port *p, conn_id id, uint32_t neighbour, struct msg *taken)
{
    struct conn *c = conn_get(of(p), id);
    if (c != NULL)
        move_start(c, neighbour, taken);
    else
        msg_free(taken);
}

static void op_post(struct port *p, uint32_t neighbour, struct msg *taken)
{
    neighbours_post(of(p), neighbour, taken);
}

static void op_file(struct port *p, struct file_req *taken) { file_start(of(p), taken); }

static uint32_t op_tls(struct port *p, const struct tls_opts *o, char *why, size_t why_size)
{
    struct loop *l = of(p);
    uint32_t i = 0;
    while (i < l->tls_n && l->tls[i].ctx != NULL)
        i++;
    if (i == LOOP_TLS_MAX) {
        snprintf(why, why_size, "more than %u TLS settings in use", LOOP_TLS_MAX);
        return 0;
    }
    struct tls_context *ctx = tls_context_new(o, why, why_size);
    if (ctx == NULL)
        return 0;
    if (i == l->tls_n) {
        l->tls = mem_realloc(l->tls, (i + 1) * sizeof *l->tls);
        l->tls[l->tls_n++] = (struct tls_slot){0};
    }
    l->tls[i].ctx = ctx;
    l->tls[i].generation = l->tls[i].generation % (UINT32_MAX / LOOP_TLS_MAX) + 1;
    return l->tls[i].generation * LOOP_TLS_MAX + i;
}

static void op_tls_free(struct port *p, uint32_t id)
{
    struct loop *l = of(p);
    struct tls_context *ctx = loop_tls(l, id);
    if (ctx == NULL)
        return;
    l->tls[id % LOOP_TLS_MAX].ctx = NULL;
    tls_context_free(ctx);
}

static int op_spawn(struct port *p, const char *const *argv, uint32_t tag)
{
    return child_spawn(of(p), argv, tag);
}

static void op_kill(struct port *p, int pid, int signal) { child_kill(of(p), pid, signal); }

static void op_random(struct port *p, void *out, size_t n)
{
    uint8_t *at = out;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno != EINTR) {
            /* Secrets come from here: going on with anything else would be worse than ending. */
            loop_log(of(p), 'E', "the kernel gives no random numbers: %s", strerror(errno));
            abort();
        }
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

static void op_log(struct port *p, char level, const char *line)
{
    log_line(of(p)->log, level, of(p)->who, line);
}

static void op_stop(struct port *p) { of(p)->stopping = true; }

static size_t put_text(char *out, size_t size, const char *text)
{
    int n = size > 0 ? snprintf(out, size, "%s", text) : 0;
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size ? size - 1 : 0;
}

static size_t put_address(const struct sockaddr_storage *a, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 16] = "";
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)a;
        uv_ip4_name(in, host, sizeof host);
        snprintf(text, sizeof text, "%s:%u", host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;
        uv_ip6_name(in6, host, sizeof host);
        snprintf(text, sizeof text, "[%s]:%u", host, ntohs(in6->sin6_port));
    }
    return put_text(out, size, text);
}

static size_t op_name(struct port *p, conn_id id, char *out, size_t size,
                      int (*ask)(const uv_tcp_t *, struct sockaddr *, int *))
{
    const struct conn *c = conn_get(of(p), id);
    struct sockaddr_storage a;
    int n = sizeof a;
    if (c != NULL && c->local)
        return put_text(out, size, "unix");
    if (c == NULL || !c->handle || ask(&c->u.tcp, (struct sockaddr *)&a, &n) != 0)
        return put_text(out, size, "");
    return put_address(&a, out, size);
}

static size_t op_peer_name(struct port *p, conn_id id, char *out, size_t size)
{
    return op_name(p, id, out, size, uv_tcp_getpeername);
}

static size_t op_local_name(struct port *p, conn_id id, char *out, size_t size)
{
    return op_name(p, id, out, size, uv_tcp_getsockname);
}

static bool op_is_tls(struct port *p, conn_id id)
{
    const struct conn *c = conn_get(of(p), id);
    return c != NULL && c->tls != NULL;
}

static size_t op_alpn(struct port *p, conn_id id, char *out, size_t size)
{
    const struct conn *c = conn_get(of(p), id);
    if (c == NULL || c->tls == NULL)
        return put_text(out, size, "");
    return tls_alpn(c->tls, out, size);
}

static uint64_t op_clock_us(struct port *p)
{
    (void)p;
    return uv_hrtime() / 1000;
}

static void op_sleep_us(struct port *p, uint64_t us)
{
    (void)p;
    uv_sleep((unsigned)(us / 1000));
}

static uint64_t us_of(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static uint64_t memory_of_system(void)
{
    uint64_t all = uv_get_total_memory(), limit = uv_get_constrained_memory();
    return limit > 0 && limit < all ? limit : all;
}

static void op_usage(struct port *p, struct port_usage *out)
{
    struct rusage self, children;
    size_t resident = 0;
    (void)p;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    (void)uv_resident_set_memory(&resident);
    *out = (struct port_usage){.user_us = us_of(self.ru_utime),
                               .system_us = us_of(self.ru_stime),
                               .children_user_us = us_of(children.ru_utime),
                               .children_system_us = us_of(children.ru_stime),
                               .resident_bytes = resident,
                               .system_bytes = memory_of_system(),
                               .pid = getpid()};
}

const struct port_ops io_ops = {
    .listen = op_listen,
    .unlisten = op_unlisten,
    .dial = op_dial,
    .out = op_out,
    .pending = op_pending,
    .own = op_own,
    .pause = op_pause,
    .hold = op_hold,
    .close = op_close,
    .move = op_move,
    .post = op_post,
    .file = op_file,
    .tls = op_tls,
    .tls_free = op_tls_free,
    .spawn = op_spawn,
    .kill = op_kill,
    .random = op_random,
    .log = op_log,
    .stop = op_stop,
    .peer_name = op_peer_name,
    .local_name = op_local_name,
    .is_tls = op_is_tls,
    .alpn = op_alpn,
    .clock_us = op_clock_us,
    .usage = op_usage,
    .sleep_us = op_sleep_us,
};
