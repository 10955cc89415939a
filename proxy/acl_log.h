/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_ACL_LOG_H
#define MERIDIAN_PROXY_ACL_LOG_H

#include "base/port.h"
#include "shard/reply.h"

/*
 * ACL LOG: what was refused lately, newest first; what happens again within a minute counts up. The
 * catalog's owner keeps the whole database's; other workers collect for a tick and hand over.
 */
enum acl_reason { ACL_LOG_COMMAND, ACL_LOG_KEY, ACL_LOG_CHANNEL, ACL_LOG_AUTH };
enum acl_context { ACL_AT_TOPLEVEL, ACL_IN_MULTI, ACL_IN_SCRIPT };

struct acl_event {
    enum acl_reason reason;
    enum acl_context context;
    uint64_t count;
    int64_t wall_ms;                   /* of the last time */
    struct bytes object, user, client; /* what was refused, to whom; a line of CLIENT LIST */
};

struct acl_log_entry;
struct acl_log {
    struct acl_log_entry *first; /* owned */
    uint32_t n;
};

#define ACL_LOG_OBJECT_MAX 1024u /* longer ones are cut */

/* At most `max` entries are kept. Copies. */
void acl_log_add(struct acl_log *l, const struct acl_event *e, uint32_t max);
void acl_log_clear(struct acl_log *l);
/* ACL LOG's reply: up to `count` entries. */
void acl_log_reply(const struct acl_log *l, uint64_t count, int64_t wall_ms, struct reply *r);
/* Bytes from one worker to another, of all entries; and back into a log there. */
void acl_log_put(const struct acl_log *l, struct buf *out);
void acl_log_take(struct acl_log *l, struct bytes in, uint32_t max);

#endif
