/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/latency.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

static const char *const names[LATENCY_KINDS] = {"command", "fast-command", "expire-cycle"};

const char *latency_name(enum latency_kind kind) { return names[kind]; }

enum latency_kind latency_find(struct bytes name)
{
    enum latency_kind kind = 0;
    while (kind < LATENCY_KINDS && !bytes_is_nocase(name, names[kind]))
        kind++;
    return kind;
}

void latency_add(struct latency *l, enum latency_kind kind, int64_t time_s, uint32_t ms)
{
    if (l->events[kind] == NULL)
        l->events[kind] = mem_zalloc(sizeof *l->events[kind]);
    struct latency_event *e = l->events[kind];
    struct latency_sample *last = &e->samples[(e->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
    if (ms > e->max_ms)
        e->max_ms = ms;
    if (last->time_s == time_s) { /* one sample a second: the longest */
        if (ms > last->ms)
            last->ms = ms;
        return;
    }
    e->samples[e->next] = (struct latency_sample){.time_s = time_s, .ms = ms};
    e->next = (e->next + 1) % LATENCY_SAMPLES;
}

bool latency_reset(struct latency *l, enum latency_kind kind)
{
    bool was = l->events[kind] != NULL;
    mem_free(l->events[kind]);
    l->events[kind] = NULL;
    return was;
}

void latency_deinit(struct latency *l)
{
    for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++)
        latency_reset(l, kind);
}

uint32_t latency_samples(const struct latency *l, enum latency_kind kind,
                         struct latency_sample out[LATENCY_SAMPLES])
{
    const struct latency_event *e = l->events[kind];
    uint32_t n = 0;
    for (uint32_t i = 0; e != NULL && i < LATENCY_SAMPLES; i++) {
        const struct latency_sample *s = &e->samples[(e->next + i) % LATENCY_SAMPLES];
        if (s->time_s != 0)
            out[n++] = *s;
    }
    return n;
}

/* ------------------------------------------------------------ of several workers */

void latency_put(const struct latency *l, struct buf *out)
{
    for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++) {
        uint8_t there = l->events[kind] != NULL;
        buf_put(out, &there, 1);
        if (there)
            buf_put(out, l->events[kind], sizeof *l->events[kind]);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct latency_sample *x = a, *y = b;
    return (x->time_s > y->time_s) - (x->time_s < y->time_s);
}

static void merge_event(struct latency *sum, enum latency_kind kind,
                        const struct latency_event *one)
{
    struct latency_sample all[2 * LATENCY_SAMPLES], theirs[LATENCY_SAMPLES];
    struct latency_event copy = *one;
    const struct latency only = {.events = {[0] = &copy}};
    uint32_t n = latency_samples(sum, kind, all), max = one->max_ms;
    uint32_t more = latency_samples(&only, 0, theirs);
    memcpy(all + n, theirs, more * sizeof all[0]);
    n += more;
    if (sum->events[kind] != NULL && sum->events[kind]->max_ms > max)
        max = sum->events[kind]->max_ms;
    qsort(all, n, sizeof all[0], by_time);
    latency_reset(sum, kind);
    for (uint32_t i = 0; i < n; i++)
        latency_add(sum, kind, all[i].time_s, all[i].ms);
    if (sum->events[kind] != NULL)
        sum->events[kind]->max_ms = max;
}

void latency_merge(struct latency *sum, struct bytes in)
{
    for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++) {
        assert(in.n > 0); /* what a worker of this process wrote */
        bool there = in.p[0];
        in = bytes_of(in.p + 1, in.n - 1);
        if (!there)
            continue;
        struct latency_event one;
        assert(in.n >= sizeof one);
        memcpy(&one, in.p, sizeof one);
        in = bytes_of(in.p + sizeof one, in.n - sizeof one);
        merge_event(sum, kind, &one);
    }
}

/* ------------------------------------------------------------ for people */

#define GRAPH_ROWS 4u

static void age_label(int64_t s, char out[8])
{
    static const struct {
        int64_t s;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (s >= units[i].s || units[i].s == 1) {
            int64_t n = s / units[i].s;
            if (n > 999)
                n = 999;
            size_t k = 0;
            char digits[4];
            do
                digits[k++] = (char)('0' + n % 10);
            while ((n /= 10) > 0);
            size_t at = 0;
            while (k > 0)
                out[at++] = digits[--k];
            out[at++] = units[i].unit;
            out[at] = 0;
            return;
        }
}

void latency_graph(const struct latency *l, enum latency_kind kind, int64_t now_s, struct buf *out)
{
    static const char *const shades[] = {" ", "_", "o", "#"};
    struct latency_sample s[LATENCY_SAMPLES];
    uint32_t n = latency_samples(l, kind, s), low = UINT32_MAX, high = 0;
    for (uint32_t i = 0; i < n; i++) {
        low = s[i].ms < low ? s[i].ms : low;
        high = s[i].ms > high ? s[i].ms : high;
    }
    buf_putf(out, "%s - high %u ms, low %u ms (all time high %u ms)\n", names[kind], high, low,
             l->events[kind] != NULL ? l->events[kind]->max_ms : 0);
    for (unsigned i = 0; i < 80; i++)
        buf_put_str(out, "-");
    buf_put_str(out, "\n");
    uint32_t from = n > 80 ? n - 80 : 0;
    const unsigned levels = GRAPH_ROWS * 3;
    for (unsigned row = GRAPH_ROWS; row-- > 0;) {
        for (uint32_t i = from; i < n; i++) {
            unsigned level = high == low ? 1 : 1 + (s[i].ms - low) * (levels - 1) / (high - low);
            unsigned shade = level <= row * 3 ? 0 : level >= row * 3 + 3 ? 3 : level - row * 3;
            buf_put_str(out, shades[shade]);
        }
        buf_put_str(out, "\n");
    }
    buf_put_str(out, "\n");
    for (unsigned row = 0; row < 4; row++) { /* how long ago, from top to bottom */
        for (uint32_t i = from; i < n; i++) {
            char label[8] = "";
            age_label(now_s > s[i].time_s ? now_s - s[i].time_s : 0, label);
            char one[2] = {row < strlen(label) ? label[row] : ' ', 0};
            buf_put_str(out, one);
        }
        buf_put_str(out, "\n");
    }
}

void latency_doctor(const struct latency *l, int64_t threshold_ms, struct buf *out)
{
    uint32_t events = 0;
    if (threshold_ms == 0) {
        buf_put_str(out,
                    "Delays are not being watched: this doctor has nothing to go by. Say which "
                    "are worth noting, in milliseconds:\n\n"
                    "    CONFIG SET latency-monitor-threshold <milliseconds>\n");
        return;
    }
    for (enum latency_kind kind = 0; kind < LATENCY_KINDS; kind++) {
        struct latency_sample s[LATENCY_SAMPLES];
        uint32_t n = latency_samples(l, kind, s);
        if (n == 0)
            continue;
        uint64_t sum = 0, off = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += s[i].ms;
        uint64_t mean = sum / n;
        for (uint32_t i = 0; i < n; i++)
            off += s[i].ms > mean ? s[i].ms - mean : mean - s[i].ms;
        if (events++ == 0)
            buf_putf(out, "Delays of %lld ms and more were seen:\n\n", (long long)threshold_ms);
        buf_putf(out,
                 "%u. %s: %u latency spikes (average %llums, mean deviation %llums). Worst all "
                 "time event %ums.\n",
                 events, names[kind], n, (unsigned long long)mean, (unsigned long long)(off / n),
                 l->events[kind]->max_ms);
    }
    if (events == 0) {
        buf_put_str(out, "No delay was as long as latency-monitor-threshold: all is well.\n");
        return;
    }
    buf_put_str(out,
                "\nWhat to do:\n\n"
                "- SLOWLOG GET shows the commands that took long (slowlog-log-slower-than).\n");
    if (l->events[LATENCY_COMMAND] != NULL)
        buf_put_str(out,
                    "- Commands whose time grows with the data (see COMMAND DOCS) hold all other "
                    "clients of the worker up: ask for less at a time (SCAN, COUNT, LIMIT).\n");
    if (l->events[LATENCY_FAST_COMMAND] != NULL)
        buf_put_str(out,
                    "- Cheap commands were slow: the machine is short of CPU time or memory.\n");
    if (l->events[LATENCY_EXPIRE] != NULL)
        buf_put_str(out, "- Many keys expired at the same moment: spread their deadlines.\n");
}
