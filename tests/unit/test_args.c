/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/args.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct values {
    bool verbose;
    const char *host;
    uint64_t port;
    const char *rest[2];
};

static struct args make(struct values *v, struct arg table[3])
{
    *v = (struct values){.host = "here", .port = 7};
    table[0] = (struct arg){"verbose", NULL, "say more", ARG_FLAG, &v->verbose, 0, 0};
    table[1] = (struct arg){"host", "HOST", "where", ARG_TEXT, &v->host, 0, 10};
    table[2] = (struct arg){"port", "PORT", "which", ARG_UINT, &v->port, 1, 65535};
    return (struct args){.command = "x",
                         .usage = "[flags] FILE...",
                         .about = "Does it.",
                         .at = table,
                         .n = 3,
                         .rest = v->rest,
                         .rest_max = 2};
}

/* Parses a line split at blanks; the text is NUL-terminated. */
static enum args_result parse(struct args *a, const char *line, struct buf *text)
{
    static char copy[256];
    static char command[] = "x";
    char *argv[16] = {command};
    int n = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *s = strtok(copy, " "); s != NULL; s = strtok(NULL, " "))
        argv[n++] = s;
    buf_clear(text);
    enum args_result r = args_parse(a, n, argv, text);
    buf_put_u8(text, 0);
    return r;
}

Test(args, takes_both_forms_and_the_rest)
{
    struct values v;
    struct arg table[3];
    struct args a = make(&v, table);
    struct buf text = {0};
    cr_assert_eq(parse(&a, "--port 80 one --host=there --verbose -- --two", &text), ARGS_OK);
    cr_assert_eq(v.port, 80);
    cr_assert_str_eq(v.host, "there");
    cr_assert(v.verbose);
    cr_assert_eq(a.rest_n, 2);
    cr_assert_str_eq(v.rest[0], "one");
    cr_assert_str_eq(v.rest[1], "--two");
    buf_deinit(&text);
}

Test(args, names_what_is_wrong_and_where_help_is)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"--prot 80", "--prot: no such flag"},
        {"--port 0", "--port: '0' is not a number from 1 to 65535"},
        {"--port 65536", "'65536' is not a number"},
        {"--port 8o", "'8o' is not a number"},
        {"--port=-1", "'-1' is not a number"},
        {"--port", "--port: needs a value (PORT)"},
        {"--host=", "--host: needs a value (HOST)"},
        {"--host 01234567890", "--host: longer than 10 characters"},
        {"--verbose=maybe", "--verbose: 'maybe' is neither yes nor no"},
        {"a b c", "'c': too many arguments"},
    };
    struct buf text = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct values v;
        struct arg table[3];
        struct args a = make(&v, table);
        cr_assert_eq(parse(&a, cases[i].line, &text), ARGS_BAD, "%s", cases[i].line);
        cr_assert(strstr((char *)text.p, cases[i].says), "%s -> %s", cases[i].line, (char *)text.p);
        cr_assert(strstr((char *)text.p, "meridian x --help"));
    }
    buf_deinit(&text);
}

Test(args, help_lists_every_flag)
{
    struct values v;
    struct arg table[3];
    struct args a = make(&v, table);
    struct buf text = {0};
    cr_assert_eq(parse(&a, "--port 80 --help", &text), ARGS_HELP);
    cr_assert(strstr((char *)text.p, "usage: meridian x [flags] FILE..."));
    cr_assert(strstr((char *)text.p, "--verbose"));
    cr_assert(strstr((char *)text.p, "--host HOST"));
    cr_assert(strstr((char *)text.p, "--help"));
    buf_deinit(&text);
}

static enum args_result parse_file(struct args *a, const char *content, char **keep,
                                   struct buf *text)
{
    *keep = mem_strdup(content);
    buf_clear(text);
    enum args_result r = args_parse_file(a, "m.conf", *keep, text);
    buf_put_u8(text, 0);
    return r;
}

Test(args, a_file_holds_the_same_settings)
{
    struct values v;
    struct arg table[3];
    struct args a = make(&v, table);
    struct buf text = {0};
    char *keep;
    cr_assert_eq(
        parse_file(&a, "# comment\n\n  port\t 99 \r\nverbose yes\nhost there", &keep, &text),
        ARGS_OK);
    cr_assert_eq(v.port, 99);
    cr_assert(v.verbose);
    cr_assert_str_eq(v.host, "there");
    mem_free(keep);
    buf_deinit(&text);
}

Test(args, a_bad_line_is_named_with_its_number)
{
    static const struct {
        const char *content, *says;
    } cases[] = {
        {"port 80\nprot 90\n", "m.conf:2: prot: no such setting"},
        {"\n\nport many\n", "m.conf:3: port: 'many' is not a number"},
        {"port", "m.conf:1: port: needs a value (PORT)"},
        {"verbose\n", "m.conf:1: verbose: needs a value (yes or no)"},
    };
    struct buf text = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct values v;
        struct arg table[3];
        struct args a = make(&v, table);
        char *keep;
        cr_assert_eq(parse_file(&a, cases[i].content, &keep, &text), ARGS_BAD);
        cr_assert(strstr((char *)text.p, cases[i].says), "%s", (char *)text.p);
        mem_free(keep);
    }
    buf_deinit(&text);
}
