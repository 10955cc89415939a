/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include <criterion/criterion.h>
#include <stdio.h>

/*
 * Scripts through sessions and workers. Virtual time stands still within a step: a script's
 * instructions count instead (a million is a millisecond).
 */
TestSuite(scripting);

#define LOOP "*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n"
#define BUSY                                                                                       \
    "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
#define KILLED                                                                                     \
    "-ERR Script killed by user with SCRIPT KILL... script: "                                      \
    "694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7, on @user_script:1.\r\n"

static void expect(struct client *c, const char *ask, const char *want)
{
    const char *got = client_ask(c, ask);
    cr_expect_str_eq(got, want, "%s: got %s", ask, got);
}

static void ask_script(struct client *c, const char *script)
{
    char command[400];
    snprintf(command, sizeof command, "*3\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n0\r\n",
             strlen(script), script);
    client_send(c, bytes_str(command));
}

static struct serve *begin(unsigned workers, unsigned shards)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = workers, .shards = shards});
    struct client *c = client_new(s);
    expect(c, "config set busy-reply-threshold 1\r\n", "+OK\r\n");
    client_close(c);
    return s;
}

Test(scripting, a_slow_script_can_be_killed)
{
    struct serve *s = begin(1, 1);
    struct client *slow = client_new(s), *other = client_new(s);
    expect(slow, LOOP "PING\r\n", "");
    expect(other, "PING\r\n", BUSY);
    expect(other, "GET k\r\n", BUSY);
    expect(other, "MULTI\r\n", "+OK\r\n");
    expect(other, "GET k\r\n", BUSY);
    expect(other, "EXEC\r\n",
           "-EXECABORT Transaction discarded because of: " /* then BUSY */
           "BUSY Redis is busy running a script. You can only call SCRIPT KILL "
           "or SHUTDOWN NOSAVE.\r\n");
    expect(other, "FUNCTION KILL\r\n", BUSY);
    expect(other, "SCRIPT KILL\r\n", "+OK\r\n");
    serve_run(s, 50);
    cr_expect_str_eq(client_take(slow), KILLED "+PONG\r\n", "in order, once it is over");
    expect(other, "PING\r\nGET k\r\n", "+PONG\r\n$-1\r\n");
    expect(other, "SCRIPT KILL\r\n", "-NOTBUSY No scripts in execution right now.\r\n");
    serve_free(s);
}

Test(scripting, a_kill_survives_pcall)
{
    struct serve *s = begin(1, 1);
    struct client *slow = client_new(s), *other = client_new(s);
    ask_script(slow, "local f = function() while 1 do end end while 1 do pcall(f) end");
    serve_run(s, 50);
    expect(other, "SCRIPT KILL\r\n", "+OK\r\n");
    serve_run(s, 50);
    cr_expect(strncmp(client_take(slow), "-ERR Script killed by user", 26) == 0);
    expect(other, "PING\r\n", "+PONG\r\n");
    serve_free(s);
}

Test(scripting, what_has_written_is_not_killed_and_goes_on_alone)
{
    struct serve *s = begin(1, 1);
    struct client *slow = client_new(s), *other = client_new(s);
    const char *script = "redis.call('SET', 'k', 'v') local n = 0 for i = 1, 3e6 do n = n + i end "
                         "redis.call('SET', 'k', 'w') return n";
    ask_script(slow, script);
    serve_run(s, 1);
    const char *killed = client_ask(other, "SCRIPT KILL\r\n");
    cr_expect(strncmp(killed, "-UNKILLABLE", 11) == 0 || strncmp(killed, "-NOTBUSY", 8) == 0, "%s",
              killed);
    client_close(slow); /* it is finished all the same */
    serve_run(s, 2000);
    expect(other, "GET k\r\n", "$1\r\nw\r\n");
    serve_free(s);
}

Test(scripting, other_shards_go_on)
{
    struct serve *s = begin(2, 2);
    struct client *slow = client_new(s), *other = client_new(s);
    expect(slow, "*4\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n1\r\n$3\r\nfoo\r\n", "");
    expect(other, "PING\r\n", "+PONG\r\n");
    expect(other, "GET foo\r\n", BUSY);
    expect(other, "SET bar 1\r\nGET bar\r\n", "+OK\r\n$1\r\n1\r\n");
    expect(other, "SCRIPT KILL\r\n", "+OK\r\n");
    serve_run(s, 50);
    cr_expect(strncmp(client_take(slow), "-ERR Script killed by user", 26) == 0);
    expect(other, "GET foo\r\n", "$-1\r\n");
    serve_free(s);
}

Test(scripting, a_slow_script_within_a_transaction)
{
    struct serve *s = begin(1, 1);
    struct client *slow = client_new(s), *other = client_new(s);
    expect(slow, "MULTI\r\nSET k v\r\n" LOOP "GET k\r\nEXEC\r\n",
           "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    expect(other, "GET k\r\n", BUSY);
    expect(other, "SCRIPT KILL\r\n", "+OK\r\n");
    serve_run(s, 50);
    cr_expect_str_eq(client_take(slow), "*3\r\n+OK\r\n" KILLED "$1\r\nv\r\n");
    expect(other, "GET k\r\n", "$1\r\nv\r\n");
    serve_free(s);
}

Test(scripting, a_transaction_begins_with_new_Lua_after_a_flush)
{
    struct serve *s = begin(1, 1);
    struct client *c = client_new(s);
    expect(c, "EVAL \"return 1\" 0\r\nSCRIPT FLUSH\r\n", ":1\r\n+OK\r\n");
    expect(c, "MULTI\r\nEVAL \"return 2\" 0\r\nEVAL \"return {3}\" 0\r\nEXEC\r\n",
           "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n*1\r\n:3\r\n");
    expect(c, "EVAL \"return 4\" 0\r\n", ":4\r\n");
    serve_free(s);
}

Test(scripting, a_database_can_be_dropped_under_a_script)
{
    struct serve *s = begin(2, 2);
    struct client *slow = client_new(s);
    expect(slow, "*4\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n1\r\n$3\r\nfoo\r\n", "");
    serve_free(s);
}

Test(scripting, what_is_loaded_is_known_to_all_workers)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 2, .shards = 2});
    struct client *c = client_new(s);
    expect(c, "SCRIPT LOAD \"return 1\"\r\n",
           "$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n");
    expect(c, "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 foo\r\n", ":1\r\n");
    expect(c, "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 bar\r\n", ":1\r\n");
    expect(c, "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db x\r\n", "*2\r\n:1\r\n:0\r\n");
    expect(c, "SCRIPT FLUSH\r\nEVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 foo\r\n",
           "+OK\r\n-NOSCRIPT No matching script. Please use EVAL.\r\n");
    expect(c,
           "FUNCTION LOAD \"#!lua name=l\\nredis.register_function('f', function(k) return k[1] "
           "end)\"\r\nFCALL f 1 foo\r\nFCALL f 1 bar\r\n",
           "$1\r\nl\r\n$3\r\nfoo\r\n$3\r\nbar\r\n");
    expect(c, "FUNCTION DELETE l\r\nFCALL f 1 foo\r\nFCALL f 1 bar\r\n",
           "+OK\r\n-ERR Function not found\r\n-ERR Function not found\r\n");
    serve_free(s);
}
