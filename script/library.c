/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "script/inside.h"

#include <stdio.h>
#include <strings.h>

/* Libraries of functions: running their code, which registers functions, and finding those again.
 */

#define FUNCTIONS_MAX 10000u /* of a library */

/* ------------------------------------------------------------ redis.register_function */

/* What a call of it has given so far; texts are borrowed from Lua's stack. */
struct given {
    const char *name, *description;
    size_t name_n, description_n;
    int callback; /* stack index; 0 none */
    uint32_t flags;
};

static bool read_flags(lua_State *L, uint32_t *flags)
{
    for (int i = 1;; i++) {
        lua_rawgeti(L, -1, i);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            return true;
        }
        const char *text = lua_isstring(L, -1) ? lua_tostring(L, -1) : "", *name = NULL;
        uint32_t flag = 0;
        for (unsigned k = 0; (name = script_flag_name(k, &flag)) != NULL; k++)
            if (strcasecmp(text, name) == 0)
                break;
        lua_pop(L, 1);
        if (name == NULL)
            return false;
        *flags |= flag;
    }
}

/* One pair of the table: key below value at the top. NULL or what is wrong. */
static const char *read_pair(lua_State *L, struct given *g)
{
    if (!lua_isstring(L, -2))
        return "named argument key given to redis.register_function is not a string";
    lua_pushvalue(L, -2); /* a number as key must stay one for lua_next */
    const char *key = lua_tostring(L, -1);
    lua_pop(L, 1);
    if (strcasecmp(key, "function_name") == 0) {
        if (!lua_isstring(L, -1))
            return "function_name argument given to redis.register_function must be a string";
        g->name = lua_tolstring(L, -1, &g->name_n);
    } else if (strcasecmp(key, "description") == 0) {
        if (!lua_isstring(L, -1))
            return "description argument given to redis.register_function must be a string";
        g->description = lua_tolstring(L, -1, &g->description_n);
    } else if (strcasecmp(key, "callback") == 0) {
        if (!lua_isfunction(L, -1))
            return "callback argument given to redis.register_function must be a function";
        lua_pushvalue(L, -1);
        lua_replace(L, 2);
        g->callback = 2;
    } else if (strcasecmp(key, "flags") == 0) {
        if (!lua_istable(L, -1))
            return "flags argument to redis.register_function must be a table representing "
                   "function flags";
        if (!read_flags(L, &g->flags))
            return "unknown flag given";
    } else {
        return "unknown argument given to redis.register_function";
    }
    return NULL;
}

static const char *read_named(lua_State *L, struct given *g)
{
    if (!lua_istable(L, 1))
        return "calling redis.register_function with a single argument is only applicable to Lua "
               "table (representing named arguments).";
    lua_pushnil(L); /* 2: the callback will be here */
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        const char *why = read_pair(L, g);
        if (why != NULL)
            return why;
        lua_pop(L, 1);
    }
    if (g->name == NULL)
        return "redis.register_function must get a function name argument";
    if (g->callback == 0)
        return "redis.register_function must get a callback argument";
    return NULL;
}

static const char *read_positional(lua_State *L, struct given *g)
{
    if (!lua_isstring(L, 1))
        return "first argument to redis.register_function must be a string";
    if (!lua_isfunction(L, 2))
        return "second argument to redis.register_function must be a function";
    g->name = lua_tolstring(L, 1, &g->name_n);
    g->callback = 2;
    return NULL;
}

static const char *check_name(const struct loading *l, const struct given *g)
{
    if (!script_name_ok(bytes_of(g->name, g->name_n)))
        return "Library names can only contain letters, numbers, or underscores(_) and must be at "
               "least one character long";
    for (unsigned i = 0; i < l->n; i++)
        if (strcmp(l->at[i].function.name, g->name) == 0)
            return "Function already exists in the library";
    if (l->n >= FUNCTIONS_MAX)
        return "Too many functions in the library";
    return NULL;
}

static char *text_of(const char *s, size_t n)
{
    char *p = mem_zalloc(n + 1);
    memcpy(p, s, n);
    return p;
}

int library_register(lua_State *L)
{
    struct loading *l = engine_of(L)->loading;
    struct given g = {0};
    int n = lua_gettop(L);
    if (l == NULL)
        return raise_error(L,
                           "redis.register_function can only be called on FUNCTION LOAD command");
    if (n < 1 || n > 2)
        return raise_error(L, "wrong number of arguments to redis.register_function");
    const char *why = n == 1 ? read_named(L, &g) : read_positional(L, &g);
    if (why == NULL)
        why = check_name(l, &g);
    if (why != NULL)
        return raise_error(L, why);
    lua_pushvalue(L, g.callback);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 8;
        l->at = mem_realloc(l->at, l->cap * sizeof l->at[0]);
    }
    l->at[l->n++] = (struct registered){
        .function = {.name = text_of(g.name, g.name_n),
                     .description = g.description ? text_of(g.description, g.description_n) : NULL,
                     .flags = g.flags},
        .ref = ref};
    return 0;
}

/* ------------------------------------------------------------ running a library's code */

struct code_run {
    struct engine *engine;
    struct bytes code;
    struct buf *why;
    const char *error;
};

/* Whether a library is loading decides what its functions' globals are. */
static void show_globals(struct engine *e, int real)
{
    lua_State *L = e->lua;
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->function_meta);
    lua_rawgeti(L, LUA_REGISTRYINDEX, real);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

static void failed(lua_State *L, struct code_run *r, const char *what)
{
    buf_clear(r->why);
    buf_put_str(r->why, what);
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "err");
        lua_replace(L, -2);
        buf_put_str(r->why, lua_isstring(L, -1) ? lua_tostring(L, -1) : "unknown error");
    } else {
        if (strncmp(what, "Error reg", 9) == 0)
            buf_put_str(r->why, "ERR ");
        buf_put_str(r->why, lua_isstring(L, -1) ? lua_tostring(L, -1) : "unknown error");
    }
    buf_put_u8(r->why, 0);
    r->error = (const char *)r->why->p;
}

static int run_code(lua_State *L)
{
    struct code_run *r = lua_touserdata(L, 1);
    struct engine *e = r->engine;
    lua_settop(L, 0);
    show_globals(e, e->load_real);
    if (luaL_loadbuffer(L, (const char *)r->code.p, r->code.n, "@user_function") != 0) {
        failed(L, r, "Error compiling function: ");
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, e->function_env);
        lua_setfenv(L, -2);
        if (lua_pcall(L, 0, 0, 0) != 0)
            failed(L, r, "Error registering functions: ");
    }
    show_globals(e, e->function_real);
    return 0;
}

static void enter_code(void *arg)
{
    struct code_run *r = arg;
    lua_State *L = r->engine->lua;
    int top = lua_gettop(L);
    if (lua_cpcall(L, run_code, r) != 0)
        failed(L, r, "Error registering functions: ");
    lua_settop(L, top);
}

const char *library_run(struct engine *e, struct bytes code, struct loading *l, struct buf *why)
{
    struct code_run r = {.engine = e, .code = code, .why = why};
    if (!engine_open(e))
        return "not enough memory";
    l->started_us = engine_clock_us(e);
    e->loading = l;
    if (fiber_is_inside(e->fiber))
        enter_code(&r);
    else
        (void)fiber_start(e->fiber, enter_code, &r);
    e->loading = NULL;
    if (r.error == NULL && l->n == 0)
        return "No functions registered";
    return r.error;
}

void loading_deinit(struct engine *e, struct loading *l, bool keep_refs)
{
    for (unsigned i = 0; i < l->n; i++) {
        mem_free(l->at[i].function.name);
        mem_free(l->at[i].function.description);
        if (!keep_refs && e->lua != NULL)
            luaL_unref(e->lua, LUA_REGISTRYINDEX, l->at[i].ref);
    }
    mem_free(l->at);
    *l = (struct loading){0};
}

/* ------------------------------------------------------------ calling */

static struct loaded *find_loaded(struct engine *e, const struct library *lib)
{
    struct loaded *d = e->loaded;
    while (d != NULL && d->serial != lib->serial)
        d = d->next;
    return d;
}

static struct loaded *load(struct engine *e, const struct library *lib)
{
    struct loading l = {0};
    struct buf why = {0};
    struct loaded *d = mem_zalloc(sizeof *d);
    const uint8_t *newline = memchr(lib->code.p, '\n', buf_len(&lib->code));
    struct bytes code = buf_bytes(&lib->code);
    if (newline != NULL)
        code = bytes_of(newline, code.n - (size_t)(newline - code.p));
    const char *error = library_run(e, code, &l, &why);
    d->serial = lib->serial;
    d->n = lib->functions_count;
    d->refs = mem_zalloc((d->n + 1) * sizeof d->refs[0]);
    for (unsigned i = 0; i < d->n; i++) {
        d->refs[i] = LUA_NOREF;
        for (unsigned k = 0; k < l.n; k++)
            if (strcmp(l.at[k].function.name, lib->functions[i].name) == 0)
                d->refs[i] = l.at[k].ref;
    }
    if (error != NULL)
        d->error = mem_strdup(error);
    loading_deinit(e, &l, true);
    buf_deinit(&why);
    d->next = e->loaded;
    e->loaded = d;
    return d;
}

static void free_loaded(struct engine *e, struct loaded *d)
{
    for (unsigned i = 0; i < d->n && e->lua != NULL; i++)
        luaL_unref(e->lua, LUA_REGISTRYINDEX, d->refs[i]);
    mem_free(d->refs);
    mem_free(d->error);
    mem_free(d);
}

static bool is_current(const struct engine *e, uint64_t serial)
{
    const struct library *l = scripts_libraries(e->opts.scripts);
    while (l != NULL && l->serial != serial)
        l = l->next;
    return l != NULL;
}

void library_forget(struct engine *e)
{
    for (struct loaded **at = &e->loaded; *at != NULL;) {
        struct loaded *d = *at;
        if (e->lua != NULL && is_current(e, d->serial)) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        free_loaded(e, d);
    }
}

const char *library_push(struct engine *e, const struct library *lib, unsigned index)
{
    struct loaded *d = find_loaded(e, lib);
    if (d == NULL) {
        library_forget(e);
        d = load(e, lib);
    }
    if (d->error != NULL)
        return d->error;
    if (d->refs[index] == LUA_NOREF)
        return "Function not found";
    lua_rawgeti(e->lua, LUA_REGISTRYINDEX, d->refs[index]);
    return NULL;
}
