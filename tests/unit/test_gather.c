/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/buf.h"
#include "migrate/gather.h"

#include <criterion/criterion.h>

static const char *read_slots(const char *text, struct nodes *out)
{
    struct resp_reply r;
    size_t used;
    const char *why = "";
    cr_assert_eq(resp_reply_read(bytes_str(text), &r, &used), RESP_REPLY_OK);
    bool ok = nodes_read(&r, "asked", out, &why);
    resp_reply_deinit(&r);
    return ok ? "" : why;
}

#define RANGE(first, last, host, port)                                                             \
    "*3\r\n:" first "\r\n:" last "\r\n*3\r\n$1\r\n" host "\r\n:" port "\r\n$2\r\nid\r\n"

Test(nodes, masters_stand_in_the_order_of_their_slots)
{
    struct nodes n, other;
    cr_expect_str_eq(read_slots("*3\r\n" RANGE("8000", "16383", "a", "1") RANGE("0", "10", "b", "2")
                                    RANGE("11", "7999", "a", "1"),
                                &n),
                     "");
    cr_assert_eq(n.count, 2u);
    cr_expect_str_eq(n.at[0].host, "b");
    cr_expect(n.at[0].first == 0 && n.at[1].first == 11 && n.at[1].port == 1);
    /* A failover: the same slots together, at another address. */
    cr_expect_str_eq(read_slots("*3\r\n" RANGE("0", "10", "b", "2") RANGE("11", "7999", "?", "3")
                                    RANGE("8000", "16383", "?", "3"),
                                &other),
                     "");
    cr_expect_str_eq(other.at[1].host, "asked");
    cr_expect(other.layout == n.layout && !nodes_same(&n, &other) && nodes_same(&n, &n));
    /* One slot has moved. */
    cr_expect_str_eq(
        read_slots("*2\r\n" RANGE("0", "11", "b", "2") RANGE("12", "16383", "a", "1"), &other), "");
    cr_expect(other.layout != n.layout);
}

Test(nodes, what_is_no_whole_cluster_is_refused)
{
    struct nodes n;
    cr_expect_str_eq(read_slots("*1\r\n" RANGE("0", "16382", "a", "1"), &n),
                     "some of its slots have no master");
    cr_expect_str_neq(read_slots("*1\r\n" RANGE("0", "16384", "a", "1"), &n), "");
    cr_expect_str_neq(read_slots("*1\r\n*2\r\n:0\r\n:5\r\n", &n), "");
    cr_expect_str_neq(read_slots("-ERR no cluster\r\n", &n), "");
    cr_expect_str_neq(read_slots("*0\r\n", &n), "");
}

Test(gather, a_list_of_sources_is_taken_apart)
{
    const char *list = "redis://:a,b c@h:1,rediss://i redis://j/3", *past = "";
    char one[64], small[8];
    cr_assert(gather_next_uri(&list, one, sizeof one));
    cr_expect_str_eq(one, "redis://:a,b c@h:1");
    cr_assert(gather_next_uri(&list, one, sizeof one));
    cr_expect_str_eq(one, "rediss://i");
    cr_assert(gather_next_uri(&list, one, sizeof one));
    cr_expect_str_eq(one, "redis://j/3");
    cr_expect(!gather_next_uri(&list, one, sizeof one));
    cr_expect(!gather_next_uri(&past, one, sizeof one));
    list = "much-too-long:1";
    cr_assert(gather_next_uri(&list, small, sizeof small));
    cr_expect_str_eq(small, "");
}
