/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "syncer/link.h"

#include <zstd.h>

/*
 * What arrives on a connection on which we pull, from its bytes to messages (apply.c). A little is
 * taken at once, so that what a peer's clients write shows here without delay; what comes in bulk
 * waits for slices of its own (base/share.h), and for a while nothing more is read.
 */
#define AT_ONCE ((size_t)16 << 10)
#define A_TURN ((size_t)256 << 10)
#define BRIM ((size_t)256 << 10)       /* that wait here; a single message may be larger */
#define BETWEEN_LOOKS 8u               /* at the clock: messages */
#define POUR_TURN 8u                   /* slices of a large frame, at most */
#define DISK_HELD_US UINT64_C(5000000) /* so long what comes in bulk waits for the disk at most */

/* What is taken before others get their turn. */
struct allowance {
    size_t bytes;
    const struct share_slice *slice; /* NULL: only the bytes count */
    unsigned messages;               /* so far */
};

void pull_listen(struct pull *p, struct port *port)
{
    port->ops->pause(port, p->conn, pull_held(p) || (p->more && buf_len(&p->in) > BRIM));
}

/* Puts a batch's messages in front of what followed it. */
static bool inflate(struct pull *p, struct bytes body, struct bytes rest)
{
    uint64_t size = 0;
    size_t at = 0;
    for (unsigned shift = 0; at < body.n && shift < 35; shift += 7) {
        size |= (uint64_t)(body.p[at] & 0x7f) << shift;
        if (body.p[at++] < 0x80)
            break;
    }
    if (size == 0 || size > WIRE_BATCH_MAX || p->inflated > 0)
        return false;
    struct buf in = {0};
    uint8_t *to = buf_reserve(&in, (size_t)size + rest.n);
    if (ZSTD_decompress(to, (size_t)size, body.p + at, body.n - at) != size) {
        buf_deinit(&in);
        return false;
    }
    buf_added(&in, (size_t)size);
    buf_put_bytes(&in, rest);
    buf_deinit(&p->in);
    p->in = in;
    p->inflated = (size_t)size;
    return true;
}

/* Counts `n` bytes as taken; what came out of a batch was counted with it. False: a message that
 * reaches out of its batch. */
static bool count_taken(struct pull *p, size_t n)
{
    if (p->inflated == 0)
        p->received += n;
    else if (n > p->inflated)
        return false;
    else
        p->inflated -= n;
    return true;
}

/* ------------------------------------------------------------ looking ahead */

#define AHEAD 32u

struct ahead {
    unsigned n;
    uint32_t slot[AHEAD];
    uint64_t hash[AHEAD];
};

/* Finds the keys of a frame's operations. */
static void look_at(const struct syncer *s, struct bytes ops, struct ahead *a)
{
    struct mp m = mp_read(ops);
    while (a->n < AHEAD && m.p < m.end) {
        uint32_t elements = mp_array(&m); /* [stamp, kind, key, ...]: see crdt/op.h */
        if (elements < 3)
            return;
        mp_uint(&m);
        mp_uint(&m);
        struct bytes key = mp_bin(&m);
        for (; elements > 3; elements--)
            mp_skip(&m);
        if (m.bad)
            return;
        uint32_t slot = hash_slot(key);
        if (!syncer_owns(s, slot_partition(slot, s->config.partitions)))
            return;
        a->slot[a->n] = slot;
        a->hash[a->n] = shard_hash(s->shard, key);
        a->n++;
    }
}

/* A remote write costs mostly the misses of its key's cache lines. The next frames' keys are looked
 * up together, so that their misses overlap. Returns how far it looked. */
static size_t look_ahead(const struct syncer *s, struct bytes data, size_t at)
{
    struct ahead a = {.n = 0};
    uint8_t kind;
    struct bytes body;
    size_t used;
    while (a.n < AHEAD &&
           wire_get(bytes_of(data.p + at, data.n - at), &kind, &body, &used) == WIRE_OK) {
        if (kind >= WIRE_FRAME)
            look_at(s, wire_peek_ops(kind, body), &a);
        else if (kind == WIRE_BATCH)
            break;
        at += used;
    }
    for (unsigned i = 0; i < a.n; i++)
        shard_prefetch(s->shard, a.slot[i], a.hash[i]);
    for (unsigned i = 0; i < a.n; i++)
        shard_prefetch_item(s->shard, a.slot[i], a.hash[i]);
    return at;
}

static bool is_over(const struct pull *p, struct allowance *allow, struct port *port)
{
    return p->peer->s->pouring.active || allow->bytes == 0 ||
           (allow->slice != NULL && allow->messages++ % BETWEEN_LOOKS == 0 &&
            !share_left(allow->slice, port));
}

/* Takes whole messages off the front; returns how many bytes they had. *again: `in` was replaced.
 */
static size_t take_messages(struct pull *p, struct port *port, struct bytes data, struct moment now,
                            struct allowance *allow, bool *again)
{
    size_t done = 0, looked = 0;
    *again = false;
    while (!pull_held(p)) {
        if (done >= looked)
            looked = look_ahead(p->peer->s, data, done);
        uint8_t kind;
        struct bytes body;
        size_t used;
        enum wire_result r = wire_get(bytes_of(data.p + done, data.n - done), &kind, &body, &used);
        if (r == WIRE_MORE)
            break;
        if (r == WIRE_BAD) {
            pull_bad(p, port, now, "message");
            break;
        }
        p->more = is_over(p, allow, port);
        if (p->more)
            break;
        if (kind == WIRE_BATCH) {
            size_t next = done + used;
            if (!inflate(p, body, bytes_of(data.p + next, data.n - next))) {
                pull_bad(p, port, now, "batch");
                break;
            }
            p->received += used;
            *again = true;
            break;
        }
        enum outcome out = pull_take(p, port, kind, body, now);
        if (out != OUT_NEXT)
            break;
        if (!count_taken(p, used)) {
            pull_bad(p, port, now, "batch");
            break;
        }
        allow->bytes -= used < allow->bytes ? used : allow->bytes;
        done += used;
    }
    return done;
}

/* The frame or state that was held for its clock first. False: still held. */
static bool retry_stuck(struct pull *p, struct port *port, struct moment now)
{
    if (!p->quarantined)
        return true;
    struct waiting *w = p->stuck;
    if (syncer_drifts(p->peer->s, p->ahead, now)) {
        pull_quarantine(p, port, p->ahead, now);
        return false;
    }
    p->stuck = NULL;
    pull_release(p, port);
    bool on = w == NULL || pull_apply(p, port, &w->frame, NULL, now) != OUT_ENDED;
    mem_free(w);
    return on;
}

static void take(struct pull *p, struct port *port, struct bytes data, struct moment now,
                 struct allowance *allow)
{
    bool again = true;
    p->more = false;
    while (again && p->conn != 0) {
        bool kept = buf_len(&p->in) > 0;
        if (kept) {
            buf_put_bytes(&p->in, data);
            data = buf_bytes(&p->in);
        }
        size_t done = take_messages(p, port, data, now, allow, &again);
        if (p->conn == 0)
            return;
        if (!again && kept)
            buf_consume(&p->in, done);
        else if (!again)
            buf_put(&p->in, data.p + done, data.n - done);
        data = bytes_of(NULL, 0);
    }
    if (buf_len(&p->in) == 0 && p->in.cap > PUMP_BYTES)
        buf_deinit(&p->in);
    if (p->more)
        p->peer->s->turn_us = 0;
    pull_listen(p, port);
}

void pull_receive(struct pull *p, struct port *port, struct bytes data, struct moment now)
{
    struct allowance allow = {.bytes = p->at_once < AT_ONCE ? AT_ONCE - p->at_once : 0};
    if (p->paused || !(data.n > 0 || buf_len(&p->in) > 0 || p->stuck != NULL || p->quarantined)) {
        buf_put_bytes(&p->in, data);
        return;
    }
    p->more |= allow.bytes == 0; /* another turn for what is not here in whole, at worst */
    if (data.n > 0 && (p->quarantined || p->more)) {
        buf_put_bytes(&p->in, data); /* behind what waits */
        pull_listen(p, port);
        return;
    }
    if (retry_stuck(p, port, now) && !p->more) {
        take(p, port, data, now, &allow);
        p->at_once = AT_ONCE - allow.bytes;
    }
}

/* What comes in bulk goes to the disk as well. It is the first to wait for a slow one, long before
 * clients have to (worker/disk.c); not for ever, since clients may be what keeps the disk busy. The
 * disk's answers make the turns in which this is asked again. */
static bool disk_follows(struct syncer *s, struct moment now)
{
    if (log_overdue(shard_log(s->shard)) <= SYNCER_DISK_OWES)
        s->disk_owes_us = UINT64_MAX;
    else if (s->disk_owes_us == UINT64_MAX)
        s->disk_owes_us = now.mono_us;
    return s->disk_owes_us == UINT64_MAX || now.mono_us - s->disk_owes_us >= DISK_HELD_US;
}

void pull_turn(struct pull *p, struct port *port, struct moment now)
{
    struct syncer *s = p->peer->s;
    p->at_once = 0;
    if (!p->more || !pull_works(p))
        return;
    p->heard_us = now.mono_us; /* we do not listen, so its silence means nothing */
    if (!disk_follows(s, now))
        return;
    struct share_slice slice = share_begin(s->share, port);
    struct allowance allow = {.bytes = A_TURN, .slice = &slice};
    if (share_left(&slice, port))
        take(p, port, bytes_of(NULL, 0), now, &allow);
    if (p->more)
        s->turn_us = 0;
}

void pour_turn(struct syncer *s, struct port *port, struct moment now)
{
    struct share_slice slice = share_begin(s->share, port);
    enum taken took = TAKEN_POURS;
    for (unsigned n = 0; n < POUR_TURN && took == TAKEN_POURS && share_left(&slice, port); n++)
        took = syncer_pour_on(s, now);
    if (took == TAKEN_POURS) {
        s->turn_us = 0;
        return;
    }
    struct pouring done = s->pouring;
    s->pouring = (struct pouring){0};
    if (done.by != NULL)
        pull_took(done.by, port, done.partition, took, now);
    if (took == TAKEN_DONE && s->waiting_frames > 0)
        wait_retry(s, done.partition, now);
}
