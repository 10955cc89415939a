/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/vault.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

/*
 * A process with one shard and its folder on a virtual disk writes, is killed and goes on as
 * another actor; a copy elsewhere takes what the archive reads back for it. The copy never sees the
 * log's memory.
 */
#define PARTITIONS 4u
#define FOLDER "/data/shard"
#define TICKET 7u

struct process {
    struct vault *vault;
    struct shard *shard;     /* the vault's */
    struct storage *storage; /* likewise */
    struct shard *copy;      /* kept */
    struct rng rng;
    unsigned writes, values; /* a turn; of values with so many bytes at most */
    bool ready;
    bool reads, reading, ended, failed; /* the copy takes what it lacks */
    struct archive_place place;
    uint64_t frames, covered, reads_n, slices;
};

static void write_something(struct process *p)
{
    char words[4200];
    struct buf out = {0};
    size_t n = (size_t)rng_below(&p->rng, p->values) + 1;
    uint64_t key = rng_below(&p->rng, 60);
    bool hash = rng_below(&p->rng, 3) == 0;
    int at = snprintf(words, sizeof words, "%s k%" PRIu64 " ", hash ? "HSET" : "SET", key);
    memset(words + at, 'a' + (int)rng_below(&p->rng, 26), n);
    snprintf(words + at + n, sizeof words - (size_t)at - n, "%s", hash ? " v" : "");
    vault_command(p->vault, words, &out);
    buf_deinit(&out);
}

static bool reaches(void *arg, uint32_t partition, const struct context *begin)
{
    const struct process *p = arg;
    return context_le(begin, shard_context(p->copy, partition));
}

static bool lacks(void *arg, uint32_t partition, const struct context *seen)
{
    return !reaches(arg, partition, seen);
}

static void take_frame(void *arg, struct port *port, uint64_t ticket, const struct frame *f)
{
    struct process *p = arg;
    (void)port;
    cr_assert_eq(ticket, TICKET);
    enum take took = shard_take(p->copy, f, (struct moment){.wall_ms = 1, .mono_us = 1});
    cr_assert(took == TAKE_DONE || took == TAKE_COVERED, "%d", (int)took);
    p->frames++;
    p->covered += took == TAKE_COVERED;
}

static void read_done(void *arg, struct port *port, uint64_t ticket, struct archive_place next,
                      bool good, struct moment now)
{
    struct process *p = arg;
    (void)port;
    (void)now;
    cr_assert_eq(ticket, TICKET);
    p->reading = false;
    p->place = next;
    p->failed |= !good;
}

static void read_on(struct process *p, struct port *port, struct moment now)
{
    struct archive *a = storage_archive(p->storage);
    if (p->reading && archive_take(a, port, TICKET, 3, now))
        p->slices++;
    if (!p->reads || p->reading || p->ended || p->failed || !archive_ready(a))
        return;
    for (uint32_t i = 0; p->place.segment == 0 && i < PARTITIONS; i++) {
        uint64_t from = archive_find(a, i, reaches, p);
        cr_assert_neq(from, 0);
        if (i == 0 || from < p->place.segment)
            p->place.segment = from;
    }
    archive_keep(a, TICKET, p->place.segment);
    switch (archive_read(a, port, TICKET, p->place, 3000)) {
    case ARCHIVE_ASKED:
        p->reading = true;
        p->reads_n++;
        break;
    case ARCHIVE_END:
        p->ended = true;
        archive_keep(a, TICKET, 0);
        break;
    case ARCHIVE_GONE:
        p->failed = true;
        break;
    }
}

static void turn(void *arg, struct vault *v, struct moment now)
{
    struct process *p = arg;
    (void)v, (void)now;
    for (unsigned i = 0; i < p->writes; i++)
        write_something(p);
}

static void after(void *arg, struct vault *v, struct moment now)
{
    struct process *p = arg;
    if (!p->ready)
        archive_set_readers(storage_archive(p->storage),
                            &(struct archive_readers){
                                .arg = p, .frame = take_frame, .done = read_done, .lacks = lacks});
    p->ready = true;
    read_on(p, vault_port(v), now);
}

static struct shard *shard_make(uint32_t actor)
{
    return shard_new(&(struct shard_opts){.region = actor_region(actor),
                                          .actor = actor,
                                          .partitions = PARTITIONS,
                                          .count = PARTITIONS,
                                          .hash_key = {1, 2},
                                          .seed = 9,
                                          .geo = true,
                                          .log_bytes_max = 16 << 10});
}

struct test {
    struct world *world;
    uint32_t host;
    uint32_t lives;
    struct process now;
    struct shard *copy;
    uint64_t retention;
};

static void start(struct test *t, unsigned writes)
{
    struct process *p = &t->now;
    *p = (struct process){.copy = t->copy, .writes = writes, .values = 600};
    rng_init(&p->rng, t->lives + 1);
    p->vault = vault_start(t->world, t->host,
                           &(struct vault_opts){.folder = FOLDER,
                                                .db_uid = 7,
                                                .partitions = PARTITIONS,
                                                .count = PARTITIONS,
                                                .actor = actor_make(1, t->lives++),
                                                .policy = SYNC_ALWAYS,
                                                .segment_bytes = 16 << 10,
                                                .snapshot_bytes = 60 << 10,
                                                .log_retention = t->retention,
                                                .log_bytes = 16 << 10,
                                                .turn = turn,
                                                .after = after,
                                                .arg = p,
                                                .tick_us = 300});
    p->shard = vault_shard(p->vault);
    p->storage = vault_storage(p->vault);
}

static void run_for(struct test *t, uint64_t us)
{
    world_run(t->world, world_now_us(t->world) + us);
}

static struct test *test_new(uint64_t seed, uint64_t retention)
{
    struct test *t = mem_zalloc(sizeof *t);
    t->world = world_new(&(struct world_opts){.seed = seed});
    t->host = world_host(t->world, "host");
    t->copy = shard_make(actor_make(2, 0));
    t->retention = retention;
    start(t, 3);
    return t;
}

static void test_free(struct test *t)
{
    world_free(t->world);
    shard_free(t->copy);
    mem_free(t);
}

/* The copy takes what it lacks, until nothing is left. */
static void catch_up(struct test *t)
{
    struct process *p = &t->now;
    p->writes = 0;
    run_for(t, 50000);
    p->reads = true;
    p->ended = false;
    p->place = (struct archive_place){0};
    for (unsigned i = 0; i < 1000 && !p->ended && !p->failed; i++)
        run_for(t, 1000);
}

static void expect_equal(const struct test *t)
{
    cr_assert(t->now.ended && !t->now.failed);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        cr_assert(context_eq(shard_context(t->copy, i), shard_context(t->now.shard, i)));
        cr_assert(hash128_eq(shard_digest(t->copy, i), shard_digest(t->now.shard, i)));
    }
}

Test(archive, reads_back_what_several_lives_wrote)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct test *t = test_new(seed, 1u << 30);
        struct storage_stats stats;
        for (unsigned life = 0; life < 3; life++) {
            run_for(t, 60000);
            world_power_loss(t->world, t->host);
            start(t, 3);
        }
        run_for(t, 60000);
        storage_stats(t->now.storage, &stats);
        cr_assert_gt(stats.snapshots, 0);
        catch_up(t);
        cr_assert_gt(t->now.frames, 1000);
        expect_equal(t);
        test_free(t);
    }
}

Test(archive, begins_where_the_reader_stands)
{
    struct test *t = test_new(1, 1u << 30);
    run_for(t, 200000);
    catch_up(t);
    expect_equal(t);
    uint64_t first = t->now.frames;
    t->now.frames = t->now.covered = 0;
    t->now.writes = 3;
    t->now.reads = false;
    run_for(t, 40000);
    catch_up(t);
    expect_equal(t);
    cr_assert_gt(t->now.frames, t->now.covered);
    cr_assert_lt(t->now.covered, 200, "%" PRIu64 " were here", t->now.covered);
    cr_assert_lt(t->now.frames, first / 2);
    test_free(t);
}

Test(archive, what_nobody_lacks_is_removed)
{
    struct storage_stats before, after;
    struct test *t = test_new(2, 1u << 30);
    run_for(t, 300000);
    storage_stats(t->now.storage, &before);
    cr_assert_eq(before.archive.oldest, 1, "the copy lacks it all");
    catch_up(t);
    expect_equal(t);
    run_for(t, 3000000);
    storage_stats(t->now.storage, &after);
    cr_assert_gt(after.archive.oldest, before.archive.oldest + 3);
    world_kill(t->world, t->host, false);
    start(t, 0);
    run_for(t, 100000);
    cr_assert(t->now.ready, "recovery needs none of what was removed");
    catch_up(t);
    expect_equal(t);
    test_free(t);
}

Test(archive, retention_is_a_limit)
{
    struct storage_stats stats;
    struct test *t = test_new(3, 100 << 10);
    run_for(t, 600000);
    t->now.writes = 0;
    run_for(t, 3000000);
    storage_stats(t->now.storage, &stats);
    cr_assert_gt(stats.archive.oldest, 3);
    cr_assert_leq(stats.archive.bytes, (100 << 10) + (60 << 10) + (32 << 10));
    for (uint32_t i = 0; i < PARTITIONS; i++)
        cr_assert_eq(archive_find(storage_archive(t->now.storage), i, reaches, &t->now), 0);
    test_free(t);
}

Test(archive, what_is_read_stays)
{
    struct test *t = test_new(4, 1); /* no more than recovery needs ... */
    struct storage_stats stats;
    run_for(t, 10000);
    archive_keep(storage_archive(t->now.storage), 99, 2);
    run_for(t, 300000);
    t->now.writes = 0;
    run_for(t, 3000000);
    storage_stats(t->now.storage, &stats);
    cr_assert_eq(stats.archive.oldest, 2); /* ... and what a reader keeps */
    archive_keep(storage_archive(t->now.storage), 99, 0);
    run_for(t, 3000000);
    t->now.writes = 1;
    run_for(t, 3000);
    storage_stats(t->now.storage, &stats);
    cr_assert_gt(stats.archive.oldest, 5);
    test_free(t);
}

Test(archive, large_frames_are_read_whole)
{
    struct test *t = test_new(5, 1u << 30);
    t->now.values = 4096; /* a read asks for 3,000 bytes */
    run_for(t, 100000);
    catch_up(t);
    expect_equal(t);
    test_free(t);
}

Test(archive, damage_is_told)
{
    struct test *t = test_new(6, 1u << 30);
    char name[FILE_NAME_MAX];
    run_for(t, 100000);
    file_name(name, FILE_KIND_SEGMENT, 2);
    cr_assert(world_disk_rot(t->world, t->host, name, 0));
    catch_up(t);
    cr_assert(t->now.failed && !t->now.ended);
    test_free(t);
}

Test(archive, a_segment_that_became_shorter_is_damaged)
{
    struct test *t = test_new(7, 1u << 30);
    run_for(t, 100000);
    struct file_req *cut = file_req_new(FILE_CUT, FOLDER "/log-0000000000000002");
    cut->owner = t->now.storage;
    cut->tag = STORAGE_TRIM;
    cut->offset = 5000;
    struct port *port = vault_port(t->now.vault);
    port->ops->file(port, cut);
    catch_up(t);
    cr_assert(t->now.failed && !t->now.ended);
    test_free(t);
}
