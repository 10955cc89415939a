/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mp.h"
#include "script/inside.h"

#include <math.h>

/*
 * The library `cmsgpack`: Lua values as MessagePack. Tables whose keys are 1..n become arrays,
 * others maps; tables nested deeper than 16 become nil, so circles end; whole numbers become
 * integers; functions and the like become nil. Specification: msgpack/spec.md.
 */
#define DEPTH_MAX 16
#define PACK_MAX (256u << 20)
#define PACK_KEPT (64u << 10)
#define UNPACK_DEPTH_MAX 1000

/* ------------------------------------------------------------ pack */

static void check_room(lua_State *L, const struct buf *b, size_t more)
{
    if (buf_len(b) + more > PACK_MAX)
        luaL_error(L, "MessagePack: the result would be too large");
}

static void put_string(lua_State *L, struct buf *b)
{
    size_t n;
    const char *s = lua_tolstring(L, -1, &n);
    check_room(L, b, n + 5);
    if (n < 32)
        buf_put_u8(b, (uint8_t)(0xa0 | n));
    else if (n <= UINT8_MAX)
        mp_put_tag(b, 0xd9, n, 1);
    else if (n <= UINT16_MAX)
        mp_put_tag(b, 0xda, n, 2);
    else
        mp_put_tag(b, 0xdb, n, 4);
    buf_put(b, s, n);
}

static void put_number(lua_State *L, struct buf *b)
{
    lua_Number v = lua_tonumber(L, -1);
    if (v >= -9223372036854775808.0 && v < 9223372036854775808.0 && v == floor(v)) {
        mp_put_int(b, (int64_t)v);
        return;
    }
    float single = (float)v;
    if ((double)single == v) {
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        mp_put_tag(b, 0xca, bits, 4);
    } else {
        mp_put_tag(b, 0xcb, load_u64(&v), 8);
    }
}

static void put_value(lua_State *L, struct buf *b, int depth);

/* Are the table's keys exactly 1..n? *pairs gets how many there are. */
static bool is_array(lua_State *L, size_t *pairs)
{
    lua_Number max = 0;
    bool is = true;
    *pairs = 0;
    for (lua_pushnil(L); lua_next(L, -2) != 0; ++*pairs) {
        lua_pop(L, 1);
        lua_Number k = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (!(k > 0) || k != floor(k))
            is = false;
        else if (k > max)
            max = k;
    }
    return is && max == (lua_Number)*pairs;
}

static void put_table(lua_State *L, struct buf *b, int depth)
{
    size_t n;
    luaL_checkstack(L, 4, "MessagePack: too deeply nested");
    if (is_array(L, &n)) {
        mp_put_array(b, (uint32_t)n);
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, -1, (int)i);
            put_value(L, b, depth + 1);
        }
        return;
    }
    mp_put_map(b, (uint32_t)n);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_pushvalue(L, -2);
        put_value(L, b, depth + 1);
        put_value(L, b, depth + 1);
    }
}

/* Writes the value at the top, and pops it. */
static void put_value(lua_State *L, struct buf *b, int depth)
{
    check_room(L, b, 16);
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        put_string(L, b);
        break;
    case LUA_TBOOLEAN:
        mp_put_bool(b, lua_toboolean(L, -1));
        break;
    case LUA_TNUMBER:
        put_number(L, b);
        break;
    case LUA_TTABLE:
        if (depth < DEPTH_MAX)
            put_table(L, b, depth);
        else
            mp_put_nil(b);
        break;
    default:
        mp_put_nil(b);
    }
    lua_pop(L, 1);
}

static int pack(lua_State *L)
{
    struct buf *b = &engine_of(L)->packed;
    int n = lua_gettop(L);
    if (n == 0)
        return luaL_argerror(L, 0, "MessagePack pack needs input.");
    luaL_checkstack(L, 4, "Too many arguments for MessagePack pack.");
    buf_reuse(b, PACK_KEPT);
    for (int i = 1; i <= n; i++) {
        lua_pushvalue(L, i);
        put_value(L, b, 0);
    }
    lua_pushlstring(L, (const char *)b->p, buf_len(b));
    buf_reuse(b, PACK_KEPT);
    return 1;
}

/* ------------------------------------------------------------ unpack */

struct reader {
    const uint8_t *p, *end;
    bool bad; /* not MessagePack; else an error is: it ends too early */
};

static bool get_value(lua_State *L, struct reader *r, int depth);

/* A number of so many bytes, big endian, behind the tag. */
static bool get_number(struct reader *r, unsigned bytes, uint64_t *v)
{
    if ((size_t)(r->end - r->p) < bytes)
        return false;
    *v = 0;
    while (bytes-- > 0)
        *v = *v << 8 | *r->p++;
    return true;
}

static bool get_string(lua_State *L, struct reader *r, uint64_t n)
{
    if ((uint64_t)(r->end - r->p) < n)
        return false;
    lua_pushlstring(L, (const char *)r->p, (size_t)n);
    r->p += n;
    return true;
}

static bool get_array(lua_State *L, struct reader *r, uint64_t n, int depth)
{
    lua_newtable(L);
    for (uint64_t i = 1; i <= n; i++) {
        if (!get_value(L, r, depth))
            return false;
        lua_rawseti(L, -2, (int)i);
    }
    return true;
}

static bool get_map(lua_State *L, struct reader *r, uint64_t n, int depth)
{
    lua_newtable(L);
    for (uint64_t i = 0; i < n; i++) {
        if (!get_value(L, r, depth) || !get_value(L, r, depth))
            return false;
        if (lua_isnil(L, -2))
            return lua_pushliteral(L, "table index is nil"), lua_error(L);
        if (lua_type(L, -2) == LUA_TNUMBER && isnan(lua_tonumber(L, -2)))
            return lua_pushliteral(L, "table index is NaN"), lua_error(L);
        lua_rawset(L, -3);
    }
    return true;
}

static bool get_sized(lua_State *L, struct reader *r, uint8_t tag, int depth)
{
    static const uint8_t bytes[] = {1, 2, 4, 2, 4, 2, 4};
    uint64_t n;
    if (!get_number(r, bytes[tag - 0xd9], &n))
        return false;
    if (tag <= 0xdb)
        return get_string(L, r, n);
    return tag <= 0xdd ? get_array(L, r, n, depth) : get_map(L, r, n, depth);
}

static bool get_integer(lua_State *L, struct reader *r, uint8_t tag)
{
    unsigned bytes = 1u << (tag & 3); /* cc..cf, d0..d3 */
    uint64_t v;
    if (!get_number(r, bytes, &v))
        return false;
    unsigned unused = 64 - 8 * bytes;
    if (tag >= 0xd0 || tag == 0xcf)
        lua_pushnumber(L, (lua_Number)((int64_t)(v << unused) >> unused));
    else
        lua_pushnumber(L, (lua_Number)v);
    return true;
}

static bool get_float(lua_State *L, struct reader *r, uint8_t tag)
{
    uint64_t v;
    if (!get_number(r, tag == 0xca ? 4 : 8, &v))
        return false;
    if (tag == 0xca) {
        float single;
        uint32_t low = (uint32_t)v;
        memcpy(&single, &low, sizeof single);
        lua_pushnumber(L, (lua_Number)single);
    } else {
        lua_pushnumber(L, load_double(&v));
    }
    return true;
}

static bool get_tagged(lua_State *L, struct reader *r, uint8_t tag, int depth)
{
    if (tag == 0xc0)
        lua_pushnil(L);
    else if (tag == 0xc2 || tag == 0xc3)
        lua_pushboolean(L, tag & 1);
    else if (tag == 0xca || tag == 0xcb)
        return get_float(L, r, tag);
    else if (tag >= 0xcc && tag <= 0xd3)
        return get_integer(L, r, tag);
    else if (tag >= 0xd9 && tag <= 0xdf)
        return get_sized(L, r, tag, depth);
    else
        return r->bad = true, false;
    return true;
}

/* Pushes the next value; false: an error (the stack may have grown). */
static bool get_value(lua_State *L, struct reader *r, int depth)
{
    luaL_checkstack(L, 4,
                    "too many return values at once; use unpack_one or unpack_limit instead.");
    if (depth > UNPACK_DEPTH_MAX)
        luaL_error(L, "MessagePack: too deeply nested");
    if (r->p >= r->end)
        return false;
    uint8_t tag = *r->p++;
    if (tag < 0x80)
        lua_pushinteger(L, tag);
    else if (tag < 0x90)
        return get_map(L, r, tag & 15, depth + 1);
    else if (tag < 0xa0)
        return get_array(L, r, tag & 15, depth + 1);
    else if (tag < 0xc0)
        return get_string(L, r, tag & 31);
    else if (tag >= 0xe0)
        lua_pushinteger(L, (int8_t)tag);
    else
        return get_tagged(L, r, tag, depth + 1);
    return true;
}

/* Up to `limit` values from `offset`; with `next` the place behind them comes first, -1 at the end.
 */
static int unpack_some(lua_State *L, lua_Integer limit, lua_Integer offset, bool with_next)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    int count = 0;
    lua_settop(L, 1);
    if (offset < 0 || limit < 0)
        return luaL_error(L, "Invalid request to unpack with offset of %d and limit of %d.",
                          (int)offset, (int)n);
    if ((size_t)offset > n)
        return luaL_error(L, "Start offset %d greater than input length %d.", (int)offset, (int)n);
    struct reader r = {.p = (const uint8_t *)s + offset, .end = (const uint8_t *)s + n};
    while (r.p < r.end && count < limit) {
        if (!get_value(L, &r, 0))
            return luaL_error(L, r.bad ? "Bad data format in input." : "Missing bytes in input.");
        count++;
    }
    if (!with_next)
        return count;
    lua_pushinteger(L, r.p == r.end ? -1 : (lua_Integer)(r.p - (const uint8_t *)s));
    lua_insert(L, 2);
    return count + 1;
}

static int unpack_all(lua_State *L) { return unpack_some(L, INT32_MAX, 0, false); }

static int unpack_one(lua_State *L) { return unpack_some(L, 1, luaL_optinteger(L, 2, 0), true); }

static int unpack_limit(lua_State *L)
{
    lua_Integer limit = luaL_checkinteger(L, 2), offset = luaL_optinteger(L, 3, 0);
    if (limit == 0 && offset == 0)
        return unpack_all(L);
    return unpack_some(L, limit, offset, true);
}

int cmsgpack_open(lua_State *L)
{
    static const luaL_Reg all[] = {{"pack", pack},
                                   {"unpack", unpack_all},
                                   {"unpack_one", unpack_one},
                                   {"unpack_limit", unpack_limit},
                                   {NULL, NULL}};
    lua_newtable(L);
    luaL_register(L, NULL, all);
    lua_pushliteral(L, "cmsgpack");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "lua-cmsgpack 0.4.0");
    lua_setfield(L, -2, "_VERSION");
    return 1;
}
