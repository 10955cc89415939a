/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/syntax.h"

#define NESTING_MAX 8u

/* What is being read, and the list of arguments under construction. */
struct reader {
    struct syntax *s;
    const char *at;
    unsigned depth;
    bool bad;
};

struct list {
    uint16_t first, last;
    unsigned n;
};

static struct syntax_arg *arg_at(struct reader *r, uint16_t i) { return &r->s->args[i]; }

static uint16_t arg_new(struct reader *r, struct syntax_arg a)
{
    if (r->s->n == SYNTAX_MAX) {
        r->bad = true;
        return 0;
    }
    a.next = SYNTAX_NONE;
    r->s->args[r->s->n] = a;
    return r->s->n++;
}

static void list_add(struct reader *r, struct list *l, uint16_t i)
{
    if (l->n++ == 0)
        l->first = i;
    else
        arg_at(r, l->last)->next = i;
    l->last = i;
}

static void skip_blanks(struct reader *r)
{
    while (*r->at == ' ')
        r->at++;
}

static bool is_end(char c) { return c == 0 || c == ']' || c == '>' || c == '|'; }

/* The word here; it stays. */
static struct bytes word_here(const struct reader *r)
{
    size_t n = 0;
    while (r->at[n] != ' ' && r->at[n] != '[' && r->at[n] != '<' && !is_end(r->at[n]))
        n++;
    return bytes_of(r->at, n);
}

static bool is_token(struct bytes word)
{
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] >= 'a' && word.p[i] <= 'z')
            return false;
    return word.n > 0;
}

/* "[x ...]": the end of it, and how many arguments stand in it; NULL: an ordinary bracket. */
static const char *repetition(const char *at, unsigned *items)
{
    unsigned depth = 0;
    bool inside = false, choice = false;
    *items = 0;
    if (*at != '[')
        return NULL;
    for (const char *p = at + 1; *p != 0; p++) {
        if (depth == 0 && p[0] == '.' && p[1] == '.' && p[2] == '.' && p[3] == ']') {
            if (choice || *items == 0)
                *items = 1;
            return p + 4;
        }
        if (depth == 0 && *p == ']')
            return NULL;
        choice |= depth == 0 && *p == '|';
        *items += depth == 0 && *p != ' ' && !inside;
        inside = depth > 0 || *p != ' ';
        depth += *p == '[' || *p == '<';
        depth -= depth > 0 && (*p == ']' || *p == '>');
    }
    return NULL;
}

/* The last n of the list become one. */
static void wrap_last(struct reader *r, struct list *l, unsigned n)
{
    if (n < 2 || n > l->n)
        return;
    uint16_t at = l->first, before = SYNTAX_NONE;
    for (unsigned i = 0; i < l->n - n; i++) {
        before = at;
        at = arg_at(r, at)->next;
    }
    uint16_t block = arg_new(r, (struct syntax_arg){.type = SYNTAX_BLOCK, .first = at});
    if (before == SYNTAX_NONE)
        l->first = block;
    else
        arg_at(r, before)->next = block;
    l->last = block;
    l->n -= n - 1;
}

static uint16_t read_group(struct reader *r);

/* What may stand behind a token: a value or <..>; SYNTAX_NONE: something else comes. */
static uint16_t read_operand(struct reader *r)
{
    skip_blanks(r);
    if (*r->at == '<')
        return read_group(r);
    struct bytes word = word_here(r);
    if (word.n == 0 || is_token(word))
        return SYNTAX_NONE;
    r->at += word.n;
    return arg_new(r,
                   (struct syntax_arg){.type = SYNTAX_VALUE, .name = word, .first = SYNTAX_NONE});
}

/* What "[x ...]" repeats is marked. True: it was one. */
static bool read_repetition(struct reader *r, struct list *l)
{
    unsigned items;
    skip_blanks(r);
    const char *end = repetition(r->at, &items);
    if (end == NULL)
        return false;
    struct bytes word = (r->at++, word_here(r));
    r->at = end;
    if (l->n == 0) {
        r->bad = true;
        return true;
    }
    const struct syntax_arg *last = arg_at(r, l->last);
    bool with_token = word.n > 0 && last->token.p != NULL && bytes_eq(word, last->token);
    if (!with_token)
        wrap_last(r, l, items);
    arg_at(r, l->last)->multiple = true;
    arg_at(r, l->last)->multiple_token = with_token;
    return true;
}

/* Does "[TOKEN x ...]" come, which repeats the token, too? */
static bool repeats_token(struct reader *r, struct bytes token)
{
    unsigned items;
    skip_blanks(r);
    if (repetition(r->at, &items) == NULL)
        return false;
    struct reader inside = {.s = r->s, .at = r->at + 1};
    return bytes_eq(word_here(&inside), token);
}

/* A token with the arguments that belong to it. */
static uint16_t read_token(struct reader *r, struct bytes token)
{
    struct list l = {.first = SYNTAX_NONE};
    r->at += token.n;
    while (!r->bad && !repeats_token(r, token)) {
        if (l.n > 0 && read_repetition(r, &l))
            continue;
        uint16_t i = read_operand(r);
        if (i == SYNTAX_NONE)
            break;
        list_add(r, &l, i);
    }
    if (bytes_is(token, "\"\""))
        token.n = 0;
    if (l.n == 1 && arg_at(r, l.first)->token.p == NULL) {
        arg_at(r, l.first)->token = token;
        return l.first;
    }
    return arg_new(r, (struct syntax_arg){.type = l.n == 0 ? SYNTAX_TOKEN : SYNTAX_BLOCK,
                                          .token = token,
                                          .first = l.first});
}

/* Arguments up to the end of the text, of the bracket or of the alternative. */
static struct list read_list(struct reader *r)
{
    struct list l = {.first = SYNTAX_NONE};
    for (;;) {
        skip_blanks(r);
        if (r->bad || is_end(*r->at))
            return l;
        if (read_repetition(r, &l))
            continue;
        if (*r->at == '[' || *r->at == '<') {
            list_add(r, &l, read_group(r));
            continue;
        }
        struct bytes word = word_here(r);
        list_add(r, &l, is_token(word) ? read_token(r, word) : read_operand(r));
    }
}

static uint16_t as_one(struct reader *r, const struct list *l)
{
    if (l->n == 1)
        return l->first;
    return arg_new(r, (struct syntax_arg){.type = SYNTAX_BLOCK, .first = l->first});
}

/* Alternatives up to the end of the text or of the bracket, as one argument. */
static struct list read_choice(struct reader *r)
{
    struct list l = read_list(r), all = {.first = SYNTAX_NONE};
    if (*r->at != '|')
        return l;
    list_add(r, &all, as_one(r, &l));
    while (*r->at == '|' && !r->bad) {
        r->at++;
        l = read_list(r);
        if (l.n == 0)
            r->bad = true;
        else
            list_add(r, &all, as_one(r, &l));
    }
    uint16_t i = arg_new(r, (struct syntax_arg){.type = SYNTAX_ONEOF, .first = all.first});
    return (struct list){.first = i, .last = i, .n = 1};
}

/* [..] or <..> */
static uint16_t read_group(struct reader *r)
{
    bool optional = *r->at++ == '[';
    if (++r->depth > NESTING_MAX)
        r->bad = true;
    struct list l = {0};
    if (!r->bad)
        l = read_choice(r);
    r->depth--;
    if (r->bad || l.n == 0 || *r->at != (optional ? ']' : '>')) {
        r->bad = true;
        return 0;
    }
    r->at++;
    uint16_t i = as_one(r, &l);
    if (optional)
        arg_at(r, i)->optional = true;
    return i;
}

bool syntax_read(struct syntax *s, const char *text)
{
    struct reader r = {.s = s, .at = text};
    s->n = 0;
    struct list l = read_choice(&r);
    s->first = l.n > 0 ? l.first : SYNTAX_NONE;
    return !r.bad && *r.at == 0;
}

const char *syntax_type_name(const struct syntax_arg *a)
{
    static const char *const map[][2] = {
        {"key", "key"},
        {"key1", "key"},
        {"key2", "key"},
        {"newkey", "key"},
        {"destination", "key"},
        {"source", "key"},
        {"destkey", "key"},
        {"count", "integer"},
        {"seconds", "integer"},
        {"milliseconds", "integer"},
        {"offset", "integer"},
        {"index", "integer"},
        {"start", "integer"},
        {"stop", "integer"},
        {"end", "integer"},
        {"numkeys", "integer"},
        {"increment", "integer"},
        {"decrement", "integer"},
        {"cursor", "integer"},
        {"len", "integer"},
        {"limit", "integer"},
        {"client-id", "integer"},
        {"numreplicas", "integer"},
        {"timeout", "integer"},
        {"rank", "integer"},
        {"num-matches", "integer"},
        {"score", "double"},
        {"min", "double"},
        {"max", "double"},
        {"weight", "double"},
        {"longitude", "double"},
        {"latitude", "double"},
        {"radius", "double"},
        {"width", "double"},
        {"height", "double"},
        {"unix-time-seconds", "unix-time"},
        {"unix-time-milliseconds", "unix-time"},
        {"pattern", "pattern"},
    };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        if (bytes_is(a->name, map[i][0]))
            return map[i][1];
    return "string";
}
