/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "rdb/crc64.h"
#include "rdb/expiring.h"
#include "rdb/file.h"
#include "tests/fuzz/fuzz.h"

/* What a reading has come to: every record, and how it ended. */
struct seen {
    enum rdb_file_result end;
    uint64_t records, sum;
};

static uint64_t add(uint64_t sum, struct bytes s) { return crc64(sum * 31 + s.n + 1, s); }

static void look(struct seen *seen, const struct rdb_record *r, struct buf *payload)
{
    struct bytes body;
    enum rdb_type type;
    const uint64_t numbers[] = {r->kind, r->at,   r->code, r->first, r->last,
                                r->n,    r->more, r->db,   r->items, (uint64_t)r->deadline};
    seen->records++;
    seen->sum = add(seen->sum, r->name);
    seen->sum = add(add(seen->sum, r->head), r->body);
    seen->sum = add(seen->sum, bytes_of(numbers, sizeof numbers));
    if (r->kind != RDB_RECORD_KEY || r->head.n + r->body.n > (1u << 20))
        return;
    buf_clear(payload);
    rdb_record_payload(r, payload);
    must(rdb_payload_open(buf_bytes(payload), &body));
    must(body.n == 1 + r->head.n + r->body.n);
    struct rdb_in in = rdb_in(bytes_of(body.p + 1, body.n - 1));
    rdb_read(&in, r->code, &type, NULL, NULL); /* malformed or not: it must not break */
    if (rdb_code_is_expiring(r->code) && r->first && r->last) {
        struct rdb_expiring told;
        buf_clear(payload);
        if (rdb_expiring_plain(r->code, r->body, 1000, payload, &told) == RDB_OK &&
            told.fields > 0) {
            in = rdb_in(buf_bytes(payload));
            must(rdb_read(&in, RDB_CODE_HASH, &type, NULL, NULL) == RDB_OK && in.p == in.end);
        }
    }
}

static struct seen read_file(struct bytes file, size_t piece, size_t part_bytes)
{
    struct rdb_file f;
    struct rdb_record r;
    struct seen seen = {0};
    struct buf payload = {0};
    rdb_file_init(&f, &(struct rdb_file_limits){.part_bytes = part_bytes,
                                                .stream_bytes = part_bytes,
                                                .value_max = 64u << 20});
    for (;;) {
        seen.end = rdb_file_next(&f, &r);
        if (seen.end == RDB_FILE_RECORD) {
            look(&seen, &r, &payload);
            continue;
        }
        if (seen.end != RDB_FILE_MORE || file.n == 0)
            break;
        size_t n = file.n < piece ? file.n : piece;
        rdb_file_push(&f, bytes_of(file.p, n));
        file = bytes_of(file.p + n, file.n - n);
    }
    if (seen.end == RDB_FILE_BAD)
        must(rdb_file_why(&f)[0] != 0);
    else if (seen.end == RDB_FILE_END)
        must(rdb_file_rest(&f).n <= piece);
    rdb_file_deinit(&f);
    buf_deinit(&payload);
    return seen;
}

/* However it comes, the same is read. The first byte chooses the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = bytes_of(data, size);
    size_t piece = 1 + (size_t)fuzz_byte(&all);
    struct seen whole = read_file(all, all.n + 1, 0);
    struct seen pieces = read_file(all, piece, 0);
    must(whole.records == pieces.records && whole.sum == pieces.sum && whole.end == pieces.end);
    whole = read_file(all, all.n + 1, 64);
    pieces = read_file(all, piece, 64);
    must(whole.records == pieces.records && whole.sum == pieces.sum && whole.end == pieces.end);
    return 0;
}
