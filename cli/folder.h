/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_FOLDER_H
#define MERIDIAN_CLI_FOLDER_H

#include "base/buf.h"
#include "base/err.h"

/*
 * A node's data folder, before any machine runs: made, locked, found writable, and the secrets in
 * it that a first start makes. All calls block. Where one returns false, `why` has got a sentence
 * for the operator, with the file's name.
 *
 *   node.lock    held by the manager (flock)        plane.token  what the manager shows its data
 * plane plane.pid    held by the data plane (flock)     cert.pem, key.pem  of the REST listener
 *   plane.sock   the data plane's control socket    state.json   the manager's
 *   db           the databases' files (storage/)
 */
struct folder {
    char *path; /* absolute; owned */
    int lock;
};

bool folder_open(struct folder *f, const char *dir, struct buf *why);
void folder_close(struct folder *f);
char *folder_file(const struct folder *f, const char *name); /* its path; mem_free */

/* Makes a folder that nobody else may look into; one that is there is left as it is. */
bool folder_make(const char *path, struct buf *why);

/* Locks a file and writes our pid into it; the descriptor is to be kept, or -1: another process has
 * it. */
int folder_pid_file(const char *path, struct buf *why);

/* The token of the control channel: the file's first word, 16 to 64 characters. folder_token makes
 * it if it is absent. */
bool folder_token(const char *path, bool make, char out[65], struct buf *why);

/* Reads a whole file of at most size_max bytes. */
bool folder_read(const char *path, size_t size_max, struct buf *out, struct buf *why);

/* Certificate and key for names (NULL-terminated): read, or made if neither file is there. */
bool folder_cert(const struct folder *f, const char *const *names, struct buf *cert,
                 struct buf *key, struct buf *why);

#endif
