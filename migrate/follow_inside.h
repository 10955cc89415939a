/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_FOLLOW_INSIDE_H
#define MERIDIAN_MIGRATE_FOLLOW_INSIDE_H

#include "migrate/asker.h"
#include "migrate/batch.h"
#include "migrate/earlier.h"
#include "migrate/effect.h"
#include "migrate/fence.h"
#include "migrate/follow.h"
#include "migrate/load.h"
#include "migrate/psync.h"

/* The follower's inside: follow.c (life), follow_source.c, follow_target.c. */

/* What the target is being asked. */
enum follow_round {
    ROUND_NONE,
    ROUND_FENCE,  /* nobody else writes any more what we had not heard of */
    ROUND_HELLO,  /* import-mode, INFO, DBSIZE, the mark */
    ROUND_CLEAR,  /* a mark, and all else goes */
    ROUND_LOADED, /* the mark behind a snapshot */
    ROUND_BATCH,
    ROUND_LOOSE,  /* a mark that says: beyond this */
    ROUND_LOOK,   /* what of its earlier lives may still come */
    ROUND_FAILED, /* a mark that says: begin anew; then STOPPED */
    ROUND_END,
};

struct follow_target {
    struct asker ask;
    struct fence fence;
    enum follow_round round;
    struct mark mark; /* what it holds, as far as we know */
    uint64_t keys;    /* at hello */
    char run[MARK_ID_MAX + 1];
    struct earlier earlier;
    uint64_t look_us; /* when it is asked again; of TARGET: 0 it is not */
    uint32_t shards;
    bool loose; /* transactions cannot span it */
    bool fresh; /* of several sources: nothing but an empty target helps */
    bool owned; /* what it holds may go: it is nothing, ours, or the operator said so */
    bool awake; /* keys may have gone at their deadline since the mark was written */
    struct batch_round sent; /* ROUND_BATCH; kept until it is answered */
    struct mark next;        /* what the mark is when `sent` has succeeded */
    uint64_t sent_since_us;  /* when the oldest command in `sent` came; 0: it holds none */
    uint64_t sent_count, sent_transactions;
    bool again; /* `sent` is to be sent once more, at again_us */
    uint64_t again_us, wait_us;
    bool lost;                     /* while following: the connection is gone, the source waits */
    char refused[FOLLOW_TEXT_MAX]; /* the first error of the round; "" none */
    bool passes;                   /* ... may not come again */
    struct buf unknown; /* owned: uint32_t, which of the round's commands were not even queued */
    unsigned inner;     /* commands that failed when the others were applied */
};

enum follow_step {
    SOURCE_CLOSED,
    SOURCE_DIALLING,
    SOURCE_AUTH,
    SOURCE_INFO,
    SOURCE_PORT,
    SOURCE_CAPA,
    SOURCE_PSYNC,
    SOURCE_STREAM, /* as psync.mode says */
};

struct follow_source {
    struct conn_owner owner; /* first: the port hands the connection's events to it */
    struct follow *follow;
    conn_id conn;
    enum follow_step step;
    struct psync psync;
    bool paused;
    bool cluster;
    bool spoke;                 /* this connection has said something */
    uint64_t heard_us, told_us; /* last byte from it; last ACK or newline to it */
    bool asked;                 /* GETACK */
    struct asker probe;         /* a second connection, for INFO */
    bool probe_off;             /* it does not let us in */
    uint64_t probe_us;          /* next time */
    int64_t offset;             /* the source's own; -1 not known */
    uint64_t id_offset;         /* of +FULLRESYNC */
};

struct follow {
    struct follow_opts opts; /* strings owned */
    char source_name[300];
    struct port *port;
    struct moment now;
    enum follow_state state;
    char text[FOLLOW_TEXT_MAX], error[FOLLOW_TEXT_MAX];
    struct follow_target target;
    struct follow_source source;
    char id[MARK_ID_MAX + 1]; /* replication id of the stream */
    struct effect_state effects;
    struct batch pending;
    uint64_t pending_transactions;
    uint64_t applied;
    struct migrate_load *load;
    struct migrate_sink *sink;
    bool load_full, load_ended,
        loaded;                    /* sink has no room; all commands are with it; LOADED came */
    uint64_t pause_us, backoff_us; /* PAUSE until then; the next one's length */
    uint64_t tick_us, since_us;    /* next second; when this state began */
    uint64_t mark_us;              /* the mark alone is written not before */
    bool anew;                     /* the next synchronization is a full one */
    bool ending, forget;
    bool halted; /* ending: the position is the one that the target has, and stays */
    uint64_t ending_us;
    uint64_t snapshot_bytes, snapshot_read, keys, failed;
    uint64_t fields;
    uint64_t commands, transactions, passed_over, full_syncs, partial_syncs;
};

/* ------------------------------------------------------------ follow.c */
void follow_enter(struct follow *f, enum follow_state s);
void follow_say(struct follow *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What went wrong may pass: everything is closed and tried again later. */
void follow_retry(struct follow *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* It will not: STOPPED. */
void follow_stop(struct follow *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void follow_close_load(struct follow *f);

/* ------------------------------------------------------------ follow_target.c */
void follow_target_init(struct follow *f);
void follow_target_deinit(struct follow *f);
void follow_target_reach(struct follow *f);
void follow_target_clear(struct follow *f);
/* The snapshot is in: the mark at its offset. */
void follow_target_loaded(struct follow *f);
/* Sends the next batch if there is one and the target is free. */
void follow_target_turn(struct follow *f);
/* Waiting for what may come of its earlier lives. */
void follow_target_tick(struct follow *f);
void follow_target_end(struct follow *f);
bool follow_target_is_idle(const struct follow *f);
uint64_t follow_target_deadline(const struct follow *f);

/* ------------------------------------------------------------ follow_source.c */
void follow_source_init(struct follow *f);
void follow_source_deinit(struct follow *f);
void follow_source_reach(struct follow *f);
void follow_source_close(struct follow *f);
/* Reads on, as far as there is room for what comes. */
void follow_source_pump(struct follow *f);
/* Each second: a sign of life, whether it still lives, how far it is. */
void follow_source_tick(struct follow *f);
/* How long it has been silent although something should have come; 0: nothing should. */
uint64_t follow_source_silent_us(const struct follow *f);
/* Tells it what is applied, if it has asked. */
void follow_source_answer(struct follow *f);
void follow_source_load_on(struct follow *f);

#endif
