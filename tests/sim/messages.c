/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

#include <stdio.h>

/*
 * In each region one client publishes and one subscribes, to the same channel. A subscriber hears
 * only what was published, from each publisher's connection in order, and nothing twice; when all
 * is quiet it hears everybody.
 *
 * A message reads REGION.CONNECTION.SERIAL: a connection that dies leaves it open what becomes of
 * its last message.
 */
#define EVERY_US 40000u
#define GIVE_UP_US 4000000u
#define CHANNEL "wire"

static void put_request(struct vconn *c, unsigned n, const char *const *words)
{
    struct bytes argv[3];
    struct buf out = {0};
    for (unsigned i = 0; i < n; i++)
        argv[i] = bytes_str(words[i]);
    resp_request_put(&out, n, argv);
    vconn_send(c, buf_bytes(&out));
    buf_deinit(&out);
}

static void hear(struct listener *l, struct bytes text)
{
    struct run *r = l->run;
    char copy[64];
    unsigned g = 0, connection = 0, serial = 0;
    snprintf(copy, sizeof copy, "%.*s", (int)text.n, (const char *)text.p);
    if (sscanf(copy, "%u.%u.%u", &g, &connection, &serial) != 3 || g < 1 || g > r->plan.regions ||
        connection >= SPEAKER_LIVES || serial > r->speakers[g].serials[connection]) {
        fail(r, "region %u heard '%s', which nobody published", l->region, copy);
        return;
    }
    unsigned *last = &l->heard[g][connection];
    if (serial <= *last)
        fail(r, "region %u heard '%s' after serial %u", l->region, copy, *last);
    *last = serial;
}

static void listener_event(struct vconn *conn, enum vconn_event what, struct buf *in, void *arg)
{
    struct listener *l = arg;
    struct resp_reply reply;
    size_t used;
    (void)conn;
    if (what == VCONN_CLOSED) {
        l->conn = NULL;
        return;
    }
    if (what == VCONN_OPEN) {
        const char *const words[] = {"subscribe", CHANNEL};
        put_request(l->conn, 2, words);
    }
    while (what == VCONN_DATA && resp_reply_read(buf_bytes(in), &reply, &used) == RESP_REPLY_OK) {
        if (reply.n == 3 && bytes_is(reply.items[0].text, "message"))
            hear(l, reply.items[2].text);
        resp_reply_deinit(&reply);
        buf_consume(in, used);
    }
}

static void speaker_event(struct vconn *conn, enum vconn_event what, struct buf *in, void *arg)
{
    struct speaker *s = arg;
    struct resp_reply reply;
    size_t used;
    (void)conn;
    if (what == VCONN_CLOSED) {
        s->conn = NULL;
        return;
    }
    while (what == VCONN_DATA && resp_reply_read(buf_bytes(in), &reply, &used) == RESP_REPLY_OK) {
        s->waiting = false;
        resp_reply_deinit(&reply);
        buf_consume(in, used);
    }
}

static void speak(struct speaker *s)
{
    char text[64];
    const char *const words[] = {"publish", CHANNEL, text};
    snprintf(text, sizeof text, "%u.%u.%u", s->region, s->lives - 1, ++s->serials[s->lives - 1]);
    s->waiting = true;
    s->sent_us = world_now_us(s->run->world);
    put_request(s->conn, 3, words);
}

static void dial(struct run *r, unsigned region)
{
    struct speaker *s = &r->speakers[region];
    struct listener *l = &r->listeners[region];
    char name[8];
    snprintf(name, sizeof name, "r%u", region);
    if (s->conn == NULL && s->lives < SPEAKER_LIVES) {
        s->lives++;
        s->waiting = false;
        s->conn = driver_dial(r->driver, name, DEPLOY_PORT, speaker_event, s);
    }
    if (l->conn == NULL) {
        memset(l->heard, 0, sizeof l->heard);
        l->conn = driver_dial(r->driver, name, DEPLOY_PORT, listener_event, l);
    }
}

static bool takes_part(const struct run *r, unsigned region)
{
    return deploy_running(r->deploy, region) && deploy_members_now(r->deploy) >> region & 1;
}

void messages_start(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        r->speakers[g] = (struct speaker){.run = r, .region = g};
        r->listeners[g] = (struct listener){.run = r, .region = g};
    }
}

void messages_tick(struct run *r)
{
    uint64_t now = world_now_us(r->world);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        struct speaker *s = &r->speakers[g];
        if (!takes_part(r, g))
            continue;
        dial(r, g);
        if (s->conn != NULL && s->waiting && now > s->sent_us + GIVE_UP_US) {
            vconn_close(s->conn);
            s->conn = NULL;
        }
        if (s->conn != NULL && !s->waiting && now >= s->sent_us + EVERY_US && !r->calm)
            speak(s);
    }
}

void messages_forget(struct run *r, unsigned region)
{
    struct speaker *s = &r->speakers[region];
    struct listener *l = &r->listeners[region];
    if (s->conn != NULL)
        vconn_close(s->conn);
    if (l->conn != NULL)
        vconn_close(l->conn);
    s->conn = l->conn = NULL;
}

/* Does every region take from every other? A message finds no way where a link is being dialled
 * anew, which may take some seconds after the faults. */
static bool all_linked(const struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        struct worker_shard s[64];
        struct link_stats links[REGION_MAX + 1];
        struct moment now = {.mono_us = world_now_us(r->world),
                             .wall_ms = world_wall_ms(r->world, deploy_host(r->deploy, g))};
        unsigned n = takes_part(r, g) ? deploy_shards(r->deploy, g, s, 64) : 0;
        for (unsigned i = 0; i < n; i++) {
            unsigned m = s[i].syncer ? syncer_stats(s[i].syncer, links, REGION_MAX + 1, now) : 0;
            for (unsigned k = 0; k < m; k++)
                if (takes_part(r, links[k].region) && links[k].state != LINK_UP)
                    return false;
        }
    }
    return true;
}

void messages_check(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++) /* a fault may have cut them unnoticed */
        messages_forget(r, g);
    /* All are connected, and have been answered. */
    for (unsigned i = 0; i < 20 || (i < 100 && !all_linked(r)); i++) {
        messages_tick(r);
        world_run(r->world, world_now_us(r->world) + 100000);
    }
    for (unsigned g = 1; g <= r->plan.regions; g++)
        if (takes_part(r, g) && r->speakers[g].conn != NULL)
            speak(&r->speakers[g]);
    world_run(r->world, world_now_us(r->world) + 3000000);
    for (unsigned g = 1; g <= r->plan.regions; g++) {
        for (unsigned from = 1; from <= r->plan.regions; from++) {
            const struct speaker *s = &r->speakers[from];
            if (!takes_part(r, g) || !takes_part(r, from) || s->conn == NULL)
                continue;
            if (r->listeners[g].heard[from][s->lives - 1] != s->serials[s->lives - 1])
                fail(r, "region %u did not hear region %u's last message", g, from);
        }
    }
}
