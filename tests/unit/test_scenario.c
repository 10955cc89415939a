/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/lab/scenario.h"

#include <criterion/criterion.h>
#include <stdio.h>

static bool parse(const char *text, struct script *s, unsigned *line, char *why)
{
    return script_parse(bytes_str(text), s, line, why, 320);
}

Test(scenario, reads_every_statement)
{
    struct script s;
    unsigned line;
    char why[320];
    const char *text = "# comment\nscenario a title \nregions A B C\nsetting x y\nA: SET k \"a "
                       "b\\x41\\n\" -> OK\n*: GET k -> nil\n"
                       "sync\ndeliver A B\ncut A B\nheal A B\nheal\nclock A +5s\nclock B "
                       "-300ms\nwait 10s\ntogether\nend\n"
                       "crash A\nrestart A\nscenario second\nB: PING\n";
    cr_assert(parse(text, &s, &line, why), "%u: %s", line, why);
    cr_assert_eq(s.n, 2u);
    const struct scenario *a = &s.scenarios[0];
    cr_assert_str_eq(a->title, "a title");
    cr_assert_eq(a->regions, 3u);
    cr_assert_eq(a->settings_n, 2u);
    static const enum step_kind kinds[] = {
        STEP_COMMAND, STEP_COMMAND, STEP_SYNC, STEP_DELIVER,  STEP_CUT, STEP_HEAL,  STEP_HEAL,
        STEP_CLOCK,   STEP_CLOCK,   STEP_WAIT, STEP_TOGETHER, STEP_END, STEP_CRASH, STEP_RESTART};
    cr_assert_eq(a->steps_n, sizeof kinds / sizeof *kinds);
    for (size_t i = 0; i < a->steps_n; i++)
        cr_assert_eq(a->steps[i].kind, kinds[i]);
    cr_assert(bytes_is(a->steps[0].argv[2], "a bA\n"));
    cr_assert_eq(a->steps[1].a, 0u);
    cr_assert_eq(a->steps[1].expect.kind, EXPECT_NIL);
    cr_assert_eq(a->steps[7].ms, 5000);
    cr_assert_eq(a->steps[8].ms, -300);
    cr_assert_not(s.scenarios[1].steps[0].expects);
    script_deinit(&s);
}

Test(scenario, refuses_with_line_and_reason)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *why;
    } bad[] = {
        {"A: SET k v\n", 1, "begin with"},
        {"scenario\n", 1, "needs a title"},
        {"scenario x\nC: GET k\n", 2, "no region"},
        {"scenario x\nfly\n", 2, "unknown statement"},
        {"scenario x\nwait 10\n", 2, "wait TIME"},
        {"scenario x\nA: GET k -> [a\n", 2, "is missing"},
        {"scenario x\nA: GET k -> a b\n", 2, "more than one reply"},
        {"scenario x\nA: GET k ->\n", 2, "a reply is missing"},
        {"scenario x\nA: GET \"k\n", 2, "quoting"},
        {"scenario x\ncut A A\n", 2, "no link to itself"},
        {"scenario x\nregions A A\n", 2, "two regions"},
        {"scenario x\nA: PING\nregions A\n", 3, "before the first command"},
        {"scenario x\nA: HGETALL h -> {f=v g}\n", 2, "flat map"},
        {"scenario x\nA:\n", 2, "command is missing"},
        {"scenario x\ntogether\nA: PING\n", 3, "write 'end'"},
        {"scenario x\ntogether\nscenario y\n", 3, "write 'end'"},
        {"scenario x\ntogether\ntogether\n", 3, "inside"},
        {"scenario x\nend\n", 2, "without 'together'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct script s;
        unsigned line;
        char why[320] = "";
        cr_assert_not(parse(bad[i].text, &s, &line, why), "%s", bad[i].text);
        cr_assert_eq(line, bad[i].line, "%s", bad[i].text);
        cr_assert(strstr(why, bad[i].why) != NULL, "%s: %s", bad[i].text, why);
    }
}

static bool fits(const char *expectation, const char *wire)
{
    char text[512];
    struct script s;
    unsigned line;
    char why[320];
    snprintf(text, sizeof text, "scenario x\nA: X -> %s\n", expectation);
    cr_assert(parse(text, &s, &line, why), "%s: %s", expectation, why);
    struct resp_reply r;
    size_t used;
    cr_assert_eq(resp_reply_read(bytes_str(wire), &r, &used), RESP_REPLY_OK);
    cr_assert_eq(used, strlen(wire));
    bool yes = expect_fits(&s.scenarios[0].steps[0].expect, &r);
    resp_reply_deinit(&r);
    script_deinit(&s);
    return yes;
}

Test(scenario, compares_replies_by_text_order_and_shape)
{
    cr_assert(fits("1", ":1\r\n"));
    cr_assert(fits("1", "$1\r\n1\r\n"));
    cr_assert(fits("OK", "+OK\r\n"));
    cr_assert_not(fits("1", ":2\r\n"));
    cr_assert(fits("nil", "$-1\r\n"));
    cr_assert(fits("nil", "*-1\r\n"));
    cr_assert(fits("nil", "_\r\n"));
    cr_assert_not(fits("\"nil\"", "$-1\r\n"));
    cr_assert(fits("\"nil\"", "$3\r\nnil\r\n"));
    cr_assert(fits("_", "-ERR x\r\n"));
    cr_assert(fits("error WRONGTYPE", "-WRONGTYPE bad\r\n"));
    cr_assert_not(fits("error WRONGTYPE", "-ERR bad\r\n"));
    cr_assert_not(fits("x", "-x\r\n"));
    cr_assert(fits("[a b]", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"));
    cr_assert_not(fits("[b a]", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"));
    cr_assert(fits("{b a}", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"));
    cr_assert_not(fits("{b b}", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"));
    cr_assert(fits("{g=2 f=1}", "*4\r\n$1\r\nf\r\n:1\r\n$1\r\ng\r\n:2\r\n"));
    cr_assert_not(fits("{g=1 f=2}", "*4\r\n$1\r\nf\r\n:1\r\n$1\r\ng\r\n:2\r\n"));
    cr_assert(fits("[]", "*0\r\n"));
    cr_assert(fits("[[x [_ 2]] nil]", "*2\r\n*2\r\n$1\r\nx\r\n*2\r\n:1\r\n:2\r\n$-1\r\n"));
}

Test(scenario, replies_in_pieces_need_more_and_garbage_is_bad)
{
    const char *wire = "*2\r\n$3\r\nabc\r\n*1\r\n:5\r\n";
    struct resp_reply r;
    size_t used;
    for (size_t n = 0; n < strlen(wire); n++)
        cr_assert_eq(resp_reply_read(bytes_of(wire, n), &r, &used), RESP_REPLY_MORE);
    static const char *const bad[] = {"x\r\n",  "$-2\r\n",       "*-2\r\n",
                                      "$x\r\n", "$1\r\nabc\r\n", "\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(resp_reply_read(bytes_str(bad[i]), &r, &used), RESP_REPLY_BAD, "%s", bad[i]);
}
