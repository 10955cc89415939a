/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_SINK_H
#define MERIDIAN_MIGRATE_SINK_H

#include "base/port.h"

/*
 * Commands into a target database over several pipelined connections (RESP2, any server of the
 * family). What is not answered yet is kept and sent again after a reconnect, as far as that is the
 * same as once. A part of a machine, not one itself: its owner steps it.
 *
 *   machine: events with an owner -> owner->step (the sink's connections are among them);
 *            at EV_TURN and EV_TIMER migrate_sink_tick; its deadline: migrate_sink_deadline
 *
 * Commands with the same key go over the same connection and so keep their order; with one
 * connection all do.
 */
#define MIGRATE_CONNECTIONS_MAX 64u
#define MIGRATE_WINDOW_BYTES (2u << 20)
#define MIGRATE_WINDOW_COMMANDS 8192u
#define MIGRATE_ERRORS_MAX 100u
#define MIGRATE_KINDS 16u

struct migrate_sink;

/* When the connection breaks before the answer has come: */
enum migrate_again {
    MIGRATE_AGAIN, /* sent again: twice is the same as once (RESTORE REPLACE, SET, SADD ..). Then
                      "exists already" (XADD of an ID, XGROUP CREATE) is no error */
    MIGRATE_PUSH,  /* RPUSH to a list that nobody else writes: sent again unless the list is longer
                      than `length`, which it was before; only as the commands for its key follow
                      each other without others between */
    MIGRATE_ONCE,  /* never sent again: counted as unsure, its answer is told as NULL */
};

struct migrate_command {
    size_t argc;
    const struct bytes *argv; /* borrowed */
    struct bytes key;         /* chooses the connection, and is named in errors; must be one of
                                 argv's, or empty */
    enum migrate_again again;
    uint64_t length; /* MIGRATE_PUSH */
    uint8_t kind;    /* the caller's: which counter of done and failed; below MIGRATE_KINDS */
    uint64_t tag;    /* the caller's, for `answered` */
};

struct migrate_sink_opts {
    const char *host; /* kept, as the others are, until migrate_sink_free */
    uint16_t port;
    uint32_t tls; /* port's; 0: clear text */
    const char *server_name;
    struct bytes user, password; /* empty: none */
    const char *client_name;     /* for CLIENT SETNAME; NULL: meridian-migrate */
    unsigned connections;        /* 0: 4 */
    size_t reply_max;            /* the largest answer; 0: 64 MiB */
    size_t window_bytes; /* sent and not answered, each connection; 0: MIGRATE_WINDOW_BYTES */
    uint64_t
        patience_us; /* without any good answer and connection; 0: 60 s; UINT64_MAX: for ever */
    /* A target that was restarted meanwhile (INFO's run_id, process_id) may have lost what it
     * answered: fatal. */
    bool same_run;
    bool patient_first; /* also when it has never been reached; else that is final at once */
    /* NULL: nobody asks. Each answer in its order on its connection: an error's text without the
     * '-', else NULL; `reply` is the raw answer (borrowed), empty for what is unsure. */
    void (*answered)(void *arg, uint64_t tag, const char *error, struct bytes reply);
    void *arg;
};

struct migrate_sink_stats {
    uint64_t put, answered, failed, unsure; /* commands */
    uint64_t bytes, reconnects;
    uint64_t done[MIGRATE_KINDS], failed_of[MIGRATE_KINDS];
    unsigned connected;
};

/* What the target said no to; the first MIGRATE_ERRORS_MAX are kept. */
struct migrate_error {
    char key[80]; /* printable, cut with "..." */
    char text[200];
};

struct migrate_sink *migrate_sink_new(const struct migrate_sink_opts *o);
void migrate_sink_free(struct migrate_sink *s, struct port *port);
void migrate_sink_start(struct migrate_sink *s, struct port *port, struct moment now);
/* Keeps at most window_bytes and one command a connection: whoever puts more than there is room for
 * breaks the bound, not the sink. */
bool migrate_sink_has_room(const struct migrate_sink *s);
void migrate_sink_put(struct migrate_sink *s, struct port *port, const struct migrate_command *c);
/* All that was put has been answered. */
bool migrate_sink_is_idle(const struct migrate_sink *s);
/* NULL, or why it has given up for good (the credentials, a full target, nobody there): a sentence
 * that says what to do. Nothing more is sent. */
const char *migrate_sink_fatal(const struct migrate_sink *s);
void migrate_sink_tick(struct migrate_sink *s, struct port *port, struct moment now);
uint64_t migrate_sink_deadline(const struct migrate_sink *s);
const struct migrate_sink_stats *migrate_sink_stats(const struct migrate_sink *s);
const struct migrate_error *migrate_sink_errors(const struct migrate_sink *s, size_t *n);
/* A failure of the caller's own (a module's key), beside those the target reports. */
void migrate_sink_note(struct migrate_sink *s, uint8_t kind, struct bytes key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
