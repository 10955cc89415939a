/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/syntax.h"
#include "shard/command_facts.h"

#include <criterion/criterion.h>

#include "base/mem.h"

/* ------------------------------------------------------------ the table */

Test(command_table, every_row_is_found_by_its_full_name_and_has_its_number)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    cr_assert_eq(n, command_count());
    for (unsigned i = 0; i < n; i++) {
        cr_assert_eq(command_find_full(bytes_str(all[i]->name)), all[i], "%s", all[i]->name);
        cr_assert_eq(command_number(all[i]), i, "%s", all[i]->name);
        cr_assert_neq(command_find(bytes_str(all[i]->name)) == all[i], command_is_sub(all[i]), "%s",
                      all[i]->name);
        cr_assert(i == 0 || strcmp(all[i - 1]->name, all[i]->name) < 0, "%s", all[i]->name);
    }
}

Test(command_table, containers_and_subcommands_belong_together)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    for (unsigned i = 0; i < n; i++) {
        const char *bar = strchr(all[i]->name, '|');
        if (bar == NULL)
            continue;
        const struct command *c =
            command_find(bytes_of(all[i]->name, (size_t)(bar - all[i]->name)));
        cr_assert_not_null(c, "%s has no container", all[i]->name);
        cr_assert(c->flags & CMD_CONTAINER, "%s is no container", c->name);
        cr_assert(all[i]->where == AT_SESSION || all[i]->run != NULL, "%s", all[i]->name);
    }
}

Test(command_table, calls_resolve_to_subcommands_whatever_the_case)
{
    struct bytes argv[] = {bytes_str("CONFIG"), bytes_str("gEt"), bytes_str("x")};
    cr_assert_str_eq(command_resolve(3, argv)->name, "config|get");
    cr_assert_str_eq(command_resolve(1, argv)->name, "config");
    argv[1] = bytes_str("nonesuch");
    cr_assert_str_eq(command_resolve(3, argv)->name, "config");
    argv[0] = bytes_str("config|get");
    cr_assert_null(command_resolve(1, argv));
    argv[0] = bytes_str("get");
    cr_assert_str_eq(command_resolve(2, argv)->name, "get");
}

/* What rows say twice must agree: the proxy acts by the row, clients read the facts. */
Test(command_table, rows_agree_with_what_redis_says)
{
    static const struct {
        uint32_t row, info;
    } map[] = {{CMD_WRITE, INFO_WRITE},
               {CMD_READONLY, INFO_READONLY},
               {CMD_DENYOOM, INFO_DENYOOM},
               {CMD_NO_AUTH, INFO_NO_AUTH},
               {CMD_BLOCKING, INFO_BLOCKING}};
    unsigned n;
    const struct command *const *all = command_all(&n);
    for (unsigned i = 0; i < n; i++) {
        const struct command_facts *f = command_known_facts(all[i]);
        if (!f->known || f->flags == 0 || (all[i]->flags & CMD_CONTAINER))
            continue;
        for (size_t k = 0; k < sizeof map / sizeof map[0]; k++)
            cr_expect_eq((all[i]->flags & map[k].row) != 0, (f->flags & map[k].info) != 0,
                         "%s: flag %zu", all[i]->name, k);
    }
}

Test(command_table, every_syntax_can_be_read)
{
    unsigned n;
    const struct command *const *all = command_all(&n);
    struct syntax s;
    for (unsigned i = 0; i < n; i++)
        cr_expect(all[i]->args == NULL || syntax_read(&s, all[i]->args), "%s: %s", all[i]->name,
                  all[i]->args);
}

Test(command_table, categories_have_names)
{
    cr_assert_eq(category_find(bytes_str("SortedSet")), CAT_SORTEDSET);
    cr_assert_eq(category_find(bytes_str("nonesuch")), 0);
    cr_assert_str_eq(category_name(CAT_NUMBER_SCRIPTING), "scripting");
}

/* ------------------------------------------------------------ keys */

static unsigned uses(struct key_use *out, const char *text)
{
    struct bytes argv[16];
    uint32_t argc = 0;
    for (const char *p = text; *p != 0; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        argv[argc++] = bytes_of(p, n);
        p += n;
    }
    return command_key_uses(command_resolve(argc, argv), argc, argv, out, 16);
}

Test(command_table, tells_what_is_done_with_each_key)
{
    struct key_use k[16];
    cr_assert_eq(uses(k, "set a b"), 1);
    cr_assert_eq(k[0].flags, KEY_OW | KEY_UPDATE);
    cr_assert_eq(uses(k, "set a b get"), 1);
    cr_assert_eq(k[0].flags, KEY_RW | KEY_ACCESS | KEY_UPDATE);
    cr_assert_eq(uses(k, "mset a 1 b 2"), 2);
    cr_assert_eq(k[1].at, 3);
    cr_assert_eq(uses(k, "zunionstore d 2 a b"), 3);
    cr_assert_eq(k[0].flags, KEY_OW | KEY_UPDATE);
    cr_assert_eq(k[2].at, 4);
    cr_assert_eq(k[2].flags, KEY_RO | KEY_ACCESS);
    cr_assert_eq(uses(k, "sintercard 3 a b"), 0);
    cr_assert_eq(uses(k, "ping"), 0);
}

/* ------------------------------------------------------------ syntax */

static void show(struct buf *out, const struct syntax *s, uint16_t first)
{
    static const char *const marks[] = {"t", "v", "one", "all"};
    for (uint16_t i = first; i != SYNTAX_NONE; i = s->args[i].next) {
        const struct syntax_arg *a = &s->args[i];
        if (i != first)
            buf_put_str(out, " ");
        if (a->token.p != NULL)
            buf_putf(out, "%.*s:", (int)a->token.n, (const char *)a->token.p);
        if (a->type == SYNTAX_VALUE)
            buf_put_bytes(out, a->name);
        else
            buf_put_str(out, marks[a->type]);
        buf_putf(out, "%s%s%s", a->optional ? "?" : "", a->multiple ? "*" : "",
                 a->multiple_token ? "+" : "");
        if (a->first != SYNTAX_NONE && a->type != SYNTAX_VALUE && a->type != SYNTAX_TOKEN) {
            buf_put_str(out, "(");
            show(out, s, a->first);
            buf_put_str(out, ")");
        }
    }
}

static void reads(const char *text, const char *want)
{
    struct syntax s;
    struct buf out = {0};
    cr_assert(syntax_read(&s, text), "%s", text);
    show(&out, &s, s.first);
    cr_assert(bytes_is(buf_bytes(&out), want), "%s\n%.*s\n%s", text, (int)buf_len(&out),
              (const char *)buf_bytes(&out).p, want);
    buf_deinit(&out);
}

Test(syntax, reads_arguments_tokens_groups_and_repetitions)
{
    reads("", "");
    reads("key value", "key value");
    reads("key [key ...]", "key*");
    reads("key value [key value ...]", "all*(key value)");
    reads("[NX|XX]", "one?(NX:t XX:t)");
    reads("[EX seconds|KEEPTTL]", "one?(EX:seconds KEEPTTL:t)");
    reads("[COUNT count [ANY]]", "all?(COUNT:count ANY:t?)");
    reads("[LIMIT offset count]", "LIMIT:all?(offset count)");
    reads("[GET pattern [GET pattern ...]]", "GET:pattern?*+");
    reads("[ID client-id [client-id ...]]", "ID:client-id?*");
    reads("[GET encoding offset [GET encoding offset ...]]", "GET:all?*+(encoding offset)");
    reads("STREAMS key [key ...] id [id ...]", "STREAMS:all(key* id*)");
    reads("<MAXLEN|MINID> [=|~] threshold", "one(MAXLEN:t MINID:t) one?(=:t ~:t) threshold");
    reads("[FILTERBY <MODULE name|PATTERN pattern>]", "FILTERBY:one?(MODULE:name PATTERN:pattern)");
    reads("<a|[B c]> [...]", "one*(a B:c?)");
}

Test(syntax, refuses_what_is_not_well_formed)
{
    static const char *const bad[] = {"[a", "a]", "<a", "[]", "a|", "[key ...]", "<a]", "a >"};
    struct syntax s;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(syntax_read(&s, bad[i]), "%s", bad[i]);
    char deep[64];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = 0;
    cr_expect_not(syntax_read(&s, deep));
    struct buf many = {0};
    for (unsigned i = 0; i <= SYNTAX_MAX; i++)
        buf_put_str(&many, "a ");
    buf_put(&many, "", 1);
    cr_expect_not(syntax_read(&s, (const char *)buf_bytes(&many).p));
    buf_deinit(&many);
}
