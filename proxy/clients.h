/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_CLIENTS_H
#define MERIDIAN_PROXY_CLIENTS_H

#include "proxy/session.h"

/* Describing and choosing clients: what CLIENT LIST shows, and whom LIST and KILL mean. */

enum client_type { CLIENT_ANY, CLIENT_NORMAL, CLIENT_PUBSUB, CLIENT_OTHER };

/* Filters of CLIENT KILL and LIST, as written by the client. Borrows what was read. */
struct client_filter {
    const struct bytes *ids; /* any of them */
    uint32_t ids_count;
    struct bytes addr, laddr, user; /* .p NULL: any */
    int64_t age_min;
    enum client_type type; /* OTHER: a replica or a master, of which there is none */
    bool skip_me;
    char why[192]; /* what is wrong with it */
};

/* Reads "NAME value" pairs of CLIENT KILL. */
bool client_filter_kill(struct client_filter *f, uint32_t argc, const struct bytes *argv);
/* Reads what stands behind CLIENT LIST: [ID id id ...] or [TYPE type] or nothing. */
bool client_filter_list(struct client_filter *f, uint32_t argc, const struct bytes *argv);
/* One line of CLIENT LIST. */
void session_describe(struct session *s, struct port *port, struct buf *out, struct moment now);
/* The lines of all sessions here that the filters mean. */
void session_lines(struct front *f, struct port *port, uint32_t argc, const struct bytes *argv,
                   struct buf *out, struct moment now);
/* Closes the connections that the filters mean; returns how many. `asker` gets its reply first. */
int64_t session_kill(struct front *f, struct port *port, uint32_t argc, const struct bytes *argv,
                     uint64_t asker, struct moment now);

#endif
