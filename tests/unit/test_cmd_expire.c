/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

static struct run r;

static void start(void) { run_start(&r, 1, false); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_expire, .init = start, .fini = stop);

Test(cmd_expire, times_left)
{
    expect(&r, "TTL k", "-2");
    expect(&r, "SET k v", "OK");
    expect(&r, "PTTL k", "-1");
    expect(&r, "EXPIRETIME k", "-1");
    expect(&r, "EXPIRE k 10", "1");
    expect(&r, "TTL k", "10");
    expect(&r, "PTTL k", "9998");
    run_wait(&r, 600);
    expect(&r, "TTL k", "9");
    expect(&r, "PEXPIREAT k 4102444800000", "1");
    expect(&r, "EXPIRETIME k", "4102444800");
    expect(&r, "PEXPIRETIME k", "4102444800000");
    expect(&r, "PERSIST k", "1");
    expect(&r, "PERSIST k", "0");
    expect(&r, "PERSIST none", "0");
    expect(&r, "EXPIRE none 10", "0");
}

Test(cmd_expire, conditions)
{
    expect(&r, "SET k v", "OK");
    expect(&r, "EXPIRE k 100 XX", "0");
    expect(&r, "EXPIRE k 100 GT", "0");
    expect(&r, "EXPIRE k 100 LT", "1");
    expect(&r, "EXPIRE k 200 NX", "0");
    expect(&r, "EXPIRE k 200 LT", "0");
    expect(&r, "EXPIRE k 200 GT", "1");
    expect(&r, "EXPIRE k 50 GT XX", "0");
    expect(&r, "EXPIRE k 50 XX", "1");
    expect(&r, "PERSIST k", "1");
    expect(&r, "EXPIRE k 50 NX", "1");
    expect(&r, "EXPIRE k 1 NX XX",
           "error ERR NX and XX, GT or LT options at the same time are not compatible");
    expect(&r, "EXPIRE k 1 GT LT",
           "error ERR GT and LT options at the same time are not compatible");
    expect(&r, "EXPIRE k 1 FOO", "error ERR Unsupported option FOO");
    expect(&r, "EXPIRE k x", "error ERR value is not an integer or out of range");
    expect(&r, "EXPIRE k 9223372036854775807", "error ERR invalid expire time in 'expire' command");
    expect(&r, "PEXPIRE k 9223372036854775807",
           "error ERR invalid expire time in 'pexpire' command");
    expect(&r, "PEXPIREAT k 9223372036854775807", "1");
}

Test(cmd_expire, a_time_that_has_passed_deletes)
{
    expect(&r, "SET k v", "OK");
    expect(&r, "EXPIRE k -1", "1");
    expect(&r, "EXISTS k", "0");
    expect(&r, "SET k v", "OK");
    expect(&r, "EXPIREAT k 0", "1");
    expect(&r, "EXISTS k", "0");
}

Test(cmd_expire, a_key_past_its_deadline_is_not_there)
{
    expect(&r, "HSET h f v", "1");
    expect(&r, "PEXPIRE h 5", "1");
    expect(&r, "HGET h f", "v");
    r.now.wall_ms += 10; /* no upkeep: hidden all the same */
    expect(&r, "HGET h f", "nil");
    expect(&r, "TYPE h", "none");
    expect(&r, "TTL h", "-2");
    expect(&r, "DEL h", "0");
    expect(&r, "SADD h m", "1");
    expect(&r, "TTL h", "-1");
    expect(&r, "SMEMBERS h", "[m]");
}
