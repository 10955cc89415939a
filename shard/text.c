/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/text.h"

#include "base/mem.h"
#include "crdt/patch.h"
#include "shard/hll_text.h"
#include "shard/inside.h"

static bool is_text(struct call *c, const struct key *k)
{
    enum type t = value_type(k->cell);
    return k->cell == NULL || t == TYPE_STRING || t == TYPE_HLL || key_is(c, k, TYPE_STRING);
}

bool text_read(struct call *c, struct bytes name, struct key *k)
{
    key_read(c, name, k);
    return is_text(c, k);
}

bool text_write(struct call *c, struct bytes name, struct key *k)
{
    key_write(c, name, k);
    return is_text(c, k);
}

bool text_show_hll(struct call *c, const struct key *k, struct shown *out)
{
    uint8_t ranks[HLL_REGISTERS];
    if (!hll_show(k->cell, ranks))
        return false;
    struct buf *text = &c->shard->text;
    buf_clear(text);
    hll_text_put(text, ranks, hll_is_dense(k->cell), hll_is_counted(k->cell));
    out->text = buf_bytes(text);
    return true;
}

size_t text_len(struct call *c, const struct key *k)
{
    struct shown s;
    return text_show(c, k, &s) ? s.text.n : 0;
}

void text_copy(struct call *c, const struct key *k, struct buf *out)
{
    struct shown s;
    if (text_show(c, k, &s))
        buf_put_bytes(out, s.text);
}

static void patch(struct call *c, struct key *k, stamp_t base, size_t offset, struct bytes part)
{
    uint8_t head[PATCH_HEAD];
    patch_put(head, (struct patch){.base = base, .offset = offset});
    key_elem(c, k, OP_PATCH, bytes_of(head, sizeof head), part);
}

/* The whole value, with room for what is between its end and `offset`. */
static void assign(struct call *c, struct key *k, struct bytes text, size_t offset,
                   struct bytes part)
{
    size_t n = offset + part.n > text.n ? offset + part.n : text.n;
    uint8_t *whole = mem_zalloc(n > 0 ? n : 1);
    if (text.n > 0)
        memcpy(whole, text.p, text.n);
    if (part.n > 0)
        memcpy(whole + offset, part.p, part.n);
    key_set(c, k, bytes_of(whole, n), true);
    mem_free(whole);
}

/* Short strings travel whole, since others do not keep them for patches. A patch far behind the end
 * of one goes as the short string, assigned once more, and a patch on that. In a database of one
 * region nothing travels, and a patch is always the cheapest. */
void text_patch(struct call *c, struct key *k, size_t offset, struct bytes part)
{
    struct shown s;
    stamp_t base;
    size_t min = c->shard->patch_min;
    text_show(c, k, &s);
    bool based = patch_base(k->cell, &base);
    if (based && (s.text.n >= min || !call_is_shared(c))) {
        patch(c, k, base, offset, part);
    } else if (offset > s.text.n && offset - s.text.n > min) {
        assign(c, k, s.text, 0, bytes_of(NULL, 0));
        if (patch_base(k->cell, &base))
            patch(c, k, base, offset, part);
    } else {
        assign(c, k, s.text, offset, part);
    }
}
