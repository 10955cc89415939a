/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_MANAGER_H
#define MERIDIAN_MANAGER_MANAGER_H

#include "base/port.h"
#include "manager/cluster.h"

/*
 * The control plane of one node as one machine: keeps the cluster's state, starts or adopts the
 * data plane and tells it its databases, answers discovery, and runs geo-distributed databases
 * together with other clusters. It serves REST through hooks that api/ installs; it knows nothing
 * of HTTP servers itself.
 */
struct manager;

/* All strings are borrowed for manager_new. */
struct manager_opts {
    const char *data_dir;  /* exists; state.json is kept there */
    const char *db_dir;    /* where the plane keeps databases (plane --data); NULL: elsewhere */
    const char *advertise; /* host or address that clients and peer clusters reach this node by */
    const char *rest_host;
    uint16_t rest_port;
    const char *discovery_host;
    uint16_t discovery_port;        /* 0: no discovery service */
    const char *db_host;            /* where databases listen */
    uint16_t port_first, port_last; /* range databases get their ports from */
    struct bytes cert_pem, key_pem; /* of the REST listener; both empty: plain HTTP */
    struct bytes ca_pem;            /* whom to trust among other clusters */
    bool verify_peers;              /* demand good certificates from other clusters' REST */
    const char *control;            /* where the plane listens: "unix:/path" or "host:port" */
    const char *control_token;
    const char *const
        *plane_argv;          /* the plane's command line; NULL: never started, only connected to */
    uint32_t password_rounds; /* PBKDF2; 0: 100,000 */
};

struct manager *manager_new(const struct manager_opts *o);
void manager_free(struct manager *m, struct port *port);
struct machine manager_machine(struct manager *m);
int manager_exit_status(
    const struct manager *m); /* for the process, once the machine has stopped */

/* What serves the REST listener. `open` gets each new connection's EV_OPEN and must attach an owner
 * to it. */
struct manager_hooks {
    void *self;
    void (*open)(void *self, const struct event *ev);
    void (*tick)(void *self); /* once a second */
    void (*stop)(void *self); /* the machine is about to stop: close what is open */
};
void manager_serve(struct manager *m, struct manager_hooks hooks);

/* ------------------------------------------------------------ for those who serve */

/* What is true for the event under way. */
struct port *manager_port(struct manager *m);
void manager_ends_badly(struct manager *m); /* its process' exit status will not be 0 */
struct moment manager_now(const struct manager *m);
struct cluster *manager_cluster(struct manager *m);
const char *manager_advertise(const struct manager *m);
struct auth *manager_auth(struct manager *m);
struct plane *manager_plane(struct manager *m);
struct peer_client *manager_peer_client(struct manager *m);
struct replicas *manager_replicas(struct manager *m);
/* Where this node's databases are reached from this node. */
const char *manager_db_address(const struct manager *m);
struct migrations *manager_migrations(struct manager *m);
const struct strays *manager_strays(const struct manager *m);
/* What is kept of the options (not control and token); ports are those listened on. */
const struct manager_opts *manager_options(const struct manager *m);

struct bootstrap {
    char name[65];
    char username[128], password[200];
};
void manager_bootstrap(struct manager *m, const struct bootstrap *b, struct done done);
/* After any change to manager_cluster(): writes the state file; done when the change is on disk. */
void manager_save(struct manager *m, struct done done);
/* A random UUID (version 4) as text. */
void manager_uuid(struct manager *m, char out[37]);
void manager_secret(struct manager *m, char out[65]); /* 32 random bytes as hex */

#endif
