/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_TRACKING_TABLE_H
#define MERIDIAN_PROXY_TRACKING_TABLE_H

#include "base/buf.h"
#include "base/table.h"

/* What a front and its sessions keep for CLIENT TRACKING (proxy/tracking.h). */
/* A session that tracks. */
struct tracker {
    bool bcast, optin, optout, noloop;
    bool caching;      /* CLIENT CACHING was said: YES with optin, NO with optout */
    bool broken;       /* where it redirects to is gone */
    uint64_t redirect; /* id of a session of any worker; 0: none */
};

/* What the front keeps. */
struct tracking {
    struct table keys;     /* of struct tracked: what sessions have read here */
    struct table sessions; /* by id: those that track, and those that are redirected to */
    struct buf due;        /* records: who is to hear of which key at the end of the turn */
    struct table changed;  /* keys of this turn, for prefixes; also in their order: */
    struct changed_key *first, *last;
    uint64_t items; /* pairs of a key and a session */
    bool flushed;   /* everything has changed */
};

#endif
