/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/batch.h"
#include "migrate/effect.h"
#include "migrate/uri.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* The words of a command of the stream; what it comes to as "PASS DEL k". */
static const char *meaning(struct effect_state *s, const char *words, char *out, size_t size)
{
    static const char *const names[] = {"none", "pass", "apart",  "begin",
                                        "end",  "ask",  "resync", "bad"};
    struct bytes argv[10];
    uint32_t argc = 0;
    struct effect_out o;
    while (*words != 0) {
        size_t n = strcspn(words, " ");
        argv[argc++] = bytes_of(words, n);
        words += n + (words[n] == ' ');
    }
    enum effect e = effect_of(s, argc, argv, &o);
    int at = snprintf(out, size, "%s%s", names[e], o.other ? " other" : "");
    for (uint32_t i = 0; (e == EFFECT_PASS || e == EFFECT_APART) && i < o.argc; i++)
        at += snprintf(out + at, size - (size_t)at, " %.*s", (int)o.argv[i].n,
                       (const char *)o.argv[i].p);
    return out;
}

static void means(struct effect_state *s, const char *words, const char *want)
{
    char got[256];
    cr_expect_str_eq(meaning(s, words, got, sizeof got), want, "%s: %s", words, got);
}

Test(effect, only_the_chosen_database_counts)
{
    struct effect_state s = {.chosen = 0, .selected = -1};
    means(&s, "SET a 1", "none other");
    means(&s, "SELECT 0", "none");
    means(&s, "SET a 1", "pass SET a 1");
    means(&s, "select 3", "none");
    means(&s, "INCR a", "none other");
    means(&s, "FLUSHDB", "none other");
    means(&s, "FLUSHALL", "pass FLUSHALL");
    means(&s, "PUBLISH ch x", "pass PUBLISH ch x");
    means(&s, "SELECT x", "bad");
}

Test(effect, deadlines_of_fields_are_left_out_when_asked_to)
{
    struct effect_state s = {.chosen = 0, .selected = 0};
    struct effect_out out;
    const struct bytes argv[] = {bytes_str("HPEXPIREAT"), bytes_str("h")};
    means(&s, "HPEXPIREAT h 1 FIELDS 1 f", "pass HPEXPIREAT h 1 FIELDS 1 f");
    s.drop_field_ttl = true;
    cr_expect(effect_of(&s, 2, argv, &out) == EFFECT_NONE && out.dropped && !out.other);
    means(&s, "HPERSIST h FIELDS 1 f", "none");
    means(&s, "HDEL h f", "pass HDEL h f");
    s.selected = 1;
    means(&s, "HPEXPIREAT h 1 FIELDS 1 f", "none other");
}

Test(effect, one_of_several_sources_must_not_empty_what_others_wrote)
{
    struct effect_state s = {.chosen = 0, .selected = 1, .shared = true};
    means(&s, "FLUSHDB", "none other");
    means(&s, "FLUSHALL", "resync");
    s.selected = 0;
    means(&s, "FLUSHDB", "resync");
}

Test(batch, what_the_target_does_not_know_is_taken_out_of_a_round)
{
    struct batch b = {0};
    struct batch_round r = {0};
    struct mark m = {.state = MARK_AT};
    const char *const names[] = {"ONE", "TWO", "SIX", "TEN"};
    const uint32_t out[] = {0, 2};
    unsigned command;
    char text[64];
    for (unsigned i = 0; i < 4; i++)
        batch_add(&b, i == 1, 1, &(struct bytes){.p = (const uint8_t *)names[i], .n = 3});
    batch_make_round(&b, &m, false, &r);
    cr_expect(r.replies == 1 + 1 + 3 + 2);
    batch_round_without(&r, out, 2);
    cr_expect(r.count == 1 && r.aparts == 1 && r.replies == 1 + 1 + 1 + 2);
    batch_round_name(&r, false, 0, text, sizeof text);
    cr_expect_str_eq(text, "SIX");
    cr_expect(batch_round_part(&r, 3, &command) == BATCH_MARK);
    batch_round_name(&r, false, 1, text, sizeof text);
    cr_expect(strncmp(text, "SET meridian:replica-of", 23) == 0, "%s", text);
    batch_deinit(&b);
    batch_round_deinit(&r);
}

Test(effect, what_crosses_databases_is_cut_or_needs_a_snapshot)
{
    struct effect_state s = {.chosen = 2, .selected = 2};
    means(&s, "MOVE k 5", "pass DEL k");
    means(&s, "COPY a b DB 5 REPLACE", "none other");
    means(&s, "COPY a b DB 2 REPLACE", "pass COPY a b REPLACE");
    means(&s, "COPY a b", "pass COPY a b");
    means(&s, "COPY a b FAST", "bad");
    means(&s, "SWAPDB 0 1", "none other");
    means(&s, "SWAPDB 0 2", "resync");
    s.selected = 5;
    means(&s, "MOVE k 2", "resync");
    means(&s, "MOVE k 3", "none other");
    means(&s, "COPY a b DB 2", "resync");
}

Test(effect, servers_among_themselves_are_not_passed_on)
{
    struct effect_state s = {.chosen = 0, .selected = 0};
    means(&s, "PING", "none");
    means(&s, "REPLCONF GETACK *", "ask");
    means(&s, "REPLCONF ACK 5", "none");
    means(&s, "MULTI", "begin");
    means(&s, "EXEC", "end");
    means(&s, "SCRIPT FLUSH", "none");
    means(&s, "SCRIPT LOAD x", "apart SCRIPT LOAD x");
}

Test(effect, functions_may_be_loaded_twice)
{
    struct effect_state s = {.chosen = 0, .selected = 3};
    means(&s, "FUNCTION LOAD code", "apart FUNCTION LOAD REPLACE code");
    means(&s, "FUNCTION LOAD REPLACE code", "apart FUNCTION LOAD REPLACE code");
    means(&s, "FUNCTION RESTORE dump", "apart FUNCTION RESTORE dump REPLACE");
    means(&s, "FUNCTION DELETE lib", "apart FUNCTION DELETE lib");
}

/* ------------------------------------------------------------ rounds */

static void add(struct batch *b, bool apart, const char *one, const char *two)
{
    const struct bytes argv[] = {bytes_str(one), bytes_str(two)};
    batch_add(b, apart, 2, argv);
}

static unsigned count(struct bytes s, const char *word)
{
    unsigned n = 0;
    for (const uint8_t *p = s.p; (p = memmem(p, (size_t)(s.p + s.n - p), word, strlen(word))); p++)
        n++;
    return n;
}

Test(batch, a_round_is_one_transaction_with_its_mark)
{
    struct batch b = {.offset = 77};
    struct batch_round r = {0};
    struct mark m = {.state = MARK_AT, .source = "h:1", .offset = 77, .selected = -1};
    char name[100];
    unsigned i;
    add(&b, false, "INCR", "a");
    add(&b, true, "SCRIPT", "x");
    add(&b, false, "INCR", "b");
    batch_make_round(&b, &m, false, &r);
    cr_assert_eq(r.replies, 6u);
    cr_assert_eq(count(buf_bytes(&r.requests), "MULTI"), 1u);
    cr_assert_eq(count(buf_bytes(&r.requests), "1 at h:1 0 -1 - 77 -"), 1u);
    enum batch_part want[] = {BATCH_APART,  BATCH_MULTI, BATCH_QUEUED,
                              BATCH_QUEUED, BATCH_MARK,  BATCH_EXEC};
    for (unsigned k = 0; k < 6; k++)
        cr_assert_eq(batch_round_part(&r, k, &i), want[k]);
    (void)batch_round_part(&r, 3, &i);
    batch_round_name(&r, false, i, name, sizeof name);
    cr_assert_str_eq(name, "INCR b");
    batch_round_name(&r, true, 0, name, sizeof name);
    cr_assert_str_eq(name, "SCRIPT x");
    batch_make_round(&b, &m, true, &r);
    cr_assert_eq(r.replies, 4u);
    cr_assert_eq(count(buf_bytes(&r.requests), "MULTI"), 0u);
    cr_assert_eq(batch_round_part(&r, 1, &i), BATCH_COMMAND);
    cr_assert_eq(batch_round_part(&r, 3, &i), BATCH_MARK);
    batch_round_deinit(&r);
    batch_deinit(&b);
}

Test(mark, is_read_as_it_was_written)
{
    struct mark m = {.state = MARK_AT,
                     .source = "10.0.0.1:6379",
                     .db = 3,
                     .selected = -1,
                     .id = "0123456789012345678901234567890123456789",
                     .offset = 12345678901234,
                     .run = "abc"},
                back;
    for (unsigned s = MARK_LOADING; s <= MARK_BEYOND; s++) {
        struct buf text = {0};
        m.state = (enum mark_state)s;
        mark_put(&text, &m);
        cr_assert(mark_read(buf_bytes(&text), &back));
        cr_assert_eq(memcmp(&m.offset, &back.offset, sizeof m.offset), 0);
        cr_assert(back.state == m.state && back.db == 3 && back.selected == -1);
        cr_assert_str_eq(back.source, m.source);
        cr_assert_str_eq(back.id, m.id);
        cr_assert_str_eq(back.run, m.run);
        for (size_t n = 0; n < buf_len(&text) - strlen(m.run); n++)
            cr_assert_not(mark_read(bytes_of(text.p, n), &back), "%zu bytes", n);
        buf_deinit(&text);
    }
    cr_assert_not(mark_read(bytes_str("2 at a:1 0 0 x 1 y"), &back));
    cr_assert_not(mark_read(bytes_str("1 none a:1 0 0 x 1 y"), &back));
    cr_assert_not(mark_read(bytes_str("1 at a:1 0 0 x -1 y"), &back));
    cr_assert_not(mark_read(bytes_str("some value of somebody"), &back));
}

/* ------------------------------------------------------------ where a source is */

static void reads(const char *text, const char *want)
{
    struct redis_uri u;
    const char *why = "";
    char got[1200];
    if (redis_uri_read(text, &u, &why))
        snprintf(got, sizeof got, "%d|%s|%s|%s|%u|%lld", u.tls, u.user, u.password, u.host, u.port,
                 (long long)u.db);
    else
        snprintf(got, sizeof got, "%s", "no");
    cr_expect_str_eq(got, want, "%s: %s %s", text, got, why);
}

Test(redis_uri, takes_what_clients_take)
{
    reads("h", "0|||h|6379|0");
    reads("127.0.0.1:7000", "0|||127.0.0.1|7000|0");
    reads("redis://:secret@db.example:7000/3", "0||secret|db.example|7000|3");
    reads("rediss://joe:p%40ss%3aword@db.example", "1|joe|p@ss:word|db.example|6379|0");
    reads("redis://joe:p@ss@h:1/", "0|joe|p@ss|h|1|0");
    reads("redis://[fe80::1]:7000", "0|||fe80::1|7000|0");
    reads("[::1]", "0|||::1|6379|0");
}

Test(redis_uri, refuses_the_rest)
{
    reads("", "no");
    reads("http://h", "no");
    reads("redis://h:0", "no");
    reads("redis://h:70000", "no");
    reads("redis://h/x", "no");
    reads("redis://h/1?x=1", "no");
    reads("redis://[::1", "no");
    reads("redis://h h", "no");
    reads("redis://:p%00w@h", "no");
    reads("redis://h?insecure", "no"); /* no certificates there */
}

Test(redis_uri, shows_no_password)
{
    struct redis_uri u;
    const char *why;
    char text[600];
    cr_assert(redis_uri_read("rediss://joe:secret@[::1]:7000/2", &u, &why));
    redis_uri_show(&u, text, sizeof text);
    cr_assert_str_eq(text, "rediss://joe@[::1]:7000/2");
    cr_assert(redis_uri_read("rediss://:secret@h?insecure&drop-field-ttl", &u, &why));
    redis_uri_show(&u, text, sizeof text);
    cr_assert_str_eq(text, "rediss://h:6379/0?drop-field-ttl&insecure");
}
