/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_LAB_SCENARIO_H
#define MERIDIAN_CLI_LAB_SCENARIO_H

#include "base/buf.h"
#include "base/resp_reply.h"

/*
 * The language of conflict scenarios: parsing a file, and comparing replies with what a story
 * expects. The language is described for its users in docs/lab.md.
 */
#define SCENARIO_REGIONS_MAX 8u
#define SCENARIO_FILE_MAX (16u << 20)
#define SCENARIO_WORDS_MAX 4096u
#define SCENARIO_DEPTH_MAX 16u

enum expect_kind {
    EXPECT_TEXT,
    EXPECT_NIL,
    EXPECT_ANY,
    EXPECT_ERROR,
    EXPECT_LIST,
    EXPECT_BAG,
    EXPECT_MAP
};

struct expect {
    enum expect_kind kind;
    struct bytes text;    /* owned; TEXT, ERROR: how the error begins */
    struct expect *items; /* owned; MAP: keys and values in turn */
    size_t n;
};

enum step_kind {
    STEP_COMMAND,
    STEP_SYNC,
    STEP_DELIVER,
    STEP_CUT,
    STEP_HEAL,
    STEP_CLOCK,
    STEP_WAIT,
    STEP_TOGETHER,
    STEP_END,
    STEP_CRASH,
    STEP_RESTART
};

struct step {
    enum step_kind kind;
    unsigned line;
    unsigned a, b;      /* regions from 1; COMMAND: a, 0 = every region; HEAL: 0 0 = all links */
    int64_t ms;         /* CLOCK, WAIT */
    struct bytes *argv; /* owned, each owned */
    size_t argc;
    bool expects;
    struct expect expect;
};

struct scenario {
    char title[160];
    unsigned line;
    unsigned regions;
    char names[SCENARIO_REGIONS_MAX + 1][32];
    struct bytes *settings; /* name, value, name, value ...; owned */
    size_t settings_n;
    struct step *steps;
    size_t steps_n;
};

struct script {
    struct scenario *scenarios;
    size_t n;
};

/* Parses a whole file. False: *line and `why` say where and what to do; nothing is left to free. */
bool script_parse(struct bytes text, struct script *out, unsigned *line, char *why,
                  size_t why_size);
void script_deinit(struct script *s);

/* Does the reply fit? */
bool expect_fits(const struct expect *e, const struct resp_reply *r);
void expect_print(struct buf *out, const struct expect *e);

#endif
