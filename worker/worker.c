/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/worker.h"

#include "base/mem.h"
#include "proxy/tracking.h"
#include "worker/inside.h"

#include <signal.h>
#include <stdio.h>

#define TICK_US UINT64_C(100000)
#define STOP_US UINT64_C(30000000)        /* the disk has so long to take what is left, ... */
#define STOP_FAILING_US UINT64_C(2000000) /* ... one that says that it fails so long */

/* ------------------------------------------------------------ life */

static struct front *find_front(void *arg, uint32_t db_uid)
{
    struct database *d = database_find(arg, db_uid);
    return d != NULL ? d->front : NULL;
}

struct worker *worker_new(const struct worker_opts *o)
{
    struct worker *w = mem_zalloc(sizeof *w);
    w->opts = *o;
    if (o->control != NULL)
        snprintf(w->control_address, sizeof w->control_address, "%s", o->control);
    w->courier = courier_new(&(struct courier_opts){.self = o->index,
                                                    .workers = o->count,
                                                    .reply_bytes_max = o->reply_bytes_max,
                                                    .front = find_front,
                                                    .arg = w});
    return w;
}

/* Gives everything up: what clients are owed and have not got is sent. */
static void drop_all(struct worker *w, struct port *port)
{
    control_free_all(w, port);
    link_free_all(w, port);
    while (w->databases != NULL)
        database_drop(w->databases, port, false);
}

void worker_free(struct worker *w, struct port *port)
{
    if (w == NULL)
        return;
    drop_all(w, port);
    if (w->tls_server != 0)
        port->ops->tls_free(port, w->tls_server);
    if (w->tls_client != 0)
        port->ops->tls_free(port, w->tls_client);
    change_deinit(w);
    disk_free_all(w);
    courier_free(w->courier);
    mem_free(w);
}

static void start_tls(struct worker *w, struct port *port)
{
    const struct tls_opts *o = &w->opts.tls;
    char why[256] = "";
    if (o->cert_pem.n == 0)
        return;
    struct tls_opts server = {.cert_pem = o->cert_pem, .key_pem = o->key_pem};
    struct tls_opts client = *o;
    client.verify_peer = o->ca_pem.n > 0; /* else the link's own proof must do */
    w->tls_server = port->ops->tls(port, &server, why, sizeof why);
    if (w->tls_server != 0)
        w->tls_client = port->ops->tls(port, &client, why, sizeof why);
    if (w->tls_client == 0)
        port_log(port, 'E', "no TLS: %s", why);
    w->opts.tls = (struct tls_opts){0};
}

static void start(struct worker *w, struct port *port)
{
    start_tls(w, port);
    if (w->control_address[0] != 0 && !control_listen(w, port)) {
        port_log(port, 'E', "control address '%s': give unix:/path or host:port",
                 w->control_address);
        port->ops->stop(port);
    }
}

/* Feeds get what was written, clients what they are owed; when all is on disk the loop ends. */
void worker_stop(struct worker *w, struct port *port, struct moment now)
{
    if (w->stopped)
        return;
    w->stopped = true;
    w->stopped_us = now.mono_us;
    for (struct database *d = w->databases; d != NULL; d = d->next)
        for (uint32_t i = 0; i < d->members_count; i++)
            if (d->members[i].syncer != NULL)
                syncer_turn(d->members[i].syncer, port, now);
    if (w->control_listener != 0)
        port->ops->unlisten(port, w->control_listener);
    control_free_all(w, port);
    link_free_all(w, port);
    for (struct database *d = w->databases; d != NULL; d = d->next)
        database_end(d, port, now);
    worker_try_end(w, port, now);
}

/* When it ends anyway: a disk that only fails any more is not waited for as one that is slow. */
static uint64_t stop_at(const struct worker *w)
{
    struct disk_open open = {0};
    for (const struct database *d = w->databases; d != NULL; d = d->next)
        disk_count_open(d, &open);
    bool fails = open.failing > 0 && open.waiting == 0 && !erase_any(w);
    return w->stopped_us + (fails ? STOP_FAILING_US : STOP_US);
}

void worker_try_end(struct worker *w, struct port *port, struct moment now)
{
    bool closed = !erase_any(w);
    for (const struct database *d = w->databases; d != NULL; d = d->next)
        closed &= disk_closed(d);
    if (w->ended || (!closed && now.mono_us < stop_at(w)))
        return;
    for (const struct database *d = w->databases; d != NULL; d = d->next)
        w->lost |= disk_log_open(d, port);
    w->ended = true;
    drop_all(w, port);
    port->ops->stop(port);
}

/* On whichever worker it begins: all stop. */
static void stop_everywhere(struct worker *w, struct port *port, struct moment now)
{
    w->stopping = true;
    for (uint32_t i = 0; i < w->opts.count; i++) {
        if (i == w->opts.index)
            continue;
        struct msg *m = mem_zalloc(sizeof *m);
        m->kind = MSG_STOP;
        port->ops->post(port, i, m);
    }
    worker_stop(w, port, now);
}

/* ------------------------------------------------------------ time */

static void tick_database(struct worker *w, struct port *port, struct database *d, bool due,
                          struct moment now)
{
    for (uint32_t i = 0; i < d->members_count; i++) {
        struct member *m = &d->members[i];
        if (!m->open)
            continue;
        if ((due || w->again) && m->greet_us == 0)
            d->more |= shard_tick(m->shard, now);
        if (m->syncer != NULL && syncer_deadline(m->syncer) <= now.mono_us)
            syncer_tick(m->syncer, port, now);
    }
    blocked_expire(d->front, port, now);
    if (scripting_deadline(&d->front->scripting) <= now.mono_us)
        scripting_run(d->front, port, now);
    if (due)
        probe_tick(d, port, now);
    if (due)
        front_tick(d->front, port, now);
    else
        front_resume(d->front, port, now);
}

static void tick(struct worker *w, struct port *port, struct moment now)
{
    bool due = now.mono_us >= w->tick_us, more = false;
    for (struct database *d = w->databases; d != NULL; d = d->next) {
        d->more = false;
        tick_database(w, port, d, due, now);
        more |= d->more;
    }
    w->again = more;
    if (!due)
        return;
    link_tick(w, port, now);
    defrag_look(w, now);
    w->tick_us = now.mono_us + TICK_US;
}

static uint64_t stop_deadline(const struct worker *w)
{
    uint64_t at = stop_at(w);
    for (const struct database *d = w->databases; d != NULL; d = d->next) {
        uint64_t disk = disk_deadline(d);
        at = disk < at ? disk : at;
    }
    return at;
}

static uint64_t worker_deadline(void *self)
{
    struct worker *w = self;
    if (w->databases == NULL && w->incoming == NULL)
        return UINT64_MAX;
    if (w->stopped)
        return stop_deadline(w);
    if (w->again)
        return 0;
    uint64_t at = w->tick_us;
    for (struct database *d = w->databases; d != NULL; d = d->next) {
        for (uint32_t i = 0; i < d->members_count; i++) {
            struct syncer *s = d->members[i].syncer;
            uint64_t then = s != NULL ? syncer_deadline(s) : UINT64_MAX;
            at = then < at ? then : at;
        }
        uint64_t disk = disk_deadline(d);
        at = disk < at ? disk : at;
        if (d->front->held != NULL && front_ready(d->front, w->port))
            return 0;
        uint64_t slice = scripting_deadline(&d->front->scripting);
        at = slice < at ? slice : at;
        uint64_t then = blocked_deadline(d->front);
        at = then < at ? then : at;
    }
    return at;
}

/* Were clients served in this turn, here or by way of another worker? */
static bool has_served(struct worker *w)
{
    uint64_t brought = w->messages;
    for (const struct database *d = w->databases; d != NULL; d = d->next)
        brought += d->front->net_in;
    bool served = brought != w->served;
    w->served = brought;
    return served;
}

/* The end of a loop turn: peers and other workers get what is new. */
static void turn(struct worker *w, struct port *port, struct moment now)
{
    share_turn(&w->share, port, has_served(w), now);
    for (struct database *d = w->databases; d != NULL && w->stopped; d = d->next)
        if (d->config.persistence != PERSIST_OFF)
            disk_turn(d, port, now);
    for (struct database *d = w->databases; d != NULL && !w->stopped; d = d->next) {
        observe_turn(d->front, port);
        blocked_wake(d->front, port, now);
        tracking_turn(d->front, port);
        for (uint32_t i = 0; i < d->members_count; i++)
            if (d->members[i].syncer != NULL)
                syncer_turn(d->members[i].syncer, port, now);
        if (d->config.persistence != PERSIST_OFF)
            disk_turn(d, port, now);
        keep_members(d, port, now);
        memory_turn(d->front, port);
        database_turn(d, port, now);
    }
    courier_flush(w->courier, port);
}

/* ------------------------------------------------------------ events */

static void listening(struct worker *w, struct port *port, const struct event *ev)
{
    if (ev->listener == w->control_listener) {
        if (ev->err == ERR_OK)
            return;
        port_log(port, 'E', "control channel at %s: %s", w->control_address,
                 ev->detail != NULL ? ev->detail : err_text(ev->err));
        port->ops->stop(port);
        return;
    }
    struct database *d = database_find(w, ev->tag);
    if (d == NULL || d->listener != ev->listener)
        return; /* dropped meanwhile */
    char error[256] = "";
    d->listening = ev->err == ERR_OK;
    if (!d->listening) {
        d->listener = 0;
        snprintf(error, sizeof error, "cannot listen on %s:%u: %s", d->config.host, d->config.port,
                 err_text(ev->err));
    }
    if (d->listening && w->opts.index == 0)
        port_log(port, 'I', "database %u (%s) listens on %s:%u: %u shards, %u partitions",
                 d->config.uid, d->config.name, d->config.host, d->config.port, d->config.shards,
                 d->config.partitions);
    uint32_t ticket = d->ticket;
    d->ticket = 0;
    change_reply(w, port, ticket, error, ev->now);
}

static void opened(struct worker *w, struct port *port, const struct event *ev)
{
    if (ev->listener == w->control_listener && ev->listener != 0) {
        control_open(w, port, ev->conn);
        return;
    }
    struct database *d = database_find(w, ev->tag);
    if (d != NULL && !w->stopped)
        front_accept(d->front, port, ev->conn, ev->status != 0, ev->now);
    else
        port->ops->close(port, ev->conn, false);
}

static void message(struct worker *w, struct port *port, const struct event *ev)
{
    uint32_t kind = ev->msg->kind;
    w->messages++;
    if (kind >= COURIER_MESSAGE_FIRST && kind <= COURIER_MESSAGE_LAST) {
        courier_message(w->courier, port, ev->msg, ev->now);
    } else if ((kind == MSG_CHANGE || kind == MSG_CHANGED) && !w->stopped) {
        change_message(w, port, ev->msg, ev->now);
    } else {
        msg_free(ev->msg);
        if (kind == MSG_STOP) {
            w->stopping = true;
            worker_stop(w, port, ev->now);
        }
    }
}

static void dispatch(struct worker *w, struct port *port, const struct event *ev)
{
    switch (ev->kind) {
    case EV_START:
        start(w, port);
        break;
    case EV_LISTEN:
        listening(w, port, ev);
        break;
    case EV_OPEN:
        opened(w, port, ev);
        break;
    case EV_MOVED:
        link_moved(w, port, ev->conn, ev->msg, ev->now);
        break;
    case EV_MESSAGE:
        message(w, port, ev);
        break;
    case EV_SIGNAL:
        if (ev->status == SIGTERM || ev->status == SIGINT)
            stop_everywhere(w, port, ev->now);
        break;
    case EV_TIMER:
        if (w->stopped)
            worker_try_end(w, port, ev->now);
        else
            tick(w, port, ev->now);
        break;
    case EV_TURN:
        turn(w, port, ev->now);
        break;
    case EV_FILE:
        disk_answer(w, port, ev->file, ev->now);
        break;
    default:
        break; /* data and ends of connections that nobody owns */
    }
}

static void worker_step(void *self, struct port *port, const struct event *ev)
{
    struct worker *w = self;
    w->port = port;
    if (ev->owner != NULL && ev->kind != EV_MOVED) {
        ev->owner->step(ev->owner, port, ev);
        if (w->stopping && !w->stopped)
            stop_everywhere(w, port, ev->now);
        return;
    }
    dispatch(w, port, ev);
}

struct machine worker_machine(struct worker *w)
{
    return (struct machine){.self = w, .step = worker_step, .deadline = worker_deadline};
}

bool worker_lost(const struct worker *w) { return w->lost; }

unsigned worker_shards(struct worker *w, struct worker_shard *out, unsigned max)
{
    unsigned n = 0;
    for (struct database *d = w->databases; d != NULL; d = d->next)
        for (uint32_t i = 0; i < d->members_count && n < max; i++)
            out[n++] =
                (struct worker_shard){.db_uid = d->config.uid,
                                      .first_partition = d->members[i].first,
                                      .count = d->members[i].count,
                                      .shard = d->members[i].shard,
                                      .open = d->members[i].open && d->members[i].greet_us == 0,
                                      .storage = d->members[i].storage,
                                      .lacked = d->members[i].before.lacks,
                                      .syncer = d->members[i].syncer};
    return n;
}
