/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_FUZZ_FUZZ_H
#define MERIDIAN_TESTS_FUZZ_FUZZ_H

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

/* libFuzzer's entry: tries one input; whatever is wrong ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert, but on in every build. */
#define must(holds) ((holds) ? (void)0 : must_failed(#holds, __FILE__, __LINE__))

static inline void must_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: ERROR: not so: %s\n", file, line, what);
    abort();
}

/* The input as a source of small choices, then of bytes: 0 and nothing when it is used up. */
static inline uint8_t fuzz_byte(struct bytes *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static inline struct bytes fuzz_take(struct bytes *in, size_t n)
{
    struct bytes s = bytes_of(in->p, n < in->n ? n : in->n);
    in->p += s.n;
    in->n -= s.n;
    return s;
}

#endif
