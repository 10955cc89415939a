/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/link.h"

#include "crdt/apply.h"

/*
 * CRDT.VERIFY: is what a region shows what we show? The puller asks for digests and contexts of the
 * partitions; where contexts are equal and digests are not, the keys are compared, a slice at a
 * time: first theirs, in the order of their table, then ours, by name. All of it stays within one
 * connection; a partition that changes meanwhile cannot be compared.
 */
#define SLICE_KEYS 1024u /* compared at one go */
#define NAME_SHOWN_MAX 512u
#define NAME_COMPARED_MAX ((size_t)32 << 10) /* keys with longer names are not listed */

static const struct hash128 nothing;

/* ------------------------------------------------------------ telling */

static void tell(struct syncer *s, uint64_t ticket, struct buf *records)
{
    if (s->verified != NULL && buf_len(records) > 0)
        s->verified(s->verified_arg, ticket, buf_bytes(records));
    buf_deinit(records);
}

static void put_record(struct buf *out, uint32_t region, uint32_t partition,
                       enum compare_result result, uint32_t keys, struct bytes names)
{
    struct compare_record r;
    memset(&r, 0, sizeof r); /* travels as bytes */
    r.region = region;
    r.partition = partition;
    r.result = (uint32_t)result;
    r.keys = keys;
    r.bytes = (uint32_t)names.n;
    buf_put(out, &r, sizeof r);
    buf_put_bytes(out, names);
}

/* ------------------------------------------------------------ the puller: comparing keys */

static void ask_keys(struct pull *p, struct port *port, uint64_t cursor)
{
    struct buf *body = &p->peer->s->scratch;
    struct buf *out = port->ops->out(port, p->conn);
    buf_clear(body);
    mp_put_uint(body, p->listing.ticket);
    mp_put_uint(body, VERIFY_KEYS);
    mp_put_uint(body, p->listing.partition);
    mp_put_uint(body, cursor);
    if (out != NULL)
        wire_put(out, WIRE_VERIFY, buf_bytes(body));
}

static void add_key(struct listing *l, struct bytes name)
{
    uint32_t n = (uint32_t)(name.n < NAME_SHOWN_MAX ? name.n : NAME_SHOWN_MAX);
    if (l->keys == l->keys_max)
        return;
    buf_put(&l->found, &n, sizeof n);
    buf_put(&l->found, name.p, n);
    l->keys++;
}

static void listing_next(struct pull *p, struct port *port);

static void listing_end(struct pull *p, struct port *port, enum compare_result result)
{
    struct listing *l = &p->listing;
    struct buf records = {0};
    put_record(&records, p->peer->region, l->partition, result, l->keys, buf_bytes(&l->found));
    tell(p->peer->s, l->ticket, &records);
    buf_clear(&l->found);
    l->active = false;
    listing_next(p, port);
}

/* The next of the partitions that differ. */
static void listing_next(struct pull *p, struct port *port)
{
    struct listing *l = &p->listing;
    uint32_t partition;
    if (l->active || buf_len(&l->queue) == 0)
        return;
    memcpy(&partition, l->queue.p + l->queue.head, sizeof partition);
    buf_consume(&l->queue, sizeof partition);
    l->partition = partition;
    l->active = true;
    l->keys = 0;
    l->cursor = 0;
    ask_keys(p, port, 0);
}

struct slice {
    const struct syncer *s;
    struct buf *body, *names;
    unsigned n;
};

static void put_own(void *item, void *arg)
{
    struct slice *slice = arg;
    struct bytes name = cell_name(item);
    uint32_t n = (uint32_t)name.n;
    if (name.n > NAME_COMPARED_MAX)
        return;
    mp_put_bin(slice->body, name);
    buf_put(slice->names, &n, sizeof n);
    buf_put_bytes(slice->names, name);
    slice->n++;
}

/* Asks for theirs of the next of our keys; false: there are none left. */
static bool ask_own(struct pull *p, struct port *port)
{
    struct syncer *s = p->peer->s;
    struct listing *l = &p->listing;
    struct buf *out = port->ops->out(port, p->conn);
    struct slice slice = {.s = s, .body = &s->scratch, .names = &l->asked};
    if (l->own_done)
        return false;
    buf_clear(&s->scratch);
    buf_clear(&l->asked);
    mp_put_uint(&s->scratch, l->ticket);
    mp_put_uint(&s->scratch, VERIFY_NAMES);
    mp_put_uint(&s->scratch, l->partition);
    l->cursor = shard_scan(s->shard, l->partition, l->cursor, SLICE_KEYS, put_own, &slice);
    l->own_done = l->cursor == 0;
    if (slice.n == 0)
        return false;
    if (out != NULL)
        wire_put(out, WIRE_VERIFY, buf_bytes(&s->scratch));
    return true;
}

static bool take_keys(struct pull *p, struct port *port, struct mp *m)
{
    struct syncer *s = p->peer->s;
    struct listing *l = &p->listing;
    struct context theirs = {0};
    bool good = context_decode(m, &theirs);
    bool same = good && context_eq(&theirs, shard_context(s->shard, l->partition));
    context_deinit(&theirs);
    uint64_t cursor = mp_uint(m);
    while (good && !m->bad && m->p < m->end) {
        struct bytes name = mp_bin(m);
        struct hash128 digest = wire_get_digest(m);
        if (!m->bad && same && !hash128_eq(digest, shard_key_digest(s->shard, l->partition, name)))
            add_key(l, name);
    }
    if (!good || m->bad)
        return false;
    if (!same) {
        listing_end(p, port, COMPARE_UNLIKE);
    } else if (l->keys == l->keys_max) {
        listing_end(p, port, COMPARE_DIFFERS);
    } else if (cursor != 0) {
        ask_keys(p, port, cursor);
    } else {
        l->own_done = false;
        l->cursor = 0;
        if (!ask_own(p, port))
            listing_end(p, port, COMPARE_DIFFERS);
    }
    return true;
}

/* Theirs of the keys that we named: those that they lack. */
static bool take_names(struct pull *p, struct port *port, struct mp *m)
{
    struct syncer *s = p->peer->s;
    struct listing *l = &p->listing;
    struct context theirs = {0};
    bool good = context_decode(m, &theirs);
    bool same = good && context_eq(&theirs, shard_context(s->shard, l->partition));
    struct bytes names = buf_bytes(&l->asked);
    context_deinit(&theirs);
    while (good && !m->bad && m->p < m->end) {
        struct hash128 digest = wire_get_digest(m);
        uint32_t n;
        if (names.n < sizeof n)
            return false;
        memcpy(&n, names.p, sizeof n);
        struct bytes name = bytes_of(names.p + sizeof n, n);
        names = bytes_of(name.p + n, names.n - sizeof n - n);
        if (!m->bad && same && hash128_eq(digest, nothing) &&
            !hash128_eq(shard_key_digest(s->shard, l->partition, name), nothing))
            add_key(l, name);
    }
    if (!good || m->bad)
        return false;
    if (!same)
        listing_end(p, port, COMPARE_UNLIKE);
    else if (l->keys == l->keys_max || !ask_own(p, port))
        listing_end(p, port, COMPARE_DIFFERS);
    return true;
}

/* ------------------------------------------------------------ the puller: digests */

static bool take_digests(struct pull *p, struct port *port, uint64_t ticket, struct mp *m)
{
    struct syncer *s = p->peer->s;
    struct context theirs = {0};
    struct buf records = {0};
    bool good = true;
    while (good && !m->bad && m->p < m->end) {
        uint64_t partition = mp_uint(m);
        struct hash128 digest = wire_get_digest(m);
        good = !m->bad && partition - p->first < p->count && context_decode(m, &theirs);
        if (!good)
            break;
        uint32_t n = (uint32_t)partition;
        if (!context_eq(&theirs, shard_context(s->shard, n)))
            put_record(&records, p->peer->region, n, COMPARE_UNLIKE, 0, bytes_of(NULL, 0));
        else if (hash128_eq(digest, shard_digest(s->shard, n)))
            put_record(&records, p->peer->region, n, COMPARE_EQUAL, 0, bytes_of(NULL, 0));
        else if (p->listing.ticket == ticket)
            buf_put(&p->listing.queue, &n, sizeof n);
    }
    context_deinit(&theirs);
    tell(s, ticket, &records);
    listing_next(p, port);
    return good && !m->bad;
}

bool verify_taken(struct pull *p, struct port *port, struct bytes body)
{
    struct mp m = mp_read(body);
    uint64_t ticket = mp_uint(&m), what = mp_uint(&m);
    if (m.bad)
        return false;
    if (what == VERIFY_DIGESTS)
        return take_digests(p, port, ticket, &m);
    uint64_t partition = mp_uint(&m);
    if (!p->listing.active || ticket != p->listing.ticket || partition != p->listing.partition)
        return !m.bad; /* of a command that another one has replaced */
    return what == VERIFY_KEYS ? take_keys(p, port, &m) : take_names(p, port, &m);
}

void listing_deinit(struct listing *l)
{
    buf_deinit(&l->queue);
    buf_deinit(&l->found);
    buf_deinit(&l->asked);
    *l = (struct listing){0};
}

static void ask_digests(struct pull *p, struct port *port, uint64_t ticket, uint32_t keys_max)
{
    struct buf *body = &p->peer->s->scratch;
    struct buf *out = port->ops->out(port, p->conn);
    listing_deinit(&p->listing);
    p->listing.ticket = ticket;
    p->listing.keys_max = keys_max;
    buf_clear(body);
    mp_put_uint(body, ticket);
    mp_put_uint(body, VERIFY_DIGESTS);
    for (uint32_t i = 0; i < p->count; i++)
        mp_put_uint(body, p->first + i);
    if (out != NULL)
        wire_put(out, WIRE_VERIFY, buf_bytes(body));
}

void syncer_verify(struct syncer *s, struct port *port, uint32_t region, uint64_t ticket,
                   uint32_t keys_max)
{
    struct buf records = {0};
    for (uint32_t r = 1; r <= REGION_MAX; r++) {
        struct peer *peer = &s->peers[r];
        if (!peer->member || (region != 0 && region != r))
            continue;
        for (struct pull *p = peer->pulls; p != NULL; p = p->next)
            if (p->phase == PHASE_LIVE)
                ask_digests(p, port, ticket, keys_max);
        for (uint32_t i = 0; i < s->count; i++)
            if (peer_pull(peer, s->first + i) == NULL)
                put_record(&records, r, s->first + i, COMPARE_NO_LINK, 0, bytes_of(NULL, 0));
    }
    tell(s, ticket, &records);
}

void syncer_hear_verified(struct syncer *s, syncer_verified *fn, void *arg)
{
    s->verified = fn;
    s->verified_arg = arg;
}

/* ------------------------------------------------------------ the feeder */

static void put_theirs(void *item, void *arg)
{
    struct slice *slice = arg;
    if (cell_name(item).n > NAME_COMPARED_MAX)
        return;
    mp_put_bin(slice->body, cell_name(item));
    wire_put_digest(slice->body, value_digest(item));
}

static bool answer_digests(struct feed *f, struct mp *m, struct buf *body)
{
    struct shard *shard = f->s->shard;
    while (!m->bad && m->p < m->end) {
        uint64_t partition = mp_uint(m);
        if (m->bad || partition - f->first >= f->count)
            return false;
        mp_put_uint(body, partition);
        wire_put_digest(body, shard_digest(shard, (uint32_t)partition));
        context_encode(body, shard_context(shard, (uint32_t)partition));
    }
    return !m->bad;
}

static bool answer_names(struct feed *f, uint32_t partition, struct mp *m, struct buf *body)
{
    unsigned n = 0;
    for (; !m->bad && m->p < m->end && n <= 8 * SLICE_KEYS; n++)
        wire_put_digest(body, shard_key_digest(f->s->shard, partition, mp_bin(m)));
    return !m->bad && m->p == m->end;
}

bool verify_answer(struct feed *f, struct port *port, struct bytes request, struct moment now)
{
    struct shard *shard = f->s->shard;
    struct mp m = mp_read(request);
    struct buf body = {0};
    uint64_t ticket = mp_uint(&m), what = mp_uint(&m);
    bool good = !m.bad;
    shard_close_frames(shard, now);
    feed_pump(f, port, now); /* what the contexts below cover goes first */
    mp_put_uint(&body, ticket);
    mp_put_uint(&body, what);
    if (good && what == VERIFY_DIGESTS) {
        good = answer_digests(f, &m, &body);
    } else if (good) {
        uint64_t partition = mp_uint(&m);
        good = !m.bad && partition - f->first < f->count;
        if (good) {
            mp_put_uint(&body, partition);
            context_encode(&body, shard_context(shard, (uint32_t)partition));
        }
        if (good && what == VERIFY_KEYS) {
            struct buf keys = {0};
            struct slice slice = {.body = &keys};
            uint64_t cursor = mp_uint(&m);
            good = mp_done(&m) && cursor < UINT64_C(1) << 48;
            if (good)
                cursor =
                    shard_scan(shard, (uint32_t)partition, cursor, SLICE_KEYS, put_theirs, &slice);
            mp_put_uint(&body, cursor);
            buf_put_bytes(&body, buf_bytes(&keys));
            buf_deinit(&keys);
        } else if (good) {
            good = what == VERIFY_NAMES && answer_names(f, (uint32_t)partition, &m, &body);
        }
    }
    if (good && f->conn != 0)
        feed_put(f, port, WIRE_VERIFIED, buf_bytes(&body));
    buf_deinit(&body);
    return good;
}
