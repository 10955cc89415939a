/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_GATHER_H
#define MERIDIAN_MIGRATE_GATHER_H

#include "migrate/follow.h"
#include "migrate/nodes.h"
#include "migrate/uri.h"

/*
 * One or several live sources for one database: a follower (follow.h) each, and for a Redis Cluster
 * one for each of its masters. One plain source is followed as if this unit were not there.
 * Several:
 *
 *   IDLE -> [MAPPING] -> ASKING -> [CLEARING] -> RUNNING --> LEAVING -> ENDED, STOPPED, or PAUSE
 *              ^------------------------------------------------------------------------'
 *
 * MAPPING asks clusters for their masters. ASKING reads the mark of all together, a field of the
 * hash meridian:replica-of whose other fields are each follower's own: it names the sources and how
 * the slots lie. If it is as it should be all go on where they were; if not, or when one follower
 * cannot go on, the target is emptied and all begin anew, since nobody knows which key is whose.
 * What the sources write to one key is applied as it arrives: the last one wins.
 */
#define GATHER_SOURCES_MAX 32u

struct gather_source {
    struct redis_uri uri;
    uint32_t tls; /* the port's; 0: clear text */
};

struct gather_opts {
    struct follow_opts all; /* the target, and what holds for each source; its source is not read */
    const struct gather_source *sources; /* copied */
    unsigned count;                      /* 1 to GATHER_SOURCES_MAX */
};

struct gather;
struct gather *gather_new(const struct gather_opts *o);
void gather_free(struct gather *g, struct port *port);
/* As follow_start and its like. */
void gather_start(struct gather *g, struct port *port, struct moment now);
void gather_tick(struct gather *g, struct moment now);
uint64_t gather_deadline(const struct gather *g);
void gather_end(struct gather *g, bool forget, struct moment now);
bool gather_is_over(const struct gather *g);
/* Of all: the state of the one that is least far; counters added up; in_sync if all are. */
void gather_status(const struct gather *g, struct follow_status *out);
/* Of one of the sources asked for (a cluster's masters together). Returns how many followers it
 * has; 0: none at present, *out is as gather_status has it. */
unsigned gather_source_status(const struct gather *g, unsigned source, struct follow_status *out);

/* "uri,uri" (a comma or a blank before redis:// or rediss://): the first of the list into `out`,
 * *list moves behind it. False: nothing is left. Too long: `out` is empty. */
bool gather_next_uri(const char **list, char *out, size_t size);

#endif
