/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_SHARD_H
#define MERIDIAN_SHARD_SHARD_H

#include "base/rng.h"
#include "crdt/apply.h"
#include "shard/catalog.h"
#include "shard/command.h"
#include "shard/evict.h"
#include "shard/log.h"
#include "shard/memory.h"

/*
 * A shard: the single-threaded owner of some partitions of one database in one region. It executes
 * commands on its keyspace, turns writes into operations (stamped, applied and logged in one go),
 * applies foreign frames, compacts, expires. It knows nothing of connections, sessions and links.
 */
struct shard; /* opaque outside shard/ */

/*
 * Which IDs XADD takes, and makes. Strict refuses full ones (<ms>-<seq>): two regions could give
 * the same; semi-strict takes them. Both put the region into the sequence of those they make, where
 * there are several regions: seq = n * 1024 + region. Liberal takes all and makes plain ones.
 * Equal IDs from two regions are both kept. The default is strict with several regions, else
 * liberal.
 */
enum xadd_ids { XADD_IDS_DEFAULT, XADD_IDS_STRICT, XADD_IDS_SEMI_STRICT, XADD_IDS_LIBERAL };

struct unblocked {
    const struct command *command;
    struct bytes reply; /* borrowed */
    bool failed;        /* the reply is an error */
};

struct shard_opts {
    uint32_t id;
    uint32_t region; /* 1..63 */
    uint32_t actor;
    uint32_t partitions;             /* of the database, power of two */
    uint32_t first_partition, count; /* owned: a contiguous range; reaches one beyond the last where
                                        it includes the hidden partition (catalog.h) */
    struct hash_key hash_key;
    uint64_t seed;
    bool geo; /* has peers: keep a log and digests */
    enum xadd_ids xadd_ids;
    size_t log_bytes_max;  /* repl_backlog; 0: 64 MiB */
    size_t memory_max;     /* of the database (memory.h); 0: none. Beyond it CMD_DENYOOM commands
                              answer -OOM */
    uint32_t pour_min;     /* operations of a frame that is taken in slices; 0: 256 */
    size_t patch_min;      /* strings of so many bytes are patched (docs/patches.md); 0: 4096 */
    size_t kept_bytes_max; /* what is kept for patches to come; 0: 64 MiB */
    size_t slice_bytes;    /* larger collections are transferred in slices; 0: 64 KiB */
    void (*touched)(void *arg,
                    uint64_t session); /* a key that session WATCHes was changed; may be NULL */
    /* The session's waiting command has come to its end. Called within other calls: it must not
     * call the shard. May be NULL. */
    void (*unblocked)(void *arg, uint64_t session, const struct unblocked *end);
    /* The other regions (bit r) that are not known to have seen the stamp. May be NULL. */
    uint64_t (*lacking)(void *arg, uint32_t partition, stamp_t stamp);
    /* Something happened to a key, of a class that shard_set_events asked for; may be NULL. */
    void (*event)(void *arg, uint32_t class, const char *name, struct bytes key);
    /* A message for all who listen to the channel (`sharded`: a shard channel): how many heard it
     * in this region. May be NULL. */
    uint64_t (*publish)(void *arg, struct bytes channel, struct bytes text, bool sharded);
    /* After a read-only command of a call that tracks; and, while shard_set_tracked: a key has
     * changed, by a command of that session or (0) by nobody's. `key.p` NULL: all keys. */
    void (*read)(void *arg, const struct call *c);
    void (*changed)(void *arg, struct bytes key, uint64_t session);
    /* A script has run a command (shard_show). May be NULL. */
    void (*show)(void *arg, const struct call *c);
    void *arg;
    /* An entry of the catalog was set or (NULL) removed, here, elsewhere or by a join, or may have
     * been: the same may come twice. `name` and `value` are borrowed. CATALOG_KINDS: the shard has
     * become stale, or is no more: whether it has all entries has changed. May be NULL. */
    void (*catalog)(void *arg, enum catalog_kind kind, struct bytes name,
                    const struct bytes *value);
    void *catalog_arg;
};

struct shard *shard_new(const struct shard_opts *o);
void shard_free(struct shard *s);
static inline uint32_t slot_partition(unsigned slot, uint32_t partitions)
{
    return (uint32_t)(slot * (uint64_t)partitions / SLOTS);
}

/* ------------------------------------------------------------ commands */

/* How a call may wait for its keys (shard/blocked.h). */
struct block {
    struct bytes
        ready; /* the shard's: runs the command again because of this key; p NULL: the first time */
    int64_t timeout_ms; /* answer: how long it wants to wait; 0: for ever */
    bool waits;         /* answer: nothing was replied, the shard keeps the command */
};

/* One command being executed. The proxy fills it; argv borrows the client's bytes. */
struct call {
    struct shard *shard;
    const struct command *command;
    uint32_t argc;
    const struct bytes *argv;
    struct reply *reply;
    struct moment now;
    uint64_t session;  /* who calls: names it for WATCH */
    struct bytes user; /* its user's name, for scripts, whose commands are checked; empty: a user
                          that may do everything */
    bool track;        /* the session wants to hear of changes to what it reads */
    bool in_exec;      /* inside EXEC */
    bool in_script;    /* run by a script, which has checked what may be refused (shard_refusal) */
    bool may_later;    /* the caller can do without the reply for now */
    bool later;        /* set: no reply yet, the script engine will say when (script/engine.h) */
    bool hashed;       /* key_slot, key_hash of argv[first_key] are already known */
    uint32_t key_slot;
    uint64_t key_hash;
    struct block *block; /* kept during the call; NULL: it may not wait */
};

/* Runs it: checks OOM and staleness, then the command's function. Keys must all belong here. */
void shard_execute(struct shard *s, struct call *c);
/* Tells of a command that a script has run. */
void shard_show(const struct shard *s, const struct call *c);
void shard_set_tracked(struct shard *s, bool tracked); /* is opts.changed wanted? */
/* Which events (shard/events.h, enum event_class) opts.event wants to hear of; 0: none. */
void shard_set_events(struct shard *s, uint32_t classes);
/* Why a command with these flags is refused now (with the error's code), NULL: it may run. */
const char *shard_refusal(struct shard *s, uint32_t flags);
bool shard_scripts_debug(const struct shard *s); /* may scripts call DEBUG PROTOCOL? */
/* Beyond memory_max, and evicting does not help: what needs memory is refused. Evicts. */
bool shard_is_full(struct shard *s);
#define OOM_TEXT "OOM command not allowed when used memory > 'maxmemory'."
bool shard_owns(const struct shard *s, struct bytes key); /* is the key's partition here? */
bool shard_is_whole(const struct shard *s);               /* are all keys of the database here? */

/* What runs EVAL, EVALSHA, FCALL ... on this shard (script/). Kept; NULL: they answer an error. */
struct shard_engine {
    void (*run)(struct shard_engine *self, struct call *c);
};
void shard_set_engine(struct shard *s, struct shard_engine *engine);
struct shard_engine *shard_engine(const struct shard *s);
/* A script has stopped in the middle: until NULL is set again every command answers this text
 * (with its code), no foreign frame and no state is taken, no frame closes, nothing expires. */
void shard_set_busy(struct shard *s, const char *text);
const char *shard_busy(const struct shard *s);
uint64_t shard_hash(const struct shard *s, struct bytes key);
/* Two steps to bring a key's cache lines near before shard_execute: call the first for a whole
 * pipeline, then the second. */
void shard_prefetch(const struct shard *s, uint32_t slot, uint64_t hash);
void shard_prefetch_item(const struct shard *s, uint32_t slot, uint64_t hash);
/* A third: the collection at the key, NULL when there is none; then coll_ahead_bucket and
 * coll_ahead_item (crdt/value.h). */
const struct coll *shard_prefetch_coll(const struct shard *s, uint32_t slot, uint64_t hash,
                                       struct bytes key);
/* A transaction: frames are closed before, and flagged atomic; between begin and end no frame
 * closes. */
void shard_atomic_begin(struct shard *s, struct moment now);
void shard_atomic_end(struct shard *s);
void shard_watch(struct shard *s, uint64_t session, struct bytes key, struct moment now);
/* True when a key watched by the session changed (or expired) since; forgets the session's watches.
 */
bool shard_unwatch(struct shard *s, uint64_t session, struct moment now);

enum unblock {
    UNBLOCK_TIMEOUT, /* nil */
    UNBLOCK_ERROR,   /* -UNBLOCKED */
    UNBLOCK_GONE,    /* nobody is there any more: no reply */
};
#define UNBLOCKED_BY_CLIENT "UNBLOCKED client unblocked via CLIENT UNBLOCK"
/* Ends the wait of a session's command, with the reply into `out`. False: none waits (it has been
 * served). */
bool shard_unblock(struct shard *s, uint64_t session, enum unblock why, struct buf *out);
size_t shard_blocked(const struct shard *s); /* commands that wait */

/*
 * SCAN (AT_EACH, MERGE_SCAN): its cursor is partition:14 | upper bits of the table's cursor:39,
 * below 2^53, with the database's number of the partition. The proxy sends it to the shard that
 * owns partition cursor >> SCAN_PARTITION_SHIFT. A cursor before a shard's first partition starts
 * there; a shard that is through answers 0, which the proxy replaces by the next shard's first
 * partition unless it was the last.
 */
#define SCAN_PARTITION_SHIFT 39u

/* ------------------------------------------------------------ replication */

enum take {
    TAKE_DONE,    /* applied; the context has grown */
    TAKE_COVERED, /* was here already */
    TAKE_WAITS, /* its causes (prev or deps) are not here yet: try again when the context has grown
                 */
    TAKE_BASELESS, /* a patch whose base is not here any more: nothing was applied; the state of
                      whoever has applied it must be joined */
    TAKE_BAD,      /* malformed: nothing was applied */
    TAKE_POURS,    /* shard_pour: not done yet */
};
/* Applies a foreign frame, whole or not at all. `now` also bounds clocks: the caller has checked
 * the drift. */
enum take shard_take(struct shard *s, const struct frame *f, struct moment now);
/* Likewise, but a large one (shard_opts.pour_min) is copied and taken a few operations at a time:
 * TAKE_POURS, until shard_pour_on says what became of it. Nothing else is poured meanwhile; whoever
 * looks at a key sees all of the frame or nothing. Never while a script has stopped. `ops`, unless
 * NULL, holds f->ops, and is taken rather than copied if it is poured. */
enum take shard_pour(struct shard *s, const struct frame *f, struct buf *ops, struct moment now);
enum take shard_pour_on(struct shard *s, struct moment now);
bool shard_pours(const struct shard *s);
/* Of the one under way: where it belongs, and whether it can't be dropped any more. */
bool shard_pours_into(const struct shard *s, uint32_t *partition, stamp_t *last);
void shard_pour_drop(struct shard *s); /* if it still can be */
void shard_pour_end(struct shard *s);  /* if it can't be: all of it, now; else it goes on */
/* Operations of its own that it has made so far: has a command written anything? */
uint64_t shard_written(const struct shard *s);
const struct context *shard_context(const struct shard *s, uint32_t partition);
/* Somebody has `stamp` of this shard's own actor. May it have come from here? */
enum shard_origin {
    ORIGIN_OWN,    /* yes, as far as can be told */
    ORIGIN_BEYOND, /* no: it is later than what was opened, and nothing was written since */
    ORIGIN_BESIDE, /* no: it is later than what was opened, and is not of what was written since */
};
enum shard_origin shard_origin(const struct shard *s, uint32_t partition, stamp_t stamp);
/* It lies between what was opened and what this process wrote first, also if the shard was renamed
 * since: `stamp` is of the actor as which that was written. */
bool shard_began_across(const struct shard *s, uint32_t partition, stamp_t stamp);
struct hash128 shard_digest(struct shard *s, uint32_t partition);
/* Of what is there by now: of a state or a large frame that is being taken in, a part. Costs
 * nothing. */
struct hash128 shard_digest_so_far(const struct shard *s, uint32_t partition);
/* Closes all open frames so that log readers see every write made so far. Cheap when nothing was
 * written. */
void shard_close_frames(struct shard *s, struct moment now);
struct log *shard_log(struct shard *s);
/* log_hold, for the shard's account. */
void shard_hold_log(struct shard *s, uint64_t pos);
/* Lets compaction rely on this context for the partition; forgetting happens now and in shard_tick.
 */
void shard_stable(struct shard *s, uint32_t partition, const struct context *stable,
                  struct moment now);
/* What compaction relies on: nothing is written any more, anywhere, by who has seen less than that.
 */
const struct context *shard_compacted(const struct shard *s, uint32_t partition);
/* Data that still await compaction (siblings, segments, bare deadlines). */
size_t shard_unsettled(const struct shard *s);
/* Single-region database becomes geo-distributed or back; digests are made then. */
void shard_set_geo(struct shard *s, bool geo);
/* The log is written to disk: it is kept also in a single region, with the states that are joined.
 */
void shard_set_durable(struct shard *s, bool durable);
/* A new life after lost memory or a changed number. */
void shard_set_actor(struct shard *s, uint32_t actor);
/* Likewise in the midst of a process, which may find out later what it did under the old name. */
void shard_rename(struct shard *s, uint32_t actor);
void shard_set_xadd_ids(struct shard *s, enum xadd_ids ids);
/* Up to which sizes Redis keeps collections in a compact form: what OBJECT ENCODING goes by
 * (hash-max-listpack-entries ...). Nothing else does, but XTRIM ~. */
struct shard_looks {
    int64_t hash_entries, hash_value; /* value: the longest field or value, in bytes */
    int64_t set_ints;
    int64_t zset_entries, zset_value;
    int64_t list_size;      /* > 0: elements; -1 to -5: 4 to 64 KiB */
    int64_t stream_entries; /* of a node: what approximate trimming goes in steps of; 0: 100 */
};
void shard_set_looks(struct shard *s, const struct shard_looks *looks);
/* Client writes are refused with -STALE... while a region that lost its memory has not caught up.
 * Reads go on. */
void shard_set_stale(struct shard *s, bool stale);
bool shard_is_stale(const struct shard *s);
/* Client writes are refused with this text, which is kept, until it is NULL; nor does the shard
 * write by itself. Reads go on, so do other regions' writes. */
void shard_set_refusal(struct shard *s, const char *why);
/* Client writes are refused while the region leaves the database and its last writes are on their
 * way. */
void shard_set_leaving(struct shard *s, bool leaving);
/* Everything that patches may still be based on is kept, however much, until it is released: while
 * a log is read again that was written when less was kept. */
void shard_hold_kept(struct shard *s, bool held);
/* While the database is copied from a live source (CONFIG SET import-mode yes) the source says what
 * expires: no key is deleted at its deadline, and commands that write find keys past it, as they
 * did at the source. Reads hide them as ever. */
void shard_set_importing(struct shard *s, bool importing);
/* Which actors' regions are reachable: the deletion of an expired key is issued by the region that
 * set its deadline, by any other once that one is unreachable for 30 s. Bit r = region r. */
void shard_set_reachable(struct shard *s, uint64_t regions);

/*
 * State transfer out: a consistent copy of one partition as of the context at begin. What is about
 * to change, a key or an element of a large one, is serialised first, so the caller can take slices
 * at leisure. Several may run at a time.
 */
struct transfer;
struct transfer *transfer_begin(struct shard *s, uint32_t partition, struct moment now);
const struct context *transfer_context(const struct transfer *t);
/* Appends records (crdt/apply.h): keys, or parts of large ones, until `bytes` are reached; false
 * when nothing is left. Before them what is kept for patches (crdt/shelf.h), likewise. */
bool transfer_next(struct transfer *t, struct buf *out, size_t bytes);
size_t transfer_buffered(const struct transfer *t); /* bytes serialised early and not yet taken */
void transfer_end(struct transfer *t);              /* done or abandoned */
/*
 * State transfer in, as it comes. joiner_join takes the joiner; false: malformed, nothing was
 * changed. From then on the partition counts as having seen all that is in `theirs`, and nobody
 * finds anything else; the keys that nobody asks for are joined by shard_tick.
 */
struct joiner;
struct joiner *joiner_new(struct shard *s, uint32_t partition); /* NULL: no partition of ours */
bool joiner_add(struct joiner *j, struct bytes slice);          /* false: malformed */
size_t joiner_bytes(const struct joiner *j);
bool joiner_join(struct joiner *j, const struct context *theirs, struct moment now);
void joiner_free(struct joiner *j); /* abandoned */
bool shard_is_joining(const struct shard *s, uint32_t partition);
/* The same in one go: joins a complete partition state (as transfer_next wrote it) with its
 * context. False: malformed, nothing was changed. */
bool shard_join(struct shard *s, uint32_t partition, struct bytes state,
                const struct context *theirs, struct moment now);

/* ------------------------------------------------------------ upkeep */

/* Background work in slices of at most about a millisecond: expiry, compaction, lazy freeing.
 * Returns true when more is waiting. Call it on a timer (10 times a second) and again while it says
 * so. */
bool shard_tick(struct shard *s, struct moment now);

/*
 * The feed of conflicts: a record for each, kept until there are CONFLICTS_MAX or they take
 * CONFLICTS_BYTES. Ids grow, also from shard to shard as their clocks do: ms since 2020 << 22 |
 * shard:10 | number:12.
 */
#define CONFLICTS_MAX 4096u
#define CONFLICTS_BYTES ((size_t)2 << 20)
#define CONFLICT_TEXT_MAX 128u /* of key, field and values that is kept */
struct conflict_record {
    uint64_t id;
    int64_t wall_ms; /* when it was found here */
    stamp_t won, lost;
    uint8_t kind, type;
    uint8_t cut;    /* bit i: text i was longer */
    uint8_t len[4]; /* of key, field, won value, lost value, which follow */
};
enum { CONFLICT_KEY, CONFLICT_FIELD, CONFLICT_WON, CONFLICT_LOST };
/* Appends the records of ids above `since` whose keys begin with `prefix`: the oldest `max`, or
 * with `newest` the newest. */
void shard_conflicts(const struct shard *s, uint64_t since, struct bytes prefix, size_t max,
                     bool newest, struct buf *out);

/* Defragmentation: how many slices of about a thousand blocks each tenth of a second may have; 0:
 * none. `all`: every block is moved, whether it helps or not (tests). */
void shard_set_defrag(struct shard *s, unsigned slices, bool all);
struct defrag_stats {
    uint64_t hits, misses;         /* blocks moved, and left where they were */
    uint64_t key_hits, key_misses; /* keys of which anything was moved */
    uint64_t rounds;               /* through the whole shard */
};

struct shard_stats {
    uint64_t keys, expires, commands, writes, expired, evicted, hits, misses;
    struct defrag_stats defrag;
    uint64_t frames_own, frames_foreign, ops_own, ops_foreign, joins;
    uint64_t unsettled, compacted;
    struct conflicts conflicts;
    size_t log_bytes;
    size_t kept, kept_bytes; /* strings that patches to come may be based on */
    uint64_t baseless;       /* frames that came for one which was not there */
};
void shard_stats(const struct shard *s, struct shard_stats *out);
/* What a comparison with another region says of a partition (CRDT.VERIFY). */
enum compare_result {
    COMPARE_EQUAL,
    COMPARE_DIFFERS,
    COMPARE_UNLIKE, /* the contexts differ: not comparable yet */
    COMPARE_NO_LINK,
};
struct compare_record {
    uint32_t region, partition;
    uint32_t result; /* enum compare_result */
    uint32_t keys,
        bytes; /* DIFFERS: names of keys follow, (uint32 length, text)..., so many bytes */
};

/* Visits some of a partition's keys in the order of its table, as table_scan: returns where to go
 * on, 0 at the end. The callback must not write. */
uint64_t shard_scan(struct shard *s, uint32_t partition, uint64_t cursor, size_t want,
                    void (*visit)(void *key, void *arg), void *arg);
/* A key as a client finds it; NULL: it is absent. Valid until the shard changes. */
const struct cell *shard_key(struct shard *s, uint32_t partition, struct bytes key);
/* A key's part of the digest; 0: it is absent, or shows nothing. */
struct hash128 shard_key_digest(struct shard *s, uint32_t partition, struct bytes key);
/* Visits every key of a partition (tests, checkers). The callback must not write. */
void shard_each(struct shard *s, uint32_t partition,
                void (*visit)(const struct cell *key, void *arg), void *arg);

#endif
