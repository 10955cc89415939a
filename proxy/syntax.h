/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_SYNTAX_H
#define MERIDIAN_PROXY_SYNTAX_H

#include "base/buf.h"

/*
 * Reads the compact syntax of a command's row ("key value [NX|XX] [EX seconds|KEEPTTL]") into the
 * tree of arguments that COMMAND DOCS shows.
 *
 * A word with a small letter in it is an argument, any other a token; a token belongs to the
 * arguments behind it. [..] may be left out, <..> groups, | separates alternatives; "x [x ...]"
 * says that x repeats, "TOKEN x [TOKEN x ...]" that it does with its token, "<..> [...]" that the
 * group does.
 */
enum syntax_type { SYNTAX_TOKEN, SYNTAX_VALUE, SYNTAX_ONEOF, SYNTAX_BLOCK };

#define SYNTAX_NONE UINT16_MAX
#define SYNTAX_MAX 128u /* arguments of one command */

struct syntax_arg {
    enum syntax_type type;
    struct bytes name;  /* VALUE */
    struct bytes token; /* TOKEN, or in front of any other; .p NULL none; empty: "" */
    bool optional, multiple, multiple_token;
    uint16_t first; /* ONEOF, BLOCK: what is inside */
    uint16_t next;  /* the next one at this level */
};

struct syntax {
    struct syntax_arg args[SYNTAX_MAX];
    uint16_t n;
    uint16_t first; /* SYNTAX_NONE: no arguments */
};

/* False: not well-formed (brackets that do not match, too many arguments). `text` is kept. */
bool syntax_read(struct syntax *s, const char *text);
/* Redis' name of a value's type: "key", "integer", "double", "unix-time", "pattern", "string". */
const char *syntax_type_name(const struct syntax_arg *a);

#endif
