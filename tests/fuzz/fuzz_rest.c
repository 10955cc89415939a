/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/http1.h"
#include "api/http2.h"
#include "base/mem.h"
#include "manager/cluster.h"
#include "tests/fuzz/fuzz.h"

/* A connection to the REST API without its handlers: HTTP/1.1 or HTTP/2 in pieces; each body is
 * read as JSON and into the structs that bodies are read into. Answers come at once or after the
 * next piece. */
struct conn {
    struct buf out;
    struct exchange *waiting[HTTP_STREAMS_MAX + 8];
    unsigned n;
    bool late;
};

static struct buf *out_of(void *arg) { return &((struct conn *)arg)->out; }

static void answered(void *arg) { (void)arg; }

static void read_body(struct bytes b)
{
    json_t *body = json_loadb((const char *)b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
    struct refusal why;
    if (body == NULL)
        return;
    struct db_config *db = mem_zalloc(sizeof *db);
    struct crdb_config *crdb = mem_zalloc(sizeof *crdb);
    db_config_read(body, db, "", &why);
    if (crdb_config_read(body, crdb, &why))
        crdb_config_deinit(crdb);
    mem_free(db);
    mem_free(crdb);
    json_decref(body);
}

static void answer(struct exchange *x)
{
    x->status = 200;
    buf_put_str(&x->reply, "{}");
    exchange_answer(x);
}

static void request(void *arg, struct exchange *x)
{
    struct conn *c = arg;
    must(buf_len(&x->body) <= HTTP_BODY_MAX && buf_len(&x->target) <= HTTP_TARGET_MAX);
    read_body(buf_bytes(&x->body));
    if (!c->late) {
        answer(x);
        return;
    }
    must(c->n < sizeof c->waiting / sizeof *c->waiting);
    c->waiting[c->n++] = x;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct conn c = {0};
    struct http_sink sink = {.arg = &c, .request = request, .out = out_of, .answered = answered};
    uint8_t how = fuzz_byte(&in);
    size_t piece = how & 4 ? 1 + (how >> 3) : in.n + 1;
    struct http_codec *codec = how & 1 ? http2_new(&sink) : http1_new(&sink);
    c.late = how & 2;
    uint64_t us = 1;
    while (in.n > 0 && !codec->closing) {
        struct moment now = {.mono_us = us++};
        codec->ops->input(codec, fuzz_take(&in, piece), now);
        while (c.n > 0)
            answer(c.waiting[--c.n]);
        buf_clear(&c.out);
        codec->ops->drained(codec);
    }
    codec->ops->free(codec);
    buf_deinit(&c.out);
    return 0;
}
