/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SIM_WORLD_PRIVATE_H
#define MERIDIAN_SIM_WORLD_PRIVATE_H

#include "sim/world.h"

/* The world's insides, shared by world.c (time, hosts, events), net.c (connections) and files.c. */

enum agenda_kind {
    AG_START,
    AG_LISTEN,
    AG_OPEN, /* an endpoint comes up */
    AG_PUMP, /* an endpoint's oldest piece under way is due */
    AG_DRAINED,
    AG_FAIL, /* an endpoint goes down with err */
    AG_MOVED,
    AG_MESSAGE,
    AG_FILE,
    AG_TIMER,
    AG_DIAL, /* a dial reaches the other host */
};

struct agenda {
    uint64_t at_us, order;
    enum agenda_kind kind;
    struct node *node;
    conn_id conn;
    uint32_t listener, tag;
    enum err err;
    struct msg *msg;
    struct file_req *file;
    int status;
};

/* A piece of bytes under way to an endpoint. */
struct piece {
    struct piece *next;
    uint64_t due_us;
    size_t n;
    bool fin; /* the sender closed behind these bytes */
    uint8_t bytes[];
};

struct endpoint {
    conn_id id, peer;
    struct node *node;
    struct conn_owner *owner;
    uint32_t listener, tag;
    struct buf out;             /* appended in this step, not yet sent */
    struct piece *first, *last; /* coming in */
    size_t flying;              /* bytes of ours still under way to the peer */
    uint64_t last_due_us;       /* of the newest piece coming in: no overtaking */
    bool tls;                   /* the dialling side asked for it */
    bool up, paused, held, moving, high, dead;
    bool closing; /* we closed, our last bytes are under way */
    bool fin_sent;
    bool pumping; /* an AG_PUMP is on the agenda */
    bool dirty;   /* in the world's list of endpoints to flush */
    char dial_host[256];
    uint16_t dial_port;
    uint64_t dial_until_us;
};

struct listener {
    uint32_t id, tag;
    uint16_t port;
    struct node *node;
};

/* A write that is not yet durable. */
struct unsynced {
    uint64_t offset;
    size_t n;
};

struct file {
    struct file *next;
    char *path;
    struct buf data;   /* as processes see it */
    struct buf synced; /* as it is on the disk */
    struct unsynced *writes;
    size_t writes_n, writes_cap;
    bool named; /* its name is durable */
    /* Whoever reads sees these bytes, the disk does not have them, and no sync puts them there any
     * more, since one has failed: until they are written again. */
    uint64_t stale_from, stale_to;
};

struct host {
    char name[64];
    int64_t shift_ms;
    int32_t ppm;
    bool alive;
    struct file *files;
    struct world_disk disk;
};

/* A machine in its place. `port` comes first: the machine's port is the node. */
struct node {
    struct port port;
    struct world *world;
    struct machine machine;
    void (*drop)(void *self, struct port *p);
    uint32_t host;
    bool stopped;       /* it wants to end */
    bool dead, turn;    /* turn: EV_TURN is owed */
    uint64_t timer_us;  /* of the AG_TIMER on the agenda; UINT64_MAX none */
    uint64_t looked_us; /* that have passed in this step: opts.look_us a look */
};

/* An event or a note, put into words only when somebody reads it. */
struct trace {
    uint64_t at_us;
    bool note;
    char text[140]; /* of a note */
    enum event_kind kind;
    enum err err;
    uint32_t host, self;
    conn_id conn;
    size_t bytes;
};

struct world {
    struct world_opts opts;
    struct rng rng;
    uint64_t now_us, order, hash, events;
    bool frozen;
    int64_t frozen_ms;
    struct agenda *agenda; /* binary heap */
    size_t agenda_n, agenda_cap;
    struct host hosts[WORLD_HOSTS_MAX];
    uint32_t hosts_n;
    struct node **nodes;              /* those that live, in the order in which they began */
    size_t nodes_n, nodes_cap, turns; /* turns: EV_TURN is owed to so many */
    struct node **graves;             /* those that died: the agenda may still name them */
    size_t graves_n, graves_cap;
    struct endpoint **ends; /* by id - 1 */
    size_t ends_n, ends_cap;
    struct listener *listeners;
    size_t listeners_n, listeners_cap;
    uint32_t next_listener;
    struct endpoint **dirty;
    size_t dirty_n, dirty_cap;
    struct world_link links[WORLD_HOSTS_MAX][WORLD_HOSTS_MAX];
    struct trace *trace;
    uint64_t trace_n;
};

void agenda_put(struct world *w, struct agenda a); /* sets order */
void node_deliver(struct node *n, struct event *ev);
void world_record(struct world *w, uint64_t a, uint64_t b, uint64_t c);
int64_t host_wall_ms(const struct world *w, uint32_t host);

struct endpoint *end_get(const struct world *w, conn_id id);
void net_flush(struct world *w);
void net_pump(struct world *w, struct agenda *a);
void net_open(struct world *w, struct agenda *a);
void net_dial(struct world *w, struct agenda *a);
void net_fail(struct world *w, struct agenda *a);
void net_moved(struct world *w, struct agenda *a);
void net_drained(struct world *w, struct agenda *a);
void net_wake(struct world *w, uint32_t from, uint32_t to);
void net_kill(struct world *w, struct node *n, bool silent);
void net_free(struct world *w);
extern const struct port_ops world_port_ops;
void net_drop_end(struct world *w, struct endpoint *e);

struct endpoint *net_end_new(struct world *w, struct node *node);
void net_dirty(struct world *w,
               struct endpoint *e); /* it has something to send at the step's end */
uint64_t net_travel_us(struct world *w, const struct world_link *l, size_t n);
int net_find_host(const struct world *w, const char *name); /* -1: none */
void net_fail_later(struct world *w, struct endpoint *e, uint64_t after_us, enum err err);
void net_pump_later(struct world *w, struct endpoint *e);

void files_run(struct node *n, struct file_req *r);
uint64_t files_travel_us(struct node *n, const struct file_req *r);
/* The process dies while the request is under way: it has been done, or some of it, or not. */
void files_interrupted(struct node *n, struct file_req *r);
void files_power_loss(struct world *w, struct host *h);
void files_free(struct host *h);

#endif
