/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/inside.h"

/*
 * A region that comes back from its disk listens before it speaks. Its files may be an older copy
 * of the region's (syncer/copies.c), and only peers can tell: as long as nothing is written that
 * mends itself, with the first write it is two histories. Clients write within milliseconds, so
 * they are told that the data are loaded until each peer has said what it has of us, or can't be
 * reached, or GREET_US have passed: a region alone must be able to write. Meanwhile nothing here
 * writes by itself, no key expires; what peers send is taken.
 */
#define GREET_US UINT64_C(1000000)

void greet_begin(struct member *m, struct moment now)
{
    const struct plane_db *db = &m->database->config;
    bool had_a_past = database_incarnation(db) > 0;
    m->greet_us = m->syncer != NULL && m->sole && had_a_past ? now.mono_us + GREET_US : 0;
#ifdef MUTANT_speaks_first
    m->greet_us = 0; /* the planted bug */
#endif
}

void greet_turn(struct database *d, struct port *port, struct moment now)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        bool done = m->syncer == NULL || now.mono_us >= m->greet_us || syncer_greeted(m->syncer);
        if (m->greet_us == 0 || !done)
            continue;
        if (m->syncer != NULL && !syncer_greeted(m->syncer))
            port_log(port, 'W',
                     "database %u shard %u: not all peers have answered within a second; it takes "
                     "writes without having heard what they have of this region",
                     d->config.uid, m->id);
        m->greet_us = 0;
        database_ready(d, port);
    }
}
