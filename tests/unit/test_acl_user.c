/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/acl_log.h"
#include "proxy/acl_user.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A user made of rules, which are separated by blanks. The caller frees. */
static struct acl_user *user_of(const char *rules)
{
    struct acl_user *u = acl_user_new(bytes_str("u"), false);
    struct bytes argv[32];
    struct acl_words joined = {0};
    uint32_t argc = 0, open;
    for (const char *p = rules; *p != 0 && argc < 32; argc++) {
        size_t n = strcspn(p, " ");
        argv[argc] = bytes_of(p, n);
        p += n + (p[n] == ' ');
    }
    cr_assert(acl_rules_join(argc, argv, &joined, &open), "%s", rules);
    for (uint32_t i = 0; i < joined.n; i++) {
        enum acl_error e = acl_user_rule(u, joined.at[i]);
        cr_assert_eq(e, ACL_FINE, "%s: %.*s: %s", rules, (int)joined.at[i].n,
                     (const char *)joined.at[i].p, acl_error_text(e));
    }
    acl_words_deinit(&joined);
    return u;
}

static void expect_text(struct acl_user *u, const char *what, const char *want)
{
    struct buf text = {0};
    acl_user_describe(u, &text);
    cr_expect(bytes_is(buf_bytes(&text), want), "%s\n  gives   %.*s\n  instead %s", what,
              (int)buf_len(&text), (const char *)text.p, want);
    buf_deinit(&text);
}

Test(acl_user, rules_make_a_text_that_makes_the_same_user)
{
    static const struct {
        const char *rules, *text;
    } table[] = {
        {"", "off resetchannels -@all"},
        {"on nopass allkeys allchannels allcommands", "on nopass ~* &* +@all"},
        {"ON NoPass ~* &* +@ALL", "on nopass ~* &* +@all"},
        {"+get", "off resetchannels -@all +get"},
        {"+GET +get +hget -get", "off resetchannels -@all +hget -get"},
        {"+@all -set +get", "off resetchannels +@all -set +get"},
        {"+@read -@hash +@hash", "off resetchannels -@all +@read +@hash"},
        {"+@all -@hash -@slow +hget -@hash", "off resetchannels +@all -@slow +hget -@hash"},
        {"+get -@all", "off resetchannels -@all"},
        {"+config|get +config", "off resetchannels -@all +config"},
        {"+config -config|set", "off resetchannels -@all +config -config|set"},
        {"+client|list +client|list +config|get +config +acl|list -acl",
         "off resetchannels -@all +client|list +config -acl"},
        {"+select|0 +select|0 +select|1", "off resetchannels -@all +select|0 +select|1"},
        {"+select|0 +select", "off resetchannels -@all +select"},
        {"~a ~b ~a", "off ~a ~b resetchannels -@all"},
        {"%R~a %W~b %rw~c %R~d %W~d", "off %R~a %W~b ~c ~d resetchannels -@all"},
        {"~a resetkeys ~b", "off ~b resetchannels -@all"},
        {"~a ~*", "off ~* resetchannels -@all"},
        {"~a %R~* %W~*", "off ~* resetchannels -@all"},
        {"&a &b &a", "off resetchannels &a &b -@all"},
        {"&a allchannels", "off &* -@all"},
        {"&* resetchannels &a", "off resetchannels &a -@all"},
        {"sanitize-payload", "off sanitize-payload resetchannels -@all"},
        {"skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"},
        {"on nopass ~* +@all (+get ~a) reset", "off sanitize-payload resetchannels -@all"},
        {">a", "off #ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb "
               "resetchannels -@all"},
        {">a >a >b <a", "off #3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d "
                        "resetchannels -@all"},
        {"nopass >b !3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
         "off resetchannels -@all"},
        {">a nopass", "off nopass resetchannels -@all"},
        {">a resetpass", "off resetchannels -@all"},
        {"()", "off resetchannels -@all (resetchannels -@all)"},
        {"(+get ~a) ( %R~b &c )",
         "off resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels &c -@all)"},
        {"(+get) clearselectors", "off resetchannels -@all"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct acl_user *u = user_of(table[i].rules), *copy = acl_user_copy(u);
        struct acl_user *again = acl_user_parse(bytes_str("u"), bytes_str(table[i].text));
        expect_text(u, table[i].rules, table[i].text);
        expect_text(copy, table[i].rules, table[i].text);
        cr_assert_not_null(again, "%s", table[i].text);
        expect_text(again, table[i].text, table[i].text);
        acl_user_free(u);
        acl_user_free(copy);
        acl_user_free(again);
    }
}

Test(acl_user, rules_that_are_none_are_refused_by_kind)
{
    static const struct {
        const char *rule;
        enum acl_error error;
    } table[] = {
        {"foo", ACL_SYNTAX},
        {"+nosuch", ACL_UNKNOWN},
        {"-nosuch", ACL_UNKNOWN},
        {"+", ACL_UNKNOWN},
        {"+@", ACL_UNKNOWN},
        {"-@nosuch", ACL_UNKNOWN},
        {"+@all ", ACL_UNKNOWN},
        {"+config|nosuch", ACL_UNKNOWN},
        {"-config|nosuch", ACL_UNKNOWN},
        {"-get|key", ACL_UNKNOWN},
        {"+nosuch|key", ACL_UNKNOWN},
        {"+get|a|b", ACL_UNKNOWN},
        {"+config|get|x", ACL_FIRST_ARG},
        {"+get|", ACL_SYNTAX},
        {"+config|", ACL_SYNTAX},
        {"%X~a", ACL_SYNTAX},
        {"%RR~a", ACL_SYNTAX},
        {"%~a", ACL_SYNTAX},
        {"%R", ACL_SYNTAX},
        {"%", ACL_SYNTAX},
        {"~a b", ACL_SYNTAX},
        {"&a\tb", ACL_SYNTAX},
        {"<nosuch", ACL_NO_PASSWORD},
        {"!ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", ACL_NO_PASSWORD},
        {"#ca97", ACL_BAD_HASH},
        {"#CA978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", ACL_BAD_HASH},
        {"(on)", ACL_SYNTAX},
        {"(>a)", ACL_SYNTAX},
        {"((+get))", ACL_SYNTAX},
        {"(~a) +get)", ACL_SYNTAX},
        {"(+nosuch)", ACL_UNKNOWN},
        {"(&* &a)", ACL_ALL_CHANNELS},
        {")", ACL_SYNTAX},
        {" () ", ACL_SYNTAX},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct acl_user *u = user_of("+ping");
        cr_expect_eq(acl_user_rule(u, bytes_str(table[i].rule)), table[i].error, "%s",
                     table[i].rule);
        expect_text(u, table[i].rule, "off resetchannels -@all +ping");
        acl_user_free(u);
    }
    struct acl_user *u = user_of("~* &*");
    cr_expect_eq(acl_user_rule(u, bytes_str("~a")), ACL_ALL_KEYS);
    cr_expect_eq(acl_user_rule(u, bytes_str("%R~*")), ACL_ALL_KEYS);
    cr_expect_eq(acl_user_rule(u, bytes_str("&a")), ACL_ALL_CHANNELS);
    acl_user_free(u);
}

Test(acl_user, texts_that_cannot_be_read_make_no_user)
{
    static const char *const texts[] = {"on +nosuch", "(+get", "on )", "on ~* ~a", "maybe"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect_null(acl_user_parse(bytes_str("u"), bytes_str(texts[i])), "%s", texts[i]);
}

Test(acl_user, an_open_parenthesis_is_named)
{
    struct bytes argv[] = {bytes_str("on"), bytes_str("(+get"), bytes_str("~a")};
    struct acl_words out = {0};
    uint32_t open = 0;
    cr_expect(!acl_rules_join(3, argv, &out, &open));
    cr_expect_eq(open, 1u);
    acl_words_deinit(&out);
}

Test(acl_user, passwords_are_told_apart)
{
    struct acl_user *u = user_of(">one >two");
    cr_expect(acl_user_password_is(u, bytes_str("one")));
    cr_expect(acl_user_password_is(u, bytes_str("two")));
    cr_expect(!acl_user_password_is(u, bytes_str("On")));
    cr_expect(!acl_user_password_is(u, bytes_of(NULL, 0)));
    acl_user_free(u);
    u = user_of("nopass");
    cr_expect(acl_user_password_is(u, bytes_of(NULL, 0)));
    acl_user_free(u);
    u = user_of("on");
    cr_expect(!acl_user_password_is(u, bytes_of(NULL, 0)), "no password is not any password");
    acl_user_free(u);
}

/* ------------------------------------------------------------ checks */

static struct acl_verdict check(const struct acl_user *u, const char *words)
{
    struct bytes argv[16];
    uint32_t argc = 0;
    for (const char *p = words; *p != 0 && argc < 16; argc++) {
        size_t n = strcspn(p, " ");
        argv[argc] = bytes_of(p, n);
        p += n + (p[n] == ' ');
    }
    const struct command *c = command_resolve(argc, argv);
    cr_assert_not_null(c, "%s", words);
    return acl_check(u, c, argc, argv);
}

struct expected {
    const char *words;
    enum acl_denial denial;
    uint32_t at;
};

static void expect_all(const char *rules, const struct expected *table, size_t n)
{
    struct acl_user *u = user_of(rules);
    for (size_t i = 0; i < n; i++) {
        struct acl_verdict v = check(u, table[i].words);
        cr_expect(v.denial == table[i].denial && v.at == table[i].at,
                  "%s: %s: %d at %u instead of %d at %u", rules, table[i].words, (int)v.denial,
                  v.at, (int)table[i].denial, table[i].at);
    }
    acl_user_free(u);
}
#define EXPECT_ALL(rules, table) expect_all(rules, table, sizeof table / sizeof table[0])

Test(acl_check, commands_by_name_by_category_and_by_first_argument)
{
    static const struct expected some[] = {
        {"GET k", ACL_ALLOWED, 0},        {"SET k v", ACL_DENIED_COMMAND, 0},
        {"HGET h f", ACL_ALLOWED, 0},     {"HDEL h f", ACL_DENIED_COMMAND, 0},
        {"CONFIG GET x", ACL_ALLOWED, 0}, {"CONFIG SET x y", ACL_DENIED_COMMAND, 0},
        {"CLIENT ID", ACL_ALLOWED, 0},    {"CLIENT KILL x", ACL_DENIED_COMMAND, 0},
        {"SELECT 0", ACL_ALLOWED, 0},     {"SELECT 1", ACL_DENIED_COMMAND, 0},
        {"AUTH x", ACL_ALLOWED, 0},       {"PING", ACL_DENIED_COMMAND, 0},
    };
    EXPECT_ALL("~* +get +@hash -hdel +config|get +client -client|kill +select|0", some);
    static const struct expected most[] = {
        {"GET k", ACL_ALLOWED, 0},         {"FLUSHALL", ACL_DENIED_COMMAND, 0},
        {"KEYS *", ACL_ALLOWED, 0},        {"CONFIG GET x", ACL_DENIED_COMMAND, 0},
        {"ACL WHOAMI", ACL_ALLOWED, 0},    {"ACL LIST", ACL_DENIED_COMMAND, 0},
        {"SORT l", ACL_DENIED_COMMAND, 0},
    };
    EXPECT_ALL("~* +@all -@dangerous +keys", most);
}

Test(acl_check, keys_by_what_is_done_with_them)
{
    static const struct expected table[] = {
        {"GET r1", ACL_ALLOWED, 0},
        {"GET w1", ACL_DENIED_KEY, 1},
        {"SET w1 v", ACL_ALLOWED, 0},
        {"SET w1 v GET", ACL_DENIED_KEY, 1},
        {"SET b1 v GET", ACL_ALLOWED, 0},
        {"SET r1 v", ACL_DENIED_KEY, 1},
        {"LPUSH w1 v", ACL_ALLOWED, 0},
        {"LPOP w1", ACL_DENIED_KEY, 1},
        {"LPOP b1", ACL_ALLOWED, 0},
        {"EXISTS r1 w1 b1", ACL_ALLOWED, 0},
        {"EXISTS r1 x", ACL_DENIED_KEY, 2},
        {"STRLEN w1", ACL_ALLOWED, 0},
        {"TYPE w1", ACL_ALLOWED, 0},
        {"COPY r1 w1", ACL_ALLOWED, 0},
        {"COPY w1 r1", ACL_DENIED_KEY, 1},
        {"SUNIONSTORE w1 r1 r2", ACL_ALLOWED, 0},
        {"SUNIONSTORE r1 r1", ACL_DENIED_KEY, 1},
        {"SUNIONSTORE w1 r1 w2", ACL_DENIED_KEY, 3},
        {"ZUNIONSTORE w1 2 r1 r2", ACL_ALLOWED, 0},
        {"ZUNIONSTORE w1 2 r1 w2", ACL_DENIED_KEY, 4},
        {"SINTERCARD 2 r1 r2", ACL_ALLOWED, 0},
        {"SINTERCARD 2 w1 r1", ACL_DENIED_KEY, 2},
        {"MSET w1 a w2 b", ACL_ALLOWED, 0},
        {"MSET w1 a r2 b", ACL_DENIED_KEY, 3},
        {"BITOP AND w1 r1 r2", ACL_ALLOWED, 0},
        {"BITOP AND w1 w2", ACL_DENIED_KEY, 3},
        {"SORT r1 STORE w1", ACL_ALLOWED, 0},
        {"SORT r1 STORE r2", ACL_DENIED_KEY, 3},
        {"GETSET b1 v", ACL_ALLOWED, 0},
        {"GETSET w1 v", ACL_DENIED_KEY, 1},
        {"SORT r1 BY w*", ACL_ALLOWED, 0},
        {"PING", ACL_ALLOWED, 0},
    };
    EXPECT_ALL("+@all %R~r* %W~w* ~b*", table);
}

Test(acl_check, channels_and_patterns)
{
    static const struct expected table[] = {
        {"PUBLISH news.a x", ACL_ALLOWED, 0},
        {"PUBLISH other x", ACL_DENIED_CHANNEL, 1},
        {"SPUBLISH news.a x", ACL_ALLOWED, 0},
        {"SUBSCRIBE news.a one", ACL_ALLOWED, 0},
        {"SUBSCRIBE one other", ACL_DENIED_CHANNEL, 2},
        {"PSUBSCRIBE news.*", ACL_ALLOWED, 0},
        {"PSUBSCRIBE news.a", ACL_DENIED_CHANNEL, 1},
        {"PSUBSCRIBE news.* *", ACL_DENIED_CHANNEL, 2},
        {"UNSUBSCRIBE other", ACL_ALLOWED, 0},
        {"SSUBSCRIBE other", ACL_DENIED_CHANNEL, 1},
    };
    EXPECT_ALL("+@all &news.* &one", table);
}

Test(acl_check, selectors_are_alternatives_that_do_not_add_up)
{
    static const struct expected table[] = {
        {"GET a1", ACL_ALLOWED, 0},
        {"GET b1", ACL_DENIED_KEY, 1},
        {"SET b1 v", ACL_ALLOWED, 0},
        {"SET a1 v", ACL_DENIED_KEY, 1},
        {"COPY a1 b1", ACL_DENIED_COMMAND, 0},
        {"PING", ACL_ALLOWED, 0},
    };
    EXPECT_ALL("+ping (+get ~a*) (+set ~b*)", table);
    static const struct expected furthest[] = {
        {"MGET otherkey someotherkey", ACL_DENIED_KEY, 2},
        {"MGET key otherkey someotherkey", ACL_DENIED_KEY, 3},
        {"GET key", ACL_DENIED_COMMAND, 0},
    };
    EXPECT_ALL("+mget ~key (+mget ~key ~otherkey)", furthest);
}

Test(acl_check, only_who_may_do_everything_is_free)
{
    static const struct {
        const char *rules;
        bool is_free;
    } table[] = {
        {"~* &* +@all", true},        {"~* &* +@all -get", false}, {"~* +@all", false},
        {"&* +@all", false},          {"~* &* -@all +@all", true}, {"~* &*", false},
        {"~* &* +@all (+get)", true}, {"(~* &* +@all)", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct acl_user *u = user_of(table[i].rules);
        cr_expect_eq(acl_user_is_free(u), table[i].is_free, "%s", table[i].rules);
        acl_user_free(u);
    }
}

/* ------------------------------------------------------------ the log */

static void log_one(struct acl_log *l, const char *object, const char *user, int64_t at,
                    uint32_t max)
{
    acl_log_add(l,
                &(struct acl_event){.reason = ACL_LOG_KEY,
                                    .count = 1,
                                    .wall_ms = at,
                                    .object = bytes_str(object),
                                    .user = bytes_str(user),
                                    .client = bytes_str("id=1")},
                max);
}

static void expect_log(const struct acl_log *l, uint64_t count, const char *want)
{
    struct buf out = {0};
    struct reply r = {.out = &out, .resp = 2};
    acl_log_reply(l, count, 61000, &r);
    buf_put_u8(&out, 0);
    cr_expect_str_eq((const char *)out.p, want);
    buf_deinit(&out);
}

#define ENTRY(count, object, user, age_n, age)                                                     \
    "*14\r\n$5\r\ncount\r\n:" count "\r\n$6\r\nreason\r\n$3\r\nkey\r\n$7\r\ncontext\r\n$"          \
    "8\r\ntoplevel\r\n$6\r\nobject\r\n$1\r\n" object "\r\n$8\r\nusername\r\n$1\r\n" user           \
    "\r\n$11\r\nage-seconds\r\n$" age_n "\r\n" age "\r\n$11\r\nclient-info\r\n$4\r\nid=1\r\n"

Test(acl_log, what_happens_again_within_a_minute_counts_up)
{
    struct acl_log l = {0}, other = {0};
    struct buf wire = {0};
    log_one(&l, "a", "u", 1000, 3);
    log_one(&l, "b", "u", 2000, 3);
    log_one(&l, "a", "u", 61000, 3);
    expect_log(&l, 9, "*2\r\n" ENTRY("2", "a", "u", "1", "0") ENTRY("1", "b", "u", "2", "59"));
    expect_log(&l, 1, "*1\r\n" ENTRY("2", "a", "u", "1", "0"));
    acl_log_put(&l, &wire);
    acl_log_take(&other, buf_bytes(&wire), 3);
    expect_log(&other, 9, "*2\r\n" ENTRY("2", "a", "u", "1", "0") ENTRY("1", "b", "u", "2", "59"));
    acl_log_take(&other, buf_bytes(&wire), 3);
    cr_expect_eq(other.n, 2u);
    log_one(&l, "b", "u", 63000, 3);
    cr_expect_eq(l.n, 3u, "more than a minute later it is another entry");
    log_one(&l, "a", "v", 63000, 3);
    cr_expect_eq(l.n, 3u, "and the oldest goes");
    log_one(&l, "c", "v", 63000, 0);
    cr_expect_eq(l.n, 3u, "with no room nothing is noted, and nothing is lost");
    acl_log_clear(&l);
    expect_log(&l, 9, "*0\r\n");
    acl_log_clear(&other);
    buf_deinit(&wire);
}
