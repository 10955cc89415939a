/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_SETTINGS_H
#define MERIDIAN_PROXY_SETTINGS_H

#include "base/buf.h"
#include "proxy/settings_list.h"

/*
 * The settings of CONFIG, by Redis' names: what kind of value each takes, within which range, and
 * what setting it does here. Their values, one set for each front.
 */
#define X(id, name, alias, kind, rule, least, most, first, words, why) CONFIG_##id,
enum setting_id { SETTINGS(X) CONFIG_COUNT };
#undef X

enum setting_kind {
    VALUE_BOOL,
    VALUE_INT,
    VALUE_MEMORY,  /* a number with a unit */
    VALUE_PERCENT, /* likewise, or "5%": kept as -5 */
    VALUE_WORD,    /* one of `words`: its place among them */
    VALUE_TEXT,
    VALUE_PERCENTILES, /* numbers from 0 to 100 */
    VALUE_EVENTS,      /* notify-keyspace-events */
    VALUE_OUTPUT,      /* client-output-buffer-limit */
};

enum setting_rule {
    SETTING_ACTS,
    SETTING_KEPT,  /* tunes something that is not here: kept and shown, and changes nothing */
    SETTING_FIXED, /* Redis sets it, we do not: takes only the value it has */
    SETTING_FINAL, /* cannot be set in Redis either */
};

struct settings {
    int64_t number[CONFIG_COUNT];
    char *text[CONFIG_COUNT]; /* owned: of TEXT and PERCENTILES; NULL of others */
};

struct setting_value {
    int64_t number;
    struct bytes text; /* borrowed from what was parsed */
};

void settings_init(struct settings *s);
void settings_deinit(struct settings *s);
/* By name or older name, any case; CONFIG_COUNT: there is none. */
enum setting_id setting_find(struct bytes name);
const char *setting_name(enum setting_id id);
const char *setting_alias(enum setting_id id); /* NULL none */
enum setting_kind setting_kind(enum setting_id id);
enum setting_rule setting_rule(enum setting_id id);
const char *setting_why(enum setting_id id); /* FIXED, FINAL: where it is set; NULL nowhere */
/* Reads a value (not EVENTS and OUTPUT). False: error[] tells why in Redis' words. */
bool setting_parse(enum setting_id id, struct bytes text, struct setting_value *out, char *error,
                   size_t size);
void setting_put(struct settings *s, enum setting_id id, const struct setting_value *v);
/* Appends the value as CONFIG GET shows it (not of EVENTS and OUTPUT). */
void setting_show(const struct settings *s, enum setting_id id, struct buf *out);
/* Appends one of a WORD's words, by its place; and back: the place, -1 none. */
void setting_word(enum setting_id id, uint32_t place, struct buf *out);
int setting_place(enum setting_id id, const char *word);
/* A number with Redis' units: k kb m mb g gb. */
bool setting_parse_memory(struct bytes text, uint64_t *out);

#endif
