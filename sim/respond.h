/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SIM_RESPOND_H
#define MERIDIAN_SIM_RESPOND_H

#include "base/resp.h"
#include "sim/world.h"

/*
 * The connections of a pretended server that is spoken to in RESP, for machines of tests in the
 * virtual world: requests come in, what is answered is its owner's.
 */
struct respond_conn { /* first of the owner's own */
    conn_id id;       /* 0: free */
    struct buf in;
    struct resp resp;
    struct resp_args args;
};

struct respond {
    void *conns;    /* the owner's array of structs that begin with a respond_conn; all free */
    unsigned count; /* whoever dials when all are taken is turned away */
    size_t size;    /* of one */
    void *arg;
    /* One request; argc 0: an empty line. */
    void (*answer)(void *arg, struct respond_conn *c, uint32_t argc, const struct bytes *argv);
    void (*drop)(struct respond_conn *c); /* frees what the owner's has beside; NULL: nothing */
};

/* EV_OPEN, EV_DATA, EV_CLOSED; others are left alone. */
void respond_event(const struct respond *r, struct port *port, const struct event *ev);
/* The i-th of the array. */
struct respond_conn *respond_at(const struct respond *r, unsigned i);
/* Frees all; closes none: the process has died. */
void respond_forget(const struct respond *r);

#endif
