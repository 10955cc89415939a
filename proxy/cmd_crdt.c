/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/observe.h"
#include "proxy/route.h"

#include <stdio.h>

/*
 * What the session answers of CRDT.*: contexts, tokens, digests, and waiting for other regions.
 * What is told of keys stands in shard/cmd_inspect_crdt.c and its neighbours.
 */

/* ------------------------------------------------------------ contexts of all workers */

/* One partition in the reply to JOB_CONTEXTS; its stamps follow. */
struct context_record {
    uint32_t partition, stamps;
    uint64_t digest_lo, digest_hi;
};

/* argv[0]: a bit for each partition; empty: all. */
void contexts_put(struct front *f, struct bytes chosen, struct buf *out)
{
    for (uint32_t i = 0; i < f->shards_count; i++) {
        const struct front_shard *s = &f->shards[i];
        for (uint32_t k = 0; s->local != NULL && k < s->count; k++) {
            uint32_t p = s->first_partition + k;
            if (chosen.n > 0 && !(chosen.p[p / 8] >> p % 8 & 1))
                continue;
            const struct context *c = shard_context(s->local, p);
            struct hash128 d = shard_digest(s->local, p);
            struct context_record r = {
                .partition = p, .stamps = c->n, .digest_lo = d.lo, .digest_hi = d.hi};
            buf_put(out, &r, sizeof r);
            buf_put(out, c->at, c->n * sizeof c->at[0]);
        }
    }
}

/* The records of all workers in the order of partitions. */
struct contexts {
    const uint8_t **at; /* owned: by partition; NULL: not chosen, or its worker no longer has it */
    uint32_t n, count;
};

static struct contexts contexts_read(const struct front *f, const struct answer *a)
{
    struct contexts all = {.n = f->partitions};
    all.at = mem_zalloc(all.n * sizeof(const uint8_t *));
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        struct context_record r;
        while (part.n >= sizeof r) {
            memcpy(&r, part.p, sizeof r);
            size_t size = sizeof r + r.stamps * sizeof(stamp_t);
            if (r.partition >= all.n || part.n < size)
                break; /* the error of a worker that no longer has the database */
            all.count += all.at[r.partition] == NULL;
            all.at[r.partition] = part.p;
            part = bytes_of(part.p + size, part.n - size);
        }
    }
    return all;
}

static struct context_record record_of(const uint8_t *at)
{
    struct context_record r;
    memcpy(&r, at, sizeof r);
    return r;
}

static stamp_t stamp_of(const uint8_t *at, uint32_t i)
{
    stamp_t stamp;
    memcpy(&stamp, at + sizeof(struct context_record) + i * sizeof stamp, sizeof stamp);
    return stamp;
}

/* The partitions of argv[from] and behind; from the session's writes when there are no keys, and
 * empty (all) when it wrote nothing. The caller frees. */
static void choose(const struct ask *a, bool own, struct buf *chosen)
{
    uint32_t partitions = a->front->partitions;
    uint64_t wrote = a->session->wrote;
    if (a->argc < 2 && (!own || wrote == 0))
        return;
    size_t n = (partitions + 7) / 8;
    uint8_t *bits = buf_reserve(chosen, n);
    memset(bits, 0, n);
    buf_added(chosen, n);
    for (uint32_t i = 1; i < a->argc; i++) {
        uint32_t p = slot_partition(hash_slot(a->argv[i]), partitions);
        bits[p / 8] |= (uint8_t)(1u << p % 8);
    }
    for (uint32_t p = 0; a->argc < 2 && p < partitions; p++)
        if (groups_have(wrote, p, partitions))
            bits[p / 8] |= (uint8_t)(1u << p % 8);
}

static void ask_contexts(struct ask *a, struct bytes chosen, answer_finish *finish)
{
    route_workers(a, JOB_CONTEXTS, 1, &chosen, finish, 0);
}

/* ------------------------------------------------------------ CRDT.CONTEXT, CRDT.TOKEN */

static void finish_context(struct front *f, struct answer *a, struct reply *r)
{
    struct contexts all = contexts_read(f, a);
    reply_array(r, all.count);
    for (uint32_t p = 0; p < all.n; p++) {
        if (all.at[p] == NULL)
            continue;
        uint32_t n = record_of(all.at[p]).stamps;
        reply_map(r, 2);
        reply_bulk_str(r, "partition");
        reply_int(r, p);
        reply_bulk_str(r, "context");
        reply_array(r, n);
        for (uint32_t i = 0; i < n; i++) {
            stamp_t s = stamp_of(all.at[p], i);
            reply_map(r, 4);
            reply_bulk_str(r, "region");
            reply_int(r, actor_region(stamp_actor(s)));
            reply_bulk_str(r, "actor");
            reply_int(r, stamp_actor(s));
            reply_bulk_str(r, "stamp");
            reply_bulk_i64(r, (int64_t)s); /* beyond what doubles hold */
            reply_bulk_str(r, "time-ms");
            reply_int(r, stamp_wall_ms(s));
        }
    }
    mem_free(all.at);
}

static void crdt_context(struct ask *a)
{
    struct buf chosen = {0};
    choose(a, false, &chosen);
    ask_contexts(a, buf_bytes(&chosen), finish_context);
    buf_deinit(&chosen);
}

static void finish_token(struct front *f, struct answer *a, struct reply *r)
{
    struct contexts all = contexts_read(f, a);
    struct buf entries = {0}, text = {0};
    struct figures_db db = {.region = 0};
    f->host.describe(f->host.arg, f, &db);
    for (uint32_t p = 0; p < all.n; p++)
        for (uint32_t i = 0; all.at[p] != NULL && i < record_of(all.at[p]).stamps; i++) {
            struct token_entry e = {.stamp = stamp_of(all.at[p], i), .partition = p};
            buf_put(&entries, &e, sizeof e);
        }
    token_put(&text, db.guid, f->partitions, (const void *)buf_bytes(&entries).p,
              buf_len(&entries) / sizeof(struct token_entry));
    reply_bulk(r, buf_bytes(&text));
    buf_deinit(&entries);
    buf_deinit(&text);
    mem_free(all.at);
}

static void crdt_token(struct ask *a)
{
    struct buf chosen = {0};
    choose(a, true, &chosen);
    ask_contexts(a, buf_bytes(&chosen), finish_token);
    buf_deinit(&chosen);
}

/* ------------------------------------------------------------ CRDT.DIGEST */

static void put_hex(struct reply *r, uint64_t hi, uint64_t lo)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)hi,
                     (unsigned long long)lo);
    reply_bulk(r, bytes_of(text, (size_t)n));
}

static void finish_digest(struct front *f, struct answer *a, struct reply *r)
{
    struct contexts all = contexts_read(f, a);
    reply_array(r, all.count);
    for (uint32_t p = 0; p < all.n; p++) {
        if (all.at[p] == NULL)
            continue;
        struct context_record one = record_of(all.at[p]);
        struct hash128 hash =
            hash_128(bytes_of(all.at[p] + sizeof one, one.stamps * sizeof(stamp_t)), p + 1);
        reply_map(r, 3);
        reply_bulk_str(r, "partition");
        reply_int(r, p);
        reply_bulk_str(r, "digest");
        put_hex(r, one.digest_hi, one.digest_lo);
        reply_bulk_str(r, "context");
        put_hex(r, hash.hi, hash.lo);
    }
    mem_free(all.at);
}

static void crdt_digest(struct ask *a)
{
    struct front *f = a->front;
    struct buf chosen = {0};
    struct figures_db db = {.region = 0};
    int64_t p = 0;
    f->host.describe(f->host.arg, f, &db);
    if (db.guid[0] == 0) {
        reply_error(&a->reply, "ERR this database has one region: digests are kept to compare "
                               "regions");
        return;
    }
    if (a->argc == 2) {
        if (!num_parse_i64(a->argv[1], &p) || p < 0 || p >= f->partitions) {
            reply_errorf(&a->reply, "ERR partitions are numbered from 0 to %u", f->partitions - 1);
            return;
        }
        size_t n = (f->partitions + 7) / 8;
        uint8_t *bits = buf_reserve(&chosen, n);
        memset(bits, 0, n);
        bits[p / 8] = (uint8_t)(1u << p % 8);
        buf_added(&chosen, n);
    }
    ask_contexts(a, buf_bytes(&chosen), finish_digest);
    buf_deinit(&chosen);
}

/* ------------------------------------------------------------ waiting */

static bool timeout_arg(struct ask *a, struct bytes arg, int64_t *ms)
{
    if (!num_parse_i64(arg, ms))
        reply_error(&a->reply, "ERR timeout is not an integer or out of range");
    else if (*ms < 0)
        reply_error(&a->reply, "ERR timeout is negative");
    else
        return true;
    return false;
}

/* CRDT.AFTER token timeout */
static void crdt_after(struct ask *a)
{
    struct figures_db db = {.region = 0};
    struct buf entries = {0};
    int64_t timeout_ms;
    if (!timeout_arg(a, a->argv[2], &timeout_ms))
        return;
    a->front->host.describe(a->front->host.arg, a->front, &db);
    const char *why = token_get(a->argv[1], db.guid, a->front->partitions, &entries);
    if (why != NULL)
        reply_error(&a->reply, why);
    else
        observe_wait(a, OBSERVE_HERE, 1, timeout_ms, buf_bytes(&entries));
    buf_deinit(&entries);
}

/* CRDT.WAIT regions timeout [DURABLE] */
static void crdt_wait(struct ask *a)
{
    int64_t wanted, timeout_ms;
    bool durable = a->argc == 4 && bytes_is_nocase(a->argv[3], "durable");
    if (a->argc > 4 || (a->argc == 4 && !durable)) {
        reply_error(&a->reply, ERR_SYNTAX);
        return;
    }
    if (!num_parse_i64(a->argv[1], &wanted) || wanted < 0) {
        reply_error(&a->reply, ERR_NOT_INT);
        return;
    }
    if (timeout_arg(a, a->argv[2], &timeout_ms))
        observe_wait(a, durable ? OBSERVE_DURABLE : OBSERVE_THERE, wanted, timeout_ms,
                     bytes_of(NULL, 0));
}

/* ------------------------------------------------------------ WAIT */

static void end_wait(struct front *f, struct port *port, uint64_t session, void *state,
                     struct reply *r)
{
    (void)f, (void)port, (void)session, (void)state;
    if (r != NULL)
        reply_int(r, 0);
}

/* There are no replicas within a region: as Redis without any, it waits for them. */
static void wait_replicas(struct ask *a)
{
    static const struct wait_kind kind = {.end = end_wait};
    int64_t replicas, timeout_ms;
    if (!num_parse_i64(a->argv[1], &replicas))
        reply_error(&a->reply, ERR_NOT_INT);
    else if (!timeout_arg(a, a->argv[2], &timeout_ms))
        return;
    else if (replicas <= 0 || a->in_exec)
        reply_int(&a->reply, 0);
    else
        blocked_wait(a, timeout_ms, &kind, NULL);
}

const struct session_command cmd_crdt_commands[] = {
    {"crdt.after", crdt_after, 0},
    {"crdt.conflicts", crdt_conflicts, SESSION_ALONE},
    {"crdt.context", crdt_context, SESSION_ALONE},
    {"crdt.digest", crdt_digest, SESSION_ALONE},
    {"crdt.token", crdt_token, SESSION_ALONE},
    {"crdt.verify", crdt_verify, 0},
    {"crdt.wait", crdt_wait, 0},
    {"wait", wait_replicas, 0},
    {NULL, NULL, 0},
};
