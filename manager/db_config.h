/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_DB_CONFIG_H
#define MERIDIAN_MANAGER_DB_CONFIG_H

#include "manager/control_wire.h"
#include "manager/fields.h"

/*
 * The settings of a database as REST names them, read from and written as JSON by one table: of a
 * database, of all regions of a geo-distributed one (default_db_config), and of one of its regions
 * (db_config) alike.
 */
#define SHARDS_MAX 64u

/* Places in the tables of names that REST takes and shows. */
enum data_persistence { DATA_DISABLED, DATA_AOF, DATA_SNAPSHOT };
enum aof_policy { AOF_SECOND, AOF_ALWAYS, AOF_NO };

struct snapshot_policy {
    uint32_t count; /* 0: the default, see db_config_rules */
    struct snapshot_rule rules[SNAPSHOT_RULES_MAX];
};

/* `set` tells which members were given (bits of db_config_fields). */
struct db_config {
    uint64_t set;
    uint64_t memory_size; /* bytes, 0: no limit */
    uint32_t shards_count;
    uint16_t port; /* 0: any free one */
    char authentication_redis_pass[200];
    uint64_t max_connections;
    uint64_t crdt_repl_backlog_size; /* 0: auto */
    bool publish_across_regions;     /* PUBLISH reaches the other regions' subscribers */
    char xadd_id_uniqueness[16];     /* "": strict with several regions, else liberal */
    char tls_mode[16];               /* "enabled" or "disabled": TLS for clients */
    uint32_t data_persistence;       /* enum data_persistence */
    uint32_t aof_policy;             /* enum aof_policy; in force where data_persistence is aof */
    struct snapshot_policy snapshot_policy;
    uint64_t max_aof_file_size; /* of a shard's log since its snapshot: then it takes the next;
                                   0: auto */
    uint64_t log_retention;     /* bytes of log kept for regions that are away; 0: auto */
    uint32_t eviction_policy;   /* enum eviction */
    uint32_t replication_oom_threshold_percent; /* of memory_size, which only peers' writes may
                                                   fill */
};
extern const struct field db_config_fields[];

/* What is so unless somebody says otherwise; also for what an earlier release's file does not say.
 * `set` is 0. */
struct db_config db_config_defaults(void);
bool db_config_read(const json_t *object, struct db_config *out, const char *what,
                    struct refusal *why);
json_t *db_config_write(const struct db_config *c); /* only what is set */
/* Members set in `over` replace those of `base`. */
void db_config_merge(struct db_config *base, const struct db_config *over);

/* What xadd_id_uniqueness says: its place among "" (0), strict, semi-strict, liberal; -1 none of
 * them. */
int db_config_xadd_ids(const struct db_config *c);
const char *eviction_name(uint32_t kind); /* of enum eviction; "?" none of them */
enum persistence db_config_persistence(const struct db_config *c);
/* When snapshots are due, beside the log's growth: what was given, else, where there are only
 * snapshots, one an hour in which there were writes. `out` has room for SNAPSHOT_RULES_MAX; returns
 * how many. */
uint32_t db_config_rules(const struct db_config *c, struct snapshot_rule *out);

#endif
