/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_WORKER_INSIDE_H
#define MERIDIAN_WORKER_INSIDE_H

#include "proxy/front.h"
#include "worker/lives.h"
#include "worker/worker.h"

/*
 * struct worker and its parts, for the files of this folder:
 *   worker.c    the machine: events in, to whom they belong
 *   database.c  the databases of this worker: shards, syncers, listener
 *   disk.c      its shards' files
 *   probe.c     would its disks take a change? asked before it is made
 *   erase.c     the files of shards of deleted databases
 *   lives.c     what a shard's folder says of its lives, in bytes
 *   settle.c    which of its earlier lives are over for good
 *   keep.c      snapshots of them on request and on schedule, and what INFO shows of them
 *   archive.c   between them and the links: what peers read from the log on disk
 *   change.c    changes of configuration, on all workers or on none
 *   control.c   the manager's channel (worker 0)
 *   link.c      peers' connections, from first byte to their syncer
 *   stats.c     figures for INFO and for the manager
 *   defrag.c    how much time defragmentation may take
 */

/* A member's snapshots, as of the last look (keep.c). Times are by the wall clock. */
struct keeping {
    uint64_t snapshots, failures; /* of the storage's counters */
    uint64_t changes_begun, changes_saved;
    int64_t opens_ms, begun_ms, saved_ms, took_ms;
    uint64_t look_us, retry_us;
    bool runs, failed;
    bool wanted; /* to begin as soon as none is under way */
    bool asked;  /* likewise, or under way */
};

/* A shard of a database that lives here. */
struct member {
    uint32_t id, first, count; /* the last one's count includes the hidden partition */
    struct database *database;
    struct shard *shard;
    struct syncer *syncer;   /* NULL: single-region, or not open */
    struct storage *storage; /* NULL: nothing is on disk */
    struct disk *disk;       /* what its requests have for owner; NULL likewise */
    struct keeping keeping;
    struct memory_use use;                /* by kinds, as of the last look ... */
    uint64_t use_us;                      /* ... and when the next is due */
    uint32_t laggard, laggard_partitions; /* likewise: whom compaction waits for most */
    uint64_t again_us;    /* when files that could not be begun are tried again; 0: they were */
    char refusal[640];    /* why client writes are refused: the disk; "" they are not */
    uint32_t incarnation; /* as which it writes: may be an earlier process' (settle.c) */
    uint32_t settled;     /* lives before this one are over for good */
    struct life_note before, noted, noting; /* when it was opened; on disk; on the way there */
    bool doubtful;  /* the last write failed: what is on disk may be `noting` all the same */
    bool follows;   /* `before` is of the process before this one */
    uint32_t fresh; /* as which it would write if it began a new life */
    bool free;      /* the number is its own, or known to be free */
    bool
        sole; /* ... and all that was ever written under it is here, unless this is an older copy */
    uint32_t was; /* the actor as which this process or the one before wrote; 0: no other */
    bool split;   /* it is, and has written: no links, no writes (settle.c) */
    bool sure;    /* what is on disk had been seen by lives that had all of their earlier ones */
    bool gated;   /* peers get what is synced, no more */
    uint64_t gate_pos; /* in the log: so it is since then */
    uint64_t
        whole_pos; /* in the log: what it has caught up with lies before; UINT64_MAX: it has not */
    uint64_t greet_us;           /* until then it waits for its peers at most (greet.c); 0: not */
    uint64_t settle_us, note_us; /* when settle.c looks again, writes again after a failure */
    bool slow;                   /* the disk does not keep up */
    bool open; /* else the shard belongs to the storage alone, which brings it back */
};

/* A change that is being checked on this worker (probe.c). */
struct probe {
    uint32_t ticket; /* 0: none */
    unsigned missing;
    uint64_t until_us;
    char error[256]; /* "": so far nothing is against it */
};

struct database {
    struct database *next;
    struct worker *worker;
    struct plane_db config;
    struct front *front;
    struct member *members; /* owned; in order of id */
    uint32_t members_count;
    uint32_t listener; /* 0: none */
    bool listening;
    bool joining; /* reborn and still without peers: prepared to join others, which it will have to
                     catch up with */
    bool more;    /* a shard has upkeep left */
    struct buf syncs; /* policy always: turns that are not durable yet, oldest first (disk.c) */
    uint32_t closed_members; /* of this worker: not brought back yet, or waits for its peers */
    uint32_t ticket;         /* of the change that waits for the listener; 0 none */
    struct probe probe;
    struct plane_db
        *later; /* owned: becomes its configuration when its scripts are over; or NULL */
};

/* ------------------------------------------------------------ messages between workers */

enum {
    MSG_CHANGE = 100, /* worker 0 -> all: struct change_msg */
    MSG_CHANGED,      /* back to worker 0: the same message */
    MSG_LINK,         /* with port_move: struct link_msg */
    MSG_STOP,         /* end */
};

enum change_kind {
    CHANGE_DB_SET,
    CHANGE_DB_CHECK,
    CHANGE_DB_DROP,
    CHANGE_DB_FLUSH,
    CHANGE_DB_SNAPSHOT,
    CHANGE_LINK,
    CHANGE_STATS
};

/* A request of the manager on its way through the workers. */
struct change_msg {
    struct msg msg; /* first */
    enum change_kind kind;
    uint32_t ticket;
    uint32_t uid, region;
    bool paused;
    bool undo;           /* CHANGE_DB_DROP: it could not be created; what files there are stay */
    struct plane_db *db; /* owned; CHANGE_DB_SET, CHANGE_DB_CHECK */
    struct plane_stats stats; /* owned; answer to CHANGE_STATS */
    char error[256];          /* answer: "" = done */
};

struct link_msg {
    struct msg msg; /* first */
    uint32_t uid, partition;
    struct buf first; /* owned: what the peer has sent so far */
};

/* ------------------------------------------------------------ changes (change.c) */

/* One change at a time goes through the workers; worker 0 counts the answers. */
struct change {
    uint32_t ticket; /* of the change under way; 0 none */
    uint32_t tickets;
    uint32_t missing;
    bool stats_wanted;
    bool fresh; /* a database that did not exist before: undone when one worker fails */
    uint32_t uid;
    struct plane_stats stats;
    char error[256];
};

/* Starts a change (worker 0 only, none under way). `ask` is copied but for `db`, which is taken. */
void change_start(struct worker *w, struct port *port, const struct change_msg *ask,
                  struct moment now);
/* Takes MSG_CHANGE and MSG_CHANGED. */
void change_message(struct worker *w, struct port *port, struct msg *msg, struct moment now);
/* This worker's part of a DB_SET or DB_CHECK is done: its listener, or its disks, have answered. */
void change_reply(struct worker *w, struct port *port, uint32_t ticket, const char *error,
                  struct moment now);
void change_deinit(struct worker *w);

/* ------------------------------------------------------------ control (control.c) */

struct control; /* one connection of the manager */

bool control_listen(struct worker *w, struct port *port); /* false: the address is unusable */
void control_open(struct worker *w, struct port *port, conn_id conn);
/* The change under way is finished: answers it and goes on with the next request. */
void control_changed(struct worker *w, struct port *port, const char *error,
                     const struct plane_stats *stats, struct moment now);
void control_free_all(struct worker *w, struct port *port);

/* ------------------------------------------------------------ links (link.c) */

struct incoming; /* a peer's connection that has not said whole who it is */

void link_open(void *worker, struct front *f, struct port *port, conn_id conn, struct bytes first,
               struct moment now);
void link_moved(struct worker *w, struct port *port, conn_id conn, struct msg *msg,
                struct moment now);
/* Closes those that take too long. */
void link_tick(struct worker *w, struct port *port, struct moment now);
void link_free_all(struct worker *w, struct port *port);

/* ------------------------------------------------------------ databases (database.c) */

/* A shard's callbacks; `arg` is its member (publish.c). */
void member_event(void *arg, uint32_t class, const char *name, struct bytes key);
void member_heard(void *arg, const struct syncer_message *m); /* a syncer's */
/* A front's: to the other regions. */
void publish_across(void *worker, struct front *f, uint32_t partition, struct bytes channel,
                    struct bytes text, bool sharded);
void member_read(void *arg, const struct call *c);
void member_show(void *arg, const struct call *c);
void member_changed(void *arg, struct bytes key, uint64_t session);
uint64_t member_publish(void *arg, struct bytes channel, struct bytes text, bool sharded);
void member_unblocked(void *arg, uint64_t session, const struct unblocked *end);
void member_verified(void *arg, uint64_t ticket, struct bytes records);
uint64_t member_lacking(void *arg, uint32_t partition, stamp_t stamp);
struct database *database_find(struct worker *w, uint32_t uid);
/* The member that owns the partition; NULL: on another worker. */
struct member *database_member(struct database *d, uint32_t partition);
uint32_t database_shard_worker(const struct worker *w, const struct plane_db *db,
                               uint32_t partition);
/* Creates it and asks to listen; the answer goes to change_reply when EV_LISTEN comes. False: error
 * tells. */
bool database_add(struct worker *w, struct port *port, const struct plane_db *db, uint32_t ticket,
                  struct moment now, char *error, size_t size);
/* Can it be configured so? Changes nothing. True: `error` says ("" yes); false: disks are asked,
 * and the answer goes to change_reply. */
bool database_check(struct database *d, struct port *port, const struct plane_db *db,
                    uint32_t ticket, struct moment now, char *error, size_t size);
/* Applies a newer configuration in place, or keeps it until a script that has stopped in the middle
 * is over. False, `error` says why: nothing of it; after database_check that has no other reason
 * than what has changed since. */
bool database_configure(struct database *d, struct port *port, const struct plane_db *db,
                        struct moment now, char *error, size_t size);
/* What was kept. */
void database_turn(struct database *d, struct port *port, struct moment now);
void database_pause(struct database *d, struct port *port, uint32_t region, bool paused,
                    struct moment now);
/* Where a shard refuses it `error` says why. */
void database_flush(struct database *d, struct moment now, char *error, size_t size);
/* Closes clients and links and frees everything; its files too if it was deleted. */
void database_drop(struct database *d, struct port *port, bool deleted);
/* Closes clients and links, and writes what is left to disk: no command runs any more. Clients that
 * wait for the disk get their replies before. */
void database_end(struct database *d, struct port *port, struct moment now);
bool database_is_geo(const struct plane_db *db);
/* A member's shard has been brought back: it is served from now on. */
void database_opened(struct database *d, struct port *port, struct member *m, struct moment now);
/* A member is open, and waits for nobody: with the last one clients are let in. */
void database_ready(struct database *d, struct port *port);
/* The member's links begin anew, since what its files promise has changed; nothing was lost. */
void database_relink(struct database *d, struct port *port, struct member *m, struct moment now);
/* The links begin anew as the member's present life, which has to catch up before it writes. */
void database_rename(struct database *d, struct port *port, struct member *m, struct moment now);
void database_split(struct member *m, struct port *port); /* no links any more, and no writes */
/* Has a script stopped in the middle on one of its shards? */
uint32_t database_eviction(const struct database *d); /* enum eviction, in force */
bool database_busy(const struct database *d);
#define BUSY_ERROR                                                                                 \
    "a script has been running for too long on this database: end it by SCRIPT KILL or FUNCTION "  \
    "KILL, or wait, and try again"

/* ------------------------------------------------------------ files (disk.c) */

/* Begins to bring back the database's members from disk. */
void disk_open(struct database *d, struct port *port, struct moment now);
/* The configuration has changed: what the files promise, or whether there are any; `anew`: they
 * are to be in the folders of another founding. */
void disk_configure(struct database *d, struct port *port, bool was_on_disk, bool anew,
                    struct moment now);
/* EV_FILE. Taken. */
void disk_answer(struct worker *w, struct port *port, struct file_req *taken, struct moment now);
/* At the end of a turn: closes frames, and writes what is due. */
void disk_turn(struct database *d, struct port *port, struct moment now);
uint64_t disk_deadline(const struct database *d);
/* The member goes: what is under way is answered to nobody, and the files are removed or left as
 * they are. */
void disk_leave(struct member *m, struct port *port, bool erase);
/* The orderly end: writes what is left. Nothing may be written to the shards from now on. */
void disk_close(struct database *d, struct port *port, struct moment now);
bool disk_closed(const struct database *d);
/* Members that are not closed, by whether their disk says that it fails. */
struct disk_open {
    unsigned failing, waiting;
};
void disk_count_open(const struct database *d, struct disk_open *out);
/* Says of each shard that is not closed what keeps it from that, and what is lost by it. True:
 * there is something that is. */
bool disk_log_open(const struct database *d, struct port *port);
void disk_free_all(struct worker *w);

/* What requests for a member's files have for owner. */
struct disk {
    struct disk *prev, *next;
    struct member *member; /* NULL: it has gone */
    uint32_t uid, shard, founding;
    unsigned missing; /* of a member that has gone: answers to come */
    bool parent; /* the requests before storage's, for the database's folder and settle.c's file,
                    are under way */
    bool writes; /* settle.c's file is being written */
    bool chosen; /* ... for the last time before the member is open */
    bool waits;  /* for the end of erase.c in its folder */
    bool files_only;   /* erase.c leaves the folder */
    bool parent_stays; /* ... or the database's */
    bool erase;        /* when the member has gone */
    uint32_t probe;    /* of probe.c, for the change of that ticket; 0: it is not */
    bool made;         /* probe.c: the folder was not there before */
    struct buf names;  /* erase.c: what FILE_LIST gave, the rest of it */
};
/* file_req.tag, beside storage's. */
enum {
    DISK_PARENT = 100,
    DISK_OLD,
    SETTLE_READ,
    SETTLE_WRITE,
    ERASE_LIST,
    ERASE_FILE,
    ERASE_FOLDER,
    ERASE_PARENT,
    PROBE_PARENT,
    PROBE_FOLDER,
    PROBE_FILE,
    PROBE_GONE,
    PROBE_LEFT,
};
#define DISK_PATH_MAX 768u
struct disk *disk_new(struct worker *w, struct member *m);
void disk_free(struct worker *w, struct disk *k);
/* Each founding (struct plane_db) has a folder of its own: what an earlier one left, whole or half
 * removed, is never taken for the shard's. */
void disk_folder(const struct worker *w, const struct disk *k, char out[DISK_PATH_MAX]);
void disk_ask(struct port *port, struct disk *k, enum file_op op, const char *path, uint32_t tag);
/* Makes the database's folder, then opens; once nothing is being removed there. */
void disk_begin(struct worker *w, struct port *port, struct disk *k);

/* What the folder says of earlier lives, before it is opened. */
void settle_read(struct worker *w, struct port *port, struct disk *k);
/* It could not be read, which another try may do: the folder is not to be opened. */
bool settle_failed(const struct member *m, const struct file_req *r);
/* Another answer of the folder's. False: another one is to come before anything else is done. */
bool settle_answer(struct member *m, struct port *port, const struct file_req *r,
                   struct moment now);
/* The log was brought back: as which life does the shard go on? */
void settle_choose(struct member *m);
/* ... and the folder is to know before it writes. False: an answer is to come. */
bool settle_chosen(struct member *m, struct port *port);
/* Position in the shard's log up to which peers may get it (a syncer_limit; arg: the member). */
uint64_t settle_limit(void *arg);
/* Notes what has changed. */
void settle_turn(struct database *d, struct port *port, struct moment now);
/* Of a database in memory: takes another number where peers know that a life had its own. */
void settle_number(struct database *d, struct port *port, struct moment now);

/* Brought back from disk and linked: does it listen to its peers before it speaks (greet_us)? */
void greet_begin(struct member *m, struct moment now);
void greet_turn(struct database *d, struct port *port, struct moment now);

/* The member has gone and so have its requests: removes the folder or just frees. */
void erase_begin(struct worker *w, struct port *port, struct disk *k);
void erase_answer(struct worker *w, struct port *port, struct file_req *taken);
/* What `k` did in its folder is done: whoever waits for that begins. Frees it. */
void erase_finish(struct worker *w, struct port *port, struct disk *k);
/* Is the folder of `where` being removed or probed (by another)? */
bool erase_runs(const struct worker *w, const struct disk *where);
bool erase_any(const struct worker *w);

/* Asks the disks of all members whether files could be as `db` has them. False: nothing has to be
 * asked, or `error` says at once what is against it. */
bool probe_begin(struct database *d, struct port *port, const struct plane_db *db, uint32_t ticket,
                 struct moment now, char *error, size_t size);
/* What is known without asking: `error` says what is against it. */
bool probe_refuses(const struct database *d, const struct plane_db *db, char *error, size_t size);
void probe_answer(struct worker *w, struct port *port, struct file_req *taken, struct moment now);
/* Disks that do not answer are not waited for. */
void probe_tick(struct database *d, struct port *port, struct moment now);
/* Of this process. */
uint32_t database_incarnation(const struct plane_db *db);
static inline bool database_on_disk(const struct plane_db *db)
{
    return db->persistence != PERSIST_OFF;
}

/* ------------------------------------------------------------ snapshots (keep.c) */

/* At the end of a turn, when frames are closed. */
void keep_members(struct database *d, struct port *port, struct moment now);
/* A snapshot of each of its members, soon. Returns how many. */
uint32_t keep_snapshot(struct database *d);
/* A front's (struct front_host). */
uint32_t keep_ask(void *worker, struct front *f, struct port *port, struct moment now);
void keep_figures(void *worker, const struct front *f, struct figures_keep *out);
void keep_plane(const struct member *m, struct plane_keep *out);

/* ------------------------------------------------------------ links and files (archive.c) */

/* The member's feeds may read its log on disk from here on, if it has one. */
void archive_link(struct member *m);
/* How many bytes of log a shard keeps for peers that were away. */
uint64_t archive_retention(const struct plane_db *db);
/* How much memory a shard may use for leaving out what was overwritten, for each such peer. */
size_t archive_room(const struct plane_db *db);

/* ------------------------------------------------------------ figures (stats.c) */

void stats_figures(void *worker, struct front *f, struct figures *out, struct moment now);
void stats_describe(void *worker, const struct front *f, struct figures_db *out);
/* What clients that wait for other regions ask (struct front_host). */
uint64_t stats_have(void *worker, const struct front *f, uint32_t partition, stamp_t stamp,
                    bool durable);
uint64_t stats_learnt(void *worker, const struct front *f);
uint64_t stats_peers(void *worker, const struct front *f);
void stats_compare(void *worker, const struct front *f, struct port *port, uint64_t session,
                   uint32_t region, uint32_t keys_max);
/* This worker's part of the manager's statistics; owned by the caller. */
void stats_plane(struct worker *w, struct plane_stats *out, struct moment now);
/* Adds the part to the whole: databases by uid, shards one behind the other. */
void stats_plane_add(struct plane_stats *sum, const struct plane_stats *part);

/* ------------------------------------------------------------ the worker */

struct worker {
    struct worker_opts opts;
    char control_address[256];
    struct port *port; /* of the last step */
    struct courier *courier;
    struct database *databases; /* in the order created */
    struct database *last;      /* found last */
    struct incoming *incoming;
    struct disk *disks;              /* all that requests may have for owner */
    uint64_t tick_us;                /* when the next tick is due */
    uint64_t defrag_us;              /* when defrag_look is */
    struct share share;              /* of its time: what no client waits for */
    uint64_t served;                 /* what clients have brought: see share_clients */
    uint64_t messages;               /* of other workers, so far */
    bool again;                      /* a shard has more upkeep waiting */
    bool stopping;                   /* the manager or a signal said so ... */
    bool stopped;                    /* ... and it is under way ... */
    bool ended;                      /* ... and done */
    bool lost;                       /* ... without all being on disk */
    uint64_t stopped_us;             /* since when */
    uint32_t tls_server, tls_client; /* 0: none */
    uint32_t control_listener;
    struct control *controls;
    struct control *asker; /* whose request is under way; NULL: it has gone */
    uint64_t asker_id;     /* of the request */
    struct change change;
};

/* Once a second: how much time shards may take for defragmentation (defrag.c). */
void defrag_look(struct worker *w, struct moment now);

void worker_stop(struct worker *w, struct port *port, struct moment now);
/* Stopping: ends when all is on disk. */
void worker_try_end(struct worker *w, struct port *port, struct moment now);

#endif
