/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* The follower's link to its target: what it holds, and rounds of commands with the mark. */
#include "migrate/follow_inside.h"

#include "base/num.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

#define WAIT_FIRST_US 100000u
#define WAIT_MAX_US 2000000u
#define MARK_EVERY_US 1000000u

static void opened(void *arg);
static void replied(void *arg, unsigned i, const struct resp_reply *r);
static void lost(void *arg, const char *text, bool refused);

void follow_target_init(struct follow *f)
{
    struct follow_target *t = &f->target;
    char what[350];
    asker_init(&t->ask,
               &(struct asker_where){.host = f->opts.target_host,
                                     .port = f->opts.target_port,
                                     .tls = f->opts.target_tls,
                                     .user = bytes_str(f->opts.target_user),
                                     .password = bytes_str(f->opts.target_password)},
               &f->now,
               (struct asker_hooks){.arg = f, .open = opened, .reply = replied, .lost = lost});
    t->wait_us = WAIT_FIRST_US;
    if (f->opts.field != NULL)
        snprintf(what, sizeof what, "%s", f->opts.field);
    else
        snprintf(what, sizeof what, "%s/%lld", f->source_name, (long long)f->opts.source_db);
    fence_init(&t->fence, what, f->opts.field == NULL);
}

void follow_target_deinit(struct follow *f)
{
    asker_deinit(&f->target.ask, f->port);
    fence_deinit(&f->target.fence);
    batch_round_deinit(&f->target.sent);
    buf_deinit(&f->target.unknown);
}

bool follow_target_is_idle(const struct follow *f)
{
    return f->target.round == ROUND_NONE && !f->target.again && !f->target.lost;
}

static void ask(struct follow *f, enum follow_round round, const struct buf *requests, unsigned n)
{
    struct follow_target *t = &f->target;
    t->round = round;
    t->refused[0] = 0;
    t->passes = false;
    t->inner = 0;
    buf_clear(&t->unknown);
    asker_ask(&t->ask, f->port, buf_bytes(requests), n);
}

static void hello(struct follow *f)
{
    struct buf b = {0};
    asker_put_words(&b, "CONFIG GET import-mode");
    asker_put_words(&b, "CONFIG SET import-mode yes");
    asker_put_words(&b, "INFO server");
    asker_put_words(&b, "DBSIZE");
    asker_put_words(&b, "INFO crdt");
    if (f->opts.field != NULL) {
        const struct bytes argv[] = {bytes_str("HGET"), bytes_str(MARK_KEY),
                                     bytes_str(f->opts.field)};
        resp_request_put(&b, 3, argv);
    } else {
        asker_put_words(&b, "GET " MARK_KEY);
    }
    ask(f, ROUND_HELLO, &b, 6);
    buf_deinit(&b);
}

void follow_target_reach(struct follow *f)
{
    struct follow_target *t = &f->target;
    if (t->ask.state == ASKER_ASKING) { /* of the last try: its answer says what is applied */
        f->pause_us = f->now.mono_us + WAIT_FIRST_US;
        return;
    }
    t->again = t->lost = false;
    t->sent_since_us = t->look_us = 0;
    follow_enter(f, FOLLOW_TARGET);
    if (t->ask.state == ASKER_CLOSED)
        asker_open(&t->ask, f->port);
    else if (t->ask.state == ASKER_IDLE)
        opened(f); /* a load that was given up may have left something under way */
}

static void opened(void *arg)
{
    struct follow *f = arg;
    f->target.round = ROUND_FENCE;
    fence_begin(&f->target.fence, &f->target.ask, f->port);
}

static void fenced(struct follow *f)
{
    const struct fence *n = &f->target.fence;
    if (n->refused[0] != 0)
        port_log(f->port, 'W',
                 "replica of %s: the target does not let connections of earlier followers be "
                 "closed (%s): what these had sent may be done late; allow +client",
                 f->source_name, n->refused);
    hello(f);
}

/* ------------------------------------------------------------ hello */

static bool error_begins(const struct resp_reply *r, const char *with)
{
    size_t n = strlen(with);
    return r->text.n >= n && memcmp(r->text.p, with, n) == 0;
}

/* What may go away by itself, or by what an operator does at the target. */
static bool may_pass(const struct resp_reply *r)
{
    static const char *const passing[] = {"OOM",        "LOADING",  "BUSY",
                                          "STALE",      "MISCONF",  "CLUSTERDOWN",
                                          "MASTERDOWN", "TRYAGAIN", "ERR max number of clients"};
    for (unsigned i = 0; i < sizeof passing / sizeof passing[0]; i++)
        if (error_begins(r, passing[i]))
            return true;
    return false;
}

static void note_refused(struct follow *f, const char *what, const struct resp_reply *r)
{
    struct follow_target *t = &f->target;
    if (t->refused[0] != 0)
        return;
    t->passes = may_pass(r);
    snprintf(t->refused, sizeof t->refused, "%.120s: %.*s", what,
             r->text.n < 180 ? (int)r->text.n : 180, (const char *)r->text.p);
}

static void look_at_info(struct follow *f, struct bytes info)
{
    struct follow_target *t = &f->target;
    char text[32] = "";
    int64_t n;
    t->shards = 1;
    if (asker_info(info, "shards", text, sizeof text) && num_parse_i64(bytes_str(text), &n) &&
        n > 0)
        t->shards = (uint32_t)n;
    t->loose = t->shards > 1;
    if (!asker_info(info, "run_id", t->run, sizeof t->run) || t->run[0] == 0)
        snprintf(t->run, sizeof t->run, "-");
}

static void hello_reply(struct follow *f, unsigned i, const struct resp_reply *r)
{
    struct follow_target *t = &f->target;
    int64_t n;
    if (i == 0)
        t->awake = r->type == '*' && r->n == 2 && bytes_is(r->items[1].text, "no");
    else if (i == 1) /* a target that does not know it is still a target */
        return;
    else if (i == 5 && r->type == '-' && error_begins(r, "WRONGTYPE")) /* of one, of several */
        t->mark = (struct mark){.state = MARK_LOADING, .source = "other sources", .db = -1};
    else if (r->type == '-')
        note_refused(f, i == 2 || i == 4 ? "INFO" : i == 3 ? "DBSIZE" : "GET " MARK_KEY, r);
    else if (i == 2)
        look_at_info(f, r->text);
    else if (i == 3)
        t->keys = num_parse_i64(r->text, &n) && n > 0 ? (uint64_t)n : 0;
    else if (i == 4)
        earlier_read(&t->earlier, r->text, t->run);
    else if (r->type != '$' || !mark_read(r->text, &t->mark))
        t->mark = (struct mark){0};
}

/* While following the source waits: what was under way has been applied, or not, or the target is
 * another one than it was. */
static void meet_again(struct follow *f, const struct mark *before)
{
    struct follow_target *t = &f->target;
    bool same = t->mark.state == MARK_AT && strcmp(t->mark.run, t->earlier.name) == 0 &&
                (!t->awake || f->opts.field != NULL) && before->state == MARK_AT &&
                strcmp(t->mark.source, f->source_name) == 0;
    t->lost = false;
    follow_say(f, "%s", "");
    if (same && t->again && t->mark.offset == t->next.offset &&
        strcmp(t->mark.id, t->next.id) == 0) {
        t->again = false;
        t->sent_since_us = 0;
        f->applied = t->mark.offset;
    } else if (!same || t->mark.offset != before->offset) {
        t->again = false;
        follow_retry(f, "the target is not as it was left");
        return;
    }
    t->again_us = 0;
    follow_target_turn(f);
    follow_source_pump(f);
}

/* Before the target is emptied, and once a second while it follows. */
static void wait_for_earlier(struct follow *f)
{
    struct follow_target *t = &f->target;
    char text[FOLLOW_TEXT_MAX];
    earlier_explain(&t->earlier, text, sizeof text);
    if (f->text[0] == 0)
        port_log(f->port, 'I', "replica of %s: the copy waits: %s", f->source_name, text);
    follow_say(f, "%s", text);
    t->look_us = f->now.mono_us + EARLIER_LOOK_US;
}

void follow_target_tick(struct follow *f)
{
    struct follow_target *t = &f->target;
    if (f->state != FOLLOW_TARGET || t->look_us == 0 || f->now.mono_us < t->look_us ||
        t->ask.state != ASKER_IDLE)
        return;
    t->look_us = 0;
    hello(f);
}

static void ask_earlier(struct follow *f)
{
    struct buf b = {0};
    f->target.look_us = f->now.mono_us + EARLIER_LOOK_US;
    asker_put_words(&b, "INFO crdt");
    ask(f, ROUND_LOOK, &b, 1);
    buf_deinit(&b);
}

/* Something of them has come: our copy lies below it. */
static void look_at_earlier(struct follow *f, const struct resp_reply *r)
{
    struct follow_target *t = &f->target;
    char before[sizeof t->earlier.name];
    memcpy(before, t->earlier.name, sizeof before);
    if (r->type == '-')
        return;
    earlier_read(&t->earlier, r->text, t->run);
#ifdef MUTANT_earlier_lives_stay
    return;
#endif
    if (f->state == FOLLOW_FOLLOWING && strcmp(before, t->earlier.name) != 0)
        follow_retry(f, "what the target had written before its crash has come back to it: all is "
                        "copied anew");
}

static void decide(struct follow *f)
{
    struct follow_target *t = &f->target;
    struct mark *m = &t->mark;
    bool ours = m->state != MARK_NONE && strcmp(m->source, f->source_name) == 0 &&
                m->db == f->opts.source_db;
    bool sound = m->state == MARK_AT && m->db == f->opts.source_db &&
                 strcmp(m->run, t->earlier.name) == 0 && (!t->awake || f->opts.field != NULL) &&
                 !f->anew;
    if (f->opts.field != NULL) { /* what is there belongs to others, too */
        bool same = f->opts.run == NULL || strcmp(f->opts.run, t->earlier.name) == 0;
#ifdef MUTANT_gather_any_run
        same = true; /* the planted bug: a target that lost the mark is taken for an empty one */
#endif
        t->owned = m->state == MARK_NONE && same; /* else a crash took the mark, not all keys */
        t->fresh = !same || (!sound && !t->owned);
        if (t->fresh)
            follow_stop(f, "the copy of %s cannot be continued", f->source_name);
        else
            follow_source_reach(f);
        return;
    }
    t->owned = ours || t->keys == 0 || f->opts.flush;
    if (!t->owned && !sound && m->db >= 0) { /* of several: a cluster's are known only there */
        follow_stop(
            f,
            "the target holds %llu keys%s%.200s: empty it, or say that they may go (--flush; "
            "REST: replica_flush)",
            (unsigned long long)t->keys, m->state != MARK_NONE ? ", copied from " : "", m->source);
        return;
    }
    if (!sound && m->state == MARK_AT && t->earlier.since_us == 0)
        port_log(f->port, 'I', "replica of %s: the target's position does not count any more (%s)",
                 f->source_name,
                 f->anew    ? "the stream does not tell all"
                 : t->awake ? "keys may have expired meanwhile"
                            : "it was restarted, or what it had written before came back");
    if (!sound && earlier_waits(&t->earlier, f->now.mono_us, f->opts.earlier_us)) {
        wait_for_earlier(f);
        return;
    }
    if (!sound)
        m->state = MARK_NONE;
    follow_source_reach(f);
}

static void hello_done(struct follow *f, const struct mark *before)
{
    struct follow_target *t = &f->target;
    if (f->state == FOLLOW_ENDING && !t->lost)
        return;
    if (t->refused[0] != 0 && t->passes)
        follow_retry(f, "the target is not ready: %s", t->refused);
    else if (t->refused[0] != 0)
        follow_stop(f, "the target refuses to be written to: %s", t->refused);
    else if (f->state == FOLLOW_FOLLOWING || f->state == FOLLOW_ENDING)
        meet_again(f, before);
    else
        decide(f);
}

/* ------------------------------------------------------------ the mark */

static struct mark mark_of(const struct follow *f, enum mark_state state, uint64_t offset)
{
    struct mark m = {.field = f->opts.field,
                     .state = state,
                     .db = f->opts.source_db,
                     .selected = f->pending.selected,
                     .offset = offset};
    snprintf(m.source, sizeof m.source, "%s", f->source_name);
    snprintf(m.id, sizeof m.id, "%s", f->id);
    snprintf(m.run, sizeof m.run, "%s", f->target.earlier.name);
    return m;
}

static void ask_mark(struct follow *f, enum follow_round round, enum mark_state state,
                     uint64_t offset)
{
    struct buf b = {0};
    f->target.next = mark_of(f, state, offset);
    mark_put_request(&b, &f->target.next);
    ask(f, round, &b, 1);
    buf_deinit(&b);
}

void follow_target_clear(struct follow *f)
{
    struct follow_target *t = &f->target;
    struct buf b = {0};
    unsigned n = 1;
    if (f->opts.field != NULL && !t->owned) {
        t->fresh = true;
        follow_stop(f, "%s does not know any more what came behind our position", f->source_name);
        return;
    }
    if (!t->owned) { /* a position of another source's, which this one does not know */
        follow_stop(f,
                    "the target holds a copy of %s, which %s cannot continue: say that it may go "
                    "(--flush; REST: replica_flush)",
                    t->mark.source, f->source_name);
        return;
    }
    follow_enter(f, FOLLOW_CLEARING);
    if (t->keys > 0 && f->opts.field == NULL) {
        asker_put_words(&b, "FLUSHALL");
        asker_put_words(&b, "FUNCTION FLUSH");
        n = 3;
    }
    t->next = mark_of(f, MARK_LOADING, 0);
    mark_put_request(&b, &t->next);
    ask(f, ROUND_CLEAR, &b, n);
    buf_deinit(&b);
}

void follow_target_loaded(struct follow *f)
{
    f->applied = f->pending.offset = f->source.id_offset;
    f->pending.selected = -1;
    ask_mark(f, ROUND_LOADED, MARK_AT, f->applied);
}

void follow_target_end(struct follow *f)
{
    struct follow_target *t = &f->target;
    struct buf b = {0};
    unsigned n = 1;
    if (t->ask.state != ASKER_IDLE || t->round != ROUND_NONE) {
        if (t->ask.state == ASKER_CLOSED)
            follow_enter(f, FOLLOW_ENDED);
        return;
    }
    t->next = mark_of(f, MARK_AT, f->applied);
    if (f->forget && f->opts.field == NULL) {
        asker_put_words(&b, "DEL " MARK_KEY);
        asker_put_words(&b, "CONFIG SET import-mode no");
        n = 2;
    } else {
        asker_put_words(&b, "PING");
    }
    ask(f, ROUND_END, &b, n);
    buf_deinit(&b);
}

/* ------------------------------------------------------------ rounds */

static void send_round(struct follow *f)
{
    struct follow_target *t = &f->target;
    t->again = false;
    ask(f, ROUND_BATCH, &t->sent.requests, t->sent.replies);
}

static void make_round(struct follow *f)
{
    struct follow_target *t = &f->target;
    struct batch *b = &f->pending;
    bool divided = b->open && b->count > 0;
    t->next = mark_of(f, divided || (t->loose && b->count > 0) ? MARK_BEYOND : MARK_AT, b->offset);
    batch_make_round(b, &t->next, t->loose, &t->sent);
    t->sent_since_us = b->since_us;
    t->sent_count = b->count + b->aparts;
    t->sent_transactions = f->pending_transactions;
    f->pending_transactions = 0;
    f->mark_us = f->now.mono_us + MARK_EVERY_US;
    batch_clear(b);
    send_round(f);
}

void follow_target_turn(struct follow *f)
{
    struct follow_target *t = &f->target;
    const struct batch *b = &f->pending;
#ifndef MUTANT_end_writes_position /* the planted bug: whatever came of what it counts */
    if (f->halted)
        return;
#endif
    if (t->lost && t->ask.state == ASKER_CLOSED && f->now.mono_us >= t->again_us)
        asker_open(&t->ask, f->port);
    if (t->lost || t->round != ROUND_NONE || t->ask.state != ASKER_IDLE)
        return;
    if (t->again) {
        if (f->now.mono_us >= t->again_us)
            send_round(f);
        return;
    }
    if (f->state == FOLLOW_FOLLOWING && t->earlier.open > 0 && f->now.mono_us >= t->look_us) {
        ask_earlier(f);
        return;
    }
    if (batch_is_empty(b)) {
        bool behind = t->mark.state != MARK_AT || t->mark.offset != b->offset ||
                      strcmp(t->mark.id, f->id) != 0;
        if (!b->open) {
            f->applied = b->offset;
            follow_source_answer(f);
            if (behind && f->now.mono_us >= f->mark_us)
                make_round(f);
        }
        return;
    }
    if (b->open && !batch_is_full(b))
        return;
    if (t->loose && t->mark.state == MARK_AT)
        ask_mark(f, ROUND_LOOSE, MARK_BEYOND, t->mark.offset);
    else
        make_round(f);
}

uint64_t follow_target_deadline(const struct follow *f)
{
    const struct follow_target *t = &f->target;
    bool waits = (f->state == FOLLOW_FOLLOWING || f->state == FOLLOW_ENDING) &&
                 (t->again || t->lost) && t->round == ROUND_NONE;
    if (f->state == FOLLOW_TARGET && t->look_us != 0 && t->round == ROUND_NONE)
        return t->look_us;
    return waits ? t->again_us : UINT64_MAX;
}

static void inner_errors(struct follow *f, const struct resp_reply *r)
{
    char name[160];
    for (size_t i = 0; i < r->n; i++) {
        if (r->items[i].type != '-')
            continue;
        f->target.inner++;
        batch_round_name(&f->target.sent, false, (unsigned)i, name, sizeof name);
        note_refused(f, name, &r->items[i]);
    }
}

static void batch_reply(struct follow *f, unsigned i, const struct resp_reply *r)
{
    struct follow_target *t = &f->target;
    unsigned command = 0;
    char name[160] = "the position";
    enum batch_part part = batch_round_part(&t->sent, i, &command);
    if (part == BATCH_EXEC && r->type == '*')
        inner_errors(f, r);
    if (r->type != '-')
        return;
    if (part == BATCH_APART || part == BATCH_QUEUED || part == BATCH_COMMAND)
        batch_round_name(&t->sent, part == BATCH_APART, command, name, sizeof name);
    if (part == BATCH_APART) { /* it changes no keys */
        f->failed++;
        snprintf(f->error, sizeof f->error, "%.120s: %.*s", name,
                 r->text.n < 180 ? (int)r->text.n : 180, (const char *)r->text.p);
        port_log(f->port, 'W', "replica of %s: the target refused %s", f->source_name, f->error);
        return;
    }
    t->inner += part == BATCH_COMMAND;
    if (part == BATCH_QUEUED) {
        uint32_t at = command;
        buf_put(&t->unknown, &at, sizeof at);
    }
    note_refused(f, name, r);
}

static void batch_good(struct follow *f)
{
    struct follow_target *t = &f->target;
    t->mark = t->next;
    f->applied = t->mark.offset;
    f->commands += t->sent_count;
    f->transactions += t->sent_transactions;
    f->failed += t->inner;
    t->sent_since_us = 0;
    t->wait_us = WAIT_FIRST_US;
    if (f->text[0] != 0 && f->state == FOLLOW_FOLLOWING)
        follow_say(f, "%s", "");
    follow_source_answer(f);
    follow_target_turn(f);
    follow_source_pump(f);
    follow_target_turn(f);
}

static void try_again(struct follow *f)
{
    struct follow_target *t = &f->target;
    t->again = true;
    t->again_us = f->now.mono_us + t->wait_us;
    t->wait_us = t->wait_us * 2 > WAIT_MAX_US ? WAIT_MAX_US : t->wait_us * 2;
    follow_say(f, "the target refuses, tried again until it does not: %s", t->refused);
    memcpy(f->error, f->text, sizeof f->error);
}

/* skip_failed: the transaction once more, without what the target did not even queue. */
static void leave_out(struct follow *f)
{
    struct follow_target *t = &f->target;
    size_t n = buf_len(&t->unknown) / sizeof(uint32_t);
    struct buf at = {0};
    buf_put_bytes(&at, buf_bytes(&t->unknown));
    f->failed += n;
    t->sent_count -= n;
    memcpy(f->error, t->refused, sizeof f->error);
    port_log(f->port, 'W', "replica of %s: left out: %s", f->source_name, t->refused);
    batch_round_without(&t->sent, (const uint32_t *)(const void *)at.p, n);
    buf_deinit(&at);
    send_round(f);
}

static bool is_field_ttl(const char *refused)
{
    return strncasecmp(refused, "hpexpire", 8) == 0 || strncasecmp(refused, "hexpire", 7) == 0 ||
           strncasecmp(refused, "hpersist", 8) == 0;
}

static void batch_done(struct follow *f)
{
    struct follow_target *t = &f->target;
    if (f->state != FOLLOW_FOLLOWING && f->state != FOLLOW_ENDING) { /* given up meanwhile */
        t->sent_since_us = 0;
        return;
    }
    if (t->refused[0] == 0 || (t->inner > 0 && f->opts.skip_failed && !t->passes))
        batch_good(f);
    else if (t->inner > 0 && t->sent.loose && t->passes)
        follow_retry(f, "the target refuses: %s", t->refused); /* its mark says: begin anew */
    else if (t->inner > 0) /* the others are applied: the position has lost its meaning */
        ask_mark(f, ROUND_FAILED, MARK_LOADING, 0);
    else if (t->passes)
        try_again(f);
    else if (f->opts.skip_failed && buf_len(&t->unknown) > 0)
        leave_out(f);
    else
        follow_stop(
            f,
            "the target refuses a command, nothing of its transaction was applied: %.150s (a "
            "module's "
            "command, or a newer Redis'? --skip-failed, or ?skip-failed in the URI, goes on "
            "without them%s)",
            t->refused,
            is_field_ttl(t->refused) ? "; --drop-field-ttl without fields' deadlines" : "");
}

/* A snapshot that came without a file: the stream begins when the source has heard of us. */
static void loaded(struct follow *f)
{
    f->anew = false;
    follow_enter(f, FOLLOW_FOLLOWING);
    f->source.asked = true;
    follow_source_answer(f);
}

/* The mark says that everything is to be copied anew. */
static void stop_failed(struct follow *f)
{
    if (strstr(f->error, "CROSSSLOT") != NULL)
        follow_stop(
            f,
            "%s (the target has %u shards, the command's keys lie on several: follow into a "
            "database of one shard, or use hash tags)",
            f->error, f->target.shards);
    else
        follow_stop(f,
                    "the target took a transaction but for %s: was it changed by others? The next "
                    "start copies everything anew",
                    f->error);
}

static void round_done(struct follow *f, enum follow_round round, const struct mark *before)
{
    struct follow_target *t = &f->target;
    bool bad = t->refused[0] != 0;
    char text[FOLLOW_TEXT_MAX];
    memcpy(text, t->refused, sizeof text);
    if (round == ROUND_HELLO)
        hello_done(f, before);
    else if (round == ROUND_BATCH)
        batch_done(f);
    else if (round == ROUND_END)
        follow_enter(f, FOLLOW_ENDED);
    else if (round == ROUND_FAILED)
        stop_failed(f);
    else if (bad && t->passes)
        follow_retry(f, "the target refuses: %s", text);
    else if (bad)
        follow_stop(f, "the target refuses: %s", text);
    else if (round != ROUND_LOOK)
        t->mark = t->next;
    if (bad || follow_is_over(f))
        return;
    if (round == ROUND_LOOK)
        follow_target_turn(f);
    if (round == ROUND_CLEAR && f->state == FOLLOW_CLEARING)
        follow_enter(f, FOLLOW_WAITING);
    if (round == ROUND_LOADED && f->state == FOLLOW_LOADING)
        loaded(f);
    if (round == ROUND_LOOSE)
        follow_target_turn(f);
    follow_source_pump(f);
}

static void replied(void *arg, unsigned i, const struct resp_reply *r)
{
    struct follow *f = arg;
    struct follow_target *t = &f->target;
    struct mark before = t->mark;
    enum follow_round round = t->round;
    if (round == ROUND_FENCE) {
        if (fence_reply(&t->fence, &t->ask, f->port, i, r))
            fenced(f);
        return;
    }
    if (round == ROUND_HELLO)
        hello_reply(f, i, r);
    else if (round == ROUND_BATCH)
        batch_reply(f, i, r);
    else if (round == ROUND_LOOK)
        look_at_earlier(f, r);
    else if (r->type == '-' && round != ROUND_END)
        note_refused(f, "a request of the follower", r);
    if (t->ask.state != ASKER_IDLE)
        return;
    t->round = ROUND_NONE;
    if (round == ROUND_BATCH && t->inner > 0)
        memcpy(f->error, t->refused, sizeof f->error);
    round_done(f, round, &before);
}

static void lost(void *arg, const char *text, bool refused)
{
    struct follow *f = arg;
    struct follow_target *t = &f->target;
    enum follow_round round = t->round;
    t->round = ROUND_NONE;
    if (refused) {
        follow_stop(f, "the target does not take user and password: %s", text);
        return;
    }
    if (f->state == FOLLOW_PAUSE || follow_is_over(f))
        return;
    if (f->state != FOLLOW_FOLLOWING && f->state != FOLLOW_ENDING) {
        follow_retry(f, "the connection to the target: %s", text);
        return;
    }
    t->again |= round == ROUND_BATCH;
    t->lost = true;
    t->again_us = f->now.mono_us + t->wait_us;
    t->wait_us = t->wait_us * 2 > WAIT_MAX_US ? WAIT_MAX_US : t->wait_us * 2;
    follow_say(f, "the connection to the target: %s", text);
    memcpy(f->error, f->text, sizeof f->error);
}
