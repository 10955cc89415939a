/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_BATCH_H
#define MERIDIAN_MIGRATE_BATCH_H

#include "base/buf.h"
#include "migrate/mark.h"

/*
 * Commands of a source's stream on their way to the target, and the round of requests they become:
 *
 *   in one transaction:  apart.. MULTI command.. SET mark EXEC
 *   loosely (a target whose shards a transaction cannot span):  apart.. command.. SET mark
 *
 * `apart` are commands that no transaction takes (FUNCTION LOAD); they come first, and whoever
 * sends a round twice runs them twice.
 */
#define BATCH_BYTES (512u << 10)
#define BATCH_COMMANDS 8192u
/* A transaction of the source is not divided below this, which the target's MULTI holds easily. */
#define BATCH_WHOLE_BYTES (128u << 20)
#define BATCH_WHOLE_COMMANDS 500000u

/* Zero-initialised is empty. */
struct batch {
    struct buf apart, commands; /* owned: requests */
    unsigned aparts, count;
    bool open;         /* inside a transaction of the source */
    uint64_t offset;   /* behind what it holds, or was passed over */
    int64_t selected;  /* the stream's database there */
    uint64_t since_us; /* when its first command came; 0 none */
};

void batch_deinit(struct batch *b);
/* Empties it; `open` stays. */
void batch_clear(struct batch *b);
void batch_add(struct batch *b, bool apart, uint32_t argc, const struct bytes *argv);
bool batch_is_empty(const struct batch *b);
/* No more should be put into it; of an open one: it has to be divided. */
bool batch_is_full(const struct batch *b);

enum batch_part { BATCH_APART, BATCH_MULTI, BATCH_QUEUED, BATCH_COMMAND, BATCH_MARK, BATCH_EXEC };

struct batch_round {
    struct buf requests; /* owned */
    unsigned replies;
    unsigned aparts, count;
    bool loose;
};

void batch_round_deinit(struct batch_round *r);
/* Replaces what `r` held. */
void batch_make_round(const struct batch *b, const struct mark *m, bool loose,
                      struct batch_round *r);
/* Takes the round's commands (not aparts) at these n positions, ascending, out of it: the target
 * does not know them. The mark stays. */
void batch_round_without(struct batch_round *r, const uint32_t *at, size_t n);
/* What reply i of the round answers; *command: which of the round's commands (or aparts). */
enum batch_part batch_round_part(const struct batch_round *r, unsigned i, unsigned *command);
/* Writes the words of the round's command (not apart) as "SET key ...", cut to size. */
void batch_round_name(const struct batch_round *r, bool apart, unsigned command, char *out,
                      size_t size);

#endif
