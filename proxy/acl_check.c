/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/acl_user.h"
#include "shard/command_facts.h"

/* Whether a user may make a call. Only users with some restriction come here. */

/* The keys of a call, found when the first selector asks for them. */
struct keys {
    bool found;
    unsigned n;
    struct key_use few[16], *at;
};

static void keys_find(struct keys *k, const struct command *c, uint32_t argc,
                      const struct bytes *argv)
{
    if (k->found)
        return;
    k->found = true;
    k->at = argc <= 16 ? k->few : mem_alloc(argc * sizeof k->at[0]);
    k->n = command_key_uses(c, argc, argv, k->at, argc);
}

static unsigned access_of(const struct key_use *use)
{
    return (use->flags & KEY_ACCESS ? ACL_READ : 0u) |
           (use->flags & (KEY_INSERT | KEY_DELETE | KEY_UPDATE) ? ACL_WRITE : 0u);
}

/* Channels among the arguments of a call: from..to-1, of which `is_pattern` says what they are. */
static bool channels_of(const struct command *c, uint32_t argc, uint32_t *from, uint32_t *to,
                        bool *is_pattern)
{
    static const struct {
        const char *name;
        bool all, is_pattern;
    } table[] = {
        {"publish", false, false},   {"spublish", false, false}, {"subscribe", true, false},
        {"ssubscribe", true, false}, {"psubscribe", true, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, c->name) != 0)
            continue;
        *from = 1;
        *to = table[i].all || argc < 2 ? argc : 2;
        *is_pattern = table[i].is_pattern;
        return true;
    }
    return false;
}

static struct acl_verdict check_one(const struct acl_selector *s, const struct command *c,
                                    uint32_t argc, const struct bytes *argv, struct keys *keys)
{
    uint32_t from, to;
    bool is_pattern;
    if (!(c->flags & CMD_NO_AUTH) && !acl_selector_command(s, c, argc, argv))
        return (struct acl_verdict){ACL_DENIED_COMMAND, 0};
    if (!s->all_keys) {
        keys_find(keys, c, argc, argv);
        for (unsigned i = 0; i < keys->n; i++) {
            const struct key_use *use = &keys->at[i];
            if (!(use->flags & KEY_NOT_KEY) && !acl_selector_key(s, argv[use->at], access_of(use)))
                return (struct acl_verdict){ACL_DENIED_KEY, use->at};
        }
    }
    if (!s->all_channels && channels_of(c, argc, &from, &to, &is_pattern))
        for (uint32_t i = from; i < to; i++)
            if (!acl_selector_channel(s, argv[i], is_pattern))
                return (struct acl_verdict){ACL_DENIED_CHANNEL, i};
    return (struct acl_verdict){ACL_ALLOWED, 0};
}

/* Of several refusals the one that got furthest is told: a command that some selector allows was
 * refused for its key. */
struct acl_verdict acl_check(const struct acl_user *u, const struct command *c, uint32_t argc,
                             const struct bytes *argv)
{
    struct keys keys = {.found = false};
    struct acl_verdict worst = check_one(&u->root, c, argc, argv, &keys);
    for (uint32_t i = 0; i < u->further_n && worst.denial != ACL_ALLOWED; i++) {
        struct acl_verdict v = check_one(&u->further[i], c, argc, argv, &keys);
        if (v.denial == ACL_ALLOWED || v.denial > worst.denial ||
            (v.denial == worst.denial && v.at > worst.at))
            worst = v;
    }
    if (keys.found && keys.at != keys.few)
        mem_free(keys.at);
    return worst;
}

bool acl_user_channel(const struct acl_user *u, struct bytes channel, bool is_pattern)
{
    bool may = acl_selector_channel(&u->root, channel, is_pattern);
    for (uint32_t i = 0; i < u->further_n && !may; i++)
        may = acl_selector_channel(&u->further[i], channel, is_pattern);
    return may;
}

/* ------------------------------------------------------------ SORT */

static bool reads_all(const struct acl_selector *s, const struct command *c, uint32_t argc,
                      const struct bytes *argv)
{
    struct keys keys = {.found = false};
    uint32_t at;
    bool all = s->all_keys ||
               (acl_words_find(&s->keys, bytes_str("*"), &at) && (s->access[at] & ACL_READ));
    bool may = all && check_one(s, c, argc, argv, &keys).denial == ACL_ALLOWED;
    if (keys.found && keys.at != keys.few)
        mem_free(keys.at);
    return may;
}

const char *acl_check_options(const struct acl_user *u, const struct command *c, uint32_t argc,
                              const struct bytes *argv)
{
    if (strcmp(c->name, "sort") != 0 && strcmp(c->name, "sort_ro") != 0)
        return NULL;
    bool all = reads_all(&u->root, c, argc, argv);
    for (uint32_t i = 0; i < u->further_n && !all; i++)
        all = reads_all(&u->further[i], c, argc, argv);
    for (uint32_t i = 2; !all && i + 1 < argc; i++) {
        if (bytes_is_nocase(argv[i], "get"))
            return "ERR GET option of SORT denied due to insufficient ACL permissions.";
        bool by = bytes_is_nocase(argv[i], "by");
        if (by && argv[i + 1].n > 0 && memchr(argv[i + 1].p, '*', argv[i + 1].n) != NULL)
            return "ERR BY option of SORT denied due to insufficient ACL permissions.";
        i += bytes_is_nocase(argv[i], "limit") ? 2 : by || bytes_is_nocase(argv[i], "store");
    }
    return NULL;
}
