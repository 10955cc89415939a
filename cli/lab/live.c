/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "cli/https.h"
#include "cli/lab/backend.h"
#include "cli/pause.h"
#include "cli/resp_client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Stories against running regions: commands go to their databases, links are held through PUT
 * /v1/crdbs/{guid}/links of each cluster. A story's regions are the database's instances in the
 * order of their ids.
 */
#define SYNC_MAX_MS 30000u
#define DELIVER_MS 100u

struct live_region {
    uint32_t id;
    struct https_target rest;
    char host[256];
    uint16_t port;
    struct resp_client client;
};

struct live {
    struct backend backend;
    struct live_opts opts;
    struct live_region regions[SCENARIO_REGIONS_MAX + 1];
    unsigned count, used; /* instances; regions of the present story */
    bool cut[SCENARIO_REGIONS_MAX + 1][SCENARIO_REGIONS_MAX + 1];
    char xadd_ids[16]; /* the database's xadd_id_uniqueness, where a story set it */
};

static bool rest(const struct https_target *t, const char *method, const char *path,
                 const char *body, json_t **answer, char *why)
{
    struct https_answer a;
    bool ok = https_call(t, method, path, body, &a);
    if (!ok)
        snprintf(why, WHY_MAX, "%s", a.error);
    else if (a.status >= 300) {
        ok = false;
        snprintf(why, WHY_MAX, "%s %s answered %d: %.*s", method, path, a.status,
                 (int)(buf_len(&a.body) < 160 ? buf_len(&a.body) : 160),
                 (const char *)buf_bytes(&a.body).p);
    } else if (answer != NULL) {
        *answer = json_loadb((const char *)buf_bytes(&a.body).p, buf_len(&a.body), 0, NULL);
        ok = *answer != NULL;
        if (!ok)
            snprintf(why, WHY_MAX, "%s %s did not answer JSON", method, path);
    }
    https_answer_deinit(&a);
    return ok;
}

/* Holds or releases what region `to` pulls from region `from` (numbers of the story). */
static bool hold(struct live *l, unsigned to, unsigned from, bool paused, char *why)
{
    char path[160], body[96];
    snprintf(path, sizeof path, "/v1/crdbs/%s/links", l->opts.guid);
    snprintf(body, sizeof body, "{\"instance_id\": %u, \"paused\": %s}", l->regions[from].id,
             paused ? "true" : "false");
    return rest(&l->regions[to].rest, "PUT", path, body, NULL, why);
}

static bool hold_all(struct live *l, bool paused, bool also_cut, char *why)
{
    for (unsigned to = 1; to <= l->count; to++)
        for (unsigned from = 1; from <= l->count; from++)
            if (to != from && (paused || also_cut || !l->cut[to][from]) &&
                !hold(l, to, from, paused, why))
                return false;
    return true;
}

static bool ask(struct live_region *r, size_t argc, const struct bytes *argv, struct buf *reply,
                char *why)
{
    if (r->client.fd < 0 && !resp_client_open(&r->client, r->host, r->port)) {
        snprintf(why, WHY_MAX, "%s:%u does not accept connections", r->host, r->port);
        return false;
    }
    if (resp_client_call(&r->client, argc, argv, reply))
        return true;
    snprintf(why, WHY_MAX, "%s:%u closed the connection", r->host, r->port);
    return false;
}

/* What INFO crdt says of the content and of what has been seen: equal lines mean equal regions. */
static bool fingerprint(struct live_region *r, struct buf *out, char *why)
{
    static const char *const names[] = {"crdt_digest:", "crdt_context_hash:"};
    const struct bytes argv[] = {bytes_str("INFO"), bytes_str("crdt")};
    struct buf raw = {0};
    bool ok = ask(r, 2, argv, &raw, why);
    buf_put_u8(&raw, 0);
    buf_clear(out);
    for (size_t i = 0; ok && i < sizeof names / sizeof *names; i++) {
        const char *at = strstr((const char *)buf_bytes(&raw).p, names[i]);
        ok = at != NULL;
        if (ok)
            buf_put(out, at, strcspn(at, "\r\n"));
        else
            snprintf(why, WHY_MAX, "INFO crdt has no %s", names[i]);
    }
    buf_deinit(&raw);
    return ok;
}

static bool all_equal(struct live *l, bool *equal, char *why)
{
    struct buf first = {0}, other = {0};
    bool ok = fingerprint(&l->regions[1], &first, why);
    *equal = ok;
    for (unsigned r = 2; ok && r <= l->count; r++) {
        ok = fingerprint(&l->regions[r], &other, why);
        *equal &= ok && bytes_eq(buf_bytes(&first), buf_bytes(&other));
    }
    buf_deinit(&first);
    buf_deinit(&other);
    return ok;
}

static bool wait_equal(struct live *l, char *why)
{
    bool equal = false;
    for (unsigned ms = 0; ms < SYNC_MAX_MS; ms += 10) {
        if (!all_equal(l, &equal, why))
            return false;
        if (equal)
            return true;
        pause_ms(10);
    }
    snprintf(why, WHY_MAX, "the regions did not converge within %u s", SYNC_MAX_MS / 1000);
    return false;
}

static bool target(const struct live_opts *o, const char *url, struct https_target *out)
{
    *out = (struct https_target){0};
    snprintf(out->user, sizeof out->user, "%s", o->user);
    snprintf(out->password, sizeof out->password, "%s", o->password);
    return url != NULL && https_target_parse(url, out);
}

/* ---------------------------------------------------------------- the backend */

static bool live_can(struct backend *b, const struct scenario *s, char *why)
{
    const struct live *l = (const struct live *)b;
    if (s->regions > l->count) {
        snprintf(why, WHY_MAX, "it needs %u regions, the database has %u", s->regions, l->count);
        return false;
    }
    for (size_t i = 0; i < s->steps_n; i++) {
        enum step_kind k = s->steps[i].kind;
        if (k == STEP_CLOCK || k == STEP_TOGETHER || k == STEP_CRASH || k == STEP_RESTART) {
            snprintf(why, WHY_MAX, "clocks and processes of running regions are left alone");
            return false;
        }
    }
    return true;
}

/* Waits for the end of a task of the cluster that was asked. */
static bool task_wait(const struct https_target *t, const json_t *task, char *why)
{
    char path[160];
    const char *id = json_string_value(json_object_get(task, "id"));
    snprintf(path, sizeof path, "/v1/crdb_tasks/%s", id ? id : "");
    for (unsigned ms = 0; ms < SYNC_MAX_MS; ms += 50) {
        json_t *now = NULL;
        if (!rest(t, "GET", path, NULL, &now, why))
            return false;
        char status[32];
        const char *text = json_string_value(json_object_get(now, "status"));
        snprintf(status, sizeof status, "%s", text ? text : "");
        json_decref(now);
        if (strcmp(status, "finished") == 0)
            return true;
        if (strcmp(status, "queued") != 0 && strcmp(status, "started") != 0)
            break;
        pause_ms(50);
    }
    snprintf(why, WHY_MAX, "the setting could not be changed: see GET %s", path);
    return false;
}

/* "": the default. */
static bool set_xadd_ids(struct live *l, const char *value, char *why)
{
    struct https_target t;
    char path[160], body[128];
    json_t *task = NULL;
    if (strcmp(l->xadd_ids, value) == 0)
        return true;
    target(&l->opts, l->opts.url, &t);
    snprintf(path, sizeof path, "/v1/crdbs/%s", l->opts.guid);
    snprintf(body, sizeof body, "{\"default_db_config\": {\"xadd_id_uniqueness\": \"%s\"}}", value);
    bool ok = rest(&t, "PATCH", path, body, &task, why) && task_wait(&t, task, why);
    json_decref(task);
    if (ok)
        snprintf(l->xadd_ids, sizeof l->xadd_ids, "%s", value);
    return ok;
}

static bool live_begin(struct backend *b, const struct scenario *s, char *why)
{
    struct live *l = (struct live *)b;
    struct db_config settings;
    if (!lab_settings(s, &settings, why) || !set_xadd_ids(l, settings.xadd_id_uniqueness, why))
        return false;
    memset(l->cut, 0, sizeof l->cut);
    l->used = s->regions;
    const struct bytes flush[] = {bytes_str("FLUSHALL")};
    struct buf reply = {0};
    bool ok = hold_all(l, false, true, why) && wait_equal(l, why) &&
              ask(&l->regions[1], 1, flush, &reply, why) && wait_equal(l, why);
    buf_deinit(&reply);
    return ok && hold_all(l, true, true, why);
}

static void live_end(struct backend *b)
{
    struct live *l = (struct live *)b;
    char why[WHY_MAX];
    if (!set_xadd_ids(l, "", why))
        fprintf(stderr, "meridian lab: %s\n", why);
    if (!hold_all(l, false, true, why))
        fprintf(stderr, "meridian lab: links could not be released: %s\n", why);
}

static bool live_command(struct backend *b, unsigned region, size_t argc, const struct bytes *argv,
                         struct buf *reply, char *why)
{
    struct live *l = (struct live *)b;
    pause_ms(1); /* each command is at least a millisecond after the one before it */
    return ask(&l->regions[region], argc, argv, reply, why);
}

static bool live_sync(struct backend *b, char *why)
{
    struct live *l = (struct live *)b;
    bool any_cut = false, ok = hold_all(l, false, false, why);
    for (unsigned i = 1; i <= l->used; i++)
        for (unsigned j = 1; j <= l->used; j++)
            any_cut |= l->cut[i][j];
    if (any_cut && l->used == 2)
        pause_ms(500); /* nothing can travel; whatever there was has had its time */
    else
        ok = ok && wait_equal(l, why);
    return ok && hold_all(l, true, true, why);
}

static bool live_deliver(struct backend *b, unsigned from, unsigned to, char *why)
{
    struct live *l = (struct live *)b;
    if (!hold(l, to, from, false, why))
        return false;
    pause_ms(DELIVER_MS);
    return hold(l, to, from, true, why);
}

static bool live_link(struct backend *b, unsigned a, unsigned c, bool up, char *why)
{
    (void)why;
    struct live *l = (struct live *)b;
    l->cut[a][c] = l->cut[c][a] = !up;
    return true;
}

static bool live_wait(struct backend *b, int64_t ms, char *why)
{
    (void)b, (void)why;
    pause_ms(ms);
    return true;
}

static void live_free(struct backend *b)
{
    struct live *l = (struct live *)b;
    for (unsigned r = 1; r <= l->count; r++)
        resp_client_close(&l->regions[r].client);
    mem_free(l);
}

static const struct backend_ops live_ops = {
    .can = live_can,
    .begin = live_begin,
    .end = live_end,
    .command = live_command,
    .sync = live_sync,
    .deliver = live_deliver,
    .link = live_link,
    .wait = live_wait,
    .free = live_free,
};

/* ---------------------------------------------------------------- finding the regions */

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const struct live_region *)a)->id, y = ((const struct live_region *)b)->id;
    return x < y ? -1 : x > y;
}

static bool add_region(struct live *l, const json_t *in, char *why)
{
    if (l->count == SCENARIO_REGIONS_MAX)
        return true; /* stories have no more */
    struct live_region *r = &l->regions[++l->count];
    const json_t *end = json_object_get(in, "endpoint");
    const char *host = json_string_value(json_object_get(end, "host"));
    const char *url = json_string_value(json_object_get(json_object_get(in, "cluster"), "url"));
    r->client.fd = -1;
    r->id = (uint32_t)json_integer_value(json_object_get(in, "id"));
    r->port = (uint16_t)json_integer_value(json_object_get(end, "port"));
    snprintf(r->host, sizeof r->host, "%s", host ? host : "");
    if (host != NULL && r->port != 0 && target(&l->opts, url, &r->rest))
        return true;
    snprintf(why, WHY_MAX, "instance %u has no usable URL or endpoint", r->id);
    return false;
}

static bool find_regions(struct live *l, char *why)
{
    struct https_target t;
    char path[160];
    json_t *crdb = NULL, *in;
    size_t i;
    if (!target(&l->opts, l->opts.url, &t)) {
        snprintf(why, WHY_MAX, "--url %s: give https://HOST:PORT", l->opts.url);
        return false;
    }
    snprintf(path, sizeof path, "/v1/crdbs/%s", l->opts.guid);
    bool ok = rest(&t, "GET", path, NULL, &crdb, why);
    const json_t *list = ok ? json_object_get(crdb, "instances") : NULL;
    json_array_foreach(list, i, in) ok = ok && add_region(l, in, why);
    json_decref(crdb);
    qsort(&l->regions[1], l->count, sizeof l->regions[0], by_id);
    return ok;
}

struct backend *live_new(const struct live_opts *o)
{
    struct live *l = mem_zalloc(sizeof *l);
    char why[WHY_MAX];
    l->backend.ops = &live_ops;
    l->opts = *o;
    if (find_regions(l, why))
        return &l->backend;
    fprintf(stderr, "meridian lab: %s\n", why);
    live_free(&l->backend);
    return NULL;
}
