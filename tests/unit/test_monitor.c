/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void expect(struct client *c, const char *ask, const char *want)
{
    char line[512];
    snprintf(line, sizeof line, "%s\r\n", ask);
    const char *got = client_ask(c, line);
    cr_expect_str_eq(got, want, "%s: got %s", ask, got);
}

/* The lines without their time and address: `"set" "k" "v"`, and `lua "set" ...` of scripts. */
static void shows(struct client *monitor, const char *want)
{
    char flat[4096];
    size_t n = 0;
    for (const char *p = client_take(monitor); *p != 0;) {
        const char *end = strstr(p, "\r\n"), *text = strchr(p, ']');
        long long seconds;
        int us;
        cr_assert_not_null(end);
        cr_assert_eq(sscanf(p, "+%lld.%06d [0 ", &seconds, &us), 2, "%s", p);
        cr_assert(text != NULL && text < end, "%s", p);
        if (strncmp(text - 4, " lua", 4) == 0)
            n += (size_t)snprintf(flat + n, sizeof flat - n, "lua");
        else
            cr_assert_not_null(memchr(p, ':', (size_t)(text - p)), "%s", p);
        n += (size_t)snprintf(flat + n, sizeof flat - n, "%.*s;", (int)(end - text - 1), text + 1);
        p = end + 2;
    }
    flat[n] = 0;
    cr_expect_str_eq(flat, want, "got %s", flat);
}

static const struct {
    unsigned workers, shards;
} shapes[] = {{1, 1}, {2, 1}, {3, 4}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

Test(monitor, shows_the_commands_of_all_workers)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = serve_new(
            &(struct serve_opts){.workers = shapes[i].workers, .shards = shapes[i].shards});
        struct client *m = client_new(s);
        expect(m, "monitor", "+OK\r\n");
        for (unsigned k = 0; k < 4; k++) {
            struct client *c = client_new(s);
            (void)client_ask(c, "set k \"a \\\"b\\\" \\n\\x01\"\r\nget k\r\nnosuch\r\nget\r\n");
            shows(m, " \"set\" \"k\" \"a \\\"b\\\" \\n\\x01\"; \"get\" \"k\";");
        }
        serve_free(s);
    }
}

Test(monitor, hides_passwords_and_administration)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 1, .shards = 1});
    struct client *m = client_new(s), *c = client_new(s);
    expect(m, "monitor", "+OK\r\n");
    (void)client_ask(c, "auth secret\r\nauth me secret\r\nhello 2 auth me secret setname x\r\n"
                        "config get port\r\nmonitor\r\n");
    shows(m, " \"auth\" \"(redacted)\"; \"auth\" \"(redacted)\" \"(redacted)\"; \"hello\" \"2\" "
             "\"auth\" \"(redacted)\" \"(redacted)\" \"setname\" \"x\";");
    serve_free(s);
}

Test(monitor, transactions_and_scripts_in_order)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct serve *s = serve_new(
            &(struct serve_opts){.workers = shapes[i].workers, .shards = shapes[i].shards});
        struct client *m = client_new(s), *c = client_new(s);
        expect(m, "monitor", "+OK\r\n");
        (void)client_ask(c, "multi\r\nset k 1\r\nping\r\nexec\r\n");
        shows(m, " \"multi\"; \"set\" \"k\" \"1\"; \"ping\"; \"exec\";");
        (void)client_ask(c, "multi\r\nnope\r\nexec\r\n");
        shows(m, " \"multi\"; \"exec\";");
        (void)client_ask(c, "eval \"redis.call('set', KEYS[1], 'v')\" 1 k\r\n");
        shows(m, " \"eval\" \"redis.call('set', KEYS[1], 'v')\" \"1\" \"k\";lua \"set\" \"k\" "
                 "\"v\";");
        serve_free(s);
    }
}

Test(monitor, ends_with_reset)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 2, .shards = 1});
    struct client *m = client_new(s), *c = client_new(s);
    expect(m, "monitor", "+OK\r\n");
    (void)client_ask(m, "reset\r\n");
    (void)client_ask(c, "set k v\r\n");
    cr_expect_str_empty(client_take(m));
    serve_free(s);
}
