/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/pubsub.h"
#include "proxy/route.h"
#include "shard/glob.h"

#include <stdio.h>

/*
 * CONFIG. What the settings are stands in settings_list.h. Some have their value in front_settings,
 * because the manager gives them or others act on them; all others in front->kept. A change is
 * checked here, then made on all workers.
 */

static void show_value(const struct front *f, enum setting_id id, struct buf *out)
{
    const struct front_settings *s = &f->settings;
    char events[EVENTS_TEXT_MAX];
    switch (id) {
    case CONFIG_CLIENT_OUTPUT_BUFFER_LIMIT:
        buf_putf(out, "normal %llu 0 0 slave 0 0 0 pubsub %llu %llu %u",
                 (unsigned long long)s->out_max, (unsigned long long)s->push_max,
                 (unsigned long long)s->push_soft, s->push_soft_s);
        break;
    case CONFIG_NOTIFY_KEYSPACE_EVENTS:
        events_text(s->events, events);
        buf_put_str(out, events);
        break;
    case CONFIG_CLIENT_QUERY_BUFFER_LIMIT:
        buf_putf(out, "%llu", (unsigned long long)s->query_max);
        break;
    case CONFIG_MAXCLIENTS:
        buf_putf(out, "%llu", (unsigned long long)s->clients_max);
        break;
    case CONFIG_MAXMEMORY:
        buf_putf(out, "%llu", (unsigned long long)s->memory_max);
        break;
    case CONFIG_PORT:
        buf_putf(out, "%u", s->port);
        break;
    case CONFIG_PROTO_MAX_BULK_LEN:
        buf_putf(out, "%llu", (unsigned long long)s->bulk_max);
        break;
    case CONFIG_REQUIREPASS:
        buf_put_str(out, s->password);
        break;
    case CONFIG_APPENDONLY:
        buf_put_str(out, s->logged ? "yes" : "no");
        break;
    case CONFIG_APPENDFSYNC:
        setting_word(id, s->fsync, out);
        break;
    case CONFIG_SAVE:
        buf_put_str(out, s->save);
        break;
    case CONFIG_MAXMEMORY_POLICY:
        setting_word(id, s->eviction, out);
        break;
    case CONFIG_TIMEOUT:
        buf_putf(out, "%llu", (unsigned long long)s->timeout_s);
        break;
    default:
        setting_show(&f->kept, id, out);
        break;
    }
}

static bool name_fits(const struct ask *a, const char *name)
{
    for (uint32_t i = 2; name != NULL && i < a->argc; i++)
        if (glob_match_nocase(a->argv[i], bytes_str(name)))
            return true;
    return false;
}

static void reply_setting(struct ask *a, const char *name, enum setting_id id)
{
    struct buf text = {0};
    show_value(a->front, id, &text);
    reply_bulk_str(&a->reply, name);
    reply_bulk(&a->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void config_get(struct ask *a)
{
    size_t n = 0;
    for (enum setting_id id = 0; id < CONFIG_COUNT; id++)
        n += (size_t)name_fits(a, setting_name(id)) + name_fits(a, setting_alias(id));
    reply_map(&a->reply, n);
    for (enum setting_id id = 0; id < CONFIG_COUNT; id++) {
        if (name_fits(a, setting_name(id)))
            reply_setting(a, setting_name(id), id);
        if (name_fits(a, setting_alias(id)))
            reply_setting(a, setting_alias(id), id);
    }
}

/* ------------------------------------------------------------ SET */

/* "normal HARD SOFT SECONDS" groups; of normal clients only the hard limit means something here.
 * NULL, or why not. */
static const char *parse_output(struct bytes s, struct front_settings *out)
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
    if (n % 4 != 0)
        return "Wrong number of arguments in buffer limit configuration.";
    for (unsigned i = 0; i < n; i += 4) {
        uint64_t hard = 0, soft = 0, seconds = 0;
        bool normal = bytes_is_nocase(words[i], "normal");
        if (!normal && !bytes_is_nocase(words[i], "slave") &&
            !bytes_is_nocase(words[i], "replica") && !bytes_is_nocase(words[i], "pubsub"))
            return "Invalid client class specified in buffer limit configuration.";
        if (!setting_parse_memory(words[i + 1], &hard) ||
            !setting_parse_memory(words[i + 2], &soft) ||
            !setting_parse_memory(words[i + 3], &seconds))
            return "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        if (normal)
            out->out_max = hard;
        if (bytes_is_nocase(words[i], "pubsub")) {
            out->push_max = hard;
            out->push_soft = soft;
            out->push_soft_s = seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
        }
    }
    return NULL;
}

/* A setting that is not set here takes the value it has, so that tools which write all of a
 * configuration back work. */
static bool is_refused(const struct front *f, enum setting_id id, struct bytes value, char *error,
                       size_t size)
{
    if (setting_rule(id) == SETTING_ACTS || setting_rule(id) == SETTING_KEPT)
        return false;
    struct buf now = {0};
    show_value(f, id, &now);
    bool same = setting_rule(id) == SETTING_FIXED && bytes_eq(buf_bytes(&now), value);
    buf_deinit(&now);
    const char *why = setting_why(id);
    if (!same)
        snprintf(error, size, "%s%s%s",
                 setting_rule(id) == SETTING_FINAL ? "can't set immutable config"
                                                   : "can't be set here",
                 why != NULL ? ": " : "", why != NULL ? why : "");
    return !same;
}

/* Reads a value into s or v. False: error[] tells why not. */
static bool read_value(enum setting_id id, struct bytes value, struct front_settings *s,
                       struct setting_value *v, char *error, size_t size)
{
    *v = (struct setting_value){.text = value};
    if (id == CONFIG_CLIENT_OUTPUT_BUFFER_LIMIT) {
        const char *why = parse_output(value, s);
        if (why != NULL)
            snprintf(error, size, "%s", why);
        return why == NULL;
    }
    if (id == CONFIG_NOTIFY_KEYSPACE_EVENTS) {
        if (events_parse(value, &s->events))
            return true;
        snprintf(error, size, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        return false;
    }
    if (!setting_parse(id, value, v, error, size))
        return false;
    uint64_t n = (uint64_t)v->number;
    struct mem_probe probe;
    if (id == CONFIG_ACTIVEDEFRAG && n != 0 && !mem_probe_init(&probe)) {
        snprintf(
            error, size,
            "Active defragmentation cannot be enabled: it needs jemalloc 5.3, with statistics");
        return false;
    }
    if (id == CONFIG_CLIENT_QUERY_BUFFER_LIMIT)
        s->query_max = n;
    else if (id == CONFIG_MAXCLIENTS)
        s->clients_max = n;
    else if (id == CONFIG_MAXMEMORY)
        s->memory_max = n;
    else if (id == CONFIG_MAXMEMORY_POLICY)
        s->eviction = (uint32_t)n;
    else if (id == CONFIG_PROTO_MAX_BULK_LEN)
        s->bulk_max = n;
    else if (id == CONFIG_TIMEOUT)
        s->timeout_s = n;
    return true;
}

void config_apply(struct front *f, uint32_t argc, const struct bytes *argv)
{
    struct front_settings s = f->settings;
    struct setting_value v;
    char error[512];
    for (uint32_t i = 0; i + 1 < argc; i += 2) {
        enum setting_id id = setting_find(argv[i]);
        if (read_value(id, argv[i + 1], &s, &v, error, sizeof error))
            setting_put(&f->kept, id, &v);
    }
    front_configure(f, &s);
}

static void finish_ok(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    (void)a;
    reply_ok(r);
}

/* First the names, then the values, as Redis does. False: refused. */
static bool names_ok(struct ask *a)
{
    bool seen[CONFIG_COUNT] = {false};
    char error[512];
    for (uint32_t i = 2; i < a->argc; i += 2) {
        int n = (int)(a->argv[i].n < 128 ? a->argv[i].n : 128);
        const char *name = (const char *)a->argv[i].p;
        enum setting_id id = setting_find(a->argv[i]);
        if (id == CONFIG_COUNT) {
            reply_errorf(&a->reply,
                         "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'", n,
                         name);
            return false;
        }
        error[0] = 0;
        if (seen[id])
            snprintf(error, sizeof error, "duplicate parameter");
        else
            (void)is_refused(a->front, id, a->argv[i + 1], error, sizeof error);
        seen[id] = true;
        if (error[0] == 0)
            continue;
        reply_errorf(&a->reply, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                     n, name, error);
        return false;
    }
    return true;
}

/* The manager does not know of it, so it goes with the process: whoever looks for a limit that is
 * not there any more finds this. */
static void note_limits(const struct ask *a)
{
    for (uint32_t i = 2; i < a->argc; i += 2) {
        enum setting_id id = setting_find(a->argv[i]);
        if (id == CONFIG_MAXMEMORY || id == CONFIG_MAXMEMORY_POLICY)
            port_log(a->port, 'I',
                     "database %u: CONFIG SET %s %.*s, until the data plane restarts; for good: "
                     "memory_size, eviction_policy over REST",
                     a->front->db_uid, setting_name(id),
                     (int)(a->argv[i + 1].n < 64 ? a->argv[i + 1].n : 64),
                     (const char *)a->argv[i + 1].p);
    }
}

/* All or nothing, on all workers. */
static void config_set(struct ask *a)
{
    struct front_settings s = a->front->settings;
    struct setting_value v;
    char error[512];
    if (a->argc % 2 != 0) {
        reply_error(&a->reply, ERR_SYNTAX);
        return;
    }
    if (!names_ok(a))
        return;
    for (uint32_t i = 2; i < a->argc; i += 2) {
        enum setting_id id = setting_find(a->argv[i]);
        bool ok = setting_rule(id) == SETTING_FIXED ||
                  read_value(id, a->argv[i + 1], &s, &v, error, sizeof error);
        if (!ok) {
            reply_errorf(&a->reply,
                         "ERR CONFIG SET failed (possibly related to argument '%s') - %s",
                         setting_name(id), error);
            return;
        }
    }
    note_limits(a);
    route_workers(a, JOB_CONFIG, a->argc - 2, a->argv + 2, finish_ok, 0);
}

static void config_resetstat(struct ask *a)
{
    route_workers(a, JOB_RESETSTAT, 0, NULL, finish_ok, 0);
}

static void config_rewrite(struct ask *a)
{
    reply_errorf(&a->reply,
                 "ERR The server is running without a config file: what CONFIG SET has changed "
                 "lasts until the data plane restarts. maxmemory and maxmemory-policy for good: "
                 "PUT /v1/bdbs/%u {\"memory_size\": ..., \"eviction_policy\": ...} (or meridian "
                 "ctl db update)",
                 a->front->db_uid);
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
        "REWRITE",
        "    Refused: settings are kept by the cluster manager, not in a file.",
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
