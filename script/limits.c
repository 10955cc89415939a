/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "script/inside.h"

#include <string.h>

/*
 * Functions of Lua's libraries that scripts get another version of: those that would change or
 * look behind a frozen table, that could load bytecode, and that could take memory or time without
 * end in one call, where neither the memory's limit nor the instruction hook stops them.
 */

/* A pattern's items nest on the C stack: this many fit many times over. */
#define PATTERN_MAX (32u << 10)
#define REPEAT_MAX (256u << 20)
#define UNPACK_MAX 8000
#define JSON_MAX (128u << 20)
#define JSON_DEPTH_MAX 1000

/* Replaces table[name] by a closure over what was there: its upvalue, and the function. */
static void wrap(lua_State *L, int table, const char *name, lua_CFunction fn)
{
    lua_getfield(L, table, name);
    if (lua_getupvalue(L, -1, 1) == NULL)
        lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushcclosure(L, fn, 2);
    lua_setfield(L, table, name);
}

/* Goes on as what was wrapped, in its place: errors name it, and the line that called it. */
static int original(lua_State *L) { return lua_tocfunction(L, lua_upvalueindex(2))(L); }

/* ------------------------------------------------------------ frozen tables */

/* Replaces a frozen table at `index` by the real one behind it. It must not get to a script. */
static void unfreeze(lua_State *L, int index)
{
    if (!sandbox_is_frozen(L, index))
        return;
    lua_getmetatable(L, index);
    lua_getfield(L, -1, "__index");
    lua_replace(L, index);
    lua_pop(L, 1);
}

static int next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    unfreeze(L, 1);
    lua_settop(L, 2);
    if (lua_next(L, 1))
        return 2;
    lua_pushnil(L);
    return 1;
}

static int pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static int raw_get(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    unfreeze(L, 1);
    lua_rawget(L, 1);
    return 1;
}

static int raise_readonly(lua_State *L)
{
    lua_pushliteral(L, "Attempt to modify a readonly table");
    return lua_error(L);
}

static int raw_set(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    if (sandbox_is_frozen(L, 1))
        return raise_readonly(L);
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/* setmetatable and what changes its first argument. */
static int unless_frozen(lua_State *L)
{
    return sandbox_is_frozen(L, 1) ? raise_readonly(L) : original(L);
}

/* Of a frozen table: the real one's, frozen. */
static int get_metatable(lua_State *L)
{
    luaL_checkany(L, 1);
    bool frozen = sandbox_is_frozen(L, 1);
    unfreeze(L, 1);
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
    } else if (frozen) {
        sandbox_freeze(L);
    } else {
        lua_pushliteral(L, "__metatable");
        lua_rawget(L, -2);
        if (lua_isnil(L, -1))
            lua_pop(L, 1);
    }
    return 1;
}

/* ------------------------------------------------------------ code */

/* Text only: bytecode is not checked by Lua and can do anything. */
static int load_text(lua_State *L, const char *s, size_t n, const char *name)
{
    lua_Debug caller;
    if (n > 0 && s[0] == LUA_SIGNATURE[0]) {
        lua_pushnil(L);
        lua_pushliteral(L, "attempt to load a binary chunk");
        return 2;
    }
    if (luaL_loadbuffer(L, s, n, name) != 0) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (lua_getstack(L, 1, &caller) && lua_getinfo(L, "f", &caller)) {
        lua_getfenv(L, -1);
        if (lua_istable(L, -1))
            lua_setfenv(L, -3);
        else
            lua_pop(L, 1);
        lua_pop(L, 1);
    }
    return 1;
}

static int load_string(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    return load_text(L, s, n, luaL_optstring(L, 2, s));
}

/* load(function): the function gives the text piece by piece. */
static int load_pieces(lua_State *L)
{
    const char *name = luaL_optstring(L, 2, "=(load)");
    size_t n;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushliteral(L, "");
    for (;;) {
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (lua_isnil(L, -1) || (lua_isstring(L, -1) && lua_objlen(L, -1) == 0))
            break;
        if (!lua_isstring(L, -1))
            return luaL_error(L, "reader function must return a string");
        lua_concat(L, 2);
    }
    lua_pop(L, 1);
    const char *s = lua_tolstring(L, -1, &n);
    return load_text(L, s, n, name);
}

/* As Redis has it: the error of a command is given as its text. */
static int protected_call(lua_State *L)
{
    luaL_checkany(L, 1);
    int failed = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    if (failed && lua_istable(L, -1)) {
        lua_getfield(L, -1, "err");
        if (lua_isstring(L, -1))
            lua_replace(L, -2);
    }
    lua_pushboolean(L, !failed);
    lua_insert(L, 1);
    return lua_gettop(L);
}

/* ------------------------------------------------------------ memory and time */

static int unpack(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    int64_t first = luaL_optint(L, 2, 1);
    int64_t last = luaL_opt(L, luaL_checkint, 3, (int)lua_objlen(L, 1));
    if (first > last)
        return 0;
    if (last - first >= UNPACK_MAX || !lua_checkstack(L, (int)(last - first) + 1))
        return luaL_error(L, "too many results to unpack");
    for (int64_t i = first; i <= last; i++)
        lua_rawgeti(L, 1, (int)i);
    return (int)(last - first) + 1;
}

static int repeat(lua_State *L)
{
    size_t n;
    luaL_checklstring(L, 1, &n);
    lua_Number times = luaL_checknumber(L, 2);
    if (n == 0 || !(times >= 1)) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (!(times * (lua_Number)n <= REPEAT_MAX))
        return luaL_error(L, "resulting string too large");
    lua_settop(L, 2);
    return original(L);
}

static int matching(lua_State *L)
{
    size_t n;
    luaL_checkstring(L, 1);
    luaL_checklstring(L, 2, &n);
    if (n > PATTERN_MAX)
        return luaL_error(L, "pattern too long");
    return original(L);
}

static int finding(lua_State *L) { return lua_toboolean(L, 4) ? original(L) : matching(L); }

/* At least what cjson will need for the value at the top: it counts in ints and ends the process
 * when it cannot. */
static size_t json_size(lua_State *L, int depth)
{
    size_t size = 32;
    if (lua_type(L, -1) == LUA_TSTRING)
        return size + lua_objlen(L, -1);
    if (!lua_istable(L, -1) || depth > JSON_DEPTH_MAX)
        return size;
    luaL_checkstack(L, 3, "too deeply nested");
    lua_pushnil(L);
    while (size <= JSON_MAX && lua_next(L, -2) != 0) {
        size += json_size(L, depth + 1);
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            size += lua_objlen(L, -1);
    }
    if (size > JSON_MAX)
        lua_pop(L, 1);
    return size;
}

static int json_encode(lua_State *L)
{
    if (lua_gettop(L) == 1) {
        size_t size = json_size(L, 0);
        lua_settop(L, 1);
        if (size > JSON_MAX)
            return luaL_error(L, "Cannot serialise: the text would be too large");
    }
    return original(L);
}

/* bit.tohex(x, -2147483648) of the library reads beyond its buffer. */
static int to_hex(lua_State *L)
{
    if (!lua_isnoneornil(L, 2)) {
        lua_Number n = luaL_checknumber(L, 2);
        lua_settop(L, 2);
        lua_pushnumber(L, n > 8 ? 8 : n < -8 ? -8 : n);
        lua_replace(L, 2);
    }
    return original(L);
}

/* ------------------------------------------------------------ installing them */

static void replace(lua_State *L, int table, const char *name, lua_CFunction fn)
{
    lua_pushcfunction(L, fn);
    lua_setfield(L, table, name);
}

static void base_limits(lua_State *L)
{
    int g = LUA_GLOBALSINDEX;
    replace(L, g, "next", next);
    lua_getglobal(L, "next");
    lua_pushcclosure(L, pairs, 1);
    lua_setglobal(L, "pairs");
    replace(L, g, "rawget", raw_get);
    replace(L, g, "rawset", raw_set);
    wrap(L, g, "setmetatable", unless_frozen);
    replace(L, g, "getmetatable", get_metatable);
    replace(L, g, "loadstring", load_string);
    replace(L, g, "load", load_pieces);
    replace(L, g, "pcall", protected_call);
    replace(L, g, "unpack", unpack);
}

void limits_install(struct engine *e)
{
    static const char *const changing[] = {"insert", "remove", "sort", "setn"};
    lua_State *L = e->lua;
    int top = lua_gettop(L);
    base_limits(L);
    lua_getglobal(L, "table");
    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++)
        wrap(L, lua_gettop(L), changing[i], unless_frozen);
    lua_getglobal(L, "string");
    wrap(L, lua_gettop(L), "rep", repeat);
    wrap(L, lua_gettop(L), "find", finding);
    wrap(L, lua_gettop(L), "match", matching);
    wrap(L, lua_gettop(L), "gmatch", matching);
    wrap(L, lua_gettop(L), "gfind", matching);
    wrap(L, lua_gettop(L), "gsub", matching);
    lua_getglobal(L, "cjson");
    lua_getfield(L, -1, "encode_keep_buffer");
    lua_pushboolean(L, 0);
    lua_call(L, 1, 0);
    wrap(L, lua_gettop(L), "encode", json_encode);
    lua_getglobal(L, "bit");
    wrap(L, lua_gettop(L), "tohex", to_hex);
    lua_getglobal(L, "math");
    replace(L, lua_gettop(L), "random", api_random);
    replace(L, lua_gettop(L), "randomseed", api_randomseed);
    lua_settop(L, top);
}
