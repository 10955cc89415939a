/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/* PUBLISH and SPUBLISH run on a shard, any shard, so that transactions and scripts can publish. The
 * others concern the session: the proxy runs them. */

static void publish(struct call *c)
{
    reply_int(c->reply, (int64_t)call_publish(c, c->argv[1], c->argv[2], false));
}

static void spublish(struct call *c)
{
    reply_int(c->reply, (int64_t)call_publish(c, c->argv[1], c->argv[2], true));
}

/* A shard channel is no key: whatever shard runs SPUBLISH, its message gets there. */
static unsigned no_keys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    (void)argc;
    (void)argv;
    (void)at;
    (void)max;
    return 0;
}

#define LISTEN (CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING)
#define SHOW (CMD_PUBSUB | CMD_LOADING)
#define SEND (CMD_PUBSUB | CMD_LOADING | CMD_FAST)

const struct command cmd_pubsub_table[] = {
    {"psubscribe", -2, LISTEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.0.0",
     "O(N) with N the number of patterns", "Receives the messages of channels that match",
     "pattern [pattern ...]"},
    {"publish", 3, SEND, 0, 0, 0, AT_SHARD, MERGE_NONE, publish, NULL, "pubsub", "2.0.0",
     "O(N+M) with N the channel's subscribers and M the subscribed patterns",
     "Sends a message to a channel, in all regions", "channel message"},
    {"pubsub", -2, CMD_CONTAINER, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.8.0",
     "that of the subcommand", "Shows channels and subscriptions", ""},
    {"pubsub|channels", -2, SHOW, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.8.0",
     "O(N) with N the number of channels", "Returns the channels that are subscribed to",
     "[pattern]"},
    {"pubsub|help", 2, CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "6.2.0",
     "O(1)", "Explains the subcommands of PUBSUB", ""},
    {"pubsub|numpat", 2, SHOW, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.8.0",
     "O(1)", "Returns how many patterns are subscribed to", ""},
    {"pubsub|numsub", -2, SHOW, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.8.0",
     "O(N) with N the number of channels asked for", "Returns how many subscribers channels have",
     "[channel [channel ...]]"},
    {"pubsub|shardchannels", -2, SHOW, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub",
     "7.0.0", "O(N) with N the number of shard channels",
     "Returns the shard channels that are subscribed to", "[pattern]"},
    {"pubsub|shardnumsub", -2, SHOW, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "7.0.0",
     "O(N) with N the number of shard channels asked for",
     "Returns how many subscribers shard channels have", "[shardchannel [shardchannel ...]]"},
    {"punsubscribe", -1, LISTEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.0.0",
     "O(N) with N the number of patterns", "Ends subscriptions to patterns",
     "[pattern [pattern ...]]"},
    {"spublish", 3, SEND, 1, 1, 1, AT_SHARD, MERGE_NONE, spublish, no_keys, "pubsub", "7.0.0",
     "O(N) with N the channel's subscribers", "Sends a message to a shard channel, in all regions",
     "shardchannel message"},
    {"ssubscribe", -2, LISTEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "7.0.0",
     "O(N) with N the number of channels", "Receives the messages of shard channels",
     "shardchannel [shardchannel ...]"},
    {"subscribe", -2, LISTEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.0.0",
     "O(N) with N the number of channels", "Receives the messages of channels",
     "channel [channel ...]"},
    {"sunsubscribe", -1, LISTEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "7.0.0",
     "O(N) with N the number of channels", "Ends subscriptions to shard channels",
     "[shardchannel [shardchannel ...]]"},
    {"unsubscribe", -1, LISTEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "pubsub", "2.0.0",
     "O(N) with N the number of channels", "Ends subscriptions", "[channel [channel ...]]"},
    {.name = NULL},
};
