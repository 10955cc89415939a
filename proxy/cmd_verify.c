/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/route.h"

/*
 * CRDT.VERIFY: asks every worker to compare its partitions with those of the other regions over the
 * links, waits for a result of each partition and region, or until the time is up, and tells them
 * by region.
 */
#define TIMEOUT_MS 10000
#define KEYS_DEFAULT 16
#define KEYS_MAX 10000

enum { UNANSWERED = UINT8_MAX };

struct comparing {
    uint64_t regions;     /* bit set */
    uint32_t partitions;  /* the hidden one, which is the last, included */
    uint32_t missing;     /* results */
    uint8_t *results;     /* owned: by region and partition; enum compare_result, or UNANSWERED */
    struct buf differing; /* struct compare_record and names, of those that differ */
};

static uint8_t *result_at(struct comparing *c, uint32_t region, uint32_t partition)
{
    return &c->results[(size_t)region * c->partitions + partition];
}

/* ------------------------------------------------------------ the reply */

static uint32_t count_results(struct comparing *c, uint32_t region, uint8_t result)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < c->partitions; p++)
        n += *result_at(c, region, p) == result;
    return n;
}

static void put_partitions(struct comparing *c, struct reply *r, const char *name, uint32_t region,
                           uint8_t result)
{
    reply_bulk_str(r, name);
    reply_array(r, count_results(c, region, result));
    for (uint32_t p = 0; p < c->partitions; p++)
        if (*result_at(c, region, p) == result)
            reply_int(r, p);
}

static void put_keys(struct reply *r, const struct compare_record *one, struct bytes names)
{
    reply_array(r, one->keys);
    for (uint32_t i = 0; i < one->keys; i++) {
        uint32_t n;
        memcpy(&n, names.p, sizeof n);
        reply_bulk(r, bytes_of(names.p + sizeof n, n));
        names = bytes_of(names.p + sizeof n + n, names.n - sizeof n - n);
    }
}

static void put_differing(struct comparing *c, struct reply *r, uint32_t region)
{
    reply_bulk_str(r, "differs");
    reply_array(r, count_results(c, region, COMPARE_DIFFERS));
    struct bytes all = buf_bytes(&c->differing);
    while (all.n > 0) {
        struct compare_record one;
        memcpy(&one, all.p, sizeof one);
        struct bytes names = bytes_of(all.p + sizeof one, one.bytes);
        all = bytes_of(names.p + one.bytes, all.n - sizeof one - one.bytes);
        if (one.region != region)
            continue;
        reply_map(r, 2);
        reply_bulk_str(r, "partition");
        reply_int(r, one.partition);
        reply_bulk_str(r, "keys");
        put_keys(r, &one, names);
    }
}

static void put_region(struct comparing *c, struct reply *r, uint32_t region)
{
    reply_map(r, 6);
    reply_bulk_str(r, "region");
    reply_int(r, region);
    reply_bulk_str(r, "equal");
    reply_int(r, count_results(c, region, COMPARE_EQUAL));
    put_differing(c, r, region);
    put_partitions(c, r, "not-comparable", region, COMPARE_UNLIKE);
    put_partitions(c, r, "no-link", region, COMPARE_NO_LINK);
    put_partitions(c, r, "no-answer", region, UNANSWERED);
}

static void end(struct front *f, struct port *port, uint64_t session, void *state, struct reply *r)
{
    struct comparing *c = state;
    (void)f, (void)port, (void)session;
    if (r != NULL) {
        reply_array(r, (size_t)__builtin_popcountll(c->regions));
        for (uint32_t region = 1; region <= REGION_MAX; region++)
            if (c->regions >> region & 1)
                put_region(c, r, region);
    }
    buf_deinit(&c->differing);
    mem_free(c->results);
    mem_free(c);
}

static const struct wait_kind kind = {.end = end};

/* ------------------------------------------------------------ results */

static void note(struct comparing *c, const struct compare_record *one, struct bytes names)
{
    if (one->partition >= c->partitions || one->region > REGION_MAX ||
        !(c->regions >> one->region & 1))
        return;
    uint8_t *at = result_at(c, one->region, one->partition);
    if (*at != UNANSWERED)
        return;
    *at = (uint8_t)one->result;
    c->missing--;
    if (one->result != COMPARE_DIFFERS)
        return;
    buf_put(&c->differing, one, sizeof *one);
    buf_put_bytes(&c->differing, names);
}

void compared_heard(struct front *f, struct port *port, uint64_t session, struct bytes records)
{
    struct comparing *c = blocked_state(f, session, &kind);
    while (c != NULL && records.n > 0) {
        struct compare_record one;
        memcpy(&one, records.p, sizeof one);
        struct bytes names = bytes_of(records.p + sizeof one, one.bytes);
        records = bytes_of(names.p + one.bytes, records.n - sizeof one - one.bytes);
        note(c, &one, names);
    }
    if (c != NULL && c->missing == 0)
        blocked_over(f, port, session);
}

void front_compared(struct front *f, struct port *port, uint64_t session, struct bytes records)
{
    uint32_t worker = (uint32_t)((session - 1) % courier_workers(f->courier));
    if (worker == courier_self(f->courier)) {
        compared_heard(f, port, session, records);
        return;
    }
    struct job job = {
        .kind = JOB_COMPARED, .db_uid = f->db_uid, .session = session, .argc = 1, .argv = &records};
    courier_send(f->courier, port, worker, &job, NULL, 0);
}

/* argv[0]: region (0: all) and how many keys to name, uint32 each. */
void compare_begin(struct front *f, struct port *port, const struct job *job)
{
    uint32_t ask[2];
    memcpy(ask, job->argv[0].p, sizeof ask);
    f->host.compare(f->host.arg, f, port, job->session, ask[0], ask[1]);
}

/* ------------------------------------------------------------ the command */

static bool read_args(struct ask *a, uint64_t peers, int64_t *region, int64_t *keys)
{
    uint32_t i = 1;
    if (i < a->argc && !bytes_is_nocase(a->argv[i], "count")) {
        if (!num_parse_i64(a->argv[i++], region) || *region < 1 || *region > REGION_MAX ||
            !(peers >> *region & 1)) {
            reply_error(&a->reply, "ERR no such other region: give its number, as INFO crdt does");
            return false;
        }
    }
    if (i == a->argc)
        return true;
    if (i + 2 != a->argc || !bytes_is_nocase(a->argv[i], "count")) {
        reply_error(&a->reply, ERR_SYNTAX);
        return false;
    }
    if (num_parse_i64(a->argv[i + 1], keys) && *keys >= 1 && *keys <= KEYS_MAX)
        return true;
    reply_errorf(&a->reply, "ERR COUNT should be between 1 and %u", KEYS_MAX);
    return false;
}

void crdt_verify(struct ask *a)
{
    struct front *f = a->front;
    uint64_t peers = f->host.peers(f->host.arg, f);
    int64_t region = 0, keys = KEYS_DEFAULT;
    if (!read_args(a, peers, &region, &keys))
        return;
    if (peers == 0) {
        reply_array(&a->reply, 0);
        return;
    }
    struct comparing *c = mem_zalloc(sizeof *c);
    c->regions = region != 0 ? UINT64_C(1) << region : peers;
    c->partitions = f->partitions + 1;
    c->missing = (uint32_t)__builtin_popcountll(c->regions) * c->partitions;
    size_t n = (REGION_MAX + 1) * (size_t)c->partitions;
    c->results = mem_alloc(n);
    memset(c->results, UNANSWERED, n);
    blocked_wait(a, TIMEOUT_MS, &kind, c);
    uint32_t ask[2] = {(uint32_t)region, (uint32_t)keys};
    struct bytes arg = bytes_of(ask, sizeof ask);
    struct job job = {.kind = JOB_COMPARE,
                      .db_uid = f->db_uid,
                      .session = a->session->id,
                      .argc = 1,
                      .argv = &arg};
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            courier_send(f->courier, a->port, i, &job, NULL, 0);
    compare_begin(f, a->port, &job);
}
