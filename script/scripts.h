/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SCRIPT_SCRIPTS_H
#define MERIDIAN_SCRIPT_SCRIPTS_H

#include "base/buf.h"
#include "base/sha1.h"

/*
 * The scripts of one database as one worker knows them: the libraries of functions and the bodies
 * loaded by SCRIPT LOAD (both the same in all regions), and a bounded number of bodies that EVAL
 * has brought. The shards' engines compile from here what they are asked for.
 */
struct scripts; /* opaque */

/* What a script says of itself, in its first line or when it registers a function. */
enum script_flag {
    SCRIPT_NO_WRITES = 1,
    SCRIPT_ALLOW_OOM = 2,
    SCRIPT_ALLOW_STALE = 4,
    SCRIPT_NO_CLUSTER = 8,
    SCRIPT_CROSS_SLOT = 16,
    SCRIPT_PLAIN = 32, /* says nothing: EVAL as it was before flags */
};

struct function {
    char *name;        /* owned */
    char *description; /* owned; NULL none */
    uint32_t flags;
};

struct library {
    struct library *next; /* in order of name */
    uint64_t serial;      /* another one after each change */
    char *name;           /* owned */
    struct buf code;
    struct function *functions; /* owned; in order of name */
    unsigned functions_count;
    char *error; /* owned; it arrived and does not compile: calls answer this. NULL none */
};

struct scripts_opts {
    uint64_t seed;
    uint64_t busy_ms; /* others are served beside a script that runs for longer; 0: never */
    void *arg;
    uint64_t (*clock_us)(void *arg); /* NULL: time stands still within a step */
    void (*log)(void *arg, char level, const char *line); /* E W I D; NULL: nobody listens */
};

#define SCRIPT_BYTES_MAX (1u << 20) /* of one that is replicated: a library, a loaded body */

struct scripts *scripts_new(const struct scripts_opts *o);
void scripts_free(struct scripts *s);
void scripts_set_busy_ms(struct scripts *s, uint64_t ms);

/* ------------------------------------------------------------ bodies */

struct body {
    struct body *next;          /* of the same slot */
    struct body *older, *newer; /* EVAL's, by use */
    char sha[SHA1_HEX + 1];
    bool loaded; /* by SCRIPT LOAD: stays until SCRIPT FLUSH */
    size_t n;
    uint8_t text[];
};
/* `sha`: 40 lower-case digits. NULL: not known. */
const struct body *scripts_body(struct scripts *s, const char *sha);
/* Remembers a body; what EVAL brought beyond the limit is forgotten, the least recently used first.
 */
const struct body *scripts_remember(struct scripts *s, const char *sha, struct bytes text,
                                    bool loaded);
/* Forgets all bodies and what engines have compiled of them. */
void scripts_forget(struct scripts *s);
/* A loaded body is gone (from the catalog). */
void scripts_drop(struct scripts *s, const char *sha);
size_t scripts_count(const struct scripts *s);
size_t scripts_bytes(const struct scripts *s);
/* The name as bodies have it: 40 digits, upper case becomes lower. False: it cannot be one. */
bool script_sha(struct bytes s, char out[SHA1_HEX + 1]);

/* ------------------------------------------------------------ libraries */

const struct library *scripts_libraries(const struct scripts *s);
const struct library *scripts_library(const struct scripts *s, struct bytes name);
/* The library that holds the function (its name in any case) and its index there; NULL none. */
const struct library *scripts_function(const struct scripts *s, struct bytes name, unsigned *index);
/*
 * Compiles a library's code and looks whether it may be added (FUNCTION LOAD): NULL, or Redis'
 * error (valid until the next call). Its name is then in scripts_checked. `others`: libraries that
 * are about to be replaced or removed (their functions may be taken over): all, none, or the one of
 * the same name.
 */
enum scripts_policy { SCRIPTS_ADD, SCRIPTS_REPLACE, SCRIPTS_ALONE };
const char *scripts_check(struct scripts *s, struct bytes code, enum scripts_policy policy);
struct reply;
/* Does a body compile (SCRIPT LOAD)? If not, the error is replied. */
bool scripts_check_body(struct scripts *s, struct bytes body, struct reply *out);
/* Does what EVAL, EVALSHA or FCALL (`command`) names as `what` declare that it writes nothing? */
bool scripts_only_reads(struct scripts *s, const char *command, struct bytes what);
struct bytes scripts_checked(const struct scripts *s);
/* A library as every region has it now; an older one of the name goes. One that does not compile is
 * kept with its error. */
void scripts_put_library(struct scripts *s, struct bytes name, struct bytes code);
void scripts_del_library(struct scripts *s, struct bytes name);
void scripts_del_libraries(struct scripts *s);
size_t scripts_libraries_count(const struct scripts *s);
size_t scripts_functions_count(const struct scripts *s);

/* Flags of a function, as texts, in Redis' order; NULL behind the last. */
const char *script_flag_name(unsigned i, uint32_t *flag);

#endif
