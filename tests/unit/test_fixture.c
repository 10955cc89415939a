/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "cli/log/log.h"
#include "sim/vault.h"
#include "worker/lives.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A folder of an earlier version (tests/fixtures): it opens, and shows what it was written to show.
 * Damaged anywhere, it opens without anything that had been promised missing, or it does not open
 * and says where the damage is.
 */
#define FOLDER "/fixture"
#define FILES 4u

static const char *const names[FILES] = {"log-0000000000000001", "snapshot-0000000000000001",
                                         "log-0000000000000002", "log-0000000000000003"};

struct fixture {
    struct buf files[FILES];
    struct buf expected;
};

static void load_file(struct buf *out, unsigned version, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "tests/fixtures/storage-v%u/%s", version, name);
    FILE *f = fopen(path, "rb");
    cr_assert(f != NULL, "%s (tests run in the repository's folder)", path);
    buf_added(out, fread(buf_reserve(out, 1 << 20), 1, 1 << 20, f));
    fclose(f);
}

static void load(struct fixture *x, unsigned version)
{
    *x = (struct fixture){0};
    for (unsigned i = 0; i < FILES; i++)
        load_file(&x->files[i], version, names[i]);
    load_file(&x->expected, version, "expected.txt");
    buf_put_u8(&x->expected, 0);
}

static void unload(struct fixture *x)
{
    for (unsigned i = 0; i < FILES; i++)
        buf_deinit(&x->files[i]);
    buf_deinit(&x->expected);
}

/* A world whose host 0 has the folder. */
static struct world *world_with(const struct fixture *x)
{
    struct world *w = world_new(&(struct world_opts){.seed = 1});
    char path[256];
    world_host(w, "host");
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, FOLDER "/%s", names[i]);
        world_file_put(w, 0, path, buf_bytes(&x->files[i]));
    }
    return w;
}

static struct vault *start(struct world *w)
{
    return vault_start(w, 0,
                       &(struct vault_opts){.folder = FOLDER,
                                            .db_uid = 7,
                                            .shard = 3,
                                            .partitions = 4,
                                            .actor = actor_make(1, 2),
                                            .patch_min = 64,
                                            .policy = SYNC_SECOND});
}

static void put_entry(void *arg, struct bytes name, struct bytes value)
{
    buf_putf(arg, "%.*s %.*s", (int)name.n, (const char *)name.p, (int)value.n,
             (const char *)value.p);
}

/* What a line of expected.txt asks for. */
static void answer(struct vault *v, const char *question, struct buf *out)
{
    unsigned n;
    if (sscanf(question, "catalog %u", &n) == 1) {
        shard_catalog_each(vault_shard(v), (enum catalog_kind)n, put_entry, out);
    } else if (sscanf(question, "context %u", &n) == 1) {
        const struct context *c = shard_context(vault_shard(v), n);
        for (unsigned i = 0; i < c->n; i++)
            buf_putf(out, "%s%016" PRIx64, i ? " " : "", c->at[i]);
    } else {
        vault_command(v, question, out);
    }
    buf_put_u8(out, 0);
}

/* Compares with the lines of expected.txt; returns how many there are. */
static unsigned compare(struct vault *v, const struct fixture *x)
{
    struct buf lines = {0}, got = {0};
    unsigned n = 0;
    buf_put_bytes(&lines, buf_bytes(&x->expected));
    for (char *line = (char *)lines.p, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        char *tab = strchr(line, '\t');
        cr_assert(tab != NULL && tab < end);
        *tab = *end = 0;
        buf_clear(&got);
        answer(v, line, &got);
        cr_expect_str_eq((const char *)got.p, tab + 1, "%s: %s, not %s", line, (char *)got.p,
                         tab + 1);
        n++;
    }
    buf_deinit(&lines);
    buf_deinit(&got);
    return n;
}

static void opens(unsigned version)
{
    struct fixture x;
    struct storage_stats stats;
    load(&x, version);
    struct world *w = world_with(&x);
    struct vault *v = start(w);
    cr_assert(vault_open(v), "%s", storage_error(vault_storage(v)));
    storage_stats(vault_storage(v), &stats);
    cr_expect_eq(stats.opening.snapshot, 1);
    cr_expect_eq(stats.opening.last, 3);
    cr_expect_eq(stats.opening.cut, 0);
    cr_expect(storage_kept(vault_storage(v)));
    cr_expect_gt(compare(v, &x), 35);
    /* it goes on, and opens again */
    struct buf out = {0};
    vault_command(v, "SET another yes", &out);
    vault_close(v);
    world_kill(w, 0, false);
    v = start(w);
    cr_assert(vault_open(v), "%s", storage_error(vault_storage(v)));
    buf_clear(&out);
    vault_command(v, "MGET another last", &out);
    buf_put_u8(&out, 0);
    cr_expect_str_eq((const char *)out.p, "[yes unsynced]");
    buf_deinit(&out);
    world_free(w);
    unload(&x);
}

Test(fixture, the_first_version_opens) { opens(1); }

Test(fixture, the_second_version_opens) { opens(2); }

Test(fixture, the_third_version_opens) { opens(3); }

/* The power fails at each step of the first opening by this release and of its first snapshot. */
static void interrupted(unsigned version)
{
    struct fixture x;
    unsigned snapshots = 0, none = 0;
    load(&x, version);
    for (uint64_t us = 100; us < 40000; us += 400) {
        struct world *w = world_with(&x);
        struct storage_stats stats;
        struct vault *v = start(w);
        for (uint64_t done = 0; done < us; done += 100) {
            world_run(w, world_now_us(w) + 100);
            if (storage_state(vault_storage(v)) == STORAGE_RUNS)
                (void)vault_snapshot(v);
        }
        storage_stats(vault_storage(v), &stats);
        snapshots += stats.snapshots > 0;
        none += stats.snapshots == 0;
        world_power_loss(w, 0);
        v = start(w);
        cr_assert(vault_open(v), "after %u us: %s", (unsigned)us, storage_error(vault_storage(v)));
        cr_expect_gt(compare(v, &x), 35);
        world_free(w);
    }
    cr_expect(snapshots > 10 && none > 10, "%u, %u", snapshots, none);
    unload(&x);
}

Test(fixture, an_upgrade_that_is_interrupted_loses_nothing)
{
    for (unsigned version = 1; version <= 3; version++)
        interrupted(version);
}

/* ------------------------------------------------------------ damage */

/* Up to where the last segment says itself that it had been durable. */
static uint64_t synced_end(struct bytes file, uint64_t number)
{
    struct file_header h;
    const char *why;
    cr_assert_eq(header_read(file, &h, &why), HEADER_OK);
    uint64_t synced = h.size, need;
    struct record r;
    for (uint64_t at = h.size; at < file.n; at += r.size) {
        cr_assert_eq(record_read(bytes_of(file.p + at, file.n - at), number, at, &r, &need),
                     RECORD_OK);
        if (r.kind == RECORD_SYNCED)
            memcpy(&synced, r.payload.p, sizeof synced);
    }
    return synced;
}

struct verdict {
    bool opened, all; /* all: nothing is missing that the undamaged folder has */
    bool promised;    /* nothing is missing that had been promised */
    uint64_t cut;
    char error[512];
};

struct contexts {
    struct context at[5];
};

static void contexts_of(struct vault *v, struct contexts *out)
{
    for (uint32_t i = 0; i < 5; i++)
        context_copy(&out->at[i], shard_context(vault_shard(v), i));
}

static bool contexts_le(const struct contexts *a, const struct contexts *b)
{
    bool le = true;
    for (uint32_t i = 0; i < 5; i++)
        le &= context_le(&a->at[i], &b->at[i]);
    return le;
}

static void contexts_deinit(struct contexts *c)
{
    for (uint32_t i = 0; i < 5; i++)
        context_deinit(&c->at[i]);
}

static struct verdict try_open(const struct fixture *x, const struct contexts *all,
                               const struct contexts *promised)
{
    struct world *w = world_with(x);
    struct vault *v = start(w);
    struct verdict out = {.opened = vault_open(v)};
    struct contexts have = {0};
    struct storage_stats stats;
    storage_stats(vault_storage(v), &stats);
    contexts_of(v, &have);
    out.cut = stats.opening.cut;
    out.all = all != NULL && contexts_le(all, &have);
    out.promised = promised != NULL && contexts_le(promised, &have);
    snprintf(out.error, sizeof out.error, "%s", storage_error(vault_storage(v)));
    contexts_deinit(&have);
    world_free(w);
    return out;
}

struct damage {
    struct fixture x;
    struct contexts all, promised;
    uint64_t synced; /* of the last segment */
    unsigned stopped, harmless, cut;
};

static void damage_start(struct damage *d, unsigned version)
{
    *d = (struct damage){0};
    load(&d->x, version);
    struct buf *last = &d->x.files[FILES - 1];
    d->synced = synced_end(buf_bytes(last), 3);
    cr_assert_lt(d->synced, buf_len(last));
    for (unsigned i = 0; i < 2; i++) {
        size_t end = last->tail;
        if (i == 1)
            last->tail = last->head + d->synced;
        struct world *w = world_with(&d->x);
        struct vault *v = start(w);
        cr_assert(vault_open(v));
        contexts_of(v, i == 0 ? &d->all : &d->promised);
        world_free(w);
        last->tail = end;
    }
}

static void damage_end(struct damage *d)
{
    contexts_deinit(&d->all);
    contexts_deinit(&d->promised);
    unload(&d->x);
}

/* What `meridian log check` says of the folder. */
static struct log_verdict check(const struct fixture *x, struct log_file *files)
{
    static const unsigned order[FILES] = {1, 0, 2, 3};
    struct log_folder folder = {.files = files, .n = FILES};
    struct log_verdict out;
    for (unsigned i = 0; i < FILES; i++) {
        files[i] = (struct log_file){.content = buf_bytes(&x->files[order[i]])};
        cr_assert(file_name_read(names[order[i]], &files[i].kind, &files[i].number));
        snprintf(files[i].name, sizeof files[i].name, "%s", names[order[i]]);
    }
    log_judge(&folder, &out);
    return out;
}

/* The tool says what the opening does. */
static void compare_check(const struct fixture *x, const struct verdict *v, const char *name,
                          size_t at)
{
    struct log_file files[FILES];
    struct log_verdict said = check(x, files);
    cr_expect_eq(said.opens, v->opened, "%s, %zu: check says %s%s", name, at,
                 said.opens ? "opens" : "does not open: ", said.what);
    cr_expect_eq(said.torn, v->cut, "%s, %zu: torn", name, at);
    if (said.opens || said.bad == NULL)
        return;
    char offset[48];
    snprintf(offset, sizeof offset, "offset %" PRIu64 ":", said.bad_at);
    cr_expect(strstr(v->error, said.bad->name) != NULL && strstr(v->error, offset) != NULL,
              "%s, %zu: check says %s %s, opening says %s", name, at, said.bad->name, offset,
              v->error);
}

/* File f is damaged at offset `at`: what may come of it. */
static void judge(struct damage *d, unsigned f, size_t at)
{
    struct verdict v = try_open(&d->x, &d->all, &d->promised);
    compare_check(&d->x, &v, names[f], at);
    if (!v.opened) {
        cr_expect(strstr(v.error, names[f]) != NULL || strstr(v.error, names[f] + 4) != NULL,
                  "%s, %zu: %s", names[f], at, v.error);
        cr_expect(strstr(v.error, "offset") != NULL, "%s, %zu: %s", names[f], at, v.error);
        d->stopped++;
    } else if (v.all) {
        d->harmless++;
    } else {
        cr_expect(f == FILES - 1 && at >= d->synced && v.promised && v.cut > 0,
                  "%s, %zu: what had been promised is silently missing", names[f], at);
        d->cut++;
    }
}

static void flip_all(unsigned version)
{
    struct damage d;
    damage_start(&d, version);
    for (unsigned f = 0; f < FILES; f++) {
        struct buf *b = &d.x.files[f];
        for (size_t at = 0; at < buf_len(b); at++) {
            uint8_t bit = (uint8_t)(1u << (at * 5 + at / 8) % 8);
            b->p[b->head + at] ^= bit;
            judge(&d, f, at);
            b->p[b->head + at] ^= bit;
        }
    }
    cr_expect_gt(d.stopped, 3000);
    cr_expect_gt(d.cut, 40);
    damage_end(&d);
}

Test(fixture, no_flipped_bit_loses_anything_silently) { flip_all(2); }

Test(fixture, no_flipped_bit_of_the_first_version_loses_anything_silently) { flip_all(1); }

/* Of the last segment nobody knows where it ended; the first version knew it of none. */
Test(fixture, no_file_cut_short_loses_anything_silently)
{
    struct damage d;
    damage_start(&d, 3);
    for (unsigned f = 0; f + 1 < FILES; f++) {
        struct buf *b = &d.x.files[f];
        size_t end = b->tail;
        for (size_t n = 0; n < end - b->head; n++) {
            b->tail = b->head + n;
            judge(&d, f, n);
        }
        b->tail = end;
    }
    cr_expect_gt(d.stopped, 3000);
    cr_expect_eq(d.cut, 0);
    damage_end(&d);
}

/* ------------------------------------------------------------ repair */

struct place {
    char folder[64];
    struct fixture x;
};

static void put(const struct place *p, const char *name, struct bytes content)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    FILE *f = fopen(path, "wb");
    cr_assert(f != NULL && fwrite(content.p, 1, content.n, f) == content.n && fclose(f) == 0);
}

static void place_fill(struct place *p)
{
    load(&p->x, 3);
    snprintf(p->folder, sizeof p->folder, "/tmp/meridian-fixture-XXXXXX");
    cr_assert(mkdtemp(p->folder) != NULL);
    put(p, "node.lock", bytes_str(""));
    for (unsigned i = 0; i < FILES; i++)
        put(p, names[i], buf_bytes(&p->x.files[i]));
}

static void place_empty(struct place *p)
{
    char command[128];
    unload(&p->x);
    snprintf(command, sizeof command, "rm -r '%s'", p->folder);
    cr_assert_eq(system(command), 0);
}

/* What is on the real disk, in a virtual world. */
static struct world *world_of(const struct place *p)
{
    struct world *w = world_new(&(struct world_opts){.seed = 1});
    struct log_folder f;
    char path[128];
    world_host(w, "host");
    cr_assert(log_folder_load(&f, p->folder));
    for (size_t i = 0; i < f.n; i++) {
        snprintf(path, sizeof path, FOLDER "/%s", f.files[i].name);
        world_file_put(w, 0, path, f.files[i].content);
    }
    log_folder_unload(&f);
    return w;
}

static struct verdict open_place(const struct place *p, struct storage_stats *stats, bool *kept)
{
    struct world *w = world_of(p);
    struct vault *v = start(w);
    struct verdict out = {.opened = vault_open(v)};
    snprintf(out.error, sizeof out.error, "%s", storage_error(vault_storage(v)));
    storage_stats(vault_storage(v), stats);
    *kept = storage_kept(vault_storage(v));
    world_free(w);
    return out;
}

/* A damaged snapshot that the log does not need: all is there. */
static void has_all(const struct place *p)
{
    struct world *w = world_of(p);
    struct vault *v = start(w);
    cr_assert(vault_open(v));
    cr_expect_gt(compare(v, &p->x), 35);
    world_free(w);
}

/* A lives file that says that all is here. */
static void put_note(const struct place *p)
{
    struct buf out = {0};
    life_note_put(&out, &(struct life_note){.process = 3, .life = 2, .complete = true});
    put(p, "lives", buf_bytes(&out));
    buf_deinit(&out);
}

static bool note_lacks(const struct place *p)
{
    char path[512];
    uint8_t text[64];
    struct life_note n;
    snprintf(path, sizeof path, "%s/lives", p->folder);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    size_t size = fread(text, 1, sizeof text, f);
    fclose(f);
    cr_assert(life_note_get(bytes_of(text, size), 4, &n) && n.process == 3 && n.life == 2);
    cr_expect_eq(n.complete, !n.lacks);
    return n.lacks;
}

/* Damage in any region of a segment: header, lengths, checksums, payloads, the end. */
Test(fixture, repair_keeps_what_stands_before_the_damage)
{
    cr_redirect_stdout();
    for (unsigned f = 0; f < FILES; f++) {
        struct place p;
        struct storage_stats stats;
        bool kept;
        place_fill(&p);
        struct buf *b = &p.x.files[f];
        size_t n = buf_len(b);
        for (size_t at = f == 0 ? 4000 : 0; at < n; at += 71) {
            b->p[b->head + at] ^= 1;
            put(&p, names[f], buf_bytes(b));
            struct verdict v = open_place(&p, &stats, &kept);
            int status = log_repair(p.folder, false, SALVAGE_ASK);
            cr_expect_eq(status, v.opened ? 0 : 1);
            put_note(&p);
            status = log_repair(p.folder, true, SALVAGE_ASK);
            cr_expect_eq(status, 0, "%s, %zu", names[f], at);
            if (f != 1) /* that snapshot is not needed: nothing is lost at any time */
                cr_expect_eq(note_lacks(&p), !v.opened, "%s, %zu", names[f], at);
            struct verdict after = open_place(&p, &stats, &kept);
            cr_expect(after.opened, "%s, %zu: %s", names[f], at, after.error);
            if (f == 1)
                has_all(&p);
            if (!v.opened && after.opened)
                cr_expect_not(kept, "%s, %zu: it claims to have what is lost", names[f], at);
            place_empty(&p);
            place_fill(&p);
            b = &p.x.files[f];
        }
        place_empty(&p);
    }
}

/* A snapshot is damaged at `at`, and nothing can be read of the log before it: it is needed. */
static void need_snapshot(struct place *p, size_t at)
{
    place_fill(p);
    struct buf *log = &p->x.files[0], *snapshot = &p->x.files[1];
    struct file_header h;
    const char *why;
    cr_assert_eq(header_read(buf_bytes(snapshot), &h, &why), HEADER_OK);
    for (size_t i = FORMAT_HEADER; i < h.from; i += 16)
        log->p[log->head + i] ^= 1;
    snapshot->p[snapshot->head + at] ^= 1;
    put(p, names[0], buf_bytes(log));
    put(p, names[1], buf_bytes(snapshot));
}

struct partitions {
    struct contexts seen;
    struct hash128 digests[5];
};

static struct partitions partitions_of(struct vault *v)
{
    struct partitions out = {0};
    contexts_of(v, &out.seen);
    for (uint32_t i = 0; i < 5; i++)
        out.digests[i] = shard_digest(vault_shard(v), i);
    return out;
}

/* How many partitions are as they were. Whatever has the same context has the same content: else
 * it would say to others that what is lost was deleted. */
static unsigned count_same(struct vault *v, const struct partitions *all, bool must)
{
    struct partitions have = partitions_of(v);
    unsigned same = 0;
    for (uint32_t i = 0; i < 5; i++) {
        bool equal = hash128_eq(all->digests[i], have.digests[i]);
        cr_expect(context_le(&have.seen.at[i], &all->seen.at[i]));
        if (must && context_eq(&have.seen.at[i], &all->seen.at[i]))
            cr_expect(equal, "partition %u lacks something and does not know it", i);
        same += equal;
    }
    contexts_deinit(&have.seen);
    return same;
}

/* How many lines of expected.txt, but those of contexts, are answered as they were. */
static unsigned count_answers(struct vault *v, const struct fixture *x)
{
    struct buf lines = {0}, got = {0};
    unsigned n = 0;
    buf_put_bytes(&lines, buf_bytes(&x->expected));
    for (char *line = (char *)lines.p, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        char *tab = strchr(line, '\t');
        *tab = *end = 0;
        buf_clear(&got);
        answer(v, line, &got);
        n += strncmp(line, "context", 7) != 0 && strcmp((const char *)got.p, tab + 1) == 0;
    }
    buf_deinit(&lines);
    buf_deinit(&got);
    return n;
}

Test(fixture, repair_keeps_what_is_whole_of_a_damaged_snapshot)
{
    struct place p;
    struct partitions all;
    unsigned most[2] = {0}, answers[2] = {0};
    cr_redirect_stdout();
    place_fill(&p);
    struct world *w = world_of(&p);
    struct vault *v = start(w);
    cr_assert(vault_open(v));
    all = partitions_of(v);
    world_free(w);
    size_t n = buf_len(&p.x.files[1]);
    place_empty(&p);
    for (size_t at = 0; at < n; at += 113) {
        for (int alone = 0; alone < 2; alone++) {
            enum log_salvage how = alone ? SALVAGE_ALONE : SALVAGE_OTHERS;
            need_snapshot(&p, at);
            cr_expect_eq(log_repair(p.folder, true, SALVAGE_ASK), 1, "it must be said which way");
            cr_expect_eq(log_repair(p.folder, false, how), 1);
            cr_expect_eq(log_repair(p.folder, true, how), 0, "%zu", at);
            cr_expect_eq(log_check(p.folder), 0);
            w = world_of(&p);
            v = start(w);
            cr_assert(vault_open(v), "%zu: %s", at, storage_error(vault_storage(v)));
            cr_expect_not(storage_kept(vault_storage(v)));
            unsigned same = count_same(v, &all, !alone), good = count_answers(v, &p.x);
            cr_expect_geq(same, 3, "%zu: one damaged byte, and only %u partitions are left", at,
                          same);
            most[alone] = same > most[alone] ? same : most[alone];
            answers[alone] += good;
            world_free(w);
            place_empty(&p);
        }
    }
    cr_expect_eq(most[1], 5, "a damaged header costs nothing");
    cr_expect_gt(answers[1], answers[0], "alone %u, others %u", answers[1], answers[0]);
    contexts_deinit(&all.seen);
}

Test(fixture, a_restored_folder_promises_nothing)
{
    struct place p;
    struct storage_stats stats;
    bool kept;
    cr_redirect_stdout();
    place_fill(&p);
    cr_assert(open_place(&p, &stats, &kept).opened);
    cr_expect(kept);
    cr_expect_eq(log_restored(p.folder, false), 1);
    cr_assert(open_place(&p, &stats, &kept).opened);
    cr_expect(kept);
    cr_expect_eq(log_restored(p.folder, true), 0);
    cr_assert(open_place(&p, &stats, &kept).opened);
    cr_expect_not(kept);
    cr_expect_not(stats.opening.orderly);
    cr_expect_eq(log_check(p.folder), 0);
    place_empty(&p);
}

Test(fixture, nothing_is_changed_while_a_node_runs)
{
    struct place p;
    struct log_locks locks;
    cr_redirect_stdout();
    cr_redirect_stderr();
    place_fill(&p);
    cr_assert(log_lock(&locks, p.folder));
    cr_expect_eq(log_restored(p.folder, true), 1);
    cr_expect_eq(log_repair(p.folder, true, SALVAGE_ASK), 1);
    cr_expect_eq(log_check(p.folder), 0);
    log_unlock(&locks);
    cr_expect_eq(log_restored(p.folder, true), 0);
    place_empty(&p);
}
