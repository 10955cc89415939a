/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/regions.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Peers that were away for longer than the log's memory reaches, and the log on disk. */

#define AGREE(g, ms)                                                                               \
    cr_assert(regions_agree(g, ms), "no agreement\n%s\n%.*s", regions_describe(g),                 \
              (int)buf_len(&(g)->log), (const char *)(g)->log.p)

static void fill(struct regions *g, uint32_t r, unsigned from, unsigned n, unsigned keys)
{
    char line[160];
    for (unsigned i = from; i < from + n; i++) {
        if (i % 3 == 0)
            snprintf(line, sizeof line, "HSET hash%u field%u a-value-%u", i % 7, i % keys, i);
        else if (i % 11 == 0)
            snprintf(line, sizeof line, "DEL key%u", (i * 7) % keys);
        else if (i % 13 == 0)
            snprintf(line, sizeof line, "INCR count%u", i % 5);
        else
            snprintf(line, sizeof line, "SET key%u a-value-of-some-length-that-fills-logs-%u",
                     i % keys, i);
        regions_do(g, r, line);
        if (i % 50 == 0)
            regions_run(g, 1);
    }
}

/* Until both sides have given the connections up. */
static void cut_off(struct regions *g, uint32_t r)
{
    regions_cut(g, 1, r, true);
    regions_run(g, 12000);
}

/* Two regions, the first one's log on disk and hardly in memory. */
static struct regions *two(uint64_t seed, uint64_t retention)
{
    struct regions *g = regions_new(&(struct regions_opts){
        .n = 2, .seed = seed, .log_bytes = 16384, .disks = 1u << 1, .retention = retention});
    fill(g, 1, 0, 300, 200);
    AGREE(g, 3000);
    return g;
}

Test(past, a_peer_that_was_cut_off_is_served_from_disk)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct regions *g = two(seed, 0);
        uint64_t transfers = regions_stats(g, 2, 1).transfers_in;
        cut_off(g, 2);
        fill(g, 1, 300, 3000, 200);
        fill(g, 2, 10000, 100, 150);
        regions_cut(g, 1, 2, false);
        AGREE(g, 30000);
        cr_assert_eq(regions_stats(g, 2, 1).transfers_in, transfers);
        fill(g, 1, 5000, 10, 200);
        AGREE(g, 2000);
        regions_free(g);
    }
}

Test(past, writes_go_on_meanwhile)
{
    struct regions *g = two(7, 0);
    uint64_t transfers = regions_stats(g, 2, 1).transfers_in;
    cut_off(g, 2);
    fill(g, 1, 300, 3000, 200);
    regions_cut(g, 1, 2, false);
    for (unsigned i = 0; i < 300; i++) {
        fill(g, 1, 4000 + 20 * i, 20, 300);
        regions_run(g, 5);
    }
    AGREE(g, 30000);
    cr_assert_eq(regions_stats(g, 2, 1).transfers_in, transfers);
    regions_free(g);
}

Test(past, a_cut_in_between_loses_nothing)
{
    struct regions *g = two(8, 0);
    uint64_t transfers = regions_stats(g, 2, 1).transfers_in;
    cut_off(g, 2);
    fill(g, 1, 300, 4000, 2000);
    for (unsigned i = 0; i < 6; i++) {
        regions_cut(g, 1, 2, false);
        regions_run(g, 20 + 30 * i);
        regions_cut(g, 1, 2, true);
        regions_run(g, 12000);
    }
    regions_cut(g, 1, 2, false);
    AGREE(g, 30000);
    cr_assert_eq(regions_stats(g, 2, 1).transfers_in, transfers);
    regions_free(g);
}

Test(past, the_feeder_has_restarted)
{
    struct regions *g = two(9, 0);
    uint64_t transfers = regions_stats(g, 2, 1).transfers_in;
    cut_off(g, 2);
    fill(g, 1, 300, 2000, 200);
    regions_kill(g, 1);
    regions_start(g, 1, true);
    fill(g, 1, 2300, 2000, 200);
    regions_cut(g, 1, 2, false);
    AGREE(g, 30000);
    cr_assert_eq(regions_stats(g, 2, 1).transfers_in, transfers);
    regions_free(g);
}

Test(past, beyond_the_retention_states_are_sent)
{
    struct regions *g = two(10, 20000);
    uint64_t transfers = regions_stats(g, 2, 1).transfers_in;
    cut_off(g, 2);
    fill(g, 1, 300, 5000, 500);
    regions_run(g, 3000);
    regions_cut(g, 1, 2, false);
    AGREE(g, 30000);
    cr_assert_gt(regions_stats(g, 2, 1).transfers_in, transfers);
    regions_free(g);
}

/* A connection breaks while it is written to: its end is told later, until then it takes nothing.
 */
static const struct port_ops *whole;
static uint64_t asked_us;

static struct buf *once_out(struct port *port, conn_id conn)
{
    uint64_t now = whole->clock_us(port), before = asked_us;
    asked_us = now;
    return now != before ? whole->out(port, conn) : NULL;
}

Test(past, a_connection_that_breaks_while_runs_fill_up, .timeout = 60)
{
    struct regions *g = regions_new(&(struct regions_opts){
        .n = 2, .seed = 13, .log_bytes = 16384, .disks = 1u << 1, .elide_max = 8000});
    fill(g, 1, 0, 300, 2000);
    AGREE(g, 3000);
    cut_off(g, 2);
    fill(g, 1, 300, 30000, 20000);
    struct port *port = g->at[1].port;
    whole = port->ops;
    struct port_ops broken = *whole;
    broken.out = once_out;
    regions_cut(g, 1, 2, false);
    for (unsigned i = 0; i < 200 && regions_stats(g, 1, 2).ops_disk == 0; i++)
        regions_run(g, 1);
    uint64_t read = regions_stats(g, 1, 2).ops_disk;
    cr_assert_gt(read, 0u);
    port->ops = &broken;
    regions_run(g, 3);
    port->ops = whole;
    cr_assert_lt(regions_stats(g, 1, 2).ops_disk - read, 1000u, "what can't be sent piles up");
    regions_cut(g, 1, 2, true);
    regions_run(g, 12000);
    regions_cut(g, 1, 2, false);
    AGREE(g, 30000);
    regions_free(g);
}

/* Bytes that region 1 sent until region 2 had all. */
static uint64_t overwrites(size_t elide_max, uint32_t compression, unsigned n, unsigned keys,
                           struct link_stats *stats)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2,
                                                           .seed = 12,
                                                           .log_bytes = 16384,
                                                           .disks = 1u << 1,
                                                           .elide_max = elide_max,
                                                           .compression = compression});
    char line[160];
    AGREE(g, 3000);
    cut_off(g, 2);
    uint64_t before = regions_stats(g, 1, 2).bytes_out;
    for (unsigned i = 0; i < n; i++) {
        snprintf(line, sizeof line, "SET key%u a-value-of-some-length-that-fills-logs-%08x",
                 i % keys, i * 2654435761u);
        regions_do(g, 1, line);
        if (i % 20 == 0)
            regions_run(g, 1); /* the disk works */
    }
    regions_cut(g, 1, 2, false);
    AGREE(g, 30000);
    *stats = regions_stats(g, 1, 2);
    uint64_t bytes = stats->bytes_out - before;
    regions_free(g);
    return bytes;
}

Test(past, what_was_overwritten_is_not_sent)
{
    struct link_stats all, few, packed, narrow;
    uint64_t bytes_all = overwrites(0, 0, 3000, 3000, &all);
    uint64_t bytes_few = overwrites(0, 0, 3000, 50, &few);
    uint64_t bytes_packed = overwrites(0, 1, 3000, 50, &packed);
    overwrites(16000, 0, 3000, 50, &narrow);
    cr_assert_eq(all.transfers_out, 0u);
    cr_assert_eq(few.transfers_out, 0u);
    cr_assert_eq(all.ops_elided, 0u);
    cr_assert_gt(few.ops_elided, 2400u, "%u of %u", (unsigned)few.ops_elided,
                 (unsigned)few.ops_disk);
    cr_assert_lt(bytes_few, bytes_all / 5);
    cr_assert_lt(bytes_packed, bytes_few);
    cr_assert_gt(narrow.ops_elided, 2400u, "one partition after the other");
    cr_assert_gt(narrow.ops_disk, few.ops_disk);
    cr_assert_eq(narrow.transfers_out, 0u);
    /* key and value have about 60 bytes */
    cr_assert_lt(bytes_all, 3000u * 60u * 13u / 10u, "%u", (unsigned)bytes_all);
}

/* However much was written again and again: each key is sent once, in frames of many pieces. */
Test(past, what_was_written_evenly_is_sent_once)
{
    struct link_stats stats;
    uint64_t bytes = overwrites(0, 0, 24000, 12000, &stats);
    cr_assert_eq(stats.transfers_out, 0u);
    cr_assert_eq(stats.ops_elided, 12000u);
    cr_assert_lt(bytes, 12000u * 60u * 13u / 10u, "%u", (unsigned)bytes);
    bytes = overwrites(0, 1, 24000, 12000, &stats);
    cr_assert_eq(stats.ops_elided, 12000u);
    cr_assert_lt(bytes, 12000u * 60u);
}

/* What the first region lost came back to it as states: of that there are no frames. */
Test(past, what_came_as_a_state_goes_on_as_a_state)
{
    struct regions *g = regions_new(
        &(struct regions_opts){.n = 3, .seed = 11, .log_bytes = 16384, .disks = 1u << 1});
    fill(g, 1, 0, 300, 200);
    AGREE(g, 5000);
    regions_cut(g, 2, 3, true);
    cut_off(g, 3);
    fill(g, 1, 300, 1500, 200);
    regions_run(g, 3000);
    regions_kill(g, 1);
    regions_wipe(g, 1);
    regions_start(g, 1, true);
    regions_run(g, 5000);
    fill(g, 1, 2000, 1500, 200);
    regions_cut(g, 1, 3, false);
    regions_cut(g, 2, 3, false);
    AGREE(g, 30000);
    regions_free(g);
}
