/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian ctl GROUP VERB`: which verb it is, and what they share. */
#include "cli/ctl/ctl.h"

#include "cli/cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *group, *verb;
    verb_fn *run;
    const char *about;
} verbs[] = {
    {"cluster", "create", ctl_cluster_create, "makes the node a cluster (bootstrap)"},
    {"cluster", "show", ctl_cluster_show, "name, node, settings"},
    {"cluster", "set", ctl_cluster_set, "changes settings"},
    {"cluster", "alerts", ctl_cluster_alerts, "shows what is wrong just now"},
    {"db", "create", ctl_db_create, "makes a database in this cluster"},
    {"db", "list", ctl_db_list, "databases"},
    {"db", "show", ctl_db_show, "one of them"},
    {"db", "update", ctl_db_update, "changes memory limit, password, ..."},
    {"db", "delete", ctl_db_delete, "drops a database"},
    {"db", "flush", ctl_db_flush, "removes all its keys"},
    {"db", "snapshot", ctl_db_snapshot, "begins snapshots of it on disk"},
    {"db", "import", ctl_db_import, "writes RDB files into it"},
    {"db", "export", ctl_db_export, "writes its keys into an RDB file"},
    {"crdb", "create", ctl_crdb_create, "makes a geo-distributed database over several clusters"},
    {"crdb", "list", ctl_crdb_list, "geo-distributed databases and their regions"},
    {"crdb", "show", ctl_crdb_show, "one of them"},
    {"crdb", "add", ctl_crdb_add, "adds a region"},
    {"crdb", "remove", ctl_crdb_remove, "removes a region"},
    {"crdb", "update", ctl_crdb_update, "changes settings in all regions"},
    {"crdb", "delete", ctl_crdb_delete, "drops it in all regions"},
    {"crdb", "flush", ctl_crdb_flush, "removes all its keys, everywhere"},
    {"crdb", "purge", ctl_crdb_purge, "drops the local instance after a forced removal"},
    {"crdb", "status", ctl_crdb_status, "regions and links, with lag"},
    {"crdb", "pause", ctl_crdb_pause, "holds what comes from a region"},
    {"crdb", "resume", ctl_crdb_resume, "lets it come again"},
    {"task", "list", ctl_task_list, "tasks of this cluster"},
    {"task", "show", ctl_task_show, "one of them"},
};
#define VERBS (sizeof verbs / sizeof verbs[0])

static void usage(FILE *out, const char *group)
{
    fputs("usage: meridian ctl GROUP VERB [flags]\n\nThe REST API at the command line.\n\n", out);
    for (size_t i = 0; i < VERBS; i++)
        if (group == NULL || strcmp(group, verbs[i].group) == 0)
            fprintf(out, "  %-7s %-8s %s\n", verbs[i].group, verbs[i].verb, verbs[i].about);
    fputs("\nmeridian ctl GROUP VERB --help tells its flags.\n", out);
}

static bool is_help(const char *s)
{
    return strcmp(s, "--help") == 0 || strcmp(s, "-h") == 0 || strcmp(s, "help") == 0;
}

int cmd_ctl(int argc, char **argv)
{
    bool known = false;
    if (argc < 2) {
        usage(stderr, NULL);
        return 2;
    }
    if (is_help(argv[1])) {
        usage(stdout, NULL);
        return 0;
    }
    const char *group = strcmp(argv[1], "database") == 0 ? "db" : argv[1];
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(group, verbs[i].group) != 0)
            continue;
        known = true;
        if (argc > 2 && strcmp(argv[2], verbs[i].verb) == 0)
            return verbs[i].run(argc - 2, argv + 2);
    }
    if (known && argc > 2 && is_help(argv[2])) {
        usage(stdout, group);
        return 0;
    }
    if (known && argc == 2)
        fprintf(stderr, "meridian ctl %s: say what to do\n\n", argv[1]);
    else
        fprintf(stderr, "meridian ctl: '%s%s%s' is no command\n\n", argv[1], argc > 2 ? " " : "",
                argc > 2 ? argv[2] : "");
    usage(stderr, known ? group : NULL);
    return 2;
}

/* ------------------------------------------------------------ flags and requests */

int ctl_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("meridian ctl: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return 1;
}

int ctl_begin(struct ctl *c, const struct verb *v, int argc, char **argv)
{
    const struct arg common[] = {
        {"url", "URL", "the REST API (default: https://127.0.0.1:9443)", ARG_TEXT, &c->url, 0, 300},
        {"user", "NAME", "user name (default: $MERIDIAN_USER)", ARG_TEXT, &c->user, 0, 127},
        {"password", "TEXT", "password (default: $MERIDIAN_PASSWORD)", ARG_TEXT, &c->password, 0,
         199},
        {"ca-file", "FILE", "whom to trust, PEM (default: the system's certificates)", ARG_TEXT,
         &c->ca_file, 0, 0},
        {"insecure", NULL, "accept any certificate, as self-signed ones", ARG_FLAG, &c->insecure, 0,
         0},
        {"json", NULL, "print what the API answers", ARG_FLAG, &c->json, 0, 0},
    };
    struct arg all[40];
    unsigned n = 0;
    char command[64];
    *c = (struct ctl){.url = "https://127.0.0.1:9443",
                      .user = getenv("MERIDIAN_USER"),
                      .password = getenv("MERIDIAN_PASSWORD")};
    for (unsigned i = 0; i < v->flags_n; i++)
        all[n++] = v->flags[i];
    for (unsigned i = 0; i < sizeof common / sizeof common[0]; i++)
        all[n++] = common[i];
    snprintf(command, sizeof command, "ctl %s", v->command);
    struct args a = {.command = command,
                     .usage = v->usage,
                     .about = v->about,
                     .at = all,
                     .n = n,
                     .rest = v->rest_max ? c->rest : NULL,
                     .rest_max = v->rest_max};
    int status = args_main(&a, argc, argv);
    if (status >= 0)
        return status;
    c->rest_n = a.rest_n;
    if (a.rest_n < v->rest_min) {
        fprintf(stderr, "usage: meridian %s %s\nTry: meridian %s --help\n", command, v->usage,
                command);
        return 2;
    }
    if (!https_target_parse(c->url, &c->target)) {
        fprintf(stderr, "--url: https://host:9443 is expected, not '%s'\n", c->url);
        return 2;
    }
    snprintf(c->target.user, sizeof c->target.user, "%s", c->user ? c->user : "");
    snprintf(c->target.password, sizeof c->target.password, "%s", c->password ? c->password : "");
    c->target.verify = !c->insecure;
    c->target.ca_file = c->ca_file;
    return -1;
}

static void report(int status, const json_t *answer)
{
    const char *text = str_of(answer, "message");
    if (text[0])
        ctl_error("%s (%s)", text, str_of(answer, "error_code"));
    else
        ctl_error("the API answered with HTTP status %d", status);
    if (status == 401)
        ctl_error("give --user and --password, or set MERIDIAN_USER and MERIDIAN_PASSWORD");
}

json_t *ctl_call(const struct ctl *c, const char *method, const char *path, json_t *body)
{
    struct https_answer a = {0};
    json_t *answer = NULL;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (!https_call(&c->target, method, path, text, &a)) {
        ctl_error("%s%s", a.error,
                  c->insecure || strstr(a.error, "certificate") == NULL
                      ? ""
                      : " (--insecure accepts self-signed ones, --ca-file names whom to trust)");
    } else {
        struct bytes b = buf_bytes(&a.body);
        answer = json_loadb((const char *)b.p, b.n, JSON_DECODE_ANY, NULL);
        if (a.status >= 300 || answer == NULL) {
            report(a.status, answer);
            json_decref(answer);
            answer = NULL;
        }
    }
    free(text);
    https_answer_deinit(&a);
    return answer;
}

bool ctl_shown(const struct ctl *c, const json_t *value)
{
    if (!c->json)
        return false;
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
    return true;
}

/* ------------------------------------------------------------ values and tables */

const char *str_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

json_int_t int_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? atoll(json_string_value(v)) : json_integer_value(v);
}

bool size_parse(const char *text, json_int_t *out)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0},    {"b", 0},  {"k", 10},  {"kb", 10}, {"m", 20},
                 {"mb", 20}, {"g", 30}, {"gb", 30}, {"t", 40},  {"tb", 40}};
    char *end;
    double v = strtod(text, &end);
    if (end == text || v < 0 || v > 1e15)
        return false;
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcasecmp(end, units[i].unit) == 0) {
            *out = (json_int_t)(v * (double)((uint64_t)1 << units[i].shift));
            return true;
        }
    return false;
}

void size_text(json_int_t bytes, char *out, size_t size)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double v = (double)bytes;
    unsigned u = 0;
    while (v >= 1024 && u < 4)
        v /= 1024, u++;
    snprintf(out, size, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

void text_table_row(struct text_table *t, const char *const *cells, unsigned n)
{
    if (t->columns == 0)
        t->columns = n;
    if (t->n + n > sizeof t->cells / sizeof t->cells[0])
        return;
    for (unsigned i = 0; i < n; i++)
        t->cells[t->n++] = strdup(cells[i]);
}

void text_table_print(struct text_table *t)
{
    size_t widths[TABLE_COLUMNS] = {0};
    for (unsigned i = 0; i < t->n; i++) {
        size_t n = strlen(t->cells[i]);
        if (n > widths[i % t->columns])
            widths[i % t->columns] = n;
    }
    for (unsigned i = 0; i < t->n; i++) {
        bool last = i % t->columns == t->columns - 1;
        if (last)
            printf("%s\n", t->cells[i]);
        else
            printf("%-*s  ", (int)widths[i % t->columns], t->cells[i]);
        free(t->cells[i]);
    }
    t->n = 0;
}
