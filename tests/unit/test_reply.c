/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/reply.h"

#include <criterion/criterion.h>

#include <math.h>

static char *text(struct buf *b)
{
    buf_put_u8(b, 0);
    return (char *)b->p;
}

#define CHECK(version, call, wanted)                                                               \
    do {                                                                                           \
        struct buf b = {0};                                                                        \
        struct reply r = {.out = &b, .resp = version};                                             \
        call;                                                                                      \
        cr_expect_str_eq(text(&b), wanted);                                                        \
        buf_deinit(&b);                                                                            \
    } while (0)

Test(reply, resp2)
{
    CHECK(2, reply_ok(&r), "+OK\r\n");
    CHECK(2, reply_int(&r, INT64_MIN), ":-9223372036854775808\r\n");
    CHECK(2, reply_int(&r, 7), ":7\r\n");
    CHECK(2, reply_bulk_str(&r, ""), "$0\r\n\r\n");
    CHECK(2, reply_bulk_i64(&r, -10), "$3\r\n-10\r\n");
    CHECK(2, reply_nil(&r), "$-1\r\n");
    CHECK(2, reply_nil_array(&r), "*-1\r\n");
    CHECK(2, reply_bool(&r, true), ":1\r\n");
    CHECK(2, reply_map(&r, 6), "*12\r\n");
    CHECK(2, reply_set(&r, 3), "*3\r\n");
    CHECK(2, reply_push(&r, 3), "*3\r\n");
    CHECK(2, reply_verbatim(&r, bytes_str("ab")), "$2\r\nab\r\n");
    CHECK(2, reply_double(&r, 1.5), "$3\r\n1.5\r\n");
    CHECK(2, reply_double(&r, 3e17), "$5\r\n3e+17\r\n");
}

Test(reply, resp3)
{
    CHECK(3, reply_nil(&r), "_\r\n");
    CHECK(3, reply_nil_array(&r), "_\r\n");
    CHECK(3, reply_bool(&r, false), "#f\r\n");
    CHECK(3, reply_map(&r, 6), "%6\r\n");
    CHECK(3, reply_set(&r, 3), "~3\r\n");
    CHECK(3, reply_push(&r, 3), ">3\r\n");
    CHECK(3, reply_verbatim(&r, bytes_str("ab")), "=6\r\ntxt:ab\r\n");
    CHECK(3, reply_double(&r, 0.1), ",0.1\r\n");
    CHECK(3, reply_double(&r, 10), ",10\r\n");
    CHECK(3, reply_double(&r, -INFINITY), ",-inf\r\n");
}

Test(reply, errors_stay_on_one_line)
{
    CHECK(2, reply_errorf(&r, "ERR no '%s'", "a\r\nb"), "-ERR no 'a  b'\r\n");
}
