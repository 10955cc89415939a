/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/measure.h"
#include "proxy/monitor.h"
#include "proxy/pubsub.h"
#include "proxy/tracking.h"
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

void member_unblocked(void *arg, uint64_t session, const struct unblocked *end)
{
    const struct member *m = arg;
    struct front *f = m->database->front;
    if (end->failed)
        measure_late(f, end->command, end->reply);
    front_unblocked(f, m->database->worker->port, session, end->reply);
}

void member_heard(void *arg, const struct syncer_message *m)
{
    const struct member *member = arg;
    const struct database *d = member->database;
    if (d->front == NULL || d->config.messages_stay)
        return;
    struct message message = {.channel = m->channel, .text = m->text, .sharded = m->sharded};
#ifdef MUTANT_messages_passed_on
    (void)pubsub_publish(d->front, d->worker->port, &message);
#else
    (void)pubsub_deliver(d->front, d->worker->port, &message);
#endif
}

void publish_across(void *worker, struct front *f, uint32_t partition, struct bytes channel,
                    struct bytes text, bool sharded)
{
    struct database *d = database_find(worker, f->db_uid);
    struct member *m = d != NULL ? database_member(d, partition) : NULL;
    if (m != NULL && m->syncer != NULL)
        syncer_publish(
            m->syncer, partition,
            &(struct syncer_message){.channel = channel, .text = text, .sharded = sharded});
}

void member_read(void *arg, const struct call *c)
{
    const struct member *m = arg;
    tracking_read(m->database->front, c);
}

void member_changed(void *arg, struct bytes key, uint64_t session)
{
    const struct member *m = arg;
    if (m->database->front != NULL)
        tracking_changed(m->database->front, key, session);
}

uint64_t member_lacking(void *arg, uint32_t partition, stamp_t stamp)
{
    const struct member *m = arg;
    struct worker *w = m->database->worker;
    return stats_peers(w, m->database->front) &
           ~stats_have(w, m->database->front, partition, stamp, true);
}

void member_show(void *arg, const struct call *c)
{
    const struct member *m = arg;
    measure_script(m->database->front, c);
    if (m->database->front->monitored)
        monitor_script(m->database->front, m->database->worker->port, c);
}

void member_verified(void *arg, uint64_t ticket, struct bytes records)
{
    const struct member *m = arg;
    front_compared(m->database->front, m->database->worker->port, ticket, records);
}
