/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/rng.h"
#include "tests/words.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Frames taken a few operations at a time, and nobody can tell: two shards of one region take the
 * same frames, one in one go at the moment when it happens in the other, which takes its time.
 * Clients do the same in both, and get the same replies.
 */
#define PARTITIONS 2u

static struct shard *shard_make(uint32_t region)
{
    return shard_new(&(struct shard_opts){.region = region,
                                          .actor = actor_make(region, 0),
                                          .partitions = PARTITIONS,
                                          .count = PARTITIONS,
                                          .hash_key = {1, 2},
                                          .seed = 9,
                                          .geo = true,
                                          .pour_min = 2,
                                          .slice_bytes = 1,
                                          .patch_min = 1u << 20});
}

static void run_command(struct shard *s, struct moment now, const char *words, struct buf *out)
{
    cr_assert(words_run(s, now, words, out), "%s", words);
}

/* @: a key's number, #: another number. */
static const char *some_words(struct rng *rng, struct buf *words, unsigned keys)
{
    static const char *const forms[] = {
        "SET k@ #",    "SET k@ # PX 1#",  "DEL k@",         "INCR k@",          "EXPIRE k@ 1#",
        "PERSIST k@",  "SADD k@ m#",      "SREM k@ m#",     "SADD k@ m1 m2",    "HSET k@ m# v",
        "HDEL k@ m#",  "HINCRBY k@ m1 #", "ZADD k@ # m1",   "ZINCRBY k@ # m1",  "ZREM k@ m#",
        "RPUSH k@ e#", "LPOP k@",         "PFADD k@ e#",    "XADD k@ 1-* f v#", "GET k@",
        "SMEMBERS k@", "HGETALL k@",      "ZRANGE k@ 0 -1", "LRANGE k@ 0 -1",   "TTL k@",
        "EXISTS k@",   "GETDEL k@",       "APPEND k@ x",    "COPY k@ k@",       "RENAME k@ k@",
        "PFCOUNT k@",  "STRLEN k@",       "TYPE k@",        "XLEN k@",          "FLUSHALL",
    };
    size_t n = sizeof forms / sizeof forms[0];
    size_t i = (size_t)rng_below(rng, rng_below(rng, 50) == 0 ? n : n - 1);
    buf_clear(words);
    for (const char *c = forms[i]; *c != 0; c++) {
        if (*c == '@' || *c == '#')
            buf_putf(words, "%u", (unsigned)rng_below(rng, *c == '@' ? keys : 4));
        else
            buf_put_u8(words, (uint8_t)*c);
    }
    buf_put_u8(words, 0);
    return (const char *)words->p;
}

struct pair {
    struct shard *whole, *slow;
    struct rng rng;
    struct buf words, out[2];
    unsigned ms, poured, joined, between;
};

static void clients(struct pair *p)
{
    p->ms += (unsigned)rng_below(&p->rng, 3);
    for (uint64_t n = rng_below(&p->rng, 3); n > 0; n--) {
        const char *words = some_words(&p->rng, &p->words, 14);
        buf_clear(&p->out[0]);
        buf_clear(&p->out[1]);
        run_command(p->whole, words_at(p->ms), words, &p->out[0]);
        run_command(p->slow, words_at(p->ms), words, &p->out[1]);
        cr_assert(bytes_eq(buf_bytes(&p->out[0]), buf_bytes(&p->out[1])), "%s: %.*s, %.*s", words,
                  (int)buf_len(&p->out[0]), (char *)p->out[0].p, (int)buf_len(&p->out[1]),
                  (char *)p->out[1].p);
        p->between++;
    }
}

static void expect_equal(struct pair *p)
{
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        cr_assert(context_eq(shard_context(p->whole, i), shard_context(p->slow, i)));
        cr_assert(hash128_eq(shard_digest(p->whole, i), shard_digest(p->slow, i)));
    }
}

static void take(struct pair *p, const struct frame *f)
{
    enum take took = shard_pour(p->slow, f, NULL, words_at(p->ms));
    bool happened = took != TAKE_POURS;
    if (happened)
        cr_assert_eq(shard_take(p->whole, f, words_at(p->ms)), took);
    p->poured += !happened;
    while (took == TAKE_POURS) {
        uint32_t partition;
        stamp_t last;
        clients(p);
        took = shard_pour_on(p->slow, words_at(p->ms));
        bool does = took != TAKE_POURS || shard_pours_into(p->slow, &partition, &last);
        if (does && !happened) {
            cr_assert_eq(shard_take(p->whole, f, words_at(p->ms)), TAKE_DONE);
            happened = true;
        }
        if (does && rng_below(&p->rng, 40) == 0)
            expect_equal(p); /* which ends it */
    }
    cr_assert_neq(took, TAKE_BAD);
}

/* A state of all that the writer has, whose keys are joined while frames come. */
static void join_state(struct pair *p, struct shard *writer)
{
    uint32_t partition = (uint32_t)rng_below(&p->rng, PARTITIONS);
    struct transfer *t = transfer_begin(writer, partition, words_at(p->ms));
    struct joiner *j = joiner_new(p->slow, partition);
    struct buf state = {0};
    while (transfer_next(t, &state, 1000))
        continue;
    cr_assert(joiner_add(j, buf_bytes(&state)));
    cr_assert(joiner_join(j, transfer_context(t), words_at(p->ms)));
    cr_assert(
        shard_join(p->whole, partition, buf_bytes(&state), transfer_context(t), words_at(p->ms)));
    p->joined += shard_is_joining(p->slow, partition);
    transfer_end(t);
    buf_deinit(&state);
}

static void history(uint64_t seed, unsigned *joined)
{
    struct pair p = {.whole = shard_make(2), .slow = shard_make(2)};
    struct shard *writer = shard_make(1);
    struct buf out = {0}, words = {0};
    uint64_t pos = 0;
    rng_init(&p.rng, seed);
    for (unsigned round = 0; round < 30; round++) {
        struct frame f;
        p.ms += 1 + (unsigned)rng_below(&p.rng, 300);
        if (rng_below(&p.rng, 3) == 0)
            join_state(&p, writer);
        for (uint64_t n = 1 + rng_below(&p.rng, 60); n > 0; n--)
            run_command(writer, words_at(p.ms), some_words(&p.rng, &words, 14), &out);
        shard_close_frames(writer, words_at(p.ms));
        while (log_read(shard_log(writer), &pos, &f))
            take(&p, &f);
        shard_close_frames(p.whole, words_at(p.ms));
        shard_close_frames(p.slow, words_at(p.ms));
        while (shard_tick(p.whole, words_at(p.ms)))
            continue;
        while (shard_tick(p.slow, words_at(p.ms)))
            continue;
        expect_equal(&p);
    }
    cr_assert(p.poured > 20 && p.between > 100, "%u poured, %u between", p.poured, p.between);
    *joined += p.joined;
    shard_free(p.whole);
    shard_free(p.slow);
    shard_free(writer);
    buf_deinit(&out);
    buf_deinit(&words);
    buf_deinit(&p.words);
    buf_deinit(&p.out[0]);
    buf_deinit(&p.out[1]);
}

Test(pour, nobody_can_tell_that_a_frame_takes_time)
{
    const char *seeds = getenv("POUR_SEEDS");
    unsigned joined = 0;
    for (uint64_t seed = 1; seed <= (seeds != NULL ? strtoull(seeds, NULL, 10) : 60); seed++)
        history(seed, &joined);
    cr_expect_gt(joined, 100u, "states were joined meanwhile");
}

/* A shard that has made a large frame, which is still borrowed from its log. */
static struct shard *writer_of(struct frame *f)
{
    struct shard *writer = shard_make(1);
    struct buf out = {0}, words = {0};
    uint64_t pos = 0;
    for (unsigned i = 0; i < 100; i++) {
        buf_clear(&words);
        buf_putf(&words, "SET k%u new", i);
        buf_put_u8(&words, 0);
        run_command(writer, words_at(1), (const char *)words.p, &out);
    }
    shard_close_frames(writer, words_at(1));
    cr_assert(log_read(shard_log(writer), &pos, f));
    buf_deinit(&out);
    buf_deinit(&words);
    return writer;
}

Test(pour, a_malformed_frame_changes_nothing)
{
    struct frame f;
    struct shard *writer = writer_of(&f), *s = shard_make(2);
    struct hash128 before = shard_digest(s, f.partition);
    f.ops.n -= 3; /* its last operation is cut short */
    enum take took = shard_pour(s, &f, NULL, words_at(2));
    cr_assert_eq(took, TAKE_POURS);
    while (took == TAKE_POURS)
        took = shard_pour_on(s, words_at(2));
    cr_assert_eq(took, TAKE_BAD);
    cr_assert(!shard_pours(s));
    cr_assert(hash128_eq(shard_digest(s, f.partition), before));
    cr_assert_eq(shard_context(s, f.partition)->n, 0);
    shard_free(s);
    shard_free(writer);
}

Test(pour, it_can_be_dropped_until_it_happens)
{
    struct frame f;
    struct shard *writer = writer_of(&f), *s = shard_make(2);
    uint32_t partition;
    stamp_t last;
    cr_assert_eq(shard_pour(s, &f, NULL, words_at(2)), TAKE_POURS);
    cr_assert_eq(shard_pour_on(s, words_at(2)), TAKE_POURS);
    cr_assert(!shard_pours_into(s, &partition, &last));
    cr_assert(partition == f.partition && last == f.last);
    shard_pour_end(s); /* nothing has happened that could be ended: it goes on */
    cr_assert(shard_pours(s));
    shard_pour_drop(s);
    cr_assert(!shard_pours(s));
    cr_assert_eq(shard_context(s, f.partition)->n, 0);
    cr_assert_eq(shard_pour(s, &f, NULL, words_at(2)), TAKE_POURS);
    while (!shard_pours_into(s, &partition, &last))
        cr_assert_eq(shard_pour_on(s, words_at(2)), TAKE_POURS);
    shard_pour_drop(s);
    cr_assert(shard_pours(s));
    cr_assert_eq(shard_pour_on(s, words_at(2)), TAKE_POURS);
    shard_pour_end(s);
    cr_assert(!shard_pours(s));
    cr_assert_eq(shard_pour_on(s, words_at(2)), TAKE_DONE);
    cr_assert(context_covers(shard_context(s, f.partition), f.last));
    cr_assert(hash128_eq(shard_digest(s, f.partition), shard_digest(writer, f.partition)));
    shard_free(s);
    shard_free(writer);
}

Test(pour, its_shard_can_end_in_the_middle)
{
    struct frame f;
    struct shard *writer = writer_of(&f), *s = shard_make(2);
    uint32_t partition;
    stamp_t last;
    cr_assert_eq(shard_pour(s, &f, NULL, words_at(2)), TAKE_POURS);
    while (!shard_pours_into(s, &partition, &last))
        cr_assert_eq(shard_pour_on(s, words_at(2)), TAKE_POURS);
    cr_assert_eq(shard_pour_on(s, words_at(2)), TAKE_POURS);
    shard_free(s); /* in the middle */
    shard_free(writer);
}

static unsigned touches;
static void touched(void *arg, uint64_t session)
{
    (void)arg;
    touches += session == 7;
}

/* Else a transaction would read what its WATCH was to rule out. */
Test(pour, a_watched_key_changes_when_it_happens)
{
    struct frame f;
    struct shard *writer = writer_of(&f);
    struct shard *s = shard_new(&(struct shard_opts){.region = 2,
                                                     .actor = actor_make(2, 0),
                                                     .partitions = PARTITIONS,
                                                     .count = PARTITIONS,
                                                     .hash_key = {1, 2},
                                                     .geo = true,
                                                     .pour_min = 2,
                                                     .touched = touched});
    uint32_t partition;
    stamp_t last;
    for (unsigned i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof name, "k%u", i);
        if (slot_partition(hash_slot(bytes_str(name)), PARTITIONS) == f.partition)
            shard_watch(s, 7, bytes_str(name), words_at(2));
    }
    enum take took = shard_pour(s, &f, NULL, words_at(2));
    while (took == TAKE_POURS && !shard_pours_into(s, &partition, &last)) {
        cr_assert_eq(touches, 0);
        took = shard_pour_on(s, words_at(2));
    }
    cr_assert_eq(took, TAKE_POURS);
    cr_assert_eq(touches, f.ops_count);
    shard_free(s);
    shard_free(writer);
}
