/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/crdb.h"

#include "base/mem.h"
#include "base/num.h"
#include "manager/core.h"

#include <stdio.h>

static const char *const phases[] = {"prepare", "commit", "complete", "abort", "remove", "probe"};

const char *crdb_phase_name(enum crdb_phase p) { return phases[p]; }

/* ------------------------------------------------------------ messages */

struct message_row {
    struct crdb_message msg;
    char phase[16];
    json_t *config;
};
static const struct field message_fields[] = {
    FIELD(message_row, phase, FIELD_STRING, 1, 15),
    FIELD_AS(message_row, "guid", msg.guid, FIELD_STRING, 36, 36),
    FIELD_AS(message_row, "version", msg.version, FIELD_U64, 1, INT64_MAX),
    FIELD_AS(message_row, "cluster", msg.cluster, FIELD_STRING, 1, 64),
    FIELD_AS(message_row, "instance_id", msg.instance_id, FIELD_U32, 1, INSTANCES_MAX),
    FIELD_AS(message_row, "db_uid", msg.db_uid, FIELD_U32, 0, UINT32_MAX),
    FIELD_AS(message_row, "joining", msg.joining, FIELD_BOOL, 0, 0),
    FIELD_AS(message_row, "config", config, FIELD_JSON, 0, 0),
    FIELD_END,
};

json_t *crdb_message_write(const struct crdb_message *msg)
{
    json_t *o = json_object();
    struct message_row row = {.msg = *msg};
    snprintf(row.phase, sizeof row.phase, "%s", crdb_phase_name(msg->phase));
    fields_write(o, message_fields, &row);
    if (msg->phase == CRDB_PREPARE || msg->phase == CRDB_COMMIT)
        json_object_set_new(o, "config", crdb_config_write(&msg->config));
    return o;
}

bool crdb_message_read(const json_t *body, struct crdb_message *out, struct refusal *why)
{
    struct message_row row = {0};
    unsigned phase = 0;
    if (!fields_read(body, message_fields, &row, NULL, "", why))
        return false;
    while (phase < sizeof phases / sizeof phases[0] && strcmp(phases[phase], row.phase) != 0)
        phase++;
    if (phase == sizeof phases / sizeof phases[0])
        return refuse(why, 400, "invalid_schema", "phase: unknown phase %s", row.phase);
    row.msg.phase = (enum crdb_phase)phase;
    if (row.msg.version == 0 || row.msg.instance_id == 0 || !row.msg.guid[0])
        return refuse(why, 400, "invalid_schema", "guid, version and instance_id are expected");
    if ((phase == CRDB_PREPARE || phase == CRDB_COMMIT) &&
        !crdb_config_read(row.config, &row.msg.config, why))
        return false;
    *out = row.msg;
    return true;
}

/* ------------------------------------------------------------ what comes of a message */

/* A message being carried out; the records it is about are found again by name when an answer
 * comes. */
struct act {
    struct manager *m;
    char guid[40];
    bool drop;    /* drop the record when the database is gone */
    uint32_t uid; /* local database */
    struct done done;
};

static struct act *act_new(struct manager *m, const char *guid, struct done done)
{
    struct act *a = mem_zalloc(sizeof *a);
    *a = (struct act){.m = m, .done = done};
    snprintf(a->guid, sizeof a->guid, "%s", guid);
    return a;
}

static void act_end(struct act *a, const struct refusal *why)
{
    struct done done = a->done;
    uint32_t uid = a->uid;
    mem_free(a);
    done_call(done, why, uid);
}

static void saved(void *arg, const struct refusal *why, uint32_t uid)
{
    (void)uid;
    act_end(arg, why);
}

static void save_act(struct act *a) { manager_save(a->m, (struct done){.fn = saved, .arg = a}); }

static void removed(void *arg, const struct refusal *why, uint32_t uid)
{
    struct act *a = arg;
    /* Gone it may be although that could not be saved: which is tried again, with what follows. */
    if (why != NULL && why->status != 404 && cluster_bdb(&a->m->cluster, uid) != NULL) {
        act_end(a, why);
        return;
    }
    cluster_drop_crdb(&a->m->cluster, a->guid);
    save_act(a);
}

/* Drops database and record. */
static void remove_local(struct manager *m, struct crdb *r, struct done done)
{
    bdb_delete(m, r->bdb_uid,
               (struct done){.fn = removed, .arg = act_new(m, r->config.guid, done)});
}

/* ------------------------------------------------------------ prepare */

static void prepared(void *arg, const struct refusal *why, uint32_t uid)
{
    struct act *a = arg;
    struct crdb *r = cluster_crdb(&a->m->cluster, a->guid);
    struct refusal gone = {0};
    const struct bdb *b = cluster_bdb(&a->m->cluster, uid);
    if (r != NULL && why != NULL && b != NULL && strcmp(b->guid, a->guid) == 0) {
        /* It was made and could not be saved: nothing half-made is left. */
        r->bdb_uid = uid;
        r->status = CRDB_READY;
        remove_local(a->m, r, (struct done){0});
        refuse(&gone, why->status, why->code, "nothing was made here: %.300s",
               strncmp(why->message, "done, but ", 10) == 0 ? why->message + 10 : why->message);
        act_end(a, &gone);
        return;
    }
    if (r == NULL || why != NULL) {
        if (r != NULL)
            cluster_drop_crdb(&a->m->cluster, a->guid);
        refuse(&gone, 409, "aborted", "the coordinator gave up");
        act_end(a, why != NULL ? why : &gone);
        return;
    }
    r->bdb_uid = a->uid = uid;
    r->status = CRDB_READY;
    if (r->aborted) {
        refuse(&gone, 409, "aborted", "the coordinator gave up");
        remove_local(a->m, r, (struct done){0});
        act_end(a, &gone);
        return;
    }
    save_act(a);
}

/* The database that is there already becomes an instance; nothing changes for it until the commit.
 */
static bool adopt(struct manager *m, struct crdb *r, uint32_t uid, struct refusal *why)
{
    struct bdb *b = cluster_bdb(&m->cluster, uid);
    if (b == NULL)
        return refuse(why, 404, "db_not_found", "db_uid: no database %u", uid);
    if (b->guid[0] || b->status != BDB_ACTIVE)
        return refuse(why, 409, "busy", "database %u is being changed or geo-distributed already",
                      uid);
    if (b->region != r->instance_id || b->partitions != r->config.partitions)
        return refuse(why, 406, "invalid_instance",
                      "database %u can only be instance %u with %u partitions", uid, b->region,
                      b->partitions);
    snprintf(b->guid, sizeof b->guid, "%s", r->config.guid);
    r->converted = true;
    r->bdb_uid = uid;
    r->status = CRDB_READY;
    return true;
}

static void prepare_new(struct manager *m, const struct crdb_message *msg,
                        const struct instance *in, struct done done)
{
    struct refusal why = {0};
    struct crdb *r = cluster_add_crdb(&m->cluster);
    if (r == NULL) {
        refuse(&why, 406, "insufficient_resources", "a cluster takes part in at most %u",
               CLUSTER_CRDBS_MAX);
        done_call(done, &why, 0);
        return;
    }
    crdb_config_copy(&r->config, &msg->config);
    r->instance_id = in->id;
    r->prepared_us = m->now.mono_us;
    r->created_s = m->now.wall_ms / 1000;
    if (msg->db_uid != 0) {
        if (!adopt(m, r, msg->db_uid, &why)) {
            cluster_drop_crdb(&m->cluster, msg->guid);
            done_call(done, &why, 0);
            return;
        }
        struct act *a = act_new(m, msg->guid, done);
        a->uid = msg->db_uid;
        save_act(a);
        return;
    }
    struct bdb_spec spec = {
        .region = in->id, .partitions = msg->config.partitions, .reborn = msg->joining};
    snprintf(spec.name, sizeof spec.name, "%s", msg->config.name);
    snprintf(spec.guid, sizeof spec.guid, "%s", msg->guid);
    spec.config = msg->config.default_db_config;
    db_config_merge(&spec.config, &in->db_config);
    bdb_create(m, &spec, (struct done){.fn = prepared, .arg = act_new(m, msg->guid, done)});
}

/* The settings that the next version asks of the local database. */
static bool next_can_be(const struct manager *m, const struct crdb_message *msg,
                        struct refusal *why)
{
    const struct instance *in = crdb_config_instance(&msg->config, msg->instance_id);
    struct db_config config = msg->config.default_db_config;
    if (in == NULL)
        return true;
    db_config_merge(&config, &in->db_config);
    return bdb_can_keep(m, &config, why);
}

/* A newer version of what is here already is kept beside it until the commit. */
static bool keep_next(struct manager *m, struct crdb *r, const struct crdb_message *msg,
                      struct refusal *why)
{
    if (r->status < CRDB_COMMITTED || r->has_next)
        return refuse(why, 409, "busy",
                      "version %llu of this database's configuration is under way: try again later",
                      (unsigned long long)(r->has_next ? r->next.version : r->config.version));
    if (msg->version <= r->config.version)
        return refuse(why, 409, "version_mismatch",
                      "version %llu is not newer than %llu here: ask a cluster that is up to date",
                      (unsigned long long)msg->version, (unsigned long long)r->config.version);
    if (!next_can_be(m, msg, why))
        return false;
    crdb_config_copy(&r->next, &msg->config);
    r->has_next = true;
    r->prepared_us = m->now.mono_us;
    return true;
}

static void drop_next(struct crdb *r)
{
    crdb_config_deinit(&r->next);
    r->has_next = false;
}

/* The plane has heard whether the region takes client writes. */
static void sealed(void *arg, const struct refusal *why, uint32_t uid)
{
    struct act *a = arg;
    struct crdb *r = cluster_crdb(&a->m->cluster, a->guid);
    (void)uid;
    if (why == NULL && r != NULL && r->draining)
        r->sealed_us = a->m->now.mono_us;
    act_end(a, why);
}

/* Leaving, or staying after all: from then on no write, or every write is taken again. */
static void seal(struct manager *m, struct crdb *r)
{
    const struct bdb *b = cluster_bdb(&m->cluster, r->bdb_uid);
    r->sealed_us = 0;
    if (b != NULL)
        bdb_send(m, b,
                 (struct done){.fn = sealed, .arg = act_new(m, r->config.guid, (struct done){0})});
}

static void prepare(struct manager *m, const struct crdb_message *msg, struct done done)
{
    struct refusal why = {0};
    struct crdb *r = cluster_crdb(&m->cluster, msg->guid);
    const struct instance *in = crdb_config_instance(&msg->config, msg->instance_id);
    if (r == NULL && in == NULL)
        refuse(&why, 400, "invalid_instance", "instance_id %u is not in the configuration",
               msg->instance_id);
    else if (r == NULL) {
        prepare_new(m, msg, in, done);
        return;
    } else if (keep_next(m, r, msg, &why)) {
        if (in == NULL) { /* leaving: answered when the others have everything (crdb_tick) */
            r->drain = done;
            r->draining = true;
            seal(m, r);
            return;
        }
        done_call(done, NULL, r->bdb_uid);
        return;
    }
    done_call(done, &why, 0);
}

/* ------------------------------------------------------------ commit */

/* Settings that this version changed, for the local database. Others may have been set here by
 * hand. */
static void apply_settings(struct bdb *b, const struct crdb_config *old,
                           const struct crdb_config *new, uint32_t id)
{
    struct db_config was = old->default_db_config, is = new->default_db_config;
    const struct instance *a = crdb_config_instance(old, id), *z = crdb_config_instance(new, id);
    if (a != NULL)
        db_config_merge(&was, &a->db_config);
    if (z != NULL)
        db_config_merge(&is, &z->db_config);
    json_t *x = db_config_write(&was), *y = db_config_write(&is);
    if (!json_equal(x, y)) {
        is.set &=
            ~(fields_bit(db_config_fields, "port") | fields_bit(db_config_fields, "shards_count") |
              fields_bit(db_config_fields, "tls_mode"));
        struct db_config next = b->config;
        db_config_merge(&next, &is);
        bdb_configure(b, &next);
    }
    json_decref(x);
    json_decref(y);
}

static void committed_sent(void *arg, const struct refusal *why, uint32_t uid)
{
    struct act *a = arg;
    (void)uid;
    /* The state file has it; a plane that is away gets it when it is back. */
    if (why != NULL && why->status == 503)
        why = NULL;
    act_end(a, why);
}

static void committed_saved(void *arg, const struct refusal *why, uint32_t uid)
{
    struct act *a = arg;
    const struct bdb *b = cluster_bdb(&a->m->cluster, a->uid);
    (void)uid;
    if (why != NULL || b == NULL)
        act_end(a, why);
    else
        bdb_send(a->m, b, (struct done){.fn = committed_sent, .arg = a});
}

static void commit(struct manager *m, const struct crdb_message *msg, struct done done)
{
    struct refusal why = {0};
    struct crdb *r = cluster_crdb(&m->cluster, msg->guid);
    struct bdb *b = r != NULL ? cluster_bdb(&m->cluster, r->bdb_uid) : NULL;
    if (b == NULL || r->status == CRDB_POSTED)
        refuse(&why, 404, "crdb_not_found", "no instance of %s was prepared here", msg->guid);
    else if (msg->version < r->config.version)
        refuse(&why, 409, "version_mismatch", "version %llu is in force here",
               (unsigned long long)r->config.version);
    else if (r->status >= CRDB_COMMITTED && msg->version == r->config.version) {
        done_call(done, NULL, r->bdb_uid); /* said twice */
        return;
    }
    if (why.status != 0) {
        done_call(done, &why, 0);
        return;
    }
    drop_next(r);
    if (crdb_config_instance(&msg->config, r->instance_id) == NULL) {
        remove_local(m, r, done);
        return;
    }
    if (r->status >= CRDB_COMMITTED)
        apply_settings(b, &r->config, &msg->config, r->instance_id);
    crdb_config_copy(&r->config, &msg->config);
    r->status = CRDB_COMMITTED;
    struct act *a = act_new(m, msg->guid, done);
    a->uid = b->uid;
    manager_save(m, (struct done){.fn = committed_saved, .arg = a});
}

/* ------------------------------------------------------------ the other phases */

static void complete(struct manager *m, const struct crdb_message *msg, struct done done)
{
    struct crdb *r = cluster_crdb(&m->cluster, msg->guid);
    if (r == NULL || r->status != CRDB_COMMITTED || r->config.version != msg->version) {
        done_call(done, NULL, 0);
        return;
    }
    r->status = CRDB_COMPLETED;
    struct act *a = act_new(m, msg->guid, done);
    a->uid = r->bdb_uid;
    save_act(a);
}

static void end_drain(struct crdb *r, const struct refusal *why)
{
    struct done done = r->drain;
    uint32_t uid = r->bdb_uid;
    if (!r->draining)
        return;
    r->draining = false;
    r->drain = (struct done){0};
    done_call(done, why, uid);
}

/* What was converted, or was to be, is a one-region database again. */
static void unconvert(struct manager *m, struct crdb *r, struct done done)
{
    struct bdb *b = cluster_bdb(&m->cluster, r->bdb_uid);
    struct act *a = act_new(m, r->config.guid, done);
    if (b != NULL)
        b->guid[0] = 0;
    cluster_drop_crdb(&m->cluster, a->guid);
    save_act(a);
}

/* Forgets what was prepared. Nothing prepared is as good. */
static void forget(struct manager *m, struct crdb *r, struct done done)
{
    struct refusal why = {0};
    if (r->status >= CRDB_COMMITTED) {
        drop_next(r);
        refuse(&why, 409, "aborted", "the coordinator gave up");
        end_drain(r, &why);
        seal(m, r);
        done_call(done, NULL, 0);
    } else if (r->status == CRDB_POSTED) {
        r->aborted = true; /* removed as soon as it is there */
        done_call(done, NULL, 0);
    } else if (r->converted) {
        unconvert(m, r, done);
    } else {
        remove_local(m, r, done);
    }
}

/* An abort must only undo the version it is about; the first version may have been committed here
 * already. */
static void abort_version(struct manager *m, const struct crdb_message *msg, struct done done)
{
    struct crdb *r = cluster_crdb(&m->cluster, msg->guid);
    if (r == NULL)
        done_call(done, NULL, 0);
    else if (r->status >= CRDB_COMMITTED && msg->version == r->config.version && msg->version == 1)
        (r->converted ? unconvert : remove_local)(m, r, done);
    else if (r->status < CRDB_COMMITTED || (r->has_next && r->next.version == msg->version))
        forget(m, r, done);
    else
        done_call(done, NULL, 0);
}

static void remove_all(struct manager *m, const struct crdb_message *msg, struct done done)
{
    struct crdb *r = cluster_crdb(&m->cluster, msg->guid);
    if (r == NULL)
        done_call(done, NULL, 0);
    else if (r->status == CRDB_POSTED)
        forget(m, r, done);
    else
        remove_local(m, r, done);
}

void crdb_participate(struct manager *m, const struct crdb_message *msg, struct done done)
{
    struct refusal why = {0};
    if (strcmp(msg->cluster, m->cluster.name) != 0) {
        refuse(&why, 406, "cluster_name_mismatch",
               "this is cluster %s, not %s: give its own name and the URL that belongs to it",
               m->cluster.name, msg->cluster);
        done_call(done, &why, 0);
        return;
    }
    switch (msg->phase) {
    case CRDB_PREPARE:
        prepare(m, msg, done);
        break;
    case CRDB_COMMIT:
        commit(m, msg, done);
        break;
    case CRDB_COMPLETE:
        complete(m, msg, done);
        break;
    case CRDB_ABORT:
        abort_version(m, msg, done);
        break;
    case CRDB_REMOVE:
        remove_all(m, msg, done);
        break;
    case CRDB_PROBE:
        done_call(done, NULL, 0);
        break;
    }
}

bool crdb_endpoint(const struct manager *m, const char *guid, char host[256], uint16_t *port)
{
    const struct crdb *r = cluster_crdb(&m->cluster, guid);
    const struct bdb *b = r != NULL ? cluster_bdb(&m->cluster, r->bdb_uid) : NULL;
    const struct instance *in = r != NULL ? crdb_config_instance(&r->config, r->instance_id) : NULL;
    int64_t number = 0;
    if (b == NULL || in == NULL)
        return false;
    snprintf(host, 256, "%.255s", m->opts.advertise);
    *port = b->config.port;
    const char *colon = strrchr(in->replication_endpoint, ':');
    if (colon != NULL && num_parse_i64(bytes_str(colon + 1), &number) && number > 0 &&
        number < 65536) {
        snprintf(host, 256, "%.*s", (int)(colon - in->replication_endpoint),
                 in->replication_endpoint);
        *port = (uint16_t)number;
    }
    return true;
}

/* ------------------------------------------------------------ time */

/* Has every other region acknowledged everything written here? */
static bool drained(const struct manager *m, const struct crdb *r)
{
    uint64_t taken_us;
    const struct bdb *b = cluster_bdb(&m->cluster, r->bdb_uid);
    plane_stats(m->plane, &taken_us);
    if (b == NULL || r->sealed_us == 0 || taken_us < r->sealed_us)
        return false;
    for (uint32_t i = 0; i < r->config.instances_count; i++) {
        struct link_summary l;
        uint32_t id = r->config.instances[i].id;
        if (id == b->region || crdb_config_instance(&r->next, id) == NULL)
            continue;
        if (!bdb_link(m, b, id, &l) || !l.feeding || l.lag_ops != 0)
            return false;
    }
    return true;
}

static void tick_one(struct manager *m, struct crdb *r)
{
    struct refusal why = {0};
    uint64_t age = m->now.mono_us - r->prepared_us;
    if (r->draining && drained(m, r)) {
        end_drain(r, NULL);
    } else if (r->draining && age > CRDB_DRAIN_US) {
        refuse(&why, 409, "not_drained",
               "other regions have not received all its writes: stop its clients and check its "
               "links, or remove it by force");
        drop_next(r);
        end_drain(r, &why);
        seal(m, r);
    } else if (age > CRDB_PREPARED_US &&
               (r->has_next || (r->status < CRDB_COMMITTED && !r->aborted))) {
        port_log(m->port, 'W', "%s: prepared but never committed: forgotten", r->config.guid);
        forget(m, r, (struct done){0});
    }
}

void crdb_tick(struct manager *m)
{
    for (uint32_t i = m->cluster.crdbs_count; i > 0; i--)
        if (i <= m->cluster.crdbs_count)
            tick_one(m, m->cluster.crdbs[i - 1]);
}

void crdb_cut(struct manager *m)
{
    struct refusal why = {0};
    refuse(&why, 503, "stopped", "the manager stops");
    for (uint32_t i = 0; i < m->cluster.crdbs_count; i++)
        end_drain(m->cluster.crdbs[i], &why);
}
