/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

#include <criterion/criterion.h>

static bool match(const char *pattern, const char *s)
{
    return glob_match(bytes_str(pattern), bytes_str(s));
}

Test(glob, stars_and_question_marks)
{
    cr_expect(match("*", "") && match("*", "anything") && match("", "") && !match("", "a"));
    cr_expect(match("h?llo", "hello") && !match("h?llo", "hllo"));
    cr_expect(match("h*llo", "hllo") && match("h*llo", "heeello") && !match("h*llo", "heeell"));
    cr_expect(match("*a*b*c", "xxaxxbxbxxc") && !match("*a*b*c", "xxaxxbxbxxcd"));
    cr_expect(match("a**", "a") && match("**b", "ab"));
}

Test(glob, classes)
{
    cr_expect(match("h[ae]llo", "hallo") && !match("h[ae]llo", "hillo"));
    cr_expect(match("h[^e]llo", "hallo") && !match("h[^e]llo", "hello"));
    cr_expect(match("h[a-b]llo", "hbllo") && match("h[b-a]llo", "hbllo"));
    cr_expect(!match("h[a-b]llo", "hcllo"));
    cr_expect(match("[\\]]", "]") && match("[a-", "a") && match("[a", "a") && !match("[a", "b"));
    cr_expect(!match("[", "a") && match("[^", "a") && !match("[]", "]"));
}

Test(glob, escapes)
{
    cr_expect(match("a\\*b", "a*b") && !match("a\\*b", "axb"));
    cr_expect(match("a\\", "a\\") && match("\\?", "?"));
}

Test(glob, patterns_made_to_hurt_end_soon)
{
    char s[20001], pattern[201];
    memset(s, 'a', sizeof s - 1);
    s[sizeof s - 1] = 0;
    for (size_t i = 0; i < sizeof pattern - 1; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[sizeof pattern - 2] = 'b';
    pattern[sizeof pattern - 1] = 0;
    cr_expect(!match(pattern, s));
}
