/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include <criterion/criterion.h>

#include "tests/unit/peers.h"

#include "base/mem.h"

/* The laws of joins are in test_laws.c; here: hostile bytes, and who keeps what. */

static const struct hash_key key = {3, 4};

Test(join, a_removed_element_does_not_come_back)
{
    struct peers *w = peers_new(1, 2);
    peers_write(w, 0, 0, (struct op){.kind = OP_SADD, .elem = bytes_str("gone")});
    peers_write(w, 0, 0, (struct op){.kind = OP_SADD, .elem = bytes_str("kept")});
    peers_deliver_all(w);
    peers_write(w, 1, 0, (struct op){.kind = OP_SREM, .elem = bytes_str("gone")});
    peers_join(w, 0, 1);
    cr_assert_eq(coll_len(w->at[1].keys[0], TYPE_SET), 1);
    peers_join(w, 1, 0);
    cr_assert_eq(coll_len(w->at[0].keys[0], TYPE_SET), 1);
    cr_assert_null(coll_find(w->at[0].keys[0], TYPE_SET, bytes_str("gone")));
    peers_free(w);
}

Test(join, a_deleted_key_goes_and_a_new_one_stays)
{
    struct peers *w = peers_new(1, 2);
    peers_write(w, 0, 0, (struct op){.kind = OP_SET, .val = bytes_str("v")});
    peers_deliver_all(w);
    peers_write(w, 0, 0, (struct op){.kind = OP_DEL});
    peers_write(w, 1, 1, (struct op){.kind = OP_SET, .val = bytes_str("new")});
    peers_join(w, 0, 1);
    cr_assert_null(w->at[1].keys[0]);
    cr_assert_eq(value_type(w->at[1].keys[1]), TYPE_STRING);
    peers_free(w);
}

Test(join, malformed_states_are_refused_without_harm)
{
    size_t before = mem_used();
    unsigned taken = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct peers *w = peers_new(seed, 3);
        for (unsigned i = 0; i < 150; i++) {
            peers_random_write(w, i % 3);
            if (i % 10 == 0)
                peers_deliver_all(w);
        }
        struct buf b = {0};
        if (w->at[0].keys[0])
            value_encode(&b, w->at[0].keys[0]);
        for (size_t n = 0; n < buf_len(&b); n++)
            cr_assert_null(value_decode(bytes_of(b.p, n), key));
        for (unsigned i = 0; i < 3000 && buf_len(&b); i++) {
            uint8_t *p = mem_dup(b.p, buf_len(&b));
            p[rng_below(&w->rng, buf_len(&b))] = (uint8_t)rng_next(&w->rng);
            struct cell *c = value_decode(bytes_of(p, buf_len(&b)), key);
            struct buf again = {0};
            if (c)
                value_encode(&again, c);
            taken += c != NULL;
            refused += c == NULL;
            buf_deinit(&again);
            value_free(c);
            mem_free(p);
        }
        buf_deinit(&b);
        peers_free(w);
    }
    cr_assert(taken > 0 && refused > 0);
    cr_assert_eq(mem_used(), before);
}
