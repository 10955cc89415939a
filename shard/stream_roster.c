/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/stream_roster.h"

void stream_roster_init(struct stream_roster *r, struct call *c, const struct stream_at *at)
{
    struct bytes prefix = buf_bytes(&at->prefix);
    struct stream_walk w;
    struct stream_pending p;
    struct stream_consumer consumer;
    *r = (struct stream_roster){.walking = true};
    tally_init(&r->tally, call_rng(c));
    stream_pendings(&w, at->k.cell, prefix, (struct stream_id){0});
    for (; stream_pending_next(&w, &p); r->pending++) {
        tally_find_or_add(&r->tally, p.consumer)->score++;
        r->last = p.id;
    }
    r->busy = r->tally.n;
    r->n = r->busy;
    stream_consumers(&w, at->k.cell, prefix);
    while (stream_consumer_next(&w, &consumer))
        r->n += tally_find(&r->tally, consumer.name) == NULL;
    stream_consumers(&r->walk, at->k.cell, prefix);
}

bool stream_roster_next(struct stream_roster *r, struct stream_consumer *out, size_t *pending)
{
    if (r->walking && stream_consumer_next(&r->walk, out)) {
        struct tally_row *row = tally_find(&r->tally, out->name);
        *pending = row == NULL ? 0 : (size_t)row->score;
        if (row != NULL)
            row->dropped = true; /* told */
        return true;
    }
    r->walking = false;
    while (r->rest < r->tally.n && r->tally.at[r->rest].dropped)
        r->rest++;
    if (r->rest == r->tally.n)
        return false;
    *out = (struct stream_consumer){.name = r->tally.at[r->rest].name};
    *pending = (size_t)r->tally.at[r->rest++].score;
    return true;
}

void stream_roster_deinit(struct stream_roster *r) { tally_deinit(&r->tally); }
