/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/resp.h"
#include "base/resp_reply.h"
#include "tests/fuzz/fuzz.h"

static const struct resp_limits limits = {.bulk_max = 1000, .args_max = 100, .query_max = 5000};

/* Reads requests and appends what was found to `out`; the input arrives in pieces of `piece` bytes,
 * each time in a new place, as a growing buffer would move it. */
static void requests(struct bytes in, size_t piece, struct buf *out)
{
    struct resp r = {0};
    struct resp_args args = {0};
    uint8_t *copy = NULL;
    size_t here = piece < in.n ? piece : in.n;
    enum resp_result result = RESP_MORE;
    for (;;) {
        uint8_t *moved = mem_dup(in.p, here);
        mem_free(copy);
        copy = moved;
        result = resp_parse(&r, bytes_of(copy, here), &limits, &args);
        if (result == RESP_MORE && here < in.n) {
            here += in.n - here < piece ? in.n - here : piece;
            continue;
        }
        if (result != RESP_DONE)
            break;
        must(r.used > 0 && r.used <= here);
        for (uint32_t i = 0; i < r.argc; i++) {
            buf_put_bytes(out, args.at[r.first + i]);
            buf_put_u8(out, '|');
        }
        buf_put_u8(out, '\n');
        in = bytes_of(in.p + r.used, in.n - r.used);
        here -= r.used;
        if (here < piece)
            here = piece < in.n ? piece : in.n;
        resp_args_clear(&args);
        r = (struct resp){0};
    }
    if (result == RESP_BAD) {
        must(strlen(r.why) > 0);
        buf_put_str(out, r.why);
    }
    resp_args_deinit(&args);
    mem_free(copy);
}

static void replies(struct bytes in)
{
    struct resp_reply r;
    size_t used = 0;
    uint8_t type;
    struct buf text = {0};
    resp_header(in, &type, &used);
    must(resp_value_len(in) <=
         in.n); /* for well-formed replies only: finds other ends than the reader on others */
    if (resp_reply_read(in, &r, &used) == RESP_REPLY_OK) {
        must(used > 0 && used <= in.n);
        resp_reply_print(&text, &r);
        resp_reply_deinit(&r);
    }
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, pieces = {0};
    struct bytes in = bytes_of(data, size);
    size_t piece = 1 + fuzz_byte(&in) % 40u;
    requests(in, in.n + 1, &whole);
    requests(in, piece, &pieces);
    must(bytes_eq(buf_bytes(&whole), buf_bytes(&pieces)));
    replies(in);
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}
