/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/https.h"

#include "base/mem.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)

bool https_target_parse(const char *url, struct https_target *out)
{
    static const char scheme[] = "https://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *host = url + sizeof scheme - 1, *end = host + strcspn(host, "/");
    const char *colon = memchr(host, ':', (size_t)(end - host));
    size_t n = (size_t)((colon ? colon : end) - host);
    if (n == 0 || n >= sizeof out->host || (end[0] == '/' && end[1] != 0))
        return false;
    memcpy(out->host, host, n);
    out->host[n] = 0;
    out->port = 9443;
    if (colon != NULL) {
        char *rest = NULL;
        unsigned long port = strtoul(colon + 1, &rest, 10);
        if (rest != end || port == 0 || port > 65535)
            return false;
        out->port = (uint16_t)port;
    }
    return true;
}

void https_answer_deinit(struct https_answer *a) { buf_deinit(&a->body); }

static bool failed(struct https_answer *out, const struct https_target *t, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    snprintf(out->error, sizeof out->error, "https://%s:%u: %s%s%s", t->host, t->port, what,
             reason ? ": " : "", reason ? reason : "");
    return false;
}

static int dial(const struct https_target *t)
{
    char port[8];
    snprintf(port, sizeof port, "%u", t->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
    if (getaddrinfo(t->host, port, &hints, &list) != 0)
        return -1;
    struct timeval limit = {.tv_sec = t->timeout_s ? t->timeout_s : 30};
    int fd = -1;
    for (a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static void put_request(struct buf *b, const struct https_target *t, const char *method,
                        const char *path, const char *body)
{
    buf_putf(b,
             "%s %s HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\nAccept: application/json\r\n",
             method, path, t->host, t->port);
    if (t->user[0] != 0) {
        char plain[600];
        unsigned char coded[900];
        int n = snprintf(plain, sizeof plain, "%s:%s", t->user, t->password);
        EVP_EncodeBlock(coded, (const unsigned char *)plain, n);
        buf_putf(b, "Authorization: Basic %s\r\n", (const char *)coded);
    }
    if (body != NULL)
        buf_putf(b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    buf_put_str(b, "\r\n");
    if (body != NULL)
        buf_put_str(b, body);
}

/* Everything until the server closes: each call has a connection of its own. */
static bool exchange(SSL *ssl, struct buf *request, struct buf *raw)
{
    struct bytes r = buf_bytes(request);
    size_t done;
    if (SSL_write_ex(ssl, r.p, r.n, &done) != 1 || done != r.n)
        return false;
    while (buf_len(raw) <= ANSWER_MAX &&
           SSL_read_ex(ssl, buf_reserve(raw, 16384), 16384, &done) == 1)
        buf_added(raw, done);
    return buf_len(raw) > 0 && buf_len(raw) <= ANSWER_MAX;
}

static bool header_is(struct bytes line, const char *name, struct bytes *value)
{
    size_t n = strlen(name);
    if (line.n <= n || strncasecmp((const char *)line.p, name, n) != 0 || line.p[n] != ':')
        return false;
    *value = bytes_of(line.p + n + 1, line.n - n - 1);
    while (value->n > 0 && value->p[0] == ' ')
        *value = bytes_of(value->p + 1, value->n - 1);
    return true;
}

static bool take_line(struct bytes *in, struct bytes *line)
{
    const uint8_t *nl = in->n ? memchr(in->p, '\n', in->n) : NULL;
    if (nl == NULL)
        return false;
    size_t n = (size_t)(nl - in->p);
    *line = bytes_of(in->p, n > 0 && nl[-1] == '\r' ? n - 1 : n);
    *in = bytes_of(nl + 1, in->n - n - 1);
    return true;
}

static bool take_chunks(struct bytes in, struct buf *out)
{
    struct bytes line;
    while (take_line(&in, &line)) {
        size_t n = strtoul((const char *)line.p, NULL, 16);
        if (n == 0)
            return true;
        if (n > in.n)
            return false;
        buf_put(out, in.p, n);
        in = bytes_of(in.p + n, in.n - n);
        if (!take_line(&in, &line))
            return false;
    }
    return false;
}

static bool parse_answer(struct bytes in, struct https_answer *out)
{
    struct bytes line, value;
    bool chunked = false;
    if (!take_line(&in, &line) || line.n < 12 || memcmp(line.p, "HTTP/1.1 ", 9) != 0)
        return false;
    out->status = atoi((const char *)line.p + 9);
    while (take_line(&in, &line) && line.n > 0)
        if (header_is(line, "transfer-encoding", &value))
            chunked = bytes_is_nocase(value, "chunked");
    if (chunked)
        return take_chunks(in, &out->body);
    buf_put_bytes(&out->body, in);
    return out->status >= 100;
}

static bool talk(const struct https_target *t, SSL *ssl, int fd, struct buf *request,
                 struct https_answer *out)
{
    SSL_set_fd(ssl, fd);
    char sni[sizeof t->host]; /* OpenSSL's macro casts const away; it copies the name */
    memcpy(sni, t->host, sizeof sni);
    SSL_set_tlsext_host_name(ssl, sni);
    if (t->verify)
        SSL_set1_host(ssl, t->host);
    if (SSL_connect(ssl) != 1)
        return failed(out, t, "TLS handshake failed");
    struct buf raw = {0};
    bool ok = exchange(ssl, request, &raw) && parse_answer(buf_bytes(&raw), out);
    buf_deinit(&raw);
    SSL_shutdown(ssl);
    return ok || failed(out, t, "no usable answer");
}

bool https_call(const struct https_target *t, const char *method, const char *path,
                const char *body, struct https_answer *out)
{
    *out = (struct https_answer){0};
    ERR_clear_error();
    int fd = dial(t);
    if (fd < 0)
        return failed(out, t, "can't connect: is a node running there?");
    bool ok = false;
    struct buf request = {0};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    if (ctx == NULL)
        goto out;
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (t->verify) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        if (t->ca_file ? SSL_CTX_load_verify_locations(ctx, t->ca_file, NULL) != 1
                       : SSL_CTX_set_default_verify_paths(ctx) != 1) {
            failed(out, t, "the trusted certificates can't be read");
            goto out;
        }
    }
    ssl = SSL_new(ctx);
    put_request(&request, t, method, path, body);
    ok = ssl != NULL && talk(t, ssl, fd, &request, out);
out:
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    buf_deinit(&request);
    close(fd);
    if (!ok)
        out->status = 0;
    return ok;
}
