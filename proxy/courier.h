/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_COURIER_H
#define MERIDIAN_PROXY_COURIER_H

#include "proxy/catalog.h"
#include "shard/shard.h"

/*
 * Carries requests to the other workers of this process and their replies back. One courier per
 * worker, shared by its databases. What the sessions ask within one turn of the loop travels as one
 * message per worker; that worker runs it in order and sends the same message back with the
 * replies. So requests of one session to one shard stay in order.
 *
 * An `answer` is one reply a session owes its client and cannot give at once: it waits for one or
 * more parts.
 */
struct courier; /* opaque */
struct front;
struct session;
struct answer;

enum job_kind {
    JOB_COMMAND, /* argv on a shard */
    JOB_EXEC,    /* argv[0]: a transaction's commands (multi.h), on a shard */
    JOB_WATCH,   /* argv: keys */
    JOB_UNWATCH, /* no reply wanted */
    JOB_FIGURES, /* struct figures of that worker's side of the database */
    JOB_CLIENTS, /* CLIENT LIST lines, argv: filters */
    JOB_KILL,    /* argv: CLIENT KILL's filters; an integer */
    JOB_CONFIG,  /* argv: name, value, ... */
    JOB_RESETSTAT,
    JOB_COUNT,   /* argv[0]: the asking worker's uint32_t index and number of sessions; no reply */
    JOB_MEMORY,  /* argv[0]: what the asking worker holds (proxy/memory.c); no reply */
    JOB_REFUSAL, /* argv: a shard's number, why it refuses writes (refusals.h); no reply */
    JOB_CATALOG, /* argv: `decide`'s, on the last shard */
    JOB_CATALOG_HEARD, /* argv: a kind, a name and (unless it was removed) its value; no reply */
    JOB_CATALOG_JOIN,  /* argv[0]: the asking worker's index; no reply */
    JOB_CATALOG_DONE,  /* argv[0]: whether it is known to be all; no reply */
    JOB_ACL_NOTED,     /* argv[0]: what acl_log_put wrote; no reply */
    JOB_PAUSE,         /* argv: wall clock ms until which clients wait, "all" or "write" */
    JOB_LISTEN,        /* topic.c: how many sessions listen to a topic there; no reply */
    JOB_TOPICS,        /* argv[0]: the asking worker, which wants to hear of all topics; no reply */
    JOB_SETTLED,       /* nothing: its reply says that all that was sent before has been heard */
    JOB_MESSAGE, /* pubsub.c: argv: channel, text, "s" when sharded; to that worker's subscribers */
    JOB_MONITOR, /* argv[0]: a line for the monitors of that worker; no reply */
    JOB_TRACKING, /* tracking.h: argv[0]: struct tracking_word */
    JOB_ACROSS,   /* likewise; to the other regions, from that worker's links */
    JOB_BLOCK, /* as JOB_COMMAND, but it may wait: then `waits_ms` is the reply (proxy/blocked.h) */
    JOB_UNBLOCK,   /* argv: "timeout", "error" or "gone": ends the session's command; no reply */
    JOB_UNBLOCKED, /* argv: the reply of the session's command that waited; no reply */
    JOB_CLIENT_UNBLOCK, /* argv: client id, "timeout" or "error"; an integer */
    JOB_OBSERVE,        /* observe.c: argv: what, groups of slots, entries; no reply */
    JOB_UNOBSERVE,      /* no reply */
    JOB_OBSERVED,       /* argv: what a worker sees; no reply */
    JOB_COMPARE,        /* cmd_verify.c; no reply */
    JOB_COMPARED,       /* argv: struct compare_record; no reply */
    JOB_CONFLICTS,      /* cmd_conflicts.c */
    JOB_CONTEXTS,       /* argv: a bit for each partition, or empty; records (cmd_crdt.c) */
    JOB_SCRIPTS,        /* argv[0]: what (scripting.c) */
    JOB_BUSY,           /* argv: a shard's number, what keeps it busy; no reply */
    JOB_INFO,           /* as JOB_FIGURES, and behind it as JOB_STATS */
    JOB_STATS,          /* argv: names of commands; what stats_put writes */
    JOB_SLOW,           /* argv: struct slow_note, a slow command of a client there; no reply */
    JOB_SLOWLOG,        /* argv[0]: "get", "len" or "reset" */
    JOB_LATENCY,        /* argv: "get", or "reset" and names of events */
    JOB_OPEN,           /* dataset.c; no reply */
    JOB_KEEP,           /* argv[0]: "look" or "begin" a snapshot (cmd_save.c) */
    JOB_SAVE,           /* argv[0]: a number; no reply, but JOB_SAVED when all is done */
    JOB_SAVED,          /* argv[0]: struct saved; no reply */
    JOB_DURABLE,        /* durable.c; no reply */
    JOB_LATE,   /* argv: the ticket of a job that was answered `later`, its reply; no reply */
    JOB_GO_ON,  /* the session that was stopped there has passed its replies on (stopped.h); no
                   reply */
    JOB_FORGET, /* the session that was stopped there has gone; no reply */
};

struct job {
    enum job_kind kind;
    uint32_t db_uid, shard;
    uint8_t resp;
    uint64_t session;
    const struct command *command;
    catalog_decide *decide; /* JOB_CATALOG */
    uint32_t argc;
    const struct bytes *argv; /* borrowed */
    bool track;               /* the session tracks what it reads */
    struct bytes user;        /* call.user; borrowed */
    bool hashed;              /* slot and hash of the only key are set */
    size_t answered;  /* bytes of replies to the same session just before, in the same batch */
    uint64_t durable; /* answer, JOB_UNBLOCKED, JOB_LATE: the reply holds once that turn of the
                         sender is durable (durable.h); 0: at once */
    uint32_t worker;  /* JOB_DURABLE, JOB_UNBLOCKED: the sender */
    bool later;       /* answer: the reply comes by JOB_LATE (a script takes its time) */
    bool stopped;     /* answer: that worker runs nothing more of the session before JOB_GO_ON */
    int64_t waits_ms; /* answer of JOB_BLOCK: it waits so long, 0: for ever, -1: it has replied */
    uint32_t slot;
    uint64_t hash;
};

/* Writes an answer's final reply once all its parts are here. */
typedef void answer_finish(struct front *f, struct answer *a, struct reply *r);

#define ANSWER_NOBODY UINT32_MAX

struct answer {
    struct answer *next;     /* the session's queue, oldest first */
    struct session *session; /* NULL: it has gone; nobody wants this any more */
    struct buf out;          /* the reply; with one part and no `finish` the part itself */
    uint32_t missing;        /* parts still under way */
    uint32_t parts_count;
    struct buf *parts; /* owned; NULL: one part, straight into out */
    answer_finish *finish;
    uint32_t *order; /* owned; MERGE_BY_KEY: which part holds the reply of each key */
    uint32_t order_count;
    uint32_t shard; /* SCAN: where it ran */
    uint32_t
        worker;  /* where all parts run, in order: replies of one worker share an answer; NOBODY */
    uint32_t at; /* one part: the worker that gives it; NOBODY: no job brings it */
    uint32_t *owes;    /* owned; several: how many each worker has still to give */
    uint32_t round;    /* of session->rounds, when it was asked */
    uint64_t aux;      /* finish's business */
    struct moment now; /* when it was asked */
    size_t owed;       /* what of session->owed is this answer's */
    uint8_t resp;
    bool awaited; /* the session runs nothing before it */
    bool mute;    /* CLIENT REPLY OFF or SKIP: the reply is thrown away */
};

struct courier_opts {
    uint32_t self, workers;
    size_t reply_bytes_max;                             /* stopped.h; 0: PORT_HIGH */
    struct front *(*front)(void *arg, uint32_t db_uid); /* NULL: no such database here */
    void *arg;
};
struct courier *courier_new(const struct courier_opts *o);
void courier_free(struct courier *c);
uint32_t courier_self(const struct courier *c);
uint32_t courier_workers(const struct courier *c);

/* A fresh answer with that many parts to come; one part needs no `parts`. */
struct answer *answer_new(struct courier *c, uint32_t parts);
/* The session is gone: frees it now, or when the last part arrives. */
void answer_abandon(struct courier *c, struct answer *a);
void answer_free(struct courier *c, struct answer *a);
/* The only part of an answer that no job brings: the session goes on when it is its oldest. */
void courier_complete(struct courier *c, struct port *port, struct answer *a, struct bytes reply,
                      struct moment now);

/* Sends a job; its reply becomes part `part` of the answer (a NULL: nobody waits). All of `job` is
 * copied. */
size_t courier_send(struct courier *c, struct port *port, uint32_t worker, const struct job *job,
                    struct answer *a, uint32_t part);
/* What was collected is to be heard before the replies of this worker that are given from now on.
 */
void courier_urgent(struct courier *c);
/* Posts what was collected; at the end of each turn. */
void courier_flush(struct courier *c, struct port *port);

#define COURIER_MESSAGE_FIRST 1u
#define COURIER_MESSAGE_LAST 2u
/* A message whose kind lies in that range: runs its jobs, or hands out their replies. Taken. */
void courier_message(struct courier *c, struct port *port, struct msg *msg, struct moment now);

#endif
