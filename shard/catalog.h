/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CATALOG_H
#define MERIDIAN_SHARD_CATALOG_H

#include "base/bytes.h"
#include "base/port.h"

/*
 * The catalog: settings of a whole database that all its regions share, last writer wins: users,
 * function libraries, scripts. It lies in a hidden partition of its own, numbered one beyond the
 * last; no key's slot leads there. The shard that owns the last partition owns it too (its
 * `shard_opts.count` is one more), so that shipping, contexts, claims, state transfer, digests and
 * compaction treat it as any other. There is one hash per kind; a field is an entry. Commands on
 * keys, SCAN, DBSIZE, FLUSHALL, expiry see nothing of it.
 *
 * An entry that is set in one region and removed in another at the same time stays.
 */
enum catalog_kind { CATALOG_USERS, CATALOG_LIBRARIES, CATALOG_SCRIPTS, CATALOG_KINDS };

#define CATALOG_NAME_MAX 512u
#define CATALOG_VALUE_MAX (1u << 20)
#define CATALOG_ENTRIES_MAX 10000u      /* of a kind */
#define CATALOG_BYTES_MAX (64ull << 20) /* names and values of a kind */

struct catalog_change {
    enum catalog_kind kind;
    bool removed;
    struct bytes name, value; /* borrowed */
};

struct shard;

/* True when the hidden partition is this shard's; the other calls are for such a shard only. */
bool shard_has_catalog(const struct shard *s);
/* Makes all changes in one go, or none. NULL: done; else an error for the client, with its code.
 * shard_opts.catalog is told of each change before this returns. */
const char *shard_catalog_write(struct shard *s, const struct catalog_change *changes, size_t n,
                                struct moment now);
/* The same for one entry. */
const char *shard_catalog_set(struct shard *s, enum catalog_kind kind, struct bytes name,
                              struct bytes value, struct moment now);
const char *shard_catalog_del(struct shard *s, enum catalog_kind kind, struct bytes name,
                              struct moment now);
/* False: no such entry. The value is the caller's to free (appended to `value`). */
bool shard_catalog_get(const struct shard *s, enum catalog_kind kind, struct bytes name,
                       struct buf *value);
/* Visits the entries of a kind in no useful order. The callback must not write. */
void shard_catalog_each(const struct shard *s, enum catalog_kind kind,
                        void (*visit)(void *arg, struct bytes name, struct bytes value), void *arg);

#endif
