/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_set.h"

#include "shard/args.h"
#include "shard/combine.h"

/* Redis commands on several sets at once: SINTER, SUNION, SDIFF, their STORE forms, SINTERCARD. */

static void combine_reply(struct call *c, enum combine_how how)
{
    struct combine cb;
    struct tally rows;
    if (!combine_read(c, 1, c->argc - 1, false, &cb))
        return;
    combine_run(c, &cb, how, &rows);
    reply_set(c->reply, rows.n);
    for (size_t i = 0; i < rows.n; i++)
        reply_bulk(c->reply, rows.at[i].name);
    tally_deinit(&rows);
    combine_deinit(&cb);
}

static void combine_into(struct call *c, enum combine_how how)
{
    struct combine cb;
    struct tally rows;
    if (!combine_read(c, 2, c->argc - 2, false, &cb))
        return;
    combine_run(c, &cb, how, &rows);
    combine_store(c, c->argv[1], TYPE_SET, c->command->name, &rows);
    tally_deinit(&rows);
    combine_deinit(&cb);
}

void sinter(struct call *c) { combine_reply(c, COMBINE_INTER); }

void sunion(struct call *c) { combine_reply(c, COMBINE_UNION); }

void sdiff(struct call *c) { combine_reply(c, COMBINE_DIFF); }

void sinterstore(struct call *c) { combine_into(c, COMBINE_INTER); }

void sunionstore(struct call *c) { combine_into(c, COMBINE_UNION); }

void sdiffstore(struct call *c) { combine_into(c, COMBINE_DIFF); }

static bool sintercard_limit(struct call *c, uint32_t first, int64_t *limit)
{
    for (uint32_t i = first; i < c->argc; i += 2) {
        if (i + 1 == c->argc || !bytes_is_nocase(c->argv[i], "limit")) {
            reply_error(c->reply, ERR_SYNTAX);
            return false;
        }
        if (!arg_positive(c, c->argv[i + 1], "ERR LIMIT can't be negative", limit))
            return false;
    }
    return true;
}

void sintercard(struct call *c)
{
    struct combine cb;
    struct tally rows;
    int64_t numkeys, limit = 0;
    if (!arg_range(c, c->argv[1], 1, INT64_MAX, "ERR numkeys should be greater than 0", &numkeys))
        return;
    if (numkeys > (int64_t)c->argc - 2) {
        reply_error(c->reply, "ERR Number of keys can't be greater than number of args");
        return;
    }
    if (!sintercard_limit(c, 2 + (uint32_t)numkeys, &limit) ||
        !combine_read(c, 2, (uint32_t)numkeys, false, &cb))
        return;
    cb.limit = (size_t)limit;
    combine_run(c, &cb, COMBINE_INTER, &rows);
    reply_int(c->reply, (int64_t)rows.n);
    tally_deinit(&rows);
    combine_deinit(&cb);
}
