/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/stats.h"

#include "base/mem.h"
#include "shard/command_facts.h"

#include <assert.h>

/* ------------------------------------------------------------ durations */

#define SUB_BITS 3u

static unsigned step_of(uint64_t ns)
{
    if (ns < 1u << SUB_BITS)
        return (unsigned)ns;
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    unsigned step = ((power - SUB_BITS + 1) << SUB_BITS) |
                    (unsigned)(ns >> (power - SUB_BITS) & ((1u << SUB_BITS) - 1));
    return step < HISTOGRAM_STEPS ? step : HISTOGRAM_STEPS - 1;
}

static uint64_t step_begin(unsigned step)
{
    if (step < 1u << SUB_BITS)
        return step;
    unsigned power = (step >> SUB_BITS) + SUB_BITS - 1;
    return (UINT64_C(1) << power) +
           ((uint64_t)(step & ((1u << SUB_BITS) - 1)) << (power - SUB_BITS));
}

/* The longest duration that a step counts. */
static uint64_t step_end(unsigned step) { return step_begin(step + 1) - 1; }

void histogram_add(struct histogram *h, uint64_t ns, uint32_t n)
{
    uint32_t *at = &h->at[step_of(ns)];
    *at = *at > UINT32_MAX - n ? UINT32_MAX : *at + n;
    h->n += n;
}

uint64_t histogram_percentile(const struct histogram *h, double share)
{
    double want = share * (double)h->n / 100;
    uint64_t seen = 0;
    unsigned last = 0;
    for (unsigned i = 0; i < HISTOGRAM_STEPS; i++) {
        if (h->at[i] == 0)
            continue;
        last = i;
        seen += h->at[i];
        if ((double)seen >= want)
            break;
    }
    return step_end(last);
}

uint64_t histogram_below(const struct histogram *h, unsigned power)
{
    uint64_t from = power == 0 ? 0 : 1000ull << (power - 1), to = 1000ull << power, n = 0;
    for (unsigned i = 0; i < HISTOGRAM_STEPS; i++)
        if (step_begin(i) >= from && step_begin(i) < to)
            n += h->at[i];
    return n;
}

/* ------------------------------------------------------------ the table */

/* A cheap command's share of a pipeline's time is near enough to its own. */
static bool is_timed(const struct command *cmd)
{
    if (cmd->flags & CMD_ADMIN)
        return true; /* DEBUG SLEEP */
    return !(cmd->flags & CMD_FAST) &&
           strncmp(cmd->complexity ? cmd->complexity : "", "O(1)", 4) != 0;
}

void stats_init(struct stats *s)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    *s = (struct stats){.uses = mem_zalloc(n * sizeof s->uses[0]),
                        .errors = mem_zalloc(ERROR_CODES_MAX * sizeof s->errors[0]),
                        .tracking = true};
    for (unsigned i = 0; i < n; i++) {
        s->uses[i].timed = is_timed(all[i]);
        s->uses[i].unlogged = (command_known_facts(all[i])->flags & INFO_SKIP_SLOWLOG) != 0;
    }
}

void stats_reset(struct stats *s)
{
    for (unsigned i = 0; i < command_count(); i++) {
        mem_free(s->uses[i].histogram);
        s->uses[i] =
            (struct command_use){.timed = s->uses[i].timed, .unlogged = s->uses[i].unlogged};
    }
    s->errors_count = 0;
}

void stats_deinit(struct stats *s)
{
    stats_reset(s);
    mem_free(s->uses);
    mem_free(s->errors);
    *s = (struct stats){0};
}

void stats_took(struct stats *s, struct command_use *u, uint64_t ns, uint32_t n)
{
    u->ns += ns;
    if (!s->tracking)
        return;
    if (u->histogram == NULL)
        u->histogram = mem_zalloc(sizeof *u->histogram);
    histogram_add(u->histogram, ns / n, n);
}

static void count_error(struct stats *s, const char *code, size_t len, uint64_t n)
{
    for (uint32_t i = 0; i < s->errors_count; i++)
        if (strncmp(s->errors[i].code, code, len) == 0 && s->errors[i].code[len] == 0) {
            s->errors[i].n += n;
            return;
        }
    if (s->errors_count == ERROR_CODES_MAX)
        return; /* scripts make up codes of their own */
    struct error_use *e = &s->errors[s->errors_count++];
    *e = (struct error_use){.n = n};
    memcpy(e->code, code, len);
}

void stats_error(struct stats *s, struct bytes reply)
{
    size_t n = 0;
    while (n < reply.n && n + 1 < ERROR_CODE_BYTES && reply.p[n] > ' ')
        n++;
    count_error(s, (const char *)reply.p, n, 1);
}

uint64_t stats_calls(const struct stats *s)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < command_count(); i++)
        n += s->uses[i].calls;
    return n;
}

uint64_t stats_errors(const struct stats *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->errors_count; i++)
        n += s->errors[i].n;
    return n;
}

void rate_sample(struct rate *r, uint64_t calls, uint64_t now_us)
{
    r->calls[r->next % RATE_SAMPLES] = calls;
    r->at_us[r->next % RATE_SAMPLES] = now_us;
    r->next++;
}

uint64_t rate_per_second(const struct rate *r)
{
    if (r->next < 2)
        return 0;
    uint32_t last = (r->next - 1) % RATE_SAMPLES;
    uint32_t first = r->next > RATE_SAMPLES ? r->next % RATE_SAMPLES : 0;
    uint64_t us = r->at_us[last] - r->at_us[first];
    if (us == 0 || r->calls[last] < r->calls[first]) /* CONFIG RESETSTAT in between */
        return 0;
    return (r->calls[last] - r->calls[first]) * 1000000 / us;
}

/* ------------------------------------------------------------ between workers of one process */

static bool is_named(const struct command *cmd, uint32_t n, const struct bytes *names)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct command *named = command_find_full(names[i]);
        if (named == NULL)
            continue;
        size_t len = strlen(named->name);
        if (named == cmd || ((named->flags & CMD_CONTAINER) &&
                             strncmp(cmd->name, named->name, len) == 0 && cmd->name[len] == '|'))
            return true;
    }
    return n == 0;
}

void stats_put(const struct stats *s, uint32_t names_count, const struct bytes *names,
               struct buf *out)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    for (unsigned i = 0; i < n; i++) {
        struct command_use u = s->uses[i];
        if (!is_named(all[i], names_count, names))
            u.histogram = NULL;
        buf_put(out, &u, sizeof u);
    }
    for (unsigned i = 0; i < n; i++)
        if (s->uses[i].histogram != NULL && is_named(all[i], names_count, names))
            buf_put(out, s->uses[i].histogram, sizeof(struct histogram));
    buf_put(out, &s->errors_count, sizeof s->errors_count);
    buf_put(out, s->errors, s->errors_count * sizeof s->errors[0]);
}

static void take(struct bytes *in, void *out, size_t n)
{
    assert(in->n >= n); /* what a worker of this process wrote */
    memcpy(out, in->p, n);
    *in = bytes_of(in->p + n, in->n - n);
}

static void add_histogram(struct command_use *u, const struct histogram *one)
{
    if (u->histogram == NULL)
        u->histogram = mem_zalloc(sizeof *u->histogram);
    u->histogram->n += one->n;
    for (unsigned i = 0; i < HISTOGRAM_STEPS; i++)
        u->histogram->at[i] += one->at[i];
}

void stats_add(struct stats *sum, struct bytes in)
{
    unsigned n = command_count();
    struct command_use *uses = mem_alloc(n * sizeof uses[0]);
    take(&in, uses, n * sizeof uses[0]);
    for (unsigned i = 0; i < n; i++) {
        sum->uses[i].calls += uses[i].calls;
        sum->uses[i].rejected += uses[i].rejected;
        sum->uses[i].failed += uses[i].failed;
        sum->uses[i].ns += uses[i].ns;
    }
    struct histogram h;
    for (unsigned i = 0; i < n; i++) {
        if (uses[i].histogram == NULL)
            continue;
        take(&in, &h, sizeof h);
        add_histogram(&sum->uses[i], &h);
    }
    mem_free(uses);
    uint32_t errors;
    take(&in, &errors, sizeof errors);
    for (uint32_t i = 0; i < errors; i++) {
        struct error_use e;
        take(&in, &e, sizeof e);
        count_error(sum, e.code, strlen(e.code), e.n);
    }
}
