/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/num.h"
#include "shard/deferred.h"

/* Commands on the whole keyspace of a shard; the proxy adds the shards up. */

/* ------------------------------------------------------------ KEYS, SCAN */

struct listing {
    struct reply names;   /* bulk strings, into a buffer of their own: their number comes first */
    size_t n;             /* of them */
    struct bytes pattern; /* NULL: all */
    struct bytes type;    /* NULL: all */
    int64_t wall_ms;
};

static bool is_shown(const struct cell *key, int64_t wall_ms)
{
    return value_type(key) != TYPE_NONE && !key_expired(key, wall_ms);
}

static void list_key(void *item, void *arg)
{
    struct listing *l = arg;
    struct bytes name = cell_name(item);
    if (!is_shown(item, l->wall_ms) || (l->pattern.p != NULL && !glob_match(l->pattern, name)) ||
        (l->type.p != NULL && !bytes_is_nocase(l->type, type_name(value_type(item)))))
        return;
    reply_bulk(&l->names, name);
    l->n++;
}

static void reply_listing(struct call *c, struct listing *l, struct buf *room)
{
    reply_array(c->reply, l->n);
    buf_put_bytes(c->reply->out, buf_bytes(room));
    buf_deinit(room);
}

static void keys(struct call *c)
{
    struct shard *s = c->shard;
    struct buf room = {0};
    struct listing l = {.names = {.out = &room, .resp = c->reply->resp},
                        .pattern = c->argv[1],
                        .wall_ms = c->now.wall_ms};
    deferred_end(s);
    for (uint32_t i = 0; i < s->shown; i++)
        table_scan(&s->parts[i].keys, 0, SIZE_MAX, list_key, &l);
    reply_listing(c, &l, &room);
}

static bool parse_scan(struct call *c, uint64_t *cursor, int64_t *count, struct listing *l)
{
    if (!cursor_arg(c, c->argv[1], cursor))
        return false;
    for (uint32_t i = 2; i < c->argc; i += 2) {
        if (i + 1 < c->argc && bytes_is_nocase(c->argv[i], "count")) {
            if (!arg_i64(c, c->argv[i + 1], count))
                return false;
            if (*count > 0)
                continue;
        } else if (i + 1 < c->argc && bytes_is_nocase(c->argv[i], "match")) {
            l->pattern = c->argv[i + 1];
            continue;
        } else if (i + 1 < c->argc && bytes_is_nocase(c->argv[i], "type")) {
            l->type = c->argv[i + 1];
            continue;
        }
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    return true;
}

#define SCAN_LOW_BITS                                                                              \
    (48u - SCAN_PARTITION_SHIFT) /* of table_scan's cursor: 0 but in huge tables */

/* Counts what it looked at, shown or not, so that a call's work is bounded. */
struct scanning {
    struct listing *list;
    size_t looked;
};

static void scan_key(void *item, void *arg)
{
    struct scanning *scan = arg;
    scan->looked++;
    list_key(item, scan->list);
}

/* A cursor whose low bits are not 0 would fall back into the bucket it comes from: scans on. */
static uint64_t scan_table(const struct table *t, uint64_t at, size_t want, struct scanning *scan)
{
    uint64_t next = table_scan(t, at, want, scan_key, scan);
    while (next != 0 && next >> SCAN_LOW_BITS == at >> SCAN_LOW_BITS)
        next = table_scan(t, next, 1, scan_key, scan);
    return next;
}

static uint64_t scan_from(const struct shard *s, uint64_t cursor, size_t want, struct listing *l)
{
    struct scanning scan = {.list = l};
    uint64_t partition = cursor >> SCAN_PARTITION_SHIFT;
    uint64_t at = (cursor & ((UINT64_C(1) << SCAN_PARTITION_SHIFT) - 1)) << SCAN_LOW_BITS;
    if (partition < s->first) {
        partition = s->first;
        at = 0;
    }
    while (partition - s->first < s->shown) {
        const struct table *t = &shard_part(s, (uint32_t)partition)->keys;
        if (scan.looked < want && t->count > 0)
            at = scan_table(t, at, want - scan.looked, &scan);
        else if (t->count == 0)
            at = 0;
        if (at != 0)
            return partition << SCAN_PARTITION_SHIFT | at >> SCAN_LOW_BITS;
        partition++;
        if (scan.looked >= want && partition - s->first < s->shown)
            return partition << SCAN_PARTITION_SHIFT;
    }
    return 0;
}

static void scan(struct call *c)
{
    uint64_t cursor;
    int64_t count = 10;
    struct buf room = {0};
    struct listing l = {.names = {.out = &room, .resp = c->reply->resp}, .wall_ms = c->now.wall_ms};
    if (!parse_scan(c, &cursor, &count, &l))
        return;
    deferred_end(c->shard);
    cursor = scan_from(c->shard, cursor, (size_t)count, &l);
    reply_array(c->reply, 2);
    cursor_reply(c, cursor);
    reply_listing(c, &l, &room);
}

/* ------------------------------------------------------------ RANDOMKEY, DBSIZE */

#define RANDOM_TRIES 100u

static const struct cell *random_key(struct shard *s, uint64_t total)
{
    uint64_t at = rng_below(&s->rng, total);
    uint32_t i = 0;
    while (at >= s->parts[i].keys.count)
        at -= s->parts[i++].keys.count;
    return table_random(&s->parts[i].keys, rng_next(&s->rng));
}

struct finding {
    const struct cell *found;
    int64_t wall_ms;
};

static void find_shown(void *item, void *arg)
{
    struct finding *f = arg;
    if (f->found == NULL && is_shown(item, f->wall_ms))
        f->found = item;
}

static void randomkey(struct call *c)
{
    struct shard *s = c->shard;
    struct finding f = {.wall_ms = c->now.wall_ms};
    uint64_t total = 0;
    deferred_end(s);
    for (uint32_t i = 0; i < s->shown; i++)
        total += s->parts[i].keys.count;
    for (unsigned i = 0; i < RANDOM_TRIES && total > 0 && f.found == NULL; i++) {
        const struct cell *key = random_key(s, total);
        if (key != NULL && is_shown(key, f.wall_ms))
            f.found = key;
    }
    for (uint32_t i = 0; i < s->shown && f.found == NULL && total > 0; i++) /* nearly all hidden */
        table_scan(&s->parts[i].keys, 0, SIZE_MAX, find_shown, &f);
    if (f.found != NULL)
        reply_bulk(c->reply, cell_name(f.found));
    else
        reply_nil(c->reply);
}

static void dbsize(struct call *c)
{
    struct shard_stats stats;
    deferred_end(c->shard); /* who finds nothing here may take it for empty, and not empty it */
    shard_stats(c->shard, &stats);
    reply_int(c->reply, (int64_t)stats.keys);
}

/* ------------------------------------------------------------ FLUSHDB, FLUSHALL */

static void flush(struct call *c)
{
    struct shard *s = c->shard;
    if (c->argc > 2 || (c->argc == 2 && !bytes_is_nocase(c->argv[1], "async") &&
                        !bytes_is_nocase(c->argv[1], "sync"))) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    for (uint32_t i = 0; i < s->shown; i++) /* the memory is given back later in either form */
        local_flush(s, &s->parts[i], c->now.wall_ms);
    reply_ok(c->reply);
}

const struct command cmd_keyspace_table[] = {
    {"dbsize", 1, CMD_READONLY | CMD_FAST, 0, 0, 0, AT_EACH, MERGE_SUM, dbsize, NULL, "server",
     "1.0.0", "O(1)", "Returns the number of keys", ""},
    {"flushall", -1, CMD_WRITE, 0, 0, 0, AT_EACH, MERGE_OK, flush, NULL, "server", "1.0.0",
     "O(1); the memory is given back later", "Deletes all keys: what this region has seen of them",
     "[ASYNC|SYNC]"},
    {"flushdb", -1, CMD_WRITE, 0, 0, 0, AT_EACH, MERGE_OK, flush, NULL, "server", "1.0.0",
     "O(1); the memory is given back later", "Deletes all keys: what this region has seen of them",
     "[ASYNC|SYNC]"},
    {"keys", 2, CMD_READONLY, 0, 0, 0, AT_EACH, MERGE_CONCAT, keys, NULL, "generic", "1.0.0",
     "O(N) with N the number of keys", "Lists the keys that match a pattern", "pattern"},
    {"randomkey", 1, CMD_READONLY, 0, 0, 0, AT_EACH, MERGE_ANY, randomkey, NULL, "generic", "1.0.0",
     "O(1)", "Returns a random key", ""},
    {"scan", -2, CMD_READONLY, 0, 0, 0, AT_EACH, MERGE_SCAN, scan, NULL, "generic", "2.8.0",
     "O(1) a call, O(N) for a whole iteration",
     "Iterates over the keys; every key that is there throughout is returned at least once",
     "cursor [MATCH pattern] [COUNT count] [TYPE type]"},
    {.name = NULL},
};
