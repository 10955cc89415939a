/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/command_facts.h"

#include "base/mem.h"
#include "base/num.h"

/* ------------------------------------------------------------ names */

#define X(upper, lower) #lower,
static const char *const category_names[] = {COMMAND_CATEGORIES(X)};
static const char *const info_flag_names[] = {COMMAND_FLAGS(X)};
static const char *const key_flag_names[] = {KEY_FLAGS(X)};
#undef X

const char *category_name(unsigned number) { return category_names[number]; }

const char *info_flag_name(unsigned number) { return info_flag_names[number]; }

const char *key_flag_name(unsigned number) { return key_flag_names[number]; }

uint32_t category_find(struct bytes name)
{
    for (unsigned i = 0; i < CAT_COUNT; i++)
        if (bytes_is_nocase(name, category_names[i]))
            return 1u << i;
    return 0;
}

/* ------------------------------------------------------------ from the row */

static uint32_t group_category(const char *group)
{
    static const struct {
        const char *group;
        uint32_t category;
    } map[] = {
        {"generic", CAT_KEYSPACE},
        {"string", CAT_STRING},
        {"hash", CAT_HASH},
        {"list", CAT_LIST},
        {"set", CAT_SET},
        {"sorted-set", CAT_SORTEDSET},
        {"sorted_set", CAT_SORTEDSET},
        {"hyperloglog", CAT_HYPERLOGLOG},
        {"bitmap", CAT_BITMAP},
        {"geo", CAT_GEO},
        {"stream", CAT_STREAM},
        {"pubsub", CAT_PUBSUB},
        {"connection", CAT_CONNECTION},
        {"transactions", CAT_TRANSACTION},
        {"scripting", CAT_SCRIPTING},
    };
    for (size_t i = 0; group != NULL && i < sizeof map / sizeof map[0]; i++)
        if (strcmp(map[i].group, group) == 0)
            return map[i].category;
    return 0;
}

static uint32_t row_categories(const struct command *c)
{
    uint32_t set = group_category(c->group);
    set |= c->flags & CMD_WRITE ? CAT_WRITE : 0;
    set |= c->flags & CMD_READONLY ? CAT_READ : 0;
    set |= c->flags & CMD_ADMIN ? CAT_ADMIN | CAT_DANGEROUS : 0;
    set |= c->flags & CMD_BLOCKING ? CAT_BLOCKING : 0;
    return set | (c->flags & CMD_FAST ? CAT_FAST : CAT_SLOW);
}

static uint32_t row_flags(const struct command *c)
{
    static const struct {
        uint32_t row, info;
    } map[] = {
        {CMD_WRITE, INFO_WRITE},       {CMD_READONLY, INFO_READONLY},
        {CMD_DENYOOM, INFO_DENYOOM},   {CMD_ADMIN, INFO_ADMIN},
        {CMD_FAST, INFO_FAST},         {CMD_NOSCRIPT, INFO_NOSCRIPT},
        {CMD_NO_AUTH, INFO_NO_AUTH},   {CMD_LOADING, INFO_LOADING | INFO_STALE},
        {CMD_NO_MULTI, INFO_NO_MULTI}, {CMD_PUBSUB, INFO_PUBSUB},
        {CMD_BLOCKING, INFO_BLOCKING},
    };
    uint32_t set = 0;
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        set |= c->flags & map[i].row ? map[i].info : 0;
    return set;
}

struct command_facts command_facts(const struct command *cmd)
{
    struct command_facts f = *command_known_facts(cmd);
    if (f.known)
        return f;
    f.categories = row_categories(cmd);
    f.flags = row_flags(cmd);
    if (cmd->first_key > 0) {
        f.specs_count = 1;
        f.specs[0] = (struct key_spec){
            .flags =
                cmd->flags & CMD_WRITE ? KEY_RW | KEY_ACCESS | KEY_UPDATE : KEY_RO | KEY_ACCESS,
            .begin = KEYS_AT_INDEX,
            .find = KEYS_RANGE,
            .from = cmd->first_key,
            .a = cmd->last_key < 0 ? cmd->last_key : cmd->last_key - cmd->first_key,
            .step = cmd->key_step};
    }
    return f;
}

/* ------------------------------------------------------------ keys of a call */

/* Where the keys of a specification begin; 0: nowhere. */
static uint32_t keys_begin(const struct key_spec *k, uint32_t argc, const struct bytes *argv)
{
    if (k->begin == KEYS_AT_INDEX)
        return (uint32_t)k->from;
    int64_t step = k->from > 0 ? 1 : -1;
    for (int64_t i = k->from > 0 ? k->from : (int64_t)argc + k->from; i > 0 && i < (int64_t)argc;
         i += step)
        if (bytes_is_nocase(argv[i], k->word))
            return (uint32_t)i + 1;
    return 0;
}

/* Appends the keys of one specification; false: the arguments do not have that form. */
static bool keys_find(const struct key_spec *k, uint32_t argc, const struct bytes *argv,
                      struct key_use *out, unsigned max, unsigned *n)
{
    int64_t first = keys_begin(k, argc, argv), last = 0, count = 0;
    if (first == 0 || first >= (int64_t)argc)
        return k->begin == KEYS_AT_WORD;
    if (k->find == KEYS_RANGE) {
        last = k->a >= 0   ? first + k->a
               : k->b == 0 ? (int64_t)argc + k->a
                           : first + ((int64_t)argc - first) / k->b + k->a;
    } else {
        if (first + k->a >= (int64_t)argc || !num_parse_i64(argv[first + k->a], &count) ||
            count < 0 || count > (int64_t)argc)
            return false;
        first += k->b;
        last = first + count * k->step - 1;
    }
    if (last >= (int64_t)argc)
        return false;
    for (int64_t i = first; i <= last && *n < max; i += k->step)
        out[(*n)++] = (struct key_use){.at = (uint32_t)i, .flags = k->flags};
    return true;
}

static bool says_all(const struct command_facts *f)
{
    for (uint32_t i = 0; i < f->specs_count; i++)
        if (f->specs[i].begin == KEYS_AT_UNKNOWN || f->specs[i].find == KEYS_UNKNOWN ||
            (f->specs[i].flags & KEY_INCOMPLETE))
            return false;
    return f->specs_count > 0;
}

/* SET reads only with GET; BITFIELD writes only with something else than GET. */
static uint32_t variable_flags(const struct command *cmd, uint32_t argc, const struct bytes *argv)
{
    const uint32_t both = KEY_RW | KEY_ACCESS | KEY_UPDATE;
    if (strcmp(cmd->name, "set") == 0) {
        for (uint32_t i = 3; i < argc; i++)
            if (bytes_is_nocase(argv[i], "get"))
                return both;
        return KEY_OW | KEY_UPDATE;
    }
    for (uint32_t i = 2; i < argc;) {
        uint32_t more = argc - 1 - i;
        if (bytes_is_nocase(argv[i], "get") && more >= 2)
            i += 3;
        else if (bytes_is_nocase(argv[i], "overflow") && more >= 1)
            i += 2;
        else
            return both;
    }
    return KEY_RO | KEY_ACCESS;
}

/* By the row; the first key is used as the first specification says, others as the last one. */
static unsigned keys_by_row(const struct command *cmd, const struct command_facts *f, uint32_t argc,
                            const struct bytes *argv, struct key_use *out, unsigned max)
{
    uint32_t few[32], *at = max <= 32 ? few : mem_alloc(max * sizeof at[0]);
    unsigned n = command_keys(cmd, argc, argv, at, max);
    uint32_t other =
        cmd->flags & CMD_WRITE ? KEY_RW | KEY_ACCESS | KEY_UPDATE : KEY_RO | KEY_ACCESS;
    for (unsigned i = 0; i < n; i++) {
        uint32_t flags =
            f->specs_count == 0 ? other : f->specs[i == 0 ? 0 : f->specs_count - 1].flags;
        if (flags & KEY_VARIABLE_FLAGS)
            flags = variable_flags(cmd, argc, argv);
        out[i] = (struct key_use){.at = at[i], .flags = flags & ~(uint32_t)KEY_INCOMPLETE};
    }
    if (at != few)
        mem_free(at);
    return n;
}

unsigned command_key_uses(const struct command *cmd, uint32_t argc, const struct bytes *argv,
                          struct key_use *out, unsigned max)
{
    const struct command_facts *f = command_known_facts(cmd);
    unsigned n = 0;
    bool whole = says_all(f);
    for (uint32_t i = 0; i < f->specs_count && whole; i++)
        whole = keys_find(&f->specs[i], argc, argv, out, max, &n);
    if (!whole)
        return keys_by_row(cmd, f, argc, argv, out, max);
    for (unsigned i = 0; i < n; i++)
        if (out[i].flags & KEY_VARIABLE_FLAGS)
            out[i].flags = variable_flags(cmd, argc, argv);
    return n;
}
