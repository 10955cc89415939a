/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_RESP_CLIENT_H
#define MERIDIAN_CLI_RESP_CLIENT_H

#include "base/resp_reply.h"

/* A blocking client of a database for the command line (demo, lab --live): one request at a time.
 */
struct resp_client {
    int fd; /* -1: not connected */
    struct buf in;
};

/* Connects within some seconds. False: errno tells. */
bool resp_client_open(struct resp_client *c, const char *host, uint16_t port);
void resp_client_close(struct resp_client *c);
/* Sends a request and appends its one reply's bytes to `raw`. False when the connection broke: it
 * is closed then. */
bool resp_client_call(struct resp_client *c, size_t argc, const struct bytes *argv,
                      struct buf *raw);
/* The same for blank-separated words; the reply as the lab prints it, NUL-terminated, in `text`
 * (cleared first). */
bool resp_client_line(struct resp_client *c, const char *line, struct buf *text);

#endif
