/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_FOLLOW_H
#define MERIDIAN_MIGRATE_FOLLOW_H

#include "base/port.h"

/*
 * Replica Of: one database of a live Redis or Valkey server (the source) is copied into a database
 * (the target) and kept the same until somebody ends it. To the source we are a replica (PSYNC), to
 * the target a client.
 *
 *   IDLE --> TARGET --> SOURCE --+--> partial resync -----------------------> FOLLOWING
 *             ^  ^               +--> CLEARING --> WAITING --> LOADING ---------> |
 *             |  +-- PAUSE <-- anything that may pass (longer each time) ----------+
 *             +------ the target was lost: its mark tells what it has ----------+
 *   STOPPED: only an operator can help. ENDED: follow_end was asked for.
 *
 * What is applied and where the source is are in one transaction of the target (mark.h). So this
 * machine may be killed at any time, and the next one goes on where it was.
 */
enum follow_state {
    FOLLOW_IDLE,
    FOLLOW_TARGET,    /* reaching the target, reading its mark */
    FOLLOW_SOURCE,    /* reaching the source, asking for its stream */
    FOLLOW_CLEARING,  /* what the target held is being removed */
    FOLLOW_WAITING,   /* the source makes its snapshot */
    FOLLOW_LOADING,   /* the snapshot is being loaded */
    FOLLOW_FOLLOWING, /* commands are applied as they come */
    FOLLOW_PAUSE,     /* tries again in a moment */
    FOLLOW_ENDING,    /* follow_end: what is under way is finished */
    FOLLOW_STOPPED,
    FOLLOW_ENDED,
};
const char *follow_state_name(enum follow_state s); /* "following" */

#define FOLLOW_TEXT_MAX 320u
#define FOLLOW_SYNCED_MS 1000
#define FOLLOW_SILENT_US 5000000u
#define FOLLOW_SILENCE_US 60000000u

/* All strings are copied. */
struct follow_opts {
    const char *source_host;
    uint16_t source_port;
    uint32_t source_tls;                       /* the port's; 0: clear text */
    const char *source_user, *source_password; /* NULL or "": none */
    int64_t source_db;
    const char *target_host;
    uint16_t target_port;
    uint32_t target_tls;
    const char *target_user, *target_password;
    bool flush;          /* a target that holds other data is emptied; else that is an error */
    bool skip_failed;    /* keys and commands that the target refuses are counted, and it goes on */
    bool drop_field_ttl; /* hashes whose fields expire: without those deadlines, not refused */
    const char *field; /* one of several sources (gather.h): its mark's field; NULL: the only one */
    const char *run;   /* of several: the target's run id when it was found sound or emptied; in
                          another run it is not known any more whose keys are there. NULL: any */
    bool cluster_node; /* the source is a master of a Redis Cluster, and the others are followed,
                          too */
    uint64_t earlier_us; /* a target is waited for before a copy (earlier.h); 0: 10 s */
    uint64_t silence_us; /* a source or target that does not answer for so long is given up; 0: 60
                            s. It shows (text, not in sync) from FOLLOW_SILENT_US on */
};
/* The texts become copies of what they were (NULL: "", but for `field` and `run`); frees those
 * copies. */
void follow_opts_own(struct follow_opts *o);
void follow_opts_disown(struct follow_opts *o);

struct follow_status {
    enum follow_state state;
    char text[FOLLOW_TEXT_MAX];  /* why it is not (yet) following; "" nothing to say */
    char error[FOLLOW_TEXT_MAX]; /* the last thing that went wrong; "" nothing yet */
    bool fresh;                  /* STOPPED: goes on only when all sources are copied anew */
    bool cluster;                /* STOPPED: it is a node of a Redis Cluster */
    bool doubtful; /* something of the target's earlier lives may come on top (earlier.h) */
    bool in_sync;  /* following, not FOLLOW_SYNCED_MS behind, not doubtful, target connected */
    char replication_id[41];
    uint64_t received, applied; /* offsets in the source's stream */
    int64_t lag_bytes;          /* of the stream, behind the source; -1: not known */
    int64_t lag_ms;          /* age of the oldest command that is not applied; -1 not following */
    uint64_t snapshot_bytes; /* 0: not known */
    uint64_t snapshot_read;
    uint64_t keys, failed; /* loaded by the last snapshot; refused by the target, of all */
    uint64_t commands, transactions, passed_over; /* applied; left out as another database's */
    uint64_t fields;                              /* of hashes: deadlines that were left out */
    uint64_t full_syncs, partial_syncs;
};

struct follow;
struct follow *follow_new(const struct follow_opts *o);
/* `port` as in all calls: the machine's one port. */
void follow_free(struct follow *f, struct port *port);
/* To be called within a step of the machine it is part of. Events that name an owner go to that
 * owner, as always; at EV_TURN and EV_TIMER follow_tick. */
void follow_start(struct follow *f, struct port *port, struct moment now);
void follow_tick(struct follow *f, struct moment now);
uint64_t follow_deadline(const struct follow *f);
/* Ends: what the source has sent and is received is applied first (for 10 s at most). `forget`: the
 * mark is removed, keys past their deadline go (import-mode): the target is a database of its own.
 * Without it a later follow goes on from here. FOLLOW_ENDED tells when it is done; calls no hook.
 */
void follow_end(struct follow *f, bool forget, struct moment now);
bool follow_is_over(const struct follow *f); /* STOPPED or ENDED */
void follow_status(const struct follow *f, struct follow_status *out);

#endif
