/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/session.h"
#include "proxy/syntax.h"
#include "shard/command_facts.h"
#include "shard/glob.h"

/* COMMAND: the command table, in Redis 7's shapes. https://redis.io/docs/latest/commands/command/
 */

/* ------------------------------------------------------------ INFO */

/* A set of names: those of the bits that are set, in the order of their numbers. */
static void reply_bits(struct reply *r, uint32_t bits, const char *(*name)(unsigned))
{
    reply_set(r, (size_t)__builtin_popcount(bits));
    for (unsigned i = 0; i < 32; i++)
        if (bits >> i & 1)
            reply_simple(r, name(i));
}

static const char *category_with_at(unsigned number)
{
#define X(upper, lower) "@" #lower,
    static const char *const names[] = {COMMAND_CATEGORIES(X)};
#undef X
    return names[number];
}

/* Keys that the three numbers do not say all of. */
static bool has_movable_keys(const struct command *c, const struct command_facts *f)
{
    bool movable = f->specs_count == 0 && c->keys != NULL;
    for (uint32_t i = 0; i < f->specs_count; i++)
        movable |= f->specs[i].begin != KEYS_AT_INDEX || f->specs[i].find != KEYS_RANGE;
    return movable || (c->first_key == 0 && c->keys != NULL);
}

static void reply_flags(struct reply *r, const struct command *c, const struct command_facts *f)
{
    bool movable = has_movable_keys(c, f);
    reply_set(r, (size_t)__builtin_popcount(f->flags) + movable);
    for (unsigned i = 0; i < INFO_COUNT; i++)
        if (f->flags >> i & 1)
            reply_simple(r, info_flag_name(i));
    if (movable)
        reply_simple(r, "movablekeys");
}

static void reply_tips(struct reply *r, const char *tips)
{
    struct bytes left = bytes_str(tips != NULL ? tips : "");
    size_t n = left.n > 0;
    for (size_t i = 0; i < left.n; i++)
        n += left.p[i] == ' ';
    reply_set(r, n);
    while (left.n > 0) {
        const uint8_t *blank = memchr(left.p, ' ', left.n);
        size_t len = blank != NULL ? (size_t)(blank - left.p) : left.n;
        reply_bulk(r, bytes_of(left.p, len));
        len += blank != NULL;
        left = bytes_of(left.p + len, left.n - len);
    }
}

static void reply_named_int(struct reply *r, const char *name, int64_t v)
{
    reply_bulk_str(r, name);
    reply_int(r, v);
}

static void reply_begin_search(struct reply *r, const struct key_spec *k)
{
    static const char *const types[] = {"index", "keyword", "unknown"};
    reply_bulk_str(r, "begin_search");
    reply_map(r, 2);
    reply_bulk_str(r, "type");
    reply_bulk_str(r, types[k->begin]);
    reply_bulk_str(r, "spec");
    if (k->begin == KEYS_AT_INDEX) {
        reply_map(r, 1);
        reply_named_int(r, "index", k->from);
    } else if (k->begin == KEYS_AT_WORD) {
        reply_map(r, 2);
        reply_bulk_str(r, "keyword");
        reply_bulk_str(r, k->word);
        reply_named_int(r, "startfrom", k->from);
    } else {
        reply_map(r, 0);
    }
}

static void reply_find_keys(struct reply *r, const struct key_spec *k)
{
    static const char *const types[] = {"range", "keynum", "unknown"};
    reply_bulk_str(r, "find_keys");
    reply_map(r, 2);
    reply_bulk_str(r, "type");
    reply_bulk_str(r, types[k->find]);
    reply_bulk_str(r, "spec");
    if (k->find == KEYS_RANGE) {
        reply_map(r, 3);
        reply_named_int(r, "lastkey", k->a);
        reply_named_int(r, "keystep", k->step);
        reply_named_int(r, "limit", k->b);
    } else if (k->find == KEYS_COUNTED) {
        reply_map(r, 3);
        reply_named_int(r, "keynumidx", k->a);
        reply_named_int(r, "firstkey", k->b);
        reply_named_int(r, "keystep", k->step);
    } else {
        reply_map(r, 0);
    }
}

static void reply_key_specs(struct reply *r, const struct command_facts *f)
{
    reply_set(r, f->specs_count);
    for (uint32_t i = 0; i < f->specs_count; i++) {
        reply_map(r, 3);
        reply_bulk_str(r, "flags");
        reply_bits(r, f->specs[i].flags, key_flag_name);
        reply_begin_search(r, &f->specs[i]);
        reply_find_keys(r, &f->specs[i]);
    }
}

/* Calls for each subcommand of c; returns how many. */
static size_t each_sub(struct reply *r, const struct command *c,
                       void (*visit)(struct reply *r, const struct command *sub))
{
    unsigned all;
    const struct command *const *rows = command_all(&all);
    size_t n = 0, len = strlen(c->name);
    for (unsigned i = 0; (c->flags & CMD_CONTAINER) && i < all; i++) {
        if (strncmp(rows[i]->name, c->name, len) != 0 || rows[i]->name[len] != '|')
            continue;
        n++;
        if (visit != NULL)
            visit(r, rows[i]);
    }
    return n;
}

static void reply_info(struct reply *r, const struct command *c)
{
    struct command_facts f = command_facts(c);
    reply_array(r, 10);
    reply_bulk_str(r, c->name);
    reply_int(r, c->arity);
    reply_flags(r, c, &f);
    reply_int(r, c->first_key);
    reply_int(r, c->last_key);
    reply_int(r, c->key_step);
    reply_bits(r, f.categories, category_with_at);
    reply_tips(r, f.tips);
    reply_key_specs(r, &f);
    size_t subs = each_sub(r, c, NULL);
    if (subs > 0)
        reply_array(r, subs);
    else
        reply_set(r, 0);
    each_sub(r, c, reply_info);
}

/* Commands without their subcommands. */
static size_t count_commands(void)
{
    unsigned all;
    const struct command *const *rows = command_all(&all);
    size_t n = 0;
    for (unsigned i = 0; i < all; i++)
        n += !command_is_sub(rows[i]);
    return n;
}

static void all_commands(struct reply *r, void (*visit)(struct reply *r, const struct command *c))
{
    unsigned all;
    const struct command *const *rows = command_all(&all);
    for (unsigned i = 0; i < all; i++)
        if (!command_is_sub(rows[i]))
            visit(r, rows[i]);
}

static void all_infos(struct ask *a)
{
    reply_array(&a->reply, count_commands());
    all_commands(&a->reply, reply_info);
}

static void info_of_commands(struct ask *a)
{
    if (a->argc == 2) {
        all_infos(a);
        return;
    }
    reply_array(&a->reply, a->argc - 2);
    for (uint32_t i = 2; i < a->argc; i++) {
        const struct command *c = command_find_full(a->argv[i]);
        if (c != NULL)
            reply_info(&a->reply, c);
        else
            reply_nil(&a->reply);
    }
}

static void count(struct ask *a) { reply_int(&a->reply, (int64_t)count_commands()); }

/* ------------------------------------------------------------ DOCS */

static void reply_args(struct reply *r, const struct syntax *s, uint16_t first, int *keys);

static void reply_arg_flags(struct reply *r, const struct syntax_arg *a)
{
    reply_bulk_str(r, "flags");
    reply_set(r, (size_t)a->optional + a->multiple + a->multiple_token);
    if (a->optional)
        reply_simple(r, "optional");
    if (a->multiple)
        reply_simple(r, "multiple");
    if (a->multiple_token)
        reply_simple(r, "multiple_token");
}

/* What the argument is called: its own name, or its token in small letters, or of what it is one.
 */
static void reply_arg_name(struct reply *r, const struct syntax_arg *a)
{
    char name[32];
    struct bytes from = a->type == SYNTAX_VALUE ? a->name : a->token;
    size_t n = from.n < sizeof name ? from.n : sizeof name;
    for (size_t i = 0; i < n; i++)
        name[i] = (char)(from.p[i] >= 'A' && from.p[i] <= 'Z' ? from.p[i] | 0x20 : from.p[i]);
    reply_bulk_str(r, "name");
    if (n > 0)
        reply_bulk(r, bytes_of(name, n));
    else
        reply_bulk_str(r, a->type == SYNTAX_ONEOF   ? "choice"
                          : a->type == SYNTAX_BLOCK ? "group"
                                                    : "empty");
}

static void reply_arg(struct reply *r, const struct syntax *s, const struct syntax_arg *a,
                      int *keys)
{
    bool inside = a->type == SYNTAX_ONEOF || a->type == SYNTAX_BLOCK;
    bool flags = a->optional || a->multiple;
    const char *type = a->type == SYNTAX_TOKEN   ? "pure-token"
                       : a->type == SYNTAX_ONEOF ? "oneof"
                       : a->type == SYNTAX_BLOCK ? "block"
                                                 : syntax_type_name(a);
    bool key = a->type == SYNTAX_VALUE && strcmp(type, "key") == 0;
    reply_map(r, 2u + key + (a->token.p != NULL) + flags + inside);
    reply_arg_name(r, a);
    reply_bulk_str(r, "type");
    reply_bulk_str(r, type);
    if (key)
        reply_named_int(r, "key_spec_index", (*keys)++);
    if (a->token.p != NULL) {
        reply_bulk_str(r, "token");
        reply_bulk(r, a->token);
    }
    if (flags)
        reply_arg_flags(r, a);
    if (inside)
        reply_args(r, s, a->first, keys);
}

static void reply_args(struct reply *r, const struct syntax *s, uint16_t first, int *keys)
{
    size_t n = 0;
    for (uint16_t i = first; i != SYNTAX_NONE; i = s->args[i].next)
        n++;
    reply_bulk_str(r, "arguments");
    reply_array(r, n);
    for (uint16_t i = first; i != SYNTAX_NONE; i = s->args[i].next)
        reply_arg(r, s, &s->args[i], keys);
}

static void reply_doc(struct reply *r, const struct command *c)
{
    const char *const rows[][2] = {{"summary", c->summary},
                                   {"since", c->since},
                                   {"group", c->group},
                                   {"complexity", c->complexity}};
    struct syntax s;
    bool args = c->args != NULL && syntax_read(&s, c->args) && s.first != SYNTAX_NONE;
    size_t n = 0, subs = each_sub(r, c, NULL);
    int keys = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        n += rows[i][1] != NULL;
    reply_bulk_str(r, c->name);
    reply_map(r, n + args + (subs > 0));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i][1] == NULL)
            continue;
        reply_bulk_str(r, rows[i][0]);
        reply_bulk_str(r, rows[i][1]);
    }
    if (args)
        reply_args(r, &s, s.first, &keys);
    if (subs > 0) {
        reply_bulk_str(r, "subcommands");
        reply_map(r, subs);
        each_sub(r, c, reply_doc);
    }
}

static void docs(struct ask *a)
{
    if (a->argc == 2) {
        reply_map(&a->reply, count_commands());
        all_commands(&a->reply, reply_doc);
        return;
    }
    size_t known = 0;
    for (uint32_t i = 2; i < a->argc; i++)
        known += command_find_full(a->argv[i]) != NULL;
    reply_map(&a->reply, known);
    for (uint32_t i = 2; i < a->argc; i++) {
        const struct command *c = command_find_full(a->argv[i]);
        if (c != NULL)
            reply_doc(&a->reply, c);
    }
}

/* ------------------------------------------------------------ LIST */

enum list_by { LIST_ALL, LIST_MODULE, LIST_CATEGORY, LIST_PATTERN };

struct list_filter {
    enum list_by by;
    uint32_t category;
    struct bytes pattern;
};

static bool list_has(const struct list_filter *f, const struct command *c)
{
    switch (f->by) {
    case LIST_ALL:
        return true;
    case LIST_CATEGORY:
        return command_facts(c).categories & f->category;
    case LIST_PATTERN:
        return glob_match_nocase(f->pattern, bytes_str(c->name));
    case LIST_MODULE:
        break; /* there are none */
    }
    return false;
}

static bool list_filter_read(struct ask *a, struct list_filter *f)
{
    static const char *const names[] = {NULL, "module", "aclcat", "pattern"};
    *f = (struct list_filter){.by = LIST_ALL};
    if (a->argc == 2)
        return true;
    if (a->argc != 5 || !bytes_is_nocase(a->argv[2], "filterby"))
        return false;
    for (unsigned i = LIST_MODULE; i <= LIST_PATTERN; i++)
        if (bytes_is_nocase(a->argv[3], names[i]))
            f->by = (enum list_by)i;
    f->pattern = a->argv[4];
    f->category = category_find(a->argv[4]);
    return f->by != LIST_ALL;
}

static void list(struct ask *a)
{
    struct list_filter f;
    if (!list_filter_read(a, &f)) {
        reply_error(&a->reply, ERR_SYNTAX);
        return;
    }
    unsigned n;
    size_t chosen = 0;
    const struct command *const *all = command_all(&n);
    for (unsigned i = 0; i < n; i++)
        chosen += list_has(&f, all[i]);
    if (f.by == LIST_ALL)
        reply_set(&a->reply, chosen);
    else
        reply_array(&a->reply, chosen);
    for (unsigned i = 0; i < n; i++)
        if (list_has(&f, all[i]))
            reply_bulk_str(&a->reply, all[i]->name);
}

/* ------------------------------------------------------------ GETKEYS */

static void get_keys(struct ask *a, bool flags)
{
    uint32_t argc = a->argc - 2;
    const struct bytes *argv = a->argv + 2;
    const struct command *c = command_resolve(argc, argv);
    if (c == NULL || ((c->flags & CMD_CONTAINER) && argc > 1)) {
        reply_error(&a->reply, "ERR Invalid command specified");
        return;
    }
    if (c->first_key == 0 && c->keys == NULL && command_facts(c).specs_count == 0) {
        reply_error(&a->reply, "ERR The command has no key arguments");
        return;
    }
    if (!command_arity_ok(c, argc)) {
        reply_error(&a->reply, "ERR Invalid number of arguments specified for command");
        return;
    }
    struct key_use *uses = mem_alloc(argc * sizeof uses[0]);
    unsigned n = command_key_uses(c, argc, argv, uses, argc);
    if (n == 0 && command_facts(c).flags & INFO_NO_MANDATORY_KEYS)
        reply_array(&a->reply, 0);
    else if (n == 0)
        reply_error(&a->reply, "ERR Invalid arguments specified for command");
    else
        reply_array(&a->reply, n);
    for (unsigned i = 0; i < n; i++) {
        if (flags)
            reply_array(&a->reply, 2);
        reply_bulk(&a->reply, argv[uses[i].at]);
        if (flags)
            reply_bits(&a->reply, uses[i].flags, key_flag_name);
    }
    mem_free(uses);
}

static void getkeys(struct ask *a) { get_keys(a, false); }

static void getkeysandflags(struct ask *a) { get_keys(a, true); }

static void help(struct ask *a)
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

const struct session_command cmd_command_commands[] = {
    {"command", all_infos, 0},
    {"command|count", count, 0},
    {"command|info", info_of_commands, 0},
    {"command|docs", docs, 0},
    {"command|list", list, 0},
    {"command|getkeys", getkeys, 0},
    {"command|getkeysandflags", getkeysandflags, 0},
    {"command|help", help, 0},
    {NULL, NULL, 0},
};
