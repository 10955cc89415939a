/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/topic.h"

#include "base/mem.h"
#include "proxy/monitor.h"
#include "proxy/tracking.h"

static struct bytes name_of_topic(const void *item) { return topic_name(item); }

static struct bytes name_of_listener(const void *item)
{
    const struct listener *l = item;
    return topic_name(l->topic);
}

static const struct table_type topic_type = {.name_of = name_of_topic};
static const struct table_type listener_type = {.name_of = name_of_listener};

void topics_init(struct topics *t, uint32_t workers, uint32_t self, struct hash_key key)
{
    t->workers = workers;
    t->self = self;
    t->wanted = mem_zalloc(workers * sizeof t->wanted[0]);
    for (unsigned k = 0; k < TOPIC_KINDS; k++)
        table_init(&t->by_name[k], &topic_type, key);
}

static void topic_free(struct topic *t)
{
    mem_free(t->others);
    mem_free(t);
}

void topics_deinit(struct topics *t)
{
    for (unsigned k = 0; k < TOPIC_KINDS; k++) {
        table_deinit(&t->by_name[k], NULL, NULL);
        for (struct topic *one = t->first[k], *next; one != NULL; one = next) {
            next = one->next;
            topic_free(one);
        }
    }
    mem_free(t->wanted);
    buf_deinit(&t->text);
}

struct topic *topic_find(const struct topics *t, enum topic_kind kind, struct bytes name)
{
    const struct table *table = &t->by_name[kind];
    return table->count == 0 ? NULL : table_get(table, table_hash(table, name), name);
}

static struct topic *topic_get(struct topics *t, enum topic_kind kind, struct bytes name)
{
    struct topic *one = topic_find(t, kind, name);
    if (one != NULL)
        return one;
    one = mem_zalloc(sizeof *one + name.n);
    one->others = mem_zalloc(t->workers * sizeof one->others[0]);
    one->kind = kind;
    one->name_n = name.n;
    if (name.n > 0)
        memcpy(one->name, name.p, name.n);
    one->prev = t->last[kind];
    if (one->prev != NULL)
        one->prev->next = one;
    else
        t->first[kind] = one;
    t->last[kind] = one;
    t->n[kind]++;
    table_put(&t->by_name[kind], table_hash(&t->by_name[kind], name), one);
    return one;
}

/* After any change: what the topics of some kinds mean for the whole front. */
static void heed(struct front *f, enum topic_kind kind)
{
    if (kind == TOPIC_TRACKERS)
        tracking_heed(f);
    else if (kind == TOPIC_MONITORS)
        monitor_heed(f);
}

/* Forgets a topic that nobody listens to any more. */
static void topic_check(struct topics *t, struct topic *one)
{
    if (topic_count(one) > 0)
        return;
    struct table *table = &t->by_name[one->kind];
    table_remove(table, table_hash(table, topic_name(one)), one);
    if (one->prev != NULL)
        one->prev->next = one->next;
    else
        t->first[one->kind] = one->next;
    if (one->next != NULL)
        one->next->prev = one->prev;
    else
        t->last[one->kind] = one->prev;
    t->n[one->kind]--;
    topic_free(one);
}

/* ------------------------------------------------------------ between workers */

/* JOB_LISTEN's first argument; the second is the name. */
struct word {
    uint32_t worker, kind, count;
};

static void tell(struct front *f, struct port *port, const struct topic *one, uint32_t worker)
{
    struct word word = {f->topics.self, one->kind, one->here};
    struct bytes argv[2] = {bytes_of(&word, sizeof word), topic_name(one)};
    struct job job = {.kind = JOB_LISTEN, .db_uid = f->db_uid, .argc = 2, .argv = argv};
    courier_send(f->courier, port, worker, &job, NULL, 0);
}

static void tell_all(struct front *f, struct port *port, const struct topic *one)
{
    for (uint32_t i = 0; i < f->topics.workers; i++)
        if (i != f->topics.self)
            tell(f, port, one, i);
}

void topic_heard(struct front *f, const struct bytes *argv)
{
    struct word word;
    memcpy(&word, argv[0].p, sizeof word);
    struct topic *one = topic_get(&f->topics, (enum topic_kind)word.kind, argv[1]);
    one->elsewhere += word.count - one->others[word.worker];
    one->others[word.worker] = word.count;
    topic_check(&f->topics, one);
    heed(f, (enum topic_kind)word.kind);
}

void topics_ask(struct front *f, struct port *port)
{
    struct bytes arg = bytes_of(&f->topics.self, sizeof f->topics.self);
    struct job job = {.kind = JOB_TOPICS, .db_uid = f->db_uid, .argc = 1, .argv = &arg};
    for (uint32_t i = 0; i < f->topics.workers; i++)
        if (i != f->topics.self)
            courier_send(f->courier, port, i, &job, NULL, 0);
}

void topics_tell(struct front *f, struct port *port, const struct bytes *argv)
{
    uint32_t worker;
    memcpy(&worker, argv[0].p, sizeof worker);
    for (unsigned k = 0; k < TOPIC_KINDS; k++)
        for (const struct topic *one = f->topics.first[k]; one != NULL; one = one->next)
            if (one->here > 0)
                tell(f, port, one, worker);
}

static void finish_silently(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    (void)a;
    (void)r;
}

void topic_settled(struct ask *a)
{
    struct topics *t = &a->front->topics;
    if (!t->untold)
        return;
    t->untold = false;
    /* Inside EXEC the reply is an element of its array: it cannot wait for others. */
    if (t->workers == 1 || a->in_exec)
        return;
    struct answer *answer = answer_new(a->front->courier, t->workers - 1);
    answer->finish = finish_silently;
    session_wait(a->session, answer);
    struct job job = {.kind = JOB_SETTLED, .db_uid = a->front->db_uid};
    for (uint32_t i = 0, part = 0; i < t->workers; i++)
        if (i != t->self)
            courier_send(a->front->courier, a->port, i, &job, answer, part++);
}

/* ------------------------------------------------------------ sessions */

static struct listener *find(const struct session *s, enum topic_kind kind, struct bytes name)
{
    if (s->listening == NULL || s->listening->n[kind] == 0)
        return NULL;
    const struct table *table = &s->listening->by_name[kind];
    return table_get(table, table_hash(table, name), name);
}

static struct listening *listening_of(struct session *s)
{
    if (s->listening != NULL)
        return s->listening;
    s->special = true;
    s->listening = mem_zalloc(sizeof *s->listening);
    for (unsigned k = 0; k < TOPIC_KINDS; k++)
        table_init(&s->listening->by_name[k], &listener_type, s->front->topics.by_name[k].key);
    return s->listening;
}

bool topic_join(struct front *f, struct port *port, struct session *s, enum topic_kind kind,
                struct bytes name)
{
    if (find(s, kind, name) != NULL)
        return false;
    struct topic *t = topic_get(&f->topics, kind, name);
    struct listening *of = listening_of(s);
    struct listener *l = mem_zalloc(sizeof *l);
    *l = (struct listener){.topic = t, .session = s, .prev = t->last, .before = of->last[kind]};
    if (t->last != NULL)
        t->last->next = l;
    else
        t->first = l;
    t->last = l;
    if (of->last[kind] != NULL)
        of->last[kind]->after = l;
    else
        of->first[kind] = l;
    of->last[kind] = l;
    of->n[kind]++;
    table_put(&of->by_name[kind], table_hash(&of->by_name[kind], name), l);
    t->here++;
    tell_all(f, port, t);
    heed(f, kind);
    f->topics.untold = true;
    return true;
}

static void leave(struct front *f, struct port *port, struct listener *l)
{
    struct topic *t = l->topic;
    struct listening *of = l->session->listening;
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        t->first = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    else
        t->last = l->prev;
    if (l->before != NULL)
        l->before->after = l->after;
    else
        of->first[t->kind] = l->after;
    if (l->after != NULL)
        l->after->before = l->before;
    else
        of->last[t->kind] = l->before;
    of->n[t->kind]--;
    struct table *table = &of->by_name[t->kind];
    table_remove(table, table_hash(table, topic_name(t)), l);
    enum topic_kind kind = t->kind;
    mem_free(l);
    t->here--;
    tell_all(f, port, t);
    topic_check(&f->topics, t);
    heed(f, kind);
}

static void listening_check(struct session *s)
{
    for (unsigned k = 0; k < TOPIC_KINDS; k++)
        if (s->listening->n[k] > 0)
            return;
    for (unsigned k = 0; k < TOPIC_KINDS; k++)
        table_deinit(&s->listening->by_name[k], NULL, NULL);
    mem_free(s->listening);
    s->listening = NULL;
    s->special = false;
}

bool topic_leave(struct front *f, struct port *port, struct session *s, enum topic_kind kind,
                 struct bytes name)
{
    struct listener *l = find(s, kind, name);
    if (l == NULL)
        return false;
    leave(f, port, l);
    listening_check(s);
    return true;
}

void topic_leave_kind(struct front *f, struct port *port, struct session *s, enum topic_kind kind)
{
    if (session_listens(s, kind) == 0)
        return;
    while (s->listening->first[kind] != NULL)
        leave(f, port, s->listening->first[kind]);
    listening_check(s);
}

void topic_leave_all(struct front *f, struct port *port, struct session *s)
{
    for (unsigned k = 0; k < TOPIC_KINDS && s->listening != NULL; k++)
        topic_leave_kind(f, port, s, (enum topic_kind)k);
}

uint32_t session_listens(const struct session *s, enum topic_kind kind)
{
    return s->listening == NULL ? 0 : s->listening->n[kind];
}
