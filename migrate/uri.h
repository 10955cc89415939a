/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_URI_H
#define MERIDIAN_MIGRATE_URI_H

#include "base/bytes.h"

/*
 * Where a source is:  redis://[[user]:password@]host[:port][/database], rediss:// with TLS; or
 * host:port alone. User and password may be percent-encoded; addresses of IPv6 stand in [].
 * Behind it ?option&option: drop-field-ttl (hashes whose fields expire: without those deadlines),
 * skip-failed (what the target refuses is counted, and it goes on), insecure (rediss: any
 * certificate is taken).
 * https://www.iana.org/assignments/uri-schemes/prov/redis
 */
struct redis_uri {
    bool tls;
    char host[256];
    uint16_t port; /* 6379 where none is given */
    char user[128], password[512];
    int64_t db;
    bool drop_field_ttl, skip_failed, insecure;
};

/* False: *why tells what is wrong (static text). */
bool redis_uri_read(const char *text, struct redis_uri *out, const char **why);
/* The same without its secrets: "redis://user@host:port/db". */
void redis_uri_show(const struct redis_uri *u, char *out, size_t size);

#endif
