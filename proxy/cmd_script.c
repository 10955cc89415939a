/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/route.h"
#include "rdb/rdb.h"
#include "shard/glob.h"

#include <stdio.h>

/*
 * SCRIPT and FUNCTION. What is loaded lies in the catalog, so that every worker and every region
 * has it; what runs is asked of all workers.
 */

static void reply_bulk_to(struct buf *out, struct bytes s)
{
    struct reply r = {.out = out, .resp = 2};
    reply_bulk(&r, s);
}

/* [ASYNC|SYNC] as the last of `argc` arguments; false: the error is replied. */
static bool flush_mode(struct ask *a, const char *message)
{
    if (a->argc == 2 || (a->argc == 3 && (bytes_is_nocase(a->argv[2], "sync") ||
                                          bytes_is_nocase(a->argv[2], "async"))))
        return true;
    reply_error(&a->reply, message);
    return false;
}

/* Removes all entries of a kind; the reply is OK. */
static void decide_flush(struct catalog_job *j)
{
    enum catalog_kind kind = (enum catalog_kind)j->argv[0].p[0];
    const struct catalog_list *all = catalog_list(&j->front->catalog, kind);
    struct catalog_change *changes = mem_zalloc((all->n + 1) * sizeof changes[0]);
    for (size_t i = 0; i < all->n; i++) {
        uint8_t *name = mem_alloc(all->at[i].name.n + 1); /* the copy changes as we write */
        memcpy(name, all->at[i].name.p, all->at[i].name.n);
        changes[i] = (struct catalog_change){
            .kind = kind, .removed = true, .name = bytes_of(name, all->at[i].name.n)};
    }
    size_t n = all->n;
    if (n == 0 || catalog_commit(j, changes, n))
        reply_ok(j->reply);
    for (size_t i = 0; i < n; i++) {
        union {
            const uint8_t *in;
            uint8_t *out;
        } u = {.in = changes[i].name.p};
        mem_free(u.out);
    }
    mem_free(changes);
}

static void flush_kind(struct ask *a, enum catalog_kind kind)
{
    uint8_t which = (uint8_t)kind;
    struct bytes arg = bytes_of(&which, 1);
    catalog_ask(a, decide_flush, 1, &arg);
}

/* ------------------------------------------------------------ what runs */

/* Of all workers' answers the best: killed somewhere; not because ...; nothing runs. */
static void finish_kill(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    uint8_t best = KILL_NOTHING;
    for (uint32_t i = 0; i < courier_workers(f->courier); i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        uint8_t one = part.n > 0 ? part.p[0] : KILL_NOTHING;
        if (one == KILL_DONE || best == KILL_NOTHING)
            best = one;
    }
    switch ((enum engine_kill)best) {
    case KILL_DONE:
        reply_ok(r);
        break;
    case KILL_WRITTEN:
        reply_error(r, "UNKILLABLE Sorry the script already executed write commands against the "
                       "dataset. You can either wait the script termination or kill the server in "
                       "a hard way using the SHUTDOWN NOSAVE command.");
        break;
    case KILL_OTHER_WAY:
        reply_error(r, a->aux ? BUSY_SCRIPT_TEXT : BUSY_FUNCTION_TEXT);
        break;
    case KILL_NOTHING:
        reply_error(r, "NOTBUSY No scripts in execution right now.");
        break;
    }
}

static void kill_running(struct ask *a, bool function)
{
    struct bytes what = bytes_str(function ? "kill function" : "kill script");
    route_workers(a, JOB_SCRIPTS, 1, &what, finish_kill, function);
}

/* ------------------------------------------------------------ SCRIPT */

static void script_load(struct ask *a)
{
    struct bytes body = a->argv[2];
    char sha[SHA1_HEX + 1];
    struct buf reply = {0};
    if (!scripts_check_body(a->front->scripting.scripts, body, &a->reply))
        return;
    sha1_hex(body, sha);
    reply_bulk_to(&reply, bytes_of(sha, SHA1_HEX));
    struct catalog_change change = {
        .kind = CATALOG_SCRIPTS, .name = bytes_of(sha, SHA1_HEX), .value = body};
    if (catalog_find(a->front, CATALOG_SCRIPTS, change.name) != NULL)
        buf_put_bytes(a->reply.out, buf_bytes(&reply));
    else
        catalog_write(a, &change, 1, buf_bytes(&reply));
    buf_deinit(&reply);
}

/* A script exists when EVALSHA finds it whichever shard it goes to. */
static void finish_exists(struct front *f, struct answer *a, struct reply *r)
{
    reply_array(r, (size_t)a->aux);
    for (size_t i = 0; i < a->aux; i++) {
        bool known = true;
        for (uint32_t w = 0; w < courier_workers(f->courier); w++) {
            struct bytes part = buf_bytes(&a->parts[w]);
            known &= i < part.n && part.p[i] != 0;
        }
        reply_int(r, known);
    }
}

static void script_exists(struct ask *a)
{
    struct bytes *argv = mem_alloc(a->argc * sizeof argv[0]);
    memcpy(argv, a->argv, a->argc * sizeof argv[0]);
    argv[1] = bytes_str("exists");
    route_workers(a, JOB_SCRIPTS, a->argc - 1, argv + 1, finish_exists, a->argc - 2);
    mem_free(argv);
}

/* Loaded ones leave the catalog; what EVAL brought, each worker forgets for itself. */
static void script_flush(struct ask *a)
{
    struct front *f = a->front;
    struct bytes what = bytes_str("forget");
    struct job job = {.kind = JOB_SCRIPTS, .db_uid = f->db_uid, .argc = 1, .argv = &what};
    if (!flush_mode(a, "ERR SCRIPT FLUSH only support SYNC|ASYNC option"))
        return;
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            courier_send(f->courier, a->port, i, &job, NULL, 0);
    scripts_forget(f->scripting.scripts);
    flush_kind(a, CATALOG_SCRIPTS);
}

static void script_kill(struct ask *a) { kill_running(a, false); }

static void script_debug(struct ask *a)
{
    if (bytes_is_nocase(a->argv[2], "no"))
        reply_ok(&a->reply);
    else if (bytes_is_nocase(a->argv[2], "yes") || bytes_is_nocase(a->argv[2], "sync"))
        reply_error(&a->reply, "ERR this server has no script debugger: run the script with EVAL "
                               "and use redis.log()");
    else
        reply_error(&a->reply, "ERR Use SCRIPT DEBUG YES/SYNC/NO");
}

static void script_help(struct ask *a)
{
    static const char *const lines[] = {
        "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DEBUG (YES|SYNC|NO)",
        "    There is no debugger; NO is accepted.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Tell which scripts EVALSHA would find.",
        "FLUSH [ASYNC|SYNC]",
        "    Forget all scripts, in all regions.",
        "KILL",
        "    End the script that runs, if it has not written.",
        "LOAD <script>",
        "    Keep a script for EVALSHA, in all regions, without running it.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------ FUNCTION */

static bool refuse_full(struct catalog_job *j)
{
    if (!shard_is_full(j->shard))
        return false;
    reply_error(j->reply, OOM_TEXT);
    return true;
}

/* argv: the code, "replace" or "". */
static void decide_load(struct catalog_job *j)
{
    struct scripts *s = j->front->scripting.scripts;
    if (refuse_full(j))
        return;
    bool replace = j->argv[1].n > 0;
    const char *why = scripts_check(s, j->argv[0], replace ? SCRIPTS_REPLACE : SCRIPTS_ADD);
    if (why != NULL) {
        reply_errorf(j->reply, "ERR %s", why);
        return;
    }
    struct buf name = {0};
    buf_put_bytes(&name, scripts_checked(s));
    struct catalog_change change = {
        .kind = CATALOG_LIBRARIES, .name = buf_bytes(&name), .value = j->argv[0]};
    if (catalog_commit(j, &change, 1))
        reply_bulk(j->reply, buf_bytes(&name));
    buf_deinit(&name);
}

static void function_load(struct ask *a)
{
    bool replace = false;
    for (uint32_t i = 2; i + 1 < a->argc; i++) {
        if (!bytes_is_nocase(a->argv[i], "replace")) {
            reply_errorf(&a->reply, "ERR Unknown option given: %.*s",
                         (int)(a->argv[i].n < 128 ? a->argv[i].n : 128),
                         (const char *)a->argv[i].p);
            return;
        }
        replace = true;
    }
    struct bytes argv[2] = {a->argv[a->argc - 1], bytes_str(replace ? "replace" : "")};
    catalog_ask(a, decide_load, 2, argv);
}

static void decide_delete(struct catalog_job *j)
{
    struct catalog_change change = {.kind = CATALOG_LIBRARIES, .removed = true, .name = j->argv[0]};
    if (catalog_find(j->front, CATALOG_LIBRARIES, j->argv[0]) == NULL)
        reply_error(j->reply, "ERR Library not found");
    else if (catalog_commit(j, &change, 1))
        reply_ok(j->reply);
}

static void function_delete(struct ask *a) { catalog_ask(a, decide_delete, 1, &a->argv[2]); }

static void function_flush(struct ask *a)
{
    if (a->argc > 3) {
        reply_wrong_form(a);
        return;
    }
    if (flush_mode(a, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"))
        flush_kind(a, CATALOG_LIBRARIES);
}

static void function_kill(struct ask *a) { kill_running(a, true); }

static void list_function(struct reply *r, const struct function *f)
{
    uint32_t flag = 0;
    size_t n = 0;
    reply_map(r, 3);
    reply_bulk_str(r, "name");
    reply_bulk_str(r, f->name);
    reply_bulk_str(r, "description");
    if (f->description != NULL)
        reply_bulk_str(r, f->description);
    else
        reply_nil(r);
    reply_bulk_str(r, "flags");
    for (unsigned i = 0; script_flag_name(i, &flag) != NULL; i++)
        n += (f->flags & flag) != 0;
    reply_set(r, n);
    for (unsigned i = 0; script_flag_name(i, &flag) != NULL; i++)
        if (f->flags & flag)
            reply_simple(r, script_flag_name(i, &flag));
}

static void list_library(struct reply *r, const struct library *l, bool code)
{
    reply_map(r, code ? 4 : 3);
    reply_bulk_str(r, "library_name");
    reply_bulk_str(r, l->name);
    reply_bulk_str(r, "engine");
    reply_bulk_str(r, "LUA");
    reply_bulk_str(r, "functions");
    reply_array(r, l->functions_count);
    for (unsigned i = 0; i < l->functions_count; i++)
        list_function(r, &l->functions[i]);
    if (code) {
        reply_bulk_str(r, "library_code");
        reply_bulk(r, buf_bytes(&l->code));
    }
}

static bool fits(const struct library *l, const struct bytes *pattern)
{
    return pattern == NULL || glob_match_nocase(*pattern, bytes_str(l->name));
}

static void function_list(struct ask *a)
{
    const struct library *all = scripts_libraries(a->front->scripting.scripts);
    const struct bytes *pattern = NULL;
    bool code = false;
    size_t n = 0;
    for (uint32_t i = 2; i < a->argc; i++) {
        if (!code && bytes_is_nocase(a->argv[i], "withcode")) {
            code = true;
        } else if (pattern == NULL && bytes_is_nocase(a->argv[i], "libraryname")) {
            if (i + 1 >= a->argc) {
                reply_error(&a->reply, "ERR library name argument was not given");
                return;
            }
            pattern = &a->argv[++i];
        } else {
            reply_errorf(&a->reply, "ERR Unknown argument %.*s",
                         (int)(a->argv[i].n < 128 ? a->argv[i].n : 128),
                         (const char *)a->argv[i].p);
            return;
        }
    }
    for (const struct library *l = all; l != NULL; l = l->next)
        n += fits(l, pattern);
    reply_array(&a->reply, n);
    for (const struct library *l = all; l != NULL; l = l->next)
        if (fits(l, pattern))
            list_library(&a->reply, l, code);
}

static void finish_stats(struct front *f, struct answer *a, struct reply *r)
{
    struct bytes running = {0};
    for (uint32_t i = 0; i < courier_workers(f->courier) && running.n == 0; i++)
        running = buf_bytes(&a->parts[i]);
    if (running.n > 0 && running.p[0] == '-') {
        buf_put_bytes(r->out, running);
        return;
    }
    reply_map(r, 2);
    reply_bulk_str(r, "running_script");
    if (running.n > 0)
        buf_put_bytes(r->out, running);
    else
        reply_nil(r);
    reply_bulk_str(r, "engines");
    reply_map(r, 1);
    reply_bulk_str(r, "LUA");
    reply_map(r, 2);
    reply_bulk_str(r, "libraries_count");
    reply_int(r, (int64_t)scripts_libraries_count(f->scripting.scripts));
    reply_bulk_str(r, "functions_count");
    reply_int(r, (int64_t)scripts_functions_count(f->scripting.scripts));
}

static void function_stats(struct ask *a)
{
    struct bytes what = bytes_str("running");
    route_workers(a, JOB_SCRIPTS, 1, &what, finish_stats, 0);
}

/* ------------------------------------------------------------ DUMP and RESTORE */

/* As in Redis' snapshots: for each library this byte and its code. */
#define LIBRARY_CODE 245
#define LIBRARIES_MAX 1024u /* of a payload */

static void function_dump(struct ask *a)
{
    struct buf out = {0};
    const struct library *l = scripts_libraries(a->front->scripting.scripts);
    for (; l != NULL; l = l->next) {
        buf_put_u8(&out, LIBRARY_CODE);
        rdb_put_text(&out, buf_bytes(&l->code));
    }
    rdb_payload_close(&out, 0);
    reply_bulk(&a->reply, buf_bytes(&out));
    buf_deinit(&out);
}

struct restore {
    struct rdb_text code[LIBRARIES_MAX];
    struct catalog_change changes[2 * LIBRARIES_MAX];
    struct buf names;
    size_t at[LIBRARIES_MAX]; /* in names */
    size_t libraries, n;
    const char *why;
    char text[256];
};

static bool restore_fails(struct restore *x, const char *why)
{
    x->why = why;
    return false;
}

static bool restore_compiles(struct restore *x, struct scripts *s, struct bytes code,
                             enum scripts_policy policy)
{
    const char *why = scripts_check(s, code, policy);
    if (why == NULL)
        return true;
    snprintf(x->text, sizeof x->text, "%s", why);
    return restore_fails(x, x->text);
}

/* One library of the payload: may it come in beside the others of it and those that are there? */
static bool restore_check(struct restore *x, struct scripts *s, struct bytes code,
                          enum scripts_policy policy)
{
    if (!restore_compiles(x, s, code, SCRIPTS_ALONE))
        return false;
    struct bytes name = scripts_checked(s);
    bool twice = policy == SCRIPTS_ADD && scripts_library(s, name) != NULL;
    for (size_t i = 0; i < x->libraries && !twice; i++)
        twice = bytes_is(name, (const char *)x->names.p + x->at[i]);
    if (twice) {
        snprintf(x->text, sizeof x->text, "Library %.*s already exists", (int)name.n,
                 (const char *)name.p);
        return restore_fails(x, x->text);
    }
    x->at[x->libraries] = buf_len(&x->names);
    buf_put_bytes(&x->names, name);
    buf_put_u8(&x->names, 0);
    return true;
}

static bool restore_read(struct restore *x, struct scripts *s, struct bytes payload,
                         enum scripts_policy policy)
{
    struct bytes all;
    if (!rdb_payload_open(payload, &all))
        return restore_fails(x, "DUMP payload version or checksum are wrong");
    struct rdb_in in = rdb_in(all);
    while (in.p < in.end) {
        if (*in.p++ != LIBRARY_CODE)
            return restore_fails(x, "given type is not a function");
        if (x->libraries == LIBRARIES_MAX)
            return restore_fails(x, "too many libraries in one payload");
        if (!rdb_read_text(&in, &x->code[x->libraries]))
            return restore_fails(x, "failed loading the given functions payload");
        bool ok = restore_check(x, s, x->code[x->libraries].text, policy);
        x->libraries++;
        if (!ok)
            return false;
    }
    for (size_t i = 0; i < x->libraries && policy != SCRIPTS_ALONE; i++)
        if (!restore_compiles(x, s, x->code[i].text, SCRIPTS_REPLACE))
            return false;
    return true;
}

/* What the libraries of the payload make of the catalog. */
static bool restore_plan(struct restore *x, const struct front *f, bool flush)
{
    const struct catalog_list *now = catalog_list(&f->catalog, CATALOG_LIBRARIES);
    if (flush && now->n > LIBRARIES_MAX)
        return restore_fails(x, "too many libraries: use FUNCTION FLUSH first");
    size_t names = buf_len(&x->names);
    for (size_t i = 0; flush && i < now->n; i++) {
        const struct bytes name = now->at[i].name;
        bool stays = false;
        for (size_t k = 0; k < x->libraries; k++)
            stays |= bytes_is(name, (const char *)x->names.p + x->at[k]);
        if (!stays)
            buf_put_bytes(&x->names, name); /* the catalog's copy changes as we write */
    }
    for (size_t i = 0; flush && i < now->n; i++) {
        const struct bytes name = now->at[i].name;
        bool stays = false;
        for (size_t k = 0; k < x->libraries; k++)
            stays |= bytes_is(name, (const char *)x->names.p + x->at[k]);
        if (stays)
            continue;
        x->changes[x->n++] = (struct catalog_change){.kind = CATALOG_LIBRARIES,
                                                     .removed = true,
                                                     .name = bytes_of(x->names.p + names, name.n)};
        names += name.n;
    }
    for (size_t i = 0; i < x->libraries; i++)
        x->changes[x->n++] =
            (struct catalog_change){.kind = CATALOG_LIBRARIES,
                                    .name = bytes_str((const char *)x->names.p + x->at[i]),
                                    .value = x->code[i].text};
    return true;
}

/* argv: the payload, the policy. */
static void decide_restore(struct catalog_job *j)
{
    struct scripts *s = j->front->scripting.scripts;
    bool flush = bytes_is_nocase(j->argv[1], "flush");
    enum scripts_policy policy = flush                                    ? SCRIPTS_ALONE
                                 : bytes_is_nocase(j->argv[1], "replace") ? SCRIPTS_REPLACE
                                                                          : SCRIPTS_ADD;
    struct restore *x = mem_zalloc(sizeof *x);
    if (refuse_full(j))
        ;
    else if (!restore_read(x, s, j->argv[0], policy) || !restore_plan(x, j->front, flush))
        reply_errorf(j->reply, "ERR %s", x->why);
    else if (x->n == 0 || catalog_commit(j, x->changes, x->n))
        reply_ok(j->reply);
    for (size_t i = 0; i < x->libraries; i++)
        rdb_text_free(&x->code[i]);
    buf_deinit(&x->names);
    mem_free(x);
}

static void function_restore(struct ask *a)
{
    struct bytes argv[2] = {a->argv[2], bytes_str("append")};
    if (a->argc == 4)
        argv[1] = a->argv[3];
    if (a->argc > 4)
        reply_wrong_form(a);
    else if (!bytes_is_nocase(argv[1], "append") && !bytes_is_nocase(argv[1], "replace") &&
             !bytes_is_nocase(argv[1], "flush"))
        reply_error(&a->reply, "ERR Wrong restore policy given, value should be either FLUSH, "
                               "APPEND or REPLACE.");
    else
        catalog_ask(a, decide_restore, 2, argv);
}

static void function_help(struct ask *a)
{
    static const char *const lines[] = {
        "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a library from its code, in all regions.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library, in all regions.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return the libraries with their functions, and with their code if wanted.",
        "STATS",
        "    Return the function that runs for too long, and how many libraries there are.",
        "KILL",
        "    End the function that runs, if it has not written.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all libraries, in all regions.",
        "DUMP",
        "    Return all libraries as a payload for FUNCTION RESTORE.",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Add the payload's libraries (APPEND, the default: none of them may exist), replace",
        "    those of the same name (REPLACE), or all (FLUSH).",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_script_commands[] = {
    {"function|delete", function_delete, SESSION_ALONE},
    {"function|dump", function_dump, 0},
    {"function|flush", function_flush, SESSION_ALONE},
    {"function|help", function_help, 0},
    {"function|kill", function_kill, SESSION_ALONE},
    {"function|list", function_list, 0},
    {"function|load", function_load, SESSION_ALONE},
    {"function|restore", function_restore, SESSION_ALONE},
    {"function|stats", function_stats, SESSION_ALONE},
    {"script|debug", script_debug, 0},
    {"script|exists", script_exists, SESSION_ALONE},
    {"script|flush", script_flush, SESSION_ALONE},
    {"script|help", script_help, 0},
    {"script|kill", script_kill, SESSION_ALONE},
    {"script|load", script_load, SESSION_ALONE},
    {NULL, NULL, 0},
};
