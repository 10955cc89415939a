/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/task_run.h"

#include "base/mem.h"
#include "manager/core.h"

#include <stdio.h>

#define AGAIN_US 1000000u
#define ABORT_TIMEOUT_MS 3000u

/* A question under way. Task and member are found again by name: the task may be gone when the
 * answer comes. */
struct question {
    struct manager *m;
    char task[40];
    uint32_t member;
};

static void add_error(struct task *t, const char *cluster, const char *code, const char *text)
{
    if (t->errors_count >= sizeof t->errors / sizeof t->errors[0])
        return;
    struct task_error *e = &t->errors[t->errors_count++];
    snprintf(e->cluster, sizeof e->cluster, "%s", cluster);
    snprintf(e->code, sizeof e->code, "%s", code);
    snprintf(e->description, sizeof e->description, "%s", text);
}

static void end(struct manager *m, struct task *t)
{
    t->status = t->errors_count > 0 ? TASK_FAILED : TASK_FINISHED;
    t->ended_s = m->now.wall_ms / 1000;
    port_log(m->port, t->errors_count ? 'W' : 'I', "task %s (%s) %s%s%s", t->id,
             task_op_name(t->op), task_status_name(t->status), t->errors_count ? ": " : "",
             t->errors_count ? t->errors[0].description : "");
}

/* ------------------------------------------------------------ phases */

/*
 * Who is spoken to at which moment of a phase: members of a lower rank have all answered before the
 * next is asked. A commit goes to the others first, then here (so that what is converted here can
 * still be left as it was), last to those who leave. A removal ends here, so that it can be
 * repeated from here.
 */
static unsigned rank(const struct task *t, const struct task_member *x)
{
    if (t->phase == CRDB_COMMIT)
        return x->leaves ? 2 : x->local ? 1 : 0;
    if (t->phase == CRDB_REMOVE)
        return x->local ? 1 : 0;
    return 0;
}

static bool takes_part(const struct task *t, const struct task_member *x)
{
    if (x->skipped)
        return false;
    if (t->phase == CRDB_COMPLETE)
        return !x->leaves;
    return true;
}

static void begin(struct manager *m, struct task *t, enum crdb_phase phase)
{
    enum crdb_phase before = (enum crdb_phase)t->phase;
    t->phase = phase;
    for (uint32_t i = 0; i < t->members_count; i++) {
        struct task_member *x = &t->members[i];
        /* Who refused to prepare has nothing to abort. */
        bool refused = phase == CRDB_ABORT && before == CRDB_PREPARE && x->state == MEMBER_FAILED &&
                       !x->unsure;
        x->state = takes_part(t, x) && !refused ? MEMBER_IDLE : MEMBER_OK;
        x->tries = 0;
        x->again_us = 0;
        x->unsure = false;
    }
    task_advance(m, t);
}

/* All have answered as they should. */
static void next_phase(struct manager *m, struct task *t)
{
    if (t->phase == CRDB_PREPARE)
        begin(m, t, CRDB_COMMIT);
    else if (t->phase == CRDB_COMMIT)
        begin(m, t, CRDB_COMPLETE);
    else if (t->phase == CRDB_PROBE)
        begin(m, t, CRDB_REMOVE);
    else
        end(m, t);
}

/* Somebody has failed, and nobody's answer is awaited any more. */
static void failed(struct manager *m, struct task *t)
{
    if (t->phase == CRDB_PREPARE || (t->phase == CRDB_COMMIT && t->op == TASK_CREATE))
        begin(m, t, CRDB_ABORT);
    else
        end(m, t);
}

static bool repeats(const struct task *t)
{
    return t->phase == CRDB_COMMIT || t->phase == CRDB_REMOVE;
}

/* The answer of one member. `why` NULL: as it should be. */
static void answered(struct manager *m, struct task *t, struct task_member *x,
                     const struct refusal *why, bool unsure)
{
    char text[640];
    if (why == NULL) {
        x->state = MEMBER_OK;
        task_advance(m, t);
        return;
    }
    x->unsure = unsure;
    if (repeats(t) && ++x->tries < TASK_COMMIT_TRIES && (unsure || why->status >= 500)) {
        x->state = MEMBER_IDLE;
        x->again_us = m->now.mono_us + AGAIN_US;
        return;
    }
    x->state = MEMBER_FAILED;
    /* What goes wrong while undoing or tidying up does not change the outcome: prepared instances
     * expire. */
    if (t->phase != CRDB_ABORT && t->phase != CRDB_COMPLETE) {
        snprintf(text, sizeof text, "cluster %s (%.100s): %s%s", x->instance.cluster,
                 x->instance.url, why->message,
                 t->phase == CRDB_COMMIT && t->op == TASK_UPDATE
                     ? "; it is behind: repeat with force_update when it can be reached"
                     : "");
        add_error(t, x->instance.cluster, why->code, text);
    }
    task_advance(m, t);
}

/* ------------------------------------------------------------ asking */

static struct task *asked(struct question *q, struct task_member **x)
{
    /* A manager that goes away does not undo what it began: others forget it by themselves. */
    struct task *t = q->m->cut ? NULL : task_find(q->m, q->task);
    *x = t != NULL ? &t->members[q->member] : NULL;
    mem_free(q);
    return t != NULL && t->status == TASK_STARTED && (*x)->state == MEMBER_ASKED ? t : NULL;
}

/* Where the member's database is reached goes into the configuration that is committed. */
static void keep_endpoint(struct task *t, const struct task_member *x, const char *host,
                          uint16_t port)
{
    struct instance *in = crdb_config_instance(&t->config, x->instance.id);
    if (t->phase != CRDB_PREPARE || in == NULL)
        return;
    snprintf(in->host, sizeof in->host, "%s", host);
    in->port = port;
}

static void local_answer(void *arg, const struct refusal *why, uint32_t uid)
{
    struct question *q = arg;
    struct manager *m = q->m;
    struct task_member *x;
    struct task *t = asked(q, &x);
    char host[256];
    uint16_t port;
    (void)uid;
    if (t == NULL)
        return;
    if (why == NULL && crdb_endpoint(m, t->guid, host, &port))
        keep_endpoint(t, x, host, port);
    answered(m, t, x, why, false);
}

static void remote_refused(struct refusal *why, int status, json_t *body)
{
    const char *code = json_string_value(json_object_get(body, "error_code"));
    const char *text = json_string_value(json_object_get(body, "message"));
    if (status == 401)
        refuse(why, 401, "wrong_credentials", "it refuses the user name and password given for it");
    else if (status == 404 && text == NULL)
        refuse(why, 404, "not_a_cluster", "its URL is not the REST API of a cluster");
    else
        refuse(why, status, code ? code : "http_error", "%s%.300s",
               text ? "" : "it answered with an HTTP error ", text ? text : "");
    if (text == NULL && status != 401 && status != 404)
        snprintf(why->message, sizeof why->message, "it answered with HTTP status %d", status);
}

static void remote_answer(void *arg, int status, json_t *body, const char *error)
{
    struct question *q = arg;
    struct manager *m = q->m;
    struct task_member *x;
    struct task *t = asked(q, &x);
    struct refusal why = {0};
    if (t == NULL)
        return;
    if (status == 200) {
        const char *host = json_string_value(json_object_get(body, "host"));
        json_int_t port = json_integer_value(json_object_get(body, "port"));
        if (t->phase == CRDB_PREPARE && (host == NULL || port < 0 || port > 65535))
            refuse(&why, 502, "invalid_answer", "its answer is malformed");
        else if (t->phase == CRDB_PREPARE)
            keep_endpoint(t, x, host, (uint16_t)port);
    } else if (status == 0) {
        refuse(&why, 503, "unreachable", "out of reach: %s", error);
    } else {
        remote_refused(&why, status, body);
    }
    answered(m, t, x, why.status ? &why : NULL, status == 0);
}

static void ask_remote(struct manager *m, const struct task *t, const struct task_member *x,
                       const struct crdb_message *msg, struct question *q)
{
    struct peer_call call = {.method = "POST",
                             .path = "/v1/crdbs/instances",
                             .username = x->instance.username,
                             .password = x->instance.password,
                             .timeout_ms = t->phase == CRDB_ABORT ? ABORT_TIMEOUT_MS : 0};
    json_t *body = crdb_message_write(msg);
    call.body = body;
    if (peer_url_parse(x->instance.url, &call.url))
        peer_client_call(m->peers, &call, remote_answer, q);
    else
        remote_answer(q, 0, NULL, "its URL is malformed");
    json_decref(body);
}

static void ask(struct manager *m, struct task *t, uint32_t i)
{
    struct task_member *x = &t->members[i];
    struct crdb_message *msg = mem_zalloc(sizeof *msg);
    struct question *q = mem_zalloc(sizeof *q);
    *q = (struct question){.m = m, .member = i};
    snprintf(q->task, sizeof q->task, "%s", t->id);
    *msg = (struct crdb_message){.phase = (enum crdb_phase)t->phase,
                                 .version = t->config.version,
                                 .instance_id = x->instance.id,
                                 .db_uid = x->local ? t->db_uid : 0,
                                 .joining = t->op == TASK_UPDATE || (t->db_uid != 0 && !x->local)};
    snprintf(msg->guid, sizeof msg->guid, "%s", t->guid);
    snprintf(msg->cluster, sizeof msg->cluster, "%s", x->instance.cluster);
    crdb_config_copy(&msg->config, &t->config);
    x->state = MEMBER_ASKED;
    if (x->local)
        crdb_participate(m, msg, (struct done){.fn = local_answer, .arg = q});
    else
        ask_remote(m, t, x, msg, q);
    crdb_config_deinit(&msg->config);
    mem_free(msg);
}

/* The lowest rank that is not through yet, and whether it waits for answers or has failed. */
struct standing {
    unsigned rank;
    bool open, failed, asked;
};

static struct standing stand(const struct task *t)
{
    struct standing s = {.rank = UINT32_MAX};
    for (uint32_t i = 0; i < t->members_count; i++) {
        const struct task_member *x = &t->members[i];
        s.failed |= x->state == MEMBER_FAILED;
        s.asked |= x->state == MEMBER_ASKED;
        if (x->state == MEMBER_IDLE || x->state == MEMBER_ASKED) {
            s.open = true;
            s.rank = rank(t, x) < s.rank ? rank(t, x) : s.rank;
        }
    }
    return s;
}

void task_advance(struct manager *m, struct task *t)
{
    struct standing s;
    if (t->advancing) { /* an answer came at once: the loop below sees it */
        return;
    }
    t->advancing = true;
    for (uint32_t i = 0; s = stand(t), i < t->members_count; i++) {
        struct task_member *x = &t->members[i];
        bool tolerant = t->phase == CRDB_ABORT || t->phase == CRDB_COMPLETE;
        if (x->state == MEMBER_IDLE && rank(t, x) == s.rank && (!s.failed || tolerant) &&
            m->now.mono_us >= x->again_us) {
            ask(m, t, i);
            i = UINT32_MAX; /* ranks may have moved on: look again from the first */
        }
    }
    t->advancing = false;
    bool tolerant = t->phase == CRDB_ABORT || t->phase == CRDB_COMPLETE;
    if (s.asked || (s.open && (!s.failed || tolerant)))
        return;
    if (s.failed && !tolerant)
        failed(m, t);
    else
        next_phase(m, t);
}

/* ------------------------------------------------------------ here alone */

static void local_only(void *arg, const struct refusal *why, uint32_t uid)
{
    struct question *q = arg;
    struct task *t = task_find(q->m, q->task);
    (void)uid;
    if (t != NULL && why != NULL)
        add_error(t, q->m->cluster.name, why->code, why->message);
    if (t != NULL)
        end(q->m, t);
    mem_free(q);
}

static void start_local(struct manager *m, struct task *t)
{
    struct question *q = mem_zalloc(sizeof *q);
    const struct crdb *r = cluster_crdb(&m->cluster, t->guid);
    struct done done = {.fn = local_only, .arg = q};
    struct refusal why = {0};
    q->m = m;
    snprintf(q->task, sizeof q->task, "%s", t->id);
    if (r == NULL) {
        refuse(&why, 404, "crdb_not_found", "the database is gone");
        local_only(q, &why, 0);
    } else if (t->op == TASK_FLUSH) {
        bdb_flush(m, r->bdb_uid, done);
    } else {
        struct crdb_message msg = {.phase = CRDB_REMOVE, .instance_id = r->instance_id};
        snprintf(msg.guid, sizeof msg.guid, "%s", t->guid);
        snprintf(msg.cluster, sizeof msg.cluster, "%s", m->cluster.name);
        crdb_participate(m, &msg, done);
    }
}

void task_start(struct manager *m, struct task *t)
{
    t->status = TASK_STARTED;
    if (t->op == TASK_FLUSH || t->op == TASK_PURGE)
        start_local(m, t);
    else
        begin(m, t, t->op == TASK_DELETE ? CRDB_PROBE : CRDB_PREPARE);
}
