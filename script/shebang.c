/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "script/inside.h"

#include <stdio.h>

/*
 * The first line of a script or a library: "#!lua name=mylib flags=no-writes,allow-oom". Words are
 * separated by blanks; "..." and '...' hold blanks.
 * https://redis.io/docs/latest/develop/programmability
 */
#define WORDS_MAX 64u

struct words {
    struct bytes at[WORDS_MAX];
    unsigned n;
};

static bool is_blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == 0; }

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What a backslash within "..." stands for; moves behind it. */
static uint8_t escaped(struct bytes s, size_t *at)
{
    static const char names[] = "nrtba", values[] = "\n\r\t\b\a";
    if (*at + 3 < s.n && s.p[*at + 1] == 'x' && hex(s.p[*at + 2]) >= 0 && hex(s.p[*at + 3]) >= 0) {
        *at += 4;
        return (uint8_t)(hex(s.p[*at - 2]) * 16 + hex(s.p[*at - 1]));
    }
    uint8_t c = s.p[*at + 1];
    const char *known = c != 0 ? strchr(names, c) : NULL;
    *at += 2;
    return known != NULL ? (uint8_t)values[known - names] : c;
}

/* Reads a quoted part behind its opening mark; false: it does not end, or a word goes on behind it.
 */
static bool quoted(struct bytes s, size_t *at, uint8_t mark, uint8_t **out)
{
    while (*at < s.n && s.p[*at] != mark) {
        if (s.p[*at] == '\\' && *at + 1 < s.n && (mark == '"' || s.p[*at + 1] == '\'')) {
            if (mark == '"') {
                *(*out)++ = escaped(s, at);
            } else {
                *(*out)++ = '\'';
                *at += 2;
            }
            continue;
        }
        *(*out)++ = s.p[(*at)++];
    }
    if (*at >= s.n)
        return false;
    (*at)++;
    return *at >= s.n || is_blank(s.p[*at]);
}

/* Splits into words, kept in `text`. False: quotes do not match, or there are too many words. */
static bool split(struct bytes line, struct buf *text, struct words *w)
{
    uint8_t *out = buf_reserve(text, line.n + 1);
    size_t at = 0;
    for (;;) {
        while (at < line.n && is_blank(line.p[at]))
            at++;
        if (at >= line.n)
            return true;
        if (w->n == WORDS_MAX)
            return false;
        uint8_t *from = out;
        while (at < line.n && !is_blank(line.p[at])) {
            uint8_t c = line.p[at++];
            if (c != '"' && c != '\'')
                *out++ = c;
            else if (!quoted(line, &at, c, &out))
                return false;
        }
        w->at[w->n++] = bytes_of(from, (size_t)(out - from));
    }
}

static bool begins(struct bytes s, const char *prefix, bool nocase)
{
    struct bytes head = bytes_of(s.p, strlen(prefix));
    if (s.n < head.n)
        return false;
    return nocase ? bytes_is_nocase(head, prefix) : bytes_is(head, prefix);
}

static const char *say(struct buf *why, const char *what, struct bytes about)
{
    buf_putf(why, "%s%.*s", what, (int)(about.n < 256 ? about.n : 256), (const char *)about.p);
    buf_put_u8(why, 0);
    return (const char *)why->p;
}

/* The length of the line; false: no newline ends it. A NUL ends the text, as Redis has it. */
static bool line_of(struct bytes text, size_t *length)
{
    const uint8_t *end = memchr(text.p, '\n', text.n);
    if (end == NULL)
        return false;
    *length = (size_t)(end - text.p);
    return memchr(text.p, 0, *length) == NULL;
}

static const char *read_flags(struct bytes list, uint32_t *flags, struct buf *why)
{
    for (size_t at = 0; at <= list.n;) {
        const uint8_t *comma = at < list.n ? memchr(list.p + at, ',', list.n - at) : NULL;
        size_t end = comma != NULL ? (size_t)(comma - list.p) : list.n;
        struct bytes one = bytes_of(list.p + at, end - at);
        uint32_t flag = 0;
        const char *name = NULL;
        for (unsigned i = 0; (name = script_flag_name(i, &flag)) != NULL; i++)
            if (bytes_is(one, name))
                break;
        if (name == NULL)
            return list.n == 0 ? NULL : say(why, "Unexpected flag in script shebang: ", one);
        *flags |= flag;
        at = end + 1;
    }
    return NULL;
}

const char *shebang_script(struct bytes body, struct shebang *out, struct buf *why)
{
    struct words w = {.n = 0};
    out->length = 0;
    out->flags = SCRIPT_PLAIN;
    if (!begins(body, "#!", false))
        return NULL;
    if (!line_of(body, &out->length))
        return "Invalid script shebang";
    if (!split(bytes_of(body.p, out->length), &out->text, &w) || w.n == 0)
        return "Invalid engine in script shebang";
    if (!bytes_is(w.at[0], "#!lua"))
        return say(why, "Unexpected engine in script shebang: ", w.at[0]);
    out->flags = 0;
    for (unsigned i = 1; i < w.n; i++) {
        if (!begins(w.at[i], "flags=", false))
            return say(why, "Unknown lua shebang option: ", w.at[i]);
        const char *bad = read_flags(bytes_of(w.at[i].p + 6, w.at[i].n - 6), &out->flags, why);
        if (bad != NULL)
            return bad;
    }
    return NULL;
}

bool script_name_ok(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_'))
            return false;
    }
    return name.n > 0;
}

const char *shebang_library(struct bytes code, struct shebang *out, struct buf *why)
{
    struct words w = {.n = 0};
    if (!begins(code, "#!", false))
        return "Missing library metadata";
    if (!line_of(code, &out->length) || !split(bytes_of(code.p, out->length), &out->text, &w) ||
        w.n == 0)
        return "Invalid library metadata";
    out->engine = bytes_of(w.at[0].p + 2, w.at[0].n > 2 ? w.at[0].n - 2 : 0);
    for (unsigned i = 1; i < w.n; i++) {
        if (!begins(w.at[i], "name=", true))
            return say(why, "Invalid metadata value given: ", w.at[i]);
        if (out->name.p != NULL)
            return "Invalid metadata value, name argument was given multiple times";
        out->name = bytes_of(w.at[i].p + 5, w.at[i].n - 5);
    }
    if (out->name.p == NULL)
        return "Library name was not given";
    if (!script_name_ok(out->name))
        return "Library names can only contain letters, numbers, or underscores(_) and must be at "
               "least one character long";
    if (!bytes_is_nocase(out->engine, "lua")) {
        buf_putf(why, "Engine '%.*s' not found", (int)(out->engine.n < 128 ? out->engine.n : 128),
                 (const char *)out->engine.p);
        buf_put_u8(why, 0);
        return (const char *)why->p;
    }
    return NULL;
}
