/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/wire.h"
#include "tests/fuzz/fuzz.h"

enum { FIRST = 8, COUNT = 4 };

/* A frame that was read goes to another end and must arrive there the same. */
static void echo(struct wire_coder *out, struct wire_coder *in, const struct frame *f)
{
    struct buf b = {0};
    struct frame g;
    uint8_t kind;
    struct bytes body;
    size_t used;
    wire_put_frame(&b, out, f);
    must(wire_get(buf_bytes(&b), &kind, &body, &used) == WIRE_OK && used == buf_len(&b));
    must(wire_get_frame(in, kind, body, &g));
    must(g.partition == f->partition && g.prev == f->prev && g.first == f->first &&
         g.last == f->last);
    must(g.wall_ms == f->wall_ms && g.flags == f->flags && g.ops_count == f->ops_count);
    must(g.deps_count == f->deps_count && bytes_eq(g.ops, f->ops));
    must(f->deps_count == 0 || memcmp(g.deps, f->deps, f->deps_count * sizeof *f->deps) == 0);
    buf_deinit(&b);
}

static void link_bytes(struct bytes in)
{
    struct wire_coder a, b, c;
    struct frame f;
    uint8_t kind;
    struct bytes body;
    size_t used;
    wire_coder_init(&a, FIRST, COUNT);
    wire_coder_init(&b, FIRST, COUNT);
    wire_coder_init(&c, FIRST, COUNT);
    while (wire_get(in, &kind, &body, &used) == WIRE_OK) {
        must(used > 0 && used <= in.n);
        if (kind >= WIRE_FRAME) {
            if (!wire_get_frame(&a, kind, body, &f))
                break;
            must(f.partition >= FIRST && f.partition < FIRST + COUNT);
            must(f.prev < f.first && f.first <= f.last);
            echo(&b, &c, &f);
        }
        in = bytes_of(in.p + used, in.n - used);
    }
    wire_coder_deinit(&a);
    wire_coder_deinit(&b);
    wire_coder_deinit(&c);
}

static void opening(struct bytes in)
{
    struct handshake hs;
    struct wire_hello h = {0}, again = {0};
    size_t used;
    enum err why;
    char text[80];
    enum handshake_result r = syncer_handshake(in, &hs);
    must(r != HANDSHAKE_OK || hs.used <= in.n);
    if (wire_get_hello(in, &h, &used) == HANDSHAKE_OK) {
        struct buf out = {0};
        wire_put_hello(&out, &h);
        must(wire_get_hello(buf_bytes(&out), &again, &used) == HANDSHAKE_OK);
        must(used == buf_len(&out) && again.version == h.version &&
             strcmp(again.guid, h.guid) == 0);
        buf_deinit(&out);
    }
    wire_get_welcome(in, &h);
    if (wire_get_refuse(in, &why, text, sizeof text))
        must(strlen(text) < sizeof text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    opening(bytes_of(data, size));
    link_bytes(bytes_of(data, size));
    return 0;
}
