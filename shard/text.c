/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/text.h"

#include "base/mem.h"
#include "shard/hll_text.h"
#include "shard/inside.h"

static bool is_text(struct call *c, const struct key *k)
{
    return (k->cell != NULL && value_type(k->cell) == TYPE_HLL) || key_is(c, k, TYPE_STRING);
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

bool text_show(struct call *c, const struct key *k, struct shown *out)
{
    uint8_t ranks[HLL_REGISTERS];
    if (string_show(k->cell, out))
        return true;
    out->text = bytes_of(NULL, 0);
    if (!hll_show(k->cell, ranks))
        return false;
    struct buf *text = &c->shard->text;
    buf_clear(text);
    hll_text_put(text, ranks, hll_is_dense(k->cell));
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

void text_patch(struct call *c, struct key *k, size_t offset, struct bytes part)
{
    struct shown s;
    text_show(c, k, &s);
    size_t n = offset + part.n > s.text.n ? offset + part.n : s.text.n;
    uint8_t *whole = mem_alloc(n);
    if (s.text.n > 0)
        memcpy(whole, s.text.p, s.text.n);
    if (offset > s.text.n)
        memset(whole + s.text.n, 0, offset - s.text.n);
    memcpy(whole + offset, part.p, part.n);
    key_set(c, k, bytes_of(whole, n), true);
    mem_free(whole);
}
