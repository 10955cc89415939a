/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/events.h"

/* Redis commands of the group "generic" that work on named keys:
 * https://redis.io/docs/latest/commands/?group=generic. Those on the whole keyspace are in
 * cmd_keyspace.c, those on deadlines in cmd_expire.c. */

static void del(struct call *c)
{
    int64_t n = 0;
    for (uint32_t i = 1; i < c->argc; i++) {
        struct key k;
        key_write(c, c->argv[i], &k);
        if (k.cell == NULL)
            continue;
        key_del(c, &k);
        key_event(c, EVENT_GENERIC, "del", k.name);
        n++;
    }
    reply_int(c->reply, n);
}

static void exists(struct call *c)
{
    int64_t n = 0;
    for (uint32_t i = 1; i < c->argc; i++) {
        struct key k;
        key_peek(c, c->argv[i], &k);
        n += k.cell != NULL;
    }
    reply_int(c->reply, n);
}

static void touch(struct call *c)
{
    int64_t n = 0;
    for (uint32_t i = 1; i < c->argc; i++) {
        struct key k;
        key_read(c, c->argv[i], &k);
        n += k.cell != NULL;
    }
    reply_int(c->reply, n);
}

static void type(struct call *c)
{
    struct key k;
    key_peek(c, c->argv[1], &k);
    reply_simple(c->reply, k.cell != NULL ? type_name(value_type(k.cell)) : "none");
}

/* Moves a key unless the new name is taken and `replace` is false; false when nothing was moved. */
static bool move_key(struct call *c, bool replace, bool *found)
{
    struct key from, to;
    key_write(c, c->argv[1], &from);
    *found = from.cell != NULL;
    if (!*found)
        return false;
    if (bytes_eq(c->argv[1], c->argv[2]))
        return replace;
    key_write(c, c->argv[2], &to);
    if (to.cell != NULL && !replace)
        return false;
    key_move(c, &from, &to);
    key_event(c, EVENT_GENERIC, "rename_from", from.name);
    key_event(c, EVENT_GENERIC, "rename_to", to.name);
    return true;
}

static void rename_key(struct call *c)
{
    bool found;
    if (move_key(c, true, &found))
        reply_ok(c->reply);
    else
        reply_error(c->reply, ERR_NO_KEY);
}

static void renamenx(struct call *c)
{
    bool found, moved = move_key(c, false, &found);
    if (found)
        reply_int(c->reply, moved);
    else
        reply_error(c->reply, ERR_NO_KEY);
}

static bool parse_copy(struct call *c, bool *replace)
{
    *replace = false;
    for (uint32_t i = 3; i < c->argc; i++) {
        int64_t db;
        if (bytes_is_nocase(c->argv[i], "replace")) {
            *replace = true;
        } else if (bytes_is_nocase(c->argv[i], "db") && i + 1 < c->argc) {
            if (!arg_i64(c, c->argv[++i], &db))
                return false;
            if (db != 0) { /* there is one database only */
                reply_error(c->reply, "ERR DB index is out of range");
                return false;
            }
        } else {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
    }
    if (!bytes_eq(c->argv[1], c->argv[2]))
        return true;
    reply_error(c->reply, "ERR source and destination objects are the same");
    return false;
}

static void copy(struct call *c)
{
    struct key from, to;
    bool replace;
    if (!parse_copy(c, &replace))
        return;
    key_read(c, c->argv[1], &from);
    if (from.cell == NULL) {
        reply_int(c->reply, 0);
        return;
    }
    key_write(c, c->argv[2], &to);
    bool copied = to.cell == NULL || replace;
    if (copied) {
        key_copy(c, &from, &to);
        key_event(c, EVENT_GENERIC, "copy_to", to.name);
    }
    reply_int(c->reply, copied);
}

#define READ (CMD_READONLY | CMD_FAST)

const struct command cmd_generic_table[] = {
    {"copy", -3, CMD_WRITE | CMD_DENYOOM, 1, 2, 1, AT_SHARD, MERGE_NONE, copy, NULL, "generic",
     "6.2.0", "O(N) with N the number of elements", "Copies a key",
     "source destination [DB destination-db] [REPLACE]"},
    {"del", -2, CMD_WRITE, 1, -1, 1, AT_SPLIT, MERGE_SUM, del, NULL, "generic", "1.0.0",
     "O(N) with N the number of keys; the memory is given back later",
     "Deletes keys: what this region has seen of them", "key [key ...]"},
    {"exists", -2, READ, 1, -1, 1, AT_SPLIT, MERGE_SUM, exists, NULL, "generic", "1.0.0",
     "O(N) with N the number of keys", "Counts which of the keys exist", "key [key ...]"},
    {"rename", 3, CMD_WRITE, 1, 2, 1, AT_SHARD, MERGE_NONE, rename_key, NULL, "generic", "1.0.0",
     "O(N) with N the number of elements", "Gives a key another name, replacing what has it",
     "key newkey"},
    {"renamenx", 3, CMD_WRITE | CMD_FAST, 1, 2, 1, AT_SHARD, MERGE_NONE, renamenx, NULL, "generic",
     "1.0.0", "O(N) with N the number of elements",
     "Gives a key another name unless that one exists in this region", "key newkey"},
    {"touch", -2, READ, 1, -1, 1, AT_SPLIT, MERGE_SUM, touch, NULL, "generic", "3.2.1",
     "O(N) with N the number of keys", "Counts which of the keys exist", "key [key ...]"},
    {"type", 2, READ, 1, 1, 1, AT_SHARD, MERGE_NONE, type, NULL, "generic", "1.0.0", "O(1)",
     "Returns the type of a key's value", "key"},
    {"unlink", -2, CMD_WRITE | CMD_FAST, 1, -1, 1, AT_SPLIT, MERGE_SUM, del, NULL, "generic",
     "4.0.0", "O(N) with N the number of keys; the memory is given back later",
     "Deletes keys: what this region has seen of them", "key [key ...]"},
    {.name = NULL},
};
