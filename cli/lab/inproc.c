/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "cli/lab/backend.h"
#include "sim/deploy.h"

#include <stdio.h>

/*
 * Stories in one process: the virtual world with one worker and one shard a region. Nothing travels
 * between regions but at sync and deliver: every region's pulls are paused otherwise. Each command
 * is one millisecond after the one before it.
 */
#define MS UINT64_C(1000)
#define SYNC_MAX_MS 60000u /* a sync that needs longer has failed */
#define DELIVER_MS                                                                                 \
    100u /* shorter than the 200 ms after which a region asks others for what it lacks */
#define REPLY_MAX_MS 10000u

struct inproc {
    struct backend backend;
    uint64_t seed;
    bool verbose;
    struct world *world;
    struct driver *driver;
    struct deploy *deploy;
    unsigned regions;
    struct vconn *conns[SCENARIO_REGIONS_MAX + 1];
    struct buf replies[SCENARIO_REGIONS_MAX + 1];
    bool answered[SCENARIO_REGIONS_MAX + 1];
    size_t reply_len[SCENARIO_REGIONS_MAX + 1];
    bool cut[SCENARIO_REGIONS_MAX + 1][SCENARIO_REGIONS_MAX + 1];
    struct client_arg {
        struct inproc *lab;
        unsigned region;
    } args[SCENARIO_REGIONS_MAX + 1];
};

static void log_line(void *arg, const char *host, char level, const char *line)
{
    (void)arg;
    fprintf(stderr, "  %s %c %s\n", host, level, line);
}

static void client_event(struct vconn *c, enum vconn_event what, struct buf *in, void *arg)
{
    (void)c;
    struct client_arg *a = arg;
    struct inproc *lab = a->lab;
    if (what == VCONN_CLOSED)
        lab->conns[a->region] = NULL;
    struct resp_reply r;
    size_t used;
    if (what != VCONN_DATA || resp_reply_read(buf_bytes(in), &r, &used) != RESP_REPLY_OK)
        return;
    resp_reply_deinit(&r);
    buf_put(&lab->replies[a->region], buf_bytes(in).p, used);
    buf_consume(in, used);
    lab->answered[a->region] = true;
}

static void run_ms(struct inproc *lab, uint64_t ms)
{
    world_run(lab->world, world_now_us(lab->world) + ms * MS);
}

/* Lets the world run until the control channels have answered everything. */
static bool settle(struct inproc *lab, char *why)
{
    for (unsigned i = 0; i < 5000 && !deploy_settled(lab->deploy); i++)
        run_ms(lab, 1);
    if (deploy_error(lab->deploy)[0] != 0) {
        snprintf(why, WHY_MAX, "%s", deploy_error(lab->deploy));
        return false;
    }
    if (!deploy_settled(lab->deploy)) {
        snprintf(why, WHY_MAX, "a region does not answer its configuration");
        return false;
    }
    return true;
}

static bool connect_region(struct inproc *lab, unsigned r, char *why)
{
    if (lab->conns[r] != NULL)
        return true;
    if (!deploy_running(lab->deploy, r)) {
        snprintf(why, WHY_MAX, "the region is down");
        return false;
    }
    char name[32];
    snprintf(name, sizeof name, "%u", r);
    lab->args[r] = (struct client_arg){.lab = lab, .region = r};
    lab->conns[r] = driver_dial(lab->driver, name, DEPLOY_PORT, client_event, &lab->args[r]);
    return true;
}

static bool inproc_command(struct backend *b, unsigned region, size_t argc,
                           const struct bytes *argv, struct buf *reply, char *why)
{
    struct inproc *lab = (struct inproc *)b;
    run_ms(lab, 1);
    if (!connect_region(lab, region, why))
        return false;
    struct buf out = {0};
    resp_request_put(&out, argc, argv);
    lab->answered[region] = false;
    buf_clear(&lab->replies[region]);
    vconn_send(lab->conns[region], buf_bytes(&out));
    buf_deinit(&out);
    uint64_t until = world_now_us(lab->world) + REPLY_MAX_MS * MS;
    while (!lab->answered[region] && lab->conns[region] != NULL && world_step(lab->world, until))
        continue;
    if (!lab->answered[region]) {
        snprintf(why, WHY_MAX, "no answer within %u s", REPLY_MAX_MS / 1000);
        return false;
    }
    buf_put_bytes(reply, buf_bytes(&lab->replies[region]));
    return true;
}

static void pause_all(struct inproc *lab, bool paused)
{
    for (unsigned r = 1; r <= lab->regions; r++)
        for (unsigned from = 1; from <= lab->regions; from++)
            if (r != from && deploy_running(lab->deploy, r))
                deploy_pause(lab->deploy, r, from, paused);
}

static bool inproc_sync(struct backend *b, char *why)
{
    struct inproc *lab = (struct inproc *)b;
    pause_all(lab, false);
    if (!settle(lab, why))
        return false;
    bool any_cut = false;
    for (unsigned r = 1; r <= lab->regions; r++)
        for (unsigned q = 1; q <= lab->regions; q++)
            any_cut |= lab->cut[r][q];
    bool done = false;
    for (unsigned ms = 0; ms < SYNC_MAX_MS && !(done = deploy_converged(lab->deploy)); ms++)
        run_ms(lab, 1);
    if (!done && !any_cut) {
        snprintf(why, WHY_MAX, "the regions did not converge within %u s", SYNC_MAX_MS / 1000);
        return false;
    }
    pause_all(lab, true);
    return settle(lab, why);
}

static bool inproc_deliver(struct backend *b, unsigned from, unsigned to, char *why)
{
    struct inproc *lab = (struct inproc *)b;
    deploy_pause(lab->deploy, to, from, false);
    run_ms(lab, DELIVER_MS);
    deploy_pause(lab->deploy, to, from, true);
    return settle(lab, why);
}

static bool inproc_link(struct backend *b, unsigned a, unsigned c, bool up, char *why)
{
    (void)why;
    struct inproc *lab = (struct inproc *)b;
    lab->cut[a][c] = lab->cut[c][a] = !up;
    uint32_t x = deploy_host(lab->deploy, a), y = deploy_host(lab->deploy, c);
    struct world_link l = world_link_get(lab->world, x, y);
    l.cut = !up;
    world_link(lab->world, x, y, l);
    world_link(lab->world, y, x, l);
    return true;
}

static bool inproc_clock(struct backend *b, unsigned region, int64_t ms, char *why)
{
    (void)why;
    struct inproc *lab = (struct inproc *)b;
    world_clock_shift(lab->world, deploy_host(lab->deploy, region), ms);
    return true;
}

static bool inproc_wait(struct backend *b, int64_t ms, char *why)
{
    (void)why;
    run_ms((struct inproc *)b, (uint64_t)ms);
    return true;
}

static bool inproc_together(struct backend *b, bool on, char *why)
{
    (void)why;
    world_clock_freeze(((struct inproc *)b)->world, on);
    return true;
}

static bool inproc_crash(struct backend *b, unsigned region, char *why)
{
    struct inproc *lab = (struct inproc *)b;
    if (!deploy_running(lab->deploy, region)) {
        snprintf(why, WHY_MAX, "the region is down already");
        return false;
    }
    deploy_crash(lab->deploy, region, false);
    run_ms(lab, 10);
    return true;
}

static bool inproc_restart(struct backend *b, unsigned region, char *why)
{
    struct inproc *lab = (struct inproc *)b;
    if (deploy_running(lab->deploy, region)) {
        snprintf(why, WHY_MAX, "the region is running: 'crash' comes first");
        return false;
    }
    deploy_start(lab->deploy, region);
    return settle(lab, why);
}

static void inproc_end(struct backend *b)
{
    struct inproc *lab = (struct inproc *)b;
    deploy_free(lab->deploy);
    world_free(lab->world);
    lab->deploy = NULL;
    lab->world = NULL;
    for (unsigned r = 0; r <= SCENARIO_REGIONS_MAX; r++) {
        lab->conns[r] = NULL;
        buf_clear(&lab->replies[r]);
        for (unsigned q = 0; q <= SCENARIO_REGIONS_MAX; q++)
            lab->cut[r][q] = false;
    }
}

static bool inproc_begin(struct backend *b, const struct scenario *s, char *why)
{
    static const char *const hosts[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8"};
    struct inproc *lab = (struct inproc *)b;
    struct db_config settings;
    if (!lab_settings(s, &settings, why))
        return false;
    struct world_opts wo = {
        .seed = lab->seed, .latency_us = 100, .log = lab->verbose ? log_line : NULL};
    lab->world = world_new(&wo);
    lab->driver = driver_new(lab->world, "lab");
    lab->regions = s->regions;
    struct deploy_opts o = {.regions = s->regions,
                            .partitions = 16,
                            .seed = lab->seed,
                            .paused = UINT64_MAX,
                            .xadd_ids = (uint32_t)db_config_xadd_ids(&settings)};
    for (unsigned r = 1; r <= s->regions; r++) {
        o.names[r] = hosts[r];
        o.workers[r] = o.shards[r] = 1;
    }
    lab->deploy = deploy_new(lab->world, lab->driver, &o);
    for (unsigned r = 1; r <= s->regions; r++)
        deploy_start(lab->deploy, r);
    bool ok = settle(lab, why);
    run_ms(lab, 100);
    return ok;
}

static void inproc_free(struct backend *b)
{
    struct inproc *lab = (struct inproc *)b;
    for (unsigned r = 0; r <= SCENARIO_REGIONS_MAX; r++)
        buf_deinit(&lab->replies[r]);
    mem_free(lab);
}

static const struct backend_ops inproc_ops = {
    .begin = inproc_begin,
    .end = inproc_end,
    .command = inproc_command,
    .sync = inproc_sync,
    .deliver = inproc_deliver,
    .link = inproc_link,
    .clock = inproc_clock,
    .wait = inproc_wait,
    .together = inproc_together,
    .crash = inproc_crash,
    .restart = inproc_restart,
    .free = inproc_free,
};

struct backend *inproc_new(uint64_t seed, bool verbose)
{
    struct inproc *lab = mem_zalloc(sizeof *lab);
    lab->backend.ops = &inproc_ops;
    lab->seed = seed;
    lab->verbose = verbose;
    return &lab->backend;
}
