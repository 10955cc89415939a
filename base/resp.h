/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_RESP_H
#define MERIDIAN_BASE_RESP_H

#include "base/bytes.h"

/*
 * Requests as clients send them: arrays of bulk strings (RESP2 and RESP3 alike) and inline
 * commands. Arguments point into the input; only quoted inline arguments are copied.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 *
 * The parser is resumable: a command that arrives in many pieces is never read twice. The error
 * texts are Redis'.
 */
enum resp_result { RESP_DONE, RESP_MORE, RESP_BAD };

struct resp_limits {
    uint64_t bulk_max;    /* proto-max-bulk-len */
    uint32_t args_max;    /* arguments of one command */
    uint64_t query_max;   /* bytes of one command */
    bool unauthenticated; /* strangers: at most 10 arguments of 16 KiB */
};
#define RESP_INLINE_MAX 65536u

/* A growing list of arguments, shared by the commands of a batch. Zero-initialised is empty. */
struct resp_args {
    struct bytes *at; /* owned */
    size_t n, cap;
    void *copies; /* owned: texts of quoted inline arguments */
};
void resp_args_clear(struct resp_args *a); /* forgets the arguments, keeps the room */
void resp_args_deinit(struct resp_args *a);

/* One command under way; zero-initialised stands at a command's first byte. */
struct resp {
    size_t used;         /* bytes of it read so far; with RESP_DONE all of it */
    size_t first;        /* index in args of its first argument */
    uint32_t argc;       /* arguments read so far */
    uint32_t missing;    /* arguments still to come */
    bool begun;          /* the array's header is read */
    bool in_bulk;        /* the length of the next argument is read ... */
    uint64_t bulk;       /* ... and is this */
    const uint8_t *base; /* where the input lay when the arguments were pointed at it */
    char why[64];        /* RESP_BAD: Redis' text, "Protocol error: ..." */
};

/* Stands at the next command's first byte. Without clearing `why`: this is done for each command.
 */
static inline void resp_next(struct resp *r)
{
    r->used = r->first = 0;
    r->argc = r->missing = 0;
    r->begun = r->in_bulk = false;
    r->bulk = 0;
    r->base = NULL;
}

/*
 * Reads on. `in` starts at the command's first byte on each call (its bytes may have moved since).
 * RESP_DONE with argc == 0 is an empty line or an empty array: skip it. After RESP_MORE `args` must
 * be the same one, unchanged.
 */
enum resp_result resp_parse(struct resp *r, struct bytes in, const struct resp_limits *limits,
                            struct resp_args *args);

/* Length of the reply (any RESP type, nested to depth 32) at the front of `in`; 0: not whole or
 * malformed. */
size_t resp_value_len(struct bytes in);
/* Reads an aggregate's header ("*3\r\n", also % ~ >): its count, and in *used its bytes; -1 for
 * none or malformed. */
int64_t resp_header(struct bytes in, uint8_t *type, size_t *used);

#endif
