/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/tls.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>

#define ALPN_MAX 64u
#define RECORD_MAX 16384u

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bio;
    atomic_uint refs;
    unsigned alpn_n;
    uint8_t alpn[ALPN_MAX]; /* length-prefixed names */
};

/* ---- the BIO: reads from the loan, writes to the sink, blocks never ---- */

static int bio_read(BIO *b, char *out, size_t size, size_t *used)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    size_t n = t->in_n < size ? t->in_n : size;
    if (n == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(out, t->in, n);
    t->in += n;
    t->in_n -= n;
    *used = n;
    return 1;
}

static int bio_write(BIO *b, const char *p, size_t n, size_t *used)
{
    struct tls *t = BIO_get_data(b);
    buf_put(t->sink, p, n);
    *used = n;
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long arg, void *ptr)
{
    (void)b;
    (void)arg;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP ? 1 : 0;
}

static BIO_METHOD *bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "meridian");
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
}

/* ---- context ---- */

static void say(char *why, size_t size, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    snprintf(why, size, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
}

/* A certificate, then the chain behind it. */
static bool use_cert(SSL_CTX *ctx, struct bytes pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL);
    bool ok = x != NULL && SSL_CTX_use_certificate(ctx, x) == 1;
    X509_free(x);
    while (ok && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL)
        ok = SSL_CTX_add0_chain_cert(ctx, x) == 1;
    if (ok)
        ERR_clear_error(); /* the end of the text counts as an error */
    BIO_free(b);
    return ok;
}

static bool use_key(SSL_CTX *ctx, struct bytes pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    bool ok = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(b);
    return ok;
}

static bool use_ca(SSL_CTX *ctx, struct bytes pem)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    unsigned n = 0;
    X509 *x;
    while ((x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
        if (X509_STORE_add_cert(store, x) == 1)
            n++;
        SSL_CTX_add_client_CA(ctx, x);
        X509_free(x);
    }
    if (n > 0)
        ERR_clear_error();
    BIO_free(b);
    return n > 0;
}

/* "h2,http/1.1" to length-prefixed names. Returns the length, 0 if it is not usable. */
static unsigned alpn_encode(const char *list, uint8_t out[ALPN_MAX])
{
    unsigned n = 0;
    while (*list) {
        size_t len = strcspn(list, ",");
        if (len == 0 || len > 63 || n + 1 + len > ALPN_MAX)
            return 0;
        out[n++] = (uint8_t)len;
        memcpy(out + n, list, len);
        n += (unsigned)len;
        list += len + (list[len] == ',');
    }
    return n;
}

/* The server's order decides; no common protocol is no reason to refuse (plain Redis clients offer
 * none). */
static int alpn_choose(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *arg)
{
    (void)ssl;
    const struct tls_context *c = arg;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_n, c->alpn, c->alpn_n, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool use_alpn(struct tls_context *c, const char *list)
{
    c->alpn_n = alpn_encode(list, c->alpn);
    if (c->alpn_n == 0 || SSL_CTX_set_alpn_protos(c->ssl, c->alpn, c->alpn_n) != 0)
        return false;
    SSL_CTX_set_alpn_select_cb(c->ssl, alpn_choose, c);
    return true;
}

/* What is wrong with the settings; NULL: nothing. */
static const char *context_fill(struct tls_context *c, const struct tls_opts *o)
{
    if (o->cert_pem.n > 0) {
        if (!use_cert(c->ssl, o->cert_pem))
            return "certificate: not a PEM certificate";
        if (!use_key(c->ssl, o->key_pem) || SSL_CTX_check_private_key(c->ssl) != 1)
            return "key: not the certificate's private key in PEM";
    }
    if (o->ca_pem.n > 0 && !use_ca(c->ssl, o->ca_pem))
        return "trusted certificates: not PEM";
    if (o->ca_pem.n == 0 && o->verify_peer && SSL_CTX_set_default_verify_paths(c->ssl) != 1)
        return "the system's trusted certificates cannot be read";
    if (o->alpn != NULL && o->alpn[0] != 0 && !use_alpn(c, o->alpn))
        return "protocol list: names of 1 to 63 characters, separated by commas";
    return NULL;
}

static struct tls_context *context_make(void)
{
    struct tls_context *c = mem_zalloc(sizeof *c);
    atomic_init(&c->refs, 1);
    c->bio = bio_method();
    c->ssl = SSL_CTX_new(TLS_method());
    if (c->ssl == NULL)
        return c;
    SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(c->ssl, (const uint8_t *)"meridian", 8);
    return c;
}

struct tls_context *tls_context_new(const struct tls_opts *o, char *why, size_t why_size)
{
    ERR_clear_error();
    if (o->cert_pem.n > TLS_PEM_MAX || o->key_pem.n > TLS_PEM_MAX || o->ca_pem.n > TLS_PEM_MAX) {
        snprintf(why, why_size, "certificates: larger than %u bytes", TLS_PEM_MAX);
        return NULL;
    }
    struct tls_context *c = context_make();
    const char *bad = "OpenSSL";
    if (c->ssl != NULL) {
        int verify =
            o->verify_peer ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE;
        SSL_CTX_set_verify(c->ssl, verify, NULL);
        bad = context_fill(c, o);
    }
    if (bad != NULL) {
        say(why, why_size, bad);
        tls_context_free(c);
        return NULL;
    }
    return c;
}

void tls_context_free(struct tls_context *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    mem_free(c);
}

/* ---- one connection ---- */

static void set_name(SSL *ssl, const char *name)
{
    uint8_t addr[16];
    if (inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name); /* RFC 6066: no address in SNI */
        return;
    }
    char sni[256]; /* OpenSSL's macro casts const away; it copies the name */
    snprintf(sni, sizeof sni, "%s", name);
    SSL_set_tlsext_host_name(ssl, sni);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, name);
}

struct tls *tls_new(struct tls_context *ctx, bool server, const char *server_name)
{
    struct tls *t = mem_zalloc(sizeof *t);
    t->ctx = ctx;
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    t->ssl = SSL_new(ctx->ssl);
    BIO *b = BIO_new(ctx->bio);
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(t->ssl, b, b);
    if (server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    if (!server && server_name != NULL && server_name[0] != 0)
        set_name(t->ssl, server_name);
    return t;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    tls_context_free(t->ctx);
    buf_deinit(&t->left);
    buf_deinit(&t->plain);
    mem_free(t);
}

void tls_lend(struct tls *t, struct bytes cipher)
{
    if (buf_len(&t->left) > 0) {
        buf_put_bytes(&t->left, cipher);
        cipher = buf_bytes(&t->left);
    }
    t->in = cipher.p;
    t->in_n = cipher.n;
}

void tls_keep(struct tls *t)
{
    if (t->in == NULL)
        return;
    if (buf_len(&t->left) > 0)
        buf_consume(&t->left, buf_len(&t->left) - t->in_n);
    else
        buf_put(&t->left, t->in, t->in_n);
    if (buf_len(&t->left) == 0)
        buf_deinit(&t->left);
    t->in = NULL;
    t->in_n = 0;
}

bool tls_has_input(const struct tls *t)
{
    return t->in_n > 0 || buf_len(&t->left) > 0 || SSL_has_pending(t->ssl);
}

static void explain(struct tls *t)
{
    long v = SSL_get_verify_result(t->ssl);
    if (v != X509_V_OK) {
        snprintf(t->detail, sizeof t->detail, "the peer's certificate: %s",
                 X509_verify_cert_error_string(v));
        ERR_clear_error();
        return;
    }
    say(t->detail, sizeof t->detail, "TLS");
}

enum tls_result tls_handshake(struct tls *t)
{
    ERR_clear_error();
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        t->ready = true;
        return TLS_DONE;
    }
    if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ)
        return TLS_MORE;
    explain(t);
    return TLS_BAD;
}

ssize_t tls_read(struct tls *t, uint8_t *out, size_t size)
{
    size_t n = 0;
    while (n < size) {
        size_t got;
        ERR_clear_error();
        int r = SSL_read_ex(t->ssl, out + n, size - n, &got);
        if (r == 1) {
            n += got;
            continue;
        }
        int e = SSL_get_error(t->ssl, r);
        if (e == SSL_ERROR_WANT_READ || n > 0)
            break; /* an error comes again with the next call, after what was read before it */
        if (e == SSL_ERROR_ZERO_RETURN)
            return -1;
        explain(t);
        return -2;
    }
    return (ssize_t)n;
}

bool tls_write(struct tls *t)
{
    while (buf_len(&t->plain) > 0) {
        size_t n = buf_len(&t->plain), done;
        ERR_clear_error();
        int r = SSL_write_ex(t->ssl, t->plain.p + t->plain.head, n < RECORD_MAX ? n : RECORD_MAX,
                             &done);
        if (r != 1) {
            explain(t);
            return false;
        }
        buf_consume(&t->plain, done);
    }
    return true;
}

void tls_close(struct tls *t)
{
    ERR_clear_error();
    if (t->ready)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

size_t tls_alpn(const struct tls *t, char *out, size_t size)
{
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &name, &n);
    if (size == 0)
        return 0;
    if (n > size - 1)
        n = (unsigned)(size - 1);
    if (n > 0)
        memcpy(out, name, n);
    out[n] = 0;
    return n;
}
