/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

/* Commands that wait, at the shard: who is served, when, and with what. */

static struct run a, b;
static struct buf told; /* "session:reply " of each that was served, CR LF as | */

static void unblocked(void *arg, uint64_t session, const struct unblocked *end)
{
    struct bytes reply = end->reply;
    (void)arg;
    cr_expect_eq(end->failed, reply.p[0] == '-');
    cr_expect(end->command->flags & CMD_BLOCKING);
    buf_putf(&told, "%llu:", (unsigned long long)session);
    for (size_t i = 0; i < reply.n; i++)
        if (reply.p[i] != '\r')
            buf_put_u8(&told, reply.p[i] == '\n' ? '|' : reply.p[i]);
    buf_put_u8(&told, ' ');
}

static void start(void)
{
    run_start_with(&a, &(struct shard_opts){.geo = true, .unblocked = unblocked});
    run_start(&b, 2, true);
}

static void stop(void)
{
    run_stop(&a);
    run_stop(&b);
    buf_deinit(&told);
}

TestSuite(blocked, .init = start, .fini = stop);

/* Runs the words as a session that may wait; true when it does. *timeout_ms: for how long. */
static bool waits_for(uint64_t session, const char *line, int64_t *timeout_ms)
{
    struct bytes argv[32];
    uint32_t argc = 0;
    for (const char *p = line; *p != 0; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        argv[argc++] = bytes_of(p, n);
        p += n;
    }
    struct block block = {.waits = false};
    struct reply reply = {.out = &a.text, .resp = a.resp};
    struct call c = {.command = command_find(argv[0]),
                     .argc = argc,
                     .argv = argv,
                     .reply = &reply,
                     .now = a.now,
                     .session = session,
                     .block = &block};
    buf_clear(&a.text);
    shard_execute(a.shard, &c);
    if (timeout_ms != NULL)
        *timeout_ms = block.timeout_ms;
    cr_expect(block.waits == (buf_len(&a.text) == 0), "%s: waits or replies", line);
    return block.waits;
}

static bool waits(uint64_t session, const char *line) { return waits_for(session, line, NULL); }

#define expect_told(wanted)                                                                        \
    do {                                                                                           \
        buf_put_u8(&told, 0);                                                                      \
        cr_expect_str_eq((const char *)told.p, wanted);                                            \
        buf_clear(&told);                                                                          \
    } while (0)

Test(blocked, the_longest_waiting_is_served_first)
{
    cr_assert(waits(5, "BLPOP k 0") && waits(6, "BRPOP k 0") && waits(7, "BLPOP k 0"));
    cr_expect_eq(shard_blocked(a.shard), 3);
    expect(&a, "RPUSH k 1 2 3 4", "4"); /* the pushes are over before the first pop */
    expect_told("5:*2|$1|k|$1|1| 6:*2|$1|k|$1|4| 7:*2|$1|k|$1|2| ");
    expect(&a, "LRANGE k 0 -1", "[3]");
    cr_expect_eq(shard_blocked(a.shard), 0);
}

Test(blocked, what_is_there_is_taken_at_once)
{
    run(&a, "RPUSH {k}l 1 2");
    cr_expect(!waits(5, "BLPOP {k}none {k}l 0"));
    run(&a, "SET {k}s x");
    cr_expect(!waits(5, "BLPOP {k}none {k}s {k}l 0")); /* WRONGTYPE */
    cr_expect_eq(shard_blocked(a.shard), 0);
    expect(&a, "LLEN {k}l", "1");
}

Test(blocked, the_first_key_that_changed_serves)
{
    cr_assert(waits(5, "BLPOP {k}1 {k}2 {k}3 0"));
    shard_atomic_begin(a.shard, a.now);
    run(&a, "RPUSH {k}3 c");
    run(&a, "RPUSH {k}1 a");
    expect_told("");
    shard_atomic_end(a.shard);
    expect_told("5:*2|$4|{k}3|$1|c| ");
    expect(&a, "LLEN {k}1", "1");
}

Test(blocked, a_key_may_be_named_twice)
{
    cr_assert(waits(5, "BLPOP k k k 0"));
    run(&a, "RPUSH k 1 2");
    expect_told("5:*2|$1|k|$1|1| ");
    expect(&a, "LLEN k", "1");
}

Test(blocked, moves_feed_each_other)
{
    cr_assert(waits(5, "BLMOVE {k}1 {k}2 LEFT RIGHT 0"));
    cr_assert(waits(6, "BRPOPLPUSH {k}2 {k}3 0"));
    cr_assert(waits(7, "BLPOP {k}3 0"));
    expect(&a, "RPUSH {k}1 x", "1");
    expect_told("5:$1|x| 6:$1|x| 7:*2|$4|{k}3|$1|x| ");
    expect(&a, "EXISTS {k}1 {k}2 {k}3", "0");
}

Test(blocked, a_circle_ends)
{
    cr_assert(waits(5, "BRPOPLPUSH {k}1 {k}2 0") && waits(6, "BRPOPLPUSH {k}2 {k}1 0"));
    run(&a, "RPUSH {k}1 x");
    expect_told("5:$1|x| 6:$1|x| ");
    expect(&a, "LRANGE {k}1 0 -1", "[x]");
    cr_assert(waits(7, "BRPOPLPUSH {k}4 {k}4 0"));
    run(&a, "RPUSH {k}4 y");
    expect_told("7:$1|y| ");
    expect(&a, "LRANGE {k}4 0 -1", "[y]");
}

Test(blocked, a_move_to_a_wrong_type_ends_with_an_error)
{
    run(&a, "SET {k}s x");
    cr_assert(waits(5, "BLMOVE {k}1 {k}s LEFT RIGHT 0") && waits(6, "BLPOP {k}1 0"));
    run(&a, "RPUSH {k}1 e");
    expect_told("5:-WRONGTYPE Operation against a key holding the wrong kind of value| "
                "6:*2|$4|{k}1|$1|e| ");
}

Test(blocked, a_transaction_that_leaves_nothing_wakes_nobody)
{
    cr_assert(waits(5, "BLPOP k 0"));
    shard_atomic_begin(a.shard, a.now);
    run(&a, "RPUSH k 1");
    run(&a, "DEL k");
    run(&a, "SET k x");
    shard_atomic_end(a.shard);
    expect_told("");
    run(&a, "DEL k");
    run(&a, "RPUSH k 2");
    expect_told("5:*2|$1|k|$1|2| ");
}

Test(blocked, only_its_own_type_serves)
{
    cr_assert(waits(5, "BLPOP k 0") && waits(6, "BZPOPMAX k 0"));
    run(&a, "ZADD k 1 x 2 y");
    expect_told("6:*3|$1|k|$1|y|$1|2| ");
    run(&a, "DEL k");
    run(&a, "RPUSH k 1");
    expect_told("5:*2|$1|k|$1|1| ");
}

Test(blocked, counts_and_ends_of_the_mpops)
{
    a.resp = 3;
    cr_assert(waits(5, "BLMPOP 0 2 {k}1 {k}2 RIGHT COUNT 2"));
    cr_assert(waits(6, "BZMPOP 0 2 {k}3 {k}4 MIN COUNT 2"));
    cr_assert(waits(7, "BZPOPMIN {k}4 0"));
    run(&a, "RPUSH {k}2 a b c");
    run(&a, "ZADD {k}4 1 x 2.5 y 3 z");
    expect_told("5:*2|$4|{k}2|*2|$1|c|$1|b| 6:*2|$4|{k}4|*2|*2|$1|x|,1|*2|$1|y|,2.5| "
                "7:*3|$4|{k}4|$1|z|,3| ");
}

Test(blocked, whatever_makes_a_list_wakes)
{
    cr_assert(waits(5, "BLPOP {k} 0"));
    run(&a, "RPUSH {k}2 1");
    run(&a, "RENAME {k}2 {k}");
    expect_told("5:*2|$3|{k}|$1|1| ");
    cr_assert(waits(5, "BLPOP {k} 0"));
    run(&a, "RPUSH {k}2 2");
    run(&a, "COPY {k}2 {k}");
    expect_told("5:*2|$3|{k}|$1|2| ");
}

Test(blocked, a_push_elsewhere_wakes)
{
    cr_assert(waits(5, "BLPOP k 0"));
    run(&b, "RPUSH k 1");
    cr_assert(run_ship(&b, &a));
    expect_told("5:*2|$1|k|$1|1| ");
    expect(&a, "EXISTS k", "0");
    cr_assert(run_ship(&a, &b)); /* its pop is an operation like any other */
    expect(&b, "EXISTS k", "0");
    struct run *all[] = {&a, &b};
    run_sync(all, 2);
}

Test(blocked, both_regions_may_pop_the_same_element)
{
    cr_assert(waits(5, "BLPOP k 0"));
    run(&b, "RPUSH k 1");
    run(&b, "LPOP k"); /* in the same frame: here it comes and goes at once */
    cr_assert(run_ship(&b, &a));
    expect_told("");
    run(&b, "RPUSH k 2");
    shard_close_frames(b.shard, b.now);
    run(&b, "LPOP k");
    cr_assert(run_ship(&b, &a));
    expect_told("5:*2|$1|k|$1|2| "); /* at least once */
    struct run *all[] = {&a, &b};
    run_sync(all, 2);
    expect(&a, "EXISTS k", "0");
}

Test(blocked, a_joined_state_wakes)
{
    struct buf state = {0};
    cr_assert(waits(5, "BLPOP k 0"));
    run(&b, "RPUSH k 1 2");
    for (uint32_t p = 0; p < RUN_PARTITIONS; p++) {
        struct transfer *t = transfer_begin(b.shard, p, b.now);
        buf_clear(&state);
        while (transfer_next(t, &state, SIZE_MAX))
            continue;
        cr_assert(shard_join(a.shard, p, buf_bytes(&state), transfer_context(t), a.now));
        transfer_end(t);
    }
    buf_deinit(&state);
    expect_told("5:*2|$1|k|$1|1| ");
    expect(&a, "LRANGE k 0 -1", "[2]");
}

Test(blocked, what_has_expired_serves_nobody)
{
    cr_assert(waits(5, "BLPOP {k} 0"));
    shard_atomic_begin(a.shard, a.now);
    run(&a, "RPUSH {k} 1");
    run(&a, "PEXPIRE {k} 1");
    a.now.wall_ms += 5;
    run(&a, "EXISTS x"); /* the shard is told the time */
    shard_atomic_end(a.shard);
    expect_told("");
    run(&a, "RPUSH {k} 2");
    expect_told("5:*2|$3|{k}|$1|2| ");
}

Test(blocked, time_is_read_as_redis_does)
{
    int64_t ms = -1;
    cr_expect(waits_for(5, "BLPOP k 0.0101", &ms) && ms == 11);
    cr_expect(waits_for(6, "BLPOP k 1e3", &ms) && ms == 1000000);
    cr_expect(waits_for(7, "BLPOP k -0.0001", &ms) && ms == 0);
    expect(&a, "BLPOP k -1", "error ERR timeout is negative");
    expect(&a, "BLPOP k 1e400", "error ERR timeout is negative");
    expect(&a, "BLPOP k x", "error ERR timeout is not a float or out of range");
    expect(&a, "BLMPOP x 1 k MIDDLE", "error ERR syntax error");
    expect(&a, "BLMPOP x 1 k LEFT", "error ERR timeout is not a float or out of range");
    expect(&a, "BZMPOP x 0 k MIN", "error ERR numkeys should be greater than 0");
    expect(&a, "BZMPOP 0 1 k MIN COUNT 0", "error ERR count should be greater than 0");
}

Test(blocked, without_permission_it_answers_nil)
{
    expect_raw(&a, "BLPOP k 0", "*-1\r\n");
    expect_raw(&a, "BLMOVE {k} {k}2 LEFT LEFT 0", "$-1\r\n");
    expect_raw(&a, "BZMPOP 0 1 k MIN", "*-1\r\n");
    cr_expect_eq(shard_blocked(a.shard), 0);
}

Test(blocked, an_end_is_final)
{
    struct buf out = {0};
    cr_assert(waits(5, "BLPOP {k}1 {k}2 0") && waits(6, "BLPOP {k}2 0") &&
              waits(7, "BLPOP {k}2 0"));
    cr_expect(shard_unblock(a.shard, 5, UNBLOCK_TIMEOUT, &out));
    cr_expect(bytes_is(buf_bytes(&out), "*-1\r\n"));
    cr_expect(!shard_unblock(a.shard, 5, UNBLOCK_TIMEOUT, &out));
    buf_clear(&out);
    cr_expect(shard_unblock(a.shard, 6, UNBLOCK_GONE, &out));
    cr_expect_eq(buf_len(&out), 0);
    run(&a, "RPUSH {k}2 x");
    expect_told("7:*2|$4|{k}2|$1|x| ");
    cr_expect(!shard_unblock(a.shard, 7, UNBLOCK_ERROR, &out));
    cr_assert(waits(8, "BLPOP k 0"));
    cr_expect(shard_unblock(a.shard, 8, UNBLOCK_ERROR, &out));
    cr_expect(bytes_is(buf_bytes(&out), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"));
    buf_deinit(&out);
    cr_expect_eq(shard_blocked(a.shard), 0);
}

Test(blocked, a_region_that_cannot_write_ends_all)
{
    cr_assert(waits(5, "BLPOP k 0") && waits(6, "BZPOPMIN z 0"));
    shard_set_stale(a.shard, true);
    buf_put_u8(&told, 0);
    cr_expect_not_null(strstr((const char *)told.p, "5:-UNBLOCKED this region lost its memory"));
    cr_expect_not_null(strstr((const char *)told.p, "6:-UNBLOCKED this region lost its memory"));
    cr_expect_eq(shard_blocked(a.shard), 0);
    cr_expect(!waits(5, "BLPOP k 0"));
    shard_set_stale(a.shard, false);
    cr_expect(waits(5, "BLPOP k 0"));
}

Test(blocked, many_wait_and_each_is_served_once)
{
    for (uint64_t i = 0; i < 2000; i++)
        cr_assert(waits(10 + i, i % 2 ? "BLPOP {k}1 {k}2 0" : "BLPOP {k}2 {k}1 {k}3 0"));
    for (unsigned i = 0; i < 2000; i++)
        run(&a, i % 3 ? "RPUSH {k}1 x" : "RPUSH {k}2 x");
    cr_expect_eq(shard_blocked(a.shard), 0);
    uint64_t next = 10;
    buf_put_u8(&told, 0);
    for (const char *p = (const char *)told.p; (p = strchr(p, ':')) != NULL; p++)
        next++;
    cr_expect_eq(next, 2010);
    expect(&a, "EXISTS {k}1 {k}2 {k}3", "0");
}
