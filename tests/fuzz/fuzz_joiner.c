/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/shard.h"
#include "tests/fuzz/fuzz.h"

#define PATCH_MIN 64u

static const struct moment now = {.wall_ms = 1000000, .mono_us = 1000};

static struct shard *begin(void)
{
    return shard_new(&(struct shard_opts){.region = 1,
                                          .actor = actor_make(1, 0),
                                          .partitions = 1,
                                          .count = 1,
                                          .hash_key = {1, 2},
                                          .geo = true,
                                          .patch_min = PATCH_MIN,
                                          .slice_bytes = 1});
}

static void add_key(const struct cell *key, void *arg)
{
    struct hash128 *sum = arg;
    *sum = hash128_add(*sum, value_digest(key));
}

/* What is shown is what the digest says, which was partly noted while the state came. */
static struct hash128 sound(struct shard *s)
{
    struct hash128 sum = {0};
    shard_each(s, 0, add_key, &sum);
    must(hash128_eq(sum, shard_digest(s, 0)));
    return sum;
}

/* A partition's state, as it comes from a peer: taken whole, and cut into pieces of a size that the
 * input's first byte chooses, both give the same, twice. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    size_t most = 1 + fuzz_byte(&in);
    struct context theirs = {0};
    struct shard *whole = begin(), *pieces = begin();
    for (uint32_t actor = 1; actor < 4; actor++)
        context_raise(&theirs, stamp_make(UINT64_C(1) << 40, 0, actor));
    for (unsigned round = 0; round < 2; round++) {
        struct joiner *j = joiner_new(pieces, 0);
        bool good = true;
        for (size_t at = 0; good && at < in.n; at += most)
            good = joiner_add(j, bytes_of(in.p + at, in.n - at < most ? in.n - at : most));
        if (good)
            good = joiner_join(j, &theirs, now);
        else
            joiner_free(j);
        must(good == shard_join(whole, 0, in, &theirs, now));
        struct hash128 a = sound(whole), b = sound(pieces);
        must(hash128_eq(a, b));
    }
    context_deinit(&theirs);
    shard_free(whole);
    shard_free(pieces);
    return 0;
}
