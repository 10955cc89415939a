/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_zset, .init = start, .fini = stop);

Test(cmd_zset, adding)
{
    expect(&r, "ZADD z 1 a 2 b", "2");
    expect(&r, "ZADD z 3 a 2 b 4 c", "1");
    expect(&r, "ZADD z CH 5 a 2 b 6 d", "2");
    expect(&r, "ZRANGE z 0 -1 WITHSCORES", "[b 2 c 4 a 5 d 6]");
    expect(&r, "ZSCORE z a", "5");
    expect(&r, "ZMSCORE z a none d", "[5 nil 6]");
    expect(&r, "ZCARD z", "4");
    expect(&r, "ZREM z a none", "1");
    expect(&r, "ZREM z b c d", "3");
    expect(&r, "EXISTS z", "0");
}

Test(cmd_zset, options_of_zadd)
{
    expect(&r, "ZADD z XX 1 a", "0");
    expect(&r, "EXISTS z", "0");
    expect(&r, "ZADD z NX 1 a", "1");
    expect(&r, "ZADD z NX 2 a", "0");
    expect(&r, "ZADD z GT CH 0 a", "0");
    expect(&r, "ZADD z GT CH 3 a", "1");
    expect(&r, "ZADD z LT CH 2 a 9 b", "2");
    expect(&r, "ZADD z GT XX CH 1 a 5 c", "0");
    expect(&r, "ZADD z INCR 1.5 a", "3.5");
    expect(&r, "ZADD z NX INCR 1 a", "nil");
    expect(&r, "ZADD z GT INCR -1 a", "nil");
    expect(&r, "ZADD z XX INCR 1 none", "nil");
    expect(&r, "ZINCRBY z 1 a", "4.5");
    expect(&r, "ZINCRBY z -2 new", "-2");
}

Test(cmd_zset, errors_of_zadd)
{
    expect(&r, "ZADD z NX XX 1 a",
           "error ERR XX and NX options at the same time are not compatible");
    expect(&r, "ZADD z GT NX 1 a",
           "error ERR GT, LT, and/or NX options at the same time are not compatible");
    expect(&r, "ZADD z LT GT 1 a",
           "error ERR GT, LT, and/or NX options at the same time are not compatible");
    expect(&r, "ZADD z INCR 1 a 2 b",
           "error ERR INCR option supports a single increment-element pair");
    expect(&r, "ZADD z 1 a 2", "error ERR syntax error");
    expect(&r, "ZADD z NX CH", "error ERR syntax error");
    expect(&r, "ZADD z 1 a x b", "error ERR value is not a valid float");
    expect(&r, "ZADD z nan a", "error ERR value is not a valid float");
    expect(&r, "EXISTS z", "0");
    expect(&r, "ZADD z inf a", "1");
    expect(&r, "ZINCRBY z -inf a", "error ERR resulting score is not a number (NaN)");
    expect(&r, "ZSCORE z a", "inf");
}

Test(cmd_zset, ranks)
{
    expect(&r, "ZADD z 1 a 1 b 2 c", "3");
    expect(&r, "ZRANK z b", "1");
    expect(&r, "ZREVRANK z b", "1");
    expect(&r, "ZREVRANK z c", "0");
    expect(&r, "ZRANK z none", "nil");
    expect(&r, "ZRANK none a", "nil");
}

Test(cmd_zset, ranges_by_index)
{
    expect(&r, "ZADD z 1 a 2 b 3 c 4 d", "4");
    expect(&r, "ZRANGE z 1 2", "[b c]");
    expect(&r, "ZRANGE z -2 100", "[c d]");
    expect(&r, "ZRANGE z 0 1 REV", "[d c]");
    expect(&r, "ZREVRANGE z 1 -1 WITHSCORES", "[c 3 b 2 a 1]");
    expect(&r, "ZRANGE z 3 1", "[]");
    expect(&r, "ZRANGE z x 1", "error ERR value is not an integer or out of range");
    expect(&r, "ZRANGE z 0 1 LIMIT 0 1",
           "error ERR syntax error, LIMIT is only supported in combination with either BYSCORE or "
           "BYLEX");
    expect(&r, "ZRANGE z 0 1 REV REV", "error ERR syntax error");
    expect(&r, "ZREVRANGE z 0 1 REV", "error ERR syntax error");
    r.resp = 3;
    expect_raw(&r, "ZRANGE z 0 0 WITHSCORES", "*1\r\n*2\r\n$1\r\na\r\n,1\r\n");
}

Test(cmd_zset, ranges_by_score)
{
    expect(&r, "ZADD z 1 a 2 b 3 c 4 d 5 e", "5");
    expect(&r, "ZRANGEBYSCORE z 2 4", "[b c d]");
    expect(&r, "ZRANGEBYSCORE z (2 (4 WITHSCORES", "[c 3]");
    expect(&r, "ZRANGEBYSCORE z -inf +inf LIMIT 1 2", "[b c]");
    expect(&r, "ZRANGEBYSCORE z -inf +inf LIMIT 3 -1", "[d e]");
    expect(&r, "ZRANGEBYSCORE z -inf +inf LIMIT -1 2", "[]");
    expect(&r, "ZREVRANGEBYSCORE z 4 (1 LIMIT 1 5", "[c b]");
    expect(&r, "ZRANGE z (4 1 BYSCORE REV", "[c b a]");
    expect(&r, "ZRANGE z 4 1 BYSCORE", "[]");
    expect(&r, "ZCOUNT z (1 4", "3");
    expect(&r, "ZCOUNT z 4 1", "0");
    expect(&r, "ZCOUNT z x 1", "error ERR min or max is not a float");
    expect(&r, "ZCOUNT z nan 1", "error ERR min or max is not a float");
    expect(&r, "ZRANGEBYSCORE z 1 2 LIMIT 1", "error ERR syntax error");
    expect(&r, "ZREMRANGEBYSCORE z (1 3", "2");
    expect(&r, "ZRANGE z 0 -1", "[a d e]");
    expect(&r, "ZREMRANGEBYSCORE z -inf inf", "3");
    expect(&r, "EXISTS z", "0");
}

Test(cmd_zset, ranges_by_member)
{
    expect(&r, "ZADD z 0 a 0 b 0 c 0 d", "4");
    expect(&r, "ZRANGEBYLEX z - +", "[a b c d]");
    expect(&r, "ZRANGEBYLEX z [b (d", "[b c]");
    expect(&r, "ZRANGEBYLEX z (b + LIMIT 1 1", "[d]");
    expect(&r, "ZREVRANGEBYLEX z [c -", "[c b a]");
    expect(&r, "ZRANGE z + [c BYLEX REV", "[d c]");
    expect(&r, "ZRANGEBYLEX z + -", "[]");
    expect(&r, "ZLEXCOUNT z - (c", "2");
    expect(&r, "ZLEXCOUNT z b c", "error ERR min or max not valid string range item");
    expect(&r, "ZRANGE z - + BYLEX WITHSCORES",
           "error ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    expect(&r, "ZREMRANGEBYLEX z [b [c", "2");
    expect(&r, "ZREMRANGEBYRANK z 0 0", "1");
    expect(&r, "ZRANGE z 0 -1", "[d]");
}

Test(cmd_zset, storing_ranges)
{
    expect(&r, "ZADD z 1 a 2 b 3 c", "3");
    expect(&r, "ZRANGESTORE out z 1 -1", "2");
    expect(&r, "ZRANGE out 0 -1 WITHSCORES", "[b 2 c 3]");
    expect(&r, "ZRANGESTORE out z 3 1 BYSCORE REV LIMIT 0 2", "2");
    expect(&r, "ZRANGE out 0 -1", "[b c]");
    expect(&r, "ZRANGESTORE z z 0 0", "1");
    expect(&r, "ZRANGESTORE out none 0 -1", "0");
    expect(&r, "EXISTS out", "0");
    expect(&r, "ZRANGESTORE out z 0 -1 WITHSCORES", "error ERR syntax error");
}

Test(cmd_zset, popping)
{
    expect(&r, "ZADD z 1 a 2 b 3 c 4 d", "4");
    expect(&r, "ZPOPMIN z", "[a 1]");
    expect(&r, "ZPOPMAX z 2", "[d 4 c 3]");
    expect(&r, "ZPOPMIN z 0", "[]");
    expect(&r, "ZPOPMIN z -1", "error ERR value is out of range, must be positive");
    expect(&r, "ZPOPMIN z 1 2", "error ERR syntax error");
    expect(&r, "ZMPOP 2 none z MAX COUNT 3", "[z [[b 2]]]");
    expect(&r, "EXISTS z", "0");
    expect_raw(&r, "ZMPOP 1 z MIN", "*-1\r\n");
    expect(&r, "ZMPOP 0 z MIN", "error ERR numkeys should be greater than 0");
    expect(&r, "ZMPOP 1 z MID", "error ERR syntax error");
    expect(&r, "ZMPOP 1 z MIN COUNT 0", "error ERR count should be greater than 0");
    expect(&r, "ZPOPMIN none", "[]");
    r.resp = 3;
    expect(&r, "ZADD z 1.5 a 2 b", "2");
    expect_raw(&r, "ZPOPMIN z", "*2\r\n$1\r\na\r\n,1.5\r\n");
    expect_raw(&r, "ZPOPMIN z 1", "*1\r\n*2\r\n$1\r\nb\r\n,2\r\n");
}

Test(cmd_zset, algebra)
{
    expect(&r, "ZADD a 1 x 2 y 3 z", "3");
    expect(&r, "ZADD b 10 y 20 z 30 w", "3");
    expect(&r, "SADD s y q", "2");
    expect(&r, "ZUNION 2 a b WITHSCORES", "[x 1 y 12 z 23 w 30]");
    expect(&r, "ZUNION 2 a b WEIGHTS 10 1 AGGREGATE MAX WITHSCORES", "[x 10 y 20 w 30 z 30]");
    expect(&r, "ZINTER 2 a b AGGREGATE MIN WITHSCORES", "[y 2 z 3]");
    expect(&r, "ZINTER 3 a b s WITHSCORES", "[y 13]");
    expect(&r, "ZDIFF 2 a b WITHSCORES", "[x 1]");
    expect(&r, "ZINTERCARD 2 a b", "2");
    expect(&r, "ZINTERCARD 2 a b LIMIT 1", "1");
    expect(&r, "ZUNIONSTORE out 2 a s WEIGHTS 2 3", "4");
    expect(&r, "ZRANGE out 0 -1 WITHSCORES", "[x 2 q 3 z 6 y 7]");
    expect(&r, "ZINTERSTORE a 2 a b", "2");
    expect(&r, "ZRANGE a 0 -1 WITHSCORES", "[y 12 z 23]");
    expect(&r, "ZDIFFSTORE a 2 a b", "0");
    expect(&r, "EXISTS a", "0");
}

Test(cmd_zset, algebra_of_infinities)
{
    expect(&r, "ZADD a inf x", "1");
    expect(&r, "ZADD b -inf x", "1");
    expect(&r, "ZUNION 2 a b WITHSCORES", "[x 0]");
    expect(&r, "ZUNION 1 a WEIGHTS 0 WITHSCORES", "[x 0]");
    expect(&r, "ZINTER 2 a a WEIGHTS 1 0 WITHSCORES", "[x 0]");
}

Test(cmd_zset, errors_of_algebra)
{
    expect(&r, "ZUNION 0 a", "error ERR at least 1 input key is needed for 'zunion' command");
    expect(&r, "ZINTERSTORE d 0 a",
           "error ERR at least 1 input key is needed for 'zinterstore' command");
    expect(&r, "ZUNION 2 a", "error ERR syntax error");
    expect(&r, "ZUNION x a", "error ERR value is not an integer or out of range");
    expect(&r, "ZUNION 1 a WEIGHTS", "error ERR syntax error");
    expect(&r, "ZUNION 1 a WEIGHTS x", "error ERR weight value is not a float");
    expect(&r, "ZUNION 1 a AGGREGATE AVG", "error ERR syntax error");
    expect(&r, "ZDIFF 1 a WEIGHTS 1", "error ERR syntax error");
    expect(&r, "ZUNIONSTORE d 1 a WITHSCORES", "error ERR syntax error");
    expect(&r, "ZINTERCARD 1 a LIMIT -1", "error ERR LIMIT can't be negative");
    expect(&r, "SET s x", "OK");
    expect(&r, "ZUNION 1 s",
           "error WRONGTYPE Operation against a key holding the wrong kind of value");
}

Test(cmd_zset, random_members_have_redis_shapes)
{
    expect(&r, "ZRANDMEMBER none", "nil");
    expect(&r, "ZRANDMEMBER none 2", "[]");
    expect(&r, "ZADD z 1.5 a", "1");
    expect(&r, "ZRANDMEMBER z", "a");
    expect(&r, "ZRANDMEMBER z 3", "[a]");
    expect(&r, "ZRANDMEMBER z -2 WITHSCORES", "[a 1.5 a 1.5]");
    expect(&r, "ZRANDMEMBER z 1 x", "error ERR syntax error");
    expect(&r, "ZSCAN z 0", "[0 [a 1.5]]");
    r.resp = 3;
    expect_raw(&r, "ZRANDMEMBER z 1 WITHSCORES", "*1\r\n*2\r\n$1\r\na\r\n,1.5\r\n");
}

/* As Redis does since 7.2 (docs/decisions.md, 9). */
Test(cmd_zset, scores_are_shown_by_their_shortest_text)
{
    expect(&r, "ZADD z 3e17 a 0.1 b 1e300 c -5 d 12345678901234567 e", "5");
    expect(&r, "ZMSCORE z a b c d e", "[3e+17 0.1 1e+300 -5 12345678901234568]");
}

Test(cmd_zset, a_large_set_keeps_its_order)
{
    char line[64];
    for (int i = 0; i < 2000; i++) {
        snprintf(line, sizeof line, "ZADD z %d m%d", i * 7 % 2000, i);
        expect(&r, line, "1");
    }
    expect(&r, "ZRANGE z 1000 1002 WITHSCORES", "[m1000 1000 m143 1001 m1286 1002]");
}

Test(cmd_zset, increments_add_up_and_removals_take_what_they_saw)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "ZADD z 1 x 4 y", "2");
    run_sync(both, 2);
    expect(&r, "ZINCRBY z 1 x", "2");
    expect(&other, "ZINCRBY z 1 x", "2");
    expect(&r, "ZREM z y", "1");
    expect(&other, "ZINCRBY z 2 y", "6");
    run_sync(both, 2);
    expect(&r, "ZRANGE z 0 -1 WITHSCORES", "[y 2 x 3]");
    expect(&other, "ZRANGE z 0 -1 WITHSCORES", "[y 2 x 3]");
    run_stop(&other);
}

Test(cmd_zset, writing_the_same_score_survives_a_concurrent_removal)
{
    struct run other, *both[] = {&r, &other};
    run_start(&other, 2, true);
    expect(&r, "ZADD z 1 x 2 y", "2");
    run_sync(both, 2);
    expect(&r, "ZREM z x y", "2");
    expect(&other, "ZADD z 1 x", "0");
    expect(&other, "ZADD z GT 1 y", "0"); /* decided where it was called: nothing was written */
    run_sync(both, 2);
    expect(&r, "ZRANGE z 0 -1 WITHSCORES", "[x 1]");
    expect(&other, "ZRANGE z 0 -1 WITHSCORES", "[x 1]");
    run_stop(&other);
}
