/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_CORE_H
#define MERIDIAN_MANAGER_CORE_H

#include "manager/auth.h"
#include "manager/bdb.h"
#include "manager/crdb.h"
#include "manager/discovery.h"
#include "manager/manager.h"
#include "manager/migration.h"
#include "manager/peer_client.h"
#include "manager/plane.h"
#include "manager/replica.h"
#include "manager/strays.h"
#include "manager/task.h"

/* The manager's inside, for the files of this folder. */
struct save_waiter {
    struct save_waiter *next;
    struct done done;
};

#define TAG_REST 1u
#define TAG_DISCOVERY 2u
#define TAG_STATE_READ 3u
#define TAG_STATE_WRITE 4u
#define TAG_STRAYS 5u

struct manager {
    struct manager_opts opts; /* strings owned */
    char *state_path;
    struct port *port;
    struct moment now;
    struct manager_hooks hooks;
    struct cluster cluster;
    struct auth auth;
    struct plane *plane;
    struct strays strays;
    struct peer_client *peers;
    struct tasks *tasks;
    struct migrations *migrations;
    struct replicas *replicas;
    struct discovery *discovery;
    uint32_t rest_listener, discovery_listener, rest_tls;
    bool loaded; /* the state file was read */
    bool writing;
    bool write_failed;           /* the last write failed: tried again every second */
    struct save_waiter *saving;  /* whose change is in the write under way */
    struct save_waiter *waiting; /* whose change goes with the next */
    uint64_t tick_us;            /* of the next tick */
    bool cut;                    /* being freed: whoever asks for anything is refused */
    bool stopping;
    uint64_t stopping_us;
    int exit_status;
};

#endif
