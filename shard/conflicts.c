/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/inside.h"

/* The feed of conflicts: a queue of records of limited size. */

static size_t record_size(const struct conflict_record *r)
{
    return sizeof *r + r->len[0] + r->len[1] + r->len[2] + r->len[3];
}

static struct conflict_record record_at(const struct buf *b, size_t at)
{
    struct conflict_record r;
    memcpy(&r, b->p + b->head + at, sizeof r);
    return r;
}

static uint64_t next_id(struct shard *s)
{
    uint64_t ms = s->wall_ms > STAMP_EPOCH_MS ? (uint64_t)(s->wall_ms - STAMP_EPOCH_MS) : 0;
    uint64_t id = ms << 22 | (uint64_t)(s->id & 1023) << 12;
    if (id <= s->feed.id) { /* the same millisecond, or the clock was put back */
        id = s->feed.id + 1;
        if ((id & 4095) == 0) /* would be the next shard's number */
            id = ((s->feed.id >> 22) + 1) << 22 | (uint64_t)(s->id & 1023) << 12;
    }
    s->feed.id = id;
    return id;
}

void conflicts_note(void *arg, const struct conflict *c)
{
    struct shard *s = arg;
    struct conflict_feed *f = &s->feed;
    const struct bytes text[4] = {c->key, c->elem, c->won_value, c->lost_value};
    struct conflict_record r;
    memset(&r, 0, sizeof r); /* copied as bytes, padding and all */
    r.id = next_id(s);
    r.wall_ms = s->wall_ms;
    r.won = c->won;
    r.lost = c->lost;
    r.kind = (uint8_t)c->kind;
    r.type = (uint8_t)c->type;
    for (unsigned i = 0; i < 4; i++) {
        bool cut = text[i].n > CONFLICT_TEXT_MAX;
        r.len[i] = (uint8_t)(cut ? CONFLICT_TEXT_MAX : text[i].n);
        r.cut |= (uint8_t)(cut << i);
    }
    buf_put(&f->records, &r, sizeof r);
    for (unsigned i = 0; i < 4; i++)
        buf_put(&f->records, text[i].p, r.len[i]);
    f->count++;
    while (f->count > CONFLICTS_MAX || buf_len(&f->records) > CONFLICTS_BYTES) {
        struct conflict_record oldest = record_at(&f->records, 0);
        buf_consume(&f->records, record_size(&oldest));
        f->count--;
    }
}

static bool is_wanted(const struct shard *s, size_t at, const struct conflict_record *r,
                      uint64_t since, struct bytes prefix)
{
    const uint8_t *key = s->feed.records.p + s->feed.records.head + at + sizeof *r;
    size_t n = prefix.n < CONFLICT_TEXT_MAX ? prefix.n : CONFLICT_TEXT_MAX;
    return r->id > since && r->len[CONFLICT_KEY] >= n && (n == 0 || memcmp(key, prefix.p, n) == 0);
}

void shard_conflicts(const struct shard *s, uint64_t since, struct bytes prefix, size_t max,
                     bool newest, struct buf *out)
{
    const struct buf *b = &s->feed.records;
    size_t wanted = 0, skip = 0;
    struct conflict_record r;
    for (size_t at = 0; newest && at < buf_len(b); at += record_size(&r)) {
        r = record_at(b, at);
        wanted += is_wanted(s, at, &r, since, prefix);
    }
    if (wanted > max)
        skip = wanted - max;
    for (size_t at = 0; at < buf_len(b) && max > 0; at += record_size(&r)) {
        r = record_at(b, at);
        if (!is_wanted(s, at, &r, since, prefix) || (skip > 0 && skip--))
            continue;
        buf_put(out, b->p + b->head + at, record_size(&r));
        max--;
    }
}
