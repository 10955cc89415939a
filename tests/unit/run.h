/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_UNIT_RUN_H
#define MERIDIAN_TESTS_UNIT_RUN_H

#include "script/engine.h"
#include "shard/shard.h"

#include <criterion/criterion.h>

/*
 * Running command lines on shards, without sessions: for the unit tests of commands and of the
 * shard. Time stands still but for run_wait: each command is one millisecond after the one before.
 */
#define RUN_PARTITIONS 4u
#define RUN_PARTITIONS_ALL 5u /* with the hidden one */
#define RUN_REGIONS 4u
struct run {
    struct shard *shard;
    struct scripts *scripts;
    struct engine *engine;
    struct moment now;
    uint32_t region;
    uint8_t resp;    /* 2 */
    struct buf text; /* of the last reply */
    /* By region and partition: what it had seen, learnt from its own frames as they were applied */
    struct context known[RUN_REGIONS + 1][RUN_PARTITIONS_ALL];
};

/* Region 1..63; geo: it has peers. `run_start_with` fills what the options leave out. */
void run_start(struct run *r, uint32_t region, bool geo);
void run_start_with(struct run *r, const struct shard_opts *o);
void run_stop(struct run *r);
void run_wait(struct run *r, int64_t ms); /* time passes, upkeep runs */

/* Runs a line of words ("..." holds blanks and \n \r \t \" \\ \xHH) and returns the reply: as RESP
 * bytes, or as text: `OK`, `nil`, `5`, `[a b nil]`, `error ERR ...`. Valid until the next one. */
const char *run_raw(struct run *r, const char *line);
const char *run(struct run *r, const char *line);
/* Runs and compares the text. */
#define expect(r, line, wanted)                                                                    \
    do {                                                                                           \
        const char *got_ = run(r, line);                                                           \
        cr_expect(strcmp(got_, wanted) == 0, "%s\n  gives   %s\n  instead %s", line, got_,         \
                  wanted);                                                                         \
    } while (0)
#define expect_raw(r, line, wanted)                                                                \
    do {                                                                                           \
        const char *got_ = run_raw(r, line);                                                       \
        cr_expect(strcmp(got_, wanted) == 0, "%s\n  gives   %s\n  instead %s", line, got_,         \
                  wanted);                                                                         \
    } while (0)

/* Closes `from`'s frames and lets `to` take all that is new in its log; frames that wait for causes
 * are kept by nobody: true when none had to. */
bool run_ship(struct run *from, struct run *to);
/* `to` joins the state of one of `from`'s partitions. run_ship does where a patch lacks its base.
 */
void run_join(struct run *from, struct run *to, uint32_t partition);
/* Both ways until nothing is new; then contexts, digests and keys must be equal. */
void run_sync(struct run **all, unsigned n);
/* Notes that `to` has joined a state of region `from` with that context. */
void run_learn(struct run *to, uint32_t from, uint32_t partition, const struct context *seen);
/* Compacts what is causally stable at each region, by what it has learnt in band. */
void run_stable(struct run **all, unsigned n);
/* A partition's keys with their shown values, one a line, sorted: to compare regions by. */
void run_dump(const struct run *r, struct buf *out);

#endif
