/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "script/inside.h"

#include <ctype.h>

/*
 * The library `struct`: binary records by a format. < > byte order (at first the machine's:
 * little), !n alignment, x padding, b/B h/H l/L T i<n>/I<n> integers (upper case: unsigned) of 1,
 * 2, 8, 8, n (4) bytes, f d floats, c<n> n characters (c0: all of the string; reading: as many as
 * the number before says), s a string ended by a zero byte. Integers may have 1 to 32 bytes; a
 * number only ever fills the lower 8.
 */
#define INTEGER_MAX 32
#define ALIGN_DEFAULT 8

struct format {
    const char *at;
    bool big;
    unsigned align;
};

/* One item of a format. */
struct item {
    char kind; /* i integer, f, d, c, s, x, 0: it only changed the format's settings */
    bool is_signed;
    size_t size; /* bytes; c and s: 0 = not said */
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static unsigned number(lua_State *L, struct format *f, unsigned otherwise)
{
    uint64_t v = 0;
    if (!is_digit(*f->at))
        return otherwise;
    for (; is_digit(*f->at); f->at++) {
        v = v * 10 + (uint64_t)(*f->at - '0');
        if (v > INT32_MAX)
            luaL_error(L, "integral size overflow");
    }
    return (unsigned)v;
}

static void set_alignment(lua_State *L, struct format *f)
{
    unsigned n = number(L, f, ALIGN_DEFAULT);
    if (n == 0 || (n & (n - 1)) != 0)
        luaL_error(L, "alignment %d is not a power of 2", (int)n);
    f->align = n;
}

static size_t integer_size(lua_State *L, struct format *f)
{
    unsigned n = number(L, f, sizeof(int));
    if (n > INTEGER_MAX)
        luaL_error(L, "integral size %d is larger than limit of %d", (int)n, INTEGER_MAX);
    return n;
}

static void bad_option(lua_State *L, char c)
{
    luaL_argerror(L, 1, lua_pushfstring(L, "invalid format option '%c'", c));
}

/* The next item; the format's end is behind the last. */
static struct item next_item(lua_State *L, struct format *f)
{
    char c = *f->at++;
    switch (c) {
    case 'b':
    case 'B':
        return (struct item){.kind = 'i', .is_signed = c == 'b', .size = 1};
    case 'h':
    case 'H':
        return (struct item){.kind = 'i', .is_signed = c == 'h', .size = 2};
    case 'l':
    case 'L':
        return (struct item){.kind = 'i', .is_signed = c == 'l', .size = 8};
    case 'T':
        return (struct item){.kind = 'i', .size = 8};
    case 'i':
    case 'I':
        return (struct item){.kind = 'i', .is_signed = c == 'i', .size = integer_size(L, f)};
    case 'f':
        return (struct item){.kind = 'f', .size = 4};
    case 'd':
        return (struct item){.kind = 'd', .size = 8};
    case 'x':
        return (struct item){.kind = 'x', .size = 1};
    case 'c':
        return (struct item){.kind = 'c', .size = number(L, f, 1)};
    case 's':
        return (struct item){.kind = 's'};
    case '>':
    case '<':
        f->big = c == '>';
        break;
    case '!':
        set_alignment(L, f);
        break;
    case ' ':
        break;
    default:
        bad_option(L, c);
    }
    return (struct item){0};
}

/* How many bytes lie before the item so that it stands on its boundary. */
static size_t padding(const struct format *f, const struct item *i, size_t at)
{
    size_t n = i->size < f->align ? i->size : f->align;
    if (n == 0 || i->kind == 'c')
        return 0;
    return (n - (at & (n - 1))) & (n - 1);
}

/* ------------------------------------------------------------ pack */

static void put_bytes(luaL_Buffer *b, uint64_t v, size_t size, bool big)
{
    char bytes[INTEGER_MAX];
    for (size_t i = 0; i < size; i++)
        bytes[big ? size - 1 - i : i] = (char)(i < 8 ? v >> (8 * i) & 0xff : 0);
    luaL_addlstring(b, bytes, size);
}

/* As C converts on x86-64: what does not fit becomes 2^63. */
static uint64_t integer_of(lua_Number n)
{
    if (n >= -9223372036854775808.0 && n < 9223372036854775808.0)
        return (uint64_t)(int64_t)n;
    if (n >= 0 && n < 18446744073709551616.0)
        return (uint64_t)n;
    return n > 0 ? 0 : UINT64_C(1) << 63;
}

static size_t put_text(lua_State *L, luaL_Buffer *b, const struct item *i, int arg)
{
    size_t n, size = i->size;
    const char *s = luaL_checklstring(L, arg, &n);
    if (size == 0)
        size = n;
    luaL_argcheck(L, n >= size, arg + 1, "string too short");
    luaL_addlstring(b, s, size);
    if (i->kind == 's') {
        luaL_addchar(b, 0);
        size++;
    }
    return size;
}

static int pack(lua_State *L)
{
    struct format f = {.at = luaL_checkstring(L, 1), .align = 1};
    luaL_Buffer b;
    size_t total = 0;
    int arg = 2;
    lua_pushnil(L); /* parts the arguments from what the buffer keeps on the stack */
    luaL_buffinit(L, &b);
    while (*f.at != 0) {
        struct item i = next_item(L, &f);
        uint64_t bits = 0;
        float single;
        for (size_t n = padding(&f, &i, total); n > 0; n--, total++)
            luaL_addchar(&b, 0);
        switch (i.kind) {
        case 'i':
            put_bytes(&b, integer_of(luaL_checknumber(L, arg++)), i.size, f.big);
            break;
        case 'f':
            single = (float)luaL_checknumber(L, arg++);
            memcpy(&bits, &single, sizeof single);
            put_bytes(&b, bits, i.size, f.big);
            break;
        case 'd': {
            double v = luaL_checknumber(L, arg++);
            put_bytes(&b, load_u64(&v), i.size, f.big);
            break;
        }
        case 'x':
            luaL_addchar(&b, 0);
            break;
        case 'c':
        case 's':
            total += put_text(L, &b, &i, arg++);
            continue;
        default:
            break;
        }
        total += i.size;
    }
    luaL_pushresult(&b);
    return 1;
}

/* ------------------------------------------------------------ unpack */

static uint64_t get_bytes(const uint8_t *p, size_t size, bool big)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[big ? i : size - 1 - i];
    return v;
}

static void push_integer(lua_State *L, const struct item *i, uint64_t v)
{
    if (!i->is_signed) {
        lua_pushnumber(L, (lua_Number)v);
        return;
    }
    unsigned unused = i->size < 8 && i->size > 0 ? 64 - 8 * (unsigned)i->size : 0;
    lua_pushnumber(L, (lua_Number)((int64_t)(v << unused) >> unused));
}

/* The text at `at`; returns the bytes used. *n: results so far. */
static size_t get_text(lua_State *L, const struct item *i, struct bytes data, size_t at, int *n)
{
    size_t size = i->size;
    if (i->kind == 's') {
        const uint8_t *end = memchr(data.p + at, 0, data.n - at);
        if (end == NULL)
            luaL_error(L, "unfinished string in data");
        size = (size_t)(end - (data.p + at));
        lua_pushlstring(L, (const char *)data.p + at, size);
        ++*n;
        return size + 1;
    }
    if (size == 0) {
        if (*n == 0 || !lua_isnumber(L, -1))
            luaL_error(L, "format 'c0' needs a previous size");
        lua_Number said = lua_tonumber(L, -1);
        lua_pop(L, 1);
        --*n;
        luaL_argcheck(L, said >= 0 && said <= (lua_Number)(data.n - at), 2,
                      "data string too short");
        size = (size_t)said;
    }
    lua_pushlstring(L, (const char *)data.p + at, size);
    ++*n;
    return size;
}

static void push_float(lua_State *L, const struct item *i, const uint8_t *p, bool big)
{
    uint64_t bits = get_bytes(p, i->size, big);
    if (i->kind == 'f') {
        float single;
        uint32_t low = (uint32_t)bits;
        memcpy(&single, &low, sizeof single);
        lua_pushnumber(L, (lua_Number)single);
    } else {
        lua_pushnumber(L, load_double(&bits));
    }
}

static int unpack(lua_State *L)
{
    struct format f = {.at = luaL_checkstring(L, 1), .align = 1};
    struct bytes data;
    data.p = (const uint8_t *)luaL_checklstring(L, 2, &data.n);
    lua_Integer from = luaL_optinteger(L, 3, 1);
    luaL_argcheck(L, from > 0, 3, "offset must be 1 or greater");
    size_t at = (size_t)from - 1;
    int n = 0;
    while (*f.at != 0) {
        struct item i = next_item(L, &f);
        at += padding(&f, &i, at);
        luaL_argcheck(L, i.size <= data.n && at <= data.n - i.size, 2, "data string too short");
        luaL_checkstack(L, 2, "too many results");
        if (i.kind == 'c' || i.kind == 's') {
            at += get_text(L, &i, data, at, &n);
            continue;
        }
        if (i.kind == 'i')
            push_integer(L, &i, get_bytes(data.p + at, i.size, f.big));
        else if (i.kind == 'f' || i.kind == 'd')
            push_float(L, &i, data.p + at, f.big);
        n += i.kind != 'x' && i.kind != 0;
        at += i.size;
    }
    lua_pushinteger(L, (lua_Integer)at + 1);
    return n + 1;
}

static int size(lua_State *L)
{
    struct format f = {.at = luaL_checkstring(L, 1), .align = 1};
    size_t at = 0;
    while (*f.at != 0) {
        if (isalnum((unsigned char)*f.at) && strchr("bBhHlLTiIfdxcs", *f.at) == NULL) {
            f.at++; /* as the original library has it: a letter that means nothing is nothing */
            continue;
        }
        struct item i = next_item(L, &f);
        if (i.kind == 's')
            luaL_argerror(L, 1, "option 's' has no fixed size");
        if (i.kind == 'c' && i.size == 0)
            luaL_argerror(L, 1, "option 'c0' has no fixed size");
        at += padding(&f, &i, at) + i.size;
    }
    lua_pushinteger(L, (lua_Integer)at);
    return 1;
}

int structs_open(lua_State *L)
{
    static const luaL_Reg all[] = {
        {"pack", pack}, {"unpack", unpack}, {"size", size}, {NULL, NULL}};
    lua_newtable(L);
    luaL_register(L, NULL, all);
    return 1;
}
