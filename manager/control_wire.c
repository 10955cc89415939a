/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/control_wire.h"

#include "base/mem.h"

#include <assert.h>

/* ------------------------------------------------------------ framing */

void control_put(struct buf *out, uint64_t id, enum control_kind kind, struct bytes body)
{
    size_t start = buf_len(out);
    buf_reserve(out, 4);
    buf_added(out, 4);
    mp_put_array(out, body.n ? 3 : 2);
    mp_put_uint(out, id);
    mp_put_uint(out, kind);
    buf_put_bytes(out, body);
    uint32_t n = (uint32_t)(buf_len(out) - start - 4);
    assert(n <= CONTROL_MESSAGE_MAX);
    n = __builtin_bswap32(n);
    memcpy(out->p + out->head + start, &n, 4);
}

static uint32_t length_of(struct bytes in)
{
    return (uint32_t)in.p[0] << 24 | (uint32_t)in.p[1] << 16 | (uint32_t)in.p[2] << 8 | in.p[3];
}

enum control_result control_get(struct bytes in, uint64_t *id, enum control_kind *kind,
                                struct bytes *body, size_t *used)
{
    if (in.n < 4)
        return CONTROL_MORE;
    uint32_t n = length_of(in);
    if (n > CONTROL_MESSAGE_MAX)
        return CONTROL_BAD;
    if (in.n - 4 < n)
        return CONTROL_MORE;
    struct mp m = mp_read(bytes_of(in.p + 4, n));
    uint32_t parts = mp_array(&m);
    *id = mp_uint(&m);
    uint64_t k = mp_uint(&m);
    *body = bytes_of(m.p, mp_left(&m));
    if (parts == 3)
        mp_skip(&m);
    if (parts < 2 || parts > 3 || k < CONTROL_HELLO || k > CONTROL_DB_CHECK || !mp_done(&m))
        return CONTROL_BAD;
    *kind = (enum control_kind)k;
    *used = 4 + (size_t)n;
    return CONTROL_OK;
}

/* ------------------------------------------------------------ fields, written or read */

/* One function a struct names its fields in order; it writes them where `out` is set and reads them
 * otherwise. So both ways cannot differ. */
struct walk {
    struct buf *out;
    struct mp in;
};

static void refuse(struct walk *w)
{
    w->in.bad = true;
    w->in.p = w->in.end;
}

/* The head of an array of exactly n. */
static void walk_array(struct walk *w, uint32_t n)
{
    if (w->out != NULL)
        mp_put_array(w->out, n);
    else if (mp_array(&w->in) != n)
        refuse(w);
}

/* The head of an array of *n, at most max. */
static void walk_count(struct walk *w, uint32_t *n, uint32_t max)
{
    assert(w->out == NULL || *n <= max);
    if (w->out != NULL) {
        mp_put_array(w->out, *n);
        return;
    }
    *n = mp_array(&w->in);
    if (*n > max) {
        refuse(w);
        *n = 0;
    }
}

static void walk_u64(struct walk *w, uint64_t *v)
{
    if (w->out != NULL)
        mp_put_uint(w->out, *v);
    else
        *v = mp_uint(&w->in);
}

static void walk_u32(struct walk *w, uint32_t *v)
{
    uint64_t wide = *v;
    walk_u64(w, &wide);
    if (wide > UINT32_MAX)
        refuse(w);
    *v = (uint32_t)wide;
}

static void walk_u16(struct walk *w, uint16_t *v)
{
    uint64_t wide = *v;
    walk_u64(w, &wide);
    if (wide > UINT16_MAX)
        refuse(w);
    *v = (uint16_t)wide;
}

static void walk_i64(struct walk *w, int64_t *v)
{
    if (w->out != NULL)
        mp_put_int(w->out, *v);
    else
        *v = mp_int(&w->in);
}

static void walk_bool(struct walk *w, bool *v)
{
    if (w->out != NULL)
        mp_put_bool(w->out, *v);
    else
        *v = mp_bool(&w->in);
}

/* A string that ends with a NUL within `size` bytes; none stands inside. */
static void walk_text(struct walk *w, char *text, size_t size)
{
    if (w->out != NULL) {
        mp_put_bin(w->out, bytes_of(text, strnlen(text, size - 1)));
        return;
    }
    struct bytes s = mp_bin(&w->in);
    if (s.n >= size || (s.n > 0 && memchr(s.p, 0, s.n) != NULL)) {
        refuse(w);
        s.n = 0;
    }
    if (s.n > 0)
        memcpy(text, s.p, s.n);
    text[s.n] = 0;
}

static bool walk_done(const struct walk *w) { return mp_done(&w->in); }

/* ------------------------------------------------------------ a database */

static void walk_region(struct walk *w, struct plane_region *r)
{
    walk_array(w, 4);
    walk_u32(w, &r->id);
    walk_text(w, r->name, sizeof r->name);
    walk_text(w, r->host, sizeof r->host);
    walk_u16(w, &r->port);
}

static void walk_rule(struct walk *w, struct snapshot_rule *r)
{
    walk_array(w, 2);
    walk_u32(w, &r->seconds);
    walk_u64(w, &r->writes);
}

static void walk_db(struct walk *w, struct plane_db *db)
{
    walk_array(w, 35);
    walk_u32(w, &db->uid);
    walk_text(w, db->name, sizeof db->name);
    walk_text(w, db->guid, sizeof db->guid);
    walk_text(w, db->secret, sizeof db->secret);
    walk_text(w, db->host, sizeof db->host);
    walk_u16(w, &db->port);
    walk_text(w, db->password, sizeof db->password);
    walk_u32(w, &db->partitions);
    walk_u32(w, &db->shards);
    walk_u64(w, &db->hash_k0);
    walk_u64(w, &db->hash_k1);
    walk_u64(w, &db->seed);
    walk_u32(w, &db->region);
    walk_u32(w, &db->incarnation);
    walk_bool(w, &db->reborn);
    walk_bool(w, &db->leaving);
    walk_u64(w, &db->version);
    walk_u64(w, &db->paused);
    walk_bool(w, &db->link_tls);
    walk_bool(w, &db->client_tls);
    walk_u32(w, &db->compression);
    walk_u64(w, &db->memory_max);
    walk_u64(w, &db->backlog_bytes);
    walk_u64(w, &db->clients_max);
    walk_i64(w, &db->clock_drift_max_ms);
    walk_bool(w, &db->messages_stay);
    walk_u32(w, &db->xadd_ids);
    walk_u32(w, &db->persistence);
    walk_u32(w, &db->founding);
    walk_u64(w, &db->snapshot_bytes);
    walk_u64(w, &db->log_retention);
    walk_u32(w, &db->eviction);
    walk_u32(w, &db->oom_percent);
    walk_count(w, &db->snapshot_rules_count, SNAPSHOT_RULES_MAX);
    for (uint32_t i = 0; i < db->snapshot_rules_count; i++)
        walk_rule(w, &db->snapshot_rules[i]);
    walk_count(w, &db->regions_count, PLANE_REGIONS_MAX);
    for (uint32_t i = 0; i < db->regions_count; i++)
        walk_region(w, &db->regions[i]);
}

/* What the plane takes for granted. */
static bool db_sound(const struct plane_db *db)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < db->regions_count; i++) {
        uint32_t id = db->regions[i].id;
        if (id < 1 || id > PLANE_REGIONS_MAX || seen >> id & 1)
            return false;
        seen |= UINT64_C(1) << id;
    }
    bool power = db->partitions > 0 && (db->partitions & (db->partitions - 1)) == 0;
    return power && db->partitions <= 16384 && db->shards >= 1 && db->shards <= db->partitions &&
           db->region >= 1 && db->region <= PLANE_REGIONS_MAX && db->xadd_ids <= 3 &&
           db->persistence < PERSIST_KINDS && db->eviction < EVICTION_KINDS;
}

void plane_db_encode(struct buf *out, const struct plane_db *db)
{
    struct plane_db copy = *db;
    struct walk w = {.out = out};
    walk_db(&w, &copy);
}

bool plane_db_decode(struct bytes in, struct plane_db *db)
{
    struct walk w = {.in = mp_read(in)};
    memset(db, 0, sizeof *db);
    walk_db(&w, db);
    return walk_done(&w) && db_sound(db);
}

/* ------------------------------------------------------------ statistics */

static void walk_link(struct walk *w, struct plane_link *l)
{
    walk_array(w, 18);
    walk_u32(w, &l->region);
    walk_text(w, l->state, sizeof l->state);
    walk_bool(w, &l->feeding);
    walk_u64(w, &l->bytes_in);
    walk_u64(w, &l->bytes_out);
    walk_u64(w, &l->ops_in);
    walk_u64(w, &l->ops_out);
    walk_u64(w, &l->lag_ops);
    walk_u64(w, &l->reconnects);
    walk_u64(w, &l->transfers_in);
    walk_u64(w, &l->transfers_out);
    walk_u64(w, &l->relays);
    walk_i64(w, &l->lag_ms);
    walk_i64(w, &l->behind_ms);
    walk_u64(w, &l->parts_disk);
    walk_u64(w, &l->disk_left);
    walk_u64(w, &l->parts_state);
    walk_text(w, l->error, sizeof l->error);
}

static void walk_keep(struct walk *w, struct plane_keep *k)
{
    walk_array(w, 20);
    walk_u32(w, &k->state);
    walk_u64(w, &k->read);
    walk_u64(w, &k->total);
    walk_u64(w, &k->cut);
    walk_u64(w, &k->log_bytes);
    walk_u64(w, &k->kept_bytes);
    walk_u64(w, &k->behind);
    walk_u64(w, &k->written);
    walk_u64(w, &k->syncs);
    walk_u64(w, &k->sync_us_max);
    walk_u32(w, &k->in_force);
    walk_u64(w, &k->write_failures);
    walk_u64(w, &k->changes);
    walk_u64(w, &k->snapshots);
    walk_u64(w, &k->snapshot_failures);
    walk_bool(w, &k->snapshot_runs);
    walk_bool(w, &k->snapshot_failed);
    walk_u32(w, &k->snapshot_percent);
    walk_i64(w, &k->snapshot_ms);
    walk_text(w, k->error, sizeof k->error);
    if (k->state >= KEEP_STATES || k->in_force >= PERSIST_KINDS)
        refuse(w);
}

static void walk_shard(struct walk *w, struct plane_shard *s)
{
    walk_array(w, 13);
    walk_u32(w, &s->db_uid);
    walk_u32(w, &s->shard);
    walk_u32(w, &s->worker);
    walk_u32(w, &s->first_partition);
    walk_u32(w, &s->count);
    walk_u64(w, &s->keys);
    walk_u64(w, &s->used_memory);
    walk_u64(w, &s->commands);
    walk_bool(w, &s->stale);
    walk_keep(w, &s->keep);
    walk_u64(w, &s->digest_lo);
    walk_u64(w, &s->digest_hi);
    walk_count(w, &s->links_count, PLANE_REGIONS_MAX);
    for (uint32_t i = 0; i < s->links_count; i++)
        walk_link(w, &s->links[i]);
}

static void walk_memory(struct walk *w, struct plane_memory *m)
{
    walk_array(w, 9);
    walk_u64(w, &m->values);
    walk_u64(w, &m->unsettled);
    walk_u64(w, &m->deadlines);
    walk_u64(w, &m->log);
    walk_u64(w, &m->kept);
    walk_u64(w, &m->catalog);
    walk_u64(w, &m->contexts);
    walk_u64(w, &m->clients);
    walk_u64(w, &m->metadata);
}

static void walk_db_stats(struct walk *w, struct plane_db_stats *db)
{
    walk_array(w, 19);
    walk_u32(w, &db->uid);
    walk_bool(w, &db->listening);
    walk_u64(w, &db->keys);
    walk_u64(w, &db->commands);
    walk_u64(w, &db->connections);
    walk_u64(w, &db->used_memory);
    walk_u64(w, &db->unsettled);
    walk_u64(w, &db->conflicts);
    walk_u64(w, &db->expires);
    walk_u64(w, &db->writes);
    walk_u64(w, &db->hits);
    walk_u64(w, &db->misses);
    walk_u64(w, &db->expired);
    walk_u64(w, &db->evicted);
    walk_u64(w, &db->memory_max);
    walk_u32(w, &db->eviction);
    walk_memory(w, &db->memory);
    walk_u32(w, &db->laggard);
    walk_u32(w, &db->laggard_partitions);
}

void plane_stats_deinit(struct plane_stats *s)
{
    mem_free(s->dbs);
    mem_free(s->shards);
    *s = (struct plane_stats){0};
}

void plane_stats_encode(struct buf *out, const struct plane_stats *s)
{
    struct walk w = {.out = out};
    uint32_t dbs = s->dbs_count, shards = s->shards_count;
    walk_array(&w, 2);
    walk_count(&w, &dbs, CONTROL_DBS_MAX);
    for (uint32_t i = 0; i < dbs; i++)
        walk_db_stats(&w, &s->dbs[i]);
    walk_count(&w, &shards, CONTROL_SHARDS_MAX);
    for (uint32_t i = 0; i < shards; i++)
        walk_shard(&w, &s->shards[i]);
}

bool plane_stats_decode(struct bytes in, struct plane_stats *s)
{
    struct walk w = {.in = mp_read(in)};
    uint32_t dbs = 0, shards = 0, room = 0;
    *s = (struct plane_stats){0};
    walk_array(&w, 2);
    walk_count(&w, &dbs, CONTROL_DBS_MAX);
    s->dbs = dbs ? mem_zalloc(dbs * sizeof *s->dbs) : NULL;
    for (; s->dbs_count < dbs && !w.in.bad; s->dbs_count++)
        walk_db_stats(&w, &s->dbs[s->dbs_count]);
    walk_count(&w, &shards, CONTROL_SHARDS_MAX);
    for (; s->shards_count < shards && !w.in.bad; s->shards_count++) {
        if (s->shards_count == room) { /* they are large: room only for what has bytes */
            room = room ? 2 * room : 4;
            s->shards = mem_realloc(s->shards, room * sizeof *s->shards);
        }
        memset(&s->shards[s->shards_count], 0, sizeof *s->shards);
        walk_shard(&w, &s->shards[s->shards_count]);
    }
    if (walk_done(&w))
        return true;
    plane_stats_deinit(s);
    return false;
}

/* ------------------------------------------------------------ answers */

void control_answer_encode(struct buf *out, bool ok, const char *text, struct bytes body)
{
    mp_put_array(out, body.n ? 3 : 2);
    mp_put_bool(out, ok);
    mp_put_bin(out, bytes_str(text));
    buf_put_bytes(out, body);
}

bool control_answer_decode(struct bytes in, bool *ok, char *text, size_t text_size,
                           struct bytes *body)
{
    struct walk w = {.in = mp_read(in)};
    uint32_t parts = mp_array(&w.in);
    *ok = mp_bool(&w.in);
    struct bytes s = mp_bin(&w.in);
    *body = bytes_of(w.in.p, mp_left(&w.in));
    if (parts == 3)
        mp_skip(&w.in);
    if (parts < 2 || parts > 3 || !walk_done(&w) || (s.n > 0 && memchr(s.p, 0, s.n) != NULL))
        return false;
    size_t n = s.n < text_size ? s.n : text_size - 1; /* a text is for people: cut, not refused */
    if (n > 0)
        memcpy(text, s.p, n);
    text[n] = 0;
    return true;
}
