/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "tests/unit/regions.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Messages of clients between regions. */

static void note(void *arg, const struct syncer_message *m)
{
    buf_putf(arg, "%.*s=%.*s%s ", (int)m->channel.n, (const char *)m->channel.p, (int)m->text.n,
             (const char *)m->text.p, m->sharded ? "!" : "");
}

struct listeners {
    struct regions *g;
    struct buf heard[REGIONS_MAX + 1];
};

static void listen(struct listeners *l, uint32_t shards)
{
    l->g = regions_new(&(struct regions_opts){.n = 3, .seed = 3, .shards = {0, shards, 1, 3}});
    for (uint32_t r = 1; r <= 3; r++)
        for (uint32_t i = 0; i < l->g->at[r].shards_n; i++)
            syncer_hear(l->g->at[r].syncers[i], note, &l->heard[r]);
    cr_assert(regions_agree(l->g, 10000), "%s", regions_describe(l->g));
}

static void end(struct listeners *l)
{
    regions_free(l->g);
    for (uint32_t r = 0; r <= REGIONS_MAX; r++)
        buf_deinit(&l->heard[r]);
}

/* From region 1, over the shard that owns the partition. */
static void publish(struct listeners *l, const char *channel, const char *text, bool sharded)
{
    struct region *from = &l->g->at[1];
    uint32_t partition = slot_partition(hash_slot(bytes_str(channel)), l->g->partitions), i = 0;
    while (i + 1 < from->shards_n && partition >= (i + 1) * l->g->partitions / from->shards_n)
        i++;
    syncer_publish(from->syncers[i], partition,
                   &(struct syncer_message){
                       .channel = bytes_str(channel), .text = bytes_str(text), .sharded = sharded});
    char read[32];
    snprintf(read, sizeof read, "get %s", channel);
    regions_do(l->g, 1, read); /* a turn of that shard */
    regions_run(l->g, 20);
}

static void heard(struct listeners *l, uint32_t r, const char *want)
{
    buf_put_u8(&l->heard[r], 0);
    cr_expect_str_eq((char *)l->heard[r].p, want, "region %u: %s", r, (char *)l->heard[r].p);
    buf_clear(&l->heard[r]);
}

Test(message, each_region_hears_once_in_order)
{
    struct listeners l = {0};
    listen(&l, 2);
    publish(&l, "a", "1", false);
    publish(&l, "b", "2", true);
    publish(&l, "a", "3", false);
    heard(&l, 1, "");
    heard(&l, 2, "a=1 b=2! a=3 ");
    heard(&l, 3, "a=1 b=2! a=3 ");
    end(&l);
}

Test(message, without_a_link_it_is_dropped_and_counted)
{
    struct listeners l = {0};
    listen(&l, 1);
    regions_kill(l.g, 2);
    regions_run(l.g, 15000);
    publish(&l, "a", "1", false);
    heard(&l, 3, "a=1 ");
    cr_expect_eq(regions_stats(l.g, 1, 2).messages_dropped, 1);
    cr_expect_eq(regions_stats(l.g, 1, 3).messages_dropped, 0);
    end(&l);
}

Test(message, what_does_not_fit_into_the_link_is_dropped)
{
    struct listeners l = {0};
    listen(&l, 1);
    char *big = mem_alloc((1u << 20) + 1);
    memset(big, 'x', 1u << 20);
    big[1u << 20] = 0;
    struct region *from = &l.g->at[1];
    for (unsigned i = 0; i < 32; i++)
        syncer_publish(from->syncers[0], 0,
                       &(struct syncer_message){.channel = bytes_str("c"), .text = bytes_str(big)});
    regions_do(l.g, 1, "time");
    regions_run(l.g, 5000);
    struct link_stats s = regions_stats(l.g, 1, 2);
    cr_expect_gt(s.messages_dropped, 0);
    cr_expect_eq(s.messages_dropped + s.messages_out, 32);
    cr_expect_eq(regions_stats(l.g, 2, 1).messages_in, s.messages_out);
    cr_expect(regions_agree(l.g, 5000), "%s", regions_describe(l.g));
    mem_free(big);
    end(&l);
}
