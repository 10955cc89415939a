/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/front.h"

#include "base/mem.h"
#include "proxy/clients.h"
#include "proxy/measure.h"
#include "proxy/multi.h"
#include "proxy/pubsub.h"
#include "proxy/route.h"
#include "proxy/tracking.h"

#include <assert.h>

#define CLIENTS_MAX 10000u
#define OUT_MAX REPLY_MAX /* a reply of BULK_MAX must fit */
#define BULK_MAX (512u << 20)
#define ARGS_MAX (1024u * 1024u)
#define QUERY_MAX (UINT64_C(1) << 30)
#define QUERY_MOST (UINT64_C(3) << 30) /* a command has to fit into a record for another worker */
#define PUSH_MAX (32u << 20)
#define PUSH_SOFT (8u << 20)
#define PUSH_SOFT_S 60u

struct front *front_new(const struct front_opts *o)
{
    struct front *f = mem_zalloc(sizeof *f);
    f->db_uid = o->db_uid;
    f->partitions = o->partitions;
    f->courier = o->courier;
    f->host = o->host;
    f->shards_count = o->shards_count;
    f->shards = mem_dup(o->shards, o->shards_count * sizeof o->shards[0]);
    f->others = mem_zalloc(courier_workers(o->courier) * sizeof f->others[0]);
    f->born = o->now;
    rng_init(&f->rng, o->seed);
    durable_init(f);
    blocked_init(&f->blocked, o->seed);
    struct hash_key key = {.k0 = rng_next(&f->rng), .k1 = rng_next(&f->rng)};
    memory_init(f);
    refusals_init(f);
    tracking_init(f);
    topics_init(&f->topics, courier_workers(o->courier), courier_self(o->courier), key);
    settings_init(&f->kept);
    stats_init(&f->stats);
    struct front_settings s = o->settings;
    s.push_max = PUSH_MAX;
    s.push_soft = PUSH_SOFT;
    s.push_soft_s = PUSH_SOFT_S;
    front_configure(f, &s);
    scripting_init(f, rng_next(&f->rng));
    return f;
}

void front_start(struct front *f, struct port *port)
{
    f->port = port;
    topics_ask(f, port);
}

void front_configure(struct front *f, const struct front_settings *s)
{
    f->settings = *s;
    if (f->settings.clients_max == 0)
        f->settings.clients_max = CLIENTS_MAX;
    if (f->settings.out_max == 0)
        f->settings.out_max = OUT_MAX;
    if (f->settings.bulk_max == 0)
        f->settings.bulk_max = BULK_MAX;
    if (f->settings.query_max == 0)
        f->settings.query_max = QUERY_MAX;
    f->limits = (struct resp_limits){
        .bulk_max = f->settings.bulk_max,
        .args_max = ARGS_MAX,
        .query_max = f->settings.query_max < QUERY_MOST ? f->settings.query_max : QUERY_MOST};
    acl_configure(f);
    measure_configure(f);
    const struct shard_looks looks = {
        .hash_entries = f->kept.number[CONFIG_HASH_MAX_LISTPACK_ENTRIES],
        .hash_value = f->kept.number[CONFIG_HASH_MAX_LISTPACK_VALUE],
        .set_ints = f->kept.number[CONFIG_SET_MAX_INTSET_ENTRIES],
        .zset_entries = f->kept.number[CONFIG_ZSET_MAX_LISTPACK_ENTRIES],
        .zset_value = f->kept.number[CONFIG_ZSET_MAX_LISTPACK_VALUE],
        .list_size = f->kept.number[CONFIG_LIST_MAX_LISTPACK_SIZE],
        .stream_entries = f->kept.number[CONFIG_STREAM_NODE_MAX_ENTRIES]};
    for (uint32_t i = 0; i < f->shards_count; i++) {
        if (f->shards[i].local == NULL)
            continue;
        shard_set_events(f->shards[i].local, f->settings.events);
        shard_set_looks(f->shards[i].local, &looks);
        shard_set_importing(f->shards[i].local, f->kept.number[CONFIG_IMPORT_MODE] != 0);
    }
    memory_configure(f);
    if (f->scripting.scripts != NULL)
        scripts_set_busy_ms(f->scripting.scripts,
                            (uint64_t)f->kept.number[CONFIG_BUSY_REPLY_THRESHOLD]);
}

void front_end(struct front *f, struct port *port, struct moment now)
{
    f->ending = true;
    for (struct session *s = f->first, *next; s != NULL; s = next) {
        next = s->next;
        s->closing = true;
        if (s->waits_in == NULL)
            session_close(s, port, true, now);
    }
}

void front_free(struct front *f, struct port *port)
{
    while (f->first != NULL)
        session_close(f->first, port, true, f->born);
    scripting_deinit(f, port);
    acl_deinit(f);
    catalog_deinit(f);
    dataset_deinit(f);
    durable_deinit(f);
    blocked_deinit(&f->blocked);
    keep_deinit(&f->keep);
    observers_deinit(&f->observers);
    resp_args_deinit(&f->args);
    buf_deinit(&f->scratch);
    buf_deinit(&f->sink);
    buf_deinit(&f->after);
    buf_deinit(&f->event_name);
    topics_deinit(&f->topics);
    settings_deinit(&f->kept);
    stats_deinit(&f->stats);
    slowlog_clear(&f->slowlog);
    latency_deinit(&f->latency);
    tracking_deinit(f);
    refusals_deinit(f);
    mem_free(f->at);
    mem_free(f->shards);
    memory_deinit(f);
    mem_free(f->others);
    mem_free(f);
}

bool front_has_password(const struct front *f) { return f->settings.password[0] != 0; }

/* Clients of all workers share the limit. What the others have is known as of their last tick. */
static bool is_crowded(const struct front *f)
{
    uint64_t n = f->sessions;
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        n += f->others[i];
    return n >= f->settings.clients_max;
}

static void tell_count(struct front *f, struct port *port)
{
    uint32_t self = courier_self(f->courier), count[2] = {self, f->sessions};
    struct bytes arg = bytes_of(count, sizeof count);
    struct job job = {.kind = JOB_COUNT, .db_uid = f->db_uid, .argc = 1, .argv = &arg};
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != self)
            courier_send(f->courier, port, i, &job, NULL, 0);
    f->told = f->sessions;
}

static void hear_count(struct front *f, struct bytes arg)
{
    uint32_t count[2];
    memcpy(count, arg.p, sizeof count);
    f->others[count[0]] = count[1];
}

/* Who comes when there is no room is refused as it speaks, unless it is a peer's link: clients must
 * not keep regions apart. Only so many wait for that. */
static bool may_wait(const struct front *f)
{
    uint32_t max = STRANGERS_MAX / courier_workers(f->courier);
    return f->strangers < (max > 4 ? max : 4);
}

void front_accept(struct front *f, struct port *port, conn_id conn, bool scarce, struct moment now)
{
    bool crowded = scarce || is_crowded(f);
    if (crowded && !may_wait(f)) {
        struct buf *out = port->ops->out(port, conn);
        if (out != NULL)
            buf_put_str(out, CROWDED_TEXT);
        port->ops->close(port, conn, true);
        f->refused++;
        return;
    }
    f->connections += !crowded;
    struct session *s = session_new(f, conn, now);
    s->stranger = crowded;
    f->strangers += crowded;
    port->ops->own(port, conn, &s->owner);
    if (!f->catalog.complete && f->dataset.missing == 0)
        session_hold(s, port, true);
}

/* Sessions that are idle for too long; one that waits for an answer is not idle. */
static void close_idle(struct front *f, struct port *port, struct moment now)
{
    uint64_t limit_us = f->settings.timeout_s * 1000000u;
    for (struct session *s = f->first, *next; s != NULL; s = next) {
        next = s->next;
        if (!s->dead && s->head == NULL && now.mono_us - s->active_us > limit_us)
            session_close(s, port, false, now);
    }
}

static void close_strangers(struct front *f, struct port *port, struct moment now)
{
    for (struct session *s = f->first, *next; s != NULL && f->strangers > 0; s = next) {
        next = s->next;
        if (s->stranger && !s->dead && now.mono_us - s->born_us > STRANGERS_US)
            session_refuse(s, port, now);
    }
}

static void free_dead(struct front *f, struct port *port, struct moment now)
{
    for (struct session *s = f->first, *next; s != NULL && f->dead > 0; s = next) {
        next = s->next;
        if (s->dead)
            session_free(s, port, now);
    }
}

void front_tick(struct front *f, struct port *port, struct moment now)
{
    rate_sample(&f->rate, stats_calls(&f->stats), now.mono_us);
    rate_sample(&f->rate_in, f->net_in, now.mono_us);
    rate_sample(&f->rate_out, f->net_out, now.mono_us);
    free_dead(f, port, now);
    close_strangers(f, port, now);
    acl_tell(f, port);
    push_tick(f, port, now);
    memory_tick(f, port);
    refusals_tick(f, port);
    durable_tick(f, port, now);
    if (f->told != f->sessions)
        tell_count(f, port);
    if (f->settings.timeout_s != 0)
        close_idle(f, port, now);
    if (f->pause_until_ms != 0 && now.wall_ms >= f->pause_until_ms)
        f->pause_until_ms = 0;
    keep_turn(f, port);
    front_resume(f, port, now);
}

bool front_ready(const struct front *f, struct port *port)
{
    for (const struct session *s = f->held; s != NULL; s = s->held_next)
        if (session_ready(s, port))
            return true;
    return false;
}

void front_resume(struct front *f, struct port *port, struct moment now)
{
    for (struct session *s = f->held, *next; s != NULL; s = next) {
        next = s->held_next; /* stays: a session that runs commands frees at most itself */
        if (session_ready(s, port))
            session_resume(s, port, now);
    }
}

/* ------------------------------------------------------------ lookups */

const struct lookup *front_lookup(struct front *f, struct bytes name)
{
    if (name.n == 0 || name.n > sizeof f->lookups[0].name)
        return NULL;
    struct lookup *l = &f->lookups[(name.n + name.p[0]) % LOOKUPS];
    if (name.n == l->name_n && memcmp(name.p, l->name, name.n) == 0)
        return l;
    unsigned number = 0;
    const struct command *c = command_lookup(name, &number);
    if (c == NULL)
        return NULL;
    *l = (struct lookup){.command = c, .use = &f->stats.uses[number], .name_n = name.n};
    memcpy(l->name, name.p, name.n);
    return l;
}

uint32_t *front_indexes(struct front *f, uint32_t n)
{
    if (f->at_max < n) {
        mem_free(f->at);
        f->at_max = n + n / 2 + 16;
        f->at = mem_alloc(f->at_max * sizeof f->at[0]);
    }
    return f->at;
}

struct shard *front_locate(struct front *f, const struct command *c, uint32_t argc,
                           const struct bytes *argv, uint32_t *slot, uint64_t *hash)
{
    if (c->where != AT_SHARD || c->first_key == 0 || c->last_key != c->first_key ||
        c->keys != NULL || argc <= (uint32_t)c->first_key)
        return NULL;
    struct bytes key = argv[c->first_key];
    *slot = hash_slot(key);
    struct shard *shard = f->shards[front_shard_of(f, *slot)].local;
    if (shard == NULL)
        return NULL;
    *hash = shard_hash(shard, key);
    return shard;
}

/* ------------------------------------------------------------ jobs of other workers */

static void run_command(struct front *f, struct shard *shard, struct job *job, struct reply *r,
                        struct moment now)
{
    struct block block = {.waits = false};
    struct call c = {.shard = shard,
                     .command = job->command,
                     .argc = job->argc,
                     .argv = job->argv,
                     .reply = r,
                     .now = now,
                     .session = job->session,
                     .track = job->track,
                     .user = job->user,
                     .hashed = job->hashed,
                     .key_slot = job->slot,
                     .key_hash = job->hash,
                     .block = job->kind == JOB_BLOCK ? &block : NULL,
                     .may_later = true};
    struct command_use *u = stats_use(&f->stats, job->command);
    const struct measured m = {
        .command = job->command, .session = job->session, .argc = job->argc, .argv = job->argv};
    uint64_t began_us = measure_now(f);
    shard_execute(shard, &c);
    measure_one(f, u, &m, began_us, now);
    measure_failed(f, u, r);
    job->later = c.later;
    job->waits_ms = block.waits ? block.timeout_ms : -1;
}

/* A request for a shard that is not here can only come from a worker that routes differently: a
 * bug. */
static struct shard *job_shard(const struct front *f, const struct job *job)
{
    assert(job->shard < f->shards_count && f->shards[job->shard].local != NULL);
    return f->shards[job->shard].local;
}

/* What another worker tells, or asks of what concerns clients. */
static void hear(struct front *f, struct port *port, const struct job *job, struct reply *r,
                 struct moment now)
{
    switch (job->kind) {
    case JOB_COUNT:
        hear_count(f, job->argv[0]);
        break;
    case JOB_MEMORY:
        memory_hear(f, job->argv[0]);
        break;
    case JOB_REFUSAL:
        refusals_hear(f, job);
        break;
    case JOB_ACL_NOTED:
        acl_noted(f, job->argv[0]);
        break;
    case JOB_LISTEN:
    case JOB_TOPICS:
    case JOB_SETTLED:
    case JOB_MESSAGE:
    case JOB_ACROSS:
    case JOB_MONITOR:
    case JOB_TRACKING:
        pubsub_job(f, port, job, r);
        break;
    case JOB_INFO:
    case JOB_STATS:
    case JOB_SLOW:
    case JOB_SLOWLOG:
    case JOB_LATENCY:
        measure_job(f, job, r, now);
        break;
    case JOB_UNBLOCK:
        blocked_end_job(f, port, job_shard(f, job), job);
        break;
    case JOB_UNBLOCKED:
        blocked_served(f, job);
        break;
    case JOB_OPEN:
        dataset_job(f, port, job);
        break;
    case JOB_DURABLE:
        durable_job(f, port, job, now);
        break;
    case JOB_OBSERVE:
        observe_begin(f, port, job);
        break;
    case JOB_UNOBSERVE:
        observe_end(f, job->session);
        break;
    case JOB_COMPARE:
        compare_begin(f, port, job);
        break;
    case JOB_COMPARED:
        compared_heard(f, port, job->session, job->argv[0]);
        break;
    case JOB_KEEP:
    case JOB_SAVE:
    case JOB_SAVED:
        keep_job(f, port, job, r, now);
        break;
    case JOB_OBSERVED:
        observe_heard(f, port, job->session, job->argv[0]);
        break;
    default:
        assert(false); /* front_run knows all others */
        break;
    }
}

static void run_job(struct front *f, struct port *port, struct job *job, struct reply *r,
                    struct moment now)
{
    struct buf *out = r->out;
    f->scripting.port = port;
    switch (job->kind) {
    case JOB_COMMAND:
    case JOB_BLOCK:
        run_command(f, job_shard(f, job), job, r, now);
        break;
    case JOB_EXEC:
        (void)job_shard(f, job);
        scripting_exec(f, job, r, now);
        break;
    case JOB_WATCH:
        multi_watch(job_shard(f, job), job->session, job->argc, job->argv, r, now);
        break;
    case JOB_UNWATCH:
        (void)shard_unwatch(job_shard(f, job), job->session, now);
        break;
    case JOB_FIGURES: {
        struct figures figures = {0};
        front_figures(f, &figures, now);
        buf_put(out, &figures, sizeof figures);
        break;
    }
    case JOB_CLIENTS:
        session_lines(f, port, job->argc, job->argv, out, now);
        break;
    case JOB_KILL:
        reply_int(r, session_kill(f, port, job->argc, job->argv, job->session, now));
        break;
    case JOB_CONFIG:
        config_apply(f, job->argc, job->argv);
        reply_ok(r);
        break;
    case JOB_RESETSTAT:
        f->connections = f->refused = f->net_in = f->net_out = f->cut_output = 0;
        stats_reset(&f->stats);
        reply_ok(r);
        break;
    case JOB_CATALOG:
    case JOB_CATALOG_HEARD:
    case JOB_CATALOG_JOIN:
    case JOB_CATALOG_DONE:
        catalog_run(f, port, job, r, now);
        break;
    case JOB_PAUSE:
        session_pause(f, job->argv);
        reply_ok(r);
        break;
    case JOB_CONFLICTS:
        conflicts_put(f, job->argv, out);
        break;
    case JOB_CONTEXTS:
        contexts_put(f, job->argv[0], out);
        break;
    case JOB_SCRIPTS:
    case JOB_BUSY:
        scripting_job(f, port, job, r);
        break;
    case JOB_LATE: /* the courier's own */
    case JOB_GO_ON:
    case JOB_FORGET:
        break;
    case JOB_CLIENT_UNBLOCK:
        reply_int(r, blocked_unblock(f, port, job->argv));
        break;
    default:
        hear(f, port, job, r, now);
        break;
    }
}

void front_run(struct front *f, struct port *port, struct job *job, struct buf *out,
               struct moment now)
{
    size_t at = buf_len(out), max = (size_t)f->settings.out_max;
    struct reply r = {.out = out, .resp = job->resp};
    r.max = at + (job->answered < max ? max - job->answered : 1);
    run_job(f, port, job, &r, now);
    if (reply_limit(&r, at))
        measure_errors(f, &r);
}

void front_figures(struct front *f, struct figures *out, struct moment now)
{
    out->clients += f->sessions - f->dead;
    out->blocked += blocked_count(&f->blocked);
    for (const struct session *s = f->held; s != NULL; s = s->held_next)
        out->blocked += s->parked;
    for (const struct session *s = f->first; s != NULL; s = s->next) {
        out->input_bytes += s->in.cap + s->querying;
        out->output_bytes += s->owed + f->port->ops->pending(f->port, s->conn);
    }
    struct scripting_figures scripts;
    scripting_figures(f, &scripts);
    out->lua_bytes += scripts.engine_bytes;
    out->scripts_bytes += scripts.scripts_bytes;
    out->tracking_keys += f->tracking.keys.count;
    out->tracking_items += f->tracking.items;
    out->connections += f->connections;
    out->refused += f->refused;
    out->commands += stats_calls(&f->stats);
    out->errors += stats_errors(&f->stats);
    out->rate += rate_per_second(&f->rate);
    out->net_in += f->net_in;
    out->net_out += f->net_out;
    out->cut_output += f->cut_output;
    out->rate_in += rate_per_second(&f->rate_in);
    out->rate_out += rate_per_second(&f->rate_out);
    out->peak += f->memory.peak;
    out->keep.took_ms = -1;
    f->host.keep(f->host.arg, f, &out->keep);
    f->host.figures(f->host.arg, f, out, now);
}
