/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/log/log.h"

#include "base/mem.h"
#include "worker/lives.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/*
 * Repair keeps a beginning: what stands before the first damage. What comes behind may rest on what
 * is lost, so it goes as well; all of it is kept beside as *.damaged, which no opening reads. Then
 * the folder is marked as one that promises nothing, since its region had claimed to have what is
 * gone: it catches up from others before it takes writes. That is said first, too, in the file
 * `lives`: a repair that dies in the middle may leave a folder that opens, and needs none. A
 * snapshot is a beginning itself: one that is damaged is left out where that loses nothing, else
 * what is whole of it is kept (salvage.c).
 */
struct job {
    bool yes;
    enum log_salvage salvage;
};

bool log_say(const char *path)
{
    fprintf(stderr, "meridian log: %s: %s\n", path, strerror(errno));
    return false;
}

void log_path(const struct log_folder *f, const char *name, const char *end, char *out)
{
    snprintf(out, PATH_MAX, "%s/%s%s", f->path, name, end);
}

bool log_sync(const struct log_folder *f)
{
    int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        log_say(f->path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool write_new(const char *path, struct bytes content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return log_say(path);
    while (content.n > 0) {
        ssize_t n = write(fd, content.p, content.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        content = bytes_of(content.p + n, content.n - (size_t)n);
    }
    bool ok = content.n == 0 && fsync(fd) == 0;
    if (!ok)
        log_say(path);
    return close(fd) == 0 && ok;
}

static bool cut(const char *path, uint64_t end)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)end) == 0 && fsync(fd) == 0;
    if (!ok)
        log_say(path);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ------------------------------------------------------------ promising nothing */

/* Reads a small file; 0: it is not there, or says nothing. */
static size_t read_small(const char *path, uint8_t *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 ? (size_t)n : 0;
}

/* Before anything goes: not all that the region had claimed is here. A note that can't be made out
 * says that already; where there is none there are no other regions. */
static bool note_lacking(const struct log_folder *f)
{
    char path[PATH_MAX], beside[PATH_MAX];
    uint8_t text[128];
    struct life_note n;
    struct buf out = {0};
    log_path(f, "lives", "", path);
    log_path(f, "lives", ".new", beside);
    if (!life_note_get(bytes_of(text, read_small(path, text, sizeof text)), 0, &n))
        return true;
    n.lacks = true;
    n.complete = false;
    life_note_put(&out, &n);
    (void)unlink(beside); /* of one that died */
    bool ok = write_new(beside, buf_bytes(&out));
    if (ok && rename(beside, path) != 0)
        ok = log_say(path);
    buf_deinit(&out);
    return ok && log_sync(f);
}

/* A segment of its own behind the last one, which says that nothing is promised. */
static bool put_marker(const struct log_folder *f, const struct log_verdict *v)
{
    const struct log_file *like = v->last != NULL ? v->last : v->base;
    struct file_header h = like->seen.header;
    char name[FILE_NAME_MAX], path[PATH_MAX];
    struct buf out = {0};
    h.kind = FILE_KIND_SEGMENT;
    h.policy = SYNC_NONE;
    h.before = v->last != NULL ? v->last->number : 0;
    h.before_end = v->last != NULL ? v->last_end : 0;
    h.number = 1 + like->number;
    header_put(&out, &h);
    size_t at = record_begin(&out, RECORD_POLICY);
    buf_put_u8(&out, SYNC_NONE);
    record_end(&out, at, h.number, at);
    file_name(name, FILE_KIND_SEGMENT, h.number);
    log_path(f, name, "", path);
    bool ok = write_new(path, buf_bytes(&out)) && log_sync(f);
    buf_deinit(&out);
    return ok;
}

/* A torn end is cut as the opening would have done: behind the marker it would be damage. */
static bool drop_torn_end(const struct log_folder *f, const struct log_verdict *v)
{
    const struct log_file *file = &f->files[f->n - 1];
    char path[PATH_MAX];
    if (v->torn == 0)
        return true;
    log_path(f, file->name, "", path);
    if (file->seen.headed)
        return cut(path, file->seen.end);
    return unlink(path) == 0 || log_say(path);
}

static bool promise_nothing(const struct log_folder *f, const struct log_verdict *v)
{
    if (v->last == NULL && v->base == NULL)
        return true; /* nothing is left, nothing is promised */
    return drop_torn_end(f, v) && put_marker(f, v);
}

/* ------------------------------------------------------------ repairing */

static void tell_lost(const struct log_file *file, uint64_t from, const char *how)
{
    struct inspection lost;
    char a[LOG_TIME_MAX], b[LOG_TIME_MAX];
    inspect(
        &(struct inspect_opts){
            .content = file->content, .kind = file->kind, .number = file->number, .from = from},
        &lost);
    printf("    %s: %s", file->name, how);
    if (lost.oldest != 0)
        printf(": %" PRIu64 " operations that can be read, of %s .. %s", lost.ops,
               log_time(a, lost.oldest), log_time(b, lost.newest));
    puts("");
}

/* A name for what is kept beside that is not taken by an earlier repair's. */
static void path_aside(const struct log_folder *f, const struct log_file *file, char *out)
{
    log_path(f, file->name, ".damaged", out);
    for (unsigned i = 2; access(out, F_OK) == 0; i++) {
        char end[32];
        snprintf(end, sizeof end, ".damaged.%u", i);
        log_path(f, file->name, end, out);
    }
}

static bool set_aside(const struct log_folder *f, const struct log_file *file)
{
    char from[PATH_MAX], to[PATH_MAX];
    log_path(f, file->name, "", from);
    path_aside(f, file, to);
    return rename(from, to) == 0 || log_say(from);
}

/* The bad segment keeps what stands before `bad_at`, if that is anything. */
static bool shorten(const struct log_folder *f, const struct log_verdict *v, bool yes)
{
    const struct log_file *bad = v->bad;
    char path[PATH_MAX], copy[PATH_MAX];
    if (!bad->seen.headed || v->bad_at < bad->seen.header.size) {
        tell_lost(bad, 0, "all of it");
        return !yes || set_aside(f, bad);
    }
    tell_lost(bad, bad->seen.resumes ? bad->seen.resumes : bad->content.n,
              "what stands behind the damage");
    log_path(f, bad->name, "", path);
    path_aside(f, bad, copy);
    return !yes || (write_new(copy, bad->content) && cut(path, v->bad_at));
}

static bool cannot(const struct log_folder *f, const char *why)
{
    printf("  cannot be repaired: %s. Where other regions have the data, move %s away and start; "
           "else bring a copy back\n",
           why, f->path);
    return false;
}

/* One round: makes the first damage the end. */
static bool shorten_folder(const struct log_folder *f, const struct log_verdict *v, bool yes)
{
    if (v->bad != NULL && v->bad->seen.state == INSPECT_VERSION) {
        puts("  cannot be repaired by this version of Meridian, which does not know the file's");
        return false;
    }
    if (v->last == NULL && v->base == NULL && v->bad == NULL)
        return cannot(f, "the log's beginning is missing");
    puts("  lost:");
    bool behind = v->bad == NULL && v->last == NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < f->n; i++) {
        const struct log_file *file = &f->files[i];
        const struct log_file *edge = v->bad != NULL ? v->bad : v->last;
        if (file->kind != FILE_KIND_SEGMENT || !file->needed)
            continue;
        if (behind) {
            tell_lost(file, 0, "all of it, since it follows what is lost");
            ok = !yes || set_aside(f, file);
        }
        if (file == v->bad)
            ok = shorten(f, v, yes);
        behind |= file == edge;
    }
    return ok && (!yes || log_sync(f));
}

/* ------------------------------------------------------------ snapshots */

/* Does the log that begins with this segment hold everything? Not when there was something before
 * it (a database that was put on disk later), and of version 1 nobody knows. */
static bool begins_empty(const struct log_file *file)
{
    struct record r;
    uint64_t need;
    uint32_t partition;
    struct context seen = {0};
    bool empty = true;
    const struct file_header *h = &file->seen.header;
    if (!file->seen.headed || h->before != 0 ||
        record_read(bytes_of(file->content.p + h->size, file->content.n - h->size), h->number,
                    h->size, &r, &need) != RECORD_OK ||
        r.kind != RECORD_BEGIN)
        return false;
    while (empty && r.payload.n > 0)
        empty = context_read(r.payload, &partition, &seen, &r.payload) && seen.n == 0;
    context_deinit(&seen);
    return empty;
}

/* Would the folder open without this snapshot, by an older one or the log alone, with everything?
 */
static bool is_spare(const struct log_folder *f, const struct log_file *snapshot)
{
    struct log_folder rest = {.path = f->path};
    struct log_verdict v;
    rest.files = mem_zalloc(f->n * sizeof *rest.files);
    for (size_t i = 0; i < f->n; i++)
        if (&f->files[i] != snapshot)
            rest.files[rest.n++] = f->files[i];
    log_judge(&rest, &v);
    const struct log_file *first = NULL;
    for (size_t i = rest.n; i-- > 0;)
        if (rest.files[i].needed && rest.files[i].kind == FILE_KIND_SEGMENT)
            first = &rest.files[i];
    bool spare = v.opens && (v.base != NULL || (first != NULL && begins_empty(first)));
    mem_free(rest.files);
    return spare;
}

static bool set_all_aside(const struct log_folder *f)
{
    bool ok = true;
    for (size_t i = 0; ok && i < f->n; i++)
        if (f->files[i].needed)
            ok = set_aside(f, &f->files[i]);
    return ok && log_sync(f);
}

/* The snapshot itself is damaged. */
static bool repair_snapshot(const struct log_folder *f, const struct log_file *bad,
                            const struct job *job)
{
    if (is_spare(f, bad)) {
        puts("  nothing is lost: an older snapshot, or the log alone, holds everything");
        return !job->yes || (set_aside(f, bad) && log_sync(f));
    }
    if (job->salvage == SALVAGE_ASK) {
        puts("  its snapshot is damaged. Say which way; each, with what would come of it:\n"
             "  --others: other regions have the data. What is whole is kept, damaged partitions\n"
             "            come up empty, and are fetched from them\n"
             "  --alone:  nobody else has them, or ever will again: all that can be read is kept.\n"
             "            Not for a region that meets others: what is lost here would be deleted "
             "there");
        (void)log_salvage(f, bad, SALVAGE_OTHERS, false, false);
        (void)log_salvage(f, bad, SALVAGE_ALONE, false, false);
        return false;
    }
    puts("  lost:");
    return log_salvage(f, bad, job->salvage, true, job->yes) && (!job->yes || set_all_aside(f));
}

/* ------------------------------------------------------------ commands */

static bool finish(const char *path)
{
    struct log_folder f;
    struct log_verdict v = {0};
    bool ok = log_folder_load(&f, path);
    if (ok)
        log_judge(&f, &v);
    ok = ok && v.opens && promise_nothing(&f, &v);
    if (ok)
        puts("  done. It promises nothing now: a region with others catches up from them before it "
             "takes writes");
    else if (v.what[0] != 0)
        printf("  still: %s\n", v.what);
    log_folder_unload(&f);
    return ok;
}

static bool repair_folder(void *arg, const char *path)
{
    const struct job *job = arg;
    struct log_folder f;
    struct log_verdict v = {0};
    bool ok = log_folder_load(&f, path), damaged = false;
    printf("%s\n", path);
    if (ok) {
        log_judge(&f, &v);
        damaged = !v.opens;
        if (damaged && v.bad != NULL)
            printf("  %s is wrong at offset %" PRIu64 ": %s\n", v.bad->name, v.bad_at, v.what);
        else if (damaged)
            printf("  %s\n", v.what);
        bool snapshot = v.bad != NULL && v.bad->kind == FILE_KIND_SNAPSHOT &&
                        v.bad->seen.state != INSPECT_VERSION;
        bool later = v.bad != NULL && v.bad->seen.state == INSPECT_VERSION; /* not touched */
        if (damaged && job->yes && !later && (!snapshot || job->salvage != SALVAGE_ASK))
            ok = note_lacking(&f);
        if (ok && damaged)
            ok = (snapshot ? repair_snapshot(&f, v.bad, job) : shorten_folder(&f, &v, job->yes));
    }
    log_folder_unload(&f);
    if (ok && !damaged)
        puts("  nothing to repair");
    else if (ok && job->yes)
        ok = finish(path);
    else if (ok)
        puts("  nothing was changed yet: say --yes. The originals are kept as *.damaged");
    return ok && (job->yes || !damaged);
}

static bool restored_folder(void *arg, const char *path)
{
    const struct job *job = arg;
    struct log_folder f;
    struct log_verdict v = {0};
    bool ok = log_folder_load(&f, path);
    if (ok)
        log_judge(&f, &v);
    ok = ok && v.opens;
    log_folder_unload(&f);
    printf("%s\n", path);
    if (v.what[0] != 0)
        printf("  is damaged: %s\n", v.what);
    if (ok && !job->yes)
        puts("  nothing was changed yet: say --yes");
    return ok && job->yes && finish(path);
}

static int run(const char *path, struct job job, bool (*visit)(void *arg, const char *folder))
{
    struct log_locks locks;
    if (!log_lock(&locks, path))
        return 1;
    int failed = log_folders_each(path, visit, &job);
    log_unlock(&locks);
    return failed != 0;
}

int log_repair(const char *path, bool yes, enum log_salvage salvage)
{
    return run(path, (struct job){.yes = yes, .salvage = salvage}, repair_folder);
}

int log_restored(const char *path, bool yes)
{
    return run(path, (struct job){.yes = yes}, restored_folder);
}
