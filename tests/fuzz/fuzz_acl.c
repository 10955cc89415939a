/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/buf.h"
#include "base/mem.h"
#include "proxy/acl_user.h"
#include "tests/fuzz/fuzz.h"

/* The user's text makes the same user, as far as texts and checks can tell. */
static void check_text(const struct acl_user *u)
{
    struct buf text = {0}, again = {0};
    static const char *const calls[][4] = {
        {"get", "a"},       {"set", "a", "b", "get"}, {"config", "get", "x"},   {"select", "0"},
        {"copy", "a", "b"}, {"publish", "a", "m"},    {"psubscribe", "*", "a*"}};
    acl_user_describe(u, &text);
    struct acl_user *copy = acl_user_parse(u->name, buf_bytes(&text));
    must(copy != NULL);
    acl_user_describe(copy, &again);
    must(bytes_eq(buf_bytes(&text), buf_bytes(&again)));
    must(acl_user_is_free(u) == acl_user_is_free(copy));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct bytes argv[4];
        uint32_t argc = 0;
        for (; argc < 4 && calls[i][argc] != NULL; argc++)
            argv[argc] = bytes_str(calls[i][argc]);
        const struct command *c = command_resolve(argc, argv);
        struct acl_verdict x = acl_check(u, c, argc, argv), y = acl_check(copy, c, argc, argv);
        must(x.denial == y.denial && x.at == y.at && x.at < argc);
        must(!acl_user_is_free(u) || x.denial == ACL_ALLOWED);
    }
    acl_user_free(copy);
    buf_deinit(&text);
    buf_deinit(&again);
}

/* Rules, one a line; on an error nothing may have changed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size), argv[64];
    struct acl_user *u = acl_user_new(bytes_str("u"), false);
    struct acl_words rules = {0};
    uint32_t argc = 0, open;
    while (in.n > 0 && argc < 64) {
        const uint8_t *end = memchr(in.p, '\n', in.n);
        argv[argc] = fuzz_take(&in, end != NULL ? (size_t)(end - in.p) : in.n);
        (void)fuzz_byte(&in);
        argc++;
    }
    if (acl_rules_join(argc, argv, &rules, &open)) {
        for (uint32_t i = 0; i < rules.n; i++) {
            struct buf before = {0}, after = {0};
            acl_user_describe(u, &before);
            if (acl_user_rule(u, rules.at[i]) != ACL_FINE) {
                acl_user_describe(u, &after);
                must(bytes_eq(buf_bytes(&before), buf_bytes(&after)));
            }
            buf_deinit(&before);
            buf_deinit(&after);
        }
        check_text(u);
    } else {
        must(open < argc);
    }
    acl_user_free(acl_user_parse(bytes_str("u"), bytes_of(data, size)));
    acl_words_deinit(&rules);
    acl_user_free(u);
    return 0;
}
