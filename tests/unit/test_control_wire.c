/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "manager/control_wire.h"

#include <criterion/criterion.h>

static struct plane_db *a_db(void)
{
    struct plane_db *db = mem_zalloc(sizeof *db);
    *db = (struct plane_db){
        .uid = 7,
        .name = "orders",
        .guid = "b1f0",
        .secret = "s3cret",
        .host = "0.0.0.0",
        .port = 12000,
        .password = "pass word",
        .partitions = 256,
        .shards = 4,
        .hash_k0 = UINT64_MAX,
        .hash_k1 = 1,
        .seed = 99,
        .region = 2,
        .incarnation = 3,
        .reborn = true,
        .leaving = true,
        .version = 12,
        .paused = UINT64_C(1) << 63,
        .client_tls = true,
        .compression = 3,
        .memory_max = UINT64_C(1) << 40,
        .backlog_bytes = 64 << 20,
        .clients_max = 10000,
        .clock_drift_max_ms = -1,
        .messages_stay = true,
        .xadd_ids = 2,
        .persistence = PERSIST_ALWAYS,
        .snapshot_bytes = 1 << 20,
        .log_retention = UINT64_C(1) << 33,
        .eviction = EVICT_VOLATILE_TTL,
        .oom_percent = 96,
        .snapshot_rules_count = 2,
        .snapshot_rules = {{.seconds = 3600, .writes = 1}, {.seconds = 60, .writes = 10000}},
        .regions_count = 2,
        .regions = {{.id = 2, .name = "b.example.org", .host = "10.0.0.2", .port = 1},
                    {.id = 63, .name = "c.example.org", .host = "::1", .port = 65535}},
    };
    return db;
}

Test(control_wire, a_database_goes_there_and_back)
{
    struct plane_db *db = a_db(), *back = mem_alloc(sizeof *back);
    struct buf out = {0};
    plane_db_encode(&out, db);
    cr_assert(plane_db_decode(buf_bytes(&out), back));
    cr_assert_eq(memcmp(db, back, sizeof *db), 0); /* both were zeroed first, padding included */
    for (size_t n = 0; n < buf_len(&out); n++) {
        uint8_t *exact = mem_dup(out.p, n);
        cr_assert(!plane_db_decode(bytes_of(exact, n), back), "cut at %zu", n);
        mem_free(exact);
    }
    buf_put_u8(&out, 0xc0);
    cr_assert(!plane_db_decode(buf_bytes(&out), back), "something follows");
    buf_deinit(&out);
    mem_free(db);
    mem_free(back);
}

static bool refused(const struct plane_db *db)
{
    struct plane_db *back = mem_alloc(sizeof *back);
    struct buf out = {0};
    plane_db_encode(&out, db);
    bool ok = plane_db_decode(buf_bytes(&out), back);
    buf_deinit(&out);
    mem_free(back);
    return !ok;
}

Test(control_wire, a_database_that_cannot_be_is_refused)
{
    struct plane_db *db = a_db();
    cr_assert(!refused(db));
    db->partitions = 100;
    cr_assert(refused(db), "no power of two");
    db->partitions = 32768;
    cr_assert(refused(db), "more than slots");
    db->partitions = 2;
    cr_assert(refused(db), "more shards than partitions");
    db->partitions = 256;
    db->shards = 0;
    cr_assert(refused(db), "no shard");
    db->shards = 4;
    db->region = 64;
    cr_assert(refused(db), "no such region");
    db->region = 2;
    db->regions[1].id = 2;
    cr_assert(refused(db), "a region twice");
    db->regions[1].id = 0;
    cr_assert(refused(db), "region 0");
    mem_free(db);
}

Test(control_wire, strings_are_bounded_and_hold_no_nul)
{
    struct plane_db *db = a_db(), *back = mem_alloc(sizeof *back);
    for (int how = 0; how < 3; how++) {
        struct buf out = {0};
        char long_name[65];
        memset(long_name, 'n', sizeof long_name);
        if (how == 0)
            long_name[10] = 0;
        plane_db_encode(&out, db);
        struct mp m = mp_read(buf_bytes(&out));
        mp_array(&m);
        mp_uint(&m);
        struct buf changed = {0};
        buf_put(&changed, out.p, (size_t)(m.p - out.p));
        mp_put_bin(&changed,
                   bytes_of(long_name, how == 2 ? 63 : 64)); /* in the place of the name */
        mp_bin(&m);
        buf_put(&changed, m.p, mp_left(&m));
        cr_assert_eq(plane_db_decode(buf_bytes(&changed), back), how == 2);
        buf_deinit(&out);
        buf_deinit(&changed);
    }
    mem_free(db);
    mem_free(back);
}

static void fill_stats(struct plane_stats *s, uint32_t dbs, uint32_t shards)
{
    s->dbs_count = dbs;
    s->shards_count = shards;
    s->dbs = mem_zalloc(dbs * sizeof *s->dbs);
    s->shards = mem_zalloc(shards * sizeof *s->shards);
    for (uint32_t i = 0; i < dbs; i++)
        s->dbs[i] = (struct plane_db_stats){.uid = i,
                                            .listening = i % 2,
                                            .keys = 1000 * i,
                                            .evicted = i,
                                            .memory_max = 1000000u + i,
                                            .eviction = i % EVICTION_KINDS,
                                            .memory = {.values = 7, .metadata = i}};
    for (uint32_t i = 0; i < shards; i++) {
        s->shards[i].shard = i;
        s->shards[i].digest_hi = UINT64_MAX - i;
        s->shards[i].keep = (struct plane_keep){.state = i % KEEP_STATES,
                                                .read = i,
                                                .total = 7,
                                                .log_bytes = 1000 + i,
                                                .snapshot_runs = i % 2,
                                                .snapshot_percent = 50,
                                                .snapshot_ms = -1,
                                                .error = "no space left"};
        s->shards[i].links_count = i % 3;
        for (uint32_t j = 0; j < i % 3; j++)
            s->shards[i].links[j] = (struct plane_link){.region = j + 1,
                                                        .state = "up",
                                                        .lag_ms = -5,
                                                        .bytes_in = 1u << j,
                                                        .error = "refused"};
    }
}

Test(control_wire, statistics_go_there_and_back)
{
    struct plane_stats s = {0}, back;
    size_t before = mem_used();
    fill_stats(&s, 3, 7);
    struct buf out = {0};
    plane_stats_encode(&out, &s);
    cr_assert(plane_stats_decode(buf_bytes(&out), &back));
    cr_assert_eq(back.dbs_count, 3);
    cr_assert_eq(back.shards_count, 7);
    cr_assert_eq(memcmp(s.dbs, back.dbs, 3 * sizeof *s.dbs), 0);
    for (uint32_t i = 0; i < 7; i++)
        cr_assert_eq(memcmp(&s.shards[i], &back.shards[i], sizeof *s.shards), 0);
    plane_stats_deinit(&back);
    for (size_t n = 0; n < buf_len(&out); n++) {
        uint8_t *exact = mem_dup(out.p, n);
        cr_assert(!plane_stats_decode(bytes_of(exact, n), &back), "cut at %zu", n);
        cr_assert_null(back.shards, "nothing is owned after a refusal");
        mem_free(exact);
    }
    buf_deinit(&out);
    plane_stats_deinit(&s);
    cr_assert_eq(mem_used(), before);
}

Test(control_wire, empty_statistics_and_absurd_counts)
{
    struct plane_stats none = {0}, back;
    struct buf out = {0};
    plane_stats_encode(&out, &none);
    cr_assert(plane_stats_decode(buf_bytes(&out), &back));
    cr_assert_eq(back.shards_count, 0);
    buf_clear(&out);
    mp_put_array(&out, 2);
    mp_put_array(&out, 0);
    mp_put_array(&out, CONTROL_SHARDS_MAX + 1);
    for (unsigned i = 0; i <= CONTROL_SHARDS_MAX; i++)
        mp_put_nil(&out);
    cr_assert(!plane_stats_decode(buf_bytes(&out), &back));
    buf_deinit(&out);
}

Test(control_wire, messages_are_framed)
{
    struct buf out = {0}, body = {0};
    mp_put_uint(&body, 42);
    buf_put_str(&out, "?");
    buf_consume(&out, 1);
    control_put(&out, 1, CONTROL_DB_DROP, buf_bytes(&body));
    size_t first = buf_len(&out);
    control_put(&out, UINT64_MAX, CONTROL_STATS, bytes_of(NULL, 0));
    uint64_t id;
    enum control_kind kind;
    struct bytes got;
    size_t used;
    for (size_t n = 0; n < first; n++)
        cr_assert_eq(control_get(bytes_of(out.p, n), &id, &kind, &got, &used), CONTROL_MORE);
    cr_assert_eq(control_get(buf_bytes(&out), &id, &kind, &got, &used), CONTROL_OK);
    cr_assert(id == 1 && kind == CONTROL_DB_DROP && used == first);
    cr_assert(bytes_eq(got, buf_bytes(&body)));
    buf_consume(&out, used);
    cr_assert_eq(control_get(buf_bytes(&out), &id, &kind, &got, &used), CONTROL_OK);
    cr_assert(id == UINT64_MAX && kind == CONTROL_STATS && got.n == 0);
    buf_deinit(&out);
    buf_deinit(&body);
}

static enum control_result get(const char *bytes, size_t n)
{
    uint64_t id;
    enum control_kind kind;
    struct bytes body;
    size_t used;
    return control_get(bytes_of(bytes, n), &id, &kind, &body, &used);
}

Test(control_wire, bad_messages_are_refused)
{
    cr_assert_eq(get("\0\0\0\3\x92\1\6", 7), CONTROL_OK);
    cr_assert_eq(get("\xff\0\0\0", 4), CONTROL_BAD, "longer than any message");
    cr_assert_eq(get("\0\0\0\0", 4), CONTROL_BAD, "empty");
    cr_assert_eq(get("\0\0\0\3\x92\1\0", 7), CONTROL_BAD, "no such kind");
    cr_assert_eq(get("\0\0\0\3\x92\1\x63", 7), CONTROL_BAD, "no such kind");
    cr_assert_eq(get("\0\0\0\2\x91\1", 6), CONTROL_BAD, "no kind");
    cr_assert_eq(get("\0\0\0\4\x92\1\6\5", 8), CONTROL_BAD, "something follows");
    cr_assert_eq(get("\0\0\0\4\x93\1\6\x91", 8), CONTROL_BAD, "half a body");
    cr_assert_eq(get("\0\0\0\5\x93\1\6\5\5", 9), CONTROL_BAD, "two bodies");
}

Test(control_wire, answers_carry_text_and_body)
{
    struct buf out = {0}, body = {0};
    bool ok;
    char text[8];
    struct bytes got;
    mp_put_uint(&body, 5);
    control_answer_encode(&out, false, "port in use", buf_bytes(&body));
    cr_assert(control_answer_decode(buf_bytes(&out), &ok, text, sizeof text, &got));
    cr_assert(!ok);
    cr_assert_str_eq(text, "port in", "cut to the room there is");
    cr_assert(bytes_eq(got, buf_bytes(&body)));
    for (size_t n = 0; n < buf_len(&out); n++)
        cr_assert(!control_answer_decode(bytes_of(out.p, n), &ok, text, sizeof text, &got));
    buf_clear(&out);
    control_answer_encode(&out, true, "", bytes_of(NULL, 0));
    cr_assert(control_answer_decode(buf_bytes(&out), &ok, text, sizeof text, &got));
    cr_assert(ok && text[0] == 0 && got.n == 0);
    buf_deinit(&out);
    buf_deinit(&body);
}
