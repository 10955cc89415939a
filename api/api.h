/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_API_API_H
#define MERIDIAN_API_API_H

#include "manager/manager.h"

/*
 * The REST API of a manager: serves the connections of its REST listener (HTTP/2 by ALPN, else
 * HTTP/1.1). It is no machine of its own: it installs itself as the manager's hooks and lives
 * within its steps.
 */
#define API_CONNS_MAX 1024u
#define API_REQUEST_US 30000000u /* a request must be whole within this time */
#define API_IDLE_US 90000000u    /* a connection without requests is closed */
#define API_STALL_US 30000000u   /* who takes nothing for so long is cut off */

struct api;
struct api *api_new(struct manager *m); /* m is kept until api_free */
void api_free(struct api *a);           /* before manager_free */

#endif
