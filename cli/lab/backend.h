/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_LAB_BACKEND_H
#define MERIDIAN_CLI_LAB_BACKEND_H

#include "cli/lab/scenario.h"
#include "manager/cluster.h"

/*
 * Where a story is played: in process under virtual time (inproc.c), or against running regions
 * (live.c). Regions are numbered from 1 as the story names them. Each call returns false with a
 * reason in `why` when it can't be done.
 */
#define WHY_MAX 320u

struct backend {
    const struct backend_ops *ops;
};

struct backend_ops {
    bool (*can)(struct backend *b, const struct scenario *s,
                char *why); /* NULL: it can play everything */
    bool (*begin)(struct backend *b, const struct scenario *s, char *why);
    void (*end)(struct backend *b);
    /* One reply's bytes are appended to `reply`. */
    bool (*command)(struct backend *b, unsigned region, size_t argc, const struct bytes *argv,
                    struct buf *reply, char *why);
    bool (*sync)(struct backend *b, char *why);
    bool (*deliver)(struct backend *b, unsigned from, unsigned to, char *why);
    bool (*link)(struct backend *b, unsigned a, unsigned c, bool up, char *why); /* both ways */
    bool (*clock)(struct backend *b, unsigned region, int64_t ms, char *why);
    bool (*wait)(struct backend *b, int64_t ms, char *why);
    bool (*together)(struct backend *b, bool on, char *why);
    bool (*crash)(struct backend *b, unsigned region, char *why);
    bool (*restart)(struct backend *b, unsigned region, char *why);
    void (*free)(struct backend *b);
};

struct backend *inproc_new(uint64_t seed, bool trace);

/* A running geo-distributed database, found through the REST API of one of its clusters. NULL: said
 * on stderr why. */
struct live_opts {
    const char *guid, *url, *user, *password;
};
struct backend *live_new(const struct live_opts *o);

/* The settings of the database that a story is played in; members it does not name are zero. */
bool lab_settings(const struct scenario *s, struct db_config *out, char *why);

struct lab_counts {
    unsigned passed, failed, left_out;
};
/* Plays one file's stories; failures and, when verbose, titles go to stdout. */
void lab_play(struct backend *b, const char *file, const struct script *s, bool verbose,
              struct lab_counts *counts);

#endif
