/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/inside.h"

#define SAMPLE 16u         /* keys of a partition looked at for the estimate of metadata ... */
#define SAMPLE_PARTS 8u    /* ... of so many partitions */
#define DOT_BYTES 8u       /* of an element or a string */
#define SHORT_DOT_BYTES 3u /* of an element of a packed collection */

void memory_use_add(struct memory_use *sum, const struct memory_use *one)
{
    sum->held += one->held;
    sum->values += one->values;
    sum->unsettled += one->unsettled;
    sum->deadlines += one->deadlines;
    sum->log += one->log;
    sum->kept += one->kept;
    sum->catalog += one->catalog;
    sum->contexts += one->contexts;
    sum->metadata += one->metadata;
}

uint64_t shard_held(const struct shard *s)
{
    return s->account.held > 0 ? (uint64_t)s->account.held : 0;
}

struct sample {
    size_t n, metadata;
};

static void look(void *item, void *arg)
{
    const struct cell *key = item;
    struct sample *sample = arg;
    enum type type = value_type(key);
    if (sample->n >= SAMPLE)
        return;
    sample->n++;
    sample->metadata += DOT_BYTES;
    if (type == TYPE_HASH || type == TYPE_SET || type == TYPE_ZSET || type == TYPE_LIST) {
        size_t n = coll_len(key, type);
        sample->metadata += n * (n <= COLL_PACKED_MAX ? SHORT_DOT_BYTES : DOT_BYTES);
    }
}

static void add_part(const struct part *p, struct memory_use *out)
{
    out->unsettled += p->unsettled.bytes;
    out->log += p->open.ops.cap + p->open.deps_cap * sizeof *p->open.deps;
    out->contexts += (p->vv.cap + p->stable.cap) * sizeof(stamp_t);
}

static uint64_t estimate(const struct shard *s)
{
    uint64_t keys = 0, seen = 0, metadata = 0;
    uint32_t step = s->shown / SAMPLE_PARTS + 1;
    for (uint32_t i = 0; i < s->shown; i++)
        keys += s->parts[i].keys.count;
    for (uint32_t i = 0; i < s->shown; i += step) {
        struct sample sample = {0};
        (void)table_scan(&s->parts[i].keys, 0, SAMPLE, look, &sample);
        seen += sample.n;
        metadata += sample.metadata;
    }
    return seen > 0 ? keys * metadata / seen : 0;
}

static void add_entry(void *key, void *arg) { *(uint64_t *)arg += value_memory(key); }

void shard_memory(const struct shard *s, struct memory_use *out)
{
    *out = (struct memory_use){.held = shard_held(s), .kept = s->kept.bytes};
    out->log = log_memory(s->log);
    out->deadlines = heap_memory(&s->expiry.now) + heap_memory(&s->expiry.sweep);
    for (uint32_t i = 0; i < s->shown; i++)
        add_part(&s->parts[i], out);
    if (shard_has_catalog(s)) {
        const struct part *p = &s->parts[s->shown];
        out->catalog = table_memory(&p->keys);
        (void)table_scan(&p->keys, 0, SIZE_MAX, add_entry, &out->catalog);
    }
    uint64_t others =
        out->unsettled + out->deadlines + out->log + out->kept + out->catalog + out->contexts;
    out->values = out->held > others ? out->held - others : 0;
    out->metadata = estimate(s) + out->unsettled + out->contexts;
    if (s->geo)
        out->metadata += out->log + out->kept;
}

/* ------------------------------------------------------------ the limit */

bool shard_is_full(struct shard *s)
{
    if (s->account.held <= s->evict.guard)
        return false;
    struct mem_account *outer = shard_enter(s);
    bool full = evict_refuses(s);
    mem_account_leave(outer);
    return full;
}

#define KEPT_SHARE 10u /* of the limit: at most a tenth for the log, a tenth for patches' bases */
#define KEPT_MIN ((size_t)64 << 10)

static size_t bounded(const struct shard *s, size_t configured, size_t at_first)
{
    size_t share = s->memory_max / KEPT_SHARE / s->partitions * s->shown;
    if (configured != 0)
        return configured;
    if (s->memory_max == 0 || share > at_first)
        return at_first;
    return share > KEPT_MIN ? share : KEPT_MIN;
}

void memory_bounds(struct shard *s)
{
    s->kept.bytes_max = bounded(s, s->kept_bytes_max, KEPT_BYTES_DEFAULT);
    log_set_max(s->log, bounded(s, s->log_bytes_max, LOG_BYTES_DEFAULT));
}

void shard_set_memory_max(struct shard *s, size_t bytes)
{
    struct mem_account *outer = shard_enter(s);
    s->memory_max = bytes;
    memory_bounds(s);
    evict_thresholds(s);
    shard_note_hooks(s);
    mem_account_leave(outer);
}

void shard_set_memory_elsewhere(struct shard *s, uint64_t bytes)
{
    s->elsewhere = bytes;
    evict_thresholds(s);
}
