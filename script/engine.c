/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "script/inside.h"

#include "base/mem.h"
#include "base/num.h"

#include <assert.h>
#include <lualib.h>
#include <stdio.h>

#define MEMORY_MAX (256u << 20)
/* Nested calls take at most LUAI_MAXCCALLS (200) times a few KiB, nested data some thousand frames;
 * AddressSanitizer's frames are larger. Only what is touched takes memory. */
#define STACK_BYTES (16u << 20)

/* ------------------------------------------------------------ memory */

/* Within a script memory is limited; outside of one nothing could catch the error. */
static void *allocate(void *arg, void *p, size_t before, size_t n)
{
    struct engine *e = arg;
    if (n == 0) {
        e->memory -= p != NULL ? before : 0;
        mem_free(p);
        return NULL;
    }
    size_t now = e->memory - (p != NULL ? before : 0) + n;
    if (now > e->memory_max && n > before && e->fiber != NULL && fiber_is_inside(e->fiber))
        return NULL;
    e->memory = now;
    return p != NULL ? mem_realloc(p, n) : mem_alloc(n);
}

static int panic(lua_State *L)
{
    assert(L == NULL); /* an error outside of a protected call: a bug */
    return 0;
}

size_t engine_memory(const struct engine *e) { return e->memory; }

/* ------------------------------------------------------------ life */

static void run_hook(struct shard_engine *self, struct call *c);

struct engine *engine_new(const struct engine_opts *o)
{
    struct engine *e = mem_zalloc(sizeof *e);
    e->hook.run = run_hook;
    e->opts = *o;
    e->memory_max = MEMORY_MAX;
    e->random = (o->seed * UINT64_C(0x9e3779b97f4a7c15)) >> 16;
    if (o->shard != NULL)
        shard_set_engine(o->shard, &e->hook);
    return e;
}

static int open_protected(lua_State *L)
{
    sandbox_open(engine_of(L));
    return 0;
}

static void enter_open(void *arg)
{
    struct engine *e = arg;
    if (lua_cpcall(e->lua, open_protected, NULL) != 0) {
        lua_close(e->lua);
        e->lua = NULL;
    }
}

bool engine_open(struct engine *e)
{
    if (e->lua != NULL)
        return true;
    if (e->fiber == NULL)
        e->fiber = fiber_new(STACK_BYTES);
    e->lua = lua_newstate(allocate, e);
    if (e->lua == NULL)
        return false;
    lua_atpanic(e->lua, panic);
    e->generation = scripts_generation(e->opts.scripts);
    if (fiber_is_inside(e->fiber)) /* a transaction with scripts, after SCRIPT FLUSH */
        enter_open(e);
    else
        (void)fiber_start(e->fiber, enter_open, e);
    if (e->lua != NULL)
        lua_sethook(e->lua, engine_hook, LUA_MASKCOUNT, HOOK_EVERY);
    return e->lua != NULL;
}

void engine_reset(struct engine *e)
{
    for (unsigned i = 0; i < COMPILED_SLOTS; i++) {
        while (e->compiled[i] != NULL) {
            struct compiled *c = e->compiled[i];
            e->compiled[i] = c->next;
            mem_free(c);
        }
    }
    e->compiled_count = 0;
    if (e->lua != NULL)
        lua_close(e->lua);
    e->lua = NULL;
    library_forget(e);
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    struct run *r = e->run;
    if (r != NULL && r->atomic)
        shard_atomic_end(e->opts.shard);
    if (r != NULL)
        shard_set_busy(e->opts.shard, NULL);
    if (e->opts.shard != NULL)
        shard_set_engine(e->opts.shard, NULL);
    fiber_free(e->fiber);
    e->fiber = NULL;
    e->run = NULL;
    engine_reset(e);
    buf_deinit(&e->reply);
    buf_deinit(&e->out);
    buf_deinit(&e->argv_text);
    buf_deinit(&e->packed);
    buf_deinit(&e->user);
    mem_free(e->argv);
    mem_free(e->at);
    mem_free(e);
}

uint64_t engine_clock_us(const struct engine *e) { return scripts_clock_us(e->opts.scripts); }

/* ------------------------------------------------------------ while a script runs */

/* By the clock; where it stands still, by what has been done. */
static uint64_t elapsed_us(const struct engine *e, uint64_t since_us, uint64_t instructions)
{
    uint64_t now = engine_clock_us(e), counted = instructions / (INSTRUCTIONS_PER_MS / 1000);
    return now > since_us ? now - since_us : counted;
}

static void remember_arguments(struct engine *e)
{
    const struct call *c = e->run->call;
    struct reply r = {.out = &e->argv_text, .resp = 2};
    buf_clear(&e->argv_text);
    reply_array(&r, c->argc);
    for (uint32_t i = 0; i < c->argc; i++)
        reply_bulk(&r, c->argv[i]);
}

static void become_slow(struct engine *e, uint64_t elapsed)
{
    struct run *r = e->run;
    char line[300];
    r->timed_out = true;
    snprintf(line, sizeof line,
             "slow script: still running after %llu ms. %s ends it, if it has not written. Its "
             "name is %s",
             (unsigned long long)(elapsed / 1000), r->eval ? "SCRIPT KILL" : "FUNCTION KILL",
             r->name);
    scripts_log(e->opts.scripts, 'W', line);
    shard_set_busy(e->opts.shard, r->eval ? BUSY_SCRIPT_TEXT : BUSY_FUNCTION_TEXT);
}

/* Back to the worker's loop, until it calls engine_resume. */
static void stop_for_others(struct engine *e)
{
    struct run *r = e->run;
    if (!r->stopped)
        remember_arguments(e);
    r->stopped = true;
    if (!r->nested)
        r->call = NULL; /* the caller goes on: what it holds is gone when we come back */
    fiber_yield(e->fiber);
    r->slice_us = engine_clock_us(e);
}

static void check_script(lua_State *L, struct engine *e)
{
    struct run *r = e->run;
    uint64_t limit_us = scripts_busy_ms(e->opts.scripts) * 1000;
    r->instructions += HOOK_EVERY;
    if (!r->timed_out && limit_us > 0 && r->may_later) {
        uint64_t elapsed = elapsed_us(e, r->started_us, r->instructions);
        if (elapsed >= limit_us) {
            become_slow(e, elapsed);
            stop_for_others(e);
        }
    } else if (r->timed_out) {
        uint64_t now = engine_clock_us(e);
        if (now == r->slice_us || now - r->slice_us >= SLICE_US)
            stop_for_others(e);
    }
    if (!r->killed)
        return;
    scripts_log(e->opts.scripts, 'W', "a script was killed by SCRIPT KILL or FUNCTION KILL");
    /* From now on at every line, so that it cannot go on behind a pcall. */
    lua_sethook(L, engine_hook, LUA_MASKLINE, 0);
    push_error(L, "Script killed by user with SCRIPT KILL...");
    lua_error(L);
}

void engine_hook(lua_State *L, lua_Debug *where)
{
    struct engine *e = engine_of(L);
    (void)where;
    if (e->loading != NULL) {
        e->loading->instructions += HOOK_EVERY;
        if (elapsed_us(e, e->loading->started_us, e->loading->instructions) <= LOAD_MAX_US)
            return;
        lua_sethook(L, engine_hook, LUA_MASKLINE, 0);
        raise_error(L, "FUNCTION LOAD timeout");
    } else if (e->run != NULL) {
        check_script(L, e);
    }
}

/* ------------------------------------------------------------ errors */

int engine_handler(lua_State *L)
{
    lua_Debug at;
    bool known = lua_getstack(L, 1, &at) != 0 && lua_getinfo(L, "nSl", &at) != 0;
    if (known && strcmp(at.what, "C") == 0)
        known = lua_getstack(L, 2, &at) != 0 && lua_getinfo(L, "nSl", &at) != 0;
    if (!lua_istable(L, 1)) {
        lua_createtable(L, 0, 3);
        if (lua_isstring(L, 1))
            lua_pushfstring(L, "ERR %s", lua_tostring(L, 1));
        else
            lua_pushfstring(L, "ERR %s",
                            lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? "true" : "false")
                                                : luaL_typename(L, 1));
        lua_setfield(L, -2, "err");
        lua_replace(L, 1);
    }
    if (known && !sandbox_is_frozen(L, 1)) {
        lua_pushliteral(L, "source");
        lua_pushstring(L, at.source);
        lua_rawset(L, 1);
        lua_pushliteral(L, "line");
        lua_pushinteger(L, at.currentline);
        lua_rawset(L, 1);
    }
    lua_settop(L, 1);
    return 1;
}

/* The text of a field, on the stack until the caller drops it. */
static const char *error_field(lua_State *L, int table, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, table);
    return lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL;
}

static void reply_failure(lua_State *L, struct reply *out, const char *name)
{
    struct buf text = {0};
    int top = lua_gettop(L);
    bool counted = false;
    if (lua_istable(L, top)) {
        lua_pushstring(L, "ignore_error_stats_update");
        lua_rawget(L, top);
        counted = lua_toboolean(L, -1);
        const char *err = error_field(L, top, "err");
        const char *source = error_field(L, top, "source");
        const char *line = error_field(L, top, "line");
        buf_put_str(&text, err != NULL ? err : "ERR unknown error");
        if (source != NULL && line != NULL)
            buf_putf(&text, " script: %s, on %s:%s.", name, source, line);
    } else {
        buf_putf(&text, "ERR Error running script %s, %.100s", name,
                 lua_isstring(L, top) ? lua_tostring(L, top) : "execution failure");
    }
    buf_put_u8(&text, 0);
    reply_error(out, (const char *)text.p);
    out->errors -= counted; /* when the command ran */
    buf_deinit(&text);
    lua_settop(L, top - 1);
}

/* ------------------------------------------------------------ bodies */

static struct compiled **compiled_slot(struct engine *e, const char *sha)
{
    uint64_t h = load_u64(sha) * UINT64_C(0x9e3779b97f4a7c15);
    return &e->compiled[(h ^ h >> 32) % COMPILED_SLOTS];
}

static struct compiled *find_compiled(struct engine *e, const char *sha)
{
    struct compiled *c = *compiled_slot(e, sha);
    while (c != NULL && memcmp(c->sha, sha, SHA1_HEX) != 0)
        c = c->next;
    return c;
}

/* Forgets what was not used within the last COMPILED_MAX / 2 runs. */
static void forget_some(struct engine *e)
{
    for (unsigned i = 0; i < COMPILED_SLOTS; i++) {
        for (struct compiled **at = &e->compiled[i]; *at != NULL;) {
            struct compiled *c = *at;
            if (e->runs - c->used < COMPILED_MAX / 2) {
                at = &c->next;
                continue;
            }
            *at = c->next;
            luaL_unref(e->lua, LUA_REGISTRYINDEX, c->ref);
            mem_free(c);
            e->compiled_count--;
        }
    }
}

/* Compiles the text onto the stack's top. False: the error is replied. */
static bool compile_text(lua_State *L, struct bytes text, uint32_t *flags, struct reply *out)
{
    struct shebang first = {0};
    struct buf why = {0};
    const char *error = shebang_script(text, &first, &why);
    if (error != NULL)
        reply_errorf(out, "ERR %s", error);
    *flags = first.flags;
    buf_deinit(&first.text);
    buf_deinit(&why);
    if (error != NULL)
        return false;
    if (luaL_loadbuffer(L, (const char *)text.p + first.length, text.n - first.length,
                        "@user_script") == 0)
        return true;
    reply_errorf(out, "ERR Error compiling script (new function): %s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return false;
}

struct compiling {
    struct engine *engine;
    struct bytes text;
    struct reply *out;
    bool ok;
};

static int compile_protected(lua_State *L)
{
    struct compiling *c = lua_touserdata(L, 1);
    uint32_t flags;
    c->ok = compile_text(L, c->text, &flags, c->out);
    return 0;
}

static void enter_compile(void *arg)
{
    struct compiling *c = arg;
    if (lua_cpcall(c->engine->lua, compile_protected, c) != 0)
        reply_error(c->out, "ERR not enough memory to compile the script");
    lua_settop(c->engine->lua, 0);
}

bool engine_compiles(struct engine *e, struct bytes body, struct reply *out)
{
    struct compiling c = {.engine = e, .text = body, .out = out};
    if (engine_open(e))
        (void)fiber_start(e->fiber, enter_compile, &c);
    else
        reply_error(out, "ERR not enough memory to compile the script");
    return c.ok;
}

static struct compiled *compile(struct engine *e, const char *sha, struct bytes text,
                                struct reply *out)
{
    uint32_t flags;
    if (!compile_text(e->lua, text, &flags, out))
        return NULL;
    if (e->compiled_count >= COMPILED_MAX)
        forget_some(e);
    int ref = luaL_ref(e->lua, LUA_REGISTRYINDEX);
    struct compiled *c = mem_zalloc(sizeof *c);
    memcpy(c->sha, sha, sizeof c->sha);
    c->ref = ref;
    c->flags = flags;
    struct compiled **at = compiled_slot(e, sha);
    c->next = *at;
    *at = c;
    e->compiled_count++;
    return c;
}

/* Pushes the script's function. False: the error is replied. */
static bool push_script(struct run *r, struct reply *out, uint32_t *flags)
{
    struct engine *e = r->engine;
    const struct call *c = r->call;
    bool by_sha = c->command->name[4] == 's'; /* evalsha, evalsha_ro */
    char sha[SHA1_HEX + 1];
    if (!by_sha)
        sha1_hex(c->argv[1], sha);
    else if (!script_sha(c->argv[1], sha))
        return reply_error(out, "NOSCRIPT No matching script. Please use EVAL."), false;
    memcpy(r->name, sha, sizeof sha);
    struct compiled *found = find_compiled(e, sha);
    if (found == NULL) {
        const struct body *b = scripts_body(e->opts.scripts, sha);
        if (b == NULL && by_sha)
            return reply_error(out, "NOSCRIPT No matching script. Please use EVAL."), false;
        found = compile(e, sha, b != NULL ? bytes_of(b->text, b->n) : c->argv[1], out);
        if (found == NULL)
            return false;
        if (b == NULL)
            (void)scripts_remember(e->opts.scripts, sha, c->argv[1], false);
    }
    found->used = e->runs;
    *flags = found->flags;
    lua_rawgeti(e->lua, LUA_REGISTRYINDEX, found->ref);
    return true;
}

static bool push_function(struct run *r, struct reply *out, uint32_t *flags)
{
    struct engine *e = r->engine;
    struct bytes name = r->call->argv[1];
    unsigned index;
    const struct library *l = scripts_function(e->opts.scripts, name, &index);
    if (l == NULL)
        return reply_error(out, "ERR Function not found"), false;
    snprintf(r->name, sizeof r->name, "%s", l->functions[index].name);
    *flags = l->functions[index].flags;
    const char *why = library_push(e, l, index);
    if (why == NULL)
        return true;
    reply_errorf(out, "ERR The function's library '%s' cannot be loaded: %s", l->name, why);
    return false;
}

/* ------------------------------------------------------------ running */

/* "numkeys" and the keys themselves; false: the error is replied. */
static bool read_keys(const struct run *r, struct reply *out, int64_t *count)
{
    const struct call *c = r->call;
    if (!num_parse_i64(c->argv[2], count))
        reply_error(out, r->eval ? ERR_NOT_INT : "ERR Bad number of keys provided");
    else if (*count > (int64_t)c->argc - 3)
        reply_error(out, "ERR Number of keys can't be greater than number of args");
    else if (*count < 0)
        reply_error(out, "ERR Number of keys can't be negative");
    else
        return true;
    return false;
}

/* What its flags and the shard's state forbid before it begins. */
static bool may_start(struct run *r, struct reply *out, uint32_t flags)
{
    struct shard *s = r->engine->opts.shard;
    bool reads = flags & SCRIPT_NO_WRITES, oom_ok = flags & (SCRIPT_ALLOW_OOM | SCRIPT_NO_WRITES);
    const char *why = NULL;
    r->readonly = r->call->command->flags & CMD_READONLY;
    if (flags & SCRIPT_PLAIN)
        return true;
    const char *no_writes = reads || r->readonly ? NULL : shard_refusal(s, CMD_WRITE);
    if (r->readonly && !reads)
        why = "ERR Can not execute a script with write flag using *_ro command.";
    else if (no_writes != NULL)
        reply_errorf(out, "%s (a script that only reads may run: flags=no-writes)", no_writes);
    else if (!oom_ok && shard_is_full(s))
        why = "OOM allow-oom flag is not set on the script, can not run it when used memory > "
              "'maxmemory'";
    r->readonly = r->readonly || reads;
    r->allow_oom = flags & SCRIPT_ALLOW_OOM;
    if (why != NULL)
        reply_error(out, why);
    return why == NULL && no_writes == NULL;
}

static void push_strings(lua_State *L, const struct bytes *s, size_t n)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(L, s[i].n > 0 ? (const char *)s[i].p : "", s[i].n);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Where the reply goes: to the caller while it waits, else kept until it is asked for. */
static struct reply reply_of(struct run *r)
{
    if (r->call != NULL)
        return *r->call->reply;
    return (struct reply){.out = &r->engine->out, .resp = r->resp, .max = r->reply_max};
}

static void run_script(lua_State *L, struct run *r, struct reply *out)
{
    struct engine *e = r->engine;
    const struct call *c = r->call;
    int64_t keys = 0;
    uint32_t flags = 0;
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->handler);
    if (r->eval && !read_keys(r, out, &keys))
        return;
    if (!(r->eval ? push_script(r, out, &flags) : push_function(r, out, &flags)))
        return;
    if (!r->eval && !read_keys(r, out, &keys))
        return;
    if (!may_start(r, out, flags))
        return;
    if (r->eval)
        lua_rawgeti(L, LUA_REGISTRYINDEX, e->eval_globals);
    push_strings(L, c->argv + 3, (size_t)keys);
    if (r->eval)
        lua_setfield(L, -2, "KEYS");
    push_strings(L, c->argv + 3 + keys, c->argc - 3 - (size_t)keys);
    if (r->eval) {
        lua_setfield(L, -2, "ARGV");
        lua_pop(L, 1);
    }
    int failed = lua_pcall(L, r->eval ? 0 : 2, 1, 1);
    *out = reply_of(r);
    if (failed)
        reply_failure(L, out, r->name);
    else
        convert_reply(L, out, r->script_resp);
}

static int run_protected(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    struct reply out = *r->call->reply;
    run_script(L, r, &out);
    if (r->call != NULL) { /* errors count for the caller, while it waits */
        r->call->reply->errors = out.errors;
        r->call->reply->error_at = out.error_at;
        r->call->reply->over = out.over;
    } else {
        (void)reply_limit(&out, 0);
    }
    return 0;
}
/* The whole of a run, on the engine's stack. */
static void run_on_stack(struct run *r)
{
    struct engine *e = r->engine;
    lua_State *L = e->lua;
    size_t before = buf_len(r->call->reply->out);
    e->run = r;
    buf_reuse(&e->out, SCRIPT_BYTES_MAX);
    if (lua_cpcall(L, run_protected, r) != 0) { /* not even the reply could be made */
        struct reply out = reply_of(r);
        out.out->tail = out.out->head + (r->call != NULL ? before : 0);
        reply_failure(L, &out, r->name);
        lua_gc(L, LUA_GCCOLLECT, 0);
    }
    lua_settop(L, 0);
    if (r->killed)
        lua_sethook(L, engine_hook, LUA_MASKCOUNT, HOOK_EVERY);
    if (e->memory > e->memory_max / 4) /* Lua does not collect when memory runs out */
        lua_gc(L, LUA_GCCOLLECT, 0);
    else if (++e->runs % 50 == 0)
        lua_gc(L, LUA_GCSTEP, 50);
    if (r->atomic)
        shard_atomic_end(e->opts.shard);
    if (r->timed_out)
        shard_set_busy(e->opts.shard, NULL);
    e->run = NULL;
}

/* The run lives on the engine's own stack: it outlasts the caller's. */
static void start_run(struct call *c, bool nested)
{
    struct engine *e = (struct engine *)shard_engine(c->shard);
    uint64_t now_us = engine_clock_us(e);
    buf_clear(&e->user);
    buf_put_bytes(&e->user, c->user);
    struct run r = {.engine = e,
                    .call = c,
                    .now = c->now,
                    .session = c->session,
                    .track = c->track,
                    .resp = c->reply->resp,
                    .reply_max = c->reply->max,
                    .script_resp = 2,
                    .in_exec = c->in_exec,
                    .eval = c->command->name[0] == 'e',
                    .may_later = c->may_later,
                    .nested = nested,
                    .started_us = now_us,
                    .slice_us = now_us};
    run_on_stack(&r);
}

static void enter_run(void *arg) { start_run(arg, false); }

static void run_hook(struct shard_engine *self, struct call *c)
{
    struct engine *e = (struct engine *)self;
    if (e->run != NULL ||
        (e->fiber != NULL && fiber_is_stopped(e->fiber) && !fiber_is_inside(e->fiber))) {
        reply_error(c->reply, "BUSY another script is running");
        return;
    }
    if (e->generation != scripts_generation(e->opts.scripts))
        engine_reset(e);
    if (!engine_open(e)) {
        reply_error(c->reply, "ERR not enough memory to run scripts");
        return;
    }
    if (fiber_is_inside(e->fiber))
        start_run(c, true);
    else if (!fiber_start(e->fiber, enter_run, c))
        c->later = true;
}

bool engine_on_stack(struct engine *e, void (*fn)(void *arg), void *arg)
{
    if (engine_open(e))
        return fiber_start(e->fiber, fn, arg);
    fn(arg);
    return true;
}

bool engine_is_stopped(const struct engine *e)
{
    return e->fiber != NULL && fiber_is_stopped(e->fiber) && !fiber_is_inside(e->fiber);
}

bool engine_resume(struct engine *e) { return fiber_resume(e->fiber); }

struct bytes engine_reply(const struct engine *e) { return buf_bytes(&e->out); }

enum engine_kill engine_kill(struct engine *e, bool function)
{
    struct run *r = e->run;
    if (r == NULL)
        return KILL_NOTHING;
    if (r->wrote)
        return KILL_WRITTEN;
    if (r->eval == function)
        return KILL_OTHER_WAY;
    r->killed = true;
    return KILL_DONE;
}

bool engine_running(const struct engine *e, struct engine_running *out)
{
    const struct run *r = e->run;
    if (r == NULL)
        return false;
    *out = (struct engine_running){.function = !r->eval,
                                   .name = r->name,
                                   .argv = buf_bytes(&e->argv_text),
                                   .duration_ms =
                                       elapsed_us(e, r->started_us, r->instructions) / 1000};
    return true;
}
