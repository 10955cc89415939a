/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/*
 * Commands that concern the client's session rather than the keyspace. They stand here for the one
 * command table; the proxy runs them.
 */
#define ANYTIME (CMD_NOSCRIPT | CMD_LOADING | CMD_FAST)

const struct command cmd_session_table[] = {
    {"auth", -2, ANYTIME | CMD_NO_AUTH, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "1.0.0", "O(1)", "Authenticates the connection", "[username] password"},
    {"discard", 1, ANYTIME, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "transactions", "2.0.0",
     "O(N) with N the number of queued commands", "Forgets the commands queued since MULTI", ""},
    {"echo", 2, CMD_LOADING | CMD_FAST, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "1.0.0", "O(1)", "Returns its argument", "message"},
    {"exec", 1, CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "transactions", "1.2.0", "that of the commands",
     "Runs the commands queued since MULTI; other regions see them at once or not at all", ""},
    {"hello", -1, ANYTIME | CMD_NO_AUTH, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "6.0.0", "O(1)", "Chooses the protocol's version",
     "[protover [AUTH username password] [SETNAME clientname]]"},
    {"info", -1, CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0",
     "O(1)", "Returns figures about the database", "[section [section ...]]"},
    {"lolwut", -1, CMD_READONLY | CMD_FAST, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "5.0.0", "O(1)", "Shows the version", "[VERSION version]"},
    {"move", 3, CMD_WRITE | CMD_FAST, 1, 1, 1, AT_SESSION, MERGE_NONE, NULL, NULL, "generic",
     "1.0.0", "O(1)", "Refused: there is one database only", "key db"},
    {"monitor", 1, CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL,
     NULL, "server", "1.0.0", "O(1)", "Shows the commands that clients run, on all workers", ""},
    {"multi", 1, ANYTIME | CMD_NO_MULTI, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "transactions", "1.2.0", "O(1)", "Begins a transaction: queues commands until EXEC", ""},
    {"ping", -1, CMD_LOADING | CMD_FAST, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "1.0.0", "O(1)", "Returns PONG or its argument", "[message]"},
    {"quit", -1, ANYTIME | CMD_NO_AUTH, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "1.0.0", "O(1)", "Closes the connection", ""},
    {"reset", 1, ANYTIME | CMD_NO_AUTH, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "6.2.0", "O(1)", "Brings the connection back to how it began", ""},
    {"role", 1, ANYTIME, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "2.8.12", "O(1)",
     "Returns the role in replication", ""},
    {"select", 2, CMD_LOADING | CMD_FAST, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "connection",
     "1.0.0", "O(1)", "Accepts 0: there is one database only", "index"},
    {"swapdb", 3, CMD_WRITE | CMD_FAST, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "4.0.0", "O(1)", "Refused: there is one database only", "index1 index2"},
    {"unwatch", 1, ANYTIME, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "transactions", "2.2.0",
     "O(1)", "Forgets the keys watched", ""},
    {"wait", 3, CMD_NOSCRIPT, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "generic", "3.0.0",
     "O(1)", "Waits for replicas", "numreplicas timeout"},
    {"watch", -2, ANYTIME | CMD_NO_MULTI, 1, -1, 1, AT_SESSION, MERGE_NONE, NULL, NULL,
     "transactions", "2.2.0", "O(N) with N the number of keys",
     "Makes the next EXEC fail if one of the keys changes before", "key [key ...]"},
    {.name = NULL},
};
