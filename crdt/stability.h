/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_STABILITY_H
#define MERIDIAN_CRDT_STABILITY_H

#include "crdt/context.h"

/*
 * What compaction of one partition may rely on when regions lose their newest state: claims,
 * fences, cuts.
 * ../shared/model/failover_model.py is this unit as a program (class Region); each rule is shown
 * there to be needed.
 *
 *  claim   a region claims, in order in its actor's stream, to have seen what would survive its own
 * failure fence   whoever learns that an actor is retired takes nothing more from that actor's own
 * connection and records how far it had got; beyond the reported records it refuses that actor's
 * operations from anybody cut     when every region has reported, the retired actor's history ends
 * at the greatest record stable  the minimum over all regions' claims and what one has seen
 * oneself; a claim counts only where all earlier actors of that region are cut and their operations
 * up to the cut are here
 */
struct stability; /* opaque: one per partition */

struct stability *stability_new(uint32_t region);
void stability_free(struct stability *s);
/* The member regions by number (sorted, own included). Whoever is gone from the list is gone from
 * every minimum and from every cut; if its actors are retired then, only once these are cut and
 * their operations up to the cut are here. */
void stability_regions(struct stability *s, const uint8_t *regions, unsigned n);
/* This region's own actors: the present one, and what the durable state had seen when it began
 * (stability_seen of that state; NULL: nothing lost). */
void stability_begin(struct stability *s, uint32_t actor, const struct context *base);
/* out := what this region relies on having seen itself: our vv, or the base while an own retired
 * actor is not cut. Part of the durable state, for the next stability_begin. */
void stability_seen(const struct stability *s, const struct context *vv, struct context *out);

/* An actor is retired: recorded at vv's entry unless it already is. `vv` is our context. True when
 * it was news. The actors of one region are retired in their order: who is retired first is the
 * earlier one. */
bool stability_retire(struct stability *s, uint32_t actor, const struct context *vv);
/*
 * A retired actor's number starts a new life. Numbers are few (stamp.h), so each sixteenth
 * incarnation of a region takes one again. Its region sees to it that it has all of the old life
 * that anybody can have before it writes (stability_settled, or it catches up with the others); so
 * what that region itself has reported does not matter here: what it alone has of the old life
 * comes from itself, as the beginning of the new one. False, and nothing changed, when another
 * member has not reported yet, or operations are missing here: the link must wait. Claims of the
 * old life stay: they were durable facts of that region. With `known` it is not judged here:
 * the region has it on disk that nobody had anything of the old life that it lacked
 * (stability_settled), so what is missing here comes before the new life's operations, which name
 * it as their `prev`. News of the old life that somebody slow
 * still spreads (no report beyond those known here) are ignored from now on; stability_retire is
 * not.
 */
bool stability_reuse(struct stability *s, uint32_t actor, const struct context *vv, bool known);
/* May operations of `actor` up to `last` be taken, from its own connection (direct) or another
 * region's? */
bool stability_may_take(const struct stability *s, uint32_t actor, stamp_t last, bool direct);
/* A claim found in the stream of `actor`, in order with its operations. */
void stability_claim(struct stability *s, uint32_t actor, const struct context *claim);
/* `reporter` is the actor of the reporting region: its report counts no more once that life has
 * ended, because it may have been the only one to have what it reported. */
void stability_report(struct stability *s, uint32_t retired, uint32_t reporter, stamp_t record);
/* Our state up to the context `durable` is durable now (at once where nothing is kept on disk): own
 * records become reports. What has come of a retired actor since it was recorded is reported as
 * well: it is below the cut anyway, and so the survivors' reports still cover it when the region
 * with the greatest record is removed. True when there is something new to tell. */
bool stability_save(struct stability *s, const struct context *durable);
/* out := the causally stable context, given our vv. */
void stability_stable(const struct stability *s, const struct context *vv, struct context *out);
/* The region that holds stability back most (in time), or 0. For INFO crdt. */
uint32_t stability_laggard(const struct stability *s, const struct context *vv);
/* What any region is known to have: join of all claims and reports, of retired actors no more than
 * may be taken. For asking relays. */
void stability_known(const struct stability *s, struct context *out);
/* Are all earlier lives of this region over: cut, and all of them up to there is here? */
bool stability_settled(const struct stability *s, const struct context *vv);
/* Has that life of a region claimed to have `stamp`? */
bool stability_claimed(const struct stability *s, uint32_t actor, stamp_t stamp);
/* out := what `region`, in whichever of its lives, has claimed to have of what `vv` covers. */
void stability_recall(const struct stability *s, uint32_t region, const struct context *vv,
                      struct context *out);
/* Has `region` claimed or reported to have `stamp`? */
bool stability_has(const struct stability *s, uint32_t region, stamp_t stamp);

/* Retired actors with their reports, in the order retired, as they travel: [[actor, [[reporter,
 * record]...]]...]. */
void stability_encode_news(struct buf *out, const struct stability *s);
/* Takes news in; `vv` is our context. *news tells whether anything was new. False, and nothing
 * taken, on malformed bytes. */
bool stability_decode_news(struct mp *m, struct stability *s, const struct context *vv, bool *news);

#endif
