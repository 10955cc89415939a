/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "tests/sim/run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_SLACK ((size_t)1 << 20) /* a state that is taken while there is room for it */

void fail(struct run *r, const char *fmt, ...)
{
    if (r->failure[0] != 0)
        return; /* the first finding counts */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->failure, sizeof r->failure, fmt, ap);
    va_end(ap);
    world_note(r->world, "FAILURE: %s", r->failure);
}

const struct cell *peek(const struct run *r, unsigned region, const char *key)
{
    struct bytes name = bytes_str(key);
    uint32_t partition = slot_partition(hash_slot(name), deploy_partitions(r->deploy));
    struct shard *shard = deploy_shard(r->deploy, region, partition);
    return shard != NULL ? shard_key(shard, partition, name) : NULL;
}

bool living(const struct run *r, unsigned g)
{
    return (deploy_members_now(r->deploy) >> g & 1) && deploy_open(r->deploy, g);
}

/* ---------------------------------------------------------------- ledger, counters: acknowledged
 * writes */

static bool region_has(const struct run *r, unsigned g, unsigned entry)
{
    char key[32], member[32];
    snprintf(key, sizeof key, LEDGER_KEY, entry % LEDGER_KEYS);
    snprintf(member, sizeof member, "m%u", entry);
    return coll_find(peek(r, g, key), TYPE_SET, bytes_str(member)) != NULL;
}

static int64_t counter_at(const struct run *r, unsigned g, unsigned which)
{
    char key[32];
    snprintf(key, sizeof key, "counter%u", which);
    int64_t v = 0;
    long double real;
    if (string_number(peek(r, g, key), &v, &real) != NUMBER_INT)
        return 0;
    return v;
}

/* Living, or by what is on its disk. */
static bool holds(const struct run *r, unsigned g, unsigned entry)
{
    const struct region_disk *d = &r->disks[g];
    return living(r, g) ? region_has(r, g, entry)
                        : d->known && (d->has[entry / 8] >> entry % 8 & 1);
}

static uint32_t counter_partition(const struct run *r, unsigned which)
{
    char key[32];
    snprintf(key, sizeof key, "counter%u", which);
    return slot_partition(hash_slot(bytes_str(key)), deploy_partitions(r->deploy));
}

/* Joined with `out`: what a region has seen of a counter's partition, living or by its disk. */
static void add_seen(const struct run *r, unsigned g, unsigned which, struct context *out)
{
    uint32_t p = counter_partition(r, which);
    if (living(r, g))
        context_join(out, shard_context(deploy_shard(r->deploy, g, p), p));
    else if (r->disks[g].known)
        context_join(out, &r->disks[g].seen[which]);
}

static int64_t counter_held(const struct run *r, unsigned g, unsigned which)
{
    if (living(r, g))
        return counter_at(r, g, which);
    return r->disks[g].known ? r->disks[g].counters[which] : 0;
}

void check_dying(struct run *r, unsigned dying)
{
    for (unsigned k = 0; k <= r->plan.regions; k++) {
        context_clear(&r->dying[k]);
        add_seen(r, dying, k, &r->dying[k]);
    }
}

/* Did a region that has died have something of a counter that no other has? */
static bool had_more(const struct run *r, unsigned which)
{
    struct context others = {0};
    for (unsigned g = 1; g <= r->plan.regions; g++)
        add_seen(r, g, which, &others);
    bool more = !context_le(&r->dying[which], &others);
    context_deinit(&others);
    return more;
}

/* What only the dead region had may be lost with it (or may still arrive). */
void check_crash(struct run *r, unsigned dead)
{
    bool all = disk_acks(r, dead) && r->disks[dead].always;
    if (!all)
        queue_crash(r, dead);
    for (unsigned i = 0; i < r->ledger_n; i++) {
        bool safe =
            r->ledger[i].kept || (r->ledger[i].fate == FATE_ASKED && r->ledger[i].region != dead);
        for (unsigned g = 1; g <= r->plan.regions && !safe; g++)
            safe = holds(r, g, i);
        if (!safe)
            r->ledger[i].fate = FATE_MAYBE;
    }
    for (unsigned k = 0; k <= r->plan.regions; k++) {
        int64_t low, best = 0;
        for (unsigned g = 1; g <= r->plan.regions; g++)
            if (counter_held(r, g, k) > best)
                best = counter_held(r, g, k);
        /* what is shown may hold what counts when acknowledged */
        low = best - r->counters[k].flying;
        if (r->counters[k].low > low && !(k == dead && all) &&
            (k == dead || k == 0 || had_more(r, k)))
            r->counters[k].low = low;
    }
}

static void check_ledger(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        if (!living(r, g))
            continue;
        for (unsigned i = 0; i < r->ledger_n; i++)
            if (r->ledger[i].fate == FATE_ACKED && !region_has(r, g, i))
                fail(r,
                     "lost write: ledger entry m%u, acknowledged by region %u, is not in region %u",
                     i, r->ledger[i].region, g);
        for (unsigned k = 0; k <= r->plan.regions; k++) {
            int64_t v = counter_at(r, g, k);
            if (v < r->counters[k].low || v > r->counters[k].high)
                fail(r,
                     "counter%u is %" PRId64 " in region %u, should be in [%" PRId64 ", %" PRId64
                     "]",
                     k, v, g, r->counters[k].low, r->counters[k].high);
        }
    }
}

/* ---------------------------------------------------------------- looks */

static void check_chain(struct run *r, unsigned g)
{
    const struct cell *key = peek(r, g, CHAIN_KEY);
    struct coll_iter it;
    uint8_t have[CHAIN_MAX / 8] = {0};
    coll_iter(&it, key, TYPE_SET);
    for (const struct cell *c; (c = coll_next(&it)) != NULL;) {
        int64_t n = 0;
        if (num_parse_i64(cell_name(c), &n) && n >= 0 && n < (int64_t)CHAIN_MAX)
            have[n / 8] |= (uint8_t)(1u << n % 8);
    }
    for (unsigned i = 0; i < r->chain_n; i++) {
        if (!(have[i / 8] >> i % 8 & 1))
            continue;
        for (unsigned b = 0; b < CHAIN_MAX / 8; b++)
            if (r->chain[i].deps[b] & ~have[b])
                fail(r,
                     "causality: region %u shows %u of the chain without all that its writer had "
                     "seen",
                     g, i);
    }
}

/* Each script adds one to both. */
static void check_pair(struct run *r, unsigned g)
{
    const struct cell *count = peek(r, g, PAIR_COUNT), *fields = peek(r, g, PAIR_FIELDS);
    int64_t v = 0;
    long double real;
    if (count != NULL)
        (void)string_number(count, &v, &real);
    size_t n = fields != NULL ? coll_len(fields, TYPE_HASH) : 0;
    if ((size_t)v != n)
        fail(r, "atomicity: region %u shows %" PRId64 " scripts counted and %zu fields", g, v, n);
}

static void check_contexts(struct run *r, unsigned g)
{
    uint32_t partitions = deploy_partitions_all(r->deploy);
    for (uint32_t p = 0; p < partitions; p++) {
        struct shard *s = deploy_shard(r->deploy, g, p);
        if (s == NULL)
            continue;
        const struct context *now = shard_context(s, p);
        struct context *before = &r->before[g][p];
        if (!context_le(before, now))
            fail(r, "region %u's context of partition %u went back", g, p);
        context_copy(before, now);
    }
}

struct differing {
    struct shard *other;
    uint32_t partition;
    char names[160]; /* of keys, as many as fit */
};

static void differing_visit(const struct cell *key, void *arg)
{
    struct differing *d = arg;
    struct bytes name = cell_name(key);
    size_t n = strlen(d->names);
    if (!hash128_eq(value_digest(key), shard_key_digest(d->other, d->partition, name)) &&
        n + name.n + 2 < sizeof d->names)
        snprintf(d->names + n, sizeof d->names - n, " %.*s", (int)name.n, (const char *)name.p);
}

/* Keys that two shards show differently. */
static void find_differing(struct shard *x, struct shard *y, struct differing *d)
{
    d->names[0] = 0;
    d->other = y;
    shard_each(x, d->partition, differing_visit, d);
    d->other = x;
    shard_each(y, d->partition, differing_visit, d);
}

static void check_digests(struct run *r)
{
    uint32_t partitions = deploy_partitions_all(r->deploy);
    for (uint32_t p = 0; p < partitions; p++)
        for (unsigned a = 1; a <= r->plan.regions; a++)
            for (unsigned b = a + 1; b <= r->plan.regions; b++) {
                struct shard *x = living(r, a) ? deploy_shard(r->deploy, a, p) : NULL;
                struct shard *y = living(r, b) ? deploy_shard(r->deploy, b, p) : NULL;
                if (x == NULL || y == NULL ||
                    !context_eq(shard_context(x, p), shard_context(y, p)) ||
                    hash128_eq(shard_digest(x, p), shard_digest(y, p)))
                    continue;
                struct differing d = {.partition = p};
                find_differing(x, y, &d);
                fail(r,
                     "divergence: regions %u and %u have equal contexts and different content "
                     "in partition %u, keys%s",
                     a, b, p, d.names);
            }
}

static struct shard *living_shard(const struct deploy *d, unsigned g, uint32_t partition)
{
    bool lives = (deploy_members_now(d) >> g & 1) && deploy_open(d, g);
    return lives ? deploy_shard(d, g, partition) : NULL;
}

void check_early(struct run *r, const struct deploy *d, unsigned regions)
{
    for (uint32_t p = 0; p < deploy_partitions_all(d); p++)
        for (unsigned a = 1; a <= regions; a++)
            for (unsigned b = 1; b <= regions; b++) {
                struct shard *x = living_shard(d, a, p), *y = living_shard(d, b, p);
                if (x != NULL && y != NULL && !shard_is_stale(x) &&
                    !context_le(shard_compacted(y, p), shard_context(x, p)))
                    fail(r,
                         "early: region %u takes writes in partition %u and has not all that "
                         "region %u has compacted",
                         a, p, b);
            }
}

void check_equal(struct run *r, const struct deploy *d, unsigned regions)
{
    for (uint32_t p = 0; p < deploy_partitions_all(d); p++)
        for (unsigned a = 1; a <= regions; a++)
            for (unsigned b = a + 1; b <= regions; b++) {
                struct shard *x = living_shard(d, a, p), *y = living_shard(d, b, p);
                if (x != NULL && y != NULL &&
                    context_eq(shard_context(x, p), shard_context(y, p)) &&
                    !hash128_eq(shard_digest(x, p), shard_digest(y, p)))
                    fail(r, "regions %u and %u have seen the same of partition %u and differ", a, b,
                         p);
            }
}

static void check_queues(struct run *r, unsigned g)
{
    struct worker_shard s[64];
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    for (unsigned i = 0; i < n; i++) {
        struct shard_stats st;
        shard_stats(s[i].shard, &st);
        /* A disk that takes nothing leaves in memory what peers send; one that is slow as much as
         * makes states wait, and what is taken with the one that comes then. */
        bool held = s[i].storage != NULL && storage_error(s[i].storage)[0] != 0;
        size_t slow = SYNCER_DISK_OWES + deploy_options(r->deploy)->backlog_bytes + LOG_SLACK;
        size_t most = held ? 64u << 20 : slow;
        if (st.log_bytes > most)
            fail(r, "region %u's log holds %zu bytes", g, st.log_bytes);
        struct link_stats links[REGION_MAX + 1];
        unsigned m = s[i].syncer
                         ? syncer_stats(s[i].syncer, links, REGION_MAX + 1,
                                        (struct moment){.mono_us = world_now_us(r->world),
                                                        .wall_ms = world_wall_ms(
                                                            r->world, deploy_host(r->deploy, g))})
                         : 0;
        for (unsigned k = 0; k < m; k++)
            if (links[k].waiting_bytes > (65u << 20))
                fail(r, "region %u keeps %zu bytes waiting for their causes", g,
                     links[k].waiting_bytes);
    }
}

/* What a peer reads of the log stays until it has been read. */
static void check_readers(struct run *r, unsigned g)
{
    struct worker_shard s[64];
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    for (unsigned i = 0; i < n; i++) {
        struct storage_stats st = {0};
        if (s[i].storage != NULL)
            storage_stats(s[i].storage, &st);
        if (st.archive.missed > 0)
            fail(r, "region %u has removed a segment of shard %u that a peer was reading", g, i);
    }
}

void check_look(struct run *r)
{
    check_digests(r);
    check_early(r, r->deploy, r->plan.regions);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        if (!living(r, g))
            continue;
        check_chain(r, g);
        check_pair(r, g);
        check_contexts(r, g);
        check_queues(r, g);
        check_readers(r, g);
    }
}

/* ---------------------------------------------------------------- the end */

struct sum {
    struct hash128 digest;
};

static void sum_visit(const struct cell *key, void *arg)
{
    struct sum *s = arg;
    s->digest = hash128_add(s->digest, value_digest(key));
}

/* The digest that every write adjusted is the one that counting anew gives. */
static void check_recount(struct run *r, unsigned g)
{
    for (uint32_t p = 0; p < deploy_partitions_all(r->deploy); p++) {
        struct shard *s = deploy_shard(r->deploy, g, p);
        struct sum sum = {{0, 0}};
        if (s == NULL)
            continue;
        shard_each(s, p, sum_visit, &sum);
        if (!hash128_eq(sum.digest, shard_digest(s, p)))
            fail(r, "region %u's digest of partition %u is not that of its content", g, p);
    }
}

static void check_settled(struct run *r, unsigned g)
{
    struct worker_shard s[64];
    unsigned n = deploy_shards(r->deploy, g, s, 64);
    for (unsigned i = 0; i < n; i++)
        if (shard_unsettled(s[i].shard) > 0)
            fail(r, "region %u still has %zu data that wait for compaction", g,
                 shard_unsettled(s[i].shard));
}

/* ---- values as a client reads them */

struct reader {
    struct buf text;
    bool done, failed;
};

static void reader_event(struct vconn *c, enum vconn_event what, struct buf *in, void *arg)
{
    (void)c;
    struct reader *rd = arg;
    struct resp_reply reply;
    size_t used;
    if (what == VCONN_CLOSED)
        rd->done = rd->failed = true;
    if (what != VCONN_DATA || resp_reply_read(buf_bytes(in), &reply, &used) != RESP_REPLY_OK)
        return;
    resp_reply_print(&rd->text, &reply);
    buf_put_u8(&rd->text, '\n');
    rd->done = true;
    resp_reply_deinit(&reply);
    buf_consume(in, used);
}

static void read_line(struct run *r, struct vconn *c, struct reader *rd, unsigned n,
                      const char *const *words)
{
    struct bytes argv[8];
    for (unsigned i = 0; i < n; i++)
        argv[i] = bytes_str(words[i]);
    struct buf out = {0};
    resp_request_put(&out, n, argv);
    rd->done = false;
    vconn_send(c, buf_bytes(&out));
    buf_deinit(&out);
    uint64_t until = world_now_us(r->world) + 5000000;
    while (!rd->done && world_step(r->world, until))
        continue;
    rd->failed |= !rd->done;
}

/* What has no order is sorted by the command. */
static void read_large(struct run *r, struct vconn *c, struct reader *rd)
{
    char key[32];
    for (unsigned k = 0; k < LARGE_KEYS && !rd->failed; k++) {
        snprintf(key, sizeof key, LARGE_TAG "%uh", k);
        read_line(r, c, rd, 2, (const char *const[]){"HLEN", key});
        read_line(r, c, rd, 6, (const char *const[]){"HMGET", key, "e1", "e700", "e1500", "e2999"});
        snprintf(key, sizeof key, LARGE_TAG "%us", k);
        read_line(r, c, rd, 3, (const char *const[]){"SORT_RO", key, "ALPHA"});
        snprintf(key, sizeof key, LARGE_TAG "%uz", k);
        read_line(r, c, rd, 5, (const char *const[]){"ZRANGE", key, "0", "-1", "WITHSCORES"});
        snprintf(key, sizeof key, LARGE_TAG "%ul", k);
        read_line(r, c, rd, 4, (const char *const[]){"LRANGE", key, "0", "-1"});
        snprintf(key, sizeof key, LARGE_TAG "%uv", k);
        read_line(r, c, rd, 2, (const char *const[]){"STRLEN", key});
    }
}

/* Reads every free key in every way, and the users; what has no order is read sorted by being asked
 * member by member. */
static void read_all(struct run *r, unsigned g, struct reader *rd)
{
    char host[8], key[32];
    snprintf(host, sizeof host, "r%u", g);
    struct vconn *c = driver_dial(r->driver, host, DEPLOY_PORT, reader_event, rd);
    for (unsigned k = 0; k < r->plan.keys && !rd->failed; k++) {
        snprintf(key, sizeof key, "{%u}k", k);
        read_line(r, c, rd, 2, (const char *const[]){"TYPE", key});
        read_line(r, c, rd, 2, (const char *const[]){"GET", key});
        read_line(r, c, rd, 6, (const char *const[]){"HMGET", key, "w", "x", "y", "z"});
        read_line(r, c, rd, 6, (const char *const[]){"SMISMEMBER", key, "w", "x", "y", "z"});
        read_line(r, c, rd, 5, (const char *const[]){"ZRANGE", key, "0", "-1", "WITHSCORES"});
        read_line(r, c, rd, 4, (const char *const[]){"LRANGE", key, "0", "-1"});
        read_line(r, c, rd, 2, (const char *const[]){"PFCOUNT", key});
        read_line(r, c, rd, 2, (const char *const[]){"PEXPIRETIME", key});
        read_line(r, c, rd, 4, (const char *const[]){"XRANGE", key, "-", "+"});
        read_line(r, c, rd, 6, (const char *const[]){"XINFO", "STREAM", key, "FULL", "COUNT", "0"});
    }
    if (!rd->failed)
        read_line(r, c, rd, 2, (const char *const[]){"ACL", "LIST"});
    if (r->large && !rd->failed)
        read_large(r, c, rd);
    if (!rd->failed)
        vconn_close(c);
}

/* Names the first read whose answers differ. */
static void report_difference(struct run *r, unsigned a, unsigned b, struct buf *x, struct buf *y)
{
    static const char *const reads[] = {"TYPE",   "GET",         "HMGET",   "SMISMEMBER",
                                        "ZRANGE", "LRANGE",      "PFCOUNT", "PEXPIRETIME",
                                        "XRANGE", "XINFO STREAM"};
    enum { READS = sizeof reads / sizeof reads[0] };
    struct bytes p = buf_bytes(x), q = buf_bytes(y);
    for (unsigned n = 0;; n++) {
        const uint8_t *i = p.n ? memchr(p.p, '\n', p.n) : NULL,
                      *j = q.n ? memchr(q.p, '\n', q.n) : NULL;
        size_t u = i ? (size_t)(i - p.p) : 0, v = j ? (size_t)(j - q.p) : 0;
        if (i == NULL || j == NULL || !bytes_eq(bytes_of(p.p, u), bytes_of(q.p, v))) {
            fail(r, "%s {%u}k: region %u answers %.*s, region %u answers %.*s",
                 n / READS < r->plan.keys ? reads[n % READS] : "ACL LIST or large keys, not",
                 n / READS, a, (int)u, (const char *)p.p, b, (int)v, (const char *)q.p);
            return;
        }
        p = bytes_of(i + 1, p.n - u - 1);
        q = bytes_of(j + 1, q.n - v - 1);
    }
}

static void compare_reads(struct run *r, struct reader *got)
{
    unsigned first = 0;
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        if (!living(r, g))
            continue;
        if (got[g].failed)
            fail(r, "region %u does not answer reads", g);
        else if (first != 0 && !bytes_eq(buf_bytes(&got[g].text), buf_bytes(&got[first].text)))
            report_difference(r, first, g, &got[first].text, &got[g].text);
        first = first != 0 ? first : g;
    }
}

bool check_reads(struct run *r)
{
    struct reader got[REGION_MAX + 1] = {0};
    uint64_t evicted = fill_evicted(r);
    world_clock_freeze(r->world, true); /* nothing expires between two regions' answers */
    for (unsigned g = 1; g <= r->plan.regions; g++)
        if (living(r, g))
            read_all(r, g, &got[g]);
    world_clock_freeze(r->world, false);
    bool same = fill_evicted(r) == evicted;
    if (same)
        compare_reads(r, got);
    for (unsigned g = 1; g <= r->plan.regions; g++)
        buf_deinit(&got[g].text);
    return same;
}

void check_end(struct run *r)
{
    check_look(r);
    check_ledger(r);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        if (!living(r, g))
            continue;
        check_recount(r, g);
        check_settled(r, g);
        queue_check(r, g);
    }
}
