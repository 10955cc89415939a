/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/route.h"

#include <stdlib.h>

/* CRDT.CONFLICTS: the newest conflicts of all shards, in the order of their ids. */

#define COUNT_DEFAULT 100
#define COUNT_MAX ((int64_t)1 << 30)

struct wanted {
    uint64_t since;
    uint32_t max;
    bool newest;
};

/* argv: struct wanted, the prefix. */
void conflicts_put(struct front *f, const struct bytes *argv, struct buf *out)
{
    struct wanted w;
    memcpy(&w, argv[0].p, sizeof w);
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (f->shards[i].local != NULL)
            shard_conflicts(f->shards[i].local, w.since, argv[1], w.max, w.newest, out);
}

/* ------------------------------------------------------------ reading the parts */

struct found {
    struct conflict_record r;
    const uint8_t *texts;
};

static int by_id(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->r.id < y->r.id ? -1 : x->r.id > y->r.id;
}

static void collect(const struct answer *a, struct buf *out)
{
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        struct found one;
        while (part.n >= sizeof one.r) {
            memcpy(&one.r, part.p, sizeof one.r);
            size_t size = sizeof one.r;
            for (unsigned k = 0; k < 4; k++)
                size += one.r.len[k];
            if (part.n < size)
                break; /* the error of a worker that no longer has the database */
            one.texts = part.p + sizeof one.r;
            buf_put(out, &one, sizeof one);
            part = bytes_of(part.p + size, part.n - size);
        }
    }
}

static struct bytes text_of(const struct found *f, unsigned which)
{
    size_t at = 0;
    for (unsigned i = 0; i < which; i++)
        at += f->r.len[i];
    return bytes_of(f->texts + at, f->r.len[which]);
}

static void put_side(struct reply *r, const char *name, const struct found *f, unsigned value,
                     stamp_t stamp)
{
    reply_bulk_str(r, name);
    reply_map(r, 4);
    reply_bulk_str(r, "region");
    reply_int(r, actor_region(stamp_actor(stamp)));
    reply_bulk_str(r, "stamp");
    reply_bulk_i64(r, (int64_t)stamp);
    reply_bulk_str(r, "time-ms");
    reply_int(r, stamp == 0 ? 0 : stamp_wall_ms(stamp));
    reply_bulk_str(r, "value");
    reply_bulk(r, text_of(f, value));
}

static void put_conflict(struct reply *r, const struct found *f)
{
    static const char *const kinds[] = {"register-lost", "type-hidden", "deadline-lost"};
    reply_map(r, 8);
    reply_bulk_str(r, "id");
    reply_bulk_i64(r, (int64_t)f->r.id); /* beyond what doubles hold */
    reply_bulk_str(r, "time-ms");
    reply_int(r, f->r.wall_ms);
    reply_bulk_str(r, "kind");
    reply_bulk_str(r, kinds[f->r.kind]);
    reply_bulk_str(r, "type");
    reply_bulk_str(r, type_name((enum type)f->r.type));
    reply_bulk_str(r, "key");
    reply_bulk(r, text_of(f, CONFLICT_KEY));
    reply_bulk_str(r, "field"); /* of a list it would be a position, which has no name */
    if (f->r.len[CONFLICT_FIELD] == 0 || f->r.type == TYPE_LIST)
        reply_nil(r);
    else
        reply_bulk(r, text_of(f, CONFLICT_FIELD));
    put_side(r, "winner", f, CONFLICT_WON, f->r.won);
    put_side(r, "loser", f, CONFLICT_LOST, f->r.lost);
}

static void finish_conflicts(struct front *f, struct answer *a, struct reply *r)
{
    struct buf all = {0};
    uint32_t max = (uint32_t)(a->aux >> 1);
    bool newest = a->aux & 1;
    (void)f;
    collect(a, &all);
    size_t n = buf_len(&all) / sizeof(struct found), first = 0;
    struct found *found = (struct found *)(void *)all.p;
    if (n > 0)
        qsort(found, n, sizeof found[0], by_id);
    if (n > max) {
        first = newest ? n - max : 0;
        n = max;
    }
    reply_array(r, n);
    for (size_t i = first; i < first + n; i++)
        put_conflict(r, &found[i]);
    buf_deinit(&all);
}

/* ------------------------------------------------------------ the command */

static bool read_args(struct ask *a, struct wanted *w, struct bytes *prefix)
{
    int64_t number = 0;
    for (uint32_t i = 1; i < a->argc; i += 2) {
        if (i + 1 == a->argc) {
            reply_error(&a->reply, ERR_SYNTAX);
            return false;
        }
        struct bytes name = a->argv[i], value = a->argv[i + 1];
        if (bytes_is_nocase(name, "prefix")) {
            *prefix = value;
        } else if (bytes_is_nocase(name, "since")) {
            if (!num_parse_i64(value, &number) || number < 0) {
                reply_error(&a->reply, "ERR SINCE wants the id of a conflict");
                return false;
            }
            w->since = (uint64_t)number;
            w->newest = false;
        } else if (bytes_is_nocase(name, "count")) {
            if (!num_parse_i64(value, &number) || number < 1 || number > COUNT_MAX) {
                reply_error(&a->reply, "ERR COUNT should be greater than 0");
                return false;
            }
            w->max = (uint32_t)number;
        } else {
            reply_error(&a->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

void crdt_conflicts(struct ask *a)
{
    struct wanted w;
    struct bytes prefix = bytes_of(NULL, 0);
    memset(&w, 0, sizeof w); /* travels as bytes */
    w.max = COUNT_DEFAULT;
    w.newest = true;
    if (!read_args(a, &w, &prefix))
        return;
    struct bytes argv[2] = {bytes_of(&w, sizeof w), prefix};
    route_workers(a, JOB_CONFLICTS, 2, argv, finish_conflicts, (uint64_t)w.max << 1 | w.newest);
}
