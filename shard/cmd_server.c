/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/* Commands of the group "server": TIME, which runs on a shard, and those that the proxy runs. */

static void time_now(struct call *c)
{
    reply_array(c->reply, 2);
    reply_bulk_i64(c->reply, c->now.wall_ms / 1000);
    reply_bulk_i64(c->reply, c->now.wall_ms % 1000 * 1000);
}

#define SNAPSHOT (CMD_ADMIN | CMD_NOSCRIPT)

const struct command cmd_server_table[] = {
    {"bgrewriteaof", 1, SNAPSHOT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0",
     "O(1)", "Begins snapshots of all shards; the log before them is deleted when they are done",
     ""},
    {"bgsave", -1, SNAPSHOT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0", "O(1)",
     "Begins snapshots of all shards", "[SCHEDULE]"},
    {"lastsave", 1, CMD_ADMIN | CMD_LOADING | CMD_FAST, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "server", "1.0.0", "O(1)", "Returns the Unix time of the oldest shard's last snapshot", ""},
    {"save", 1, SNAPSHOT | CMD_NO_MULTI, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(N) with N the number of keys",
     "Takes snapshots of all shards and waits for them; other clients are served meanwhile", ""},
    {"time", 1, CMD_LOADING | CMD_FAST, 0, 0, 0, AT_SHARD, MERGE_NONE, time_now, NULL, "server",
     "2.6.0", "O(1)", "Returns the server's time as Unix seconds and microseconds", ""},
    {.name = NULL},
};
