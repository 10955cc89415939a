/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_PSYNC_H
#define MERIDIAN_MIGRATE_PSYNC_H

#include "base/buf.h"
#include "base/resp.h"

/*
 * Reads what a Redis or Valkey server sends to a replica, pushed in any pieces. Knows no sockets
 * and sends nothing: whoever has the connection asks (AUTH, REPLCONF, PSYNC) and says how to go on.
 *
 *   replies -- "+FULLRESYNC id offset" --> psync_snapshot --> snapshot --> psync_commands
 *           -- "+CONTINUE [id]" ------------------------------------------> psync_commands
 *
 *   reply     any RESP value; a newline before it is a sign of life
 *   snapshot  newlines, then "$<bytes>\r\n" and that many, without a line end behind them; or
 *             "$EOF:<40 bytes>\r\n", bytes, and the same 40 bytes (sent without a file between)
 *   commands  arrays of bulk strings. Each byte of them counts for the offset, also of PING and
 *             REPLCONF GETACK
 *
 * https://redis.io/docs/latest/operate/oss_and_stack/management/replication/
 */
#define PSYNC_REPLY_MAX (1u << 20)
#define PSYNC_COMMAND_MAX (1u << 30)
#define PSYNC_MARK 40u

enum psync_mode { PSYNC_REPLIES, PSYNC_HEADER, PSYNC_SIZED, PSYNC_MARKED, PSYNC_COMMANDS };

enum psync_kind {
    PSYNC_MORE,    /* push more bytes */
    PSYNC_REPLY,   /* text: a whole reply, with type and line end */
    PSYNC_BEGIN,   /* the snapshot begins; size: its bytes, 0: not known beforehand */
    PSYNC_DATA,    /* text: bytes of the snapshot */
    PSYNC_LOADED,  /* the snapshot is over; psync_commands comes next */
    PSYNC_COMMAND, /* argc, argv; offset: behind it. argc 0: nothing to do */
    PSYNC_BAD,     /* text: what is wrong; sticks */
};

/* All bytes are borrowed until the next call. */
struct psync_event {
    enum psync_kind kind;
    struct bytes text;
    uint64_t size, offset;
    uint32_t argc;
    const struct bytes *argv;
};

/* Zero-initialised reads replies. */
struct psync {
    enum psync_mode mode;
    struct buf in;            /* owned */
    size_t given;             /* bytes of `in` that the last event showed */
    uint64_t left;            /* SIZED: bytes to come */
    uint8_t mark[PSYNC_MARK]; /* MARKED */
    uint64_t offset;          /* COMMANDS: of the first byte of `in` that is not given */
    struct resp resp;
    struct resp_args args; /* owned */
    const char *why;       /* NULL: all is well */
    char room[128];
};

void psync_deinit(struct psync *p);
/* Back to a fresh connection's first reply. */
void psync_reset(struct psync *p);
void psync_push(struct psync *p, struct bytes data);
void psync_next(struct psync *p, struct psync_event *out);
/* Between two events: how to go on. */
void psync_snapshot(struct psync *p);
void psync_commands(struct psync *p, uint64_t offset);
/* Bytes pushed and not yet given. */
size_t psync_held(const struct psync *p);

#endif
