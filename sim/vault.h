/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SIM_VAULT_H
#define MERIDIAN_SIM_VAULT_H

#include "sim/world.h"
#include "storage/storage.h"

/*
 * A process that has nothing but one shard and its folder on a virtual disk: for what is to be
 * known of storage/ alone (its tests, its fuzz target, the fixtures of its formats). One in a host
 * at a time; it lives until the host dies (world_kill, world_power_loss) or the world is freed.
 */
struct vault;

struct vault_opts {
    const char *folder; /* copied */
    uint32_t db_uid, shard;
    uint32_t partitions, first, count; /* count 0: all, with the hidden one behind */
    uint32_t actor;
    enum sync_policy policy;
    size_t patch_min, kept_bytes_max; /* of the shard; 0: the defaults */
    uint64_t segment_bytes, snapshot_bytes, log_retention;
    size_t slice_bytes;
    size_t log_bytes; /* of the log in memory; 0: 64 KiB */
    /* While it is open: `turn` every tick_us (0: never), `after` after each event. May be NULL. */
    void (*turn)(void *arg, struct vault *v, struct moment now);
    void (*after)(void *arg, struct vault *v, struct moment now);
    void *arg;
    uint64_t tick_us;
};

struct vault *vault_start(struct world *w, uint32_t host, const struct vault_opts *o);
struct shard *vault_shard(struct vault *v);
struct storage *vault_storage(struct vault *v);
struct port *vault_port(struct vault *v);
/* Runs the world until the folder is opened; false: it cannot be, storage_error says why. */
bool vault_open(struct vault *v);
/* Runs a command of blank-separated words and prints its reply as resp_reply_print does. The frames
 * are closed at the next vault_run. */
void vault_command(struct vault *v, const char *words, struct buf *out);
/* Likewise on a shard that is in none. */
void vault_command_on(struct shard *s, struct moment now, const char *words, struct buf *out);
/* What the world's clock says in this process. */
struct moment vault_now(const struct vault *v);
/* Time passes: what was written gets to the disk as the policy says. */
void vault_run(struct vault *v, uint64_t us);
bool vault_snapshot(struct vault *v); /* asks for one; false: not now */
void vault_close(struct vault *v);    /* the orderly end, and waits for it */

#endif
