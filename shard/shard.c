/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/shard.h"

#include "base/mem.h"
#include "shard/deferred.h"

#define PATCH_MIN 4096u
#define GARBAGE_BUDGET 1024u /* elements freed a tick */

static void set_actor(struct shard *s, uint32_t actor)
{
    s->clock.actor = actor;
    for (uint32_t i = 0; i < s->count; i++) {
        struct part *p = &s->parts[i];
        p->own = context_get(&p->vv, actor);
        if (p->own == 0)
            p->own = stamp_make(0, 0, actor);
        p->closed = p->own;
    }
}

struct shard *shard_new(const struct shard_opts *o)
{
    struct shard *s = mem_zalloc(sizeof *s);
    struct mem_account *outer = shard_enter(s);
    s->account.held = (int64_t)mem_block_size(s);
    s->id = o->id;
    s->region = o->region;
    s->partitions = o->partitions;
    s->first = o->first_partition;
    s->count = o->count;
    s->shown = o->first_partition + o->count > o->partitions ? o->count - 1 : o->count;
    s->hash_key = o->hash_key;
    s->memory_max = o->memory_max;
    s->patch_min = o->patch_min ? o->patch_min : PATCH_MIN;
    s->kept.value_min = s->patch_min;
    s->kept_bytes_max = o->kept_bytes_max;
    s->log_bytes_max = o->log_bytes_max;
    s->looks = (struct shard_looks){.hash_entries = 512,
                                    .hash_value = 64,
                                    .set_ints = 512,
                                    .zset_entries = 128,
                                    .zset_value = 64,
                                    .list_size = -2,
                                    .stream_entries = 100};
    s->touched = o->touched;
    s->unblocked = o->unblocked;
    s->lacking = o->lacking;
    s->event = o->event;
    s->publish = o->publish;
    s->read = o->read;
    s->changed = o->changed;
    s->show = o->show;
    s->arg = o->arg;
    s->catalog = o->catalog;
    s->catalog_arg = o->catalog_arg;
    s->geo = s->logged = o->geo;
    s->xadd_ids = o->xadd_ids;
    s->reachable = UINT64_MAX;
    s->parts = mem_lines(o->count * sizeof *s->parts / LINE);
    s->open = mem_alloc(o->count * sizeof *s->open);
    for (uint32_t i = 0; i < o->count; i++) {
        s->parts[i].number = o->first_partition + i;
        table_init(&s->parts[i].keys, &keyspace_type, o->hash_key);
        shelf_init(&s->parts[i].shelf, &s->kept, o->hash_key);
        s->parts[i].open.ops.charged = true;
    }
    s->slice_bytes = o->slice_bytes ? o->slice_bytes : SLICE_BYTES_DEFAULT;
    s->feed.records.charged = s->name.charged = s->ranks.charged = true;
    s->text.charged = s->room.charged = true;
    s->pour_min = o->pour_min ? o->pour_min : POUR_MIN_DEFAULT;
    s->around = (struct surroundings){.hash_key = o->hash_key,
                                      .digest_off = !o->geo,
                                      .conflicts = &s->conflicts,
                                      .conflict = conflicts_note,
                                      .unsettled = compact_note,
                                      .discard = garbage_cell,
                                      .arg = s};
    s->log = log_new(o->first_partition, o->count,
                     o->log_bytes_max ? o->log_bytes_max : LOG_BYTES_DEFAULT);
    evict_init(s, o->seed);
    memory_bounds(s);
    s->runs = position_runs_new();
    rng_init(&s->rng, o->seed);
    set_actor(s, o->actor);
    shard_note_hooks(s);
    mem_account_leave(outer);
    return s;
}

static void drop_cell(void *item, void *arg)
{
    (void)arg;
    value_free(item);
}

void shard_free(struct shard *s)
{
    if (s == NULL)
        return;
    assert(s->transfers == NULL);
    struct mem_account *outer = shard_enter(s), last;
    for (uint32_t i = 0; i < s->count; i++) {
        struct part *p = &s->parts[i];
        join_drop(p);
        table_deinit(&p->keys, drop_cell, NULL);
        context_deinit(&p->vv);
        context_deinit(&p->stable);
        buf_deinit(&p->open.ops);
        mem_free(p->open.deps);
        settle_deinit(&p->unsettled);
        shelf_clear(&p->shelf);
    }
    pour_free(s);
    garbage_free(s);
    defrag_deinit(&s->defrag);
    watches_free(s->watches);
    blocked_free(s->blocked);
    expiry_deinit(&s->expiry);
    position_runs_free(s->runs);
    log_free(s->log);
    buf_deinit(&s->feed.records);
    buf_deinit(&s->name);
    buf_deinit(&s->ranks);
    buf_deinit(&s->text);
    buf_deinit(&s->room);
    mem_free(s->ops);
    mem_free(s->hashes);
    mem_free(s->open);
    mem_free(s->parts);
    last = s->account;
    mem_account_leave(outer);
    last.held -= (int64_t)mem_block_size(s);
    mem_account_end(&last);
    mem_free(s);
}

/* ------------------------------------------------------------ commands */

void shard_set_xadd_ids(struct shard *s, enum xadd_ids ids) { s->xadd_ids = ids; }

void shard_set_importing(struct shard *s, bool importing) { s->importing = importing; }

void shard_set_looks(struct shard *s, const struct shard_looks *looks) { s->looks = *looks; }

const char *shard_write_refusal(const struct shard *s)
{
    if (s->stale)
        return "STALE this region lost its memory and is catching up with its peers; retry, or "
               "write in another region";
    if (!s->leaving)
        return s->refusal;
    return "READONLY this region is being removed from the geo-distributed database; write in "
           "another region";
}

const char *shard_refusal(struct shard *s, uint32_t flags)
{
    if (!(flags & CMD_WRITE))
        return NULL;
    if (s->stale || s->leaving || s->refusal != NULL)
        return shard_write_refusal(s);
    if ((flags & CMD_DENYOOM) && shard_is_full(s))
        return OOM_TEXT;
    return NULL;
}

/* What is due after a command, and seldom is. */
static void finish(struct shard *s, struct moment now)
{
    if (s->atomic)
        return;
    if (s->woken)
        blocked_serve(s, now);
    if (s->open_big)
        frame_close_big(s, now.wall_ms);
}

/* Of a script that reads, the keys that it was given count as read, too: Redis 7.0 tracks those. */
static void note_read(struct shard *s, const struct call *c)
{
    bool script = c->command->flags & CMD_SCRIPT;
    bool reads = script ? s->script_reads : (c->command->flags & CMD_READONLY) != 0;
    if (reads && s->read != NULL) {
        struct mem_account *mine = mem_account_enter(NULL);
        s->read(s->arg, c);
        mem_account_leave(mine);
    }
    if (script)
        s->script_reads = false;
    else if (c->in_script)
        s->script_reads |= reads;
}

/* Of a shard that is guarded: true when the command was refused. A script has been checked as it
 * began. */
static __attribute__((noinline)) bool refuse(struct shard *s, const struct call *c)
{
    if (c->in_script)
        return false;
    const char *why = s->busy;
    if (why == NULL) {
        uint32_t flags = c->command->flags;
        if (c->in_exec) /* a transaction has been checked as it began */
            flags &= ~(uint32_t)(CMD_DENYOOM | CMD_WRITE);
        shard_note_time(s, c->now);
        if (!(flags & CMD_DENYOOM))
            (void)shard_is_full(s); /* makes room, for what comes or has come */
        why = shard_refusal(s, flags);
        s->stats.commands += why != NULL;
    }
    if (why != NULL)
        reply_error(c->reply, why);
    return why != NULL;
}

static __attribute__((noinline)) void conclude(struct shard *s, const struct call *c)
{
    if (c->track)
        note_read(s, c);
    finish(s, c->now);
}

void shard_execute(struct shard *s, struct call *c)
{
    c->shard = s;
    if (s->guarded && refuse(s, c))
        return;
    mem_account_now = &s->account; /* nobody calls with another one */
    shard_note_time(s, c->now);
    s->stats.commands++;
    s->stats.writes += (c->command->flags & CMD_WRITE) != 0;
    s->caller = c->session;
    c->command->run(c);
    if (__builtin_expect(c->track | s->open_big | s->woken, 0))
        conclude(s, c);
    mem_account_now = NULL;
}

void shard_set_events(struct shard *s, uint32_t classes)
{
    s->wants.events = s->event != NULL ? classes : 0;
    shard_note_hooks(s);
}

bool shard_owns(const struct shard *s, struct bytes key)
{
    return slot_partition(hash_slot(key), s->partitions) - s->first < s->shown;
}

bool shard_is_whole(const struct shard *s) { return s->shown == s->partitions; }

void shard_set_engine(struct shard *s, struct shard_engine *engine) { s->engine = engine; }

struct shard_engine *shard_engine(const struct shard *s) { return s->engine; }

void shard_set_busy(struct shard *s, const char *text)
{
    s->busy = text;
    shard_note_hooks(s);
}

const char *shard_busy(const struct shard *s) { return s->busy; }

void shard_show(const struct shard *s, const struct call *c)
{
    struct mem_account *mine = mem_account_enter(NULL);
    if (s->show != NULL)
        s->show(s->arg, c);
    mem_account_leave(mine);
}

void shard_set_tracked(struct shard *s, bool tracked)
{
    s->tracked = tracked && s->changed != NULL;
    shard_note_hooks(s);
}

uint64_t shard_hash(const struct shard *s, struct bytes key) { return hash_sip(key, s->hash_key); }

void shard_prefetch(const struct shard *s, uint32_t slot, uint64_t hash)
{
    table_prefetch(&shard_part(s, slot_partition(slot, s->partitions))->keys, hash);
}

void shard_prefetch_item(const struct shard *s, uint32_t slot, uint64_t hash)
{
    table_prefetch_item(&shard_part(s, slot_partition(slot, s->partitions))->keys, hash);
}

const struct coll *shard_prefetch_coll(const struct shard *s, uint32_t slot, uint64_t hash,
                                       struct bytes key)
{
    const struct part *p = shard_part(s, slot_partition(slot, s->partitions));
    return coll_ahead(table_get(&p->keys, hash, key));
}

/* ------------------------------------------------------------ replication */

const struct context *shard_context(const struct shard *s, uint32_t partition)
{
    return &shard_part(s, partition)->vv;
}

static void end_deferred(struct shard *s, uint32_t partition)
{
    struct mem_account *outer = shard_enter(s);
    deferred_end_part(s, shard_part(s, partition));
    mem_account_leave(outer);
}

struct hash128 shard_digest(struct shard *s, uint32_t partition)
{
    end_deferred(s, partition);
    return shard_part(s, partition)->digest;
}

struct hash128 shard_digest_so_far(const struct shard *s, uint32_t partition)
{
    return shard_part(s, partition)->digest;
}

uint64_t shard_written(const struct shard *s) { return s->stats.ops_own; }

struct log *shard_log(struct shard *s) { return s->log; }

void shard_hold_log(struct shard *s, uint64_t pos)
{
    struct mem_account *outer = shard_enter(s);
    log_hold(s->log, pos);
    mem_account_leave(outer);
}

static void add_digest(void *item, void *arg)
{
    struct hash128 *sum = arg;
    *sum = hash128_add(*sum, value_redigest(item));
}

enum shard_origin shard_origin(const struct shard *s, uint32_t partition, stamp_t stamp)
{
    const struct part *p = &s->parts[partition - s->first];
    if (p->began == 0)
        return stamp > p->own ? ORIGIN_BEYOND : ORIGIN_OWN;
    return stamp > p->own || shard_began_across(s, partition, stamp) ? ORIGIN_BESIDE : ORIGIN_OWN;
}

bool shard_began_across(const struct shard *s, uint32_t partition, stamp_t stamp)
{
    const struct part *p = &s->parts[partition - s->first];
    return p->began != 0 && stamp_actor(p->began) == stamp_actor(stamp) && stamp > p->began_prev &&
           stamp < p->began;
}

void shard_set_geo(struct shard *s, bool geo)
{
    if (geo == s->geo)
        return;
    shard_close_frames(s, (struct moment){.wall_ms = s->wall_ms, .mono_us = s->mono_us});
    struct mem_account *outer = shard_enter(s);
    bool was_logged = s->logged;
    deferred_end(s);
    s->geo = geo;
    evict_thresholds(s);
    s->logged = geo || s->durable;
    s->around.digest_off = !geo;
    s->around.shelf = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        struct part *p = &s->parts[i];
        p->closed = p->own;
        p->digest = (struct hash128){0};
        if (geo) { /* nothing written so far is in the log */
            if (!was_logged)
                log_cut(s->log, p->number, &p->vv);
            for (uint64_t at = 0;
                 (at = table_scan(&p->keys, at, SIZE_MAX, add_digest, &p->digest));)
                continue;
        } else { /* nobody is left who could not have seen it */
            context_copy(&p->stable, &p->vv);
            shelf_clear(&p->shelf);
        }
    }
    mem_account_leave(outer);
}

void shard_set_durable(struct shard *s, bool durable)
{
    shard_close_frames(s, (struct moment){.wall_ms = s->wall_ms, .mono_us = s->mono_us});
    struct mem_account *outer = shard_enter(s);
    if (durable && !s->logged)
        for (uint32_t i = 0; i < s->count; i++)
            log_cut(s->log, s->parts[i].number, &s->parts[i].vv);
    mem_account_leave(outer);
    s->durable = durable;
    s->logged = s->geo || durable;
}

void shard_set_actor(struct shard *s, uint32_t actor)
{
    shard_close_frames(s, (struct moment){.wall_ms = s->wall_ms, .mono_us = s->mono_us});
    set_actor(s, actor);
    for (uint32_t i = 0; i < s->count; i++)
        s->parts[i].began = 0;
}

void shard_rename(struct shard *s, uint32_t actor)
{
    shard_close_frames(s, (struct moment){.wall_ms = s->wall_ms, .mono_us = s->mono_us});
    set_actor(s, actor);
}

#define UNBLOCKED_STALE                                                                            \
    "UNBLOCKED this region lost its memory and is catching up with its peers; retry, or wait in "  \
    "another region"
#define UNBLOCKED_LEAVING                                                                          \
    "UNBLOCKED this region is being removed from the geo-distributed database; wait in another "   \
    "region"

void shard_hold_kept(struct shard *s, bool held)
{
    struct mem_account *outer = shard_enter(s);
    if (held)
        shelf_hold(&s->kept);
    else
        shelf_unhold(&s->kept);
    mem_account_leave(outer);
}

/* All commands that wait for keys end. */
static void end_all(struct shard *s, const char *error)
{
    struct mem_account *outer = shard_enter(s);
    blocked_end_all(s, error);
    mem_account_leave(outer);
}

void shard_set_stale(struct shard *s, bool stale)
{
    bool changed = s->stale != stale;
    s->stale = stale;
    shard_note_hooks(s);
    if (stale)
        end_all(s, UNBLOCKED_STALE);
    if (changed && s->catalog != NULL && shard_has_catalog(s))
        s->catalog(s->catalog_arg, CATALOG_KINDS, bytes_of(NULL, 0), NULL);
}

void shard_set_refusal(struct shard *s, const char *why)
{
    s->refusal = why;
    shard_note_hooks(s);
}

void shard_set_leaving(struct shard *s, bool leaving)
{
    s->leaving = leaving;
    shard_note_hooks(s);
    if (leaving)
        end_all(s, UNBLOCKED_LEAVING);
}

bool shard_is_stale(const struct shard *s) { return s->stale; }

/* ------------------------------------------------------------ upkeep */

bool shard_tick(struct shard *s, struct moment now)
{
    if (s->busy != NULL)
        return false;
    struct mem_account *outer = shard_enter(s);
    shard_note_time(s, now);
    bool more = expiry_tick(s, now);
    more |= evict_tick(s, now.wall_ms);
    more |= compact_tick(s, COMPACT_BUDGET);
    more |= join_some(s);
    more |= garbage_tick(s, GARBAGE_BUDGET);
    more |= log_free_step(s->log);
    more |= defrag_tick(s);
    finish(s, now);
    mem_account_leave(outer);
    return more;
}

void shard_stats(const struct shard *s, struct shard_stats *out)
{
    *out = s->stats;
    out->defrag = s->defrag.stats;
    out->keys = 0;
    out->expires = s->expiry.live;
    out->unsettled = shard_unsettled(s);
    out->conflicts = s->conflicts;
    out->log_bytes = log_bytes(s->log);
    out->kept = s->kept.n;
    out->kept_bytes = s->kept.bytes;
    for (uint32_t i = 0; i < s->shown; i++)
        out->keys += s->parts[i].keys.count - s->parts[i].bare;
}

struct visitor {
    void (*visit)(const struct cell *key, void *arg);
    void *arg;
};

static void visit_key(void *item, void *arg)
{
    const struct visitor *v = arg;
    v->visit(item, v->arg);
}

uint64_t shard_scan(struct shard *s, uint32_t partition, uint64_t cursor, size_t want,
                    void (*visit)(void *key, void *arg), void *arg)
{
    end_deferred(s, partition);
    return table_scan(&shard_part(s, partition)->keys, cursor, want, visit, arg);
}

const struct cell *shard_key(struct shard *s, uint32_t partition, struct bytes key)
{
    struct part *p = shard_part(s, partition);
    uint64_t hash = shard_hash(s, key);
    struct mem_account *outer = shard_enter(s);
    deferred_touch(s, p, hash);
    mem_account_leave(outer);
    return table_get(&p->keys, hash, key);
}

struct hash128 shard_key_digest(struct shard *s, uint32_t partition, struct bytes key)
{
    const struct cell *cell = shard_key(s, partition, key);
    return cell != NULL ? value_digest(cell) : (struct hash128){0};
}

void shard_each(struct shard *s, uint32_t partition,
                void (*visit)(const struct cell *key, void *arg), void *arg)
{
    end_deferred(s, partition);
    const struct part *p = shard_part(s, partition);
    struct visitor v = {.visit = visit, .arg = arg};
    for (uint64_t at = 0; (at = table_scan(&p->keys, at, SIZE_MAX, visit_key, &v));)
        continue;
}
