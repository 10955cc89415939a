/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian import`: an RDB file into a database. */
#include "cli/cmd.h"
#include "cli/migrate/target.h"

#include "migrate/import.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct import_flags {
    struct target to;
    struct report report;
    const char *file;
    uint64_t db, connections, value_mib;
    uint64_t part_kib; /* 0: not said */
    bool no_check, no_functions, drop_field_ttl;
    uint64_t file_bytes;
    uint64_t begun_us, told_us, told_keys;
};

#define DB_NOT_SAID UINT64_MAX

static int parse(struct import_flags *f, int argc, char **argv)
{
    struct arg table[TARGET_FLAGS + 9] = {{0}};
    *f = (struct import_flags){.db = DB_NOT_SAID, .connections = 4, .value_mib = 512};
    target_flags(&f->to, "to", table);
    const struct arg more[] = {
        {"from-db", "N", "take the keys of this database of the file", ARG_UINT, &f->db, 0,
         INT32_MAX},
        {"connections", "N", "connections to the database (default: 4)", ARG_UINT, &f->connections,
         1, MIGRATE_CONNECTIONS_MAX},
        {"value-max", "MIB", "largest text in a value (default: 512)", ARG_UINT, &f->value_mib, 1,
         1023},
        {"part-max", "KIB",
         "larger collections are written in parts (default: 8192, streams: 262144)", ARG_UINT,
         &f->part_kib, 1, 256u << 10},
        {"no-check", NULL, "do not read the file to its end before writing", ARG_FLAG, &f->no_check,
         0, 0},
        {"no-functions", NULL, "leave function libraries out", ARG_FLAG, &f->no_functions, 0, 0},
        {"drop-field-ttl", NULL, "take hashes whose fields expire, without the fields' deadlines",
         ARG_FLAG, &f->drop_field_ttl, 0, 0},
        {"status-file", "FILE", "keep JSON about the progress there", ARG_TEXT,
         &f->report.status_file, 0, 4000},
        {"quiet", NULL, "print errors only", ARG_FLAG, &f->report.quiet, 0, 0},
    };
    for (unsigned i = 0; i < sizeof more / sizeof more[0]; i++)
        table[TARGET_FLAGS + i] = more[i];
    struct args a = {
        .command = "import",
        .usage = "FILE --to HOST:PORT [flags]",
        .about = "Writes the keys and functions of a Redis snapshot (dump.rdb, versions 1 to 12) "
                 "into a database.\n"
                 "Keys that are there already are replaced, others stay; expired ones are left "
                 "out. Importing again does\n"
                 "no harm. Exit status: 0 all is there, 1 something is not (it says what), 2 bad "
                 "flags.\n\n"
                 "From a live server, without a file and without downtime: meridian import "
                 "--replica-of --help",
        .at = table,
        .n = sizeof table / sizeof table[0]};
    int status = target_file(&a, argc, argv, "which file?", &f->file);
    return status >= 0 ? status : target_check(&f->to, "to", "import") ? -1 : 2;
}

/* ------------------------------------------------------------ progress */

static const char *const phases[] = {"checking", "writing", "finished", "failed"};

static uint64_t keys_done(const struct migrate_import *i)
{
    const struct migrate_sink_stats *s = migrate_sink_stats(migrate_import_sink(i));
    uint64_t n = 0;
    for (unsigned k = RDB_STRING; k <= RDB_STREAM; k++)
        n += s->done[k];
    return n;
}

static int percent(const struct import_flags *f, const struct migrate_import *i)
{
    double part =
        f->file_bytes == 0 ? 0 : 100.0 * (double)migrate_import_offset(i) / (double)f->file_bytes;
    return migrate_import_phase(i) == IMPORT_DONE ? 100 : part > 99 ? 99 : (int)part;
}

static json_t *errors_json(const struct migrate_import *i)
{
    size_t n;
    const struct migrate_error *e = migrate_sink_errors(migrate_import_sink(i), &n);
    json_t *list = json_array();
    for (size_t k = 0; k < n && k < 20; k++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "key", e[k].key, "error", e[k].text));
    return list;
}

static void tell_status(const struct import_flags *f, const struct migrate_import *i)
{
    const struct migrate_sink_stats *s = migrate_sink_stats(migrate_import_sink(i));
    const struct migrate_load_stats *l = migrate_import_stats(i);
    if (f->report.status_file == NULL)
        return;
    json_t *types = json_object();
    for (unsigned k = 0; k <= LOAD_FUNCTION; k++)
        if (s->done[k] > 0)
            json_object_set_new(types, migrate_kind_name(k), json_integer((json_int_t)s->done[k]));
    json_t *o = json_pack(
        "{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "status",
        phases[migrate_import_phase(i)], "progress", percent(f, i), "keys",
        (json_int_t)keys_done(i), "keys_expected", (json_int_t)migrate_import_checked(i)->keys,
        "expired", (json_int_t)l->expired, "other_dbs", (json_int_t)l->other_dbs, "failed",
        (json_int_t)s->failed, "bytes", (json_int_t)migrate_import_offset(i), "bytes_total",
        (json_int_t)f->file_bytes, "done", types, "errors", errors_json(i));
    if (migrate_import_why(i)[0] != 0)
        json_object_set_new(o, "error", json_string(migrate_import_why(i)));
    char *text = json_dumps(o, JSON_COMPACT);
    if (text != NULL)
        report_status(&f->report, text);
    free(text);
    json_decref(o);
}

static void tell(void *arg, const struct migrate_import *i, struct moment now)
{
    struct import_flags *f = arg;
    char line[200], a[32], b[32], c[32];
    uint64_t keys = keys_done(i), us = now.mono_us - f->told_us;
    uint64_t rate = us == 0 ? 0 : (keys - f->told_keys) * 1000000 / us;
    if (migrate_import_phase(i) == IMPORT_CHECKING)
        snprintf(line, sizeof line, "checking %s: %d %%, %s keys", f->file, percent(f, i),
                 report_number(a, migrate_import_stats(i)->keys));
    else
        snprintf(line, sizeof line, "%d %%, %s keys written, %s a second, %s refused",
                 percent(f, i), report_number(a, keys), report_number(b, rate),
                 report_number(c, migrate_sink_stats(migrate_import_sink(i))->failed));
    if (migrate_import_phase(i) < IMPORT_DONE)
        report_line(&f->report, line);
    f->told_us = now.mono_us;
    f->told_keys = keys;
    tell_status(f, i);
}

/* ------------------------------------------------------------ the summary */

static void summary_skipped(const struct migrate_load_stats *l)
{
    char a[32], b[32];
    if (l->expired > 0)
        fprintf(stderr, "skipped: %s keys that have expired\n", report_number(a, l->expired));
    if (l->fields > 0)
        fprintf(stderr, "%s fields of %s hashes lost their expiry (they stay for ever)\n",
                report_number(a, l->fields), report_number(b, l->fields_of));
    if (l->other_dbs > 0)
        fprintf(stderr, "skipped: %s keys of other databases\n", report_number(a, l->other_dbs));
}

static void summary_failed(const struct migrate_sink *sink)
{
    char a[32];
    size_t n;
    const struct migrate_error *e = migrate_sink_errors(sink, &n);
    uint64_t failed = migrate_sink_stats(sink)->failed;
    if (failed == 0)
        return;
    fprintf(stderr, "refused: %s%s\n", report_number(a, failed),
            failed > n ? "; the first of them:" : ":");
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "  %s: %s\n", e[i].key, e[i].text);
}

static void summary(struct import_flags *f, const struct migrate_import *i, uint64_t us)
{
    const struct migrate_sink_stats *s = migrate_sink_stats(migrate_import_sink(i));
    const struct migrate_load_stats *l = migrate_import_stats(i);
    char a[32], b[32];
    uint64_t keys = keys_done(i);
    report_end_line(&f->report);
    if (!f->report.quiet && l->keys > 0 && !migrate_import_is_checking(i)) {
        fprintf(stderr, "%s keys written in %.1f s (%s a second)\n", report_number(a, keys),
                (double)us / 1e6, report_number(b, us == 0 ? keys : keys * 1000000 / us));
        for (unsigned k = 0; k <= LOAD_FUNCTION; k++)
            if (s->done[k] > 0)
                fprintf(stderr, "  %-16s %s\n", migrate_kind_name(k), report_number(a, s->done[k]));
        if (s->reconnects > 0)
            fprintf(stderr, "connections that broke and were made again: %s\n",
                    report_number(a, s->reconnects));
        summary_skipped(l);
    }
    summary_failed(migrate_import_sink(i));
    if (migrate_import_phase(i) != IMPORT_DONE)
        fprintf(stderr, "meridian import: %s\n", migrate_import_why(i));
}

/* ------------------------------------------------------------ the command */

/* Was a database chosen of which the file has nothing? Says so. */
static bool chose_nothing(const struct import_flags *f, const struct migrate_import *i)
{
    const struct migrate_load_stats *l = migrate_import_stats(i);
    char n[32];
    if (f->db == DB_NOT_SAID || l->keys + l->expired > 0 || l->other_dbs == 0)
        return false;
    fprintf(stderr,
            "meridian import: %s has no keys in database %lld (and %s in others, which are listed "
            "without --from-db)\n",
            f->file, (long long)f->db, report_number(n, l->other_dbs));
    return true;
}

static int run(struct import_flags *f, struct log *log)
{
    struct io *io =
        io_new(&(struct io_opts){.count = 1, .log = log, .name = "import", .signals = true});
    struct port *port = io_port(io, 0);
    uint32_t tls;
    int status = 1;
    if (target_tls(&f->to, port, "import", &tls)) {
        struct migrate_import_opts o = {
            .path = f->file,
            .load = {.db = f->db == DB_NOT_SAID ? MIGRATE_DB_ANY : f->db,
                     .no_functions = f->no_functions,
                     .drop_field_ttl = f->drop_field_ttl,
                     .limits = {.part_bytes = (size_t)f->part_kib << 10,
                                .stream_bytes = (size_t)f->part_kib << 10,
                                .value_max = (size_t)f->value_mib << 20}},
            .sink = {.host = f->to.host,
                     .port = f->to.port,
                     .tls = tls,
                     .user = bytes_str(f->to.user != NULL ? f->to.user : ""),
                     .password = buf_bytes(&f->to.secret),
                     .client_name = "meridian-import",
                     .same_run = true,
                     .connections = (unsigned)f->connections},
            .no_check = f->no_check,
            .progress = tell,
            .arg = f};
        struct migrate_import *i = migrate_import_new(&o);
        struct machine m = migrate_import_machine(i);
        f->begun_us = f->told_us = port->ops->clock_us(port);
        io_run(io, &m);
        summary(f, i, f->told_us - f->begun_us);
        if (migrate_import_phase(i) == IMPORT_DONE)
            status = migrate_sink_stats(migrate_import_sink(i))->failed > 0 || chose_nothing(f, i);
        migrate_import_free(i, port);
    }
    io_free(io);
    return status;
}

/* `import --replica-of` is another matter (follow.c). */
static bool is_live(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--replica-of", 12) == 0)
            return true;
    return false;
}

int cmd_import(int argc, char **argv)
{
    if (is_live(argc, argv))
        return cmd_follow(argc, argv);
    struct import_flags f;
    struct stat st;
    struct log log;
    int status = parse(&f, argc, argv);
    if (status < 0) {
        io_process_init();
        report_init(&f.report);
        /* one that cannot be read is told of when it is, to whoever reads the status, too */
        f.file_bytes = stat(f.file, &st) == 0 ? (uint64_t)st.st_size : 0;
        log_open(&log, NULL, 'W');
        status = run(&f, &log);
        log_close(&log);
    }
    target_deinit(&f.to);
    return status;
}
