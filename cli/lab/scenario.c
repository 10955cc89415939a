/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/lab/scenario.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdarg.h>
#include <stdio.h>

/* One word of a line; quoted tells "nil" from the word nil. */
struct word {
    struct bytes text; /* owned */
    bool quoted;
};

struct parser {
    struct script *out;
    unsigned line;
    char *why;
    size_t why_size;
    struct word words[SCENARIO_WORDS_MAX];
    size_t words_n;
    bool together; /* between `together` and its `end` */
};

static bool fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->why, p->why_size, fmt, ap);
    va_end(ap);
    return false;
}

/* ---------------------------------------------------------------- words */

static void words_clear(struct parser *p)
{
    for (size_t i = 0; i < p->words_n; i++)
        mem_free((void *)(uintptr_t)p->words[i].text.p);
    p->words_n = 0;
}

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads one escape behind the backslash; returns bytes used, 0 = bad. */
static size_t escape(struct bytes s, uint8_t *out)
{
    if (s.n == 0)
        return 0;
    switch (s.p[0]) {
    case 'n':
        *out = '\n';
        return 1;
    case 'r':
        *out = '\r';
        return 1;
    case 't':
        *out = '\t';
        return 1;
    case '"':
    case '\\':
        *out = s.p[0];
        return 1;
    case 'x':
        if (s.n < 3 || hex_digit(s.p[1]) < 0 || hex_digit(s.p[2]) < 0)
            return 0;
        *out = (uint8_t)(hex_digit(s.p[1]) * 16 + hex_digit(s.p[2]));
        return 3;
    default:
        return 0;
    }
}

/* "..." from its opening quote on; returns bytes used, 0 = bad. */
static size_t quoted(struct bytes s, struct buf *out)
{
    size_t i = 1;
    while (i < s.n && s.p[i] != '"') {
        uint8_t c = s.p[i++];
        if (c == '\\') {
            size_t used = escape(bytes_of(s.p + i, s.n - i), &c);
            if (used == 0)
                return 0;
            i += used;
        }
        buf_put_u8(out, c);
    }
    return i < s.n ? i + 1 : 0;
}

/* Brackets and '=' are words of their own only where a reply is read. */
static bool is_mark(uint8_t c) { return c == '[' || c == ']' || c == '{' || c == '}' || c == '='; }

static bool split(struct parser *p, struct bytes s, bool marks)
{
    for (size_t i = 0; i < s.n;) {
        if (is_blank(s.p[i])) {
            i++;
            continue;
        }
        if (p->words_n == SCENARIO_WORDS_MAX)
            return fail(p, "more than %u words on a line", SCENARIO_WORDS_MAX);
        struct buf text = {0};
        struct word w = {.quoted = s.p[i] == '"'};
        if (w.quoted) {
            size_t used = quoted(bytes_of(s.p + i, s.n - i), &text);
            if (used == 0) {
                buf_deinit(&text);
                return fail(p,
                            "bad quoting: close the \" and use only \\n \\r \\t \\\" \\\\ \\xHH");
            }
            i += used;
        } else if (marks && is_mark(s.p[i])) {
            buf_put_u8(&text, s.p[i++]);
        } else {
            while (i < s.n && !is_blank(s.p[i]) && !(marks && is_mark(s.p[i])))
                buf_put_u8(&text, s.p[i++]);
        }
        w.text = bytes_of(mem_dup(text.p, text.tail), text.tail);
        buf_deinit(&text);
        p->words[p->words_n++] = w;
    }
    return true;
}

/* ---------------------------------------------------------------- expected replies */

static bool mark_is(const struct parser *p, size_t i, char c)
{
    return i < p->words_n && !p->words[i].quoted && p->words[i].text.n == 1 &&
           p->words[i].text.p[0] == (uint8_t)c;
}

static struct bytes take_text(struct bytes s) { return bytes_of(mem_dup(s.p, s.n), s.n); }

static void expect_deinit(struct expect *e)
{
    mem_free((void *)(uintptr_t)e->text.p);
    for (size_t i = 0; i < e->n; i++)
        expect_deinit(&e->items[i]);
    mem_free(e->items);
    *e = (struct expect){0};
}

static bool parse_expect(struct parser *p, size_t *i, struct expect *out, unsigned depth);

static bool parse_item(struct parser *p, size_t *i, struct expect *e, unsigned depth)
{
    e->items = mem_realloc(e->items, (e->n + 1) * sizeof *e->items);
    e->items[e->n] = (struct expect){0};
    if (!parse_expect(p, i, &e->items[e->n], depth + 1))
        return false;
    e->n++;
    return true;
}

/* [a b], {a b} or {f=v g=w}, from behind the opening bracket. */
static bool parse_group(struct parser *p, size_t *i, struct expect *e, char close, unsigned depth)
{
    while (!mark_is(p, *i, close)) {
        if (*i >= p->words_n)
            return fail(p, "a '%c' is missing", close);
        if (!parse_item(p, i, e, depth))
            return false;
        bool pair = mark_is(p, *i, '=');
        if (!pair && e->kind != EXPECT_MAP)
            continue;
        if (!pair || close != '}' || (e->kind == EXPECT_BAG && e->n > 1))
            return fail(p, "a flat map is written {field=value field=value}");
        e->kind = EXPECT_MAP;
        (*i)++;
        if (!parse_item(p, i, e, depth))
            return false;
    }
    (*i)++;
    return true;
}

/* The words from *i on, put together again: what is left of an error's text. */
static struct bytes rest_text(struct parser *p, size_t *i)
{
    struct buf b = {0};
    for (bool first = true; *i < p->words_n && !mark_is(p, *i, ']') && !mark_is(p, *i, '}');
         (*i)++, first = false) {
        if (!first)
            buf_put_u8(&b, ' ');
        buf_put_bytes(&b, p->words[*i].text);
    }
    struct bytes text = take_text(buf_bytes(&b));
    buf_deinit(&b);
    return text;
}

static bool parse_expect(struct parser *p, size_t *i, struct expect *out, unsigned depth)
{
    *out = (struct expect){0};
    if (*i >= p->words_n)
        return fail(p, "a reply is missing behind ->");
    if (depth >= SCENARIO_DEPTH_MAX)
        return fail(p, "replies nest deeper than %u", SCENARIO_DEPTH_MAX);
    struct word w = p->words[(*i)++];
    if (!w.quoted && bytes_is(w.text, "[")) {
        out->kind = EXPECT_LIST;
        return parse_group(p, i, out, ']', depth) || (expect_deinit(out), false);
    }
    if (!w.quoted && bytes_is(w.text, "{")) {
        out->kind = EXPECT_BAG;
        return parse_group(p, i, out, '}', depth) || (expect_deinit(out), false);
    }
    if (!w.quoted && w.text.n == 1 && is_mark(w.text.p[0]))
        return fail(p, "'%c' stands where a reply should: put it in quotes if it is meant",
                    w.text.p[0]);
    if (!w.quoted && bytes_is(w.text, "nil")) {
        out->kind = EXPECT_NIL;
    } else if (!w.quoted && bytes_is(w.text, "_")) {
        out->kind = EXPECT_ANY;
    } else if (!w.quoted && bytes_is(w.text, "error")) {
        out->kind = EXPECT_ERROR;
        out->text = rest_text(p, i);
    } else {
        out->text = take_text(w.text);
    }
    return true;
}

/* ---------------------------------------------------------------- lines */

static struct scenario *current(struct parser *p)
{
    return p->out->n ? &p->out->scenarios[p->out->n - 1] : NULL;
}

static unsigned region_of(const struct scenario *s, struct bytes name)
{
    for (unsigned r = 1; r <= s->regions; r++)
        if (bytes_is(name, s->names[r]))
            return r;
    return 0;
}

static bool need_region(struct parser *p, struct bytes name, unsigned *out)
{
    *out = region_of(current(p), name);
    if (*out == 0)
        return fail(p, "no region '%.*s' in this story: name it in a line 'regions ...'",
                    (int)(name.n < 40 ? name.n : 40), (const char *)name.p);
    return true;
}

/* "10s", "+5s", "-300ms" */
static bool parse_span(struct bytes s, int64_t *ms)
{
    int64_t unit = 0;
    if (s.n > 2 && bytes_is(bytes_of(s.p + s.n - 2, 2), "ms")) {
        unit = 1;
        s.n -= 2;
    } else if (s.n > 1 && s.p[s.n - 1] == 's') {
        unit = 1000;
        s.n -= 1;
    }
    if (s.n > 0 && s.p[0] == '+') {
        s.p++;
        s.n--;
    }
    int64_t v;
    if (unit == 0 || !num_parse_i64(s, &v) || v > INT64_C(1000000000) || v < -INT64_C(1000000000))
        return false;
    *ms = v * unit;
    return true;
}

static struct step *add_step(struct parser *p, enum step_kind kind)
{
    struct scenario *s = current(p);
    s->steps = mem_realloc(s->steps, (s->steps_n + 1) * sizeof *s->steps);
    struct step *step = &s->steps[s->steps_n++];
    *step = (struct step){.kind = kind, .line = p->line};
    return step;
}

static bool start_scenario(struct parser *p, struct bytes title)
{
    while (title.n > 0 && is_blank(title.p[0]))
        title = bytes_of(title.p + 1, title.n - 1);
    while (title.n > 0 && is_blank(title.p[title.n - 1]))
        title.n--;
    if (title.n == 0)
        return fail(p, "a scenario needs a title");
    struct script *out = p->out;
    out->scenarios = mem_realloc(out->scenarios, (out->n + 1) * sizeof *out->scenarios);
    struct scenario *s = &out->scenarios[out->n++];
    *s = (struct scenario){.line = p->line, .regions = 2, .names = {"", "A", "B"}};
    snprintf(s->title, sizeof s->title, "%.*s", (int)(title.n < 159 ? title.n : 159),
             (const char *)title.p);
    return true;
}

static bool line_regions(struct parser *p)
{
    struct scenario *s = current(p);
    if (s->steps_n > 0)
        return fail(p, "'regions' comes before the first command of a story");
    if (p->words_n < 2 || p->words_n - 1 > SCENARIO_REGIONS_MAX)
        return fail(p, "name 1 to %u regions", SCENARIO_REGIONS_MAX);
    s->regions = 0;
    for (size_t i = 1; i < p->words_n; i++) {
        struct bytes name = p->words[i].text;
        bool plain = name.n > 0 && name.n < 32;
        for (size_t j = 0; plain && j < name.n; j++)
            plain = (name.p[j] | 0x20) >= 'a' ? (name.p[j] | 0x20) <= 'z'
                                              : name.p[j] >= '0' && name.p[j] <= '9';
        if (!plain)
            return fail(p, "a region's name is letters and digits, at most 31");
        if (region_of(s, name) != 0)
            return fail(p, "two regions have the name '%.*s'", (int)name.n, (const char *)name.p);
        snprintf(s->names[++s->regions], 32, "%.*s", (int)name.n, (const char *)name.p);
    }
    return true;
}

static bool line_setting(struct parser *p)
{
    struct scenario *s = current(p);
    if (p->words_n != 3)
        return fail(p, "setting NAME VALUE");
    if (s->steps_n > 0)
        return fail(p, "'setting' comes before the first command of a story");
    s->settings = mem_realloc(s->settings, (s->settings_n + 2) * sizeof *s->settings);
    s->settings[s->settings_n++] = take_text(p->words[1].text);
    s->settings[s->settings_n++] = take_text(p->words[2].text);
    return true;
}

static bool line_links(struct parser *p, enum step_kind kind)
{
    unsigned a = 0, b = 0;
    if (!(kind == STEP_HEAL && p->words_n == 1)) {
        if (p->words_n != 3)
            return fail(p, "two regions belong here, as in 'cut A B'");
        if (!need_region(p, p->words[1].text, &a) || !need_region(p, p->words[2].text, &b))
            return false;
        if (a == b)
            return fail(p, "a region has no link to itself");
    }
    struct step *s = add_step(p, kind);
    s->a = a;
    s->b = b;
    return true;
}

static bool line_region(struct parser *p, enum step_kind kind)
{
    unsigned a;
    int64_t ms = 0;
    if (p->words_n != (kind == STEP_CLOCK ? 3u : 2u))
        return fail(p, kind == STEP_CLOCK ? "clock REGION SHIFT, as in 'clock A +5s'"
                                          : "one region belongs here, as in 'crash A'");
    if (!need_region(p, p->words[1].text, &a))
        return false;
    if (kind == STEP_CLOCK && !parse_span(p->words[2].text, &ms))
        return fail(p, "a shift is written +5s or -300ms");
    struct step *s = add_step(p, kind);
    s->a = a;
    s->ms = ms;
    return true;
}

static bool line_wait(struct parser *p)
{
    int64_t ms;
    if (p->words_n != 2 || !parse_span(p->words[1].text, &ms) || ms < 0)
        return fail(p, "wait TIME, as in 'wait 10s' or 'wait 300ms'");
    add_step(p, STEP_WAIT)->ms = ms;
    return true;
}

static bool line_alone(struct parser *p, enum step_kind kind)
{
    if (p->words_n != 1)
        return fail(p, "nothing may follow on this line");
    add_step(p, kind);
    return true;
}

static bool line_together(struct parser *p, bool begins)
{
    if (p->together == begins)
        return fail(p, begins ? "'together' inside 'together': write 'end' first"
                              : "'end' without 'together'");
    p->together = begins;
    return line_alone(p, begins ? STEP_TOGETHER : STEP_END);
}

/* At the end of a story: what was begun is ended. */
static bool story_whole(struct parser *p)
{
    return !p->together || fail(p, "the story before ends inside 'together': write 'end'");
}

static bool line_statement(struct parser *p)
{
    struct bytes w = p->words[0].text;
    if (bytes_is(w, "regions"))
        return line_regions(p);
    if (bytes_is(w, "setting"))
        return line_setting(p);
    if (bytes_is(w, "sync"))
        return line_alone(p, STEP_SYNC);
    if (bytes_is(w, "deliver"))
        return line_links(p, STEP_DELIVER);
    if (bytes_is(w, "cut"))
        return line_links(p, STEP_CUT);
    if (bytes_is(w, "heal"))
        return line_links(p, STEP_HEAL);
    if (bytes_is(w, "clock"))
        return line_region(p, STEP_CLOCK);
    if (bytes_is(w, "wait"))
        return line_wait(p);
    if (bytes_is(w, "together"))
        return line_together(p, true);
    if (bytes_is(w, "end"))
        return line_together(p, false);
    if (bytes_is(w, "crash"))
        return line_region(p, STEP_CRASH);
    if (bytes_is(w, "restart"))
        return line_region(p, STEP_RESTART);
    return fail(p, "unknown statement '%.*s'", (int)(w.n < 40 ? w.n : 40), (const char *)w.p);
}

/* Where an unquoted -> stands between blanks; s.n if nowhere. */
static size_t find_arrow(struct bytes s)
{
    bool in_quotes = false;
    for (size_t i = 0; i < s.n; i++) {
        if (in_quotes && s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            in_quotes = !in_quotes;
        else if (!in_quotes && s.p[i] == '-' && i > 0 && is_blank(s.p[i - 1]) && i + 1 < s.n &&
                 s.p[i + 1] == '>' && (i + 2 == s.n || is_blank(s.p[i + 2])))
            return i;
    }
    return s.n;
}

static bool line_command(struct parser *p, unsigned region, struct bytes s)
{
    size_t arrow = find_arrow(s);
    if (!split(p, bytes_of(s.p, arrow), false))
        return false;
    if (p->words_n == 0)
        return fail(p, "a command is missing behind the region");
    struct step *step = add_step(p, STEP_COMMAND);
    step->a = region;
    step->argc = p->words_n;
    step->argv = mem_alloc(p->words_n * sizeof *step->argv);
    for (size_t i = 0; i < p->words_n; i++)
        step->argv[i] = take_text(p->words[i].text);
    if (arrow == s.n)
        return true;
    words_clear(p);
    size_t i = 0;
    if (!split(p, bytes_of(s.p + arrow + 2, s.n - arrow - 2), true) ||
        !parse_expect(p, &i, &step->expect, 0))
        return false;
    step->expects = true;
    if (i < p->words_n)
        return fail(p, "more than one reply: put words with blanks in quotes, arrays in [ ]");
    return true;
}

static bool parse_line(struct parser *p, struct bytes s)
{
    while (s.n > 0 && is_blank(s.p[0]))
        s = bytes_of(s.p + 1, s.n - 1);
    if (s.n == 0 || s.p[0] == '#')
        return true;
    if (s.n >= 8 && bytes_is(bytes_of(s.p, 8), "scenario") && (s.n == 8 || is_blank(s.p[8])))
        return story_whole(p) && start_scenario(p, bytes_of(s.p + 8, s.n - 8));
    if (current(p) == NULL)
        return fail(p, "begin with a line 'scenario TITLE'");
    size_t name = 0;
    while (name < s.n && !is_blank(s.p[name]) && s.p[name] != ':')
        name++;
    if (name < s.n && s.p[name] == ':') {
        unsigned region = 0;
        struct bytes who = bytes_of(s.p, name);
        if (!bytes_is(who, "*") && !need_region(p, who, &region))
            return false;
        return line_command(p, region, bytes_of(s.p + name + 1, s.n - name - 1));
    }
    return split(p, s, false) && line_statement(p);
}

bool script_parse(struct bytes text, struct script *out, unsigned *line, char *why, size_t why_size)
{
    *out = (struct script){0};
    struct parser *p = mem_zalloc(sizeof *p);
    *p = (struct parser){.out = out, .why = why, .why_size = why_size};
    bool ok = true;
    while (ok && text.n > 0) {
        const uint8_t *nl = memchr(text.p, '\n', text.n);
        size_t n = nl ? (size_t)(nl - text.p) : text.n, used = nl ? n + 1 : n;
        p->line++;
        ok = parse_line(p, bytes_of(text.p, n));
        words_clear(p);
        text = bytes_of(text.p + used, text.n - used);
    }
    ok = ok && story_whole(p);
    *line = p->line;
    mem_free(p);
    if (!ok)
        script_deinit(out);
    return ok;
}

void script_deinit(struct script *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct scenario *sc = &s->scenarios[i];
        for (size_t j = 0; j < sc->settings_n; j++)
            mem_free((void *)(uintptr_t)sc->settings[j].p);
        for (size_t j = 0; j < sc->steps_n; j++) {
            for (size_t k = 0; k < sc->steps[j].argc; k++)
                mem_free((void *)(uintptr_t)sc->steps[j].argv[k].p);
            mem_free(sc->steps[j].argv);
            expect_deinit(&sc->steps[j].expect);
        }
        mem_free(sc->settings);
        mem_free(sc->steps);
    }
    mem_free(s->scenarios);
    *s = (struct script){0};
}
