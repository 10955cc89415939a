/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "crdt/apply.h"
#include "crdt/patch.h"
#include "crdt/shelf.h"
#include "tests/fuzz/fuzz.h"

/* One key, twice: patched, and assigned whole values. What is shown must be the same, whatever was
 * seen, kept and forgotten. */
enum { ACTORS = 4, VALUES = 64 };

struct value {
    stamp_t dot;
    struct buf text;
};

struct state {
    struct cell *patched, *whole;
    struct hash128 patched_digest, whole_digest;
    struct shelf_total total;
    struct shelf shelf;
    struct context vv;
    struct value values[VALUES];
    unsigned n;
};

static struct surroundings around(struct state *s, bool patched)
{
    return (struct surroundings){.digest = patched ? &s->patched_digest : &s->whole_digest,
                                 .shelf = patched ? &s->shelf : NULL,
                                 .frame_actor = STAMP_ACTOR_MAX};
}

static void apply_both(struct state *s, const struct op *op, struct bytes text,
                       const struct seen *seen)
{
    struct surroundings a = around(s, true), b = around(s, false);
    struct applied out;
    struct op whole = *op;
    if (op->kind == OP_PATCH)
        whole = (struct op){
            .stamp = op->stamp, .kind = OP_SET, .flags = OPF_KEEPTTL, .key = op->key, .val = text};
    context_raise(&s->vv, op->stamp);
    s->patched = value_apply(s->patched, op, seen, &s->vv, &a, &out);
    s->whole = value_apply(s->whole, &whole, seen, &s->vv, &b, &out);
}

static void compare(const struct state *s)
{
    struct shown a, b;
    bool shows = string_show(s->patched, &a);
    must(shows == string_show(s->whole, &b));
    must(!shows || bytes_eq(a.text, b.text));
    must(hash128_eq(s->patched_digest, s->whole_digest));
    must(hash128_eq(s->patched_digest, value_digest(s->patched)));
}

/* What an operation has seen: of each actor its newest, or only what it wrote first. */
static void draw_seen(const struct state *s, uint8_t bits, struct context *deps)
{
    for (unsigned i = 0; i < s->n; i++)
        if (bits >> stamp_actor(s->values[i].dot) & 1 || i < s->n / 2)
            context_raise(deps, s->values[i].dot);
}

static void write_text(struct buf *text, const struct buf *base, size_t offset, struct bytes part)
{
    if (base != NULL)
        buf_put_bytes(text, buf_bytes(base));
    while (buf_len(text) < offset + part.n)
        buf_put_u8(text, 0);
    memcpy(text->p + text->head + offset, part.p, part.n);
}

static void step(struct state *s, struct bytes *in)
{
    uint8_t what = fuzz_byte(in), bits = fuzz_byte(in), at = fuzz_byte(in);
    uint32_t actor = 1 + what % (ACTORS - 1);
    struct context deps = {0};
    uint8_t head[PATCH_HEAD];
    draw_seen(s, bits, &deps);
    struct seen seen = {.deps = &deps, .prev = context_get(&deps, actor)};
    if (seen.prev == 0)
        seen.prev = stamp_make(0, 0, actor);
    struct op op = {
        .stamp = stamp_make(1000 + s->n, 0, actor), .kind = OP_SET, .key = bytes_str("key")};
    op.val = fuzz_take(in, 1 + (bits >> 4));
    struct value *v = &s->values[s->n];
    const struct value *base = s->n > 0 ? &s->values[at % s->n] : NULL;
    if (what >> 2 & 1 && base != NULL && op.val.n > 0 && seen_covers(&seen, base->dot)) {
        op.kind = OP_PATCH;
        op.elem = bytes_of(head, sizeof head);
        patch_put(head, (struct patch){.base = base->dot, .offset = what >> 3});
    } else if (what >> 6 == 3) {
        op.kind = OP_DEL;
        op.val.n = 0;
    }
    if (op.kind == OP_PATCH && patch_possible(s->patched, &s->shelf, &op)) {
        write_text(&v->text, &base->text, what >> 3, op.val);
        v->dot = op.stamp;
        s->n++;
    } else if (op.kind != OP_PATCH) {
        buf_put_bytes(&v->text, op.val);
        v->dot = op.kind == OP_SET ? op.stamp : stamp_make(0, 0, actor);
        s->n++;
    } else {
        context_deinit(&deps);
        return;
    }
    apply_both(s, &op, buf_bytes(&v->text), &seen);
    compare(s);
    if (at == 255)
        shelf_release(&s->shelf, &deps);
    context_deinit(&deps);
}

static void put(void *arg, struct bytes record) { buf_put_bytes(arg, record); }

/* What a peer says that it keeps: taken in, rebuilt from and sent on. */
static void take_record(struct bytes record)
{
    struct shelf_total total = {.bytes_max = 1 << 20};
    struct shelf shelf;
    struct context stable = {0};
    struct reg present;
    struct buf out = {0};
    if (!shelf_is_record(record) || !shelf_record_valid(record))
        return;
    shelf_init(&shelf, &total, (struct hash_key){.k0 = 1, .k1 = 2});
    shelf_merge(&shelf, record, &stable);
    shelf_merge(&shelf, record, &stable);
    must(total.n == 1);
    struct mp m = mp_read(record);
    mp_array(&m);
    struct bytes key = mp_bin(&m);
    stamp_t dot = mp_uint(&m), from;
    mp_uint(&m);
    from = mp_uint(&m);
    reg_init(&present, TYPE_STRING);
    must(shelf_has(&shelf, key, dot, &present) == (from == 0));
    reg_push_sibling(&present, from, bytes_str("a text of some length, to be taken back"));
    if (!shelf_show(&shelf, key, dot, &present, &out))
        must(buf_len(&out) == 0);
    buf_clear(&out);
    shelf_encode(&shelf, put, &out);
    must(shelf_is_record(buf_bytes(&out)) && shelf_record_valid(buf_bytes(&out)));
    reg_close(&present);
    buf_deinit(&out);
    shelf_clear(&shelf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct state *s = mem_zalloc(sizeof *s);
    take_record(in);
    s->total.value_min = fuzz_byte(&in) % 16;
    s->total.bytes_max = 200u + 40u * fuzz_byte(&in);
    shelf_init(&s->shelf, &s->total, (struct hash_key){.k0 = 1, .k1 = 2});
    while (in.n > 0 && s->n < VALUES)
        step(s, &in);
    shelf_clear(&s->shelf);
    must(s->total.n == 0 && s->total.bytes == 0);
    value_free(s->patched);
    value_free(s->whole);
    context_deinit(&s->vv);
    for (unsigned i = 0; i < VALUES; i++)
        buf_deinit(&s->values[i].text);
    mem_free(s);
    return 0;
}
