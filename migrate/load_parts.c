/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/load_parts.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>

#define BATCH_ITEMS 1024u
#define BATCH_BYTES (256u << 10)
#define WORD_MAX 64u

void load_parts_deinit(struct load_parts *p)
{
    buf_deinit(&p->argv);
    buf_deinit(&p->text);
    buf_deinit(&p->group);
    buf_deinit(&p->consumer);
}

void load_parts_begin(struct load_parts *p, uint64_t items) { p->pushed = items; }

void load_parts_put(struct load_parts *p, const struct migrate_command *m, size_t key)
{
    struct migrate_command c = *m;
    c.key = m->argv[key];
    c.length = p->pushed;
    migrate_sink_put(p->sink, p->port, &c);
}

/* ------------------------------------------------------------ commands of many items */

/* Texts are copied: they live only as long as the item. */
static void add(struct load_parts *p, struct bytes s)
{
    struct bytes at = {.p = NULL, .n = s.n};
    buf_put(&p->argv, &at, sizeof at);
    buf_put_bytes(&p->text, s);
}

static void add_number(struct load_parts *p, int64_t v)
{
    char text[NUM_TEXT_MAX];
    add(p, bytes_of(text, num_format_i64(text, v)));
}

static void add_id(struct load_parts *p, struct rdb_id id)
{
    char text[WORD_MAX];
    int n = snprintf(text, sizeof text, "%llu-%llu", (unsigned long long)id.ms,
                     (unsigned long long)id.seq);
    add(p, bytes_of(text, (size_t)n));
}

static void flush(struct load_parts *p, enum migrate_again again)
{
    size_t argc = buf_len(&p->argv) / sizeof(struct bytes);
    const uint8_t *at = p->text.p;
    struct bytes *argv = mem_alloc(argc * sizeof *argv);
    memcpy(argv, p->argv.p, argc * sizeof *argv);
    for (size_t i = 0; i < argc; i++) {
        argv[i].p = at;
        at += argv[i].n;
    }
    load_parts_put(
        p, &(struct migrate_command){.argc = argc, .argv = argv, .again = again, .kind = LOAD_STEP},
        p->key);
    mem_free(argv);
    buf_clear(&p->argv);
    buf_clear(&p->text);
    if (again == MIGRATE_PUSH)
        p->pushed += p->items;
    p->items = 0;
}

static void begin(struct load_parts *p, const char *command)
{
    add(p, bytes_str(command));
    add(p, p->record->name);
    p->key = 1;
}

static void begin_group(struct load_parts *p, const char *what)
{
    add(p, bytes_str("XGROUP"));
    add(p, bytes_str(what));
    add(p, p->record->name);
    p->key = 2;
}

static enum migrate_again again_of(const struct load_parts *p)
{
    return p->type == RDB_LIST ? MIGRATE_PUSH : MIGRATE_AGAIN;
}

static void give_member(struct load_parts *p, const struct rdb_item *item)
{
    static const char *const commands[] = {
        [RDB_LIST] = "RPUSH", [RDB_SET] = "SADD", [RDB_ZSET] = "ZADD", [RDB_HASH] = "HSET"};
    char score[NUM_TEXT_MAX];
    if (p->items == 0)
        begin(p, commands[p->type]);
    if (item->kind == RDB_ITEM_MEMBER)
        add(p, bytes_of(score, num_format_double(score, item->score)));
    add(p, item->name);
    if (item->kind == RDB_ITEM_FIELD)
        add(p, item->value);
    if (++p->items >= BATCH_ITEMS || buf_len(&p->text) >= BATCH_BYTES)
        flush(p, again_of(p));
}

/* ------------------------------------------------------------ streams */

static void give_entry(struct load_parts *p, const struct rdb_item *item)
{
    begin(p, "XADD");
    add_id(p, item->id);
    for (size_t i = 0; i < 2 * item->npairs; i++)
        add(p, item->pairs[i]);
    flush(p, MIGRATE_AGAIN);
}

/* Of the oldest format the count of entries stands only here (rdb/file.h). */
static void give_end(struct load_parts *p, const struct rdb_item *item)
{
    uint64_t added =
        p->record->code == RDB_CODE_STREAM && !p->record->first ? p->record->live : item->added;
    begin(p, "XSETID");
    add_id(p, item->id);
    add(p, bytes_str("ENTRIESADDED"));
    add_number(p, (int64_t)added);
    add(p, bytes_str("MAXDELETEDID"));
    add_id(p, item->deleted);
    flush(p, MIGRATE_AGAIN);
}

static void give_group(struct load_parts *p, const struct rdb_item *item)
{
    buf_clear(&p->group);
    buf_put_bytes(&p->group, item->name);
    begin_group(p, "CREATE");
    add(p, item->name);
    add_id(p, item->id);
    if (item->read >= 0 && p->record->code != RDB_CODE_STREAM) {
        add(p, bytes_str("ENTRIESREAD"));
        add_number(p, item->read);
    }
    flush(p, MIGRATE_AGAIN);
}

static void give_consumer(struct load_parts *p, const struct rdb_item *item)
{
    buf_clear(&p->consumer);
    buf_put_bytes(&p->consumer, item->name);
    begin_group(p, "CREATECONSUMER");
    add(p, buf_bytes(&p->group));
    add(p, item->name);
    flush(p, MIGRATE_AGAIN);
}

static void give_pending(struct load_parts *p, const struct rdb_item *item)
{
    begin(p, "XCLAIM");
    add(p, buf_bytes(&p->group));
    add(p, buf_bytes(&p->consumer));
    add_number(p, 0);
    add_id(p, item->id);
    add(p, bytes_str("TIME"));
    add_number(p, item->time);
    add(p, bytes_str("RETRYCOUNT"));
    add_number(p, (int64_t)item->count);
    add(p, bytes_str("FORCE"));
    add(p, bytes_str("JUSTID"));
    flush(p, MIGRATE_AGAIN);
}

/* ------------------------------------------------------------ values */

static void give(void *arg, const struct rdb_item *item)
{
    struct load_parts *p = arg;
    struct bytes set[] = {bytes_str("SET"), p->record->name, item->name};
    switch (item->kind) {
    case RDB_ITEM_VALUE:
        load_parts_put(p, &(struct migrate_command){.argc = 3, .argv = set, .kind = LOAD_STEP}, 1);
        break;
    case RDB_ITEM_ELEMENT:
    case RDB_ITEM_MEMBER:
    case RDB_ITEM_FIELD:
        give_member(p, item);
        break;
    case RDB_ITEM_ENTRY:
        give_entry(p, item);
        break;
    case RDB_ITEM_STREAM:
        give_end(p, item);
        break;
    case RDB_ITEM_GROUP:
        give_group(p, item);
        break;
    case RDB_ITEM_CONSUMER:
        give_consumer(p, item);
        break;
    case RDB_ITEM_PENDING:
        give_pending(p, item);
        break;
    }
}

/* A part's count stands before it; a whole value is read where it is. */
static struct bytes value_of(const struct rdb_record *r, struct buf *room)
{
    if (r->head.n == 0)
        return r->body;
    buf_clear(room);
    buf_put_bytes(room, r->head);
    buf_put_bytes(room, r->body);
    return buf_bytes(room);
}

/* A stream's parts end behind their nodes: only what follows is missing. */
static bool read_all(const struct rdb_record *r, struct buf *room, enum rdb_type *type,
                     rdb_take *item, void *arg)
{
    struct rdb_in in = rdb_in(value_of(r, room));
    enum rdb_result result = rdb_read(&in, r->code, type, item, arg);
    return result == RDB_OK || (result == RDB_SHORT && *type == RDB_STREAM && !r->last);
}

bool load_parts_give(struct load_parts *p, const struct rdb_record *r)
{
    struct buf room = {0};
    struct bytes del[] = {bytes_str("DEL"), r->name};
    p->record = r;
    if (!rdb_code_type(r->code, &p->type))
        return false;
    if (r->first) {
        p->pushed = 0;
        load_parts_put(p, &(struct migrate_command){.argc = 2, .argv = del, .kind = LOAD_STEP}, 1);
    }
    bool ok = read_all(r, &room, &p->type, give, p);
    if (p->items > 0)
        flush(p, again_of(p));
    buf_deinit(&room);
    return ok;
}

static void count(void *arg, const struct rdb_item *item)
{
    uint64_t *n = arg;
    (void)item;
    ++*n;
}

uint64_t load_parts_count(const struct rdb_record *r, struct buf *room)
{
    uint64_t n = 0;
    enum rdb_type type;
    return read_all(r, room, &type, count, &n) ? n : 0;
}
