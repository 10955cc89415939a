/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SIM_DRIVER_H
#define MERIDIAN_SIM_DRIVER_H

#include "sim/world.h"

/*
 * Somebody outside: a machine on a host of its own that opens connections into the virtual world,
 * for clients and for the manager's control channels. Its user calls it between world steps, or
 * from the callbacks.
 */
struct driver;
struct vconn;

enum vconn_event { VCONN_OPEN, VCONN_DATA, VCONN_CLOSED };
/* `in` holds all bytes not yet consumed; consume with buf_consume. After VCONN_CLOSED the vconn is
 * gone. */
typedef void vconn_handler(struct vconn *c, enum vconn_event what, struct buf *in, void *arg);

/* Adds host `name` with the driver on it; it belongs to the world and goes with it. */
struct driver *driver_new(struct world *w, const char *name);
struct vconn *driver_dial(struct driver *d, const char *host, uint16_t port, vconn_handler *handler,
                          void *arg);
void vconn_send(struct vconn *c, struct bytes s);
void vconn_pause(struct vconn *c, bool paused); /* stops reading */
void vconn_close(struct vconn *c);              /* no callback follows */

#endif
