/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "manager/cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A cluster with a user, a plain database and an instance of a geo-distributed one. */
static void fill(struct cluster *c)
{
    *c = (struct cluster){.bootstrapped = true,
                          .name = "alpha.test",
                          .created_s = 1700000000,
                          .availability_lag_tolerance_ms = 250,
                          .state_id = 9,
                          .users_count = 1};
    struct user *u = &c->users[0];
    u->rounds = 3;
    strcpy(u->name, "admin");
    memset(u->salt, 'a', 32);
    memset(u->hash, 'b', 64);
    for (unsigned i = 0; i < 2; i++) {
        struct bdb *b = cluster_add_bdb(c);
        b->status = BDB_ACTIVE;
        b->config = (struct db_config){
            .set = UINT64_MAX, .shards_count = 2, .port = (uint16_t)(12000 + i), .memory_size = 77};
        strcpy(b->config.tls_mode, "disabled");
        b->partitions = 64;
        b->region = i + 1;
        b->hash_k0 = UINT64_MAX - i;
        b->paused = i ? (uint64_t)1 << 63 : 0;
        snprintf(b->name, sizeof b->name, "db%u", i);
    }
    struct crdb *r = cluster_add_crdb(c);
    r->status = CRDB_COMMITTED;
    r->instance_id = 2;
    r->bdb_uid = 2;
    r->config = (struct crdb_config){
        .version = 3, .partitions = 64, .next_instance_id = 3, .encryption = true};
    strcpy(r->config.guid, "01234567-89ab-4def-8123-456789abcdef");
    strcpy(r->config.name, "db1");
    memset(r->config.secret, 'c', 64);
    r->config.instances_count = 2;
    r->config.instances = mem_zalloc(2 * sizeof(struct instance));
    for (unsigned i = 0; i < 2; i++) {
        struct instance *in = &r->config.instances[i];
        in->id = i + 1;
        in->port = (uint16_t)(12000 + i);
        snprintf(in->cluster, sizeof in->cluster, "c%u.test", i);
        strcpy(in->url, "https://h:9443");
        strcpy(in->host, "h");
    }
    strcpy(cluster_bdb(c, 2)->guid, r->config.guid);
}

Test(state, comes_back_as_it_was)
{
    struct cluster *a = mem_zalloc(sizeof *a), *b = mem_zalloc(sizeof *b);
    struct buf x = {0}, y = {0};
    struct refusal why = {0};
    fill(a);
    cluster_dump(a, &x);
    cr_assert(cluster_load(b, buf_bytes(&x), &why), "%s", why.message);
    cluster_dump(b, &y);
    cr_expect(bytes_eq(buf_bytes(&x), buf_bytes(&y)));
    cr_expect(b->bootstrapped);
    cr_expect_eq(cluster_bdb(b, 1)->hash_k0, UINT64_MAX);
    cr_expect_eq(cluster_bdb(b, 2)->paused, (uint64_t)1 << 63);
    cr_expect_eq(cluster_crdb(b, cluster_bdb(b, 2)->guid)->config.instances[1].port, 12001);
    cluster_deinit(a);
    cluster_deinit(b);
    mem_free(a);
    mem_free(b);
    buf_deinit(&x);
    buf_deinit(&y);
}

/* As the release wrote it that kept no database on disk. */
static const char before_disks[] =
    "{\"format\": 1, \"cluster\": {\"name\": \"alpha.test\", \"created_s\": 1700000000, "
    "\"availability_lag_tolerance_ms\": 100, \"next_uid\": 3, \"state_id\": 9}, \"users\": "
    "[{\"name\": \"admin\", \"salt\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"hash\": "
    "\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\", \"rounds\": 3}], "
    "\"bdbs\": [{\"uid\": 1, \"name\": \"db1\", \"partitions\": 256, \"hash_k0\": -1, \"hash_k1\": "
    "7, "
    "\"seed\": 5, \"region\": 1, \"incarnation\": 0, \"reborn\": false, \"paused\": 0, "
    "\"created_s\": 1700000000, \"changed_s\": 1700000000, \"config\": {\"memory_size\": 1000000, "
    "\"shards_count\": 2, \"port\": 12000, \"max_connections\": 10000, "
    "\"crdt_repl_backlog_size\": 0, \"tls_mode\": \"disabled\", \"publish_across_regions\": "
    "false}}, {\"uid\": 2, \"name\": \"geo\", \"guid\": "
    "\"01234567-89ab-4def-8123-456789abcdef\", \"partitions\": 256, \"hash_k0\": 1, \"hash_k1\": "
    "2, "
    "\"seed\": 3, \"region\": 2, \"incarnation\": 4, \"reborn\": true, \"paused\": 0, "
    "\"created_s\": 1700000000, \"changed_s\": 1700000000, \"config\": {\"memory_size\": 0, "
    "\"shards_count\": 1, \"port\": 12001, \"max_connections\": 10000, "
    "\"crdt_repl_backlog_size\": 0, \"tls_mode\": \"disabled\", \"publish_across_regions\": "
    "true}}], \"crdbs\": [{\"status\": 3, \"instance_id\": 2, \"bdb_uid\": 2, \"converted\": "
    "false, "
    "\"created_s\": 1700000000, \"config\": {\"guid\": "
    "\"01234567-89ab-4def-8123-456789abcdef\", \"name\": \"geo\", \"version\": 3, \"encryption\": "
    "false, \"causal_consistency\": true, \"partitions\": 256, \"next_instance_id\": 3, "
    "\"secret\": \"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\", "
    "\"default_db_config\": {\"memory_size\": 0}, \"instances\": [{\"id\": 2, \"cluster\": "
    "\"alpha.test\", \"url\": \"https://h:9443\", \"host\": \"h\", \"port\": 12001, "
    "\"compression\": 0, \"db_config\": {}}]}}]}";

Test(state, of_the_release_without_disks_is_taken_over)
{
    struct cluster *c = mem_zalloc(sizeof *c);
    struct refusal why = {0};
    cr_assert(cluster_load(c, bytes_str(before_disks), &why), "%s", why.message);
    for (uint32_t uid = 1; uid <= 2; uid++) {
        const struct db_config *k = &cluster_bdb(c, uid)->config;
        struct snapshot_rule rules[SNAPSHOT_RULES_MAX];
        cr_expect_eq(db_config_persistence(k), PERSIST_OFF);
        cr_expect_eq(db_config_rules(k, rules), 0);
        cr_expect_eq(k->eviction_policy, EVICT_NOTHING);
        cr_expect_eq(k->replication_oom_threshold_percent, 5);
        cr_expect_eq(k->publish_across_regions, uid == 2);
        json_t *shown = db_config_write(k);
        cr_expect_str_eq(json_string_value(json_object_get(shown, "data_persistence")), "disabled");
        cr_expect_str_eq(json_string_value(json_object_get(shown, "eviction_policy")),
                         "noeviction");
        json_decref(shown);
    }
    cluster_deinit(c);
    mem_free(c);
}

static bool config_of(const char *text, struct db_config *out, struct refusal *why)
{
    json_t *o = json_loads(text, 0, NULL);
    *why = (struct refusal){0};
    bool ok = db_config_read(o, out, "", why);
    json_decref(o);
    return ok;
}

Test(db_config, names_of_durability_come_back_and_say_what_is_kept)
{
    static const struct {
        const char *text;
        enum persistence kept;
        uint32_t rules;
    } all[] = {
        {"{}", PERSIST_OFF, 0},
        {"{\"aof_policy\": \"appendfsync-always\"}", PERSIST_OFF, 0},
        {"{\"data_persistence\": \"aof\"}", PERSIST_SECOND, 0},
        {"{\"data_persistence\": \"aof\", \"aof_policy\": \"appendfsync-every-sec\"}",
         PERSIST_SECOND, 0},
        {"{\"data_persistence\": \"aof\", \"aof_policy\": \"appendfsync-always\"}", PERSIST_ALWAYS,
         0},
        {"{\"data_persistence\": \"aof\", \"aof_policy\": \"appendfsync-no\"}", PERSIST_SNAPSHOT,
         0},
        {"{\"data_persistence\": \"aof\", \"snapshot_policy\": [{\"secs\": 60, \"writes\": 9}]}",
         PERSIST_SECOND, 1},
        {"{\"data_persistence\": \"snapshot\"}", PERSIST_SNAPSHOT, 1},
        {"{\"data_persistence\": \"snapshot\", \"snapshot_policy\": [{\"secs\": 60, \"writes\": "
         "9}, {\"secs\": 5, \"writes\": 1000}]}",
         PERSIST_SNAPSHOT, 2},
    };
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct db_config a = {0}, b = db_config_defaults();
        struct snapshot_rule rules[SNAPSHOT_RULES_MAX] = {0};
        struct refusal why;
        cr_assert(config_of(all[i].text, &a, &why), "%s: %s", all[i].text, why.message);
        json_t *given = json_loads(all[i].text, 0, NULL), *written = db_config_write(&a);
        cr_expect(json_equal(given, written), "%s", all[i].text);
        json_decref(given);
        json_decref(written);
        db_config_merge(&b, &a);
        cr_expect_eq(db_config_persistence(&b), all[i].kept, "%s", all[i].text);
        cr_expect_eq(db_config_rules(&b, rules), all[i].rules, "%s", all[i].text);
        cr_expect(all[i].rules == 0 || (rules[0].seconds > 0 && rules[0].writes > 0));
    }
}

Test(db_config, wrong_values_of_durability_are_refused_by_name)
{
    static const char *const bad[][2] = {
        {"{\"data_persistence\": \"AOF\"}", "data_persistence: one of \"disabled\", \"aof\""},
        {"{\"data_persistence\": null}", "data_persistence: one of"},
        {"{\"aof_policy\": \"always\"}", "aof_policy: one of \"appendfsync-every-sec\""},
        {"{\"eviction_policy\": \"lru\"}", "\"volatile-ttl\""},
        {"{\"snapshot_policy\": {}}", "snapshot_policy: an array of up to 8"},
        {"{\"snapshot_policy\": [{\"secs\": 5}]}", "snapshot_policy[0]: secs and writes"},
        {"{\"snapshot_policy\": [{\"secs\": 0, \"writes\": 1}]}", "snapshot_policy[0].secs: an"},
        {"{\"snapshot_policy\": [{\"secs\": 1, \"writes\": 1, \"x\": 1}]}",
         "snapshot_policy[0].x: unknown"},
        {"{\"snapshot_policy\": [1,2,3,4,5,6,7,8,9]}", "up to 8"},
        {"{\"replication_oom_threshold_percent\": 21}", "from 0 to 20"},
        {"{\"log_retention\": -1}", "log_retention"},
        {"{\"max_aof_file_size\": \"much\"}", "max_aof_file_size"},
        {"{\"max_aof_file_size\": 1000}", "max_aof_file_size: \"auto\" or at least 1048576"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct db_config c = {0};
        struct refusal why;
        cr_assert(!config_of(bad[i][0], &c, &why), "%s", bad[i][0]);
        cr_expect_eq(why.status, 400);
        cr_expect(strstr(why.message, bad[i][1]), "%s: %s", bad[i][0], why.message);
    }
}

Test(state, cut_anywhere_is_refused)
{
    struct cluster *a = mem_zalloc(sizeof *a), *b = mem_zalloc(sizeof *b);
    struct buf x = {0};
    fill(a);
    cluster_dump(a, &x);
    for (size_t n = 0; n + 2 < buf_len(&x); n += 7) {
        struct refusal why = {0};
        cr_assert(!cluster_load(b, bytes_of(x.p, n), &why), "%zu", n);
        cr_expect(why.message[0]);
        cluster_deinit(b);
    }
    cluster_deinit(a);
    mem_free(a);
    mem_free(b);
    buf_deinit(&x);
}

Test(state, that_contradicts_itself_is_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"format\": 2}",
        "{\"format\": 1, \"cluster\": {}, \"users\": [], \"bdbs\": [], \"crdbs\": []}",
        "{\"format\": 1, \"cluster\": {\"name\": \"a\", \"next_uid\": 1}, \"users\": [{\"name\": "
        "\"u\"}], \"bdbs\": [{\"uid\": 5}], \"crdbs\": []}",
        "{\"format\": 1, \"extra\": 0}",
    };
    struct cluster *c = mem_zalloc(sizeof *c);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct refusal why = {0};
        cr_expect(!cluster_load(c, bytes_str(bad[i]), &why), "%s", bad[i]);
        cr_expect(why.message[0]);
        cluster_deinit(c);
    }
    mem_free(c);
}

/* ------------------------------------------------------------ the tables both ways are made of */

struct sample {
    char text[8];
    uint16_t u16;
    uint64_t size;
    bool flag;
};
static const struct field fields[] = {
    FIELD_TEXT(sample, text, 2),
    FIELD(sample, u16, FIELD_U16, 1, 100),
    FIELD(sample, size, FIELD_SIZE, 0, 1000),
    FIELD(sample, flag, FIELD_BOOL, 0, 0),
    FIELD_ONLY("fixed", "[]"),
    FIELD_SKIP("ignored"),
    FIELD_END,
};

static int read_sample(const char *text, struct sample *s, struct refusal *why)
{
    json_t *o = json_loads(text, 0, NULL);
    *why = (struct refusal){0};
    int status = fields_read(o, fields, s, NULL, "x", why) ? 200 : why->status;
    json_decref(o);
    return status;
}

Test(fields, read_values_and_refuse_the_rest_by_name)
{
    struct sample s = {0};
    struct refusal why;
    cr_expect_eq(
        read_sample("{\"text\": \"abc\", \"u16\": \"7\", \"size\": \"auto\", \"flag\": true, "
                    "\"fixed\": [], \"ignored\": {}}",
                    &s, &why),
        200, "%s", why.message);
    cr_expect(strcmp(s.text, "abc") == 0 && s.u16 == 7 && s.size == 0 && s.flag);
    static const struct {
        const char *text;
        int status;
        const char *part;
    } bad[] = {
        {"{\"text\": 1}", 400, "x.text: a string"},
        {"{\"text\": \"a\"}", 400, "2 to 7 bytes"},
        {"{\"text\": \"abcdefgh\"}", 400, "2 to 7 bytes"},
        {"{\"text\": \"ab\\u0007\"}", 400, "control"},
        {"{\"u16\": 0}", 400, "1 to 100"},
        {"{\"u16\": 101}", 400, "1 to 100"},
        {"{\"u16\": -1}", 400, "1 to 100"},
        {"{\"u16\": 1.5}", 400, "an integer"},
        {"{\"u16\": null}", 400, "an integer"},
        {"{\"size\": \"big\"}", 400, "an integer"},
        {"{\"flag\": 1}", 400, "true or false"},
        {"{\"fixed\": [1]}", 406, "only []"},
        {"{\"fixed\": 1}", 400, "[]"},
        {"{\"other\": 1}", 400, "x.other: unknown"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(read_sample(bad[i].text, &s, &why), bad[i].status, "%s", bad[i].text);
        cr_expect(strstr(why.message, bad[i].part), "%s: %s", bad[i].text, why.message);
    }
}
