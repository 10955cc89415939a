/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/command.h"
#include "shard/shard.h"
#include "syncer/elision.h"
#include "tests/fuzz/fuzz.h"
#include "tests/words.h"

/*
 * Frames of one actor, as they are read from a log on disk, made one. Input: a byte says what it
 * is.
 *
 * History: each command of the rest (a byte for its form, one for its numbers) is run on one shard.
 * Another one takes its frames as they were, a third one the runs that were made of them: both hold
 * the same.
 *
 * Bytes: frames with operations as they come (two bytes of length, then they) must be read without
 * harm; what is taken for a run is a frame that can be taken apart again.
 */
enum { BYTES = 1 };
#define COMMANDS_MAX 400u
#define RUN_BYTES ((size_t)1 << 20)

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
    "XTRIM k@ MAXLEN 2", "SETRANGE k@ 3 ab#",
    "GETDEL k@",         "INCRBY k@ #",
    "FLUSHALL",          "",
};
#define FORMS (sizeof forms / sizeof forms[0])

static struct shard *shard_make(uint32_t region)
{
    return shard_new(&(struct shard_opts){.region = region,
                                          .actor = actor_make(region, 0),
                                          .partitions = 1,
                                          .count = 1,
                                          .hash_key = {1, 2},
                                          .seed = 9,
                                          .geo = true,
                                          .patch_min = 4});
}

/* The form's words; @: one of four keys, #: one of eight numbers. */
static void run_form(struct shard *s, uint8_t form, uint8_t numbers, struct moment now)
{
    struct buf words = {0}, out = {0};
    for (const char *c = forms[form % FORMS]; *c != 0; c++)
        buf_put_u8(&words, (uint8_t)(*c == '@'   ? '0' + numbers % 4
                                     : *c == '#' ? '0' + numbers / 4 % 8
                                                 : *c));
    buf_put_u8(&words, 0);
    must(words_run(s, now, (const char *)words.p, &out));
    buf_deinit(&out);
    buf_deinit(&words);
}

static void end_run(struct elision *run, struct shard *to, struct moment now)
{
    struct buf room = {0};
    struct frame f;
    if (elision_empty(run))
        return;
    elision_frame(run, &room, &f);
    must(f.ops_count > 0 && f.prev < f.first && f.first <= f.last);
    must(shard_take(to, &f, now) == TAKE_DONE);
    must(elision_bytes(run) > 0);
    elision_clear(run);
    must(elision_empty(run));
    buf_deinit(&room);
}

static void pass(struct shard *from, uint64_t *pos, struct shard *one, struct elision *run,
                 struct shard *runs, struct moment now)
{
    struct frame f;
    shard_close_frames(from, now);
    while (log_read(shard_log(from), pos, &f)) {
        must(shard_take(one, &f, now) == TAKE_DONE);
        if (!elision_fits(run, &f))
            end_run(run, runs, now);
        must(elision_add(run, &f));
    }
}

static void history(struct bytes in)
{
    struct shard *from = shard_make(1), *one = shard_make(2), *runs = shard_make(2);
    struct elision *run = elision_new((struct hash_key){3, 4}, RUN_BYTES);
    uint64_t pos = 0;
    unsigned ms = 0;
    while (in.n > 0 && ms < COMMANDS_MAX) {
        uint8_t form = fuzz_byte(&in), numbers = fuzz_byte(&in);
        if (forms[form % FORMS][0] != 0)
            run_form(from, form, numbers, words_at(ms));
        else
            pass(from, &pos, one, run, runs, words_at(ms)); /* a frame ends */
        if (forms[form % FORMS][0] == 0 && numbers == 0)
            end_run(run, runs, words_at(ms));
        ms++;
    }
    pass(from, &pos, one, run, runs, words_at(ms));
    end_run(run, runs, words_at(ms));
    must(context_eq(shard_context(one, 0), shard_context(runs, 0)));
    must(hash128_eq(shard_digest(one, 0), shard_digest(runs, 0)));
    must(hash128_eq(shard_digest(from, 0), shard_digest(runs, 0)));
    elision_free(run);
    shard_free(from);
    shard_free(one);
    shard_free(runs);
}

/* As many operations as it says, the last of which may have been left out. */
static void read_back(const struct frame *f)
{
    struct mp m = mp_read(f->ops);
    stamp_t base = f->first - 1;
    struct op op;
    uint32_t n = 0;
    for (; m.p < m.end && op_decode(&m, &op, base); n++)
        base = op.stamp;
    must(mp_done(&m) && n == f->ops_count && base <= f->last);
}

static void as_they_come(struct bytes in)
{
    struct elision *run = elision_new((struct hash_key){3, 4}, RUN_BYTES);
    struct buf room = {0};
    stamp_t last = stamp_make(0, 0, 1);
    while (in.n > 0) {
        size_t n = fuzz_byte(&in);
        struct bytes ops = fuzz_take(&in, n << 8 | fuzz_byte(&in));
        struct frame f = {.prev = last, .first = last + 1024, .ops = ops, .ops_count = 1}, out;
        struct mp m = mp_read(ops);
        struct op op;
        f.last = f.first - 1;
        for (f.ops_count = 0; m.p < m.end && op_decode(&m, &op, f.last); f.ops_count++)
            f.last = op.stamp;
        if (f.ops_count == 0 || !elision_fits(run, &f) || !elision_add(run, &f)) {
            elision_clear(run);
            continue;
        }
        last = f.last;
        elision_frame(run, &room, &out);
        must(out.last == last);
        read_back(&out);
    }
    elision_free(run);
    buf_deinit(&room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    if (fuzz_byte(&in) & BYTES)
        as_they_come(in);
    else
        history(in);
    return 0;
}
