/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_COMMAND_H
#define MERIDIAN_SHARD_COMMAND_H

#include "base/port.h"
#include "shard/reply.h"

/*
 * The one command table: every command with its arity, flags, keys, documentation and function.
 * COMMAND, COMMAND DOCS, routing and checks all read it. Rows live with the commands:
 * shard/cmd_<group>.c each export a table, command.c joins them.
 */
enum command_where {
    AT_SHARD,   /* all keys on one shard; runs there */
    AT_SESSION, /* proxy: AUTH, HELLO, CLIENT, MULTI, ... (`run` is NULL here; proxy/ has its
                   function by name) */
    AT_EACH, /* runs on every shard of the database; the proxy merges the replies as `merge` says */
    AT_SPLIT, /* keys may live on several shards: the proxy splits by shard and merges (MGET, MSET,
                 DEL, EXISTS ...) */
};
enum command_merge {
    MERGE_NONE,
    MERGE_SUM,
    MERGE_OK,
    MERGE_CONCAT,
    MERGE_BY_KEY,
    MERGE_SCAN,
    MERGE_ANY,
    MERGE_DIGEST
};

enum command_flag {
    CMD_WRITE = 1,
    CMD_READONLY = 2,
    CMD_DENYOOM = 4,
    CMD_ADMIN = 8,
    CMD_FAST = 16,
    CMD_NOSCRIPT = 32,
    CMD_LOADING = 64, /* allowed while stale or loading */
    CMD_NO_AUTH = 128,
    CMD_NO_MULTI = 256, /* refused inside MULTI */
    CMD_PUBSUB = 512,
    CMD_BLOCKING = 1024,
    CMD_ELEMENT = 2048,   /* argv[2] names an element of the collection at argv[1] */
    CMD_SCORED = 4096,    /* argv[3] does, behind a score */
    CMD_SCRIPT = 16384,   /* runs a script: its reply may come later */
    CMD_CONTAINER = 8192, /* argv[1] names a subcommand, which has a row "name|sub" of its own */
};

struct call;
struct command {
    const char *name; /* lower case */
    int arity;        /* Redis': negative = at least; counts the name */
    uint32_t flags;
    int first_key, last_key, key_step; /* Redis'; last_key < 0 counts from the end; 0,0,0 none */
    uint8_t where, merge;
    void (*run)(struct call *c);
    /* Keys that the three numbers cannot say (numkeys): writes argument indexes to `at`, returns
     * how many (0: syntax is left for `run` to refuse). NULL: use the numbers. */
    unsigned (*keys)(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max);
    const char *group; /* "string", "hash", ... as COMMAND DOCS */
    const char *since;
    const char *complexity;
    const char *summary;
    const char *args; /* compact syntax for COMMAND DOCS, e.g. "key value [NX|XX] [GET]" */
};

/* Lookup ignoring case; NULL unknown. Finds commands, not subcommands. */
const struct command *command_find(struct bytes name);
/* The same; *number gets its command_number, too. */
const struct command *command_lookup(struct bytes name, unsigned *number);
/* The subcommand of a container (CMD_CONTAINER); NULL: it has none of that name. */
const struct command *command_sub(const struct command *container, struct bytes name);
/* What a call means: the subcommand's row if argv[0] is a container and argv[1] is known to it,
 * else the row of argv[0]. NULL unknown. */
const struct command *command_resolve(uint32_t argc, const struct bytes *argv);
/* By a full name: "get" or "config|get". NULL unknown. */
const struct command *command_find_full(struct bytes name);
/* True for the row of a subcommand. */
bool command_is_sub(const struct command *cmd);
/* All rows, those of subcommands too, in order of name; *n gets how many. */
const struct command *const *command_all(unsigned *n);
/* The row's place in command_all: a number below command_count(), the same for the program's life.
 */
unsigned command_number(const struct command *cmd);
unsigned command_count(void);
struct command_facts;
/* What command_facts.txt says (command_facts.h); `known` is false where it says nothing. */
const struct command_facts *command_known_facts(const struct command *cmd);
/* True when argc fits the arity. */
bool command_arity_ok(const struct command *cmd, uint32_t argc);
/* The argument that is likely to name an element of the key's collection; 0: none. */
static inline uint32_t command_element(const struct command *cmd)
{
    return cmd->flags & CMD_ELEMENT ? 2 : cmd->flags & CMD_SCORED ? 3 : 0;
}
/* Indexes of the key arguments, at most max; returns how many. */
unsigned command_keys(const struct command *cmd, uint32_t argc, const struct bytes *argv,
                      uint32_t *at, unsigned max);

#endif
