/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/acl_selector.h"

#include "base/mem.h"
#include "shard/command_facts.h"
#include "shard/glob.h"

#include <assert.h>

const char *acl_error_text(enum acl_error e)
{
    static const char *const texts[ACL_ERRORS] = {
        [ACL_SYNTAX] = "Syntax error",
        [ACL_UNKNOWN] = "Unknown command or category name in ACL",
        [ACL_FIRST_ARG] = "Allowing first-arg of a subcommand is not supported",
        [ACL_ALL_KEYS] =
            "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does "
            "not have any effect. Try 'resetkeys' to start with an empty list of patterns",
        [ACL_ALL_CHANNELS] =
            "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
            "does not have any effect. Try 'resetchannels' to start with an empty list of channels",
        [ACL_NO_PASSWORD] = "The password you are trying to remove from the user does not exist",
        [ACL_BAD_HASH] = "The password hash must be exactly 64 characters and contain only "
                         "lowercase hexadecimal characters",
    };
    return texts[e] != NULL ? texts[e] : "";
}

/* ------------------------------------------------------------ lists of words */

void acl_words_add(struct acl_words *w, struct bytes word)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 4;
        w->at = mem_realloc(w->at, w->cap * sizeof w->at[0]);
    }
    uint8_t *p = mem_alloc(word.n + 1);
    if (word.n > 0)
        memcpy(p, word.p, word.n);
    w->at[w->n++] = bytes_of(p, word.n);
}

static void word_free(struct bytes word)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } u = {.in = word.p};
    mem_free(u.out);
}

void acl_words_remove(struct acl_words *w, uint32_t i)
{
    word_free(w->at[i]);
    memmove(&w->at[i], &w->at[i + 1], (--w->n - i) * sizeof w->at[0]);
}

void acl_words_copy(struct acl_words *to, const struct acl_words *from)
{
    *to = (struct acl_words){0};
    for (uint32_t i = 0; i < from->n; i++)
        acl_words_add(to, from->at[i]);
}

void acl_words_deinit(struct acl_words *w)
{
    for (uint32_t i = 0; i < w->n; i++)
        word_free(w->at[i]);
    mem_free(w->at);
    *w = (struct acl_words){0};
}

bool acl_words_find(const struct acl_words *w, struct bytes word, uint32_t *at)
{
    for (*at = 0; *at < w->n; ++*at)
        if (bytes_eq(w->at[*at], word))
            return true;
    return false;
}

/* ------------------------------------------------------------ life */

static size_t bits_size(void) { return (command_count() + 63) / 64 * sizeof(uint64_t); }

void acl_selector_init(struct acl_selector *s, bool channels)
{
    *s = (struct acl_selector){.all_channels = channels, .commands = mem_zalloc(bits_size())};
}

void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from)
{
    *to = *from;
    to->commands = mem_dup(from->commands, bits_size());
    to->access = mem_dup(from->access, from->keys.n);
    acl_words_copy(&to->rules, &from->rules);
    acl_words_copy(&to->keys, &from->keys);
    acl_words_copy(&to->channels, &from->channels);
    acl_words_copy(&to->firsts, &from->firsts);
}

void acl_selector_deinit(struct acl_selector *s)
{
    acl_words_deinit(&s->rules);
    acl_words_deinit(&s->keys);
    acl_words_deinit(&s->channels);
    acl_words_deinit(&s->firsts);
    mem_free(s->access);
    mem_free(s->commands);
    *s = (struct acl_selector){0};
}

/* ------------------------------------------------------------ commands */

static bool bit_of(const struct acl_selector *s, const struct command *c)
{
    unsigned n = command_number(c);
    return s->commands[n / 64] >> n % 64 & 1;
}

/* "select|0" belongs to "select". */
static bool belongs_to(struct bytes word, const char *command)
{
    size_t n = strlen(command);
    return word.n > n && memcmp(word.p, command, n) == 0 && word.p[n] == '|';
}

static void set_one(struct acl_selector *s, const struct command *c, bool on)
{
    unsigned n = command_number(c);
    uint64_t bit = UINT64_C(1) << n % 64;
    s->commands[n / 64] = on ? s->commands[n / 64] | bit : s->commands[n / 64] & ~bit;
    for (uint32_t i = s->firsts.n; i-- > 0;)
        if (belongs_to(s->firsts.at[i], c->name))
            acl_words_remove(&s->firsts, i);
}

/* A container with all its subcommands. */
static void set_command(struct acl_selector *s, const struct command *c, bool on)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    set_one(s, c, on);
    for (unsigned i = 0; (c->flags & CMD_CONTAINER) && i < n; i++)
        if (belongs_to(bytes_str(all[i]->name), c->name))
            set_one(s, all[i], on);
}

static void set_category(struct acl_selector *s, uint32_t category, bool on)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    for (unsigned i = 0; i < n; i++)
        if (command_facts(all[i]).categories & category)
            set_command(s, all[i], on);
}

static void set_every(struct acl_selector *s, bool on)
{
    acl_words_deinit(&s->rules);
    acl_words_deinit(&s->firsts);
    s->every_command = on;
    memset(s->commands, on ? 0xff : 0, bits_size());
}

/* Notes the rule; earlier ones that it makes pointless go. `body`: lower case, without sign. */
static void note_rule(struct acl_selector *s, bool on, struct bytes body, bool exact)
{
    struct buf name = {0}, rule = {0};
    buf_put_bytes(&name, body);
    buf_put_u8(&name, 0);
    for (uint32_t i = s->rules.n; i-- > 0;) {
        struct bytes old = bytes_of(s->rules.at[i].p + 1, s->rules.at[i].n - 1);
        if (bytes_eq(old, body) || (!exact && belongs_to(old, (const char *)name.p)))
            acl_words_remove(&s->rules, i);
    }
    buf_put_u8(&rule, on ? '+' : '-');
    buf_put_bytes(&rule, body);
    acl_words_add(&s->rules, buf_bytes(&rule));
    buf_deinit(&name);
    buf_deinit(&rule);
}

static enum acl_error category_rule(struct acl_selector *s, bool on, struct bytes body)
{
    uint32_t category = category_find(bytes_of(body.p + 1, body.n - 1));
    if (category == 0)
        return ACL_UNKNOWN;
    set_category(s, category, on);
    note_rule(s, on, body, true);
    return ACL_FINE;
}

/* "+select|0": allowed with one first argument. Commands with subcommands have better. */
static enum acl_error first_rule(struct acl_selector *s, struct bytes body)
{
    size_t cut = body.n;
    while (body.p[cut - 1] != '|')
        cut--;
    struct bytes name = bytes_of(body.p, cut - 1), arg = bytes_of(body.p + cut, body.n - cut);
    const struct command *c = command_find_full(name);
    uint32_t at;
    if (c == NULL)
        return ACL_UNKNOWN;
    if (command_is_sub(c))
        return ACL_FIRST_ARG;
    if (arg.n == 0)
        return ACL_SYNTAX;
    if (c->flags & CMD_CONTAINER) {
        const struct command *sub = command_find_full(body);
        if (sub != NULL) {
            set_command(s, sub, true);
            note_rule(s, true, body, true);
            return ACL_FINE;
        }
        if (strcmp(c->name, "debug") != 0) /* Redis' has first arguments, not subcommands */
            return ACL_UNKNOWN;
    }
    if (!acl_words_find(&s->firsts, body, &at)) {
        acl_words_add(&s->firsts, body);
        note_rule(s, true, body, true);
    }
    return ACL_FINE;
}

static bool is_word(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

#define COMMAND_RULE_MAX 256u

static enum acl_error command_rule(struct acl_selector *s, struct bytes rule)
{
    uint8_t lower[COMMAND_RULE_MAX];
    bool on = rule.p[0] == '+';
    if (rule.n == 1 || rule.n > sizeof lower || !is_word(rule))
        return ACL_UNKNOWN;
    for (size_t i = 1; i < rule.n; i++)
        lower[i - 1] =
            rule.p[i] >= 'A' && rule.p[i] <= 'Z' ? (uint8_t)(rule.p[i] | 0x20) : rule.p[i];
    struct bytes body = bytes_of(lower, rule.n - 1);
    if (body.p[0] == '@')
        return category_rule(s, on, body);
    if (on && memchr(body.p, '|', body.n) != NULL)
        return first_rule(s, body);
    const struct command *c = command_find_full(body);
    if (c == NULL)
        return ACL_UNKNOWN;
    set_command(s, c, on);
    note_rule(s, on, body, false);
    return ACL_FINE;
}

bool acl_selector_command(const struct acl_selector *s, const struct command *c, uint32_t argc,
                          const struct bytes *argv)
{
    if (bit_of(s, c))
        return true;
    for (uint32_t i = 0; argc > 1 && i < s->firsts.n; i++) {
        struct bytes first = s->firsts.at[i];
        size_t n = strlen(c->name) + 1;
        if (!belongs_to(first, c->name) || first.n - n != argv[1].n)
            continue;
        bool same = true;
        for (size_t k = 0; k < argv[1].n; k++) {
            uint8_t x = argv[1].p[k];
            same &= (x >= 'A' && x <= 'Z' ? (uint8_t)(x | 0x20) : x) == first.p[n + k];
        }
        if (same)
            return true;
    }
    return false;
}

/* ------------------------------------------------------------ keys */

static bool has_blank(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == 0 || s.p[i] == ' ' || (s.p[i] >= '\t' && s.p[i] <= '\r'))
            return true;
    return false;
}

/* "~pattern", "%R~pattern", "%rw~pattern": what is allowed, and where the pattern begins. */
static bool key_rule_head(struct bytes rule, uint8_t *access, size_t *start)
{
    *access = 0;
    *start = 1;
    if (rule.p[0] == '~') {
        *access = ACL_READ | ACL_WRITE;
        return true;
    }
    for (size_t i = 1; i < rule.n; i++) {
        uint8_t c = (uint8_t)(rule.p[i] & ~0x20u);
        uint8_t flag = c == 'R' ? ACL_READ : c == 'W' ? ACL_WRITE : 0;
        *start = i + 1;
        if (rule.p[i] == '~')
            return *access != 0;
        if (flag == 0 || (*access & flag))
            return false;
        *access |= flag;
    }
    return false;
}

static void set_all_keys(struct acl_selector *s, bool all)
{
    s->all_keys = all;
    acl_words_deinit(&s->keys);
    mem_free(s->access);
    s->access = NULL;
}

static enum acl_error key_rule(struct acl_selector *s, struct bytes rule)
{
    uint8_t access;
    size_t start;
    uint32_t at;
    if (s->all_keys)
        return ACL_ALL_KEYS;
    if (!key_rule_head(rule, &access, &start))
        return ACL_SYNTAX;
    struct bytes pattern = bytes_of(rule.p + start, rule.n - start);
    if (has_blank(pattern))
        return ACL_SYNTAX;
    if (!acl_words_find(&s->keys, pattern, &at)) {
        acl_words_add(&s->keys, pattern);
        s->access = mem_realloc(s->access, s->keys.n);
        s->access[at] = 0;
    }
    s->access[at] |= access;
    if (bytes_is(pattern, "*") && s->access[at] == (ACL_READ | ACL_WRITE))
        set_all_keys(s, true); /* %R~* %W~* */
    return ACL_FINE;
}

bool acl_selector_key(const struct acl_selector *s, struct bytes key, unsigned access)
{
    if (s->all_keys)
        return true;
    for (uint32_t i = 0; i < s->keys.n; i++)
        if ((s->access[i] & access) == access && glob_match(s->keys.at[i], key))
            return true;
    return false;
}

/* ------------------------------------------------------------ channels */

static enum acl_error channel_rule(struct acl_selector *s, struct bytes rule)
{
    struct bytes pattern = bytes_of(rule.p + 1, rule.n - 1);
    uint32_t at;
    if (s->all_channels)
        return ACL_ALL_CHANNELS;
    if (has_blank(pattern))
        return ACL_SYNTAX;
    if (!acl_words_find(&s->channels, pattern, &at))
        acl_words_add(&s->channels, pattern);
    return ACL_FINE;
}

bool acl_selector_channel(const struct acl_selector *s, struct bytes channel, bool is_pattern)
{
    if (s->all_channels)
        return true;
    for (uint32_t i = 0; i < s->channels.n; i++)
        if (is_pattern ? bytes_eq(s->channels.at[i], channel)
                       : glob_match(s->channels.at[i], channel))
            return true;
    return false;
}

/* ------------------------------------------------------------ rules */

static bool is_either(struct bytes rule, const char *a, const char *b)
{
    return bytes_is_nocase(rule, a) || (b != NULL && bytes_is_nocase(rule, b));
}

enum acl_error acl_selector_rule(struct acl_selector *s, struct bytes rule)
{
    if (is_either(rule, "allkeys", "~*") || is_either(rule, "resetkeys", NULL)) {
        set_all_keys(s, !bytes_is_nocase(rule, "resetkeys"));
        return ACL_FINE;
    }
    if (is_either(rule, "allchannels", "&*") || is_either(rule, "resetchannels", NULL)) {
        s->all_channels = !bytes_is_nocase(rule, "resetchannels");
        acl_words_deinit(&s->channels);
        return ACL_FINE;
    }
    if (is_either(rule, "allcommands", "+@all") || is_either(rule, "nocommands", "-@all")) {
        set_every(s, is_either(rule, "allcommands", "+@all"));
        return ACL_FINE;
    }
    switch (rule.n > 0 ? rule.p[0] : 0) {
    case '~':
    case '%':
        return key_rule(s, rule);
    case '&':
        return channel_rule(s, rule);
    case '+':
    case '-':
        return command_rule(s, rule);
    default:
        return ACL_SYNTAX;
    }
}

bool acl_selector_is_free(const struct acl_selector *s)
{
    return s->all_keys && s->all_channels && s->every_command && s->rules.n == 0;
}

/* ------------------------------------------------------------ describing */

static void put_word(struct buf *out, size_t from, const char *prefix, struct bytes word)
{
    if (buf_len(out) > from)
        buf_put_u8(out, ' ');
    buf_put_str(out, prefix);
    buf_put_bytes(out, word);
}

void acl_selector_keys(const struct acl_selector *s, struct buf *out)
{
    static const char *const prefixes[] = {"", "%R~", "%W~", "~"};
    size_t from = buf_len(out);
    if (s->all_keys)
        buf_put_str(out, "~*");
    for (uint32_t i = 0; i < s->keys.n; i++)
        put_word(out, from, prefixes[s->access[i]], s->keys.at[i]);
}

void acl_selector_channels(const struct acl_selector *s, struct buf *out)
{
    size_t from = buf_len(out);
    if (s->all_channels)
        buf_put_str(out, "&*");
    for (uint32_t i = 0; i < s->channels.n; i++)
        put_word(out, from, "&", s->channels.at[i]);
}

void acl_selector_commands(const struct acl_selector *s, struct buf *out)
{
    size_t from = buf_len(out);
    buf_put_str(out, s->every_command ? "+@all" : "-@all");
    for (uint32_t i = 0; i < s->rules.n; i++)
        put_word(out, from, "", s->rules.at[i]);
}

void acl_selector_describe(const struct acl_selector *s, struct buf *out)
{
    size_t from = buf_len(out);
    acl_selector_keys(s, out);
    if (buf_len(out) > from)
        buf_put_u8(out, ' ');
    if (!s->all_channels)
        buf_put_str(out, "resetchannels ");
    from = buf_len(out);
    acl_selector_channels(s, out);
    if (buf_len(out) > from)
        buf_put_u8(out, ' ');
    acl_selector_commands(s, out);
}
