/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "script/inside.h"

#include <math.h>
#include <stdio.h>

/* The table `redis`, but for redis.call and its kin (call.c). */

enum { REPL_AOF = 1, REPL_REPLICA = 2 };
enum { LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING };

static int sha1hex(lua_State *L)
{
    char hex[SHA1_HEX + 1];
    size_t n = 0;
    if (lua_gettop(L) != 1)
        return raise_error(L, "wrong number of arguments");
    const char *s = lua_tolstring(L, 1, &n);
    sha1_hex(bytes_of(s, s != NULL ? n : 0), hex);
    lua_pushlstring(L, hex, SHA1_HEX);
    return 1;
}

static bool one_string(lua_State *L)
{
    if (lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TSTRING)
        return true;
    push_error(L, "wrong number or type of arguments");
    return false;
}

/* {err = ...}: a word without blanks gets the code ERR. */
static int error_reply(lua_State *L)
{
    if (!one_string(L))
        return 1;
    const char *text = lua_tostring(L, 1);
    if (text[0] == '-')
        text++;
    lua_pushfstring(L, "-%s", text);
    push_error(L, lua_tostring(L, -1));
    return 1;
}

static int status_reply(lua_State *L)
{
    if (!one_string(L))
        return 1;
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "ok");
    return 1;
}

/* Effects always ship: the flags are checked and make no difference. */
static int set_repl(lua_State *L)
{
    if (engine_of(L)->run == NULL)
        return raise_error(L, "redis.set_repl can only be called inside a script invocation");
    if (lua_gettop(L) != 1)
        return raise_error(L, "redis.set_repl() requires two arguments.");
    lua_Number flags = lua_tonumber(L, 1);
    if (!(flags >= 0 && flags <= (REPL_AOF | REPL_REPLICA)))
        return raise_error(L, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or "
                              "REPL_NONE.");
    return 0;
}

static int setresp(lua_State *L)
{
    struct run *r = engine_of(L)->run;
    if (r == NULL)
        return raise_error(L, "redis.setresp can only be called inside a script invocation");
    if (lua_gettop(L) != 1)
        return raise_error(L, "redis.setresp() requires one argument.");
    lua_Number resp = lua_tonumber(L, 1);
    if (!(resp >= 2 && resp < 4))
        return raise_error(L, "RESP version must be 2 or 3.");
    r->script_resp = resp >= 3 ? 3 : 2;
    return 0;
}

static int log_line(lua_State *L)
{
    static const char levels[] = {'D', 'D', 'I', 'W'};
    int n = lua_gettop(L);
    char line[512];
    size_t used = 0;
    if (n < 2)
        return raise_error(L, "redis.log() requires two arguments or more.");
    if (!lua_isnumber(L, 1))
        return raise_error(L, "First argument must be a number (log level).");
    lua_Number level = lua_tonumber(L, 1);
    if (!(level >= LOG_DEBUG && level < LOG_WARNING + 1))
        return raise_error(L, "Invalid debug level.");
    for (int i = 2; i <= n; i++) {
        size_t len;
        const char *s = lua_tolstring(L, i, &len);
        if (s == NULL)
            continue;
        if (i > 2 && used < sizeof line - 1)
            line[used++] = ' ';
        for (size_t k = 0; k < len && used < sizeof line - 1; k++)
            line[used++] = (char)((uint8_t)s[k] < ' ' ? ' ' : s[k]);
    }
    line[used] = 0;
    scripts_log(engine_of(L)->opts.scripts, levels[(int)level], line);
    return 0;
}

static int replicate_commands(lua_State *L)
{
    lua_pushboolean(L, 1);
    return 1;
}

/* There is no debugger to stop in. */
static int breakpoint(lua_State *L)
{
    lua_pushboolean(L, 0);
    return 1;
}

static int debug(lua_State *L)
{
    (void)L;
    return 0;
}

/* ------------------------------------------------------------ math.random */

/* POSIX lrand48, so that the same seed gives the same numbers everywhere. */
static uint32_t draw(struct engine *e)
{
    e->random = (e->random * UINT64_C(0x5deece66d) + 0xb) & UINT64_C(0xffffffffffff);
    return (uint32_t)(e->random >> 17);
}

int api_random(lua_State *L)
{
    struct engine *e = engine_of(L);
    if (e->run == NULL)
        return luaL_error(L, "math.random can only be called inside a script invocation");
    lua_Number r = (lua_Number)(draw(e) % INT32_MAX) / (lua_Number)INT32_MAX;
    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, r);
        return 1;
    case 1: {
        int to = luaL_checkint(L, 1);
        luaL_argcheck(L, 1 <= to, 1, "interval is empty");
        lua_pushnumber(L, floor(r * to) + 1);
        return 1;
    }
    case 2: {
        int from = luaL_checkint(L, 1), to = luaL_checkint(L, 2);
        luaL_argcheck(L, from <= to, 2, "interval is empty");
        lua_pushnumber(L, floor(r * ((lua_Number)to - from + 1)) + from);
        return 1;
    }
    default:
        return luaL_error(L, "wrong number of arguments");
    }
}

int api_randomseed(lua_State *L)
{
    struct engine *e = engine_of(L);
    if (e->run == NULL)
        return luaL_error(L, "math.randomseed can only be called inside a script invocation");
    e->random = (uint64_t)(uint32_t)luaL_checkint(L, 1) << 16 | 0x330e;
    return 0;
}

/* ------------------------------------------------------------ the table */

static void set_functions(lua_State *L, const luaL_Reg *all)
{
    for (; all->name != NULL; all++) {
        lua_pushcfunction(L, all->func);
        lua_setfield(L, -2, all->name);
    }
}

static void set_number(lua_State *L, const char *name, int v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static void set_constants(lua_State *L, enum api_kind kind)
{
    set_number(L, "LOG_DEBUG", LOG_DEBUG);
    set_number(L, "LOG_VERBOSE", LOG_VERBOSE);
    set_number(L, "LOG_NOTICE", LOG_NOTICE);
    set_number(L, "LOG_WARNING", LOG_WARNING);
    set_number(L, "REDIS_VERSION_NUM", REDIS_VERSION_NUMBER);
    lua_pushliteral(L, REDIS_VERSION_TEXT);
    lua_setfield(L, -2, "REDIS_VERSION");
    if (kind == API_LOAD)
        return;
    set_number(L, "REPL_NONE", 0);
    set_number(L, "REPL_AOF", REPL_AOF);
    set_number(L, "REPL_SLAVE", REPL_REPLICA);
    set_number(L, "REPL_REPLICA", REPL_REPLICA);
    set_number(L, "REPL_ALL", REPL_AOF | REPL_REPLICA);
}

void api_push(lua_State *L, enum api_kind kind)
{
    static const luaL_Reg running[] = {{"call", call_redis},
                                       {"pcall", call_redis_protected},
                                       {"log", log_line},
                                       {"setresp", setresp},
                                       {"sha1hex", sha1hex},
                                       {"error_reply", error_reply},
                                       {"set_repl", set_repl},
                                       {"status_reply", status_reply},
                                       {"acl_check_cmd", call_acl_check},
                                       {NULL, NULL}};
    static const luaL_Reg eval[] = {{"breakpoint", breakpoint},
                                    {"debug", debug},
                                    {"replicate_commands", replicate_commands},
                                    {NULL, NULL}};
    static const luaL_Reg load[] = {
        {"register_function", library_register}, {"log", log_line}, {NULL, NULL}};
    lua_newtable(L);
    set_functions(L, kind == API_LOAD ? load : running);
    if (kind == API_EVAL)
        set_functions(L, eval);
    set_constants(L, kind);
}
