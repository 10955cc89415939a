/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CRDT_PATCH_H
#define MERIDIAN_CRDT_PATCH_H

#include "crdt/value.h"

struct change; /* crdt/elem.h */
struct reg;
struct shelf;

/*
 * OP_PATCH: an assignment whose value is another one, its base, with some bytes overwritten, so
 * that a bit of a large bitmap travels and is applied as a bit (docs/patches.md). Its meaning is
 * that of OP_SET with OPF_KEEPTTL and the whole value. Its `elem` says what is patched and where,
 * `val` is what stands there then; where that lies beyond the base's end, zeros fill the gap.
 *
 *   elem   dot of the base u64, offset u64, both big endian
 */
#define PATCH_HEAD 16u
#define PATCH_END_MAX ((uint64_t)513 << 20) /* no string is longer */

struct patch {
    stamp_t base;
    uint64_t offset;
};
void patch_put(uint8_t head[PATCH_HEAD], struct patch p);
struct patch patch_get(struct bytes head); /* of PATCH_HEAD bytes */
/* What op_decode asks of an operation of that kind. */
bool patch_valid(const struct op *op);

/* The dot to base a patch on: what the key shows is one assigned string with nothing added to it.
 */
bool patch_base(const struct cell *key, stamp_t *dot);
/* Can the operation be applied to this key? No: its base is neither here nor kept. */
bool patch_possible(const struct cell *key, const struct shelf *shelf, const struct op *op);

/* Applies ch->op where it stands, if the key is a string that is just its base. */
bool patch_in_place(struct cell **key, const struct change *ch);
/* The value that it assigns (out, empty); a base that is not here counts as empty. A base that the
 * operation is about to drop is kept. */
void patch_whole(const struct cell *key, const struct change *ch, struct buf *out);

/* ---- what changes of strings do with the values that they drop */

/* Keeps those siblings of a string register that the operation has seen and will now drop. */
void keep_seen(const struct change *ch, const struct reg *r);
/* The same with the cell of a string key, all of which is dropped. True: the cell was taken. */
bool keep_cell(const struct change *ch, struct cell *key);

#endif
