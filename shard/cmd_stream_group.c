/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_stream.h"

#include "shard/events.h"

/* Stream commands that make, move and remove consumer groups and consumers, and XACK. */

/* ------------------------------------------------------------ arguments */

struct group_args {
    bool mkstream, end; /* end: the ID is $ */
    struct stream_id id;
    int64_t read;
};

static bool syntax_error(struct call *c)
{
    struct bytes what = c->argv[1];
    int n = what.n < 128 ? (int)what.n : 128;
    reply_errorf(c->reply,
                 "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XGROUP HELP.",
                 n, (const char *)what.p);
    return false;
}

static bool options(struct call *c, bool create, struct group_args *out)
{
    *out = (struct group_args){.read = -1};
    for (uint32_t i = 5; i < c->argc; i++) {
        if (create && bytes_is_nocase(c->argv[i], "mkstream")) {
            out->mkstream = true;
        } else if (bytes_is_nocase(c->argv[i], "entriesread") && i + 1 < c->argc) {
            if (!arg_i64(c, c->argv[++i], &out->read))
                return false;
            if (out->read < -1) {
                reply_error(c->reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            return syntax_error(c);
        }
    }
    return c->argc <= (create ? 8 : 7) || syntax_error(c);
}

/* The ID that a group is set to; `any`: - and + are taken, too. */
static bool begin_arg(struct call *c, bool any, struct group_args *out)
{
    out->end = bytes_is(c->argv[4], "$");
    if (out->end || stream_id_read(c->argv[4], 0, any, &out->id))
        return true;
    reply_error(c->reply, ERR_STREAM_ID);
    return false;
}

/* "$" is the end of what this region has seen, of each region's entries: what arrives late is still
 * to come. In a database of one region that is the last ID. */
static void put_group(struct call *c, struct stream_at *at, const struct group_args *args)
{
    struct stream_info info;
    struct stream_begin begin = {.last = args->id, .read = args->read};
    stream_info(at->k.cell, &info);
    if (args->end && (call_is_shared(c) || info.regions > 1))
        begin.by = info.by;
    else if (args->end)
        begin.last = info.last;
    stream_put_group(c, &at->k, at->name, &begin);
}

/* Opens the key and group of an XGROUP subcommand; false when an error was replied. In any case
 * follow with stream_at_deinit. */
static bool group_write(struct call *c, bool key_needed, bool group_needed, struct stream_at *at)
{
    if (!stream_at_write(c, c->argv[2], c->argv[3], at))
        return false;
    if (at->k.cell == NULL && key_needed) {
        reply_error(c->reply,
                    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you "
                    "may want to use the MKSTREAM option to create an empty stream automatically.");
        return false;
    }
    if (!at->found && group_needed) {
        reply_errorf(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                     (int)at->name.n, (const char *)at->name.p, (int)at->k.name.n,
                     (const char *)at->k.name.p);
        return false;
    }
    return true;
}

/* ------------------------------------------------------------ XGROUP */

static void create(struct call *c, struct stream_at *at, const struct group_args *args)
{
    if (at->found) {
        reply_error(c->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    if (at->k.cell == NULL)
        stream_put_info(c, &at->k, (struct stream_id){0}, 0, (struct stream_id){0});
    put_group(c, at, args);
    key_event(c, EVENT_STREAM, "xgroup-create", at->k.name);
    reply_ok(c->reply);
}

void xgroup_create(struct call *c)
{
    struct stream_at at;
    struct group_args args;
    if (!options(c, true, &args))
        return;
    if (group_write(c, !args.mkstream, false, &at) && begin_arg(c, false, &args))
        create(c, &at, &args);
    stream_at_deinit(&at);
}

void xgroup_setid(struct call *c)
{
    struct stream_at at;
    struct group_args args;
    if (!options(c, false, &args))
        return;
    if (group_write(c, true, true, &at) && begin_arg(c, true, &args)) {
        put_group(c, &at, &args);
        key_event(c, EVENT_STREAM, "xgroup-setid", at.k.name);
        reply_ok(c->reply);
    }
    stream_at_deinit(&at);
}

void xgroup_destroy(struct call *c)
{
    struct stream_at at;
    if (group_write(c, true, false, &at)) {
        if (at.found) {
            stream_remove_group(c, &at.k, at.name);
            key_event(c, EVENT_STREAM, "xgroup-destroy", at.k.name);
        }
        reply_int(c->reply, at.found);
    }
    stream_at_deinit(&at);
}

void xgroup_createconsumer(struct call *c)
{
    struct stream_at at;
    struct stream_consumer consumer;
    if (group_write(c, true, true, &at)) {
        struct bytes prefix = buf_bytes(&at.prefix), name = c->argv[4];
        bool found = stream_consumer_find(at.k.cell, prefix, name, &consumer);
        if (!found)
            stream_seen(c, &at, name);
        reply_int(c->reply, !found);
    }
    stream_at_deinit(&at);
}

/* What waits for the consumer's acknowledgement goes with it. */
static int64_t remove_pending_of(struct call *c, struct stream_at *at, struct bytes consumer)
{
    struct bytes prefix = buf_bytes(&at->prefix);
    struct stream_walk w;
    struct stream_pending p;
    struct buf found = {0};
    int64_t n = 0;
    stream_pendings(&w, at->k.cell, prefix, (struct stream_id){0});
    for (; stream_pending_next(&w, &p);)
        if (bytes_eq(p.consumer, consumer))
            buf_put(&found, &p, sizeof p);
    for (; buf_len(&found) > 0; n++) {
        memcpy(&p, buf_bytes(&found).p, sizeof p);
        stream_remove_pending(c, &at->k, prefix, p.id, p.region);
        buf_consume(&found, sizeof p);
    }
    buf_deinit(&found);
    return n;
}

void xgroup_delconsumer(struct call *c)
{
    struct stream_at at;
    struct stream_consumer consumer;
    if (group_write(c, true, true, &at)) {
        struct bytes prefix = buf_bytes(&at.prefix), name = c->argv[4];
        bool found = stream_consumer_find(at.k.cell, prefix, name, &consumer);
        int64_t n = remove_pending_of(c, &at, name);
        if (found) {
            stream_remove_consumer(c, &at.k, prefix, name);
            key_event(c, EVENT_STREAM, "xgroup-delconsumer", at.k.name);
        }
        reply_int(c->reply, n);
    }
    stream_at_deinit(&at);
}

void xgroup_help(struct call *c)
{
    static const char *const lines[] = {
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <groupname> <id|$> [option]",
        "    Make a consumer group. Options are:",
        "    * MKSTREAM",
        "      Make an empty stream if there is none.",
        "    * ENTRIESREAD entries_read",
        "      Say how many entries the group has read so far.",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Make a consumer of the group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove a consumer with its pending entries.",
        "DESTROY <key> <groupname>",
        "    Remove a group.",
        "HELP",
        "    Print this help.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Say which entry was delivered last.",
    };
    reply_lines(c->reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------ XACK */

/* Removes what waits with that ID; returns how many. */
static unsigned acknowledge(struct call *c, struct stream_at *at, struct stream_id id)
{
    struct bytes prefix = buf_bytes(&at->prefix);
    struct stream_walk w;
    struct stream_pending p;
    uint64_t regions = 0;
    unsigned n = 0;
    stream_pendings(&w, at->k.cell, prefix, id);
    while (stream_pending_next(&w, &p) && stream_id_cmp(p.id, id) == 0)
        regions |= UINT64_C(1) << p.region;
    for (; regions != 0; regions &= regions - 1, n++)
        stream_remove_pending(c, &at->k, prefix, id, (uint8_t)__builtin_ctzll(regions));
    return n;
}

void xack(struct call *c)
{
    struct stream_at at;
    struct stream_id id;
    if (!stream_at_write(c, c->argv[1], c->argv[2], &at))
        goto out;
    for (uint32_t i = 3; at.found && i < c->argc; i++)
        if (!arg_stream_id(c, c->argv[i], &id))
            goto out;
    int64_t n = 0;
    for (uint32_t i = 3; at.found && i < c->argc; i++) {
        stream_id_read(c->argv[i], 0, false, &id);
        n += acknowledge(c, &at, id);
    }
    reply_int(c->reply, n);
out:
    stream_at_deinit(&at);
}
