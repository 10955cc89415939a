/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/resp_client.h"

#include "base/mem.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define WORDS_MAX 64u

bool resp_client_open(struct resp_client *c, const char *host, uint16_t port)
{
    *c = (struct resp_client){.fd = -1};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return false;
    struct timeval limit = {.tv_sec = 30};
    for (struct addrinfo *a = list; a != NULL && c->fd < 0; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            c->fd = fd;
        else
            close(fd);
    }
    freeaddrinfo(list);
    return c->fd >= 0;
}

void resp_client_close(struct resp_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_deinit(&c->in);
}

static bool send_all(int fd, struct bytes s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        s = bytes_of(s.p + n, s.n - (size_t)n);
    }
    return true;
}

static bool receive(struct resp_client *c, struct buf *raw)
{
    for (;;) {
        struct resp_reply r;
        size_t used;
        enum resp_reply_result got = resp_reply_read(buf_bytes(&c->in), &r, &used);
        if (got == RESP_REPLY_OK) {
            resp_reply_deinit(&r);
            buf_put(raw, buf_bytes(&c->in).p, used);
            buf_consume(&c->in, used);
            return true;
        }
        if (got == RESP_REPLY_BAD)
            return false;
        ssize_t n = recv(c->fd, buf_reserve(&c->in, 16384), 16384, 0);
        if (n <= 0)
            return false;
        buf_added(&c->in, (size_t)n);
    }
}

bool resp_client_call(struct resp_client *c, size_t argc, const struct bytes *argv, struct buf *raw)
{
    struct buf out = {0};
    resp_request_put(&out, argc, argv);
    bool ok = c->fd >= 0 && send_all(c->fd, buf_bytes(&out)) && receive(c, raw);
    buf_deinit(&out);
    if (!ok)
        resp_client_close(c);
    return ok;
}

bool resp_client_line(struct resp_client *c, const char *line, struct buf *text)
{
    struct bytes words[WORDS_MAX];
    size_t n = 0;
    for (const char *p = line + strspn(line, " "); *p != 0 && n < WORDS_MAX; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        words[n++] = bytes_of(p, len);
        p += len;
    }
    struct buf raw = {0};
    struct resp_reply r;
    size_t used;
    bool ok = resp_client_call(c, n, words, &raw);
    buf_clear(text);
    if (ok && resp_reply_read(buf_bytes(&raw), &r, &used) == RESP_REPLY_OK) {
        resp_reply_print(text, &r);
        resp_reply_deinit(&r);
    }
    buf_put_u8(text, 0);
    buf_deinit(&raw);
    return ok;
}
