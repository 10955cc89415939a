/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/vault.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A folder of an earlier version (tests/fixtures): it opens, and shows what it was written to show.
 * Damaged anywhere, it opens without anything that had been promised missing, or it does not open
 * and says where the damage is.
 */
#define FIXTURE "tests/fixtures/storage-v1"
#define FOLDER "/fixture"
#define FILES 4u

static const char *const names[FILES] = {"log-0000000000000001", "snapshot-0000000000000001",
                                         "log-0000000000000002", "log-0000000000000003"};

struct fixture {
    struct buf files[FILES];
    struct buf expected;
};

static void load_file(struct buf *out, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, FIXTURE "/%s", name);
    FILE *f = fopen(path, "rb");
    cr_assert(f != NULL, "%s (tests run in the repository's folder)", path);
    buf_added(out, fread(buf_reserve(out, 1 << 20), 1, 1 << 20, f));
    fclose(f);
}

static void load(struct fixture *x)
{
    *x = (struct fixture){0};
    for (unsigned i = 0; i < FILES; i++)
        load_file(&x->files[i], names[i]);
    load_file(&x->expected, "expected.txt");
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

Test(fixture, the_first_version_opens)
{
    struct fixture x;
    struct storage_stats stats;
    load(&x);
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
