/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "script/inside.h"
#include "shard/debug_reply.h"

#include <stdio.h>

/* redis.call and redis.pcall: commands on the script's shard. */

#define ARGV_KEPT 64u
#define REPLY_KEPT (64u << 10)

void push_error(lua_State *L, const char *text)
{
    const char *blank = text[0] == '-' ? strchr(text, ' ') : NULL;
    lua_createtable(L, 0, 2);
    if (blank != NULL)
        lua_pushstring(L, text + 1);
    else
        lua_pushfstring(L, "ERR %s", text[0] == '-' ? text + 1 : text);
    lua_setfield(L, -2, "err");
}

int raise_error(lua_State *L, const char *text)
{
    push_error(L, text);
    return lua_error(L);
}

/* ------------------------------------------------------------ arguments */

static void argv_room(struct engine *e, uint32_t n)
{
    if (e->argv_cap >= n)
        return;
    e->argv_cap = n + ARGV_KEPT;
    e->argv = mem_realloc(e->argv, e->argv_cap * sizeof e->argv[0]);
    e->at = mem_realloc(e->at, e->argv_cap * sizeof e->at[0]);
}

/* A number as Redis writes it for a command: 17 digits, which Lua itself would not show. */
static void number_to_string(lua_State *L, int index)
{
    char text[64];
    lua_Number v = lua_tonumber(L, index);
    size_t n;
    if (v > -1e15 && v < 1e15 && v == (lua_Number)(int64_t)v && (v != 0 || !__builtin_signbit(v)))
        n = num_format_i64(text, (int64_t)v);
    else
        n = (size_t)snprintf(text, sizeof text, "%.17g", v);
    lua_pushlstring(L, text, n);
    lua_replace(L, index);
}

/* Points e->argv to all arguments, which stay on the stack. NULL or what is wrong with them. */
static const char *collect(lua_State *L, struct engine *e, uint32_t *argc)
{
    int n = lua_gettop(L);
    if (n == 0)
        return "Please specify at least one argument for this redis lib call";
    argv_room(e, (uint32_t)n);
    for (int i = 1; i <= n; i++) {
        if (lua_type(L, i) == LUA_TNUMBER)
            number_to_string(L, i);
        if (lua_type(L, i) != LUA_TSTRING)
            return "Lua redis lib command arguments must be strings or integers";
        size_t len;
        const char *p = lua_tolstring(L, i, &len);
        e->argv[i - 1] = bytes_of(p, len);
    }
    *argc = (uint32_t)n;
    return NULL;
}

/* ------------------------------------------------------------ may it run? */

static const char *check_writes(struct run *r, const struct command *cmd)
{
    uint32_t flags = r->allow_oom ? cmd->flags & ~(uint32_t)CMD_DENYOOM : cmd->flags;
    if (r->readonly && (flags & CMD_WRITE || strcmp(cmd->name, "publish") == 0))
        return "Write commands are not allowed from read-only scripts.";
    if (!(flags & CMD_WRITE) || r->wrote)
        return NULL; /* what has begun to write cannot be stopped in the middle */
    return shard_refusal(r->engine->opts.shard, flags);
}

static const char *check_keys(struct engine *e, const struct command *cmd, uint32_t argc)
{
    const struct shard *s = e->opts.shard;
    if (shard_is_whole(s))
        return NULL;
    if (cmd->where == AT_EACH)
        return "Script attempted to run a command that concerns all shards of the database; call "
               "it "
               "outside of scripts";
    unsigned n = command_keys(cmd, argc, e->argv, e->at, argc);
    for (unsigned i = 0; i < n; i++)
        if (!shard_owns(s, e->argv[e->at[i]]))
            return "Script attempted to access a key of another shard; give all keys that it uses "
                   "the same hash tag, {...}, and declare one of them";
    return NULL;
}

/* Of what scripts may not call DEBUG SET-DISABLE-DENY-SCRIPTS lets them call this, which shows how
 * replies become values. */
static bool is_debug(const struct engine *e, const struct command *cmd)
{
    return shard_scripts_debug(e->opts.shard) && strcmp(cmd->name, "debug|protocol") == 0;
}

static const char *check(struct engine *e, struct call *c)
{
    const char *why = NULL;
    if (c->command == NULL)
        return "Unknown Redis command called from script";
    if (!command_arity_ok(c->command, c->argc))
        return "Wrong number of args calling Redis command from script";
    if ((c->command->flags & CMD_NOSCRIPT) && !is_debug(e, c->command))
        return "This Redis command is not allowed from script";
    if (e->opts.refuse != NULL)
        why = e->opts.refuse(e->opts.arg, c, false);
    if (why == NULL)
        why = check_writes(e->run, c->command);
    return why != NULL ? why : check_keys(e, c->command, c->argc);
}

/* ------------------------------------------------------------ running it */

/* Commands that a session answers, as far as they make sense in a script. */
static void run_own(const struct call *c)
{
    if (bytes_is_nocase(c->argv[0], "ping")) {
        if (c->argc > 2)
            reply_error(c->reply, "ERR wrong number of arguments for 'ping' command");
        else if (c->argc == 2)
            reply_bulk(c->reply, c->argv[1]);
        else
            reply_simple(c->reply, "PONG");
    } else if (bytes_is_nocase(c->argv[0], "echo")) {
        reply_bulk(c->reply, c->argv[1]);
    } else if (bytes_is_nocase(c->argv[0], "select")) {
        int64_t index;
        if (!num_parse_i64(c->argv[1], &index))
            reply_error(c->reply, ERR_NOT_INT);
        else if (index != 0)
            reply_error(c->reply, "ERR DB index is out of range");
        else
            reply_ok(c->reply);
    } else if (strcmp(c->command->name, "debug|protocol") == 0) {
        if (!debug_reply(c->reply, c->argv[2]))
            reply_error(c->reply, "ERR DEBUG PROTOCOL has no such type for scripts");
    } else {
        reply_errorf(c->reply, "ERR command '%s' cannot be called from a script", c->command->name);
    }
}

static void run_command(struct engine *e, struct call *c)
{
    struct run *r = e->run;
    if (c->command->flags & CMD_WRITE) {
        if (!r->wrote && !r->in_exec) {
            shard_atomic_begin(e->opts.shard, r->now);
            r->atomic = true;
        }
        r->wrote = true;
    }
    if (c->command->where == AT_SESSION)
        run_own(c);
    else
        shard_execute(e->opts.shard, c);
    shard_show(e->opts.shard, c);
}

/* Leaves the reply's value, or an error's table, at the top. True: it is an error. */
static bool call_command(lua_State *L, struct engine *e, uint32_t argc)
{
    struct run *r = e->run;
    buf_reuse(&e->reply, REPLY_KEPT);
    /* What is larger than all of Lua's memory could not be taken over. */
    struct reply reply = {.out = &e->reply, .resp = r->script_resp, .max = e->memory_max};
    struct call c = {.shard = e->opts.shard,
                     .command = command_resolve(argc, e->argv),
                     .argc = argc,
                     .argv = e->argv,
                     .reply = &reply,
                     .now = r->now,
                     .session = r->session,
                     .track = r->track,
                     .user = buf_bytes(&e->user),
                     .in_exec = true,
                     .in_script = true};
    const char *why = check(e, &c);
    if (why != NULL) {
        char text[512];
        bool code = why[0] >= 'A' && why[0] <= 'Z' && why[1] >= 'A' && why[1] <= 'Z';
        snprintf(text, sizeof text, "%s%s", code ? "-" : "", why);
        push_error(L, text);
        return true;
    }
    run_command(e, &c);
    lua_settop(L, 0);
    struct bytes out = buf_bytes(&e->reply);
    if (!convert_push(L, out))
        return push_error(L, "the command gave no reply"), true;
    return out.p[0] == '-';
}

static int generic(lua_State *L, bool raise)
{
    struct engine *e = engine_of(L);
    uint32_t argc = 0;
    if (e->run == NULL || e->opts.shard == NULL)
        return raise_error(L, "redis.call/pcall can only be called inside a script invocation");
    const char *why = collect(L, e, &argc);
    if (why != NULL) {
        push_error(L, why);
        return raise ? lua_error(L) : 1;
    }
    return call_command(L, e, argc) && raise ? lua_error(L) : 1;
}

int call_redis(lua_State *L) { return generic(L, true); }

int call_redis_protected(lua_State *L) { return generic(L, false); }

int call_acl_check(lua_State *L)
{
    struct engine *e = engine_of(L);
    uint32_t argc = 0;
    if (e->run == NULL)
        return raise_error(L, "redis.acl_check_cmd can only be called inside a script invocation");
    const char *why = collect(L, e, &argc);
    if (why != NULL)
        return raise_error(L, why);
    struct call c = {.shard = e->opts.shard,
                     .command = command_resolve(argc, e->argv),
                     .argc = argc,
                     .argv = e->argv,
                     .now = e->run->now,
                     .session = e->run->session,
                     .user = buf_bytes(&e->user)};
    if (c.command == NULL)
        return raise_error(L, "Invalid command passed to redis.acl_check_cmd()");
    lua_pushboolean(L, e->opts.refuse == NULL || e->opts.refuse(e->opts.arg, &c, true) == NULL);
    return 1;
}
