/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "base/version.h"
#include "proxy/multi.h"
#include "proxy/tracking.h"

#include <math.h>

/* Redis commands of the group "connection" and what else has nothing to do with data:
 * https://redis.io/docs/latest/commands/?group=connection */

const struct session_command *session_command_find(const char *name)
{
    static const struct session_command *const tables[] = {
        cmd_connection_commands, cmd_multi_commands,   cmd_client_commands, cmd_config_commands,
        cmd_info_commands,       cmd_command_commands, cmd_pubsub_commands, cmd_acl_commands,
        cmd_crdt_commands,       cmd_debug_commands,   cmd_memory_commands, cmd_script_commands,
        cmd_tracking_commands,   cmd_monitor_commands, cmd_slow_commands,   cmd_save_commands};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct session_command *c = tables[t]; c->name != NULL; c++)
            if (c->name[0] == name[0] && strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

void reply_wrong_arguments(struct ask *a, const char *command)
{
    reply_errorf(&a->reply, "ERR wrong number of arguments for '%s' command", command);
}

static void upper_case(struct bytes word, char out[32])
{
    size_t n = word.n < 31 ? word.n : 31;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(word.p[i] >= 'a' && word.p[i] <= 'z' ? word.p[i] - 32 : word.p[i]);
    out[n] = 0;
}

static void reply_try_help(struct ask *a, const char *what)
{
    char upper[32];
    upper_case(a->argv[0], upper);
    reply_errorf(&a->reply, "ERR unknown subcommand%s '%.*s'. Try %s HELP.", what,
                 (int)(a->argv[1].n < 128 ? a->argv[1].n : 128), (const char *)a->argv[1].p, upper);
}

void reply_unknown_subcommand(struct ask *a) { reply_try_help(a, ""); }

void reply_wrong_form(struct ask *a) { reply_try_help(a, " or wrong number of arguments for"); }

static void ping(struct ask *a)
{
    bool subscribed = a->session->resp == 2 && session_subscribed(a->session);
    if (a->argc > 2) {
        reply_wrong_arguments(a, "ping");
        return;
    }
    if (subscribed) { /* looks like a message, as all else that such a session gets */
        reply_array(&a->reply, 2);
        reply_bulk_str(&a->reply, "pong");
        reply_bulk(&a->reply, a->argc == 2 ? a->argv[1] : bytes_of("", 0));
    } else if (a->argc == 2)
        reply_bulk(&a->reply, a->argv[1]);
    else
        reply_simple(&a->reply, "PONG");
}

static void echo(struct ask *a) { reply_bulk(&a->reply, a->argv[1]); }

static void quit(struct ask *a)
{
    reply_ok(&a->reply);
    a->session->closing = true;
}

/* ------------------------------------------------------------ AUTH, HELLO */

static void auth(struct ask *a)
{
    if (a->argc > 3) {
        reply_error(&a->reply, ERR_SYNTAX);
        return;
    }
    struct bytes user = a->argc == 3 ? a->argv[1] : bytes_str("default");
    const struct acl_user *u = acl_find(a->front, bytes_str("default"));
    if (a->argc == 2 && u->nopass) {
        reply_error(&a->reply, "ERR AUTH <password> called without any password configured for "
                               "the default user. Are you sure your configuration is correct?");
        return;
    }
    if (acl_login(a, user, a->argv[a->argc - 1]))
        reply_ok(&a->reply);
}

static void hello_reply(struct ask *a)
{
    struct reply *r = &a->reply;
    r->resp = a->session->resp;
    reply_map(r, 7);
    reply_bulk_str(r, "server");
    reply_bulk_str(r, "redis");
    reply_bulk_str(r, "version");
    reply_bulk_str(r, REDIS_VERSION);
    reply_bulk_str(r, "proto");
    reply_int(r, a->session->resp);
    reply_bulk_str(r, "id");
    reply_int(r, (int64_t)a->session->id);
    reply_bulk_str(r, "mode");
    reply_bulk_str(r, "standalone");
    reply_bulk_str(r, "role");
    reply_bulk_str(r, "master");
    reply_bulk_str(r, "modules");
    reply_array(r, 0);
}

static bool hello_options(struct ask *a, struct bytes *name)
{
    for (uint32_t i = 2; i < a->argc; i++) {
        uint32_t more = a->argc - 1 - i;
        if (bytes_is_nocase(a->argv[i], "auth") && more >= 2) {
            if (!acl_login(a, a->argv[i + 1], a->argv[i + 2]))
                return false;
            i += 2;
        } else if (bytes_is_nocase(a->argv[i], "setname") && more >= 1) {
            *name = a->argv[++i];
            if (!client_name_ok(*name)) {
                reply_error(&a->reply, CLIENT_NAME_BAD);
                return false;
            }
        } else {
            reply_errorf(&a->reply, "ERR Syntax error in HELLO option '%.*s'",
                         (int)(a->argv[i].n < 128 ? a->argv[i].n : 128),
                         (const char *)a->argv[i].p);
            return false;
        }
    }
    return true;
}

static void hello(struct ask *a)
{
    struct session *s = a->session;
    int64_t version = s->resp;
    struct bytes name = {0};
    if (a->argc > 1 && !num_parse_i64(a->argv[1], &version)) {
        reply_error(&a->reply, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version < 2 || version > 3) {
        reply_error(&a->reply, "NOPROTO unsupported protocol version");
        return;
    }
    if (!hello_options(a, &name))
        return;
    if (!s->authenticated) {
        reply_error(&a->reply,
                    "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                    "the HELLO AUTH <user> <pass> option can be used to authenticate the "
                    "client and select the RESP protocol version at the same time");
        return;
    }
    if (name.p != NULL)
        client_set_text(&s->name, name);
    s->resp = (uint8_t)version;
    hello_reply(a);
}

static void reset(struct ask *a)
{
    struct session *s = a->session;
    multi_discard(s);
    multi_unwatch(s, a->port, a->now);
    tracking_off(s, a->port);
    topic_leave_all(a->front, a->port, s);
    client_set_text(&s->name, bytes_of(NULL, 0));
    acl_begin(s);
    s->resp = 2;
    s->reply_mode = REPLY_ON;
    s->no_evict = s->no_touch = false;
    reply_simple(&a->reply, "RESET");
}

/* ------------------------------------------------------------ databases by number: there is one */

#define ONE_DATABASE                                                                               \
    "ERR DB index is out of range: there is only database 0 here; create another database (REST "  \
    "API, POST /v1/bdbs, or meridian ctl) for what another index would hold"

static bool db_index(struct ask *a, struct bytes arg, const char *bad, int64_t *out)
{
    if (num_parse_i64(arg, out) && *out >= INT32_MIN && *out <= INT32_MAX)
        return true;
    reply_error(&a->reply, bad);
    return false;
}

static void select_db(struct ask *a)
{
    int64_t db = 0;
    if (!db_index(a, a->argv[1], ERR_NOT_INT, &db))
        return;
    if (db != 0)
        reply_error(&a->reply, ONE_DATABASE);
    else
        reply_ok(&a->reply);
}

static void swapdb(struct ask *a)
{
    int64_t one = 0, other = 0;
    if (!db_index(a, a->argv[1], "ERR invalid first DB index", &one) ||
        !db_index(a, a->argv[2], "ERR invalid second DB index", &other))
        return;
    if (one != 0 || other != 0)
        reply_error(&a->reply, ONE_DATABASE);
    else
        reply_ok(&a->reply);
}

static void move(struct ask *a)
{
    int64_t db = 0;
    if (!db_index(a, a->argv[2], ERR_NOT_INT, &db))
        return;
    reply_error(&a->reply,
                db == 0 ? "ERR source and destination objects are the same" : ONE_DATABASE);
}

/* ------------------------------------------------------------ replication, as a lone master */

static void role(struct ask *a)
{
    reply_array(&a->reply, 3);
    reply_bulk_str(&a->reply, "master");
    reply_int(&a->reply, 0);
    reply_array(&a->reply, 0);
}

/* There are no local replicas: none has acknowledged, and none ever will within the timeout. */
/* A globe of 2 * rows + 1 lines with its meridians and circles of latitude, turned as the clock
 * says.
 */
static void draw_globe(struct buf *out, int rows, int64_t turn)
{
    const double step = 15, pi = 3.14159265358979323846;
    for (int y = -rows; y <= rows; y++) {
        for (int x = -2 * rows; x <= 2 * rows; x++) {
            double u = (double)x / (2 * rows), v = (double)y / rows, r = u * u + v * v;
            if (r > 1.02) {
                buf_put_str(out, " ");
                continue;
            }
            double depth = r < 1 ? sqrt(1 - r) : 0;
            double east = (atan2(u, depth) * 180 / pi + (double)(turn % 360) + 360) / (2 * step);
            double north = asin(v < -1 ? -1 : v > 1 ? 1 : v) * 180 / pi / (2 * step);
            bool on_meridian = fabs(east - round(east)) * rows < 1.2;
            bool on_circle = fabs(north - round(north)) * rows < 1;
            buf_put_str(out, r > 0.9                    ? "o"
                             : on_meridian && on_circle ? "+"
                             : on_meridian              ? "|"
                             : on_circle                ? "-"
                                                        : " ");
        }
        while (buf_len(out) > 0 && out->p[out->tail - 1] == ' ')
            out->tail--;
        buf_put_str(out, "\n");
    }
}

/* LOLWUT [VERSION version] [rows]: our own art, of one version only. */
static void lolwut(struct ask *a)
{
    int64_t version = 0, rows = 6;
    uint32_t i = 1;
    if (a->argc >= 3 && bytes_is_nocase(a->argv[1], "version")) {
        if (!num_parse_i64(a->argv[2], &version)) {
            reply_error(&a->reply, ERR_NOT_INT);
            return;
        }
        i = 3;
    }
    if (i < a->argc && !num_parse_i64(a->argv[i], &rows)) {
        reply_error(&a->reply, ERR_NOT_INT);
        return;
    }
    struct buf text = {0};
    draw_globe(&text, rows < 2 ? 2 : rows > 30 ? 30 : (int)rows, a->now.wall_ms / 1000);
    buf_put_str(&text, "\nMeridian ver. " MERIDIAN_VERSION " (Redis ver. " REDIS_VERSION ")\n");
    reply_verbatim(&a->reply, buf_bytes(&text));
    buf_deinit(&text);
}

const struct session_command cmd_connection_commands[] = {
    {"ping", ping, SESSION_SUBSCRIBED},
    {"echo", echo, 0},
    {"auth", auth, 0},
    {"hello", hello, 0},
    {"quit", quit, SESSION_AT_ONCE | SESSION_SUBSCRIBED},
    {"reset", reset, SESSION_AT_ONCE | SESSION_SUBSCRIBED},
    {"select", select_db, 0},
    {"swapdb", swapdb, 0},
    {"move", move, 0},
    {"role", role, 0},
    {"lolwut", lolwut, 0},
    {NULL, NULL, 0},
};
