/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/ttl.h"

#include "base/num.h"

enum ttl_unit ttl_option(struct bytes word)
{
    return bytes_is_nocase(word, "ex")     ? TTL_EX
           : bytes_is_nocase(word, "px")   ? TTL_PX
           : bytes_is_nocase(word, "exat") ? TTL_EXAT
           : bytes_is_nocase(word, "pxat") ? TTL_PXAT
                                           : TTL_NONE;
}

bool ttl_deadline(struct call *c, struct bytes arg, enum ttl_unit unit, bool positive,
                  int64_t *at_ms)
{
    int64_t v;
    if (!arg_i64(c, arg, &v))
        return false;
    bool seconds = unit == TTL_EX || unit == TTL_EXAT, relative = unit == TTL_EX || unit == TTL_PX;
    bool bad = positive && v <= 0;
    bad |= seconds && __builtin_mul_overflow(v, INT64_C(1000), &v);
    bad |= relative && __builtin_add_overflow(v, c->now.wall_ms, &v);
    if (bad) {
        reply_errorf(c->reply, "ERR invalid expire time in '%s' command", c->command->name);
        return false;
    }
    *at_ms = v < DEADLINE_NEVER ? v : DEADLINE_NEVER - 1;
    return true;
}
