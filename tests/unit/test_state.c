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
