/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_ARGS_H
#define MERIDIAN_CLI_ARGS_H

#include "base/buf.h"

/*
 * Flags of a subcommand: --name VALUE, --name=VALUE, --name for ARG_FLAG; "--" ends them. A table
 * describes them, from which come parsing, range checks, the help text and the same settings in a
 * configuration file. Prints nothing and opens nothing; what to show is put into a buffer.
 */
enum arg_kind {
    ARG_FLAG, /* out: bool *; in a file: yes or no */
    ARG_TEXT, /* out: const char **, points into argv or the file's text */
    ARG_UINT, /* out: uint64_t *, min..max */
};

struct arg {
    const char *name;  /* without the dashes */
    const char *value; /* the placeholder in the help text; NULL for ARG_FLAG */
    const char *help;
    enum arg_kind kind;
    void *out;         /* holds the default before */
    uint64_t min, max; /* ARG_UINT: range; ARG_TEXT: longest, 0 any length */
};

struct args {
    const char *command; /* "node", "ctl db" */
    const char *usage;   /* what follows the command, e.g. "[flags]" or "[flags] FILE..." */
    const char *about;   /* a sentence or more for the help text */
    const struct arg *at;
    unsigned n;
    const char **rest; /* takes arguments that are no flags; NULL: there may be none */
    unsigned rest_max;
    unsigned rest_n; /* how many came */
};

enum args_result { ARGS_OK, ARGS_HELP, ARGS_BAD };

/* argv[0] is skipped (the subcommand's name). ARGS_HELP: --help was there, its text is appended;
 * ARGS_BAD: the reason. */
enum args_result args_parse(struct args *a, int argc, char **argv, struct buf *text);

/* A configuration file: lines "name value" with the flags' names, # begins a comment line.
 * `content` ends with a NUL, is changed in place and kept as long as the values. Never ARGS_HELP.
 */
enum args_result args_parse_file(struct args *a, const char *path, char *content, struct buf *text);

/* args_parse for a program's entry: prints the help to stdout or the error to stderr. Returns -1 to
 * go on, else the exit status: 0 or 2. */
int args_main(struct args *a, int argc, char **argv);

#endif
