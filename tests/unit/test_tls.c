/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "io/cert.h"
#include "io/tls.h"

#include <criterion/criterion.h>

/* Two ends joined by buffers. */
struct pair {
    struct tls_context *server_ctx, *client_ctx;
    struct tls *server, *client;
    struct buf to_server, to_client, cert, key;
};

static const char *const names[] = {"db.example", "127.0.0.1", NULL};

static void pair_open(struct pair *p, const char *name, const char *server_alpn,
                      const char *client_alpn)
{
    *p = (struct pair){0};
    char why[160] = "";
    cr_assert_eq(cert_self_signed("db.example", names, &p->cert, &p->key), 0);
    struct tls_opts so = {
        .cert_pem = buf_bytes(&p->cert), .key_pem = buf_bytes(&p->key), .alpn = server_alpn};
    struct tls_opts co = {.ca_pem = buf_bytes(&p->cert), .verify_peer = true, .alpn = client_alpn};
    p->server_ctx = tls_context_new(&so, why, sizeof why);
    cr_assert(p->server_ctx, "%s", why);
    p->client_ctx = tls_context_new(&co, why, sizeof why);
    cr_assert(p->client_ctx, "%s", why);
    p->server = tls_new(p->server_ctx, true, NULL);
    p->client = tls_new(p->client_ctx, false, name);
    p->server->sink = &p->to_client;
    p->client->sink = &p->to_server;
}

static void pair_close(struct pair *p)
{
    tls_free(p->server);
    tls_free(p->client);
    tls_context_free(p->server_ctx);
    tls_context_free(p->client_ctx);
    buf_deinit(&p->to_server);
    buf_deinit(&p->to_client);
    buf_deinit(&p->cert);
    buf_deinit(&p->key);
}

/* Gives an end what waits for it, `step` bytes at a time. */
static enum tls_result feed(struct tls *t, struct buf *in, size_t step)
{
    enum tls_result r = TLS_MORE;
    do {
        size_t n = buf_len(in) < step ? buf_len(in) : step;
        tls_lend(t, bytes_of(in->p + in->head, n));
        r = tls_handshake(t);
        tls_keep(t);
        buf_consume(in, n);
    } while (r == TLS_MORE && buf_len(in) > 0);
    return r;
}

/* Returns false and leaves the reason in the ends' details when one refuses. */
static bool shake(struct pair *p, size_t step)
{
    enum tls_result c = TLS_MORE, s = TLS_MORE;
    for (unsigned i = 0; i < 20 && (c == TLS_MORE || s == TLS_MORE); i++) {
        c = feed(p->client, &p->to_client, step);
        s = feed(p->server, &p->to_server, step);
    }
    return c == TLS_DONE && s == TLS_DONE;
}

Test(tls, carries_bytes_however_they_are_cut)
{
    struct pair p;
    pair_open(&p, "db.example", NULL, NULL);
    cr_assert(shake(&p, 7), "%s / %s", p.client->detail, p.server->detail);
    uint8_t *sent = mem_alloc(100000), *got = mem_alloc(100000);
    for (size_t i = 0; i < 100000; i++)
        sent[i] = (uint8_t)(i * 31);
    buf_put(&p.client->plain, sent, 100000);
    cr_assert(tls_write(p.client));
    size_t n = 0;
    while (buf_len(&p.to_server) > 0) {
        size_t cut = buf_len(&p.to_server) < 1111 ? buf_len(&p.to_server) : 1111;
        tls_lend(p.server, bytes_of(p.to_server.p + p.to_server.head, cut));
        ssize_t r;
        while ((r = tls_read(p.server, got + n, 100000 - n)) > 0)
            n += (size_t)r;
        cr_assert_eq(r, 0);
        tls_keep(p.server);
        buf_consume(&p.to_server, cut);
    }
    cr_assert_eq(n, 100000);
    cr_assert_arr_eq(sent, got, 100000);
    mem_free(sent);
    mem_free(got);
    pair_close(&p);
}

Test(tls, keeps_what_was_not_read)
{
    struct pair p;
    pair_open(&p, "db.example", NULL, NULL);
    cr_assert(shake(&p, SIZE_MAX));
    for (unsigned i = 0; i < 3; i++) {
        buf_put_str(&p.client->plain, "record");
        cr_assert(tls_write(p.client));
    }
    uint8_t got[32];
    tls_lend(p.server, buf_bytes(&p.to_server));
    cr_assert_eq(tls_read(p.server, got, 6), 6);
    tls_keep(p.server);
    buf_clear(&p.to_server);
    cr_assert(tls_has_input(p.server));
    tls_keep(p.server); /* a second time changes nothing */
    tls_lend(p.server, bytes_of(NULL, 0));
    cr_assert_eq(tls_read(p.server, got, sizeof got), 12);
    cr_assert_eq(tls_read(p.server, got, sizeof got), 0);
    tls_keep(p.server);
    cr_assert(!tls_has_input(p.server));
    pair_close(&p);
}

Test(tls, says_when_the_peer_has_closed)
{
    struct pair p;
    uint8_t got[8];
    pair_open(&p, "db.example", NULL, NULL);
    cr_assert(shake(&p, SIZE_MAX));
    buf_put_str(&p.client->plain, "bye");
    cr_assert(tls_write(p.client));
    tls_close(p.client);
    tls_lend(p.server, buf_bytes(&p.to_server));
    cr_assert_eq(tls_read(p.server, got, sizeof got), 3);
    cr_assert_eq(tls_read(p.server, got, sizeof got), -1);
    tls_keep(p.server);
    pair_close(&p);
}

Test(tls, verifies_names_and_addresses)
{
    static const struct {
        const char *name;
        bool good;
    } cases[] = {
        {"db.example", true}, {"127.0.0.1", true}, {"other.example", false}, {"127.0.0.2", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p;
        pair_open(&p, cases[i].name, NULL, NULL);
        cr_assert_eq(shake(&p, SIZE_MAX), cases[i].good, "%s: %s", cases[i].name, p.client->detail);
        if (!cases[i].good)
            cr_assert(strstr(p.client->detail, "certificate"), "%s", p.client->detail);
        pair_close(&p);
    }
}

Test(tls, agrees_on_a_protocol_in_the_servers_order)
{
    struct pair p;
    char name[16];
    pair_open(&p, "db.example", "h2,http/1.1", "http/1.1,h2");
    cr_assert(shake(&p, SIZE_MAX));
    cr_assert_eq(tls_alpn(p.client, name, sizeof name), 2);
    cr_assert_str_eq(name, "h2");
    pair_close(&p);
    pair_open(&p, "db.example", "h2", NULL);
    cr_assert(shake(&p, SIZE_MAX));
    cr_assert_eq(tls_alpn(p.server, name, sizeof name), 0);
    cr_assert_str_eq(name, "");
    pair_close(&p);
}

Test(tls, refuses_garbage_with_a_reason)
{
    struct pair p;
    pair_open(&p, "db.example", NULL, NULL);
    tls_lend(p.server, bytes_str("*1\r\n$4\r\nPING\r\n"));
    cr_assert_eq(tls_handshake(p.server), TLS_BAD);
    cr_assert_gt(strlen(p.server->detail), 5);
    tls_keep(p.server);
    pair_close(&p);
}

Test(tls, refuses_bad_settings_with_a_reason)
{
    struct buf cert = {0}, key = {0}, other = {0}, other_key = {0};
    cr_assert_eq(cert_self_signed("a", names, &cert, &key), 0);
    cr_assert_eq(cert_self_signed("b", names, &other, &other_key), 0);
    const struct {
        struct tls_opts o;
        const char *says;
    } cases[] = {
        {{.cert_pem = bytes_str("nonsense"), .key_pem = buf_bytes(&key)}, "certificate"},
        {{.cert_pem = buf_bytes(&cert), .key_pem = bytes_str("nonsense")}, "key"},
        {{.cert_pem = buf_bytes(&cert), .key_pem = buf_bytes(&other_key)}, "key"},
        {{.ca_pem = bytes_str("nonsense")}, "trusted certificates"},
        {{.alpn = ",h2"}, "protocol list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[160] = "";
        cr_assert_null(tls_context_new(&cases[i].o, why, sizeof why));
        cr_assert(strstr(why, cases[i].says), "%s", why);
    }
    buf_deinit(&cert);
    buf_deinit(&key);
    buf_deinit(&other);
    buf_deinit(&other_key);
}

Test(cert, refuses_names_that_would_forge_others)
{
    static const char *const bad[] = {"a,IP:1.2.3.4", NULL};
    struct buf cert = {0}, key = {0};
    cr_assert_eq(cert_self_signed("a", bad, &cert, &key), -1);
    cr_assert_eq(buf_len(&cert) + buf_len(&key), 0);
}
