/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_DEMO_NODES_H
#define MERIDIAN_CLI_DEMO_NODES_H

#include "cli/https.h"

#include <sys/types.h>

/* The demo's three regions: a `meridian node` process each, with a data folder and ports of its
 * own. */
#define DEMO_REGIONS 3u
#define DEMO_USER "admin@demo.test"
#define DEMO_PASSWORD "demo-password"

struct demo_node {
    char name[64]; /* cluster name */
    char dir[256];
    uint16_t db_port, rest_port, discovery_port;
    pid_t pid; /* 0: not running */
    struct https_target rest;
};

/* base_port 0: the well-known ports (12000, 9443, 8001); else base.. for databases, base+10.. REST,
 * base+20.. discovery. */
void demo_nodes_describe(struct demo_node nodes[DEMO_REGIONS], const char *dir, uint16_t base_port);
/* Starts all and waits until their REST answers. False: said on stderr why. */
bool demo_nodes_start(struct demo_node nodes[DEMO_REGIONS]);
/* Orderly end of those processes, by their ids; the hard way after ten seconds. */
void demo_nodes_stop(struct demo_node nodes[DEMO_REGIONS]);
/* Does any of them no longer run? */
bool demo_nodes_lost(struct demo_node nodes[DEMO_REGIONS]);

#endif
