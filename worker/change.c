/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "worker/inside.h"

#include <assert.h>
#include <stdio.h>

/*
 * A change goes from worker 0 to every worker (itself included, by the same message) and back. A
 * new database that one worker cannot listen for is dropped again everywhere before the manager
 * hears of it; before a database is changed the manager asks whether all workers can
 * (CHANGE_DB_CHECK): all or nothing.
 */

static void change_drop(struct msg *msg)
{
    struct change_msg *m = (struct change_msg *)msg;
    plane_stats_deinit(&m->stats);
    mem_free(m->db);
    mem_free(m);
}

static struct change_msg *change_copy(const struct change_msg *ask)
{
    struct change_msg *m = mem_zalloc(sizeof *m);
    *m = *ask;
    m->msg = (struct msg){.kind = MSG_CHANGE, .drop = change_drop};
    m->db = ask->db != NULL ? mem_dup(ask->db, sizeof *ask->db) : NULL;
    return m;
}

static void send_all(struct worker *w, struct port *port, const struct change_msg *ask)
{
    w->change.missing = w->opts.count;
    for (uint32_t i = 0; i < w->opts.count; i++)
        port->ops->post(port, i, &change_copy(ask)->msg);
}

void change_start(struct worker *w, struct port *port, const struct change_msg *ask,
                  struct moment now)
{
    (void)now;
    assert(w->change.ticket == 0);
    struct change *c = &w->change;
    uint32_t uid = ask->db != NULL ? ask->db->uid : ask->uid;
    plane_stats_deinit(&c->stats);
    *c = (struct change){.tickets = c->tickets + 1, .uid = uid};
    c->ticket = c->tickets;
    c->stats_wanted = ask->kind == CHANGE_STATS;
    c->fresh = ask->kind == CHANGE_DB_SET && database_find(w, uid) == NULL;
    struct change_msg numbered = *ask;
    numbered.ticket = c->ticket;
    send_all(w, port, &numbered);
    mem_free(ask->db);
}

/* ------------------------------------------------------------ on each worker */

static void send_back(struct port *port, struct change_msg *m)
{
    m->msg.kind = MSG_CHANGED;
    port->ops->post(port, 0, &m->msg);
}

void change_reply(struct worker *w, struct port *port, uint32_t ticket, const char *error,
                  struct moment now)
{
    (void)w;
    (void)now;
    struct change_msg *m = mem_zalloc(sizeof *m);
    m->msg = (struct msg){.drop = change_drop};
    m->ticket = ticket;
    snprintf(m->error, sizeof m->error, "%s", error);
    send_back(port, m);
}

/* True when done; false: the answer comes later, by change_reply. */
static bool set(struct worker *w, struct port *port, struct change_msg *m, struct moment now)
{
    struct database *d = database_find(w, m->db->uid);
    if (d != NULL) {
        (void)database_configure(d, port, m->db, now, m->error, sizeof m->error);
        return true;
    }
    return !database_add(w, port, m->db, m->ticket, now, m->error, sizeof m->error);
}

/* Likewise. */
static bool check(struct worker *w, struct port *port, struct change_msg *m, struct moment now)
{
    struct database *d = database_find(w, m->db->uid);
    if (d != NULL)
        return database_check(d, port, m->db, m->ticket, now, m->error, sizeof m->error);
    snprintf(m->error, sizeof m->error, "there is no database %u here", m->db->uid);
    return true;
}

static void carry_out(struct worker *w, struct port *port, struct change_msg *m, struct moment now)
{
    struct database *d = NULL;
    if (m->kind == CHANGE_STATS) {
        stats_plane(w, &m->stats, now);
    } else if (m->kind == CHANGE_DB_SET || m->kind == CHANGE_DB_CHECK) {
        if (!(m->kind == CHANGE_DB_SET ? set : check)(w, port, m, now)) {
            msg_free(&m->msg);
            return;
        }
    } else if ((d = database_find(w, m->uid)) == NULL) {
        /* Dropping what is not there is done: a repeated request, or the undoing of a failed
         * creation. */
        if (m->kind != CHANGE_DB_DROP)
            snprintf(m->error, sizeof m->error, "there is no database %u here", m->uid);
    } else if (m->kind == CHANGE_DB_DROP) {
        database_drop(d, port, !m->undo);
    } else if (m->kind == CHANGE_DB_FLUSH && database_busy(d)) {
        snprintf(m->error, sizeof m->error, "%s", BUSY_ERROR);
    } else if (m->kind == CHANGE_DB_FLUSH && d->closed_members > 0) {
        snprintf(m->error, sizeof m->error, "%s",
                 "the database is being loaded from disk: try again when it has been");
    } else if (m->kind == CHANGE_DB_SNAPSHOT && !database_on_disk(&d->config)) {
        snprintf(m->error, sizeof m->error, "the database is not on disk: set data_persistence");
    } else if (m->kind == CHANGE_DB_SNAPSHOT) {
        if (keep_snapshot(d) < d->members_count)
            snprintf(m->error, sizeof m->error,
                     "not all shards are open: look at the database's persistence figures");
    } else if (m->kind == CHANGE_DB_FLUSH) {
        database_flush(d, now, m->error, sizeof m->error);
    } else {
        database_pause(d, port, m->region, m->paused, now);
    }
    send_back(port, m);
}

/* ------------------------------------------------------------ back on worker 0 */

static void count_answer(struct worker *w, struct port *port, struct change_msg *m,
                         struct moment now)
{
    struct change *c = &w->change;
    if (m->ticket != c->ticket)
        return;
    if (m->error[0] != 0)
        snprintf(c->error, sizeof c->error, "%s", m->error);
    stats_plane_add(&c->stats, &m->stats);
    if (--c->missing > 0)
        return;
    if (c->error[0] != 0 && c->fresh) {
        c->fresh = false; /* now undo; the error stays */
        send_all(w, port,
                 &(struct change_msg){
                     .kind = CHANGE_DB_DROP, .undo = true, .ticket = c->ticket, .uid = c->uid});
        return;
    }
    c->ticket = 0;
    control_changed(w, port, c->error, &c->stats, now);
}

void change_message(struct worker *w, struct port *port, struct msg *msg, struct moment now)
{
    struct change_msg *m = (struct change_msg *)msg;
    if (msg->kind == MSG_CHANGE) {
        carry_out(w, port, m, now);
        return;
    }
    count_answer(w, port, m, now);
    msg_free(msg);
}

void change_deinit(struct worker *w) { plane_stats_deinit(&w->change.stats); }
