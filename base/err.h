/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_ERR_H
#define MERIDIAN_BASE_ERR_H

/*
 * What can fail, with the sentence an operator reads. Text is made once, at the edge that shows it,
 * and says what to do.
 */
#define ERR_LIST(X)                                                                                \
    X(OK, "success")                                                                               \
    X(REFUSED, "connection refused: is the peer running and listening there?")                     \
    X(UNREACHABLE, "network unreachable: check address, route and firewall")                       \
    X(RESET, "connection reset by the peer")                                                       \
    X(TIMEOUT, "timed out")                                                                        \
    X(CLOSED, "closed by the peer")                                                                \
    X(ADDRESS, "not a usable address: give host:port")                                             \
    X(IN_USE, "address already in use: choose another port or stop who has it")                    \
    X(PERMISSION, "permission denied: check the file's owner and mode")                            \
    X(NOT_FOUND, "no such file or object")                                                         \
    X(EXISTS, "exists already")                                                                    \
    X(NO_SPACE, "no space left on device: free some or move the data folder")                      \
    X(IO, "input/output error: check the disk")                                                    \
    X(TLS, "TLS failed: check certificates, host names and protocol versions on both sides")       \
    X(BAD_BYTES, "malformed data")                                                                 \
    X(TOO_BIG, "larger than the limit allows")                                                     \
    X(VERSION, "protocol versions differ: run the same release on both sides")                     \
    X(AUTH, "authentication failed: check user name and password")                                 \
    X(CLOCK, "clock out of bounds: synchronise the machines' clocks")                              \
    X(CONFIG, "configurations differ")                                                             \
    X(BUSY, "busy: try again later")                                                               \
    X(STOPPED, "stopped")                                                                          \
    X(READ_ONLY, "read-only file system: the disk may have failed; mount it for writing again")    \
    X(FILES, "too many open files: raise the process's or the system's limit (ulimit -n)")         \
    X(NOT_FOLDER, "a part of the path is no folder")

enum err {
#define X(name, text) ERR_##name,
    ERR_LIST(X)
#undef X
        ERR_COUNT
};

const char *err_name(enum err e); /* "REFUSED" */
const char *err_text(enum err e);

#endif
