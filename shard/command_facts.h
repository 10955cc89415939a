/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_COMMAND_FACTS_H
#define MERIDIAN_SHARD_COMMAND_FACTS_H

#include "shard/command.h"

/*
 * What Redis 7.0 says of its commands beside arity and numbers of keys (COMMAND INFO), from
 * command_facts.txt: categories for access control, flags as clients see them, tips for proxies,
 * and where keys stand and what the command does with them. Commands that Redis does not have get
 * theirs from their row.
 */

/* Categories, in the order in which Redis lists them. */
#define COMMAND_CATEGORIES(X)                                                                      \
    X(KEYSPACE, keyspace)                                                                          \
    X(READ, read)                                                                                  \
    X(WRITE, write)                                                                                \
    X(SET, set)                                                                                    \
    X(SORTEDSET, sortedset)                                                                        \
    X(LIST, list)                                                                                  \
    X(HASH, hash)                                                                                  \
    X(STRING, string)                                                                              \
    X(BITMAP, bitmap)                                                                              \
    X(HYPERLOGLOG, hyperloglog)                                                                    \
    X(GEO, geo)                                                                                    \
    X(STREAM, stream)                                                                              \
    X(PUBSUB, pubsub)                                                                              \
    X(ADMIN, admin)                                                                                \
    X(FAST, fast)                                                                                  \
    X(SLOW, slow)                                                                                  \
    X(BLOCKING, blocking)                                                                          \
    X(DANGEROUS, dangerous)                                                                        \
    X(CONNECTION, connection)                                                                      \
    X(TRANSACTION, transaction)                                                                    \
    X(SCRIPTING, scripting)

/* Flags of COMMAND INFO, likewise. */
#define COMMAND_FLAGS(X)                                                                           \
    X(WRITE, write)                                                                                \
    X(READONLY, readonly)                                                                          \
    X(DENYOOM, denyoom)                                                                            \
    X(ADMIN, admin)                                                                                \
    X(PUBSUB, pubsub)                                                                              \
    X(NOSCRIPT, noscript)                                                                          \
    X(BLOCKING, blocking)                                                                          \
    X(LOADING, loading)                                                                            \
    X(STALE, stale)                                                                                \
    X(SKIP_MONITOR, skip_monitor)                                                                  \
    X(SKIP_SLOWLOG, skip_slowlog)                                                                  \
    X(ASKING, asking)                                                                              \
    X(FAST, fast)                                                                                  \
    X(NO_AUTH, no_auth)                                                                            \
    X(NO_ASYNC_LOADING, no_async_loading)                                                          \
    X(NO_MULTI, no_multi)                                                                          \
    X(NO_MANDATORY_KEYS, no_mandatory_keys)                                                        \
    X(ALLOW_BUSY, allow_busy)

/* What a command does with a key. */
#define KEY_FLAGS(X)                                                                               \
    X(RO, RO)                                                                                      \
    X(RW, RW)                                                                                      \
    X(OW, OW)                                                                                      \
    X(RM, RM)                                                                                      \
    X(ACCESS, access)                                                                              \
    X(UPDATE, update)                                                                              \
    X(INSERT, insert)                                                                              \
    X(DELETE, delete)                                                                              \
    X(NOT_KEY, not_key)                                                                            \
    X(INCOMPLETE, incomplete)                                                                      \
    X(VARIABLE_FLAGS, variable_flags)

#define X(upper, lower) CAT_NUMBER_##upper,
enum { COMMAND_CATEGORIES(X) CAT_COUNT };
#undef X
#define X(upper, lower) CAT_##upper = 1 << CAT_NUMBER_##upper,
enum command_category { COMMAND_CATEGORIES(X) };
#undef X
#define X(upper, lower) INFO_NUMBER_##upper,
enum { COMMAND_FLAGS(X) INFO_COUNT };
#undef X
#define X(upper, lower) INFO_##upper = 1 << INFO_NUMBER_##upper,
enum command_info_flag { COMMAND_FLAGS(X) };
#undef X
#define X(upper, lower) KEY_NUMBER_##upper,
enum { KEY_FLAGS(X) KEY_FLAG_COUNT };
#undef X
#define X(upper, lower) KEY_##upper = 1 << KEY_NUMBER_##upper,
enum key_flag { KEY_FLAGS(X) };
#undef X

enum key_begin { KEYS_AT_INDEX, KEYS_AT_WORD, KEYS_AT_UNKNOWN };
enum key_find { KEYS_RANGE, KEYS_COUNTED, KEYS_UNKNOWN };

/* One place where keys stand. */
struct key_spec {
    uint32_t flags; /* enum key_flag */
    enum key_begin begin;
    enum key_find find;
    int from;         /* AT_INDEX: the argument; AT_WORD: where the search for `word` starts */
    const char *word; /* AT_WORD: the keys begin behind it */
    int a, step, b;   /* RANGE: last key, step, limit; COUNTED: number's place, step, first key */
};

#define KEY_SPECS_MAX 3
struct command_facts {
    bool known;          /* has a line in command_facts.txt */
    uint32_t categories; /* enum command_category */
    uint32_t flags;      /* enum command_info_flag */
    const char *tips;    /* behind blanks; NULL none */
    uint32_t specs_count;
    struct key_spec specs[KEY_SPECS_MAX];
};

/* The facts of a command: as Redis has them, else derived from its row. */
struct command_facts command_facts(const struct command *cmd);
/* The bit of a category's name (any case); 0: there is none of that name. */
uint32_t category_find(struct bytes name);
const char *category_name(unsigned number); /* below CAT_COUNT */
const char *info_flag_name(unsigned number);
const char *key_flag_name(unsigned number);

/* A key among the arguments, and what the command does with it. */
struct key_use {
    uint32_t at;
    uint32_t flags; /* enum key_flag */
};
/* All keys of a call, at most max (room for argc always suffices); returns how many. */
unsigned command_key_uses(const struct command *cmd, uint32_t argc, const struct bytes *argv,
                          struct key_use *out, unsigned max);

#endif
