/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_LISTENER_H
#define MERIDIAN_IO_LISTENER_H

#include "io/loop.h"

/*
 * Listening sockets. They are polled and accepted from by ourselves: libuv has no way to stop
 * accepting for a while, which is what running out of file descriptors asks for.
 */
#define LISTENER_RETRY_MS 100u
#define LISTENER_BATCH 64u /* accepted at a time, before others get their turn */

/* Addresses this process listens on. SO_REUSEPORT lets the workers of a process share a port, and
 * would as quietly let a second process of the same user take half of its connections: so the first
 * to claim an address tries it without. */
struct listen_claims *listen_claims_new(void);
void listen_claims_free(struct listen_claims *c);

uint32_t listener_open(struct loop *l, const struct listen_opts *o);
void listener_close(struct loop *l, uint32_t id);

#endif
