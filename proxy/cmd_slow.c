/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/measure.h"
#include "proxy/route.h"

/* SLOWLOG and LATENCY: what took long, on all workers. */

/* ------------------------------------------------------------ SLOWLOG */

static void finish_get(struct front *f, struct answer *a, struct reply *r)
{
    uint64_t max = (uint64_t)f->kept.number[CONFIG_SLOWLOG_MAX_LEN];
    slowlog_reply(r, a->parts, a->parts_count, a->aux < max ? a->aux : max);
}

static void slowlog_get(struct ask *a)
{
    int64_t count = 10;
    if (a->argc == 3 && (!num_parse_i64(a->argv[2], &count) || count < -1)) {
        reply_error(&a->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    if (a->argc > 3) {
        reply_wrong_arguments(a, a->command->name);
        return;
    }
    struct bytes what = bytes_str("get");
    route_workers(a, JOB_SLOWLOG, 1, &what, finish_get, count < 0 ? UINT64_MAX : (uint64_t)count);
}

static void finish_len(struct front *f, struct answer *a, struct reply *r)
{
    int64_t n = answer_sum(a), max = f->kept.number[CONFIG_SLOWLOG_MAX_LEN];
    reply_int(r, n < max ? n : max);
}

static void slowlog_len(struct ask *a)
{
    struct bytes what = bytes_str("len");
    route_workers(a, JOB_SLOWLOG, 1, &what, finish_len, 0);
}

static void finish_ok(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    (void)a;
    reply_ok(r);
}

static void slowlog_reset(struct ask *a)
{
    struct bytes what = bytes_str("reset");
    route_workers(a, JOB_SLOWLOG, 1, &what, finish_ok, 0);
}

static void slowlog_help(struct ask *a)
{
    static const char *const lines[] = {
        "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------ LATENCY */

static void merge_latency(const struct answer *a, struct latency *sum)
{
    *sum = (struct latency){0};
    for (uint32_t i = 0; i < a->parts_count; i++)
        latency_merge(sum, buf_bytes(&a->parts[i]));
}

static void ask_latency(struct ask *a, answer_finish *finish, uint64_t aux)
{
    struct bytes what = bytes_str("get");
    route_workers(a, JOB_LATENCY, 1, &what, finish, aux);
}

static void finish_latest(struct front *f, struct answer *a, struct reply *r)
{
    struct latency l;
    struct latency_sample s[LATENCY_SAMPLES];
    size_t n = 0;
    (void)f;
    merge_latency(a, &l);
    for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++)
        n += latency_samples(&l, kind, s) > 0;
    reply_array(r, n);
    for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++) {
        uint32_t samples = latency_samples(&l, kind, s);
        if (samples == 0)
            continue;
        reply_array(r, 4);
        reply_bulk_str(r, latency_name(kind));
        reply_int(r, s[samples - 1].time_s);
        reply_int(r, s[samples - 1].ms);
        reply_int(r, l.events[kind]->max_ms);
    }
    latency_deinit(&l);
}

static void latency_latest(struct ask *a) { ask_latency(a, finish_latest, 0); }

static void finish_history(struct front *f, struct answer *a, struct reply *r)
{
    struct latency l;
    struct latency_sample s[LATENCY_SAMPLES];
    (void)f;
    merge_latency(a, &l);
    uint32_t n = a->aux < LATENCY_KINDS ? latency_samples(&l, (enum latency_kind)a->aux, s) : 0;
    reply_array(r, n);
    for (uint32_t i = 0; i < n; i++) {
        reply_array(r, 2);
        reply_int(r, s[i].time_s);
        reply_int(r, s[i].ms);
    }
    latency_deinit(&l);
}

static void latency_history(struct ask *a)
{
    ask_latency(a, finish_history, latency_find(a->argv[2]));
}

static void finish_graph(struct front *f, struct answer *a, struct reply *r)
{
    struct latency l;
    struct buf text = {0};
    enum latency_kind kind = (enum latency_kind)a->aux;
    (void)f;
    merge_latency(a, &l);
    if (l.events[kind] == NULL) {
        reply_errorf(r, "ERR No samples available for event '%s'", latency_name(kind));
    } else {
        latency_graph(&l, kind, a->now.wall_ms / 1000, &text);
        reply_verbatim(r, buf_bytes(&text));
    }
    buf_deinit(&text);
    latency_deinit(&l);
}

static void latency_graph_of(struct ask *a)
{
    enum latency_kind kind = latency_find(a->argv[2]);
    if (kind == LATENCY_KINDS)
        reply_errorf(&a->reply, "ERR No samples available for event '%.*s'",
                     (int)(a->argv[2].n < 128 ? a->argv[2].n : 128), (const char *)a->argv[2].p);
    else
        ask_latency(a, finish_graph, kind);
}

static void finish_doctor(struct front *f, struct answer *a, struct reply *r)
{
    struct latency l;
    struct buf text = {0};
    merge_latency(a, &l);
    latency_doctor(&l, f->kept.number[CONFIG_LATENCY_MONITOR_THRESHOLD], &text);
    reply_verbatim(r, buf_bytes(&text));
    buf_deinit(&text);
    latency_deinit(&l);
}

static void latency_doctor_all(struct ask *a) { ask_latency(a, finish_doctor, 0); }

static void latency_reset_all(struct ask *a)
{
    struct bytes *argv = mem_alloc((a->argc - 1) * sizeof argv[0]);
    argv[0] = bytes_str("reset");
    for (uint32_t i = 2; i < a->argc; i++)
        argv[i - 1] = a->argv[i];
    route_workers(a, JOB_LATENCY, a->argc - 1, argv, merge_of(MERGE_SUM), 0);
    mem_free(argv);
}

/* ------------------------------------------------------------ LATENCY HISTOGRAM */

static void reply_histogram(struct reply *r, const struct command *cmd, const struct command_use *u)
{
    size_t n = 0;
    uint64_t seen = 0;
    for (unsigned power = 0; power < 40; power++)
        n += histogram_below(u->histogram, power) > 0;
    reply_bulk_str(r, cmd->name);
    reply_map(r, 2);
    reply_bulk_str(r, "calls");
    reply_int(r, (int64_t)u->histogram->n);
    reply_bulk_str(r, "histogram_usec");
    reply_map(r, n);
    for (unsigned power = 0; power < 40; power++) {
        uint64_t more = histogram_below(u->histogram, power);
        seen += more;
        if (more == 0)
            continue;
        reply_int(r, INT64_C(1) << power);
        reply_int(r, (int64_t)seen);
    }
}

static void finish_histogram(struct front *f, struct answer *a, struct reply *r)
{
    struct stats sum;
    size_t n = 0;
    unsigned all;
    const struct command *const *commands = command_all(&all);
    (void)f;
    stats_init(&sum);
    for (uint32_t i = 0; i < a->parts_count; i++)
        stats_add(&sum, buf_bytes(&a->parts[i]));
    for (unsigned i = 0; i < all; i++)
        n += sum.uses[i].histogram != NULL;
    reply_map(r, n);
    for (unsigned i = 0; i < all; i++)
        if (sum.uses[i].histogram != NULL)
            reply_histogram(r, commands[i], &sum.uses[i]);
    stats_deinit(&sum);
}

/* The workers choose by name: measure.c. */
static void latency_histogram(struct ask *a)
{
    route_workers(a, JOB_STATS, a->argc - 2, a->argv + 2, finish_histogram, 0);
}

static void latency_help(struct ask *a)
{
    static const char *const lines[] = {
        "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        ("    Return a cumulative distribution of latencies in the format of a histogram for the "
         "specified command names."),
        "    If no commands are specified then all histograms are replied",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_slow_commands[] = {
    {"slowlog|get", slowlog_get, SESSION_ALONE},
    {"slowlog|len", slowlog_len, SESSION_ALONE},
    {"slowlog|reset", slowlog_reset, SESSION_ALONE},
    {"slowlog|help", slowlog_help, 0},
    {"latency|latest", latency_latest, SESSION_ALONE},
    {"latency|history", latency_history, SESSION_ALONE},
    {"latency|graph", latency_graph_of, SESSION_ALONE},
    {"latency|doctor", latency_doctor_all, SESSION_ALONE},
    {"latency|reset", latency_reset_all, SESSION_ALONE},
    {"latency|histogram", latency_histogram, SESSION_ALONE},
    {"latency|help", latency_help, 0},
    {NULL, NULL, 0},
};
