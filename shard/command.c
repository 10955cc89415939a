/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/command.h"

#include "shard/command_facts.h"
#include "shard/keys.h"

#include <assert.h>

/* A table of rows; its rows' numbers stand in numbers[] from `from` on. */
struct command_rows {
    const struct command *first;
    uint16_t n, from;
};

/* by_name[] (sorted), slots[] and sub_slots[] (1 + index into it, by hash of the name, linear
 * probing), tables[], numbers[] and facts[]; see command_index.awk. */
#include "command_index.h"

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c; }

static uint32_t hash_more(uint32_t h, struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        h = h * 33 + lower(name.p[i]);
    return h;
}

#define HASH_START 5381u
#define NAME_MAX_BYTES 32u

const struct command *command_lookup(struct bytes name, unsigned *number)
{
    if (name.n > NAME_MAX_BYTES)
        return NULL;
    for (uint32_t h = hash_more(HASH_START, name) % COMMAND_SLOTS; slots[h] != 0;
         h = (h + 1) % COMMAND_SLOTS) {
        const struct command *cmd = by_name[slots[h] - 1];
        if (!bytes_is_nocase(name, cmd->name))
            continue;
        *number = slots[h] - 1u;
        return cmd;
    }
    return NULL;
}

const struct command *command_find(struct bytes name)
{
    unsigned number;
    return command_lookup(name, &number);
}

const struct command *command_sub(const struct command *container, struct bytes name)
{
    if (name.n > NAME_MAX_BYTES)
        return NULL;
    struct bytes first = bytes_str(container->name);
    uint32_t h = hash_more(hash_more(hash_more(HASH_START, first), bytes_str("|")), name);
    for (h %= COMMAND_SLOTS; sub_slots[h] != 0; h = (h + 1) % COMMAND_SLOTS) {
        const char *sub = by_name[sub_slots[h] - 1]->name;
        if (strncmp(sub, container->name, first.n) == 0 && sub[first.n] == '|' &&
            bytes_is_nocase(name, sub + first.n + 1))
            return by_name[sub_slots[h] - 1];
    }
    return NULL;
}

const struct command *command_resolve(uint32_t argc, const struct bytes *argv)
{
    const struct command *cmd = command_find(argv[0]), *sub = NULL;
    if (cmd != NULL && argc > 1 && (cmd->flags & CMD_CONTAINER))
        sub = command_sub(cmd, argv[1]);
    return sub != NULL ? sub : cmd;
}

const struct command *command_find_full(struct bytes name)
{
    const uint8_t *bar = name.n > 0 ? memchr(name.p, '|', name.n) : NULL;
    if (bar == NULL)
        return command_find(name);
    size_t n = (size_t)(bar - name.p);
    const struct command *container = command_find(bytes_of(name.p, n));
    if (container == NULL)
        return NULL;
    return command_sub(container, bytes_of(bar + 1, name.n - n - 1));
}

bool command_is_sub(const struct command *cmd) { return strchr(cmd->name, '|') != NULL; }

const struct command *const *command_all(unsigned *n)
{
    *n = COMMAND_COUNT;
    return by_name;
}

unsigned command_count(void) { return COMMAND_COUNT; }

unsigned command_number(const struct command *cmd)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        uintptr_t offset = (uintptr_t)cmd - (uintptr_t)tables[i].first;
        if (offset < tables[i].n * sizeof *cmd)
            return numbers[tables[i].from + offset / sizeof *cmd];
    }
    assert(false); /* a row that stands in no table */
    return 0;
}

const struct command_facts *command_known_facts(const struct command *cmd)
{
    return &facts[command_number(cmd)];
}

bool command_arity_ok(const struct command *cmd, uint32_t argc)
{
    return cmd->arity >= 0 ? argc == (uint32_t)cmd->arity : argc >= (uint32_t)-cmd->arity;
}

unsigned command_keys(const struct command *cmd, uint32_t argc, const struct bytes *argv,
                      uint32_t *at, unsigned max)
{
    if (cmd->keys != NULL)
        return cmd->keys(argc, argv, at, max);
    if (cmd->first_key <= 0)
        return 0;
    int64_t last = cmd->last_key >= 0 ? cmd->last_key : (int64_t)argc + cmd->last_key;
    unsigned n = 0;
    for (int64_t i = cmd->first_key; i <= last && i < (int64_t)argc && n < max; i += cmd->key_step)
        at[n++] = (uint32_t)i;
    return n;
}
