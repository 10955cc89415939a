/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/* Commands of the group "server" that run on a shard: TIME, MEMORY. */

static void time_now(struct call *c)
{
    reply_array(c->reply, 2);
    reply_bulk_i64(c->reply, c->now.wall_ms / 1000);
    reply_bulk_i64(c->reply, c->now.wall_ms % 1000 * 1000);
}

static void memory_help(struct call *c)
{
    static const char *const lines[] = {
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "HELP",
        "    Print this help.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value; always exact, so SAMPLES is",
        "    accepted and makes no difference.",
    };
    reply_lines(c->reply, lines, sizeof lines / sizeof lines[0]);
}

static void memory_usage(struct call *c)
{
    struct key k;
    int64_t samples;
    for (uint32_t i = 3; i < c->argc; i += 2) {
        if (!bytes_is_nocase(c->argv[i], "samples") || i + 1 >= c->argc) {
            reply_error(c->reply, ERR_SYNTAX);
            return;
        }
        if (!arg_i64(c, c->argv[i + 1], &samples))
            return;
        if (samples < 0) {
            reply_error(c->reply, ERR_SYNTAX);
            return;
        }
    }
    key_read(c, c->argv[2], &k);
    if (k.cell != NULL)
        reply_int(c->reply, (int64_t)value_memory(k.cell));
    else
        reply_nil(c->reply);
}

static void memory(struct call *c)
{
    struct bytes what = c->argv[1];
    bool usage = bytes_is_nocase(what, "usage"), help = bytes_is_nocase(what, "help");
    if (usage && c->argc >= 3) {
        memory_usage(c);
    } else if (help && c->argc == 2) {
        memory_help(c);
    } else if (usage || help) {
        reply_errorf(c->reply, "ERR wrong number of arguments for 'memory|%s' command",
                     usage ? "usage" : "help");
    } else {
        int n = what.n < 128 ? (int)what.n : 128;
        reply_errorf(c->reply, "ERR unknown subcommand '%.*s'. Try MEMORY HELP.", n,
                     (const char *)what.p);
    }
}

const struct command cmd_server_table[] = {
    {"memory", -2, CMD_READONLY, 2, 2, 1, AT_SHARD, MERGE_NONE, memory, NULL, "server", "4.0.0",
     "O(N) with N the number of elements", "Returns the memory that a key takes",
     "USAGE key [SAMPLES count] | HELP"},
    {"time", 1, CMD_LOADING | CMD_FAST, 0, 0, 0, AT_SHARD, MERGE_NONE, time_now, NULL, "server",
     "2.6.0", "O(1)", "Returns the server's time as Unix seconds and microseconds", ""},
    {.name = NULL},
};
