/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

/*
 * Frames that came before their causes. By partition and actor, in the order of their stamps, so
 * that only the first of each queue is ever tried: what an actor wrote later waits for it anyway.
 */

static size_t frame_room(const struct frame *f)
{
    return sizeof(struct waiting) + f->deps_count * sizeof(stamp_t) + f->ops.n;
}

struct waiting *waiting_new(const struct frame *f, bool direct, uint32_t region)
{
    struct waiting *w = mem_alloc(frame_room(f));
    *w = (struct waiting){.bytes = frame_room(f), .direct = direct, .region = region, .frame = *f};
    uint8_t *tail = (uint8_t *)(w + 1);
    if (f->deps_count)
        memcpy(tail, f->deps, f->deps_count * sizeof(stamp_t));
    w->frame.deps = (const stamp_t *)(const void *)tail;
    tail += f->deps_count * sizeof(stamp_t);
    if (f->ops.n)
        memcpy(tail, f->ops.p, f->ops.n);
    w->frame.ops.p = tail;
    return w;
}

static struct wait_queue *queue_of(struct part *part, uint32_t actor)
{
    for (unsigned i = 0; i < part->queues_n; i++)
        if (part->queues[i].actor == actor)
            return &part->queues[i];
    if (part->queues_n == part->queues_cap) {
        part->queues_cap = part->queues_cap ? 2 * part->queues_cap : 4;
        part->queues = mem_realloc(part->queues, part->queues_cap * sizeof *part->queues);
    }
    struct wait_queue *q = &part->queues[part->queues_n++];
    *q = (struct wait_queue){.actor = actor};
    return q;
}

bool wait_add(struct syncer *s, const struct frame *f, bool direct, uint32_t region)
{
    size_t max = s->config.wait_max ? s->config.wait_max : WAIT_MAX;
    if (frame_room(f) > max || s->waiting_bytes > max - frame_room(f))
        return false;
    struct wait_queue *q = queue_of(syncer_part(s, f->partition), stamp_actor(f->last));
    struct waiting **at = &q->first;
    if (q->last != NULL && q->last->frame.last < f->last)
        at = &q->last->next; /* the usual case: each is later than the one before */
    while (*at != NULL && (*at)->frame.last < f->last)
        at = &(*at)->next;
    if (*at != NULL && (*at)->frame.last == f->last)
        return true; /* the same frame, by another link */
    struct waiting *w = waiting_new(f, direct, region);
    w->next = *at;
    *at = w;
    if (w->next == NULL)
        q->last = w;
    s->waiting_bytes += w->bytes;
    s->waiting_frames++;
    s->peers[region].totals.waiting_bytes += w->bytes;
    return true;
}

static void drop_first(struct syncer *s, struct wait_queue *q)
{
    struct waiting *w = q->first;
    q->first = w->next;
    if (q->first == NULL)
        q->last = NULL;
    s->waiting_bytes -= w->bytes;
    s->waiting_frames--;
    s->peers[w->region].totals.waiting_bytes -= w->bytes;
    mem_free(w);
}

/* The frame is lost to its link, which has to be asked again for it. */
static void leave_gap(struct syncer *s, const struct waiting *w, bool baseless)
{
    struct pull *p = peer_pull(&s->peers[w->region], w->frame.partition);
    if (p == NULL)
        return;
    p->parts[w->frame.partition - p->first].gap = true;
    p->parts[w->frame.partition - p->first].baseless |= baseless;
}

/* Applies what it can of one queue; true when something was applied. */
static bool retry_queue(struct syncer *s, struct wait_queue *q, struct moment now)
{
    bool moved = false;
    while (q->first != NULL) {
        const struct waiting *w = q->first;
        enum taken t = syncer_take(s, &w->frame, w->direct, now);
        if (t == TAKEN_WAITS)
            break;
        if (t == TAKEN_FENCED || t == TAKEN_BAD || t == TAKEN_BASELESS)
            leave_gap(s, w, t == TAKEN_BASELESS);
        moved |= t == TAKEN_DONE;
        drop_first(s, q);
    }
    return moved;
}

void wait_retry(struct syncer *s, uint32_t partition, struct moment now)
{
    struct part *part = syncer_part(s, partition);
    bool moved = part->queues_n > 0;
    while (moved) {
        moved = false;
        for (unsigned i = 0; i < part->queues_n; i++)
            moved |= retry_queue(s, &part->queues[i], now);
    }
    unsigned n = 0;
    for (unsigned i = 0; i < part->queues_n; i++)
        if (part->queues[i].first != NULL)
            part->queues[n++] = part->queues[i];
    part->queues_n = n;
}

void wait_deinit(struct syncer *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct part *part = &s->parts[i];
        for (unsigned j = 0; j < part->queues_n; j++)
            while (part->queues[j].first != NULL)
                drop_first(s, &part->queues[j]);
        mem_free(part->queues);
        part->queues = NULL;
        part->queues_n = part->queues_cap = 0;
    }
}
