/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/follow_inside.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define SECOND_US 1000000u
#define BACKOFF_FIRST_US 200000u
#define BACKOFF_MAX_US 10000000u
#define SOUND_US 30000000u /* who followed so long begins with a short pause again */
#define END_US 10000000u

const char *follow_state_name(enum follow_state s)
{
    static const char *const names[] = {"idle",
                                        "connecting to the target",
                                        "connecting to the source",
                                        "clearing the target",
                                        "waiting for the snapshot",
                                        "loading the snapshot",
                                        "following",
                                        "paused for a moment",
                                        "ending",
                                        "stopped",
                                        "ended"};
    return names[s];
}

static const char *copy(const char *s) { return mem_strdup(s != NULL ? s : ""); }

static void free_text(const char *p)
{
    union { /* owned, though const for everybody else */
        const char *in;
        void *out;
    } u = {.in = p};
    mem_free(u.out);
}

void follow_opts_own(struct follow_opts *o)
{
    o->source_host = copy(o->source_host);
    o->source_user = copy(o->source_user);
    o->source_password = copy(o->source_password);
    o->target_host = copy(o->target_host);
    o->target_user = copy(o->target_user);
    o->target_password = copy(o->target_password);
    o->field = o->field != NULL ? copy(o->field) : NULL;
    o->run = o->run != NULL ? copy(o->run) : NULL;
}

void follow_opts_disown(struct follow_opts *o)
{
    free_text(o->source_host);
    free_text(o->source_user);
    free_text(o->source_password);
    free_text(o->target_host);
    free_text(o->target_user);
    free_text(o->target_password);
    free_text(o->field);
    free_text(o->run);
}

struct follow *follow_new(const struct follow_opts *o)
{
    struct follow *f = mem_zalloc(sizeof *f);
    f->opts = *o;
    follow_opts_own(&f->opts);
    if (f->opts.silence_us == 0)
        f->opts.silence_us = FOLLOW_SILENCE_US;
    snprintf(f->source_name, sizeof f->source_name, "%.250s:%u", o->source_host, o->source_port);
    f->effects = (struct effect_state){.chosen = o->source_db,
                                       .selected = -1,
                                       .drop_field_ttl = o->drop_field_ttl,
                                       .shared = o->field != NULL};
    f->backoff_us = BACKOFF_FIRST_US;
    f->tick_us = UINT64_MAX;
    follow_source_init(f);
    follow_target_init(f);
    return f;
}

void follow_free(struct follow *f, struct port *port)
{
    if (f == NULL)
        return;
    f->port = port;
    follow_close_load(f);
    follow_source_deinit(f);
    follow_target_deinit(f);
    batch_deinit(&f->pending);
    follow_opts_disown(&f->opts);
    mem_free(f);
}

/* ------------------------------------------------------------ states */

void follow_say(struct follow *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
}

void follow_enter(struct follow *f, enum follow_state s)
{
    if (f->state == FOLLOW_FOLLOWING && f->now.mono_us - f->since_us >= SOUND_US)
        f->backoff_us = BACKOFF_FIRST_US;
    if (f->state != s)
        f->since_us = f->now.mono_us;
    f->state = s;
    if (s != FOLLOW_PAUSE && s != FOLLOW_STOPPED)
        f->text[0] = 0;
}

void follow_close_load(struct follow *f)
{
    if (f->sink != NULL)
        migrate_sink_free(f->sink, f->port);
    if (f->load != NULL)
        migrate_load_free(f->load);
    f->sink = NULL;
    f->load = NULL;
    f->load_full = f->load_ended = f->loaded = false;
}

static void forget_stream(struct follow *f)
{
    follow_source_close(f);
    follow_close_load(f);
    f->pending.open = false;
    f->target.again = f->target.lost = false;
    batch_clear(&f->pending);
    f->pending_transactions = 0;
}

static void fail(struct follow *f, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void fail(struct follow *f, const char *fmt, va_list ap)
{
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    memcpy(f->error, f->text, sizeof f->error);
    forget_stream(f);
}

void follow_retry(struct follow *f, const char *fmt, ...)
{
    va_list ap;
    if (follow_is_over(f))
        return;
    va_start(ap, fmt);
    fail(f, fmt, ap);
    va_end(ap);
    if (f->ending) { /* what is applied is applied: the mark tells, and is not written again */
        f->halted = true;
        return;
    }
    follow_enter(f, FOLLOW_PAUSE);
    port_log(f->port, 'W', "replica of %s: %s; tried again in %u ms", f->source_name, f->text,
             (unsigned)(f->backoff_us / 1000));
    f->pause_us = f->now.mono_us + f->backoff_us;
    f->backoff_us = f->backoff_us * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : f->backoff_us * 2;
}

void follow_stop(struct follow *f, const char *fmt, ...)
{
    va_list ap;
    if (follow_is_over(f))
        return;
    va_start(ap, fmt);
    fail(f, fmt, ap);
    va_end(ap);
    asker_close(&f->target.ask, f->port);
    f->target.round = ROUND_NONE;
    follow_enter(f, FOLLOW_STOPPED);
    port_log(f->port, 'W', "replica of %s: stopped: %s", f->source_name, f->text);
}

bool follow_is_over(const struct follow *f)
{
    return f->state == FOLLOW_STOPPED || f->state == FOLLOW_ENDED;
}

/* ------------------------------------------------------------ time */

void follow_start(struct follow *f, struct port *port, struct moment now)
{
    f->port = port;
    f->now = now;
    f->tick_us = now.mono_us + SECOND_US;
    follow_target_reach(f);
}

void follow_end(struct follow *f, bool forget, struct moment now)
{
    f->now = now;
    f->forget = forget;
    if (f->state == FOLLOW_IDLE)
        f->state = FOLLOW_ENDED;
    if (f->ending || follow_is_over(f))
        return;
    f->ending = true;
    f->ending_us = now.mono_us + END_US;
    port_log(f->port, 'I', "replica of %s: ending", f->source_name);
    if (f->state != FOLLOW_FOLLOWING) {
        forget_stream(f);
        f->halted = true;
    }
    follow_enter(f, FOLLOW_ENDING);
}

/* What has come is applied, then the end is written. A target that is away keeps nobody waiting
 * for long: its mark tells the next one where to go on. */
static void end_on(struct follow *f)
{
    if (f->now.mono_us >= f->ending_us) {
        forget_stream(f);
        asker_close(&f->target.ask, f->port);
        f->target.round = ROUND_NONE;
        follow_enter(f, FOLLOW_ENDED);
        return;
    }
    follow_source_pump(f);
    follow_target_turn(f);
    if (follow_target_is_idle(f) && (batch_is_empty(&f->pending) || f->pending.open)) {
        forget_stream(f);
        follow_target_end(f);
    }
}

void follow_tick(struct follow *f, struct moment now)
{
    f->now = now;
    if (f->state == FOLLOW_IDLE || follow_is_over(f))
        return;
    if (f->sink != NULL)
        migrate_sink_tick(f->sink, f->port, now);
    if (f->state == FOLLOW_LOADING) {
        follow_source_load_on(f);
        follow_source_pump(f);
    }
    if (f->state == FOLLOW_PAUSE && now.mono_us >= f->pause_us)
        follow_target_reach(f);
    follow_target_tick(f);
    if (now.mono_us >= f->tick_us) {
        f->tick_us = now.mono_us + SECOND_US;
        asker_tick(&f->target.ask, f->port, f->opts.silence_us);
        follow_source_tick(f);
    }
    if (f->state == FOLLOW_ENDING)
        end_on(f);
    else if (f->state == FOLLOW_FOLLOWING)
        follow_target_turn(f);
}

uint64_t follow_deadline(const struct follow *f)
{
    if (f->state == FOLLOW_IDLE || follow_is_over(f))
        return UINT64_MAX;
    uint64_t at = f->tick_us, other = follow_target_deadline(f);
    if (other < at)
        at = other;
    if (f->state == FOLLOW_PAUSE && f->pause_us < at)
        at = f->pause_us;
    if (f->state == FOLLOW_ENDING && f->ending_us < at)
        at = f->ending_us;
    if (f->sink != NULL && (other = migrate_sink_deadline(f->sink)) < at)
        at = other;
    return at;
}

/* ------------------------------------------------------------ how it is */

static int64_t lag_ms(const struct follow *f)
{
    uint64_t since = f->target.sent_since_us != 0 ? f->target.sent_since_us : f->pending.since_us;
    if (f->state != FOLLOW_FOLLOWING)
        return -1;
    return since == 0 ? 0 : (int64_t)((f->now.mono_us - since) / 1000);
}

/* Who does not answer; false: nobody. */
static bool silent(const struct follow *f, char *out, size_t size)
{
    uint64_t target = asker_silent_us(&f->target.ask, f->now), source = follow_source_silent_us(f);
    uint64_t least =
        f->opts.silence_us < 2 * FOLLOW_SILENT_US ? f->opts.silence_us / 2 : FOLLOW_SILENT_US;
    char how_long[32];
    if ((target < least && source < least) || follow_is_over(f))
        return false;
    asker_put_silence(target >= least ? target : source, how_long, sizeof how_long);
    if (target >= least)
        snprintf(out, size, "the target has not answered %s", how_long);
    else
        snprintf(out, size, "the source %.250s has not answered %s", f->source_name, how_long);
    return true;
}

void follow_status(const struct follow *f, struct follow_status *out)
{
    char text[FOLLOW_TEXT_MAX];
    *out = (struct follow_status){
        .state = f->state,
        .received = f->source.psync.offset > f->applied ? f->source.psync.offset : f->applied,
        .applied = f->applied,
        .fresh = f->target.fresh,
        .cluster = f->source.cluster,
        .lag_bytes = -1,
        .lag_ms = lag_ms(f),
        .snapshot_bytes = f->snapshot_bytes,
        .snapshot_read = f->snapshot_read,
        .keys = f->keys,
        .failed = f->failed,
        .commands = f->commands,
        .transactions = f->transactions,
        .passed_over = f->passed_over,
        .fields = f->fields,
        .full_syncs = f->full_syncs,
        .partial_syncs = f->partial_syncs,
    };
    memcpy(out->text, f->text, sizeof out->text);
    memcpy(out->error, f->error, sizeof out->error);
    snprintf(out->replication_id, sizeof out->replication_id, "%s", f->id);
    if (f->state == FOLLOW_FOLLOWING && f->source.offset >= 0) {
        int64_t behind = f->source.offset - (int64_t)f->applied;
        out->lag_bytes = behind > 0 ? behind : 0;
    }
    bool copied =
        f->state == FOLLOW_FOLLOWING || f->state == FOLLOW_ENDING || f->state == FOLLOW_ENDED;
    out->doubtful = copied && f->target.earlier.open > 0;
    out->in_sync = f->state == FOLLOW_FOLLOWING && out->lag_ms <= FOLLOW_SYNCED_MS &&
                   !out->doubtful && !f->target.lost;
    if (silent(f, text, sizeof text)) {
        out->in_sync = false;
        if (out->text[0] == 0)
            memcpy(out->text, text, sizeof out->text);
    }
    if (f->state == FOLLOW_FOLLOWING && f->source.probe_off && out->text[0] == 0)
        snprintf(
            out->text, sizeof out->text,
            "how far behind the source it is cannot be told: its user may not INFO (ACL SETUSER: "
            "+info)");
    if (out->doubtful && out->text[0] == 0)
        earlier_explain(&f->target.earlier, out->text, sizeof out->text);
}
