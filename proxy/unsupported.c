/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/unsupported.h"

#define REGIONS "regions replicate to each other: REST API, /v1/crdbs, or meridian ctl crdb"
#define CLUSTER "every node answers for all slots: connect without the cluster protocol"
#define STOP "a node is stopped by its service manager, a database is deleted by REST (/v1/bdbs)"

static const char *const hints[][2] = {
    {"asking", CLUSTER},
    {"cluster", CLUSTER},
    {"failover", REGIONS},
    {"migrate", "use DUMP here and RESTORE there"},
    {"module", "modules cannot be loaded; FUNCTION and EVAL run code of yours"},
    {"pfdebug", "it shows how Redis stores HyperLogLogs"},
    {"pfselftest", "it tests Redis' own code"},
    {"psync", REGIONS},
    {"readonly", CLUSTER},
    {"readwrite", CLUSTER},
    {"replconf", REGIONS},
    {"replicaof", REGIONS},
    {"restore-asking", "use RESTORE"},
    {"shutdown", STOP},
    {"slaveof", REGIONS},
    {"sync", REGIONS},
};

const char *unsupported_hint(struct bytes name)
{
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (bytes_is_nocase(name, hints[i][0]))
            return hints[i][1];
    return NULL;
}
