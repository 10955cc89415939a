/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_TLS_H
#define MERIDIAN_IO_TLS_H

#include "base/port.h"

#include <openssl/types.h>

#include <sys/types.h>

struct tls_context;

/*
 * TLS as a filter between buffers, without a socket: ciphertext is lent with tls_lend and read in
 * place, ciphertext to send is appended to `sink`. OpenSSL is reached through a BIO of our own, so
 * nothing is copied twice.
 */
struct tls {
    SSL *ssl;
    struct tls_context *ctx; /* one reference */
    const uint8_t *in;       /* borrowed ciphertext, tls_lend .. tls_keep */
    size_t in_n;
    struct buf left;  /* ciphertext that was not used when its loan ended */
    struct buf plain; /* what the machine wants sent */
    struct buf *sink; /* where ciphertext goes; kept */
    char detail[160]; /* why it failed, for people */
    bool ready;       /* the handshake is done */
};

#define TLS_PEM_MAX (1u << 20) /* for each of the texts of struct tls_opts */

enum tls_result { TLS_DONE, TLS_MORE, TLS_BAD };

/*
 * Settings made from struct tls_opts, for listening and dialling; shared by the connections made
 * with them, which may outlive it and run in other threads. NULL and the reason in `why`.
 */
struct tls_context *tls_context_new(const struct tls_opts *o, char *why, size_t why_size);
void tls_context_free(struct tls_context *ctx); /* drops one reference; NULL is allowed */

/* server_name: SNI and the name (or address) the peer's certificate must show; unused for a server.
 */
struct tls *tls_new(struct tls_context *ctx, bool server, const char *server_name);
void tls_free(struct tls *t);
void tls_lend(struct tls *t, struct bytes cipher); /* what was left goes first */
void tls_keep(struct tls *t);                      /* ends the loan: the rest is copied */
bool tls_has_input(
    const struct tls *t); /* is there anything that tls_read could make progress with? */
enum tls_result tls_handshake(struct tls *t);
/* Decrypts as much as fits. > 0 bytes, 0 needs more input, -1 closed by the peer, -2 failed
 * (detail). */
ssize_t tls_read(struct tls *t, uint8_t *out, size_t size);
/* Encrypts all of `plain` into `sink`. Only after the handshake. False: failed (detail). */
bool tls_write(struct tls *t);
void tls_close(struct tls *t); /* appends close_notify to the sink */
size_t tls_alpn(const struct tls *t, char *out, size_t size);

#endif
