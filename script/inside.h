/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SCRIPT_INSIDE_H
#define MERIDIAN_SCRIPT_INSIDE_H

#include "base/fiber.h"
#include "script/engine.h"

#include <lauxlib.h>
#include <lua.h>

/* For the files of this folder: the engine's parts. */

#define REDIS_VERSION_TEXT "7.0.15"
#define REDIS_VERSION_NUMBER 0x0007000f

/* A compiled body: where the registry holds the function. */
struct compiled {
    struct compiled *next;
    char sha[SHA1_HEX + 1];
    int ref;
    uint32_t flags;
    uint64_t used; /* number of the run that used it last */
};
#define COMPILED_SLOTS 1024u
#define COMPILED_MAX 4096u

/* A library whose code has run in this engine. */
struct loaded {
    struct loaded *next;
    uint64_t serial;
    int *refs; /* owned; like the library's functions */
    unsigned n;
    char *error; /* owned; it did not load */
};

/* What redis.register_function has registered so far. */
struct registered {
    struct function function;
    int ref;
};
struct loading {
    struct registered *at; /* owned */
    unsigned n, cap;
    uint64_t started_us, instructions;
};

struct run {
    struct engine *engine;
    struct call *call; /* NULL once it has stopped in the middle and the caller is gone */
    struct moment now;
    uint64_t session;
    bool track;          /* the session tracks what it reads */
    uint8_t resp;        /* the client's */
    size_t reply_max;    /* of its reply, when it comes later */
    uint8_t script_resp; /* redis.setresp */
    bool in_exec, eval, readonly, allow_oom;
    bool atomic;  /* begun here */
    bool nested;  /* within something that runs on the engine's stack already: EXEC */
    bool stopped; /* once, in the middle */
    bool wrote, killed, timed_out, may_later;
    char name[128];
    uint64_t started_us, slice_us, instructions;
};

struct engine {
    struct shard_engine hook; /* first: what the shard calls */
    struct engine_opts opts;
    lua_State *lua; /* NULL: not opened yet */
    struct fiber *fiber;
    size_t memory, memory_max;
    struct compiled *compiled[COMPILED_SLOTS];
    unsigned compiled_count;
    struct loaded *loaded;
    struct loading *loading; /* a library's code runs */
    struct run *run;         /* a script runs */
    uint64_t generation;     /* of the bodies */
    uint64_t runs;
    uint64_t random;   /* 48 bits: lrand48's state */
    int handler;       /* registry: adds where an error came from */
    int eval_globals;  /* registry: the table behind EVAL's globals */
    int function_env;  /* registry: the functions' globals, empty; what is behind them: */
    int function_meta; /* registry: their metatable */
    int function_real, load_real; /* registry: ... while they run, ... while libraries load */
    struct buf reply;             /* scratch of redis.call */
    struct buf out;               /* a reply that comes later */
    struct buf argv_text;         /* of what has stopped: RESP */
    struct buf packed;            /* scratch of cmsgpack */
    struct buf user;              /* whose script runs: call.user */
    struct bytes *argv;           /* scratch */
    uint32_t *at;                 /* scratch: indexes of keys */
    uint32_t argv_cap;
};

#define HOOK_EVERY 100000 /* instructions */
#define SLICE_US 10000u
#define LOAD_MAX_US 500000u
/* Where the clock stands still (a simulated step) so many instructions count as a millisecond. */
#define INSTRUCTIONS_PER_MS 1000000u

static inline struct engine *engine_of(lua_State *L)
{
    void *e;
    (void)lua_getallocf(L, &e);
    return e;
}

/* scripts.c */
uint64_t scripts_generation(const struct scripts *s);
uint64_t scripts_clock_us(const struct scripts *s);
uint64_t scripts_busy_ms(const struct scripts *s);
void scripts_log(const struct scripts *s, char level, const char *line);

/* shebang.c: what the first line says. */
struct shebang {
    size_t length;       /* of the line without its newline; 0: there is none */
    uint32_t flags;      /* SCRIPT_PLAIN when there is none */
    struct bytes name;   /* of a library, into `text` */
    struct bytes engine; /* likewise */
    struct buf text;     /* owned: the words */
};
/* NULL, or the error without its code, in `why`. */
const char *shebang_script(struct bytes body, struct shebang *out, struct buf *why);
const char *shebang_library(struct bytes code, struct shebang *out, struct buf *why);
bool script_name_ok(struct bytes name);

/* sandbox.c */
void sandbox_open(struct engine *e); /* in protected mode */
/* The table at the top of the stack is replaced by one that shows the same and cannot be changed.
 */
void sandbox_freeze(lua_State *L);
bool sandbox_is_frozen(lua_State *L, int index);
/* Reading what the table at the top does not have is an error from now on. */
void sandbox_strict(lua_State *L);
int sandbox_readonly(lua_State *L); /* raises "Attempt to modify a readonly table" */

/* limits.c: what of the standard libraries is replaced. */
void limits_install(struct engine *e); /* the libraries' tables are globals */

/* api.c: the table `redis`; it is left on the stack. */
enum api_kind { API_EVAL, API_FUNCTION, API_LOAD };
void api_push(lua_State *L, enum api_kind kind);
int api_random(lua_State *L);
int api_randomseed(lua_State *L);

/* call.c */
int call_redis(lua_State *L);
int call_redis_protected(lua_State *L);
int call_acl_check(lua_State *L);
/* Pushes {err = text}; `text` is "-CODE message", or a message which gets the code ERR. */
void push_error(lua_State *L, const char *text);
int raise_error(lua_State *L, const char *text);

/* convert.c */
/* Pushes the value that a reply stands for; false: malformed, nothing is pushed. May raise. */
bool convert_push(lua_State *L, struct bytes reply);
/* Writes the value at the top of the stack as a reply, and pops it. */
void convert_reply(lua_State *L, struct reply *r, uint8_t script_resp);

/* library.c */
/* Runs a library's code, which registers functions; those are left in `l`. NULL or the error
 * (without code, in `why`). Protected. */
const char *library_run(struct engine *e, struct bytes code, struct loading *l, struct buf *why);
void loading_deinit(struct engine *e, struct loading *l, bool keep_refs);
int library_register(lua_State *L);
/* Pushes the function's code. NULL, or why it cannot be called. */
const char *library_push(struct engine *e, const struct library *lib, unsigned index);
void library_forget(struct engine *e); /* what the scripts no longer hold */

/* engine.c */
/* Does the body compile? If not, the error is replied. */
bool engine_compiles(struct engine *e, struct bytes body, struct reply *out);
bool engine_open(struct engine *e); /* false: not enough memory */
void engine_reset(struct engine *e);
uint64_t engine_clock_us(const struct engine *e);
void engine_hook(lua_State *L, lua_Debug *where);
int engine_handler(lua_State *L);
/* Text of the error at the top of the stack, with its code; pops it. */
void engine_error_text(lua_State *L, struct buf *out);

/* structs.c, cmsgpack.c */
int structs_open(lua_State *L);
int cmsgpack_open(lua_State *L);

#endif
