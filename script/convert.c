/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/num.h"
#include "script/inside.h"

#include <math.h>

/*
 * Between RESP and Lua, as Redis converts:
 * https://redis.io/docs/latest/develop/programmability/lua-api/ Replies of our own commands are
 * trusted to be whole, and still never read past their end.
 */

/* ------------------------------------------------------------ a reply to a Lua value */

struct reader {
    const uint8_t *p, *end;
};

/* The text up to the next CRLF, which is passed. */
static bool read_line(struct reader *r, struct bytes *out)
{
    const uint8_t *cr = memchr(r->p, '\r', (size_t)(r->end - r->p));
    if (cr == NULL || r->end - cr < 2 || cr[1] != '\n')
        return false;
    *out = bytes_of(r->p, (size_t)(cr - r->p));
    r->p = cr + 2;
    return true;
}

static bool read_text(struct reader *r, int64_t n, struct bytes *out)
{
    if (n < 0 || n > r->end - r->p - 2 || r->p[n] != '\r' || r->p[n + 1] != '\n')
        return false;
    *out = bytes_of(r->p, (size_t)n);
    r->p += n + 2;
    return true;
}

static void push_bytes(lua_State *L, struct bytes s)
{
    lua_pushlstring(L, s.n > 0 ? (const char *)s.p : "", s.n);
}

static void push_field(lua_State *L, const char *name, struct bytes value)
{
    lua_createtable(L, 0, 1);
    push_bytes(L, value);
    lua_setfield(L, -2, name);
}

static bool push_value(lua_State *L, struct reader *r);

static bool push_array(lua_State *L, struct reader *r, int64_t n)
{
    lua_createtable(L, n < 65536 ? (int)n : 65536, 0);
    for (int64_t i = 1; i <= n; i++) {
        if (!push_value(L, r))
            return false;
        lua_rawseti(L, -2, (int)i);
    }
    return true;
}

/* {map = {...}} or {set = {...}}; a nil as key is left out. */
static bool push_pairs(lua_State *L, struct reader *r, int64_t n, bool map)
{
    lua_createtable(L, 0, 1);
    lua_newtable(L);
    for (int64_t i = 0; i < n; i++) {
        if (!push_value(L, r))
            return false;
        if (!map)
            lua_pushboolean(L, 1);
        else if (!push_value(L, r))
            return false;
        if (lua_isnil(L, -2))
            lua_pop(L, 2);
        else
            lua_rawset(L, -3);
    }
    lua_setfield(L, -2, map ? "map" : "set");
    return true;
}

static bool push_verbatim(lua_State *L, struct bytes s)
{
    if (s.n < 4)
        return false;
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, 2);
    push_bytes(L, bytes_of(s.p + 4, s.n - 4));
    lua_setfield(L, -2, "string");
    push_bytes(L, bytes_of(s.p, 3));
    lua_setfield(L, -2, "format");
    lua_setfield(L, -2, "verbatim_string");
    return true;
}

static bool push_double(lua_State *L, struct bytes s)
{
    double v;
    if (bytes_is_nocase(s, "nan"))
        v = (double)NAN;
    else if (!num_parse_double(s, &v))
        return false;
    lua_createtable(L, 0, 1);
    lua_pushnumber(L, v);
    lua_setfield(L, -2, "double");
    return true;
}

/* An error's table also says that it came from a command: redis.call then raises it. */
static bool push_error_reply(lua_State *L, struct bytes s)
{
    lua_createtable(L, 0, 2);
    push_bytes(L, s);
    lua_setfield(L, -2, "err");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "ignore_error_stats_update");
    return true;
}

static bool push_sized(lua_State *L, struct reader *r, uint8_t type, int64_t n)
{
    struct bytes s;
    switch (type) {
    case '$':
        if (n < 0)
            lua_pushboolean(L, 0);
        else if (read_text(r, n, &s))
            push_bytes(L, s);
        else
            return false;
        return true;
    case '*':
        if (n >= 0)
            return push_array(L, r, n);
        lua_pushboolean(L, 0);
        return true;
    case '%':
        return push_pairs(L, r, n, true);
    case '~':
        return push_pairs(L, r, n, false);
    default: /* '=' */
        return read_text(r, n, &s) && push_verbatim(L, s);
    }
}

/* Scripts do not see attributes, only what they belong to. */
static bool push_behind_attribute(lua_State *L, struct reader *r, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!push_value(L, r) || !push_value(L, r))
            return false;
        lua_pop(L, 2);
    }
    return push_value(L, r);
}

static bool push_value(lua_State *L, struct reader *r)
{
    struct bytes line;
    int64_t n;
    luaL_checkstack(L, 5, "a command's reply is nested too deeply");
    if (r->p >= r->end)
        return false;
    uint8_t type = *r->p++;
    if (!read_line(r, &line))
        return false;
    switch (type) {
    case '+':
        push_field(L, "ok", line);
        return true;
    case '-':
        return push_error_reply(L, line);
    case '_':
        lua_pushnil(L);
        return true;
    case '#':
        lua_pushboolean(L, line.n == 1 && line.p[0] == 't');
        return true;
    case ',':
        return push_double(L, line);
    case '(':
        push_field(L, "big_number", line);
        return true;
    case ':':
        if (!num_parse_i64(line, &n))
            return false;
        lua_pushnumber(L, (lua_Number)n);
        return true;
    case '$':
    case '*':
    case '%':
    case '~':
    case '=':
        return num_parse_i64(line, &n) && push_sized(L, r, type, n);
    case '|':
        return num_parse_i64(line, &n) && push_behind_attribute(L, r, n);
    default:
        return false;
    }
}

bool convert_push(lua_State *L, struct bytes reply)
{
    struct reader r = {.p = reply.p, .end = reply.p + reply.n};
    int top = lua_gettop(L);
    if (reply.n > 0 && push_value(L, &r))
        return true;
    lua_settop(L, top);
    return false;
}

/* ------------------------------------------------------------ a Lua value to a reply */

/* As a conversion to long long on x86-64: what does not fit becomes the smallest. */
static int64_t to_integer(lua_Number v)
{
    if (v >= -9223372036854775808.0 && v < 9223372036854775808.0)
        return (int64_t)v;
    return INT64_MIN;
}

static struct bytes string_at(lua_State *L, int index)
{
    size_t n;
    const char *p = lua_tolstring(L, index, &n);
    return bytes_of(p, n);
}

/* One line: CR and LF become blanks. */
static void put_line(struct reply *r, char type, struct bytes s)
{
    if (!reply_fits(r, s.n))
        return;
    uint8_t *at = buf_reserve(r->out, s.n + 3);
    if (type != 0)
        *at++ = (uint8_t)type;
    for (size_t i = 0; i < s.n; i++)
        *at++ = s.p[i] == '\r' || s.p[i] == '\n' ? ' ' : s.p[i];
    *at++ = '\r';
    *at = '\n';
    buf_added(r->out, s.n + 2 + (type != 0));
}

/* Pushes table[name] of the table at the top; true when it has that type, else it is popped. */
static bool has_field(lua_State *L, const char *name, int type)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_type(L, -1) == type)
        return true;
    lua_pop(L, 1);
    return false;
}

static void put_big_number(struct reply *r, struct bytes s)
{
    if (r->resp < 3)
        buf_putf(r->out, "$%zu\r\n", s.n);
    put_line(r, r->resp < 3 ? 0 : '(', s);
}

/* The table {format, string} at the top; false: it is none. */
static bool put_verbatim(lua_State *L, struct reply *r)
{
    if (!has_field(L, "format", LUA_TSTRING))
        return false;
    lua_pushstring(L, "string");
    lua_rawget(L, -3);
    bool is = lua_type(L, -1) == LUA_TSTRING;
    if (is && r->resp < 3) {
        reply_bulk(r, string_at(L, -1));
    } else if (is && reply_fits(r, lua_objlen(L, -1))) {
        struct bytes s = string_at(L, -1), format = string_at(L, -2);
        buf_putf(r->out, "=%zu\r\n", s.n + 4);
        for (size_t i = 0; i < 3; i++)
            buf_put_u8(r->out, i < format.n ? format.p[i] : ' ');
        buf_put_u8(r->out, ':');
        buf_put_bytes(r->out, s);
        buf_put(r->out, "\r\n", 2);
    }
    lua_pop(L, 2);
    return is;
}

static size_t count_pairs(lua_State *L)
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2) != 0; n++)
        lua_pop(L, 1);
    return n;
}

static void put_pairs(lua_State *L, struct reply *r, uint8_t script_resp, bool map)
{
    if (map)
        reply_map(r, count_pairs(L));
    else
        reply_set(r, count_pairs(L));
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (!map)
            lua_pop(L, 1);
        lua_pushvalue(L, map ? -2 : -1);
        convert_reply(L, r, script_resp);
        if (map)
            convert_reply(L, r, script_resp);
    }
}

/* Up to the first nil. */
static void put_array(lua_State *L, struct reply *r, uint8_t script_resp)
{
    int n = 0;
    for (;; n++) {
        lua_rawgeti(L, -1, n + 1);
        bool end = lua_isnil(L, -1);
        lua_pop(L, 1);
        if (end)
            break;
    }
    reply_array(r, (size_t)n);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        convert_reply(L, r, script_resp);
    }
}

/* An error of the script's own counts as one; a command's was counted when it ran. */
static void put_error(lua_State *L, struct reply *r)
{
    lua_pushstring(L, "ignore_error_stats_update");
    lua_rawget(L, -3);
    if (!lua_toboolean(L, -1)) {
        r->errors++;
        r->error_at = buf_len(r->out);
    }
    lua_pop(L, 1);
    put_line(r, '-', string_at(L, -1));
}

/* Tables that stand for something else than an array. The field that says so is left on the stack
 * (the caller drops it with the table). */
static bool put_special(lua_State *L, struct reply *r, uint8_t script_resp)
{
    if (has_field(L, "err", LUA_TSTRING)) {
        put_error(L, r);
    } else if (has_field(L, "ok", LUA_TSTRING)) {
        put_line(r, '+', string_at(L, -1));
    } else if (has_field(L, "double", LUA_TNUMBER)) {
        reply_double(r, lua_tonumber(L, -1));
    } else if (has_field(L, "big_number", LUA_TSTRING)) {
        put_big_number(r, string_at(L, -1));
    } else if (has_field(L, "verbatim_string", LUA_TTABLE)) {
        if (!put_verbatim(L, r)) {
            lua_pop(L, 1);
            return false;
        }
    } else {
        bool map = has_field(L, "map", LUA_TTABLE);
        if (!map && !has_field(L, "set", LUA_TTABLE))
            return false;
        put_pairs(L, r, script_resp, map);
    }
    return true;
}

static void put_boolean(struct reply *r, uint8_t script_resp, bool v)
{
    if (script_resp >= 3)
        reply_bool(r, v);
    else if (v)
        reply_int(r, 1);
    else
        reply_nil(r);
}

void convert_reply(lua_State *L, struct reply *r, uint8_t script_resp)
{
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 4)) {
        reply_error(r, "ERR reached lua stack limit");
        lua_settop(L, top - 1);
        return;
    }
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        reply_bulk(r, string_at(L, -1));
        break;
    case LUA_TBOOLEAN:
        put_boolean(r, script_resp, lua_toboolean(L, -1));
        break;
    case LUA_TNUMBER:
        reply_int(r, to_integer(lua_tonumber(L, -1)));
        break;
    case LUA_TTABLE:
        /* Tables that share tables grow without end when they are written out. */
        if (reply_fits(r, 0) && !put_special(L, r, script_resp))
            put_array(L, r, script_resp);
        break;
    default:
        reply_nil(r);
    }
    lua_settop(L, top - 1);
}
