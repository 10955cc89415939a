/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_STABILITY_H
#define MERIDIAN_CRDT_STABILITY_H

#include "crdt/context.h"

/*
 * What compaction of one partition may rely on when regions lose their newest state: claims,
 * fences, cuts.
 * ../shared/model/failover_model.py is this unit as a program (class Region); each rule is shown
 * there to be needed. Its actors are never used again; here they are lives (crdt/stamp.h).
 *
 *  claim   a region claims, in order in its life's stream, to have seen what would survive its own
 *          failure
 *  fence   whoever learns that a life is over takes nothing more from its own connection and
 *          records how far it had got; beyond the reported records it refuses that life's
 *          operations from anybody
 *  cut     when every region has reported, the ended life's history ends at the greatest record
 *  stable  the minimum over all regions' claims and what one has seen oneself; a claim counts only
 *          where all earlier lives of that region are cut and their operations up to the cut are
 *          here, and once its own life has ended only as far as it had been relied on by then: a
 *          region without a disk forgets what it had claimed, but for what others rely on
 *
 * Lives have few numbers between them, and operations tell only the number. So a life may take a
 * number when the one that had it before is over everywhere: every other member has told how far it
 * had got, and all of that is here (stability_admit). Who has seen that tells it on, as a fact that
 * nobody needs to judge again. News of lives before the one that has the number now are old and
 * dropped.
 */
struct stability; /* opaque: one per partition */

struct stability *stability_new(uint32_t region);
void stability_free(struct stability *s);
/* The member regions by number (sorted, own included). Whoever is gone from the list is gone from
 * every minimum and from every cut; if its lives have ended then, only once these are cut and their
 * operations up to the cut are here. */
void stability_regions(struct stability *s, const uint8_t *regions, unsigned n);
/* This region's present life, and what the durable state had seen when it began (stability_seen of
 * that state; NULL: nothing lost). */
void stability_begin(struct stability *s, life_t life, const struct context *base);
/* out := what this region relies on having seen itself: our vv, or the base while an own ended life
 * is not cut. Part of the durable state, for the next stability_begin. */
void stability_seen(const struct stability *s, const struct context *vv, struct context *out);

/* A life has ended: recorded at vv's entry unless that is known, or a later life has its number.
 * `vv` is our context. True when it was news. */
bool stability_retire(struct stability *s, life_t life, const struct context *vv);
/* The region is a member no more: all its lives that this one knows of have ended. */
void stability_retire_region(struct stability *s, uint32_t region, const struct context *vv);
/* Likewise a life that was only heard of: the newest known one with that number. */
void stability_retire_actor(struct stability *s, uint32_t actor, const struct context *vv);
/* Has it ended, or has a later life its number? */
bool stability_outlived(const struct stability *s, life_t life);
/* The newest life of the region that is known of, ended or not; LIFE_NONE: none is. */
life_t stability_newest(const struct stability *s, uint32_t region);
/*
 * A life that has not ended wants to be heard. True: its number is its own. False: the life that
 * had the number before is not known to be over everywhere, or operations of it are missing here;
 * reports will tell. That life's region need not have reported: it takes no writes before it has
 * all that others have, and what it alone has comes from itself, as the beginning of the new life.
 * With `known` it is not judged: the region has it on disk that nobody had anything of the old life
 * that it lacks (stability_settled), so what is missing here comes before the new life's
 * operations, which name it as their `prev`. Claims of the old life stay: they were durable facts
 * of that region. *news becomes true when something is to be told to the others, else it stays.
 */
bool stability_admit(struct stability *s, life_t life, const struct context *vv, bool known,
                     bool *news);
/* May operations of `actor` up to `last` be taken, from its own connection (direct) or another
 * region's? */
bool stability_may_take(const struct stability *s, uint32_t actor, stamp_t last, bool direct);
/* A claim found in the stream of `life`, in order with its operations. */
void stability_claim(struct stability *s, life_t life, const struct context *claim);
/* `reporter` is the life that reports: its report counts no more once it has ended, because it may
 * have been the only one to have what it reported. */
void stability_report(struct stability *s, life_t ended, life_t reporter, stamp_t record);
/* Our state up to the context `durable` is durable now (at once where nothing is kept on disk): own
 * records become reports. What has come of an ended life since it was recorded is reported as well:
 * it is below the cut anyway, and so the survivors' reports still cover it when the region with the
 * greatest record is removed. True when there is something new to tell. */
bool stability_save(struct stability *s, const struct context *durable);
/* out := the causally stable context, given our vv. It is relied on from now on: of what a life
 * that has ended since had claimed, nothing else counts. */
void stability_stable(struct stability *s, const struct context *vv, struct context *out);
/* The region that holds stability back most (in time), or 0. For INFO crdt. */
uint32_t stability_laggard(const struct stability *s, const struct context *vv);
/* What any region is known to have: join of all claims and reports, of ended lives no more than
 * may be taken. For asking relays. */
void stability_known(const struct stability *s, struct context *out);
/* Are all earlier lives of this region over: cut, and all of them up to there is here? */
bool stability_settled(const struct stability *s, const struct context *vv);
/* While that is not so: a member (the greatest number; it may be this region itself, whose disk has
 * not got it yet) whose report of an earlier life is missing. 0: all have reported. */
uint32_t stability_owes(const struct stability *s, const struct context *vv);
/* Has the region's present life claimed to have `stamp`? */
bool stability_claimed(const struct stability *s, uint32_t region, stamp_t stamp);
/* out := what `region`, in whichever of its lives, has claimed to have of what `vv` covers. */
void stability_recall(const struct stability *s, uint32_t region, const struct context *vv,
                      struct context *out);
/* Has `region` claimed or reported to have `stamp`? */
bool stability_has(const struct stability *s, uint32_t region, stamp_t stamp);

/* What is known of numbers whose lives have ended, as it travels:
 * [[life, next, cut, [[reporter, record]...]]...]: the number's newest life that has ended, the
 * later life that was admitted after it (or 0) and where the ones before that were cut, and how far
 * lives of other regions had got with it. */
void stability_encode_news(struct buf *out, const struct stability *s);
/* Takes news in; `vv` is our context. *news tells whether anything was new. False, and nothing
 * taken, on malformed bytes. */
bool stability_decode_news(struct mp *m, struct stability *s, const struct context *vv, bool *news);

#endif
