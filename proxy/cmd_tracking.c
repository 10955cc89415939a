/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/tracking.h"

/* CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR:
 * https://redis.io/docs/latest/commands/client-tracking/ */

/* The options from argv[3] on; prefixes go to `prefixes`, which has room for all arguments. */
static bool parse(struct ask *a, struct tracker *t, struct bytes *prefixes, uint32_t *n)
{
    *n = 0;
    for (uint32_t i = 3; i < a->argc; i++) {
        struct bytes word = a->argv[i];
        bool more = i + 1 < a->argc;
        int64_t id = 0;
        if (bytes_is_nocase(word, "redirect") && more) {
            if (t->redirect != 0) {
                reply_error(&a->reply, "ERR A client can only redirect to a single other client");
                return false;
            }
            if (!num_parse_i64(a->argv[++i], &id)) {
                reply_error(&a->reply, ERR_NOT_INT);
                return false;
            }
            t->redirect = id > 0 ? (uint64_t)id : UINT64_MAX;
        } else if (bytes_is_nocase(word, "bcast")) {
            t->bcast = true;
        } else if (bytes_is_nocase(word, "optin")) {
            t->optin = true;
        } else if (bytes_is_nocase(word, "optout")) {
            t->optout = true;
        } else if (bytes_is_nocase(word, "noloop")) {
            t->noloop = true;
        } else if (bytes_is_nocase(word, "prefix") && more) {
            prefixes[(*n)++] = a->argv[++i];
        } else {
            reply_error(&a->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* What does not go together; NULL: nothing. */
static const char *conflict(const struct session *s, const struct tracker *t, uint32_t prefixes)
{
    const struct tracker *old = s->tracker;
    if (!t->bcast && prefixes > 0)
        return "ERR PREFIX option requires BCAST mode to be enabled";
    if (old != NULL && old->bcast != t->bcast)
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    if (t->bcast && (t->optin || t->optout))
        return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    if (t->optin && t->optout)
        return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    if (old != NULL && ((t->optin && old->optout) || (t->optout && old->optin)))
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    return NULL;
}

static bool overlap(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    return n == 0 || memcmp(a.p, b.p, n) == 0;
}

/* One client's prefixes must not overlap: it would hear of a key twice. */
static bool prefixes_apart(struct ask *a, const struct bytes *prefixes, uint32_t n)
{
    const struct session *s = a->session;
    for (uint32_t i = 0; i < n; i++) {
        const struct listener *l =
            session_listens(s, TOPIC_PREFIX) > 0 ? s->listening->first[TOPIC_PREFIX] : NULL;
        for (; l != NULL; l = l->after) {
            struct bytes had = topic_name(l->topic);
            if (!overlap(prefixes[i], had))
                continue;
            reply_errorf(&a->reply,
                         "ERR Prefix '%.*s' overlaps with an existing prefix '%.*s'. Prefixes for "
                         "a single client must not overlap.",
                         (int)prefixes[i].n, (const char *)prefixes[i].p, (int)had.n,
                         (const char *)had.p);
            return false;
        }
        for (uint32_t k = i + 1; k < n; k++) {
            if (!overlap(prefixes[i], prefixes[k]))
                continue;
            reply_errorf(&a->reply,
                         "ERR Prefix '%.*s' overlaps with another provided prefix '%.*s'. Prefixes "
                         "for a single client must not overlap.",
                         (int)prefixes[i].n, (const char *)prefixes[i].p, (int)prefixes[k].n,
                         (const char *)prefixes[k].p);
            return false;
        }
    }
    return true;
}

static void turn_on(struct ask *a, const struct tracker *t, const struct bytes *prefixes,
                    uint32_t n)
{
    struct session *s = a->session;
    struct front *f = a->front;
    bool all = n == 0; /* of BCAST */
    if (s->tracker == NULL)
        s->tracker = mem_zalloc(sizeof *s->tracker);
    *s->tracker = *t;
    (void)tracking_reach(f, s->id);
    (void)topic_join(f, a->port, s, TOPIC_TRACKERS, bytes_of("", 0));
    if (t->bcast && all)
        (void)topic_join(f, a->port, s, TOPIC_PREFIX, bytes_of("", 0));
    for (uint32_t i = 0; i < n; i++)
        (void)topic_join(f, a->port, s, TOPIC_PREFIX, prefixes[i]);
}

#define NO_TARGET "ERR The client ID you want redirect to does not exist"

/* The worker of the session to redirect to has answered, and so have all others by now. */
static void finish_redirect(struct front *f, struct answer *a, struct reply *r)
{
    struct bytes said = a->parts != NULL ? buf_bytes(&a->parts[a->aux]) : buf_bytes(&a->out);
    bool found = bytes_is(said, ":1\r\n");
    buf_clear(&a->out);
    if (found) {
        reply_ok(r);
    } else {
        tracking_off(a->session, f->port);
        reply_error(r, NO_TARGET);
    }
}

/* Like topic_settled; one of the workers is asked for the session, too. */
static void settle_redirected(struct ask *a, uint64_t id)
{
    struct topics *t = &a->front->topics;
    uint32_t at = session_worker(a->front, id);
    struct tracking_word word = {.what = TRACK_REACH, .id = id};
    struct bytes argv[2] = {bytes_of(&word, sizeof word), bytes_of("", 0)};
    struct answer *answer = answer_new(a->front->courier, t->workers - 1);
    answer->finish = finish_redirect;
    answer->aux = at < t->self ? at : at - 1;
    t->untold = false;
    session_wait(a->session, answer);
    for (uint32_t i = 0, part = 0; i < t->workers; i++) {
        struct job job = {.kind = i == at ? JOB_TRACKING : JOB_SETTLED,
                          .db_uid = a->front->db_uid,
                          .argc = i == at ? 2 : 0,
                          .argv = argv};
        if (i != t->self)
            courier_send(a->front->courier, a->port, i, &job, answer, part++);
    }
}

static void tracking_on(struct ask *a, struct tracker *t, const struct bytes *prefixes, uint32_t n)
{
    struct front *f = a->front;
    bool here = t->redirect == 0 || session_worker(f, t->redirect) == courier_self(f->courier);
    if (here && t->redirect != 0 && !tracking_reach(f, t->redirect)) {
        reply_error(&a->reply, NO_TARGET);
        return;
    }
    const char *why = conflict(a->session, t, n);
    if (why != NULL) {
        reply_error(&a->reply, why);
        return;
    }
    if (t->bcast && !prefixes_apart(a, prefixes, n))
        return;
    turn_on(a, t, prefixes, n);
    if (!here) {
        settle_redirected(a, t->redirect);
        return;
    }
    topic_settled(a);
    a->reply.out = a->in_exec ? a->reply.out : session_out(a->session, a->port);
    reply_ok(&a->reply);
}

static void client_tracking(struct ask *a)
{
    struct tracker t = {0};
    struct bytes *prefixes = mem_alloc(a->argc * sizeof prefixes[0]);
    uint32_t n;
    bool on = bytes_is_nocase(a->argv[2], "on");
    if (!parse(a, &t, prefixes, &n)) {
        mem_free(prefixes);
        return;
    }
    if (on) {
        tracking_on(a, &t, prefixes, n);
    } else if (bytes_is_nocase(a->argv[2], "off")) {
        tracking_off(a->session, a->port);
        reply_ok(&a->reply);
    } else {
        reply_error(&a->reply, ERR_SYNTAX);
    }
    mem_free(prefixes);
}

static void client_caching(struct ask *a)
{
    struct tracker *t = a->session->tracker;
    bool yes = bytes_is_nocase(a->argv[2], "yes");
    if (t == NULL)
        reply_error(&a->reply, "ERR CLIENT CACHING can be called only when the client is in "
                               "tracking mode with OPTIN or OPTOUT mode enabled");
    else if (!yes && !bytes_is_nocase(a->argv[2], "no"))
        reply_error(&a->reply, ERR_SYNTAX);
    else if (yes && !t->optin)
        reply_error(&a->reply,
                    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    else if (!yes && !t->optout)
        reply_error(&a->reply,
                    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    else {
        t->caching = true;
        reply_ok(&a->reply);
    }
}

static int64_t redirect_of(const struct session *s)
{
    return s->tracker != NULL ? (int64_t)s->tracker->redirect : -1;
}

static void client_getredir(struct ask *a) { reply_int(&a->reply, redirect_of(a->session)); }

static void client_trackinginfo(struct ask *a)
{
    const struct session *s = a->session;
    const struct tracker none = {0}, *t = s->tracker != NULL ? s->tracker : &none;
    const struct {
        bool set;
        const char *name;
    } flags[] = {{t == &none, "off"},
                 {t != &none, "on"},
                 {t->bcast, "bcast"},
                 {t->optin, "optin"},
                 {t->optin && t->caching, "caching-yes"},
                 {t->optout, "optout"},
                 {t->optout && t->caching, "caching-no"},
                 {t->noloop, "noloop"},
                 {t->broken, "broken_redirect"}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        n += flags[i].set;
    reply_map(&a->reply, 3);
    reply_bulk_str(&a->reply, "flags");
    reply_set(&a->reply, n);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].set)
            reply_bulk_str(&a->reply, flags[i].name);
    reply_bulk_str(&a->reply, "redirect");
    reply_int(&a->reply, redirect_of(s));
    reply_bulk_str(&a->reply, "prefixes");
    n = session_listens(s, TOPIC_PREFIX);
    reply_array(&a->reply, n);
    for (const struct listener *l = n > 0 ? s->listening->first[TOPIC_PREFIX] : NULL; l != NULL;
         l = l->after)
        reply_bulk(&a->reply, topic_name(l->topic));
}

const struct session_command cmd_tracking_commands[] = {
    {"client|tracking", client_tracking, SESSION_ALONE},
    {"client|caching", client_caching, 0},
    {"client|trackinginfo", client_trackinginfo, 0},
    {"client|getredir", client_getredir, 0},
    {NULL, NULL, 0},
};
