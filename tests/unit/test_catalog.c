/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "shard/catalog.h"
#include "tests/unit/regions.h"
#include "tests/unit/run.h"
#include "tests/unit/serve.h"

#include <stdio.h>

static struct run a, b;
static struct buf told;

static void tell(void *arg, enum catalog_kind kind, struct bytes name, const struct bytes *value)
{
    (void)arg;
    buf_putf(&told, "%d %.*s%s%.*s\n", (int)kind, (int)name.n, (const char *)name.p,
             value ? "=" : " gone", value ? (int)value->n : 0, value ? (const char *)value->p : "");
}

static void start(void)
{
    run_start_with(&a, &(struct shard_opts){.region = 1, .actor = 1, .geo = true});
    run_start_with(&b, &(struct shard_opts){.region = 2, .actor = 2, .geo = true, .catalog = tell});
}

static void stop(void)
{
    run_stop(&a);
    run_stop(&b);
    buf_deinit(&told);
}

TestSuite(catalog, .init = start, .fini = stop);

static struct moment later(struct run *r)
{
    r->now.wall_ms++;
    r->now.mono_us += 1000;
    return r->now;
}

static void set(struct run *r, enum catalog_kind kind, const char *name, const char *value)
{
    const char *why =
        shard_catalog_set(r->shard, kind, bytes_str(name), bytes_str(value), later(r));
    cr_assert_null(why, "%s", why);
}

static void del(struct run *r, enum catalog_kind kind, const char *name)
{
    cr_assert_null(shard_catalog_del(r->shard, kind, bytes_str(name), later(r)));
}

static void expect_entry(struct run *r, enum catalog_kind kind, const char *name, const char *want)
{
    struct buf got = {0};
    bool found = shard_catalog_get(r->shard, kind, bytes_str(name), &got);
    cr_expect_eq(found, want != NULL, "%s", name);
    if (found && want != NULL)
        cr_expect(bytes_is(buf_bytes(&got), want), "%s is %.*s", name, (int)buf_len(&got),
                  (const char *)got.p);
    buf_deinit(&got);
}

static void expect_told(const char *want)
{
    buf_put_u8(&told, 0);
    cr_expect_str_eq((const char *)told.p + told.head, want);
    buf_clear(&told);
}

Test(catalog, kinds_are_apart_and_entries_come_and_go)
{
    set(&a, CATALOG_USERS, "x", "one");
    set(&a, CATALOG_SCRIPTS, "x", "two");
    expect_entry(&a, CATALOG_USERS, "x", "one");
    expect_entry(&a, CATALOG_SCRIPTS, "x", "two");
    expect_entry(&a, CATALOG_LIBRARIES, "x", NULL);
    set(&a, CATALOG_USERS, "x", "three");
    expect_entry(&a, CATALOG_USERS, "x", "three");
    del(&a, CATALOG_USERS, "x");
    expect_entry(&a, CATALOG_USERS, "x", NULL);
    del(&a, CATALOG_USERS, "x");
}

Test(catalog, commands_do_not_see_it)
{
    set(&a, CATALOG_USERS, "x", "one");
    expect(&a, "DBSIZE", "0");
    expect(&a, "KEYS *", "[]");
    expect(&a, "SCAN 0 COUNT 1000", "[0 []]");
    expect(&a, "RANDOMKEY", "nil");
    expect(&a, "EXISTS users", "0");
    expect(&a, "HGETALL users", "[]");
    expect(&a, "SET k v", "OK");
    expect(&a, "DBSIZE", "1");
    for (int i = 0; i < 20; i++)
        expect(&a, "RANDOMKEY", "k");
    expect(&a, "FLUSHALL", "OK");
    expect(&a, "FLUSHDB", "OK");
    expect_entry(&a, CATALOG_USERS, "x", "one");
    expect(&a, "HSET users x mine", "1");
    expect(&a, "DEL users", "1");
    expect_entry(&a, CATALOG_USERS, "x", "one");
}

Test(catalog, a_watched_key_of_the_same_name_has_not_changed)
{
    shard_watch(a.shard, 7, bytes_str("users"), later(&a));
    set(&a, CATALOG_USERS, "x", "one");
    cr_expect(!shard_unwatch(a.shard, 7, later(&a)));
    shard_watch(b.shard, 7, bytes_str("users"), later(&b));
    cr_expect(run_ship(&a, &b));
    cr_expect(!shard_unwatch(b.shard, 7, later(&b)));
}

Test(catalog, the_last_writer_wins_and_everybody_is_told)
{
    set(&a, CATALOG_USERS, "x", "one");
    set(&a, CATALOG_USERS, "y", "two");
    run_sync((struct run *[]){&a, &b}, 2);
    expect_told("0 x=one\n0 y=two\n");
    set(&b, CATALOG_USERS, "x", "three");
    expect_told("0 x=three\n");
    a.now.wall_ms += 1000;
    set(&a, CATALOG_USERS, "x", "four");
    del(&a, CATALOG_USERS, "y");
    run_sync((struct run *[]){&a, &b}, 2);
    expect_told("0 x=four\n0 y gone\n");
    expect_entry(&a, CATALOG_USERS, "x", "four");
    expect_entry(&b, CATALOG_USERS, "x", "four");
    expect_entry(&b, CATALOG_USERS, "y", NULL);
    run_stable((struct run *[]){&a, &b}, 2);
    cr_expect_eq(shard_unsettled(a.shard), 0u, "compaction sees it as well");
}

Test(catalog, a_flush_elsewhere_leaves_it_alone)
{
    set(&a, CATALOG_USERS, "x", "one");
    run_sync((struct run *[]){&a, &b}, 2);
    expect(&a, "SET k v", "OK");
    expect(&a, "FLUSHALL", "OK");
    run_sync((struct run *[]){&a, &b}, 2);
    expect_entry(&b, CATALOG_USERS, "x", "one");
}

Test(catalog, several_changes_are_one_frame)
{
    struct catalog_change changes[] = {
        {.kind = CATALOG_LIBRARIES, .name = bytes_str("a"), .value = bytes_str("1")},
        {.kind = CATALOG_LIBRARIES, .name = bytes_str("b"), .value = bytes_str("2")},
    };
    cr_assert_null(shard_catalog_write(a.shard, changes, 2, later(&a)));
    struct frame f;
    uint64_t at = 0;
    cr_assert(log_read(shard_log(a.shard), &at, &f));
    cr_expect(f.ops_count == 2 && f.flags == FRAME_ATOMIC && f.partition == RUN_PARTITIONS);
    cr_expect(!log_read(shard_log(a.shard), &at, &f));
}

Test(catalog, limits_are_kept_and_nothing_is_changed_by_halves)
{
    uint8_t *big = mem_zalloc(CATALOG_VALUE_MAX + 1);
    struct bytes name = bytes_str("x");
    const char *why;
    why = shard_catalog_set(a.shard, CATALOG_USERS, bytes_of(big, 513), name, later(&a));
    cr_expect_str_eq(why, "ERR the name is longer than 512 bytes: choose a shorter one");
    why = shard_catalog_set(a.shard, CATALOG_USERS, name, bytes_of(big, CATALOG_VALUE_MAX + 1),
                            later(&a));
    cr_expect_str_eq(why, "ERR the text is longer than 1 MiB: split it");
    for (unsigned i = 0; i < CATALOG_BYTES_MAX / CATALOG_VALUE_MAX - 1; i++) {
        struct bytes n = bytes_of(&i, sizeof i);
        cr_assert_null(shard_catalog_set(a.shard, CATALOG_LIBRARIES, n,
                                         bytes_of(big, CATALOG_VALUE_MAX), later(&a)));
    }
    struct catalog_change two[] = {
        {.kind = CATALOG_USERS, .name = name, .value = name},
        {.kind = CATALOG_LIBRARIES, .name = name, .value = bytes_of(big, CATALOG_VALUE_MAX)},
    };
    why = shard_catalog_write(a.shard, two, 2, later(&a));
    cr_expect(why != NULL && strstr(why, "64 MiB"));
    expect_entry(&a, CATALOG_USERS, "x", NULL);
    struct catalog_change *many = mem_zalloc((CATALOG_ENTRIES_MAX + 1) * sizeof many[0]);
    uint32_t *names = mem_zalloc((CATALOG_ENTRIES_MAX + 1) * sizeof names[0]);
    for (uint32_t i = 0; i <= CATALOG_ENTRIES_MAX; i++) {
        names[i] = i;
        many[i] = (struct catalog_change){.kind = CATALOG_SCRIPTS,
                                          .name = bytes_of(&names[i], sizeof names[i])};
    }
    why = shard_catalog_write(a.shard, many, CATALOG_ENTRIES_MAX + 1, later(&a));
    cr_expect(why != NULL && strstr(why, "10000 entries"));
    cr_expect_null(shard_catalog_write(a.shard, many, CATALOG_ENTRIES_MAX, later(&a)));
    mem_free(names);
    mem_free(many);
    mem_free(big);
}

Test(catalog, nothing_is_written_while_stale_or_leaving)
{
    shard_set_stale(a.shard, true);
    const char *why =
        shard_catalog_set(a.shard, CATALOG_USERS, bytes_str("x"), bytes_str("y"), later(&a));
    cr_expect(why != NULL && strncmp(why, "STALE ", 6) == 0);
    shard_set_stale(a.shard, false);
    shard_set_leaving(a.shard, true);
    why = shard_catalog_del(a.shard, CATALOG_USERS, bytes_str("x"), later(&a));
    cr_expect(why != NULL && strncmp(why, "READONLY ", 9) == 0);
}

Test(catalog, only_entries_come_from_elsewhere)
{
    set(&a, CATALOG_USERS, "x", "one");
    struct frame f;
    uint64_t at = 0;
    shard_close_frames(a.shard, a.now);
    cr_assert(log_read(shard_log(a.shard), &at, &f));
    struct buf ops = {0};
    struct op op = {.stamp = f.first, .kind = OP_EXPIRE, .key = bytes_str("users"), .num = 1};
    op_encode(&ops, &op, f.first - 1);
    f.ops = buf_bytes(&ops);
    cr_expect_eq(shard_take(b.shard, &f, b.now), TAKE_BAD);
    buf_clear(&ops);
    op = (struct op){.stamp = f.first, .kind = OP_FLUSH};
    op_encode(&ops, &op, f.first - 1);
    f.ops = buf_bytes(&ops);
    cr_expect_eq(shard_take(b.shard, &f, b.now), TAKE_BAD);
    buf_deinit(&ops);
}

Test(catalog, a_join_tells_what_it_brings_and_what_it_takes)
{
    set(&a, CATALOG_USERS, "kept", "1");
    set(&a, CATALOG_USERS, "gone", "2");
    run_sync((struct run *[]){&a, &b}, 2);
    buf_clear(&told);
    del(&a, CATALOG_USERS, "gone");
    set(&a, CATALOG_SCRIPTS, "new", "3");
    struct buf state = {0};
    struct transfer *t = transfer_begin(a.shard, RUN_PARTITIONS, later(&a));
    while (transfer_next(t, &state, 100))
        continue;
    cr_expect(shard_join(b.shard, RUN_PARTITIONS, buf_bytes(&state), transfer_context(t), b.now));
    transfer_end(t);
    buf_put_u8(&told, 0);
    const char *text = (const char *)told.p + told.head;
    cr_expect(strstr(text, "0 gone gone\n") && strstr(text, "2 new=3\n"), "%s", text);
    expect_entry(&b, CATALOG_USERS, "kept", "1");
    expect_entry(&b, CATALOG_USERS, "gone", NULL);
    buf_deinit(&state);
}

/* ------------------------------------------------------------ over links */

static const char *entry_at(struct regions *g, uint32_t region, const char *name)
{
    static char text[64];
    struct region *r = &g->at[region];
    struct buf got = {0};
    bool found =
        shard_catalog_get(r->shards[r->shards_n - 1], CATALOG_USERS, bytes_str(name), &got);
    snprintf(text, sizeof text, "%.*s", (int)buf_len(&got), (const char *)got.p);
    buf_deinit(&got);
    return found ? text : NULL;
}

static void set_at(struct regions *g, uint32_t region, const char *name, const char *value)
{
    struct region *r = &g->at[region];
    struct moment now = {.wall_ms = world_wall_ms(g->world, r->host),
                         .mono_us = world_now_us(g->world)};
    cr_assert_null(shard_catalog_set(r->shards[r->shards_n - 1], CATALOG_USERS, bytes_str(name),
                                     bytes_str(value), now));
    syncer_turn(r->syncers[r->shards_n - 1], r->port, now);
    world_flush(g->world);
}

Test(catalog, travels_between_regions_of_different_shards)
{
    struct regions *g = regions_new(
        &(struct regions_opts){.n = 3, .seed = 5, .partitions = 16, .shards = {0, 1, 3, 4}});
    regions_run(g, 200);
    set_at(g, 2, "alice", "on");
    set_at(g, 1, "bob", "off");
    cr_assert(regions_agree(g, 5000), "%s", regions_describe(g));
    for (uint32_t r = 1; r <= 3; r++) {
        cr_expect_str_eq(entry_at(g, r, "alice"), "on");
        cr_expect_str_eq(entry_at(g, r, "bob"), "off");
    }
    regions_free(g);
}

Test(catalog, comes_back_to_a_region_that_lost_its_memory)
{
    struct regions *g = regions_new(&(struct regions_opts){.n = 2, .seed = 6, .shards = {0, 2, 3}});
    regions_run(g, 200);
    set_at(g, 1, "alice", "on");
    cr_assert(regions_agree(g, 5000));
    regions_kill(g, 1);
    regions_run(g, 500);
    regions_start(g, 1, true);
    cr_assert(regions_agree(g, 20000), "%s", regions_describe(g));
    cr_expect_str_eq(entry_at(g, 1, "alice"), "on");
    regions_free(g);
}
