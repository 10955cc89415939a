/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_ACL_SELECTOR_H
#define MERIDIAN_PROXY_ACL_SELECTOR_H

#include "base/buf.h"
#include "shard/command.h"

/*
 * A selector: a set of commands, of keys (to read, to write) and of channels; what is asked of it
 * must fit all three. Built by rules: +get -@hash ~cache:* %R~conf &news.
 * https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
 */

/* Why a rule is refused; texts as Redis has them (acl_error_text). */
enum acl_error {
    ACL_FINE,
    ACL_SYNTAX,
    ACL_UNKNOWN,      /* command or category */
    ACL_FIRST_ARG,    /* of a subcommand */
    ACL_ALL_KEYS,     /* a pattern behind ~* */
    ACL_ALL_CHANNELS, /* a pattern behind &* */
    ACL_NO_PASSWORD,  /* to be removed */
    ACL_BAD_HASH,
    ACL_ERRORS
};
const char *acl_error_text(enum acl_error e);

/* Texts, each in an allocation of its own. */
struct acl_words {
    struct bytes *at; /* owned, and what they point to */
    uint32_t n, cap;
};
void acl_words_add(struct acl_words *w, struct bytes word); /* copies */
void acl_words_remove(struct acl_words *w, uint32_t i);
void acl_words_copy(struct acl_words *to, const struct acl_words *from); /* `to` is fresh */
void acl_words_deinit(struct acl_words *w);
bool acl_words_find(const struct acl_words *w, struct bytes word, uint32_t *at);

enum { ACL_READ = 1, ACL_WRITE = 2 };

struct acl_selector {
    bool every_command; /* those of later releases too: what the rules start from */
    bool all_keys, all_channels;
    struct acl_words rules;    /* what was added and taken since: "+get", "-@hash", "+select|0" */
    struct acl_words keys;     /* patterns */
    uint8_t *access;           /* owned; of each: ACL_READ, ACL_WRITE */
    struct acl_words channels; /* patterns */
    uint64_t *commands;        /* owned; a bit for each command_number */
    struct acl_words firsts;   /* "select|0": allowed with this first argument only */
};

/* Starts with nothing, but all channels where `channels` says so. */
void acl_selector_init(struct acl_selector *s, bool channels);
void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from);
void acl_selector_deinit(struct acl_selector *s);
/* Changes it by one rule; on error nothing has changed. */
enum acl_error acl_selector_rule(struct acl_selector *s, struct bytes rule);
/* True when nothing at all is refused. */
bool acl_selector_is_free(const struct acl_selector *s);
/* Appends "~a %R~b", "&c" (nothing for none) or "-@all +get". */
void acl_selector_keys(const struct acl_selector *s, struct buf *out);
void acl_selector_channels(const struct acl_selector *s, struct buf *out);
void acl_selector_commands(const struct acl_selector *s, struct buf *out);
/* All three as rules that make it again. */
void acl_selector_describe(const struct acl_selector *s, struct buf *out);

bool acl_selector_command(const struct acl_selector *s, const struct command *c, uint32_t argc,
                          const struct bytes *argv);
/* `access`: what is done with it; 0: it is only looked for, either right will do. */
bool acl_selector_key(const struct acl_selector *s, struct bytes key, unsigned access);
/* A pattern that is subscribed to must be allowed literally. */
bool acl_selector_channel(const struct acl_selector *s, struct bytes channel, bool is_pattern);

#endif
