/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/* CLIENT and its subcommands: rows of the one command table; the proxy runs them. */
const struct command cmd_client_table[] = {
    {"client", -2, CMD_CONTAINER, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "2.4.0", "that of the subcommand", "Names, lists and ends connections", ""},
    {"client|getname", 2, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "connection", "2.6.9", "O(1)", "Returns the connection's name", ""},
    {"client|help", 2, CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "5.0.0", "O(1)", "Explains the subcommands of CLIENT", ""},
    {"client|id", 2, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "connection", "5.0.0", "O(1)", "Returns the connection's number", ""},
    {"client|info", 2, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "connection", "6.2.0", "O(1)", "Describes this connection", ""},
    {"client|kill", -3, CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "connection", "2.4.0", "O(N) with N the number of connections",
     "Closes the connections that fit",
     "<ip:port|<[ID client-id]|[TYPE <NORMAL|MASTER|SLAVE|REPLICA|PUBSUB>]|[USER username]|[ADDR "
     "ip:port]|[LADDR ip:port]|[SKIPME yes/no] [[ID client-id]|[TYPE "
     "<NORMAL|MASTER|SLAVE|REPLICA|PUBSUB>]|[USER username]|[ADDR ip:port]|[LADDR ip:port]|[SKIPME "
     "yes/no] ...]>>"},
    {"client|list", -2, CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "connection", "2.4.0", "O(N) with N the number of connections",
     "Describes the open connections, on all workers",
     "[TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] [ID client-id [client-id ...]]"},
    {"client|no-evict", 3, CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "connection", "7.0.0", "O(1)",
     "Protects this connection from being closed when memory is short", "<ON|OFF>"},
    {"client|pause", -3, CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "connection", "2.9.50", "O(1)", "Holds commands of all clients back for some time",
     "timeout [WRITE|ALL]"},
    {"client|reply", 3, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "connection", "3.2.0", "O(1)", "Tells the server whether to answer", "<ON|OFF|SKIP>"},
    {"client|setname", 3, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "connection", "2.6.9", "O(1)", "Names the connection", "connection-name"},
    {"client|unpause", 2, CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE,
     NULL, NULL, "connection", "6.2.0", "O(N) with N the number of paused clients",
     "Lets paused clients go on", ""},
    {"client|no-touch", 3, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "connection", "7.2.0", "O(1)", "Accepted: reading a key here never changes what is evicted",
     "<ON|OFF>"},
    {"client|setinfo", 4, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "connection", "7.2.0", "O(1)", "Names the client's library and its version",
     "<LIB-NAME libname|LIB-VER libver>"},
    {.name = NULL},
};
