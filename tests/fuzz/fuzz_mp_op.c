/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/op.h"
#include "tests/fuzz/fuzz.h"

/* Operations one after the other, as a frame holds them. What is read must come out the same after
 * it was written, and skipping must find the same ends as reading. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mp m = mp_read(bytes_of(data, size));
    struct op op, again;
    struct buf one = {0}, two = {0};
    stamp_t base = 0;
    while (m.p < m.end) {
        struct mp skip = m;
        mp_skip(&skip);
        if (!op_decode(&m, &op, base))
            break;
        must(!skip.bad && skip.p == m.p);
        must(op.stamp > base);
        buf_clear(&one);
        buf_clear(&two);
        op_encode(&one, &op, base);
        struct mp back = mp_read(buf_bytes(&one));
        must(op_decode(&back, &again, base) && mp_done(&back));
        op_encode(&two, &again, base);
        must(bytes_eq(buf_bytes(&one), buf_bytes(&two)));
        base = op.stamp;
    }
    buf_deinit(&one);
    buf_deinit(&two);
    return 0;
}
