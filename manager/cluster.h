/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_CLUSTER_H
#define MERIDIAN_MANAGER_CLUSTER_H

#include "manager/db_config.h"

/*
 * What this cluster is: its name, users, databases and geo-distributed databases, as plain data,
 * and its form as the state file. No operation here takes time or talks to anybody.
 */
#define CLUSTER_BDBS_MAX 128u
#define CLUSTER_USERS_MAX 32u
#define CLUSTER_CRDBS_MAX 128u
#define INSTANCES_MAX PLANE_REGIONS_MAX
#define STATE_FORMAT 1u
#define SLOTS_PARTITIONS_MAX 16384u

struct user {
    char name[128];
    char salt[33], hash[65]; /* hex; PBKDF2-HMAC-SHA256 */
    uint32_t rounds;
};

enum bdb_status { BDB_PENDING, BDB_ACTIVE, BDB_CHANGING, BDB_DELETING };

/* Is a live source outside followed (replica.h)? */
enum replica_sync { REPLICA_DISABLED, REPLICA_ENABLED, REPLICA_PAUSED };
#define REPLICA_URI_MAX 8192u

/* A database of this cluster. */
struct bdb {
    uint32_t uid;
    char name[64];
    char guid[40]; /* of the geo-distributed database it is, or is becoming, an instance of; "" none
                    */
    enum bdb_status status;
    struct db_config config; /* all set; changed by bdb_configure */
    uint32_t founding;       /* how often it was switched from off to on disk */
    uint32_t partitions;
    uint64_t hash_k0, hash_k1, seed;
    uint32_t region, incarnation;
    bool reborn;
    uint64_t paused;                   /* bit r: pulls from region r are held */
    char replica_uri[REPLICA_URI_MAX]; /* with passwords, a blank between; "" none */
    uint32_t replica;                  /* enum replica_sync */
    int64_t created_s, changed_s;
};

/* One region of a geo-distributed database. */
struct instance {
    uint32_t id; /* region number, never used again */
    char cluster[65];
    char url[256];
    char username[128], password[200];
    char replication_endpoint[280]; /* host:port that peers use instead of the database's own; ""
                                       none */
    char host[256];                 /* where its database is reached; "" until prepared */
    uint16_t port;
    uint32_t compression;
    struct db_config db_config; /* overrides */
};

/* A version of a geo-distributed database's configuration; the same in every cluster. */
struct crdb_config {
    char guid[40];
    char name[64];
    uint64_t version;
    bool encryption, causal_consistency;
    uint32_t partitions;
    uint32_t next_instance_id;
    char secret[65];
    struct db_config default_db_config;
    uint32_t instances_count;
    struct instance *instances; /* owned */
};

/*
 * One cluster's side of it:
 *
 *   (none) -- prepare --> POSTED -- database is there --> READY -- commit --> COMMITTED -- complete
 * --> COMPLETED
 *                            \--- abort, or no commit in time ---/ --> (none)          \-- newer
 * commit --/
 */
enum crdb_status { CRDB_POSTED, CRDB_READY, CRDB_COMMITTED, CRDB_COMPLETED };

struct crdb {
    struct crdb_config config;
    enum crdb_status status;
    uint32_t instance_id; /* which of the instances is here */
    uint32_t bdb_uid;
    bool converted; /* the database was there before: abort leaves it */
    bool aborted;   /* abort came while the database was being made */
    bool has_next;  /* an update was prepared ... */
    struct crdb_config next;
    bool draining; /* leaving: `drain` is told when the others have everything */
    struct done drain;
    uint64_t
        sealed_us; /* leaving: since when the plane takes no more writes; 0 not yet; monotonic */
    uint64_t prepared_us; /* ... when, or when POSTED; monotonic */
    int64_t created_s;
};

struct cluster {
    bool bootstrapped;
    char name[65];
    int64_t created_s;
    uint32_t availability_lag_tolerance_ms;
    uint32_t next_uid;
    uint64_t state_id; /* grows with every change */
    struct user users[CLUSTER_USERS_MAX];
    uint32_t users_count;
    struct bdb *bdbs[CLUSTER_BDBS_MAX]; /* owned, by uid */
    uint32_t bdbs_count;
    struct crdb *crdbs[CLUSTER_CRDBS_MAX]; /* owned, by creation */
    uint32_t crdbs_count;
};

void cluster_deinit(struct cluster *c);
struct bdb *cluster_bdb(const struct cluster *c, uint32_t uid);
struct bdb *cluster_bdb_named(const struct cluster *c, const char *name);
struct bdb *cluster_bdb_at(const struct cluster *c, uint16_t port);
struct crdb *cluster_crdb(const struct cluster *c, const char *guid);
struct user *cluster_user(struct cluster *c, const char *name);
struct bdb *cluster_add_bdb(struct cluster *c); /* zeroed, with the next uid; NULL when full */
void cluster_drop_bdb(struct cluster *c, uint32_t uid);
struct crdb *cluster_add_crdb(struct cluster *c); /* zeroed; NULL when full */
void cluster_drop_crdb(struct cluster *c, const char *guid);

/* Is it a name for a database: letters, digits, hyphens, alphanumeric at both ends, up to 63? */
bool name_valid(const char *name);

void crdb_config_deinit(struct crdb_config *c);
void crdb_config_copy(struct crdb_config *to, const struct crdb_config *from);
struct instance *crdb_config_instance(const struct crdb_config *c, uint32_t id);
struct instance *crdb_config_at(const struct crdb_config *c, const char *cluster);
/* The whole configuration with its secrets: between clusters and in the state file. */
json_t *crdb_config_write(const struct crdb_config *c);
bool crdb_config_read(const json_t *object, struct crdb_config *out, struct refusal *why);

/* The state file's text. Databases that are still being made are left out. */
void cluster_dump(const struct cluster *c, struct buf *out);
/* False: the text is no state of ours; *why tells where. `c` must be zeroed. */
bool cluster_load(struct cluster *c, struct bytes text, struct refusal *why);

#endif
