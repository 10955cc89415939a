/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/share.h"

#include <criterion/criterion.h>

/* A worker whose turns take as long as the test says. */
struct bench {
    struct port port; /* first */
    struct port_ops ops;
    uint64_t now_us;
    struct share share;
};

static uint64_t clock_us(struct port *p) { return ((struct bench *)(void *)p)->now_us; }

static void bench_init(struct bench *b)
{
    *b = (struct bench){.now_us = 1000000};
    b->ops.clock_us = clock_us;
    b->port.ops = &b->ops;
}

/* A turn in which clients take so long (0: there are none), then work that never ends. Returns how
 * long it was let work, looking at the clock each microsecond. */
static uint64_t turn(struct bench *b, uint64_t clients_us)
{
    struct moment began = {.mono_us = b->now_us};
    b->now_us += clients_us;
    share_turn(&b->share, &b->port, clients_us > 0, began);
    uint64_t from = b->now_us;
    struct share_slice slice = share_begin(&b->share, &b->port);
    while (share_left(&slice, &b->port))
        b->now_us++;
    return b->now_us - from;
}

Test(share, alone_it_works_in_slices_of_a_millisecond)
{
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(turn(&b, 0), 1000);
}

Test(share, clients_go_first)
{
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(turn(&b, 20), 0);
}

Test(share, a_few_clients_wait_a_tenth_of_a_millisecond)
{
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(turn(&b, 10), 0);
        for (int k = 0; k < 9; k++)
            cr_assert_eq(turn(&b, 0), 100);
    }
    b.now_us += 200000; /* they have gone */
    cr_assert_eq(turn(&b, 0), 1000);
}

Test(share, clients_that_keep_the_worker_busy_leave_half)
{
    struct bench b;
    bench_init(&b);
    uint64_t worked = 0, served = 0;
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(turn(&b, 600), 0);
        served += 600;
        worked += turn(&b, 0);
    }
    cr_assert(worked > served * 9 / 10 && worked <= served, "%llu of %llu",
              (unsigned long long)worked, (unsigned long long)served);
}

Test(share, a_turn_that_was_interrupted_counts_little)
{
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < 100; i++)
        turn(&b, 20);
    turn(&b, 10000);
    cr_assert_eq(turn(&b, 0), 100);
}

Test(share, several_share_a_slice)
{
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < 5; i++) {
        share_turn(&b.share, &b.port, false, (struct moment){.mono_us = b.now_us});
        uint64_t from = b.now_us;
        for (int k = 0; k < 4; k++) {
            struct share_slice slice = share_begin(&b.share, &b.port);
            while (share_left(&slice, &b.port))
                b.now_us++;
        }
        if (i > 0)
            cr_assert_eq(b.now_us - from, 1000);
    }
}

Test(share, who_falls_behind_gets_more_until_it_does_not)
{
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < 200; i++)
        turn(&b, 400);
    uint64_t usual = turn(&b, 0);
    for (int i = 0; i < 5; i++) {
        share_press(&b.share, (struct moment){.mono_us = b.now_us});
        share_press(&b.share, (struct moment){.mono_us = b.now_us}); /* once a second is enough */
        b.now_us += 1000000;
        turn(&b, 400);
    }
    turn(&b, 400);
    uint64_t pressed = turn(&b, 0);
    cr_assert(pressed > 7 * usual && pressed <= 4000, "%llu, then %llu", (unsigned long long)usual,
              (unsigned long long)pressed);
    for (int i = 0; i < 10; i++) {
        b.now_us += 1000000;
        turn(&b, 400);
    }
    turn(&b, 400);
    cr_assert_leq(turn(&b, 0), usual + usual / 4);
}

Test(share, without_one_there_is_no_end)
{
    struct bench b;
    bench_init(&b);
    struct share_slice slice = share_begin(NULL, &b.port);
    b.now_us += 1000000000;
    cr_assert(share_left(&slice, &b.port));
}
