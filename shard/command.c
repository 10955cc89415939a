/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/command.h"

#include "shard/keys.h"

/* by_name[] (sorted) and slots[] (1 + index into it, by command_hash, linear probing); see
 * command_index.awk. */
#include "command_index.h"

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c; }

static uint32_t command_hash(struct bytes name)
{
    uint32_t h = 5381;
    for (size_t i = 0; i < name.n; i++)
        h = h * 33 + lower(name.p[i]);
    return h;
}

#define NAME_MAX_BYTES 32u

const struct command *command_find(struct bytes name)
{
    if (name.n > NAME_MAX_BYTES)
        return NULL;
    for (uint32_t h = command_hash(name) % COMMAND_SLOTS; slots[h] != 0;
         h = (h + 1) % COMMAND_SLOTS) {
        const struct command *cmd = by_name[slots[h] - 1];
        if (bytes_is_nocase(name, cmd->name))
            return cmd;
    }
    return NULL;
}

const struct command *const *command_all(unsigned *n)
{
    *n = COMMAND_COUNT;
    return by_name;
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
