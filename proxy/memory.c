/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/memory.h"

#include "base/mem.h"
#include "proxy/session.h"

#define STEPS 256u /* of the limit, divided by the workers: what moves by less is not told */
#define STEP_MIN 4096u

struct word {
    uint64_t worker, bytes;
};

void memory_init(struct front *f)
{
    f->memory.others = mem_zalloc(courier_workers(f->courier) * sizeof f->memory.others[0]);
}

void memory_deinit(struct front *f) { mem_free(f->memory.others); }

static uint64_t shards_held(const struct front *f)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (f->shards[i].local != NULL)
            sum += shard_held(f->shards[i].local);
    return sum;
}

uint64_t memory_counted(const struct front *f)
{
    uint64_t sum = shards_held(f) + f->memory.buffers;
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        sum += f->memory.others[i];
    return sum;
}

/* Each shard here learns what is not its own. */
static void tell_shards(struct front *f)
{
    uint64_t all = memory_counted(f);
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (f->shards[i].local != NULL)
            shard_set_memory_elsewhere(f->shards[i].local, all - shard_held(f->shards[i].local));
}

static void tell_others(struct front *f, struct port *port)
{
    uint32_t self = courier_self(f->courier);
    struct word word = {.worker = self, .bytes = f->memory.mine};
    struct bytes arg = bytes_of(&word, sizeof word);
    struct job job = {.kind = JOB_MEMORY, .db_uid = f->db_uid, .argc = 1, .argv = &arg};
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != self)
            courier_send(f->courier, port, i, &job, NULL, 0);
    f->memory.told = f->memory.mine;
}

void memory_hear(struct front *f, struct bytes arg)
{
    struct word word;
    memcpy(&word, arg.p, sizeof word);
    f->memory.others[word.worker] = word.bytes;
    tell_shards(f);
}

static void look(struct front *f, struct port *port, uint64_t step)
{
    struct memory_sums *m = &f->memory;
    m->mine = shards_held(f) + m->buffers;
    if (f->shards_count > 1)
        tell_shards(f);
    if (m->mine > m->told ? m->mine - m->told >= step : m->told - m->mine >= step)
        tell_others(f, port);
}

void memory_turn(struct front *f, struct port *port)
{
    if (f->settings.memory_max == 0)
        return;
    uint64_t step = f->settings.memory_max / STEPS / courier_workers(f->courier);
    look(f, port, step > STEP_MIN ? step : STEP_MIN);
}

static uint64_t buffers(const struct front *f, struct port *port)
{
    struct scripting_figures scripts;
    uint64_t sum = 0;
    for (const struct session *s = f->first; s != NULL; s = s->next)
        sum += s->in.cap + s->owed + s->querying + port->ops->pending(port, s->conn);
    scripting_figures(f, &scripts);
    return sum + scripts.engine_bytes + scripts.scripts_bytes;
}

void memory_tick(struct front *f, struct port *port)
{
    uint64_t held = shards_held(f) + f->memory.buffers;
    f->memory.peak = held > f->memory.peak ? held : f->memory.peak;
    if (f->settings.memory_max == 0)
        return;
    f->memory.buffers = buffers(f, port);
    look(f, port, 1);
    tell_shards(f);
}

/* CONFIG's words for maxmemory-policy, by their place. */
static enum forget policy_of(uint32_t place)
{
    static const enum forget policies[] = {
        FORGET_VOLATILE_LRU, FORGET_VOLATILE_LFU, FORGET_VOLATILE_RANDOM, FORGET_VOLATILE_TTL,
        FORGET_ALL_LRU,      FORGET_ALL_LFU,      FORGET_ALL_RANDOM,      FORGET_NOTHING};
    return place < FORGET_KINDS ? policies[place] : FORGET_NOTHING;
}

static uint32_t number(const struct front *f, enum setting_id id)
{
    return (uint32_t)f->kept.number[id];
}

void memory_configure(struct front *f)
{
    const struct evict_settings set = {.policy = policy_of(f->settings.eviction),
                                       .samples = number(f, CONFIG_MAXMEMORY_SAMPLES),
                                       .lfu_log_factor = number(f, CONFIG_LFU_LOG_FACTOR),
                                       .lfu_decay_minutes = number(f, CONFIG_LFU_DECAY_TIME),
                                       .refuse_percent = f->settings.oom_percent};
    for (uint32_t i = 0; i < f->shards_count; i++) {
        if (f->shards[i].local == NULL)
            continue;
        shard_set_memory_max(f->shards[i].local, (size_t)f->settings.memory_max);
        shard_set_eviction(f->shards[i].local, &set);
    }
    tell_shards(f);
}

bool memory_forgets(const struct front *f)
{
    return policy_of(f->settings.eviction) != FORGET_NOTHING;
}

bool memory_is_full(struct front *f)
{
    uint64_t max = f->settings.memory_max;
    if (max == 0)
        return false;
    bool any = false;
    for (uint32_t i = 0; i < f->shards_count; i++) {
        if (f->shards[i].local != NULL && shard_is_full(f->shards[i].local))
            return true;
        any |= f->shards[i].local != NULL;
    }
    uint32_t percent = memory_forgets(f)             ? EVICT_MARGIN_PERCENT
                       : f->settings.oom_percent > 0 ? f->settings.oom_percent
                                                     : 100;
    return !any && memory_counted(f) / percent > max / 100;
}
