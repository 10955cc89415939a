/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian export`: a database into an RDB file. */
#include "cli/cmd.h"
#include "cli/migrate/target.h"

#include "migrate/export.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct export_flags {
    struct target from;
    struct report report;
    const char *file;
    uint64_t connections;
    uint64_t begun_us, told_us, told_keys;
};

static int parse(struct export_flags *f, int argc, char **argv)
{
    struct arg table[TARGET_FLAGS + 3] = {{0}};
    *f = (struct export_flags){.connections = 4};
    target_flags(&f->from, "from", table);
    const struct arg more[] = {
        {"connections", "N", "connections to the database (default: 4)", ARG_UINT, &f->connections,
         1, MIGRATE_CONNECTIONS_MAX},
        {"status-file", "FILE", "keep JSON about the progress there", ARG_TEXT,
         &f->report.status_file, 0, 4000},
        {"quiet", NULL, "print errors only", ARG_FLAG, &f->report.quiet, 0, 0},
    };
    for (unsigned i = 0; i < sizeof more / sizeof more[0]; i++)
        table[TARGET_FLAGS + i] = more[i];
    struct args a = {
        .command = "export",
        .usage = "FILE --from HOST:PORT [flags]",
        .about = "Writes a database's keys and functions into a snapshot (version 10) that Redis "
                 "7.0 and newer load.\n"
                 "The database goes on working, so the file is not one instant: each key is as it "
                 "was at some moment\n"
                 "of the export. FILE is replaced when all is written. Exit status: 0 all is in "
                 "it, 1 something is\n"
                 "not (it says what), 2 bad flags.",
        .at = table,
        .n = sizeof table / sizeof table[0]};
    int status = target_file(&a, argc, argv, "into which file?", &f->file);
    return status >= 0 ? status : target_check(&f->from, "from", "export") ? -1 : 2;
}

/* ------------------------------------------------------------ progress */

static int percent(const struct migrate_export *e)
{
    const struct migrate_export_stats *s = migrate_export_stats(e);
    if (migrate_export_phase(e) == EXPORT_DONE)
        return 100;
    uint64_t part = s->expected == 0 ? 0 : 100 * s->keys / s->expected;
    return part > 99 ? 99 : (int)part;
}

static void tell_status(const struct export_flags *f, const struct migrate_export *e)
{
    static const char *const phases[] = {"asking", "reading", "closing", "finished", "failed"};
    const struct migrate_export_stats *s = migrate_export_stats(e);
    if (f->report.status_file == NULL)
        return;
    json_t *o = json_pack(
        "{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "status", phases[migrate_export_phase(e)],
        "progress", percent(e), "keys", (json_int_t)s->keys, "keys_expected",
        (json_int_t)s->expected, "functions", (json_int_t)s->functions, "vanished",
        (json_int_t)s->vanished, "failed", (json_int_t)s->refused, "bytes", (json_int_t)s->bytes);
    if (migrate_export_why(e)[0] != 0)
        json_object_set_new(o, "error", json_string(migrate_export_why(e)));
    char *text = json_dumps(o, JSON_COMPACT);
    if (text != NULL)
        report_status(&f->report, text);
    free(text);
    json_decref(o);
}

static void tell(void *arg, const struct migrate_export *e, struct moment now)
{
    struct export_flags *f = arg;
    char line[200], a[32], b[32];
    uint64_t keys = migrate_export_stats(e)->keys, us = now.mono_us - f->told_us;
    snprintf(line, sizeof line, "%d %%, %s keys read, %s a second", percent(e),
             report_number(a, keys),
             report_number(b, us == 0 ? 0 : (keys - f->told_keys) * 1000000 / us));
    if (migrate_export_phase(e) < EXPORT_DONE)
        report_line(&f->report, line);
    f->told_us = now.mono_us;
    f->told_keys = keys;
    tell_status(f, e);
}

static void summary(struct export_flags *f, const struct migrate_export *e, uint64_t us)
{
    const struct migrate_export_stats *s = migrate_export_stats(e);
    char a[32], b[32], c[32];
    size_t n;
    const struct migrate_error *errors = migrate_sink_errors(migrate_export_source(e), &n);
    report_end_line(&f->report);
    if (!f->report.quiet && migrate_export_phase(e) == EXPORT_DONE) {
        fprintf(stderr, "%s keys, %s bytes written in %.1f s (%s keys a second)\n",
                report_number(a, s->keys), report_number(b, s->bytes), (double)us / 1e6,
                report_number(c, us == 0 ? s->keys : s->keys * 1000000 / us));
        if (s->functions > 0)
            fprintf(stderr, "  function libraries %s\n", report_number(a, s->functions));
        if (s->vanished > 0)
            fprintf(stderr, "  deleted or expired meanwhile: %s keys\n",
                    report_number(a, s->vanished));
    }
    if (s->refused > 0)
        fprintf(stderr, "not written: %s%s\n", report_number(a, s->refused),
                s->refused > n ? "; the first of them:" : ":");
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "  %s: %s\n", errors[i].key, errors[i].text);
    if (migrate_export_phase(e) != EXPORT_DONE)
        fprintf(stderr, "meridian export: %s\n", migrate_export_why(e));
}

/* ------------------------------------------------------------ the command */

static int run(struct export_flags *f, struct log *log)
{
    struct io *io =
        io_new(&(struct io_opts){.count = 1, .log = log, .name = "export", .signals = true});
    struct port *port = io_port(io, 0);
    uint32_t tls;
    int status = 1;
    if (target_tls(&f->from, port, "export", &tls)) {
        struct migrate_export_opts o = {
            .path = f->file,
            .source = {.host = f->from.host,
                       .port = f->from.port,
                       .tls = tls,
                       .user = bytes_str(f->from.user != NULL ? f->from.user : ""),
                       .password = buf_bytes(&f->from.secret),
                       .client_name = "meridian-export",
                       .connections = (unsigned)f->connections},
            .progress = tell,
            .arg = f};
        port->ops->random(port, &o.seed, sizeof o.seed);
        struct migrate_export *e = migrate_export_new(&o);
        struct machine m = migrate_export_machine(e);
        f->begun_us = f->told_us = port->ops->clock_us(port);
        io_run(io, &m);
        summary(f, e, f->told_us - f->begun_us);
        if (migrate_export_phase(e) == EXPORT_DONE)
            status = migrate_export_stats(e)->refused > 0;
        migrate_export_free(e, port);
    }
    io_free(io);
    return status;
}

int cmd_export(int argc, char **argv)
{
    struct export_flags f;
    struct log log;
    int status = parse(&f, argc, argv);
    if (status < 0) {
        io_process_init();
        report_init(&f.report);
        log_open(&log, NULL, 'W');
        status = run(&f, &log);
        log_close(&log);
    }
    target_deinit(&f.from);
    return status;
}
