/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/* Commands of the group "server" that run on a shard: TIME. */

static void time_now(struct call *c)
{
    reply_array(c->reply, 2);
    reply_bulk_i64(c->reply, c->now.wall_ms / 1000);
    reply_bulk_i64(c->reply, c->now.wall_ms % 1000 * 1000);
}

const struct command cmd_server_table[] = {
    {"time", 1, CMD_LOADING | CMD_FAST, 0, 0, 0, AT_SHARD, MERGE_NONE, time_now, NULL, "server",
     "2.6.0", "O(1)", "Returns the server's time as Unix seconds and microseconds", ""},
    {.name = NULL},
};
