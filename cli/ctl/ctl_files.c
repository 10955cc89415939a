/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian ctl db import` and `db export`: RDB files of the node. */
#include "cli/ctl/ctl.h"
#include "cli/pause.h"

#include <stdio.h>
#include <string.h>

#define POLL_MS 500

/* Waits until it has ended; 0 when all went well. */
static int follow(const struct ctl *c, json_int_t uid, const char *what)
{
    char path[64], status[32], progress[32], reason[48];
    json_int_t shown = -1;
    snprintf(path, sizeof path, "/v1/bdbs/%lld", (long long)uid);
    snprintf(status, sizeof status, "%s_status", what);
    snprintf(progress, sizeof progress, "%s_progress", what);
    snprintf(reason, sizeof reason, "%s_failure_reason", what);
    for (;;) {
        json_t *db = ctl_call(c, "GET", path, NULL);
        if (db == NULL)
            return 1;
        const char *now = str_of(db, status);
        bool failed = strcmp(now, "failed") == 0;
        bool over = failed || strcmp(now, "succeeded") == 0 || strcmp(now, "idle") == 0;
        if (int_of(db, progress) != shown && !over)
            printf(" ---> %s: %lld %%\n", now, (long long)int_of(db, progress));
        shown = int_of(db, progress);
        if (failed)
            ctl_error("the %s has failed: %s", what, str_of(db, reason));
        else if (over)
            printf(" ---> %s\n", now);
        fflush(stdout);
        json_decref(db);
        if (over)
            return failed;
        pause_ms(POLL_MS);
    }
}

/* Starts it with `body`, which is taken. */
static int begin(struct ctl *c, const char *what, json_t *body, bool no_wait)
{
    char path[96];
    json_int_t uid = db_resolve(c, c->rest[0]);
    if (uid == 0) {
        json_decref(body);
        return 1;
    }
    snprintf(path, sizeof path, "/v1/bdbs/%lld/actions/%s", (long long)uid, what);
    json_t *answer = ctl_call(c, "POST", path, body);
    if (answer == NULL)
        return 1;
    bool shown = ctl_shown(c, answer);
    if (!shown)
        printf("Action %s begun\n", str_of(answer, "action_uid"));
    json_decref(answer);
    return shown || no_wait ? 0 : follow(c, uid, what);
}

static json_t *place(const char *path)
{
    return json_pack("{s:s, s:s}", "type", "mount_point", "path", path);
}

int ctl_db_import(int argc, char **argv)
{
    struct ctl c;
    uint64_t db = UINT64_MAX;
    bool no_wait = false;
    const struct arg flags[] = {
        {"from-db", "N", "take the keys of this database of the file", ARG_UINT, &db, 0, INT32_MAX},
        {"no-wait", NULL, "return at once", ARG_FLAG, &no_wait, 0, 0},
    };
    int status = ctl_begin(&c,
                           &(struct verb){.command = "db import",
                                          .usage = "DB FILE...",
                                          .about = "Writes RDB files of the node (absolute paths "
                                                   "there) into a database.",
                                          .flags = flags,
                                          .flags_n = 2,
                                          .rest_min = 2,
                                          .rest_max = 64},
                           argc, argv);
    if (status >= 0)
        return status;
    json_t *list = json_array(), *body = json_pack("{s:o}", "dataset_import_sources", list);
    for (unsigned i = 1; i < c.rest_n; i++)
        json_array_append_new(list, place(c.rest[i]));
    if (db != UINT64_MAX)
        json_object_set_new(body, "from_db", json_integer((json_int_t)db));
    return begin(&c, "import", body, no_wait);
}

int ctl_db_export(int argc, char **argv)
{
    struct ctl c;
    bool no_wait = false;
    const struct arg flags[] = {{"no-wait", NULL, "return at once", ARG_FLAG, &no_wait, 0, 0}};
    int status =
        ctl_begin(&c,
                  &(struct verb){.command = "db export",
                                 .usage = "DB PATH",
                                 .about = "Writes a database into an RDB file of the node: "
                                          "PATH ends in .rdb, or is a folder there.",
                                 .flags = flags,
                                 .flags_n = 1,
                                 .rest_min = 2,
                                 .rest_max = 2},
                  argc, argv);
    if (status >= 0)
        return status;
    return begin(&c, "export", json_pack("{s:o}", "export_location", place(c.rest[1])), no_wait);
}
