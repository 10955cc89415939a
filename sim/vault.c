/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "sim/vault.h"

#include "base/mem.h"
#include "base/resp_reply.h"

#include <assert.h>
#include <string.h>

#define WORDS_MAX 64u
#define OPEN_US UINT64_C(60000000)

struct vault {
    struct vault_opts opts; /* its hooks */
    struct world *world;
    uint32_t host;
    struct port *port;
    struct shard *shard;
    struct storage *storage;
    uint64_t tick_at; /* mono_us */
};

static void step(void *self, struct port *port, const struct event *ev)
{
    struct vault *v = self;
    if (ev->kind == EV_START)
        storage_start(v->storage, port, ev->now);
    else if (ev->kind == EV_FILE)
        storage_answer(v->storage, port, ev->file, ev->now);
    bool open = storage_state(v->storage) == STORAGE_RUNS;
    if (open && v->tick_at == 0) {
        v->tick_at = ev->now.mono_us;
    } else if (open && v->opts.tick_us != 0 && ev->now.mono_us >= v->tick_at) {
        v->tick_at = ev->now.mono_us + v->opts.tick_us;
        v->opts.turn(v->opts.arg, v, ev->now);
    }
    shard_close_frames(v->shard, ev->now);
    storage_step(v->storage, port, ev->now);
    if (open && v->opts.after != NULL)
        v->opts.after(v->opts.arg, v, ev->now);
}

static uint64_t deadline(void *self)
{
    const struct vault *v = self;
    uint64_t disk = storage_deadline(v->storage);
    bool ticks = v->opts.tick_us != 0 && storage_state(v->storage) == STORAGE_RUNS;
    return ticks && v->tick_at < disk ? v->tick_at : disk;
}

static void drop(void *self, struct port *port)
{
    struct vault *v = self;
    (void)port;
    storage_free(v->storage);
    shard_free(v->shard);
    mem_free(v);
}

struct vault *vault_start(struct world *w, uint32_t host, const struct vault_opts *o)
{
    struct vault *v = mem_zalloc(sizeof *v);
    uint32_t count = o->count ? o->count : o->partitions + 1;
    *v = (struct vault){.opts = *o, .world = w, .host = host};
    v->opts.folder = NULL; /* the caller's */
    v->shard =
        shard_new(&(struct shard_opts){.region = actor_region(o->actor),
                                       .actor = o->actor,
                                       .partitions = o->partitions,
                                       .first_partition = o->first,
                                       .count = count,
                                       .hash_key = {.k0 = 1, .k1 = 2},
                                       .seed = 1,
                                       .geo = true,
                                       .xadd_ids = XADD_IDS_LIBERAL,
                                       .log_bytes_max = o->log_bytes ? o->log_bytes : 64 << 10,
                                       .patch_min = o->patch_min,
                                       .kept_bytes_max = o->kept_bytes_max,
                                       .slice_bytes = o->slice_bytes});
    v->storage = storage_new(&(struct storage_opts){.shard = v->shard,
                                                    .folder = o->folder,
                                                    .id = {.db_uid = o->db_uid,
                                                           .shard = o->shard,
                                                           .partitions = o->partitions,
                                                           .first = o->first,
                                                           .count = count},
                                                    .policy = o->policy,
                                                    .segment_bytes = o->segment_bytes,
                                                    .snapshot_bytes = o->snapshot_bytes,
                                                    .log_retention = o->log_retention,
                                                    .slice_bytes = o->slice_bytes});
    v->port = world_machine(w, host, 1,
                            (struct machine){.self = v, .step = step, .deadline = deadline}, drop);
    return v;
}

struct shard *vault_shard(struct vault *v) { return v->shard; }

struct storage *vault_storage(struct vault *v) { return v->storage; }

struct port *vault_port(struct vault *v) { return v->port; }

bool vault_open(struct vault *v)
{
    uint64_t until = world_now_us(v->world) + OPEN_US;
    while (storage_state(v->storage) == STORAGE_OPENS && world_step(v->world, until))
        continue;
    return storage_state(v->storage) == STORAGE_RUNS;
}

struct moment vault_now(const struct vault *v)
{
    return (struct moment){.wall_ms = world_wall_ms(v->world, v->host),
                           .mono_us = world_now_us(v->world)};
}

void vault_command_on(struct shard *s, struct moment now, const char *words, struct buf *out)
{
    struct bytes argv[WORDS_MAX];
    uint32_t argc = 0;
    struct buf raw = {0};
    struct reply reply = {.out = &raw, .resp = 2};
    while (*words != 0 && argc < WORDS_MAX) {
        size_t n = strcspn(words, " ");
        argv[argc++] = bytes_of((const uint8_t *)words, n);
        words += n + (words[n] == ' ');
    }
    struct call c = {.shard = s,
                     .command = command_resolve(argc, argv),
                     .argc = argc,
                     .argv = argv,
                     .reply = &reply,
                     .now = now};
    if (c.command == NULL || c.command->run == NULL || !command_arity_ok(c.command, argc))
        reply_error(&reply, "ERR no such command, or not with so many arguments");
    else
        shard_execute(s, &c);
    struct resp_reply tree;
    size_t used;
    if (resp_reply_read(buf_bytes(&raw), &tree, &used) == RESP_REPLY_OK) {
        resp_reply_print(out, &tree);
        resp_reply_deinit(&tree);
    }
    buf_deinit(&raw);
}

void vault_command(struct vault *v, const char *words, struct buf *out)
{
    vault_command_on(v->shard, vault_now(v), words, out);
}

void vault_run(struct vault *v, uint64_t us)
{
    struct world *w = v->world;
    shard_close_frames(v->shard, vault_now(v));
    storage_step(v->storage, v->port, vault_now(v));
    world_run(w, world_now_us(w) + us);
}

bool vault_snapshot(struct vault *v) { return storage_snapshot(v->storage, v->port, vault_now(v)); }

void vault_close(struct vault *v)
{
    uint64_t until = world_now_us(v->world) + OPEN_US;
    shard_close_frames(v->shard, vault_now(v));
    storage_close(v->storage, v->port, vault_now(v));
    while (storage_state(v->storage) != STORAGE_CLOSED && world_step(v->world, until))
        continue;
    assert(storage_state(v->storage) == STORAGE_CLOSED || world_now_us(v->world) >= until);
}
