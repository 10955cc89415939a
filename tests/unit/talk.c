/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/talk.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct serve *talk_serve(unsigned workers, unsigned shards)
{
    return serve_new(&(struct serve_opts){.workers = workers, .shards = shards});
}

void talk_same(const char *ask, const char *got, const char *want)
{
    char flat[4096];
    size_t n = 0;
    for (; *got != 0 && n + 1 < sizeof flat; got++)
        if (*got != '\r')
            flat[n++] = *got == '\n' ? ' ' : *got;
    flat[n] = 0;
    cr_expect_str_eq(flat, want, "%s: got %s", ask, flat);
}

void talk_expect(struct client *c, const char *ask, const char *want)
{
    char line[512];
    snprintf(line, sizeof line, "%s\r\n", ask);
    talk_same(ask, client_ask(c, line), want);
}

void talk_hears(struct client *c, const char *want) { talk_same("pushed", client_take(c), want); }
