/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/gather.h"

#include "base/mem.h"
#include "migrate/asker.h"
#include "migrate/earlier.h"
#include "migrate/fence.h"
#include "migrate/mark.h"
#include "rdb/crc64.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLLOWERS_MAX 256u
#define SECOND_US 1000000u
#define PAUSE_FIRST_US 1000000u /* also: what dead connections still hold has been read by then */
#define PAUSE_MAX_US 10000000u
#define MAP_EVERY_US 5000000u
#define LEAVE_US 15000000u
#define OWN_FIELD "all"

enum state {
    IDLE,
    MAPPING,
    ASKING,
    CLEARING,
    RUNNING,
    LEAVING, /* followers end; `next` comes then */
    FORGETTING,
    PAUSE,
    STOPPED,
    ENDED,
};

struct one {
    struct follow *follow;
    unsigned source;
    char field[320];
};

struct gather {
    struct follow_opts all; /* strings owned */
    struct gather_source sources[GATHER_SOURCES_MAX];
    bool clusters[GATHER_SOURCES_MAX];
    struct nodes maps[GATHER_SOURCES_MAX];
    unsigned count;
    struct port *port;
    struct moment now;
    enum state state, next;
    bool several, forget, ending, fresh, mapped;
    struct one ones[FOLLOWERS_MAX];
    unsigned n;
    struct fence fence;
    bool fencing;
    struct asker target, guide; /* guide: to a node of a cluster */
    unsigned mapping;           /* the source that is being mapped */
    bool watching;              /* ... to see whether it is as it was */
    uint64_t map_us, state_us, pause_us, tick_us;
    uint64_t wait_us;
    char name[64], layout[20];
    struct mark mark;
    char run[MARK_ID_MAX + 1];
    struct earlier earlier;
    uint64_t look_us; /* ASKING: waits for what may come of the target's earlier lives; 0: no */
    uint64_t keys;
    bool awake;
    char text[FOLLOW_TEXT_MAX], error[FOLLOW_TEXT_MAX];
    char refused[FOLLOW_TEXT_MAX];
};

static void target_open(void *arg);
static void target_reply(void *arg, unsigned i, const struct resp_reply *r);
static void target_lost(void *arg, const char *text, bool refused);
static void guide_open(void *arg);
static void guide_reply(void *arg, unsigned i, const struct resp_reply *r);
static void guide_lost(void *arg, const char *text, bool refused);

/* The sources' names, whatever their secrets are. */
static void make_name(struct gather *g)
{
    char shown[700];
    uint64_t sum = 0;
    for (unsigned i = 0; i < g->count; i++) {
        struct redis_uri u = g->sources[i].uri;
        u.user[0] = 0;
        redis_uri_show(&u, shown, sizeof shown);
        sum = crc64(sum, bytes_of(shown, strlen(shown) + 1));
    }
    snprintf(g->name, sizeof g->name, "several:%u:%016llx", g->count, (unsigned long long)sum);
}

struct gather *gather_new(const struct gather_opts *o)
{
    struct gather *g = mem_zalloc(sizeof *g);
    g->all = o->all;
    follow_opts_own(&g->all);
    if (g->all.silence_us == 0)
        g->all.silence_us = FOLLOW_SILENCE_US;
    g->count = o->count < GATHER_SOURCES_MAX ? o->count : GATHER_SOURCES_MAX;
    memcpy(g->sources, o->sources, g->count * sizeof *g->sources);
    g->several = g->count > 1;
    g->wait_us = PAUSE_FIRST_US;
    make_name(g);
    fence_init(&g->fence, g->name, true);
    asker_init(&g->target,
               &(struct asker_where){.host = g->all.target_host,
                                     .port = g->all.target_port,
                                     .tls = g->all.target_tls,
                                     .user = bytes_str(g->all.target_user),
                                     .password = bytes_str(g->all.target_password)},
               &g->now,
               (struct asker_hooks){
                   .arg = g, .open = target_open, .reply = target_reply, .lost = target_lost});
    asker_init(&g->guide, &(struct asker_where){.host = ""}, &g->now,
               (struct asker_hooks){
                   .arg = g, .open = guide_open, .reply = guide_reply, .lost = guide_lost});
    return g;
}

static void drop_followers(struct gather *g)
{
    for (unsigned i = 0; i < g->n; i++)
        follow_free(g->ones[i].follow, g->port);
    g->n = 0;
}

void gather_free(struct gather *g, struct port *port)
{
    if (g == NULL)
        return;
    g->port = port;
    drop_followers(g);
    asker_deinit(&g->target, port);
    fence_deinit(&g->fence);
    asker_deinit(&g->guide, port);
    follow_opts_disown(&g->all);
    mem_free(g);
}

/* ------------------------------------------------------------ states */

static void say(struct gather *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct gather *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->text, sizeof g->text, fmt, ap);
    va_end(ap);
    memcpy(g->error, g->text, sizeof g->error);
    port_log(g->port, 'W', "replica of %s: %s", g->name, g->text);
}

static void enter(struct gather *g, enum state s)
{
    g->state = s;
    g->state_us = g->now.mono_us;
    if (s != PAUSE && s != STOPPED && s != LEAVING)
        g->text[0] = 0;
}

/* Tries again later; the followers are gone by then. */
static void pause_now(struct gather *g)
{
    drop_followers(g);
    asker_close(&g->guide, g->port);
    asker_close(&g->target, g->port);
    g->watching = false;
    g->pause_us = g->now.mono_us + g->wait_us;
    g->wait_us = g->wait_us * 2 > PAUSE_MAX_US ? PAUSE_MAX_US : g->wait_us * 2;
    enter(g, PAUSE);
}

/* The followers apply what they have and keep their positions; then `next`. */
static void leave(struct gather *g, enum state next)
{
    for (unsigned i = 0; i < g->n; i++)
        follow_end(g->ones[i].follow, !g->several && g->forget, g->now);
    asker_close(&g->guide, g->port);
    g->watching = false;
    g->next = next;
    enter(g, LEAVING);
}

static void ask_target(struct gather *g)
{
    enter(g, ASKING);
    if (g->target.state == ASKER_CLOSED)
        asker_open(&g->target, g->port);
    else
        target_open(g);
}

/* ------------------------------------------------------------ followers */

static void add_follower(struct gather *g, unsigned source, const struct node *node)
{
    const struct redis_uri *u = &g->sources[source].uri;
    struct one *o = &g->ones[g->n];
    struct follow_opts opts = g->all;
    if (g->n == FOLLOWERS_MAX)
        return;
    g->n++;
    o->source = source;
    char field[sizeof o->field];
    if (node != NULL)
        snprintf(field, sizeof field, "%s:%u/slots-%u", u->host, u->port, node->first);
    else
        snprintf(field, sizeof field, "%s:%u/%lld", u->host, u->port, (long long)u->db);
    memcpy(o->field, field, sizeof field);
    opts.source_host = node != NULL ? node->host : u->host;
    opts.source_port = node != NULL ? node->port : u->port;
    opts.source_tls = g->sources[source].tls;
    opts.source_user = u->user;
    opts.source_password = u->password;
    opts.source_db = u->db;
    opts.skip_failed |= u->skip_failed;
    opts.drop_field_ttl |= u->drop_field_ttl;
    opts.field = g->several ? o->field : NULL;
    opts.run = g->several ? g->earlier.name : NULL;
    opts.cluster_node = node != NULL;
    o->follow = follow_new(&opts);
    follow_start(o->follow, g->port, g->now);
}

static void run_all(struct gather *g)
{
    enter(g, RUNNING);
    g->map_us = g->now.mono_us + MAP_EVERY_US;
    for (unsigned i = 0; i < g->count; i++)
        if (!g->clusters[i])
            add_follower(g, i, NULL);
        else
            for (unsigned k = 0; k < g->maps[i].count; k++)
                add_follower(g, i, &g->maps[i].at[k]);
}

/* ------------------------------------------------------------ clusters */

static void make_layout(struct gather *g)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < g->count; i++)
        sum = crc64(sum, bytes_of(&g->maps[i].layout, sizeof g->maps[i].layout));
    snprintf(g->layout, sizeof g->layout, "%016llx", (unsigned long long)sum);
}

static void ask_guide(struct gather *g)
{
    const struct gather_source *s = &g->sources[g->mapping];
    unsigned known = g->maps[g->mapping].count;
    /* Another node each time: the one that was named may be gone. */
    uint64_t turn = g->now.mono_us / SECOND_US % (known + 1);
    const struct node *node = turn < known ? &g->maps[g->mapping].at[turn] : NULL;
    g->guide.where = (struct asker_where){.host = node != NULL ? node->host : s->uri.host,
                                          .port = node != NULL ? node->port : s->uri.port,
                                          .tls = s->tls,
                                          .user = bytes_str(s->uri.user),
                                          .password = bytes_str(s->uri.password)};
    asker_open(&g->guide, g->port);
}

/* The next cluster; after the last one it goes on. */
static void map_on(struct gather *g)
{
    while (g->mapping < g->count && !g->clusters[g->mapping])
        g->mapping++;
    if (g->mapping < g->count)
        ask_guide(g);
    else if (g->watching)
        g->watching = false;
    else
        ask_target(g);
}

static void guide_open(void *arg)
{
    struct gather *g = arg;
    struct buf b = {0};
    asker_put_words(&b, "CLUSTER SLOTS");
    asker_ask(&g->guide, g->port, buf_bytes(&b), 1);
    buf_deinit(&b);
}

static void guide_lost(void *arg, const char *text, bool refused)
{
    struct gather *g = arg;
    const struct redis_uri *u = &g->sources[g->mapping].uri;
    if (g->watching) { /* another time */
        g->watching = false;
        return;
    }
    say(g, "the cluster %s:%u %s: %s", u->host, u->port,
        refused ? "does not take user and password" : "cannot be asked for its masters", text);
    pause_now(g);
    if (refused)
        enter(g, STOPPED);
}

static void guide_reply(void *arg, unsigned i, const struct resp_reply *r)
{
    struct gather *g = arg;
    struct redis_uri *u = &g->sources[g->mapping].uri;
    struct nodes *now = mem_alloc(sizeof *now), *was = &g->maps[g->mapping];
    const char *why = "";
    (void)i;
    bool ok = nodes_read(r, u->host, now, &why);
    if (!ok && !g->watching) {
        say(g, "the cluster %s:%u: %s%s%.*s", u->host, u->port, why, r->type == '-' ? ": " : "",
            r->type == '-' && r->text.n < 150 ? (int)r->text.n : 0, (const char *)r->text.p);
        pause_now(g);
    } else if (ok && g->watching && !nodes_same(now, was)) {
        say(g,
            now->layout != was->layout
                ? "slots of the cluster %s:%u have moved: everything is copied anew"
                : "masters of the cluster %s:%u have changed",
            u->host, u->port);
        leave(g, PAUSE);
    } else {
        if (ok)
            *was = *now;
        asker_close(&g->guide, g->port);
        g->mapping++;
        map_on(g);
    }
    mem_free(now);
}

static void map_all(struct gather *g, bool watching)
{
    g->watching = watching;
    g->mapping = 0;
    if (!watching)
        enter(g, MAPPING);
    map_on(g);
}

/* ------------------------------------------------------------ the target */

static struct mark own_mark(const struct gather *g)
{
    struct mark m = {.state = MARK_AT, .selected = -1, .field = OWN_FIELD};
    memcpy(m.source, g->name, sizeof g->name);
    memcpy(m.id, g->layout, sizeof g->layout);
    memcpy(m.run, g->earlier.name, sizeof m.run);
    return m;
}

static void ask_questions(struct gather *g)
{
    struct buf b = {0};
    unsigned n = 6;
    g->refused[0] = 0;
    g->look_us = 0;
    if (g->state == FORGETTING) {
        asker_put_words(&b, "DEL " MARK_KEY);
        asker_put_words(&b, "CONFIG SET import-mode no");
        n = 2;
    } else {
        asker_put_words(&b, "CONFIG GET import-mode");
        asker_put_words(&b, "CONFIG SET import-mode yes");
        asker_put_words(&b, "INFO server");
        asker_put_words(&b, "DBSIZE");
        asker_put_words(&b, "INFO crdt");
        asker_put_words(&b, "HGET " MARK_KEY " " OWN_FIELD);
    }
    asker_ask(&g->target, g->port, buf_bytes(&b), n);
    buf_deinit(&b);
}

static void target_open(void *arg)
{
    struct gather *g = arg;
    g->fencing = g->state == ASKING; /* no follower lives: whoever writes is one that did */
    if (g->fencing)
        fence_begin(&g->fence, &g->target, g->port);
    else
        ask_questions(g);
}

static void clear(struct gather *g)
{
    struct buf b = {0};
    struct mark m;
    make_layout(g);
    m = own_mark(g);
    enter(g, CLEARING);
    asker_put_words(&b, g->keys > 0 ? "FLUSHALL" : "PING");
    asker_put_words(&b, g->keys > 0 ? "FUNCTION FLUSH" : "PING");
    mark_put_request(&b, &m);
    asker_ask(&g->target, g->port, buf_bytes(&b), 3);
    buf_deinit(&b);
}

static void wait_for_earlier(struct gather *g)
{
    if (g->text[0] == 0)
        port_log(g->port, 'I', "replica of %s: the copy waits for what may come back to the target",
                 g->name);
    earlier_explain(&g->earlier, g->text, sizeof g->text);
    g->look_us = g->now.mono_us + EARLIER_LOOK_US;
}

static void asked(struct gather *g)
{
    const struct mark *m = &g->mark;
    bool ours = m->state != MARK_NONE && strcmp(m->source, g->name) == 0;
    make_layout(g);
    bool sound = ours && strcmp(m->id, g->layout) == 0 && strcmp(m->run, g->earlier.name) == 0 &&
                 !g->awake && !g->fresh;
    if (g->refused[0] != 0) {
        say(g, "the target is not ready: %s", g->refused);
        pause_now(g);
    } else if (sound) {
        run_all(g);
    } else if (ours || g->keys == 0 || g->all.flush) {
        if (earlier_waits(&g->earlier, g->now.mono_us, g->all.earlier_us))
            wait_for_earlier(g);
        else
            clear(g);
    } else {
        say(g,
            "the target holds %llu keys%s: empty it, or say that they may go (--flush; REST: "
            "replica_flush)",
            (unsigned long long)g->keys, m->state != MARK_NONE ? " of other sources" : "");
        enter(g, STOPPED);
    }
}

static void cleared(struct gather *g)
{
    if (g->refused[0] != 0) {
        say(g, "the target refuses: %s", g->refused);
        pause_now(g);
        return;
    }
    g->fresh = false;
    g->all.flush = false; /* that was said of what was there then */
    run_all(g);
}

static void look_at(struct gather *g, unsigned i, const struct resp_reply *r)
{
    char text[32];
    if (i == 0) {
        g->awake = r->type == '*' && r->n == 2 && bytes_is(r->items[1].text, "no");
    } else if (i == 2) {
        if (!asker_info(r->text, "run_id", g->run, sizeof g->run) || g->run[0] == 0)
            snprintf(g->run, sizeof g->run, "-");
    } else if (i == 3) {
        snprintf(text, sizeof text, "%.*s", r->text.n < 30 ? (int)r->text.n : 0,
                 (const char *)r->text.p);
        g->keys = strtoull(text, NULL, 10);
    } else if (i == 4) {
        earlier_read(&g->earlier, r->type == '$' ? r->text : bytes_of(NULL, 0), g->run);
    } else if (i == 5 && (r->type != '$' || !mark_read(r->text, &g->mark))) {
        g->mark = (struct mark){.state = r->type == '-' ? MARK_LOADING : MARK_NONE};
    }
}

static void target_reply(void *arg, unsigned i, const struct resp_reply *r)
{
    struct gather *g = arg;
    if (g->fencing) {
        g->fencing = !fence_reply(&g->fence, &g->target, g->port, i, r);
        if (!g->fencing)
            ask_questions(g);
        return;
    }
    bool wrong_type = r->text.n >= 9 && memcmp(r->text.p, "WRONGTYPE", 9) == 0;
    if (r->type == '-' && g->refused[0] == 0 && !wrong_type && !(g->state == ASKING && i < 2))
        snprintf(g->refused, sizeof g->refused, "%.*s", r->text.n < 200 ? (int)r->text.n : 200,
                 (const char *)r->text.p);
    if (g->state == ASKING)
        look_at(g, i, r);
    if (g->target.state != ASKER_IDLE)
        return;
    if (g->state == ASKING)
        asked(g);
    else if (g->state == CLEARING)
        cleared(g);
    else if (g->state == FORGETTING)
        enter(g, ENDED);
}

static void target_lost(void *arg, const char *text, bool refused)
{
    struct gather *g = arg;
    if (g->state == RUNNING || g->state == LEAVING || g->state >= PAUSE)
        return; /* the followers see to it */
    if (g->state == FORGETTING) {
        enter(g, ENDED);
        return;
    }
    say(g, refused ? "the target does not take user and password: %s" : "the target: %s", text);
    pause_now(g);
    if (refused)
        enter(g, STOPPED);
}

/* ------------------------------------------------------------ time */

static void begin(struct gather *g)
{
    bool any = false;
    for (unsigned i = 0; i < g->count; i++)
        any |= g->clusters[i];
    if (!g->several)
        run_all(g);
    else if (any)
        map_all(g, false);
    else
        ask_target(g);
}

void gather_start(struct gather *g, struct port *port, struct moment now)
{
    g->port = port;
    g->now = now;
    g->tick_us = now.mono_us + SECOND_US;
    begin(g);
}

/* One that has stopped decides for all. */
static void look_at_followers(struct gather *g)
{
    struct follow_status s;
    unsigned following = 0;
    for (unsigned i = 0; i < g->n && g->state == RUNNING; i++) {
        follow_status(g->ones[i].follow, &s);
        following += s.state == FOLLOW_FOLLOWING;
        if (s.state != FOLLOW_STOPPED)
            continue;
        if (s.cluster) {
            g->clusters[g->ones[i].source] = g->several = true;
            g->wait_us = PAUSE_FIRST_US / 10; /* nothing has gone wrong */
            leave(g, PAUSE);
        } else if (s.fresh) {
            g->fresh = true;
            say(g, "everything is copied anew: %.250s", s.text);
            leave(g, PAUSE);
        } else {
            memcpy(g->text, s.text, sizeof g->text);
            memcpy(g->error, s.text, sizeof g->error);
            leave(g, STOPPED);
        }
    }
    if (g->n > 0 && following == g->n && g->now.mono_us - g->state_us > 30 * SECOND_US)
        g->wait_us = PAUSE_FIRST_US;
}

static void left(struct gather *g)
{
    bool over = true;
    for (unsigned i = 0; i < g->n; i++)
        over &= follow_is_over(g->ones[i].follow);
    if (!over && g->now.mono_us - g->state_us < LEAVE_US)
        return;
    if (g->ending && g->several && g->forget) {
        enter(g, FORGETTING);
        if (g->target.state == ASKER_CLOSED)
            asker_open(&g->target, g->port);
        else
            target_open(g);
    } else if (g->ending) {
        enter(g, ENDED);
    } else if (g->next == STOPPED) {
        g->state = STOPPED;
    } else {
        pause_now(g);
    }
}

void gather_tick(struct gather *g, struct moment now)
{
    g->now = now;
    if (g->state == IDLE || gather_is_over(g))
        return;
    for (unsigned i = 0; i < g->n; i++)
        follow_tick(g->ones[i].follow, now);
    if (now.mono_us >= g->tick_us) {
        g->tick_us = now.mono_us + SECOND_US;
        asker_tick(&g->target, g->port, g->all.silence_us);
        asker_tick(&g->guide, g->port, g->all.silence_us);
    }
    if (g->state == RUNNING && !g->ending)
        look_at_followers(g);
    if (g->state == RUNNING && g->several && now.mono_us >= g->map_us) {
        g->map_us = now.mono_us + MAP_EVERY_US;
        if (!g->watching)
            map_all(g, true);
    }
    if (g->state == ASKING && g->look_us != 0 && now.mono_us >= g->look_us &&
        g->target.state == ASKER_IDLE)
        target_open(g);
    if (g->state == LEAVING)
        left(g);
    if (g->state == PAUSE && now.mono_us >= g->pause_us)
        begin(g);
    if (g->state == FORGETTING && now.mono_us - g->state_us >= LEAVE_US)
        enter(g, ENDED);
}

void gather_end(struct gather *g, bool forget, struct moment now)
{
    g->now = now;
    if (g->state == IDLE)
        g->state = ENDED;
    if (g->ending || gather_is_over(g))
        return;
    g->ending = true;
    g->forget = forget;
    leave(g, ENDED);
    left(g);
}

bool gather_is_over(const struct gather *g)
{
    if (g->state == LEAVING && g->ending && !g->several && g->n == 1)
        return follow_is_over(g->ones[0].follow);
    return g->state == STOPPED || g->state == ENDED;
}

uint64_t gather_deadline(const struct gather *g)
{
    uint64_t at = g->tick_us;
    if (g->state == IDLE || gather_is_over(g))
        return UINT64_MAX;
    if (g->state == PAUSE && g->pause_us < at)
        at = g->pause_us;
    if (g->state == ASKING && g->look_us != 0 && g->look_us < at)
        at = g->look_us;
    for (unsigned i = 0; i < g->n; i++)
        if (follow_deadline(g->ones[i].follow) < at)
            at = follow_deadline(g->ones[i].follow);
    return at;
}

/* ------------------------------------------------------------ how it is */

/* How far one is: a paused one is behind all others. */
static unsigned rank(const struct follow_status *s)
{
    return s->state == FOLLOW_STOPPED ? 0 : s->state == FOLLOW_PAUSE ? 1 : 2 + (unsigned)s->state;
}

static void add(struct follow_status *all, const struct follow_status *s, bool first)
{
    struct follow_status sum = *all;
    if (first) {
        *all = *s;
        return;
    }
    if (rank(s) < rank(all) || (all->text[0] == 0 && s->text[0] != 0)) {
        sum.state = rank(s) < rank(all) ? s->state : all->state;
        memcpy(sum.text, s->text, sizeof sum.text);
    }
    if (s->error[0] != 0)
        memcpy(sum.error, s->error, sizeof sum.error);
    sum.replication_id[0] = 0; /* each has its own */
    sum.in_sync = all->in_sync && s->in_sync;
    sum.doubtful |= s->doubtful;
    sum.received += s->received;
    sum.applied += s->applied;
    sum.lag_bytes = all->lag_bytes < 0 || s->lag_bytes < 0 ? -1 : all->lag_bytes + s->lag_bytes;
    sum.lag_ms = all->lag_ms < 0 || s->lag_ms < 0 ? -1
                 : s->lag_ms > all->lag_ms        ? s->lag_ms
                                                  : all->lag_ms;
    sum.snapshot_bytes += s->snapshot_bytes;
    sum.snapshot_read += s->snapshot_read;
    sum.keys += s->keys;
    sum.failed += s->failed;
    sum.fields += s->fields;
    sum.commands += s->commands;
    sum.transactions += s->transactions;
    sum.passed_over += s->passed_over;
    sum.full_syncs += s->full_syncs;
    sum.partial_syncs += s->partial_syncs;
    *all = sum;
}

static unsigned sum_of(const struct gather *g, unsigned from, unsigned to,
                       struct follow_status *out)
{
    struct follow_status s;
    unsigned n = 0;
    for (unsigned i = 0; i < g->n; i++) {
        if (g->ones[i].source < from || g->ones[i].source >= to)
            continue;
        follow_status(g->ones[i].follow, &s);
        add(out, &s, n++ == 0);
    }
    return n;
}

static void silent(const struct gather *g, char *out, size_t size)
{
    uint64_t target = asker_silent_us(&g->target, g->now),
             guide = asker_silent_us(&g->guide, g->now);
    char how_long[32];
    asker_put_silence(target > guide ? target : guide, how_long, sizeof how_long);
    if (target >= FOLLOW_SILENT_US)
        snprintf(out, size, "the target has not answered %s", how_long);
    else if (guide >= FOLLOW_SILENT_US)
        snprintf(out, size, "the cluster's %s:%u has not answered %s", g->guide.where.host,
                 g->guide.where.port, how_long);
}

static void own_state(const struct gather *g, struct follow_status *out)
{
    static const enum follow_state states[] = {
        [IDLE] = FOLLOW_IDLE,         [MAPPING] = FOLLOW_SOURCE,    [ASKING] = FOLLOW_TARGET,
        [CLEARING] = FOLLOW_CLEARING, [RUNNING] = FOLLOW_FOLLOWING, [LEAVING] = FOLLOW_ENDING,
        [FORGETTING] = FOLLOW_ENDING, [PAUSE] = FOLLOW_PAUSE,       [STOPPED] = FOLLOW_STOPPED,
        [ENDED] = FOLLOW_ENDED};
    if (g->state == RUNNING || (!g->several && g->ending))
        return;
    out->state = states[g->state];
    out->in_sync = false;
    out->lag_ms = out->lag_bytes = -1;
    memcpy(out->text, g->text, sizeof out->text);
    if (out->text[0] == 0)
        silent(g, out->text, sizeof out->text);
    if (g->error[0] != 0)
        memcpy(out->error, g->error, sizeof out->error);
}

void gather_status(const struct gather *g, struct follow_status *out)
{
    *out = (struct follow_status){.lag_ms = -1, .lag_bytes = -1};
    sum_of(g, 0, g->count, out);
    own_state(g, out);
}

unsigned gather_source_status(const struct gather *g, unsigned source, struct follow_status *out)
{
    *out = (struct follow_status){.lag_ms = -1, .lag_bytes = -1};
    unsigned n = sum_of(g, source, source + 1, out);
    own_state(g, out);
    return n;
}

bool gather_next_uri(const char **list, char *out, size_t size)
{
    const char *from = *list, *end = from;
    while (*end != 0 && !((*end == ',' || *end == ' ') && (strncmp(end + 1, "redis://", 8) == 0 ||
                                                           strncmp(end + 1, "rediss://", 9) == 0)))
        end++;
    size_t n = (size_t)(end - from);
    *list = end + (*end != 0);
    out[0] = 0;
    if (n < size) {
        memcpy(out, from, n);
        out[n] = 0;
    }
    return *from != 0;
}
