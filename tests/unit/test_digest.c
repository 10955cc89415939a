/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "crdt/digest.h"

#include <criterion/criterion.h>

#include "tests/unit/peers.h"

static struct hash128 digest_of(struct op op, unsigned times)
{
    struct peers *w = peers_new(1, 2);
    for (unsigned i = 0; i < times; i++) {
        peers_write(w, i % 2, 0, op);
        peers_deliver_all(w);
    }
    struct hash128 d = w->at[1].digest;
    cr_assert(hash128_eq(d, peers_digest(&w->at[1])));
    peers_free(w);
    return d;
}

Test(digest, depends_on_what_is_shown_not_on_how_it_came_about)
{
    struct hash128 set = digest_of((struct op){.kind = OP_SET, .val = bytes_str("6")}, 1);
    struct hash128 sum = digest_of((struct op){.kind = OP_INCR, .num = 2}, 3);
    cr_assert(hash128_eq(set, sum));
    struct hash128 added =
        digest_of((struct op){.kind = OP_ZADD, .elem = bytes_str("m"), .real = 6}, 1);
    struct hash128 grown =
        digest_of((struct op){.kind = OP_ZINCR, .elem = bytes_str("m"), .real = 2}, 3);
    cr_assert(hash128_eq(added, grown));
}

Test(digest, tells_types_elements_and_values_apart)
{
    struct hash128 d[] = {
        digest_of((struct op){.kind = OP_SET, .val = bytes_str("m")}, 1),
        digest_of((struct op){.kind = OP_SADD, .elem = bytes_str("m")}, 1),
        digest_of((struct op){.kind = OP_HSET, .elem = bytes_str("m")}, 1),
        digest_of((struct op){.kind = OP_HSET, .elem = bytes_str(""), .val = bytes_str("m")}, 1),
        digest_of((struct op){.kind = OP_ZADD, .elem = bytes_str("m")}, 1),
        digest_of((struct op){.kind = OP_ZADD, .elem = bytes_str("m"), .real = 1}, 1),
        {0},
    };
    for (size_t i = 0; i < sizeof d / sizeof d[0]; i++)
        for (size_t j = 0; j < i; j++)
            cr_assert_not(hash128_eq(d[i], d[j]), "%zu and %zu", i, j);
}

Test(digest, switching_digests_on_finds_what_was_there)
{
    struct peers *w = peers_new(1, 1);
    struct peers_region *r = &w->at[0];
    struct surroundings s = peers_around(w, r);
    struct applied out;
    s.digest_off = true;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t name[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        struct op op = {.kind = OP_SADD, .key = bytes_str("two"), .elem = bytes_of(name, 2)};
        op.stamp = stamp_make(1 + i, 0, 1);
        context_raise(&r->vv, op.stamp);
        r->keys[1] = value_apply(r->keys[1], &op, &(struct seen){0}, &r->vv, &s, &out);
    }
    cr_assert(hash128_eq(r->digest, (struct hash128){0}));
    r->digest = value_redigest(r->keys[1]);
    cr_assert(hash128_eq(r->digest, peers_digest(r)));
    peers_write(w, 0, 1, (struct op){.kind = OP_SADD, .elem = bytes_str("one more")});
    cr_assert(hash128_eq(r->digest, peers_digest(r)));
    peers_write(w, 0, 1, (struct op){.kind = OP_DEL});
    cr_assert(hash128_eq(r->digest, (struct hash128){0}));
    peers_free(w);
}

Test(digest, the_chunks_of_a_string_tell_every_byte_and_the_length)
{
    size_t max = 3 * DIGEST_CHUNK;
    uint8_t *p = mem_zalloc(max);
    struct hash128 seen[64];
    unsigned n = 0;
    static const size_t lengths[] = {
        0, 1, DIGEST_CHUNK - 1, DIGEST_CHUNK, DIGEST_CHUNK + 1, 2 * DIGEST_CHUNK, 3 * DIGEST_CHUNK};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        seen[n++] = digest_text(7, bytes_of(p, lengths[i]));
    for (size_t i = 0; i < max; i += DIGEST_CHUNK / 4 - 1) {
        p[i] = 1;
        seen[n++] = digest_text(7, bytes_of(p, max));
        p[i] = 0;
    }
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < i; j++)
            cr_assert_not(hash128_eq(seen[i], seen[j]), "%u and %u", i, j);
    for (size_t i = 0; i < max; i += 5000) { /* parts add up */
        struct hash128 a = digest_text_part(7, bytes_of(p, max), 0, i);
        size_t next = (i + DIGEST_CHUNK - 1) / DIGEST_CHUNK * DIGEST_CHUNK;
        struct hash128 b = digest_text_part(7, bytes_of(p, max), next, max);
        cr_assert(hash128_eq(hash128_add(a, b), digest_text(7, bytes_of(p, max))), "%zu", i);
    }
    mem_free(p);
}
