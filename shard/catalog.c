/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/catalog.h"

#include "shard/inside.h"

static struct bytes key_of(enum catalog_kind kind)
{
    static const char *const names[CATALOG_KINDS] = {"users", "libraries", "scripts"};
    return bytes_str(names[kind]);
}

static enum catalog_kind kind_of(struct bytes key)
{
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++)
        if (bytes_eq(key, key_of(kind)))
            return kind;
    return CATALOG_KINDS;
}

bool shard_has_catalog(const struct shard *s) { return s->count > s->shown; }

static struct part *hidden(const struct shard *s) { return &s->parts[s->shown]; }

static struct cell *hash_of(const struct shard *s, enum catalog_kind kind)
{
    struct bytes key = key_of(kind);
    return table_get(&hidden(s)->keys, shard_hash(s, key), key);
}

/* ------------------------------------------------------------ reading */

bool shard_catalog_get(const struct shard *s, enum catalog_kind kind, struct bytes name,
                       struct buf *value)
{
    const struct cell *entry = coll_find(hash_of(s, kind), TYPE_HASH, name);
    struct shown shown;
    if (entry == NULL)
        return false;
    cell_show(entry, &shown);
    buf_put_bytes(value, shown.text);
    return true;
}

void shard_catalog_each(const struct shard *s, enum catalog_kind kind,
                        void (*visit)(void *arg, struct bytes name, struct bytes value), void *arg)
{
    struct coll_iter it;
    struct shown shown;
    coll_iter(&it, hash_of(s, kind), TYPE_HASH);
    for (const struct cell *entry; (entry = coll_next(&it)) != NULL;) {
        cell_show(entry, &shown);
        visit(arg, cell_name(entry), shown.text);
    }
}

/* ------------------------------------------------------------ telling */

void catalog_tell(struct shard *s, struct bytes key, struct bytes name)
{
    enum catalog_kind kind = kind_of(key);
    if (s->catalog == NULL || kind == CATALOG_KINDS)
        return;
    const struct cell *entry = coll_find(hash_of(s, kind), TYPE_HASH, name);
    struct shown shown;
    if (entry != NULL)
        cell_show(entry, &shown);
    struct mem_account *mine = mem_account_enter(NULL);
    s->catalog(s->catalog_arg, kind, name, entry != NULL ? &shown.text : NULL);
    mem_account_leave(mine);
}

static void note_name(void *arg, struct bytes name, struct bytes value)
{
    struct names *names = arg;
    (void)value;
    names_add(names, name);
}

void catalog_names(const struct shard *s, struct names names[CATALOG_KINDS])
{
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++)
        shard_catalog_each(s, kind, note_name, &names[kind]);
}

void catalog_joined(struct shard *s, struct names names[CATALOG_KINDS])
{
    catalog_names(s, names); /* what was there, and what is: some of it twice, which harms nobody */
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++) {
        struct bytes name;
        while (names_take(&names[kind], &name))
            catalog_tell(s, key_of(kind), name);
        buf_deinit(&names[kind].bytes);
    }
}

/* ------------------------------------------------------------ writing */

struct sums {
    size_t entries;
    uint64_t bytes;
};

static void add_up(void *arg, struct bytes name, struct bytes value)
{
    struct sums *sums = arg;
    sums->entries++;
    sums->bytes += name.n + value.n;
}

/* Whether there is room, as if nothing were replaced or removed unless something is removed. */
static const char *no_room(const struct shard *s, const struct catalog_change *changes, size_t n)
{
    struct sums sums[CATALOG_KINDS] = {{0, 0}};
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++)
        shard_catalog_each(s, kind, add_up, &sums[kind]);
    for (size_t i = 0; i < n; i++) {
        const struct catalog_change *c = &changes[i];
        struct sums *sum = &sums[c->kind];
        const struct cell *old = coll_find(hash_of(s, c->kind), TYPE_HASH, c->name);
        if (old != NULL) {
            sum->entries--;
            sum->bytes -= c->name.n + cell_show_len(old);
        }
        if (!c->removed)
            add_up(sum, c->name, c->value);
    }
    for (enum catalog_kind kind = 0; kind < CATALOG_KINDS; kind++) {
        if (sums[kind].entries > CATALOG_ENTRIES_MAX)
            return "ERR the database already has 10000 entries of this kind: remove some first";
        if (sums[kind].bytes > CATALOG_BYTES_MAX)
            return "ERR the entries of this kind would take more than 64 MiB: remove some first";
    }
    return NULL;
}

static const char *refusal(const struct shard *s, const struct catalog_change *changes, size_t n)
{
    bool adds = false;
    if (s->stale || s->leaving || s->refusal != NULL)
        return shard_write_refusal(s);
    for (size_t i = 0; i < n; i++) {
        if (changes[i].name.n > CATALOG_NAME_MAX)
            return "ERR the name is longer than 512 bytes: choose a shorter one";
        if (!changes[i].removed && changes[i].value.n > CATALOG_VALUE_MAX)
            return "ERR the text is longer than 1 MiB: split it";
        adds |= !changes[i].removed;
    }
    return adds ? no_room(s, changes, n) : NULL;
}

static void write_one(struct shard *s, const struct catalog_change *c, int64_t wall_ms)
{
    struct bytes key = key_of(c->kind);
    struct cell *held = hash_of(s, c->kind);
    struct applied applied;
    struct op op = {.kind = c->removed ? OP_HDEL : OP_HSET,
                    .key = key,
                    .elem = c->name,
                    .val = c->removed ? bytes_of(NULL, 0) : c->value};
    if (!c->removed || coll_find(held, TYPE_HASH, c->name) != NULL)
        local_op(s, hidden(s), shard_hash(s, key), held, &op, wall_ms, &applied);
}

const char *shard_catalog_write(struct shard *s, const struct catalog_change *changes, size_t n,
                                struct moment now)
{
    shard_note_time(s, now);
    const char *why = refusal(s, changes, n);
    if (why != NULL)
        return why;
    struct mem_account *outer = shard_enter(s);
    bool together = n > 1 && !s->atomic;
    if (together)
        shard_atomic_begin(s, now);
    for (size_t i = 0; i < n; i++)
        write_one(s, &changes[i], now.wall_ms);
    if (together)
        shard_atomic_end(s);
    for (size_t i = 0; i < n; i++)
        catalog_tell(s, key_of(changes[i].kind), changes[i].name);
    mem_account_leave(outer);
    return NULL;
}

const char *shard_catalog_set(struct shard *s, enum catalog_kind kind, struct bytes name,
                              struct bytes value, struct moment now)
{
    return shard_catalog_write(
        s, &(struct catalog_change){.kind = kind, .name = name, .value = value}, 1, now);
}

const char *shard_catalog_del(struct shard *s, enum catalog_kind kind, struct bytes name,
                              struct moment now)
{
    return shard_catalog_write(
        s, &(struct catalog_change){.kind = kind, .name = name, .removed = true}, 1, now);
}

/* ------------------------------------------------------------ what comes from elsewhere */

bool catalog_op_ok(const struct op *op) { return op->kind == OP_HSET || op->kind == OP_HDEL; }

bool catalog_key_ok(const struct cell *key)
{
    enum type type = value_type(key);
    return (type == TYPE_HASH || type == TYPE_NONE) && value_deadline(key) == DEADLINE_NEVER;
}
