/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * What a command costs in the shard alone: no sockets, no parsing. Random keys, a pipeline of 16 at
 * a time as the proxy runs it (hash, prefetch, execute), frames closed every 50 pipelines.
 *
 *   bench_shard [keys [all|one|geo|two]]
 */
#define PIPELINE 16u
#define TURN 50u
#define STABLE_TURNS 20u
#define KEY_BYTES 16u
#define VALUE_BYTES 64u
#define PARTITIONS 256u

struct bench {
    struct shard *shard;
    struct rng rng;
    struct buf out;
    unsigned keys;
    struct moment now;
    struct shard *peer;
    uint64_t shipped; /* position in the log */
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void name_key(char *out, uint64_t i)
{
    memcpy(out, "key:000000000000", KEY_BYTES);
    for (unsigned at = KEY_BYTES - 1; i > 0; i /= 10)
        out[at--] = (char)('0' + i % 10);
}

/* What the proxy does with a pipeline of commands on one key each. */
static void pipeline(struct bench *b, const struct command *cmd, const struct bytes *rest,
                     uint32_t rest_n, uint64_t first, bool in_order)
{
    static char names[PIPELINE][KEY_BYTES];
    struct bytes argv[PIPELINE][3];
    uint32_t slot[PIPELINE];
    uint64_t hash[PIPELINE];
    struct reply reply = {.out = &b->out, .resp = 2};
    buf_clear(&b->out);
    for (unsigned i = 0; i < PIPELINE; i++) {
        name_key(names[i], in_order ? first + i : rng_below(&b->rng, b->keys));
        argv[i][0] = bytes_str(cmd->name);
        argv[i][1] = bytes_of(names[i], KEY_BYTES);
        for (uint32_t k = 0; k < rest_n; k++)
            argv[i][2 + k] = rest[k];
        slot[i] = hash_slot(argv[i][1]);
        hash[i] = shard_hash(b->shard, argv[i][1]);
        shard_prefetch(b->shard, slot[i], hash[i]);
    }
    for (unsigned i = 0; i < PIPELINE; i++)
        shard_prefetch_item(b->shard, slot[i], hash[i]);
    for (unsigned i = 0; i < PIPELINE; i++) {
        struct call c = {.command = cmd,
                         .argc = 2 + rest_n,
                         .argv = argv[i],
                         .reply = &reply,
                         .now = b->now,
                         .hashed = true,
                         .key_slot = slot[i],
                         .key_hash = hash[i]};
        shard_execute(b->shard, &c);
    }
}

/* Lets the peer take what is new; returns the nanoseconds it took. */
static double ship(struct bench *b)
{
    struct frame f;
    double start = now_ns();
    while (log_read(shard_log(b->shard), &b->shipped, &f))
        if (shard_take(b->peer, &f, b->now) != TAKE_DONE)
            abort();
    return now_ns() - start;
}

/* What both regions have is stable: as links tell it, a few times a second. */
static void settle(struct bench *b)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        shard_stable(b->shard, p, shard_context(b->peer, p), b->now);
        shard_stable(b->peer, p, shard_context(b->peer, p), b->now);
    }
}

static void measure(struct bench *b, const char *what, const char *name, const char *value,
                    unsigned ops, bool in_order)
{
    const struct command *cmd = command_find(bytes_str(name));
    struct bytes rest = bytes_str(value != NULL ? value : "");
    double start = now_ns(), shipping = 0;
    for (unsigned i = 0; i < ops / PIPELINE; i++) {
        pipeline(b, cmd, &rest, value != NULL, (uint64_t)i * PIPELINE, in_order);
        if (i % TURN == 0) {
            b->now.wall_ms++;
            shard_close_frames(b->shard, b->now);
            if (b->peer != NULL)
                shipping += ship(b);
            if (b->peer != NULL && i % (TURN * STABLE_TURNS) == 0)
                settle(b);
        }
    }
    double all = now_ns() - start;
    printf("| %-24s | %7.1f |", what, (all - shipping) / ops);
    if (b->peer != NULL)
        printf(" %7.1f |", shipping / ops);
    printf("\n");
}

static void flush(struct bench *b)
{
    struct bytes name = bytes_str("flushall");
    struct reply reply = {.out = &b->out, .resp = 2};
    shard_execute(b->shard, &(struct call){.command = command_find(name),
                                           .argc = 1,
                                           .argv = &name,
                                           .reply = &reply,
                                           .now = b->now});
    shard_close_frames(b->shard, b->now);
    if (b->peer != NULL)
        ship(b);
    while (shard_tick(b->shard, b->now) || (b->peer != NULL && shard_tick(b->peer, b->now)))
        continue;
}

static struct shard *open_shard(uint32_t region, bool geo)
{
    return shard_new(&(struct shard_opts){.region = region,
                                          .actor = region,
                                          .partitions = PARTITIONS,
                                          .count = PARTITIONS,
                                          .hash_key = {.k0 = 1 + region, .k1 = 2},
                                          .seed = 3,
                                          .geo = geo});
}

static void run(unsigned keys, unsigned ops, bool geo, bool peer)
{
    struct bench b = {.shard = open_shard(1, geo),
                      .peer = peer ? open_shard(2, true) : NULL,
                      .keys = keys,
                      .now = {.wall_ms = STAMP_EPOCH_MS + 1000000}};
    char value[VALUE_BYTES + 1];
    memset(value, 'x', VALUE_BYTES);
    value[VALUE_BYTES] = 0;
    rng_init(&b.rng, 7);
    printf("\n%u keys, %s\n\n| command | ns |%s\n|---|---:|%s\n", keys,
           peer  ? "two regions"
           : geo ? "geo-distributed, alone"
                 : "one region",
           peer ? " ns at the peer |" : "", peer ? "---:|" : "");
    size_t before = mem_used() - log_bytes(shard_log(b.shard));
    measure(&b, "SET, keys new", "set", value, keys, true);
    double bytes = (double)(mem_used() - before - log_bytes(shard_log(b.shard)));
    measure(&b, "SET", "set", value, ops, false);
    measure(&b, "GET", "get", NULL, ops, false);
    measure(&b, "DEL", "del", NULL, ops, false);
    flush(&b);
    measure(&b, "INCR, keys new", "incr", NULL, keys, true);
    measure(&b, "INCR", "incr", NULL, ops, false);
    flush(&b);
    measure(&b, "SADD of one member", "sadd", "member", ops, false);
    printf("\n%.1f bytes a key (key %u, value %u, %s)\n", bytes / keys, KEY_BYTES, VALUE_BYTES,
           peer ? "log left out, both regions" : "log left out");
    shard_free(b.shard);
    shard_free(b.peer);
    buf_deinit(&b.out);
}

int main(int argc, char **argv)
{
    unsigned keys = argc > 1 ? (unsigned)atoi(argv[1]) : 1000000;
    const char *only = argc > 2 ? argv[2] : "all";
    bool all = strcmp(only, "all") == 0;
    if (keys < PIPELINE) {
        fprintf(stderr, "bench_shard [keys (at least %u) [all|one|geo|two]]\n", PIPELINE);
        return 2;
    }
    if (all || strcmp(only, "one") == 0)
        run(keys, 2 * keys, false, false);
    if (all || strcmp(only, "geo") == 0)
        run(keys, 2 * keys, true, false);
    if (all || strcmp(only, "two") == 0)
        run(keys, 2 * keys, true, true);
    return 0;
}
