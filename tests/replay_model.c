/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/*
 * Replays histories of the model (crdt_model.py --emit N) through the C code: every operation,
 * compaction and join, and compares every `show`. On the way operations go through their encoding
 * and joins through the state's; the incremental digest must equal the recomputed one, and equal
 * contexts must give equal digests.
 *
 *   replay_model FILE...      (- is stdin); ends with "N passed, N failed", exit status 1 when any
 * failed
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crdt/apply.h"
#include "crdt/hll.h"
#include "crdt/position.h"

#define REGIONS 16
#define KEYS 8
#define NAMES 64

struct region {
    struct context vv;
    struct hash128 digest;
    struct cell *keys[KEYS]; /* by the order of names' first appearance */
    unsigned queued;
};

struct history {
    struct region at[REGIONS];
    char names[KEYS][16];
    unsigned nnames;
    char members[NAMES][16]; /* PFADD's elements: each is a HyperLogLog register of its own */
    unsigned nmembers;
    json_int_t seed;
    unsigned line;
    bool failed;
};

struct replay {
    struct history *h;
    struct region *r;
};

static void fail(struct history *h, const char *what, const char *detail)
{
    if (!h->failed)
        printf("history %lld, event %u: %s %s\n", (long long)h->seed, h->line, what, detail);
    h->failed = true;
}

static unsigned name_index(char (*names)[16], unsigned *n, unsigned max, const char *name)
{
    for (unsigned i = 0; i < *n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    if (*n == max)
        abort();
    snprintf(names[*n], 16, "%s", name);
    return (*n)++;
}

static stamp_t stamp_of(json_t *v)
{
    return stamp_make((uint64_t)json_integer_value(json_array_get(v, 0)),
                      (uint32_t)json_integer_value(json_array_get(v, 1)),
                      (uint32_t)json_integer_value(json_array_get(v, 2)));
}

static void on_unsettled(void *arg, struct bytes key, enum type type, struct bytes elem,
                         stamp_t newest)
{
    struct region *r = arg;
    (void)elem;
    if (key.n == 0 || type == TYPE_NONE || newest == 0)
        abort();
    r->queued++;
}

static struct surroundings around(struct region *r)
{
    return (struct surroundings){
        .digest = &r->digest, .hash_key = {1, 2}, .unsettled = on_unsettled, .arg = r};
}

/* ------------------------------------------------------------ events */

static const struct {
    const char *name;
    uint8_t kind, flags;
} ops[] = {
    {"SET", OP_SET, 0},       {"INCRBY", OP_INCR, 0}, {"ABSORB", OP_INCR, OPF_ABSORB},
    {"SADD", OP_SADD, 0},     {"SREM", OP_SREM, 0},   {"HSET", OP_HSET, 0},
    {"HINCRBY", OP_HINCR, 0}, {"HDEL", OP_HDEL, 0},   {"ZADD", OP_ZADD, 0},
    {"ZINCRBY", OP_ZINCR, 0}, {"ZREM", OP_ZREM, 0},   {"LINS", OP_LINS, 0},
    {"LREM", OP_LREM, 0},     {"PFADD", OP_PFADD, 0}, {"EXPIRE", OP_EXPIRE, 0},
    {"DEL", OP_DEL, 0},
};

static struct bytes text_of(json_t *v, struct buf *room)
{
    if (json_is_string(v))
        return bytes_str(json_string_value(v));
    size_t at = room->tail;
    buf_putf(room, "%lld", (long long)json_integer_value(v));
    return bytes_of(room->p + at, room->tail - at);
}

static struct bytes position_of(json_t *v, struct buf *room)
{
    size_t i, at = room->tail;
    json_t *step;
    json_array_foreach(v, i, step)
    {
        position_put(room, (struct position_step){
                               .base = json_integer_value(json_array_get(step, 0)),
                               .run = stamp_of(json_array_get(step, 1)),
                               .offset = (int32_t)json_integer_value(json_array_get(step, 2))});
    }
    return bytes_of(room->p + at, room->tail - at);
}

static struct bytes ranks_of(struct history *h, json_t *args, struct buf *room)
{
    bool has[NAMES] = {0};
    size_t i, at = room->tail;
    json_t *v;
    json_array_foreach(args, i, v)
        has[name_index(h->members, &h->nmembers, NAMES, json_string_value(v))] = true;
    for (uint8_t m = 0; m < NAMES; m++) {
        if (has[m]) {
            uint8_t pair[3] = {m, (uint8_t)(7 * m), (uint8_t)(m % 3 + 1)};
            buf_put(room, pair, sizeof pair);
        }
    }
    return bytes_of(room->p + at, room->tail - at);
}

static bool op_of(struct history *h, json_t *e, struct op *op, struct buf *room)
{
    const char *name = json_string_value(json_object_get(e, "op"));
    json_t *args = json_object_get(e, "args"), *a0 = json_array_get(args, 0),
           *a1 = json_array_get(args, 1);
    *op = (struct op){.stamp = stamp_of(json_object_get(e, "stamp")),
                      .key = bytes_str(json_string_value(json_object_get(e, "key")))};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (strcmp(ops[i].name, name) == 0) {
            op->kind = ops[i].kind;
            op->flags = ops[i].flags;
        }
    }
    if (json_is_true(json_object_get(e, "fresh")))
        op->flags |= OPF_FRESH;
    buf_reserve(room, 4096); /* what is put there must not move */
    if (op->kind == OP_SET)
        op->val = text_of(a0, room);
    else if (op->kind == OP_INCR)
        op->num = json_integer_value(a0);
    else if (op->kind == OP_EXPIRE)
        op->num = json_is_null(a0) ? DEADLINE_NEVER : json_integer_value(a0);
    else if (op->kind == OP_PFADD)
        op->val = ranks_of(h, args, room);
    else if (op->kind == OP_LINS || op->kind == OP_LREM)
        op->elem = position_of(a0, room);
    else if (json_is_string(a0))
        op->elem = bytes_str(json_string_value(a0));
    if (op->kind == OP_HSET || op->kind == OP_LINS)
        op->val = text_of(a1, room);
    else if (op->kind == OP_HINCR)
        op->num = json_integer_value(a1);
    else if (op->kind == OP_ZADD || op->kind == OP_ZINCR)
        op->real = (long double)json_integer_value(a1);
    return op->kind != 0;
}

static void event_apply(struct history *h, struct region *r, unsigned at, json_t *e)
{
    struct buf room = {0}, wire = {0};
    struct op op, back;
    struct applied out;
    struct surroundings s = around(r);
    if (!op_of(h, e, &op, &room))
        fail(h, "unknown operation", json_string_value(json_object_get(e, "op")));
    op_encode(&wire, &op, op.stamp - 5);
    struct mp m = mp_read(buf_bytes(&wire));
    if (!op_decode(&m, &back, op.stamp - 5) || !mp_done(&m)) {
        fail(h, "operation not decoded:", op_kind_name(op.kind));
        back = op;
    }
    struct context deps = {0};
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(e, "deps"), i, v) context_raise(&deps, stamp_of(v));
    bool local = stamp_actor(op.stamp) == at;
    struct seen seen = {.deps = local ? NULL : &deps, .prev = stamp_of(json_object_get(e, "prev"))};
    unsigned k =
        name_index(h->names, &h->nnames, KEYS, json_string_value(json_object_get(e, "key")));
    context_raise(&r->vv, op.stamp);
    r->keys[k] = value_apply(r->keys[k], &back, &seen, &r->vv, &s, &out);
    if (out.is_empty != (value_type(r->keys[k]) == TYPE_NONE))
        fail(h, "is_empty is wrong after", op_kind_name(op.kind));
    context_deinit(&deps);
    buf_deinit(&wire);
    buf_deinit(&room);
}

static void event_compact(struct history *h, struct region *r, json_t *e)
{
    struct context stable = {0};
    struct surroundings s = around(r);
    size_t i;
    json_t *v;
    json_array_foreach(e, i, v) context_raise(&stable, stamp_of(v));
    for (unsigned k = 0; k < h->nnames; k++) {
        bool settled;
        stamp_t newest;
        r->keys[k] =
            value_compact(r->keys[k], TYPE_NONE, bytes_of(NULL, 0), &stable, &s, &settled, &newest);
        if (settled != value_is_settled(r->keys[k]))
            fail(h, "settled is wrong for", h->names[k]);
        if (!settled && (newest == 0 || context_covers(&stable, newest)))
            fail(h, "waits for what is stable:", h->names[k]);
    }
    context_deinit(&stable);
}

static void event_join(struct history *h, struct region *r, struct region *q)
{
    struct context vv = {0};
    struct surroundings s = around(r);
    struct applied out;
    context_copy(&vv, &r->vv);
    context_join(&vv, &q->vv);
    for (unsigned k = 0; k < h->nnames; k++) {
        struct cell *theirs = NULL;
        if (q->keys[k]) {
            struct buf b = {0}, c = {0};
            value_encode(&b, q->keys[k]);
            theirs = value_decode(buf_bytes(&b), s.hash_key);
            if (theirs == NULL)
                fail(h, "state not decoded of", h->names[k]);
            else
                value_encode(&c, theirs);
            if (!bytes_eq(buf_bytes(&b), buf_bytes(&c)))
                fail(h, "state changed on the wire:", h->names[k]);
            buf_deinit(&b);
            buf_deinit(&c);
        }
        r->keys[k] = value_join(r->keys[k], &r->vv, theirs, &q->vv, &vv, &s, &out);
    }
    context_deinit(&r->vv);
    r->vv = vv;
}

/* ------------------------------------------------------------ comparing */

static bool same_text(const struct cell *c, json_t *v)
{
    struct shown s;
    struct buf room = {0};
    cell_show(c, &s);
    bool same = bytes_eq(s.text, text_of(v, &room));
    buf_deinit(&room);
    return same;
}

static bool same_map(const struct cell *key, enum type type, json_t *value)
{
    const char *name;
    json_t *v;
    if (coll_len(key, type) != json_object_size(value))
        return false;
    json_object_foreach(value, name, v)
    {
        const struct cell *e = coll_find(key, type, bytes_str(name));
        if (e == NULL || (type != TYPE_SET && !same_text(e, v)))
            return false;
        if (type == TYPE_ZSET && fabs(cell_score(e) - (double)json_integer_value(v)) > 0)
            return false;
    }
    struct order_iter it;
    const struct cell *e, *last = NULL;
    if (type != TYPE_ZSET)
        return true;
    order_iter(&it, key, type, 0);
    for (size_t rank = 0; (e = order_next(&it)) != NULL; rank++) {
        if (last && cell_score(last) > cell_score(e))
            return false;
        if (zset_rank(key, cell_name(e)) != rank)
            return false;
        last = e;
    }
    return true;
}

static bool same_list(const struct cell *key, json_t *values)
{
    size_t n = json_array_size(values);
    struct order_iter it;
    if (coll_len(key, TYPE_LIST) != n)
        return false;
    order_iter(&it, key, TYPE_LIST, 0);
    for (size_t i = 0; i < n; i++) {
        const struct cell *e = order_next(&it);
        if (e == NULL || !same_text(e, json_array_get(values, i)) ||
            coll_at(key, TYPE_LIST, i) != e)
            return false;
    }
    return true;
}

static bool same_sketch(struct history *h, const struct cell *key, json_t *value)
{
    static uint8_t ranks[HLL_REGISTERS], want[HLL_REGISTERS];
    struct buf room = {0};
    memset(want, 0, sizeof want);
    ranks_raise(want, ranks_of(h, value, &room));
    buf_deinit(&room);
    return hll_show(key, ranks) && memcmp(ranks, want, sizeof want) == 0;
}

static bool same_value(struct history *h, const struct cell *key, const char *kind, json_t *value)
{
    enum type t = value_type(key);
    if (strcmp(kind, "hll") == 0)
        return t == TYPE_HLL && same_sketch(h, key, value);
    if (t == TYPE_HLL || strcmp(type_name(t), kind) != 0)
        return false;
    if (t == TYPE_STRING) {
        struct shown s;
        struct buf room = {0};
        bool same = string_show(key, &s) && bytes_eq(s.text, text_of(value, &room));
        buf_deinit(&room);
        return same;
    }
    return t == TYPE_LIST ? same_list(key, json_array_get(value, 0)) : same_map(key, t, value);
}

static void event_show(struct history *h, struct region *r, json_t *e)
{
    struct hash128 sum = {0};
    for (unsigned k = 0; k < h->nnames; k++) {
        const struct cell *key = r->keys[k];
        json_t *want = json_object_get(e, h->names[k]);
        if (key)
            sum = hash128_add(sum, value_digest(key));
        if (want == NULL) {
            if (value_type(key) != TYPE_NONE)
                fail(h, "shows what should be gone:", h->names[k]);
            continue;
        }
        json_t *deadline = json_array_get(want, 2);
        if (!same_value(h, key, json_string_value(json_array_get(want, 0)),
                        json_array_get(want, 1)))
            fail(h, "shows another value:", h->names[k]);
        if (value_deadline(key) !=
            (json_is_null(deadline) ? DEADLINE_NEVER : json_integer_value(deadline)))
            fail(h, "shows another deadline:", h->names[k]);
    }
    if (!hash128_eq(sum, r->digest))
        fail(h, "the incremental digest is wrong", "");
    for (unsigned i = 0; i < REGIONS; i++)
        if (context_eq(&h->at[i].vv, &r->vv) && !hash128_eq(h->at[i].digest, r->digest))
            fail(h, "equal contexts, other digests", "");
}

static void event(struct history *h, json_t *line)
{
    json_int_t at = json_integer_value(json_object_get(line, "at"));
    json_t *e;
    if (at < 1 || at >= REGIONS) {
        fail(h, "no such region", "");
        return;
    }
    struct region *r = &h->at[at];
    if ((e = json_object_get(line, "apply")) != NULL)
        event_apply(h, r, (unsigned)at, e);
    else if ((e = json_object_get(line, "compact")) != NULL)
        event_compact(h, r, e);
    else if ((e = json_object_get(line, "join")) != NULL)
        event_join(h, r, &h->at[json_integer_value(e) & (REGIONS - 1)]);
    else if ((e = json_object_get(line, "show")) != NULL)
        event_show(h, r, e);
    else
        fail(h, "unknown event", "");
}

/* ------------------------------------------------------------ files */

struct counts {
    unsigned passed, failed;
};

static void finish(struct history *h, struct counts *n)
{
    if (h->seed >= 0) {
        n->passed += !h->failed;
        n->failed += h->failed;
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        for (unsigned k = 0; k < KEYS; k++)
            value_free(h->at[i].keys[k]);
        context_deinit(&h->at[i].vv);
    }
    *h = (struct history){.seed = -1};
}

static void replay(FILE *f, struct counts *n)
{
    struct history h = {.seed = -1};
    char *text = NULL;
    size_t cap = 0;
    while (getline(&text, &cap, f) > 0) {
        json_error_t error;
        json_t *line = json_loads(text, 0, &error);
        json_t *start = json_object_get(line, "history");
        if (start) {
            finish(&h, n);
            h.seed = json_integer_value(start);
        } else if (line == NULL) {
            fail(&h, "not JSON:", error.text);
        } else if (!h.failed) {
            h.line++;
            event(&h, line);
        }
        json_decref(line);
    }
    finish(&h, n);
    free(text);
}

int main(int argc, char **argv)
{
    struct counts n = {0};
    for (int i = 1; i < argc; i++) {
        FILE *f = strcmp(argv[i], "-") == 0 ? stdin : fopen(argv[i], "r");
        if (f == NULL) {
            perror(argv[i]);
            n.failed++;
            continue;
        }
        replay(f, &n);
        if (f != stdin)
            fclose(f);
    }
    printf("%u passed, %u failed\n", n.passed, n.failed);
    return n.failed > 0 || n.passed == 0;
}
