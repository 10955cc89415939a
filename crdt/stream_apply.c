/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/elem.h"

/* Operations of streams that change several elements: an entry with what its actor knows of the
 * stream, and removals of ranges. Each is made of steps on one element, as if by operations of
 * their own with the same stamp. */

static struct coll *step(struct coll *c, const struct change *ch, enum op_kind kind,
                         struct bytes elem, struct bytes val)
{
    struct op op = {.stamp = ch->op->stamp,
                    .kind = (uint8_t)kind,
                    .flags = ch->op->flags,
                    .key = ch->op->key,
                    .elem = elem,
                    .val = val};
    struct change one = *ch;
    one.op = &op;
    return elem_apply(c, TYPE_STREAM, &one);
}

static bool below_name(const void *item, const void *arg)
{
    return bytes_cmp(cell_name(item), *(const struct bytes *)arg) < 0;
}

/* How many elements from `rank` to `end` were seen wholly, up to the first that was not; their
 * digest terms are added to *sum. */
static size_t seen_run(const struct coll *c, size_t rank, size_t end, const struct change *ch,
                       struct hash128 *sum)
{
    struct coll_iter it;
    size_t n = 0;
    uint64_t seed = ch->s->digest_off ? 0 : digest_seed(ch->key, TYPE_STREAM);
    if (ch->s->digest_off && ch->seen->deps == NULL)
        return end - rank;
    coll_walk_from(&it, c, rank);
    for (; rank + n < end; n++) {
        const struct cell *e = coll_next(&it);
        if (!cell_seen(e, c->is_large ? 0 : c->base, ch->seen))
            break;
        if (!ch->s->digest_off)
            *sum = hash128_add(*sum, digest_element(seed, TYPE_STREAM, e));
    }
    return n;
}

static struct coll *cut_run(struct coll *c, size_t rank, size_t n, struct hash128 sum,
                            const struct change *ch)
{
    bool was_large = c->is_large;
    struct hash128 none = {0};
    ch->out->changed = true;
    if (n == coll_count(c)) { /* freed later, where it is large */
        coll_discard(c, ch->s);
        c = NULL;
    } else {
        c = coll_cut_run(c, rank, n);
    }
    change_digest(ch->s, sum, none);
    coll_sum(c, was_large, ch, sum, none);
    return c;
}

/* Removes what was seen of the elements from `lo` up to, without, `hi`. A local writer has seen
 * all, so nothing stays. */
static struct coll *cut(struct coll *c, struct bytes lo, struct bytes hi, const struct change *ch)
{
    size_t rank = coll_partition(c, below_name, &lo), end = coll_partition(c, below_name, &hi);
    while (c != NULL && rank < end) {
        struct hash128 sum = {0};
        size_t n = seen_run(c, rank, end, ch, &sum);
        if (n > 0)
            c = cut_run(c, rank, n, sum, ch);
        end -= n;
        if (rank == end)
            break;
        size_t count = coll_count(c);
        c = step(c, ch, OP_XREM, cell_name(coll_by_rank(c, rank)), bytes_of(NULL, 0));
        if (c != NULL && coll_count(c) == count)
            rank++;
        else
            end--;
    }
    return c;
}

/* Each region's entries up to the one that is named. */
static struct coll *trim(struct coll *c, const struct change *ch)
{
    struct stream_name last, at;
    stream_name_read(ch->op->elem, &last);
    for (unsigned region = 1; c != NULL && region <= REGION_MAX; region++) {
        uint8_t lo_room[1] = {(uint8_t)(0x80u + region)}, room[STREAM_ENTRY_NAME_MAX + 1];
        struct bytes lo = bytes_of(lo_room, 1);
        const struct cell *e = coll_by_rank(c, coll_partition(c, below_name, &lo));
        if (e == NULL)
            break;
        stream_name_read(cell_name(e), &at);
        region = at.region;
        struct bytes hi = stream_entry_name(room, at.region, last.id);
        if (at.region <= last.region)
            room[hi.n++] = 0; /* behind the name itself, before all others */
        c = cut(c, cell_name(e), hi, ch);
    }
    return c;
}

static struct coll *add(struct coll *c, const struct change *ch)
{
    uint8_t name[4], room[24];
    struct stream_name entry;
    struct stream_last last;
    struct bytes fields;
    stream_name_read(ch->op->elem, &entry);
    stream_added_read(ch->op->val, &last.added, &fields);
    last.id = entry.id;
    struct bytes meta = stream_meta_name(name, STREAM_LAST, stamp_actor(ch->op->stamp));
    c = step(c, ch, OP_XSET, meta, stream_last_put(room, last));
    return step(c, ch, OP_XSET, ch->op->elem, fields);
}

struct coll *stream_apply(struct coll *c, const struct change *ch)
{
    switch (ch->op->kind) {
    case OP_XADD:
        return add(c, ch);
    case OP_XTRIM:
        return trim(c, ch);
    default:
        return cut(c, ch->op->elem, ch->op->val, ch);
    }
}
