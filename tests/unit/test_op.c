/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/op.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/rng.h"
#include "crdt/patch.h"
#include "crdt/position.h"
#include "crdt/stream_name.h"

#define BASE stamp_make(1000, 1, 5)

static bool decode(struct bytes s, struct op *op)
{
    struct mp m = mp_read(s);
    return op_decode(&m, op, BASE) && mp_done(&m);
}

static struct op sample(uint8_t kind, struct buf *position)
{
    static const uint8_t pairs[] = {0, 3, 7, 1, 0, 50};
    struct op op = {.stamp = BASE + (3 << 10), .kind = kind, .num = -77, .real = 0.1L};
    op.key = bytes_str("key");
    op.elem = bytes_str("element");
    op.val = bytes_str("value");
    if (kind == OP_PFADD)
        op.val = bytes_of(pairs, sizeof pairs);
    if (kind >= OP_XADD && kind <= OP_XTRIM) {
        uint8_t room[STREAM_ENTRY_NAME_MAX];
        op.elem = stream_entry_name(room, 3, (struct stream_id){.ms = 1700000000000, .seq = 7});
        buf_put_bytes(position, op.elem);
        op.elem = buf_bytes(position);
        /* added 5; one pair: f, value */
        op.val = kind == OP_XADD ? bytes_str("\5\1\1f\5value") : bytes_str("\1\1f\5value");
    }
    if (kind == OP_LINS || kind == OP_LREM) {
        position_put(position, (struct position_step){.base = -4, .run = BASE, .offset = 2});
        op.elem = buf_bytes(position);
    }
    if (kind == OP_PATCH) {
        patch_put(buf_reserve(position, PATCH_HEAD),
                  (struct patch){.base = BASE - 1024, .offset = 70000});
        buf_added(position, PATCH_HEAD);
        op.elem = buf_bytes(position);
    }
    return op;
}

Test(op, every_kind_survives_its_encoding)
{
    for (uint8_t kind = OP_SET; kind < OP_KIND_MAX; kind++) {
        struct buf out = {0}, again = {0}, position = {0};
        struct op op = sample(kind, &position), back;
        op_encode(&out, &op, BASE);
        cr_assert(decode(buf_bytes(&out), &back), "%s", op_kind_name(kind));
        cr_assert_eq(back.stamp, op.stamp);
        cr_assert_eq(back.kind, kind);
        op_encode(&again, &back, BASE);
        cr_assert(bytes_eq(buf_bytes(&out), buf_bytes(&again)), "%s", op_kind_name(kind));
        for (size_t n = 0; n < buf_len(&out); n++)
            cr_assert_not(decode(bytes_of(out.p, n), &back), "%s cut at %zu", op_kind_name(kind),
                          n);
        buf_deinit(&out);
        buf_deinit(&again);
        buf_deinit(&position);
    }
}

Test(op, reals_keep_every_bit)
{
    static const long double values[] = {0.0L,     -0.0L,      0.1L,         -1.5L,
                                         1e300L,   3.4e-4932L, 1e4930L,      1e-9L,
                                         INFINITY, -INFINITY,  123456789.25L};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct buf b = {0};
        long double back = 1;
        real_put(&b, values[i]);
        struct mp m = mp_read(buf_bytes(&b));
        cr_assert(real_read(&m, &back));
        cr_assert(back == values[i] && signbit(back) == signbit(values[i]), "%Lg", values[i]);
        buf_deinit(&b);
    }
}

Test(op, refuses_what_no_writer_sends)
{
    struct buf position = {0};
    struct op back, op = sample(OP_LINS, &position);
    struct buf out = {0};
    op.elem = bytes_str("no position");
    op_encode(&out, &op, BASE);
    cr_assert_not(decode(buf_bytes(&out), &back), "a list element without a position");
    buf_clear(&out);
    op = sample(OP_SADD, &position);
    op.flags = OPF_EXTEND;
    op_encode(&out, &op, BASE);
    cr_assert_not(decode(buf_bytes(&out), &back), "a flag that the kind does not have");
    buf_clear(&out);
    op = sample(OP_INCR, &position);
    op.flags = OPF_EXTEND | OPF_ABSORB;
    op_encode(&out, &op, BASE);
    cr_assert_not(decode(buf_bytes(&out), &back), "extending and absorbing");
    buf_clear(&out);
    op = sample(OP_SET, &position);
    op.stamp = BASE;
    op_encode(&out, &op, BASE);
    cr_assert_not(decode(buf_bytes(&out), &back), "a stamp that is not above the base");
    buf_clear(&out);
    op = sample(OP_INCRF, &position);
    op.real = NAN;
    op_encode(&out, &op, BASE);
    cr_assert_not(decode(buf_bytes(&out), &back) && isnan(back.real), "NaN");
    buf_deinit(&out);
    buf_deinit(&position);
}

Test(op, patches_have_an_older_base_and_end_within_a_string)
{
    const struct patch bad[] = {{.base = 0, .offset = 0},
                                {.base = BASE + (3 << 10), .offset = 0},
                                {.base = BASE, .offset = PATCH_END_MAX},
                                {.base = BASE, .offset = PATCH_END_MAX - 4}};
    struct buf out = {0};
    struct op back, op = {.stamp = BASE + (3 << 10), .kind = OP_PATCH, .val = bytes_str("value")};
    uint8_t head[PATCH_HEAD];
    op.elem = bytes_of(head, sizeof head);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buf_clear(&out);
        patch_put(head, bad[i]);
        op_encode(&out, &op, BASE);
        cr_assert_not(decode(buf_bytes(&out), &back), "%zu", i);
    }
    buf_clear(&out);
    patch_put(head, (struct patch){.base = BASE, .offset = PATCH_END_MAX - 5});
    op_encode(&out, &op, BASE);
    cr_assert(decode(buf_bytes(&out), &back));
    buf_clear(&out);
    op.val.n = 0;
    op_encode(&out, &op, BASE);
    cr_assert_not(decode(buf_bytes(&out), &back), "nothing to write");
    buf_deinit(&out);
}

Test(op, random_bytes_never_crash_the_decoder)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        struct buf position = {0}, out = {0};
        struct op back, op = sample((uint8_t)(1 + rng_below(&rng, OP_KIND_MAX - 1)), &position);
        op_encode(&out, &op, BASE);
        for (int j = 0; j < 3; j++)
            out.p[rng_below(&rng, buf_len(&out))] = (uint8_t)rng_next(&rng);
        if (decode(buf_bytes(&out), &back))
            cr_assert(back.kind > 0 && back.kind < OP_KIND_MAX && back.stamp > BASE);
        buf_deinit(&out);
        buf_deinit(&position);
    }
}
