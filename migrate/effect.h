/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_EFFECT_H
#define MERIDIAN_MIGRATE_EFFECT_H

#include "base/bytes.h"

/*
 * What a command of a source's stream means for one database that follows it. A source rewrites
 * what depends on chance or time before it sends it (SPOP comes as SREM, EXPIRE as PEXPIREAT, a
 * script as its effects), so most commands are passed on as they are.
 *
 *   NONE     nothing: another database's, PING, what only servers among themselves need
 *   PASS     to be run, as out->argv: as it came or rewritten (MOVE to another database is a DEL)
 *   APART    to be run, but not in a transaction; running it twice does no harm (FUNCTION, SCRIPT)
 *   BEGIN, END   MULTI and EXEC
 *   ASK      the source wants to know the offset (REPLCONF GETACK)
 *   RESYNC   changes the database by what the stream does not tell: only a new snapshot helps;
 * out->why BAD      malformed; out->why
 */
enum effect {
    EFFECT_NONE,
    EFFECT_PASS,
    EFFECT_APART,
    EFFECT_BEGIN,
    EFFECT_END,
    EFFECT_ASK,
    EFFECT_RESYNC,
    EFFECT_BAD
};

#define EFFECT_DB_MAX INT64_C(1000000)

struct effect_state {
    int64_t chosen;      /* which of the source's databases is followed */
    int64_t selected;    /* SELECT in the stream; -1: none yet */
    bool drop_field_ttl; /* deadlines of hashes' fields are left out and counted (`dropped`) */
    bool shared;         /* the target holds other sources' keys, too: FLUSHALL is a RESYNC */
};

#define EFFECT_ARGS_MAX 8u
struct effect_out {
    uint32_t argc;
    const struct bytes *argv;           /* the command's own, or `room` */
    struct bytes room[EFFECT_ARGS_MAX]; /* of a rewritten command */
    const char *why;
    bool other;   /* NONE: a change of another database was left out */
    bool dropped; /* NONE: a field's deadline was */
};

/* argc > 0. All bytes in *out are borrowed from the command. */
enum effect effect_of(struct effect_state *s, uint32_t argc, const struct bytes *argv,
                      struct effect_out *out);

#endif
