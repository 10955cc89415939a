/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_RESP_REPLY_H
#define MERIDIAN_BASE_RESP_REPLY_H

#include "base/buf.h"

/*
 * Reading replies (RESP2 and RESP3), for whatever speaks to a database as a client: the lab, the
 * simulator, the demo. The tree borrows its texts from the input.
 */
struct resp_reply {
    char type; /* + - : $ * _ , # ( = ~ % > as on the wire; '_' for every nil ($-1, *-1, _) */
    struct bytes text;        /* of leaves, without the type; ints and doubles as written */
    struct resp_reply *items; /* owned; of * ~ > and, keys and values in turn, of % */
    size_t n;
};

enum resp_reply_result { RESP_REPLY_MORE, RESP_REPLY_OK, RESP_REPLY_BAD };

/* Reads one reply off the front of `in`. OK: *used bytes belong to it, free it with
 * resp_reply_deinit. MORE and BAD leave nothing to free. Nesting is limited to 32, an aggregate to
 * what the bytes at hand could hold. */
enum resp_reply_result resp_reply_read(struct bytes in, struct resp_reply *out, size_t *used);
void resp_reply_deinit(struct resp_reply *r);
/* Appends the reply as the lab writes it: text, nil, [a b], error TEXT. */
void resp_reply_print(struct buf *out, const struct resp_reply *r);
/* Appends a request: an array of bulk strings. */
void resp_request_put(struct buf *out, size_t argc, const struct bytes *argv);

#endif
