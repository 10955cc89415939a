/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/batch.h"
#include "migrate/effect.h"
#include "migrate/psync.h"
#include "migrate/uri.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

/* What a source sends, in pieces of `piece` bytes: what it comes to goes to `out`, the commands as
 * a follower would send them on. */
static void follow(struct bytes in, size_t piece, struct buf *out)
{
    struct psync p = {0};
    struct psync_event ev = {.kind = PSYNC_REPLY};
    struct effect_state s = {.chosen = 0, .selected = 0};
    struct effect_out o;
    struct batch b = {0};
    uint64_t offset = 100;
    while (ev.kind != PSYNC_BAD) {
        psync_next(&p, &ev);
        if (ev.kind == PSYNC_MORE) {
            if (in.n == 0)
                break;
            psync_push(&p, fuzz_take(&in, piece));
            continue;
        }
        if (ev.kind != PSYNC_DATA && ev.kind != PSYNC_COMMAND)
            buf_putf(out, "%d ", (int)ev.kind);
        buf_put_bytes(out, ev.text);
        if (ev.kind == PSYNC_REPLY && ev.text.p[0] == '+' && ev.text.n > 3)
            ev.text.p[1] == 'C' ? psync_commands(&p, offset) : psync_snapshot(&p);
        else if (ev.kind == PSYNC_LOADED)
            psync_commands(&p, offset);
        if (ev.kind != PSYNC_COMMAND)
            continue;
        must(ev.offset == offset + ev.text.n);
        offset = ev.offset;
        enum effect e = ev.argc > 0 ? effect_of(&s, ev.argc, ev.argv, &o) : EFFECT_NONE;
        must(e != EFFECT_BAD || o.why != NULL);
        if (e == EFFECT_PASS || e == EFFECT_APART)
            batch_add(&b, e == EFFECT_APART, o.argc, o.argv);
    }
    struct batch_round r = {0};
    char name[100];
    batch_make_round(&b, &(struct mark){.state = MARK_AT, .offset = offset}, false, &r);
    for (unsigned i = 0, n; i < r.replies && i < 20; i++) {
        enum batch_part part = batch_round_part(&r, i, &n);
        if (part == BATCH_APART || part == BATCH_QUEUED)
            batch_round_name(&r, part == BATCH_APART, n, name, sizeof name);
    }
    buf_put_bytes(out, buf_bytes(&r.requests));
    batch_round_deinit(&r);
    batch_deinit(&b);
    psync_deinit(&p);
}

/* A mark and a URI that are taken are written and read as the same. */
static void texts(struct bytes in)
{
    struct mark m, again;
    struct redis_uri u;
    const char *why = NULL;
    char text[300];
    if (mark_read(in, &m)) {
        struct buf b = {0};
        mark_put(&b, &m);
        must(mark_read(buf_bytes(&b), &again) && again.offset == m.offset && again.db == m.db);
        buf_deinit(&b);
    }
    snprintf(text, sizeof text, "%.*s", in.n < 299 ? (int)in.n : 299,
             in.n > 0 ? (const char *)in.p : "");
    must(redis_uri_read(text, &u, &why) || why != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct buf whole = {0}, pieces = {0};
    size_t piece = 1 + fuzz_byte(&in) % 50u;
    follow(in, in.n + 1, &whole);
    follow(in, piece, &pieces);
    must(bytes_eq(buf_bytes(&whole), buf_bytes(&pieces)));
    texts(in);
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}
