/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SCRIPT_ENGINE_H
#define MERIDIAN_SCRIPT_ENGINE_H

#include "script/scripts.h"
#include "shard/shard.h"

/*
 * Runs the scripts of one shard: Lua 5.1 in a sandbox, on a stack of its own. Commands that a
 * script calls run on this shard; what it writes leaves as one atomic frame per partition.
 *
 * A script that has run for longer than busy_ms stops in the middle now and then (its caller learns
 * that the reply comes later) and goes on by engine_resume. Meanwhile the shard is busy.
 */
struct engine; /* opaque */

#define BUSY_SCRIPT_TEXT                                                                           \
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
#define BUSY_FUNCTION_TEXT                                                                         \
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."

struct engine_opts {
    struct shard *shard;     /* kept; NULL: only compiles */
    struct scripts *scripts; /* kept */
    uint64_t seed;
    void *arg;
    /* May the caller's user run this (access control)? NULL or the reason, without a code. `test`:
     * redis.acl_check_cmd only asks. NULL: everybody may everything. */
    const char *(*refuse)(void *arg, const struct call *c, bool test);
};

struct engine *engine_new(const struct engine_opts *o);
/* A script that has stopped in the middle is abandoned: what it has written stays. */
void engine_free(struct engine *e);

/* Runs fn on the engine's stack, so that scripts within it may stop: for EXEC. True: it is done. */
bool engine_on_stack(struct engine *e, void (*fn)(void *arg), void *arg);
bool engine_is_stopped(const struct engine *e);
/* Goes on with what has stopped, for about 10 ms. True: it is done, the shard is no longer busy; a
 * script's reply is in engine_reply. */
bool engine_resume(struct engine *e);
/* The reply of the script that came later; until the next script. */
struct bytes engine_reply(const struct engine *e);

enum engine_kill {
    KILL_NOTHING,   /* no script runs */
    KILL_DONE,      /* it will end soon with an error */
    KILL_WRITTEN,   /* not killed: it has written already */
    KILL_OTHER_WAY, /* not killed: a function (or a script), and it was not that which was meant */
};
enum engine_kill engine_kill(struct engine *e, bool function);

/* What runs (has stopped): for FUNCTION STATS. */
struct engine_running {
    bool function;
    const char *name;
    struct bytes argv; /* RESP: an array of its arguments */
    uint64_t duration_ms;
};
bool engine_running(const struct engine *e, struct engine_running *out);
size_t engine_memory(const struct engine *e); /* held by Lua */

#endif
