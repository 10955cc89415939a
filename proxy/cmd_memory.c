/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/route.h"

#include <stdio.h>

/* MEMORY, but for MEMORY USAGE, which looks at a key (shard/cmd_object.c): what this database
 * holds, on all workers. */

struct use {
    struct figures sum;
    uint64_t total;   /* of the database */
    uint64_t clients; /* of it: their buffers */
    uint64_t scripts;
    uint64_t data; /* keys and values, with what finds and expires them */
};

static void use_of(const struct answer *a, struct use *u)
{
    struct figures one;
    *u = (struct use){.total = 0};
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (part.n != sizeof one)
            continue;
        memcpy(&one, part.p, sizeof one);
        figures_add(&u->sum, &one);
    }
    u->total = figures_used(&u->sum);
    u->clients = u->sum.input_bytes + u->sum.output_bytes;
    u->scripts = u->sum.lua_bytes + u->sum.scripts_bytes;
    u->data = u->sum.memory.values + u->sum.memory.deadlines;
}

static void put_figure(struct reply *r, const char *name, uint64_t v)
{
    reply_bulk_str(r, name);
    reply_int(r, (int64_t)v);
}

static void finish_stats(struct front *f, struct answer *a, struct reply *r)
{
    struct use u;
    use_of(a, &u);
    const struct memory_use *m = &u.sum.memory;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"total.allocated", u.total},
        {"replication.backlog", m->log},
        {"clients.slaves", u.sum.links_bytes},
        {"clients.normal", u.clients},
        {"aof.buffer", 0},
        {"lua.caches", u.scripts},
        {"overhead.total", u.total - u.data},
        {"keys.count", u.sum.shard.keys},
        {"keys.bytes-per-key", u.sum.shard.keys > 0 ? u.data / u.sum.shard.keys : 0},
        {"dataset.bytes", u.data},
        {"meridian.values", m->values},
        {"meridian.deadlines", m->deadlines},
        {"meridian.unsettled", m->unsettled},
        {"meridian.patch-bases", m->kept},
        {"meridian.contexts", m->contexts},
        {"meridian.catalog", m->catalog},
        {"meridian.metadata-estimate", m->metadata},
        {"meridian.limit", f->settings.memory_max},
        {"meridian.counted", memory_counted(f)},
        {"process.allocated", mem_used()},
    };
    size_t n = sizeof rows / sizeof rows[0];
    reply_map(r, n + 1);
    for (size_t i = 0; i < n; i++)
        put_figure(r, rows[i].name, rows[i].value);
    reply_bulk_str(r, "dataset.percentage");
    reply_double(r, u.total > 0 ? 100.0 * (double)u.data / (double)u.total : 0);
}

static void finish_malloc_stats(struct front *f, struct answer *a, struct reply *r)
{
    struct use u;
    char text[300];
    (void)f;
    use_of(a, &u);
    int n = snprintf(text, sizeof text,
                     "The process holds %llu bytes, counted by the allocator's size classes.\n"
                     "Of these, this database: %llu; of them backlog for other regions %llu, "
                     "clients' buffers %llu.\n",
                     (unsigned long long)mem_used(), (unsigned long long)u.total,
                     (unsigned long long)u.sum.memory.log, (unsigned long long)u.clients);
    reply_verbatim(r, bytes_of(text, (size_t)n));
}

#define SHARE_LARGE 2u  /* of all memory: more than one part in so many */
#define SHARE_WAITS 10u /* of what waits for other regions */

static unsigned share(uint64_t part, uint64_t of)
{
    return of > 0 ? (unsigned)((double)part * 100 / (double)of + 0.5) : 0;
}

/* The limit, and what to do about it. */
static void judge_limit(const struct front *f, const struct use *u, struct buf *out)
{
    uint64_t limit = f->settings.memory_max, used = memory_counted(f);
    bool forgets = memory_forgets(f);
    if (limit == 0) {
        buf_put_str(out, "* There is no limit: the database may take all memory of the node. Give "
                         "it one (memory_size, or CONFIG SET maxmemory).\n");
    } else if (used > limit / 100 * 90 && !forgets) {
        buf_putf(out,
                 "* %u %% of the limit are in use and nothing is evicted (maxmemory-policy "
                 "noeviction): soon clients' writes get -OOM; what other regions write is still "
                 "taken. Delete keys, choose a policy, or raise memory_size.\n",
                 share(used, limit));
    } else if (used > limit) {
        buf_putf(out,
                 "* %u %% of the limit are in use, although keys are evicted: the policy finds too "
                 "few that it may evict (volatile-* evicts only keys with a deadline), or what was "
                 "removed waits for other regions. INFO crdt tells which are away.\n",
                 share(used, limit));
    } else if (u->sum.shard.evicted > 0) {
        buf_putf(out,
                 "* %llu keys have been evicted since the start; %u %% of the limit are in "
                 "use.\n",
                 (unsigned long long)u->sum.shard.evicted, share(used, limit));
    }
}

/* What may not be forgotten yet, and for whose sake. */
static void judge_waiting(const struct use *u, struct buf *out)
{
    const struct memory_use *m = &u->sum.memory;
    uint32_t region = figures_laggard(&u->sum);
    const struct figures_link *l = &u->sum.links[region];
    buf_putf(out, "* What waits for other regions to have seen it takes %u %%",
             share(m->unsettled + m->kept, u->total));
    if (region == 0) {
        buf_put_str(out, ": it goes when they have (INFO crdt).\n");
        return;
    }
    buf_putf(out,
             ": region %u%s%s%s keeps it waiting in %u partitions, its link is %s. It goes once "
             "that region has seen it, or has been removed (meridian ctl crdb status).\n",
             region, l->name[0] != 0 ? " (" : "", l->name, l->name[0] != 0 ? ")" : "",
             u->sum.lagging[region], l->state != NULL ? l->state : "unknown");
}

static void judge_kinds(const struct use *u, struct buf *out)
{
    const struct memory_use *m = &u->sum.memory;
    if (u->clients > u->total / SHARE_LARGE)
        buf_putf(out,
                 "* Clients' buffers take %u %%: CLIENT LIST shows whose (tot-mem). "
                 "client-output-buffer-limit bounds them.\n",
                 share(u->clients, u->total));
    if (m->log > u->total / SHARE_LARGE && u->sum.shard.keys > 1000)
        buf_putf(out,
                 "* The log for other regions takes %u %%: it grows up to its bound "
                 "(crdt_repl_backlog_size; by itself a tenth of the limit), then no more.\n",
                 share(m->log, u->total));
    if (m->unsettled + m->kept > u->total / SHARE_WAITS)
        judge_waiting(u, out);
    if (u->scripts > u->total / SHARE_LARGE)
        buf_putf(out, "* Scripts take %u %%: SCRIPT FLUSH frees those that nobody runs.\n",
                 share(u->scripts, u->total));
}

static void finish_doctor(struct front *f, struct answer *a, struct reply *r)
{
    struct use u;
    struct buf text = {0};
    use_of(a, &u);
    const struct memory_use *m = &u.sum.memory;
    buf_putf(&text,
             "This database holds %llu bytes: keys and values %u %%, log for other regions %u %%, "
             "waiting for them %u %%, clients %u %%, scripts %u %%.\n",
             (unsigned long long)u.total, share(u.data, u.total), share(m->log, u.total),
             share(m->unsettled + m->kept, u.total), share(u.clients, u.total),
             share(u.scripts, u.total));
    size_t before = buf_len(&text);
    judge_limit(f, &u, &text);
    judge_kinds(&u, &text);
    if (buf_len(&text) == before)
        buf_put_str(&text, "Nothing about the use of memory looks unusual.\n");
    reply_verbatim(r, buf_bytes(&text));
    buf_deinit(&text);
}

static void memory_stats(struct ask *a) { route_workers(a, JOB_FIGURES, 0, NULL, finish_stats, 0); }

static void memory_malloc_stats(struct ask *a)
{
    route_workers(a, JOB_FIGURES, 0, NULL, finish_malloc_stats, 0);
}

static void memory_doctor(struct ask *a)
{
    route_workers(a, JOB_FIGURES, 0, NULL, finish_doctor, 0);
}

static void memory_purge(struct ask *a)
{
    mem_purge();
    reply_ok(&a->reply);
}

static void memory_help(struct ask *a)
{
    static const char *const lines[] = {
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Return a judgement on the use of memory.",
        "MALLOC-STATS",
        "    Return what the allocator holds.",
        "PURGE",
        "    Give what the allocator keeps for later back to the system.",
        "STATS",
        "    Return what memory is used for.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value; always exact, so SAMPLES is",
        "    accepted and makes no difference.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_memory_commands[] = {
    {"memory|doctor", memory_doctor, SESSION_ALONE},
    {"memory|help", memory_help, 0},
    {"memory|malloc-stats", memory_malloc_stats, SESSION_ALONE},
    {"memory|purge", memory_purge, 0},
    {"memory|stats", memory_stats, SESSION_ALONE},
    {NULL, NULL, 0},
};
