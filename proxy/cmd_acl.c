/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/session.h"
#include "shard/command_facts.h"

#include <stdio.h>

/* ACL: https://redis.io/docs/latest/commands/acl/. Users are texts in the catalog (acl_user.h). */

static int shown(struct bytes s) { return s.n < 128 ? (int)s.n : 128; }

static void reply_buf(struct reply *r, struct buf *b)
{
    reply_bulk(r, buf_bytes(b));
    buf_deinit(b);
}

/* ------------------------------------------------------------ SETUSER, DELUSER: on the owner */

static bool name_ok(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == 0 || name.p[i] == ' ' || (name.p[i] >= '\t' && name.p[i] <= '\r'))
            return false;
    return true;
}

/* The user as the catalog has it: the default user without the password set over REST. */
static struct acl_user *stored_user(const struct front *f, struct bytes name)
{
    const struct catalog_entry *e = catalog_find(f, CATALOG_USERS, name);
    struct acl_user *u = NULL;
    bool channels = f->kept.number[CONFIG_ACL_PUBSUB_DEFAULT] == 0; /* allchannels */
    if (e != NULL)
        u = acl_user_parse(name, e->value);
    else if (bytes_is(name, "default"))
        u = acl_user_parse(name, bytes_str(ACL_DEFAULT_USER));
    if (u == NULL)
        u = acl_user_new(name, channels);
    u->all_channels = channels;
    return u;
}

/* What the database's password, which is set over REST, leaves to the default user's rules. */
static const char *rest_refuses(const struct front *f, const struct acl_user *u, struct bytes rule,
                                enum acl_error e)
{
    if (!bytes_is(u->name, "default") || f->acl.rest[0] == 0)
        return NULL;
    if (bytes_is_nocase(rule, "nopass"))
        return "the database has a password: remove it over REST (authentication_redis_pass)";
    if (e == ACL_NO_PASSWORD)
        return "the default user has no such password beside the database's, which is changed over "
               "REST (authentication_redis_pass)";
    return NULL;
}

static bool apply_rules(struct catalog_job *j, struct acl_user *u, const struct acl_words *rules)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        struct bytes rule = rules->at[i];
        enum acl_error e = acl_user_rule(u, rule);
        const char *why = rest_refuses(j->front, u, rule, e);
        if (why == NULL && e == ACL_FINE)
            continue;
        reply_errorf(j->reply, "ERR Error in ACL SETUSER modifier '%.*s': %s", (int)rule.n,
                     (const char *)rule.p, why != NULL ? why : acl_error_text(e));
        return false;
    }
    return true;
}

/* argv: name, rules */
static void decide_setuser(struct catalog_job *j)
{
    struct acl_words rules = {0};
    struct buf text = {0};
    uint32_t open = 0;
    struct acl_user *u = stored_user(j->front, j->argv[0]);
    if (j->argv[0].n == 0) { /* call.user, empty, means one that may do everything */
        reply_error(j->reply, "ERR Usernames can't be empty");
    } else if (!name_ok(j->argv[0])) {
        reply_error(j->reply, "ERR Usernames can't contain spaces or null characters");
    } else if (!acl_rules_join(j->argc - 1, j->argv + 1, &rules, &open)) {
        struct bytes at = j->argv[1 + open];
        reply_errorf(j->reply, "ERR Unmatched parenthesis in acl selector starting at '%.*s'.",
                     (int)at.n, (const char *)at.p);
    } else if (apply_rules(j, u, &rules)) {
        acl_user_describe(u, &text);
        if (catalog_commit(j,
                           &(struct catalog_change){.kind = CATALOG_USERS,
                                                    .name = j->argv[0],
                                                    .value = buf_bytes(&text)},
                           1))
            reply_ok(j->reply);
    }
    buf_deinit(&text);
    acl_words_deinit(&rules);
    acl_user_free(u);
}

static void setuser(struct ask *a) { catalog_ask(a, decide_setuser, a->argc - 2, a->argv + 2); }

/* argv: names */
static void decide_deluser(struct catalog_job *j)
{
    struct catalog_change *changes = mem_zalloc(j->argc * sizeof changes[0]);
    size_t n = 0;
    for (uint32_t i = 0; i < j->argc; i++) {
        bool again = false;
        if (bytes_is(j->argv[i], "default")) {
            reply_error(j->reply, "ERR The 'default' user cannot be removed");
            mem_free(changes);
            return;
        }
        for (size_t k = 0; k < n; k++)
            again |= bytes_eq(changes[k].name, j->argv[i]);
        if (!again && catalog_find(j->front, CATALOG_USERS, j->argv[i]) != NULL)
            changes[n++] =
                (struct catalog_change){.kind = CATALOG_USERS, .name = j->argv[i], .removed = true};
    }
    if (n == 0 || catalog_commit(j, changes, n))
        reply_int(j->reply, (int64_t)n);
    mem_free(changes);
}

static void deluser(struct ask *a) { catalog_ask(a, decide_deluser, a->argc - 2, a->argv + 2); }

/* ------------------------------------------------------------ LOG: the owner has it */

/* argv: RESET, or how many */
static void decide_log(struct catalog_job *j)
{
    int64_t count = 0;
    if (bytes_is_nocase(j->argv[0], "reset")) {
        acl_log_clear(&j->front->acl.log);
        reply_ok(j->reply);
        return;
    }
    (void)num_parse_i64(j->argv[0], &count);
    acl_log_reply(&j->front->acl.log, count < 0 ? 0 : (uint64_t)count, j->now.wall_ms, j->reply);
}

static void log_entries(struct ask *a)
{
    int64_t count;
    struct bytes arg = a->argc > 2 ? a->argv[2] : bytes_str("10");
    if (a->argc > 3) {
        reply_wrong_form(a);
    } else if (!bytes_is_nocase(arg, "reset") && !num_parse_i64(arg, &count)) {
        reply_error(&a->reply, ERR_NOT_INT);
    } else {
        acl_tell(a->front, a->port);
        catalog_ask(a, decide_log, 1, &arg);
    }
}

/* ------------------------------------------------------------ looking */

static void whoami(struct ask *a) { reply_bulk(&a->reply, a->session->user->name); }

static void users(struct ask *a)
{
    const struct acl *acl = &a->front->acl;
    reply_array(&a->reply, acl->n);
    for (uint32_t i = 0; i < acl->n; i++)
        reply_bulk(&a->reply, acl->users[i]->name);
}

static void list(struct ask *a)
{
    const struct acl *acl = &a->front->acl;
    reply_array(&a->reply, acl->n);
    for (uint32_t i = 0; i < acl->n; i++) {
        struct buf line = {0};
        buf_put_str(&line, "user ");
        buf_put_bytes(&line, acl->users[i]->name);
        buf_put_u8(&line, ' ');
        acl_user_describe(acl->users[i], &line);
        reply_buf(&a->reply, &line);
    }
}

static void reply_selector(struct reply *r, const struct acl_selector *s)
{
    struct buf commands = {0}, keys = {0}, channels = {0};
    acl_selector_commands(s, &commands);
    acl_selector_keys(s, &keys);
    acl_selector_channels(s, &channels);
    reply_bulk_str(r, "commands");
    reply_buf(r, &commands);
    reply_bulk_str(r, "keys");
    reply_buf(r, &keys);
    reply_bulk_str(r, "channels");
    reply_buf(r, &channels);
}

static void reply_flags(struct reply *r, const struct acl_user *u)
{
    reply_set(r, 1u + u->nopass + (u->sanitize != ACL_SANITIZE_UNSET));
    reply_bulk_str(r, u->on ? "on" : "off");
    if (u->nopass)
        reply_bulk_str(r, "nopass");
    if (u->sanitize != ACL_SANITIZE_UNSET)
        reply_bulk_str(r,
                       u->sanitize == ACL_SANITIZE ? "sanitize-payload" : "skip-sanitize-payload");
}

static void getuser(struct ask *a)
{
    struct reply *r = &a->reply;
    const struct acl_user *u = acl_find(a->front, a->argv[2]);
    if (u == NULL) {
        reply_nil(r);
        return;
    }
    reply_map(r, 6);
    reply_bulk_str(r, "flags");
    reply_flags(r, u);
    reply_bulk_str(r, "passwords");
    reply_array(r, u->hashes.n);
    for (uint32_t i = 0; i < u->hashes.n; i++)
        reply_bulk(r, u->hashes.at[i]);
    reply_selector(r, &u->root);
    reply_bulk_str(r, "selectors");
    reply_array(r, u->further_n);
    for (uint32_t i = 0; i < u->further_n; i++) {
        reply_map(r, 3);
        reply_selector(r, &u->further[i]);
    }
}

static void cat_all(struct ask *a)
{
    reply_array(&a->reply, CAT_COUNT);
    for (unsigned i = 0; i < CAT_COUNT; i++)
        reply_bulk_str(&a->reply, category_name(i));
}

static void cat(struct ask *a)
{
    unsigned all, n = 0;
    const struct command *const *commands = command_all(&all);
    if (a->argc > 3) {
        reply_wrong_form(a);
        return;
    }
    if (a->argc == 2) {
        cat_all(a);
        return;
    }
    uint32_t category = category_find(a->argv[2]);
    if (category == 0) {
        reply_errorf(&a->reply, "ERR Unknown category '%.*s'", shown(a->argv[2]),
                     (const char *)a->argv[2].p);
        return;
    }
    for (unsigned i = 0; i < all; i++)
        n += (command_facts(commands[i]).categories & category) != 0;
    reply_array(&a->reply, n);
    for (unsigned i = 0; i < all; i++)
        if (command_facts(commands[i]).categories & category)
            reply_bulk_str(&a->reply, commands[i]->name);
}

#define PASS_BITS 256
#define PASS_BITS_MAX 4096

static void genpass(struct ask *a)
{
    int64_t bits = PASS_BITS;
    uint8_t random[PASS_BITS_MAX / 8];
    struct buf text = {0};
    if (a->argc > 3) {
        reply_wrong_form(a);
        return;
    }
    if (a->argc == 3 && !num_parse_i64(a->argv[2], &bits)) {
        reply_error(&a->reply, ERR_NOT_INT);
        return;
    }
    if (bits <= 0 || bits > PASS_BITS_MAX) {
        reply_error(&a->reply, "ERR ACL GENPASS argument must be the number of bits for the output "
                               "password, a positive number up to 4096");
        return;
    }
    size_t digits = (size_t)(bits + 3) / 4;
    a->port->ops->random(a->port, random, sizeof random);
    for (size_t i = 0; i < digits; i++)
        buf_putf(&text, "%x", random[i / 2] >> (i % 2 ? 0 : 4) & 15);
    reply_buf(&a->reply, &text);
}

/* ------------------------------------------------------------ DRYRUN */

static void dryrun_reply(struct ask *a, struct acl_verdict v, const struct command *c)
{
    struct buf text = {0};
    buf_put_str(&text, "This user has no permissions to ");
    if (v.denial == ACL_DENIED_COMMAND) {
        buf_putf(&text, "run the '%s' command", c->name);
    } else {
        buf_put_str(&text, "access the '");
        buf_put_bytes(&text, a->argv[3 + v.at]);
        buf_putf(&text, "' %s", v.denial == ACL_DENIED_KEY ? "key" : "channel");
    }
    reply_buf(&a->reply, &text);
}

static void dryrun(struct ask *a)
{
    const struct acl_user *u = acl_find(a->front, a->argv[2]);
    uint32_t argc = a->argc - 3;
    const struct bytes *argv = a->argv + 3;
    const struct command *c = command_resolve(argc, argv);
    if (u == NULL) {
        reply_errorf(&a->reply, "ERR User '%.*s' not found", shown(a->argv[2]),
                     (const char *)a->argv[2].p);
    } else if (c == NULL || ((c->flags & CMD_CONTAINER) && argc > 1)) {
        reply_errorf(&a->reply, "ERR Command '%.*s' not found", shown(argv[0]),
                     (const char *)argv[0].p);
    } else if (!command_arity_ok(c, argc)) {
        reply_wrong_arguments(a, c->name);
    } else {
        struct acl_verdict v = acl_check(u, c, argc, argv);
        if (v.denial == ACL_ALLOWED)
            reply_ok(&a->reply);
        else
            dryrun_reply(a, v, c);
    }
}

/* ------------------------------------------------------------ LOAD, SAVE, HELP */

static void no_file(struct ask *a)
{
    reply_error(&a->reply,
                "ERR This Redis instance is not configured to use an ACL file: users live in the "
                "database and replicate to all its regions. Use ACL SETUSER and ACL DELUSER.");
}

static void help(struct ask *a)
{
    static const char *const lines[] = {
        "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CAT [<category>]",
        "    List the commands of <category>, or all categories.",
        "DELUSER <username> [<username> ...]",
        "    Delete users, in all regions, and close their connections.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Tell whether the user may run the command, without running it.",
        "GETUSER <username>",
        "    Show a user's rules.",
        "GENPASS [<bits>]",
        "    Make a random password of 256 bits, or of so many.",
        "LIST",
        "    Show all users as rules.",
        "LOG [<count> | RESET]",
        "    Show what was refused lately, or forget it.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Create or change a user, in all regions.",
        "USERS",
        "    List the users' names.",
        "WHOAMI",
        "    Return the name of this connection's user.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_acl_commands[] = {
    {"acl|cat", cat, 0},
    {"acl|deluser", deluser, SESSION_ALONE},
    {"acl|dryrun", dryrun, 0},
    {"acl|genpass", genpass, 0},
    {"acl|getuser", getuser, 0},
    {"acl|help", help, 0},
    {"acl|list", list, 0},
    {"acl|load", no_file, 0},
    {"acl|log", log_entries, SESSION_ALONE},
    {"acl|save", no_file, 0},
    {"acl|setuser", setuser, SESSION_ALONE},
    {"acl|users", users, 0},
    {"acl|whoami", whoami, 0},
    {NULL, NULL, 0},
};
