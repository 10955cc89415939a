/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "script/inside.h"
#include "tests/fuzz/fuzz.h"

#include <lualib.h>

/*
 * Bytes that reach Lua: replies (convert.c), MessagePack and records (cmsgpack.c, structs.c), first
 * lines (shebang.c). Whatever comes, nothing is read beyond its end; what was unpacked is packed
 * and unpacked again; a value that becomes a reply becomes the same value.
 */
enum what { REPLY, MESSAGE, RECORD, FIRST_LINE, WHATS };

struct task {
    enum what what;
    struct bytes in;
};

static void call(lua_State *L, const char *library, const char *name, int arguments)
{
    lua_getfield(L, LUA_REGISTRYINDEX, library);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_insert(L, -1 - arguments);
    lua_call(L, arguments, LUA_MULTRET);
}

static void try_reply(lua_State *L, struct bytes in)
{
    struct buf out = {0};
    for (uint8_t resp = 2; resp <= 3 && convert_push(L, in); resp++) {
        struct reply r = {.out = &out, .resp = resp};
        buf_clear(&out);
        convert_reply(L, &r, resp);
        must(convert_push(L, buf_bytes(&out)));
        lua_pop(L, 1);
    }
    buf_deinit(&out);
}

static void try_message(lua_State *L, struct bytes in)
{
    lua_pushlstring(L, (const char *)in.p, in.n);
    call(L, "cmsgpack", "unpack", 1);
    int n = lua_gettop(L);
    if (n == 0 || n > 16)
        return;
    call(L, "cmsgpack", "pack", n);
    call(L, "cmsgpack", "unpack", 1);
    must(lua_gettop(L) == n);
}

static void try_record(lua_State *L, struct bytes in)
{
    size_t format = in.n > 0 ? in.p[0] % 16 : 0;
    (void)fuzz_byte(&in);
    struct bytes text = fuzz_take(&in, format);
    lua_pushlstring(L, (const char *)text.p, text.n);
    lua_pushlstring(L, (const char *)in.p, in.n);
    call(L, "struct", "unpack", 2);
}

static void try_first_line(struct bytes in)
{
    struct shebang s = {0}, l = {0};
    struct buf why = {0};
    const char *bad = shebang_script(in, &s, &why);
    must(bad == NULL || strlen(bad) > 0);
    buf_clear(&why);
    bad = shebang_library(in, &l, &why);
    must(bad != NULL ? strlen(bad) > 0 : l.length < in.n && script_name_ok(l.name));
    buf_deinit(&s.text);
    buf_deinit(&l.text);
    buf_deinit(&why);
}

static int run(lua_State *L)
{
    struct task *t = lua_touserdata(L, 1);
    lua_settop(L, 0);
    if (t->what == REPLY)
        try_reply(L, t->in);
    else if (t->what == MESSAGE)
        try_message(L, t->in);
    else if (t->what == RECORD)
        try_record(L, t->in);
    return 0;
}

static void *allocate(void *arg, void *p, size_t before, size_t n)
{
    struct engine *e = arg;
    if (n == 0) {
        e->memory -= p != NULL ? before : 0;
        mem_free(p);
        return NULL;
    }
    e->memory += n - (p != NULL ? before : 0);
    return p != NULL ? mem_realloc(p, n) : mem_alloc(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct task t = {.what = fuzz_byte(&in) % WHATS};
    t.in = in;
    if (t.what == FIRST_LINE) {
        try_first_line(in);
        return 0;
    }
    struct engine e = {0};
    lua_State *L = lua_newstate(allocate, &e);
    cmsgpack_open(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "cmsgpack");
    structs_open(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "struct");
    (void)lua_cpcall(L, run, &t); /* an error is an answer */
    lua_close(L);
    must(e.memory == 0);
    buf_deinit(&e.packed);
    return 0;
}
