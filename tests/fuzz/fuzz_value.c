/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/apply.h"
#include "crdt/stream.h"
#include "tests/fuzz/fuzz.h"

static const struct hash_key key = {.k0 = 1, .k1 = 2};

/* A stream's entries in both directions, and all its groups with what is in them. */
static void look_at_stream(const struct cell *c)
{
    struct stream_iter up, down;
    struct stream_entry e;
    struct stream_info info;
    struct stream_group g;
    size_t rank = 0, entries = 0;
    stream_info(c, &info);
    stream_range(&up, c, (struct stream_id){0}, STREAM_ID_MAX, false);
    stream_range(&down, c, (struct stream_id){0}, STREAM_ID_MAX, true);
    for (; stream_next(&up, &e); entries++) {
        size_t n = 2 * stream_fields(&e.fields);
        while (n-- > 0)
            stream_field_take(&e.fields);
        must(e.fields.n == 0 && stream_entry_find(c, e.id, e.region, &e));
    }
    must(entries == stream_len(c) && down.left == entries);
    while (stream_next(&down, &e))
        entries--;
    must(entries == 0);
    while (stream_group_next(c, &rank, &g)) {
        struct buf prefix = {0};
        struct stream_walk w;
        struct stream_consumer consumer;
        struct stream_pending p;
        int64_t read, lag;
        stream_group_prefix(&prefix, g.name);
        must(stream_group(c, g.name, &g));
        stream_progress(c, &info, &g, &read, &lag);
        stream_consumers(&w, c, buf_bytes(&prefix));
        while (stream_consumer_next(&w, &consumer))
            must(stream_consumer_find(c, buf_bytes(&prefix), consumer.name, &consumer));
        stream_pendings(&w, c, buf_bytes(&prefix), (struct stream_id){0});
        while (stream_pending_next(&w, &p))
            must(stream_pending_find(c, buf_bytes(&prefix), p.id, p.region, &p));
        buf_deinit(&prefix);
    }
}

/* Looks at everything a command could look at. */
static void look(const struct cell *c)
{
    struct shown shown;
    value_type(c);
    value_deadline(c);
    value_memory(c);
    value_encoding(c);
    value_is_settled(c);
    string_show(c, &shown);
    look_at_stream(c);
    for (enum type t = TYPE_STREAM; t <= TYPE_LIST; t++) {
        struct coll_iter it;
        size_t n = 0;
        coll_iter(&it, c, t);
        for (const struct cell *e; (e = coll_next(&it)) != NULL; n++) {
            must(coll_find(c, t, cell_name(e)) == e);
            cell_show(e, &shown);
        }
        must(n == coll_len(c, t));
    }
}

/* A key's state as it comes from a peer: reading, writing and reading give the same; and so do
 * joining it with what is here and compacting, which must not fail on anything that reading let
 * through. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size), theirs;
    struct hash128 digest = {0};
    struct surroundings s = {.digest = &digest, .hash_key = key};
    struct context mine = {0}, all = {0};
    struct applied applied;
    size_t n = fuzz_byte(&in) * 256u;
    theirs = fuzz_take(&in, n + fuzz_byte(&in));
    struct cell *a = value_decode(theirs, key), *b = value_decode(in, key);
    struct buf one = {0}, two = {0};
    if (b != NULL) {
        look(b);
        value_encode(&one, b);
        struct cell *again = value_decode(buf_bytes(&one), key);
        must(again != NULL);
        value_encode(&two, again);
        must(bytes_eq(buf_bytes(&one), buf_bytes(&two)));
        must(hash128_eq(value_digest(b), value_digest(again)));
        value_free(again);
    }
    if (a != NULL && b != NULL && bytes_eq(cell_name(a), cell_name(b))) {
        context_raise(&mine, stamp_make(1000, 0, 1));
        context_raise(&all, stamp_make(UINT64_C(1) << 40, 0, 1));
        digest = value_digest(a);
        a = value_join(a, &mine, b, &mine, &all, &s, &applied);
        b = NULL;
    }
    if (a != NULL) {
        bool settled;
        stamp_t newest;
        look(a);
        digest = value_digest(a);
        a = value_compact(a, TYPE_NONE, bytes_of(NULL, 0), &all, &s, &settled, &newest);
        must(hash128_eq(digest, value_digest(a)));
    }
    value_free(a);
    value_free(b);
    context_deinit(&mine);
    context_deinit(&all);
    buf_deinit(&one);
    buf_deinit(&two);
    return 0;
}
