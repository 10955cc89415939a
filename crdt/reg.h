/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_REG_H
#define MERIDIAN_CRDT_REG_H

#include "crdt/cell.h"
#include "crdt/value.h"

/*
 * A register opened up: siblings {dot: value} and segments (contributions that add up), as the
 * model's Register, DotSet and Segments. Cells hold it closed; whoever has to change more than the
 * inline forms allow opens it, changes it and writes the image back. Values borrow: from the cell
 * that was opened, and from the operation or register that was merged in.
 *
 * A CELL_WIDE payload, in the machine's order:
 *   flags u8 (WIDE_QUEUED: awaits compaction; WIDE_COUNTED: see hll_set_counted)
 *   varint number of segments, varint number of siblings, type u8 (enum type)
 *   segments by (actor, to):   to, tag, distance to `from`, amount (see segment_write)
 *   siblings by dot:           dot, varint, bytes
 */
struct sibling {
    stamp_t dot;
    struct bytes val; /* sorted-set member: see score_pack; set member: empty */
};

enum amount_kind { AMOUNT_INT64, AMOUNT_INT, AMOUNT_REAL, AMOUNT_RANKS };

/* One actor's contributions from a first to a last dot. Its own dot is `to`. */
struct segment {
    stamp_t from, to;
    uint8_t kind;
    __int128 num;
    long double real;
    struct bytes ranks; /* HyperLogLog registers, see hll.h */
};

/* In reg.type, of siblings that join by the greatest value instead of the greatest dot: the shown
 * one is the first by (value, dot). Concurrent ones are no conflict. */
#define REG_MAX 0x40u

struct reg {
    uint8_t type; /* enum type: what the register is part of; REG_MAX */
    bool queued;
    uint32_t nsib, nseg, sib_cap, seg_cap;
    struct sibling *sib; /* ascending dots */
    struct segment *seg; /* ascending (actor, to) */
    struct buf *owned;   /* what merging made: bytes that segments point to */
    uint32_t nowned;
    struct sibling sib_room[2];
    struct segment seg_room[4];
};

#define WIDE_QUEUED 1u
#define WIDE_COUNTED 2u /* lost whenever the payload is written anew */

void reg_init(struct reg *r, uint8_t type);
void reg_open(struct reg *r, uint8_t type, const struct cell *c, stamp_t base); /* c NULL: empty */
void reg_close(struct reg *r);
size_t reg_wide_size(const struct reg *r);
void reg_wide_write(const struct reg *r, uint8_t *p);
/* Adds to the newest segment of the stamp's actor, where it stands in the payload. False, and
 * nothing changed, when there is none, or it is no int64, or would take more bytes. */
bool reg_wide_extend(uint8_t *wide, stamp_t stamp, int64_t amount);

uint8_t reg_wide_type(const uint8_t *wide);
/* What a register of int64 segments and no siblings shows, read where it stands. False: it is no
 * such register. */
bool reg_wide_count(const uint8_t *wide, int64_t *out);

static inline enum type reg_type(const struct reg *r) { return (enum type)(r->type & ~REG_MAX); }

/* The sibling that is shown; there is one. */
const struct sibling *reg_top(const struct reg *r);

static inline bool reg_empty(const struct reg *r) { return r->nsib == 0 && r->nseg == 0; }

/* Nothing that compaction could ever forget: one sibling at most, one segment an actor at most. */
bool reg_settled(const struct reg *r);
stamp_t reg_newest(const struct reg *r); /* the greatest dot */

void reg_push_sibling(struct reg *r, stamp_t dot, struct bytes val); /* dots must ascend */
void reg_insert_sibling(struct reg *r, stamp_t dot, struct bytes val);
/* s := s + amount, both of one actor, s the earlier. */
void reg_merge_amount(struct reg *r, struct segment *s, const struct segment *amount);
struct segment *reg_push_segment(struct reg *r); /* at the end, uninitialised */

/* ---- changes, as the model's methods of the same name; each returns whether anything changed */
bool reg_remove(struct reg *r, const struct seen *seen);
void reg_assign(struct reg *r, stamp_t stamp, const struct seen *seen, struct bytes val);
/* An increment or HLL contribution: flags OPF_EXTEND, OPF_ABSORB. `from` and `to` of `amount` are
 * ignored. */
void reg_add(struct reg *r, stamp_t stamp, const struct segment *amount, uint8_t flags);
bool reg_compact(struct reg *r, const struct context *stable, stamp_t *waits);
/* r := join of r and o. Borrows from both. Returns how many concurrent siblings met that were
 * apart. */
unsigned reg_join(struct reg *r, const struct context *rctx, const struct reg *o,
                  const struct context *octx);

/* ---- scores: an integer of 1, 2 or 4 bytes (little-endian, signed) where that is exact, else 8,
 * the double */
struct bytes score_pack(double score, uint8_t room[8]);
double score_load(struct bytes val);
static inline bool score_size_valid(size_t n) { return n == 1 || n == 2 || n == 4 || n == 8; }

/* ---- sums */
struct total {
    bool real;
    __int128 num;
    long double x;
};
void total_add(struct total *t, const struct segment *s, bool score);
void reg_total(const struct reg *r, struct total *out); /* by actor, then in actor order */
int64_t clamp_i64(__int128 v);
/* As cell_show and cell_score, of an open register. */
void reg_show(const struct reg *r, struct shown *out);
double reg_score(const struct reg *r);

#endif
