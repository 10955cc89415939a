/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/stability.h"
#include "tests/fuzz/fuzz.h"

/* A context, then news, as they come from a peer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mp m = mp_read(bytes_of(data, size));
    struct context vv = {0}, out = {0};
    struct stability *s = stability_new(1);
    stability_regions(s, (const uint8_t[]){1, 2, 3}, 3);
    stability_begin(s, 1, NULL);
    bool news = false;
    if (context_decode(&m, &vv)) {
        struct buf b = {0};
        context_encode(&b, &vv);
        struct mp back = mp_read(buf_bytes(&b));
        must(context_decode(&back, &out) && mp_done(&back) && context_eq(&vv, &out));
        buf_deinit(&b);
        stability_claim(s, 2, &vv);
        stability_claim(s, 67, &vv);
        stability_claim(s, 3, &vv);
    }
    while (m.p < m.end && stability_decode_news(&m, s, &vv, &news)) {
        stability_save(s, &vv);
        stability_stable(s, &vv, &out);
        must(context_le(&out, &vv));
        stability_known(s, &out);
        stability_laggard(s, &vv);
    }
    struct buf b = {0}, again = {0};
    stability_encode_news(&b, s);
    struct stability *t = stability_new(1);
    struct mp back = mp_read(buf_bytes(&b));
    must(stability_decode_news(&back, t, &vv, &news) && mp_done(&back));
    stability_encode_news(&again, t);
    must(bytes_eq(buf_bytes(&b), buf_bytes(&again)));
    stability_free(s);
    stability_free(t);
    context_deinit(&vv);
    context_deinit(&out);
    buf_deinit(&b);
    buf_deinit(&again);
    return 0;
}
