/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SYNCER_SYNCER_H
#define MERIDIAN_SYNCER_SYNCER_H

#include "base/port.h"
#include "base/share.h"
#include "shard/shard.h"

/*
 * The links between one shard and the peer regions. One syncer per shard. It pulls: for every peer
 * region it dials the peer's database endpoint and subscribes to its own partitions from its own
 * contexts; the peer's shards that own those partitions feed it (a connection per pair of shards
 * that overlap). So each direction is a connection of its own.
 *
 * A link arrives at the peer as an ordinary client connection whose first bytes are SYNCER_MAGIC
 * instead of RESP; the proxy reads the handshake (syncer_handshake), finds the shard, hands the
 * connection to that shard's worker (port move) and calls syncer_accept there. See wire.h for the
 * bytes.
 */
#define SYNCER_MAGIC "\x9bMERIDIAN" /* 0x9b is never the start of RESP or an inline command */
#define SYNCER_MAGIC_LEN 9u
/* 2: the hidden partition of the catalog travels too. 3: PUBLISH, VERIFY. 4: RECALL.
 * 5: news name lives, and admitted ones. 6: states of large keys in parts. 7: TARGET.
 * 8: the operations of a large frame in pieces. */
#define SYNCER_PROTOCOL 8u
/* Of the log that the disk has not taken, beyond its ring, before what comes in bulk waits. */
#define SYNCER_DISK_OWES ((size_t)8 << 20)

struct syncer;

struct syncer_region {
    uint32_t id; /* 1..63 */
    char name[64];
    char host[256];
    uint16_t port;
};

/* The geo-distributed database as this region knows it; applied by version, older ones are ignored.
 */
struct syncer_config {
    char guid[64];
    char secret[128]; /* shared by the regions: proves membership (HMAC over both sides' nonces) */
    uint64_t version;
    uint32_t region; /* own */
    uint32_t actor;
    uint32_t incarnation;
    bool reborn; /* a new life: earlier incarnations are retired. Memory was lost: catch up before
                    writing */
    bool kept; /* ... but the disk brought back all that they had claimed to have: write at once */
    bool sure; /* ... and what they had seen counts, although nobody has told yet where the lives
                  before were cut: that had been known */
    bool sole; /* nobody but this process and those before it, whose files it has, can have written
                  as this actor */
    uint32_t was; /* this process wrote as that actor before, from an older copy; 0: it did not */
    uint32_t partitions;
    uint32_t tls;                                 /* port tls handle for dialling; 0 none */
    struct syncer_region regions[REGION_MAX + 1]; /* by id; id 0 = no such member; own included */
    uint64_t paused;            /* bit r: the link from region r is held (lab, operators) */
    int64_t clock_drift_max_ms; /* 0: 60,000 */
    size_t send_max;            /* bytes under way to one peer before the feed waits; 0: 4 MiB */
    size_t transfer_max;        /* of one partition's state, staged before it is joined; 0: 1 GiB */
    size_t slice_bytes;         /* of a state sent at a time; 0: 64 KiB */
    size_t wait_max; /* bytes of frames waiting for their causes before the link waits; 0: 64 MiB */
    size_t elide_max; /* bytes of what was read from disk for one peer that wait for what makes them
                         invisible; 0: 64 MiB */
    uint32_t compression; /* 0 none, 1..: zstd level */
};

struct syncer *syncer_new(struct shard *shard, uint32_t first_partition, uint32_t count,
                          const struct syncer_config *config, uint64_t seed);
void syncer_free(struct syncer *s, struct port *port);
/* Region added, removed, moved; links paused; a newer version. */
void syncer_configure(struct syncer *s, struct port *port, const struct syncer_config *config,
                      struct moment now);

/* The first frame of an incoming link, parsed from a connection's first bytes. */
struct handshake {
    char guid[64];
    uint32_t protocol;
    uint32_t region, actor;
    uint32_t first_partition, count; /* what it wants; may span several of our shards */
    size_t used;                     /* bytes of the input it took */
};
enum handshake_result { HANDSHAKE_MORE, HANDSHAKE_OK, HANDSHAKE_BAD };
enum handshake_result syncer_handshake(struct bytes in, struct handshake *out);
/* Appends the refusal a peer understands (unknown database, protocol, ...); the caller then closes
 * with flush. */
void syncer_refuse(struct buf *out, enum err why, const char *text);

/* Takes over a connection; `first` are the bytes received so far, handshake included. */
void syncer_accept(struct syncer *s, struct port *port, conn_id conn, struct bytes first,
                   struct moment now);
/* A client's message (PUBLISH), for the subscribers of the other regions: at most once, dropped
 * where a link is down or full. It goes over the links of one partition, so that messages of one
 * channel, which always gets the same, stay in order. It follows the operations of this shard made
 * before it, but their causes elsewhere may arrive later. */
struct syncer_message {
    struct bytes channel, text;
    bool sharded;
};
void syncer_publish(struct syncer *s, uint32_t partition, const struct syncer_message *m);
/* Whom to tell of messages that come from other regions. */
typedef void syncer_heard(void *arg, const struct syncer_message *m);
void syncer_hear(struct syncer *s, syncer_heard *fn, void *arg);

/* Compares what this shard shows with what a region (0: all) shows; records (struct compare_record)
 * follow for each partition once, by syncer_verified, but where the link ends or a later call
 * replaces this one. At most `keys_max` differing keys are named. */
void syncer_verify(struct syncer *s, struct port *port, uint32_t region, uint64_t ticket,
                   uint32_t keys_max);
typedef void syncer_verified(void *arg, uint64_t ticket, struct bytes records);
void syncer_hear_verified(struct syncer *s, syncer_verified *fn, void *arg);

/* Of a region that keeps its state on disk: what of a partition is durable; NULL while nothing is
 * promised. It claims and reports no more than that. To be set before the first turn; the disk
 * tells of its progress by syncer_durable. */
typedef const struct context *syncer_lasting(void *arg, uint32_t partition);
void syncer_set_lasting(struct syncer *s, syncer_lasting *lasting, void *arg);
/* Position in the shard's log up to which peers may get it; none: all of it. syncer_durable says
 * that it has changed. */
typedef uint64_t syncer_limit(void *arg);
void syncer_set_limit(struct syncer *s, syncer_limit *limit, void *arg);
void syncer_durable(struct syncer *s, struct moment now);
/*
 * The log on disk, for peers that lack what has left the log's memory. Whoever owns the disk
 * answers; nothing is known here of its files.
 */
struct syncer_place {
    uint64_t segment, offset; /* segment 0: none */
};
enum syncer_asked {
    SYNCER_ASKED, /* `take` has it in a later turn */
    SYNCER_END,   /* nothing more is on disk: the rest is in the log's memory */
    SYNCER_GONE,  /* what is there is no longer kept */
};
struct syncer_archive {
    void *arg;
    bool (*ready)(void *arg); /* find and read may be called */
    /* The newest segment from which on all frames of the partition are there that a reader lacks
     * who has what `reaches` says. 0: none. */
    uint64_t (*find)(void *arg, uint32_t partition,
                     bool (*reaches)(void *reader, uint32_t partition, const struct context *begin),
                     void *reader);
    enum syncer_asked (*read)(void *arg, struct port *port, uint64_t ticket,
                              struct syncer_place from, size_t bytes);
    /* Hands out up to `frames` of what was asked for, by syncer_archive_frame and at the end
     * syncer_archive_done. True: there are more. */
    bool (*take)(void *arg, struct port *port, uint64_t ticket, unsigned frames, struct moment now);
    uint64_t (*left)(void *arg, struct syncer_place from);      /* bytes from there to the end */
    void (*keep)(void *arg, uint64_t ticket, uint64_t segment); /* 0: the reader has ended */
};
void syncer_set_archive(struct syncer *s, const struct syncer_archive *archive);
/* What of its worker's time goes to peers that are behind, and to what they send in bulk. Kept;
 * NULL (as at first): there is no limit but on the bytes of a turn. */
void syncer_set_share(struct syncer *s, struct share *share);
/* The answers to `take`. */
void syncer_archive_frame(struct syncer *s, struct port *port, uint64_t ticket,
                          const struct frame *f);
void syncer_archive_done(struct syncer *s, struct port *port, uint64_t ticket,
                         struct syncer_place next, bool good, struct moment now);
/* Some member is not known to have all of this region's operations that `seen` covers. */
bool syncer_lacks(const struct syncer *s, uint32_t partition, const struct context *seen);
/* Takes nothing more from the peers, who keep it, until it is let go: the disk does not keep up and
 * there is no room for what it has not got. */
void syncer_hold(struct syncer *s, struct port *port, bool held, struct moment now);
/* At the end of each turn: feeds take what is new in the log. */
void syncer_turn(struct syncer *s, struct port *port, struct moment now);
/* On the timer: heartbeats and claims, reconnects, relays, lag, stability. */
void syncer_tick(struct syncer *s, struct port *port, struct moment now);
uint64_t syncer_deadline(const struct syncer *s);

enum link_state {
    LINK_DOWN,
    LINK_CONNECTING,
    LINK_HANDSHAKE,
    LINK_TRANSFER,
    LINK_UP,
    LINK_PAUSED,
    LINK_QUARANTINED,
    LINK_REFUSED
};
const char *link_state_name(enum link_state s);

/* What one direction-pair with a peer region looks like from here. */
struct link_stats {
    uint32_t region;
    enum link_state state; /* of our pull from that region (worst of several connections) */
    bool feeding;          /* that region pulls from us */
    uint64_t bytes_in, bytes_out, ops_in, ops_out, frames_in, frames_out;
    uint64_t lag_ops;  /* operations of ours it has not acknowledged */
    int64_t lag_ms;    /* age of the oldest of them; 0 when none */
    int64_t behind_ms; /* how long ago, by arrival, we last knew that we had all of its operations;
                          0 = in sync */
    uint64_t reconnects, transfers_in, transfers_out, relays;
    /* What it lacks of us, where from: partitions that are served from the log on disk, with the
     * bytes that are still to be read there, and those whose state is sent. */
    uint64_t parts_disk, disk_left, parts_state;
    uint64_t ops_disk,
        ops_elided; /* read from disk for it; of these left out: later ones hid them */
    uint64_t messages_in, messages_out, messages_dropped; /* of clients: PUBLISH */
    size_t waiting_bytes;                                 /* frames here that wait for causes */
    char error[160];                                      /* the last error, "" none */
};
unsigned syncer_stats(const struct syncer *s, struct link_stats *out, unsigned max,
                      struct moment now);
/* The regions (bit r) that are known to have `stamp` of the partition, by their acknowledgements
 * and claims; `durable`: by claims only, which say what would survive the region's own failure. */
uint64_t syncer_have(const struct syncer *s, uint32_t partition, stamp_t stamp, bool durable);
/* Counts what may change that: acknowledgements and claims that have arrived. */
uint64_t syncer_learnt(const struct syncer *s);
/* Adds, by region, the partitions whose compaction waits longest for that region. */
void syncer_lagging(const struct syncer *s, uint32_t partitions[REGION_MAX + 1]);
/* Are all earlier lives of this region over for good: nobody can have anything of them that is not
 * here, durably? Then, and only then, their actors' numbers may be used again by a life that writes
 * at once.
 */
bool syncer_settled(const struct syncer *s);
/*
 * Of the earlier lives of this region: may something that they wrote and that is not here still
 * come from others? (syncer_settled asks the same of what is durable here.) Whatever is removed
 * now has not removed that.
 */
struct syncer_earlier {
    uint32_t open;                  /* partitions in which something may come */
    uint32_t waits[REGION_MAX + 1]; /* ... by a region that has not said what it has; 0: it is known
                                       what exists, and on its way */
    uint64_t seen; /* changes when something of theirs comes: a sum of hashes over the partitions */
};
void syncer_earlier(const struct syncer *s, struct syncer_earlier *out);
/* Were its files an older copy of the region's (copies.c)? From then on it takes no writes. */
enum syncer_copy {
    COPY_NONE, /* not as far as can be told */
    COPY_OLD,  /* another actor, catching up first, may go on with them */
    COPY_SPLIT /* what was written since has stamps of what the others have */
};
enum syncer_copy syncer_copy(const struct syncer *s);
/* Of a copy: incarnation of a later life of this region that peers know of; 0: of none. */
uint32_t syncer_newest(const struct syncer *s);
uint32_t syncer_actor(const struct syncer *s); /* as which it speaks */
/* Has each peer said what it has, also of us, or is it known not to answer (yet)? */
bool syncer_greeted(const struct syncer *s);
bool syncer_caught_up(const struct syncer *s); /* may this region take writes? */
/* Everything known from peers is here, nothing waits, all compaction is done: for tests and `lab
 * sync`. */
bool syncer_quiet(const struct syncer *s);

#endif
