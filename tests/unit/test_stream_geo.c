/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include "base/rng.h"
#include "crdt/stream.h"

#include <stdio.h>
#include <stdlib.h>

/* Streams and their groups in three regions. */

static struct run a, b, c, *all[3] = {&a, &b, &c};

static void start(void)
{
    for (unsigned i = 0; i < 3; i++) {
        run_start(all[i], i + 1, true);
        shard_set_xadd_ids(all[i]->shard, XADD_IDS_SEMI_STRICT);
    }
}

static void stop(void)
{
    for (unsigned i = 0; i < 3; i++)
        run_stop(all[i]);
}

TestSuite(stream_geo, .init = start, .fini = stop);

static void expect_all(const char *line, const char *wanted)
{
    for (unsigned i = 0; i < 3; i++)
        expect(all[i], line, wanted);
}

Test(stream_geo, equal_ids_of_two_regions_are_both_kept)
{
    expect(&a, "XADD x 5-5 f a", "5-5");
    expect(&b, "XADD x 5-5 f b", "5-5");
    expect(&b, "XADD x 6-6 f b", "6-6");
    run_sync(all, 3);
    expect_all("XRANGE x - +", "[[5-5 [f a]] [5-5 [f b]] [6-6 [f b]]]");
    expect_all("XREVRANGE x + -", "[[6-6 [f b]] [5-5 [f b]] [5-5 [f a]]]");
    expect(&c, "XGROUP CREATE x g 0", "OK");
    expect(&c, "XREADGROUP GROUP g one COUNT 2 STREAMS x >", "[[x [[5-5 [f a]] [5-5 [f b]]]]]");
    expect(&c, "XACK x g 5-5", "2");
    expect(&c, "XDEL x 5-5", "2");
    run_sync(all, 3);
    expect_all("XRANGE x - +", "[[6-6 [f b]]]");
    expect_all("XPENDING x g", "[0 nil nil nil]");
}

Test(stream_geo, a_trim_keeps_what_it_had_not_seen)
{
    expect(&a, "XADD x 5-1 f a", "5-1");
    expect(&a, "XADD x 9-1 f a", "9-1");
    run_sync(all, 3);
    expect(&b, "XADD x 9-2 f b", "9-2");
    expect(&c, "XADD x 9-9 f late", "9-9");
    run_ship(&b, &a);
    expect(&a, "XTRIM x MAXLEN 0", "3");
    run_sync(all, 3);
    expect_all("XRANGE x - +", "[[9-9 [f late]]]");
    expect_all("XADD x NOMKSTREAM 9-9 f v",
               "error ERR The ID specified in XADD is equal or smaller than the target stream top "
               "item");
}

/* Each region's entries stand together, in blocks of their own: readers merge them. */
Test(stream_geo, long_runs_of_several_regions_are_read_as_one)
{
    char line[64];
    for (unsigned i = 1; i <= 1800; i++) {
        snprintf(line, sizeof line, "XADD x %u-1 i %u", i, i);
        run_raw(all[i % 3], line);
        if (i % 100 == 0)
            run_sync(all, 3);
    }
    expect_all("XLEN x", "1800");
    expect_all("XRANGE x 900 903",
               "[[900-1 [i 900]] [901-1 [i 901]] [902-1 [i 902]] [903-1 [i 903]]]");
    expect_all("XREVRANGE x 1201 1200", "[[1201-1 [i 1201]] [1200-1 [i 1200]]]");
    expect_all("XRANGE x 1800 +", "[[1800-1 [i 1800]]]");
    expect(&b, "XTRIM x MAXLEN 300", "1500");
    run_sync(all, 3);
    expect_all("XRANGE x - + COUNT 2", "[[1501-1 [i 1501]] [1502-1 [i 1502]]]");
    expect(&c, "XTRIM x MINID 1750", "249");
    run_sync(all, 3);
    expect_all("XLEN x", "51");
}

Test(stream_geo, a_deletion_keeps_what_was_added_meanwhile)
{
    expect(&a, "XADD x 1-1 f a", "1-1");
    expect(&a, "XGROUP CREATE x g 0", "OK");
    run_sync(all, 3);
    expect(&a, "DEL x", "1");
    expect(&b, "XADD x 2-1 f b", "2-1");
    run_sync(all, 3);
    expect_all("XRANGE x - +", "[[2-1 [f b]]]");
    expect_all("XINFO GROUPS x", "[]");
}

Test(stream_geo, concurrent_groups_and_consumers)
{
    expect(&a, "XADD x 1-1 f a", "1-1");
    expect(&a, "XADD x 2-1 f a", "2-1");
    expect(&a, "XGROUP CREATE x g 0", "OK");
    run_sync(all, 3);
    expect(&a, "XREADGROUP GROUP g one COUNT 1 STREAMS x >", "[[x [[1-1 [f a]]]]]");
    b.now.wall_ms += 1000; /* the later one */
    expect(&b, "XREADGROUP GROUP g two STREAMS x >", "[[x [[1-1 [f a]] [2-1 [f a]]]]]");
    run_sync(all, 3);
    /* at least once: both were given 1-1, the later one has it now */
    expect_all("XINFO CONSUMERS none g", "error ERR no such key");
    expect_all("XPENDING x g", "[2 1-1 2-1 [[two 2]]]");
    expect_all("XREADGROUP GROUP g three STREAMS x >", "nil");
    expect(&c, "XGROUP DELCONSUMER x g two", "2");
    expect(&b, "XREADGROUP GROUP g two STREAMS x 0", "[[x [[1-1 [f a]] [2-1 [f a]]]]]");
    run_sync(all, 3);
    expect_all("XPENDING x g", "[2 1-1 2-1 [[two 2]]]"); /* it was given them once more */
    expect(&a, "XGROUP DESTROY x g", "1");
    expect(&b, "XREADGROUP GROUP g two STREAMS x 1-1", "[[x [[2-1 [f a]]]]]");
    run_sync(all, 3);
    expect_all("XINFO GROUPS x", "[]");
    expect(&c, "XGROUP CREATE x g 0", "OK"); /* takes over nothing of the old one */
    run_sync(all, 3);
    expect_all("XPENDING x g", "[0 nil nil nil]");
    expect(&a, "XREADGROUP GROUP g one STREAMS x >", "[[x [[1-1 [f a]] [2-1 [f a]]]]]");
}

Test(stream_geo, the_end_is_what_was_seen_of_each_region)
{
    expect(&a, "XADD x 5-1 f a", "5-1");
    run_sync(all, 3);
    expect(&b, "XADD x 6-2 f b", "6-2");
    run_ship(&b, &a);
    expect(&c, "XADD x 5-3 f late", "5-3");
    expect(&a, "XGROUP CREATE x g $", "OK");
    expect(&a, "XINFO GROUPS x",
           "[[name g consumers 0 pending 0 last-delivered-id 6-2 entries-read 2 lag 0]]");
    run_sync(all, 3);
    expect_all("XINFO GROUPS x",
               "[[name g consumers 0 pending 0 last-delivered-id 6-2 entries-read 2 lag 1]]");
    expect(&b, "XREADGROUP GROUP g one STREAMS x >", "[[x [[5-3 [f late]]]]]");
    run_sync(all, 3);
    expect_all("XREADGROUP GROUP g one STREAMS x >", "nil");
}

Test(stream_geo, an_id_that_was_set_holds_everywhere)
{
    expect(&a, "XADD x 5-1 f a", "5-1");
    expect(&b, "XADD x 7-2 f b", "7-2");
    run_sync(all, 3);
    expect(&c, "XDEL x 7-2", "1");
    expect(&c, "XSETID x 6-0 ENTRIESADDED 10 MAXDELETEDID 3-3", "OK");
    run_sync(all, 3);
    expect_all("XINFO STREAM x",
               "[length 1 radix-tree-keys 1 radix-tree-nodes 2 last-generated-id 6-0 "
               "max-deleted-entry-id 3-3 entries-added 10 recorded-first-entry-id 5-1 groups 0 "
               "first-entry [5-1 [f a]] last-entry [5-1 [f a]]]");
}

/* ------------------------------------------------------------ random histories */

static unsigned pick(struct rng *rng, uint64_t n) { return (unsigned)rng_below(rng, n); }

/* Which entries the group gave out, by their number. */
#define ENTRIES 400u
static struct {
    unsigned added;
    bool given[ENTRIES];
} story;

static void add(struct run *x, bool large)
{
    char line[80];
    for (unsigned i = 0; i < (large ? 60u : 1u) && story.added < ENTRIES; i++) {
        snprintf(line, sizeof line, "XADD x * n <%u>", story.added++);
        run_raw(x, line);
    }
}

static void note_given(const char *reply)
{
    for (const char *p = reply; (p = strchr(p, '<')) != NULL; p++)
        story.given[strtoul(p + 1, NULL, 10)] = true;
}

static void step(struct rng *rng, bool keeps)
{
    static const char *const lines[] = {"XACK x g 0-1",
                                        "XAUTOCLAIM x g bob 0 0 COUNT 3",
                                        "XREADGROUP GROUP g alice COUNT 2 STREAMS x 0",
                                        "XGROUP CREATECONSUMER x g dave",
                                        "XGROUP DELCONSUMER x g dave",
                                        "XPENDING x g - + 5",
                                        "XINFO STREAM x FULL",
                                        "XGROUP CREATE x other $",
                                        "XGROUP DESTROY x other",
                                        "XREADGROUP GROUP other alice COUNT 5 STREAMS x >",
                                        "XGROUP SETID x other 0",
                                        "XTRIM x MAXLEN 20",
                                        "XADD x MAXLEN 50 * n v",
                                        "XGROUP DESTROY x g",
                                        "XGROUP CREATE x g 0 MKSTREAM",
                                        "DEL x",
                                        "XSETID x 99999999999999-0"};
    struct run *x = all[pick(rng, 3)], *y = all[pick(rng, 3)];
    unsigned what = pick(rng, 100);
    char line[100];
    x->now.wall_ms += pick(rng, 3);
    if (what < 30) {
        add(x, what == 0);
    } else if (what < 45) {
        snprintf(line, sizeof line, "XREADGROUP GROUP g c%u COUNT %u STREAMS x >", pick(rng, 3),
                 1 + pick(rng, 4));
        note_given(run(x, line));
    } else if (what < 65) {
        run_raw(x, lines[pick(rng, keeps ? 11 : sizeof lines / sizeof *lines)]);
    } else if (what < 90 && x != y) {
        run_ship(x, y);
    } else {
        run_stable(all, 3);
    }
}

static void check_same(uint64_t seed)
{
    static const char *const lines[] = {"XRANGE x - +", "XINFO STREAM x FULL COUNT 0",
                                        "XINFO GROUPS x", "XPENDING x g"};
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        char *first = strdup(run(&a, lines[i]));
        cr_expect_str_eq(run(&b, lines[i]), first, "seed %u: %s", (unsigned)seed, lines[i]);
        cr_expect_str_eq(run(&c, lines[i]), first, "seed %u: %s", (unsigned)seed, lines[i]);
        free(first);
    }
    run_stable(all, 3);
    run_sync(all, 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(shard_unsettled(all[i]->shard), 0u, "seed %u region %u", (unsigned)seed, i);
}

Test(stream_geo, no_group_skips_an_entry)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        stop();
        start();
        memset(&story, 0, sizeof story);
        run_raw(&a, "XGROUP CREATE x g 0 MKSTREAM");
        run_sync(all, 3);
        for (unsigned i = 0; i < 150; i++)
            step(&rng, true);
        run_sync(all, 3);
        note_given(run(all[seed % 3], "XREADGROUP GROUP g last STREAMS x >"));
        run_sync(all, 3);
        for (unsigned n = 0; n < story.added; n++)
            cr_assert(story.given[n], "seed %u: entry %u was never given out", (unsigned)seed, n);
        check_same(seed);
    }
}

Test(stream_geo, random_histories_converge)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng;
        rng_init(&rng, 1000 + seed);
        stop();
        start();
        memset(&story, 0, sizeof story);
        for (unsigned i = 0; i < 200; i++)
            step(&rng, false);
        run_sync(all, 3);
        check_same(seed);
    }
}
