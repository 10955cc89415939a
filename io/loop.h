/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_LOOP_H
#define MERIDIAN_IO_LOOP_H

#include "base/port.h"

#include <stdatomic.h>
#include <uv.h>

/*
 * One thread's driver: a libuv loop, the machine it steps, and what its port's calls hang off.
 * Everything here belongs to that thread but `inbox` and `sleeping` (neighbours.h). Internal to
 * io/.
 *
 * A turn of the loop:  poll -> callbacks, each stepping the machine -> messages of neighbours ->
 * EV_TURN -> output flushed, messages handed over -> timer set. What is asked for inside a step is
 * answered from `later`, before the next poll.
 */
#define LOOP_READ_BYTES (64u << 10)
#define LOOP_SPARES 32u
#define LOOP_SPARE_BYTES (16u << 10)      /* size of a fresh output buffer */
#define LOOP_SPARE_BYTES_MAX (128u << 10) /* a larger one is not kept */
#define LOOP_TLS_MAX 4096u

struct conn;
struct listener;
struct tls_context;
struct log;

/* Connections that share a property; a connection knows its place, so that leaving takes no search.
 */
enum conn_set_kind { SET_ALL, SET_DIRTY, SET_TIMED, SET_COUNT };
struct conn_set {
    struct conn **at; /* owned */
    uint32_t n, cap;
};

/* Where a connection is found by its id: (generation << 32) | index. */
struct slot {
    struct conn *conn; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
};

/* An answer that waits for the end of the step it was asked in. */
enum later_kind { LATER_LISTEN, LATER_LOST, LATER_RESUME };
struct later {
    enum later_kind kind;
    enum err err;
    conn_id conn;
    uint32_t listener, tag;
    int status;
    char detail[96];
};

struct outbox {
    struct msg *first, *last; /* newest first */
};

struct tls_slot {
    struct tls_context *ctx; /* one reference; NULL free */
    uint32_t generation;
};

struct loop {
    struct port port; /* first: the calls cast back */
    struct machine machine;
    struct moment now;
    bool now_fresh, delivered, stopping, dead;
    uint64_t armed_us; /* when `timer` goes off; UINT64_MAX: it does not run */
    uint8_t *read_buf, *plain_buf;
    struct slot *slots;
    uint32_t slots_n, slots_cap, slots_free;
    struct conn_set sets[SET_COUNT];
    struct buf spares[LOOP_SPARES];
    unsigned spares_n;
    struct later *later;
    uint32_t later_n, later_cap;
    struct listener **listeners;
    uint32_t listeners_n;
    struct tls_slot *tls;
    uint32_t tls_n;
    struct outbox *outboxes; /* one for each neighbour */
    struct loop *const *neighbours;
    struct listen_claims *claims; /* the process's, see listener.h */
    struct log *log;
    struct warm *warm; /* NULL: this process does not touch memory ahead */
    const char *who;
    int files_max; /* open files that the process may have; 0: nobody knows */

    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* runs while something waits in `later`: the next poll must not block */
    uv_timer_t timer, sweep;
    uv_poll_t wake; /* of wake_fd */
    int wake_fd;    /* an eventfd: libuv's own uv_async spins while its sender is preempted */
    char who_text[32];

    char apart[64]; /* others write below: not in one cache line with what we use all the time */
    _Atomic(struct msg *) inbox; /* newest first; any thread */
    atomic_bool sleeping;        /* set before a poll: whoever sends must wake */
    atomic_bool halt;            /* machine 0 has stopped */
};

void loop_init(struct loop *l);
void loop_run(struct loop *l);
void loop_deinit(struct loop *l); /* after its thread has ended */

/* Hands an event to the machine, with the time filled in. Never inside a step. */
void loop_step(struct loop *l, struct event *ev);
struct moment loop_now(struct loop *l);
/* Queues an answer; NULL when the loop has ended. */
struct later *loop_later(struct loop *l, enum later_kind kind);
void loop_log(struct loop *l, char level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The context behind a port's TLS number; NULL unknown. */
struct tls_context *loop_tls(const struct loop *l, uint32_t id);

#endif
