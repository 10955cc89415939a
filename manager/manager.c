/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/manager.h"

#include "base/mem.h"
#include "manager/core.h"

#include <signal.h>
#include <stdio.h>

#define TICK_US 1000000u
#define STATE_MAX (64u << 20)
#define LAG_TOLERANCE_MS 100u

static void plane_ready(struct manager *m, const uint32_t *uids, uint32_t count);

static char *copy(const char *s) { return mem_strdup(s != NULL ? s : ""); }

struct manager *manager_new(const struct manager_opts *o)
{
    struct manager *m = mem_zalloc(sizeof *m);
    m->opts = *o;
    m->opts.data_dir = copy(o->data_dir);
    m->opts.db_dir = copy(o->db_dir);
    m->opts.advertise = copy(o->advertise);
    m->opts.rest_host = copy(o->rest_host);
    m->opts.discovery_host = copy(o->discovery_host);
    m->opts.db_host = copy(o->db_host);
    m->opts.control = NULL;
    m->opts.control_token = NULL;
    m->opts.cert_pem.p = mem_dup(o->cert_pem.p, o->cert_pem.n);
    m->opts.key_pem.p = mem_dup(o->key_pem.p, o->key_pem.n);
    m->opts.ca_pem.p = mem_dup(o->ca_pem.p, o->ca_pem.n);
    if (m->opts.password_rounds == 0)
        m->opts.password_rounds = AUTH_ROUNDS;
    struct buf path = {0};
    buf_putf(&path, "%s/state.json", m->opts.data_dir);
    buf_put_u8(&path, 0);
    m->state_path = (char *)path.p;
    m->cluster.availability_lag_tolerance_ms = LAG_TOLERANCE_MS;
    m->plane = plane_new(m, o->control, o->control_token, o->plane_argv,
                         (struct plane_hooks){.ready = plane_ready});
    m->peers = peer_client_new(m);
    m->tasks = tasks_new(m);
    m->migrations = migrations_new(m);
    m->replicas = replicas_new(m);
    m->discovery = discovery_new(m);
    m->tick_us = UINT64_MAX;
    return m;
}

static void free_text(const void *p)
{
    union { /* owned, though const for everybody else */
        const void *in;
        void *out;
    } u = {.in = p};
    mem_free(u.out);
}

/* Whoever waits for something is told that it will not come. Nothing new is begun on the way. */
static void cut(struct manager *m)
{
    struct refusal why = {0};
    struct save_waiter *lists[] = {m->saving, m->waiting};
    refuse(&why, 503, "stopped", "the manager stops");
    m->cut = true;
    m->saving = m->waiting = NULL;
    plane_cut(m->plane);
    peer_client_cut(m->peers);
    crdb_cut(m);
    for (unsigned i = 0; i < 2; i++)
        for (struct save_waiter *w = lists[i], *next; w != NULL; w = next) {
            next = w->next;
            done_call(w->done, &why, 0);
            mem_free(w);
        }
}

void manager_free(struct manager *m, struct port *port)
{
    if (m == NULL)
        return;
    m->port = port;
    cut(m);
    plane_free(m->plane);
    peer_client_free(m->peers);
    tasks_free(m->tasks);
    migrations_free(m->migrations);
    replicas_free(m->replicas, port);
    discovery_free(m->discovery);
    cluster_deinit(&m->cluster);
    free_text(m->opts.data_dir);
    free_text(m->opts.db_dir);
    free_text(m->opts.advertise);
    free_text(m->opts.rest_host);
    free_text(m->opts.discovery_host);
    free_text(m->opts.db_host);
    free_text(m->opts.cert_pem.p);
    free_text(m->opts.key_pem.p);
    free_text(m->opts.ca_pem.p);
    mem_free(m->state_path);
    mem_free(m);
}

int manager_exit_status(const struct manager *m) { return m->exit_status; }

void manager_ends_badly(struct manager *m) { m->exit_status = 1; }

void manager_serve(struct manager *m, struct manager_hooks hooks) { m->hooks = hooks; }

struct port *manager_port(struct manager *m) { return m->port; }

struct moment manager_now(const struct manager *m) { return m->now; }

struct cluster *manager_cluster(struct manager *m) { return &m->cluster; }

const char *manager_advertise(const struct manager *m) { return m->opts.advertise; }

struct auth *manager_auth(struct manager *m) { return &m->auth; }

struct plane *manager_plane(struct manager *m) { return m->plane; }

struct peer_client *manager_peer_client(struct manager *m) { return m->peers; }

struct replicas *manager_replicas(struct manager *m) { return m->replicas; }

const char *manager_db_address(const struct manager *m)
{
    const char *host = m->opts.db_host;
    return strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(host, "::") == 0 ? "::1" : host;
}

struct migrations *manager_migrations(struct manager *m) { return m->migrations; }

const struct strays *manager_strays(const struct manager *m) { return &m->strays; }

const struct manager_opts *manager_options(const struct manager *m) { return &m->opts; }

void manager_uuid(struct manager *m, char out[37])
{
    uint8_t r[16];
    m->port->ops->random(m->port, r, sizeof r);
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* version 4, RFC 9562 */
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    for (unsigned i = 0, at = 0; i < 16; i++, at += 2) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        snprintf(out + at, 3, "%02x", r[i]);
    }
}

void manager_secret(struct manager *m, char out[65])
{
    uint8_t r[32];
    m->port->ops->random(m->port, r, sizeof r);
    for (unsigned i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", r[i]);
}

/* ------------------------------------------------------------ the state file */

static void write_state(struct manager *m)
{
    struct file_req *r = file_req_new(FILE_WRITE, m->state_path);
    m->writing = true;
    m->saving = m->waiting;
    m->waiting = NULL;
    r->mode = 0600;
    r->tag = TAG_STATE_WRITE;
    cluster_dump(&m->cluster, &r->data);
    m->port->ops->file(m->port, r);
}

void manager_save(struct manager *m, struct done done)
{
    struct refusal why = {0};
    if (m->cut) {
        refuse(&why, 503, "stopped", "the manager stops");
        done_call(done, &why, 0);
        return;
    }
    struct save_waiter *w = mem_zalloc(sizeof *w);
    struct save_waiter **at = &m->waiting;
    while (*at != NULL)
        at = &(*at)->next;
    w->done = done;
    *at = w;
    m->cluster.state_id++;
    if (!m->writing)
        write_state(m);
}

static void written(struct manager *m, enum err err)
{
    struct refusal why = {0};
    struct save_waiter *list = m->saving;
    m->writing = false;
    m->saving = NULL;
    m->write_failed = err != ERR_OK;
    if (err != ERR_OK) {
        port_log(m->port, 'E', "%s: cannot write: %s", m->state_path, err_text(err));
        refuse(&why, 500, "storage_failed",
               "done, but %s could not be written (%s): it is tried again every second",
               m->state_path, err_text(err));
    }
    while (list != NULL) {
        struct save_waiter *w = list;
        list = w->next;
        done_call(w->done, err == ERR_OK ? NULL : &why, 0);
        mem_free(w);
    }
    if (m->waiting != NULL && !m->writing)
        write_state(m);
}

static void fail(struct manager *m)
{
    m->exit_status = 1;
    m->stopping = true;
    m->port->ops->stop(m->port);
}

static bool start_listeners(struct manager *m)
{
    char text[256] = "";
    struct refusal why = {0};
    const struct manager_opts *o = &m->opts;
    struct tls_opts own = {.cert_pem = o->cert_pem, .key_pem = o->key_pem, .alpn = "h2,http/1.1"};
    struct tls_opts out = {.ca_pem = o->ca_pem, .verify_peer = o->verify_peers, .alpn = "http/1.1"};
    if (o->cert_pem.n > 0) {
        m->rest_tls = m->port->ops->tls(m->port, &own, text, sizeof text);
        if (m->rest_tls == 0) {
            port_log(m->port, 'E', "certificate and key of the REST API: %s", text);
            return false;
        }
        if (!peer_client_start(m->peers, &out, &why)) {
            port_log(m->port, 'E', "%s", why.message);
            return false;
        }
    }
    m->rest_listener = m->port->ops->listen(m->port, &(struct listen_opts){.host = o->rest_host,
                                                                           .port = o->rest_port,
                                                                           .tls = m->rest_tls,
                                                                           .tag = TAG_REST});
    if (o->discovery_port != 0)
        m->discovery_listener =
            m->port->ops->listen(m->port, &(struct listen_opts){.host = o->discovery_host,
                                                                .port = o->discovery_port,
                                                                .tag = TAG_DISCOVERY});
    return true;
}

/* Instances whose database was made but whose preparation never got into the file are left-overs.
 */
static void drop_orphans(struct manager *m)
{
    for (uint32_t i = m->cluster.bdbs_count; i > 0; i--) {
        const struct bdb *b = m->cluster.bdbs[i - 1];
        if (b->guid[0] && cluster_crdb(&m->cluster, b->guid) == NULL)
            cluster_drop_bdb(&m->cluster, b->uid);
    }
    for (uint32_t i = 0; i < m->cluster.crdbs_count; i++)
        m->cluster.crdbs[i]->prepared_us = m->now.mono_us;
}

static void state_read(struct manager *m, const struct file_req *r)
{
    struct refusal why = {0};
    struct cluster *fresh = mem_zalloc(sizeof *fresh);
    fresh->availability_lag_tolerance_ms = LAG_TOLERANCE_MS;
    if (r->err != ERR_OK && r->err != ERR_NOT_FOUND) {
        port_log(m->port, 'E', "%s: cannot read: %s", m->state_path, err_text(r->err));
        fail(m);
    } else if (r->err == ERR_OK && !cluster_load(fresh, buf_bytes(&r->data), &why)) {
        port_log(m->port, 'E',
                 "%s: not a state file of this release (%s). Nothing was changed. Restore it from "
                 "a copy, or move it away to begin with an empty cluster",
                 m->state_path, why.message);
        fail(m);
    } else {
        cluster_deinit(&m->cluster);
        m->cluster = *fresh;
        *fresh = (struct cluster){0};
        m->loaded = true;
        drop_orphans(m);
        if (start_listeners(m))
            plane_start(m->plane);
        else
            fail(m);
    }
    cluster_deinit(fresh);
    mem_free(fresh);
}

/* ------------------------------------------------------------ the plane's databases */

static void resent(void *arg, const struct refusal *why, uint32_t uid)
{
    struct manager *m = arg;
    if (why != NULL && why->status != 503)
        port_log(m->port, 'E', "database %u is not up: %s", uid, why->message);
}

static bool among(uint32_t uid, const uint32_t *uids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (uids[i] == uid)
            return true;
    return false;
}

static void send_all(void *arg, const struct refusal *why, uint32_t uid)
{
    struct manager *m = arg;
    (void)uid;
    if (why !=
        NULL) /* telling the plane of an incarnation that could be forgotten would be wrong */
        return;
    for (uint32_t i = 0; i < m->cluster.bdbs_count; i++)
        if (m->cluster.bdbs[i]->status != BDB_PENDING)
            bdb_send(m, m->cluster.bdbs[i], (struct done){.fn = resent, .arg = m});
}

static void dropped(void *arg, const struct refusal *why, struct bytes body)
{
    (void)arg;
    (void)why;
    (void)body;
}

/*
 * The plane is there and has `uids`. Geo-distributed databases that it does not have lost their
 * memory: they begin a new incarnation, which is on disk before the plane hears of it; two
 * incarnations of one number would be two writers that peers take for one.
 */
static void plane_ready(struct manager *m, const uint32_t *uids, uint32_t count)
{
    bool bumped = false;
    for (uint32_t i = 0; i < m->cluster.bdbs_count; i++) {
        struct bdb *b = m->cluster.bdbs[i];
        if (!b->guid[0] || b->status == BDB_PENDING || among(b->uid, uids, count))
            continue;
        b->incarnation++;
        b->reborn = true;
        bumped = true;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct buf body = {0};
        if (cluster_bdb(&m->cluster, uids[i]) != NULL)
            continue;
        control_uid_encode(&body, uids[i]);
        plane_ask(m->plane, CONTROL_DB_DROP, buf_bytes(&body), dropped, NULL);
        buf_deinit(&body);
    }
    if (bumped)
        manager_save(m, (struct done){.fn = send_all, .arg = m});
    else
        send_all(m, NULL, 0);
}

/* ------------------------------------------------------------ bootstrap */

void manager_bootstrap(struct manager *m, const struct bootstrap *b, struct done done)
{
    struct cluster *c = &m->cluster;
    struct refusal why = {0};
    uint8_t salt[16];
    if (c->bootstrapped) {
        refuse(&why, 409, "already_bootstrapped", "this node is in cluster %s already", c->name);
        done_call(done, &why, 0);
        return;
    }
    struct user *u = &c->users[0];
    *u = (struct user){0};
    m->port->ops->random(m->port, salt, sizeof salt);
    snprintf(u->name, sizeof u->name, "%s", b->username);
    user_set_password(u, b->password, salt, m->opts.password_rounds);
    c->users_count = 1;
    c->next_uid = 1;
    snprintf(c->name, sizeof c->name, "%s", b->name);
    c->created_s = m->now.wall_ms / 1000;
    c->bootstrapped = true;
    auth_forget(&m->auth);
    port_log(m->port, 'I', "cluster %s created", c->name);
    manager_save(m, done);
}

/* ------------------------------------------------------------ the machine */

static void ask_state(struct manager *m)
{
    struct file_req *r = file_req_new(FILE_READ, m->state_path);
    r->size_max = STATE_MAX;
    r->tag = TAG_STATE_READ;
    m->port->ops->file(m->port, r);
}

static void start(struct manager *m)
{
    uint8_t key[32];
    m->port->ops->random(m->port, key, sizeof key);
    auth_init(&m->auth, key);
    m->tick_us = m->now.mono_us + TICK_US;
    if (!strays_look(m)) /* before anything is made: numbers that have files are not given again */
        ask_state(m);
}

static void stop(struct manager *m)
{
    if (m->stopping)
        return;
    port_log(m->port, 'I', "stopping");
    m->stopping = true;
    m->stopping_us = m->now.mono_us;
    if (m->rest_listener != 0)
        m->port->ops->unlisten(m->port, m->rest_listener);
    if (m->discovery_listener != 0)
        m->port->ops->unlisten(m->port, m->discovery_listener);
    if (m->hooks.stop != NULL)
        m->hooks.stop(m->hooks.self);
    migrations_stop(m->migrations);
    replicas_stop(m->replicas);
    plane_stop(m->plane);
}

static void tick(struct manager *m)
{
    if (m->now.mono_us < m->tick_us)
        return;
    m->tick_us = m->now.mono_us + TICK_US;
    if (!m->loaded)
        return;
    if (m->write_failed && !m->writing)
        write_state(m);
    peer_client_tick(m->peers);
    crdb_tick(m);
    tasks_tick(m->tasks);
    migrations_tick(m->migrations);
    discovery_tick(m->discovery);
    strays_tick(m);
    if (m->hooks.tick != NULL)
        m->hooks.tick(m->hooks.self);
}

static void opened(struct manager *m, const struct event *ev)
{
    if (ev->listener == m->discovery_listener && ev->listener != 0)
        discovery_open(m->discovery, ev);
    else if (m->hooks.open != NULL && !m->stopping)
        m->hooks.open(m->hooks.self, ev);
    else
        m->port->ops->close(m->port, ev->conn, false);
}

static void listening(struct manager *m, const struct event *ev)
{
    bool rest = ev->tag == TAG_REST;
    const char *host = rest ? m->opts.rest_host : m->opts.discovery_host;
    uint16_t *port = rest ? &m->opts.rest_port : &m->opts.discovery_port;
    if (ev->err == ERR_OK) {
        *port = (uint16_t)ev->status;
        port_log(m->port, 'I', "%s on %s:%u", rest ? "REST API" : "discovery", host, *port);
        return;
    }
    port_log(m->port, 'E', "cannot listen on %s:%u for %s: %s", host, *port,
             rest ? "the REST API" : "discovery", err_text(ev->err));
    m->exit_status = 1;
    stop(m);
}

static void file_done(struct manager *m, struct file_req *r)
{
    if (r->tag == TAG_STATE_READ)
        state_read(m, r);
    else if (r->tag == TAG_STATE_WRITE)
        written(m, r->err);
    else if (r->owner == m->migrations)
        migrations_file(m->migrations, r);
    else if (r->tag == TAG_STRAYS)
        strays_listed(m, r);
    if (r->tag == TAG_STRAYS && !m->loaded && !m->stopping)
        ask_state(m);
    else if (r->tag == TAG_STATE_READ && m->loaded) /* now it is known which are ours */
        (void)strays_look(m);
    file_req_free(r);
}

static void after(struct manager *m)
{
    if (m->loaded) {
        tasks_turn(m->tasks);
        replicas_tick(m->replicas);
    }
    if (m->stopping && !m->writing && plane_is_gone(m->plane))
        m->port->ops->stop(m->port);
}

static void step(void *self, struct port *port, const struct event *ev)
{
    struct manager *m = self;
    m->port = port;
    m->now = ev->now;
    if (ev->owner != NULL) {
        ev->owner->step(ev->owner, port, ev);
        return;
    }
    switch (ev->kind) {
    case EV_START:
        start(m);
        break;
    case EV_LISTEN:
        listening(m, ev);
        break;
    case EV_OPEN:
        opened(m, ev);
        break;
    case EV_FILE:
        file_done(m, ev->file);
        break;
    case EV_CHILD:
        if (ev->tag >= MIGRATION_TAG_FIRST)
            migrations_child(m->migrations, ev->tag, ev->status);
        else
            plane_child_ended(m->plane, ev->status);
        break;
    case EV_SIGNAL:
        if (ev->status == SIGTERM || ev->status == SIGINT)
            stop(m);
        break;
    case EV_TIMER:
        tick(m);
        plane_tick(m->plane);
        if (m->loaded)
            replicas_tick(m->replicas);
        break;
    case EV_MESSAGE:
    case EV_MOVED:
        msg_free(ev->msg);
        break;
    case EV_TURN:
        after(m);
        break;
    default:
        break;
    }
}

static uint64_t deadline(void *self)
{
    const struct manager *m = self;
    uint64_t plane = m->loaded || m->stopping ? plane_deadline(m->plane) : UINT64_MAX;
    uint64_t replicas = replicas_deadline(m->replicas);
    if (replicas < plane)
        plane = replicas;
    return plane < m->tick_us ? plane : m->tick_us;
}

struct machine manager_machine(struct manager *m)
{
    return (struct machine){.self = m, .step = step, .deadline = deadline};
}
