/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/glob.h"

/*
 * Patterns of KEYS, SCAN, HSCAN ... (https://redis.io/docs/latest/commands/keys/). Iterative: on a
 * mismatch only the last star takes one byte more, which is enough, since an earlier star could
 * only reach what the last one reaches too.
 */

static uint8_t fold_case(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c; }

/* A byte of the pattern, as it is compared. */
static uint8_t at(struct bytes pattern, size_t i, bool nocase)
{
    return nocase ? fold_case(pattern.p[i]) : pattern.p[i];
}

/* Matches the class that begins behind '[' at *p against c; moves *p behind it. Unclosed classes
 * end with the pattern. */
static bool match_class(struct bytes pattern, size_t *p, uint8_t c, bool nocase)
{
    size_t i = *p;
    bool negated = i < pattern.n && pattern.p[i] == '^', hit = false;
    if (negated)
        i++;
    for (; i < pattern.n && pattern.p[i] != ']'; i++) {
        if (pattern.p[i] == '\\' && i + 1 < pattern.n) {
            hit |= at(pattern, ++i, nocase) == c;
        } else if (i + 2 < pattern.n && pattern.p[i + 1] == '-') {
            uint8_t from = at(pattern, i, nocase), to = at(pattern, i + 2, nocase);
            hit |= from <= to ? from <= c && c <= to : to <= c && c <= from;
            i += 2;
        } else {
            hit |= at(pattern, i, nocase) == c;
        }
    }
    *p = i < pattern.n ? i + 1 : i;
    return hit != negated;
}

/* One element of the pattern at *p (not a star) against c; moves *p behind it. */
static bool match_one(struct bytes pattern, size_t *p, uint8_t c, bool nocase)
{
    uint8_t what = at(pattern, (*p)++, nocase);
    if (what == '?')
        return true;
    if (what == '[')
        return match_class(pattern, p, c, nocase);
    if (what == '\\' && *p < pattern.n)
        what = at(pattern, (*p)++, nocase);
    return what == c;
}

static bool match(struct bytes pattern, struct bytes s, bool nocase)
{
    size_t p = 0, i = 0, star = SIZE_MAX, star_i = 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = ++p;
            star_i = i;
            if (p == pattern.n)
                return true;
            continue;
        }
        if (p < pattern.n && match_one(pattern, &p, at(s, i, nocase), nocase)) {
            i++;
            continue;
        }
        if (star == SIZE_MAX)
            return false;
        p = star;
        i = ++star_i;
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

bool glob_match(struct bytes pattern, struct bytes s) { return match(pattern, s, false); }

bool glob_match_nocase(struct bytes pattern, struct bytes s) { return match(pattern, s, true); }
