/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/apply.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "tests/unit/peers.h"

#include "base/mem.h"

/* What concurrent writes come to: the claims of ../shared/scenarios, at the level of operations. */

static void text(struct peers *w, unsigned at, uint8_t kind, const char *val)
{
    peers_write(w, at, 0, (struct op){.kind = kind, .val = bytes_str(val)});
}

static void number(struct peers *w, unsigned at, uint8_t kind, int64_t num)
{
    peers_write(w, at, 0, (struct op){.kind = kind, .num = num});
}

static void real(struct peers *w, unsigned at, uint8_t kind, const char *elem, long double x)
{
    peers_write(w, at, 0, (struct op){.kind = kind, .elem = bytes_str(elem), .real = x});
}

static void element(struct peers *w, unsigned at, uint8_t kind, const char *elem)
{
    peers_write(w, at, 0,
                (struct op){.kind = kind, .elem = bytes_str(elem), .val = bytes_str("v")});
}

static void expect(struct peers *w, const char *want)
{
    char room[64];
    peers_deliver_all(w);
    for (unsigned i = 0; i < w->n; i++) {
        cr_assert_str_eq(peers_text(&w->at[i], 0, room), want);
        cr_assert(hash128_eq(w->at[i].digest, w->at[0].digest));
        cr_assert(hash128_eq(w->at[i].digest, peers_digest(&w->at[i])));
    }
}

Test(apply, the_later_assignment_wins_and_the_loser_comes_back)
{
    struct peers *w = peers_new(1, 3);
    char room[64];
    text(w, 0, OP_SET, "loser");
    text(w, 1, OP_SET, "winner");
    peers_deliver(w, 1, 2, 9);
    cr_assert_str_eq(peers_text(&w->at[2], 0, room), "winner");
    peers_write(w, 2, 0, (struct op){.kind = OP_DEL});
    expect(w, "loser");
    cr_assert_gt(w->conflicts.register_lost, 0);
    peers_free(w);
}

Test(apply, increments_add_up_across_regions)
{
    struct peers *w = peers_new(1, 2);
    number(w, 0, OP_INCR, 7);
    number(w, 1, OP_INCR, 3);
    expect(w, "10");
    number(w, 0, OP_INCR, -3);
    number(w, 1, OP_INCR, 6);
    expect(w, "13");
    peers_free(w);
}

Test(apply, an_assignment_resets_only_the_increments_it_had_seen)
{
    struct peers *w = peers_new(1, 2);
    number(w, 0, OP_INCR, 5);
    expect(w, "5");
    text(w, 0, OP_SET, "100");
    number(w, 1, OP_INCR, 2);
    expect(w, "102");
    peers_free(w);
}

Test(apply, sums_saturate_when_shown_and_stay_exact_inside)
{
    struct peers *w = peers_new(1, 2);
    text(w, 0, OP_SET, "9223372036854775000");
    expect(w, "9223372036854775000");
    number(w, 0, OP_INCR, 800);
    number(w, 1, OP_INCR, 800);
    expect(w, "9223372036854775807");
    number(w, 0, OP_INCR, -9223372036854775807);
    expect(w, "793");
    peers_free(w);
}

Test(apply, sums_of_one_segment_outgrow_64_bits_without_loss)
{
    struct peers *w = peers_new(1, 2);
    for (int i = 0; i < 3; i++)
        number(w, 0, OP_INCR, INT64_MAX);
    expect(w, "9223372036854775807");
    for (int i = 0; i < 3; i++)
        number(w, 0, OP_INCR, -INT64_MAX);
    number(w, 1, OP_INCR, 4);
    expect(w, "4");
    peers_free(w);
}

Test(apply, floats_show_the_same_text_everywhere)
{
    struct peers *w = peers_new(1, 3);
    text(w, 0, OP_SET, "10.5");
    expect(w, "10.5");
    real(w, 0, OP_INCRF, "", 0.1L);
    real(w, 1, OP_INCRF, "", 0.2L);
    real(w, 2, OP_INCRF, "", 0.3L);
    expect(w, "11.1");
    peers_free(w);
}

Test(apply, text_that_is_no_number_hides_increments)
{
    struct peers *w = peers_new(1, 2);
    text(w, 0, OP_SET, "hello");
    number(w, 1, OP_INCR, 1);
    expect(w, "hello");
    peers_free(w);
}

Test(apply, a_float_added_to_an_integer_shows_a_float)
{
    struct peers *w = peers_new(1, 2);
    number(w, 0, OP_INCR, 3);
    real(w, 1, OP_INCRF, "", 0.25L);
    expect(w, "3.25");
    peers_free(w);
}

Test(apply, many_shipped_increments_are_absorbed)
{
    struct peers *w = peers_new(1, 2);
    for (int i = 0; i < 200; i++) {
        number(w, 0, OP_INCR, 1);
        peers_deliver(w, 0, 1, 1000);
    }
    expect(w, "200");
    struct cell *key = w->at[0].keys[0];
    cr_assert_lt(value_memory(key), 64 * 40 + 200);
    peers_free(w);
}

Test(apply, add_wins_over_a_concurrent_removal)
{
    struct peers *w = peers_new(1, 2);
    element(w, 0, OP_SADD, "m");
    peers_deliver_all(w);
    element(w, 0, OP_SREM, "m");
    element(w, 1, OP_SADD, "m");
    peers_deliver_all(w);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_not_null(coll_find(w->at[i].keys[0], TYPE_SET, bytes_str("m")));
    peers_free(w);
}

Test(apply, a_removed_score_keeps_what_was_added_concurrently)
{
    struct peers *w = peers_new(1, 2);
    real(w, 0, OP_ZADD, "m", 4.1L);
    peers_deliver_all(w);
    element(w, 0, OP_ZREM, "m");
    real(w, 1, OP_ZINCR, "m", 2);
    peers_deliver_all(w);
    for (unsigned i = 0; i < 2; i++) {
        const struct cell *c = coll_find(w->at[i].keys[0], TYPE_ZSET, bytes_str("m"));
        cr_assert_not_null(c);
        cr_assert_float_eq(cell_score(c), 2, 0);
    }
    peers_free(w);
}

Test(apply, infinities_that_meet_show_zero)
{
    struct peers *w = peers_new(1, 2);
    real(w, 0, OP_ZADD, "m", HUGE_VALL);
    peers_deliver_all(w);
    real(w, 1, OP_ZINCR, "m", -HUGE_VALL);
    peers_deliver_all(w);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_float_eq(cell_score(coll_at(w->at[i].keys[0], TYPE_ZSET, 0)), 0, 0);
    cr_assert(hash128_eq(w->at[0].digest, w->at[1].digest));
    peers_free(w);
}

Test(apply, the_longest_deadline_wins_and_an_assignment_clears_it)
{
    struct peers *w = peers_new(1, 2);
    text(w, 0, OP_SET, "v");
    peers_deliver_all(w);
    number(w, 0, OP_EXPIRE, 1000);
    number(w, 1, OP_EXPIRE, 5000);
    peers_deliver_all(w);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(value_deadline(w->at[i].keys[0]), 5000);
    peers_write(w, 0, 0, (struct op){.kind = OP_SET, .flags = OPF_KEEPTTL, .val = bytes_str("w")});
    peers_deliver_all(w);
    cr_assert_eq(value_deadline(w->at[1].keys[0]), 5000);
    text(w, 1, OP_SET, "x");
    peers_deliver_all(w);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(value_deadline(w->at[i].keys[0]), DEADLINE_NEVER);
    cr_assert_eq(w->conflicts.deadline_lost, 2);
    peers_free(w);
}

Test(apply, concurrent_types_live_side_by_side)
{
    struct peers *w = peers_new(1, 2);
    element(w, 0, OP_SADD, "m");
    text(w, 1, OP_SET, "s");
    peers_deliver_all(w);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(value_type(w->at[i].keys[0]), TYPE_SET);
        cr_assert_eq(w->conflicts.type_hidden, 2);
    }
    element(w, 0, OP_SREM, "m");
    expect(w, "s");
    number(w, 1, OP_DEL, 0);
    expect(w, "(none)");
    cr_assert_null(w->at[0].keys[0]);
    peers_free(w);
}

Test(apply, a_flush_removes_only_what_it_had_seen)
{
    struct peers *w = peers_new(1, 2);
    struct applied out;
    element(w, 0, OP_SADD, "old");
    peers_deliver_all(w);
    element(w, 1, OP_SADD, "new");
    peers_deliver_all(w);
    struct peers_region *r = &w->at[1];
    struct context deps = {0};
    context_raise(&deps, w->ops[0].op.stamp);
    struct seen seen = {.deps = &deps, .prev = stamp_make(0, 0, 9)};
    struct surroundings s = peers_around(w, r);
    r->keys[0] = value_remove(r->keys[0], &seen, &r->vv, &s, &out);
    cr_assert_not(out.is_empty);
    cr_assert_eq(coll_len(r->keys[0], TYPE_SET), 1);
    r->keys[0] = value_remove(r->keys[0], &(struct seen){0}, &r->vv, &s, &out);
    cr_assert(out.is_empty);
    cr_assert_null(r->keys[0]);
    cr_assert(hash128_eq(r->digest, (struct hash128){0}));
    context_deinit(&deps);
    peers_free(w);
}

Test(apply, removing_a_large_collection_leaves_nothing)
{
    size_t before = mem_used();
    struct peers *w = peers_new(1, 2);
    for (int i = 0; i < 500; i++) {
        char member[32];
        snprintf(member, sizeof member, "member %d", i);
        real(w, 0, OP_ZADD, member, i % 10);
    }
    peers_deliver_all(w);
    cr_assert_eq(coll_len(w->at[1].keys[0], TYPE_ZSET), 500);
    cr_assert_str_eq(value_encoding(w->at[1].keys[0]), "skiplist");
    number(w, 1, OP_DEL, 0);
    peers_deliver_all(w);
    cr_assert_null(w->at[0].keys[0]);
    cr_assert_null(w->at[1].keys[0]);
    cr_assert(hash128_eq(w->at[0].digest, (struct hash128){0}));
    peers_free(w);
    cr_assert_eq(mem_used(), before);
}
