/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_EVENTS_H
#define MERIDIAN_SHARD_EVENTS_H

#include "shard/keys.h"

/*
 * Keyspace notifications: what happened to a key, said by the command that did it.
 * https://redis.io/docs/latest/develop/use/keyspace-notifications/ (classes and names of events)
 */
enum event_class {
    EVENT_GENERIC = 1,     /* g: del expire rename_from ... */
    EVENT_STRING = 2,      /* $ */
    EVENT_LIST = 4,        /* l */
    EVENT_SET = 8,         /* s */
    EVENT_HASH = 16,       /* h */
    EVENT_ZSET = 32,       /* z */
    EVENT_EXPIRED = 64,    /* x */
    EVENT_EVICTED = 128,   /* e */
    EVENT_STREAM = 256,    /* t */
    EVENT_KEY_MISS = 512,  /* m: not part of A */
    EVENT_MODULE = 1024,   /* d: never sent, accepted in the setting */
    EVENT_NEW = 2048,      /* n: not part of A */
    EVENT_KEYSPACE = 4096, /* K: __keyspace@0__:<key> */
    EVENT_KEYEVENT = 8192, /* E: __keyevent@0__:<event> */
};
#define EVENT_ALL                                                                                  \
    (EVENT_GENERIC | EVENT_STRING | EVENT_LIST | EVENT_SET | EVENT_HASH | EVENT_ZSET |             \
     EVENT_EXPIRED | EVENT_EVICTED | EVENT_STREAM | EVENT_MODULE)

/* What every shard begins with: the classes that shard_set_events asked for. */
struct shard_wants {
    uint32_t events;
};

/* Tells whoever asked of one event; `name` is Redis' ("lpush"). Call it after the change, once per
 * key and event. Cheap when nobody asked. */
void key_event_send(struct call *c, enum event_class class, const char *name, struct bytes key);
static inline void key_event(struct call *c, enum event_class class, const char *name,
                             struct bytes key)
{
    const struct shard_wants *wants = (const void *)c->shard;
    if (__builtin_expect((wants->events & (uint32_t) class) != 0, 0))
        key_event_send(c, class, name, key);
}
/* After a removal of elements: where none is left, the key is gone, and "del" follows. */
void key_event_left(struct call *c, enum event_class class, const char *name, const struct key *k);

#endif
