/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/vault.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

/*
 * A process with one shard and its folder on a virtual disk. It writes at random; it is killed, or
 * the power fails; another one opens what is left. An oracle outside keeps every frame and joined
 * state that any life wrote, and says what a shard that has seen a context must show.
 */
#define PARTITIONS 4u
#define FOLDER "/data/shard"

struct oracle {
    struct log *log; /* entries of all lives, in order */
    uint64_t lives;
};

struct process {
    struct vault *vault;
    struct shard *shard;     /* the vault's */
    struct storage *storage; /* likewise */
    struct rng rng;
    struct oracle *oracle;
    uint64_t recorded; /* of the shard's log, into the oracle */
    unsigned writes;   /* a turn; 0: only opens */
    bool ready, closing;
    bool long_states;      /* what is joined has tens of kilobytes */
    unsigned pieces;       /* turns at whose end a state was in the file in part */
    struct shard *foreign; /* kept: another region, whose partitions are joined now and then */
};

static void put_state(struct buf *out, const struct log_entry *e)
{
    buf_put_bytes(out, e->frame.ops);
    for (size_t n = 0; e->state != NULL && n < e->state->bytes; n = buf_len(out))
        buf_put_bytes(out, rope_at(e->state, n));
}

static void record(struct process *p)
{
    struct log_entry e;
    while (log_read_entry(shard_log(p->shard), &p->recorded, &e)) {
        if (!e.is_state) {
            log_append(p->oracle->log, &e.frame);
            continue;
        }
        struct context theirs = {0};
        for (uint32_t i = 0; i < e.frame.deps_count; i++)
            context_raise(&theirs, e.frame.deps[i]);
        struct buf bytes = {0};
        struct rope state = {0};
        put_state(&bytes, &e);
        rope_put(&state, buf_bytes(&bytes));
        buf_deinit(&bytes);
        log_append_state(p->oracle->log, e.frame.partition, &theirs, &state);
        context_deinit(&theirs);
    }
}

/* Another region has gone on, and sends a partition's whole state. */
static void join_something(struct process *p, struct moment now)
{
    char words[64];
    struct buf state = {0};
    for (unsigned i = 0; i < 5; i++) {
        uint64_t key = rng_below(&p->rng, 40);
        snprintf(words, sizeof words, "HSET k%" PRIu64 " theirs k%" PRIu64, key, key);
        vault_command_on(p->foreign, now, words, &state);
    }
    for (unsigned i = 0; p->long_states && i < 4; i++) {
        size_t n = 20000 + rng_below(&p->rng, 40000);
        struct buf line = {0};
        buf_putf(&line, "SET k%u ", i);
        memset(buf_reserve(&line, n + 1), 'A' + (int)rng_below(&p->rng, 26), n);
        line.p[line.tail + n] = 0;
        vault_command_on(p->foreign, now, (const char *)line.p, &state);
        buf_deinit(&line);
    }
    buf_clear(&state);
    uint32_t partition = (uint32_t)rng_below(&p->rng, PARTITIONS);
    struct transfer *t = transfer_begin(p->foreign, partition, now);
    while (transfer_next(t, &state, 1000))
        continue;
    cr_assert(shard_join(p->shard, partition, buf_bytes(&state), transfer_context(t), now));
    transfer_end(t);
    buf_deinit(&state);
}

static void write_something(struct process *p, struct moment now)
{
    char value[600], words[700];
    struct buf out = {0};
    uint64_t what = rng_below(&p->rng, 100);
    size_t n = rng_below(&p->rng, 40) == 0 ? 599 : 1 + (size_t)rng_below(&p->rng, 20);
    unsigned key = (unsigned)rng_below(&p->rng, 40), field = (unsigned)rng_below(&p->rng, 300);
    memset(value, 'a' + (int)rng_below(&p->rng, 26), n);
    value[n] = 0;
    if (what < 20)
        snprintf(words, sizeof words, "SET k%u %s", key, value);
    else if (what < 40)
        snprintf(words, sizeof words, "INCR f%u", field);
    else if (what < 60)
        snprintf(words, sizeof words, "HSET k%u f%u %s", key, field, value);
    else if (what < 75)
        snprintf(words, sizeof words, "RPUSH k%u %s", key, value);
    else if (what < 85)
        snprintf(words, sizeof words, "SADD k%u f%u", key, field);
    else
        snprintf(words, sizeof words, what < 97 ? "DEL k%u" : "FLUSHALL", key);
    if (what == 97 || what == 98)
        join_something(p, now);
    else
        vault_command(p->vault, words, &out);
    buf_deinit(&out);
}

static void turn(void *arg, struct vault *v, struct moment now)
{
    struct process *p = arg;
    (void)v;
    for (unsigned i = 0; i < p->writes && !p->closing; i++)
        write_something(p, now);
}

static void after(void *arg, struct vault *v, struct moment now)
{
    struct process *p = arg;
    (void)v, (void)now;
    if (!p->ready)
        p->recorded = log_end(shard_log(p->shard));
    p->ready = true;
    record(p);
    if (storage_state(p->storage) == STORAGE_RUNS) {
        struct storage_stats stats;
        storage_stats(p->storage, &stats);
        p->pieces += stats.journal.state_cut;
    }
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
                                          .log_bytes_max = 64 << 10});
}

struct test {
    struct world *world;
    uint32_t host;
    struct oracle oracle;
    struct process now;
    struct shard *foreign;
    enum sync_policy policy;
    struct rng rng;
    bool long_states;
    unsigned torn, snapshots, failures, pieces;
};

static void start(struct test *t, unsigned writes)
{
    struct process *p = &t->now;
    *p = (struct process){.oracle = &t->oracle,
                          .writes = writes,
                          .foreign = t->foreign,
                          .long_states = t->long_states};
    rng_init(&p->rng, rng_next(&t->rng));
    p->vault = vault_start(t->world, t->host,
                           &(struct vault_opts){.folder = FOLDER,
                                                .db_uid = 7,
                                                .partitions = PARTITIONS,
                                                .count = PARTITIONS,
                                                .actor = actor_make(1, (uint32_t)t->oracle.lives++),
                                                .policy = t->policy,
                                                .segment_bytes = 8 << 10,
                                                .snapshot_bytes = 24 << 10,
                                                .slice_bytes = 512,
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

/* What a shard shows that has taken from the oracle what `seen` covers. */
static struct shard *replay(const struct test *t, const struct shard *seen)
{
    struct shard *s = shard_make(actor_make(2, 0));
    struct log_entry e;
    struct moment then = {.wall_ms = 1, .mono_us = 1};
    for (uint64_t pos = log_begin(t->oracle.log); log_read_entry(t->oracle.log, &pos, &e);) {
        const struct context *vv = shard_context(seen, e.frame.partition);
        struct context theirs = {0};
        for (uint32_t i = 0; i < e.frame.deps_count; i++)
            context_raise(&theirs, e.frame.deps[i]);
        struct buf state = {0};
        put_state(&state, &e);
        if (e.is_state && context_le(&theirs, vv))
            cr_assert(shard_join(s, e.frame.partition, buf_bytes(&state), &theirs, then));
        buf_deinit(&state);
        if (!e.is_state && context_covers(vv, e.frame.last))
            cr_assert_leq(shard_take(s, &e.frame, then), TAKE_COVERED);
        context_deinit(&theirs);
    }
    return s;
}

/* The shard that was opened has everything that had been promised, and shows what it must. */
static void check(struct test *t, const struct context *promised)
{
    for (unsigned i = 0; i < 100 && !t->now.ready; i++) {
        run_for(t, 20000);
        if (storage_state(t->now.storage) != STORAGE_BROKEN)
            continue;
        const char *error = storage_error(t->now.storage); /* a disk that fails: once more */
        cr_assert(strstr(error, "syncing") != NULL, "%s", error);
        unsigned writes = t->now.writes;
        world_kill(t->world, t->host, false);
        start(t, writes);
    }
    cr_assert(t->now.ready);
    struct shard *want = replay(t, t->now.shard);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        cr_assert(context_le(&promised[i], shard_context(t->now.shard, i)),
                  "partition %u, life %" PRIu64 ", policy %d", i, t->oracle.lives, (int)t->policy);
        cr_assert(context_eq(shard_context(want, i), shard_context(t->now.shard, i)));
        cr_assert(hash128_eq(shard_digest(want, i), shard_digest(t->now.shard, i)), "partition %u",
                  i);
    }
    shard_free(want);
}

static void promise(const struct test *t, bool all, struct context *out)
{
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        const struct context *durable =
            all ? shard_context(t->now.shard, i) : storage_context(t->now.storage, i);
        context_clear(&out[i]);
        if (durable != NULL) /* else nothing is promised */
            context_copy(&out[i], durable);
    }
}

static void note_stats(struct test *t)
{
    struct storage_stats s;
    storage_stats(t->now.storage, &s);
    t->torn += s.opening.cut > 0;
    t->snapshots += (unsigned)s.snapshots;
    t->failures += (unsigned)s.journal.failures;
    t->pieces += t->now.pieces;
}

static struct test *test_new(uint64_t seed, enum sync_policy policy, struct world_disk disk)
{
    struct test *t = mem_zalloc(sizeof *t);
    rng_init(&t->rng, seed);
    t->world = world_new(&(struct world_opts){.seed = seed});
    t->host = world_host(t->world, "host");
    t->policy = policy;
    t->oracle.log = log_new(0, PARTITIONS + 1, 1u << 30);
    t->foreign = shard_make(actor_make(3, 0));
    world_disk(t->world, t->host, disk);
    return t;
}

static void test_free(struct test *t)
{
    world_free(t->world);
    shard_free(t->foreign);
    log_free(t->oracle.log);
    mem_free(t);
}

/* Lives, each ended by a failure of the power or of the process at any moment. */
static void lives(struct test *t, unsigned n, bool power)
{
    struct context promised[PARTITIONS] = {{0}};
    for (unsigned i = 0; i < n; i++) {
        start(t, 1 + (unsigned)rng_below(&t->rng, 6));
        check(t, promised);
        run_for(t, 1000 + rng_below(&t->rng, 120000));
        if (storage_state(t->now.storage) == STORAGE_RUNS)
            promise(t, false, promised);
        note_stats(t);
        if (power)
            world_power_loss(t->world, t->host);
        else
            world_kill(t->world, t->host, false);
    }
    start(t, 0);
    check(t, promised);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        context_deinit(&promised[i]);
}

static unsigned torn, snapshots, failures, pieces;
static bool long_states;

static void many(uint64_t seeds, enum sync_policy policy, bool power, struct world_disk disk)
{
    torn = snapshots = failures = pieces = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct test *t = test_new(seed, policy, disk);
        t->long_states = long_states;
        lives(t, 4, power);
        pieces += t->pieces;
        torn += t->torn;
        snapshots += t->snapshots;
        failures += t->failures;
        test_free(t);
    }
}

Test(storage, survives_power_loss_synced_always)
{
    many(60, SYNC_ALWAYS, true, (struct world_disk){0});
    cr_assert_gt(torn, 3);
    cr_assert_gt(snapshots, 60);
}

Test(storage, survives_power_loss_synced_every_second)
{
    many(60, SYNC_SECOND, true, (struct world_disk){0});
    cr_assert_gt(torn, 8);
}

Test(storage, survives_the_death_of_the_process)
{
    many(40, SYNC_SECOND, false, (struct world_disk){0});
    many(40, SYNC_NONE, false, (struct world_disk){0});
    many(40, SYNC_ALWAYS, false, (struct world_disk){0});
}

Test(storage, survives_disks_that_fail)
{
    struct world_disk bad = {.fail_append_per_64k = 4000, .fail_sync_per_64k = 4000};
    many(40, SYNC_ALWAYS, true, bad);
    cr_assert_gt(failures, 100);
    many(40, SYNC_SECOND, true, bad);
    cr_assert_gt(failures, 20);
}

/* States that go to the disk in many requests, between which all else may happen. */
Test(storage, survives_in_the_middle_of_a_long_state)
{
    struct world_disk bad = {.fail_append_per_64k = 2000, .fail_sync_per_64k = 2000};
    long_states = true;
    many(15, SYNC_SECOND, true, (struct world_disk){0});
    cr_expect_gt(pieces, 1000);
    many(10, SYNC_SECOND, false, (struct world_disk){0});
    many(30, SYNC_ALWAYS, true, bad);
    cr_expect_gt(pieces, 1000);
    cr_expect_gt(failures, 20);
    many(10, SYNC_SECOND, true, bad);
    many(10, SYNC_NONE, false, bad);
    long_states = false;
}

Test(storage, a_full_disk_says_so_and_recovers)
{
    struct context promised[PARTITIONS] = {{0}};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct test *t = test_new(seed, SYNC_ALWAYS, (struct world_disk){.bytes_max = 20000});
        start(t, 20);
        check(t, promised);
        run_for(t, 400000);
        cr_assert_str_not_empty(storage_error(t->now.storage));
        cr_assert(strstr(storage_error(t->now.storage), "no space left") != NULL);
        t->now.writes = 0;
        world_disk(t->world, t->host, (struct world_disk){0});
        run_for(t, 2000000);
        cr_assert_str_empty(storage_error(t->now.storage));
        cr_assert_eq(storage_durable(t->now.storage), log_end(shard_log(t->now.shard)));
        promise(t, true, promised);
        world_power_loss(t->world, t->host);
        start(t, 0);
        check(t, promised);
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            context_deinit(&promised[i]);
            promised[i] = (struct context){0};
        }
        test_free(t);
    }
}

Test(storage, an_orderly_end_keeps_everything)
{
    struct context promised[PARTITIONS] = {{0}};
    struct storage_stats stats;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct test *t = test_new(seed, seed % 2 ? SYNC_SECOND : SYNC_NONE, (struct world_disk){0});
        start(t, 5);
        run_for(t, 100000);
        t->now.closing = true;
        promise(t, true, promised);
        storage_close(t->now.storage, vault_port(t->now.vault), vault_now(t->now.vault));
        run_for(t, 100000);
        cr_assert_eq(storage_state(t->now.storage), STORAGE_CLOSED);
        world_power_loss(t->world, t->host);
        start(t, 0);
        check(t, promised);
        storage_stats(t->now.storage, &stats);
        cr_assert(stats.opening.orderly);
        cr_assert_eq(stats.opening.cut, 0);
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            context_deinit(&promised[i]);
            promised[i] = (struct context){0};
        }
        test_free(t);
    }
}

/* What a sync has failed to write is still seen by the next process, and its syncs say nothing: it
 * must not rely on it before it has written it itself. */
Test(storage, what_a_sync_failed_for_is_not_durable_for_the_next_process)
{
    struct context promised[PARTITIONS] = {{0}};
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct test *t = test_new(seed, SYNC_ALWAYS, (struct world_disk){0});
        start(t, 10);
        run_for(t, 50000);
        world_disk(t->world, t->host, (struct world_disk){.fail_sync_per_64k = 65536});
        run_for(t, 10000);
        promise(t, false, promised);
        world_kill(t->world, t->host, false);
        world_disk(t->world, t->host, (struct world_disk){0});
        start(t, 0);
        check(t, promised);
        promise(t, false, promised); /* what it claims from its first moment on */
        world_power_loss(t->world, t->host);
        start(t, 0);
        check(t, promised);
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            context_deinit(&promised[i]);
            promised[i] = (struct context){0};
        }
        test_free(t);
    }
}

/* What a failed sync makes doubtful is written again, also where nothing was promised: the log's
 * memory has kept it. */
Test(storage, without_a_promise_a_failed_sync_leaves_nothing_out)
{
    struct context promised[PARTITIONS] = {{0}};
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct test *t = test_new(seed, SYNC_NONE, (struct world_disk){.fail_sync_per_64k = 50000});
        start(t, 0);
        world_disk(t->world, t->host, (struct world_disk){0});
        check(t, promised);
        world_disk(t->world, t->host, (struct world_disk){.fail_sync_per_64k = 50000});
        t->now.writes = 20;
        run_for(t, 3000000);
        note_stats(t);
        cr_assert_gt(t->failures, 0);
        t->now.writes = 0;
        world_disk(t->world, t->host, (struct world_disk){0});
        run_for(t, 3000000);
        cr_assert_str_empty(storage_error(t->now.storage));
        cr_assert_eq(storage_durable(t->now.storage), log_end(shard_log(t->now.shard)));
        world_kill(t->world, t->host, false);
        start(t, 0);
        check(t, promised);
        test_free(t);
    }
}

/* The record that says that it was an orderly end may reach the disk before what stands before it.
 */
Test(storage, survives_power_loss_while_it_ends)
{
    struct context promised[PARTITIONS] = {{0}};
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct test *t = test_new(seed, seed % 2 ? SYNC_SECOND : SYNC_NONE, (struct world_disk){0});
        start(t, 2);
        run_for(t, 30000 + rng_below(&t->rng, 30000));
        t->now.closing = true;
        promise(t, false, promised);
        storage_close(t->now.storage, vault_port(t->now.vault), vault_now(t->now.vault));
        run_for(t, rng_below(&t->rng, 8000));
        world_power_loss(t->world, t->host);
        start(t, 0);
        check(t, promised);
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            context_deinit(&promised[i]);
            promised[i] = (struct context){0};
        }
        test_free(t);
    }
}

/* A snapshot goes on in a segment that was never synced, and nothing is left of that one: what is
 * written next stands in a file of another number. */
Test(storage, a_snapshot_survives_the_segment_that_it_goes_on_in)
{
    struct world *w = world_new(&(struct world_opts){.seed = 1});
    struct vault_opts o = {
        .folder = FOLDER, .db_uid = 7, .partitions = PARTITIONS, .policy = SYNC_NONE};
    char name[FILE_NAME_MAX], path[64], zeros[4096] = {0};
    struct storage_stats stats;
    struct buf out = {0};
    struct bytes content;
    uint32_t host = world_host(w, "host");
    o.actor = actor_make(1, 0);
    struct vault *v = vault_start(w, host, &o);
    cr_assert(vault_open(v));
    vault_command(v, "SET first 1", &out);
    vault_run(v, 100000);
    cr_assert(vault_snapshot(v));
    vault_run(v, 100000);
    storage_stats(vault_storage(v), &stats);
    cr_assert_eq(stats.snapshots, 1);
    file_name(name, FILE_KIND_SEGMENT, stats.journal.segment);
    snprintf(path, sizeof path, FOLDER "/%s", name);
    world_kill(w, host, false);
    cr_assert(world_file(w, host, path, &content) && content.n < sizeof zeros);
    world_file_put(w, host, path, bytes_of(zeros, content.n));
    for (uint32_t life = 1; life <= 3; life++) {
        o.actor = actor_make(1, life);
        v = vault_start(w, host, &o);
        cr_assert(vault_open(v), "life %u: %s", life, storage_error(vault_storage(v)));
        buf_clear(&out);
        vault_command(v, life == 1 ? "GET first" : "MGET first second", &out);
        buf_put_u8(&out, 0);
        cr_expect_str_eq((const char *)out.p, life == 1 ? "1" : "[1 2]", "life %u: %s", life,
                         (const char *)out.p);
        vault_command(v, "SET second 2", &out);
        vault_run(v, 100000);
        world_kill(w, host, false);
    }
    buf_deinit(&out);
    world_free(w);
}

/* Whoever goes back to an older version must not be told to repair what is as it should be. */
Test(storage, a_file_of_another_version_is_not_called_damaged)
{
    struct world *w = world_new(&(struct world_opts){.seed = 4});
    struct vault_opts o = {
        .folder = FOLDER, .db_uid = 7, .partitions = PARTITIONS, .policy = SYNC_ALWAYS};
    struct buf out = {0};
    struct bytes content;
    const uint32_t version = FORMAT_VERSION + 1;
    uint32_t host = world_host(w, "host");
    struct vault *v = vault_start(w, host, &o);
    cr_assert(vault_open(v));
    vault_command(v, "SET a 1", &out);
    vault_run(v, 100000);
    world_kill(w, host, false);
    cr_assert(world_file(w, host, FOLDER "/log-0000000000000001", &content));
    buf_clear(&out);
    buf_put_bytes(&out, content);
    memcpy(out.p + out.head + 12, &version, sizeof version);
    uint64_t sum = hash_64(bytes_of(out.p + out.head, 72), 0);
    memcpy(out.p + out.head + 72, &sum, sizeof sum);
    world_file_put(w, host, FOLDER "/log-0000000000000001", buf_bytes(&out));
    v = vault_start(w, host, &o);
    cr_assert_not(vault_open(v));
    const char *error = storage_error(vault_storage(v));
    cr_assert(strstr(error, "another version") != NULL, "%s", error);
    cr_assert(strstr(error, "is damaged") == NULL && strstr(error, "move the") == NULL, "%s",
              error);
    buf_deinit(&out);
    world_free(w);
}

static void count_new(void *arg, const char *path, struct bytes content)
{
    unsigned *n = arg;
    size_t length = strlen(path);
    (void)content;
    *n += length > 4 && strcmp(path + length - 4, ".new") == 0;
}

/* Room for a snapshot's half only: what was written of it is given back to the log. */
Test(storage, a_snapshot_that_fails_leaves_the_room_to_the_log)
{
    struct world *w = world_new(&(struct world_opts){.seed = 3});
    struct vault_opts o = {.folder = FOLDER,
                           .db_uid = 7,
                           .partitions = PARTITIONS,
                           .policy = SYNC_ALWAYS,
                           .slice_bytes = 1000};
    char words[1100];
    struct buf out = {0};
    struct storage_stats stats;
    unsigned beside = 0;
    uint32_t host = world_host(w, "host");
    struct vault *v = vault_start(w, host, &o);
    cr_assert(vault_open(v));
    for (unsigned i = 0; i < 200; i++) {
        int n = snprintf(words, sizeof words, "SET key%u ", i);
        memset(words + n, 'x', 1000);
        words[n + 1000] = 0;
        vault_command(v, words, &out);
    }
    vault_run(v, 1000000);
    storage_stats(vault_storage(v), &stats);
    world_disk(w, host, (struct world_disk){.bytes_max = stats.journal.bytes_written + 100000});
    cr_assert(vault_snapshot(v));
    vault_run(v, 5000000);
    storage_stats(vault_storage(v), &stats);
    cr_assert_eq(stats.snapshot_failures, 1u);
    cr_assert_not(stats.snapshot_runs);
    world_files(w, host, count_new, &beside);
    cr_assert_eq(beside, 0u);
    for (unsigned i = 0; i < 90; i++)
        vault_command(v, words, &out);
    vault_run(v, 1000000);
    cr_assert_str_empty(storage_error(vault_storage(v)));
    buf_deinit(&out);
    world_free(w);
}

/* A record larger than what is read in one go is read whole, so where it is a segment's last one
 * the reading ends with the file, without having seen its end. */
Test(storage, a_segment_may_end_in_a_large_record)
{
    struct world *w = world_new(&(struct world_opts){.seed = 2});
    struct vault_opts o = {
        .folder = FOLDER, .db_uid = 7, .partitions = PARTITIONS, .policy = SYNC_ALWAYS};
    struct buf words = {0}, out = {0};
    uint32_t host = world_host(w, "host");
    buf_put_str(&words, "SET large ");
    for (unsigned i = 0; i < (2u << 20); i++)
        buf_put_u8(&words, 'x');
    buf_put_u8(&words, 0);
    for (uint32_t life = 0; life < 3; life++) {
        o.actor = actor_make(1, life);
        struct vault *v = vault_start(w, host, &o);
        cr_assert(vault_open(v), "life %u: %s", life, storage_error(vault_storage(v)));
        buf_clear(&out);
        vault_command(v, "STRLEN large", &out);
        buf_put_u8(&out, 0);
        cr_expect_str_eq((const char *)out.p, life == 0 ? "0" : "2097152");
        if (life == 0)
            vault_command(v, (const char *)words.p, &out);
        vault_run(v, 100000);
        world_kill(w, host, false);
    }
    buf_deinit(&words);
    buf_deinit(&out);
    world_free(w);
}

/* A bit that flips is found; what is opened all the same shows what it must. */
Test(storage, rot_is_found)
{
    unsigned found = 0, opened = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct test *t = test_new(seed, SYNC_ALWAYS, (struct world_disk){0});
        struct context nothing[PARTITIONS] = {{0}};
        struct storage_stats stats;
        char name[64], digits[FILE_NAME_MAX];
        start(t, 5);
        run_for(t, 150000);
        storage_stats(t->now.storage, &stats);
        world_kill(t->world, t->host, false);
        file_name(digits, FILE_KIND_SEGMENT, stats.journal.segment - seed % 2);
        snprintf(name, sizeof name, "%s", digits);
        bool flipped = world_disk_rot(t->world, t->host, name, 0);
        start(t, 0);
        for (unsigned i = 0; i < 100 && !t->now.ready; i++)
            run_for(t, 20000);
        if (t->now.ready) {
            check(t, nothing);
            opened++;
        } else {
            const char *error = storage_error(t->now.storage);
            cr_assert_eq(storage_state(t->now.storage), STORAGE_BROKEN);
            cr_assert(strstr(error, name) != NULL && strstr(error, "offset") != NULL, "%s", error);
            found++;
        }
        uint64_t number = stats.journal.segment - seed % 2;
        storage_stats(t->now.storage, &stats);
        if (flipped && stats.opening.snapshot < number && number + 1 < stats.opening.next)
            cr_assert_not(t->now.ready, "another segment follows: every bit counts");
        test_free(t);
    }
    cr_assert_gt(found, 60, "found %u opened %u", found, opened);
    cr_assert_gt(opened, 0);
}
