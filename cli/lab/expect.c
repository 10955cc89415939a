/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "cli/lab/scenario.h"

static bool is_aggregate(const struct resp_reply *r)
{
    return r->type == '*' || r->type == '~' || r->type == '%' || r->type == '>';
}

static bool fits_list(const struct expect *e, const struct resp_reply *r)
{
    if (r->n != e->n)
        return false;
    for (size_t i = 0; i < e->n; i++)
        if (!expect_fits(&e->items[i], &r->items[i]))
            return false;
    return true;
}

/* The same groups of `width` items in any order. Greedy: the first reply group that fits and is
 * free is taken. */
static bool fits_any_order(const struct expect *e, const struct resp_reply *r, size_t width)
{
    if (r->n != e->n)
        return false;
    bool *taken = mem_zalloc(r->n + 1);
    bool all = true;
    for (size_t i = 0; all && i < e->n; i += width) {
        all = false;
        for (size_t j = 0; !all && j < r->n; j += width) {
            if (taken[j])
                continue;
            bool fits = true;
            for (size_t k = 0; k < width; k++)
                fits &= expect_fits(&e->items[i + k], &r->items[j + k]);
            all = taken[j] = fits;
        }
    }
    mem_free(taken);
    return all;
}

bool expect_fits(const struct expect *e, const struct resp_reply *r)
{
    switch (e->kind) {
    case EXPECT_ANY:
        return true;
    case EXPECT_NIL:
        return r->type == '_';
    case EXPECT_ERROR:
        return r->type == '-' && r->text.n >= e->text.n &&
               bytes_eq(bytes_of(r->text.p, e->text.n), e->text);
    case EXPECT_TEXT:
        return !is_aggregate(r) && r->type != '_' && r->type != '-' && bytes_eq(r->text, e->text);
    case EXPECT_LIST:
        return is_aggregate(r) && fits_list(e, r);
    case EXPECT_BAG:
        return is_aggregate(r) && fits_any_order(e, r, 1);
    case EXPECT_MAP:
        return is_aggregate(r) && fits_any_order(e, r, 2);
    }
    return false;
}

static void print_items(struct buf *out, const struct expect *e, char open, char close, bool map)
{
    buf_put_u8(out, (uint8_t)open);
    for (size_t i = 0; i < e->n; i++) {
        if (i > 0)
            buf_put_u8(out, map && i % 2 ? '=' : ' ');
        expect_print(out, &e->items[i]);
    }
    buf_put_u8(out, (uint8_t)close);
}

void expect_print(struct buf *out, const struct expect *e)
{
    struct resp_reply text = {.type = '$', .text = e->text};
    switch (e->kind) {
    case EXPECT_ANY:
        buf_put_u8(out, '_');
        break;
    case EXPECT_NIL:
        buf_put_str(out, "nil");
        break;
    case EXPECT_ERROR:
        buf_put_str(out, "error ");
        buf_put_bytes(out, e->text);
        break;
    case EXPECT_TEXT:
        resp_reply_print(out, &text);
        break;
    case EXPECT_LIST:
        print_items(out, e, '[', ']', false);
        break;
    case EXPECT_BAG:
        print_items(out, e, '{', '}', false);
        break;
    case EXPECT_MAP:
        print_items(out, e, '{', '}', true);
        break;
    }
}
