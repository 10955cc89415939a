/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/follow.h"
#include "migrate/mark.h"
#include "tests/unit/fake_source.h"
#include "tests/unit/talk.h"

#include "base/mem.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A follower on a host of its own, between a source that plays Redis and a real database. */
struct follower {
    struct follow *follow;
};

struct stage {
    struct serve *serve;
    struct world *w;
    struct client *c;
    struct fake_source source;
    uint32_t source_host, host, target_host;
    struct follower *follower;
    struct follow_opts opts;
    unsigned lives; /* of followers: hosts need names */
};

static void follower_step(void *self, struct port *port, const struct event *ev)
{
    struct follower *f = self;
    if (ev->owner != NULL)
        ev->owner->step(ev->owner, port, ev);
    else if (ev->kind == EV_START)
        follow_start(f->follow, port, ev->now);
    else if (ev->kind == EV_TURN || ev->kind == EV_TIMER)
        follow_tick(f->follow, ev->now);
}

static uint64_t follower_deadline(void *self)
{
    return follow_deadline(((struct follower *)self)->follow);
}

static void follower_drop(void *self, struct port *port)
{
    struct follower *f = self;
    follow_free(f->follow, port);
    mem_free(f);
}

static void start(struct stage *t)
{
    struct machine m = {.step = follower_step, .deadline = follower_deadline};
    struct follower *f = mem_zalloc(sizeof *f);
    f->follow = follow_new(&t->opts);
    m.self = t->follower = f;
    world_machine(t->w, t->host, 1, m, follower_drop);
}

/* The follower is killed, and another begins. */
static void restart(struct stage *t)
{
    char name[32];
    world_kill(t->w, t->host, false);
    snprintf(name, sizeof name, "follower%u", ++t->lives);
    t->host = world_host(t->w, name);
    start(t);
}

static void stage_init(struct stage *t, const struct serve_opts *o)
{
    *t = (struct stage){.serve = serve_new(o)};
    t->w = serve_world(t->serve);
    t->c = client_new(t->serve);
    fake_source_init(&t->source);
    t->target_host = 0; /* the first of its world */
    t->source_host = world_host(t->w, "source");
    t->host = world_host(t->w, "follower");
    t->opts = (struct follow_opts){.source_host = "source",
                                   .source_port = 6379,
                                   .target_host = "server",
                                   .target_port = 6379,
                                   .silence_us = 5000000};
}

static void stage_begin(struct stage *t)
{
    fake_source_start(&t->source, t->w, t->source_host);
    start(t);
}

static void stage_deinit(struct stage *t)
{
    serve_free(t->serve);
    fake_source_deinit(&t->source);
}

static struct follow_status status(struct stage *t)
{
    struct follow_status s;
    follow_status(t->follower->follow, &s);
    return s;
}

static void run_until(struct stage *t, enum follow_state want)
{
    for (unsigned i = 0; i < 600 && status(t).state != want; i++)
        serve_run(t->serve, 50);
    struct follow_status s = status(t);
    cr_assert_eq(s.state, want, "%s: %s", follow_state_name(s.state), s.text);
}

/* All of the stream is applied. */
static void settle(struct stage *t)
{
    for (unsigned i = 0; i < 1200 && status(t).applied != fake_source_offset(&t->source); i++)
        serve_run(t->serve, 50);
    struct follow_status s = status(t);
    cr_assert_eq(s.applied, fake_source_offset(&t->source), "%s: %s", follow_state_name(s.state),
                 s.text);
}

static const struct serve_opts one = {.workers = 1, .shards = 1};

Test(follow, loads_the_snapshot_and_goes_on)
{
    for (unsigned marked = 0; marked < 2; marked++) {
        struct stage t;
        stage_init(&t, &(struct serve_opts){.workers = 2, .shards = 1, .split = true});
        t.source.marked = marked != 0;
        fake_source_key(&t.source, "a", "1", 0);
        fake_source_key(&t.source, "gone", "7", 1000);
        fake_source_write(&t.source, "SELECT 0");
        fake_source_write(&t.source, "INCR a");
        stage_begin(&t);
        run_until(&t, FOLLOW_FOLLOWING);
        fake_source_write(&t.source, "PING");
        fake_source_write(&t.source, "MULTI");
        fake_source_write(&t.source, "INCRBY a 10");
        fake_source_write(&t.source, "RPUSH l x y");
        fake_source_write(&t.source, "EXEC");
        fake_source_write(&t.source, "PERSIST gone"); /* it came late */
        fake_source_write(&t.source, "SELECT 9");
        fake_source_write(&t.source, "SET a other");
        settle(&t);
        talk_expect(t.c, "get a", "$2 12 ");
        talk_expect(t.c, "lrange l 0 -1", "*2 $1 x $1 y ");
        talk_expect(t.c, "get gone", "$1 7 ");
        serve_run(t.serve, 2000);
        cr_assert_eq(t.source.acked, fake_source_offset(&t.source));
        struct follow_status s = status(&t);
        cr_assert(s.in_sync && s.lag_bytes == 0 && s.keys == 2 && s.full_syncs == 1, "%d %lld",
                  s.in_sync, (long long)s.lag_bytes);
        cr_assert_eq(s.passed_over, 1u);
        cr_assert_eq(s.transactions, 1u);
        stage_deinit(&t);
    }
}

Test(follow, ends_with_all_it_has_heard_and_leaves_nothing_behind)
{
    struct stage t;
    stage_init(&t, &one);
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    fake_source_write(&t.source, "SELECT 0");
    for (unsigned i = 0; i < 500; i++)
        fake_source_write(&t.source, "INCR n");
    settle(&t);
    talk_expect(t.c, "exists " MARK_KEY, ":1 ");
    talk_expect(t.c, "config get import-mode", "*2 $11 import-mode $3 yes ");
    follow_end(t.follower->follow, true,
               (struct moment){.mono_us = world_now_us(t.w), .wall_ms = 0});
    run_until(&t, FOLLOW_ENDED);
    talk_expect(t.c, "exists " MARK_KEY, ":0 ");
    talk_expect(t.c, "config get import-mode", "*2 $11 import-mode $2 no ");
    talk_expect(t.c, "get n", "$3 500 ");
    stage_deinit(&t);
}

/* Rounds take so long that they are torn when something breaks. */
static void slow_link(struct stage *t)
{
    world_link(t->w, t->host, t->target_host,
               (struct world_link){.latency_us = 1000, .jitter_us = 500, .bytes_per_s = 30000});
}

/* INCR is not idempotent: whatever is repeated or left out shows. */
static void counts_exactly(struct stage *t, unsigned turns, struct rng *r)
{
    unsigned n = 0;
    char want[32], text[16];
    fake_source_write(&t->source, "SELECT 0");
    slow_link(t);
    for (unsigned i = 0; i < turns; i++) {
        bool whole = rng_below(r, 3) == 0;
        unsigned many = whole ? 1 + (unsigned)rng_below(r, 60) : 1;
        if (whole)
            fake_source_write(&t->source, "MULTI");
        for (unsigned k = 0; k < many; k++, n++)
            fake_source_write(&t->source, "INCR n");
        if (whole)
            fake_source_write(&t->source, "EXEC");
        serve_run(t->serve, (unsigned)rng_below(r, 20));
        switch (rng_below(r, 12)) {
        case 0:
            world_reset(t->w, t->source_host, t->host);
            break;
        case 1:
            world_reset(t->w, t->target_host, t->host);
            break;
        case 2:
            restart(t);
            slow_link(t);
            break;
        default:
            break;
        }
    }
    settle(t);
    snprintf(text, sizeof text, "%u", n);
    snprintf(want, sizeof want, "$%zu %u ", strlen(text), n);
    talk_expect(t->c, "get n", want);
}

Test(follow, applies_each_command_once_whatever_breaks)
{
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct stage t;
        struct rng r;
        rng_init(&r, seed);
        stage_init(&t, &(struct serve_opts){.workers = 1, .shards = 1, .split = seed % 2 == 0});
        stage_begin(&t);
        run_until(&t, FOLLOW_FOLLOWING);
        counts_exactly(&t, 40, &r);
        cr_assert_eq(t.source.fulls, 1u, "seed %u", seed);
        cr_assert_gt(t.source.partials, 0u);
        stage_deinit(&t);
    }
}

/* Bytes of a follower that was killed may reach the target when the next one has read the mark. */
Test(follow, what_a_killed_follower_had_sent_is_not_done_late)
{
    for (unsigned shards = 1; shards <= 2; shards++) {
        struct stage t;
        char name[32];
        stage_init(&t, &(struct serve_opts){.workers = 2, .shards = shards});
        stage_begin(&t);
        run_until(&t, FOLLOW_FOLLOWING);
        fake_source_write(&t.source, "SELECT 0");
        fake_source_write(&t.source, "INCR n");
        settle(&t);
        world_link(t.w, t.host, t.target_host, (struct world_link){.latency_us = 3000000});
        for (unsigned i = 0; i < 10; i++)
            fake_source_write(&t.source, "INCR n");
        serve_run(t.serve, 500);
        fake_source_snapshot(&t.source); /* for the copy that several shards need */
        fake_source_key(&t.source, "n", "11", 0);
        world_kill(t.w, t.host, true);
        snprintf(name, sizeof name, "next%u", shards);
        t.host = world_host(t.w, name);
        start(&t);
        settle(&t);
        fake_source_write(&t.source, "SELECT 0");
        fake_source_write(&t.source, "INCR n");
        settle(&t);
        serve_run(t.serve, 5000);
        fake_source_write(&t.source, "INCR n");
        settle(&t);
        talk_expect(t.c, "get n", "$2 13 ");
        stage_deinit(&t);
    }
}

Test(follow, with_several_shards_a_kill_means_a_new_copy)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        struct stage t;
        struct rng r;
        rng_init(&r, seed);
        stage_init(&t, &(struct serve_opts){.workers = 2, .shards = 4});
        stage_begin(&t);
        run_until(&t, FOLLOW_FOLLOWING);
        counts_exactly(&t, 25, &r);
        stage_deinit(&t);
    }
}

Test(follow, what_several_shards_cannot_do_is_said)
{
    struct stage t;
    stage_init(&t, &(struct serve_opts){.workers = 1, .shards = 4});
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    fake_source_write(&t.source, "SELECT 0");
    fake_source_write(&t.source, "SADD a 1");
    fake_source_write(&t.source, "SMOVE a b 1");
    run_until(&t, FOLLOW_STOPPED);
    cr_assert_not_null(strstr(status(&t).text, "the target has 4 shards"), "%s", status(&t).text);
    stage_deinit(&t);
}

Test(follow, a_lost_backlog_brings_a_new_snapshot_and_what_was_deleted_goes)
{
    struct stage t;
    stage_init(&t, &one);
    fake_source_key(&t.source, "old", "1", 0);
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    talk_expect(t.c, "get old", "$1 1 ");
    fake_source_write(&t.source, "SELECT 0");
    fake_source_write(&t.source, "SET b 1");
    settle(&t);
    world_reset(t.w, t.source_host, t.host);
    fake_source_write(&t.source, "DEL old");
    fake_source_write(&t.source, "SET c 1");
    fake_source_snapshot(&t.source);
    t.source.backlog_from = buf_len(&t.source.log);
    fake_source_key(&t.source, "c", "1", 0);
    serve_run(t.serve, 2000);
    settle(&t);
    cr_assert_eq(t.source.fulls, 2u);
    talk_expect(t.c, "mget old b c", "*3 $-1 $-1 $1 1 ");
    stage_deinit(&t);
}

Test(follow, another_server_becomes_the_source)
{
    struct stage t;
    stage_init(&t, &one);
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    fake_source_write(&t.source, "SELECT 0");
    fake_source_write(&t.source, "INCR n");
    settle(&t);
    memcpy(t.source.id_before, t.source.id, sizeof t.source.id);
    snprintf(t.source.id, sizeof t.source.id, "%s", "9999999999888888888877777777776666666666");
    world_reset(t.w, t.source_host, t.host);
    fake_source_write(&t.source, "INCR n"); /* without a new SELECT, as in the middle of a stream */
    settle(&t);
    talk_expect(t.c, "get n", "$1 2 ");
    cr_assert_str_eq(status(&t).replication_id, t.source.id);
    restart(&t);
    fake_source_write(&t.source, "INCR n");
    settle(&t);
    talk_expect(t.c, "get n", "$1 3 ");
    cr_assert_eq(t.source.fulls, 1u);
    stage_deinit(&t);
}

Test(follow, empties_nothing_unasked)
{
    struct stage t;
    stage_init(&t, &one);
    talk_expect(t.c, "set mine 1", "+OK ");
    stage_begin(&t);
    run_until(&t, FOLLOW_STOPPED);
    cr_assert_not_null(strstr(status(&t).text, "the target holds 1 keys"));
    talk_expect(t.c, "get mine", "$1 1 ");
    t.opts.flush = true;
    restart(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    talk_expect(t.c, "get mine", "$-1 ");
    /* A copy of another source is somebody's, too. */
    t.opts.flush = false;
    t.opts.source_db = 1;
    restart(&t);
    run_until(&t, FOLLOW_STOPPED);
    cr_assert_not_null(strstr(status(&t).text, "copied from source:6379"), "%s", status(&t).text);
    stage_deinit(&t);
}

/* Who gathers found the target in another life: keys of that one may be there, and what said so is
 * lost. */
Test(follow, one_of_several_begins_only_in_the_life_that_was_found)
{
    struct stage t;
    stage_init(&t, &one);
    fake_source_key(&t.source, "a", "1", 0);
    talk_expect(t.c, "set left 1", "+OK ");
    t.opts.field = "source:6379/0";
    t.opts.run = "another";
    stage_begin(&t);
    run_until(&t, FOLLOW_STOPPED);
    cr_assert_not_null(strstr(status(&t).text, "cannot be continued"), "%s", status(&t).text);
    talk_expect(t.c, "get a", "$-1 ");
    t.opts.run = NULL; /* any: what is there is the others' */
    restart(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    settle(&t);
    talk_expect(t.c, "mget a left", "*2 $1 1 $1 1 ");
    stage_deinit(&t);
}

static void target_crashes(const struct serve_opts *o)
{
    struct stage t;
    stage_init(&t, o);
    fake_source_key(&t.source, "a", "1", 0);
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    fake_source_write(&t.source, "SELECT 0");
    fake_source_write(&t.source, "INCR a");
    settle(&t);
    serve_run(t.serve, 3000); /* what is there is on disk, if there is one */
    serve_kill(t.serve, false);
    serve_run(t.serve, 500);
    serve_start(t.serve);
    t.c = client_new(t.serve);
    fake_source_write(&t.source, "INCR a");
    serve_run(t.serve, 8000);
    settle(&t);
    talk_expect(t.c, "get a", "$1 3 ");
    cr_assert_eq(t.source.fulls, 2u, "%u", t.source.fulls);
    stage_deinit(&t);
}

Test(follow, a_target_that_crashed_is_copied_anew)
{
    target_crashes(&one);
    target_crashes(&(struct serve_opts){.workers = 1, .shards = 1, .persistence = PERSIST_SECOND});
}

Test(follow, a_full_target_is_waited_for)
{
    struct stage t;
    struct plane_db *db = mem_zalloc(sizeof *db);
    stage_init(&t, &one);
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    serve_db(t.serve, db);
    db->version = 2;
    db->memory_max = 1;
    cr_assert(serve_set(t.serve, db));
    fake_source_write(&t.source, "SELECT 0");
    fake_source_write(&t.source, "INCR n");
    serve_run(t.serve, 3000);
    cr_assert_eq(status(&t).state, FOLLOW_FOLLOWING);
    cr_assert_not_null(strstr(status(&t).text, "OOM"), "%s", status(&t).text);
    cr_assert_not(status(&t).in_sync);
    cr_assert_lt(t.source.acked, fake_source_offset(&t.source));
    db->version = 3;
    db->memory_max = 0;
    cr_assert(serve_set(t.serve, db));
    settle(&t);
    talk_expect(t.c, "get n", "$1 1 ");
    cr_assert_str_empty(status(&t).text);
    mem_free(db);
    stage_deinit(&t);
}

static void stops_with(void (*prepare)(struct stage *t), enum follow_state want, const char *text)
{
    struct stage t;
    stage_init(&t, &one);
    prepare(&t);
    stage_begin(&t);
    for (unsigned i = 0; i < 400 && strstr(status(&t).text, text) == NULL; i++)
        serve_run(t.serve, 25);
    struct follow_status s = status(&t);
    cr_expect(s.state == want && strstr(s.text, text) != NULL, "%s: %s", follow_state_name(s.state),
              s.text);
    stage_deinit(&t);
}

static void no_password(struct stage *t) { t->source.password = "secret"; }
static void bad_password(struct stage *t)
{
    t->source.password = "secret";
    t->opts.source_password = "guess";
}
static void sentinel(struct stage *t) { t->source.mode = "sentinel"; }
static void cluster(struct stage *t) { t->source.mode = "cluster"; }

static void no_link(struct stage *t)
{
    t->source.refuses = "-NOMASTERLINK Can't SYNC while not connected with my master";
}
static void forbidden(struct stage *t)
{
    t->source.refuses = "-NOPERM this user has no permissions to run the 'psync' command";
}
static void unknown(struct stage *t) { t->source.refuses = "-ERR unknown command `PSYNC`"; }
static void strange(struct stage *t) { t->source.refuses = "+HELLO"; }
static void silent(struct stage *t) { t->source.silent = true; }
static void elsewhere(struct stage *t) { t->opts.source_host = "nowhere"; }
static void broken_stream(struct stage *t) { fake_source_write_raw(&t->source, "*1\r\n$x\r\n"); }
static void module(struct stage *t)
{
    fake_source_write(&t->source, "SELECT 0");
    fake_source_write(&t->source, "JSON.SET k $ 1");
}
static void wrong_type(struct stage *t)
{
    fake_source_key(&t->source, "k", "text", 0);
    fake_source_write(&t->source, "SELECT 0");
    fake_source_write(&t->source, "RPUSH k x");
}
static void swapped(struct stage *t) { fake_source_write(&t->source, "SWAPDB 0 1"); }

Test(follow, says_what_is_wrong_and_what_to_do)
{
    stops_with(no_password, FOLLOW_STOPPED, "wants a password");
    stops_with(bad_password, FOLLOW_STOPPED, "does not take user and password");
    stops_with(sentinel, FOLLOW_STOPPED, "is a Sentinel");
    stops_with(cluster, FOLLOW_STOPPED, "node of a Redis Cluster");
    stops_with(forbidden, FOLLOW_STOPPED, "+psync");
    stops_with(unknown, FOLLOW_STOPPED, "import an RDB file");
    stops_with(module, FOLLOW_STOPPED, "JSON.SET k $ ...");
    stops_with(wrong_type, FOLLOW_STOPPED, "RPUSH k x: WRONGTYPE");
}

Test(follow, tries_again_what_may_pass)
{
    stops_with(no_link, FOLLOW_PAUSE, "NOMASTERLINK");
    stops_with(strange, FOLLOW_PAUSE, "as no Redis does");
    stops_with(silent, FOLLOW_PAUSE, "silent for 5 s");
    stops_with(elsewhere, FOLLOW_PAUSE, "the connection to the source nowhere:6379");
    stops_with(broken_stream, FOLLOW_PAUSE, "malformed");
    stops_with(swapped, FOLLOW_PAUSE, "SWAPDB");
}

/* ------------------------------------------------------------ silence */

static void expect_text(struct stage *t, unsigned ms, const char *want)
{
    for (unsigned i = 0; i < ms / 100 && strstr(status(t).text, want) == NULL; i++) {
        if (i % 50 == 0)
            fake_source_write(&t->source, "PING"); /* as a Redis does */
        serve_run(t->serve, 100);
    }
    cr_expect(strstr(status(t).text, want) != NULL, "%s, not %s", status(t).text, want);
    cr_expect(!status(t).in_sync);
}

static void cut(struct stage *t, uint32_t host, bool yes)
{
    world_link(t->w, t->host, host, (struct world_link){.latency_us = 200, .cut = yes});
    world_link(t->w, host, t->host, (struct world_link){.latency_us = 200, .cut = yes});
}

Test(follow, a_target_that_does_not_answer_shows_and_nothing_is_done_twice)
{
    struct stage t;
    stage_init(&t, &one);
    t.opts.silence_us = 20000000;
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    fake_source_write(&t.source, "SELECT 0");
    fake_source_write(&t.source, "INCR n");
    settle(&t);
    for (unsigned i = 0; i < 2; i++) { /* shorter than it is waited for, and longer */
        cut(&t, t.target_host, true);
        fake_source_write(&t.source, "INCR n");
        expect_text(&t, 9000, "the target has not answered for 5 s");
        if (i > 0)
            expect_text(&t, 30000, "the connection to the target: no answer for 20 s");
        cut(&t, t.target_host, false);
        settle(&t);
        serve_run(t.serve, 3000);
        cr_expect(status(&t).in_sync && status(&t).text[0] == 0, "%s", status(&t).text);
    }
    talk_expect(t.c, "get n", "$1 3 ");
    cr_expect_eq(t.source.fulls, 1u);
    stage_deinit(&t);
}

Test(follow, a_source_that_does_not_answer_shows)
{
    struct stage t;
    stage_init(&t, &one);
    t.opts.silence_us = 20000000;
    stage_begin(&t);
    run_until(&t, FOLLOW_FOLLOWING);
    serve_run(t.serve, 3000);
    cr_expect(status(&t).in_sync);
    t.source.silent = true;
    expect_text(&t, 8000, "the source source:6379 has not answered for 5 s");
    for (unsigned i = 0; i < 300 && status(&t).state != FOLLOW_PAUSE; i++)
        serve_run(t.serve, 100);
    cr_expect(strstr(status(&t).text, "has been silent for 20 s") != NULL, "%s", status(&t).text);
    expect_text(&t, 30000, "has not answered for 10 s"); /* it is dialled, and says nothing */
    t.source.silent = false;
    run_until(&t, FOLLOW_FOLLOWING);
    serve_run(t.serve, 3000);
    cr_expect(status(&t).in_sync && status(&t).text[0] == 0, "%s", status(&t).text);
    stage_deinit(&t);
}
