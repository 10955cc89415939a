/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/figures.h"

#include <string.h>

void figures_shard_add(struct shard_stats *sum, const struct shard_stats *one)
{
    sum->keys += one->keys;
    sum->expires += one->expires;
    sum->commands += one->commands;
    sum->writes += one->writes;
    sum->expired += one->expired;
    sum->evicted += one->evicted;
    sum->hits += one->hits;
    sum->misses += one->misses;
    sum->frames_own += one->frames_own;
    sum->frames_foreign += one->frames_foreign;
    sum->ops_own += one->ops_own;
    sum->ops_foreign += one->ops_foreign;
    sum->joins += one->joins;
    sum->unsettled += one->unsettled;
    sum->compacted += one->compacted;
    sum->conflicts.register_lost += one->conflicts.register_lost;
    sum->conflicts.type_hidden += one->conflicts.type_hidden;
    sum->conflicts.deadline_lost += one->conflicts.deadline_lost;
    sum->log_bytes += one->log_bytes;
    sum->kept += one->kept;
    sum->kept_bytes += one->kept_bytes;
    sum->baseless += one->baseless;
    sum->defrag.hits += one->defrag.hits;
    sum->defrag.misses += one->defrag.misses;
    sum->defrag.key_hits += one->defrag.key_hits;
    sum->defrag.key_misses += one->defrag.key_misses;
    sum->defrag.rounds += one->defrag.rounds;
}

void figures_link_add(struct figures_link *sum, const struct figures_link *one)
{
    if (one->name[0] == 0)
        return;
    memcpy(sum->name, one->name, sizeof sum->name);
    if (sum->state == NULL || one->rank > sum->rank) {
        sum->state = one->state;
        sum->rank = one->rank;
    }
    sum->feeding |= one->feeding;
    sum->bytes_in += one->bytes_in;
    sum->bytes_out += one->bytes_out;
    sum->ops_in += one->ops_in;
    sum->ops_out += one->ops_out;
    sum->lag_ops += one->lag_ops;
    sum->reconnects += one->reconnects;
    sum->transfers_in += one->transfers_in;
    sum->transfers_out += one->transfers_out;
    sum->relays += one->relays;
    sum->parts_disk += one->parts_disk;
    sum->disk_left += one->disk_left;
    sum->parts_state += one->parts_state;
    sum->ops_disk += one->ops_disk;
    sum->ops_elided += one->ops_elided;
    sum->messages_in += one->messages_in;
    sum->messages_out += one->messages_out;
    sum->messages_dropped += one->messages_dropped;
    if (one->lag_ms > sum->lag_ms)
        sum->lag_ms = one->lag_ms;
    if (one->behind_ms > sum->behind_ms)
        sum->behind_ms = one->behind_ms;
}

static int64_t older(int64_t a, int64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

void figures_keep_add(struct figures_keep *sum, const struct figures_keep *one)
{
    if (one->shards > 0 && (sum->shards == 0 || one->in_force < sum->in_force))
        sum->in_force = one->in_force;
    sum->shards += one->shards;
    sum->opens += one->opens;
    sum->broken += one->broken;
    sum->failing += one->failing;
    sum->taking += one->taking;
    sum->asked += one->asked;
    sum->failed += one->failed;
    sum->read += one->read;
    sum->total += one->total;
    sum->log_bytes += one->log_bytes;
    sum->kept_bytes += one->kept_bytes;
    sum->behind += one->behind;
    sum->written += one->written;
    sum->syncs += one->syncs;
    sum->write_failures += one->write_failures;
    sum->changes += one->changes;
    sum->snapshots += one->snapshots;
    sum->snapshot_failures += one->snapshot_failures;
    if (one->sync_us_max > sum->sync_us_max)
        sum->sync_us_max = one->sync_us_max;
    if (one->took_ms > sum->took_ms)
        sum->took_ms = one->took_ms;
    sum->saved_ms = older(sum->saved_ms, one->saved_ms);
    sum->begun_ms = older(sum->begun_ms, one->begun_ms);
    sum->opens_ms = older(sum->opens_ms, one->opens_ms);
    bool worse = one->failing > 0 || one->broken > 0; /* than a snapshot that failed */
    if (one->error[0] != 0 && (worse || sum->error[0] == 0))
        memcpy(sum->error, one->error, sizeof sum->error);
}

uint64_t figures_used(const struct figures *f)
{
    return f->memory.held + f->input_bytes + f->output_bytes + f->lua_bytes + f->scripts_bytes +
           f->links_bytes;
}

static uint32_t greatest(const uint32_t partitions[REGION_MAX + 1])
{
    uint32_t worst = 0;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if (partitions[r] > (worst == 0 ? 0 : partitions[worst]))
            worst = r;
    return worst;
}

uint32_t figures_laggard(const struct figures *f) { return greatest(f->lagging); }

uint32_t figures_untold(const struct figures *f) { return greatest(f->earlier_waits); }

void figures_add(struct figures *sum, const struct figures *one)
{
    sum->clients += one->clients;
    sum->blocked += one->blocked;
    for (unsigned i = 0; i <= REGION_MAX; i++)
        sum->lagging[i] += one->lagging[i];
    for (unsigned i = 0; i <= REGION_MAX; i++)
        sum->earlier_waits[i] += one->earlier_waits[i];
    sum->input_bytes += one->input_bytes;
    sum->output_bytes += one->output_bytes;
    sum->tracking_keys += one->tracking_keys;
    sum->tracking_items += one->tracking_items;
    sum->connections += one->connections;
    sum->refused += one->refused;
    sum->errors += one->errors;
    sum->rate += one->rate;
    sum->commands += one->commands;
    sum->net_in += one->net_in;
    sum->net_out += one->net_out;
    sum->cut_output += one->cut_output;
    sum->rate_in += one->rate_in;
    sum->rate_out += one->rate_out;
    sum->peak += one->peak;
    sum->lua_bytes += one->lua_bytes;
    sum->scripts_bytes += one->scripts_bytes;
    sum->links_bytes += one->links_bytes;
    memory_use_add(&sum->memory, &one->memory);
    sum->shards += one->shards;
    figures_shard_add(&sum->shard, &one->shard);
    sum->stale += one->stale;
    sum->log_bytes += one->log_bytes;
    figures_keep_add(&sum->keep, &one->keep);
    if (one->stamp_max > sum->stamp_max)
        sum->stamp_max = one->stamp_max;
    struct hash128 d = hash128_add((struct hash128){sum->digest_lo, sum->digest_hi},
                                   (struct hash128){one->digest_lo, one->digest_hi});
    sum->digest_lo = d.lo;
    sum->digest_hi = d.hi;
    sum->context_hash += one->context_hash;
    sum->lives += one->lives;
    sum->earlier_open += one->earlier_open;
    sum->earlier_seen += one->earlier_seen;
    for (unsigned i = 0; i <= REGION_MAX; i++)
        figures_link_add(&sum->links[i], &one->links[i]);
}
