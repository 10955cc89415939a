/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include "base/mem.h"
#include "base/resp_reply.h"

#include <stdlib.h>

#define WORDS_MAX 256u
#define START_MS (STAMP_EPOCH_MS + 200000000000)

void run_start_with(struct run *r, const struct shard_opts *given)
{
    struct shard_opts o = *given;
    o.region = o.region ? o.region : 1;
    o.actor = o.actor ? o.actor : actor_make(o.region, 0);
    o.partitions = o.partitions ? o.partitions : RUN_PARTITIONS;
    o.count = o.count ? o.count : o.partitions + 1; /* with the hidden one */
    o.seed = o.seed ? o.seed : o.region;
    if (o.hash_key.k0 == 0)
        o.hash_key = (struct hash_key){.k0 = 11 + o.region, .k1 = 12};
    *r = (struct run){
        .shard = shard_new(&o), .region = o.region, .now = {.wall_ms = START_MS}, .resp = 2};
    r->scripts = scripts_new(&(struct scripts_opts){.seed = o.seed});
    r->engine =
        engine_new(&(struct engine_opts){.shard = r->shard, .scripts = r->scripts, .seed = o.seed});
}

void run_start(struct run *r, uint32_t region, bool geo)
{
    run_start_with(r, &(struct shard_opts){.region = region, .geo = geo});
}

void run_stop(struct run *r)
{
    engine_free(r->engine);
    scripts_free(r->scripts);
    shard_free(r->shard);
    for (unsigned i = 0; i <= RUN_REGIONS; i++)
        for (unsigned p = 0; p < RUN_PARTITIONS_ALL; p++)
            context_deinit(&r->known[i][p]);
    buf_deinit(&r->text);
    cr_assert_eq(mem_drift(), 0, "a shard's account held something at its end");
    *r = (struct run){0};
}

static void pass(struct run *r, int64_t ms)
{
    r->now.wall_ms += ms;
    r->now.mono_us += (uint64_t)ms * 1000;
}

void run_wait(struct run *r, int64_t ms)
{
    pass(r, ms);
    while (shard_tick(r->shard, r->now))
        continue;
}

static uint8_t hex(char c) { return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10); }

/* The word at *at, unquoted, appended to `room`; false at the end of the line. */
static bool next_word(const char **at, struct buf *room)
{
    const char *p = *at;
    while (*p == ' ')
        p++;
    if (*p == 0)
        return false;
    bool quoted = *p == '"';
    for (p += quoted; *p != 0 && *p != (quoted ? '"' : ' '); p++) {
        if (!quoted || *p != '\\') {
            buf_put_u8(room, (uint8_t)*p);
        } else if (*++p == 'x') {
            buf_put_u8(room, (uint8_t)(hex(p[1]) << 4 | hex(p[2])));
            p += 2;
        } else {
            buf_put_u8(room, (uint8_t)(*p == 'n'   ? '\n'
                                       : *p == 'r' ? '\r'
                                       : *p == 't' ? '\t'
                                                   : *p));
        }
    }
    *at = p + quoted;
    return true;
}

static void execute(struct run *r, const char *line)
{
    struct buf room = {0};
    struct bytes argv[WORDS_MAX];
    size_t start[WORDS_MAX + 1] = {0};
    uint32_t argc = 0;
    while (argc < WORDS_MAX && next_word(&line, &room))
        start[++argc] = buf_len(&room);
    buf_reserve(&room, 1);
    for (uint32_t i = 0; i < argc; i++)
        argv[i] = bytes_of(room.p + start[i], start[i + 1] - start[i]);
    struct reply reply = {.out = &r->text, .resp = r->resp};
    struct call c = {.command = command_resolve(argc, argv),
                     .argc = argc,
                     .argv = argv,
                     .reply = &reply,
                     .now = r->now,
                     .session = 1};
    buf_clear(&r->text);
    pass(r, 1);
    if (c.command == NULL || c.command->run == NULL)
        reply_error(&reply, "ERR unknown command");
    else if (!command_arity_ok(c.command, argc))
        reply_errorf(&reply, "ERR wrong number of arguments for '%s' command", c.command->name);
    else
        shard_execute(r->shard, &c);
    buf_deinit(&room);
}

const char *run_raw(struct run *r, const char *line)
{
    execute(r, line);
    buf_put_u8(&r->text, 0);
    return (const char *)r->text.p + r->text.head;
}

const char *run(struct run *r, const char *line)
{
    struct resp_reply tree;
    struct buf text = {0};
    size_t used;
    execute(r, line);
    cr_assert(resp_reply_read(buf_bytes(&r->text), &tree, &used) == RESP_REPLY_OK,
              "%s: not one whole reply", line);
    cr_assert(used == buf_len(&r->text), "%s: more than one reply", line);
    resp_reply_print(&text, &tree);
    buf_put_u8(&text, 0);
    resp_reply_deinit(&tree);
    buf_deinit(&r->text);
    r->text = text;
    return (const char *)r->text.p;
}

/* ------------------------------------------------------------ several regions */

void run_join(struct run *from, struct run *to, uint32_t partition)
{
    struct buf state = {0};
    struct transfer *t = transfer_begin(from->shard, partition, from->now);
    while (transfer_next(t, &state, 4096))
        continue;
    run_learn(to, from->region, partition, transfer_context(t));
    cr_assert(shard_join(to->shard, partition, buf_bytes(&state), transfer_context(t), to->now));
    transfer_end(t);
    buf_deinit(&state);
}

bool run_ship(struct run *from, struct run *to)
{
    struct frame f;
    bool all = true;
    shard_close_frames(from->shard, from->now);
    for (uint64_t at = 0; log_read(shard_log(from->shard), &at, &f);) {
        enum take how = shard_take(to->shard, &f, to->now);
        cr_assert(how != TAKE_BAD, "a frame from region %u is refused", stamp_actor(f.last));
        all &= how != TAKE_WAITS;
        if (how == TAKE_BASELESS)
            run_join(from, to, f.partition);
        if (how != TAKE_DONE)
            continue;
        struct context *known = &to->known[actor_region(stamp_actor(f.last))][f.partition];
        for (uint32_t i = 0; i < f.deps_count; i++)
            context_raise(known, f.deps[i]);
        context_raise(known, f.last);
    }
    return all;
}

void run_learn(struct run *to, uint32_t from, uint32_t partition, const struct context *seen)
{
    context_join(&to->known[from][partition], seen);
}

struct lines {
    char **at;
    size_t n;
};

static void dump_key(const struct cell *key, void *arg)
{
    struct lines *lines = arg;
    struct buf b = {0};
    struct shown s;
    enum type type = value_type(key);
    if (type == TYPE_NONE)
        return;
    buf_putf(&b, "%.*s = %s until %lld:", (int)cell_name(key).n, (const char *)cell_name(key).p,
             type_name(type), (long long)value_deadline(key));
    if (type == TYPE_STRING && string_show(key, &s))
        buf_putf(&b, " %.*s", (int)s.text.n, (const char *)s.text.p);
    else if (type != TYPE_HLL)
        buf_putf(&b, " %zu", coll_len(key, type));
    buf_put_u8(&b, 0);
    lines->at = realloc(lines->at, (lines->n + 1) * sizeof *lines->at);
    lines->at[lines->n++] = (char *)b.p;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void run_dump(const struct run *r, struct buf *out)
{
    struct lines lines = {0};
    for (uint32_t i = 0; i < RUN_PARTITIONS; i++)
        shard_each(r->shard, i, dump_key, &lines);
    if (lines.n > 0)
        qsort(lines.at, lines.n, sizeof *lines.at, compare_lines);
    for (size_t i = 0; i < lines.n; i++) {
        buf_putf(out, "%s\n", lines.at[i]);
        mem_free(lines.at[i]);
    }
    free(lines.at);
    buf_put_u8(out, 0);
}

static void compare_regions(const struct run *a, const struct run *b)
{
    struct buf x = {0}, y = {0};
    run_dump(a, &x);
    run_dump(b, &y);
    cr_expect(strcmp((char *)x.p, (char *)y.p) == 0, "one region shows\n%sand another\n%s", x.p,
              y.p);
    for (uint32_t i = 0; i < RUN_PARTITIONS_ALL; i++) {
        cr_expect(context_eq(shard_context(a->shard, i), shard_context(b->shard, i)),
                  "contexts of partition %u differ", i);
        cr_expect(hash128_eq(shard_digest(a->shard, i), shard_digest(b->shard, i)),
                  "digests of partition %u differ", i);
    }
    buf_deinit(&x);
    buf_deinit(&y);
}

void run_sync(struct run **all, unsigned n)
{
    for (unsigned round = 0; round <= n; round++)
        for (unsigned i = 0; i < n; i++)
            for (unsigned j = 0; j < n; j++)
                if (i != j)
                    run_ship(all[i], all[j]);
    for (unsigned i = 1; i < n; i++)
        compare_regions(all[0], all[i]);
}

/* A heartbeat: an empty claim in the region's stream, when all of its frames are here. */
static void claim(const struct run *from, struct run *to, uint32_t partition)
{
    const struct context *theirs = shard_context(from->shard, partition);
    stamp_t last = context_get(theirs, from->region);
    if (context_get(shard_context(to->shard, partition), from->region) == last)
        run_learn(to, from->region, partition, theirs);
}

static void stable_at(struct run **all, unsigned n, struct run *r, uint32_t partition)
{
    struct context stable = {0};
    context_copy(&stable, shard_context(r->shard, partition));
    for (unsigned i = 0; i < n; i++) {
        if (all[i] == r)
            continue;
        claim(all[i], r, partition);
        context_meet(&stable, &r->known[all[i]->region][partition]);
    }
    shard_stable(r->shard, partition, &stable, r->now);
    context_deinit(&stable);
}

void run_stable(struct run **all, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        shard_close_frames(all[i]->shard, all[i]->now);
    for (unsigned i = 0; i < n; i++) {
        for (uint32_t p = 0; p < RUN_PARTITIONS_ALL; p++)
            stable_at(all, n, all[i], p);
        while (shard_tick(all[i]->shard, all[i]->now))
            continue;
    }
}
