/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_HTTPS_H
#define MERIDIAN_CLI_HTTPS_H

#include "base/buf.h"

/*
 * A blocking HTTPS client for the command line (ctl, demo, lab --live): one request, one
 * connection, one answer. Not for the server's own processes.
 */
struct https_target {
    char host[256];
    uint16_t port;
    char user[256], password[256]; /* basic authentication; user "" none */
    bool verify;                   /* check the certificate's chain and name */
    const char *ca_file;           /* whom to trust when verifying; NULL: the system's store */
    unsigned timeout_s;            /* 0: 30 */
};

struct https_answer {
    int status;      /* HTTP status; 0: there was no answer, `error` tells */
    struct buf body; /* owned, not NUL-terminated */
    char error[320];
};

/* Splits "https://host[:port]" (port 9443 if none). False: not such a URL. */
bool https_target_parse(const char *url, struct https_target *out);
/* Sends and waits. False when no answer came (error set). body NULL: none; it is sent as
 * application/json. */
bool https_call(const struct https_target *t, const char *method, const char *path,
                const char *body, struct https_answer *out);
void https_answer_deinit(struct https_answer *a);

#endif
