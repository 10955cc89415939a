/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_EXPIRING_H
#define MERIDIAN_RDB_EXPIRING_H

#include "rdb/rdb.h"

/*
 * Hashes whose fields expire, as values of plain ones: fields cannot expire here.
 *
 *   HASH_EXPIRING           earliest:8 count (wait field value)..     wait 0: never; else the
 * field's deadline is earliest + wait - 1 HASH_EXPIRING_LISTPACK  earliest:8 listpack of (field,
 * value, deadline)..        0: never HASH_EXPIRING_VALKEY    count (field value deadline:8).. -1:
 * never
 *
 * Deadlines are Unix ms.
 */
struct rdb_expiring {
    uint64_t fields; /* written */
    uint64_t lost;   /* of them, those whose deadline is left out */
    uint64_t gone;   /* not written: their deadline is past */
};

bool rdb_code_is_expiring(uint8_t code);

/* Appends a value of RDB_CODE_HASH with the fields of `value`, but for those whose deadline is not
 * after `now_ms`. RDB_OK with told->fields 0: nothing is left, and nothing was appended. Any other
 * result: malformed, `out` is as it was. */
enum rdb_result rdb_expiring_plain(uint8_t code, struct bytes value, int64_t now_ms,
                                   struct buf *out, struct rdb_expiring *told);

#endif
