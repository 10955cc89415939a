/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_NUM_H
#define MERIDIAN_BASE_NUM_H

#include "base/bytes.h"

/* Numbers as Redis reads and writes them. */
#define NUM_TEXT_MAX                                                                               \
    400 /* the longest text num_format_* writes, a long double in %f form included */

/* Strict: optional '-', no leading zeros or blanks, the whole range of int64 (Redis' string2ll). */
bool num_parse_i64(struct bytes s, int64_t *out);
size_t num_format_i64(char *out, int64_t v);
size_t num_format_u64(char *out, uint64_t v);
/* strtod over the whole text, no blanks, no NaN; accepts inf, +inf, -inf in any case (Redis'
 * getDoubleFromObject). */
bool num_parse_double(struct bytes s, double *out);
/* The shortest text that reads back as the same finite number, as Redis replies it since 7.2: 1.1,
 * 3e+17, 1.5e-7; "inf", "-inf", "nan". */
size_t num_format_shortest(char *out, double v);
/* A score's text: integers up to 2^62 by their digits, "inf", "-inf", "nan", "-0", otherwise
 * the shortest. */
size_t num_format_double(char *out, double v);
/* strtold over the whole text, no blanks, no NaN (Redis' string2ld). */
bool num_parse_ld(struct bytes s, long double *out);
/* INCRBYFLOAT's text: "%.17Lf" without trailing zeros, "-0" becomes "0" (Redis' LD_STR_HUMAN). */
size_t num_format_ld(char *out, long double v);

#endif
