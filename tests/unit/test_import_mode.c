/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/talk.h"

#include <criterion/criterion.h>

/* CONFIG SET import-mode: whoever copies a source decides what expires. */

static void each_shape(void (*story)(struct serve *s, struct client *c))
{
    static const unsigned shapes[][2] = {{1, 1}, {2, 3}};
    for (unsigned i = 0; i < 2; i++) {
        struct serve *s = talk_serve(shapes[i][0], shapes[i][1]);
        struct client *c = client_new(s);
        talk_expect(c, "config set import-mode yes", "+OK ");
        story(s, c);
        serve_free(s);
    }
}

static void prolonged(struct serve *s, struct client *c)
{
    talk_expect(c, "set n 5 px 100", "+OK ");
    talk_expect(c, "hset h f v", ":1 ");
    talk_expect(c, "pexpire h 100", ":1 ");
    serve_run(s, 2000);
    talk_expect(c, "get n", "$-1 ");
    talk_expect(c, "dbsize", ":2 ");
    talk_expect(c, "incr n", ":6 ");
    talk_expect(c, "persist n", ":1 ");
    talk_expect(c, "get n", "$1 6 ");
    talk_expect(c, "expire h 100", ":1 ");
    talk_expect(c, "hget h f", "$1 v ");
}

Test(import_mode, a_late_command_still_finds_its_key) { each_shape(prolonged); }

static void past(struct serve *s, struct client *c)
{
    (void)s;
    talk_expect(c, "set n 5", "+OK ");
    talk_expect(c, "pexpireat n 1000", ":1 ");
    talk_expect(c, "get n", "$-1 ");
    talk_expect(c, "pexpireat n 99999999999999", ":1 ");
    talk_expect(c, "get n", "$1 5 ");
    talk_expect(c, "getex n pxat 1000", "$1 5 ");
    talk_expect(c, "persist n", ":1 ");
}

Test(import_mode, a_deadline_in_the_past_deletes_nothing) { each_shape(past); }

static void over(struct serve *s, struct client *c)
{
    talk_expect(c, "set n 5 px 100", "+OK ");
    serve_run(s, 2000);
    talk_expect(c, "dbsize", ":1 ");
    talk_expect(c, "config set import-mode no", "+OK ");
    serve_run(s, 2000);
    talk_expect(c, "dbsize", ":0 ");
    talk_expect(c, "set n 5 px 100", "+OK ");
    serve_run(s, 2000);
    talk_expect(c, "incr n", ":1 ");
}

Test(import_mode, when_it_is_over_what_was_due_goes) { each_shape(over); }
