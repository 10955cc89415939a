/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/expiring.h"

bool rdb_code_is_expiring(uint8_t code)
{
    return code == RDB_CODE_HASH_EXPIRING || code == RDB_CODE_HASH_EXPIRING_LISTPACK ||
           code == RDB_CODE_HASH_EXPIRING_VALKEY;
}

struct plain {
    int64_t now_ms;
    struct buf fields; /* owned: texts */
    struct rdb_expiring told;
};

/* deadline -1: never */
static void give(struct plain *p, struct bytes name, struct bytes value, int64_t deadline)
{
    if (deadline >= 0 && deadline <= p->now_ms) {
        p->told.gone++;
        return;
    }
    rdb_put_text(&p->fields, name);
    rdb_put_text(&p->fields, value);
    p->told.fields++;
    p->told.lost += deadline >= 0;
}

static int64_t late(uint64_t earliest, uint64_t wait)
{
    uint64_t at = earliest + wait - 1;
    return wait == 0 ? -1 : at > INT64_MAX || at < earliest ? INT64_MAX : (int64_t)at;
}

static void read_table(struct plain *p, struct rdb_in *in, bool valkey)
{
    struct rdb_text name, value;
    uint64_t earliest = valkey ? 0 : rdb_read_fixed(in, 8), n = rdb_read_length(in);
    for (uint64_t i = 0; i < n && in->fault == RDB_OK; i++) {
        uint64_t wait = valkey ? 0 : rdb_read_length(in);
        if (!rdb_read_text(in, &name))
            break;
        if (rdb_read_text(in, &value)) {
            int64_t at = valkey ? (int64_t)rdb_read_fixed(in, 8) : late(earliest, wait);
            if (in->fault == RDB_OK)
                give(p, name.text, value.text, at);
            rdb_text_free(&value);
        }
        rdb_text_free(&name);
    }
}

static void read_listpack(struct plain *p, struct rdb_in *in)
{
    struct pack pack;
    struct pack_item name, value, at;
    struct rdb_text t;
    size_t n;
    rdb_read_fixed(in, 8);
    if (!rdb_read_text(in, &t))
        return;
    if (!pack_open(&pack, PACK_LISTPACK, t.text, &n) || n % 3 != 0)
        rdb_bad(in, RDB_BAD);
    while (in->fault == RDB_OK && pack_next(&pack, &name) && pack_next(&pack, &value) &&
           pack_next(&pack, &at)) {
        if (!at.is_number || at.number < 0)
            rdb_bad(in, RDB_BAD);
        else
            give(p, name.text, value.text, at.number == 0 ? -1 : at.number);
    }
    rdb_text_free(&t);
}

enum rdb_result rdb_expiring_plain(uint8_t code, struct bytes value, int64_t now_ms,
                                   struct buf *out, struct rdb_expiring *told)
{
    struct plain p = {.now_ms = now_ms};
    struct rdb_in in = rdb_in(value);
    if (code == RDB_CODE_HASH_EXPIRING_LISTPACK)
        read_listpack(&p, &in);
    else
        read_table(&p, &in, code == RDB_CODE_HASH_EXPIRING_VALKEY);
    if (in.fault == RDB_OK && (in.p != in.end || p.told.fields + p.told.gone == 0))
        rdb_bad(&in, RDB_BAD);
    if (in.fault == RDB_OK && p.told.fields > 0) {
        rdb_put_length(out, p.told.fields);
        buf_put_bytes(out, buf_bytes(&p.fields));
    }
    *told = in.fault == RDB_OK ? p.told : (struct rdb_expiring){0};
    buf_deinit(&p.fields);
    return in.fault;
}
