/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/num.h"

#include "base/mem.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------ integers */

bool num_parse_i64(struct bytes s, int64_t *out)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    size_t i = negative;
    if (s.n - i == 0 || s.n - i > 19)
        return false;
    if (s.p[i] == '0') { /* nothing may follow a leading zero, and "-0" is no integer */
        *out = 0;
        return s.n == 1;
    }
    uint64_t v = 0; /* 19 digits fit */
    for (; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';
        if (digit > 9)
            return false;
        v = v * 10 + digit;
    }
    if (v > (uint64_t)INT64_MAX + negative)
        return false;
    *out = (int64_t)(negative ? 0 - v : v);
    return true;
}

static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

static unsigned digits(uint64_t v)
{
    unsigned n = 1;
    for (;;) {
        if (v < 10)
            return n;
        if (v < 100)
            return n + 1;
        if (v < 1000)
            return n + 2;
        if (v < 10000)
            return n + 3;
        v /= 10000;
        n += 4;
    }
}

size_t num_format_u64(char *out, uint64_t v)
{
    unsigned n = digits(v);
    char *p = out + n;
    while (v >= 100) {
        p -= 2;
        memcpy(p, pairs + 2 * (v % 100), 2);
        v /= 100;
    }
    if (v >= 10)
        memcpy(p - 2, pairs + 2 * v, 2);
    else
        p[-1] = (char)('0' + v);
    return n;
}

size_t num_format_i64(char *out, int64_t v)
{
    if (v >= 0)
        return num_format_u64(out, (uint64_t)v);
    *out = '-';
    return 1 + num_format_u64(out + 1, 0 - (uint64_t)v);
}

/* ------------------------------------------------------------ reals */

/*
 * Digits with at most one point, nothing else: up to 15 digits and a power of ten up to 10^15 are
 * exact doubles, and so one division rounds correctly (Clinger 1990). What is written otherwise is
 * left to strtod.
 */
static bool parse_plain(struct bytes s, double *out)
{
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = s.n > 0 && s.p[0] == '-';
    size_t i = negative, fraction = 0;
    if (s.n - i == 0 || s.n - i > 15 || (unsigned)s.p[i] - '0' > 9)
        return false;
    uint64_t v = 0;
    for (; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';
        if (digit <= 9) {
            v = v * 10 + digit;
        } else if (s.p[i] == '.' && fraction == 0 && i + 1 < s.n) {
            fraction = s.n - i - 1;
        } else {
            return false;
        }
    }
    double d = (double)v / powers[fraction];
    *out = negative ? -d : d;
    return true;
}

static bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool num_parse_double(struct bytes s, double *out)
{
    if (parse_plain(s, out))
        return true;
    if (s.n == 0 || is_space(s.p[0]))
        return false;
    char room[64], *text = s.n < sizeof room ? room : mem_alloc(s.n + 1), *end;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    errno = 0;
    double v = strtod(text, &end);
    /* Too large or too small for any double; a denormal one is in range, though strtod complains
     * about it as well. */
    bool out_of_range = errno == ERANGE && (isinf(v) || v == 0);
    bool ok = (size_t)(end - text) == s.n && !out_of_range && !isnan(v);
    if (text != room)
        mem_free(text);
    if (ok)
        *out = v;
    return ok;
}

/* Lays decimal digits d[0..n) with value 0.d0d1d2... * 10^point out: plainly where that is short,
 * else as 1.5e-7. */
static size_t lay_out(char *out, const char *d, int n, int point)
{
    char *o = out;
    if (point > 0 && point < n + 8 && point <= 21) {
        for (int i = 0; i < (point > n ? point : n); i++) {
            if (i == point)
                *o++ = '.';
            *o++ = i < n ? d[i] : '0';
        }
        return (size_t)(o - out);
    }
    if (point <= 0 && point > -6) {
        *o++ = '0';
        *o++ = '.';
        for (int i = point; i < 0; i++)
            *o++ = '0';
        memcpy(o, d, (size_t)n);
        return (size_t)(o - out) + (size_t)n;
    }
    *o++ = d[0];
    if (n > 1) {
        *o++ = '.';
        memcpy(o, d + 1, (size_t)n - 1);
        o += n - 1;
    }
    *o++ = 'e';
    *o++ = point > 0 ? '+' : '-';
    return (size_t)(o - out) + num_format_i64(o, point > 0 ? point - 1 : 1 - point);
}

/* What has no digits. 0: it has. */
static size_t format_unusual(char *out, bool nan, bool inf, bool negative)
{
    const char *text = nan ? "nan" : !inf ? "" : negative ? "-inf" : "inf";
    size_t n = strlen(text);
    memcpy(out, text, n);
    return n;
}

size_t num_format_shortest(char *out, double v)
{
    size_t unusual = format_unusual(out, isnan(v), isinf(v), v < 0);
    if (unusual > 0)
        return unusual;
    char text[40], digits[20];
    int precision =
        fabs(v) < DBL_MIN ? 0 : 14; /* 15 digits are right for most, denormals have fewer */
    do
        snprintf(text, sizeof text, "%.*e", precision, fabs(v));
    while (++precision < 17 && strtod(text, NULL) != fabs(v));
    int n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    int exponent = atoi(p + 1);
    size_t sign = signbit(v) ? 1 : 0;
    out[0] = '-';
    return sign + lay_out(out + sign, digits, n, exponent + 1);
}

size_t num_format_double(char *out, double v)
{
    size_t n = format_unusual(out, isnan(v), isinf(v), v < 0);
    if (n > 0)
        return n;
    if (v >= -4611686018427387904.0 && v <= 4611686018427387904.0) { /* Redis: LLONG_MAX / 2 */
        int64_t i = (int64_t)v;
        if ((double)i == v && (i != 0 || !signbit(v)))
            return num_format_i64(out, i);
    }
    return num_format_shortest(out, v);
}

/* Redis reads no longer text as a long double. */
#define LD_TEXT_MAX 5120

bool num_parse_ld(struct bytes s, long double *out)
{
    if (s.n == 0 || s.n >= LD_TEXT_MAX || is_space(s.p[0]))
        return false;
    char text[LD_TEXT_MAX], *end;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    errno = 0;
    long double v = strtold(text, &end);
    bool out_of_range = errno == ERANGE && (isinf(v) || v == 0);
    if ((size_t)(end - text) != s.n || out_of_range || isnan(v))
        return false;
    *out = v;
    return true;
}

/* Beyond this the %f form would not fit NUM_TEXT_MAX: 350 digits, the point, 17 digits. Redis
 * writes up to 4,932 digits there; ours is the same number in exponent form. */
#define LD_PLAIN_MAX 1e350L

size_t num_format_ld(char *out, long double v)
{
    size_t n = format_unusual(out, isnan(v), isinf(v), v < 0);
    if (n > 0)
        return n;
    if (v >= LD_PLAIN_MAX || v <= -LD_PLAIN_MAX)
        return (size_t)snprintf(out, NUM_TEXT_MAX, "%.21Lg", v);
    n = (size_t)snprintf(out, NUM_TEXT_MAX, "%.17Lf", v);
    while (out[n - 1] == '0') /* there is a point */
        n--;
    if (out[n - 1] == '.')
        n--;
    if (n == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        n = 1;
    }
    return n;
}
