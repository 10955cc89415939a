/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "base/version.h"
#include "proxy/route.h"
#include "proxy/scripting.h"

#include <stdio.h>

/* INFO: https://redis.io/docs/latest/commands/info/, with a `crdt` section whose names are Redis
 * Enterprise's where they mean the same. Fields that monitoring tools read are there even where
 * they can only be 0. */

#define SECTIONS(X)                                                                                \
    X(SERVER, server)                                                                              \
    X(CLIENTS, clients)                                                                            \
    X(MEMORY, memory)                                                                              \
    X(PERSISTENCE, persistence)                                                                    \
    X(STATS, stats)                                                                                \
    X(REPLICATION, replication)                                                                    \
    X(CPU, cpu)                                                                                    \
    X(MODULES, modules)                                                                            \
    X(COMMANDSTATS, commandstats)                                                                  \
    X(ERRORSTATS, errorstats)                                                                      \
    X(LATENCYSTATS, latencystats)                                                                  \
    X(CLUSTER, cluster)                                                                            \
    X(KEYSPACE, keyspace)                                                                          \
    X(CRDT, crdt)

#define X(upper, lower) SECTION_##upper,
enum section { SECTIONS(X) SECTION_COUNT };
#undef X
#define BIT(section) (UINT64_C(1) << SECTION_##section)
#define EVERYTHING ((UINT64_C(1) << SECTION_COUNT) - 1)
#define BY_DEFAULT (EVERYTHING & ~(BIT(COMMANDSTATS) | BIT(LATENCYSTATS)))

/* What is shown: sums over all workers. */
struct info {
    struct figures figures;
    struct stats stats;
    struct port_usage usage;
    struct scripting_figures scripts;
};

typedef unsigned long long ull;

static void human(char *out, size_t size, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u < 5; u++)
        v /= 1024;
    snprintf(out, size, u == 0 ? "%.0f%c" : "%.2f%c", v, units[u]);
}

/* Forty hexadecimal digits, the same on all workers of a region's database; others as soon as one
 * of its shards came back without something it had had. */
static void put_run_id(struct buf *out, const struct front *f, const struct figures *n)
{
    struct figures_db db = {0};
    f->host.describe(f->host.arg, f, &db);
    const uint64_t which[] = {f->db_uid, n->lives, db.region};
    struct bytes all = bytes_of(which, sizeof which);
    uint64_t seed = hash_64(bytes_str(db.guid), hash_64(all, 0));
    buf_putf(out, "run_id:%016llx%016llx%08x\r\n", (ull)seed, (ull)hash_64(all, seed),
             (unsigned)(n->lives >> 32));
}

static void put_server(struct buf *out, const struct front *f, const struct info *n,
                       struct moment now)
{
    uint64_t up = (now.mono_us - f->born.mono_us) / 1000000;
    buf_putf(out,
             "# Server\r\nredis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n"
             "redis_build_id:%016llx\r\nmeridian_version:%s\r\nredis_mode:standalone\r\n"
             "os:Linux\r\narch_bits:64\r\nmonotonic_clock:POSIX clock_gettime\r\n"
             "multiplexing_api:libuv\r\nprocess_id:%lld\r\nprocess_supervised:no\r\n",
             REDIS_VERSION, (ull)hash_64(bytes_str(MERIDIAN_VERSION), 0), MERIDIAN_VERSION,
             (long long)n->usage.pid);
    put_run_id(out, f, &n->figures);
    buf_putf(
        out,
        "tcp_port:%u\r\nserver_time_usec:%lld\r\nuptime_in_seconds:%llu\r\n"
        "uptime_in_days:%llu\r\nhz:10\r\nconfigured_hz:%lld\r\nlru_clock:%lld\r\n"
        "executable:meridian\r\nconfig_file:\r\nio_threads_active:0\r\nworkers:%u\r\nshards:%u\r\n",
        f->settings.port, (long long)now.wall_ms * 1000, (ull)up, (ull)(up / 86400),
        (long long)f->kept.number[CONFIG_HZ], (long long)(now.wall_ms / 1000 & 0xffffff),
        courier_workers(f->courier), f->shards_count);
}

static void put_clients(struct buf *out, const struct front *f, const struct info *all)
{
    const struct figures *n = &all->figures;
    buf_putf(out,
             "# Clients\r\nconnected_clients:%llu\r\ncluster_connections:0\r\nmaxclients:%llu\r\n"
             "client_recent_max_input_buffer:%llu\r\nclient_recent_max_output_buffer:%llu\r\n"
             "blocked_clients:%llu\r\ntracking_clients:%llu\r\nclients_in_timeout_table:0\r\n",
             (ull)n->clients, (ull)f->settings.clients_max, (ull)n->input_bytes,
             (ull)n->output_bytes, (ull)n->blocked,
             (ull)topic_count(f->topics.first[TOPIC_TRACKERS]));
}

static void put_bytes(struct buf *out, const char *name, uint64_t bytes)
{
    char text[32];
    human(text, sizeof text, bytes);
    buf_putf(out, "%s:%llu\r\n%s_human:%s\r\n", name, (ull)bytes, name, text);
}

static double share(uint64_t a, uint64_t b) { return b > 0 ? (double)a / (double)b : 0; }

/* Of the process, all its databases. */
static void put_allocator(struct buf *out, uint64_t resident)
{
    struct mem_heap h;
    if (!mem_heap(&h))
        return;
    buf_putf(out,
             "allocator_allocated:%zu\r\nallocator_active:%zu\r\nallocator_resident:%zu\r\n"
             "allocator_frag_ratio:%.2f\r\nallocator_frag_bytes:%lld\r\n"
             "allocator_rss_ratio:%.2f\r\nallocator_rss_bytes:%lld\r\n"
             "rss_overhead_ratio:%.2f\r\nrss_overhead_bytes:%lld\r\n",
             h.allocated, h.active, h.resident, share(h.active, h.allocated),
             (long long)h.active - (long long)h.allocated, share(h.resident, h.active),
             (long long)h.resident - (long long)h.active, share(resident, h.resident),
             (long long)resident - (long long)h.resident);
}

static void put_memory(struct buf *out, const struct front *f, const struct info *all)
{
    const struct figures *n = &all->figures;
    uint64_t used = figures_used(n), process = mem_used(), resident = all->usage.resident_bytes;
    uint64_t data = n->memory.values + n->memory.deadlines;
    uint64_t peak = n->peak > used ? n->peak : used;
    buf_put_str(out, "# Memory\r\n");
    put_bytes(out, "used_memory", used);
    put_bytes(out, "used_memory_rss", resident);
    put_bytes(out, "used_memory_peak", peak);
    buf_putf(out, "used_memory_peak_perc:%.2f%%\r\n",
             100.0 * (double)used / (double)(peak + !peak));
    put_bytes(out, "total_system_memory", all->usage.system_bytes);
    put_allocator(out, resident);
    buf_putf(out,
             "used_memory_process:%llu\r\nused_memory_overhead:%llu\r\n"
             "used_memory_dataset:%llu\r\nused_memory_dataset_perc:%.2f%%\r\n",
             (ull)process, (ull)(used - data), (ull)data,
             used > 0 ? 100.0 * (double)data / (double)used : 0);
    put_bytes(out, "used_memory_lua", n->lua_bytes); /* functions live in the same state */
    put_bytes(out, "used_memory_vm_total", n->lua_bytes);
    put_bytes(out, "used_memory_scripts", n->lua_bytes + all->scripts.scripts_bytes);
    buf_putf(out,
             "used_memory_vm_eval:%llu\r\nused_memory_scripts_eval:%llu\r\n"
             "used_memory_vm_functions:0\r\n",
             (ull)n->lua_bytes, (ull)all->scripts.scripts_bytes);
    buf_putf(out,
             "number_of_cached_scripts:%llu\r\nnumber_of_functions:%llu\r\n"
             "number_of_libraries:%llu\r\n",
             (ull)all->scripts.scripts, (ull)all->scripts.functions, (ull)all->scripts.libraries);
    put_bytes(out, "maxmemory", f->settings.memory_max);
    buf_put_str(out, "maxmemory_policy:");
    setting_word(CONFIG_MAXMEMORY_POLICY, f->settings.eviction, out);
    buf_put_str(out, "\r\n");
    buf_putf(out,
             "mem_fragmentation_ratio:%.2f\r\n"
             "mem_fragmentation_bytes:%lld\r\nmem_replication_backlog:%llu\r\n"
             "mem_total_replication_buffers:%llu\r\nmem_cluster_links:0\r\n"
             "mem_clients_slaves:0\r\nmem_not_counted_for_evict:0\r\n"
             "mem_clients_normal:%llu\r\nmem_aof_buffer:0\r\n"
             "mem_allocator:jemalloc\r\nactive_defrag_running:%u\r\n"
             "lazyfree_pending_objects:0\r\nlazyfreed_objects:0\r\n",
             process > 0 ? (double)resident / (double)process : 0, (long long)(resident - process),
             (ull)n->memory.log, (ull)n->memory.log, (ull)(n->input_bytes + n->output_bytes),
             f->defrag_percent);
}

/* Redis' RDB file is the snapshots here, its AOF what they and the log make together. */
static void put_persistence(struct buf *out, const struct front *f, const struct figures_keep *k,
                            struct moment now)
{
    static const char *const in_force[] = {"off", "no", "everysec", "always"};
    const char *saved = k->failed > 0 ? "err" : "ok", *logs = k->failing > 0 ? "err" : "ok";
    int64_t last_ms = k->saved_ms ? k->saved_ms : f->born.wall_ms;
    long long took = k->took_ms < 0 ? -1 : (k->took_ms + 500) / 1000;
    long long current = k->taking > 0 ? (now.wall_ms - k->begun_ms) / 1000 : -1;
    buf_putf(out,
             "# Persistence\r\nloading:%d\r\nasync_loading:0\r\n"
             "rdb_changes_since_last_save:%llu\r\nrdb_bgsave_in_progress:%d\r\n"
             "rdb_last_save_time:%lld\r\nrdb_last_bgsave_status:%s\r\n"
             "rdb_last_bgsave_time_sec:%lld\r\nrdb_current_bgsave_time_sec:%lld\r\n"
             "rdb_saves:%llu\r\nrdb_last_cow_size:0\r\ncurrent_cow_size:0\r\n"
             "current_cow_peak:0\r\ncurrent_cow_size_age:0\r\ncurrent_fork_perc:0.00\r\n",
             k->opens > 0, (ull)k->changes, k->taking > 0, (long long)(last_ms / 1000), saved, took,
             current, (ull)k->snapshots);
    buf_putf(out,
             "aof_enabled:%d\r\naof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:%d\r\n"
             "aof_last_rewrite_time_sec:%lld\r\naof_current_rewrite_time_sec:%lld\r\n"
             "aof_last_bgrewrite_status:%s\r\naof_last_write_status:%s\r\n"
             "aof_rewrites:%llu\r\naof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\nmodule_fork_"
             "last_cow_size:0\r\n",
             f->settings.logged, f->settings.logged && k->taking > 0, k->asked > k->taking, took,
             current, saved, logs, f->settings.logged ? (ull)k->snapshots : 0);
    if (f->settings.on_disk)
        buf_putf(out,
                 "aof_current_size:%llu\r\naof_base_size:0\r\naof_pending_rewrite:0\r\n"
                 "aof_buffer_length:%llu\r\naof_pending_bio_fsync:0\r\naof_delayed_fsync:0\r\n"
                 "storage_policy_in_force:%s\r\n"
                 "storage_shards:%u\r\nstorage_broken:%u\r\nstorage_behind_bytes:%llu\r\n"
                 "storage_written_bytes:%llu\r\nstorage_syncs:%llu\r\n"
                 "storage_sync_usec_max:%llu\r\nstorage_write_failures:%llu\r\n"
                 "storage_snapshot_failures:%llu\r\nstorage_last_error:%s\r\n",
                 (ull)k->log_bytes, (ull)k->behind, in_force[k->in_force % 4], k->shards, k->broken,
                 (ull)k->behind, (ull)k->written, (ull)k->syncs, (ull)k->sync_us_max,
                 (ull)k->write_failures, (ull)k->snapshot_failures, k->error);
    if (k->opens == 0)
        return;
    int64_t since = now.wall_ms - k->opens_ms;
    double share = k->total > 0 ? (double)k->read / (double)k->total : 0;
    long long left = share > 0 ? (long long)((double)since * (1 - share) / share / 1000) : 1;
    buf_putf(out,
             "loading_start_time:%lld\r\nloading_total_bytes:%llu\r\nloading_loaded_bytes:%llu\r\n"
             "loading_loaded_perc:%.2f\r\nloading_eta_seconds:%lld\r\n",
             (long long)(k->opens_ms / 1000), (ull)k->total, (ull)k->read, share * 100, left);
}

/* What goes to clients and comes from them; replication is that between the regions. */
static void put_network(struct buf *out, const struct figures *n)
{
    uint64_t in = 0, sent = 0;
    for (unsigned i = 1; i <= REGION_MAX; i++) {
        in += n->links[i].bytes_in;
        sent += n->links[i].bytes_out;
    }
    buf_putf(out,
             "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\n"
             "total_net_repl_input_bytes:%llu\r\ntotal_net_repl_output_bytes:%llu\r\n"
             "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n",
             (ull)n->net_in, (ull)n->net_out, (ull)in, (ull)sent, (double)n->rate_in / 1024,
             (double)n->rate_out / 1024);
}

static void put_stats(struct buf *out, const struct front *f, const struct info *all)
{
    const struct figures *n = &all->figures;
    buf_putf(out,
             "# Stats\r\ntotal_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
             "instantaneous_ops_per_sec:%llu\r\n"
             "rejected_connections:%llu\r\nsync_full:0\r\nsync_partial_ok:0\r\n"
             "sync_partial_err:0\r\nclient_output_buffer_limit_disconnections:%llu\r\nexpired_keys:"
             "%llu\r\nevicted_keys:%llu\r\nevicted_clients:0\r\n",
             (ull)n->connections, (ull)n->commands, (ull)n->rate, (ull)n->refused,
             (ull)n->cut_output, (ull)n->shard.expired, (ull)n->shard.evicted);
    put_network(out, n);
    buf_putf(out,
             "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\npubsub_channels:%u\r\n"
             "pubsub_patterns:%u\r\npubsubshard_channels:%u\r\nlatest_fork_usec:0\r\n"
             "total_forks:0\r\nmigrate_cached_sockets:0\r\ntracking_total_keys:%llu\r\n"
             "tracking_total_items:%llu\r\ntracking_total_prefixes:%u\r\n"
             "unexpected_error_replies:0\r\ntotal_error_replies:%llu\r\ntotal_writes:%llu\r\n"
             "active_defrag_hits:%llu\r\nactive_defrag_misses:%llu\r\n"
             "active_defrag_key_hits:%llu\r\nactive_defrag_key_misses:%llu\r\n",
             (ull)n->shard.hits, (ull)n->shard.misses, f->topics.n[TOPIC_CHANNEL],
             f->topics.n[TOPIC_PATTERN], f->topics.n[TOPIC_SHARD], (ull)n->tracking_keys,
             (ull)n->tracking_items, f->topics.n[TOPIC_PREFIX], (ull)n->errors,
             (ull)n->shard.writes, (ull)n->shard.defrag.hits, (ull)n->shard.defrag.misses,
             (ull)n->shard.defrag.key_hits, (ull)n->shard.defrag.key_misses);
}

static void put_cpu(struct buf *out, const struct info *n)
{
    const struct {
        const char *name;
        uint64_t us;
    } rows[] = {{"sys", n->usage.system_us},
                {"user", n->usage.user_us},
                {"sys_children", n->usage.children_system_us},
                {"user_children", n->usage.children_user_us}};
    buf_put_str(out, "# CPU\r\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        buf_putf(out, "used_cpu_%s:%llu.%06llu\r\n", rows[i].name, (ull)(rows[i].us / 1000000),
                 (ull)(rows[i].us % 1000000));
}

/* ------------------------------------------------------------ commands and errors */

static void put_commandstats(struct buf *out, const struct stats *s)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    buf_put_str(out, "# Commandstats\r\n");
    for (unsigned i = 0; i < n; i++) {
        const struct command_use *u = &s->uses[i];
        if (u->calls == 0 && u->failed == 0 && u->rejected == 0)
            continue;
        buf_putf(out,
                 "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                 "failed_calls=%llu\r\n",
                 all[i]->name, (ull)u->calls, (ull)(u->ns / 1000),
                 u->calls > 0 ? (double)u->ns / 1000 / (double)u->calls : 0, (ull)u->rejected,
                 (ull)u->failed);
    }
}

static void put_errorstats(struct buf *out, const struct stats *s)
{
    buf_put_str(out, "# Errorstats\r\n");
    for (uint32_t i = 0; i < s->errors_count; i++)
        buf_putf(out, "errorstat_%s:count=%llu\r\n", s->errors[i].code, (ull)s->errors[i].n);
}

/* latency-tracking-info-percentiles: "50 99 99.9" */
static void put_percentiles(struct buf *out, const struct histogram *h, const char *shares)
{
    for (const char *p = shares; *p != 0;) {
        size_t n = strcspn(p, " ");
        double share = 0;
        if (n > 0 && num_parse_double(bytes_of(p, n), &share))
            buf_putf(out, "%sp%.*s=%.3f", p == shares ? "" : ",", (int)n, p,
                     (double)histogram_percentile(h, share) / 1000);
        p += n + (p[n] == ' ');
    }
}

static void put_latencystats(struct buf *out, const struct front *f, const struct stats *s)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    buf_put_str(out, "# Latencystats\r\n");
    for (unsigned i = 0; i < n; i++) {
        if (s->uses[i].histogram == NULL || s->uses[i].calls == 0)
            continue;
        buf_putf(out, "latency_percentiles_usec_%s:", all[i]->name);
        put_percentiles(out, s->uses[i].histogram,
                        f->kept.text[CONFIG_LATENCY_TRACKING_INFO_PERCENTILES]);
        buf_put_str(out, "\r\n");
    }
}

static void put_replication(struct buf *out)
{
    buf_put_str(out, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
                     "master_failover_state:no-failover\r\nmaster_repl_offset:0\r\n"
                     "repl_backlog_active:0\r\n");
}

static void put_keyspace(struct buf *out, const struct figures *n)
{
    buf_put_str(out, "# Keyspace\r\n");
    if (n->shard.keys > 0)
        buf_putf(out, "db0:keys=%llu,expires=%llu,avg_ttl=0\r\n", (ull)n->shard.keys,
                 (ull)n->shard.expires);
}

static void put_link(struct buf *out, unsigned region, const struct figures_link *l)
{
    buf_putf(out,
             "crdt_replica_%u:name=%s,state=%s,feeding=%d,lag_ops=%llu,lag_ms=%lld,behind_ms=%lld,"
             "bytes_in=%llu,bytes_out=%llu,ops_in=%llu,ops_out=%llu,reconnects=%llu,"
             "transfers_in=%llu,transfers_out=%llu,relays=%llu,messages_in=%llu,messages_out=%llu,"
             "messages_dropped=%llu,partitions_from_disk=%llu,disk_bytes_left=%llu,"
             "partitions_from_state=%llu,ops_from_disk=%llu,ops_left_out=%llu\r\n",
             region, l->name, l->state, l->feeding, (ull)l->lag_ops, (long long)l->lag_ms,
             (long long)l->behind_ms, (ull)l->bytes_in, (ull)l->bytes_out, (ull)l->ops_in,
             (ull)l->ops_out, (ull)l->reconnects, (ull)l->transfers_in, (ull)l->transfers_out,
             (ull)l->relays, (ull)l->messages_in, (ull)l->messages_out, (ull)l->messages_dropped,
             (ull)l->parts_disk, (ull)l->disk_left, (ull)l->parts_state, (ull)l->ops_disk,
             (ull)l->ops_elided);
}

/* What this region wrote before it lost its newest state and others may have: migrate/earlier.h
 * reads it. */
static void put_earlier(struct buf *out, const struct figures *n)
{
    uint32_t untold = figures_untold(n);
    buf_putf(out,
             "crdt_earlier_lives_open:%llu\r\ncrdt_earlier_lives_seen:%016llx\r\n"
             "crdt_earlier_lives_waits_region:%u\r\ncrdt_earlier_lives_waits_name:%s\r\n",
             (ull)n->earlier_open, (ull)n->earlier_seen, untold,
             untold != 0 ? n->links[untold].name : "");
}

static void put_crdt(struct buf *out, const struct front *f, const struct figures *n)
{
    struct figures_db db = {0};
    f->host.describe(f->host.arg, f, &db);
    uint64_t full = 0, in = 0, out_bytes = 0;
    uint32_t worst = figures_laggard(n);
    for (unsigned i = 0; i <= REGION_MAX; i++) {
        full += n->links[i].transfers_in;
        in += n->links[i].bytes_in;
        out_bytes += n->links[i].bytes_out;
    }
    buf_putf(out,
             "# CRDT\r\ncrdt_guid:%s\r\ncrdt_config_version:%llu\r\ncrdt_slots:0-%u\r\n"
             "crdt_replid:%u\r\ncrdt_incarnation:%u\r\ncrdt_actor:%u\r\ncrdt_partitions:%u\r\n"
             "crdt_clock:%llu\r\ncrdt_stale:%llu\r\ncrdt_sync_full:%llu\r\n"
             "crdt_merge_reqs:%llu\r\ncrdt_effect_reqs:%llu\r\ncrdt_effects_sent:%llu\r\n"
             "crdt_gc_pending:%llu\r\ncrdt_gc_collected:%llu\r\ncrdt_backlog_bytes:%llu\r\n"
             "crdt_conflicts_register:%llu\r\ncrdt_conflicts_type:%llu\r\n"
             "crdt_conflicts_deadline:%llu\r\ncrdt_digest:%016llx%016llx\r\n"
             "crdt_context_hash:%016llx\r\ncrdt_unsettled:%llu\r\n"
             "crdt_link_bytes_in:%llu\r\ncrdt_link_bytes_out:%llu\r\n"
             "crdt_gc_laggard_region:%u\r\ncrdt_gc_laggard_name:%s\r\n"
             "crdt_gc_laggard_partitions:%u\r\ncrdt_gc_held_bytes:%llu\r\n",
             db.guid, (ull)db.version, SLOTS - 1, db.region, db.incarnation, db.actor,
             db.partitions, (ull)n->stamp_max, (ull)n->stale, (ull)full, (ull)n->shard.joins,
             (ull)n->shard.ops_foreign, (ull)n->shard.ops_own, (ull)n->shard.unsettled,
             (ull)n->shard.compacted, (ull)n->log_bytes, (ull)n->shard.conflicts.register_lost,
             (ull)n->shard.conflicts.type_hidden, (ull)n->shard.conflicts.deadline_lost,
             (ull)n->digest_hi, (ull)n->digest_lo, (ull)n->context_hash, (ull)n->shard.unsettled,
             (ull)in, (ull)out_bytes, worst, n->links[worst].name, worst ? n->lagging[worst] : 0,
             (ull)(n->memory.unsettled + n->memory.kept));
    put_earlier(out, n);
    for (unsigned i = 1; i <= REGION_MAX; i++)
        if (n->links[i].name[0] != 0 && n->links[i].state != NULL)
            put_link(out, i, &n->links[i]);
}

static void put_section(struct buf *out, const struct front *f, const struct info *n,
                        enum section section, struct moment now)
{
    switch (section) {
    case SECTION_SERVER:
        put_server(out, f, n, now);
        break;
    case SECTION_CLIENTS:
        put_clients(out, f, n);
        break;
    case SECTION_MEMORY:
        put_memory(out, f, n);
        break;
    case SECTION_PERSISTENCE:
        put_persistence(out, f, &n->figures.keep, now);
        break;
    case SECTION_STATS:
        put_stats(out, f, n);
        break;
    case SECTION_REPLICATION:
        put_replication(out);
        break;
    case SECTION_CPU:
        put_cpu(out, n);
        break;
    case SECTION_MODULES:
        buf_put_str(out, "# Modules\r\n");
        break;
    case SECTION_COMMANDSTATS:
        put_commandstats(out, &n->stats);
        break;
    case SECTION_ERRORSTATS:
        put_errorstats(out, &n->stats);
        break;
    case SECTION_LATENCYSTATS:
        put_latencystats(out, f, &n->stats);
        break;
    case SECTION_CLUSTER:
        buf_put_str(out, "# Cluster\r\ncluster_enabled:0\r\n");
        break;
    case SECTION_KEYSPACE:
        put_keyspace(out, &n->figures);
        break;
    case SECTION_CRDT:
        put_crdt(out, f, &n->figures);
        break;
    case SECTION_COUNT:
        break;
    }
}

static void finish_info(struct front *f, struct answer *a, struct reply *r)
{
    struct info sum = {.figures.keep = FIGURES_KEEP_NONE};
    struct figures one;
    stats_init(&sum.stats);
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (part.n <= sizeof one)
            continue; /* that worker no longer has the database */
        memcpy(&one, part.p, sizeof one);
        figures_add(&sum.figures, &one);
        stats_add(&sum.stats, bytes_of(part.p + sizeof one, part.n - sizeof one));
    }
    f->port->ops->usage(f->port, &sum.usage);
    scripting_figures(f, &sum.scripts);
    struct buf text = {0};
    for (enum section section = 0; section < SECTION_COUNT; section++) {
        if (!(a->aux >> section & 1))
            continue;
        if (buf_len(&text) > 0)
            buf_put_str(&text, "\r\n");
        put_section(&text, f, &sum, section, a->now);
    }
    reply_verbatim(r, buf_bytes(&text));
    buf_deinit(&text);
    stats_deinit(&sum.stats);
}

static uint64_t sections_of(struct bytes name)
{
#define X(upper, lower) #lower,
    static const char *const names[] = {SECTIONS(X)};
#undef X
    for (unsigned i = 0; i < SECTION_COUNT; i++)
        if (bytes_is_nocase(name, names[i]))
            return UINT64_C(1) << i;
    if (bytes_is_nocase(name, "default"))
        return BY_DEFAULT;
    if (bytes_is_nocase(name, "all"))
        return EVERYTHING & ~BIT(MODULES);
    return bytes_is_nocase(name, "everything") ? EVERYTHING : 0;
}

static void info(struct ask *a)
{
    uint64_t sections = a->argc == 1 ? BY_DEFAULT : 0;
    const struct bytes *exact = NULL;
    for (uint32_t i = 1; i < a->argc; i++) {
        uint64_t named = sections_of(a->argv[i]);
        sections |= named;
        exact = named == BIT(CRDT) ? &a->argv[i] : exact;
    }
    route_workers(a, JOB_INFO, exact != NULL, exact, finish_info, sections);
}

const struct session_command cmd_info_commands[] = {
    {"info", info, SESSION_ALONE},
    {NULL, NULL, 0},
};
