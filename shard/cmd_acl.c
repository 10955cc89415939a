/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/keys.h"

/* ACL and its subcommands: rows of the one command table; the proxy runs them. */
#define OPEN CMD_NOSCRIPT | CMD_LOADING
#define ADMIN CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING
const struct command cmd_acl_table[] = {
    {"acl", -2, CMD_CONTAINER, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "that of the subcommand", "Users and what they may do", ""},
    {"acl|cat", -2, OPEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(N) with N the number of commands", "Lists the categories, or the commands of one",
     "[categoryname]"},
    {"acl|deluser", -3, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(N) with N the number of connections",
     "Deletes users in all regions and closes their connections", "username [username ...]"},
    {"acl|dryrun", -4, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "7.0.0",
     "O(N) with N the number of arguments", "Tells whether a user may run a command, and why not",
     "username command [arg [arg ...]]"},
    {"acl|genpass", -2, OPEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(1)", "Returns a random password", "[bits]"},
    {"acl|getuser", 3, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(N) with N the number of rules", "Returns a user's rules", "username"},
    {"acl|help", 2, CMD_LOADING, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(1)", "Explains the subcommands of ACL", ""},
    {"acl|list", 2, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(N) with N the number of rules of all users", "Lists all users with their rules", ""},
    {"acl|load", 2, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0", "O(1)",
     "Refused: users live in the database, not in a file", ""},
    {"acl|log", -2, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(N) with N the number of entries", "Returns what was refused lately in this region",
     "[count|RESET]"},
    {"acl|save", 2, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0", "O(1)",
     "Refused: users live in the database, not in a file", ""},
    {"acl|setuser", -3, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(N) with N the number of rules", "Creates or changes a user, in all regions",
     "username [rule [rule ...]]"},
    {"acl|users", 2, ADMIN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0",
     "O(N) with N the number of users", "Lists the users' names", ""},
    {"acl|whoami", 2, OPEN, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "6.0.0", "O(1)",
     "Returns the connection's user", ""},
    {.name = NULL},
};
#undef OPEN
#undef ADMIN
