/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "tests/unit/regions.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A region that is started from an older copy of its files, and what its peers remember of it. */

#define AGREE(g, ms)                                                                               \
    cr_assert(regions_agree(g, ms), "no agreement\n%s\n%.*s", regions_describe(g),                 \
              (int)buf_len(&(g)->log), (const char *)(g)->log.p)

struct copied {
    char path[96];
    struct buf content;
};
struct copy {
    struct copied files[32];
    unsigned n;
};

static void keep_file(void *arg, const char *path, struct bytes content)
{
    struct copy *c = arg;
    struct copied *f = &c->files[c->n++];
    cr_assert(c->n <= 32 && strncmp(path, "/data0/", 7) == 0, "%s", path);
    snprintf(f->path, sizeof f->path, "/data1/%s", path + 7); /* where a wiped region looks */
    buf_put_bytes(&f->content, content);
}

static void put_back(struct regions *g, uint32_t r, struct copy *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        world_file_put(g->world, g->at[r].host, c->files[i].path, buf_bytes(&c->files[i].content));
        buf_deinit(&c->files[i].content);
    }
}

static void write_some(struct regions *g, uint32_t r, unsigned from, unsigned n)
{
    char line[64];
    for (unsigned i = from; i < from + n; i++) {
        snprintf(line, sizeof line, i % 5 == 0 ? "DEL key%u" : "SET key%u value-%u", i % 40, i);
        regions_do(g, r, line);
    }
}

Test(recall, an_older_copy_of_the_files_catches_up_before_it_writes)
{
    struct regions *g = regions_new(
        &(struct regions_opts){.n = 2, .seed = 3, .disks = 1u << 2, .retention = 1 << 20});
    struct copy copy = {.n = 0};
    write_some(g, 1, 0, 100);
    write_some(g, 2, 1000, 100);
    AGREE(g, 5000);
    world_files(g->world, g->at[2].host, keep_file, &copy);
    cr_assert_gt(copy.n, 0);
    write_some(g, 1, 2000, 100); /* region 2 claims to have them, but writes nothing itself */
    AGREE(g, 5000);
    regions_run(g, 1000);

    regions_kill(g, 2);
    regions_wipe(g, 2);
    put_back(g, 2, &copy);
    regions_start(g, 2, true);
    bool refused = false;
    for (unsigned i = 0; i < 2000 && !refused; i++) {
        regions_run(g, 1);
        refused = g->at[2].syncers[0] != NULL && shard_is_stale(g->at[2].shards[0]);
    }
    cr_assert(refused, "%.*s", (int)buf_len(&g->log), (const char *)g->log.p);
    cr_assert(regions_logged(g, "region 1 remembers that we had more of partition"));
    AGREE(g, 10000);
    cr_assert_str_eq(regions_do(g, 2, "SET key1 again"), "+OK\r\n");
    AGREE(g, 5000);
    regions_free(g);
}

Test(recall, the_present_files_write_at_once)
{
    struct regions *g = regions_new(
        &(struct regions_opts){.n = 2, .seed = 4, .disks = 1u << 2, .retention = 1 << 20});
    write_some(g, 1, 0, 100);
    write_some(g, 2, 1000, 100);
    AGREE(g, 5000);
    for (unsigned life = 0; life < 3; life++) {
        regions_kill(g, 2);
        write_some(g, 1, 2000 + 100 * life, 50);
        regions_start(g, 2, true);
        for (unsigned i = 0; i < 2000; i++) {
            regions_run(g, 1);
            cr_assert(!shard_is_stale(g->at[2].shards[0]));
        }
        AGREE(g, 5000);
    }
    cr_assert_not(regions_logged(g, "remembers"));
    regions_free(g);
}
