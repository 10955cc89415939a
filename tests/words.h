/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_WORDS_H
#define MERIDIAN_TESTS_WORDS_H

#include "shard/command.h"
#include "shard/shard.h"

#include <string.h>

/* Commands as words with one blank between them, run on a shard alone: for unit tests and fuzz
 * targets. */
#define WORDS_MAX 16u

/* So many milliseconds after a beginning. */
static inline struct moment words_at(unsigned ms)
{
    return (struct moment){.wall_ms = STAMP_EPOCH_MS + 1000000 + ms, .mono_us = 1000u * ms};
}

/* Appends the reply to `out`. False: there is no such command, or it has too many words. */
static inline bool words_run(struct shard *s, struct moment now, const char *words, struct buf *out)
{
    struct bytes argv[WORDS_MAX];
    uint32_t argc = 0;
    struct reply reply = {.out = out, .resp = 2};
    for (const char *p = words; *p != 0 && argc < WORDS_MAX; argc++) {
        size_t n = strcspn(p, " ");
        argv[argc] = bytes_of(p, n);
        p += n + (p[n] == ' ');
        if (*p != 0 && argc + 1 == WORDS_MAX)
            return false;
    }
    struct call call = {.shard = s,
                        .command = argc > 0 ? command_find(argv[0]) : NULL,
                        .argc = argc,
                        .argv = argv,
                        .reply = &reply,
                        .now = now};
    if (call.command == NULL)
        return false;
    shard_execute(s, &call);
    return true;
}

#endif
