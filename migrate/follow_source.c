/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* The follower's link to its source: dialling, handshake, snapshot, stream. */
#include "migrate/follow_inside.h"

#include "base/num.h"

#include <stdio.h>

#define PAUSE_BYTES (256u << 10) /* bytes held unread before the source is told to wait */
/* How the detail of ERR_TLS begins where the certificate is not taken (base/port.h). */
#define TLS_CERTIFICATE "the peer's certificate"
#define PROBE_US 1000000u
#define RESTS_US 15000000u

static void step(struct conn_owner *self, struct port *port, const struct event *ev);
static void probe(struct follow *f);
static void probe_open(void *arg);
static void probe_reply(void *arg, unsigned i, const struct resp_reply *r);
static void probe_lost(void *arg, const char *text, bool refused);

void follow_source_init(struct follow *f)
{
    struct follow_source *s = &f->source;
    *s = (struct follow_source){.owner = {.step = step}, .follow = f, .offset = -1};
    asker_init(&s->probe,
               &(struct asker_where){.host = f->opts.source_host,
                                     .port = f->opts.source_port,
                                     .tls = f->opts.source_tls,
                                     .user = bytes_str(f->opts.source_user),
                                     .password = bytes_str(f->opts.source_password)},
               &f->now,
               (struct asker_hooks){
                   .arg = f, .open = probe_open, .reply = probe_reply, .lost = probe_lost});
}

void follow_source_close(struct follow *f)
{
    struct follow_source *s = &f->source;
    if (s->conn != 0)
        f->port->ops->close(f->port, s->conn, false);
    s->conn = 0;
    s->step = SOURCE_CLOSED;
    s->paused = s->asked = false;
    s->offset = -1;
    if (f->port != NULL)
        asker_close(&s->probe, f->port);
    psync_reset(&s->psync);
}

void follow_source_deinit(struct follow *f)
{
    follow_source_close(f);
    asker_deinit(&f->source.probe, f->port);
    psync_deinit(&f->source.psync);
}

void follow_source_reach(struct follow *f)
{
    struct follow_source *s = &f->source;
    follow_enter(f, FOLLOW_SOURCE);
    psync_reset(&s->psync);
    s->step = SOURCE_DIALLING;
    s->spoke = false;
    s->heard_us = f->now.mono_us;
    s->conn = f->port->ops->dial(f->port, &(struct dial_opts){.host = f->opts.source_host,
                                                              .port = f->opts.source_port,
                                                              .tls = f->opts.source_tls,
                                                              .owner = &s->owner});
}

static void tell(struct follow *f, struct bytes text)
{
    struct buf *out = f->source.conn != 0 ? f->port->ops->out(f->port, f->source.conn) : NULL;
    if (out != NULL)
        buf_put_bytes(out, text);
    f->source.told_us = f->now.mono_us;
}

static void tell_words(struct follow *f, const char *words)
{
    struct buf text = {0};
    asker_put_words(&text, words);
    tell(f, buf_bytes(&text));
    buf_deinit(&text);
}

static void tell_offset(struct follow *f)
{
    char text[64];
    snprintf(text, sizeof text, "REPLCONF ACK %llu", (unsigned long long)f->applied);
    tell_words(f, text);
    f->source.asked = false;
}

/* Only once all that came before the question is applied: whoever WAITs at the source then knows.
 */
void follow_source_answer(struct follow *f)
{
    if (f->source.asked && f->source.step == SOURCE_STREAM)
        tell_offset(f);
}

/* ------------------------------------------------------------ the handshake */

/* The port is 0: a Sentinel that watches the source must not take the target for its replica. */
static void next_question(struct follow *f)
{
    struct follow_source *s = &f->source;
    char words[128];
    struct buf auth = {0};
    s->step++;
    if (s->step == SOURCE_AUTH && f->opts.source_password[0] == 0)
        s->step++;
    switch (s->step) {
    case SOURCE_AUTH:
        asker_put_auth(&auth, bytes_str(f->opts.source_user), bytes_str(f->opts.source_password));
        tell(f, buf_bytes(&auth));
        buf_deinit(&auth);
        break;
    case SOURCE_INFO:
        tell_words(f, "INFO");
        break;
    case SOURCE_PORT:
        tell_words(f, "REPLCONF listening-port 0");
        break;
    case SOURCE_CAPA:
        tell_words(f, "REPLCONF capa eof capa psync2");
        break;
    default:
        if (f->target.mark.state == MARK_AT)
            snprintf(words, sizeof words, "PSYNC %s %llu", f->target.mark.id,
                     (unsigned long long)f->target.mark.offset + 1);
        else
            snprintf(words, sizeof words, "PSYNC ? -1");
        tell_words(f, words);
        break;
    }
}

static bool begins(struct bytes text, const char *with)
{
    size_t n = strlen(with);
    return text.n >= n && memcmp(text.p, with, n) == 0;
}

/* An error in the handshake: what passes is tried again. `text` is without the '-'. */
static void refused(struct follow *f, struct bytes text)
{
    static const char *const passing[] = {"LOADING", "MASTERDOWN", "NOMASTERLINK",
                                          "BUSY",    "TRYAGAIN",   "ERR max number of clients",
                                          "MISCONF"};
    const char *name = f->source_name;
    int n = text.n < 160 ? (int)text.n : 160;
    for (unsigned i = 0; i < sizeof passing / sizeof passing[0]; i++)
        if (begins(text, passing[i])) {
            follow_retry(f, "the source %s is not ready: %.*s", name, n, (const char *)text.p);
            return;
        }
    if (begins(text, "NOAUTH") || begins(text, "ERR operation not permitted"))
        follow_stop(f, "the source %s wants a password: give user and password", name);
    else if (begins(text, "WRONGPASS") || begins(text, "ERR invalid password") ||
             begins(text, "ERR AUTH"))
        follow_stop(f, "the source %s does not take user and password: %.*s", name, n,
                    (const char *)text.p);
    else if (begins(text, "NOPERM"))
        follow_stop(f,
                    "the user at the source %s may not replicate: it needs +psync +replconf +ping "
                    "+info (ACL SETUSER): %.*s",
                    name, n, (const char *)text.p);
    else if (begins(text, "ERR unknown command 'PSYNC'"))
        follow_stop(f,
                    "the source %s does not know PSYNC (Redis before 2.8, or something in "
                    "between): import an RDB file of it",
                    name);
    else
        follow_stop(f,
                    "the source %s refuses to be followed (%.*s): is replication forbidden there? "
                    "Then import an RDB file of it",
                    name, n, (const char *)text.p);
}

static void look_at_info(struct follow *f, struct bytes info)
{
    char mode[32] = "standalone", loading[8] = "0", run[MARK_ID_MAX + 1] = "";
    (void)asker_info(info, "run_id", run, sizeof run);
    (void)asker_info(info, "redis_mode", mode, sizeof mode);
    (void)asker_info(info, "loading", loading, sizeof loading);
    if (run[0] != 0 && strcmp(run, f->target.run) == 0)
        follow_stop(f, "%s is the target itself", f->source_name);
    else if (strcmp(mode, "sentinel") == 0)
        follow_stop(f,
                    "%s is a Sentinel, not a database: ask it for the address (SENTINEL "
                    "get-master-addr-by-name) and follow that",
                    f->source_name);
    else if (strcmp(mode, "cluster") == 0 && !f->opts.cluster_node) {
        f->source.cluster = true; /* whoever follows several begins anew with all masters */
        follow_stop(f,
                    "%s is a node of a Redis Cluster and has only some of its keys: follow all its "
                    "masters",
                    f->source_name);
    } else if (strcmp(loading, "0") != 0)
        follow_retry(f, "the source %s is loading its data", f->source_name);
    else
        next_question(f);
}

static struct bytes line_of(struct bytes text)
{
    while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
        text.n--;
    return text;
}

static struct bytes word(struct bytes *text)
{
    while (text->n > 0 && text->p[0] == ' ')
        *text = bytes_of(text->p + 1, text->n - 1);
    const uint8_t *blank = text->n > 0 ? memchr(text->p, ' ', text->n) : NULL;
    struct bytes w = bytes_of(text->p, blank != NULL ? (size_t)(blank - text->p) : text->n);
    *text = bytes_of(text->p + w.n, text->n - w.n);
    return w;
}

static bool keep_id(struct follow *f, struct bytes id)
{
    if (id.n == 0 || id.n > MARK_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= ' ' || id.p[i] >= 127)
            return false;
    memcpy(f->id, id.p, id.n);
    f->id[id.n] = 0;
    return true;
}

/* "+FULLRESYNC <id> <offset>" */
static void full(struct follow *f, struct bytes line)
{
    int64_t offset;
    (void)word(&line);
    if (!keep_id(f, word(&line)) || !num_parse_i64(word(&line), &offset) || offset < 0) {
        follow_retry(f, "the source %s answers PSYNC as no Redis does", f->source_name);
        return;
    }
    f->source.id_offset = (uint64_t)offset;
    f->full_syncs++;
    port_log(f->port, 'I', "replica of %s: full synchronization", f->source_name);
    psync_snapshot(&f->source.psync);
    follow_target_clear(f);
}

/* "+CONTINUE [<id>]": a new id, when another server has become the source. */
static void partial(struct follow *f, struct bytes line)
{
    (void)word(&line);
    struct bytes id = word(&line);
    snprintf(f->id, sizeof f->id, "%s", f->target.mark.id);
    if (id.n > 0 && !keep_id(f, id)) {
        follow_retry(f, "the source %s answers PSYNC as no Redis does", f->source_name);
        return;
    }
    f->partial_syncs++;
    f->applied = f->pending.offset = f->target.mark.offset;
    f->pending.selected = f->effects.selected = f->target.mark.selected;
    port_log(f->port, 'I', "replica of %s: goes on at %llu", f->source_name,
             (unsigned long long)f->applied);
    psync_commands(&f->source.psync, f->applied);
    follow_enter(f, FOLLOW_FOLLOWING);
}

static void answer_psync(struct follow *f, struct bytes line)
{
    f->source.step = SOURCE_STREAM;
    f->effects.selected = -1;
    if (begins(line, "+FULLRESYNC "))
        full(f, line);
    else if (begins(line, "+CONTINUE") && f->target.mark.state == MARK_AT)
        partial(f, line);
    else if (begins(line, "-"))
        refused(f, bytes_of(line.p + 1, line.n - 1));
    else
        follow_retry(f, "the source %s answers PSYNC as no Redis does", f->source_name);
}

static void answer(struct follow *f, struct bytes text)
{
    struct bytes line = line_of(text);
    bool error = text.p[0] == '-';
    struct bytes why = bytes_of(line.p + 1, line.n - 1);
    switch (f->source.step) {
    case SOURCE_AUTH:
        if (error && !begins(why, "ERR AUTH <password> called without any password"))
            refused(f, why);
        else
            next_question(f);
        break;
    case SOURCE_INFO: /* what a user that may not INFO would learn is only asked to be helpful */
        if (error && !begins(why, "NOPERM") && !begins(why, "ERR unknown command"))
            refused(f, why);
        else
            look_at_info(f, error ? bytes_of(NULL, 0) : text);
        break;
    case SOURCE_PORT:
    case SOURCE_CAPA: /* old servers know not all of them */
        if (error && !begins(why, "ERR"))
            refused(f, why);
        else
            next_question(f);
        break;
    case SOURCE_PSYNC:
        answer_psync(f, line);
        break;
    default:
        follow_retry(f, "the source %s answers without being asked", f->source_name);
        break;
    }
}

/* ------------------------------------------------------------ the snapshot */

static void load_begin(struct follow *f, uint64_t size)
{
    f->snapshot_bytes = size;
    f->snapshot_read = f->keys = 0;
    f->load =
        migrate_load_new(&(struct migrate_load_opts){.db = (uint64_t)f->opts.source_db,
                                                     .keep_others = true,
                                                     .drop_field_ttl = f->opts.drop_field_ttl});
    f->sink = migrate_sink_new(
        &(struct migrate_sink_opts){.host = f->opts.target_host,
                                    .port = f->opts.target_port,
                                    .tls = f->opts.target_tls,
                                    .client_name = f->target.fence.name,
                                    .user = bytes_str(f->opts.target_user),
                                    .password = bytes_str(f->opts.target_password)});
    migrate_sink_start(f->sink, f->port, f->now);
    follow_enter(f, FOLLOW_LOADING);
}

/* All of the snapshot has been answered by the target. */
static void load_end(struct follow *f)
{
    size_t n = 0;
    const struct migrate_error *e = migrate_sink_errors(f->sink, &n);
    uint64_t failed = migrate_sink_stats(f->sink)->failed;
    if (n > 0 && !f->opts.skip_failed) {
        char key[80], text[200];
        memcpy(key, e[0].key, sizeof key);
        memcpy(text, e[0].text, sizeof text);
        follow_stop(f, "the target refused %llu keys of the snapshot, first %.60s: %.120s",
                    (unsigned long long)(failed > n ? failed : n), key, text);
        return;
    }
    f->failed += failed;
    f->fields += migrate_load_stats(f->load)->fields;
    follow_close_load(f);
    follow_target_loaded(f);
}

/* A key past its deadline is loaded, too: the stream may prolong it. */
void follow_source_load_on(struct follow *f)
{
    if (f->load == NULL)
        return;
    struct moment never = {.mono_us = f->now.mono_us};
    const char *fatal = migrate_sink_fatal(f->sink);
    if (fatal != NULL) {
        follow_retry(f, "%s", fatal);
        return;
    }
    enum load_result r =
        f->load_ended ? LOAD_END : migrate_load_run(f->load, f->sink, f->port, never);
    f->snapshot_read = migrate_load_offset(f->load);
    f->keys = migrate_load_stats(f->load)->keys;
    f->load_full = r == LOAD_FULL;
    f->load_ended = r == LOAD_END;
    if (r == LOAD_BAD)
        follow_stop(f, "the snapshot of %s cannot be read: %s", f->source_name,
                    migrate_load_why(f->load));
    else if (r == LOAD_MORE && f->loaded)
        follow_retry(f, "the snapshot of %s is cut off: %s", f->source_name,
                     migrate_load_cut(f->load));
    else if (r == LOAD_END && f->loaded && migrate_sink_is_idle(f->sink))
        load_end(f);
}

static void snapshot_over(struct follow *f)
{
    f->loaded = true;
    psync_commands(&f->source.psync, f->source.id_offset);
    follow_source_load_on(f);
}

/* ------------------------------------------------------------ the stream */

static void end_transaction(struct follow *f)
{
    f->pending.open = false;
    f->pending_transactions++;
}

static void command(struct follow *f, const struct psync_event *ev)
{
    struct effect_out out;
    enum effect e = ev->argc > 0 ? effect_of(&f->effects, ev->argc, ev->argv, &out) : EFFECT_NONE;
    switch (e) {
    case EFFECT_PASS:
    case EFFECT_APART:
        batch_add(&f->pending, e == EFFECT_APART, out.argc, out.argv);
        if (f->pending.since_us == 0)
            f->pending.since_us = f->now.mono_us;
        break;
    case EFFECT_BEGIN:
        f->pending.open = true;
        break;
    case EFFECT_END:
        end_transaction(f);
        break;
    case EFFECT_ASK:
        f->source.asked = true;
        break;
    case EFFECT_NONE:
        f->passed_over += ev->argc > 0 && out.other;
        f->fields += ev->argc > 0 && out.dropped;
        break;
    case EFFECT_RESYNC:
        f->anew = true;
        follow_retry(f, "%s: everything is copied anew", out.why);
        return;
    case EFFECT_BAD:
        follow_retry(f, "the stream of %s is malformed: %s", f->source_name, out.why);
        return;
    }
    /* Within a transaction the offset stays before it: nobody goes on in the middle. */
    if (!f->pending.open) {
        f->pending.offset = ev->offset;
        f->pending.selected = f->effects.selected;
    }
}

/* May what comes next be taken? */
static bool has_room(const struct follow *f)
{
    const struct follow_source *s = &f->source;
    if (s->conn == 0)
        return false;
    if (s->step != SOURCE_STREAM)
        return true;
    switch (s->psync.mode) {
    case PSYNC_HEADER:
        return f->state == FOLLOW_WAITING || (f->state == FOLLOW_LOADING && !f->loaded);
    case PSYNC_SIZED:
    case PSYNC_MARKED:
        return f->state == FOLLOW_LOADING && !f->load_full;
    case PSYNC_COMMANDS:
        return (f->state == FOLLOW_FOLLOWING || f->state == FOLLOW_ENDING) &&
               !batch_is_full(&f->pending);
    default:
        return true;
    }
}

static void take(struct follow *f, const struct psync_event *ev)
{
    switch (ev->kind) {
    case PSYNC_REPLY:
        answer(f, ev->text);
        break;
    case PSYNC_BEGIN:
        load_begin(f, ev->size);
        break;
    case PSYNC_DATA:
        migrate_load_push(f->load, ev->text);
        follow_source_load_on(f);
        break;
    case PSYNC_LOADED:
        snapshot_over(f);
        break;
    case PSYNC_COMMAND:
        command(f, ev);
        break;
    case PSYNC_BAD:
        follow_retry(f, "the source %s: %.*s", f->source_name, (int)ev->text.n,
                     (const char *)ev->text.p);
        break;
    case PSYNC_MORE:
        break;
    }
}

void follow_source_pump(struct follow *f)
{
    struct follow_source *s = &f->source;
    struct psync_event ev = {.kind = PSYNC_COMMAND};
    while (has_room(f) && ev.kind != PSYNC_MORE) {
        psync_next(&s->psync, &ev);
        take(f, &ev);
        if (s->conn != 0 && s->psync.mode == PSYNC_COMMANDS && f->state == FOLLOW_FOLLOWING &&
            batch_is_full(&f->pending))
            follow_target_turn(f);
    }
    if (s->conn == 0)
        return;
    bool pause = f->ending || (psync_held(&s->psync) >= PAUSE_BYTES && !has_room(f));
    if (pause != s->paused)
        f->port->ops->pause(f->port, s->conn, pause);
    if (s->paused && !pause)
        s->heard_us = f->now.mono_us; /* it could not be heard */
    s->paused = pause;
}

/* ------------------------------------------------------------ its probe */

static void probe_open(void *arg)
{
    struct follow *f = arg;
    f->source.probe_us = f->now.mono_us;
    probe(f);
}

static void probe_reply(void *arg, unsigned i, const struct resp_reply *r)
{
    struct follow *f = arg;
    char text[32];
    int64_t offset;
    (void)i;
    if (asker_info(r->text, "master_repl_offset", text, sizeof text) &&
        num_parse_i64(bytes_str(text), &offset))
        f->source.offset = offset;
    else
        f->source.probe_off = true;
    f->source.probe_us = f->now.mono_us + PROBE_US;
}

static void probe_lost(void *arg, const char *text, bool not_let_in)
{
    struct follow *f = arg;
    (void)text;
    f->source.offset = -1;
    f->source.probe_off |= not_let_in;
}

static void probe(struct follow *f)
{
    struct follow_source *s = &f->source;
    struct buf ask = {0};
    if (s->probe_off || f->state != FOLLOW_FOLLOWING)
        return;
    if (s->probe.state == ASKER_CLOSED)
        asker_open(&s->probe, f->port);
    if (s->probe.state != ASKER_IDLE || f->now.mono_us < s->probe_us)
        return;
    asker_put_words(&ask, "INFO replication");
    asker_ask(&s->probe, f->port, buf_bytes(&ask), 1);
    buf_deinit(&ask);
}

/* ------------------------------------------------------------ events */

/* A stream may rest: a Redis says something every 10 s (repl-ping-replica-period), but its probe
 * answers at once. */
uint64_t follow_source_silent_us(const struct follow *f)
{
    const struct follow_source *s = &f->source;
    uint64_t probe = asker_silent_us(&s->probe, f->now);
    if (s->conn == 0 || s->paused || f->now.mono_us <= s->heard_us)
        return probe;
    uint64_t silent = f->now.mono_us - s->heard_us;
    bool rests = s->step == SOURCE_STREAM && silent < RESTS_US;
    return rests || silent < probe ? probe : silent;
}

void follow_source_tick(struct follow *f)
{
    struct follow_source *s = &f->source;
    if (s->conn == 0)
        return;
    asker_tick(&s->probe, f->port, f->opts.silence_us);
    if (!s->paused && f->now.mono_us - s->heard_us >= f->opts.silence_us) {
        follow_retry(f, "the source %s has been silent for %u s", f->source_name,
                     (unsigned)(f->opts.silence_us / 1000000));
        return;
    }
    if (s->step != SOURCE_STREAM)
        return;
    if (f->state == FOLLOW_FOLLOWING)
        tell_offset(f);
    else if (s->psync.mode != PSYNC_HEADER || f->loaded)
        tell(f, bytes_str("\n")); /* a sign of life, as replicas give it while they load */
    probe(f);
}

/* A connection that ends before its first word: what may be wrong with its encryption. */
static const char *tls_hint(const struct follow *f, const struct event *ev)
{
    if (f->source.spoke || ev->err == ERR_REFUSED)
        return "";
    if (f->opts.source_tls == 0)
        return ev->err == ERR_CLOSED || ev->err == ERR_RESET
                   ? "; is TLS spoken at this port? Then rediss://"
                   : "";
    return ev->err == ERR_TIMEOUT
               ? "; is TLS spoken at this port? Else redis://"
               : "; does it demand a client's certificate (tls-auth-clients)? --source-cert, "
                 "--source-key; REST: the node's --cert, --key";
}

static void closed(struct follow *f, const struct event *ev)
{
    static const char *const trust =
        "give the certificate of its authority (--source-cacert FILE; REST: the node's "
        "--peers-ca), or take any (--source-insecure; ?insecure in the URI)";
    char text[200];
    bool was_good = f->full_syncs + f->partial_syncs > 0; /* a certificate is being changed? */
    asker_explain(ev, text, sizeof text);
    if (ev->err != ERR_TLS || ev->detail == NULL ||
        strncmp(ev->detail, TLS_CERTIFICATE, sizeof TLS_CERTIFICATE - 1) != 0)
        follow_retry(f, "the connection to the source %.150s: %.130s%s", f->source_name, text,
                     tls_hint(f, ev));
    else if (was_good)
        follow_retry(f, "the source %.150s is not trusted: %.100s", f->source_name, ev->detail);
    else
        follow_stop(f, "the source %.80s is not trusted: %.80s: %s", f->source_name, ev->detail,
                    trust);
}

static void step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct follow_source *s = (struct follow_source *)self;
    struct follow *f = s->follow;
    (void)port;
    if (ev->conn != s->conn)
        return;
    f->now = ev->now;
    switch (ev->kind) {
    case EV_OPEN:
        s->heard_us = f->now.mono_us;
        next_question(f);
        break;
    case EV_DATA:
        s->heard_us = f->now.mono_us;
        s->spoke = true;
        psync_push(&s->psync, ev->data);
        follow_source_pump(f);
        break;
    case EV_CLOSED:
        s->conn = 0;
        closed(f, ev);
        break;
    default:
        break;
    }
}
