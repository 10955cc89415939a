/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_dump.h"

#include "crdt/stream.h"
#include "shard/args.h"
#include "shard/cmd_list.h"
#include "shard/events.h"
#include "shard/text.h"

/* DUMP and RESTORE, in Redis' own format (rdb/rdb.h). What RESTORE writes travels as ordinary
 * operations, so it merges like anything else that is written. */

/* ------------------------------------------------------------ DUMP */

static void give_elements(struct rdb_writer *w, const struct cell *key, enum type type)
{
    struct coll_iter it;
    struct shown shown;
    coll_iter(&it, key, type);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;) {
        struct rdb_item item = {.name = cell_name(e)};
        if (type == TYPE_ZSET) {
            item.kind = RDB_ITEM_MEMBER;
            item.score = cell_score(e);
        } else if (type == TYPE_SET) {
            item.kind = RDB_ITEM_ELEMENT;
        } else {
            cell_show(e, &shown);
            item.kind = type == TYPE_LIST ? RDB_ITEM_ELEMENT : RDB_ITEM_FIELD;
            *(type == TYPE_LIST ? &item.name : &item.value) = shown.text;
        }
        rdb_write_item(w, &item);
    }
}

static enum rdb_type rdb_type_of(enum type type)
{
    switch (type) {
    case TYPE_HASH:
        return RDB_HASH;
    case TYPE_ZSET:
        return RDB_ZSET;
    case TYPE_SET:
        return RDB_SET;
    case TYPE_LIST:
        return RDB_LIST;
    case TYPE_STREAM:
        return RDB_STREAM;
    case TYPE_NONE:
    case TYPE_HLL:
    case TYPE_STRING:
    case TYPE_COUNT:
        break;
    }
    return RDB_STRING;
}

void dump_value(struct call *c, const struct key *k, struct buf *out)
{
    enum type type = value_type(k->cell);
    enum rdb_type as = rdb_type_of(type);
    size_t code = out->tail;
    struct rdb_writer w;
    struct shown shown;
    const struct shard_looks *l = call_looks(c);
    struct rdb_limits limits = {.hash_max_listpack_entries = (size_t)l->hash_entries,
                                .hash_max_listpack_value = (size_t)l->hash_value,
                                .zset_max_listpack_entries = (size_t)l->zset_entries,
                                .zset_max_listpack_value = (size_t)l->zset_value,
                                .set_max_intset_entries = (size_t)l->set_ints};
    buf_put_u8(out, 0);
    rdb_write_begin(&w, out, as, coll_len(k->cell, type), &limits);
    if (as == RDB_STREAM)
        dump_stream(k->cell, &w);
    else if (as != RDB_STRING)
        give_elements(&w, k->cell, type);
    else if (text_show(c, k, &shown))
        rdb_write_item(&w, &(struct rdb_item){.kind = RDB_ITEM_VALUE, .name = shown.text});
    uint8_t said = rdb_write_end(&w);
    out->p[code] = said;
}

static void dump(struct call *c)
{
    struct buf out = {0};
    struct key k;
    key_read(c, c->argv[1], &k);
    if (k.cell == NULL) {
        reply_nil(c->reply);
        return;
    }
    dump_value(c, &k, &out);
    rdb_payload_close(&out, 0);
    reply_bulk(c->reply, buf_bytes(&out));
    buf_deinit(&out);
}

/* ------------------------------------------------------------ RESTORE */

struct restore {
    struct call *c;
    struct key k;
    struct rdb_in value;
    uint8_t code;
    enum rdb_type type;
    bool replace, absolute;
    int64_t ttl;
    bool idle, freq; /* given: */
    int64_t used;    /* seconds, or a frequency */
    struct restore_stream stream;
};

static bool option(struct call *c, struct restore *r, uint32_t *i)
{
    struct bytes arg = c->argv[*i];
    int64_t v;
    bool more = *i + 1 < c->argc;
    if (bytes_is_nocase(arg, "replace")) {
        r->replace = true;
    } else if (bytes_is_nocase(arg, "absttl")) {
        r->absolute = true;
    } else if (more && !r->freq && bytes_is_nocase(arg, "idletime")) {
        r->idle = true;
        if (!arg_i64(c, c->argv[++*i], &v))
            return false;
        if (v < 0) {
            reply_error(c->reply, "ERR Invalid IDLETIME value, must be >= 0");
            return false;
        }
        r->used = v;
    } else if (more && !r->idle && bytes_is_nocase(arg, "freq")) {
        r->freq = true;
        if (!arg_i64(c, c->argv[++*i], &v))
            return false;
        if (v < 0 || v > 255) {
            reply_error(c->reply, "ERR Invalid FREQ value, must be >= 0 and <= 255");
            return false;
        }
        r->used = v;
    } else {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    return true;
}

static bool ttl_arg(struct call *c, struct restore *r)
{
    if (!arg_i64(c, c->argv[2], &r->ttl))
        return false;
    if (r->ttl < 0)
        reply_error(c->reply, "ERR Invalid TTL value, must be >= 0");
    return r->ttl >= 0;
}

static const char *fault_text(enum rdb_result fault)
{
    switch (fault) {
    case RDB_MODULE:
        return "ERR Bad data format: values of modules cannot be restored";
    case RDB_UNKNOWN:
        return "ERR Bad data format: a type that is not known: written by a newer version?";
    case RDB_OK:
    case RDB_SHORT:
    case RDB_BAD:
        break;
    }
    return "ERR Bad data format";
}

static void look(void *arg, const struct rdb_item *item)
{
    struct restore *r = arg;
    if (item->kind == RDB_ITEM_STREAM)
        r->stream.info = *item; /* it holds no texts */
}

/* Everything is checked here, so that taking the items cannot fail. */
static bool payload_arg(struct call *c, struct restore *r)
{
    struct bytes body;
    if (!rdb_payload_open(c->argv[3], &body)) {
        reply_error(c->reply, "ERR DUMP payload version or checksum are wrong");
        return false;
    }
    r->code = body.p[0];
    r->value = rdb_in(bytes_of(body.p + 1, body.n - 1));
    struct rdb_in in = r->value;
    enum rdb_result fault = rdb_read(&in, r->code, &r->type, look, r);
    if (fault != RDB_OK)
        reply_error(c->reply, fault_text(fault));
    return fault == RDB_OK;
}

static void take(void *arg, const struct rdb_item *item)
{
    struct restore *r = arg;
    struct bytes none = bytes_of(NULL, 0);
    switch (item->kind) {
    case RDB_ITEM_VALUE:
        key_set(r->c, &r->k, item->name, false);
        break;
    case RDB_ITEM_ELEMENT:
        if (r->type == RDB_LIST)
            list_push(r->c, &r->k, LIST_TAIL, item->name); /* at the end there is always room */
        else
            key_elem(r->c, &r->k, OP_SADD, item->name, none);
        break;
    case RDB_ITEM_MEMBER:
        key_elem_real(r->c, &r->k, OP_ZADD, item->name, (long double)item->score);
        break;
    case RDB_ITEM_FIELD:
        key_elem(r->c, &r->k, OP_HSET, item->name, item->value);
        break;
    case RDB_ITEM_ENTRY:
    case RDB_ITEM_STREAM:
    case RDB_ITEM_GROUP:
    case RDB_ITEM_CONSUMER:
    case RDB_ITEM_PENDING:
        restore_stream_item(&r->stream, r->c, &r->k, item);
        break;
    }
}

/* The deadline that was asked for, in Unix ms; DEADLINE_NEVER: none. */
static int64_t deadline_of(const struct restore *r)
{
    int64_t at = r->ttl;
    if (r->ttl == 0)
        return DEADLINE_NEVER;
    if (!r->absolute && __builtin_add_overflow(r->ttl, r->c->now.wall_ms, &at))
        return DEADLINE_NEVER - 1;
    return at < DEADLINE_NEVER ? at : DEADLINE_NEVER - 1;
}

static void restore_run(struct call *c, struct restore *r)
{
    int64_t deadline = deadline_of(r);
    bool was_there = r->k.cell != NULL, gone = call_is_past(c, deadline);
    if (was_there && (gone || r->type != RDB_STRING)) /* an assignment removes what there was */
        key_del(c, &r->k);
    if (gone) {
        if (was_there)
            key_event(c, EVENT_GENERIC, "del", r->k.name);
        return;
    }
    if (r->type == RDB_STREAM)
        restore_stream_begin(&r->stream, c, &r->k);
    rdb_read(&r->value, r->code, &r->type, take, r);
    restore_stream_end(&r->stream);
    if (deadline != DEADLINE_NEVER)
        key_expire(c, &r->k, deadline);
    if (r->idle && !evict_is_lfu(c->shard))
        call_set_access(&r->k, evict_access_of_idle(c->shard, (uint64_t)r->used));
    if (r->freq && evict_is_lfu(c->shard))
        call_set_access(&r->k, evict_access_of_frequency(c->shard, (uint32_t)r->used));
    key_event(c, EVENT_GENERIC, "restore", r->k.name);
}

static void restore(struct call *c)
{
    struct restore r = {.c = c};
    for (uint32_t i = 4; i < c->argc; i++)
        if (!option(c, &r, &i))
            return;
    key_write(c, c->argv[1], &r.k);
    if (r.k.cell != NULL && !r.replace) {
        reply_error(c->reply, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!ttl_arg(c, &r) || !payload_arg(c, &r))
        return;
    restore_run(c, &r);
    reply_ok(c->reply);
}

const struct command cmd_dump_table[] = {
    {"dump", 2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, dump, NULL, "generic", "2.6.0",
     "O(N) with N the size of the value", "Returns a value in the format of Redis' snapshots",
     "key"},
    {"restore", -4, CMD_WRITE | CMD_DENYOOM, 1, 1, 1, AT_SHARD, MERGE_NONE, restore, NULL,
     "generic", "2.6.0", "O(N) with N the number of elements",
     "Makes a key of what DUMP returned, here or in Redis",
     "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]"},
    {.name = NULL},
};
