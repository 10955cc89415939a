/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/patch.h"

#include "base/mem.h"
#include "crdt/elem.h"
#include "crdt/shelf.h"

/* ------------------------------------------------------------ the operation */

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

void patch_put(uint8_t head[PATCH_HEAD], struct patch p)
{
    put_u64(head, p.base);
    put_u64(head + 8, p.offset);
}

struct patch patch_get(struct bytes head)
{
    return (struct patch){.base = get_u64(head.p), .offset = get_u64(head.p + 8)};
}

bool patch_valid(const struct op *op)
{
    if (op->elem.n != PATCH_HEAD || op->val.n == 0)
        return false;
    struct patch p = patch_get(op->elem);
    return !stamp_is_zero(p.base) && p.base < op->stamp && p.offset < PATCH_END_MAX &&
           op->val.n <= PATCH_END_MAX - p.offset;
}

/* ------------------------------------------------------------ its base */

static bool is_plain(const struct cell *key)
{
    return key != NULL && cell_form(key) == CELL_ONE && cell_low(key) == TYPE_STRING;
}

bool patch_base(const struct cell *key, stamp_t *dot)
{
    if (is_plain(key)) {
        struct view v = cell_view(key);
        *dot = view_dot(key, &v, 0);
        return true;
    }
    if (value_type(key) != TYPE_STRING)
        return false;
    struct reg r;
    reg_open(&r, TYPE_STRING, key_register(key, TYPE_STRING), 0);
    bool plain = r.nseg == 0 && r.nsib > 0;
    if (plain)
        *dot = r.sib[r.nsib - 1].dot;
    reg_close(&r);
    return plain;
}

static const struct sibling *find_sibling(const struct reg *r, stamp_t dot)
{
    for (uint32_t i = 0; i < r->nsib; i++)
        if (r->sib[i].dot == dot)
            return &r->sib[i];
    return NULL;
}

bool patch_possible(const struct cell *key, const struct shelf *shelf, const struct op *op)
{
#ifdef MUTANT_patch_without_base
    (void)key;
    (void)shelf;
    return op != NULL;
#else
    stamp_t base = patch_get(op->elem).base;
    struct reg r;
    reg_open(&r, TYPE_STRING, key_register(key, TYPE_STRING), 0);
    bool possible =
        find_sibling(&r, base) != NULL || (shelf && shelf_has(shelf, op->key, base, &r));
    reg_close(&r);
    return possible;
#endif
}

/* ------------------------------------------------------------ applying it */

static struct undo undo_of(struct bytes base, size_t offset, size_t n)
{
    struct undo u = {.offset = offset, .len = base.n};
    if (offset < base.n)
        u.was = bytes_of(base.p + offset, n < base.n - offset ? n : base.n - offset);
    return u;
}

static bool is_in_frame(const struct surroundings *s, stamp_t dot)
{
    return stamp_actor(dot) == s->frame_actor && dot > s->frame_prev;
}

static void keep_base(const struct change *ch, struct bytes base)
{
    const struct surroundings *s = ch->s;
    struct patch p = patch_get(ch->op->elem);
    if (s->shelf == NULL || base.n < s->shelf->total->value_min)
        return;
    struct undo u = undo_of(base, (size_t)p.offset, ch->op->val.n);
    shelf_keep_undo(s->shelf, ch->key, p.base, &u, ch->op->stamp, is_in_frame(s, p.base));
}

void patch_whole(const struct cell *key, const struct change *ch, struct buf *out)
{
    struct patch p = patch_get(ch->op->elem);
    struct reg r;
    reg_open(&r, TYPE_STRING, key_register(key, TYPE_STRING), 0);
    const struct sibling *base = find_sibling(&r, p.base);
    if (base != NULL) {
        keep_base(ch, base->val);
        buf_put_bytes(out, base->val);
    } else if (ch->s->shelf != NULL) {
        shelf_show(ch->s->shelf, ch->key, p.base, &r, out);
    }
    reg_close(&r);
    size_t n = buf_len(out), end = (size_t)p.offset + ch->op->val.n;
    if (end > n) {
        memset(buf_reserve(out, end - n), 0, end - n);
        buf_added(out, end - n);
    }
    memcpy(out->p + out->head + p.offset, ch->op->val.p, ch->op->val.n);
}

#define SLACK_MAX ((size_t)64 << 20)

/* A larger block with the same bytes, and room to spare, so that appending moves each byte a few
 * times at most. *zeroed: what follows them is zero; the system has such pages at hand. */
static struct cell *move(struct cell *c, size_t size, size_t need, bool *zeroed)
{
    size_t slack = need / 4, room = need + (slack < SLACK_MAX ? slack : SLACK_MAX);
    *zeroed = need - size > size;
    if (!*zeroed)
        return mem_realloc(c, room);
    struct cell *fresh = mem_zalloc(room);
    memcpy(fresh, c, size);
    mem_free(c);
    return fresh;
}

/* Makes the value `n` bytes long, at least as long as it is; zeros are added. */
static struct cell *lengthen(struct cell *c, size_t n)
{
    struct view v = cell_view(c);
    size_t was = v.payload.n - 8, grown = varint_size(n + 8) - varint_size(v.payload.n);
    size_t name_n = v.name.n, payload_n = v.payload.n, size = cell_size(c);
    bool zeroed = false;
    size_t room = size + grown + (n - was) + ACCESS_BYTES;
    if (room > mem_block_size(c))
        c = move(c, size, room, &zeroed);
    uint8_t *start = &c->b0, *head = start + 1 + varint_size(name_n);
    uint8_t *behind = head + varint_size(payload_n);
    if (grown > 0)
        memmove(behind + grown, behind, size - (size_t)(behind - start));
    varint_write(head, n + 8);
    if (!zeroed)
        memset(start + size + grown, 0, n - was);
    return c;
}

static size_t text_end(const struct op *op)
{
    return (size_t)patch_get(op->elem).offset + op->val.n;
}

/* Digest terms of the chunks that the patch changes. */
static struct hash128 changed_chunks(const struct cell *key, const struct change *ch, size_t from)
{
    struct view v = cell_view(key);
    if (ch->s->digest_off)
        return (struct hash128){0};
    return digest_text_part(digest_seed(ch->key, TYPE_STRING), view_rest(key, &v), from,
                            text_end(ch->op));
}

bool patch_in_place(struct cell **key, const struct change *ch)
{
    struct cell *c = *key;
    struct patch p = patch_get(ch->op->elem);
    stamp_t dot;
    if (!is_plain(c) || !patch_base(c, &dot) || dot != p.base)
        return false;
    struct view v = cell_view(c);
    struct bytes base = view_rest(c, &v);
    size_t from = p.offset < base.n ? (size_t)p.offset : base.n;
    struct hash128 minus = changed_chunks(c, ch, from);
    keep_base(ch, base);
    if (text_end(ch->op) > base.n)
        c = lengthen(c, text_end(ch->op));
    v = cell_view(c);
    uint8_t *payload = &c->b0 + (v.payload.p - &c->b0);
    store_u64(payload, ch->op->stamp);
    memcpy(payload + 8 + p.offset, ch->op->val.p, ch->op->val.n);
    change_digest(ch->s, minus, changed_chunks(c, ch, from));
    ch->out->changed = true;
    *key = c;
    return true;
}

/* ------------------------------------------------------------ keeping */

/* What was written in the same frame nobody else has seen; it may be a step to what was before. */
static bool is_to_be_kept(const struct change *ch, struct sibling value)
{
    const struct surroundings *s = ch->s;
    if (s->shelf == NULL || ch->op == NULL || value.val.n < s->shelf->total->value_min)
        return false;
    return !is_in_frame(s, value.dot) || shelf_needs(s->shelf, ch->key, value.dot);
}

static void keep_value(const struct change *ch, struct sibling value)
{
    if (value.dot != ch->patched && is_to_be_kept(ch, value))
        shelf_keep(ch->s->shelf, ch->key, value, ch->op->stamp);
}

void keep_seen(const struct change *ch, const struct reg *r)
{
    if (ch->s->shelf == NULL || ch->op == NULL || r->type != TYPE_STRING)
        return;
    for (uint32_t i = 0; i < r->nsib; i++)
        if (seen_covers(ch->seen, r->sib[i].dot))
            keep_value(ch, r->sib[i]);
}

bool keep_cell(const struct change *ch, struct cell *key)
{
    if (ch->s->shelf == NULL || key == NULL || cell_low(key) != TYPE_STRING)
        return false;
    if (is_plain(key)) {
        struct view v = cell_view(key);
        struct sibling value = {.dot = view_dot(key, &v, 0), .val = view_rest(key, &v)};
        if (!is_to_be_kept(ch, value))
            return false;
        shelf_take(ch->s->shelf, key, ch->op->stamp);
        return true;
    }
    if (cell_form(key) == CELL_WIDE) {
        struct reg r;
        reg_open(&r, TYPE_STRING, key, 0);
        keep_seen(ch, &r);
        reg_close(&r);
    }
    return false;
}
