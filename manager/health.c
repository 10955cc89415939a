/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/core.h"

#include <stdio.h>

#define STALE_US 3000000u /* older statistics say nothing: the plane is stuck */

/* Worst first: what a database's link is when its shards' links differ. */
static const char *const states[] = {"refused",   "quarantined", "down",   "connecting",
                                     "handshake", "transfer",    "paused", "up"};

static unsigned rank(const char *state)
{
    for (unsigned i = 0; i < sizeof states / sizeof states[0]; i++)
        if (bytes_is_nocase(bytes_str(state), states[i]))
            return i;
    return 0;
}

const struct plane_db_stats *bdb_stats(const struct manager *m, uint32_t uid)
{
    const struct plane_stats *s = plane_stats(m->plane, NULL);
    for (uint32_t i = 0; i < s->dbs_count; i++)
        if (s->dbs[i].uid == uid)
            return &s->dbs[i];
    return NULL;
}

static void add_link(struct link_summary *sum, const struct plane_link *l)
{
    if (!sum->state[0] || rank(l->state) < rank(sum->state))
        snprintf(sum->state, sizeof sum->state, "%s", l->state);
    if (l->error[0])
        snprintf(sum->error, sizeof sum->error, "%s", l->error);
    text_plain(sum->error);
    text_plain(sum->state);
    sum->feeding = sum->feeding && l->feeding;
    sum->bytes_in += l->bytes_in;
    sum->bytes_out += l->bytes_out;
    sum->ops_in += l->ops_in;
    sum->ops_out += l->ops_out;
    sum->lag_ops += l->lag_ops;
    sum->reconnects += l->reconnects;
    sum->transfers_in += l->transfers_in;
    sum->transfers_out += l->transfers_out;
    sum->parts_disk += l->parts_disk;
    sum->disk_left += l->disk_left;
    sum->parts_state += l->parts_state;
    sum->lag_ms = l->lag_ms > sum->lag_ms ? l->lag_ms : sum->lag_ms;
    sum->behind_ms = l->behind_ms > sum->behind_ms ? l->behind_ms : sum->behind_ms;
}

bool bdb_link(const struct manager *m, const struct bdb *b, uint32_t region,
              struct link_summary *out)
{
    const struct plane_stats *s = plane_stats(m->plane, NULL);
    bool any = false;
    *out = (struct link_summary){.region = region, .feeding = true};
    for (uint32_t i = 0; i < s->shards_count; i++) {
        const struct plane_shard *shard = &s->shards[i];
        for (uint32_t l = 0; shard->db_uid == b->uid && l < shard->links_count; l++)
            if (shard->links[l].region == region) {
                add_link(out, &shard->links[l]);
                any = true;
            }
    }
    return any;
}

/* ------------------------------------------------------------ files */

static void add_keep(struct keep_summary *sum, const struct plane_keep *k)
{
    sum->snapshot_ms =
        sum->shards == 0 || k->snapshot_ms < sum->snapshot_ms ? k->snapshot_ms : sum->snapshot_ms;
    sum->in_force = sum->shards == 0 || k->in_force < sum->in_force ? k->in_force : sum->in_force;
    sum->shards++;
    sum->opens += k->state == KEEP_OPENS;
    sum->begins += k->state == KEEP_BEGINS;
    sum->runs += k->state == KEEP_RUNS;
    sum->fails += k->state == KEEP_FAILS;
    sum->broken += k->state == KEEP_BROKEN;
    sum->snapshots_run += k->snapshot_runs;
    sum->snapshots_failed += k->snapshot_failed;
    sum->snapshot_percent += k->snapshot_runs ? k->snapshot_percent : 0;
    sum->log_bytes += k->log_bytes;
    sum->kept_bytes += k->kept_bytes;
    sum->behind += k->behind;
    sum->cut += k->cut;
    sum->changes += k->changes;
    sum->snapshots += k->snapshots;
    sum->snapshot_failures += k->snapshot_failures;
    sum->write_failures += k->write_failures;
    sum->sync_us_max = k->sync_us_max > sum->sync_us_max ? k->sync_us_max : sum->sync_us_max;
    bool worse = k->state == KEEP_FAILS || k->state == KEEP_BROKEN;
    if (k->error[0] != 0 && (worse || sum->error[0] == 0))
        snprintf(sum->error, sizeof sum->error, "%s", k->error);
}

void bdb_keep(const struct manager *m, const struct bdb *b, struct keep_summary *out)
{
    const struct plane_stats *s = plane_stats(m->plane, NULL);
    uint64_t read = 0, total = 0;
    *out = (struct keep_summary){0};
    for (uint32_t i = 0; i < s->shards_count; i++) {
        const struct plane_keep *k = &s->shards[i].keep;
        if (s->shards[i].db_uid != b->uid || k->state == KEEP_OFF)
            continue;
        add_keep(out, k);
        read += k->state == KEEP_OPENS ? k->read : k->total;
        total += k->total;
    }
    text_plain(out->error);
    out->percent = total > 0 ? (uint32_t)((double)read * 100 / (double)total) : 0;
    if (out->snapshots_run > 0)
        out->snapshot_percent /= out->snapshots_run;
}

const char *keep_policy(uint32_t in_force)
{
    static const char *const names[PERSIST_KINDS] = {"disabled", "appendfsync-no",
                                                     "appendfsync-every-sec", "appendfsync-always"};
    return names[in_force % PERSIST_KINDS];
}

const char *keep_status(const struct keep_summary *k)
{
    return k->broken > 0   ? "broken"
           : k->opens > 0  ? "loading"
           : k->fails > 0  ? "failing"
           : k->begins > 0 ? "initializing"
           : k->shards > 0 ? "ok"
                           : "disabled";
}

/* ------------------------------------------------------------ all together */

static unsigned shards_health(const struct manager *m, const struct bdb *b)
{
    const struct plane_stats *s = plane_stats(m->plane, NULL);
    uint32_t sound = 0;
    unsigned health = 0;
    for (uint32_t i = 0; i < s->shards_count; i++) {
        const struct plane_shard *shard = &s->shards[i];
        uint32_t state = shard->keep.state;
        if (shard->db_uid != b->uid)
            continue;
        sound += !shard->stale && state != KEEP_OPENS && state != KEEP_BROKEN;
        health |= state == KEEP_OPENS                      ? BDB_LOADING
                  : state == KEEP_BROKEN                   ? BDB_BROKEN
                  : state == KEEP_FAILS && b->guid[0] != 0 ? BDB_DISK_FAILS
                                                           : 0;
    }
    return health | (sound < b->config.shards_count ? BDB_SHARD_UNREACHABLE : 0);
}

uint32_t bdb_stale_shards(const struct manager *m, const struct bdb *b)
{
    const struct plane_stats *s = plane_stats(m->plane, NULL);
    uint32_t stale = 0;
    for (uint32_t i = 0; i < s->shards_count; i++)
        stale += s->shards[i].db_uid == b->uid && s->shards[i].stale;
    return stale;
}

/* The worst of its links: how long ago it was in step with that region; -1 not connected. */
static int64_t links_lag(const struct manager *m, const struct bdb *b, bool peers_too)
{
    const struct crdb *r = b->guid[0] ? cluster_crdb(&m->cluster, b->guid) : NULL;
    int64_t worst = 0;
    unsigned others = 0, up = 0;
    if (r == NULL || r->status < CRDB_COMMITTED)
        return 0;
    for (uint32_t i = 0; i < r->config.instances_count; i++) {
        struct link_summary l;
        if (r->config.instances[i].id == b->region)
            continue;
        others++;
        if (!bdb_link(m, b, r->config.instances[i].id, &l) || (peers_too && !l.feeding) ||
            !bytes_is_nocase(bytes_str(l.state), "up"))
            continue;
        up++;
        worst = l.behind_ms > worst ? l.behind_ms : worst;
        worst = peers_too && l.lag_ms > worst ? l.lag_ms : worst;
    }
    return up == others || (up > 0 && !peers_too) ? worst : -1;
}

unsigned bdb_health(const struct manager *m, const struct bdb *b, struct lag_check check,
                    int64_t *lag_ms)
{
    const struct plane_db_stats *s = bdb_stats(m, b->uid);
    if (lag_ms != NULL)
        *lag_ms = 0;
    uint64_t taken_us;
    plane_stats(m->plane, &taken_us);
    if (!plane_is_ready(m->plane) || s == NULL || m->now.mono_us - taken_us > STALE_US)
        return BDB_NO_PLANE;
    unsigned health = (s->listening ? 0 : BDB_PORT_UNBOUND) | shards_health(m, b);
    if (check.tolerance_ms >= 0) {
        int64_t lag = links_lag(m, b, check.peers_too);
        if (lag < 0 || lag > check.tolerance_ms)
            health |= BDB_LAGGING;
        if (lag_ms != NULL)
            *lag_ms = lag;
    }
    return health;
}
