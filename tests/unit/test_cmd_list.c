/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_list, .init = start, .fini = stop);

Test(cmd_list, pushing_and_popping)
{
    expect(&r, "RPUSH l a b c", "3");
    expect(&r, "LPUSH l x y", "5");
    expect(&r, "LRANGE l 0 -1", "[y x a b c]");
    expect(&r, "LPUSHX none a", "0");
    expect(&r, "RPUSHX l d", "6");
    expect(&r, "LPOP l", "y");
    expect(&r, "RPOP l", "d");
    expect(&r, "LPOP l 2", "[x a]");
    expect(&r, "RPOP l 5", "[c b]");
    expect(&r, "EXISTS l", "0");
    expect(&r, "LPOP l", "nil");
    expect_raw(&r, "LPOP l 2", "*-1\r\n");
    expect(&r, "RPUSH l a", "1");
    expect(&r, "LPOP l 0", "[]");
    expect(&r, "LPOP l -1", "error ERR value is out of range, must be positive");
    expect(&r, "LPOP l 1 2", "error ERR wrong number of arguments for 'lpop' command");
}

Test(cmd_list, ranges_and_indexes)
{
    expect(&r, "RPUSH l a b c d", "4");
    expect(&r, "LLEN l", "4");
    expect(&r, "LRANGE l 1 2", "[b c]");
    expect(&r, "LRANGE l -2 100", "[c d]");
    expect(&r, "LRANGE l 2 1", "[]");
    expect(&r, "LRANGE l -100 -4", "[a]");
    expect(&r, "LRANGE l -100 -5", "[]");
    expect(&r, "LRANGE l 9223372036854775807 -9223372036854775808", "[]");
    expect(&r, "LRANGE l x 1", "error ERR value is not an integer or out of range");
    expect(&r, "LINDEX l 0", "a");
    expect(&r, "LINDEX l -1", "d");
    expect(&r, "LINDEX l 4", "nil");
    expect(&r, "LINDEX l -5", "nil");
    expect(&r, "LINDEX l x", "error ERR value is not an integer or out of range");
    expect(&r, "LINDEX none x", "nil");
}

Test(cmd_list, setting_keeps_the_place)
{
    expect(&r, "LSET none 0 x", "error ERR no such key");
    expect(&r, "RPUSH l a b c", "3");
    expect(&r, "LSET l 1 B", "OK");
    expect(&r, "LSET l -1 C", "OK");
    expect(&r, "LSET l 3 x", "error ERR index out of range");
    expect(&r, "LRANGE l 0 -1", "[a B C]");
}

Test(cmd_list, inserting)
{
    expect(&r, "LINSERT none BEFORE a b", "0");
    expect(&r, "RPUSH l a b a", "3");
    expect(&r, "LINSERT l BEFORE a x", "4");
    expect(&r, "LINSERT l after b y", "5");
    expect(&r, "LINSERT l BEFORE none y", "-1");
    expect(&r, "LINSERT l BEHIND b y", "error ERR syntax error");
    expect(&r, "LRANGE l 0 -1", "[x a b y a]");
}

Test(cmd_list, inserting_often_at_one_place)
{
    char line[64], wanted[16];
    expect(&r, "RPUSH l head tail", "2");
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "LINSERT l %s tail i%d", i % 2 ? "BEFORE" : "AFTER", i);
        snprintf(wanted, sizeof wanted, "%d", i + 3);
        expect(&r, line, wanted);
    }
    expect(&r, "LRANGE l 148 153", "[i295 i297 i299 tail i298 i296]");
}

Test(cmd_list, removing_by_value)
{
    expect(&r, "RPUSH l a b a c a", "5");
    expect(&r, "LREM l 1 a", "1");
    expect(&r, "LRANGE l 0 -1", "[b a c a]");
    expect(&r, "LREM l -1 a", "1");
    expect(&r, "LRANGE l 0 -1", "[b a c]");
    expect(&r, "LREM l 0 none", "0");
    expect(&r, "LREM l 0 a", "1");
    expect(&r, "LREM l 0 b", "1");
    expect(&r, "LREM l 5 c", "1");
    expect(&r, "EXISTS l", "0");
}

Test(cmd_list, trimming)
{
    expect(&r, "RPUSH l a b c d e", "5");
    expect(&r, "LTRIM l 1 -2", "OK");
    expect(&r, "LRANGE l 0 -1", "[b c d]");
    expect(&r, "LTRIM l -2 100", "OK");
    expect(&r, "LRANGE l 0 -1", "[c d]");
    expect(&r, "EXPIRE l 100", "1");
    expect(&r, "LTRIM l 5 10", "OK");
    expect(&r, "EXISTS l", "0");
    expect(&r, "RPUSH l a", "1");
    expect(&r, "TTL l", "-1");
    expect(&r, "LTRIM none 0 1", "OK");
}

Test(cmd_list, finding_positions)
{
    expect(&r, "RPUSH l a b c 1 2 3 c c", "8");
    expect(&r, "LPOS l c", "2");
    expect(&r, "LPOS l c RANK 2", "6");
    expect(&r, "LPOS l c RANK -1", "7");
    expect(&r, "LPOS l c COUNT 2", "[2 6]");
    expect(&r, "LPOS l c RANK -1 COUNT 2", "[7 6]");
    expect(&r, "LPOS l c COUNT 0", "[2 6 7]");
    expect(&r, "LPOS l c MAXLEN 2", "nil");
    expect(&r, "LPOS l c COUNT 0 MAXLEN 3", "[2]");
    expect(&r, "LPOS l x COUNT 1", "[]");
    expect(&r, "LPOS none x", "nil");
    expect(&r, "LPOS l c COUNT -1", "error ERR COUNT can't be negative");
    expect(&r, "LPOS l c MAXLEN -1", "error ERR MAXLEN can't be negative");
    expect(&r, "LPOS l c RANK 0",
           "error ERR RANK can't be zero: use 1 to start from the first match, 2 from the second "
           "... or use negative to start from the end of the list");
    expect(&r, "LPOS l c RANK", "error ERR syntax error");
}

Test(cmd_list, moving)
{
    expect(&r, "RPUSH a 1 2 3", "3");
    expect(&r, "LMOVE a b LEFT RIGHT", "1");
    expect(&r, "RPOPLPUSH a b", "3");
    expect(&r, "LRANGE b 0 -1", "[3 1]");
    expect(&r, "LMOVE b b left right", "3");
    expect(&r, "LRANGE b 0 -1", "[1 3]");
    expect(&r, "LMOVE none b LEFT LEFT", "nil");
    expect(&r, "LMOVE a b LEFT UP", "error ERR syntax error");
    expect(&r, "SET s x", "OK");
    expect(&r, "LMOVE a s LEFT LEFT",
           "error WRONGTYPE Operation against a key holding the wrong kind of value");
    expect(&r, "LRANGE a 0 -1", "[2]");
    expect(&r, "RPOPLPUSH a b", "2");
    expect(&r, "EXISTS a", "0");
}

Test(cmd_list, rotating_one_element_keeps_the_deadline)
{
    expect(&r, "RPUSH l a", "1");
    expect(&r, "EXPIRE l 100", "1");
    expect(&r, "RPOPLPUSH l l", "a");
    expect(&r, "LRANGE l 0 -1", "[a]");
    expect(&r, "TTL l", "100");
}

Test(cmd_list, popping_from_the_first_of_several)
{
    expect(&r, "RPUSH b 1 2 3", "3");
    expect(&r, "LMPOP 2 a b LEFT", "[b [1]]");
    expect(&r, "LMPOP 2 a b RIGHT COUNT 5", "[b [3 2]]");
    expect_raw(&r, "LMPOP 2 a b LEFT", "*-1\r\n");
    expect(&r, "LMPOP 0 a LEFT", "error ERR numkeys should be greater than 0");
    expect(&r, "LMPOP 3 a b LEFT", "error ERR syntax error");
    expect(&r, "LMPOP 1 a UP", "error ERR syntax error");
    expect(&r, "LMPOP 1 a LEFT COUNT 0", "error ERR count should be greater than 0");
    expect(&r, "LMPOP 1 a LEFT COUNT 1 COUNT 1", "error ERR syntax error");
}

Test(cmd_list, a_long_list_keeps_its_order)
{
    char line[64], wanted[64];
    for (int i = 0; i < 3000; i++) {
        snprintf(line, sizeof line, "%s l e%d", i % 3 ? "RPUSH" : "LPUSH", i);
        snprintf(wanted, sizeof wanted, "%d", i + 1);
        expect(&r, line, wanted);
    }
    expect(&r, "LRANGE l 997 1003", "[e6 e3 e0 e1 e2 e4 e5]");
    expect(&r, "LINDEX l 0", "e2997");
    expect(&r, "LINDEX l -1", "e2999");
    expect(&r, "LTRIM l 999 1001", "OK");
    expect(&r, "LRANGE l 0 -1", "[e0 e1 e2]");
}

Test(cmd_list, concurrent_pushes_do_not_interleave)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "RPUSH l 0", "1");
    run_sync(both, 2);
    expect(&r, "RPUSH l a1", "2");
    expect(&other, "RPUSH l b1", "2");
    expect(&r, "RPUSH l a2", "3");
    expect(&other, "RPUSH l b2", "3");
    expect(&other, "LSET l 0 zero", "OK");
    run_sync(both, 2);
    expect(&r, "LRANGE l 0 -1", "[zero a1 a2 b1 b2]");
    expect(&other, "LRANGE l 0 -1", "[zero a1 a2 b1 b2]");
    run_stop(&other);
}

Test(cmd_list, a_push_after_a_pop_never_takes_its_place)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "RPUSH l a b", "2");
    run_sync(both, 2);
    expect(&r, "RPOP l", "b");
    expect(&r, "RPUSH l c", "2");
    expect(&other, "LSET l 1 B", "OK");
    run_sync(both, 2);
    expect(&r, "LRANGE l 0 -1", "[a B c]");
    expect(&other, "LRANGE l 0 -1", "[a B c]");
    run_stop(&other);
}
