/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, false); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_stream, .init = start, .fini = stop);

Test(cmd_stream, entries_come_in_the_order_of_their_ids)
{
    expect(&r, "XADD x 1-1 a 1 b 2", "1-1");
    expect(&r, "XADD x 1-* a 2", "1-2");
    expect(&r, "XADD x 5 a 3", "5-0");
    expect(
        &r, "XADD x 4-9 a 3",
        "error ERR The ID specified in XADD is equal or smaller than the target stream top item");
    expect(&r, "XLEN x", "3");
    expect(&r, "XRANGE x - +", "[[1-1 [a 1 b 2]] [1-2 [a 2]] [5-0 [a 3]]]");
    expect(&r, "XRANGE x 1 1", "[[1-1 [a 1 b 2]] [1-2 [a 2]]]");
    expect(&r, "XRANGE x (1-1 (5-0", "[[1-2 [a 2]]]");
    expect(&r, "XREVRANGE x + - COUNT 2", "[[5-0 [a 3]] [1-2 [a 2]]]");
    expect(&r, "XREVRANGE x (5-0 1-2", "[[1-2 [a 2]]]");
    expect(&r, "XRANGE x 2 1", "[]");
    expect(&r, "XRANGE none - +", "[]");
    expect(&r, "XRANGE x - + COUNT 0", "nil");
    expect(&r, "TYPE x", "stream");
    expect(&r, "OBJECT ENCODING x", "stream");
}

Test(cmd_stream, bad_arguments_are_refused)
{
    static const char *const bad =
        "error ERR Invalid stream ID specified as stream command argument";
    expect(&r, "XADD x 0-0 a 1", "error ERR The ID specified in XADD must be greater than 0-0");
    expect(&r, "XADD x 1-x a 1", bad);
    expect(&r, "XADD x - a 1", bad);
    expect(&r, "XADD x 18446744073709551616 a 1", bad);
    expect(&r, "XADD x * a", "error ERR wrong number of arguments for 'xadd' command");
    expect(&r, "XADD x MAXLEN -1 * a 1", "error ERR The MAXLEN argument must be >= 0.");
    expect(&r, "XADD x MAXLEN 3 LIMIT 2 * a 1",
           "error ERR syntax error, LIMIT cannot be used without the special ~ option");
    expect(&r, "XADD x LIMIT 2 * a 1",
           "error ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
    expect(&r, "XADD x MAXLEN 3 MINID 2 * a 1",
           "error ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
    expect(&r, "XTRIM x FOO 2", "error ERR syntax error");
    expect(&r, "EXISTS x", "0");
    expect(&r, "XRANGE x (+ +", bad);
    expect(&r, "XRANGE x (18446744073709551615-18446744073709551615 +",
           "error ERR invalid start ID for the interval");
    expect(&r, "XRANGE x - (-", bad);
    expect(&r, "XRANGE x - (0-0", "error ERR invalid end ID for the interval");
    expect(&r, "SET s v", "OK");
    expect(&r, "XADD s * a 1",
           "error WRONGTYPE Operation against a key holding the wrong kind of value");
}

Test(cmd_stream, automatic_ids_go_on_behind_the_last)
{
    expect(&r, "XADD x 9999999999999-5 a 1", "9999999999999-5");
    expect(&r, "XADD x * a 1", "9999999999999-6");
    expect(&r, "XADD x 9999999999999-18446744073709551615 a 1",
           "9999999999999-18446744073709551615");
    expect(&r, "XADD x * a 1", "10000000000000-0");
    expect(&r, "XADD x 10000000000000-18446744073709551615 a 1",
           "10000000000000-18446744073709551615");
    expect(
        &r, "XADD x 10000000000000-* a 1",
        "error ERR The ID specified in XADD is equal or smaller than the target stream top item");
    expect(&r, "XADD x 18446744073709551615-18446744073709551615 a 1",
           "18446744073709551615-18446744073709551615");
    expect(&r, "XADD x * a 1",
           "error ERR The stream has exhausted the last possible ID, unable to add more items");
    expect(&r, "XADD none NOMKSTREAM * a 1", "nil");
    expect(&r, "EXISTS none", "0");
}

Test(cmd_stream, an_empty_stream_goes_on)
{
    expect(&r, "XADD x 3-1 a 1", "3-1");
    expect(&r, "XADD x 3-2 a 1", "3-2");
    expect(&r, "XDEL x 3-2 3-2 9-9", "1");
    expect(&r, "XTRIM x MAXLEN 0", "1");
    expect(&r, "EXISTS x", "1");
    expect(&r, "XLEN x", "0");
    expect(
        &r, "XADD x 3-2 a 1",
        "error ERR The ID specified in XADD is equal or smaller than the target stream top item");
    expect(&r, "XINFO STREAM x",
           "[length 0 radix-tree-keys 0 radix-tree-nodes 1 last-generated-id 3-2 "
           "max-deleted-entry-id 3-2 entries-added 2 recorded-first-entry-id 0-0 groups 0 "
           "first-entry nil last-entry nil]");
    expect(&r, "XSETID x 2-0", "OK");
    expect(&r, "XADD x 2-1 a 1", "2-1");
    expect(&r, "XSETID x 2-0",
           "error ERR The ID specified in XSETID is smaller than the target stream top item");
    expect(&r, "XSETID x 9-9 ENTRIESADDED 0 MAXDELETEDID 1-1",
           "error ERR The entries_added specified in XSETID is smaller than the target stream "
           "length");
    expect(&r, "XSETID x 9-9 ENTRIESADDED 7 MAXDELETEDID 1-1", "OK");
    expect(&r, "XINFO STREAM x",
           "[length 1 radix-tree-keys 1 radix-tree-nodes 2 last-generated-id 9-9 "
           "max-deleted-entry-id 1-1 entries-added 7 recorded-first-entry-id 2-1 groups 0 "
           "first-entry [2-1 [a 1]] last-entry [2-1 [a 1]]]");
    expect(&r, "XSETID none 1-1", "error ERR no such key");
}

static void add_numbered(const char *key, unsigned n)
{
    char line[64];
    for (unsigned i = 1; i <= n; i++) {
        snprintf(line, sizeof line, "XADD %s %u-1 i %u", key, i, i);
        run_raw(&r, line);
    }
}

Test(cmd_stream, trimming_keeps_the_newest)
{
    add_numbered("x", 1000);
    expect(&r, "XTRIM x MAXLEN 990", "10");
    expect(&r, "XRANGE x - + COUNT 1", "[[11-1 [i 11]]]");
    expect(&r, "XTRIM x MAXLEN ~ 700", "290"); /* whole nodes of 100: 90, 100, 100 */
    expect(&r, "XLEN x", "700");
    expect(&r, "XTRIM x MAXLEN ~ 650", "0");
    expect(&r, "XTRIM x MAXLEN ~ 0 LIMIT 150", "100");
    expect(&r, "XTRIM x MINID 500", "99");
    expect(&r, "XTRIM x MINID = 500-1", "0");
    expect(&r, "XTRIM x MINID ~ 750", "201"); /* 500 to 700 */
    expect(&r, "XADD x MAXLEN 2 2000-1 i last", "2000-1");
    expect(&r, "XRANGE x - +", "[[1000-1 [i 1000]] [2000-1 [i last]]]");
    expect(&r, "XTRIM none MAXLEN 0", "0");
}

Test(cmd_stream, a_large_stream_is_read_from_anywhere)
{
    add_numbered("x", 3000);
    expect(&r, "XLEN x", "3000");
    expect(&r, "XRANGE x 1500 + COUNT 2", "[[1500-1 [i 1500]] [1501-1 [i 1501]]]");
    expect(&r, "XREVRANGE x (1500-1 - COUNT 2", "[[1499-1 [i 1499]] [1498-1 [i 1498]]]");
    expect(&r, "XREVRANGE x 1500-5 1500", "[[1500-1 [i 1500]]]");
    expect(&r, "XDEL x 1500-1 1-1", "2");
    expect(&r, "XRANGE x 1500 1500", "[]");
    expect(&r, "XRANGE x - + COUNT 1", "[[2-1 [i 2]]]");
    expect(&r, "DEL x", "1");
    expect(&r, "XLEN x", "0");
}

Test(cmd_stream, reading_several_streams)
{
    expect(&r, "XADD x 1-1 a 1", "1-1");
    expect(&r, "XADD x 2-1 a 2", "2-1");
    expect(&r, "XADD y 3-1 b 1", "3-1");
    expect(&r, "XREAD STREAMS x y none 0 3 0", "[[x [[1-1 [a 1]] [2-1 [a 2]]]] [y [[3-1 [b 1]]]]]");
    expect(&r, "XREAD COUNT 1 STREAMS x 0", "[[x [[1-1 [a 1]]]]]");
    expect(&r, "XREAD STREAMS x 2-1", "nil");
    expect(&r, "XREAD STREAMS x $", "nil");
    expect(&r, "XREAD BLOCK 0 STREAMS x $", "nil"); /* may not wait here */
    expect(&r, "XREAD STREAMS x y 0",
           "error ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be "
           "specified.");
    expect(&r, "XREAD COUNT 2 x 0", "error ERR syntax error");
    expect(&r, "XREAD STREAMS x >",
           "error ERR The > ID can be specified only when calling XREADGROUP using the GROUP "
           "<group> <consumer> option.");
    r.resp = 3;
    expect_raw(&r, "XREAD STREAMS y 0",
               "%1\r\n$1\r\ny\r\n*1\r\n*2\r\n$3\r\n3-1\r\n*2\r\n$1\r\nb\r\n$1\r\n1\r\n");
    r.resp = 2;
}

Test(cmd_stream, groups_deliver_each_entry_once)
{
    add_numbered("x", 5);
    expect(&r, "XGROUP CREATE x g 1-1", "OK");
    expect(&r, "XGROUP CREATE x g 1-1", "error BUSYGROUP Consumer Group name already exists");
    expect(&r, "XREADGROUP GROUP g alice COUNT 2 STREAMS x >", "[[x [[2-1 [i 2]] [3-1 [i 3]]]]]");
    expect(&r, "XREADGROUP GROUP g bob STREAMS x >", "[[x [[4-1 [i 4]] [5-1 [i 5]]]]]");
    expect(&r, "XREADGROUP GROUP g bob STREAMS x >", "nil");
    expect(&r, "XREADGROUP GROUP g alice STREAMS x 0", "[[x [[2-1 [i 2]] [3-1 [i 3]]]]]");
    expect(&r, "XREADGROUP GROUP g carol STREAMS x 0", "[[x []]]");
    expect(&r, "XPENDING x g", "[4 2-1 5-1 [[alice 2] [bob 2]]]");
    expect(&r, "XACK x g 2-1 2-1 9-1", "1");
    expect(&r, "XDEL x 3-1", "1");
    expect(&r, "XREADGROUP GROUP g alice STREAMS x 0", "[[x [[3-1 nil]]]]");
    expect(&r, "XINFO GROUPS x",
           "[[name g consumers 3 pending 3 last-delivered-id 5-1 entries-read 5 lag 0]]");
    expect(&r, "XGROUP DELCONSUMER x g bob", "2");
    expect(&r, "XPENDING x g", "[1 3-1 3-1 [[alice 1]]]");
    expect(&r, "XGROUP SETID x g 4-1", "OK");
    expect(&r, "XREADGROUP GROUP g alice NOACK STREAMS x >", "[[x [[5-1 [i 5]]]]]");
    expect(&r, "XPENDING x g - + 10 bob", "[]");
    expect(&r, "XGROUP DESTROY x g", "1");
    expect(&r, "XGROUP DESTROY x g", "0");
    expect(&r, "XREADGROUP GROUP g alice STREAMS x >",
           "error NOGROUP No such key 'x' or consumer group 'g' in XREADGROUP with GROUP option");
    expect(&r, "XINFO STREAM x FULL",
           "[length 4 radix-tree-keys 1 radix-tree-nodes 2 last-generated-id 5-1 "
           "max-deleted-entry-id 3-1 entries-added 5 recorded-first-entry-id 1-1 entries "
           "[[1-1 [i 1]] [2-1 [i 2]] [4-1 [i 4]] [5-1 [i 5]]] groups []]");
}

Test(cmd_stream, names_may_hold_any_bytes)
{
    add_numbered("x", 1);
    expect(&r, "XGROUP CREATE x \"b\\x00\" 0", "OK");
    expect(&r, "XGROUP CREATE x \"b\" 0", "OK");
    expect(&r, "XGROUP CREATE x \"b\\x00\\x01\" 0", "OK");
    expect(&r, "XGROUP CREATE x \"\" 0", "OK");
    expect(&r, "XREADGROUP GROUP \"b\\x00\" \"c\\x00d\" STREAMS x >", "[[x [[1-1 [i 1]]]]]");
    expect_raw(&r, "XPENDING x \"b\\x00\" - + 1 \"c\\x00d\"", "*1\r\n*4\r\n$3\r\n1-1\r\n$3\r\nc");
    expect(&r, "XPENDING x b", "[0 nil nil nil]");
    expect(&r, "XGROUP DESTROY x \"b\"", "1");
    expect(&r, "XGROUP DESTROY x \"b\\x00\"", "1");
    expect(&r, "XGROUP DESTROY x \"b\\x00\\x01\"", "1");
    expect(&r, "XGROUP DESTROY x \"\"", "1");
    expect(&r, "XINFO GROUPS x", "[]");
}

Test(cmd_stream, claiming)
{
    add_numbered("x", 3);
    expect(&r, "XGROUP CREATE x g 0", "OK");
    expect(&r, "XREADGROUP GROUP g alice COUNT 2 STREAMS x >", "[[x [[1-1 [i 1]] [2-1 [i 2]]]]]");
    expect(&r, "XCLAIM x g bob 100000 1-1", "[]");
    run_wait(&r, 5000);
    expect(&r, "XCLAIM x g bob 1000 1-1 3-1", "[[1-1 [i 1]]]");
    expect(&r, "XCLAIM x g bob 0 3-1 FORCE JUSTID", "[3-1]");
    expect(&r, "XCLAIM x g bob 0 2-1 JUSTID IDLE 1000 RETRYCOUNT 9", "[2-1]");
    expect(&r, "XPENDING x g IDLE 900 - + 10", "[[2-1 bob 1001 9]]");
    expect(&r, "XCLAIM x g bob 0 1-1 NONSENSE", "error ERR Unrecognized XCLAIM option 'NONSENSE'");
    expect(&r, "XCLAIM x g bob x 1-1", "error ERR Invalid min-idle-time argument for XCLAIM");
    expect(&r, "XDEL x 1-1", "1");
    expect(&r, "XAUTOCLAIM x g carol 0 0 COUNT 2", "[3-1 [[2-1 [i 2]]] [1-1]]");
    expect(&r, "XAUTOCLAIM x g carol 0 3-1 JUSTID", "[0-0 [3-1] []]");
    expect(&r, "XPENDING x g", "[2 2-1 3-1 [[carol 2]]]");
    expect(&r, "XCLAIM x none bob 0 1-1", "error NOGROUP No such key 'x' or consumer group 'none'");
    expect(&r, "XAUTOCLAIM x g carol 0 0 COUNT 0", "error ERR COUNT must be > 0");
}

Test(cmd_stream, copies_are_whole)
{
    add_numbered("x", 300);
    expect(&r, "XGROUP CREATE x g 290-1 ENTRIESREAD 290", "OK");
    expect(&r, "XREADGROUP GROUP g alice COUNT 2 STREAMS x >",
           "[[x [[291-1 [i 291]] [292-1 [i 292]]]]]");
    expect(&r, "XDEL x 3-1", "1");
    char *full = strdup(run(&r, "XINFO STREAM x FULL COUNT 0"));
    expect(&r, "COPY x y", "1");
    expect(&r, "XINFO STREAM y FULL COUNT 0", full);
    expect(&r, "RENAME x z", "OK");
    expect(&r, "XINFO STREAM z FULL COUNT 0", full);
    expect(&r, "EXISTS x", "0");
    free(full);
}

Test(cmd_stream, the_database_says_which_ids_are_taken)
{
    static const char *const refused =
        "error ERR XADD refuses full IDs, which two regions could give alike: use * or <ms>-*, or "
        "set the database's xadd_id_uniqueness to semi-strict";
    struct run geo;
    run_start(&geo, 3, true);
    expect(&geo, "XADD x 5-1 a 1", refused);
    expect(&geo, "XADD x 5 a 1", refused);
    expect(&geo, "XADD x 99999999999999-* a 1", "99999999999999-3"); /* region 3 */
    expect(&geo, "XADD x 99999999999999-* a 1", "99999999999999-1027");
    expect(&geo, "XADD x * a 1", "99999999999999-2051");
    shard_set_xadd_ids(geo.shard, XADD_IDS_SEMI_STRICT);
    expect(&geo, "XADD x 99999999999999-2052 a 1", "99999999999999-2052");
    expect(&geo, "XADD x * a 1", "99999999999999-3075");
    shard_set_xadd_ids(geo.shard, XADD_IDS_LIBERAL);
    expect(&geo, "XADD x * a 1", "99999999999999-3076");
    run_stop(&geo);
}
