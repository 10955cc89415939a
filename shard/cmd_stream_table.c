/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_stream.h"

/* The rows of the group "stream". */

/* XREAD and XREADGROUP: the keys are the first half of what follows STREAMS. Arguments of GROUP may
 * be that word, too. */
static unsigned stream_keys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    unsigned n = 0;
    for (uint32_t i = 1; i < argc; i++) {
        if (bytes_is_nocase(argv[i], "block") || bytes_is_nocase(argv[i], "count")) {
            i++;
        } else if (bytes_is_nocase(argv[i], "group")) {
            i += 2;
        } else if (bytes_is_nocase(argv[i], "streams")) {
            uint32_t keys = (argc - i - 1) / 2;
            for (uint32_t k = 0; k < keys && n < max && (argc - i - 1) % 2 == 0; k++)
                at[n++] = i + 1 + k;
            break;
        }
    }
    return n;
}

#define READ CMD_READONLY
#define WRITE CMD_WRITE
#define FAST CMD_FAST
#define ONE_KEY 1, 1, 1, AT_SHARD, MERGE_NONE
#define SUB_KEY 2, 2, 1, AT_SHARD, MERGE_NONE
#define NO_KEY 0, 0, 0, AT_SHARD, MERGE_NONE

const struct command cmd_stream_table[] = {
    {"xack", -4, WRITE | FAST, ONE_KEY, xack, NULL, "stream", "5.0.0", "O(log(N)) for each ID",
     "Acknowledges entries: a consumer group need no longer keep them", "key group id [id ...]"},
    {"xadd", -5, WRITE | FAST | CMD_DENYOOM, ONE_KEY, xadd, NULL, "stream", "5.0.0",
     "O(log(N)), and for each entry that is trimmed", "Appends an entry",
     "key [NOMKSTREAM] [<MAXLEN|MINID> [=|~] threshold [LIMIT count]] <*|id> field value [field "
     "value ...]"},
    {"xautoclaim", -6, WRITE | FAST, ONE_KEY, xautoclaim, NULL, "stream", "6.2.0",
     "O(log(N)) for each entry", "Gives a consumer what waits too long with others",
     "key group consumer min-idle-time start [COUNT count] [JUSTID]"},
    {"xclaim", -6, WRITE | FAST, ONE_KEY, xclaim, NULL, "stream", "5.0.0",
     "O(log(N)) for each entry", "Gives a consumer what waits with others",
     "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] "
     "[RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]"},
    {"xdel", -3, WRITE | FAST, ONE_KEY, xdel, NULL, "stream", "5.0.0", "O(log(N)) for each entry",
     "Removes entries", "key id [id ...]"},
    {"xgroup", -2, CMD_CONTAINER, NO_KEY, NULL, NULL, "stream", "5.0.0", "of the subcommand",
     "Consumer groups of streams", ""},
    {"xgroup|create", -5, WRITE | CMD_DENYOOM, SUB_KEY, xgroup_create, NULL, "stream", "5.0.0",
     "O(log(N))", "Makes a consumer group",
     "key groupname <id|$> [MKSTREAM] [ENTRIESREAD entries_read]"},
    {"xgroup|createconsumer", 5, WRITE | CMD_DENYOOM, SUB_KEY, xgroup_createconsumer, NULL,
     "stream", "6.2.0", "O(log(N))", "Makes a consumer of a group", "key groupname consumername"},
    {"xgroup|delconsumer", 5, WRITE, SUB_KEY, xgroup_delconsumer, NULL, "stream", "5.0.0",
     "O(N) with N what waits for acknowledgement", "Removes a consumer with what waits for it",
     "key groupname consumername"},
    {"xgroup|destroy", 4, WRITE, SUB_KEY, xgroup_destroy, NULL, "stream", "5.0.0",
     "O(N) with N what waits for acknowledgement", "Removes a consumer group", "key groupname"},
    {"xgroup|help", 2, CMD_LOADING, NO_KEY, xgroup_help, NULL, "stream", "5.0.0", "O(1)",
     "Tells how to use XGROUP", ""},
    {"xgroup|setid", -5, WRITE, SUB_KEY, xgroup_setid, NULL, "stream", "5.0.0", "O(log(N))",
     "Says which entry was delivered last", "key groupname <id|$> [ENTRIESREAD entries_read]"},
    {"xinfo", -2, CMD_CONTAINER, NO_KEY, NULL, NULL, "stream", "5.0.0", "of the subcommand",
     "Shows streams, groups and consumers", ""},
    {"xinfo|consumers", 4, READ, SUB_KEY, xinfo_consumers, NULL, "stream", "5.0.0",
     "O(N) with N what waits for acknowledgement", "Shows the consumers of a group",
     "key groupname"},
    {"xinfo|groups", 3, READ, SUB_KEY, xinfo_groups, NULL, "stream", "5.0.0",
     "O(M*log(N)) with M the number of groups", "Shows the consumer groups", "key"},
    {"xinfo|help", 2, CMD_LOADING, NO_KEY, xinfo_help, NULL, "stream", "5.0.0", "O(1)",
     "Tells how to use XINFO", ""},
    {"xinfo|stream", -3, READ, SUB_KEY, xinfo_stream, NULL, "stream", "5.0.0", "O(log(N))",
     "Shows a stream", "key [FULL [COUNT count]]"},
    {"xlen", 2, READ | FAST, ONE_KEY, xlen, NULL, "stream", "5.0.0", "O(log(N))",
     "Returns the number of entries", "key"},
    {"xpending", -3, READ, ONE_KEY, xpending, NULL, "stream", "5.0.0",
     "O(N) with N what is looked at", "Shows what waits for acknowledgement",
     "key group [[IDLE min-idle-time] start end count [consumer]]"},
    {"xrange", -4, READ, ONE_KEY, xrange, NULL, "stream", "5.0.0",
     "O(log(N)+M) with M the number of entries returned", "Returns entries in a range of IDs",
     "key start end [COUNT count]"},
    {"xread", -4, READ | CMD_BLOCKING, NO_KEY, xread, stream_keys, "stream", "5.0.0",
     "O(log(N)+M) for each stream with M the number of entries returned",
     "Returns entries behind an ID of several streams, and can wait for them",
     "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]"},
    {"xreadgroup", -7, WRITE | CMD_BLOCKING, NO_KEY, xreadgroup, stream_keys, "stream", "5.0.0",
     "O(M*log(N)) for each stream with M the number of entries returned",
     "Returns entries that no consumer of the group has had, and can wait for them",
     "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id "
     "[id ...]"},
    {"xrevrange", -4, READ, ONE_KEY, xrevrange, NULL, "stream", "5.0.0",
     "O(log(N)+M) with M the number of entries returned",
     "Returns entries in a range of IDs, the last one first", "key end start [COUNT count]"},
    {"xsetid", -3, WRITE | FAST | CMD_DENYOOM, ONE_KEY, xsetid, NULL, "stream", "5.0.0", "O(1)",
     "Sets the last ID",
     "key last-id [ENTRIESADDED entries_added] [MAXDELETEDID max_deleted_entry_id]"},
    {"xtrim", -4, WRITE, ONE_KEY, xtrim, NULL, "stream", "5.0.0",
     "O(log(N)) for each entry that is removed", "Removes the oldest entries",
     "key <MAXLEN|MINID> [=|~] threshold [LIMIT count]"},
    {.name = NULL},
};
