/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/lzf.h"
#include "rdb/rdb.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void count_item(void *arg, const struct rdb_item *item)
{
    uint64_t *n = arg;
    for (size_t i = 0; i < item->npairs * 2; i++)
        must(item->pairs[i].n <= RDB_TEXT_MAX);
    ++*n;
}

static void write_on(void *arg, const struct rdb_item *item) { rdb_write_item(arg, item); }

/* Packs and texts on their own. */
static void parts(struct bytes in)
{
    struct pack p;
    struct pack_item item;
    size_t n, again;
    for (enum pack_form form = PACK_LISTPACK; form <= PACK_ZIPMAP; form++) {
        if (!pack_open(&p, form, in, &n))
            continue;
        for (again = 0; pack_next(&p, &item); again++)
            must(item.text.n <= in.n || item.is_number);
        must(again == n);
    }
    if (in.n > 0 && in.n < 65536) {
        uint8_t *packed = malloc(in.n * 2), *back = malloc(in.n);
        n = lzf_compress(in, packed, in.n * 2);
        must(in.n < 4 || (n > 0 && lzf_expand(bytes_of(packed, n), back, in.n)));
        must(n == 0 || memcmp(back, in.p, in.n) == 0);
        lzf_expand(in, back, in.n);
        free(packed);
        free(back);
    }
}

/* A code and a value: what can be read is written, and reads the same items again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = bytes_of(data, size);
    uint8_t code = fuzz_byte(&all);
    enum rdb_type type, other;
    struct rdb_in in = rdb_in(all);
    parts(all);
    if (rdb_read(&in, code, &type, NULL, NULL) != RDB_OK)
        return 0;
    must(in.p <= all.p + all.n);
    uint64_t n = 0, written = 0;
    struct buf out = {0};
    struct rdb_writer w;
    in = rdb_in(all);
    must(rdb_read(&in, code, &type, count_item, &n) == RDB_OK);
    rdb_write_begin(&w, &out, type, n, &RDB_LIMITS_DEFAULT);
    in = rdb_in(all);
    must(rdb_read(&in, code, &type, write_on, &w) == RDB_OK);
    code = rdb_write_end(&w);
    in = rdb_in(buf_bytes(&out));
    must(rdb_read(&in, code, &other, count_item, &written) == RDB_OK);
    must(in.p == in.end && other == type);
    must(type == RDB_SET ? written <= n : written == n); /* one number twice is written once */
    buf_deinit(&out);
    return 0;
}
