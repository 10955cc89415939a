/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/log/log.h"

#include "base/mem.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* ------------------------------------------------------------ times */

const char *log_time(char out[LOG_TIME_MAX], int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    size_t n =
        gmtime_r(&s, &tm) != NULL ? strftime(out, LOG_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
    snprintf(out + n, LOG_TIME_MAX - n, ".%03dZ", (int)(ms % 1000));
    return out;
}

bool log_time_read(const char *text, int64_t *ms)
{
    int y, mo = 1, d = 1, h = 0, mi = 0, s = 0, used = 0;
    if (strchr(text, '-') == NULL)
        return sscanf(text, "%" SCNd64 "%n", ms, &used) == 1 && text[used] == 0;
    if (sscanf(text, "%d-%d-%d%*1[T ]%d:%d:%d", &y, &mo, &d, &h, &mi, &s) < 3)
        return false;
    struct tm tm = {.tm_year = y - 1900,
                    .tm_mon = mo - 1,
                    .tm_mday = d,
                    .tm_hour = h,
                    .tm_min = mi,
                    .tm_sec = s};
    *ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

/* ------------------------------------------------------------ what the next opening makes of it */

/* What it reads: the newest snapshot and the segments from its number on. */
static void choose(struct log_folder *f, struct log_verdict *v)
{
    v->base = NULL;
    for (size_t i = 0; i < f->n; i++) {
        struct log_file *at = &f->files[i];
        at->needed = false;
        if (at->kind == FILE_KIND_SNAPSHOT)
            v->base = at;
    }
    for (size_t i = 0; i < f->n; i++) {
        struct log_file *at = &f->files[i];
        at->needed = at == v->base || (at->kind == FILE_KIND_SEGMENT &&
                                       (v->base == NULL || at->number >= v->base->number));
    }
}

static bool stops(struct log_verdict *v, const struct log_file *bad, uint64_t at, const char *what)
{
    v->opens = false;
    v->bad = bad;
    v->bad_at = at;
    snprintf(v->what, sizeof v->what, "%s", what);
    return false;
}

/* A segment must go on where the one before it ended. */
static bool follows(struct log_verdict *v, const struct log_file *file)
{
    const struct file_header *h = &file->seen.header;
    uint64_t base = v->base != NULL ? v->base->number : 0;
    if (v->last != NULL ? h->before != v->last->number : h->before != 0 && h->before >= base) {
        char what[128];
        snprintf(what, sizeof what,
                 "segment log-%016" PRIx64 " is missing, which %s goes on from: bring it back from "
                 "where it went",
                 h->before, file->name);
        return stops(v, NULL, 0, what);
    }
    if (v->last != NULL && h->before_end != FORMAT_END_UNKNOWN && h->before_end != v->last_end) {
        char what[128];
        snprintf(what, sizeof what, "it ends here, but ended at offset %" PRIu64 " once (%s says)",
                 h->before_end, file->name);
        return stops(v, v->last, v->last_end, what);
    }
    return true;
}

static bool same_shard(const struct log_verdict *v, const struct file_header *h)
{
    const struct log_file *other = v->base != NULL && v->base->seen.headed ? v->base : v->last;
    const struct file_header *b = other != NULL ? &other->seen.header : h;
    return h->db_uid == b->db_uid && h->shard == b->shard && h->partitions == b->partitions &&
           h->first == b->first && h->count == b->count;
}

static bool judge_file(struct log_folder *f, struct log_verdict *v, struct log_file *file,
                       struct context **seen)
{
    struct file_header head;
    const char *why;
    struct inspect_opts o = {.content = file->content,
                             .kind = file->kind,
                             .number = file->number,
                             .last = file == &f->files[f->n - 1]};
    if (*seen == NULL && header_read(file->content, &head, &why) == HEADER_OK)
        *seen = mem_zalloc(((size_t)head.count + 1) * sizeof **seen);
    if (v->base != NULL && v->base->seen.headed && file->kind == FILE_KIND_SEGMENT &&
        file->number == v->base->number)
        o.from = v->base->seen.header.from;
    bool known = header_read(file->content, &head, &why) == HEADER_OK && same_shard(v, &head);
    o.seen = known ? *seen : NULL;
    inspect(&o, &file->seen);
    if (file->seen.headed && !known)
        return stops(v, file, 0, "it belongs to another database or shard");
    if (file->kind == FILE_KIND_SEGMENT && file->seen.headed && !follows(v, file))
        return false;
    if (file->seen.state == INSPECT_DAMAGED || file->seen.state == INSPECT_VERSION)
        return stops(v, file, file->seen.end, file->seen.what);
    if (file->seen.state == INSPECT_TORN)
        v->torn = file->content.n - file->seen.end;
    if (file->kind == FILE_KIND_SEGMENT && file->seen.headed) {
        v->last = file;
        v->last_end = file->seen.end;
    }
    return true;
}

void log_judge(struct log_folder *f, struct log_verdict *out)
{
    struct context *seen = NULL;
    uint32_t count = 0;
    *out = (struct log_verdict){.opens = true};
    choose(f, out);
    bool ok = true;
    for (size_t i = 0; i < f->n; i++) {
        struct log_file *file = &f->files[i];
        if (file->needed && ok)
            ok = judge_file(f, out, file, &seen);
        else if (file->needed)
            inspect(&(struct inspect_opts){.content = file->content,
                                           .kind = file->kind,
                                           .number = file->number,
                                           .last = i + 1 == f->n},
                    &file->seen);
        if (file->needed && file->seen.headed && count == 0)
            count = file->seen.header.count;
    }
    for (uint32_t i = 0; seen != NULL && i < count; i++)
        context_deinit(&seen[i]);
    mem_free(seen);
}

/* ------------------------------------------------------------ printing */

static void print_content(const struct log_file *file)
{
    const struct inspection *s = &file->seen;
    char a[LOG_TIME_MAX], b[LOG_TIME_MAX];
    static const char *const policies[] = {"synced always", "synced every second", "not synced"};
    printf("  version %" PRIu32 "  %zu bytes  %" PRIu64 " records", s->header.version,
           file->content.n, s->total);
    if (file->kind == FILE_KIND_SNAPSHOT) {
        printf("  %" PRIu64 " partitions  %" PRIu64 " keys\n", s->records[RECORD_PARTITION],
               s->keys);
        return;
    }
    printf("  %" PRIu64 " operations  %s%s\n", s->ops, policies[s->policy],
           s->closed ? "  ended in order" : "");
    if (s->skipped > 0)
        printf("    needed from offset %" PRIu64 " on, the snapshot holds the rest\n", s->skipped);
    if (s->oldest != 0)
        printf("    %s .. %s  known durable to offset %" PRIu64 "\n", log_time(a, s->oldest),
               log_time(b, s->newest), s->synced);
}

void log_print_file(const struct log_folder *f, const struct log_file *file)
{
    const struct inspection *s = &file->seen;
    printf("  %-26s", file->name);
    if (s->headed)
        print_content(file);
    else
        printf("  %zu bytes\n", file->content.n);
    if (s->state == INSPECT_TORN)
        printf("    torn end: %" PRIu64 " bytes at offset %" PRIu64
               " that had never been synced; the next start cuts them off (harmless)\n",
               file->content.n - s->end, s->end);
    if (s->state != INSPECT_DAMAGED && s->state != INSPECT_VERSION)
        return;
    printf("    %s at offset %" PRIu64 ": %s\n",
           s->state == INSPECT_VERSION ? "UNKNOWN VERSION" : "DAMAGED", s->end, s->what);
    if (s->resumes != 0)
        printf("    good records stand again from offset %" PRIu64 " on\n", s->resumes);
    printf("    in %s\n", f->path);
}

static void print_verdict(const struct log_folder *f, const struct log_verdict *v)
{
    if (v->opens) {
        printf("  opens%s%s\n", v->torn > 0 ? ", without the torn end" : "",
               v->last != NULL && v->last->seen.closed ? "; the last life ended in order" : "");
        return;
    }
    if (v->bad != NULL)
        printf("  DOES NOT OPEN: %s is wrong at offset %" PRIu64 ": %s\n", v->bad->name, v->bad_at,
               v->what);
    else
        printf("  DOES NOT OPEN: %s\n", v->what);
    if (v->bad != NULL && v->bad->seen.state == INSPECT_VERSION)
        return;
    printf("  What to do: where other regions have the data, move %s away and start: the region\n"
           "  catches up from them. Else bring the file back from a copy, or keep what stands "
           "before\n"
           "  the damage: meridian log repair %s\n",
           f->path, f->path);
}

static bool check_folder(void *arg, const char *path)
{
    struct log_folder f;
    struct log_verdict v = {0};
    (void)arg;
    if (log_folder_load(&f, path)) {
        log_judge(&f, &v);
        printf("%s\n", path);
        for (size_t i = 0; i < f.n; i++) {
            if (f.files[i].needed)
                log_print_file(&f, &f.files[i]);
            else
                printf("  %-26s  %zu bytes  not needed any more\n", f.files[i].name,
                       f.files[i].content.n);
        }
        print_verdict(&f, &v);
    }
    log_folder_unload(&f);
    return v.opens;
}

int log_check(const char *path) { return log_folders_each(path, check_folder, NULL) != 0; }
