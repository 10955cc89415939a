/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_STABILITY_H
#define MERIDIAN_CRDT_STABILITY_H

#include "crdt/context.h"

/*
 * What compaction of one partition may rely on when regions lose their newest state: claims, fences, cuts.
 * ../shared/model/failover_model.py is this unit as a program (class Region); each rule is shown there to be needed.
 *
 *  claim   a region claims, in order in its actor's stream, to have seen what would survive its own failure
 *  fence   whoever learns that an actor is retired takes nothing more from that actor's own connection and records how far
 *          it had got; beyond the reported records it refuses that actor's operations from anybody
 *  cut     when every region has reported, the retired actor's history ends at the greatest record
 *  stable  the minimum over all regions' claims and what one has seen oneself; a claim counts only where all earlier
 *          actors of that region are cut and their operations up to the cut are here
 */
struct stability; /* opaque: one per partition */

struct stability *stability_new(uint32_t region);
void stability_free(struct stability *s);
/* The member regions by number (sorted, own included). Whoever is gone from the list is gone from every minimum. */
void stability_regions(struct stability *s, const uint8_t *regions, unsigned n);
/* This region's own actors: the present one, and what the durable state had seen when it began (NULL: nothing lost). */
void stability_begin(struct stability *s, uint32_t actor, const struct context *base);

/* An actor is retired: recorded at vv's entry unless it already is. `vv` is our context. True when it was news. */
bool stability_retire(struct stability *s, uint32_t actor, const struct context *vv);
/* A retired actor's number starts a new life (its last stamp is stable everywhere). */
void stability_reuse(struct stability *s, uint32_t actor);
/* May operations of `actor` up to `last` be taken, from its own connection (direct) or another region's? */
bool stability_may_take(const struct stability *s, uint32_t actor, stamp_t last, bool direct);
void stability_claim(struct stability *s, uint32_t actor, const struct context *claim);
void stability_report(struct stability *s, uint32_t retired, uint32_t region, stamp_t record);
/* Own records become reports (they are durable now: at once where nothing is kept on disk). */
void stability_save(struct stability *s);
/* out := the causally stable context, given our vv. */
void stability_stable(const struct stability *s, const struct context *vv, struct context *out);
/* The region whose claims hold stability back most, or 0. For INFO crdt. */
uint32_t stability_laggard(const struct stability *s, const struct context *vv);
/* What any region is known to have and we do not: join of all claims. For asking relays. */
void stability_known(const struct stability *s, struct context *out);
/* Does `region` claim to have `stamp`? */
bool stability_has(const struct stability *s, uint32_t region, stamp_t stamp);

/* Retired actors with their reports, as they travel: [[actor, [[region, record]...]]...]. */
void stability_encode_news(struct buf *out, const struct stability *s);
bool stability_decode_news(struct mp *m, struct stability *s, const struct context *vv, bool *news);

#endif
