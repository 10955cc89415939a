/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/session.h"
#include "shard/glob.h"

#include <stdio.h>

/* COMMAND: the command table, in Redis 7's shapes. https://redis.io/docs/latest/commands/command/
 */

/* A list of flag names under way: counted first, then written. */
struct names {
    const char *at[24];
    size_t n;
};

static void names_add(struct names *n, bool on, const char *name)
{
    if (on && n->n < sizeof n->at / sizeof n->at[0])
        n->at[n->n++] = name;
}

static void names_reply(struct reply *r, const struct names *n)
{
    reply_set(r, n->n);
    for (size_t i = 0; i < n->n; i++)
        reply_simple(r, n->at[i]);
}

static void reply_flags(struct reply *r, const struct command *c)
{
    struct names n = {0};
    names_add(&n, c->flags & CMD_WRITE, "write");
    names_add(&n, c->flags & CMD_READONLY, "readonly");
    names_add(&n, c->flags & CMD_DENYOOM, "denyoom");
    names_add(&n, c->flags & CMD_ADMIN, "admin");
    names_add(&n, c->flags & CMD_PUBSUB, "pubsub");
    names_add(&n, c->flags & CMD_NOSCRIPT, "noscript");
    names_add(&n, c->flags & CMD_BLOCKING, "blocking");
    names_add(&n, c->flags & CMD_LOADING, "loading");
    names_add(&n, c->flags & CMD_LOADING, "stale");
    names_add(&n, c->flags & CMD_FAST, "fast");
    names_add(&n, c->flags & CMD_NO_AUTH, "no_auth");
    names_add(&n, c->flags & CMD_NO_MULTI, "no_multi");
    names_add(&n, c->keys != NULL, "movablekeys");
    names_reply(r, &n);
}

static const char *category_of(const char *group)
{
    static const char *const map[][2] = {
        {"generic", "@keyspace"},
        {"string", "@string"},
        {"hash", "@hash"},
        {"list", "@list"},
        {"set", "@set"},
        {"sorted-set", "@sortedset"},
        {"sorted_set", "@sortedset"},
        {"hyperloglog", "@hyperloglog"},
        {"geo", "@geo"},
        {"connection", "@connection"},
        {"transactions", "@transaction"},
        {"stream", "@stream"},
    };
    for (size_t i = 0; group != NULL && i < sizeof map / sizeof map[0]; i++)
        if (strcmp(map[i][0], group) == 0)
            return map[i][1];
    return NULL;
}

static void command_categories(struct names *n, const struct command *c)
{
    const char *group = category_of(c->group);
    names_add(n, c->flags & CMD_WRITE, "@write");
    names_add(n, c->flags & CMD_READONLY, "@read");
    names_add(n, group != NULL, group);
    names_add(n, c->flags & CMD_ADMIN, "@admin");
    names_add(n, c->flags & CMD_ADMIN, "@dangerous");
    names_add(n, c->flags & CMD_BLOCKING, "@blocking");
    names_add(n, c->flags & CMD_FAST, "@fast");
    names_add(n, !(c->flags & CMD_FAST), "@slow");
}

/* One key spec by index and range; nothing for commands whose keys only a function can tell. */
static void reply_key_specs(struct reply *r, const struct command *c)
{
    if (c->first_key == 0) {
        reply_set(r, 0);
        return;
    }
    reply_set(r, 1);
    reply_map(r, 3);
    reply_bulk_str(r, "flags");
    reply_set(r, 2);
    reply_simple(r, c->flags & CMD_WRITE ? "RW" : "RO");
    reply_simple(r, c->flags & CMD_WRITE ? "update" : "access");
    reply_bulk_str(r, "begin_search");
    reply_map(r, 2);
    reply_bulk_str(r, "type");
    reply_bulk_str(r, "index");
    reply_bulk_str(r, "spec");
    reply_map(r, 1);
    reply_bulk_str(r, "index");
    reply_int(r, c->first_key);
    reply_bulk_str(r, "find_keys");
    reply_map(r, 2);
    reply_bulk_str(r, "type");
    reply_bulk_str(r, "range");
    reply_bulk_str(r, "spec");
    reply_map(r, 3);
    reply_bulk_str(r, "lastkey");
    reply_int(r, c->last_key < 0 ? c->last_key : c->last_key - c->first_key);
    reply_bulk_str(r, "keystep");
    reply_int(r, c->key_step);
    reply_bulk_str(r, "limit");
    reply_int(r, 0);
}

static void reply_info(struct reply *r, const struct command *c)
{
    struct names categories = {0};
    command_categories(&categories, c);
    reply_array(r, 10);
    reply_bulk_str(r, c->name);
    reply_int(r, c->arity);
    reply_flags(r, c);
    reply_int(r, c->first_key);
    reply_int(r, c->last_key);
    reply_int(r, c->key_step);
    names_reply(r, &categories);
    reply_array(r, 0); /* tips */
    reply_key_specs(r, c);
    reply_array(r, 0); /* subcommands */
}

static void all_infos(struct ask *a)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    reply_array(&a->reply, n);
    for (unsigned i = 0; i < n; i++)
        reply_info(&a->reply, all[i]);
}

static void command_info(struct ask *a)
{
    if (a->argc == 2) {
        all_infos(a);
        return;
    }
    reply_array(&a->reply, a->argc - 2);
    for (uint32_t i = 2; i < a->argc; i++) {
        const struct command *c = command_find(a->argv[i]);
        if (c != NULL)
            reply_info(&a->reply, c);
        else
            reply_nil_array(&a->reply);
    }
}

static void command_count(struct ask *a)
{
    unsigned n;
    command_all(&n);
    reply_int(&a->reply, n);
}

/* ------------------------------------------------------------ DOCS */

static void reply_doc(struct reply *r, const struct command *c)
{
    const char *const rows[][2] = {{"summary", c->summary},
                                   {"since", c->since},
                                   {"group", c->group},
                                   {"complexity", c->complexity}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        n += rows[i][1] != NULL;
    reply_bulk_str(r, c->name);
    reply_map(r, n);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i][1] == NULL)
            continue;
        reply_bulk_str(r, rows[i][0]);
        reply_bulk_str(r, rows[i][1]);
    }
}

static void command_docs(struct ask *a)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    if (a->argc == 2) {
        reply_map(&a->reply, n);
        for (unsigned i = 0; i < n; i++)
            reply_doc(&a->reply, all[i]);
        return;
    }
    size_t known = 0;
    for (uint32_t i = 2; i < a->argc; i++)
        known += command_find(a->argv[i]) != NULL;
    reply_map(&a->reply, known);
    for (uint32_t i = 2; i < a->argc; i++) {
        const struct command *c = command_find(a->argv[i]);
        if (c != NULL)
            reply_doc(&a->reply, c);
    }
}

/* ------------------------------------------------------------ LIST */

static bool list_has(const struct ask *a, const struct command *c)
{
    if (a->argc == 2)
        return true;
    if (bytes_is_nocase(a->argv[3], "pattern"))
        return glob_match(a->argv[4], bytes_str(c->name));
    if (!bytes_is_nocase(a->argv[3], "aclcat"))
        return false; /* by module: there are none */
    struct names categories = {0};
    command_categories(&categories, c);
    for (size_t i = 0; i < categories.n; i++)
        if (bytes_is_nocase(a->argv[4], categories.at[i] + 1))
            return true;
    return false;
}

static void command_list(struct ask *a)
{
    bool filter_ok =
        a->argc == 5 && bytes_is_nocase(a->argv[2], "filterby") &&
        (bytes_is_nocase(a->argv[3], "pattern") || bytes_is_nocase(a->argv[3], "aclcat") ||
         bytes_is_nocase(a->argv[3], "module"));
    if (a->argc != 2 && !filter_ok) {
        reply_error(&a->reply, ERR_SYNTAX);
        return;
    }
    unsigned n;
    size_t chosen = 0;
    const struct command *const *all = command_all(&n);
    for (unsigned i = 0; i < n; i++)
        chosen += list_has(a, all[i]);
    reply_array(&a->reply, chosen);
    for (unsigned i = 0; i < n; i++)
        if (list_has(a, all[i]))
            reply_bulk_str(&a->reply, all[i]->name);
}

/* ------------------------------------------------------------ GETKEYS */

static void get_keys(struct ask *a, bool flags)
{
    uint32_t argc = a->argc - 2;
    const struct bytes *argv = a->argv + 2;
    const struct command *c = command_find(argv[0]);
    if (c == NULL) {
        reply_error(&a->reply, "ERR Invalid command specified");
        return;
    }
    if (c->first_key == 0 && c->keys == NULL) {
        reply_error(&a->reply, "ERR The command has no key arguments");
        return;
    }
    if (!command_arity_ok(c, argc)) {
        reply_error(&a->reply, "ERR Invalid number of arguments specified for command");
        return;
    }
    uint32_t *at = front_indexes(a->front, argc);
    unsigned n = command_keys(c, argc, argv, at, argc);
    if (n == 0) {
        reply_error(&a->reply, "ERR Invalid arguments specified for command");
        return;
    }
    reply_array(&a->reply, n);
    for (unsigned i = 0; i < n; i++) {
        if (flags) {
            reply_array(&a->reply, 2);
            reply_bulk(&a->reply, argv[at[i]]);
            reply_set(&a->reply, 2);
            reply_simple(&a->reply, c->flags & CMD_WRITE ? "RW" : "RO");
            reply_simple(&a->reply, c->flags & CMD_WRITE ? "update" : "access");
        } else {
            reply_bulk(&a->reply, argv[at[i]]);
        }
    }
}

static void command_getkeys(struct ask *a) { get_keys(a, false); }

static void command_getkeysandflags(struct ask *a) { get_keys(a, true); }

static void command_help(struct ask *a)
{
    static const char *const lines[] = {
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all commands.",
        "COUNT",
        "    Return the total number of commands.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple commands.",
        "GETKEYS <full-command>",
        "    Return the keys from a full command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full command.",
        "INFO [<command-name> ...]",
        "    Return details about multiple commands.",
        "LIST [FILTERBY (MODULE|ACLCAT|PATTERN) <value>]",
        "    Return a list of all commands.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

static const struct subcommand command_subcommands[] = {
    {"count", 2, 2, command_count},
    {"info", 2, UINT32_MAX, command_info},
    {"docs", 2, UINT32_MAX, command_docs},
    {"list", 2, 5, command_list},
    {"getkeys", 3, UINT32_MAX, command_getkeys},
    {"getkeysandflags", 3, UINT32_MAX, command_getkeysandflags},
    {"help", 2, 2, command_help},
    {NULL, 0, 0, NULL},
};

static void command(struct ask *a)
{
    if (a->argc == 1)
        all_infos(a);
    else
        run_subcommand(a, command_subcommands);
}

const struct session_command cmd_command_commands[] = {
    {"command", command, 0},
    {NULL, NULL, 0},
};
