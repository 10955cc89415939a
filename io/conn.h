/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_CONN_H
#define MERIDIAN_IO_CONN_H

#include "io/loop.h"

/*
 * A connection of a loop: TCP or Unix socket, with TLS between or not. Internal to io/.
 *
 *   RESOLVING -> CONNECTING -+                     +-> MOVING (its id is dead) -> GONE
 *                            +-> [HANDSHAKE] -> OPEN -+-> FLUSHING (id dead, output goes out) ->
 * LINGERING -> GONE accepted, adopted -------+                     +-> GONE
 *
 * LINGERING: all is sent and the sending side is shut; input is thrown away until the peer closes,
 * for closing a socket with unread input would reset the connection and the peer could lose what
 * was sent last (RFC 1122, 4.2.2.13).
 */
enum conn_state {
    CONN_RESOLVING,
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_OPEN,
    CONN_FLUSHING,
    CONN_LINGERING,
    CONN_MOVING,
    CONN_GONE,
};

#define CONN_CLOSE_US 5000000u
#define CONN_DIAL_MS 10000u
#define TLS_FIRST_BYTE                                                                             \
    0x16 /* a handshake record (RFC 8446, 5.1); never the start of RESP or of a link */
#define CONN_SLICE_BYTES                                                                           \
    (256u << 10) /* of what did not fit the socket is handed over at a time                        \
                  */

struct sending;
struct dialing;
struct tls;

struct conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    struct loop *loop;
    conn_id id; /* 0: dead, no event goes out any more */
    enum conn_state state;
    bool local;  /* a Unix socket */
    bool handle; /* u is initialised */
    bool reading, paused, held, high, accepted, broken;
    bool scarce; /* accepted while open files were few: EV_OPEN.status */
    bool ended;  /* the peer sends no more */
    uint32_t listener, tag;
    uint32_t place[SET_COUNT]; /* index in the loop's set + 1; 0: not in it */
    struct conn_owner *owner;
    struct buf out;          /* what goes to the socket next */
    struct sending *sending; /* what the socket did not take; NULL nothing */
    struct tls *tls;         /* owned */
    uint32_t sniff;          /* TLS settings to use if the first byte asks for them; 0: decided */
    struct dialing *dialing; /* owned */
    uint64_t deadline_us;    /* in SET_TIMED */
    uint32_t move_to;
    struct msg *move_msg;
};

/* Makes a connection with an id; its handle is not initialised yet. */
struct conn *conn_new(struct loop *l, bool local);
struct conn *conn_get(const struct loop *l, conn_id id);
/* Takes a connected socket; closes it on failure. */
int conn_adopt(struct conn *c, int fd);
int conn_handle_init(struct conn *c);
/* The socket is connected: begins the TLS handshake or tells the machine. */
void conn_connected(struct conn *c);
void conn_opened(struct conn *c);
/* Tells the machine that the connection is gone (nobody if it was not told of it) and lets it go.
 */
void conn_lost(struct conn *c, enum err err, const char *detail);
/* The same from inside a step: told later. */
void conn_break(struct conn *c, int uv_err);
void conn_close(struct conn *c, bool flush);
void conn_shut(struct conn *c);         /* at once; memory goes when libuv is done with it */
void conn_forget(struct conn *c);       /* its id and owner: no event any more */
void conn_handle_close(struct conn *c); /* for another attempt of a dial */
void conn_pause(struct conn *c, bool paused);
void conn_hold(struct conn *c, bool held);
void conn_reading(struct conn *c); /* starts or stops reading as state and pause want it */
struct buf *conn_out(struct conn *c);
size_t conn_pending(const struct conn *c);
void conn_flush(struct conn *c);
void conn_deadline(struct conn *c, uint64_t after_us); /* 0: none */
void conn_deliver(struct conn *c, struct bytes data);

void conn_set_add(struct loop *l, enum conn_set_kind kind, struct conn *c);
void conn_set_remove(struct loop *l, enum conn_set_kind kind, struct conn *c);
void conns_flush(struct loop *l); /* all in SET_DIRTY */
void conns_sweep(uv_timer_t *t);

/* conn_tls.c: the glue between a connection and its TLS filter. */
void conn_tls_input(struct conn *c, struct bytes cipher);

/* dial.c */
conn_id dial_start(struct loop *l, const struct dial_opts *o);
void dial_free(struct dialing *d);
/* The handle of a failed attempt is closed: tries the next address. False: this was no attempt of a
 * dial. */
bool dial_again(struct conn *c);

/* move.c */
void move_start(struct conn *c, uint32_t neighbour, struct msg *taken);
void move_go(struct conn *c); /* nothing is being sent any more */
void move_arrived(struct loop *l, struct msg *m);
bool move_is(const struct msg *m);

#endif
