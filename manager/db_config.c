/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/db_config.h"

#include <stdio.h>

#define MEMORY_MAX ((uint64_t)1 << 46)
#define RULE_SECONDS_MAX (366u * 86400u)
#define CLIENTS_MAX 10000u
#define LOG_SIZE_MIN (1u << 20) /* less would be a snapshot for every few writes */
#define OOM_THRESHOLD 5u
#define OOM_THRESHOLD_MAX 20u

static const char *const persistence_names[] = {"disabled", "aof", "snapshot", NULL};
static const char *const policy_names[] = {"appendfsync-every-sec", "appendfsync-always",
                                           "appendfsync-no", NULL};
static const char *const eviction_names[] = {"noeviction",      "allkeys-lru",  "allkeys-lfu",
                                             "allkeys-random",  "volatile-lru", "volatile-lfu",
                                             "volatile-random", "volatile-ttl", NULL};
_Static_assert(sizeof eviction_names / sizeof eviction_names[0] == EVICTION_KINDS + 1u,
               "a name for each enum eviction");

const char *eviction_name(uint32_t kind)
{
    return kind < EVICTION_KINDS ? eviction_names[kind] : "?";
}

/* ------------------------------------------------------------ snapshot_policy */

static const struct field rule_fields[] = {
    FIELD_AS(snapshot_rule, "secs", seconds, FIELD_U32, 1, RULE_SECONDS_MAX),
    FIELD_AS(snapshot_rule, "writes", writes, FIELD_U64, 1, INT64_MAX),
    FIELD_END,
};

static bool rules_read(const json_t *v, void *out, const char *name, struct refusal *why)
{
    struct snapshot_policy policy = {0};
    char what[160];
    if (!json_is_array(v) || json_array_size(v) > SNAPSHOT_RULES_MAX)
        return refuse(why, 400, "invalid_schema",
                      "%s: an array of up to %u rules is expected, as [{\"secs\": 3600, "
                      "\"writes\": 1}]",
                      name, SNAPSHOT_RULES_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct snapshot_rule *r = &policy.rules[policy.count++];
        uint64_t set;
        snprintf(what, sizeof what, "%s[%zu]", name, i);
        if (!fields_read(json_array_get(v, i), rule_fields, r, &set, what, why))
            return false;
        if (set != 3)
            return refuse(why, 400, "invalid_schema", "%s: secs and writes are expected", what);
    }
    memcpy(out, &policy, sizeof policy);
    return true;
}

static json_t *rules_write(const void *in)
{
    const struct snapshot_policy *policy = in;
    json_t *list = json_array();
    for (uint32_t i = 0; i < policy->count; i++) {
        json_t *o = json_object();
        fields_write(o, rule_fields, &policy->rules[i]);
        json_array_append_new(list, o);
    }
    return list;
}

static const struct field_value rules_value = {.read = rules_read, .write = rules_write};

/* ------------------------------------------------------------ the table */

const struct field db_config_fields[] = {
    FIELD(db_config, memory_size, FIELD_SIZE, 0, MEMORY_MAX),
    FIELD(db_config, shards_count, FIELD_U32, 1, SHARDS_MAX),
    FIELD(db_config, port, FIELD_U16, 0, 65535),
    FIELD_TEXT(db_config, authentication_redis_pass, 0),
    FIELD(db_config, max_connections, FIELD_U64, 0, 1000000),
    FIELD(db_config, crdt_repl_backlog_size, FIELD_SIZE, 0, MEMORY_MAX),
    FIELD_TEXT(db_config, tls_mode, 0),
    FIELD(db_config, publish_across_regions, FIELD_BOOL, 0, 0),
    FIELD_TEXT(db_config, xadd_id_uniqueness, 0),
    FIELD_ONE_OF(db_config, data_persistence, persistence_names),
    FIELD_ONE_OF(db_config, aof_policy, policy_names),
    FIELD_OF(db_config, snapshot_policy, &rules_value),
    FIELD(db_config, max_aof_file_size, FIELD_SIZE, 0, MEMORY_MAX),
    FIELD(db_config, log_retention, FIELD_SIZE, 0, MEMORY_MAX),
    FIELD_ONE_OF(db_config, eviction_policy, eviction_names),
    FIELD(db_config, replication_oom_threshold_percent, FIELD_U32, 0, OOM_THRESHOLD_MAX),
    FIELD_ONLY("type", "\"redis\""),
    FIELD_ONLY("replication", "false"),
    FIELD_ONLY("proxy_policy", "\"single\""),
    FIELD_ONLY("oss_cluster", "false"),
    FIELD_ONLY("bigstore", "false"),
    FIELD_ONLY("rack_aware", "false"),
    FIELD_ONLY("module_list", "[]"),
    FIELD_ONLY("default_user", "true"),
    FIELD_SKIP("sharding"),
    FIELD_SKIP("shard_key_regex"),
    FIELD_SKIP("shards_placement"),
    FIELD_SKIP("hash_slots_policy"),
    FIELD_SKIP("oss_sharding"),
    FIELD_END,
};

/* The members that hold something: the entries before the first FIELD_ONLY. */
#define STORED_COUNT 16u
#define CONFIG_STORED ((UINT64_C(1) << STORED_COUNT) - 1)

struct db_config db_config_defaults(void)
{
    return (struct db_config){.shards_count = 1,
                              .tls_mode = "disabled",
                              .max_connections = CLIENTS_MAX,
                              .publish_across_regions = true,
                              .replication_oom_threshold_percent = OOM_THRESHOLD};
}

int db_config_xadd_ids(const struct db_config *c)
{
    static const char *const names[] = {"", "strict", "semi-strict", "liberal"};
    for (int i = 0; i < 4; i++)
        if (strcmp(c->xadd_id_uniqueness, names[i]) == 0)
            return i;
    return -1;
}

enum persistence db_config_persistence(const struct db_config *c)
{
    if (c->data_persistence == DATA_DISABLED)
        return PERSIST_OFF;
    if (c->data_persistence == DATA_SNAPSHOT || c->aof_policy == AOF_NO)
        return PERSIST_SNAPSHOT;
    return c->aof_policy == AOF_ALWAYS ? PERSIST_ALWAYS : PERSIST_SECOND;
}

uint32_t db_config_rules(const struct db_config *c, struct snapshot_rule *out)
{
    const struct snapshot_policy *p = &c->snapshot_policy;
    if (c->data_persistence == DATA_DISABLED)
        return 0;
    memcpy(out, p->rules, p->count * sizeof p->rules[0]);
    if (p->count > 0 || c->data_persistence != DATA_SNAPSHOT)
        return p->count;
    out[0] = (struct snapshot_rule){.seconds = 3600, .writes = 1};
    return 1;
}

bool db_config_read(const json_t *object, struct db_config *out, const char *what,
                    struct refusal *why)
{
    uint64_t set = 0;
    if (!fields_read(object, db_config_fields, out, &set, what, why))
        return false;
    out->set |= set & CONFIG_STORED;
    if (out->tls_mode[0] && strcmp(out->tls_mode, "enabled") != 0 &&
        strcmp(out->tls_mode, "disabled") != 0)
        return refuse(why, 400, "invalid_schema",
                      "%s%stls_mode: \"enabled\" or \"disabled\" is expected", what,
                      *what ? "." : "");
    if (out->max_aof_file_size != 0 && out->max_aof_file_size < LOG_SIZE_MIN)
        return refuse(why, 400, "invalid_schema",
                      "%s%smax_aof_file_size: \"auto\" or at least %u bytes are expected", what,
                      *what ? "." : "", LOG_SIZE_MIN);
    if (db_config_xadd_ids(out) < 0)
        return refuse(why, 400, "invalid_schema",
                      "%s%sxadd_id_uniqueness: \"strict\", \"semi-strict\", \"liberal\" or \"\" "
                      "(strict with several regions, else liberal) is expected",
                      what, *what ? "." : "");
    return true;
}

json_t *db_config_write(const struct db_config *c)
{
    json_t *o = json_object();
    fields_write_set(o, db_config_fields, c, c->set);
    return o;
}

#define MERGE(member)                                                                              \
    if (over->set & fields_bit(db_config_fields, #member))                                         \
    memcpy(&base->member, &over->member, sizeof base->member)

void db_config_merge(struct db_config *base, const struct db_config *over)
{
    MERGE(memory_size);
    MERGE(shards_count);
    MERGE(port);
    MERGE(authentication_redis_pass);
    MERGE(max_connections);
    MERGE(crdt_repl_backlog_size);
    MERGE(publish_across_regions);
    MERGE(xadd_id_uniqueness);
    MERGE(tls_mode);
    MERGE(data_persistence);
    MERGE(aof_policy);
    MERGE(snapshot_policy);
    MERGE(max_aof_file_size);
    MERGE(log_retention);
    MERGE(eviction_policy);
    MERGE(replication_oom_threshold_percent);
    base->set |= over->set;
}
