/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/serve.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Users as clients meet them: real workers in the virtual world. */

#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
#define NOAUTH "-NOAUTH Authentication required.\r\n"

static struct serve *lone(const char *password)
{
    return serve_new(&(struct serve_opts){.workers = 1, .shards = 1, .password = password});
}

static struct serve *many(void)
{
    return serve_new(&(struct serve_opts){.workers = 3, .shards = 4});
}

static void expect(struct client *c, const char *words, const char *want)
{
    const char *got = client_command(c, words);
    cr_expect_str_eq(got, want, "%s\n  gives   %s\n  instead %s", words, got, want);
}

static void expect_in(struct client *c, const char *words, const char *part)
{
    const char *got = client_command(c, words);
    cr_expect_not_null(strstr(got, part), "%s\n  gives   %s\n  without %s", words, got, part);
}

Test(acl, a_user_logs_in_and_does_what_it_may)
{
    for (int i = 0; i < 2; i++) {
        struct serve *s = i == 0 ? lone(NULL) : many();
        struct client *admin = client_new(s), *c = client_new(s);
        expect(admin, "ACL WHOAMI", "$7\r\ndefault\r\n");
        expect(c, "AUTH bob pw", WRONGPASS);
        expect(admin, "ACL SETUSER bob >pw +get ~a*", "+OK\r\n");
        expect(c, "AUTH bob pw", WRONGPASS);
        expect(admin, "ACL SETUSER bob on", "+OK\r\n");
        expect(c, "AUTH bob no", WRONGPASS);
        expect(c, "PING", "+PONG\r\n");
        expect(c, "AUTH bob pw", "+OK\r\n");
        expect(c, "GET a1", "$-1\r\n");
        expect(c, "PING", "-NOPERM this user has no permissions to run the 'ping' command\r\n");
        expect(c, "GET b",
               "-NOPERM this user has no permissions to access one of the keys used as "
               "arguments\r\n");
        expect(c, "CONFIG GET x",
               "-NOPERM this user has no permissions to run the 'config|get' command\r\n");
        expect(admin, "ACL SETUSER bob +ping +client|info ~b", "+OK\r\n");
        expect(c, "PING", "+PONG\r\n");
        expect(c, "GET b", "$-1\r\n");
        expect_in(c, "CLIENT INFO", " user=bob ");
        expect(admin, "ACL USERS", "*2\r\n$3\r\nbob\r\n$7\r\ndefault\r\n");
        serve_free(s);
    }
}

Test(acl, a_pipeline_sees_its_own_changes)
{
    struct serve *s = many();
    for (int i = 0; i < 6; i++) { /* connections on all workers */
        char ask[240], want[200];
        struct client *c = client_new(s);
        snprintf(ask, sizeof ask,
                 "SET k v\r\nACL SETUSER u%d on >p +acl|whoami +ping\r\nAUTH u%d p\r\nACL "
                 "WHOAMI\r\nGET k\r\nPING\r\n",
                 i, i);
        snprintf(want, sizeof want,
                 "+OK\r\n+OK\r\n+OK\r\n$2\r\nu%d\r\n-NOPERM this user has no permissions to run "
                 "the 'get' command\r\n+PONG\r\n",
                 i);
        cr_expect_str_eq(client_ask(c, ask), want);
    }
    serve_free(s);
}

Test(acl, errors_say_what_is_wrong)
{
    struct serve *s = many();
    struct client *c = client_new(s);
    expect(c, "ACL SETUSER u +nosuch",
           "-ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in "
           "ACL\r\n");
    expect(c, "ACL SETUSER u (+get",
           "-ERR Unmatched parenthesis in acl selector starting at '(+get'.\r\n");
    expect(c, "ACL GETUSER u", "$-1\r\n");
    cr_expect_str_eq(client_ask(c, "ACL SETUSER \"\" on\r\n"), "-ERR Usernames can't be empty\r\n");
    cr_expect_str_eq(client_ask(c, "ACL SETUSER \"a b\"\r\n"),
                     "-ERR Usernames can't contain spaces or null characters\r\n");
    expect(c, "ACL DELUSER u default", "-ERR The 'default' user cannot be removed\r\n");
    expect(c, "ACL DELUSER u", ":0\r\n");
    expect_in(c, "ACL LOAD", "users live in the database and replicate");
    expect_in(c, "ACL SAVE", "users live in the database and replicate");
    expect(c, "ACL NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try ACL HELP.\r\n");
    serve_free(s);
}

Test(acl, a_deleted_user_is_gone_and_so_are_its_connections)
{
    for (int i = 0; i < 2; i++) {
        struct serve *s = i == 0 ? lone(NULL) : many();
        struct client *admin = client_new(s), *c[6];
        expect(admin, "ACL SETUSER bob on nopass ~* &* +@all", "+OK\r\n");
        for (int k = 0; k < 6; k++) {
            c[k] = client_new(s);
            expect(c[k], "AUTH bob x", "+OK\r\n");
        }
        client_send(c[1], bytes_str("BLPOP l 0\r\n"));
        expect(c[2], "SUBSCRIBE x", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        cr_expect_str_eq(client_ask(c[0], "ACL DELUSER bob\r\nGET k\r\n"), ":1\r\n",
                         "who asked gets the reply and nothing more");
        for (int k = 0; k < 6; k++)
            cr_expect(client_closed(c[k]), "%d", k);
        cr_expect(!client_closed(admin));
        expect(admin, "ACL USERS", "*1\r\n$7\r\ndefault\r\n");
        serve_free(s);
    }
}

Test(acl, subscribers_that_may_no_longer_hear_are_cut_off)
{
    struct serve *s = many();
    struct client *admin = client_new(s), *a = client_new(s), *b = client_new(s);
    expect(admin, "ACL SETUSER bob on nopass +@all &one &two*", "+OK\r\n");
    expect(a, "AUTH bob x", "+OK\r\n");
    expect(b, "AUTH bob x", "+OK\r\n");
    expect(a, "SUBSCRIBE one", "*3\r\n$9\r\nsubscribe\r\n$3\r\none\r\n:1\r\n");
    expect(b, "PSUBSCRIBE two*", "*3\r\n$10\r\npsubscribe\r\n$4\r\ntwo*\r\n:1\r\n");
    expect(b, "SUBSCRIBE three",
           "-NOPERM this user has no permissions to access one of the channels used as "
           "arguments\r\n");
    expect(admin, "ACL SETUSER bob resetchannels &one", "+OK\r\n");
    serve_run(s, 50);
    cr_expect(!client_closed(a));
    cr_expect(client_closed(b));
    serve_free(s);
}

Test(acl, transactions_are_checked_when_queued_and_when_run)
{
    for (int i = 0; i < 2; i++) {
        struct serve *s = i == 0 ? lone(NULL) : many();
        struct client *admin = client_new(s), *c = client_new(s);
        expect(admin, "ACL SETUSER bob on nopass ~a +@all -flushall", "+OK\r\n");
        expect(c, "AUTH bob x", "+OK\r\n");
        expect(c, "MULTI", "+OK\r\n");
        expect_in(c, "GET b", "-NOPERM ");
        expect(c, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
        expect(c, "MULTI", "+OK\r\n");
        expect(c, "SET a 1", "+QUEUED\r\n");
        expect(c, "GET a", "+QUEUED\r\n");
        expect(admin, "ACL SETUSER bob -set", "+OK\r\n");
        expect(c, "EXEC",
               "*2\r\n-NOPERM ACLs rules changed between the moment the transaction was "
               "accumulated and the EXEC call. This command is no longer allowed for the "
               "following reason: no permission to execute the command or subcommand\r\n$-1\r\n");
        expect(c, "MULTI", "+OK\r\n");
        expect(admin, "ACL SETUSER bob -exec", "+OK\r\n");
        expect(c, "EXEC",
               "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions "
               "to run the 'exec' command\r\n");
        expect(admin, "ACL SETUSER bob +exec", "+OK\r\n");
        expect(c, "EXEC", "-ERR EXEC without MULTI\r\n");
        serve_free(s);
    }
}

Test(acl, the_log_tells_of_all_workers)
{
    for (int i = 0; i < 2; i++) {
        struct serve *s = i == 0 ? lone(NULL) : many();
        struct client *admin = client_new(s);
        expect(admin, "ACL SETUSER bob on nopass ~a +get", "+OK\r\n");
        for (int k = 0; k < 6; k++) {
            struct client *c = client_new(s);
            expect(c, "AUTH bob x", "+OK\r\n");
            expect_in(c, "GET b", "-NOPERM ");
        }
        serve_run(s, 200);
        const char *log = client_command(admin, "ACL LOG");
        cr_expect_not_null(
            strstr(log, "*1\r\n*14\r\n$5\r\ncount\r\n:6\r\n$6\r\nreason\r\n$3\r\nkey\r\n"), "%s",
            log);
        cr_expect_not_null(strstr(log, " cmd=get user=bob "));
        expect(admin, "AUTH bob2 x", WRONGPASS);
        expect_in(admin, "ACL LOG 1", "\r\nauth\r\n");
        expect(admin, "ACL LOG RESET", "+OK\r\n");
        expect(admin, "ACL LOG", "*0\r\n");
        serve_free(s);
    }
}

Test(acl, scripts_keep_to_what_their_caller_may)
{
    for (int i = 0; i < 2; i++) {
        struct serve *s = i == 0 ? lone(NULL) : many();
        struct client *admin = client_new(s);
        expect(admin, "ACL SETUSER bob on nopass ~a +eval +get +multi +exec", "+OK\r\n");
        expect(admin, "SET a 1", "+OK\r\n");
        for (int k = 0; k < 4; k++) { /* connections on all workers */
            struct client *c = client_new(s);
            expect(c, "AUTH bob x", "+OK\r\n");
            expect(c, "EVAL return(redis.call('get',KEYS[1])) 1 a", "$1\r\n1\r\n");
            expect_in(c, "EVAL return(redis.call('set',KEYS[1],2)) 1 a",
                      "-ERR The user executing the script can't run this command or subcommand");
            expect_in(c, "EVAL return(redis.call('get','b{a}')) 1 a",
                      "can't access at least one of the keys");
            expect_in(c, "EVAL return(1) 1 b", "-NOPERM this user has no permissions to access");
            expect(c, "EVAL return(redis.acl_check_cmd('get',KEYS[1])) 1 a", ":1\r\n");
            expect(c, "EVAL return(redis.acl_check_cmd('set',KEYS[1],2)) 1 a", "$-1\r\n");
            expect(c, "MULTI", "+OK\r\n");
            expect(c, "EVAL return(redis.call('set',KEYS[1],2)) 1 a", "+QUEUED\r\n");
            expect_in(c, "EXEC", "*1\r\n-ERR The user executing the script can't run");
        }
        expect(admin, "GET a", "$1\r\n1\r\n");
        serve_run(s, 200);
        expect_in(admin, "ACL LOG", "$7\r\ncontext\r\n$3\r\nlua\r\n$6\r\nobject\r\n$3\r\nset\r\n");
        expect(admin, "EVAL return(redis.call('set',KEYS[1],2)) 1 a", "+OK\r\n");
        serve_free(s);
    }
}

/* ------------------------------------------------------------ the default user */

Test(acl, the_password_set_over_rest_is_the_default_users)
{
    struct serve *s = lone("secret");
    struct client *c = client_new(s), *other = client_new(s);
    expect(c, "GET k", NOAUTH);
    expect(c, "ACL WHOAMI", NOAUTH);
    expect(c, "AUTH wrong", WRONGPASS);
    expect(c, "AUTH default wrong", WRONGPASS);
    expect(c, "AUTH secret", "+OK\r\n");
    expect(c, "ACL LIST",
           "*1\r\n$93\r\nuser default on "
           "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ~* &* +@all\r\n");
    expect_in(c, "ACL SETUSER default nopass", "remove it over REST");
    expect_in(c, "ACL SETUSER default <secret", "changed over REST");
    expect(c, "ACL SETUSER default >more -flushall", "+OK\r\n");
    expect(other, "AUTH more", "+OK\r\n");
    expect_in(other, "FLUSHALL", "-NOPERM");
    expect(c, "ACL SETUSER default resetpass", "+OK\r\n");
    expect(other, "AUTH more", WRONGPASS);
    expect(other, "AUTH secret", "+OK\r\n");

    struct plane_db db;
    serve_db(s, &db);
    db.version++;
    snprintf(db.password, sizeof db.password, "%s", "changed");
    cr_assert(serve_set(s, &db), "%s", serve_error(s));
    expect(other, "AUTH secret", WRONGPASS);
    expect(other, "AUTH changed", "+OK\r\n");
    expect_in(other, "FLUSHALL", "-NOPERM");
    expect(other, "RESET", "+RESET\r\n");
    expect(other, "PING", NOAUTH);
    serve_free(s);
}

Test(acl, a_default_user_that_is_off_lets_nobody_in)
{
    for (int i = 0; i < 2; i++) {
        struct serve *s = i == 0 ? lone(NULL) : many();
        struct client *admin = client_new(s);
        expect(admin, "ACL SETUSER boss on >pw ~* &* +@all", "+OK\r\n");
        expect(admin, "ACL SETUSER default off", "+OK\r\n");
        expect(admin, "PING", "+PONG\r\n");
        struct client *c = client_new(s);
        expect(c, "PING", NOAUTH);
        expect(c, "HELLO 3",
               "-NOAUTH HELLO must be called with the client already authenticated, otherwise the "
               "HELLO AUTH <user> <pass> option can be used to authenticate the client "
               "and select the RESP protocol version at the same time\r\n");
        expect(c, "AUTH default x", WRONGPASS);
        expect_in(c, "HELLO 2 AUTH boss pw", "$6\r\nserver");
        struct client *waits = client_new(s);
        expect(waits, "PING", NOAUTH);
        expect(c, "ACL SETUSER default on", "+OK\r\n");
        expect(waits, "PING", "+PONG\r\n");
        serve_free(s);
    }
}

Test(acl, sort_reads_no_keys_that_its_user_may_not)
{
    struct serve *s = lone(NULL);
    struct client *c = client_new(s);
    expect(c, "RPUSH l 2 1", ":2\r\n");
    expect(c, "ACL SETUSER bob on nopass ~l +@all", "+OK\r\n");
    expect(c, "AUTH bob x", "+OK\r\n");
    expect(c, "SORT l BY nosort LIMIT 0 1", "*1\r\n$1\r\n2\r\n");
    expect(c, "SORT l BY w*",
           "-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n");
    expect(c, "SORT_RO l LIMIT 0 1 GET #",
           "-ERR GET option of SORT denied due to insufficient ACL permissions.\r\n");
    expect_in(c, "EVAL return(redis.call('sort',KEYS[1],'get','x*')) 1 l",
              "GET option of SORT denied due to insufficient ACL permissions.");
    expect(c, "ACL SETUSER bob %R~*", "+OK\r\n");
    expect(c, "SORT l BY w* GET #", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    serve_free(s);
}

Test(acl, client_kill_and_list_know_users)
{
    struct serve *s = many();
    struct client *admin = client_new(s), *c = client_new(s);
    expect(admin, "ACL SETUSER bob on nopass +@all", "+OK\r\n");
    expect(c, "AUTH bob x", "+OK\r\n");
    expect(admin, "CLIENT KILL USER nosuch", "-ERR No such user 'nosuch'\r\n");
    expect(admin, "CLIENT KILL USER bob", ":1\r\n");
    serve_run(s, 50);
    cr_expect(client_closed(c));
    serve_free(s);
}
