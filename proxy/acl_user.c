/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/acl_user.h"

#include "base/mem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* ------------------------------------------------------------ life */

struct acl_user *acl_user_new(struct bytes name, bool channels)
{
    struct acl_user *u = mem_zalloc(sizeof *u + name.n);
    uint8_t *p = (uint8_t *)(u + 1);
    if (name.n > 0)
        memcpy(p, name.p, name.n);
    u->name = bytes_of(p, name.n);
    u->all_channels = channels;
    acl_selector_init(&u->root, channels);
    return u;
}

static struct acl_selector *further_add(struct acl_user *u)
{
    u->further = mem_realloc(u->further, (u->further_n + 1) * sizeof u->further[0]);
    return &u->further[u->further_n++];
}

struct acl_user *acl_user_copy(const struct acl_user *u)
{
    struct acl_user *copy = acl_user_new(u->name, u->all_channels);
    copy->on = u->on;
    copy->nopass = u->nopass;
    copy->sanitize = u->sanitize;
    acl_words_copy(&copy->hashes, &u->hashes);
    acl_selector_deinit(&copy->root);
    acl_selector_copy(&copy->root, &u->root);
    for (uint32_t i = 0; i < u->further_n; i++)
        acl_selector_copy(further_add(copy), &u->further[i]);
    return copy;
}

static void clear_further(struct acl_user *u)
{
    for (uint32_t i = 0; i < u->further_n; i++)
        acl_selector_deinit(&u->further[i]);
    mem_free(u->further);
    u->further = NULL;
    u->further_n = 0;
}

void acl_user_free(struct acl_user *u)
{
    if (u == NULL)
        return;
    clear_further(u);
    acl_selector_deinit(&u->root);
    acl_words_deinit(&u->hashes);
    mem_free(u);
}

/* ------------------------------------------------------------ passwords */

void acl_hash(struct bytes password, struct buf *out)
{
    uint8_t hash[32];
    unsigned n = sizeof hash;
    if (EVP_Digest(password.p != NULL ? password.p : (const uint8_t *)"", password.n, hash, &n,
                   EVP_sha256(), NULL) != 1)
        memset(hash, 0, sizeof hash);
    for (unsigned i = 0; i < sizeof hash; i++)
        buf_putf(out, "%02x", hash[i]);
}

bool acl_user_password_is(const struct acl_user *u, struct bytes password)
{
    struct buf hash = {0};
    bool same = false;
    acl_hash(password, &hash);
    for (uint32_t i = 0; i < u->hashes.n; i++)
        same |= CRYPTO_memcmp(u->hashes.at[i].p, hash.p + hash.head, ACL_HASH_LEN) == 0;
    buf_deinit(&hash);
    return same || u->nopass;
}

static bool hash_is_sound(struct bytes hash)
{
    for (size_t i = 0; i < hash.n; i++)
        if (!(hash.p[i] >= '0' && hash.p[i] <= '9') && !(hash.p[i] >= 'a' && hash.p[i] <= 'f'))
            return false;
    return hash.n == ACL_HASH_LEN;
}

/* ">password" "<password" "#hash" "!hash" */
static enum acl_error password_rule(struct acl_user *u, struct bytes rule)
{
    struct buf room = {0};
    struct bytes hash = bytes_of(rule.p + 1, rule.n - 1);
    bool adds = rule.p[0] == '>' || rule.p[0] == '#';
    uint32_t at;
    if (rule.p[0] == '>' || rule.p[0] == '<') {
        acl_hash(hash, &room);
        hash = buf_bytes(&room);
    } else if (!hash_is_sound(hash)) {
        return ACL_BAD_HASH;
    }
    bool found = acl_words_find(&u->hashes, hash, &at);
    if (adds && !found)
        acl_words_add(&u->hashes, hash);
    if (!adds && found)
        acl_words_remove(&u->hashes, at);
    if (adds)
        u->nopass = false;
    buf_deinit(&room);
    return adds || found ? ACL_FINE : ACL_NO_PASSWORD;
}

/* ------------------------------------------------------------ rules */

/* The next word at *at, moving behind it; false at the end. */
static bool next_word(struct bytes text, size_t *at, struct bytes *word)
{
    while (*at < text.n && text.p[*at] == ' ')
        ++*at;
    size_t start = *at;
    while (*at < text.n && text.p[*at] != ' ')
        ++*at;
    *word = bytes_of(text.p + start, *at - start);
    return word->n > 0;
}

/* "(rule rule ...)". A pattern that ends with a parenthesis would end the selector in its text. */
static enum acl_error selector_rule(struct acl_user *u, struct bytes rule)
{
    struct acl_selector s;
    struct bytes inner = bytes_of(rule.p + 1, rule.n - 2), word;
    enum acl_error e = ACL_FINE;
    size_t at = 0;
    acl_selector_init(&s, u->all_channels);
    while (e == ACL_FINE && next_word(inner, &at, &word))
        e = word.p[word.n - 1] == ')' ? ACL_SYNTAX : acl_selector_rule(&s, word);
    if (e == ACL_FINE)
        *further_add(u) = s;
    else
        acl_selector_deinit(&s);
    return e;
}

static void reset_passwords(struct acl_user *u)
{
    acl_words_deinit(&u->hashes);
    u->nopass = false;
}

static void reset(struct acl_user *u)
{
    reset_passwords(u);
    clear_further(u);
    acl_selector_deinit(&u->root);
    acl_selector_init(&u->root, u->all_channels);
    u->on = false;
    u->sanitize = ACL_SANITIZE;
}

enum acl_error acl_user_rule(struct acl_user *u, struct bytes rule)
{
    if (rule.n == 0)
        return ACL_FINE;
    if (bytes_is_nocase(rule, "on") || bytes_is_nocase(rule, "off")) {
        u->on = rule.n == 2;
    } else if (bytes_is_nocase(rule, "nopass")) {
        reset_passwords(u);
        u->nopass = true;
    } else if (bytes_is_nocase(rule, "resetpass")) {
        reset_passwords(u);
    } else if (bytes_is_nocase(rule, "sanitize-payload")) {
        u->sanitize = ACL_SANITIZE;
    } else if (bytes_is_nocase(rule, "skip-sanitize-payload")) {
        u->sanitize = ACL_SANITIZE_SKIP;
    } else if (bytes_is_nocase(rule, "clearselectors")) {
        clear_further(u);
    } else if (bytes_is_nocase(rule, "reset")) {
        reset(u);
    } else if (rule.p[0] == '>' || rule.p[0] == '<' || rule.p[0] == '#' || rule.p[0] == '!') {
        return password_rule(u, rule);
    } else if (rule.n >= 2 && rule.p[0] == '(' && rule.p[rule.n - 1] == ')') {
        return selector_rule(u, rule);
    } else {
        return acl_selector_rule(&u->root, rule);
    }
    return ACL_FINE;
}

bool acl_rules_join(uint32_t argc, const struct bytes *argv, struct acl_words *out, uint32_t *open)
{
    struct buf joined = {0};
    bool inside = false;
    for (uint32_t i = 0; i < argc; i++) {
        struct bytes rule = argv[i];
        bool ends = rule.n > 0 && rule.p[rule.n - 1] == ')';
        if (!inside && (rule.n == 0 || rule.p[0] != '(' || ends)) {
            acl_words_add(out, rule);
            continue;
        }
        if (inside)
            buf_put_u8(&joined, ' ');
        else
            *open = i;
        buf_put_bytes(&joined, rule);
        inside = !ends;
        if (ends) {
            acl_words_add(out, buf_bytes(&joined));
            buf_clear(&joined);
        }
    }
    buf_deinit(&joined);
    return !inside;
}

/* ------------------------------------------------------------ text */

void acl_user_describe(const struct acl_user *u, struct buf *out)
{
    buf_put_str(out, u->on ? "on " : "off ");
    if (u->nopass)
        buf_put_str(out, "nopass ");
    if (u->sanitize != ACL_SANITIZE_UNSET)
        buf_put_str(out,
                    u->sanitize == ACL_SANITIZE ? "sanitize-payload " : "skip-sanitize-payload ");
    for (uint32_t i = 0; i < u->hashes.n; i++) {
        buf_put_u8(out, '#');
        buf_put_bytes(out, u->hashes.at[i]);
        buf_put_u8(out, ' ');
    }
    acl_selector_describe(&u->root, out);
    for (uint32_t i = 0; i < u->further_n; i++) {
        buf_put_str(out, " (");
        acl_selector_describe(&u->further[i], out);
        buf_put_u8(out, ')');
    }
}

struct acl_user *acl_user_parse(struct bytes name, struct bytes text)
{
    struct acl_user *u = acl_user_new(name, false);
    struct acl_words torn = {0}, rules = {0};
    struct bytes word;
    size_t at = 0;
    uint32_t open;
    while (next_word(text, &at, &word))
        acl_words_add(&torn, word);
    bool good = acl_rules_join(torn.n, torn.at, &rules, &open);
    for (uint32_t i = 0; good && i < rules.n; i++)
        good = acl_user_rule(u, rules.at[i]) == ACL_FINE;
    acl_words_deinit(&torn);
    acl_words_deinit(&rules);
    if (good)
        return u;
    acl_user_free(u);
    return NULL;
}

bool acl_user_is_free(const struct acl_user *u) { return acl_selector_is_free(&u->root); }
