/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_REFUSAL_H
#define MERIDIAN_MANAGER_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

/* Why something is not done: a status in HTTP's vocabulary (every caller speaks it), a code that
 * programs compare and a sentence that says what to do. Zero-initialised: nothing is refused. */
struct refusal {
    int status;
    char code[64];
    char message[384];
};

/* Fills `why` and returns false, so that a check reads `return refuse(...)`. */
bool refuse(struct refusal *why, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Replaces all but printable ASCII by '?': texts of peers and users end up in JSON, logs and
 * terminals. */
void text_plain(char *s);

/* What an operation that takes time answers, exactly once: `why` is NULL when it was done; `uid` of
 * what it made. */
struct done {
    void (*fn)(void *arg, const struct refusal *why, uint32_t uid);
    void *arg;
};

static inline void done_call(struct done d, const struct refusal *why, uint32_t uid)
{
    if (d.fn != 0)
        d.fn(d.arg, why, uid);
}

#endif
