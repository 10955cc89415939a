/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include <criterion/criterion.h>

#include "tests/unit/peers.h"

#include "base/mem.h"

/* Everybody writes and hears everybody, twice: all before is stable everywhere. */
static void settle(struct peers *w)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < w->n; i++)
            peers_write(w, i, 1, (struct op){.kind = OP_SET, .val = bytes_str("tick")});
        peers_deliver_all(w);
    }
    for (unsigned i = 0; i < w->n; i++)
        peers_compact(w, i);
}

/* Nothing of the first key stays anywhere once all is settled. */
static void all_forgotten(struct peers *w)
{
    settle(w);
    for (unsigned i = 0; i < w->n; i++)
        cr_assert_null(w->at[i].keys[0], "region %u", i);
}

Test(compact, a_losing_sibling_stays_until_it_is_stable)
{
    struct peers *w = peers_new(1, 2);
    peers_write(w, 0, 0, (struct op){.kind = OP_SET, .val = bytes_str("a")});
    peers_write(w, 1, 0, (struct op){.kind = OP_SET, .val = bytes_str("b")});
    peers_deliver_all(w);
    peers_compact(w, 0);
    cr_assert_not(value_is_settled(w->at[0].keys[0]));
    settle(w);
    cr_assert(value_is_settled(w->at[0].keys[0]));
    cr_assert(value_is_settled(w->at[1].keys[0]));
    peers_free(w);
}

Test(compact, a_counter_of_three_regions_takes_little)
{
    struct peers *w = peers_new(1, 3);
    for (int i = 0; i < 90; i++) {
        peers_write(w, (unsigned)i % 3, 0, (struct op){.kind = OP_INCR, .num = 1000});
        if (i % 5 == 0)
            peers_deliver_all(w);
    }
    peers_deliver_all(w);
    settle(w);
    char room[64];
    cr_assert_str_eq(peers_text(&w->at[0], 0, room), "90000");
    cr_assert_leq(value_memory(w->at[0].keys[0]), 80); /* whose name is 7 bytes */
    peers_free(w);
}

Test(compact, unsettled_data_are_told_once)
{
    struct peers *w = peers_new(1, 2);
    for (int i = 0; i < 10; i++) {
        peers_write(w, 0, 0, (struct op){.kind = OP_HINCR, .elem = bytes_str("f"), .num = 1});
        peers_deliver_all(w);
    }
    cr_assert_eq(w->at[0].unsettled, 1);
    cr_assert_eq(w->at[1].unsettled, 1);
    settle(w);
    uint64_t told = w->at[0].unsettled;
    peers_write(w, 0, 0, (struct op){.kind = OP_HINCR, .elem = bytes_str("f"), .num = 1});
    cr_assert_eq(w->at[0].unsettled, told + 1);
    peers_free(w);
}

Test(compact, one_element_can_be_compacted_alone)
{
    struct peers *w = peers_new(1, 2);
    for (int i = 0; i < 3; i++) {
        peers_write(w, 0, 0, (struct op){.kind = OP_HINCR, .elem = bytes_str("f"), .num = 1});
        peers_write(w, 0, 0, (struct op){.kind = OP_HINCR, .elem = bytes_str("g"), .num = 1});
        peers_deliver_all(w);
    }
    struct peers_region *r = &w->at[1];
    struct surroundings s = peers_around(w, r);
    bool settled = true;
    stamp_t newest = 0;
    struct context none = {0};
    r->keys[0] = value_compact(r->keys[0], TYPE_HASH, bytes_str("f"), &none, &s, &settled, &newest);
    cr_assert(!settled && newest != 0);
    r->keys[0] =
        value_compact(r->keys[0], TYPE_HASH, bytes_str("f"), &r->vv, &s, &settled, &newest);
    cr_assert(settled);
    cr_assert_not(value_is_settled(r->keys[0]));
    r->keys[0] =
        value_compact(r->keys[0], TYPE_HASH, bytes_str("g"), &r->vv, &s, &settled, &newest);
    cr_assert(settled);
    cr_assert(value_is_settled(r->keys[0]));
    r->keys[0] =
        value_compact(r->keys[0], TYPE_HASH, bytes_str("absent"), &r->vv, &s, &settled, &newest);
    cr_assert(settled);
    peers_free(w);
}

/* Of a hash with a deadline, settled, two regions each remove one of two fields. */
static void two_removals(struct peers *w)
{
    peers_write(w, 0, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f1")});
    peers_write(w, 0, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f2")});
    peers_write(w, 0, 0, (struct op){.kind = OP_EXPIRE, .num = 99});
    settle(w);
    peers_write(w, 0, 0, (struct op){.kind = OP_HDEL, .elem = bytes_str("f1")});
    peers_write(w, 1, 0, (struct op){.kind = OP_HDEL, .elem = bytes_str("f2")});
}

/* Its one field and the deadline are in all regions. */
static void all_expire_at(struct peers *w, int64_t ms)
{
    for (unsigned i = 0; i < w->n; i++) {
        cr_assert_eq(value_deadline(w->at[i].keys[0]), ms, "region %u", i);
        cr_assert_eq(coll_len(w->at[i].keys[0], TYPE_HASH), 1);
        cr_assert(hash128_eq(w->at[i].digest, w->at[0].digest));
    }
}

/* The model's check_bare_deadline: two regions each remove one of two fields while a third adds
 * one. */
Test(compact, a_deadline_outlives_the_values_until_all_removals_are_seen)
{
    struct peers *w = peers_new(1, 3);
    two_removals(w);
    peers_write(w, 2, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f3")});
    peers_deliver(w, 1, 0, 9);
    cr_assert_eq(value_type(w->at[0].keys[0]), TYPE_NONE);
    cr_assert_not_null(w->at[0].keys[0]);
    peers_compact(w, 0);
    peers_deliver_all(w);
    all_expire_at(w, 99);
    peers_free(w);
}

/* A deadline that comes when all removals are seen everywhere, and is not seen by who writes next.
 */
Test(compact, a_bare_deadline_that_came_later_waits_until_it_is_seen_itself)
{
    struct peers *w = peers_new(1, 3);
    struct op tick = {.kind = OP_SET, .val = bytes_str("tick")};
    two_removals(w);
    peers_write(w, 2, 0, (struct op){.kind = OP_EXPIRE, .num = 120});
    for (unsigned from = 0; from < 2; from++)
        for (unsigned to = 0; to < 3; to++)
            if (from != to)
                peers_deliver(w, from, to, 9);
    peers_write(w, 1, 1, tick);
    peers_write(w, 2, 1, tick);
    peers_deliver(w, 1, 0, 9);
    peers_deliver(w, 2, 0, 9);
    cr_assert_eq(value_type(w->at[0].keys[0]), TYPE_NONE);
    peers_compact(w, 0);
    cr_expect_not_null(w->at[0].keys[0]);
    peers_write(w, 1, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f3")});
    peers_deliver_all(w);
    all_expire_at(w, 120);
    peers_write(w, 0, 0, (struct op){.kind = OP_DEL});
    peers_deliver_all(w);
    all_forgotten(w);
    peers_free(w);
}

/* Values that came and went within a state: bare before and after, and others see them still. */
Test(compact, removals_that_a_state_brings_are_waited_for_too)
{
    struct peers *w = peers_new(1, 4);
    struct op tick = {.kind = OP_SET, .val = bytes_str("tick")};
    two_removals(w);
    peers_deliver(w, 1, 0, 9); /* bare here, with what comes now nowhere in sight */
    cr_assert_eq(value_type(w->at[0].keys[0]), TYPE_NONE);
    peers_write(w, 1, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f4")});
    peers_write(w, 2, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f3")});
    for (unsigned from = 0; from < 3; from++)
        for (unsigned to = 1; to < 4; to++)
            if (from != to)
                peers_deliver(w, from, to, 9);
    peers_write(w, 1, 0, (struct op){.kind = OP_HDEL, .elem = bytes_str("f3")});
    peers_write(w, 2, 0, (struct op){.kind = OP_HDEL, .elem = bytes_str("f4")});
    peers_deliver(w, 1, 3, 9);
    peers_deliver(w, 2, 1, 9);
    peers_write(w, 1, 1, tick);
    peers_write(w, 3, 1, tick);
    peers_join(w, 1, 0);
    peers_deliver(w, 3, 0, 9);
    cr_assert_eq(value_type(w->at[0].keys[0]), TYPE_NONE);
    peers_compact(w, 0);
    peers_write(w, 3, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f5")});
    peers_deliver_all(w);
    all_expire_at(w, 99);
    peers_free(w);
}

/* As by DEBUG RELOAD: since when it waits does not travel. */
Test(compact, a_hidden_deadline_that_was_read_back_waits_as_before)
{
    struct peers *w = peers_new(1, 2);
    peers_write(w, 0, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f1")});
    settle(w);
    peers_write(w, 0, 0, (struct op){.kind = OP_HDEL, .elem = bytes_str("f1")});
    peers_write(w, 1, 0, (struct op){.kind = OP_EXPIRE, .num = 99});
    peers_deliver(w, 1, 0, 9);
    struct peers_region *r = &w->at[0];
    struct surroundings s = peers_around(w, r);
    struct peers_region copy = peers_copy(r);
    value_free(r->keys[0]);
    r->keys[0] = value_adopt(copy.keys[0], &r->vv, &s);
    copy.keys[0] = NULL;
    peers_region_deinit(&copy);
    peers_compact(w, 0);
    cr_expect_not_null(r->keys[0]);
    peers_deliver_all(w);
    all_forgotten(w);
    peers_free(w);
}

/* Nobody writes: it goes once all have seen it. */
Test(compact, a_bare_deadline_that_came_later_goes_in_the_end)
{
    struct peers *w = peers_new(1, 3);
    peers_write(w, 0, 0, (struct op){.kind = OP_HSET, .elem = bytes_str("f1")});
    settle(w);
    peers_write(w, 0, 0, (struct op){.kind = OP_HDEL, .elem = bytes_str("f1")});
    peers_write(w, 1, 0, (struct op){.kind = OP_EXPIRE, .num = 99});
    peers_write(w, 2, 0, (struct op){.kind = OP_EXPIRE, .num = 120});
    peers_deliver_all(w);
    for (unsigned i = 0; i < 3; i++)
        cr_expect_not_null(w->at[i].keys[0]);
    all_forgotten(w);
    peers_free(w);
}

Test(compact, nothing_stays_of_what_was_deleted)
{
    size_t before = mem_used();
    struct peers *w = peers_new(3, 3);
    for (int i = 0; i < 200; i++) {
        peers_random_write(w, (unsigned)i % 3);
        if (i % 9 == 0)
            peers_deliver_all(w);
    }
    peers_deliver_all(w);
    peers_write(w, 0, 0, (struct op){.kind = OP_DEL});
    peers_deliver_all(w);
    all_forgotten(w);
    peers_free(w);
    cr_assert_eq(mem_used(), before);
}
