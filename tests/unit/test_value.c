/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/value.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/peers.h"

/* Reading: small and large collections answer alike. */

static struct peers *filled(uint8_t kind, unsigned n)
{
    struct peers *w = peers_new(1, 1);
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        unsigned at = i * 37 % n; /* n is no multiple of 37: every number once */
        struct op op = {.kind = kind, .real = at / 3, .val = bytes_str("value")};
        op.elem = bytes_of(name, (size_t)snprintf(name, sizeof name, "m%04u", at));
        peers_write(w, 0, 0, op);
    }
    return w;
}

static void check_order(const struct cell *key, size_t n)
{
    struct order_iter it;
    const struct cell *e;
    size_t rank = 0;
    order_iter(&it, key, TYPE_ZSET, 0);
    for (; (e = order_next(&it)) != NULL; rank++) {
        cr_assert_eq(coll_at(key, TYPE_ZSET, rank), e);
        cr_assert_eq(zset_rank(key, cell_name(e)), rank);
        cr_assert_float_eq(cell_score(e), (double)(rank / 3), 0);
    }
    cr_assert_eq(rank, n);
    order_iter(&it, key, TYPE_ZSET, n - 1);
    while ((e = order_prev(&it)) != NULL)
        cr_assert_eq(coll_at(key, TYPE_ZSET, --rank), e);
    cr_assert_eq(rank, 0);
    cr_assert_null(coll_at(key, TYPE_ZSET, n));
    cr_assert_eq(zset_rank(key, bytes_str("absent")), SIZE_MAX);
    cr_assert_eq(zset_rank_score(key, 2, false), 6);
    cr_assert_eq(zset_rank_score(key, 2, true), 9);
    cr_assert_eq(zset_rank_score(key, -1, true), 0);
    cr_assert_eq(zset_rank_score(key, 1e9, false), n);
}

Test(value, sorted_sets_are_ordered_by_score_then_member)
{
    static const unsigned sizes[] = {30, 128, 129, 1000};
    for (unsigned i = 0; i < 4; i++) {
        struct peers *w = filled(OP_ZADD, sizes[i]);
        check_order(w->at[0].keys[0], sizes[i]);
        cr_assert_str_eq(value_encoding(w->at[0].keys[0]),
                         sizes[i] > 128 ? "skiplist" : "listpack");
        peers_free(w);
    }
}

Test(value, a_score_that_changes_moves_its_member)
{
    static const unsigned sizes[] = {30, 200};
    for (unsigned i = 0; i < 2; i++) {
        struct peers *w = filled(OP_ZADD, sizes[i]);
        static const long double scores[] = {-5, 1e6L, 0.5L, 70000, 7};
        for (int j = 0; j < 5; j++) {
            peers_write(
                w, 0, 0,
                (struct op){.kind = OP_ZADD, .elem = bytes_str("m0015"), .real = scores[j]});
            const struct cell *e = coll_find(w->at[0].keys[0], TYPE_ZSET, bytes_str("m0015"));
            cr_assert_float_eq(cell_score(e), (double)scores[j], 0);
            size_t rank = zset_rank(w->at[0].keys[0], bytes_str("m0015"));
            cr_assert_eq(coll_at(w->at[0].keys[0], TYPE_ZSET, rank), e);
        }
        cr_assert_eq(coll_len(w->at[0].keys[0], TYPE_ZSET), sizes[i]);
        cr_assert(hash128_eq(w->at[0].digest, peers_digest(&w->at[0])));
        peers_free(w);
    }
}

struct seen_names {
    unsigned count;
    bool has[4000];
};

static void visit(const struct cell *e, void *arg)
{
    struct seen_names *s = arg;
    unsigned at = 0;
    sscanf((const char *)cell_name(e).p, "m%4u", &at);
    s->count += !s->has[at];
    s->has[at] = true;
}

Test(value, scans_and_iterations_see_every_element)
{
    static const unsigned sizes[] = {10, 128, 300, 3000};
    for (unsigned i = 0; i < 4; i++) {
        struct peers *w = filled(OP_HSET, sizes[i]);
        const struct cell *key = w->at[0].keys[0], *e;
        struct seen_names s = {0};
        uint64_t cursor = 0;
        do
            cursor = coll_scan(key, TYPE_HASH, cursor, 10, visit, &s);
        while (cursor != 0);
        cr_assert_eq(s.count, sizes[i]);
        struct coll_iter it;
        unsigned n = 0;
        coll_iter(&it, key, TYPE_HASH);
        while ((e = coll_next(&it)) != NULL)
            n++;
        cr_assert_eq(n, sizes[i]);
        for (int j = 0; j < 50; j++)
            cr_assert_not_null(coll_random(key, TYPE_HASH, &w->rng));
        cr_assert_eq(coll_len(key, TYPE_HASH), sizes[i]);
        cr_assert_eq(coll_len(key, TYPE_SET), 0);
        peers_free(w);
    }
}

Test(value, strings_have_their_redis_encodings)
{
    struct peers *w = peers_new(1, 1);
    const struct cell *c =
        peers_write(w, 0, 0, (struct op){.kind = OP_SET, .val = bytes_str("123")});
    int64_t i;
    long double x;
    cr_assert_str_eq(value_encoding(c), "int");
    cr_assert_eq(string_number(c, &i, &x), NUMBER_INT);
    cr_assert_eq(i, 123);
    c = peers_write(w, 0, 0, (struct op){.kind = OP_SET, .val = bytes_str("1.5")});
    cr_assert_str_eq(value_encoding(c), "embstr");
    cr_assert_eq(string_number(c, &i, &x), NUMBER_REAL);
    cr_assert(x == 1.5L);
    char big[3000];
    memset(big, 'b', sizeof big);
    c = peers_write(w, 0, 0, (struct op){.kind = OP_SET, .val = bytes_of(big, sizeof big)});
    cr_assert_str_eq(value_encoding(c), "raw");
    cr_assert_eq(string_number(c, &i, &x), NUMBER_NONE);
    cr_assert_geq(value_memory(c), sizeof big);
    peers_free(w);
}

Test(value, an_absent_key_is_empty_in_every_respect)
{
    struct shown s;
    struct order_iter it;
    struct coll_iter all;
    uint8_t ranks[HLL_REGISTERS];
    cr_assert_eq(value_type(NULL), TYPE_NONE);
    cr_assert_eq(value_deadline(NULL), DEADLINE_NEVER);
    cr_assert_eq(value_memory(NULL), 0);
    cr_assert(value_is_settled(NULL));
    cr_assert_not(string_show(NULL, &s));
    cr_assert_not(hll_show(NULL, ranks));
    cr_assert_eq(coll_len(NULL, TYPE_HASH), 0);
    cr_assert_null(coll_find(NULL, TYPE_HASH, bytes_str("f")));
    cr_assert_null(coll_at(NULL, TYPE_LIST, 0));
    order_iter(&it, NULL, TYPE_LIST, 0);
    cr_assert_null(order_next(&it));
    coll_iter(&all, NULL, TYPE_SET);
    cr_assert_null(coll_next(&all));
}
