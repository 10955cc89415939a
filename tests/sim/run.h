/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_SIM_RUN_H
#define MERIDIAN_TESTS_SIM_RUN_H

#include "base/resp_reply.h"
#include "sim/deploy.h"
#include "sim/vault.h"

/*
 * One simulation: a deployment drawn from the seed, clients that write to it, faults drawn per run
 * (swarm testing), and checkers. After the faults stop, everything must converge within a bound.
 *
 * What is promised and checked:
 *  1. no acknowledged write that any living region had received is lost           (ledger)
 *  2. equal contexts give equal digests, at every look; equal values at the end   (digests, final
 * reads)
 *  3. nothing is visible before its causes, within a partition                    (chain)
 *  4. counters equal the acknowledged increments                                  (counters)
 *  5. contexts only grow within one life                                          (contexts)
 *  6. queues stay within their bounds                                             (queues)
 *  7. an element of a queue is never lost, nor popped twice by one region        (queue)
 *  8. after the faults all regions converge, and nothing waits for compaction     (quiet)
 *  9. of a script all effects are seen or none                                    (pair)
 * 10. what a region's disk was promised to keep is there after any crash, without any peer's help:
 *     synced always: every acknowledged write; every second: what was acknowledged before the last
 *     second or so, after the death of the process alone: everything but the last moment's; not
 *     synced: likewise after the death of the process; and never less than it has claimed (disks)
 * 11. a message reaches a subscriber at most once, in order, and surely when all is quiet
 * (messages)
 * 12. who takes writes has seen all that any region has compacted                (early)
 * 13. who follows live sources has what they have: nothing lost, nothing counted twice (follow.c)
 * 14. a segment of the log stays while a peer reads it                           (readers)
 */
#define CLIENTS_MAX 4u
#define LEDGER_MAX 4096u
#define CHAIN_MAX 256u
#define KEYS_MAX 12u
#define QUEUE_MAX 512u

enum fate { FATE_ASKED, FATE_ACKED, FATE_MAYBE }; /* MAYBE: only dead regions had it */

struct ledger_entry {
    unsigned region;
    enum fate fate;
    unsigned life; /* of its region */
    bool kept;     /* acknowledged when its region's disk had it: it is there for ever */
    uint64_t acked_us;
};

struct chain_entry {
    uint8_t deps[CHAIN_MAX / 8]; /* which others its writer had read */
};

struct client {
    struct run *run;
    unsigned region, number;
    struct vconn *conn;
    bool waiting;
    uint64_t sent_us, next_us;
    unsigned replies_wanted;
    void (*on_reply)(struct client *c, const struct resp_reply *r);
    int64_t subject; /* ledger or chain index, or increment */
    struct chain_entry seen;
    bool pops; /* the request under way takes from a queue */
};

enum item { ITEM_ASKED, ITEM_THERE, ITEM_POPPED, ITEM_MAYBE };

struct queue {
    uint8_t items[QUEUE_MAX]; /* enum item */
    unsigned n;
    unsigned open; /* pops whose outcome nobody knows */
};

#define SPEAKER_LIVES 64u

struct speaker { /* publishes */
    struct run *run;
    unsigned region, lives; /* connections so far */
    struct vconn *conn;
    bool waiting;
    uint64_t sent_us;
    unsigned serials[SPEAKER_LIVES]; /* of each connection's last message */
};

struct listener { /* subscribes */
    struct run *run;
    unsigned region;
    struct vconn *conn;
    unsigned heard[DEPLOY_REGIONS_MAX + 1][SPEAKER_LIVES]; /* on this connection */
};

struct counter {
    int64_t low, high; /* what its value may be */
    int64_t flying;    /* sent, and not known to be acknowledged */
};

/* Fills a region's memory (fill.c). */
struct filler {
    struct run *run;
    struct vconn *conn;
    unsigned waiting; /* replies */
    uint64_t next_us;
};

struct plan { /* drawn per run */
    unsigned regions, clients, keys;
    uint32_t kinds; /* which commands */
    uint32_t think_us;
    bool cuts, one_way, resets, slow, crashes, silent, skew, wild_skew, membership;
    bool flush; /* FLUSHALL among the commands; nothing is checked then that it would empty */
    uint32_t fault_every_us;
    uint64_t fault_until_us;
};

struct disk_plan { /* drawn per run, on its own: runs without disks are as they were before */
    bool used, power, blackout, stops, policies, fails, full, rot, hasty;
    uint32_t every_us;
};

#define LIVES_MAX 60u /* of a region: its 16 numbers come round three times */
#define DISK_POLICY_US                                                                             \
    1000000u /* a change of policy is in force after that, if the disk is well                     \
              */

/* A region's disk and what is to be found on it. */
struct region_disk {
    uint64_t policy_us; /* since then the policy is what it is */
    uint64_t flip_us;   /* when it was last switched off or on; 0: never */
    uint64_t sick_us;   /* when it last was not well */
    uint64_t well_us;   /* until then it fails; 0: it does not */
    uint64_t again_us;  /* when it crashes again, soon after it was started; 0: not */
    uint64_t stop_us;   /* an orderly end is under way since then; 0: none */
    uint32_t slow_us;   /* of a sync */
    bool rotten;        /* nothing is promised any more */
    uint32_t unread;    /* 1 + the shard whose lives file is damaged; 0 none */
    bool honest;        /* it never claimed what was not promised to be kept */
    bool always;        /* ... and every reply of its waited for the disk */
    bool founding;      /* the disk was switched on: nothing is promised before it says so */
    bool ended;         /* the orderly end is done */
    unsigned shards, lives;
    bool whole;               /* down: it has all that it had claimed */
    struct context *promised; /* by partition: what it said to be durable */
    bool *promises;           /* ... if it said anything */
    /* While it is down or opens: what is on it. */
    bool known;
    uint8_t has[LEDGER_MAX / 8];
    int64_t counters[DEPLOY_REGIONS_MAX + 1];
    struct context seen[DEPLOY_REGIONS_MAX + 1]; /* of the counters' partitions */
};

#define AWAY_US 11000000u

/* What is drawn of a seed, or always there. */
enum weather { WEATHER_DRAWN, WEATHER_LIMITED, WEATHER_LARGE };

struct window;
struct run {
    uint64_t seed;
    enum weather weather;
    struct rng rng;
    struct world *world;
    struct driver *driver;
    struct deploy *deploy;
    struct plan plan;
    struct client clients[DEPLOY_REGIONS_MAX + 1][CLIENTS_MAX];
    struct ledger_entry ledger[LEDGER_MAX];
    unsigned ledger_n;
    struct chain_entry chain[CHAIN_MAX];
    unsigned chain_n;
    unsigned pair_n;                                 /* scripts sent */
    struct counter counters[DEPLOY_REGIONS_MAX + 1]; /* by region; 0: the shared one */
    struct queue queues[DEPLOY_REGIONS_MAX + 1];     /* by region */
    struct speaker speakers[DEPLOY_REGIONS_MAX + 1];
    struct listener listeners[DEPLOY_REGIONS_MAX + 1];
    uint64_t restart_us[DEPLOY_REGIONS_MAX + 1];
    int64_t shift_ms[DEPLOY_REGIONS_MAX + 1];
    struct rng clock_rng;
    int64_t birth_ms; /* what right clocks showed when the world began */
    bool drifts;      /* clocks that run fast or slow, and jump while their region is down */
    uint64_t removed; /* regions that were members and are no more */
    struct context *before[DEPLOY_REGIONS_MAX + 1]; /* contexts at the last look, by partition */
    bool calm;                                      /* the faults are over: clients stop too */
    struct rng disk_rng;
    struct disk_plan disk_plan;
    struct rng switch_rng;
    uint32_t switch_every_us; /* 0: never */
    struct window *windows[DEPLOY_REGIONS_MAX + 1];
    struct region_disk disks[DEPLOY_REGIONS_MAX + 1];
    unsigned deaths[DEPLOY_REGIONS_MAX + 1];
    /* What a region that dies has seen of the counters' partitions. */
    struct context dying[DEPLOY_REGIONS_MAX + 1];
    uint64_t commands, acked;
    char failure[512]; /* "" so far so good */
    bool limited;      /* memory has a limit, and is filled */
    bool away;         /* who dies is away for AWAY_US at least: the others go on without it */
    struct rng filling;
    struct filler fillers[DEPLOY_REGIONS_MAX + 1];
    bool large; /* collections of hundreds of elements are written (large.c) */
    struct filler large_writers[DEPLOY_REGIONS_MAX + 1];
};

/* `save`: a folder for what is on the disks after a finding; NULL none. */
bool run_seed(uint64_t seed, enum weather weather, bool verbose, const char *save,
              struct buf *report);

/* memories.c: memories are lost often, in a world of its own. Drawn for a quarter of the seeds. */
bool memories_drawn(uint64_t seed);
bool memories_seed(uint64_t seed, bool verbose, struct buf *report);
/* follow.c: sources that are followed, in a world of its own. Drawn for a quarter of the seeds. */
bool follow_drawn(uint64_t seed);
bool follow_seed(uint64_t seed, bool verbose, struct buf *report);
/* workload.c */
void workload_tick(struct run *r);
bool workload_idle(const struct run *r);
void workload_forget(struct run *r, unsigned region); /* its connections died */
/* queue.c */
unsigned queue_push(struct client *c); /* the element that it asks for now */
void queue_pop(struct client *c);      /* it asks for one now */
void queue_lost(struct client *c);     /* its connection is gone, whatever was under way */
void queue_crash(struct run *r, unsigned dying);
void queue_check(struct run *r, unsigned g);
/* messages.c */
void messages_start(struct run *r);
void messages_tick(struct run *r);
void messages_forget(struct run *r, unsigned region); /* its connections died */
void messages_check(struct run *r);                   /* when all is quiet */
/* fill.c */
void fill_draw(struct run *r);
void fill_opts(struct run *r, struct deploy_opts *o);
void fill_tick(struct run *r);
void fill_describe(const struct run *r, struct buf *out);
uint64_t fill_evicted(const struct run *r);       /* keys, by all regions, as far as they live */
void fill_forget(struct run *r, unsigned region); /* its connections died */
/* large.c */
void large_draw(struct run *r);
void large_tick(struct run *r);
void large_forget(struct run *r, unsigned region); /* its connections died */
/* disk_faults.c */
void disks_draw(struct run *r);
void disks_opts(struct run *r, struct deploy_opts *o);
void disks_start(struct run *r);
void disks_deinit(struct run *r);
void disks_tick(struct run *r); /* faults of disks, and whoever looks after them */
void disks_end(struct run *r);
void disks_started(struct run *r, unsigned region);
void disks_forget(struct run *r, unsigned region); /* nothing is promised of its disk any more */
void disks_rotten(struct run *r, unsigned region); /* ... and it may not even open */
void disks_rot(struct run *r, unsigned region);
void disks_rot_lives(struct run *r, unsigned region);
void disks_save(const struct run *r, const char *folder);
/* windows.c */
struct revived;
void windows_start(struct run *r);
void windows_deinit(struct run *r);
void windows_forget(struct run *r, unsigned region); /* it lost its memory */
void windows_tick(struct run *r);
/* It died: all that it had when the window began is on its disk. UINT64_MAX: nothing has to be. */
void windows_check(struct run *r, unsigned region, const struct revived *v, uint64_t window_us);
/* copies.c */
/* Who takes writes has seen all that any region has compacted: else it would tell apart what that
 * one no longer can. */
void check_early(struct run *r, const struct deploy *d, unsigned regions);
/* Who has seen the same shows the same. */
void check_equal(struct run *r, const struct deploy *d, unsigned regions);
/* For people: what each region has, and why it is not quiet. */
void tell_regions(const struct world *w, const struct deploy *d, unsigned regions, struct buf *out);
void copies_story(struct run *r); /* an older copy of a region is put back, in a world of its own */
/* switches.c */
void switches_draw(struct run *r);
void switches_ask(struct run *r, unsigned region, uint32_t policy); /* unless it is asked already */
void switches_tick(struct run *r); /* disks that are switched off and on */
/* disks.c */
struct revived { /* a region as its disk alone brings it back */
    struct world *world;
    struct vault *at[8];
    unsigned n;
    bool opened, orderly;
    const char *error;
};
void revive(const struct run *r, unsigned region, struct revived *v);
struct shard *revived_shard(const struct revived *v, const struct run *r, uint32_t partition);
void disks_dying(struct run *r, unsigned region); /* just before it dies */
/* It has died: what is on its disk is what was promised. */
void disks_dead(struct run *r, unsigned region, bool power);
/* It would come back with all that it has claimed, whatever happens now. */
bool disk_returns(const struct run *r, unsigned region);
bool disk_acks(const struct run *r, unsigned region); /* what it acknowledges now is durable */
/* faults.c */
bool is_whole(const struct run *r, unsigned region);
bool may_die(const struct run *r, uint64_t regions); /* all at once, and come back */
void start_again(struct run *r, unsigned region);
void crash_region(struct run *r, unsigned region, bool power, bool silent);
void restarts_tick(struct run *r); /* regions that are due to start again */
void faults_draw(struct run *r);
void faults_tick(struct run *r);
void faults_end(struct run *r);
/* check.c */
void check_look(struct run *r);                   /* at intervals */
void check_dying(struct run *r, unsigned region); /* just before what a region has may be lost */
void check_crash(struct run *r, unsigned region); /* ... and when it has */
/* Once all is quiet: do all regions answer all reads alike? False: something was evicted meanwhile,
 * and it is to be asked again. */
bool check_reads(struct run *r);
void check_end(struct run *r); /* when all is quiet */
void fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Belongs to the database, runs, has been brought back from its disk. */
bool living(const struct run *r, unsigned region);
/* The key's cell as a region has it; NULL when absent or the region is down. */
const struct cell *peek(const struct run *r, unsigned region, const char *key);

/* The keys of the checked structures; one hash tag each, so that each lives in one partition. */
#define LEDGER_KEY "{ledger}%u" /* spread over a few partitions: by index mod LEDGER_KEYS */
#define LEDGER_KEYS 3u
#define CHAIN_KEY "{chain}"
#define QUEUE_KEY "{queue}%u" /* by region */
#define LARGE_TAG "{large}"   /* ... then which of LARGE_KEYS, and a letter for its kind */
#define LARGE_KEYS 3u
#define PAIR_COUNT "{pair}n"  /* each script counts here ... */
#define PAIR_FIELDS "{pair}h" /* ... and adds a field here */

#endif
