/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/rng.h"
#include "shard/shard.h"
#include "syncer/elision.h"
#include "tests/words.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What takes runs holds what it would hold had it taken every frame. Region 1 writes; region 3
 * writes too, sometimes having seen a part of what is still to come as one run. One shard takes all
 * frames as they were, another one the runs.
 */
#define PARTITIONS 2u

static struct shard *shard_make(uint32_t region, size_t patch_min)
{
    return shard_new(&(struct shard_opts){.region = region,
                                          .actor = actor_make(region, 0),
                                          .partitions = PARTITIONS,
                                          .count = PARTITIONS,
                                          .hash_key = {1, 2},
                                          .seed = 9,
                                          .geo = true,
                                          .patch_min = patch_min});
}

static void run_command(struct shard *s, struct moment now, const char *words)
{
    struct buf out = {0};
    cr_assert(words_run(s, now, words, &out), "%s", words);
    buf_deinit(&out);
}

static void write_something(struct shard *s, struct rng *rng, struct moment now)
{
    static const char *const forms[] = {
        "SET k@ #",          "SET k@ v# KEEPTTL",
        "SET k@ # EX 5000",  "DEL k@",
        "INCR k@",           "INCRBYFLOAT k@ 0.25",
        "APPEND k@ x#",      "EXPIRE k@ 1#",
        "PERSIST k@",        "SADD k@ m#",
        "SADD k@ m1 m2 m#",  "SREM k@ m#",
        "SREM k@ m1 m2 m3",  "HSET k@ m# v",
        "HSET k@ m1 1 m2 2", "HDEL k@ m#",
        "HINCRBY k@ m1 #",   "HINCRBYFLOAT k@ m2 1.5",
        "HDEL k@ m1 m2 m3",  "ZADD k@ # m1",
        "ZADD k@ 3 m#",      "ZINCRBY k@ # m1",
        "ZREM k@ m#",        "RPUSH k@ e#",
        "LPUSH k@ a b #",    "LSET k@ 0 z#",
        "LPOP k@",           "LREM k@ 0 e#",
        "PFADD k@ e#",       "XADD k@ * f v#",
        "XTRIM k@ MAXLEN 2", "XADD k@ MAXLEN 2 * f v#",
        "SETRANGE k@ 3 ab#", "GETDEL k@",
        "HSET k@ m# w",      "INCRBY k@ #",
        "FLUSHALL",
    };
    struct buf words = {0};
    size_t i = (size_t)rng_below(rng, sizeof forms / sizeof forms[0] - (rng_below(rng, 20) != 0));
    for (const char *c = forms[i]; *c != 0; c++) { /* @: a key's number, #: another number */
        if (*c == '@' || *c == '#')
            buf_putf(&words, "%u", (unsigned)rng_below(rng, *c == '@' ? 12 : 4));
        else
            buf_put_u8(&words, (uint8_t)*c);
    }
    buf_put_u8(&words, 0);
    run_command(s, now, (const char *)words.p);
    buf_deinit(&words);
}

static void take(struct shard *s, const struct frame *f, struct moment now)
{
    enum take took = shard_take(s, f, now);
    cr_assert(took == TAKE_DONE || took == TAKE_COVERED, "%d", (int)took);
}

/* Frames of `from` up to `end`, one by one. */
static void pass(struct shard *from, uint64_t *pos, uint64_t end, struct shard *to,
                 struct moment now)
{
    struct frame f;
    while (*pos < end && log_read(shard_log(from), pos, &f))
        if (stamp_actor(f.last) != actor_make(3, 0) || to != from)
            take(to, &f, now);
}

/* Own frames of region 3, from its log, in each partition as far as their causes are here. */
static void pass_third(struct shard *third, uint64_t pos[PARTITIONS], struct shard *to,
                       struct moment now)
{
    struct frame f;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        enum take took = TAKE_DONE;
        for (uint64_t next = pos[i]; took != TAKE_WAITS && log_read(shard_log(third), &next, &f);) {
            took = TAKE_COVERED;
            if (stamp_actor(f.last) == actor_make(3, 0) && f.partition == i)
                took = shard_take(to, &f, now);
            cr_assert(took == TAKE_DONE || took == TAKE_COVERED || took == TAKE_WAITS);
            if (took != TAKE_WAITS)
                pos[i] = next;
        }
    }
}

struct runs {
    struct elision *at[PARTITIONS];
    struct buf room;
    struct shard *third;
    uint64_t third_pos[PARTITIONS];
};

static void end_run(struct runs *r, uint32_t i, struct shard *to, struct moment now)
{
    struct frame f;
    if (elision_empty(r->at[i]))
        return;
    elision_frame(r->at[i], &r->room, &f);
    pass_third(r->third, r->third_pos, to, now);
    take(to, &f, now);
    elision_clear(r->at[i]);
}

/* Only what the region itself wrote, as runs; `whole`: all of it. */
static void pass_runs(struct runs *r, struct shard *from, uint64_t *pos, struct shard *to,
                      bool whole, struct moment now)
{
    struct frame f;
    while (log_read(shard_log(from), pos, &f)) {
        if (stamp_actor(f.last) != actor_make(1, 0))
            continue;
        if (!elision_fits(r->at[f.partition], &f))
            end_run(r, f.partition, to, now);
        cr_assert(elision_add(r->at[f.partition], &f));
    }
    for (uint32_t i = 0; whole && i < PARTITIONS; i++)
        end_run(r, i, to, now);
}

static void state_of(struct shard *s, uint32_t partition, struct moment now, struct buf *out)
{
    struct transfer *t = transfer_begin(s, partition, now);
    while (transfer_next(t, out, 100000))
        continue;
    transfer_end(t);
}

static int by_byte(const void *a, const void *b)
{
    return *(const uint8_t *)a - *(const uint8_t *)b;
}

/* Of states whose keys and elements may stand in any order: that is history. */
static uint64_t fingerprint(struct bytes states)
{
    uint64_t sum = 0;
    while (states.n > 0) {
        struct bytes next;
        struct buf record = {0};
        cr_assert(value_record_next(&states, &next));
        buf_put_bytes(&record, next);
        qsort(record.p, next.n, 1, by_byte);
        sum += hash_64(buf_bytes(&record), 1);
        buf_deinit(&record);
    }
    return sum;
}

static void expect_same(struct shard *a, struct shard *b, bool bytes, struct moment now,
                        uint64_t seed)
{
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        struct buf x = {0}, y = {0};
        cr_assert(context_eq(shard_context(a, i), shard_context(b, i)), "seed %" PRIu64, seed);
        cr_assert(hash128_eq(shard_digest(a, i), shard_digest(b, i)), "seed %" PRIu64, seed);
        state_of(a, i, now, &x);
        state_of(b, i, now, &y);
        cr_assert(!bytes || fingerprint(buf_bytes(&x)) == fingerprint(buf_bytes(&y)),
                  "seed %" PRIu64 ": the states differ", seed);
        buf_deinit(&x);
        buf_deinit(&y);
    }
}

/* What has been compacted so far is history as well: then only what is shown is compared. */
static uint64_t converges(uint64_t seed, bool compacts, unsigned scale)
{
    struct rng rng;
    rng_init(&rng, seed);
    struct shard *writer = shard_make(1, 1u << 30), *third = shard_make(3, 1u << 30);
    struct shard *full = shard_make(2, 1u << 30), *short_of = shard_make(2, 1u << 30);
    struct runs runs = {.third = third,
                        .at = {elision_new((struct hash_key){3, 4}, 1u << 24),
                               elision_new((struct hash_key){3, 5}, 1u << 24)}};
    uint64_t w_third = 0, w_full = 0, w_short = 0;
    uint64_t t_writer[PARTITIONS] = {0}, t_full[PARTITIONS] = {0};
    unsigned ms = 0;
    for (unsigned round = 0; round < 12; round++) {
        unsigned n = scale * (1 + (unsigned)rng_below(&rng, 60)),
                 seen = (unsigned)rng_below(&rng, n + 1);
        for (unsigned i = 0; i < n; i++) {
            write_something(writer, &rng, words_at(++ms));
            if (rng_below(&rng, 3) > 0)
                shard_close_frames(writer, words_at(ms));
            if (i != seen)
                continue;
            shard_close_frames(writer, words_at(ms)); /* the third region sees so much of the run */
            pass(writer, &w_third, log_end(shard_log(writer)), third, words_at(ms));
            for (unsigned k = (unsigned)rng_below(&rng, 12); k > 0; k--)
                write_something(third, &rng, words_at(ms));
            shard_close_frames(third, words_at(ms));
            if (rng_below(&rng, 2) == 0) { /* at once, or all of the run before */
                pass(writer, &w_full, log_end(shard_log(writer)), full, words_at(ms));
                pass_third(third, t_full, full, words_at(ms));
            }
        }
        shard_close_frames(writer, words_at(ms));
        pass(writer, &w_full, log_end(shard_log(writer)), full, words_at(ms));
        bool whole = round == 11 || rng_below(&rng, 2) == 0;
        pass_runs(&runs, writer, &w_short, short_of, whole, words_at(ms));
        pass_third(third, t_full, full, words_at(ms));
        if (!whole) { /* the run goes on, unless the writer sees something foreign */
            if (rng_below(&rng, 2) == 0)
                pass_third(third, t_writer, writer, words_at(ms));
            continue;
        }
        pass_third(third, runs.third_pos, short_of, words_at(ms));
        expect_same(full, short_of, !compacts, words_at(ms), seed);
        if (rng_below(&rng, 2) == 0)
            pass_third(third, t_writer, writer, words_at(ms));
        if (compacts)
            for (uint32_t i = 0; i < PARTITIONS; i++) {
                struct context stable = {0};
                context_copy(&stable, shard_context(third, i));
                context_meet(&stable, shard_context(writer, i));
                context_meet(&stable, shard_context(full, i));
                shard_stable(full, i, &stable, words_at(ms));
                shard_stable(short_of, i, &stable, words_at(ms));
                context_deinit(&stable);
            }
    }
    uint64_t elided = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        elided += elision_elided(runs.at[i]);
        elision_free(runs.at[i]);
    }
    buf_deinit(&runs.room);
    shard_free(writer);
    shard_free(third);
    shard_free(full);
    shard_free(short_of);
    return elided;
}

Test(elision, a_run_has_the_effect_of_its_frames)
{
    uint64_t elided = 0;
    for (uint64_t seed = 1; seed <= 400; seed++)
        elided += converges(seed, seed % 3 == 0, 1);
    cr_assert_gt(elided, 3000u);
}

/* Of several segments each (elision.c). */
Test(elision, so_has_a_large_one)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        cr_assert_gt(converges(seed, false, 150), 1000u);
}

/* Writes to a shard, as one run. */
static void run_of(struct elision *r, struct shard *s)
{
    struct frame f;
    uint64_t pos = 0;
    shard_close_frames(s, words_at(1));
    while (log_read(shard_log(s), &pos, &f)) {
        cr_assert(elision_fits(r, &f));
        cr_assert(elision_add(r, &f));
    }
}

static uint32_t ops_left(const char *const *lines)
{
    struct shard *s = shard_make(1, 1u << 30);
    struct elision *r = elision_new((struct hash_key){1, 2}, 1u << 24);
    struct buf room = {0};
    struct frame f;
    for (; *lines != NULL; lines++) {
        run_command(s, words_at(1), *lines);
        shard_close_frames(s, words_at(1));
    }
    run_of(r, s);
    elision_frame(r, &room, &f);
    uint32_t n = f.ops_count;
    buf_deinit(&room);
    elision_free(r);
    shard_free(s);
    return n;
}

#define LEFT(...) ops_left((const char *const[]){__VA_ARGS__, NULL})

/* Whoever takes a run may have its beginning already: by a state that another region sent. */
static void beginning_is_here(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    struct shard *writer = shard_make(1, 1u << 30), *taker = shard_make(2, 1u << 30);
    struct runs runs = {.third = shard_make(3, 1u << 30),
                        .at = {elision_new((struct hash_key){3, 4}, 1u << 24),
                               elision_new((struct hash_key){3, 5}, 1u << 24)}};
    uint64_t pos = 0;
    unsigned n = 2 + (unsigned)rng_below(&rng, 60), state_at = (unsigned)rng_below(&rng, n);
    for (unsigned i = 0; i < n; i++) {
        write_something(writer, &rng, words_at(i));
        shard_close_frames(writer, words_at(i));
        pass_runs(&runs, writer, &pos, taker, i + 1 == n, words_at(i));
        for (uint32_t p = 0; i == state_at && p < PARTITIONS; p++) {
            struct buf state = {0};
            state_of(writer, p, words_at(i), &state);
            cr_assert(
                shard_join(taker, p, buf_bytes(&state), shard_context(writer, p), words_at(i)));
            buf_deinit(&state);
        }
    }
    expect_same(writer, taker, false, words_at(n), seed);
    shard_free(writer);
    shard_free(taker);
    shard_free(runs.third);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        elision_free(runs.at[i]);
    buf_deinit(&runs.room);
}

Test(elision, a_run_may_be_taken_where_its_beginning_is_known)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        beginning_is_here(seed);
}

Test(elision, only_what_is_seen_in_the_end_is_left)
{
    cr_expect_eq(LEFT("SET {a} 1", "SET {a} 2", "SET {a} 3"), 1u);
    cr_expect_eq(LEFT("SADD {a} x", "HSET {a}h f 1", "HSET {a}h f 2", "HSET {a}h g 2"),
                 4u); /* the first found the key empty */
    cr_expect_eq(LEFT("RPUSH {a} x y z", "DEL {a}"), 1u);
    cr_expect_eq(LEFT("SADD {a} y", "SADD {a} x", "SREM {a} x"), 2u);
    cr_expect_eq(LEFT("SADD {a} x", "SREM {a} x"), 1u);
    cr_expect_eq(LEFT("SET {a} 1", "INCR {a}", "EXPIRE {a} 10", "EXPIRE {a} 20"), 3u);
    cr_expect_eq(LEFT("SET {a} 1", "SET {a}b 1", "FLUSHALL"), 1u);
}

Test(elision, ten_thousand_overwrites_are_few)
{
    struct shard *s = shard_make(1, 1u << 30);
    struct elision *r = elision_new((struct hash_key){1, 2}, 1u << 24);
    struct buf room = {0};
    struct frame f;
    uint64_t pos = 0;
    char line[64];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(line, sizeof line, "SET {a}%u a-value-of-some-length-%u", i % 10, i);
        run_command(s, words_at(1), line);
        shard_close_frames(s, words_at(1));
        while (log_read(shard_log(s), &pos, &f)) {
            cr_assert(elision_fits(r, &f));
            cr_assert(elision_add(r, &f));
        }
    }
    elision_frame(r, &room, &f);
    cr_assert_eq(f.ops_count, 10u);
    cr_assert_eq(elision_elided(r), 9990u);
    cr_assert_lt(elision_bytes(r), 256u << 10);
    buf_deinit(&room);
    elision_free(r);
    shard_free(s);
}

/* Each key twice, evenly, as what was written to all of a partition: one run, in pieces. */
Test(elision, a_run_comes_in_pieces)
{
    struct shard *s = shard_make(1, 1u << 30), *other = shard_make(2, 1u << 30);
    struct elision *r = elision_new((struct hash_key){1, 2}, 1u << 24);
    struct buf ops = {0};
    struct frame f;
    unsigned pieces = 1;
    char line[160];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(line, sizeof line, "SET {a}%u a-value-of-some-length-that-fills-segments-%u",
                 i % 10000, i);
        run_command(s, words_at(1), line);
    }
    run_of(r, s);
    cr_assert_eq(elision_elided(r), 10000u);
    elision_head(r, &f);
    while (elision_next(r, &ops, 10000))
        pieces++;
    cr_assert_gt(pieces, 50u);
    cr_assert_leq(buf_len(&ops), elision_size(r));
    f.ops = buf_bytes(&ops);
    cr_assert_eq(shard_take(other, &f, words_at(2)), TAKE_DONE);
    expect_same(s, other, true, words_at(2), 0);
    buf_deinit(&ops);
    elision_free(r);
    shard_free(s);
    shard_free(other);
}

Test(elision, a_run_ends_where_something_foreign_was_seen)
{
    struct shard *s = shard_make(1, 1u << 30), *other = shard_make(3, 1u << 30);
    struct elision *r = elision_new((struct hash_key){1, 2}, 1u << 24);
    struct frame f;
    uint64_t pos = 0;
    run_command(s, words_at(1), "SET {a} 1");
    shard_close_frames(s, words_at(1));
    run_command(other, words_at(1), "SET {a} 2");
    shard_close_frames(other, words_at(1));
    cr_assert(log_read(shard_log(other), &pos, &f));
    cr_assert_eq(shard_take(s, &f, words_at(2)), TAKE_DONE);
    run_command(s, words_at(3), "SET {a} 3");
    shard_close_frames(s, words_at(3));
    pos = 0;
    cr_assert(log_read(shard_log(s), &pos, &f));
    cr_assert(elision_fits(r, &f) && elision_add(r, &f));
    cr_assert(log_read(shard_log(s), &pos, &f));
    cr_assert_not(elision_fits(r, &f), "another actor's");
    cr_assert(log_read(shard_log(s), &pos, &f));
    cr_assert_not(elision_fits(r, &f), "its writer has seen more");
    elision_free(r);
    shard_free(s);
    shard_free(other);
}

Test(elision, malformed_frames_are_refused)
{
    static const uint8_t junk[] = {0x93, 0x01, 0x01};
    struct elision *r = elision_new((struct hash_key){1, 2}, 1u << 24);
    struct frame f = {.ops_count = 1,
                      .prev = stamp_make(0, 0, 1),
                      .first = stamp_make(5, 0, 1),
                      .last = stamp_make(5, 0, 1),
                      .ops = bytes_of(junk, sizeof junk)};
    cr_assert_not(elision_add(r, &f));
    elision_free(r);
}
