/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "shard/keys.h"

/*
 * Scripts: rows for EVAL and its kin, which the shard's engine runs (script/), and for SCRIPT and
 * FUNCTION, which the proxy answers.
 */
static void run_script(struct call *c)
{
    struct shard_engine *engine = shard_engine(c->shard);
    if (engine == NULL) {
        reply_error(c->reply, "ERR this server runs no scripts");
        return;
    }
    struct mem_account *mine = mem_account_enter(NULL); /* the engine counts its own memory */
    engine->run(engine, c);
    mem_account_leave(mine);
}

/* "script numkeys key [key ...] arg [arg ...]" */
static unsigned script_keys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    int64_t count;
    if (argc < 3 || !num_parse_i64(argv[2], &count) || count < 1 || count > (int64_t)argc - 3)
        return 0;
    unsigned n = 0;
    for (; n < max && (int64_t)n < count; n++)
        at[n] = 3 + n;
    return n;
}

#define SCRIPTED (CMD_NOSCRIPT | CMD_LOADING | CMD_SCRIPT)

const struct command cmd_script_table[] = {
    {"eval", -3, SCRIPTED, 0, 0, 0, AT_SHARD, MERGE_NONE, run_script, script_keys, "scripting",
     "2.6.0", "that of the script", "Runs a Lua script; its effects reach other regions at once",
     "script numkeys [key [key ...]] [arg [arg ...]]"},
    {"eval_ro", -3, SCRIPTED | CMD_READONLY, 0, 0, 0, AT_SHARD, MERGE_NONE, run_script, script_keys,
     "scripting", "7.0.0", "that of the script", "Runs a Lua script that only reads",
     "script numkeys [key [key ...]] [arg [arg ...]]"},
    {"evalsha", -3, SCRIPTED, 0, 0, 0, AT_SHARD, MERGE_NONE, run_script, script_keys, "scripting",
     "2.6.0", "that of the script", "Runs a Lua script by the SHA1 of its text",
     "sha1 numkeys [key [key ...]] [arg [arg ...]]"},
    {"evalsha_ro", -3, SCRIPTED | CMD_READONLY, 0, 0, 0, AT_SHARD, MERGE_NONE, run_script,
     script_keys, "scripting", "7.0.0", "that of the script",
     "Runs a Lua script that only reads by the SHA1 of its text",
     "sha1 numkeys [key [key ...]] [arg [arg ...]]"},
    {"fcall", -3, SCRIPTED, 0, 0, 0, AT_SHARD, MERGE_NONE, run_script, script_keys, "scripting",
     "7.0.0", "that of the script", "Calls a function of a library",
     "function numkeys [key [key ...]] [arg [arg ...]]"},
    {"fcall_ro", -3, SCRIPTED | CMD_READONLY, 0, 0, 0, AT_SHARD, MERGE_NONE, run_script,
     script_keys, "scripting", "7.0.0", "that of the script",
     "Calls a function of a library that only reads",
     "function numkeys [key [key ...]] [arg [arg ...]]"},
    {"function", -2, CMD_CONTAINER, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "7.0.0", "that of the subcommand", "Loads, lists and removes libraries of functions", ""},
    {"function|delete", 3, CMD_NOSCRIPT | CMD_WRITE, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "scripting", "7.0.0", "O(1)", "Deletes a library, in all regions", "library-name"},
    {"function|dump", 2, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "7.0.0", "O(N) with N the number of functions",
     "Returns all libraries as a payload for FUNCTION RESTORE", ""},
    {"function|flush", -2, CMD_NOSCRIPT | CMD_WRITE, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "scripting", "7.0.0", "O(N) with N the number of functions",
     "Deletes all libraries, in all regions", "[ASYNC|SYNC]"},
    {"function|help", 2, CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "7.0.0", "O(1)", "Explains the subcommands of FUNCTION", ""},
    {"function|kill", 2, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "7.0.0", "O(1)", "Ends the function that runs for too long", ""},
    {"function|list", -2, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "7.0.0", "O(N) with N the number of functions", "Returns the libraries and their functions",
     "[LIBRARYNAME library-name-pattern] [WITHCODE]"},
    {"function|load", -3, CMD_NOSCRIPT | CMD_WRITE | CMD_DENYOOM, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "scripting", "7.0.0", "O(1) plus that of running its code",
     "Creates a library, in all regions", "[REPLACE] function-code"},
    {"function|restore", -3, CMD_NOSCRIPT | CMD_WRITE | CMD_DENYOOM, 0, 0, 0, AT_SESSION,
     MERGE_NONE, NULL, NULL, "scripting", "7.0.0", "O(N) with N the number of functions",
     "Creates the libraries of a payload, in all regions",
     "serialized-value [FLUSH|APPEND|REPLACE]"},
    {"function|stats", 2, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "7.0.0", "O(1)", "Returns the function that runs for too long, and how many there are", ""},
    {"script", -2, CMD_CONTAINER, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting", "2.6.0",
     "that of the subcommand", "Loads and removes scripts", ""},
    {"script|debug", 3, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "3.2.0", "O(1)", "Refused: there is no debugger", "<YES|SYNC|NO>"},
    {"script|exists", -3, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "2.6.0", "O(N) with N the number of scripts asked for",
     "Tells which scripts EVALSHA would find", "sha1 [sha1 ...]"},
    {"script|flush", -2, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "2.6.0", "O(N) with N the number of scripts", "Forgets all scripts, in all regions",
     "[ASYNC|SYNC]"},
    {"script|help", 2, CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "5.0.0", "O(1)", "Explains the subcommands of SCRIPT", ""},
    {"script|kill", 2, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "scripting",
     "2.6.0", "O(1)", "Ends the script that runs for too long", ""},
    {"script|load", 3, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "scripting", "2.6.0", "O(N) with N the length of the script",
     "Keeps a script for EVALSHA, in all regions", "script"},
    {.name = NULL},
};
