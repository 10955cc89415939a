/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_string, .init = start, .fini = stop);

Test(cmd_string, set_and_its_conditions)
{
    expect(&r, "SET k v", "OK");
    expect(&r, "GET k", "v");
    expect(&r, "SET k w NX", "nil");
    expect(&r, "SET k w XX GET", "v");
    expect(&r, "SET none w XX", "nil");
    expect(&r, "SET none w NX GET", "nil");
    expect(&r, "GET none", "w");
    expect(&r, "SET none x NX GET", "w");
    expect(&r, "GET none", "w");
    expect(&r, "SET k v NX XX", "error ERR syntax error");
    expect(&r, "SET k v EX 10 KEEPTTL", "error ERR syntax error");
    expect(&r, "SET k v EX 10 PX 10", "error ERR syntax error");
    expect(&r, "SET k v EX", "error ERR syntax error");
    expect(&r, "SET k v PERSIST", "error ERR syntax error");
    expect(&r, "SADD s m", "1");
    expect(&r, "SET s v GET",
           "error WRONGTYPE Operation against a key holding the wrong kind of value");
    expect(&r, "TYPE s", "set");
    expect(&r, "SET s v", "OK");
    expect(&r, "TYPE s", "string");
}

Test(cmd_string, set_with_times)
{
    expect(&r, "SET k v EX 10", "OK");
    expect(&r, "TTL k", "10");
    expect(&r, "SET k w KEEPTTL", "OK");
    expect(&r, "TTL k", "10");
    expect(&r, "SET k w", "OK");
    expect(&r, "TTL k", "-1");
    expect(&r, "SET k w PX 1", "OK");
    expect(&r, "GET k", "nil");
    expect(&r, "SET k w EX 0", "error ERR invalid expire time in 'set' command");
    expect(&r, "SET k w EX 9223372036854775807", "error ERR invalid expire time in 'set' command");
    expect(&r, "SET k w PX ten", "error ERR value is not an integer or out of range");
    expect(&r, "SET k w EXAT 1", "OK");
    expect(&r, "EXISTS k", "0");
    expect(&r, "SETEX k 100 v", "OK");
    expect(&r, "PTTL k", "99999");
    expect(&r, "PSETEX k 100 v", "OK");
    expect(&r, "PTTL k", "99");
    expect(&r, "SETEX k -1 v", "error ERR invalid expire time in 'setex' command");
    expect(&r, "PSETEX k 0 v", "error ERR invalid expire time in 'psetex' command");
}

Test(cmd_string, get_and_its_kin)
{
    expect(&r, "GETSET k a", "nil");
    expect(&r, "EXPIRE k 10", "1");
    expect(&r, "GETSET k b", "a");
    expect(&r, "TTL k", "-1");
    expect(&r, "GETEX k EX 10", "b");
    expect(&r, "TTL k", "10");
    expect(&r, "GETEX k", "b");
    expect(&r, "TTL k", "10");
    expect(&r, "GETEX k PERSIST", "b");
    expect(&r, "TTL k", "-1");
    expect(&r, "GETEX k PERSIST EX 5", "error ERR syntax error");
    expect(&r, "GETEX k NX", "error ERR syntax error");
    expect(&r, "GETEX k EXAT 5", "b");
    expect(&r, "EXISTS k", "0");
    expect(&r, "GETEX k EX 0", "nil");
    expect(&r, "SET k c", "OK");
    expect(&r, "GETDEL k", "c");
    expect(&r, "GETDEL k", "nil");
    expect(&r, "MSET a 1 b 2 a 3", "OK");
    expect(&r, "SADD s m", "1");
    expect(&r, "MGET a b s none", "[3 2 nil nil]");
    expect(&r, "MSET a", "error ERR wrong number of arguments for 'mset' command");
    expect(&r, "MSET a 1 b", "error ERR wrong number of arguments for 'mset' command");
    expect(&r, "MSETNX x 1 b 2", "0");
    expect(&r, "EXISTS x", "0");
    expect(&r, "MSETNX x 1 y 2", "1");
    expect(&r, "SETNX x 2", "0");
    expect(&r, "SETNX z 2", "1");
    expect(&r, "GET s", "error WRONGTYPE Operation against a key holding the wrong kind of value");
}

Test(cmd_string, parts)
{
    expect(&r, "SET k \"This is a string\"", "OK");
    expect(&r, "GETRANGE k 0 3", "This");
    expect(&r, "GETRANGE k -3 -1", "ing");
    expect(&r, "GETRANGE k 0 -1", "\"This is a string\"");
    expect(&r, "GETRANGE k 10 100", "string");
    expect_raw(&r, "GETRANGE k -1 -3", "$0\r\n\r\n");
    expect_raw(&r, "GETRANGE k 5 3", "$0\r\n\r\n");
    expect_raw(&r, "GETRANGE none 0 -1", "$0\r\n\r\n");
    expect(&r, "SUBSTR k 0 -100", "T");
    expect(&r, "GETRANGE k a 1", "error ERR value is not an integer or out of range");
    expect(&r, "SETRANGE k 5 IS", "16");
    expect(&r, "GETRANGE k 0 8", "\"This IS a\"");
    expect(&r, "SETRANGE new 3 x", "4");
    expect_raw(&r, "STRLEN new", ":4\r\n");
    expect(&r, "SETRANGE new -1 x", "error ERR offset is out of range");
    expect(&r, "SETRANGE none 3 \"\"", "0");
    expect(&r, "EXISTS none", "0");
    expect(&r, "SETRANGE k 536870912 x",
           "error ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    expect(&r, "APPEND a 12", "2");
    expect(&r, "EXPIRE a 100", "1");
    expect(&r, "APPEND a 34", "4");
    expect(&r, "GET a", "1234");
    expect(&r, "TTL a", "100");
    expect(&r, "INCR a", "1235");
    expect(&r, "STRLEN a", "4");
    expect(&r, "STRLEN none", "0");
}

Test(cmd_string, counters)
{
    expect(&r, "INCR c", "1");
    expect(&r, "INCRBY c 41", "42");
    expect(&r, "DECR c", "41");
    expect(&r, "DECRBY c 1", "40");
    expect(&r, "GET c", "40");
    expect(&r, "SET c 9223372036854775807", "OK");
    expect(&r, "INCR c", "error ERR increment or decrement would overflow");
    expect(&r, "DECRBY c -9223372036854775808", "error ERR decrement would overflow");
    expect(&r, "INCRBY c x", "error ERR value is not an integer or out of range");
    expect(&r, "SET c \" 1\"", "OK");
    expect(&r, "INCR c", "error ERR value is not an integer or out of range");
    expect(&r, "SET c 10", "OK");
    expect(&r, "EXPIRE c 100", "1");
    expect(&r, "INCR c", "11");
    expect(&r, "TTL c", "100");
    expect(&r, "SADD s m", "1");
    expect(&r, "INCR s", "error WRONGTYPE Operation against a key holding the wrong kind of value");
}

Test(cmd_string, real_counters)
{
    expect(&r, "SET f 10.50", "OK");
    expect(&r, "INCRBYFLOAT f 0.1", "10.6");
    expect(&r, "INCRBYFLOAT f -5", "5.6");
    expect(&r, "SET f 5.0e3", "OK");
    expect(&r, "INCRBYFLOAT f 2.0e2", "5200");
    expect(&r, "INCR f", "5201");
    expect(&r, "INCRBYFLOAT f inf", "error ERR increment would produce NaN or Infinity");
    expect(&r, "INCRBYFLOAT f abc", "error ERR value is not a valid float");
    expect(&r, "SET f abc", "OK");
    expect(&r, "INCRBYFLOAT f 1", "error ERR value is not a valid float");
    expect(&r, "INCRBYFLOAT g 3.0", "3");
    expect(&r, "INCR g", "4");
}

Test(cmd_string, longest_common_subsequence)
{
    expect(&r, "MSET a ohmytext b mynewtext e \"\"", "OK");
    expect(&r, "LCS a b", "mytext");
    expect(&r, "LCS a b LEN", "6");
    expect(&r, "LCS a b IDX", "[matches [[[4 7] [5 8]] [[2 3] [0 1]]] len 6]");
    expect(&r, "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "[matches [[[4 7] [5 8] 4]] len 6]");
    expect_raw(&r, "LCS a e", "$0\r\n\r\n");
    expect_raw(&r, "LCS none e", "$0\r\n\r\n");
    expect(&r, "LCS a b IDX LEN",
           "error ERR If you want both the length and indexes, please just use IDX.");
    expect(&r, "LCS a b FOO", "error ERR syntax error");
    expect(&r, "SADD s m", "1");
    expect(&r, "LCS a s", "error ERR The specified keys must contain string values");
}
