/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_SESSION_H
#define MERIDIAN_PROXY_SESSION_H

#include "proxy/front.h"

/*
 * One client's connection: reads commands, runs them or passes them on, and answers in the order
 * they came.
 *
 * Replies go straight into the connection's output. Once a command waits for another worker, it and
 * all later ones answer through the queue of `answers`. While too much waits (ANSWERS_MAX, output
 * above PORT_HIGH, CLIENT PAUSE) the session holds its input back and stops reading. An idle
 * session holds no buffer.
 */
#define ANSWERS_MAX 1024u

enum reply_mode {
    REPLY_ON,
    REPLY_OFF,
    REPLY_SKIP_NEXT, /* CLIENT REPLY SKIP was said */
    REPLY_SKIP,      /* this is the command that it meant */
};

struct partial; /* session.c: a long command that has not arrived whole */
struct multi;   /* multi.h */

struct session {
    struct conn_owner owner; /* first: the connection's events come here */
    struct front *front;
    struct session *prev, *next;
    struct session *held_prev, *held_next;
    struct durable_group *waits_in; /* NULL: its output may leave (durable.h) */
    struct session *waits_prev, *waits_next;
    conn_id conn;
    uint64_t id;
    uint64_t born_us, active_us;
    struct buf in; /* input that waits: an unfinished command, or held back */
    struct partial *partial;
    const struct acl_user *user; /* of front->acl */
    struct answer *head, *tail;
    uint32_t answers;
    uint32_t awaited;  /* of them that must come before another command runs */
    size_t owed;       /* bytes of answers that wait behind an older one */
    uint64_t *stopped; /* owned; NULL none: a bit for each worker that keeps its jobs (stopped.h) */
    uint64_t round;    /* courier_round at its last job ... */
    uint32_t rounds;   /* ... and how often that was another one */
    size_t querying;   /* bytes of the commands that are being run */
    uint8_t resp;
    uint8_t reply_mode;
    bool authenticated;
    bool unsure;       /* let in without a password while it was not known whether that is enough */
    bool unrestricted; /* logged in as a user that may do everything: nothing need be checked */
    bool closing;      /* close when what is owed has been written; reads nothing more */
    bool dead;     /* CLIENT KILL by another: the connection is closed, freed at the next tick */
    bool held;     /* reading is paused */
    bool parked;   /* by CLIENT PAUSE */
    bool spoken;   /* has sent something: a link's magic can only come first */
    bool stranger; /* beyond the limit of clients: only a link may speak */
    bool no_evict, no_touch;
    bool special;                    /* listens to something: runs commands the slow way */
    int32_t watching;                /* index of the shard on which keys are WATCHed, -1 none */
    struct multi *multi;             /* NULL: not in MULTI */
    struct blocked_session *blocked; /* NULL: waits in no command */
    uint64_t wrote;                  /* groups of slots that it has written to (observe.h) */
    const struct command *last_command;
    char *name, *lib_name, *lib_version; /* owned; NULL none */
    struct listening *listening;         /* owned; NULL: to nothing */
    struct tracker *tracker;             /* owned; NULL: CLIENT TRACKING is off */
    bool reached;                        /* stands in front.tracking.sessions */
    uint64_t late_us;                    /* since when above the soft output limit; 0: it is not */
};

/* Channels, patterns and shard channels. In RESP2 such a session takes few commands else. */
static inline bool session_subscribed(const struct session *s)
{
    return s->listening != NULL && session_listens(s, TOPIC_CHANNEL) +
                                           session_listens(s, TOPIC_PATTERN) +
                                           session_listens(s, TOPIC_SHARD) >
                                       0;
}

/* One command being answered by the session. */
struct ask {
    struct front *front;
    struct session *session;
    struct port *port;
    struct moment now;
    const struct command *command;
    struct command_use *use; /* of the command; NULL unknown */
    uint32_t argc;
    const struct bytes *argv;
    struct reply reply;
    bool in_exec;     /* its reply is an element of EXEC's */
    bool shares_time; /* set: it ran, and its time is part of its pipeline's */
};

struct session *session_new(struct front *f, conn_id conn, struct moment now);
/* Frees; what is under way for it is abandoned, its watches are forgotten. Does not touch the
 * connection. */
void session_free(struct session *s, struct port *port, struct moment now);
/* Closes the connection and frees. */
/* A stranger goes: the error, and the end. Frees it. */
void session_refuse(struct session *s, struct port *port, struct moment now);
void session_close(struct session *s, struct port *port, bool flush, struct moment now);
/* Continues after answers arrived or a hold ended: writes what is complete, runs held input. May
 * free the session. */
void session_resume(struct session *s, struct port *port, struct moment now);
/* True while the client must wait: it does not read, too many answers are under way, or CLIENT
 * PAUSE. */
bool session_must_wait(const struct session *s, struct port *port);
/* Does CLIENT PAUSE WRITE hold such a command back: may it write, or be seen in other regions? Its
 * arity is right. */
bool session_may_write(const struct front *f, const struct command *c, const struct bytes *argv);
/* Is there something for session_resume to do that no event tells of? Of sessions that are held. */
bool session_ready(const struct session *s, struct port *port);
/* Stops reading, until front_resume finds that it need not wait; or goes on. */
void session_hold(struct session *s, struct port *port, bool held);
/* Runs one parsed command: checks, MULTI, where. */
void session_dispatch(struct ask *a);
/* Runs a command that the session answers itself, and measures it. */
void session_run(struct ask *a);
/* Queues an answer behind the others; from now on replies go behind it. */
void session_wait(struct session *s, struct answer *a);
/* The last answer in the queue, if one more reply of that worker may be appended to it (it is
 * counted): a worker's replies come in order. NULL: a new one is needed. */
struct answer *session_shared(struct session *s, uint32_t worker);
/* Writes the answers that are whole, oldest first. */
void session_answers(struct session *s, struct port *port);
/* Passes on what is there of the oldest answer, where it is one worker's replies as they are.
 * False: it is not the oldest, or its parts become one reply. */
bool session_pass(struct session *s, struct port *port, struct answer *a);
/* So many bytes wait on account of this answer: a request under way, a part that arrived. */
void session_part(struct session *s, struct answer *a, size_t bytes);
/* Where the next reply is written: the connection's output, or behind the answers that wait. */
struct buf *session_out(struct session *s, struct port *port);

/* ---- commands that the session answers itself (cmd_*.c); subcommands by their full name,
 * "config|get" */
struct session_command {
    const char *name;
    void (*run)(struct ask *a);
    uint8_t flags;
};
enum {
    SESSION_ALONE = 1,      /* asks the other workers: not inside MULTI when there are any */
    SESSION_AT_ONCE = 2,    /* inside MULTI too it runs when it comes: EXEC, DISCARD, RESET ... */
    SESSION_SUBSCRIBED = 4, /* in RESP2, while it is subscribed, a session may only run these */
};
const struct session_command *session_command_find(const char *name);
extern const struct session_command cmd_connection_commands[], cmd_client_commands[],
    cmd_acl_commands[], cmd_command_commands[], cmd_config_commands[], cmd_slow_commands[],
    cmd_info_commands[], cmd_multi_commands[], cmd_pubsub_commands[], cmd_crdt_commands[],
    cmd_debug_commands[], cmd_memory_commands[], cmd_script_commands[], cmd_tracking_commands[],
    cmd_monitor_commands[], cmd_save_commands[];

/* CRDT.VERIFY, JOB_COMPARE, JOB_COMPARED (cmd_verify.c). */
void crdt_verify(struct ask *a);
void compare_begin(struct front *f, struct port *port, const struct job *job);
void compared_heard(struct front *f, struct port *port, uint64_t session, struct bytes records);
/* CRDT.CONFLICTS and JOB_CONFLICTS (cmd_conflicts.c). */
void crdt_conflicts(struct ask *a);
void conflicts_put(struct front *f, const struct bytes *argv, struct buf *out);
/* JOB_CONTEXTS (cmd_crdt.c). */
void contexts_put(struct front *f, struct bytes chosen, struct buf *out);

/* Texts several of them need. */
void reply_wrong_arguments(struct ask *a, const char *command);
void reply_unknown_subcommand(struct ask *a);
void reply_wrong_form(struct ask *a); /* a subcommand with arguments that it does not take */
#define CLIENT_NAME_BAD "ERR Client names cannot contain spaces, newlines or special characters."
bool client_name_ok(struct bytes name);
/* Replaces an owned text; empty: none. */
void client_set_text(char **text, struct bytes value);
/* argv: until when (wall clock ms), "all" or "write". */
void session_pause(struct front *f, const struct bytes *argv);
void config_apply(struct front *f, uint32_t argc, const struct bytes *argv);

#endif
