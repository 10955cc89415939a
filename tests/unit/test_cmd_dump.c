/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/resp_reply.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>

static struct run r;

static void start(void) { run_start(&r, 1, true); }

static void stop(void) { run_stop(&r); }

TestSuite(cmd_dump, .init = start, .fini = stop);

/* RESTORE of what DUMP says, with `more` behind it; the reply's text. */
static const char *moved_by(struct run *from, struct run *to, const char *key, const char *head,
                            const char *more)
{
    char line[64];
    static char request[200000];
    struct resp_reply reply;
    size_t used;
    snprintf(line, sizeof line, "DUMP %s", key);
    run_raw(from, line);
    cr_assert(resp_reply_read(buf_bytes(&from->text), &reply, &used) == RESP_REPLY_OK);
    size_t n = (size_t)snprintf(request, sizeof request, "%s \"", head);
    for (size_t i = 0; i < reply.text.n; i++)
        n += (size_t)snprintf(request + n, sizeof request - n, "\\x%02x", reply.text.p[i]);
    snprintf(request + n, sizeof request - n, "\"%s", more);
    resp_reply_deinit(&reply);
    return run(to, request);
}

static const char *moved(const char *key, const char *head, const char *more)
{
    return moved_by(&r, &r, key, head, more);
}

#define moves(key, head, more, wanted)                                                             \
    do {                                                                                           \
        const char *got_ = moved(key, head, more);                                                 \
        cr_expect(strcmp(got_, wanted) == 0, "%s gives %s", head, got_);                           \
    } while (0)

Test(cmd_dump, every_type_comes_back)
{
    run(&r, "SET t \"a\\x00b\"");
    run(&r, "INCRBY n 5");
    run(&r, "INCRBY n -3");
    run(&r, "RPUSH l a 1 \"\"");
    run(&r, "SADD s 3 1 2");
    run(&r, "HSET h f 1 g w");
    run(&r, "HINCRBY h f 2");
    run(&r, "ZADD z 1.5 a -inf b");
    moves("t", "RESTORE t2 0", "", "OK");
    moves("n", "RESTORE n2 0", "", "OK");
    moves("l", "RESTORE l2 0", "", "OK");
    moves("s", "RESTORE s2 0", "", "OK");
    moves("h", "RESTORE h2 0", "", "OK");
    moves("z", "RESTORE z2 0", "", "OK");
    expect(&r, "STRLEN t2", "3");
    expect(&r, "INCR n2", "3");
    expect(&r, "LRANGE l2 0 -1", "[a 1 \"\"]");
    expect(&r, "SORT s2", "[1 2 3]");
    expect(&r, "HMGET h2 f g", "[3 w]");
    expect(&r, "ZRANGE z2 0 -1 WITHSCORES", "[b -inf a 1.5]");
    expect(&r, "DUMP none", "nil");
}

Test(cmd_dump, large_values_come_back)
{
    char line[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "RPUSH l element-%d", i);
        run(&r, line);
        snprintf(line, sizeof line, "HSET h field-%d %d", i, i * i);
        run(&r, line);
        snprintf(line, sizeof line, "ZADD z %d member-%d", -i, i);
        run(&r, line);
    }
    moves("l", "RESTORE l2 0", "", "OK");
    moves("h", "RESTORE h2 0", "", "OK");
    moves("z", "RESTORE z2 0", "", "OK");
    expect(&r, "LLEN l2", "1000");
    expect(&r, "LINDEX l2 777", "element-777");
    expect(&r, "HGET h2 field-999", "998001");
    expect(&r, "ZRANK z2 member-999", "0");
}

Test(cmd_dump, streams_come_back_with_their_groups)
{
    run(&r, "XADD s * a 1 b 2");
    run(&r, "XADD s * c 3");
    run(&r, "XGROUP CREATE s g 0");
    run(&r, "XREADGROUP GROUP g joe COUNT 1 STREAMS s >");
    run(&r, "XGROUP CREATECONSUMER s g idle");
    moves("s", "RESTORE t 0", "", "OK");
    char want[256];
    snprintf(want, sizeof want, "%s", run(&r, "XRANGE s - +"));
    expect(&r, "XRANGE t - +", want);
    snprintf(want, sizeof want, "%s", run(&r, "XPENDING s g"));
    expect(&r, "XPENDING t g", want);
    cr_expect(strstr(want, "[1 ") == want, "%s", want);
    snprintf(want, sizeof want, "%s", run(&r, "DEBUG DIGEST-VALUE s"));
    expect(&r, "DEBUG DIGEST-VALUE t", want);
    run(&r, "XGROUP CREATE empty g $ MKSTREAM");
    moves("empty", "RESTORE empty2 0", "", "OK");
    expect(&r, "XLEN empty2", "0");
    expect(&r, "TYPE empty2", "stream");
}

Test(cmd_dump, restore_keeps_what_is_there_unless_told)
{
    run(&r, "SET a 1");
    run(&r, "RPUSH l x");
    moves("a", "RESTORE l 0", "", "error BUSYKEY Target key name already exists.");
    moves("a", "RESTORE l 0", " REPLACE", "OK");
    expect(&r, "GET l", "1");
    run(&r, "RPUSH m y");
    moves("m", "RESTORE l 0", " REPLACE", "OK");
    expect(&r, "LRANGE l 0 -1", "[y]");
}

Test(cmd_dump, restore_sets_the_deadline)
{
    run(&r, "SET a 1");
    moves("a", "RESTORE b 5000", "", "OK");
    cr_expect(atoi(run(&r, "PTTL b")) > 4000);
    moves("a", "RESTORE b 32503680000000", " ABSTTL REPLACE", "OK");
    expect(&r, "PEXPIRETIME b", "32503680000000");
    moves("a", "RESTORE b 1", " REPLACE ABSTTL", "OK"); /* long ago */
    expect(&r, "EXISTS b", "0");
    moves("a", "RESTORE b 9223372036854775807", "", "OK");
    expect(&r, "GET b", "1");
    moves("a", "RESTORE c -1", "", "error ERR Invalid TTL value, must be >= 0");
    moves("a", "RESTORE c x", "", "error ERR value is not an integer or out of range");
    moves("a", "RESTORE c 0", " IDLETIME 10", "OK");
    moves("a", "RESTORE c 0", " REPLACE FREQ 256",
          "error ERR Invalid FREQ value, must be >= 0 and <= 255");
    moves("a", "RESTORE c 0", " IDLETIME -1", "error ERR Invalid IDLETIME value, must be >= 0");
    moves("a", "RESTORE c 0", " IDLETIME 1 FREQ 1", "error ERR syntax error");
}

Test(cmd_dump, what_is_no_dump_is_refused)
{
    expect(&r, "RESTORE k 0 \"\"", "error ERR DUMP payload version or checksum are wrong");
    expect(&r, "RESTORE k 0 garbage-garbage",
           "error ERR DUMP payload version or checksum are wrong");
    /* a right checksum, a list without elements */
    expect(
        &r,
        "RESTORE k 0 \"\\x0a\\x0b\\x0b\\x00\\x00\\x00\\x0a\\x00\\x00\\x00\\x00\\x00\\xff\\x09\\x00"
        "\\xae\\xe8\\x9e\\x15\\x7f\\x4c\\x22\\xc0\"",
        "error ERR Bad data format");
    expect(&r, "EXISTS k", "0");
}

/* What is restored travels like any other write, and a removal elsewhere does not take it away. */
Test(cmd_dump_regions, restore_merges)
{
    struct run a, b;
    struct run *all[] = {&a, &b};
    run_start(&a, 1, true);
    run_start(&b, 2, true);
    run(&a, "HSET h f 1");
    run_sync(all, 2);
    moved_by(&a, &a, "h", "RESTORE h 0", " REPLACE");
    run(&b, "HINCRBY h f 5");
    run(&b, "HSET h g 2");
    run_sync(all, 2);
    expect(&a, "HGET h g", "2");
    expect(&b, "HGET h f", "6");
    run_stop(&a);
    run_stop(&b);
}
