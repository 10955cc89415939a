/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/tracking.h"

#include "base/mem.h"
#include "base/num.h"

#define EVICT_MAX 1000u /* keys forgotten a turn when there are too many */
#define CHANNEL "__redis__:invalidate"

/* A key that sessions have read. */
struct tracked {
    uint64_t *ids; /* owned; ascending */
    uint32_t n, cap;
    size_t name_n;
    uint8_t name[];
};

struct changed_key {
    struct changed_key *next;
    uint64_t by; /* whose command changed it last */
    size_t name_n;
    uint8_t name[];
};

static struct bytes tracked_name(const void *item)
{
    const struct tracked *t = item;
    return bytes_of(t->name, t->name_n);
}

static struct bytes changed_name(const void *item)
{
    const struct changed_key *k = item;
    return bytes_of(k->name, k->name_n);
}

static struct bytes session_name(const void *item)
{
    const struct session *s = item;
    return bytes_of(&s->id, sizeof s->id);
}

static const struct table_type tracked_type = {.name_of = tracked_name};
static const struct table_type changed_type = {.name_of = changed_name};
static const struct table_type session_type = {.name_of = session_name};

void tracking_init(struct front *f)
{
    struct hash_key key = {.k0 = rng_next(&f->rng), .k1 = rng_next(&f->rng)};
    table_init(&f->tracking.keys, &tracked_type, key);
    table_init(&f->tracking.changed, &changed_type, key);
    table_init(&f->tracking.sessions, &session_type, key);
}

static void drop_tracked(void *item, void *arg)
{
    struct tracked *t = item;
    (void)arg;
    mem_free(t->ids);
    mem_free(t);
}

static void forget_keys(struct tracking *t)
{
    struct hash_key key = t->keys.key;
    table_deinit(&t->keys, drop_tracked, NULL);
    table_init(&t->keys, &tracked_type, key);
    t->items = 0;
}

static void forget_changed(struct tracking *t)
{
    struct hash_key key = t->changed.key;
    table_deinit(&t->changed, NULL, NULL);
    table_init(&t->changed, &changed_type, key);
    for (struct changed_key *k = t->first, *next; k != NULL; k = next) {
        next = k->next;
        mem_free(k);
    }
    t->first = t->last = NULL;
}

void tracking_deinit(struct front *f)
{
    struct tracking *t = &f->tracking;
    forget_keys(t);
    forget_changed(t);
    table_deinit(&t->keys, NULL, NULL);
    table_deinit(&t->changed, NULL, NULL);
    table_deinit(&t->sessions, NULL, NULL);
    buf_deinit(&t->due);
}

void tracking_heed(struct front *f)
{
    bool wanted = f->topics.n[TOPIC_TRACKERS] > 0;
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (f->shards[i].local != NULL)
            shard_set_tracked(f->shards[i].local, wanted);
    if (!wanted)
        forget_keys(&f->tracking);
}

/* ------------------------------------------------------------ sessions */

uint32_t session_worker(const struct front *f, uint64_t id)
{
    return (uint32_t)((id - 1) % courier_workers(f->courier));
}

static struct session *find_session(const struct front *f, uint64_t id)
{
    const struct table *t = &f->tracking.sessions;
    struct bytes name = bytes_of(&id, sizeof id);
    return t->count == 0 ? NULL : table_get(t, table_hash(t, name), name);
}

bool tracking_reach(struct front *f, uint64_t id)
{
    struct session *s = f->first;
    if (find_session(f, id) != NULL)
        return true;
    while (s != NULL && (s->id != id || s->dead))
        s = s->next;
    if (s == NULL)
        return false;
    struct table *t = &f->tracking.sessions;
    table_put(t, table_hash(t, session_name(s)), s);
    s->reached = true;
    return true;
}

bool session_tracks(const struct session *s)
{
    const struct tracker *t = s->tracker;
    if (t == NULL || t->bcast)
        return false;
    return t->optin ? t->caching : t->optout ? !t->caching : true;
}

void tracking_after(struct session *s, const struct command *c)
{
    if (s->tracker->caching && s->multi == NULL && c != NULL && strncmp(c->name, "client", 6) != 0)
        s->tracker->caching = false;
}

void tracking_off(struct session *s, struct port *port)
{
    if (s->tracker == NULL)
        return;
    topic_leave_kind(s->front, port, s, TOPIC_PREFIX);
    topic_leave_kind(s->front, port, s, TOPIC_TRACKERS);
    mem_free(s->tracker);
    s->tracker = NULL;
}

void tracking_forget(struct session *s, struct port *port)
{
    tracking_off(s, port);
    if (!s->reached)
        return;
    struct table *t = &s->front->tracking.sessions;
    table_remove(t, table_hash(t, session_name(s)), s);
    s->reached = false;
}

/* ------------------------------------------------------------ reading */

static void add_id(struct tracking *t, struct tracked *k, uint64_t id)
{
    uint32_t lo = 0, hi = k->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (k->ids[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < k->n && k->ids[lo] == id)
        return;
    if (k->n == k->cap) {
        k->cap = k->cap ? k->cap * 2 : 1;
        k->ids = mem_realloc(k->ids, k->cap * sizeof k->ids[0]);
    }
    memmove(k->ids + lo + 1, k->ids + lo, (k->n - lo) * sizeof k->ids[0]);
    k->ids[lo] = id;
    k->n++;
    t->items++;
}

void tracking_read(struct front *f, const struct call *c)
{
    struct tracking *t = &f->tracking;
    if (c->command->flags & CMD_PUBSUB)
        return;
    uint32_t *at = front_indexes(f, c->argc);
    unsigned n = command_keys(c->command, c->argc, c->argv, at, c->argc);
    for (unsigned i = 0; i < n; i++) {
        struct bytes name = c->argv[at[i]];
        uint64_t hash = table_hash(&t->keys, name);
        struct tracked *k = table_get(&t->keys, hash, name);
        if (k == NULL) {
            k = mem_zalloc(sizeof *k + name.n);
            k->name_n = name.n;
            if (name.n > 0)
                memcpy(k->name, name.p, name.n);
            table_put(&t->keys, hash, k);
        }
        add_id(t, k, c->session);
    }
}

/* ------------------------------------------------------------ changes */

/* A record of `due`, followed by the ids and the name. */
struct due {
    uint64_t by;
    uint32_t ids;
    size_t name_n;
};

/* Forgets the key; who has read it will be told. */
static void invalidate(struct tracking *t, struct tracked *k, uint64_t by)
{
    struct due head = {.by = by, .ids = k->n, .name_n = k->name_n};
    buf_put(&t->due, &head, sizeof head);
    buf_put(&t->due, k->ids, k->n * sizeof k->ids[0]);
    buf_put(&t->due, k->name, k->name_n);
    t->items -= k->n;
    table_remove(&t->keys, table_hash(&t->keys, tracked_name(k)), k);
    drop_tracked(k, NULL);
}

static bool has_prefix(struct bytes key, struct bytes prefix)
{
    return key.n >= prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
}

static void note_changed(struct front *f, struct bytes key, uint64_t by)
{
    struct tracking *t = &f->tracking;
    const struct topic *prefix = f->topics.first[TOPIC_PREFIX];
    while (prefix != NULL && !has_prefix(key, topic_name(prefix)))
        prefix = prefix->next;
    if (prefix == NULL)
        return;
    uint64_t hash = table_hash(&t->changed, key);
    struct changed_key *k = table_get(&t->changed, hash, key);
    if (k == NULL) {
        k = mem_zalloc(sizeof *k + key.n);
        k->name_n = key.n;
        if (key.n > 0)
            memcpy(k->name, key.p, key.n);
        table_put(&t->changed, hash, k);
        if (t->last != NULL)
            t->last->next = k;
        else
            t->first = k;
        t->last = k;
    }
    k->by = by;
}

void tracking_changed(struct front *f, struct bytes key, uint64_t session)
{
    struct tracking *t = &f->tracking;
    if (key.p == NULL) {
        t->flushed = true;
        forget_keys(t);
        return;
    }
    if (f->topics.n[TOPIC_PREFIX] > 0)
        note_changed(f, key, session);
    if (t->keys.count == 0)
        return;
    struct tracked *k = table_get(&t->keys, table_hash(&t->keys, key), key);
    if (k != NULL)
        invalidate(t, k, session);
}

/* ------------------------------------------------------------ telling a session */

/* `keys`: an array, or empty: all keys. */
static void push_invalid(struct session *s, struct port *port, struct bytes keys)
{
    bool in_channel = s->resp == 2;
    if (in_channel && !session_subscribed(s))
        return;
    struct buf *out = push_begin(s, port);
    if (out == NULL)
        return;
    struct reply r = {.out = out, .resp = s->resp};
    reply_push(&r, in_channel ? 3 : 2);
    reply_bulk_str(&r, in_channel ? "message" : "invalidate");
    if (in_channel)
        reply_bulk_str(&r, CHANNEL);
    if (keys.n > 0)
        buf_put_bytes(out, keys);
    else
        reply_nil(&r);
    push_end(s, port);
}

static void send_word(struct front *f, struct port *port, uint32_t worker,
                      const struct tracking_word *word, struct bytes text)
{
    struct bytes argv[2] = {bytes_of(word, sizeof *word), text};
    struct job job = {.kind = JOB_TRACKING, .db_uid = f->db_uid, .argc = 2, .argv = argv};
    courier_send(f->courier, port, worker, &job, NULL, 0);
}

static void tell_broken(struct front *f, struct port *port, uint64_t id, uint64_t gone)
{
    uint32_t worker = session_worker(f, id);
    if (worker != courier_self(f->courier)) {
        send_word(f, port, worker,
                  &(struct tracking_word){.what = TRACK_BROKEN, .id = id, .by = gone},
                  bytes_of("", 0));
        return;
    }
    struct session *s = find_session(f, id);
    if (s == NULL || s->tracker == NULL || s->tracker->redirect != gone)
        return;
    s->tracker->broken = true;
    struct buf *out = s->resp > 2 ? push_begin(s, port) : NULL;
    if (out == NULL)
        return;
    struct reply r = {.out = out, .resp = s->resp};
    reply_push(&r, 2);
    reply_bulk_str(&r, "tracking-redir-broken");
    reply_int(&r, (int64_t)gone);
    push_end(s, port);
}

static void tell_redirected(struct front *f, struct port *port, uint64_t id, uint64_t by,
                            struct bytes keys)
{
    uint32_t worker = session_worker(f, id);
    if (worker != courier_self(f->courier)) {
        send_word(f, port, worker,
                  &(struct tracking_word){.what = TRACK_REDIRECT, .id = id, .by = by}, keys);
        return;
    }
    struct session *s = find_session(f, id);
    if (s != NULL && !s->dead)
        push_invalid(s, port, keys);
    else
        tell_broken(f, port, by, id);
}

static void tell(struct session *s, struct port *port, struct bytes keys)
{
    if (s->tracker->redirect != 0)
        tell_redirected(s->front, port, s->tracker->redirect, s->id, keys);
    else if (s->resp > 2)
        push_invalid(s, port, keys);
}

static void tell_key(struct front *f, struct port *port, uint64_t id, uint64_t by, struct bytes key)
{
    struct session *s = find_session(f, id);
    if (s == NULL || s->tracker == NULL || s->tracker->bcast || (s->tracker->noloop && by == id))
        return;
    struct buf *text = &f->topics.text;
    buf_clear(text);
    struct reply r = {.out = text, .resp = 2};
    reply_array(&r, 1);
    reply_bulk(&r, key);
    tell(s, port, buf_bytes(text));
}

static void tell_flush(struct front *f, struct port *port)
{
    const struct topic *all = f->topics.first[TOPIC_TRACKERS];
    for (const struct listener *l = all != NULL ? all->first : NULL; l != NULL; l = l->next)
        tell(l->session, port, bytes_of(NULL, 0));
}

/* The keys as an array, without those that `but` changed itself; false: none is left. */
static bool put_keys(struct buf *out, uint64_t but, const uint64_t *by, uint32_t n,
                     const struct bytes *keys)
{
    uint32_t some = 0;
    struct reply r = {.out = out, .resp = 2};
    for (uint32_t i = 0; i < n; i++)
        some += but == 0 || by[i] != but;
    buf_clear(out);
    reply_array(&r, some);
    for (uint32_t i = 0; i < n; i++)
        if (but == 0 || by[i] != but)
            reply_bulk(&r, keys[i]);
    return some > 0;
}

static void tell_prefix(struct port *port, const struct topic *prefix, const uint64_t *by,
                        uint32_t n, const struct bytes *keys)
{
    struct buf all = {0}, some = {0};
    put_keys(&all, 0, by, n, keys);
    for (const struct listener *l = prefix->first; l != NULL; l = l->next) {
        struct session *s = l->session;
        if (!s->tracker->noloop)
            tell(s, port, buf_bytes(&all));
        else if (put_keys(&some, s->id, by, n, keys))
            tell(s, port, buf_bytes(&some));
    }
    buf_deinit(&all);
    buf_deinit(&some);
}

/* ------------------------------------------------------------ the end of a turn */

static void turn_flush(struct front *f, struct port *port)
{
    const struct topic *all = f->topics.first[TOPIC_TRACKERS];
    f->tracking.flushed = false;
    for (uint32_t i = 0; all != NULL && i < f->topics.workers; i++)
        if (all->others[i] > 0)
            send_word(f, port, i, &(struct tracking_word){.what = TRACK_FLUSH}, bytes_of("", 0));
    tell_flush(f, port);
}

static void turn_keys(struct front *f, struct port *port)
{
    struct buf due = f->tracking.due;
    f->tracking.due = (struct buf){0};
    while (buf_len(&due) > 0) {
        struct due head;
        memcpy(&head, due.p + due.head, sizeof head);
        buf_consume(&due, sizeof head);
        const uint8_t *ids = due.p + due.head;
        struct bytes key = bytes_of(ids + head.ids * sizeof(uint64_t), head.name_n);
        for (uint32_t i = 0; i < head.ids; i++) {
            uint64_t id = load_u64(ids + i * sizeof id);
            uint32_t worker = session_worker(f, id);
            if (worker == f->topics.self)
                tell_key(f, port, id, head.by, key);
            else
                send_word(f, port, worker,
                          &(struct tracking_word){.what = TRACK_KEY, .id = id, .by = head.by}, key);
        }
        buf_consume(&due, head.ids * sizeof(uint64_t) + head.name_n);
    }
    buf_deinit(&due);
}

static void send_prefix(struct front *f, struct port *port, const struct topic *prefix, uint32_t n,
                        const struct bytes *argv)
{
    struct job job = {.kind = JOB_TRACKING, .db_uid = f->db_uid, .argc = n + 3, .argv = argv};
    for (uint32_t i = 0; i < f->topics.workers; i++)
        if (prefix->others[i] > 0)
            courier_send(f->courier, port, i, &job, NULL, 0);
}

static void turn_prefixes(struct front *f, struct port *port)
{
    struct tracking *t = &f->tracking;
    size_t max = t->changed.count;
    struct bytes *argv = mem_alloc((max + 3) * sizeof argv[0]);
    uint64_t *by = mem_alloc(max * sizeof by[0]);
    struct tracking_word word = {.what = TRACK_PREFIX};
    for (const struct topic *p = f->topics.first[TOPIC_PREFIX]; p != NULL; p = p->next) {
        uint32_t n = 0;
        for (struct changed_key *k = t->first; k != NULL; k = k->next) {
            if (!has_prefix(changed_name(k), topic_name(p)))
                continue;
            by[n] = k->by;
            argv[3 + n++] = changed_name(k);
        }
        if (n == 0)
            continue;
        argv[0] = bytes_of(&word, sizeof word);
        argv[1] = topic_name(p);
        argv[2] = bytes_of(by, n * sizeof by[0]);
        send_prefix(f, port, p, n, argv);
        tell_prefix(port, p, by, n, argv + 3);
    }
    mem_free(argv);
    mem_free(by);
    forget_changed(t);
}

static void evict(struct front *f)
{
    struct tracking *t = &f->tracking;
    uint64_t all = (uint64_t)f->kept.number[CONFIG_TRACKING_TABLE_MAX_KEYS];
    uint64_t max = all / courier_workers(f->courier);
    if (all == 0)
        return;
    for (unsigned i = 0; i < EVICT_MAX && t->keys.count > max; i++)
        invalidate(t, table_random(&t->keys, rng_next(&f->rng)), 0);
}

void tracking_turn(struct front *f, struct port *port)
{
    struct tracking *t = &f->tracking;
    if (t->keys.count > 0)
        evict(f);
    if (t->flushed)
        turn_flush(f, port);
    if (buf_len(&t->due) > 0)
        turn_keys(f, port);
    if (t->changed.count > 0)
        turn_prefixes(f, port);
}

void tracking_job(struct front *f, struct port *port, const struct job *job, struct reply *r)
{
    struct tracking_word word;
    memcpy(&word, job->argv[0].p, sizeof word);
    switch ((enum tracking_what)word.what) {
    case TRACK_KEY:
        tell_key(f, port, word.id, word.by, job->argv[1]);
        break;
    case TRACK_PREFIX: {
        uint32_t n = job->argc - 3;
        uint64_t *by = mem_dup(job->argv[2].p, n * sizeof by[0]);
        const struct topic *prefix = topic_find(&f->topics, TOPIC_PREFIX, job->argv[1]);
        if (prefix != NULL)
            tell_prefix(port, prefix, by, n, job->argv + 3);
        mem_free(by);
        break;
    }
    case TRACK_FLUSH:
        tell_flush(f, port);
        break;
    case TRACK_REDIRECT:
        tell_redirected(f, port, word.id, word.by, job->argv[1]);
        break;
    case TRACK_BROKEN:
        tell_broken(f, port, word.id, word.by);
        break;
    case TRACK_REACH:
        reply_int(r, tracking_reach(f, word.id));
        break;
    }
}
