/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/num.h"
#include "shard/args.h"
#include "shard/cmd_dump.h"
#include "shard/content.h"
#include "shard/deferred.h"
#include "shard/encoding.h"
#include "shard/inside.h"

#include <stdio.h>

/* DEBUG, as far as clients and tests use it: what looks at keys. The rest is the session's
 * (proxy/cmd_debug.c). */

static void debug_object(struct call *c)
{
    struct key k;
    struct buf out = {0};
    char text[200];
    key_peek(c, c->argv[2], &k);
    if (k.cell == NULL) {
        reply_error(c->reply, ERR_NO_KEY);
        return;
    }
    dump_value(c, &k, &out);
    snprintf(text, sizeof text,
             "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%u",
             encoding_name(c, &k), buf_len(&out) - 1, call_access(&k),
             evict_idle_s(c->shard, call_access(&k)));
    buf_deinit(&out);
    reply_simple(c->reply, text);
}

/* ------------------------------------------------------------ digests */

static void debug_digest_value(struct call *c)
{
    char text[CONTENT_TEXT + 1];
    struct key k;
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        key_peek(c, c->argv[i], &k);
        content_text(content_hash(c, &k), text);
        reply_simple(c->reply, text);
    }
}

/* A key's part in the digest of all: its name, whether it has a deadline, and what it shows. */
static struct hash128 key_hash(struct call *c, struct cell *cell)
{
    struct key k = {.name = cell_name(cell), .cell = cell, .held = cell};
    struct hash128 name = hash_128(k.name, 3), content = content_hash(c, &k);
    uint64_t words[] = {name.lo, name.hi, content.lo, content.hi,
                        value_deadline(cell) != DEADLINE_NEVER};
    return hash_128(bytes_of(words, sizeof words), 0);
}

static void debug_digest(struct call *c)
{
    struct shard *s = c->shard;
    struct hash128 sum = {0};
    struct table_iter it;
    char text[CONTENT_TEXT + 1];
    deferred_end(s);
    for (uint32_t i = 0; i < s->shown; i++) {
        table_iter(&it, &s->parts[i].keys);
        for (struct cell *key; (key = table_next(&it)) != NULL;)
            if (value_type(key) != TYPE_NONE && !key_expired(key, c->now.wall_ms))
                sum = hash128_add(sum, key_hash(c, key));
    }
    content_text(sum, text);
    reply_simple(c->reply, text);
}

/* ------------------------------------------------------------ RELOAD */

struct reload {
    struct shard *shard;
    struct part *part;
    struct buf keys; /* struct cell *: of a slice of the table */
    struct buf state;
    bool failed;
};

static void pick(void *item, void *arg)
{
    struct reload *r = arg;
    buf_put(&r->keys, &item, sizeof item);
}

/* Writes the key as a state transfer would, reads it back, and goes on with what was read. */
static void reload_key(struct reload *r, struct cell *key)
{
    struct shard *s = r->shard;
    struct change change;
    struct bytes name = cell_name(key);
    buf_clear(&r->state);
    value_encode(&r->state, key);
    struct cell *again = value_decode(buf_bytes(&r->state), s->hash_key);
    if (again == NULL || !hash128_eq(value_digest(key), value_digest(again))) {
        r->failed = true;
        value_free(again);
        return;
    }
    if (s->geo) /* large collections keep their own sums */
        value_redigest(again);
    change_begin(s, &change, r->part, table_hash(&r->part->keys, name), key);
    garbage_cell(s, key); /* a transfer may be reading it */
    change_end(s, &change, value_adopt(again, &r->part->vv, &s->around));
}

#define RELOAD_SLICE 256u

static void debug_reload(struct call *c)
{
    struct reload r = {.shard = c->shard};
    deferred_end(c->shard);
    for (uint32_t i = 0; i < c->shard->shown; i++) {
        uint64_t cursor = 0;
        r.part = &c->shard->parts[i];
        do {
            buf_clear(&r.keys);
            cursor = table_scan(&r.part->keys, cursor, RELOAD_SLICE, pick, &r);
            for (size_t k = 0; k < buf_len(&r.keys) / sizeof(struct cell *); k++) {
                struct cell *key;
                memcpy(&key, r.keys.p + k * sizeof key, sizeof key);
                reload_key(&r, key);
            }
        } while (cursor != 0);
    }
    buf_deinit(&r.keys);
    buf_deinit(&r.state);
    if (r.failed)
        reply_error(c->reply, "ERR a key does not read back as it was written: please report this");
    else
        reply_ok(c->reply);
}

/* ------------------------------------------------------------ others */

static void debug_set_active_expire(struct call *c)
{
    int64_t on;
    if (!arg_i64(c, c->argv[2], &on))
        return;
    c->shard->expiry_off = on == 0;
    reply_ok(c->reply);
}

static void debug_set_scripts(struct call *c)
{
    int64_t on;
    if (!arg_i64(c, c->argv[2], &on))
        return;
    c->shard->scripts_debug = on != 0;
    reply_ok(c->reply);
}

bool shard_scripts_debug(const struct shard *s) { return s->scripts_debug; }

/* Redis' tests set from which size on an element gets a node of its own in a list. Ours do so by
 * themselves: the number is read and means nothing. */
static void debug_packed_threshold(struct call *c)
{
    struct bytes arg = c->argv[2];
    size_t n = arg.n;
    int64_t v;
    while (n > 0 && (arg.p[n - 1] | 0x20) >= 'a' && (arg.p[n - 1] | 0x20) <= 'z')
        n--;
    if (!num_parse_i64(bytes_of(arg.p, n), &v) || v < 0)
        reply_error(c->reply, "ERR argument must be a memory value");
    else
        reply_ok(c->reply);
}

static bool owns(const struct shard *s, struct bytes name)
{
    return slot_partition(hash_slot(name), s->partitions) - s->first < s->shown;
}

/* POPULATE count [prefix] [size]: each shard makes the keys that are its own. */
static void debug_populate(struct call *c)
{
    int64_t count, size = 0;
    struct bytes prefix = c->argc > 3 ? c->argv[3] : bytes_str("key");
    struct buf name = {0}, value = {0};
    if (!arg_positive(c, c->argv[2], NULL, &count) ||
        (c->argc > 4 && !arg_range(c, c->argv[4], 0, 512 << 20, NULL, &size)))
        return;
    for (int64_t i = 0; i < count; i++) {
        struct key k;
        buf_clear(&name);
        buf_put_bytes(&name, prefix);
        buf_putf(&name, ":%lld", (long long)i);
        if (!owns(c->shard, buf_bytes(&name)))
            continue;
        key_write(c, buf_bytes(&name), &k);
        if (k.cell != NULL)
            continue;
        buf_clear(&value);
        buf_putf(&value, "value:%lld", (long long)i);
        size_t n = buf_len(&value), want = size > 0 ? (size_t)size : n;
        if (want > n) {
            memset(buf_reserve(&value, want - n), 0, want - n);
            buf_added(&value, want - n);
        }
        key_set(c, &k, bytes_of(value.p, want), false);
    }
    buf_deinit(&name);
    buf_deinit(&value);
    reply_ok(c->reply);
}

#define DEBUG_FLAGS (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING)
const struct command cmd_debug_table[] = {
    {"debug", -2, CMD_CONTAINER | DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL,
     "server", "1.0.0", "that of the subcommand", "Looks inside, for tests and debugging", ""},
    {"debug|change-repl-id", 2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(1)", "Refused: there is no replication ID", ""},
    {"debug|digest", 2, DEBUG_FLAGS, 0, 0, 0, AT_EACH, MERGE_DIGEST, debug_digest, NULL, "server",
     "1.0.0", "O(N) with N the number of elements of all keys",
     "Returns a hash of all keys and what they show", ""},
    {"debug|digest-value", -3, DEBUG_FLAGS, 2, -1, 1, AT_SPLIT, MERGE_BY_KEY, debug_digest_value,
     NULL, "server", "1.0.0", "O(N) with N the number of elements",
     "Returns hashes of what keys show, whatever their names", "key [key ...]"},
    {"debug|error", 3, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0",
     "O(1)", "Replies an error of that text", "message"},
    {"debug|help", 2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0",
     "O(1)", "Explains the subcommands of DEBUG", ""},
    {"debug|htstats", -2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(1)", "Refused: the tables are not those of Redis", ""},
    {"debug|htstats-key", -2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(1)", "Refused: the tables are not those of Redis", ""},
    {"debug|jmap", -2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0",
     "O(1)", "Refused: there is no Java here", ""},
    {"debug|listpack", -2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(1)", "Refused: values are not kept in listpacks", ""},
    {"debug|loadaof", -2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(1)", "Refused: there is no append-only file", ""},
    {"debug|log", 3, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0",
     "O(1)", "Writes a line into the log", "message"},
    {"debug|object", -3, DEBUG_FLAGS, 2, 2, 1, AT_SHARD, MERGE_NONE, debug_object, NULL, "server",
     "1.0.0", "O(N) with N the number of elements", "Tells about a key's value", "key"},
    {"debug|populate", -3, DEBUG_FLAGS | CMD_WRITE | CMD_DENYOOM, 0, 0, 0, AT_EACH, MERGE_OK,
     debug_populate, NULL, "server", "1.0.0", "O(N) with N the number of keys",
     "Makes string keys, as many as asked for", "count [prefix [size]]"},
    {"debug|protocol", 3, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(1)", "Replies something of that type", "type"},
    {"debug|quicklist", -2, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server",
     "1.0.0", "O(1)", "Refused: lists are not kept in quicklists", ""},
    {"debug|quicklist-packed-threshold", 3, DEBUG_FLAGS, 0, 0, 0, AT_EACH, MERGE_OK,
     debug_packed_threshold, NULL, "server", "7.0.0", "O(1)",
     "Reads a size that means nothing here", "size"},
    {"debug|reload", -2, DEBUG_FLAGS, 0, 0, 0, AT_EACH, MERGE_OK, debug_reload, NULL, "server",
     "1.0.0", "O(N) with N the number of elements of all keys",
     "Writes each key as other regions get it and reads it back", "[NOSAVE] [NOFLUSH] [MERGE]"},
    {"debug|set-active-expire", 3, DEBUG_FLAGS, 0, 0, 0, AT_EACH, MERGE_OK, debug_set_active_expire,
     NULL, "server", "1.0.0", "O(1)", "Switches deleting expired keys in the background off or on",
     "0|1"},
    {"debug|set-disable-deny-scripts", 3, DEBUG_FLAGS, 0, 0, 0, AT_EACH, MERGE_OK,
     debug_set_scripts, NULL, "server", "1.0.0", "O(1)",
     "Lets scripts call DEBUG PROTOCOL, or no longer", "0|1"},
    {"debug|sleep", 3, DEBUG_FLAGS, 0, 0, 0, AT_SESSION, MERGE_NONE, NULL, NULL, "server", "1.0.0",
     "O(N) with N the seconds", "Lets this worker stand still for so many seconds, 60 at most",
     "seconds"},
    {.name = NULL},
};
