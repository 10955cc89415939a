/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>

static struct run a, b;
static uint64_t touched_sum;

static void touched(void *arg, uint64_t session)
{
    (void)arg;
    touched_sum += session;
}

static void start(void)
{
    touched_sum = 0;
    run_start_with(&a, &(struct shard_opts){.geo = true, .touched = touched});
    run_start(&b, 2, true);
}

static void stop(void)
{
    run_stop(&a);
    run_stop(&b);
}

TestSuite(watch, .init = start, .fini = stop);

static void watch(uint64_t session, const char *key)
{
    shard_watch(a.shard, session, bytes_str(key), a.now);
}

static bool dirty(uint64_t session) { return shard_unwatch(a.shard, session, a.now); }

Test(watch, a_change_is_told_once)
{
    watch(5, "k");
    watch(6, "k");
    watch(6, "other");
    watch(7, "other");
    expect(&a, "SET k v", "OK");
    expect(&a, "SET k w", "OK");
    cr_expect_eq(touched_sum, 11u);
    cr_expect(dirty(5) && dirty(6) && !dirty(7));
    cr_expect(!dirty(5), "forgotten");
    watch(5, "k");
    expect(&a, "GET k", "w");
    expect(&a, "DEL none", "0");
    cr_expect(!dirty(5));
}

Test(watch, foreign_writes_count)
{
    watch(5, "k");
    expect(&b, "SET k v", "OK");
    run_ship(&b, &a);
    cr_expect(dirty(5));
}

Test(watch, flushing_touches_what_is_there)
{
    expect(&a, "SET k v", "OK");
    watch(5, "k");
    watch(6, "none");
    expect(&a, "FLUSHALL", "OK");
    cr_expect(dirty(5) && !dirty(6));
}

Test(watch, expiry_counts_unless_it_had_passed_before)
{
    expect(&a, "SET k v PX 10", "OK");
    watch(5, "k");
    a.now.wall_ms += 20;
    cr_expect(dirty(5), "expired, not yet removed");
    watch(6, "k");
    run_wait(&a, 1);
    expect(&a, "DBSIZE", "0");
    cr_expect(!dirty(6), "was expired when it was watched");
    expect(&a, "SET k v PX 10", "OK");
    watch(7, "k");
    run_wait(&a, 20);
    cr_expect(dirty(7), "expired and removed");
}

Test(watch, many_sessions_and_keys)
{
    char key[32];
    for (uint64_t session = 1; session <= 100; session++) {
        for (unsigned i = 0; i < 20; i++) {
            snprintf(key, sizeof key, "k%u", (unsigned)(session * 7 + i) % 150);
            watch(session, key);
        }
    }
    expect(&a, "SET k149 v", "OK");
    for (uint64_t session = 1; session <= 100; session++)
        cr_expect_eq(dirty(session), (149 + 150 - session * 7 % 150) % 150 < 20, "%u",
                     (unsigned)session);
}
