/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/resp.h"
#include "migrate/load.h"
#include "rdb/crc64.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ------------------------------------------------------------ a target by hand */

#define CONNS 16u

/* A port that only has connections; the test plays the other side. */
struct hand {
    struct port port; /* first */
    struct migrate_sink *sink;
    struct moment now;
    struct {
        struct conn_owner *owner;
        struct buf out;
        bool up;
    } conns[CONNS];
    conn_id last;
    struct buf taken; /* what `sent` gave */
};

static struct hand *of(struct port *p) { return (struct hand *)p; }

static conn_id op_dial(struct port *p, const struct dial_opts *o)
{
    struct hand *h = of(p);
    cr_assert(h->last + 1 < CONNS);
    h->conns[++h->last].owner = o->owner;
    return h->last;
}

static struct buf *op_out(struct port *p, conn_id c)
{
    return of(p)->conns[c].up ? &of(p)->conns[c].out : NULL;
}

static void op_close(struct port *p, conn_id c, bool flush)
{
    (void)flush;
    of(p)->conns[c].up = false;
}

static void event(struct hand *h, enum event_kind kind, struct bytes data)
{
    struct event ev = {
        .kind = kind, .now = h->now, .conn = h->last, .data = data, .err = ERR_RESET};
    h->conns[h->last].owner->step(h->conns[h->last].owner, &h->port, &ev);
}

static void opens(struct hand *h)
{
    h->conns[h->last].up = true;
    event(h, EV_OPEN, bytes_of(NULL, 0));
}

static void says(struct hand *h, const char *text) { event(h, EV_DATA, bytes_str(text)); }

static void breaks(struct hand *h)
{
    h->conns[h->last].up = false;
    event(h, EV_CLOSED, bytes_of(NULL, 0));
}

static void passes(struct hand *h, uint64_t ms)
{
    h->now.mono_us += ms * 1000;
    h->now.wall_ms += (int64_t)ms;
    migrate_sink_tick(h->sink, &h->port, h->now);
}

/* The commands that were sent since the last call, as words, one a line. */
static const char *sent(struct hand *h)
{
    struct buf *out = &h->conns[h->last].out;
    struct resp_args args = {0};
    const struct resp_limits limits = {
        .bulk_max = 1u << 30, .args_max = 10000, .query_max = 1u << 30};
    buf_clear(&h->taken);
    while (buf_len(out) > 0) {
        struct resp r = {0};
        resp_args_clear(&args);
        cr_assert(resp_parse(&r, buf_bytes(out), &limits, &args) == RESP_DONE);
        for (uint32_t i = 0; i < r.argc; i++)
            buf_putf(&h->taken, "%s%.*s", i > 0 ? " " : "", (int)args.at[i].n,
                     (const char *)args.at[i].p);
        buf_put_u8(&h->taken, '\n');
        buf_consume(out, r.used);
    }
    buf_put_u8(&h->taken, 0);
    resp_args_deinit(&args);
    return (const char *)h->taken.p;
}

static const struct port_ops ops = {.dial = op_dial, .out = op_out, .close = op_close};

static struct hand *hand_new(const struct migrate_sink_opts *o)
{
    struct hand *h = mem_zalloc(sizeof *h);
    struct migrate_sink_opts all = *o;
    h->port.ops = &ops;
    h->now = (struct moment){.wall_ms = 1700000000000, .mono_us = 1000000};
    all.host = "target.test";
    all.port = 6379;
    all.connections = 1;
    h->sink = migrate_sink_new(&all);
    migrate_sink_start(h->sink, &h->port, h->now);
    return h;
}

/* Past the greeting. */
static struct hand *hand_ready(void)
{
    struct hand *h = hand_new(&(struct migrate_sink_opts){0});
    opens(h);
    cr_assert_str_eq(sent(h), "CLIENT SETNAME meridian-migrate\n");
    says(h, "+OK\r\n");
    return h;
}

static void hand_free(struct hand *h)
{
    migrate_sink_free(h->sink, &h->port);
    for (unsigned i = 0; i < CONNS; i++)
        buf_deinit(&h->conns[i].out);
    buf_deinit(&h->taken);
    mem_free(h);
}

static void put(struct hand *h, enum migrate_again again, uint64_t length, const char *words)
{
    struct bytes argv[16];
    size_t argc = 0;
    for (const char *p = words; *p != 0; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        argv[argc++] = bytes_of(p, n);
        p += n;
    }
    migrate_sink_put(h->sink, &h->port,
                     &(struct migrate_command){.argc = argc,
                                               .argv = argv,
                                               .key = argv[1],
                                               .again = again,
                                               .length = length,
                                               .kind = 2});
}

static void says_run(struct hand *h, const char *run)
{
    char text[200];
    snprintf(text, sizeof text, "+OK\r\n$%zu\r\n# Server\r\nrun_id:%s\r\n\r\n", strlen(run) + 19,
             run);
    says(h, text);
}

static const struct migrate_sink_stats *stats(const struct hand *h)
{
    return migrate_sink_stats(h->sink);
}

/* ------------------------------------------------------------ answers */

Test(sink, a_target_that_was_restarted_meanwhile_ends_it)
{
    for (unsigned other = 0; other < 2; other++) {
        struct hand *h = hand_new(&(struct migrate_sink_opts){.same_run = true});
        opens(h);
        cr_assert_str_eq(sent(h), "CLIENT SETNAME meridian-migrate\nINFO server\n");
        says_run(h, "one");
        put(h, MIGRATE_AGAIN, 0, "SET a 1");
        cr_assert_str_eq(sent(h), "SET a 1\n");
        says(h, "+OK\r\n");
        breaks(h);
        h->now.mono_us += 20000000;
        migrate_sink_tick(h->sink, &h->port, h->now);
        opens(h);
        (void)sent(h);
        says_run(h, other ? "two" : "one");
        const char *fatal = migrate_sink_fatal(h->sink);
        cr_expect(other ? fatal != NULL && strstr(fatal, "restarted") != NULL : fatal == NULL);
        hand_free(h);
    }
}

Test(sink, greets_with_the_credentials)
{
    struct hand *h = hand_new(&(struct migrate_sink_opts){
        .user = bytes_str("alice"), .password = bytes_str("secret"), .client_name = "test"});
    put(h, MIGRATE_AGAIN, 0, "SET a 1"); /* waits until all is said */
    opens(h);
    cr_expect_str_eq(sent(h), "AUTH alice secret\nCLIENT SETNAME test\n");
    says(h, "+OK\r\n-ERR unknown comm"); /* a server without it is taken, too */
    cr_expect_str_eq(sent(h), "");
    says(h, "and\r\n");
    cr_expect_str_eq(sent(h), "SET a 1\n");
    cr_expect(!migrate_sink_is_idle(h->sink));
    says(h, "+OK\r\n");
    cr_expect(migrate_sink_is_idle(h->sink));
    cr_expect(stats(h)->done[2] == 1 && stats(h)->failed == 0);
    hand_free(h);
}

Test(sink, tells_what_was_refused)
{
    struct hand *h = hand_ready();
    size_t n;
    put(h, MIGRATE_AGAIN, 0, "SET a 1");
    put(h, MIGRATE_AGAIN, 0, "SADD b\x01 2");
    put(h, MIGRATE_AGAIN, 0, "SET c 3");
    says(h, "+OK\r\n-WRONGTYPE Operation\r\n:1\r\n");
    const struct migrate_error *e = migrate_sink_errors(h->sink, &n);
    cr_assert(n == 1);
    cr_expect_str_eq(e[0].key, "b\\x01");
    cr_expect_str_eq(e[0].text, "WRONGTYPE Operation");
    cr_expect(stats(h)->done[2] == 2 && stats(h)->failed == 1 && stats(h)->failed_of[2] == 1);
    cr_expect(migrate_sink_fatal(h->sink) == NULL);
    hand_free(h);
}

Test(sink, gives_up_where_nothing_helps)
{
    static const char *const table[][2] = {
        {"-OOM command not allowed\r\n", "memory limit"},
        {"-NOAUTH Authentication required.\r\n", "credentials"},
        {"-NOPERM no\r\n", "right"},
        {"-READONLY replica\r\n", "master"},
    };
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct hand *h = hand_ready();
        put(h, MIGRATE_AGAIN, 0, "SET a 1");
        says(h, table[i][0]);
        const char *why = migrate_sink_fatal(h->sink);
        cr_assert(why != NULL);
        cr_expect(strstr(why, table[i][1]) != NULL, "%s", why);
        cr_expect(strstr(why, "target.test:6379") != NULL);
        cr_expect(!migrate_sink_has_room(h->sink));
        cr_expect(migrate_sink_deadline(h->sink) == UINT64_MAX);
        hand_free(h);
    }
    struct hand *h = hand_new(&(struct migrate_sink_opts){.password = bytes_str("x")});
    opens(h);
    says(h, "-WRONGPASS invalid\r\n");
    cr_expect(strstr(migrate_sink_fatal(h->sink), "password") != NULL);
    hand_free(h);
}

/* ------------------------------------------------------------ connections that break */

Test(sink, sends_again_what_was_not_answered)
{
    struct hand *h = hand_ready();
    put(h, MIGRATE_AGAIN, 0, "SET a 1");
    put(h, MIGRATE_AGAIN, 0, "SET b 2");
    put(h, MIGRATE_AGAIN, 0, "SET c 3");
    sent(h);
    says(h, "+OK\r\n+O");
    breaks(h);
    put(h, MIGRATE_AGAIN, 0, "SET d 4");
    cr_expect(h->last == 1);
    passes(h, 150);
    cr_assert(h->last == 2);
    opens(h);
    cr_expect_str_eq(sent(h), "CLIENT SETNAME meridian-migrate\n");
    says(h, "+OK\r\n");
    cr_expect_str_eq(sent(h), "SET b 2\nSET c 3\nSET d 4\n");
    says(h, "+OK\r\n+OK\r\n+OK\r\n");
    cr_expect(migrate_sink_is_idle(h->sink));
    cr_expect(stats(h)->answered == 4 && stats(h)->reconnects == 1);
    hand_free(h);
}

Test(sink, waits_while_the_target_loads)
{
    struct hand *h = hand_ready();
    put(h, MIGRATE_AGAIN, 0, "SET a 1");
    says(h, "-LOADING Redis is loading the dataset in memory\r\n");
    cr_expect(migrate_sink_fatal(h->sink) == NULL && stats(h)->failed == 0);
    passes(h, 150);
    cr_assert(h->last == 2);
    opens(h);
    says(h, "+OK\r\n");
    cr_expect(strstr(sent(h), "SET a 1\n") != NULL);
    says(h, "+OK\r\n");
    cr_expect(migrate_sink_is_idle(h->sink));
    hand_free(h);
}

/* A disk that fails, a region that catches up: waited for, not for ever, and nothing is counted. */
Test(sink, waits_for_a_while_when_the_target_takes_no_writes)
{
    static const char *const texts[] = {"-MISCONF the disk is full\r\n",
                                        "-STALE this region lost its memory\r\n"};
    for (unsigned i = 0; i < 2; i++) {
        struct hand *h = hand_ready();
        put(h, MIGRATE_AGAIN, 0, "SET a 1");
        says(h, texts[i]);
        for (unsigned n = 0; n < 200 && migrate_sink_fatal(h->sink) == NULL; n++) {
            conn_id before = h->last;
            passes(h, 5000);
            if (h->last == before)
                continue;
            opens(h);
            says(h, "+OK\r\n");
            if (strstr(sent(h), "SET a 1\n") != NULL)
                says(h, texts[i]);
        }
        const char *why = migrate_sink_fatal(h->sink);
        cr_assert(why != NULL && strstr(why, "has taken no writes for 60 seconds") != NULL, "%s",
                  why);
        cr_expect(stats(h)->answered == 0 && stats(h)->failed == 0);
        hand_free(h);
    }
}

Test(sink, gives_up_when_the_target_cannot_open_its_files)
{
    struct hand *h = hand_ready();
    put(h, MIGRATE_AGAIN, 0, "SET a 1");
    says(h, "-LOADING the database cannot be opened: log-1 is damaged at offset 7\r\n");
    const char *why = migrate_sink_fatal(h->sink);
    cr_assert(why != NULL && strstr(why, "docs/recovery.md") != NULL, "%s", why);
    cr_expect(stats(h)->answered == 0);
    hand_free(h);
}

struct told {
    unsigned unsure, answered;
    uint64_t tag;
};

static void answered(void *arg, uint64_t tag, const char *error, struct bytes reply)
{
    struct told *t = arg;
    t->unsure += reply.n == 0 && error == NULL;
    t->answered += reply.n > 0;
    t->tag = tag;
}

Test(sink, never_repeats_what_must_not_be)
{
    struct told told = {0};
    struct hand *h = hand_new(&(struct migrate_sink_opts){.answered = answered, .arg = &told});
    opens(h);
    says(h, "+OK\r\n");
    put(h, MIGRATE_ONCE, 0, "INCR a");
    put(h, MIGRATE_AGAIN, 0, "SET b 2");
    breaks(h);
    put(h, MIGRATE_ONCE, 0, "INCR c"); /* it was not on its way yet */
    cr_expect(told.unsure == 1 && stats(h)->unsure == 1);
    passes(h, 150);
    opens(h);
    says(h, "+OK\r\n");
    cr_expect(strstr(sent(h), "SET b 2\nINCR c\n") != NULL);
    says(h, "+OK\r\n:1\r\n");
    cr_expect(told.answered == 2 && migrate_sink_is_idle(h->sink));
    hand_free(h);
}

/* A list of 3 gets 2 and 2 more; the connection breaks after `n` elements were there. */
static const char *again_with(struct hand *h, const char *length)
{
    put(h, MIGRATE_PUSH, 3, "RPUSH l d e");
    put(h, MIGRATE_PUSH, 5, "RPUSH l f g");
    put(h, MIGRATE_AGAIN, 0, "PEXPIREAT l 99");
    breaks(h);
    passes(h, 150);
    opens(h);
    cr_expect_str_eq(sent(h), "CLIENT SETNAME meridian-migrate\nLLEN l\n");
    says(h, "+OK\r\n");
    says(h, length);
    return sent(h);
}

Test(sink, pushes_each_element_once)
{
    struct hand *h = hand_ready();
    cr_expect_str_eq(again_with(h, ":3\r\n"), "RPUSH l d e\nRPUSH l f g\nPEXPIREAT l 99\n");
    says(h, ":5\r\n:7\r\n:1\r\n");
    cr_expect(migrate_sink_is_idle(h->sink) && stats(h)->failed == 0);
    hand_free(h);
    h = hand_ready();
    cr_expect_str_eq(again_with(h, ":5\r\n"), "RPUSH l f g\nPEXPIREAT l 99\n");
    says(h, ":7\r\n:1\r\n");
    cr_expect(migrate_sink_is_idle(h->sink) && stats(h)->failed == 0 && stats(h)->answered == 3);
    hand_free(h);
    h = hand_ready();
    cr_expect_str_eq(again_with(h, ":7\r\n"), "PEXPIREAT l 99\n");
    hand_free(h);
    h = hand_ready();
    again_with(h, ":6\r\n"); /* no push of ours makes that */
    cr_expect(strstr(migrate_sink_fatal(h->sink), "somebody else") != NULL);
    hand_free(h);
}

/* What empties the list goes again, too: then all pushes do. */
Test(sink, asks_no_length_when_the_list_begins_anew)
{
    struct hand *h = hand_ready();
    put(h, MIGRATE_AGAIN, 0, "DEL l");
    put(h, MIGRATE_PUSH, 0, "RPUSH l a b");
    breaks(h);
    passes(h, 150);
    opens(h);
    says(h, "+OK\r\n");
    cr_expect_str_eq(sent(h), "CLIENT SETNAME meridian-migrate\nDEL l\nRPUSH l a b\n");
    says(h, ":1\r\n:9\r\n");
    cr_expect(stats(h)->failed == 1, "a list that is longer than it should be is told of");
    hand_free(h);
}

Test(sink, an_entry_that_is_there_already_is_no_error_the_second_time)
{
    struct hand *h = hand_ready();
    put(h, MIGRATE_AGAIN, 0, "XADD s 1-1 f v");
    put(h, MIGRATE_AGAIN, 0, "XGROUP s CREATE g 0");
    breaks(h);
    put(h, MIGRATE_AGAIN, 0, "XADD s 1-1 f v"); /* but the first time it is */
    passes(h, 150);
    opens(h);
    says(h, "+OK\r\n-ERR The ID specified in XADD is equal or smaller than ..\r\n"
            "-BUSYGROUP Consumer Group name already exists\r\n"
            "-ERR The ID specified in XADD is equal or smaller than ..\r\n");
    cr_expect(stats(h)->failed == 1 && stats(h)->answered == 3);
    hand_free(h);
}

Test(sink, has_patience_for_a_while)
{
    struct hand *h = hand_ready();
    put(h, MIGRATE_AGAIN, 0, "SET a 1");
    breaks(h);
    for (unsigned i = 0; i < 100 && migrate_sink_fatal(h->sink) == NULL && h->last + 1 < CONNS;
         i++) {
        conn_id before = h->last;
        passes(h, 5000);
        if (h->last != before)
            breaks(h);
    }
    cr_assert(migrate_sink_fatal(h->sink) != NULL);
    cr_expect(strstr(migrate_sink_fatal(h->sink), "60 seconds") != NULL);
    hand_free(h);
    h = hand_new(&(struct migrate_sink_opts){0}); /* never reached: at once */
    breaks(h);
    cr_expect(strstr(migrate_sink_fatal(h->sink), "cannot be used") != NULL);
    hand_free(h);
    h = hand_new(&(struct migrate_sink_opts){.patient_first = true});
    breaks(h);
    cr_expect(migrate_sink_fatal(h->sink) == NULL);
    hand_free(h);
}

Test(sink, keeps_within_its_window)
{
    struct hand *h = hand_new(&(struct migrate_sink_opts){.window_bytes = 100});
    opens(h);
    says(h, "+OK\r\n");
    unsigned n = 0;
    for (; migrate_sink_has_room(h->sink) && n < 100; n++)
        put(h, MIGRATE_AGAIN, 0, "SET a 1");
    cr_expect(n == 4, "27 bytes each");
    says(h, "+OK\r\n");
    cr_expect(migrate_sink_has_room(h->sink));
    hand_free(h);
}

Test(sink, takes_no_stranger_for_a_database)
{
    struct hand *h = hand_new(&(struct migrate_sink_opts){0});
    opens(h);
    says(h, "HTTP/1.1 400 Bad Request\r\n");
    cr_expect(strstr(migrate_sink_fatal(h->sink), "protocol") != NULL);
    hand_free(h);
    h = hand_ready();
    says(h, "+OK\r\n"); /* nobody asked */
    cr_expect(stats(h)->connected == 0 && migrate_sink_fatal(h->sink) == NULL);
    hand_free(h);
}

/* ------------------------------------------------------------ files into commands */

static void key(struct buf *b, uint8_t code, const char *name)
{
    buf_put_u8(b, code);
    rdb_put_text(b, bytes_str(name));
}

static void member(struct buf *b, const char *begin, unsigned i)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%s%u", begin, i);
    rdb_put_text(b, bytes_of(text, (size_t)n));
}

static void finish(struct buf *b)
{
    buf_put_u8(b, 255);
    rdb_put_fixed(b, crc64(0, buf_bytes(b)), 8);
}

static enum load_result load(struct hand *h, struct migrate_load *l, struct bytes file)
{
    migrate_load_push(l, file);
    return migrate_load_run(l, h->sink, &h->port, h->now);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

Test(load, gives_values_as_they_stand)
{
    struct hand *h = hand_ready();
    struct buf file = {0};
    struct migrate_load *l = migrate_load_new(&(struct migrate_load_opts){.db = MIGRATE_DB_ANY});
    buf_put_str(&file, "REDIS0009");
    buf_put_u8(&file, 254), rdb_put_length(&file, 4);
    buf_put_u8(&file, 252), rdb_put_fixed(&file, 1800000000000, 8);
    buf_put_u8(&file, 248), rdb_put_length(&file, 60);
    key(&file, RDB_CODE_STRING, "a"), rdb_put_text(&file, bytes_str("one"));
    buf_put_u8(&file, 252), rdb_put_fixed(&file, 1600000000000, 8);
    key(&file, RDB_CODE_STRING, "gone"), rdb_put_text(&file, bytes_str("two"));
    buf_put_u8(&file, 249), buf_put_u8(&file, 9);
    key(&file, RDB_CODE_STRING, "b"), rdb_put_text(&file, bytes_str("3"));
    buf_put_u8(&file, 245), rdb_put_text(&file, bytes_str("#!lua name=x"));
    finish(&file);
    cr_assert(load(h, l, buf_bytes(&file)) == LOAD_END);
    const char *text = sent(h);
    cr_expect(strncmp(text, "RESTORE a 1800000000000 ", 24) == 0);
    cr_expect(count(text, "REPLACE ABSTTL IDLETIME 60\n") == 1);
    cr_expect(count(text, "RESTORE b 0 ") == 1 && count(text, "REPLACE ABSTTL FREQ 9\n") == 1);
    cr_expect(count(text, "gone") == 0);
    cr_expect(count(text, "FUNCTION LOAD REPLACE #!lua name=x\n") == 1);
    const struct migrate_load_stats *s = migrate_load_stats(l);
    cr_expect(s->keys == 3 && s->expired == 1 && s->functions == 1 && s->db == 4);
    migrate_load_free(l);
    buf_deinit(&file);
    hand_free(h);
}

/* 3,000 elements in parts of 1,000 bytes. */
static struct migrate_load *load_large(struct hand *h, uint8_t code, int64_t deadline)
{
    struct buf file = {0};
    struct migrate_load *l =
        migrate_load_new(&(struct migrate_load_opts){.db = 0, .limits = {.part_bytes = 20000}});
    buf_put_str(&file, "REDIS0009");
    if (deadline > 0)
        buf_put_u8(&file, 252), rdb_put_fixed(&file, (uint64_t)deadline, 8);
    key(&file, code, "large");
    rdb_put_length(&file, 3000);
    for (unsigned i = 0; i < 3000; i++) {
        member(&file, "element ", i);
        if (code == RDB_CODE_HASH)
            member(&file, "value ", i);
        else if (code == RDB_CODE_ZSET_2)
            rdb_put_double(&file, i / 2.0);
    }
    finish(&file);
    cr_assert(load(h, l, buf_bytes(&file)) == LOAD_END);
    buf_deinit(&file);
    return l;
}

Test(load, large_collections_go_in_parts)
{
    static const struct {
        uint8_t code;
        const char *command, *item;
    } table[] = {{RDB_CODE_LIST, "\nRPUSH large ", " element 2999"},
                 {RDB_CODE_SET, "\nSADD large ", " element 2999"},
                 {RDB_CODE_HASH, "\nHSET large ", " element 2999 value 2999"},
                 {RDB_CODE_ZSET_2, "\nZADD large ", " 1499.5 element 2999"}};
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct hand *h = hand_ready();
        struct migrate_load *l = load_large(h, table[i].code, i == 1 ? 1800000000000 : 0);
        const char *text = sent(h);
        cr_expect(count(text, "RESTORE large 0 ") == 1);
        cr_expect(count(text, table[i].command) >= 2);
        cr_expect(count(text, table[i].item) == 1);
        cr_expect(count(text, "\nPEXPIREAT large 1800000000000\n") == (i == 1));
        cr_expect(count(text, "\nEXISTS large\n") == (i != 1), "the last one counts the key");
        migrate_load_free(l);
        hand_free(h);
    }
}

Test(load, several_databases_are_an_error_that_says_to_choose)
{
    struct buf file = {0};
    buf_put_str(&file, "REDIS0009");
    for (unsigned db = 2; db < 5; db += 2) {
        buf_put_u8(&file, 254), rdb_put_length(&file, db);
        key(&file, RDB_CODE_STRING, "a"), rdb_put_text(&file, bytes_str("one"));
    }
    finish(&file);
    for (unsigned dry = 0; dry < 2; dry++) {
        struct hand *h = hand_ready();
        struct migrate_load *l =
            migrate_load_new(&(struct migrate_load_opts){.db = MIGRATE_DB_ANY, .dry = dry});
        cr_expect(load(h, l, buf_bytes(&file)) == LOAD_BAD);
        cr_expect(strstr(migrate_load_why(l), "2 (1 keys), 4 (1 keys)") != NULL);
        cr_expect(strstr(migrate_load_why(l), "--from-db") != NULL);
        migrate_load_free(l);
        l = migrate_load_new(&(struct migrate_load_opts){.db = 4, .dry = dry});
        cr_expect(load(h, l, buf_bytes(&file)) == LOAD_END);
        cr_expect(migrate_load_stats(l)->keys == 1 && migrate_load_stats(l)->other_dbs == 1);
        migrate_load_free(l);
        hand_free(h);
    }
    buf_deinit(&file);
}

static void field(struct buf *file, const char *name)
{
    rdb_put_text(file, bytes_str(name)), rdb_put_text(file, bytes_str("v"));
}

/* Three fields each: one never expires, one later, one has. */
Test(load, brings_hashes_without_their_fields_deadlines_when_asked_to)
{
    struct hand *h = hand_ready();
    struct buf file = {0};
    struct listpack pack = {0};
    size_t n;
    struct migrate_load *l =
        migrate_load_new(&(struct migrate_load_opts){.db = MIGRATE_DB_ANY, .drop_field_ttl = true});
    buf_put_str(&file, "VALKEY080");
    key(&file, RDB_CODE_HASH_EXPIRING, "table");
    rdb_put_fixed(&file, 1, 8), rdb_put_length(&file, 3);
    rdb_put_length(&file, 0), field(&file, "never");
    rdb_put_length(&file, UINT64_C(1) << 50), field(&file, "later");
    rdb_put_length(&file, 1), field(&file, "gone");
    key(&file, RDB_CODE_HASH_EXPIRING_VALKEY, "triples");
    rdb_put_length(&file, 3);
    field(&file, "never"), rdb_put_fixed(&file, UINT64_MAX, 8);
    field(&file, "later"), rdb_put_fixed(&file, UINT64_C(1) << 50, 8);
    field(&file, "gone"), rdb_put_fixed(&file, 1, 8);
    key(&file, RDB_CODE_HASH_EXPIRING_LISTPACK, "all_gone");
    listpack_add(&pack, bytes_str("f")), listpack_add(&pack, bytes_str("v"));
    listpack_add_number(&pack, 1);
    struct buf packed = {0};
    listpack_finish(&pack, &packed);
    rdb_put_fixed(&file, 1, 8), rdb_put_text(&file, buf_bytes(&packed));
    finish(&file);
    h->now.wall_ms = 2000;
    cr_assert(load(h, l, buf_bytes(&file)) == LOAD_END, "%s", migrate_load_why(l));
    (void)migrate_sink_errors(h->sink, &n);
    cr_expect(n == 0);
    const struct migrate_load_stats *s = migrate_load_stats(l);
    cr_expect(s->keys == 3 && s->fields == 2 && s->fields_of == 2 && s->expired == 1);
    const char *all = sent(h);
    cr_expect(count(all, "RESTORE") == 2);
    cr_expect(count(all, "later") == 2 && count(all, "gone") == 0, "%s", all);
    migrate_load_free(l);
    listpack_deinit(&pack);
    buf_deinit(&packed);
    buf_deinit(&file);
    hand_free(h);
}

Test(load, names_what_it_cannot_bring)
{
    struct hand *h = hand_ready();
    struct buf file = {0};
    size_t n;
    struct migrate_load *l = migrate_load_new(&(struct migrate_load_opts){.db = MIGRATE_DB_ANY});
    buf_put_str(&file, "REDIS0012");
    key(&file, RDB_CODE_MODULE_2, "doc");
    rdb_put_length(&file, UINT64_C(0x26427c7c2a2a2a2a)), buf_put_u8(&file, 0);
    key(&file, RDB_CODE_HASH_EXPIRING, "h");
    rdb_put_fixed(&file, 5, 8), rdb_put_length(&file, 1), rdb_put_length(&file, 1);
    rdb_put_text(&file, bytes_str("f")), rdb_put_text(&file, bytes_str("v"));
    key(&file, RDB_CODE_STRING, "a"), rdb_put_text(&file, bytes_str("one"));
    finish(&file);
    cr_assert(load(h, l, buf_bytes(&file)) == LOAD_END);
    const struct migrate_error *e = migrate_sink_errors(h->sink, &n);
    cr_assert(n == 2);
    cr_expect_str_eq(e[0].key, "doc");
    cr_expect(strstr(e[0].text, "module JkJ8fCoqK") != NULL);
    cr_expect(strstr(e[1].text, "HEXPIRE") != NULL);
    cr_expect(count(sent(h), "RESTORE") == 1);
    migrate_load_free(l);
    buf_deinit(&file);
    hand_free(h);
}
