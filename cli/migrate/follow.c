/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian import --replica-of`: a database follows a live source until it is told to end. */
#include "cli/cmd.h"
#include "cli/migrate/target.h"

#include "cli/folder.h"
#include "io/tls.h"
#include "migrate/gather.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_EVERY_US 1000000u
#define FILE_EVERY_US 5000000u /* a line each, where stderr is no terminal */

struct follow_flags {
    struct target to;
    struct report report;
    const char *source, *source_password_file, *source_cacert, *source_cert, *source_key;
    bool source_insecure, flush, skip_failed, drop_field_ttl, until_synced;
    struct redis_uri uris[GATHER_SOURCES_MAX];
    unsigned count;
    struct buf source_ca, source_cert_pem, source_key_pem; /* owned */
    /* while it runs */
    struct gather *gather;
    struct port *port;
    struct follow_status shown;
    uint64_t told_us, rate_us, rate_commands, rate;
    bool interrupted;
};

static void flags_table(struct follow_flags *f, struct arg *table, unsigned *n)
{
    const struct arg more[] = {
        {"replica-of", "URI",
         "the source: redis[s]://[[user]:password@]host[:port][/db] or host:port; URI,URI.. "
         "several",
         ARG_TEXT, &f->source, 0, 8191},
        {"source-password-file", "FILE", "its first line is the source's password", ARG_TEXT,
         &f->source_password_file, 0, 0},
        {"source-cacert", "FILE", "trust the source's certificate by these", ARG_TEXT,
         &f->source_cacert, 0, 0},
        {"source-insecure", NULL, "take any certificate of the source", ARG_FLAG,
         &f->source_insecure, 0, 0},
        {"source-cert", "FILE", "own certificate for the source", ARG_TEXT, &f->source_cert, 0, 0},
        {"source-key", "FILE", "its private key", ARG_TEXT, &f->source_key, 0, 0},
        {"flush", NULL, "what the database holds may go (else it must be empty)", ARG_FLAG,
         &f->flush, 0, 0},
        {"skip-failed", NULL, "go on without keys and commands that are refused", ARG_FLAG,
         &f->skip_failed, 0, 0},
        {"drop-field-ttl", NULL, "take hashes whose fields expire, without the fields' deadlines",
         ARG_FLAG, &f->drop_field_ttl, 0, 0},
        {"until-synced", NULL, "end when all that the source has is there", ARG_FLAG,
         &f->until_synced, 0, 0},
        {"status-file", "FILE", "keep JSON about the progress there", ARG_TEXT,
         &f->report.status_file, 0, 4000},
        {"quiet", NULL, "print errors only", ARG_FLAG, &f->report.quiet, 0, 0},
    };
    target_flags(&f->to, "to", table);
    *n = TARGET_FLAGS;
    for (unsigned i = 0; i < sizeof more / sizeof more[0]; i++)
        table[(*n)++] = more[i];
}

static bool read_uris(struct follow_flags *f, struct buf *error)
{
    const char *list = f->source != NULL ? f->source : "", *why = "";
    char text[1200];
    while (gather_next_uri(&list, text, sizeof text)) {
        if (f->count == GATHER_SOURCES_MAX) {
            buf_putf(error, "--replica-of: more than %u sources", GATHER_SOURCES_MAX);
            return false;
        }
        if (!redis_uri_read(text, &f->uris[f->count++], &why)) {
            buf_putf(error, "--replica-of: source %u: %s", f->count, why);
            return false;
        }
    }
    if (f->count == 0)
        buf_put_str(error, "--replica-of: which source?");
    return f->count > 0;
}

/* One password for all that do not have their own. */
static bool read_password(struct follow_flags *f, struct buf *error)
{
    struct buf text = {0};
    bool ok = folder_read(f->source_password_file, sizeof f->uris[0].password - 1, &text, error);
    size_t n = buf_len(&text) == 0 ? 0 : strcspn((const char *)text.p, "\r\n");
    for (unsigned i = 0; ok && i < f->count; i++)
        if (f->uris[i].password[0] == 0)
            snprintf(f->uris[i].password, sizeof f->uris[i].password, "%.*s", (int)n,
                     n > 0 ? (const char *)text.p : "");
    buf_deinit(&text);
    return ok;
}

static bool read_identity(struct follow_flags *f, struct buf *error)
{
    bool tls = false;
    for (unsigned i = 0; i < f->count; i++)
        tls |= f->uris[i].tls;
    if (!tls && (f->source_cacert != NULL || f->source_cert != NULL || f->source_insecure)) {
        buf_put_str(error, "--source-cacert, --source-cert, --source-key and --source-insecure are "
                           "for TLS: write rediss://");
        return false;
    }
    if ((f->source_cert == NULL) != (f->source_key == NULL)) {
        buf_put_str(error, "--source-cert and --source-key: give both or none");
        return false;
    }
    return f->source_cert == NULL ||
           (folder_read(f->source_cert, TLS_PEM_MAX, &f->source_cert_pem, error) &&
            folder_read(f->source_key, TLS_PEM_MAX, &f->source_key_pem, error));
}

static bool read_source(struct follow_flags *f)
{
    struct buf error = {0};
    bool ok = read_uris(f, &error) &&
              (f->source_password_file == NULL || read_password(f, &error)) &&
              (f->source_cacert == NULL ||
               folder_read(f->source_cacert, TLS_PEM_MAX, &f->source_ca, &error)) &&
              read_identity(f, &error);
    if (!ok)
        fprintf(stderr, "meridian import: %.*s\nTry: meridian import --replica-of --help\n",
                (int)buf_len(&error), (const char *)error.p);
    buf_deinit(&error);
    return ok;
}

static int parse(struct follow_flags *f, int argc, char **argv)
{
    struct arg table[TARGET_FLAGS + 13] = {{0}};
    *f = (struct follow_flags){0};
    struct args a = {
        .command = "import",
        .usage = "--replica-of URI --to HOST:PORT [flags]",
        .about =
            "Copies one database of a live Redis or Valkey into a database, and keeps it the same "
            "(Replica Of):\nfirst a snapshot, then each command as it comes. The source goes on "
            "serving; move the clients when\nthe lag is nothing.\n\n"
            "SIGINT (Ctrl-C) ends the copying for good. SIGTERM, or any other end, keeps the "
            "position in the\ndatabase (key meridian:replica-of): the same command goes on from "
            "there.\nExit status: 0 ended in order, 1 stopped by an error (it says what), 2 bad "
            "flags.",
        .at = table};
    char command[] = "import", help[] = "--help", *only_help[] = {command, help, NULL};
    flags_table(f, table, &a.n);
    for (int i = 1; i < argc; i++) /* it is not the value of --replica-of */
        if (strcmp(argv[i], help) == 0)
            return args_main(&a, 2, only_help);
    int status = args_main(&a, argc, argv);
    if (status >= 0)
        return status;
    return target_check(&f->to, "to", "import") && read_source(f) ? -1 : 2;
}

/* ------------------------------------------------------------ progress */

static void line_of(struct follow_flags *f, const struct follow_status *s, char *out, size_t size)
{
    char a[32], b[32], c[32];
    int percent = s->snapshot_bytes == 0 ? 0 : (int)(100 * s->snapshot_read / s->snapshot_bytes);
    if (s->state == FOLLOW_LOADING && s->snapshot_bytes > 0)
        snprintf(out, size, "loading the snapshot: %d %%, %s keys", percent,
                 report_number(a, s->keys));
    else if (s->state == FOLLOW_LOADING)
        snprintf(out, size, "loading the snapshot: %s bytes, %s keys",
                 report_number(a, s->snapshot_read), report_number(b, s->keys));
    else if (s->state == FOLLOW_FOLLOWING && s->lag_bytes >= 0)
        snprintf(out, size, "%s: %s bytes behind, offset %s, %s commands a second%s%s",
                 s->in_sync ? "in sync" : "catching up", report_number(a, (uint64_t)s->lag_bytes),
                 report_number(b, s->applied), report_number(c, f->rate), s->text[0] ? ": " : "",
                 s->text);
    else
        snprintf(out, size, "%s%s%s", follow_state_name(s->state), s->text[0] ? ": " : "", s->text);
}

static void tell_status(const struct follow_flags *f, const struct follow_status *s)
{
    if (f->report.status_file == NULL)
        return;
    json_t *o = json_pack(
        "{s:s, s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
        "status", follow_state_name(s->state), "in_sync", (int)s->in_sync, "text", s->text,
        "last_error", s->error, "replication_id", s->replication_id, "replication_offset",
        (json_int_t)s->applied, "received_offset", (json_int_t)s->received, "lag_bytes",
        (json_int_t)s->lag_bytes, "lag_ms", (json_int_t)s->lag_ms, "rdb_size",
        (json_int_t)s->snapshot_bytes, "rdb_transferred", (json_int_t)s->snapshot_read, "keys",
        (json_int_t)s->keys, "failed", (json_int_t)s->failed, "commands", (json_int_t)s->commands,
        "passed_over", (json_int_t)s->passed_over, "full_syncs", (json_int_t)s->full_syncs,
        "partial_syncs", (json_int_t)s->partial_syncs);
    char *text = json_dumps(o, JSON_COMPACT);
    if (text != NULL)
        report_status(&f->report, text);
    free(text);
    json_decref(o);
}

static void tell(struct follow_flags *f, struct moment now, bool anyway)
{
    char line[512];
    struct follow_status s;
    gather_status(f->gather, &s);
    bool changed = s.state != f->shown.state || s.in_sync != f->shown.in_sync ||
                   strcmp(s.text, f->shown.text) != 0;
    uint64_t every = f->report.terminal ? LINE_EVERY_US : FILE_EVERY_US;
    if (now.mono_us - f->rate_us >= LINE_EVERY_US) {
        f->rate = (s.commands - f->rate_commands) * 1000000 / (now.mono_us - f->rate_us);
        f->rate_us = now.mono_us;
        f->rate_commands = s.commands;
    } else if (!changed && !anyway) {
        return;
    }
    tell_status(f, &s);
    if (!changed && !anyway && now.mono_us - f->told_us < every)
        return;
    f->told_us = now.mono_us;
    f->shown = s;
    line_of(f, &s, line, sizeof line);
    if (s.state != FOLLOW_STOPPED) /* summary() tells */
        report_line(&f->report, line);
}

/* ------------------------------------------------------------ the machine */

static void step(void *self, struct port *port, const struct event *ev)
{
    struct follow_flags *f = self;
    struct follow_status s;
    if (ev->owner != NULL)
        ev->owner->step(ev->owner, port, ev);
    else if (ev->kind == EV_START)
        gather_start(f->gather, port, ev->now);
    else if (ev->kind == EV_TURN || ev->kind == EV_TIMER)
        gather_tick(f->gather, ev->now);
    else if (ev->kind == EV_SIGNAL && (ev->status == SIGINT || ev->status == SIGTERM)) {
        f->interrupted = true;
        gather_end(f->gather, ev->status == SIGINT, ev->now);
    }
    gather_status(f->gather, &s);
    if (f->until_synced && s.in_sync && s.lag_bytes == 0)
        gather_end(f->gather, true, ev->now);
    bool over = gather_is_over(f->gather);
    tell(f, ev->now, over && s.state != f->shown.state);
    if (over)
        port->ops->stop(port);
}

static uint64_t deadline(void *self)
{
    const struct follow_flags *f = self;
    return gather_deadline(f->gather);
}

static void summary(struct follow_flags *f)
{
    struct follow_status s;
    char a[32], b[32];
    gather_status(f->gather, &s);
    report_end_line(&f->report);
    if (s.fields > 0)
        fprintf(stderr, "%s deadlines of hashes' fields were left out\n",
                report_number(a, s.fields));
    if (s.state == FOLLOW_STOPPED)
        fprintf(stderr, "meridian import: %s\n", s.text);
    if (s.doubtful)
        fprintf(stderr, "meridian import: it was ended before it was certain: %s\n", s.text);
    if (!f->report.quiet)
        fprintf(stderr,
                "%s commands applied, offset %s, %llu full and %llu partial synchronizations, %llu "
                "refused, %llu of other databases left out\n",
                report_number(a, s.commands), report_number(b, s.applied),
                (unsigned long long)s.full_syncs, (unsigned long long)s.partial_syncs,
                (unsigned long long)s.failed, (unsigned long long)s.passed_over);
}

/* For those that are as this one: true, and in *tls what there is. 0: clear text. */
static bool source_tls(const struct follow_flags *f, struct port *port, bool insecure,
                       uint32_t *tls)
{
    char why[256] = "";
    bool wanted = false;
    *tls = 0;
    for (unsigned i = 0; i < f->count; i++)
        wanted |= f->uris[i].tls && (f->uris[i].insecure || f->source_insecure) == insecure;
    if (!wanted)
        return true;
    *tls = port->ops->tls(port,
                          &(struct tls_opts){.cert_pem = buf_bytes(&f->source_cert_pem),
                                             .key_pem = buf_bytes(&f->source_key_pem),
                                             .ca_pem = buf_bytes(&f->source_ca),
                                             .verify_peer = !insecure},
                          why, sizeof why);
    if (*tls == 0)
        fprintf(stderr, "meridian import: TLS settings of the source: %s\n", why);
    return *tls != 0;
}

/* from_tls: [0] those whose certificates are looked at, [1] the others. */
static int follow_all(struct follow_flags *f, struct io *io, uint32_t tls,
                      const uint32_t from_tls[2])
{
    struct gather_source sources[GATHER_SOURCES_MAX] = {0};
    struct follow_status s;
    struct machine m = {.self = f, .step = step, .deadline = deadline};
    buf_put_u8(&f->to.secret, 0); /* a text */
    for (unsigned i = 0; i < f->count; i++) {
        sources[i].uri = f->uris[i];
        bool insecure = f->uris[i].insecure || f->source_insecure;
        sources[i].tls = f->uris[i].tls ? from_tls[insecure] : 0;
    }
    f->gather =
        gather_new(&(struct gather_opts){.all = {.target_host = f->to.host,
                                                 .target_port = f->to.port,
                                                 .target_tls = tls,
                                                 .target_user = f->to.user,
                                                 .target_password = (const char *)f->to.secret.p,
                                                 .flush = f->flush,
                                                 .skip_failed = f->skip_failed,
                                                 .drop_field_ttl = f->drop_field_ttl},
                                         .sources = sources,
                                         .count = f->count});
    io_run(io, &m);
    gather_status(f->gather, &s);
    summary(f);
    gather_free(f->gather, f->port);
    return s.state == FOLLOW_ENDED ? 0 : 1;
}

static int run(struct follow_flags *f, struct log *log)
{
    struct io *io =
        io_new(&(struct io_opts){.count = 1, .log = log, .name = "import", .signals = true});
    uint32_t tls, from_tls[2];
    int status = 1;
    f->port = io_port(io, 0);
    if (target_tls(&f->to, f->port, "import", &tls) &&
        source_tls(f, f->port, false, &from_tls[0]) && source_tls(f, f->port, true, &from_tls[1]))
        status = follow_all(f, io, tls, from_tls);
    io_free(io);
    return status;
}

int cmd_follow(int argc, char **argv)
{
    struct follow_flags f;
    struct log log;
    int status = parse(&f, argc, argv);
    if (status < 0) {
        io_process_init();
        report_init(&f.report);
        log_open(&log, NULL, 'E');
        status = run(&f, &log);
        log_close(&log);
    }
    target_deinit(&f.to);
    buf_deinit(&f.source_ca);
    buf_deinit(&f.source_cert_pem);
    buf_deinit(&f.source_key_pem);
    return status;
}
