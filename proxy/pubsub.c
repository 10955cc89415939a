/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/pubsub.h"

#include "proxy/monitor.h"
#include "proxy/tracking.h"
#include "shard/events.h"
#include "shard/glob.h"

static void put_bulk(struct buf *out, struct bytes s)
{
    struct reply r = {.out = out, .resp = 2};
    reply_bulk(&r, s);
}

static struct bytes message_text(struct topics *t, const struct message *m,
                                 const struct topic *pattern)
{
    struct buf *out = &t->text;
    buf_clear(out);
    if (pattern != NULL) {
        buf_put_str(out, "*4\r\n$8\r\npmessage\r\n");
        put_bulk(out, topic_name(pattern));
    } else if (m->sharded) {
        buf_put_str(out, "*3\r\n$8\r\nsmessage\r\n");
    } else {
        buf_put_str(out, "*3\r\n$7\r\nmessage\r\n");
    }
    put_bulk(out, m->channel);
    put_bulk(out, m->text);
    return buf_bytes(out);
}

/* To one topic's sessions of this worker; remembers which other workers have some. */
static uint64_t to_topic(struct front *f, struct port *port, const struct message *m,
                         const struct topic *one)
{
    struct topics *t = &f->topics;
    for (uint32_t i = 0; one->elsewhere > 0 && i < t->workers; i++)
        t->wanted[i] |= one->others[i] > 0;
    if (one->here > 0) {
        struct bytes text = message_text(t, m, one->kind == TOPIC_PATTERN ? one : NULL);
        for (const struct listener *l = one->first; l != NULL; l = l->next)
            push_text(l->session, port, text);
    }
    return topic_count(one);
}

static uint64_t to_topics(struct front *f, struct port *port, const struct message *m)
{
    struct topics *t = &f->topics;
    uint64_t heard = 0;
    const struct topic *one = topic_find(t, m->sharded ? TOPIC_SHARD : TOPIC_CHANNEL, m->channel);
    memset(t->wanted, 0, t->workers * sizeof t->wanted[0]);
    if (one != NULL)
        heard += to_topic(f, port, m, one);
    if (m->sharded)
        return heard;
    for (one = t->first[TOPIC_PATTERN]; one != NULL; one = one->next)
        if (glob_match(topic_name(one), m->channel))
            heard += to_topic(f, port, m, one);
    return heard;
}

static struct job job_of(const struct front *f, enum job_kind kind, const struct message *m,
                         struct bytes argv[3])
{
    argv[0] = m->channel;
    argv[1] = m->text;
    argv[2] = bytes_str(m->sharded ? "s" : "");
    return (struct job){.kind = kind, .db_uid = f->db_uid, .argc = 3, .argv = argv};
}

static struct message message_of(const struct bytes *argv)
{
    return (struct message){.channel = argv[0], .text = argv[1], .sharded = argv[2].n > 0};
}

uint64_t pubsub_deliver(struct front *f, struct port *port, const struct message *m)
{
    struct topics *t = &f->topics;
    uint64_t heard = to_topics(f, port, m);
    struct bytes argv[3];
    struct job job = job_of(f, JOB_MESSAGE, m, argv);
    for (uint32_t i = 0; heard > 0 && i < t->workers; i++)
        if (t->wanted[i]) {
            courier_send(f->courier, port, i, &job, NULL, 0);
            courier_urgent(f->courier); /* before whatever follows upon PUBLISH's reply */
        }
    return heard;
}

/* One shard's links carry a channel, so that its messages stay in order. */
static void across(struct front *f, struct port *port, const struct message *m)
{
    if (!f->settings.across || f->host.publish == NULL)
        return;
    unsigned slot = hash_slot(m->channel);
    const struct front_shard *to = &f->shards[front_shard_of(f, slot)];
    uint32_t partition = slot_partition(slot, f->partitions);
    struct bytes argv[3];
    struct job job = job_of(f, JOB_ACROSS, m, argv);
    if (to->local != NULL)
        f->host.publish(f->host.arg, f, partition, m->channel, m->text, m->sharded);
    else
        courier_send(f->courier, port, to->worker, &job, NULL, 0);
}

uint64_t pubsub_publish(struct front *f, struct port *port, const struct message *m)
{
    across(f, port, m);
    return pubsub_deliver(f, port, m);
}

void pubsub_job(struct front *f, struct port *port, const struct job *job, struct reply *r)
{
    struct message m;
    switch (job->kind) {
    case JOB_LISTEN:
        topic_heard(f, job->argv);
        break;
    case JOB_TOPICS:
        topics_tell(f, port, job->argv);
        break;
    case JOB_MESSAGE:
        m = message_of(job->argv);
        (void)to_topics(f, port, &m);
        break;
    case JOB_ACROSS:
        m = message_of(job->argv);
        across(f, port, &m);
        break;
    case JOB_MONITOR:
        monitor_line(f, port, job->argv[0]);
        break;
    case JOB_TRACKING:
        tracking_job(f, port, job, r);
        break;
    default: /* JOB_SETTLED: that it is answered says that all before has been heard */
        break;
    }
}

/* ------------------------------------------------------------ events of keys */

static void event_to(struct front *f, struct port *port, const char *prefix, struct bytes what,
                     struct bytes text)
{
    struct buf *name = &f->event_name;
    buf_clear(name);
    buf_put_str(name, prefix);
    buf_put_bytes(name, what);
    (void)pubsub_deliver(f, port, &(struct message){.channel = buf_bytes(name), .text = text});
}

void pubsub_event(struct front *f, struct port *port, const char *name, struct bytes key)
{
    const struct topics *t = &f->topics;
    if (t->n[TOPIC_CHANNEL] == 0 && t->n[TOPIC_PATTERN] == 0)
        return;
    if (f->settings.events & EVENT_KEYSPACE)
        event_to(f, port, "__keyspace@0__:", key, bytes_str(name));
    if (f->settings.events & EVENT_KEYEVENT)
        event_to(f, port, "__keyevent@0__:", bytes_str(name), key);
}

/* In the order in which Redis shows them: first what A stands for, then the rest. */
static const struct {
    char letter;
    uint32_t class;
} letters[] = {
    {'g', EVENT_GENERIC},  {'$', EVENT_STRING},   {'l', EVENT_LIST},    {'s', EVENT_SET},
    {'h', EVENT_HASH},     {'z', EVENT_ZSET},     {'x', EVENT_EXPIRED}, {'e', EVENT_EVICTED},
    {'t', EVENT_STREAM},   {'d', EVENT_MODULE},   {'n', EVENT_NEW},     {'K', EVENT_KEYSPACE},
    {'E', EVENT_KEYEVENT}, {'m', EVENT_KEY_MISS},
};
#define LETTERS (sizeof letters / sizeof letters[0])

bool events_parse(struct bytes text, uint32_t *classes)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint32_t class = text.p[i] == 'A' ? (uint32_t)EVENT_ALL : 0;
        for (size_t k = 0; k < LETTERS && class == 0; k++)
            if (text.p[i] == (uint8_t)letters[k].letter)
                class = letters[k].class;
        if (class == 0)
            return false;
        sum |= class;
    }
    *classes = sum;
    return true;
}

void events_text(uint32_t classes, char out[EVENTS_TEXT_MAX])
{
    size_t n = 0;
    bool all = (classes & EVENT_ALL) == EVENT_ALL;
    if (all)
        out[n++] = 'A';
    for (size_t k = 0; k < LETTERS; k++) {
        /* Redis 7.0 shows n, too, only where A does not stand. */
        bool covered = all && (letters[k].class & (EVENT_ALL | EVENT_NEW));
        if ((classes & letters[k].class) && !covered)
            out[n++] = letters[k].letter;
    }
    out[n] = 0;
}
