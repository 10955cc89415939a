/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct serve *lone(void)
{
    return serve_new(&(struct serve_opts){.workers = 1, .shards = 1});
}

static void expect(struct client *c, const char *ask, const char *want)
{
    const char *got = client_ask(c, ask);
    cr_expect_str_eq(got, want, "%s: got %s", ask, got);
}

Test(session, answers_a_pipeline_in_order)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    expect(c,
           "set k v\r\nget k\r\n*1\r\n$4\r\nPING\r\n\r\nappend k w\r\nget k\r\nnope x\r\nget\r\n",
           "+OK\r\n$1\r\nv\r\n+PONG\r\n:2\r\n$2\r\nvw\r\n"
           "-ERR unknown command 'nope', with args beginning with: 'x' \r\n"
           "-ERR wrong number of arguments for 'get' command\r\n");
    serve_free(s);
}

Test(session, reads_commands_torn_anywhere)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 2, .shards = 4, .split = true});
    struct client *c = client_new(s);
    struct buf out = {0};
    for (int i = 0; i < 500; i++)
        buf_putf(
            &out,
            "*3\r\n$3\r\nSET\r\n$4\r\nk%03d\r\n$3\r\n%03d\r\n*2\r\n$3\r\nGET\r\n$4\r\nk%03d\r\n", i,
            i, i);
    client_send(c, buf_bytes(&out));
    serve_run(s, 2000);
    const char *got = client_take(c);
    buf_clear(&out);
    for (int i = 0; i < 500; i++)
        buf_putf(&out, "+OK\r\n$3\r\n%03d\r\n", i);
    buf_put_u8(&out, 0);
    cr_expect_str_eq(got, (char *)out.p);
    buf_deinit(&out);
    serve_free(s);
}

Test(session, keeps_a_long_command_until_it_is_whole)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    struct buf out = {0};
    buf_putf(&out, "*1002\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n");
    for (int i = 0; i < 1000; i++)
        buf_putf(&out, "$6\r\n%06d\r\n", i);
    size_t half = buf_len(&out) - 7003;
    client_send(c, bytes_of(out.p, half));
    cr_expect_str_empty(client_take(c));
    client_send(c, bytes_of(out.p + half, buf_len(&out) - half));
    cr_expect_str_eq(client_take(c), ":1000\r\n");
    expect(c, "lindex l 777\r\n", "$6\r\n000777\r\n");
    buf_deinit(&out);
    serve_free(s);
}

Test(session, closes_after_a_protocol_error)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    expect(c, "ping\r\n*1\r\n$x\r\nping\r\n",
           "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
    cr_expect(client_closed(c));
    struct client *http = client_new(s);
    expect(http, "POST / HTTP/1.1\r\nHost: x\r\n\r\n", "");
    cr_expect(client_closed(http));
    struct client *quit = client_new(s);
    expect(quit, "quit\r\nping\r\n", "+OK\r\n");
    cr_expect(client_closed(quit));
    serve_free(s);
}

Test(session, demands_the_password)
{
    struct serve *s =
        serve_new(&(struct serve_opts){.workers = 1, .shards = 1, .password = "secret"});
    struct client *c = client_new(s);
    expect(c, "get k\r\n", "-NOAUTH Authentication required.\r\n");
    expect(c, "auth wrong\r\n",
           "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    expect(c, "auth other secret\r\n",
           "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    expect(c, "auth default secret\r\n", "+OK\r\n");
    expect(c, "get k\r\n", "$-1\r\n");
    struct client *d = client_new(s);
    cr_expect_not_null(strstr(client_ask(d, "hello 3\r\n"), "-NOAUTH HELLO must be called"));
    cr_expect_not_null(strstr(client_ask(d, "hello 3 auth default secret setname me\r\n"),
                              "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"));
    expect(d, "get k\r\n", "_\r\n");
    expect(d, "client getname\r\n", "$2\r\nme\r\n");
    expect(d, "reset\r\n", "+RESET\r\n");
    expect(d, "get k\r\n", "-NOAUTH Authentication required.\r\n");
    struct client *e = client_new(s);
    expect(e, "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n");
    serve_free(s);
}

Test(session, runs_transactions)
{
    struct serve *s = lone();
    struct client *c = client_new(s), *d = client_new(s);
    expect(c, "multi\r\nset a 1\r\nincr a\r\nping\r\nget a\r\nexec\r\n",
           "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
           "*4\r\n+OK\r\n:2\r\n+PONG\r\n$1\r\n2\r\n");
    expect(c, "multi\r\nnope\r\nset a 9\r\nexec\r\n",
           "+OK\r\n-ERR unknown command 'nope', with args beginning with: \r\n+QUEUED\r\n"
           "-EXECABORT Transaction discarded because of previous errors.\r\n");
    expect(c, "multi\r\nset a 9\r\ndiscard\r\nget a\r\n", "+OK\r\n+QUEUED\r\n+OK\r\n$1\r\n2\r\n");
    expect(c, "watch a\r\nmulti\r\nget a\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
    expect(d, "set a 3\r\n", "+OK\r\n");
    expect(c, "exec\r\n", "*-1\r\n");
    expect(c, "watch a\r\nmulti\r\nget a\r\nexec\r\n",
           "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$1\r\n3\r\n");
    expect(c, "exec\r\ndiscard\r\nmulti\r\nmulti\r\nwatch a\r\nexec\r\n",
           "-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n+OK\r\n"
           "-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not allowed\r\n"
           "*0\r\n");
    serve_free(s);
}

/* Those that ask all workers have their place in the array, too. */
Test(session, answers_all_of_a_transaction_in_order)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    expect(c,
           "multi\r\nscript exists a b\r\nping\r\nclient kill id 999\r\nconfig set hz 12\r\n"
           "slowlog len\r\nhello 2\r\nmonitor\r\nget a\r\nexec\r\nping\r\n",
           "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
           "+QUEUED\r\n*8\r\n*2\r\n:0\r\n:0\r\n+PONG\r\n:0\r\n+OK\r\n:0\r\n"
           "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:"
           "2\r\n"
           "$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
           "$7\r\nmodules\r\n*0\r\n"
           "-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n$-1\r\n+PONG\r\n");
    serve_free(s);
}

Test(session, mutes_replies)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    expect(c, "client reply off\r\nset a 1\r\nget a\r\nclient reply on\r\nget a\r\n",
           "+OK\r\n$1\r\n1\r\n");
    expect(c, "client reply skip\r\nget a\r\nget a\r\nclient reply skip\r\nping\r\nping\r\n",
           "$1\r\n1\r\n+PONG\r\n");
    serve_free(s);
}

Test(session, limits_clients)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 1, .shards = 1, .clients_max = 2});
    struct client *a = client_new(s), *b = client_new(s), *c = client_new(s), *e = client_new(s);
    expect(c, "ping\r\n", "-ERR max number of clients reached\r\n");
    cr_expect(client_closed(c));
    serve_run(s, 5500); /* who says nothing might have been a peer */
    cr_expect_str_eq(client_take(e), "-ERR max number of clients reached\r\n");
    cr_expect(client_closed(e));
    for (int i = 0; i < 64; i++)
        (void)client_new(s);
    cr_expect_str_eq(client_take(client_new(s)), "-ERR max number of clients reached\r\n",
                     "no more than that wait");
    serve_run(s, 6000);
    expect(a, "ping\r\n", "+PONG\r\n");
    client_close(b);
    serve_run(s, 5);
    struct client *d = client_new(s);
    expect(d, "ping\r\n", "+PONG\r\n");
    serve_free(s);
}

Test(session, limits_clients_of_all_workers_together)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 3, .shards = 1, .clients_max = 6});
    for (int i = 0; i < 6; i++) {
        expect(client_new(s), "ping\r\n", "+PONG\r\n");
        serve_run(s, 150); /* workers tell each other ten times a second */
    }
    expect(client_new(s), "ping\r\n", "-ERR max number of clients reached\r\n");
    serve_free(s);
}

Test(session, kills_and_lists_clients_of_all_workers)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 3, .shards = 3});
    struct client *c[6];
    for (int i = 0; i < 6; i++) {
        c[i] = client_new(s);
        char text[40];
        snprintf(text, sizeof text, "client setname n%d\r\n", i);
        expect(c[i], text, "+OK\r\n");
    }
    const char *list = client_ask(c[0], "client list\r\n");
    for (int i = 0; i < 6; i++) {
        char text[40];
        snprintf(text, sizeof text, " name=n%d ", i);
        cr_expect_not_null(strstr(list, text), "%s", text);
    }
    expect(c[0], "client kill type normal skipme yes\r\n", ":5\r\n");
    for (int i = 1; i < 6; i++)
        cr_expect(client_closed(c[i]));
    expect(c[0], "client kill id 99999\r\n", ":0\r\n");
    expect(c[0], "client kill 1.2.3.4:5\r\n", "-ERR No such client\r\n");
    serve_run(s, 200);
    cr_expect_not_null(strstr(client_ask(c[0], "info clients\r\n"), "connected_clients:1\r\n"));
    serve_free(s);
}

Test(session, pauses_clients)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    expect(c, "client pause 300 write\r\nget k\r\nset k 1\r\nget k\r\n", "+OK\r\n$-1\r\n");
    serve_run(s, 500);
    cr_expect_str_eq(client_take(c), "+OK\r\n$1\r\n1\r\n");
    expect(c, "client pause 100000\r\n", "+OK\r\n");
    struct client *d = client_new(s);
    expect(d, "get k\r\n", "");
    expect(c, "client unpause\r\n", "+OK\r\n");
    serve_run(s, 200);
    cr_expect_str_eq(client_take(d), "$1\r\n1\r\n");
    serve_free(s);
}

Test(session, shows_and_sets_configuration_everywhere)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 3, .shards = 3});
    struct client *c = client_new(s);
    expect(c, "config get save\r\nconfig get appendonly\r\nconfig get nonesuch*\r\n",
           "*2\r\n$4\r\nsave\r\n$0\r\n\r\n*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n*0\r\n");
    expect(c, "config set maxclients 500 LUA-time-limit 7 maxmemory-clients 5%\r\n", "+OK\r\n");
    for (int i = 0; i < 6; i++)
        expect(client_new(s),
               "config get MAXCLIENTS\r\nconfig get busy-reply-threshold maxmemory-clients\r\n",
               "*2\r\n$10\r\nmaxclients\r\n$3\r\n500\r\n"
               "*4\r\n$20\r\nbusy-reply-threshold\r\n$1\r\n7\r\n"
               "$17\r\nmaxmemory-clients\r\n$2\r\n5%\r\n");
    serve_free(s);
}

Test(session, refuses_settings_in_redis_words_and_sets_none)
{
    static const char *const refused[][2] = {
        {"nope 1", "Unknown option or number of arguments for CONFIG SET - 'nope'"},
        {"hz 20 hz 30",
         "CONFIG SET failed (possibly related to argument 'hz') - duplicate parameter"},
        {"port 1 hz 20",
         "CONFIG SET failed (possibly related to argument 'port') - can't be set here"},
        {"databases 2", "CONFIG SET failed (possibly related to argument 'databases') - can't set "
                        "immutable config"},
        {"hz 20 HZ x",
         "CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter"},
        {"hz 20 maxclients 0", "CONFIG SET failed (possibly related to argument 'maxclients') - "
                               "argument must be between 1 and 4294967295 inclusive"},
        {"hz x",
         "CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed "
         "into an integer"},
        {"hz 20 activedefrag maybe",
         "CONFIG SET failed (possibly related to argument 'activedefrag') "
         "- argument must be 'yes' or 'no'"},
        {"hz 20 sanitize-dump-payload never",
         "CONFIG SET failed (possibly related to argument "
         "'sanitize-dump-payload') - argument(s) must be one of "
         "the following: no, yes, clients"},
        {"maxmemory-clients 101%",
         "CONFIG SET failed (possibly related to argument "
         "'maxmemory-clients') - percentage argument must be less or equal "
         "to 100"},
        {"maxmemory 1x",
         "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must "
         "be a memory value"},
        {"latency-tracking-info-percentiles \"5 101\"",
         "CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - "
         "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"},
        {"client-output-buffer-limit \"slow 1 1 1\"",
         "CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Invalid "
         "client class specified in buffer limit configuration."},
        {"hz 20 maxclients", "syntax error"},
    };
    struct serve *s = lone();
    struct client *c = client_new(s);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char line[256];
        snprintf(line, sizeof line, "config set %s\r\n", refused[i][0]);
        const char *got = client_ask(c, line);
        cr_expect(strncmp(got, "-ERR ", 5) == 0 &&
                      strncmp(got + 5, refused[i][1], strlen(refused[i][1])) == 0,
                  "%s: %s", refused[i][0], got);
    }
    expect(c, "config get hz\r\n", "*2\r\n$2\r\nhz\r\n$2\r\n10\r\n");
    serve_free(s);
}

Test(session, maxmemory_acts_at_once)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 2, .shards = 2});
    struct client *c = client_new(s);
    expect(c, "config set maxmemory 1\r\n", "+OK\r\n");
    for (int i = 0; i < 4; i++) {
        char line[64];
        snprintf(line, sizeof line, "set k%d v\r\n", i);
        expect(c, line, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    }
    expect(c, "config set maxmemory 0\r\n", "+OK\r\n");
    expect(c, "set k v\r\n", "+OK\r\n");
    serve_free(s);
}

/* A client that asks for much and reads nothing is held back; nothing is lost when it reads on. */
Test(session, a_pause_of_writes_holds_back_what_may_write)
{
    struct serve *s = lone();
    struct client *c = client_new(s), *other = client_new(s);
    expect(c, "multi\r\nget k\r\n", "+OK\r\n+QUEUED\r\n");
    expect(other, "client pause 100000 write\r\n", "+OK\r\n");
    expect(c, "exec\r\n", "*1\r\n$-1\r\n");
    expect(c, "eval \"#!lua flags=no-writes\\nreturn 1\" 0\r\n", ":1\r\n");
    expect(c, "eval_ro 'return 2' 0\r\n", ":2\r\n");
    expect(c, "set k\r\n", "-ERR wrong number of arguments for 'set' command\r\n");
    expect(c, "eval 'return 3' 0\r\n", "");
    expect(other, "client unpause\r\n", "+OK\r\n");
    serve_run(s, 300);
    cr_expect_str_eq(client_take(c), ":3\r\n");
    serve_free(s);
}

Test(session, full_memory_refuses_what_is_queued)
{
    struct serve *s = lone();
    struct client *c = client_new(s), *other = client_new(s);
    const char *oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    expect(c, "multi\r\nset k v\r\n", "+OK\r\n+QUEUED\r\n");
    expect(other, "config set maxmemory 1\r\nmulti\r\n", "+OK\r\n+OK\r\n");
    expect(other, "set k v\r\n", oom);
    expect(other, "get k\r\nping\r\ndiscard\r\n", /* the queue itself needs memory */
           "-OOM command not allowed when used memory > 'maxmemory'.\r\n-OOM command not allowed "
           "when used memory > 'maxmemory'.\r\n+OK\r\n");
    expect(
        c, "exec\r\n",
        "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > "
        "'maxmemory'.\r\n");
    serve_free(s);
}

Test(session, holds_back_a_client_that_asks_for_too_much)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    struct buf out = {0};
    buf_putf(&out, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n");
    memset(buf_reserve(&out, 100000), 'x', 100000);
    buf_added(&out, 100000);
    buf_putf(&out, "\r\n");
    client_send(c, buf_bytes(&out));
    serve_run(s, 100);
    cr_expect_str_eq(client_take(c), "+OK\r\n");
    for (int i = 0; i < 200; i++)
        client_send(c, bytes_str("get k\r\n"));
    client_send(c, bytes_str("ping\r\n"));
    serve_run(s, 1000);
    const char *got = client_take(c);
    cr_expect_eq(strlen(got), 200 * (100000 + 11) + 7, "%zu", strlen(got));
    buf_deinit(&out);
    serve_free(s);
}

Test(session, closes_a_client_that_passes_the_output_limit)
{
    struct serve *s = lone();
    struct client *c = client_new(s), *d = client_new(s);
    expect(d, "config set client-output-buffer-limit \"normal 2mb 0 0\"\r\n", "+OK\r\n");
    cr_expect_not_null(
        strstr(client_ask(d, "config get client-output*\r\n"), "normal 2097152 0 0"));
    struct buf out = {0};
    buf_putf(&out, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n");
    memset(buf_reserve(&out, 100000), 'x', 100000);
    buf_added(&out, 100000);
    buf_putf(&out, "\r\n");
    client_send(d, buf_bytes(&out));
    serve_run(s, 100);
    buf_clear(&out);
    client_stall(c, true);
    for (int i = 0; i < 10; i++)
        buf_putf(&out, "get k\r\n");
    buf_putf(&out, "mget k k k k k k k k k k k k k k k\r\n");
    client_send(c, buf_bytes(&out));
    serve_run(s, 100);
    client_stall(c, false);
    client_take(c);
    cr_expect(client_closed(c));
    cr_expect_str_eq(client_take(d), "+OK\r\n");
    expect(d, "ping\r\n", "+PONG\r\n");
    buf_deinit(&out);
    serve_free(s);
}

/* What a command would answer beyond the limit of the output becomes an error; the connection goes
 * on. */
static void asks_for_too_much(unsigned workers, unsigned shards)
{
    static const char *const asks[] = {
        "MGET {k} {k} {k} {k} {k} {k} {k}",
        "HMGET {k}h f f f f f f f",
        "EVAL local\tv=redis.call('GET','{k}')return{v,v,v,v,v,v,v} 0",
        "EVAL local\tt={1}for\ti=1,60\tdo\tt={t,t}end\treturn\tt 0",
        "XREAD STREAMS {k}x {k}x {k}x {k}x {k}x {k}x {k}x 0 0 0 0 0 0 0",
    };
    struct serve *s = serve_new(&(struct serve_opts){.workers = workers, .shards = shards});
    struct client *c = client_new(s);
    struct buf big = {0};
    for (int i = 0; i < 300000; i++)
        buf_put_u8(&big, 'x');
    cr_expect_str_eq(client_ask(c, "config set client-output-buffer-limit \"normal 2mb 0 0\"\r\n"),
                     "+OK\r\n");
    struct buf out = {0};
    buf_putf(&out, "*3\r\n$3\r\nSET\r\n$3\r\n{k}\r\n$%zu\r\n%.*s\r\n", buf_len(&big),
             (int)buf_len(&big), (const char *)big.p);
    buf_putf(&out, "*4\r\n$4\r\nHSET\r\n$4\r\n{k}h\r\n$1\r\nf\r\n$%zu\r\n%.*s\r\n", buf_len(&big),
             (int)buf_len(&big), (const char *)big.p);
    buf_putf(&out, "*5\r\n$4\r\nXADD\r\n$4\r\n{k}x\r\n$3\r\n1-1\r\n$1\r\nf\r\n$%zu\r\n%.*s\r\n",
             buf_len(&big), (int)buf_len(&big), (const char *)big.p);
    client_send(c, buf_bytes(&out));
    serve_run(s, 1000);
    cr_expect_str_eq(client_take(c), "+OK\r\n:1\r\n$3\r\n1-1\r\n");
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        const char *got = client_command(c, asks[i]);
        cr_expect(strncmp(got, "-ERR the reply is larger", 24) == 0, "%s: %.100s", asks[i], got);
        cr_expect(strlen(got) < 300, "%s: an error and nothing else", asks[i]);
    }
    expect(c, "multi\r\n", "+OK\r\n");
    for (int i = 0; i < 7; i++)
        expect(c, "get {k}\r\n", "+QUEUED\r\n");
    expect(c, "incr {k}n\r\n", "+QUEUED\r\n");
    const char *got = client_ask(c, "exec\r\n");
    cr_expect(strncmp(got, "-ERR the reply is larger", 24) == 0, "%.100s", got);
    expect(c, "get {k}n\r\n", "$1\r\n1\r\n");
    /* one reply fits: so do as many as are wanted, one after the other */
    buf_clear(&out);
    for (int i = 0; i < 20; i++)
        buf_put_str(&out, "get {k}\r\n");
    client_send(c, buf_bytes(&out));
    serve_run(s, 2000);
    cr_expect_eq(strlen(client_take(c)), 20 * (buf_len(&big) + 11));
    cr_expect_not(client_closed(c));
    buf_deinit(&big);
    buf_deinit(&out);
    serve_free(s);
}

Test(session, a_reply_beyond_the_output_limit_is_an_error)
{
    asks_for_too_much(1, 1);
    asks_for_too_much(2, 4);
}

Test(session, closes_idle_clients)
{
    struct serve *s = lone();
    struct client *c = client_new(s), *d = client_new(s);
    expect(d, "config set timeout 5\r\n", "+OK\r\n");
    serve_run(s, 3000);
    expect(d, "ping\r\n", "+PONG\r\n");
    serve_run(s, 3000);
    client_take(c);
    cr_expect(client_closed(c));
    expect(d, "ping\r\n", "+PONG\r\n");
    serve_free(s);
}

Test(session, answers_introspection)
{
    struct serve *s = lone();
    struct client *c = client_new(s);
    expect(c, "command getkeys mset a 1 b 2\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    expect(c, "command getkeys ping x\r\n", "-ERR The command has no key arguments\r\n");
    cr_expect_not_null(
        strstr(client_ask(c, "command info get nope\r\n"), "*10\r\n$3\r\nget\r\n:2\r\n"));
    cr_expect_not_null(strstr(client_ask(c, "command docs get\r\n"), "$7\r\nsummary\r\n"));
    cr_expect_not_null(strstr(client_ask(c, "command list filterby pattern xz*\r\n"), "*0\r\n"));
    expect(c, "client foo\r\n", "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n");
    expect(c, "client setname\r\n",
           "-ERR wrong number of arguments for 'client|setname' command\r\n");
    expect(c, "select 0\r\nselect x\r\n",
           "+OK\r\n-ERR value is not an integer or out of range\r\n");
    static const char *const others[] = {"select 1\r\n", "swapdb 0 1\r\n", "move k 1\r\n"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_not_null(strstr(client_ask(c, others[i]),
                                  "-ERR DB index is out of range: there is "
                                  "only database 0 here; create another"));
    expect(c, "replicaof no one\r\n",
           "-ERR command 'replicaof' is not supported: regions replicate to each other: REST API, "
           "/v1/crdbs, or meridian ctl crdb\r\n");
    expect(c, "role\r\nwait 0 10\r\n", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n:0\r\n");
    const char *info = client_ask(c, "info\r\n");
    const char *const sections[] = {"# Server",      "# Clients",  "# Memory",
                                    "# Persistence", "# Stats",    "# Replication",
                                    "# CPU",         "# Keyspace", "# CRDT"};
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        cr_expect_not_null(strstr(info, sections[i]), "%s", sections[i]);
    serve_free(s);
}

/* Which worker has a client, and so whether a shard is here, changes from one to the next. */
Test(session, a_scan_that_ran_here_keeps_nobody_waiting)
{
    struct serve *s = serve_new(&(struct serve_opts){.workers = 2, .shards = 2});
    for (unsigned i = 0; i < 6; i++) {
        struct client *c = client_new(s);
        cr_expect_str_eq(client_ask(c, "scan 0\r\nping\r\n"),
                         "*2\r\n$13\r\n4398046511104\r\n*0\r\n+PONG\r\n");
        cr_expect_str_eq(client_ask(c, "scan 4398046511104\r\nping\r\nping\r\n"),
                         "*2\r\n$1\r\n0\r\n*0\r\n+PONG\r\n+PONG\r\n");
    }
    serve_free(s);
}
