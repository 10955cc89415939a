/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/psync.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MARK "0123456789abcdef0123456789abcdef01234567"

/* What a session with a source comes to, as text; after a reply that begins with +FULL or +CONT it
 * goes on as a follower does. */
static void run(struct bytes in, size_t cut, struct buf *out)
{
    struct psync p = {0};
    struct psync_event ev;
    size_t pushed = 0;
    do {
        psync_next(&p, &ev);
        int n = (int)ev.text.n;
        const char *text = (const char *)ev.text.p;
        switch (ev.kind) {
        case PSYNC_MORE:
            if (pushed == in.n)
                goto out;
            size_t piece = pushed < cut ? cut - pushed : in.n - pushed;
            if (cut == 0)
                piece = 1;
            psync_push(&p, bytes_of(in.p + pushed, piece < in.n - pushed ? piece : in.n - pushed));
            pushed += piece < in.n - pushed ? piece : in.n - pushed;
            break;
        case PSYNC_REPLY:
            buf_putf(out, "reply %.*s;", n - 2, text);
            if (n > 5 && memcmp(text, "+FULL", 5) == 0)
                psync_snapshot(&p);
            else if (n > 5 && memcmp(text, "+CONT", 5) == 0)
                psync_commands(&p, 1000);
            break;
        case PSYNC_BEGIN:
            buf_putf(out, "begin %d;data ", (int)ev.size);
            break;
        case PSYNC_DATA:
            buf_put_bytes(out, ev.text);
            break;
        case PSYNC_LOADED:
            buf_put_str(out, ";loaded;");
            psync_commands(&p, 500);
            break;
        case PSYNC_COMMAND:
            for (uint32_t i = 0; i < ev.argc; i++)
                buf_putf(out, "%.*s ", (int)ev.argv[i].n, (const char *)ev.argv[i].p);
            buf_putf(out, "@%d;", (int)ev.offset);
            break;
        case PSYNC_BAD:
            buf_putf(out, "bad %.*s", n, text);
            break;
        }
    } while (ev.kind != PSYNC_BAD);
out:
    psync_deinit(&p);
}

static void same_however_split(const char *session, const char *want)
{
    struct bytes in = bytes_str(session);
    for (size_t cut = 0; cut <= in.n; cut++) {
        struct buf got = {0};
        run(in, cut, &got);
        buf_put_u8(&got, 0);
        cr_assert_str_eq((const char *)got.p, want, "cut at %zu: %s", cut, (const char *)got.p);
        buf_deinit(&got);
    }
}

Test(psync, a_snapshot_of_known_size_then_commands)
{
    same_however_split(
        "+PONG\r\n\n+OK\r\n+FULLRESYNC abc 500\r\n\n\n$7\r\nREDIS\n!*1\r\n$4\r\nPING\r\n"
        "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n",
        "reply +PONG;reply +OK;reply +FULLRESYNC abc 500;begin 7;data REDIS\n!;loaded;"
        "PING @514;SELECT 0 @537;");
}

Test(psync, a_snapshot_up_to_its_mark)
{
    same_however_split(
        "+FULLRESYNC abc 500\r\n$EOF:" MARK "\r\n0123456789abcdef-0123" MARK "*1\r\n$4\r\nPING\r\n",
        "reply +FULLRESYNC abc 500;begin 0;data 0123456789abcdef-0123;loaded;PING @514;");
    same_however_split("+FULLRESYNC abc 500\r\n$EOF:" MARK "\r\n" MARK "\n",
                       "reply +FULLRESYNC abc 500;begin 0;data ;loaded;@501;");
}

Test(psync, goes_on_where_it_was)
{
    same_however_split("$5\r\nab\r\nc\r\n+CONTINUE xyz\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n",
                       "reply $5\r\nab\r\nc;reply +CONTINUE xyz;SET k  @1026;");
}

Test(psync, says_what_is_wrong)
{
    same_however_split("HTTP/1.1 400\r\n", "bad it does not answer as a Redis server does");
    same_however_split("+FULLRESYNC a 1\r\n$x\r\n",
                       "reply +FULLRESYNC a 1;bad what should be a snapshot has another header");
    same_however_split("+FULLRESYNC a 1\r\n-ERR no disk\r\n",
                       "reply +FULLRESYNC a 1;bad it gives no snapshot: -ERR no disk");
    same_however_split("+CONTINUE\r\n*1\r\n:4\r\n",
                       "reply +CONTINUE;bad its stream of commands is malformed (Protocol error: "
                       "expected '$', got ':')");
}

Test(psync, a_new_connection_begins_anew)
{
    struct psync p = {0};
    struct psync_event ev;
    psync_push(&p, bytes_str("+CONTINUE\r\n*2\r\n$4\r\nPI"));
    psync_next(&p, &ev);
    psync_commands(&p, 7);
    psync_next(&p, &ev);
    cr_assert_eq(ev.kind, PSYNC_MORE);
    psync_reset(&p);
    psync_push(&p, bytes_str("+OK\r\n"));
    psync_next(&p, &ev);
    cr_assert_eq(ev.kind, PSYNC_REPLY);
    cr_assert(bytes_is(ev.text, "+OK\r\n"));
    psync_deinit(&p);
}
