/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/world.h"

#include <criterion/criterion.h>

/* A machine that listens (server) or dials and sends (client), and notes what it sees. */
struct probe {
    bool server;
    struct buf got;
    unsigned opens, closes, turns, timers;
    enum err last_err;
    uint64_t deadline_us;
    size_t to_send;
};

static void probe_step(void *self, struct port *port, const struct event *ev)
{
    struct probe *p = self;
    switch (ev->kind) {
    case EV_START:
        if (p->server)
            port->ops->listen(port, &(struct listen_opts){.host = "0.0.0.0", .port = 7000});
        else
            port->ops->dial(
                port, &(struct dial_opts){.host = "server", .port = 7000, .timeout_ms = 1000});
        break;
    case EV_OPEN:
        p->opens++;
        for (size_t i = 0; i < p->to_send; i++)
            buf_put_u8(port->ops->out(port, ev->conn), (uint8_t)(i * 31));
        break;
    case EV_DATA:
        buf_put_bytes(&p->got, ev->data);
        if (p->server)
            buf_put_bytes(port->ops->out(port, ev->conn), ev->data);
        break;
    case EV_CLOSED:
        p->closes++;
        p->last_err = ev->err;
        break;
    case EV_TIMER:
        p->timers++;
        p->deadline_us = UINT64_MAX;
        break;
    case EV_TURN:
        p->turns++;
        break;
    default:
        break;
    }
}

static uint64_t probe_deadline(void *self) { return ((struct probe *)self)->deadline_us; }

struct pair {
    struct world *w;
    struct probe server, client;
    uint32_t sh, ch;
};

static void pair_init(struct pair *p, uint64_t seed, size_t to_send)
{
    *p = (struct pair){.server = {.server = true, .deadline_us = UINT64_MAX},
                       .client = {.to_send = to_send, .deadline_us = UINT64_MAX}};
    p->w = world_new(
        &(struct world_opts){.seed = seed, .latency_us = 1000, .jitter_us = 500, .split = true});
    p->sh = world_host(p->w, "server");
    p->ch = world_host(p->w, "client");
    world_machine(p->w, p->sh, 1, (struct machine){&p->server, probe_step, probe_deadline}, NULL);
    world_machine(p->w, p->ch, 1, (struct machine){&p->client, probe_step, probe_deadline}, NULL);
}

static void pair_deinit(struct pair *p)
{
    world_free(p->w);
    buf_deinit(&p->server.got);
    buf_deinit(&p->client.got);
}

static void run_for(struct pair *p, uint64_t us) { world_run(p->w, world_now_us(p->w) + us); }

Test(world, bytes_arrive_whole_and_in_order_however_they_are_split)
{
    struct pair p;
    pair_init(&p, 3, 3000000);
    run_for(&p, 10000000);
    cr_assert_eq(buf_len(&p.client.got), 3000000u);
    for (size_t i = 0; i < 3000000; i++)
        cr_assert_eq(buf_bytes(&p.client.got).p[i], (uint8_t)(i * 31));
    cr_assert_gt(p.server.turns, 0u);
    pair_deinit(&p);
}

Test(world, one_seed_is_one_history)
{
    struct pair a, b, c;
    pair_init(&a, 5, 200000);
    pair_init(&b, 5, 200000);
    pair_init(&c, 6, 200000);
    run_for(&a, 3000000);
    run_for(&b, 3000000);
    run_for(&c, 3000000);
    cr_assert_eq(world_hash(a.w), world_hash(b.w));
    cr_assert_neq(world_hash(a.w), world_hash(c.w));
    pair_deinit(&a);
    pair_deinit(&b);
    pair_deinit(&c);
}

Test(world, a_cut_holds_bytes_until_it_heals)
{
    struct pair p;
    pair_init(&p, 7, 1000);
    run_for(&p, 1500); /* the dial has arrived */
    world_link(p.w, p.ch, p.sh, (struct world_link){.cut = true, .latency_us = 1000});
    run_for(&p, 900000);
    cr_assert_eq(buf_len(&p.server.got), 0u);
    world_link(p.w, p.ch, p.sh, (struct world_link){.latency_us = 1000});
    run_for(&p, 1000000);
    cr_assert_eq(buf_len(&p.client.got), 1000u);
    pair_deinit(&p);
}

Test(world, dials_fail_as_in_life)
{
    struct pair p;
    pair_init(&p, 8, 0);
    world_link(p.w, p.ch, p.sh, (struct world_link){.cut = true});
    run_for(&p, 3000000);
    cr_assert_eq(p.client.closes, 1u);
    cr_assert_eq(p.client.last_err, ERR_TIMEOUT);
    pair_deinit(&p);
    pair_init(&p, 8, 0);
    world_kill(p.w, p.sh, false);
    run_for(&p, 3000000);
    cr_assert_eq(p.client.last_err, ERR_REFUSED);
    pair_deinit(&p);
}

Test(world, death_resets_the_peer_or_is_silent)
{
    for (int silent = 0; silent < 2; silent++) {
        struct pair p;
        pair_init(&p, 9, 10);
        run_for(&p, 100000);
        cr_assert_eq(p.client.opens, 1u);
        world_kill(p.w, p.sh, silent);
        run_for(&p, 100000);
        cr_assert_eq(p.client.closes, silent ? 0u : 1u);
        pair_deinit(&p);
    }
}

Test(world, clocks_shift_drift_and_freeze_but_timers_do_not)
{
    struct pair p;
    pair_init(&p, 10, 0);
    run_for(&p, 1000000);
    int64_t before = world_wall_ms(p.w, p.ch);
    world_clock_shift(p.w, p.ch, -5000);
    cr_assert_eq(world_wall_ms(p.w, p.ch), before - 5000);
    world_clock_drift(p.w, p.ch, 1000);
    cr_assert_eq(world_wall_ms(p.w, p.ch), before - 5000);
    world_clock_freeze(p.w, true);
    int64_t frozen = world_wall_ms(p.w, p.sh);
    p.server.deadline_us = world_now_us(p.w) + 300000;
    world_reset(p.w, p.sh, p.ch); /* any event makes the world ask for the deadline */
    run_for(&p, 1000000);
    cr_assert_eq(p.server.timers, 1u);
    cr_assert_eq(world_wall_ms(p.w, p.sh), frozen);
    pair_deinit(&p);
}
