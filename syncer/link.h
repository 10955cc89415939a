/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SYNCER_LINK_H
#define MERIDIAN_SYNCER_LINK_H

#include "base/rng.h"
#include "crdt/stability.h"
#include "syncer/elision.h"
#include "syncer/syncer.h"
#include "syncer/wire.h"

/*
 * What the files of this folder share and nobody else sees: the syncer with its partitions, its
 * peers, the connections on which it pulls and those on which it feeds.
 */

#define MS UINT64_C(1000) /* moments count microseconds */
#define SECOND (1000 * MS)
#define BEAT (50 * MS)        /* claims, acknowledged contexts, stability: while busy */
#define HEARTBEAT SECOND      /* each side says at least this often that it lives */
#define SILENCE (10 * SECOND) /* a connection that says nothing for so long is dead */
#define ACK_EVERY (2 * MS)    /* acknowledgements of bytes */
#define ACK_BYTES ((size_t)256 << 10)
#define RETRY_MIN (50 * MS)
#define RETRY_MAX (5 * SECOND)
#define LACKS_AFTER (200 * MS) /* what others have and we have not for so long is asked for */
#define ASK_EVERY (500 * MS)
#define STUCK_AFTER (2 * SECOND)
#define SEND_MAX ((size_t)4 << 20)
#define WAIT_MAX ((size_t)64 << 20)
#define ELIDE_MAX ((size_t)64 << 20)
#define TRANSFER_MAX ((size_t)1 << 30)
#define TRANSFER_HELD_MAX ((size_t)64 << 20) /* serialised early, not yet taken by the puller */
#define DRIFT_MAX_MS 60000
#define PUMP_FRAMES 8192u                 /* read from the log at one go */
#define SCRATCH_KEPT_MAX (4 * PUMP_BYTES) /* larger scratch buffers are given back */
#define PUMP_AT_ONCE 512u                 /* of these whatever else waits */
#define PUMP_BYTES ((size_t)1 << 20)
#define PUMP_PACKED_BYTES ((size_t)128 << 10) /* while they are compressed */
#define SLICE_BYTES ((size_t)16 << 10)        /* of a state */
#define PUMP_SLICES 64u                       /* as many bytes of a state at one go */
#define INCARNATIONS_BACK 15u

/* ------------------------------------------------------------ partitions */

/* A frame that waits for its causes; deps and ops lie behind it in the same block. */
struct waiting {
    struct waiting *next;
    size_t bytes;
    bool direct;     /* came from its writer's own connection */
    uint32_t region; /* of the link it came by */
    struct frame frame;
};

/* Those of one actor in one partition, in the order of their stamps: only the first can be next. */
struct wait_queue {
    uint32_t actor;
    struct waiting *first, *last;
};

struct part {
    struct stability *stability;
    stamp_t own;                 /* our actor's last stamp when this began */
    stamp_t was;                 /* ... and that of the actor that we were (config.was) */
    struct context seen, stable; /* own context and result when stability was last computed */
    bool restable;               /* claims or reports have changed since */
    uint64_t news;               /* counts changes of retirements and reports */
    struct wait_queue *queues;   /* owned */
    unsigned queues_n, queues_cap;
    uint64_t asked_us; /* last RELAY sent for it, and to which region */
    uint32_t asked_region;
    bool caught_up; /* has all that one live region had when we came back */
    uint32_t donor; /* the region that was asked for it whole, 0 none */
};

/* ------------------------------------------------------------ pulling */

/*
 *   DOWN --retry--> DIALLING --open--> HELLO --welcome--> LIVE      any: close, error, silence ->
 * DOWN
 */
enum phase { PHASE_DOWN, PHASE_DIALLING, PHASE_HELLO, PHASE_LIVE };

struct pull_part {
    struct context announced; /* the last claim on this connection, whether it counts yet or not */
    struct context watch;     /* an announcement, to see whether it arrives in time */
    struct context target; /* what it had when we asked for the whole, and recalled that we had */
    struct context acked;  /* what the feeder was last told of us */
    struct context relays; /* one stamp of each actor that is relayed to us here */
    uint64_t watch_us, asked_us;
    uint64_t losses; /* of connections, when it was asked for its target */
    bool has_claim, claim_waits, want_target, has_target, watching;
    bool from_stale; /* has_target: it was catching up itself when it answered */
    bool gap;        /* something was dropped: subscribe again from where we are */
    bool baseless;   /* a patch came whose base is not here: then as a state, not from the log */
};

/* A state under way. */
struct stage {
    bool active;
    uint32_t partition;
    struct hash128 digest;
    struct context context;
    struct joiner *joiner; /* owned; NULL: none is active */
    bool unproven;         /* joined, and its digest has not been compared */
};

/* Operations that came ahead of their frame. */
struct pieces {
    bool active;
    size_t max;
    struct buf bytes;
};

#define PULL_TOUCHED 8u

/* Comparing the keys of partitions that differ, one partition at a time (verify.c). */
struct listing {
    uint64_t ticket;
    bool active, own_done;
    uint32_t partition, keys, keys_max;
    uint64_t cursor;  /* in our table */
    struct buf queue; /* partitions that wait */
    struct buf found; /* names, each behind its length */
    struct buf asked; /* likewise: of ours, under way */
};

struct pull {
    struct conn_owner owner; /* first */
    struct pull *next;
    struct peer *peer;
    conn_id conn;
    enum phase phase;
    uint32_t want_first;   /* dials for partitions from here on */
    uint32_t first, count; /* what the connection serves, while LIVE */
    life_t life;           /* the feeder's */
    bool waits;            /* its number is not known to be free: only news count (claims_life) */
    bool stale;            /* so is the feeder */
    bool asks;             /* in this tick, for parts with want_target */
    bool all;              /* it had sent everything at the last mark */
    bool paused;           /* held by the configuration */
    bool quarantined;      /* held until stamps up to `ahead` are within our clock's bounds */
    bool refused;
    bool busy;       /* ... for now: it is being loaded, or does not know us yet */
    bool distrusted; /* sent what cannot be; until it has sent everything without a fault */
    stamp_t ahead;
    unsigned failures;
    uint64_t retry_us, heard_us, live_us, try_us; /* try: when a quarantined one looks again */
    struct wire_hello hello, welcome;
    struct wire_coder coder;
    struct pull_part *parts; /* owned, count of them */
    unsigned claims_waiting;
    struct buf in;
    size_t inflated;       /* bytes at the front of `in` that came out of a batch */
    bool more;             /* messages may wait in `in` for their slice of a turn */
    size_t at_once;        /* bytes taken in this turn without waiting for one */
    struct waiting *stuck; /* the frame whose clock is out of bounds */
    struct stage stage;
    struct pieces pieces;
    struct listing listing;
    uint64_t received, acked; /* bytes after WELCOME */
    uint64_t ack_us;
    uint32_t touched[PULL_TOUCHED]; /* partitions that frames have changed since the last ack */
    unsigned touched_n;             /* above PULL_TOUCHED: too many to remember */
};

/* ------------------------------------------------------------ feeding */

struct feed_part {
    bool subscribed, whole, want, forced; /* want: a state; forced: although the contexts agree */
    bool behind;                          /* served from the log on disk, for now (past.c) */
    bool later;                           /* then: not in this reading, there is no room for all */
    struct elision *run;                  /* read from there, may go on; owned, NULL none */
    bool announce;                        /* the next claim goes out even if nothing changed */
    uint64_t news;                        /* version sent */
    struct context known;                 /* what the puller has or was sent */
    struct context acked;                 /* what it said that it has */
    struct context claimed;
    struct context relays; /* one stamp of each further actor it wants */
};

/* A run that is to be sent. */
struct past_run {
    struct past_run *next;
    uint32_t index; /* of its part */
    bool begun;     /* some pieces are on their way */
    stamp_t last;
    struct elision *run; /* owned */
    struct frame frame;  /* once begun; borrows from it */
};

/* Reading the log on disk for the parts that are behind. */
struct past {
    uint64_t ticket; /* of the reading under way, 0 none */
    struct syncer_place place;
    bool seek;              /* more parts have fallen behind: begin where they need it */
    bool asked;             /* an answer is to come, or has not been taken in whole */
    bool more;              /* some of it is here */
    bool postpones;         /* parts for which there is no room wait for the next reading */
    uint32_t fit;           /* so many parts had room in the reading before; 0: all, or none was */
    struct past_run *ready; /* owned; to be sent before more is read, the first one first */
    size_t bytes;           /* that the parts' runs take */
    uint64_t ops, elided;   /* read so far, and left out */
    uint64_t from_left;     /* bytes on disk when the reading began */
    uint64_t since_us;      /* when the first of several readings began; 0: none has */
    uint64_t look_us, look_left; /* what was left when it was last looked whether it gets less */
};

/* At `sent` bytes everything up to `ops` own operations was on its way. */
struct feed_mark {
    uint64_t sent, ops, at_us;
};
#define FEED_MARKS 64u

struct feed {
    struct conn_owner owner; /* first */
    struct feed *next;
    struct syncer *s;
    conn_id conn; /* 0: dead, to be freed at the end of the turn */
    bool proven;
    bool held;  /* by an operator at the puller's side */
    bool waits; /* the puller's number is not known to be free: it gets news only */
    struct wire_hello puller, mine;
    uint32_t first, count;
    struct wire_coder coder;
    struct feed_part *parts; /* owned */
    unsigned wants;          /* parts that want a state */
    uint64_t pos;            /* in the log */
    unsigned behinds;        /* parts that are served from the disk */
    struct past past;
    struct transfer *transfer;
    uint32_t transfer_partition;
    uint64_t transfer_pos; /* in the log: what the state holds was logged by then */
    struct buf in;
    size_t wire_before;   /* output when frames began to be appended */
    uint64_t sent, acked; /* bytes after WELCOME */
    uint64_t heard_us, sent_us;
    bool claim_now, unmarked, stale_sent;
    struct feed_mark marks[FEED_MARKS]; /* a ring: the last one passed, then marks_n to come */
    unsigned marks_at, marks_n;
    uint64_t late_us; /* since when there are operations beyond the newest mark, 0 none */
};

/* ------------------------------------------------------------ the whole */

struct peer {
    struct syncer *s;
    uint32_t region;
    bool member;
    struct pull *pulls;            /* by want_first; NULL unless member */
    struct link_stats totals;      /* counters and error; the rest is filled in when asked */
    uint64_t synced_us;            /* when we last had all of it, or began to ask */
    uint64_t acked_ops, behind_us; /* own operations it has; since when it lacks some, 0 none */
};

/* A large frame is being taken, a slice a turn. */
struct pouring {
    bool active, direct;
    uint32_t partition;
    stamp_t last;
    struct pull *by; /* that brought it; NULL: its connection has ended */
};

struct syncer {
    struct shard *shard;
    struct syncer_config config;
    uint32_t first, count;
    struct part *parts; /* owned */
    struct peer peers[REGION_MAX + 1];
    struct feed *feeds;
    struct rng rng;
    bool any_retired;
    struct pouring pouring;
    size_t waiting_bytes;
    uint64_t waiting_frames;
    bool caught_up;
    enum syncer_copy copy;
    uint32_t newest;    /* incarnation of a later life of this region, 0: none is known of */
    bool rested;        /* it has been at rest: see syncer_rests */
    bool dirty;         /* the next tick is at a beat, not at a heartbeat */
    uint64_t removed;   /* bit set of regions that were members */
    uint64_t reachable; /* as told to the shard */
    uint64_t log_seen;  /* end of the log at the last turn */
    uint64_t ops_own;
    uint64_t losses;  /* of connections on which we pull */
    uint64_t learnt;  /* acknowledgements of contexts, and claims */
    uint64_t tick_us; /* of the last tick */
    uint64_t wake_us; /* a tick is due */
    uint64_t turn_us; /* a turn is due: something was left over, or an acknowledgement */
    struct buf scratch, batch;
    struct buf messages;           /* published in this turn (message.c) */
    struct syncer_archive archive; /* all NULL: nothing is on disk */
    struct share *share;           /* NULL: there is no limit */
    uint64_t tickets;
    uint64_t elision_key;
    uint64_t disk_owes_us;   /* since when what comes in bulk waits; UINT64_MAX: it does not */
    bool full;               /* syncer_hold */
    syncer_lasting *lasting; /* NULL: nothing is on disk */
    void *lasting_arg;
    syncer_limit *limit; /* NULL: none */
    void *limit_arg;
    syncer_verified *verified;
    void *verified_arg;
    syncer_heard *heard;
    void *heard_arg;
};

static inline struct part *syncer_part(const struct syncer *s, uint32_t partition)
{
    return &s->parts[partition - s->first];
}

static inline bool syncer_owns(const struct syncer *s, uint32_t partition)
{
    return partition - s->first < s->count; /* wraps when below */
}

/* A script has stopped in the middle: nothing may come in between. What peers send waits. */
static inline bool syncer_rests(const struct syncer *s) { return shard_busy(s->shard) != NULL; }

static inline bool pull_held(const struct pull *p)
{
    return p->paused || p->quarantined || p->peer->s->full || syncer_rests(p->peer->s);
}

static inline bool pull_works(const struct pull *p)
{
    return p->phase == PHASE_LIVE && !p->waits && !pull_held(p);
}

/* ------------------------------------------------------------ syncer.c: taking */

enum taken {
    TAKEN_DONE,
    TAKEN_COVERED,
    TAKEN_WAITS,
    TAKEN_BASELESS,
    TAKEN_BAD,
    TAKEN_FENCED,
    TAKEN_POURS, /* not in one go: pouring.* */
};
/* Applies a frame unless a fence forbids it. What it was the cause of is wait_retry's. */
enum taken syncer_take(struct syncer *s, const struct frame *f, bool direct, struct moment now);
/* Likewise, a large one in slices (shard_pour). `by` brought it. */
enum taken syncer_pour(struct syncer *s, const struct frame *f, struct buf *ops, struct pull *by,
                       struct moment now);
enum taken syncer_pour_on(struct syncer *s, struct moment now);
/* May stamps up to those of `c` be taken from a region that is not their writer? */
bool syncer_may_join(const struct syncer *s, uint32_t partition, const struct context *c);
bool syncer_drifts(const struct syncer *s, stamp_t stamp, struct moment now);
void syncer_wake(struct syncer *s, uint64_t at_us);

/* ------------------------------------------------------------ pull.c */

void pull_new(struct peer *peer, uint32_t want_first);
void pull_free(struct pull *p, struct port *port);
/* Ends the connection and dials again later. `why` is kept as the peer's error unless NULL. */
void pull_fail(struct pull *p, struct port *port, struct moment now, const char *why);
/* Both: the shard is no longer busy with a script. */
/* WIRE_REFUSE: ends the connection. */
void pull_refused(struct pull *p, struct port *port, struct bytes body, struct moment now);
void pull_rested(struct pull *p, struct port *port, struct moment now);
void feed_rested(struct feed *f, struct port *port, struct moment now);
void pull_pause(struct pull *p, struct port *port, bool paused, struct moment now);
void pull_tick(struct pull *p, struct port *port, struct moment now);
/* The peer has just dialled us, so it is there: what is down is dialled at once. */
void pull_hurry(struct peer *peer, struct moment now);
/* (Re)subscribes to the parts for which `chosen` says so. */
void pull_subscribe(struct pull *p, struct port *port, bool (*chosen)(const struct pull_part *));
struct pull *peer_pull(const struct peer *peer,
                       uint32_t partition); /* LIVE and serving it, or NULL */
enum link_state pull_state(const struct pull *p);

/* ------------------------------------------------------------ intake.c, apply.c */

/* Takes what arrived, after what was held back: of a lot only some now, the rest in turns. */
void pull_receive(struct pull *p, struct port *port, struct bytes data, struct moment now);
void pull_turn(struct pull *p, struct port *port, struct moment now);
void pour_turn(struct syncer *s, struct port *port, struct moment now);
/* Reads on unless something is in the way. */
void pull_listen(struct pull *p, struct port *port);

enum outcome {
    OUT_NEXT, /* the message is done with */
    OUT_HELD, /* it stays where it is until the link is released */
    OUT_ENDED /* the connection is gone */
};
/* Compares the digest of what was joined, when it is. */
void pull_prove(struct pull *p, struct port *port);
enum outcome pull_take(struct pull *p, struct port *port, uint8_t kind, struct bytes body,
                       struct moment now);
/* `ops`: what f->ops lie in, taken if it is needed for longer; NULL: they are borrowed. */
enum outcome pull_apply(struct pull *p, struct port *port, const struct frame *f, struct buf *ops,
                        struct moment now);
/* A frame has been taken, or not; not for TAKEN_WAITS. */
enum outcome pull_took(struct pull *p, struct port *port, uint32_t partition, enum taken took,
                       struct moment now);
/* Ends a connection on which something malformed came. */
enum outcome pull_bad(struct pull *p, struct port *port, struct moment now, const char *what);
/* Stops listening until the clocks are mended; nothing is dropped. */
void pull_quarantine(struct pull *p, struct port *port, stamp_t stamp, struct moment now);
void pull_release(struct pull *p, struct port *port);

/* ------------------------------------------------------------ ack.c */

void ack_touch(struct pull *p, uint32_t partition); /* a frame has changed it */
void ack_turn(struct pull *p, struct port *port, struct moment now);
void ack_tick(struct pull *p, struct port *port, struct moment now);

/* ------------------------------------------------------------ feed.c, pump.c */

void feed_close(struct feed *f, struct port *port,
                const char *why); /* freed at the end of the turn */
void feed_free(struct feed *f);
void feed_tick(struct feed *f, struct port *port, struct moment now);
void feed_pump(struct feed *f, struct port *port, struct moment now);
/* The log cannot serve the puller from where it is. */
bool feed_lacks(const struct feed *f, uint32_t partition);
void feed_want(struct feed *f, struct feed_part *part);
/* Are we catching up, or not any more, and has not the puller been told? */
bool feed_stale_changed(const struct feed *f);
void feed_send_mark(struct feed *f, struct port *port, bool all, struct moment now);
/* A state was joined into the partition: whoever lacks it cannot be served from the log. */
void feeds_joined(struct syncer *s, uint32_t partition);
void feed_acked(struct feed *f);
uint64_t feed_behind_us(const struct feed *f); /* age of its oldest lacking operation, 0 none */
bool feed_blocked(const struct feed *f);
size_t feed_send_max(const struct syncer *s);
/* Appends a message and counts it. */
void feed_put(struct feed *f, struct port *port, uint8_t kind, struct bytes body);

bool feeds_actor(const struct feed *f, const struct feed_part *part, uint32_t actor);
/* Appends a frame that the puller is to have and lacks; false: it is none. What can't be told
 * without a gap makes the partition's state wanted. */
bool feed_send_frame(struct feed *f, struct buf *out, const struct frame *frame);
/* Where frames are appended; between the two calls nothing else is sent to the feed. NULL: it is
 * gone. */
struct buf *feed_frames_begin(struct feed *f, struct port *port);
void feed_frames_end(struct feed *f, struct port *port);

/* ------------------------------------------------------------ past.c */

/* The log's memory does not reach back to what the puller has: the log on disk does, or the state
 * is sent. */
void past_want(struct feed *f, uint32_t partition);
void past_forget(struct feed *f, uint32_t partition); /* it is served in another way */
void past_pump(struct feed *f, struct port *port, struct moment now);
uint64_t past_left(const struct feed *f); /* bytes on disk that are still to be read */
bool past_waits(const struct feed *f);    /* for the disk */
void past_end(struct feed *f);

/* ------------------------------------------------------------ message.c */

#define MESSAGES_KEPT_MAX ((size_t)64 << 10)
void messages_send(struct syncer *s, struct port *port);
bool messages_take(struct pull *p, struct bytes body); /* false: malformed */

/* ------------------------------------------------------------ verify.c */

bool verify_taken(struct pull *p, struct port *port, struct bytes body);
bool verify_answer(struct feed *f, struct port *port, struct bytes request, struct moment now);
void listing_deinit(struct listing *l);

/* ------------------------------------------------------------ wait.c */

struct waiting *waiting_new(const struct frame *f, bool direct, uint32_t region);
/* False: no room (then nothing is kept), or the frame can't be told to be needed. */
bool wait_add(struct syncer *s, const struct frame *f, bool direct, uint32_t region);
void wait_retry(struct syncer *s, uint32_t partition, struct moment now);
void wait_deinit(struct syncer *s);

/* ------------------------------------------------------------ copies.c */

/* A peer has told what it has of a partition. */
void copies_look(struct syncer *s, struct port *port, uint32_t region, uint32_t partition,
                 const struct context *theirs);
/* A peer knows a later life of this region, of this incarnation. */
void copies_outlived(struct syncer *s, struct port *port, uint32_t region, uint32_t newest);
/* A frame of the log, as it was closed, is about to be sent. True: this region is split. */
bool copies_splits(const struct feed *f, struct port *port, const struct frame *frame);

/* ------------------------------------------------------------ claims.c */

/* A life of a region was heard of, and speaks for the partitions of its greeting: earlier ones have
 * ended. False: its number was another life's, which is not over here as far as is known; nothing
 * but news may pass on its links. */
bool claims_life(struct syncer *s, struct port *port, const struct wire_hello *h,
                 struct moment now);
/* The incarnation of the newest life of its region that is known of in these partitions. */
uint32_t claims_newest(const struct syncer *s, const struct wire_hello *h);
/* It has ended itself. */
bool claims_outlived(const struct syncer *s, const struct wire_hello *h);
void claims_retire(struct syncer *s, struct port *port, uint32_t partition, life_t life,
                   struct moment now);
void claims_leave(struct syncer *s, uint32_t region, struct moment now); /* a member no more */
bool claims_take(struct pull *p, struct port *port, struct bytes body);
bool claims_take_news(struct pull *p, struct port *port, struct bytes body, struct moment now);
void claims_count(struct pull *p); /* those that waited for their frames */
void claims_send(struct feed *f, struct port *port);
void claims_send_news(struct feed *f, struct port *port);
void claims_stable(struct syncer *s, struct moment now);
void claims_members(struct syncer *s);

/* ------------------------------------------------------------ relay.c, catchup.c */

void relay_tick(struct syncer *s, struct port *port, struct moment now);
void catchup_tick(struct syncer *s, struct port *port, struct moment now);
/* A peer's RECALL, its TARGET. False: malformed. */
bool catchup_recalled(struct pull *p, struct port *port, struct bytes body);
bool catchup_target(struct pull *p, struct port *port, struct bytes body);
/* Should this subscription ask for the whole partition? */
bool catchup_wants(struct pull *p, uint32_t partition);

#endif
