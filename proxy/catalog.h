/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_CATALOG_H
#define MERIDIAN_PROXY_CATALOG_H

#include "shard/catalog.h"
#include "shard/reply.h"

/*
 * Every worker's front holds a copy of the database's catalog (shard/catalog.h), so that looking
 * something up needs no message. The original lies in the last shard; its worker is the owner: it
 * makes the changes, one after the other, and tells the others of each. Whoever asked for a change
 * gets the reply after its own worker has heard of it.
 *
 *   session -> catalog_ask -> (JOB_CATALOG) -> decide, on the owner -> shard_catalog_write
 *   shard   -> catalog_spread, on the owner -> own copy, listeners; (JOB_CATALOG_HEARD) -> the same
 *   front   -> catalog_start -> (JOB_CATALOG_JOIN) -> everything, then (JOB_CATALOG_DONE)
 *
 * Until the copy is complete, clients wait.
 */
struct front;
struct port;
struct ask;
struct job;
struct shard;

struct catalog_entry {
    struct bytes name, value; /* owned, in one block at name.p */
};

struct catalog_list {
    struct catalog_entry *at; /* owned; in order of name */
    size_t n, cap;
};

struct catalog {
    struct catalog_list kinds[CATALOG_KINDS];
    bool complete; /* the copy has everything that the owner has */
    bool known;    /* so has the owner: its shard is not catching up with other regions */
};

/* NULL: no such entry. Borrowed until the next change. */
const struct catalog_entry *catalog_find(const struct front *f, enum catalog_kind kind,
                                         struct bytes name);
static inline const struct catalog_list *catalog_list(const struct catalog *c,
                                                      enum catalog_kind kind)
{
    return &c->kinds[kind];
}

/* ------------------------------------------------------------ changing */

/* A change as the owner sees it. */
struct catalog_job {
    struct front *front;
    struct port *port;
    struct shard *shard;
    uint32_t argc;
    const struct bytes *argv; /* as given to catalog_ask */
    struct reply *reply;
    uint64_t session; /* who asks */
    struct moment now;
};
/* Runs on the owner, where nothing comes between looking and writing: looks at the front's copy,
 * calls catalog_commit or not, and replies. */
typedef void catalog_decide(struct catalog_job *j);

/* Has it decided for this session's command; the reply comes now or later, and the session runs
 * nothing before it. Its command must be SESSION_ALONE. */
void catalog_ask(struct ask *a, catalog_decide *decide, uint32_t argc, const struct bytes *argv);
/* False: refused as a whole, and the error was replied. */
bool catalog_commit(struct catalog_job *j, const struct catalog_change *changes, size_t n);
/* The simple case: makes the changes, whatever is there, and then gives `reply` (RESP bytes). */
void catalog_write(struct ask *a, const struct catalog_change *changes, size_t n,
                   struct bytes reply);

/* The worker with the original, and whether that is this one. */
uint32_t catalog_owner(const struct front *f);
bool catalog_is_owner(const struct front *f);

/* ------------------------------------------------------------ for front.c and the worker */

void catalog_start(struct front *f, struct port *port); /* once the front can be found */
void catalog_deinit(struct front *f);
/* The owner has caught up or lost its memory: tells all. */
void catalog_recheck(struct front *f, struct port *port);
/* The shard says that an entry has changed (shard_opts.catalog). */
void catalog_spread(struct front *f, struct port *port, enum catalog_kind kind, struct bytes name,
                    const struct bytes *value);
/* JOB_CATALOG ... JOB_CATALOG_DONE. */
void catalog_run(struct front *f, struct port *port, const struct job *job, struct reply *r,
                 struct moment now);

#endif
