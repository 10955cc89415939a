/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_SETTINGS_LIST_H
#define MERIDIAN_PROXY_SETTINGS_LIST_H

/*
 * The settings of Redis 7.0: X(identifier, name, older name, kind of value, rule, least, most, at
 * first, words, where it is set instead). See settings.h.
 */
#define WHY_FILES "each shard has a folder of its own below the node's data folder"
#define WHY_NODE "it is given when the node is started: meridian node --help"
#define WHY_DATABASE                                                                               \
    "it is a property of the database: set it with the REST API (PUT /v1/bdbs/<uid>) or with "     \
    "meridian ctl"
#define WHY_REGIONS "replication to other regions is set up with the REST API (/v1/crdbs)"
#define WHY_SHARDS "shards are a property of the database: REST API, /v1/bdbs"

/* clang-format off */
#define SETTINGS(X) \
    X(ACL_PUBSUB_DEFAULT, "acl-pubsub-default", NULL, VALUE_WORD, SETTING_ACTS, 0, 0, "resetchannels", "allchannels,resetchannels", NULL) \
    X(ACLFILE, "aclfile", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(ACLLOG_MAX_LEN, "acllog-max-len", NULL, VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "128", NULL, NULL) \
    X(ACTIVE_DEFRAG_CYCLE_MAX, "active-defrag-cycle-max", NULL, VALUE_INT, SETTING_ACTS, 1, 99, "25", NULL, NULL) \
    X(ACTIVE_DEFRAG_CYCLE_MIN, "active-defrag-cycle-min", NULL, VALUE_INT, SETTING_ACTS, 1, 99, "1", NULL, NULL) \
    X(ACTIVE_DEFRAG_IGNORE_BYTES, "active-defrag-ignore-bytes", NULL, VALUE_MEMORY, SETTING_ACTS, 1, INT64_MAX, "104857600", NULL, NULL) \
    X(ACTIVE_DEFRAG_MAX_SCAN_FIELDS, "active-defrag-max-scan-fields", NULL, VALUE_INT, SETTING_KEPT, 1, INT64_MAX, "1000", NULL, NULL) \
    X(ACTIVE_DEFRAG_THRESHOLD_LOWER, "active-defrag-threshold-lower", NULL, VALUE_INT, SETTING_ACTS, 0, 1000, "10", NULL, NULL) \
    X(ACTIVE_DEFRAG_THRESHOLD_UPPER, "active-defrag-threshold-upper", NULL, VALUE_INT, SETTING_ACTS, 0, 1000, "100", NULL, NULL) \
    X(ACTIVE_EXPIRE_EFFORT, "active-expire-effort", NULL, VALUE_INT, SETTING_KEPT, 1, 10, "1", NULL, NULL) \
    X(ACTIVEDEFRAG, "activedefrag", NULL, VALUE_BOOL, SETTING_ACTS, 0, 1, "no", NULL, NULL) \
    X(ACTIVEREHASHING, "activerehashing", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(ALWAYS_SHOW_LOGO, "always-show-logo", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "no", NULL, NULL) \
    X(AOF_DISABLE_AUTO_GC, "aof-disable-auto-gc", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(AOF_LOAD_TRUNCATED, "aof-load-truncated", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(AOF_REWRITE_INCREMENTAL_FSYNC, "aof-rewrite-incremental-fsync", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(AOF_TIMESTAMP_ENABLED, "aof-timestamp-enabled", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(AOF_USE_RDB_PREAMBLE, "aof-use-rdb-preamble", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(AOF_REWRITE_CPULIST, "aof_rewrite_cpulist", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(APPENDDIRNAME, "appenddirname", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "appendonlydir", NULL, NULL) \
    X(APPENDFILENAME, "appendfilename", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "appendonly.aof", NULL, NULL) \
    X(APPENDFSYNC, "appendfsync", NULL, VALUE_WORD, SETTING_FIXED, 0, 0, "everysec", "everysec,always,no", WHY_DATABASE) \
    X(APPENDONLY, "appendonly", NULL, VALUE_BOOL, SETTING_FIXED, 0, 1, "no", NULL, WHY_DATABASE) \
    X(AUTO_AOF_REWRITE_MIN_SIZE, "auto-aof-rewrite-min-size", NULL, VALUE_MEMORY, SETTING_KEPT, 0, INT64_MAX, "67108864", NULL, NULL) \
    X(AUTO_AOF_REWRITE_PERCENTAGE, "auto-aof-rewrite-percentage", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "100", NULL, NULL) \
    X(BGSAVE_CPULIST, "bgsave_cpulist", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(BIND, "bind", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "* -::*", NULL, WHY_NODE) \
    X(BIND_SOURCE_ADDR, "bind-source-addr", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_NODE) \
    X(BIO_CPULIST, "bio_cpulist", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(BUSY_REPLY_THRESHOLD, "busy-reply-threshold", "lua-time-limit", VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "5000", NULL, NULL) \
    X(CLIENT_OUTPUT_BUFFER_LIMIT, "client-output-buffer-limit", NULL, VALUE_OUTPUT, SETTING_ACTS, 0, 0, "", NULL, NULL) \
    X(CLIENT_QUERY_BUFFER_LIMIT, "client-query-buffer-limit", NULL, VALUE_MEMORY, SETTING_ACTS, 1 << 20, INT64_MAX, "1073741824", NULL, NULL) \
    X(CLUSTER_ALLOW_PUBSUBSHARD_WHEN_DOWN, "cluster-allow-pubsubshard-when-down", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(CLUSTER_ALLOW_READS_WHEN_DOWN, "cluster-allow-reads-when-down", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(CLUSTER_ALLOW_REPLICA_MIGRATION, "cluster-allow-replica-migration", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(CLUSTER_ANNOUNCE_BUS_PORT, "cluster-announce-bus-port", NULL, VALUE_INT, SETTING_FIXED, 0, 65535, "0", NULL, WHY_SHARDS) \
    X(CLUSTER_ANNOUNCE_HOSTNAME, "cluster-announce-hostname", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_SHARDS) \
    X(CLUSTER_ANNOUNCE_IP, "cluster-announce-ip", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_SHARDS) \
    X(CLUSTER_ANNOUNCE_PORT, "cluster-announce-port", NULL, VALUE_INT, SETTING_FIXED, 0, 65535, "0", NULL, WHY_SHARDS) \
    X(CLUSTER_ANNOUNCE_TLS_PORT, "cluster-announce-tls-port", NULL, VALUE_INT, SETTING_FIXED, 0, 65535, "0", NULL, WHY_SHARDS) \
    X(CLUSTER_CONFIG_FILE, "cluster-config-file", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "nodes.conf", NULL, NULL) \
    X(CLUSTER_ENABLED, "cluster-enabled", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "no", NULL, NULL) \
    X(CLUSTER_LINK_SENDBUF_LIMIT, "cluster-link-sendbuf-limit", NULL, VALUE_MEMORY, SETTING_KEPT, 0, INT64_MAX, "0", NULL, NULL) \
    X(CLUSTER_MIGRATION_BARRIER, "cluster-migration-barrier", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "1", NULL, NULL) \
    X(CLUSTER_NODE_TIMEOUT, "cluster-node-timeout", NULL, VALUE_INT, SETTING_KEPT, 0, INT64_MAX, "15000", NULL, NULL) \
    X(CLUSTER_PORT, "cluster-port", NULL, VALUE_INT, SETTING_FINAL, 0, 65535, "0", NULL, NULL) \
    X(CLUSTER_PREFERRED_ENDPOINT_TYPE, "cluster-preferred-endpoint-type", NULL, VALUE_WORD, SETTING_KEPT, 0, 0, "ip", "ip,hostname,unknown-endpoint", NULL) \
    X(CLUSTER_REPLICA_NO_FAILOVER, "cluster-replica-no-failover", "cluster-slave-no-failover", VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(CLUSTER_REPLICA_VALIDITY_FACTOR, "cluster-replica-validity-factor", "cluster-slave-validity-factor", VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "10", NULL, NULL) \
    X(CLUSTER_REQUIRE_FULL_COVERAGE, "cluster-require-full-coverage", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(CRASH_LOG_ENABLED, "crash-log-enabled", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(CRASH_MEMCHECK_ENABLED, "crash-memcheck-enabled", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(DAEMONIZE, "daemonize", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "no", NULL, NULL) \
    X(DATABASES, "databases", NULL, VALUE_INT, SETTING_FINAL, 1, INT32_MAX, "1", NULL, NULL) \
    X(DBFILENAME, "dbfilename", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "dump.rdb", NULL, WHY_FILES) \
    X(DIR, "dir", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_NODE) \
    X(DISABLE_THP, "disable-thp", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "yes", NULL, NULL) \
    X(DYNAMIC_HZ, "dynamic-hz", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(ENABLE_DEBUG_COMMAND, "enable-debug-command", NULL, VALUE_WORD, SETTING_FINAL, 0, 0, "yes", "no,yes,local", NULL) \
    X(ENABLE_MODULE_COMMAND, "enable-module-command", NULL, VALUE_WORD, SETTING_FINAL, 0, 0, "no", "no,yes,local", NULL) \
    X(ENABLE_PROTECTED_CONFIGS, "enable-protected-configs", NULL, VALUE_WORD, SETTING_FINAL, 0, 0, "no", "no,yes,local", NULL) \
    X(HASH_MAX_LISTPACK_ENTRIES, "hash-max-listpack-entries", "hash-max-ziplist-entries", VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "512", NULL, NULL) \
    X(HASH_MAX_LISTPACK_VALUE, "hash-max-listpack-value", "hash-max-ziplist-value", VALUE_MEMORY, SETTING_ACTS, 0, INT64_MAX, "64", NULL, NULL) \
    X(HLL_SPARSE_MAX_BYTES, "hll-sparse-max-bytes", NULL, VALUE_MEMORY, SETTING_KEPT, 0, INT64_MAX, "3000", NULL, NULL) \
    X(HZ, "hz", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "10", NULL, NULL) \
    X(IGNORE_WARNINGS, "ignore-warnings", NULL, VALUE_TEXT, SETTING_KEPT, 0, 0, "", NULL, NULL) \
    X(IMPORT_MODE, "import-mode", NULL, VALUE_BOOL, SETTING_ACTS, 0, 1, "no", NULL, NULL) \
    X(IO_THREADS, "io-threads", NULL, VALUE_INT, SETTING_FINAL, 1, 128, "1", NULL, WHY_NODE) \
    X(IO_THREADS_DO_READS, "io-threads-do-reads", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "no", NULL, NULL) \
    X(JEMALLOC_BG_THREAD, "jemalloc-bg-thread", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(LATENCY_MONITOR_THRESHOLD, "latency-monitor-threshold", NULL, VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "0", NULL, NULL) \
    X(LATENCY_TRACKING, "latency-tracking", NULL, VALUE_BOOL, SETTING_ACTS, 0, 1, "yes", NULL, NULL) \
    X(LATENCY_TRACKING_INFO_PERCENTILES, "latency-tracking-info-percentiles", NULL, VALUE_PERCENTILES, SETTING_ACTS, 0, 0, "50 99 99.9", NULL, NULL) \
    X(LAZYFREE_LAZY_EVICTION, "lazyfree-lazy-eviction", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(LAZYFREE_LAZY_EXPIRE, "lazyfree-lazy-expire", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(LAZYFREE_LAZY_SERVER_DEL, "lazyfree-lazy-server-del", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(LAZYFREE_LAZY_USER_DEL, "lazyfree-lazy-user-del", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(LAZYFREE_LAZY_USER_FLUSH, "lazyfree-lazy-user-flush", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(LFU_DECAY_TIME, "lfu-decay-time", NULL, VALUE_INT, SETTING_ACTS, 0, INT32_MAX, "1", NULL, NULL) \
    X(LFU_LOG_FACTOR, "lfu-log-factor", NULL, VALUE_INT, SETTING_ACTS, 0, INT32_MAX, "10", NULL, NULL) \
    X(LIST_COMPRESS_DEPTH, "list-compress-depth", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "0", NULL, NULL) \
    X(LIST_MAX_LISTPACK_SIZE, "list-max-listpack-size", "list-max-ziplist-size", VALUE_INT, SETTING_ACTS, INT32_MIN, INT32_MAX, "-2", NULL, NULL) \
    X(LOGFILE, "logfile", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(LOGLEVEL, "loglevel", NULL, VALUE_WORD, SETTING_KEPT, 0, 0, "notice", "debug,verbose,notice,warning,nothing", NULL) \
    X(MASTERAUTH, "masterauth", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_REGIONS) \
    X(MASTERUSER, "masteruser", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_REGIONS) \
    X(MAXCLIENTS, "maxclients", NULL, VALUE_INT, SETTING_ACTS, 1, UINT32_MAX, "10000", NULL, NULL) \
    X(MAXMEMORY, "maxmemory", NULL, VALUE_MEMORY, SETTING_ACTS, 0, INT64_MAX, "0", NULL, NULL) \
    X(MAXMEMORY_CLIENTS, "maxmemory-clients", NULL, VALUE_PERCENT, SETTING_KEPT, 0, INT64_MAX, "0", NULL, NULL) \
    X(MAXMEMORY_EVICTION_TENACITY, "maxmemory-eviction-tenacity", NULL, VALUE_INT, SETTING_KEPT, 0, 100, "10", NULL, NULL) \
    X(MAXMEMORY_POLICY, "maxmemory-policy", NULL, VALUE_WORD, SETTING_ACTS, 0, 0, "noeviction", "volatile-lru,volatile-lfu,volatile-random,volatile-ttl,allkeys-lru,allkeys-lfu,allkeys-random,noeviction", NULL) \
    X(MAXMEMORY_SAMPLES, "maxmemory-samples", NULL, VALUE_INT, SETTING_ACTS, 1, INT32_MAX, "5", NULL, NULL) \
    X(MIN_REPLICAS_MAX_LAG, "min-replicas-max-lag", "min-slaves-max-lag", VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "10", NULL, NULL) \
    X(MIN_REPLICAS_TO_WRITE, "min-replicas-to-write", "min-slaves-to-write", VALUE_INT, SETTING_FIXED, 0, INT32_MAX, "0", NULL, "there are no replicas of that kind; CRDT.WAIT waits for regions") \
    X(NO_APPENDFSYNC_ON_REWRITE, "no-appendfsync-on-rewrite", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(NOTIFY_KEYSPACE_EVENTS, "notify-keyspace-events", NULL, VALUE_EVENTS, SETTING_ACTS, 0, 0, "", NULL, NULL) \
    X(OOM_SCORE_ADJ, "oom-score-adj", NULL, VALUE_WORD, SETTING_FIXED, 0, 0, "no", "no,yes,relative,absolute", WHY_NODE) \
    X(OOM_SCORE_ADJ_VALUES, "oom-score-adj-values", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "0 200 800", NULL, WHY_NODE) \
    X(PIDFILE, "pidfile", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(PORT, "port", NULL, VALUE_INT, SETTING_FIXED, 0, 65535, "0", NULL, WHY_DATABASE) \
    X(PROC_TITLE_TEMPLATE, "proc-title-template", NULL, VALUE_TEXT, SETTING_KEPT, 0, 0, "{title} {listen-addr} {server-mode}", NULL, NULL) \
    X(PROPAGATION_ERROR_BEHAVIOR, "propagation-error-behavior", NULL, VALUE_WORD, SETTING_KEPT, 0, 0, "ignore", "ignore,panic,panic-on-replicas", NULL) \
    X(PROTECTED_MODE, "protected-mode", NULL, VALUE_BOOL, SETTING_FIXED, 0, 1, "no", NULL, WHY_NODE) \
    X(PROTO_MAX_BULK_LEN, "proto-max-bulk-len", NULL, VALUE_MEMORY, SETTING_ACTS, 1 << 20, 1 << 30, "536870912", NULL, NULL) \
    X(RDB_DEL_SYNC_FILES, "rdb-del-sync-files", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(RDB_SAVE_INCREMENTAL_FSYNC, "rdb-save-incremental-fsync", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(RDBCHECKSUM, "rdbchecksum", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "yes", NULL, NULL) \
    X(RDBCOMPRESSION, "rdbcompression", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(REPL_BACKLOG_SIZE, "repl-backlog-size", NULL, VALUE_MEMORY, SETTING_KEPT, 1, INT64_MAX, "1048576", NULL, NULL) \
    X(REPL_BACKLOG_TTL, "repl-backlog-ttl", NULL, VALUE_INT, SETTING_KEPT, 0, INT64_MAX, "3600", NULL, NULL) \
    X(REPL_DISABLE_TCP_NODELAY, "repl-disable-tcp-nodelay", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(REPL_DISKLESS_LOAD, "repl-diskless-load", NULL, VALUE_WORD, SETTING_KEPT, 0, 0, "disabled", "disabled,on-empty-db,swapdb", NULL) \
    X(REPL_DISKLESS_SYNC, "repl-diskless-sync", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(REPL_DISKLESS_SYNC_DELAY, "repl-diskless-sync-delay", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "5", NULL, NULL) \
    X(REPL_DISKLESS_SYNC_MAX_REPLICAS, "repl-diskless-sync-max-replicas", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "0", NULL, NULL) \
    X(REPL_PING_REPLICA_PERIOD, "repl-ping-replica-period", "repl-ping-slave-period", VALUE_INT, SETTING_KEPT, 1, INT32_MAX, "10", NULL, NULL) \
    X(REPL_TIMEOUT, "repl-timeout", NULL, VALUE_INT, SETTING_KEPT, 1, INT32_MAX, "60", NULL, NULL) \
    X(REPLICA_ANNOUNCE_IP, "replica-announce-ip", "slave-announce-ip", VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_REGIONS) \
    X(REPLICA_ANNOUNCE_PORT, "replica-announce-port", "slave-announce-port", VALUE_INT, SETTING_FIXED, 0, 65535, "0", NULL, WHY_REGIONS) \
    X(REPLICA_ANNOUNCED, "replica-announced", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(REPLICA_IGNORE_DISK_WRITE_ERRORS, "replica-ignore-disk-write-errors", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(REPLICA_IGNORE_MAXMEMORY, "replica-ignore-maxmemory", "slave-ignore-maxmemory", VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(REPLICA_LAZY_FLUSH, "replica-lazy-flush", "slave-lazy-flush", VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(REPLICA_PRIORITY, "replica-priority", "slave-priority", VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "100", NULL, NULL) \
    X(REPLICA_READ_ONLY, "replica-read-only", "slave-read-only", VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(REPLICA_SERVE_STALE_DATA, "replica-serve-stale-data", "slave-serve-stale-data", VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(REPLICAOF, "replicaof", "slaveof", VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(REQUIREPASS, "requirepass", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(SANITIZE_DUMP_PAYLOAD, "sanitize-dump-payload", NULL, VALUE_WORD, SETTING_KEPT, 0, 0, "no", "no,yes,clients", NULL) \
    X(SAVE, "save", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(SERVER_CPULIST, "server_cpulist", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(SET_MAX_INTSET_ENTRIES, "set-max-intset-entries", NULL, VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "512", NULL, NULL) \
    X(SET_PROC_TITLE, "set-proc-title", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "yes", NULL, NULL) \
    X(SHUTDOWN_ON_SIGINT, "shutdown-on-sigint", NULL, VALUE_WORD, SETTING_FIXED, 0, 0, "default", "default,save,nosave,now,force", WHY_NODE) \
    X(SHUTDOWN_ON_SIGTERM, "shutdown-on-sigterm", NULL, VALUE_WORD, SETTING_FIXED, 0, 0, "default", "default,save,nosave,now,force", WHY_NODE) \
    X(SHUTDOWN_TIMEOUT, "shutdown-timeout", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "10", NULL, NULL) \
    X(SLOWLOG_LOG_SLOWER_THAN, "slowlog-log-slower-than", NULL, VALUE_INT, SETTING_ACTS, -1, INT64_MAX, "10000", NULL, NULL) \
    X(SLOWLOG_MAX_LEN, "slowlog-max-len", NULL, VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "128", NULL, NULL) \
    X(SOCKET_MARK_ID, "socket-mark-id", NULL, VALUE_INT, SETTING_KEPT, 0, UINT32_MAX, "0", NULL, NULL) \
    X(STOP_WRITES_ON_BGSAVE_ERROR, "stop-writes-on-bgsave-error", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(STREAM_NODE_MAX_BYTES, "stream-node-max-bytes", NULL, VALUE_MEMORY, SETTING_KEPT, 0, INT64_MAX, "4096", NULL, NULL) \
    X(STREAM_NODE_MAX_ENTRIES, "stream-node-max-entries", NULL, VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "100", NULL, NULL) \
    X(SUPERVISED, "supervised", NULL, VALUE_WORD, SETTING_FINAL, 0, 0, "no", "upstart,systemd,auto,no", NULL) \
    X(SYSLOG_ENABLED, "syslog-enabled", NULL, VALUE_BOOL, SETTING_FINAL, 0, 1, "no", NULL, NULL) \
    X(SYSLOG_FACILITY, "syslog-facility", NULL, VALUE_WORD, SETTING_FINAL, 0, 0, "local0", "user,local0,local1,local2,local3,local4,local5,local6,local7", NULL) \
    X(SYSLOG_IDENT, "syslog-ident", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "redis", NULL, NULL) \
    X(TCP_BACKLOG, "tcp-backlog", NULL, VALUE_INT, SETTING_FINAL, 0, INT32_MAX, "511", NULL, NULL) \
    X(TCP_KEEPALIVE, "tcp-keepalive", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "300", NULL, NULL) \
    X(TIMEOUT, "timeout", NULL, VALUE_INT, SETTING_ACTS, 0, INT32_MAX, "0", NULL, NULL) \
    X(TLS_AUTH_CLIENTS, "tls-auth-clients", NULL, VALUE_WORD, SETTING_FIXED, 0, 0, "no", "no,yes,optional", WHY_DATABASE) \
    X(TLS_CA_CERT_DIR, "tls-ca-cert-dir", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CA_CERT_FILE, "tls-ca-cert-file", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CERT_FILE, "tls-cert-file", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CIPHERS, "tls-ciphers", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CIPHERSUITES, "tls-ciphersuites", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CLIENT_CERT_FILE, "tls-client-cert-file", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CLIENT_KEY_FILE, "tls-client-key-file", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CLIENT_KEY_FILE_PASS, "tls-client-key-file-pass", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_CLUSTER, "tls-cluster", NULL, VALUE_BOOL, SETTING_FIXED, 0, 1, "no", NULL, WHY_DATABASE) \
    X(TLS_DH_PARAMS_FILE, "tls-dh-params-file", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_KEY_FILE, "tls-key-file", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_KEY_FILE_PASS, "tls-key-file-pass", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_PORT, "tls-port", NULL, VALUE_INT, SETTING_FIXED, 0, 65535, "0", NULL, WHY_DATABASE) \
    X(TLS_PREFER_SERVER_CIPHERS, "tls-prefer-server-ciphers", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "no", NULL, NULL) \
    X(TLS_PROTOCOLS, "tls-protocols", NULL, VALUE_TEXT, SETTING_FIXED, 0, 0, "", NULL, WHY_DATABASE) \
    X(TLS_REPLICATION, "tls-replication", NULL, VALUE_BOOL, SETTING_FIXED, 0, 1, "no", NULL, WHY_DATABASE) \
    X(TLS_SESSION_CACHE_SIZE, "tls-session-cache-size", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "20480", NULL, NULL) \
    X(TLS_SESSION_CACHE_TIMEOUT, "tls-session-cache-timeout", NULL, VALUE_INT, SETTING_KEPT, 0, INT32_MAX, "300", NULL, NULL) \
    X(TLS_SESSION_CACHING, "tls-session-caching", NULL, VALUE_BOOL, SETTING_KEPT, 0, 1, "yes", NULL, NULL) \
    X(TRACKING_TABLE_MAX_KEYS, "tracking-table-max-keys", NULL, VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "1000000", NULL, NULL) \
    X(UNIXSOCKET, "unixsocket", NULL, VALUE_TEXT, SETTING_FINAL, 0, 0, "", NULL, NULL) \
    X(UNIXSOCKETPERM, "unixsocketperm", NULL, VALUE_INT, SETTING_FINAL, 0, 777, "0", NULL, NULL) \
    X(ZSET_MAX_LISTPACK_ENTRIES, "zset-max-listpack-entries", "zset-max-ziplist-entries", VALUE_INT, SETTING_ACTS, 0, INT64_MAX, "128", NULL, NULL) \
    X(ZSET_MAX_LISTPACK_VALUE, "zset-max-listpack-value", "zset-max-ziplist-value", VALUE_MEMORY, SETTING_ACTS, 0, INT64_MAX, "64", NULL, NULL)
/* clang-format on */

#endif
