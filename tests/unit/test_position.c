/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/rng.h"
#include "crdt/position.h"

#include <criterion/criterion.h>

static const struct bytes none = {0};

Test(position, memcmp_order_is_the_order_of_steps)
{
    static const int64_t bases[] = {-POSITION_BASE_MAX, -300, -1, 0, 1, 255, 256,
                                    POSITION_BASE_MAX};
    static const int32_t offsets[] = {INT32_MIN, -1, 0, 1, INT32_MAX};
    struct buf last = {0}, next = {0};
    for (unsigned b = 0; b < 8; b++) {
        for (stamp_t run = 1; run < UINT64_C(1) << 50; run <<= 12) {
            for (unsigned o = 0; o < 5; o++) {
                struct position_step s = {.base = bases[b], .run = run, .offset = offsets[o]};
                buf_clear(&next);
                position_put(&next, s);
                cr_assert_lt(bytes_cmp(buf_bytes(&last), buf_bytes(&next)), 0);
                struct position_step back = position_step(buf_bytes(&next), 0);
                cr_assert(back.base == s.base && back.run == s.run && back.offset == s.offset);
                cr_assert(position_valid(buf_bytes(&next)));
                buf_clear(&last);
                buf_put_bytes(&last, buf_bytes(&next));
            }
        }
    }
    buf_deinit(&last);
    buf_deinit(&next);
}

Test(position, only_whole_paths_are_valid)
{
    uint8_t *p = mem_zalloc((POSITION_STEPS_MAX + 1) * POSITION_STEP);
    for (unsigned i = 0; i <= POSITION_STEPS_MAX; i++)
        p[i * POSITION_STEP] = 0x80; /* base 0 */
    cr_assert(!position_valid(none));
    cr_assert(position_valid(bytes_of(p, POSITION_STEP)));
    cr_assert(!position_valid(bytes_of(p, POSITION_STEP + 1)));
    cr_assert(position_valid(bytes_of(p, POSITION_STEPS_MAX * POSITION_STEP)));
    cr_assert(!position_valid(bytes_of(p, (POSITION_STEPS_MAX + 1) * POSITION_STEP)));
    p[POSITION_STEP] = 0; /* the second step's base: -2^63 */
    cr_assert(position_valid(bytes_of(p, POSITION_STEP)));
    cr_assert(!position_valid(bytes_of(p, 2 * POSITION_STEP)));
    mem_free(p);
}

/* ------------------------------------------------------------ lists made by several writers */

enum { LONGEST = 3000 };
struct list {
    struct buf at[LONGEST];
    unsigned n;
};

static struct bytes nth(const struct list *l, unsigned i)
{
    return i < l->n ? buf_bytes(&l->at[i]) : none;
}

/* Inserts before index i; checks that it lies strictly between. Returns the position's steps. */
static size_t insert(struct list *l, unsigned i, stamp_t stamp, struct position_runs *runs)
{
    struct bytes left = i > 0 ? nth(l, i - 1) : none, right = nth(l, i);
    struct buf p = {0};
    cr_assert(position_between(&p, left, right, stamp, runs));
    struct bytes made = buf_bytes(&p);
    cr_assert(position_valid(made));
    cr_assert(left.n == 0 || bytes_cmp(left, made) < 0);
    cr_assert(right.n == 0 || bytes_cmp(made, right) < 0);
    cr_assert_lt(l->n, LONGEST);
    memmove(l->at + i + 1, l->at + i, (l->n - i) * sizeof *l->at);
    l->at[i] = p;
    l->n++;
    return made.n / POSITION_STEP;
}

static void take_out(struct list *l, unsigned i, struct list *graves)
{
    graves->at[graves->n++] = l->at[i];
    l->n--;
    memmove(l->at + i, l->at + i + 1, (l->n - i) * sizeof *l->at);
}

static void list_free(struct list *l)
{
    for (unsigned i = 0; i < l->n; i++)
        buf_deinit(&l->at[i]);
    mem_free(l);
}

Test(position, random_lists_stay_in_order_and_no_position_comes_twice)
{
    for (unsigned seed = 0; seed < 30; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        struct list *l = mem_zalloc(sizeof *l), *graves = mem_zalloc(sizeof *graves);
        struct position_runs *runs[3] = {position_runs_new(), position_runs_new(),
                                         position_runs_new()};
        struct clock clocks[3] = {{.actor = 1}, {.actor = 2}, {.actor = 3}};
        int64_t wall = STAMP_EPOCH_MS + 1;
        for (unsigned step = 0; step < 800; step++, wall++) {
            unsigned who = (unsigned)rng_below(&rng, 3), how = (unsigned)rng_below(&rng, 10);
            if (how < 3 && l->n > 0) {
                take_out(l, (unsigned)rng_below(&rng, l->n), graves);
                continue;
            }
            unsigned i = how < 5 ? 0 : how < 7 ? l->n : (unsigned)rng_below(&rng, l->n + 1);
            insert(l, i, clock_tick(&clocks[who], wall), runs[who]);
        }
        for (unsigned i = 0; i < l->n; i++)
            for (unsigned j = 0; j < graves->n; j++)
                cr_assert(!bytes_eq(nth(l, i), nth(graves, j)), "used twice");
        for (unsigned i = 0; i < graves->n; i++)
            for (unsigned j = 0; j < i; j++)
                cr_assert(!bytes_eq(nth(graves, i), nth(graves, j)), "used twice");
        list_free(l);
        list_free(graves);
        for (unsigned r = 0; r < 3; r++)
            position_runs_free(runs[r]);
    }
}

static stamp_t stamp(uint32_t actor)
{
    static uint64_t ms;
    return stamp_make(++ms, 0, actor);
}

Test(position, pushes_extend_a_run_at_either_end)
{
    struct list *l = mem_zalloc(sizeof *l);
    struct position_runs *runs = position_runs_new();
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(insert(l, l->n, stamp(1), runs), 1);
        cr_assert_eq(insert(l, 0, stamp(1), runs), 1);
    }
    stamp_t run = position_step(nth(l, 0), 0).run;
    for (unsigned i = 0; i < l->n; i++) {
        cr_assert_eq(position_step(nth(l, i), 0).run, run);
        cr_assert_eq(position_step(nth(l, i), 0).offset, (int32_t)i - 100);
    }
    list_free(l);
    position_runs_free(runs);
}

Test(position, concurrent_pushes_do_not_interleave)
{
    struct list *a = mem_zalloc(sizeof *a), *b = mem_zalloc(sizeof *b),
                *both = mem_zalloc(sizeof *both);
    struct position_runs *mine = position_runs_new(), *theirs = position_runs_new();
    for (unsigned i = 0; i < 20; i++) {
        insert(a, i, stamp(1), mine);
        insert(b, i, stamp(2), theirs);
    }
    /* whichever run comes first, all of it does */
    bool first = bytes_cmp(nth(a, 0), nth(b, 0)) < 0;
    cr_assert_eq(bytes_cmp(nth(a, 19), nth(b, 0)) < 0, first);
    cr_assert_eq(bytes_cmp(nth(a, 0), nth(b, 19)) < 0, first);
    list_free(a);
    list_free(b);
    list_free(both);
    position_runs_free(mine);
    position_runs_free(theirs);
}

Test(position, inserting_before_one_pivot_makes_a_run_and_not_longer_paths)
{
    struct list *l = mem_zalloc(sizeof *l);
    struct position_runs *runs = position_runs_new();
    insert(l, 0, stamp(1), runs);
    insert(l, 1, stamp(1), runs);
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_leq(insert(l, l->n - 1, stamp(1), runs), 2u); /* LINSERT BEFORE the last */
        cr_assert_leq(insert(l, 1, stamp(1), runs), 3u);        /* LINSERT AFTER the first */
    }
    list_free(l);
    position_runs_free(runs);
}

Test(position, without_its_runs_a_writer_starts_new_ones)
{
    struct list *l = mem_zalloc(sizeof *l);
    for (unsigned i = 0; i < 10; i++) {
        struct position_runs *fresh = position_runs_new();
        insert(l, i % 2 ? 0 : l->n, stamp(1), fresh);
        position_runs_free(fresh);
    }
    for (unsigned i = 0; i < l->n; i++)
        cr_assert_eq(position_step(nth(l, i), 0).offset, 0);
    list_free(l);
}

Test(position, forgets_the_oldest_runs)
{
    struct position_runs *runs = position_runs_new();
    struct buf first = {0}, p = {0};
    cr_assert(position_between(&first, none, none, stamp(1), runs));
    for (unsigned i = 0; i < RUNS_MAX; i++) { /* as many other lists */
        buf_clear(&p);
        cr_assert(position_between(&p, none, none, stamp(1), runs));
    }
    struct buf next = {0};
    cr_assert(position_between(&next, buf_bytes(&p), none, stamp(1), runs));
    cr_assert_eq(position_step(buf_bytes(&next), 0).offset, 1, "the newest run is extended");
    buf_clear(&next);
    cr_assert(position_between(&next, buf_bytes(&first), none, stamp(1), runs));
    cr_assert_eq(position_step(buf_bytes(&next), 0).offset, 0, "the oldest is not");
    cr_assert_eq(position_step(buf_bytes(&next), 0).base, 1);
    buf_deinit(&first);
    buf_deinit(&p);
    buf_deinit(&next);
    position_runs_free(runs);
}

Test(position, says_no_when_a_path_would_be_too_long)
{
    struct position_runs *runs = position_runs_new();
    struct buf left = {0}, right = {0}, out = {0};
    stamp_t other = stamp(2);
    for (unsigned i = 0; i < POSITION_STEPS_MAX; i++)
        position_put(&left, (struct position_step){.base = 0, .run = other});
    position_put(&right, (struct position_step){.base = 1, .run = other});
    cr_assert(!position_between(&out, buf_bytes(&left), buf_bytes(&right), stamp(1), runs));
    cr_assert_eq(buf_len(&out), 0);
    cr_assert(position_between(&out, buf_bytes(&left), none, stamp(1), runs), "never at the end");
    cr_assert(position_valid(buf_bytes(&out)));
    buf_clear(&out);
    cr_assert(position_between(&out, none, buf_bytes(&left), stamp(1), runs), "nor at the start");
    cr_assert(position_valid(buf_bytes(&out)));
    buf_deinit(&left);
    buf_deinit(&right);
    buf_deinit(&out);
    position_runs_free(runs);
}

Test(position, an_own_run_with_an_offset_never_given_out_is_not_extended)
{
    struct position_runs *runs = position_runs_new();
    struct buf mine = {0}, forged = {0}, out = {0};
    cr_assert(position_between(&mine, none, none, stamp(1), runs));
    struct position_step s = position_step(buf_bytes(&mine), 0);
    s.offset = 100;
    position_put(&forged, s);
    cr_assert(position_between(&out, buf_bytes(&forged), none, stamp(1), runs));
    cr_assert_gt(bytes_cmp(buf_bytes(&out), buf_bytes(&forged)), 0);
    buf_clear(&out);
    s.offset = -100;
    buf_clear(&forged);
    position_put(&forged, s);
    cr_assert(position_between(&out, none, buf_bytes(&forged), stamp(1), runs));
    cr_assert_lt(bytes_cmp(buf_bytes(&out), buf_bytes(&forged)), 0);
    buf_deinit(&mine);
    buf_deinit(&forged);
    buf_deinit(&out);
    position_runs_free(runs);
}
