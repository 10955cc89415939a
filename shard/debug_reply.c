/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/debug_reply.h"

static void show_attribute(struct reply *r)
{
    if (r->resp > 2) {
        buf_put_str(r->out, "|1\r\n");
        reply_bulk_str(r, "key-popularity");
        reply_array(r, 2);
        reply_bulk_str(r, "key:123");
        reply_int(r, 90);
    }
    reply_bulk_str(r, "Some real reply following the attribute");
}

static void show_number(struct reply *r)
{
    static const char digits[] = "1234567999999999999999999999999999999";
    if (r->resp < 3)
        reply_bulk_str(r, digits);
    else
        buf_putf(r->out, "(%s\r\n", digits);
}

static void show_aggregate(struct reply *r, struct bytes type)
{
    bool map = bytes_is_nocase(type, "map");
    if (map)
        reply_map(r, 3);
    else if (bytes_is_nocase(type, "set"))
        reply_set(r, 3);
    else
        reply_array(r, 3);
    for (int i = 0; i < 3; i++) {
        reply_int(r, i);
        if (map)
            reply_bool(r, i == 1);
    }
}

bool debug_reply(struct reply *r, struct bytes type)
{
    if (bytes_is_nocase(type, "string"))
        reply_bulk_str(r, "Hello World");
    else if (bytes_is_nocase(type, "integer"))
        reply_int(r, 12345);
    else if (bytes_is_nocase(type, "double"))
        reply_double(r, 3.141);
    else if (bytes_is_nocase(type, "null"))
        reply_nil(r);
    else if (bytes_is_nocase(type, "array") || bytes_is_nocase(type, "set") ||
             bytes_is_nocase(type, "map"))
        show_aggregate(r, type);
    else if (bytes_is_nocase(type, "attrib"))
        show_attribute(r);
    else if (bytes_is_nocase(type, "verbatim"))
        reply_verbatim(r, bytes_str("This is a verbatim\nstring"));
    else if (bytes_is_nocase(type, "bignum"))
        show_number(r);
    else if (bytes_is_nocase(type, "true") || bytes_is_nocase(type, "false"))
        reply_bool(r, bytes_is_nocase(type, "true"));
    else
        return false;
    return true;
}
