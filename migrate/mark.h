/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_MARK_H
#define MERIDIAN_MIGRATE_MARK_H

#include "base/buf.h"

/*
 * How far a database that follows a source has come: an ordinary key of that database, written in
 * the same transaction as the commands it counts. So whoever goes on, after whatever end, repeats
 * nothing and leaves nothing out.
 *
 *   meridian:replica-of = "1 <state> <source> <database> <selected> <id> <offset> <run id>"
 *
 * `selected` is the database that the stream's last SELECT named: going on in the middle needs it.
 * `id` and `offset` are what PSYNC wants. `run id` is the target's: it changes when the target
 * ended without order (a crash may have torn a transaction), and then the position counts no more;
 * ".seen" of earlier.h behind it.
 * Of several sources for one database each has a field of a hash of that name (gather.h).
 */
#define MARK_KEY "meridian:replica-of"
#define MARK_TEXT_MAX 512u
#define MARK_ID_MAX 40u
#define MARK_RUN_MAX 57u

enum mark_state {
    MARK_NONE,    /* no such key */
    MARK_LOADING, /* a snapshot is being loaded: it begins anew */
    MARK_AT,      /* all up to offset is there, and nothing else */
    MARK_BEYOND,  /* written where transactions cannot hold all keys (several shards): some of what
                     is  behind offset may be there */
};

struct mark {
    enum mark_state state;
    char source[300];     /* host:port */
    int64_t db, selected; /* selected: -1 none yet */
    char id[MARK_ID_MAX + 1];
    uint64_t offset;
    char run[MARK_RUN_MAX + 1];
    const char
        *field; /* kept; of several sources: the mark is this field of a hash; NULL: a text */
};

void mark_put(struct buf *out, const struct mark *m);
/* Appends the request that writes it: SET, or HSET of its field. */
void mark_put_request(struct buf *out, const struct mark *m);
/* False: not a mark of ours. */
bool mark_read(struct bytes text, struct mark *out);

#endif
