/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/regions.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define EXPECT(g, r, words, reply)                                                                 \
    do {                                                                                           \
        const char *got_ = regions_do(g, r, words);                                                \
        cr_assert_str_eq(got_, reply, "region %u, %s: %s\n%.*s", r, words, got_,                   \
                         (int)buf_len(&(g)->log), (const char *)(g)->log.p);                       \
    } while (0)
#define AGREE(g, ms)                                                                               \
    cr_assert(regions_agree(g, ms), "no agreement\n%.*s", (int)buf_len(&(g)->log),                 \
              (const char *)(g)->log.p)

Test(syncer, two_regions_converge)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 1});
    AGREE(g, 2000);
    regions_do(g, 1, "SET a one");
    regions_do(g, 2, "INCRBY n 5");
    regions_do(g, 1, "INCRBY n 2");
    AGREE(g, 2000);
    EXPECT(g, 2, "GET a", "$3\r\none\r\n");
    EXPECT(g, 1, "GET n", "$1\r\n7\r\n");
    cr_assert_eq(regions_stats(g, 1, 2).state, LINK_UP);
    cr_assert(regions_stats(g, 1, 2).feeding);
    cr_assert_eq(regions_stats(g, 1, 2).lag_ops, 0u);
    cr_assert_eq(regions_stats(g, 1, 2).behind_ms, 0);
    regions_free(g);
}

Test(syncer, shard_counts_may_differ)
{
    struct regions *g = regions_new(
        &(struct regions_opts){.n = 3, .seed = 2, .partitions = 16, .shards = {0, 1, 3, 4}});
    char line[64];
    for (unsigned i = 0; i < 90; i++) {
        snprintf(line, sizeof line, "SET key%u value%u", i, i);
        regions_do(g, 1 + i % 3, line);
    }
    AGREE(g, 3000);
    EXPECT(g, 1, "GET key89", "$7\r\nvalue89\r\n");
    EXPECT(g, 2, "GET key0", "$6\r\nvalue0\r\n");
    EXPECT(g, 3, "GET key1", "$6\r\nvalue1\r\n");
    regions_free(g);
}

Test(syncer, what_the_log_has_forgotten_comes_as_a_state)
{
    struct regions *g =
        regions_new(&(struct regions_opts){.n = 2, .seed = 3, .log_bytes = 16384, .off = 1u << 2});
    char line[128];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(line, sizeof line, "SET key%u a-value-of-some-length-%u", i % 500, i);
        regions_do(g, 1, line);
    }
    regions_start(g, 2, false);
    AGREE(g, 3000);
    EXPECT(g, 2, "GET key0", "$27\r\na-value-of-some-length-1500\r\n");
    cr_assert_gt(regions_stats(g, 2, 1).transfers_in, 0u);
    regions_do(g, 1, "SET key0 later");
    AGREE(g, 3000);
    EXPECT(g, 2, "GET key0", "$5\r\nlater\r\n");
    regions_free(g);
}

Test(syncer, a_third_region_relays_between_two_that_are_cut_off)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 3, .seed = 4});
    AGREE(g, 2000);
    regions_cut(g, 1, 2, true);
    regions_do(g, 1, "SADD s a");
    regions_do(g, 2, "SADD s b");
    regions_run(g, 2000);
    cr_assert(regions_equal(g), "%.*s", (int)buf_len(&g->log), (const char *)g->log.p);
    EXPECT(g, 1, "SCARD s", ":2\r\n");
    EXPECT(g, 2, "SCARD s", ":2\r\n");
    regions_do(g, 1, "SADD s c");
    regions_run(g, 100);
    EXPECT(g, 2, "SCARD s", ":3\r\n"); /* the relay stands: nothing is asked for again */
    regions_run(g, 20000);
    regions_cut(g, 1, 2, false);
    regions_do(g, 2, "SREM s a");
    AGREE(g, 20000);
    EXPECT(g, 1, "SCARD s", ":2\r\n");
    regions_free(g);
}

Test(syncer, the_last_words_of_a_dead_region_reach_all)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 3, .seed = 5});
    AGREE(g, 2000);
    regions_pause(g, 3, 1, true);
    regions_pause(g, 3, 2, true);
    regions_do(g, 1, "SET k last-words");
    regions_run(g, 100);
    EXPECT(g, 2, "GET k", "$10\r\nlast-words\r\n");
    EXPECT(g, 3, "GET k", "$-1\r\n");
    regions_kill(g, 1);
    regions_pause(g, 3, 1, false);
    regions_pause(g, 3, 2, false);
    regions_run(g, 3000);
    EXPECT(g, 3, "GET k", "$10\r\nlast-words\r\n");
    regions_free(g);
}

Test(syncer, a_region_that_lost_everything_gets_its_own_writes_back)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 6});
    regions_do(g, 1, "SET k v");
    regions_do(g, 1, "INCRBY n 5");
    AGREE(g, 2000);
    regions_kill(g, 1);
    regions_start(g, 1, true);
    cr_assert_not(syncer_caught_up(g->at[1].syncers[0]));
    AGREE(g, 10000);
    cr_assert(syncer_caught_up(g->at[1].syncers[0]));
    EXPECT(g, 1, "GET k", "$1\r\nv\r\n");
    EXPECT(g, 1, "INCR n", ":6\r\n");
    AGREE(g, 2000);
    EXPECT(g, 2, "GET n", "$1\r\n6\r\n");
    regions_free(g);
}

Test(syncer, when_all_regions_lost_everything_the_lowest_goes_first)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 3, .seed = 7});
    regions_do(g, 2, "SET k v");
    AGREE(g, 2000);
    for (uint32_t r = 1; r <= 3; r++)
        regions_kill(g, r);
    for (uint32_t r = 1; r <= 3; r++)
        regions_start(g, r, true);
    AGREE(g, 10000);
    EXPECT(g, 2, "GET k", "$-1\r\n");
    EXPECT(g, 3, "SET k again", "+OK\r\n");
    AGREE(g, 2000);
    EXPECT(g, 1, "GET k", "$5\r\nagain\r\n");
    regions_free(g);
}

Test(syncer, a_paused_link_holds_frames_and_loses_none)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 8});
    AGREE(g, 2000);
    regions_pause(g, 2, 1, true);
    regions_do(g, 1, "SET k v");
    regions_run(g, 60000);
    EXPECT(g, 2, "GET k", "$-1\r\n");
    cr_assert_eq(regions_stats(g, 2, 1).state, LINK_PAUSED);
    cr_assert_gt(regions_stats(g, 1, 2).lag_ms, 50000);
    cr_assert_eq(regions_stats(g, 1, 2).lag_ops, 1u);
    regions_pause(g, 2, 1, false);
    AGREE(g, 1000);
    EXPECT(g, 2, "GET k", "$1\r\nv\r\n");
    regions_free(g);
}

Test(syncer, the_lag_of_a_peer_that_is_cut_off_is_the_age_of_what_it_lacks)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 8});
    AGREE(g, 2000);
    regions_cut(g, 1, 2, true);
    regions_run(g, 60000);
    cr_expect_eq(regions_stats(g, 1, 2).lag_ms, 0);
    regions_do(g, 1, "SET k v");
    regions_run(g, 30000);
    cr_expect(!regions_stats(g, 1, 2).feeding);
    cr_expect_eq(regions_stats(g, 1, 2).lag_ops, 1u);
    cr_expect(regions_stats(g, 1, 2).lag_ms > 28000 && regions_stats(g, 1, 2).lag_ms <= 30000,
              "%lld", (long long)regions_stats(g, 1, 2).lag_ms);
    regions_cut(g, 1, 2, false);
    AGREE(g, 20000);
    regions_run(g, 2000);
    cr_expect_eq(regions_stats(g, 1, 2).lag_ops, 0u);
    cr_expect_eq(regions_stats(g, 1, 2).lag_ms, 0);
    regions_free(g);
}

Test(syncer, a_clock_out_of_bounds_quarantines_the_link_until_it_is_mended)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 9});
    AGREE(g, 2000);
    world_clock_shift(g->world, g->at[1].host, 120000);
    regions_do(g, 1, "SET k v");
    regions_run(g, 3000);
    EXPECT(g, 2, "GET k", "$-1\r\n");
    struct link_stats stats = regions_stats(g, 2, 1);
    cr_assert_eq(stats.state, LINK_QUARANTINED);
    cr_assert_not_null(strstr(stats.error, "region 1"));
    world_clock_shift(g->world, g->at[2].host, 100000);
    regions_run(g, 2500);
    EXPECT(g, 2, "GET k", "$1\r\nv\r\n");
    AGREE(g, 2000);
    regions_free(g);
}

Test(syncer, a_removed_region_is_refused_by_name)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 3, .seed = 10});
    regions_do(g, 3, "SET k v");
    AGREE(g, 2000);
    for (uint32_t r = 1; r <= 2; r++) {
        g->at[r].config.version = 2;
        g->at[r].config.regions[3].id = 0;
        regions_configure(g, r);
    }
    regions_run(g, 6000);
    struct link_stats stats = regions_stats(g, 3, 1);
    cr_assert_eq(stats.state, LINK_REFUSED);
    cr_assert_not_null(strstr(stats.error, "removed"), "%s", stats.error);
    regions_do(g, 1, "SET k w");
    regions_run(g, 1000);
    EXPECT(g, 2, "GET k", "$1\r\nw\r\n");
    EXPECT(g, 3, "GET k", "$1\r\nv\r\n");
    cr_assert_eq(shard_unsettled(g->at[1].shards[0]), 0u);
    regions_free(g);
}

/* Region 3 was heard of by a frame only, whose causes went with it and with region 1. */
Test(syncer, a_frame_of_a_removed_region_does_not_wait_for_what_is_lost)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 3, .seed = 12, .off = 1u << 2});
    regions_do(g, 1, "SET k a");
    regions_run(g, 100);
    regions_do(g, 3, "SET k b");
    regions_cut(g, 1, 2, true);
    regions_start(g, 2, false);
    regions_run(g, 60);
    cr_assert_gt(regions_stats(g, 2, 3).waiting_bytes, 0u);
    regions_kill(g, 1);
    regions_kill(g, 3);
    regions_cut(g, 1, 2, false);
    regions_run(g, 100);
    for (uint32_t r = 1; r <= 2; r++) {
        g->at[r].config.version = 2;
        g->at[r].config.regions[3].id = 0;
    }
    regions_configure(g, 2);
    regions_start(g, 1, true);
    AGREE(g, 10000);
    cr_assert_eq(regions_stats(g, 2, 1).waiting_bytes, 0u);
    EXPECT(g, 2, "GET k", "$-1\r\n");
    regions_free(g);
}

Test(syncer, a_wrong_secret_is_refused_and_named)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 11, .off = 1u << 2});
    snprintf(g->at[2].config.secret, sizeof g->at[2].config.secret, "other");
    regions_start(g, 2, false);
    regions_do(g, 1, "SET k v");
    regions_run(g, 3000);
    EXPECT(g, 2, "GET k", "$-1\r\n");
    cr_assert_eq(regions_stats(g, 2, 1).state, LINK_REFUSED);
    cr_assert_not_null(strstr(regions_stats(g, 2, 1).error, "secret"));
    regions_free(g);
}

Test(syncer, compression_changes_bytes_and_nothing_else)
{
    uint64_t bytes[2];
    for (uint32_t level = 0; level < 2; level++) {
        struct regions *g =
            regions_new(&(struct regions_opts){.n = 2, .seed = 12, .compression = level});
        char line[160];
        AGREE(g, 2000);
        regions_pause(g, 2, 1, true);
        regions_run(g, 100);
        for (unsigned i = 0; i < 300; i++) {
            snprintf(line, sizeof line, "SET key%u text-text-text-text-text-text-text-%u", i, i);
            regions_do(g, 1, line);
        }
        regions_pause(g, 2, 1, false);
        AGREE(g, 2000);
        EXPECT(g, 2, "GET key299", "$38\r\ntext-text-text-text-text-text-text-299\r\n");
        bytes[level] = regions_stats(g, 2, 1).bytes_in;
        regions_free(g);
    }
    cr_assert_lt(bytes[1] * 2, bytes[0]);
}

Test(syncer, little_room_to_wait_or_send_only_makes_it_slower)
{
    struct regions *g = regions_new(&(struct regions_opts){
        .n = 3, .seed = 13, .partitions = 2, .send_max = 2000, .wait_max = 1500});
    AGREE(g, 2000);
    regions_pause(g, 3, 1, true);
    char line[64];
    for (unsigned i = 0; i < 400; i++) { /* each depends on the one before, made elsewhere */
        snprintf(line, sizeof line, "APPEND key%u some-text-%u", i % 7, i);
        regions_do(g, 1 + i % 2, line);
        regions_run(g, 2);
    }
    cr_assert_leq(regions_stats(g, 3, 2).waiting_bytes, 1500u);
    regions_pause(g, 3, 1, false);
    AGREE(g, 60000); /* what finds no room is asked for again, twice a second */
    regions_free(g);
}

/* 25 MB, in bulk, for a region whose disk takes nothing. */
static size_t owed_after(struct regions *g, unsigned ms)
{
    regions_run(g, ms);
    return log_overdue(shard_log(g->at[2].shards[0]));
}

Test(syncer, what_comes_in_bulk_waits_for_the_disk_before_clients_do)
{
    struct regions *g = regions_new(
        &(struct regions_opts){.n = 2, .seed = 33, .log_bytes = (size_t)64 << 20, .off = 1u << 2});
    static char line[(64 << 10) + 32];
    for (unsigned i = 0; i < 400; i++) {
        int n = snprintf(line, sizeof line, "SET key%u ", i);
        memset(line + n, 'v', (size_t)64 << 10);
        regions_do(g, 1, line);
    }
    regions_start(g, 2, false);
    struct shard *s = g->at[2].shards[0];
    log_set_max(shard_log(s), 1u << 20);
    shard_hold_log(s, log_end(shard_log(s)));
    size_t owed = owed_after(g, 3000);
    cr_assert_gt(owed, (size_t)8 << 20);
    cr_assert_lt(owed, (size_t)9 << 20, "it goes on taking: %zu", owed);
    EXPECT(g, 2, "SET mine v", "+OK\r\n"); /* what is not bulk goes on, both ways */
    regions_run(g, 200);
    EXPECT(g, 1, "GET mine", "$1\r\nv\r\n");
    cr_assert_gt(owed_after(g, 5000), (size_t)20 << 20, "it waits for ever");
    shard_hold_log(s, UINT64_MAX);
    AGREE(g, 5000);
    regions_free(g);
}

/* ------------------------------------------------------------ regions with disks */

static const struct context *on_disk(void *arg, uint32_t partition)
{
    const struct context *durable = arg;
    return &durable[partition];
}

Test(syncer, a_region_with_a_disk_claims_what_is_durable)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 14, .partitions = 2});
    struct context durable[3] = {{0}};
    syncer_set_lasting(g->at[1].syncers[0], on_disk, durable);
    regions_pause(g, 1, 2, true);
    regions_pause(g, 2, 1, true);
    regions_do(g, 1, "SET k one");
    regions_do(g, 2, "SET k two");
    regions_pause(g, 1, 2, false);
    regions_pause(g, 2, 1, false);
    regions_run(g, 3000);
    cr_assert(regions_equal(g));
    cr_assert_eq(shard_unsettled(g->at[1].shards[0]), 0, "the other one claims what it has");
    cr_assert_gt(shard_unsettled(g->at[2].shards[0]), 0, "it may yet be forgotten there");
    for (uint32_t i = 0; i < 3; i++)
        context_copy(&durable[i], shard_context(g->at[1].shards[0], i));
    syncer_durable(g->at[1].syncers[0], (struct moment){.mono_us = world_now_us(g->world)});
    regions_run(g, 2000);
    cr_assert_eq(shard_unsettled(g->at[2].shards[0]), 0);
    for (uint32_t i = 0; i < 3; i++)
        context_deinit(&durable[i]);
    regions_free(g);
}

Test(syncer, a_region_that_kept_its_state_writes_at_once)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 15});
    AGREE(g, 2000);
    regions_cut(g, 1, 2, true);
    regions_kill(g, 1);
    regions_start(g, 1, true);
    regions_run(g, 500);
    cr_assert(strncmp(regions_do(g, 1, "SET k v"), "-STALE", 6) == 0);
    regions_kill(g, 1);
    g->at[1].config.kept = true;
    regions_start(g, 1, true);
    regions_run(g, 500);
    EXPECT(g, 1, "SET k v", "+OK\r\n");
    regions_cut(g, 1, 2, false);
    AGREE(g, 20000);
    EXPECT(g, 2, "GET k", "$1\r\nv\r\n");
    regions_free(g);
}

Test(syncer, a_region_that_comes_back_is_dialled_when_it_dials)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 31});
    cr_assert(regions_agree(g, 2000));
    regions_kill(g, 2);
    regions_run(g, 60000); /* region 1 dials every five seconds by now */
    regions_start(g, 2, true);
    unsigned ms = 0;
    while (ms < 5000 &&
           (regions_stats(g, 1, 2).state != LINK_UP || !regions_stats(g, 1, 2).feeding)) {
        regions_run(g, 10);
        ms += 10;
    }
    cr_assert_leq(ms, 300, "both ways after %u ms", ms);
    regions_free(g);
}
