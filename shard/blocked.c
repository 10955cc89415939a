/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/blocked.h"

#include "base/mem.h"
#include "base/num.h"
#include "shard/inside.h"

#include <math.h>

#define BLOCKED_BYTES_MAX (256u << 20) /* copies of waiting commands, of one shard */

struct waiter;

/* A waiter in the line of one key. */
struct place {
    struct waiter *waiter;
    struct line *line;
    struct place *prev, *next;
};

/* Those who wait for one key, the longest waiting first. Lives while it has places, is ready or
 * being served. */
struct line {
    struct place *first, *last;
    struct line *next_ready;
    size_t count;
    size_t any_count; /* of them with any_change */
    uint64_t hash;
    uint32_t types; /* bit t: somebody has waited for type t */
    uint32_t partition;
    bool ready;   /* stands in blocked.ready */
    bool serving; /* its waiters are being run */
    uint32_t name_n;
    uint8_t name[];
};

/* A command that waits, in one piece of memory: this, its places, its arguments, their texts. */
struct waiter {
    uint64_t session;
    const struct command *command;
    struct place *places;
    struct bytes *argv;
    size_t size;
    uint32_t places_count, argc;
    uint8_t resp, type;
    bool any_change;
};

struct blocked {
    struct table lines;   /* by key */
    struct table waiters; /* by session */
    struct line *ready, *ready_last;
    struct buf reply; /* scratch */
    size_t bytes;
    bool serving;
};

static struct bytes line_name(const void *item)
{
    const struct line *l = item;
    return bytes_of(l->name, l->name_n);
}

static struct bytes session_name(const void *item)
{
    const struct waiter *w = item;
    return bytes_of(&w->session, sizeof w->session);
}

static const struct table_type lines_type = {.name_of = line_name};
static const struct table_type waiters_type = {.name_of = session_name};

static void drop(void *item, void *arg)
{
    (void)arg;
    mem_free(item);
}

void blocked_free(struct blocked *b)
{
    if (b == NULL)
        return;
    table_deinit(&b->lines, drop, NULL);
    table_deinit(&b->waiters, drop, NULL);
    buf_deinit(&b->reply);
    mem_free(b);
}

static struct blocked *blocked_get(struct shard *s)
{
    if (s->blocked == NULL) {
        s->blocked = mem_zalloc(sizeof *s->blocked);
        table_init(&s->blocked->lines, &lines_type, s->hash_key);
        table_init(&s->blocked->waiters, &waiters_type, s->hash_key);
        shard_note_hooks(s);
    }
    return s->blocked;
}

static struct waiter *find_waiter(const struct blocked *b, uint64_t session)
{
    struct bytes name = bytes_of(&session, sizeof session);
    return table_get(&b->waiters, table_hash(&b->waiters, name), name);
}

/* ------------------------------------------------------------ lines */

static struct line *line_get(struct shard *s, struct bytes key)
{
    struct blocked *b = s->blocked;
    uint64_t hash = shard_hash(s, key);
    struct line *l = table_get(&b->lines, hash, key);
    if (l != NULL)
        return l;
    l = mem_zalloc(sizeof *l + key.n);
    l->hash = hash;
    l->partition = slot_partition(hash_slot(key), s->partitions);
    l->name_n = (uint32_t)key.n;
    if (key.n > 0)
        memcpy(l->name, key.p, key.n);
    table_put(&b->lines, hash, l);
    return l;
}

static void line_settle(struct blocked *b, struct line *l)
{
    if (l->count > 0 || l->ready || l->serving)
        return;
    table_remove(&b->lines, l->hash, l);
    mem_free(l);
}

static void line_ready(struct shard *s, struct line *l)
{
    struct blocked *b = s->blocked;
    l->ready = true;
    l->next_ready = NULL;
    if (b->ready == NULL)
        b->ready = l;
    else
        b->ready_last->next_ready = l;
    b->ready_last = l;
    s->woken = true;
}

static void line_join(struct line *l, struct waiter *w)
{
    struct place *p = &w->places[w->places_count++];
    *p = (struct place){.waiter = w, .line = l, .prev = l->last};
    if (l->last != NULL)
        l->last->next = p;
    else
        l->first = p;
    l->last = p;
    l->count++;
    l->any_count += w->any_change;
    l->types |= 1u << w->type;
}

static void line_leave(struct blocked *b, struct place *p)
{
    struct line *l = p->line;
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        l->first = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    else
        l->last = p->prev;
    l->count--;
    l->any_count -= p->waiter->any_change;
    line_settle(b, l);
}

/* ------------------------------------------------------------ waiters */

static bool stands_in(const struct waiter *w, const struct line *l)
{
    return l->last != NULL &&
           l->last->waiter == w; /* it joins lines now: it can only be the last */
}

static struct waiter *waiter_new(const struct call *c, const struct block_on *on)
{
    const struct bytes *argv = on->argv != NULL ? on->argv : c->argv;
    size_t texts = 0;
    for (uint32_t i = 0; i < c->argc; i++)
        texts += argv[i].n;
    size_t places = on->count * sizeof(struct place), args = c->argc * sizeof argv[0];
    struct waiter *w = mem_alloc(sizeof *w + places + args + texts);
    *w = (struct waiter){.session = c->session,
                         .command = c->command,
                         .places = (struct place *)(w + 1),
                         .size = sizeof *w + places + args + texts,
                         .argc = c->argc,
                         .resp = c->reply->resp,
                         .type = (uint8_t)on->type,
                         .any_change = on->any_change};
    w->argv = (struct bytes *)(w->places + on->count);
    uint8_t *at = (uint8_t *)(w->argv + c->argc);
    for (uint32_t i = 0; i < c->argc; i++) {
        w->argv[i] = bytes_of(at, argv[i].n);
        if (argv[i].n > 0)
            memcpy(at, argv[i].p, argv[i].n);
        at += argv[i].n;
    }
    return w;
}

static void waiter_free(struct shard *s, struct waiter *w)
{
    struct blocked *b = s->blocked;
    for (uint32_t i = 0; i < w->places_count; i++)
        line_leave(b, &w->places[i]);
    table_remove(&b->waiters, table_hash(&b->waiters, session_name(w)), w);
    b->bytes -= w->size;
    mem_free(w);
    if (b->waiters.count == 0 && b->ready == NULL && !b->serving) {
        blocked_free(b);
        s->blocked = NULL;
        shard_note_hooks(s);
    }
}

void call_block(struct call *c, const struct block_on *on)
{
    struct shard *s = c->shard;
    assert(c->block != NULL);
    if (c->block->ready.p != NULL) { /* it has a place already */
        c->block->waits = true;
        return;
    }
    struct blocked *b = blocked_get(s);
    if (b->bytes > BLOCKED_BYTES_MAX) {
        reply_error(c->reply, "OOM too many commands wait for keys; retry when some have ended");
        return;
    }
    struct waiter *w = waiter_new(c, on);
    for (uint32_t i = 0; i < on->count; i++) {
        struct line *l = line_get(s, on->keys[i]);
        if (!stands_in(w, l)) /* a key may be named twice */
            line_join(l, w);
    }
    assert(find_waiter(b, w->session) == NULL);
    table_put(&b->waiters, table_hash(&b->waiters, session_name(w)), w);
    b->bytes += w->size;
    c->block->waits = true;
    c->block->timeout_ms = on->timeout_ms;
}

/* ------------------------------------------------------------ what changed */

void blocked_changed(struct shard *s, uint64_t hash, struct bytes name, const struct cell *now)
{
    struct line *l = table_get(&s->blocked->lines, hash, name);
    if (l == NULL || l->ready)
        return;
    enum type type = now != NULL ? value_type(now) : TYPE_NONE;
    if (l->any_count > 0 || l->types >> type & 1)
        line_ready(s, l);
}

void blocked_cleared(struct shard *s, const struct part *p)
{
    struct table_iter it;
    struct line *l;
    table_iter(&it, &s->blocked->lines);
    while ((l = table_next(&it)) != NULL)
        if (l->partition == p->number && l->any_count > 0 && !l->ready)
            line_ready(s, l);
}

/* ------------------------------------------------------------ serving */

static enum type shown_type(const struct shard *s, const struct line *l, struct moment now)
{
    const struct cell *key =
        table_get(&shard_part(s, l->partition)->keys, l->hash, bytes_of(l->name, l->name_n));
    return key == NULL || key_expired(key, now.wall_ms) ? TYPE_NONE : value_type(key);
}

static void tell(struct shard *s, uint64_t session, const struct command *command,
                 const struct reply *r)
{
    const struct unblocked end = {
        .command = command, .reply = buf_bytes(r->out), .failed = r->errors > 0};
    struct mem_account *mine = mem_account_enter(NULL);
    if (s->unblocked != NULL)
        s->unblocked(s->arg, session, &end);
    mem_account_leave(mine);
}

static void run_again(struct shard *s, struct waiter *w, struct bytes ready, struct moment now)
{
    struct blocked *b = s->blocked;
    struct block block = {.ready = ready};
    struct reply r = {.out = &b->reply, .resp = w->resp, .max = REPLY_MAX};
    struct call c = {.shard = s,
                     .command = w->command,
                     .argc = w->argc,
                     .argv = w->argv,
                     .reply = &r,
                     .now = now,
                     .session = w->session,
                     .block = &block};
    buf_clear(&b->reply);
    s->caller = w->session;
    w->command->run(&c);
    if (block.waits)
        return;
    (void)reply_limit(&r, 0);
    uint64_t session = w->session;
    waiter_free(s, w);
    tell(s, session, c.command, &r);
}

/* In the order in which they came; those who come meanwhile wait for the next change. */
static void serve_line(struct shard *s, struct line *l, struct moment now)
{
    struct place *p = l->first, *next;
    for (size_t n = l->count; n > 0; n--, p = next) {
        enum type type = shown_type(s, l, now);
        if (type == TYPE_NONE && l->any_count == 0)
            return;
        next = p->next;
        if (p->waiter->type == type || p->waiter->any_change)
            run_again(s, p->waiter, bytes_of(l->name, l->name_n), now);
    }
}

void blocked_serve(struct shard *s, struct moment now)
{
    struct blocked *b = s->blocked;
    s->woken = false;
    if (b == NULL || b->serving)
        return;
    b->serving = true;
    while (b->ready != NULL) {
        struct line *l = b->ready;
        b->ready = l->next_ready;
        l->ready = false; /* first: what is served may change the key again */
        l->serving = true;
        serve_line(s, l, now);
        l->serving = false;
        line_settle(b, l);
    }
    b->serving = false;
    s->woken = false;
    if (b->waiters.count == 0) {
        blocked_free(b);
        s->blocked = NULL;
        shard_note_hooks(s);
    }
}

/* ------------------------------------------------------------ giving up */

bool shard_unblock(struct shard *s, uint64_t session, enum unblock why, struct buf *out)
{
    struct mem_account *outer = shard_enter(s);
    struct waiter *w = s->blocked != NULL ? find_waiter(s->blocked, session) : NULL;
    if (w != NULL) {
        struct reply r = {.out = out, .resp = w->resp};
        if (why == UNBLOCK_TIMEOUT)
            reply_nil_array(&r);
        else if (why == UNBLOCK_ERROR)
            reply_error(&r, UNBLOCKED_BY_CLIENT);
        waiter_free(s, w);
    }
    mem_account_leave(outer);
    return w != NULL;
}

static void collect(void *item, void *arg) { buf_put(arg, &item, sizeof item); }

void blocked_end_all(struct shard *s, const char *error)
{
    struct blocked *b = s->blocked;
    struct buf all = {0};
    if (b == NULL || b->serving)
        return;
    b->serving = true; /* so that it stays until all have been told */
    for (uint64_t at = 0; (at = table_scan(&b->waiters, at, SIZE_MAX, collect, &all));)
        continue;
    for (size_t at = 0; at < buf_len(&all); at += sizeof(struct waiter *)) {
        struct waiter *w;
        memcpy(&w, all.p + at, sizeof w);
        struct reply r = {.out = &b->reply, .resp = w->resp};
        uint64_t session = w->session;
        const struct command *command = w->command;
        buf_clear(&b->reply);
        reply_error(&r, error);
        waiter_free(s, w);
        tell(s, session, command, &r);
    }
    buf_deinit(&all);
    b->serving = false;
    if (b->ready == NULL) {
        blocked_free(b);
        s->blocked = NULL;
        shard_note_hooks(s);
    }
}

size_t shard_blocked(const struct shard *s)
{
    return s->blocked != NULL ? s->blocked->waiters.count : 0;
}

/* ------------------------------------------------------------ arguments */

/* What cannot be held in milliseconds is called negative, as in Redis 7.0. */
bool arg_timeout_seconds(struct call *c, struct bytes arg, int64_t *ms)
{
    long double v;
    if (!num_parse_ld(arg, &v)) {
        reply_error(c->reply, "ERR timeout is not a float or out of range");
        return false;
    }
    v = ceill(v * 1000);
    if (v >= 0 && v < 0x1p63L) {
        *ms = (int64_t)v;
        return true;
    }
    reply_error(c->reply, "ERR timeout is negative");
    return false;
}

bool arg_timeout_ms(struct call *c, struct bytes arg, int64_t *ms)
{
    if (!num_parse_i64(arg, ms))
        reply_error(c->reply, "ERR timeout is not an integer or out of range");
    else if (*ms < 0)
        reply_error(c->reply, "ERR timeout is negative");
    else
        return true;
    return false;
}
