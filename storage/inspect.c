/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/inspect.h"

#include "crdt/apply.h"
#include "crdt/shelf.h"

#include <assert.h>
#include <stdio.h>

struct look {
    const struct inspect_opts *o;
    struct inspection *out;
    bool in_partition;
    struct buf cut; /* of the last KEYS record: the beginning of a key's state */
};

/* ------------------------------------------------------------ payloads */

bool inspect_ops(const struct frame *f, void (*visit)(void *arg, const struct op *op), void *arg)
{
    struct mp m = mp_read(f->ops);
    stamp_t base = f->first - 1;
    uint32_t n = 0;
    for (; m.p < m.end; n++) {
        struct op op;
        if (!op_decode(&m, &op, base) || stamp_actor(op.stamp) != stamp_actor(f->first))
            return false;
        if (visit != NULL)
            visit(arg, &op);
        base = op.stamp;
    }
    return n == f->ops_count && base == f->last;
}

bool inspect_keys(struct bytes states, void (*visit)(void *arg, const struct cell *key), void *arg)
{
    while (states.n > 0) {
        struct bytes record;
        if (!value_record_next(&states, &record))
            return false;
        if (shelf_is_record(record)) {
            if (!shelf_record_valid(record))
                return false;
            continue;
        }
        bool more;
        struct cell *key = value_decode_part(record, (struct hash_key){.k0 = 1, .k1 = 2}, &more);
        if (key == NULL)
            return false;
        if (visit != NULL && !more)
            visit(arg, key);
        value_free(key);
    }
    return true;
}

struct bytes inspect_whole(struct bytes states)
{
    struct bytes left = states, record;
    while (value_record_next(&left, &record))
        continue;
    return bytes_of(states.p, states.n - left.n);
}

bool inspect_piece(struct buf *cut, struct bytes payload,
                   void (*visit)(void *arg, const struct cell *key), void *arg)
{
    bool joins = buf_len(cut) > 0;
    if (joins)
        buf_put_bytes(cut, payload);
    struct bytes all = joins ? buf_bytes(cut) : payload, whole = inspect_whole(all);
    bool good = inspect_keys(whole, visit, arg);
    if (joins)
        buf_consume(cut, whole.n);
    else
        buf_put(cut, all.p + whole.n, all.n - whole.n);
    return good;
}

static void count_key(void *arg, const struct cell *key)
{
    struct inspection *out = arg;
    (void)key;
    out->keys++;
}

/* ------------------------------------------------------------ records */

static struct context *seen_at(const struct look *l, uint32_t partition)
{
    const struct file_header *h = &l->out->header;
    assert(partition >= h->first && partition - h->first < h->count);
    return l->o->seen != NULL ? &l->o->seen[partition - h->first] : NULL;
}

static bool holds(const struct look *l, uint32_t partition)
{
    const struct file_header *h = &l->out->header;
    return partition >= h->first && partition - h->first < h->count;
}

static const char *look_at_frame(struct look *l, struct bytes payload)
{
    struct frame f;
    struct context deps = {0};
    const char *what = NULL;
    bool ok = frame_read(payload, &deps, &f) && holds(l, f.partition);
    struct context *seen = ok ? seen_at(l, f.partition) : NULL;
    bool covered = seen != NULL && context_covers(seen, f.last); /* the opening looks no further */
    if (!ok || (!covered && !inspect_ops(&f, NULL, NULL))) {
        context_deinit(&deps);
        return "a frame is malformed";
    }
    l->out->ops += f.ops_count;
    if (l->out->oldest == 0 || f.wall_ms < l->out->oldest)
        l->out->oldest = f.wall_ms;
    if (f.wall_ms > l->out->newest)
        l->out->newest = f.wall_ms;
    if (seen != NULL && !covered) {
        if ((!stamp_is_zero(f.prev) && !context_covers(seen, f.prev)) || !context_le(&deps, seen))
            what = "a frame's causes are missing: records before it are gone";
        context_raise(seen, f.last);
    }
    context_deinit(&deps);
    return what;
}

/* PARTITION and STATE begin alike. */
static const char *look_at_state(struct look *l, const struct record *r)
{
    uint32_t partition;
    struct bytes rest;
    struct context theirs = {0};
    bool ok = buf_len(&l->cut) == 0 && context_read(r->payload, &partition, &theirs, &rest) &&
              holds(l, partition) &&
              (r->kind == RECORD_STATE ? inspect_keys(rest, count_key, l->out) : rest.n == 0);
    if (ok && l->o->seen != NULL)
        context_join(seen_at(l, partition), &theirs);
    context_deinit(&theirs);
    l->in_partition |= ok;
    return ok ? NULL : "a partition's state is malformed";
}

static const char *look_at_number(struct look *l, const struct record *r)
{
    uint64_t number;
    if (r->payload.n != sizeof number)
        return "a record is malformed";
    memcpy(&number, r->payload.p, sizeof number);
    if (r->kind == RECORD_SYNCED)
        l->out->synced = number;
    else if (number != l->out->total || buf_len(&l->cut) > 0)
        return "it does not have as many records as it should";
    return NULL;
}

static const char *look_at(struct look *l, const struct record *r)
{
    bool snapshot = l->o->kind == FILE_KIND_SNAPSHOT;
    if (l->out->records[RECORD_WHOLE] > 0 || /* which is said last */
        snapshot !=
            (r->kind == RECORD_PARTITION || r->kind == RECORD_KEYS || r->kind == RECORD_WHOLE))
        return "a record stands where it does not belong";
    l->out->closed = r->kind == RECORD_CLOSED;
    switch (r->kind) {
    case RECORD_FRAME:
        return look_at_frame(l, r->payload);
    case RECORD_STATE:
    case RECORD_PARTITION:
        return look_at_state(l, r);
    case RECORD_KEYS:
        return l->in_partition && inspect_piece(&l->cut, r->payload, count_key, l->out)
                   ? NULL
                   : "keys' states are malformed";
    case RECORD_SYNCED:
    case RECORD_WHOLE:
        return look_at_number(l, r);
    case RECORD_POLICY:
        if (r->payload.n != 1 || r->payload.p[0] > SYNC_NONE)
            return "a record is malformed";
        l->out->policy = (enum sync_policy)r->payload.p[0];
        return NULL;
    case RECORD_BEGIN:
        return l->out->total == 0 ? NULL : "a record stands where it does not belong";
    case RECORD_CLOSED:
    case RECORD_KIND_MAX:
        break;
    }
    return NULL;
}

/* ------------------------------------------------------------ files */

static void damaged(struct look *l, const char *what)
{
    l->out->state = INSPECT_DAMAGED;
    snprintf(l->out->what, sizeof l->out->what, "%s", what);
}

/* Searches behind the bad record for good ones; is there one that says it had been durable? */
static bool had_been_durable(struct look *l)
{
    const struct inspect_opts *o = l->o;
    struct inspection *out = l->out;
    bool durable = false;
    for (uint64_t at = out->end + 1; !durable && at + RECORD_HEAD <= o->content.n; at++) {
        struct record r;
        uint64_t need, synced;
        if (o->content.p[at + 7] == 0 || o->content.p[at + 7] >= RECORD_KIND_MAX ||
            record_read(bytes_of(o->content.p + at, o->content.n - at), o->number, at, &r, &need) !=
                RECORD_OK)
            continue;
        if (out->resumes == 0)
            out->resumes = at;
        durable = r.kind == RECORD_CLOSED;
        if (r.kind == RECORD_SYNCED && r.payload.n == sizeof synced) {
            memcpy(&synced, r.payload.p, sizeof synced);
            durable = synced > out->end;
        }
        at += r.size - 1;
    }
    return durable;
}

/* No record stands at `end`. */
static void bad_record(struct look *l, const char *what)
{
    bool durable = had_been_durable(l);
    if (l->o->kind == FILE_KIND_SEGMENT && l->o->last && l->out->end >= l->out->synced &&
        !durable) {
        l->out->state = INSPECT_TORN;
        return;
    }
    damaged(l, what);
}

static void records(struct look *l)
{
    const struct inspect_opts *o = l->o;
    struct inspection *out = l->out;
    while (out->end < o->content.n) {
        struct record r;
        uint64_t need;
        struct bytes rest = bytes_of(o->content.p + out->end, o->content.n - out->end);
        if (record_read(rest, o->number, out->end, &r, &need) != RECORD_OK) {
            bad_record(l, "a record's checksum is wrong, or it is cut short");
            return;
        }
        const char *what = look_at(l, &r);
        if (what != NULL) {
            damaged(l, what);
            return;
        }
        if (o->visit != NULL)
            o->visit(o->arg, &r, out->end);
        out->records[r.kind]++;
        out->total++;
        out->end += r.size;
    }
    if (o->kind == FILE_KIND_SNAPSHOT && out->records[RECORD_WHOLE] != 1)
        damaged(l, "the snapshot's end is missing");
}

void inspect(const struct inspect_opts *o, struct inspection *out)
{
    *out = (struct inspection){.state = INSPECT_WHOLE};
    struct look l = {.o = o, .out = out};
    const char *why = "";
    enum header_result got = header_read(o->content, &out->header, &why);
    if (got == HEADER_VERSION) {
        out->state = INSPECT_VERSION;
        snprintf(out->what, sizeof out->what, "%s", why);
        return;
    }
    if (got == HEADER_BAD) {
        bad_record(&l, why);
        return;
    }
    out->headed = true;
    out->policy = out->header.policy;
    out->end = out->header.size;
    if (out->header.kind != o->kind || out->header.number != o->number) {
        out->end = 0;
        damaged(&l, "it was renamed: its header names another number or kind");
        return;
    }
    if (o->from > out->end) {
        out->end = o->from < o->content.n ? o->from : o->content.n;
        out->synced = out->skipped = out->end;
    }
    records(&l);
    buf_deinit(&l.cut);
}
