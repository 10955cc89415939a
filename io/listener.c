/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/listener.h"

#include "base/mem.h"
#include "io/conn.h"
#include "io/tls.h"
#include "io/uverr.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
#define FILES_RESERVE 128
#define TELL_MS 10000u

struct address {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
    socklen_t n;
};

struct listener {
    struct loop *loop;
    uint32_t id, tag;
    uint32_t tls_id; /* 0 none */
    bool tls_optional;
    int fd;
    bool open, claimed;
    uint64_t told_ms; /* that files are few */
    struct address address;
    uv_poll_t poll;
    uv_timer_t retry;
    unsigned closing; /* handles that are not closed yet */
};

/* ---- claims ---- */

struct claim {
    struct address address;
    unsigned holders;
    struct claim *next;
};

struct listen_claims {
    uv_mutex_t lock;
    struct claim *first;
};

struct listen_claims *listen_claims_new(void)
{
    struct listen_claims *c = mem_zalloc(sizeof *c);
    uv_mutex_init(&c->lock);
    return c;
}

void listen_claims_free(struct listen_claims *c)
{
    while (c->first != NULL) {
        struct claim *next = c->first->next;
        mem_free(c->first);
        c->first = next;
    }
    uv_mutex_destroy(&c->lock);
    mem_free(c);
}

static struct claim **claim_find(struct listen_claims *c, const struct address *a)
{
    struct claim **at = &c->first;
    while (*at != NULL && ((*at)->address.n != a->n || memcmp(&(*at)->address.u, &a->u, a->n) != 0))
        at = &(*at)->next;
    return at;
}

static int try_alone(const struct address *a)
{
    int on = 1, rc = 0, fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &a->u.sa, a->n) != 0)
        rc = -errno;
    close(fd);
    return rc;
}

/* Takes the address for this process: 0, or why it cannot be had. */
static int claim_take(struct listen_claims *c, const struct address *a)
{
    uv_mutex_lock(&c->lock);
    struct claim **at = claim_find(c, a);
    int rc = *at == NULL ? try_alone(a) : 0;
    if (rc == 0 && *at == NULL) {
        *at = mem_zalloc(sizeof **at);
        (*at)->address = *a;
    }
    if (rc == 0)
        (*at)->holders++;
    uv_mutex_unlock(&c->lock);
    return rc;
}

static void claim_drop(struct listen_claims *c, const struct address *a)
{
    uv_mutex_lock(&c->lock);
    struct claim **at = claim_find(c, a), *gone = *at;
    if (gone != NULL && --gone->holders == 0) {
        *at = gone->next;
        mem_free(gone);
    }
    uv_mutex_unlock(&c->lock);
}

/* ---- sockets ---- */

static int address_make(struct address *a, const char *host, uint16_t port)
{
    memset(a, 0, sizeof *a); /* compared as bytes */
    if (strncmp(host, "unix:", 5) == 0) {
        const char *path = host + 5;
        if (strlen(path) >= sizeof a->u.un.sun_path || path[0] == 0)
            return UV_ENAMETOOLONG;
        a->u.un.sun_family = AF_UNIX;
        memcpy(a->u.un.sun_path, path, strlen(path) + 1);
        a->n = sizeof a->u.un;
        return 0;
    }
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (uv_ip4_addr(host, port, &a->u.in) == 0)
        a->n = sizeof a->u.in;
    else if (uv_ip6_addr(host, port, &a->u.in6) == 0)
        a->n = sizeof a->u.in6;
    return a->n > 0 ? 0 : UV_EINVAL;
}

/* A socket file that nobody listens on is what a killed process left behind. */
static void remove_stale(const struct address *a)
{
    struct stat st;
    if (lstat(a->u.un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &a->u.sa, a->n) != 0 && errno == ECONNREFUSED)
        unlink(a->u.un.sun_path);
    if (fd >= 0)
        close(fd);
}

static int bind_and_listen(int fd, const struct address *a, bool shared)
{
    int on = 1;
    bool local = a->u.sa.sa_family == AF_UNIX;
    if (!local && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return -errno;
    if (!local && shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        return -errno;
    if (local)
        remove_stale(a);
    if (bind(fd, &a->u.sa, a->n) != 0)
        return -errno;
    if (local)
        chmod(a->u.un.sun_path, 0600);
    return listen(fd, BACKLOG) == 0 ? 0 : -errno;
}

static uint16_t bound_port(int fd)
{
    struct address a = {.n = sizeof a.u};
    if (getsockname(fd, &a.u.sa, &a.n) != 0)
        return 0;
    if (a.u.sa.sa_family == AF_INET)
        return ntohs(a.u.in.sin_port);
    return a.u.sa.sa_family == AF_INET6 ? ntohs(a.u.in6.sin6_port) : 0;
}

/* ---- accepting ---- */

static void on_poll(uv_poll_t *p, int status, int events);

static void on_retry(uv_timer_t *t)
{
    struct listener *n = t->data;
    if (n->open)
        uv_poll_start(&n->poll, UV_READABLE, on_poll);
}

/* Once in a while: it lasts, and comes and goes with each connection. */
static bool may_tell(struct listener *n)
{
    uint64_t now_ms = uv_now(&n->loop->uv);
    if (n->told_ms != 0 && now_ms < n->told_ms + TELL_MS)
        return false;
    n->told_ms = now_ms;
    return true;
}

/* Out of descriptors or memory: leaves the queue alone for a moment instead of spinning. */
static void starve(struct listener *n, int err)
{
    if (may_tell(n))
        loop_log(n->loop, 'W',
                 "cannot accept connections: %s. Raise the limit of open files (ulimit -n)",
                 strerror(err));
    uv_poll_stop(&n->poll);
    uv_timer_start(&n->retry, on_retry, LISTENER_RETRY_MS, 0);
}

/* Connections must not take what files need: some are kept free. The system gives the lowest number
 * that is free, so the number tells how many are taken. */
static int files_left(const struct loop *l, int fd)
{
    return l->files_max > 0 ? l->files_max - fd - 1 : INT_MAX;
}

static int files_reserve(const struct loop *l)
{
    return l->files_max / 4 < FILES_RESERVE ? l->files_max / 4 : FILES_RESERVE;
}

static void accepted(struct listener *n, int fd, bool scarce)
{
    if (scarce && may_tell(n))
        loop_log(n->loop, 'W',
                 "%d of %d open files are used: further clients are refused. Raise the limit "
                 "(ulimit -n)",
                 fd + 1, n->loop->files_max);
    struct conn *c = conn_new(n->loop, n->address.u.sa.sa_family == AF_UNIX);
    c->accepted = true;
    c->scarce = scarce;
    c->listener = n->id;
    c->tag = n->tag;
    if (conn_adopt(c, fd) != 0) {
        conn_shut(c);
        return;
    }
    struct tls_context *ctx = loop_tls(n->loop, n->tls_id);
    if (n->tls_id != 0 && ctx == NULL) {
        conn_shut(c); /* its TLS settings are gone: never in clear text instead */
        return;
    }
    if (n->tls_optional) {
        c->sniff = n->tls_id;
    } else if (ctx != NULL) {
        c->tls = tls_new(ctx, true, NULL);
        conn_deadline(c, CONN_DIAL_MS * 1000u);
    }
    conn_connected(c);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct listener *n = p->data;
    (void)events;
    for (unsigned i = 0; status == 0 && n->open && i < LISTENER_BATCH; i++) {
        int fd = accept4(n->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            int left = files_left(n->loop, fd), reserve = files_reserve(n->loop);
            if (left <= reserve / 2 && n->address.u.sa.sa_family != AF_UNIX) {
                close(fd);
                starve(n, EMFILE);
                return;
            }
            accepted(n, fd, left <= reserve);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            starve(n, errno);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* ---- life ---- */

static struct listener *listener_new(struct loop *l, const struct listen_opts *o)
{
    struct listener *n = mem_zalloc(sizeof *n);
    l->listeners = mem_realloc(l->listeners, (l->listeners_n + 1) * sizeof *l->listeners);
    l->listeners[l->listeners_n++] = n;
    n->id = l->listeners_n;
    n->loop = l;
    n->tag = o->tag;
    n->tls_id = o->tls;
    n->tls_optional = o->tls != 0 && o->tls_optional;
    n->fd = -1;
    return n;
}

static int listener_start(struct listener *n, const struct listen_opts *o)
{
    int rc = address_make(&n->address, o->host ? o->host : "", o->port);
    if (rc != 0)
        return rc;
    bool claim = o->shared && o->port != 0 && n->address.u.sa.sa_family != AF_UNIX;
    if (claim && (rc = claim_take(n->loop->claims, &n->address)) != 0)
        return rc;
    n->claimed = claim;
    n->fd = socket(n->address.u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rc = n->fd < 0 ? -errno : bind_and_listen(n->fd, &n->address, o->shared);
    if (rc != 0)
        return rc;
    uv_poll_init(&n->loop->uv, &n->poll, n->fd);
    uv_timer_init(&n->loop->uv, &n->retry);
    n->poll.data = n->retry.data = n;
    n->open = true;
    uv_poll_start(&n->poll, UV_READABLE, on_poll);
    return 0;
}

static void listener_free(struct listener *n)
{
    if (n->claimed)
        claim_drop(n->loop->claims, &n->address);
    if (n->fd >= 0)
        close(n->fd);
    mem_free(n);
}

static void on_closed(uv_handle_t *h)
{
    struct listener *n = h->data;
    if (--n->closing == 0)
        mem_free(n);
}

uint32_t listener_open(struct loop *l, const struct listen_opts *o)
{
    struct listener *n = listener_new(l, o);
    uint32_t id = n->id;
    int rc = listener_start(n, o);
    struct later *a = loop_later(l, LATER_LISTEN);
    if (a != NULL) {
        a->listener = id;
        a->tag = o->tag;
        a->err = uverr(rc);
        a->status = rc == 0 ? bound_port(n->fd) : 0;
        if (rc != 0)
            snprintf(a->detail, sizeof a->detail, "%s port %u: %s", o->host ? o->host : "", o->port,
                     uv_strerror(rc));
    }
    if (rc != 0) {
        l->listeners[id - 1] = NULL;
        listener_free(n);
    }
    return id;
}

void listener_close(struct loop *l, uint32_t id)
{
    struct listener *n = id >= 1 && id <= l->listeners_n ? l->listeners[id - 1] : NULL;
    if (n == NULL)
        return;
    l->listeners[id - 1] = NULL;
    n->open = false;
    if (n->address.u.sa.sa_family == AF_UNIX)
        unlink(n->address.u.un.sun_path);
    if (n->claimed)
        claim_drop(l->claims, &n->address);
    uv_poll_stop(&n->poll);
    close(n->fd);
    n->closing = 2;
    uv_close((uv_handle_t *)&n->poll, on_closed);
    uv_close((uv_handle_t *)&n->retry, on_closed);
}
