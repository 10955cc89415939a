/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/replica.h"

#include "base/mem.h"
#include "manager/manager.h"
#include "migrate/uri.h"

#include <stdio.h>

struct replica {
    struct replica *next;
    uint32_t uid;
    char uri[REPLICA_URI_MAX];
    char password[200]; /* the database's */
    struct gather *gather;
    uint32_t source_tls, any_tls, target_tls; /* any: whatever certificate the source has */
};

struct replicas {
    struct manager *m;
    struct replica *first;
    bool stopped;
};

static const char *const names[] = {"disabled", "enabled", "paused"};

const char *replica_sync_name(enum replica_sync s) { return names[s]; }

bool replica_sync_parse(const char *name, enum replica_sync *out)
{
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum replica_sync)i;
            return true;
        }
    return false;
}

struct replicas *replicas_new(struct manager *m)
{
    struct replicas *l = mem_zalloc(sizeof *l);
    l->m = m;
    return l;
}

static void drop(struct replica *r, struct port *port)
{
    gather_free(r->gather, port); /* none: it could not be started */
    if (r->source_tls != 0)
        port->ops->tls_free(port, r->source_tls);
    if (r->any_tls != 0)
        port->ops->tls_free(port, r->any_tls);
    if (r->target_tls != 0)
        port->ops->tls_free(port, r->target_tls);
    mem_free(r);
}

static void drop_all(struct replicas *l, struct port *port)
{
    for (struct replica *r = l->first, *next; r != NULL; r = next) {
        next = r->next;
        drop(r, port);
    }
    l->first = NULL;
}

void replicas_free(struct replicas *l, struct port *port)
{
    if (l == NULL)
        return;
    drop_all(l, port);
    mem_free(l);
}

void replicas_stop(struct replicas *l)
{
    l->stopped = true;
    drop_all(l, manager_port(l->m));
}

static struct replica *find(const struct replicas *l, uint32_t uid)
{
    struct replica *r = l->first;
    while (r != NULL && r->uid != uid)
        r = r->next;
    return r;
}

static void remove_one(struct replicas *l, struct replica *gone)
{
    for (struct replica **at = &l->first; *at != NULL; at = &(*at)->next)
        if (*at == gone) {
            *at = gone->next;
            drop(gone, manager_port(l->m));
            return;
        }
}

/* ------------------------------------------------------------ starting */

/* The settings of TLS towards one side; false: the reason is logged. A source that demands a
 * client's certificate gets the node's. */
static bool make_tls(struct replicas *l, bool wanted, bool source, bool verify, uint32_t *out)
{
    struct port *port = manager_port(l->m);
    const struct manager_opts *o = manager_options(l->m);
    struct tls_opts tls = {.ca_pem = o->ca_pem, .verify_peer = verify};
    char why[200] = "";
    *out = 0;
    if (!wanted)
        return true;
    if (source) {
        tls.cert_pem = o->cert_pem;
        tls.key_pem = o->key_pem;
    }
    *out = port->ops->tls(port, &tls, why, sizeof why);
    if (*out == 0)
        port_log(port, 'E', "replica of: TLS settings: %s", why);
    return *out != 0;
}

/* How many there are; 0: one of them cannot be read. */
static unsigned read_sources(const char *list, struct gather_source out[GATHER_SOURCES_MAX])
{
    char text[REPLICA_URI_MAX];
    const char *why;
    unsigned n = 0;
    while (gather_next_uri(&list, text, sizeof text))
        if (n == GATHER_SOURCES_MAX || !redis_uri_read(text, &out[n++].uri, &why))
            return 0;
    return n;
}

/* Our own database, where it listens: certificates prove nothing there. */
static void start(struct replicas *l, const struct bdb *b, bool flush)
{
    struct gather_source sources[GATHER_SOURCES_MAX] = {0};
    struct replica *r = mem_zalloc(sizeof *r);
    unsigned n = read_sources(b->replica_uri, sources);
    bool tls = false, any = false;
    r->uid = b->uid;
    memcpy(r->uri, b->replica_uri, sizeof r->uri);
    memcpy(r->password, b->config.authentication_redis_pass, sizeof r->password);
    for (unsigned i = 0; i < n; i++)
        if (sources[i].uri.insecure)
            any |= sources[i].uri.tls;
        else
            tls |= sources[i].uri.tls;
    if (n == 0 || !make_tls(l, tls, true, true, &r->source_tls) ||
        !make_tls(l, any, true, false, &r->any_tls) ||
        !make_tls(l, strcmp(b->config.tls_mode, "enabled") == 0, false, false, &r->target_tls)) {
        drop(r, manager_port(l->m));
        return;
    }
    for (unsigned i = 0; i < n; i++)
        sources[i].tls = !sources[i].uri.tls       ? 0
                         : sources[i].uri.insecure ? r->any_tls
                                                   : r->source_tls;
    r->gather = gather_new(
        &(struct gather_opts){.all = {.target_host = manager_db_address(l->m),
                                      .target_port = b->config.port,
                                      .target_tls = r->target_tls,
                                      .target_password = b->config.authentication_redis_pass,
                                      .flush = flush},
                              .sources = sources,
                              .count = n});
    r->next = l->first;
    l->first = r;
    gather_start(r->gather, manager_port(l->m), manager_now(l->m));
}

static bool wanted(const struct bdb *b)
{
    return b != NULL && b->replica == REPLICA_ENABLED && b->replica_uri[0] != 0 &&
           b->status != BDB_PENDING && b->status != BDB_DELETING;
}

/* ------------------------------------------------------------ changes */

bool replica_check(const struct bdb *b, const struct replica_change *c, struct refusal *why)
{
    struct redis_uri u;
    const char *reason, *list = c->uri;
    char text[REPLICA_URI_MAX];
    for (unsigned i = 0; c->set_uri && gather_next_uri(&list, text, sizeof text); i++)
        if (!redis_uri_read(text, &u, &reason))
            return refuse(why, 400, "invalid_schema", "replica_sources[%u].uri: %s", i, reason);
    bool uri = c->set_uri ? c->uri[0] != 0 : b != NULL && b->replica_uri[0] != 0;
    if (c->set_sync && c->sync == REPLICA_ENABLED && !uri)
        return refuse(why, 406, "missing_replica_sources",
                      "replica_sync: there is nothing to follow: give replica_sources, "
                      "[{\"uri\": \"redis://user:password@host:port\"}]");
    return true;
}

/* What it had is applied; the mark and import-mode go. One that has stopped leaves that to another.
 */
static void end_for_good(struct replicas *l, struct bdb *b)
{
    struct replica *r = find(l, b->uid);
    if (r != NULL && gather_is_over(r->gather)) {
        remove_one(l, r);
        r = NULL;
    }
    if (r == NULL) {
        start(l, b, false);
        r = find(l, b->uid);
    }
    if (r != NULL)
        gather_end(r->gather, true, manager_now(l->m));
}

void replica_apply(struct replicas *l, struct bdb *b, const struct replica_change *c)
{
    struct replica *r = find(l, b->uid);
    bool gone = c->set_uri && c->uri[0] == 0;
    uint32_t sync = gone ? REPLICA_DISABLED : c->set_sync ? (uint32_t)c->sync : b->replica;
    if (sync == REPLICA_DISABLED && b->replica != REPLICA_DISABLED)
        end_for_good(l, b);
    b->replica = sync;
    if (c->set_uri)
        memcpy(b->replica_uri, c->uri, sizeof b->replica_uri);
    if (sync == REPLICA_PAUSED && r != NULL)
        gather_end(r->gather, false, manager_now(l->m));
    if (sync != REPLICA_ENABLED)
        return;
    if (r != NULL && (gather_is_over(r->gather) || strcmp(r->uri, b->replica_uri) != 0)) {
        remove_one(l, r); /* its mark tells the next one whose copy this is */
        r = NULL;
    }
    if (r == NULL && wanted(b))
        start(l, b, c->flush);
}

bool replica_status(const struct replicas *l, uint32_t uid, struct follow_status *out)
{
    const struct replica *r = find(l, uid);
    if (r != NULL)
        gather_status(r->gather, out);
    return r != NULL;
}

bool replica_source_status(const struct replicas *l, uint32_t uid, unsigned source,
                           struct follow_status *out)
{
    const struct replica *r = find(l, uid);
    if (r != NULL)
        gather_source_status(r->gather, source, out);
    return r != NULL;
}

/* ------------------------------------------------------------ time */

static void start_missing(struct replicas *l)
{
    const struct cluster *c = manager_cluster(l->m);
    for (uint32_t i = 0; i < c->bdbs_count; i++)
        if (wanted(c->bdbs[i]) && find(l, c->bdbs[i]->uid) == NULL)
            start(l, c->bdbs[i], false);
}

void replicas_tick(struct replicas *l)
{
    if (l->stopped)
        return;
    for (struct replica *r = l->first, *next; r != NULL; r = next) {
        struct follow_status s;
        const struct bdb *b = cluster_bdb(manager_cluster(l->m), r->uid);
        next = r->next;
        gather_tick(r->gather, manager_now(l->m));
        gather_status(r->gather, &s);
        bool ended = s.state == FOLLOW_ENDED ||
                     (s.state == FOLLOW_STOPPED && b != NULL && b->replica != REPLICA_ENABLED);
        bool stale = b != NULL && strcmp(b->config.authentication_redis_pass, r->password) != 0;
        if (b == NULL || b->status == BDB_DELETING || ended || stale)
            remove_one(l, r); /* where it is wanted, another goes on */
    }
    start_missing(l);
}

uint64_t replicas_deadline(const struct replicas *l)
{
    uint64_t at = UINT64_MAX;
    for (const struct replica *r = l->first; r != NULL; r = r->next)
        if (gather_deadline(r->gather) < at)
            at = gather_deadline(r->gather);
    return at;
}
