/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/latency.h"
#include "proxy/slowlog.h"
#include "proxy/stats.h"
#include "tests/unit/serve.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ------------------------------------------------------------ stats */

Test(stats, percentiles_are_within_an_eighth)
{
    struct histogram h = {0};
    for (unsigned us = 1; us <= 1000; us++)
        histogram_add(&h, us * 1000, 1);
    const struct {
        double share, ns;
    } want[] = {{50, 500000}, {99, 990000}, {100, 1000000}, {0, 1000}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        double got = (double)histogram_percentile(&h, want[i].share);
        cr_expect(got >= want[i].ns && got <= want[i].ns * 1.125, "p%g is %g", want[i].share, got);
    }
    cr_expect_eq(histogram_percentile(&(struct histogram){0}, 50), 0);
}

Test(stats, every_duration_lies_below_one_power_of_two)
{
    struct histogram h = {0};
    static const uint64_t ns[] = {0, 1, 999, 1000, 1001, 65000, 1000000, 3600000000000, UINT64_MAX};
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof ns / sizeof ns[0]; i++)
        histogram_add(&h, ns[i], 1);
    for (unsigned power = 0; power < 50; power++)
        n += histogram_below(&h, power);
    cr_expect_eq(n, h.n);
    cr_expect_eq(histogram_below(&h, 0), 5, "up to a step's width");
}

Test(stats, those_of_two_workers_add_up)
{
    struct stats a, b, sum;
    struct buf out = {0};
    struct bytes get = bytes_str("get"), set = bytes_str("set");
    stats_init(&a), stats_init(&b), stats_init(&sum);
    struct command_use *u = stats_use(&a, command_find(get));
    u->calls = 3;
    stats_took(&a, u, 3000, 3);
    stats_error(&a, bytes_str("WRONGTYPE Operation"));
    u = stats_use(&b, command_find(get));
    u->calls = 2, u->failed = 1;
    stats_took(&b, u, 5000, 1);
    stats_took(&b, stats_use(&b, command_find(set)), 5000, 1);
    stats_error(&b, bytes_str("WRONGTYPE Operation"));
    stats_error(&b, bytes_str("ERR\r\n"));
    stats_put(&a, 0, NULL, &out);
    stats_add(&sum, buf_bytes(&out));
    buf_clear(&out);
    stats_put(&b, 1, &get, &out);
    stats_add(&sum, buf_bytes(&out));
    u = stats_use(&sum, command_find(get));
    cr_expect(u->calls == 5 && u->failed == 1 && u->ns == 8000 && u->histogram->n == 4);
    cr_expect_null(stats_use(&sum, command_find(set))->histogram, "it was not asked for");
    cr_expect_eq(stats_use(&sum, command_find(set))->ns, 5000);
    cr_expect(sum.errors_count == 2 && sum.errors[0].n == 2 && stats_errors(&sum) == 3);
    cr_expect_str_eq(sum.errors[1].code, "ERR");
    cr_expect_eq(stats_calls(&sum), 5);
    buf_deinit(&out);
    stats_deinit(&a), stats_deinit(&b), stats_deinit(&sum);
}

Test(stats, codes_of_errors_are_bounded)
{
    struct stats s;
    stats_init(&s);
    for (unsigned i = 0; i < 2 * ERROR_CODES_MAX; i++) {
        char text[80];
        snprintf(text, sizeof text, "CODE%u%060d oh no", i, 0);
        stats_error(&s, bytes_str(text));
    }
    cr_expect_eq(s.errors_count, ERROR_CODES_MAX);
    cr_expect_eq(strlen(s.errors[0].code), ERROR_CODE_BYTES - 1);
    stats_reset(&s);
    cr_expect_eq(s.errors_count, 0);
    stats_deinit(&s);
}

Test(stats, a_rate_is_that_of_the_last_samples)
{
    struct rate r = {0};
    cr_expect_eq(rate_per_second(&r), 0);
    for (unsigned i = 0; i < 100; i++)
        rate_sample(&r, i < 50 ? i * 10 : 500 + (i - 50) * 100, i * 100000);
    cr_expect_eq(rate_per_second(&r), 1000);
    rate_sample(&r, 0, 10000000);
    cr_expect_eq(rate_per_second(&r), 0, "the counters began anew");
}

/* ------------------------------------------------------------ slow log */

static void add(struct slowlog *l, uint64_t number, int64_t time_s, const char *word)
{
    struct bytes argv = bytes_str(word);
    slowlog_add(l,
                &(struct slow_call){.number = number,
                                    .time_s = time_s,
                                    .took_us = 7,
                                    .argc = 1,
                                    .argv = &argv,
                                    .client = bytes_str("1.2.3.4:5"),
                                    .name = bytes_str("me")},
                3);
}

Test(slowlog, keeps_the_newest_and_merges_workers_by_time)
{
    struct slowlog a = {0}, b = {0};
    struct buf parts[2] = {{0}}, out = {0};
    struct reply r = {.out = &out, .resp = 2};
    for (unsigned i = 0; i < 5; i++)
        add(&a, 2 * i, 10 * i, "A");
    add(&b, 1, 25, "B");
    cr_expect_eq(a.n, 3);
    slowlog_put(&a, 10, &parts[0]);
    slowlog_put(&b, 10, &parts[1]);
    slowlog_reply(&r, parts, 2, 3);
    const char *want = "*3\r\n"
                       "*6\r\n:8\r\n:40\r\n:7\r\n*1\r\n$1\r\nA\r\n$9\r\n1.2.3.4:5\r\n$2\r\nme\r\n"
                       "*6\r\n:6\r\n:30\r\n:7\r\n*1\r\n$1\r\nA\r\n$9\r\n1.2.3.4:5\r\n$2\r\nme\r\n"
                       "*6\r\n:1\r\n:25\r\n:7\r\n*1\r\n$1\r\nB\r\n$9\r\n1.2.3.4:5\r\n$2\r\nme\r\n";
    cr_expect(bytes_is(buf_bytes(&out), want), "%.*s", (int)buf_len(&out), out.p);
    slowlog_clear(&a), slowlog_clear(&b);
    cr_expect(a.n == 0 && a.newest == NULL && a.oldest == NULL);
    buf_deinit(&parts[0]), buf_deinit(&parts[1]), buf_deinit(&out);
}

Test(slowlog, cuts_many_and_long_arguments)
{
    struct slowlog l = {0};
    struct buf part = {0}, out = {0};
    struct reply r = {.out = &out, .resp = 2};
    char text[300];
    struct bytes argv[40];
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < 40; i++)
        argv[i] = bytes_of(text, i == 1 ? 300 : 1);
    slowlog_add(&l, &(struct slow_call){.argc = 40, .argv = argv}, 10);
    slowlog_put(&l, 1, &part);
    slowlog_reply(&r, &part, 1, 1);
    buf_put(&out, "", 1);
    const char *got = (const char *)buf_bytes(&out).p;
    cr_expect_not_null(strstr(got, "*32\r\n$1\r\nx\r\n$148\r\nxxx"));
    cr_expect_not_null(strstr(got, "xxx... (172 more bytes)\r\n"));
    cr_expect_not_null(strstr(got, "$1\r\nx\r\n$22\r\n... (9 more arguments)\r\n"));
    slowlog_clear(&l);
    buf_deinit(&part), buf_deinit(&out);
}

/* ------------------------------------------------------------ latency */

Test(latency, keeps_the_longest_of_a_second_and_the_newest_samples)
{
    struct latency l = {0};
    struct latency_sample s[LATENCY_SAMPLES];
    latency_add(&l, LATENCY_COMMAND, 100, 5);
    latency_add(&l, LATENCY_COMMAND, 100, 9);
    latency_add(&l, LATENCY_COMMAND, 100, 7);
    cr_expect_eq(latency_samples(&l, LATENCY_COMMAND, s), 1);
    cr_expect(s[0].time_s == 100 && s[0].ms == 9);
    for (unsigned i = 1; i <= 2 * LATENCY_SAMPLES; i++)
        latency_add(&l, LATENCY_COMMAND, 100 + i, 1);
    cr_expect_eq(latency_samples(&l, LATENCY_COMMAND, s), LATENCY_SAMPLES);
    cr_expect(s[0].time_s == 101 + LATENCY_SAMPLES && s[0].ms == 1);
    cr_expect_eq(l.events[LATENCY_COMMAND]->max_ms, 9);
    cr_expect_eq(latency_samples(&l, LATENCY_EXPIRE, s), 0);
    cr_expect(latency_reset(&l, LATENCY_COMMAND));
    cr_expect_not(latency_reset(&l, LATENCY_COMMAND));
    latency_deinit(&l);
}

Test(latency, merges_workers)
{
    struct latency a = {0}, b = {0}, sum = {0};
    struct latency_sample s[LATENCY_SAMPLES];
    struct buf out = {0};
    latency_add(&a, LATENCY_COMMAND, 10, 5);
    latency_add(&a, LATENCY_COMMAND, 30, 5);
    latency_add(&b, LATENCY_COMMAND, 20, 50);
    latency_add(&b, LATENCY_COMMAND, 30, 8);
    latency_add(&b, LATENCY_FAST_COMMAND, 1, 1);
    latency_put(&a, &out);
    latency_merge(&sum, buf_bytes(&out));
    buf_clear(&out);
    latency_put(&b, &out);
    latency_merge(&sum, buf_bytes(&out));
    cr_expect_eq(latency_samples(&sum, LATENCY_COMMAND, s), 3);
    cr_expect(s[0].time_s == 10 && s[1].ms == 50 && s[2].ms == 8);
    cr_expect_eq(sum.events[LATENCY_COMMAND]->max_ms, 50);
    cr_expect_eq(latency_samples(&sum, LATENCY_FAST_COMMAND, s), 1);
    buf_clear(&out);
    latency_graph(&sum, LATENCY_COMMAND, 3700, &out);
    buf_put(&out, "", 1);
    cr_expect_not_null(strstr((const char *)buf_bytes(&out).p,
                              "command - high 50 ms, low 5 ms (all time high 50 ms)\n"));
    latency_deinit(&a), latency_deinit(&b), latency_deinit(&sum);
    buf_deinit(&out);
}

/* ------------------------------------------------------------ by clients */

static void has(struct client *c, const char *line, const char *part)
{
    const char *got = client_ask(c, line);
    cr_expect_not_null(strstr(got, part), "%s: %s\nis not in\n%s", line, part, got);
}

Test(measure, counts_calls_failures_and_refusals_on_all_workers)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 3, .shards = 3});
    struct client *c = client_new(s);
    for (int i = 0; i < 6; i++) {
        char line[64];
        snprintf(line, sizeof line, "set k%d x\r\nincr k%d\r\nget k%d x\r\n", i, i, i);
        client_ask(client_new(s), line);
    }
    has(c, "info commandstats\r\n",
        "cmdstat_set:calls=6,usec=0,usec_per_call=0.00,rejected_calls=0,"
        "failed_calls=0\r\n");
    has(c, "info commandstats\r\n",
        "cmdstat_incr:calls=6,usec=0,usec_per_call=0.00,rejected_calls=0,"
        "failed_calls=6\r\n");
    has(c, "info commandstats\r\n",
        "cmdstat_get:calls=0,usec=0,usec_per_call=0.00,rejected_calls=6,"
        "failed_calls=0\r\n");
    has(c, "info errorstats\r\n", "errorstat_ERR:count=12\r\n");
    has(c, "latency histogram set\r\n", "$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:6\r\n");
    has(c, "config resetstat\r\n", "+OK\r\n");
    has(c, "info errorstats\r\n", "# Errorstats\r\n\r\n");
    serve_free(s);
}

Test(measure, logs_slow_commands_with_their_client_wherever_they_ran)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 3, .shards = 3});
    struct client *c = client_new(s);
    has(c, "config set slowlog-log-slower-than 0\r\n", "+OK\r\n");
    has(c, "slowlog reset\r\n", "+OK\r\n");
    has(c, "client setname anna\r\n", "+OK\r\n");
    for (int i = 0; i < 6; i++) {
        char line[64];
        snprintf(line, sizeof line, "set k%d x\r\n", i);
        client_ask(c, line);
    }
    has(c, "auth secret\r\n", "-");
    has(c, "config set slowlog-log-slower-than -1\r\n", "+OK\r\n");
    const char *got = client_ask(c, "slowlog get 100\r\n");
    for (int i = 0; i < 6; i++) {
        char part[64];
        snprintf(part, sizeof part, "$3\r\nset\r\n$2\r\nk%d\r\n$1\r\nx\r\n", i);
        cr_expect_not_null(strstr(got, part), "%s", part);
    }
    cr_expect_not_null(strstr(got, "$4\r\nauth\r\n$10\r\n(redacted)\r\n"));
    unsigned named = 0;
    for (const char *p = got; (p = strstr(p, "$4\r\nanna\r\n")) != NULL; p++)
        named++;
    cr_expect_geq(named, 7);
    has(c, "slowlog get -2\r\n", "-ERR count should be greater than or equal to -1\r\n");
    serve_free(s);
}
