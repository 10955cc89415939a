/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_ACL_USER_H
#define MERIDIAN_PROXY_ACL_USER_H

#include "proxy/acl_selector.h"

/*
 * A user: whether and with which passwords one may log in as it, and what it may do then: whatever
 * one of its selectors allows. Its text form (what ACL LIST shows) makes the same user again; it is
 * what travels between regions.
 */
#define ACL_HASH_LEN 64u        /* SHA-256, in hex */
#define ACL_USER_BYTES_MAX 512u /* of a name */

enum acl_sanitize { ACL_SANITIZE_UNSET, ACL_SANITIZE, ACL_SANITIZE_SKIP };

struct acl_user {
    struct bytes name; /* owned */
    bool on, nopass;
    uint8_t sanitize;             /* shown, and without effect: payloads are always checked */
    struct acl_words hashes;      /* of passwords */
    struct acl_selector root;     /* of the rules outside parentheses */
    struct acl_selector *further; /* owned */
    uint32_t further_n;
    bool all_channels; /* what selectors start with: acl-pubsub-default */
};

/* Off, without passwords and rights; all channels where `channels` says so. */
struct acl_user *acl_user_new(struct bytes name, bool channels);
struct acl_user *acl_user_copy(const struct acl_user *u);
void acl_user_free(struct acl_user *u);
/* Changes it by one rule; a selector is one rule: "(+get ~a)". On error it may be changed in part.
 */
enum acl_error acl_user_rule(struct acl_user *u, struct bytes rule);
/* Makes rules whole that were torn at blanks, appending to `out`: "(+get" "~a)" becomes one. False:
 * a parenthesis stays open; *open is where. */
bool acl_rules_join(uint32_t argc, const struct bytes *argv, struct acl_words *out, uint32_t *open);
/* The user's text: "on nopass ~* &* +@all (~a resetchannels -@all +get)". */
void acl_user_describe(const struct acl_user *u, struct buf *out);
/* The other way round; NULL: malformed, or of a release with other rules. */
struct acl_user *acl_user_parse(struct bytes name, struct bytes text);
/* Appends the hash as hex. */
void acl_hash(struct bytes password, struct buf *out);
/* Takes as long for any password. */
bool acl_user_password_is(const struct acl_user *u, struct bytes password);
/* Nothing is refused to it. */
bool acl_user_is_free(const struct acl_user *u);

/* ------------------------------------------------------------ checking */

enum acl_denial { ACL_ALLOWED, ACL_DENIED_COMMAND, ACL_DENIED_KEY, ACL_DENIED_CHANNEL };
struct acl_verdict {
    enum acl_denial denial;
    uint32_t at; /* the argument that is the key or channel */
};
/* A call whose arity is right; `c` is the subcommand's row where there is one. */
struct acl_verdict acl_check(const struct acl_user *u, const struct command *c, uint32_t argc,
                             const struct bytes *argv);
/* What a call that is allowed may not ask for nevertheless, as an error: SORT's BY and GET read
 * keys that are not among its arguments. NULL: nothing. */
const char *acl_check_options(const struct acl_user *u, const struct command *c, uint32_t argc,
                              const struct bytes *argv);
/* May it subscribe to that channel or pattern? */
bool acl_user_channel(const struct acl_user *u, struct bytes channel, bool is_pattern);

#endif
