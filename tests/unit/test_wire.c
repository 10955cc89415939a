/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/rng.h"
#include "syncer/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>

static stamp_t at(uint64_t ms, uint32_t seq, uint32_t actor) { return stamp_make(ms, seq, actor); }

static bool get_one(struct buf *wire, struct wire_coder *c, struct frame *f)
{
    uint8_t kind;
    struct bytes body;
    size_t used;
    if (wire_get(buf_bytes(wire), &kind, &body, &used) != WIRE_OK || kind < WIRE_FRAME)
        return false;
    bool good = wire_get_frame(c, kind, body, f);
    buf_consume(wire, used);
    return good;
}

static void expect_same(const struct frame *a, const struct frame *b)
{
    cr_assert_eq(a->partition, b->partition);
    cr_assert_eq(a->ops_count, b->ops_count);
    cr_assert_eq(a->flags, b->flags);
    cr_assert_eq(a->prev, b->prev);
    cr_assert_eq(a->first, b->first);
    cr_assert_eq(a->last, b->last);
    cr_assert_eq(a->wall_ms, b->wall_ms);
    cr_assert_eq(a->deps_count, b->deps_count);
    if (a->deps_count)
        cr_assert_eq(memcmp(a->deps, b->deps, a->deps_count * sizeof(stamp_t)), 0);
    cr_assert(bytes_eq(a->ops, b->ops));
}

/* A frame that could stand in a log: stamps in order, deps sorted by actor and without its own. */
static struct frame random_frame(struct rng *rng, stamp_t *deps, uint64_t *ms)
{
    uint32_t actor = 1 + (uint32_t)rng_below(rng, 3) + 64 * (uint32_t)rng_below(rng, 2);
    *ms += rng_below(rng, 3) ? rng_below(rng, 5) : rng_below(rng, 1000000);
    uint64_t n = 1 + rng_below(rng, 3);
    struct frame f = {.partition = 10 + (uint32_t)rng_below(rng, 4),
                      .ops_count = (uint32_t)n,
                      .flags = rng_below(rng, 9) == 0 ? FRAME_ATOMIC : 0,
                      .first = at(*ms, (uint32_t)rng_below(rng, 100), actor),
                      .deps = deps,
                      .ops = bytes_of("0123456789", 3 + rng_below(rng, 8))};
    if (rng_below(rng, 8) == 0)
        f.ops = bytes_of(NULL, 0); /* they went ahead, in pieces */
    f.last = f.first + ((n - 1) << 10);
    f.prev = rng_below(rng, 4) ? f.first - ((1 + rng_below(rng, 99999)) << 10) : at(0, 0, actor);
    f.wall_ms = stamp_wall_ms(f.last) + (int64_t)rng_below(rng, 3) - 1;
    for (uint32_t a = 1; a < 6; a++)
        if (a != actor && rng_below(rng, 3))
            deps[f.deps_count++] = at(*ms - rng_below(rng, 50), 0, a);
    return f;
}

Test(wire, frames_come_back_as_they_were)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rng rng;
        struct wire_coder out, in;
        struct buf wire = {0};
        struct frame f, got;
        stamp_t deps[8];
        uint64_t ms = 1000000;
        rng_init(&rng, seed);
        wire_coder_init(&out, 10, 4);
        wire_coder_init(&in, 10, 4);
        for (unsigned i = 0; i < 200; i++) {
            f = random_frame(&rng, deps, &ms);
            wire_put_frame(&wire, &out, &f);
            cr_assert(get_one(&wire, &in, &got), "seed %lu frame %u", seed, i);
            expect_same(&f, &got);
        }
        cr_assert_eq(buf_len(&wire), 0u);
        buf_deinit(&wire);
        wire_coder_deinit(&out);
        wire_coder_deinit(&in);
    }
}

Test(wire, a_single_set_costs_few_bytes)
{
    struct wire_coder c;
    struct buf wire = {0}, ops = {0};
    uint8_t key[16] = {0}, value[64] = {0};
    stamp_t deps[] = {at(99000, 0, 2), at(99000, 7, 3)};
    wire_coder_init(&c, 0, 256);
    size_t before = 0;
    for (unsigned i = 0; i < 1000; i++) {
        stamp_t s = at(100000 + i, 0, 1);
        struct op op = {.stamp = s,
                        .kind = OP_SET,
                        .key = bytes_of(key, sizeof key),
                        .val = bytes_of(value, sizeof value)};
        buf_clear(&ops);
        op_encode(&ops, &op, s - 1);
        struct frame f = {.partition = i % 256,
                          .ops_count = 1,
                          .prev = i < 256 ? at(0, 0, 1) : at(100000 + i - 256, 0, 1),
                          .first = s,
                          .last = s,
                          .wall_ms = stamp_wall_ms(s),
                          .deps = deps,
                          .deps_count = 2,
                          .ops = buf_bytes(&ops)};
        if (i == 300)
            before = buf_len(&wire);
        wire_put_frame(&wire, &c, &f);
    }
    size_t each = (buf_len(&wire) - before) / 700;
    cr_assert_leq(each, sizeof key + sizeof value + 16, "%zu bytes", each);
    buf_deinit(&wire);
    buf_deinit(&ops);
    wire_coder_deinit(&c);
}

Test(wire, more_than_a_large_frame_may_have_is_not_announced)
{
    struct buf wire = {0};
    uint64_t bytes;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t kind;
        struct bytes body;
        size_t used;
        wire_put_large(&wire, WIRE_LARGE_MAX + i);
        cr_assert_eq(wire_get(buf_bytes(&wire), &kind, &body, &used), WIRE_OK);
        cr_assert_eq(kind, WIRE_LARGE);
        cr_assert_eq(wire_get_large(body, &bytes), i == 0);
        cr_assert_eq(bytes, WIRE_LARGE_MAX + i);
        cr_assert_not(wire_get_large(bytes_of(body.p, body.n - 1), &bytes), "cut short");
        buf_consume(&wire, used);
    }
    buf_deinit(&wire);
}

Test(wire, a_message_too_long_is_known_before_its_bytes_are_here)
{
    struct buf b = {0};
    uint8_t kind;
    struct bytes body;
    size_t used;
    wire_put_varint(&b, WIRE_MESSAGE_MAX + 1);
    cr_assert_eq(wire_get(buf_bytes(&b), &kind, &body, &used), WIRE_BAD);
    buf_clear(&b);
    wire_put_varint(&b, WIRE_MESSAGE_MAX);
    cr_assert_eq(wire_get(buf_bytes(&b), &kind, &body, &used), WIRE_MORE);
    cr_assert_eq(wire_get(bytes_of("\0\1", 2), &kind, &body, &used), WIRE_BAD);
    cr_assert_eq(wire_get(bytes_of("\x80\x80\x80\x80\x80\x01", 6), &kind, &body, &used), WIRE_BAD);
    cr_assert_eq(wire_get(bytes_of(NULL, 0), &kind, &body, &used), WIRE_MORE);
    buf_deinit(&b);
}

Test(wire, damaged_frames_are_refused_or_sound)
{
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned round = 0; round < 20000; round++) {
        struct wire_coder out, in;
        struct buf wire = {0};
        stamp_t deps[8];
        uint64_t ms = 1000000;
        wire_coder_init(&out, 10, 4);
        wire_coder_init(&in, 10, 4);
        for (unsigned i = 0; i < 3; i++) {
            struct frame f = random_frame(&rng, deps, &ms);
            wire_put_frame(&wire, &out, &f);
        }
        for (unsigned n = 1 + (unsigned)rng_below(&rng, 3); n > 0; n--)
            wire.p[rng_below(&rng, buf_len(&wire))] = (uint8_t)rng_next(&rng);
        struct frame got;
        for (unsigned i = 0; i < 3 && get_one(&wire, &in, &got); i++) {
            cr_assert(got.prev < got.first && got.first <= got.last);
            cr_assert(got.partition >= 10 && got.partition < 14);
            cr_assert(got.ops_count > 0 && (got.ops.n == 0 || got.ops_count <= got.ops.n));
            for (unsigned d = 0; d < got.deps_count; d++)
                cr_assert_neq(stamp_actor(got.deps[d]), stamp_actor(got.last));
        }
        buf_deinit(&wire);
        wire_coder_deinit(&out);
        wire_coder_deinit(&in);
    }
}

static struct wire_hello sample_hello(void)
{
    return (struct wire_hello){.guid = "some-guid",
                               .protocol = SYNCER_PROTOCOL,
                               .region = 3,
                               .actor = 67,
                               .incarnation = 1,
                               .partitions = 256,
                               .first = 64,
                               .count = 64,
                               .version = 12345678901,
                               .stale = true,
                               .nonce = "0123456789abcde"};
}

Test(wire, a_greeting_is_read_from_any_prefix_on)
{
    struct buf b = {0};
    struct wire_hello h = sample_hello(), got;
    struct handshake shake;
    size_t used;
    wire_put_hello(&b, &h);
    for (size_t n = 0; n < buf_len(&b); n++)
        cr_assert_eq(wire_get_hello(bytes_of(b.p, n), &got, &used), HANDSHAKE_MORE);
    size_t whole = buf_len(&b);
    buf_put_str(&b, "more");
    cr_assert_eq(wire_get_hello(buf_bytes(&b), &got, &used), HANDSHAKE_OK);
    cr_assert_eq(used, whole);
    cr_assert_str_eq(got.guid, h.guid);
    cr_assert_eq(got.version, h.version);
    cr_assert_eq(got.actor, 67u);
    cr_assert(got.stale);
    cr_assert_eq(memcmp(got.nonce, h.nonce, WIRE_NONCE), 0);
    cr_assert_eq(syncer_handshake(buf_bytes(&b), &shake), HANDSHAKE_OK);
    cr_assert_eq(shake.first_partition, 64u);
    cr_assert_eq(syncer_handshake(bytes_str("*1\r\n$4\r\nPING\r\n"), &shake), HANDSHAKE_BAD);
    buf_deinit(&b);
}

Test(wire, another_protocol_is_told_apart_whatever_follows)
{
    struct buf b = {0};
    struct handshake shake;
    static const uint8_t body[] = {0x93, 0x63, 0xc4, 0x01, 'g', 0xc0};
    buf_put(&b, SYNCER_MAGIC "\0\0\0\6", SYNCER_MAGIC_LEN + 4);
    buf_put(&b, body, sizeof body);
    cr_assert_eq(syncer_handshake(buf_bytes(&b), &shake), HANDSHAKE_OK);
    cr_assert_eq(shake.protocol, 99u);
    cr_assert_str_eq(shake.guid, "g");
    buf_deinit(&b);
}

Test(wire, damaged_greetings_do_no_harm)
{
    struct rng rng;
    struct wire_hello h = sample_hello(), got;
    size_t used = 0;
    rng_init(&rng, 6);
    for (unsigned i = 0; i < 50000; i++) {
        struct buf b = {0};
        wire_put_hello(&b, &h);
        size_t body = SYNCER_MAGIC_LEN + 4;
        b.p[body + rng_below(&rng, buf_len(&b) - body)] = (uint8_t)rng_next(&rng);
        if (wire_get_hello(buf_bytes(&b), &got, &used) == HANDSHAKE_OK) {
            cr_assert_leq(used, buf_len(&b));
            cr_assert_not_null(memchr(got.guid, 0, sizeof got.guid));
        }
        buf_deinit(&b);
    }
}

Test(wire, only_who_has_the_secret_can_prove_it)
{
    struct wire_hello puller = sample_hello(), feeder = sample_hello();
    uint8_t a[WIRE_PROOF_LEN], b[WIRE_PROOF_LEN];
    feeder.region = 1;
    feeder.actor = 1;
    feeder.nonce[0] = 'x';
    wire_prove(a, "secret", 'P', &puller, &feeder);
    wire_prove(b, "secret", 'P', &puller, &feeder);
    cr_assert(wire_same(a, b, sizeof a));
    wire_prove(b, "secre", 'P', &puller, &feeder);
    cr_assert_not(wire_same(a, b, sizeof a));
    wire_prove(b, "secret", 'F', &puller, &feeder);
    cr_assert_not(wire_same(a, b, sizeof a));
    feeder.nonce[1] = 'x';
    wire_prove(b, "secret", 'P', &puller, &feeder);
    cr_assert_not(wire_same(a, b, sizeof a));
}

Test(wire, a_refusal_keeps_its_reason_and_loses_its_control_characters)
{
    struct buf b = {0};
    uint8_t kind;
    struct bytes body;
    size_t used;
    enum err why;
    char text[16];
    wire_put_refuse(&b, ERR_VERSION, "no\x1b[31m way, this is too long");
    cr_assert_eq(wire_get(buf_bytes(&b), &kind, &body, &used), WIRE_OK);
    cr_assert_eq(kind, WIRE_REFUSE);
    cr_assert(wire_get_refuse(body, &why, text, sizeof text));
    cr_assert_eq(why, ERR_VERSION);
    cr_assert_str_eq(text, "no?[31m way, th");
    buf_deinit(&b);
}
