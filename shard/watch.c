/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/deferred.h"

#include "base/mem.h"

/*
 * WATCH: pairs of a session and a key, found by the key (when it changes) and by the session (at
 * EXEC). Two chained hash tables over the same entries; both are small and grow together.
 */
struct watch {
    struct watch *next_key, *next_session;
    uint64_t hash, session;
    uint32_t partition;
    bool existed; /* when it was watched, and not past its deadline */
    bool expired; /* when it was watched: its removal is then no change */
    bool dirty;
    uint32_t name_n;
    uint8_t name[];
};

struct watches {
    struct watch **by_key, **by_session; /* owned */
    size_t n, cap;                       /* a power of two */
};

static size_t session_slot(const struct watches *w, uint64_t session)
{
    return (size_t)(session * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (w->cap - 1);
}

static void link_watch(struct watches *w, struct watch *e)
{
    struct watch **key = &w->by_key[e->hash & (w->cap - 1)];
    struct watch **session = &w->by_session[session_slot(w, e->session)];
    e->next_key = *key;
    *key = e;
    e->next_session = *session;
    *session = e;
}

static void grow(struct watches *w)
{
    struct watch **old = w->by_key;
    size_t cap = w->cap;
    w->cap = cap ? cap * 2 : 16;
    mem_free(w->by_session);
    w->by_key = mem_zalloc(w->cap * sizeof(struct watch *));
    w->by_session = mem_zalloc(w->cap * sizeof(struct watch *));
    for (size_t i = 0; i < cap; i++) {
        for (struct watch *e = old[i], *next; e != NULL; e = next) {
            next = e->next_key;
            link_watch(w, e);
        }
    }
    mem_free(old);
}

static void unlink_key(struct watches *w, struct watch *e)
{
    struct watch **at = &w->by_key[e->hash & (w->cap - 1)];
    while (*at != e)
        at = &(*at)->next_key;
    *at = e->next_key;
    w->n--;
}

void watches_free(struct watches *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->cap; i++) {
        for (struct watch *e = w->by_key[i], *next; e != NULL; e = next) {
            next = e->next_key;
            mem_free(e);
        }
    }
    mem_free(w->by_key);
    mem_free(w->by_session);
    mem_free(w);
}

static void touch(struct shard *s, struct watch *e)
{
    if (e->dirty)
        return;
    e->dirty = true;
    struct mem_account *mine = mem_account_enter(NULL);
    if (s->touched != NULL)
        s->touched(s->arg, e->session);
    mem_account_leave(mine);
}

static const struct cell *shown_key(const struct shard *s, const struct watch *e)
{
    const struct part *p = shard_part(s, e->partition);
    const struct cell *key = table_get(&p->keys, e->hash, bytes_of(e->name, e->name_n));
    return key != NULL && value_type(key) != TYPE_NONE ? key : NULL;
}

bool watches_any(const struct shard *s, uint64_t hash)
{
    const struct watch *e = s->watches->by_key[hash & (s->watches->cap - 1)];
    while (e != NULL && e->hash != hash)
        e = e->next_key;
    return e != NULL;
}

void watches_changed(struct shard *s, uint64_t hash, struct bytes name)
{
    for (struct watch *e = s->watches->by_key[hash & (s->watches->cap - 1)]; e; e = e->next_key) {
        if (e->hash != hash || !bytes_eq(bytes_of(e->name, e->name_n), name))
            continue;
        if (e->expired && shown_key(s, e) == NULL)
            e->expired = false;
        else
            touch(s, e);
    }
}

void watches_cleared(struct shard *s, const struct part *p)
{
    for (size_t i = 0; i < s->watches->cap; i++)
        for (struct watch *e = s->watches->by_key[i]; e != NULL; e = e->next_key)
            if (e->partition == p->number && shown_key(s, e) != NULL) {
                if (!e->expired)
                    touch(s, e);
                e->expired = false;
            }
}

void watches_touch(struct shard *s, struct part *p)
{
    for (size_t i = 0; i < s->watches->cap; i++)
        for (struct watch *e = s->watches->by_key[i]; e != NULL; e = e->next_key)
            if (e->partition == p->number)
                deferred_touch(s, p, e->hash);
}

void shard_watch(struct shard *s, uint64_t session, struct bytes key, struct moment now)
{
    struct mem_account *outer = shard_enter(s);
    shard_note_time(s, now);
    if (s->watches == NULL)
        s->watches = mem_zalloc(sizeof *s->watches);
    shard_note_hooks(s);
    struct watches *w = s->watches;
    if (w->n >= w->cap)
        grow(w);
    struct watch *e = mem_alloc(sizeof *e + key.n);
    *e = (struct watch){.hash = shard_hash(s, key),
                        .session = session,
                        .partition = slot_partition(hash_slot(key), s->partitions),
                        .name_n = (uint32_t)key.n};
    if (key.n > 0)
        memcpy(e->name, key.p, key.n);
    deferred_touch(s, shard_part(s, e->partition), e->hash);
    const struct cell *shown = shown_key(s, e);
    e->expired = shown != NULL && key_expired(shown, now.wall_ms);
    e->existed = shown != NULL && !e->expired;
    link_watch(w, e);
    w->n++;
    mem_account_leave(outer);
}

bool shard_unwatch(struct shard *s, uint64_t session, struct moment now)
{
    struct watches *w = s->watches;
    bool dirty = false;
    shard_note_time(s, now);
    if (w == NULL)
        return false;
    struct mem_account *outer = shard_enter(s);
    struct watch **at = &w->by_session[session_slot(w, session)];
    while (*at != NULL) {
        struct watch *e = *at;
        if (e->session != session) {
            at = &e->next_session;
            continue;
        }
        const struct cell *shown = e->existed ? shown_key(s, e) : NULL;
        dirty |= e->dirty || (shown != NULL && key_expired(shown, now.wall_ms));
        *at = e->next_session;
        unlink_key(w, e);
        mem_free(e);
    }
    if (w->n == 0) {
        watches_free(w);
        s->watches = NULL;
        shard_note_hooks(s);
    }
    mem_account_leave(outer);
    return dirty;
}
