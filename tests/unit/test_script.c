/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

TestSuite(script);

Test(script, replies_with_what_the_script_returns)
{
    struct run r;
    run_start(&r, 1, false);
    expect(&r, "EVAL \"return 1\" 0", "1");
    expect(&r, "EVAL \"return 'text'\" 0", "text");
    expect(&r, "EVAL \"return {1, 2, {3, 'x'}, 'y', nil, 4}\" 0", "[1 2 [3 x] y]");
    expect(&r, "EVAL \"return {KEYS[1], ARGV[1], #KEYS, #ARGV}\" 1 a b c", "[a b 1 2]");
    run_stop(&r);
}
