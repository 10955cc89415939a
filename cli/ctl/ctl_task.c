/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian ctl task ...`, following tasks, and `meridian ctl crdb status`. */
#include "cli/ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void print_errors(const json_t *task)
{
    const json_t *errors = json_object_get(task, "errors");
    for (size_t i = 0; i < json_array_size(errors); i++) {
        const json_t *e = json_array_get(errors, i);
        ctl_error("%s (%s)", str_of(e, "description"), str_of(e, "error_code"));
    }
}

static void tell(const struct ctl *c, char was[16], const json_t *task, bool *guid_told)
{
    const char *now = str_of(task, "status");
    if (!c->json && !*guid_told && strcmp(str_of(task, "operation"), "create_crdb") == 0 &&
        strcmp(now, "queued") != 0) {
        printf(" ---> CRDB GUID Assigned: crdb:%s\n", str_of(task, "crdb_guid"));
        *guid_told = true;
    }
    if (strcmp(was, now) == 0)
        return;
    if (!c->json)
        printf(" ---> Status changed: %s -> %s\n", was, now);
    fflush(stdout);
    snprintf(was, 16, "%s", now);
}

int task_follow(const struct ctl *c, json_t *task, bool wait)
{
    char was[16], path[128];
    bool guid_told = false;
    if (task == NULL)
        return 1;
    if (json_object_get(task, "id") == NULL) { /* a dry run has none */
        if (!ctl_shown(c, task))
            puts("It can be done");
        json_decref(task);
        return 0;
    }
    if (!c->json)
        printf("Task %s created\n", str_of(task, "id"));
    snprintf(was, sizeof was, "%s", str_of(task, "status"));
    snprintf(path, sizeof path, "/v1/crdb_tasks/%s", str_of(task, "id"));
    while (wait && strcmp(was, "finished") != 0 && strcmp(was, "failed") != 0) {
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        json_decref(task);
        task = ctl_call(c, "GET", path, NULL);
        if (task == NULL)
            return 1;
        tell(c, was, task, &guid_told);
    }
    ctl_shown(c, task);
    print_errors(task);
    json_decref(task);
    return strcmp(was, "failed") == 0 ? 1 : 0;
}

int ctl_task_list(int argc, char **argv)
{
    struct ctl c;
    int status = ctl_begin(&c,
                           &(struct verb){.command = "task list",
                                          .usage = "[flags]",
                                          .about = "Lists the tasks this cluster has coordinated "
                                                   "lately."},
                           argc, argv);
    if (status >= 0)
        return status;
    json_t *list = ctl_call(&c, "GET", "/v1/crdb_tasks", NULL);
    if (list == NULL)
        return 1;
    if (!ctl_shown(&c, list)) {
        static const char *const head[] = {"TASK-ID",     "CRDB-GUID", "OPERATION", "STATUS",
                                           "WORKER-NAME", "STARTED",   "ENDED"};
        struct text_table t = {0};
        text_table_row(&t, head, 7);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *k = json_array_get(list, i);
            const char *row[] = {str_of(k, "id"),          str_of(k, "crdb_guid"),
                                 str_of(k, "operation"),   str_of(k, "status"),
                                 str_of(k, "worker_name"), str_of(k, "started"),
                                 str_of(k, "ended")};
            text_table_row(&t, row, 7);
        }
        text_table_print(&t);
    }
    json_decref(list);
    return 0;
}

int ctl_task_show(int argc, char **argv)
{
    struct ctl c;
    char path[128];
    int status = ctl_begin(&c,
                           &(struct verb){.command = "task show",
                                          .usage = "TASK-ID",
                                          .about = "Shows a task.",
                                          .rest_min = 1,
                                          .rest_max = 1},
                           argc, argv);
    if (status >= 0)
        return status;
    snprintf(path, sizeof path, "/v1/crdb_tasks/%.60s", c.rest[0]);
    json_t *k = ctl_call(&c, "GET", path, NULL);
    if (k == NULL)
        return 1;
    if (!ctl_shown(&c, k)) {
        printf("Task-ID: %s\nCRDB-GUID: %s\nOperation: %s\nStatus: %s\nWorker-Name: %s\n"
               "Started: %s\nEnded: %s\n",
               str_of(k, "id"), str_of(k, "crdb_guid"), str_of(k, "operation"), str_of(k, "status"),
               str_of(k, "worker_name"), str_of(k, "started"), str_of(k, "ended"));
        print_errors(k);
    }
    json_decref(k);
    return 0;
}

/* ------------------------------------------------------------ crdb status */

static void number(const json_t *o, const char *name, char out[24])
{
    snprintf(out, 24, "%lld", (long long)int_of(o, name));
}

static void link_row(struct text_table *t, const json_t *report, const json_t *link)
{
    char lag[24], behind[24], ops[24], in[24], out[24];
    number(link, "lag_ms", lag);
    number(link, "behind_ms", behind);
    number(link, "lag_ops", ops);
    size_text(int_of(link, "bytes_in"), in, sizeof in);
    size_text(int_of(link, "bytes_out"), out, sizeof out);
    const char *row[] = {str_of(report, "cluster_name"),
                         str_of(link, "cluster"),
                         str_of(link, "state"),
                         behind,
                         lag,
                         ops,
                         in,
                         out,
                         str_of(link, "last_error")};
    text_table_row(t, row, 9);
}

static bool show_status(const json_t *reports)
{
    static const char *const regions[] = {"REPL-ID",   "CLUSTER-FQDN", "DB",    "VERSION",
                                          "AVAILABLE", "LAG-MS",       "REASON"};
    static const char *const links[] = {"AT",  "FROM",     "STATE", "BEHIND-MS", "UNACKED-MS",
                                        "OPS", "RECEIVED", "SENT",  "LAST-ERROR"};
    struct text_table a = {0}, b = {0};
    bool well = true;
    text_table_row(&a, regions, 7);
    text_table_row(&b, links, 9);
    for (size_t i = 0; i < json_array_size(reports); i++) {
        const json_t *r = json_array_get(reports, i);
        const char *error = str_of(r, "connection_error");
        char id[24], db[24], version[24], lag[24];
        number(r, "instance_id", id);
        number(r, "db_uid", db);
        number(r, "active_config_version", version);
        number(r, "lag_ms", lag);
        const char *row[] = {id,
                             str_of(r, "cluster_name"),
                             error[0] ? "-" : db,
                             error[0] ? "-" : version,
                             error[0] ? error : str_of(r, "availability"),
                             error[0] || int_of(r, "lag_ms") < 0 ? "-" : lag,
                             str_of(r, "reason")};
        text_table_row(&a, row, 7);
        well = well && strcmp(str_of(r, "availability"), "up") == 0;
        const json_t *connections = json_object_get(r, "connections");
        for (size_t k = 0; k < json_array_size(connections); k++) {
            const json_t *list =
                json_object_get(json_array_get(connections, k), "replication_links");
            for (size_t l = 0; l < json_array_size(list); l++)
                link_row(&b, r, json_array_get(list, l));
        }
    }
    text_table_print(&a);
    putchar('\n');
    text_table_print(&b);
    return well;
}

int ctl_crdb_status(int argc, char **argv)
{
    struct ctl c;
    char path[160];
    int status = ctl_begin(
        &c,
        &(struct verb){.command = "crdb status",
                       .usage = "CRDB",
                       .about = "Shows regions and links of a geo-distributed database, as each "
                                "region sees them.\nExit status 1 unless all are up. "
                                "BEHIND-MS: how far AT is behind FROM;\nUNACKED-MS, OPS: age and "
                                "number of AT's operations that FROM has not acknowledged.",
                       .rest_min = 1,
                       .rest_max = 1},
        argc, argv);
    if (status >= 0)
        return status;
    json_t *r = crdb_resolve(&c, c.rest[0]);
    if (r == NULL)
        return 1;
    snprintf(path, sizeof path, "/v1/crdbs/%s/health_report", str_of(r, "guid"));
    json_decref(r);
    json_t *reports = ctl_call(&c, "GET", path, NULL);
    if (reports == NULL)
        return 1;
    bool well = ctl_shown(&c, reports) || show_status(reports);
    json_decref(reports);
    return well ? 0 : 1;
}
