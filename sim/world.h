/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SIM_WORLD_H
#define MERIDIAN_SIM_WORLD_H

#include "base/port.h"
#include "base/rng.h"

/*
 * A virtual world: hosts with clocks, machines on them, a network between them; the second
 * implementation of base/port.h. Everything runs in one thread under one virtual clock and draws
 * from one seed: the same seed gives the same history, bit for bit (world_hash tells). Used by
 * `meridian lab` and by tests/sim.
 *
 *  - A host is a process on a computer: it has a name (dialled as a host name), a wall clock of its
 * own, files that survive its death, and machines that are each other's neighbours.
 *  - The network carries byte streams between hosts; each direction of each pair of hosts has
 * latency, jitter, bandwidth and may be cut. Bytes are split anywhere when `split` is on, never
 * reordered or lost within a living connection.
 *  - What a step asks for happens later, never inline.
 */
struct world;

struct world_opts {
    uint64_t seed;
    uint32_t latency_us, jitter_us; /* default of every pair of hosts */
    bool split;                     /* deliver bytes in random pieces */
    uint32_t spin_us;               /* who asks for time at once gets it so much later; 0: 1 */
    uint32_t look_us;      /* passes within a step every other time it looks at the clock */
    uint64_t keepalive_us; /* who does not see its peer die learns it so much later; 0: never */
    size_t trace;          /* how many of the last events to keep for world_trace; 0 none */
    void (*log)(void *arg, const char *host, char level,
                const char *line); /* machines' log lines; may be NULL */
    void *arg;
};

struct world *world_new(const struct world_opts *o);
void world_free(struct world *w);

#define WORLD_HOSTS_MAX 64u
uint32_t world_host(struct world *w, const char *name); /* adds a host; its number */
/* Puts a machine on a living host; `drop` frees it when the host dies or the world ends. Add all
 * machines of a process before the world runs on. Returns its port. EV_START is its first event. */
struct port *world_machine(struct world *w, uint32_t host, uint32_t neighbours, struct machine m,
                           void (*drop)(void *self, struct port *p));
/* The host's machines die at once with everything they held in memory. Peers see resets, or
 * (silent) nothing. */
void world_kill(struct world *w, uint32_t host, bool silent);
bool world_stopped(const struct world *w, uint32_t host); /* all its machines want to end */

/*
 * A host's disk. What has been synced stays; the rest lies in the computer's memory: it survives
 * the process (world_kill), not the power.
 */
struct world_disk {
    uint64_t bytes_max;           /* all files together: beyond it ERR_NO_SPACE; 0: no limit */
    uint32_t fail_append_per_64k; /* how often an append fails halfway, of 65,536 */
    uint32_t fail_sync_per_64k;   /* ... a sync, and what it should have made durable may be gone */
    uint32_t fail_read_per_64k;
    uint32_t fail_replace_per_64k; /* a FILE_WRITE says that it has failed, and has not */
    uint32_t latency_us;           /* of a request; 0: 100 */
    uint32_t sync_us;              /* more for a sync; 0: 1000 */
};
void world_disk(struct world *w, uint32_t host, struct world_disk disk);
/* As world_kill, and the power fails: of what was not synced each write is lost, kept or torn on
 * its own; a file whose name was not synced may be gone. */
void world_power_loss(struct world *w, uint32_t host);
/* Flips one bit of a file whose path ends so, past its first `from` bytes. False: there is none. */
bool world_disk_rot(struct world *w, uint32_t host, const char *suffix, uint64_t from);
/* What a file holds now, borrowed; false: there is none. */
bool world_file(const struct world *w, uint32_t host, const char *path, struct bytes *out);
/* Puts a file there, or in the place of another, durably. */
void world_file_put(struct world *w, uint32_t host, const char *path, struct bytes content);
/* Removes all files whose paths begin so, durably. */
void world_files_wipe(struct world *w, uint32_t host, const char *prefix);
void world_files(const struct world *w, uint32_t host,
                 void (*visit)(void *arg, const char *path, struct bytes content), void *arg);

/* One direction of the network between two hosts. Cutting holds the bytes that are under way; they
 * arrive after healing. */
struct world_link {
    bool cut;
    uint32_t latency_us, jitter_us;
    uint64_t bytes_per_s; /* 0: no limit */
};
void world_link(struct world *w, uint32_t from, uint32_t to, struct world_link link);
struct world_link world_link_get(const struct world *w, uint32_t from, uint32_t to);
/* Resets every connection between two hosts. */
void world_reset(struct world *w, uint32_t a, uint32_t b);

void world_clock_shift(struct world *w, uint32_t host, int64_t ms); /* wall clock steps */
void world_clock_drift(struct world *w, uint32_t host, int32_t ppm);
int64_t world_wall_ms(const struct world *w, uint32_t host);
/* Stops the wall clocks (not the timers): a run of commands then carries one millisecond. */
void world_clock_freeze(struct world *w, bool frozen);

uint64_t world_now_us(const struct world *w);
/* Runs all events up to this instant, which is now afterwards. */
void world_run(struct world *w, uint64_t until_us);
/* Runs the next event if it is due by then; false (and now = until) when there was none. */
bool world_step(struct world *w, uint64_t until_us);
/* Sends what was appended to connections outside of any step. */
void world_flush(struct world *w);
uint64_t world_hash(const struct world *w);   /* of the whole history so far */
uint64_t world_events(const struct world *w); /* delivered so far */
/* The last events, oldest first, a line each. */
void world_trace(const struct world *w, struct buf *out);
/* A line of one's own into the trace and the hash. */
void world_note(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
