/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "proxy/route.h"

#include <stdio.h>

/* MEMORY, but for MEMORY USAGE, which looks at a key (shard/cmd_object.c). What is not measured is
 * left out. */

struct use {
    uint64_t total, backlog, clients, data, keys;
};

static struct use use_of(const struct answer *a)
{
    struct figures sum = {0}, one;
    for (uint32_t i = 0; i < a->parts_count; i++) {
        struct bytes part = buf_bytes(&a->parts[i]);
        if (part.n != sizeof one)
            continue;
        memcpy(&one, part.p, sizeof one);
        figures_add(&sum, &one);
    }
    struct use u = {.total = mem_used(),
                    .backlog = sum.log_bytes,
                    .clients = sum.input_bytes + sum.output_bytes,
                    .keys = sum.shard.keys};
    u.data = u.total > u.backlog + u.clients ? u.total - u.backlog - u.clients : 0;
    return u;
}

static void put_figure(struct reply *r, const char *name, uint64_t v)
{
    reply_bulk_str(r, name);
    reply_int(r, (int64_t)v);
}

static void finish_stats(struct front *f, struct answer *a, struct reply *r)
{
    struct use u = use_of(a);
    (void)f;
    reply_map(r, 10);
    put_figure(r, "total.allocated", u.total);
    put_figure(r, "replication.backlog", u.backlog);
    put_figure(r, "clients.slaves", 0);
    put_figure(r, "clients.normal", u.clients);
    put_figure(r, "aof.buffer", 0);
    put_figure(r, "overhead.total", u.backlog + u.clients);
    put_figure(r, "keys.count", u.keys);
    put_figure(r, "keys.bytes-per-key", u.keys > 0 ? u.data / u.keys : 0);
    put_figure(r, "dataset.bytes", u.data);
    reply_bulk_str(r, "dataset.percentage");
    reply_double(r, u.total > 0 ? 100.0 * (double)u.data / (double)u.total : 0);
}

static void finish_malloc_stats(struct front *f, struct answer *a, struct reply *r)
{
    struct use u = use_of(a);
    char text[300];
    (void)f;
    int n = snprintf(text, sizeof text,
                     "The process holds %llu bytes, counted by the allocator's size classes.\n"
                     "Of these, this database: backlog for other regions %llu, clients' buffers "
                     "%llu.\n",
                     (unsigned long long)u.total, (unsigned long long)u.backlog,
                     (unsigned long long)u.clients);
    reply_verbatim(r, bytes_of(text, (size_t)n));
}

#define SHARE_LARGE 2u /* of all memory: more than one part in so many */

static void finish_doctor(struct front *f, struct answer *a, struct reply *r)
{
    struct use u = use_of(a);
    uint64_t limit = f->settings.memory_max;
    const char *text = "Nothing about the use of memory looks unusual.\n";
    if (limit > 0 && u.total > limit / 10 * 9)
        text = "More than 90 % of maxmemory are in use: beyond it writes are refused with -OOM. "
               "Delete keys, or give the database more memory.\n";
    else if (u.clients > u.total / SHARE_LARGE)
        text = "Clients' buffers take more than half of the memory: CLIENT LIST shows whose. "
               "client-output-buffer-limit bounds them.\n";
    else if (u.backlog > u.total / SHARE_LARGE && u.keys > 1000)
        text = "The backlog for other regions takes more than half of the memory. Its size is a "
               "setting of the database (repl_backlog_size).\n";
    reply_verbatim(r, bytes_str(text));
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

static void memory_purge(struct ask *a) { reply_ok(&a->reply); }

static void memory_help(struct ask *a)
{
    static const char *const lines[] = {
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Return a judgement on the use of memory.",
        "MALLOC-STATS",
        "    Return what the allocator holds.",
        "PURGE",
        "    Does nothing: unused memory goes back to the system by itself.",
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
