/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/pubsub.h"
#include "worker/inside.h"

/* Between a shard and the clients of its database: messages, events of keys, ends of waits. */

void member_event(void *arg, uint32_t class, const char *name, struct bytes key)
{
    const struct member *m = arg;
    const struct database *d = m->database;
    (void)class;
    if (d->front != NULL)
        pubsub_event(d->front, d->worker->port, name, key);
}

uint64_t member_publish(void *arg, struct bytes channel, struct bytes text, bool sharded)
{
    const struct member *m = arg;
    const struct database *d = m->database;
    if (d->front == NULL)
        return 0;
    return pubsub_publish(d->front, d->worker->port,
                          &(struct message){.channel = channel, .text = text, .sharded = sharded});
}

void member_unblocked(void *arg, uint64_t session, struct bytes reply)
{
    const struct member *m = arg;
    front_unblocked(m->database->front, m->database->worker->port, session, reply);
}
