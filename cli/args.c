/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/args.h"

#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>

static const struct arg *find(const struct args *a, struct bytes name)
{
    for (unsigned i = 0; i < a->n; i++)
        if (bytes_is(name, a->at[i].name))
            return &a->at[i];
    return NULL;
}

static void help_line(struct buf *out, const char *name, const char *value, const char *help)
{
    char left[80];
    snprintf(left, sizeof left, "  --%s%s%s", name, value ? " " : "", value ? value : "");
    buf_putf(out, "%-30s %s\n", left, help);
}

static void help(const struct args *a, struct buf *out)
{
    buf_putf(out, "usage: meridian %s%s%s\n\n%s\n", a->command, a->usage[0] ? " " : "", a->usage,
             a->about);
    buf_put_str(out, "\nflags:\n");
    for (unsigned i = 0; i < a->n; i++)
        help_line(out, a->at[i].name, a->at[i].value, a->at[i].help);
    help_line(out, "help", NULL, "this text");
}

/* What is wrong with the value is appended to `text`; false then. */
static bool set_uint(const struct arg *f, const char *value, struct buf *text)
{
    int64_t v;
    bool number = num_parse_i64(bytes_str(value), &v) && v >= 0;
    if (!number || (uint64_t)v < f->min || (uint64_t)v > f->max) {
        buf_putf(text, "%s: '%.100s' is not a number from %" PRIu64 " to %" PRIu64, f->name, value,
                 f->min, f->max);
        return false;
    }
    *(uint64_t *)f->out = (uint64_t)v;
    return true;
}

static bool set_text(const struct arg *f, const char *value, struct buf *text)
{
    if (value[0] == 0) {
        buf_putf(text, "%s: needs a value (%s)", f->name, f->value);
        return false;
    }
    if (f->max > 0 && strlen(value) > f->max) {
        buf_putf(text, "%s: longer than %" PRIu64 " characters", f->name, f->max);
        return false;
    }
    *(const char **)f->out = value;
    return true;
}

static bool set_flag(const struct arg *f, const char *value, struct buf *text)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0) {
        buf_putf(text, "%s: '%.100s' is neither yes nor no", f->name, value);
        return false;
    }
    *(bool *)f->out = yes;
    return true;
}

static bool set(const struct arg *f, const char *value, struct buf *text)
{
    switch (f->kind) {
    case ARG_UINT:
        return set_uint(f, value, text);
    case ARG_TEXT:
        return set_text(f, value, text);
    case ARG_FLAG:
        return set_flag(f, value, text);
    }
    return false;
}

static enum args_result bad(const struct args *a, struct buf *text)
{
    buf_putf(text, "\nTry: meridian %s --help\n", a->command);
    return ARGS_BAD;
}

/* One "--name", "--name=value" or "--name value"; *i moves on over what was used. */
static bool take_flag(struct args *a, int argc, char **argv, int *i, struct buf *text)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const struct arg *f = find(a, bytes_of(name, n));
    buf_put_str(text, "--");
    if (f == NULL) {
        buf_putf(text, "%.*s: no such flag", (int)n, name);
        return false;
    }
    const char *value = eq ? eq + 1 : f->kind == ARG_FLAG ? "yes" : NULL;
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL) {
        buf_putf(text, "%s: needs a value (%s)", f->name, f->value);
        return false;
    }
    if (!set(f, value, text))
        return false;
    buf_clear(text);
    return true;
}

static bool take_rest(struct args *a, const char *arg, struct buf *text)
{
    if (a->rest != NULL && a->rest_n < a->rest_max) {
        a->rest[a->rest_n++] = arg;
        return true;
    }
    buf_putf(text, "'%.100s': %s", arg,
             a->rest ? "too many arguments" : "unexpected argument (flags begin with --)");
    return false;
}

enum args_result args_parse(struct args *a, int argc, char **argv, struct buf *text)
{
    bool flags = true;
    a->rest_n = 0;
    for (int i = 1; i < argc; i++) {
        const char *s = argv[i];
        if (flags && (strcmp(s, "--help") == 0 || strcmp(s, "-h") == 0)) {
            help(a, text);
            return ARGS_HELP;
        }
        if (flags && strcmp(s, "--") == 0) {
            flags = false;
            continue;
        }
        bool flag = flags && s[0] == '-' && s[1] == '-';
        if (flag ? !take_flag(a, argc, argv, &i, text) : !take_rest(a, s, text))
            return bad(a, text);
    }
    return ARGS_OK;
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* One line, NUL-terminated. */
static bool take_line(const struct args *a, char *line, struct buf *text)
{
    while (blank(*line))
        line++;
    size_t n = strlen(line);
    while (n > 0 && blank(line[n - 1]))
        line[--n] = 0;
    if (n == 0 || line[0] == '#')
        return true;
    size_t name_n = strcspn(line, " \t");
    const struct arg *f = find(a, bytes_of(line, name_n));
    if (f == NULL) {
        buf_putf(text, "%.*s: no such setting", name_n > 100 ? 100 : (int)name_n, line);
        return false;
    }
    char *value = line + name_n;
    while (blank(*value))
        value++;
    if (*value == 0) {
        buf_putf(text, "%s: needs a value (%s)", f->name, f->value ? f->value : "yes or no");
        return false;
    }
    return set(f, value, text);
}

enum args_result args_parse_file(struct args *a, const char *path, char *content, struct buf *text)
{
    unsigned number = 1;
    for (char *line = content; line != NULL; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = 0;
        struct buf why = {0};
        bool ok = take_line(a, line, &why);
        if (!ok)
            buf_putf(text,
                     "%s:%u: %.*s\nThe settings have the names of the flags: meridian %s --help\n",
                     path, number, (int)buf_len(&why), (const char *)why.p, a->command);
        buf_deinit(&why);
        if (!ok)
            return ARGS_BAD;
        line = end ? end + 1 : NULL;
    }
    return ARGS_OK;
}

int args_main(struct args *a, int argc, char **argv)
{
    struct buf text = {0};
    enum args_result r = args_parse(a, argc, argv, &text);
    if (r != ARGS_OK)
        fwrite(text.p, 1, text.tail, r == ARGS_HELP ? stdout : stderr);
    buf_deinit(&text);
    return r == ARGS_OK ? -1 : r == ARGS_HELP ? 0 : 2;
}
