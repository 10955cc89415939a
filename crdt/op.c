/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/op.h"

#include <math.h>

#include "crdt/hll.h"
#include "crdt/patch.h"
#include "crdt/position.h"
#include "crdt/stream_name.h"

/* What stands behind the key, by kind. */
enum arg { ARG_NONE, ARG_VAL, ARG_NUM, ARG_REAL };

static const struct {
    const char *name;
    bool no_key, elem;
    uint8_t arg, flags;
} kinds[OP_KIND_MAX] = {
    [OP_SET] = {"SET", .arg = ARG_VAL, .flags = OPF_FRESH | OPF_KEEPTTL},
    [OP_INCR] = {"INCR", .arg = ARG_NUM, .flags = OPF_FRESH | OPF_EXTEND | OPF_ABSORB},
    [OP_INCRF] = {"INCRF", .arg = ARG_REAL, .flags = OPF_FRESH | OPF_EXTEND | OPF_ABSORB},
    [OP_DEL] = {"DEL", .flags = OPF_FRESH},
    [OP_EXPIRE] = {"EXPIRE", .arg = ARG_NUM, .flags = OPF_FRESH},
    [OP_SADD] = {"SADD", .elem = true, .flags = OPF_FRESH},
    [OP_SREM] = {"SREM", .elem = true, .flags = OPF_FRESH},
    [OP_HSET] = {"HSET", .elem = true, .arg = ARG_VAL, .flags = OPF_FRESH},
    [OP_HINCR] = {"HINCR", .elem = true, .arg = ARG_NUM,
                  .flags = OPF_FRESH | OPF_EXTEND | OPF_ABSORB},
    [OP_HINCRF] = {"HINCRF", .elem = true, .arg = ARG_REAL,
                   .flags = OPF_FRESH | OPF_EXTEND | OPF_ABSORB},
    [OP_HDEL] = {"HDEL", .elem = true, .flags = OPF_FRESH},
    [OP_ZADD] = {"ZADD", .elem = true, .arg = ARG_REAL, .flags = OPF_FRESH},
    [OP_ZINCR] = {"ZINCR", .elem = true, .arg = ARG_REAL,
                  .flags = OPF_FRESH | OPF_EXTEND | OPF_ABSORB},
    [OP_ZREM] = {"ZREM", .elem = true, .flags = OPF_FRESH},
    [OP_LINS] = {"LINS", .elem = true, .arg = ARG_VAL, .flags = OPF_FRESH},
    [OP_LREM] = {"LREM", .elem = true, .flags = OPF_FRESH},
    [OP_PFADD] = {"PFADD", .arg = ARG_VAL, .flags = OPF_FRESH | OPF_EXTEND | OPF_ABSORB},
    [OP_FLUSH] = {"FLUSH", .no_key = true},
    [OP_PATCH] = {"PATCH", .elem = true, .arg = ARG_VAL},
    [OP_XADD] = {"XADD", .elem = true, .arg = ARG_VAL, .flags = OPF_FRESH},
    [OP_XSET] = {"XSET", .elem = true, .arg = ARG_VAL, .flags = OPF_FRESH},
    [OP_XREM] = {"XREM", .elem = true, .flags = OPF_FRESH},
    [OP_XCUT] = {"XCUT", .elem = true, .arg = ARG_VAL, .flags = OPF_FRESH},
    [OP_XTRIM] = {"XTRIM", .elem = true, .flags = OPF_FRESH},
};

#define REAL_BYTES 10u
#define REAL_BIAS 16382 /* frexp's mantissa is below 1 */
#define REAL_INF 0x7fff

const char *op_kind_name(uint8_t kind)
{
    return kind > 0 && kind < OP_KIND_MAX ? kinds[kind].name : "unknown";
}

/* IEEE 754's 80-bit extended format: sign and exponent, then 64 bits of mantissa. Numbers too small
 * for a normal one become 0, on every machine. */
void real_put(struct buf *out, long double v)
{
    uint8_t p[REAL_BYTES] = {0};
    int exp = 0;
    unsigned head = 0;
    uint64_t mantissa = 0;
    if (isinf(v)) {
        head = REAL_INF;
        mantissa = UINT64_C(1) << 63;
    } else if (v != 0) {
        mantissa = (uint64_t)ldexpl(frexpl(fabsl(v), &exp), 64);
        head = exp + REAL_BIAS > 0 ? (unsigned)(exp + REAL_BIAS) : 0;
        mantissa = head ? mantissa : 0;
    }
    head |= signbit(v) ? 0x8000u : 0;
    p[0] = (uint8_t)(head >> 8);
    p[1] = (uint8_t)head;
    for (int i = 0; i < 8; i++)
        p[2 + i] = (uint8_t)(mantissa >> (56 - 8 * i));
    mp_put_bin(out, bytes_of(p, REAL_BYTES));
}

bool real_read(struct mp *m, long double *out)
{
    struct bytes b = mp_bin(m);
    *out = 0;
    if (m->bad || b.n != REAL_BYTES)
        return false;
    unsigned head = (unsigned)b.p[0] << 8 | b.p[1];
    uint64_t mantissa = 0;
    for (int i = 0; i < 8; i++)
        mantissa = mantissa << 8 | b.p[2 + i];
    int exp = (int)(head & 0x7fffu);
    if (exp == REAL_INF) {
        if (mantissa != UINT64_C(1) << 63)
            return false; /* NaN */
        *out = HUGE_VALL;
    } else if (exp == 0) {
        if (mantissa != 0)
            return false;
    } else {
        if (!(mantissa >> 63))
            return false; /* not normal */
        *out = ldexpl((long double)mantissa, exp - REAL_BIAS - 64);
    }
    if (head & 0x8000u)
        *out = -*out;
    return true;
}

void op_encode(struct buf *out, const struct op *op, stamp_t base)
{
    uint8_t arg = kinds[op->kind].arg;
    bool elem = kinds[op->kind].elem, key = !kinds[op->kind].no_key;
    mp_put_array(out, 2 + (uint32_t)key + (uint32_t)elem + (arg != ARG_NONE));
    mp_put_uint(out, op->stamp - base);
    mp_put_uint(out, op->kind | (unsigned)op->flags << 5);
    if (key)
        mp_put_bin(out, op->key);
    if (elem)
        mp_put_bin(out, op->elem);
    if (arg == ARG_VAL)
        mp_put_bin(out, op->val);
    else if (arg == ARG_NUM)
        mp_put_int(out, op->num);
    else if (arg == ARG_REAL)
        real_put(out, op->real);
}

static bool stream_args_valid(const struct op *op)
{
    struct stream_name name;
    struct bytes fields;
    uint64_t added;
    if (op->kind == OP_XSET)
        return stream_elem_valid(op->elem, op->val);
    if (op->kind == OP_XCUT)
        return true;
    if (!stream_name_read(op->elem, &name))
        return false;
    if (op->kind == OP_XREM)
        return true;
    return name.kind == STREAM_ENTRY &&
           (op->kind == OP_XTRIM || stream_added_read(op->val, &added, &fields));
}

static bool args_valid(const struct op *op)
{
    if ((op->flags & OPF_EXTEND) && (op->flags & OPF_ABSORB))
        return false;
    switch (op->kind) {
    case OP_LINS:
    case OP_LREM:
        return position_valid(op->elem);
    case OP_PFADD:
        return ranks_valid(op->val);
    case OP_PATCH:
        return patch_valid(op);
    case OP_XADD:
    case OP_XSET:
    case OP_XREM:
    case OP_XCUT:
    case OP_XTRIM:
        return stream_args_valid(op);
    case OP_ZADD:
        return !isinf((double)op->real) || isinf(op->real);
    default:
        return true;
    }
}

bool op_decode(struct mp *m, struct op *op, stamp_t base)
{
    *op = (struct op){0};
    uint32_t n = mp_array(m);
    uint64_t delta = mp_uint(m), head = mp_uint(m);
    uint64_t kind = head & 31u, flags = head >> 5;
    if (m->bad || delta == 0 || delta > UINT64_MAX - base || kind == 0 || kind >= OP_KIND_MAX)
        return false;
    uint8_t arg = kinds[kind].arg;
    bool elem = kinds[kind].elem, key = !kinds[kind].no_key, real = true;
    if ((flags & ~(uint64_t)kinds[kind].flags) != 0 ||
        n != 2 + (uint32_t)key + (uint32_t)elem + (arg != ARG_NONE))
        return false;
    op->stamp = base + delta;
    op->kind = (uint8_t)kind;
    op->flags = (uint8_t)flags;
    if (key)
        op->key = mp_bin(m);
    if (elem)
        op->elem = mp_bin(m);
    if (arg == ARG_VAL)
        op->val = mp_bin(m);
    else if (arg == ARG_NUM)
        op->num = mp_int(m);
    else if (arg == ARG_REAL)
        real = real_read(m, &op->real);
    return !m->bad && real && !stamp_is_zero(op->stamp) && args_valid(op);
}
