/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include "base/mem.h"

#include <stdio.h>

/* What a shard holds, and what it may. */

static void fill(struct run *r, unsigned n)
{
    char line[128];
    for (unsigned i = 0; i < n; i++) {
        snprintf(line, sizeof line, "SET key:%u %040u", i, i);
        expect(r, line, "OK");
    }
}

Test(memory, a_shard_counts_what_it_holds_and_nothing_else)
{
    struct run a, b;
    run_start(&a, 1, false);
    uint64_t empty = shard_held(a.shard), before = mem_used();
    run_start(&b, 2, false);
    cr_assert_eq(shard_held(a.shard), empty, "another shard is not this one's");
    fill(&a, 1000);
    uint64_t full = shard_held(a.shard);
    cr_assert_gt(full, empty + 1000 * 48);
    cr_assert_lt(full, empty + 1000 * 160);
    cr_assert_geq(mem_used() - before + empty, full, "more than there is");
    expect(&a, "FLUSHALL", "OK");
    run_wait(&a, 100);
    cr_assert_lt(shard_held(a.shard), empty + 4096, "what was flushed is given back");
    run_stop(&a);
    run_stop(&b);
}

Test(memory, kinds_add_up)
{
    struct run a;
    struct memory_use use;
    run_start(&a, 1, true);
    fill(&a, 1000);
    expect(&a, "EXPIRE key:1 100", "1");
    expect(&a, "INCR n", "1");
    shard_close_frames(a.shard, a.now);
    expect(&a, "INCR n", "2"); /* two segments, until all have seen both */
    shard_close_frames(a.shard, a.now);
    shard_memory(a.shard, &use);
    cr_assert_eq(use.held, shard_held(a.shard));
    cr_assert_eq(use.held, use.values + use.unsettled + use.deadlines + use.log + use.kept +
                               use.catalog + use.contexts);
    cr_assert_gt(use.values, 1000 * 48);
    cr_assert_gt(use.log, 1000 * 40);
    cr_assert_gt(use.unsettled, 0);
    cr_assert_gt(use.deadlines, 0);
    cr_assert_gt(use.metadata, 1000 * 8 + use.log);
    run_stop(&a);
}

Test(memory, the_limit_counts_what_is_elsewhere)
{
    struct run a;
    run_start(&a, 1, false);
    expect(&a, "SET k v", "OK");
    shard_set_memory_max(a.shard, (size_t)shard_held(a.shard) + 1000);
    expect(&a, "SET k v", "OK");
    shard_set_memory_elsewhere(a.shard, 2000);
    expect(&a, "SET k v", "error " OOM_TEXT);
    expect(&a, "GET k", "v");
    expect(&a, "DEL k", "1");
    shard_set_memory_elsewhere(a.shard, 0);
    expect(&a, "SET k v", "OK");
    run_stop(&a);
}

Test(memory, buffers_are_nobodys_but_where_they_say_so)
{
    struct mem_account account = {0};
    struct buf loose = {0}, own = {.charged = true};
    struct mem_account *outer = mem_account_enter(&account);
    buf_put(&loose, "x", 1);
    cr_assert_eq(account.held, 0);
    buf_put(&own, "x", 1);
    cr_assert_eq(account.held, (int64_t)mem_block_size(own.p));
    void *p = mem_realloc(mem_alloc(10), 1000);
    mem_free(mem_dup("x", 1));
    cr_assert_eq(account.held, (int64_t)(mem_block_size(own.p) + mem_block_size(p)));
    buf_deinit(&own);
    cr_assert(own.charged);
    mem_free(p);
    mem_account_leave(outer);
    buf_deinit(&loose);
    cr_assert_eq(account.held, 0);
    mem_account_end(&account);
    cr_assert_eq(mem_drift(), 0);
    account.held = -5;
    mem_account_end(&account);
    cr_assert_eq(mem_drift(), 5, "what is missing counts, too");
}
