/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_PORT_H
#define MERIDIAN_BASE_PORT_H

#include "base/buf.h"
#include "base/err.h"

/*
 * The one door between machines (pure logic) and the world. Two implementations: the libuv driver
 * (io/) and the virtual world (sim/). One port belongs to one machine, which runs in one thread (in
 * sim: all in one).
 *
 * Rules, the same behind both doors:
 *  - nothing completes inline: a call only asks, the answer is a later event;
 *  - a machine is stepped with one event at a time and never re-entered;
 *  - event data is borrowed for the step; the machine keeps what it has not used up;
 *  - what a step appended to connections' output is sent when the step ends;
 *  - after all events of one turn of the loop, the machine gets one EV_TURN (only if there was any
 * other event).
 */

/* Time, handed to every step. Pure code reads no clock. */
struct moment {
    int64_t wall_ms;  /* Unix time in milliseconds; may step and be wrong */
    uint64_t mono_us; /* never goes back; its zero means nothing */
};

typedef uint64_t conn_id; /* 0 is no connection; never reused within a port's life */

struct port;
struct port_usage;

enum event_kind {
    EV_START,  /* first event of a machine's life */
    EV_LISTEN, /* answer to port_listen: err tells; tag, listener */
    /* status 1: accepted while few open files are left, which files need */
    EV_OPEN, /* a connection is up: accepted (listener != 0) or dialled; tag; owner NULL or as given
                to dial */
    EV_DATA, /* bytes arrived: data, borrowed */
    EV_DRAINED, /* output that had passed PORT_HIGH bytes has fallen below PORT_LOW */
    EV_CLOSED,  /* the connection is gone (also a failed dial): err, detail; the id is dead now. Not
                   after port_close */
    EV_MOVED,   /* a neighbour handed a connection over with port_move: conn, msg (taken) */
    EV_MESSAGE, /* from a neighbour: msg (taken) */
    EV_FILE,    /* a file request is done: file (taken back) */
    EV_CHILD,   /* a child process ended: tag, status */
    EV_SIGNAL,  /* SIGTERM/SIGINT/SIGHUP number in `status`: machine decides how to stop */
    EV_TIMER,   /* machine's deadline has come */
    EV_TURN,    /* end of the loop turn */
};

/* What neighbours (workers of one process, and the manager's helpers) send each other. Allocated
 * with mem_alloc; the receiver takes it and frees it with msg_free. `kind` and payload are the
 * machines' business. */
struct msg {
    struct msg *next; /* the port's */
    uint32_t kind;
    uint32_t from;                 /* neighbour index, set by the port */
    void (*drop)(struct msg *msg); /* frees a message that was never delivered or is done with;
                                      NULL: mem_free */
};

/*
 * Requests for one file run in any order: whoever needs one waits for the answer before it asks for
 * the next. What is not synced may be lost when the power fails, each write on its own, in whole or
 * in part; what is synced stays.
 *
 *   FILE_READ     the whole file into `data`; larger than size_max: ERR_TOO_BIG
 *   FILE_WRITE    written beside, synced, renamed, folder synced: after a crash either the old or
 *                 the new content is there
 *   FILE_REMOVE   a file
 *   FILE_MKDIR    one folder, durably; ERR_EXISTS is no harm
 *   FILE_APPEND   `data` at `offset`, where the file ends (0 makes the file; bytes behind it, of a
 *                 write that failed, go first); `sync`: durable before the answer, and its name if
 *                 it is made; one that was made without takes a FILE_SYNC. ERR_BAD_BYTES:
 *                 the file is shorter. After any error nothing is known of what stands from
 *                 `offset` on
 *   FILE_SYNC     makes the file's bytes and its name durable. After an error nothing is known of
 *                 what had not been synced, and syncing again does not tell: by somebody who may
 *                 have died since, too. `again`: what stands from `offset` on is written once more
 *                 before, in its place
 *   FILE_READ_AT  up to size_max bytes from `offset` into `data`, fewer at the end
 *   FILE_CUT      the file ends at `offset`, durably
 *   FILE_RENAME   to `to`, in the same folder, replacing what is there, durably
 *   FILE_LIST     the folder's files into `data`, in order of their names: a uint64_t size, then
 *                 the name and a 0 byte
 *   FILE_FOLDERS  the folder's folders into `data`, in order: each a name and a 0 byte
 */
enum file_op {
    FILE_READ,
    FILE_WRITE,
    FILE_REMOVE,
    FILE_MKDIR,
    FILE_APPEND,
    FILE_SYNC,
    FILE_READ_AT,
    FILE_CUT,
    FILE_RENAME,
    FILE_LIST,
    FILE_FOLDERS,
};

struct file_req {
    enum file_op op;
    char *path;      /* owned by the request */
    char *to;        /* owned; FILE_RENAME */
    struct buf data; /* owned by the request */
    uint64_t offset;
    size_t size_max;
    bool sync;
    bool again;    /* FILE_SYNC */
    unsigned mode; /* permission bits of what is made */
    enum err err;  /* answer */
    uint32_t tag;  /* the machine's */
    void *owner;   /* the machine's */
};

struct event {
    enum event_kind kind;
    struct moment now;
    conn_id conn;
    uint32_t listener;
    uint32_t tag;
    struct conn_owner *owner; /* what the machine attached to conn, NULL nothing yet */
    struct bytes data;
    enum err err;
    const char *detail; /* extra text for people, or NULL; borrowed */
    struct msg *msg;
    struct file_req *file;
    int status;
};

/* TLS settings, shared by listeners and dials; made from PEM texts. */
struct tls_opts {
    struct bytes cert_pem, key_pem; /* own identity; empty for an anonymous client */
    struct bytes ca_pem; /* whom to trust; empty = system store (client), nobody asked (server) */
    bool verify_peer;    /* client: check chain and name; server: demand a client certificate */
    const char *alpn;    /* comma separated, e.g. "h2,http/1.1"; NULL none */
};

struct listen_opts {
    const char *host;  /* "0.0.0.0", "::", "127.0.0.1" or a path "unix:/..." */
    uint16_t port;     /* 0: any (tests); the chosen one comes in EV_LISTEN.status */
    uint32_t tls;      /* 0 none, else from port_tls */
    bool tls_optional; /* what begins as TLS is TLS, anything else is clear text; EV_OPEN comes with
                          the first byte */
    uint32_t tag;
    bool shared; /* SO_REUSEPORT: every worker listens on the same port */
};

struct dial_opts {
    const char *host; /* name or address, or "unix:/..." */
    uint16_t port;
    uint32_t tls;
    const char *server_name; /* SNI and name to verify; NULL: host */
    uint32_t tag;
    struct conn_owner *owner; /* kept until EV_CLOSED or port close */
    uint32_t timeout_ms;      /* for connecting incl. the handshake; 0: 10,000 */
};

#define PORT_HIGH (1u << 20)
#define PORT_LOW (256u << 10)

/* The first member of whatever is attached to a connection: the machine hands that connection's
 * events to it. */
struct conn_owner {
    void (*step)(struct conn_owner *self, struct port *p, const struct event *ev);
    uint64_t *sent; /* kept; bytes of its output that have left are added; NULL: nobody counts */
};

struct port_ops {
    uint32_t (*listen)(struct port *p,
                       const struct listen_opts *o); /* listener id; answer EV_LISTEN */
    void (*unlisten)(struct port *p, uint32_t listener);
    conn_id (*dial)(struct port *p, const struct dial_opts *o); /* answer EV_OPEN or EV_CLOSED */
    struct buf *(*out)(struct port *p, conn_id c); /* append here; NULL if the connection is gone */
    size_t (*pending)(struct port *p, conn_id c);  /* bytes not yet taken by the network */
    void (*own)(struct port *p, conn_id c, struct conn_owner *kept);
    void (*pause)(struct port *p, conn_id c, bool paused); /* stops reading: back-pressure */
    /* The connection stands still: nothing of its output is taken, nothing is read, until it is let
     * go. What was held back when it is closed is thrown away. */
    void (*hold)(struct port *p, conn_id c, bool held);
    void (*close)(struct port *p, conn_id c,
                  bool flush); /* no event follows; flush: send what is pending first (5 s) */
    void (*move)(struct port *p, conn_id c, uint32_t neighbour,
                 struct msg *taken); /* EV_MOVED there */
    void (*post)(struct port *p, uint32_t neighbour, struct msg *taken);
    void (*file)(struct port *p, struct file_req *taken);
    uint32_t (*tls)(struct port *p, const struct tls_opts *o, char *why,
                    size_t why_size); /* 0: why tells */
    void (*tls_free)(struct port *p, uint32_t tls);
    int (*spawn)(struct port *p, const char *const *argv,
                 uint32_t tag); /* pid, or -1; EV_CHILD when it ends */
    void (*kill)(struct port *p, int pid, int signal);
    void (*random)(struct port *p, void *out, size_t n); /* for secrets and seeds */
    void (*log)(struct port *p, char level,
                const char *line); /* level E W I D; one line, no newline */
    void (*stop)(struct port *p);  /* leave the loop after this step */
    size_t (*peer_name)(struct port *p, conn_id c, char *out, size_t size);  /* "1.2.3.4:567" */
    size_t (*local_name)(struct port *p, conn_id c, char *out, size_t size); /* our side's */
    bool (*is_tls)(struct port *p, conn_id c); /* is the connection encrypted? */
    size_t (*alpn)(struct port *p, conn_id c, char *out,
                   size_t size); /* negotiated protocol, "" none */
    /* Monotonic microseconds at this very moment, on the scale of moment.mono_us: for measuring
     * what happens within one step, never for deciding what is replicated. */
    uint64_t (*clock_us)(struct port *p);
    void (*usage)(struct port *p, struct port_usage *out);
    /* The thread stands still (DEBUG SLEEP). Virtual time does not pass within a step: sim/ returns
     * at once. */
    void (*sleep_us)(struct port *p, uint64_t us);
};

struct port {
    const struct port_ops *ops;
    uint32_t self;       /* this machine's neighbour index */
    uint32_t neighbours; /* how many there are, itself included */
};

/* What the process has used. */
struct port_usage {
    uint64_t user_us, system_us;                   /* processor time */
    uint64_t children_user_us, children_system_us; /* likewise, of children that have ended */
    uint64_t resident_bytes;
    uint64_t system_bytes; /* of memory that the machine has, or may use */
    int64_t pid;
};

/* What a shell drives. */
struct machine {
    void *self;
    void (*step)(void *self, struct port *port, const struct event *ev);
    uint64_t (*deadline)(void *self); /* mono_us at which EV_TIMER is wanted; UINT64_MAX: never.
                                         Asked after each turn */
};

/* Formats into a 1 KiB line and hands it to ops->log. */
void port_log(struct port *p, char level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void msg_free(struct msg *m);
struct file_req *file_req_new(enum file_op op, const char *path);
void file_req_free(struct file_req *r);

#endif
