/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_PUBSUB_H
#define MERIDIAN_PROXY_PUBSUB_H

#include "proxy/push.h"

/*
 * Publish and subscribe: https://redis.io/docs/latest/develop/interact/pubsub/
 * A message reaches every subscriber of this region once, on whatever worker it was published; and,
 * at most once, those of the other regions (front_host.publish). Nothing is kept.
 */
struct message {
    struct bytes channel, text;
    bool sharded; /* SPUBLISH: to SSUBSCRIBE's subscribers only */
};

/* PUBLISH: to all workers and regions. Returns how many sessions of this region hear it. */
uint64_t pubsub_publish(struct front *f, struct port *port, const struct message *m);
/* To this region's subscribers only: from another region, or an event of a key. */
uint64_t pubsub_deliver(struct front *f, struct port *port, const struct message *m);
/* What another worker's pubsub.c, topic.c, monitor.c or tracking.c sent: JOB_LISTEN to
 * JOB_TRACKING. */
void pubsub_job(struct front *f, struct port *port, const struct job *job, struct reply *r);

/* What happened to a key: as the setting says to __keyspace@0__: and __keyevent@0__: channels. */
void pubsub_event(struct front *f, struct port *port, const char *name, struct bytes key);

/* notify-keyspace-events: letters to enum event_class bits; false: an unknown letter. */
bool events_parse(struct bytes text, uint32_t *classes);
#define EVENTS_TEXT_MAX 20u
/* The other way, in Redis' order. */
void events_text(uint32_t classes, char out[EVENTS_TEXT_MAX]);

#endif
