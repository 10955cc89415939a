/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/log.h"

#include "base/mem.h"

#include <criterion/criterion.h>

#define FIRST 8u

static void append(struct log *l, uint32_t partition, uint32_t actor, uint64_t i, size_t n)
{
    uint8_t *ops = mem_alloc(n ? n : 1);
    memset(ops, (int)(i & 255), n);
    stamp_t deps[2] = {stamp_make(i, 1, 40), stamp_make(i, 2, 41)};
    log_append(l, &(struct frame){.partition = partition,
                                  .ops_count = 1,
                                  .flags = FRAME_ATOMIC,
                                  .prev = stamp_make(i - 1, 0, actor),
                                  .first = stamp_make(i, 0, actor),
                                  .last = stamp_make(i, 3, actor),
                                  .wall_ms = (int64_t)i * 10,
                                  .deps = deps,
                                  .deps_count = 2,
                                  .ops = bytes_of(ops, n)});
    mem_free(ops);
}

static void check(const struct frame *f, uint32_t partition, uint32_t actor, uint64_t i, size_t n)
{
    cr_assert_eq(f->partition, partition);
    cr_assert(f->prev == stamp_make(i - 1, 0, actor) && f->first == stamp_make(i, 0, actor));
    cr_assert(f->last == stamp_make(i, 3, actor) && f->wall_ms == (int64_t)i * 10);
    cr_assert(f->flags == FRAME_ATOMIC && f->ops_count == 1);
    cr_assert(f->deps_count == 2 && f->deps[1] == stamp_make(i, 2, 41));
    cr_assert_eq(f->ops.n, n);
    for (size_t k = 0; k < n; k++)
        cr_assert_eq(f->ops.p[k], (uint8_t)i);
}

Test(log, gives_frames_back_in_order)
{
    struct log *l = log_new(FIRST, 4, 1 << 20);
    struct frame f;
    uint64_t at = 0;
    cr_expect(!log_read(l, &at, &f));
    for (uint64_t i = 1; i <= 5000; i++)
        append(l, FIRST + (uint32_t)(i % 4), 1 + (uint32_t)(i % 3), i, i % 37);
    for (uint64_t i = 1; i <= 5000; i++) {
        cr_assert(log_read(l, &at, &f));
        check(&f, FIRST + (uint32_t)(i % 4), 1 + (uint32_t)(i % 3), i, i % 37);
    }
    cr_expect(!log_read(l, &at, &f));
    cr_expect_eq(at, log_end(l));
    append(l, FIRST, 1, 5001, 9);
    cr_assert(log_read(l, &at, &f));
    check(&f, FIRST, 1, 5001, 9);
    log_free(l);
}

Test(log, a_full_ring_forgets_the_oldest_and_says_so)
{
    struct log *l = log_new(FIRST, 2, 32 << 10);
    struct frame f;
    uint64_t at = 0;
    for (uint64_t i = 1; i <= 3000; i++) {
        append(l, FIRST + 1, 7, i, 40);
        cr_assert_leq(log_bytes(l), 32u << 10);
    }
    cr_expect_gt(log_begin(l), 0u);
    cr_assert(log_read(l, &at, &f)); /* moved up to the oldest */
    cr_expect_eq(context_get(log_floor(l, FIRST + 1), 7), stamp_make(stamp_ms(f.last) - 1, 3, 7));
    cr_expect_eq(log_floor(l, FIRST)->n, 0);
    cr_expect_gt(stamp_ms(f.last), 2500u);
    uint64_t next = stamp_ms(f.last) + 1;
    while (log_read(l, &at, &f))
        check(&f, FIRST + 1, 7, next++, 40);
    cr_expect_eq(next, 3001u);
    log_free(l);
}

Test(log, takes_a_frame_larger_than_itself)
{
    struct log *l = log_new(FIRST, 1, 4096);
    struct frame f;
    uint64_t at = 0;
    append(l, FIRST, 1, 1, 10);
    append(l, FIRST, 1, 2, 100000);
    append(l, FIRST, 1, 3, 10);
    while (log_read(l, &at, &f))
        check(&f, FIRST, 1, stamp_ms(f.last), stamp_ms(f.last) == 2 ? 100000 : 10);
    cr_expect_geq(context_get(log_floor(l, FIRST), 1), stamp_make(1, 3, 1));
    log_free(l);
}

/* Whoever waits for the disk to keep up brings nothing that would make the ring forget. */
Test(log, what_the_disk_lets_go_goes_although_nothing_comes)
{
    struct log *l = log_new(FIRST, 1, 4096);
    append(l, FIRST, 1, 1, 10);
    uint64_t first = log_end(l), end;
    log_hold(l, 0);
    for (uint64_t i = 2; i < 10; i++)
        append(l, FIRST, 1, i, 5000);
    end = log_end(l);
    cr_assert_gt(log_overdue(l), 30000u);
    cr_assert_eq(log_begin(l), 0u);
    log_hold(l, first);
    cr_assert_gt(log_overdue(l), 30000u);
    log_hold(l, end);
    cr_assert_eq(log_overdue(l), 0u);
    cr_assert_leq(log_bytes(l), 8192u);
    cr_assert_eq(log_end(l), end);
    append(l, FIRST, 1, 10, 10);
    cr_assert_gt(log_end(l), end);
    log_free(l);
}

Test(log, a_cut_raises_the_floor_of_the_actors_given)
{
    struct log *l = log_new(FIRST, 1, 4096);
    struct context vv = {0};
    append(l, FIRST, 1, 5, 10);
    context_raise(&vv, stamp_make(9, 0, 2));
    log_cut(l, FIRST, &vv);
    cr_expect_eq(context_get(log_floor(l, FIRST), 1), 0u);
    cr_expect_eq(context_get(log_floor(l, FIRST), 2), stamp_make(9, 0, 2));
    context_deinit(&vv);
    log_free(l);
}

/* States of all sizes, with frames in between. */
static void append_state(struct log *l, uint32_t partition, size_t n)
{
    stamp_t seen[2] = {stamp_make(n, 1, 40), stamp_make(n, 2, 41)};
    struct rope state = {0};
    uint8_t byte = (uint8_t)n;
    for (size_t i = 0; i < n; i++)
        rope_put(&state, bytes_of(&byte, 1));
    log_append_state(l, partition, &(struct context){.at = seen, .n = 2}, &state);
    cr_assert_eq(state.bytes, 0u, "it is taken");
}

static void check_state(const struct log_entry *e, uint32_t partition, size_t n)
{
    size_t here = e->state != NULL ? e->state->bytes : e->frame.ops.n;
    cr_assert(e->is_state && e->frame.partition == partition);
    cr_assert(e->frame.deps_count == 2 && e->frame.deps[1] == stamp_make(n, 2, 41));
    cr_assert_eq(here, n);
    cr_assert(e->state == NULL || e->frame.ops.n == 0);
    for (size_t at = 0; at < n;) {
        struct bytes piece = e->state != NULL ? rope_at(e->state, at) : e->frame.ops;
        for (size_t i = 0; i < piece.n; i++)
            cr_assert_eq(piece.p[i], (uint8_t)n);
        at += piece.n;
    }
}

static const size_t state_sizes[] = {0, 1, 255, 256, 257, 5000, 65536, 65537, 300000};
#define STATE_SIZES (sizeof state_sizes / sizeof state_sizes[0])

Test(log, gives_states_back_between_frames)
{
    size_t before = mem_used();
    struct log *l = log_new(FIRST, 4, 1 << 14);
    struct log_entry e;
    struct frame f;
    uint64_t at = 0, end = 0;
    log_hold(l, 0);
    for (uint64_t i = 0; i < 3 * STATE_SIZES; i++) {
        append(l, FIRST, 1, i + 1, 50);
        uint64_t was = log_end(l);
        append_state(l, FIRST + 1, state_sizes[i % STATE_SIZES]);
        cr_assert_geq(log_end(l) - was, state_sizes[i % STATE_SIZES], "it counts in full");
    }
    for (uint64_t i = 0; i < 3 * STATE_SIZES; i++) {
        cr_assert(log_read_entry(l, &at, &e) && !e.is_state && e.state == NULL);
        check(&e.frame, FIRST, 1, i + 1, 50);
        cr_assert(log_read_entry(l, &at, &e));
        check_state(&e, FIRST + 1, state_sizes[i % STATE_SIZES]);
    }
    cr_expect_eq(at, log_end(l));
    for (uint64_t i = 0; i < 3 * STATE_SIZES; i++) {
        cr_assert(log_read(l, &end, &f), "others see frames only");
        check(&f, FIRST, 1, i + 1, 50);
    }
    cr_expect_gt(log_overdue(l), 1000000u);
    log_free(l);
    cr_expect_eq(mem_used(), before);
}

Test(log, states_that_nobody_needs_are_freed_in_steps)
{
    struct log *l = log_new(FIRST, 4, 1 << 14);
    unsigned steps = 1;
    log_hold(l, 0);
    append(l, FIRST, 1, 1, 50);
    append_state(l, FIRST, 20 << 20);
    append(l, FIRST, 1, 2, 50);
    size_t held = log_memory(l);
    cr_expect(!log_free_step(l), "it is held");
    log_hold(l, log_end(l));
    cr_expect_lt(log_bytes(l), (size_t)1 << 14, "what is to be freed is not in the ring");
    cr_expect_gt(log_memory(l), held - (1 << 20), "it is still here");
    while (log_free_step(l))
        steps++;
    cr_expect_geq(steps, 5u);
    cr_expect_lt(log_memory(l), (size_t)1 << 16);
    log_free(l);
}
