/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/log/log.h"

#include <string.h>

#define PATHS_MAX 256u

static bool read_times(const char *from, const char *to, struct log_filter *f)
{
    if ((from == NULL || log_time_read(from, &f->from_ms)) &&
        (to == NULL || log_time_read(to, &f->to_ms)))
        return true;
    fprintf(stderr, "meridian log: a time is 2026-11-22T20:45:01 (UTC) or milliseconds since "
                    "1970\n");
    return false;
}

struct choices {
    bool yes, others, alone;
};

static int run(const char *what, const char *path, const struct choices *c,
               const struct log_filter *filter)
{
    if (strcmp(what, "check") == 0)
        return log_check(path);
    if (strcmp(what, "repair") == 0)
        return log_repair(path, c->yes,
                          c->others  ? SALVAGE_OTHERS
                          : c->alone ? SALVAGE_ALONE
                                     : SALVAGE_ASK);
    if (strcmp(what, "restored") == 0)
        return log_restored(path, c->yes);
    if (strcmp(what, "dump") == 0)
        return log_dump(path, filter);
    fprintf(stderr, "meridian log: say check, repair, restored or dump (see --help)\n");
    return 2;
}

static const char about[] =
    "Looks at what shards have on disk: log segments and snapshots. PATH is a node's data folder, "
    "a\ndatabase's or a shard's in it.\n\n"
    "  check     reads everything the next start would read, and says whether it opens: exit "
    "status\n"
    "            0, or 1 and the file, the offset and what to do. Also while a node runs\n"
    "  dump      prints the records of the files at PATH, or of the one file PATH, for people: "
    "who\n"
    "            wrote what when. Also while a node runs\n"
    "  repair    keeps what stands before the first damage and takes the rest out of the way (kept "
    "as\n"
    "            *.damaged); tells what is lost. The node must be stopped. Changes nothing "
    "without\n"
    "            --yes. The region then catches up from others before it takes writes. Of a "
    "damaged\n"
    "            snapshot what is whole is kept: --others or --alone\n"
    "  restored  to be run after a folder was brought back from an older copy: marks it as one "
    "that\n"
    "            promises nothing, so that its region catches up from others before it takes "
    "writes.\n"
    "            The node must be stopped. Changes nothing without --yes";

int cmd_log(int argc, char **argv)
{
    struct log_filter filter = {.partition = UINT64_MAX, .from_ms = INT64_MIN, .to_ms = INT64_MAX};
    struct choices c = {.yes = false};
    const char *rest[PATHS_MAX], *from = NULL, *to = NULL;
    const struct arg flags[] = {
        {.name = "yes", .help = "repair, restored: do it", .kind = ARG_FLAG, .out = &c.yes},
        {.name = "others",
         .help = "repair, a damaged snapshot: other regions have the data; damaged partitions come "
                 "up empty",
         .kind = ARG_FLAG,
         .out = &c.others},
        {.name = "alone",
         .help = "repair, a damaged snapshot: nobody else has them; all that can be read is kept",
         .kind = ARG_FLAG,
         .out = &c.alone},
        {.name = "key",
         .value = "NAME",
         .help = "dump: only operations on this key",
         .kind = ARG_TEXT,
         .out = &filter.key},
        {.name = "partition",
         .value = "N",
         .help = "dump: only this partition",
         .kind = ARG_UINT,
         .out = &filter.partition,
         .max = UINT32_MAX},
        {.name = "from",
         .value = "TIME",
         .help = "dump: only operations written from then on: 2026-11-22T20:45:01 (UTC), or "
                 "milliseconds since 1970",
         .kind = ARG_TEXT,
         .out = &from},
        {.name = "to",
         .value = "TIME",
         .help = "dump: ... and until then",
         .kind = ARG_TEXT,
         .out = &to},
    };
    struct args a = {.command = "log",
                     .usage = "check|dump|repair|restored [flags] PATH...",
                     .about = about,
                     .at = flags,
                     .n = sizeof flags / sizeof *flags,
                     .rest = rest,
                     .rest_max = PATHS_MAX};
    int status = args_main(&a, argc, argv);
    if (status >= 0)
        return status;
    if (a.rest_n < 2) {
        fprintf(stderr, "meridian log: say check, repair, restored or dump, and a path (see "
                        "--help)\n");
        return 2;
    }
    if (!read_times(from, to, &filter))
        return 2;
    if (c.others && c.alone) {
        fprintf(stderr, "meridian log: --others or --alone, not both\n");
        return 2;
    }
    for (unsigned i = 1; i < a.rest_n; i++) {
        int one = run(rest[0], rest[i], &c, &filter);
        status = one > status ? one : status;
    }
    return status < 0 ? 0 : status;
}
