/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/version.h"
#include "proxy/route.h"

#include <stdio.h>

/* INFO: https://redis.io/docs/latest/commands/info/, with a `crdt` section whose names are Redis
 * Enterprise's where they mean the same. Fields that monitoring tools read are there even where
 * they can only be 0; what is not measured (processor time, fragmentation) is left out. */

enum section {
    SECTION_SERVER = 1,
    SECTION_CLIENTS = 2,
    SECTION_MEMORY = 4,
    SECTION_PERSISTENCE = 8,
    SECTION_STATS = 16,
    SECTION_REPLICATION = 32,
    SECTION_CPU = 64,
    SECTION_CLUSTER = 128,
    SECTION_KEYSPACE = 256,
    SECTION_CRDT = 512,
    SECTION_ALL = 1023,
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

static void put_server(struct buf *out, const struct front *f, struct moment now)
{
    uint64_t up = (now.mono_us - f->born.mono_us) / 1000000;
    buf_putf(out,
             "# Server\r\nredis_version:%s\r\nmeridian_version:%s\r\nredis_mode:standalone\r\n"
             "os:Linux\r\narch_bits:64\r\nmultiplexing_api:libuv\r\nprocess_supervised:no\r\n"
             "tcp_port:%u\r\nserver_time_usec:%lld\r\nuptime_in_seconds:%llu\r\n"
             "uptime_in_days:%llu\r\nhz:10\r\nconfigured_hz:10\r\nio_threads_active:0\r\n"
             "workers:%u\r\n",
             REDIS_VERSION, MERIDIAN_VERSION, f->settings.port, (long long)now.wall_ms * 1000,
             (ull)up, (ull)(up / 86400), courier_workers(f->courier));
}

static void put_clients(struct buf *out, const struct front *f, const struct figures *n)
{
    buf_putf(out,
             "# Clients\r\nconnected_clients:%llu\r\ncluster_connections:0\r\nmaxclients:%llu\r\n"
             "client_recent_max_input_buffer:%llu\r\nclient_recent_max_output_buffer:%llu\r\n"
             "blocked_clients:%llu\r\ntracking_clients:%llu\r\nclients_in_timeout_table:0\r\n",
             (ull)n->clients, (ull)f->settings.clients_max, (ull)n->input_bytes,
             (ull)n->output_bytes, (ull)n->blocked,
             (ull)topic_count(f->topics.first[TOPIC_TRACKERS]));
}

static void put_memory(struct buf *out, const struct front *f, const struct figures *n)
{
    char used[32], most[32];
    uint64_t bytes = mem_used();
    struct scripting_figures scripts; /* functions and engines run in the same state of Lua */
    scripting_figures(f, &scripts);
    human(used, sizeof used, bytes);
    human(most, sizeof most, f->settings.memory_max);
    buf_putf(out,
             "# Memory\r\nused_memory:%llu\r\nused_memory_human:%s\r\nmaxmemory:%llu\r\n"
             "maxmemory_human:%s\r\nmaxmemory_policy:noeviction\r\n"
             "used_memory_lua:%llu\r\nused_memory_vm_eval:%llu\r\n"
             "used_memory_scripts_eval:%llu\r\nnumber_of_cached_scripts:%llu\r\n"
             "number_of_functions:%llu\r\nnumber_of_libraries:%llu\r\n"
             "used_memory_vm_functions:0\r\nused_memory_vm_total:%llu\r\n"
             "used_memory_scripts:%llu\r\n"
             "mem_replication_backlog:%llu\r\nmem_clients_normal:%llu\r\n"
             "mem_allocator:jemalloc\r\nactive_defrag_running:0\r\nlazyfree_pending_objects:0\r\n",
             (ull)bytes, used, (ull)f->settings.memory_max, most, (ull)n->lua_bytes,
             (ull)n->lua_bytes, (ull)scripts.scripts_bytes, (ull)scripts.scripts,
             (ull)scripts.functions, (ull)scripts.libraries, (ull)n->lua_bytes,
             (ull)(n->lua_bytes + scripts.scripts_bytes), (ull)n->log_bytes,
             (ull)(n->input_bytes + n->output_bytes));
}

static void put_persistence(struct buf *out)
{
    buf_put_str(out, "# Persistence\r\nloading:0\r\nasync_loading:0\r\n"
                     "rdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
                     "rdb_last_save_time:0\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\n"
                     "aof_rewrite_in_progress:0\r\naof_last_write_status:ok\r\n");
}

static void put_stats(struct buf *out, const struct front *f, const struct figures *n)
{
    buf_putf(out,
             "# Stats\r\ntotal_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
             "total_net_input_bytes:%llu\r\nrejected_connections:%llu\r\nsync_full:0\r\n"
             "sync_partial_ok:0\r\nsync_partial_err:0\r\nexpired_keys:%llu\r\nevicted_keys:0\r\n"
             "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\npubsub_channels:%u\r\n"
             "pubsub_patterns:%u\r\npubsubshard_channels:%u\r\n"
             "tracking_total_keys:%llu\r\ntracking_total_items:%llu\r\n"
             "tracking_total_prefixes:%u\r\ntotal_writes:%llu\r\n",
             (ull)n->connections, (ull)n->commands, (ull)n->net_in, (ull)n->refused,
             (ull)n->shard.expired, (ull)n->shard.hits, (ull)n->shard.misses,
             f->topics.n[TOPIC_CHANNEL], f->topics.n[TOPIC_PATTERN], f->topics.n[TOPIC_SHARD],
             (ull)n->tracking_keys, (ull)n->tracking_items, f->topics.n[TOPIC_PREFIX],
             (ull)n->shard.writes);
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
             "messages_dropped=%llu\r\n",
             region, l->name, l->state, l->feeding, (ull)l->lag_ops, (long long)l->lag_ms,
             (long long)l->behind_ms, (ull)l->bytes_in, (ull)l->bytes_out, (ull)l->ops_in,
             (ull)l->ops_out, (ull)l->reconnects, (ull)l->transfers_in, (ull)l->transfers_out,
             (ull)l->relays, (ull)l->messages_in, (ull)l->messages_out, (ull)l->messages_dropped);
}

/* The region for which compaction waits in most partitions; 0: in none. */
static uint32_t laggard(const struct figures *n)
{
    uint32_t worst = 0;
    for (uint32_t r = 1; r <= REGION_MAX; r++)
        if (n->lagging[r] > (worst == 0 ? 0 : n->lagging[worst]))
            worst = r;
    return worst;
}

static void put_crdt(struct buf *out, const struct front *f, const struct figures *n)
{
    struct figures_db db = {0};
    f->host.describe(f->host.arg, f, &db);
    uint64_t full = 0, in = 0, out_bytes = 0;
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
             "crdt_gc_laggard_region:%u\r\n",
             db.guid, (ull)db.version, SLOTS - 1, db.region, db.incarnation, db.actor,
             db.partitions, (ull)n->stamp_max, (ull)n->stale, (ull)full, (ull)n->shard.joins,
             (ull)n->shard.ops_foreign, (ull)n->shard.ops_own, (ull)n->shard.unsettled,
             (ull)n->shard.compacted, (ull)n->log_bytes, (ull)n->shard.conflicts.register_lost,
             (ull)n->shard.conflicts.type_hidden, (ull)n->shard.conflicts.deadline_lost,
             (ull)n->digest_hi, (ull)n->digest_lo, (ull)n->context_hash, (ull)n->shard.unsettled,
             (ull)in, (ull)out_bytes, laggard(n));
    for (unsigned i = 1; i <= REGION_MAX; i++)
        if (n->links[i].name[0] != 0 && n->links[i].state != NULL)
            put_link(out, i, &n->links[i]);
}

static void put_sections(struct buf *out, const struct front *f, const struct figures *n,
                         uint64_t sections, struct moment now)
{
    for (uint64_t one = 1; one < SECTION_ALL; one *= 2) {
        if (!(sections & one))
            continue;
        if (buf_len(out) > 0)
            buf_put_str(out, "\r\n");
        if (one == SECTION_SERVER)
            put_server(out, f, now);
        else if (one == SECTION_CLIENTS)
            put_clients(out, f, n);
        else if (one == SECTION_MEMORY)
            put_memory(out, f, n);
        else if (one == SECTION_PERSISTENCE)
            put_persistence(out);
        else if (one == SECTION_STATS)
            put_stats(out, f, n);
        else if (one == SECTION_REPLICATION)
            put_replication(out);
        else if (one == SECTION_CPU)
            buf_put_str(out, "# CPU\r\n");
        else if (one == SECTION_CLUSTER)
            buf_put_str(out, "# Cluster\r\ncluster_enabled:0\r\n");
        else if (one == SECTION_KEYSPACE)
            put_keyspace(out, n);
        else
            put_crdt(out, f, n);
    }
}

static void finish_info(struct front *f, struct answer *a, struct reply *r)
{
    struct figures sum = {0}, one;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (part.n != sizeof one)
            continue; /* that worker no longer has the database */
        memcpy(&one, part.p, sizeof one);
        figures_add(&sum, &one);
    }
    struct buf text = {0};
    put_sections(&text, f, &sum, a->aux, a->now);
    reply_verbatim(r, buf_bytes(&text));
    buf_deinit(&text);
}

static uint64_t section_of(struct bytes name)
{
    static const struct {
        const char *name;
        uint64_t section;
    } all[] = {
        {"server", SECTION_SERVER},     {"clients", SECTION_CLIENTS},
        {"memory", SECTION_MEMORY},     {"persistence", SECTION_PERSISTENCE},
        {"stats", SECTION_STATS},       {"replication", SECTION_REPLICATION},
        {"cpu", SECTION_CPU},           {"cluster", SECTION_CLUSTER},
        {"keyspace", SECTION_KEYSPACE}, {"crdt", SECTION_CRDT},
        {"default", SECTION_ALL},       {"all", SECTION_ALL},
        {"everything", SECTION_ALL},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (bytes_is_nocase(name, all[i].name))
            return all[i].section;
    return 0;
}

static void info(struct ask *a)
{
    uint64_t sections = a->argc == 1 ? (uint64_t)SECTION_ALL : 0;
    for (uint32_t i = 1; i < a->argc; i++)
        sections |= section_of(a->argv[i]);
    route_workers(a, JOB_FIGURES, 0, NULL, finish_info, sections);
}

const struct session_command cmd_info_commands[] = {
    {"info", info, SESSION_ALONE},
    {NULL, NULL, 0},
};
