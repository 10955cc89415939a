/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/pubsub.h"
#include "proxy/route.h"
#include "shard/glob.h"

#include <assert.h>
#include <stdio.h>

/*
 * CONFIG: the settings that exist, by Redis' names. What the manager owns (memory, password) is
 * shown and not set here; what this program does not have (save, appendonly) shows Redis' value for
 * "off" and takes no other.
 */
enum config_id {
    CONFIG_APPENDFSYNC,
    CONFIG_APPENDONLY,
    CONFIG_CLUSTER,
    CONFIG_OUT,
    CONFIG_QUERY,
    CONFIG_DATABASES,
    CONFIG_MAXCLIENTS,
    CONFIG_MAXMEMORY,
    CONFIG_POLICY,
    CONFIG_EVENTS,
    CONFIG_PORT,
    CONFIG_BULK,
    CONFIG_SAVE,
    CONFIG_TIMEOUT,
    CONFIG_COUNT
};

static const char *const names[CONFIG_COUNT] = {
    [CONFIG_APPENDFSYNC] = "appendfsync",
    [CONFIG_APPENDONLY] = "appendonly",
    [CONFIG_CLUSTER] = "cluster-enabled",
    [CONFIG_OUT] = "client-output-buffer-limit",
    [CONFIG_QUERY] = "client-query-buffer-limit",
    [CONFIG_DATABASES] = "databases",
    [CONFIG_MAXCLIENTS] = "maxclients",
    [CONFIG_MAXMEMORY] = "maxmemory",
    [CONFIG_POLICY] = "maxmemory-policy",
    [CONFIG_EVENTS] = "notify-keyspace-events",
    [CONFIG_PORT] = "port",
    [CONFIG_BULK] = "proto-max-bulk-len",
    [CONFIG_SAVE] = "save",
    [CONFIG_TIMEOUT] = "timeout",
};

static void config_text(const struct front *f, enum config_id id, char *out, size_t size)
{
    const struct front_settings *s = &f->settings;
    unsigned long long number = 0;
    switch (id) {
    case CONFIG_APPENDFSYNC:
        snprintf(out, size, "everysec");
        return;
    case CONFIG_APPENDONLY:
    case CONFIG_CLUSTER:
        snprintf(out, size, "no");
        return;
    case CONFIG_OUT:
        snprintf(out, size, "normal %llu 0 0 slave 0 0 0 pubsub %llu %llu %u",
                 (unsigned long long)s->out_max, (unsigned long long)s->push_max,
                 (unsigned long long)s->push_soft, s->push_soft_s);
        return;
    case CONFIG_EVENTS:
        assert(size >= EVENTS_TEXT_MAX);
        events_text(s->events, out);
        return;
    case CONFIG_POLICY:
        snprintf(out, size, "noeviction");
        return;
    case CONFIG_SAVE:
        out[0] = 0;
        return;
    case CONFIG_QUERY:
        number = f->limits.query_max;
        break;
    case CONFIG_DATABASES:
        number = 1;
        break;
    case CONFIG_MAXCLIENTS:
        number = s->clients_max;
        break;
    case CONFIG_MAXMEMORY:
        number = s->memory_max;
        break;
    case CONFIG_PORT:
        number = s->port;
        break;
    case CONFIG_BULK:
        number = s->bulk_max;
        break;
    case CONFIG_TIMEOUT:
        number = s->timeout_s;
        break;
    case CONFIG_COUNT:
        break;
    }
    snprintf(out, size, "%llu", number);
}

static bool config_matches(const struct ask *a, enum config_id id)
{
    for (uint32_t i = 2; i < a->argc; i++)
        if (glob_match_nocase(a->argv[i], bytes_str(names[id])))
            return true;
    return false;
}

static void config_get(struct ask *a)
{
    size_t n = 0;
    for (enum config_id id = 0; id < CONFIG_COUNT; id++)
        n += config_matches(a, id);
    reply_map(&a->reply, n);
    for (enum config_id id = 0; id < CONFIG_COUNT; id++) {
        if (!config_matches(a, id))
            continue;
        char text[160];
        config_text(a->front, id, text, sizeof text);
        reply_bulk_str(&a->reply, names[id]);
        reply_bulk_str(&a->reply, text);
    }
}

/* ------------------------------------------------------------ SET */

/* A number with Redis' units: k kb m mb g gb. */
static bool parse_memory(struct bytes s, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"kb", 1024},   {"mb", 1u << 20},  {"gb", 1u << 30}, {"k", 1000},
                 {"m", 1000000}, {"g", 1000000000}, {"b", 1}};
    size_t n = 0;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    int64_t v = 0;
    if (!num_parse_i64(bytes_of(s.p, n), &v))
        return false;
    uint64_t factor = n == s.n;
    for (size_t i = 0; factor == 0 && i < sizeof units / sizeof units[0]; i++)
        if (bytes_is_nocase(bytes_of(s.p + n, s.n - n), units[i].unit))
            factor = units[i].factor;
    if (factor == 0 || (v > 0 && factor > INT64_MAX / (uint64_t)v))
        return false;
    *out = (uint64_t)v * factor;
    return true;
}

/* "normal HARD SOFT SECONDS" groups; of normal clients only the hard limit means something here. */
static bool parse_out_limit(struct bytes s, struct front_settings *out)
{
    struct bytes words[13];
    unsigned n = 0;
    for (size_t i = 0; i < s.n && n < 13;) {
        size_t from = i;
        while (i < s.n && s.p[i] != ' ')
            i++;
        words[n++] = bytes_of(s.p + from, i - from);
        while (i < s.n && s.p[i] == ' ')
            i++;
    }
    if (n == 0 || n % 4 != 0)
        return false;
    for (unsigned i = 0; i < n; i += 4) {
        uint64_t hard = 0, soft = 0, seconds = 0;
        bool normal = bytes_is_nocase(words[i], "normal");
        if (!normal && !bytes_is_nocase(words[i], "slave") &&
            !bytes_is_nocase(words[i], "replica") && !bytes_is_nocase(words[i], "pubsub"))
            return false;
        if (!parse_memory(words[i + 1], &hard) || !parse_memory(words[i + 2], &soft) ||
            !parse_memory(words[i + 3], &seconds))
            return false;
        if (normal)
            out->out_max = hard;
        if (bytes_is_nocase(words[i], "pubsub")) {
            out->push_max = hard;
            out->push_soft = soft;
            out->push_soft_s = seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
        }
    }
    return true;
}

static enum config_id config_find(struct bytes name)
{
    enum config_id id = 0;
    while (id < CONFIG_COUNT && !bytes_is_nocase(name, names[id]))
        id++;
    return id;
}

/* Puts the value into `s`; NULL or why not. */
static const char *config_put(const struct front *f, struct front_settings *s, enum config_id id,
                              struct bytes value)
{
    uint64_t n = 0;
    char now[160];
    switch (id) {
    case CONFIG_OUT:
        return parse_out_limit(value, s)
                   ? NULL
                   : "Wrong number of arguments in buffer limit configuration.";
    case CONFIG_EVENTS:
        return events_parse(value, &s->events)
                   ? NULL
                   : "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
    case CONFIG_MAXCLIENTS:
    case CONFIG_TIMEOUT:
    case CONFIG_BULK:
        if (!parse_memory(value, &n))
            return "argument couldn't be parsed into an integer";
        if (id == CONFIG_MAXCLIENTS && (n < 1 || n > UINT32_MAX))
            return "argument must be between 1 and 4294967295 inclusive";
        if (id == CONFIG_BULK && (n < 1024 * 1024 || n > f->limits.query_max))
            return "argument must be between 1048576 and 1073741824 inclusive";
        if (id == CONFIG_TIMEOUT && n > INT32_MAX)
            return "argument must be between 0 and 2147483647 inclusive";
        if (id == CONFIG_MAXCLIENTS)
            s->clients_max = n;
        else if (id == CONFIG_TIMEOUT)
            s->timeout_s = n;
        else
            s->bulk_max = n;
        return NULL;
    default:
        config_text(f, id, now, sizeof now);
        return bytes_is_nocase(value, now) ? NULL
                                           : "can't be set here: change the database's settings";
    }
}

void config_apply(struct front *f, uint32_t argc, const struct bytes *argv)
{
    struct front_settings s = f->settings;
    for (uint32_t i = 0; i + 1 < argc; i += 2)
        (void)config_put(f, &s, config_find(argv[i]), argv[i + 1]);
    front_configure(f, &s);
}

static void finish_ok(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    (void)a;
    reply_ok(r);
}

/* All or nothing, on all workers. */
static void config_set(struct ask *a)
{
    struct front_settings s = a->front->settings;
    if (a->argc % 2 != 0) {
        reply_wrong_arguments(a, "config|set");
        return;
    }
    for (uint32_t i = 2; i < a->argc; i += 2) {
        int n = (int)(a->argv[i].n < 128 ? a->argv[i].n : 128);
        enum config_id id = config_find(a->argv[i]);
        const char *why = id < CONFIG_COUNT ? config_put(a->front, &s, id, a->argv[i + 1]) : NULL;
        if (id == CONFIG_COUNT) {
            reply_errorf(&a->reply,
                         "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'", n,
                         (const char *)a->argv[i].p);
            return;
        }
        if (why != NULL) {
            reply_errorf(&a->reply,
                         "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s", n,
                         (const char *)a->argv[i].p, why);
            return;
        }
    }
    route_workers(a, JOB_CONFIG, a->argc - 2, a->argv + 2, finish_ok, 0);
}

static void config_resetstat(struct ask *a)
{
    route_workers(a, JOB_RESETSTAT, 0, NULL, finish_ok, 0);
}

static void config_rewrite(struct ask *a)
{
    reply_error(&a->reply, "ERR The server is running without a config file");
}

static void config_help(struct ask *a)
{
    static const char *const lines[] = {
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_config_commands[] = {
    {"config|get", config_get, 0},
    {"config|set", config_set, SESSION_ALONE},
    {"config|resetstat", config_resetstat, SESSION_ALONE},
    {"config|rewrite", config_rewrite, 0},
    {"config|help", config_help, 0},
    {NULL, NULL, 0},
};
