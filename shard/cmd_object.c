/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/encoding.h"

/* OBJECT, and MEMORY USAGE: looking at single keys. The rest of MEMORY is the session's
 * (proxy/cmd_memory.c). */

static bool object_key(struct call *c, struct key *k)
{
    key_peek(c, c->argv[2], k);
    if (k->cell == NULL)
        reply_nil(c->reply);
    return k->cell != NULL;
}

static void object_encoding(struct call *c)
{
    struct key k;
    if (object_key(c, &k))
        reply_bulk_str(c->reply, encoding_name(c, &k));
}

static void object_refcount(struct call *c)
{
    struct key k;
    if (object_key(c, &k))
        reply_int(c->reply, 1); /* values are never shared */
}

static void object_freq(struct call *c)
{
    struct key k;
    if (!object_key(c, &k))
        return;
    if (evict_is_lfu(c->shard))
        reply_int(c->reply, evict_frequency(c->shard, call_access(&k)));
    else
        reply_error(c->reply, "ERR An LFU maxmemory policy is not selected, access frequency not "
                              "tracked. Please note that when switching between policies at "
                              "runtime LRU and LFU data will take some time to adjust.");
}

static void object_idletime(struct call *c)
{
    struct key k;
    if (!object_key(c, &k))
        return;
    if (evict_is_lfu(c->shard))
        reply_error(c->reply, "ERR An LFU maxmemory policy is selected, idle time not tracked. "
                              "Please note that when switching between policies at runtime LRU "
                              "and LFU data will take some time to adjust.");
    else
        reply_int(c->reply, evict_idle_s(c->shard, call_access(&k)));
}

static void object_help(struct call *c)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the encoding that Redis would choose for the value of <key>.",
        "FREQ <key>",
        "    Return how often <key> is used, on a logarithmic scale up to 255: with an LFU policy.",
        "IDLETIME <key>",
        "    Return the seconds since <key> was last used in this region: without an LFU policy.",
        "REFCOUNT <key>",
        "    Return how many keys share the value of <key>: 1.",
        "HELP",
        "    Prints this help.",
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
    key_peek(c, c->argv[2], &k);
    if (k.cell != NULL)
        reply_int(c->reply, (int64_t)value_memory(k.cell));
    else
        reply_nil(c->reply);
}

/* Rows of `object` and `memory`; those without a function are the session's. */
const struct command cmd_object_table[] = {
    {"object", -2, CMD_CONTAINER, 0, 0, 0, AT_SHARD, MERGE_NONE, object_help, NULL, "generic",
     "2.2.3", "that of the subcommand", "Looks at how a key's value is kept", ""},
    {"object|encoding", 3, CMD_READONLY, 2, 2, 1, AT_SHARD, MERGE_NONE, object_encoding, NULL,
     "generic", "2.2.3", "O(N) with N the number of elements, within the limits of packed values",
     "Returns the encoding that Redis would choose", "key"},
    {"object|freq", 3, CMD_READONLY, 2, 2, 1, AT_SHARD, MERGE_NONE, object_freq, NULL, "generic",
     "4.0.0", "O(1)", "Returns how often a key is used, on a logarithmic scale", "key"},
    {"object|help", 2, CMD_LOADING, 0, 0, 0, AT_SHARD, MERGE_NONE, object_help, NULL, "generic",
     "6.2.0", "O(1)", "Explains the subcommands of OBJECT", ""},
    {"object|idletime", 3, CMD_READONLY, 2, 2, 1, AT_SHARD, MERGE_NONE, object_idletime, NULL,
     "generic", "2.2.3", "O(1)", "Returns the seconds since a key was last used", "key"},
    {"object|refcount", 3, CMD_READONLY, 2, 2, 1, AT_SHARD, MERGE_NONE, object_refcount, NULL,
     "generic", "2.2.3", "O(1)", "Returns how many keys share a value: 1", "key"},
    {"memory", -2, CMD_CONTAINER, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "4.0.0",
     "that of the subcommand", "Tells what memory is used for", ""},
    {"memory|doctor", 2, 0, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "4.0.0", "O(1)",
     "Returns a readable judgement on the use of memory", ""},
    {"memory|help", 2, CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "4.0.0",
     "O(1)", "Explains the subcommands of MEMORY", ""},
    {"memory|malloc-stats", 2, 0, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "4.0.0",
     "O(1)", "Returns what the allocator holds", ""},
    {"memory|purge", 2, 0, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "4.0.0", "O(1)",
     "Gives what the allocator keeps for later back to the system", ""},
    {"memory|stats", 2, 0, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "4.0.0", "O(1)",
     "Returns what memory is used for", ""},
    {"memory|usage", -3, CMD_READONLY, 2, 2, 1, AT_SHARD, MERGE_NONE, memory_usage, NULL, "server",
     "4.0.0", "O(N) with N the number of elements of a small value, O(1) for a large one",
     "Returns the memory that a key takes", "key [SAMPLES count]"},
    {.name = NULL},
};
