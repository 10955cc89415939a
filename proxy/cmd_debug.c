/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/num.h"
#include "proxy/route.h"
#include "shard/debug_reply.h"

/* DEBUG, what the session answers itself; what looks at keys is in shard/cmd_debug.c. */

#define SLEEP_MAX_S 60.0

/* Like Redis, nothing else runs meanwhile, on this worker: it is there to see how clients take
 * that.
 */
static void debug_sleep(struct ask *a)
{
    double seconds;
    if (!num_parse_double(a->argv[2], &seconds) || seconds < 0) {
        reply_error(&a->reply, "ERR value is not a valid float");
        return;
    }
    if (seconds > SLEEP_MAX_S) {
        reply_error(&a->reply, "ERR 60 seconds are the most to sleep");
        return;
    }
    a->port->ops->sleep_us(a->port, (uint64_t)(seconds * 1e6));
    reply_ok(&a->reply);
}

static void debug_error(struct ask *a)
{
    int n = a->argv[2].n < 400 ? (int)a->argv[2].n : 400;
    reply_errorf(&a->reply, "%.*s", n, (const char *)a->argv[2].p);
}

static void debug_log(struct ask *a)
{
    int n = a->argv[2].n < 400 ? (int)a->argv[2].n : 400;
    port_log(a->port, 'W', "DEBUG LOG: %.*s", n, (const char *)a->argv[2].p);
    reply_ok(&a->reply);
}

/* ------------------------------------------------------------ PROTOCOL */

/* A push is no answer: one follows. */
static void show_push(struct ask *a)
{
    struct reply *r = &a->reply;
    if (r->resp < 3) {
        reply_error(r, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(r, 2);
    reply_bulk_str(r, "server-cpu-usage");
    reply_int(r, 42);
    reply_bulk_str(r, "Some real reply following the push reply");
}

static void debug_protocol(struct ask *a)
{
    struct bytes type = a->argv[2];
    if (bytes_is_nocase(type, "push"))
        show_push(a);
    else if (!debug_reply(&a->reply, type))
        reply_error(&a->reply,
                    "ERR Wrong protocol type name. Please use one of the following: "
                    "string|integer|double|null|array|set|map|attrib|push|verbatim|true|false");
}

/* ------------------------------------------------------------ what there is not */

static void debug_refused(struct ask *a)
{
    static const struct {
        const char *name, *why;
    } all[] = {
        {"debug|change-repl-id", "there is no replication ID: regions know each other by actors"},
        {"debug|htstats", "the keyspace is no table of Redis' kind: MEMORY STATS tells its size"},
        {"debug|htstats-key", "values are no tables of Redis' kind: MEMORY USAGE tells their size"},
        {"debug|jmap", "this is not a Java program"},
        {"debug|listpack", "values are not kept in listpacks: DUMP shows one"},
        {"debug|loadaof", "there is no append-only file: DEBUG RELOAD checks that keys read back"},
        {"debug|quicklist", "lists are not kept in quicklists: DUMP shows one"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(a->command->name, all[i].name) == 0)
            reply_errorf(&a->reply, "ERR not supported: %s", all[i].why);
}

static void debug_help(struct ask *a)
{
    static const char *const lines[] = {
        "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DIGEST",
        "    Return a hash of all keys and what they show.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Return hashes of what keys show, whatever their names.",
        "ERROR <string>",
        "    Return an error of that text.",
        "LOG <message>",
        "    Write a line into the log.",
        "OBJECT <key>",
        "    Tell about <key> and its value.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>. If <prefix> is specified then it is",
        "    used instead of the 'key' prefix.",
        "PROTOCOL <type>",
        "    Reply a value of that type.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Accepted; lists choose the size of their blocks themselves.",
        "RELOAD",
        "    Write each key as other regions get it and read it back.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in the background.",
        "SET-DISABLE-DENY-SCRIPTS <0|1>",
        "    Setting it to 1 lets scripts call DEBUG PROTOCOL.",
        "SLEEP <seconds>",
        "    Stop this worker for <seconds>. Decimals allowed.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_debug_commands[] = {
    {"debug|change-repl-id", debug_refused, 0},
    {"debug|error", debug_error, 0},
    {"debug|help", debug_help, 0},
    {"debug|htstats", debug_refused, 0},
    {"debug|htstats-key", debug_refused, 0},
    {"debug|jmap", debug_refused, 0},
    {"debug|listpack", debug_refused, 0},
    {"debug|loadaof", debug_refused, 0},
    {"debug|log", debug_log, 0},
    {"debug|protocol", debug_protocol, 0},
    {"debug|quicklist", debug_refused, 0},
    {"debug|sleep", debug_sleep, 0},
    {NULL, NULL, 0},
};
