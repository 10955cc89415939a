/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/settings.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>

struct setting {
    const char *name, *alias;
    enum setting_kind kind;
    enum setting_rule rule;
    int64_t least, most;
    const char *first;
    const char *words; /* WORD: behind commas */
    const char *why;
};

#define X(id, name, alias, kind, rule, least, most, first, words, why)                             \
    {name, alias, kind, rule, least, most, first, words, why},
static const struct setting table[CONFIG_COUNT] = {SETTINGS(X)};
#undef X

static bool has_text(enum setting_id id)
{
    return table[id].kind == VALUE_TEXT || table[id].kind == VALUE_PERCENTILES;
}

void settings_init(struct settings *s)
{
    char error[256];
    *s = (struct settings){0};
    for (enum setting_id id = 0; id < CONFIG_COUNT; id++) {
        struct setting_value v = {0};
        if (table[id].kind == VALUE_EVENTS || table[id].kind == VALUE_OUTPUT)
            continue;
        (void)setting_parse(id, bytes_str(table[id].first), &v, error, sizeof error);
        setting_put(s, id, &v);
    }
}

void settings_deinit(struct settings *s)
{
    for (enum setting_id id = 0; id < CONFIG_COUNT; id++)
        mem_free(s->text[id]);
    *s = (struct settings){0};
}

enum setting_id setting_find(struct bytes name)
{
    for (enum setting_id id = 0; id < CONFIG_COUNT; id++)
        if (bytes_is_nocase(name, table[id].name) ||
            (table[id].alias != NULL && bytes_is_nocase(name, table[id].alias)))
            return id;
    return CONFIG_COUNT;
}

const char *setting_name(enum setting_id id) { return table[id].name; }

const char *setting_alias(enum setting_id id) { return table[id].alias; }

enum setting_kind setting_kind(enum setting_id id) { return table[id].kind; }

enum setting_rule setting_rule(enum setting_id id) { return table[id].rule; }

const char *setting_why(enum setting_id id) { return table[id].why; }

/* ------------------------------------------------------------ reading */

bool setting_parse_memory(struct bytes text, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"kb", 1024},   {"mb", 1u << 20},  {"gb", 1u << 30}, {"k", 1000},
                 {"m", 1000000}, {"g", 1000000000}, {"b", 1}};
    size_t n = 0;
    while (n < text.n && text.p[n] >= '0' && text.p[n] <= '9')
        n++;
    int64_t v = 0;
    if (!num_parse_i64(bytes_of(text.p, n), &v))
        return false;
    uint64_t factor = n == text.n;
    for (size_t i = 0; factor == 0 && i < sizeof units / sizeof units[0]; i++)
        if (bytes_is_nocase(bytes_of(text.p + n, text.n - n), units[i].unit))
            factor = units[i].factor;
    if (factor == 0 || (v > 0 && factor > INT64_MAX / (uint64_t)v))
        return false;
    *out = (uint64_t)v * factor;
    return true;
}

static bool parse_number(const struct setting *t, struct bytes text, int64_t *out, char *error,
                         size_t size)
{
    uint64_t bytes = 0;
    if (t->kind == VALUE_PERCENT && text.n > 1 && text.p[text.n - 1] == '%') {
        if (!num_parse_i64(bytes_of(text.p, text.n - 1), out) || *out < 0) {
            snprintf(error, size, "argument must be a memory or percent value");
            return false;
        }
        if (*out > 100) {
            snprintf(error, size, "percentage argument must be less or equal to 100");
            return false;
        }
        *out = -*out;
        return true;
    }
    if (t->kind == VALUE_INT ? !num_parse_i64(text, out) : !setting_parse_memory(text, &bytes)) {
        snprintf(error, size, "%s",
                 t->kind == VALUE_INT      ? "argument couldn't be parsed into an integer"
                 : t->kind == VALUE_MEMORY ? "argument must be a memory value"
                                           : "argument must be a memory or percent value");
        return false;
    }
    if (t->kind != VALUE_INT)
        *out = (int64_t)bytes;
    if (*out >= t->least && *out <= t->most)
        return true;
    snprintf(error, size, "argument must be between %lld and %lld inclusive", (long long)t->least,
             (long long)t->most);
    return false;
}

static bool parse_word(const struct setting *t, struct bytes text, int64_t *out, char *error,
                       size_t size)
{
    int64_t number = 0;
    for (const char *w = t->words; *w != 0; number++) {
        size_t n = strcspn(w, ",");
        if (text.n == n && strncasecmp((const char *)text.p, w, n) == 0) {
            *out = number;
            return true;
        }
        w += n + (w[n] == ',');
    }
    size_t used = (size_t)snprintf(error, size, "argument(s) must be one of the following: ");
    for (const char *w = t->words; *w != 0 && used + 2 < size; w++) {
        error[used++] = *w;
        if (*w == ',')
            error[used++] = ' ';
    }
    error[used < size ? used : size - 1] = 0;
    return false;
}

/* Numbers behind blanks; none at all turns the percentiles off. */
static bool parse_percentiles(struct bytes text, char *error, size_t size)
{
    for (size_t i = 0; i < text.n;) {
        size_t from = i;
        double v;
        while (i < text.n && text.p[i] != ' ')
            i++;
        if (!num_parse_double(bytes_of(text.p + from, i - from), &v)) {
            snprintf(error, size, "Invalid latency-tracking-info-percentiles parameters");
            return false;
        }
        if (!(v >= 0 && v <= 100)) {
            snprintf(error, size,
                     "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
            return false;
        }
        while (i < text.n && text.p[i] == ' ')
            i++;
    }
    return true;
}

bool setting_parse(enum setting_id id, struct bytes text, struct setting_value *out, char *error,
                   size_t size)
{
    const struct setting *t = &table[id];
    *out = (struct setting_value){.text = text};
    switch (t->kind) {
    case VALUE_BOOL:
        out->number = bytes_is_nocase(text, "yes");
        if (out->number || bytes_is_nocase(text, "no"))
            return true;
        snprintf(error, size, "argument must be 'yes' or 'no'");
        return false;
    case VALUE_INT:
    case VALUE_MEMORY:
    case VALUE_PERCENT:
        return parse_number(t, text, &out->number, error, size);
    case VALUE_WORD:
        return parse_word(t, text, &out->number, error, size);
    case VALUE_PERCENTILES:
        return parse_percentiles(text, error, size);
    case VALUE_TEXT:
    case VALUE_EVENTS:
    case VALUE_OUTPUT:
        break;
    }
    return true;
}

/* ------------------------------------------------------------ keeping and showing */

void setting_put(struct settings *s, enum setting_id id, const struct setting_value *v)
{
    s->number[id] = v->number;
    if (!has_text(id))
        return;
    char *text = mem_alloc(v->text.n + 1);
    if (v->text.n > 0)
        memcpy(text, v->text.p, v->text.n);
    text[v->text.n] = 0;
    mem_free(s->text[id]);
    s->text[id] = text;
}

static void show_word(const char *words, int64_t number, struct buf *out)
{
    for (; number > 0; number--)
        words = strchr(words, ',') + 1;
    buf_put(out, words, strcspn(words, ","));
}

void setting_word(enum setting_id id, uint32_t place, struct buf *out)
{
    show_word(table[id].words, place, out);
}

int setting_place(enum setting_id id, const char *word)
{
    int place = 0;
    size_t n = strlen(word);
    for (const char *w = table[id].words; w != NULL; place++) {
        if (strcspn(w, ",") == n && memcmp(w, word, n) == 0)
            return place;
        w = strchr(w, ',');
        w = w != NULL ? w + 1 : NULL;
    }
    return -1;
}

void setting_show(const struct settings *s, enum setting_id id, struct buf *out)
{
    long long number = (long long)s->number[id];
    switch (table[id].kind) {
    case VALUE_BOOL:
        buf_put_str(out, number ? "yes" : "no");
        break;
    case VALUE_PERCENT:
        if (number < 0)
            buf_putf(out, "%lld%%", -number);
        else
            buf_putf(out, "%lld", number);
        break;
    case VALUE_INT:
    case VALUE_MEMORY:
        buf_putf(out, "%lld", number);
        break;
    case VALUE_WORD:
        show_word(table[id].words, number, out);
        break;
    case VALUE_TEXT:
    case VALUE_PERCENTILES:
        buf_put_str(out, s->text[id]);
        break;
    case VALUE_EVENTS:
    case VALUE_OUTPUT:
        break;
    }
}
