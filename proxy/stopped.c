/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/stopped.h"

#include "base/mem.h"
#include "proxy/session.h"

/* ------------------------------------------------------------ where the session is not */

static struct bytes key_of(const void *item)
{
    const struct stopped_session *s = item;
    return bytes_of(s->key, sizeof s->key);
}

static const struct table_type stopped_type = {.name_of = key_of};

/* Numbers that are given here need no secret. */
void stopped_init(struct stopped *t)
{
    table_init(&t->sessions, &stopped_type, (struct hash_key){.k0 = 0});
}

static void session_drop(void *item, void *arg)
{
    struct stopped_session *s = item;
    (void)arg;
    buf_deinit(&s->jobs);
    mem_free(s);
}

void stopped_deinit(struct stopped *t) { table_deinit(&t->sessions, session_drop, NULL); }

struct stopped_session *stopped_find(const struct stopped *t, uint32_t db_uid, uint64_t session)
{
    if (t->sessions.count == 0)
        return NULL;
    uint64_t key[2] = {session, db_uid};
    struct bytes name = bytes_of(key, sizeof key);
    return table_get(&t->sessions, table_hash(&t->sessions, name), name);
}

struct stopped_session *stopped_add(struct stopped *t, uint32_t db_uid, uint64_t session)
{
    struct stopped_session *s = mem_zalloc(sizeof *s);
    s->key[0] = session;
    s->key[1] = db_uid;
    table_put(&t->sessions, table_hash(&t->sessions, key_of(s)), s);
    return s;
}

struct buf stopped_take(struct stopped *t, uint32_t db_uid, uint64_t session)
{
    struct stopped_session *s = stopped_find(t, db_uid, session);
    if (s == NULL)
        return (struct buf){0};
    struct buf jobs = s->jobs;
    table_remove(&t->sessions, table_hash(&t->sessions, key_of(s)), s);
    mem_free(s);
    return jobs;
}

/* ------------------------------------------------------------ where the session is */

static uint32_t words(const struct session *s)
{
    return (courier_workers(s->front->courier) + 63) / 64;
}

static bool has(const struct session *s, uint32_t worker)
{
    return s->stopped[worker / 64] >> worker % 64 & 1;
}

static void clear(struct session *s, uint32_t worker)
{
    uint64_t rest = 0;
    s->stopped[worker / 64] &= ~(UINT64_C(1) << worker % 64);
    for (uint32_t i = 0; i < words(s); i++)
        rest |= s->stopped[i];
    if (rest != 0)
        return;
    mem_free(s->stopped);
    s->stopped = NULL;
}

void stopped_at(struct session *s, struct port *port, uint32_t worker)
{
    if (s->stopped == NULL)
        s->stopped = mem_zalloc(words(s) * sizeof s->stopped[0]);
    s->stopped[worker / 64] |= UINT64_C(1) << worker % 64;
    session_hold(s, port, true); /* front_resume looks at those */
}

/* Is it that worker which the session's oldest answer waits for? One that no job brings may wait
 * for what any of them keeps (CRDT.WAIT); nothing runs before it is there. */
static bool is_due(const struct session *s, uint32_t worker)
{
    const struct answer *a = s->head;
    if (!has(s, worker))
        return false;
    if (a == NULL || a->missing == 0)
        return true;
    if (a->owes != NULL)
        return a->owes[worker] > 0;
    return a->at == worker || a->at == ANSWER_NOBODY;
}

bool stopped_ends(const struct session *s, struct port *port)
{
    if (s->stopped == NULL || s->waits_in != NULL || port->ops->pending(port, s->conn) > PORT_HIGH)
        return false;
    for (uint32_t i = 0; i < courier_workers(s->front->courier); i++)
        if (is_due(s, i))
            return true;
    return false;
}

static void tell(const struct session *s, struct port *port, uint32_t worker, enum job_kind kind)
{
    struct courier *c = s->front->courier;
    struct job job = {.kind = kind, .db_uid = s->front->db_uid, .session = s->id};
    courier_send(c, port, worker, &job, NULL, 0);
}

void stopped_go_on(struct session *s, struct port *port)
{
    uint32_t workers = courier_workers(s->front->courier);
    if (s->stopped != NULL && s->head != NULL)
        session_pass(s, port, s->head);
    if (!stopped_ends(s, port))
        return;
    for (uint32_t i = 0; i < workers && s->stopped != NULL; i++) {
        if (!is_due(s, i))
            continue;
        clear(s, i);
        tell(s, port, i, JOB_GO_ON);
    }
}

void stopped_forget(struct session *s, struct port *port)
{
    for (uint32_t i = 0; s->stopped != NULL && i < courier_workers(s->front->courier); i++) {
        if (!has(s, i))
            continue;
        clear(s, i);
        tell(s, port, i, JOB_FORGET);
    }
}
