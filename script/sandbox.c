/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "script/inside.h"

#include <assert.h>
#include <lua-bitop.h>
#include <lua-cjson.h>
#include <lualib.h>

/*
 * What scripts see. Tables that all scripts share cannot be changed. Stock Lua knows no read-only
 * tables, so scripts get an empty one in place of each: its metatable finds what is read in the
 * real table (which no script can reach) and refuses what is written. limits.c replaces the
 * functions of the standard libraries that would look past a metatable.
 */
static const char *const missing[] = {
    "dofile",   "loadfile", "print",   "require",        "module", "package", "io",
    "newproxy", "setfenv",  "getfenv", "collectgarbage", "gcinfo", "debug",   "os"};

int sandbox_readonly(lua_State *L) { return luaL_error(L, "Attempt to modify a readonly table"); }

static int nonexistent(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING && lua_type(L, 2) != LUA_TNUMBER)
        return luaL_error(L,
                          "Second argument to luaProtectedTableError must be a string or number");
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(L, 2));
}

bool sandbox_is_frozen(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    lua_pushliteral(L, "__newindex");
    lua_rawget(L, -2);
    bool is = lua_tocfunction(L, -1) == sandbox_readonly;
    lua_pop(L, 2);
    return is;
}

void sandbox_freeze(lua_State *L)
{
    lua_newtable(L);          /* what scripts see */
    lua_createtable(L, 0, 2); /* its metatable */
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, sandbox_readonly);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_replace(L, -2);
}

void sandbox_strict(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, nonexistent);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

/* ------------------------------------------------------------ libraries */

static void open_library(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* Those that return their table instead of naming it. */
static void open_table(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    lua_setglobal(L, name);
}

/* ("text"):upper() and the like: scripts may not change what strings can do. */
static void freeze_string_methods(lua_State *L)
{
    lua_pushliteral(L, "");
    if (lua_getmetatable(L, -1)) {
        lua_getglobal(L, "string"); /* frozen by now */
        lua_setfield(L, -2, "__index");
        lua_pushvalue(L, -1);
        sandbox_freeze(L);
        lua_setfield(L, -2, "__metatable");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void freeze_global(lua_State *L, const char *name)
{
    lua_getglobal(L, name);
    sandbox_freeze(L);
    lua_setglobal(L, name);
}

static void open_libraries(struct engine *e)
{
    static const char *const frozen[] = {"string", "table",  "math",     "coroutine",
                                         "cjson",  "struct", "cmsgpack", "bit"};
    lua_State *L = e->lua;
    open_library(L, "", luaopen_base);
    open_library(L, LUA_TABLIBNAME, luaopen_table);
    open_library(L, LUA_STRLIBNAME, luaopen_string);
    open_library(L, LUA_MATHLIBNAME, luaopen_math);
    open_library(L, "bit", luaopen_bit);
    open_table(L, "cjson", luaopen_cjson);
    open_table(L, "struct", structs_open);
    open_table(L, "cmsgpack", cmsgpack_open);
    limits_install(e);
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        lua_pushnil(L);
        lua_setglobal(L, missing[i]);
    }
    for (size_t i = 0; i < sizeof frozen / sizeof frozen[0]; i++)
        freeze_global(L, frozen[i]);
    freeze_string_methods(L);
}

/* ------------------------------------------------------------ globals */

/* A copy of the globals as they are now, with the table `redis` for that use. */
static void copy_globals(lua_State *L, enum api_kind kind)
{
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, LUA_GLOBALSINDEX) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    api_push(L, kind);
    sandbox_freeze(L);
    lua_setfield(L, -2, "redis");
}

/* Functions have globals of their own; while their library loads there is nothing but `redis`. */
static void make_function_globals(struct engine *e)
{
    lua_State *L = e->lua;
    copy_globals(L, API_FUNCTION);
    sandbox_strict(L);
    e->function_real = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    api_push(L, API_LOAD);
    sandbox_strict(L);
    sandbox_freeze(L);
    lua_setfield(L, -2, "redis");
    sandbox_strict(L);
    e->load_real = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->function_real);
    sandbox_freeze(L);
    lua_getmetatable(L, -1);
    e->function_meta = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->function_real);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "_G");
    lua_pop(L, 1);
    e->function_env = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void make_eval_globals(struct engine *e)
{
    lua_State *L = e->lua;
    copy_globals(L, API_EVAL);
    sandbox_strict(L);
    lua_pushvalue(L, -1);
    e->eval_globals = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -1);
    sandbox_freeze(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "_G");
    lua_replace(L, LUA_GLOBALSINDEX);
    lua_pop(L, 1);
}

void sandbox_open(struct engine *e)
{
    lua_State *L = e->lua;
    int top = lua_gettop(L);
    open_libraries(e);
    lua_pushcfunction(L, engine_handler);
    e->handler = luaL_ref(L, LUA_REGISTRYINDEX);
    make_function_globals(e);
    make_eval_globals(e);
    assert(lua_gettop(L) == top);
}
