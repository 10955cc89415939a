/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_sort, .init = start, .fini = stop);

Test(cmd_sort, numbers_and_texts)
{
    expect(&r, "RPUSH l 3 10 1 2", "4");
    expect(&r, "SORT l", "[1 2 3 10]");
    expect(&r, "SORT l ALPHA", "[1 10 2 3]");
    expect(&r, "SORT l DESC LIMIT 1 2", "[3 2]");
    expect(&r, "SORT l LIMIT -1 0", "[]");
    expect(&r, "SORT l LIMIT 9 9", "[]");
    expect(&r, "SORT none", "[]");
    expect(&r, "ZADD z 1 c 2 b 3 a", "3");
    expect(&r, "SORT z ALPHA", "[a b c]");
    expect(&r, "SORT z BY nosort DESC LIMIT 0 2", "[a b]");
    expect(&r, "SORT l BY nosort DESC", "[2 1 10 3]");
    expect(&r, "SORT z", "error ERR One or more scores can't be converted into double");
    expect(&r, "RPUSH e \"\" -1 0x10 1", "4");
    expect(&r, "SORT e", "[-1 \"\" 1 0x10]");
}

Test(cmd_sort, other_keys_weigh_and_answer)
{
    run(&r, "RPUSH l a b c d");
    run(&r, "MSET w_a 3 w_b 1 w_c 2 n_a Ann n_c Cy");
    run(&r, "HSET h_a f 9 g x");
    run(&r, "HSET h_b f 8");
    expect(&r, "SORT l BY w_*", "[d b c a]");
    expect(&r, "SORT l BY w_* GET # GET n_*", "[d nil b nil c Cy a Ann]");
    expect(&r, "SORT l BY h_*->f DESC GET # GET h_*->g GET h_*->",
           "[a x nil b nil nil d nil nil "
           "c nil nil]");
    expect(&r, "SORT l BY n_* ALPHA", "[b d a c]");
    run(&r, "INCRBY w_a 1"); /* a sum of two parts */
    expect(&r, "SORT l BY nosort GET w_*", "[4 1 2 nil]");
    expect(&r, "SORT l BY nosort GET constant GET n_*", "[nil Ann nil nil nil Cy nil nil]");
}

Test(cmd_sort, the_result_is_stored)
{
    run(&r, "SADD s 3 1 2");
    expect(&r, "SORT s STORE l", "3");
    expect(&r, "LRANGE l 0 -1", "[1 2 3]");
    expect(&r, "SORT l DESC GET # GET w_* STORE l", "6");
    expect(&r, "LRANGE l 0 -1", "[3 \"\" 2 \"\" 1 \"\"]");
    expect(&r, "SORT s BY nosort STORE l", "3");
    expect(&r, "LRANGE l 0 -1", "[1 2 3]");
    expect(&r, "SORT none STORE l", "0");
    expect(&r, "EXISTS l", "0");
}

Test(cmd_sort, wrong_commands_are_refused)
{
    run(&r, "SADD s 1");
    run(&r, "SET t x");
    expect(&r, "SORT t", "error WRONGTYPE Operation against a key holding the wrong kind of value");
    expect(&r, "SORT s LIMIT 1", "error ERR syntax error");
    expect(&r, "SORT s LIMIT x 1", "error ERR value is not an integer or out of range");
    expect(&r, "SORT_RO s STORE l", "error ERR syntax error");
}

/* Several shards: the keys of a pattern may be on another one. */
Test(cmd_sort_split, patterns_need_all_keys)
{
    struct run half;
    run_start_with(&half, &(struct shard_opts){.region = 1,
                                               .partitions = 2 * RUN_PARTITIONS,
                                               .count = RUN_PARTITIONS});
    const char *got = run(&half, "SORT b BY w_*");
    cr_expect(strncmp(got, "error ERR BY option of SORT denied in Cluster mode.", 51) == 0, "%s",
              got);
    got = run(&half, "SORT b GET w_*");
    cr_expect(strncmp(got, "error ERR GET option of SORT denied in Cluster mode.", 52) == 0, "%s",
              got);
    expect(&half, "SORT b BY nosort GET #", "[]");
    run_stop(&half);
}
