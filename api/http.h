/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_API_HTTP_H
#define MERIDIAN_API_HTTP_H

#include "base/buf.h"
#include "base/port.h"

/*
 * HTTP without a network: what the two codecs (http1.h, http2.h) have in common. A codec turns
 * bytes into exchanges and hands each, once it is whole, to the sink; the sink answers it with
 * exchange_answer, at once or later, exactly once.
 */
#define HTTP_HEADER_MAX 16384u /* names and values of one request */
#define HTTP_TARGET_MAX 4096u
#define HTTP_BODY_MAX (16u << 20)
#define HTTP_BODY_STRANGER 4096u /* of who has shown no good credentials */
#define HTTP_STREAMS_MAX 100u
#define HTTP_INPUT_MAX (64u << 10) /* pipelined bytes kept while a request is being answered */

enum http_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_OTHER,
};
enum http_method http_method_of(struct bytes name);
const char *http_method_name(enum http_method m);
const char *http_reason(int status); /* "Not Found" */

struct http_codec;

/* One request and its answer. The codec owns it, but for the time between `request` and
 * exchange_answer. */
struct exchange {
    struct exchange *next;    /* the codec's */
    struct http_codec *codec; /* NULL: the client has gone; the answer is thrown away */
    int32_t stream;           /* HTTP/2 */
    enum http_method method;
    struct buf target; /* as sent, path and query */
    struct buf authorization, task_id, result_ttl;
    struct buf body;
    size_t header_bytes;
    size_t body_max; /* HTTP_BODY_MAX unless `admit` said less; beyond: 413, or 401 for strangers */
    bool handed, answered;
    int refused; /* status that the codec itself answers with */
    int status;
    struct buf reply;
    const char *content_type; /* static; NULL: JSON */
    char allow[64];           /* of the answer: 405 and OPTIONS */
    uint64_t state_id;
    size_t sent;
};

struct http_sink {
    void *arg;
    /* The headers are there and a body may follow: may set body_max. NULL: everybody may send the
     * most. */
    void (*admit)(void *arg, struct exchange *x);
    void (*request)(void *arg, struct exchange *taken);
    struct buf *(*out)(void *arg); /* where bytes for the client go; NULL: it has gone */
    void (*answered)(void *arg);   /* an exchange was answered outside of the codec's input */
};

struct http_codec {
    const struct http_codec_ops *ops;
    struct http_sink sink;
    struct exchange *open; /* all that are not freed yet and are this connection's */
    bool closing;          /* close when what was written is sent */
};

struct http_codec_ops {
    /* Takes bytes (may be none: goes on with what was kept). */
    void (*input)(struct http_codec *c, struct bytes in, struct moment now);
    void (*answer)(struct http_codec *c, struct exchange *x);
    void (*drained)(struct http_codec *c); /* there is room for output again */
    void (*goodbye)(
        struct http_codec *c); /* no new requests; ends when the open ones are answered */
    bool (*idle)(const struct http_codec *c); /* no request is under way */
    void (*free)(struct http_codec *c);
};

struct exchange *exchange_new(struct http_codec *c);
void exchange_free(struct exchange *x);
/* Sends the answer: status, reply, allow are filled in. `x` is the codec's (or gone) afterwards. */
void exchange_answer(struct exchange *x);
/* A header that somebody here looks at is kept, others are only counted. False: too many bytes. */
bool exchange_header(struct exchange *x, struct bytes name, struct bytes value);
/* The status for a body that is too large for its sender. */
static inline int exchange_too_big(const struct exchange *x)
{
    return x->body_max < HTTP_BODY_MAX ? 401 : 413;
}
/* Fills the answer with an error in the API's form. */
void exchange_refuse(struct exchange *x, int status, const char *code, const char *text);
/* At a codec's end: open exchanges are freed, or cut off when they are being answered. */
void http_codec_cut(struct http_codec *c);

#endif
