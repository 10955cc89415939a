/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "crdt/value.h"
#include "sim/vault.h"
#include "storage/inspect.h"
#include "tests/fuzz/fuzz.h"

/*
 * What lies on a disk: a snapshot, a segment, or both, as they are (SEALED not set), or made of the
 * input's records with the checksums they need, so that their contents are tried. Input: a byte of
 * flags; with both files two bytes for the length of the first; then their bytes. A record of a
 * sealed one: its kind, two bytes of length, the payload.
 */
#define PARTITIONS 4u
#define FOLDER "/fuzz"
enum { SEALED = 1, SNAPSHOT = 2, SEGMENT = 4 };

static void seal(struct buf *out, enum file_kind kind, struct bytes in)
{
    struct file_header h = {.kind = kind,
                            .db_uid = 7,
                            .shard = 3,
                            .partitions = PARTITIONS,
                            .count = PARTITIONS + 1,
                            .policy = SYNC_SECOND,
                            .number = 1};
    h.from = FORMAT_HEADER;
    uint64_t n = 0;
    header_put(out, &h);
    for (; in.n >= 3; n++) {
        unsigned what = 1 + fuzz_byte(&in) % (RECORD_KIND_MAX - 1);
        size_t len = fuzz_byte(&in);
        len = len << 8 | fuzz_byte(&in);
        struct bytes payload = fuzz_take(&in, len);
        size_t at = record_begin(out, (enum record_kind)what);
        if (what == RECORD_WHOLE && payload.n == 0)
            buf_put(out, &n, sizeof n);
        buf_put_bytes(out, payload);
        record_end(out, at, h.number, at);
    }
}

struct disk {
    struct buf files[2]; /* snapshot, segment */
};

static struct disk disk_of(struct bytes in)
{
    struct disk d = {0};
    uint8_t flags = fuzz_byte(&in);
    size_t first = in.n;
    if ((flags & SNAPSHOT) && (flags & SEGMENT)) {
        first = fuzz_byte(&in);
        first = first << 8 | fuzz_byte(&in);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (!(flags & (i == 0 ? SNAPSHOT : SEGMENT)))
            continue;
        struct bytes part = fuzz_take(&in, first);
        first = in.n;
        if (flags & SEALED)
            seal(&d.files[i], i == 0 ? FILE_KIND_SNAPSHOT : FILE_KIND_SEGMENT, part);
        else
            buf_put_bytes(&d.files[i], part);
    }
    return d;
}

static const char *const paths[2] = {FOLDER "/snapshot-0000000000000001",
                                     FOLDER "/log-0000000000000001"};

static struct vault *start(struct world *w, const struct disk *d)
{
    world_host(w, "host");
    for (unsigned i = 0; i < 2; i++)
        if (buf_len(&d->files[i]) > 0)
            world_file_put(w, 0, paths[i], buf_bytes(&d->files[i]));
    return vault_start(w, 0,
                       &(struct vault_opts){.folder = FOLDER,
                                            .db_uid = 7,
                                            .shard = 3,
                                            .partitions = PARTITIONS,
                                            .actor = actor_make(1, 15),
                                            .patch_min = 64,
                                            .policy = SYNC_SECOND});
}

struct sum {
    struct hash128 digest;
};

static void add_key(const struct cell *key, void *arg)
{
    struct sum *s = arg;
    s->digest = hash128_add(s->digest, value_digest(key));
}

/* What was opened is sound. */
static void sound(struct vault *v)
{
    for (uint32_t p = 0; p <= PARTITIONS; p++) {
        struct sum sum = {{0, 0}};
        shard_each(vault_shard(v), p, add_key, &sum);
        must(hash128_eq(sum.digest, shard_digest(vault_shard(v), p)));
    }
}

/* The tool for people finds nothing wrong with what opens. */
static void looks_well(const struct disk *d)
{
    struct context held[PARTITIONS + 1] = {{0}};
    for (unsigned i = 0; i < 2; i++) {
        struct inspection seen;
        if (buf_len(&d->files[i]) == 0)
            continue;
        inspect(
            &(struct inspect_opts){.content = buf_bytes(&d->files[i]),
                                   .kind = i == 0 ? FILE_KIND_SNAPSHOT : FILE_KIND_SEGMENT,
                                   .number = 1,
                                   .last = true,
                                   .seen = held,
                                   .from = i == 1 && buf_len(&d->files[0]) > 0 ? UINT64_MAX : 0},
            &seen);
        must(seen.state == INSPECT_WHOLE || seen.state == INSPECT_TORN);
    }
    for (unsigned i = 0; i <= PARTITIONS; i++)
        context_deinit(&held[i]);
}

/* A byte of what was taken is another one: it is found, or cut off with all behind it. */
static void covered(struct disk *d, uint64_t end, uint64_t from, uint8_t choice)
{
    struct buf *b = &d->files[1];
    if (end <= from || end > buf_len(b))
        return;
    uint64_t at = from + choice * (end - from) / 256;
    b->p[b->head + at] ^= (uint8_t)(1u << choice % 8);
    struct world *w = world_new(&(struct world_opts){.seed = 1});
    struct vault *v = start(w, d);
    struct storage_stats stats;
    if (vault_open(v)) {
        storage_stats(vault_storage(v), &stats);
        must(stats.opening.cut > 0 && buf_len(b) - stats.opening.cut <= at);
    }
    world_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk d = disk_of(bytes_of(data, size));
    struct world *w = world_new(&(struct world_opts){.seed = 1});
    struct vault *v = start(w, &d);
    struct storage_stats stats;
    if (vault_open(v)) {
        storage_stats(vault_storage(v), &stats);
        sound(v);
        looks_well(&d);
        if (buf_len(&d.files[0]) == 0 && stats.opening.last == 1)
            covered(&d, stats.opening.last_end, 0, size > 1 ? data[size - 1] : 0);
    } else {
        must(storage_state(vault_storage(v)) == STORAGE_BROKEN);
        must(storage_error(vault_storage(v))[0] != 0);
    }
    world_free(w);
    buf_deinit(&d.files[0]);
    buf_deinit(&d.files[1]);
    return 0;
}
