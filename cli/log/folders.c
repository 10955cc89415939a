/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/log/log.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 4u /* data folder, database, shard */

static bool say(const char *path)
{
    fprintf(stderr, "meridian log: %s: %s\n", path, strerror(errno));
    return false;
}

/* ------------------------------------------------------------ a folder */

static bool map(struct log_file *f, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        say(path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    void *at =
        st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (at == MAP_FAILED)
        return say(path);
    f->content = bytes_of(at, (size_t)st.st_size);
    return true;
}

static int in_order(const void *a, const void *b)
{
    const struct log_file *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind == FILE_KIND_SNAPSHOT ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

bool log_folder_load(struct log_folder *f, const char *path)
{
    *f = (struct log_folder){.path = mem_strdup(path)};
    DIR *dir = opendir(path);
    if (dir == NULL)
        return say(path);
    bool ok = true;
    for (const struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        struct log_file one = {0};
        char full[PATH_MAX];
        if (!file_name_read(e->d_name, &one.kind, &one.number))
            continue;
        file_name(one.name, one.kind, one.number);
        snprintf(full, sizeof full, "%s/%s", path, one.name);
        ok = map(&one, full);
        f->files = mem_realloc(f->files, (f->n + 1) * sizeof *f->files);
        f->files[f->n++] = one;
    }
    closedir(dir);
    if (f->n > 0)
        qsort(f->files, f->n, sizeof *f->files, in_order);
    return ok;
}

void log_folder_unload(struct log_folder *f)
{
    union {
        const void *in;
        void *out;
    } at;
    for (size_t i = 0; i < f->n; i++) {
        at.in = f->files[i].content.p;
        if (at.in != NULL)
            munmap(at.out, f->files[i].content.n);
    }
    mem_free(f->files);
    mem_free(f->path);
    *f = (struct log_folder){0};
}

/* ------------------------------------------------------------ all folders */

struct walk {
    bool (*visit)(void *arg, const char *folder);
    void *arg;
    int found, failed;
};

static int is_wanted(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static bool has_files(struct dirent **list, int n)
{
    enum file_kind kind;
    uint64_t number;
    for (int i = 0; i < n; i++)
        if (file_name_read(list[i]->d_name, &kind, &number))
            return true;
    return false;
}

static void walk(struct walk *w, const char *path, unsigned depth)
{
    struct dirent **list;
    int n = scandir(path, &list, is_wanted, versionsort);
    if (n < 0) {
        say(path);
        w->failed++;
        return;
    }
    if (has_files(list, n)) {
        w->found++;
        w->failed += !w->visit(w->arg, path);
    }
    for (int i = 0; i < n; i++) {
        char full[PATH_MAX];
        struct stat st;
        if (snprintf(full, sizeof full, "%s/%s", path, list[i]->d_name) < (int)sizeof full &&
            depth < DEPTH_MAX && lstat(full, &st) == 0 && S_ISDIR(st.st_mode))
            walk(w, full, depth + 1);
        free(list[i]);
    }
    free(list);
}

int log_folders_each(const char *path, bool (*visit)(void *arg, const char *folder), void *arg)
{
    struct walk w = {.visit = visit, .arg = arg};
    walk(&w, path, 0);
    if (w.found == 0 && w.failed == 0) {
        fprintf(stderr,
                "meridian log: %s: no log and no snapshot is here or below: give a node's data "
                "folder, a database's or a shard's\n",
                path);
        return -1;
    }
    return w.failed;
}

/* ------------------------------------------------------------ locks */

static bool lock_one(struct log_locks *l, const char *folder, const char *name)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return true;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? true : say(path);
    if (l->n < LOG_LOCKS && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        l->at[l->n++] = fd;
        return true;
    }
    close(fd);
    fprintf(stderr, "meridian log: a node runs on %s (it holds %s): stop it first\n", folder, path);
    return false;
}

bool log_lock(struct log_locks *l, const char *path)
{
    char at[PATH_MAX];
    *l = (struct log_locks){0};
    if (realpath(path, at) == NULL)
        return say(path);
    for (unsigned i = 0; i <= DEPTH_MAX; i++) {
        if (!lock_one(l, at, "node.lock") || !lock_one(l, at, "plane.pid")) {
            log_unlock(l);
            return false;
        }
        char *slash = strrchr(at, '/');
        if (slash == NULL || slash == at)
            break;
        *slash = 0;
    }
    return true;
}

void log_unlock(struct log_locks *l)
{
    while (l->n > 0)
        close(l->at[--l->n]);
}
