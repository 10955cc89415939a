/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_TOPIC_H
#define MERIDIAN_PROXY_TOPIC_H

#include "proxy/courier.h"

/*
 * Who listens to what. A topic is a name of one kind (a channel, a pattern, a tracked prefix ...)
 * with the sessions of this worker that listen to it, and how many listen on each other worker: so
 * that whoever publishes knows at once how many will hear it, and which workers to tell.
 *
 * Workers tell each other of every change. Whoever begins to listen is answered once all have heard
 * of it (topic_settled): from then on no message is missed, wherever it is published.
 */
enum topic_kind {
    TOPIC_CHANNEL,  /* SUBSCRIBE */
    TOPIC_SHARD,    /* SSUBSCRIBE */
    TOPIC_PATTERN,  /* PSUBSCRIBE */
    TOPIC_TRACKERS, /* one topic, "": sessions that track what they read */
    TOPIC_PREFIX,   /* CLIENT TRACKING BCAST PREFIX */
    TOPIC_MONITORS, /* one topic, "": MONITOR */
    TOPIC_KINDS,
};

struct front;
struct session;
struct ask;
struct topic;

/* A session that listens to a topic. */
struct listener {
    struct listener *prev, *next;    /* of the topic, in the order they came */
    struct listener *before, *after; /* of the session and the kind, likewise */
    struct topic *topic;
    struct session *session;
};

struct topic {
    struct topic *prev, *next; /* of its kind, oldest first */
    struct listener *first, *last;
    enum topic_kind kind;
    uint32_t here, elsewhere; /* listeners of this worker, of all others */
    uint32_t *others;         /* of each worker; lies behind the name */
    size_t name_n;
    uint8_t name[];
};

static inline struct bytes topic_name(const struct topic *t)
{
    return bytes_of(t->name, t->name_n);
}

static inline uint64_t topic_count(const struct topic *t)
{
    return t == NULL ? 0 : (uint64_t)t->here + t->elsewhere;
}

/* What one session listens to; NULL in the session while it is nothing. */
struct listening {
    struct table by_name[TOPIC_KINDS];
    struct listener *first[TOPIC_KINDS], *last[TOPIC_KINDS];
    uint32_t n[TOPIC_KINDS];
};

/* All topics of one database, as one worker knows them. */
struct topics {
    struct table by_name[TOPIC_KINDS];
    struct topic *first[TOPIC_KINDS], *last[TOPIC_KINDS];
    uint32_t n[TOPIC_KINDS];
    uint32_t workers, self;
    bool *wanted; /* owned: workers that a message goes to, while it is published */
    bool untold;  /* a session has begun to listen and not all workers have been asked to confirm */
    struct buf text; /* scratch: one message */
};

void topics_init(struct topics *t, uint32_t workers, uint32_t self, struct hash_key key);
/* All sessions have gone before. */
void topics_deinit(struct topics *t);
/* NULL: nobody listens, nowhere. */
struct topic *topic_find(const struct topics *t, enum topic_kind kind, struct bytes name);

/* The session begins to listen; false when it did already. Afterwards topic_settled. */
bool topic_join(struct front *f, struct port *port, struct session *s, enum topic_kind kind,
                struct bytes name);
/* Ends; false when it did not listen. */
bool topic_leave(struct front *f, struct port *port, struct session *s, enum topic_kind kind,
                 struct bytes name);
void topic_leave_kind(struct front *f, struct port *port, struct session *s, enum topic_kind kind);
void topic_leave_all(struct front *f, struct port *port, struct session *s);
uint32_t session_listens(const struct session *s, enum topic_kind kind);

/* After topic_join: what the session is answered from here on waits until all workers know. */
void topic_settled(struct ask *a);
/* A worker tells how many of its sessions listen (JOB_LISTEN): argv as topic.c sends them. */
void topic_heard(struct front *f, const struct bytes *argv);
/* A front is new: the others tell it what their sessions listen to. */
void topics_ask(struct front *f, struct port *port);
/* Answers that for the worker at argv[0]. */
void topics_tell(struct front *f, struct port *port, const struct bytes *argv);

#endif
