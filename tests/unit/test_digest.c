/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
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
