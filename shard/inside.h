/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_INSIDE_H
#define MERIDIAN_SHARD_INSIDE_H

#include "base/heap.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crdt/access.h"
#include "crdt/position.h"
#include "crdt/shelf.h"
#include "shard/catalog.h"
#include "shard/events.h"
#include "shard/evict.h"
#include "shard/keys.h"
#include "shard/names.h"

#include <assert.h>

/*
 * struct shard and its parts, for the files of this folder that are not commands. Commands use
 * shard/keys.h only.
 */

/* ------------------------------------------------------------ unsettled data (settle.c) */

/* A first-in first-out queue of (key, type, element, stamp): what compaction must look at once the
 * stamp is stable. An entry whose datum has gone meanwhile is harmless. */
struct settle_block;
struct settle {
    struct settle_block *first, *last; /* owned */
    size_t n;
    size_t bytes;               /* held by it */
    struct settle_block *ahead; /* where settle_ahead reads; NULL: at the oldest entry */
    size_t ahead_at, ahead_n;   /* its place in the block, and how many entries it is ahead */
};
struct settle_entry {
    struct bytes key, elem;
    uint64_t hash; /* of the key */
    stamp_t newest;
    uint8_t type;
};
void settle_deinit(struct settle *q);
void settle_push(struct settle *q, const struct settle_entry *e); /* copies */
/* The oldest entry, borrowed until it is popped; false when empty. */
bool settle_peek(const struct settle *q, struct settle_entry *out);
void settle_pop(struct settle *q);
/* The hashes of the entries behind the oldest, one after the other, as far as `max` ahead of it: to
 * bring their keys near. False when there is none. */
bool settle_ahead(struct settle *q, size_t max, uint64_t *hash);

/* ------------------------------------------------------------ partitions */

/* The frame being written: own operations since it was opened. Closed before anything foreign
 * enters the partition, so its first operation's causes are those of all. */
struct open_frame {
    struct buf ops;
    stamp_t prev, first, last;
    stamp_t *deps; /* owned; the context of the other actors when it was opened */
    uint32_t deps_count, deps_cap;
    uint32_t count; /* operations; 0: not open */
};

#define LINE 64u
/* In the order of cache lines: what finding a key needs, what a write needs, the rest. */
struct part {
    _Alignas(LINE) struct table keys;
    struct joining *joining; /* a state whose keys are being joined; mostly NULL */
    _Alignas(LINE) struct context vv;
    stamp_t own;    /* vv's entry of our actor; stamp_make(0, 0, actor) when it wrote nothing */
    stamp_t closed; /* last stamp of our last closed frame: segments above may still be extended */
    stamp_t began;  /* what this process wrote first as our actor, 0 nothing, ... */
    stamp_t began_prev; /* ... and the actor's last stamp before that */
    struct hash128 digest;
    uint32_t number;    /* in the database */
    uint32_t open_at;   /* where in shard.open, while a frame is open */
    uint32_t transfers; /* under way from `keys` */
    struct open_frame open;
    size_t bare;    /* keys that show nothing: only a deadline is left */
    size_t expires; /* keys that show a deadline */
    struct context stable;
    struct settle unsettled;
    struct shelf shelf; /* dropped strings that patches to come may be based on */
};

/* ------------------------------------------------------------ expiry (expiry.c) */

/* Deadlines to come: (when << 14 | partition, key's hash, the deadline's dot). An entry whose dot
 * is no longer the key's visible deadline is stale; when stale ones prevail, the heap is swept, a
 * slice at a time, into a fresh one. */
struct expiry {
    struct heap now, sweep; /* both are in use while a sweep lasts */
    size_t live;            /* keys that show a deadline */
};

/* ------------------------------------------------------------ lazy freeing (garbage.c) */

struct garbage {
    struct garbage *next;
    struct table keys;
    uint64_t cursor;
    unsigned holds;    /* transfers that still read it */
    struct cell *cell; /* a removed collection, or NULL */
};

/* ------------------------------------------------------------ eviction (evict.c) */

struct candidate {
    uint64_t bad, hash;
    uint32_t part;
};
#define EVICT_POOL 16u
struct evictor {
    struct evict_settings set;
    bool lfu;
    uint32_t seconds, minutes; /* the time, as access bits have it; as of the last tick */
    /* What the shard may hold until it evicts, refuses what needs memory, and refuses it even while
     * it evicts; `guard`: the least of them. INT64_MAX: there is no limit. */
    int64_t start, refuse, margin, guard;
    struct candidate pool[EVICT_POOL]; /* the best last */
    size_t pool_n;
    size_t part_most; /* keys of the largest partition seen lately */
    struct rng rng;
};

/* ------------------------------------------------------------ defragmentation (defrag.c) */

struct defrag {
    unsigned slices; /* a tenth of a second may have; 0: off */
    bool all;        /* moves every block: tests */
    bool next;       /* the partition's table is through */
    unsigned left;   /* slices */
    uint64_t refilled_us;
    uint32_t part;     /* where the walk is: own index ... */
    uint64_t cursor;   /* ... in its table */
    struct buf larges; /* hashes of keys with large collections that wait */
    enum type type;    /* of the first of them: where it is */
    uint64_t element;
    struct defrag_stats stats;
};
void defrag_deinit(struct defrag *d);
bool defrag_tick(struct shard *s); /* true: more may be done now */

struct watches;
struct blocked;

/* The newest conflicts (conflicts.c), oldest first. */
struct conflict_feed {
    struct buf records;
    size_t count;
    uint64_t id; /* of the newest */
};

#define UNREACHABLE_US UINT64_C(30000000)
#define FRAME_OPS_MAX (256u << 10)

/* In the order of use: every command needs what stands first. */
struct shard {
    struct shard_wants wants; /* first: events.h reads it */
    const char *refusal;      /* of client writes: the disk; NULL none */
    bool guarded;             /* a command may be refused; shard_note_hooks */
    bool heard;               /* somebody wants to hear of changes; likewise */
    bool geo;
    bool logged;   /* geo or durable: operations are written into frames */
    bool atomic;   /* a transaction or a script is being run */
    bool open_big; /* an open frame has passed FRAME_OPS_MAX */
    bool woken;    /* a key that a command waits for has changed */
    bool tracked;  /* `changed` is wanted */
    uint32_t partitions, first;
    uint32_t count, shown; /* of partitions: all of them, those that hold keys (catalog.h) */
    struct part *parts;
    struct mem_account account; /* what the shard holds */
    struct clock clock;
    int64_t wall_ms;  /* of the last call that brought a moment */
    uint64_t mono_us; /* likewise */
    uint64_t caller;  /* whose command is being executed; 0: nobody's */
    struct part *at;  /* the partition being changed, and the key's hash: for around.unsettled */
    uint64_t at_hash;
    struct shard_stats stats;
    struct surroundings around;
    struct hash_key hash_key;
    struct watches *watches; /* NULL: nobody watches */
    struct blocked *blocked; /* NULL: no command waits */
    uint32_t id, region;
    struct log *log;
    uint32_t *open; /* partitions (own index) with an open frame */
    uint32_t open_count;
    bool stale, leaving;
    const char *busy;            /* a script has stopped in the middle: the answer to all */
    struct shard_engine *engine; /* kept; NULL none */
    bool durable;                /* the log goes to disk */
    bool closing_atomic;         /* the frames being closed are a transaction's */
    bool reachable_changed;
    struct shard_looks looks;
    bool importing;     /* another database's keys are being copied: it says what expires */
    bool expiry_off;    /* DEBUG SET-ACTIVE-EXPIRE 0: keys past their deadline are only hidden */
    bool scripts_debug; /* scripts may call DEBUG PROTOCOL */
    size_t memory_max;
    struct evictor evict;
    size_t bare; /* keys that show nothing, in all partitions, as of the last tick */
    size_t log_bytes_max, kept_bytes_max; /* as configured; 0: by the limit of memory */
    uint64_t elsewhere; /* what counts against memory_max and is not this shard's */
    struct expiry expiry;
    struct transfer *transfers;
    struct pour *pour; /* a large frame is being applied; NULL none */
    uint32_t pour_min;
    unsigned deferred;       /* of these, and partitions that join: deferred.h */
    size_t slice_bytes;      /* a collection larger than this is transferred in slices */
    struct shelf_total kept; /* by the partitions' shelves */
    size_t patch_min;
    struct garbage *garbage;
    size_t garbage_keys; /* waiting to be freed */
    struct defrag defrag;
    struct rng rng;
    struct position_runs *runs;
    struct buf name; /* scratch: a key's name that outlives its cell */
    enum xadd_ids xadd_ids;
    struct buf room;  /* scratch: call_room */
    struct buf ranks; /* scratch: what absorbs the segments of a HyperLogLog */
    struct buf text;  /* scratch: a HyperLogLog as a string */
    struct op *ops;   /* scratch of shard_take */
    uint64_t *hashes; /* of their keys */
    size_t ops_cap;
    struct context scratch;
    bool script_reads; /* the script under way has read something for a session that tracks */
    uint64_t reachable;
    uint64_t unreachable_since[REGION_MAX + 1]; /* mono_us, where the bit is not set */
    uint32_t tick_part;                         /* where compaction goes on */
    struct conflicts conflicts;
    struct conflict_feed feed;
    void (*touched)(void *arg, uint64_t session);
    void (*unblocked)(void *arg, uint64_t session, const struct unblocked *end);
    uint64_t (*lacking)(void *arg, uint32_t partition, stamp_t stamp);
    void (*event)(void *arg, uint32_t class, const char *name, struct bytes key);
    uint64_t (*publish)(void *arg, struct bytes channel, struct bytes text, bool sharded);
    void (*read)(void *arg, const struct call *c);
    void (*changed)(void *arg, struct bytes key, uint64_t session);
    void (*show)(void *arg, const struct call *c);
    void *arg;
    void (*catalog)(void *arg, enum catalog_kind kind, struct bytes name,
                    const struct bytes *value);
    void *catalog_arg;
};

/*
 * Memory: every entry from outside into the shard makes its account the current one and gives what
 * was before to mem_account_leave; every call out of it goes without an account, since whoever is
 * called keeps what it allocates.
 */
static inline struct mem_account *shard_enter(struct shard *s)
{
    return mem_account_enter(&s->account);
}

static inline void shard_tell_changed(const struct shard *s, struct bytes key, uint64_t session)
{
    struct mem_account *mine = mem_account_enter(NULL);
    s->changed(s->arg, key, session);
    mem_account_leave(mine);
}

/* To be called when anything of this changes. */
static inline void shard_note_hooks(struct shard *s)
{
    s->guarded =
        s->busy != NULL || s->stale || s->leaving || s->refusal != NULL || s->memory_max != 0;
    s->heard = s->watches != NULL || s->blocked != NULL || s->tracked || s->wants.events != 0;
}

static inline void shard_note_time(struct shard *s, struct moment now)
{
    s->wall_ms = now.wall_ms;
    s->mono_us = now.mono_us;
    s->caller = 0;
}

static inline bool part_is_hidden(const struct shard *s, const struct part *p)
{
    return p->number == s->partitions;
}

static inline struct part *shard_part(const struct shard *s, uint32_t partition)
{
    return &s->parts[partition - s->first];
}

/* ------------------------------------------------------------ changes (change.c) */

/*
 * The one place where the keyspace changes. change_begin before a cell may move or go (transfers
 * copy it first), change_end with the cell after: table, counts, expiry index, watchers.
 */
struct change {
    struct part *part;
    uint64_t hash;
    struct cell *held; /* before; NULL: absent. An address only once the change is made */
    stamp_t deadline;  /* dot of the deadline that showed */
    uint32_t access;   /* what the key's access bits will be */
    bool was_shown;
};
void change_begin(struct shard *s, struct change *c, struct part *p, uint64_t hash,
                  struct cell *held);
void change_end(struct shard *s, struct change *c, struct cell *now);
/* Empties a partition of which everything is removed; the cells are freed later. */
void change_clear(struct shard *s, struct part *p);
/* Stamps, applies and logs one local operation; returns the key's cell now. */
struct cell *local_op(struct shard *s, struct part *p, uint64_t hash, struct cell *held,
                      struct op *op, int64_t wall_ms, struct applied *out);
/* Moves a key as it is to a name that is absent. Only where no operation has to tell of it
 * (!s->logged): its dots stay, and the partition it goes to counts as having seen them. */
struct key_at {
    struct part *part;
    uint64_t hash;
    struct bytes name;
};
struct cell *local_move(struct shard *s, struct key_at from, struct cell *held, struct key_at to);
/* OP_FLUSH, local. */
void local_flush(struct shard *s, struct part *p, int64_t wall_ms);

/* ------------------------------------------------------------ frames.c */

/* Raises the partition's context by an own stamp and makes room in the open frame. */
void frame_write(struct shard *s, struct part *p, const struct op *op, stamp_t prev);
void frame_close(struct shard *s, struct part *p, int64_t wall_ms);
void frame_close_big(struct shard *s, int64_t wall_ms);

/* ------------------------------------------------------------ catalog.c */

/* What a foreign frame or state may bring into the hidden partition. */
bool catalog_op_ok(const struct op *op);
bool catalog_key_ok(const struct cell *key);
/* Tells of an entry as it is now. */
void catalog_tell(struct shard *s, struct bytes key, struct bytes name);
/* Before and after a state is joined: what was there; tells of that and of what is there now. */
void catalog_names(const struct shard *s, struct names names[CATALOG_KINDS]);
void catalog_joined(struct shard *s, struct names names[CATALOG_KINDS]);

#define FETCH_KEYS 16u /* keys of a frame brought near at a time */
#define POUR_MIN_DEFAULT 256u
/* frames.c: what makes a foreign frame, for those applied in slices too (pour.c). */
bool frame_sound(const struct shard *s, const struct frame *f);
struct context frame_deps(const struct frame *f); /* borrowed */
/* DONE: it may be taken now. */
enum take frame_may(const struct part *p, const struct frame *f);
enum take frame_take(struct shard *s, const struct frame *f, struct moment now);
/* One operation; the partition's context has it already. */
void frame_apply(struct shard *s, struct part *p, const struct op *op, uint64_t hash,
                 const struct seen *seen, const struct context *vv_after);
void frame_taken(struct shard *s, struct part *p, const struct frame *f); /* into the log */

#define SLICE_BYTES_DEFAULT ((size_t)64 << 10)
#define LOG_BYTES_DEFAULT (64u << 20)
#define KEPT_BYTES_DEFAULT (64u << 20)
/* memory.c: what is kept for others, within the limit. */
void memory_bounds(struct shard *s);

/* ------------------------------------------------------------ evict.c */

void evict_init(struct shard *s, uint64_t seed);
/* To be called when the limit, what is elsewhere, or geo changes. */
void evict_thresholds(struct shard *s);
void evict_clock(struct shard *s);
/* The access bits of a key that is being used; NULL: it is new. */
uint32_t evict_used(struct shard *s, const struct cell *held);
static inline void evict_touch(struct shard *s, struct cell *key)
{
    access_set(key, s->evict.lfu ? evict_used(s, key) : s->evict.seconds);
}
/* Before a command that needs memory, above `guard`: makes room. True: it must be refused. */
bool evict_refuses(struct shard *s);
/* After a foreign frame: whoever brings makes room. */
void evict_taken(struct shard *s, size_t ops, int64_t wall_ms);
bool evict_tick(struct shard *s, int64_t wall_ms);

/* ------------------------------------------------------------ others */

/* Why a write is refused now: stale, or leaving. */
const char *shard_write_refusal(const struct shard *s);

void expiry_note(struct shard *s, struct part *p, uint64_t hash, const struct cell *key);
bool expiry_tick(struct shard *s, struct moment now);
void expiry_deinit(struct expiry *e);
/* The key whose deadline comes first; one with a deadline, chosen by `random` (NULL also when that
 * hit a stale entry). */
struct cell *expiry_soonest(struct shard *s, struct part **p, uint64_t *hash);
struct cell *expiry_any(const struct shard *s, uint64_t random, struct part **p, uint64_t *hash);
static inline bool key_expired(const struct cell *key, int64_t wall_ms)
{
    return value_deadline(key) <= wall_ms;
}

void transfers_before(struct shard *s, struct part *p, uint64_t hash, const struct cell *key);
/* The partition's table goes away: transfers go on with it. Returns how many hold it. */
unsigned transfers_move(struct shard *s, const struct part *p, struct garbage *g);

void watches_free(struct watches *w);
void watches_changed(struct shard *s, uint64_t hash, struct bytes name); /* after the change */
void watches_cleared(struct shard *s, const struct part *p);
bool watches_any(const struct shard *s, uint64_t hash); /* does somebody watch such a key? */
void watches_touch(struct shard *s,
                   struct part *p); /* what is watched there gets what is deferred */

/* A surroundings.conflict; `arg` is the shard. */
void conflicts_note(void *arg, const struct conflict *c);

void blocked_free(struct blocked *b);
/* After the change; `now`: the key's cell. */
void blocked_changed(struct shard *s, uint64_t hash, struct bytes name, const struct cell *now);
void blocked_cleared(struct shard *s, const struct part *p);
/* Runs the commands that wait for what has changed (`woken`); never within a transaction. */
void blocked_serve(struct shard *s, struct moment now);
void blocked_end_all(struct shard *s, const char *error);

/* A surroundings.discard; `arg` is the shard. */
void garbage_cell(void *arg, struct cell *cell);
void garbage_free(struct shard *s);
bool garbage_tick(struct shard *s, size_t budget);

#define COMPACT_BUDGET 1024u /* entries looked at a slice */
/* A surroundings.unsettled; `arg` is the shard. */
void compact_note(void *arg, struct bytes key, enum type type, struct bytes elem, stamp_t newest);
bool compact_tick(struct shard *s, size_t budget);
bool compact_part(struct shard *s, struct part *p, size_t *budget);

/* ------------------------------------------------------------ events.c */

/* A key before a change; only looked at while somebody wants events. */
struct event_before {
    bool shown;
    int64_t deadline;
};
static inline struct event_before event_before(const struct cell *held)
{
    bool shown = held != NULL && value_type(held) != TYPE_NONE;
    return (struct event_before){.shown = shown,
                                 .deadline = shown ? value_deadline(held) : DEADLINE_NEVER};
}
void events_created(const struct shard *s, struct bytes key);
void events_removed(const struct shard *s, struct bytes key, bool expired);
void events_evicted(const struct shard *s, struct bytes key);
/* An operation of another region changed what is shown. */
void events_of_op(const struct shard *s, const struct op *op, const struct event_before *before,
                  const struct cell *now, const struct applied *applied);
/* So did a joined state. */
void events_of_join(const struct shard *s, struct bytes key, const struct event_before *before,
                    const struct cell *now);

extern const struct table_type keyspace_type;

#endif
