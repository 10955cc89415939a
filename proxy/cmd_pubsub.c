/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/pubsub.h"
#include "shard/glob.h"

#include <stdlib.h>

/* SUBSCRIBE and its kin: https://redis.io/docs/latest/commands/?group=pubsub. PUBLISH and SPUBLISH
 * run on a shard (shard/cmd_pubsub.c). */

static const struct {
    const char *begin, *end;
} words[TOPIC_KINDS] = {
    [TOPIC_CHANNEL] = {"subscribe", "unsubscribe"},
    [TOPIC_PATTERN] = {"psubscribe", "punsubscribe"},
    [TOPIC_SHARD] = {"ssubscribe", "sunsubscribe"},
};

/* Shard channels are counted apart from channels and patterns. */
static int64_t count_of(const struct session *s, enum topic_kind kind)
{
    if (kind == TOPIC_SHARD)
        return session_listens(s, TOPIC_SHARD);
    return (int64_t)session_listens(s, TOPIC_CHANNEL) + session_listens(s, TOPIC_PATTERN);
}

/* Each channel is confirmed by a push of its own, which CLIENT REPLY OFF does not silence. */
static void confirm(struct ask *a, enum topic_kind kind, const char *word, const struct bytes *name)
{
    struct session *s = a->session;
    struct buf *out = a->in_exec ? a->reply.out : push_begin(s, a->port);
    if (out == NULL)
        return;
    struct reply r = {.out = out, .resp = s->resp};
    reply_push(&r, 3);
    reply_bulk_str(&r, word);
    if (name != NULL)
        reply_bulk(&r, *name);
    else
        reply_nil(&r);
    reply_int(&r, count_of(s, kind));
}

static void begin(struct ask *a, enum topic_kind kind)
{
    for (uint32_t i = 1; i < a->argc; i++) {
        (void)topic_join(a->front, a->port, a->session, kind, a->argv[i]);
        confirm(a, kind, words[kind].begin, &a->argv[i]);
    }
    topic_settled(a);
}

static void end_all(struct ask *a, enum topic_kind kind)
{
    struct session *s = a->session;
    struct buf name = {0};
    if (session_listens(s, kind) == 0)
        confirm(a, kind, words[kind].end, NULL);
    while (session_listens(s, kind) > 0) {
        buf_clear(&name);
        buf_put_bytes(&name, topic_name(s->listening->first[kind]->topic));
        struct bytes left = buf_bytes(&name);
        topic_leave(a->front, a->port, s, kind, left);
        confirm(a, kind, words[kind].end, &left);
    }
    buf_deinit(&name);
}

static void end(struct ask *a, enum topic_kind kind)
{
    if (a->argc == 1)
        end_all(a, kind);
    for (uint32_t i = 1; i < a->argc; i++) {
        (void)topic_leave(a->front, a->port, a->session, kind, a->argv[i]);
        confirm(a, kind, words[kind].end, &a->argv[i]);
    }
}

static void subscribe(struct ask *a) { begin(a, TOPIC_CHANNEL); }
static void psubscribe(struct ask *a) { begin(a, TOPIC_PATTERN); }
static void ssubscribe(struct ask *a) { begin(a, TOPIC_SHARD); }
static void unsubscribe(struct ask *a) { end(a, TOPIC_CHANNEL); }
static void punsubscribe(struct ask *a) { end(a, TOPIC_PATTERN); }
static void sunsubscribe(struct ask *a) { end(a, TOPIC_SHARD); }

/* ------------------------------------------------------------ PUBSUB */

static int by_name(const void *a, const void *b)
{
    const struct topic *const *x = a, *const *y = b;
    return bytes_cmp(topic_name(*x), topic_name(*y));
}

static void list(struct ask *a, enum topic_kind kind)
{
    const struct topics *t = &a->front->topics;
    if (a->argc > 3) {
        reply_errorf(&a->reply,
                     "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB "
                     "HELP.",
                     (int)(a->argv[1].n < 128 ? a->argv[1].n : 128), (const char *)a->argv[1].p);
        return;
    }
    const struct topic **found = mem_alloc((t->n[kind] + 1) * sizeof(struct topic *));
    size_t n = 0;
    for (const struct topic *one = t->first[kind]; one != NULL; one = one->next)
        if (a->argc == 2 || glob_match(a->argv[2], topic_name(one)))
            found[n++] = one;
    qsort(found, n, sizeof(struct topic *), by_name);
    reply_array(&a->reply, n);
    for (size_t i = 0; i < n; i++)
        reply_bulk(&a->reply, topic_name(found[i]));
    mem_free(found);
}

static void count(struct ask *a, enum topic_kind kind)
{
    reply_array(&a->reply, (a->argc - 2) * 2);
    for (uint32_t i = 2; i < a->argc; i++) {
        reply_bulk(&a->reply, a->argv[i]);
        reply_int(&a->reply, (int64_t)topic_count(topic_find(&a->front->topics, kind, a->argv[i])));
    }
}

static void pubsub_channels(struct ask *a) { list(a, TOPIC_CHANNEL); }
static void pubsub_shardchannels(struct ask *a) { list(a, TOPIC_SHARD); }
static void pubsub_numsub(struct ask *a) { count(a, TOPIC_CHANNEL); }
static void pubsub_shardnumsub(struct ask *a) { count(a, TOPIC_SHARD); }

static void pubsub_numpat(struct ask *a)
{
    reply_int(&a->reply, a->front->topics.n[TOPIC_PATTERN]);
}

static void pubsub_help(struct ask *a)
{
    static const char *const lines[] = {
        "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        "HELP",
        "    Prints this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_pubsub_commands[] = {
    {"subscribe", subscribe, SESSION_SUBSCRIBED},
    {"psubscribe", psubscribe, SESSION_SUBSCRIBED},
    {"ssubscribe", ssubscribe, SESSION_SUBSCRIBED},
    {"unsubscribe", unsubscribe, SESSION_SUBSCRIBED},
    {"punsubscribe", punsubscribe, SESSION_SUBSCRIBED},
    {"sunsubscribe", sunsubscribe, SESSION_SUBSCRIBED},
    {"pubsub|channels", pubsub_channels, 0},
    {"pubsub|help", pubsub_help, 0},
    {"pubsub|numpat", pubsub_numpat, 0},
    {"pubsub|numsub", pubsub_numsub, 0},
    {"pubsub|shardchannels", pubsub_shardchannels, 0},
    {"pubsub|shardnumsub", pubsub_shardnumsub, 0},
    {NULL, NULL, 0},
};
