/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/lab/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FILES_MAX 1024u

struct lab_opts {
    bool verbose, trace;
    uint64_t seed;
    const char *except;
    struct live_opts live;
};

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    size_t n;
    do {
        n = fread(buf_reserve(out, 65536), 1, 65536, f);
        buf_added(out, n);
    } while (n > 0 && buf_len(out) <= SCENARIO_FILE_MAX);
    bool bad = ferror(f);
    fclose(f);
    if (bad || buf_len(out) > SCENARIO_FILE_MAX)
        fprintf(stderr, "%s: %s\n", path, bad ? "can't be read" : "larger than 16 MiB");
    return !bad && buf_len(out) <= SCENARIO_FILE_MAX;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Is there a line "FILE TITLE" or "FILE *" for this story? */
static bool is_excepted(struct bytes list, const char *file, const char *title)
{
    while (list.n > 0) {
        const uint8_t *nl = memchr(list.p, '\n', list.n);
        size_t n = nl ? (size_t)(nl - list.p) : list.n;
        size_t name = strlen(file);
        if (n > name + 1 && memcmp(list.p, file, name) == 0 && list.p[name] == ' ') {
            struct bytes rest = bytes_of(list.p + name + 1, n - name - 1);
            if (bytes_is(rest, "*") || bytes_is(rest, title))
                return true;
        }
        list = bytes_of(list.p + n + (nl != NULL), list.n - n - (nl != NULL));
    }
    return false;
}

/* Takes the excepted stories out; returns how many. */
static unsigned leave_out(struct script *s, const char *path, struct bytes list)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (is_excepted(list, base_name(path), s->scenarios[i].title)) {
            struct script one = {.scenarios = mem_dup(&s->scenarios[i], sizeof s->scenarios[i]),
                                 .n = 1};
            script_deinit(&one);
        } else {
            s->scenarios[kept++] = s->scenarios[i];
        }
    }
    unsigned out = (unsigned)(s->n - kept);
    s->n = kept;
    return out;
}

static bool play_file(struct backend *b, const struct lab_opts *o, const char *path,
                      struct bytes except, struct lab_counts *counts)
{
    struct buf text = {0};
    struct script s;
    unsigned line;
    char why[WHY_MAX];
    bool ok = read_file(path, &text);
    if (ok && !script_parse(buf_bytes(&text), &s, &line, why, sizeof why)) {
        fprintf(stderr, "%s:%u: %s\n", path, line, why);
        ok = false;
    }
    if (ok) {
        counts->left_out += leave_out(&s, path, except);
        lab_play(b, path, &s, o->verbose, counts);
        script_deinit(&s);
    }
    buf_deinit(&text);
    return ok;
}

static int play_files(const struct lab_opts *o, const char *const *files, unsigned n)
{
    struct buf except = {0};
    if (o->except != NULL && !read_file(o->except, &except))
        return 2;
    struct backend *b = o->live.guid ? live_new(&o->live) : inproc_new(o->seed, o->trace);
    if (b == NULL) {
        buf_deinit(&except);
        return 1;
    }
    struct lab_counts counts = {0};
    for (unsigned i = 0; i < n; i++)
        if (!play_file(b, o, files[i], buf_bytes(&except), &counts))
            counts.failed++;
    b->ops->free(b);
    buf_deinit(&except);
    if (counts.left_out > 0)
        printf("%u left out\n", counts.left_out);
    printf("%u passed, %u failed\n", counts.passed, counts.failed);
    return counts.failed > 0;
}

int cmd_lab(int argc, char **argv)
{
    struct lab_opts o = {.seed = 1,
                         .live = {.url = "https://127.0.0.1:9443", .user = "", .password = ""}};
    const char *rest[FILES_MAX];
    const struct arg flags[] = {
        {.name = "verbose",
         .help = "also name the stories that pass",
         .kind = ARG_FLAG,
         .out = &o.verbose},
        {.name = "trace",
         .help = "in process: the regions' log lines to stderr",
         .kind = ARG_FLAG,
         .out = &o.trace},
        {.name = "seed",
         .value = "N",
         .help = "in process: seed of the virtual world",
         .kind = ARG_UINT,
         .out = &o.seed,
         .max = UINT64_MAX},
        {.name = "except",
         .value = "FILE",
         .help = "leave out the stories named there, a line 'file title' or 'file *' each",
         .kind = ARG_TEXT,
         .out = &o.except},
        {.name = "live",
         .value = "GUID",
         .help = "play against this running geo-distributed database (its content is flushed)",
         .kind = ARG_TEXT,
         .out = &o.live.guid},
        {.name = "url",
         .value = "URL",
         .help = "live: REST API of one of its clusters",
         .kind = ARG_TEXT,
         .out = &o.live.url},
        {.name = "user",
         .value = "NAME",
         .help = "live: user, the same on every cluster",
         .kind = ARG_TEXT,
         .out = &o.live.user},
        {.name = "password",
         .value = "TEXT",
         .help = "live: that user's password",
         .kind = ARG_TEXT,
         .out = &o.live.password},
    };
    struct args a = {
        .command = "lab",
        .usage = "run [flags] FILE...",
        .about = "Plays conflict scenarios: what every region shows after concurrent writes. In "
                 "one process under\n"
                 "virtual time, or with --live against running regions. The language: docs/lab.md.",
        .at = flags,
        .n = sizeof flags / sizeof *flags,
        .rest = rest,
        .rest_max = FILES_MAX};
    int status = args_main(&a, argc, argv);
    if (status >= 0)
        return status;
    if (a.rest_n < 2 || strcmp(rest[0], "run") != 0) {
        fprintf(stderr, "meridian lab: say 'meridian lab run FILE...' (see --help)\n");
        return 2;
    }
    return play_files(&o, rest + 1, a.rest_n - 1);
}
